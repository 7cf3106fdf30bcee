/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_math.c - arithmetic, activations, norms. What operator set 13 has no operator for is written
 * as the arithmetic that the importer recognises. */
#include <math.h>
#include <string.h>

#include "export/onnx_write.h"

/* ---- activations ---- */

static int32_t clip(ex *x, int32_t v, float lo, float hi)
{
    if (lo == 0 && isinf(hi))
        return ex_op1(x, "Relu", v);
    int32_t in[3] = {v, isinf(lo) ? -1 : ex_scalar(x, lo), isinf(hi) ? -1 : ex_scalar(x, hi)};
    return ex_op(x, "Clip", 3, in);
}

static int32_t hard_sigmoid(ex *x, int32_t v, float p, float q)
{
    int32_t y = ex_op1(x, "HardSigmoid", v);
    ex_float(x, "alpha", p);
    ex_float(x, "beta", q);
    return y;
}

static int32_t gelu(ex *x, int32_t v)
{
    int32_t y = ex_op2(x, "Mul", v, ex_scalar(x, 0.70710678118654752f));
    y = ex_op2(x, "Add", ex_op1(x, "Erf", y), ex_scalar(x, 1));
    return ex_op2(x, "Mul", ex_op2(x, "Mul", v, y), ex_scalar(x, 0.5f));
}

int32_t ex_act(ex *x, int32_t v, int act, float p, float q)
{
    static const struct {
        int act;
        const char *op;
    } simple[] = {
        {DV_ACT_SIGMOID, "Sigmoid"}, {DV_ACT_TANH, "Tanh"},         {DV_ACT_ERF, "Erf"},
        {DV_ACT_EXP, "Exp"},         {DV_ACT_LOG, "Log"},           {DV_ACT_SQRT, "Sqrt"},
        {DV_ACT_ABS, "Abs"},         {DV_ACT_NEG, "Neg"},           {DV_ACT_FLOOR, "Floor"},
        {DV_ACT_CEIL, "Ceil"},       {DV_ACT_SOFTPLUS, "Softplus"}, {DV_ACT_RECIP, "Reciprocal"},
    };
    for (size_t i = 0; i < DV_COUNT(simple); i++)
        if (simple[i].act == act)
            return ex_op1(x, simple[i].op, v);
    switch (act) {
    case DV_ACT_NONE:
        return v;
    case DV_ACT_CLIP:
        return clip(x, v, p, q);
    case DV_ACT_SWISH:
        return ex_op2(x, "Mul", v, ex_op1(x, "Sigmoid", v));
    case DV_ACT_HSIGMOID:
        return hard_sigmoid(x, v, p, q);
    case DV_ACT_HSWISH:
        return ex_op2(x, "Mul", v, hard_sigmoid(x, v, 1.0f / 6.0f, 0.5f));
    case DV_ACT_GELU:
        return gelu(x, v);
    case DV_ACT_LEAKY:
    case DV_ACT_ELU:
        v = ex_op1(x, act == DV_ACT_LEAKY ? "LeakyRelu" : "Elu", v);
        ex_float(x, "alpha", p);
        return v;
    default:
        ex_unsupported(x, "its activation");
        return -1;
    }
}

int32_t ex_node_act(ex *x, int32_t v)
{
    return ex_act(x, v, (int)dv_node_int(x->n, DV_A_ACT, DV_ACT_NONE),
                  dv_node_float(x->n, DV_A_P, 0), dv_node_float(x->n, DV_A_Q, 0));
}

void ex_do_act(ex *x)
{
    int layout = ex_layout(x, ex_in(x, 0));
    ex_put(x, x->n->out[0], layout, ex_node_act(x, ex_get(x, ex_in(x, 0), layout)));
}

void ex_do_prelu(ex *x)
{
    int32_t t = ex_in(x, 0);
    int layout = ex_layout(x, t);
    int32_t v = ex_get(x, t, layout), s = ex_operand(x, ex_in(x, 1), ex_rank(x, t), layout);
    ex_put(x, x->n->out[0], layout, ex_op2(x, "PRelu", v, s));
}

/* ---- two operands ---- */

int32_t ex_arith(ex *x, int op, int32_t a, int32_t b)
{
    static const char *const names[DV_BIN_COUNT] = {"Add", "Sub", "Mul", "Div",
                                                    "Max", "Min", "Pow"};
    return ex_op2(x, names[op], a, b);
}

/* N, C, H, W if an operand of four dims is there so, and the other is constant, of four dims, or
 * one number. */
static int common_layout(const ex *x)
{
    int layout = EX_PLAIN;
    for (int i = 0; i < 2; i++) {
        int32_t t = ex_in(x, i);
        if (x->g->tensors[t].data)
            continue;
        if (ex_rank(x, t) == 4 && ex_layout(x, t) == EX_NCHW)
            layout = EX_NCHW;
    }
    for (int i = 0; i < 2; i++) {
        int32_t t = ex_in(x, i);
        if (!x->g->tensors[t].data && ex_rank(x, t) != 4 && ex_rank(x, t) != 0)
            return EX_PLAIN;
        if (x->g->tensors[t].dtype == DV_I64)
            return EX_PLAIN;
    }
    return layout;
}

static int32_t side(ex *x, int i, int layout)
{
    int32_t t = ex_in(x, i);
    if (x->g->tensors[t].data)
        return ex_operand(x, t, layout == EX_NCHW ? 4 : ex_rank(x, t), layout);
    return ex_get(x, t, ex_rank(x, t) == 4 ? layout : EX_PLAIN);
}

