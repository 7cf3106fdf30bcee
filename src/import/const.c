/* SPDX-License-Identifier: Apache-2.0
 *
 * Constants while lowering. Exporters write shapes as little programs (Shape, Gather,
 * Concat, Reshape) and weights behind a Transpose; an operator that must see a constant
 * should see one. Only what moves numbers about, and whole-number arithmetic, is done
 * here: numbers computed by real ops are folded later by the passes, with the kernels.
 */
#include <math.h>
#include <string.h>

#include "import/lower.h"

#define FOLD_MAX ((size_t)1 << 16) /* elements; pure copies of the input may be larger */

/* The value of the node's output, to be. */
typedef struct folded {
    int rank;
    int64_t dims[DMV_MAX_RANK];
    size_t count, item; /* item: bytes of an element */
    uint8_t *data;
} folded;

static bool make(dv_lower *L, const dv_node *n, size_t limit, folded *f)
{
    const lw_info *i = &L->info[n->out[0]];
    size_t bytes;
    f->item = L->g->tensors[n->out[0]].dtype == DV_F32 ? 4 : 8;
    f->rank = i->rank;
    if (i->rank < 0)
        return false;
    memcpy(f->dims, i->dims, sizeof f->dims);
    if (!dv_count(f->rank, f->dims, &f->count) || f->count == 0 || f->count > limit ||
        !dv_mul(f->count, f->item, &bytes) || bytes > L->budget)
        return false;
    f->data = dv_malloc(bytes);
    if (!f->data)
        lw_nomem(L);
    return f->data != NULL;
}

static void row_strides(int rank, const int64_t *dims, int64_t *stride)
{
    int64_t s = 1;
    for (int i = rank; i-- > 0; s *= dims[i])
        stride[i] = s;
}

/* out[i0, i1, ...] = in[base + sum i_k stride_k]. */
static void copy_strided(const folded *f, const uint8_t *in, int64_t base, const int64_t *stride)
{
    int64_t at[DMV_MAX_RANK] = {0}, off = base;
    for (size_t i = 0; i < f->count; i++) {
        memcpy(f->data + i * f->item, in + (size_t)off * f->item, f->item);
        for (int k = f->rank; k-- > 0;) {
            off += stride[k];
            if (++at[k] < f->dims[k])
                break;
            off -= stride[k] * f->dims[k];
            at[k] = 0;
        }
    }
}

/* Strides of a constant seen through the broadcast shape of f. */
static void broadcast_strides(const folded *f, const dv_gtensor *x, int64_t *stride)
{
    int64_t own[DMV_MAX_RANK];
    row_strides(x->rank, x->dims, own);
    for (int k = 0; k < f->rank; k++) {
        int j = k - (f->rank - x->rank);
        stride[k] = j < 0 || x->dims[j] == 1 ? 0 : own[j];
    }
}

static bool fold_copy(dv_lower *L, const dv_node *n, const dv_gtensor *x, folded *f)
{
    size_t count;
    if (!dv_count(x->rank, x->dims, &count) || !make(L, n, SIZE_MAX, f))
        return false;
    if (count == f->count)
        memcpy(f->data, x->data, count * f->item);
    return count == f->count;
}

static bool fold_transpose(dv_lower *L, const dv_node *n, const dv_gtensor *x, folded *f)
{
    int64_t perm[DMV_MAX_RANK], own[DMV_MAX_RANK], stride[DMV_MAX_RANK];
    if (dv_node_ints(n, DV_A_PERM, perm, DMV_MAX_RANK) != (uint32_t)x->rank ||
        !make(L, n, SIZE_MAX, f))
        return false;
    row_strides(x->rank, x->dims, own);
    for (int i = 0; i < x->rank; i++) {
        if (perm[i] < 0 || perm[i] >= x->rank)
            return false;
        stride[i] = own[perm[i]];
    }
    copy_strided(f, x->data, 0, stride);
    return true;
}

