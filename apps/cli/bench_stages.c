/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_stages.c - the way of a picture from file to names, one stage at a time, with a clock
 * between them. The stages are those of face/pipeline.c; the nets are opened once, so that
 * memory is what `identify` takes. An embedder whose input is not 112 x 112 gets its face by
 * way of that size here, and straight from the picture there.
 */
#include "bench.h"

#include <math.h>
#include <string.h>

#define SECOND_LOOK 1.2f /* as in face/pipeline.c */

static bool ctx_failed(bench_stages *s)
{
    cli_error("%s", dmv_error(s->f.ctx));
    return false;
}

static bool open_landmarks(bench_stages *s)
{
    dmv_pipeline *trial;
    if (dmv_pipeline_open(s->f.ctx, NULL, s->f.lmk, NULL, NULL, &trial))
        return ctx_failed(s); /* it checks what a landmark net must be */
    dmv_pipeline_close(&trial);
    if (dv_net_open(s->f.ctx, s->f.lmk, "landmarks", &s->lmk) ||
        dv_net_shape(&s->lmk, s->lmk.fixed_w, s->lmk.fixed_h, &s->f.ctx->err))
        return ctx_failed(s);
    const dv_meta_item *crop = dv_meta_get(&s->f.lmk->meta, "crop");
    s->crop = crop && crop->f && crop->n == 1 ? crop->f[0] : 1;
    s->points = (int)(dv_exec_output(s->lmk.x, 0)->count / 2);
    s->rgb = dv_malloc((size_t)s->lmk.w * (size_t)s->lmk.h * 3);
    if (!s->rgb)
        cli_error("out of memory");
    return s->rgb != NULL;
}

static bool open_all(bench_stages *s, const cli_common *o)
{
    dmv_pipeline_options p;
    if (cli_context_open(o, &s->f.ctx) ||
        !cli_models_open(&s->f, o, CLI_WANT_DETECTOR | CLI_WANT_EMBEDDER))
        return false;
    cli_pipeline_options(o, &p);
    p.quality = 0; /* has a stage of its own */
    if (dmv_pipeline_open(s->f.ctx, s->f.det, NULL, NULL, &p, &s->f.pipe) ||
        dmv_pipeline_open(s->f.ctx, NULL, NULL, s->f.emb, &p, &s->embed))
        return ctx_failed(s);
    if (s->f.lmk && !open_landmarks(s))
        return false;
    s->dim = dmv_pipeline_dim(s->embed);
    s->f.faces = dv_calloc(CLI_MAX_FACES, sizeof *s->f.faces);
    s->f.embedding = dv_calloc(s->dim, sizeof *s->f.embedding);
    s->best = dv_calloc(CLI_MAX_FACES, sizeof *s->best);
    s->aligned = dv_malloc(3 * DMV_ALIGNED_SIZE * DMV_ALIGNED_SIZE);
    if (s->f.faces && s->f.embedding && s->best && s->aligned)
        return true;
    cli_error("out of memory");
    return false;
}

bool bench_stages_open(bench_stages *s, const cli_common *o, const char *gallery, size_t made_up)
{
    memset(s, 0, sizeof *s);
    if (open_all(s, o) && bench_people_open(&s->people, gallery, made_up, &s->f, s->dim, o))
        return true;
    bench_stages_close(s);
    return false;
}

void bench_stages_close(bench_stages *s)
{
    bench_people_close(&s->people);
    dmv_pipeline_close(&s->embed);
    dv_net_close(&s->lmk);
    cli_faces_close(&s->f);
    dv_free(s->rgb);
    dv_free(s->aligned);
    dv_free(s->best);
    for (int i = 0; i < BENCH_STAGES; i++)
        dv_free(s->times[i].v);
    memset(s, 0, sizeof *s);
}

