/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_half.c - convolutions and matrix products in half precision. On a processor without such
 * arithmetic (dv_kernels.half) there are no halves at all: their tensors are floats, the weights
 * were widened when the exec was opened, and the float ops run. */
#include <string.h>

#include "nn/ops.h"
#include "nn/window.h"

/* ---- ToHalf, FromHalf ---- */

static dmv_status turn_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    dmv_status st = dv_set_dims(dv_out(x, s, 0), in->rank, in->dims, e);
    if (!st && !x->k->half)
        dv_make_view(x, s);
    return st;
}

static void to_half_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    x->k->to_f16(end - begin, dv_in(x, s, 0)->f + begin, dv_out(x, s, 0)->h + begin);
}

static void to_half_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, dv_out(x, s, 0)->count, 16384, to_half_range);
}

const dv_op dv_op_to_half = {1, 1, 1, 1, 1, 0, {0}, NULL, turn_shape, to_half_run};

static void from_half_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    x->k->from_f16(end - begin, dv_in(x, s, 0)->h + begin, dv_out(x, s, 0)->f + begin);
}

static void from_half_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, dv_out(x, s, 0)->count, 16384, from_half_range);
}

const dv_op dv_op_from_half = {1, 1, 1, 1, 1, 0, {0}, NULL, turn_shape, from_half_run};

/* ---- HConv, HLinear ---- */

#define ROWS 14 /* of the largest tile */

typedef struct half_state {
    dv_window w;
    int64_t oh, ow;
    bool depthwise, pointwise;
    size_t k;    /* of one segment */
    size_t line; /* elements of a padded input row */
} half_state;

static dmv_status common_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    const dv_gtensor *w = dv_const_in(g, n, 1);
    for (int i = 2; i < 4; i++) {
        const dv_gtensor *t = dv_const_in(g, n, i);
        if (t && (t->rank != 1 || t->dims[0] != w->dims[w->rank - 1] || t->pack != DV_PACK_HVEC))
            return dv_fail(e, DMV_ERR_FORMAT, "bias or slope has the wrong shape");
    }
    int64_t act = dv_node_int(n, DV_A_ACT, DV_ACT_NONE);
    if (act != DV_ACT_NONE && act != DV_ACT_CLIP)
        return dv_fail(e, DMV_ERR_FORMAT, "an activation that is not done in halves");
    return dv_check_act(n, 3, e);
}

static dmv_status hconv_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    const dv_gtensor *w = dv_const_in(g, n, 1);
    dv_window win;
    dmv_status st = dv_window_of(n, &win, e);
    if (st)
        return st;
    if (!w || w->rank != 4 || w->dims[0] != win.kh || w->dims[1] != win.kw || w->dims[2] < 1 ||
        w->dims[3] < 1 || (w->pack != DV_PACK_HPANEL && w->pack != DV_PACK_HDW) ||
        (w->pack == DV_PACK_HPANEL && (w->dims[2] % 2 || win.dx != 1)) ||
        dv_node_int(n, DV_A_GROUP, 1) != (w->pack == DV_PACK_HDW ? w->dims[3] : 1))
        return dv_fail(e, DMV_ERR_FORMAT, "weights do not fit the kernel and groups");
    return common_check(g, n, e);
}

static dmv_status hlinear_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    const dv_gtensor *w = dv_const_in(g, n, 1);
    if (!w || w->rank != 2 || w->pack != DV_PACK_HPANEL || w->dims[0] < 1 || w->dims[0] % 2 ||
        w->dims[1] < 1)
        return dv_fail(e, DMV_ERR_FORMAT, "weights have the wrong shape");
    return common_check(g, n, e);
}

static dv_range rows_range, columns_range, depthwise_range, window_range;

