/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_detect_out.c - tables, JSON, report, dump and plot of `domovoi eval detect`.
 */
#include "eval_detect.h"

#include <math.h>
#include <string.h>

#include "plot/plot.h"
#include "plot/report.h"

const char *const detect_subset_names[2][DET_SUBSETS] = {{"easy", "medium", "hard"},
                                                         {"height50", "height30", "height10"}};

typedef struct row { /* of the table: a title and what stands in it */
    const char *title, *report;
    dv_figure figure;
} row;

static const row rows[] = {
    {"COCO AP .50:.95", "COCO AP, IoU .50:.95", DV_MAP},
    {"        .50", "COCO AP, IoU .50", DV_MAP50},
    {"        .75", "COCO AP, IoU .75", DV_MAP75},
    {"        small", "COCO AP, small (to 32 x 32)", DV_MAP_SMALL},
    {"        medium", "COCO AP, medium", DV_MAP_MEDIUM},
    {"        large", "COCO AP, large (from 96 x 96)", DV_MAP_LARGE},
    {"COCO AR 1 a picture", "COCO AR, 1 a picture", DV_AR1},
    {"        10", "COCO AR, 10 a picture", DV_AR10},
    {"        all", "COCO AR, all counted", DV_AR},
    {"        small", "COCO AR, small", DV_AR_SMALL},
    {"        medium", "COCO AR, medium", DV_AR_MEDIUM},
    {"        large", "COCO AR, large", DV_AR_LARGE},
    {"recall at IoU .50", "Recall at IoU .50", DV_RECALL50},
    {"VOC AP  11 points", "VOC AP 2007, 11 points", DV_AP_VOC07},
    {"        all points", "VOC AP 2010, all points", DV_AP_VOC10},
};

static void percent(char buf[16], double v)
{
    if (isnan(v))
        snprintf(buf, 16, "-");
    else
        snprintf(buf, 16, "%.2f", 100 * v);
}

/* ---- text ---- */

static void print_best(const char *name, const dv_pr_curve *c)
{
    double f1;
    size_t at = dv_pr_best(c, &f1);
    if (at == SIZE_MAX)
        return;
    cli_put_text(name);
    printf(": best F1 %.4f at score %.3g (precision %.2f%%, recall %.2f%%)\n", f1, c->score[at],
           100 * c->precision[at], 100 * c->recall[at]);
}

static void print_head(const detect_eval *v)
{
    const dv_detect_result *r = &v->run[0].r;
    cli_put_text(v->a.truth);
    printf(" (%s): %zu boxes and %zu to be ignored in %zu picture%s",
           dv_truth_format_names[v->truth.format], r->truths, r->ignored, v->pictures,
           v->pictures == 1 ? "" : "s");
    if (v->truth.n_classes > 1)
        printf(", %zu classes", v->truth.n_classes);
    if (v->missing)
        printf("; %zu pictures missing", v->missing);
    printf("\n");
    for (size_t i = 0; i < v->n_runs; i++) {
        const detect_run *k = &v->run[i];
        if (v->n_runs > 1)
            printf("%zu: ", i + 1);
        cli_put_text(k->name);
        printf(", %zu detections", k->r.detections);
        if (k->is_net)
            printf("; %.2f ms a picture on one thread, %.1f s in all on %d thread%s, %s", k->net.ms,
                   k->net.seconds, k->net.threads, k->net.threads == 1 ? "" : "s", k->net.cpu);
        printf("\n");
    }
}

static void print_table(const detect_eval *v)
{
    char cell[16];
    printf("\n%-*s", v->n_runs > 1 ? 22 : 0, "percent");
    for (size_t i = 0; i < v->n_runs; i++)
        if (v->n_runs > 1)
            printf(" %7zu", i + 1);
    printf("\n");
    for (size_t k = 0; k < DV_COUNT(rows); k++) {
        printf("%-22s", rows[k].title);
        for (size_t i = 0; i < v->n_runs; i++) {
            percent(cell, v->run[i].r.mean[rows[k].figure]);
            printf(" %7s", cell);
        }
        printf("\n");
    }
}

