/* SPDX-License-Identifier: Apache-2.0
 *
 * detect_pictures.c - the faces of a list of pictures, for evaluations: every worker has a context
 * and a pipeline of one thread, the models are shared. The boxes come in the order of the
 * pictures, however many workers there were.
 */
#include "cli.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "eval/detect.h"

#define MAX_WORKERS 64
#define MAX_FACES 2048 /* as many as the pipeline keeps */
#define SHOWN 10

typedef struct worker {
    dmv_context *ctx;
    dmv_pipeline *pipe;
    dmv_face *faces;
    uint64_t busy_ns;
    dv_err err; /* of the first picture that stopped everything */
} worker;

typedef struct picture {
    dv_boxes boxes;
    int width, height;
} picture;

typedef struct run {
    const cli_detect_job *job;
    cli_detected *out;
    cli_common o;
    cli_faces models;
    picture *pictures;
    worker workers[MAX_WORKERS];
    int n_workers;
    atomic_size_t done;
    atomic_bool stop;
    cli_progress bar;
} run;

static bool open_workers(run *r)
{
    dmv_pipeline_options p;
    cli_common one = r->o;
    one.threads = 1;
    cli_pipeline_options(&r->o, &p);
    p.quality = 0;
    for (int i = 0; i < r->n_workers; i++) {
        worker *w = &r->workers[i];
        if (cli_context_open(&one, &w->ctx))
            return false;
        if (dmv_pipeline_open(w->ctx, r->models.det, r->models.lmk, NULL, &p, &w->pipe))
            return cli_error("%s", dmv_error(w->ctx)), false;
        w->faces = dv_calloc(MAX_FACES, sizeof *w->faces);
        if (!w->faces)
            return cli_error("out of memory"), false;
    }
    return true;
}

static bool keep(const dmv_face *f, uint32_t image, dv_boxes *out)
{
    dv_box b = {.image = image,
                .x = f->box[0],
                .y = f->box[1],
                .w = DV_MAX(f->box[2], 0.0f),
                .h = DV_MAX(f->box[3], 0.0f),
                .score = f->score};
    if (f->has_landmarks) {
        memcpy(b.points, f->landmarks, sizeof b.points);
        b.flags = DV_BOX_POINTS;
    }
    return dv_boxes_add(out, &b);
}

/* false = everything stops. A picture that cannot be read or decoded is missing. */
static bool detect(run *r, worker *w, size_t i)
{
    dv_picture pic = {0};
    size_t n = 0;
    picture *p = &r->pictures[i];
    if (dv_image_load(r->job->paths[i], &pic, NULL)) {
        r->out->missing[i] = 1;
        return true;
    }
    dmv_image view = dv_picture_view(&pic);
    p->width = pic.width;
    p->height = pic.height;
    dmv_status s = dmv_pipeline_detect(w->pipe, &view, w->faces, MAX_FACES, &n);
    dv_picture_free(&pic);
    if (s) {
        dv_fail(&w->err, s, "%s: %s", r->job->paths[i], dmv_error(w->ctx));
        return false;
    }
    for (size_t k = 0; k < n; k++) {
        if (!keep(&w->faces[k], r->job->image[i], &p->boxes)) {
            dv_nomem(&w->err);
            return false;
        }
    }
    return true;
}

static void task(void *arg, size_t i, int number)
{
    run *r = arg;
    worker *w = &r->workers[number];
    if (atomic_load(&r->stop))
        return;
    uint64_t t = dv_now_ns();
    if (!detect(r, w, i))
        atomic_store(&r->stop, true);
    w->busy_ns += dv_now_ns() - t;
    size_t done = atomic_fetch_add(&r->done, 1) + 1;
    if (number == 0)
        cli_progress_update(&r->bar, done);
}

/* Names the missing pictures; false if they forbid to go on. */
static bool judge_missing(const run *r)
{
    const cli_detect_job *job = r->job;
    size_t shown = 0;
    for (size_t i = 0; i < job->n; i++) {
        dv_err e = {0};
        dv_picture pic = {0};
        if (!r->out->missing[i] || r->out->n_missing++ >= SHOWN)
            continue;
        shown++;
        if (dv_image_load(job->paths[i], &pic, &e)) {
            if (job->allow_missing)
                cli_warn("%s", e.msg);
            else
                cli_error("%s", e.msg);
        }
        dv_picture_free(&pic);
    }
    if (!r->out->n_missing)
        return true;
    if (!job->allow_missing)
        return cli_error("%zu of %zu pictures are missing; %s", r->out->n_missing, job->n,
                         job->remedy),
               false;
    cli_warn("%zu of %zu pictures are missing%s and left out with their truth", r->out->n_missing,
             job->n, r->out->n_missing > shown ? ", the first are named above," : "");
    return r->out->n_missing < job->n || (cli_error("no picture is left"), false);
}