/* Dims, the added tensor's shape and macs are those of the float op. */
static dmv_status half_shape(dv_exec *x, dv_step *s, const dv_op *floats, dv_err *e)
{
    dmv_status st = floats->shape(x, s, e);
    if (st || !x->k->half)
        return st;
    dv_free(s->state);
    s->scratch = s->shared = 0;
    half_state *c = s->state = dv_calloc(1, sizeof *c);
    if (!c)
        return dv_nomem(e);
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    const dv_gtensor *w = dv_const_in(x->g, s->node, 1);
    if (w->rank == 2) {
        c->pointwise = true;
        c->k = (size_t)w->dims[0];
        dv_same_band(x, s, rows_range, true);
        return DMV_OK;
    }
    if ((st = dv_window_of(s->node, &c->w, e)))
        return st;
    c->oh = o->dims[1];
    c->ow = o->dims[2];
    c->k = (size_t)(c->w.kw * in->dims[3]);
    c->depthwise = w->pack == DV_PACK_HDW;
    c->pointwise = !c->depthwise && c->w.kh == 1 && c->w.kw == 1 && c->w.sy == 1 && c->w.sx == 1 &&
                   !(c->w.top | c->w.left | c->w.bottom | c->w.right);
    if (c->depthwise) {
        s->scratch = (size_t)c->w.kh * sizeof(uint16_t *);
    } else if (!c->pointwise) {
        c->line = (size_t)((in->dims[2] + c->w.left + c->w.right) * in->dims[3]);
        if (!dv_mul(c->line * sizeof(uint16_t), (size_t)c->w.kh, &s->scratch))
            return dv_fail(e, DMV_ERR_LIMIT, "too large");
    }
    s->band = dv_window_band(&c->w,
                             c->pointwise   ? rows_range
                             : c->depthwise ? depthwise_range
                                            : window_range,
                             c->pointwise ? (size_t)c->ow : 1);
    return DMV_OK;
}

static dmv_status hconv_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    return half_shape(x, s, &dv_op_conv, e);
}

static dmv_status hlinear_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    return half_shape(x, s, &dv_op_linear, e);
}

static const uint16_t *halves(dv_exec *x, const dv_step *s, int i)
{
    const dv_gtensor *t = dv_const_in(x->g, s->node, i);
    return t ? t->data : NULL;
}

/* at: the first element of the output. */
static dv_hepilogue epilogue(dv_exec *x, const dv_step *s, size_t at, size_t ld)
{
    const dv_value *add = dv_in(x, s, 4);
    dv_hepilogue ep = {.bias = halves(x, s, 2), .slope = halves(x, s, 3), .ldadd = ld};
    if (add)
        ep.add = add->h + at;
    if (ep.slope) {
        ep.act = DV_EP_PRELU;
    } else if (dv_node_int(s->node, DV_A_ACT, DV_ACT_NONE) == DV_ACT_CLIP) {
        ep.act = DV_EP_CLIP;
        ep.lo = dv_half_from_float(dv_node_float(s->node, DV_A_P, 0));
        ep.hi = dv_half_from_float(dv_node_float(s->node, DV_A_Q, 0));
    }
    return ep;
}

/* One call of conv_f16 for a->m rows of results from element `at` on; columns [c0, c1). */
static void multiply(dv_exec *x, const dv_step *s, dv_hconv_args *a, size_t at, size_t c0,
                     size_t c1)
{
    dv_value *o = dv_out(x, s, 0);
    const size_t n = (size_t)o->dims[o->rank - 1];
    at += c0;
    dv_hepilogue ep = epilogue(x, s, at, n);
    ep.bias = ep.bias ? ep.bias + c0 : NULL;
    ep.slope = ep.slope ? ep.slope + c0 : NULL;
    a->n = c1 - c0;
    a->ldc = n;
    a->w = halves(x, s, 1) + c0 * a->seg * a->segs;
    a->panel = a->seg * a->segs * DV_HPANEL;
    a->c_f32 = o->dtype == DV_F32;
    a->c = a->c_f32 ? (void *)(o->f + at) : (void *)(o->h + at);
    a->ep = &ep;
    x->k->conv_f16(a);
}

static void rows_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const half_state *c = s->state;
    const dv_value *o = dv_out(x, s, 0);
    const size_t n = (size_t)o->dims[o->rank - 1];
    dv_hconv_args a = {.m = end - begin, .segs = 1, .seg = c->k, .lda = c->k};
    a.a = dv_in(x, s, 0)->h + begin * c->k;
    multiply(x, s, &a, begin * n, 0, n);
}

static void columns_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const half_state *c = s->state;
    const dv_value *o = dv_out(x, s, 0);
    const size_t n = (size_t)o->dims[o->rank - 1];
    dv_hconv_args a = {.m = o->count / n, .segs = 1, .seg = c->k, .lda = c->k};
    a.a = dv_in(x, s, 0)->h;
    multiply(x, s, &a, 0, begin * DV_HPANEL, DV_MIN(n, end * DV_HPANEL));
}