static void print_wider(const detect_eval *v)
{
    static const char *const titles[2][DET_SUBSETS] = {
        {"WIDER   easy", "        medium", "        hard"},
        {"WIDER   from 50 pixels", "        from 30", "        from 10"}};
    char cell[16];
    for (int k = 0; k < DET_SUBSETS; k++) {
        printf("%-22s", titles[v->by_height][k]);
        for (size_t i = 0; i < v->n_runs; i++) {
            percent(cell, v->run[i].wider[k]);
            printf(" %7s", cell);
        }
        printf("  %zu faces\n", v->kept[k]);
    }
    if (v->by_height)
        printf("  By height, for want of --easy, --medium, --hard: not what is published.\n");
}

static void print_classes(const detect_eval *v, const detect_run *r)
{
    printf("\n%7s %7s %7s %7s %8s  class\n", "AP", "AP .50", "VOC 11", "recall", "boxes");
    for (size_t c = 0; c < r->r.n_classes; c++) {
        static const dv_figure show[] = {DV_MAP, DV_MAP50, DV_AP_VOC07, DV_RECALL50};
        const dv_detect_class *k = &r->r.cls[c];
        char cell[16];
        if (!k->truths && !k->detections)
            continue;
        for (size_t i = 0; i < DV_COUNT(show); i++) {
            percent(cell, k->v[show[i]]);
            printf("%7s ", cell);
        }
        printf("%8zu  ", k->truths);
        cli_put_text(v->truth.classes[c]);
        printf("\n");
    }
}

void detect_print(const detect_eval *v)
{
    if (v->a.o.json || v->a.o.quiet)
        return;
    print_head(v);
    print_table(v);
    if (v->wider)
        print_wider(v);
    for (size_t i = 0; v->truth.n_classes > 1 && i < v->n_runs; i++)
        print_classes(v, &v->run[i]);
    printf("\n");
    for (size_t i = 0; i < v->n_runs; i++) {
        const detect_run *k = &v->run[i];
        if (v->truth.n_classes == 1)
            print_best(k->name, &k->r.cls[0].curve);
        if (k->r.nme_faces) {
            cli_put_text(k->name);
            printf(": five points off by %.2f%% of the face, by more than 10%% in %.2f%% of %zu "
                   "faces\n",
                   100 * k->r.nme, 100 * k->r.nme_over, k->r.nme_faces);
        }
    }
}

/* ---- JSON ---- */

static void json_best(cli_json *j, const dv_pr_curve *c)
{
    double f1;
    size_t at = dv_pr_best(c, &f1);
    cli_js_open(j, "best", '{');
    cli_js_real(j, "f1", at == SIZE_MAX ? (double)NAN : f1, 8);
    cli_js_real(j, "score", at == SIZE_MAX ? (double)NAN : c->score[at], 8);
    cli_js_real(j, "precision", at == SIZE_MAX ? (double)NAN : c->precision[at], 8);
    cli_js_real(j, "recall", at == SIZE_MAX ? (double)NAN : c->recall[at], 8);
    cli_js_close(j, '}');
}

static void json_classes(cli_json *j, const detect_eval *v, const detect_run *r)
{
    cli_js_open(j, "classes", '[');
    for (size_t c = 0; c < r->r.n_classes; c++) {
        const dv_detect_class *k = &r->r.cls[c];
        cli_js_open(j, NULL, '{');
        cli_js_text(j, "name", v->truth.classes[c]);
        cli_js_int(j, "truths", (long long)k->truths);
        cli_js_int(j, "ignored", (long long)k->ignored);
        cli_js_int(j, "detections", (long long)k->detections);
        for (int i = 0; i < DV_FIGURES; i++)
            cli_js_real(j, dv_figure_names[i], k->v[i], 10);
        cli_js_close(j, '}');
    }
    cli_js_close(j, ']');
}

