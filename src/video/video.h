/* SPDX-License-Identifier: Apache-2.0
 *
 * video.h - moving pictures in and out: files, cameras, network streams, folders of pictures and
 * pipes as RGB frames with time stamps; H.264 files; pictures through H.264 and back. FFmpeg's
 * libraries do the work, on the processor alone; they are loaded when first needed, and without
 * them every function here fails with DMV_ERR_UNSUPPORTED and says what to install.
 *
 *     dv_video_options o;  dv_video *v;  dv_video_frame f;
 *     dv_video_options_init(&o);
 *     if (dv_video_open("rtsp://camera/stream", &o, &v, &e)) ...
 *     while (!dv_video_next(v, &f, &e) && f.image.pixels)
 *         look_at(&f.image, f.time);
 *     dv_video_close(&v);
 *
 * One thread of ours reads and decodes into a short queue. What cannot wait (cameras, streams)
 * loses its oldest frame when the queue is full, and the loss is counted; files and pipes wait.
 * Messages never show the password of an address.
 */
#ifndef DV_VIDEO_H
#define DV_VIDEO_H

#include "image/image.h"

/* DMV_OK if FFmpeg's libraries can be loaded; else what to install. */
dmv_status dv_video_available(dv_err *e);

/* ---- reading ---- */

typedef enum dv_video_kind {
    DV_VIDEO_FILE,
    DV_VIDEO_STREAM, /* rtsp:// rtsps:// rtmp:// rtmps:// srt:// udp:// rtp:// tcp:// http(s):// */
    DV_VIDEO_CAMERA, /* V4L2: /dev/videoN */
    DV_VIDEO_FOLDER, /* the pictures in a folder, by the numbers in their names */
    DV_VIDEO_PIPE    /* "-" is standard input; a named pipe */
} dv_video_kind;
const char *dv_video_kind_name(dv_video_kind k);

typedef struct dv_video_options {
    const char *transport; /* of RTSP: "tcp" (NULL) or "udp" */
    const char *format;    /* FFmpeg's name of the format, if it cannot be told from the data */
    int live;              /* -1: by the kind; 1 drops frames and reconnects, 0 does neither */
    int queue;             /* frames, 1..64 (4) */
    int threads;           /* of the decoder, 1..64 (1) */
    double timeout;        /* seconds without data that count as a stall (10) */
    int reconnects;        /* tries in a row; -1 = for ever (live only); 0 = none */
    double first_wait;     /* seconds before the second try in a row (0.5); doubles */
    double longest_wait;   /* ... up to this (30) */
    bool patient;          /* a source that is not there at first is tried again like a lost one */
    double max_fps;        /* frames a second that are handed out at most; 0 = all */
    double rate;           /* of a folder (25); asked of a camera; 0 = the default */
    int width, height;     /* asked of a camera; 0 = its own */
} dv_video_options;
void dv_video_options_init(dv_video_options *o);

typedef struct dv_video_frame {
    dmv_image image;   /* RGB8, upright; valid until the next call for this video */
    double time;       /* seconds since the first frame; always grows, whatever the stream says */
    uint64_t number;   /* of the decoded frame, from 0: gaps are frames that were left out */
    bool size_changed; /* other sides than the frame before */
    bool broken;       /* the stream's clock jumped or it was connected anew before this frame */
    bool damaged;      /* decoded from incomplete data */
} dv_video_frame;

typedef struct dv_video_stats {
    uint64_t packets, decoded, delivered;
    uint64_t dropped;    /* the queue was full */
    uint64_t skipped;    /* max_fps, or decoding was behind; packets count as one frame */
    uint64_t corrupt;    /* packets or pictures that could not be decoded, damaged frames */
    uint64_t jumps;      /* of the stream's clock */
    uint64_t resizes;    /* of the frames */
    uint64_t stalls;     /* nothing came for `timeout` seconds */
    uint64_t reconnects; /* successful ones */
    double decode_ms;    /* sums, not means */
    double convert_ms;   /* to RGB */
} dv_video_stats;

#define DV_VIDEO_STREAMS 16
typedef struct dv_video_stream {
    char type[12], codec[32], language[16]; /* "" = not stated */
    int width, height;
    double rate; /* frames a second as the file states it; 0 = unknown */
    int sample_rate, channels;
    int64_t bit_rate; /* 0 = unknown */
} dv_video_stream;

