/* SPDX-License-Identifier: Apache-2.0
 *
 * test_ops.c - every op through a file: small nets are imported plainly and with passes (which
 * gives the fused ops), exported, imported again and run; all must agree. What ONNX cannot say is
 * refused with the node in the message, and failing allocations leave nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../import/make_onnx.h"
#include "export/export.h"
#include "nn/exec.h"

static uint32_t seed;
static bool seen[DV_OP_COUNT]; /* ops that were exported */

static float noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (float)(1 << 23) - 1;
}

static void floats(mk *m, const char *name, int rank, const int64_t *dims)
{
    size_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= (size_t)dims[i];
    float *v = mk_alloc(m, n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = noise();
    mk_floats(m, name, rank, dims, v);
}

static size_t run(const dv_graph *g, float *out, int64_t *dims, int *rank)
{
    dv_kernels k;
    dv_exec *x = NULL;
    dv_err e = {0};
    int64_t d[DMV_MAX_RANK];
    const int64_t *row = d;
    const dv_gtensor *t = &g->tensors[g->inputs[0]];
    for (int i = 0; i < t->rank; i++)
        d[i] = t->dims[i] < 0 ? 8 : t->dims[i];
    dv_kernels_init(&k, 0);
    if (dv_exec_open(g, &k, NULL, &x, &e) || dv_exec_shape(x, &row, &e))
        fail_msg("%s", e.msg);
    seed = 3;
    for (size_t i = 0; i < x->v[g->inputs[0]].count; i++)
        dv_exec_input(x, 0)[i] = noise();
    dv_exec_run(x);
    const dv_value *o = dv_exec_output(x, 0);
    size_t n = o->count;
    assert_true(n > 0 && n <= 8192);
    memcpy(out, o->f, n * sizeof *out);
    *rank = o->rank;
    memcpy(dims, o->dims, sizeof o->dims);
    dv_exec_close(&x);
    return n;
}

static void same(const dv_graph *a, const dv_graph *b)
{
    static float p[8192], q[8192];
    int64_t dp[DMV_MAX_RANK], dq[DMV_MAX_RANK];
    int rp, rq;
    size_t n = run(a, p, dp, &rp);
    assert_int_equal(run(b, q, dq, &rq), n);
    assert_int_equal(rp, rq);
    assert_memory_equal(dp, dq, (size_t)rp * sizeof *dp);
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(p[i] - q[i]) <= 1e-5F * (1 + fabsf(p[i]))))
            fail_msg("value %zu is %g, not %g", i, (double)q[i], (double)p[i]);
}

static void exported(const dv_graph *g, dv_graph *out)
{
    uint8_t *data = NULL;
    size_t size = 0;
    dv_export_report r;
    dv_err e = {0};
    if (dv_export_onnx(g, NULL, &data, &size, &r, &e) ||
        dv_import_onnx(data, size, "again.onnx", NULL, out, &e))
        fail_msg("%s", e.msg);
    assert_true(r.nodes > 0);
    dv_free(data);
    for (size_t i = 0; i < g->n_nodes; i++)
        seen[g->nodes[i].op] = true;
}

static void through(mk *m)
{
    for (int passes = 0; passes < 2; passes++) {
        dv_import_options o = {.no_passes = !passes};
        dv_graph g, b;
        dv_err e = {0};
        if (mk_import(m, &o, &g, &e))
            fail_msg("%s", e.msg);
        exported(&g, &b);
        same(&g, &b);
        dv_graph_free(&g);
        dv_graph_free(&b);
    }
    mk_free(m);
}

static mk *net(int rank, const int64_t *dims)
{
    mk *m = mk_new(13);
    seed = 21;
    mk_input(m, "x", rank, dims);
    mk_output(m, "y");
    return m;
}

/* ---- the ops ---- */

