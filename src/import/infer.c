/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be said of a tensor's dims before a net is given its sizes. The lowering
 * needs ranks (which axis is the last?) and sometimes sizes (auto_pad, Shape). This is
 * knowledge, not a check: where a node contradicts itself the dims stay unknown, and
 * running the net (dv_exec_shape) finds the contradiction.
 */
#include <math.h>
#include <string.h>

#include "import/lower.h"

static void set(dv_lower *L, int32_t t, int rank, const int64_t *dims)
{
    lw_info *f = &L->info[t];
    if (rank > DMV_MAX_RANK)
        return;
    f->rank = rank;
    for (int i = 0; i < rank; i++)
        f->dims[i] = dims[i] < 0 || dims[i] > INT32_MAX ? -1 : dims[i];
}

/* All dims unknown. */
static void set_rank(dv_lower *L, int32_t t, int rank)
{
    static const int64_t unknown[DMV_MAX_RANK] = {-1, -1, -1, -1, -1, -1};
    set(L, t, rank, unknown);
}

bool lw_broadcast(int ra, const int64_t *a, int rb, const int64_t *b, int *rank, int64_t *out)
{
    *rank = DV_MAX(ra, rb);
    for (int i = 0; i < *rank; i++) {
        int64_t x = i < *rank - ra ? 1 : a[i - (*rank - ra)];
        int64_t y = i < *rank - rb ? 1 : b[i - (*rank - rb)];
        if (x == 1)
            out[i] = y;
        else if (y == 1 || x == y)
            out[i] = x;
        else if (x < 0 || y < 0)
            out[i] = DV_MAX(x, y); /* the known one, since it is not 1 */
        else
            return false;
    }
    return true;
}

static int64_t window_size(int64_t in, int64_t k, int64_t s, int64_t d, int64_t pad, bool ceil)
{
    if (in < 0)
        return -1;
    int64_t span = in + pad - (d * (k - 1) + 1);
    if (span < 0 || s < 1)
        return -1;
    int64_t out = span / s + 1;
    if (ceil && span % s)
        out++;
    return out;
}

static void infer_window(dv_lower *L, const dv_node *n, int64_t channels)
{
    int64_t k[2] = {1, 1}, s[2] = {1, 1}, d[2] = {1, 1}, p[4] = {0}, o[2] = {0}, out[4];
    const lw_info *x = &L->info[n->in[0]];
    bool ceil = dv_node_int(n, DV_A_CEIL, 0) != 0;
    if (x->rank != 4) {
        set_rank(L, n->out[0], 4);
        return;
    }
    dv_node_ints(n, DV_A_KERNEL, k, 2);
    dv_node_ints(n, DV_A_STRIDE, s, 2);
    dv_node_ints(n, DV_A_DILATION, d, 2);
    dv_node_ints(n, DV_A_PADS, p, 4);
    dv_node_ints(n, DV_A_OUTPUT_PAD, o, 2);
    out[0] = x->dims[0];
    for (int i = 0; i < 2; i++) {
        int64_t in = x->dims[1 + i], pad = p[i] + p[i + 2];
        if (n->op == DV_OP_CONV_TRANSPOSE)
            out[1 + i] = in < 0 ? -1 : (in - 1) * s[i] - pad + d[i] * (k[i] - 1) + 1 + o[i];
        else
            out[1 + i] = window_size(in, k[i], s[i], d[i], pad, ceil);
        /* The last window must not start in the padding behind. */
        if (ceil && out[1 + i] > 0 && (out[1 + i] - 1) * s[i] >= in + p[i])
            out[1 + i]--;
    }
    out[3] = channels < 0 ? x->dims[3] : channels;
    set(L, n->out[0], 4, out);
}

static void infer_resize(dv_lower *L, const dv_node *n)
{
    const lw_info *x = &L->info[n->in[0]];
    int64_t sizes[2] = {-1, -1}, out[4];
    const dv_attr *scales = dv_node_attr(n, DV_A_SCALES);
    if (x->rank != 4) {
        set_rank(L, n->out[0], 4);
        return;
    }
    dv_node_ints(n, DV_A_SIZES, sizes, 2);
    for (int i = 0; i < 2; i++)
        if (sizes[i] < 0 && scales && x->dims[1 + i] >= 0)
            sizes[i] = (int64_t)floorf((float)x->dims[1 + i] * scales->v.f[i]);
    out[0] = x->dims[0];
    out[1] = sizes[0];
    out[2] = sizes[1];
    out[3] = x->dims[3];
    set(L, n->out[0], 4, out);
}

