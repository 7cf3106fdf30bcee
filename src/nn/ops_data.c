/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_data.c - ops that move data: Concat, Split, Slice, Gather, Transpose, Expand, Pad,
 * ChannelShuffle. Integer tensors are moved at shape time by the same code. */
#include <string.h>

#include "nn/ops.h"

static void move(const dv_walk *w, const dv_value *src, int64_t offset, dv_value *dst, size_t to)
{
    if (dst->dtype == DV_I64)
        dv_walk_copy_i64(w, src->i + offset, dst->i + to);
    else if (dst->dtype == DV_U8)
        dv_walk_copy_u8(w, src->q + offset, dst->q + to);
    else
        dv_walk_copy_f32(w, src->f + offset, dst->f + to);
}

/* ---- Concat, Split: blocks of `inner` along one axis ---- */

static size_t product(const dv_value *v, int from, int to)
{
    size_t n = 1;
    for (int i = from; i < to; i++)
        n *= (size_t)v->dims[i];
    return n;
}

static void copy_block(dv_value *dst, size_t to, const dv_value *src, size_t from, size_t n)
{
    if (n == 0)
        return;
    if (dst->dtype == DV_I64)
        memcpy(dst->i + to, src->i + from, n * sizeof *dst->i);
    else if (dst->dtype == DV_U8)
        memcpy(dst->q + to, src->q + from, n);
    else
        memcpy(dst->f + to, src->f + from, n * sizeof *dst->f);
}

static void concat_run(dv_exec *x, const dv_step *s)
{
    dv_value *o = dv_out(x, s, 0);
    int axis = dv_axis(dv_node_int(s->node, DV_A_AXIS, 0), o->rank);
    size_t outer = product(o, 0, axis), whole = product(o, axis, o->rank), at = 0;
    for (int i = 0; i < s->node->n_in; i++) {
        const dv_value *v = dv_in(x, s, i);
        size_t part = product(v, axis, v->rank);
        for (size_t r = 0; r < outer; r++)
            copy_block(o, r * whole + at, v, r * part, part);
        at += part;
    }
}

static dmv_status concat_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *a = dv_in(x, s, 0);
    dv_value *o = dv_out(x, s, 0);
    int axis = dv_axis(dv_node_int(s->node, DV_A_AXIS, 0), a->rank);
    if (axis < 0)
        return dv_fail(e, DMV_ERR_FORMAT, "the axis does not exist");
    int64_t dims[DMV_MAX_RANK];
    memcpy(dims, a->dims, sizeof dims);
    for (int i = 1; i < s->node->n_in; i++) {
        const dv_value *v = dv_in(x, s, i);
        if (v->rank != a->rank || v->dtype != a->dtype)
            return dv_fail(e, DMV_ERR_FORMAT, "inputs differ in rank or type");
        for (int d = 0; d < a->rank; d++)
            if (d == axis)
                dims[d] += v->dims[d];
            else if (v->dims[d] != a->dims[d])
                return dv_fail(e, DMV_ERR_FORMAT, "inputs differ in dimension %d", d);
    }
    dmv_status st = dv_set_dims(o, a->rank, dims, e);
    if (st || o->dtype != DV_I64)
        return st;
    if ((st = dv_set_ints(o, e)))
        return st;
    concat_run(x, s);
    return DMV_OK;
}

const dv_op dv_op_concat = {1, DV_MAX_IO, 1, 1, DV_MAX_IO, 0, {0}, NULL, concat_shape, concat_run};

static void split_run(dv_exec *x, const dv_step *s)
{
    const dv_value *in = dv_in(x, s, 0);
    int axis = dv_axis(dv_node_int(s->node, DV_A_AXIS, 0), in->rank);
    size_t outer = product(in, 0, axis), whole = product(in, axis, in->rank), at = 0;
    for (int i = 0; i < s->node->n_out; i++) {
        dv_value *v = dv_out(x, s, i);
        size_t part = product(v, axis, v->rank);
        for (size_t r = 0; r < outer; r++)
            copy_block(v, r * part, in, r * whole + at, part);
        at += part;
    }
}

