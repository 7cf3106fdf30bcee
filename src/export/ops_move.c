/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_move.c - ops that move values, and those on shapes. Integers have one layout only. */
#include <string.h>

#include "export/onnx_write.h"

static bool is_float(const ex *x, int32_t t)
{
    return x->g->tensors[t].dtype != DV_I64;
}

/* In N, C, H, W the numbers lie as in the graph: no two axes longer than 1 change places. */
static bool same_order(const ex *x, int32_t t)
{
    const ex_tensor *o = &x->t[t];
    return o->rank == 4 && (o->dims[3] == 1 || (o->dims[1] == 1 && o->dims[2] == 1));
}

static void concat(ex *x)
{
    int32_t in[DV_MAX_IO];
    int layout = EX_PLAIN, rank = ex_rank(x, x->n->out[0]);
    for (int i = 0; i < x->n->n_in && rank == 4; i++)
        if (!x->g->tensors[ex_in(x, i)].data && ex_layout(x, ex_in(x, i)) == EX_NCHW)
            layout = EX_NCHW;
    for (int i = 0; i < x->n->n_in; i++) {
        int32_t t = ex_in(x, i);
        in[i] = ex_get(x, t, layout);
    }
    int32_t v = ex_op(x, "Concat", x->n->n_in, in);
    ex_int(x, "axis", ex_axis((int)dv_node_int(x->n, DV_A_AXIS, 0), rank, layout));
    ex_put(x, x->n->out[0], layout, v);
}

static void split(ex *x)
{
    int32_t t = ex_in(x, 0), out[DV_MAX_IO];
    int64_t part[DV_MAX_IO];
    int layout = ex_layout(x, t), rank = ex_rank(x, t);
    int axis = ex_axis((int)dv_node_int(x->n, DV_A_AXIS, 0), rank, EX_PLAIN);
    int32_t in[2] = {ex_get(x, t, layout), -1};
    for (int i = 0; i < x->n->n_out; i++) {
        part[i] = x->t[x->n->out[i]].dims[axis];
        if (part[i] < 0)
            ex_unsupported(x, "the parts of an axis of free size");
    }
    in[1] = ex_list(x, part, (size_t)x->n->n_out);
    ex_op_many(x, "Split", 2, in, x->n->n_out, out);
    ex_int(x, "axis", ex_axis(axis, rank, layout));
    for (int i = 0; ex_ok(x) && i < x->n->n_out; i++)
        ex_put(x, x->n->out[i], layout, out[i]);
}

static void slice(ex *x)
{
    static const uint16_t keys[4] = {DV_A_STARTS, DV_A_ENDS, DV_A_AXES, DV_A_STEPS};
    int32_t t = ex_in(x, 0), in[5] = {-1, -1, -1, -1, -1};
    int64_t v[DMV_MAX_RANK];
    int rank = ex_rank(x, t), layout = x->n->n_in > 1 ? EX_PLAIN : ex_layout(x, t);
    in[0] = ex_get(x, t, layout);
    for (int i = 0; i < 4; i++) {
        uint32_t n = dv_node_ints(x->n, keys[i], v, DMV_MAX_RANK);
        if (ex_in(x, i + 1) >= 0) {
            in[i + 1] = ex_get(x, ex_in(x, i + 1), EX_PLAIN);
        } else if (n) {
            for (uint32_t k = 0; keys[i] == DV_A_AXES && k < n; k++)
                v[k] = ex_axis((int)v[k], rank, layout);
            in[i + 1] = ex_list(x, v, n);
        }
    }
    if (in[3] < 0 && layout == EX_NCHW) { /* starts without axes mean the first ones */
        uint32_t n = dv_node_ints(x->n, DV_A_STARTS, v, DMV_MAX_RANK);
        for (uint32_t k = 0; k < n; k++)
            v[k] = ex_axis((int)k, rank, layout);
        in[3] = ex_list(x, v, n);
    }
    ex_put(x, x->n->out[0], layout, ex_op(x, "Slice", 5, in));
}

static void gather(ex *x)
{
    int32_t t = ex_in(x, 0);
    int rank = ex_rank(x, t), layout = ex_rank(x, ex_in(x, 1)) == 1 ? ex_layout(x, t) : EX_PLAIN;
    int32_t v = ex_op2(x, "Gather", ex_get(x, t, layout), ex_get(x, ex_in(x, 1), EX_PLAIN));
    ex_int(x, "axis", ex_axis((int)dv_node_int(x->n, DV_A_AXIS, 0), rank, layout));
    ex_put(x, x->n->out[0], layout, v);
}

/* y.dims[i] = x.dims[perm[i]] in the graph. Of the values that x has and those that y may have the
 * pair that needs no Transpose is taken. */
