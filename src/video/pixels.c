/* SPDX-License-Identifier: Apache-2.0
 *
 * pixels.c - decoded frames to RGB and RGB to what encoders take. libswscale does the sums; what
 * is added is the right colour matrix, turning, and padding.
 */
#include "video/video_priv.h"

#include <string.h>

/* More than libswscale reads or writes past a row. */
#define ROW_SLACK 64

static bool room(uint8_t **p, size_t *cap, size_t n)
{
    if (n <= *cap)
        return true;
    dv_free(*p);
    *p = dv_alloc_aligned(n);
    *cap = *p ? n : 0;
    return *p != NULL;
}

/* yuvj formats are an old way to say "full range", which libswscale no longer likes. */
static enum AVPixelFormat plain_format(int format, int *full)
{
    switch (format) {
    case AV_PIX_FMT_YUVJ420P:
        return *full = 1, AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P:
        return *full = 1, AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P:
        return *full = 1, AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P:
        return *full = 1, AV_PIX_FMT_YUV440P;
    default:
        return format;
    }
}

/* Clockwise by a quarter, a half, three quarters. */
static void turn(const uint8_t *in, size_t stride, int w, int h, int rotation, uint8_t *out)
{
    const ptrdiff_t W = rotation == 180 ? w : h; /* of the result */
    ptrdiff_t first, dx, dy;                     /* where (x, y) goes, in pixels */
    if (rotation == 90)
        first = h - 1, dx = W, dy = -1;
    else if (rotation == 180)
        first = (ptrdiff_t)w * h - 1, dx = -1, dy = -W;
    else
        first = W * (w - 1), dx = -W, dy = 1;
    for (int y = 0; y < h; y++) {
        const uint8_t *p = in + (size_t)y * stride;
        uint8_t *q = out + 3 * (first + y * dy);
        for (int x = 0; x < w; x++, p += 3, q += 3 * dx) {
            q[0] = p[0];
            q[1] = p[1];
            q[2] = p[2];
        }
    }
}

dmv_status dv_to_rgb_convert(dv_to_rgb *t, const AVFrame *f, int rotation, dmv_image *out,
                             dv_err *e)
{
    int w = f->width, h = f->height, full = f->color_range == AVCOL_RANGE_JPEG;
    enum AVPixelFormat format = plain_format(f->format, &full);
    if (w < 1 || h < 1 || w > DV_IMAGE_MAX_SIDE || h > DV_IMAGE_MAX_SIDE ||
        (uint64_t)w * (uint64_t)h > DV_IMAGE_MAX_PIXELS)
        return dv_fail(e, DMV_ERR_LIMIT, "a frame of %d x %d pixels is over the limit", w, h);
    size_t stride = dv_round_up((size_t)w * 3, DV_ALIGN);
    if (!room(&t->rgb, &t->rgb_cap, stride * (size_t)h + ROW_SLACK))
        return dv_nomem(e);
    t->sws = av.sws_getCachedContext(t->sws, w, h, format, w, h, AV_PIX_FMT_RGB24, SWS_BILINEAR,
                                     NULL, NULL, NULL);
    if (!t->sws)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "frames of pixel format %d cannot be made RGB",
                       f->format);
    int matrix = f->colorspace == AVCOL_SPC_BT709 ? SWS_CS_ITU709
                 : f->colorspace == AVCOL_SPC_BT2020_NCL || f->colorspace == AVCOL_SPC_BT2020_CL
                     ? SWS_CS_BT2020
                     : SWS_CS_ITU601;
    /* Refused for formats that are RGB already, where it does not matter. */
    av.sws_setColorspaceDetails(t->sws, av.sws_getCoefficients(matrix), full,
                                av.sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    uint8_t *planes[4] = {t->rgb};
    int strides[4] = {(int)stride};
    if (av.sws_scale(t->sws, (const uint8_t *const *)f->data, f->linesize, 0, h, planes, strides) !=
        h)
        return dv_fail(e, DMV_ERR_FORMAT, "a frame could not be made RGB");
    *out = (dmv_image){t->rgb, w, h, stride, DMV_PIXEL_RGB8};
    if (rotation == 0)
        return DMV_OK;
    if (!room(&t->turned, &t->turned_cap, (size_t)w * (size_t)h * 3))
        return dv_nomem(e);
    turn(t->rgb, stride, w, h, rotation, t->turned);
    int tw = rotation == 180 ? w : h;
    *out = (dmv_image){t->turned, tw, w + h - tw, (size_t)tw * 3, DMV_PIXEL_RGB8};
    return DMV_OK;
}

void dv_to_rgb_close(dv_to_rgb *t)
{
    if (t->sws)
        av.sws_freeContext(t->sws);
    dv_free(t->rgb);
    dv_free(t->turned);
    *t = (dv_to_rgb){0};
}

