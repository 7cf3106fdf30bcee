/* SPDX-License-Identifier: Apache-2.0
 *
 * chart.c - series over two axes.
 *
 * From top to bottom: title, axes with their labels, legend, small print. The legend is outside
 * the axes and so never covers data. Curves of any length are thinned to what the eye can tell:
 * of the points that follow one another within half a unit across, the first, the last, the
 * highest and the lowest stay, which leaves the picture as it was.
 */
#include <math.h>
#include <string.h>

#include "plot/paint.h"
#include "plot/scale.h"

#define THIN 2.0 /* columns a unit in which points are merged; pixels of a PNG file */
#define FAR_OUT 1e6

typedef struct plot {
    const dv_chart *d;
    dv_canvas v;
    dv_axis x, y;
    bool x_whole, y_whole;
    double left, top, w, h; /* of the area of the data */
    dv_tick xt[DV_MAX_TICKS], yt[DV_MAX_TICKS];
    size_t n_xt, n_yt;
} plot;

/* ---- data ---- */

static bool point_ok(const dv_chart *d, const dv_series *s, size_t i)
{
    return dv_scale_shows(d->x_scale, s->x[i]) && dv_scale_shows(d->y_scale, s->y[i]);
}

static double place_x(const plot *p, double v)
{
    double at = p->left + dv_axis_at(&p->x, v) * p->w;
    return DV_MIN(DV_MAX(at, -FAR_OUT), FAR_OUT);
}

static double place_y(const plot *p, double v)
{
    double at = p->top + (1 - dv_axis_at(&p->y, v)) * p->h;
    return DV_MIN(DV_MAX(at, -FAR_OUT), FAR_OUT);
}

/* An end of a band, which may lie where the axis cannot show it: then at the edge. */
static double place_end(const plot *p, double v)
{
    if (dv_scale_shows(p->y.kind, v))
        return place_y(p, v);
    if (isnan(v))
        return NAN;
    return v > 0 ? p->top : p->top + p->h;
}

/* Where bars and areas stand. */
static double foot(const plot *p)
{
    if (p->y.kind != DV_SCALE_LINEAR || p->y.lo > 0)
        return p->top + p->h;
    return p->y.hi < 0 ? p->top : place_y(p, 0);
}

/* Half the width of the bars of s as a transformed distance; 0 = cannot be told. */
static double half_bar(const dv_axis *a, const dv_series *s)
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

typedef struct span {
    double lo, hi;
    bool whole;
} span;

static void take(span *r, double v)
{
    r->lo = DV_MIN(r->lo, v);
    r->hi = DV_MAX(r->hi, v);
    r->whole = r->whole && v == floor(v) && fabs(v) < 1e9;
}

static span x_span(const dv_chart *d)
{
    span r = {INFINITY, -INFINITY, true};

    for (size_t k = 0; k < d->n_series; k++)
        for (size_t i = 0; i < d->series[k].n; i++)
            if (point_ok(d, &d->series[k], i))
                take(&r, d->series[k].x[i]);
    return r;
}

/* Of what is seen between the ends of the x axis. */
static span y_span(const dv_chart *d, const dv_axis *x)
{
    span r = {INFINITY, -INFINITY, true};

    for (size_t k = 0; k < d->n_series; k++) {
        const dv_series *s = &d->series[k];
        bool any = false;
        for (size_t i = 0; i < s->n; i++) {
            if (!point_ok(d, s, i) || s->x[i] < x->lo || s->x[i] > x->hi)
                continue;
            any = true;
            take(&r, s->y[i]);
            if (s->lo && dv_scale_shows(d->y_scale, s->lo[i]))
                take(&r, s->lo[i]);
            if (s->hi && dv_scale_shows(d->y_scale, s->hi[i]))
                take(&r, s->hi[i]);
        }
        if (any && d->y_scale == DV_SCALE_LINEAR && (s->mark == DV_BARS || s->mark == DV_AREA))
            take(&r, 0);
    }
    return r;
}

