/* SPDX-License-Identifier: Apache-2.0
 *
 * Lowering: small nets, one operator or rule each, imported plainly and with the passes and
 * run; the expected numbers are worked out by hand. What matters here is the reading of
 * ONNX (attributes against inputs, old operator sets, layouts), not the kernels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "make_onnx.h"

/* x[1,2,3,3] = 0 .. 17 */
static float ramp[64];

static void conv_layout(void **state)
{
    (void)state;
    /* 2 -> 3 channels, 1x2 kernel: w[o][i][0][t] = o + 10 i + 100 t, so every index shows. */
    float w[12], want[3 * 3 * 2];
    for (int o = 0; o < 3; o++)
        for (int i = 0; i < 2; i++)
            for (int t = 0; t < 2; t++)
                w[(o * 2 + i) * 2 + t] = (float)(o + 10 * i + 100 * t);
    for (int o = 0; o < 3; o++)
        for (int y = 0; y < 3; y++)
            for (int x = 0; x < 2; x++) {
                float s = (float)o; /* bias */
                for (int i = 0; i < 2; i++)
                    for (int t = 0; t < 2; t++)
                        s += w[(o * 2 + i) * 2 + t] * ramp[i * 9 + y * 3 + x + t];
                want[(o * 3 + y) * 2 + x] = s;
            }
    mk *m = mk_new(11);
    mk_input(m, "x", DIMS(1, 2, 3, 3));
    mk_floats(m, "w", DIMS(3, 2, 1, 2), w);
    mk_floats(m, "b", DIMS(3), FLOATS(0, 1, 2));
    mk_op(m, "Conv", "x w b", "y");
    mk_output(m, "y");
    mk_check(m, ramp, DIMS(1, 3, 3, 2), want);
    mk_free(m);
}

static void conv_groups(void **state)
{
    (void)state;
    /* Depthwise 1x1 with multiplier 2, and plain depthwise. */
    mk *m = mk_new(11);
    float want[36];
    mk_input(m, "x", DIMS(1, 2, 3, 3));
    mk_floats(m, "w", DIMS(4, 1, 1, 1), FLOATS(1, 2, 3, 4));
    mk_floats(m, "v", DIMS(4, 1, 1, 1), FLOATS(1, -1, 1, 0.5f));
    mk_int(m, mk_op(m, "Conv", "x w", "y"), "group", 2);
    mk_int(m, mk_op(m, "Conv", "y v", "z"), "group", 4);
    mk_output(m, "z");
    for (int o = 0; o < 4; o++)
        for (int i = 0; i < 9; i++)
            want[o * 9 + i] = ramp[o / 2 * 9 + i] * FLOATS(1, -2, 3, 2)[o];
    mk_check(m, ramp, DIMS(1, 4, 3, 3), want);
    mk_free(m);
}

static void conv_auto_pad(void **state)
{
    (void)state;
    /* 1x2 kernel of ones over 3 columns: upper pads on the right, lower on the left. */
    for (int lower = 0; lower < 2; lower++) {
        mk *m = mk_new(11);
        mk_input(m, "x", DIMS(1, 1, 1, 3));
        mk_floats(m, "w", DIMS(1, 1, 1, 2), FLOATS(1, 1));
        mk_text(m, mk_op(m, "Conv", "x w", "y"), "auto_pad", lower ? "SAME_LOWER" : "SAME_UPPER");
        mk_output(m, "y");
        mk_check(m, FLOATS(1, 2, 4), DIMS(1, 1, 1, 3), lower ? FLOATS(1, 3, 6) : FLOATS(3, 6, 4));
        mk_free(m);
    }
}

static void conv_transpose(void **state)
{
    (void)state;
    /* Stride 2, kernel 1x2: each pixel becomes a pair, w[i][o][0][t]. */
    mk *m = mk_new(11);
    mk_input(m, "x", DIMS(1, 2, 1, 2));
    mk_floats(m, "w", DIMS(2, 1, 1, 2), FLOATS(1, 10, 100, 1000));
    mk_list(m, mk_op(m, "ConvTranspose", "x w", "y"), "strides", INTS(1, 2));
    mk_output(m, "y");
    mk_check(m, FLOATS(1, 2, 3, 4), DIMS(1, 1, 1, 4), FLOATS(301, 3010, 402, 4020));
    mk_free(m);
}