static void fill(uint8_t *p, int stride, int w, int h, int value)
{
    for (int y = 0; y < h; y++)
        memset(p + (ptrdiff_t)y * stride, value, (size_t)w);
}

/* Repeats the last column and row of a w x h plane up to fw x fh. */
static void repeat_edges(uint8_t *p, int stride, int w, int h, int fw, int fh)
{
    for (int y = 0; y < h && fw > w; y++)
        memset(p + (ptrdiff_t)y * stride + w, p[(ptrdiff_t)y * stride + w - 1], (size_t)(fw - w));
    for (int y = h; y < fh; y++)
        memcpy(p + (ptrdiff_t)y * stride, p + (ptrdiff_t)(h - 1) * stride, (size_t)fw);
}

static enum AVPixelFormat format_of(dmv_pixel_format f)
{
    static const enum AVPixelFormat formats[] = {AV_PIX_FMT_RGB24, AV_PIX_FMT_BGR24,
                                                 AV_PIX_FMT_GRAY8, AV_PIX_FMT_RGBA};
    return (unsigned)f < DV_COUNT(formats) ? formats[f] : AV_PIX_FMT_NONE;
}

static size_t bytes_of(dmv_pixel_format f)
{
    return f == DMV_PIXEL_GRAY8 ? 1 : f == DMV_PIXEL_RGBA8 ? 4 : 3;
}

dmv_status dv_to_yuv_convert(dv_to_yuv *t, const dmv_image *in, bool pad, AVFrame *out, dv_err *e)
{
    int w = in->width, h = in->height, fw = out->width, fh = out->height;
    if (!in->pixels || w < 1 || h < 1 || w > DV_IMAGE_MAX_SIDE || h > DV_IMAGE_MAX_SIDE ||
        format_of(in->format) == AV_PIX_FMT_NONE)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no picture, or its sides are not 1 to %d pixels",
                       DV_IMAGE_MAX_SIDE);
    int x = 0, y = 0, to_w = w, to_h = h;
    if (!pad && (w & ~1) == fw && (h & ~1) == fh) {
        to_w = w = fw; /* one column or row less is better than scaling it away */
        to_h = h = fh;
    } else if (!pad) {
        double k = DV_MIN((double)fw / w, (double)fh / h);
        to_w = DV_MAX(2, DV_MIN(fw, (int)(w * k / 2 + 0.5) * 2));
        to_h = DV_MAX(2, DV_MIN(fh, (int)(h * k / 2 + 0.5) * 2));
        x = (fw - to_w) / 4 * 2;
        y = (fh - to_h) / 4 * 2;
        fill(out->data[0], out->linesize[0], fw, fh, 16);
        fill(out->data[1], out->linesize[1], fw / 2, fh / 2, 128);
        fill(out->data[2], out->linesize[2], fw / 2, fh / 2, 128);
    }
    t->sws = av.sws_getCachedContext(
        t->sws, w, h, format_of(in->format), to_w, to_h, AV_PIX_FMT_YUV420P,
        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP, NULL, NULL, NULL);
    if (!t->sws)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "%d x %d pixels cannot be made %d x %d", w, h, to_w,
                       to_h);
    /* libswscale reads past the end of a row; only a copy has something there. */
    size_t row = (size_t)w * bytes_of(in->format), stride = dv_round_up(row, DV_ALIGN);
    if (!room(&t->in, &t->in_cap, stride * (size_t)h + ROW_SLACK))
        return dv_nomem(e);
    for (int i = 0; i < h; i++)
        memcpy(t->in + (size_t)i * stride, in->pixels + (size_t)i * in->stride, row);
    const uint8_t *from[4] = {t->in};
    int from_stride[4] = {(int)stride};
    uint8_t *to[4] = {out->data[0] + (ptrdiff_t)y * out->linesize[0] + x,
                      out->data[1] + (ptrdiff_t)(y / 2) * out->linesize[1] + x / 2,
                      out->data[2] + (ptrdiff_t)(y / 2) * out->linesize[2] + x / 2};
    if (av.sws_scale(t->sws, from, from_stride, 0, h, to, out->linesize) != to_h)
        return dv_fail(e, DMV_ERR_FORMAT, "a picture could not be made YUV");
    if (pad) {
        repeat_edges(out->data[0], out->linesize[0], w, h, fw, fh);
        for (int i = 1; i < 3; i++)
            repeat_edges(out->data[i], out->linesize[i], (w + 1) / 2, (h + 1) / 2, fw / 2, fh / 2);
    }
    return DMV_OK;
}

void dv_to_yuv_close(dv_to_yuv *t)
{
    if (t->sws)
        av.sws_freeContext(t->sws);
    dv_free(t->in);
    *t = (dv_to_yuv){0};
}
