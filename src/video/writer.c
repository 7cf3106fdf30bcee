/* SPDX-License-Identifier: Apache-2.0
 *
 * writer.c - H.264 in MP4. The muxer writes through a function of ours into a file beside the
 * target, so that the reason of a failed write is known (muxers keep it to themselves) and the
 * file appears whole or not at all.
 */
#include "video/video_priv.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define BUFFER 65536
#define TICKS 60000 /* a second; MPEG-4 counts no finer than 1/65535 */

struct dv_video_writer {
    dv_new_file file;
    bool has_file, has_header;
    dv_encoder enc;
    AVFormatContext *fc;
    AVStream *stream;
    AVIOContext *io;
    int64_t last, step; /* ticks */
    bool any;
    dv_err err; /* of the first call that failed */
};

#if LIBAVFORMAT_VERSION_MAJOR < 61
static int write_some(void *user, uint8_t *data, int size)
#else
static int write_some(void *user, const uint8_t *data, int size)
#endif
{
    dv_video_writer *w = user;
    if (w->err.code)
        return AVERROR(EIO);
    return dv_new_file_write(&w->file, data, (size_t)size, &w->err) ? AVERROR(EIO) : size;
}

static int64_t seek(void *user, int64_t at, int whence)
{
    dv_video_writer *w = user;
    if (whence & AVSEEK_SIZE)
        return AVERROR(ENOSYS);
    off_t now = lseek(w->file.fd, at, whence & ~AVSEEK_FORCE);
    return now < 0 ? AVERROR(errno) : now;
}

static dmv_status fail_code(dv_video_writer *w, int r, dv_err *e)
{
    if (w->err.code) /* of write_some: it knows more */
        return dv_fail(e, w->err.code, "%s", w->err.msg);
    if (r == AVERROR(ENOMEM))
        return dv_nomem(e);
    return dv_fail(e, DMV_ERR_IO, "cannot write %s: %s; check the disk and the file system",
                   w->file.target, dv_libav_words(r));
}

static dmv_status open_muxer(dv_video_writer *w, dv_err *e)
{
    uint8_t *buffer = av.av_malloc(BUFFER);
    bool seekable = w->file.name != NULL;
    if (buffer)
        w->io =
            av.avio_alloc_context(buffer, BUFFER, 1, w, NULL, write_some, seekable ? seek : NULL);
    if (!w->io) {
        av.av_freep(&buffer);
        return dv_nomem(e);
    }
    if (av.avformat_alloc_output_context2(&w->fc, NULL, "mp4", NULL) < 0)
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "this FFmpeg writes no MP4; install Debian's own libavformat");
    w->fc->pb = w->io;
    w->fc->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
    return DMV_OK;
}

static dmv_status open_all(dv_video_writer *w, const char *path, const dv_encode_spec *s,
                           const dv_encode_options *o, dv_err *e)
{
    dmv_status st = dv_encoder_open(&w->enc, s, o, e);
    if (!st)
        st = dv_new_file_open(path, &w->file, e);
    w->has_file = !st;
    if (!st)
        st = open_muxer(w, e);
    if (st)
        return st;
    w->stream = av.avformat_new_stream(w->fc, NULL);
    if (!w->stream)
        return dv_nomem(e);
    w->stream->time_base = w->enc.cc->time_base;
    w->stream->avg_frame_rate = w->enc.cc->framerate;
    int r = av.avcodec_parameters_from_context(w->stream->codecpar, w->enc.cc);
    AVDictionary *d = NULL;
    if (!w->file.name) /* no way back to write the index at the end */
        av.av_dict_set(&d, "movflags", "frag_keyframe+empty_moov+default_base_moof", 0);
    if (r >= 0)
        r = av.avformat_write_header(w->fc, &d);
    av.av_dict_free(&d);
    w->has_header = r >= 0;
    return r < 0 ? fail_code(w, r, e) : DMV_OK;
}

