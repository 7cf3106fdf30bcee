/* SPDX-License-Identifier: Apache-2.0
 *
 * TensorFlow Lite files made by hand: what they compute, against arithmetic written out here;
 * quantised nets byte by byte; what must not import; a failed allocation at any point; every
 * prefix and every changed byte of a file. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "import/import.h"
#include "make_tflite.h"
#include "quant/quant.h"

static dmv_status import(const mt_net *m, const dv_import_options *o, dv_graph *g, dv_err *e)
{
    dv_buf b = {0};
    mt_write(m, &b);
    assert_false(b.bad);
    dmv_status st = dv_import_tflite(b.data, b.size, "test.tflite", o, g, e);
    dv_buf_free(&b);
    return st;
}

/* Runs on one input; the caller frees out[i]. */
static void run(const dv_graph *g, const float *in, size_t n_out, float **out, size_t *counts)
{
    dv_kernels k;
    dv_exec *x = NULL;
    dv_err e = {0};
    const int64_t *dims = g->tensors[g->inputs[0]].dims;
    size_t count;
    dv_kernels_init(&k, 0);
    if (dv_exec_open(g, &k, NULL, &x, &e) || dv_exec_shape(x, &dims, &e))
        fail_msg("%s", e.msg);
    assert_true(dv_count(g->tensors[g->inputs[0]].rank, dims, &count));
    memcpy(dv_exec_input(x, 0), in, count * sizeof *in);
    dv_exec_run(x);
    assert_int_equal(g->n_outputs, n_out);
    for (size_t i = 0; i < n_out; i++) {
        const dv_value *v = dv_exec_output(x, i);
        counts[i] = v->count;
        out[i] = malloc(v->count * sizeof(float));
        assert_non_null(out[i]);
        memcpy(out[i], v->f, v->count * sizeof(float));
    }
    dv_exec_close(&x);
}

static void near(double got, double want, double by)
{
    if (!(fabs(got - want) <= by))
        fail_msg("%g, not %g", got, want);
}

/* The only output against want, plainly and with passes. */
static void check(const mt_net *m, const float *in, size_t count, const float *want)
{
    for (int passes = 0; passes < 2; passes++) {
        dv_import_options o = {.no_passes = !passes};
        dv_graph g;
        dv_err e = {0};
        float *out;
        size_t n;
        if (import(m, &o, &g, &e))
            fail_msg("%s", e.msg);
        run(&g, in, 1, &out, &n);
        assert_int_equal(n, count);
        for (size_t i = 0; i < n; i++)
            near((double)out[i], (double)want[i], 1e-5 * (1 + fabs((double)want[i])));
        free(out);
        dv_graph_free(&g);
    }
}

/* ---- the float net of make_tflite.c, written out ---- */

static float at(const float *x, int h, int w, int c, int y, int xx, int k)
{
    return y < 0 || xx < 0 || y >= h || xx >= w ? 0 : x[(y * w + xx) * c + k];
}

static void float_net(void **state)
{
    static const float b[4] = {1, -0.5f, 0, 2};
    mt_net m;
    float x[70], c[48], s[48], p[12], y[5];
    (void)state;
    assert_true(mt_sample(0, &m));
    const float *w = m.tensors[1].data, *dw = m.tensors[5].data, *k = m.tensors[13].data;
    for (int i = 0; i < 70; i++)
        x[i] = sinf((float)i * 1.7f);
    /* 7 x 5 with stride 2, SAME: 4 x 3, one pad before and one behind in both directions */
    for (int i = 0; i < 48; i++) {
        int o = i % 4, xx = i / 4 % 3, yy = i / 12;
        float sum = b[o];
        for (int t = 0; t < 18; t++)
            sum +=
                at(x, 7, 5, 2, 2 * yy - 1 + t / 6, 2 * xx - 1 + t / 2 % 3, t % 2) * w[o * 18 + t];
        c[i] = fminf(fmaxf(sum, 0), 6);
    }
    for (int i = 0; i < 48; i++) {
        int o = i % 4, xx = i / 4 % 3, yy = i / 12;
        float sum = c[i];
        for (int t = 0; t < 9; t++)
            sum += at(c, 4, 3, 4, yy - 1 + t / 3, xx - 1 + t % 3, o) * dw[t * 4 + o];
        s[i] = fmaxf(sum, 0);
    }
    for (int i = 0; i < 12; i++) { /* two padded channels, then the largest of 2 x 2 */
        int o = i % 6, yy = i / 6;
        p[i] = 0;
        for (int t = 0; t < 4 && o < 4; t++)
            p[i] = fmaxf(p[i], s[((2 * yy + t / 2) * 3 + t % 2) * 4 + o]);
    }
    for (int i = 0; i < 5; i++) {
        y[i] = 0;
        for (int t = 0; t < 12; t++)
            y[i] += p[t] * k[i * 12 + t];
    }
    check(&m, x, 5, y);
}

