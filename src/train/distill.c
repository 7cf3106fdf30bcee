/* SPDX-License-Identifier: Apache-2.0
 *
 * distill.c - see distill.h. Pairwise losses work on unit vectors u = x / |x| and end with the
 * gradient through that division. */
#include "train/distill.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned kind;
} names[] = {{"margin", TR_D_MARGIN},           {"copy", TR_D_COPY},
             {"copy-frozen", TR_D_COPY_FROZEN}, {"angular", TR_D_ANGULAR},
             {"embedding", TR_D_EMBEDDING},     {"hinton", TR_D_HINTON},
             {"relational", TR_D_RELATIONAL},   {"triplet-l2", TR_D_TRIPLET_L2},
             {"triplet-cos", TR_D_TRIPLET_COS}, {"adadistill", TR_D_ADADISTILL}};

dmv_status tr_distill_parse(const char *list, tr_distill *d, dv_err *e)
{
    *d = (tr_distill){0, 1, 100, 1, 20, 1, 0.2F, 0.5F, 4};
    while (*list) {
        const size_t len = strcspn(list, ",:");
        size_t i = 0;
        while (i < DV_COUNT(names) &&
               (strlen(names[i].name) != len || memcmp(names[i].name, list, len)))
            i++;
        if (i == DV_COUNT(names))
            return dv_fail(
                e, DMV_ERR_ARGUMENT,
                "no method \"%.*s\": margin, copy, copy-frozen, angular, embedding, hinton, "
                "relational, triplet-l2, triplet-cos or adadistill",
                (int)len, list);
        d->kinds |= names[i].kind;
        list += len;
        if (*list == ':') {
            char *end;
            const float w = strtof(list + 1, &end);
            if (end == list + 1 || !(w > 0 && w < 1e6F) || (*end && *end != ','))
                return dv_fail(e, DMV_ERR_ARGUMENT, "\"%s\": a weight is a number above 0", list);
            switch (names[i].kind) {
            case TR_D_ANGULAR:
                d->angular = w;
                break;
            case TR_D_EMBEDDING:
                d->embedding = w;
                break;
            case TR_D_HINTON:
                d->hinton = w;
                break;
            case TR_D_RELATIONAL:
                d->relational = w;
                break;
            case TR_D_TRIPLET_L2:
            case TR_D_TRIPLET_COS:
                d->triplet = w;
                break;
            default:
                return dv_fail(e, DMV_ERR_ARGUMENT, "%s has no weight", names[i].name);
            }
            list = end;
        }
        list += *list == ',';
    }
    const unsigned heads = TR_D_MARGIN | TR_D_COPY | TR_D_COPY_FROZEN | TR_D_ADADISTILL;
    const unsigned chosen = d->kinds & heads;
    if (chosen & (chosen - 1))
        return dv_fail(
            e, DMV_ERR_ARGUMENT,
            "margin, copy, copy-frozen and adadistill all say what the class centres are: only "
            "one of them");
    return DMV_OK;
}

static double dot(const float *a, const float *b, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += (double)a[i] * (double)b[i];
    return s;
}

void tr_row_margins(const tr_distill *d, int64_t batch, int64_t dim, const float *t,
                    const float *centres, const int32_t *labels, float *m2)
{
    double most = 1e-6;
    for (int64_t i = 0; i < batch; i++) {
        const double c = dot(t + i * dim, centres + labels[i] * dim, dim);
        m2[i] = (float)DV_MAX(c, 0.0);
        most = DV_MAX(most, c);
    }
    for (int64_t i = 0; i < batch; i++)
        m2[i] = d->m_min + (d->m_max - d->m_min) * m2[i] / (float)most;
}

size_t tr_distill_room(int64_t batch, int64_t dim)
{
    return (size_t)(2 * batch * dim + batch + 3 * batch * batch);
}

typedef struct pairs { /* what pairwise losses share, cut from `room` */
    float *u, *du, *len, *s, *t, *g;
} pairs;