static void transpose(ex *x)
{
    static const int64_t order[2][4] = {{0, 1, 2, 3}, {0, 3, 1, 2}};
    int32_t t = ex_in(x, 0), out = x->n->out[0];
    int64_t perm[DMV_MAX_RANK];
    int rank = ex_rank(x, t);
    if (!dv_node_ints(x->n, DV_A_PERM, perm, DMV_MAX_RANK))
        for (int i = 0; i < rank; i++)
            perm[i] = rank - 1 - i;
    for (int from = 0; rank == 4 && is_float(x, t) && from < 2; from++)
        for (int to = 0; to < 2; to++) {
            bool same = ex_has(x, t, from);
            for (int i = 0; i < 4; i++)
                same = same && perm[order[to][i]] == order[from][i];
            if (same) {
                x->t[out].value[to] = x->t[t].value[from];
                x->t[out].shift = x->t[t].shift;
                x->t[out].dynamic = x->t[t].dynamic;
                return;
            }
        }
    ex_put(x, out, EX_PLAIN, ex_transpose(x, ex_get(x, t, EX_PLAIN), rank, perm));
}

/* ---- views ---- */

/* A value of input 0 whose numbers lie in the graph's order. */
static int32_t in_order(ex *x, bool by_index)
{
    int32_t t = ex_in(x, 0);
    bool turned = !by_index && same_order(x, t) && ex_has(x, t, EX_NCHW);
    return ex_get(x, t, turned ? EX_NCHW : EX_PLAIN);
}

static void reshape(ex *x)
{
    int64_t shape[DMV_MAX_RANK];
    uint32_t n = dv_node_ints(x->n, DV_A_SHAPE, shape, DMV_MAX_RANK);
    bool by_index = ex_in(x, 1) >= 0;
    for (uint32_t i = 1; i < n; i++)
        by_index = by_index || shape[i] == 0; /* "as dim i of the input" */
    int32_t v = in_order(x, by_index);
    int32_t to = ex_in(x, 1) >= 0 ? ex_get(x, ex_in(x, 1), EX_PLAIN) : ex_list(x, shape, n);
    ex_put(x, x->n->out[0], EX_PLAIN, ex_op2(x, "Reshape", v, to));
}

static void flatten(ex *x)
{
    int64_t axis = dv_node_int(x->n, DV_A_AXIS, 1);
    int32_t v = ex_op1(x, "Flatten", in_order(x, axis != 1));
    ex_int(x, "axis", axis);
    ex_put(x, x->n->out[0], EX_PLAIN, v);
}

static void squeeze(ex *x)
{
    int64_t axes[DMV_MAX_RANK];
    uint32_t n = dv_node_ints(x->n, DV_A_AXES, axes, DMV_MAX_RANK);
    int32_t in[2] = {ex_get(x, ex_in(x, 0), EX_PLAIN), -1};
    if (ex_in(x, 1) >= 0)
        in[1] = ex_get(x, ex_in(x, 1), EX_PLAIN);
    else if (n)
        in[1] = ex_list(x, axes, n);
    ex_put(x, x->n->out[0], EX_PLAIN,
           ex_op(x, x->n->op == DV_OP_SQUEEZE ? "Squeeze" : "Unsqueeze", 2, in));
}

static void expand(ex *x)
{
    int32_t v = ex_get(x, ex_in(x, 0), EX_PLAIN), to = ex_get(x, ex_in(x, 1), EX_PLAIN);
    ex_put(x, x->n->out[0], EX_PLAIN, ex_op2(x, "Expand", v, to));
}

static void pad(ex *x)
{
    static const char *const modes[] = {"constant", "reflect", "edge"};
    int32_t t = ex_in(x, 0);
    int rank = ex_rank(x, t), layout = ex_in(x, 1) >= 0 ? EX_PLAIN : ex_layout(x, t);
    int64_t v[2 * DMV_MAX_RANK], turned[2 * DMV_MAX_RANK];
    int64_t mode = dv_node_int(x->n, DV_A_MODE, 0);
    float value = dv_node_float(x->n, DV_A_VALUE, 0);
    dv_node_ints(x->n, DV_A_PADS, v, 2 * DMV_MAX_RANK);
    for (int i = 0; i < rank && ex_in(x, 1) < 0; i++) {
        turned[ex_axis(i, rank, layout)] = v[i];
        turned[rank + ex_axis(i, rank, layout)] = v[rank + i];
    }
    int32_t in[3] = {ex_get(x, t, layout), -1, -1};
    in[1] =
        ex_in(x, 1) >= 0 ? ex_get(x, ex_in(x, 1), EX_PLAIN) : ex_list(x, turned, 2 * (size_t)rank);
    if (mode == 0 && value != 0)
        in[2] = ex_scalar(x, value);
    int32_t y = ex_op(x, "Pad", 3, in);
    ex_text(x, "mode", modes[mode]);
    ex_put(x, x->n->out[0], layout, y);
}

