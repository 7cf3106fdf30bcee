/* SPDX-License-Identifier: Apache-2.0
 *
 * chart.c - series over two axes.
 *
 * From top to bottom: title, axes with their labels, legend, small print. The legend is outside
 * the axes and so never covers data.
 */
#include <math.h>
#include <string.h>

#include "plot/chart.h"

/* ---- data ---- */

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
            if (dv_point_ok(d, &d->series[k], i))
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
            if (!dv_point_ok(d, s, i) || s->x[i] < x->lo || s->x[i] > x->hi)
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

static bool has_bars(const dv_chart *d)
{
    for (size_t k = 0; k < d->n_series; k++)
        if (d->series[k].mark == DV_BARS || d->series[k].mark == DV_AREA)
            return true;
    return false;
}

static void set_axes(dv_plot *p, int x_steps, int y_steps)
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
                pad = DV_MAX(pad, dv_half_bar(&p->x, &d->series[k]));
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
        if (d->y_scale == DV_SCALE_LOG && has_bars(d) && r.lo < 2 * lo)
            lo /= 2; /* the lowest bar can be seen */
    }
    dv_axis_set(&p->y, d->y_scale, lo, hi);
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

static void draw_grid(const dv_plot *p)
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

static void draw_axes(const dv_plot *p)
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

static void draw_labels(const dv_plot *p, double label_y)
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

static bool has_points(const dv_chart *d, const dv_series *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (dv_point_ok(d, s, i))
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

static dmv_status draw(dv_plot *p, dv_err *e)
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
    draw_axes(p);
    s = dv_draw_series(p, e);
    if (s)
        return s;
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
    dv_plot *p;
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