static void set_axes(plot *p, int x_steps, int y_steps)
{
    const dv_chart *d = p->d;
    span r = x_span(d);
    double lo = d->x_lo, hi = d->x_hi;

    p->x_whole = r.whole && r.lo < r.hi;
    if (lo == hi) {
        bool points = false;
        double pad = 0;

        lo = r.lo;
        hi = r.hi;
        dv_axis_round(d->x_scale, &lo, &hi, x_steps, true);
        dv_axis_set(&p->x, d->x_scale, lo, hi);
        for (size_t k = 0; k < d->n_series; k++) {
            points = points || d->series[k].mark == DV_POINTS;
            if (d->series[k].mark == DV_BARS)
                pad = DV_MAX(pad, half_bar(&p->x, &d->series[k]));
        }
        if (points)
            pad = DV_MAX(pad, 0.03);
        if (d->x_scale == DV_SCALE_LINEAR) {
            double more = pad * (hi - lo);
            lo -= more;
            hi += more;
        }
    }
    dv_axis_set(&p->x, d->x_scale, lo, hi);
    r = y_span(d, &p->x);
    p->y_whole = r.whole && r.lo < r.hi;
    lo = d->y_lo;
    hi = d->y_hi;
    if (lo == hi) {
        lo = r.lo;
        hi = r.hi;
        dv_axis_round(d->y_scale, &lo, &hi, y_steps, false);
    }
    dv_axis_set(&p->y, d->y_scale, lo, hi);
}

/* ---- curves ---- */

