/* SPDX-License-Identifier: Apache-2.0
 *
 * verify_report.c - what `domovoi eval verify` found: as text, as one line of JSON a net, as a
 * report in Markdown, and as files from which others can compute it again.
 */
#include "verify.h"

#include <math.h>
#include <string.h>

static const char *bare(const char *path)
{
    return path ? cli_base_name(path) : "";
}

/* "98.40" or "-"; "98.10-98.70". Percent. */
static const char *percent(char buf[16], double v)
{
    if (isfinite(v))
        snprintf(buf, 16, "%.2f", 100 * v);
    else
        memcpy(buf, "-", 2);
    return buf;
}

static const char *range(char buf[32], dv_interval i)
{
    if (isfinite(i.lo))
        snprintf(buf, 32, "%.2f-%.2f", 100 * i.lo, 100 * i.hi);
    else
        memcpy(buf, "-", 2);
    return buf;
}

static const char *share(char buf[32], dv_interval i)
{
    if (isfinite(i.lo))
        snprintf(buf, 32, "%.5f-%.5f", i.lo, i.hi);
    else
        memcpy(buf, "-", 2);
    return buf;
}

/* ---- text ---- */

static void print_thresholds(const verify_run *r)
{
    const char *sep = "similarity thresholds, for `model import --thresholds`: ", *end = "";
    for (size_t k = 0; k < VERIFY_RATES; k++) {
        if (isnan(r->similarity[k]))
            continue;
        printf("%s%g:%.4f", sep, verify_rates[k], r->similarity[k]);
        sep = ",";
        end = "\n";
    }
    printf("%s", end);
}

static void print_run(const verify *v, const verify_run *r)
{
    const cli_embedded *m = &r->m;
    const dv_metrics *x = &r->x;
    char a[32], b[16], c[16], d[16];
    cli_put_text(m->name);
    printf(": accuracy %.2f%% +- %.2f, EER %s%% (%s), AUC %.5f\n", 100 * x->accuracy, 100 * x->std,
           percent(b, x->eer), range(a, x->eer_ci), x->auc);
    for (size_t k = 0; k < x->n_tar; k++) {
        const dv_tar *t = &x->tar[k];
        printf("  TAR %6s%% (%s) at FAR %g; by folds %s +- %s at FAR %.5f%s\n", percent(b, t->tar),
               range(a, t->ci), t->far, percent(c, t->fold_tar), percent(d, t->fold_std),
               t->fold_far, t->passed < 3 ? "; fewer than 3 impostors behind it" : "");
    }
    printf("%zu pairs of %zu pictures in %zu folds, %zu without a face, %zu missing; threshold "
           "%.3f (similarity %.3f)\n",
           r->trials.n, m->n, r->trials.folds, m->faceless, m->missing, x->threshold,
           1 - x->threshold / 2);
    print_thresholds(r);
    if (m->cached < m->n)
        printf("%.2f ms a picture on one thread (read, %sembed), ", m->ms,
               v->a.aligned || v->list.is_bin ? "" : "detect, align, ");
    printf("%.1f s in all on %d thread%s, %s; %zu of %zu embeddings from the cache\n", m->seconds,
           m->threads, m->threads == 1 ? "" : "s", m->cpu, m->cached, m->n);
}

void verify_print(const verify *v)
{
    if (v->a.o.json || v->a.o.quiet)
        return;
    for (size_t i = 0; i < v->n_runs; i++)
        print_run(v, &v->run[i]);
    const dv_metrics *x = &v->run[0].x;
    if (x->rounds)
        printf("intervals: 95%%, bootstrap over %s, %zu rounds, seed %d\n",
               x->by_people ? "people" : "pairs", x->rounds, v->a.seed);
    const verify_leaks *l = &v->leaks;
    if (l->checked)
        printf("leaks: %zu people and %zu pictures in several folds, %zu near-duplicates without a "
               "common fold, %zu of two people\n",
               l->people_in_folds, l->pictures_in_folds, l->near_folds, l->near_people);
    if (l->trained)
        printf("training pictures: %zu, %zu people of the list among theirs, %zu pictures of the "
               "list with a near-duplicate\n",
               l->train_pictures, l->train_people, l->train_near);
}

/* ---- JSON ---- */

static void js_interval(cli_json *j, const char *key, dv_interval i)
{
    cli_js_open(j, key, '[');
    cli_js_real(j, NULL, i.lo, 8);
    cli_js_real(j, NULL, i.hi, 8);
    cli_js_close(j, ']');
}

static const char *rate_key(char buf[24], double rate)
{
    snprintf(buf, 24, "%g", rate);
    return buf;
}

