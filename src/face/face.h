/* SPDX-License-Identifier: Apache-2.0
 *
 * face.h - inside of the face layer: from pixels to boxes, points and vectors.
 * Files: preprocess.c (pixels to net input), decode_*.c (net output to boxes, one file a
 * detector family), nms.c, align.c, quality.c, landmarks.c, net.c (a model ready to run on
 * pictures), pipeline.c, objects.c (boxes of any class), index.c.
 */
#ifndef DV_FACE_H
#define DV_FACE_H

#include "nn/dmv.h"
#include "nn/exec.h"

#define DV_IMAGE_SIDE 32767 /* largest side of a dmv_image */
/* Boxes that reach further than this many pixels are nonsense and dropped. */
#define DV_FACE_REACH 1e6f

/* Refuses NULL, sides out of 1..32767, an unknown format and a stride below one row. */
dmv_status dv_image_check(const dmv_image *img, dv_err *e);
int dv_image_channels(dmv_pixel_format f); /* bytes per pixel, 0 if unknown */

/* Preprocessing of a model, from its metadata (color, mean, scale). */
typedef struct dv_prep {
    int channels; /* 1 or 3 */
    bool bgr;
    float mean[3], scale[3]; /* value = (pixel - mean) * scale */
} dv_prep;
dmv_status dv_prep_from_model(const dmv_model *m, dv_prep *p, dv_err *e);
/* Any dmv_image to RGB8 rows. Bilinear (pixel centres, edges clamped) when scaling up or down to
 * 1/2; box-averaged first when smaller, so that fine detail does not alias. Resizes the region
 * x, y, w, h of img to ow x oh and writes it as RGB8 with row stride `stride`. */
void dv_resize_rgb(const dmv_image *img, float x, float y, float w, float h, int ow, int oh,
                   uint8_t *out, size_t stride);
/* RGB8 to a net's input [1, h, w, channels] (nchw = false) or [1, channels, h, w]. */
void dv_prep_run(const dv_prep *p, const dv_kernels *k, const uint8_t *rgb, size_t stride, int w,
                 int h, bool nchw, float *out);

/* A decoder turns the outputs of a shaped exec into faces in input pixels. */
typedef struct dv_decode_args {
    const dv_exec *x;
    int in_w, in_h; /* of the net's input */
    float min_score;
    int only; /* 1 + the only class that is wanted, 0 = every */
    dmv_face *out;
    int32_t *classes; /* beside out, or NULL */
    size_t cap, n;    /* the best `cap` by score are kept when there are more */
    int32_t cls;      /* of the next that is kept (set by decoders of several classes) */
} dv_decode_args;
typedef struct dv_decoder {
    const char *name; /* metadata "decoder" */
    int multiple;     /* input sides must be multiples of this when free; 1 = any */
    bool points;      /* gives five landmarks */
    bool objects;     /* of several classes: not for a pipeline of faces */
    dmv_status (*check)(const dv_graph *g, dv_err *e); /* outputs are there, with the right ranks */
    bool (*run)(dv_decode_args *a); /* false: the outputs do not fit an input of in_w x in_h */
} dv_decoder;
extern const dv_decoder dv_decoder_yunet, dv_decoder_ultraface, dv_decoder_ultraface_raw,
    dv_decoder_retinaface, dv_decoder_scrfd, dv_decoder_blazeface, dv_decoder_ssd,
    dv_decoder_fastestdet;
const dv_decoder *dv_decoder_find(const char *name); /* NULL if unknown */
/* Keeps a face in a->out (used by decoders). Drops what is below min_score or not a box. */
void dv_decode_push(dv_decode_args *a, const dmv_face *f);
/* Number of the output with that name, or whose last dim is `last` and rank 3; -1 = none. */
int dv_output_named(const dv_graph *g, const char *name);
int dv_output_last(const dv_graph *g, int64_t last);

/* Greedy NMS, best first, in place; ties by lower index. Returns how many are left. Faces whose
 * score or box is not finite are dropped. */
size_t dv_nms(dmv_face *f, size_t n, float iou);
float dv_iou(const float a[4], const float b[4]);

extern const float dv_template_112[5][2];
/* Umeyama: 2x3 matrix m that maps src to dst in the least-squares sense (rotation, one scale,
 * shift; no reflection). false if the points coincide or are not finite. */
bool dv_similarity_transform(const float (*src)[2], const float (*dst)[2], int n, float m[6]);
/* Inverse warp with bilinear sampling, outside = 0; m maps source to output. Where the picture
 * shrinks by more than 2, a grid of samples is averaged, so that fine detail does not alias. */
