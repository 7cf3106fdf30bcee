/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.c - pairs are sorted by distance once; a sweep over them with weights gives ROC, EER,
 * AUC and the TAR at all rates together, for the list itself (weights 1) and for every round of
 * the bootstrap.
 */
#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Squared distances of unit vectors end at 4; rounding may reach a little further. */
#define MAX_DIST (4.0 + 1e-4)
#define COARSE 400 /* thresholds by 0.01, for the accuracy */
#define FINE 4000  /* by 0.001, for TAR a fold */

dmv_status dv_trials_check(const dv_trials *t, dv_err *e)
{
    size_t same = 0;
    if (t->folds < 2 || t->n == 0)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%zu pairs in %zu folds: at least two folds are needed",
                       t->n, t->folds);
    for (size_t i = 0; i < t->n; i++) {
        same += t->same[i];
        if (!(t->dist[i] >= 0 && t->dist[i] <= MAX_DIST))
            return dv_fail(e, DMV_ERR_ARGUMENT, "pair %zu: the distance %g is not in 0..4", i + 1,
                           t->dist[i]);
        if (t->fold[i] >= t->folds)
            return dv_fail(e, DMV_ERR_ARGUMENT, "pair %zu: fold %u of %zu", i + 1, t->fold[i] + 1,
                           t->folds);
    }
    if (same == 0 || same == t->n)
        return dv_fail(e, DMV_ERR_ARGUMENT, "all pairs are %s: both kinds are needed",
                       same ? "of one person" : "of different people");
    return DMV_OK;
}

/* ---- sorted once ---- */

typedef struct row {
    double dist;
    uint32_t pair;
    bool same;
} place;

typedef struct sorted {
    place *rows;
    double *weight; /* a row */
    size_t n;
} sorted;

static int by_dist(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return (x->dist > y->dist) - (x->dist < y->dist);
}

static dmv_status sort_trials(const dv_trials *t, sorted *s, dv_err *e)
{
    s->n = t->n;
    s->rows = dv_calloc(t->n, sizeof *s->rows);
    s->weight = dv_calloc(t->n, sizeof *s->weight);
    if (!s->rows || !s->weight || t->n > UINT32_MAX) {
        dv_free(s->rows);
        dv_free(s->weight);
        return dv_nomem(e);
    }
    for (size_t i = 0; i < t->n; i++) {
        s->rows[i] = (place){t->dist[i], (uint32_t)i, t->same[i]};
        s->weight[i] = 1;
    }
    qsort(s->rows, t->n, sizeof *s->rows, by_dist);
    return DMV_OK;
}

static void sorted_free(sorted *s)
{
    dv_free(s->rows);
    dv_free(s->weight);
}

typedef struct figures {
    double eer, eer_dist, auc;
    double tar[DV_MAX_RATES], dist[DV_MAX_RATES];
} figures;

/* All figures of the weighted list in one pass; false if one kind has no weight. roc, where
 * given, gets the points and must have room for n + 1. */
