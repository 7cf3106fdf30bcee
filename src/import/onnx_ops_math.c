/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators on numbers: elementwise, activations, products of matrices, reductions.
 */
#include <math.h>
#include <string.h>

#include "import/onnx.h"

/* ---- activations ---- */

static void unary(dv_lower *L, int act, float p, float q)
{
    lw_out(L, 0, lw_act(L, act, lw_need(L, 0), p, q));
}

static void lower_simple(dv_lower *L)
{
    static const struct {
        const char *name;
        int act;
    } acts[] = {
        {"Sigmoid", DV_ACT_SIGMOID},   {"Tanh", DV_ACT_TANH}, {"HardSwish", DV_ACT_HSWISH},
        {"Erf", DV_ACT_ERF},           {"Exp", DV_ACT_EXP},   {"Log", DV_ACT_LOG},
        {"Sqrt", DV_ACT_SQRT},         {"Abs", DV_ACT_ABS},   {"Neg", DV_ACT_NEG},
        {"Floor", DV_ACT_FLOOR},       {"Ceil", DV_ACT_CEIL}, {"Reciprocal", DV_ACT_RECIP},
        {"Softplus", DV_ACT_SOFTPLUS},
    };
    int32_t x = lw_need(L, 0);
    if (lw_ok(L) && lw_type(L, x) == DV_I64 && !strcmp(L->o->n->op_type, "Neg")) {
        static const int64_t zero = 0;
        lw_out(L, 0, lw_binary(L, DV_BIN_SUB, lw_add_const(L, DV_I64, 0, NULL, &zero), x));
        return;
    }
    for (size_t i = 0; i < DV_COUNT(acts); i++)
        if (!strcmp(acts[i].name, L->o->n->op_type))
            unary(L, acts[i].act, 0, 0);
}

static void lower_relu(dv_lower *L)
{
    unary(L, DV_ACT_CLIP, 0, INFINITY);
}

static void lower_leaky(dv_lower *L)
{
    unary(L, DV_ACT_LEAKY, lw_attr_float(L, "alpha", 0.01f), 0);
}

static void lower_hard_sigmoid(dv_lower *L)
{
    unary(L, DV_ACT_HSIGMOID, lw_attr_float(L, "alpha", 0.2f), lw_attr_float(L, "beta", 0.5f));
}

static void lower_elu(dv_lower *L)
{
    unary(L, DV_ACT_ELU, lw_attr_float(L, "alpha", 1), 0);
}

static void lower_selu(dv_lower *L)
{
    float alpha = lw_attr_float(L, "alpha", 1.67326319f);
    float gamma = lw_attr_float(L, "gamma", 1.05070102f);
    int32_t y = lw_act(L, DV_ACT_ELU, lw_need(L, 0), alpha, 0);
    lw_out(L, 0, lw_binary(L, DV_BIN_MUL, y, lw_scalar(L, gamma)));
}

static void lower_gelu(dv_lower *L)
{
    char buf[48];
    if (strcmp(lw_attr_text(L, "approximate", "none", buf), "none"))
        lw_unsupported(L, "the tanh approximation");
    unary(L, DV_ACT_GELU, 0, 0);
}

static void lower_mish(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    int32_t y = lw_act(L, DV_ACT_TANH, lw_act(L, DV_ACT_SOFTPLUS, x, 0, 0), 0, 0);
    lw_out(L, 0, lw_binary(L, DV_BIN_MUL, x, y));
}

static void lower_softsign(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    int32_t y = lw_binary(L, DV_BIN_ADD, lw_act(L, DV_ACT_ABS, x, 0, 0), lw_scalar(L, 1));
    lw_out(L, 0, lw_binary(L, DV_BIN_DIV, x, y));
}