void dv_warp_rgb(const dmv_image *img, const float m[6], int ow, int oh, uint8_t *out,
                 size_t stride);
/* 68 points (iBUG order) to five. */
void dv_landmarks_68_to_5(const float (*p)[2], float out[5][2]);

/* A model with its exec, ready for pictures. */
typedef struct dv_net {
    const dmv_model *model;
    dv_exec *x;
    dv_prep prep;
    bool nchw;
    float *nhwc;    /* where pixels go in their own order, saving the net's first turn; or NULL */
    uint8_t *bytes; /* where an 8-bit net takes the pixels as they are; or NULL */
    int fixed_w, fixed_h; /* 0 = free */
    int w, h;             /* present shape, 0 = none yet */
    dv_graph *parts;      /* the model's graph cut in two (dv_net_cut), or NULL */
} dv_net;
/* role is for messages ("detector"). One input [1, C, H, W] or [1, H, W, C] with C as in prep. */
dmv_status dv_net_open(dmv_context *ctx, const dmv_model *m, const char *role, dv_net *n);
void dv_net_close(dv_net *n);
/* Costs something only when the size is a new one. */
dmv_status dv_net_shape(dv_net *n, int w, int h, dv_err *e);
/* rgb: w x h pixels, tightly packed. */
void dv_net_run(dv_net *n, const uint8_t *rgb);
/* Only the first half of it: the pixels into the input, for those who run the net in parts. */
void dv_net_feed(dv_net *n, const uint8_t *rgb);

/* ---- objects of any class ---- */

typedef struct dv_object {
    float box[4]; /* x, y, width, height in pixels of the picture */
    float score;
    int32_t cls; /* of dv_model_label; 0 = face for a detector of faces */
} dv_object;

typedef struct dv_detector_options {
    float min_score; /* default 0.5 */
    float nms_iou;   /* boxes of one class; 0 = what the model states, else 0.45 */
    int max_side;    /* nets of free size: longest side; default 640 */
    int cls;         /* only this class; -1 = every (the default) */
} dv_detector_options;
void dv_detector_options_init(dv_detector_options *o);

/* Any detector on pictures, one after the other, for those who want boxes with a class. Other than
 * a pipeline it looks once at the whole picture. Metadata "fit" = "stretch": the net was made for
 * pictures squeezed into its input; else they keep their shape. */
typedef struct dv_detector {
    dmv_context *ctx;
    dv_net net;
    const dv_decoder *decoder;
    dv_detector_options o;
    bool stretch;
    int w, h;     /* of the part of the input that the present picture fills */
    float sx, sy; /* pixels of the picture for one of the input */
    dmv_face *found;
    int32_t *classes;
    uint8_t *rgb;
    size_t rgb_size;
} dv_detector;
/* o may be NULL. */
dmv_status dv_detector_open(dmv_context *ctx, const dmv_model *m, const dv_detector_options *o,
                            dv_detector *d);
void dv_detector_close(dv_detector *d);
/* put, then run the net (dv_exec_run(d->net.x), or parts of it), then take: the best `cap`, highest
 * score first. Nothing is allocated while pictures have one size. */
dmv_status dv_detector_put(dv_detector *d, const dmv_image *img);
dmv_status dv_detector_take(dv_detector *d, dv_object *out, size_t cap, size_t *n);
dmv_status dv_detector_run(dv_detector *d, const dmv_image *img, dv_object *out, size_t cap,
                           size_t *n);
/* Name of a class, from metadata "labels" (with commas between), cut to size - 1 characters; ""
 * if there is none. */
void dv_model_label(const dmv_model *m, int cls, char *out, size_t size);
int dv_model_class(const dmv_model *m, const char *label); /* -1 = no such class */

/* From now on the net may be run in two parts, with this tensor (of the model's graph) made by the
 * first: feed, first, rest. It may still be run as a whole. The net keeps its shape; it is as it
 * was after a failure of anything but shaping. */
dmv_status dv_net_cut(dv_net *n, dmv_context *ctx, int32_t tensor);
/* The tensor stays as it is until the net is fed again. */
const dv_value *dv_net_run_first(dv_net *n);
void dv_net_run_rest(dv_net *n);

/* The part of the picture that a landmark net looks at: a square about the middle of the box,
 * `scale` times its longer side, clipped to the picture. false if nothing is left. */
bool dv_landmark_crop(const dmv_image *img, const float box[4], float scale, float crop[4]);
/* The box that n >= 1 points fill. */
void dv_landmark_bounds(const float (*p)[2], int n, float box[4]);

#endif
