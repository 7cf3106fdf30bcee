/* SPDX-License-Identifier: Apache-2.0
 *
 * Softmax, L2Norm, LayerNorm and every Reduce over every set of axes.
 */
#include "nn_test.h"

#include <math.h>
#include <string.h>

static int random_shape(int64_t *dims, int most)
{
    int rank = (int)nt_int(1, 5);
    for (int d = 0; d < rank; d++)
        dims[d] = nt_int(1, rank > 3 ? 4 : most);
    if (nt_chance(20))
        dims[rank - 1] = nt_int(1, 300);
    return rank;
}

/* Offset of element j of the line through element e along an axis. */
static size_t along(int rank, const int64_t *dims, int axis, size_t e, int64_t j)
{
    int64_t at[DMV_MAX_RANK];
    nt_unravel(e, rank, dims, at);
    at[axis] = j;
    return nt_ravel(rank, dims, at);
}

static void lines(bool softmax)
{
    for (int i = 0; i < 250; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[DMV_MAX_RANK];
        int rank = random_shape(xd, 12), axis = (int)nt_int(0, rank - 1);
        float *x = nt_floats(&n, nt_count(rank, xd), -9, 9);
        bool silent = !softmax && nt_chance(20); /* no length at all */
        if (silent)
            memset(x, 0, nt_count(rank, xd) * sizeof *x);
        int32_t in = nt_input(&n, rank, xd, x), out;
        if (nt_chance(40)) { /* in place */
            int32_t mid;
            NT_INTS(nt_op(&n, DV_OP_ACT, NT_IDS(in), &mid), DV_A_ACT, DV_ACT_NONE);
            in = mid;
        }
        dv_node *node = nt_op(&n, softmax ? DV_OP_SOFTMAX : DV_OP_L2_NORM, NT_IDS(in), &out);
        NT_INTS(node, DV_A_AXIS, nt_chance(50) ? axis : axis - rank);
        if (!softmax)
            NT_FLOATS(node, DV_A_EPS, 1e-6f);
        nt_array want = nt_want(&n, rank, xd);
        for (size_t e = 0; e < want.n; e++) {
            double sum = 0, v = (double)x[e];
            for (int64_t j = 0; j < xd[axis]; j++) {
                double o = (double)x[along(rank, xd, axis, e, j)];
                sum += softmax ? exp(o - v) : o * o;
            }
            want.v[e] = softmax ? 1 / sum : v / fmax(sqrt(sum), 1e-6);
        }
        nt_check(&n, 1, &out, &want, 2e-6, "%s rank %d axis %d of %lld",
                 softmax ? "Softmax" : "L2Norm", rank, axis, (long long)xd[axis]);
        nt_close(&n);
    }
}

static void softmax(void **state)
{
    nt_seed(50);
    lines(true);
}

static void l2_norm(void **state)
{
    nt_seed(51);
    lines(false);
}

static void layer_norm(void **state)
{
    nt_seed(52);
    for (int i = 0; i < 150; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[DMV_MAX_RANK];
        int rank = random_shape(xd, 9);
        int64_t c = xd[rank - 1];
        float shift = nt_chance(30) ? 20 : 0, eps = 1e-3f;
        float *x = nt_floats(&n, nt_count(rank, xd), shift - 2, shift + 2);
        float *gamma = nt_floats(&n, (size_t)c, -1, 1), *beta = nt_floats(&n, (size_t)c, -1, 1);
        bool with_g = nt_chance(60), with_b = nt_chance(60);
        int32_t out, in[3] = {nt_input(&n, rank, xd, x), with_g ? nt_const(&n, 1, &c, gamma) : -1,
                              with_b ? nt_const(&n, 1, &c, beta) : -1};
        NT_FLOATS(nt_op(&n, DV_OP_LAYER_NORM,
                        with_b   ? 3
                        : with_g ? 2
                                 : 1,
                        in, &out),
                  DV_A_EPS, eps);
        nt_array want = nt_want(&n, rank, xd);
        for (size_t e = 0; e < want.n; e++) {
            size_t row = e - e % (size_t)c, j = e % (size_t)c;
            double mean = 0, var = 0;
            for (int64_t k = 0; k < c; k++)
                mean += (double)x[row + (size_t)k] / (double)c;
            for (int64_t k = 0; k < c; k++)
                var += pow((double)x[row + (size_t)k] - mean, 2) / (double)c;
            want.v[e] =
                ((double)x[e] - mean) / sqrt(var + (double)eps) * (with_g ? (double)gamma[j] : 1) +
                (with_b ? (double)beta[j] : 0);
        }
        nt_check(&n, 1, &out, &want, shift > 0 ? 5e-5 : 5e-6, "LayerNorm %lld, shift %g, %d %d",
                 (long long)c, (double)shift, with_g, with_b);
        nt_close(&n);
    }
}