static void js_tars(cli_json *j, const dv_metrics *x)
{
    char key[24];
    cli_js_open(j, "tar", '{');
    for (size_t k = 0; k < x->n_tar; k++)
        cli_js_real(j, rate_key(key, x->tar[k].far), x->tar[k].tar, 8);
    cli_js_close(j, '}');
    cli_js_open(j, "tar_ci", '{');
    for (size_t k = 0; k < x->n_tar; k++)
        js_interval(j, rate_key(key, x->tar[k].far), x->tar[k].ci);
    cli_js_close(j, '}');
    cli_js_open(j, "tar_folds", '{');
    for (size_t k = 0; k < x->n_tar; k++) {
        cli_js_open(j, rate_key(key, x->tar[k].far), '{');
        cli_js_real(j, "tar", x->tar[k].fold_tar, 8);
        cli_js_real(j, "std", x->tar[k].fold_std, 8);
        cli_js_real(j, "far", x->tar[k].fold_far, 8);
        cli_js_close(j, '}');
    }
    cli_js_close(j, '}');
}

static void js_leaks(cli_json *j, const verify_leaks *l)
{
    if (!l->checked)
        return;
    cli_js_open(j, "leaks", '{');
    cli_js_int(j, "people_in_folds", (long long)l->people_in_folds);
    cli_js_int(j, "pictures_in_folds", (long long)l->pictures_in_folds);
    cli_js_int(j, "near_folds", (long long)l->near_folds);
    cli_js_int(j, "near_people", (long long)l->near_people);
    if (l->trained) {
        cli_js_int(j, "train_pictures", (long long)l->train_pictures);
        cli_js_int(j, "train_people", (long long)l->train_people);
        cli_js_int(j, "train_near", (long long)l->train_near);
    }
    cli_js_close(j, '}');
}

static void print_json(const verify *v, const verify_run *r)
{
    const cli_embedded *m = &r->m;
    const dv_metrics *x = &r->x;
    char key[24];
    cli_json j = {.f = stdout};
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "model", m->name);
    cli_js_text(&j, "id", m->id);
    cli_js_text(&j, "set", bare(v->a.pairs));
    cli_js_real(&j, "accuracy", x->accuracy, 8);
    cli_js_real(&j, "std", x->std, 8);
    js_tars(&j, x);
    cli_js_real(&j, "eer", x->eer, 8);
    js_interval(&j, "eer_ci", x->eer_ci);
    cli_js_real(&j, "auc", x->auc, 8);
    js_interval(&j, "auc_ci", x->auc_ci);
    cli_js_open(&j, "bootstrap", '{');
    cli_js_int(&j, "rounds", (long long)x->rounds);
    cli_js_text(&j, "over", !x->rounds ? NULL : x->by_people ? "people" : "pairs");
    cli_js_int(&j, "seed", v->a.seed);
    cli_js_close(&j, '}');
    cli_js_int(&j, "pairs", (long long)r->trials.n);
    cli_js_int(&j, "left_out", (long long)r->left_out);
    cli_js_int(&j, "missing", (long long)m->missing);
    cli_js_int(&j, "missing_faces", (long long)m->faceless);
    cli_js_open(&j, "thresholds", '{');
    for (size_t i = 0; i < VERIFY_RATES; i++)
        cli_js_fixed(&j, rate_key(key, verify_rates[i]), r->similarity[i], 4);
    cli_js_close(&j, '}');
    cli_js_int(&j, "pictures", (long long)m->n);
    cli_js_int(&j, "cached", (long long)m->cached);
    cli_js_int(&j, "folds", (long long)r->trials.folds);
    cli_js_real(&j, "threshold_distance", x->threshold, 6);
    cli_js_bool(&j, "mirror", v->a.o.mirror);
    js_leaks(&j, &v->leaks);
    cli_js_real(&j, "ms_per_picture", m->ms, 5);
    cli_js_real(&j, "seconds", m->seconds, 5);
    cli_js_int(&j, "threads", m->threads);
    cli_js_text(&j, "cpu", m->cpu);
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

void verify_print_json(const verify *v)
{
    for (size_t i = 0; i < v->n_runs; i++)
        print_json(v, &v->run[i]);
}

/* ---- Markdown ---- */

/* Names come from files: no line breaks, and no bars, which would end a cell. */
static void put_cell(dv_buf *b, const char *s)
{
    for (; *s; s++)
        if (*s == '|' || (unsigned char)*s < 0x20)
            dv_buf_put(b, " ", 1);
        else
            dv_buf_put(b, s, 1);
}