dmv_status dv_video_writer_open(const char *path, int width, int height, double rate,
                                const dv_encode_options *o, dv_video_writer **out, dv_err *e)
{
    dv_encode_options defaults;
    dv_encode_options_init(&defaults);
    *out = NULL;
    if (!path || !*path)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no file to write the video to is named");
    if (width < 2 || height < 2 || width > 16384 || height > 16384)
        return dv_fail(e, DMV_ERR_ARGUMENT, "a video of %d x %d pixels: 2 to 16384 each", width,
                       height);
    if (!(rate >= 0.01 && rate <= 1000))
        return dv_fail(e, DMV_ERR_ARGUMENT, "%g frames a second: 0.01 to 1000", rate);
    dmv_status s = dv_libav_load(e);
    if (s)
        return s;
    dv_video_writer *w = dv_calloc(1, sizeof *w);
    if (!w)
        return dv_nomem(e);
    w->file.fd = -1;
    w->step = DV_MAX(1, llround(TICKS / rate));
    dv_encode_spec spec = {.width = width & ~1,
                           .height = height & ~1,
                           .time_base = {1, TICKS},
                           .rate = rate,
                           .global_header = true};
    s = open_all(w, path, &spec, o ? o : &defaults, e);
    if (s)
        dv_video_writer_drop(&w);
    *out = w;
    return s;
}

/* Packets that are ready, into the file. */
static dmv_status drain(dv_video_writer *w, dv_err *e)
{
    for (bool got = true;;) {
        dmv_status s = dv_encoder_receive(&w->enc, &got, e);
        if (s || !got)
            return s;
        w->enc.packet->stream_index = w->stream->index;
        if (w->enc.packet->duration <= 0)
            w->enc.packet->duration = w->step;
        av.av_packet_rescale_ts(w->enc.packet, w->enc.cc->time_base, w->stream->time_base);
        int r = av.av_interleaved_write_frame(w->fc, w->enc.packet); /* takes the packet */
        if (r >= 0 && w->io->error < 0)
            r = w->io->error;
        if (r < 0 || w->err.code)
            return fail_code(w, r, e);
    }
}

dmv_status dv_video_writer_add(dv_video_writer *w, const dmv_image *image, double time, dv_err *e)
{
    dv_err mine = {0};
    if (w->err.code)
        return DMV_OK;
    int64_t stamp = w->any ? w->last + w->step : 0;
    if (isfinite(time) && fabs(time) < 1e9)
        stamp = llround(time * TICKS);
    if (w->any && stamp <= w->last)
        stamp = w->last + 1;
    dmv_status s = dv_encoder_send(&w->enc, image, false, stamp, &mine);
    if (!s) {
        w->last = stamp;
        w->any = true;
        s = drain(w, &mine);
    }
    if (s) {
        w->err = mine;
        dv_fail(e, s, "%s", mine.msg);
    }
    return s;
}

bool dv_video_writer_failed(const dv_video_writer *w)
{
    return w->err.code != DMV_OK;
}

static void close_all(dv_video_writer *w)
{
    if (w->fc)
        av.avformat_free_context(w->fc);
    if (w->io)
        av.av_freep(&w->io->buffer);
    if (w->io)
        av.avio_context_free(&w->io);
    dv_encoder_close(&w->enc);
    if (w->has_file)
        dv_new_file_drop(&w->file); /* nothing, once it was committed */
    dv_free(w);
}

static dmv_status finish(dv_video_writer *w, dv_err *e)
{
    dmv_status s = dv_encoder_send(&w->enc, NULL, false, 0, e);
    if (!s)
        s = drain(w, e);
    if (s)
        return s;
    int r = av.av_write_trailer(w->fc);
    w->has_header = false;
    av.avio_flush(w->io);
    if (r >= 0 && w->io->error < 0)
        r = w->io->error;
    if (r < 0 || w->err.code)
        return fail_code(w, r, e);
    w->has_file = false;
    return dv_new_file_commit(&w->file, e);
}

dmv_status dv_video_writer_close(dv_video_writer **pw, dv_err *e)
{
    dv_video_writer *w = *pw;
    *pw = NULL;
    if (!w)
        return DMV_OK;
    dv_err mine = {0};
    dmv_status s = w->err.code ? dv_fail(e, w->err.code, "%s", w->err.msg) : finish(w, &mine);
    if (mine.code)
        dv_fail(e, mine.code, "%s", mine.msg);
    /* The trailer frees what the header made, and writes nothing any more. */
    if (!w->err.code)
        w->err = (dv_err){.code = DMV_ERR_IO};
    if (w->has_header)
        av.av_write_trailer(w->fc);
    close_all(w);
    return s;
}

void dv_video_writer_drop(dv_video_writer **pw)
{
    dv_video_writer *w = *pw;
    *pw = NULL;
    if (!w)
        return;
    if (!w->err.code)
        w->err = (dv_err){.code = DMV_ERR_IO};
    if (w->has_header)
        av.av_write_trailer(w->fc);
    close_all(w);
}
