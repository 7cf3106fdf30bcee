/* SPDX-License-Identifier: Apache-2.0
 *
 * test_pairs.c - QDQ nets as other programs write them: bytes of either sign, weights with a scale
 * a channel or one, quantised by hand or by a node, sums, concatenations of different scales, what
 * has no 8-bit form. Each net must get the 8-bit ops that it can get, and compute what its pairs
 * and float operators compute. Nets that cannot be imported are refused with a reason.
 *
 *   test_pairs FOLDER    writes the nets and their inputs for tests/ort/qdq.sh
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../import/make_onnx.h"
#include "quant/quant.h"

static const char *folder; /* write there instead of testing */
static dv_buf cases;
static uint32_t seed;
static double tolerance = 1e-5; /* of the largest value */

static float noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (float)(1 << 23) - 1;
}

/* ---- pieces of nets ---- */

enum { U8 = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, S8 = ONNX__TENSOR_PROTO__DATA_TYPE__INT8 };

static void bytes(mk *m, const char *name, int type, int rank, const int64_t *dims, const int *v)
{
    size_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= (size_t)dims[i];
    Onnx__TensorProto *t = mk_ints(m, name, 0, NULL);
    t->data_type = type;
    t->n_dims = (size_t)rank;
    t->dims = mk_alloc(m, (size_t)(rank + 1) * sizeof *t->dims);
    for (int i = 0; i < rank; i++)
        t->dims[i] = dims[i];
    size_t item = type == U8 || type == S8 ? 1 : 4;
    t->raw_data.len = n * item;
    t->raw_data.data = mk_alloc(m, n * item + 1);
    for (size_t i = 0; i < n; i++) {
        if (item == 1)
            t->raw_data.data[i] = (uint8_t)v[i];
        else
            memcpy(t->raw_data.data + i * 4, &v[i], 4);
    }
}

static char *name_of(const char *a, const char *b)
{
    static char names[8][64];
    static int at;
    char *s = names[at++ % 8];
    snprintf(s, sizeof names[0], "%s%s", a, b);
    return s;
}

/* x -> x_q -> x_d with scale and zero point. */
static void pair(mk *m, const char *x, float scale, int zero, int type)
{
    char in[200];
    mk_floats(m, name_of(x, "_s"), 0, NULL, &scale);
    bytes(m, name_of(x, "_z"), type, 0, NULL, &zero);
    snprintf(in, sizeof in, "%s %s_s %s_z", x, x, x);
    mk_op(m, "QuantizeLinear", in, name_of(x, "_q"));
    snprintf(in, sizeof in, "%s_q %s_s %s_z", x, x, x);
    mk_op(m, "DequantizeLinear", in, name_of(x, "_d"));
}

/* Random 8-bit weights NAME behind a DequantizeLinear: NAME_d, with n scales along the axis. */
static void weights(mk *m, const char *name, int type, int zero, int axis, int rank,
                    const int64_t *dims, float scale)
{
    size_t n = 1, scales = axis < 0 ? 1 : (size_t)dims[axis];
    for (int i = 0; i < rank; i++)
        n *= (size_t)dims[i];
    int *v = mk_alloc(m, n * sizeof *v), *z = mk_alloc(m, scales * sizeof *z);
    float *s = mk_alloc(m, scales * sizeof *s);
    for (size_t i = 0; i < n; i++)
        v[i] = zero + (int)(noise() * 127);
    for (size_t i = 0; i < scales; i++) {
        s[i] = scale * (1 + 0.3F * noise());
        z[i] = zero;
    }
    int64_t d = (int64_t)scales;
    bytes(m, name, type, rank, dims, v);
    bytes(m, name_of(name, "_z"), type, axis < 0 ? 0 : 1, &d, z);
    mk_floats(m, name_of(name, "_s"), axis < 0 ? 0 : 1, &d, s);
    char in[200];
    snprintf(in, sizeof in, "%s %s_s %s_z", name, name, name);
    mk_node *node = mk_op(m, "DequantizeLinear", in, name_of(name, "_d"));
    if (axis >= 0)
        mk_int(m, node, "axis", axis);
}

/* ---- running ---- */

static size_t input_of(const dv_graph *g, float *v)
{
    const dv_gtensor *t = &g->tensors[g->inputs[0]];
    size_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= (size_t)t->dims[i];
    seed = 11;
    for (size_t i = 0; i < n; i++)
        v[i] = 1.2F * noise();
    return n;
}

