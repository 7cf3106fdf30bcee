/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_quant.c - the ops on 8-bit tensors. What a file states in real units (bias, slope, scales)
 * becomes the integers and factors of dv_requant here, in one place, when a session is shaped;
 * only inputs whose scale is found while the net runs repeat it at each run. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "nn/ops.h"
#include "nn/window.h"

/* q of a real value, before the clamp to a byte. */
static float real_to_q(float v, float scale, float zero)
{
    return rintf(v / scale + zero);
}

static float clamp_byte(float v)
{
    return v > 0 ? DV_MIN(v, 255.0f) : 0;
}

/* The activations that become a clip of bytes. */
static bool is_clip(int act)
{
    return act == DV_ACT_NONE || act == DV_ACT_CLIP;
}

/* lo and hi of dv_requant: the byte range, or an activation's clip inside it. */
static void clip_of(const dv_node *n, float scale, float zero, float *lo, float *hi)
{
    *lo = 0;
    *hi = 255;
    if (dv_node_int(n, DV_A_ACT, DV_ACT_NONE) == DV_ACT_CLIP) {
        *lo = clamp_byte(real_to_q(dv_node_float(n, DV_A_P, 0), scale, zero));
        *hi = clamp_byte(real_to_q(dv_node_float(n, DV_A_Q, 0), scale, zero));
    }
    *lo -= zero;
    *hi -= zero;
}

/* table[q] = the byte of act(value of q). */
static void make_table(dv_exec *x, const dv_node *n, int act, float scale, float zero,
                       const dv_value *o, uint8_t *table)
{
    float v[256];
    for (int i = 0; i < 256; i++)
        v[i] = ((float)i - zero) * scale;
    /* the C twin: the same bytes on every processor */
    dv_kernels c;
    dv_kernels_c(&c);
    c.act_f32(act, 256, v, v, dv_node_float(n, DV_A_P, 0), dv_node_float(n, DV_A_Q, 0));
    for (int i = 0; i < 256; i++)
        table[i] = (uint8_t)clamp_byte(real_to_q(v[i], o->scale, o->zero));
}

static bool same_dims(const dv_value *a, const dv_value *b)
{
    return a->rank == b->rank && !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims);
}

/* ---- Quantize, Dequantize ---- */

static dmv_status like_input(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    return dv_set_dims(dv_out(x, s, 0), in->rank, in->dims, e);
}

/* Scale and zero point of the range of v, which is made to hold 0. */
static void measure(const dv_value *v, float *scale, float *zero)
{
    float lo = 0, hi = 0;
    for (size_t i = 0; i < v->count; i++) {
        lo = v->f[i] < lo ? v->f[i] : lo;
        hi = v->f[i] > hi ? v->f[i] : hi;
    }
    lo = DV_MAX(lo, -FLT_MAX / 4);
    hi = DV_MIN(hi, FLT_MAX / 4);
    *scale = hi > lo ? DV_MAX((hi - lo) / 255, FLT_MIN) : 1;
    *zero = clamp_byte(rintf(-lo / *scale));
}

static void quantize_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_value *o = dv_out(x, s, 0);
    x->k->quant_u8(end - begin, dv_in(x, s, 0)->f + begin, o->scale, o->zero, o->q + begin);
}

static void quantize_run(dv_exec *x, const dv_step *s)
{
    dv_value *o = dv_out(x, s, 0);
    if (!(x->g->tensors[s->node->out[0]].scale > 0))
        measure(dv_in(x, s, 0), &o->scale, &o->zero);
    dv_parallel(x, s, o->count, 16384, quantize_range);
}

const dv_op dv_op_quantize = {1, 1, 1, 1, 1, 0, {0}, NULL, like_input, quantize_run};

static void dequantize_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_value *in = dv_in(x, s, 0);
    x->k->dequant_u8(end - begin, in->q + begin, in->scale, in->zero, dv_out(x, s, 0)->f + begin);
}

