/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_quant.c - 8-bit ops as QDQ: weights and biases behind a DequantizeLinear, float operators,
 * and a pair behind the last one (ex_put). What ops_quant.c of nn makes of the numbers in a file
 * (bias to integers, clips to bytes) is done here in the same way, so that the sums agree. */
#include <math.h>
#include <string.h>

#include "export/onnx_write.h"

void ex_whole_zero(ex *x, int32_t t)
{
    if (ex_ok(x) && t >= 0 && x->t[t].shift != 0)
        ex_unsupported(x, "its input has a zero point that is no integer");
}

/* ---- into bytes and back ---- */

void ex_do_quantize(ex *x)
{
    int32_t from = ex_in(x, 0), to = x->n->out[0];
    int layout = ex_layout(x, from);
    const dv_gtensor *o = &x->g->tensors[to];
    int32_t v = ex_get(x, from, layout), made[3];
    if (!(o->scale > 0)) {
        ex_op_many(x, "DynamicQuantizeLinear", 1, &v, 3, made);
        x->t[to].dynamic = true;
        x->t[to].value[layout] = ex_op(x, "DequantizeLinear", 3, made);
        x->pairs++;
        return;
    }
    float shift = (rintf(o->zero) - o->zero) * o->scale;
    if (shift != 0)
        v = ex_op2(x, "Add", v, ex_scalar(x, -shift));
    ex_put(x, to, layout, v);
}

void ex_do_dequantize(ex *x)
{
    int32_t from = ex_in(x, 0), to = x->n->out[0];
    float shift = x->t[from].shift;
    for (int layout = 0; layout < 2; layout++)
        if (ex_has(x, from, layout)) {
            int32_t v = ex_get(x, from, layout);
            x->t[to].value[layout] = shift != 0 ? ex_op2(x, "Add", v, ex_scalar(x, shift)) : v;
        }
}

/* ---- layers ---- */

typedef struct qlayer {
    const dv_gtensor *w, *ws, *bias;
    size_t k, n; /* rows, output channels */
    int8_t *s8;  /* [k][n] */
    int rank, layout;
    bool matrix; /* [k][n] in the file, else [n][...] */
} qlayer;

/* s8 or s32 numbers with a scale an output channel along `axis`. */
static int32_t dequantized(ex *x, int32_t v, int32_t scale, int32_t zero, int axis)
{
    int32_t in[3] = {v, scale, zero};
    int32_t y = ex_op(x, "DequantizeLinear", 3, in);
    ex_int(x, "axis", axis);
    return y;
}

static int32_t s8_weights(ex *x, const qlayer *l)
{
    const dv_gtensor *w = l->w;
    int64_t n = (int64_t)l->n, k = (int64_t)l->k;
    int64_t conv[4] = {n, w->rank == 4 ? w->dims[2] : k, w->rank == 4 ? w->dims[0] : 1,
                       w->rank == 4 ? w->dims[1] : 1};
    int64_t plain[2] = {k, n}, turned[2] = {n, k};
    const void *data = l->s8;
    if (!l->matrix)
        data = ex_turn(x, l->s8, (size_t)(conv[2] * conv[3]), (size_t)conv[1], l->n, 1);
    const int8_t *none = ex_alloc(x, l->n, 1);
    if (!data || !none)
        return -1;
    int type = ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
    int32_t v = l->matrix      ? ex_init(x, type, 2, plain, data, 1)
                : l->rank == 2 ? ex_init(x, type, 2, turned, data, 1)
                               : ex_init(x, type, 4, conv, data, 1);
    return dequantized(x, v, ex_floats(x, 1, &n, l->ws->data), ex_init(x, type, 1, &n, none, 1),
                       l->matrix);
}

static int32_t to_s32(double v)
{
    return (int32_t)(v > -2147483647.0 ? DV_MIN(v, 2147483647.0) : -2147483647.0);
}

/* The bias in units of input times weights, with what a zero point that is no integer adds. */
static int32_t s32_bias(ex *x, const qlayer *l, const dv_gtensor *in)
{
    double zero = (double)in->zero, whole = rint(zero);
    int64_t n = (int64_t)l->n;
    const float *ws = l->ws->data, *b = l->bias ? l->bias->data : NULL;
    if (!b && zero == whole)
        return -1;
    int32_t *q = ex_alloc(x, l->n, sizeof *q);
    float *unit = ex_alloc(x, l->n, sizeof *unit);
    for (size_t j = 0; ex_ok(x) && j < l->n; j++) {
        double sum = 0;
        for (size_t i = 0; i < l->k; i++)
            sum += l->s8[i * l->n + j];
        unit[j] = in->scale * ws[j];
        q[j] =
            to_s32(rint((b ? rint((double)b[j] / (double)unit[j]) : 0) - zero * sum) + whole * sum);
    }
    if (!ex_ok(x))
        return -1;
    return dequantized(x, ex_init(x, ONNX__TENSOR_PROTO__DATA_TYPE__INT32, 1, &n, q, 4),
                       ex_floats(x, 1, &n, unit), -1, 0);
}

