/* SPDX-License-Identifier: Apache-2.0
 *
 * sphere.c - classes on the unit circle: what a net with two numbers as its embedding makes of
 * its pictures. The angle between two rays is the margin that training has made.
 */
#include <math.h>
#include <string.h>

#include "plot/paint.h"

#define RADIUS 236.0
#define NAME 17.0   /* letters of names at the rays */
#define MAX_RAYS 24 /* with names; more would not be read */
#define THIN 2.0

static dmv_status check(const float *xy, const int *label, size_t n, size_t classes, dv_err *e)
{
    if (n && (!xy || !label))
        return dv_fail(e, DMV_ERR_ARGUMENT, "points without places or labels");
    if (classes > DV_PLOT_MAX_SERIES)
        return dv_fail(e, DMV_ERR_LIMIT, "a picture shows at most %d classes, not %zu; show fewer",
                       DV_PLOT_MAX_SERIES, classes);
    for (size_t i = 0; i < n; i++)
        if (label[i] >= 0 && (size_t)label[i] >= classes)
            return dv_fail(e, DMV_ERR_ARGUMENT, "point %zu has label %d, but there are %zu classes",
                           i, label[i], classes);
    return DMV_OK;
}

/* Directions of the classes; 0, 0 where there is none. */
static void directions(const float *xy, const int *label, size_t n, const float *centres,
                       size_t classes, double (*dir)[2])
{
    memset(dir, 0, classes * sizeof *dir);
    for (size_t i = 0; !centres && i < n; i++) {
        double x = xy[2 * i], y = xy[2 * i + 1], r = hypot(x, y);
        if (label[i] < 0 || !(r > 0) || !isfinite(r))
            continue;
        dir[label[i]][0] += x / r;
        dir[label[i]][1] += y / r;
    }
    for (size_t k = 0; k < classes; k++) {
        double r;
        if (centres) {
            dir[k][0] = centres[2 * k];
            dir[k][1] = centres[2 * k + 1];
        }
        r = hypot(dir[k][0], dir[k][1]);
        if (r > 1e-12 && isfinite(r)) {
            dir[k][0] /= r;
            dir[k][1] /= r;
        } else {
            dir[k][0] = dir[k][1] = 0;
        }
    }
}

static dmv_status draw_points(cairo_t *c, double cx, double cy, double scale, const float *xy,
                              const int *label, size_t n, dv_err *e)
{
    const size_t side = (size_t)(2 * RADIUS * THIN) + 2;
    double r = n <= 300 ? 5 : n <= 3000 ? 3.4 : 2.2;
    uint8_t *seen = dv_malloc(side * side); /* label + 2 of the last marker here */

    if (!seen)
        return dv_nomem(e);
    memset(seen, 0, side * side);
    for (size_t i = 0; i < n; i++) {
        double x = xy[2 * i] * scale, y = xy[2 * i + 1] * scale;
        uint8_t *s, mark = (uint8_t)(label[i] < 0 ? 1 : label[i] + 2);
        if (!(hypot(x, y) <= 1.0001))
            continue;
        s = &seen[(size_t)((y + 1.0002) * RADIUS * THIN) * side +
                  (size_t)((x + 1.0002) * RADIUS * THIN)];
        if (*s == mark)
            continue;
        *s = mark;
        if (label[i] < 0)
            cairo_set_source_rgb(c, 0.6, 0.6, 0.6);
        else
            dv_set_colour(c, dv_series_colour((size_t)label[i]), 1);
        cairo_new_path(c);
        dv_series_marker(c, label[i] < 0 ? 0 : (size_t)label[i], cx + x * RADIUS, cy - y * RADIUS,
                         r);
        cairo_fill(c);
    }
    dv_free(seen);
    return DMV_OK;
}

/* Colour of the class, dark enough to be seen among its points. */
static void ray_colour(cairo_t *c, size_t k)
{
    dv_rgb q = dv_series_colour(k);
    cairo_set_source_rgb(c, q.r * 0.7, q.g * 0.7, q.b * 0.7);
}

static void draw_rays(cairo_t *c, double cx, double cy, double (*dir)[2], size_t classes)
{
    cairo_set_line_cap(c, CAIRO_LINE_CAP_ROUND);
    for (size_t k = 0; k < classes; k++) {
        if (dir[k][0] == 0 && dir[k][1] == 0)
            continue;
        cairo_new_path(c);
        cairo_move_to(c, cx, cy);
        cairo_line_to(c, cx + dir[k][0] * RADIUS, cy - dir[k][1] * RADIUS);
        cairo_set_source_rgba(c, 1, 1, 1, 0.9);
        cairo_set_line_width(c, 6);
        cairo_stroke_preserve(c);
        ray_colour(c, k);
        cairo_set_line_width(c, 2.8);
        cairo_stroke(c);
    }
    cairo_set_line_cap(c, CAIRO_LINE_CAP_BUTT);
}

typedef struct box {
    double x, y, w, h;
} box;

/* Names at the ends of the rays. False, and nothing drawn, if they have no room: a class without
 * a ray, a long name, two that meet. */