static size_t run(const dv_graph *g, float *out)
{
    static float in[4096];
    dv_kernels k;
    dv_exec *x = NULL;
    dv_err e = {0};
    const int64_t *dims = g->tensors[g->inputs[0]].dims;
    dv_kernels_init(&k, ~0u);
    if (dv_exec_open(g, &k, NULL, &x, &e) || dv_exec_shape(x, &dims, &e))
        fail_msg("%s", e.msg);
    size_t n = input_of(g, in);
    memcpy(dv_exec_input(x, 0), in, n * sizeof *in);
    dv_exec_run(x);
    const dv_value *v = dv_exec_output(x, 0);
    n = v->count;
    assert_true(n <= 4096);
    memcpy(out, v->f, n * sizeof *out);
    dv_exec_close(&x);
    return n;
}

static void put(const char *name, const char *end, const void *p, size_t size)
{
    char path[1000];
    dv_err e = {0};
    snprintf(path, sizeof path, "%s/%s%s", folder, name, end);
    assert_int_equal(dv_write_file(path, p, size, &e), DMV_OK);
}

static void put_net(mk *m, const char *name, const dv_graph *built)
{
    static float in[4096];
    dv_meta none = {0};
    dv_err e = {0};
    uint8_t *dmv;
    size_t size, dmv_size;
    uint8_t *onnx = mk_pack(m, &size);
    assert_int_equal(dv_dmv_encode(built, &none, &dmv, &dmv_size, &e), DMV_OK);
    const dv_gtensor *t = &built->tensors[built->inputs[0]];
    put(name, ".onnx", onnx, size);
    put(name, ".dmv", dmv, dmv_size);
    put(name, ".in", in, input_of(built, in) * sizeof *in);
    dv_buf_printf(&cases, "%s\t%s/%s.onnx\t%s\t", name, folder, name, t->name);
    for (int i = 0; i < t->rank; i++)
        dv_buf_printf(&cases, "%s%lld", i ? "x" : "", (long long)t->dims[i]);
    dv_buf_printf(&cases, "\n");
    dv_free(dmv);
    free(onnx);
}

/* Imports, plainly and with passes; what dv_quant_pairs makes of the second (out) must give what
 * the pairs give, up to `limit` of the values (a step here and there where sums differ in the last
 * bit). */
static void check(mk *m, const char *name, double limit, dv_graph *out)
{
    static float want[4096], got[4096];
    dv_err e = {0};
    for (int passes = 0; passes < 2; passes++) {
        dv_import_options o = {.no_passes = !passes};
        dv_graph g;
        if (mk_import(m, &o, &g, &e))
            fail_msg("%s: %s", name, e.msg);
        assert_true(dv_quant_has_pairs(&g));
        size_t n = run(&g, passes ? got : want), off = 0;
        double top = 0;
        for (size_t i = 0; i < n; i++)
            top = fmax(top, fabs((double)want[i]));
        assert_true(top > 0);
        for (size_t i = 0; passes && i < n; i++)
            off += !(fabs((double)want[i] - (double)got[i]) <= tolerance * top);
        assert_true((double)off <= limit * (double)n);
        if (passes) {
            if (dv_quant_pairs(&g, out, &e))
                fail_msg("%s: %s", name, e.msg);
            assert_int_equal(run(out, got), n);
            off = 0;
            for (size_t i = 0; i < n; i++)
                off += !(fabs((double)want[i] - (double)got[i]) <= tolerance * top);
            if ((double)off > limit * (double)n)
                fail_msg("%s: %zu of %zu values differ", name, off, n);
            for (size_t i = 0; i < out->n_nodes; i++) /* nothing temporary stays */
                for (int k = 0; k < out->nodes[i].n_attr; k++)
                    assert_true(out->nodes[i].attr[k].key < DV_IMPORT_TEMPORARY);
        }
        dv_graph_free(&g);
    }
    if (folder)
        put_net(m, name, out);
    mk_free(m);
}

static void expect(const dv_graph *g, uint16_t op, size_t n)
{
    if (count_op(g, op) != n)
        fail_msg("%zu nodes of %s, not %zu", count_op(g, op), dv_op_name(op), n);
}

/* ---- nets ---- */

static mk *net(const char *last)
{
    mk *m = mk_new(13);
    seed = 5;
    mk_input(m, "x", DIMS(1, 6, 9, 7));
    mk_output(m, last);
    return m;
}

