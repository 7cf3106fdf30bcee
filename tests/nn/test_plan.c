/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory planner on random graphs: what is still wanted is never written over, sharing memory
 * changes no result, a second run gives the same numbers, and runs allocate nothing.
 */
#include "nn_test.h"

#include <string.h>

/* ---- random graphs of [1, 4, 4, c] tensors: chains, branches, residuals, views ---- */

#define MAX_TENSORS 64
enum { SIDE = 4, PIXELS = SIDE * SIDE };

typedef struct maker {
    nt_net *n;
    int32_t id[MAX_TENSORS];
    int64_t c[MAX_TENSORS];
    int count;
} maker;

static void push(maker *m, int32_t id, int64_t c)
{
    assert_true(m->count < MAX_TENSORS);
    m->id[m->count] = id;
    m->c[m->count++] = c;
}

/* Recent tensors more often, so that chains come about as well as long residuals. */
static int pick(const maker *m)
{
    return nt_chance(60) ? (int)nt_int(m->count > 2 ? m->count - 2 : 0, m->count - 1)
                         : (int)nt_int(0, m->count - 1);
}

static int pick_with(const maker *m, int64_t c)
{
    int at[MAX_TENSORS], n = 0;
    for (int i = 0; i < m->count; i++)
        if (m->c[i] == c)
            at[n++] = i;
    return n ? at[nt_int(0, n - 1)] : -1;
}

static void add_conv(maker *m, int a)
{
    static const int64_t widths[] = {4, 8, 20};
    bool depthwise = nt_chance(30);
    int64_t c = m->c[a], oc = depthwise ? c : NT_PICK(widths),
            k = depthwise || nt_chance(40) ? 3 : 1;
    int64_t wd[4] = {k, k, depthwise ? 1 : c, oc};
    float scale = 1.0f / (float)(k * wd[2]);
    int add = nt_chance(50) ? pick_with(m, oc) : -1;
    int32_t w = nt_const(m->n, 4, wd, nt_floats(m->n, nt_count(4, wd), -scale, scale)), out;
    int32_t bias = nt_const(m->n, 1, &oc, nt_floats(m->n, (size_t)oc, -1, 1));
    dv_node *n =
        nt_op(m->n, DV_OP_CONV, NT_IDS(m->id[a], w, bias, -1, add < 0 ? -1 : m->id[add]), &out);
    NT_INTS(n, DV_A_KERNEL, k, k);
    NT_INTS(n, DV_A_PADS, k / 2, k / 2, k / 2, k / 2);
    NT_INTS(n, DV_A_GROUP, depthwise ? c : 1);
    NT_INTS(n, DV_A_ACT, nt_chance(50) ? DV_ACT_NONE : DV_ACT_TANH);
    push(m, out, oc);
}