static void test_convolutions(void **state)
{
    (void)state;
    mk *m = net(DIMS(1, 4, 9, 7));
    floats(m, "w", DIMS(6, 2, 3, 2));
    floats(m, "b", DIMS(6));
    mk_node *n = mk_op(m, "Conv", "x w b", "c");
    mk_int(m, n, "group", 2);
    mk_list(m, n, "strides", INTS(2, 1));
    mk_list(m, n, "dilations", INTS(1, 2));
    mk_list(m, n, "pads", INTS(1, 0, 2, 1));
    floats(m, "s", DIMS(6, 1, 1));
    mk_op(m, "PRelu", "c s", "p");
    floats(m, "dw", DIMS(6, 1, 3, 3));
    n = mk_op(m, "Conv", "p dw", "d");
    mk_int(m, n, "group", 6);
    mk_list(m, n, "pads", INTS(1, 1, 1, 1));
    mk_op(m, "Add", "d p", "r"); /* residual */
    mk_op(m, "Relu", "r", "a");
    floats(m, "t", DIMS(6, 3, 2, 3));
    floats(m, "tb", DIMS(3));
    n = mk_op(m, "ConvTranspose", "a t tb", "u");
    mk_list(m, n, "strides", INTS(2, 2));
    mk_list(m, n, "pads", INTS(0, 1, 1, 0));
    mk_list(m, n, "output_padding", INTS(1, 0));
    mk_float(m, mk_op(m, "LeakyRelu", "u", "y"), "alpha", 0.2F);
    through(m);
}

static void test_matrices(void **state)
{
    (void)state;
    mk *m = net(DIMS(2, 3, 8));
    floats(m, "w", DIMS(8, 6));
    floats(m, "b", DIMS(6));
    mk_op(m, "MatMul", "x w", "l");
    mk_op(m, "Add", "l b", "l2");
    mk_list(m, mk_op(m, "Transpose", "l2", "t"), "perm", INTS(0, 2, 1));
    mk_op(m, "MatMul", "l2 t", "p"); /* 2, 3, 3 */
    mk_floats(m, "k", 0, NULL, FLOATS(0.3F));
    mk_op(m, "Mul", "p k", "p2");
    mk_int(m, mk_op(m, "Softmax", "p2", "s"), "axis", -1);
    mk_op(m, "MatMul", "s l2", "o");
    mk_int(m, mk_op(m, "Flatten", "o", "f"), "axis", 1);
    floats(m, "v", DIMS(5, 18));
    floats(m, "c", DIMS(5));
    mk_int(m, mk_op(m, "Gemm", "f v c", "g"), "transB", 1);
    mk_op(m, "Tanh", "g", "y");
    through(m);

    /* Linear on the channels of a picture */
    m = net(DIMS(1, 4, 3, 5));
    floats(m, "w", DIMS(4, 6));
    floats(m, "k", DIMS(4, 4, 1, 1));
    mk_op(m, "Conv", "x k", "c");
    mk_list(m, mk_op(m, "Transpose", "c", "t"), "perm", INTS(0, 2, 3, 1));
    mk_op(m, "MatMul", "t w", "l");
    mk_op(m, "Sigmoid", "l", "y");
    through(m);
}