/* Where the landmark net sees the points in the square round box. */
static bool look(bench_stages *s, const dmv_image *img, const float box[4], float scale,
                 float (*pts)[2])
{
    float c[4];
    if (!dv_landmark_crop(img, box, scale, c))
        return false;
    dv_resize_rgb(img, c[0], c[1], c[2], c[3], s->lmk.w, s->lmk.h, s->rgb, 3 * (size_t)s->lmk.w);
    dv_net_run(&s->lmk, s->rgb);
    const float *v = dv_exec_output(s->lmk.x, 0)->f;
    for (int i = 0; i < s->points; i++) {
        pts[i][0] = c[0] + v[2 * i] * c[2];
        pts[i][1] = c[1] + v[2 * i + 1] * c[3];
        if (!(fabsf(pts[i][0]) < DV_FACE_REACH && fabsf(pts[i][1]) < DV_FACE_REACH))
            return false;
    }
    return true;
}

static void find_landmarks(bench_stages *s, const dmv_image *img, dmv_face *f)
{
    float pts[68][2], again[68][2], box[4];
    f->has_landmarks = look(s, img, f->box, s->crop, pts);
    if (!f->has_landmarks)
        return;
    if (s->points == 5) {
        memcpy(f->landmarks, pts, sizeof f->landmarks);
    } else {
        dv_landmark_bounds(pts, s->points, box);
        dv_landmarks_68_to_5(look(s, img, box, SECOND_LOOK, again) ? again : pts, f->landmarks);
    }
}

/* Ends a stage and begins the next. */
static bool lap(bench_stages *s, int stage, uint64_t *since, double *total)
{
    double ms = (double)(dv_now_ns() - *since) * 1e-6;
    bool ok = !s->timed || bench_add(&s->times[stage], ms);
    *total += ms;
    *since = dv_now_ns();
    return ok;
}

static bool one_face(bench_stages *s, const char *path, const dmv_image *img, size_t k, uint64_t *t,
                     double *total)
{
    dmv_face *f = &s->f.faces[k];
    dmv_quality q;
    size_t n;
    if (s->lmk.x) {
        find_landmarks(s, img, f);
        if (!lap(s, BENCH_LANDMARKS, t, total))
            return false;
    }
    f->quality = dmv_face_quality(img, f, &q) == DMV_OK ? q.total : -1;
    if (!lap(s, BENCH_QUALITY, t, total))
        return false;
    if (!f->has_landmarks || dmv_align(img, (const float(*)[2])f->landmarks, s->aligned)) {
        cli_error("%s: face %zu has no landmarks to align it by", path, k + 1);
        return false;
    }
    if (!lap(s, BENCH_ALIGN, t, total))
        return false;
    dmv_image face = {s->aligned, DMV_ALIGNED_SIZE, DMV_ALIGNED_SIZE, 3 * DMV_ALIGNED_SIZE,
                      DMV_PIXEL_RGB8};
    if (dmv_pipeline_embed_aligned(s->embed, &face, s->f.embedding)) {
        cli_error("%s: %s", path, dmv_error(s->f.ctx));
        return false;
    }
    if (!lap(s, BENCH_EMBED, t, total))
        return false;
    s->best[k].score = NAN;
    if (dmv_index_search(s->people.index, s->f.embedding, 1, &s->best[k], &n))
        return ctx_failed(s);
    return lap(s, BENCH_SEARCH, t, total);
}

bool bench_stages_run(bench_stages *s, const char *path, double *total)
{
    dv_picture pic;
    uint64_t t = dv_now_ns();
    *total = 0;
    if (!cli_load(path, &pic))
        return false;
    dmv_image img = dv_picture_view(&pic);
    s->width = pic.width;
    s->height = pic.height;
    bool ok = lap(s, BENCH_DECODE, &t, total) && cli_faces_find(&s->f, path, &pic) &&
              lap(s, BENCH_DETECT, &t, total);
    for (size_t k = 0; ok && k < s->f.n_faces; k++)
        ok = one_face(s, path, &img, k, &t, total);
    dv_picture_free(&pic);
    return ok && (!s->timed || bench_add(&s->times[BENCH_TOTAL], *total));
}