/* ---- bytes ---- */

/* The 8-bit graph of a net. */
static void to_bytes(const mt_net *m, bool exact, dv_graph *b)
{
    dv_import_options o = {.exact = exact};
    dv_graph g;
    dv_err e = {0};
    if (import(m, &o, &g, &e))
        fail_msg("%s", e.msg);
    assert_true(dv_quant_has_pairs(&g));
    if (dv_quant_pairs(&g, b, &e))
        fail_msg("%s", e.msg);
    dv_graph_free(&g);
}

static size_t count_op(const dv_graph *g, uint16_t op)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == op;
    return n;
}

static void bytes_net(void **state)
{
    mt_net m;
    (void)state;
    assert_true(mt_sample(1, &m));
    const uint8_t *w = m.tensors[1].data;
    const int32_t *bias = m.tensors[2].data;
    for (int exact = 0; exact < 2; exact++) {

        dv_graph g;
        float x[16], *out;
        size_t n;
        to_bytes(&m, exact, &g);
        /* channel 2 has a weight of 225: a wider scale, or the layer in floats */
        assert_int_equal(count_op(&g, DV_OP_Q_CONV), exact ? 0 : 1);
        assert_int_equal(count_op(&g, DV_OP_CONV), exact ? 1 : 0);
        uint8_t q[16];
        for (int i = 0; i < 16; i++) {
            q[i] = (uint8_t)(i * 37 + 11);
            x[i] = ((float)q[i] - 128) * 0.02f;
        }
        run(&g, x, 1, &out, &n);
        assert_int_equal(n, 12);
        for (int i = 0; i < 12; i++) {
            int o = i % 3, sum = bias[o];
            for (int t = 0; t < 4; t++)
                sum += (q[i / 3 * 4 + t] - 128) * (w[o * 4 + t] - 30);
            double c = fmin(fmax(floor(sum * 0.0002 / 0.025 + 0.5) + 20, 20), 255);
            double y = fmin(floor(256 / (1 + exp(-(c - 20) * 0.025)) + 0.5), 255);
            /* channel 2 is rounded: each of its weights by half a step at most */
            near((double)out[i] * 256, y, o == 2 && !exact ? 3 : 1e-3);
        }
        free(out);
        dv_graph_free(&g);
    }
}

