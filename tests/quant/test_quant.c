/* SPDX-License-Identifier: Apache-2.0
 *
 * test_quant.c - small float nets with every op that has an 8-bit form are quantised on random
 * samples. The 8-bit net must be close to the float one, give the same bits on every instruction
 * set and thread count, and survive its file. Bad input is refused; failing allocations leave
 * nothing.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nn/bands.h"
#include "quant/quant.h"

static uint32_t seed;

static float noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (float)(1 << 23) - 1;
}

static float normal(void)
{
    return noise() + noise() + noise();
}

/* ---- building ---- */

static int32_t tensor(dv_graph *g)
{
    int64_t none[4] = {-1, -1, -1, -1};
    int32_t t = dv_graph_add_tensor(g, NULL, DV_F32, 4, none);
    assert_true(t >= 0);
    return t;
}

static int32_t weights(dv_graph *g, int rank, const int64_t *d, float centre, float spread)
{
    size_t n;
    assert_true(dv_count(rank, d, &n));
    float *v = malloc(n * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < n; i++)
        v[i] = centre + spread * normal();
    int32_t t = dv_graph_add_const(g, NULL, DV_F32, rank, d, v);
    free(v);
    assert_true(t >= 0);
    return t;
}

static dv_node *last(dv_graph *g)
{
    return &g->nodes[g->n_nodes - 1];
}

static int32_t node(dv_graph *g, uint16_t op, int n_in, const int32_t *in)
{
    int32_t t = tensor(g);
    assert_true(dv_graph_add_node(g, op, NULL, n_in, in, 1, &t) >= 0);
    return t;
}

enum { NOTHING, SLOPED, RELU, RELU6, LEAKY, SWISH };

/* Convolution with bias; then a slope or an activation; add: residual or -1. */
static int32_t conv(dv_graph *g, int32_t x, int k, int stride, int ic, int oc, int groups,
                    int after, int32_t add)
{
    int64_t d[4] = {k, k, ic / groups, oc}, c = oc, kk[2] = {k, k}, s[2] = {stride, stride};
    int64_t p[4] = {k / 2, k / 2, k / 2, k / 2};
    float spread = 1 / sqrtf((float)(k * k * ic / groups));
    int32_t in[5] = {x, weights(g, 4, d, 0, spread), weights(g, 1, &c, 0, 0.2F),
                     after == SLOPED ? weights(g, 1, &c, 0.25F, 0.1F) : -1, add};
    int32_t y = node(g, DV_OP_CONV, 5, in);
    assert_true(dv_node_set_ints(last(g), DV_A_KERNEL, kk, 2));
    assert_true(dv_node_set_ints(last(g), DV_A_STRIDE, s, 2));
    assert_true(dv_node_set_ints(last(g), DV_A_PADS, p, 4));
    assert_true(dv_node_set_int(last(g), DV_A_GROUP, groups));
    if (after == RELU || after == RELU6) {
        assert_true(dv_node_set_int(last(g), DV_A_ACT, DV_ACT_CLIP));
        assert_true(dv_node_set_float(last(g), DV_A_P, 0));
        assert_true(dv_node_set_float(last(g), DV_A_Q, after == RELU ? INFINITY : 1.5F));
    } else if (after == LEAKY || after == SWISH) {
        assert_true(
            dv_node_set_int(last(g), DV_A_ACT, after == LEAKY ? DV_ACT_LEAKY : DV_ACT_SWISH));
        assert_true(dv_node_set_float(last(g), DV_A_P, 0.1F));
    }
    return y;
}

static int32_t linear(dv_graph *g, int32_t x, int k, int n)
{
    int64_t d[2] = {k, n};
    int32_t in[2] = {x, weights(g, 2, d, 0, 1 / sqrtf((float)k))};
    return node(g, DV_OP_LINEAR, 2, in);
}

static int32_t simple(dv_graph *g, uint16_t op, int32_t a, int32_t b, uint16_t key, int64_t v)
{
    int32_t in[2] = {a, b}, y = node(g, op, b < 0 ? 1 : 2, in);
    if (key)
        assert_true(dv_node_set_int(last(g), key, v));
    return y;
}

