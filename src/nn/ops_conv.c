/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_conv.c - convolution on N, H, W, C by routes that share the GEMM and
 * depthwise kernels:
 *   pointwise  1x1, stride 1, no padding: the picture is the matrix, nothing is copied
 *   depthwise  one kernel call an output row, on pointers to the input rows
 *   winograd   dense 3x3 where it pays (ops_winograd.c)
 *   by rows    dense windows on wide pictures: the rows under one output row, padded left and
 *              right in cache, go through the GEMM tiles in place
 *   general    strips of output pixels are gathered (im2col) into cache-sized scratch, row by
 *              row of the window, and go through the same GEMM; grouped convolutions
 *              gather one group at a time
 * Activations that the kernels do not have are applied to each strip while it is in cache. */
#include <math.h>
#include <string.h>

#include "nn/ops.h"
#include "nn/window.h"

dmv_status dv_window_of(const dv_node *n, dv_window *w, dv_err *e)
{
    int64_t k[2] = {0, 0}, s[2] = {1, 1}, d[2] = {1, 1}, p[4] = {0, 0, 0, 0};
    uint32_t nk = dv_node_ints(n, DV_A_KERNEL, k, 2), ns = dv_node_ints(n, DV_A_STRIDE, s, 2),
             nd = dv_node_ints(n, DV_A_DILATION, d, 2), np = dv_node_ints(n, DV_A_PADS, p, 4);
    if (nk != 2 || (ns && ns != 2) || (nd && nd != 2) || (np && np != 4))
        return dv_fail(e, DMV_ERR_FORMAT, "window attributes of the wrong length");
    for (int i = 0; i < 2; i++)
        if (k[i] < 1 || k[i] > 4096 || s[i] < 1 || s[i] > 4096 || d[i] < 1 || d[i] > 4096)
            return dv_fail(e, DMV_ERR_FORMAT, "absurd kernel, stride or dilation");
    for (int i = 0; i < 4; i++)
        if (p[i] < 0 || p[i] > 65536)
            return dv_fail(e, DMV_ERR_FORMAT, "absurd padding");
    *w = (dv_window){k[0], k[1], s[0], s[1], d[0], d[1], p[0], p[1], p[2], p[3]};
    return DMV_OK;
}

int64_t dv_window_out(int64_t in, int64_t k, int64_t s, int64_t d, int64_t before, int64_t after,
                      bool ceil_mode)
{
    int64_t span = in + before + after - (k - 1) * d - 1;
    if (span < 0)
        return 0;
    int64_t out = (ceil_mode ? span + s - 1 : span) / s + 1;
    /* the last window must begin inside the picture or its leading padding */
    if (ceil_mode && (out - 1) * s >= in + before)
        out--;
    return out;
}

int dv_epilogue_of(dv_exec *x, const dv_step *s, int at, dv_epilogue *ep)
{
    memset(ep, 0, sizeof *ep);
    ep->bias = dv_packed(x, s, at);
    ep->slope = dv_packed(x, s, at + 1);
    const dv_value *add = dv_in(x, s, at + 2);
    ep->add = add ? add->f : NULL;
    int act = (int)dv_node_int(s->node, DV_A_ACT, DV_ACT_NONE);
    if (ep->slope) {
        ep->act = DV_EP_PRELU;
        return DV_ACT_NONE;
    }
    if (act == DV_ACT_CLIP) {
        ep->act = DV_EP_CLIP;
        ep->lo = dv_node_float(s->node, DV_A_P, 0);
        ep->hi = dv_node_float(s->node, DV_A_Q, 0);
        return DV_ACT_NONE;
    }
    return act;
}

typedef struct conv_state {
    dv_winograd wino; /* first: ops_winograd.c finds it at dv_step.state */
    dv_window w;
    int64_t g, icg, ocg, oh, ow;
    bool pointwise, depthwise, by_rows, winograd;
    size_t line;    /* by_rows: floats of one padded input row */
    size_t k;       /* of one group */
    size_t strip;   /* output pixels gathered at a time */
    size_t panel_g; /* floats of packed weights a group */
} conv_state;

