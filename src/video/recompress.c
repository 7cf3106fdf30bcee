/* SPDX-License-Identifier: Apache-2.0
 *
 * recompress.c - pictures through a video coder and back, in memory, one at a time. The coder
 * looks at no picture ahead and keeps none back, as in a camera, so each picture that goes in
 * comes out at once.
 */
#include "video/video_priv.h"

#include <errno.h>
#include <math.h>
#include <string.h>

struct dv_recompressor {
    int width, height;
    dv_encoder enc;
    AVCodecContext *dec;
    AVFrame *frame;
    dv_to_rgb rgb;
    int64_t count;
};

void dv_recompress_options_init(dv_recompress_options *o)
{
    dv_encode_options_init(&o->encode);
    o->encode.preset = "medium";
    o->rate = 25;
}

static dmv_status open_decoder(dv_recompressor *r, dv_err *e)
{
    const AVCodec *codec = av.avcodec_find_decoder(r->enc.cc->codec_id);
    if (!codec)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "this FFmpeg cannot decode %s",
                       av.avcodec_get_name(r->enc.cc->codec_id));
    r->dec = av.avcodec_alloc_context3(codec);
    r->frame = av.av_frame_alloc();
    if (!r->dec || !r->frame)
        return dv_nomem(e);
    r->dec->thread_count = 1;
    r->dec->flags |= AV_CODEC_FLAG_LOW_DELAY;
    int k = av.avcodec_open2(r->dec, codec, NULL);
    return k < 0 ? dv_fail(e, DMV_ERR_UNSUPPORTED, "the decoder %s cannot be opened (%s)",
                           codec->name, dv_libav_words(k))
                 : DMV_OK;
}

dmv_status dv_recompressor_open(int width, int height, const dv_recompress_options *o,
                                dv_recompressor **out, dv_err *e)
{
    dv_recompress_options defaults;
    dv_recompress_options_init(&defaults);
    *out = NULL;
    if (!o)
        o = &defaults;
    if (width < 1 || height < 1 || width > 16384 || height > 16384)
        return dv_fail(e, DMV_ERR_ARGUMENT, "pictures of %d x %d pixels: 1 to 16384 each", width,
                       height);
    if (!(o->rate >= 0.01 && o->rate <= 1000))
        return dv_fail(e, DMV_ERR_ARGUMENT, "%g frames a second: 0.01 to 1000", o->rate);
    dmv_status s = dv_libav_load(e);
    if (s)
        return s;
    dv_recompressor *r = dv_calloc(1, sizeof *r);
    if (!r)
        return dv_nomem(e);
    r->width = width;
    r->height = height;
    /* 16 is the least that every encoder takes. */
    dv_encode_spec spec = {.width = DV_MAX((width + 1) & ~1, 16),
                           .height = DV_MAX((height + 1) & ~1, 16),
                           .time_base = {1000, (int)lround(o->rate * 1000)},
                           .rate = o->rate,
                           .immediate = true};
    s = dv_encoder_open(&r->enc, &spec, &o->encode, e);
    if (!s)
        s = open_decoder(r, e);
    if (s)
        dv_recompressor_close(&r);
    *out = r;
    return s;
}

/* Of the shown frame, the part that was given. */
static dmv_status take(dv_recompressor *r, dv_picture *p, dv_err *e)
{
    dmv_image seen;
    dmv_status s = dv_to_rgb_convert(&r->rgb, r->frame, 0, &seen, e);
    if (s)
        return s;
    if (seen.width < r->width || seen.height < r->height)
        return dv_fail(e, DMV_ERR_FORMAT, "the coder gave %d x %d pixels for %d x %d", seen.width,
                       seen.height, r->width, r->height);
    const size_t row = (size_t)r->width * 3;
    for (int y = 0; y < r->height; y++)
        memcpy(p->pixels + (size_t)y * row, seen.pixels + (size_t)y * seen.stride, row);
    return DMV_OK;
}

dmv_status dv_recompressor_picture(dv_recompressor *r, dv_picture *p, size_t *bytes, dv_err *e)
{
    if (!p->pixels || p->width != r->width || p->height != r->height)
        return dv_fail(e, DMV_ERR_ARGUMENT, "a picture of %d x %d where all are %d x %d", p->width,
                       p->height, r->width, r->height);
    dmv_image view = dv_picture_view(p);
    bool got = false;
    dmv_status s = dv_encoder_send(&r->enc, &view, true, r->count, e);
    if (!s)
        s = dv_encoder_receive(&r->enc, &got, e);
    if (!s && !got)
        s = dv_fail(e, DMV_ERR_UNSUPPORTED,
                    "the encoder %s keeps pictures back; use libx264 or "
                    "mpeg4",
                    r->enc.cc->codec->name);
    if (s)
        return s;
    if (bytes)
        *bytes = (size_t)r->enc.packet->size;
    int k = av.avcodec_send_packet(r->dec, r->enc.packet);
    av.av_packet_unref(r->enc.packet);
    if (k >= 0)
        k = av.avcodec_receive_frame(r->dec, r->frame);
    if (k < 0)
        return k == AVERROR(ENOMEM) ? dv_nomem(e)
                                    : dv_fail(e, DMV_ERR_FORMAT,
                                              "picture %lld was coded, but not "
                                              "decoded (%s)",
                                              (long long)r->count, dv_libav_words(k));
    r->count++;
    s = take(r, p, e);
    av.av_frame_unref(r->frame);
    return s;
}

void dv_recompressor_close(dv_recompressor **pr)
{
    dv_recompressor *r = *pr;
    *pr = NULL;
    if (!r)
        return;
    dv_encoder_close(&r->enc);
    if (r->dec)
        av.avcodec_free_context(&r->dec);
    if (r->frame)
        av.av_frame_free(&r->frame);
    dv_to_rgb_close(&r->rgb);
    dv_free(r);
}

static dmv_status copy_of(const dv_picture *in, dv_picture *out, dv_err *e)
{
    size_t n = (size_t)in->width * (size_t)in->height * 3;
    *out = (dv_picture){dv_malloc(n), in->width, in->height};
    if (!out->pixels)
        return dv_nomem(e);
    memcpy(out->pixels, in->pixels, n);
    return DMV_OK;
}

dmv_status dv_video_recompress(const dv_picture *in, size_t n, const dv_recompress_options *o,
                               dv_picture *out, uint64_t *bytes, dv_err *e)
{
    dv_recompressor *r = NULL;
    memset(out, 0, n * sizeof *out);
    if (bytes)
        *bytes = 0;
    if (n == 0)
        return DMV_OK;
    dmv_status s = dv_recompressor_open(in[0].width, in[0].height, o, &r, e);
    for (size_t i = 0; !s && i < n; i++) {
        size_t size = 0;
        if (!in[i].pixels || in[i].width != r->width || in[i].height != r->height)
            s = dv_fail(e, DMV_ERR_ARGUMENT, "picture %zu is %d x %d, the first is %d x %d", i,
                        in[i].width, in[i].height, r->width, r->height);
        if (!s)
            s = copy_of(&in[i], &out[i], e);
        if (!s)
            s = dv_recompressor_picture(r, &out[i], &size, e);
        if (bytes)
            *bytes += size;
    }
    dv_recompressor_close(&r);
    for (size_t i = 0; s && i < n; i++)
        dv_picture_free(&out[i]);
    return s;
}
