/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.h - which tensor of a detector tells motion best, for what it costs: pairs of pictures are
 * run through the net with noise drawn anew, and at every candidate the distances of cells in which
 * something moved are compared with those of cells in which nothing did. */
#ifndef DV_PROBE_H
#define DV_PROBE_H

#include "face/face.h"
#include "motion/motion.h"

typedef struct dv_probe_row {
    dv_motion_layer layer;
    char name[80];        /* for dv_graph_find */
    double ms;            /* of the first part */
    double gate_ms;       /* of the distances of its cells */
    double still, moving; /* 1 - cosine: 95 % of still cells are below, half of moving ones above */
    double auc;           /* chance that a moving cell is further away than a still one; NAN: too
                             few cells were either */
} dv_probe_row;

typedef struct dv_probe dv_probe;

/* model: one that dv_net_open takes. w, h: of its input, 0 = its own or 640 x 480. */
dmv_status dv_probe_open(dmv_context *ctx, const dmv_model *m, int w, int h, dv_probe **out);
void dv_probe_close(dv_probe **p);
void dv_probe_size(const dv_probe *p, int *w, int *h);
/* Two frames of one camera, RGB in the size of the net's input. Where block means differ counts as
 * moved. deviation: of the noise that is added, in grey levels. */
dmv_status dv_probe_pair(dv_probe *p, const uint8_t *a, const uint8_t *b, float deviation,
                         uint64_t seed);
/* A made-up pair: a room with texture in which figures have moved. */
void dv_probe_scene(const dv_probe *p, uint64_t seed, uint8_t *a, uint8_t *b);
/* By the cost of the first part; best: the cheapest of those that tell as well as any (within 0.01
 * of the best AUC), where a look at the features counts twenty times its time. DMV_ERR_ARGUMENT if
 * at no layer enough cells moved and stood still. whole_ms: the net. */
dmv_status dv_probe_result(dv_probe *p, const dv_probe_row **rows, size_t *n, size_t *best,
                           double *whole_ms, dv_err *e);

#endif