/* A picture 3 x 21 x 18 in NCHW, through everything. */
static void make_net(dv_graph *g)
{
    static const int64_t in_dims[4] = {1, 3, 21, 18}, to_nhwc[4] = {0, 2, 3, 1}, two[2] = {2, 2};
    seed = 7;
    dv_graph_init(g);
    int32_t in = dv_graph_add_tensor(g, "input", DV_F32, 4, in_dims);
    int32_t x = node(g, DV_OP_TRANSPOSE, 1, &in);
    assert_true(dv_node_set_ints(last(g), DV_A_PERM, to_nhwc, 4));
    x = conv(g, x, 3, 2, 3, 20, 1, SLOPED, -1); /* 11 x 9 */
    int32_t skip = x;
    x = conv(g, x, 1, 1, 20, 40, 1, RELU6, -1);
    x = conv(g, x, 3, 1, 40, 40, 40, LEAKY, -1);
    x = conv(g, x, 1, 1, 40, 20, 1, NOTHING, skip);
    int64_t sd[2] = {20, 5}, sb[2] = {5, 20}, one = 5;
    int32_t se[5] = {x, weights(g, 2, sd, 0, 0.3F), weights(g, 1, &one, 0, 0.1F),
                     weights(g, 2, sb, 0, 0.5F), -1};
    x = node(g, DV_OP_SE, 4, se);
    assert_true(dv_node_set_int(last(g), DV_A_ACT, DV_ACT_CLIP));
    assert_true(dv_node_set_float(last(g), DV_A_Q, INFINITY));
    int32_t a = conv(g, x, 3, 1, 20, 24, 1, SWISH, -1), b = conv(g, x, 5, 1, 20, 20, 20, RELU, -1);
    x = simple(g, DV_OP_CONCAT, a, b, DV_A_AXIS, 3);
    x = simple(g, DV_OP_CHANNEL_SHUFFLE, x, -1, DV_A_GROUP, 4);
    int32_t pool = simple(g, DV_OP_MAX_POOL, x, -1, 0, 0); /* 5 x 4 */
    assert_true(dv_node_set_ints(last(g), DV_A_KERNEL, two, 2));
    assert_true(dv_node_set_ints(last(g), DV_A_STRIDE, two, 2));
    x = conv(g, pool, 3, 1, 44, 44, 1, NOTHING, -1);
    x = simple(g, DV_OP_BINARY, x, pool, DV_A_BINARY, DV_BIN_ADD);
    x = simple(g, DV_OP_ACT, x, -1, DV_A_ACT, DV_ACT_HSWISH);
    x = conv(g, x, 3, 1, 44, 36, 1, SLOPED, -1);
    x = simple(g, DV_OP_FLATTEN, x, -1, DV_A_AXIS, 1);
    x = linear(g, x, 5 * 4 * 36, 30);
    assert_true(dv_graph_set_io(g, &in, 1, &x, 1));
    dv_err e = {0};
    if (dv_graph_check(g, &e))
        fail_msg("%s", e.msg);
}

#define IN_COUNT ((size_t)(3 * 21 * 18))
static const int64_t input_dims[4] = {1, 3, 21, 18};
static const int64_t *const dims[1] = {input_dims};

static dv_quant *opened(const dv_graph *g, const dv_kernels *k, int samples)
{
    dv_quant *q = NULL;
    dv_err e = {0};
    if (dv_quant_open(g, dims, k, NULL, 0, 0, &q, &e))
        fail_msg("%s", e.msg);
    float v[IN_COUNT];
    const float *in = v;
    seed = 99;
    for (int s = 0; s < samples; s++) {
        for (size_t i = 0; i < IN_COUNT; i++)
            v[i] = normal();
        assert_int_equal(dv_quant_add(q, &in, &e), DMV_OK);
    }
    return q;
}

static void built(dv_quant *q, const dv_quant_options *o, dv_graph *g)
{
    dv_err e = {0};
    if (dv_quant_build(q, o, g, &e))
        fail_msg("%s", e.msg);
}

static double cosine(dv_quant *q, const dv_graph *g)
{
    double c;
    dv_err e = {0};
    if (dv_quant_cosine(q, g, SIZE_MAX, &c, &e))
        fail_msg("%s", e.msg);
    return c;
}

static size_t count_ops(const dv_graph *g, uint16_t op)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == op;
    return n;
}

/* ---- tests ---- */

