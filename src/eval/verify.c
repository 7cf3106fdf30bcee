/* SPDX-License-Identifier: Apache-2.0
 *
 * verify.c - accuracy over folds and the true-accept rate at a false-accept rate, the way
 * the LFW protocol and its successors are scored. Only distances come in, so that every
 * number can be recomputed by hand.
 */
#include "eval/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 400 /* thresholds 0.00, 0.01 .. 3.99 */
/* Squared distances of unit vectors end at 4; rounding may reach a little further. */
#define MAX_DIST (4.0 + 1e-4)

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

/* right[f * STEPS + i]: correct decisions in fold f at threshold i / 100. */
static void count_right(const dv_pairs *p, const double *dist, size_t *right)
{
    size_t per = p->n / p->folds;
    for (size_t k = 0; k < p->n; k++) {
        size_t *row = right + k / per * STEPS;
        for (int i = 0; i < STEPS; i++)
            row[i] += (dist[k] < i * 0.01) == p->pair[k].same;
    }
}

dmv_status dv_verify_score(const dv_pairs *p, const double *dist, dv_verify_result *r, dv_err *e)
{
    memset(r, 0, sizeof *r);
    if (p->folds < 2 || p->n == 0 || p->n % p->folds)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "%zu pairs in %zu folds: at least two folds of equal length are needed",
                       p->n, p->folds);
    size_t same = 0;
    for (size_t i = 0; i < p->n; i++) {
        same += p->pair[i].same;
        if (!(dist[i] >= 0 && dist[i] <= MAX_DIST))
            return dv_fail(e, DMV_ERR_ARGUMENT, "pair %zu: the distance %g is not in 0..4", i + 1,
                           dist[i]);
    }
    if (same == 0 || same == p->n)
        return dv_fail(e, DMV_ERR_ARGUMENT, "all pairs are %s: both kinds are needed",
                       same ? "of one person" : "of different people");
    size_t *right = dv_calloc(p->folds, STEPS * sizeof *right);
    double *accuracy = dv_calloc(p->folds, sizeof *accuracy);
    if (!right || !accuracy) {
        dv_free(right);
        dv_free(accuracy);
        return dv_nomem(e);
    }
    count_right(p, dist, right);
    size_t all[STEPS] = {0};
    for (size_t f = 0; f < p->folds; f++)
        for (int i = 0; i < STEPS; i++)
            all[i] += right[f * STEPS + i];
    double per = (double)(p->n / p->folds), sum = 0, squares = 0, thresholds = 0;
    for (size_t f = 0; f < p->folds; f++) {
        const size_t *row = right + f * STEPS;
        int best = 0;
        for (int i = 1; i < STEPS; i++)
            if (all[i] - row[i] > all[best] - row[best])
                best = i;
        accuracy[f] = (double)row[best] / per;
        sum += accuracy[f];
        thresholds += best * 0.01;
    }
    r->accuracy = sum / (double)p->folds;
    for (size_t f = 0; f < p->folds; f++)
        squares += (accuracy[f] - r->accuracy) * (accuracy[f] - r->accuracy);
    r->std = sqrt(squares / (double)p->folds);
    r->threshold = thresholds / (double)p->folds;
    dv_free(right);
    dv_free(accuracy);
    r->tar_1e2 = dv_tar_at_far(p, dist, 1e-2);
    r->tar_1e3 = dv_tar_at_far(p, dist, 1e-3);
    if (isnan(r->tar_1e2) || isnan(r->tar_1e3))
        return dv_nomem(e);
    return DMV_OK;
}
