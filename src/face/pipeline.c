/* SPDX-License-Identifier: Apache-2.0
 *
 * pipeline.c - picture to faces, face to embedding.
 *
 * Detection runs in passes: the whole picture once, then (scales > 1) overlapping tiles,
 * in which small faces are large enough to be found. Every pass uses the same input size,
 * so the net is shaped once per picture size. The picture keeps its shape and the rest of the
 * input is black: squeezing it finds fewer faces, with Ultra-Light's wide input as well. What
 * touches the inner edge of a tile is a cut face: the neighbour tile or a larger one has all of it,
 * so it is dropped.
 *
 * All scratch belongs to the pipeline and only grows.
 */
#include <math.h>
#include <string.h>

#include "face/face.h"

enum {
    PASS_FACES = 2048, /* candidates of one pass before NMS */
    KEPT_FACES = 2048, /* faces of a picture */
    MAX_SCALES = 5,
    MAX_INPUT = 8192 /* longest side of a net's input */
};

/* Side of the second look of a landmark net, in longer sides of the box that its points fill.
 * Measured, flat from 1.15 to 1.25. */
#define SECOND_LOOK 1.2f

struct dmv_pipeline {
    dmv_context *ctx;
    dmv_pipeline_options o;
    const dv_decoder *decoder; /* NULL = no detector */
    dv_net det, lmk, emb;      /* x is NULL where there is no model */
    int points;                /* of the landmark net: 5 or 68 */
    float crop;
    size_t dim;
    dmv_face *faces; /* KEPT_FACES + PASS_FACES */
    float *vector;   /* dim */
    uint8_t *rgb;    /* input of the net that runs next */
    size_t rgb_size;
};

/* A part of the picture and where it lies in the net's input. */
typedef struct tile {
    float x, y, w, h;
    bool left, top, right, bottom; /* this edge is inside the picture */
} tile;

void dmv_pipeline_options_init(dmv_pipeline_options *o)
{
    if (o) {
        *o = (dmv_pipeline_options){.struct_size = sizeof(*o),
                                    .score_threshold = 0.6f,
                                    .nms_iou = 0.4f,
                                    .max_side = 640,
                                    .scales = 1,
                                    .mirror = 0,
                                    .quality = 1};
    }
}

static dmv_status read_options(dmv_pipeline *p, const dmv_pipeline_options *o, dv_err *e)
{
    dmv_pipeline_options_init(&p->o);
    if (!o) {
        return DMV_OK;
    }
    if (o->struct_size < sizeof(o->struct_size) || o->struct_size > 4096) {
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "pipeline options: call dmv_pipeline_options_init first");
    }
    memcpy(&p->o, o, DV_MIN(o->struct_size, sizeof(*o)));
    p->o.struct_size = sizeof(*o);
    if (!(p->o.score_threshold >= 0 && p->o.score_threshold <= 1)) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "score_threshold must be 0 to 1");
    }
    if (!(p->o.nms_iou >= 0 && p->o.nms_iou <= 1)) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "nms_iou must be 0 to 1");
    }
    if (p->o.max_side < 32 || p->o.max_side > MAX_INPUT) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "max_side %d must be 32 to %d", p->o.max_side,
                       MAX_INPUT);
    }
    if (p->o.scales < 1 || p->o.scales > MAX_SCALES) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "scales %d must be 1 to %d", p->o.scales, MAX_SCALES);
    }
    return DMV_OK;
}

static dmv_status room(dmv_pipeline *p, int w, int h)
{
    size_t n = (size_t)w * (size_t)h * 3; /* sides are at most MAX_INPUT */
    if (n <= p->rgb_size) {
        return DMV_OK;
    }
    uint8_t *rgb = dv_malloc(n);
    if (!rgb) {
        return dv_nomem(&p->ctx->err);
    }
    if (p->rgb) {
        dv_wipe(p->rgb, p->rgb_size);
        dv_free(p->rgb);
    }
    p->rgb = rgb;
    p->rgb_size = n;
    return DMV_OK;
}

