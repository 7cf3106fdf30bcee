/* SPDX-License-Identifier: Apache-2.0
 *
 * recognise.c - exporters take functions apart into arithmetic; here they are put together
 * again: LayerNorm, L2 normalisation, GELU, swish, hard sigmoid, hard swish, leaky ReLU.
 * The forms met are those after simplify.c: constants on the right, x - c and x / c written
 * as x + c and x * c. Only the last node of a pattern is replaced; what nobody else reads
 * dies with it, so no pattern needs to be unshared to be correct.
 */
#include "import/passes/passes.h"

#include <math.h>

static int bin_op(const dv_rw *r, int32_t n) /* DV_BIN_* of a Binary node, -1 for others */
{
    if (!dv_rw_is(r, n, DV_OP_BINARY))
        return -1;
    return (int)dv_node_int(dv_rw_node(r, n), DV_A_BINARY, DV_BIN_ADD);
}

static int act_of(const dv_rw *r, int32_t n) /* DV_ACT_* of an Activation node, -1 */
{
    if (!dv_rw_is(r, n, DV_OP_ACT))
        return -1;
    return (int)dv_node_int(dv_rw_node(r, n), DV_A_ACT, DV_ACT_NONE);
}

static int32_t from_bin(const dv_rw *r, int32_t t, int op) /* the node that makes t, or -1 */
{
    int32_t n = dv_rw_maker(r, t, DV_OP_BINARY);
    return bin_op(r, n) == op ? n : -1;
}

static int32_t from_act(const dv_rw *r, int32_t t, int act)
{
    int32_t n = dv_rw_maker(r, t, DV_OP_ACT);
    return act_of(r, n) == act ? n : -1;
}

static bool close_to(float v, float want)
{
    return fabsf(v - want) <= 1e-5F * fabsf(want);
}

/* t = x op c with a constant scalar c. */
static bool with_scalar(const dv_rw *r, int32_t t, int op, int32_t *x, float *c)
{
    int32_t n = from_bin(r, t, op);
    if (n < 0 || !dv_rw_scalar(r, dv_rw_in(r, n, 1), c))
        return false;
    *x = dv_rw_in(r, n, 0);
    return true;
}

/* Node n becomes an activation of x. */
static bool become_act(dv_rw *r, int32_t n, int32_t x, int act, float p, float q)
{
    if (!dv_rw_same(r, x, dv_rw_out(r, n)))
        return false;
    dv_rw_set_in(r, n, 0, x);
    dv_rw_trim_in(r, n, 1);
    dv_rw_drop_attr(r, n, DV_A_BINARY);
    dv_rw_node(r, n)->op = DV_OP_ACT;
    return dv_rw_set_int(r, n, DV_A_ACT, act) && dv_rw_set_float(r, n, DV_A_P, p) &&
           dv_rw_set_float(r, n, DV_A_Q, q);
}

/* ---- norms ---- */

/* t = Reduce(x) along one axis, dims kept. */
static bool reduced(const dv_rw *r, int32_t t, int kind, int32_t *x, int *axis)
{
    int32_t n = dv_rw_maker(r, t, DV_OP_REDUCE);
    int axes[DMV_MAX_RANK];
    if (n < 0 || dv_node_int(dv_rw_node(r, n), DV_A_REDUCE, DV_RED_MEAN) != kind)
        return false;
    *x = dv_rw_in(r, n, 0);
    int rank = dv_rw_dims(r, *x)->rank;
    if (rank < 1 || (!dv_node_int(dv_rw_node(r, n), DV_A_KEEPDIMS, 1)) ||
        dv_rw_axes(r, n, rank, axes) != 1)
        return false;
    *axis = axes[0];
    return true;
}

/* t = x^2 */
static bool squared(const dv_rw *r, int32_t t, int32_t *x)
{
    float two;
    if (with_scalar(r, t, DV_BIN_POW, x, &two))
        return two == 2.0F;
    int32_t n = from_bin(r, t, DV_BIN_MUL);
    if (n < 0 || dv_rw_in(r, n, 0) != dv_rw_in(r, n, 1))
        return false;
    *x = dv_rw_in(r, n, 0);
    return true;
}

