/* SPDX-License-Identifier: Apache-2.0
 *
 * calib.c - ranges of activations. Two passes over the samples: the first finds the range of
 * every tensor and the mean of its channels, the second counts values between the ends. A scale
 * is then chosen from the counts.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "quant/quant_priv.h"

dmv_status dv_quant_add(dv_quant *q, const float *const *inputs, dv_err *e)
{
    size_t at = 0;
    float *all = dv_malloc(q->sample_floats * sizeof *all);
    if (!all || !dv_grow(&q->samples, &q->cap_samples, q->n_samples, sizeof *q->samples)) {
        dv_free(all);
        return dv_nomem(e);
    }
    for (size_t i = 0; i < q->net.n_inputs; i++) {
        size_t n = q->x->v[q->net.inputs[i]].count;
        memcpy(all + at, inputs[i], n * sizeof *all);
        at += n;
    }
    for (size_t i = 0; i < at; i++)
        if (!isfinite(all[i])) {
            dv_free(all);
            return dv_fail(e, DMV_ERR_ARGUMENT, "a sample holds a value that is not finite");
        }
    q->samples[q->n_samples++] = all;
    dv_quant_forget(q);
    return DMV_OK;
}

size_t dv_quant_samples(const dv_quant *q)
{
    return q->n_samples;
}

dmv_status dv_quant_run(dv_quant *q, dv_exec *x, size_t sample)
{
    const float *p = q->samples[sample];
    for (size_t i = 0; i < q->net.n_inputs; i++) {
        size_t n = q->x->v[q->net.inputs[i]].count;
        memcpy(dv_exec_input(x, i), p, n * sizeof *p);
        p += n;
    }
    dv_exec_run(x);
    return DMV_OK;
}

/* ---- measuring ---- */

typedef struct pass {
    dv_quant *q;
    bool counting;
    bool odd; /* a value that is not finite */
    int32_t at;
} pass;

static void see_range(dv_seen *s, const dv_value *v, bool *odd)
{
    float lo = s->known ? s->lo : 0, hi = s->known ? s->hi : 0;
    for (size_t i = 0; i < v->count; i++) {
        *odd |= !isfinite(v->f[i]);
        lo = v->f[i] < lo ? v->f[i] : lo;
        hi = v->f[i] > hi ? v->f[i] : hi;
    }
    s->lo = lo;
    s->hi = hi;
    s->known = true;
    for (size_t i = 0; s->mean && i < v->count; i++)
        s->mean[i % s->channels] += (double)v->f[i];
    s->rows += s->channels ? v->count / s->channels : 0;
}

static void see_counts(dv_seen *s, const dv_value *v)
{
    float wide = s->hi - s->lo;
    for (size_t i = 0; wide > 0 && i < v->count; i++) {
        float f = (v->f[i] - s->lo) / wide * (float)DV_BINS;
        size_t b = f >= (float)DV_BINS ? DV_BINS - 1 : f > 0 ? (size_t)f : 0;
        s->bins[b] += s->bins[b] != UINT32_MAX;
    }
}

static void see_tensor(pass *p, const dv_exec *x, int32_t t)
{
    const dv_value *v = &x->v[t];
    dv_seen *s = &p->q->seen[t];
    if (v->dtype != DV_F32 || !v->f || x->g->tensors[t].data || v->count == 0)
        return;
    p->at = t;
    if (p->counting)
        see_counts(s, v);
    else
        see_range(s, v, &p->odd);
}

static void see(void *user, const dv_exec *x, size_t step)
{
    const dv_node *n = x->steps[step].node;
    for (int i = 0; i < n->n_out; i++)
        see_tensor(user, x, n->out[i]);
}

void dv_quant_forget(dv_quant *q)
{
    for (size_t i = 0; q->seen && i < q->net.n_tensors; i++) {
        dv_free(q->seen[i].mean);
        dv_free(q->seen[i].bins);
    }
    dv_free(q->seen);
    q->seen = NULL;
}

