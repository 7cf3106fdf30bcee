/* SPDX-License-Identifier: Apache-2.0
 *
 * Several layers at a time, band by band (bands.h), must give the bits of layer after layer: random
 * nets of pictures with branches and residuals, one to four workers, two inputs one after the other
 * so that rows left over from the first would show.
 */
#include "nn_test.h"

#include <stdlib.h>
#include <string.h>

#include "nn/bands.h"

#define MAX_TENSORS 40

typedef struct maker {
    nt_net *n;
    int32_t id[MAX_TENSORS];
    int64_t h[MAX_TENSORS], w[MAX_TENSORS], c[MAX_TENSORS];
    int count;
} maker;

static void push(maker *m, int32_t id, int64_t h, int64_t w, int64_t c)
{
    assert_true(m->count < MAX_TENSORS);
    m->id[m->count] = id;
    m->h[m->count] = h;
    m->w[m->count] = w;
    m->c[m->count++] = c;
}

static int like(const maker *m, int64_t h, int64_t w, int64_t c)
{
    int at[MAX_TENSORS], n = 0;
    for (int i = 0; i < m->count; i++)
        if (m->h[i] == h && m->w[i] == w && m->c[i] == c)
            at[n++] = i;
    return n ? at[nt_int(0, n - 1)] : -1;
}

static int64_t sized(int64_t in, int64_t k, int64_t s, int64_t d, int64_t p, int64_t q)
{
    return (in + p + q - (k - 1) * d - 1) / s + 1;
}

static void add_conv(maker *m, int a)
{
    static const int64_t kernels[] = {1, 1, 3, 3, 5}, widths[] = {8, 16, 20, 24};
    int64_t c = m->c[a], k = NT_PICK(kernels), s = nt_chance(20) && m->h[a] > 20 ? 2 : 1;
    int64_t d = nt_chance(15) ? 2 : 1, before = nt_int(0, (k - 1) * d + nt_chance(10)),
            after = nt_chance(10) ? nt_int(0, 5) : DV_MAX((k - 1) * d - before, 0);
    bool depthwise = k > 1 && nt_chance(60);
    int64_t oc = depthwise ? c : NT_PICK(widths), wd[4] = {k, k, depthwise ? 1 : c, oc};
    int64_t h = sized(m->h[a], k, s, d, before, after), w = sized(m->w[a], k, s, d, before, after);
    float scale = 1.5f / (float)(k * k * wd[2]);
    int add = nt_chance(50) ? like(m, h, w, oc) : -1;
    bool sloped = nt_chance(30);
    int32_t out, weight = nt_const(m->n, 4, wd, nt_floats(m->n, nt_count(4, wd), -scale, scale));
    int32_t bias = nt_const(m->n, 1, &oc, nt_floats(m->n, (size_t)oc, -1, 1));
    int32_t slope = sloped ? nt_const(m->n, 1, &oc, nt_floats(m->n, (size_t)oc, 0, 1)) : -1;
    dv_node *n = nt_op(m->n, DV_OP_CONV,
                       NT_IDS(m->id[a], weight, bias, slope, add < 0 ? -1 : m->id[add]), &out);
    NT_INTS(n, DV_A_KERNEL, k, k);
    NT_INTS(n, DV_A_STRIDE, s, s);
    NT_INTS(n, DV_A_DILATION, d, d);
    NT_INTS(n, DV_A_PADS, before, before, after, after);
    NT_INTS(n, DV_A_GROUP, depthwise ? c : 1);
    if (!sloped)
        NT_INTS(n, DV_A_ACT, nt_chance(50) ? DV_ACT_NONE : DV_ACT_SWISH);
    push(m, out, h, w, oc);
}