/* ---- shapes and types ---- */

static void shape(ex *x)
{
    static const int64_t order[4] = {0, 2, 3, 1};
    int32_t t = ex_in(x, 0);
    int layout = ex_has(x, t, EX_PLAIN) || x->g->tensors[t].data ? EX_PLAIN : EX_NCHW;
    int32_t v = ex_op1(x, "Shape", ex_get(x, t, layout));
    if (layout == EX_NCHW) {
        v = ex_op2(x, "Gather", v, ex_list(x, order, 4));
        ex_int(x, "axis", 0);
    }
    ex_put(x, x->n->out[0], EX_PLAIN, v);
}

static void alias(ex *x)
{
    int32_t t = ex_in(x, 0), out = x->n->out[0];
    if (x->g->tensors[t].data) {
        ex_put(x, out, EX_PLAIN, ex_get(x, t, EX_PLAIN));
        return;
    }
    memcpy(x->t[out].value, x->t[t].value, sizeof x->t[out].value);
    x->t[out].shift = x->t[t].shift;
    x->t[out].dynamic = x->t[t].dynamic;
}

static void cast(ex *x)
{
    int32_t t = ex_in(x, 0), out = x->n->out[0];
    if (x->g->tensors[t].dtype == x->g->tensors[out].dtype) {
        alias(x);
        return;
    }
    int32_t v = ex_op1(x, "Cast", ex_get(x, t, EX_PLAIN));
    ex_int(x, "to",
           is_float(x, out) ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
                            : ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
    ex_put(x, out, EX_PLAIN, v);
}

/* Channels [g, C / g] to [C / g, g], between Reshapes. The first dim stays free, the others must
 * be known or are left to one Reshape. */
static void shuffle(ex *x)
{
    int32_t t = ex_in(x, 0);
    const ex_tensor *o = &x->t[t];
    int rank = o->rank, layout = ex_layout(x, t), at = ex_axis(-1, rank, layout), free_dims = 0;
    int64_t groups = dv_node_int(x->n, DV_A_GROUP, 1), c = o->dims[rank - 1];
    int64_t wide[DMV_MAX_RANK + 1], back[DMV_MAX_RANK], perm[DMV_MAX_RANK + 1], have[DMV_MAX_RANK];
    if (rank >= DMV_MAX_RANK || c < 1)
        ex_unsupported(x, "so many dims, or channels of free number");
    for (int i = 0; i < rank; i++)
        have[ex_axis(i, rank, layout)] = o->dims[i];
    int n = 0;
    for (int i = 0; i < rank; i++) {
        if (i == at) {
            wide[n++] = groups;
            wide[n++] = c / groups;
        } else {
            wide[n++] = i == 0 ? 0 : have[i];
        }
        back[i] = i == 0 ? 0 : have[i];
        free_dims += i != 0 && have[i] < 0;
    }
    for (int i = 0; i < n; i++)
        perm[i] = i == at ? at + 1 : i == at + 1 ? at : i;
    int32_t v = ex_get(x, t, layout);
    if (free_dims && layout == EX_NCHW) { /* all pixels as one axis */
        int64_t all[4] = {0, groups, c / groups, -1};
        int32_t y = ex_op2(x, "Reshape", v, ex_list(x, all, 4));
        y = ex_transpose(x, y, 4, perm);
        ex_put(x, x->n->out[0], layout, ex_op2(x, "Reshape", y, ex_op1(x, "Shape", v)));
        return;
    }
    if (free_dims > 1)
        ex_unsupported(x, "several dims of free size");
    int32_t y = ex_transpose(x, ex_op2(x, "Reshape", v, ex_list(x, wide, (size_t)n)), n, perm);
    y = ex_op2(x, "Reshape", y, ex_list(x, back, (size_t)rank));
    ex_put(x, x->n->out[0], layout, y);
}

const struct ex_entry ex_moves[] = {
    {DV_OP_CONCAT, concat},
    {DV_OP_SPLIT, split},
    {DV_OP_SLICE, slice},
    {DV_OP_GATHER, gather},
    {DV_OP_TRANSPOSE, transpose},
    {DV_OP_RESHAPE, reshape},
    {DV_OP_FLATTEN, flatten},
    {DV_OP_SQUEEZE, squeeze},
    {DV_OP_UNSQUEEZE, squeeze},
    {DV_OP_EXPAND, expand},
    {DV_OP_PAD, pad},
    {DV_OP_CAST, cast},
    {DV_OP_SHAPE, shape},
    {DV_OP_IDENTITY, alias},
    {DV_OP_CHANNEL_SHUFFLE, shuffle},
    {DV_OP_TO_HALF, alias}, /* halves are for the processor; the file has floats */
    {DV_OP_FROM_HALF, alias},
    {DV_OP_NONE, NULL},
};