/* -128..127 with zero point -20, a scale a channel, a pool, a sum and a concatenation. */
static void signed_bytes(void **state)
{
    static const int8_t w[4] = {100, -128, 7, -50};
    mt_net m = {0};
    (void)state;
    int32_t x = mt_add(&m, (mt_tensor){.name = "x",
                                       .type = MT_I8,
                                       .rank = 4,
                                       .dims = {1, 2, 2, 2},
                                       .n_scales = 1,
                                       .scale = {0.05f},
                                       .zero = {-20}});
    int32_t k = mt_add(&m, (mt_tensor){.name = "w",
                                       .type = MT_I8,
                                       .rank = 4,
                                       .dims = {2, 1, 1, 2},
                                       .data = w,
                                       .size = 4,
                                       .n_scales = 2,
                                       .axis = 0,
                                       .scale = {0.01f, 0.03f},
                                       .zero = {0, 0}});
    int32_t c = mt_add(&m, (mt_tensor){.name = "c",
                                       .type = MT_I8,
                                       .rank = 4,
                                       .dims = {1, 2, 2, 2},
                                       .n_scales = 1,
                                       .scale = {0.1f},
                                       .zero = {5}});
    int32_t s = mt_add(&m, (mt_tensor){.name = "s",
                                       .type = MT_I8,
                                       .rank = 4,
                                       .dims = {1, 2, 2, 2},
                                       .n_scales = 1,
                                       .scale = {0.15f},
                                       .zero = {0}});
    int32_t p = mt_add(&m, (mt_tensor){.name = "p",
                                       .type = MT_I8,
                                       .rank = 4,
                                       .dims = {1, 1, 1, 2},
                                       .n_scales = 1,
                                       .scale = {0.15f},
                                       .zero = {0}});
    int32_t a = mt_add(&m, (mt_tensor){.name = "a",
                                       .type = MT_I8,
                                       .rank = 4,
                                       .dims = {1, 1, 1, 2},
                                       .n_scales = 1,
                                       .scale = {0.2f},
                                       .zero = {-3}});
    int32_t y = mt_add(&m, (mt_tensor){.name = "y",
                                       .type = MT_I8,
                                       .rank = 4,
                                       .dims = {1, 1, 1, 4},
                                       .n_scales = 1,
                                       .scale = {0.2f},
                                       .zero = {-3}});
    const mt_option pool[8] = {
        {0, 1, {1}, 0}, {1, 4, {2}, 0}, {2, 4, {2}, 0}, {3, 4, {2}, 0}, {4, 4, {2}, 0}};
    m.nodes[0] = (mt_node){.op = 3,
                           .n_in = 2,
                           .in = {x, k},
                           .n_out = 1,
                           .out = {c},
                           .options = {{0, 1, {1}, 0}, {1, 4, {1}, 0}, {2, 4, {1}, 0}}};
    m.nodes[1] = (mt_node){
        .op = 0, .n_in = 2, .in = {x, c}, .n_out = 1, .out = {s}, .options = {{0, 1, {0}, 0}}};
    m.nodes[2] = (mt_node){.op = 17, .n_in = 1, .in = {s}, .n_out = 1, .out = {p}};
    memcpy(m.nodes[2].options, pool, sizeof pool);
    m.nodes[3] = (mt_node){.op = 1, .n_in = 1, .in = {s}, .n_out = 1, .out = {a}};
    memcpy(m.nodes[3].options, pool, sizeof pool);
    m.nodes[4] = (mt_node){
        .op = 2, .n_in = 2, .in = {p, a}, .n_out = 1, .out = {y}, .options = {{0, 4, {3}, 0}}};
    m.n_nodes = 5;
    m.n_inputs = m.n_outputs = 1;
    m.inputs[0] = x;
    m.outputs[0] = y;
    dv_graph g;
    float in[8], *out;
    size_t n;
    int q[8];
    to_bytes(&m, false, &g);
    assert_int_equal(count_op(&g, DV_OP_Q_CONV), 1);
    assert_int_equal(count_op(&g, DV_OP_Q_BINARY), 1);
    for (int i = 0; i < 8; i++) {
        q[i] = (i * 53 + 9) % 256 - 128;
        in[i] = (float)(q[i] + 20) * 0.05f;
    }
    run(&g, in, 1, &out, &n);
    assert_int_equal(n, 4);
    double most[2] = {-1e9, -1e9}, mean[2] = {0, 0};
    for (int i = 0; i < 8; i++) {
        int o = i % 2;
        double sum = 0.05 * (o ? 0.03 : 0.01) *
                     ((q[i - o] + 20) * w[2 * o] + (q[i - o + 1] + 20) * w[2 * o + 1]);
        double cq = fmin(fmax(rint(sum / 0.1) + 5, -128), 127);
        double sq = fmin(fmax(rint(((q[i] + 20) * 0.05 + (cq - 5) * 0.1) / 0.15), -128), 127);
        most[o] = fmax(most[o], sq * 0.15);
        mean[o] += sq * 0.15 / 4;
    }
    for (int o = 0; o < 2; o++) {
        near((double)out[o], rint(most[o] / 0.2) * 0.2, 1e-5);
        near((double)out[2 + o], rint(mean[o] / 0.2) * 0.2, 0.2001);
    }
    free(out);
    dv_graph_free(&g);
}

