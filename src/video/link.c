/* SPDX-License-Identifier: Apache-2.0
 *
 * link.c - one connection to a source: opening it, reading packets, decoding. What is wrong with
 * single packets is counted and passed over; what is wrong with the connection ends it, and
 * source.c decides whether there is another.
 */
#include "video/video_priv.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAX_REFUSED 1000 /* packets in a row; then the stream is given up */
#define BEHIND 1.0       /* seconds of lag: frames that no other needs are not decoded */
#define FAR_BEHIND 4.0   /* seconds of lag: nothing up to the next key frame is decoded */
#define CAMERA_LOOK 5000 /* microseconds between looks at a camera without a new frame */
#define NETWORK "tcp,udp,rtp,tls,http,https,httpproxy,srtp,crypto,rtmp,rtmps,srt"

static int interrupted(void *guard)
{
    return dv_guard_over(guard);
}

/* ---- opening ---- */

/* The words for a source that cannot be opened, with what to do about it. */
static dmv_status explain(int r, const dv_spec *s, const dv_video_options *o, const dv_guard *g,
                          dv_err *e)
{
    const char *what = s->shown, *words = dv_libav_words(r);
    if (r == AVERROR(ENOMEM)) /* a damaged header may ask for anything */
        return dv_fail(e, DMV_ERR_MEMORY,
                       "%s: not enough memory for what it asks for; it may be damaged, or other "
                       "programs take the memory",
                       what);
    if (g->expired || r == AVERROR(ETIMEDOUT))
        return dv_fail(e, DMV_ERR_IO,
                       "%s: no video came for %g seconds; check that the sender is "
                       "on and can be reached, or allow more time",
                       what, o->timeout);
    if (atomic_load(&g->stop))
        return dv_fail(e, DMV_ERR_IO, "%s: stopped", what);
    switch (r) {
    case AVERROR_HTTP_UNAUTHORIZED:
    case AVERROR_HTTP_FORBIDDEN:
        return dv_fail(e, DMV_ERR_IO,
                       "%s: %s; give the camera's user and password as in "
                       "rtsp://USER:PASSWORD@HOST/PATH",
                       what, words);
    case AVERROR_HTTP_NOT_FOUND:
        return dv_fail(e, DMV_ERR_NOT_FOUND,
                       "%s: %s; the manual of the camera tells the path of "
                       "its stream",
                       what, words);
    case AVERROR(ECONNREFUSED):
        return dv_fail(e, DMV_ERR_IO, "%s: %s; is the sender on, and is the port right?", what,
                       words);
    case AVERROR(EHOSTUNREACH):
    case AVERROR(ENETUNREACH):
        return dv_fail(e, DMV_ERR_IO, "%s: %s; check the network and the address", what, words);
    case AVERROR(EACCES):
    case AVERROR(EPERM):
        return dv_fail(e, DMV_ERR_IO, "%s: %s; %s", what, words,
                       s->kind == DV_VIDEO_CAMERA ? "the user must be in the group `video`"
                                                  : "check the permissions");
    case AVERROR(EBUSY):
        return dv_fail(e, DMV_ERR_IO, "%s: %s; another program has the camera", what, words);
    case AVERROR_DECODER_NOT_FOUND:
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "%s: this FFmpeg cannot decode it; convert it to "
                       "H.264",
                       what);
    default:
        break;
    }
    if (s->kind == DV_VIDEO_CAMERA)
        return dv_fail(e, DMV_ERR_IO,
                       "%s: %s; check that the camera is plugged in, that no other program uses "
                       "it, and that it has this size and rate",
                       what, words);
    if (s->kind == DV_VIDEO_FILE || s->kind == DV_VIDEO_PIPE)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: not a video that can be read (%s); it may be cut "
                       "off, or not a video: copy it again or convert it to MP4",
                       what, words);
    return dv_fail(e, DMV_ERR_IO, "%s: %s; check the address, the network and the sender", what,
                   words);
}

