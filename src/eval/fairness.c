/* SPDX-License-Identifier: Apache-2.0
 *
 * fairness.c - false matches and false non-matches by group, with intervals.
 */
#include "eval/fairness.h"

#include <math.h>
#include <string.h>

#include "eval/metrics.h"

dmv_status dv_fairness_open(dv_fairness *f, size_t groups, dv_err *e)
{
    memset(f, 0, sizeof *f);
    f->n = groups;
    f->group = dv_calloc(groups + 1, sizeof *f->group);
    return f->group ? DMV_OK : dv_nomem(e);
}

void dv_fairness_free(dv_fairness *f)
{
    dv_free(f->group);
    memset(f, 0, sizeof *f);
}

static void count(dv_group *g, bool same, bool accepted)
{
    dv_rate *r = same ? &g->fnmr : &g->fmr;
    r->pairs++;
    r->errors += same != accepted;
}

void dv_fairness_add(dv_fairness *f, uint32_t a, uint32_t b, bool same, bool accepted)
{
    count(&f->all, same, accepted);
    if (a == DV_NO_GROUP || b == DV_NO_GROUP)
        f->unlabelled++;
    else
        count(&f->group[a == b ? a : f->n], same, accepted);
}

static void finish(dv_rate *r, double least)
{
    r->rate = r->pairs ? (double)r->errors / (double)r->pairs : NAN;
    r->ci = r->pairs ? dv_clopper_pearson((double)r->errors, (double)r->pairs, 0.95)
                     : (dv_interval){NAN, NAN};
    r->small = (double)r->pairs < least;
}

static const dv_rate *rate_of(const dv_fairness *f, size_t i, bool fmr)
{
    return fmr ? &f->group[i].fmr : &f->group[i].fnmr;
}

static dv_spread spread(const dv_fairness *f, bool fmr)
{
    dv_spread s = {SIZE_MAX, SIZE_MAX, NAN};
    size_t enough = 0;
    for (size_t i = 0; i < f->n; i++) {
        const dv_rate *r = rate_of(f, i, fmr);
        if (r->small || !r->pairs)
            continue;
        if (!enough++)
            s.worst = s.best = i;
        if (r->rate > rate_of(f, s.worst, fmr)->rate)
            s.worst = i;
        if (r->rate < rate_of(f, s.best, fmr)->rate)
            s.best = i;
    }
    if (enough < 2)
        return (dv_spread){SIZE_MAX, SIZE_MAX, NAN};
    double worst = rate_of(f, s.worst, fmr)->rate, best = rate_of(f, s.best, fmr)->rate;
    if (worst > 0)
        s.ratio = best > 0 ? worst / best : INFINITY;
    return s;
}

void dv_fairness_end(dv_fairness *f, double fmr)
{
    double least = fmr > 0 ? DV_MAX(3 / fmr * (1 - 1e-9), (double)DV_FAIR_MIN) : DV_FAIR_MIN;
    for (size_t i = 0; i <= f->n; i++) {
        finish(&f->group[i].fmr, least);
        finish(&f->group[i].fnmr, DV_FAIR_MIN);
    }
    finish(&f->all.fmr, least);
    finish(&f->all.fnmr, DV_FAIR_MIN);
    f->fmr = spread(f, true);
    f->fnmr = spread(f, false);
}
