/* SPDX-License-Identifier: Apache-2.0
 *
 * simplify.c - nodes that do nothing go, and what can be said in several ways is said in one,
 * so that the other passes have fewer forms to know:
 *   Squeeze, Unsqueeze, Flatten   -> Reshape with its shape as an attribute
 *   x - c, x / c, c + x, c * x    -> x + c', x * c'
 *   (x * a) * b, (x + a) + b      -> x * (a b), x + (a + b)
 *   MatMul by a constant matrix   -> Linear
 */
#include "import/passes/passes.h"

#include <math.h>
#include <string.h>

/* The readers of n's output read its input. Not if an Identity would have to stay in its place:
 * an output of the graph cannot be one of its inputs or constants, or another output. */
static bool skip_node(dv_rw *r, int32_t n)
{
    int32_t in = dv_rw_in(r, n, 0), out = dv_rw_out(r, n);
    if (in < 0 || r->g->tensors[in].dtype != r->g->tensors[out].dtype)
        return false;
    if (dv_rw_is_output(r, out) && (r->t[in].from < 0 || dv_rw_is_output(r, in)))
        return false;
    dv_rw_replace(r, out, in);
    return true;
}

static bool skip_if_same(dv_rw *r, int32_t n)
{
    return dv_rw_same(r, dv_rw_in(r, n, 0), dv_rw_out(r, n)) && skip_node(r, n);
}

static bool all_ints(const dv_node *n, uint16_t key, int64_t value)
{
    const dv_attr *a = dv_node_attr(n, key);
    for (uint32_t i = 0; a && !a->is_float && i < a->n; i++)
        if (a->v.i[i] != value)
            return false;
    return true;
}

/* ---- views ---- */

static bool view(dv_rw *r, int32_t n)
{
    static const uint16_t unused[] = {DV_A_AXIS, DV_A_AXES};
    int32_t in = dv_rw_in(r, n, 0), out = dv_rw_out(r, n);
    if (in < 0 || !dv_rw_is_f32(r, in))
        return false;
    if (skip_if_same(r, n))
        return true;
    dv_node *node = dv_rw_node(r, n);
    int32_t inner = dv_rw_maker(r, in, DV_OP_RESHAPE);
    if (node->op == DV_OP_RESHAPE && node->n_in == 1 && inner < 0)
        return false;
    int32_t from = inner >= 0 ? dv_rw_in(r, inner, 0) : in;
    int64_t shape[DMV_MAX_RANK];
    if (!dv_rw_reshape_attr(dv_rw_dims(r, from), dv_rw_dims(r, out), shape) ||
        !dv_rw_set_ints(r, n, DV_A_SHAPE, shape, dv_rw_dims(r, out)->rank))
        return false;
    dv_rw_node(r, n)->op = DV_OP_RESHAPE;
    for (size_t i = 0; i < DV_COUNT(unused); i++)
        dv_rw_drop_attr(r, n, unused[i]);
    dv_rw_trim_in(r, n, 1);
    if (from != in)
        dv_rw_set_in(r, n, 0, from);
    return true;
}

static bool identity_transpose(dv_rw *r, int32_t n)
{
    int p[DMV_MAX_RANK], rank = dv_rw_perm(r, n, p);
    for (int i = 0; i < rank; i++)
        if (p[i] != i)
            return false;
    return rank > 0 && skip_node(r, n);
}

/* ---- arithmetic with constants ---- */

static bool uniform(const dv_rw *r, int32_t t, float *v)
{
    size_t count;
    const float *f = dv_rw_floats(r, t, &count);
    if (!f || count == 0)
        return false;
    for (size_t i = 1; i < count; i++)
        if (f[i] != f[0])
            return false;
    *v = f[0];
    return true;
}

static bool neutral(int op, float v)
{
    switch (op) {
    case DV_BIN_ADD:
    case DV_BIN_SUB:
        return v == 0;
    case DV_BIN_MUL:
    case DV_BIN_DIV:
    case DV_BIN_POW:
        return v == 1;
    default:
        return false;
    }
}

