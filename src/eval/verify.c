/* SPDX-License-Identifier: Apache-2.0
 *
 * verify.c - accuracy over folds and the true-accept rate at a false-accept rate, the way
 * the LFW protocol and its successors are scored. Only distances come in, so that every
 * number can be recomputed by hand.
 */
#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double dv_far_distance(const dv_pairs *p, const double *dist, double far_rate)
{
    size_t impostors = 0;
    for (size_t i = 0; i < p->n; i++)
        impostors += !p->pair[i].same;
    if (!impostors || !(far_rate >= 0))
        return NAN;
    double *list = dv_calloc(impostors, sizeof *list);
    if (!list)
        return NAN;
    for (size_t i = 0, k = 0; i < p->n; i++)
        if (!p->pair[i].same)
            list[k++] = dist[i];
    qsort(list, impostors, sizeof *list, by_value);
    /* 1e-9: 0.01 * 2900 is 28.999... in binary and means 29. */
    double want = floor(far_rate * (double)impostors + 1e-9);
    double t = want < (double)impostors ? list[(size_t)want] : INFINITY;
    dv_free(list);
    return t;
}

double dv_tar_at_far(const dv_pairs *p, const double *dist, double far_rate)
{
    size_t genuine = 0, accepted = 0;
    double t = dv_far_distance(p, dist, far_rate);
    for (size_t i = 0; i < p->n; i++) {
        genuine += p->pair[i].same;
        accepted += p->pair[i].same && dist[i] < t;
    }
    return genuine && !isnan(t) ? (double)accepted / (double)genuine : NAN;
}

dmv_status dv_verify_score(const dv_pairs *p, const double *dist, dv_verify_result *r, dv_err *e)
{
    static const double rates[] = {1e-2, 1e-3};
    dv_metrics m;
    memset(r, 0, sizeof *r);
    if (p->folds < 2 || p->n == 0 || p->n % p->folds)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "%zu pairs in %zu folds: at least two folds of equal length are needed",
                       p->n, p->folds);
    bool *same = dv_calloc(p->n, sizeof *same);
    uint32_t *fold = dv_calloc(p->n, sizeof *fold);
    dmv_status s = same && fold ? DMV_OK : dv_nomem(e);
    for (size_t i = 0; !s && i < p->n; i++) {
        same[i] = p->pair[i].same;
        fold[i] = (uint32_t)(i / (p->n / p->folds));
    }
    dv_trials t = {.dist = dist, .same = same, .fold = fold, .n = p->n, .folds = p->folds};
    if (!s)
        s = dv_metrics_make(&t, rates, DV_COUNT(rates), NULL, &m, e);
    dv_free(same);
    dv_free(fold);
    if (s)
        return s;
    *r = (dv_verify_result){m.accuracy, m.std, m.tar[0].tar, m.tar[1].tar, m.threshold};
    return DMV_OK;
}
