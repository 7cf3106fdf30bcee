/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_eval.c - `domovoi eval verify`: how well a net tells people apart, on a list of pairs.
 * Every picture is embedded once; workers share the models and have a context and a pipeline
 * each. A picture without a face counts as distance 4, the largest there is: leaving it out
 * would reward a detector that finds easy faces only.
 */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/eval.h"

#define MAX_WORKERS 64
#define MAX_DIST 4.0
#define SHOWN_MISSING 10

enum { HAVE_NOTHING, HAVE_VECTOR, HAVE_NO_FACE };

typedef struct eval eval;

typedef struct worker {
    dmv_context *ctx;
    dmv_pipeline *pipe;
    dmv_face *faces;
    uint64_t busy_ns;
    dv_err err; /* of the first picture that failed here */
} worker;

struct eval {
    cli_common o;
    cli_faces models;
    const char *images;
    int aligned;
    dv_pairs pairs;
    char **paths; /* one a name */
    size_t dim;
    float *vectors; /* n_names x dim */
    uint8_t *state; /* HAVE_* */
    double *dist;
    worker workers[MAX_WORKERS];
    int n_workers;
    atomic_size_t done;
    atomic_bool stop;
    cli_progress bar;
};

static bool make_paths(eval *v)
{
    size_t missing = 0;
    v->paths = dv_calloc(v->pairs.n_names, sizeof *v->paths);
    if (!v->paths)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < v->pairs.n_names; i++) {
        size_t size = strlen(v->images) + strlen(v->pairs.names[i]) + 2;
        v->paths[i] = dv_malloc(size);
        if (!v->paths[i])
            return cli_error("out of memory"), false;
        snprintf(v->paths[i], size, "%s/%s", v->images, v->pairs.names[i]);
        if (access(v->paths[i], R_OK) != 0 && missing++ < SHOWN_MISSING)
            cli_error("%s: %s", v->paths[i], strerror(errno));
    }
    if (missing)
        cli_error("%zu of %zu pictures are missing; --images must name the folder that the list's "
                  "names are below",
                  missing, v->pairs.n_names);
    return missing == 0;
}

static bool open_workers(eval *v)
{
    dmv_pipeline_options p;
    cli_common o = v->o;
    cli_pipeline_options(&v->o, &p);
    p.quality = 0;
    o.threads = 1;
    for (int i = 0; i < v->n_workers; i++) {
        worker *w = &v->workers[i];
        if (cli_context_open(&o, &w->ctx))
            return false;
        if (dmv_pipeline_open(w->ctx, v->models.det, v->models.lmk, v->models.emb, &p, &w->pipe)) {
            cli_error("%s", dmv_error(w->ctx));
            return false;
        }
        w->faces = dv_calloc(CLI_MAX_FACES, sizeof *w->faces);
        if (!w->faces) {
            cli_error("out of memory");
            return false;
        }
    }
    v->dim = dmv_pipeline_dim(v->workers[0].pipe);
    return true;
}

static dmv_status embed(eval *v, worker *w, size_t i)
{
    dv_picture pic;
    size_t n = 0;
    float *out = v->vectors + i * v->dim;
    dmv_status s = dv_image_load(v->paths[i], &pic, &w->err);
    if (s)
        return s;
    dmv_image view = dv_picture_view(&pic);
    if (v->aligned) {
        if (pic.width != DMV_ALIGNED_SIZE || pic.height != DMV_ALIGNED_SIZE)
            s = dv_fail(&w->err, DMV_ERR_ARGUMENT, "%s: is %d x %d; --aligned takes 112 x 112",
                        v->paths[i], pic.width, pic.height);
        else if ((s = dmv_pipeline_embed_aligned(w->pipe, &view, out)))
            dv_fail(&w->err, s, "%s: %s", v->paths[i], dmv_error(w->ctx));
        v->state[i] = HAVE_VECTOR;
    } else {
        s = dmv_pipeline_detect(w->pipe, &view, w->faces, CLI_MAX_FACES, &n);
        if (!s && n)
            s = dmv_pipeline_embed(w->pipe, &view, &w->faces[cli_best_face(w->faces, n)], out);
        if (s)
            dv_fail(&w->err, s, "%s: %s", v->paths[i], dmv_error(w->ctx));
        v->state[i] = n ? HAVE_VECTOR : HAVE_NO_FACE;
    }
    dv_picture_free(&pic);
    return s;
}

