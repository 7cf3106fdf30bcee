/* SPDX-License-Identifier: Apache-2.0
 *
 * Ops that move data: Concat, Split, Slice, Gather, Transpose, Expand, Pad, ChannelShuffle and
 * the views. Values are moved, not changed, so that comparisons are exact.
 */
#include "nn_test.h"

#include <string.h>

static int random_shape(int64_t *dims, int least, int rank_max)
{
    int rank = (int)nt_int(least, rank_max);
    for (int d = 0; d < rank; d++)
        dims[d] = nt_int(1, rank > 4 ? 3 : 7);
    if (rank && nt_chance(15))
        dims[nt_int(0, rank - 1)] = nt_int(20, 70);
    return rank;
}

static void concat(void **state)
{
    nt_seed(60);
    for (int i = 0; i < 200; i++) {
        nt_net n;
        nt_open(&n);
        int64_t od[DMV_MAX_RANK], part[5][DMV_MAX_RANK];
        int rank = random_shape(od, 1, 5), axis = (int)nt_int(0, rank - 1);
        int parts = (int)nt_int(1, 5), shown = nt_chance(50) ? axis : axis - rank;
        const float *data[5];
        int32_t in[5], out;
        od[axis] = 0;
        for (int p = 0; p < parts; p++) {
            memcpy(part[p], od, sizeof od);
            part[p][axis] = nt_int(1, 5);
            float *v = nt_floats(&n, nt_count(rank, part[p]), -1, 1);
            data[p] = v;
            in[p] = p && nt_chance(20) ? nt_const(&n, rank, part[p], v)
                                       : nt_input(&n, rank, part[p], v);
        }
        for (int p = 0; p < parts; p++)
            od[axis] += part[p][axis];
        NT_INTS(nt_op(&n, DV_OP_CONCAT, parts, in, &out), DV_A_AXIS, shown);
        nt_array want = nt_want(&n, rank, od);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[DMV_MAX_RANK];
            int p = 0;
            nt_unravel(e, rank, od, at);
            while (at[axis] >= part[p][axis])
                at[axis] -= part[p++][axis];
            want.v[e] = (double)data[p][nt_ravel(rank, part[p], at)];
        }
        nt_check(&n, 1, &out, &want, 0, "Concat %d parts rank %d axis %d", parts, rank, axis);
        nt_close(&n);
    }
}

/* With sizes, in equal parts, and with a last part that is smaller. */
static void split(void **state)
{
    nt_seed(61);
    for (int i = 0; i < 200; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[DMV_MAX_RANK], size[5], each;
        int rank = random_shape(xd, 1, 5), axis = (int)nt_int(0, rank - 1);
        int parts = (int)nt_int(1, 5);
        bool given = nt_chance(50);
        xd[axis] = 0;
        for (int p = 0; p < parts; p++)
            xd[axis] += size[p] = nt_int(1, 4);
        each = (xd[axis] + parts - 1) / parts;
        float *x = nt_floats(&n, nt_count(rank, xd), -1, 1);
        int32_t out[5], in = nt_input(&n, rank, xd, x);
        nt_array want[5];
        for (int p = 0; p < parts; p++)
            out[p] = nt_tensor(&n, DV_F32);
        dv_node *node = nt_node(&n, DV_OP_SPLIT, 1, &in, parts, out);
        NT_INTS(node, DV_A_AXIS, nt_chance(50) ? axis : axis - rank);
        if (given)
            assert_true(dv_node_set_ints(node, DV_A_SPLIT, size, (uint32_t)parts));
        int64_t from = 0;
        for (int p = 0; p < parts; p++) {
            int64_t od[DMV_MAX_RANK], at[DMV_MAX_RANK];
            memcpy(od, xd, sizeof od);
            od[axis] = given ? size[p] : DV_MIN(each, xd[axis] - DV_MIN(from, xd[axis]));
            want[p] = nt_want(&n, rank, od);
            for (size_t e = 0; e < want[p].n; e++) {
                nt_unravel(e, rank, od, at);
                at[axis] += from;
                want[p].v[e] = (double)x[nt_ravel(rank, xd, at)];
            }
            from += od[axis];
        }
        nt_check(&n, (size_t)parts, out, want, 0, "Split %d parts rank %d axis %d given %d", parts,
                 rank, axis, given);
        nt_close(&n);
    }
}

