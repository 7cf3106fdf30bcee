/* SPDX-License-Identifier: Apache-2.0
 *
 * weights.c - linear arithmetic goes into the weights of the linear op next to it:
 *   Conv, ConvTranspose, Linear, then * s or + t per channel (batch normalisation)
 *   * s or + t per channel, then Conv or Linear
 *   LayerNorm, then * gamma or + beta
 *   MatMul and a scalar factor
 *   Pad with zeros, then Conv or average pool
 * Weights may be shared between nodes, so a changed copy is made each time.
 */
#include "import/passes/passes.h"

#include <math.h>
#include <string.h>

static int bin_op(const dv_rw *r, int32_t n)
{
    return (int)dv_node_int(dv_rw_node(r, n), DV_A_BINARY, DV_BIN_ADD);
}

static float *copy_floats(dv_rw *r, int32_t t, size_t *count)
{
    const float *f = dv_rw_floats(r, t, count);
    float *v = f ? dv_malloc(DV_MAX(*count, 1) * sizeof(*v)) : NULL;
    if (f && !v)
        dv_rw_nomem(r);
    if (v)
        memcpy(v, f, *count * sizeof(*v));
    return v;
}

/* Input i of n becomes a constant shaped as the old one, with new values. */
static void renew(dv_rw *r, int32_t n, int i, const float *v)
{
    const dv_gtensor *t = &r->g->tensors[dv_rw_in(r, n, i)];
    int64_t dims[DMV_MAX_RANK];
    memcpy(dims, t->dims, sizeof(dims));
    int32_t c = dv_rw_const(r, t->name, t->rank, dims, v);
    if (c >= 0)
        dv_rw_set_in(r, n, i, c);
}

static void new_vector(dv_rw *r, int32_t n, int i, size_t count, const float *v)
{
    int64_t dim = (int64_t)count;
    int32_t old = dv_rw_in(r, n, i);
    int32_t c = dv_rw_const(r, old < 0 ? NULL : r->g->tensors[old].name, 1, &dim, v);
    if (c >= 0)
        dv_rw_set_in(r, n, i, c);
}

/* Output channels of a Conv, ConvTranspose or Linear whose weights can be changed; else 0. */
static size_t channels_of(const dv_rw *r, int32_t n)
{
    size_t count;
    const dv_node *node = dv_rw_node(r, n);
    int32_t w = dv_rw_in(r, n, 1), b = dv_rw_in(r, n, 2);
    if (!dv_rw_floats(r, w, &count) || r->g->tensors[w].rank < 2 || count == 0)
        return 0;
    size_t last = (size_t)r->g->tensors[w].dims[r->g->tensors[w].rank - 1];
    if (node->op == DV_OP_CONV_TRANSPOSE) {
        int64_t k[2] = {1, 1};
        dv_node_ints(node, DV_A_KERNEL, k, 2);
        if (k[0] < 1 || k[1] < 1 || k[0] > 4096 || k[1] > 4096 || last % (size_t)(k[0] * k[1]) ||
            dv_node_int(node, DV_A_GROUP, 1) != 1)
            return 0;
        last /= (size_t)(k[0] * k[1]);
    } else if (node->op != DV_OP_CONV && node->op != DV_OP_LINEAR) {
        return 0;
    }
    return b >= 0 && (!dv_rw_floats(r, b, &count) || count != last) ? 0 : last;
}

/* Nothing happens in n between the sum and the output. */
static bool is_plain(const dv_rw *r, int32_t n)
{
    return dv_rw_in(r, n, 3) < 0 && dv_rw_in(r, n, 4) < 0 &&
           dv_node_int(dv_rw_node(r, n), DV_A_ACT, DV_ACT_NONE) == DV_ACT_NONE;
}

/* Weights of l times s[c], bias = bias * s[c] + t[c]. */
static bool scale_outputs(dv_rw *r, int32_t l, size_t c, const float *s, const float *t)
{
    size_t count, nb = 0;
    float *w = copy_floats(r, dv_rw_in(r, l, 1), &count);
    float *b = dv_rw_in(r, l, 2) >= 0 ? copy_floats(r, dv_rw_in(r, l, 2), &nb) : NULL;
    float *sum = dv_calloc(c, sizeof(*sum));
    bool ok = w && sum && (b || dv_rw_in(r, l, 2) < 0), shifted = b != NULL;
    if (!ok)
        dv_rw_nomem(r);
    for (size_t i = 0; ok && i < count; i++)
        w[i] *= s[i % c]; /* the channel is the last axis */
    for (size_t i = 0; ok && i < c; i++) {
        sum[i] = (b ? b[i] : 0) * s[i] + t[i];
        shifted = shifted || sum[i] != 0;
    }
    if (ok)
        renew(r, l, 1, w);
    if (ok && shifted)
        new_vector(r, l, 2, c, sum);
    dv_attr *a = (dv_attr *)(uintptr_t)dv_node_attr(dv_rw_node(r, l), DV_IMPORT_SCALES);
    for (size_t i = 0; ok && a && i < a->n; i++) /* weights are integers times these */
        a->v.f[i] *= s[i % c] != 0 ? fabsf(s[i % c]) : 1;
    dv_free(w);
    dv_free(b);
    dv_free(sum);
    return ok && dv_rw_ok(r);
}