static bool fold_slice(dv_lower *L, const dv_node *n, const dv_gtensor *x, folded *f)
{
    const dv_attr *st = dv_node_attr(n, DV_A_STARTS), *ax = dv_node_attr(n, DV_A_AXES);
    const dv_attr *sp = dv_node_attr(n, DV_A_STEPS);
    int64_t stride[DMV_MAX_RANK], base = 0;
    if (!st || !ax || !sp || !make(L, n, SIZE_MAX, f))
        return false;
    row_strides(x->rank, x->dims, stride);
    for (uint32_t i = 0; i < st->n; i++) {
        int64_t a = ax->v.i[i] < 0 ? ax->v.i[i] + x->rank : ax->v.i[i];
        int64_t dim = x->dims[a], from = st->v.i[i] < 0 ? st->v.i[i] + dim : st->v.i[i];
        from = DV_MIN(DV_MAX(from, 0), dim - 1);
        base += from * stride[a];
        stride[a] *= f->dims[a] > 1 ? sp->v.i[i] : 0;
    }
    copy_strided(f, x->data, base, stride);
    return true;
}

static bool fold_gather(dv_lower *L, const dv_node *n, const dv_gtensor *x, folded *f)
{
    const dv_gtensor *idx = &L->g->tensors[n->in[1]];
    int64_t axis = dv_node_int(n, DV_A_AXIS, 0);
    size_t count, outer, inner;
    if (axis < 0)
        axis += x->rank;
    if (axis < 0 || axis >= x->rank || !dv_count(idx->rank, idx->dims, &count) ||
        !dv_count((int)axis, x->dims, &outer) ||
        !dv_count(x->rank - (int)axis - 1, x->dims + axis + 1, &inner) || !make(L, n, SIZE_MAX, f))
        return false;
    size_t dim = (size_t)x->dims[axis];
    const uint8_t *in = x->data;
    uint8_t *out = f->data;
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < count; i++, out += inner * f->item) {
            int64_t at = ((const int64_t *)idx->data)[i];
            if (at < 0)
                at += (int64_t)dim;
            if (at < 0 || at >= (int64_t)dim) {
                lw_bad(L, "index %lld outside a dim of %zu", (long long)at, dim);
                return false;
            }
            memcpy(out, in + (o * dim + (size_t)at) * inner * f->item, inner * f->item);
        }
    return true;
}

static bool fold_concat(dv_lower *L, const dv_node *n, folded *f)
{
    int64_t axis = dv_node_int(n, DV_A_AXIS, 0);
    if (!make(L, n, SIZE_MAX, f))
        return false;
    if (axis < 0)
        axis += f->rank;
    size_t outer, done = 0, row;
    if (!dv_count((int)axis, f->dims, &outer) ||
        !dv_count(f->rank - (int)axis, f->dims + axis, &row))
        return false;
    for (int i = 0; i < n->n_in; i++) {
        const dv_gtensor *x = &L->g->tensors[n->in[i]];
        size_t part;
        for (int k = 0; k < f->rank; k++)
            if (x->rank != f->rank || (k != axis && x->dims[k] != f->dims[k]))
                return false;
        if (!dv_count(f->rank - (int)axis, x->dims + axis, &part))
            return false;
        for (size_t o = 0; o < outer; o++)
            memcpy(f->data + (o * row + done) * f->item,
                   (const uint8_t *)x->data + o * part * f->item, part * f->item);
        done += part;
    }
    return true;
}

static bool binary_int(int op, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case DV_BIN_ADD:
        return !__builtin_add_overflow(a, b, out);
    case DV_BIN_SUB:
        return !__builtin_sub_overflow(a, b, out);
    case DV_BIN_MUL:
        return !__builtin_mul_overflow(a, b, out);
    case DV_BIN_DIV:
        if (b == 0 || (b == -1 && a == INT64_MIN))
            return false;
        *out = a / b;
        return true;
    case DV_BIN_MAX:
        *out = DV_MAX(a, b);
        return true;
    case DV_BIN_MIN:
        *out = DV_MIN(a, b);
        return true;
    default:
        return false;
    }
}