static bool name_rays(cairo_t *c, double cx, double cy, double (*dir)[2], const char *const *names,
                      size_t classes, bool draw)
{
    box b[MAX_RAYS];
    char s[DV_PLOT_ROOM];

    if (classes > MAX_RAYS)
        return false;
    dv_set_font(c, NAME, false);
    for (size_t k = 0; k < classes; k++) {
        double w, x = cx + dir[k][0] * (RADIUS + 13), y = cy - dir[k][1] * (RADIUS + 13);
        if (dir[k][0] == 0 && dir[k][1] == 0)
            return false;
        dv_clean_text(names[k], s);
        w = dv_text_width(c, s);
        /* The box touches the circle of the names with the side that looks inwards. */
        b[k] = (box){x - w / 2 + dir[k][0] * w / 2, y - NAME / 2 - dir[k][1] * NAME / 2, w, NAME};
        if (b[k].x < 4 || b[k].x + w > DV_PLOT_WIDTH - 4)
            return false;
        for (size_t i = 0; i < k; i++)
            if (b[i].x < b[k].x + w + 6 && b[k].x < b[i].x + b[i].w + 6 &&
                b[i].y < b[k].y + NAME + 2 && b[k].y < b[i].y + NAME + 2)
                return false;
    }
    for (size_t k = 0; draw && k < classes; k++) {
        dv_clean_text(names[k], s);
        cairo_set_source_rgb(c, 0.1, 0.1, 0.1);
        cairo_move_to(c, b[k].x, b[k].y + NAME * 0.86);
        cairo_show_text(c, s);
    }
    return true;
}

static void draw_ground(cairo_t *c, double cx, double cy)
{
    cairo_set_dash(c, NULL, 0, 0);
    cairo_set_source_rgb(c, 0.88, 0.88, 0.88);
    cairo_set_line_width(c, 1);
    for (int i = 0; i < 4; i++) {
        double a = i * M_PI / 4;
        cairo_move_to(c, cx + cos(a) * RADIUS, cy + sin(a) * RADIUS);
        cairo_line_to(c, cx - cos(a) * RADIUS, cy - sin(a) * RADIUS);
    }
    cairo_stroke(c);
    cairo_new_path(c);
    cairo_arc(c, cx, cy, RADIUS, 0, 2 * M_PI);
    cairo_set_source_rgb(c, 0.35, 0.35, 0.35);
    cairo_set_line_width(c, 1.6);
    cairo_stroke(c);
}

dmv_status dv_sphere_write(const char *path, const float *xy, const int *label, size_t n,
                           const char *const *names, size_t classes, const float *centres,
                           const char *title, const char *note, dv_err *e)
{
    const double inner = DV_PLOT_WIDTH - 2 * DV_PLOT_EDGE;
    const char *words[DV_PLOT_MAX_SERIES + 2];
    dv_legend_item item[DV_PLOT_MAX_SERIES];
    double dir[DV_PLOT_MAX_SERIES][2], farthest = 0, y, cx = DV_PLOT_WIDTH / 2, cy;
    double legend_y, note_y;
    char head[DV_PLOT_ROOM], foot[DV_PLOT_ROOM];
    size_t items = 0, nwords = 0;
    int head_lines, foot_lines;
    bool at_rays;
    dv_canvas v;
    dmv_status s = check(xy, label, n, classes, e);

    if (!s)
        s = dv_canvas_open(&v, path, e);
    if (s)
        return s;
    for (size_t i = 0; i < n; i++) {
        double r = hypot(xy[2 * i], xy[2 * i + 1]);
        if (isfinite(r))
            farthest = DV_MAX(farthest, r);
    }
    directions(xy, label, n, centres, classes, dir);
    words[nwords++] = title;
    for (size_t k = 0; k < classes; k++) {
        if (!names)
            continue;
        item[items++] = (dv_legend_item){names[k], NULL, k, DV_POINTS};
        words[nwords++] = names[k];
    }
    words[nwords++] = note;
    dv_clean_text(title, head);
    dv_clean_text(note, foot);
    dv_set_font(v.c, DV_PLOT_TITLE, true);
    head_lines = dv_text_block(v.c, head, 0, 0, inner, DV_PLOT_TITLE * 1.2, 2, true, false);
    at_rays = names && name_rays(v.c, cx, 0, dir, names, classes, false);
    if (at_rays)
        items = 0;
    cy = DV_PLOT_EDGE + head_lines * DV_PLOT_TITLE * 1.2 + 12 + RADIUS + (at_rays ? NAME * 1.4 : 0);
    y = cy + RADIUS + 12 + (at_rays ? NAME * 1.4 : 0);
    legend_y = y;
    y += dv_legend(v.c, item, items, 0, false);
    dv_set_font(v.c, DV_PLOT_NOTE, false);
    foot_lines = dv_text_block(v.c, foot, 0, 0, inner, DV_PLOT_NOTE * 1.3, 4, false, false);
    note_y = y + 8 + DV_PLOT_NOTE;
    if (foot_lines)
        y += 8 + foot_lines * DV_PLOT_NOTE * 1.3;
    s = dv_canvas_size(&v, DV_PLOT_WIDTH, y + DV_PLOT_EDGE - 4, e);
    if (!s) {
        draw_ground(v.c, cx, cy);
        s = draw_points(v.c, cx, cy, farthest > 1.0001 ? 1 / farthest : 1, xy, label, n, e);
    }
    if (!s) {
        draw_rays(v.c, cx, cy, dir, classes);
        if (at_rays)
            name_rays(v.c, cx, cy, dir, names, classes, true);
        dv_legend(v.c, item, items, legend_y, true);
        cairo_set_source_rgb(v.c, 0.05, 0.05, 0.05);
        dv_set_font(v.c, DV_PLOT_TITLE, true);
        dv_text_block(v.c, head, cx, DV_PLOT_EDGE + DV_PLOT_TITLE * 0.8, inner, DV_PLOT_TITLE * 1.2,
                      2, true, true);
        cairo_set_source_rgb(v.c, 0.3, 0.3, 0.3);
        dv_set_font(v.c, DV_PLOT_NOTE, false);
        dv_text_block(v.c, foot, DV_PLOT_EDGE, note_y, inner, DV_PLOT_NOTE * 1.3, 4, false, true);
        s = dv_canvas_write(&v, path, words, nwords, e);
    }
    dv_canvas_close(&v);
    return s;
}
