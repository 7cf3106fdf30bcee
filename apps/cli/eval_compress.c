/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_compress.c - `domovoi eval compress`: nets on a list of pairs whose pictures went through
 * H.264 at several strengths, as those of an intercom do; and the time of each net on one core.
 */
#include "verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/exec.h"
#include "plot/plot.h"
#include "plot/report.h"
#ifdef DV_HAVE_VIDEO
#include "video/video.h"

#define MAX_LEVELS 8
#define TIMED_RUNS 40

typedef struct level {
    char name[24], words[64];
    int crf; /* -1: as they are */
    uint64_t bytes, pictures;
} level;

typedef struct cell { /* one net at one level */
    double accuracy, std, eer;
    dv_tar tar[DV_MAX_RATES];
} cell;

typedef struct work {
    verify *v;
    level levels[MAX_LEVELS];
    size_t n_levels;
    cell cells[CLI_MAX_TEXTS][MAX_LEVELS];
    char names[CLI_MAX_TEXTS][128];
    double ms[CLI_MAX_TEXTS]; /* of the net alone */
    size_t n_models;
} work;

static dmv_status through_h264(void *user, dv_picture *p, dv_err *e)
{
    level *l = user;
    dv_recompress_options o;
    dv_picture out;
    uint64_t bytes = 0;
    dv_recompress_options_init(&o);
    o.encode.crf = l->crf;
    o.encode.gop = 1;
    dmv_status st = dv_video_recompress(p, 1, &o, &out, &bytes, e);
    if (st)
        return st;
    dv_picture_free(p);
    *p = out;
    __atomic_add_fetch(&l->bytes, bytes, __ATOMIC_RELAXED);
    __atomic_add_fetch(&l->pictures, 1, __ATOMIC_RELAXED);
    return DMV_OK;
}

