/* SPDX-License-Identifier: Apache-2.0
 *
 * embed_pictures.c - a list of pictures to a matrix of embeddings, for the evaluations: every
 * worker has a context and a pipeline of one thread, the models are shared, and what an earlier
 * run found is taken from the cache (src/eval/cache.h).
 *
 * A cached vector must be the one that this program would find now. So the key covers, beside the
 * picture and the model, the options, the other nets, and a fingerprint: a made-up picture goes
 * through the same nets first, and what comes out, to the last bit, is part of the key. Another
 * instruction set or a changed kernel then has a key of its own.
 */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/cache.h"

#define MAX_WORKERS 64
#define SHOWN 10
#define RULES 1 /* raise when decoding or the choice of the face changes */

typedef struct worker {
    dmv_context *ctx;
    dmv_pipeline *pipe;
    dmv_face *faces;
    uint64_t busy_ns;
    dv_err err; /* of the first picture that stopped everything */
} worker;

typedef struct run {
    const cli_embed_job *job;
    cli_embedded *out;
    cli_common o;
    cli_faces models;
    dv_cache *cache;
    char words[512];
    worker workers[MAX_WORKERS];
    int n_workers;
    atomic_size_t done, cached;
    atomic_bool stop;
    cli_progress bar;
} run;

/* ---- the cache ---- */

/* mkdir -p for the owner only; no message. */
static bool make_private(char *path)
{
    for (char *s = path + 1;; s++) {
        char c = *s;
        if (c != '/' && c != 0)
            continue;
        *s = 0;
        bool ok = mkdir(path, 0700) == 0 || errno == EEXIST;
        *s = c;
        if (!ok || c == 0)
            return ok;
    }
}