static void dequantize_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, dv_out(x, s, 0)->count, 16384, dequantize_range);
}

const dv_op dv_op_dequantize = {1, 1, 1, 1, 1, 0, {0}, NULL, like_input, dequantize_run};

/* ---- QConv, QLinear ---- */

#define DW_ROWS 16 /* output rows of one call: kernels prepare weights once a call */

typedef struct qconv_state {
    dv_window w;
    int64_t oh, ow;
    bool depthwise, pointwise;
    size_t oc, k;      /* k: of one segment */
    size_t line, kept; /* bytes of a padded input row in scratch; of all rows of a window */
    bool table_used;
    float pre_scale, pre_zero;
    dv_requant rq;
    uint8_t table[256];
    int32_t *sums, *bias; /* round_up(oc, 16) each; sums of each channel's weights */
    float *mul, *neg;
} qconv_state;

static dmv_status qconv_common(const dv_graph *g, const dv_node *n, int64_t oc, dv_err *e)
{
    for (int i = 2; i < 5; i++) {
        const dv_gtensor *t = dv_const_in(g, n, i);
        if (t && (t->rank != 1 || t->dims[0] != oc))
            return dv_fail(e, DMV_ERR_FORMAT, "scales, bias or slope have the wrong length");
    }
    const dv_gtensor *ws = dv_const_in(g, n, 2), *o = &g->tensors[n->out[0]];
    for (int64_t j = 0; j < oc; j++)
        if (!(((const float *)ws->data)[j] > 0))
            return dv_fail(e, DMV_ERR_FORMAT, "a scale of the weights is not positive");
    bool added = n->n_in > 5 && n->in[5] >= 0;
    if (o->dtype == DV_F32 && added)
        return dv_fail(e, DMV_ERR_FORMAT, "bytes cannot be added to a float result");
    int act = (int)dv_node_int(n, DV_A_ACT, DV_ACT_NONE);
    const dv_attr *pre = dv_node_attr(n, DV_A_PRE);
    if (o->dtype == DV_U8 && !is_clip(act) && act != DV_ACT_LEAKY &&
        (!pre || !pre->is_float || pre->n != 2 || !(pre->v.f[0] > 0) || !(pre->v.f[1] >= 0) ||
         pre->v.f[1] > 255 || pre->v.f[1] != rintf(pre->v.f[1])))
        return dv_fail(e, DMV_ERR_FORMAT, "the activation wants the scale of its input");
    if (o->dtype == DV_U8 && !(g->tensors[n->in[0]].scale > 0))
        return dv_fail(e, DMV_ERR_FORMAT, "a result in bytes wants an input of known scale");
    return dv_check_act(n, 4, e);
}

static dmv_status qconv_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    const dv_gtensor *w = dv_const_in(g, n, 1);
    dv_window win;
    dmv_status st = dv_window_of(n, &win, e);
    int64_t groups = dv_node_int(n, DV_A_GROUP, 1);
    if (st)
        return st;
    if (!w || w->rank != 4 || w->dims[0] != win.kh || w->dims[1] != win.kw || w->dims[2] < 1 ||
        w->dims[3] < 1 || (w->pack != DV_PACK_QPANEL && w->pack != DV_PACK_QDW) ||
        groups != (w->pack == DV_PACK_QDW ? w->dims[3] : 1) || win.kh * win.kw * w->dims[2] > 65536)
        return dv_fail(e, DMV_ERR_FORMAT, "weights do not fit the kernel and groups");
    if (w->pack == DV_PACK_QDW && g->tensors[n->out[0]].dtype != DV_U8)
        return dv_fail(e, DMV_ERR_FORMAT, "a depthwise result is bytes");
    return qconv_common(g, n, w->dims[3], e);
}

