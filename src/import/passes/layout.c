/* SPDX-License-Identifier: Apache-2.0
 *
 * layout.c - Transposes. Lowering puts a pair round every picture-shaped op; here each one sinks
 * through the nodes below it until it meets its inverse, or a reader that absorbs it.
 *
 * Notation: y = T(x) by perm p has y.dims[i] = x.dims[p[i]]. So an axis a of y is axis p[a]
 * of x, and sinking T through a node means: let the node work on x, its axes mapped by
 * p, and put T behind it. Every step moves a Transpose towards the outputs or lowers
 * their number, so the pass ends.
 */
#include "import/passes/passes.h"

#include <string.h>

typedef struct perm {
    int rank;
    int p[DMV_MAX_RANK];
} perm;

static bool perm_of(const dv_rw *r, int32_t n, perm *o) /* of a Transpose node */
{
    memset(o, 0, sizeof(*o));
    o->rank = dv_rw_perm(r, n, o->p);
    return o->rank > 0 && dv_rw_dims(r, dv_rw_in(r, n, 0))->rank == o->rank &&
           dv_rw_is_f32(r, dv_rw_in(r, n, 0));
}

static bool is_identity(const perm *q)
{
    for (int i = 0; i < q->rank; i++)
        if (q->p[i] != i)
            return false;
    return true;
}

static perm inverse(const perm *q)
{
    perm o = *q;
    for (int i = 0; i < q->rank; i++)
        o.p[q->p[i]] = i;
    return o;
}

static bool is_inverse(const perm *a, const perm *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->p[b->p[i]] != i)
            return false;
    return true;
}

/* The perm of the Transpose that makes t. */
static bool made_by(const dv_rw *r, int32_t t, perm *q, int32_t *x)
{
    int32_t n = dv_rw_maker(r, t, DV_OP_TRANSPOSE);
    if (n < 0 || !perm_of(r, n, q))
        return false;
    *x = dv_rw_in(r, n, 0);
    return true;
}

static bool same_perm(const perm *a, const perm *b)
{
    return a->rank == b->rank && !memcmp(a->p, b->p, (size_t)a->rank * sizeof(a->p[0]));
}

/* Every output o of n, which now works on untransposed inputs, is Transposed by q (o.dims[i] =
 * new.dims[q[i]]). */
static bool transpose_outputs(dv_rw *r, int32_t n, const perm *q)
{
    if (is_identity(q))
        return true;
    int64_t v[DMV_MAX_RANK];
    for (int i = 0; i < q->rank; i++)
        v[i] = q->p[i];
    for (int k = 0; dv_rw_ok(r) && k < dv_rw_node(r, n)->n_out; k++) {
        int32_t out = dv_rw_node(r, n)->out[k];
        dv_dims d = *dv_rw_dims(r, out), u = d;
        for (int i = 0; i < d.rank && d.rank == q->rank; i++)
            u.d[q->p[i]] = d.d[i];
        int32_t t = dv_rw_tensor(r, &u);
        if (t < 0)
            return false;
        dv_rw_set_out(r, n, k, t);
        int32_t back = dv_rw_add(r, DV_OP_TRANSPOSE, NULL, 1, &t, out, NULL);
        if (back < 0 || !dv_rw_set_ints(r, back, DV_A_PERM, v, q->rank))
            return false;
    }
    return dv_rw_ok(r);
}

/* The simple case: input 0 of n is T(x), the outputs become T(..) by q. */
static bool sink(dv_rw *r, int32_t n, int32_t x, const perm *q)
{
    dv_rw_set_in(r, n, 0, x);
    return transpose_outputs(r, n, q);
}

/* ---- constants under a Transpose ---- */