static void json_run(const detect_eval *v, const detect_run *r)
{
    cli_json j = {.f = stdout};
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "detector", r->name);
    cli_js_text(&j, "id", r->is_net ? r->net.id : NULL);
    cli_js_text(&j, "truth", v->a.truth);
    cli_js_text(&j, "format", dv_truth_format_names[v->truth.format]);
    for (int i = 0; i < DV_FIGURES; i++)
        cli_js_real(&j, dv_figure_names[i], r->r.mean[i], 10);
    if (v->wider) {
        cli_js_open(&j, "wider", '{');
        cli_js_text(&j, "subsets", v->by_height ? "height" : "lists");
        for (int k = 0; k < DET_SUBSETS; k++)
            cli_js_real(&j, detect_subset_names[v->by_height][k], r->wider[k], 10);
        cli_js_close(&j, '}');
    }
    cli_js_real(&j, "nme", r->r.nme, 8);
    cli_js_real(&j, "nme_over", r->r.nme_over, 8);
    cli_js_int(&j, "nme_faces", (long long)r->r.nme_faces);
    if (v->truth.n_classes == 1)
        json_best(&j, &r->r.cls[0].curve);
    cli_js_int(&j, "pictures", (long long)v->pictures);
    cli_js_int(&j, "missing", (long long)v->missing);
    cli_js_int(&j, "truths", (long long)r->r.truths);
    cli_js_int(&j, "ignored", (long long)r->r.ignored);
    cli_js_int(&j, "detections", (long long)r->r.detections);
    cli_js_int(&j, "max_dets", v->a.max_dets);
    if (r->is_net) {
        cli_js_real(&j, "min_score", (double)v->a.o.min_score, 6);
        cli_js_real(&j, "ms_per_picture", r->net.ms, 5);
        cli_js_real(&j, "seconds", r->net.seconds, 5);
        cli_js_int(&j, "threads", r->net.threads);
        cli_js_text(&j, "cpu", r->net.cpu);
    }
    if (v->truth.n_classes > 1)
        json_classes(&j, v, r);
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

void detect_print_json(const detect_eval *v)
{
    for (size_t i = 0; i < v->n_runs; i++)
        json_run(v, &v->run[i]);
}

/* ---- files ---- */

static bool write_buf(const char *path, dv_buf *b)
{
    dv_err e = {0};
    bool ok = !b->bad;
    if (!ok)
        cli_error("out of memory");
    else if (dv_write_file(path, b->data, b->size, &e)) {
        cli_error("%s", e.msg);
        ok = false;
    }
    dv_buf_free(b);
    return ok;
}

/* A row of the report; first: the value in the first run. */
static void put_row(dv_table *t, const detect_eval *v, const char *title, const double *first)
{
    char cell[16];
    dv_table_cell(t, "%s", title);
    for (size_t i = 0; i < v->n_runs; i++) {
        double value;
        memcpy(&value, (const char *)first + i * sizeof v->run[0], sizeof value);
        percent(cell, value);
        dv_table_cell(t, "%s", cell);
    }
}

static void put_table(dv_buf *b, const detect_eval *v)
{
    static const char *const titles[2][DET_SUBSETS] = {
        {"WIDER FACE easy", "WIDER FACE medium", "WIDER FACE hard"},
        {"WIDER FACE, faces from 50 pixels", "WIDER FACE, from 30", "WIDER FACE, from 10"}};
    char align[CLI_MAX_TEXTS + 2] = "l";
    const detect_run *r = v->run;
    dv_table t;
    bool points = false;
    memset(align + 1, 'r', v->n_runs);
    /* Headings beyond the columns are not read. */
    dv_table_open(&t, align, "percent", r[0].name, r[1].name, r[2].name, r[3].name, r[4].name,
                  r[5].name, r[6].name, r[7].name, r[8].name, r[9].name, r[10].name, r[11].name,
                  r[12].name, r[13].name, r[14].name, r[15].name);
    _Static_assert(CLI_MAX_TEXTS == 16, "one heading a run");
    for (size_t k = 0; k < DV_COUNT(rows); k++)
        put_row(&t, v, rows[k].report, &r[0].r.mean[rows[k].figure]);
    for (int k = 0; v->wider && k < DET_SUBSETS; k++)
        put_row(&t, v, titles[v->by_height][k], &r[0].wider[k]);
    for (size_t i = 0; i < v->n_runs; i++)
        points |= r[i].r.nme_faces > 0;
    if (points) {
        put_row(&t, v, "Five points, mean error, of the face's size", &r[0].r.nme);
        put_row(&t, v, "Faces with an error over 10", &r[0].r.nme_over);
    }
    dv_table_put(&t, b);
}