static dmv_status split_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    int axis = dv_axis(dv_node_int(s->node, DV_A_AXIS, 0), in->rank), n = s->node->n_out;
    if (axis < 0)
        return dv_fail(e, DMV_ERR_FORMAT, "the axis does not exist");
    int64_t part[DV_MAX_IO], dims[DMV_MAX_RANK], sum = 0;
    uint32_t given = dv_node_ints(s->node, DV_A_SPLIT, part, DV_MAX_IO);
    int64_t each = (in->dims[axis] + n - 1) / n;
    if (given && given != (uint32_t)n)
        return dv_fail(e, DMV_ERR_FORMAT, "split sizes do not match the outputs");
    for (int i = 0; i < n; i++) {
        if (!given)
            part[i] = DV_MIN(each, in->dims[axis] - DV_MIN(each * i, in->dims[axis]));
        if (part[i] < 0 || part[i] > in->dims[axis])
            return dv_fail(e, DMV_ERR_FORMAT, "a split size is out of range");
        sum += part[i];
        memcpy(dims, in->dims, sizeof dims);
        dims[axis] = part[i];
        dmv_status st = dv_set_dims(dv_out(x, s, i), in->rank, dims, e);
        if (!st && dv_out(x, s, i)->dtype == DV_I64)
            st = dv_set_ints(dv_out(x, s, i), e);
        if (st)
            return st;
    }
    if (sum != in->dims[axis])
        return dv_fail(e, DMV_ERR_FORMAT, "split sizes do not add up");
    if (in->dtype == DV_I64)
        split_run(x, s);
    return DMV_OK;
}

const dv_op dv_op_split = {1, 1, 1, DV_MAX_IO, 1, 0, {0}, NULL, split_shape, split_run};

/* ---- strided views of the source: Slice, Transpose, Expand ---- */

typedef struct walk_state {
    dv_walk w;
    int64_t offset;
    size_t rows, cols; /* Transpose of matrices: batch x rows x cols, else 0 */
    size_t batch;
    size_t evens; /* a Slice that takes every second element: how many */
} walk_state;

static void walk_run(dv_exec *x, const dv_step *s)
{
    const walk_state *c = s->state;
    if (c->evens && dv_out(x, s, 0)->dtype == DV_F32)
        x->k->evens_f32(c->evens, dv_in(x, s, 0)->f + c->offset, dv_out(x, s, 0)->f);
    else
        move(&c->w, dv_in(x, s, 0), c->offset, dv_out(x, s, 0), 0);
}

static dmv_status walk_done(dv_exec *x, dv_step *s, dv_err *e)
{
    dv_value *o = dv_out(x, s, 0);
    if (o->dtype != DV_I64)
        return DMV_OK;
    dmv_status st = dv_set_ints(o, e);
    if (!st)
        walk_run(x, s);
    return st;
}

static walk_state *walk_new(dv_step *s, const dv_value *o)
{
    walk_state *c = dv_calloc(1, sizeof *c);
    s->state = c;
    if (c) {
        c->w.rank = o->rank;
        memcpy(c->w.dims, o->dims, sizeof c->w.dims);
    }
    return c;
}

/* List i of a Slice-like op: from input `input`, else from attribute key. -1 = absent. */
static int read_list(dv_exec *x, const dv_step *s, int input, uint16_t key, int64_t *out, int cap)
{
    const dv_value *v = dv_in(x, s, input);
    if (v) {
        if (v->dtype != DV_I64 || !v->i || v->count > (size_t)cap)
            return -2;
        memcpy(out, v->i, v->count * sizeof *out);
        return (int)v->count;
    }
    if (!dv_node_attr(s->node, key))
        return -1;
    uint32_t n = dv_node_ints(s->node, key, out, (uint32_t)cap);
    return n > (uint32_t)cap ? -2 : (int)n;
}