/* A constant of the same shape with every value negated or inverted. */
static int32_t mapped_const(dv_rw *r, int32_t c, bool invert)
{
    size_t count;
    const float *f = dv_rw_floats(r, c, &count);
    float *v = dv_malloc(DV_MAX(count, 1) * sizeof(*v));
    if (!v) {
        dv_rw_nomem(r);
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        v[i] = invert ? 1 / f[i] : -f[i];
    const dv_gtensor *t = &r->g->tensors[c];
    int64_t dims[DMV_MAX_RANK];
    memcpy(dims, t->dims, sizeof(dims));
    int32_t out = dv_rw_const(r, NULL, t->rank, dims, v);
    dv_free(v);
    return out;
}

static bool all_nonzero(const dv_rw *r, int32_t c)
{
    size_t count;
    const float *f = dv_rw_floats(r, c, &count);
    for (size_t i = 0; f && i < count; i++)
        if (!(fabsf(f[i]) > 1e-30F)) /* 1 / v must be a number too */
            return false;
    return f != NULL;
}

static bool to_act(dv_rw *r, int32_t n, int32_t x, int act)
{
    if (!dv_rw_same(r, x, dv_rw_out(r, n)))
        return false;
    dv_rw_set_in(r, n, 0, x);
    dv_rw_trim_in(r, n, 1);
    dv_rw_node(r, n)->op = DV_OP_ACT;
    dv_rw_drop_attr(r, n, DV_A_BINARY);
    return dv_rw_set_int(r, n, DV_A_ACT, act);
}

static bool binary(dv_rw *r, int32_t n)
{
    int32_t a = dv_rw_in(r, n, 0), b = dv_rw_in(r, n, 1), c;
    int op = (int)dv_node_int(dv_rw_node(r, n), DV_A_BINARY, DV_BIN_ADD);
    float v;
    if (!dv_rw_is_f32(r, dv_rw_out(r, n)))
        return false;
    if (op == DV_BIN_DIV && dv_rw_scalar(r, a, &v) && v == 1 && !dv_rw_is_const(r, b))
        return to_act(r, n, b, DV_ACT_RECIP);
    if (dv_rw_is_const(r, a) && !dv_rw_is_const(r, b) &&
        (op == DV_BIN_ADD || op == DV_BIN_MUL || op == DV_BIN_MAX || op == DV_BIN_MIN)) {
        r->g->nodes[n].in[0] = b;
        r->g->nodes[n].in[1] = a;
        return true;
    }
    if (!dv_rw_is_const(r, b) || dv_rw_is_const(r, a))
        return false;
    if (uniform(r, b, &v)) {
        if (neutral(op, v) && skip_if_same(r, n))
            return true;
        if (op == DV_BIN_POW && v == 0.5F)
            return to_act(r, n, a, DV_ACT_SQRT);
        if (op == DV_BIN_POW && v == -1.0F)
            return to_act(r, n, a, DV_ACT_RECIP);
    }
    if (op == DV_BIN_SUB || (op == DV_BIN_DIV && all_nonzero(r, b))) {
        c = mapped_const(r, b, op == DV_BIN_DIV);
        dv_rw_set_in(r, n, 1, c);
        return c >= 0 &&
               dv_rw_set_int(r, n, DV_A_BINARY, op == DV_BIN_SUB ? DV_BIN_ADD : DV_BIN_MUL);
    }
    int32_t before = dv_rw_maker(r, a, DV_OP_BINARY);
    if (before < 0 || (op != DV_BIN_ADD && op != DV_BIN_MUL) || dv_rw_user(r, a) != n ||
        dv_node_int(dv_rw_node(r, before), DV_A_BINARY, DV_BIN_ADD) != op ||
        !dv_rw_is_const(r, dv_rw_in(r, before, 1)))
        return false;
    /* The constants are combined by a node of their own, which the folding pass works out. */
    int32_t pair[2] = {dv_rw_in(r, before, 1), b};
    dv_dims unknown = {.rank = -1};
    int32_t m = dv_rw_add(r, DV_OP_BINARY, NULL, 2, pair, -1, &unknown);
    if (m < 0 || !dv_rw_set_int(r, m, DV_A_BINARY, op))
        return false;
    const dv_dims *x = dv_rw_dims(r, pair[0]), *y = dv_rw_dims(r, pair[1]);
    dv_dims *o = &r->t[dv_rw_out(r, m)].dims;
    o->rank = DV_MAX(x->rank, y->rank);
    for (int i = 1; i <= o->rank; i++) {
        int64_t p = i <= x->rank ? x->d[x->rank - i] : 1, q = i <= y->rank ? y->d[y->rank - i] : 1;
        o->d[o->rank - i] = p == 1 ? q : p;
    }
    dv_rw_set_in(r, n, 1, dv_rw_out(r, m));
    dv_rw_set_in(r, n, 0, dv_rw_in(r, before, 0));
    return true;
}

/* ---- MatMul with a constant ---- */

static bool matmul(dv_rw *r, int32_t n)
{
    const dv_node *node = dv_rw_node(r, n);
    int32_t a = dv_rw_in(r, n, 0), b = dv_rw_in(r, n, 1);
    size_t count;
    const float *f = dv_rw_floats(r, b, &count);
    bool trans = dv_node_int(node, DV_A_TRANS_B, 0) != 0;
    float alpha = dv_node_float(node, DV_A_ALPHA, 1);
    if (!f || dv_rw_is_const(r, a) || dv_node_int(node, DV_A_TRANS_A, 0))
        return false;
    const dv_gtensor *t = &r->g->tensors[b];
    if (t->rank < 2 || t->rank > dv_rw_dims(r, a)->rank)
        return false;
    for (int i = 0; i < t->rank - 2; i++)
        if (t->dims[i] != 1)
            return false;
    size_t k = (size_t)t->dims[t->rank - 2], cols = (size_t)t->dims[t->rank - 1];
    if (trans) {
        size_t swap = k;
        k = cols;
        cols = swap;
    }
    float *w = dv_malloc(DV_MAX(count, 1) * sizeof(*w));
    if (!w)
        return dv_rw_nomem(r);
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < cols; j++)
            w[i * cols + j] = alpha * (trans ? f[j * k + i] : f[i * cols + j]);
    int64_t dims[2] = {(int64_t)k, (int64_t)cols};
    int32_t c = dv_rw_const(r, t->name, 2, dims, w);
    dv_free(w);
    if (c < 0)
        return false;
    dv_rw_set_in(r, n, 1, c);
    dv_rw_node(r, n)->op = DV_OP_LINEAR;
    dv_rw_drop_attr(r, n, DV_A_TRANS_A);
    dv_rw_drop_attr(r, n, DV_A_TRANS_B);
    dv_rw_drop_attr(r, n, DV_A_ALPHA);
    return true;
}

