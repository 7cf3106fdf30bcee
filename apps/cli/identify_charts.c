/* SPDX-License-Identifier: Apache-2.0
 *
 * identify_charts.c - the charts of `domovoi eval identify`: the share found by rank (CMC), misses
 * against false alarms (DET), and rank 1 against the number of distractors.
 */
#include "identify.h"

#include <math.h>
#include <string.h>

#include "plot/plot.h"

#define BAND "Band: 95 % interval (Clopper-Pearson), taking the answers for independent."

bool ident_can_draw(const ident *v)
{
    const char *const paths[] = {v->cmc, v->det, v->growth};
    for (size_t i = 0; i < DV_COUNT(paths); i++) {
        size_t n = paths[i] ? strlen(paths[i]) : 0;
        if (!paths[i])
            continue;
        if (!dv_chart_available())
            return cli_error("this program was built without drawing: --cmc, --det and --growth "
                             "are not there"),
                   false;
        if (n < 5 ||
            (strcmp(paths[i] + n - 4, ".svg") != 0 && strcmp(paths[i] + n - 4, ".png") != 0))
            return cli_error("%s: charts end in .svg or .png", paths[i]), false;
    }
    if (v->det && !v->plan.open)
        return cli_error("--det needs strangers: --open, or --strangers with --people"), false;
    if (v->growth && !v->made && !cli_source_given(&v->distractor_from))
        return cli_error("--growth needs distractors"), false;
    return true;
}

static bool write_chart(const char *path, const dv_chart *chart)
{
    dv_err e = {0};
    if (!dv_chart_write(path, chart, &e))
        return true;
    cli_error("%s", e.msg);
    return false;
}

static const char *name_of(const ident *v, char buf[192])
{
    uint64_t n = v->plan.n_given + v->plan.n_made;
    const char *net = v->probes.pictures ? v->probes.emb.name : "given vectors";
    if (n)
        snprintf(buf, 192, "%.120s, %llu distractors", net, (unsigned long long)n);
    else
        snprintf(buf, 192, "%.120s", net);
    return buf;
}

static double twentieth_below(double y)
{
    return DV_MAX(0, floor(y * 20 - 0.5) / 20);
}

/* A band of 95 % (Clopper-Pearson) about each share. */
static void put_point(double *y, double *lo, double *hi, size_t hits, size_t mated)
{
    dv_interval i = dv_clopper_pearson((double)hits, (double)mated, 0.95);
    *y = (double)hits / (double)mated;
    *lo = i.lo;
    *hi = i.hi;
}

/* x and y, lo, hi of n points; NULL and a message without memory. */
static double *room(size_t n)
{
    double *p = dv_calloc(4 * n, sizeof *p);
    if (!p)
        cli_error("out of memory");
    return p;
}

static bool draw_cmc(const ident *v)
{
    const size_t n = v->plan.depth;
    char name[192];
    double *x = room(n), *y = x + n, *lo = y + n, *hi = lo + n;
    if (!x)
        return false;
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)i + 1;
        put_point(&y[i], &lo[i], &hi[i], v->r.hits[i], v->r.mated);
    }
    dv_series s = {.name = name_of(v, name), .x = x, .y = y, .n = n, .lo = lo, .hi = hi};
    dv_chart chart = {.title = "Cumulative matches",
                      .x_label = "rank",
                      .y_label = "share found",
                      .x_scale = DV_SCALE_LOG,
                      .x_lo = 1,
                      .x_hi = (double)DV_MAX(n, (size_t)2),
                      .y_lo = twentieth_below(lo[0]),
                      .y_hi = 1,
                      .series = &s,
                      .n_series = 1,
                      .note = BAND};
    bool ok = write_chart(v->cmc, &chart);
    dv_free(x);
    return ok;
}

static bool draw_growth(const ident *v)
{
    const ident_result *r = &v->r;
    size_t n = 0;
    char name[192];
    double *x = room(2 * IDENT_MAX_STEPS), *y = x + IDENT_MAX_STEPS, *lo = y + IDENT_MAX_STEPS,
           *hi = lo + IDENT_MAX_STEPS, *ten = hi + IDENT_MAX_STEPS;
    if (!x)
        return false;
    for (size_t i = 0; i < r->n_steps; i++) {
        if (r->step[i].n == 0) /* has no place on the log axis */
            continue;
        x[n] = (double)r->step[i].n;
        put_point(&y[n], &lo[n], &hi[n], r->step[i].rank1, r->mated);
        ten[n++] = (double)r->step[i].rank10 / (double)r->mated;
    }
    snprintf(name, sizeof name, "%.120s, rank 1",
             v->probes.pictures ? v->probes.emb.name : "given vectors");
    dv_series s[] = {{.name = name, .x = x, .y = y, .n = n, .lo = lo, .hi = hi},
                     {.name = "rank 10", .x = x, .y = ten, .n = n}};
    dv_chart chart = {.title = "Finding people among strangers",
                      .x_label = "distractors",
                      .y_label = "share found",
                      .x_scale = DV_SCALE_LOG,
                      .y_lo = twentieth_below(lo[n - 1]),
                      .y_hi = 1,
                      .series = s,
                      .n_series = v->plan.depth >= 10 ? 2 : 1,
                      .note = BAND};
    bool ok = write_chart(v->growth, &chart);
    dv_free(x);
    return ok;
}

static bool draw_det(const ident *v)
{
    const ident_result *r = &v->r;
    dv_err e = {0};
    dv_open_curve c;
    char name[192], alone[224], first[224];
    if (dv_open_curve_make(r->answer, r->n, &c, &e))
        return cli_error("%s", e.msg), false;
    double strangers = (double)(r->n - r->mated), least = 0.5 / (double)r->mated;
    /* On a log axis 0 has no place: it is drawn at half of one. */
    for (size_t i = 0; i < c.n; i++) {
        c.fpir[i] = DV_MAX(c.fpir[i], 0.5 / strangers);
        c.fnir[i] = DV_MAX(c.fnir[i], least);
        c.fnir_rank1[i] = DV_MAX(c.fnir_rank1[i], least);
    }
    snprintf(alone, sizeof alone, "%s: mate below the threshold", name_of(v, name));
    snprintf(first, sizeof first, "%s: or not at rank 1", name);
    dv_series s[] = {{.name = alone, .x = c.fpir, .y = c.fnir, .n = c.n, .mark = DV_STEPS},
                     {.name = first, .x = c.fpir, .y = c.fnir_rank1, .n = c.n, .mark = DV_STEPS}};
    dv_chart chart = {.title = "Open set",
                      .x_label = "false positive identification rate",
                      .y_label = "false negative identification rate",
                      .x_scale = DV_SCALE_LOG,
                      .y_scale = DV_SCALE_LOG,
                      .series = s,
                      .n_series = 2};
    bool ok = write_chart(v->det, &chart);
    dv_open_curve_free(&c);
    return ok;
}

bool ident_draw(const ident *v)
{
    return (!v->cmc || draw_cmc(v)) && (!v->growth || draw_growth(v)) && (!v->det || draw_det(v));
}