static dmv_status slice_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    dv_value *o = dv_out(x, s, 0);
    int64_t b[DMV_MAX_RANK], f[DMV_MAX_RANK], ax[DMV_MAX_RANK], step[DMV_MAX_RANK];
    int n = read_list(x, s, 1, DV_A_STARTS, b, DMV_MAX_RANK);
    int ne = read_list(x, s, 2, DV_A_ENDS, f, DMV_MAX_RANK);
    int na = read_list(x, s, 3, DV_A_AXES, ax, DMV_MAX_RANK);
    int ns = read_list(x, s, 4, DV_A_STEPS, step, DMV_MAX_RANK);
    if (n < 0 || ne != n || (na != -1 && na != n) || (ns != -1 && ns != n) || n > in->rank)
        return dv_fail(e, DMV_ERR_FORMAT, "starts, ends, axes and steps do not agree");
    int64_t dims[DMV_MAX_RANK], st[DMV_MAX_RANK], by[DMV_MAX_RANK], offset = 0;
    unsigned cut = 0; /* axes seen: the offsets of one named twice would add up */
    memcpy(dims, in->dims, sizeof dims);
    dv_strides(in->rank, in->dims, st);
    memcpy(by, st, sizeof by);
    for (int i = 0; i < n; i++) {
        int a = dv_axis(na < 0 ? i : ax[i], in->rank);
        int64_t p = ns < 0 ? 1 : step[i];
        if (a < 0 || (cut >> a & 1) || p == 0 || p > INT32_MAX || p < -INT32_MAX)
            return dv_fail(e, DMV_ERR_FORMAT, "bad axis or step");
        cut |= 1u << a;
        int64_t d = in->dims[a], lo = b[i], hi = f[i];
        lo = lo < 0 ? (lo < -d ? -1 : lo + d) : lo;
        hi = hi < 0 ? (hi < -d ? -1 : hi + d) : hi;
        if (p > 0) {
            lo = DV_MIN(DV_MAX(lo, 0), d);
            hi = DV_MIN(DV_MAX(hi, 0), d);
            dims[a] = hi > lo ? (hi - lo + p - 1) / p : 0;
        } else {
            lo = DV_MIN(DV_MAX(lo, 0), d - 1); /* ONNX: a start goes no further than the end */
            hi = DV_MIN(DV_MAX(hi, -1), d - 1);
            dims[a] = lo > hi ? (lo - hi - p - 1) / -p : 0;
        }
        offset += dims[a] ? lo * st[a] : 0;
        by[a] = st[a] * p;
    }
    dmv_status r = dv_set_dims(o, in->rank, dims, e);
    if (r)
        return r;
    walk_state *c = walk_new(s, o);
    if (!c)
        return dv_nomem(e);
    memcpy(c->w.stride, by, sizeof by);
    c->offset = offset;
    dv_walk w = c->w;
    dv_walk_simplify(&w);
    if (w.rank == 1 && w.stride[0] == 2)
        c->evens = (size_t)w.dims[0];
    return walk_done(x, s, e);
}

const dv_op dv_op_slice = {1, 5, 1, 1, 1, 0, {0}, NULL, slice_shape, walk_run};

