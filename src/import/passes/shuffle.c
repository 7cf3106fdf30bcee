/* SPDX-License-Identifier: Apache-2.0
 *
 * shuffle.c - two blocks of small nets that exporters write with general nodes.
 *
 * Channel shuffle: Reshape C -> (g, C/g), Transpose of the two, Reshape back. In ShuffleNet
 * code it also appears as Reshape to [C/2, 2, H W], Transpose, Reshape and Gather of
 * halves, which are every second channel.
 *
 * Squeeze-excite: x * gate(W2 act(W1 mean(x))), found once the picture part runs on NHWC
 * and the activations are fused into the two layers.
 */
#include "import/passes/passes.h"

/* x with `axis` moved to the end; perm and its inverse. */
static void to_last(int rank, int axis, int *perm, int *back)
{
    int k = 0;
    for (int i = 0; i < rank; i++)
        if (i != axis)
            perm[k++] = i;
    perm[rank - 1] = axis;
    for (int i = 0; i < rank; i++)
        back[perm[i]] = i;
}

/* `op` on the last axis of x put in the place of tensor `old`, with Transposes if `axis` is
 * another one. The new node, or -1. */
static int32_t put_on_last(dv_rw *r, uint16_t op, int32_t x, int axis, int32_t old)
{
    int perm[DMV_MAX_RANK], back[DMV_MAX_RANK], rank = dv_rw_dims(r, x)->rank;
    to_last(rank, axis, perm, back);
    bool moved = axis != rank - 1;
    int32_t in = moved ? dv_rw_transpose(r, x, perm, NULL) : x;
    if (in < 0)
        return -1;
    dv_dims d = *dv_rw_dims(r, in);
    d.d[rank - 1] = dv_rw_dims(r, old)->d[axis];
    int32_t n = dv_rw_add(r, op, NULL, 1, &in, -1, &d);
    if (n < 0)
        return -1;
    int32_t result = dv_rw_out(r, n);
    if (moved)
        result = dv_rw_transpose(r, result, back, NULL);
    if (result < 0)
        return -1;
    dv_rw_replace(r, old, result);
    return n;
}

/* n is the last Reshape of Reshape - Transpose - Reshape. */
static bool shuffle(dv_rw *r, int32_t n)
{
    int32_t t = dv_rw_maker(r, dv_rw_in(r, n, 0), DV_OP_TRANSPOSE);
    int32_t first = t < 0 ? -1 : dv_rw_maker(r, dv_rw_in(r, t, 0), DV_OP_RESHAPE);
    if (first < 0)
        return false;
    int32_t x = dv_rw_in(r, first, 0), out = dv_rw_out(r, n);
    const dv_dims *d = dv_rw_dims(r, x), *m = dv_rw_dims(r, dv_rw_out(r, first));
    int p[DMV_MAX_RANK], rank = dv_rw_perm(r, t, p), axis = 0;
    if (d->rank < 1 || m->rank != d->rank + 1 || rank != m->rank || !dv_rw_same(r, x, out))
        return false;
    while (axis < d->rank && d->d[axis] == m->d[axis] && p[axis] == axis)
        axis++;
    if (axis >= d->rank || p[axis] != axis + 1 || p[axis + 1] != axis || m->d[axis] < 1 ||
        m->d[axis + 1] < 1 || m->d[axis] * m->d[axis + 1] != d->d[axis])
        return false;
    for (int i = axis + 1; i < d->rank; i++)
        if (d->d[i] != m->d[i + 1] || p[i + 1] != i + 1)
            return false;
    int64_t groups = m->d[axis];
    int32_t s = put_on_last(r, DV_OP_CHANNEL_SHUFFLE, x, axis, out);
    return s >= 0 && dv_rw_set_int(r, s, DV_A_GROUP, groups);
}

/* Gather k from Reshape([C/2, 2, H W]) - Transpose(1, 0, 2) - Reshape([2, 1, C/2, H, W]):
 * channels k, k + 2, ... of x[1, C, H, W]. Any step in place of 2. */