/* ---- the detector ---- */

static void detector(void **state)
{
    /* offsets y, x, h, w and scores background, 0, 1 of each anchor */
    static const float x[14] = {1, -2, 0,    0,   0.9f, 0.2f, 0.3f, 0, 0, 5 * 0.6931472f,
                                0, 0,  0.7f, 0.1f};
    static const float boxes[8] = {0.05f, 0.325f, 0.55f, 0.575f, 0.5f, 0, 1, 0.5f};
    static const float scores[4] = {0.2f, 0.3f, 0.7f, 0.1f};
    mt_net m;
    dv_graph g;
    dv_err e = {0};
    dv_meta meta = {0};
    float *out[2];
    size_t n[2];
    (void)state;
    assert_true(mt_sample(2, &m));
    if (import(&m, NULL, &g, &e))
        fail_msg("%s", e.msg);
    run(&g, x, 2, out, n);
    assert_int_equal(n[0], 8);
    assert_int_equal(n[1], 4);
    for (int i = 0; i < 8; i++)
        near((double)out[0][i], (double)boxes[i], 1e-5);
    for (int i = 0; i < 4; i++)
        near((double)out[1][i], (double)scores[i], 1e-6);
    free(out[0]);
    free(out[1]);
    assert_string_equal(g.tensors[g.outputs[0]].name, "ssd_boxes");
    assert_string_equal(g.tensors[g.outputs[1]].name, "ssd_scores");
    assert_int_equal(dv_import_profile((const uint8_t *)"", 0, "a/b.tflite", &g, &meta, &e),
                     DMV_OK);
    assert_string_equal(dv_meta_text(&meta, "name"), "b");
    dv_meta_free(&meta);
    dv_graph_free(&g);
}

/* ---- single operators ---- */

/* x[1,2,2,2] -> op with those inputs beside x and options -> y. */
static void one(int op, int n_more, const mt_tensor *more, const mt_option *options, int rank,
                const int32_t *dims, const float *x, size_t count, const float *want)
{
    mt_net m = {0};
    mt_tensor y = {.name = "y", .rank = rank};
    m.nodes[0] = (mt_node){.op = op, .n_in = 1 + n_more, .n_out = 1};
    m.nodes[0].in[0] = mt_add(&m, (mt_tensor){.name = "x", .rank = 4, .dims = {1, 2, 2, 2}});
    for (int i = 0; i < n_more; i++)
        m.nodes[0].in[1 + i] = mt_add(&m, more[i]);
    memcpy(y.dims, dims, (size_t)rank * sizeof *dims);
    m.nodes[0].out[0] = m.outputs[0] = mt_add(&m, y);
    for (int i = 0; options && options[i].size; i++)
        m.nodes[0].options[i] = options[i];
    m.n_nodes = m.n_inputs = m.n_outputs = 1;
    check(&m, x, count, want);
}

static const float eight[8] = {1, -2, 3, -4, 5, -6, 7, -8};
static const int32_t same_dims[4] = {1, 2, 2, 2}, vec8[1] = {8};