/* Positions that start:end:step takes on an axis of d, by walking; ONNX clamps a start of a
 * backward walk to the axis and an end to one before it. */
static int64_t walk(int64_t d, int64_t start, int64_t end, int64_t step, int64_t *at)
{
    int64_t n = 0;
    start += start < 0 ? d : 0;
    end += end < 0 ? d : 0;
    if (step > 0) {
        start = start < 0 ? 0 : start > d ? d : start;
        end = end < 0 ? 0 : end > d ? d : end;
        for (int64_t i = start; i < end; i += step)
            at[n++] = i;
    } else {
        start = start < 0 ? 0 : start > d - 1 ? d - 1 : start;
        end = end < -1 ? -1 : end > d - 1 ? d - 1 : end;
        for (int64_t i = start; i > end; i += step)
            at[n++] = i;
    }
    return n;
}

static void slice(void **state)
{
    nt_seed(62);
    for (int i = 0; i < 500; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[DMV_MAX_RANK], b[6], f[6], ax[6], st[6], od[DMV_MAX_RANK];
        int64_t pos[DMV_MAX_RANK][70];
        int rank = random_shape(xd, 1, 5), used = 0;
        for (int d = 0; d < rank; d++) {
            od[d] = xd[d];
            for (int64_t j = 0; j < xd[d]; j++)
                pos[d][j] = j;
            if (!nt_chance(60))
                continue;
            ax[used] = nt_chance(60) ? d : d - rank;
            st[used] = nt_chance(50) ? 1 : nt_int(0, 1) ? nt_int(2, 3) : -nt_int(1, 3);
            b[used] = nt_chance(15) ? -1000 : nt_int(-xd[d] - 1, xd[d] + 1);
            f[used] = nt_chance(15) ? (st[used] > 0 ? INT64_MAX : INT64_MIN)
                                    : nt_int(-xd[d] - 1, xd[d] + 1);
            int64_t end = f[used] == INT64_MIN ? -1000 : f[used] == INT64_MAX ? 1000 : f[used];
            od[d] = walk(xd[d], b[used], end, st[used], pos[d]);
            used++;
        }
        bool plain = true; /* every axis in order, all steps 1: both lists can be left out */
        for (int j = 0; j < used; j++)
            plain = plain && ax[j] == j && st[j] == 1;
        float *x = nt_floats(&n, nt_count(rank, xd), -1, 1);
        int32_t in[5] = {nt_input(&n, rank, xd, x), -1, -1, -1, -1}, out;
        bool as_inputs = nt_chance(50);
        if (as_inputs) {
            in[1] = nt_ints(&n, used, b);
            in[2] = nt_ints(&n, used, f);
            in[3] = plain ? -1 : nt_ints(&n, used, ax);
            in[4] = plain ? -1 : nt_ints(&n, used, st);
        }
        dv_node *node = nt_op(&n, DV_OP_SLICE, as_inputs ? 5 : 1, in, &out);
        if (!as_inputs) {
            assert_true(dv_node_set_ints(node, DV_A_STARTS, b, (uint32_t)used) &&
                        dv_node_set_ints(node, DV_A_ENDS, f, (uint32_t)used));
            assert_true(plain || (dv_node_set_ints(node, DV_A_AXES, ax, (uint32_t)used) &&
                                  dv_node_set_ints(node, DV_A_STEPS, st, (uint32_t)used)));
        }
        nt_array want = nt_want(&n, rank, od);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[DMV_MAX_RANK];
            nt_unravel(e, rank, od, at);
            for (int d = 0; d < rank; d++)
                at[d] = pos[d][at[d]];
            want.v[e] = (double)x[nt_ravel(rank, xd, at)];
        }
        nt_check(&n, 1, &out, &want, 0, "Slice case %d rank %d axes %d first %lld:%lld:%lld", i,
                 rank, used, (long long)(used ? b[0] : 0), (long long)(used ? f[0] : 0),
                 (long long)(used ? st[0] : 1));
        nt_close(&n);
    }
}