/* Owned by the dictionary; a missing entry is noticed when FFmpeg misses it. */
static void set_options(AVDictionary **d, const dv_spec *s, const dv_video_options *o)
{
    char text[64];
    if (s->kind == DV_VIDEO_CAMERA) {
        if (o->width) {
            snprintf(text, sizeof text, "%dx%d", o->width, o->height);
            av.av_dict_set(d, "video_size", text, 0);
        }
        if (o->rate > 0) {
            snprintf(text, sizeof text, "%g", o->rate);
            av.av_dict_set(d, "framerate", text, 0);
        }
        return;
    }
    /* A playlist in a file must not open addresses, nor one from the network open files. */
    av.av_dict_set(d, "protocol_whitelist", s->kind == DV_VIDEO_STREAM ? NETWORK : "file", 0);
    if (s->kind != DV_VIDEO_STREAM)
        return;
    if (!strncasecmp(s->address, "rtsp", 4)) {
        av.av_dict_set(d, "rtsp_transport", o->transport ? o->transport : "tcp", 0);
        av.av_dict_set(d, "allowed_media_types", "video", 0);
    }
    if (!strncasecmp(s->address, "rtsp", 4) || !strncasecmp(s->address, "http", 4) ||
        !strncasecmp(s->address, "tcp", 3))
        av.av_dict_set_int(d, "timeout", (int64_t)(o->timeout * 1e6), 0);
}

static dmv_status open_format(dv_link *l, const dv_spec *s, const dv_video_options *o, dv_guard *g,
                              dv_err *e)
{
    const AVInputFormat *format = NULL;
    char *url = NULL;
    if (s->kind == DV_VIDEO_CAMERA && !(format = dv_libav_v4l2(e)))
        return dv_fail_in(e, "%s", s->shown);
    if (s->kind != DV_VIDEO_CAMERA && o->format && !(format = av.av_find_input_format(o->format)))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "%s: this FFmpeg knows no format `%.40s`; leave it out to have it told from "
                       "the data",
                       s->shown, o->format);
    if (s->kind == DV_VIDEO_PIPE) {
        dmv_status st = dv_input_open(&l->in, s, g, e);
        if (st)
            return st;
    }
    l->fc = av.avformat_alloc_context();
    if (!l->fc)
        return dv_nomem(e);
    l->fc->interrupt_callback = (AVIOInterruptCB){interrupted, g};
    if (s->kind == DV_VIDEO_CAMERA)
        l->fc->flags |= AVFMT_FLAG_NONBLOCK; /* its read would not look at the guard */
    l->fc->pb = l->in.io;
    if (s->kind == DV_VIDEO_FILE) { /* else a colon in a name would make a protocol of it */
        size_t n = strlen(s->address) + 6;
        url = dv_malloc(n);
        if (!url)
            return dv_nomem(e);
        snprintf(url, n, "file:%s", s->address);
    }
    AVDictionary *d = NULL;
    set_options(&d, s, o);
    int r = av.avformat_open_input(&l->fc, url ? url : s->address, format, &d);
    av.av_dict_free(&d);
    dv_free(url);
    if (r < 0) /* which has freed fc */
        return explain(r, s, o, g, e);
    dv_guard_set(g, o->timeout);
    r = av.avformat_find_stream_info(l->fc, NULL);
    if (r < 0 || atomic_load(&g->stop))
        return explain(r, s, o, g, e);
    if (!g->expired)
        return DMV_OK;
    /* It would have liked to see more. What came is kept and read first. */
    for (unsigned i = 0; i < l->fc->nb_streams; i++) {
        if (l->fc->streams[i]->codecpar->width <= 0)
            continue;
        if (l->fc->pb)
            l->fc->pb->eof_reached = l->fc->pb->error = 0;
        return DMV_OK;
    }
    return explain(AVERROR(ETIMEDOUT), s, o, g, e);
}

static int rotation_of(const AVStream *st)
{
    const int32_t *matrix = NULL;
#if LIBAVFORMAT_VERSION_MAJOR < 61
    size_t size = 0;
    const uint8_t *side = av.av_stream_get_side_data(st, AV_PKT_DATA_DISPLAYMATRIX, &size);
    if (side && size >= 9 * sizeof *matrix)
        matrix = (const int32_t *)(const void *)side;
#else
    const AVCodecParameters *p = st->codecpar;
    for (int i = 0; i < p->nb_coded_side_data; i++)
        if (p->coded_side_data[i].type == AV_PKT_DATA_DISPLAYMATRIX &&
            p->coded_side_data[i].size >= 9 * sizeof *matrix)
            matrix = (const int32_t *)(const void *)p->coded_side_data[i].data;
#endif
    double turned = matrix ? -av.av_display_rotation_get(matrix) : 0;
    if (!isfinite(turned))
        return 0;
    return ((int)lround(turned / 90) % 4 + 4) % 4 * 90;
}