static void add_node(maker *m)
{
    int a = pick(m), b;
    int64_t c = m->c[a];
    int32_t out, two[2];
    dv_node *n;
    switch (nt_int(0, 12)) {
    case 0:
        NT_INTS(nt_op(m->n, DV_OP_ACT, NT_IDS(m->id[a]), &out), DV_A_ACT, DV_ACT_TANH);
        push(m, out, c);
        return;
    case 1:
    case 2:
        b = nt_chance(20) ? a : pick_with(m, c);
        NT_INTS(nt_op(m->n, DV_OP_BINARY, NT_IDS(m->id[a], m->id[b]), &out), DV_A_BINARY,
                nt_chance(50) ? DV_BIN_SUB : DV_BIN_MAX);
        push(m, out, c);
        return;
    case 3: /* a vector, or a map that broadcasts over channels */
        b = (int)nt_int(0, 1);
        int64_t vd[3] = {b ? SIDE : 1, b ? SIDE : 1, b ? 1 : c};
        int32_t v = nt_const(m->n, 3, vd, nt_floats(m->n, nt_count(3, vd), -1, 1));
        NT_INTS(nt_op(m->n, DV_OP_BINARY, NT_IDS(v, m->id[a]), &out), DV_A_BINARY, DV_BIN_SUB);
        push(m, out, c);
        return;
    case 4: /* views */
        NT_INTS(nt_op(m->n, DV_OP_RESHAPE, NT_IDS(m->id[a]), &out), DV_A_SHAPE, 1, PIXELS, c);
        NT_INTS(nt_op(m->n, DV_OP_RESHAPE, NT_IDS(out), &out), DV_A_SHAPE, 1, SIDE, SIDE, c);
        push(m, out, c);
        return;
    case 5:
        nt_op(m->n, DV_OP_IDENTITY, NT_IDS(m->id[a]), &out);
        push(m, out, c);
        return;
    case 6:
        NT_INTS(nt_op(m->n, DV_OP_TRANSPOSE, NT_IDS(m->id[a]), &out), DV_A_PERM, 0, 2, 1, 3);
        push(m, out, c);
        return;
    case 7:
        b = pick(m);
        if (c + m->c[b] > 40)
            return;
        NT_INTS(nt_op(m->n, DV_OP_CONCAT, NT_IDS(m->id[a], m->id[b]), &out), DV_A_AXIS, 3);
        push(m, out, c + m->c[b]);
        return;
    case 8:
        if (c < 2)
            return;
        two[0] = nt_tensor(m->n, DV_F32);
        two[1] = nt_tensor(m->n, DV_F32);
        n = nt_node(m->n, DV_OP_SPLIT, 1, &m->id[a], 2, two);
        NT_INTS(n, DV_A_AXIS, -1);
        NT_INTS(n, DV_A_SPLIT, c / 2, c - c / 2);
        push(m, two[0], c / 2);
        push(m, two[1], c - c / 2);
        return;
    case 9:
        NT_INTS(nt_op(m->n, nt_chance(50) ? DV_OP_SOFTMAX : DV_OP_L2_NORM, NT_IDS(m->id[a]), &out),
                DV_A_AXIS, nt_int(1, 3));
        push(m, out, c);
        return;
    default:
        add_conv(m, a);
    }
}

static void random_graph(nt_net *n)
{
    maker m = {.n = n};
    int inputs = (int)nt_int(1, 2);
    for (int i = 0; i < inputs; i++) {
        int64_t xd[4] = {1, SIDE, SIDE, nt_int(1, 2) * 4};
        push(&m, nt_input(n, 4, xd, nt_floats(n, nt_count(4, xd), -1, 1)), xd[3]);
    }
    for (int i = (int)nt_int(3, 26); i > 0; i--)
        add_node(&m);
    int32_t out[4];
    size_t n_out = (size_t)nt_int(1, 3);
    out[0] = m.id[m.count - 1];
    for (size_t i = 1; i < n_out; i++)
        out[i] = m.id[nt_int(0, m.count - 1)]; /* an input, or one twice, is allowed */
    assert_true(dv_graph_set_io(&n->g, n->in, n->n_in, out, n_out));
}

/* ---- what must hold ---- */

static bool overlap(const dv_value *a, const dv_value *b)
{
    return a->count && b->count && a->f < b->f + b->count && b->f < a->f + a->count;
}

/* The step may put its output exactly where value v was: it is an input marked as such. */
static bool may_take(const dv_exec *x, const dv_step *s, const int32_t *value, int32_t v)
{
    const dv_value *o = &x->v[s->node->out[0]];
    for (int j = 0; j < s->node->n_in; j++)
        if (s->node->in[j] >= 0 && value[s->node->in[j]] == v)
            if (!(j < 8 && s->op->in_place >> j & 1) || x->v[s->node->in[j]].f != o->f ||
                x->v[s->node->in[j]].count != o->count)
                return false;
    return true;
}

