/* SPDX-License-Identifier: Apache-2.0
 *
 * scale.h - axes of charts: values to places, round ranges, ticks and their labels.
 */
#ifndef DV_PLOT_SCALE_H
#define DV_PLOT_SCALE_H

#include "plot/plot.h"

#define DV_MAX_TICKS 128

typedef struct dv_axis {
    dv_scale kind;
    double lo, hi; /* values */
    double t0, t1; /* their transforms; t0 < t1 */
} dv_axis;

typedef struct dv_tick {
    double at;       /* place, 0 .. 1 */
    bool major;      /* has a label */
    char text[32];   /* "" on a minor tick */
    char raised[16]; /* exponent, set above the line; mostly "" */
} dv_tick;

/* x with P(N(0, 1) <= x) = p; p in (0, 1). */
double dv_probit(double p);

/* Can v be shown at all on such an axis? (finite, within +-1e300, > 0, in (0, 1)) */
bool dv_scale_shows(dv_scale kind, double v);

/* Rounds the range of the data outwards, for about `steps` ticks. tight: the ends of a linear
 * range stay as they are. lo > hi: there are no data. Needs no check afterwards. */
void dv_axis_round(dv_scale kind, double *lo, double *hi, int steps, bool tight);
/* lo < hi, both to be shown by kind. */
void dv_axis_set(dv_axis *a, dv_scale kind, double lo, double hi);
/* 0 at lo, 1 at hi, outside as it comes; v must be one that the kind shows. */
double dv_axis_at(const dv_axis *a, double v);
/* At most DV_MAX_TICKS, in ascending order; about `steps` of them major. whole: ticks between
 * whole numbers have no meaning. */
size_t dv_axis_ticks(const dv_axis *a, int steps, bool whole, dv_tick *out);

#endif
