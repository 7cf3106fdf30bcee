/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_layers.c - layers with constant weights, and what is fused into them taken apart again: the
 * sum, then the residual, then slope or activation. */
#include <string.h>

#include "export/onnx_write.h"

/* [OC, IC / g, KH, KW] from the packed weights of a convolution. */
static int32_t conv_weights(ex *x, const dv_gtensor *w, int64_t groups)
{
    int64_t dims[4] = {w->dims[3], w->dims[2], w->dims[0], w->dims[1]};
    float *v = ex_unpack(x, w, groups);
    v = ex_turn(x, v, (size_t)(w->dims[0] * w->dims[1]), (size_t)w->dims[2], (size_t)w->dims[3],
                sizeof *v);
    return ex_floats(x, 4, dims, v);
}

static int32_t vector(ex *x, const dv_gtensor *t)
{
    return t ? ex_floats(x, 1, t->dims, ex_unpack(x, t, 1)) : -1;
}

static int32_t slope(ex *x, int32_t v, const dv_gtensor *s, int rank, int layout)
{
    const float *f = s ? ex_unpack(x, s, 1) : NULL;
    return f ? ex_op2(x, "PRelu", v, ex_channels(x, f, (size_t)s->dims[0], rank, layout)) : v;
}

/* Residual, slope, activation of the present node. */
static void finish(ex *x, int32_t v, int rank, int layout)
{
    if (ex_in(x, 4) >= 0)
        v = ex_op2(x, "Add", v, ex_get(x, ex_in(x, 4), layout));
    v = slope(x, v, ex_const(x, 3), rank, layout);
    ex_put(x, x->n->out[0], layout, ex_node_act(x, v));
}

void ex_do_conv(ex *x)
{
    int64_t groups = dv_node_int(x->n, DV_A_GROUP, 1);
    const dv_gtensor *w = ex_const(x, 1);
    bool dw = w->pack == DV_PACK_DW || w->pack == DV_PACK_HDW;
    int32_t in[3] = {ex_get(x, ex_in(x, 0), EX_NCHW), conv_weights(x, w, dw ? 1 : groups),
                     vector(x, ex_const(x, 2))};
    int32_t v = ex_op(x, "Conv", 3, in);
    ex_window(x, true);
    if (groups != 1)
        ex_int(x, "group", groups);
    finish(x, v, 4, EX_NCHW);
}

void ex_do_conv_transpose(ex *x)
{
    int64_t k[2] = {1, 1}, extra[2] = {0, 0};
    const dv_gtensor *w = ex_const(x, 1);
    dv_node_ints(x->n, DV_A_KERNEL, k, 2);
    dv_node_ints(x->n, DV_A_OUTPUT_PAD, extra, 2);
    size_t ic = (size_t)w->dims[0], taps = (size_t)(k[0] * k[1]), oc = (size_t)w->dims[1] / taps;
    int64_t dims[4] = {(int64_t)ic, (int64_t)oc, k[0], k[1]};
    const float *from = ex_unpack(x, w, 1);
    float *v = ex_alloc(x, ic * oc * taps, sizeof *v);
    for (size_t i = 0; ex_ok(x) && i < ic; i++) /* [ic][taps][oc] to [ic][oc][taps] */
        for (size_t t = 0; t < taps; t++)
            for (size_t o = 0; o < oc; o++)
                v[(i * oc + o) * taps + t] = from[(i * taps + t) * oc + o];
    int32_t in[3] = {ex_get(x, ex_in(x, 0), EX_NCHW), ex_floats(x, 4, dims, v),
                     vector(x, ex_const(x, 2))};
    int32_t y = ex_op(x, "ConvTranspose", 3, in);
    ex_window(x, true);
    if (extra[0] || extra[1])
        ex_ints(x, "output_padding", extra, 2);
    y = slope(x, y, ex_const(x, 3), 4, EX_NCHW);
    ex_put(x, x->n->out[0], EX_NCHW, ex_node_act(x, y));
}

/* A matrix product of a matrix is a Gemm, of a picture that is there as N, C, H, W a convolution.
 */
void ex_do_linear(ex *x)
{
    int32_t from = ex_in(x, 0), v;
    const dv_gtensor *w = ex_const(x, 1);
    int rank = ex_rank(x, from), layout = rank == 4 ? ex_layout(x, from) : EX_PLAIN;
    size_t k = (size_t)w->dims[0], n = (size_t)w->dims[1];
    int64_t turned[4] = {w->dims[1], w->dims[0], 1, 1};
    float *plain = ex_unpack(x, w, 1);
    int32_t in[3] = {ex_get(x, from, layout), -1, vector(x, ex_const(x, 2))};
    if (rank == 2 || layout == EX_NCHW) {
        in[1] = ex_floats(x, rank == 2 ? 2 : 4, turned, ex_turn(x, plain, 1, k, n, sizeof *plain));
        v = ex_op(x, rank == 2 ? "Gemm" : "Conv", 3, in);
        if (rank == 2)
            ex_int(x, "transB", 1);
    } else {
        in[1] = ex_floats(x, 2, w->dims, plain);
        v = ex_op2(x, "MatMul", in[0], in[1]);
        if (in[2] >= 0)
            v = ex_op2(x, "Add", v, in[2]);
    }
    finish(x, v, rank, layout);
}

/* ---- squeeze-excite ---- */

static int32_t pointwise(ex *x, int32_t v, const dv_gtensor *w, const dv_gtensor *b)
{
    int64_t dims[4] = {w->dims[1], w->dims[0], 1, 1};
    float *m = ex_unpack(x, w, 1);
    m = ex_turn(x, m, 1, (size_t)w->dims[0], (size_t)w->dims[1], sizeof *m);
    int32_t in[3] = {v, ex_floats(x, 4, dims, m), vector(x, b)};
    return ex_op(x, "Conv", 3, in);
}

int32_t ex_se(ex *x, int32_t v)
{
    const dv_attr *pq = dv_node_attr(x->n, DV_A_SCALES);
    int32_t gate = ex_op1(x, "GlobalAveragePool", v);
    gate = ex_node_act(x, pointwise(x, gate, ex_const(x, 1), ex_const(x, 2)));
    gate = pointwise(x, gate, ex_const(x, 3), ex_const(x, 4));
    if (dv_node_int(x->n, DV_A_MODE, 0) == 1)
        gate = ex_act(x, gate, DV_ACT_HSIGMOID, pq->v.f[0], pq->v.f[1]);
    else
        gate = ex_act(x, gate, DV_ACT_SIGMOID, 0, 0);
    return ex_op2(x, "Mul", v, gate);
}

void ex_do_se(ex *x)
{
    ex_put(x, x->n->out[0], EX_NCHW, ex_se(x, ex_get(x, ex_in(x, 0), EX_NCHW)));
}