static double reduced(int kind, double acc, double v, bool first)
{
    switch (kind) {
    case DV_RED_MAX:
        return first ? v : fmax(acc, v);
    case DV_RED_MIN:
        return first ? v : fmin(acc, v);
    case DV_RED_PROD:
        return first ? v : acc * v;
    case DV_RED_L1:
        return acc + fabs(v);
    case DV_RED_L2:
    case DV_RED_SUMSQ:
        return acc + v * v;
    default:
        return acc + v;
    }
}

static void reduce(void **state)
{
    nt_seed(53);
    for (int i = 0; i < 700; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[DMV_MAX_RANK], od[DMV_MAX_RANK], kept[DMV_MAX_RANK], axes[DMV_MAX_RANK];
        int rank = random_shape(xd, 8), kind = i % DV_RED_COUNT, out_rank = 0;
        unsigned gone = (unsigned)nt_int(1, (1 << rank) - 1);
        bool all = nt_chance(10), keep = nt_chance(50);
        uint32_t n_axes = 0;
        size_t share = 1;
        for (int d = 0; d < rank; d++) {
            bool g = all || (gone >> d & 1);
            kept[d] = g ? 1 : xd[d];
            share *= g ? (size_t)xd[d] : 1;
            if (g)
                axes[n_axes++] = nt_chance(50) ? d : d - rank;
            if (!g || keep)
                od[out_rank++] = kept[d];
        }
        float *x = nt_floats(&n, nt_count(rank, xd), kind == DV_RED_PROD ? 0.9f : -1, 1.1f);
        int32_t out;
        dv_node *node = nt_op(&n, DV_OP_REDUCE, NT_IDS(nt_input(&n, rank, xd, x)), &out);
        NT_INTS(node, DV_A_REDUCE, kind);
        if (!all)
            assert_true(dv_node_set_ints(node, DV_A_AXES, axes, n_axes));
        if (!keep)
            NT_INTS(node, DV_A_KEEPDIMS, 0);
        nt_array want = nt_want(&n, out_rank, od);
        bool *seen = nt_mem(&n, want.n * sizeof *seen);
        for (size_t e = 0; e < nt_count(rank, xd); e++) {
            int64_t at[DMV_MAX_RANK];
            nt_unravel(e, rank, xd, at);
            for (int d = 0; d < rank; d++)
                at[d] = kept[d] == 1 ? 0 : at[d];
            size_t o = nt_ravel(rank, kept, at);
            want.v[o] = reduced(kind, want.v[o], (double)x[e], !seen[o]);
            seen[o] = true;
        }
        for (size_t o = 0; o < want.n; o++) {
            if (kind == DV_RED_MEAN)
                want.v[o] /= (double)share;
            if (kind == DV_RED_L2)
                want.v[o] = sqrt(want.v[o]);
        }
        nt_check(&n, 1, &out, &want, 5e-6, "Reduce %d rank %d axes %x all %d keep %d", kind, rank,
                 gone, all, keep);
        nt_close(&n);
    }
}

static void refusals(void **state)
{
    for (int kind = 0; kind < 7; kind++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[2] = {3, 4}, gd[1] = {3};
        float *v = nt_floats(&n, 8, 0, 1);
        int32_t x = nt_input(&n, 2, xd, NULL), out;
        switch (kind) {
        case 0:
            NT_INTS(nt_op(&n, DV_OP_SOFTMAX, NT_IDS(x), &out), DV_A_AXIS, 2);
            break;
        case 1:
            NT_INTS(nt_op(&n, DV_OP_SOFTMAX, NT_IDS(x), &out), DV_A_AXIS, INT64_MIN);
            break;
        case 2:
            NT_INTS(nt_op(&n, DV_OP_L2_NORM, NT_IDS(x), &out), DV_A_AXIS, -3);
            break;
        case 3:
            nt_op(&n, DV_OP_LAYER_NORM, NT_IDS(x, nt_const(&n, 1, gd, v)), &out);
            break;
        case 4:
            NT_INTS(nt_op(&n, DV_OP_REDUCE, NT_IDS(x), &out), DV_A_REDUCE, DV_RED_COUNT);
            break;
        case 5:
            nt_op(&n, DV_OP_REDUCE, NT_IDS(x), &out);
            break;
        default: {
            dv_node *node = nt_op(&n, DV_OP_REDUCE, NT_IDS(x), &out);
            NT_INTS(node, DV_A_REDUCE, DV_RED_SUM);
            NT_INTS(node, DV_A_AXES, 0, 7);
        }
        }
        nt_refuses(&n, out, DMV_ERR_FORMAT, "bad norm %d", kind);
        nt_close(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax), cmocka_unit_test(l2_norm),  cmocka_unit_test(layer_norm),
        cmocka_unit_test(reduce),  cmocka_unit_test(refusals),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nt_shared_close();
    return failed;
}