static pairs open_pairs(int64_t batch, int64_t dim, const float *x, float *room)
{
    pairs p = {.u = room};
    p.du = p.u + batch * dim;
    p.len = p.du + batch * dim;
    p.s = p.len + batch;
    p.t = p.s + batch * batch;
    p.g = p.t + batch * batch;
    for (int64_t i = 0; i < batch; i++) {
        p.len[i] = (float)DV_MAX(sqrt(dot(x + i * dim, x + i * dim, dim)), 1e-12);
        for (int64_t j = 0; j < dim; j++)
            p.u[i * dim + j] = x[i * dim + j] / p.len[i];
    }
    memset(p.du, 0, (size_t)(batch * dim) * sizeof *p.du);
    memset(p.g, 0, (size_t)(batch * batch) * sizeof *p.g);
    return p;
}

static void through_unit(const pairs *p, int64_t batch, int64_t dim, float *d)
{
    for (int64_t i = 0; i < batch; i++) {
        const double along = dot(p->u + i * dim, p->du + i * dim, dim);
        for (int64_t j = 0; j < dim; j++)
            d[i * dim + j] += (p->du[i * dim + j] - p->u[i * dim + j] * (float)along) / p->len[i];
    }
}

double tr_hinton_loss(tr_head *h, float s, float temperature, int64_t batch, const float *x,
                      const float *t, const float *centres, float weight, float *d, float *soft)
{
    const int64_t n = h->classes, dim = h->dim;
    double loss = 0, k = (double)s / (double)temperature;
    tr_head_unit(h, batch, x);
    tr_gemm(false, true, batch, n, dim, 1, h->e, dim, h->c, dim, 0, h->logits, n);
    tr_gemm(false, true, batch, n, dim, 1, t, dim, centres, dim, 0, soft, n);
    for (int64_t i = 0; i < batch; i++) {
        float *a = h->logits + i * n, *b = soft + i * n;
        double ma = -2, mb = -2, sa = 0, sb = 0;
        for (int64_t j = 0; j < n; j++) {
            ma = DV_MAX(ma, (double)a[j]);
            mb = DV_MAX(mb, (double)b[j]);
        }
        for (int64_t j = 0; j < n; j++) {
            sa += exp(k * ((double)a[j] - ma));
            sb += exp(k * ((double)b[j] - mb));
        }
        for (int64_t j = 0; j < n; j++) {
            const double la = k * ((double)a[j] - ma) - log(sa),
                         lb = k * ((double)b[j] - mb) - log(sb);
            loss += exp(lb) * (lb - la);
            a[j] =
                (float)((exp(la) - exp(lb)) * (double)(temperature * s * weight) / (double)batch);
        }
    }
    if (d)
        tr_head_gradient(h, batch, d);
    return loss / (double)batch * (double)(weight * temperature * temperature);
}

double tr_relational_loss(int64_t batch, int64_t dim, const float *x, const float *t, float weight,
                          float *d, float *room)
{
    pairs p = open_pairs(batch, dim, x, room);
    double ms = 0, mt = 0, loss = 0, sum = 0, n = (double)(batch * (batch - 1));
    for (int64_t i = 0; i < batch; i++)
        for (int64_t j = 0; j < batch; j++) {
            double a = 0, b = 0;
            for (int64_t q = 0; q < dim && i != j; q++) {
                const double u = (double)p.u[i * dim + q] - (double)p.u[j * dim + q];
                const double v = (double)t[i * dim + q] - (double)t[j * dim + q];
                a += u * u;
                b += v * v;
            }
            ms += (p.s[i * batch + j] = (float)sqrt(a + 1e-12));
            mt += (p.t[i * batch + j] = (float)sqrt(b + 1e-12));
        }
    ms = DV_MAX(ms / n, 1e-6);
    mt = DV_MAX(mt / n, 1e-6);
    for (int64_t i = 0; i < batch * batch; i++) {
        if (i / batch == i % batch)
            continue;
        const double r = (double)p.s[i] / ms - (double)p.t[i] / mt;
        loss += fabs(r) < 1 ? 0.5 * r * r : fabs(r) - 0.5; /* Huber */
        p.g[i] = (float)(r < -1 ? -1 : r > 1 ? 1 : r);
        sum += (double)p.g[i] * (double)p.s[i];
    }
    for (int64_t i = 0; d && i < batch; i++)
        for (int64_t j = 0; j < batch; j++) {
            if (i == j)
                continue;
            /* of the distance: its own term, and its share of the mean */
            const double g =
                ((double)p.g[i * batch + j] / ms - sum / (ms * ms * n)) * (double)weight / n;
            const double k = g / (double)p.s[i * batch + j];
            for (int64_t q = 0; q < dim; q++) {
                const float v = (float)(k * ((double)p.u[i * dim + q] - (double)p.u[j * dim + q]));
                p.du[i * dim + q] += v;
                p.du[j * dim + q] -= v;
            }
        }
    if (d)
        through_unit(&p, batch, dim, d);
    return loss / n * (double)weight;
}