static dmv_status qlinear_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    const dv_gtensor *w = dv_const_in(g, n, 1);
    if (!w || w->rank != 2 || w->pack != DV_PACK_QPANEL || w->dims[0] < 1 || w->dims[1] < 1 ||
        w->dims[0] > 65536)
        return dv_fail(e, DMV_ERR_FORMAT, "weights have the wrong shape");
    return qconv_common(g, n, w->dims[1], e);
}

/* Sum of each channel's weights, from either packing: 16 channels of 4 bytes, over and over. */
static void sum_weights(const dv_gtensor *w, size_t oc, int32_t *sums)
{
    const int8_t *p = w->data;
    size_t per = w->size / dv_round_up(oc, DV_PANEL) / 4; /* blocks of one panel */
    for (size_t j = 0; j < dv_round_up(oc, DV_PANEL); j++) {
        const int8_t *q = p + j / DV_PANEL * per * 64 + j % DV_PANEL * 4;
        int32_t sum = 0;
        for (size_t b = 0; b < per; b++, q += 64)
            sum += q[0] + q[1] + q[2] + q[3];
        sums[j] = sum;
    }
}

static int32_t to_int(double v)
{
    if (!(v > -2147483647.0)) /* a NaN, too: nothing in a file is trusted */
        return -INT32_MAX;
    return v < 2147483647.0 ? (int32_t)rint(v) : INT32_MAX;
}

/* Fills in c->rq for the scales of now. */
static void make_requant(dv_exec *x, const dv_step *s, qconv_state *c)
{
    const dv_value *in = dv_in(x, s, 0), *add = dv_in(x, s, 5), *o = dv_out(x, s, 0);
    const float *ws = dv_packed(x, s, 2), *bias = dv_packed(x, s, 3), *slope = dv_packed(x, s, 4);
    int act = (int)dv_node_int(s->node, DV_A_ACT, DV_ACT_NONE);
    float leak = dv_node_float(s->node, DV_A_P, 0);
    bool bytes = o->dtype == DV_U8;
    float scale = c->table_used ? c->pre_scale : o->scale;
    float zero = c->table_used ? c->pre_zero : o->zero;
    for (size_t j = 0; j < c->oc; j++) {
        float unit = in->scale * ws[j]; /* of the sum */
        double b = bias ? rint((double)bias[j] / (double)unit) : 0;
        c->bias[j] = to_int(b - (double)in->zero * c->sums[j]);
        c->mul[j] = bytes ? unit / scale : unit;
        if (c->neg)
            c->neg[j] = c->mul[j] * (slope ? slope[j] : leak);
    }
    c->rq = (dv_requant){.bias = c->bias, .mul = c->mul, .neg = c->neg, .zero = (int32_t)zero};
    if (!bytes)
        return;
    if (add) {
        c->rq.add_zero = (int32_t)add->zero;
        c->rq.add_mul = add->scale / scale;
    }
    if (is_clip(act)) {
        clip_of(s->node, scale, zero, &c->rq.lo, &c->rq.hi);
    } else {
        c->rq.lo = -zero;
        c->rq.hi = 255 - zero;
    }
}

static qconv_state *qconv_new(dv_exec *x, dv_step *s, size_t oc)
{
    size_t pad = dv_round_up(oc, DV_PANEL);
    bool slope = dv_packed(x, s, 4) || dv_node_int(s->node, DV_A_ACT, DV_ACT_NONE) == DV_ACT_LEAKY;
    qconv_state *c = dv_calloc(1, sizeof *c + pad * 4 * sizeof(float));
    s->state = c;
    if (!c)
        return NULL;
    c->oc = oc;
    c->sums = (int32_t *)(void *)(c + 1);
    c->bias = c->sums + pad;
    c->mul = (float *)(void *)(c->bias + pad);
    c->neg = slope ? c->mul + pad : NULL;
    return c;
}

