/* SPDX-License-Identifier: Apache-2.0
 *
 * test_passes_random.c - nets made at random from a seed: transposes, arithmetic, reshapes,
 * convolutions, reductions in any order, with shared results and several outputs. The passes
 * must not change what such a net computes, and the result must pass dv_graph_check. A
 * failure names its seed; give it as the argument to run that net alone.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/import.h"

#define NETS 400
#define STEPS 14
#define MAX_TENSORS 96

typedef struct maker {
    dv_graph *g;
    dv_kernels k;
    uint32_t seed;
    int32_t t[MAX_TENSORS]; /* float tensors that can be read */
    int64_t d[MAX_TENSORS][DMV_MAX_RANK];
    int rank[MAX_TENSORS];
    int n;
    bool bad;
} maker;

static uint32_t draw(maker *m, uint32_t below)
{
    m->seed = m->seed * 1664525u + 1013904223u;
    return (m->seed >> 8) % below;
}

static float noise(maker *m)
{
    return (float)draw(m, 4001) / 2000 - 1;
}

static int32_t constant(maker *m, int rank, const int64_t *dims, float centre, float spread)
{
    size_t n = 0;
    float *v = dv_count(rank, dims, &n) ? dv_malloc(n * sizeof(*v)) : NULL;
    for (size_t i = 0; v && i < n; i++)
        v[i] = centre + spread * noise(m);
    int32_t t = v ? dv_graph_add_const(m->g, NULL, DV_F32, rank, dims, v) : -1;
    dv_free(v);
    m->bad = m->bad || t < 0;
    return t;
}

/* The graph so far is shaped to learn the dims of what was just added. */
static void learn(maker *m, int32_t t)
{
    dv_exec *x = NULL;
    dv_err e = {0};
    int32_t in = m->g->inputs[0];
    const int64_t *dims = m->g->tensors[in].dims;
    if (m->bad || !dv_graph_set_io(m->g, &in, 1, &t, 1) ||
        dv_exec_open(m->g, &m->k, NULL, &x, &e) || dv_exec_infer(x, &dims, &e)) {
        printf("a net that cannot be shaped: %s\n", e.msg);
        m->bad = true;
    } else if (m->n < MAX_TENSORS && x->v[t].count <= 4000) {
        m->t[m->n] = t;
        m->rank[m->n] = x->v[t].rank;
        memcpy(m->d[m->n], x->v[t].dims, sizeof(m->d[0]));
        m->n++;
    }
    dv_exec_close(&x);
}

static dv_node *last(maker *m)
{
    return &m->g->nodes[m->g->n_nodes - 1];
}

static int32_t add(maker *m, uint16_t op, int n_in, const int32_t *in, int n_out)
{
    int32_t out[4];
    for (int i = 0; i < n_out; i++) {
        out[i] = dv_graph_add_tensor(m->g, NULL, DV_F32, 0, NULL);
        m->bad = m->bad || out[i] < 0;
    }
    if (!m->bad && dv_graph_add_node(m->g, op, NULL, n_in, in, n_out, out) < 0)
        m->bad = true;
    return m->bad ? -1 : out[0];
}

static void ints(maker *m, uint16_t key, int n, const int64_t *v)
{
    if (!m->bad && !dv_node_set_ints(last(m), key, v, (uint32_t)n))
        m->bad = true;
}

static void num(maker *m, uint16_t key, int64_t v)
{
    ints(m, key, 1, &v);
}

static void transpose(maker *m, int at)
{
    static const int64_t usual[2][4] = {{0, 2, 3, 1}, {0, 3, 1, 2}};
    int r = m->rank[at];
    int64_t p[DMV_MAX_RANK];
    for (int i = 0; i < r; i++)
        p[i] = i;
    for (int i = r - 1; i > 0; i--) {
        int k = (int)draw(m, (uint32_t)i + 1);
        int64_t swap = p[i];
        p[i] = p[k];
        p[k] = swap;
    }
    if (r == 4 && draw(m, 3))
        memcpy(p, usual[draw(m, 2)], sizeof(usual[0]));
    int32_t y = add(m, DV_OP_TRANSPOSE, 1, &m->t[at], 1);
    ints(m, DV_A_PERM, r, p);
    learn(m, y);
}

static void activation(maker *m, int at)
{
    static const int kinds[] = {DV_ACT_CLIP, DV_ACT_SIGMOID, DV_ACT_TANH, DV_ACT_LEAKY, DV_ACT_ABS};
    int32_t y = add(m, DV_OP_ACT, 1, &m->t[at], 1);
    num(m, DV_A_ACT, kinds[draw(m, 5)]);
    if (!m->bad)
        m->bad =
            !dv_node_set_float(last(m), DV_A_P, 0.1F) || !dv_node_set_float(last(m), DV_A_Q, 0.9F);
    learn(m, y);
}