static bool strided(dv_rw *r, int32_t n)
{
    size_t count;
    const int64_t *index = dv_rw_i64(r, dv_rw_in(r, n, 1), &count);
    int32_t last = dv_rw_maker(r, dv_rw_in(r, n, 0), DV_OP_RESHAPE);
    int32_t t = last < 0 ? -1 : dv_rw_maker(r, dv_rw_in(r, last, 0), DV_OP_TRANSPOSE);
    int32_t first = t < 0 ? -1 : dv_rw_maker(r, dv_rw_in(r, t, 0), DV_OP_RESHAPE);
    if (!index || count != 1 || first < 0 || r->g->tensors[dv_rw_in(r, n, 1)].rank != 0 ||
        dv_node_int(dv_rw_node(r, n), DV_A_AXIS, 0) != 0)
        return false;
    int32_t x = dv_rw_in(r, first, 0), out = dv_rw_out(r, n);
    const dv_dims *d = dv_rw_dims(r, x), *m = dv_rw_dims(r, dv_rw_out(r, first));
    const dv_dims *h = dv_rw_dims(r, dv_rw_out(r, last)), *o = dv_rw_dims(r, out);
    int p[DMV_MAX_RANK];
    if (d->rank != 4 || m->rank != 3 || h->rank != 5 || o->rank != 4 || dv_rw_perm(r, t, p) != 3 ||
        p[0] != 1 || p[1] != 0 || p[2] != 2)
        return false;
    int64_t step = m->d[1], half = m->d[0], k = index[0] < 0 ? index[0] + step : index[0];
    if (d->d[0] != 1 || half < 1 || step < 1 || k < 0 || k >= step || half * step != d->d[1] ||
        h->d[0] != step || h->d[1] != 1 || h->d[2] != half || h->d[3] != d->d[2] ||
        h->d[4] != d->d[3] || o->d[0] != 1 || o->d[1] != half || o->d[2] != d->d[2] ||
        o->d[3] != d->d[3])
        return false;
    int64_t end = d->d[1], axis = 3;
    int32_t s = put_on_last(r, DV_OP_SLICE, x, 1, out);
    return s >= 0 && dv_rw_set_ints(r, s, DV_A_STARTS, &k, 1) &&
           dv_rw_set_ints(r, s, DV_A_ENDS, &end, 1) && dv_rw_set_ints(r, s, DV_A_AXES, &axis, 1) &&
           dv_rw_set_ints(r, s, DV_A_STEPS, &step, 1);
}

bool dv_pass_shuffle(dv_rw *r)
{
    bool changed = false;
    for (int32_t n = 0; dv_rw_ok(r) && (size_t)n < r->g->n_nodes; n++) {
        uint16_t op = dv_rw_node(r, n)->op;
        if (op == DV_OP_RESHAPE)
            changed |= shuffle(r, n);
        else if (op == DV_OP_GATHER)
            changed |= strided(r, n);
    }
    return changed;
}

/* ---- squeeze-excite ---- */

/* What t is a view of. */
static int32_t behind_views(const dv_rw *r, int32_t t)
{
    int32_t n;
    while ((n = dv_rw_maker(r, t, DV_OP_RESHAPE)) >= 0 && dv_rw_user(r, t) >= 0)
        t = dv_rw_in(r, n, 0);
    return t;
}

/* Is all of t but its channels of size 1, apart from the batch? */
static bool is_vector(const dv_rw *r, int32_t t, int64_t batch, int64_t channels)
{
    const dv_dims *d = dv_rw_dims(r, t);
    if (d->rank < 2 || d->d[0] != batch || d->d[d->rank - 1] != channels)
        return false;
    for (int i = 1; i < d->rank - 1; i++)
        if (d->d[i] != 1)
            return false;
    return true;
}

/* t is made by a fully connected layer (Linear, or a 1x1 Conv without padding on one pixel) with
 * one reader, from a vector of each picture: the node, and its sizes. */
static int32_t layer_of(const dv_rw *r, int32_t t, int64_t *in, int64_t *out)
{
    int32_t n = t < 0 ? -1 : r->t[t].from;
    if (n < 0 || dv_rw_user(r, t) < 0)
        return -1;
    const dv_node *node = dv_rw_node(r, n);
    int32_t w = dv_rw_in(r, n, 1);
    if ((node->op != DV_OP_CONV && node->op != DV_OP_LINEAR) || !dv_rw_is_const(r, w) ||
        dv_rw_in(r, n, 3) >= 0 || dv_rw_in(r, n, 4) >= 0)
        return -1;
    const dv_gtensor *g = &r->g->tensors[w];
    int64_t v[4];
    if (node->op == DV_OP_CONV) {
        if (dv_node_int(node, DV_A_GROUP, 1) != 1 || g->rank != 4 || g->dims[0] != 1 ||
            g->dims[1] != 1)
            return -1;
        uint32_t pads = dv_node_ints(node, DV_A_PADS, v, 4);
        for (uint32_t i = 0; i < DV_MIN(pads, 4U); i++)
            if (v[i] != 0)
                return -1;
    }
    *in = g->dims[g->rank - 2];
    *out = g->dims[g->rank - 1];
    return n;
}

