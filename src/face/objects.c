/* SPDX-License-Identifier: Apache-2.0
 *
 * objects.c - boxes with a class, from any detector. The whole picture once; what overlaps too much
 * within a class goes. Feeding the net, running it and reading it are separate steps, so that
 * others can look at what lies between.
 */
#include <math.h>
#include <string.h>

#include "face/face.h"

enum { FOUND = 2048, MAX_INPUT = 8192 };

void dv_detector_options_init(dv_detector_options *o)
{
    *o = (dv_detector_options){.min_score = 0.5f, .nms_iou = 0, .max_side = 640, .cls = -1};
}

static dmv_status check_options(dv_detector *d, const dv_detector_options *o, dv_err *e)
{
    const dv_meta_item *nms = dv_meta_get(&d->net.model->meta, "nms_iou");
    dv_detector_options_init(&d->o);
    if (o) {
        d->o = *o;
    }
    if (!(d->o.min_score >= 0 && d->o.min_score <= 1)) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "min_score must be 0 to 1");
    }
    if (!(d->o.nms_iou >= 0 && d->o.nms_iou <= 1)) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "nms_iou must be 0 to 1");
    }
    if (d->o.max_side < 32 || d->o.max_side > MAX_INPUT) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "max_side %d must be 32 to %d", d->o.max_side,
                       MAX_INPUT);
    }
    if (d->o.cls < -1 || d->o.cls > 1000000) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "class %d must be -1 or a class", d->o.cls);
    }
    if (d->o.nms_iou == 0) {
        const bool stated = nms && nms->f && nms->n == 1 && nms->f[0] > 0 && nms->f[0] <= 1;
        d->o.nms_iou = stated ? nms->f[0] : 0.45f;
    }
    return DMV_OK;
}

dmv_status dv_detector_open(dmv_context *ctx, const dmv_model *m, const dv_detector_options *o,
                            dv_detector *d)
{
    dv_err *e = &ctx->err;
    memset(d, 0, sizeof(*d));
    d->ctx = ctx;
    const char *name = dv_meta_text(&m->meta, "decoder"), *fit = dv_meta_text(&m->meta, "fit");
    d->decoder = dv_decoder_find(name);
    if (!d->decoder) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       name ? "detector: unknown decoder \"%.64s\""
                            : "detector: the model names no decoder%.0s",
                       name ? name : "");
    }
    d->stretch = fit && strcmp(fit, "stretch") == 0;
    dmv_status s = dv_net_open(ctx, m, "detector", &d->net);
    if (s == DMV_OK) {
        s = check_options(d, o, e);
    }
    if (s == DMV_OK) {
        s = d->decoder->check(&m->graph, e);
    }
    if (s == DMV_OK) {
        d->found = dv_calloc(FOUND, sizeof(*d->found));
        d->classes = dv_calloc(FOUND, sizeof(*d->classes));
        s = d->found && d->classes ? DMV_OK : dv_nomem(e);
    }
    if (s != DMV_OK) {
        dv_detector_close(d);
    }
    return s;
}

void dv_detector_close(dv_detector *d)
{
    if (d->rgb) {
        dv_wipe(d->rgb, d->rgb_size);
    }
    dv_free(d->rgb);
    dv_free(d->found);
    dv_free(d->classes);
    dv_net_close(&d->net);
    memset(d, 0, sizeof(*d));
}

static int fit_side(double side, int limit)
{
    const int n = (int)(side + 0.5);
    return n < 1 ? 1 : n > limit ? limit : n;
}

/* Shapes the net for the picture and says which part of the input it fills. */
static dmv_status shape(dv_detector *d, const dmv_image *img)
{
    const int mult = d->decoder->multiple, longest = DV_MAX(img->width, img->height);
    int w = d->net.fixed_w, h = d->net.fixed_h;
    double s = fmin(1, (double)d->o.max_side / (double)longest);
    if (w) {
        s = fmin((double)w / img->width, (double)h / img->height);
    }
    d->w = fit_side(img->width * s, w ? w : d->o.max_side);
    d->h = fit_side(img->height * s, h ? h : d->o.max_side);
    if (!w) {
        w = (d->w + mult - 1) / mult * mult;
        h = (d->h + mult - 1) / mult * mult;
    }
    if (d->stretch) {
        d->w = w;
        d->h = h;
    }
    d->sx = (float)img->width / (float)d->w;
    d->sy = (float)img->height / (float)d->h;
    return dv_net_shape(&d->net, w, h, &d->ctx->err);
}

