/* SPDX-License-Identifier: Apache-2.0
 *
 * draw.c - faces marked on a picture, and sheets of pictures, through cairo. All sizes follow
 * the picture and the face: a group photo of twelve megapixels and a crop of 112 pixels are both
 * to be read at a glance. Lines have a dark halo, so that they stand out on light and dark
 * ground; names stand in a filled tag that never leaves the picture.
 *
 * Pixels that are not drawn on keep their values.
 */
#include "image/codec.h"

#ifdef DV_HAVE_CAIRO
#include <math.h>
#include <string.h>

#include <cairo.h>

#define FONT "sans"
#define MAX_TEXT 240 /* bytes of a label that are looked at */
#define MIN_FONT 6.0 /* pixels; smaller letters cannot be read and are left out */
#define ELLIPSIS "\xe2\x80\xa6"

/* ---- pixels to cairo and back ---- */

typedef struct canvas {
    uint32_t *px; /* xRGB, native byte order: CAIRO_FORMAT_RGB24 */
    int w, h;
    cairo_surface_t *surface;
    cairo_t *c;
} canvas;

static void canvas_close(canvas *v)
{
    if (v->c)
        cairo_destroy(v->c);
    if (v->surface)
        cairo_surface_destroy(v->surface);
    dv_free(v->px);
    memset(v, 0, sizeof *v);
}

static dmv_status cairo_fail(cairo_status_t s, dv_err *e)
{
    if (s == CAIRO_STATUS_NO_MEMORY)
        return dv_nomem(e);
    return dv_fail(e, DMV_ERR_UNSUPPORTED, "cannot draw: %s", cairo_status_to_string(s));
}

/* from: the first pixels, RGB, w * h of them; NULL = one grey level. */
static dmv_status canvas_open(canvas *v, const uint8_t *from, uint8_t level, int w, int h,
                              dv_err *e)
{
    const size_t n = (size_t)w * (size_t)h;

    memset(v, 0, sizeof *v);
    v->w = w;
    v->h = h;
    v->px = dv_malloc(n * 4);
    if (!v->px)
        return dv_nomem(e);
    for (size_t i = 0; i < n; i++)
        v->px[i] =
            from ? (uint32_t)from[3 * i] << 16 | (uint32_t)from[3 * i + 1] << 8 | from[3 * i + 2]
                 : level * 0x010101u;
    v->surface = cairo_image_surface_create_for_data((unsigned char *)v->px, CAIRO_FORMAT_RGB24, w,
                                                     h, w * 4);
    v->c = cairo_create(v->surface);
    if (cairo_status(v->c)) {
        dmv_status s = cairo_fail(cairo_status(v->c), e);
        canvas_close(v);
        return s;
    }
    return DMV_OK;
}

static dmv_status canvas_read(canvas *v, uint8_t *rgb, dv_err *e)
{
    const size_t n = (size_t)v->w * (size_t)v->h;

    cairo_surface_flush(v->surface);
    if (cairo_status(v->c))
        return cairo_fail(cairo_status(v->c), e);
    for (size_t i = 0; i < n; i++) {
        rgb[3 * i] = (uint8_t)(v->px[i] >> 16);
        rgb[3 * i + 1] = (uint8_t)(v->px[i] >> 8);
        rgb[3 * i + 2] = (uint8_t)v->px[i];
    }
    return DMV_OK;
}

/* ---- text ---- */

/* Cairo stops drawing for good at bad UTF-8: replaced by U+FFFD; control characters by blanks.
 * out holds MAX_TEXT + 8 bytes. */
static void clean_text(const char *text, char *out)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t o = 0;

    while (*s && o < MAX_TEXT) {
        size_t n = dv_utf8_length((const char *)s);
        if (n == 0) {
            memcpy(out + o, "\xef\xbf\xbd", 3);
            o += 3;
            s++;
        } else if (n == 1) {
            out[o++] = *s < 0x20 || *s == 0x7f ? ' ' : (char)*s;
            s++;
        } else {
            memcpy(out + o, s, n);
            o += n;
            s += n;
        }
    }
    memcpy(out + o, *s ? ELLIPSIS : "", *s ? 4 : 1);
}

static void set_font(cairo_t *c, double size, bool bold)
{
    cairo_select_font_face(c, FONT, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, size);
}

static double text_width(cairo_t *c, const char *s)
{
    cairo_text_extents_t t;
    cairo_text_extents(c, s, &t);
    return t.x_advance;
}