/* What both ops do once the output's dims are set. */
static dmv_status qconv_ready(dv_exec *x, dv_step *s, qconv_state *c, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0), *add = dv_in(x, s, 5), *o = dv_out(x, s, 0);
    int act = (int)dv_node_int(s->node, DV_A_ACT, DV_ACT_NONE);
    if (add && !same_dims(add, o))
        return dv_fail(e, DMV_ERR_FORMAT, "the added tensor has another shape");
    sum_weights(dv_const_in(x->g, s->node, 1), c->oc, c->sums);
    if (o->dtype == DV_U8 && !is_clip(act) && act != DV_ACT_LEAKY) {
        const dv_attr *pre = dv_node_attr(s->node, DV_A_PRE);
        c->table_used = true;
        c->pre_scale = pre->v.f[0];
        c->pre_zero = pre->v.f[1];
        make_table(x, s->node, act, c->pre_scale, c->pre_zero, o, c->table);
    }
    if (in->scale > 0)
        make_requant(x, s, c);
    return DMV_OK;
}

static dv_range q_rows_range, q_depthwise_range, q_window_range;

static dmv_status qconv_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    const dv_gtensor *w = dv_const_in(x->g, s->node, 1);
    qconv_state *c = qconv_new(x, s, (size_t)w->dims[3]);
    if (!c)
        return dv_nomem(e);
    dmv_status st = dv_window_of(s->node, &c->w, e);
    if (st)
        return st;
    c->depthwise = w->pack == DV_PACK_QDW;
    int64_t ic = c->depthwise ? w->dims[3] : w->dims[2];
    if (in->rank != 4 || in->dims[3] != ic || in->count == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "the input has %lld channels, the weights want %lld",
                       (long long)(in->rank == 4 ? in->dims[3] : -1), (long long)ic);
    c->oh = dv_window_out(in->dims[1], c->w.kh, c->w.sy, c->w.dy, c->w.top, c->w.bottom, false);
    c->ow = dv_window_out(in->dims[2], c->w.kw, c->w.sx, c->w.dx, c->w.left, c->w.right, false);
    if (c->oh < 1 || c->ow < 1)
        return dv_fail(e, DMV_ERR_ARGUMENT, "the picture is too small for this net");
    int64_t dims[4] = {in->dims[0], c->oh, c->ow, w->dims[3]};
    dv_value *o = dv_out(x, s, 0);
    if ((st = dv_set_dims(o, 4, dims, e)))
        return st;
    c->pointwise = !c->depthwise && c->w.kh == 1 && c->w.kw == 1 && c->w.sy == 1 && c->w.sx == 1 &&
                   !(c->w.top | c->w.left | c->w.bottom | c->w.right);
    c->k = (size_t)(c->w.kw * ic);
    s->macs = (int64_t)o->count * c->w.kh * c->w.kw * (c->depthwise ? 1 : ic);
    if (c->depthwise) /* pointers, and a row of zero points */
        s->scratch = DW_ROWS * (size_t)c->w.kh * sizeof(uint8_t *) + (size_t)(in->dims[2] * ic) + 4;
    else if (!c->pointwise) {
        /* rows with their padding; with dilation, the windows of one output row */
        c->line = c->w.dx == 1 ? (size_t)((in->dims[2] + c->w.left + c->w.right) * ic)
                               : (size_t)c->ow * c->k;
        if (!dv_mul(c->line, (size_t)c->w.kh, &c->kept) || c->kept > SIZE_MAX / 2)
            return dv_fail(e, DMV_ERR_LIMIT, "too large");
        s->scratch = c->kept + 4;
    }
    if (in->scale > 0 && dims[0] == 1) /* not one that is found while the net runs */
        s->band = dv_window_band(&c->w,
                                 c->pointwise   ? q_rows_range
                                 : c->depthwise ? q_depthwise_range
                                                : q_window_range,
                                 c->pointwise ? (size_t)c->ow : 1);
    return qconv_ready(x, s, c, e);
}