static dmv_status transpose_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    dv_value *o = dv_out(x, s, 0);
    int64_t perm[DMV_MAX_RANK], dims[DMV_MAX_RANK], st[DMV_MAX_RANK];
    uint32_t n = dv_node_ints(s->node, DV_A_PERM, perm, DMV_MAX_RANK);
    unsigned seen = 0;
    if (n == 0)
        for (int i = 0; i < in->rank; i++)
            perm[i] = in->rank - 1 - i;
    else if ((int)n != in->rank)
        return dv_fail(e, DMV_ERR_FORMAT, "the permutation has another rank");
    int64_t last = -1;
    bool trivial = true; /* only axes of size 1 move */
    for (int i = 0; i < in->rank; i++) {
        if (perm[i] < 0 || perm[i] >= in->rank || (seen >> perm[i] & 1))
            return dv_fail(e, DMV_ERR_FORMAT, "not a permutation");
        seen |= 1u << perm[i];
        dims[i] = in->dims[perm[i]];
        if (dims[i] != 1) {
            trivial &= perm[i] > last;
            last = perm[i];
        }
    }
    dmv_status r = dv_set_dims(o, in->rank, dims, e);
    if (r)
        return r;
    if (trivial && o->dtype != DV_I64) {
        dv_make_view(x, s);
        return DMV_OK;
    }
    walk_state *c = walk_new(s, o);
    if (!c)
        return dv_nomem(e);
    dv_strides(in->rank, in->dims, st);
    for (int i = 0; i < in->rank; i++)
        c->w.stride[i] = st[perm[i]];
    /* [batch] x rows x cols swapped as wholes: the transpose kernel does it in tiles */
    dv_walk w = c->w;
    dv_walk_simplify(&w);
    int k = w.rank;
    if (k >= 2 && k <= 3 && w.stride[k - 2] == 1 && w.stride[k - 1] == w.dims[k - 2] &&
        (k == 2 || w.stride[0] == w.dims[1] * w.dims[2])) {
        c->batch = k == 3 ? (size_t)w.dims[0] : 1;
        c->rows = (size_t)w.dims[k - 1];
        c->cols = (size_t)w.dims[k - 2];
    }
    return walk_done(x, s, e);
}

static void transpose_run(dv_exec *x, const dv_step *s)
{
    const walk_state *c = s->state;
    if (!c->rows || dv_out(x, s, 0)->dtype != DV_F32) {
        walk_run(x, s);
        return;
    }
    size_t plane = c->rows * c->cols;
    for (size_t b = 0; b < c->batch; b++)
        x->k->transpose_f32(c->rows, c->cols, dv_in(x, s, 0)->f + b * plane, c->cols,
                            dv_out(x, s, 0)->f + b * plane, c->rows);
}

const dv_op dv_op_transpose = {1, 1, 1, 1, 1, 0, {0}, NULL, transpose_shape, transpose_run};

static dmv_status expand_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0), *sh = dv_in(x, s, 1);
    dv_value *o = dv_out(x, s, 0);
    if (sh->dtype != DV_I64 || sh->count > DMV_MAX_RANK)
        return dv_fail(e, DMV_ERR_FORMAT, "the shape is not a list of integers");
    int rank = DV_MAX(in->rank, (int)sh->count);
    int64_t dims[DMV_MAX_RANK], st[DMV_MAX_RANK], by[DMV_MAX_RANK];
    dv_strides(in->rank, in->dims, st);
    for (int i = rank - 1, a = in->rank - 1, b = (int)sh->count - 1; i >= 0; i--, a--, b--) {
        int64_t da = a >= 0 ? in->dims[a] : 1, db = b >= 0 ? sh->i[b] : 1;
        if (da != db && da != 1 && db != 1)
            return dv_fail(e, DMV_ERR_FORMAT, "shapes do not broadcast");
        dims[i] = da == 1 ? db : da;
        by[i] = da == 1 ? 0 : st[a];
    }
    dmv_status r = dv_set_dims(o, rank, dims, e);
    if (r)
        return r;
    walk_state *c = walk_new(s, o);
    if (!c)
        return dv_nomem(e);
    memcpy(c->w.stride, by, sizeof by);
    return walk_done(x, s, e);
}

const dv_op dv_op_expand = {2, 2, 1, 1, 2, 0, {0}, NULL, expand_shape, walk_run};

/* ---- Gather ---- */

