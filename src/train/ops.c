/* SPDX-License-Identifier: Apache-2.0
 *
 * ops.c - the ops of the trainer, forwards and backwards. Pictures are rows of pixels, a pixel is c
 * floats; loops over channels are the inner ones. */
#include "train/train.h"

#include <math.h>
#include <string.h>

/* Pixels of a part: the first one's offset in pixels through *at. */
static size_t part_rows(const tr_net *n, const tr_value *v, int part, size_t *at)
{
    int64_t b, end;
    tr_part(n, part, &b, &end);
    *at = (size_t)(b * v->h * v->w);
    return (size_t)((end - b) * v->h * v->w);
}

static tr_value *input(tr_net *n, const tr_op *o, int i)
{
    return &n->v[o->in[i]];
}

static void add_to(size_t n, const float *a, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] += a[i];
}

static void he(tr_net *n, tr_param *p, double fan_in)
{
    float s = (float)sqrt(2 / fan_in);
    for (size_t i = 0; i < p->n; i++)
        p->w[i] = s * tr_normal(&n->seed);
}

/* ---- Conv ---- */

static dmv_status conv_shape(tr_net *n, tr_op *o, dv_err *e)
{
    const tr_value *x = input(n, o, 0);
    tr_value *y = &n->v[o->out];
    if (x->c % o->groups || o->channels % o->groups)
        return dv_fail(e, DMV_ERR_ARGUMENT, "layer %s: %lld channels in %lld groups", o->name,
                       (long long)x->c, (long long)o->groups);
    y->h = (x->h + 2 * o->pad - o->k) / o->stride + 1;
    y->w = (x->w + 2 * o->pad - o->k) / o->stride + 1;
    y->c = o->channels;
    if (y->h < 1 || y->w < 1)
        return dv_fail(e, DMV_ERR_ARGUMENT, "layer %s: the picture is too small", o->name);
    int64_t dims[4] = {o->k, o->k, x->c / o->groups, o->channels};
    o->p[0] = tr_net_param(n, o->name, "w", 4, dims, true, true, e);
    if (!o->p[0])
        return DMV_ERR_MEMORY;
    he(n, o->p[0], (double)(o->k * o->k * x->c / o->groups));
    return DMV_OK;
}

typedef struct conv_state {
    int parts;
    tr_dconv *part[];
} conv_state;

static void conv_close(tr_op *o)
{
    conv_state *c = o->state;
    for (int i = 0; c && i < c->parts; i++)
        tr_dconv_free(&c->part[i]);
    dv_free(c);
    o->state = NULL;
}

static dmv_status conv_ready(tr_net *n, tr_op *o, dv_err *e)
{
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    conv_close(o);
    conv_state *c = dv_calloc(1, sizeof *c + (size_t)n->parts * sizeof *c->part);
    if (!(o->state = c))
        return dv_nomem(e);
    c->parts = n->parts;
    for (int i = 0; i < n->parts; i++) {
        int64_t b, end;
        tr_part(n, i, &b, &end);
        tr_conv_shape s = {end - b, x->c, x->h,      x->w,   y->c,     y->h,
                           y->w,    o->k, o->stride, o->pad, o->groups};
        dmv_status st = tr_dconv_new(&s, x->wants_d, &c->part[i], e);
        if (st)
            return st;
    }
    return DMV_OK;
}

static void conv_fwd(tr_net *n, tr_op *o, int phase, int part)
{
    const conv_state *c = o->state;
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    int64_t b, end;
    tr_part(n, part, &b, &end);
    tr_dconv_weights(c->part[part], o->p[0]->w);
    tr_dconv_forward(c->part[part], x->x + (size_t)b * x->each, y->x + (size_t)b * y->each);
}

static void conv_bwd(tr_net *n, tr_op *o, int phase, int part)
{
    const conv_state *c = o->state;
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    if (phase == 1) {
        for (int i = 0; part == 0 && i < c->parts; i++)
            tr_dconv_gradient(c->part[i], o->p[0]->g);
        return;
    }
    int64_t b, end;
    tr_part(n, part, &b, &end);
    size_t at = (size_t)b * x->each, count = (size_t)(end - b) * x->each;
    float *dx = x->wants_d ? (o->add[0] ? o->tmp : x->d) + at : NULL;
    tr_dconv_backward(c->part[part], x->x + at, y->d + (size_t)b * y->each, dx);
    if (dx && o->add[0])
        add_to(count, dx, x->d + at);
}