static void conv(mk *m, const char *in, const char *out, int64_t group)
{
    mk_node *n = mk_op(m, "Conv", in, out);
    mk_list(m, n, "pads", INTS(1, 1, 1, 1));
    if (group > 1)
        mk_int(m, n, "group", group);
}

/* Two layers with bias, one of them depthwise; bytes of one type. */
static void layers(int act_type, int w_type, int w_zero, int axis, const char *name)
{
    int z = act_type == S8 ? 3 : 131;
    static const int q[8] = {900, -300, 50, 7000, -2, 0, 12, 9};
    mk *m = net("y_d");
    dv_graph g;
    pair(m, "x", 0.011F, z, act_type);
    weights(m, "w", w_type, w_zero, axis, DIMS(8, 6, 3, 3), 0.004F);
    bytes(m, "b", ONNX__TENSOR_PROTO__DATA_TYPE__INT32, DIMS(8), q);
    mk_floats(m, "b_s", 0, NULL, FLOATS(0.000044F));
    mk_op(m, "DequantizeLinear", "b b_s", "b_d");
    conv(m, "x_d w_d b_d", "c", 1);
    mk_op(m, "Relu", "c", "r");
    pair(m, "r", 0.02F, act_type == S8 ? -128 : 0, act_type);
    weights(m, "v", w_type, w_zero, axis, DIMS(8, 1, 3, 3), 0.01F);
    conv(m, "r_d v_d", "y", 8);
    pair(m, "y", 0.03F, z, act_type);
    check(m, name, 0.002, &g);
    expect(&g, DV_OP_Q_CONV, 2);
    expect(&g, DV_OP_CONV, 0);
    expect(&g, DV_OP_QUANTIZE, 1);
    expect(&g, DV_OP_DEQUANTIZE, 1);
    expect(&g, DV_OP_ACT, 0);
    for (size_t i = 0; i < g.n_nodes; i++) {
        const dv_gtensor *o = &g.tensors[g.nodes[i].out[0]];
        if (g.nodes[i].op == DV_OP_QUANTIZE)
            assert_true(o->scale == 0.011F && o->zero == 131);
    }
    dv_graph_free(&g);
}

static void test_layers(void **state)
{
    (void)state;
    layers(U8, S8, 0, 0, "u8-channel");
    layers(U8, S8, 0, -1, "u8-layer");
    layers(S8, S8, 0, 0, "s8-channel");
    layers(U8, U8, 128, 0, "u8-u8");
    layers(S8, S8, 1, -1, "s8-shifted");
}

/* Weights that are no s8 after their zero point: the layer stays float, and right. */
static void test_wide_weights(void **state)
{
    (void)state;
    mk *m = net("y_d");
    dv_graph g;
    static const int w[8] = {255, 0, 17, 200, 90, 3, 250, 100};
    static const int zero = 20;
    pair(m, "x", 0.011F, 120, U8);
    mk_floats(m, "w_s", 0, NULL, FLOATS(0.01F));
    bytes(m, "w_z", U8, 0, NULL, &zero);
    bytes(m, "w", U8, DIMS(8, 1, 1, 1), w);
    mk_op(m, "DequantizeLinear", "w w_s w_z", "w_d");
    mk_op(m, "Slice", "x_d from to axes", "x2");
    mk_ints(m, "from", INTS(2));
    mk_ints(m, "to", INTS(3));
    mk_ints(m, "axes", INTS(1));
    mk_op(m, "Conv", "x2 w_d", "y");
    pair(m, "y", 0.05F, 100, U8);
    check(m, "wide-weights", 0.002, &g);
    expect(&g, DV_OP_CONV, 1);
    expect(&g, DV_OP_Q_CONV, 0);
    dv_graph_free(&g);
}

/* Weights that are floats in the file, through both nodes. */
static void test_quantised_weights(void **state)
{
    (void)state;
    mk *m = net("y_d");
    dv_graph g;
    float *v = mk_alloc(m, 8 * 6 * sizeof *v), *s = mk_alloc(m, 8 * sizeof *s);
    for (int i = 0; i < 8 * 6; i++)
        v[i] = noise();
    for (int i = 0; i < 8; i++)
        s[i] = 0.008F + 0.0001F * (float)i;
    static const int zeros[8] = {0};
    pair(m, "x", 0.01F, 128, U8);
    mk_floats(m, "w", DIMS(8, 6, 1, 1), v);
    mk_floats(m, "w_s", DIMS(8), s);
    bytes(m, "w_z", S8, DIMS(8), zeros);
    mk_int(m, mk_op(m, "QuantizeLinear", "w w_s w_z", "w_q"), "axis", 0);
    mk_int(m, mk_op(m, "DequantizeLinear", "w_q w_s w_z", "w_d"), "axis", 0);
    mk_op(m, "Conv", "x_d w_d", "y");
    pair(m, "y", 0.03F, 128, U8);
    check(m, "quantised-weights", 0.002, &g);
    expect(&g, DV_OP_Q_CONV, 1);
    dv_graph_free(&g);
}