static dmv_status check_vec(const dv_graph *g, const dv_node *n, int i, int64_t want, dv_err *e)
{
    const dv_gtensor *t = dv_const_in(g, n, i);
    if (t && (t->rank != 1 || t->dims[0] != want))
        return dv_fail(e, DMV_ERR_FORMAT, "bias or slope has the wrong length");
    return DMV_OK;
}

dmv_status dv_check_act(const dv_node *n, int slope, dv_err *e)
{
    int64_t act = dv_node_int(n, DV_A_ACT, DV_ACT_NONE);
    if (act < 0 || act >= DV_ACT_COUNT)
        return dv_fail(e, DMV_ERR_FORMAT, "unknown activation %lld", (long long)act);
    if (slope < n->n_in && n->in[slope] >= 0 && act != DV_ACT_NONE)
        return dv_fail(e, DMV_ERR_FORMAT, "both a slope and an activation");
    return DMV_OK;
}

static bool weight_fits(const dv_gtensor *w, dv_pack pack, int64_t groups)
{
    size_t bytes;
    return (w->pack == DV_PACK_NONE || w->pack == pack) &&
           dv_tensor_bytes(w->dtype, w->pack, w->rank, w->dims, groups, &bytes) && bytes == w->size;
}

static dmv_status conv_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    const dv_gtensor *w = dv_const_in(g, n, 1);
    dv_window win;
    dmv_status st = dv_window_of(n, &win, e);
    int64_t groups = dv_node_int(n, DV_A_GROUP, 1);
    if (st)
        return st;
    if (!w || w->rank != 4 || w->dims[0] != win.kh || w->dims[1] != win.kw || w->dims[2] < 1 ||
        w->dims[3] < 1 || groups < 1 || groups > 1 << 16 || w->dims[3] % groups)
        return dv_fail(e, DMV_ERR_FORMAT, "weights do not fit the kernel and groups");
    bool dw = groups > 1 && w->dims[2] == 1 && w->dims[3] == groups;
    if (!weight_fits(w, dw ? DV_PACK_DW : DV_PACK_PANEL, dw ? 1 : groups))
        return dv_fail(e, DMV_ERR_FORMAT, "weights have the wrong size or packing");
    if ((st = check_vec(g, n, 2, w->dims[3], e)) || (st = check_vec(g, n, 3, w->dims[3], e)))
        return st;
    return dv_check_act(n, 3, e);
}

static dv_range depthwise_range, by_rows_range, general_range;