const tr_kind tr_conv = {"Conv", conv_shape, conv_ready, 1,         2,
                         true,   conv_fwd,   conv_bwd,   conv_close};

/* ---- BatchNorm with an activation ----
 * z = gamma (x - mean) / sqrt(var + eps) + beta, y = act(z). Only x and y are kept. */

#define BN_EPS 1e-5
#define BN_MOMENTUM 0.1F
#define BLOCK 64 /* rows that are summed in floats, before doubles */

typedef struct bn_state {
    float *scale, *shift, *mean, *inv; /* z = x scale + shift; of this step */
    double *sums;                      /* parts x 3 c */
    float *k1, *k2;                    /* backwards: dx = scale (dz - k1 - xhat k2) */
} bn_state;

enum { GAMMA, BETA, MEAN, VAR, SLOPE };

static dmv_status bn_shape(tr_net *n, tr_op *o, dv_err *e)
{
    static const char *const names[] = {"gamma", "beta", "mean", "var", "slope"};
    const tr_value *x = input(n, o, 0);
    tr_value *y = &n->v[o->out];
    y->h = x->h;
    y->w = x->w;
    y->c = x->c;
    for (int i = 0; i < (o->act == TR_ACT_PRELU ? 5 : 4); i++) {
        bool stat = i == MEAN || i == VAR;
        if (!(o->p[i] = tr_net_param(n, o->name, names[i], 1, &x->c, !stat, false, e)))
            return DMV_ERR_MEMORY;
        for (int64_t j = 0; j < x->c; j++)
            o->p[i]->w[j] = i == GAMMA || i == VAR ? 1 : i == SLOPE ? 0.25F : 0;
    }
    return DMV_OK;
}

static void bn_close(tr_op *o)
{
    bn_state *s = o->state;
    if (s)
        dv_free(s->sums);
    dv_free(s);
    o->state = NULL;
}

static dmv_status bn_ready(tr_net *n, tr_op *o, dv_err *e)
{
    bn_close(o);
    size_t c = (size_t)input(n, o, 0)->c;
    bn_state *s = dv_calloc(1, sizeof *s + 6 * c * sizeof(float));
    o->state = s;
    if (!s || !(s->sums = dv_calloc((size_t)n->parts * 3 * c, sizeof *s->sums)))
        return dv_nomem(e);
    s->scale = (float *)(void *)(s + 1);
    s->shift = s->scale + c;
    s->mean = s->shift + c;
    s->inv = s->mean + c;
    s->k1 = s->inv + c;
    s->k2 = s->k1 + c;
    return DMV_OK;
}

/* Sums of x - pivot and of its square over the rows. */
TR_FAST static void bn_sums(size_t rows, size_t c, const float *x, const float *pivot, double *sum,
                            float *part)
{
    memset(sum, 0, 2 * c * sizeof *sum);
    for (size_t r0 = 0; r0 < rows; r0 += BLOCK) {
        memset(part, 0, 2 * c * sizeof *part);
        for (size_t r = r0; r < DV_MIN(rows, r0 + BLOCK); r++) {
            const float *row = x + r * c;
            for (size_t j = 0; j < c; j++) {
                float v = row[j] - pivot[j];
                part[j] += v;
                part[c + j] += v * v;
            }
        }
        for (size_t j = 0; j < 2 * c; j++)
            sum[j] += (double)part[j];
    }
}

TR_FAST static void bn_apply(size_t rows, size_t c, const float *restrict x,
                             const float *restrict a, const float *restrict b, int act,
                             const float *restrict slope, float *restrict y)
{
    for (size_t r = 0; r < rows; r++, x += c, y += c) {
        if (act == TR_ACT_PRELU)
            for (size_t j = 0; j < c; j++) {
                float z = x[j] * a[j] + b[j];
                y[j] = z < 0 ? z * slope[j] : z;
            }
        else if (act == TR_ACT_RELU)
            for (size_t j = 0; j < c; j++) {
                float z = x[j] * a[j] + b[j];
                y[j] = z < 0 ? 0 : z;
            }
        else
            for (size_t j = 0; j < c; j++)
                y[j] = x[j] * a[j] + b[j];
        if (act == TR_ACT_SWISH)
            for (size_t j = 0; j < c; j++)
                y[j] = y[j] / (1 + expf(-y[j]));
    }
}