double tr_triplet_loss(bool angle, int64_t batch, int64_t dim, const float *x, const float *t,
                       const int32_t *labels, float weight, float *d, float *room)
{
    pairs p = open_pairs(batch, dim, x, room);
    double most = 1e-6, loss = 0, count = 0;
    for (int64_t i = 0; i < batch; i++)
        for (int64_t j = 0; j < batch; j++) {
            const double a =
                DV_MIN(DV_MAX(dot(p.u + i * dim, p.u + j * dim, dim), -1 + 1e-6), 1 - 1e-6);
            const double b =
                DV_MIN(DV_MAX(dot(t + i * dim, t + j * dim, dim), -1 + 1e-6), 1 - 1e-6);
            p.s[i * batch + j] = (float)(angle ? acos(a) : 2 - 2 * a);
            p.t[i * batch + j] = (float)(angle ? acos(b) : 2 - 2 * b);
        }
    for (int round = 0; round < 2; round++) /* the teacher's largest gap, then the loss */
        for (int64_t i = 0; i < batch; i++)
            for (int64_t j = 0; j < batch; j++) {
                if (i == j || labels[i] != labels[j])
                    continue;
                const double ap = (double)p.s[i * batch + j];
                int64_t best = -1;
                for (int64_t k = 0; k < batch; k++) {
                    const double an = (double)p.s[i * batch + k];
                    if (labels[k] != labels[i] && an > ap && an < ap + 0.35 &&
                        (best < 0 || an < (double)p.s[i * batch + best]))
                        best = k;
                }
                if (best < 0)
                    continue;
                const double gap =
                    DV_MAX((double)p.t[i * batch + best] - (double)p.t[i * batch + j], 0.0);
                if (round == 0) {
                    most = DV_MAX(most, gap);
                    continue;
                }
                const double v = ap - (double)p.s[i * batch + best] + 0.2 + 0.3 * gap / most;
                count++;
                if (v > 0) {
                    loss += v;
                    p.g[i * batch + j] += 1;
                    p.g[i * batch + best] -= 1;
                }
            }
    if (count == 0)
        return 0;
    for (int64_t i = 0; d && i < batch; i++)
        for (int64_t j = 0; j < batch; j++) {
            if (p.g[i * batch + j] == 0)
                continue;
            double slope = -2; /* of 2 - 2 cos */
            if (angle)
                slope = -1 / sin((double)p.s[i * batch + j]);
            const float k = (float)((double)p.g[i * batch + j] * slope * (double)weight / count);
            for (int64_t q = 0; q < dim; q++) {
                p.du[i * dim + q] += k * p.u[j * dim + q];
                p.du[j * dim + q] += k * p.u[i * dim + q];
            }
        }
    if (d)
        through_unit(&p, batch, dim, d);
    return loss / count * (double)weight;
}

void tr_adadistill(tr_head *h, int64_t batch, const float *x, const float *t, const int32_t *labels)
{
    const int64_t dim = h->dim;
    for (int64_t i = 0; i < batch; i++) {
        const float *a = x + i * dim, *b = t + i * dim;
        float *w = h->w->w + labels[i] * dim;
        const double xx = DV_MAX(sqrt(dot(a, a, dim)), 1e-12),
                     ww = DV_MAX(sqrt(dot(w, w, dim)), 1e-12);
        double k = dot(a, b, dim) / xx * dot(w, b, dim) / ww;
        k = DV_MIN(DV_MAX(k, 0.0), 1.0);
        for (int64_t j = 0; j < dim; j++)
            w[j] = (float)(k * (double)w[j] / ww + (1 - k) * (double)b[j]);
    }
}