static dmv_status qlinear_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    const dv_gtensor *w = dv_const_in(x->g, s->node, 1);
    if (in->rank < 1 || in->dims[in->rank - 1] != w->dims[0])
        return dv_fail(e, DMV_ERR_FORMAT, "the input is %lld wide, the weights want %lld",
                       (long long)(in->rank ? in->dims[in->rank - 1] : 0), (long long)w->dims[0]);
    qconv_state *c = qconv_new(x, s, (size_t)w->dims[1]);
    if (!c)
        return dv_nomem(e);
    int64_t dims[DMV_MAX_RANK];
    memcpy(dims, in->dims, sizeof dims);
    dims[in->rank - 1] = w->dims[1];
    dv_value *o = dv_out(x, s, 0);
    dmv_status st = dv_set_dims(o, in->rank, dims, e);
    if (st)
        return st;
    c->pointwise = true;
    c->k = (size_t)w->dims[0];
    s->macs = (int64_t)o->count * w->dims[0];
    return qconv_ready(x, s, c, e);
}

/* The activation after the kernel, on n results from `at` on. */
static void finish(dv_exec *x, const dv_step *s, const qconv_state *c, size_t at, size_t n)
{
    dv_value *o = dv_out(x, s, 0);
    int act = (int)dv_node_int(s->node, DV_A_ACT, DV_ACT_NONE);
    if (c->table_used)
        x->k->lut_u8(n, o->q + at, c->table, o->q + at);
    else if (o->dtype == DV_F32 && act != DV_ACT_NONE && act != DV_ACT_LEAKY)
        x->k->act_f32(act, n, o->f + at, o->f + at, dv_node_float(s->node, DV_A_P, 0),
                      dv_node_float(s->node, DV_A_Q, 0));
}

/* One call of conv_u8 for m rows of results from element `at` on; columns [c0, c1). */
static void multiply(dv_exec *x, const dv_step *s, const qconv_state *c, dv_qconv_args *a,
                     size_t at, size_t c0, size_t c1)
{
    dv_value *o = dv_out(x, s, 0);
    const dv_value *add = dv_in(x, s, 5);
    dv_requant rq = c->rq;
    at += c0;
    rq.add = add ? add->q + at : NULL;
    rq.ldadd = c->oc;
    rq.bias += c0;
    rq.mul += c0;
    rq.neg = rq.neg ? rq.neg + c0 : NULL;
    a->n = c1 - c0;
    a->panel = dv_round_up(a->seg, 4) * a->segs * DV_PANEL;
    a->w = (const int8_t *)dv_const_in(x->g, s->node, 1)->data + c0 / DV_PANEL * a->panel;
    a->c_f32 = o->dtype == DV_F32;
    a->c = a->c_f32 ? (void *)(o->f + at) : (void *)(o->q + at);
    a->ldc = c->oc;
    a->rq = &rq;
    x->k->conv_u8(a);
    if (a->n == c->oc)
        finish(x, s, c, at, a->m * c->oc);
    else
        for (size_t i = 0; i < a->m; i++)
            finish(x, s, c, at + i * c->oc, a->n);
}

static void q_rows_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const qconv_state *c = s->state;
    /* blocks whose results are still in the first cache when the activation reads them */
    size_t block = c->table_used ? DV_MAX((size_t)1, 16384 / c->oc) : end - begin;
    for (size_t i = begin; i < end; i += block) {
        dv_qconv_args a = {.m = DV_MIN(block, end - i),
                           .segs = 1,
                           .seg = c->k,
                           .a = dv_in(x, s, 0)->q + i * c->k,
                           .lda = c->k};
        multiply(x, s, c, &a, i * c->oc, 0, c->oc);
    }
}

static void q_columns_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const qconv_state *c = s->state;
    dv_qconv_args a = {.m = dv_out(x, s, 0)->count / c->oc,
                       .segs = 1,
                       .seg = c->k,
                       .a = dv_in(x, s, 0)->q,
                       .lda = c->k};
    multiply(x, s, c, &a, 0, begin * DV_HPANEL, DV_MIN(c->oc, end * DV_HPANEL));
}