/* The constant c, broadcast against T(x) by p, as one to be broadcast against x. */
static int32_t untransposed(dv_rw *r, int32_t c, const perm *q)
{
    size_t count;
    const float *f = dv_rw_floats(r, c, &count);
    const dv_gtensor *t = &r->g->tensors[c];
    if (!f || t->rank > q->rank)
        return -1;
    if (count == 1 && t->rank <= 1)
        return c;
    int64_t from[DMV_MAX_RANK], to[DMV_MAX_RANK], stride[DMV_MAX_RANK], step[DMV_MAX_RANK];
    int64_t at[DMV_MAX_RANK] = {0}, pitch = 1;
    for (int i = q->rank - 1; i >= 0; i--) {
        int own = i - (q->rank - t->rank);
        from[i] = own < 0 ? 1 : t->dims[own];
        stride[i] = pitch;
        pitch *= from[i];
    }
    for (int i = 0; i < q->rank; i++) {
        to[q->p[i]] = from[i];
        step[q->p[i]] = stride[i];
    }
    float *v = dv_malloc(DV_MAX(count, 1) * sizeof(*v));
    if (!v) {
        dv_rw_nomem(r);
        return -1;
    }
    for (size_t k = 0; k < count; k++) {
        int64_t src = 0;
        for (int i = 0; i < q->rank; i++)
            src += at[i] * step[i];
        v[k] = f[src];
        for (int i = q->rank - 1; i >= 0 && ++at[i] == to[i]; i--)
            at[i] = 0;
    }
    int32_t out = dv_rw_const(r, t->name, q->rank, to, v);
    dv_free(v);
    return out;
}

/* ---- nodes with several inputs: Binary, Concat ---- */

/* A Transpose of t by q (or by its inverse) moves axes of size 1 only: it costs nothing. */
static bool is_free(const dv_rw *r, int32_t t, const perm *q)
{
    const dv_dims *d = dv_rw_dims(r, t);
    int prev = -1;
    for (int i = 0; i < q->rank && d->rank == q->rank; i++) {
        if (d->d[q->p[i]] == 1)
            continue;
        if (q->p[i] < prev)
            return false;
        prev = q->p[i];
    }
    return d->rank == q->rank;
}

/* How many Transposes fewer there are if n works on x, where `others` inputs get an inverse
 * one. */
static int gain(const dv_rw *r, int32_t n, const perm *q, int others)
{
    const dv_node *node = dv_rw_node(r, n);
    int32_t out = dv_rw_out(r, n);
    int won = -others, rest = r->t[out].uses;
    for (int i = 0; i < node->n_in; i++) {
        perm own;
        int32_t x;
        bool seen = false;
        for (int k = 0; k < i; k++)
            seen = seen || node->in[k] == node->in[i];
        if (!seen && made_by(r, node->in[i], &own, &x) && same_perm(&own, q) && !is_free(r, x, q) &&
            r->t[node->in[i]].uses == 1)
            won++;
    }
    for (size_t u = 0; u < r->g->n_nodes; u++) {
        perm own;
        if (r->g->nodes[u].op == DV_OP_TRANSPOSE && r->g->nodes[u].in[0] == out &&
            perm_of(r, (int32_t)u, &own) && is_inverse(&own, q)) {
            won++;
            rest--;
        }
    }
    return rest > 0 ? won - 1 : won;
}

static bool sink_many(dv_rw *r, int32_t n, bool broadcasts, perm *chosen)
{
    const dv_node *node = dv_rw_node(r, n);
    perm q = {0}, own;
    int others = 0, have = 0;
    bool only_free = true;
    int32_t x;
    if (!dv_rw_is_f32(r, dv_rw_out(r, n)) || node->n_in > DV_MAX_IO)
        return false;
    for (int i = 0; i < node->n_in; i++)
        if (made_by(r, node->in[i], &own, &x)) {
            bool costs = !is_free(r, x, &own);
            if (!have || own.rank > q.rank || (only_free && costs)) {
                q = own;
                only_free = !costs;
            }
            have++;
        }
    if (!have || dv_rw_dims(r, dv_rw_out(r, n))->rank != q.rank)
        return false;
    perm inv = inverse(&q);
    for (int i = 0; i < node->n_in; i++) {
        int32_t t = node->in[i];
        if (made_by(r, t, &own, &x) && same_perm(&own, &q))
            continue;
        size_t count;
        if (dv_rw_floats(r, t, &count)) {
            if (r->g->tensors[t].rank > q.rank || (!broadcasts && r->g->tensors[t].rank != q.rank))
                return false;
        } else {
            if (dv_rw_dims(r, t)->rank != q.rank || only_free)
                return false;
            others += !is_free(r, t, &inv);
        }
    }
    if (others > 0 && gain(r, n, &q, others) <= 0)
        return false;
    for (int i = 0; dv_rw_ok(r) && i < dv_rw_node(r, n)->n_in; i++) {
        int32_t t = dv_rw_in(r, n, i);
        size_t count;
        if (made_by(r, t, &own, &x) && same_perm(&own, &q))
            dv_rw_set_in(r, n, i, x);
        else if (dv_rw_floats(r, t, &count))
            dv_rw_set_in(r, n, i, untransposed(r, t, &q));
        else
            dv_rw_set_in(r, n, i, dv_rw_transpose(r, t, inv.p, NULL));
    }
    *chosen = q;
    return dv_rw_ok(r) && transpose_outputs(r, n, &q);
}