static bool collect(run *r)
{
    cli_detected *out = r->out;
    bool first = true;
    for (size_t i = 0; i < r->job->n; i++) {
        const picture *p = &r->pictures[i];
        if (out->missing[i])
            continue;
        if (first) {
            out->width = p->width;
            out->height = p->height;
        } else if (p->width != out->width || p->height != out->height) {
            out->width = out->height = 0;
        }
        first = false;
        for (size_t k = 0; k < p->boxes.n; k++)
            if (!dv_boxes_add(out->boxes, &p->boxes.v[k]))
                return cli_error("out of memory"), false;
    }
    return true;
}

static bool detect_all(run *r)
{
    dv_err e = {0};
    dv_pool *pool = NULL;
    if (dv_pool_open(r->n_workers, &pool, &e))
        return cli_error("%s", e.msg), false;
    uint64_t start = dv_now_ns(), busy = 0;
    cli_progress_start(&r->bar, "detect", r->job->n, &r->o);
    dv_pool_run(pool, r->job->n, task, r);
    cli_progress_end(&r->bar);
    dv_pool_close(&pool);
    r->out->seconds = (double)(dv_now_ns() - start) * 1e-9;
    for (int i = 0; i < r->n_workers; i++) {
        busy += r->workers[i].busy_ns;
        if (r->workers[i].err.code)
            return cli_error("%s", r->workers[i].err.msg), false;
    }
    r->out->ms = (double)busy * 1e-6 / (double)r->job->n;
    return judge_missing(r) && collect(r);
}

static void describe(run *r)
{
    const char *name = dmv_model_text(r->models.det, "name");
    snprintf(r->out->name, sizeof r->out->name, "%s", name ? name : "unnamed net");
    snprintf(r->out->id, sizeof r->out->id, "%s", dmv_model_id(r->models.det));
    snprintf(r->out->cpu, sizeof r->out->cpu, "%s", r->workers[0].ctx->cpu_names);
    r->out->threads = r->n_workers;
}

bool cli_detect_pictures(const cli_detect_job *job, cli_detected *out)
{
    memset(out, 0, sizeof *out);
    run *r = dv_calloc(1, sizeof *r);
    if (!r)
        return cli_error("out of memory"), false;
    r->job = job;
    r->out = out;
    r->o = *job->o;
    if (job->detector)
        r->o.detector = job->detector;
    int threads = r->o.threads ? r->o.threads : dv_cpu_count();
    r->n_workers = (int)DV_MIN((size_t)DV_MIN(threads, MAX_WORKERS), DV_MAX(job->n, (size_t)1));
    out->boxes = dv_calloc(1, sizeof *out->boxes);
    out->missing = dv_calloc(job->n + 1, 1);
    r->pictures = dv_calloc(job->n + 1, sizeof *r->pictures);
    bool ok = out->boxes && out->missing && r->pictures;
    if (!ok)
        cli_error("out of memory");
    cli_common one = r->o;
    one.threads = 1;
    ok = ok && !cli_context_open(&one, &r->models.ctx) &&
         cli_models_open(&r->models, &r->o, CLI_WANT_DETECTOR) && open_workers(r);
    if (ok)
        describe(r);
    ok = ok && detect_all(r);
    for (int i = 0; i < r->n_workers; i++) {
        dmv_pipeline_close(&r->workers[i].pipe);
        dmv_context_close(&r->workers[i].ctx);
        dv_free(r->workers[i].faces);
    }
    for (size_t i = 0; r->pictures && i < job->n; i++)
        dv_boxes_free(&r->pictures[i].boxes);
    dv_free(r->pictures);
    cli_faces_close(&r->models);
    dv_free(r);
    if (!ok)
        cli_detected_free(out);
    return ok;
}

void cli_detected_free(cli_detected *d)
{
    if (d->boxes)
        dv_boxes_free(d->boxes);
    dv_free(d->boxes);
    dv_free(d->missing);
    memset(d, 0, sizeof *d);
}