static void put_table(dv_buf *b, const verify *v)
{
    char lo[32], auc[32], p[16], q[16], s[16];
    dv_buf_printf(b, "| net | accuracy | EER | AUC |");
    for (size_t k = 0; k < v->a.n_rates; k++)
        dv_buf_printf(b, " TAR at FAR %g |", v->a.rates[k]);
    dv_buf_printf(b, "\n| --- | --- | --- | --- |");
    for (size_t k = 0; k < v->a.n_rates; k++)
        dv_buf_printf(b, " --- |");
    for (size_t i = 0; i < v->n_runs; i++) {
        const dv_metrics *x = &v->run[i].x;
        dv_buf_printf(b, "\n| ");
        put_cell(b, v->run[i].m.name);
        dv_buf_printf(b, " | %.2f +- %.2f | %s (%s) | %.5f (%s) |", 100 * x->accuracy, 100 * x->std,
                      percent(p, x->eer), range(lo, x->eer_ci), x->auc, share(auc, x->auc_ci));
        for (size_t k = 0; k < x->n_tar; k++)
            dv_buf_printf(b, " %s (%s)%s |", percent(p, x->tar[k].tar), range(lo, x->tar[k].ci),
                          x->tar[k].passed < 3 ? " *" : "");
    }
    dv_buf_printf(b, "\n\nIn percent, AUC as a fraction. Accuracy: mean and deviation over folds, "
                     "each judged at the best\nthreshold of the others. In brackets: 95 %% "
                     "intervals");
    if (v->run[0].x.rounds)
        dv_buf_printf(b, " by a bootstrap over %s, %zu rounds, seed %d",
                      v->run[0].x.by_people ? "people" : "pairs", v->run[0].x.rounds, v->a.seed);
    dv_buf_printf(b, ".\n\\*: fewer than three impostors stand behind this figure.\n\n");
    dv_buf_printf(b, "TAR by folds, as InsightFace prints it: the threshold of each fold comes "
                     "from the others.\n\n| net |");
    for (size_t k = 0; k < v->a.n_rates; k++)
        dv_buf_printf(b, " at FAR %g | FAR there |", v->a.rates[k]);
    dv_buf_printf(b, "\n| --- |");
    for (size_t k = 0; k < v->a.n_rates; k++)
        dv_buf_printf(b, " --- | --- |");
    for (size_t i = 0; i < v->n_runs; i++) {
        const dv_metrics *x = &v->run[i].x;
        dv_buf_printf(b, "\n| ");
        put_cell(b, v->run[i].m.name);
        dv_buf_printf(b, " |");
        for (size_t k = 0; k < x->n_tar; k++)
            dv_buf_printf(b, " %s +- %s | %s |", percent(p, x->tar[k].fold_tar),
                          percent(q, x->tar[k].fold_std), percent(s, x->tar[k].fold_far));
    }
    dv_buf_printf(b, "\n");
}

static void put_thresholds(dv_buf *b, const verify *v)
{
    dv_buf_printf(b, "\nSimilarity thresholds (empty: fewer than three impostors behind it)\n\n"
                     "| net | id |");
    for (size_t k = 0; k < VERIFY_RATES; k++)
        dv_buf_printf(b, " FMR %g |", verify_rates[k]);
    dv_buf_printf(b, "\n| --- | --- |");
    for (size_t k = 0; k < VERIFY_RATES; k++)
        dv_buf_printf(b, " --- |");
    for (size_t i = 0; i < v->n_runs; i++) {
        dv_buf_printf(b, "\n| ");
        put_cell(b, v->run[i].m.name);
        dv_buf_printf(b, " | %s |", v->run[i].m.id);
        for (size_t k = 0; k < VERIFY_RATES; k++)
            if (isnan(v->run[i].similarity[k]))
                dv_buf_printf(b, " |");
            else
                dv_buf_printf(b, " %.4f |", v->run[i].similarity[k]);
    }
    dv_buf_printf(b, "\n");
}

/* Beside the report a chart has its bare name; elsewhere the path as it was given. */
static void put_chart(dv_buf *b, const char *report, const char *title, const char *path)
{
    size_t dir = (size_t)(cli_base_name(report) - report);
    if (!path)
        return;
    bool beside = (size_t)(cli_base_name(path) - path) == dir && memcmp(path, report, dir) == 0;
    dv_buf_printf(b, "\n![%s](<%s>)\n", title, beside ? path + dir : path);
}