static void add_node(maker *m)
{
    int a = nt_chance(80) ? m->count - 1 : (int)nt_int(0, m->count - 1);
    int64_t h = m->h[a], w = m->w[a], c = m->c[a];
    int32_t out;
    switch (nt_int(0, 9)) {
    case 0:
        NT_INTS(nt_op(m->n, DV_OP_ACT, NT_IDS(m->id[a]), &out), DV_A_ACT, DV_ACT_HSWISH);
        break;
    case 1: {
        int b = like(m, h, w, c);
        NT_INTS(nt_op(m->n, DV_OP_BINARY, NT_IDS(m->id[a], m->id[b]), &out), DV_A_BINARY,
                nt_chance(50) ? DV_BIN_ADD : DV_BIN_MUL);
        break;
    }
    case 2: {
        int32_t row = nt_const(m->n, 1, &c, nt_floats(m->n, (size_t)c, -1, 1));
        NT_INTS(nt_op(m->n, DV_OP_BINARY, NT_IDS(m->id[a], row), &out), DV_A_BINARY, DV_BIN_MUL);
        break;
    }
    case 3: {
        if (h < 20)
            return;
        dv_node *n =
            nt_op(m->n, nt_chance(50) ? DV_OP_MAX_POOL : DV_OP_AVG_POOL, NT_IDS(m->id[a]), &out);
        int64_t s = nt_int(1, 2);
        NT_INTS(n, DV_A_KERNEL, 3, 3);
        NT_INTS(n, DV_A_STRIDE, s, s);
        NT_INTS(n, DV_A_PADS, 1, 1, 1, 1);
        h = sized(h, 3, s, 1, 1, 1);
        w = sized(w, 3, s, 1, 1, 1);
        break;
    }
    case 4: {
        int32_t gamma = nt_const(m->n, 1, &c, nt_floats(m->n, (size_t)c, 0.5f, 1.5f));
        nt_op(m->n, DV_OP_LAYER_NORM, NT_IDS(m->id[a], gamma), &out);
        break;
    }
    default:
        add_conv(m, a);
        return;
    }
    push(m, out, h, w, c);
}

static dv_exec *open_exec(nt_net *n, const dv_kernels *k, dv_pool *pool, bool whole)
{
    dv_err e = {0};
    dv_exec *x;
    const int64_t *dims[1] = {n->dims[0]};
    if (dv_exec_open(&n->g, k, pool, &x, &e))
        fail_msg("%s", e.msg);
    x->whole = whole;
    if (dv_exec_shape(x, dims, &e))
        fail_msg("%s", e.msg);
    return x;
}

