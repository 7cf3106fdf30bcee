/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_verify.c - `domovoi eval verify`: how well a net tells people apart, on a list of pairs.
 * A picture without a face counts as distance 4, the largest there is: leaving it out would
 * reward a detector that finds easy faces only.
 */
#include "cli.h"

#include <math.h>
#include <string.h>

#include "eval/eval.h"

#define MAX_DIST 4.0

typedef struct eval {
    cli_common o;
    const char *images;
    int aligned, no_cache;
    dv_pairs pairs;
    cli_embedded m;
    double *dist;
} eval;

/* Squared Euclidean distance of unit vectors, summed in double. */
static double distance(const eval *v, const dv_pair *p)
{
    if (v->m.state[p->a] != CLI_PICTURE_VECTOR || v->m.state[p->b] != CLI_PICTURE_VECTOR)
        return MAX_DIST;
    const float *a = v->m.vectors + p->a * v->m.dim, *b = v->m.vectors + p->b * v->m.dim;
    double sum = 0;
    for (size_t i = 0; i < v->m.dim; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return DV_MIN(sum, MAX_DIST);
}

static bool dump(const eval *v, const char *path)
{
    dv_err e = {0};
    dv_buf b = {0};
    for (size_t i = 0; i < v->pairs.n; i++) {
        const dv_pair *p = &v->pairs.pair[i];
        dv_buf_printf(&b, "%s\t%s\t%d\t%.9g\n", v->pairs.names[p->a], v->pairs.names[p->b], p->same,
                      v->dist[i]);
    }
    bool ok = !b.bad;
    if (!ok)
        cli_error("out of memory");
    else if (dv_write_file(path, b.data, b.size, &e)) {
        cli_error("%s", e.msg);
        ok = false;
    }
    dv_buf_free(&b);
    return ok;
}

/* The similarity from which on a pair counts as the same person when impostors pass at the
 * rate; NAN where fewer than three impostors stand behind it. Rounded up: never a higher rate. */
static double similarity_at(const eval *v, double rate)
{
    size_t impostors = 0;
    for (size_t i = 0; i < v->pairs.n; i++)
        impostors += !v->pairs.pair[i].same;
    if (rate * (double)impostors < 3 - 1e-9)
        return NAN;
    double t = dv_far_distance(&v->pairs, v->dist, rate);
    return ceil((1 - t / 2 + 1e-9) * 1e4) / 1e4;
}

static const double rates[] = {1e-1, 1e-2, 1e-3, 1e-4, 1e-5};

static void print_result(const eval *v, const dv_verify_result *r)
{
    const cli_embedded *m = &v->m;
    if (!v->o.json && !v->o.quiet) {
        printf("%s: accuracy %.2f%% +- %.2f, TAR %.2f%% at FAR 1e-2, %.2f%% at FAR 1e-3\n", m->name,
               100 * r->accuracy, 100 * r->std, 100 * r->tar_1e2, 100 * r->tar_1e3);
        printf("%zu pairs of %zu pictures in %zu folds, %zu without a face; threshold %.3f "
               "(similarity %.3f)\n",
               v->pairs.n, v->pairs.n_names, v->pairs.folds, m->faceless, r->threshold,
               1 - r->threshold / 2);
        const char *sep = "similarity thresholds, for `model import --thresholds`: ";
        const char *end = "";
        for (size_t k = 0; k < DV_COUNT(rates); k++) {
            double similarity = similarity_at(v, rates[k]);
            if (isnan(similarity))
                continue;
            printf("%s%g:%.4f", sep, rates[k], similarity);
            sep = ",";
            end = "\n";
        }
        printf("%s", end);
        if (m->cached < m->n)
            printf("%.2f ms a picture on one thread (read, %sembed), ", m->ms,
                   v->aligned ? "" : "detect, align, ");
        printf("%.1f s in all on %d thread%s, %s; %zu of %zu embeddings from the cache\n",
               m->seconds, m->threads, m->threads == 1 ? "" : "s", m->cpu, m->cached, m->n);
    }
    cli_json j = {.f = stdout};
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "model", m->name);
    cli_js_text(&j, "id", m->id);
    cli_js_real(&j, "accuracy", r->accuracy, 8);
    cli_js_real(&j, "std", r->std, 8);
    cli_js_open(&j, "tar", '{');
    cli_js_real(&j, "0.01", r->tar_1e2, 8);
    cli_js_real(&j, "0.001", r->tar_1e3, 8);
    cli_js_close(&j, '}');
    cli_js_int(&j, "pairs", (long long)v->pairs.n);
    cli_js_int(&j, "missing_faces", (long long)m->faceless);
    cli_js_open(&j, "thresholds", '{');
    for (size_t i = 0; i < DV_COUNT(rates); i++) {
        char key[24];
        snprintf(key, sizeof key, "%g", rates[i]);
        cli_js_fixed(&j, key, similarity_at(v, rates[i]), 4);
    }
    cli_js_close(&j, '}');
    cli_js_int(&j, "pictures", (long long)v->pairs.n_names);
    cli_js_int(&j, "cached", (long long)m->cached);
    cli_js_int(&j, "folds", (long long)v->pairs.folds);
    cli_js_real(&j, "threshold_distance", r->threshold, 6);
    cli_js_bool(&j, "mirror", v->o.mirror);
    cli_js_real(&j, "ms_per_picture", m->ms, 5);
    cli_js_real(&j, "seconds", m->seconds, 5);
    cli_js_int(&j, "threads", m->threads);
    cli_js_text(&j, "cpu", m->cpu);
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

/* Embeds every picture and scores the pairs; prints errors. */
static bool score(eval *v, const char *pairs, dv_verify_result *r)
{
    dv_err e = {0};
    if (dv_pairs_load(pairs, &v->pairs, &e))
        return cli_error("%s", e.msg), false;
    cli_embed_job job = {
        .o = &v->o,
        .names = v->pairs.names,
        .n = v->pairs.n_names,
        .folder = v->images,
        .aligned = v->aligned,
        .no_cache = v->no_cache,
        .remedy = "--images must name the folder that the list's names are below",
    };
    if (!cli_embed_pictures(&job, &v->m))
        return false;
    v->dist = dv_calloc(v->pairs.n, sizeof *v->dist);
    if (!v->dist)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < v->pairs.n; i++)
        v->dist[i] = distance(v, &v->pairs.pair[i]);
    if (dv_verify_score(&v->pairs, v->dist, r, &e))
        return cli_error("%s: %s", pairs, e.msg), false;
    return true;
}