/* ---- nodes with axes ---- */

static bool map_axes(dv_rw *r, int32_t n, const perm *q)
{
    int axes[DMV_MAX_RANK], count = dv_rw_axes(r, n, q->rank, axes);
    int64_t v[DMV_MAX_RANK];
    for (int i = 0; i < count; i++)
        v[i] = q->p[axes[i]];
    return count > 0 && dv_rw_set_ints(r, n, DV_A_AXES, v, count);
}

/* The perm left when the axes of y in `gone` have been dropped. */
static perm without(const perm *q, unsigned gone)
{
    perm o = {0};
    for (int i = 0; i < q->rank; i++) {
        if (gone >> i & 1)
            continue;
        int at = q->p[i];
        for (int k = 0; k < q->rank; k++)
            if ((gone >> k & 1) && q->p[k] < q->p[i])
                at--;
        o.p[o.rank++] = at;
    }
    return o;
}

static bool sink_reduce(dv_rw *r, int32_t n, int32_t x, const perm *q)
{
    int axes[DMV_MAX_RANK], count = dv_rw_axes(r, n, q->rank, axes);
    unsigned gone = 0;
    perm after = *q;
    if (!dv_node_attr(dv_rw_node(r, n), DV_A_AXES)) { /* over everything: a single number */
        dv_rw_set_in(r, n, 0, x);
        return true;
    }
    if (count == 0)
        return false;
    for (int i = 0; i < count; i++)
        gone |= 1U << axes[i];
    if (!dv_node_int(dv_rw_node(r, n), DV_A_KEEPDIMS, 1))
        after = without(q, gone);
    return map_axes(r, n, q) && sink(r, n, x, &after);
}

static bool sink_gather(dv_rw *r, int32_t n, int32_t x, const perm *q)
{
    int32_t index = dv_rw_in(r, n, 1);
    int axis = dv_rw_axis(r, n, q->rank, 0), rank = dv_rw_dims(r, index)->rank;
    if (axis < 0 || rank < 0 || rank > 1)
        return false;
    perm after = rank == 0 ? without(q, 1U << axis) : *q;
    return dv_rw_set_int(r, n, DV_A_AXIS, q->p[axis]) && sink(r, n, x, &after);
}

static bool sink_axis(dv_rw *r, int32_t n, int32_t x, const perm *q, int64_t fallback)
{
    int axis = dv_rw_axis(r, n, q->rank, fallback);
    return axis >= 0 && dv_rw_set_int(r, n, DV_A_AXIS, q->p[axis]) && sink(r, n, x, q);
}

static bool sink_pad(dv_rw *r, int32_t n, int32_t x, const perm *q)
{
    int64_t v[2 * DMV_MAX_RANK], o[2 * DMV_MAX_RANK] = {0};
    if (dv_node_ints(dv_rw_node(r, n), DV_A_PADS, v, 2 * DMV_MAX_RANK) != 2 * (uint32_t)q->rank)
        return false;
    for (int i = 0; i < q->rank; i++) {
        o[q->p[i]] = v[i];
        o[q->rank + q->p[i]] = v[q->rank + i];
    }
    return dv_rw_set_ints(r, n, DV_A_PADS, o, 2 * q->rank) && sink(r, n, x, q);
}