static void task(void *arg, size_t i, int number)
{
    eval *v = arg;
    worker *w = &v->workers[number];
    if (atomic_load(&v->stop))
        return;
    uint64_t t = dv_now_ns();
    if (embed(v, w, i))
        atomic_store(&v->stop, true);
    w->busy_ns += dv_now_ns() - t;
    size_t done = atomic_fetch_add(&v->done, 1) + 1;
    if (number == 0)
        cli_progress_update(&v->bar, done);
}

static bool embed_all(eval *v, double *ms_each, double *seconds)
{
    dv_err e = {0};
    dv_pool *pool = NULL;
    size_t cells;
    v->state = dv_calloc(v->pairs.n_names, 1);
    v->vectors = dv_mul(v->pairs.n_names, v->dim, &cells) ? dv_calloc(cells, sizeof(float)) : NULL;
    v->dist = dv_calloc(v->pairs.n, sizeof *v->dist);
    if (!v->state || !v->vectors || !v->dist) {
        cli_error("out of memory");
        return false;
    }
    if (dv_pool_open(v->n_workers, &pool, &e)) {
        cli_error("%s", e.msg);
        return false;
    }
    uint64_t start = dv_now_ns(), busy = 0;
    cli_progress_start(&v->bar, "embed", v->pairs.n_names, &v->o);
    dv_pool_run(pool, v->pairs.n_names, task, v);
    cli_progress_end(&v->bar);
    dv_pool_close(&pool);
    *seconds = (double)(dv_now_ns() - start) * 1e-9;
    for (int i = 0; i < v->n_workers; i++) {
        busy += v->workers[i].busy_ns;
        if (v->workers[i].err.code)
            cli_error("%s", v->workers[i].err.msg);
    }
    *ms_each = (double)busy * 1e-6 / (double)v->pairs.n_names;
    return !atomic_load(&v->stop);
}