static bool sweep(const sorted *s, const double *rates, size_t n_rates, figures *f, dv_roc *roc)
{
    double genuine = 0, impostors = 0, g = 0, im = 0, area = 0;
    double want[DV_MAX_RATES];
    bool found[DV_MAX_RATES] = {false};
    double fmr0 = 0, fnmr0 = 1, dist0 = 0;
    bool crossed = false;
    for (size_t i = 0; i < s->n; i++)
        *(s->rows[i].same ? &genuine : &impostors) += s->weight[i];
    if (genuine == 0 || impostors == 0)
        return false;
    for (size_t k = 0; k < n_rates; k++) {
        /* 1e-9: 0.01 * 2900 is 28.999... in binary and means 29. */
        want[k] = floor(rates[k] * impostors + 1e-9);
        f->tar[k] = 1;
        f->dist[k] = INFINITY;
    }
    if (roc) {
        roc->dist[0] = 0;
        roc->fmr[0] = 0;
        roc->fnmr[0] = 1;
        roc->n = 1;
    }
    for (size_t i = 0; i < s->n;) {
        double d = s->rows[i].dist, dg = 0, di = 0;
        for (; i < s->n && s->rows[i].dist == d; i++)
            *(s->rows[i].same ? &dg : &di) += s->weight[i];
        for (size_t k = 0; di > 0 && k < n_rates; k++)
            if (!found[k] && im + di > want[k]) {
                found[k] = true;
                f->tar[k] = g / genuine;
                f->dist[k] = d;
            }
        area += di * (g + dg / 2);
        g += dg;
        im += di;
        double fmr = im / impostors, fnmr = 1 - g / genuine;
        if (!crossed && fmr >= fnmr) {
            double above = fnmr0 - fmr0, share = above / (above + (fmr - fnmr));
            f->eer = fmr0 + share * (fmr - fmr0);
            f->eer_dist = dist0 + share * (d - dist0);
            crossed = true;
        }
        fmr0 = fmr;
        fnmr0 = fnmr;
        dist0 = d;
        if (roc) {
            roc->dist[roc->n] = d;
            roc->fmr[roc->n] = fmr;
            roc->fnmr[roc->n++] = fnmr;
        }
    }
    f->auc = area / (genuine * impostors);
    return true;
}

dmv_status dv_roc_make(const dv_trials *t, dv_roc *out, dv_err *e)
{
    sorted s = {0};
    figures f = {0};
    memset(out, 0, sizeof *out);
    dmv_status st = dv_trials_check(t, e);
    if (!st)
        st = sort_trials(t, &s, e);
    if (st)
        return st;
    out->dist = dv_calloc(t->n + 1, sizeof *out->dist);
    out->fmr = dv_calloc(t->n + 1, sizeof *out->fmr);
    out->fnmr = dv_calloc(t->n + 1, sizeof *out->fnmr);
    if (!out->dist || !out->fmr || !out->fnmr) {
        dv_roc_free(out);
        st = dv_nomem(e);
    } else {
        sweep(&s, NULL, 0, &f, out);
    }
    sorted_free(&s);
    return st;
}

void dv_roc_free(dv_roc *r)
{
    dv_free(r->dist);
    dv_free(r->fmr);
    dv_free(r->fnmr);
    memset(r, 0, sizeof *r);
}

/* ---- folds ---- */

/* below[f * (STEPS + 1) + i]: pairs of one kind in fold f with dist < i * step; the last entry
 * holds all of them. */
static void count_below(const dv_trials *t, bool same, int steps, double step, size_t *below)
{
    for (size_t k = 0; k < t->n; k++) {
        if (t->same[k] != same)
            continue;
        size_t *one = below + t->fold[k] * ((size_t)steps + 1);
        int i = (int)(t->dist[k] / step);
        i = DV_MIN(DV_MAX(i, 0), steps);
        while (i > 0 && t->dist[k] < (i - 1) * step)
            i--;
        while (i < steps && !(t->dist[k] < i * step))
            i++;
        one[i]++; /* the first threshold that accepts it, steps = none */
    }
    for (size_t f = 0; f < t->folds; f++) {
        size_t *one = below + f * ((size_t)steps + 1);
        for (int i = 1; i <= steps; i++)
            one[i] += one[i - 1];
    }
}