/* ---- opening ---- */

static dmv_status open_detector(dmv_pipeline *p, const dmv_model *m)
{
    dv_err *e = &p->ctx->err;
    const char *name = dv_meta_text(&m->meta, "decoder");
    p->decoder = dv_decoder_find(name);
    if (!name) {
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "detector: the model names no decoder, so it is not a detector");
    }
    if (!p->decoder) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "detector: unknown decoder \"%.64s\"", name);
    }
    if (p->decoder->objects) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "detector: decoder \"%.64s\" finds objects of many classes, not faces",
                       name);
    }
    dmv_status s = dv_net_open(p->ctx, m, "detector", &p->det);
    if (s == DMV_OK) {
        s = p->decoder->check(&m->graph, e);
    }
    if (s == DMV_OK && p->det.fixed_w) {
        s = dv_net_shape(&p->det, p->det.fixed_w, p->det.fixed_h, e);
    }
    if (s != DMV_OK) {
        return s;
    }
    p->faces = dv_calloc(KEPT_FACES + PASS_FACES, sizeof(*p->faces));
    return p->faces ? DMV_OK : dv_nomem(e);
}

static dmv_status open_landmarks(dmv_pipeline *p, const dmv_model *m)
{
    dv_err *e = &p->ctx->err;
    dmv_status s = dv_net_open(p->ctx, m, "landmarks", &p->lmk);
    if (s != DMV_OK) {
        return s;
    }
    const dv_meta_item *crop = dv_meta_get(&m->meta, "crop");
    const char *order = dv_meta_text(&m->meta, "landmark_order");
    p->crop = crop && crop->f && crop->n == 1 ? crop->f[0] : 1;
    if (!(p->crop >= 0.25f && p->crop <= 4)) {
        return dv_fail(e, DMV_ERR_FORMAT, "landmarks: crop must be 0.25 to 4");
    }
    if (!p->lmk.fixed_w) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "landmarks: the net's input must have a fixed size");
    }
    s = dv_net_shape(&p->lmk, p->lmk.fixed_w, p->lmk.fixed_h, e);
    if (s != DMV_OK) {
        return s;
    }
    const size_t n = dv_exec_output(p->lmk.x, 0)->count;
    p->points = n == 136 ? 68 : n == 10 ? 5 : 0;
    if (!p->points || (order && strcmp(order, p->points == 68 ? "68" : "5"))) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "landmarks: %zu numbers with landmark_order \"%.16s\"; 136 (68) or 10 (5) "
                       "are wanted",
                       n, order ? order : "");
    }
    return room(p, p->lmk.w, p->lmk.h);
}

static dmv_status open_embedder(dmv_pipeline *p, const dmv_model *m)
{
    dv_err *e = &p->ctx->err;
    dmv_status s = dv_net_open(p->ctx, m, "embedder", &p->emb);
    if (s == DMV_OK) {
        s = dv_net_shape(&p->emb, p->emb.fixed_w ? p->emb.fixed_w : DMV_ALIGNED_SIZE,
                         p->emb.fixed_w ? p->emb.fixed_h : DMV_ALIGNED_SIZE, e);
    }
    if (s != DMV_OK) {
        return s;
    }
    p->dim = dv_exec_output(p->emb.x, 0)->count;
    if (p->dim < 2 || p->dim > 65536) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "embedder: an output of %zu numbers is no embedding",
                       p->dim);
    }
    const size_t stated = dmv_model_dim(m);
    if (stated && stated != p->dim) {
        return dv_fail(e, DMV_ERR_FORMAT,
                       "embedder: the file states %zu dimensions, the net has "
                       "%zu",
                       stated, p->dim);
    }
    p->vector = dv_calloc(p->dim, sizeof(float));
    return p->vector ? room(p, p->emb.w, p->emb.h) : dv_nomem(e);
}