static void test_ways(void **state)
{
    static const struct {
        const char *what;
        dv_quant_options o;
        double least;
    } ways[] = {
        {"minmax", {.method = DV_CALIB_MINMAX}, 0.998},
        {"percentile", {.method = DV_CALIB_PERCENTILE, .percentile = 99.99}, 0.998},
        {"entropy", {.method = DV_CALIB_ENTROPY}, 0.98},
        {"mse", {.method = DV_CALIB_MSE}, 0.998},
        {"bias", {.method = DV_CALIB_MSE, .fix_bias = true}, 0.998},
        {"symmetric", {.method = DV_CALIB_MINMAX, .symmetric = true}, 0.997},
        {"per layer", {.method = DV_CALIB_MINMAX, .per_layer = true}, 0.99},
        {"dynamic", {.dynamic = true}, 0.998},
    };
    (void)state;
    dv_graph g;
    make_net(&g);
    dv_kernels k;
    dv_kernels_init(&k, ~0u);
    dv_quant *q = opened(&g, &k, 12);
    for (size_t i = 0; i < DV_COUNT(ways); i++) {
        dv_graph b;
        built(q, &ways[i].o, &b);
        double c = cosine(q, &b);
        if (!(c >= ways[i].least))
            fail_msg("%s: cosine %f", ways[i].what, c);
        assert_true(c < 1); /* it is not the float net that ran */
        assert_int_equal(count_ops(&b, DV_OP_CONV) + count_ops(&b, DV_OP_LINEAR),
                         ways[i].o.dynamic ? 2 : 0); /* depthwise results are bytes */
        if (!ways[i].o.dynamic) {
            /* nothing between the first layer and the last goes back to floats */
            assert_int_equal(count_ops(&b, DV_OP_QUANTIZE), 1);
            assert_int_equal(count_ops(&b, DV_OP_DEQUANTIZE), 0);
            assert_int_equal(count_ops(&b, DV_OP_Q_SE), 1);
        }
        const dv_quant_row *rows;
        size_t n;
        dv_err e = {0};
        assert_int_equal(dv_quant_compare(q, &b, &rows, &n, &e), DMV_OK);
        assert_true(n >= 11);
        for (size_t r = 0; r < n; r++) {
            assert_true(rows[r].cosine > 0.9 && rows[r].cosine <= 1 + 1e-12);
            assert_true(rows[r].sqnr > 5);
        }
        dv_graph_free(&b);
    }
    dv_quant_close(&q);
    dv_graph_free(&g);
}

static void run_with(const dv_kernels *k, const dv_graph *g, int threads, float *out, size_t *n)
{
    dv_pool *pool = NULL;
    dv_exec *x = NULL;
    dv_err e = {0};
    assert_int_equal(dv_pool_open(threads, &pool, &e), DMV_OK);
    if (dv_exec_open(g, k, pool, &x, &e) || dv_exec_shape(x, dims, &e))
        fail_msg("%s", e.msg);
    seed = 5;
    for (size_t i = 0; i < IN_COUNT; i++)
        dv_exec_input(x, 0)[i] = normal();
    dv_exec_run(x);
    const dv_value *v = dv_exec_output(x, 0);
    *n = v->count;
    memcpy(out, v->f, v->count * sizeof(float));
    dv_exec_close(&x);
    dv_pool_close(&pool);
}

static void run(const dv_graph *g, unsigned cpu, int threads, float *out, size_t *n)
{
    dv_kernels k;
    dv_kernels_init(&k, cpu);
    run_with(&k, g, threads, out, n);
}

/* All layers in bytes but the gate of squeeze-excite, whose floats may differ in the last bit:
 * without it the same bits everywhere. */
static void make_plain(dv_graph *g)
{
    static const int64_t to_nhwc[4] = {0, 2, 3, 1};
    seed = 17;
    dv_graph_init(g);
    int32_t in = dv_graph_add_tensor(g, "input", DV_F32, 4, input_dims);
    int32_t x = node(g, DV_OP_TRANSPOSE, 1, &in);
    assert_true(dv_node_set_ints(last(g), DV_A_PERM, to_nhwc, 4));
    x = conv(g, x, 3, 2, 3, 36, 1, SLOPED, -1);
    int32_t skip = x;
    x = conv(g, x, 1, 1, 36, 68, 1, SWISH, -1);
    x = conv(g, x, 3, 1, 68, 68, 68, RELU, -1);
    x = conv(g, x, 1, 1, 68, 36, 1, NOTHING, skip);
    x = conv(g, x, 3, 1, 36, 33, 1, LEAKY, -1);
    x = simple(g, DV_OP_FLATTEN, x, -1, DV_A_AXIS, 1);
    x = linear(g, x, 11 * 9 * 33, 16);
    assert_true(dv_graph_set_io(g, &in, 1, &x, 1));
}

