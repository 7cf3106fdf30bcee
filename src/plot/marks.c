/* SPDX-License-Identifier: Apache-2.0
 *
 * marks.c - lines, steps, bands, areas, bars and points of a chart.
 *
 * Curves of any length are thinned to what the eye can tell: of the points that follow one
 * another within half a unit across, the first, the last, the highest and the lowest stay, which
 * leaves the picture as it was.
 */
#include <math.h>
#include <string.h>

#include "plot/chart.h"

#define THIN 2.0 /* columns a unit in which points are merged; pixels of a PNG file */
#define FAR_OUT 1e6
#define RIM                                                                              \
    60.0 /* what is drawn beyond the axes is clipped; farther out it is not drawn at all \
          */

/* ---- places ---- */

bool dv_point_ok(const dv_chart *d, const dv_series *s, size_t i)
{
    return dv_scale_shows(d->x_scale, s->x[i]) && dv_scale_shows(d->y_scale, s->y[i]);
}

static double clamp(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static double place_x(const dv_plot *p, double v)
{
    double at = p->left + dv_axis_at(&p->x, v) * p->w;
    return clamp(at, -FAR_OUT, FAR_OUT);
}

static double place_y(const dv_plot *p, double v)
{
    double at = p->top + (1 - dv_axis_at(&p->y, v)) * p->h;
    return clamp(at, -FAR_OUT, FAR_OUT);
}

/* An end of a band, which may lie where the axis cannot show it: then at the edge. */
static double place_end(const dv_plot *p, double v)
{
    if (dv_scale_shows(p->y.kind, v))
        return place_y(p, v);
    if (isnan(v))
        return NAN;
    return v > (p->y.kind == DV_SCALE_LINEAR ? 0 : 0.5) ? p->top : p->top + p->h;
}

/* Where bars and areas stand. */
static double foot(const dv_plot *p)
{
    if (p->y.kind != DV_SCALE_LINEAR || p->y.lo > 0)
        return p->top + p->h;
    return p->y.hi < 0 ? p->top : place_y(p, 0);
}

/* Half the width of the bars of s as a transformed distance; 0 = cannot be told. */
double dv_half_bar(const dv_axis *a, const dv_series *s)
{
    double best = INFINITY, last = NAN;

    for (size_t i = 0; i < s->n; i++) {
        double at;
        if (!dv_scale_shows(a->kind, s->x[i]))
            continue;
        at = dv_axis_at(a, s->x[i]);
        if (fabs(at - last) > 1e-12)
            best = DV_MIN(best, fabs(at - last));
        last = at;
    }
    return isfinite(best) ? best / 2 : 0;
}

/* ---- curves ---- */

/* A path that drops what is outside and thins what is dense. */
typedef struct pen {
    cairo_t *c;
    double x0, y0, x1, y1; /* nothing is drawn beyond */
    bool fill;             /* then nothing is dropped */
    bool down;             /* last_x, last_y are known */
    double last_x, last_y; /* end of the last segment */
    bool at_pen;           /* cairo stands there */
    bool open;             /* a column with points: */
    double column, first[2], min[2], max[2], end[2];
    bool min_first;
} pen;

static void segment(pen *q, double x, double y)
{
    double ax = q->last_x, ay = q->last_y, dx = x - ax, dy = y - ay, t0 = 0, t1 = 1;
    const double way[4] = {-dx, dx, -dy, dy};
    const double room[4] = {ax - q->x0, q->x1 - ax, ay - q->y0, q->y1 - ay};

    q->last_x = x;
    q->last_y = y;
    if (!q->down) {
        q->down = true;
        q->at_pen = false;
        if (q->fill)
            cairo_line_to(q->c, x, y);
        return;
    }
    if (q->fill) {
        cairo_line_to(q->c, x, y);
        return;
    }
    for (int i = 0; i < 4; i++) { /* Liang and Barsky */
        if (way[i] == 0) {
            if (room[i] < 0)
                t0 = 2;
        } else if (way[i] < 0) {
            t0 = DV_MAX(t0, room[i] / way[i]);
        } else {
            t1 = DV_MIN(t1, room[i] / way[i]);
        }
    }
    if (t0 > t1) {
        q->at_pen = false;
        return;
    }
    if (!q->at_pen || t0 > 0)
        cairo_move_to(q->c, ax + t0 * dx, ay + t0 * dy);
    cairo_line_to(q->c, ax + t1 * dx, ay + t1 * dy);
    q->at_pen = t1 >= 1;
}

static void end_column(pen *q)
{
    if (!q->open)
        return;
    q->open = false;
    segment(q, q->first[0], q->first[1]);
    for (int k = 0; k < 2; k++) {
        const double *m = (k == 0) == q->min_first ? q->min : q->max;
        if (m[1] != q->last_y && (m[0] != q->end[0] || m[1] != q->end[1]))
            segment(q, m[0], m[1]);
    }
    if (q->end[0] != q->last_x || q->end[1] != q->last_y)
        segment(q, q->end[0], q->end[1]);
}

static void to(pen *q, double x, double y)
{
    double column = floor(x * THIN);

    if (q->open && q->column != column)
        end_column(q);
    if (!q->open) {
        q->open = true;
        q->column = column;
        q->first[0] = q->min[0] = q->max[0] = x;
        q->first[1] = q->min[1] = q->max[1] = y;
        q->min_first = true;
    }
    if (y < q->min[1]) {
        q->min[0] = x;
        q->min[1] = y;
        q->min_first = false;
    }
    if (y > q->max[1]) {
        q->max[0] = x;
        q->max[1] = y;
        q->min_first = true;
    }
    q->end[0] = x;
    q->end[1] = y;
}

static void lift(pen *q)
{
    end_column(q);
    q->down = q->at_pen = false;
}

static pen new_pen(const dv_plot *p, bool fill)
{
    return (pen){.c = p->v.c,
                 .x0 = p->left - RIM,
                 .y0 = p->top - RIM,
                 .x1 = p->left + p->w + RIM,
                 .y1 = p->top + p->h + RIM,
                 .fill = fill};
}

/* Points from .. to - 1 of the series, with steps if it has them, forwards or backwards. */
static void trace(const dv_plot *p, pen *q, const dv_series *s, const double *y, size_t from,
                  size_t end, bool back)
{
    bool steps = s->mark == DV_STEPS;

    for (size_t k = 0; k < end - from; k++) {
        size_t i = back ? end - 1 - k : from + k;
        double px = place_x(p, s->x[i]), py = y == s->y ? place_y(p, y[i]) : place_end(p, y[i]);

        if (steps && !back && i > from)
            to(q, px, y == s->y ? place_y(p, y[i - 1]) : place_end(p, y[i - 1]));
        to(q, px, py);
        if (steps && back && i > from)
            to(q, px, y == s->y ? place_y(p, y[i - 1]) : place_end(p, y[i - 1]));
    }
}

static bool band_ok(const dv_chart *d, const dv_series *s, size_t i)
{
    return dv_point_ok(d, s, i) && !isnan(s->lo[i]) && !isnan(s->hi[i]);
}

/* The next run of points that are all right: *from .. *end - 1. */
static bool next_run(const dv_chart *d, const dv_series *s,
                     bool (*ok)(const dv_chart *, const dv_series *, size_t), size_t *from,
                     size_t *end)
{
    size_t i = *end;

    while (i < s->n && !ok(d, s, i))
        i++;
    *from = i;
    while (i < s->n && ok(d, s, i))
        i++;
    *end = i;
    return *from < *end;
}

static void clip(const dv_plot *p, double more)
{
    cairo_save(p->v.c);
    cairo_rectangle(p->v.c, p->left - more, p->top - more, p->w + 2 * more, p->h + 2 * more);
    cairo_clip(p->v.c);
    cairo_new_path(p->v.c);
}

static void draw_band(const dv_plot *p, const dv_series *s, size_t look)
{
    size_t from, end = 0;

    clip(p, 0);
    dv_set_colour(p->v.c, dv_series_colour(look), 0.2);
    while (next_run(p->d, s, band_ok, &from, &end)) {
        pen q = new_pen(p, true);
        cairo_new_path(p->v.c);
        trace(p, &q, s, s->hi, from, end, false);
        end_column(&q);
        trace(p, &q, s, s->lo, from, end, true);
        lift(&q);
        cairo_close_path(p->v.c);
        cairo_fill(p->v.c);
    }
    cairo_restore(p->v.c);
}

static void draw_area(const dv_plot *p, const dv_series *s, size_t look)
{
    size_t from, end = 0;

    clip(p, 0);
    dv_set_colour(p->v.c, dv_series_colour(look), 0.25);
    while (next_run(p->d, s, dv_point_ok, &from, &end)) {
        pen q = new_pen(p, true);
        cairo_new_path(p->v.c);
        trace(p, &q, s, s->y, from, end, false);
        lift(&q);
        cairo_line_to(p->v.c, place_x(p, s->x[end - 1]), foot(p));
        cairo_line_to(p->v.c, place_x(p, s->x[from]), foot(p));
        cairo_close_path(p->v.c);
        cairo_fill(p->v.c);
    }
    cairo_restore(p->v.c);
}

static void draw_line(const dv_plot *p, const dv_series *s, size_t look, double width)
{
    pen q = new_pen(p, false);
    size_t from, end = 0;

    clip(p, width / 2 + 0.5); /* a curve on the edge keeps its width */
    dv_set_colour(p->v.c, dv_series_colour(look), 1);
    while (next_run(p->d, s, dv_point_ok, &from, &end)) {
        if (end - from == 1) { /* alone between gaps: a dot */
            cairo_new_path(p->v.c);
            cairo_arc(p->v.c, place_x(p, s->x[from]), place_y(p, s->y[from]), width, 0, 2 * M_PI);
            cairo_fill(p->v.c);
            continue;
        }
        cairo_new_path(p->v.c);
        trace(p, &q, s, s->y, from, end, false);
        lift(&q);
        dv_series_dash(p->v.c, look, width);
        cairo_stroke(p->v.c);
    }
    cairo_restore(p->v.c);
}

/* ---- bars ---- */

typedef struct bar {
    double x0, x1, top;
} bar;

/* The next bar at or after *i, merged with its neighbours where they are finer than pixels. */
static bool next_bar(const dv_plot *p, const dv_series *s, double half, size_t *i, bar *b)
{
    bool any = false;

    for (; *i < s->n; ++*i) {
        double x, y;
        if (!dv_point_ok(p->d, s, *i)) {
            if (any)
                return true;
            continue;
        }
        x = place_x(p, s->x[*i]);
        y = clamp(place_y(p, s->y[*i]), p->top - RIM, p->top + p->h + RIM);
        if (x + half < p->left - RIM || x - half > p->left + p->w + RIM) {
            if (any)
                return true;
            continue;
        }
        if (!any) {
            *b = (bar){clamp(x - half, p->left - RIM, p->left + p->w + RIM),
                       clamp(x + half, p->left - RIM, p->left + p->w + RIM), y};
            any = true;
        } else if (half < 0.25 && x >= b->x0 && x + half <= b->x0 + 1 / THIN) {
            b->x1 = x + half;
            if (fabs(y - foot(p)) > fabs(b->top - foot(p)))
                b->top = y;
        } else {
            return true;
        }
    }
    return any;
}

static void bars_path(const dv_plot *p, const dv_series *s, double half, bool closed)
{
    double base = foot(p), right = NAN;
    size_t i = 0;
    bar b = {0};

    while (next_bar(p, s, half, &i, &b)) {
        if (fabs(b.x0 - right) < 0.02 + 0.01 * half) {
            cairo_line_to(p->v.c, right, b.top);
        } else {
            if (!isnan(right))
                cairo_line_to(p->v.c, right, base);
            if (closed && !isnan(right))
                cairo_close_path(p->v.c);
            cairo_move_to(p->v.c, b.x0, base);
            cairo_line_to(p->v.c, b.x0, b.top);
        }
        cairo_line_to(p->v.c, b.x1, b.top);
        right = b.x1;
    }
    if (!isnan(right))
        cairo_line_to(p->v.c, right, base);
    if (closed && !isnan(right))
        cairo_close_path(p->v.c);
}

static void draw_bars(const dv_plot *p, const dv_series *s, size_t look)
{
    double half = dv_half_bar(&p->x, s) * p->w;

    if (half <= 0)
        half = p->w * 0.02;
    cairo_new_path(p->v.c);
    clip(p, 0);
    bars_path(p, s, half, true);
    dv_set_colour(p->v.c, dv_series_colour(look), 0.35);
    cairo_fill(p->v.c);
    bars_path(p, s, half, false);
    dv_series_dash(p->v.c, look, 2.2);
    dv_set_colour(p->v.c, dv_series_colour(look), 1);
    cairo_stroke(p->v.c);
    cairo_restore(p->v.c);
}

/* ---- points ---- */

static void draw_whiskers(const dv_plot *p, const dv_series *s, size_t look)
{
    cairo_t *c = p->v.c;

    clip(p, 1);
    cairo_set_dash(c, NULL, 0, 0);
    cairo_set_line_width(c, 2);
    dv_set_colour(c, dv_series_colour(look), 1);
    for (size_t i = 0; i < s->n; i++) {
        double x, lo, hi;
        if (!band_ok(p->d, s, i))
            continue;
        x = place_x(p, s->x[i]);
        if (x < p->left - RIM || x > p->left + p->w + RIM)
            continue;
        lo = clamp(place_end(p, s->lo[i]), p->top - RIM, p->top + p->h + RIM);
        hi = clamp(place_end(p, s->hi[i]), p->top - RIM, p->top + p->h + RIM);
        cairo_new_path(c);
        cairo_move_to(c, x, lo);
        cairo_line_to(c, x, hi);
        cairo_move_to(c, x - 5, lo);
        cairo_line_to(c, x + 5, lo);
        cairo_move_to(c, x - 5, hi);
        cairo_line_to(c, x + 5, hi);
        cairo_stroke(c);
    }
    cairo_restore(c);
}

static dmv_status draw_points(const dv_plot *p, const dv_series *s, size_t look, dv_err *e)
{
    const size_t across = (size_t)(p->w * THIN) + 1, down = (size_t)(p->h * THIN) + 1;
    double r = s->n <= 200 ? 5.5 : s->n <= 2000 ? 3.6 : 2.2;
    uint8_t *seen = dv_calloc(across * down, 1); /* places with a marker */

    if (!seen)
        return dv_nomem(e);
    clip(p, r);
    dv_set_colour(p->v.c, dv_series_colour(look), 1);
    for (size_t i = 0; i < s->n; i++) {
        double x, y, u, w;
        if (!dv_point_ok(p->d, s, i))
            continue;
        x = place_x(p, s->x[i]);
        y = place_y(p, s->y[i]);
        u = (x - p->left) * THIN;
        w = (y - p->top) * THIN;
        if (u < 0 || w < 0 || u >= (double)across || w >= (double)down ||
            seen[(size_t)w * across + (size_t)u])
            continue;
        seen[(size_t)w * across + (size_t)u] = 1;
        cairo_new_path(p->v.c);
        dv_series_marker(p->v.c, look, x, y, r);
        cairo_fill(p->v.c);
    }
    cairo_restore(p->v.c);
    dv_free(seen);
    return DMV_OK;
}

/* ---- all of them ---- */

dmv_status dv_draw_series(const dv_plot *p, dv_err *e)
{
    const dv_chart *d = p->d;
    double width = d->n_series <= 4 ? 3.4 : 2.8;
    dmv_status st = DMV_OK;
    size_t shown = 0;

    for (size_t k = 0; k < d->n_series; k++) {
        const dv_series *s = &d->series[k];
        bool curve = s->mark == DV_LINES || s->mark == DV_STEPS || s->mark == DV_AREA;
        if (s->mark == DV_AREA)
            draw_area(p, s, k);
        if (s->mark == DV_BARS)
            draw_bars(p, s, k);
        if (curve && s->lo && s->hi)
            draw_band(p, s, k);
    }
    for (size_t k = 0; k < d->n_series && !st; k++) {
        const dv_series *s = &d->series[k];
        if (s->mark == DV_LINES || s->mark == DV_STEPS || s->mark == DV_AREA)
            draw_line(p, s, k, width);
        else if (s->lo && s->hi)
            draw_whiskers(p, s, k);
        if (s->mark == DV_POINTS)
            st = draw_points(p, s, k, e);
        for (size_t i = 0; i < s->n && !shown; i++)
            shown += dv_point_ok(d, s, i);
    }
    if (!shown) {
        cairo_set_source_rgb(p->v.c, 0.35, 0.35, 0.35);
        dv_set_font(p->v.c, DV_PLOT_LABEL, false);
        cairo_move_to(p->v.c, p->left + (p->w - dv_text_width(p->v.c, "no data")) / 2,
                      p->top + p->h / 2);
        cairo_show_text(p->v.c, "no data");
    }
    return st;
}