static dmv_status open_all(dmv_pipeline *p, const dmv_model *detector, const dmv_model *landmarks,
                           const dmv_model *embedder, const dmv_pipeline_options *o)
{
    dv_err *e = &p->ctx->err;
    dmv_status s = read_options(p, o, e);
    if (s == DMV_OK && !detector && !landmarks && !embedder) {
        s = dv_fail(e, DMV_ERR_ARGUMENT, "a pipeline needs at least one model");
    }
    if (s == DMV_OK && detector) {
        s = open_detector(p, detector);
    }
    if (s == DMV_OK && landmarks) {
        s = open_landmarks(p, landmarks);
    }
    if (s == DMV_OK && detector && embedder && !landmarks && !p->decoder->points) {
        s = dv_fail(e, DMV_ERR_ARGUMENT,
                    "the detector (%s) gives no landmarks: a landmark model "
                    "is needed as well",
                    p->decoder->name);
    }
    if (s == DMV_OK && embedder) {
        s = open_embedder(p, embedder);
    }
    return s;
}

dmv_status dmv_pipeline_open(dmv_context *ctx, const dmv_model *detector,
                             const dmv_model *landmarks, const dmv_model *embedder,
                             const dmv_pipeline_options *o, dmv_pipeline **out)
{
    if (out) {
        *out = NULL;
    }
    if (!ctx || !out) {
        return ctx ? dv_fail(&ctx->err, DMV_ERR_ARGUMENT, "dmv_pipeline_open: out is NULL")
                   : DMV_ERR_ARGUMENT;
    }
    dmv_pipeline *p = dv_calloc(1, sizeof(*p));
    if (!p) {
        return dv_nomem(&ctx->err);
    }
    p->ctx = ctx;
    dmv_status s = open_all(p, detector, landmarks, embedder, o);
    if (s != DMV_OK) {
        dmv_pipeline_close(&p);
        return s;
    }
    *out = p;
    return DMV_OK;
}

void dmv_pipeline_close(dmv_pipeline **pp)
{
    dmv_pipeline *p = pp ? *pp : NULL;
    if (!p) {
        return;
    }
    if (p->rgb) {
        dv_wipe(p->rgb, p->rgb_size);
    }
    if (p->vector) {
        dv_wipe(p->vector, p->dim * sizeof(float));
    }
    dv_free(p->rgb);
    dv_free(p->vector);
    dv_free(p->faces);
    dv_net_close(&p->det);
    dv_net_close(&p->lmk);
    dv_net_close(&p->emb);
    dv_free(p);
    *pp = NULL;
}

size_t dmv_pipeline_dim(const dmv_pipeline *p)
{
    return p ? p->dim : 0;
}

/* ---- detection ---- */

static int fit_side(double side, int limit)
{
    const int n = (int)(side + 0.5);
    return n < 1 ? 1 : n > limit ? limit : n;
}

/* Shapes the detector for the picture; cw x ch is the part of the input that it fills. */
static dmv_status shape_detector(dmv_pipeline *p, const dmv_image *img, int *cw, int *ch)
{
    const int mult = p->decoder->multiple;
    int w = p->det.fixed_w, h = p->det.fixed_h;
    if (w) {
        const double s = fmin((double)w / img->width, (double)h / img->height);
        *cw = fit_side(img->width * s, w);
        *ch = fit_side(img->height * s, h);
    } else {
        const double s = fmin(1, (double)p->o.max_side / (double)DV_MAX(img->width, img->height));
        *cw = fit_side(img->width * s, p->o.max_side);
        *ch = fit_side(img->height * s, p->o.max_side);
        w = (*cw + mult - 1) / mult * mult;
        h = (*ch + mult - 1) / mult * mult;
    }
    dmv_status s = dv_net_shape(&p->det, w, h, &p->ctx->err);
    return s == DMV_OK ? room(p, w, h) : s;
}