/* A path that drops what is outside and thins what is dense. */
typedef struct pen {
    cairo_t *c;
    double x0, y0, x1, y1; /* nothing is drawn beyond */
    bool fill;             /* then nothing is dropped, but moved to the rim */
    bool down;             /* last_x, last_y are known */
    double last_x, last_y; /* end of the last segment */
    double pen_x, pen_y;   /* where cairo stands */
    bool at_pen;
    bool open; /* a column with points: */
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

static pen new_pen(const plot *p, bool fill)
{
    const double rim = 60;
    return (pen){.c = p->v.c,
                 .x0 = p->left - rim,
                 .y0 = p->top - rim,
                 .x1 = p->left + p->w + rim,
                 .y1 = p->top + p->h + rim,
                 .fill = fill};
}

/* Points from .. to - 1 of the series, with steps if it has them, forwards or backwards. */
static void trace(const plot *p, pen *q, const dv_series *s, const double *y, size_t from,
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
    return point_ok(d, s, i) && !isnan(s->lo[i]) && !isnan(s->hi[i]);
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

static void clip(const plot *p, double more)
{
    cairo_save(p->v.c);
    cairo_rectangle(p->v.c, p->left - more, p->top - more, p->w + 2 * more, p->h + 2 * more);
    cairo_clip(p->v.c);
    cairo_new_path(p->v.c);
}

static void draw_band(const plot *p, const dv_series *s, size_t look)
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

static void draw_area(const plot *p, const dv_series *s, size_t look)
{
    size_t from, end = 0;

    clip(p, 0);
    dv_set_colour(p->v.c, dv_series_colour(look), 0.25);
    while (next_run(p->d, s, point_ok, &from, &end)) {
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

static void draw_line(const plot *p, const dv_series *s, size_t look, double width)
{
    pen q = new_pen(p, false);
    size_t from, end = 0;

    clip(p, width / 2 + 0.5); /* a curve on the edge keeps its width */
    dv_set_colour(p->v.c, dv_series_colour(look), 1);
    while (next_run(p->d, s, point_ok, &from, &end)) {
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
static bool next_bar(const plot *p, const dv_series *s, double half, size_t *i, bar *b)
{
    bool any = false;

    for (; *i < s->n; ++*i) {
        double x, y;
        if (!point_ok(p->d, s, *i)) {
            if (any)
                return true;
            continue;
        }
        x = place_x(p, s->x[*i]);
        y = place_y(p, s->y[*i]);
        if (!any) {
            *b = (bar){x - half, x + half, y};
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

static void bars_path(const plot *p, const dv_series *s, double half, bool closed)
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

static void draw_bars(const plot *p, const dv_series *s, size_t look)
{
    double half = half_bar(&p->x, s) * p->w;

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

static void draw_whiskers(const plot *p, const dv_series *s, size_t look)
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
        lo = place_end(p, s->lo[i]);
        hi = place_end(p, s->hi[i]);
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

static dmv_status draw_points(const plot *p, const dv_series *s, size_t look, dv_err *e)
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
        if (!point_ok(p->d, s, i))
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

/* ---- axes ---- */

static void grey(cairo_t *c, double level)
{
    cairo_set_source_rgb(c, level, level, level);
}

static void hairline(cairo_t *c, double x0, double y0, double x1, double y1, double width)
{
    cairo_set_line_width(c, width);
    cairo_move_to(c, x0, y0);
    cairo_line_to(c, x1, y1);
    cairo_stroke(c);
}

static void draw_grid(const plot *p)
{
    cairo_t *c = p->v.c;
    double right = p->left + p->w, bottom = p->top + p->h;

    cairo_set_dash(c, NULL, 0, 0);
    for (int major = 0; major < 2; major++) {
        grey(c, major ? 0.80 : 0.92);
        for (size_t i = 0; i < p->n_xt; i++) {
            double x = p->left + p->xt[i].at * p->w;
            bool fine = p->x.kind != DV_SCALE_LINEAR;
            if (p->xt[i].major == major && (major || fine))
                hairline(c, x, p->top, x, bottom, 1);
        }
        for (size_t i = 0; i < p->n_yt; i++) {
            double y = p->top + (1 - p->yt[i].at) * p->h;
            bool fine = p->y.kind != DV_SCALE_LINEAR;
            if (p->yt[i].major == major && (major || fine))
                hairline(c, p->left, y, right, y, 1);
        }
    }
}

static double tick_width(cairo_t *c, const dv_tick *t)
{
    double w;

    dv_set_font(c, DV_PLOT_TICK, false);
    w = dv_text_width(c, t->text);
    if (t->raised[0]) {
        dv_set_font(c, DV_PLOT_TICK * 0.75, false);
        w += dv_text_width(c, t->raised) + 1;
    }
    return w;
}

static void tick_text(cairo_t *c, const dv_tick *t, double x, double y)
{
    dv_set_font(c, DV_PLOT_TICK, false);
    cairo_move_to(c, x, y);
    cairo_show_text(c, t->text);
    if (t->raised[0]) {
        double w = dv_text_width(c, t->text);
        dv_set_font(c, DV_PLOT_TICK * 0.75, false);
        cairo_move_to(c, x + w + 1, y - DV_PLOT_TICK * 0.42);
        cairo_show_text(c, t->raised);
    }
}

static void draw_axes(const plot *p)
{
    cairo_t *c = p->v.c;
    double bottom = p->top + p->h, taken = -1e9;

    cairo_set_dash(c, NULL, 0, 0);
    grey(c, 0.25);
    cairo_set_line_width(c, 1.4);
    cairo_rectangle(c, p->left, p->top, p->w, p->h);
    cairo_stroke(c);
    for (size_t i = 0; i < p->n_xt; i++) {
        double x = p->left + p->xt[i].at * p->w;
        hairline(c, x, bottom, x, bottom + (p->xt[i].major ? 6 : 3), 1.2);
    }
    for (size_t i = 0; i < p->n_yt; i++) {
        double y = p->top + (1 - p->yt[i].at) * p->h;
        hairline(c, p->left, y, p->left - (p->yt[i].major ? 6 : 3), y, 1.2);
    }
    grey(c, 0.1);
    for (size_t i = 0; i < p->n_xt; i++) {
        double w = tick_width(c, &p->xt[i]), x = p->left + p->xt[i].at * p->w - w / 2;
        x = DV_MIN(x, p->v.w - 2 - w);
        if (!p->xt[i].major || x < taken + 9)
            continue;
        tick_text(c, &p->xt[i], x, bottom + 9 + DV_PLOT_TICK);
        taken = x + w;
    }
    taken = 1e9;
    for (size_t i = 0; i < p->n_yt; i++) {
        double y = p->top + (1 - p->yt[i].at) * p->h + DV_PLOT_TICK * 0.36;
        if (!p->yt[i].major || y > taken - DV_PLOT_TICK * 0.95)
            continue;
        tick_text(c, &p->yt[i], p->left - 10 - tick_width(c, &p->yt[i]), y);
        taken = y;
    }
}

/* The label; percent is said where the numbers are percent. */
static void axis_label(const char *text, dv_scale kind, char *out)
{
    size_t n;

    dv_clean_text(text, out);
    n = strlen(out);
    if (kind == DV_SCALE_PROBIT && !strchr(out, '%'))
        memcpy(out + n, n ? ", %" : "%", n ? 4 : 2);
}

static void draw_labels(const plot *p, double label_y)
{
    cairo_t *c = p->v.c;
    char s[DV_PLOT_ROOM];
    double w;

    grey(c, 0.1);
    dv_set_font(c, DV_PLOT_LABEL, false);
    axis_label(p->d->x_label, p->x.kind, s);
    w = dv_fit_text(c, s, p->v.w - 2 * DV_PLOT_EDGE);
    cairo_move_to(c,
                  DV_MAX(DV_PLOT_EDGE, DV_MIN(p->left + (p->w - w) / 2, p->v.w - DV_PLOT_EDGE - w)),
                  label_y);
    cairo_show_text(c, s);
    axis_label(p->d->y_label, p->y.kind, s);
    w = dv_fit_text(c, s, p->top + p->h);
    cairo_save(c);
    cairo_translate(c, DV_PLOT_EDGE - 4 + DV_PLOT_LABEL * 0.8,
                    DV_MAX(p->top + (p->h + w) / 2, w + 4));
    cairo_rotate(c, -M_PI / 2);
    cairo_move_to(c, 0, 0);
    cairo_show_text(c, s);
    cairo_restore(c);
}

/* ---- the whole ---- */

static dmv_status draw_series(const plot *p, dv_err *e)
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
            shown += point_ok(d, s, i);
    }
    if (!shown) {
        grey(p->v.c, 0.35);
        dv_set_font(p->v.c, DV_PLOT_LABEL, false);
        cairo_move_to(p->v.c, p->left + (p->w - dv_text_width(p->v.c, "no data")) / 2,
                      p->top + p->h / 2);
        cairo_show_text(p->v.c, "no data");
    }
    return st;
}

static bool has_points(const dv_chart *d, const dv_series *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (point_ok(d, s, i))
            return true;
    return false;
}

static dmv_status check_range(const char *axis, dv_scale kind, double lo, double hi, dv_err *e)
{
    if (lo == hi || (lo < hi && dv_scale_shows(kind, lo) && dv_scale_shows(kind, hi)))
        return DMV_OK;
    return dv_fail(e, DMV_ERR_ARGUMENT,
                   "the %s axis cannot run from %g to %g; give an ascending range%s", axis, lo, hi,
                   kind == DV_SCALE_LOG      ? " above 0"
                   : kind == DV_SCALE_PROBIT ? " between 0 and 1"
                                             : "");
}

static dmv_status check(const dv_chart *d, dv_err *e)
{
    dmv_status s;

    if (!d || (d->n_series && !d->series) || d->x_scale > DV_SCALE_PROBIT ||
        d->y_scale > DV_SCALE_PROBIT)
        return dv_fail(e, DMV_ERR_ARGUMENT, "a chart without series or with an unknown scale");
    if (d->n_series > DV_PLOT_MAX_SERIES)
        return dv_fail(e, DMV_ERR_LIMIT, "a chart has at most %d series, not %zu; make several",
                       DV_PLOT_MAX_SERIES, d->n_series);
    for (size_t k = 0; k < d->n_series; k++) {
        const dv_series *t = &d->series[k];
        if (t->mark > DV_AREA || (t->n && (!t->x || !t->y)))
            return dv_fail(e, DMV_ERR_ARGUMENT, "series %zu of a chart has no data or mark", k);
    }
    s = check_range("x", d->x_scale, d->x_lo, d->x_hi, e);
    return s ? s : check_range("y", d->y_scale, d->y_lo, d->y_hi, e);
}

static dmv_status draw(plot *p, dv_err *e)
{
    const dv_chart *d = p->d;
    dv_legend_item item[DV_PLOT_MAX_SERIES];
    char title[DV_PLOT_ROOM], note[DV_PLOT_ROOM];
    const double inner = DV_PLOT_WIDTH - 2 * DV_PLOT_EDGE;
    bool square = d->x_scale == DV_SCALE_PROBIT && d->y_scale == DV_SCALE_PROBIT;
    size_t items = 0;
    double y, widest = 0, label_y, legend_y, note_y;
    int lines;
    dmv_status s;

    for (size_t k = 0; k < d->n_series; k++) {
        const dv_series *t = &d->series[k];
        if (d->n_series > 1 || (t->name && *t->name))
            item[items++] =
                (dv_legend_item){t->name, has_points(d, t) ? NULL : " (no data)", k, t->mark};
    }
    set_axes(p, 7, 6);
    p->n_yt = dv_axis_ticks(&p->y, 6, p->y_whole, p->yt);
    for (size_t i = 0; i < p->n_yt; i++)
        widest = DV_MAX(widest, tick_width(p->v.c, &p->yt[i]));
    p->left = DV_PLOT_EDGE + widest + 12 + (d->y_label && *d->y_label ? DV_PLOT_LABEL + 6 : 0);
    p->w = DV_PLOT_WIDTH - DV_PLOT_EDGE - 10 - p->left;
    p->h = square ? p->w : 410;
    p->n_xt = dv_axis_ticks(&p->x, 7, p->x_whole, p->xt);

    dv_clean_text(d->title, title);
    dv_clean_text(d->note, note);
    dv_set_font(p->v.c, DV_PLOT_TITLE, true);
    lines = dv_text_block(p->v.c, title, 0, 0, inner, DV_PLOT_TITLE * 1.2, 2, true, false);
    p->top = DV_PLOT_EDGE + lines * DV_PLOT_TITLE * 1.2 + (lines ? 8 : 4);
    y = p->top + p->h + 9 + DV_PLOT_TICK * 1.3;
    label_y = y + DV_PLOT_LABEL;
    if ((d->x_label && *d->x_label) || d->x_scale == DV_SCALE_PROBIT)
        y += DV_PLOT_LABEL * 1.4;
    legend_y = y + 6;
    if (items)
        y = legend_y + dv_legend(p->v.c, item, items, 0, false);
    dv_set_font(p->v.c, DV_PLOT_NOTE, false);
    lines = dv_text_block(p->v.c, note, 0, 0, inner, DV_PLOT_NOTE * 1.3, 4, false, false);
    note_y = y + 8 + DV_PLOT_NOTE;
    if (lines)
        y += 8 + lines * DV_PLOT_NOTE * 1.3;
    s = dv_canvas_size(&p->v, DV_PLOT_WIDTH, y + DV_PLOT_EDGE - 4, e);
    if (s)
        return s;

    draw_grid(p);
    s = draw_series(p, e);
    if (s)
        return s;
    draw_axes(p);
    draw_labels(p, label_y);
    grey(p->v.c, 0.05);
    dv_set_font(p->v.c, DV_PLOT_TITLE, true);
    dv_text_block(p->v.c, title, DV_PLOT_WIDTH / 2, DV_PLOT_EDGE + DV_PLOT_TITLE * 0.8, inner,
                  DV_PLOT_TITLE * 1.2, 2, true, true);
    dv_legend(p->v.c, item, items, legend_y, true);
    grey(p->v.c, 0.3);
    dv_set_font(p->v.c, DV_PLOT_NOTE, false);
    dv_text_block(p->v.c, note, DV_PLOT_EDGE, note_y, inner, DV_PLOT_NOTE * 1.3, 4, false, true);
    return DMV_OK;
}

bool dv_chart_available(void)
{
    return true;
}

dmv_status dv_chart_write(const char *path, const dv_chart *d, dv_err *e)
{
    const char *words[DV_PLOT_MAX_SERIES + 4];
    plot *p;
    dmv_status s = check(d, e);

    if (s)
        return s;
    p = dv_calloc(1, sizeof *p);
    if (!p)
        return dv_nomem(e);
    p->d = d;
    s = dv_canvas_open(&p->v, path, e);
    if (!s)
        s = draw(p, e);
    if (!s) {
        size_t n = 0;
        words[n++] = d->title;
        words[n++] = d->x_label;
        words[n++] = d->y_label;
        for (size_t k = 0; k < d->n_series; k++)
            words[n++] = d->series[k].name;
        words[n++] = d->note;
        s = dv_canvas_write(&p->v, path, words, n, e);
    }
    dv_canvas_close(&p->v);
    dv_free(p);
    return s;
}