bool detect_write_report(const detect_eval *v)
{
    const dv_detect_result *r = &v->run[0].r;
    dv_buf b = {0};
    dv_err e = {0};
    if (!v->a.report)
        return true;
    dv_report_heading(&b, 1, "Detection: %s", cli_base_name(v->a.truth));
    dv_report_text(&b,
                   "%zu boxes and %zu to be ignored in %zu picture%s, %zu class%s. COCO's figures "
                   "take the best %d boxes of a picture.",
                   r->truths, r->ignored, v->pictures, v->pictures == 1 ? "" : "s",
                   v->truth.n_classes, v->truth.n_classes == 1 ? "" : "es", v->a.max_dets);
    if (v->missing)
        dv_report_text(&b, "%zu pictures are missing and left out.", v->missing);
    if (v->by_height)
        dv_report_text(&b, "WIDER FACE's subsets are by height, for want of their lists: not to "
                           "be compared with published figures.");
    put_table(&b, v);
    if (v->a.pr)
        dv_report_image(&b, "Precision and recall", v->a.report, v->a.pr);
    if (dv_report_write(&b, v->a.report, &e))
        return cli_error("%s", e.msg), false;
    return true;
}

static void put_number(dv_buf *b, double x)
{
    dv_buf_printf(b, (double)(float)x == x ? ",%.9g" : ",%.17g", x);
}

bool detect_write_dump(const detect_eval *v)
{
    const dv_truth *t = &v->truth;
    const dv_boxes *f = &v->run[0].found;
    bool points = f->n > 0;
    dv_buf b = {0};
    if (!v->a.dump)
        return true;
    for (size_t i = 0; i < f->n; i++)
        points = points && (f->v[i].flags & DV_BOX_POINTS);
    for (size_t i = 0; i < f->n; i++) {
        const dv_box *x = &f->v[i];
        if (t->image_ids) {
            dv_buf_printf(&b, "%lld", (long long)t->image_ids[x->image]);
        } else if (t->images) {
            if (strchr(t->images[x->image], ',')) {
                dv_buf_free(&b);
                return cli_error("--dump: the name %s has a comma", t->images[x->image]), false;
            }
            dv_buf_printf(&b, "%s", t->images[x->image]);
        } else {
            dv_buf_printf(&b, "%u", x->image);
        }
        const double v5[] = {x->x, x->y, x->w, x->h, x->score};
        for (size_t k = 0; k < DV_COUNT(v5); k++)
            put_number(&b, v5[k]);
        if (t->class_ids)
            dv_buf_printf(&b, ",%lld", (long long)t->class_ids[x->cls]);
        for (int k = 0; points && k < 10; k++)
            put_number(&b, (double)x->points[k / 2][k % 2]);
        dv_buf_printf(&b, "\n");
    }
    return write_buf(v->a.dump, &b);
}

/* ---- plot ---- */

#define MAX_LINES 48
#define MAX_CLASS_LINES 12

typedef struct plot {
    dv_series line[MAX_LINES];
    char names[MAX_LINES][320];
    double *points[MAX_LINES];
    size_t n;
} plot;