static dmv_status room(dv_quant *q, dv_err *e)
{
    q->seen = dv_calloc(q->net.n_tensors, sizeof *q->seen);
    if (!q->seen)
        return dv_nomem(e);
    for (size_t i = 0; i < q->net.n_tensors; i++) {
        const dv_value *v = &q->x->v[i];
        dv_seen *s = &q->seen[i];
        if (v->dtype != DV_F32 || q->net.tensors[i].data)
            continue;
        s->channels = v->rank && v->dims[v->rank - 1] ? (size_t)v->dims[v->rank - 1] : 1;
        s->mean = dv_calloc(s->channels, sizeof *s->mean);
        s->bins = dv_calloc(DV_BINS, sizeof *s->bins);
        if (!s->mean || !s->bins)
            return dv_nomem(e);
    }
    return DMV_OK;
}

dmv_status dv_quant_measure(dv_quant *q, dv_err *e)
{
    if (q->seen)
        return DMV_OK;
    if (q->n_samples == 0)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no samples to measure ranges on");
    dmv_status st = room(q, e);
    pass p = {.q = q};
    q->x->seen = see;
    q->x->seen_user = &p;
    for (int round = 0; !st && round < 2; round++) {
        p.counting = round == 1;
        for (size_t i = 0; !st && i < q->n_samples; i++) {
            for (size_t j = 0, at = 0; j < q->net.n_inputs; j++) {
                int32_t t = q->net.inputs[j];
                dv_value v = q->x->v[t];
                v.f = q->samples[i] + at;
                at += v.count;
                if (p.counting)
                    see_counts(&q->seen[t], &v);
                else
                    see_range(&q->seen[t], &v, &p.odd);
            }
            st = dv_quant_run(q, q->x, i);
            if (!st && p.odd)
                st = dv_fail(e, DMV_ERR_ARGUMENT,
                             "the net gives values that are not finite (at tensor \"%.80s\")",
                             q->net.tensors[p.at].name ? q->net.tensors[p.at].name : "");
        }
    }
    q->x->seen = NULL;
    for (size_t i = 0; !st && i < q->net.n_tensors; i++)
        for (size_t c = 0; q->seen[i].rows && c < q->seen[i].channels; c++)
            q->seen[i].mean[c] /= (double)q->seen[i].rows;
    if (st)
        dv_quant_forget(q);
    return st;
}

/* ---- choosing ---- */

int32_t dv_quant_group(const dv_quant *q, int32_t t)
{
    while (q->group[t] != t)
        t = q->group[t];
    return t;
}

/* The counts of all tensors of a group over their common range. */
static void gather(const dv_quant *q, int32_t t, double *bins, float *lo, float *hi)
{
    *lo = *hi = 0;
    memset(bins, 0, DV_BINS * sizeof *bins);
    for (size_t i = 0; i < q->net.n_tensors; i++)
        if (q->seen[i].known && dv_quant_group(q, (int32_t)i) == t) {
            *lo = DV_MIN(*lo, q->seen[i].lo);
            *hi = DV_MAX(*hi, q->seen[i].hi);
        }
    float wide = *hi - *lo;
    for (size_t i = 0; wide > 0 && i < q->net.n_tensors; i++) {
        const dv_seen *s = &q->seen[i];
        if (!s->known || dv_quant_group(q, (int32_t)i) != t)
            continue;
        for (size_t b = 0; b < DV_BINS; b++) {
            float v = s->lo + ((float)b + 0.5f) / (float)DV_BINS * (s->hi - s->lo);
            float f = (v - *lo) / wide * (float)DV_BINS;
            bins[f >= (float)DV_BINS ? DV_BINS - 1 : f > 0 ? (size_t)f : 0] += s->bins[b];
        }
    }
}

static void cut_percentile(const double *bins, double percent, float *lo, float *hi)
{
    double sum = 0, part = 0, drop;
    for (size_t b = 0; b < DV_BINS; b++)
        sum += bins[b];
    drop = sum * (100 - percent) / 100 / 2;
    float low = *lo, wide = *hi - *lo;
    size_t a = 0, z = DV_BINS;
    for (part = 0; a < DV_BINS / 2 && part + bins[a] <= drop; a++)
        part += bins[a];
    for (part = 0; z > DV_BINS / 2 && part + bins[z - 1] <= drop; z--)
        part += bins[z - 1];
    if (low < 0)
        *lo = DV_MIN(low + wide * (float)a / (float)DV_BINS, 0);
    *hi = DV_MAX(low + wide * (float)z / (float)DV_BINS, 0);
}