static bool sink_prelu(dv_rw *r, int32_t n, int32_t x, const perm *q)
{
    int32_t slope = untransposed(r, dv_rw_in(r, n, 1), q);
    if (slope < 0)
        return false;
    dv_rw_set_in(r, n, 1, slope);
    return sink(r, n, x, q);
}

/* ---- Reshape ---- */

/* Axes of y that together become axes of z, both without their 1s. */
typedef struct group {
    int y0, y1, z0, z1; /* indices into the lists of axes that are not 1 */
    int at;             /* place of the first y axis among the axes of x */
} group;

/* Cuts y (ny sizes) and z (nz) into the smallest groups of equal product; their number, or 0.
 * Sizes below 0 are symbols: equal symbols are equal sizes. */
static int cut(const int64_t *y, int ny, const int64_t *z, int nz, group *out)
{
    int i = 0, j = 0, count = 0, tail = 0;
    while (i < ny && j < nz) {
        group *g = &out[count++];
        *g = (group){i, i + 1, j, j + 1, 0};
        int64_t a = y[i++], b = z[j++];
        bool symbolic = a < 0 || b < 0;
        while (a != b && !symbolic) {
            int64_t *small = a < b ? &a : &b;
            if (small == &a ? i == ny : j == nz)
                return 0;
            int64_t next = small == &a ? y[i++] : z[j++];
            symbolic = next < 0 || __builtin_mul_overflow(*small, next, small);
        }
        if (symbolic && a != b) { /* all that is left, less what is equal at the end */
            while (ny - tail > i && nz - tail > j && y[ny - 1 - tail] == z[nz - 1 - tail])
                tail++;
            i = ny - tail;
            j = nz - tail;
        }
        g->y1 = i;
        g->z1 = j;
    }
    return i == ny && j == nz ? count : 0;
}

/* Order of the groups by their place in x. */
static void sort_groups(group *g, int count)
{
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && g[k].at < g[k - 1].at; k--) {
            group swap = g[k];
            g[k] = g[k - 1];
            g[k - 1] = swap;
        }
}

/* Reshape(T(x)) = T'(Reshape(x)) if the axes that are merged or split lie side by side in x too,
 * in the same order. Without the 1s, which may lie anywhere. */
static bool sink_reshape(dv_rw *r, int32_t n, int32_t x, const perm *q)
{
    const dv_dims *dx = dv_rw_dims(r, x), *dz = dv_rw_dims(r, dv_rw_out(r, n));
    int64_t y[DMV_MAX_RANK], z[DMV_MAX_RANK], shape[DMV_MAX_RANK];
    int place[DMV_MAX_RANK], zaxis[DMV_MAX_RANK], ny = 0, nz = 0;
    group g[DMV_MAX_RANK];
    perm after = {0};
    dv_dims mid = {0};
    if (dz->rank < 0 || dv_rw_node(r, n)->n_in != 1)
        return false;
    for (int i = 0; i < q->rank; i++) {
        if (dx->d[q->p[i]] == 1)
            continue;
        place[ny] = 0; /* rank of this axis among the axes of x that are not 1 */
        for (int k = 0; k < q->p[i]; k++)
            place[ny] += dx->d[k] != 1;
        y[ny++] = dx->d[q->p[i]];
    }
    for (int i = 0; i < dz->rank; i++)
        if (dz->d[i] != 1) {
            zaxis[nz] = i;
            z[nz++] = dz->d[i];
        }
    int count = cut(y, ny, z, nz, g);
    if (count == 0 && (ny > 0 || nz > 0))
        return false;
    for (int k = 0; k < count; k++) {
        for (int i = g[k].y0 + 1; i < g[k].y1; i++)
            if (place[i] != place[i - 1] + 1)
                return false;
        g[k].at = place[g[k].y0];
    }
    sort_groups(g, count);
    /* Axes of z in the order of x; a 1 goes with the axis before it. */
    after.rank = mid.rank = dz->rank;
    int used = 0;
    for (int i = 0; i < dz->rank && dz->d[i] == 1; i++)
        after.p[i] = used++;
    for (int k = 0; k < count; k++)
        for (int j = g[k].z0; j < g[k].z1; j++) {
            int end = j + 1 < nz ? zaxis[j + 1] : dz->rank;
            for (int i = zaxis[j]; i < end; i++)
                after.p[i] = used++;
        }
    for (int i = 0; i < dz->rank; i++)
        mid.d[after.p[i]] = dz->d[i];
    if (!dv_rw_reshape_attr(dx, &mid, shape) || !dv_rw_set_ints(r, n, DV_A_SHAPE, shape, mid.rank))
        return false;
    return sink(r, n, x, &after);
}