static void test_activations(void **state)
{
    (void)state;
    static const char *const all[] = {"Sigmoid", "Tanh",  "Erf",  "Exp",      "Abs",
                                      "Neg",     "Floor", "Ceil", "Softplus", "Elu"};
    mk *m = net(DIMS(1, 3, 4, 5));
    char in[300] = "";
    for (size_t i = 0; i < DV_COUNT(all); i++) {
        char name[8];
        snprintf(name, sizeof name, "a%zu", i);
        mk_op(m, all[i], "x", name);
        snprintf(in + strlen(in), sizeof in - strlen(in), "%s ", name);
    }
    mk_op(m, "Sqrt", "a4", "r");
    mk_op(m, "Reciprocal", "a3", "q");
    mk_op(m, "Log", "a3", "l");
    mk_op(m, "Mul", "x a0", "swish");
    mk_op(m, "HardSigmoid", "x", "hs");
    mk_float(m, mk_op(m, "HardSigmoid", "x", "h6"), "alpha", 1 / 6.0F);
    mk_op(m, "Mul", "x h6", "hswish");
    mk_floats(m, "lo", 0, NULL, FLOATS(-0.4F));
    mk_floats(m, "hi", 0, NULL, FLOATS(0.3F));
    mk_op(m, "Clip", "x lo hi", "c1");
    mk_op(m, "Clip", "x lo", "c2");
    mk_op(m, "Clip", "x - hi", "c3");
    mk_floats(m, "root", 0, NULL, FLOATS(0.70710678F));
    mk_floats(m, "one", 0, NULL, FLOATS(1));
    mk_floats(m, "half", 0, NULL, FLOATS(0.5F));
    mk_op(m, "Mul", "x root", "g1");
    mk_op(m, "Erf", "g1", "g2");
    mk_op(m, "Add", "g2 one", "g3");
    mk_op(m, "Mul", "x g3", "g4");
    mk_op(m, "Mul", "g4 half", "gelu");
    snprintf(in + strlen(in), sizeof in - strlen(in), "r q l swish hs hswish c1 c2 c3 gelu");
    mk_int(m, mk_op(m, "Concat", in, "y"), "axis", 1);
    through(m);
}

static void test_arithmetic(void **state)
{
    (void)state;
    mk *m = net(DIMS(1, 3, 4, 5));
    floats(m, "w", DIMS(3, 3, 1, 1));
    mk_op(m, "Conv", "x w", "c");
    floats(m, "row", DIMS(5));
    floats(m, "ch", DIMS(3, 1, 1));
    floats(m, "full", DIMS(1, 3, 4, 5));
    mk_op(m, "Add", "c row", "a");
    mk_op(m, "Sub", "ch a", "b");
    mk_op(m, "Mul", "b full", "d");
    mk_op(m, "Abs", "x", "p");
    mk_floats(m, "two", 0, NULL, FLOATS(2.5F));
    mk_op(m, "Pow", "p two", "q");
    mk_op(m, "Add", "q two", "q2");
    mk_op(m, "Div", "d q2", "e");
    mk_op(m, "Max", "e c", "f");
    mk_op(m, "Min", "f ch", "g");
    mk_list(m, mk_op(m, "ReduceMean", "g", "mean"), "axes", INTS(1)); /* 1, 1, 4, 5 */
    mk_op(m, "Mul", "g mean", "y");
    through(m);
}

static void test_norms(void **state)
{
    (void)state;
    for (int axis = 1; axis < 4; axis++) {
        mk *m = net(DIMS(1, 3, 4, 5));
        int64_t a = axis;
        floats(m, "w", DIMS(3, 3, 1, 1));
        mk_op(m, "Conv", "x w", "c");
        mk_list(m, mk_op(m, "ReduceMean", "c", "mean"), "axes", 1, &a);
        mk_op(m, "Sub", "c mean", "z");
        mk_op(m, "Mul", "z z", "sq");
        mk_list(m, mk_op(m, "ReduceMean", "sq", "var"), "axes", 1, &a);
        mk_floats(m, "eps", 0, NULL, FLOATS(1e-5F));
        mk_op(m, "Add", "var eps", "v2");
        mk_op(m, "Sqrt", "v2", "sd");
        mk_op(m, "Div", "z sd", "n");
        if (axis == 1) { /* scale and shift of each channel */
            floats(m, "gamma", DIMS(3, 1, 1));
            floats(m, "beta", DIMS(3, 1, 1));
            mk_op(m, "Mul", "n gamma", "n2");
            mk_op(m, "Add", "n2 beta", "n3");
        } else {
            mk_op(m, "Identity", "n", "n3");
        }
        mk_list(m, mk_op(m, "ReduceL2", "n3", "l2"), "axes", 1, &a);
        mk_floats(m, "small", 0, NULL, FLOATS(1e-6F));
        mk_op(m, "Clip", "l2 small", "l3");
        mk_op(m, "Div", "n3 l3", "u");
        mk_int(m, mk_op(m, "Softmax", "u", "y"), "axis", axis);
        through(m);
    }
}