static void operators(void **state)
{
    static const int32_t four[2] = {4, 4}, perm[4] = {0, 3, 1, 2}, mean_axes[2] = {1, 2},
                         begin[4] = {0, 0, 1, 0}, end[4] = {0, 0, 2, 0}, step[4] = {1, 1, 1, -1};
    static const float slope[2] = {0.5f, 0.25f}, row[2] = {10, 20};
    (void)state;
    const mt_tensor
        t_slope = {.name = "s", .rank = 3, .dims = {1, 1, 2}, .data = slope, .size = 8},
        t_row = {.name = "r", .rank = 1, .dims = {2}, .data = row, .size = 8},
        t_four = {.name = "f", .type = MT_I32, .rank = 1, .dims = {2}, .data = four, .size = 8},
        t_perm = {.name = "p", .type = MT_I32, .rank = 1, .dims = {4}, .data = perm, .size = 16},
        t_axes =
            {.name = "a", .type = MT_I32, .rank = 1, .dims = {2}, .data = mean_axes, .size = 8},
        t_slice[3] = {
            {.name = "b", .type = MT_I32, .rank = 1, .dims = {4}, .data = begin, .size = 16},
            {.name = "e", .type = MT_I32, .rank = 1, .dims = {4}, .data = end, .size = 16},
            {.name = "t", .type = MT_I32, .rank = 1, .dims = {4}, .data = step, .size = 16}};
    one(54, 1, &t_slope, NULL, 4, same_dims, eight, 8, (float[]){1, -0.5f, 3, -1, 5, -1.5f, 7, -2});
    one(18, 1, &t_row, (mt_option[]){{0, 1, {2}, 0}, {0}}, 4, same_dims, eight, 8,
        (float[]){1, -1, 1, -1, 1, -1, 1, -1});
    one(99, 1, &t_row, NULL, 4, same_dims, eight, 8, (float[]){81, 484, 49, 576, 25, 676, 9, 784});
    one(98, 0, NULL, (mt_option[]){{0, -4, {0}, 0.1f}, {0}}, 4, same_dims, eight, 8,
        (float[]){1, -0.2f, 3, -0.4f, 5, -0.6f, 7, -0.8f});
    one(22, 0, NULL, (mt_option[]){{0, 5, {8}, 0}, {0}}, 1, vec8, eight, 8, eight);
    one(39, 1, &t_perm, NULL, 4, same_dims, eight, 8, (float[]){1, 3, 5, 7, -2, -4, -6, -8});
    one(40, 1, &t_axes, (mt_option[]){{0, 1, {1}, 0}, {0}}, 4, (int32_t[]){1, 1, 1, 2}, eight, 2,
        (float[]){4, -5});
    /* x[:, :, 1, ::-1] with masks: begins of dims 0, 1, 3, ends of 0, 1, 3, dim 2 goes */
    one(45, 3, t_slice, (mt_option[]){{0, 4, {11}, 0}, {1, 4, {11}, 0}, {4, 4, {4}, 0}, {0}}, 3,
        (int32_t[]){1, 2, 2}, eight, 4, (float[]){-4, 3, -8, 7});
    /* nearest: each pixel twice; linear with half pixels: the corner stays */
    float up[32];
    for (int i = 0; i < 32; i++)
        up[i] = eight[(i / 16 * 2 + i / 2 % 4 / 2) * 2 + i % 2];
    one(97, 1, &t_four, NULL, 4, (int32_t[]){1, 4, 4, 2}, eight, 32, up);
    for (int i = 0; i < 32; i++) {
        float y = fminf(fmaxf(((float)(i / 8) + 0.5f) / 2 - 0.5f, 0), 1);
        float x = fminf(fmaxf(((float)(i / 2 % 4) + 0.5f) / 2 - 0.5f, 0), 1);
        int c = i % 2;
        up[i] = (1 - y) * ((1 - x) * eight[c] + x * eight[2 + c]) +
                y * ((1 - x) * eight[4 + c] + x * eight[6 + c]);
    }
    one(23, 1, &t_four, (mt_option[]){{3, 1, {1}, 0}, {0}}, 4, (int32_t[]){1, 4, 4, 2}, eight, 32,
        up);
    /* average of what is inside only: SAME pads the right and the bottom */
    float mean[8];
    for (int i = 0; i < 8; i++) {
        int n = 0, c = i % 2;
        mean[i] = 0;
        for (int y = i / 4; y < 2; y++)
            for (int x = i / 2 % 2; x < 2; x++, n++)
                mean[i] += eight[(2 * y + x) * 2 + c];
        mean[i] /= (float)n;
    }
    one(1, 0, NULL,
        (mt_option[]){
            {0, 1, {0}, 0}, {1, 4, {1}, 0}, {2, 4, {1}, 0}, {3, 4, {2}, 0}, {4, 4, {2}, 0}, {0}},
        4, same_dims, eight, 8, mean);
}