static void gather_run(dv_exec *x, const dv_step *s)
{
    const dv_value *in = dv_in(x, s, 0), *idx = dv_in(x, s, 1);
    dv_value *o = dv_out(x, s, 0);
    int axis = dv_axis(dv_node_int(s->node, DV_A_AXIS, 0), in->rank);
    size_t outer = product(in, 0, axis), inner = product(in, axis + 1, in->rank);
    size_t len = (size_t)in->dims[axis];
    for (size_t r = 0; r < outer; r++)
        for (size_t j = 0; j < idx->count; j++) {
            int64_t at = idx->i[j] < 0 ? idx->i[j] + in->dims[axis] : idx->i[j];
            copy_block(o, (r * idx->count + j) * inner, in, (r * len + (size_t)at) * inner, inner);
        }
}

static dmv_status gather_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0), *idx = dv_in(x, s, 1);
    dv_value *o = dv_out(x, s, 0);
    int axis = dv_axis(dv_node_int(s->node, DV_A_AXIS, 0), in->rank);
    if (axis < 0 || idx->dtype != DV_I64 || in->rank - 1 + idx->rank > DMV_MAX_RANK)
        return dv_fail(e, DMV_ERR_FORMAT, "bad axis or indices");
    for (size_t j = 0; j < idx->count; j++)
        if (idx->i[j] < -in->dims[axis] || idx->i[j] >= in->dims[axis])
            return dv_fail(e, DMV_ERR_FORMAT, "index %lld is out of range", (long long)idx->i[j]);
    int64_t dims[DMV_MAX_RANK];
    int n = 0;
    for (int i = 0; i < axis; i++)
        dims[n++] = in->dims[i];
    for (int i = 0; i < idx->rank; i++)
        dims[n++] = idx->dims[i];
    for (int i = axis + 1; i < in->rank; i++)
        dims[n++] = in->dims[i];
    dmv_status st = dv_set_dims(o, n, dims, e);
    if (st || o->dtype != DV_I64)
        return st;
    if ((st = dv_set_ints(o, e)))
        return st;
    gather_run(x, s);
    return DMV_OK;
}

const dv_op dv_op_gather = {2, 2, 1, 1, 2, 0, {0}, NULL, gather_shape, gather_run};

/* ---- Pad ---- */

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE };

static dmv_status pad_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    int64_t m = dv_node_int(n, DV_A_MODE, 0);
    return m >= 0 && m <= PAD_EDGE ? DMV_OK : dv_fail(e, DMV_ERR_FORMAT, "unknown padding mode");
}

typedef struct pad_state {
    int64_t before[DMV_MAX_RANK];
} pad_state;

static dmv_status pad_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    int64_t p[2 * DMV_MAX_RANK], dims[DMV_MAX_RANK];
    pad_state *c = dv_calloc(1, sizeof *c);
    if (!c)
        return dv_nomem(e);
    s->state = c;
    if (in->dtype != DV_F32 || read_list(x, s, 1, DV_A_PADS, p, 2 * DMV_MAX_RANK) != 2 * in->rank)
        return dv_fail(e, DMV_ERR_FORMAT, "the padding has the wrong length");
    int64_t mode = dv_node_int(s->node, DV_A_MODE, 0);
    for (int i = 0; i < in->rank; i++) {
        int64_t b = p[i], a = p[in->rank + i], d = in->dims[i];
        if (b < -d || a < -d || b > 65536 || a > 65536 || d + a + b < 0 ||
            (mode == PAD_REFLECT && (b >= d || a >= d)) || (mode == PAD_EDGE && d == 0))
            return dv_fail(e, DMV_ERR_FORMAT, "absurd padding");
        c->before[i] = b;
        dims[i] = d + a + b;
    }
    return dv_set_dims(dv_out(x, s, 0), in->rank, dims, e);
}

/* Where place `at` of an axis of n lies; -1 = in the padding. */
static int64_t pad_place(int64_t at, int64_t n, int64_t mode)
{
    if (at >= 0 && at < n)
        return at;
    if (mode == PAD_CONSTANT)
        return -1;
    if (mode == PAD_EDGE)
        return at < 0 ? 0 : n - 1;
    return at < 0 ? -at : 2 * (n - 1) - at;
}