static void gather(void **state)
{
    nt_seed(63);
    for (int i = 0; i < 200; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[DMV_MAX_RANK], id[DMV_MAX_RANK], od[DMV_MAX_RANK];
        int rank = random_shape(xd, 1, 4), axis = (int)nt_int(0, rank - 1);
        int ir = (int)nt_int(0, 6 + 1 - rank > 3 ? 3 : 6 + 1 - rank), or = 0;
        for (int d = 0; d < ir; d++)
            id[d] = nt_int(1, 4);
        size_t ni = nt_count(ir, id);
        int64_t *idx = nt_mem(&n, ni * sizeof *idx);
        for (size_t j = 0; j < ni; j++)
            idx[j] = nt_int(-xd[axis], xd[axis] - 1);
        for (int d = 0; d < axis; d++)
            od[or ++] = xd[d];
        for (int d = 0; d < ir; d++)
            od[or ++] = id[d];
        for (int d = axis + 1; d < rank; d++)
            od[or ++] = xd[d];
        float *x = nt_floats(&n, nt_count(rank, xd), -1, 1);
        int32_t out;
        NT_INTS(nt_op(&n, DV_OP_GATHER,
                      NT_IDS(nt_input(&n, rank, xd, x), nt_ints_nd(&n, ir, id, idx)), &out),
                DV_A_AXIS, nt_chance(50) ? axis : axis - rank);
        nt_array want = nt_want(&n, or, od);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[DMV_MAX_RANK], from[DMV_MAX_RANK];
            nt_unravel(e, or, od, at);
            int64_t which = idx[nt_ravel(ir, id, at + axis)];
            for (int d = 0; d < rank; d++)
                from[d] = d < axis ? at[d] : d > axis ? at[d + ir - 1] : 0;
            from[axis] = which < 0 ? which + xd[axis] : which;
            want.v[e] = (double)x[nt_ravel(rank, xd, from)];
        }
        nt_check(&n, 1, &out, &want, 0, "Gather rank %d axis %d indices rank %d", rank, axis, ir);
        nt_close(&n);
    }
}

static void transpose(void **state)
{
    nt_seed(64);
    for (int i = 0; i < 500; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[DMV_MAX_RANK], od[DMV_MAX_RANK], perm[DMV_MAX_RANK];
        int rank = random_shape(xd, 1, 6);
        if (nt_chance(30)) /* a big matrix: tiles of the kernel */
            xd[rank - 1] = nt_int(15, 70);
        bool reversed = nt_chance(20);
        for (int d = 0; d < rank; d++)
            perm[d] = reversed ? rank - 1 - d : d;
        for (int d = rank - 1; d > 0 && !reversed; d--) {
            int64_t j = nt_int(0, d), swap = perm[d];
            perm[d] = perm[j];
            perm[j] = swap;
        }
        for (int d = 0; d < rank; d++)
            od[d] = xd[perm[d]];
        float *x = nt_floats(&n, nt_count(rank, xd), -1, 1);
        int32_t out;
        dv_node *node = nt_op(&n, DV_OP_TRANSPOSE, NT_IDS(nt_input(&n, rank, xd, x)), &out);
        if (!reversed || nt_chance(50))
            assert_true(dv_node_set_ints(node, DV_A_PERM, perm, (uint32_t)rank));
        nt_array want = nt_want(&n, rank, od);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[DMV_MAX_RANK], from[DMV_MAX_RANK];
            nt_unravel(e, rank, od, at);
            for (int d = 0; d < rank; d++)
                from[perm[d]] = at[d];
            want.v[e] = (double)x[nt_ravel(rank, xd, from)];
        }
        nt_check(&n, 1, &out, &want, 0, "Transpose case %d rank %d", i, rank);
        nt_close(&n);
    }
}