/* The constant of Binary n as y = x * s + t for the c channels along an axis of x; `side` is
 * where the constant stands. s holds 2 c floats, t behind s. */
static bool as_affine(const dv_rw *r, int32_t n, int side, int rank, int axis, size_t c, float *s)
{
    float *t = s + c;
    int op = bin_op(r, n);
    float *v = op == DV_BIN_MUL || op == DV_BIN_DIV ? s : t;
    if (!dv_rw_channels(r, dv_rw_in(r, n, side), rank, axis, c, v))
        return false;
    for (size_t i = 0; i < c; i++) {
        if (v == t)
            s[i] = 1;
        else
            t[i] = 0;
        if (op == DV_BIN_DIV)
            s[i] = 1 / s[i];
        else if (op == DV_BIN_SUB && side == 1)
            t[i] = -t[i];
        else if (op == DV_BIN_SUB)
            s[i] = -1;
    }
    return op == DV_BIN_ADD || op == DV_BIN_MUL || op == DV_BIN_SUB ||
           (op == DV_BIN_DIV && side == 1);
}

/* Layer, then Binary n with a constant: n goes. */
static bool after_layer(dv_rw *r, int32_t n, int side)
{
    int32_t y = dv_rw_in(r, n, 1 - side), out = dv_rw_out(r, n);
    int32_t l = y < 0 ? -1 : r->t[y].from;
    if (l < 0 || dv_rw_user(r, y) != n || !dv_rw_same(r, y, out))
        return false;
    size_t c = channels_of(r, l);
    if (c == 0 || !is_plain(r, l))
        return false;
    float *s = dv_calloc(2 * c, sizeof(*s));
    if (!s)
        return dv_rw_nomem(r);
    int rank = dv_rw_dims(r, out)->rank;
    bool done =
        rank > 0 && as_affine(r, n, side, rank, rank - 1, c, s) && scale_outputs(r, l, c, s, s + c);
    dv_free(s);
    if (done)
        dv_rw_take(r, l, out);
    return done;
}

static bool unpadded(const dv_node *n)
{
    int64_t v[4] = {0};
    dv_node_ints(n, DV_A_PADS, v, 4);
    return !v[0] && !v[1] && !v[2] && !v[3];
}

/* Binary with a constant, then layer l: rows of the weights are scaled, the shift becomes
 * bias. s: scale of each input channel, then shift. */
static bool scale_inputs(dv_rw *r, int32_t l, size_t in, size_t c, const float *s)
{
    size_t count, nb = 0, groups = 1;
    const dv_node *node = dv_rw_node(r, l);
    if (node->op == DV_OP_CONV)
        groups = (size_t)dv_node_int(node, DV_A_GROUP, 1);
    float *w = copy_floats(r, dv_rw_in(r, l, 1), &count);
    float *b = dv_rw_in(r, l, 2) >= 0 ? copy_floats(r, dv_rw_in(r, l, 2), &nb) : NULL;
    float *sum = dv_calloc(c, sizeof(*sum));
    size_t each = in / groups, per = c / groups;
    bool ok = w && sum && (b || dv_rw_in(r, l, 2) < 0), shifted = b != NULL;
    if (!ok)
        dv_rw_nomem(r);
    for (size_t i = 0; ok && i < in; i++)
        if (s[i] != 1) /* columns are no longer integers times one scale */
            dv_rw_drop_attr(r, l, DV_IMPORT_SCALES);
    for (size_t i = 0; ok && i < count; i++) { /* w[.., each, c] */
        size_t oc = i % c, ic = i / c % each + oc / per * each;
        sum[oc] += w[i] * s[in + ic];
        w[i] *= s[ic];
    }
    for (size_t i = 0; ok && i < c; i++) {
        sum[i] += b ? b[i] : 0;
        shifted = shifted || sum[i] != 0;
    }
    if (ok)
        renew(r, l, 1, w);
    if (ok && shifted)
        new_vector(r, l, 2, c, sum);
    dv_free(w);
    dv_free(b);
    dv_free(sum);
    return ok && dv_rw_ok(r);
}

