/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that must not import: wrong, damaged, hostile, or beyond what we can do. Each fails
 * with the right status and a message that names the place; nothing leaks (the sanitizer
 * looks on) and a failed allocation at any point is reported as such. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "make_onnx.h"

/* Imports, expects that status and all the words (separated by '|') in the message. */
static void expect(mk *m, dmv_status want, const char *words)
{
    dv_graph g;
    dv_err e = {0};
    char copy[256], *save = NULL;
    dmv_status st = mk_import(m, NULL, &g, &e);
    if (st != want)
        fail_msg("status %d, not %d: %s", st, want, e.msg);
    assert_int_equal(e.code, want);
    assert_null(g.nodes);
    snprintf(copy, sizeof copy, "test.onnx|%s", words);
    for (char *w = strtok_r(copy, "|", &save); w; w = strtok_r(NULL, "|", &save))
        if (!strstr(e.msg, w))
            fail_msg("no \"%s\" in \"%s\"", w, e.msg);
    mk_free(m);
}

/* x[1,2,4,4] and whatever the caller adds, which writes y. */
static mk *start(int64_t opset)
{
    mk *m = mk_new(opset);
    mk_input(m, "x", DIMS(1, 2, 4, 4));
    mk_output(m, "y");
    return m;
}

static const float zeros[64];

/* A small net with most of the parts a file can have. */
static mk *whole_net(void)
{
    mk *m = start(11);
    mk_floats(m, "w", DIMS(4, 2, 3, 3), (float[72]){1, 2, 3});
    mk_floats(m, "b", DIMS(4), zeros);
    mk_list(m, mk_op(m, "Conv", "x w b", "c"), "pads", INTS(1, 1, 1, 1));
    mk_op(m, "Relu", "c", "r");
    mk_node *n = mk_op(m, "MaxPool", "r", "p");
    mk_list(m, n, "kernel_shape", INTS(2, 2));
    mk_list(m, n, "strides", INTS(2, 2));
    mk_ints(m, "to", INTS(1, -1));
    mk_op(m, "Reshape", "p to", "f");
    mk_floats(m, "v", DIMS(16, 2), (float[32]){1, 2, 3});
    mk_op(m, "MatMul", "f v", "g");
    mk_int(m, mk_op(m, "Softmax", "g", "y"), "axis", 1);
    return m;
}

static void all_unsupported_at_once(void **state)
{
    (void)state;
    mk *m = start(11);
    mk_op(m, "LSTM", "x", "a")->name = (char *)(uintptr_t) "first_lstm";
    mk_op(m, "LSTM", "a", "b");
    mk_text(m, mk_op(m, "Resize", "b - s", "c"), "mode", "cubic");
    mk_floats(m, "s", DIMS(4), FLOATS(1, 1, 2, 2));
    mk_op(m, "QuantWonder", "c", "d")->domain = (char *)(uintptr_t) "com.example";
    mk_op(m, "NonZero", "d", "y");
    expect(m, DMV_ERR_UNSUPPORTED,
           "5 nodes|LSTM (2 nodes, first 'first_lstm')|Resize with mode cubic ('c')|"
           "com.example.QuantWonder ('d')|NonZero ('y')");
}

static void long_lists_end(void **state)
{
    (void)state;
    mk *m = start(11);
    char op[40], in[8] = "x", out[8];
    for (int i = 0; i < 100; i++) {
        snprintf(op, sizeof op, "OperatorWithAVeryLongName%03d", i);
        snprintf(out, sizeof out, i < 99 ? "t%d" : "y", i);
        mk_op(m, op, in, out);
        memcpy(in, out, sizeof in);
    }
    expect(m, DMV_ERR_UNSUPPORTED, "100 nodes|Name000|and |more");
}