/* Leaves out what nobody would see: places less than 1/2000 from the last one on both axes. */
static bool add_line(plot *p, const dv_pr_curve *c, double ap, const char *fmt, const char *a,
                     const char *b)
{
    char name[288], percents[16];
    size_t n = 0;
    double *x = dv_calloc(c->n + 1, 2 * sizeof *x), *y = x ? x + c->n : NULL;
    if (!x)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < c->n; i++) {
        if (n && i + 1 < c->n && fabs(c->recall[i] - x[n - 1]) < 5e-4 &&
            fabs(c->precision[i] - y[n - 1]) < 5e-4)
            continue;
        x[n] = c->recall[i];
        y[n++] = c->precision[i];
    }
    snprintf(name, sizeof name, fmt, a, b);
    percent(percents, ap);
    snprintf(p->names[p->n], sizeof p->names[0], "%s, AP %s", name, percents);
    p->points[p->n] = x;
    p->line[p->n] = (dv_series){.name = p->names[p->n], .x = x, .y = y, .n = n, .mark = DV_LINES};
    p->n++;
    return true;
}

/* The classes with most truth, a line each. */
static bool add_classes(plot *p, const detect_eval *v)
{
    const dv_detect_result *r = &v->run[0].r;
    uint8_t *done = dv_calloc(r->n_classes, 1);
    bool ok = done || (cli_error("out of memory"), false);
    while (ok && p->n < MAX_CLASS_LINES) {
        size_t best = SIZE_MAX;
        for (size_t c = 0; c < r->n_classes; c++)
            if (!done[c] && r->cls[c].truths &&
                (best == SIZE_MAX || r->cls[c].truths > r->cls[best].truths))
                best = c;
        if (best == SIZE_MAX)
            break;
        done[best] = 1;
        ok = add_line(p, &r->cls[best].curve, r->cls[best].v[DV_AP_VOC10], "%s%s",
                      v->truth.classes[best], "");
    }
    dv_free(done);
    return ok;
}

static bool add_lines(plot *p, const detect_eval *v)
{
    static const char *const heights[DET_SUBSETS] = {"from 50 px", "from 30 px", "from 10 px"};
    const char *const *subsets = v->by_height ? heights : detect_subset_names[0];
    if (v->truth.n_classes > 1)
        return add_classes(p, v);
    for (size_t i = 0; i < v->n_runs; i++) {
        const detect_run *r = &v->run[i];
        for (int k = 0; v->wider && k < DET_SUBSETS; k++)
            if (v->kept[k] &&
                !add_line(p, &r->wider_curve[k], r->wider[k], "%s, %s", r->name, subsets[k]))
                return false;
        if (!v->wider &&
            !add_line(p, &r->r.cls[0].curve, r->r.mean[DV_AP_VOC10], "%s%s", r->name, ""))
            return false;
    }
    return true;
}

bool detect_write_plot(const detect_eval *v)
{
    dv_err e = {0};
    char title[300], note[128];
    if (!v->a.pr)
        return true;
    plot *p = dv_calloc(1, sizeof *p);
    if (!p)
        return cli_error("out of memory"), false;
    bool ok = add_lines(p, v);
    snprintf(title, sizeof title, "Precision and recall: %s", cli_base_name(v->a.truth));
    snprintf(note, sizeof note, "%zu boxes in %zu picture%s, IoU 0.5, %s", v->run[0].r.truths,
             v->pictures, v->pictures == 1 ? "" : "s",
             v->wider ? "WIDER FACE's way of counting" : "VOC's way of counting, all points");
    dv_chart c = {.title = title,
                  .x_label = "Recall",
                  .y_label = "Precision",
                  .x_hi = 1,
                  .y_hi = 1,
                  .series = p->line,
                  .n_series = p->n,
                  .note = note};
    if (ok && dv_chart_write(v->a.pr, &c, &e)) {
        cli_error("%s", e.msg);
        ok = false;
    }
    for (size_t i = 0; i < p->n; i++)
        dv_free(p->points[i]);
    dv_free(p);
    return ok;
}
