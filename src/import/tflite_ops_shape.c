/* SPDX-License-Identifier: Apache-2.0
 *
 * TensorFlow Lite operators that move values about. Bytes go through them as they are, where the
 * file gives the result the bytes of the input.
 */
#include <string.h>

#include "import/tflite.h"

static void lower_reshape(dv_lower *L)
{
    int64_t shape[DMV_MAX_RANK];
    int32_t x = tfl_need(L, 0);
    fb_vector stored = fb_items(L->t->n->options, 0, 4);
    size_t n = 0;
    if (tfl_at(L, 1)) {
        int32_t s = tfl_need(L, 1);
        if (lw_ok(L) && !lw_const(L, s)) {
            int32_t in[2] = {x, s};
            if (lw_type(L, s) != DV_I64)
                lw_bad(L, "a shape that is not of integers");
            lw_begin(L, DV_OP_RESHAPE, 2, in);
            tfl_moved(L, 0, lw_end(L));
            return;
        }
        n = tfl_ints(L, 1, "a shape", shape, DMV_MAX_RANK);
    } else if (stored.n <= DMV_MAX_RANK) {
        for (n = 0; n < stored.n; n++)
            shape[n] = fb_int_at(stored, n, 4);
    } else {
        lw_unsupported(L, "%zu dims", stored.n);
    }
    tfl_moved(L, 0, lw_reshape(L, x, n, shape));
}

static void lower_concat(dv_lower *L)
{
    int32_t in[DV_MAX_IO];
    size_t n = L->t->n->in.n;
    int64_t axis = tfl_option(L, 0, 4, 0);
    for (size_t i = 0; i < n; i++)
        in[i] = tfl_need(L, i);
    if (n == 0)
        lw_bad(L, "nothing to join");
    if (!lw_ok(L))
        return;
    lw_begin(L, DV_OP_CONCAT, (int)n, in);
    lw_int(L, DV_A_AXIS, lw_axis(L, axis, lw_rank(L, in[0])));
    tfl_act_out(L, lw_end(L), 1);
}

static void lower_pack(dv_lower *L)
{
    int32_t in[DV_MAX_IO];
    size_t n = L->t->n->in.n;
    int64_t axis = tfl_option(L, 1, 4, 0);
    for (size_t i = 0; lw_ok(L) && i < n; i++) {
        int32_t x = tfl_need(L, i);
        if (lw_ok(L) && i == 0)
            axis = lw_axis(L, axis, lw_rank(L, x) + 1);
        lw_begin(L, DV_OP_UNSQUEEZE, 1, &x);
        lw_ints(L, DV_A_AXES, &axis, 1);
        in[i] = lw_end(L);
    }
    if (n == 0)
        lw_bad(L, "nothing to join");
    lw_begin(L, DV_OP_CONCAT, (int)n, in);
    lw_int(L, DV_A_AXIS, axis);
    tfl_out(L, 0, lw_end(L));
}

/* Pads as pairs (before, after) for each dim; mode: 0 constant, 1 reflect. */
static void pad(dv_lower *L, int mode, float value)
{
    int64_t v[2 * DMV_MAX_RANK], pads[2 * DMV_MAX_RANK];
    int32_t x = tfl_need(L, 0);
    size_t n = tfl_ints(L, 1, "pads", v, 2 * DMV_MAX_RANK);
    int rank = lw_rank(L, x);
    if (lw_ok(L) && (rank < 1 || n != 2 * (size_t)rank))
        lw_bad(L, "%zu pads for %d dims", n, rank);
    for (int i = 0; lw_ok(L) && i < rank; i++) {
        pads[i] = v[2 * i];
        pads[rank + i] = v[2 * i + 1];
        if (pads[i] < 0 || pads[rank + i] < 0 || pads[i] > LW_PAD_MAX ||
            pads[rank + i] > LW_PAD_MAX)
            lw_bad(L, "pads of %lld and %lld", (long long)pads[i], (long long)pads[rank + i]);
    }
    lw_begin(L, DV_OP_PAD, 1, &x);
    lw_ints(L, DV_A_PADS, pads, 2 * (size_t)DV_MAX(rank, 0));
    if (mode)
        lw_int(L, DV_A_MODE, mode);
    if (value != 0)
        lw_float(L, DV_A_VALUE, value);
    tfl_out(L, 0, lw_end(L));
}

static void lower_pad(dv_lower *L)
{
    pad(L, 0, 0);
}

static void lower_pad_value(dv_lower *L)
{
    size_t n;
    const dv_gtensor *c = tfl_at(L, 2) ? tfl_const(L, 2, DV_F32, "a value") : NULL;
    if (c && (!dv_count(c->rank, c->dims, &n) || n != 1))
        lw_bad(L, "%zu values", n);
    if (lw_ok(L))
        pad(L, 0, c ? *(const float *)c->data : 0);
}

