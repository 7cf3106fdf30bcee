/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear, MatMul and SqueezeExcite against sums in double precision.
 */
#include "nn_test.h"

#include <math.h>
#include <string.h>

static void check_linear(int rank, const int64_t *xd, int64_t wide, bool with_bias, bool with_slope,
                         bool with_add, int act)
{
    nt_net n;
    nt_open(&n);
    int64_t k = xd[rank - 1], wd[2] = {k, wide}, od[DMV_MAX_RANK];
    memcpy(od, xd, (size_t)rank * sizeof *od);
    od[rank - 1] = wide;
    float scale = 1.5f / sqrtf((float)k);
    float *x = nt_floats(&n, nt_count(rank, xd), -1, 1);
    float *w = nt_floats(&n, nt_count(2, wd), -scale, scale);
    float *bias = nt_floats(&n, (size_t)wide, -1, 1), *slope = nt_floats(&n, (size_t)wide, -1, 1);
    float *add = nt_floats(&n, nt_count(rank, od), -1, 1);
    int32_t in[5] = {nt_input(&n, rank, xd, x), nt_const(&n, 2, wd, w), -1, -1, -1}, out;
    if (with_bias)
        in[2] = nt_const(&n, 1, &wide, bias);
    if (with_slope)
        in[3] = nt_const(&n, 1, &wide, slope);
    if (with_add)
        in[4] = nt_input(&n, rank, od, add);
    dv_node *node = nt_op(&n, DV_OP_LINEAR, 5, in, &out);
    NT_INTS(node, DV_A_ACT, act);
    NT_FLOATS(node, DV_A_P, -0.25f);
    NT_FLOATS(node, DV_A_Q, 0.5f);
    nt_array want = nt_want(&n, rank, od);
    for (size_t i = 0; i < want.n; i++) {
        size_t row = i / (size_t)wide, col = i % (size_t)wide;
        double v = with_bias ? (double)bias[col] : 0;
        for (size_t j = 0; j < (size_t)k; j++)
            v += (double)x[row * (size_t)k + j] * (double)w[j * (size_t)wide + col];
        v += with_add ? (double)add[i] : 0;
        if (with_slope && v < 0)
            v *= (double)slope[col];
        want.v[i] = nt_act(act, v, -0.25, 0.5);
    }
    nt_check(&n, 1, &out, &want, 5e-6,
             "Linear rank %d, %lld -> %lld, bias %d slope %d add %d act %d", rank, (long long)k,
             (long long)wide, with_bias, with_slope, with_add, act);
    nt_close(&n);
}

static void linear(void **state)
{
    static const int acts[] = {DV_ACT_NONE, DV_ACT_CLIP,   DV_ACT_LEAKY, DV_ACT_SIGMOID,
                               DV_ACT_GELU, DV_ACT_HSWISH, DV_ACT_TANH};
    nt_seed(20);
    for (int i = 0; i < 200; i++) {
        int rank = (int)nt_int(1, 4);
        int64_t xd[4];
        for (int d = 0; d < rank; d++)
            xd[d] = nt_int(1, 7);
        xd[rank - 1] = nt_int(1, nt_chance(10) ? 700 : 90);
        bool slope = nt_chance(20);
        check_linear(rank, xd, nt_int(1, 130), nt_chance(70), slope, nt_chance(30),
                     slope ? DV_ACT_NONE : NT_PICK(acts));
    }
    int64_t tall[2] = {301, 33}; /* many rows: all threads work */
    check_linear(2, tall, 40, true, false, true, DV_ACT_SIGMOID);
    check_linear(2, tall, 17, false, true, false, DV_ACT_NONE);
}

