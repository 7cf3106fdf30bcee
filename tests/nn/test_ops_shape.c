/* SPDX-License-Identifier: Apache-2.0
 *
 * Views (Reshape, Flatten, Squeeze, Unsqueeze, Identity, Cast) and integers: shapes that are
 * worked out from the shapes of inputs whose sizes are free, as exported nets do it.
 */
#include "nn_test.h"

#include <string.h>

/* One view op: same numbers, another shape. */
static void check_view(nt_net *n, int32_t out, const float *x, int rank, const int64_t *od,
                       const char *what)
{
    nt_array want = nt_want(n, rank, od);
    for (size_t i = 0; i < want.n; i++)
        want.v[i] = (double)x[i];
    nt_check(n, 1, &out, &want, 0, "%s to rank %d", what, rank);
}

static void reshape(void **state)
{
    static const struct {
        int rank, to_rank;
        int64_t from[4], shape[5], to[5];
    } cases[] = {
        {3, 2, {2, 3, 4}, {6, 4}, {6, 4}},
        {3, 2, {2, 3, 4}, {-1, 4}, {6, 4}},
        {3, 3, {2, 3, 4}, {0, 4, -1}, {2, 4, 3}},
        {3, 5, {2, 3, 4}, {0, 0, 2, 1, 2}, {2, 3, 2, 1, 2}},
        {1, 0, {1}, {0}, {0}},
        {0, 2, {0}, {1, 1}, {1, 1}},
        {4, 1, {1, 2, 3, 4}, {-1}, {24}},
    };
    nt_seed(70);
    for (size_t c = 0; c < DV_COUNT(cases); c++)
        for (int as_input = 0; as_input < 2; as_input++) {
            nt_net n;
            nt_open(&n);
            float *x = nt_floats(&n, nt_count(cases[c].rank, cases[c].from), -1, 1);
            int32_t in[2] = {nt_input(&n, cases[c].rank, cases[c].from, x), -1}, out;
            if (as_input)
                in[1] = nt_ints(&n, cases[c].to_rank, cases[c].shape);
            dv_node *node = nt_op(&n, DV_OP_RESHAPE, 1 + as_input, in, &out);
            if (!as_input)
                assert_true(
                    dv_node_set_ints(node, DV_A_SHAPE, cases[c].shape, (uint32_t)cases[c].to_rank));
            check_view(&n, out, x, cases[c].to_rank, cases[c].to, "Reshape");
            nt_close(&n);
        }
}

static void flatten_squeeze(void **state)
{
    int64_t xd[4] = {2, 1, 3, 1};
    nt_seed(71);
    for (int axis = -4; axis <= 4; axis++) {
        nt_net n;
        nt_open(&n);
        float *x = nt_floats(&n, 6, -1, 1);
        int at = axis < 0 ? axis + 4 : axis;
        int64_t od[2] = {1, 1};
        for (int d = 0; d < 4; d++)
            od[d >= at] *= xd[d];
        int32_t out;
        NT_INTS(nt_op(&n, DV_OP_FLATTEN, NT_IDS(nt_input(&n, 4, xd, x)), &out), DV_A_AXIS, axis);
        check_view(&n, out, x, 2, od, "Flatten");
        nt_close(&n);
    }
    for (int kind = 0; kind < 8; kind++) {
        nt_net n;
        nt_open(&n);
        float *x = nt_floats(&n, 6, -1, 1);
        int32_t in = nt_input(&n, 4, xd, x), out;
        int64_t both[2] = {1, -1};
        switch (kind) {
        case 0:
            nt_op(&n, DV_OP_SQUEEZE, NT_IDS(in), &out);
            check_view(&n, out, x, 2, (int64_t[]){2, 3}, "Squeeze all");
            break;
        case 1:
            NT_INTS(nt_op(&n, DV_OP_SQUEEZE, NT_IDS(in), &out), DV_A_AXES, 3);
            check_view(&n, out, x, 3, (int64_t[]){2, 1, 3}, "Squeeze 3");
            break;
        case 2:
            nt_op(&n, DV_OP_SQUEEZE, NT_IDS(in, nt_ints(&n, 2, both)), &out);
            check_view(&n, out, x, 2, (int64_t[]){2, 3}, "Squeeze 1, -1");
            break;
        case 3:
            NT_INTS(nt_op(&n, DV_OP_UNSQUEEZE, NT_IDS(in), &out), DV_A_AXES, 0, -1);
            check_view(&n, out, x, 6, (int64_t[]){1, 2, 1, 3, 1, 1}, "Unsqueeze 0, -1");
            break;
        case 4:
            nt_op(&n, DV_OP_UNSQUEEZE, NT_IDS(in, nt_ints(&n, 1, both)), &out);
            check_view(&n, out, x, 5, (int64_t[]){2, 1, 1, 3, 1}, "Unsqueeze 1");
            break;
        case 5:
            nt_op(&n, DV_OP_IDENTITY, NT_IDS(in), &out);
            check_view(&n, out, x, 4, xd, "Identity");
            break;
        case 6:
            NT_INTS(nt_op(&n, DV_OP_CAST, NT_IDS(in), &out), DV_A_TO, DV_F32);
            check_view(&n, out, x, 4, xd, "Cast");
            break;
        default: /* the input is the output */
            check_view(&n, in, x, 4, xd, "nothing");
        }
        nt_close(&n);
    }
}