static void test_same_bits(void **state)
{
    (void)state;
    dv_graph g, b;
    make_plain(&g);
    dv_kernels k;
    dv_kernels_init(&k, ~0u);
    dv_quant *q = opened(&g, &k, 8);
    dv_quant_options o = {.method = DV_CALIB_MSE, .fix_bias = true};
    built(q, &o, &b);
    float want[64], got[64];
    size_t n, m;
    run(&b, 0, 1, want, &n);
    static const unsigned cpus[] = {0, DV_CPU_AVX2, DV_CPU_AVX2 | DV_CPU_AVX512, ~0u};
    for (size_t i = 0; i < DV_COUNT(cpus); i++)
        for (int threads = 1; threads <= 3; threads++) {
            run(&b, cpus[i], threads, got, &m);
            assert_int_equal(n, m);
            assert_memory_equal(want, got, n * sizeof(float));
        }
    /* through a file */
    dv_meta meta = {0};
    uint8_t *data;
    size_t size;
    dv_err e = {0};
    dmv_model *model = NULL;
    if (dv_dmv_encode(&b, &meta, &data, &size, &e) || dv_dmv_parse(data, size, "net", &model, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(data[8], 2); /* the format's version */
    run(&model->graph, ~0u, 2, got, &m);
    assert_memory_equal(want, got, n * sizeof(float));
    dmv_model_close(&model);
    dv_free(data);
    dv_graph_free(&b);
    dv_quant_close(&q);
    dv_graph_free(&g);
}

/* ---- half precision ---- */

static void halved(dv_quant *q, dv_graph *g, size_t *layers)
{
    dv_err e = {0};
    if (dv_quant_half(q, g, layers, &e))
        fail_msg("%s", e.msg);
}

/* Largest difference over the largest value. */
static double apart(const float *a, const float *b, size_t n)
{
    double most = 0, diff = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i]));
        diff = fmax(diff, fabs((double)a[i] - (double)b[i]));
    }
    return diff / most;
}

/* In the C twin's halves, in floats (a processor that has no halves) and as the machine has it:
 * close to the float net, and not the float net. */
static void check_half(const dv_graph *g, size_t layers)
{
    dv_kernels k, twin;
    dv_kernels_init(&k, ~0u);
    dv_kernels_init(&twin, 0);
    twin.half = true;
    dv_quant *q = opened(g, &k, 1);
    dv_graph b;
    size_t found, n, m;
    halved(q, &b, &found);
    assert_int_equal(found, layers);
    assert_int_equal(count_ops(&b, DV_OP_H_CONV) + count_ops(&b, DV_OP_H_LINEAR), layers);
    static float want[1 << 16], got[1 << 16], again[1 << 16];
    run(g, ~0u, 1, want, &n);
    run_with(&twin, &b, 1, got, &m);
    assert_int_equal(n, m);
    double d = apart(want, got, n);
    if (!(d > 0 && d < 0.01))
        fail_msg("halves are %g off", d);
    run_with(&twin, &b, 3, again, &m);
    assert_memory_equal(got, again, n * sizeof(float));
    if (k.half) {
        run_with(&k, &b, 2, again, &m);
        assert_true(apart(got, again, n) < 0.01);
    }
    k.half = false;
    run_with(&k, &b, 2, again, &m);
    d = apart(want, again, n);
    if (!(d > 0 && d < 0.003)) /* the weights are halves */
        fail_msg("floats are %g off", d);
    dv_graph_free(&b);
    dv_quant_close(&q);
}