static void lower_mirror_pad(dv_lower *L)
{
    if (tfl_option(L, 0, 1, 0) != 0)
        lw_unsupported(L, "mode SYMMETRIC");
    pad(L, 1, 0);
}

static void lower_transpose(dv_lower *L)
{
    int64_t perm[DMV_MAX_RANK];
    int32_t x = tfl_need(L, 0);
    size_t n = tfl_ints(L, 1, "an order", perm, DMV_MAX_RANK);
    unsigned seen = 0;
    if (lw_ok(L) && (int)n != lw_rank(L, x))
        lw_bad(L, "an order of %zu dims for %d", n, lw_rank(L, x));
    for (size_t i = 0; lw_ok(L) && i < n; i++)
        seen |= 1u << lw_axis(L, perm[i], (int)n);
    if (lw_ok(L) && seen != (1u << n) - 1)
        lw_bad(L, "an order that leaves out a dim");
    tfl_moved(L, 0, lw_transpose(L, x, (int)n, perm));
}

static void lower_squeeze(dv_lower *L)
{
    int64_t axes[DMV_MAX_RANK];
    int32_t x = tfl_need(L, 0);
    fb_vector v = fb_items(L->t->n->options, 0, 4);
    if (v.n > DMV_MAX_RANK)
        lw_bad(L, "%zu axes", v.n);
    for (size_t i = 0; lw_ok(L) && i < v.n; i++)
        axes[i] = fb_int_at(v, i, 4);
    lw_begin(L, DV_OP_SQUEEZE, 1, &x);
    if (v.n)
        lw_ints(L, DV_A_AXES, axes, v.n);
    tfl_moved(L, 0, lw_end(L));
}

static void lower_expand_dims(dv_lower *L)
{
    int64_t axis;
    int32_t x = tfl_need(L, 0);
    if (tfl_ints(L, 1, "an axis", &axis, 1) != 1)
        lw_bad(L, "an axis is missing");
    lw_begin(L, DV_OP_UNSQUEEZE, 1, &x);
    lw_ints(L, DV_A_AXES, &axis, 1);
    tfl_moved(L, 0, lw_end(L));
}

static int32_t slice(dv_lower *L, int32_t x, size_t n, const int64_t *from, const int64_t *to,
                     const int64_t *step)
{
    static const int64_t axes[DMV_MAX_RANK] = {0, 1, 2, 3, 4, 5};
    lw_begin(L, DV_OP_SLICE, 1, &x);
    lw_ints(L, DV_A_STARTS, from, n);
    lw_ints(L, DV_A_ENDS, to, n);
    lw_ints(L, DV_A_AXES, axes, n);
    lw_ints(L, DV_A_STEPS, step, n);
    return lw_end(L);
}

static void lower_slice(dv_lower *L)
{
    int64_t from[DMV_MAX_RANK], to[DMV_MAX_RANK], step[DMV_MAX_RANK];
    int32_t x = tfl_need(L, 0);
    size_t n = tfl_ints(L, 1, "starts", from, DMV_MAX_RANK);
    if (tfl_ints(L, 2, "sizes", to, DMV_MAX_RANK) != n || (lw_ok(L) && (int)n != lw_rank(L, x)))
        lw_bad(L, "starts and sizes for another number of dims");
    for (size_t i = 0; lw_ok(L) && i < n; i++) {
        if (from[i] < 0 || from[i] > INT32_MAX || to[i] < -1 || to[i] > INT32_MAX)
            lw_bad(L, "%lld values from %lld", (long long)to[i], (long long)from[i]);
        to[i] = to[i] < 0 ? INT32_MAX : from[i] + to[i];
        step[i] = 1;
    }
    tfl_moved(L, 0, slice(L, x, n, from, to, step));
}

static void lower_strided_slice(dv_lower *L)
{
    int64_t from[DMV_MAX_RANK], to[DMV_MAX_RANK], step[DMV_MAX_RANK], gone[DMV_MAX_RANK];
    int32_t x = tfl_need(L, 0);
    size_t n = tfl_ints(L, 1, "starts", from, DMV_MAX_RANK), n_gone = 0;
    if (tfl_ints(L, 2, "ends", to, DMV_MAX_RANK) != n ||
        tfl_ints(L, 3, "steps", step, DMV_MAX_RANK) != n || (lw_ok(L) && (int)n > lw_rank(L, x)))
        lw_bad(L, "starts, ends and steps for another number of dims");
    int64_t begin = tfl_option(L, 0, 4, 0), end = tfl_option(L, 1, 4, 0),
            shrink = tfl_option(L, 4, 4, 0);
    if (tfl_option(L, 2, 4, 0) || tfl_option(L, 3, 4, 0))
        lw_unsupported(L, "an ellipsis or a new axis");
    for (size_t i = 0; lw_ok(L) && i < n; i++) {
        if (step[i] == 0 || (shrink >> i & 1 && step[i] < 0))
            lw_bad(L, "a step of %lld", (long long)step[i]);
        if (begin >> i & 1)
            from[i] = step[i] < 0 ? INT32_MAX : 0;
        if (end >> i & 1)
            to[i] = step[i] < 0 ? INT32_MIN : INT32_MAX;
        if (shrink >> i & 1) {
            to[i] = from[i] == -1 ? INT32_MAX : from[i] + 1;
            step[i] = 1;
            gone[n_gone++] = (int64_t)i;
        }
    }
    int32_t y = slice(L, x, n, from, to, step);
    if (n_gone) {
        lw_begin(L, DV_OP_SQUEEZE, 1, &y);
        lw_ints(L, DV_A_AXES, gone, n_gone);
        y = lw_end(L);
    }
    tfl_moved(L, 0, y);
}