/* The float result of the sums. */
static int32_t product(ex *x, const qlayer *l)
{
    int32_t t = ex_in(x, 0);
    const dv_gtensor *in = &x->g->tensors[t];
    int32_t v, bias = in->scale > 0 ? s32_bias(x, l, in)
                      : l->bias     ? ex_floats(x, 1, l->bias->dims, l->bias->data)
                                    : -1;
    int32_t args[3] = {ex_get(x, t, l->layout), s8_weights(x, l), bias};
    if (l->matrix) {
        v = ex_op2(x, "MatMul", args[0], args[1]);
        return bias < 0 ? v : ex_op2(x, "Add", v, bias);
    }
    if (l->rank == 2) {
        v = ex_op(x, "Gemm", 3, args);
        ex_int(x, "transB", 1);
        return v;
    }
    v = ex_op(x, "Conv", 3, args);
    if (x->n->op == DV_OP_Q_CONV) {
        ex_window(x, true);
        if (dv_node_int(x->n, DV_A_GROUP, 1) != 1)
            ex_int(x, "group", dv_node_int(x->n, DV_A_GROUP, 1));
    }
    return v;
}

/* Is the clip of the present node wider than the bytes of its output? */
static bool clip_is_idle(const ex *x, const dv_gtensor *o)
{
    return rintf(dv_node_float(x->n, DV_A_P, 0) / o->scale + o->zero) <= 0 &&
           rintf(dv_node_float(x->n, DV_A_Q, 0) / o->scale + o->zero) >= 255;
}

/* As the kernels have it: slope, residual, then a clip or a table of bytes. */
static int32_t after(ex *x, const qlayer *l, int32_t v)
{
    const dv_gtensor *slope = ex_const(x, 4), *o = &x->g->tensors[x->n->out[0]];
    int act = (int)dv_node_int(x->n, DV_A_ACT, DV_ACT_NONE);
    const dv_attr *pre = dv_node_attr(x->n, DV_A_PRE);
    bool bytes = o->dtype == DV_U8;
    if (slope)
        v = ex_op2(x, "PRelu", v,
                   ex_channels(x, slope->data, (size_t)slope->dims[0], l->rank, l->layout));
    else if (act == DV_ACT_LEAKY)
        v = ex_node_act(x, v);
    if (ex_in(x, 5) >= 0) {
        ex_whole_zero(x, ex_in(x, 5));
        v = ex_op2(x, "Add", v, ex_get(x, ex_in(x, 5), l->layout));
    }
    if (act == DV_ACT_LEAKY || (act == DV_ACT_CLIP && bytes && clip_is_idle(x, o)))
        return v;
    if (bytes && act != DV_ACT_NONE && act != DV_ACT_CLIP)
        v = ex_pair(x, v, pre->v.f[0], pre->v.f[1]);
    return ex_node_act(x, v);
}

void ex_do_q_layer(ex *x)
{
    int32_t t = ex_in(x, 0);
    qlayer l = {.w = ex_const(x, 1), .ws = ex_const(x, 2), .bias = ex_const(x, 3)};
    l.n = (size_t)l.w->dims[l.w->rank - 1];
    l.k = 1;
    for (int i = 0; i + 1 < l.w->rank; i++)
        l.k *= (size_t)l.w->dims[i];
    l.s8 = ex_unpack_s8(x, l.w);
    l.rank = ex_rank(x, t);
    l.layout = x->n->op == DV_OP_Q_CONV ? EX_NCHW : l.rank == 4 ? ex_layout(x, t) : EX_PLAIN;
    l.matrix = l.rank != 2 && l.layout == EX_PLAIN;
    int32_t v = product(x, &l);
    ex_put(x, x->n->out[0], l.layout, after(x, &l, v));
}

/* ---- the others ---- */

void ex_do_q_binary(ex *x)
{
    const dv_gtensor *o = &x->g->tensors[x->n->out[0]];
    int layout = ex_layout(x, ex_in(x, 0));
    for (int i = 0; i < 2; i++)
        ex_whole_zero(x, ex_in(x, i));
    int32_t a = ex_get(x, ex_in(x, 0), layout), b = ex_get(x, ex_in(x, 1), layout);
    int32_t v = ex_arith(x, (int)dv_node_int(x->n, DV_A_BINARY, DV_BIN_ADD), a, b);
    bool idle = dv_node_int(x->n, DV_A_ACT, DV_ACT_NONE) == DV_ACT_CLIP && clip_is_idle(x, o);
    ex_put(x, x->n->out[0], layout, idle ? v : ex_node_act(x, v));
}

void ex_do_q_act(ex *x)
{
    ex_whole_zero(x, ex_in(x, 0));
    ex_do_act(x);
}

void ex_do_q_se(ex *x)
{
    ex_whole_zero(x, ex_in(x, 0));
    ex_do_se(x);
}