/* Limits as attributes (set 6) or inputs, which may be computed. */
static void lower_clip(dv_lower *L)
{
    int32_t x = lw_need(L, 0), lim[2] = {-1, -1};
    float v[2] = {lw_attr_float(L, "min", -INFINITY), lw_attr_float(L, "max", INFINITY)};
    bool known = true;
    for (int i = 0; i < 2; i++) {
        size_t count = 0;
        lim[i] = lw_in(L, (size_t)i + 1);
        if (lim[i] < 0)
            continue;
        lim[i] = lw_type(L, x) == DV_F32 ? lw_cast(L, lim[i], DV_F32) : lim[i];
        const dv_gtensor *c = lw_const(L, lim[i]);
        if (c && (!dv_count(c->rank, c->dims, &count) || count != 1))
            lw_bad(L, "a limit of %zu values", count);
        if (c && c->dtype == DV_F32)
            v[i] = *(const float *)c->data;
        else
            known = false;
    }
    if (!lw_ok(L))
        return;
    if (v[0] != v[0] || v[1] != v[1])
        lw_bad(L, "a limit is not a number");
    /* The format's way to say "no limit" before there were optional inputs. */
    if (v[0] <= -3.402823e38f)
        v[0] = -INFINITY;
    if (v[1] >= 3.402823e38f)
        v[1] = INFINITY;
    if (known) {
        lw_out(L, 0, lw_act(L, DV_ACT_CLIP, x, v[0], v[1]));
        return;
    }
    if (lim[0] >= 0)
        x = lw_binary(L, DV_BIN_MAX, x, lim[0]);
    if (lim[1] >= 0)
        x = lw_binary(L, DV_BIN_MIN, x, lim[1]);
    lw_out(L, 0, x);
}

static void lower_prelu(dv_lower *L)
{
    int32_t in[2] = {lw_need(L, 0), lw_need(L, 1)};
    if (!lw_const_in(L, 1, DV_F32, "a slope"))
        return;
    in[1] = lw_cast(L, in[1], DV_F32);
    lw_begin(L, DV_OP_PRELU, 2, in);
    lw_out(L, 0, lw_end(L));
}

/* ---- two and more operands ---- */

static void pairwise(dv_lower *L, int op)
{
    lw_out(L, 0, lw_binary(L, op, lw_need(L, 0), lw_need(L, 1)));
}

static void lower_add(dv_lower *L)
{
    pairwise(L, DV_BIN_ADD);
}

static void lower_sub(dv_lower *L)
{
    pairwise(L, DV_BIN_SUB);
}

static void lower_mul(dv_lower *L)
{
    pairwise(L, DV_BIN_MUL);
}

static void lower_div(dv_lower *L)
{
    pairwise(L, DV_BIN_DIV);
}

static void lower_pow(dv_lower *L)
{
    pairwise(L, DV_BIN_POW);
}

static void chain(dv_lower *L, int op, bool mean)
{
    int32_t y = lw_need(L, 0);
    for (size_t i = 1; lw_ok(L) && i < L->o->n->n_input; i++)
        y = lw_binary(L, op, y, lw_need(L, i));
    if (mean && L->o->n->n_input > 1)
        y = lw_binary(L, DV_BIN_MUL, y, lw_scalar(L, 1.0f / (float)L->o->n->n_input));
    lw_out(L, 0, y);
}

static void lower_max(dv_lower *L)
{
    chain(L, DV_BIN_MAX, false);
}

static void lower_min(dv_lower *L)
{
    chain(L, DV_BIN_MIN, false);
}

static void lower_sum(dv_lower *L)
{
    chain(L, DV_BIN_ADD, false);
}

static void lower_mean(dv_lower *L)
{
    chain(L, DV_BIN_ADD, true);
}

/* ---- matrices ---- */

/* w[k][n] * scale, from rows or columns of c. */
static int32_t linear_weights(dv_lower *L, const dv_gtensor *c, bool transposed, float scale)
{
    size_t k = (size_t)c->dims[transposed], n = (size_t)c->dims[!transposed], count;
    int64_t dims[2] = {(int64_t)k, (int64_t)n};
    const float *in = c->data;
    if (!dv_count(2, dims, &count))
        return -1;
    float *w = dv_malloc(count * sizeof *w);
    if (!w) {
        lw_nomem(L);
        return -1;
    }
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < n; j++)
            w[i * n + j] = in[transposed ? j * k + i : i * n + j] * scale;
    int32_t t = lw_add_const(L, DV_F32, 2, dims, w);
    dv_free(w);
    return t;
}