/* A constant that goes through views, and comes out as an output. */
static void views_of_constants(void **state)
{
    nt_net n;
    nt_open(&n);
    nt_seed(72);
    int64_t d[2] = {2, 3}, one[1] = {1};
    float *x = nt_floats(&n, 1, -1, 1), *w = nt_floats(&n, 6, -1, 1);
    int32_t in = nt_input(&n, 1, one, x), a, b, out[3];
    out[0] = nt_const(&n, 2, d, w);
    nt_op(&n, DV_OP_FLATTEN, NT_IDS(out[0]), &a);
    NT_INTS(nt_op(&n, DV_OP_UNSQUEEZE, NT_IDS(a), &b), DV_A_AXES, 0);
    out[1] = b;
    NT_INTS(nt_op(&n, DV_OP_BINARY, NT_IDS(b, in), &out[2]), DV_A_BINARY, DV_BIN_MUL);
    nt_array want[3] = {nt_want(&n, 2, d), nt_want(&n, 3, (int64_t[]){1, 2, 3}),
                        nt_want(&n, 3, (int64_t[]){1, 2, 3})};
    for (int i = 0; i < 6; i++) {
        want[0].v[i] = want[1].v[i] = (double)w[i];
        want[2].v[i] = (double)(w[i] * x[0]);
    }
    nt_check(&n, 3, out, want, 1e-7, "views of a constant");
    nt_close(&n);
}

