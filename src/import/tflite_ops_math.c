/* SPDX-License-Identifier: Apache-2.0
 *
 * TensorFlow Lite operators on numbers: elementwise, activations, full layers, reductions, and
 * the two that go between numbers and bytes.
 */
#include <math.h>
#include <string.h>

#include "import/tflite.h"

/* ---- elementwise ---- */

enum { RELU = 19, RELU_N1 = 20, RELU6 = 21 };

static void lower_simple(dv_lower *L)
{
    static const struct {
        uint8_t op, act;
        float p, q;
    } acts[] = {
        {8, DV_ACT_FLOOR, 0, 0},          {14, DV_ACT_SIGMOID, 0, 0},    {28, DV_ACT_TANH, 0, 0},
        {RELU, DV_ACT_CLIP, 0, INFINITY}, {RELU_N1, DV_ACT_CLIP, -1, 1}, {RELU6, DV_ACT_CLIP, 0, 6},
        {47, DV_ACT_EXP, 0, 0},           {59, DV_ACT_NEG, 0, 0},        {73, DV_ACT_LOG, 0, 0},
        {75, DV_ACT_SQRT, 0, 0},          {101, DV_ACT_ABS, 0, 0},       {104, DV_ACT_CEIL, 0, 0},
        {111, DV_ACT_ELU, 1, 0},          {117, DV_ACT_HSWISH, 0, 0},
    };
    int32_t x = tfl_need(L, 0);
    if (lw_ok(L) && lw_type(L, x) != DV_F32)
        lw_unsupported(L, "integers");
    for (size_t i = 0; i < DV_COUNT(acts); i++)
        if (acts[i].op == L->t->n->op)
            tfl_out(L, 0, lw_act(L, acts[i].act, x, acts[i].p, acts[i].q));
}

static void lower_leaky(dv_lower *L)
{
    float alpha = fb_float(L->t->n->options, 0, 0);
    tfl_out(L, 0, lw_act(L, DV_ACT_LEAKY, tfl_need(L, 0), alpha, 0));
}

static void lower_gelu(dv_lower *L)
{
    if (tfl_option(L, 0, 1, 0))
        lw_unsupported(L, "the tanh approximation");
    tfl_out(L, 0, lw_act(L, DV_ACT_GELU, tfl_need(L, 0), 0, 0));
}

static void lower_rsqrt(dv_lower *L)
{
    int32_t y = lw_act(L, DV_ACT_SQRT, tfl_need(L, 0), 0, 0);
    tfl_out(L, 0, lw_act(L, DV_ACT_RECIP, y, 0, 0));
}

static void lower_square(dv_lower *L)
{
    int32_t x = tfl_need(L, 0);
    tfl_out(L, 0, lw_binary(L, DV_BIN_MUL, x, x));
}

static void lower_prelu(dv_lower *L)
{
    int32_t in[2] = {tfl_need(L, 0), tfl_need(L, 1)};
    if (!tfl_const(L, 1, DV_F32, "a slope"))
        return;
    lw_begin(L, DV_OP_PRELU, 2, in);
    tfl_out(L, 0, lw_end(L));
}

static void lower_binary(dv_lower *L)
{
    static const struct {
        uint8_t op, binary;
        bool act;
    } ops[] = {{0, DV_BIN_ADD, true},   {18, DV_BIN_MUL, true},  {41, DV_BIN_SUB, true},
               {42, DV_BIN_DIV, true},  {55, DV_BIN_MAX, false}, {57, DV_BIN_MIN, false},
               {78, DV_BIN_POW, false}, {99, DV_BIN_SUB, false}};
    int32_t a = tfl_need(L, 0), b = tfl_need(L, 1);
    for (size_t i = 0; i < DV_COUNT(ops); i++) {
        if (ops[i].op != L->t->n->op)
            continue;
        int32_t y = lw_binary(L, ops[i].binary, a, b);
        if (ops[i].op == 99)
            y = lw_binary(L, DV_BIN_MUL, y, y);
        if (ops[i].act)
            tfl_act_out(L, y, 0);
        else
            tfl_out(L, 0, y);
    }
}

/* ---- along axes ---- */

static void lower_softmax(dv_lower *L)
{
    float beta = fb_float(L->t->n->options, 0, 1);
    int32_t x = tfl_need(L, 0);
    if (beta != 1)
        x = lw_binary(L, DV_BIN_MUL, x, lw_scalar(L, beta));
    lw_begin(L, DV_OP_SOFTMAX, 1, &x);
    lw_int(L, DV_A_AXIS, -1);
    tfl_out(L, 0, lw_end(L));
}

static void lower_l2(dv_lower *L)
{
    int32_t x = tfl_need(L, 0);
    lw_begin(L, DV_OP_L2_NORM, 1, &x);
    lw_int(L, DV_A_AXIS, -1);
    lw_float(L, DV_A_EPS, 1e-6f);
    tfl_act_out(L, lw_end(L), 0);
}

