/* SPDX-License-Identifier: Apache-2.0
 *
 * verify_charts.c - the pictures of `domovoi eval verify`: ROC, DET and the histogram of
 * similarities, all nets of the run in one chart.
 */
#include "verify.h"

#include <math.h>
#include <string.h>

#include "plot/plot.h"

#define BINS 100 /* of the histogram, similarity -1 .. 1 */

bool verify_can_draw(const verify *v)
{
    const char *const paths[] = {v->a.roc, v->a.det, v->a.hist};
    for (size_t i = 0; i < DV_COUNT(paths); i++) {
        size_t n = paths[i] ? strlen(paths[i]) : 0;
        if (!paths[i])
            continue;
        if (!dv_chart_available())
            return cli_error("this program was built without drawing: --roc, --det and --hist are "
                             "not there"),
                   false;
        if (n < 5 ||
            (strcmp(paths[i] + n - 4, ".svg") != 0 && strcmp(paths[i] + n - 4, ".png") != 0))
            return cli_error("%s: charts end in .svg or .png", paths[i]), false;
    }
    return true;
}

/* Points of a curve that can be told apart: at most some thousand of millions. It begins where the
 * first impostor is about to pass; a rate of 0 stands at the left end of the log axis. */
static size_t thin(const dv_roc *r, double least, double *x, double *y)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        double fmr = DV_MAX(r->fmr[i], least), miss = r->fnmr[i];
        if (r->fmr[i] == 0 && i + 1 < r->n && r->fmr[i + 1] == 0)
            continue;
        if (n && i + 1 < r->n && fabs(log(fmr / x[n - 1])) < 2e-3 && fabs(miss - y[n - 1]) < 2e-4)
            continue;
        x[n] = fmr;
        y[n++] = miss;
    }
    return n;
}

typedef struct curves {
    dv_series series[CLI_MAX_TEXTS * 2];
    double *data[CLI_MAX_TEXTS * 4];
    char label[CLI_MAX_TEXTS * 2][192];
    size_t n, n_data;
} curves;

static double *room(curves *c, size_t n)
{
    double *p = dv_calloc(n, sizeof *p);
    if (p)
        c->data[c->n_data++] = p;
    else
        cli_error("out of memory");
    return p;
}

static void free_curves(curves *c)
{
    for (size_t i = 0; i < c->n_data; i++)
        dv_free(c->data[i]);
    dv_free(c);
}

static bool write_chart(const char *path, const dv_chart *chart)
{
    dv_err e = {0};
    if (!dv_chart_write(path, chart, &e))
        return true;
    cli_error("%s", e.msg);
    return false;
}

/* The rates below 1 / impostors cannot be measured; the axis begins at a power of ten there. */
static double left_end(const verify *v)
{
    double most = 10;
    for (size_t i = 0; i < v->n_runs; i++)
        most = DV_MAX(most, (double)v->run[i].x.impostors);
    return pow(10, -ceil(log10(most)));
}