/* Shape -> Gather -> arithmetic -> Concat -> Reshape, with sizes that are free. */
static void shape_arithmetic(void **state)
{
    for (int64_t size = 2; size <= 6; size += 2) {
        nt_net n;
        nt_open(&n);
        nt_seed(73);
        int64_t xd[4] = {-1, 3, -size, -(size + 2)}, zero = 0, two = 2, one = 1, minus = -1;
        float *x = nt_floats(&n, (size_t)(3 * size * (size + 2)), -1, 1);
        int32_t in = nt_input(&n, 4, xd, x), out;
        int32_t shape = nt_tensor(&n, DV_I64), pick = nt_tensor(&n, DV_I64),
                half = nt_tensor(&n, DV_I64), row = nt_tensor(&n, DV_I64),
                batch = nt_tensor(&n, DV_I64), list = nt_tensor(&n, DV_I64);
        nt_node(&n, DV_OP_SHAPE, NT_IDS(in), 1, &shape);
        /* h / 2 of [N, 3, h, w]: a scalar, unsqueezed */
        NT_INTS(nt_node(&n, DV_OP_GATHER, NT_IDS(shape, nt_ints_nd(&n, 0, NULL, &two)), 1, &pick),
                DV_A_AXIS, 0);
        NT_INTS(nt_node(&n, DV_OP_BINARY, NT_IDS(pick, nt_ints_nd(&n, 0, NULL, &two)), 1, &half),
                DV_A_BINARY, DV_BIN_DIV);
        NT_INTS(nt_node(&n, DV_OP_UNSQUEEZE, NT_IDS(half), 1, &row), DV_A_AXES, 0);
        dv_node *cut = nt_node(&n, DV_OP_SLICE, NT_IDS(shape), 1, &batch);
        NT_INTS(cut, DV_A_STARTS, 0);
        NT_INTS(cut, DV_A_ENDS, 1);
        nt_node(&n, DV_OP_CONCAT, NT_IDS(batch, row, nt_ints(&n, 1, &minus)), 1, &list);
        nt_op(&n, DV_OP_RESHAPE, NT_IDS(in, list), &out);
        check_view(&n, out, x, 3, (int64_t[]){1, size / 2, 6 * (size + 2)}, "shape arithmetic");
        nt_close(&n);

        /* the same sizes, backwards and through every op that moves integers */
        nt_open(&n);
        x = nt_floats(&n, (size_t)(3 * size * (size + 2)), -1, 1);
        in = nt_input(&n, 4, xd, x);
        int32_t s = nt_tensor(&n, DV_I64), back = nt_tensor(&n, DV_I64),
                grid = nt_tensor(&n, DV_I64), turn = nt_tensor(&n, DV_I64),
                flat = nt_tensor(&n, DV_I64), wide = nt_tensor(&n, DV_I64),
                part[2] = {nt_tensor(&n, DV_I64), nt_tensor(&n, DV_I64)},
                same = nt_tensor(&n, DV_I64), more = nt_tensor(&n, DV_I64),
                thin = nt_tensor(&n, DV_I64), cast = nt_tensor(&n, DV_I64),
                final = nt_tensor(&n, DV_I64);
        nt_node(&n, DV_OP_SHAPE, NT_IDS(in), 1, &s); /* [1, 3, h, w] */
        dv_node *rev = nt_node(&n, DV_OP_SLICE, NT_IDS(s), 1, &back);
        NT_INTS(rev, DV_A_STARTS, -1);
        NT_INTS(rev, DV_A_ENDS, INT64_MIN);
        NT_INTS(rev, DV_A_AXES, 0);
        NT_INTS(rev, DV_A_STEPS, -1); /* [w, h, 3, 1] */
        NT_INTS(nt_node(&n, DV_OP_RESHAPE, NT_IDS(back), 1, &grid), DV_A_SHAPE, 2, 2);
        nt_node(&n, DV_OP_TRANSPOSE, NT_IDS(grid), 1, &turn); /* [[w, 3], [h, 1]] */
        NT_INTS(nt_node(&n, DV_OP_FLATTEN, NT_IDS(turn), 1, &flat), DV_A_AXIS, 0);
        NT_INTS(nt_node(&n, DV_OP_SQUEEZE, NT_IDS(flat), 1, &thin), DV_A_AXES,
                0); /* [w, 3, h, 1] */
        NT_INTS(nt_node(&n, DV_OP_SPLIT, NT_IDS(thin), 2, part), DV_A_SPLIT, 3, 1);
        nt_node(&n, DV_OP_EXPAND, NT_IDS(part[1], nt_ints(&n, 1, &two)), 1, &wide); /* [1, 1] */
        nt_node(&n, DV_OP_IDENTITY, NT_IDS(wide), 1, &same);
        NT_INTS(nt_node(&n, DV_OP_BINARY, NT_IDS(same, nt_ints(&n, 1, &zero)), 1, &more),
                DV_A_BINARY, DV_BIN_MAX);
        float ones[2] = {1.0f, 1.9f}; /* towards zero: 1 */
        NT_INTS(nt_node(&n, DV_OP_CAST, NT_IDS(nt_const(&n, 1, &two, ones)), 1, &cast), DV_A_TO,
                DV_I64);
        int32_t product = nt_tensor(&n, DV_I64);
        NT_INTS(nt_node(&n, DV_OP_BINARY, NT_IDS(more, cast), 1, &product), DV_A_BINARY,
                DV_BIN_MUL);
        nt_node(&n, DV_OP_CONCAT, NT_IDS(part[0], product, nt_ints(&n, 1, &one)), 1, &final);
        nt_op(&n, DV_OP_RESHAPE, NT_IDS(in, final), &out);
        check_view(&n, out, x, 6, (int64_t[]){size + 2, 3, size, 1, 1, 1}, "moved integers");
        nt_close(&n);
    }
}

