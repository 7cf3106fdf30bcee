/* SPDX-License-Identifier: Apache-2.0
 *
 * clips.h - videos that the tests of the video layer make for themselves, and what they share.
 */
#ifndef DV_TEST_CLIPS_H
#define DV_TEST_CLIPS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "video/video_priv.h"

/* A disc that moves over a soft ground: frame k of a size is always the same. */
dv_picture clip_picture(int w, int h, int k);
double clip_psnr(const dmv_image *a, const dv_picture *b);
/* Where the disc is in a frame of n, as a frame number; tells frames apart after coding. */
int clip_frame_of(const dmv_image *a);

/* A folder of this test; in() gives a path in it (a few at a time). Exits with 77 without
 * FFmpeg. */
int clip_setup(void **state);
int clip_teardown(void **state);
const char *in(const char *name);

/* n frames by our own writer. */
void clip_mp4(const char *path, int w, int h, int n, double rate, int gop);
/* H.264 packets of n frames through one of FFmpeg's muxers ("h264", "mpegts", "rtp", ...). */
typedef struct clip_mux {
    const char *format;
    int packet_size; /* 0 = as it comes */
    int (*write)(void *user, uint8_t *data, int size);
    void *user;
    double first_time;
    int pace_ms; /* between frames */
} clip_mux;
void clip_stream(const clip_mux *m, int w, int h, int first, int n, double rate);
/* The same into b. */
void clip_bytes(dv_buf *b, const char *format, int w, int h, int n, double rate, double first_time);
void clip_save(const char *path, const void *data, size_t size);
/* One second of a tone. */
void clip_wav(const char *path);

/* Opens or fails the test. */
dv_video *clip_open(const char *source, const dv_video_options *o);
/* Reads to the end; fails if a time does not grow. *code: how it ended. Returns the frames. */
int clip_read(dv_video *v, double *last_time, dv_err *end);

#endif