static void test_half(void **state)
{
    (void)state;
    dv_graph g;
    make_net(&g);
    check_half(&g, 7); /* not the first, nor the depthwise one that reads and gives floats */
    dv_graph_free(&g);
    make_plain(&g);
    check_half(&g, 3); /* not the first, the depthwise one behind a swish, 3267 inputs */
    dv_graph_free(&g);
    for (int round = 0; round < 40; round++) {
        dv_graph_init(&g);
        seed = (uint32_t)round + 1;
        static const int64_t to_nhwc[4] = {0, 2, 3, 1};
        int32_t in = dv_graph_add_tensor(&g, "input", DV_F32, 4, input_dims);
        int32_t x = node(&g, DV_OP_TRANSPOSE, 1, &in);
        assert_true(dv_node_set_ints(last(&g), DV_A_PERM, to_nhwc, 4));
        int ks = 1 + 2 * (round % 3), stride = 1 + round / 3 % 2, after = round % 5;
        int wide = 2 * (1 + (int)(seed * 7 % 40));
        x = conv(&g, x, 3, 1, 3, 24, 1, NOTHING, -1);
        int32_t skip = conv(&g, x, ks, stride, 24, wide, 1, after, -1);
        x = conv(&g, skip, 3 + 2 * (round % 2), 1, wide, wide, wide, (after + 1) % 5, -1);
        x = conv(&g, x, 3, 1, wide, wide, 1, (after + 2) % 5, skip);
        x = conv(&g, x, 1, 1 + round % 2, wide, 6, 1, after, -1);
        assert_true(dv_graph_set_io(&g, &in, 1, &x, 1));
        check_half(&g, 4);
        dv_graph_free(&g);
    }
}