/* ---- readers that absorb a Transpose ---- */

/* Linear(Reshape(T(x))), where the Reshape flattens the axes that T moves: the rows of
 * the weights are put in the order of x instead. */
static bool permute_rows(dv_rw *r, int32_t n)
{
    int32_t in = dv_rw_in(r, n, 0), flat = dv_rw_maker(r, in, DV_OP_RESHAPE), x;
    int32_t w = dv_rw_in(r, n, 1);
    perm q;
    size_t count;
    if (flat < 0 || !made_by(r, dv_rw_in(r, flat, 0), &q, &x))
        return false;
    const float *f = dv_rw_floats(r, w, &count);
    const dv_dims *dx = dv_rw_dims(r, x), *dz = dv_rw_dims(r, in);
    if (!f || r->g->tensors[w].rank != 2 || dz->rank < 1)
        return false;
    size_t k = (size_t)r->g->tensors[w].dims[0], cols = (size_t)r->g->tensors[w].dims[1];
    int lead = q.rank;
    size_t product = 1;
    while (lead > 0 && product < k) {
        int64_t d = dx->d[q.p[--lead]];
        if (d < 1 || !dv_mul(product, (size_t)d, &product))
            return false;
    }
    if (product != k || k < 2)
        return false;
    for (int i = 0; i < lead; i++)
        if (q.p[i] != i)
            return false;
    int64_t shape[DMV_MAX_RANK], at[DMV_MAX_RANK] = {0}, pitch[DMV_MAX_RANK], rows = 1;
    if (!dv_rw_reshape_attr(dx, dz, shape))
        return false;
    for (int i = q.rank - 1; i >= lead; i--) { /* old row number of a step along an axis of x */
        pitch[q.p[i]] = rows;
        rows *= dx->d[q.p[i]];
    }
    float *v = dv_malloc(DV_MAX(count, 1) * sizeof(*v));
    if (!v)
        return dv_rw_nomem(r);
    for (size_t row = 0; row < k; row++) {
        int64_t src = 0;
        for (int i = lead; i < q.rank; i++)
            src += at[i] * pitch[i];
        memcpy(v + row * cols, f + (size_t)src * cols, cols * sizeof(*v));
        for (int i = q.rank - 1; i >= lead && ++at[i] == dx->d[i]; i--)
            at[i] = 0;
    }
    int64_t wd[2] = {(int64_t)k, (int64_t)cols};
    dv_dims z = *dz;
    int32_t c = dv_rw_const(r, r->g->tensors[w].name, 2, wd, v);
    dv_free(v);
    int32_t view = c < 0 ? -1 : dv_rw_add(r, DV_OP_RESHAPE, NULL, 1, &x, -1, &z);
    if (view < 0 || !dv_rw_set_ints(r, view, DV_A_SHAPE, shape, z.rank))
        return false;
    dv_rw_set_in(r, n, 1, c);
    dv_rw_set_in(r, n, 0, dv_rw_out(r, view));
    return true;
}