/* Node n normalises along `axis`: it becomes `op` over the last axis of x, between Transposes
 * if that is not the same. */
static bool become_norm(dv_rw *r, int32_t n, uint16_t op, int32_t x, int axis, float eps)
{
    int32_t out = dv_rw_out(r, n);
    int rank = dv_rw_dims(r, x)->rank, perm[DMV_MAX_RANK], back[DMV_MAX_RANK], k = 0;
    if (!dv_rw_same(r, x, out))
        return false;
    for (int i = 0; i < rank; i++)
        if (i != axis)
            perm[k++] = i;
    perm[rank - 1] = axis;
    for (int i = 0; i < rank; i++)
        back[perm[i]] = i;
    int32_t in = axis == rank - 1 ? x : dv_rw_transpose(r, x, perm, NULL);
    if (in < 0)
        return false;
    dv_rw_set_in(r, n, 0, in);
    dv_rw_trim_in(r, n, 1);
    dv_rw_drop_attr(r, n, DV_A_BINARY);
    dv_rw_node(r, n)->op = op;
    if (!dv_rw_set_float(r, n, DV_A_EPS, eps))
        return false;
    if (op == DV_OP_L2_NORM && !dv_rw_set_int(r, n, DV_A_AXIS, rank - 1))
        return false;
    if (axis != rank - 1) {
        dv_dims d = *dv_rw_dims(r, in);
        int32_t u = dv_rw_tensor(r, &d);
        if (u < 0)
            return false;
        dv_rw_set_out(r, n, 0, u);
        int64_t p[DMV_MAX_RANK];
        for (int i = 0; i < rank; i++)
            p[i] = back[i];
        int32_t t = dv_rw_add(r, DV_OP_TRANSPOSE, NULL, 1, &u, out, NULL);
        return t >= 0 && dv_rw_set_ints(r, t, DV_A_PERM, p, rank);
    }
    return true;
}

/* (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps), or times 1 / sqrt */
static bool layer_norm(dv_rw *r, int32_t n)
{
    int op = bin_op(r, n);
    if (op != DV_BIN_DIV && op != DV_BIN_MUL)
        return false;
    for (int side = 0; side < (op == DV_BIN_MUL ? 2 : 1); side++) {
        int32_t centred = dv_rw_in(r, n, side), root = dv_rw_in(r, n, 1 - side);
        int32_t sub = from_bin(r, centred, DV_BIN_SUB), x, x2, var, power, same;
        int axis, axis2;
        float eps;
        if (op == DV_BIN_MUL) {
            int32_t inv = from_act(r, root, DV_ACT_RECIP);
            root = inv < 0 ? -1 : dv_rw_in(r, inv, 0);
        }
        int32_t sqr = from_act(r, root, DV_ACT_SQRT);
        if (sub < 0 || sqr < 0 || !with_scalar(r, dv_rw_in(r, sqr, 0), DV_BIN_ADD, &var, &eps) ||
            !(eps > 0) || !reduced(r, dv_rw_in(r, sub, 1), DV_RED_MEAN, &x, &axis) ||
            dv_rw_in(r, sub, 0) != x || !reduced(r, var, DV_RED_MEAN, &power, &axis2) ||
            axis2 != axis || !squared(r, power, &same))
            continue;
        int32_t sub2 = from_bin(r, same, DV_BIN_SUB);
        x2 = sub2 < 0 ? -1 : dv_rw_in(r, sub2, 0);
        if (same != centred && (x2 != x || dv_rw_in(r, sub2, 1) != dv_rw_in(r, sub, 1)))
            continue;
        return become_norm(r, n, DV_OP_LAYER_NORM, x, axis, eps);
    }
    return false;
}

/* t = |x| along one axis: ReduceL2, or the root of a sum of squares */
static bool norm_of(const dv_rw *r, int32_t t, int32_t *x, int *axis)
{
    int32_t sqr, power;
    if (reduced(r, t, DV_RED_L2, x, axis))
        return true;
    sqr = from_act(r, t, DV_ACT_SQRT);
    if (sqr < 0)
        return false;
    t = dv_rw_in(r, sqr, 0);
    if (reduced(r, t, DV_RED_SUMSQ, x, axis))
        return true;
    return reduced(r, t, DV_RED_SUM, &power, axis) && squared(r, power, x);
}