static dmv_status conv_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0), *add = dv_in(x, s, 4);
    const dv_gtensor *w = dv_const_in(x->g, s->node, 1);
    conv_state *c = dv_calloc(1, sizeof *c);
    if (!c)
        return dv_nomem(e);
    s->state = c;
    dmv_status st = dv_window_of(s->node, &c->w, e);
    if (st)
        return st;
    c->g = dv_node_int(s->node, DV_A_GROUP, 1);
    c->icg = w->dims[2];
    c->ocg = w->dims[3] / c->g;
    if (in->rank != 4 || in->dims[3] != c->icg * c->g || in->count == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "the input has %lld channels, the weights want %lld",
                       (long long)(in->rank == 4 ? in->dims[3] : -1), (long long)(c->icg * c->g));
    c->oh = dv_window_out(in->dims[1], c->w.kh, c->w.sy, c->w.dy, c->w.top, c->w.bottom, false);
    c->ow = dv_window_out(in->dims[2], c->w.kw, c->w.sx, c->w.dx, c->w.left, c->w.right, false);
    if (c->oh < 1 || c->ow < 1)
        return dv_fail(e, DMV_ERR_ARGUMENT, "the picture is too small for this net");
    int64_t dims[4] = {in->dims[0], c->oh, c->ow, w->dims[3]};
    dv_value *o = dv_out(x, s, 0);
    if ((st = dv_set_dims(o, 4, dims, e)))
        return st;
    if (add && (add->rank != 4 || memcmp(add->dims, dims, sizeof dims)))
        return dv_fail(e, DMV_ERR_FORMAT, "the added tensor has another shape");
    c->depthwise = c->g > 1 && c->icg == 1 && c->ocg == 1;
    c->pointwise = c->g == 1 && c->w.kh == 1 && c->w.kw == 1 && c->w.sy == 1 && c->w.sx == 1 &&
                   !(c->w.top | c->w.left | c->w.bottom | c->w.right);
    c->k = (size_t)(c->w.kh * c->w.kw * c->icg);
    c->panel_g = dv_panel_size(c->k, (size_t)c->ocg);
    s->macs = (int64_t)o->count * (int64_t)c->k;
    if (c->g == 1 && c->w.kh == 3 && c->w.kw == 3 && c->w.sy == 1 && c->w.sx == 1 && c->w.dy == 1 &&
        c->w.dx == 1) {
        c->wino = (dv_winograd){.ic = (size_t)c->icg,
                                .oc = (size_t)c->ocg,
                                .iw = (size_t)in->dims[2],
                                .ih = (size_t)in->dims[1],
                                .ow = (size_t)c->ow,
                                .oh = (size_t)c->oh,
                                .left = (size_t)c->w.left,
                                .top = (size_t)c->w.top,
                                .images = (size_t)in->dims[0]};
        c->winograd = dv_winograd_plan(s, &c->wino);
        if (c->winograd)
            return DMV_OK;
    }
    c->by_rows = c->g == 1 && !c->pointwise && c->w.dx == 1 && c->ow >= 12;
    c->line = (size_t)((in->dims[2] + c->w.left + c->w.right) * c->icg);
    if (c->by_rows) {
        if (!dv_mul(c->line * (size_t)c->w.kh, sizeof(float), &s->scratch))
            return dv_fail(e, DMV_ERR_LIMIT, "too large");
    } else if (!c->pointwise && !c->depthwise) {
        /* about 48 KiB of gathered pixels: they stay in the second-level cache */
        size_t mr = x->k->gemm_mr ? x->k->gemm_mr : 8;
        size_t fit = (48u << 10) / (c->k * sizeof(float)) / mr * mr;
        c->strip = DV_MAX(mr, DV_MIN(fit, 8 * mr));
        s->scratch = c->strip * c->k * sizeof(float);
    }
    if (c->depthwise)
        s->scratch = (size_t)c->w.kh * sizeof(float *);
    s->band = dv_window_band(&c->w, c->depthwise ? depthwise_range : by_rows_range, 1);
    if (!c->depthwise && !c->by_rows) {
        s->band.fn = c->pointwise ? dv_gemm_rows : general_range;
        s->band.unit = (size_t)c->ow;
    }
    return DMV_OK;
}

void dv_finish_act(dv_exec *x, const dv_step *s, int act, float *c, size_t rows, size_t n,
                   size_t ldc)
{
    if (act == DV_ACT_NONE)
        return;
    float p = dv_node_float(s->node, DV_A_P, 0), q = dv_node_float(s->node, DV_A_Q, 0);
    if (ldc == n) {
        x->k->act_f32(act, rows * n, c, c, p, q);
        return;
    }
    for (size_t i = 0; i < rows; i++)
        x->k->act_f32(act, n, c + i * ldc, c + i * ldc, p, q);
}

/* Rows [r0, r1) and columns [c0, c1) of a matrix product. */
static void gemm_part(dv_exec *x, const dv_step *s, size_t r0, size_t r1, size_t c0, size_t c1)
{
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    const size_t k = (size_t)in->dims[in->rank - 1], n = (size_t)o->dims[o->rank - 1];
    const float *w = dv_packed(x, s, 1) + c0 * k;
    dv_epilogue ep;
    int act = dv_epilogue_of(x, s, 2, &ep);
    /* an activation that the kernels do not have finds its values in the cache */
    size_t block = act == DV_ACT_NONE ? r1 - r0 : DV_MAX((size_t)1, 8192 / n);
    size_t mr = x->k->gemm_mr ? x->k->gemm_mr : 1;
    block = (block + mr - 1) / mr * mr;
    const float *add = ep.add;
    ep.bias = ep.bias ? ep.bias + c0 : NULL;
    ep.slope = ep.slope ? ep.slope + c0 : NULL;
    ep.ldadd = n;
    for (size_t i = r0; i < r1; i += block) {
        size_t m = DV_MIN(block, r1 - i), at = i * n + c0;
        ep.add = add ? add + at : NULL;
        x->k->gemm_f32(m, c1 - c0, k, in->f + i * k, k, w, o->f + at, n, &ep);
        dv_finish_act(x, s, act, o->f + at, m, c1 - c0, n);
    }
}