/* 2 x 2 to 4 x 4 with a kernel of 2 and stride 2: each pixel becomes a patch. */
static void transpose_conv(void **state)
{
    static const int32_t size[4] = {1, 4, 4, 1};
    static const float w[8] = {1, 10, 2, 20, 3, 30, 4, 40}; /* O 1, H 2, W 2, I 2 */
    mt_net m = {0};
    float want[16];
    (void)state;
    int32_t s = mt_add(
        &m,
        (mt_tensor){.name = "s", .type = MT_I32, .rank = 1, .dims = {4}, .data = size, .size = 16});
    int32_t k = mt_add(
        &m, (mt_tensor){.name = "w", .rank = 4, .dims = {1, 2, 2, 2}, .data = w, .size = 32});
    int32_t x = mt_add(&m, (mt_tensor){.name = "x", .rank = 4, .dims = {1, 2, 2, 2}});
    int32_t y = mt_add(&m, (mt_tensor){.name = "y", .rank = 4, .dims = {1, 4, 4, 1}});
    m.nodes[0] = (mt_node){.op = 67,
                           .n_in = 3,
                           .in = {s, k, x},
                           .n_out = 1,
                           .out = {y},
                           .options = {{0, 1, {0}, 0}, {1, 4, {2}, 0}, {2, 4, {2}, 0}}};
    m.n_nodes = m.n_inputs = m.n_outputs = 1;
    m.inputs[0] = x;
    m.outputs[0] = y;
    for (int i = 0; i < 16; i++) {
        const float *p = eight + (i / 8 * 2 + i % 4 / 2) * 2, *q = w + (i / 4 % 2 * 2 + i % 2) * 2;
        want[i] = p[0] * q[0] + p[1] * q[1];
    }
    check(&m, eight, 16, want);
}

/* ---- what must not import ---- */

static void refuse(const mt_net *m, dmv_status want, const char *words)
{
    dv_graph g;
    dv_err e = {0};
    dmv_status st = import(m, NULL, &g, &e);
    if (st != want || !strstr(e.msg, words) || !strstr(e.msg, "test.tflite"))
        fail_msg("status %d (not %d): \"%s\" without \"%s\"", st, want, e.msg, words);
    assert_null(g.nodes);
}