static bool before_layer(dv_rw *r, int32_t l)
{
    const dv_node *node = dv_rw_node(r, l);
    int32_t x = dv_rw_in(r, l, 0), n = dv_rw_maker(r, x, DV_OP_BINARY);
    int32_t t = dv_rw_maker(r, x, DV_OP_TRANSPOSE); /* in between, on the input of the net */
    size_t c = channels_of(r, l);
    int p[DMV_MAX_RANK], rank = dv_rw_dims(r, x)->rank;
    if (t >= 0)
        n = dv_rw_maker(r, dv_rw_in(r, t, 0), DV_OP_BINARY);
    if (n < 0 || c == 0 || node->op == DV_OP_CONV_TRANSPOSE || dv_rw_user(r, x) != l || rank < 1)
        return false;
    if (t >= 0 && (dv_rw_user(r, dv_rw_out(r, n)) != t || dv_rw_perm(r, t, p) != rank))
        return false;
    int side = dv_rw_is_const(r, dv_rw_in(r, n, 1)) ? 1 : 0, op = bin_op(r, n);
    int axis = t >= 0 ? p[rank - 1] : rank - 1;
    int32_t y = dv_rw_in(r, n, 1 - side);
    const dv_dims *d = dv_rw_dims(r, y);
    if (!dv_rw_same(r, dv_rw_out(r, n), y) || d->d[axis] < 1)
        return false;
    if (node->op == DV_OP_CONV && !unpadded(node) && op != DV_BIN_MUL)
        return false;
    size_t in = (size_t)d->d[axis];
    const dv_gtensor *w = &r->g->tensors[dv_rw_in(r, l, 1)];
    int64_t groups = node->op == DV_OP_CONV ? dv_node_int(node, DV_A_GROUP, 1) : 1;
    if (groups < 1 || in % (size_t)groups || c % (size_t)groups ||
        (size_t)w->dims[w->rank - 2] != in / (size_t)groups)
        return false;
    float *s = dv_calloc(2 * in, sizeof(*s));
    if (!s)
        return dv_rw_nomem(r);
    bool done = as_affine(r, n, side, rank, axis, in, s) && scale_inputs(r, l, in, c, s);
    dv_free(s);
    if (done)
        dv_rw_set_in(r, t >= 0 ? t : l, 0, y);
    return done;
}

/* LayerNorm, then Binary n with a constant along the last axis. */
static bool after_norm(dv_rw *r, int32_t n, int side)
{
    int32_t y = dv_rw_in(r, n, 1 - side), out = dv_rw_out(r, n);
    int32_t l = dv_rw_maker(r, y, DV_OP_LAYER_NORM);
    const dv_dims *d = dv_rw_dims(r, out);
    if (l < 0 || dv_rw_user(r, y) != n || !dv_rw_same(r, y, out) || d->rank < 1 ||
        d->d[d->rank - 1] < 1)
        return false;
    size_t c = (size_t)d->d[d->rank - 1], n1 = c, n2 = c;
    int32_t gamma = dv_rw_in(r, l, 1), beta = dv_rw_in(r, l, 2);
    const float *g = gamma < 0 ? NULL : dv_rw_floats(r, gamma, &n1);
    const float *b = beta < 0 ? NULL : dv_rw_floats(r, beta, &n2);
    if ((gamma >= 0 && !g) || (beta >= 0 && !b) || n1 != c || n2 != c)
        return false;
    float *s = dv_calloc(2 * c, sizeof(*s));
    if (!s)
        return dv_rw_nomem(r);
    bool done = as_affine(r, n, side, d->rank, d->rank - 1, c, s), shifted = b != NULL;
    for (size_t i = 0; done && i < c; i++) {
        s[c + i] += (b ? b[i] : 0) * s[i];
        s[i] *= g ? g[i] : 1;
        shifted = shifted || s[c + i] != 0;
    }
    if (done)
        new_vector(r, l, 1, c, s);
    if (done && shifted)
        new_vector(r, l, 2, c, s + c);
    dv_free(s);
    if (done)
        dv_rw_take(r, l, out);
    return done && dv_rw_ok(r);
}

/* MatMul, then a scalar factor; or the factor on one operand. */
static bool matmul_scale(dv_rw *r, int32_t n)
{
    float c;
    int32_t out = dv_rw_out(r, n), y = dv_rw_in(r, n, 0), m = dv_rw_maker(r, y, DV_OP_MATMUL);
    if (bin_op(r, n) != DV_BIN_MUL || !dv_rw_scalar(r, dv_rw_in(r, n, 1), &c))
        return false;
    if (m >= 0 && dv_rw_user(r, y) == n && dv_rw_same(r, y, out)) {
        float alpha = dv_node_float(dv_rw_node(r, m), DV_A_ALPHA, 1) * c;
        if (!dv_rw_set_float(r, m, DV_A_ALPHA, alpha))
            return false;
        dv_rw_take(r, m, out);
        return true;
    }
    m = dv_rw_user(r, out);
    if (dv_rw_is(r, m, DV_OP_MATMUL) && dv_rw_same(r, y, out)) {
        float alpha = dv_node_float(dv_rw_node(r, m), DV_A_ALPHA, 1) * c;
        if (!dv_rw_set_float(r, m, DV_A_ALPHA, alpha))
            return false;
        dv_rw_set_in(r, m, dv_rw_in(r, m, 0) == out ? 0 : 1, y);
        return true;
    }
    return false;
}