static void test_half_file(void **state)
{
    (void)state;
    dv_graph g, b, c;
    make_net(&g);
    dv_kernels k;
    dv_kernels_init(&k, 0);
    k.half = true;
    dv_quant *q = opened(&g, &k, 1), *r;
    size_t layers, size, n, m;
    halved(q, &b, &layers);
    dv_meta meta = {0};
    uint8_t *data;
    dv_err e = {0};
    dmv_model *model = NULL;
    if (dv_dmv_encode(&b, &meta, &data, &size, &e) || dv_dmv_parse(data, size, "net", &model, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(data[8], 3); /* the format's version */
    float want[64], got[64];
    run_with(&k, &b, 1, want, &n);
    run_with(&k, &model->graph, 1, got, &m);
    assert_memory_equal(want, got, n * sizeof(float));
    assert_int_not_equal(dv_quant_open(&model->graph, dims, &k, NULL, 0, 0, &r, &e), DMV_OK);
    assert_non_null(strstr(e.msg, "half precision"));
    dmv_model_close(&model);
    dv_free(data);
    /* what a file must not say */
    for (int i = 0; i < 6; i++) {
        halved(q, &c, &layers);
        size_t at = 0;
        while (c.nodes[at].op != DV_OP_H_CONV)
            at++;
        dv_node *h = &c.nodes[at];
        int64_t two[2] = {1, 2};
        dv_gtensor *w = &c.tensors[h->in[1]];
        assert_int_equal(dv_graph_check(&c, &e), DMV_OK);
        if (i == 0)
            assert_true(dv_node_set_int(h, DV_A_ACT, DV_ACT_SWISH));
        else if (i == 1)
            assert_true(dv_node_set_ints(h, DV_A_DILATION, two, 2));
        else if (i == 2)
            c.tensors[h->out[0]].dtype = DV_U8;
        else if (i == 3)
            w->pack = DV_PACK_NONE;
        else if (i == 4)
            w->dims[2]--;
        else
            h->op = DV_OP_H_LINEAR;
        assert_int_not_equal(dv_graph_check(&c, &e), DMV_OK);
        dv_graph_free(&c);
    }
    dv_graph_free(&b);
    dv_quant_close(&q);
    dv_graph_free(&g);
}

/* Layers taken band by band give the same bytes, and the same halves, as one after the other. */
static void test_bands(void **state)
{
    (void)state;
    static const int64_t wide[4] = {1, 3, 70, 62}, to_nhwc[4] = {0, 2, 3, 1};
    const int64_t *const wide_dims[1] = {wide};
    enum { COUNT = 3 * 70 * 62 };
    dv_graph g, nets[2];
    dv_err e = {0};
    seed = 23;
    dv_graph_init(&g);
    int32_t in = dv_graph_add_tensor(&g, "input", DV_F32, 4, wide);
    int32_t x = node(&g, DV_OP_TRANSPOSE, 1, &in);
    assert_true(dv_node_set_ints(last(&g), DV_A_PERM, to_nhwc, 4));
    int32_t skip = conv(&g, x, 3, 1, 3, 24, 1, SLOPED, -1);
    x = conv(&g, skip, 1, 1, 24, 48, 1, RELU, -1);
    x = conv(&g, x, 3, 1, 48, 48, 48, SLOPED, -1);
    x = conv(&g, x, 1, 1, 48, 24, 1, NOTHING, skip);
    x = simple(&g, DV_OP_BINARY, x, skip, DV_A_BINARY, DV_BIN_ADD);
    x = conv(&g, x, 5, 2, 24, 40, 1, SWISH, -1);
    x = conv(&g, x, 3, 1, 40, 40, 40, LEAKY, -1);
    x = conv(&g, x, 3, 1, 40, 16, 1, RELU6, -1);
    x = conv(&g, x, 1, 1, 16, 8, 1, NOTHING, -1);
    assert_true(dv_graph_set_io(&g, &in, 1, &x, 1));
    dv_kernels k, twin;
    dv_kernels_init(&k, ~0u);
    dv_kernels_init(&twin, 0);
    twin.half = true;
    dv_quant *q = NULL;
    if (dv_quant_open(&g, wide_dims, &k, NULL, 0, 0, &q, &e))
        fail_msg("%s", e.msg);
    float *v = malloc(COUNT * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < COUNT; i++)
        v[i] = normal();
    const float *inputs = v;
    assert_int_equal(dv_quant_add(q, &inputs, &e), DMV_OK);
    dv_quant_options o = {.method = DV_CALIB_MINMAX};
    size_t layers, groups = 0;
    built(q, &o, &nets[0]);
    halved(q, &nets[1], &layers);
    for (int i = 0; i < 2; i++) {
        float *want = NULL;
        for (int threads = 0; threads <= 4; threads++) { /* 0: whole */
            dv_pool *pool = NULL;
            dv_exec *run = NULL;
            assert_int_equal(dv_pool_open(DV_MAX(threads, 1), &pool, &e), DMV_OK);
            if (dv_exec_open(&nets[i], i ? &twin : &k, pool, &run, &e))
                fail_msg("%s", e.msg);
            run->whole = threads == 0;
            if (dv_exec_shape(run, wide_dims, &e))
                fail_msg("%s", e.msg);
            for (size_t s = 0; s < nets[i].n_nodes; s++)
                groups += dv_bands_at(run, s) != NULL;
            memcpy(dv_exec_input(run, 0), v, COUNT * sizeof *v);
            dv_exec_run(run);
            const dv_value *out = dv_exec_output(run, 0);
            if (!want) {
                want = malloc(out->count * sizeof *want);
                assert_non_null(want);
                memcpy(want, out->f, out->count * sizeof *want);
            }
            assert_memory_equal(want, out->f, out->count * sizeof *want);
            dv_exec_close(&run);
            dv_pool_close(&pool);
        }
        free(want);
        dv_graph_free(&nets[i]);
    }
    assert_true(groups > 20);
    free(v);
    dv_quant_close(&q);
    dv_graph_free(&g);
}

/* The pixels are the first layer's bytes. */
static void test_pixels(void **state)
{
    (void)state;
    dv_graph g, b;
    make_plain(&g);
    dv_kernels k;
    dv_kernels_init(&k, ~0u);
    dv_quant *q = NULL;
    dv_err e = {0};
    assert_int_equal(dv_quant_open(&g, dims, &k, NULL, 1 / 127.5F, 127.5F, &q, &e), DMV_OK);
    float v[IN_COUNT];
    uint8_t pixels[IN_COUNT];
    const float *in = v;
    for (size_t i = 0; i < IN_COUNT; i++) {
        pixels[i] = (uint8_t)(128 + 120 * noise());
        v[i] = ((float)pixels[i] - 127.5F) * (1 / 127.5F);
    }
    assert_int_equal(dv_quant_add(q, &in, &e), DMV_OK);
    dv_quant_options o = {.method = DV_CALIB_MINMAX};
    built(q, &o, &b);
    dv_exec *x = NULL;
    assert_int_equal(dv_exec_open(&b, &k, NULL, &x, &e), DMV_OK);
    assert_int_equal(dv_exec_shape(x, dims, &e), DMV_OK);
    memcpy(dv_exec_input(x, 0), v, sizeof v);
    dv_exec_run(x);
    float want[16];
    memcpy(want, dv_exec_output(x, 0)->f, sizeof want);
    float scale, zero;
    uint8_t *to = dv_exec_input_u8(x, 0, true, &scale, &zero);
    assert_non_null(to);
    assert_true(scale == 1 / 127.5F && zero == 127.5F);
    for (size_t i = 0; i < IN_COUNT / 3; i++)
        for (size_t c = 0; c < 3; c++)
            to[i * 3 + c] = pixels[c * (IN_COUNT / 3) + i];
    dv_exec_run(x);
    assert_memory_equal(want, dv_exec_output(x, 0)->f, sizeof want);
    dv_exec_close(&x);
    dv_graph_free(&b);
    dv_quant_close(&q);
    dv_graph_free(&g);
}

static void test_keep(void **state)
{
    (void)state;
    dv_graph g, b;
    make_net(&g);
    dv_kernels k;
    dv_kernels_init(&k, ~0u);
    dv_quant *q = opened(&g, &k, 4);
    size_t n = dv_quant_net(q)->n_nodes;
    bool *keep = calloc(n, sizeof *keep);
    assert_non_null(keep);
    double before = 0;
    for (int round = 0; round < 3; round++) {
        /* nothing, every second node, everything */
        for (size_t i = 0; i < n; i++)
            keep[i] = round == 2 || (round == 1 && i % 2);
        dv_quant_options o = {.method = DV_CALIB_MSE, .keep = keep};
        built(q, &o, &b);
        double c = cosine(q, &b);
        assert_true(c >= before);
        before = c;
        dv_graph_free(&b);
    }
    assert_true(before > 1 - 1e-9);
    free(keep);
    dv_quant_close(&q);
    dv_graph_free(&g);
}

static void test_equalise(void **state)
{
    (void)state;
    dv_graph g, b;
    make_net(&g);
    /* one channel far wider than the rest */
    for (size_t i = 0; i < g.n_nodes; i++)
        if (g.nodes[i].op == DV_OP_CONV) {
            const dv_gtensor *w = &g.tensors[g.nodes[i].in[1]];
            float *v = (float *)(uintptr_t)w->data;
            for (size_t j = 0; j < w->size / sizeof(float); j += (size_t)w->dims[3])
                v[j] *= 20;
        }
    dv_kernels k;
    dv_kernels_init(&k, ~0u);
    dv_quant *q = opened(&g, &k, 6);
    dv_quant_options o = {.method = DV_CALIB_MINMAX, .per_layer = true};
    built(q, &o, &b);
    double without = cosine(q, &b);
    dv_graph_free(&b);
    size_t pairs;
    dv_err e = {0};
    float before[64], after[64];
    size_t n;
    run(dv_quant_net(q), ~0u, 1, before, &n);
    assert_int_equal(dv_quant_equalise(q, &pairs, &e), DMV_OK);
    assert_true(pairs >= 1);
    run(dv_quant_net(q), ~0u, 1, after, &n);
    double most = 0, off = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)before[i]));
        off = fmax(off, fabs((double)before[i] - (double)after[i]));
    }
    assert_true(off < 1e-4 * most);
    built(q, &o, &b);
    assert_true(cosine(q, &b) > without);
    dv_graph_free(&b);
    dv_quant_close(&q);
    dv_graph_free(&g);
}

