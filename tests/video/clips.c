/* SPDX-License-Identifier: Apache-2.0
 *
 * clips.c - see clips.h.
 */
#include "clips.h"

#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP 4 /* pixels that the disc moves from frame to frame */

static char dir[256];

const char *in(const char *name)
{
    static char path[8][512];
    static int turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

int clip_setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    dv_err e = {0};
    if (dv_libav_load(&e)) {
        printf("skipped: %s\n", e.msg);
        exit(77);
    }
    snprintf(dir, sizeof dir, "%s/domovoi-video-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

int clip_teardown(void **state)
{
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static double clamp(double v)
{
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

dv_picture clip_picture(int w, int h, int k)
{
    dv_picture p = {dv_malloc((size_t)w * (size_t)h * 3), w, h};
    assert_non_null(p.pixels);
    int r = h / 5, room = DV_MAX(w - 2 * r - 8, 1);
    double cx = r + 4 + STEP * k % room, cy = h / 2.0;
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
            double soft = 60 + 40 * sin(x * 0.05) + 30 * cos(y * 0.07);
            double edge = r - hypot(x - cx, y - cy) + 0.5;
            double a = edge < 0 ? 0 : edge > 1 ? 1 : edge;
            uint8_t *q = p.pixels + 3 * ((size_t)y * (size_t)w + (size_t)x);
            q[0] = (uint8_t)clamp(soft * (1 - a) + 240 * a);
            q[1] = (uint8_t)clamp((soft + 20) * (1 - a) + 220 * a);
            q[2] = (uint8_t)clamp((soft + 40) * (1 - a) + 60 * a);
        }
    }
    return p;
}

double clip_psnr(const dmv_image *a, const dv_picture *b)
{
    double sum = 0;
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < 3 * a->width; x++) {
            double d = a->pixels[(size_t)y * a->stride + (size_t)x] -
                       (double)b->pixels[(size_t)y * (size_t)b->width * 3 + (size_t)x];
            sum += d * d;
        }
    sum /= 3.0 * a->width * a->height;
    return sum > 0 ? 10 * log10(255 * 255 / sum) : 99;
}

int clip_frame_of(const dmv_image *a)
{
    double sum = 0, mass = 0;
    const uint8_t *row = a->pixels + (size_t)(a->height / 2) * a->stride;
    for (int x = 0; x < a->width; x++) {
        int v = row[3 * x] > 190 && row[3 * x + 2] < 130;
        sum += v * x;
        mass += v;
    }
    return mass > 0 ? (int)lround((sum / mass - a->height / 5 - 4) / STEP) : -1;
}

void clip_mp4(const char *path, int w, int h, int n, double rate, int gop)
{
    dv_encode_options o;
    dv_video_writer *v;
    dv_err e = {0};
    dv_encode_options_init(&o);
    o.crf = 18;
    o.gop = gop;
    if (dv_video_writer_open(path, w, h, rate, &o, &v, &e))
        fail_msg("%s", e.msg);
    for (int k = 0; k < n; k++) {
        dv_picture p = clip_picture(w, h, k);
        dmv_image view = dv_picture_view(&p);
        if (dv_video_writer_add(v, &view, NAN, &e))
            fail_msg("%s", e.msg);
        dv_picture_free(&p);
    }
    if (dv_video_writer_close(&v, &e))
        fail_msg("%s", e.msg);
}

void clip_stream(const clip_mux *m, int w, int h, int first, int n, double rate)
{
    dv_encode_options o;
    dv_encoder c;
    dv_err e = {0};
    AVFormatContext *fc = NULL;
    dv_encode_options_init(&o);
    o.gop = 10;
    assert_true(av.avformat_alloc_output_context2(&fc, NULL, m->format, NULL) >= 0);
    const bool header = fc->oformat->flags & AVFMT_GLOBALHEADER;
    const dv_encode_spec spec = {w, h, {1, 60000}, rate, true, header};
    if (dv_encoder_open(&c, &spec, &o, &e))
        fail_msg("%s", e.msg);
    int size = m->packet_size ? m->packet_size : 4096;
    AVIOContext *io = av.avio_alloc_context(
        av.av_malloc((size_t)size), size, 1, m->user, NULL,
        (__typeof__(av.avio_alloc_context(0, 0, 0, 0, 0, 0, 0)->write_packet))m->write, NULL);
    assert_non_null(io);
    io->max_packet_size = m->packet_size;
    fc->pb = io;
    fc->flags |= AVFMT_FLAG_BITEXACT; /* the same bytes every time */
    fc->packet_size = (unsigned)m->packet_size;
    AVStream *st = av.avformat_new_stream(fc, NULL);
    assert_non_null(st);
    st->time_base = c.cc->time_base;
    assert_true(av.avcodec_parameters_from_context(st->codecpar, c.cc) >= 0);
    assert_true(av.avformat_write_header(fc, NULL) >= 0);
    for (int k = 0; k < n; k++) {
        dv_picture p = clip_picture(w, h, first + k);
        dmv_image view = dv_picture_view(&p);
        bool got;
        int64_t stamp = llround((m->first_time + k / rate) * 60000);
        assert_int_equal(dv_encoder_send(&c, &view, false, stamp, &e), DMV_OK);
        assert_int_equal(dv_encoder_receive(&c, &got, &e), DMV_OK);
        assert_true(got);
        av.av_packet_rescale_ts(c.packet, c.cc->time_base, st->time_base);
        if (av.av_interleaved_write_frame(fc, c.packet) < 0)
            k = n; /* the reader has gone */
        av.avio_flush(io);
        dv_picture_free(&p);
        if (m->pace_ms)
            usleep((useconds_t)m->pace_ms * 1000);
    }
    av.av_write_trailer(fc);
    av.avio_flush(io);
    av.avformat_free_context(fc);
    av.av_freep(&io->buffer);
    av.avio_context_free(&io);
    dv_encoder_close(&c);
}

static int into_buffer(void *user, uint8_t *data, int size)
{
    dv_buf_put(user, data, (size_t)size);
    return size;
}

void clip_bytes(dv_buf *b, const char *format, int w, int h, int n, double rate, double first_time)
{
    const clip_mux m = {
        .format = format, .write = into_buffer, .user = b, .first_time = first_time};
    clip_stream(&m, w, h, 0, n, rate);
    assert_false(b->bad);
    assert_true(b->size > 100);
}

void clip_save(const char *path, const void *data, size_t size)
{
    dv_err e = {0};
    if (dv_write_file(path, data, size, &e))
        fail_msg("%s", e.msg);
}

void clip_wav(const char *path)
{
    dv_buf b = {0};
    const unsigned rate = 8000;
    dv_buf_put(&b, "RIFF", 4);
    dv_buf_u32(&b, 36 + 2 * rate);
    dv_buf_put(&b, "WAVEfmt ", 8);
    dv_buf_u32(&b, 16);
    dv_buf_u16(&b, 1);
    dv_buf_u16(&b, 1);
    dv_buf_u32(&b, rate);
    dv_buf_u32(&b, rate * 2);
    dv_buf_u16(&b, 2);
    dv_buf_u16(&b, 16);
    dv_buf_put(&b, "data", 4);
    dv_buf_u32(&b, 2 * rate);
    for (unsigned i = 0; i < rate; i++)
        dv_buf_u16(&b, (uint16_t)(int16_t)(8000 * sin(i * 0.3)));
    clip_save(path, b.data, b.size);
    dv_buf_free(&b);
}

dv_video *clip_open(const char *source, const dv_video_options *o)
{
    dv_video *v;
    dv_err e = {0};
    if (dv_video_open(source, o, &v, &e))
        fail_msg("%s: %s", source, e.msg);
    return v;
}

int clip_read(dv_video *v, double *last_time, dv_err *end)
{
    dv_video_frame f;
    int n = 0;
    double last = -1;
    *end = (dv_err){0};
    while (!dv_video_next(v, &f, end) && f.image.pixels) {
        if (!(f.time > last))
            fail_msg("frame %d: the time %g comes after %g", n, f.time, last);
        last = f.time;
        n++;
    }
    assert_null(f.image.pixels);
    if (last_time)
        *last_time = last;
    return n;
}
