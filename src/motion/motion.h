/* SPDX-License-Identifier: Apache-2.0
 *
 * motion.h - has anything moved, and which boxes lie on things that do?
 *
 * After AmphibianDetector (D. Svitov): a detector's own features, taken half way through the net,
 * are compared with their background. If nothing moved, the rest of the net is left out; if
 * something did, boxes on things that have not moved are dropped. `amphibian` is that method as it
 * was published, `pixel` its baseline on raw pixels, `mixture` the usual mixture of Gaussians, and
 * `domovoi` our own:
 *
 *   - a look at a thumbnail comes first, before the net is fed: block means, made equal in gain and
 *     offset by a robust fit, so that neither light nor camera gain counts as motion, and measured
 *     in units of each block's own noise, so that waving trees cease to count;
 *   - it compares with the last frame that the detector saw: while nothing has changed since, that
 *     frame's boxes still stand (dv_motion_holds), so people who stop are not forgotten;
 *   - if something did, the features are asked with a threshold of their own;
 *   - boxes are judged against a background apart from this one. It takes in what has not changed
 *     for a stated time, but never what the caller tracks.
 *
 * Once: dv_motion_find_layer, dv_net_cut. For every frame:
 *
 *     dv_motion_look(m, &image, seconds, &v, &e);               thumbnail, pixels
 *     if (v == DV_MOTION_FEATURE) {
 *         dv_net_feed(&net, rgb);  or dv_detector_put
 *         feature = dv_net_run_first(&net);
 *         dv_motion_decide(m, feature, fill, &v, &e);
 *     }
 *     if (v == DV_MOTION_GO) {
 *         dv_net_run_rest(&net); ... boxes in pixels of the image ...
 *         n = dv_motion_filter(m, boxes, sizeof boxes[0], n);
 *         track; dv_motion_tracked(m, boxes of tracks that moved, n);
 *     } else if (dv_motion_holds(m))
 *         the boxes of the last frame that went on still hold
 *
 * Memory is taken for the first frame and when the size of pictures or features changes, which also
 * forgets everything. Otherwise nothing is allocated. One thread at a time.
 */
#ifndef DV_MOTION_H
#define DV_MOTION_H

#include "nn/dmv.h"
#include "nn/exec.h"

typedef enum dv_motion_mode {
    DV_MOTION_NONE, /* always goes on, keeps every box */
    DV_MOTION_PIXEL,
    DV_MOTION_MIXTURE, /* "mog2" */
    DV_MOTION_AMPHIBIAN,
    DV_MOTION_DOMOVOI,
    DV_MOTION_MODES
} dv_motion_mode;
const char *dv_motion_mode_name(dv_motion_mode m); /* "none", "pixel", "mog2", ... */
bool dv_motion_mode_of(const char *name, dv_motion_mode *m);

/* What each mode reads is in brackets; the numbers are the defaults. */
typedef struct dv_motion_options {
    dv_motion_mode mode;
    /* The gate goes on where the motion of any cell reaches it. [pixel: mean squared difference of
     * the channels, 1000; mog2: share of foreground, 0.5; amphibian: 1 - cosine, 0.4; domovoi:
     * the same, against the last frame that went on, 0.01] */
    float gate;
    /* A box is kept if the mean motion inside is at least this. [pixel, amphibian: as gate; mog2:
     * 0.3; domovoi: as look, against the background, 5] */
    float box;
    float rate;  /* share of the new frame in the background [pixel, amphibian: 0.1; mog2: 0.005;
                    domovoi: 0.05] */
    int warm_up; /* first frames that only make the background [pixel, amphibian, mog2: 1] */
    /* domovoi only, from here on */
    float look;     /* of the thumbnail: mean square of a change over that of the noise, 5 */
    float noise;    /* least noise of a block, in grey levels, 1 */
    float spread;   /* features: deviations above the mean that a cell must reach, beside gate, 1 */
    double settle;  /* seconds without change after which what is seen first is background, 1 */
    double absorb;  /* and what came later and stopped, 20 */
    double refresh; /* goes on at least that often, seconds, 10; 0 = never without motion */
} dv_motion_options;
void dv_motion_options_init(dv_motion_options *o, dv_motion_mode mode);