static void split(dv_lower *L, size_t data, size_t axis_in, size_t sizes_in)
{
    int32_t out[DV_MAX_IO], x = tfl_need(L, data);
    int64_t axis = 0, sizes[DV_MAX_IO];
    size_t n = L->t->n->out.n, n_sizes = 0;
    if (tfl_ints(L, axis_in, "an axis", &axis, 1) != 1)
        lw_bad(L, "an axis is missing");
    if (sizes_in != SIZE_MAX)
        n_sizes = tfl_ints(L, sizes_in, "sizes", sizes, DV_MAX_IO);
    if (n == 0 || (sizes_in != SIZE_MAX && n_sizes != n))
        lw_bad(L, "%zu sizes for %zu results", n_sizes, n);
    if (!lw_ok(L))
        return;
    axis = lw_axis(L, axis, lw_rank(L, x));
    int64_t whole = lw_dim(L, x, (int)axis), sum = 0;
    int open = -1;
    if (n_sizes == 0 && (whole < 0 || whole % (int64_t)n))
        lw_bad(L, "%lld values in %zu parts", (long long)whole, n);
    for (size_t i = 0; i < n; i++) {
        if (n_sizes == 0)
            sizes[i] = whole / (int64_t)n;
        if (sizes[i] == -1 && open < 0)
            open = (int)i;
        else if (sizes[i] < 0 || sizes[i] > INT32_MAX)
            lw_bad(L, "a part of %lld values", (long long)sizes[i]);
        else
            sum += sizes[i];
    }
    if (open >= 0)
        sizes[open] = whole - sum;
    lw_begin(L, DV_OP_SPLIT, 1, &x);
    lw_int(L, DV_A_AXIS, axis);
    lw_ints(L, DV_A_SPLIT, sizes, n);
    lw_end_many(L, (int)n, out);
    for (size_t i = 0; i < n; i++)
        tfl_out(L, i, out[i]);
}

static void lower_split(dv_lower *L)
{
    split(L, 1, 0, SIZE_MAX);
}

static void lower_split_v(dv_lower *L)
{
    split(L, 0, 2, 1);
}

static void lower_gather(dv_lower *L)
{
    int32_t in[2] = {tfl_need(L, 0), tfl_need(L, 1)};
    if (lw_ok(L) && lw_type(L, in[1]) != DV_I64)
        lw_bad(L, "indices that are no integers");
    if (tfl_option(L, 1, 4, 0))
        lw_unsupported(L, "batch_dims");
    if (!lw_ok(L))
        return;
    lw_begin(L, DV_OP_GATHER, 2, in);
    lw_int(L, DV_A_AXIS, lw_axis(L, tfl_option(L, 0, 4, 0), lw_rank(L, in[0])));
    tfl_moved(L, 0, lw_end(L));
}

static void lower_shape(dv_lower *L)
{
    int32_t x = tfl_need(L, 0);
    lw_begin(L, DV_OP_SHAPE, 1, &x);
    tfl_out(L, 0, lw_end(L));
}

const tfl_op tfl_ops_shape[] = {
    {2, "CONCATENATION", lower_concat},
    {22, "RESHAPE", lower_reshape},
    {34, "PAD", lower_pad},
    {36, "GATHER", lower_gather},
    {39, "TRANSPOSE", lower_transpose},
    {43, "SQUEEZE", lower_squeeze},
    {45, "STRIDED_SLICE", lower_strided_slice},
    {49, "SPLIT", lower_split},
    {60, "PADV2", lower_pad_value},
    {65, "SLICE", lower_slice},
    {70, "EXPAND_DIMS", lower_expand_dims},
    {77, "SHAPE", lower_shape},
    {83, "PACK", lower_pack},
    {100, "MIRROR_PAD", lower_mirror_pad},
    {102, "SPLIT_V", lower_split_v},
    {0, NULL, NULL},
};