/* Resize to the size of another tensor, as feature pyramids do. */
static void resize_to_like(void **state)
{
    nt_net n;
    nt_open(&n);
    nt_seed(74);
    int64_t ad[4] = {1, -3, -2, 4}, bd[4] = {1, -6, -6, 4}, od[4] = {1, 6, 6, 4};
    float *a = nt_floats(&n, 24, -1, 1), *b = nt_floats(&n, 144, -1, 1);
    int32_t x = nt_input(&n, 4, ad, a), y = nt_input(&n, 4, bd, b), up, out;
    int32_t shape = nt_tensor(&n, DV_I64), sizes = nt_tensor(&n, DV_I64);
    nt_node(&n, DV_OP_SHAPE, NT_IDS(y), 1, &shape);
    dv_node *cut = nt_node(&n, DV_OP_SLICE, NT_IDS(shape), 1, &sizes);
    NT_INTS(cut, DV_A_STARTS, 1);
    NT_INTS(cut, DV_A_ENDS, 3);
    NT_INTS(nt_op(&n, DV_OP_RESIZE, NT_IDS(x, sizes), &up), DV_A_COORD, DV_COORD_ASYMMETRIC);
    dv_node *last = &n.g.nodes[n.g.n_nodes - 1];
    NT_INTS(last, DV_A_NEAREST, 2);
    NT_INTS(nt_op(&n, DV_OP_BINARY, NT_IDS(up, y), &out), DV_A_BINARY, DV_BIN_ADD);
    nt_array want = nt_want(&n, 4, od);
    for (size_t i = 0; i < want.n; i++) {
        int64_t at[4];
        nt_unravel(i, 4, od, at);
        want.v[i] = (double)(a[(at[1] / 2 * 2 + at[2] / 3) * 4 + at[3]] + b[i]);
    }
    nt_check(&n, 1, &out, &want, 1e-7, "Resize to the size of another");
    nt_close(&n);
}

static void refusals(void **state)
{
    for (int kind = 0; kind < 14; kind++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[3] = {2, 3, 4}, list[7] = {1, 1, 1, 1, 1, 1, 24};
        int64_t huge[3] = {0, INT64_MAX / 2, 4};
        int32_t x = nt_input(&n, 3, xd, NULL), out, i = nt_tensor(&n, DV_I64);
        dmv_status code = DMV_ERR_FORMAT;
        switch (kind) {
        case 0:
            NT_INTS(nt_op(&n, DV_OP_RESHAPE, NT_IDS(x), &out), DV_A_SHAPE, 5, 5);
            break;
        case 1:
            NT_INTS(nt_op(&n, DV_OP_RESHAPE, NT_IDS(x), &out), DV_A_SHAPE, -1, -1);
            break;
        case 2:
            NT_INTS(nt_op(&n, DV_OP_RESHAPE, NT_IDS(x), &out), DV_A_SHAPE, -1, 5);
            break;
        case 3:
            NT_INTS(nt_op(&n, DV_OP_RESHAPE, NT_IDS(x), &out), DV_A_SHAPE, -2, 12);
            break;
        case 4:
            NT_INTS(nt_op(&n, DV_OP_RESHAPE, NT_IDS(x), &out), DV_A_SHAPE, 2, 3, 4, 0);
            break;
        case 5:
            nt_op(&n, DV_OP_RESHAPE, NT_IDS(x, nt_ints(&n, 7, list)), &out);
            break;
        case 6:
            nt_op(&n, DV_OP_RESHAPE, NT_IDS(x), &out);
            break;
        case 7:
            NT_INTS(nt_op(&n, DV_OP_FLATTEN, NT_IDS(x), &out), DV_A_AXIS, 4);
            break;
        case 8:
            NT_INTS(nt_op(&n, DV_OP_SQUEEZE, NT_IDS(x), &out), DV_A_AXES, 0);
            break;
        case 9:
            NT_INTS(nt_op(&n, DV_OP_UNSQUEEZE, NT_IDS(x), &out), DV_A_AXES, 0, 0);
            break;
        case 10: /* four more axes than there can be */
            NT_INTS(nt_op(&n, DV_OP_UNSQUEEZE, NT_IDS(x), &out), DV_A_AXES, 0, 1, 2, 3);
            break;
        case 11: /* integers from computed values */
            NT_INTS(nt_node(&n, DV_OP_CAST, NT_IDS(x), 1, &i), DV_A_TO, DV_I64);
            nt_op(&n, DV_OP_RESHAPE, NT_IDS(x, i), &out);
            code = DMV_ERR_UNSUPPORTED;
            break;
        case 12: /* an integer output */
            nt_node(&n, DV_OP_SHAPE, NT_IDS(x), 1, &i);
            out = i;
            code = DMV_ERR_UNSUPPORTED;
            break;
        default: /* empty, but with sizes that no product may meet */
            nt_op(&n, DV_OP_EXPAND, NT_IDS(nt_input(&n, 0, NULL, NULL), nt_ints(&n, 3, huge)),
                  &out);
            code = DMV_ERR_LIMIT;
        }
        nt_refuses(&n, out, code, "bad shape %d", kind);
        nt_close(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reshape),
        cmocka_unit_test(flatten_squeeze),
        cmocka_unit_test(views_of_constants),
        cmocka_unit_test(shape_arithmetic),
        cmocka_unit_test(resize_to_like),
        cmocka_unit_test(refusals),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nt_shared_close();
    return failed;
}
