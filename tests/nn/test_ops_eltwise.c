/* SPDX-License-Identifier: Apache-2.0
 *
 * Activations, PReLU and arithmetic with every pattern of broadcasting, in place and not.
 */
#include "nn_test.h"

#include <math.h>
#include <string.h>

static void activations(void **state)
{
    nt_seed(40);
    for (int act = 0; act < DV_ACT_COUNT; act++)
        for (int i = 0; i < 12; i++) {
            nt_net n;
            nt_open(&n);
            int64_t xd[3] = {nt_int(1, 4), nt_int(1, 40), nt_int(1, i == 11 ? 2500 : 70)};
            bool positive = act == DV_ACT_LOG || act == DV_ACT_SQRT || act == DV_ACT_RECIP;
            float *x = nt_floats(&n, nt_count(3, xd), positive ? 0.01f : -6, 6);
            float p = act == DV_ACT_CLIP ? -1.5f : 0.3f, q = 0.7f;
            int32_t in = nt_input(&n, 3, xd, x), mid, out;
            bool in_place = nt_chance(50);
            if (in_place) { /* a copy first: its memory may be overwritten */
                NT_INTS(nt_op(&n, DV_OP_ACT, NT_IDS(in), &mid), DV_A_ACT, DV_ACT_NONE);
                in = mid;
            }
            dv_node *node = nt_op(&n, DV_OP_ACT, NT_IDS(in), &out);
            NT_INTS(node, DV_A_ACT, act);
            NT_FLOATS(node, DV_A_P, p);
            NT_FLOATS(node, DV_A_Q, q);
            nt_array want = nt_want(&n, 3, xd);
            for (size_t e = 0; e < want.n; e++)
                want.v[e] = nt_act(act, (double)x[e], (double)p, (double)q);
            nt_check(&n, 1, &out, &want, 1e-6, "activation %d in place %d", act, in_place);
            nt_close(&n);
        }
}

static double arithmetic(int op, double a, double b)
{
    switch (op) {
    case DV_BIN_ADD:
        return a + b;
    case DV_BIN_SUB:
        return a - b;
    case DV_BIN_MUL:
        return a * b;
    case DV_BIN_DIV:
        return a / b;
    case DV_BIN_MAX:
        return fmax(a, b);
    case DV_BIN_MIN:
        return fmin(a, b);
    default:
        return pow(a, b);
    }
}

/* Index into an operand of dims d (aligned at the last axis) for output position at. */
static size_t spread(int rank, const int64_t *at, int r, const int64_t *d)
{
    int64_t pos[DMV_MAX_RANK];
    for (int i = 0; i < r; i++)
        pos[i] = d[i] == 1 ? 0 : at[i + rank - r];
    return nt_ravel(r, d, pos);
}

typedef struct operand {
    int rank;
    int64_t dims[DMV_MAX_RANK];
    const float *v;
} operand;

static void check_binary(nt_net *n, int op, const operand *a, const operand *b, int32_t ia,
                         int32_t ib, const char *what)
{
    int rank = DV_MAX(a->rank, b->rank);
    int64_t od[DMV_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        int64_t da = i < rank - a->rank ? 1 : a->dims[i - (rank - a->rank)];
        int64_t db = i < rank - b->rank ? 1 : b->dims[i - (rank - b->rank)];
        od[i] = da == 1 ? db : da;
    }
    int32_t out;
    NT_INTS(nt_op(n, DV_OP_BINARY, NT_IDS(ia, ib), &out), DV_A_BINARY, op);
    nt_array want = nt_want(n, rank, od);
    for (size_t e = 0; e < want.n; e++) {
        int64_t at[DMV_MAX_RANK];
        nt_unravel(e, rank, od, at);
        want.v[e] = arithmetic(op, (double)a->v[spread(rank, at, a->rank, a->dims)],
                               (double)b->v[spread(rank, at, b->rank, b->dims)]);
    }
    nt_check(n, 1, &out, &want, 2e-6, "%s op %d ranks %d %d, out %lld,%lld,..", what, op, a->rank,
             b->rank, (long long)(rank ? od[0] : 1), (long long)(rank ? od[rank - 1] : 1));
}

/* Each axis of each side is full, 1 or missing. */
static void binary_patterns(void **state)
{
    nt_seed(41);
    for (int i = 0; i < 700; i++) {
        nt_net n;
        nt_open(&n);
        int rank = (int)nt_int(1, i % 10 ? 4 : 6);
        int64_t full[DMV_MAX_RANK];
        for (int d = 0; d < rank; d++)
            full[d] = nt_int(1, rank > 4 ? 3 : 6);
        if (nt_chance(15))
            full[rank - 1] = nt_int(900, 1300);
        int op = (int)nt_int(0, DV_BIN_COUNT - 1);
        bool positive = op == DV_BIN_POW || op == DV_BIN_DIV;
        operand o[2];
        int32_t id[2];
        for (int s = 0; s < 2; s++) {
            o[s].rank = nt_chance(60) ? rank : (int)nt_int(0, rank);
            int all = nt_chance(40) ? 0 : nt_chance(30) ? 100 : 40; /* how many axes are 1 */
            for (int d = 0; d < o[s].rank; d++)
                o[s].dims[d] = nt_chance(all) ? 1 : full[d + rank - o[s].rank];
            float *v = nt_floats(&n, nt_count(o[s].rank, o[s].dims), positive ? 0.1f : -2, 2);
            o[s].v = v;
            id[s] = nt_chance(25) ? nt_const(&n, o[s].rank, o[s].dims, v)
                                  : nt_input(&n, o[s].rank, o[s].dims, v);
        }
        if (n.n_in)
            check_binary(&n, op, &o[0], &o[1], id[0], id[1], "Binary");
        nt_close(&n);
    }
}

