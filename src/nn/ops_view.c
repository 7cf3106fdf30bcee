/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_view.c - ops that change the shape only: their output is a view of the input and nothing
 * runs. Shape and Cast make or convert integers while a session is shaped. */
#include <string.h>

#include "nn/ops.h"

static void no_run(dv_exec *x, const dv_step *s)
{
}

/* A view, or for integers a copy. */
static dmv_status view(dv_exec *x, dv_step *s, int rank, const int64_t *dims, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    dv_value *o = dv_out(x, s, 0);
    dmv_status st = dv_set_dims(o, rank, dims, e);
    if (st)
        return st;
    if (o->count != in->count || o->dtype != in->dtype)
        return dv_fail(e, DMV_ERR_FORMAT, "%zu elements cannot become %zu", in->count, o->count);
    if (o->dtype != DV_I64) {
        dv_make_view(x, s);
        return DMV_OK;
    }
    if ((st = dv_set_ints(o, e)))
        return st;
    memcpy(o->i, in->i, o->count * sizeof *o->i);
    return DMV_OK;
}

static dmv_status reshape_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0), *sh = dv_in(x, s, 1);
    int64_t dims[DMV_MAX_RANK], known = 1;
    int free_at = -1;
    uint32_t n;
    if (sh) {
        if (sh->dtype != DV_I64 || sh->count > DMV_MAX_RANK)
            return dv_fail(e, DMV_ERR_FORMAT, "the shape is not a short list of integers");
        n = (uint32_t)sh->count;
        memcpy(dims, sh->i, n * sizeof *dims);
    } else {
        n = dv_node_ints(s->node, DV_A_SHAPE, dims, DMV_MAX_RANK);
        if (n > DMV_MAX_RANK || !dv_node_attr(s->node, DV_A_SHAPE))
            return dv_fail(e, DMV_ERR_FORMAT, "no shape, or too many dimensions");
    }
    for (uint32_t i = 0; i < n; i++) {
        if (dims[i] == 0) {
            if ((int)i >= in->rank)
                return dv_fail(e, DMV_ERR_FORMAT, "dimension %u has nothing to copy", i);
            dims[i] = in->dims[i];
        }
        if (dims[i] == -1 && free_at < 0)
            free_at = (int)i;
        else if (dims[i] < 0 || __builtin_mul_overflow(known, dims[i], &known))
            return dv_fail(e, DMV_ERR_FORMAT, "an impossible shape");
    }
    if (free_at >= 0) {
        if (known == 0 || (int64_t)in->count % known)
            return dv_fail(e, DMV_ERR_FORMAT, "%zu elements do not divide by %lld", in->count,
                           (long long)known);
        dims[free_at] = (int64_t)in->count / known;
    }
    return view(x, s, (int)n, dims, e);
}

const dv_op dv_op_reshape = {1, 2, 1, 1, 1, 0, {0}, NULL, reshape_shape, no_run};

static dmv_status flatten_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    int64_t axis = dv_node_int(s->node, DV_A_AXIS, 1), dims[2] = {1, 1};
    if (axis < 0)
        axis += in->rank;
    if (axis < 0 || axis > in->rank)
        return dv_fail(e, DMV_ERR_FORMAT, "the axis does not exist");
    for (int i = 0; i < in->rank; i++)
        dims[i >= axis] *= in->dims[i];
    return view(x, s, 2, dims, e);
}

const dv_op dv_op_flatten = {1, 1, 1, 1, 1, 0, {0}, NULL, flatten_shape, no_run};

static int axes_of(dv_exec *x, const dv_step *s, int64_t *axes, int cap)
{
    const dv_value *v = dv_in(x, s, 1);
    if (v) {
        if (v->dtype != DV_I64 || !v->i || v->count > (size_t)cap)
            return -1;
        memcpy(axes, v->i, v->count * sizeof *axes);
        return (int)v->count;
    }
    uint32_t n = dv_node_ints(s->node, DV_A_AXES, axes, (uint32_t)cap);
    return n > (uint32_t)cap ? -1 : (int)n;
}