/* A slope or leak behind a residual, which the 8-bit kernels would apply before it; weights so
 * small that the bias is no integer in their units. */
static void test_corners(void **state)
{
    (void)state;
    static const int64_t to_nhwc[4] = {0, 2, 3, 1};
    static const struct {
        int after;
        bool tiny;
    } nets[] = {{SLOPED, false}, {LEAKY, false}, {RELU, true}};
    for (size_t i = 0; i < DV_COUNT(nets); i++) {
        dv_graph g, b;
        dv_kernels k;
        seed = 31;
        dv_graph_init(&g);
        int32_t in = dv_graph_add_tensor(&g, "input", DV_F32, 4, input_dims);
        int32_t x = node(&g, DV_OP_TRANSPOSE, 1, &in);
        assert_true(dv_node_set_ints(last(&g), DV_A_PERM, to_nhwc, 4));
        x = conv(&g, x, 3, 2, 3, 20, 1, NOTHING, -1);
        x = conv(&g, x, 3, 1, 20, 20, 1, nets[i].after, nets[i].tiny ? -1 : x);
        for (int j = 0; nets[i].tiny && j < 2; j++) {
            const dv_gtensor *t = &g.tensors[last(&g)->in[1 + j]];
            float *v = (float *)(uintptr_t)t->data;
            for (size_t at = 0; at < t->size / sizeof(float); at += 20)
                v[at] = j ? 1.0F : v[at] * 1e-14F; /* channel 0 is its bias */
        }
        x = conv(&g, x, 1, 1, 20, 8, 1, NOTHING, -1);
        assert_true(dv_graph_set_io(&g, &in, 1, &x, 1));
        dv_kernels_init(&k, ~0u);
        dv_quant *q = opened(&g, &k, 6);
        dv_quant_options o = {.method = DV_CALIB_MINMAX};
        built(q, &o, &b);
        double c = cosine(q, &b);
        if (!(c > 0.999))
            fail_msg("net %zu: cosine %f", i, c);
        dv_graph_free(&b);
        dv_quant_close(&q);
        dv_graph_free(&g);
    }
}

