/* SPDX-License-Identifier: Apache-2.0
 *
 * plot.h - charts of measurements as SVG or PNG files: ROC, DET, histograms, CMC, precision and
 * recall, classes on the unit circle. Stands on base and, where the build has it, on cairo.
 *
 *     dv_series s = {.name = "yunet", .x = recall, .y = precision, .n = n};
 *     dv_chart c = {.title = "Precision and recall", .x_label = "Recall", .y_label = "Precision",
 *                   .x_hi = 1, .y_hi = 1, .series = &s, .n_series = 1};
 *     dmv_status st = dv_chart_write("pr.svg", &c, &e);
 *
 * Charts are 720 units wide, PNG files have two pixels a unit. Series differ by colour (told
 * apart with any colour sight) and by dashes or markers (told apart in grey print); the legend
 * stands below the axes. All texts may be NULL and hold any bytes; what is not UTF-8 is shown as
 * U+FFFD, what is too long is cut and ends in an ellipsis. Nothing is kept after a call.
 */
#ifndef DV_PLOT_H
#define DV_PLOT_H

#include "base/base.h"

#define DV_PLOT_MAX_SERIES 64 /* and classes; more is DMV_ERR_LIMIT */

/* PROBIT: values are fractions in (0, 1), their place is that of the normal deviate, labels are
 * percent; with both axes so, a DET curve of normal scores is a straight line. */
typedef enum { DV_SCALE_LINEAR, DV_SCALE_LOG, DV_SCALE_PROBIT } dv_scale;

/* STEPS: y[i] holds from x[i] to x[i + 1]. BARS: x is the middle of a bar, all bars of a series
 * are as wide as the smallest distance of two neighbours. AREA: lines, filled down to zero. */
typedef enum { DV_LINES, DV_STEPS, DV_POINTS, DV_BARS, DV_AREA } dv_mark;

/* A point with a NaN, an infinity or a value that its axis cannot show (0 on a log axis) is left
 * out and interrupts the line. lo and hi: NULL, or n values each: a band about lines, whiskers
 * on points and bars. */
typedef struct dv_series {
    const char *name;
    const double *x, *y;
    size_t n;
    dv_mark mark;
    const double *lo, *hi;
} dv_series;

/* x_lo == x_hi: the range of the data, rounded; the same for y. */
typedef struct dv_chart {
    const char *title, *x_label, *y_label;
    dv_scale x_scale, y_scale;
    double x_lo, x_hi, y_lo, y_hi;
    const dv_series *series;
    size_t n_series;
    const char *note; /* small print below */
} dv_chart;

/* False in a build without cairo: then the two below are DMV_ERR_UNSUPPORTED. */
bool dv_chart_available(void);

/* ".svg" or ".png" by the ending of path. Written all or nothing. DMV_ERR_ARGUMENT: another
 * ending, a range that is no range. */
dmv_status dv_chart_write(const char *path, const dv_chart *c, dv_err *e);

/* Classes on the unit circle: n points (x, y) with label[i] < classes (negative: drawn grey), a
 * ray at the centre of each class. centres: x, y of each class, of which only the direction
 * counts; NULL = the mean of the normalised points of the class. Points farther out than 1 make
 * all shrink together. names may be NULL. */
dmv_status dv_sphere_write(const char *path, const float *xy, const int *label, size_t n,
                           const char *const *names, size_t classes, const float *centres,
                           const char *title, const char *note, dv_err *e);

#endif