/* clip(clip(x, a, b), lo, hi) = clip(x, a', b') with a, b themselves clipped. */
static bool clip_twice(dv_rw *r, int32_t n)
{
    int32_t m = dv_rw_maker(r, dv_rw_in(r, n, 0), DV_OP_ACT);
    const dv_node *outer = dv_rw_node(r, n), *inner = m < 0 ? NULL : dv_rw_node(r, m);
    if (!inner || dv_node_int(outer, DV_A_ACT, DV_ACT_NONE) != DV_ACT_CLIP ||
        dv_node_int(inner, DV_A_ACT, DV_ACT_NONE) != DV_ACT_CLIP)
        return false;
    float lo = dv_node_float(outer, DV_A_P, 0), hi = dv_node_float(outer, DV_A_Q, 0);
    float a = dv_node_float(inner, DV_A_P, 0), b = dv_node_float(inner, DV_A_Q, 0);
    if (!(lo <= hi) || !(a <= b) || !dv_rw_set_float(r, n, DV_A_P, fminf(fmaxf(a, lo), hi)) ||
        !dv_rw_set_float(r, n, DV_A_Q, fminf(fmaxf(b, lo), hi)))
        return false;
    dv_rw_set_in(r, n, 0, dv_rw_in(r, m, 0));
    return true;
}

static bool simplify_node(dv_rw *r, int32_t n)
{
    const dv_node *node = dv_rw_node(r, n);
    switch (node->op) {
    case DV_OP_IDENTITY:
    case DV_OP_CAST: /* only if the types agree */
        return skip_node(r, n);
    case DV_OP_RESHAPE:
    case DV_OP_SQUEEZE:
    case DV_OP_UNSQUEEZE:
    case DV_OP_FLATTEN:
        return view(r, n);
    case DV_OP_TRANSPOSE:
        return identity_transpose(r, n);
    case DV_OP_MAX_POOL:
    case DV_OP_AVG_POOL:
        return all_ints(node, DV_A_KERNEL, 1) && all_ints(node, DV_A_STRIDE, 1) &&
               all_ints(node, DV_A_PADS, 0) && skip_if_same(r, n);
    case DV_OP_PAD:
        return node->n_in == 1 && all_ints(node, DV_A_PADS, 0) && skip_node(r, n);
    case DV_OP_BINARY:
        return binary(r, n);
    case DV_OP_MATMUL:
        return matmul(r, n);
    case DV_OP_CONCAT:
        return node->n_in == 1 && skip_node(r, n);
    case DV_OP_SPLIT:
        return node->n_out == 1 && skip_if_same(r, n);
    case DV_OP_SLICE:
        return node->n_in == 1 && all_ints(node, DV_A_STEPS, 1) && skip_if_same(r, n);
    case DV_OP_EXPAND:
        return skip_if_same(r, n);
    case DV_OP_ACT:
        return dv_node_int(node, DV_A_ACT, DV_ACT_NONE) == DV_ACT_NONE ? skip_node(r, n)
                                                                       : clip_twice(r, n);
    default:
        return false;
    }
}