static bool binary_float(int op, float a, float b, float *out)
{
    switch (op) {
    case DV_BIN_ADD:
        *out = a + b;
        return true;
    case DV_BIN_SUB:
        *out = a - b;
        return true;
    case DV_BIN_MUL:
        *out = a * b;
        return true;
    case DV_BIN_DIV:
        *out = a / b;
        return true;
    default:
        return false;
    }
}

static bool fold_binary(dv_lower *L, const dv_node *n, const dv_gtensor *x, folded *f)
{
    const dv_gtensor *y = &L->g->tensors[n->in[1]];
    int op = (int)dv_node_int(n, DV_A_BINARY, 0);
    int64_t sx[DMV_MAX_RANK], sy[DMV_MAX_RANK];
    folded a, b;
    if (!make(L, n, FOLD_MAX, f))
        return false;
    a = b = *f;
    a.data = dv_malloc(f->count * f->item);
    b.data = dv_malloc(f->count * f->item);
    bool ok = a.data && b.data;
    if (!ok)
        lw_nomem(L);
    if (ok) {
        broadcast_strides(f, x, sx);
        broadcast_strides(f, y, sy);
        copy_strided(&a, x->data, 0, sx);
        copy_strided(&b, y->data, 0, sy);
    }
    for (size_t i = 0; ok && i < f->count; i++)
        ok = f->item == 8 ? binary_int(op, ((int64_t *)a.data)[i], ((int64_t *)b.data)[i],
                                       &((int64_t *)f->data)[i])
                          : binary_float(op, ((float *)a.data)[i], ((float *)b.data)[i],
                                         &((float *)f->data)[i]);
    dv_free(a.data);
    dv_free(b.data);
    return ok;
}

static bool fold_act(dv_lower *L, const dv_node *n, const dv_gtensor *x, folded *f)
{
    int act = (int)dv_node_int(n, DV_A_ACT, 0);
    if ((act != DV_ACT_FLOOR && act != DV_ACT_CEIL) || x->dtype != DV_F32 ||
        !make(L, n, FOLD_MAX, f))
        return false;
    for (size_t i = 0; i < f->count; i++) {
        float v = ((const float *)x->data)[i];
        ((float *)f->data)[i] = act == DV_ACT_FLOOR ? floorf(v) : ceilf(v);
    }
    return true;
}

static bool fold_cast(dv_lower *L, const dv_node *n, const dv_gtensor *x, folded *f)
{
    dv_dtype to = (dv_dtype)dv_node_int(n, DV_A_TO, DV_F32);
    if (to == x->dtype)
        return fold_copy(L, n, x, f);
    if (!make(L, n, SIZE_MAX, f))
        return false;
    for (size_t i = 0; i < f->count; i++)
        if (to == DV_F32) {
            ((float *)f->data)[i] = (float)((const int64_t *)x->data)[i];
        } else {
            double v = ((const float *)x->data)[i];
            ((int64_t *)f->data)[i] = v != v         ? 0
                                      : v >= 0x1p63  ? INT64_MAX
                                      : v <= -0x1p63 ? INT64_MIN
                                                     : (int64_t)v;
        }
    return true;
}

/* Product, sum, max, min of a whole int64 vector. */
static bool fold_reduce(dv_lower *L, const dv_node *n, const dv_gtensor *x, folded *f)
{
    static const int binary[DV_RED_COUNT] = {[DV_RED_SUM] = DV_BIN_ADD + 1,
                                             [DV_RED_MAX] = DV_BIN_MAX + 1,
                                             [DV_RED_MIN] = DV_BIN_MIN + 1,
                                             [DV_RED_PROD] = DV_BIN_MUL + 1};
    int op = binary[dv_node_int(n, DV_A_REDUCE, 0)];
    if (x->dtype != DV_I64 || x->rank != 1 || !op || !make(L, n, 1, f))
        return false;
    const int64_t *v = x->data;
    int64_t acc = v[0];
    for (int64_t i = 1; i < x->dims[0]; i++)
        if (!binary_int(op - 1, acc, v[i], &acc))
            return false;
    memcpy(f->data, &acc, 8);
    return true;
}