static void test_reductions(void **state)
{
    (void)state;
    static const char *const all[] = {"ReduceMean", "ReduceMax",  "ReduceMin",      "ReduceL2",
                                      "ReduceL1",   "ReduceProd", "ReduceSumSquare"};
    for (int keep = 0; keep < 2; keep++)
        for (int set = 0; set < 3; set++) {
            static const int64_t axes[3][2] = {{2, 3}, {1, 2}, {3, 1}};
            mk *m = net(DIMS(1, 3, 4, 5));
            char in[200] = "s";
            floats(m, "w", DIMS(3, 3, 1, 1));
            mk_op(m, "Conv", "x w", "c");
            for (size_t i = 0; i < DV_COUNT(all); i++) {
                char name[8];
                snprintf(name, sizeof name, "a%zu", i);
                mk_node *n = mk_op(m, all[i], "c", name);
                mk_list(m, n, "axes", 2, axes[set]);
                mk_int(m, n, "keepdims", keep);
                snprintf(in + strlen(in), sizeof in - strlen(in), " %s", name);
            }
            mk_ints(m, "ax", 2, axes[set]);
            mk_int(m, mk_op(m, "ReduceSum", "c ax", "s"), "keepdims", keep);
            mk_int(m, mk_op(m, "Concat", in, "y"), "axis", 0);
            through(m);
        }
}

static void test_pictures(void **state)
{
    (void)state;
    static const char *const coords[] = {"half_pixel", "asymmetric", "align_corners",
                                         "pytorch_half_pixel"};
    mk *m = net(DIMS(1, 4, 7, 9));
    mk_node *n = mk_op(m, "MaxPool", "x", "a");
    mk_list(m, n, "kernel_shape", INTS(3, 2));
    mk_list(m, n, "strides", INTS(2, 2));
    mk_list(m, n, "pads", INTS(1, 0, 1, 1));
    mk_int(m, n, "ceil_mode", 1);
    n = mk_op(m, "AveragePool", "a", "b");
    mk_list(m, n, "kernel_shape", INTS(2, 2));
    mk_list(m, n, "pads", INTS(1, 1, 0, 0));
    mk_int(m, n, "count_include_pad", 1);
    mk_int(m, mk_op(m, "DepthToSpace", "b", "c"), "blocksize", 2);
    n = mk_op(m, "DepthToSpace", "b", "c2");
    mk_int(m, n, "blocksize", 2);
    mk_text(m, n, "mode", "CRD");
    mk_op(m, "Add", "c c2", "d");
    mk_int(m, mk_op(m, "SpaceToDepth", "d", "y"), "blocksize", 2);
    through(m);
    for (int i = 0; i < 4; i++)
        for (int linear = 0; linear < 2; linear++)
            for (int sizes = 0; sizes < 2; sizes++) {
                m = net(DIMS(1, 3, 5, 4));
                mk_floats(m, "s", DIMS(4), FLOATS(1, 1, 1.7F, 2));
                mk_ints(m, "z", INTS(1, 3, 8, 3));
                n = mk_op(m, "Resize", sizes ? "x - - z" : "x - s", "y");
                mk_text(m, n, "mode", linear ? "linear" : "nearest");
                mk_text(m, n, "coordinate_transformation_mode", coords[i]);
                if (!linear)
                    mk_text(m, n, "nearest_mode", i % 2 ? "floor" : "round_prefer_ceil");
                through(m);
            }
}