/* Follows values, not tensors: a view is its source's value, an output in place is a new one. */
static void check_overlaps(nt_net *n, const dv_exec *x, int round)
{
    const dv_graph *g = x->g;
    int32_t *value = nt_mem(n, g->n_tensors * sizeof *value);
    int *first = nt_mem(n, g->n_tensors * sizeof *first),
        *last = nt_mem(n, g->n_tensors * sizeof *last);
    int end = (int)g->n_nodes;
    for (size_t i = 0; i < g->n_tensors; i++) {
        value[i] = (int32_t)i;
        first[i] = last[i] = -2;
    }
    for (size_t i = 0; i < g->n_inputs; i++) {
        first[g->inputs[i]] = -1;
        last[g->inputs[i]] = end;
    }
    for (int i = 0; i < end; i++) {
        const dv_step *s = &x->steps[i];
        if (s->skip) {
            value[s->node->out[0]] = value[s->node->in[0]];
            continue;
        }
        for (int j = 0; j < s->node->n_in; j++)
            if (s->node->in[j] >= 0)
                last[value[s->node->in[j]]] = DV_MAX(last[value[s->node->in[j]]], i);
        for (int j = 0; j < s->node->n_out; j++)
            first[s->node->out[j]] = last[s->node->out[j]] = i;
    }
    for (size_t i = 0; i < g->n_outputs; i++)
        last[value[g->outputs[i]]] = end;
    for (int i = 0; i < end; i++) {
        const dv_step *s = &x->steps[i];
        for (int j = 0; j < s->node->n_out && !s->skip; j++) {
            int32_t o = s->node->out[j];
            const uint8_t *at = (const uint8_t *)x->v[o].f;
            assert_true(at >= x->arena &&
                        at + x->v[o].count * sizeof(float) <= x->arena + x->arena_size);
            assert_int_equal((uintptr_t)at % DV_ALIGN, 0);
            for (int32_t v = 0; v < (int32_t)g->n_tensors; v++) {
                if (v == o || value[v] != v || first[v] == -2 || first[v] > i || last[v] < i ||
                    g->tensors[v].data || !overlap(&x->v[v], &x->v[o]))
                    continue;
                if (last[v] > i || first[v] == i || !may_take(x, s, value, v))
                    fail_msg("graph %d, step %d: tensor %d is written over tensor %d", round, i, o,
                             v);
            }
        }
    }
}

/* Every tensor gets memory of its own; views follow their source. */
static void unshare(nt_net *n, dv_exec *x)
{
    const dv_graph *g = x->g;
    for (size_t i = 0; i < g->n_inputs; i++)
        x->v[g->inputs[i]].f = nt_mem(n, x->v[g->inputs[i]].count * sizeof(float));
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dv_step *s = &x->steps[i];
        for (int j = 0; j < s->node->n_out; j++) {
            dv_value *o = &x->v[s->node->out[j]];
            o->f = s->skip ? x->v[s->node->in[0]].f : nt_mem(n, o->count * sizeof(float));
        }
    }
}

static dv_exec *shaped(const nt_net *n, dv_pool *pool)
{
    const int64_t *dims[NT_INPUTS];
    dv_exec *x;
    dv_err e = {0};
    for (size_t i = 0; i < n->n_in; i++)
        dims[i] = n->dims[i];
    if (dv_exec_open(&n->g, nt_kernels(true), pool, &x, &e) || dv_exec_shape(x, dims, &e))
        fail_msg("%s", e.msg);
    return x;
}

static void fill(const nt_net *n, dv_exec *x)
{
    for (size_t i = 0; i < n->n_in; i++)
        memcpy(dv_exec_input(x, i), n->data[i], x->v[n->in[i]].count * sizeof(float));
}

static void same_outputs(const dv_exec *a, const dv_exec *b, int round, const char *what)
{
    for (size_t i = 0; i < a->g->n_outputs; i++) {
        const dv_value *p = dv_exec_output(a, i), *q = dv_exec_output(b, i);
        assert_int_equal(p->count, q->count);
        for (size_t k = 0; k < p->count; k++)
            if (!(p->f[k] == q->f[k]))
                fail_msg("graph %d, output %zu, element %zu: %g and %g (%s)", round, i, k,
                         (double)p->f[k], (double)q->f[k], what);
    }
}