dmv_status dv_detector_put(dv_detector *d, const dmv_image *img)
{
    dmv_status s = dv_image_check(img, &d->ctx->err);
    if (s == DMV_OK) {
        s = shape(d, img);
    }
    if (s != DMV_OK) {
        return s;
    }
    const size_t row = 3 * (size_t)d->net.w, used = 3 * (size_t)d->w, size = row * (size_t)d->net.h;
    if (size > d->rgb_size) {
        uint8_t *rgb = dv_malloc(size);
        if (!rgb) {
            return dv_nomem(&d->ctx->err);
        }
        dv_free(d->rgb);
        d->rgb = rgb;
        d->rgb_size = size;
    }
    dv_resize_rgb(img, 0, 0, (float)img->width, (float)img->height, d->w, d->h, d->rgb, row);
    for (int y = 0; y < d->h && used < row; y++) {
        memset(d->rgb + (size_t)y * row + used, 0, row - used);
    }
    memset(d->rgb + (size_t)d->h * row, 0, (size_t)(d->net.h - d->h) * row);
    dv_net_feed(&d->net, d->rgb);
    return DMV_OK;
}

/* The best left, or n. */
static size_t best_of(const dv_detector *d, size_t n)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        if (d->found[i].score >= 0 && (best == n || d->found[i].score > d->found[best].score)) {
            best = i;
        }
    }
    return best;
}

dmv_status dv_detector_take(dv_detector *d, dv_object *out, size_t cap, size_t *n)
{
    dv_decode_args a = {.x = d->net.x,
                        .in_w = d->net.w,
                        .in_h = d->net.h,
                        .min_score = d->o.min_score,
                        .only = d->o.cls + 1,
                        .out = d->found,
                        .classes = d->classes,
                        .cap = FOUND};
    *n = 0;
    if (!d->net.w || !d->decoder->run(&a)) {
        return dv_fail(&d->ctx->err, DMV_ERR_MISMATCH,
                       "detector: the outputs do not fit decoder \"%s\" at %d x %d",
                       d->decoder->name, d->net.w, d->net.h);
    }
    for (size_t best = best_of(d, a.n); best < a.n && *n < cap; best = best_of(d, a.n)) {
        const dmv_face top = d->found[best];
        const int32_t cls = d->classes[best];
        const float mx = top.box[0] + 0.5f * top.box[2], my = top.box[1] + 0.5f * top.box[3];
        d->found[best].score = -1;
        if (mx < 0 || my < 0 || mx > (float)d->w || my > (float)d->h) {
            continue; /* in the padding */
        }
        out[(*n)++] = (dv_object){
            .box = {top.box[0] * d->sx, top.box[1] * d->sy, top.box[2] * d->sx, top.box[3] * d->sy},
            .score = top.score,
            .cls = cls};
        for (size_t i = 0; i < a.n; i++) {
            if (d->found[i].score >= 0 && d->classes[i] == cls &&
                dv_iou(top.box, d->found[i].box) > d->o.nms_iou) {
                d->found[i].score = -1;
            }
        }
    }
    return DMV_OK;
}

dmv_status dv_detector_run(dv_detector *d, const dmv_image *img, dv_object *out, size_t cap,
                           size_t *n)
{
    *n = 0;
    dmv_status s = dv_detector_put(d, img);
    if (s != DMV_OK) {
        return s;
    }
    dv_exec_run(d->net.x);
    return dv_detector_take(d, out, cap, n);
}

/* ---- names of classes ---- */

static const char *label_at(const char *list, int cls, size_t *length)
{
    for (; list && cls > 0; cls--) {
        list = strchr(list, ',');
        list = list ? list + 1 : NULL;
    }
    *length = list ? strcspn(list, ",") : 0;
    return list;
}

/* Detectors of faces need no list. */
static const char *labels_of(const dmv_model *m)
{
    const char *list = dv_meta_text(&m->meta, "labels");
    const dv_decoder *d = dv_decoder_find(dv_meta_text(&m->meta, "decoder"));
    return list ? list : d && !d->objects ? "face" : NULL;
}

void dv_model_label(const dmv_model *m, int cls, char *out, size_t size)
{
    size_t n;
    const char *s = label_at(labels_of(m), cls, &n);
    n = DV_MIN(n, size - 1);
    if (s && cls >= 0) {
        memcpy(out, s, n);
    } else {
        n = 0;
    }
    out[n] = 0;
}

int dv_model_class(const dmv_model *m, const char *label)
{
    const char *list = labels_of(m);
    const size_t wanted = strlen(label);
    for (int cls = 0; list && wanted; cls++) {
        const size_t n = strcspn(list, ",");
        if (n == wanted && !memcmp(list, label, n)) {
            return cls;
        }
        list = list[n] ? list + n + 1 : NULL;
    }
    return -1;
}