/* MatMul reads a matrix with its last two axes swapped by itself. */
static bool absorb_swap(dv_rw *r, int32_t n)
{
    for (int i = 0; i < 2; i++) {
        uint16_t key = i == 0 ? DV_A_TRANS_A : DV_A_TRANS_B;
        int32_t x;
        perm q;
        if (!made_by(r, dv_rw_in(r, n, i), &q, &x) || q.rank < 2)
            continue;
        int a = q.p[q.rank - 2], b = q.p[q.rank - 1];
        bool swap = a == q.rank - 1 && b == q.rank - 2;
        for (int k = 0; k < q.rank - 2; k++)
            swap = swap && q.p[k] == k;
        if (!swap || !dv_rw_set_int(r, n, key, !dv_node_int(dv_rw_node(r, n), key, 0)))
            continue;
        dv_rw_set_in(r, n, i, x);
        return true;
    }
    return false;
}

/* Shape(T(x)): the sizes of x in another order. */
static bool shape_of(dv_rw *r, int32_t n)
{
    int32_t x, out = dv_rw_out(r, n);
    perm q;
    if (!made_by(r, dv_rw_in(r, n, 0), &q, &x))
        return false;
    int64_t v[DMV_MAX_RANK], dim = q.rank;
    for (int i = 0; i < q.rank; i++)
        v[i] = q.p[i];
    dv_dims d = *dv_rw_dims(r, out);
    int32_t c = dv_rw_int_const(r, 1, &dim, v), sizes = dv_rw_tensor(r, &d);
    if (c < 0 || sizes < 0)
        return false;
    r->g->tensors[sizes].dtype = DV_I64;
    dv_rw_set_in(r, n, 0, x);
    dv_rw_set_out(r, n, 0, sizes);
    int32_t in[2] = {sizes, c};
    int32_t pick = dv_rw_add(r, DV_OP_GATHER, NULL, 2, in, out, NULL);
    return pick >= 0 && dv_rw_set_int(r, pick, DV_A_AXIS, 0);
}

/* ---- Reshapes sink too, so that an activation meets its layer ---- */

/* Activation(Reshape(x)) = Reshape(Activation(x)). */
static bool sink_view(dv_rw *r, int32_t n)
{
    int32_t in = dv_rw_in(r, n, 0), out = dv_rw_out(r, n), v = dv_rw_maker(r, in, DV_OP_RESHAPE);
    if (v < 0 || dv_rw_user(r, in) != n || dv_rw_node(r, v)->n_in != 1 || !dv_rw_same(r, in, out))
        return false;
    int32_t x = dv_rw_in(r, v, 0);
    if (dv_rw_is_const(r, x) || dv_rw_dims(r, x)->rank < 0)
        return false;
    dv_dims d = *dv_rw_dims(r, x);
    int32_t u = dv_rw_tensor(r, &d);
    if (u < 0)
        return false;
    dv_rw_set_out(r, n, 0, u);
    dv_rw_set_out(r, v, 0, out);
    r->t[in].from = -1;
    dv_rw_set_in(r, n, 0, x);
    dv_rw_set_in(r, v, 0, u);
    return dv_rw_ok(r);
}

/* Binary(Reshape(T(a)), Reshape(T(b))) of equal shapes: both sink. */
static bool sink_views(dv_rw *r, int32_t n)
{
    int32_t v[2], x[2], out = dv_rw_out(r, n);
    int64_t shape[DMV_MAX_RANK];
    for (int i = 0; i < 2; i++) {
        v[i] = dv_rw_maker(r, dv_rw_in(r, n, i), DV_OP_RESHAPE);
        x[i] = v[i] < 0 ? -1 : dv_rw_in(r, v[i], 0);
        if (v[i] < 0 || dv_rw_maker(r, x[i], DV_OP_TRANSPOSE) < 0)
            return false;
    }
    if (!dv_rw_same(r, x[0], x[1]) || !dv_rw_same(r, dv_rw_in(r, n, 0), dv_rw_in(r, n, 1)) ||
        !dv_rw_same(r, dv_rw_in(r, n, 0), out) ||
        !dv_rw_reshape_attr(dv_rw_dims(r, x[0]), dv_rw_dims(r, out), shape))
        return false;
    dv_dims d = *dv_rw_dims(r, x[0]);
    int32_t u = dv_rw_tensor(r, &d);
    if (u < 0)
        return false;
    dv_rw_set_out(r, n, 0, u);
    dv_rw_set_in(r, n, 0, x[0]);
    dv_rw_set_in(r, n, 1, x[1]);
    int32_t view = dv_rw_add(r, DV_OP_RESHAPE, NULL, 1, &u, out, NULL);
    return view >= 0 && dv_rw_set_ints(r, view, DV_A_SHAPE, shape, dv_rw_dims(r, out)->rank);
}

