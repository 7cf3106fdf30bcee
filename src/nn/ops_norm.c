/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_norm.c - ops along one or more axes: Softmax, LayerNorm, L2Norm, Reduce. */
#include <math.h>
#include <string.h>

#include "nn/ops.h"

static dmv_status axis_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    if (dv_axis(dv_node_int(s->node, DV_A_AXIS, -1), in->rank) < 0 || in->count == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "the axis does not exist");
    s->scratch = (size_t)in->dims[dv_axis(dv_node_int(s->node, DV_A_AXIS, -1), in->rank)] * 4 + 64;
    return dv_set_dims(dv_out(x, s, 0), in->rank, in->dims, e);
}

/* outer x len x inner around the node's axis */
static void axis_split(dv_exec *x, const dv_step *s, size_t *outer, size_t *len, size_t *inner)
{
    const dv_value *in = dv_in(x, s, 0);
    int axis = dv_axis(dv_node_int(s->node, DV_A_AXIS, -1), in->rank);
    *outer = *inner = 1;
    *len = (size_t)in->dims[axis];
    for (int i = 0; i < axis; i++)
        *outer *= (size_t)in->dims[i];
    for (int i = axis + 1; i < in->rank; i++)
        *inner *= (size_t)in->dims[i];
}

static void softmax_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    size_t outer, len, inner;
    axis_split(x, s, &outer, &len, &inner);
    const float *in = dv_in(x, s, 0)->f;
    float *out = dv_out(x, s, 0)->f, *row = dv_scratch(x, worker);
    if (inner == 1) {
        x->k->softmax_f32(end - begin, len, in + begin * len, out + begin * len);
        return;
    }
    for (size_t i = begin; i < end; i++) {
        size_t base = i / inner * len * inner + i % inner;
        for (size_t j = 0; j < len; j++)
            row[j] = in[base + j * inner];
        x->k->softmax_f32(1, len, row, row);
        for (size_t j = 0; j < len; j++)
            out[base + j * inner] = row[j];
    }
}

static void softmax_run(dv_exec *x, const dv_step *s)
{
    size_t outer, len, inner;
    axis_split(x, s, &outer, &len, &inner);
    dv_parallel(x, s, outer * inner, DV_MAX((size_t)1, 1024 / len), softmax_range);
}

const dv_op dv_op_softmax = {1, 1, 1, 1, 1, 1, {0}, NULL, axis_shape, softmax_run};

static void l2_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    size_t outer, len, inner;
    axis_split(x, s, &outer, &len, &inner);
    const float *in = dv_in(x, s, 0)->f;
    float *out = dv_out(x, s, 0)->f, eps = dv_node_float(s->node, DV_A_EPS, 1e-12f);
    if (inner == 1) {
        for (size_t i = begin; i < end; i++) {
            float sum;
            x->k->dots_f32(1, len, in + i * len, in + i * len, len, &sum);
            sum = 1.0f / fmaxf(sqrtf(sum), eps);
            x->k->binary_f32(DV_BIN_MUL, 1, len, in + i * len, &sum, out + i * len);
        }
        return;
    }
    enum { WIDE = 64 };
    float sum[WIDE], square[WIDE];
    for (size_t i = begin, n; i < end; i += n) { /* n neighbours at a time */
        size_t base = i / inner * len * inner + i % inner;
        n = DV_MIN(DV_MIN((size_t)WIDE, end - i), inner - i % inner);
        memset(sum, 0, sizeof sum);
        for (size_t j = 0; j < len; j++) {
            const float *row = in + base + j * inner;
            x->k->binary_f32(DV_BIN_MUL, 0, n, row, row, square);
            x->k->binary_f32(DV_BIN_ADD, 0, n, sum, square, sum);
        }
        for (size_t k = 0; k < n; k++)
            sum[k] = 1.0f / fmaxf(sqrtf(sum[k]), eps);
        for (size_t j = 0; j < len; j++)
            x->k->binary_f32(DV_BIN_MUL, 0, n, in + base + j * inner, sum, out + base + j * inner);
    }
}