void dv_gemm_rows(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_value *o = dv_out(x, s, 0);
    gemm_part(x, s, begin, end, 0, (size_t)o->dims[o->rank - 1]);
}

void dv_gemm_columns(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_value *o = dv_out(x, s, 0);
    size_t n = (size_t)o->dims[o->rank - 1];
    gemm_part(x, s, 0, o->count / n, begin * DV_HPANEL, DV_MIN(n, end * DV_HPANEL));
}

void dv_gemm_run(dv_exec *x, const dv_step *s)
{
    const dv_value *o = dv_out(x, s, 0);
    size_t n = (size_t)o->dims[o->rank - 1], rows = o->count / n;
    if (dv_by_columns(x, rows, n))
        dv_parallel(x, s, (n + DV_HPANEL - 1) / DV_HPANEL, 1, dv_gemm_columns);
    else
        dv_parallel(x, s, rows, x->k->gemm_mr ? x->k->gemm_mr : 1, dv_gemm_rows);
}

static void depthwise_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const conv_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    const float **rows = dv_scratch(x, worker);
    const float *w = dv_packed(x, s, 1);
    size_t ch = (size_t)in->dims[3], ld = dv_round_up(ch, DV_PANEL);
    dv_epilogue ep;
    int act = dv_epilogue_of(x, s, 2, &ep);
    const float *add = ep.add;
    for (size_t r = begin; r < end; r++) {
        size_t img = r / (size_t)c->oh;
        int64_t oy = (int64_t)(r % (size_t)c->oh), first, last;
        dv_window_clip(oy, c->w.sy, c->w.dy, c->w.top, c->w.kh, in->dims[1], &first, &last);
        const float *base = in->f + img * (size_t)(in->dims[1] * in->dims[2]) * ch;
        for (int64_t t = first; t < last; t++)
            rows[t - first] =
                base + (size_t)((oy * c->w.sy - c->w.top + t * c->w.dy) * in->dims[2]) * ch;
        size_t row = (size_t)c->ow * ch;
        ep.add = add ? add + r * row : NULL;
        ep.ldadd = ch;
        dv_dw_args a = {.rows = rows,
                        .kh = (size_t)(last - first),
                        .kw = (size_t)c->w.kw,
                        .c = ch,
                        .iw = (size_t)in->dims[2],
                        .ow = (size_t)c->ow,
                        .sx = (size_t)c->w.sx,
                        .dx = (size_t)c->w.dx,
                        .px = (size_t)c->w.left,
                        .w = w + (size_t)(first * c->w.kw) * ld,
                        .ldw = ld,
                        .out = o->f + r * row,
                        .ep = &ep};
        x->k->dw_f32(&a);
        dv_finish_act(x, s, act, o->f + r * row, 1, row, row);
    }
}