/* Sums with a clip, products, activations between pairs, another scale behind a move. */
static void test_elementwise(void **state)
{
    (void)state;
    mk *m = net("z_d");
    dv_graph g;
    pair(m, "x", 0.01F, 128, U8);
    weights(m, "w", S8, 0, 0, DIMS(6, 6, 1, 1), 0.004F);
    mk_op(m, "Conv", "x_d w_d", "c");
    pair(m, "c", 0.015F, 120, U8);
    mk_op(m, "Add", "c_d x_d", "a");
    mk_op(m, "Relu", "a", "r");
    pair(m, "r", 0.012F, 0, U8);
    mk_op(m, "Sigmoid", "c_d", "g");
    pair(m, "g", 1 / 256.F, 0, U8);
    mk_op(m, "Mul", "r_d g_d", "p");
    pair(m, "p", 0.011F, 0, U8);
    mk_op(m, "Transpose", "p_d", "t");
    pair(m, "t", 0.02F, 4, U8);
    mk_op(m, "HardSigmoid", "t_d", "z");
    pair(m, "z", 1 / 255.F, 0, U8);
    check(m, "elementwise", 0.004, &g);
    expect(&g, DV_OP_Q_CONV, 1);
    expect(&g, DV_OP_Q_BINARY, 2);
    expect(&g, DV_OP_Q_ACT, 3); /* sigmoid, hard sigmoid, and the new scale */
    expect(&g, DV_OP_ACT, 0);
    expect(&g, DV_OP_BINARY, 0);
    expect(&g, DV_OP_DEQUANTIZE, 1);
    dv_graph_free(&g);
}

/* An activation between two pairs is a table inside the layer. */
static void test_swish(void **state)
{
    (void)state;
    mk *m = net("y_d");
    dv_graph g;
    pair(m, "x", 0.01F, 128, U8);
    weights(m, "w", S8, 0, 0, DIMS(8, 6, 3, 3), 0.01F);
    conv(m, "x_d w_d", "c", 1);
    pair(m, "c", 0.06F, 128, U8);
    mk_op(m, "Sigmoid", "c_d", "s");
    mk_op(m, "Mul", "c_d s", "y");
    pair(m, "y", 0.03F, 10, U8);
    check(m, "swish", 0.002, &g);
    expect(&g, DV_OP_Q_CONV, 1);
    expect(&g, DV_OP_Q_ACT, 0);
    expect(&g, DV_OP_DEQUANTIZE, 1);
    dv_graph_free(&g);
}

/* What reads a value before its pair reads floats; a pair on the input of a move; scales that
 * differ in a Concat; a pooling that has no 8-bit form. */
static void test_mixed(void **state)
{
    (void)state;
    mk *m = net("o");
    dv_graph g;
    pair(m, "x", 0.01F, 128, U8);
    weights(m, "w", S8, 0, 0, DIMS(6, 6, 1, 1), 0.004F);
    mk_op(m, "Conv", "x_d w_d", "c");
    pair(m, "c", 0.015F, 120, U8);
    mk_int(m, mk_op(m, "Concat", "x_d c_d", "k"), "axis", 1);
    pair(m, "k", 0.015F, 128, U8);
    mk_node *pool = mk_op(m, "AveragePool", "k_d", "p");
    mk_list(m, pool, "kernel_shape", INTS(2, 2));
    pair(m, "p", 0.0117F, 128, U8); /* no ties */
    weights(m, "v", S8, 0, -1, DIMS(5, 12, 1, 1), 0.01F);
    mk_op(m, "Conv", "p_d v_d", "f");
    mk_op(m, "Tanh", "f", "o1");
    mk_list(m, mk_op(m, "ReduceMean", "c", "mean"), "axes", INTS(1, 2, 3));
    mk_op(m, "Add", "o1 mean", "o");
    check(m, "mixed", 0.01, &g);
    expect(&g, DV_OP_Q_CONV, 2);
    expect(&g, DV_OP_AVG_POOL, 1);
    expect(&g, DV_OP_CONCAT, 1);
    expect(&g, DV_OP_Q_ACT, 2); /* both inputs get the scale of the result */
    dv_graph_free(&g);
}