/* Mean squared error of 256 steps between a and b. */
static double squared_error(const double *bins, float lo, float hi, float a, float b)
{
    double step = (double)(b - a) / 255, sum = 0;
    for (size_t i = 0; i < DV_BINS; i++) {
        double v = (double)lo + ((double)i + 0.5) / DV_BINS * (double)(hi - lo), d;
        if (v < (double)a || v > (double)b)
            d = v < (double)a ? (double)a - v : v - (double)b;
        else
            d = step / 3.4641016151377544; /* of a value anywhere in a step: step^2 / 12 */
        if (bins[i] > 0)
            sum += bins[i] * d * d;
    }
    return sum;
}

/* KL divergence from the counts, with what lies outside moved to the ends, to the same counts
 * averaged over each of the 256 steps between a and b. */
static double divergence(const double *bins, float lo, float hi, float a, float b)
{
    double p[DV_BINS], part[256] = {0}, live[256] = {0}, sum = 0, kl = 0;
    double per = (double)(hi - lo) / DV_BINS;
    int first = -1, last = 0;
    memset(p, 0, sizeof p);
    for (int i = 0; i < DV_BINS; i++) {
        double v = (double)lo + ((double)i + 0.5) * per;
        if (v >= (double)a && v <= (double)b) {
            first = first < 0 ? i : first;
            last = i;
        }
    }
    if (first < 0)
        return DBL_MAX;
    for (int i = 0; i < DV_BINS; i++) {
        p[DV_MIN(DV_MAX(i, first), last)] += bins[i];
        sum += bins[i];
    }
    int n = last - first + 1;
    for (int i = first; i <= last; i++) {
        int s = (i - first) * 256 / n;
        part[s] += bins[i]; /* without what was moved in: clipping costs */
        live[s] += p[i] > 0;
    }
    for (int i = first; i <= last; i++) {
        int s = (i - first) * 256 / n;
        double want = part[s] / DV_MAX(live[s], 1);
        if (p[i] > 0)
            kl += p[i] / sum * log(p[i] / DV_MAX(want, 1e-3));
    }
    return kl;
}

static void search(const double *bins, dv_calib method, float *lo, float *hi)
{
    double best = DBL_MAX;
    float a = *lo, b = *hi;
    for (int i = 0; i < 80; i++) {
        float share = 1 - (float)i * 0.01f, x = *lo * share, y = *hi * share;
        double cost = method == DV_CALIB_MSE ? squared_error(bins, *lo, *hi, x, y)
                                             : divergence(bins, *lo, *hi, x, y);
        if (cost < best) {
            best = cost;
            a = x;
            b = y;
        }
    }
    *lo = a;
    *hi = b;
}

void dv_quant_params(const dv_quant *q, const dv_quant_options *o, int32_t t, float *scale,
                     float *zero)
{
    double bins[DV_BINS];
    float lo, hi;
    t = dv_quant_group(q, t);
    gather(q, t, bins, &lo, &hi);
    if (o->method == DV_CALIB_PERCENTILE)
        cut_percentile(bins, o->percentile, &lo, &hi);
    else if (o->method != DV_CALIB_MINMAX && hi > lo)
        search(bins, o->method, &lo, &hi);
    if (o->symmetric && lo < 0) {
        float most = DV_MAX(-lo, hi);
        *scale = most / 127;
        *zero = 128;
    } else {
        *scale = (hi - lo) / 255;
        *zero = *scale > 0 ? rintf(-lo / *scale) : 0;
    }
    if (!(*scale >= FLT_MIN)) { /* all zero */
        *scale = 1;
        *zero = 0;
    }
    *zero = DV_MIN(DV_MAX(*zero, 0), 255);
}