static void infer_matmul(dv_lower *L, const dv_node *n)
{
    const lw_info *a = &L->info[n->in[0]], *b = &L->info[n->in[1]];
    int64_t out[DMV_MAX_RANK];
    int rank;
    if (a->rank < 2 || b->rank < 2)
        return;
    int ta = dv_node_int(n, DV_A_TRANS_A, 0) != 0, tb = dv_node_int(n, DV_A_TRANS_B, 0) != 0;
    if (!lw_broadcast(a->rank - 2, a->dims, b->rank - 2, b->dims, &rank, out))
        return;
    out[rank] = a->dims[a->rank - 2 + ta];
    out[rank + 1] = b->dims[b->rank - 1 - tb];
    set(L, n->out[0], rank + 2, out);
}

static void infer_reduce(dv_lower *L, const dv_node *n)
{
    const lw_info *x = &L->info[n->in[0]];
    int64_t axes[DMV_MAX_RANK], out[DMV_MAX_RANK];
    bool gone[DMV_MAX_RANK] = {0}, keep = dv_node_int(n, DV_A_KEEPDIMS, 1) != 0;
    uint32_t count = dv_node_ints(n, DV_A_AXES, axes, DMV_MAX_RANK);
    int rank = 0;
    if (x->rank < 0 || count > DMV_MAX_RANK)
        return;
    for (int i = 0; i < x->rank; i++)
        gone[i] = count == 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t a = axes[i] < 0 ? axes[i] + x->rank : axes[i];
        if (a < 0 || a >= x->rank)
            return;
        gone[a] = true;
    }
    for (int i = 0; i < x->rank; i++)
        if (!gone[i] || keep)
            out[rank++] = gone[i] ? 1 : x->dims[i];
    set(L, n->out[0], rank, out);
}

static void infer_concat(dv_lower *L, const dv_node *n)
{
    lw_info f = L->info[n->in[0]];
    int64_t axis = dv_node_int(n, DV_A_AXIS, 0);
    for (int i = 1; i < n->n_in && f.rank < 0; i++)
        f.rank = L->info[n->in[i]].rank;
    if (axis < 0)
        axis += f.rank;
    if (f.rank < 1 || axis < 0 || axis >= f.rank)
        return;
    for (int i = 0; i < f.rank; i++)
        f.dims[i] = i == axis ? 0 : -1;
    for (int i = 0; i < n->n_in; i++) {
        const lw_info *x = &L->info[n->in[i]];
        for (int j = 0; j < f.rank; j++) {
            int64_t dim = x->rank == f.rank ? x->dims[j] : -1;
            if (j != axis)
                f.dims[j] = DV_MAX(f.dims[j], dim);
            else
                f.dims[j] = dim < 0 || f.dims[j] < 0 ? -1 : f.dims[j] + dim;
        }
    }
    set(L, n->out[0], f.rank, f.dims);
}

static void infer_split(dv_lower *L, const dv_node *n)
{
    const lw_info *x = &L->info[n->in[0]];
    const dv_attr *sizes = dv_node_attr(n, DV_A_SPLIT);
    int64_t axis = dv_node_int(n, DV_A_AXIS, 0), out[DMV_MAX_RANK];
    if (x->rank < 0)
        return;
    if (axis < 0)
        axis += x->rank;
    if (axis < 0 || axis >= x->rank)
        return;
    int rank = x->rank;
    memcpy(out, x->dims, sizeof out);
    for (int i = 0; i < n->n_out; i++) {
        int64_t dim = L->info[n->in[0]].dims[axis];
        if (sizes)
            out[axis] = (uint32_t)i < sizes->n ? sizes->v.i[i] : -1;
        else
            out[axis] = dim < 0 ? -1 : dim / n->n_out;
        set(L, n->out[i], rank, out);
    }
}