static bool draw_curves(const verify *v, bool det, const char *path)
{
    curves *c = dv_calloc(1, sizeof *c);
    double left = left_end(v);
    bool ok = c != NULL;
    if (!ok)
        cli_error("out of memory");
    for (size_t i = 0; ok && i < v->n_runs; i++) {
        const verify_run *r = &v->run[i];
        dv_roc roc = {0};
        dv_err e = {0};
        if (dv_roc_make(&r->trials, &roc, &e)) {
            cli_error("%s", e.msg);
            ok = false;
            break;
        }
        double *x = room(c, roc.n), *y = x ? room(c, roc.n) : NULL;
        ok = y != NULL;
        if (ok) {
            size_t n = thin(&roc, left, x, y);
            /* On a log axis no miss at all has no place: it is drawn at half of one. */
            for (size_t k = 0; k < n; k++)
                y[k] = det ? DV_MAX(y[k], 0.5 / (double)r->x.genuine) : 1 - y[k];
            snprintf(c->label[c->n], sizeof c->label[0], "%.120s, EER %.2f%%", r->m.name,
                     100 * r->x.eer);
            c->series[c->n] =
                (dv_series){.name = c->label[c->n], .x = x, .y = y, .n = n, .mark = DV_LINES};
            c->n++;
        }
        dv_roc_free(&roc);
    }
    if (ok) {
        char title[256];
        snprintf(title, sizeof title, "%s: %.160s", det ? "Detection error trade-off" : "ROC",
                 cli_base_name(v->a.pairs));
        dv_chart chart = {
            .title = title,
            .x_label = "false match rate",
            .y_label = det ? "false non-match rate" : "true accept rate",
            .x_scale = DV_SCALE_LOG,
            .y_scale = det ? DV_SCALE_LOG : DV_SCALE_LINEAR,
            .x_lo = left,
            .x_hi = 1,
            .series = c->series,
            .n_series = c->n,
        };
        if (!det)
            chart.y_hi = 1;
        double low = 1;
        for (size_t i = 0; !det && i < c->n; i++)
            low = DV_MIN(low, c->series[i].y[0]);
        if (!det)
            chart.y_lo = DV_MAX(0, floor(low * 20 - 0.5) / 20);
        ok = write_chart(path, &chart);
    }
    if (c)
        free_curves(c);
    return ok;
}

static bool draw_histogram(const verify *v, const char *path)
{
    curves *c = dv_calloc(1, sizeof *c);
    bool ok = c != NULL;
    double lowest = 0.9; /* tenths below the lowest similarity */
    if (!ok)
        cli_error("out of memory");
    for (size_t i = 0; i < v->n_runs; i++)
        for (size_t k = 0; k < v->run[i].trials.n; k++)
            lowest = DV_MIN(lowest, 1 - v->run[i].dist[k] / 2);
    lowest = floor(lowest * 10 - 1e-6) / 10;
    for (size_t i = 0; ok && i < v->n_runs; i++)
        for (int same = 0; ok && same < 2; same++) {
            const verify_run *r = &v->run[i];
            double *x = room(c, BINS), *y = x ? room(c, BINS) : NULL;
            double total = (double)(same ? r->x.genuine : r->x.impostors);
            ok = y != NULL;
            bool steps = v->n_runs > 1; /* from the left edge, areas by the middles */
            for (size_t k = 0; ok && k < BINS; k++)
                x[k] = -1 + (2 * (double)k + !steps) / BINS;
            for (size_t k = 0; ok && k < r->trials.n; k++) {
                double similarity = 1 - r->dist[k] / 2;
                int bin = (int)((similarity + 1) / 2 * BINS);
                if (r->same[k] == (same != 0))
                    y[DV_MIN(DV_MAX(bin, 0), BINS - 1)] += 100 / total;
            }
            if (!ok)
                break;
            snprintf(c->label[c->n], sizeof c->label[0], "%.120s, %s", r->m.name,
                     same ? "one person" : "two people");
            c->series[c->n] = (dv_series){.name = c->label[c->n],
                                          .x = x,
                                          .y = y,
                                          .n = BINS,
                                          .mark = steps ? DV_STEPS : DV_AREA};
            c->n++;
        }
    if (ok) {
        char title[256];
        snprintf(title, sizeof title, "Similarities: %.160s", cli_base_name(v->a.pairs));
        dv_chart chart = {.title = title,
                          .x_label = "cosine similarity",
                          .y_label = "share of the pairs, % in 0.02",
                          .x_lo = lowest,
                          .x_hi = 1,
                          .series = c->series,
                          .n_series = c->n};
        ok = write_chart(path, &chart);
    }
    if (c)
        free_curves(c);
    return ok;
}

bool verify_draw(const verify *v)
{
    return (!v->a.roc || draw_curves(v, false, v->a.roc)) &&
           (!v->a.det || draw_curves(v, true, v->a.det)) &&
           (!v->a.hist || draw_histogram(v, v->a.hist));
}