static void close_eval(eval *v)
{
    dv_free(v->dist);
    cli_embedded_free(&v->m);
    dv_pairs_free(&v->pairs);
    dv_free(v);
}

bool cli_eval_pairs(const cli_common *o, const char *model, const char *images, const char *pairs,
                    int aligned, dv_verify_result *r)
{
    eval *v = dv_calloc(1, sizeof *v);
    if (!v)
        return cli_error("out of memory"), false;
    v->o = *o;
    v->o.model = model;
    v->images = images;
    v->aligned = aligned;
    bool ok = score(v, pairs, r);
    close_eval(v);
    return ok;
}

static int run(eval *v, const char *pairs, const char *dump_path)
{
    dv_verify_result r;
    if (!score(v, pairs, &r) || (dump_path && !dump(v, dump_path)))
        return CLI_ERROR;
    print_result(v, &r);
    return CLI_YES;
}

int cli_eval_verify(int argc, char **argv)
{
    const char *pairs = NULL, *dump_path = NULL;
    size_t n;
    int done;
    eval *v = dv_calloc(1, sizeof *v);
    if (!v)
        return cli_error("out of memory");
    v->o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MODEL | CLI_USE_MIRROR;
    cli_option own[] = {
        {"images", "DIR", "folder that the names in the list are below. Needed", CLI_TEXT,
         &v->images},
        {"pairs", "FILE", "LFW's pairs.txt, or lines a<TAB>b<TAB>1|0. Needed", CLI_TEXT, &pairs},
        {"aligned", NULL, "the pictures are faces of 112 x 112", CLI_FLAG, &v->aligned},
        {"no-cache", NULL, "embed again, and keep nothing", CLI_FLAG, &v->no_cache},
        {"dump", "FILE", "write a, b, same, squared distance of every pair", CLI_TEXT, &dump_path},
    };
    int code = CLI_ERROR;
    if (!cli_parse(
            argc, argv,
            "domovoi eval verify [options] --images DIR --pairs FILE\n\n"
            "Accuracy on pairs the way LFW is scored: per fold the best threshold of the "
            "other\nfolds. A picture without a face counts as distance 4. The last line is "
            "JSON.",
            "  domovoi eval verify --images lfw112 --pairs pairs.txt --aligned --mirror\n"
            "  domovoi eval verify --images photos --pairs p.txt --model new.dmv --dump d.tsv\n",
            &v->o, own, DV_COUNT(own), NULL, 0, &n, &done))
        code = done;
    else if (!v->images || !pairs)
        cli_error("--images and --pairs are needed; `domovoi eval verify --help` shows the form");
    else
        code = run(v, pairs, dump_path);
    close_eval(v);
    return code;
}