static void batch_norm(void **state)
{
    (void)state;
    for (int flat = 0; flat < 2; flat++) {
        mk *m = mk_new(9);
        mk_input(m, "x", flat ? 2 : 4, (int64_t[]){1, 2, 1, 1});
        mk_floats(m, "s", DIMS(2), FLOATS(2, 3));
        mk_floats(m, "b", DIMS(2), FLOATS(1, -1));
        mk_floats(m, "mean", DIMS(2), FLOATS(0.5f, 1));
        mk_floats(m, "var", DIMS(2), FLOATS(4, 9));
        mk_float(m, mk_op(m, "BatchNormalization", "x s b mean var", "y"), "epsilon", 0);
        mk_output(m, "y");
        mk_check(m, FLOATS(2.5f, 7), flat ? 2 : 4, (int64_t[]){1, 2, 1, 1}, FLOATS(3, 5));
        mk_free(m);
    }
}

static void gemm(void **state)
{
    (void)state;
    /* alpha A B^T + beta c; then the same with the bias as a full row matrix. */
    mk *m = mk_new(11);
    mk_input(m, "x", DIMS(1, 2));
    mk_floats(m, "w", DIMS(3, 2), FLOATS(1, 2, 3, 4, 5, 6));
    mk_floats(m, "c", DIMS(1, 3), FLOATS(1, 2, 3));
    mk_node *n = mk_op(m, "Gemm", "x w c", "y");
    mk_int(m, n, "transB", 1);
    mk_float(m, n, "alpha", 2);
    mk_float(m, n, "beta", 10);
    mk_output(m, "y");
    dv_graph g;
    dv_err e = {0};
    assert_int_equal(mk_import(m, NULL, &g, &e), DMV_OK);
    assert_int_equal(g.n_nodes, 1);
    assert_int_equal(g.nodes[0].op, DV_OP_LINEAR);
    assert_int_equal(g.tensors[g.nodes[0].in[1]].pack, DV_PACK_PANEL);
    assert_int_equal(g.tensors[g.nodes[0].in[2]].pack, DV_PACK_VEC);
    dv_graph_free(&g);
    mk_check(m, FLOATS(1, 10), DIMS(1, 3), FLOATS(52, 106, 160));
    mk_free(m);

    m = mk_new(11); /* both operands computed, A transposed */
    mk_input(m, "x", DIMS(2, 2));
    mk_int(m, mk_op(m, "Gemm", "x x", "y"), "transA", 1);
    mk_output(m, "y");
    mk_check(m, FLOATS(1, 2, 3, 4), DIMS(2, 2), FLOATS(10, 14, 14, 20));
    mk_free(m);
}

static void matmul_of_turned_constant(void **state)
{
    (void)state;
    mk *m = mk_new(13);
    mk_input(m, "x", DIMS(1, 2, 2));
    mk_floats(m, "w", DIMS(3, 2), FLOATS(1, 2, 3, 4, 5, 6));
    mk_op(m, "Transpose", "w", "wt");
    mk_op(m, "MatMul", "x wt", "y");
    mk_output(m, "y");
    dv_import_options o = {.no_passes = true};
    dv_graph g;
    dv_err e = {0};
    assert_int_equal(mk_import(m, &o, &g, &e), DMV_OK);
    assert_int_equal(g.n_nodes, 1);
    assert_int_equal(g.nodes[0].op, DV_OP_LINEAR);
    dv_graph_free(&g);
    mk_check(m, FLOATS(1, 0, 0, 1), DIMS(1, 2, 3), FLOATS(1, 3, 5, 2, 4, 6));
    mk_free(m);
}

