/* SPDX-License-Identifier: Apache-2.0
 *
 * video_priv.h - what the files of the video layer share.
 *
 * spec.c     what a source is, from its name       input.c   pipes, read with a time limit
 * link.c     one connection: open, read, decode    folder.c  pictures in the order of numbers
 * source.c   thread, queue, reconnecting           facts.c   what is known of a source
 * pixels.c   YUV to RGB and back                   encode.c  the encoder of writer and recompress
 */
#ifndef DV_VIDEO_PRIV_H
#define DV_VIDEO_PRIV_H

#include <stdatomic.h>

#include "video/libav.h"
#include "video/video.h"

/* ---- spec.c ---- */

typedef struct dv_spec {
    dv_video_kind kind;
    bool live;     /* as far as the name and the options tell; HTTP is decided by the answer */
    bool named;    /* DV_VIDEO_PIPE: opened by its path, so it can be opened again */
    char *address; /* what is opened: a path, an address; "" for standard input */
    char *shown;   /* for messages: without password, not too long */
} dv_spec;
dmv_status dv_spec_parse(const char *source, const dv_video_options *o, dv_spec *s, dv_err *e);
void dv_spec_free(dv_spec *s);
dmv_status dv_video_options_check(const dv_video_options *o, dv_err *e);

/* ---- waiting that ends ---- */

typedef struct dv_guard {
    atomic_bool stop;  /* the owner wants to end */
    uint64_t deadline; /* dv_now_ns; of the reading thread alone */
    bool expired;      /* the deadline was the reason */
} dv_guard;
/* True = stop waiting. */
bool dv_guard_over(dv_guard *g);
void dv_guard_set(dv_guard *g, double seconds);

/* ---- input.c ---- */

/* An AVIOContext over a descriptor; waits with poll, so that the guard can end it. */
typedef struct dv_input {
    int fd;
    bool own; /* to be closed */
    dv_guard *guard;
    AVIOContext *io;
} dv_input;
dmv_status dv_input_open(dv_input *in, const dv_spec *s, dv_guard *g, dv_err *e);
void dv_input_close(dv_input *in);

/* ---- link.c ---- */

typedef struct dv_link {
    AVFormatContext *fc;
    AVCodecContext *cc;
    dv_input in;
    AVPacket *packet;
    AVFrame *frame;
    int stream; /* -1 = there is no video */
    int rotation;
    bool live;         /* may differ from the spec's for HTTP */
    bool draining;     /* the end was read; frames are still in the decoder */
    double nominal;    /* seconds a frame by the stream's own word, 0 = unknown */
    uint64_t refused;  /* packets in a row that could not be decoded */
    uint64_t video_at; /* when the last packet of the stream came */
} dv_link;

/* need_video: without a video stream it is DMV_ERR_FORMAT. Nothing is left open on failure. */
dmv_status dv_link_open(dv_link *l, const dv_spec *s, const dv_video_options *o, dv_guard *g,
                        bool need_video, dv_err *e);
void dv_link_close(dv_link *l);

typedef enum dv_link_event {
    DV_LINK_FRAME, /* in l->frame, to be unreferenced or moved away */
    DV_LINK_NONE,  /* come again; something may have been counted */
    DV_LINK_END,
    DV_LINK_LOST /* stalled, broken, refused, no memory: *e says why */
} dv_link_event;
dv_link_event dv_link_step(dv_link *l, const dv_spec *s, const dv_video_options *o, dv_guard *g,
                           double lag, dv_video_stats *st, dv_err *e);
/* Seconds of the stream's clock, NAN if it has none. */
double dv_link_stamp(const dv_link *l, const AVFrame *f);

/* ---- folder.c ---- */

/* The pictures directly in a folder, "2.png" before "10.png". */
dmv_status dv_folder_list(const char *path, const char *shown, dv_paths *out, dv_err *e);
int dv_natural_compare(const char *a, const char *b);

/* ---- facts.c ---- */

void dv_facts_of_link(const dv_link *l, const dv_spec *s, dv_video_facts *f);
dmv_status dv_facts_of_folder(const dv_paths *p, const dv_video_options *o, dv_video_facts *f,
                              dv_err *e);

/* ---- pixels.c ---- */

/* RGB pictures of decoded frames; buffers are kept from frame to frame. Zeroed before use. */
typedef struct dv_to_rgb {
    struct SwsContext *sws;
    uint8_t *rgb, *turned;
    size_t rgb_cap, turned_cap;
} dv_to_rgb;
dmv_status dv_to_rgb_convert(dv_to_rgb *t, const AVFrame *f, int rotation, dmv_image *out,
                             dv_err *e);
void dv_to_rgb_close(dv_to_rgb *t);
typedef struct dv_to_yuv { /* zeroed before use */
    struct SwsContext *sws;
    uint8_t *in;
    size_t in_cap;
} dv_to_yuv;
/* Into the planes of a YUV 4:2:0 frame (BT.601, limited range) with even sides: fitted in the
 * middle and scaled, with black bars, or, with `pad`, in the corner of a frame that is at least
 * as large, with the edges repeated. */
dmv_status dv_to_yuv_convert(dv_to_yuv *t, const dmv_image *in, bool pad, AVFrame *out, dv_err *e);
void dv_to_yuv_close(dv_to_yuv *t);

/* ---- encode.c ---- */

typedef struct dv_encoder {
    AVCodecContext *cc;
    AVFrame *frame;
    AVPacket *packet;
    dv_to_yuv yuv;
} dv_encoder;

typedef struct dv_encode_spec {
    int width, height; /* even */
    AVRational time_base;
    double rate;
    bool immediate;     /* a packet for every picture at once */
    bool global_header; /* as MP4 wants it */
} dv_encode_spec;
dmv_status dv_encode_options_check(const dv_encode_options *o, dv_err *e);
dmv_status dv_encoder_open(dv_encoder *c, const dv_encode_spec *s, const dv_encode_options *o,
                           dv_err *e);
/* image NULL = no more come. */
dmv_status dv_encoder_send(dv_encoder *c, const dmv_image *image, bool pad, int64_t stamp,
                           dv_err *e);
/* *got false: nothing is ready. The packet is c->packet, to be unreferenced. */
dmv_status dv_encoder_receive(dv_encoder *c, bool *got, dv_err *e);
void dv_encoder_close(dv_encoder *c);

#endif