/* The window of one output pixel (of one group) as k consecutive floats. */
static void gather_pixel(const conv_state *c, const dv_value *in, const float *img, int64_t oy,
                         int64_t ox, size_t g, float *out)
{
    size_t icg = (size_t)c->icg, ch = (size_t)in->dims[3], line = (size_t)c->w.kw * icg;
    int64_t x0 = ox * c->w.sx - c->w.left, first, last;
    dv_window_clip(ox, c->w.sx, c->w.dx, c->w.left, c->w.kw, in->dims[2], &first, &last);
    for (int64_t t = 0; t < c->w.kh; t++, out += line) {
        int64_t y = oy * c->w.sy - c->w.top + t * c->w.dy;
        if (y < 0 || y >= in->dims[1] || first >= last) {
            memset(out, 0, line * sizeof(float));
            continue;
        }
        const float *row = img + (size_t)(y * in->dims[2]) * ch + g * icg;
        if (first > 0)
            memset(out, 0, (size_t)first * icg * sizeof(float));
        if (last < c->w.kw)
            memset(out + (size_t)last * icg, 0, (size_t)(c->w.kw - last) * icg * sizeof(float));
        if (c->w.dx == 1 && icg == ch) {
            const float *src = row + (size_t)(x0 + first) * ch;
            size_t count = (size_t)(last - first) * icg;
            float *dst = out + (size_t)first * icg;
            if (count <= 32) /* the first layer: a call to memcpy costs more than the copy */
                for (size_t i = 0; i < count; i++)
                    dst[i] = src[i];
            else
                memcpy(dst, src, count * sizeof(float));
        } else {
            for (int64_t u = first; u < last; u++)
                memcpy(out + (size_t)u * icg, row + (size_t)(x0 + u * c->w.dx) * ch,
                       icg * sizeof(float));
        }
    }
}

static void general_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const conv_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    float *strip = dv_scratch(x, worker);
    const float *w = dv_packed(x, s, 1);
    size_t pixels = (size_t)(c->oh * c->ow), oc = (size_t)o->dims[3], ocg = (size_t)c->ocg;
    size_t in_img = (size_t)(in->dims[1] * in->dims[2] * in->dims[3]);
    dv_epilogue all;
    int act = dv_epilogue_of(x, s, 2, &all);
    for (size_t p = begin; p < end; p += c->strip) {
        size_t m = DV_MIN(c->strip, end - p);
        for (size_t g = 0; g < (size_t)c->g; g++) {
            size_t img = p / pixels;
            int64_t oy = (int64_t)(p % pixels / (size_t)c->ow);
            int64_t ox = (int64_t)(p % (size_t)c->ow);
            for (size_t i = 0; i < m; i++) {
                gather_pixel(c, in, in->f + img * in_img, oy, ox, g, strip + i * c->k);
                if (++ox == c->ow) {
                    ox = 0;
                    if (++oy == c->oh) {
                        oy = 0;
                        img++;
                    }
                }
            }
            /* bias and slope of a group may start off the 16-float grid: kernels read whole
             * panels, so a group gets a padded copy of its own */
            dv_epilogue ep = all;
            float bias[DV_PANEL], slope[DV_PANEL];
            ep.ldadd = oc;
            for (size_t j = 0; j < ocg; j += c->g == 1 ? ocg : DV_PANEL) {
                size_t n = c->g == 1 ? ocg : DV_MIN((size_t)DV_PANEL, ocg - j);
                size_t at = g * ocg + j;
                if (c->g > 1) {
                    for (size_t q = 0; q < DV_PANEL; q++) {
                        bias[q] = all.bias && q < n ? all.bias[at + q] : 0;
                        slope[q] = all.slope && q < n ? all.slope[at + q] : 0;
                    }
                    ep.bias = bias;
                    ep.slope = all.slope ? slope : NULL;
                }
                ep.add = all.add ? all.add + p * oc + at : NULL;
                x->k->gemm_f32(m, n, c->k, strip, c->k, w + g * c->panel_g + j * c->k,
                               o->f + p * oc + at, oc, &ep);
            }
        }
        dv_finish_act(x, s, act, o->f + p * oc, m, oc, oc);
    }
}