bool verify_write_report(const verify *v)
{
    dv_err e = {0};
    dv_buf b = {0};
    const verify_run *r = &v->run[0];
    const verify_leaks *l = &v->leaks;
    if (!v->a.report)
        return true;
    dv_buf_printf(&b, "# Verification: ");
    put_cell(&b, bare(v->a.pairs));
    dv_buf_printf(&b, "\n\n%zu pairs (%zu of one person) of %zu pictures in %zu folds%s%s.\n\n",
                  r->trials.n, r->x.genuine, r->m.n, r->trials.folds,
                  v->a.aligned || v->list.is_bin ? ", aligned" : ", faces detected and aligned",
                  v->a.o.mirror ? ", with the mirrored face" : "");
    for (size_t i = 0; i < v->n_runs; i++) {
        const cli_embedded *m = &v->run[i].m;
        if (!m->missing && !m->faceless)
            continue;
        put_cell(&b, m->name);
        dv_buf_printf(&b,
                      ": %zu pictures without a face (distance 4), %zu pictures missing and %zu "
                      "pairs left out.\n\n",
                      m->faceless, m->missing, v->run[i].left_out);
    }
    put_table(&b, v);
    put_thresholds(&b, v);
    if (l->checked)
        dv_buf_printf(&b,
                      "\nLeaks: %zu people and %zu pictures in several folds, %zu near-duplicates "
                      "without a common fold,\n%zu near-duplicates of two people (similarity %g "
                      "and above).\n",
                      l->people_in_folds, l->pictures_in_folds, l->near_folds, l->near_people,
                      v->a.near);
    if (l->trained)
        dv_buf_printf(&b,
                      "Training pictures: %zu; %zu people of the list are among theirs by name, "
                      "%zu pictures of the list\nhave a near-duplicate there.\n",
                      l->train_pictures, l->train_people, l->train_near);
    put_chart(&b, v->a.report, "ROC", v->a.roc);
    put_chart(&b, v->a.report, "DET", v->a.det);
    put_chart(&b, v->a.report, "Similarities", v->a.hist);
    bool ok = !b.bad;
    if (!ok)
        cli_error("out of memory");
    else if (dv_write_file(v->a.report, b.data, b.size, &e)) {
        cli_error("%s", e.msg);
        ok = false;
    }
    dv_buf_free(&b);
    return ok;
}

/* ---- dumps ---- */

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

/* RFC 4180: in quotes, a quote twice. */
static void put_quoted(dv_buf *b, const char *s)
{
    dv_buf_put(b, "\"", 1);
    for (; *s; s++)
        dv_buf_put(b, *s == '"' ? "\"\"" : s, *s == '"' ? 2 : 1);
    dv_buf_put(b, "\"", 1);
}

static void put_distances(dv_buf *b, const verify *v, const verify_run *r, bool csv)
{
    char *const *names = v->list.pairs.names;
    if (csv)
        dv_buf_printf(b, "a,b,same,distance,fold\n");
    for (size_t i = 0; i < r->trials.n; i++) {
        const dv_pair *p = &v->list.pairs.pair[r->number[i]];
        if (!csv) {
            dv_buf_printf(b, "%s\t%s\t%d\t%.17g\n", names[p->a], names[p->b], p->same, r->dist[i]);
            continue;
        }
        put_quoted(b, names[p->a]);
        dv_buf_put(b, ",", 1);
        put_quoted(b, names[p->b]);
        dv_buf_printf(b, ",%d,%.17g,%u\n", p->same, r->dist[i], r->fold[i] + 1);
    }
}

/* NumPy's format 1.0: little-endian float32. */
static void put_npy(dv_buf *b, const cli_embedded *m)
{
    char head[128];
    int len =
        snprintf(head, sizeof head,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", m->n, m->dim);
    memset(head + len, ' ', sizeof head - (size_t)len);
    head[117] = '\n';
    dv_buf_put(b, "\x93NUMPY\x01\x00", 8);
    dv_buf_u16(b, 118); /* 10 + 118 = 128, a multiple of 64 */
    dv_buf_put(b, head, 118);
    for (size_t i = 0; i < m->n * m->dim; i++)
        dv_buf_f32(b, m->vectors[i]);
}

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

bool verify_dump(const verify *v)
{
    const char *path = v->a.dump;
    const verify_run *r = &v->run[0];
    dv_buf b = {0};
    if (!path)
        return true;
    if (!ends_in(path, ".npy")) {
        put_distances(&b, v, r, ends_in(path, ".csv"));
        return write_buf(path, &b);
    }
    /* The names of the rows, and what each holds, go into a second file. */
    char *names = dv_strdup(path);
    if (!names)
        return cli_error("out of memory"), false;
    memcpy(names + strlen(names) - 4, ".txt", 4);
    static const char *const states[] = {"missing", "vector", "no face"};
    for (size_t i = 0; i < r->m.n; i++)
        dv_buf_printf(&b, "%s\t%s\n", v->list.pairs.names[i], states[r->m.state[i]]);
    bool ok = write_buf(names, &b);
    dv_free(names);
    put_npy(&b, &r->m);
    return write_buf(path, &b) && ok;
}