typedef enum dv_motion_verdict {
    DV_MOTION_STOP,    /* nothing moved: leave out what is left of the detector */
    DV_MOTION_FEATURE, /* run the first part of the net, then dv_motion_decide */
    DV_MOTION_GO       /* run the (rest of the) detector */
} dv_motion_verdict;

typedef struct dv_motion dv_motion;

/* o may be NULL: domovoi with its defaults. k must live as long as the gate. */
dmv_status dv_motion_open(const dv_motion_options *o, const dv_kernels *k, dv_motion **out,
                          dv_err *e);
void dv_motion_close(dv_motion **m);
/* A zone that does not count: a polygon of 3 to 64 points in shares of the picture (0..1 from left
 * to right and from top to bottom; what lies outside is cut off). At most 64 zones. A cell of any
 * grid belongs to it if its middle does. */
dmv_status dv_motion_ignore(dv_motion *m, const float (*points)[2], size_t n, dv_err *e);

/* time: seconds on any clock; one that goes back or leaps is taken for a short step. */
dmv_status dv_motion_look(dv_motion *m, const dmv_image *img, double time, dv_motion_verdict *v,
                          dv_err *e);
/* feature: [1, H, W, C] in floats, bytes or halves, of the frame of the last look. fill: the part
 * of the net's input that the picture fills, from the top left (1, 1 = all); NULL = all. */
dmv_status dv_motion_decide(dv_motion *m, const dv_value *feature, const float fill[2],
                            dv_motion_verdict *v, dv_err *e);
/* Items of `size` bytes that begin with float box[4] (x, y, width, height in pixels of the
 * picture); those that did not move are taken out, the others keep their order. Returns how many
 * are left. */
size_t dv_motion_filter(const dv_motion *m, void *items, size_t size, size_t n);
bool dv_motion_keeps(const dv_motion *m, const float box[4]);
/* The people (or faces) followed at present, as boxes at the beginning of items like above: never
 * part of the background. Until the next call. At most 1024. */
void dv_motion_tracked(dv_motion *m, const void *items, size_t size, size_t n);
/* After STOP: whether the boxes of the last frame that went on still stand. */
bool dv_motion_holds(const dv_motion *m);

/* The map of the last frame that made one, and what counts as motion in it (>=); NULL before. Row
 * by row; the picture fills the share *across of its width and *down of its height, from the top
 * left. */
const float *dv_motion_map(const dv_motion *m, int *w, int *h, float *across, float *down,
                           float *threshold);
/* Drawn to a picture of w x h bytes: 255 where something moved, else 0. */
void dv_motion_mask(const dv_motion *m, int w, int h, uint8_t *out);

/* What the gate learned, as one block of bytes (dv_buf_free), and back. The mode must be the same;
 * thresholds may differ. Ignored zones are not part of it. Checked: a damaged block is refused and
 * nothing changes. */
dmv_status dv_motion_save(const dv_motion *m, dv_buf *out, dv_err *e);
dmv_status dv_motion_restore(dv_motion *m, const void *data, size_t size, dv_err *e);

/* ---- which tensor? (layers.c) ---- */

typedef struct dv_motion_layer {
    int32_t tensor;
    int w, h, c;
    size_t nodes; /* steps of the first part */
    double macs;  /* share of the net's multiply-adds in the first part */
} dv_motion_layer;
/* The tensors of a shaped net that can be asked, by the cost of the first part; *n of them, at most
 * cap: pictures with a 1/8 to 1/32 of the input's sides, behind a layer. */
dmv_status dv_motion_layers(const dv_exec *x, dv_motion_layer *out, size_t cap, size_t *n,
                            dv_err *e);
/* The one to take if nobody says another; -1 = none. */
int32_t dv_motion_default_layer(const dv_motion_layer *l, size_t n);

/* The tensor to cut a shaped net at: the one that is named (as for dv_graph_find), or NULL: the
 * model's own ("motion_layer"), or else the default one. */
dmv_status dv_motion_find_layer(const dmv_model *model, const dv_exec *x, const char *name,
                                int32_t *tensor, dv_err *e);

/* 1 - max(0, cosine) of n pairs of c numbers, one after the other: 0 if both are zero, 1 if one is
 * or where a number is not finite. a2, b2: squared lengths, those of a are written. */
void dv_motion_distances(const dv_kernels *k, size_t n, size_t c, const float *a, const float *b,
                         float *a2, const float *b2, float *out);

#endif