/* Bytes that move before they are read; matrices. */
static void test_matrices(void **state)
{
    (void)state;
    mk *m = net("y");
    dv_graph g;
    mk_floats(m, "s", 0, NULL, FLOATS(0.01F));
    static const int zero = -5;
    bytes(m, "z", S8, 0, NULL, &zero);
    mk_op(m, "QuantizeLinear", "x s z", "q");
    mk_node *pool = mk_op(m, "MaxPool", "q", "q2");
    mk_list(m, pool, "kernel_shape", INTS(2, 2));
    mk_list(m, pool, "strides", INTS(2, 2));
    mk_int(m, mk_op(m, "Flatten", "q2", "q3"), "axis", 1);
    mk_op(m, "DequantizeLinear", "q3 s z", "d");
    weights(m, "w", S8, 0, 0, DIMS(10, 72), 0.004F);
    mk_int(m, mk_op(m, "Gemm", "d w_d", "e"), "transB", 1);
    pair(m, "e", 0.05F, 128, U8);
    weights(m, "v", S8, 0, 1, DIMS(10, 4), 0.02F);
    mk_op(m, "MatMul", "e_d v_d", "y");
    check(m, "matrices", 0, &g);
    expect(&g, DV_OP_Q_LINEAR, 2);
    expect(&g, DV_OP_LINEAR, 0);
    expect(&g, DV_OP_QUANTIZE, 1);
    expect(&g, DV_OP_DEQUANTIZE, 0);
    dv_graph_free(&g);
}

static void test_dynamic(void **state)
{
    (void)state;
    mk *m = net("y");
    dv_graph g;
    mk_op(m, "DynamicQuantizeLinear", "x", "q s z");
    mk_op(m, "DequantizeLinear", "q s z", "d");
    weights(m, "w", S8, 0, 0, DIMS(8, 6, 3, 3), 0.01F);
    mk_floats(m, "b", DIMS(8), FLOATS(0, 1, 0, -1, 2, 0, 0, 3));
    conv(m, "d w_d b", "y", 1);
    tolerance = 1e-4; /* biases become integers */
    check(m, "dynamic", 0, &g);
    tolerance = 1e-5;
    expect(&g, DV_OP_Q_CONV, 1);
    expect(&g, DV_OP_QUANTIZE, 1);
    expect(&g, DV_OP_DEQUANTIZE, 0);
    dv_graph_free(&g);
}

/* ---- refused ---- */

static void refused(mk *m, const char *reason)
{
    dv_graph g;
    dv_err e = {0};
    if (mk_import(m, NULL, &g, &e) == DMV_OK)
        fail_msg("imported: %s", reason);
    if (!strstr(e.msg, reason))
        fail_msg("\"%s\" is not in \"%s\"", reason, e.msg);
    mk_free(m);
}

