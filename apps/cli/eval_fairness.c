/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_fairness.c - `domovoi eval fairness`: does a net err more often with some people than with
 * others? Pairs come from a list, or are all pairs of the pictures of a set; labels put pictures
 * or people into groups. A picture without a face is like nobody: its pairs of one person are
 * errors, its pairs of two are not.
 */
#include "sets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/bin.h"
#include "eval/eval.h"
#include "eval/fairness.h"
#include "kernels/kernels.h"

#define NO_FACE (-2.0f)

typedef struct fair {
    cli_common o;
    cli_source from;
    const char *labels_path, *pairs_path, *people, *images, *report;
    int aligned, allow_missing, no_cache;
    dmv_context *ctx;
    cli_faces model;
    dv_names names;
    cli_set set;
    dv_pairs pairs;
    cli_embedded emb; /* of the pairs' pictures */
    dv_labels labels;
    dv_fairness *column; /* one a column of the labels */
    uint32_t *group;     /* items x columns */
    size_t *in_group;    /* pictures of each group, columns one after the other */
    size_t items, dim, unlabelled;
    const uint8_t *state;
    float *unit; /* items x dim; zeros where there is no vector */
    float threshold;
    double fmr;
    char model_name[128], model_id[33];
    bool pictures;
} fair;

static bool no_memory(void)
{
    return cli_error("out of memory"), false;
}

/* ---- vectors and their groups ---- */

static bool open_unit(fair *v, size_t items, size_t dim)
{
    size_t cells;
    v->items = items;
    v->dim = dim;
    v->unit = dv_mul(items, dim, &cells) ? dv_calloc(cells, sizeof *v->unit) : NULL;
    return v->unit || no_memory();
}

static void put_unit(fair *v, size_t i, const float *from)
{
    double sum = 0;
    for (size_t d = 0; d < v->dim; d++)
        sum += (double)from[d] * from[d];
    sum = sqrt(sum);
    for (size_t d = 0; d < v->dim; d++)
        v->unit[i * v->dim + d] = (float)(from[d] / sum);
}

static bool load_pairs(fair *v)
{
    dv_err e = {0};
    if (dv_bin_is(v->pairs_path))
        return cli_error("%s: the pictures of a .bin have no names to label; use a list of pairs",
                         v->pairs_path),
               false;
    if (dv_pairs_load(v->pairs_path, &v->pairs, &e))
        return cli_error("%s", e.msg), false;
    cli_embed_job job = {.o = &v->o,
                         .names = v->pairs.names,
                         .n = v->pairs.n_names,
                         .folder = v->images,
                         .aligned = v->aligned,
                         .allow_missing = v->allow_missing,
                         .no_cache = v->no_cache,
                         .remedy = "--images must name the folder that the list's names are below; "
                                   "--allow-missing leaves their pairs out"};
    if (!cli_embed_pictures(&job, &v->emb) || !open_unit(v, v->pairs.n_names, v->emb.dim))
        return false;
    v->state = v->emb.state;
    v->pictures = true;
    for (size_t i = 0; i < v->items; i++)
        if (v->state[i] == CLI_PICTURE_VECTOR)
            put_unit(v, i, v->emb.vectors + i * v->dim);
    memcpy(v->model_name, v->emb.name, sizeof v->model_name);
    memcpy(v->model_id, v->emb.id, sizeof v->model_id);
    return true;
}

static bool load_set(fair *v)
{
    cli_embed_job job = {.o = &v->o,
                         .aligned = v->aligned,
                         .allow_missing = v->allow_missing,
                         .no_cache = v->no_cache};
    if (!cli_set_open(&v->set, &v->from, &v->names) || !cli_set_fill(&v->set, &job) ||
        !open_unit(v, v->set.people.n, v->set.dim))
        return false;
    v->state = v->set.state;
    v->pictures = v->set.pictures;
    for (size_t i = 0; i < v->set.n; i++)
        put_unit(v, v->set.row[i], v->set.v + i * v->dim);
    memcpy(v->model_name, v->set.emb.name, sizeof v->model_name);
    memcpy(v->model_id, v->set.emb.id, sizeof v->model_id);
    return true;
}

