/* SPDX-License-Identifier: Apache-2.0
 *
 * encode.c - the encoder of writer.c and recompress.c: libx264 where FFmpeg has it, as Debian's
 * does, else what is nearest to it. Encoders in hardware are left alone: they differ from
 * machine to machine, and results must not.
 */
#include "video/video_priv.h"

#include <errno.h>
#include <math.h>
#include <string.h>

void dv_encode_options_init(dv_encode_options *o)
{
    *o = (dv_encode_options){.preset = "veryfast", .crf = 23, .threads = 1};
}

dmv_status dv_encode_options_check(const dv_encode_options *o, dv_err *e)
{
    if (o->bit_rate < 0 || o->bit_rate > 1000000000)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%lld bits a second: up to 1000000000, 0 = by quality",
                       (long long)o->bit_rate);
    if (!(o->crf >= 0 && o->crf <= 51))
        return dv_fail(e, DMV_ERR_ARGUMENT, "a quality (CRF) of %g: 0, the best, to 51", o->crf);
    if (o->gop < 0 || o->gop > 100000)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%d frames between key frames: up to 100000", o->gop);
    static const char *const presets[] = {"ultrafast", "superfast", "veryfast", "faster",  "fast",
                                          "medium",    "slow",      "slower",   "veryslow"};
    bool known = !o->preset;
    for (size_t i = 0; i < DV_COUNT(presets); i++)
        known |= o->preset && !strcmp(o->preset, presets[i]);
    if (!known) /* x264 itself would print something */
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "preset %.40s: ultrafast, superfast, veryfast, faster, "
                       "fast, medium, slow, slower or veryslow",
                       o->preset);
    if (o->threads < 1 || o->threads > 64)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%d encoder threads: 1 to 64", o->threads);
    return DMV_OK;
}

static const AVCodec *choose(const char *name, dv_err *e)
{
    static const char *const known[] = {"libx264", "libopenh264", "mpeg4"};
    const AVCodec *c = NULL;
    if (name && !(c = av.avcodec_find_encoder_by_name(name)))
        dv_fail(e, DMV_ERR_ARGUMENT,
                "this FFmpeg has no encoder `%.40s`; leave it out, or use "
                "libx264 or mpeg4",
                name);
    for (size_t i = 0; !name && !c && i < DV_COUNT(known); i++)
        c = av.avcodec_find_encoder_by_name(known[i]);
    if (!name && !c)
        dv_fail(e, DMV_ERR_UNSUPPORTED,
                "this FFmpeg has no encoder for H.264 or MPEG-4; install Debian's own libavcodec");
    return c;
}

static void set_up(AVCodecContext *cc, const dv_encode_spec *s, const dv_encode_options *o,
                   AVDictionary **d)
{
    bool x264 = !strcmp(cc->codec->name, "libx264");
    char text[32];
    cc->width = s->width;
    cc->height = s->height;
    cc->pix_fmt = AV_PIX_FMT_YUV420P;
    cc->time_base = s->time_base;
    cc->framerate = (AVRational){(int)lround(s->rate * 1000), 1000};
    cc->gop_size = o->gop ? o->gop : (int)DV_MAX(1, lround(s->rate * 10));
    cc->thread_count = o->threads;
    cc->color_range = AVCOL_RANGE_MPEG; /* what dv_to_yuv_convert gives */
    cc->colorspace = AVCOL_SPC_SMPTE170M;
    cc->color_primaries = AVCOL_PRI_SMPTE170M;
    cc->color_trc = AVCOL_TRC_SMPTE170M;
    if (s->global_header)
        cc->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    if (s->immediate)
        cc->max_b_frames = 0;
    if (o->bit_rate) {
        cc->bit_rate = o->bit_rate;
        cc->rc_max_rate = o->bit_rate; /* as cameras do: the line holds no more */
        cc->rc_buffer_size = (int)DV_MIN(o->bit_rate, (int64_t)INT32_MAX);
    } else if (x264) {
        snprintf(text, sizeof text, "%.2f", o->crf);
        av.av_dict_set(d, "crf", text, 0);
    } else { /* 23 to about 5, 40 to about 14; the scale of the quantisers is another */
        cc->flags |= AV_CODEC_FLAG_QSCALE;
        cc->global_quality = (int)(FF_QP2LAMBDA * DV_MIN(31, DV_MAX(2, 2 + (o->crf - 17) * 0.52)));
    }
    if (x264) {
        av.av_dict_set(d, "preset", o->preset ? o->preset : "veryfast", 0);
        if (s->immediate)
            av.av_dict_set(d, "tune", "zerolatency", 0);
    }
}