static void random_graphs(void **state)
{
    for (int round = 0; round < 600; round++) {
        nt_net n;
        nt_open(&n);
        nt_seed(1000 + (uint64_t)round);
        random_graph(&n);
        dv_exec *alone = shaped(&n, NULL);
        unshare(&n, alone);
        fill(&n, alone);
        dv_exec_run(alone);
        for (int threads = 0; threads < 2; threads++) {
            dv_exec *x = shaped(&n, threads ? nt_pool() : NULL);
            check_overlaps(&n, x, round);
            nt_poison(x);
            fill(&n, x);
            uint64_t before = dv_alloc_count();
            dv_exec_run(x);
            assert_int_equal(dv_alloc_count(), before);
            same_outputs(x, alone, round, "shared memory");
            dv_exec_run(x); /* the input is still there */
            same_outputs(x, alone, round, "second run");
            dv_exec_close(&x);
        }
        dv_exec_close(&alone);
        nt_close(&n);
    }
}

/* ---- nets in two parts ---- */

/* Is node i of g before the cut needed for the tensor? */
static bool leads_to(const dv_graph *g, size_t i, size_t end, int32_t tensor)
{
    for (int j = 0; j < g->nodes[i].n_out; j++) {
        if (g->nodes[i].out[j] == tensor)
            return true;
        for (size_t k = i + 1; k < end; k++)
            for (int q = 0; q < g->nodes[k].n_in; q++)
                if (g->nodes[k].in[q] == g->nodes[i].out[j] && leads_to(g, k, end, tensor))
                    return true;
    }
    return false;
}

static void same_values(const dv_value *a, const float *b, int round, const char *what)
{
    if (memcmp(a->f, b, a->count * sizeof(float)))
        fail_msg("graph %d: %s", round, what);
}

/* The first part gives the tensor as a whole run does, it is still there when the rest has run, and
 * the outputs are those of a whole run, with the first part run once or twice. */
static void check_cut(nt_net *n, const dv_exec *alone, int32_t tensor, int round)
{
    dv_err e = {0};
    dv_graph two;
    size_t prefix;
    const dv_graph whole = n->g;
    if (dv_graph_cut(&whole, tensor, &two, &prefix, &e))
        fail_msg("graph %d, tensor %d: %s", round, (int)tensor, e.msg);
    assert_int_equal(two.n_nodes, whole.n_nodes);
    assert_int_equal(two.nodes[prefix - 1].out[two.nodes[prefix - 1].n_out == 2 &&
                                               two.nodes[prefix - 1].out[1] == tensor],
                     tensor);
    for (size_t i = 0; i < prefix; i++)
        assert_true(leads_to(&two, i, prefix, tensor));
    for (int threads = 0; threads < 2; threads++) {
        const int64_t *dims[NT_INPUTS];
        dv_exec *x;
        for (size_t i = 0; i < n->n_in; i++)
            dims[i] = n->dims[i];
        assert_int_equal(dv_exec_open(&two, nt_kernels(true), threads ? nt_pool() : NULL, &x, &e),
                         DMV_OK);
        x->cut = prefix;
        x->feature = tensor;
        if (dv_exec_shape(x, dims, &e))
            fail_msg("%s", e.msg);
        n->g = two;
        check_overlaps(n, x, round);
        n->g = whole;
        nt_poison(x);
        fill(n, x);
        const float *want = alone->v[tensor].f;
        uint64_t before = dv_alloc_count();
        for (int runs = 1; runs < 3; runs++) {
            for (int r = 0; r < runs; r++)
                dv_exec_run_part(x, 0, x->cut);
            same_values(&x->v[tensor], want, round, "the feature after the first part");
            dv_exec_run_part(x, x->cut, two.n_nodes);
            same_values(&x->v[tensor], want, round, "the feature after the rest");
            same_outputs(x, alone, round, "two parts");
        }
        assert_int_equal(dv_alloc_count(), before);
        dv_exec_close(&x);
    }
    dv_graph_free(&two);
}

static void cut_graphs(void **state)
{
    int cuts = 0, inner = 0;
    for (int round = 0; round < 300; round++) {
        nt_net n;
        nt_open(&n);
        nt_seed(5000 + (uint64_t)round);
        random_graph(&n);
        dv_exec *alone = shaped(&n, NULL);
        unshare(&n, alone);
        fill(&n, alone);
        dv_exec_run(alone);
        for (int k = 0; k < 3; k++) {
            const dv_node *node = &n.g.nodes[nt_int(0, (int64_t)n.g.n_nodes - 1)];
            inner += node != &n.g.nodes[n.g.n_nodes - 1];
            check_cut(&n, alone, node->out[nt_int(0, node->n_out - 1)], round);
            cuts++;
        }
        dv_exec_close(&alone);
        nt_close(&n);
    }
    assert_true(inner > cuts / 2);
}