typedef struct dv_video_facts {
    dv_video_kind kind;
    bool live;
    char format[64];
    double duration;  /* seconds; NAN = unknown or endless */
    int64_t frames;   /* stated or worked out; 0 = unknown */
    int64_t bit_rate; /* of everything; 0 = unknown */
    int rotation;     /* degrees clockwise that frames are turned by: 0, 90, 180, 270 */
    size_t n_streams; /* all of them; the first DV_VIDEO_STREAMS are described */
    int video;        /* which of them is read; -1 = there is no video */
    dv_video_stream streams[DV_VIDEO_STREAMS];
} dv_video_facts;

typedef struct dv_video dv_video;

/* o NULL = the defaults. The source is connected before the call returns, unless o->patient. */
dmv_status dv_video_open(const char *source, const dv_video_options *o, dv_video **out, dv_err *e);
void dv_video_close(dv_video **v);
/* Waits for the next frame. At the end DMV_OK with f->image.pixels NULL, as after an error. */
dmv_status dv_video_next(dv_video *v, dv_video_frame *f, dv_err *e);
/* From any thread or a signal handler: the video ends now. */
void dv_video_stop(dv_video *v);
void dv_video_get_stats(dv_video *v, dv_video_stats *s);
/* As they were at the (last) connection. */
void dv_video_get_facts(dv_video *v, dv_video_facts *f);
/* Opens, looks and closes; no video stream is not an error here. */
dmv_status dv_video_probe(const char *source, const dv_video_options *o, dv_video_facts *f,
                          dv_err *e);
/* source without its password; out holds size bytes. */
void dv_video_shown(const char *source, char *out, size_t size);

/* ---- writing ---- */

typedef struct dv_encode_options {
    const char *encoder; /* NULL: libx264, else libopenh264, else mpeg4 */
    const char *preset;  /* of libx264 ("veryfast") */
    double crf;          /* 0..51, lower is better (23); mpeg4 gets a quantiser near to it */
    int64_t bit_rate;    /* bits a second; if set, crf is not used */
    int gop;             /* frames from key frame to key frame at most; 0 = 10 seconds */
    int threads;         /* 1 */
} dv_encode_options;
void dv_encode_options_init(dv_encode_options *o);

typedef struct dv_video_writer dv_video_writer;

/* An MP4 file of width x height (an odd side loses a pixel) at about `rate` frames a second; o
 * NULL = the defaults. The file appears under its name when the writer is closed without an
 * error. A pipe or device gets fragmented MP4 as it comes. */
dmv_status dv_video_writer_open(const char *path, int width, int height, double rate,
                                const dv_encode_options *o, dv_video_writer **out, dv_err *e);
/* time in seconds, NAN = 1 / rate after the last one; one that does not grow is moved on. Other
 * sizes are fitted in, with black bars. After the first error, which is returned, pictures are
 * dropped and DMV_OK is returned: the caller tells it once and goes on. */
dmv_status dv_video_writer_add(dv_video_writer *w, const dmv_image *image, double time, dv_err *e);
bool dv_video_writer_failed(const dv_video_writer *w);
/* Finishes the file; returns the error of the first call that failed, this one included, and
 * then leaves no file behind. *e is filled in either case. */
dmv_status dv_video_writer_close(dv_video_writer **w, dv_err *e);
/* Closes without a file. */
void dv_video_writer_drop(dv_video_writer **w);

/* ---- through H.264 and back ---- */

typedef struct dv_recompress_options {
    dv_encode_options encode; /* gop counts; bit_rate or crf (default 23, preset medium) */
    double rate;              /* frames a second that bit_rate is meant for (25) */
} dv_recompress_options;
void dv_recompress_options_init(dv_recompress_options *o);

typedef struct dv_recompressor dv_recompressor;
/* Pictures of one size, coded one after the other without looking ahead, as cameras do. Odd
 * sides are padded for the coder. */
dmv_status dv_recompressor_open(int width, int height, const dv_recompress_options *o,
                                dv_recompressor **out, dv_err *e);
/* p is replaced by what a viewer sees. *bytes (may be NULL): size of the coded picture. */
dmv_status dv_recompressor_picture(dv_recompressor *r, dv_picture *p, size_t *bytes, dv_err *e);
void dv_recompressor_close(dv_recompressor **r);
/* n pictures of one size in one go. out: n pictures, filled in or, on failure, all empty. *bytes
 * (may be NULL): of all. */
dmv_status dv_video_recompress(const dv_picture *in, size_t n, const dv_recompress_options *o,
                               dv_picture *out, uint64_t *bytes, dv_err *e);

#endif