static void things_we_cannot_do(void **state)
{
    (void)state;
    mk *m = start(11);
    mk_op(m, "Conv", "x x", "y");
    expect(m, DMV_ERR_UNSUPPORTED, "Conv with weights computed while running ('y')");

    m = mk_new(11);
    mk_input(m, "x", DIMS(1, 2, 8));
    mk_floats(m, "w", DIMS(2, 2, 3), zeros);
    mk_op(m, "Conv", "x w", "y");
    mk_output(m, "y");
    expect(m, DMV_ERR_UNSUPPORTED, "Conv with 1-d pictures");

    m = mk_new(11);
    mk_input(m, "x", DIMS(1, 1, -1, -1));
    mk_floats(m, "w", DIMS(1, 1, 3, 3), zeros);
    mk_node *n = mk_op(m, "Conv", "x w", "y");
    mk_text(m, n, "auto_pad", "SAME_UPPER");
    mk_list(m, n, "strides", INTS(2, 2));
    mk_output(m, "y");
    expect(m, DMV_ERR_UNSUPPORTED, "auto_pad on a picture of free size");

    m = start(11);
    mk_int(m, mk_op(m, "Cast", "x", "i"), "to", ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
    mk_op(m, "Reshape", "x i", "y");
    expect(m, DMV_ERR_UNSUPPORTED, "Cast with computed numbers turned into integers");

    m = start(11);
    mk_op(m, "Shape", "x", "y");
    expect(m, DMV_ERR_UNSUPPORTED, "output 'y'|integers");

    m = start(5);
    mk_op(m, "Relu", "x", "y");
    expect(m, DMV_ERR_UNSUPPORTED, "operator set 5|version_converter");

    m = start(99);
    mk_op(m, "Relu", "x", "y");
    expect(m, DMV_ERR_UNSUPPORTED, "operator set 99");

    m = start(11);
    Onnx__TensorProto *t = mk_floats(m, "w", DIMS(1), zeros);
    t->has_data_location = 1;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    mk_op(m, "Add", "x w", "y");
    expect(m, DMV_ERR_UNSUPPORTED, "tensor 'w'|another file|save_as_external_data");

    m = start(11); /* If: a graph as attribute */
    Onnx__AttributeProto *a = mk_attr(m, mk_op(m, "If", "x", "y"), "then_branch");
    a->g = mk_alloc(m, sizeof *a->g);
    onnx__graph_proto__init(a->g);
    expect(m, DMV_ERR_UNSUPPORTED, "If with a graph inside it ('y')");
}

static void graphs_that_are_wrong(void **state)
{
    (void)state;
    mk *m = start(11);
    mk_op(m, "Add", "x nothing", "y");
    expect(m, DMV_ERR_FORMAT, "node 'y'|'nothing'");

    m = start(11);
    mk_op(m, "Relu", "x", "z");
    expect(m, DMV_ERR_FORMAT, "output 'y'");

    m = start(11);
    mk_op(m, "Relu", "x", "y");
    mk_op(m, "Abs", "x", "y");
    expect(m, DMV_ERR_FORMAT, "'y' is defined twice");

    m = start(11);
    mk_op(m, "Relu", "x", "y");
    mk_op(m, "Relu", "y", "x");
    expect(m, DMV_ERR_FORMAT, "'x' is defined twice");

    m = start(11);
    mk_op(m, "Add", "x c", "b");
    mk_op(m, "Relu", "b", "c");
    mk_op(m, "Relu", "x", "y");
    expect(m, DMV_ERR_FORMAT, "depends on its own output");

    m = start(11);
    mk_op(m, "Add", "y x", "y");
    expect(m, DMV_ERR_FORMAT, "node 'y'|its own output");

    m = start(11);
    mk_op(m, "Add", "x", "y");
    expect(m, DMV_ERR_FORMAT, "node 'y' (Add)|input 1 is missing");

    m = start(11);
    mk_op(m, "", "x", "y");
    expect(m, DMV_ERR_FORMAT, "node 'y'|no operator");

    m = mk_new(11);
    mk_floats(m, "w", DIMS(1), zeros);
    mk_op(m, "Relu", "w", "y");
    mk_output(m, "y");
    expect(m, DMV_ERR_FORMAT, "no input");

    m = mk_new(11);
    mk_input(m, "x", DIMS(1));
    mk_op(m, "Relu", "x", "y");
    expect(m, DMV_ERR_FORMAT, "no output");

    m = start(11);
    mk_model(m)->n_opset_import = 0;
    mk_op(m, "Relu", "x", "y");
    expect(m, DMV_ERR_FORMAT, "operator set");

    m = start(11);
    mk_model(m)->graph = NULL;
    expect(m, DMV_ERR_FORMAT, "no graph");
}

static void weights_that_are_wrong(void **state)
{
    (void)state;
    mk *m = start(11); /* fewer numbers than the dims say */
    Onnx__TensorProto *t = mk_floats(m, "w", DIMS(1, 2, 3, 3), zeros);
    t->n_float_data = 17;
    mk_op(m, "Conv", "x w", "y");
    expect(m, DMV_ERR_FORMAT, "tensor 'w'|18 elements|17");

    m = start(11); /* petabytes, from an empty field */
    t = mk_floats(m, "w", DIMS(1, 2, 3, 3), zeros);
    t->dims[0] = t->dims[1] = 1 << 24;
    mk_op(m, "Conv", "x w", "y");
    expect(m, DMV_ERR_FORMAT, "tensor 'w'");

    m = start(11); /* an overflowing product */
    t = mk_floats(m, "w", DIMS(1, 2, 3, 3), zeros);
    for (int i = 0; i < 4; i++)
        t->dims[i] = INT32_MAX;
    mk_op(m, "Conv", "x w", "y");
    expect(m, DMV_ERR_FORMAT, "tensor 'w'");

    m = start(11);
    t = mk_floats(m, "w", DIMS(1, 2, 3, 3), zeros);
    t->dims[2] = -3;
    mk_op(m, "Conv", "x w", "y");
    expect(m, DMV_ERR_FORMAT, "tensor 'w'|-3");

    m = start(11); /* raw data that is not a whole number of elements */
    t = mk_ints(m, "to", INTS(1, -1));
    t->raw_data.len = 13;
    mk_op(m, "Reshape", "x to", "y");
    expect(m, DMV_ERR_FORMAT, "tensor 'to'|13 bytes");

    m = start(11); /* three channels for a picture of two */
    mk_floats(m, "w", DIMS(1, 3, 1, 1), zeros);
    mk_op(m, "Conv", "x w", "y");
    expect(m, DMV_ERR_FORMAT, "'y' (Conv)|2 channels|3");

    m = start(11);
    mk_floats(m, "w", DIMS(3, 2, 1, 1), zeros);
    mk_int(m, mk_op(m, "Conv", "x w", "y"), "group", 2);
    expect(m, DMV_ERR_FORMAT, "'y' (Conv)|2 groups");

    m = start(11);
    mk_floats(m, "w", DIMS(3, 2, 1, 1), zeros);
    mk_floats(m, "b", DIMS(4), zeros);
    mk_op(m, "Conv", "x w b", "y");
    expect(m, DMV_ERR_FORMAT, "'y' (Conv)|bias");

    m = start(11);
    mk_floats(m, "w", DIMS(1, 2, 3, 3), zeros);
    mk_list(m, mk_op(m, "Conv", "x w", "y"), "kernel_shape", INTS(5, 5));
    expect(m, DMV_ERR_FORMAT, "'y' (Conv)|5x5|3x3");

    m = start(11);
    mk_floats(m, "s", DIMS(3), zeros);
    mk_op(m, "BatchNormalization", "x s s s s", "y");
    expect(m, DMV_ERR_FORMAT, "'y' (BatchNormalization)|2 channels|3");

    m = start(11);
    mk_floats(m, "w", DIMS(5, 2), zeros);
    mk_op(m, "MatMul", "x w", "y");
    expect(m, DMV_ERR_FORMAT, "'y' (MatMul)|4|5");
}

static void attributes_that_are_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *op, *name;
        int64_t v[4];
        size_t n; /* 0: a single integer */
    } cases[] = {
        {"MaxPool", "kernel_shape", {0, 2}, 2},
        {"MaxPool", "kernel_shape", {2, INT64_MAX}, 2},
        {"AveragePool", "kernel_shape", {-1, 2}, 2},
        {"Transpose", "perm", {0, 1, 2, 4}, 4},
        {"Transpose", "perm", {0, 1, 2, 2}, 4},
        {"Transpose", "perm", {0, 1, 2}, 3},
        {"Flatten", "axis", {7}, 0},
        {"Softmax", "axis", {INT64_MIN}, 0},
        {"Concat", "axis", {4}, 0},
        {"Squeeze", "axes", {-9}, 1},
        {"Unsqueeze", "axes", {6}, 1},
        {"DepthToSpace", "blocksize", {0}, 0},
        {"SpaceToDepth", "blocksize", {INT64_MAX}, 0},
        {"ReduceMean", "axes", {INT64_MAX}, 1},
    };
    for (size_t i = 0; i < DV_COUNT(cases); i++) {
        mk *m = start(11);
        mk_node *n = mk_op(m, cases[i].op, "x", "y");
        char words[64];
        if (cases[i].n)
            mk_list(m, n, cases[i].name, cases[i].n, cases[i].v);
        else
            mk_int(m, n, cases[i].name, cases[i].v[0]);
        snprintf(words, sizeof words, "node 'y' (%s)", cases[i].op);
        expect(m, DMV_ERR_FORMAT, words);
    }
    mk *m = start(11);
    mk_text(m, mk_op(m, "Flatten", "x", "y"), "axis", "one");
    expect(m, DMV_ERR_FORMAT, "axis is not an integer");
}