/* Squared Euclidean distance of unit vectors, summed in double. */
static double distance(const eval *v, const dv_pair *p)
{
    if (v->state[p->a] != HAVE_VECTOR || v->state[p->b] != HAVE_VECTOR)
        return MAX_DIST;
    const float *a = v->vectors + p->a * v->dim, *b = v->vectors + p->b * v->dim;
    double sum = 0;
    for (size_t i = 0; i < v->dim; i++)
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

static void print_result(const eval *v, const dv_verify_result *r, size_t missing, double ms,
                         double seconds)
{
    const char *name = dmv_model_text(v->models.emb, "name");
    if (!v->o.json && !v->o.quiet) {
        printf("%s: accuracy %.2f%% +- %.2f, TAR %.2f%% at FAR 1e-2, %.2f%% at FAR 1e-3\n",
               name ? name : "unnamed net", 100 * r->accuracy, 100 * r->std, 100 * r->tar_1e2,
               100 * r->tar_1e3);
        printf("%zu pairs of %zu pictures in %zu folds, %zu without a face; threshold %.3f "
               "(similarity %.3f)\n",
               v->pairs.n, v->pairs.n_names, v->pairs.folds, missing, r->threshold,
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
        printf(
            "%.2f ms a picture on one thread (read, %sembed), %.1f s in all on %d thread%s, %s\n",
            ms, v->aligned ? "" : "detect, align, ", seconds, v->n_workers,
            v->n_workers == 1 ? "" : "s", v->workers[0].ctx->cpu_names);
    }
    cli_json j = {.f = stdout};
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "model", name);
    cli_js_text(&j, "id", dmv_model_id(v->models.emb));
    cli_js_real(&j, "accuracy", r->accuracy, 8);
    cli_js_real(&j, "std", r->std, 8);
    cli_js_open(&j, "tar", '{');
    cli_js_real(&j, "0.01", r->tar_1e2, 8);
    cli_js_real(&j, "0.001", r->tar_1e3, 8);
    cli_js_close(&j, '}');
    cli_js_int(&j, "pairs", (long long)v->pairs.n);
    cli_js_int(&j, "missing_faces", (long long)missing);
    cli_js_open(&j, "thresholds", '{');
    for (size_t i = 0; i < DV_COUNT(rates); i++) {
        char key[24];
        snprintf(key, sizeof key, "%g", rates[i]);
        cli_js_fixed(&j, key, similarity_at(v, rates[i]), 4);
    }
    cli_js_close(&j, '}');
    cli_js_int(&j, "pictures", (long long)v->pairs.n_names);
    cli_js_int(&j, "folds", (long long)v->pairs.folds);
    cli_js_real(&j, "threshold_distance", r->threshold, 6);
    cli_js_bool(&j, "mirror", v->o.mirror);
    cli_js_real(&j, "ms_per_picture", ms, 5);
    cli_js_real(&j, "seconds", seconds, 5);
    cli_js_int(&j, "threads", v->n_workers);
    cli_js_text(&j, "cpu", v->workers[0].ctx->cpu_names);
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

typedef struct outcome {
    dv_verify_result r;
    size_t missing;
    double ms, seconds;
} outcome;

/* Embeds every picture and scores the pairs; prints errors. */
static bool score(eval *v, const char *pairs, outcome *out)
{
    dv_err e = {0};
    cli_common one = v->o;
    one.threads = 1;
    if (dv_pairs_load(pairs, &v->pairs, &e))
        return cli_error("%s", e.msg), false;
    int want = CLI_WANT_EMBEDDER | (v->aligned ? 0 : CLI_WANT_DETECTOR);
    if (!make_paths(v) || cli_context_open(&one, &v->models.ctx) ||
        !cli_models_open(&v->models, &v->o, want))
        return false;
    v->n_workers = v->o.threads ? v->o.threads : DV_MIN(dv_cpu_count(), MAX_WORKERS);
    if (!open_workers(v) || !embed_all(v, &out->ms, &out->seconds))
        return false;
    out->missing = 0;
    for (size_t i = 0; i < v->pairs.n_names; i++)
        out->missing += v->state[i] == HAVE_NO_FACE;
    for (size_t i = 0; i < v->pairs.n; i++)
        v->dist[i] = distance(v, &v->pairs.pair[i]);
    if (dv_verify_score(&v->pairs, v->dist, &out->r, &e))
        return cli_error("%s: %s", pairs, e.msg), false;
    return true;
}

static void close_eval(eval *v)
{
    for (int i = 0; i < v->n_workers; i++) {
        dmv_pipeline_close(&v->workers[i].pipe);
        dmv_context_close(&v->workers[i].ctx);
        dv_free(v->workers[i].faces);
    }
    for (size_t i = 0; v->paths && i < v->pairs.n_names; i++)
        dv_free(v->paths[i]);
    dv_free(v->paths);
    dv_free(v->vectors);
    dv_free(v->state);
    dv_free(v->dist);
    dv_pairs_free(&v->pairs);
    cli_faces_close(&v->models);
    dv_free(v);
}

bool cli_eval_pairs(const cli_common *o, const char *model, const char *images, const char *pairs,
                    int aligned, dv_verify_result *r)
{
    outcome out;
    eval *v = dv_calloc(1, sizeof *v);
    if (!v)
        return cli_error("out of memory"), false;
    v->o = *o;
    v->o.model = model;
    v->images = images;
    v->aligned = aligned;
    bool ok = score(v, pairs, &out);
    if (ok)
        *r = out.r;
    close_eval(v);
    return ok;
}

static int run(eval *v, const char *pairs, const char *dump_path)
{
    outcome out;
    if (!score(v, pairs, &out) || (dump_path && !dump(v, dump_path)))
        return CLI_ERROR;
    print_result(v, &out.r, out.missing, out.ms, out.seconds);
    return CLI_YES;
}

static int run_verify(int argc, char **argv)
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

int cli_eval(int argc, char **argv)
{
    static const cli_verb subs[] = {
        {"verify", "accuracy and true-accept rates on a list of pairs", run_verify},
    };
    return cli_subverb(argc, argv, subs, DV_COUNT(subs), "domovoi eval WORD ...");
}
