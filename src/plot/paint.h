/* SPDX-License-Identifier: Apache-2.0
 *
 * paint.h - what charts share: a canvas that becomes an SVG or PNG file, colours, dashes and
 * markers of series, text that fits, the legend.
 */
#ifndef DV_PLOT_PAINT_H
#define DV_PLOT_PAINT_H

#include <cairo.h>

#include "plot/plot.h"

#define DV_PLOT_WIDTH 720.0
#define DV_PLOT_EDGE 18.0 /* nothing but ground on the rim of the picture */
#define DV_PLOT_TITLE 24.0
#define DV_PLOT_LABEL 21.0
#define DV_PLOT_TICK 19.0
#define DV_PLOT_NOTE 16.0
#define DV_PLOT_TEXT 512                 /* bytes of a text that are looked at */
#define DV_PLOT_ROOM (DV_PLOT_TEXT + 16) /* bytes of a buffer for it */

typedef struct dv_rgb {
    double r, g, b;
} dv_rgb;

typedef struct dv_canvas {
    bool svg;
    double w, h;
    cairo_surface_t *surface;
    cairo_t *c;
    dv_buf out; /* the file */
} dv_canvas;

/* svg or not by the ending of path. Until dv_canvas_size the canvas is for measuring text. */
dmv_status dv_canvas_open(dv_canvas *v, const char *path, dv_err *e);
dmv_status dv_canvas_size(dv_canvas *v, double w, double h, dv_err *e); /* white */
/* Ends the drawing and writes the file. words: n texts, NULL ones among them, of which the first
 * is the title; an SVG file carries them as text for readers of the screen and searches. */
dmv_status dv_canvas_write(dv_canvas *v, const char *path, const char *const *words, size_t n,
                           dv_err *e);
void dv_canvas_close(dv_canvas *v); /* in any state */

/* ---- text: s is UTF-8 without control characters in DV_PLOT_ROOM bytes ---- */
void dv_clean_text(const char *text, char *s); /* NULL = "" */
void dv_set_font(cairo_t *c, double size, bool bold);
double dv_text_width(cairo_t *c, const char *s);
/* Shortens s to at most `width`, an ellipsis marks the cut; returns the width. */
double dv_fit_text(cairo_t *c, char *s, double width);
/* Lines of at most `width`, broken at blanks, at most `lines` of them; returns how many. Drawn in
 * the current colour with the first line's foot at y, each centred about x or starting there; not
 * drawn with draw false. */
int dv_text_block(cairo_t *c, const char *s, double x, double y, double width, double leading,
                  int lines, bool centred, bool draw);

/* ---- looks of series ---- */
dv_rgb dv_series_colour(size_t i);
void dv_set_colour(cairo_t *c, dv_rgb k, double alpha);
void dv_series_dash(cairo_t *c, size_t i, double width); /* sets line width and dashes */
/* Adds the marker's path; fill it. */
void dv_series_marker(cairo_t *c, size_t i, double x, double y, double radius);

/* ---- legend ---- */
typedef struct dv_legend_item {
    const char *name;
    const char *remark; /* behind the name; NULL = none */
    size_t look;        /* of series i */
    dv_mark mark;
} dv_legend_item;
/* Height, and with draw true the drawing, of the items in columns across the picture below y. */
double dv_legend(cairo_t *c, const dv_legend_item *item, size_t n, double y, bool draw);

#endif