static bool is_cut(const tile *t, const dmv_face *f)
{
    const float near = 0.01f * fminf(t->w, t->h);
    return (t->left && f->box[0] < t->x + near) || (t->top && f->box[1] < t->y + near) ||
           (t->right && f->box[0] + f->box[2] > t->x + t->w - near) ||
           (t->bottom && f->box[1] + f->box[3] > t->y + t->h - near);
}

/* One pass over a part of the picture; adds what it finds after the *kept faces. */
static dmv_status detect_tile(dmv_pipeline *p, const dmv_image *img, const tile *t, int cw, int ch,
                              size_t *kept)
{
    const int w = p->det.w, h = p->det.h;
    double s = fmin(cw / (double)t->w, ch / (double)t->h);
    const int dw = fit_side(t->w * s, cw);
    const int dh = fit_side(t->h * s, ch);
    const size_t row = 3 * (size_t)w, used = 3 * (size_t)dw;
    dv_resize_rgb(img, t->x, t->y, t->w, t->h, dw, dh, p->rgb, row);
    for (int y = 0; y < dh && used < row; y++) {
        memset(p->rgb + (size_t)y * row + used, 0, row - used);
    }
    memset(p->rgb + (size_t)dh * row, 0, (size_t)(h - dh) * row);
    dv_net_run(&p->det, p->rgb);
    dmv_face *found = p->faces + *kept;
    dv_decode_args a = {.x = p->det.x,
                        .in_w = w,
                        .in_h = h,
                        .min_score = p->o.score_threshold,
                        .out = found,
                        .cap = PASS_FACES};
    if (!p->decoder->run(&a)) {
        return dv_fail(&p->ctx->err, DMV_ERR_MISMATCH,
                       "detector: the outputs do not fit decoder \"%s\" at %d x %d",
                       p->decoder->name, w, h);
    }
    const float sx = t->w / (float)dw, sy = t->h / (float)dh;
    size_t n = 0;
    for (size_t i = 0; i < a.n; i++) {
        dmv_face f = found[i];
        const float mx = f.box[0] + 0.5f * f.box[2], my = f.box[1] + 0.5f * f.box[3];
        if (mx < 0 || my < 0 || mx > (float)dw || my > (float)dh) {
            continue; /* in the padding */
        }
        f.box[0] = t->x + f.box[0] * sx;
        f.box[1] = t->y + f.box[1] * sy;
        f.box[2] *= sx;
        f.box[3] *= sy;
        for (int j = 0; f.has_landmarks && j < 5; j++) {
            f.landmarks[j][0] = t->x + f.landmarks[j][0] * sx;
            f.landmarks[j][1] = t->y + f.landmarks[j][1] * sy;
        }
        if (!is_cut(t, &f)) {
            found[n++] = f;
        }
    }
    *kept += dv_nms(found, n, p->o.nms_iou);
    if (*kept > KEPT_FACES) {
        *kept = DV_MIN(dv_nms(p->faces, *kept, p->o.nms_iou), (size_t)KEPT_FACES);
    }
    return DMV_OK;
}

/* n x n tiles that overlap by a quarter of a tile. */
static dmv_status detect_level(dmv_pipeline *p, const dmv_image *img, int n, int cw, int ch,
                               size_t *kept)
{
    const float span = 1 + 0.75f * (float)(n - 1);
    const float w = (float)img->width / span, h = (float)img->height / span;
    /* Magnifying more than twice shows nothing new. */
    if (n > 1 && 2 * DV_MAX(w, h) < (float)DV_MAX(cw, ch)) {
        return DMV_OK;
    }
    for (int i = 0; i < n * n; i++) {
        const int col = i % n, line = i / n;
        const tile t = {.x = 0.75f * w * (float)col,
                        .y = 0.75f * h * (float)line,
                        .w = w,
                        .h = h,
                        .left = col > 0,
                        .top = line > 0,
                        .right = col < n - 1,
                        .bottom = line < n - 1};
        dmv_status s = detect_tile(p, img, &t, cw, ch, kept);
        if (s != DMV_OK) {
            return s;
        }
    }
    return DMV_OK;
}