/* The output takes the place of either side, or of both when they are one. */
static void binary_in_place(void **state)
{
    nt_seed(42);
    for (int i = 0; i < 60; i++) {
        nt_net n;
        nt_open(&n);
        operand o[2] = {{3, {4, 5, nt_int(1, 60)}, NULL}, {3, {4, 5, 1}, NULL}};
        o[1].dims[2] = i % 3 ? o[0].dims[2] : 1;
        int32_t id[2], op = (int32_t)nt_int(0, DV_BIN_MIN);
        for (int s = 0; s < 2; s++) {
            o[s].v = nt_floats(&n, nt_count(3, o[s].dims), 0.5f, 2);
            int32_t raw = nt_input(&n, 3, o[s].dims, o[s].v);
            NT_INTS(nt_op(&n, DV_OP_ACT, NT_IDS(raw), &id[s]), DV_A_ACT, DV_ACT_ABS);
        }
        if (i % 5 == 4)
            check_binary(&n, op, &o[0], &o[0], id[0], id[0], "in place, twice the same");
        else if (i % 2)
            check_binary(&n, op, &o[0], &o[1], id[0], id[1], "in place left");
        else
            check_binary(&n, op, &o[1], &o[0], id[1], id[0], "in place right");
        nt_close(&n);
    }
}

static void prelu(void **state)
{
    nt_seed(43);
    for (int i = 0; i < 300; i++) {
        nt_net n;
        nt_open(&n);
        operand x = {.rank = (int)nt_int(1, 4)}, s;
        for (int d = 0; d < x.rank; d++)
            x.dims[d] = nt_int(1, 9);
        x.dims[x.rank - 1] = nt_int(1, nt_chance(10) ? 2100 : 70);
        s.rank = (int)nt_int(0, x.rank);
        for (int d = 0; d < s.rank; d++)
            s.dims[d] = nt_chance(40) ? 1 : x.dims[d + x.rank - s.rank];
        x.v = nt_floats(&n, nt_count(x.rank, x.dims), -2, 2);
        s.v = nt_floats(&n, nt_count(s.rank, s.dims), -1, 1);
        int32_t out;
        nt_op(&n, DV_OP_PRELU,
              NT_IDS(nt_input(&n, x.rank, x.dims, x.v), nt_const(&n, s.rank, s.dims, s.v)), &out);
        nt_array want = nt_want(&n, x.rank, x.dims);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[DMV_MAX_RANK];
            nt_unravel(e, x.rank, x.dims, at);
            double v = (double)x.v[e];
            want.v[e] = v < 0 ? v * (double)s.v[spread(x.rank, at, s.rank, s.dims)] : v;
        }
        nt_check(&n, 1, &out, &want, 1e-7, "PRelu case %d ranks %d %d", i, x.rank, s.rank);
        nt_close(&n);
    }
}

static void refusals(void **state)
{
    for (int kind = 0; kind < 6; kind++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[2] = {3, 4}, yd[2] = {3, 5}, zd[3] = {2, 3, 4}, list[2] = {1, 2};
        float *v = nt_floats(&n, 24, 0, 1);
        int32_t x = nt_input(&n, 2, xd, NULL), out;
        dmv_status code = DMV_ERR_FORMAT;
        switch (kind) {
        case 0: /* 4 against 5 */
            NT_INTS(nt_op(&n, DV_OP_BINARY, NT_IDS(x, nt_input(&n, 2, yd, NULL)), &out),
                    DV_A_BINARY, DV_BIN_ADD);
            break;
        case 1:
            NT_INTS(nt_op(&n, DV_OP_BINARY, NT_IDS(x, x), &out), DV_A_BINARY, 99);
            break;
        case 2:
            nt_op(&n, DV_OP_BINARY, NT_IDS(x, x), &out);
            break;
        case 3: /* floats and integers */
            NT_INTS(nt_op(&n, DV_OP_BINARY, NT_IDS(x, nt_ints(&n, 2, list)), &out), DV_A_BINARY,
                    DV_BIN_ADD);
            break;
        case 4: /* a slope that would make the output larger */
            nt_op(&n, DV_OP_PRELU, NT_IDS(x, nt_const(&n, 3, zd, v)), &out);
            break;
        default: /* a computed slope */
            nt_op(&n, DV_OP_PRELU, NT_IDS(x, x), &out);
            code = DMV_ERR_UNSUPPORTED;
        }
        nt_refuses(&n, out, code, "bad arithmetic %d", kind);
        nt_close(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations),     cmocka_unit_test(binary_patterns),
        cmocka_unit_test(binary_in_place), cmocka_unit_test(prelu),
        cmocka_unit_test(refusals),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nt_shared_close();
    return failed;
}