static void bn_fwd(tr_net *n, tr_op *o, int phase, int part)
{
    bn_state *s = o->state;
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    size_t c = (size_t)x->c, at, rows = part_rows(n, x, part, &at);
    const float *gamma = o->p[GAMMA]->w, *beta = o->p[BETA]->w;
    float *mean = o->p[MEAN]->w, *var = o->p[VAR]->w;
    if (phase == 0) {
        float part_sums[4096], *tmp = 2 * c <= DV_COUNT(part_sums) ? part_sums : NULL;
        if (n->training && tmp)
            bn_sums(rows, c, x->x + at * c, mean, s->sums + (size_t)part * 3 * c, tmp);
        return;
    }
    if (phase == 1) {
        double count = (double)(n->batch * x->h * x->w);
        for (size_t j = 0; part == 0 && j < c; j++) {
            double m = (double)mean[j], v = (double)var[j];
            if (n->training) {
                double a = 0, b = 0;
                for (int p = 0; p < n->parts; p++) {
                    a += s->sums[(size_t)p * 3 * c + j];
                    b += s->sums[(size_t)p * 3 * c + c + j];
                }
                a /= count;
                m += a;
                v = DV_MAX(b / count - a * a, 0.0);
                double unbiased = count > 1 ? v * count / (count - 1) : v;
                mean[j] += BN_MOMENTUM * ((float)m - mean[j]);
                var[j] += BN_MOMENTUM * ((float)unbiased - var[j]);
            }
            double inv = 1 / sqrt(v + BN_EPS);
            s->mean[j] = (float)m;
            s->inv[j] = (float)inv;
            s->scale[j] = (float)(inv * (double)gamma[j]);
            s->shift[j] = (float)((double)beta[j] - m * inv * (double)gamma[j]);
        }
        return;
    }
    bn_apply(rows, c, x->x + at * c, s->scale, s->shift, o->act,
             o->p[SLOPE] ? o->p[SLOPE]->w : NULL, y->x + at * c);
}

/* dz of one row. */
TR_FAST static void act_row(size_t c, const float *restrict x, const float *restrict a,
                            const float *restrict b, int act, const float *restrict slope,
                            const float *restrict dy, float *restrict dz)
{
    if (act == TR_ACT_PRELU)
        for (size_t j = 0; j < c; j++)
            dz[j] = x[j] * a[j] + b[j] < 0 ? dy[j] * slope[j] : dy[j];
    else if (act == TR_ACT_RELU)
        for (size_t j = 0; j < c; j++)
            dz[j] = x[j] * a[j] + b[j] < 0 ? 0 : dy[j];
    else if (act == TR_ACT_SWISH)
        for (size_t j = 0; j < c; j++) {
            float z = x[j] * a[j] + b[j], g = 1 / (1 + expf(-z));
            dz[j] = dy[j] * (g + z * g * (1 - g));
        }
    else
        memcpy(dz, dy, c * sizeof *dz);
}

TR_FAST static void bn_back_sums(size_t rows, size_t c, const float *x, const float *dy,
                                 const bn_state *s, int act, const float *slope, double *sum,
                                 float *part)
{
    float *dz = part + 3 * c;
    memset(sum, 0, 3 * c * sizeof *sum);
    for (size_t r0 = 0; r0 < rows; r0 += BLOCK) {
        memset(part, 0, 3 * c * sizeof *part);
        for (size_t r = r0; r < DV_MIN(rows, r0 + BLOCK); r++) {
            const float *px = x + r * c, *pd = dy + r * c;
            act_row(c, px, s->scale, s->shift, act, slope, pd, dz);
            for (size_t j = 0; j < c; j++) {
                part[j] += dz[j];
                part[c + j] += dz[j] * ((px[j] - s->mean[j]) * s->inv[j]);
            }
            if (act == TR_ACT_PRELU)
                for (size_t j = 0; j < c; j++) {
                    float z = px[j] * s->scale[j] + s->shift[j];
                    part[2 * c + j] += z < 0 ? pd[j] * z : 0;
                }
        }
        for (size_t j = 0; j < 3 * c; j++)
            sum[j] += (double)part[j];
    }
}