static dmv_status open_decoder(dv_link *l, const dv_spec *s, const dv_video_options *o,
                               const dv_guard *g, dv_err *e)
{
    const AVStream *st = l->fc->streams[l->stream];
    const AVCodecParameters *p = st->codecpar;
    if (p->width > DV_IMAGE_MAX_SIDE || p->height > DV_IMAGE_MAX_SIDE ||
        (uint64_t)DV_MAX(p->width, 0) * (uint64_t)DV_MAX(p->height, 0) > DV_IMAGE_MAX_PIXELS)
        return dv_fail(e, DMV_ERR_LIMIT,
                       "%s: %d x %d pixels are over the limit; scale the video "
                       "down",
                       s->shown, p->width, p->height);
    const AVCodec *codec = av.avcodec_find_decoder(p->codec_id);
    if (!codec)
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "%s: this FFmpeg cannot decode %s; convert the "
                       "video to H.264",
                       s->shown, av.avcodec_get_name(p->codec_id));
    l->cc = av.avcodec_alloc_context3(codec);
    l->packet = av.av_packet_alloc();
    l->frame = av.av_frame_alloc();
    if (!l->cc || !l->packet || !l->frame)
        return dv_nomem(e);
    int r = av.avcodec_parameters_to_context(l->cc, p);
    l->cc->thread_count = o->threads;
    /* Threads by frame hold frames back, which a live stream cannot want. */
    l->cc->thread_type = l->live ? FF_THREAD_SLICE : FF_THREAD_SLICE | FF_THREAD_FRAME;
    l->cc->pkt_timebase = st->time_base;
    l->cc->max_pixels = DV_IMAGE_MAX_PIXELS;
    if (r >= 0)
        r = av.avcodec_open2(l->cc, codec, NULL);
    return r < 0 ? explain(r, s, o, g, e) : DMV_OK;
}