/* Shortens s (MAX_TEXT + 8 bytes) until it is at most `width` wide; an ellipsis marks the cut. */
static double fit_text(cairo_t *c, char *s, double width)
{
    double w = text_width(c, s);
    size_t n = strlen(s);

    while (w > width && n > 0) {
        do
            n--;
        while (n > 0 && ((uint8_t)s[n] & 0xc0) == 0x80);
        while (n > 0 && s[n - 1] == ' ')
            n--;
        memcpy(s + n, ELLIPSIS, 4);
        w = text_width(c, s);
    }
    return w;
}

/* ---- faces ---- */

typedef struct rgb {
    double r, g, b;
} rgb;

static rgb colour_of(int good)
{
    if (good > 0)
        return (rgb){0.13, 0.77, 0.37};
    if (good < 0)
        return (rgb){0.94, 0.27, 0.23};
    return (rgb){1.00, 0.75, 0.10};
}

typedef struct rect {
    double x, y, w, h;
} rect;

static void rounded(cairo_t *c, rect b, double radius)
{
    double r = DV_MIN(radius, DV_MIN(b.w, b.h) / 2);
    cairo_new_sub_path(c);
    cairo_arc(c, b.x + b.w - r, b.y + r, r, -M_PI / 2, 0);
    cairo_arc(c, b.x + b.w - r, b.y + b.h - r, r, 0, M_PI / 2);
    cairo_arc(c, b.x + r, b.y + b.h - r, r, M_PI / 2, M_PI);
    cairo_arc(c, b.x + r, b.y + r, r, M_PI, 1.5 * M_PI);
    cairo_close_path(c);
}