/* [in, out] of a layer's weights, whatever their rank was. */
static int32_t matrix_of(dv_rw *r, int32_t w, int64_t in, int64_t out)
{
    const dv_gtensor *g = &r->g->tensors[w];
    if (g->rank == 2)
        return w;
    int64_t dims[2] = {in, out};
    return dv_rw_const(r, g->name, 2, dims, g->data);
}

/* t is the mean of each channel of x[N, H, W, C]. */
static bool is_mean(const dv_rw *r, int32_t t, int32_t x)
{
    int32_t n = t < 0 ? -1 : r->t[t].from;
    int axes[DMV_MAX_RANK];
    if (!dv_rw_is(r, n, DV_OP_REDUCE) || dv_rw_in(r, n, 0) != x || dv_rw_user(r, t) < 0 ||
        dv_node_int(dv_rw_node(r, n), DV_A_REDUCE, DV_RED_MEAN) != DV_RED_MEAN)
        return false;
    return dv_rw_axes(r, n, 4, axes) == 2 && axes[0] + axes[1] == 3 && axes[0] * axes[1] == 2;
}

static bool squeeze_excite(dv_rw *r, int32_t n, int side)
{
    int32_t x = dv_rw_in(r, n, 1 - side), gate = dv_rw_in(r, n, side);
    const dv_dims *d = dv_rw_dims(r, x);
    int64_t k1, n1, k2, n2;
    if (d->rank != 4 || !dv_rw_same(r, x, dv_rw_out(r, n)) || gate < 0 ||
        dv_rw_dims(r, gate)->rank != 4 || !is_vector(r, gate, d->d[0], d->d[3]))
        return false;
    int32_t t2 = behind_views(r, gate), l2 = layer_of(r, t2, &k2, &n2);
    if (l2 < 0 || !is_vector(r, t2, d->d[0], d->d[3]))
        return false;
    int32_t t1 = behind_views(r, dv_rw_in(r, l2, 0)), l1 = layer_of(r, t1, &k1, &n1);
    if (l1 < 0 || !is_vector(r, t1, d->d[0], n1))
        return false;
    int32_t mean = behind_views(r, dv_rw_in(r, l1, 0));
    if (!is_mean(r, mean, x) || k1 != d->d[3] || n2 != d->d[3] || k2 != n1)
        return false;
    int act = (int)dv_node_int(dv_rw_node(r, l2), DV_A_ACT, DV_ACT_NONE);
    if (act != DV_ACT_SIGMOID && act != DV_ACT_HSIGMOID)
        return false;
    float pq[2] = {dv_node_float(dv_rw_node(r, l2), DV_A_P, 0),
                   dv_node_float(dv_rw_node(r, l2), DV_A_Q, 0)};
    int64_t act1 = dv_node_int(dv_rw_node(r, l1), DV_A_ACT, DV_ACT_NONE);
    float p1 = dv_node_float(dv_rw_node(r, l1), DV_A_P, 0);
    float q1 = dv_node_float(dv_rw_node(r, l1), DV_A_Q, 0);
    int32_t in[5] = {x, matrix_of(r, dv_rw_in(r, l1, 1), k1, n1), dv_rw_in(r, l1, 2),
                     matrix_of(r, dv_rw_in(r, l2, 1), k2, n2), dv_rw_in(r, l2, 2)};
    if (!dv_rw_ok(r))
        return false;
    int32_t s = dv_rw_add(r, DV_OP_SE, dv_rw_node(r, l1)->name, 5, in, -1, dv_rw_dims(r, x));
    if (s < 0 || !dv_rw_set_int(r, s, DV_A_ACT, act1) || !dv_rw_set_float(r, s, DV_A_P, p1) ||
        !dv_rw_set_float(r, s, DV_A_Q, q1) ||
        !dv_rw_set_int(r, s, DV_A_MODE, act == DV_ACT_HSIGMOID))
        return false;
    if (act == DV_ACT_HSIGMOID &&
        !(dv_node_set_floats(dv_rw_node(r, s), DV_A_SCALES, pq, 2) || dv_rw_nomem(r)))
        return false;
    dv_rw_take(r, s, dv_rw_out(r, n));
    return true;
}

bool dv_pass_se(dv_rw *r)
{
    bool changed = false;
    for (int32_t n = 0; dv_rw_ok(r) && (size_t)n < r->g->n_nodes; n++)
        if (dv_rw_is(r, n, DV_OP_BINARY) &&
            dv_node_int(dv_rw_node(r, n), DV_A_BINARY, DV_BIN_ADD) == DV_BIN_MUL &&
            dv_rw_is_f32(r, dv_rw_out(r, n)))
            changed |= squeeze_excite(r, n, 0) || squeeze_excite(r, n, 1);
    return changed;
}
