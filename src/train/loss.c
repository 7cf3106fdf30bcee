/* SPDX-License-Identifier: Apache-2.0
 *
 * loss.c - see loss.h. */
#include "train/loss.h"

#include <math.h>
#include <string.h>

dmv_status tr_head_new(tr_net *n, int64_t classes, tr_head **out, dv_err *e)
{
    tr_head *h = *out = dv_calloc(1, sizeof *h);
    if (!h)
        return dv_nomem(e);
    h->classes = classes;
    h->dim = (int64_t)n->v[n->output].each;
    int64_t dims[2] = {classes, h->dim};
    h->w = tr_net_param(n, "head", "centres", 2, dims, true, true, e);
    if (!h->w)
        return DMV_ERR_MEMORY;
    for (size_t i = 0; i < h->w->n; i++)
        h->w->w[i] = 0.01F * tr_normal(&n->seed);
    h->c = dv_alloc_aligned(h->w->n * sizeof(float));
    h->dc = dv_alloc_aligned(h->w->n * sizeof(float));
    h->cn = dv_calloc((size_t)classes, sizeof *h->cn);
    return h->c && h->dc && h->cn ? DMV_OK : dv_nomem(e);
}

static void forget(tr_head *h)
{
    dv_free(h->e);
    dv_free(h->de);
    dv_free(h->en);
    dv_free(h->logits);
    h->e = h->de = h->en = h->logits = NULL;
    h->batch = 0;
}

void tr_head_free(tr_head **ph)
{
    tr_head *h = *ph;
    if (!h)
        return;
    forget(h);
    dv_free(h->c);
    dv_free(h->dc);
    dv_free(h->cn);
    dv_free(h);
    *ph = NULL;
}

dmv_status tr_head_ready(tr_head *h, int64_t batch, dv_err *e)
{
    if (batch == h->batch)
        return DMV_OK;
    forget(h);
    size_t b = (size_t)batch;
    h->e = dv_alloc_aligned(b * (size_t)h->dim * sizeof(float));
    h->de = dv_alloc_aligned(b * (size_t)h->dim * sizeof(float));
    h->en = dv_alloc_aligned(b * sizeof(float));
    h->logits = dv_alloc_aligned(b * (size_t)h->classes * sizeof(float));
    if (!h->e || !h->de || !h->en || !h->logits)
        return dv_nomem(e);
    h->batch = batch;
    return DMV_OK;
}

static void normalise(int64_t rows, int64_t dim, const float *x, float *out, float *len)
{
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int64_t j = 0; j < dim; j++)
            sum += (double)x[i * dim + j] * (double)x[i * dim + j];
        len[i] = (float)DV_MAX(sqrt(sum), 1e-12);
        for (int64_t j = 0; j < dim; j++)
            out[i * dim + j] = x[i * dim + j] / len[i];
    }
}

/* dx += (d - u <u, d>) / |x| */
static void through_norm(int64_t rows, int64_t dim, const float *u, const float *len,
                         const float *d, float *dx)
{
    for (int64_t i = 0; i < rows; i++) {
        double dot = 0;
        for (int64_t j = 0; j < dim; j++)
            dot += (double)u[i * dim + j] * (double)d[i * dim + j];
        for (int64_t j = 0; j < dim; j++)
            dx[i * dim + j] += (d[i * dim + j] - u[i * dim + j] * (float)dot) / len[i];
    }
}

/* The logit over s of the own class from its cosine, and its slope. */
static double margin_of(const tr_margin *m, double m2, double cosine, double *slope)
{
    double c = DV_MIN(DV_MAX(cosine, -1 + 1e-7), 1 - 1e-7), th = acos(c);
    double u = (double)m->m1 * th + m2, sin_th = sqrt(1 - c * c);
    const double pi = 3.14159265358979323846;
    *slope = (double)m->m1 * fabs(sin(u)) / sin_th; /* d/dcos = m1 sin(u) / sin(th) */
    double v = u <= pi ? cos(u) : -2 - cos(u);
    return v - (double)m->m3;
}

void tr_head_unit(tr_head *h, int64_t batch, const float *x)
{
    normalise(batch, h->dim, x, h->e, h->en);
    normalise(h->classes, h->dim, h->w->w, h->c, h->cn);
}

void tr_head_gradient(tr_head *h, int64_t batch, float *d)
{
    const int64_t dim = h->dim, n = h->classes;
    tr_gemm(false, false, batch, dim, n, 1, h->logits, n, h->c, dim, 0, h->de, dim);
    through_norm(batch, dim, h->e, h->en, h->de, d);
    if (h->w->frozen)
        return;
    tr_gemm(true, false, n, dim, batch, 1, h->logits, n, h->e, dim, 0, h->dc, dim);
    through_norm(n, dim, h->c, h->cn, h->dc, h->w->g);
}

double tr_margin_loss(tr_head *h, const tr_margin *m, int64_t batch, const float *x,
                      const int32_t *labels, float weight, float *d, int64_t *right)
{
    const int64_t dim = h->dim, n = h->classes;
    double loss = 0;
    *right = 0;
    tr_head_unit(h, batch, x);
    tr_gemm(false, true, batch, n, dim, 1, h->e, dim, h->c, dim, 0, h->logits, n);
    for (int64_t i = 0; i < batch; i++) {
        float *l = h->logits + i * n;
        const int32_t own = labels[i];
        double slope, best = -2;
        for (int64_t j = 0; j < n; j++)
            best = DV_MAX(best, (double)l[j]);
        *right += (double)l[own] >= best;
        double m2 = m->per_row ? (double)m->per_row[i] : (double)m->m2;
        l[own] = (float)margin_of(m, m2, (double)l[own], &slope);
        double most = -1e30, sum = 0, all = 0, s = (double)m->s;
        for (int64_t j = 0; j < n; j++)
            most = DV_MAX(most, (double)l[j]);
        for (int64_t j = 0; j < n; j++)
            sum += exp(s * ((double)l[j] - most));
        const double log_sum = log(sum) + s * most, off = (double)m->smooth / (double)n;
        for (int64_t j = 0; j < n; j++)
            all += (double)l[j];
        loss += log_sum - (1 - (double)m->smooth) * s * (double)l[own] - off * s * all;
        const double scale = s * (double)weight / (double)batch;
        for (int64_t j = 0; j < n; j++) {
            double g = exp(s * (double)l[j] - log_sum) - off;
            if (j == own)
                g = (g - (1 - (double)m->smooth)) * slope;
            l[j] = (float)(g * scale);
        }
    }
    if (d)
        tr_head_gradient(h, batch, d);
    return loss / (double)batch * (double)weight;
}

double tr_cosine_loss(int64_t batch, int64_t dim, const float *x, const float *t, float weight,
                      float *d)
{
    double loss = 0;
    for (int64_t i = 0; i < batch; i++) {
        const float *a = x + i * dim, *b = t + i * dim;
        double aa = 0, bb = 0, ab = 0;
        for (int64_t j = 0; j < dim; j++) {
            aa += (double)a[j] * (double)a[j];
            bb += (double)b[j] * (double)b[j];
            ab += (double)a[j] * (double)b[j];
        }
        aa = DV_MAX(aa, 1e-24);
        const double len = sqrt(aa * DV_MAX(bb, 1e-24)), cosine = ab / len;
        loss += 1 - cosine;
        for (int64_t j = 0; d && j < dim; j++)
            d[i * dim + j] += (float)((double)weight / (double)batch *
                                      (cosine * (double)a[j] / aa - (double)b[j] / len));
    }
    return loss / (double)batch * (double)weight;
}