static void shape_program(void **state)
{
    (void)state;
    /* Reshape to (batch, -1) as exporters write it; the batch is known, nothing remains. */
    mk *m = mk_new(11);
    mk_input(m, "x", DIMS(-1, 2, 3, 3));
    mk_op(m, "Shape", "x", "s");
    mk_ints(m, "zero", INTS(0));
    mk_op(m, "Gather", "s zero", "n");
    mk_ints(m, "rest", INTS(-1));
    mk_int(m, mk_op(m, "Concat", "n rest", "to"), "axis", 0);
    mk_op(m, "Reshape", "x to", "y");
    mk_output(m, "y");
    dv_import_options o = {.no_passes = true};
    dv_graph g;
    dv_err e = {0};
    assert_int_equal(mk_import(m, &o, &g, &e), DMV_OK);
    assert_int_equal(g.n_nodes, 1);
    dv_graph_free(&g);
    mk_check(m, ramp, DIMS(1, 18), ramp);
    mk_free(m);
}

static void free_sizes(void **state)
{
    (void)state;
    mk *m = mk_new(11);
    mk_input(m, "x", DIMS(-1, 3, -1, -1));
    mk_op(m, "Relu", "x", "y");
    mk_output(m, "y");
    dv_graph g;
    dv_err e = {0};
    assert_int_equal(mk_import(m, NULL, &g, &e), DMV_OK);
    const dv_gtensor *in = &g.tensors[g.inputs[0]];
    assert_int_equal(in->dims[0], 1);
    assert_int_equal(in->dims[1], 3);
    assert_int_equal(in->dims[2], -1);
    dv_graph_free(&g);
    dv_import_options o = {.dims = (int64_t[]){2, 3, 8, 16}, .rank = 4};
    assert_int_equal(mk_import(m, &o, &g, &e), DMV_OK);
    in = &g.tensors[g.inputs[0]];
    assert_int_equal(in->dims[0], 2);
    assert_int_equal(in->dims[3], 16);
    dv_graph_free(&g);
    o.dims = (int64_t[]){1, 4, 8, 16}; /* the net has 3 channels */
    assert_int_equal(mk_import(m, &o, &g, &e), DMV_ERR_ARGUMENT);
    mk_free(m);
}

static void old_softmax(void **state)
{
    (void)state;
    /* Axis 1 of [1,2,2] before set 13: over all four. */
    for (int set = 11; set <= 13; set += 2) {
        mk *m = mk_new(set);
        mk_input(m, "x", DIMS(1, 2, 2));
        mk_int(m, mk_op(m, "Softmax", "x", "y"), "axis", 1);
        mk_output(m, "y");
        float a = 1 / (1 + expf(1)), b = 1 - a;
        float four = 2 + 2 * expf(1);
        mk_check(m, FLOATS(0, 0, 1, 1), DIMS(1, 2, 2),
                 set < 13 ? FLOATS(1 / four, 1 / four, expf(1) / four, expf(1) / four)
                          : FLOATS(a, a, b, b));
        mk_free(m);
    }
}

static void clip_forms(void **state)
{
    (void)state;
    mk *m = mk_new(6 + 1);
    mk_input(m, "x", DIMS(4));
    mk_node *n = mk_op(m, "Clip", "x", "y");
    mk_float(m, n, "min", 0);
    mk_float(m, n, "max", 6);
    mk_output(m, "y");
    mk_check(m, FLOATS(-1, 3, 7, 6), DIMS(4), FLOATS(0, 3, 6, 6));
    mk_free(m);
    m = mk_new(13);
    mk_input(m, "x", DIMS(4));
    mk_floats(m, "hi", 0, NULL, FLOATS(2));
    mk_op(m, "Clip", "x - hi", "y");
    mk_output(m, "y");
    mk_check(m, FLOATS(-1, 3, 7, 6), DIMS(4), FLOATS(-1, 2, 2, 2));
    mk_free(m);
}