TR_FAST static void bn_back(size_t rows, size_t c, const float *x, const float *dy,
                            const bn_state *s, int act, const float *slope, bool add, float *dx,
                            float *dz)
{
    for (size_t r = 0; r < rows; r++, x += c, dy += c, dx += c) {
        act_row(c, x, s->scale, s->shift, act, slope, dy, dz);
        for (size_t j = 0; j < c; j++)
            dz[j] = s->scale[j] * (dz[j] - s->k1[j] - (x[j] - s->mean[j]) * s->inv[j] * s->k2[j]);
        if (add)
            for (size_t j = 0; j < c; j++)
                dx[j] += dz[j];
        else
            memcpy(dx, dz, c * sizeof *dx);
    }
}

static void bn_bwd(tr_net *n, tr_op *o, int phase, int part)
{
    bn_state *s = o->state;
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    size_t c = (size_t)x->c, at, rows = part_rows(n, x, part, &at);
    const float *slope = o->p[SLOPE] ? o->p[SLOPE]->w : NULL;
    float tmp[4 * 2048];
    if (phase == 0) {
        bn_back_sums(rows, c, x->x + at * c, y->d + at * c, s, o->act, slope,
                     s->sums + (size_t)part * 3 * c, tmp);
        return;
    }
    if (phase == 1) {
        double count = (double)(n->batch * x->h * x->w);
        for (size_t j = 0; part == 0 && j < c; j++) {
            double t[3] = {0, 0, 0};
            for (int p = 0; p < n->parts; p++)
                for (int k = 0; k < 3; k++)
                    t[k] += s->sums[(size_t)p * 3 * c + (size_t)k * c + j];
            o->p[BETA]->g[j] += (float)t[0];
            o->p[GAMMA]->g[j] += (float)t[1];
            if (slope)
                o->p[SLOPE]->g[j] += (float)t[2];
            s->k1[j] = n->training ? (float)(t[0] / count) : 0;
            s->k2[j] = n->training ? (float)(t[1] / count) : 0;
        }
        return;
    }
    if (x->wants_d)
        bn_back(rows, c, x->x + at * c, y->d + at * c, s, o->act, slope, o->add[0], x->d + at * c,
                tmp);
}

const tr_kind tr_bn_act = {"BatchNorm", bn_shape, bn_ready, 3, 3, false, bn_fwd, bn_bwd, bn_close};

/* ---- Activation on its own: of gates ---- */

static dmv_status like_input(tr_net *n, tr_op *o, dv_err *e)
{
    const tr_value *x = input(n, o, 0);
    tr_value *y = &n->v[o->out];
    y->h = x->h;
    y->w = x->w;
    y->c = x->c;
    return DMV_OK;
}

static void act_fwd(tr_net *n, tr_op *o, int phase, int part)
{
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    size_t at, count = part_rows(n, x, part, &at) * (size_t)x->c;
    at *= (size_t)x->c;
    for (size_t i = at; i < at + count; i++) {
        float v = x->x[i];
        y->x[i] = o->act == TR_ACT_RELU      ? (v < 0 ? 0 : v)
                  : o->act == TR_ACT_SIGMOID ? 1 / (1 + expf(-v))
                  : o->act == TR_ACT_SWISH   ? v / (1 + expf(-v))
                                             : v;
    }
}

static void act_bwd(tr_net *n, tr_op *o, int phase, int part)
{
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    size_t at, count = part_rows(n, x, part, &at) * (size_t)x->c;
    at *= (size_t)x->c;
    for (size_t i = at; x->wants_d && i < at + count; i++) {
        float v = x->x[i], d = y->d[i], g;
        switch (o->act) {
        case TR_ACT_RELU:
            d = v < 0 ? 0 : d;
            break;
        case TR_ACT_SIGMOID:
            d *= y->x[i] * (1 - y->x[i]);
            break;
        case TR_ACT_SWISH:
            g = 1 / (1 + expf(-v));
            d *= g + v * g * (1 - g);
            break;
        }
        x->d[i] = o->add[0] ? x->d[i] + d : d;
    }
}