static dmv_status squeeze_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    int64_t axes[DMV_MAX_RANK], dims[DMV_MAX_RANK];
    int n = axes_of(x, s, axes, DMV_MAX_RANK), rank = 0;
    unsigned gone = 0;
    for (int i = 0; i < n; i++) {
        int a = dv_axis(axes[i], in->rank);
        if (a < 0 || in->dims[a] != 1)
            return dv_fail(e, DMV_ERR_FORMAT, "only dimensions of size 1 can go");
        gone |= 1u << a;
    }
    if (n < 0)
        return dv_fail(e, DMV_ERR_FORMAT, "bad axes");
    for (int i = 0; i < in->rank; i++)
        if (n ? !(gone >> i & 1) : in->dims[i] != 1)
            dims[rank++] = in->dims[i];
    return view(x, s, rank, dims, e);
}

const dv_op dv_op_squeeze = {1, 2, 1, 1, 1, 0, {0}, NULL, squeeze_shape, no_run};

static dmv_status unsqueeze_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    int64_t axes[DMV_MAX_RANK], dims[DMV_MAX_RANK];
    int n = axes_of(x, s, axes, DMV_MAX_RANK), from = 0;
    unsigned fresh = 0;
    if (n < 0 || in->rank + n > DMV_MAX_RANK)
        return dv_fail(e, DMV_ERR_FORMAT, "too many dimensions");
    for (int i = 0; i < n; i++) {
        int a = dv_axis(axes[i], in->rank + n);
        if (a < 0 || (fresh >> a & 1))
            return dv_fail(e, DMV_ERR_FORMAT, "bad axes");
        fresh |= 1u << a;
    }
    for (int i = 0; i < in->rank + n; i++)
        dims[i] = fresh >> i & 1 ? 1 : in->dims[from++];
    return view(x, s, in->rank + n, dims, e);
}

const dv_op dv_op_unsqueeze = {1, 2, 1, 1, 1, 0, {0}, NULL, unsqueeze_shape, no_run};

static dmv_status identity_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    return view(x, s, in->rank, in->dims, e);
}

const dv_op dv_op_identity = {1, 1, 1, 1, 1, 0, {0}, NULL, identity_shape, no_run};

static dmv_status cast_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    dv_value *o = dv_out(x, s, 0);
    if (in->dtype == o->dtype)
        return view(x, s, in->rank, in->dims, e);
    dmv_status st = dv_set_dims(o, in->rank, in->dims, e);
    if (st)
        return st;
    const dv_gtensor *c = dv_const_in(x->g, s->node, 0);
    if (o->dtype != DV_I64 || !c)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "a cast between integers and computed values");
    if ((st = dv_set_ints(o, e)))
        return st;
    for (size_t i = 0; i < o->count; i++) {
        float v = in->f[i];
        o->i[i] = v >= 9.2e18f ? INT64_MAX : v <= -9.2e18f ? INT64_MIN : v == v ? (int64_t)v : 0;
    }
    return DMV_OK;
}

const dv_op dv_op_cast = {1, 1, 1, 1, 1, 0, {0}, NULL, cast_shape, no_run};

static dmv_status shape_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    return g->tensors[n->out[0]].dtype == DV_I64
               ? DMV_OK
               : dv_fail(e, DMV_ERR_FORMAT, "shapes are integers");
}

static dmv_status shape_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    dv_value *o = dv_out(x, s, 0);
    int64_t dims[1] = {in->rank};
    dmv_status st = dv_set_dims(o, 1, dims, e);
    if (st || (st = dv_set_ints(o, e)))
        return st;
    memcpy(o->i, in->dims, (size_t)in->rank * sizeof *o->i);
    return DMV_OK;
}

const dv_op dv_op_shape = {1, 1, 1, 1, 1, 0, {0}, shape_check, shape_shape, no_run};