static void constants_that_grow(void **state)
{
    (void)state;
    /* A dozen nodes that would fold into 2^60 numbers. */
    mk *m = mk_new(13);
    mk_input(m, "x", DIMS(1));
    mk_floats(m, "t0", DIMS(1), zeros);
    mk_ints(m, "r", INTS(32));
    char in[16] = "t0 r", out[16] = "t0";
    for (int i = 1; i <= 12; i++) {
        snprintf(out, sizeof out, "t%d", i);
        mk_op(m, "Tile", in, out);
        snprintf(in, sizeof in, "t%d r", i);
    }
    mk_op(m, "Add", "x t12", "y");
    mk_output(m, "y");
    dv_graph g;
    dv_err e = {0};
    dv_import_options o = {.no_passes = true};
    dmv_status st = mk_import(m, &o, &g, &e);
    size_t bytes = 0;
    for (size_t i = 0; st == DMV_OK && i < g.n_tensors; i++)
        bytes += g.tensors[i].size;
    assert_true(bytes < (size_t)512 << 20);
    if (st == DMV_OK)
        dv_graph_free(&g);
    mk_free(m);
}

static void nesting(void **state)
{
    (void)state;
    /* Graphs in attributes of nodes of graphs, 4,000 deep. */
    size_t cap = 1 << 16, n = 0;
    uint8_t *buf = malloc(cap), *at = buf + cap;
    assert_non_null(buf);
    static const uint8_t tags[3] = {6 << 3 | 2, 5 << 3 | 2, 1 << 3 | 2}; /* g, attribute, node */
    for (int i = 0; i < 12000; i++) {
        uint8_t head[4];
        int k = 0;
        head[k++] = tags[i % 3];
        for (size_t v = n;; v >>= 7) {
            head[k++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
            if (v <= 127)
                break;
        }
        at -= k;
        memcpy(at, head, (size_t)k);
        n += (size_t)k;
    }
    at -= 4;
    at[0] = 7 << 3 | 2; /* the model's graph */
    at[1] = (uint8_t)((n & 127) | 128);
    at[2] = (uint8_t)((n >> 7 & 127) | 128);
    at[3] = (uint8_t)(n >> 14);
    dv_graph g;
    dv_err e = {0};
    assert_int_equal(dv_import_onnx(at, n + 4, "deep", NULL, &g, &e), DMV_ERR_FORMAT);
    assert_non_null(strstr(e.msg, "nested"));
    free(buf);
}

/* From an exact-size block, so that the sanitizer sees every byte too many. */
static dmv_status import_copy(const uint8_t *p, size_t n, dv_err *e)
{
    dv_graph g;
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    if (n)
        memcpy(copy, p, n);
    dmv_status st = dv_import_onnx(copy, n, "damaged", NULL, &g, e);
    if (st == DMV_OK)
        dv_graph_free(&g);
    else
        assert_true(e->msg[0]);
    free(copy);
    return st;
}

static void cut_anywhere(void **state)
{
    (void)state;
    size_t n, good = 0;
    mk *m = whole_net();
    uint8_t *p = mk_pack(m, &n);
    dv_err e = {0};
    assert_int_equal(import_copy(p, n, &e), DMV_OK);
    for (size_t i = 0; i < n; i++) {
        e = (dv_err){0};
        good += import_copy(p, i, &e) == DMV_OK;
    }
    assert_int_equal(good, 0);
    free(p);
    mk_free(m);
}

static void flipped_bits(void **state)
{
    (void)state;
    size_t n, bad = 0;
    mk *m = whole_net();
    uint8_t *p = mk_pack(m, &n);
    for (size_t i = 0; i < n * 8; i++) {
        dv_err e = {0};
        p[i / 8] ^= (uint8_t)(1 << i % 8);
        bad += import_copy(p, n, &e) != DMV_OK;
        p[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    assert_true(bad > n); /* most structure bits matter; weights do not */
    free(p);
    mk_free(m);
}

static void failed_allocations(void **state)
{
    (void)state;
    size_t n;
    mk *m = whole_net();
    uint8_t *p = mk_pack(m, &n);
    for (int sticky = 0; sticky < 2; sticky++)
        for (uint64_t i = 1;; i++) {
            dv_err e = {0};
            dv_alloc_fail_at(i, sticky);
            dmv_status st = import_copy(p, n, &e);
            dv_alloc_fail_at(0, false);
            if (st == DMV_OK) {
                assert_true(i > 50);
                break;
            }
            if (st != DMV_ERR_MEMORY)
                fail_msg("allocation %llu: status %d, %s", (unsigned long long)i, st, e.msg);
        }
    free(p);
    mk_free(m);
}

static void not_onnx_at_all(void **state)
{
    (void)state;
    static const char *const files[] = {"", "hello", "\177ELF", "\x08\x07"};
    for (size_t i = 0; i < DV_COUNT(files); i++) {
        dv_graph g;
        dv_err e = {0};
        assert_int_equal(
            dv_import_onnx((const uint8_t *)files[i], strlen(files[i]), "f", NULL, &g, &e),
            DMV_ERR_FORMAT);
        assert_non_null(strstr(e.msg, "f: not an ONNX file or damaged"));
        assert_int_equal(
            dv_import_onnx((const uint8_t *)files[i], strlen(files[i]), NULL, NULL, &g, NULL),
            DMV_ERR_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_unsupported_at_once),
        cmocka_unit_test(long_lists_end),
        cmocka_unit_test(things_we_cannot_do),
        cmocka_unit_test(graphs_that_are_wrong),
        cmocka_unit_test(weights_that_are_wrong),
        cmocka_unit_test(attributes_that_are_wrong),
        cmocka_unit_test(constants_that_grow),
        cmocka_unit_test(nesting),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(flipped_bits),
        cmocka_unit_test(failed_allocations),
        cmocka_unit_test(not_onnx_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