/* One run of the last axis; from NULL = all of it is padding. */
static void pad_row(const float *from, int64_t n, int64_t before, int64_t m, int64_t mode,
                    float value, float *out)
{
    int64_t first = DV_MIN(DV_MAX(before, 0), m), last = DV_MAX(DV_MIN(before + n, m), first);
    if (!from) {
        for (int64_t i = 0; i < m; i++)
            out[i] = value;
        return;
    }
    memcpy(out + first, from + first - before, (size_t)(last - first) * sizeof *out);
    for (int64_t i = 0; i < m - (last - first); i++) {
        int64_t k = i < first ? i : i + last - first, at = pad_place(k - before, n, mode);
        out[k] = at < 0 ? value : from[at];
    }
}

static void pad_run(dv_exec *x, const dv_step *s)
{
    const pad_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0);
    dv_value *o = dv_out(x, s, 0);
    int64_t mode = dv_node_int(s->node, DV_A_MODE, 0), st[DMV_MAX_RANK], idx[DMV_MAX_RANK] = {0};
    float value = dv_node_float(s->node, DV_A_VALUE, 0);
    int last = in->rank - 1;
    if (last < 0)
        o->f[0] = in->f[0];
    dv_strides(in->rank, in->dims, st);
    for (size_t i = 0; last >= 0 && i < o->count; i += (size_t)o->dims[last]) {
        const float *from = in->f;
        for (int d = 0; d < last && from; d++) {
            int64_t at = pad_place(idx[d] - c->before[d], in->dims[d], mode);
            from = at < 0 ? NULL : from + at * st[d];
        }
        pad_row(from, in->dims[last], c->before[last], o->dims[last], mode, value, o->f + i);
        for (int d = last - 1; d >= 0 && ++idx[d] == o->dims[d]; d--)
            idx[d] = 0;
    }
}

const dv_op dv_op_pad = {1, 2, 1, 1, 1, 0, {0}, pad_check, pad_shape, pad_run};

/* ---- ChannelShuffle ---- */

static dmv_status shuffle_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    int64_t g = dv_node_int(s->node, DV_A_GROUP, 1);
    if (in->rank < 1 || in->dtype == DV_I64 || g < 1 || in->dims[in->rank - 1] % g)
        return dv_fail(e, DMV_ERR_FORMAT, "channels are not a multiple of the groups");
    return dv_set_dims(dv_out(x, s, 0), in->rank, in->dims, e);
}

static void shuffle_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_value *in = dv_in(x, s, 0);
    size_t c = (size_t)in->dims[in->rank - 1], g = (size_t)dv_node_int(s->node, DV_A_GROUP, 1);
    if (in->dtype == DV_U8) {
        uint8_t *out = dv_out(x, s, 0)->q;
        for (size_t p = begin; p < end; p++)
            for (size_t i = 0; i < g; i++)
                for (size_t j = 0; j < c / g; j++)
                    out[p * c + j * g + i] = in->q[p * c + i * (c / g) + j];
        return;
    }
    for (size_t p = begin; p < end; p++)
        for (size_t i = 0; i < g; i++)
            for (size_t j = 0; j < c / g; j++)
                dv_out(x, s, 0)->f[p * c + j * g + i] = in->f[p * c + i * (c / g) + j];
}

static void shuffle_run(dv_exec *x, const dv_step *s)
{
    const dv_value *in = dv_in(x, s, 0);
    size_t c = (size_t)in->dims[in->rank - 1];
    dv_parallel(x, s, c ? in->count / c : 0, 64, shuffle_range);
}

const dv_op dv_op_channel_shuffle = {1, 1, 1, 1, 1, 0, {0}, NULL, shuffle_shape, shuffle_run};