static void l2_run(dv_exec *x, const dv_step *s)
{
    size_t outer, len, inner;
    axis_split(x, s, &outer, &len, &inner);
    dv_parallel(x, s, outer * inner, inner == 1 ? DV_MAX((size_t)1, 1024 / len) : 16, l2_range);
}

const dv_op dv_op_l2_norm = {1, 1, 1, 1, 1, 1, {0}, NULL, axis_shape, l2_run};

static dmv_status ln_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    for (int i = 1; i < 3; i++)
        if (i < n->n_in && n->in[i] >= 0 && !dv_const_in(g, n, i))
            return dv_fail(e, DMV_ERR_UNSUPPORTED, "gamma or beta is not constant");
    if (!(dv_node_float(n, DV_A_EPS, 1e-5f) >= 0))
        return dv_fail(e, DMV_ERR_FORMAT, "negative epsilon");
    return DMV_OK;
}

static dv_range ln_range;

static dmv_status ln_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    if (in->rank < 1 || in->count == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "nothing to normalise");
    for (int i = 1; i < 3; i++) {
        const dv_value *v = dv_in(x, s, i);
        if (v && (v->dtype != DV_F32 || v->count != (size_t)in->dims[in->rank - 1]))
            return dv_fail(e, DMV_ERR_FORMAT, "gamma or beta has the wrong length");
    }
    dmv_status st = dv_set_dims(dv_out(x, s, 0), in->rank, in->dims, e);
    if (!st)
        dv_same_band(x, s, ln_range, true);
    return st;
}

static void ln_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_value *in = dv_in(x, s, 0), *gm = dv_in(x, s, 1), *bt = dv_in(x, s, 2);
    size_t n = (size_t)in->dims[in->rank - 1];
    x->k->layernorm_f32(end - begin, n, in->f + begin * n, gm ? gm->f : NULL, bt ? bt->f : NULL,
                        dv_node_float(s->node, DV_A_EPS, 1e-5f), dv_out(x, s, 0)->f + begin * n);
}

static void ln_run(dv_exec *x, const dv_step *s)
{
    const dv_value *in = dv_in(x, s, 0);
    size_t n = (size_t)in->dims[in->rank - 1];
    dv_parallel(x, s, in->count / n, DV_MAX((size_t)1, 2048 / n), ln_range);
}

const dv_op dv_op_layer_norm = {1, 3, 1, 1, 1, 1, {0}, ln_check, ln_shape, ln_run};

/* ---- Reduce ---- */

typedef struct reduce_state {
    dv_walk keep, drop; /* walks over the input: kept axes, reduced axes */
    size_t n_keep, n_drop;
    bool rows; /* the reduced axes are middle ones and the last is kept: add row by row */
    size_t row;
} reduce_state;

static dmv_status reduce_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    int64_t r = dv_node_int(n, DV_A_REDUCE, -1);
    if (r < 0 || r >= DV_RED_COUNT || g->tensors[n->in[0]].dtype != DV_F32)
        return dv_fail(e, DMV_ERR_FORMAT, "unknown reduction %lld", (long long)r);
    return DMV_OK;
}

static dmv_status reduce_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    reduce_state *c = dv_calloc(1, sizeof *c);
    if (!c)
        return dv_nomem(e);
    s->state = c;
    bool gone[DMV_MAX_RANK] = {false};
    int64_t axes[DMV_MAX_RANK], st[DMV_MAX_RANK], dims[DMV_MAX_RANK];
    uint32_t n = dv_node_ints(s->node, DV_A_AXES, axes, DMV_MAX_RANK);
    if (n > DMV_MAX_RANK || in->count == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "too many axes, or an empty tensor");
    for (uint32_t i = 0; i < n; i++) {
        int a = dv_axis(axes[i], in->rank);
        if (a < 0)
            return dv_fail(e, DMV_ERR_FORMAT, "the axis does not exist");
        gone[a] = true;
    }
    bool keepdims = dv_node_int(s->node, DV_A_KEEPDIMS, 1) != 0;
    int rank = 0;
    dv_strides(in->rank, in->dims, st);
    c->n_keep = c->n_drop = 1;
    for (int i = 0; i < in->rank; i++) {
        bool g = n == 0 || gone[i];
        dv_walk *w = g ? &c->drop : &c->keep;
        w->dims[w->rank] = in->dims[i];
        w->stride[w->rank++] = st[i];
        if (g)
            c->n_drop *= (size_t)in->dims[i];
        else
            c->n_keep *= (size_t)in->dims[i];
        if (!g)
            dims[rank++] = in->dims[i];
        else if (keepdims)
            dims[rank++] = 1;
    }
    dv_walk_simplify(&c->keep);
    dv_walk_simplify(&c->drop);
    int64_t red = dv_node_int(s->node, DV_A_REDUCE, 0);
    c->rows = c->keep.rank >= 1 && c->keep.stride[c->keep.rank - 1] == 1 && c->drop.rank == 1 &&
              c->keep.rank <= 2 && (red == DV_RED_MEAN || red == DV_RED_SUM || red == DV_RED_MAX);
    c->row = c->rows ? (size_t)c->keep.dims[c->keep.rank - 1] : 0;
    return dv_set_dims(dv_out(x, s, 0), rank, dims, e);
}