static void depthwise_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const half_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    const uint16_t **rows = dv_scratch(x, worker);
    const size_t ch = (size_t)in->dims[3], line = (size_t)in->dims[2] * ch;
    const size_t ld = dv_round_up(ch, DV_HPANEL), row = (size_t)c->ow * ch;
    for (size_t r = begin; r < end; r++) {
        const uint16_t *img = in->h + r / (size_t)c->oh * (size_t)in->dims[1] * line;
        int64_t oy = (int64_t)(r % (size_t)c->oh), first, last;
        dv_window_clip(oy, c->w.sy, c->w.dy, c->w.top, c->w.kh, in->dims[1], &first, &last);
        for (int64_t t = first; t < last; t++)
            rows[t - first] = img + (size_t)(oy * c->w.sy - c->w.top + t * c->w.dy) * line;
        const dv_hepilogue ep = epilogue(x, s, r * row, ch);
        dv_hdw_args a = {.rows = rows,
                         .kh = (size_t)(last - first),
                         .kw = (size_t)c->w.kw,
                         .c = ch,
                         .iw = (size_t)in->dims[2],
                         .ow = (size_t)c->ow,
                         .sx = (size_t)c->w.sx,
                         .dx = (size_t)c->w.dx,
                         .px = (size_t)c->w.left,
                         .w = halves(x, s, 1) + (size_t)(first * c->w.kw) * ld,
                         .ldw = ld,
                         .out = o->h + r * row,
                         .ep = &ep};
        x->k->dw_f16(&a);
    }
}

static void window_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const half_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    uint16_t *rows = dv_scratch(x, worker);
    const size_t ic = (size_t)in->dims[3], width = (size_t)in->dims[2] * ic;
    const size_t left = (size_t)c->w.left * ic;
    for (size_t r = begin; r < end; r++) {
        const uint16_t *img = in->h + r / (size_t)c->oh * (size_t)in->dims[1] * width;
        int64_t y = (int64_t)(r % (size_t)c->oh) * c->w.sy - c->w.top;
        uint16_t *p = rows;
        memset(rows, 0, c->line * (size_t)c->w.kh * sizeof *rows);
        for (int64_t t = 0; t < c->w.kh; t++, p += c->line, y += c->w.dy)
            if (y >= 0 && y < in->dims[1])
                memcpy(p + left, img + (size_t)y * width, width * sizeof *p);
        dv_hconv_args a = {.m = (size_t)c->ow,
                           .segs = (size_t)c->w.kh,
                           .seg = c->k,
                           .seg_stride = c->line,
                           .a = rows,
                           .lda = (size_t)c->w.sx * ic};
        multiply(x, s, &a, r * (size_t)(c->ow * o->dims[3]), 0, (size_t)o->dims[3]);
    }
}

static void half_run(dv_exec *x, const dv_step *s)
{
    const half_state *c = s->state;
    const dv_value *o = dv_out(x, s, 0);
    const size_t n = (size_t)o->dims[o->rank - 1], rows = o->count / n;
    if (!x->k->half)
        (s->node->op == DV_OP_H_CONV ? dv_op_conv : dv_op_linear).run(x, s);
    else if (c->pointwise && dv_by_columns(x, rows, n))
        dv_parallel(x, s, (n + DV_HPANEL - 1) / DV_HPANEL, 1, columns_range);
    else if (c->pointwise)
        dv_parallel(x, s, rows, ROWS, rows_range);
    else
        dv_parallel(x, s, (size_t)(o->dims[0] * c->oh), 1,
                    c->depthwise ? depthwise_range : window_range);
}

#define ROLES                                                                  \
    {                                                                          \
        DV_ROLE_PLAIN, DV_ROLE_HALF, DV_ROLE_HALF, DV_ROLE_HALF, DV_ROLE_PLAIN \
    }
const dv_op dv_op_h_conv = {2, 5, 1, 1, 2, 1 << 4, ROLES, hconv_check, hconv_shape, half_run};
const dv_op dv_op_h_linear = {2, 5, 1, 1, 2, 1 << 4, ROLES, hlinear_check, hlinear_shape, half_run};