static double clamp(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* The box in the range that cairo's 24.8 fixed point can hold; false if it is no box. */
static bool box_of(const dmv_face *f, const canvas *v, rect *b)
{
    double x0 = f->box[0], y0 = f->box[1], x1 = x0 + f->box[2], y1 = y0 + f->box[3];
    if (!isfinite(x0) || !isfinite(y0) || !isfinite(x1) || !isfinite(y1) || x1 <= x0 || y1 <= y0)
        return false;
    x0 = clamp(x0, -v->w, 2.0 * v->w);
    y0 = clamp(y0, -v->h, 2.0 * v->h);
    x1 = clamp(x1, -v->w, 2.0 * v->w);
    y1 = clamp(y1, -v->h, 2.0 * v->h);
    *b = (rect){x0, y0, x1 - x0, y1 - y0};
    return b->w > 0 && b->h > 0;
}

/* Width of lines, pixels. */
static double line_of(const canvas *v, rect b)
{
    double by_picture = clamp(DV_MIN(v->w, v->h) / 280.0, 1.6, 24);
    double by_face = DV_MAX(1.4, DV_MIN(b.w, b.h) * 0.03);
    return DV_MIN(by_picture, by_face);
}

static void draw_box(canvas *v, rect b, rgb k)
{
    double line = line_of(v, b), radius = DV_MIN(b.w, b.h) * 0.09;
    double halo = line + 2 * DV_MAX(0.8, line * 0.35);

    rounded(v->c, b, radius);
    cairo_set_source_rgba(v->c, 0, 0, 0, 0.5);
    cairo_set_line_width(v->c, halo);
    cairo_stroke_preserve(v->c);
    cairo_set_source_rgb(v->c, k.r, k.g, k.b);
    cairo_set_line_width(v->c, line);
    cairo_stroke(v->c);
}

static void draw_landmarks(canvas *v, const dmv_face *f, rect b)
{
    double line = line_of(v, b);
    double r = clamp(DV_MIN(b.w, b.h) * 0.02, 0.9, line * 1.4);

    for (int i = 0; i < 5; i++) {
        double x = f->landmarks[i][0], y = f->landmarks[i][1];
        if (!isfinite(x) || !isfinite(y) || x < 0 || y < 0 || x > v->w || y > v->h)
            continue;
        cairo_new_path(v->c);
        cairo_arc(v->c, x, y, r + DV_MAX(0.7, r * 0.45), 0, 2 * M_PI);
        cairo_set_source_rgba(v->c, 0, 0, 0, 0.55);
        cairo_fill(v->c);
        cairo_arc(v->c, x, y, r, 0, 2 * M_PI);
        cairo_set_source_rgb(v->c, 1, 1, 1);
        cairo_fill(v->c);
    }
}

static bool overlap(rect a, rect b)
{
    return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

/* Below the box, else above it, else on its lower or upper edge inside: the first place that is
 * in the picture and free of the tags so far; below (moved into the picture) if none is. */
static rect place_tag(const canvas *v, rect box, double w, double h, double gap, const rect *taken,
                      size_t n)
{
    double x = clamp(box.x + (box.w - w) / 2, 0, v->w - w);
    double ys[4] = {box.y + box.h + gap, box.y - gap - h, box.y + box.h - gap - h, box.y + gap};

    for (size_t i = 0; i < DV_COUNT(ys); i++) {
        rect t = {x, ys[i], w, h};
        bool free_place = t.y >= 0 && t.y + h <= v->h;
        for (size_t j = 0; free_place && j < n; j++)
            free_place = !overlap(t, taken[j]);
        if (free_place)
            return t;
    }
    return (rect){x, clamp(ys[0], 0, v->h - h), w, h};
}

/* Returns where it was put; no width if there is no room for letters that can be read. */
static rect draw_tag(canvas *v, rect box, const char *text, rgb k, const rect *taken, size_t n)
{
    const rect none = {0, 0, 0, 0};
    char s[MAX_TEXT + 8];
    cairo_font_extents_t fe;
    double font = clamp(DV_MIN(v->w, v->h) / 34.0, 12, 220), pad, w, h, line = line_of(v, box);
    rect t;

    font = DV_MIN(font, DV_MAX(12, box.w * 0.2)); /* small faces in a crowd */
    font = DV_MIN(font, v->h * 0.25);             /* tiny pictures */
    if (font < MIN_FONT)
        return none;
    clean_text(text, s);
    set_font(v->c, font, true);
    pad = font * 0.36;
    if (text_width(v->c, s) + 2 * pad > v->w && font > 10) {
        font = DV_MAX(10, font * (v->w - 2 * pad) / (text_width(v->c, s) + 1));
        set_font(v->c, font, true);
        pad = font * 0.36;
    }
    w = fit_text(v->c, s, v->w - 2 * pad) + 2 * pad;
    cairo_font_extents(v->c, &fe);
    h = fe.ascent + fe.descent + pad * 0.5;
    if (w > v->w || h > v->h)
        return none;
    t = place_tag(v, box, w, h, line * 1.5, taken, n);
    t.x = floor(t.x);
    t.y = floor(t.y);
    rounded(v->c, t, font * 0.28);
    cairo_set_source_rgb(v->c, k.r, k.g, k.b);
    cairo_fill(v->c);
    cairo_set_source_rgb(v->c, 0.07, 0.07, 0.07);
    cairo_move_to(v->c, t.x + pad, floor(t.y + (h - fe.ascent - fe.descent) / 2 + fe.ascent + 0.5));
    cairo_show_text(v->c, s);
    return t;
}

/* Grey smoothing: colour fringes would look wrong once the picture is scaled. */
static dmv_status plain_letters(canvas *v, dv_err *e)
{
    cairo_font_options_t *o = cairo_font_options_create();
    cairo_status_t s = cairo_font_options_status(o);

    cairo_font_options_set_antialias(o, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_metrics(o, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(v->c, o);
    cairo_font_options_destroy(o);
    return s ? cairo_fail(s, e) : DMV_OK;
}

dmv_status dv_draw_faces(dv_picture *p, const dv_label *labels, size_t n, dv_err *e)
{
    canvas v;
    rect *tags = NULL, b;
    size_t ntags = 0;
    dmv_status s = dv_check_picture(p, e);

    if (s || n == 0)
        return s;
    s = canvas_open(&v, p->pixels, 0, p->width, p->height, e);
    if (s)
        return s;
    tags = dv_calloc(n, sizeof *tags);
    s = tags ? plain_letters(&v, e) : dv_nomem(e);
    for (size_t i = 0; !s && i < n; i++) {
        if (!box_of(&labels[i].face, &v, &b))
            continue;
        draw_box(&v, b, colour_of(labels[i].good));
        if (labels[i].face.has_landmarks)
            draw_landmarks(&v, &labels[i].face, b);
    }
    for (size_t i = 0; !s && i < n; i++) { /* names last: no box crosses them */
        if (!labels[i].text || !*labels[i].text || !box_of(&labels[i].face, &v, &b))
            continue;
        tags[ntags] = draw_tag(&v, b, labels[i].text, colour_of(labels[i].good), tags, ntags);
        ntags += tags[ntags].w > 0;
    }
    if (!s)
        s = canvas_read(&v, p->pixels, e);
    dv_free(tags);
    canvas_close(&v);
    return s;
}

/* ---- sheets ---- */

/* One picture scaled into the square at (x, y), in its middle. */
static dmv_status draw_cell(canvas *v, const dv_picture *p, double x, double y, int cell, dv_err *e)
{
    canvas in;
    dmv_status s = dv_check_picture(p, e);
    double k, w, h;

    if (!s)
        s = canvas_open(&in, p->pixels, 0, p->width, p->height, e);
    if (s)
        return s;
    k = DV_MIN((double)cell / p->width, (double)cell / p->height);
    w = DV_MAX(1, floor(p->width * k + 0.5));
    h = DV_MAX(1, floor(p->height * k + 0.5));
    x += floor((cell - w) / 2);
    y += floor((cell - h) / 2);
    cairo_save(v->c);
    cairo_translate(v->c, x, y);
    cairo_rectangle(v->c, 0, 0, w, h);
    cairo_clip(v->c);
    cairo_scale(v->c, w / p->width, h / p->height);
    cairo_set_source_surface(v->c, in.surface, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(v->c), CAIRO_FILTER_GOOD);
    cairo_pattern_set_extend(cairo_get_source(v->c), CAIRO_EXTEND_PAD);
    cairo_paint(v->c);
    cairo_restore(v->c);
    /* The canvas may keep a reference to the surface; its pixels go away now. */
    cairo_set_source_rgb(v->c, 0, 0, 0);
    cairo_surface_finish(in.surface);
    if (cairo_status(v->c))
        s = cairo_fail(cairo_status(v->c), e);
    canvas_close(&in);
    return s;
}

static void draw_caption(canvas *v, const char *text, double x, double y, double width, double font)
{
    char s[MAX_TEXT + 8];
    double w;
    cairo_font_extents_t fe;

    clean_text(text, s);
    set_font(v->c, font, false);
    w = fit_text(v->c, s, width);
    if (w > width)
        return;
    cairo_font_extents(v->c, &fe);
    cairo_set_source_rgb(v->c, 0.1, 0.1, 0.1);
    cairo_move_to(v->c, floor(x + (width - w) / 2), floor(y + fe.ascent));
    cairo_show_text(v->c, s);
}

dmv_status dv_draw_sheet(const dv_picture *p, const char *const *captions, size_t n, int columns,
                         int cell, dv_picture *out, dv_err *e)
{
    const dv_limits lim = {DV_IMAGE_MAX_SIDE, DV_IMAGE_MAX_PIXELS};
    canvas v;
    uint8_t *rgb_pixels;
    double font, strip;
    uint64_t gap, step_y, rows, w, h;
    dmv_status s;

    memset(out, 0, sizeof *out);
    if (n == 0 || !p)
        return dv_fail(e, DMV_ERR_ARGUMENT, "a sheet needs at least one picture");
    if (columns < 1 || columns > 1000 || cell < 16 || cell > 4096)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "a sheet has 1 to 1000 columns and cells of 16 to 4096 pixels, not %d and "
                       "%d",
                       columns, cell);
    if ((size_t)columns > n)
        columns = (int)n;
    font = clamp(cell / 12.0, 9, 96);
    strip = captions ? ceil(font * 1.5) : 0;
    gap = (uint64_t)DV_MAX(4, cell / 16);
    step_y = (uint64_t)cell + (uint64_t)strip + gap;
    rows = (n - 1) / (size_t)columns + 1;
    w = (uint64_t)columns * ((uint64_t)cell + gap) + gap;
    h = rows > DV_IMAGE_MAX_SIDE ? rows : rows * step_y + gap;
    s = dv_check_size(w, h, "sheet", &lim, e);
    if (s)
        return s;
    s = canvas_open(&v, NULL, 244, (int)w, (int)h, e);
    if (s)
        return s;
    s = plain_letters(&v, e);
    for (size_t i = 0; !s && i < n; i++) {
        double x = (double)(gap + i % (size_t)columns * ((uint64_t)cell + gap));
        double y = (double)(gap + i / (size_t)columns * step_y);
        s = draw_cell(&v, &p[i], x, y, cell, e);
        if (!s && captions && captions[i])
            draw_caption(&v, captions[i], x, y + cell + font * 0.2, cell, font);
    }
    rgb_pixels = s ? NULL : dv_malloc((size_t)(w * h * 3));
    if (!s && !rgb_pixels)
        s = dv_nomem(e);
    if (!s)
        s = canvas_read(&v, rgb_pixels, e);
    canvas_close(&v);
    if (s) {
        dv_free(rgb_pixels);
        return s;
    }
    out->pixels = rgb_pixels;
    out->width = (int)w;
    out->height = (int)h;
    return DMV_OK;
}

#else /* !DV_HAVE_CAIRO */

static dmv_status no_cairo(dv_err *e)
{
    return dv_fail(e, DMV_ERR_UNSUPPORTED, "this build cannot draw; rebuild it with cairo");
}

dmv_status dv_draw_faces(dv_picture *p, const dv_label *labels, size_t n, dv_err *e)
{
    return no_cairo(e);
}

dmv_status dv_draw_sheet(const dv_picture *p, const char *const *captions, size_t n, int columns,
                         int cell, dv_picture *out, dv_err *e)
{
    *out = (dv_picture){0};
    return no_cairo(e);
}
#endif