static void run(dv_exec *x, uint32_t seed)
{
    float *in = dv_exec_input(x, 0);
    for (size_t i = 0; i < x->v[x->g->inputs[0]].count; i++) {
        seed = seed * 1664525u + 1013904223u;
        in[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
    dv_exec_run(x);
}

static void random_nets(void **state)
{
    (void)state;
    dv_pool *pools[4] = {NULL};
    dv_err e = {0};
    for (int i = 1; i < 4; i++)
        assert_int_equal(dv_pool_open(i + 1, &pools[i], &e), DMV_OK);
    size_t groups[4] = {0}, steps[4] = {0};
    nt_seed(20);
    for (int round = 0; round < 60; round++) {
        nt_net n;
        nt_open(&n);
        maker m = {.n = &n};
        int64_t d[4] = {1, nt_int(24, 100), nt_int(24, 100), 16};
        push(&m, nt_input(&n, 4, d, nt_floats(&n, 1, 0, 0)), d[1], d[2], d[3]);
        int nodes = (int)nt_int(3, 14);
        while (m.count < nodes)
            add_node(&m);
        int32_t outs[3] = {m.id[m.count - 1], m.id[nt_int(1, m.count - 1)], 0};
        assert_true(dv_graph_set_io(&n.g, n.in, 1, outs, outs[0] == outs[1] ? 1 : 2));
        for (int best = 0; best < 2; best++) {
            const dv_kernels *k = nt_kernels(best);
            dv_exec *want = open_exec(&n, k, NULL, true);
            for (int p = 0; p < 4; p++) {
                dv_exec *got = open_exec(&n, k, pools[p], false);
                for (size_t i = 0; i < n.g.n_nodes; i++) {
                    int32_t first = -1, last;
                    const struct dv_group *g = dv_bands_at(got, i);
                    if (g)
                        dv_bands_span(g, &first, &last);
                    groups[p] += first == (int32_t)i;
                    steps[p] += g != NULL;
                }
                for (uint32_t seed = 1; seed <= 2; seed++) {
                    run(want, seed);
                    run(got, seed);
                    for (size_t o = 0; o < n.g.n_outputs; o++) {
                        const dv_value *a = dv_exec_output(want, o), *b = dv_exec_output(got, o);
                        assert_int_equal(a->count, b->count);
                        if (memcmp(a->f, b->f, a->count * sizeof(float)))
                            fail_msg("round %d, %d workers, input %u, output %zu", round, p + 1,
                                     seed, o);
                    }
                }
                dv_exec_close(&got);
            }
            dv_exec_close(&want);
        }
        nt_close(&n);
    }
    for (int p = 0; p < 4; p++) /* it is bands that were tested */
        if (groups[p] < 10 || steps[p] < 3 * groups[p] / 2)
            fail_msg("%d workers: %zu groups of %zu steps", p + 1, groups[p], steps[p]);
    for (int i = 1; i < 4; i++)
        dv_pool_close(&pools[i]);
}

/* In two parts: no group reaches over the cut, and what lies there is whole. */
static void cut_nets(void **state)
{
    (void)state;
    dv_pool *pools[3] = {NULL};
    dv_err e = {0};
    for (int i = 1; i < 3; i++)
        assert_int_equal(dv_pool_open(i + 1, &pools[i], &e), DMV_OK);
    size_t met = 0;
    nt_seed(21);
    for (int round = 0; round < 40; round++) {
        nt_net n;
        nt_open(&n);
        maker m = {.n = &n};
        int64_t d[4] = {1, nt_int(24, 100), nt_int(24, 100), 16};
        push(&m, nt_input(&n, 4, d, nt_floats(&n, 1, 0, 0)), d[1], d[2], d[3]);
        int nodes = (int)nt_int(4, 14);
        while (m.count < nodes)
            add_node(&m);
        int32_t out = m.id[m.count - 1], at = m.id[nt_int(1, m.count - 1)];
        assert_true(dv_graph_set_io(&n.g, n.in, 1, &out, 1));
        dv_exec *want = open_exec(&n, nt_kernels(true), NULL, true);
        dv_graph two;
        size_t prefix;
        assert_int_equal(dv_graph_cut(&n.g, at, &two, &prefix, &e), DMV_OK);
        for (int p = 0; p < 3; p++) {
            dv_exec *plain = open_exec(&n, nt_kernels(true), pools[p], false), *got;
            for (size_t i = 0; i < n.g.n_nodes; i++) /* was it inside a group before? */
                met += n.g.nodes[i].out[0] == at && dv_bands_inner(plain, at);
            dv_exec_close(&plain);
            assert_int_equal(dv_exec_open(&two, nt_kernels(true), pools[p], &got, &e), DMV_OK);
            got->cut = prefix;
            got->feature = at;
            const int64_t *dims[1] = {n.dims[0]};
            if (dv_exec_shape(got, dims, &e))
                fail_msg("%s", e.msg);
            assert_false(dv_bands_inner(got, at));
            for (size_t i = 0; i < two.n_nodes; i++) {
                int32_t first, last;
                const struct dv_group *g = dv_bands_at(got, i);
                if (g)
                    dv_bands_span(g, &first, &last);
                assert_true(!g || (size_t)last < prefix || (size_t)first >= prefix);
            }
            for (uint32_t seed = 1; seed <= 2; seed++) {
                run(want, seed);
                memcpy(dv_exec_input(got, 0), dv_exec_input(want, 0),
                       want->v[n.in[0]].count * sizeof(float));
                dv_exec_run_part(got, 0, prefix);
                const size_t bytes = got->v[at].count * sizeof(float);
                float *kept = malloc(bytes);
                assert_non_null(kept);
                memcpy(kept, got->v[at].f, bytes);
                dv_exec_run_part(got, prefix, two.n_nodes);
                const dv_value *a = dv_exec_output(want, 0), *b = dv_exec_output(got, 0);
                if (memcmp(a->f, b->f, a->count * sizeof(float)))
                    fail_msg("round %d, %d workers, input %u", round, p + 1, seed);
                assert_memory_equal(kept, got->v[at].f, bytes);
                free(kept);
            }
            dv_exec_close(&got);
        }
        dv_graph_free(&two);
        dv_exec_close(&want);
        nt_close(&n);
    }
    assert_true(met >= 10); /* cuts that went through a group */
    for (int i = 1; i < 3; i++)
        dv_pool_close(&pools[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_nets), cmocka_unit_test(cut_nets)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nt_shared_close();
    return failed;
}