/* The leading NCHW -> NHWC turn can be left to whoever fills the input in. */
static void transpose_bypassed(void **state)
{
    nt_seed(65);
    int64_t xd[4] = {1, 3, 5, 4}, perm[4] = {0, 2, 3, 1}, wd[4] = {1, 1, 3, 2};
    for (int kind = 0; kind < 4; kind++) {
        nt_net n;
        nt_open(&n);
        if (kind == 1)
            xd[1] = wd[2] = 1;
        else
            xd[1] = wd[2] = 3;
        int32_t in = nt_input(&n, 4, xd, NULL), turned, out[2];
        assert_true(
            dv_node_set_ints(nt_op(&n, DV_OP_TRANSPOSE, 1, &in, &turned), DV_A_PERM, perm, 4));
        NT_INTS(nt_op(&n, DV_OP_CONV, NT_IDS(turned, nt_const(&n, 4, wd, nt_floats(&n, 6, -1, 1))),
                      &out[0]),
                DV_A_KERNEL, 1, 1);
        out[1] = in;
        if (kind == 2) /* somebody else reads the input as it is */
            NT_INTS(nt_op(&n, DV_OP_ACT, NT_IDS(in), &out[1]), DV_A_ACT, DV_ACT_NEG);
        assert_true(dv_graph_set_io(&n.g, n.in, 1, out, kind == 2 || kind == 3 ? 2 : 1));
        const int64_t *dims[1] = {xd};
        dv_exec *x;
        dv_err e;
        assert_int_equal(dv_exec_open(&n.g, nt_kernels(true), NULL, &x, &e), DMV_OK);
        assert_int_equal(dv_exec_shape(x, dims, &e), DMV_OK);
        float pixels[60], planes[60], first[40];
        size_t ch = (size_t)xd[1];
        for (size_t i = 0; i < 20; i++)
            for (size_t c = 0; c < ch; c++)
                pixels[i * ch + c] = planes[c * 20 + i] = nt_float(-1, 1);
        memcpy(dv_exec_input(x, 0), planes, 20 * ch * sizeof(float));
        dv_exec_run(x);
        memcpy(first, dv_exec_output(x, 0)->f, sizeof first);
        float *p = dv_exec_input_nhwc(x, 0);
        if (kind >= 2) { /* both orders are wanted, or the input is an output as well */
            assert_null(p);
        } else {
            assert_non_null(p);
            for (int again = 0; again < 2; again++) {
                nt_poison(x);
                memcpy(dv_exec_input_nhwc(x, 0), pixels, 20 * ch * sizeof(float));
                dv_exec_run(x);
                assert_memory_equal(first, dv_exec_output(x, 0)->f, sizeof first);
            }
            nt_poison(x); /* and back to planes */
            memcpy(dv_exec_input(x, 0), planes, 20 * ch * sizeof(float));
            dv_exec_run(x);
            assert_memory_equal(first, dv_exec_output(x, 0)->f, sizeof first);
        }
        dv_exec_close(&x);
        nt_close(&n);
    }
}

static void expand(void **state)
{
    nt_seed(66);
    for (int i = 0; i < 150; i++) {
        nt_net n;
        nt_open(&n);
        int64_t od[DMV_MAX_RANK], xd[DMV_MAX_RANK], shape[DMV_MAX_RANK];
        int rank = random_shape(od, 1, 5), xr = (int)nt_int(0, rank), sr = (int)nt_int(0, rank);
        if (xr < rank)
            sr = rank;
        for (int d = 0; d < rank; d++) {
            int a = d - (rank - xr), b = d - (rank - sr);
            bool one = a < 0 || nt_chance(50);
            if (a >= 0)
                xd[a] = one ? 1 : od[d];
            if (b >= 0)
                shape[b] = one ? od[d] : nt_chance(50) ? 1 : od[d];
            else if (one)
                od[d] = 1;
        }
        float *x = nt_floats(&n, nt_count(xr, xd), -1, 1);
        int32_t out;
        nt_op(&n, DV_OP_EXPAND, NT_IDS(nt_input(&n, xr, xd, x), nt_ints(&n, sr, shape)), &out);
        nt_array want = nt_want(&n, rank, od);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[DMV_MAX_RANK], from[DMV_MAX_RANK];
            nt_unravel(e, rank, od, at);
            for (int d = 0; d < xr; d++)
                from[d] = xd[d] == 1 ? 0 : at[d + rank - xr];
            want.v[e] = (double)x[nt_ravel(xr, xd, from)];
        }
        nt_check(&n, 1, &out, &want, 0, "Expand case %d: %d and %d to %d", i, xr, sr, rank);
        nt_close(&n);
    }
}