static void cut_refusals(void **state)
{
    nt_net n;
    nt_open(&n);
    nt_seed(5);
    random_graph(&n);
    dv_err e;
    dv_graph two;
    size_t prefix = 7;
    float one = 1;
    int64_t d[1] = {1};
    int32_t constant = nt_const(&n, 1, d, &one), loose = nt_tensor(&n, DV_F32), out;
    nt_op(&n, DV_OP_IDENTITY, NT_IDS(constant), &out); /* computed, but not from the input */
    const int32_t bad[] = {-1, 100000, n.in[0], constant, loose, out};
    for (size_t i = 0; i < DV_COUNT(bad); i++) {
        e = (dv_err){0};
        assert_int_equal(dv_graph_cut(&n.g, bad[i], &two, &prefix, &e), DMV_ERR_ARGUMENT);
        assert_true(e.msg[0] && prefix == 0 && two.n_nodes == 0 && two.tensors == NULL);
    }
    const int32_t good = n.g.outputs[0];
    for (uint64_t fail = 1;; fail++) { /* every allocation fails once */
        dv_alloc_fail_at(fail, false);
        dmv_status st = dv_graph_cut(&n.g, good, &two, &prefix, &e);
        dv_alloc_fail_at(0, false);
        if (st == DMV_OK)
            break;
        assert_int_equal(st, DMV_ERR_MEMORY);
        assert_null(two.tensors);
    }
    dv_graph_free(&two);
    assert_int_equal(dv_graph_find(&n.g, "in0"), n.in[0]);
    assert_int_equal(dv_graph_find(&n.g, "nothing of the kind"), -1);
    assert_int_equal(dv_graph_find(&n.g, NULL), -1);
    assert_int_equal(dv_graph_find(&n.g, "node"), out); /* of several, the last */
    assert_int_equal(dv_graph_find(&n.g, "#0"), n.g.nodes[0].out[0]);
    assert_int_equal(dv_graph_find(&n.g, "#1"), n.g.nodes[1].out[0]);
    static const char *const none[] = {"#", "#1x", "#99999999999999999999999", "# 1", "#-1",
                                       "",  "w"};
    for (size_t i = 0; i < DV_COUNT(none); i++)
        assert_int_equal(dv_graph_find(&n.g, none[i]), -1);
    nt_close(&n);
}

/* A chain needs its input and two buffers, however long it is. */
static void chain_is_small(void **state)
{
    for (int conv = 0; conv < 2; conv++) {
        nt_net n;
        nt_open(&n);
        nt_seed(80);
        int64_t xd[4] = {1, 16, 16, 16}, wd[4] = {3, 3, 16, 16};
        int32_t t = nt_input(&n, 4, xd, nt_floats(&n, nt_count(4, xd), -1, 1));
        for (int i = 0; i < 12; i++) {
            if (!conv) {
                NT_INTS(nt_op(&n, DV_OP_ACT, NT_IDS(t), &t), DV_A_ACT, DV_ACT_TANH);
                continue;
            }
            int32_t w = nt_const(&n, 4, wd, nt_floats(&n, nt_count(4, wd), -.1f, .1f));
            dv_node *node = nt_op(&n, DV_OP_CONV, NT_IDS(t, w), &t);
            NT_INTS(node, DV_A_KERNEL, 3, 3);
            NT_INTS(node, DV_A_PADS, 1, 1, 1, 1);
        }
        assert_true(dv_graph_set_io(&n.g, n.in, 1, &t, 1));
        dv_exec *x = shaped(&n, NULL);
        size_t one = nt_count(4, xd) * sizeof(float) + 2 * DV_ALIGN;
        assert_true(x->arena_size <= (conv ? 3 : 2) * one);
        dv_exec_close(&x);
        nt_close(&n);
    }
}