static void q_depthwise_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const qconv_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0), *add = dv_in(x, s, 5);
    const uint8_t **rows = dv_scratch(x, worker);
    uint8_t *none = (uint8_t *)(rows + DW_ROWS * c->w.kh), pad = (uint8_t)rintf(in->zero);
    size_t line = (size_t)in->dims[2] * c->oc, row = (size_t)c->ow * c->oc, kh = (size_t)c->w.kh;
    memset(none, pad, line);
    for (size_t r = begin, n; r < end; r += n) {
        n = DV_MIN(end - r, (size_t)DW_ROWS);
        for (size_t i = 0; i < n * kh; i++) {
            size_t at = r + i / kh;
            const uint8_t *img = in->q + at / (size_t)c->oh * (size_t)in->dims[1] * line;
            int64_t y =
                (int64_t)(at % (size_t)c->oh) * c->w.sy - c->w.top + (int64_t)(i % kh) * c->w.dy;
            rows[i] = y < 0 || y >= in->dims[1] ? none : img + (size_t)y * line;
        }
        dv_requant rq = c->rq;
        rq.add = add ? add->q + r * row : NULL;
        rq.ldadd = c->oc;
        dv_qdw_args a = {.rows = rows,
                         .ro = n,
                         .kh = kh,
                         .kw = (size_t)c->w.kw,
                         .c = c->oc,
                         .iw = (size_t)in->dims[2],
                         .ow = (size_t)c->ow,
                         .sx = (size_t)c->w.sx,
                         .dx = (size_t)c->w.dx,
                         .px = (size_t)c->w.left,
                         .pad = pad,
                         .w = dv_const_in(x->g, s->node, 1)->data,
                         .out = o->q + r * row,
                         .rq = &rq};
        x->k->dw_u8(&a);
        finish(x, s, c, r * row, n * row);
    }
}

/* Row y of the picture with its padding, or all padding. */
static void padded_row(const qconv_state *c, const dv_value *in, const uint8_t *img, int64_t y,
                       uint8_t pad, uint8_t *out)
{
    size_t ic = (size_t)in->dims[3], width = (size_t)in->dims[2] * ic;
    size_t left = (size_t)c->w.left * ic;
    if (y < 0 || y >= in->dims[1]) {
        memset(out, pad, c->line);
        return;
    }
    memset(out, pad, left);
    memcpy(out + left, img + (size_t)y * width, width);
    memset(out + left + width, pad, c->line - left - width);
}

/* Row t of the windows of one output row, window by window (dilated convolutions). */
static void gathered_row(const qconv_state *c, const dv_value *in, const uint8_t *img, int64_t y,
                         uint8_t pad, uint8_t *out)
{
    size_t ic = (size_t)in->dims[3];
    for (int64_t i = 0; i < c->ow; i++)
        for (int64_t u = 0; u < c->w.kw; u++, out += ic) {
            int64_t at = i * c->w.sx - c->w.left + u * c->w.dx;
            if (y < 0 || y >= in->dims[1] || at < 0 || at >= in->dims[2])
                memset(out, pad, ic);
            else
                memcpy(out, img + (size_t)(y * in->dims[2] + at) * ic, ic);
        }
}