static void test_moves(void **state)
{
    (void)state;
    mk *m = net(DIMS(1, 6, 4, 5));
    floats(m, "w", DIMS(6, 6, 1, 1));
    mk_op(m, "Conv", "x w", "c");
    mk_ints(m, "parts", INTS(2, 1, 3));
    mk_int(m, mk_op(m, "Split", "c parts", "s0 s1 s2"), "axis", 1);
    mk_ints(m, "from", INTS(3, -1));
    mk_ints(m, "to", INTS(0, -6));
    mk_ints(m, "ax", INTS(2, 3));
    mk_ints(m, "by", INTS(-1, -2));
    mk_op(m, "Slice", "c from to ax by", "sl"); /* 1, 6, 3, 3 */
    mk_ints(m, "index", INTS(2, 0, -1));
    mk_int(m, mk_op(m, "Gather", "sl index", "ga"), "axis", 1); /* 1, 3, 3, 3 */
    mk_ints(m, "pads", INTS(0, 0, 1, 0, 0, 0, 0, 2));
    mk_floats(m, "v", 0, NULL, FLOATS(0.5F));
    mk_op(m, "Pad", "ga pads v", "pa"); /* 1, 3, 4, 5 */
    mk_text(m, mk_op(m, "Pad", "ga pads", "pe"), "mode", "edge");
    mk_text(m, mk_op(m, "Pad", "ga pads", "pr"), "mode", "reflect");
    mk_int(m, mk_op(m, "Concat", "s0 s1 s2 pa pe pr", "k"), "axis", 1); /* 1, 15, 4, 5 */
    mk_list(m, mk_op(m, "Transpose", "k", "t"), "perm", INTS(2, 0, 3, 1));
    mk_ints(m, "shape", INTS(4, 0, 75));
    mk_op(m, "Reshape", "t shape", "r"); /* 4, 1, 75 */
    mk_ints(m, "one", INTS(1));
    mk_op(m, "Squeeze", "r one", "q");
    mk_ints(m, "zero", INTS(0));
    mk_op(m, "Unsqueeze", "q zero", "u"); /* 1, 4, 75 */
    mk_ints(m, "wide", INTS(2, 4, 75));
    mk_op(m, "Expand", "u wide", "e");
    mk_op(m, "Shape", "e", "size");
    mk_op(m, "Reshape", "e size", "y");
    through(m);

    m = net(DIMS(1, 6, 4, 5)); /* channel shuffle */
    mk_ints(m, "wide", INTS(1, 3, 2, 4, 5));
    mk_ints(m, "back", INTS(1, 6, 4, 5));
    mk_op(m, "Reshape", "x wide", "a");
    mk_list(m, mk_op(m, "Transpose", "a", "b"), "perm", INTS(0, 2, 1, 3, 4));
    mk_op(m, "Reshape", "b back", "c");
    floats(m, "w", DIMS(6, 6, 1, 1));
    mk_op(m, "Conv", "c w", "y");
    through(m);
}

static void test_squeeze_excite(void **state)
{
    (void)state;
    for (int hard = 0; hard < 2; hard++) {
        mk *m = net(DIMS(1, 8, 5, 4));
        floats(m, "w", DIMS(2, 8, 1, 1));
        floats(m, "b", DIMS(2));
        floats(m, "v", DIMS(8, 2, 1, 1));
        floats(m, "k", DIMS(8, 8, 1, 1));
        mk_op(m, "Conv", "x k", "c");
        mk_op(m, "GlobalAveragePool", "c", "g");
        mk_op(m, "Conv", "g w b", "h");
        mk_op(m, "Relu", "h", "h2");
        mk_op(m, "Conv", "h2 v", "e");
        mk_op(m, hard ? "HardSigmoid" : "Sigmoid", "e", "s");
        mk_op(m, "Mul", "c s", "y");
        through(m);
    }
    assert_true(seen[DV_OP_SE]);
}

static void test_free_sizes(void **state)
{
    (void)state;
    mk *m = net(DIMS(1, 3, -1, -1));
    floats(m, "w", DIMS(8, 3, 3, 3));
    mk_node *n = mk_op(m, "Conv", "x w", "c");
    mk_list(m, n, "strides", INTS(2, 2));
    mk_list(m, n, "pads", INTS(1, 1, 1, 1));
    mk_op(m, "Shape", "x", "s");
    mk_ints(m, "from", INTS(2));
    mk_ints(m, "to", INTS(4));
    mk_op(m, "Slice", "s from to", "hw");
    mk_ints(m, "nc", INTS(1, 8));
    mk_int(m, mk_op(m, "Concat", "nc hw", "size"), "axis", 0);
    mk_text(m, mk_op(m, "Resize", "c - - size", "r"), "mode", "linear");
    mk_op(m, "Sigmoid", "r", "y");
    through(m);
}