/* The line of the labels for a picture: by its path, as it stands in the list, below the folder,
 * or whole; else by its subject, which is the first folder of a name in a list of pairs. */
static uint32_t find_label(const fair *v, size_t i)
{
    const dv_names *keys = &v->labels.keys;
    const char *path = v->pairs_path ? v->pairs.names[i] : v->set.people.path[i], *who = NULL;
    size_t n = 0;
    uint32_t at = path ? dv_names_find(keys, path, strlen(path)) : DV_NO_NAME;
    if (at == DV_NO_NAME && path && v->from.dir) {
        const char *rel = path + strlen(v->from.dir);
        while (*rel == '/')
            rel++;
        at = dv_names_find(keys, rel, strlen(rel));
    }
    if (at != DV_NO_NAME)
        return at;
    if (!v->pairs_path) {
        who = v->names.v[v->set.people.subject[i]];
        n = strlen(who);
    } else if (strchr(path, '/')) {
        who = path;
        n = strcspn(path, "/");
    }
    return who ? dv_names_find(keys, who, n) : DV_NO_NAME;
}

static bool find_groups(fair *v)
{
    dv_err e = {0};
    const size_t columns = v->labels.columns;
    size_t cells, groups = 0;
    for (size_t c = 0; c < columns; c++)
        groups += v->labels.groups[c].n;
    v->group = dv_mul(v->items, columns, &cells) ? dv_calloc(cells, sizeof *v->group) : NULL;
    v->column = dv_calloc(columns, sizeof *v->column);
    v->in_group = dv_calloc(groups + 1, sizeof *v->in_group);
    if (!v->group || !v->column || !v->in_group)
        return no_memory();
    for (size_t c = 0; c < columns; c++)
        if (dv_fairness_open(&v->column[c], v->labels.groups[c].n, &e))
            return cli_error("%s", e.msg), false;
    for (size_t i = 0; i < v->items; i++) {
        uint32_t line = find_label(v, i);
        v->unlabelled += line == DV_NO_NAME;
        for (size_t c = 0, first = 0; c < columns; first += v->labels.groups[c++].n) {
            uint32_t g = line == DV_NO_NAME ? DV_NO_GROUP : v->labels.group[line * columns + c];
            v->group[i * columns + c] = g;
            if (g != DV_NO_GROUP && v->state[i] != CLI_PICTURE_MISSING)
                v->in_group[first + g]++;
        }
    }
    if (v->unlabelled == v->items)
        return cli_error("%s: has no label for any of the %zu pictures; its first column is to "
                         "have paths as the list has them, or subjects",
                         v->labels_path, v->items),
               false;
    if (v->unlabelled)
        cli_warn("%zu of %zu pictures have no label: their pairs count in the line of all pairs "
                 "only",
                 v->unlabelled, v->items);
    return true;
}

/* ---- counting ---- */

static void count(fair *v, size_t a, size_t b, bool same, float score)
{
    const size_t columns = v->labels.columns;
    if (v->state[a] == CLI_PICTURE_MISSING || v->state[b] == CLI_PICTURE_MISSING)
        return;
    if (v->state[a] == CLI_PICTURE_NO_FACE || v->state[b] == CLI_PICTURE_NO_FACE)
        score = NO_FACE;
    for (size_t c = 0; c < columns; c++)
        dv_fairness_add(&v->column[c], v->group[a * columns + c], v->group[b * columns + c], same,
                        score >= v->threshold);
}