static dmv_status open_all(dv_link *l, const dv_spec *s, const dv_video_options *o, dv_guard *g,
                           bool need_video, dv_err *e)
{
    dmv_status st = open_format(l, s, o, g, e);
    if (st)
        return st;
    /* A camera over HTTP has no length, neither in seconds nor in bytes. */
    l->live = s->live || (s->kind == DV_VIDEO_STREAM && o->live < 0 && l->fc->pb &&
                          l->fc->duration == AV_NOPTS_VALUE && av.avio_size(l->fc->pb) <= 0);
    int k = av.av_find_best_stream(l->fc, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    bool cover = k >= 0 && l->fc->streams[k]->disposition & AV_DISPOSITION_ATTACHED_PIC;
    l->stream = k < 0 || cover ? -1 : k;
    if (l->stream < 0)
        return !need_video ? DMV_OK
                           : dv_fail(e, DMV_ERR_FORMAT,
                                     "%s: there is no video in it, only %s; "
                                     "give a source with pictures",
                                     s->shown,
                                     cover               ? "sound with a cover picture"
                                     : l->fc->nb_streams ? "sound or data"
                                                         : "an empty stream");
    for (unsigned i = 0; i < l->fc->nb_streams; i++)
        if ((int)i != l->stream)
            l->fc->streams[i]->discard = AVDISCARD_ALL;
    AVStream *stream = l->fc->streams[l->stream];
    AVRational rate = av.av_guess_frame_rate(l->fc, stream, NULL);
    l->nominal = rate.num > 0 && rate.den > 0 ? (double)rate.den / rate.num : 0;
    l->rotation = rotation_of(stream);
    l->video_at = dv_now_ns();
    return open_decoder(l, s, o, g, e);
}

dmv_status dv_link_open(dv_link *l, const dv_spec *s, const dv_video_options *o, dv_guard *g,
                        bool need_video, dv_err *e)
{
    *l = (dv_link){.stream = -1, .in.fd = -1};
    dv_guard_set(g, o->timeout);
    dmv_status st = open_all(l, s, o, g, need_video, e);
    if (st)
        dv_link_close(l);
    return st;
}

void dv_link_close(dv_link *l)
{
    if (l->frame)
        av.av_frame_free(&l->frame);
    if (l->packet)
        av.av_packet_free(&l->packet);
    if (l->cc)
        av.avcodec_free_context(&l->cc);
    if (l->fc)
        av.avformat_close_input(&l->fc);
    dv_input_close(&l->in);
    *l = (dv_link){.stream = -1, .in.fd = -1};
}

/* ---- reading ---- */

double dv_link_stamp(const dv_link *l, const AVFrame *f)
{
    if (f->best_effort_timestamp == AV_NOPTS_VALUE)
        return NAN;
    return (double)f->best_effort_timestamp * av_q2d(l->fc->streams[l->stream]->time_base);
}

static dv_link_event refuse(dv_link *l, const dv_spec *s, dv_video_stats *st, dv_err *e)
{
    st->corrupt++;
    if (++l->refused < MAX_REFUSED)
        return DV_LINK_NONE;
    dv_fail(e, DMV_ERR_FORMAT,
            "%s: nothing could be decoded of %d packets in a row; the stream is "
            "damaged or not what it says it is",
            s->shown, MAX_REFUSED);
    return DV_LINK_LOST;
}

static dv_link_event receive(dv_link *l, const dv_spec *s, dv_video_stats *st, dv_err *e)
{
    int r = av.avcodec_receive_frame(l->cc, l->frame);
    if (r == 0) {
        l->refused = 0;
        st->decoded++;
        return DV_LINK_FRAME;
    }
    if (r == AVERROR(EAGAIN))
        return DV_LINK_NONE;
    if (r == AVERROR_EOF)
        return DV_LINK_END;
    return refuse(l, s, st, e);
}

static dv_link_event lost(int r, const dv_spec *s, const dv_video_options *o, dv_guard *g,
                          dv_video_stats *st, dv_err *e)
{
    if (r == AVERROR_EXIT) /* the guard's answer, told after a last piece was given out */
        r = AVERROR(ETIMEDOUT);
    st->stalls += g->expired || r == AVERROR(ETIMEDOUT);
    explain(r, s, o, g, e);
    return DV_LINK_LOST;
}

/* A packet into l->packet, or what else happened. */
static dv_link_event read_packet(dv_link *l, const dv_spec *s, const dv_video_options *o,
                                 dv_guard *g, dv_video_stats *st, dv_err *e)
{
    dv_guard_set(g, o->timeout);
    for (;;) {
        int r = av.av_read_frame(l->fc, l->packet);
        if (r >= 0)
            break;
        if (r == AVERROR(EAGAIN)) {
            if (dv_guard_over(g))
                return lost(AVERROR(ETIMEDOUT), s, o, g, st, e);
            usleep(CAMERA_LOOK);
            continue;
        }
        if (atomic_load(&g->stop))
            return DV_LINK_END;
        /* Some formats answer a stop of the input with their own end. */
        if (g->expired)
            return lost(AVERROR(ETIMEDOUT), s, o, g, st, e);
        if (r == AVERROR_EOF) {
            int err = l->fc->pb ? l->fc->pb->error : 0;
            if (err >= 0 || err == AVERROR_EOF)
                return DV_LINK_END;
            return lost(err, s, o, g, st, e);
        }
        if (r == AVERROR_INVALIDDATA)
            return refuse(l, s, st, e);
        return lost(r, s, o, g, st, e);
    }
    uint64_t now = dv_now_ns();
    if (l->packet->stream_index == l->stream) {
        l->video_at = now;
        return DV_LINK_FRAME;
    }
    av.av_packet_unref(l->packet);
    if (l->live && (double)(now - l->video_at) * 1e-9 > o->timeout) { /* sound goes on alone */
        g->expired = true;
        return lost(AVERROR(ETIMEDOUT), s, o, g, st, e);
    }
    return DV_LINK_NONE;
}

dv_link_event dv_link_step(dv_link *l, const dv_spec *s, const dv_video_options *o, dv_guard *g,
                           double lag, dv_video_stats *st, dv_err *e)
{
    /* What is in the decoder first. */
    uint64_t begin = dv_now_ns();
    dv_link_event got = receive(l, s, st, e);
    st->decode_ms += (double)(dv_now_ns() - begin) * 1e-6;
    if (got != DV_LINK_NONE || l->draining)
        return got;
    got = read_packet(l, s, o, g, st, e);
    if (got == DV_LINK_END) {
        l->draining = true;
        av.avcodec_send_packet(l->cc, NULL);
        return DV_LINK_NONE;
    }
    if (got != DV_LINK_FRAME)
        return got;
    st->packets++;
    if (lag > FAR_BEHIND && !(l->packet->flags & AV_PKT_FLAG_KEY)) {
        st->skipped++;
        av.av_packet_unref(l->packet);
        return DV_LINK_NONE;
    }
    l->cc->skip_frame = lag > BEHIND ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
    begin = dv_now_ns();
    int r = av.avcodec_send_packet(l->cc, l->packet);
    st->decode_ms += (double)(dv_now_ns() - begin) * 1e-6;
    av.av_packet_unref(l->packet);
    return r < 0 ? refuse(l, s, st, e) : DV_LINK_NONE;
}
