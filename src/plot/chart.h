/* SPDX-License-Identifier: Apache-2.0
 *
 * chart.h - between chart.c (axes and layout) and marks.c (what stands between the axes).
 */
#ifndef DV_PLOT_CHART_H
#define DV_PLOT_CHART_H

#include "plot/paint.h"
#include "plot/scale.h"

typedef struct dv_plot {
    const dv_chart *d;
    dv_canvas v;
    dv_axis x, y;
    bool x_whole, y_whole;
    double left, top, w, h; /* of the area of the data */
    dv_tick xt[DV_MAX_TICKS], yt[DV_MAX_TICKS];
    size_t n_xt, n_yt;
} dv_plot;

/* Can the point be shown on the axes? */
bool dv_point_ok(const dv_chart *d, const dv_series *s, size_t i);
/* Half the width of the bars of s, as a part of the axis. */
double dv_half_bar(const dv_axis *a, const dv_series *s);
/* All series; the frame is drawn and v has its size. */
dmv_status dv_draw_series(const dv_plot *p, dv_err *e);

#endif