/* "weak=28,strong=40" */
static bool parse_levels(const char *s, work *w)
{
    w->levels[w->n_levels++] = (level){.name = "none", .crf = -1};
    while (*s) {
        const char *eq = strchr(s, '=');
        char *end;
        const size_t len = eq ? (size_t)(eq - s) : 0;
        const long crf = eq ? strtol(eq + 1, &end, 10) : -1;
        if (!eq || len == 0 || len >= sizeof w->levels[0].name || end == eq + 1 || crf < 0 ||
            crf > 51 || (*end && *end != ',') || w->n_levels == MAX_LEVELS)
            return cli_error(
                       "--levels %s: up to %d of NAME=CRF, commas between; CRF 0 (best) to 51", s,
                       MAX_LEVELS - 1),
                   false;
        level *l = &w->levels[w->n_levels++];
        *l = (level){.crf = (int)crf};
        memcpy(l->name, s, len);
        snprintf(l->words, sizeof l->words, "h264 crf %d", l->crf);
        s = *end ? end + 1 : end;
    }
    return true;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median time of one run, one thread. */
static bool time_net(const cli_common *o, const char *model, double *ms)
{
    cli_common one = *o;
    cli_net net;
    double t[TIMED_RUNS];
    one.threads = 1;
    const char *path = cli_need_model(model, "embed", "--model");
    if (!path || !cli_net_open(&net, &one, path, 0, 0))
        return false;
    for (int i = -5; i < TIMED_RUNS; i++) {
        const uint64_t start = dv_now_ns();
        dv_exec_run(net.x);
        if (i >= 0)
            t[i] = (double)(dv_now_ns() - start) * 1e-6;
    }
    qsort(t, TIMED_RUNS, sizeof *t, by_value);
    *ms = t[TIMED_RUNS / 2];
    cli_net_close(&net);
    return true;
}

static bool run_one(work *w, size_t m, size_t k)
{
    verify *v = w->v;
    const char *model = v->a.models.n ? v->a.models.v[m] : NULL;
    level *l = &w->levels[k];
    verify_run *r = &v->run[0];
    v->a.change = l->crf < 0 ? NULL : through_h264;
    v->a.change_user = l;
    v->a.change_words = l->words;
    const bool ok = verify_run_model(v, model, r);
    if (ok) {
        cell *c = &w->cells[m][k];
        c->accuracy = r->x.accuracy;
        c->std = r->x.std;
        c->eer = r->x.eer;
        memcpy(c->tar, r->x.tar, sizeof c->tar);
        snprintf(w->names[m], sizeof w->names[m], "%s", r->m.name);
    }
    verify_close_run(r);
    memset(r, 0, sizeof *r);
    return ok;
}

/* Bytes a picture, or NAN where all vectors came from the cache. */
static double bytes_of(const level *l)
{
    return l->pictures ? (double)l->bytes / (double)l->pictures : NAN;
}

static void level_text(const level *l, char *buf, size_t size)
{
    if (l->crf < 0)
        snprintf(buf, size, "as they are");
    else if (l->pictures)
        snprintf(buf, size, "%s (CRF %d, %.0f bytes a picture)", l->name, l->crf, bytes_of(l));
    else
        snprintf(buf, size, "%s (CRF %d)", l->name, l->crf);
}

static void print(const work *w)
{
    const verify_args *a = &w->v->a;
    if (a->o.json || a->o.quiet)
        return;
    for (size_t k = 0; k < w->n_levels; k++) {
        char text[96];
        level_text(&w->levels[k], text, sizeof text);
        printf("%s%s\n  %-28s %9s %8s %7s", k ? "\n" : "", text, "net", "ms a net", "accuracy",
               "EER");
        for (size_t i = 0; i < a->n_rates; i++)
            printf("  TAR@%-6g", a->rates[i]);
        printf("\n");
        for (size_t m = 0; m < w->n_models; m++) {
            const cell *c = &w->cells[m][k];
            printf("  ");
            int put = cli_put_text(w->names[m]);
            printf("%*s %9.3f %7.2f%% %6.2f%%", put < 28 ? 28 - put : 0, "", w->ms[m],
                   100 * c->accuracy, 100 * c->eer);
            for (size_t i = 0; i < a->n_rates; i++)
                printf("  %8.2f%%", 100 * c->tar[i].tar);
            printf("\n");
        }
    }
}

static void print_json(const work *w)
{
    const verify_args *a = &w->v->a;
    cli_json j = {.f = stdout};
    cli_js_open(&j, NULL, '{');
    cli_js_open(&j, "levels", '[');
    for (size_t k = 0; k < w->n_levels; k++) {
        cli_js_open(&j, NULL, '{');
        cli_js_text(&j, "name", w->levels[k].name);
        if (w->levels[k].crf >= 0)
            cli_js_int(&j, "crf", w->levels[k].crf);
        if (w->levels[k].pictures)
            cli_js_real(&j, "bytes_per_picture", bytes_of(&w->levels[k]), 6);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_open(&j, "nets", '[');
    for (size_t m = 0; m < w->n_models; m++) {
        cli_js_open(&j, NULL, '{');
        cli_js_text(&j, "name", w->names[m]);
        cli_js_real(&j, "ms", w->ms[m], 5);
        cli_js_open(&j, "levels", '[');
        for (size_t k = 0; k < w->n_levels; k++) {
            const cell *c = &w->cells[m][k];
            cli_js_open(&j, NULL, '{');
            cli_js_real(&j, "accuracy", c->accuracy, 8);
            cli_js_real(&j, "std", c->std, 8);
            cli_js_real(&j, "eer", c->eer, 8);
            cli_js_open(&j, "tar", '[');
            for (size_t i = 0; i < a->n_rates; i++) {
                cli_js_open(&j, NULL, '{');
                cli_js_real(&j, "far", a->rates[i], 6);
                cli_js_real(&j, "tar", c->tar[i].tar, 8);
                cli_js_real(&j, "low", c->tar[i].ci.lo, 8);
                cli_js_real(&j, "high", c->tar[i].ci.hi, 8);
                cli_js_close(&j, '}');
            }
            cli_js_close(&j, ']');
            cli_js_close(&j, '}');
        }
        cli_js_close(&j, ']');
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

static bool write_report(const work *w)
{
    const verify_args *a = &w->v->a;
    dv_err e = {0};
    dv_buf b = {0};
    if (!a->report)
        return true;
    dv_report_heading(&b, 1, "Compressed pictures, %zu pairs", w->v->list.pairs.n);
    dv_report_text(
        &b,
        "Pairs: %s. Every picture was coded by H.264 as a picture of its own and decoded "
        "again before anything was done with it.%s",
        a->pairs, a->o.mirror ? " Embeddings of the picture and its mirror image, summed." : "");
    for (size_t k = 0; k < w->n_levels; k++) {
        char text[96];
        dv_table t;
        level_text(&w->levels[k], text, sizeof text);
        dv_report_heading(&b, 2, "%s", text);
        dv_table_open(&t, "lrrrr", "net", "ms a net, one core", "accuracy", "FAR",
                      "TAR (95 % interval)");
        for (size_t m = 0; m < w->n_models; m++)
            for (size_t i = 0; i < a->n_rates; i++) {
                const cell *c = &w->cells[m][k];
                char ms[32] = "", accuracy[48] = "";
                if (i == 0) {
                    snprintf(ms, sizeof ms, "%.3f", w->ms[m]);
                    snprintf(accuracy, sizeof accuracy, "%.2f %% +- %.2f", 100 * c->accuracy,
                             100 * c->std);
                }
                dv_table_cell(&t, "%s", i ? "" : w->names[m]);
                dv_table_cell(&t, "%s", ms);
                dv_table_cell(&t, "%s", accuracy);
                dv_table_cell(&t, "%g %%", 100 * a->rates[i]);
                dv_table_cell(&t, "%.2f %% (%.2f to %.2f)", 100 * c->tar[i].tar,
                              100 * c->tar[i].ci.lo, 100 * c->tar[i].ci.hi);
            }
        dv_table_put(&t, &b);
    }
    if (dv_report_write(&b, a->report, &e))
        return cli_error("%s", e.msg), false;
    return true;
}

/* TAR against compression, a line for each net and rate. */
static bool draw(const work *w)
{
    const verify_args *a = &w->v->a;
    static dv_series s[DV_PLOT_MAX_SERIES];
    static char names[DV_PLOT_MAX_SERIES][160];
    static double x[MAX_LEVELS], y[DV_PLOT_MAX_SERIES][MAX_LEVELS];
    size_t n = 0;
    dv_err e = {0};
    if (!a->roc)
        return true;
    for (size_t k = 0; k < w->n_levels; k++)
        x[k] = w->levels[k].crf < 0 ? 0 : w->levels[k].crf;
    for (size_t m = 0; m < w->n_models; m++)
        for (size_t i = 0; i < a->n_rates && n < DV_PLOT_MAX_SERIES; i++, n++) {
            snprintf(names[n], sizeof names[n], "%.120s, FAR %g", w->names[m], a->rates[i]);
            for (size_t k = 0; k < w->n_levels; k++)
                y[n][k] = w->cells[m][k].tar[i].tar;
            s[n] = (dv_series){.name = names[n], .x = x, .y = y[n], .n = w->n_levels};
        }
    dv_chart c = {.title = "True accepts against compression",
                  .x_label = "H.264 CRF (0: as they are)",
                  .y_label = "TAR",
                  .series = s,
                  .n_series = n};
    if (dv_chart_write(a->roc, &c, &e))
        return cli_error("%s", e.msg), false;
    return true;
}

static int run_all(work *w, const char *levels)
{
    verify *v = w->v;
    verify_args *a = &v->a;
    if (!a->pairs || (!a->images && !dv_bin_is(a->pairs)))
        return cli_error(
            "--images and --pairs are needed; `domovoi eval compress --help` shows the form");
    if (a->roc && !dv_chart_available())
        return cli_error("--plot: this build draws no charts; it was made without cairo");
    if (!a->far)
        a->far = "1e-1,1e-2,1e-3";
    if (!parse_levels(levels, w) || !verify_parse_rates(a) || !verify_open_list(v))
        return CLI_ERROR;
    w->n_models = DV_MAX(a->models.n, 1);
    for (size_t m = 0; m < w->n_models; m++) {
        if (!time_net(&a->o, a->models.n ? a->models.v[m] : NULL, &w->ms[m]))
            return CLI_ERROR;
        for (size_t k = 0; k < w->n_levels; k++)
            if (!run_one(w, m, k))
                return CLI_ERROR;
    }
    if (!write_report(w) || !draw(w))
        return CLI_ERROR;
    print(w);
    print_json(w);
    return CLI_YES;
}

int cli_eval_compress(int argc, char **argv)
{
    size_t n;
    int done, code = CLI_ERROR;
    const char *levels = "weak=30,strong=42";
    work *w = dv_calloc(1, sizeof *w);
    verify *v = w ? dv_calloc(1, sizeof *v) : NULL;
    if (!v) {
        dv_free(w);
        return cli_error("out of memory");
    }
    w->v = v;
    verify_args *a = &v->a;
    a->o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MIRROR;
    a->bootstrap = 1000;
    a->seed = 1;
    cli_option own[] = {
        {"images", "DIR", "folder that the names in the list are below", CLI_TEXT, &a->images},
        {"pairs", "FILE", "as for eval verify. Needed", CLI_TEXT, &a->pairs},
        {"model", "NET.dmv", "net to judge; several times: side by side", CLI_TEXTS, &a->models},
        {"aligned", NULL, "the pictures are faces of 112 x 112", CLI_FLAG, &a->aligned},
        {"levels", "LIST", "NAME=CRF, commas between (weak=30,strong=42)", CLI_TEXT, &levels},
        {"far", "RATES", "false-accept rates (1e-1,1e-2,1e-3)", CLI_TEXT, &a->far},
        {"bootstrap", "N", "rounds for the intervals (1000)", CLI_INT, &a->bootstrap},
        {"seed", "N", "of the bootstrap (1)", CLI_INT, &a->seed},
        {"plot", "FILE", "chart of TAR against compression, .svg or .png", CLI_TEXT, &a->roc},
        {"report", "FILE.md", "report in Markdown", CLI_TEXT, &a->report},
        {"allow-missing", NULL, "leave pairs out whose pictures cannot be read", CLI_FLAG,
         &a->allow_missing},
        {"no-cache", NULL, "embed again, and keep nothing", CLI_FLAG, &a->no_cache},
    };
    if (!cli_parse(
            argc, argv,
            "domovoi eval compress [options] --images DIR --pairs FILE\n\n"
            "Nets on pairs whose pictures were coded by H.264 first, at several strengths, and the "
            "time of\neach net on one core. The last line is JSON.",
            "  domovoi eval compress --images lfw112 --pairs pairs.txt --aligned \\\n"
            "      --model teacher.dmv --model student.dmv\n"
            "  domovoi eval compress --images photos --pairs p.txt --levels a=35,b=45 --plot "
            "c.svg\n",
            &a->o, own, DV_COUNT(own), NULL, 0, &n, &done))
        code = done;
    else
        code = run_all(w, levels);
    verify_close(v);
    dv_free(w);
    return code;
}

#else

int cli_eval_compress(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return cli_error("this build has no video: it was made without FFmpeg");
}

#endif