/* With a tensor of the same shape, one of the same rank that broadcasts, or a constant. */
static void binary(maker *m, int at)
{
    int r = m->rank[at], other = (int)draw(m, (uint32_t)m->n);
    bool fits = m->rank[other] == r;
    for (int i = 0; fits && i < r; i++)
        fits = m->d[other][i] == m->d[at][i] || m->d[other][i] == 1 || m->d[at][i] == 1;
    int32_t in[2] = {m->t[at], m->t[other]};
    if (!fits) {
        int64_t d[DMV_MAX_RANK];
        int cut = (int)draw(m, (uint32_t)r + 1);
        for (int i = cut; i < r; i++)
            d[i] = draw(m, 2) ? m->d[at][i] : 1;
        in[1] = constant(m, r - cut, d + cut, 1, 0.4F);
    }
    if (draw(m, 4) == 0) {
        int32_t swap = in[0];
        in[0] = in[1];
        in[1] = swap;
    }
    int32_t y = add(m, DV_OP_BINARY, 2, in, 1);
    num(m, DV_A_BINARY, draw(m, 3)); /* add, sub, mul */
    learn(m, y);
}

static void concat(maker *m, int at)
{
    int r = m->rank[at], other = (int)draw(m, (uint32_t)m->n);
    if (r == 0)
        return;
    if (m->rank[other] != r || memcmp(m->d[other], m->d[at], (size_t)r * sizeof(int64_t)))
        other = at;
    int32_t in[3] = {m->t[at], m->t[other], constant(m, r, m->d[at], 0, 1)};
    int32_t y = add(m, DV_OP_CONCAT, 2 + (int)draw(m, 2), in, 1);
    num(m, DV_A_AXIS, (int64_t)draw(m, 2 * (uint32_t)r) - r);
    learn(m, y);
}

static void split(maker *m, int at)
{
    uint32_t r = (uint32_t)m->rank[at];
    if (r == 0)
        return;
    int64_t axis = draw(m, r), size = m->d[at][axis];
    if (size < 2)
        return;
    int64_t first = 1 + draw(m, (uint32_t)size - 1), parts[2] = {first, size - first};
    add(m, DV_OP_SPLIT, 1, &m->t[at], 2);
    num(m, DV_A_AXIS, axis);
    ints(m, DV_A_SPLIT, 2, parts);
    if (m->bad)
        return;
    int32_t out[2] = {last(m)->out[0], last(m)->out[1]};
    learn(m, out[0]);
    learn(m, out[1]);
}

static void slice(maker *m, int at)
{
    uint32_t r = (uint32_t)m->rank[at];
    if (r == 0)
        return;
    int64_t axis = draw(m, r), size = m->d[at][axis], start = draw(m, (uint32_t)size);
    int64_t end = draw(m, 2) ? INT64_MAX : start + 1, step = 1 + draw(m, 2);
    int32_t y = add(m, DV_OP_SLICE, 1, &m->t[at], 1);
    ints(m, DV_A_STARTS, 1, &start);
    ints(m, DV_A_ENDS, 1, &end);
    ints(m, DV_A_AXES, 1, &axis);
    ints(m, DV_A_STEPS, 1, &step);
    learn(m, y);
}

static void pad(maker *m, int at)
{
    int r = m->rank[at];
    int64_t v[2 * DMV_MAX_RANK] = {0};
    if (r == 0)
        return;
    v[draw(m, 2 * (uint32_t)r)] = 1;
    v[draw(m, 2 * (uint32_t)r)] = draw(m, 2);
    int32_t y = add(m, DV_OP_PAD, 1, &m->t[at], 1);
    ints(m, DV_A_PADS, 2 * r, v);
    learn(m, y);
}

static void reduce(maker *m, int at)
{
    static const int kinds[] = {DV_RED_MEAN, DV_RED_MAX, DV_RED_SUM, DV_RED_L2};
    uint32_t r = (uint32_t)m->rank[at];
    if (r == 0)
        return;
    int64_t axes[2] = {draw(m, r), 0};
    axes[1] = (axes[0] + 1) % r;
    int32_t y = add(m, DV_OP_REDUCE, 1, &m->t[at], 1);
    num(m, DV_A_REDUCE, kinds[draw(m, 4)]);
    ints(m, DV_A_AXES, r > 1 ? 1 + (int)draw(m, 2) : 1, axes);
    num(m, DV_A_KEEPDIMS, draw(m, 2));
    learn(m, y);
}