/* x / max(|x|, eps), the norm perhaps spread by an Expand */
static bool l2_norm(dv_rw *r, int32_t n)
{
    if (bin_op(r, n) != DV_BIN_DIV)
        return false;
    int32_t x = dv_rw_in(r, n, 0), y = dv_rw_in(r, n, 1), source, inner;
    int axis;
    float eps = 0;
    int32_t expand = dv_rw_maker(r, y, DV_OP_EXPAND);
    if (expand >= 0)
        y = dv_rw_in(r, expand, 0);
    int32_t clip = from_act(r, y, DV_ACT_CLIP);
    if (with_scalar(r, y, DV_BIN_MAX, &inner, &eps)) {
        y = inner;
    } else if (clip >= 0 && dv_node_float(dv_rw_node(r, clip), DV_A_Q, 0) > 1e30F) {
        eps = dv_node_float(dv_rw_node(r, clip), DV_A_P, 0);
        y = dv_rw_in(r, clip, 0);
    }
    if (!(eps >= 0) || !norm_of(r, y, &source, &axis) || source != x ||
        !dv_rw_same(r, x, dv_rw_out(r, n)))
        return false;
    /* The op takes any axis: no Transposes needed. */
    dv_rw_set_in(r, n, 0, x);
    dv_rw_trim_in(r, n, 1);
    dv_rw_drop_attr(r, n, DV_A_BINARY);
    dv_rw_node(r, n)->op = DV_OP_L2_NORM;
    return dv_rw_set_float(r, n, DV_A_EPS, eps) && dv_rw_set_int(r, n, DV_A_AXIS, axis);
}

/* ---- activations ---- */

/* x * 0.5 * (1 + erf(x / sqrt 2)), the factors in any order; n is the Erf. */
static bool gelu(dv_rw *r, int32_t n)
{
    int32_t x, z = dv_rw_in(r, n, 0);
    float c, one;
    if (act_of(r, n) != DV_ACT_ERF || !with_scalar(r, z, DV_BIN_MUL, &x, &c) ||
        !close_to(c, 0.70710678F))
        return false;
    int32_t add = dv_rw_user(r, dv_rw_out(r, n));
    if (bin_op(r, add) != DV_BIN_ADD || !dv_rw_scalar(r, dv_rw_in(r, add, 1), &one) || one != 1)
        return false;
    float scale = 1;
    bool seen = false;
    int32_t last = add;
    for (int step = 0; step < 3; step++) {
        int32_t t = dv_rw_out(r, last), mul = dv_rw_user(r, t), inner;
        if (bin_op(r, mul) != DV_BIN_MUL)
            return false;
        int32_t other = dv_rw_in(r, mul, dv_rw_in(r, mul, 0) == t);
        if (dv_rw_scalar(r, other, &c)) {
            scale *= c;
        } else if (!seen && other == x) {
            seen = true;
        } else if (!seen && with_scalar(r, other, DV_BIN_MUL, &inner, &c) && inner == x) {
            seen = true;
            scale *= c;
        } else {
            return false;
        }
        if (seen && close_to(scale, 0.5F))
            return become_act(r, mul, x, DV_ACT_GELU, 0, 0);
        last = mul;
    }
    return false;
}

/* t = clip(x + shift, 0, top) */
static bool shifted_clip(const dv_rw *r, int32_t t, int32_t *x, float *shift, float *top)
{
    int32_t n = from_act(r, t, DV_ACT_CLIP);
    if (n < 0 || dv_node_float(dv_rw_node(r, n), DV_A_P, 0) != 0)
        return false;
    *top = dv_node_float(dv_rw_node(r, n), DV_A_Q, 0);
    return *top > 0 && *top < 1e30F && with_scalar(r, dv_rw_in(r, n, 0), DV_BIN_ADD, x, shift);
}