/* Leading dims broadcast as numpy's do. */
static void matmul(void **state)
{
    nt_seed(21);
    for (int i = 0; i < 250; i++) {
        nt_net n;
        nt_open(&n);
        int ra = (int)nt_int(2, 5), rb = (int)nt_int(2, 5), rank = DV_MAX(ra, rb);
        int64_t ad[5], bd[5], od[5], lead_a[5], lead_b[5];
        int64_t m = nt_int(1, 19), k = nt_int(1, 40), w = nt_int(1, 37);
        for (int d = 0; d < rank - 2; d++) {
            od[d] = nt_int(1, 3);
            lead_a[d] = d < rank - ra || nt_chance(25) ? 1 : od[d];
            lead_b[d] = d < rank - rb || nt_chance(25) ? 1 : od[d];
            od[d] = DV_MAX(lead_a[d], lead_b[d]);
        }
        bool ta = nt_chance(40), tb = nt_chance(40);
        float alpha = nt_chance(30) ? 0.37f : 1;
        for (int d = 0; d < ra - 2; d++)
            ad[d] = lead_a[d + rank - ra];
        for (int d = 0; d < rb - 2; d++)
            bd[d] = lead_b[d + rank - rb];
        ad[ra - 2] = ta ? k : m;
        ad[ra - 1] = ta ? m : k;
        bd[rb - 2] = tb ? w : k;
        bd[rb - 1] = tb ? k : w;
        od[rank - 2] = m;
        od[rank - 1] = w;
        float *a = nt_floats(&n, nt_count(ra, ad), -.5f, .5f);
        float *b = nt_floats(&n, nt_count(rb, bd), -.5f, .5f);
        int32_t ia = nt_input(&n, ra, ad, a), out;
        int32_t ib = nt_chance(20) ? nt_const(&n, rb, bd, b) : nt_input(&n, rb, bd, b);
        dv_node *node = nt_op(&n, DV_OP_MATMUL, NT_IDS(ia, ib), &out);
        if (ta)
            NT_INTS(node, DV_A_TRANS_A, 1);
        if (tb)
            NT_INTS(node, DV_A_TRANS_B, 1);
        if (alpha != 1)
            NT_FLOATS(node, DV_A_ALPHA, alpha);
        nt_array want = nt_want(&n, rank, od);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[5], pa[5], pb[5];
            nt_unravel(e, rank, od, at);
            for (int d = 0; d < ra - 2; d++)
                pa[d] = ad[d] == 1 ? 0 : at[d + rank - ra];
            for (int d = 0; d < rb - 2; d++)
                pb[d] = bd[d] == 1 ? 0 : at[d + rank - rb];
            double sum = 0;
            for (int64_t j = 0; j < k; j++) {
                pa[ra - 2] = ta ? j : at[rank - 2];
                pa[ra - 1] = ta ? at[rank - 2] : j;
                pb[rb - 2] = tb ? at[rank - 1] : j;
                pb[rb - 1] = tb ? j : at[rank - 1];
                sum += (double)a[nt_ravel(ra, ad, pa)] * (double)b[nt_ravel(rb, bd, pb)];
            }
            want.v[e] = sum * (double)alpha;
        }
        nt_check(&n, 1, &out, &want, 5e-6, "MatMul case %d: ranks %d %d, %lldx%lldx%lld %d%d", i,
                 ra, rb, (long long)m, (long long)k, (long long)w, ta, tb);
        nt_close(&n);
    }
}

static void squeeze_excite(void **state)
{
    nt_seed(22);
    for (int i = 0; i < 80; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[4] = {nt_int(1, 3), nt_int(1, 9), nt_int(1, 9), nt_int(1, 50)}, c = xd[3];
        int64_t r = nt_int(1, 20), w1d[2] = {c, r}, w2d[2] = {r, c}, px = xd[1] * xd[2];
        float *x = nt_floats(&n, nt_count(4, xd), -2, 2);
        float *w1 = nt_floats(&n, (size_t)(c * r), -.5f, .5f);
        float *w2 = nt_floats(&n, (size_t)(c * r), -.5f, .5f);
        float *b1 = nt_floats(&n, (size_t)r, -1, 1), *b2 = nt_floats(&n, (size_t)c, -1, 1);
        bool with1 = nt_chance(60), with2 = nt_chance(60), hard = nt_chance(50);
        int act = nt_chance(60) ? DV_ACT_CLIP : nt_chance(50) ? DV_ACT_SWISH : DV_ACT_NONE;
        int32_t in[5] = {nt_input(&n, 4, xd, x), nt_const(&n, 2, w1d, w1),
                         with1 ? nt_const(&n, 1, &r, b1) : -1, nt_const(&n, 2, w2d, w2),
                         with2 ? nt_const(&n, 1, &c, b2) : -1},
                out;
        dv_node *node = nt_op(&n, DV_OP_SE, with2 ? 5 : 4, in, &out);
        NT_INTS(node, DV_A_ACT, act);
        NT_FLOATS(node, DV_A_P, 0);
        NT_FLOATS(node, DV_A_Q, INFINITY);
        if (hard) {
            NT_INTS(node, DV_A_MODE, 1);
            NT_FLOATS(node, DV_A_SCALES, 0.2f, 0.4f);
        }
        nt_array want = nt_want(&n, 4, xd);
        double mean[50], mid[20];
        for (int64_t b = 0; b < xd[0]; b++) {
            for (int64_t j = 0; j < c; j++) {
                mean[j] = 0;
                for (int64_t p = 0; p < px; p++)
                    mean[j] += (double)x[(b * px + p) * c + j] / (double)px;
            }
            for (int64_t j = 0; j < r; j++) {
                mid[j] = with1 ? (double)b1[j] : 0;
                for (int64_t l = 0; l < c; l++)
                    mid[j] += mean[l] * (double)w1[l * r + j];
                mid[j] = nt_act(act, mid[j], 0, INFINITY);
            }
            for (int64_t j = 0; j < c; j++) {
                double gate = with2 ? (double)b2[j] : 0;
                for (int64_t l = 0; l < r; l++)
                    gate += mid[l] * (double)w2[l * c + j];
                gate = hard ? nt_act(DV_ACT_HSIGMOID, gate, 0.2f, 0.4f)
                            : nt_act(DV_ACT_SIGMOID, gate, 0, 0);
                for (int64_t p = 0; p < px; p++)
                    want.v[(b * px + p) * c + j] = (double)x[(b * px + p) * c + j] * gate;
            }
        }
        nt_check(&n, 1, &out, &want, 5e-6, "SqueezeExcite c %lld r %lld hard %d act %d",
                 (long long)c, (long long)r, hard, act);
        nt_close(&n);
    }
}