/* Zeros round x[N, H, W, C], then a Conv or a pool that counts its padding. At the input of the
 * net a Transpose may be in between. */
static bool pad(dv_rw *r, int32_t l)
{
    const dv_node *node = dv_rw_node(r, l);
    int32_t x = dv_rw_in(r, l, 0), p = dv_rw_maker(r, x, DV_OP_PAD);
    int32_t t = dv_rw_maker(r, x, DV_OP_TRANSPOSE);
    int64_t v[8], have[4] = {0, 0, 0, 0};
    int perm[DMV_MAX_RANK] = {0, 1, 2, 3};
    if (t >= 0 && dv_rw_user(r, x) == l && dv_rw_perm(r, t, perm) == 4)
        p = dv_rw_maker(r, dv_rw_in(r, t, 0), DV_OP_PAD);
    if (p < 0 || dv_rw_node(r, p)->n_in != 1 ||
        dv_node_ints(dv_rw_node(r, p), DV_A_PADS, v, 8) != 8 ||
        dv_node_int(dv_rw_node(r, p), DV_A_MODE, 0) != 0 ||
        dv_node_float(dv_rw_node(r, p), DV_A_VALUE, 0) != 0)
        return false;
    int64_t own[8];
    memcpy(own, v, sizeof(own));
    for (int i = 0; i < 8; i++)
        v[i] = own[perm[i % 4] + i / 4 * 4];
    for (int i = 0; i < 8; i++)
        if (v[i] < 0 || v[i] > 1 << 20 || (v[i] > 0 && (i % 4 == 0 || i % 4 == 3)))
            return false;
    int64_t k[2] = {1, 1}, step[2] = {1, 1};
    dv_node_ints(node, DV_A_KERNEL, k, 2);
    dv_node_ints(node, DV_A_DILATION, step, 2);
    dv_node_ints(node, DV_A_PADS, have, 4);
    int64_t sum[4] = {have[0] + v[1], have[1] + v[2], have[2] + v[5], have[3] + v[6]};
    for (int i = 0; i < 4; i++) /* windows that lie in the padding altogether stay a Pad */
        if (sum[i] > (k[i % 2] - 1) * step[i % 2])
            return false;
    if (node->op == DV_OP_AVG_POOL) {
        if (dv_node_int(node, DV_A_CEIL, 0) || !unpadded(node))
            return false;
        if (!dv_rw_set_int(r, l, DV_A_COUNT_PAD, 1))
            return false;
    }
    if (!dv_rw_set_ints(r, l, DV_A_PADS, sum, 4))
        return false;
    if (dv_rw_maker(r, x, DV_OP_PAD) == p)
        t = l;
    int32_t bare_x = dv_rw_in(r, p, 0);
    dv_rw_set_in(r, t, 0, bare_x);
    if (t != l) { /* the Transpose now has fewer pixels */
        dv_dims *d = &r->t[x].dims;
        const dv_dims *s = dv_rw_dims(r, bare_x);
        d->rank = s->rank;
        for (int i = 0; i < 4 && s->rank == 4; i++)
            d->d[i] = s->d[perm[i]];
    }
    return true;
}

bool dv_pass_weights(dv_rw *r)
{
    bool changed = false;
    for (int32_t n = 0; dv_rw_ok(r) && (size_t)n < r->g->n_nodes; n++) {
        switch (dv_rw_node(r, n)->op) {
        case DV_OP_BINARY:
            if (!dv_rw_is_f32(r, dv_rw_out(r, n)))
                break;
            for (int side = 0; side < 2 && dv_rw_is(r, n, DV_OP_BINARY); side++)
                if (dv_rw_is_const(r, dv_rw_in(r, n, side)) &&
                    !dv_rw_is_const(r, dv_rw_in(r, n, 1 - side)))
                    changed |= after_layer(r, n, side) || after_norm(r, n, side);
            if (dv_rw_is(r, n, DV_OP_BINARY))
                changed |= matmul_scale(r, n);
            break;
        case DV_OP_CONV:
            changed |= pad(r, n) || before_layer(r, n);
            break;
        case DV_OP_LINEAR:
            changed |= before_layer(r, n);
            break;
        case DV_OP_AVG_POOL:
            changed |= pad(r, n);
            break;
        default:
            break;
        }
    }
    return changed;
}