static void test_refused(void **state)
{
    (void)state;
    dv_graph g, b;
    make_plain(&g);
    dv_kernels k;
    dv_kernels_init(&k, ~0u);
    dv_quant *q = opened(&g, &k, 0), *again = NULL;
    dv_quant_options o = {.method = DV_CALIB_MINMAX};
    dv_err e = {0};
    assert_int_equal(dv_quant_build(q, &o, &b, &e), DMV_ERR_ARGUMENT); /* no samples */
    float v[IN_COUNT] = {0};
    const float *in = v;
    v[77] = NAN;
    assert_int_equal(dv_quant_add(q, &in, &e), DMV_ERR_ARGUMENT);
    v[77] = INFINITY;
    assert_int_equal(dv_quant_add(q, &in, &e), DMV_ERR_ARGUMENT);
    for (size_t i = 0; i < IN_COUNT; i++) /* finite, but not what comes out */
        v[i] = i % 3 ? 3e38F : -3e38F;
    assert_int_equal(dv_quant_add(q, &in, &e), DMV_OK);
    assert_int_equal(dv_quant_build(q, &o, &b, &e), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "not finite"));
    dv_quant_close(&q);
    q = opened(&g, &k, 1);
    built(q, &o, &b);
    assert_int_equal(dv_quant_open(&b, dims, &k, NULL, 0, 0, &again, &e), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "8-bit already"));
    dv_graph_free(&b);
    dv_quant_close(&q);
    dv_graph_free(&g);
}

static void test_no_memory(void **state)
{
    (void)state;
    dv_graph g;
    make_net(&g);
    dv_kernels k;
    dv_kernels_init(&k, ~0u);
    dmv_status st = DMV_ERR_MEMORY;
    float v[IN_COUNT] = {0.5F, -0.5F};
    const float *in = v;
    for (uint64_t nth = 1; st != DMV_OK; nth += 1 + nth / 50) {
        dv_quant *q = NULL;
        dv_graph b;
        const dv_quant_row *rows;
        size_t n;
        dv_err e = {0};
        dv_graph_init(&b);
        dv_alloc_fail_at(nth, nth % 2 == 0);
        dv_quant_options o = {.method = DV_CALIB_MSE, .fix_bias = true};
        st = dv_quant_open(&g, dims, &k, NULL, 0, 0, &q, &e);
        if (!st)
            st = dv_quant_add(q, &in, &e);
        if (!st)
            st = dv_quant_build(q, &o, &b, &e);
        if (!st)
            st = dv_quant_compare(q, &b, &rows, &n, &e);
        dv_alloc_fail_at(0, false);
        if (st != DMV_OK)
            assert_int_equal(st, DMV_ERR_MEMORY);
        dv_graph_free(&b);
        dv_quant_close(&q);
    }
    dv_graph_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways),      cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_half),      cmocka_unit_test(test_half_file),
        cmocka_unit_test(test_bands),     cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_keep),      cmocka_unit_test(test_equalise),
        cmocka_unit_test(test_corners),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