static void along(maker *m, int at)
{
    uint32_t r = (uint32_t)m->rank[at], kind = draw(m, 3);
    if (r == 0)
        return;
    int32_t in[3] = {m->t[at], -1, -1};
    if (kind == 2) {
        in[1] = constant(m, 1, &m->d[at][r - 1], 1, 0.4F);
        int32_t y = add(m, DV_OP_LAYER_NORM, 2, in, 1);
        if (!m->bad)
            m->bad = !dv_node_set_float(last(m), DV_A_EPS, 1e-2F);
        learn(m, y);
        return;
    }
    int32_t y = add(m, kind ? DV_OP_SOFTMAX : DV_OP_L2_NORM, 1, in, 1);
    num(m, DV_A_AXIS, draw(m, r));
    if (!kind && !m->bad)
        m->bad = !dv_node_set_float(last(m), DV_A_EPS, 1e-2F);
    learn(m, y);
}

/* Merges two neighbours, splits an even axis, puts in or takes out a 1, or flattens. */
static void reshape(maker *m, int at)
{
    int r = m->rank[at], n = 0, axis = r ? (int)draw(m, (uint32_t)r) : 0;
    uint32_t kind = draw(m, 4);
    int64_t v[DMV_MAX_RANK + 1];
    for (int i = 0; i < r; i++) {
        int64_t d = m->d[at][i];
        if (kind == 0 && i == axis && i + 1 < r) {
            v[n++] = d * m->d[at][++i];
        } else if (kind == 1 && i == axis && d % 2 == 0 && r < DMV_MAX_RANK) {
            v[n++] = 2;
            v[n++] = d / 2;
        } else if (kind == 2 && i == axis && r < DMV_MAX_RANK) {
            v[n++] = 1;
            v[n++] = d;
        } else if (kind == 3 && i >= 1 && n == 2) {
            v[1] *= d;
        } else {
            v[n++] = d;
        }
    }
    int32_t y = add(m, DV_OP_RESHAPE, 1, &m->t[at], 1);
    ints(m, DV_A_SHAPE, n, v);
    learn(m, y);
}

static void linear(maker *m, int at)
{
    int r = m->rank[at];
    if (r == 0)
        return;
    int64_t d[2] = {m->d[at][r - 1], 1 + draw(m, 6)};
    int32_t in[3] = {m->t[at], constant(m, 2, d, 0, 0.5F), -1};
    if (draw(m, 2))
        in[2] = constant(m, 1, d + 1, 0, 1);
    learn(m, add(m, DV_OP_LINEAR, 3, in, 1));
}

static void conv(maker *m, int at) /* between Transposes, as the importer lowers it */
{
    static const int64_t to[4] = {0, 2, 3, 1}, back[4] = {0, 3, 1, 2};
    if (m->rank[at] != 4)
        return;
    int64_t c = m->d[at][1], k = draw(m, 2) && m->d[at][2] > 2 && m->d[at][3] > 2 ? 3 : 1;
    int64_t groups = draw(m, 3) == 0 ? c : 1, oc = groups == 1 ? 1 + draw(m, 6) : c;
    int64_t w[4] = {k, k, c / groups, oc}, kk[2] = {k, k}, p = draw(m, 2) ? k / 2 : 0;
    int64_t pads[4] = {p, p, p, p};
    int32_t x = add(m, DV_OP_TRANSPOSE, 1, &m->t[at], 1);
    ints(m, DV_A_PERM, 4, to);
    int32_t in[2] = {x, constant(m, 4, w, 0, 0.5F)};
    x = add(m, DV_OP_CONV, 2, in, 1);
    ints(m, DV_A_KERNEL, 2, kk);
    ints(m, DV_A_PADS, 4, pads);
    num(m, DV_A_GROUP, groups);
    x = add(m, DV_OP_TRANSPOSE, 1, &x, 1);
    ints(m, DV_A_PERM, 4, back);
    learn(m, x);
}

static void matmul(maker *m, int at)
{
    int r = m->rank[at], other = (int)draw(m, (uint32_t)m->n);
    if (r < 2)
        return;
    if (m->rank[other] != r || memcmp(m->d[other], m->d[at], (size_t)r * sizeof(int64_t)))
        other = at;
    int64_t p[DMV_MAX_RANK];
    for (int i = 0; i < r; i++)
        p[i] = i;
    p[r - 1] = r - 2;
    p[r - 2] = r - 1;
    int32_t in[2] = {m->t[at], m->t[other]};
    int side = (int)draw(m, 2);
    in[side] = add(m, DV_OP_TRANSPOSE, 1, &in[side], 1);
    ints(m, DV_A_PERM, r, p);
    learn(m, add(m, DV_OP_MATMUL, 2, in, 1));
}