bool dv_pass_simplify(dv_rw *r)
{
    bool changed = false;
    for (int32_t n = 0; dv_rw_ok(r) && (size_t)n < r->g->n_nodes; n++)
        if (simplify_node(r, n))
            changed = true;
    return changed;
}

/* ---- last touches ---- */

/* A Transpose that only moves dims of size 1 is a Reshape. */
static bool view_transpose(dv_rw *r, int32_t n)
{
    int p[DMV_MAX_RANK], rank = dv_rw_perm(r, n, p), last = -1;
    int32_t in = dv_rw_in(r, n, 0), out = dv_rw_out(r, n);
    const dv_dims *d = dv_rw_dims(r, in);
    int64_t shape[DMV_MAX_RANK];
    bool identity = true;
    if (rank == 0 || d->rank != rank)
        return false;
    for (int i = 0; i < rank; i++) {
        identity = identity && p[i] == i;
        if (d->d[p[i]] == 1)
            continue;
        if (p[i] < last)
            return false;
        last = p[i];
    }
    if (!identity && (!dv_rw_reshape_attr(d, dv_rw_dims(r, out), shape) ||
                      !dv_rw_set_ints(r, n, DV_A_SHAPE, shape, rank)))
        return false;
    dv_rw_node(r, n)->op = identity ? DV_OP_IDENTITY : DV_OP_RESHAPE;
    dv_rw_drop_attr(r, n, DV_A_PERM);
    return true;
}

/* x * scale + shift along the channels of a picture is a depthwise 1x1 convolution: one walk
 * over the data, and the activation can be fused into it. */
static bool affine(dv_rw *r, int32_t n)
{
    if (dv_node_int(dv_rw_node(r, n), DV_A_BINARY, DV_BIN_ADD) != DV_BIN_ADD)
        return false;
    int32_t y = dv_rw_in(r, n, 0), m = dv_rw_maker(r, y, DV_OP_BINARY);
    if (m < 0 || dv_rw_user(r, y) != n ||
        dv_node_int(dv_rw_node(r, m), DV_A_BINARY, DV_BIN_ADD) != DV_BIN_MUL)
        return false;
    int32_t x = dv_rw_in(r, m, 0), out = dv_rw_out(r, n);
    const dv_dims *d = dv_rw_dims(r, x);
    if (d->rank != 4 || d->d[3] < 2 || !dv_rw_same(r, x, out) || dv_rw_is_const(r, x))
        return false;
    size_t c = (size_t)d->d[3];
    float *v = dv_calloc(2 * c, sizeof(*v));
    if (!v)
        return dv_rw_nomem(r);
    bool fits = dv_rw_channels(r, dv_rw_in(r, m, 1), 4, 3, c, v) &&
                dv_rw_channels(r, dv_rw_in(r, n, 1), 4, 3, c, v + c);
    int64_t wd[4] = {1, 1, 1, (int64_t)c}, one[2] = {1, 1};
    int32_t in[3] = {x, -1, -1};
    if (fits) {
        in[1] = dv_rw_const(r, NULL, 4, wd, v);
        in[2] = dv_rw_const(r, NULL, 1, wd + 3, v + c);
    }
    dv_free(v);
    if (!fits || !dv_rw_ok(r))
        return false;
    for (int i = 0; i < 3; i++)
        dv_rw_set_in(r, n, i, in[i]);
    dv_rw_node(r, n)->op = DV_OP_CONV;
    dv_rw_drop_attr(r, n, DV_A_BINARY);
    return dv_rw_set_ints(r, n, DV_A_KERNEL, one, 2) && dv_rw_set_int(r, n, DV_A_GROUP, (int64_t)c);
}

bool dv_pass_final(dv_rw *r)
{
    bool changed = false;
    for (int32_t n = 0; dv_rw_ok(r) && (size_t)n < r->g->n_nodes; n++) {
        uint16_t op = dv_rw_node(r, n)->op;
        if (op == DV_OP_TRANSPOSE)
            changed |= view_transpose(r, n);
        else if (op == DV_OP_BINARY)
            changed |= affine(r, n);
    }
    return changed;
}