/* Runs the landmark net on the part of the picture round box; points in pixels of the picture. */
static bool look(dmv_pipeline *p, const dmv_image *img, const float box[4], float scale,
                 float (*pts)[2])
{
    const int w = p->lmk.w, h = p->lmk.h;
    float c[4];
    if (!dv_landmark_crop(img, box, scale, c)) {
        return false;
    }
    dv_resize_rgb(img, c[0], c[1], c[2], c[3], w, h, p->rgb, 3 * (size_t)w);
    dv_net_run(&p->lmk, p->rgb);
    const float *v = dv_exec_output(p->lmk.x, 0)->f;
    for (int i = 0; i < p->points; i++) {
        pts[i][0] = c[0] + v[2 * i] * c[2];
        pts[i][1] = c[1] + v[2 * i + 1] * c[3];
        if (!(fabsf(pts[i][0]) < DV_FACE_REACH && fabsf(pts[i][1]) < DV_FACE_REACH)) {
            return false;
        }
    }
    return true;
}

/* Gives f points if the landmark net finds them. 68 points outline the face, so the net looks
 * a second time at what they enclose: detectors draw their boxes in their own ways, and the
 * second look is the same for all. It is worth most for turned heads. */
static void find_landmarks(dmv_pipeline *p, const dmv_image *img, dmv_face *f)
{
    float pts[68][2], again[68][2], box[4];
    f->has_landmarks = 0;
    if (!look(p, img, f->box, p->crop, pts)) {
        return;
    }
    if (p->points == 5) {
        memcpy(f->landmarks, pts, sizeof(f->landmarks));
    } else {
        dv_landmark_bounds(pts, 68, box);
        dv_landmarks_68_to_5(look(p, img, box, SECOND_LOOK, again) ? again : pts, f->landmarks);
    }
    f->has_landmarks = 1;
}

dmv_status dmv_pipeline_detect(dmv_pipeline *p, const dmv_image *img, dmv_face *faces, size_t cap,
                               size_t *n)
{
    int cw = 0, ch = 0;
    size_t kept = 0;
    if (n) {
        *n = 0;
    }
    if (!p) {
        return DMV_ERR_ARGUMENT;
    }
    dv_err *e = &p->ctx->err;
    if (!n || (cap && !faces)) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "dmv_pipeline_detect: NULL where faces are written");
    }
    if (!p->decoder) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "the pipeline was opened without a detector");
    }
    dmv_status s = dv_image_check(img, e);
    if (s == DMV_OK) {
        s = shape_detector(p, img, &cw, &ch);
    }
    for (int i = 0; s == DMV_OK && i < p->o.scales; i++) {
        s = detect_level(p, img, 1 << i, cw, ch, &kept);
    }
    if (s != DMV_OK) {
        return s;
    }
    kept = dv_nms(p->faces, kept, p->o.nms_iou);
    for (size_t i = 0; i < DV_MIN(kept, cap); i++) {
        dmv_face f = p->faces[i];
        dmv_quality q;
        if (p->lmk.x) {
            find_landmarks(p, img, &f);
        }
        f.quality = p->o.quality && dmv_face_quality(img, &f, &q) == DMV_OK ? q.total : -1;
        faces[i] = f;
    }
    *n = DV_MIN(kept, cap);
    return DMV_OK;
}

/* ---- embedding ---- */

static void mirror_rgb(uint8_t *rgb, int w, int h)
{
    for (int y = 0; y < h; y++) {
        uint8_t *row = rgb + 3 * (size_t)w * (size_t)y;
        for (int a = 0, b = w - 1; a < b; a++, b--) {
            for (int c = 0; c < 3; c++) {
                uint8_t t = row[3 * a + c];
                row[3 * a + c] = row[3 * b + c];
                row[3 * b + c] = t;
            }
        }
    }
}