static void check_inner(dv_lower *L, int32_t x, int64_t k)
{
    int64_t have = lw_dim(L, x, lw_rank(L, x) - 1);
    if (have >= 0 && have != k)
        lw_bad(L, "rows of %lld times a matrix of %lld rows", (long long)have, (long long)k);
}

static void lower_matmul(dv_lower *L)
{
    int32_t in[2] = {lw_need(L, 0), lw_need(L, 1)};
    const dv_gtensor *b = lw_const(L, in[1]);
    int ra = lw_rank(L, in[0]), rb = lw_rank(L, in[1]);
    if (b && b->rank == 2 && b->dtype == DV_F32 && ra != 0) {
        int32_t w = in[1];
        size_t n = (size_t)b->dims[1];
        check_inner(L, in[0], b->dims[0]);
        in[1] = lw_ok(L) ? linear_weights(L, lw_const(L, in[1]), false, 1) : -1;
        lw_begin(L, DV_OP_LINEAR, 2, in);
        lw_keep_scales(L, w, 1, n, 1);
        lw_out(L, 0, lw_end(L));
        return;
    }
    if ((ra >= 0 && ra < 2) || (rb >= 0 && rb < 2))
        lw_unsupported(L, "vectors");
    lw_begin(L, DV_OP_MATMUL, 2, in);
    lw_out(L, 0, lw_end(L));
}

/* The third operand of Gemm as a bias of n values (a new constant), or -1 if it is not one. */
static int32_t gemm_bias(dv_lower *L, int32_t t, int64_t n, float beta)
{
    const dv_gtensor *c = lw_const(L, t);
    size_t count;
    if (!c || c->dtype != DV_F32 || !dv_count(c->rank, c->dims, &count) ||
        (count != 1 && count != (size_t)n) || (c->rank && c->dims[c->rank - 1] != (int64_t)count))
        return -1;
    float *v = dv_malloc((size_t)n * sizeof *v);
    if (!v) {
        lw_nomem(L);
        return -1;
    }
    for (size_t i = 0; i < (size_t)n; i++)
        v[i] = beta * ((const float *)c->data)[count == 1 ? 0 : i];
    int32_t b = lw_vector(L, DV_F32, (size_t)n, v);
    dv_free(v);
    return b;
}

static void lower_gemm(dv_lower *L)
{
    static const int64_t swap[2] = {1, 0};
    int32_t in[3] = {lw_need(L, 0), lw_need(L, 1), -1}, c = lw_in(L, 2), y;
    float alpha = lw_attr_float(L, "alpha", 1), beta = lw_attr_float(L, "beta", 1);
    bool ta = lw_attr_int(L, "transA", 0) != 0, tb = lw_attr_int(L, "transB", 0) != 0;
    const dv_gtensor *b = lw_const(L, in[1]);
    if (!lw_ok(L))
        return;
    if (lw_rank_or(L, in[0], 2) != 2 || lw_rank_or(L, in[1], 2) != 2) {
        lw_bad(L, "matrices with other than 2 dims");
        return;
    }
    if (beta == 0)
        c = -1;
    if (b && b->dtype == DV_F32) {
        int64_t n = b->dims[!tb];
        if (ta)
            in[0] = lw_transpose(L, in[0], 2, swap);
        check_inner(L, in[0], lw_ok(L) ? L->g->tensors[in[1]].dims[tb] : 0);
        if (!lw_ok(L))
            return;
        int32_t w = in[1];
        in[1] = linear_weights(L, lw_const(L, in[1]), tb, alpha);
        in[2] = lw_ok(L) ? gemm_bias(L, c, n, beta) : -1;
        lw_begin(L, DV_OP_LINEAR, in[2] < 0 ? 2 : 3, in);
        lw_keep_scales(L, w, !tb, (size_t)n, alpha);
        y = lw_end(L);
    } else {
        lw_begin(L, DV_OP_MATMUL, 2, in);
        if (ta)
            lw_int(L, DV_A_TRANS_A, 1);
        if (tb)
            lw_int(L, DV_A_TRANS_B, 1);
        if (alpha != 1)
            lw_float(L, DV_A_ALPHA, alpha);
        y = lw_end(L);
    }
    if (c >= 0 && in[2] < 0) {
        if (beta != 1)
            c = lw_binary(L, DV_BIN_MUL, c, lw_scalar(L, beta));
        y = lw_binary(L, DV_BIN_ADD, y, c);
    }
    lw_out(L, 0, y);
}