static void refusals(void **state)
{
    for (int kind = 0; kind < 8; kind++) {
        nt_net n;
        nt_open(&n);
        nt_seed(23);
        int64_t xd[2] = {3, 8}, yd[3] = {2, 8, 3}, wd[2] = {8, 5}, bd[1] = {5},
                four[4] = {1, 2, 2, 8};
        float *w = nt_floats(&n, 64, 0, 1);
        int32_t out;
        dmv_status code = DMV_ERR_FORMAT;
        switch (kind) {
        case 0: /* width */
            wd[0] = 7;
            nt_op(&n, DV_OP_LINEAR, NT_IDS(nt_input(&n, 2, xd, NULL), nt_const(&n, 2, wd, w)),
                  &out);
            break;
        case 1: /* bias */
            bd[0] = 4;
            nt_op(&n, DV_OP_LINEAR,
                  NT_IDS(nt_input(&n, 2, xd, NULL), nt_const(&n, 2, wd, w), nt_const(&n, 1, bd, w)),
                  &out);
            break;
        case 2: /* weights that are computed */
            nt_op(&n, DV_OP_LINEAR, NT_IDS(nt_input(&n, 2, xd, NULL), nt_input(&n, 2, wd, NULL)),
                  &out);
            break;
        case 3: /* a scalar */
            nt_op(&n, DV_OP_LINEAR, NT_IDS(nt_input(&n, 0, NULL, NULL), nt_const(&n, 2, wd, w)),
                  &out);
            break;
        case 4: /* inner sizes */
            nt_op(&n, DV_OP_MATMUL, NT_IDS(nt_input(&n, 2, xd, NULL), nt_input(&n, 2, xd, NULL)),
                  &out);
            break;
        case 5: /* a vector */
            nt_op(&n, DV_OP_MATMUL, NT_IDS(nt_input(&n, 1, bd, NULL), nt_input(&n, 2, xd, NULL)),
                  &out);
            code = DMV_ERR_UNSUPPORTED;
            break;
        case 6: /* leading sizes */ {
            int64_t zd[3] = {3, 3, 8};
            nt_op(&n, DV_OP_MATMUL, NT_IDS(nt_input(&n, 3, zd, NULL), nt_input(&n, 3, yd, NULL)),
                  &out);
            break;
        }
        default: /* two layers that do not fit */
            nt_op(&n, DV_OP_SE,
                  NT_IDS(nt_input(&n, 4, four, NULL), nt_const(&n, 2, wd, w), -1,
                         nt_const(&n, 2, wd, w)),
                  &out);
        }
        nt_refuses(&n, out, code, "bad product %d", kind);
        nt_close(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(linear), cmocka_unit_test(matmul),
                                       cmocka_unit_test(squeeze_excite),
                                       cmocka_unit_test(refusals)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nt_shared_close();
    return failed;
}