/* Padding forwards and, with negative numbers, cropping. */
static void pad(void **state)
{
    nt_seed(67);
    for (int i = 0; i < 250; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[DMV_MAX_RANK], od[DMV_MAX_RANK], p[2 * DMV_MAX_RANK];
        int rank = random_shape(xd, 1, 5), mode = (int)nt_int(0, 2);
        float value = nt_chance(50) ? 0.75f : 0;
        for (int d = 0; d < rank; d++) {
            int64_t most = mode == 1 ? xd[d] - 1 : 3;
            p[d] = nt_chance(40) ? 0 : nt_int(0, DV_MIN(most, 3));
            p[d + rank] = nt_chance(40) ? 0 : nt_int(0, DV_MIN(most, 3));
            if (nt_chance(15) && xd[d] > 2)
                p[nt_chance(50) ? d : d + rank] = -1;
            od[d] = xd[d] + p[d] + p[d + rank];
        }
        float *x = nt_floats(&n, nt_count(rank, xd), -1, 1);
        int32_t in[2] = {nt_input(&n, rank, xd, x), -1}, out;
        bool as_input = nt_chance(50);
        if (as_input)
            in[1] = nt_ints(&n, 2 * rank, p);
        dv_node *node = nt_op(&n, DV_OP_PAD, as_input ? 2 : 1, in, &out);
        if (!as_input)
            assert_true(dv_node_set_ints(node, DV_A_PADS, p, 2 * (uint32_t)rank));
        NT_INTS(node, DV_A_MODE, mode);
        NT_FLOATS(node, DV_A_VALUE, value);
        nt_array want = nt_want(&n, rank, od);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[DMV_MAX_RANK];
            bool outside = false;
            nt_unravel(e, rank, od, at);
            for (int d = 0; d < rank; d++) {
                at[d] -= p[d];
                bool out_here = at[d] < 0 || at[d] >= xd[d];
                outside |= out_here;
                if (out_here && mode == 1)
                    at[d] = at[d] < 0 ? -at[d] : 2 * (xd[d] - 1) - at[d];
                else if (out_here)
                    at[d] = at[d] < 0 ? 0 : xd[d] - 1;
            }
            want.v[e] = outside && mode == 0 ? (double)value : (double)x[nt_ravel(rank, xd, at)];
        }
        nt_check(&n, 1, &out, &want, 0, "Pad case %d rank %d mode %d", i, rank, mode);
        nt_close(&n);
    }
}

/* ONNX has it as Reshape to [g, C/g], Transpose, Reshape. */
static void shuffle(void **state)
{
    nt_seed(68);
    for (int i = 0; i < 80; i++) {
        nt_net n;
        nt_open(&n);
        int64_t g = nt_int(1, 6), each = nt_int(1, 20), xd[4];
        int rank = (int)nt_int(1, 4);
        for (int d = 0; d < rank; d++)
            xd[d] = nt_int(1, 9);
        xd[rank - 1] = g * each;
        float *x = nt_floats(&n, nt_count(rank, xd), -1, 1);
        int32_t out;
        NT_INTS(nt_op(&n, DV_OP_CHANNEL_SHUFFLE, NT_IDS(nt_input(&n, rank, xd, x)), &out),
                DV_A_GROUP, g);
        nt_array want = nt_want(&n, rank, xd);
        for (size_t e = 0; e < want.n; e++) {
            size_t c = e % (size_t)(g * each), row = e - c;
            want.v[e] = (double)x[row + c % (size_t)g * (size_t)each + c / (size_t)g];
        }
        nt_check(&n, 1, &out, &want, 0, "ChannelShuffle %lld x %lld", (long long)g,
                 (long long)each);
        nt_close(&n);
    }
}