static void by_rows_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const conv_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    float *rows = dv_scratch(x, worker);
    const float *w = dv_packed(x, s, 1);
    size_t ic = (size_t)c->icg, oc = (size_t)o->dims[3], seg = (size_t)c->w.kw * ic;
    size_t left = (size_t)c->w.left * ic, width = (size_t)in->dims[2] * ic;
    dv_epilogue ep;
    int act = dv_epilogue_of(x, s, 2, &ep);
    const float *add = ep.add;
    ep.ldadd = oc;
    for (size_t r = begin; r < end; r++) {
        size_t img = r / (size_t)c->oh, at = r * (size_t)c->ow * oc;
        int64_t oy = (int64_t)(r % (size_t)c->oh), first, last;
        dv_window_clip(oy, c->w.sy, c->w.dy, c->w.top, c->w.kh, in->dims[1], &first, &last);
        const float *base = in->f + img * (size_t)in->dims[1] * width;
        const float *a =
            base + (size_t)DV_MAX(oy * c->w.sy - c->w.top + first * c->w.dy, 0) * width;
        size_t stride = (size_t)c->w.dy * width;
        if (c->w.left || c->w.right) {
            float *p = rows;
            for (int64_t t = first; t < last; t++, p += c->line) {
                memset(p, 0, left * sizeof(float));
                memcpy(p + left, a + (size_t)(t - first) * stride, width * sizeof(float));
                memset(p + left + width, 0, (c->line - left - width) * sizeof(float));
            }
            a = rows;
            stride = c->line;
        }
        ep.add = add ? add + at : NULL;
        dv_conv_args g = {(size_t)c->ow,
                          oc,
                          (size_t)(last - first),
                          seg,
                          stride,
                          a,
                          (size_t)c->w.sx * ic,
                          w + (size_t)first * seg * DV_PANEL,
                          c->k * DV_PANEL,
                          o->f + at,
                          oc,
                          &ep};
        x->k->conv_f32(&g);
        dv_finish_act(x, s, act, o->f + at, (size_t)c->ow, oc, oc);
    }
}

static void conv_run(dv_exec *x, const dv_step *s)
{
    conv_state *c = s->state;
    const dv_value *o = dv_out(x, s, 0);
    size_t pixels = (size_t)(o->dims[0] * c->oh * c->ow);
    if (c->depthwise)
        dv_parallel(x, s, (size_t)(o->dims[0] * c->oh), 1, depthwise_range);
    else if (c->pointwise)
        dv_gemm_run(x, s);
    else if (c->winograd)
        dv_winograd_run(x, s, &c->wino);
    else if (c->by_rows)
        dv_parallel(x, s, (size_t)(o->dims[0] * c->oh), 1, by_rows_range);
    else
        dv_parallel(x, s, pixels, c->strip, general_range);
}

const dv_op dv_op_conv = {2,
                          5,
                          1,
                          1,
                          2,
                          1 << 4,
                          {DV_ROLE_PLAIN, DV_ROLE_PANEL, DV_ROLE_VEC, DV_ROLE_VEC, DV_ROLE_PLAIN},
                          conv_check,
                          conv_shape,
                          conv_run};

/* ---- transposed convolution: one GEMM into columns, then scatter-add ---- */

typedef struct convt_state {
    dv_window w;
    int64_t oc, oh, ow;
} convt_state;

static dmv_status convt_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    const dv_gtensor *w = dv_const_in(g, n, 1);
    dv_window win;
    dmv_status st = dv_window_of(n, &win, e);
    if (st)
        return st;
    int64_t op[2] = {0, 0};
    dv_node_ints(n, DV_A_OUTPUT_PAD, op, 2);
    if (!w || w->rank != 2 || w->dims[0] < 1 || w->dims[1] < 1 || w->dims[1] % (win.kh * win.kw) ||
        !weight_fits(w, DV_PACK_PANEL, 1) || dv_node_int(n, DV_A_GROUP, 1) != 1 || op[0] < 0 ||
        op[1] < 0 || op[0] > 4096 || op[1] > 4096)
        return dv_fail(e, DMV_ERR_FORMAT, "weights do not fit the kernel");
    int64_t oc = w->dims[1] / (win.kh * win.kw);
    if ((st = check_vec(g, n, 2, oc, e)) || (st = check_vec(g, n, 3, oc, e)))
        return st;
    return dv_check_act(n, 3, e);
}