static bool products(dv_rw *r, int32_t n)
{
    int32_t x, y;
    float c, shift, top;
    if (bin_op(r, n) != DV_BIN_MUL)
        return false;
    if (dv_rw_scalar(r, dv_rw_in(r, n, 1), &c)) {
        int32_t t = dv_rw_in(r, n, 0), m = from_bin(r, t, DV_BIN_MUL);
        if (shifted_clip(r, t, &x, &shift, &top) && close_to(c * top, 1))
            return become_act(r, n, x, DV_ACT_HSIGMOID, c, c * shift);
        for (int side = 0; m >= 0 && side < 2; side++)
            if (shifted_clip(r, dv_rw_in(r, m, side), &x, &shift, &top) &&
                dv_rw_in(r, m, 1 - side) == x && shift == 3 && top == 6 && close_to(c, 1 / 6.F))
                return become_act(r, n, x, DV_ACT_HSWISH, 0, 0);
        return false;
    }
    for (int side = 0; side < 2; side++) {
        int32_t a = dv_rw_in(r, n, side), b = dv_rw_in(r, n, 1 - side);
        int32_t gate = dv_rw_maker(r, b, DV_OP_ACT);
        if (gate >= 0 && dv_rw_in(r, gate, 0) == a) {
            const dv_node *g = dv_rw_node(r, gate);
            if (act_of(r, gate) == DV_ACT_SIGMOID)
                return become_act(r, n, a, DV_ACT_SWISH, 0, 0);
            if (act_of(r, gate) == DV_ACT_HSIGMOID &&
                close_to(dv_node_float(g, DV_A_P, 0), 1 / 6.F) &&
                close_to(dv_node_float(g, DV_A_Q, 0), 0.5F))
                return become_act(r, n, a, DV_ACT_HSWISH, 0, 0);
        }
        if (with_scalar(r, a, DV_BIN_MUL, &y, &c) && close_to(c, 1 / 6.F) &&
            shifted_clip(r, b, &x, &shift, &top) && x == y && shift == 3 && top == 6)
            return become_act(r, n, x, DV_ACT_HSWISH, 0, 0);
    }
    return false;
}

/* max(x, c), min(x, c): a clip. max(x, c x), 0 < c < 1: leaky ReLU. */
static bool extremes(dv_rw *r, int32_t n)
{
    int op = bin_op(r, n);
    int32_t x;
    float c;
    if (op != DV_BIN_MAX && op != DV_BIN_MIN)
        return false;
    if (dv_rw_scalar(r, dv_rw_in(r, n, 1), &c))
        return become_act(r, n, dv_rw_in(r, n, 0), DV_ACT_CLIP, op == DV_BIN_MAX ? c : -INFINITY,
                          op == DV_BIN_MAX ? INFINITY : c);
    for (int side = 0; op == DV_BIN_MAX && side < 2; side++)
        if (with_scalar(r, dv_rw_in(r, n, side), DV_BIN_MUL, &x, &c) &&
            x == dv_rw_in(r, n, 1 - side) && c > 0 && c < 1)
            return become_act(r, n, x, DV_ACT_LEAKY, c, 0);
    return false;
}

/* clip(p x + q, 0, 1) */
static bool hard_sigmoid(dv_rw *r, int32_t n)
{
    int32_t x, y;
    float p, q;
    if (act_of(r, n) != DV_ACT_CLIP || dv_node_float(dv_rw_node(r, n), DV_A_P, 0) != 0 ||
        dv_node_float(dv_rw_node(r, n), DV_A_Q, 0) != 1 ||
        !with_scalar(r, dv_rw_in(r, n, 0), DV_BIN_ADD, &y, &q) ||
        !with_scalar(r, y, DV_BIN_MUL, &x, &p))
        return false;
    return become_act(r, n, x, DV_ACT_HSIGMOID, p, q);
}

bool dv_pass_recognise(dv_rw *r)
{
    bool changed = false;
    for (int32_t n = 0; dv_rw_ok(r) && (size_t)n < r->g->n_nodes; n++) {
        uint16_t op = dv_rw_node(r, n)->op;
        if (op == DV_OP_BINARY && dv_rw_is_f32(r, dv_rw_out(r, n)))
            changed |= layer_norm(r, n) || l2_norm(r, n) || products(r, n) || extremes(r, n);
        else if (op == DV_OP_ACT)
            changed |= gelu(r, n) || hard_sigmoid(r, n);
    }
    return changed;
}