const tr_kind tr_act = {"Activation", like_input, NULL, 1, 1, false, act_fwd, act_bwd, NULL};

/* ---- Add ---- */

static dmv_status add_shape(tr_net *n, tr_op *o, dv_err *e)
{
    const tr_value *a = input(n, o, 0), *b = input(n, o, 1);
    if (a->h != b->h || a->w != b->w || a->c != b->c)
        return dv_fail(e, DMV_ERR_ARGUMENT, "layer %s adds two different shapes", o->name);
    return like_input(n, o, e);
}

TR_FAST static void sum2(size_t n, const float *restrict a, const float *restrict b,
                         float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

TR_FAST static void accumulate(size_t n, const float *restrict a, float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a[i];
}

static void add_fwd(tr_net *n, tr_op *o, int phase, int part)
{
    const tr_value *a = input(n, o, 0), *b = input(n, o, 1), *y = &n->v[o->out];
    size_t at, count = part_rows(n, a, part, &at) * (size_t)a->c;
    at *= (size_t)a->c;
    sum2(count, a->x + at, b->x + at, y->x + at);
}

static void add_bwd(tr_net *n, tr_op *o, int phase, int part)
{
    const tr_value *y = &n->v[o->out];
    size_t at, count = part_rows(n, y, part, &at) * (size_t)y->c;
    at *= (size_t)y->c;
    for (int i = 0; i < 2; i++) {
        const tr_value *x = input(n, o, i);
        if (!x->wants_d)
            continue;
        /* x + x: the second time there is something to add to */
        if (o->add[i] || (i == 1 && o->in[0] == o->in[1]))
            accumulate(count, y->d + at, x->d + at);
        else
            memcpy(x->d + at, y->d + at, count * sizeof(float));
    }
}

const tr_kind tr_add = {"Add", add_shape, NULL, 1, 1, false, add_fwd, add_bwd, NULL};

/* ---- a picture times one gate a channel ---- */

static dmv_status gate_shape(tr_net *n, tr_op *o, dv_err *e)
{
    const tr_value *x = input(n, o, 0), *g = input(n, o, 1);
    if (g->h != 1 || g->w != 1 || g->c != x->c || o->in[0] == o->in[1])
        return dv_fail(e, DMV_ERR_ARGUMENT, "layer %s: the gate has another shape", o->name);
    return like_input(n, o, e);
}

static void gate_fwd(tr_net *n, tr_op *o, int phase, int part)
{
    const tr_value *x = input(n, o, 0), *g = input(n, o, 1), *y = &n->v[o->out];
    int64_t b, end;
    size_t c = (size_t)x->c, pixels = (size_t)(x->h * x->w);
    tr_part(n, part, &b, &end);
    for (int64_t i = b; i < end; i++) {
        const float *gate = g->x + (size_t)i * c, *in = x->x + (size_t)i * x->each;
        float *out = y->x + (size_t)i * x->each;
        for (size_t p = 0; p < pixels; p++)
            for (size_t j = 0; j < c; j++)
                out[p * c + j] = in[p * c + j] * gate[j];
    }
}

static void gate_bwd(tr_net *n, tr_op *o, int phase, int part)
{
    const tr_value *x = input(n, o, 0), *g = input(n, o, 1), *y = &n->v[o->out];
    int64_t b, end;
    size_t c = (size_t)x->c, pixels = (size_t)(x->h * x->w);
    tr_part(n, part, &b, &end);
    for (int64_t i = b; i < end; i++) {
        const float *gate = g->x + (size_t)i * c, *in = x->x + (size_t)i * x->each;
        const float *dy = y->d + (size_t)i * x->each;
        float *dg = g->wants_d ? g->d + (size_t)i * c : NULL;
        float *dx = x->wants_d ? x->d + (size_t)i * x->each : NULL;
        if (dg && !o->add[1])
            memset(dg, 0, c * sizeof *dg);
        for (size_t p = 0; p < pixels; p++)
            for (size_t j = 0; j < c; j++) {
                size_t k = p * c + j;
                if (dg)
                    dg[j] += dy[k] * in[k];
                if (dx)
                    dx[k] = (o->add[0] ? dx[k] : 0) + dy[k] * gate[j];
            }
    }
}

const tr_kind tr_mul_gate = {"Gate", gate_shape, NULL, 1, 1, false, gate_fwd, gate_bwd, NULL};

/* ---- the mean of each channel ---- */

static dmv_status mean_shape(tr_net *n, tr_op *o, dv_err *e)
{
    tr_value *y = &n->v[o->out];
    y->h = y->w = 1;
    y->c = input(n, o, 0)->c;
    return DMV_OK;
}

static void mean_fwd(tr_net *n, tr_op *o, int phase, int part)
{
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    int64_t b, end;
    size_t c = (size_t)x->c, pixels = (size_t)(x->h * x->w);
    tr_part(n, part, &b, &end);
    for (int64_t i = b; i < end; i++) {
        float *out = y->x + (size_t)i * c;
        memset(out, 0, c * sizeof *out);
        for (size_t p = 0; p < pixels; p++)
            accumulate(c, x->x + (size_t)i * x->each + p * c, out);
        for (size_t j = 0; j < c; j++)
            out[j] /= (float)pixels;
    }
}

static void mean_bwd(tr_net *n, tr_op *o, int phase, int part)
{
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    int64_t b, end;
    size_t c = (size_t)x->c, pixels = (size_t)(x->h * x->w);
    tr_part(n, part, &b, &end);
    for (int64_t i = b; x->wants_d && i < end; i++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t j = 0; j < c; j++) {
                float *dx = x->d + (size_t)i * x->each + p * c + j;
                *dx = (o->add[0] ? *dx : 0) + y->d[(size_t)i * c + j] / (float)pixels;
            }
}

const tr_kind tr_global_mean = {"GlobalMean", mean_shape, NULL,     1,   1,
                                false,        mean_fwd,   mean_bwd, NULL};

/* ---- FC ---- */

static dmv_status fc_shape(tr_net *n, tr_op *o, dv_err *e)
{
    const tr_value *x = input(n, o, 0);
    tr_value *y = &n->v[o->out];
    y->h = y->w = 1;
    y->c = o->channels;
    int64_t dims[2] = {x->h * x->w * x->c, o->channels};
    o->p[0] = tr_net_param(n, o->name, "w", 2, dims, true, true, e);
    o->p[1] = o->bias ? tr_net_param(n, o->name, "b", 1, &o->channels, true, false, e) : NULL;
    if (!o->p[0] || (o->bias && !o->p[1]))
        return DMV_ERR_MEMORY;
    he(n, o->p[0], (double)dims[0] * 2);
    return DMV_OK;
}

static void fc_fwd(tr_net *n, tr_op *o, int phase, int part)
{
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    int64_t b, end, k = (int64_t)x->each, c = y->c;
    tr_part(n, part, &b, &end);
    float *out = y->x + b * c;
    tr_gemm(false, false, end - b, c, k, 1, x->x + b * k, k, o->p[0]->w, c, 0, out, c);
    for (int64_t i = 0; o->p[1] && i < end - b; i++)
        add_to((size_t)c, o->p[1]->w, out + i * c);
}

static void fc_bwd(tr_net *n, tr_op *o, int phase, int part)
{
    const tr_value *x = input(n, o, 0), *y = &n->v[o->out];
    int64_t b, end, k = (int64_t)x->each, c = y->c;
    tr_part(n, part, &b, &end);
    if (x->wants_d)
        tr_gemm(false, true, end - b, k, c, 1, y->d + b * c, c, o->p[0]->w, c, o->add[0] ? 1 : 0,
                x->d + b * k, k);
    /* of the weights, each part takes some rows, over the whole batch */
    int64_t r0 = k * part / n->parts, r1 = k * (part + 1) / n->parts;
    if (r1 > r0)
        tr_gemm(true, false, r1 - r0, c, n->batch, 1, x->x + r0, k, y->d, c, 1, o->p[0]->g + r0 * c,
                c);
    for (int64_t i = 0; o->p[1] && part == 0 && i < n->batch; i++)
        add_to((size_t)c, y->d + i * c, o->p[1]->g);
}

const tr_kind tr_fc = {"FC", fc_shape, NULL, 1, 1, false, fc_fwd, fc_bwd, NULL};