static void slice_and_split(void **state)
{
    (void)state;
    mk *m = mk_new(9); /* attributes */
    mk_input(m, "x", DIMS(1, 4));
    mk_node *n = mk_op(m, "Slice", "x", "y");
    mk_list(m, n, "starts", INTS(-3));
    mk_list(m, n, "ends", INTS(INT64_MAX));
    mk_list(m, n, "axes", INTS(1));
    mk_output(m, "y");
    mk_check(m, FLOATS(1, 2, 3, 4), DIMS(1, 3), FLOATS(2, 3, 4));
    mk_free(m);
    m = mk_new(13); /* inputs, backwards */
    mk_input(m, "x", DIMS(1, 4));
    mk_ints(m, "s", INTS(3));
    mk_ints(m, "e", INTS(0));
    mk_ints(m, "a", INTS(1));
    mk_ints(m, "p", INTS(-2));
    mk_op(m, "Slice", "x s e a p", "y");
    mk_output(m, "y");
    mk_check(m, FLOATS(1, 2, 3, 4), DIMS(1, 2), FLOATS(4, 2));
    mk_free(m);
    m = mk_new(13);
    mk_input(m, "x", DIMS(1, 4));
    mk_ints(m, "parts", INTS(1, 3));
    mk_int(m, mk_op(m, "Split", "x parts", "a b"), "axis", 1);
    mk_output(m, "b");
    mk_check(m, FLOATS(1, 2, 3, 4), DIMS(1, 3), FLOATS(2, 3, 4));
    mk_free(m);
    m = mk_new(18); /* the last part is smaller */
    mk_input(m, "x", DIMS(1, 5));
    n = mk_op(m, "Split", "x", "a b");
    mk_int(m, n, "axis", 1);
    mk_int(m, n, "num_outputs", 2);
    mk_output(m, "b");
    mk_check(m, FLOATS(1, 2, 3, 4, 5), DIMS(1, 2), FLOATS(4, 5));
    mk_free(m);
}

static void long_concat(void **state)
{
    (void)state;
    /* More inputs than a node of ours may have. */
    mk *m = mk_new(11);
    char in[2 * 150 + 1];
    float want[150];
    for (int i = 0; i < 150; i++) {
        memcpy(in + 2 * i, "x ", 3);
        want[i] = 7;
    }
    mk_input(m, "x", DIMS(1, 1));
    mk_int(m, mk_op(m, "Concat", in, "y"), "axis", 1);
    mk_output(m, "y");
    mk_check(m, FLOATS(7), DIMS(1, 150), want);
    mk_free(m);
}

static void resize_forms(void **state)
{
    (void)state;
    mk *m = mk_new(10); /* Upsample's successor: scales second */
    mk_input(m, "x", DIMS(1, 1, 1, 2));
    mk_floats(m, "s", DIMS(4), FLOATS(1, 1, 1, 2));
    mk_op(m, "Resize", "x s", "y");
    mk_output(m, "y");
    mk_check(m, FLOATS(1, 2), DIMS(1, 1, 1, 4), FLOATS(1, 1, 2, 2));
    mk_free(m);
    m = mk_new(13); /* sizes, linear, half pixel */
    mk_input(m, "x", DIMS(1, 1, 1, 2));
    mk_ints(m, "n", INTS(1, 1, 1, 4));
    mk_text(m, mk_op(m, "Resize", "x - - n", "y"), "mode", "linear");
    mk_output(m, "y");
    mk_check(m, FLOATS(0, 4), DIMS(1, 1, 1, 4), FLOATS(0, 1, 3, 4));
    mk_free(m);
}

static void norms(void **state)
{
    (void)state;
    float r = 1 / sqrtf(1.25f);
    mk *m = mk_new(17);
    mk_input(m, "x", DIMS(1, 1, 2, 2));
    mk_floats(m, "s", DIMS(1), FLOATS(2));
    mk_floats(m, "b", DIMS(1), FLOATS(1));
    mk_float(m, mk_op(m, "InstanceNormalization", "x s b", "y"), "epsilon", 0);
    mk_output(m, "y");
    mk_check(m, FLOATS(0, 1, 2, 3), DIMS(1, 1, 2, 2), FLOATS(1 - 3 * r, 1 - r, 1 + r, 1 + 3 * r));
    mk_free(m);
    m = mk_new(17);
    mk_input(m, "x", DIMS(1, 2));
    mk_int(m, mk_op(m, "LpNormalization", "x", "y"), "p", 2);
    mk_output(m, "y");
    mk_check(m, FLOATS(3, 4), DIMS(1, 2), FLOATS(0.6f, 0.8f));
    mk_free(m);
}