static double reduce_step(int red, double acc, double v)
{
    switch (red) {
    case DV_RED_MAX:
        return v > acc ? v : acc;
    case DV_RED_MIN:
        return v < acc ? v : acc;
    case DV_RED_L1:
        return acc + fabs(v);
    case DV_RED_L2:
    case DV_RED_SUMSQ:
        return acc + v * v;
    case DV_RED_PROD:
        return acc * v;
    default:
        return acc + v;
    }
}

static void reduce_rows(dv_exec *x, const dv_step *s, const reduce_state *c, int red)
{
    const float *in = dv_in(x, s, 0)->f;
    float *out = dv_out(x, s, 0)->f, share = 1.0f / (float)c->n_drop;
    int op = red == DV_RED_MAX ? DV_BIN_MAX : DV_BIN_ADD;
    size_t outer = c->n_keep / c->row;
    for (size_t o = 0; o < outer; o++, out += c->row) {
        const float *p = in + (c->keep.rank == 2 ? (int64_t)o * c->keep.stride[0] : 0);
        memcpy(out, p, c->row * sizeof(float));
        for (int64_t i = 1; i < c->drop.dims[0]; i++)
            x->k->binary_f32(op, 0, c->row, out, p + i * c->drop.stride[0], out);
        if (red == DV_RED_MEAN)
            x->k->binary_f32(DV_BIN_MUL, 1, c->row, out, &share, out);
    }
}

static void reduce_run(dv_exec *x, const dv_step *s)
{
    const reduce_state *c = s->state;
    const float *in = dv_in(x, s, 0)->f;
    float *out = dv_out(x, s, 0)->f;
    int red = (int)dv_node_int(s->node, DV_A_REDUCE, 0);
    if (c->rows) {
        reduce_rows(x, s, c, red);
        return;
    }
    int64_t ki[DMV_MAX_RANK] = {0}, base = 0;
    for (size_t i = 0; i < c->n_keep; i++) {
        int64_t di[DMV_MAX_RANK] = {0}, off = base;
        double acc = red == DV_RED_MAX    ? -INFINITY
                     : red == DV_RED_MIN  ? INFINITY
                     : red == DV_RED_PROD ? 1
                                          : 0;
        for (size_t j = 0; j < c->n_drop; j++) {
            acc = reduce_step(red, acc, (double)in[off]);
            for (int d = c->drop.rank - 1; d >= 0; d--) {
                off += c->drop.stride[d];
                if (++di[d] < c->drop.dims[d])
                    break;
                off -= c->drop.stride[d] * c->drop.dims[d];
                di[d] = 0;
            }
        }
        if (red == DV_RED_MEAN)
            acc /= (double)c->n_drop;
        out[i] = (float)(red == DV_RED_L2 ? sqrt(acc) : acc);
        for (int d = c->keep.rank - 1; d >= 0; d--) {
            base += c->keep.stride[d];
            if (++ki[d] < c->keep.dims[d])
                break;
            base -= c->keep.stride[d] * c->keep.dims[d];
            ki[d] = 0;
        }
    }
}

const dv_op dv_op_reduce = {1, 1, 1, 1, 1, 0, {0}, reduce_check, reduce_shape, reduce_run};