static void test_refused(void **state)
{
    (void)state;
    static const int zero = 0, zeros[6] = {0};
    mk *m = net("y");
    mk_floats(m, "s", DIMS(6), FLOATS(1, 1, 1, 1, 1, 1));
    bytes(m, "z", U8, DIMS(6), zeros);
    mk_op(m, "QuantizeLinear", "x s z", "q");
    mk_op(m, "DequantizeLinear", "q s z", "y");
    refused(m, "a scale a channel");

    m = net("y");
    mk_floats(m, "s", 0, NULL, FLOATS(1));
    bytes(m, "z", ONNX__TENSOR_PROTO__DATA_TYPE__INT32, 0, NULL, &zero);
    mk_op(m, "QuantizeLinear", "x s z", "q");
    mk_op(m, "DequantizeLinear", "q s z", "y");
    refused(m, "other than 8 bits");

    m = net("y");
    mk_floats(m, "s", 0, NULL, FLOATS(1));
    mk_int(m, mk_op(m, "QuantizeLinear", "x s", "q"), "block_size", 2);
    mk_op(m, "DequantizeLinear", "q s", "y");
    refused(m, "scales of blocks");

    m = net("q");
    mk_floats(m, "s", 0, NULL, FLOATS(1));
    mk_op(m, "QuantizeLinear", "x s", "q");
    refused(m, "output 'q' is 8-bit");

    m = net("y");
    mk_floats(m, "s", 0, NULL, FLOATS(1));
    mk_floats(m, "t", 0, NULL, FLOATS(2));
    mk_op(m, "QuantizeLinear", "x s", "q");
    mk_op(m, "DequantizeLinear", "q t", "y");
    refused(m, "another scale or zero point");

    m = net("y");
    mk_floats(m, "s", 0, NULL, FLOATS(1));
    mk_op(m, "QuantizeLinear", "x s", "q");
    mk_op(m, "Relu", "q", "r");
    mk_op(m, "DequantizeLinear", "r s", "y");
    refused(m, "8-bit values that are not dequantised");

    m = net("y");
    mk_floats(m, "s", 0, NULL, FLOATS(0));
    mk_op(m, "QuantizeLinear", "x s", "q");
    mk_op(m, "DequantizeLinear", "q s", "y");
    refused(m, "a scale of 0");

    m = net("y");
    mk_floats(m, "s", 0, NULL, FLOATS(NAN));
    mk_op(m, "QuantizeLinear", "x s", "q");
    mk_op(m, "DequantizeLinear", "q s", "y");
    refused(m, "a scale of");

    m = net("y");
    mk_floats(m, "s", 0, NULL, FLOATS(1));
    mk_op(m, "DequantizeLinear", "x s", "y");
    refused(m, "was not quantised");

    m = net("y");
    mk_floats(m, "s", DIMS(2), FLOATS(1, 1));
    bytes(m, "w", S8, DIMS(6, 1), zeros);
    mk_int(m, mk_op(m, "DequantizeLinear", "w s", "d"), "axis", 0);
    mk_op(m, "MatMul", "x d", "y");
    refused(m, "2 scales for an axis of 6");

    m = net("y");
    mk_op(m, "QuantizeLinear", "x x", "q");
    mk_op(m, "DequantizeLinear", "q x", "y");
    refused(m, "a scale computed while running");

    m = net("y");
    mk_floats(m, "s", 0, NULL, FLOATS(1));
    mk_op(m, "DynamicQuantizeLinear", "x", "q t z");
    mk_op(m, "DequantizeLinear", "q s", "y");
    refused(m, "another scale than DynamicQuantizeLinear");

    m = net("y");
    mk_floats(m, "s", 0, NULL, FLOATS(1));
    mk_floats(m, "z2", 0, NULL, FLOATS(1));
    mk_op(m, "QuantizeLinear", "x s z2", "q");
    mk_op(m, "DequantizeLinear", "q s z2", "y");
    refused(m, "of the wrong kind");
}

static void test_no_memory(void **state)
{
    (void)state;
    dmv_status st = DMV_ERR_MEMORY;
    size_t size;
    mk *m = net("y_d");
    pair(m, "x", 0.01F, 128, U8);
    weights(m, "w", S8, 0, 0, DIMS(8, 6, 3, 3), 0.01F);
    conv(m, "x_d w_d", "c", 1);
    mk_op(m, "Relu", "c", "y");
    pair(m, "y", 0.03F, 0, U8);
    uint8_t *onnx = mk_pack(m, &size);
    for (uint64_t nth = 1; st != DMV_OK; nth++) {
        dv_graph g, b;
        dv_err e = {0};
        dv_graph_init(&b);
        dv_alloc_fail_at(nth, nth % 2 == 0);
        st = dv_import_onnx(onnx, size, "net", NULL, &g, &e);
        if (!st) {
            st = dv_quant_pairs(&g, &b, &e);
            dv_graph_free(&g);
        }
        dv_alloc_fail_at(0, false);
        if (st != DMV_OK)
            assert_int_equal(st, DMV_ERR_MEMORY);
        dv_graph_free(&b);
    }
    free(onnx);
    mk_free(m);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),      cmocka_unit_test(test_wide_weights),
        cmocka_unit_test(test_elementwise), cmocka_unit_test(test_quantised_weights),
        cmocka_unit_test(test_swish),       cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_matrices),    cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_no_memory),
    };
    folder = argc > 1 ? argv[1] : NULL;
    int bad = cmocka_run_group_tests(tests, NULL, NULL);
    if (folder && !cases.bad)
        put("cases", ".txt", cases.data, cases.size);
    dv_buf_free(&cases);
    return bad;
}