static void lower_reduce(dv_lower *L)
{
    static const struct {
        uint8_t op, kind;
    } kinds[] = {
        {40, DV_RED_MEAN}, {74, DV_RED_SUM}, {81, DV_RED_PROD}, {82, DV_RED_MAX}, {89, DV_RED_MIN}};
    int64_t axes[DMV_MAX_RANK];
    int32_t x = tfl_need(L, 0);
    size_t n = tfl_ints(L, 1, "axes", axes, DMV_MAX_RANK);
    bool keep = tfl_option(L, 0, 1, 0) != 0;
    for (size_t i = 0; lw_ok(L) && i < n; i++)
        axes[i] = lw_axis(L, axes[i], lw_rank(L, x));
    for (size_t i = 0; lw_ok(L) && i < DV_COUNT(kinds); i++)
        if (kinds[i].op == L->t->n->op)
            tfl_out(L, 0, n ? lw_reduce(L, x, kinds[i].kind, n, axes, keep) : x);
}

/* ---- full layers ---- */

static void lower_full(dv_lower *L)
{
    static const int perm[2] = {1, 0};
    float *scales = NULL;
    int32_t x = tfl_need(L, 0);
    int32_t in[3] = {x, tfl_weights(L, 2, perm, 0, &scales), -1};
    if (lw_ok(L)) {
        int64_t k = L->g->tensors[in[1]].dims[0], n = L->g->tensors[in[1]].dims[1];
        if (tfl_option(L, 1, 1, 0))
            lw_unsupported(L, "shuffled weights");
        if (lw_rank(L, x) < 1)
            lw_bad(L, "a scalar");
        /* rows of k numbers, unless the dims are to be kept */
        if (lw_ok(L) && lw_rank(L, x) != 2 && !tfl_option(L, 2, 1, 0)) {
            int64_t shape[2] = {-1, k};
            in[0] = lw_reshape(L, x, 2, shape);
        }
        if (lw_ok(L) && lw_dim(L, in[0], lw_rank(L, in[0]) - 1) != k)
            lw_bad(L, "weights for rows of %lld", (long long)k);
        if (lw_ok(L) && tfl_at(L, 2)) {
            const dv_gtensor *b = tfl_const(L, 2, DV_F32, "a bias");
            if (b && (b->rank != 1 || b->dims[0] != n))
                lw_bad(L, "the bias has not %lld values", (long long)n);
            in[2] = lw_ok(L) ? tfl_need(L, 2) : -1;
        }
        lw_begin(L, DV_OP_LINEAR, in[2] < 0 ? 2 : 3, in);
        if (scales)
            lw_floats(L, DV_IMPORT_SCALES, scales, (size_t)n);
        tfl_act_out(L, lw_end(L), 0);
    }
    dv_free(scales);
}

/* ---- numbers and bytes ---- */

/* Values are kept as numbers already: half precision and bytes alike. */
static void lower_dequantize(dv_lower *L)
{
    int32_t x = tfl_need(L, 0);
    if (lw_ok(L) && lw_type(L, x) != DV_F32)
        lw_bad(L, "integers without a scale");
    tfl_out(L, 0, x);
}

static void lower_quantize(dv_lower *L)
{
    int32_t x = tfl_need(L, 0);
    if (lw_ok(L) && lw_type(L, x) != DV_F32)
        lw_bad(L, "integers without a scale");
    tfl_moved(L, 0, x);
}

static void lower_cast(dv_lower *L)
{
    int32_t x = tfl_need(L, 0);
    int64_t to = tfl_option(L, 1, 1, TFL_F32);
    if (to != TFL_F32 && to != TFL_I32 && to != TFL_I64)
        lw_unsupported(L, "data type %lld", (long long)to);
    tfl_out(L, 0, lw_cast(L, x, to == TFL_F32 ? DV_F32 : DV_I64));
}

const tfl_op tfl_ops_math[] = {
    {0, "ADD", lower_binary},
    {6, "DEQUANTIZE", lower_dequantize},
    {8, "FLOOR", lower_simple},
    {9, "FULLY_CONNECTED", lower_full},
    {11, "L2_NORMALIZATION", lower_l2},
    {14, "LOGISTIC", lower_simple},
    {18, "MUL", lower_binary},
    {RELU, "RELU", lower_simple},
    {RELU_N1, "RELU_N1_TO_1", lower_simple},
    {RELU6, "RELU6", lower_simple},
    {25, "SOFTMAX", lower_softmax},
    {28, "TANH", lower_simple},
    {40, "MEAN", lower_reduce},
    {41, "SUB", lower_binary},
    {42, "DIV", lower_binary},
    {47, "EXP", lower_simple},
    {53, "CAST", lower_cast},
    {54, "PRELU", lower_prelu},
    {55, "MAXIMUM", lower_binary},
    {57, "MINIMUM", lower_binary},
    {59, "NEG", lower_simple},
    {73, "LOG", lower_simple},
    {74, "SUM", lower_reduce},
    {75, "SQRT", lower_simple},
    {76, "RSQRT", lower_rsqrt},
    {78, "POW", lower_binary},
    {81, "REDUCE_PROD", lower_reduce},
    {82, "REDUCE_MAX", lower_reduce},
    {89, "REDUCE_MIN", lower_reduce},
    {92, "SQUARE", lower_square},
    {98, "LEAKY_RELU", lower_leaky},
    {99, "SQUARED_DIFFERENCE", lower_binary},
    {101, "ABS", lower_simple},
    {104, "CEIL", lower_simple},
    {111, "ELU", lower_simple},
    {114, "QUANTIZE", lower_quantize},
    {117, "HARD_SWISH", lower_simple},
    {150, "GELU", lower_gelu},
    {0, NULL, NULL},
};