/* Every float op has been through a file by now, but a Cast, which no import leaves. */
static void test_all_seen(void **state)
{
    (void)state;
    for (int op = 1; op < DV_OP_QUANTIZE; op++)
        if (!seen[op] && op != DV_OP_CAST)
            fail_msg("%s was not exported", dv_op_name((uint16_t)op));
}

/* ---- what cannot be, and failures ---- */

static void test_refused(void **state)
{
    (void)state;
    dv_graph g;
    dv_err e = {0};
    uint8_t *data = (uint8_t *)&e;
    size_t size = 7;
    mk *m = net(DIMS(1, 3, 9, 9));
    mk_node *n = mk_op(m, "AveragePool", "x", "y");
    n->name = mk_alloc(m, 8);
    memcpy(n->name, "wide", 5);
    mk_list(m, n, "kernel_shape", INTS(2, 2));
    mk_list(m, n, "dilations", INTS(2, 2));
    if (mk_import(m, NULL, &g, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(dv_export_onnx(&g, NULL, &data, &size, NULL, &e), DMV_ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "AveragePool \"wide\""));
    assert_null(data);
    assert_int_equal(size, 0);
    dv_graph_free(&g);
    mk_free(m);
}

static void test_names(void **state)
{
    (void)state;
    /* an input called as our own values would be, two outputs, one of them the input */
    mk *m = mk_new(13);
    dv_graph g, b;
    dv_err e = {0};
    mk_input(m, "v1", DIMS(1, 3, 4, 4));
    mk_op(m, "Relu", "v1", "v2");
    mk_op(m, "Identity", "v1", "same");
    mk_output(m, "v2");
    mk_output(m, "same");
    if (mk_import(m, NULL, &g, &e))
        fail_msg("%s", e.msg);
    exported(&g, &b);
    assert_string_equal(b.tensors[b.inputs[0]].name, "v1");
    assert_string_equal(b.tensors[b.outputs[0]].name, "v2");
    assert_string_equal(b.tensors[b.outputs[1]].name, "same");
    same(&g, &b);
    dv_graph_free(&g);
    dv_graph_free(&b);
    mk_free(m);
}

static void test_no_memory(void **state)
{
    (void)state;
    dv_graph g;
    dv_err e = {0};
    dv_meta meta = {0};
    dmv_status st = DMV_ERR_MEMORY;
    mk *m = net(DIMS(1, 3, 5, 4));
    floats(m, "w", DIMS(4, 3, 3, 3));
    mk_op(m, "Conv", "x w", "c");
    mk_op(m, "Relu", "c", "r");
    mk_int(m, mk_op(m, "Softmax", "r", "y"), "axis", 1);
    if (mk_import(m, NULL, &g, &e))
        fail_msg("%s", e.msg);
    float f[2] = {1, 0.5F};
    assert_true(dv_meta_set_text(&meta, "name", "a net") &&
                dv_meta_set_floats(&meta, "mean", f, 2));
    for (uint64_t nth = 1; st != DMV_OK; nth++) {
        uint8_t *data = NULL;
        size_t size;
        dv_alloc_fail_at(nth, nth % 2 == 0);
        st = dv_export_onnx(&g, &meta, &data, &size, NULL, &e);
        dv_alloc_fail_at(0, false);
        assert_true(st == DMV_OK || (st == DMV_ERR_MEMORY && !data));
        dv_free(data);
    }
    dv_meta_free(&meta);
    dv_graph_free(&g);
    mk_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolutions),   cmocka_unit_test(test_matrices),
        cmocka_unit_test(test_activations),    cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_norms),          cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_pictures),       cmocka_unit_test(test_moves),
        cmocka_unit_test(test_squeeze_excite), cmocka_unit_test(test_free_sizes),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_all_seen),       cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
