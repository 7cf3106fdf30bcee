/* SPDX-License-Identifier: Apache-2.0
 *
 * test_passes.c - the graph passes on small nets built by hand. Each net is built twice; one
 * copy is optimised. Both run on the same random input and must agree to 1e-5, and the
 * optimised one must consist of exactly the nodes expected.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "import/import.h"

static dv_graph *G;   /* the graph under construction */
static uint32_t seed; /* constants are the same in both copies */

static float noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (float)(1 << 23) - 1;
}

/* ---- building ---- */

typedef struct shape {
    int rank;
    int64_t d[DMV_MAX_RANK];
} shape;

#define DIMS(...)                                                  \
    (shape)                                                        \
    {                                                              \
        (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
        {                                                          \
            __VA_ARGS__                                            \
        }                                                          \
    }

static int32_t input(shape s)
{
    int32_t t = dv_graph_add_tensor(G, "input", DV_F32, s.rank, s.d);
    assert_true(t >= 0);
    assert_true(dv_graph_set_io(G, &t, 1, NULL, 0));
    return t;
}

static void outputs(int n, const int32_t *out)
{
    int32_t in = G->inputs[0];
    assert_true(dv_graph_set_io(G, &in, 1, out, (size_t)n));
}

static void output(int32_t t)
{
    outputs(1, &t);
}

/* Random values in centre - spread .. centre + spread. */
static int32_t weights(shape s, float centre, float spread)
{
    size_t n;
    assert_true(dv_count(s.rank, s.d, &n));
    float *v = malloc(n * sizeof(*v));
    assert_non_null(v);
    for (size_t i = 0; i < n; i++)
        v[i] = centre + spread * noise();
    int32_t t = dv_graph_add_const(G, NULL, DV_F32, s.rank, s.d, v);
    free(v);
    assert_true(t >= 0);
    return t;
}

static int32_t scalar(float v)
{
    int32_t t = dv_graph_add_const(G, NULL, DV_F32, 0, NULL, &v);
    assert_true(t >= 0);
    return t;
}

static int32_t ints(shape s)
{
    int64_t n = s.rank;
    int32_t t = dv_graph_add_const(G, NULL, DV_I64, 1, &n, s.d);
    assert_true(t >= 0);
    return t;
}

static int32_t index_of(int64_t v)
{
    int32_t t = dv_graph_add_const(G, NULL, DV_I64, 0, NULL, &v);
    assert_true(t >= 0);
    return t;
}

static dv_node *last(void)
{
    return &G->nodes[G->n_nodes - 1];
}

static int32_t node(uint16_t op, dv_dtype type, int n_in, const int32_t *in)
{
    int32_t t = dv_graph_add_tensor(G, NULL, type, 0, NULL);
    assert_true(t >= 0);
    assert_true(dv_graph_add_node(G, op, NULL, n_in, in, 1, &t) >= 0);
    return t;
}

static void set(uint16_t key, shape v)
{
    assert_true(dv_node_set_ints(last(), key, v.d, (uint32_t)v.rank));
}

static void set_int(uint16_t key, int64_t v)
{
    assert_true(dv_node_set_int(last(), key, v));
}

static void set_float(uint16_t key, float v)
{
    assert_true(dv_node_set_float(last(), key, v));
}

static int32_t act(int32_t x, int kind, float p, float q)
{
    int32_t y = node(DV_OP_ACT, DV_F32, 1, &x);
    set_int(DV_A_ACT, kind);
    set_float(DV_A_P, p);
    set_float(DV_A_Q, q);
    return y;
}

static int32_t relu(int32_t x)
{
    return act(x, DV_ACT_CLIP, 0, INFINITY);
}

static int32_t bin(int op, int32_t a, int32_t b)
{
    int32_t in[2] = {a, b}, y = node(DV_OP_BINARY, DV_F32, 2, in);
    set_int(DV_A_BINARY, op);
    return y;
}

static int32_t transpose(int32_t x, shape perm)
{
    int32_t y = node(DV_OP_TRANSPOSE, DV_F32, 1, &x);
    set(DV_A_PERM, perm);
    return y;
}

static int32_t nhwc(int32_t x)
{
    return transpose(x, DIMS(0, 2, 3, 1));
}

static int32_t nchw(int32_t x)
{
    return transpose(x, DIMS(0, 3, 1, 2));
}

static int32_t reshape(int32_t x, shape to)
{
    int32_t in[2] = {x, ints(to)};
    return node(DV_OP_RESHAPE, DV_F32, 2, in);
}

static int32_t reduce(int32_t x, int kind, shape axes, int keep)
{
    int32_t y = node(DV_OP_REDUCE, DV_F32, 1, &x);
    set_int(DV_A_REDUCE, kind);
    set(DV_A_AXES, axes);
    set_int(DV_A_KEEPDIMS, keep);
    return y;
}

/* A convolution as the importer lowers it: x and the result are NCHW. */
static int32_t conv(int32_t x, int k, int stride, int pad, int ic, int oc, int groups)
{
    int32_t in[3] = {nhwc(x), weights(DIMS(k, k, ic / groups, oc), 0, 0.5F),
                     weights(DIMS(oc), 0, 1)};
    int32_t y = node(DV_OP_CONV, DV_F32, 3, in);
    set(DV_A_KERNEL, DIMS(k, k));
    set(DV_A_STRIDE, DIMS(stride, stride));
    set(DV_A_PADS, DIMS(pad, pad, pad, pad));
    set_int(DV_A_GROUP, groups);
    return nchw(y);
}

static int32_t linear(int32_t x, int k, int n)
{
    int32_t in[2] = {x, weights(DIMS(k, n), 0, 0.5F)};
    return bin(DV_BIN_ADD, node(DV_OP_LINEAR, DV_F32, 2, in), weights(DIMS(n), 0, 1));
}

/* Batch normalisation as the importer lowers it. */
static int32_t norm(int32_t x, int c)
{
    x = bin(DV_BIN_MUL, x, weights(DIMS(1, c, 1, 1), 1, 0.5F));
    return bin(DV_BIN_ADD, x, weights(DIMS(1, c, 1, 1), 0, 1));
}

static int32_t concat(int32_t a, int32_t b, int axis)
{
    int32_t in[2] = {a, b}, y = node(DV_OP_CONCAT, DV_F32, 2, in);
    set_int(DV_A_AXIS, axis);
    return y;
}

/* ---- comparing ---- */

static dv_exec *run(const dv_graph *g, const dv_kernels *k, int64_t free_size)
{
    dv_exec *x = NULL;
    dv_err e = {0};
    int64_t d[DMV_MAX_RANK];
    const int64_t *dims = d;
    const dv_gtensor *in = &g->tensors[g->inputs[0]];
    for (int i = 0; i < in->rank; i++)
        d[i] = in->dims[i] < 0 ? free_size + i : in->dims[i];
    if (dv_exec_open(g, k, NULL, &x, &e) || dv_exec_shape(x, &dims, &e))
        fail_msg("%s", e.msg);
    seed = 12345;
    for (size_t i = 0; i < x->v[g->inputs[0]].count; i++)
        dv_exec_input(x, 0)[i] = 4 * noise();
    dv_exec_run(x);
    return x;
}

static void compare(const dv_graph *a, const dv_graph *b, int64_t free_size)
{
    dv_kernels k;
    dv_kernels_init(&k, 0);
    dv_exec *x = run(a, &k, free_size), *y = run(b, &k, free_size);
    assert_int_equal(a->n_outputs, b->n_outputs);
    for (size_t o = 0; o < a->n_outputs; o++) {
        const dv_value *p = dv_exec_output(x, o), *q = dv_exec_output(y, o);
        float top = 1, worst = 0;
        assert_int_equal(p->rank, q->rank);
        assert_memory_equal(p->dims, q->dims, (size_t)p->rank * sizeof(p->dims[0]));
        for (size_t i = 0; i < p->count; i++) {
            assert_true(isfinite(p->f[i]) && isfinite(q->f[i]));
            top = fmaxf(top, fabsf(p->f[i]));
            worst = fmaxf(worst, fabsf(p->f[i] - q->f[i]));
        }
        if (worst > 1e-5F * top)
            fail_msg("output %zu differs by %g (largest value %g)", o, (double)worst, (double)top);
    }
    dv_exec_close(&x);
    dv_exec_close(&y);
}

typedef void (*build_fn)(void);

static void build(build_fn fn, dv_graph *g)
{
    dv_graph_init(g);
    G = g;
    seed = 7;
    fn();
}

/* Op numbers and how often each occurs, ended by 0. */
static void expect(build_fn fn, const int *want)
{
    dv_graph a, b;
    dv_err e = {0};
    dv_import_report report;
    int have[DV_OP_COUNT] = {0}, total = 0;
    build(fn, &a);
    build(fn, &b);
    if (dv_import_optimise(&b, &report, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(dv_graph_check(&b, &e), DMV_OK);
    compare(&a, &b, 40);
    for (size_t i = 0; i < b.n_nodes; i++)
        have[b.nodes[i].op]++;
    bool right = true;
    for (int i = 0; want[i]; i += 2) {
        right = right && have[want[i]] == want[i + 1];
        total += want[i + 1];
    }
    if (!right || b.n_nodes != (size_t)total) {
        for (size_t i = 0; i < b.n_nodes; i++)
            print_message("%s ", dv_op_name(b.nodes[i].op));
        fail_msg("these are not the nodes expected");
    }
    assert_int_equal(report.nodes_after, total);
    assert_int_equal(report.transposes_left, have[DV_OP_TRANSPOSE]);
    dv_graph_free(&a);
    dv_graph_free(&b);
}

#define EXPECT(fn, ...) expect(fn, (int[]){__VA_ARGS__, 0})

/* ---- folding constants ---- */

static void shape_chain(void)
{
    int32_t x = input(DIMS(2, 3, 4, 5)), s = node(DV_OP_SHAPE, DV_I64, 1, &x);
    int32_t pick[2] = {s, index_of(0)}, n = node(DV_OP_GATHER, DV_I64, 2, pick);
    set_int(DV_A_AXIS, 0);
    n = node(DV_OP_UNSQUEEZE, DV_I64, 1, &n);
    set(DV_A_AXES, DIMS(0));
    int32_t parts[2] = {n, ints(DIMS(-1))}, to = node(DV_OP_CONCAT, DV_I64, 2, parts);
    set_int(DV_A_AXIS, 0);
    int32_t in[2] = {x, to};
    int32_t c = bin(DV_BIN_MUL, weights(DIMS(60), 0, 1), scalar(3));
    output(bin(DV_BIN_ADD, node(DV_OP_RESHAPE, DV_F32, 2, in), act(c, DV_ACT_ABS, 0, 0)));
}

static void slices(void)
{
    int32_t x = input(DIMS(2, 6, 5));
    int32_t in[4] = {x, ints(DIMS(1)), ints(DIMS(INT64_MAX)), ints(DIMS(1))};
    int32_t y = node(DV_OP_SLICE, DV_F32, 4, in);
    in[1] = ints(DIMS(0));
    int32_t all = node(DV_OP_SLICE, DV_F32, 4, in);
    int32_t pads[2] = {all, ints(DIMS(0, 0, 0, 0, 0, 0))};
    int32_t out[2] = {y, relu(node(DV_OP_PAD, DV_F32, 2, pads))};
    outputs(2, out);
}

static void test_fold(void **state)
{
    (void)state;
    EXPECT(shape_chain, DV_OP_RESHAPE, 1, DV_OP_BINARY, 1);
    EXPECT(slices, DV_OP_SLICE, 1, DV_OP_ACT, 1);
}

/* ---- recognising ---- */

static int32_t spelled_norm(int32_t x, int axis, int variant)
{
    int32_t d = bin(DV_BIN_SUB, x, reduce(x, DV_RED_MEAN, DIMS(axis), 1));
    int32_t sq = variant ? bin(DV_BIN_MUL, d, d) : bin(DV_BIN_POW, d, scalar(2));
    int32_t v = bin(DV_BIN_ADD, reduce(sq, DV_RED_MEAN, DIMS(axis), 1), scalar(1e-6F));
    int32_t s = variant ? bin(DV_BIN_POW, v, scalar(0.5F)) : act(v, DV_ACT_SQRT, 0, 0);
    return variant ? bin(DV_BIN_MUL, d, bin(DV_BIN_DIV, scalar(1), s)) : bin(DV_BIN_DIV, d, s);
}

static void layer_norm_last(void)
{
    int32_t x = input(DIMS(2, 5, 8)), y = spelled_norm(x, -1, 0);
    y = bin(DV_BIN_MUL, y, weights(DIMS(8), 1, 0.5F));
    output(bin(DV_BIN_ADD, y, weights(DIMS(8), 0, 1)));
}

static void layer_norm_channels(void) /* ConvNeXt: over axis 1 of NCHW, between convolutions */
{
    int32_t x = conv(input(DIMS(1, 3, 6, 7)), 3, 1, 1, 3, 8, 1), y = spelled_norm(x, 1, 1);
    y = bin(DV_BIN_MUL, y, weights(DIMS(8, 1, 1), 1, 0.5F));
    y = bin(DV_BIN_ADD, y, weights(DIMS(8, 1, 1), 0, 1));
    output(conv(y, 1, 1, 0, 8, 4, 1));
}

static int32_t spelled_gelu(int32_t x, int variant)
{
    int32_t z = variant & 1 ? bin(DV_BIN_DIV, x, scalar(1.41421354F))
                            : bin(DV_BIN_MUL, x, scalar(0.70710677F));
    int32_t u = bin(DV_BIN_ADD, scalar(1), act(z, DV_ACT_ERF, 0, 0));
    if (variant < 2)
        return bin(DV_BIN_MUL, bin(DV_BIN_MUL, x, u), scalar(0.5F));
    if (variant < 4)
        return bin(DV_BIN_MUL, bin(DV_BIN_MUL, scalar(0.5F), x), u);
    return bin(DV_BIN_MUL, x, bin(DV_BIN_MUL, u, scalar(0.5F)));
}

static void gelus(void)
{
    int32_t x = input(DIMS(3, 40));
    for (int i = 0; i < 6; i++)
        x = bin(DV_BIN_SUB, spelled_gelu(x, i), weights(DIMS(40), 0.3F, 0.1F));
    output(x);
}

static void swishes(void)
{
    int32_t x = input(DIMS(3, 40)), out[6];
    out[0] = bin(DV_BIN_MUL, act(x, DV_ACT_SIGMOID, 0, 0), x);
    out[1] = bin(DV_BIN_MUL, x, act(x, DV_ACT_HSIGMOID, 1 / 6.F, 0.5F));
    int32_t clip = act(bin(DV_BIN_ADD, x, scalar(3)), DV_ACT_CLIP, 0, 6);
    out[2] = bin(DV_BIN_DIV, bin(DV_BIN_MUL, x, clip), scalar(6));
    out[3] = bin(DV_BIN_MUL, bin(DV_BIN_DIV, clip, scalar(6)), bin(DV_BIN_ADD, x, scalar(1)));
    out[4] = bin(DV_BIN_MAX, x, bin(DV_BIN_MUL, x, scalar(0.1F)));
    out[5] = bin(DV_BIN_MIN, scalar(0.5F), x);
    outputs(6, out);
}

static void l2_norms(void)
{
    int32_t x = input(DIMS(2, 3, 8)), out[3];
    out[0] = bin(DV_BIN_DIV, x, bin(DV_BIN_MAX, reduce(x, DV_RED_L2, DIMS(2), 1), scalar(1e-12F)));
    int32_t clip = act(reduce(x, DV_RED_L2, DIMS(1), 1), DV_ACT_CLIP, 1e-12F, INFINITY);
    int32_t in[2] = {clip, ints(DIMS(2, 3, 8))};
    out[1] = bin(DV_BIN_DIV, x, node(DV_OP_EXPAND, DV_F32, 2, in));
    int32_t sum = reduce(bin(DV_BIN_POW, x, scalar(2)), DV_RED_SUM, DIMS(0), 1);
    out[2] = bin(DV_BIN_DIV, x, act(sum, DV_ACT_SQRT, 0, 0));
    outputs(3, out);
}

static void shuffles(void)
{
    int32_t x = conv(input(DIMS(1, 3, 6, 5)), 1, 1, 0, 3, 12, 1);
    x = reshape(x, DIMS(1, 3, 4, 6, 5));
    x = transpose(x, DIMS(0, 2, 1, 3, 4));
    x = conv(reshape(x, DIMS(1, -1, 6, 5)), 1, 1, 0, 12, 12, 1);
    x = reshape(x, DIMS(6, 2, 30));
    x = transpose(x, DIMS(1, 0, 2));
    x = reshape(x, DIMS(2, -1, 6, 6, 5));
    int32_t half[2];
    for (int i = 0; i < 2; i++) {
        int32_t in[2] = {x, index_of(i)};
        half[i] = node(DV_OP_GATHER, DV_F32, 2, in);
        set_int(DV_A_AXIS, 0);
    }
    output(concat(half[0], conv(half[1], 3, 1, 1, 6, 6, 6), 1));
}

static void excite_conv(void)
{
    int32_t x = conv(input(DIMS(1, 3, 6, 5)), 3, 1, 1, 3, 8, 1);
    int32_t s = relu(conv(reduce(x, DV_RED_MEAN, DIMS(2, 3), 1), 1, 1, 0, 8, 3, 1));
    s = act(conv(s, 1, 1, 0, 3, 8, 1), DV_ACT_SIGMOID, 0, 0);
    output(bin(DV_BIN_MUL, x, s));
}

static void excite_linear(void)
{
    int32_t x = conv(input(DIMS(1, 3, 6, 5)), 3, 1, 1, 3, 8, 1);
    int32_t s = relu(linear(reduce(x, DV_RED_MEAN, DIMS(2, 3), 0), 8, 3));
    s = act(linear(s, 3, 8), DV_ACT_HSIGMOID, 0.2F, 0.5F);
    s = node(DV_OP_UNSQUEEZE, DV_F32, 1, &s);
    set(DV_A_AXES, DIMS(2, 3));
    output(bin(DV_BIN_MUL, s, x));
}

static void test_recognise(void **state)
{
    (void)state;
    EXPECT(layer_norm_last, DV_OP_LAYER_NORM, 1);
    EXPECT(layer_norm_channels, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 2, DV_OP_LAYER_NORM, 1);
    EXPECT(gelus, DV_OP_ACT, 6, DV_OP_BINARY, 6);
    EXPECT(swishes, DV_OP_ACT, 6, DV_OP_BINARY, 2);
    EXPECT(l2_norms, DV_OP_L2_NORM, 3);
    EXPECT(shuffles, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 3, DV_OP_CHANNEL_SHUFFLE, 1, DV_OP_SLICE, 2,
           DV_OP_CONCAT, 1);
    EXPECT(excite_conv, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 1, DV_OP_SE, 1);
    EXPECT(excite_linear, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 1, DV_OP_SE, 1);
}

/* ---- into weights ---- */

static void batch_norms(void) /* after each kind of layer */
{
    int32_t x = norm(conv(input(DIMS(1, 3, 8, 9)), 3, 2, 1, 3, 8, 1), 8);
    x = norm(conv(x, 3, 1, 1, 8, 8, 8), 8);
    x = norm(conv(x, 3, 1, 1, 8, 12, 4), 12);
    int32_t in[2] = {nhwc(x), weights(DIMS(12, 2 * 2 * 5), 0, 0.5F)};
    x = node(DV_OP_CONV_TRANSPOSE, DV_F32, 2, in);
    set(DV_A_KERNEL, DIMS(2, 2));
    set(DV_A_STRIDE, DIMS(2, 2));
    x = norm(nchw(x), 5);
    output(bin(DV_BIN_SUB, scalar(2), bin(DV_BIN_DIV, x, scalar(3))));
}

static void norms_before(void) /* no padding: all of it; padding: the factor */
{
    int32_t x = conv(norm(input(DIMS(1, 4, 8, 9)), 4), 3, 1, 0, 4, 6, 2);
    x = bin(DV_BIN_MUL, relu(x), weights(DIMS(6, 1, 1), 1, 0.5F));
    x = conv(x, 3, 1, 1, 6, 6, 6);
    x = conv(norm(relu(x), 6), 3, 1, 1, 6, 5, 1);
    output(x);
}

static void linear_arithmetic(void)
{
    int32_t x = bin(DV_BIN_ADD, input(DIMS(2, 3, 8)), weights(DIMS(8), 0, 1));
    x = linear(bin(DV_BIN_MUL, x, weights(DIMS(8), 1, 0.5F)), 8, 6);
    x = bin(DV_BIN_MUL, x, weights(DIMS(1, 1, 6), 1, 0.5F));
    int32_t in[2] = {x, weights(DIMS(1, 5, 6), 0, 1)};
    x = node(DV_OP_MATMUL, DV_F32, 2, in);
    set_int(DV_A_TRANS_B, 1);
    int32_t pair[2] = {x, transpose(x, DIMS(0, 2, 1))};
    x = bin(DV_BIN_MUL, node(DV_OP_MATMUL, DV_F32, 2, pair), scalar(0.25F));
    output(x);
}

static int32_t padded(int32_t x, int64_t t, int64_t l, int64_t b, int64_t r)
{
    x = node(DV_OP_PAD, DV_F32, 1, &x);
    set(DV_A_PADS, DIMS(0, 0, t, l));
    int64_t all[8] = {0, 0, t, l, 0, 0, b, r};
    assert_true(dv_node_set_ints(last(), DV_A_PADS, all, 8));
    return x;
}

static void pads(void)
{
    int32_t x = conv(padded(input(DIMS(1, 3, 7, 6)), 1, 1, 0, 1), 3, 1, 1, 3, 4, 1);
    x = nhwc(padded(x, 1, 1, 1, 1));
    x = node(DV_OP_AVG_POOL, DV_F32, 1, &x);
    set(DV_A_KERNEL, DIMS(3, 3));
    set(DV_A_STRIDE, DIMS(2, 2));
    output(nchw(x));
}

static void test_weights(void **state)
{
    (void)state;
    EXPECT(batch_norms, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 3, DV_OP_CONV_TRANSPOSE, 1);
    EXPECT(norms_before, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 4);
    EXPECT(linear_arithmetic, DV_OP_LINEAR, 2, DV_OP_MATMUL, 1);
    EXPECT(pads, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 1, DV_OP_AVG_POOL, 1);
}

/* ---- layout ---- */

static void through_everything(void)
{
    int32_t x = conv(input(DIMS(1, 3, 9, 8)), 3, 1, 1, 3, 6, 1);
    int32_t in[2] = {bin(DV_BIN_MUL, x, act(x, DV_ACT_ABS, 0, 0)),
                     weights(DIMS(6, 1, 1), 0.3F, 0.1F)};
    x = node(DV_OP_PRELU, DV_F32, 2, in);
    int32_t part[3] = {-1, -1, -1};
    for (int i = 0; i < 3; i++) {
        part[i] = dv_graph_add_tensor(G, NULL, DV_F32, 0, NULL);
        assert_true(part[i] >= 0);
    }
    assert_true(dv_graph_add_node(G, DV_OP_SPLIT, NULL, 1, &x, 3, part) >= 0);
    set_int(DV_A_AXIS, -3);
    set(DV_A_SPLIT, DIMS(2, 1, 3));
    x = concat(concat(part[1], part[0], 1), part[2], 1);
    x = node(DV_OP_SLICE, DV_F32, 1, &x);
    set(DV_A_STARTS, DIMS(1, 2));
    set(DV_A_ENDS, DIMS(8, 7));
    set(DV_A_AXES, DIMS(2, -1));
    set(DV_A_STEPS, DIMS(2, 1));
    x = node(DV_OP_SOFTMAX, DV_F32, 1, &x);
    set_int(DV_A_AXIS, 1);
    x = bin(DV_BIN_ADD, x, weights(DIMS(4, 5), 0, 1));
    x = node(DV_OP_L2_NORM, DV_F32, 1, &x);
    set_int(DV_A_AXIS, 2);
    x = conv(x, 1, 1, 0, 6, 7, 1);
    output(reduce(x, DV_RED_MAX, DIMS(2, 3), 0));
}

static void tokens(void) /* NCHW map to tokens and back, as in hybrid nets */
{
    int32_t x = conv(input(DIMS(1, 3, 4, 6)), 3, 1, 1, 3, 8, 1);
    int32_t y = transpose(reshape(x, DIMS(0, 8, 24)), DIMS(0, 2, 1));
    y = linear(y, 8, 8);
    y = reshape(transpose(y, DIMS(0, 2, 1)), DIMS(1, 8, 4, 6));
    output(conv(bin(DV_BIN_ADD, x, y), 3, 1, 1, 8, 4, 1));
}

static void flattened(void) /* the order of a Linear's rows changes instead */
{
    int32_t x = input(DIMS(1, 3, 4, 6));
    int32_t a = reshape(relu(conv(x, 3, 1, 1, 3, 5, 1)), DIMS(1, -1));
    int32_t b = conv(x, 1, 1, 0, 3, 5, 1);
    b = node(DV_OP_FLATTEN, DV_F32, 1, &b);
    set_int(DV_A_AXIS, 1);
    int32_t out[2] = {linear(bin(DV_BIN_MUL, a, b), 120, 7), linear(a, 120, 3)};
    outputs(2, out);
}

static void one_sided(void) /* a branch that is not transposed joins ones that are */
{
    int32_t x = input(DIMS(1, 4, 5, 6));
    int32_t y = conv(x, 3, 1, 1, 4, 4, 1);
    output(conv(bin(DV_BIN_MAX, x, y), 3, 1, 1, 4, 4, 1));
}

static void to_identity(void) /* outputs that are an input, a constant's double, each other */
{
    int32_t x = input(DIMS(2, 3, 4, 5)), out[3];
    out[0] = nchw(nhwc(x));
    out[1] = relu(nchw(relu(nhwc(x))));
    out[2] = transpose(transpose(out[1], DIMS(3, 2, 1, 0)), DIMS(3, 2, 1, 0));
    outputs(3, out);
}

static void test_layout(void **state)
{
    (void)state;
    EXPECT(through_everything, DV_OP_TRANSPOSE, 1, DV_OP_CONV, 2, DV_OP_ACT, 1, DV_OP_BINARY, 2,
           DV_OP_PRELU, 1, DV_OP_SPLIT, 1, DV_OP_CONCAT, 2, DV_OP_SLICE, 1, DV_OP_SOFTMAX, 1,
           DV_OP_L2_NORM, 1, DV_OP_REDUCE, 1);
    EXPECT(tokens, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 2, DV_OP_LINEAR, 1, DV_OP_RESHAPE, 2,
           DV_OP_BINARY, 1);
    EXPECT(flattened, DV_OP_TRANSPOSE, 1, DV_OP_CONV, 2, DV_OP_BINARY, 1, DV_OP_RESHAPE, 2,
           DV_OP_LINEAR, 2);
    EXPECT(one_sided, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 2, DV_OP_BINARY, 1);
    EXPECT(to_identity, DV_OP_ACT, 1, DV_OP_IDENTITY, 2);
}

/* ---- fusing ---- */

static void residual_block(void)
{
    int32_t x = relu(norm(conv(input(DIMS(1, 3, 8, 8)), 3, 2, 1, 3, 8, 1), 8));
    int32_t y = conv(x, 1, 1, 0, 8, 16, 1);
    int32_t in[2] = {norm(y, 16), weights(DIMS(16, 1, 1), 0.3F, 0.1F)};
    y = node(DV_OP_PRELU, DV_F32, 2, in);
    y = act(norm(conv(y, 3, 1, 1, 16, 16, 16), 16), DV_ACT_SWISH, 0, 0);
    y = norm(conv(y, 1, 1, 0, 16, 8, 1), 8);
    x = relu(bin(DV_BIN_ADD, x, y));
    y = bin(DV_BIN_ADD, conv(x, 1, 2, 0, 8, 12, 1), norm(conv(x, 3, 2, 1, 8, 12, 1), 12));
    output(act(y, DV_ACT_LEAKY, 0.2F, 0));
}

static void not_fusable(void) /* results with two readers, or that are outputs */
{
    int32_t x = input(DIMS(2, 8)), a = linear(x, 8, 8), b = linear(a, 8, 8), out[3];
    out[0] = relu(a);
    out[1] = b;
    out[2] = relu(b);
    outputs(3, out);
}

static void scaled_maps(void) /* DenseNet: the sum is read twice, so nothing takes the norm */
{
    int32_t x = conv(input(DIMS(1, 3, 6, 6)), 3, 1, 1, 3, 8, 1);
    int32_t y = conv(relu(norm(x, 8)), 3, 1, 1, 8, 4, 1);
    output(concat(x, y, 1));
}

static void test_fuse(void **state)
{
    (void)state;
    EXPECT(residual_block, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 6);
    EXPECT(not_fusable, DV_OP_LINEAR, 2, DV_OP_ACT, 2);
    EXPECT(scaled_maps, DV_OP_TRANSPOSE, 2, DV_OP_CONV, 3, DV_OP_CONCAT, 1);
}

/* ---- the rest ---- */

static void twice(void) /* equal branches become one; a branch nobody reads goes */
{
    int32_t x = input(DIMS(2, 8)), c = weights(DIMS(8), 0, 1), out[2];
    relu(bin(DV_BIN_MAX, x, c));
    for (int i = 0; i < 2; i++)
        out[i] = act(bin(DV_BIN_MIN, x, c), DV_ACT_EXP, 0, 0);
    output(bin(DV_BIN_SUB, bin(DV_BIN_MUL, out[0], x), bin(DV_BIN_DIV, out[1], scalar(3))));
}

static void free_sizes(void) /* a head as in YuNet, height and width not known */
{
    int32_t x = relu(norm(conv(input(DIMS(1, 3, -1, -1)), 3, 2, 1, 3, 8, 1), 8));
    int32_t y = conv(x, 1, 1, 0, 8, 8, 1), s = node(DV_OP_SHAPE, DV_I64, 1, &y);
    int32_t pick[2] = {s, index_of(0)}, n = node(DV_OP_GATHER, DV_I64, 2, pick);
    n = node(DV_OP_UNSQUEEZE, DV_I64, 1, &n);
    set(DV_A_AXES, DIMS(0));
    int32_t parts[2] = {n, ints(DIMS(-1, 4))}, to = node(DV_OP_CONCAT, DV_I64, 2, parts);
    set_int(DV_A_AXIS, 0);
    int32_t in[2] = {nhwc(bin(DV_BIN_ADD, x, y)), to};
    output(act(node(DV_OP_RESHAPE, DV_F32, 2, in), DV_ACT_SIGMOID, 0, 0));
}

/* Heads as in YuNet: 1, 1, 4 and 10 channels, each a pointwise and a depthwise convolution. */
static void heads(int deep)
{
    static const int width[4] = {1, 1, 4, 10};
    int32_t x = relu(conv(input(DIMS(1, 3, -1, 7)), 3, 1, 1, 3, 16, 1)), out[4];
    for (int i = 0; i < 4; i++) {
        out[i] = conv(x, 1, 1, 0, 16, width[i], 1);
        if (deep)
            out[i] = conv(out[i], 3, 1, 1, width[i], width[i], width[i]);
        if (deep == 2 && i < 2)
            out[i] = act(out[i], DV_ACT_SIGMOID, 0, 0);
        else if (deep == 3)
            out[i] = relu(out[i]);
        out[i] = nhwc(out[i]);
    }
    outputs(4, out);
}

static void heads_flat(void)
{
    heads(0);
}

static void heads_deep(void)
{
    heads(1);
}

static void heads_mixed(void)
{
    heads(2);
}

static void heads_relu(void)
{
    heads(3);
}

static void test_siblings(void **state)
{
    (void)state;
    EXPECT(heads_flat, DV_OP_TRANSPOSE, 1, DV_OP_CONV, 2, DV_OP_SPLIT, 1);
    EXPECT(heads_deep, DV_OP_TRANSPOSE, 1, DV_OP_CONV, 3, DV_OP_SPLIT, 1);
    EXPECT(heads_mixed, DV_OP_TRANSPOSE, 1, DV_OP_CONV, 3, DV_OP_SPLIT, 1, DV_OP_ACT, 2);
    EXPECT(heads_relu, DV_OP_TRANSPOSE, 1, DV_OP_CONV, 3, DV_OP_SPLIT, 1);
}

static void test_whole(void **state)
{
    (void)state;
    EXPECT(twice, DV_OP_BINARY, 4, DV_OP_ACT, 1);
    EXPECT(free_sizes, DV_OP_TRANSPOSE, 1, DV_OP_CONV, 2, DV_OP_RESHAPE, 1);
}

/* An allocation fails: an error, and a graph that can be freed. */
static void test_no_memory(void **state)
{
    static const build_fn nets[] = {shape_chain, layer_norm_channels, shuffles,  excite_linear,
                                    batch_norms, norms_before,        flattened, residual_block,
                                    free_sizes,  heads_mixed};
    (void)state;
    for (size_t i = 0; i < DV_COUNT(nets); i++) {
        dv_graph g;
        dv_err e = {0};
        dmv_status st = DMV_OK;
        uint64_t nth = 1, step = 1;
        do {
            build(nets[i], &g);
            dv_alloc_fail_at(nth, nth % 2 == 0);
            st = dv_import_optimise(&g, NULL, &e);
            dv_alloc_fail_at(0, false);
            dv_graph_free(&g);
            if (st != DMV_OK)
                assert_int_equal(st, DMV_ERR_MEMORY);
            nth += step;
            step = 1 + nth / 40; /* each of the first, then ever fewer */
        } while (st != DMV_OK || nth < 400);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold),     cmocka_unit_test(test_recognise),
        cmocka_unit_test(test_weights),  cmocka_unit_test(test_layout),
        cmocka_unit_test(test_fuse),     cmocka_unit_test(test_whole),
        cmocka_unit_test(test_siblings), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