static void q_window_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const qconv_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0);
    uint8_t *rows = dv_scratch(x, worker), pad = (uint8_t)rintf(in->zero);
    size_t ic = (size_t)in->dims[3], width = (size_t)in->dims[2] * ic;
    bool dilated = c->w.dx != 1;
    bool padded = c->w.left | c->w.right | c->w.top | c->w.bottom;
    for (size_t r = begin; r < end; r++) {
        const uint8_t *img = in->q + r / (size_t)c->oh * (size_t)in->dims[1] * width;
        int64_t y = (int64_t)(r % (size_t)c->oh) * c->w.sy - c->w.top;
        dv_qconv_args a = {.m = (size_t)c->ow,
                           .segs = (size_t)c->w.kh,
                           .seg = c->k,
                           .seg_stride = c->line,
                           .a = rows,
                           .lda = dilated ? c->k : (size_t)c->w.sx * ic};
        if (!dilated && !padded) {
            a.a = img + (size_t)y * width;
            a.seg_stride = (size_t)c->w.dy * width;
        } else {
            uint8_t *p = rows;
            for (int64_t t = 0; t < c->w.kh; t++, p += c->line)
                (dilated ? gathered_row : padded_row)(c, in, img, y + t * c->w.dy, pad, p);
        }
        multiply(x, s, c, &a, r * (size_t)c->ow * c->oc, 0, c->oc);
    }
}

static void qconv_run(dv_exec *x, const dv_step *s)
{
    qconv_state *c = s->state;
    const dv_value *o = dv_out(x, s, 0);
    if (!(x->g->tensors[s->node->in[0]].scale > 0))
        make_requant(x, s, c);
    if (c->pointwise && dv_by_columns(x, o->count / c->oc, c->oc))
        dv_parallel(x, s, (c->oc + DV_HPANEL - 1) / DV_HPANEL, 1, q_columns_range);
    else if (c->pointwise)
        dv_parallel(x, s, o->count / c->oc, x->k->gemm_mr ? x->k->gemm_mr : 1, q_rows_range);
    else if (c->depthwise)
        dv_parallel(x, s, (size_t)(o->dims[0] * c->oh), 4, q_depthwise_range);
    else
        dv_parallel(x, s, (size_t)(o->dims[0] * c->oh), 1, q_window_range);
}

#define Q_ROLES                                                          \
    {                                                                    \
        DV_ROLE_PLAIN, DV_ROLE_S8, DV_ROLE_VEC, DV_ROLE_VEC, DV_ROLE_VEC \
    }
const dv_op dv_op_q_conv = {3, 6, 1, 1, 3, 1 << 5, Q_ROLES, qconv_check, qconv_shape, qconv_run};
const dv_op dv_op_q_linear = {3,        6, 1, 1, 3, 1 << 5, Q_ROLES, qlinear_check, qlinear_shape,
                              qconv_run};

/* ---- QBinary ---- */

static dmv_status clip_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    if (!is_clip((int)dv_node_int(n, DV_A_ACT, DV_ACT_NONE)))
        return dv_fail(e, DMV_ERR_FORMAT, "only a clip can follow");
    int64_t op = dv_node_int(n, DV_A_BINARY, DV_BIN_ADD);
    if (n->op == DV_OP_Q_BINARY && op != DV_BIN_ADD && op != DV_BIN_MUL)
        return dv_fail(e, DMV_ERR_FORMAT, "neither a sum nor a product");
    return DMV_OK;
}

static dv_range qbinary_range, qact_range;

static dmv_status qbinary_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *a = dv_in(x, s, 0), *b = dv_in(x, s, 1);
    if (!same_dims(a, b))
        return dv_fail(e, DMV_ERR_FORMAT, "the two inputs have different shapes");
    dmv_status st = dv_set_dims(dv_out(x, s, 0), a->rank, a->dims, e);
    if (!st)
        dv_same_band(x, s, qbinary_range, false);
    return st;
}

static void qbinary_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_value *a = dv_in(x, s, 0), *b = dv_in(x, s, 1), *o = dv_out(x, s, 0);
    bool times = dv_node_int(s->node, DV_A_BINARY, DV_BIN_ADD) == DV_BIN_MUL;
    dv_qbin_args q = {.n = end - begin,
                      .a = a->q + begin,
                      .b = b->q + begin,
                      .a_zero = (int32_t)a->zero,
                      .b_zero = (int32_t)b->zero,
                      .zero = (int32_t)o->zero,
                      .a_mul = a->scale / o->scale,
                      .b_mul = times ? b->scale : b->scale / o->scale,
                      .times = times,
                      .out = o->q + begin};
    clip_of(s->node, o->scale, o->zero, &q.lo, &q.hi);
    x->k->binary_u8(&q);
}