static bool count_all(fair *v)
{
    const dv_kernels *k = v->ctx->kernels;
    float *score = dv_calloc(v->items, sizeof *score);
    cli_progress bar;
    if (!score)
        return no_memory();
    if (v->pairs_path) {
        for (size_t i = 0; i < v->pairs.n; i++) {
            const dv_pair *p = &v->pairs.pair[i];
            k->dots_f32(1, v->dim, v->unit + p->a * v->dim, v->unit + p->b * v->dim, v->dim, score);
            count(v, p->a, p->b, p->same, fminf(fmaxf(score[0], -1), 1));
        }
        dv_free(score);
        return true;
    }
    size_t pairs = v->items * (v->items - 1) / 2;
    cli_progress_start(&bar, "compare", pairs, &v->o);
    for (size_t i = 0, done = 0; i + 1 < v->items; i++) {
        size_t n = v->items - i - 1;
        const uint32_t *who = v->set.people.subject;
        k->dots_f32(n, v->dim, v->unit + i * v->dim, v->unit + (i + 1) * v->dim, v->dim, score);
        for (size_t j = 0; j < n; j++)
            count(v, i, i + 1 + j, who[i] == who[i + 1 + j], fminf(fmaxf(score[j], -1), 1));
        cli_progress_update(&bar, done += n);
    }
    cli_progress_end(&bar);
    dv_free(score);
    return true;
}

static const char *title(const fair *v, size_t c, char buf[32])
{
    if (v->labels.titles.n)
        return v->labels.titles.v[c];
    snprintf(buf, 32, "column %zu", c + 1);
    return buf;
}

static void warn_small(const fair *v)
{
    char buf[32];
    for (size_t c = 0; c < v->labels.columns; c++) {
        const dv_fairness *f = &v->column[c];
        for (size_t g = 0; g < f->n; g++) {
            const dv_group *x = &f->group[g];
            if (x->fnmr.small || x->fmr.small)
                cli_warn("%s, %s: too small a group to compare: %llu pairs of one person%s, %llu "
                         "of two%s",
                         title(v, c, buf), v->labels.groups[c].v[g],
                         (unsigned long long)x->fnmr.pairs, x->fnmr.small ? " (30 are needed)" : "",
                         (unsigned long long)x->fmr.pairs,
                         x->fmr.small ? " (3 / FMR, at least 30, are needed)" : "");
        }
    }
}

/* ---- what came out ---- */

/* "0.52 (0.11-1.51)" percent */
static const char *rate_text(char buf[48], const dv_rate *r)
{
    if (r->pairs)
        snprintf(buf, 48, "%.3f (%.3f-%.3f)%s", 100 * r->rate, 100 * r->ci.lo, 100 * r->ci.hi,
                 r->small ? " *" : "");
    else
        memcpy(buf, "-", 2);
    return buf;
}

static const char *ratio_text(char buf[32], const dv_spread *s)
{
    if (s->worst == SIZE_MAX)
        memcpy(buf, "unknown", 8);
    else if (isnan(s->ratio))
        memcpy(buf, "no errors", 10);
    else if (isinf(s->ratio))
        memcpy(buf, "best has none", 14);
    else
        snprintf(buf, 32, "%.2f", s->ratio);
    return buf;
}

typedef void put_row(dv_buf *b, const char *name, size_t pictures, const dv_group *g);

static void each_row(const fair *v, size_t c, dv_buf *b, put_row *put)
{
    size_t first = 0;
    const dv_fairness *f = &v->column[c];
    for (size_t k = 0; k < c; k++)
        first += v->labels.groups[k].n;
    for (size_t g = 0; g < f->n; g++)
        put(b, v->labels.groups[c].v[g], v->in_group[first + g], &f->group[g]);
    put(b, "across groups", 0, &f->group[f->n]);
    put(b, "all pairs", v->items, &f->all);
}

static void text_row(dv_buf *b, const char *name, size_t pictures, const dv_group *g)
{
    char one[48], two[48], count[24] = "";
    if (pictures)
        snprintf(count, sizeof count, "%zu", pictures);
    dv_buf_printf(b, "%-16s %8s  %10llu  %-24s  %12llu  %s\n", name, count,
                  (unsigned long long)g->fnmr.pairs, rate_text(one, &g->fnmr),
                  (unsigned long long)g->fmr.pairs, rate_text(two, &g->fmr));
}