static void truth_values_of_constants(void **state)
{
    (void)state;
    /* Expand as PyTorch exports it: where(shape == -1, ones, shape). */
    mk *m = mk_new(13);
    mk_input(m, "x", DIMS(1, 1));
    mk_ints(m, "shape", INTS(2, -1));
    mk_ints(m, "minus", INTS(-1));
    mk_ints(m, "ones", INTS(1, 3));
    mk_op(m, "Equal", "shape minus", "which");
    mk_op(m, "Where", "which ones shape", "to");
    mk_op(m, "Expand", "x to", "y");
    mk_output(m, "y");
    mk_check(m, FLOATS(5), DIMS(2, 3), FLOATS(5, 5, 5, 5, 5, 5));
    mk_free(m);
}

static void stored_types(void **state)
{
    (void)state;
    /* float16 raw and in int32 fields, double, int8 scaled by Cast. */
    static const uint16_t halfs[4] = {0x3c00, 0xc000, 0x0001, 0x7bff}; /* 1 -2 2^-24 65504 */
    static const double doubles[4] = {1, 2, 3, 4};
    static const int8_t bytes[4] = {-1, 2, 127, -128};
    float want[4];
    for (int form = 0; form < 4; form++) {
        mk *m = mk_new(13);
        mk_input(m, "x", DIMS(4));
        Onnx__TensorProto *t = mk_floats(m, "c", DIMS(4), ramp);
        t->n_float_data = 0;
        t->has_raw_data = form != 1;
        if (form == 0) {
            t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
            t->raw_data = (ProtobufCBinaryData){sizeof halfs, (uint8_t *)(uintptr_t)halfs};
        } else if (form == 1) {
            t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
            t->n_int32_data = 4;
            t->int32_data = mk_alloc(m, 4 * sizeof *t->int32_data);
            for (int i = 0; i < 4; i++)
                t->int32_data[i] = halfs[i];
        } else if (form == 2) {
            t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
            t->raw_data = (ProtobufCBinaryData){sizeof doubles, (uint8_t *)(uintptr_t)doubles};
        } else {
            t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
            t->raw_data = (ProtobufCBinaryData){sizeof bytes, (uint8_t *)(uintptr_t)bytes};
        }
        mk_int(m, mk_op(m, "Cast", "c", "f"), "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
        mk_op(m, "Add", "x f", "y");
        mk_output(m, "y");
        for (int i = 0; i < 4; i++)
            want[i] = form < 2    ? FLOATS(1, -2, 0x1p-24f, 65504)[i]
                      : form == 2 ? (float)doubles[i]
                                  : (float)bytes[i];
        mk_check(m, FLOATS(0, 0, 0, 0), DIMS(4), want);
        mk_free(m);
    }
}

static void constant_forms(void **state)
{
    (void)state;
    mk *m = mk_new(13);
    mk_input(m, "x", DIMS(1, 2));
    mk_float(m, mk_op(m, "Constant", "", "two"), "value_float", 2);
    Onnx__AttributeProto *a = mk_attr(m, mk_op(m, "Constant", "", "row"), "value_floats");
    a->n_floats = 2;
    a->floats = ramp + 1;
    mk_list(m, mk_op(m, "Constant", "", "to"), "value_ints", INTS(2, 1));
    mk_op(m, "Mul", "x two", "a");
    mk_op(m, "Add", "a row", "b");
    mk_op(m, "Reshape", "b to", "y");
    mk_output(m, "y");
    mk_check(m, FLOATS(10, 20), DIMS(2, 1), FLOATS(21, 42));
    mk_free(m);
}

static void order_and_dead_nodes(void **state)
{
    (void)state;
    /* Nodes backwards in the file; one that no output needs and that we cannot do. */
    mk *m = mk_new(13);
    mk_input(m, "x", DIMS(2));
    mk_op(m, "Exp", "b", "y");
    mk_op(m, "Neg", "a", "b");
    mk_op(m, "LSTM", "a", "nobody");
    mk_op(m, "Abs", "x", "a");
    mk_output(m, "y");
    mk_check(m, FLOATS(0, -1), DIMS(2), FLOATS(1, expf(-1)));
    mk_free(m);
}

static void outputs_that_are_inputs(void **state)
{
    (void)state;
    mk *m = mk_new(13);
    mk_input(m, "x", DIMS(2));
    mk_op(m, "Identity", "x", "y");
    mk_op(m, "Dropout", "x", "z");
    mk_output(m, "y");
    mk_output(m, "z");
    dv_graph g;
    dv_err e = {0};
    dv_import_options o = {.no_passes = true};
    assert_int_equal(mk_import(m, &o, &g, &e), DMV_OK);
    assert_int_equal(count_op(&g, DV_OP_IDENTITY), 2);
    assert_string_equal(g.tensors[g.outputs[0]].name, "y");
    assert_string_equal(g.tensors[g.outputs[1]].name, "z");
    dv_graph_free(&g);
    mk_check(m, FLOATS(1, 2), DIMS(2), FLOATS(1, 2));
    mk_free(m);
}

static void inputs_that_are_constants(void **state)
{
    (void)state;
    /* IR version 3 lists initializers among the inputs. */
    mk *m = mk_new(9);
    mk_input(m, "x", DIMS(2));
    mk_input(m, "c", DIMS(2));
    mk_floats(m, "c", DIMS(2), FLOATS(3, 4));
    mk_op(m, "Add", "x c", "y");
    mk_output(m, "y");
    dv_graph g;
    dv_err e = {0};
    assert_int_equal(mk_import(m, NULL, &g, &e), DMV_OK);
    assert_int_equal(g.n_inputs, 1);
    dv_graph_free(&g);
    mk_check(m, FLOATS(1, 2), DIMS(2), FLOATS(4, 6));
    mk_free(m);
}

static void shared_weights(void **state)
{
    (void)state;
    /* One constant as weights of two convolutions and as a plain operand: packed once for the
     * convolutions, plain for the sum. */
    mk *m = mk_new(13);
    mk_input(m, "x", DIMS(1, 1, 1, 1));
    mk_floats(m, "w", DIMS(1, 1, 1, 1), FLOATS(3));
    mk_op(m, "Conv", "x w", "a");
    mk_op(m, "Conv", "a w", "b");
    mk_op(m, "Add", "b w", "y");
    mk_output(m, "y");
    mk_check(m, FLOATS(2), DIMS(1, 1, 1, 1), FLOATS(21));
    mk_free(m);
}

int main(void)
{
    for (size_t i = 0; i < DV_COUNT(ramp); i++)
        ramp[i] = (float)i;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_layout),
        cmocka_unit_test(conv_groups),
        cmocka_unit_test(conv_auto_pad),
        cmocka_unit_test(conv_transpose),
        cmocka_unit_test(batch_norm),
        cmocka_unit_test(gemm),
        cmocka_unit_test(matmul_of_turned_constant),
        cmocka_unit_test(shape_program),
        cmocka_unit_test(free_sizes),
        cmocka_unit_test(old_softmax),
        cmocka_unit_test(clip_forms),
        cmocka_unit_test(slice_and_split),
        cmocka_unit_test(long_concat),
        cmocka_unit_test(resize_forms),
        cmocka_unit_test(norms),
        cmocka_unit_test(truth_values_of_constants),
        cmocka_unit_test(stored_types),
        cmocka_unit_test(constant_forms),
        cmocka_unit_test(order_and_dead_nodes),
        cmocka_unit_test(outputs_that_are_inputs),
        cmocka_unit_test(inputs_that_are_constants),
        cmocka_unit_test(shared_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