static void accuracy_of_folds(const dv_trials *t, const size_t *gen, const size_t *imp,
                              double *accuracy, dv_metrics *m)
{
    size_t all[COARSE] = {0};
    double squares = 0, folds = (double)t->folds;
    const size_t row = COARSE + 1;
    for (size_t f = 0; f < t->folds; f++)
        for (int i = 0; i < COARSE; i++)
            all[i] += gen[f * row + i] + imp[f * row + COARSE] - imp[f * row + i];
    m->accuracy = m->threshold = 0;
    for (size_t f = 0; f < t->folds; f++) {
        const size_t *g = gen + f * row, *im = imp + f * row;
        int best = 0;
#define RIGHT(i) (g[i] + im[COARSE] - im[i])
        for (int i = 1; i < COARSE; i++)
            if (all[i] - RIGHT(i) > all[best] - RIGHT(best))
                best = i;
        accuracy[f] = (double)RIGHT(best) / (double)(g[COARSE] + im[COARSE]);
#undef RIGHT
        m->accuracy += accuracy[f];
        m->threshold += best * 0.01;
    }
    m->accuracy /= folds;
    m->threshold /= folds;
    for (size_t f = 0; f < t->folds; f++)
        squares += (accuracy[f] - m->accuracy) * (accuracy[f] - m->accuracy);
    m->std = sqrt(squares / folds);
}

/* The threshold where the rate on the folds other than f meets `far`. */
static double meeting(const size_t *all, const size_t *own, double far)
{
    double total = (double)(all[FINE] - own[FINE]);
#define RATE(i) ((double)(all[i] - own[i]) / total)
    int last = 0;
    while (last + 1 < FINE && RATE(last + 1) <= far)
        last++;
    double a = RATE(last), ta = last * 0.001;
    if (a == far)
        return ta;
    if (last + 1 == FINE || a > far)
        return 0; /* never met */
    double b = RATE(last + 1), tb = (last + 1) * 0.001;
#undef RATE
    return ta + (far - a) * (tb - ta) / (b - a);
}

static bool tar_of_folds(const dv_trials *t, const size_t *gen, const size_t *imp, dv_tar *o)
{
    const size_t row = FINE + 1;
    size_t *all = dv_calloc(row, sizeof *all);
    double *tar = dv_calloc(t->folds, sizeof *tar), sum = 0, far = 0, squares = 0;
    bool ok = all && tar, both = true;
    for (size_t f = 0; ok && f < t->folds; f++) {
        for (size_t i = 0; i < row; i++)
            all[i] += imp[f * row + i];
        both &= gen[f * row + FINE] > 0 && imp[f * row + FINE] > 0;
    }
    o->fold_tar = o->fold_std = o->fold_far = NAN;
    for (size_t f = 0; ok && both && f < t->folds; f++) {
        double at = meeting(all, imp + f * row, o->far);
        size_t g = 0, im = 0;
        for (size_t k = 0; k < t->n; k++)
            if (t->fold[k] == f && t->dist[k] < at)
                *(t->same[k] ? &g : &im) += 1;
        tar[f] = (double)g / (double)gen[f * row + FINE];
        far += (double)im / (double)imp[f * row + FINE];
        sum += tar[f];
    }
    if (ok && both) {
        o->fold_tar = sum / (double)t->folds;
        o->fold_far = far / (double)t->folds;
        for (size_t f = 0; f < t->folds; f++)
            squares += (tar[f] - o->fold_tar) * (tar[f] - o->fold_tar);
        o->fold_std = sqrt(squares / (double)t->folds);
    }
    dv_free(all);
    dv_free(tar);
    return ok;
}