/* Size of a slice of a dim of known size, with ONNX's clamping; see Slice-13. */
static int64_t slice_size(int64_t dim, int64_t start, int64_t end, int64_t step)
{
    if (start < 0)
        start += dim;
    if (end < 0)
        end += dim;
    if (step > 0) {
        start = DV_MIN(DV_MAX(start, 0), dim);
        end = DV_MIN(DV_MAX(end, 0), dim);
        return end > start ? (end - start - 1) / step + 1 : 0;
    }
    start = DV_MIN(DV_MAX(start, -1), dim - 1);
    end = DV_MIN(DV_MAX(end, -1), dim - 1);
    return step < 0 && start > end ? (start - end - 1) / -step + 1 : 0;
}

static void infer_slice(dv_lower *L, const dv_node *n)
{
    lw_info f = L->info[n->in[0]];
    const dv_attr *st = dv_node_attr(n, DV_A_STARTS), *en = dv_node_attr(n, DV_A_ENDS);
    const dv_attr *ax = dv_node_attr(n, DV_A_AXES), *sp = dv_node_attr(n, DV_A_STEPS);
    if (f.rank < 0)
        return;
    if (!st || !en || !ax || !sp) {
        set_rank(L, n->out[0], f.rank);
        return;
    }
    for (uint32_t i = 0; i < st->n; i++) {
        int64_t a = ax->v.i[i] < 0 ? ax->v.i[i] + f.rank : ax->v.i[i];
        if (a < 0 || a >= f.rank)
            return;
        if (f.dims[a] >= 0)
            f.dims[a] = slice_size(f.dims[a], st->v.i[i], en->v.i[i], sp->v.i[i]);
    }
    set(L, n->out[0], f.rank, f.dims);
}

static void infer_gather(dv_lower *L, const dv_node *n)
{
    const lw_info *x = &L->info[n->in[0]], *idx = &L->info[n->in[1]];
    int64_t axis = dv_node_int(n, DV_A_AXIS, 0), out[2 * DMV_MAX_RANK];
    int rank = 0;
    if (x->rank < 0 || idx->rank < 0)
        return;
    if (axis < 0)
        axis += x->rank;
    for (int i = 0; i < x->rank; i++)
        if (i != axis)
            out[rank++] = x->dims[i];
        else
            for (int j = 0; j < idx->rank; j++)
                out[rank++] = idx->dims[j];
    set(L, n->out[0], rank, out);
}

static int64_t product(const int64_t *d, int n)
{
    int64_t v = 1;
    for (int i = 0; i < n; i++)
        if (d[i] < 0 || __builtin_mul_overflow(v, d[i], &v))
            return -1;
    return v;
}

static void infer_reshape(dv_lower *L, const dv_node *n)
{
    const lw_info *x = &L->info[n->in[0]];
    int64_t shape[DMV_MAX_RANK], out[DMV_MAX_RANK], rest = 1;
    size_t rank = 0;
    int open = -1;
    const dv_gtensor *c = n->n_in > 1 ? lw_const(L, n->in[1]) : NULL;
    if (c) {
        if (!dv_count(c->rank, c->dims, &rank) || rank > DMV_MAX_RANK)
            return;
        memcpy(shape, c->data, rank * sizeof *shape);
    } else if (n->n_in > 1) {
        const lw_info *s = &L->info[n->in[1]];
        if (s->shape_of >= 0 && L->info[s->shape_of].rank >= 0) {
            set(L, n->out[0], L->info[s->shape_of].rank, L->info[s->shape_of].dims);
            return;
        }
        if (s->rank == 1 && s->dims[0] >= 0 && s->dims[0] <= DMV_MAX_RANK)
            set_rank(L, n->out[0], (int)s->dims[0]);
        return;
    } else {
        rank = dv_node_ints(n, DV_A_SHAPE, shape, DMV_MAX_RANK);
        if (rank > DMV_MAX_RANK)
            return;
    }
    for (size_t i = 0; i < rank; i++) {
        out[i] = shape[i] == 0 && x->rank > (int)i ? x->dims[i] : shape[i] == 0 ? -1 : shape[i];
        if (shape[i] == -1)
            open = (int)i;
        else
            rest =
                out[i] < 0 || rest < 0 || __builtin_mul_overflow(rest, out[i], &rest) ? -1 : rest;
    }
    int64_t total = x->rank < 0 ? -1 : product(x->dims, x->rank);
    if (open >= 0)
        out[open] = total >= 0 && rest > 0 && total % rest == 0 ? total / rest : -1;
    set(L, n->out[0], (int)rank, out);
}