/* ---- reductions ---- */

static void lower_reduce(dv_lower *L)
{
    static const struct {
        const char *name;
        int kind, act;
    } kinds[] = {
        {"ReduceMean", DV_RED_MEAN, DV_ACT_NONE}, {"ReduceSum", DV_RED_SUM, DV_ACT_NONE},
        {"ReduceMax", DV_RED_MAX, DV_ACT_NONE},   {"ReduceMin", DV_RED_MIN, DV_ACT_NONE},
        {"ReduceL1", DV_RED_L1, DV_ACT_NONE},     {"ReduceL2", DV_RED_L2, DV_ACT_NONE},
        {"ReduceProd", DV_RED_PROD, DV_ACT_NONE}, {"ReduceSumSquare", DV_RED_SUMSQ, DV_ACT_NONE},
        {"ReduceLogSum", DV_RED_SUM, DV_ACT_LOG},
    };
    int32_t x = lw_need(L, 0);
    int64_t axes[DMV_MAX_RANK];
    size_t n = lw_attr_ints(L, "axes", axes, DMV_MAX_RANK);
    bool keep = lw_attr_int(L, "keepdims", 1) != 0;
    if (n == 0)
        n = lw_ints_in(L, 1, "axes", axes, DMV_MAX_RANK);
    if (!lw_ok(L))
        return;
    if (n == 0 && lw_attr_int(L, "noop_with_empty_axes", 0)) {
        lw_out(L, 0, x);
        return;
    }
    for (size_t i = 0; i < n && lw_rank(L, x) >= 0; i++)
        lw_axis(L, axes[i], lw_rank(L, x));
    for (size_t i = 0; i < DV_COUNT(kinds); i++)
        if (!strcmp(kinds[i].name, L->o->n->op_type)) {
            int32_t y = lw_reduce(L, x, kinds[i].kind, n, axes, keep);
            if (kinds[i].act != DV_ACT_NONE)
                y = lw_act(L, kinds[i].act, y, 0, 0);
            lw_out(L, 0, y);
        }
}

const lw_op lw_ops_math[] = {
    {"Relu", lower_relu},
    {"LeakyRelu", lower_leaky},
    {"PRelu", lower_prelu},
    {"Clip", lower_clip},
    {"Sigmoid", lower_simple},
    {"HardSigmoid", lower_hard_sigmoid},
    {"HardSwish", lower_simple},
    {"Tanh", lower_simple},
    {"Elu", lower_elu},
    {"Selu", lower_selu},
    {"Softplus", lower_simple},
    {"Softsign", lower_softsign},
    {"Gelu", lower_gelu},
    {"Mish", lower_mish},
    {"Erf", lower_simple},
    {"Exp", lower_simple},
    {"Log", lower_simple},
    {"Sqrt", lower_simple},
    {"Abs", lower_simple},
    {"Neg", lower_simple},
    {"Floor", lower_simple},
    {"Ceil", lower_simple},
    {"Reciprocal", lower_simple},
    {"Add", lower_add},
    {"Sub", lower_sub},
    {"Mul", lower_mul},
    {"Div", lower_div},
    {"Pow", lower_pow},
    {"Max", lower_max},
    {"Min", lower_min},
    {"Sum", lower_sum},
    {"Mean", lower_mean},
    {"MatMul", lower_matmul},
    {"Gemm", lower_gemm},
    {"ReduceMean", lower_reduce},
    {"ReduceSum", lower_reduce},
    {"ReduceMax", lower_reduce},
    {"ReduceMin", lower_reduce},
    {"ReduceL1", lower_reduce},
    {"ReduceL2", lower_reduce},
    {"ReduceProd", lower_reduce},
    {"ReduceSumSquare", lower_reduce},
    {"ReduceLogSum", lower_reduce},
    {NULL, NULL},
};