static dmv_status folds(const dv_trials *t, dv_metrics *m, dv_err *e)
{
    size_t cells;
    if (!dv_mul(t->folds, FINE + 1, &cells))
        return dv_nomem(e);
    size_t *gen = dv_calloc(cells, sizeof *gen), *imp = dv_calloc(cells, sizeof *imp);
    double *accuracy = dv_calloc(t->folds, sizeof *accuracy);
    bool ok = gen && imp && accuracy;
    dmv_status s = DMV_OK;
    if (ok) {
        count_below(t, true, COARSE, 0.01, gen);
        count_below(t, false, COARSE, 0.01, imp);
        for (size_t f = 0; f < t->folds && !s; f++)
            if (gen[f * (COARSE + 1) + COARSE] + imp[f * (COARSE + 1) + COARSE] == 0)
                s = dv_fail(e, DMV_ERR_ARGUMENT, "fold %zu of %zu has no pairs", f + 1, t->folds);
        if (!s)
            accuracy_of_folds(t, gen, imp, accuracy, m);
        memset(gen, 0, cells * sizeof *gen);
        memset(imp, 0, cells * sizeof *imp);
        count_below(t, true, FINE, 0.001, gen);
        count_below(t, false, FINE, 0.001, imp);
        for (size_t k = 0; ok && !s && k < m->n_tar; k++)
            ok = tar_of_folds(t, gen, imp, &m->tar[k]);
    }
    dv_free(gen);
    dv_free(imp);
    dv_free(accuracy);
    return s ? s : ok ? DMV_OK : dv_nomem(e);
}

/* ---- bootstrap ---- */

uint64_t dv_splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static dv_interval ends(double *v, size_t n)
{
    if (n == 0)
        return (dv_interval){NAN, NAN};
    qsort(v, n, sizeof *v, by_value);
    size_t hi = (size_t)ceil(0.975 * (double)n);
    return (dv_interval){v[(size_t)floor(0.025 * (double)n)], v[hi ? hi - 1 : 0]};
}

/* Whether the people fit the pairs: one person on both sides exactly in genuine pairs. */
static bool people_fit(const dv_trials *t)
{
    if (!t->a || !t->b || t->people == 0 || t->people > UINT32_MAX)
        return false;
    for (size_t i = 0; i < t->n; i++)
        if (t->a[i] >= t->people || t->b[i] >= t->people || (t->a[i] == t->b[i]) != t->same[i])
            return false;
    return true;
}

static void draw(const dv_trials *t, const dv_metrics *m, uint64_t *state, uint32_t *times,
                 sorted *s)
{
    size_t n = m->by_people ? t->people : t->n;
    memset(times, 0, n * sizeof *times);
    for (size_t i = 0; i < n; i++)
        times[(dv_splitmix(state) >> 32) * n >> 32]++;
    for (size_t i = 0; i < s->n; i++) {
        uint32_t p = s->rows[i].pair;
        if (!m->by_people)
            s->weight[i] = times[p];
        else if (s->rows[i].same)
            s->weight[i] = times[t->a[p]];
        else
            s->weight[i] = (double)times[t->a[p]] * times[t->b[p]];
    }
}

static dmv_status intervals(const dv_trials *t, const double *rates, const dv_bootstrap *boot,
                            sorted *s, dv_metrics *m, dv_err *e)
{
    size_t columns = m->n_tar + 2, cells;
    uint32_t *times = dv_calloc(DV_MAX(t->people, t->n), sizeof *times);
    double *v = dv_mul(columns, boot->rounds, &cells) ? dv_calloc(cells, sizeof *v) : NULL;
    if (!times || !v) {
        dv_free(times);
        dv_free(v);
        return dv_nomem(e);
    }
    uint64_t state = boot->seed;
    m->by_people = people_fit(t);
    for (size_t r = 0; r < boot->rounds; r++) {
        figures f = {0};
        draw(t, m, &state, times, s);
        if (!sweep(s, rates, m->n_tar, &f, NULL))
            continue; /* one kind is missing in this round */
        for (size_t k = 0; k < m->n_tar; k++)
            v[k * boot->rounds + m->rounds] = f.tar[k];
        v[m->n_tar * boot->rounds + m->rounds] = f.eer;
        v[(m->n_tar + 1) * boot->rounds + m->rounds] = f.auc;
        m->rounds++;
    }
    for (size_t k = 0; k < m->n_tar; k++)
        m->tar[k].ci = ends(v + k * boot->rounds, m->rounds);
    m->eer_ci = ends(v + m->n_tar * boot->rounds, m->rounds);
    m->auc_ci = ends(v + (m->n_tar + 1) * boot->rounds, m->rounds);
    dv_free(times);
    dv_free(v);
    return DMV_OK;
}