/* Squeeze and Unsqueeze with their axes as attribute. */
static void infer_squeeze(dv_lower *L, const dv_node *n)
{
    const lw_info *x = &L->info[n->in[0]];
    int64_t axes[DMV_MAX_RANK], out[DMV_MAX_RANK];
    bool at[DMV_MAX_RANK] = {0}, un = n->op == DV_OP_UNSQUEEZE;
    uint32_t count = dv_node_ints(n, DV_A_AXES, axes, DMV_MAX_RANK);
    if (x->rank < 0 || count > DMV_MAX_RANK || (!un && !count && n->n_in > 1))
        return;
    int full = un ? x->rank + (int)count : x->rank, rank = 0;
    if (full > DMV_MAX_RANK)
        return;
    for (uint32_t i = 0; i < count; i++) {
        int64_t a = axes[i] < 0 ? axes[i] + full : axes[i];
        if (a < 0 || a >= full)
            return;
        at[a] = true;
    }
    for (int i = 0, j = 0; i < full; i++) {
        if (un) {
            out[rank++] = at[i] || j == x->rank ? 1 : x->dims[j++];
        } else if (count == 0) {
            if (x->dims[i] < 0)
                return; /* may be 1 or not: even the rank is open */
            if (x->dims[i] != 1)
                out[rank++] = x->dims[i];
        } else if (!at[i]) {
            out[rank++] = x->dims[i];
        }
    }
    set(L, n->out[0], rank, out);
}

static void infer_expand(dv_lower *L, const dv_node *n)
{
    const lw_info *x = &L->info[n->in[0]], *s = &L->info[n->in[1]];
    const dv_gtensor *c = lw_const(L, n->in[1]);
    int64_t out[DMV_MAX_RANK];
    int rank;
    size_t count;
    if (x->rank < 0)
        return;
    if (!c) {
        if (s->rank == 1 && s->dims[0] >= 0)
            set_rank(L, n->out[0], (int)DV_MAX(s->dims[0], x->rank));
    } else if (dv_count(c->rank, c->dims, &count) && count <= DMV_MAX_RANK &&
               lw_broadcast(x->rank, x->dims, (int)count, c->data, &rank, out)) {
        set(L, n->out[0], rank, out);
    }
}

static void infer_pad(dv_lower *L, const dv_node *n)
{
    lw_info f = L->info[n->in[0]];
    int64_t p[2 * DMV_MAX_RANK];
    if (f.rank < 0)
        return;
    if (dv_node_ints(n, DV_A_PADS, p, 2 * DMV_MAX_RANK) != 2 * (uint32_t)f.rank) {
        set_rank(L, n->out[0], f.rank);
        return;
    }
    for (int i = 0; i < f.rank; i++)
        if (f.dims[i] >= 0)
            f.dims[i] += p[i] + p[i + f.rank];
    set(L, n->out[0], f.rank, f.dims);
}

static void infer_blocks(dv_lower *L, const dv_node *n)
{
    lw_info f = L->info[n->in[0]];
    int64_t b = dv_node_int(n, DV_A_BLOCK, 1);
    if (f.rank != 4) {
        set_rank(L, n->out[0], 4);
        return;
    }
    for (int i = 1; i < 4; i++) {
        bool grow = (n->op == DV_OP_DEPTH_TO_SPACE) == (i < 3);
        int64_t by = i < 3 ? b : b * b;
        if (f.dims[i] >= 0)
            f.dims[i] = grow ? f.dims[i] * by : f.dims[i] / by;
    }
    set(L, n->out[0], 4, f.dims);
}