/* ---- the pass ---- */

static bool compose(dv_rw *r, int32_t n)
{
    perm outer, inner;
    int32_t x;
    if (!perm_of(r, n, &outer) || !made_by(r, dv_rw_in(r, n, 0), &inner, &x))
        return false;
    int64_t v[DMV_MAX_RANK];
    bool identity = true;
    for (int i = 0; i < outer.rank; i++) {
        v[i] = inner.p[outer.p[i]];
        identity = identity && v[i] == i;
    }
    if (!identity ||
        (dv_rw_is_output(r, dv_rw_out(r, n)) && (r->t[x].from < 0 || dv_rw_is_output(r, x)))) {
        if (!dv_rw_set_ints(r, n, DV_A_PERM, v, outer.rank))
            return false;
        dv_rw_set_in(r, n, 0, x);
        return true;
    }
    dv_rw_replace(r, dv_rw_out(r, n), x);
    return true;
}

static bool layout_node(dv_rw *r, int32_t n)
{
    const dv_node *node = dv_rw_node(r, n);
    int32_t in = node->n_in > 0 ? node->in[0] : -1, x;
    perm q;
    switch (node->op) {
    case DV_OP_TRANSPOSE:
        return compose(r, n);
    case DV_OP_BINARY:
        return sink_many(r, n, true, &q) || sink_views(r, n);
    case DV_OP_CONCAT: {
        int axis = dv_rw_axis(r, n, dv_rw_dims(r, dv_rw_out(r, n))->rank, 0);
        return axis >= 0 && sink_many(r, n, false, &q) && dv_rw_set_int(r, n, DV_A_AXIS, q.p[axis]);
    }
    case DV_OP_MATMUL:
        return absorb_swap(r, n);
    case DV_OP_SHAPE:
        return shape_of(r, n);
    default:
        break;
    }
    if (node->op == DV_OP_LINEAR && permute_rows(r, n))
        return true;
    if (node->op == DV_OP_ACT && sink_view(r, n))
        return true;
    if (!made_by(r, in, &q, &x))
        return false;
    switch (node->op) {
    case DV_OP_ACT:
        return sink(r, n, x, &q);
    case DV_OP_PRELU:
        return sink_prelu(r, n, x, &q);
    case DV_OP_SPLIT:
        return sink_axis(r, n, x, &q, 0);
    case DV_OP_SOFTMAX:
    case DV_OP_L2_NORM:
        return dv_node_attr(node, DV_A_AXIS) && sink_axis(r, n, x, &q, -1);
    case DV_OP_SLICE:
        return node->n_in == 1 && map_axes(r, n, &q) && sink(r, n, x, &q);
    case DV_OP_PAD:
        return node->n_in == 1 && sink_pad(r, n, x, &q);
    case DV_OP_REDUCE:
        return sink_reduce(r, n, x, &q);
    case DV_OP_GATHER:
        return sink_gather(r, n, x, &q);
    case DV_OP_RESHAPE:
        return sink_reshape(r, n, x, &q);
    case DV_OP_LAYER_NORM:
    case DV_OP_CHANNEL_SHUFFLE:
        return q.p[q.rank - 1] == q.rank - 1 && sink(r, n, x, &q);
    case DV_OP_LINEAR:
        return q.p[q.rank - 1] == q.rank - 1 && dv_rw_in(r, n, 4) < 0 && sink(r, n, x, &q);
    default:
        return false;
    }
}

bool dv_pass_layout(dv_rw *r)
{
    bool changed = false, again = true;
    while (dv_rw_ok(r) && again) {
        again = false;
        for (int32_t n = 0; dv_rw_ok(r) && (size_t)n < r->g->n_nodes; n++)
            again |= layout_node(r, n);
        changed |= again;
    }
    return changed;
}