dmv_status dv_metrics_make(const dv_trials *t, const double *rates, size_t n_rates,
                           const dv_bootstrap *boot, dv_metrics *out, dv_err *e)
{
    sorted s = {0};
    figures f = {0};
    memset(out, 0, sizeof *out);
    if (n_rates > DV_MAX_RATES)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%zu rates: at most %d", n_rates, DV_MAX_RATES);
    for (size_t k = 0; k < n_rates; k++)
        if (!(rates[k] >= 0 && rates[k] <= 1))
            return dv_fail(e, DMV_ERR_ARGUMENT, "a rate of %g: 0 to 1", rates[k]);
    dmv_status st = dv_trials_check(t, e);
    if (!st)
        st = sort_trials(t, &s, e);
    if (st)
        return st;
    sweep(&s, rates, n_rates, &f, NULL);
    for (size_t i = 0; i < t->n; i++)
        *(t->same[i] ? &out->genuine : &out->impostors) += 1;
    out->n_tar = n_rates;
    for (size_t k = 0; k < n_rates; k++)
        out->tar[k] = (dv_tar){
            .far = rates[k],
            .dist = f.dist[k],
            .tar = f.tar[k],
            .passed = (size_t)floor(rates[k] * (double)out->impostors + 1e-9),
            .ci = {NAN, NAN},
        };
    out->eer = f.eer;
    out->eer_dist = f.eer_dist;
    out->auc = f.auc;
    out->eer_ci = out->auc_ci = (dv_interval){NAN, NAN};
    st = folds(t, out, e);
    if (!st && boot && boot->rounds)
        st = intervals(t, rates, boot, &s, out, e);
    sorted_free(&s);
    return st;
}

/* ---- one rate ---- */

/* log of the binomial term n over i, p^i (1 - p)^(n - i). */
static double term(double n, double i, double p)
{
    return lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) + i * log(p) + (n - i) * log1p(-p);
}

/* The chance of at least k of n at p, 0 < p < 1, 0 < k <= n: summed from k away from the mean of
 * the terms, so that it stops soon. */
static double at_least(double k, double n, double p)
{
    double sum = 0, ratio = p / (1 - p);
    if (k > n * p) { /* upward: the terms fall */
        double x = exp(term(n, k, p));
        for (double i = k; i <= n && x > sum * 1e-17; i++) {
            sum += x;
            x *= (n - i) / (i + 1) * ratio;
        }
        return DV_MIN(sum, 1);
    }
    double x = exp(term(n, k - 1, p)); /* downward from k - 1 */
    for (double i = k - 1; i >= 0 && x > sum * 1e-17; i--) {
        sum += x;
        x *= i / (n - i + 1) / ratio;
    }
    return DV_MAX(1 - sum, 0);
}

/* The p at which at least k of n have the chance `want`. */
static double solve(double k, double n, double want)
{
    double lo = 0, hi = 1;
    for (int i = 0; i < 200 && hi - lo > 1e-15 * hi; i++) {
        double p = lo > 0 ? (lo + hi) / 2 : hi / 2;
        if (at_least(k, n, p) < want)
            lo = p;
        else
            hi = p;
    }
    return (lo + hi) / 2;
}

dv_interval dv_clopper_pearson(double k, double n, double level)
{
    double tail = (1 - level) / 2;
    if (!(n > 0) || !(k >= 0 && k <= n) || !(level > 0 && level < 1))
        return (dv_interval){NAN, NAN};
    if (k == 0)
        return (dv_interval){0, -expm1(log(1 - level) / n)};
    if (k == n)
        return (dv_interval){exp(log(1 - level) / n), 1};
    return (dv_interval){solve(k, n, tail), solve(k + 1, n, 1 - tail)};
}