static void markdown_row(dv_buf *b, const char *name, size_t pictures, const dv_group *g)
{
    char one[48], two[48], count[24] = "";
    if (pictures)
        snprintf(count, sizeof count, "%zu", pictures);
    dv_buf_printf(b, "| ");
    cli_put_cell(b, name);
    dv_buf_printf(b, " | %s | %llu | %s | %llu | %s |\n", count, (unsigned long long)g->fnmr.pairs,
                  rate_text(one, &g->fnmr), (unsigned long long)g->fmr.pairs,
                  rate_text(two, &g->fmr));
}

static void put_spread(dv_buf *b, const fair *v, size_t c)
{
    const dv_fairness *f = &v->column[c];
    const dv_names *g = &v->labels.groups[c];
    const struct {
        const char *what;
        const dv_spread *s;
    } both[] = {{"FNMR", &f->fnmr}, {"FMR", &f->fmr}};
    char buf[32];
    for (size_t i = 0; i < 2; i++) {
        const dv_spread *s = both[i].s;
        dv_buf_printf(b, "%s, worst / best: %s", both[i].what, ratio_text(buf, s));
        if (s->worst != SIZE_MAX && s->worst != s->best)
            dv_buf_printf(b, " (%s / %s)", g->v[s->worst], g->v[s->best]);
        dv_buf_printf(b, i ? "\n" : "; ");
    }
}

static void put_threshold(dv_buf *b, const fair *v)
{
    dv_buf_printf(b, "threshold %.5f", v->threshold);
    if (!isnan(v->fmr))
        dv_buf_printf(b, " (the model's at FMR %g)", v->fmr);
}

static void print_text(const fair *v)
{
    dv_buf b = {0};
    char buf[32];
    if (v->o.json || v->o.quiet)
        return;
    dv_buf_printf(&b, "%s: ", v->pictures ? v->model_name : "given vectors");
    put_threshold(&b, v);
    for (size_t c = 0; c < v->labels.columns; c++) {
        dv_buf_printf(&b, "\n%-16s %8s  %10s  %-24s  %12s  %s\n", title(v, c, buf), "pictures",
                      "one person", "FNMR, %", "two people", "FMR, %");
        each_row(v, c, &b, text_row);
        put_spread(&b, v, c);
    }
    dv_buf_printf(&b, "95 %% intervals (Clopper-Pearson); * too few pairs to compare\n");
    fputs(b.bad ? "" : (const char *)b.data, stdout);
    dv_buf_free(&b);
}

static void json_rate(cli_json *j, const char *key, const dv_rate *r)
{
    cli_js_open(j, key, '{');
    cli_js_int(j, "pairs", (long long)r->pairs);
    cli_js_int(j, "errors", (long long)r->errors);
    cli_js_real(j, "rate", r->rate, 8);
    cli_js_open(j, "interval", '[');
    cli_js_real(j, NULL, r->ci.lo, 8);
    cli_js_real(j, NULL, r->ci.hi, 8);
    cli_js_close(j, ']');
    cli_js_bool(j, "small", r->small);
    cli_js_close(j, '}');
}

static void json_group(cli_json *j, const char *key, const char *name, const size_t *pictures,
                       const dv_group *g)
{
    cli_js_open(j, key, '{');
    if (name)
        cli_js_text(j, "group", name);
    if (pictures)
        cli_js_int(j, "pictures", (long long)*pictures);
    json_rate(j, "fnmr", &g->fnmr);
    json_rate(j, "fmr", &g->fmr);
    cli_js_close(j, '}');
}