dmv_status dv_encoder_open(dv_encoder *c, const dv_encode_spec *s, const dv_encode_options *o,
                           dv_err *e)
{
    *c = (dv_encoder){0};
    dmv_status st = dv_encode_options_check(o, e);
    const AVCodec *codec = st ? NULL : choose(o->encoder, e);
    if (!codec)
        return st ? st : o->encoder ? DMV_ERR_ARGUMENT : DMV_ERR_UNSUPPORTED;
    AVDictionary *d = NULL;
    int r = AVERROR(ENOMEM);
    c->cc = av.avcodec_alloc_context3(codec);
    c->frame = av.av_frame_alloc();
    c->packet = av.av_packet_alloc();
    if (c->cc && c->frame && c->packet) {
        set_up(c->cc, s, o, &d);
        r = av.avcodec_open2(c->cc, codec, &d);
        c->frame->format = AV_PIX_FMT_YUV420P;
        c->frame->width = s->width;
        c->frame->height = s->height;
        if (r >= 0)
            r = av.av_frame_get_buffer(c->frame, 0);
    }
    av.av_dict_free(&d);
    if (r >= 0)
        return DMV_OK;
    st = r == AVERROR(ENOMEM) ? dv_nomem(e)
                              : dv_fail(e, DMV_ERR_UNSUPPORTED,
                                        "the encoder %s refuses %d x %d at "
                                        "%g frames a second, preset %.20s (%s)",
                                        codec->name, s->width, s->height, s->rate,
                                        o->preset ? o->preset : "veryfast", dv_libav_words(r));
    dv_encoder_close(c);
    return st;
}

static dmv_status fail_code(const dv_encoder *c, int r, dv_err *e)
{
    if (r == AVERROR(ENOMEM))
        return dv_nomem(e);
    return dv_fail(e, DMV_ERR_FORMAT, "the encoder %s failed (%s)", c->cc->codec->name,
                   dv_libav_words(r));
}

dmv_status dv_encoder_send(dv_encoder *c, const dmv_image *image, bool pad, int64_t stamp,
                           dv_err *e)
{
    int r = 0;
    if (image) {
        r = av.av_frame_make_writable(c->frame); /* the encoder may still hold the last one */
        dmv_status s = r < 0 ? DMV_OK : dv_to_yuv_convert(&c->yuv, image, pad, c->frame, e);
        if (s)
            return s;
        c->frame->pts = stamp;
        c->frame->quality = c->cc->global_quality;
    }
    if (r >= 0)
        r = av.avcodec_send_frame(c->cc, image ? c->frame : NULL);
    return r < 0 && r != AVERROR_EOF ? fail_code(c, r, e) : DMV_OK;
}

dmv_status dv_encoder_receive(dv_encoder *c, bool *got, dv_err *e)
{
    int r = av.avcodec_receive_packet(c->cc, c->packet);
    *got = r >= 0;
    return r < 0 && r != AVERROR(EAGAIN) && r != AVERROR_EOF ? fail_code(c, r, e) : DMV_OK;
}

void dv_encoder_close(dv_encoder *c)
{
    if (c->cc)
        av.avcodec_free_context(&c->cc);
    if (c->frame)
        av.av_frame_free(&c->frame);
    if (c->packet)
        av.av_packet_free(&c->packet);
    dv_to_yuv_close(&c->yuv);
    *c = (dv_encoder){0};
}
