/* SPDX-License-Identifier: Apache-2.0
 *
 * calibrate.c - see calibrate.h. Only the highest scores matter for a threshold, so that millions
 * of comparisons need no more memory than those that may pass.
 */
#include "eval/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL 0.95
#define ENOUGH 3 /* comparisons that may pass; with none the upper end is about 3/N */

bool dv_top_open(dv_top *t, size_t cap)
{
    *t = (dv_top){.cap = cap};
    t->v = dv_calloc(DV_MAX(cap, 1), sizeof *t->v);
    return t->v != NULL;
}

void dv_top_free(dv_top *t)
{
    dv_free(t->v);
    memset(t, 0, sizeof *t);
}

/* The smallest of those kept is at the root. */
void dv_top_add(dv_top *t, float v)
{
    t->seen++;
    if (t->n < t->cap) {
        size_t i = t->n++;
        for (; i > 0 && t->v[(i - 1) / 2] > v; i = (i - 1) / 2)
            t->v[i] = t->v[(i - 1) / 2];
        t->v[i] = v;
        return;
    }
    if (t->cap == 0 || !(v > t->v[0]))
        return;
    size_t i = 0;
    for (;;) {
        size_t k = 2 * i + 1;
        if (k + 1 < t->n && t->v[k + 1] < t->v[k])
            k++;
        if (k >= t->n || t->v[k] >= v)
            break;
        t->v[i] = t->v[k];
        i = k;
    }
    t->v[i] = v;
}

static int falling(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

void dv_top_sort(dv_top *t)
{
    qsort(t->v, t->n, sizeof *t->v, falling);
}

static size_t may_pass(double rate, size_t n)
{
    return (size_t)floor(rate * (double)n + 1e-9);
}

size_t dv_top_needed(double rate, size_t n)
{
    return DV_MIN(may_pass(rate, n) + 1, n);
}

dmv_status dv_calibrate(const dv_top *im, const float *genuine, size_t n_genuine, double rate,
                        dv_calibration *out, dv_err *e)
{
    memset(out, 0, sizeof *out);
    if (!(rate > 0 && rate < 1))
        return dv_fail(e, DMV_ERR_ARGUMENT, "a false-match rate of %g: above 0 and below 1", rate);
    if (im->seen == 0)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no comparisons of different people");
    if (im->n < dv_top_needed(rate, im->seen))
        return dv_fail(e, DMV_ERR_ARGUMENT, "too few scores were kept for a rate of %g", rate);
    size_t pass = may_pass(rate, im->seen);
    out->asked = rate;
    out->supported = pass >= ENOUGH;
    if (!out->supported)
        pass = 0;
    /* Just above the first that may not pass, also as the float that a model file keeps. */
    out->threshold = ceil(((double)im->v[pass] + 1e-9) * 1e4) / 1e4;
    if ((float)out->threshold <= im->v[pass])
        out->threshold = (round(out->threshold * 1e4) + 1) / 1e4;
    if (out->threshold > 1)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "no threshold reaches a rate of %g: pictures of different people are alike "
                       "in every number",
                       rate);
    float at = (float)out->threshold;
    while (out->accepted < im->n && im->v[out->accepted] >= at)
        out->accepted++;
    out->fmr = (double)out->accepted / (double)im->seen;
    out->fmr_ci = dv_clopper_pearson((double)out->accepted, (double)im->seen, LEVEL);
    out->stated = out->supported ? rate : out->fmr_ci.hi;
    for (size_t i = 0; i < n_genuine; i++)
        out->rejected += genuine[i] < at;
    out->fnmr = n_genuine ? (double)out->rejected / (double)n_genuine : NAN;
    out->fnmr_ci = dv_clopper_pearson((double)out->rejected, (double)n_genuine, LEVEL);
    return DMV_OK;
}
