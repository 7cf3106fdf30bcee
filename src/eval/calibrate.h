/* SPDX-License-Identifier: Apache-2.0
 *
 * calibrate.h - the similarity threshold for a false-match rate, from comparisons of pictures of
 * different people, and how sure one can be of it.
 */
#ifndef DV_EVAL_CALIBRATE_H
#define DV_EVAL_CALIBRATE_H

#include "eval/metrics.h"

/* The largest of very many scores. */
typedef struct dv_top {
    float *v; /* a heap until dv_top_sort, then falling */
    size_t n, cap, seen;
} dv_top;
bool dv_top_open(dv_top *t, size_t cap); /* false = no memory */
void dv_top_add(dv_top *t, float v);
void dv_top_sort(dv_top *t);
void dv_top_free(dv_top *t);
/* How many scores dv_calibrate needs to see of n comparisons at the largest rate. */
size_t dv_top_needed(double rate, size_t n);

typedef struct dv_calibration {
    double asked;     /* the rate that was wanted */
    bool supported;   /* at least three comparisons may pass at it */
    double stated;    /* the rate that the threshold stands for: asked, or, if that is not
                         supported, the upper end of the interval when none passes (about 3/N) */
    double threshold; /* lowest similarity that counts as the same person, in steps of 1e-4 */
    size_t accepted;  /* comparisons of different people at or above it */
    double fmr, fnmr; /* fnmr: NAN without genuine comparisons */
    size_t rejected;  /* comparisons of one person below it */
    dv_interval fmr_ci, fnmr_ci; /* Clopper-Pearson, 95 % */
} dv_calibration;

/* impostors: sorted, of all comparisons of different people; genuine: of one person, any order.
 * The threshold is the lowest of 0.0001 steps at which at most floor(rate N) impostors pass. */
dmv_status dv_calibrate(const dv_top *impostors, const float *genuine, size_t n_genuine,
                        double rate, dv_calibration *out, dv_err *e);

#endif