/* The face in p->rgb, in the embedder's size, to a unit vector. */
static dmv_status embed_rgb(dmv_pipeline *p, float *embedding)
{
    const dv_value *v = dv_exec_output(p->emb.x, 0);
    double length = 0;
    dv_net_run(&p->emb, p->rgb);
    memcpy(p->vector, v->f, p->dim * sizeof(float));
    if (p->o.mirror) {
        mirror_rgb(p->rgb, p->emb.w, p->emb.h);
        dv_net_run(&p->emb, p->rgb);
        for (size_t i = 0; i < p->dim; i++) {
            p->vector[i] += v->f[i];
        }
    }
    for (size_t i = 0; i < p->dim; i++) {
        length += (double)p->vector[i] * p->vector[i];
    }
    length = sqrt(length);
    if (!(length > 0) || !isfinite(length)) {
        return dv_fail(&p->ctx->err, DMV_ERR_FORMAT,
                       "embedder: the net gave a vector without a length; its preprocessing or its "
                       "weights are wrong");
    }
    for (size_t i = 0; i < p->dim; i++) {
        embedding[i] = (float)(p->vector[i] / length);
    }
    return DMV_OK;
}

static dmv_status embed_check(dmv_pipeline *p, const dmv_image *img, const float *embedding)
{
    dv_err *e = &p->ctx->err;
    if (!p->emb.x) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "the pipeline was opened without an embedder");
    }
    if (!embedding) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "the embedding to write is NULL");
    }
    return dv_image_check(img, e);
}

dmv_status dmv_pipeline_embed(dmv_pipeline *p, const dmv_image *img, const dmv_face *face,
                              float *embedding)
{
    float m[6];
    if (!p) {
        return DMV_ERR_ARGUMENT;
    }
    dv_err *e = &p->ctx->err;
    dmv_status s = embed_check(p, img, embedding);
    if (s != DMV_OK) {
        return s;
    }
    if (!face) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "the face is NULL");
    }
    dmv_face f = *face;
    if (!f.has_landmarks && p->lmk.x) {
        find_landmarks(p, img, &f);
    }
    if (!f.has_landmarks) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "the face has no landmarks to align it by");
    }
    if (!dv_similarity_transform(f.landmarks, dv_template_112, 5, m)) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "the landmarks of the face coincide or are no numbers");
    }
    const int w = p->emb.w, h = p->emb.h;
    const float sx = (float)w / DMV_ALIGNED_SIZE, sy = (float)h / DMV_ALIGNED_SIZE;
    for (int i = 0; i < 6; i++) {
        m[i] *= i < 3 ? sx : sy;
    }
    m[2] += 0.5f * sx - 0.5f; /* pixel centres */
    m[5] += 0.5f * sy - 0.5f;
    dv_warp_rgb(img, m, w, h, p->rgb, 3 * (size_t)w);
    return embed_rgb(p, embedding);
}

dmv_status dmv_pipeline_embed_aligned(dmv_pipeline *p, const dmv_image *aligned, float *embedding)
{
    if (!p) {
        return DMV_ERR_ARGUMENT;
    }
    dmv_status s = embed_check(p, aligned, embedding);
    if (s != DMV_OK) {
        return s;
    }
    if (aligned->width != DMV_ALIGNED_SIZE || aligned->height != DMV_ALIGNED_SIZE) {
        return dv_fail(&p->ctx->err, DMV_ERR_ARGUMENT,
                       "an aligned face is %d x %d, this picture is %d x %d", DMV_ALIGNED_SIZE,
                       DMV_ALIGNED_SIZE, aligned->width, aligned->height);
    }
    dv_resize_rgb(aligned, 0, 0, DMV_ALIGNED_SIZE, DMV_ALIGNED_SIZE, p->emb.w, p->emb.h, p->rgb,
                  3 * (size_t)p->emb.w);
    return embed_rgb(p, embedding);
}