static void wrong(void **state)
{
    mt_net m;
    (void)state;
    mt_sample(0, &m);
    m.nodes[2].op = 121;
    m.nodes[4].op = -1;
    m.nodes[4].custom = "Wonder";
    refuse(&m, DMV_ERR_UNSUPPORTED,
           "2 nodes cannot be imported: builtin operator 121 ('d'); Wonder");
    mt_sample(0, &m);
    m.nodes[1].options[3].v[0] = 5;
    refuse(&m, DMV_ERR_UNSUPPORTED, "CONV_2D with fused activation 5 ('c')");
    mt_sample(0, &m);
    m.tensors[1].dims[3] = 3;
    m.tensors[1].size = 4 * 108;
    refuse(&m, DMV_ERR_FORMAT, "node 'c' (CONV_2D): weights of 3x4 channels for a picture of 2");
    mt_sample(0, &m);
    m.tensors[1].size -= 4;
    refuse(&m, DMV_ERR_FORMAT, "tensor 'w' has 284 bytes");
    mt_sample(0, &m);
    m.nodes[4].in[0] = m.outputs[0];
    refuse(&m, DMV_ERR_FORMAT, "tensor 'y' is read before it is written");
    mt_sample(0, &m);
    m.nodes[4].out[0] = m.nodes[3].out[0];
    refuse(&m, DMV_ERR_FORMAT, "tensor 's' is written twice");
    mt_sample(0, &m);
    m.nodes[4].in[1] = 99;
    refuse(&m, DMV_ERR_FORMAT, "node 4: tensor 99 of 15 among its inputs");
    mt_sample(0, &m);
    m.nodes[1].options[1].v[0] = -1;
    refuse(&m, DMV_ERR_FORMAT, "stride");
    mt_sample(0, &m);
    m.tensors[0].type = MT_I32;
    refuse(&m, DMV_ERR_UNSUPPORTED, "input 'x' has data type 2");
    mt_sample(1, &m);
    m.tensors[3].zero[0] = 300;
    refuse(&m, DMV_ERR_FORMAT, "zero point of 300");
    mt_sample(1, &m);
    m.tensors[3].scale[0] = NAN;
    refuse(&m, DMV_ERR_FORMAT, "tensor 'c' has a scale of");
    mt_sample(2, &m);
    m.nodes[3].custom_size = 5;
    refuse(&m, DMV_ERR_FORMAT, "scales or num_classes are missing");
    mt_sample(2, &m);
    m.nodes[3].in[0] = m.nodes[3].in[1];
    refuse(&m, DMV_ERR_FORMAT, "do not fit each other");
    dv_graph g;
    dv_err e = {0};
    assert_int_equal(dv_import_tflite((const uint8_t *)"1234TFL3", 8, "short", NULL, &g, &e),
                     DMV_ERR_FORMAT);
    assert_int_equal(dv_import_guess((const uint8_t *)"1234TFL3", 8), DV_IMPORT_TFLITE);
    assert_int_equal(dv_import_guess((const uint8_t *)"7767517\n", 8), DV_IMPORT_NCNN);
    assert_int_equal(dv_import_guess((const uint8_t *)"TFL3", 4), DV_IMPORT_ONNX);
}

/* Imports `size` bytes in a block of their own, or says why not. */
static void survive(const uint8_t *data, size_t size)
{
    dv_graph g;
    dv_err e = {0};
    uint8_t *copy = malloc(size + !size);
    assert_non_null(copy);
    if (size)
        memcpy(copy, data, size);
    if (dv_import_tflite(copy, size, "damaged", NULL, &g, &e) == DMV_OK) {
        assert_int_equal(dv_graph_check(&g, &e), DMV_OK);
        dv_graph_free(&g);
    } else {
        assert_true(e.msg[0] != 0);
    }
    free(copy);
}

static void damaged(void **state)
{
    mt_net m;
    (void)state;
    for (unsigned i = 0; mt_sample(i, &m); i++) {
        dv_buf b = {0};
        mt_write(&m, &b);
        assert_false(b.bad);
        for (size_t n = 0; n < b.size; n += 3)
            survive(b.data, n);
        for (size_t k = 0; k < b.size; k++)
            for (int way = 0; way < 3; way++) {
                uint8_t old = b.data[k];
                b.data[k] = way == 0 ? 0xff : way == 1 ? old ^ 0x80 : (uint8_t)(old + 4);
                survive(b.data, b.size);
                b.data[k] = old;
            }
        dv_buf_free(&b);
    }
}

static void no_memory(void **state)
{
    mt_net m;
    (void)state;
    for (unsigned i = 0; mt_sample(i, &m); i++) {
        dv_buf b = {0};
        mt_write(&m, &b);
        dmv_status st = DMV_ERR_MEMORY;
        for (uint64_t nth = 1; st != DMV_OK; nth++) {
            dv_graph g;
            dv_err e = {0};
            assert_true(nth < 100000);
            dv_alloc_fail_at(nth, false);
            st = dv_import_tflite(b.data, b.size, "test.tflite", NULL, &g, &e);
            dv_alloc_fail_at(0, false);
            if (st == DMV_OK)
                dv_graph_free(&g);
            else
                assert_int_equal(st, DMV_ERR_MEMORY);
        }
        dv_buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float_net), cmocka_unit_test(bytes_net), cmocka_unit_test(signed_bytes),
        cmocka_unit_test(detector),  cmocka_unit_test(operators), cmocka_unit_test(transpose_conv),
        cmocka_unit_test(wrong),     cmocka_unit_test(damaged),   cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