static dmv_status convt_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    const dv_gtensor *w = dv_const_in(x->g, s->node, 1);
    convt_state *c = dv_calloc(1, sizeof *c);
    if (!c)
        return dv_nomem(e);
    s->state = c;
    dmv_status st = dv_window_of(s->node, &c->w, e);
    if (st)
        return st;
    if (in->rank != 4 || in->dims[3] != w->dims[0])
        return dv_fail(e, DMV_ERR_FORMAT, "the input has the wrong number of channels");
    int64_t op[2] = {0, 0};
    dv_node_ints(s->node, DV_A_OUTPUT_PAD, op, 2);
    c->oc = w->dims[1] / (c->w.kh * c->w.kw);
    c->oh =
        (in->dims[1] - 1) * c->w.sy - c->w.top - c->w.bottom + (c->w.kh - 1) * c->w.dy + 1 + op[0];
    c->ow =
        (in->dims[2] - 1) * c->w.sx - c->w.left - c->w.right + (c->w.kw - 1) * c->w.dx + 1 + op[1];
    if (c->oh < 1 || c->ow < 1)
        return dv_fail(e, DMV_ERR_FORMAT, "the output would be empty");
    int64_t dims[4] = {in->dims[0], c->oh, c->ow, c->oc};
    if ((st = dv_set_dims(dv_out(x, s, 0), 4, dims, e)))
        return st;
    s->macs = (int64_t)in->count * w->dims[1];
    size_t cols;
    if (!dv_mul((size_t)in->dims[2], (size_t)w->dims[1], &cols) || cols > SIZE_MAX / 8)
        return dv_fail(e, DMV_ERR_LIMIT, "too large");
    s->scratch = cols * sizeof(float);
    return DMV_OK;
}

static void convt_image(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const convt_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    const float *w = dv_packed(x, s, 1);
    float *cols = dv_scratch(x, worker);
    size_t oc = (size_t)c->oc, n = (size_t)(c->w.kh * c->w.kw) * oc, ic = (size_t)in->dims[3];
    size_t iw = (size_t)in->dims[2], plane = (size_t)(c->oh * c->ow) * oc;
    dv_epilogue none = {0}, ep;
    int act = dv_epilogue_of(x, s, 2, &ep);
    if (ep.slope)
        act = DV_ACT_NONE;
    else if (ep.act == DV_EP_CLIP)
        act = DV_ACT_CLIP;
    for (size_t b = begin; b < end; b++) {
        float *out = o->f + b * plane;
        for (size_t i = 0; i < plane; i++)
            out[i] = ep.bias ? ep.bias[i % oc] : 0;
        for (int64_t iy = 0; iy < in->dims[1]; iy++) {
            const float *row = in->f + (b * (size_t)in->dims[1] + (size_t)iy) * iw * ic;
            x->k->gemm_f32(iw, n, ic, row, ic, w, cols, n, &none);
            for (size_t ix = 0; ix < iw; ix++) {
                const float *col = cols + ix * n;
                for (int64_t t = 0; t < c->w.kh; t++) {
                    int64_t y = iy * c->w.sy - c->w.top + t * c->w.dy;
                    for (int64_t u = 0; u < c->w.kw; u++, col += oc) {
                        int64_t xx = (int64_t)ix * c->w.sx - c->w.left + u * c->w.dx;
                        if (y < 0 || y >= c->oh || xx < 0 || xx >= c->ow)
                            continue;
                        float *dst = out + (size_t)(y * c->ow + xx) * oc;
                        x->k->binary_f32(DV_BIN_ADD, 0, oc, dst, col, dst);
                    }
                }
            }
        }
        if (ep.slope)
            x->k->prelu_f32(plane / oc, oc, out, ep.slope, out);
        else
            dv_finish_act(x, s, act, out, plane / oc, oc, oc);
    }
}

static void convt_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, (size_t)dv_out(x, s, 0)->dims[0], 1, convt_image);
}

const dv_op dv_op_conv_transpose = {
    2,
    4,
    1,
    1,
    2,
    0,
    {DV_ROLE_PLAIN, DV_ROLE_PANEL, DV_ROLE_VEC, DV_ROLE_VEC, DV_ROLE_PLAIN},
    convt_check,
    convt_shape,
    convt_run};