static void json_spread(cli_json *j, const char *key, const dv_spread *s, const dv_names *g)
{
    cli_js_open(j, key, '{');
    cli_js_text(j, "worst", s->worst == SIZE_MAX ? NULL : g->v[s->worst]);
    cli_js_text(j, "best", s->best == SIZE_MAX ? NULL : g->v[s->best]);
    cli_js_real(j, "ratio", s->ratio, 8);
    cli_js_close(j, '}');
}

static void print_json(const fair *v)
{
    cli_json j = {.f = stdout};
    char buf[32];
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "model", v->pictures ? v->model_name : NULL);
    cli_js_text(&j, "id", v->pictures ? v->model_id : NULL);
    cli_js_real(&j, "threshold", v->threshold, 9);
    cli_js_real(&j, "fmr", v->fmr, 8);
    cli_js_int(&j, "pictures", (long long)v->items);
    cli_js_int(&j, "unlabelled_pictures", (long long)v->unlabelled);
    json_group(&j, "all", NULL, NULL, &v->column[0].all);
    cli_js_open(&j, "columns", '[');
    for (size_t c = 0, first = 0; c < v->labels.columns; first += v->labels.groups[c++].n) {
        const dv_fairness *f = &v->column[c];
        cli_js_open(&j, NULL, '{');
        cli_js_text(&j, "title", title(v, c, buf));
        cli_js_open(&j, "groups", '[');
        for (size_t g = 0; g < f->n; g++)
            json_group(&j, NULL, v->labels.groups[c].v[g], &v->in_group[first + g], &f->group[g]);
        cli_js_close(&j, ']');
        json_group(&j, "across", NULL, NULL, &f->group[f->n]);
        cli_js_int(&j, "unlabelled_pairs", (long long)f->unlabelled);
        json_spread(&j, "fnmr_spread", &f->fnmr, &v->labels.groups[c]);
        json_spread(&j, "fmr_spread", &f->fmr, &v->labels.groups[c]);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

static bool write_report(const fair *v)
{
    dv_buf b = {0};
    char buf[32];
    if (!v->report)
        return true;
    dv_buf_printf(&b, "# Errors by group: ");
    cli_put_cell(&b, v->pictures ? v->model_name : "given vectors");
    dv_buf_printf(&b, "\n\n%zu pictures, ", v->items);
    put_threshold(&b, v);
    dv_buf_printf(&b, ". In percent, with 95 %% intervals (Clopper-Pearson), which take pairs for "
                      "independent: pairs that share a\nperson are not, so the truth is wider. "
                      "A * marks groups with too few pairs to compare.\n");
    for (size_t c = 0; c < v->labels.columns; c++) {
        dv_buf_printf(&b, "\n| ");
        cli_put_cell(&b, title(v, c, buf));
        dv_buf_printf(&b, " | pictures | pairs of one person | FNMR | pairs of two people | FMR |\n"
                          "| --- | ---: | ---: | ---: | ---: | ---: |\n");
        each_row(v, c, &b, markdown_row);
        dv_buf_printf(&b, "\n");
        put_spread(&b, v, c);
    }
    return cli_write_buf(v->report, &b);
}

/* ---- the command ---- */

static bool check(fair *v)
{
    bool set = cli_source_given(&v->from);
    if (!v->labels_path || set == (v->pairs_path != NULL))
        return cli_error("--labels and one of --people, --list, --pairs are needed; `domovoi eval "
                         "fairness --help` shows the form"),
               false;
    if (v->pairs_path && !v->images)
        return cli_error("--images DIR is needed: the folder that the names in %s are below",
                         v->pairs_path),
               false;
    if (v->from.features && isnan(v->o.threshold))
        return cli_error("--threshold is needed: vectors do not tell of which model they are"),
               false;
    return true;
}

static bool find_threshold(fair *v)
{
    cli_common one = v->o;
    one.threads = 1;
    v->fmr = v->o.fmr != 0 ? v->o.fmr : NAN;
    v->threshold = v->o.threshold;
    if (!isnan(v->threshold))
        return true;
    return !cli_context_open(&one, &v->model.ctx) &&
           cli_models_open(&v->model, &v->o, CLI_WANT_EMBEDDER) &&
           cli_threshold(&v->o, v->model.emb, &v->threshold, &v->fmr);
}

static int run(fair *v)
{
    dv_err e = {0};
    if (!check(v) || cli_context_open(&v->o, &v->ctx))
        return CLI_ERROR;
    if (dv_labels_load(v->labels_path, &v->labels, &e))
        return cli_error("%s", e.msg);
    if (!find_threshold(v) || !(v->pairs_path ? load_pairs(v) : load_set(v)) || !find_groups(v) ||
        !count_all(v))
        return CLI_ERROR;
    for (size_t c = 0; c < v->labels.columns; c++)
        dv_fairness_end(&v->column[c], v->fmr);
    warn_small(v);
    if (!write_report(v))
        return CLI_ERROR;
    print_text(v);
    print_json(v);
    return CLI_YES;
}

static void close_fair(fair *v)
{
    for (size_t c = 0; v->column && c < v->labels.columns; c++)
        dv_fairness_free(&v->column[c]);
    dv_free(v->column);
    dv_free(v->group);
    dv_free(v->in_group);
    dv_free(v->unit);
    cli_set_close(&v->set);
    cli_embedded_free(&v->emb);
    dv_pairs_free(&v->pairs);
    dv_labels_free(&v->labels);
    dv_names_free(&v->names);
    cli_faces_close(&v->model);
    dmv_context_close(&v->ctx);
    dv_free(v);
}

int cli_eval_fairness(int argc, char **argv)
{
    size_t n;
    int done, code;
    fair *v = dv_calloc(1, sizeof *v);
    if (!v)
        return cli_error("out of memory");
    v->o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MODEL | CLI_USE_MIRROR |
               CLI_USE_THRESHOLD;
    v->from.what = "people";
    cli_option own[] = {
        {"labels", "FILE", "lines path or subject<TAB>group[<TAB>group...]. Needed", CLI_TEXT,
         &v->labels_path},
        {"people", "DIR", "one folder a person: all pairs of pictures", CLI_TEXT, &v->from.dir},
        {"list", "FILE", "lines subject<TAB>path: all pairs of pictures", CLI_TEXT, &v->from.list},
        {"features", "FILE", "matrix of vectors; line i of the list has the subject", CLI_TEXT,
         &v->from.features},
        {"pairs", "FILE", "LFW's pairs.txt, or lines a<TAB>b<TAB>1|0", CLI_TEXT, &v->pairs_path},
        {"images", "DIR", "folder that the paths of lists are below", CLI_TEXT, &v->images},
        {"aligned", NULL, "the pictures are faces of 112 x 112", CLI_FLAG, &v->aligned},
        {"allow-missing", NULL, "leave pictures out that cannot be read", CLI_FLAG,
         &v->allow_missing},
        {"no-cache", NULL, "embed again, and keep nothing", CLI_FLAG, &v->no_cache},
        {"report", "FILE.md", "report in Markdown", CLI_TEXT, &v->report},
    };
    if (!cli_parse(
            argc, argv,
            "domovoi eval fairness [options] --labels FILE --people DIR\n"
            "       domovoi eval fairness [options] --labels FILE --pairs FILE --images DIR\n\n"
            "False matches and false non-matches by group of people, at one threshold: the "
            "model's\nat --fmr, or --threshold. A pair belongs to a group if both pictures do. A "
            "first line\nof labels that starts with # has titles. The last line is JSON.",
            "  domovoi eval fairness --people photos --labels labels.tsv --fmr 1e-3\n"
            "  domovoi eval fairness --pairs pairs.txt --images lfw --labels sex.tsv --threshold "
            "0.45\n",
            &v->o, own, DV_COUNT(own), NULL, 0, &n, &done)) {
        code = done;
    } else {
        v->from.images = v->images;
        code = run(v);
    }
    close_fair(v);
    return code;
}