/* Dims of a tensor whose sizes are known, or the one of them that a Gather picks. */
static bool fold_shape(dv_lower *L, const dv_node *n, folded *f)
{
    const lw_info *x = &L->info[n->in[0]];
    if (x->rank < 1 || x->poison)
        return false;
    for (int i = 0; i < x->rank; i++)
        if (x->dims[i] < 0)
            return false;
    if (!make(L, n, FOLD_MAX, f))
        return false;
    memcpy(f->data, x->dims, (size_t)x->rank * sizeof(int64_t));
    return true;
}

static bool fold_shape_gather(dv_lower *L, const dv_node *n, folded *f)
{
    const lw_info *s = &L->info[n->in[0]];
    const dv_gtensor *idx = lw_const(L, n->in[1]);
    if (s->shape_of < 0 || !idx || !make(L, n, DMV_MAX_RANK, f))
        return false;
    int rank = lw_rank(L, s->shape_of);
    for (size_t i = 0; i < f->count; i++) {
        int64_t at = ((const int64_t *)idx->data)[i], dim;
        if (rank < 0 || at < -rank || at >= rank)
            return false;
        dim = lw_dim(L, s->shape_of, (int)(at < 0 ? at + rank : at));
        if (dim < 0)
            return false;
        ((int64_t *)f->data)[i] = dim;
    }
    return true;
}

static bool fold_expand(dv_lower *L, const dv_node *n, const dv_gtensor *x, folded *f)
{
    int64_t stride[DMV_MAX_RANK];
    if (!make(L, n, FOLD_MAX, f))
        return false;
    broadcast_strides(f, x, stride);
    copy_strided(f, x->data, 0, stride);
    return true;
}

static bool fold(dv_lower *L, const dv_node *n, folded *f)
{
    const dv_gtensor *x = &L->g->tensors[n->in[0]];
    if (n->op == DV_OP_SHAPE)
        return fold_shape(L, n, f);
    if (n->op == DV_OP_GATHER && !x->data)
        return fold_shape_gather(L, n, f);
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] < 0 || !L->g->tensors[n->in[i]].data)
            return false;
    switch (n->op) {
    case DV_OP_RESHAPE:
    case DV_OP_SQUEEZE:
    case DV_OP_UNSQUEEZE:
    case DV_OP_FLATTEN:
    case DV_OP_IDENTITY:
        return fold_copy(L, n, x, f);
    case DV_OP_TRANSPOSE:
        return fold_transpose(L, n, x, f);
    case DV_OP_SLICE:
        return fold_slice(L, n, x, f);
    case DV_OP_GATHER:
        return fold_gather(L, n, x, f);
    case DV_OP_CONCAT:
        return fold_concat(L, n, f);
    case DV_OP_BINARY:
        return fold_binary(L, n, x, f);
    case DV_OP_ACT:
        return fold_act(L, n, x, f);
    case DV_OP_CAST:
        return fold_cast(L, n, x, f);
    case DV_OP_REDUCE:
        return fold_reduce(L, n, x, f);
    case DV_OP_EXPAND:
        return fold_expand(L, n, x, f);
    default:
        return false;
    }
}

bool lw_fold(dv_lower *L, int32_t *out)
{
    dv_graph *g = L->g;
    folded f = {0};
    dv_dtype type = g->tensors[g->nodes[g->n_nodes - 1].out[0]].dtype;
    bool ok = fold(L, &g->nodes[g->n_nodes - 1], &f);
    if (ok && lw_ok(L)) {
        dv_node_free(&g->nodes[--g->n_nodes]);
        *out = lw_add_const(L, type, f.rank, f.dims, f.data);
    }
    dv_free(f.data);
    return ok;
}