static void infer_dims(dv_lower *L, const dv_node *n)
{
    int32_t y = n->out[0];
    lw_info x = L->info[n->in[0]];
    const dv_gtensor *w = n->n_in > 1 && n->in[1] >= 0 ? &L->g->tensors[n->in[1]] : NULL;
    int64_t v[DMV_MAX_RANK] = {0}, k[2] = {1, 1};
    int rank;
    switch (n->op) {
    case DV_OP_CONV:
        infer_window(L, n, w->dims[3]);
        break;
    case DV_OP_CONV_TRANSPOSE:
        dv_node_ints(n, DV_A_KERNEL, k, 2);
        infer_window(L, n, w->dims[1] / (k[0] * k[1]));
        break;
    case DV_OP_MAX_POOL:
    case DV_OP_AVG_POOL:
        infer_window(L, n, -1);
        break;
    case DV_OP_LINEAR:
        if (x.rank > 0) {
            x.dims[x.rank - 1] = w->dims[1];
            set(L, y, x.rank, x.dims);
        }
        break;
    case DV_OP_MATMUL:
        infer_matmul(L, n);
        break;
    case DV_OP_RESIZE:
        infer_resize(L, n);
        break;
    case DV_OP_BINARY: {
        const lw_info *b = &L->info[n->in[1]];
        if (x.rank >= 0 && b->rank >= 0 && lw_broadcast(x.rank, x.dims, b->rank, b->dims, &rank, v))
            set(L, y, rank, v);
        break;
    }
    case DV_OP_REDUCE:
        infer_reduce(L, n);
        break;
    case DV_OP_CONCAT:
        infer_concat(L, n);
        break;
    case DV_OP_SPLIT:
        infer_split(L, n);
        break;
    case DV_OP_SLICE:
        infer_slice(L, n);
        break;
    case DV_OP_GATHER:
        infer_gather(L, n);
        break;
    case DV_OP_TRANSPOSE:
        rank = (int)dv_node_ints(n, DV_A_PERM, v, DMV_MAX_RANK);
        if (x.rank >= 0 && rank != x.rank)
            break;
        set_rank(L, y, rank);
        for (int i = 0; i < rank && x.rank >= 0; i++)
            L->info[y].dims[i] = v[i] >= 0 && v[i] < rank ? x.dims[v[i]] : -1;
        break;
    case DV_OP_RESHAPE:
        infer_reshape(L, n);
        break;
    case DV_OP_FLATTEN: {
        int64_t axis = dv_node_int(n, DV_A_AXIS, 1);
        if (axis < 0)
            axis += x.rank;
        v[0] = v[1] = -1;
        if (x.rank >= 0 && axis >= 0 && axis <= x.rank) {
            v[0] = product(x.dims, (int)axis);
            v[1] = product(x.dims + axis, x.rank - (int)axis);
        }
        set(L, y, 2, v);
        break;
    }
    case DV_OP_SQUEEZE:
    case DV_OP_UNSQUEEZE:
        infer_squeeze(L, n);
        break;
    case DV_OP_EXPAND:
        infer_expand(L, n);
        break;
    case DV_OP_PAD:
        infer_pad(L, n);
        break;
    case DV_OP_SHAPE:
        v[0] = x.rank;
        set(L, y, 1, v);
        L->info[y].shape_of = n->in[0];
        break;
    case DV_OP_DEPTH_TO_SPACE:
    case DV_OP_SPACE_TO_DEPTH:
        infer_blocks(L, n);
        break;
    default: /* elementwise and along an axis */
        if (x.rank >= 0)
            set(L, y, x.rank, x.dims);
    }
}

void lw_infer(dv_lower *L)
{
    if (!lw_ok(L))
        return;
    const dv_node *n = &L->g->nodes[L->g->n_nodes - 1];
    dv_dtype type = lw_type(L, n->in[0]);
    if (n->op == DV_OP_SHAPE)
        type = DV_I64;
    else if (n->op == DV_OP_CAST)
        type = (dv_dtype)dv_node_int(n, DV_A_TO, DV_F32);
    for (int i = 0; i < n->n_out; i++)
        L->g->tensors[n->out[i]].dtype = type;
    infer_dims(L, n);
}