static void make(maker *m, uint32_t seed)
{
    typedef void (*step_fn)(maker *, int);
    static const step_fn steps[] = {transpose, transpose, activation, binary, binary, concat,
                                    split,     slice,     pad,        reduce, along,  reshape,
                                    linear,    conv,      conv,       matmul};
    static const int64_t shapes[3][4] = {{1, 4, 3, 6}, {2, 6, 4, 5}, {1, 8, 5, 1}};
    m->seed = seed * 2654435761u + 1;
    m->n = 0;
    const int64_t *d = shapes[draw(m, 3)];
    int rank = draw(m, 4) ? 4 : 3;
    int32_t in = dv_graph_add_tensor(m->g, "input", DV_F32, rank, d);
    if (in < 0 || !dv_graph_set_io(m->g, &in, 1, &in, 1)) {
        m->bad = true;
        return;
    }
    m->t[0] = in;
    m->rank[0] = rank;
    memcpy(m->d[0], d, (size_t)rank * sizeof(*d));
    m->n = 1;
    for (int i = 0; i < STEPS && !m->bad; i++) {
        uint32_t back = draw(m, 3); /* mostly what came last */
        int at = back ? m->n - 1 : (int)draw(m, (uint32_t)m->n);
        steps[draw(m, DV_COUNT(steps))](m, at);
    }
    int32_t out[3];
    int n = 0;
    for (int i = m->n - 1; i > 0 && n < 3; i -= 1 + (int)draw(m, 3))
        out[n++] = m->t[i];
    if (n == 0)
        out[n++] = add(m, DV_OP_IDENTITY, 1, &in, 1);
    if (!m->bad && !dv_graph_set_io(m->g, &in, 1, out, (size_t)n))
        m->bad = true;
}

static dv_exec *run(const dv_graph *g, const dv_kernels *k, dv_err *e)
{
    dv_exec *x = NULL;
    const int64_t *dims = g->tensors[g->inputs[0]].dims;
    if (dv_exec_open(g, k, NULL, &x, e) || dv_exec_shape(x, &dims, e)) {
        dv_exec_close(&x);
        return NULL;
    }
    uint32_t s = 99;
    for (size_t i = 0; i < x->v[g->inputs[0]].count; i++) {
        s = s * 1664525u + 1013904223u;
        dv_exec_input(x, 0)[i] = (float)(s >> 8) / (float)(1 << 22) - 2;
    }
    dv_exec_run(x);
    return x;
}

static bool same(const dv_graph *a, const dv_graph *b, const dv_kernels *k, dv_err *e)
{
    dv_exec *x = run(a, k, e), *y = run(b, k, e);
    bool ok = x && y && a->n_outputs == b->n_outputs;
    for (size_t o = 0; ok && o < a->n_outputs; o++) {
        const dv_value *p = dv_exec_output(x, o), *q = dv_exec_output(y, o);
        ok = p->rank == q->rank && !memcmp(p->dims, q->dims, (size_t)p->rank * sizeof(p->dims[0]));
        float top = 1, worst = 0;
        for (size_t i = 0; ok && i < p->count; i++) {
            top = fmaxf(top, fabsf(p->f[i]));
            worst = fmaxf(worst, fabsf(p->f[i] - q->f[i]));
            ok = isfinite(p->f[i]) ? isfinite(q->f[i]) : true;
        }
        if (ok && worst > 2e-4F * top) {
            snprintf(e->msg, sizeof e->msg, "output %zu differs by %g of %g", o, (double)worst,
                     (double)top);
            ok = false;
        }
    }
    dv_exec_close(&x);
    dv_exec_close(&y);
    return ok;
}

int main(int argc, char **argv)
{
    uint32_t first = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    uint32_t end = argc > 1 ? first + 1 : NETS, wrong = 0;
    size_t before = 0, after = 0;
    for (uint32_t seed = first; seed < end; seed++) {
        dv_graph a, b;
        dv_err e = {0};
        maker m = {.g = &a};
        dv_import_report report;
        dv_kernels_init(&m.k, 0);
        dv_graph_init(&a);
        dv_graph_init(&b);
        make(&m, seed);
        bool ok = !m.bad;
        m.g = &b;
        make(&m, seed);
        ok = ok && !m.bad && dv_import_optimise(&b, &report, &e) == DMV_OK &&
             dv_graph_check(&b, &e) == DMV_OK && same(&a, &b, &m.k, &e);
        if (ok) {
            before += report.nodes_before;
            after += report.nodes_after;
        } else {
            printf("seed %u: %s\n", seed, e.msg[0] ? e.msg : "failed");
            wrong++;
        }
        dv_graph_free(&a);
        dv_graph_free(&b);
    }
    printf("%u nets, %zu nodes -> %zu, %u wrong\n", end - first, before, after, wrong);
    return wrong ? 1 : 0;
}