/* Other sizes, and back: everything is worked out afresh. */
static void reshaped(void **state)
{
    static const int64_t sides[] = {4, 9, 3, 9, 1, 4};
    nt_net n;
    nt_open(&n);
    nt_seed(81);
    int64_t xd[4] = {1, -9, -9, 5}, wd[4] = {3, 3, 5, 7};
    float *x = nt_floats(&n, 9 * 9 * 5, -1, 1);
    int32_t t = nt_input(&n, 4, xd, x), c, out;
    dv_node *node = nt_op(
        &n, DV_OP_CONV, NT_IDS(t, nt_const(&n, 4, wd, nt_floats(&n, nt_count(4, wd), -1, 1))), &c);
    NT_INTS(node, DV_A_KERNEL, 3, 3);
    NT_INTS(node, DV_A_PADS, 1, 1, 1, 1);
    node = nt_op(&n, DV_OP_REDUCE, NT_IDS(c), &out);
    NT_INTS(node, DV_A_REDUCE, DV_RED_MEAN);
    NT_INTS(node, DV_A_AXES, 1, 2);
    assert_true(dv_graph_set_io(&n.g, n.in, 1, &out, 1));
    float first[DV_COUNT(sides)][7];
    dv_exec *e = shaped(&n, nt_pool());
    for (size_t i = 0; i < DV_COUNT(sides); i++) {
        int64_t d[4] = {1, sides[i], sides[i], 5};
        const int64_t *dims[1] = {d};
        dv_err err;
        assert_int_equal(dv_exec_shape(e, dims, &err), DMV_OK);
        nt_poison(e);
        memcpy(dv_exec_input(e, 0), x, nt_count(4, d) * sizeof(float));
        dv_exec_run(e);
        memcpy(first[i], dv_exec_output(e, 0)->f, sizeof first[i]);
    }
    assert_memory_equal(first[1], first[3], sizeof first[1]);
    assert_memory_equal(first[0], first[5], sizeof first[0]);
    int64_t bad[4] = {1, 0, 4, 5};
    const int64_t *dims[1] = {bad};
    dv_err err;
    assert_int_equal(dv_exec_shape(e, dims, &err), DMV_ERR_ARGUMENT);
    assert_false(e->shaped);
    dv_exec_close(&e);
    nt_close(&n);
}

/* Whatever two tensors may share, they cost nothing in a session either. */
static void session_allocates_nothing(void **state)
{
    nt_net n;
    nt_open(&n);
    nt_seed(82);
    random_graph(&n);
    const dv_meta none = {0};
    uint8_t *file;
    size_t size;
    dv_err e = {0};
    assert_int_equal(dv_dmv_encode(&n.g, &none, &file, &size, &e), DMV_OK);
    dmv_options o;
    dmv_context *ctx;
    dmv_model *m;
    dmv_session *s;
    dmv_options_init(&o);
    o.threads = 3;
    assert_int_equal(dmv_context_open(&o, &ctx), DMV_OK);
    assert_int_equal(dmv_model_open_memory(ctx, file, size, &m), DMV_OK);
    assert_int_equal(dmv_session_open(ctx, m, &s), DMV_OK);
    for (int run = 0; run < 3; run++) {
        uint64_t before = dv_alloc_count();
        for (size_t i = 0; i < n.n_in; i++)
            assert_int_equal(dmv_session_set_input(s, i, n.data[i]), DMV_OK);
        assert_int_equal(dmv_session_run(s), DMV_OK);
        for (size_t i = 0; i < dmv_session_outputs(s); i++) {
            dmv_tensor t;
            assert_int_equal(dmv_session_output(s, i, &t), DMV_OK);
        }
        if (run)
            assert_int_equal(dv_alloc_count(), before);
    }
    assert_true(dmv_session_memory(s) > 0);
    dmv_session_close(&s);
    dmv_model_close(&m);
    dmv_context_close(&ctx);
    dv_free(file);
    nt_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs), cmocka_unit_test(cut_graphs),
        cmocka_unit_test(cut_refusals),  cmocka_unit_test(chain_is_small),
        cmocka_unit_test(reshaped),      cmocka_unit_test(session_allocates_nothing),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nt_shared_close();
    return failed;
}