static void qbinary_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, dv_out(x, s, 0)->count, 16384, qbinary_range);
}

const dv_op dv_op_q_binary = {2, 2, 1, 1, 2, 3, {0}, clip_check, qbinary_shape, qbinary_run};

/* ---- QActivation ---- */

static dmv_status qact_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    int64_t act = dv_node_int(n, DV_A_ACT, DV_ACT_NONE);
    return act >= 0 && act < DV_ACT_COUNT ? DMV_OK
                                          : dv_fail(e, DMV_ERR_FORMAT, "unknown activation");
}

static dmv_status qact_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    uint8_t *table = dv_malloc(256);
    if (!table)
        return dv_nomem(e);
    s->state = table;
    make_table(x, s->node, (int)dv_node_int(s->node, DV_A_ACT, DV_ACT_NONE), in->scale, in->zero,
               dv_out(x, s, 0), table);
    dmv_status st = like_input(x, s, e);
    if (!st)
        dv_same_band(x, s, qact_range, false);
    return st;
}

static void qact_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    x->k->lut_u8(end - begin, dv_in(x, s, 0)->q + begin, s->state, dv_out(x, s, 0)->q + begin);
}

static void qact_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, dv_out(x, s, 0)->count, 32768, qact_range);
}

const dv_op dv_op_q_act = {1, 1, 1, 1, 1, 1, {0}, qact_check, qact_shape, qact_run};

/* ---- QSqueezeExcite ---- */

/* out = in * gate for rows of c bytes. */
static void scale_rows(dv_exec *x, const dv_step *s, float *gate, size_t c, size_t begin,
                       size_t end)
{
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    for (size_t i = 0; i < c; i++)
        gate[i] = gate[i] * in->scale / o->scale;
    dv_qscale_args a = {.rows = end - begin,
                        .c = c,
                        .in = in->q + begin * c,
                        .in_zero = (int32_t)in->zero,
                        .zero = (int32_t)o->zero,
                        .mul = gate,
                        .lo = -o->zero,
                        .hi = 255 - o->zero,
                        .out = o->q + begin * c};
    x->k->scale_u8(&a);
}

static dmv_status qse_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    dmv_status st = dv_se_shape(x, s, e);
    if (in->rank == 4 && in->dims[1] * in->dims[2] > 1 << 23)
        return dv_fail(e, DMV_ERR_LIMIT, "too large");
    return st;
}

static void qse_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_value *in = dv_in(x, s, 0);
    size_t c = (size_t)in->dims[3], pixels = (size_t)(in->dims[1] * in->dims[2]);
    float *mean = dv_scratch(x, worker), *gate = mean + c, *mid = gate + c;
    for (size_t b = begin; b < end; b++) {
        int32_t *sums = (int32_t *)(void *)gate;
        x->k->sum_u8(pixels, c, in->q + b * pixels * c, sums);
        for (size_t i = 0; i < c; i++)
            mean[i] = ((float)sums[i] / (float)pixels - in->zero) * in->scale;
        dv_se_gate(x, s, mean, gate, mid);
        scale_rows(x, s, gate, c, b * pixels, (b + 1) * pixels);
    }
}

static void qse_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, (size_t)dv_in(x, s, 0)->dims[0], 1, qse_range);
}

const dv_op dv_op_q_se = {4,
                          5,
                          1,
                          1,
                          2,
                          1,
                          {DV_ROLE_PLAIN, DV_ROLE_PANEL, DV_ROLE_VEC, DV_ROLE_PANEL, DV_ROLE_VEC},
                          dv_se_check,
                          qse_shape,
                          qse_run};