void ex_do_binary(ex *x)
{
    int layout = common_layout(x);
    int32_t a = side(x, 0, layout), b = side(x, 1, layout);
    ex_put(x, x->n->out[0], layout,
           ex_arith(x, (int)dv_node_int(x->n, DV_A_BINARY, DV_BIN_ADD), a, b));
}

/* Input i with its last two axes swapped if the node says so. */
static int32_t matrix(ex *x, int i, uint16_t key)
{
    int32_t t = ex_in(x, i), v = ex_get(x, t, EX_PLAIN);
    int rank = ex_rank(x, t);
    int64_t perm[DMV_MAX_RANK];
    if (!dv_node_int(x->n, key, 0))
        return v;
    for (int d = 0; d < rank; d++)
        perm[d] = d < rank - 2 ? d : 2 * rank - 3 - d;
    return ex_transpose(x, v, rank, perm);
}

void ex_do_matmul(ex *x)
{
    float alpha = dv_node_float(x->n, DV_A_ALPHA, 1);
    int32_t a = matrix(x, 0, DV_A_TRANS_A), b = matrix(x, 1, DV_A_TRANS_B);
    int32_t v = ex_op2(x, "MatMul", a, b);
    if (alpha != 1)
        v = ex_op2(x, "Mul", v, ex_scalar(x, alpha));
    ex_put(x, x->n->out[0], EX_PLAIN, v);
}

/* ---- along an axis ---- */

void ex_do_softmax(ex *x)
{
    int32_t t = ex_in(x, 0);
    int layout = ex_layout(x, t);
    int32_t v = ex_op1(x, "Softmax", ex_get(x, t, layout));
    ex_int(x, "axis", ex_axis((int)dv_node_int(x->n, DV_A_AXIS, -1), ex_rank(x, t), layout));
    ex_put(x, x->n->out[0], layout, v);
}

static int32_t mean(ex *x, int32_t v, int64_t axis)
{
    int32_t y = ex_op1(x, "ReduceMean", v);
    ex_ints(x, "axes", &axis, 1);
    return y;
}

void ex_do_layer_norm(ex *x)
{
    int32_t t = ex_in(x, 0);
    int rank = ex_rank(x, t), layout = ex_layout(x, t);
    int64_t axis = ex_axis(-1, rank, layout);
    int32_t v = ex_get(x, t, layout);
    int32_t centred = ex_op2(x, "Sub", v, mean(x, v, axis));
    int32_t var = mean(x, ex_op2(x, "Mul", centred, centred), axis);
    var = ex_op2(x, "Add", var, ex_scalar(x, dv_node_float(x->n, DV_A_EPS, 1e-5f)));
    v = ex_op2(x, "Div", centred, ex_op1(x, "Sqrt", var));
    for (int i = 1; i < 3; i++) {
        const dv_gtensor *c = ex_const(x, i);
        if (c)
            v = ex_op2(x, i == 1 ? "Mul" : "Add", v,
                       ex_channels(x, c->data, c->size / sizeof(float), rank, layout));
    }
    ex_put(x, x->n->out[0], layout, v);
}

void ex_do_l2_norm(ex *x)
{
    int32_t t = ex_in(x, 0);
    int layout = ex_layout(x, t);
    int64_t axis = ex_axis((int)dv_node_int(x->n, DV_A_AXIS, -1), ex_rank(x, t), layout);
    int32_t v = ex_get(x, t, layout), norm = ex_op1(x, "ReduceL2", v);
    ex_ints(x, "axes", &axis, 1);
    int32_t in[2] = {norm, ex_scalar(x, dv_node_float(x->n, DV_A_EPS, 1e-12f))};
    ex_put(x, x->n->out[0], layout, ex_op2(x, "Div", v, ex_op(x, "Clip", 2, in)));
}

void ex_do_reduce(ex *x)
{
    static const char *const names[DV_RED_COUNT] = {"ReduceMean", "ReduceSum",      "ReduceMax",
                                                    "ReduceMin",  "ReduceL2",       "ReduceL1",
                                                    "ReduceProd", "ReduceSumSquare"};
    int32_t t = ex_in(x, 0), v;
    int rank = ex_rank(x, t), layout = ex_layout(x, t);
    int64_t kind = dv_node_int(x->n, DV_A_REDUCE, DV_RED_MEAN), axes[DMV_MAX_RANK];
    bool keep = dv_node_int(x->n, DV_A_KEEPDIMS, 1) != 0, gone[DMV_MAX_RANK] = {false};
    uint32_t n = dv_node_ints(x->n, DV_A_AXES, axes, DMV_MAX_RANK);
    for (uint32_t i = 0; i < n; i++)
        gone[ex_axis((int)axes[i], rank, EX_PLAIN)] = true;
    /* without the dims, what is left must be in the same order in both layouts */
    if (layout == EX_NCHW && n && !keep && !gone[3] && !(gone[1] && gone[2]))
        layout = EX_PLAIN;
    for (uint32_t i = 0; i < n; i++)
        axes[i] = ex_axis((int)axes[i], rank, layout);
    int32_t in[2] = {ex_get(x, t, layout), -1};
    if (kind == DV_RED_SUM && n)
        in[1] = ex_list(x, axes, n);
    v = ex_op(x, names[kind], 2, in);
    if (kind != DV_RED_SUM && n)
        ex_ints(x, "axes", axes, n);
    ex_int(x, "keepdims", keep);
    ex_put(x, x->n->out[0], keep ? layout : EX_PLAIN, v);
}