static void refusals(void **state)
{
    for (int kind = 0; kind < 17; kind++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[3] = {2, 3, 4}, yd[3] = {2, 5, 4}, big[2] = {INT64_MAX, INT64_MAX};
        int64_t neg[3] = {2, -3, 4};
        int32_t x = nt_input(&n, 3, xd, NULL), out, two[2];
        dmv_status code = DMV_ERR_FORMAT;
        dv_node *node;
        switch (kind) {
        case 0: /* another dim differs */
            nt_op(&n, DV_OP_CONCAT, NT_IDS(x, nt_input(&n, 3, yd, NULL)), &out);
            break;
        case 1:
            NT_INTS(nt_op(&n, DV_OP_CONCAT, NT_IDS(x), &out), DV_A_AXIS, 3);
            break;
        case 2: /* sums to 5, there are 4 */
            two[0] = out = nt_tensor(&n, DV_F32);
            two[1] = nt_tensor(&n, DV_F32);
            node = nt_node(&n, DV_OP_SPLIT, 1, &x, 2, two);
            NT_INTS(node, DV_A_AXIS, 2);
            NT_INTS(node, DV_A_SPLIT, 2, 3);
            break;
        case 3:
            NT_INTS(nt_op(&n, DV_OP_SLICE, NT_IDS(x), &out), DV_A_STARTS, 0);
            break;
        case 4: /* step 0 */
        case 5: /* one axis twice: two starts would add up */
        case 6: /* no such axis */
            node = nt_op(&n, DV_OP_SLICE, NT_IDS(x), &out);
            NT_INTS(node, DV_A_STARTS, 2, 2);
            NT_INTS(node, DV_A_ENDS, 3, 3);
            NT_INTS(node, DV_A_AXES, kind == 5 ? 1 : 0, kind == 6 ? 3 : kind == 5 ? -2 : 1);
            NT_INTS(node, DV_A_STEPS, 1, kind == 4 ? 0 : 1);
            break;
        case 7:
            NT_INTS(nt_op(&n, DV_OP_TRANSPOSE, NT_IDS(x), &out), DV_A_PERM, 0, 1, 1);
            break;
        case 8:
            NT_INTS(nt_op(&n, DV_OP_TRANSPOSE, NT_IDS(x), &out), DV_A_PERM, 0, 1);
            break;
        case 9:
            NT_INTS(nt_op(&n, DV_OP_TRANSPOSE, NT_IDS(x), &out), DV_A_PERM, 0, 1, -1);
            break;
        case 10: /* 3 does not become 2 */
            nt_op(&n, DV_OP_EXPAND, NT_IDS(x, nt_ints(&n, 3, (int64_t[]){2, 2, 4})), &out);
            break;
        case 11:
            nt_op(&n, DV_OP_EXPAND, NT_IDS(nt_input(&n, 0, NULL, NULL), nt_ints(&n, 2, big)), &out);
            code = DMV_ERR_LIMIT;
            break;
        case 12: /* a negative size */
            nt_op(&n, DV_OP_EXPAND, NT_IDS(nt_input(&n, 0, NULL, NULL), nt_ints(&n, 3, neg)), &out);
            code = DMV_ERR_LIMIT;
            break;
        case 13: /* index 3 of 3 */
            NT_INTS(nt_op(&n, DV_OP_GATHER, NT_IDS(x, nt_ints(&n, 1, (int64_t[]){3})), &out),
                    DV_A_AXIS, 1);
            break;
        case 14:
            NT_INTS(nt_op(&n, DV_OP_PAD, NT_IDS(x), &out), DV_A_PADS, 1, 1);
            break;
        case 15: /* reflecting needs more than it has */
            node = nt_op(&n, DV_OP_PAD, NT_IDS(x), &out);
            NT_INTS(node, DV_A_PADS, 2, 0, 0, 0, 0, 0);
            NT_INTS(node, DV_A_MODE, 1);
            break;
        default:
            NT_INTS(nt_op(&n, DV_OP_CHANNEL_SHUFFLE, NT_IDS(x), &out), DV_A_GROUP, 3);
            break;
        }
        nt_refuses(&n, out, code, "bad move %d", kind);
        nt_close(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(concat),    cmocka_unit_test(split),
        cmocka_unit_test(slice),     cmocka_unit_test(gather),
        cmocka_unit_test(transpose), cmocka_unit_test(transpose_bypassed),
        cmocka_unit_test(expand),    cmocka_unit_test(pad),
        cmocka_unit_test(shuffle),   cmocka_unit_test(refusals),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nt_shared_close();
    return failed;
}