static bool cache_folder(char *buf, size_t size)
{
    const char *own = getenv("DOMOVOI_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    int n;
    if (own && *own)
        n = snprintf(buf, size, "%s/embeddings", own);
    else if (xdg && xdg[0] == '/')
        n = snprintf(buf, size, "%s/domovoi/embeddings", xdg);
    else if (home && *home)
        n = snprintf(buf, size, "%s/.cache/domovoi/embeddings", home);
    else
        return false;
    return n > 0 && (size_t)n < size;
}

static void open_cache(run *r)
{
    char folder[4096];
    dv_err e = {0};
    if (r->job->no_cache)
        return;
    if (!cache_folder(folder, sizeof folder))
        return cli_warn("no home folder: embeddings are not kept; set DOMOVOI_CACHE to a folder");
    if (!make_private(folder))
        return cli_warn("%s: %s; embeddings are not kept", folder, strerror(errno));
    if (dv_cache_open(folder, r->out->id, r->out->dim, &r->cache, &e))
        cli_warn("%s", e.msg);
}

static void close_cache(run *r)
{
    dv_err e = {0};
    if (!r->cache)
        return;
    size_t damaged = dv_cache_damaged(r->cache);
    if (damaged)
        cli_warn("%zu damaged records in the cache of %s were left out", damaged, r->out->id);
    if (dv_cache_close(&r->cache, &e))
        cli_warn("%s", e.msg);
}

/* ---- fingerprint ---- */

#define MADE 160

static void paint(uint8_t *rgb)
{
    uint32_t s = 12345;
    for (int y = 0; y < MADE; y++)
        for (int x = 0; x < MADE; x++)
            for (int c = 0; c < 3; c++) {
                s = s * 1664525u + 1013904223u;
                *rgb++ = (uint8_t)(64 + x * (c + 1) / 3 + (y * (3 - c) & 63) + (int)(s >> 27));
            }
}

static bool mark(run *r, dv_sha256 *h, const uint8_t *rgb)
{
    static const float at[5][2] = {
        {38.2946f, 51.6963f}, {73.5318f, 51.5014f}, {56.0252f, 71.7366f},
        {41.5493f, 92.3655f}, {70.7299f, 92.2041f},
    };
    worker *w = &r->workers[0];
    dmv_pipeline *all = NULL;
    dmv_pipeline_options p;
    dmv_image img = {rgb, MADE, MADE, MADE * 3, DMV_PIXEL_RGB8};
    dmv_face face = {.box = {24, 24, 112, 112}, .score = 1, .has_landmarks = 1};
    float *v = dv_calloc(r->out->dim, sizeof *v);
    size_t n = 0;
    for (int i = 0; i < 5; i++) {
        face.landmarks[i][0] = at[i][0] * 1.1f + 19.3f;
        face.landmarks[i][1] = at[i][1] * 1.1f + 17.9f;
    }
    bool ok = v && !dmv_pipeline_embed(w->pipe, &img, &face, v);
    if (ok)
        dv_sha256_update(h, v, r->out->dim * sizeof *v);
    dv_free(v);
    if (!ok || r->job->aligned)
        return ok;
    cli_pipeline_options(&r->o, &p);
    p.score_threshold = 0; /* whatever the detector takes for a face */
    p.scales = 1;
    p.quality = 0;
    ok = !dmv_pipeline_open(w->ctx, r->models.det, r->models.lmk, NULL, &p, &all) &&
         !dmv_pipeline_detect(all, &img, w->faces, 8, &n);
    for (size_t i = 0; ok && i < n; i++) {
        dv_sha256_update(h, w->faces[i].box, sizeof w->faces[i].box);
        dv_sha256_update(h, &w->faces[i].score, sizeof w->faces[i].score);
        dv_sha256_update(h, w->faces[i].landmarks, sizeof w->faces[i].landmarks);
    }
    dmv_pipeline_close(&all);
    return ok;
}

static bool make_words(run *r)
{
    static uint8_t rgb[MADE * MADE * 3];
    uint8_t sum[32];
    char hex[65], rest[256] = "aligned";
    dv_sha256 h;
    paint(rgb);
    dv_sha256_init(&h);
    if (!mark(r, &h, rgb))
        return cli_error("%s: %s", r->out->name, dmv_error(r->workers[0].ctx)), false;
    dv_sha256_final(&h, sum);
    dv_hex(sum, sizeof sum, hex);
    if (!r->job->aligned)
        snprintf(rest, sizeof rest, "detector %s landmarks %s score %.9g side %d scales %d",
                 dmv_model_id(r->models.det), r->models.lmk ? dmv_model_id(r->models.lmk) : "none",
                 (double)r->o.min_score, r->o.max_side, r->o.scales);
    snprintf(r->words, sizeof r->words, "rules %d mirror %d %s %s fingerprint %s", RULES,
             r->o.mirror != 0, rest, r->job->change ? r->job->change_words : "", hex);
    return true;
}

/* ---- one picture ---- */

static char *path_of(const cli_embed_job *job, size_t i)
{
    size_t size = (job->folder ? strlen(job->folder) : 0) + strlen(job->names[i]) + 2;
    char *path = dv_malloc(size);
    if (path && job->folder)
        snprintf(path, size, "%s/%s", job->folder, job->names[i]);
    else if (path)
        memcpy(path, job->names[i], size - 1);
    return path;
}

static dmv_status find_vector(run *r, worker *w, const dv_picture *pic, const char *name,
                              float *out, uint8_t *state)
{
    size_t n = 1;
    dmv_status s;
    dmv_image view = dv_picture_view(pic);
    if (r->job->aligned) {
        if (pic->width != DMV_ALIGNED_SIZE || pic->height != DMV_ALIGNED_SIZE)
            return dv_fail(&w->err, DMV_ERR_ARGUMENT,
                           "%s: is %d x %d; --aligned takes pictures of 112 x 112", name,
                           pic->width, pic->height);
        s = dmv_pipeline_embed_aligned(w->pipe, &view, out);
    } else {
        s = dmv_pipeline_detect(w->pipe, &view, w->faces, CLI_MAX_FACES, &n);
        if (!s && n)
            s = dmv_pipeline_embed(w->pipe, &view, &w->faces[cli_best_face(w->faces, n)], out);
    }
    if (s)
        return dv_fail(&w->err, s, "%s: %s", name, dmv_error(w->ctx));
    for (size_t i = 0; n && i < r->out->dim; i++)
        if (!isfinite(out[i]))
            return dv_fail(&w->err, DMV_ERR_FORMAT,
                           "%s: its embedding has numbers that are not finite; "
                           "`domovoi model verify` checks the net",
                           name);
    *state = n ? CLI_PICTURE_VECTOR : CLI_PICTURE_NO_FACE;
    return DMV_OK;
}

/* false = everything stops, w->err says why. A picture that cannot be read or decoded is
 * missing. */
static bool embed(run *r, worker *w, size_t i)
{
    const cli_embed_job *job = r->job;
    uint8_t *data = NULL, key[32], *state = &r->out->state[i];
    float *out = r->out->vectors + i * r->out->dim;
    size_t size = 0;
    dv_picture pic = {0};
    char *path = path_of(job, i);
    bool ok = true;
    if (!path)
        return dv_nomem(&w->err), false;
    if (job->memory) {
        data = (uint8_t *)(uintptr_t)job->memory[i].data; /* only read */
        size = job->memory[i].size;
    } else if (dv_read_file(path, DV_IMAGE_MAX_FILE, &data, &size, NULL)) {
        goto done;
    }
    if (r->cache) {
        dv_cache_key(data, size, r->words, key);
        int have = dv_cache_get(r->cache, key, out);
        if (have != DV_CACHED_NOTHING) {
            *state = have == DV_CACHED_VECTOR ? CLI_PICTURE_VECTOR : CLI_PICTURE_NO_FACE;
            atomic_fetch_add(&r->cached, 1);
            goto done;
        }
    }
    if (dv_image_decode(data, size, job->names[i], &pic, NULL))
        goto done;
    if (job->change && job->change(job->change_user, &pic, &w->err)) {
        ok = false;
        goto done;
    }
    ok = find_vector(r, w, &pic, path, out, state) == DMV_OK;
    if (ok && r->cache)
        dv_cache_put(r->cache, key, *state == CLI_PICTURE_VECTOR ? out : NULL);
done:
    dv_picture_free(&pic);
    if (!job->memory)
        dv_free(data);
    dv_free(path);
    return ok;
}

static void task(void *arg, size_t i, int number)
{
    run *r = arg;
    worker *w = &r->workers[number];
    if (atomic_load(&r->stop))
        return;
    uint64_t t = dv_now_ns();
    if (!embed(r, w, i))
        atomic_store(&r->stop, true);
    w->busy_ns += dv_now_ns() - t;
    size_t done = atomic_fetch_add(&r->done, 1) + 1;
    if (number == 0)
        cli_progress_update(&r->bar, done);
}

/* ---- all of them ---- */

/* What is wrong with the first pictures of that state, in the order of the list. */
static void name_some(const run *r, int state, void (*say)(const char *fmt, ...))
{
    size_t shown = 0, total = 0;
    for (size_t i = 0; i < r->job->n; i++) {
        if (r->out->state[i] != state || total++ >= SHOWN)
            continue;
        shown++;
        dv_err e = {0};
        dv_picture pic = {0};
        char *path = path_of(r->job, i);
        const char *name = path ? path : r->job->names[i];
        if (state == CLI_PICTURE_NO_FACE)
            say("%s: no face found", name);
        else if (r->job->memory ? dv_image_decode(r->job->memory[i].data, r->job->memory[i].size,
                                                  name, &pic, &e)
                                : dv_image_load(name, &pic, &e))
            say("%s", e.msg);
        dv_picture_free(&pic);
        dv_free(path);
    }
    if (total > shown)
        say("and %zu more", total - shown);
}

static void say_error(const char *fmt, ...)
{
    va_list ap;
    char buf[2048];
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    cli_error("%s", buf);
}

/* Counts the missing ones and says so; false if they forbid to go on. */
static bool judge_missing(run *r)
{
    const cli_embed_job *job = r->job;
    r->out->missing = 0;
    for (size_t i = 0; i < job->n; i++)
        r->out->missing += r->out->state[i] == CLI_PICTURE_MISSING;
    if (!r->out->missing)
        return true;
    name_some(r, CLI_PICTURE_MISSING, job->allow_missing ? cli_warn : say_error);
    (job->allow_missing ? cli_warn
                        : say_error)("%zu of %zu pictures are missing%s%s", r->out->missing, job->n,
                                     job->remedy && !job->allow_missing ? "; " : "",
                                     job->remedy && !job->allow_missing ? job->remedy : "");
    return job->allow_missing;
}

/* A list with pictures that are not there is refused before the nets run. */
static bool look_first(run *r)
{
    if (r->job->memory || r->job->allow_missing)
        return true;
    bool all = true;
    for (size_t i = 0; i < r->job->n; i++) {
        char *path = path_of(r->job, i);
        if (!path)
            return cli_error("out of memory"), false;
        bool there = access(path, R_OK) == 0;
        r->out->state[i] = there ? CLI_PICTURE_VECTOR : CLI_PICTURE_MISSING;
        all &= there;
        dv_free(path);
    }
    if (!all)
        judge_missing(r);
    memset(r->out->state, 0, r->job->n);
    return all;
}

static bool open_workers(run *r)
{
    dmv_pipeline_options p;
    cli_common one = r->o;
    cli_pipeline_options(&r->o, &p);
    p.quality = 0;
    one.threads = 1;
    for (int i = 0; i < r->n_workers; i++) {
        worker *w = &r->workers[i];
        if (cli_context_open(&one, &w->ctx))
            return false;
        if (dmv_pipeline_open(w->ctx, r->models.det, r->models.lmk, r->models.emb, &p, &w->pipe))
            return cli_error("%s", dmv_error(w->ctx)), false;
        w->faces = dv_calloc(CLI_MAX_FACES, sizeof *w->faces);
        if (!w->faces)
            return cli_error("out of memory"), false;
    }
    r->out->dim = dmv_pipeline_dim(r->workers[0].pipe);
    return true;
}

static bool run_all(run *r)
{
    dv_err e = {0};
    dv_pool *pool = NULL;
    cli_embedded *out = r->out;
    uint64_t start = dv_now_ns(), busy = 0;
    if (dv_pool_open(r->n_workers, &pool, &e))
        return cli_error("%s", e.msg), false;
    cli_progress_start(&r->bar, "embed", r->job->n, &r->o);
    dv_pool_run(pool, r->job->n, task, r);
    cli_progress_end(&r->bar);
    dv_pool_close(&pool);
    for (int i = 0; i < r->n_workers; i++) {
        busy += r->workers[i].busy_ns;
        if (r->workers[i].err.code)
            cli_error("%s", r->workers[i].err.msg);
    }
    out->seconds = (double)(dv_now_ns() - start) * 1e-9;
    out->cached = atomic_load(&r->cached);
    size_t fresh = r->job->n - out->cached;
    out->ms = fresh ? (double)busy * 1e-6 / (double)fresh : NAN;
    return !atomic_load(&r->stop);
}

static bool prepare(run *r)
{
    const cli_embed_job *job = r->job;
    cli_embedded *out = r->out;
    cli_common one = r->o;
    size_t cells;
    one.threads = 1;
    out->state = dv_calloc(DV_MAX(job->n, 1), 1);
    if (!out->state)
        return cli_error("out of memory"), false;
    int want = CLI_WANT_EMBEDDER | (job->aligned ? 0 : CLI_WANT_DETECTOR);
    if (!look_first(r) || cli_context_open(&one, &r->models.ctx) ||
        !cli_models_open(&r->models, &r->o, want))
        return false;
    r->n_workers = r->o.threads ? r->o.threads : DV_MIN(dv_cpu_count(), MAX_WORKERS);
    out->threads = r->n_workers;
    if (!open_workers(r))
        return false;
    const char *name = dmv_model_text(r->models.emb, "name");
    snprintf(out->name, sizeof out->name, "%s", name ? name : "unnamed net");
    snprintf(out->id, sizeof out->id, "%s", dmv_model_id(r->models.emb));
    snprintf(out->cpu, sizeof out->cpu, "%s", dmv_context_cpu(r->workers[0].ctx));
    out->vectors =
        dv_mul(DV_MAX(job->n, 1), out->dim, &cells) ? dv_calloc(cells, sizeof(float)) : NULL;
    if (!out->vectors)
        return cli_error("out of memory"), false;
    return make_words(r);
}

bool cli_embed_pictures(const cli_embed_job *job, cli_embedded *out)
{
    run *r = dv_calloc(1, sizeof *r);
    memset(out, 0, sizeof *out);
    if (!r)
        return cli_error("out of memory"), false;
    r->job = job;
    r->out = out;
    r->o = *job->o;
    if (job->model)
        r->o.model = job->model;
    out->n = job->n;
    bool ok = prepare(r);
    if (ok) {
        open_cache(r);
        ok = run_all(r);
        close_cache(r);
    }
    ok = ok && judge_missing(r);
    for (size_t i = 0; ok && i < job->n; i++)
        out->faceless += out->state[i] == CLI_PICTURE_NO_FACE;
    if (out->faceless) {
        name_some(r, CLI_PICTURE_NO_FACE, cli_warn);
        cli_warn("%zu of %zu pictures without a face", out->faceless, job->n);
    }
    for (int i = 0; i < r->n_workers; i++) {
        dmv_pipeline_close(&r->workers[i].pipe);
        dmv_context_close(&r->workers[i].ctx);
        dv_free(r->workers[i].faces);
    }
    cli_faces_close(&r->models);
    dv_free(r);
    if (!ok)
        cli_embedded_free(out);
    return ok;
}

void cli_embedded_free(cli_embedded *m)
{
    dv_free(m->vectors);
    dv_free(m->state);
    memset(m, 0, sizeof *m);
}
