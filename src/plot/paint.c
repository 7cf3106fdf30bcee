/* SPDX-License-Identifier: Apache-2.0
 *
 * paint.c - canvas, text, colours and legend of charts, through cairo.
 *
 * Letters become outlines, so that an SVG file looks the same everywhere; the words stand beside
 * them in <title> and <desc>. The colours are those of Okabe and Ito, "Color universal design"
 * (2008), without its yellow, which is too light for lines on white, and with a dark red.
 */
#include "plot/paint.h"

#include <cairo-svg.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#define FONT "sans"
#define ELLIPSIS "\xe2\x80\xa6"
#define PIXELS 2 /* of a PNG file a unit */

/* ---- canvas ---- */

static dmv_status cairo_fail(cairo_status_t s, dv_err *e)
{
    if (s == CAIRO_STATUS_NO_MEMORY)
        return dv_nomem(e);
    return dv_fail(e, DMV_ERR_UNSUPPORTED, "cannot draw the chart: %s", cairo_status_to_string(s));
}

static cairo_status_t put_bytes(void *to, const unsigned char *data, unsigned n)
{
    dv_buf *b = to;
    dv_buf_put(b, data, n);
    return b->bad ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

/* Takes the surface. Letters are grey and placed exactly, the same in both formats. */
static dmv_status use_surface(dv_canvas *v, cairo_surface_t *surface, dv_err *e)
{
    cairo_font_options_t *o;

    if (v->c)
        cairo_destroy(v->c);
    if (v->surface)
        cairo_surface_destroy(v->surface);
    v->surface = surface;
    v->c = cairo_create(surface);
    o = cairo_font_options_create();
    cairo_font_options_set_antialias(o, CAIRO_ANTIALIAS_GRAY);
    cairo_font_options_set_hint_style(o, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(o, CAIRO_HINT_METRICS_OFF);
    cairo_set_font_options(v->c, o);
    cairo_font_options_destroy(o);
    return cairo_status(v->c) ? cairo_fail(cairo_status(v->c), e) : DMV_OK;
}

dmv_status dv_canvas_open(dv_canvas *v, const char *path, dv_err *e)
{
    size_t n = path ? strlen(path) : 0;
    const char *end = n > 4 ? path + n - 4 : "";

    memset(v, 0, sizeof *v);
    if (strcasecmp(end, ".svg") && strcasecmp(end, ".png"))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "%s: charts are SVG or PNG files; give a name that ends in .svg or .png",
                       n ? path : "no file name");
    v->svg = !strcasecmp(end, ".svg");
    return use_surface(v, cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1), e);
}

dmv_status dv_canvas_size(dv_canvas *v, double w, double h, dv_err *e)
{
    cairo_surface_t *surface;
    dmv_status s;

    v->w = ceil(w);
    v->h = ceil(h);
    if (v->svg) {
        surface = cairo_svg_surface_create_for_stream(put_bytes, &v->out, v->w, v->h);
#if CAIRO_VERSION >= CAIRO_VERSION_ENCODE(1, 16, 0)
        if (!cairo_surface_status(surface))
            cairo_svg_surface_set_document_unit(surface, CAIRO_SVG_UNIT_PX);
#endif
    } else {
        surface =
            cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)v->w * PIXELS, (int)v->h * PIXELS);
    }
    s = use_surface(v, surface, e);
    if (s)
        return s;
    if (!v->svg)
        cairo_scale(v->c, PIXELS, PIXELS);
    cairo_set_source_rgb(v->c, 1, 1, 1);
    cairo_rectangle(v->c, 0, 0, v->w, v->h);
    cairo_fill(v->c);
    return DMV_OK;
}

static void put_xml(dv_buf *b, const char *text)
{
    char s[DV_PLOT_ROOM];

    dv_clean_text(text, s);
    for (const char *p = s; *p; p++) {
        switch (*p) {
        case '<':
            dv_buf_printf(b, "&lt;");
            break;
        case '>':
            dv_buf_printf(b, "&gt;");
            break;
        case '&':
            dv_buf_printf(b, "&amp;");
            break;
        default:
            dv_buf_put(b, p, 1);
        }
    }
}

/* The file that cairo made, with the words behind its first tag. */
static void add_words(dv_buf *out, const dv_buf *file, const char *const *words, size_t n)
{
    const uint8_t *tag = memmem(file->data, file->size, "<svg", 4);
    const uint8_t *end = tag ? memchr(tag, '>', file->size - (size_t)(tag - file->data)) : NULL;
    size_t head = end ? (size_t)(end - file->data) + 1 : 0;
    bool any = false;

    dv_buf_put(out, file->data, head);
    if (head && words[0] && *words[0]) {
        dv_buf_printf(out, "\n<title>");
        put_xml(out, words[0]);
        dv_buf_printf(out, "</title>");
    }
    for (size_t i = 1; head && i < n; i++) {
        if (!words[i] || !*words[i])
            continue;
        dv_buf_printf(out, any ? "; " : "\n<desc>");
        put_xml(out, words[i]);
        any = true;
    }
    if (any)
        dv_buf_printf(out, "</desc>");
    dv_buf_put(out, file->data + head, file->size - head);
}

dmv_status dv_canvas_write(dv_canvas *v, const char *path, const char *const *words, size_t n,
                           dv_err *e)
{
    cairo_status_t k = cairo_status(v->c);
    dv_buf file = {0};
    dmv_status s;

    if (!k && v->svg) {
        cairo_surface_finish(v->surface);
        k = cairo_surface_status(v->surface);
    } else if (!k) {
        k = cairo_surface_write_to_png_stream(v->surface, put_bytes, &v->out);
    }
    if (v->out.bad)
        return dv_nomem(e);
    if (k)
        return cairo_fail(k, e);
    if (!v->svg)
        return dv_write_file(path, v->out.data, v->out.size, e);
    add_words(&file, &v->out, words, n);
    s = file.bad ? dv_nomem(e) : dv_write_file(path, file.data, file.size, e);
    dv_buf_free(&file);
    return s;
}

void dv_canvas_close(dv_canvas *v)
{
    if (v->c)
        cairo_destroy(v->c);
    if (v->surface)
        cairo_surface_destroy(v->surface); /* may still write to out */
    dv_buf_free(&v->out);
    memset(v, 0, sizeof *v);
}

/* ---- text ---- */

void dv_clean_text(const char *text, char *out)
{
    const uint8_t *s = (const uint8_t *)(text ? text : "");
    size_t o = 0;

    while (*s && o < DV_PLOT_TEXT) {
        size_t n = dv_utf8_length((const char *)s);
        bool xml = !(n == 3 && s[0] == 0xef && s[1] == 0xbf && s[2] > 0xbd); /* U+FFFE, U+FFFF */
        if (n == 0 || !xml) {
            memcpy(out + o, "\xef\xbf\xbd", 3);
            o += 3;
            s += DV_MAX(n, 1);
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

void dv_set_font(cairo_t *c, double size, bool bold)
{
    cairo_select_font_face(c, FONT, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c, size);
}

double dv_text_width(cairo_t *c, const char *s)
{
    cairo_text_extents_t t;
    cairo_text_extents(c, s, &t);
    return t.x_advance;
}

/* Bytes of the longest beginning of s, of whole characters, that is at most `width`. */
static size_t fitting(cairo_t *c, const char *s, double width)
{
    char part[DV_PLOT_ROOM];
    uint16_t end[DV_PLOT_ROOM]; /* of each character */
    size_t lo = 0, hi = 0;

    end[0] = 0;
    for (size_t i = 1; i <= strlen(s); i++)
        if (((uint8_t)s[i] & 0xc0) != 0x80)
            end[++hi] = (uint16_t)i;
    while (lo < hi) {
        size_t mid = lo + (hi - lo + 1) / 2;
        memcpy(part, s, end[mid]);
        part[end[mid]] = 0;
        if (dv_text_width(c, part) <= width)
            lo = mid;
        else
            hi = mid - 1;
    }
    return end[lo];
}

double dv_fit_text(cairo_t *c, char *s, double width)
{
    double w = dv_text_width(c, s);
    size_t n;

    if (w <= width)
        return w;
    n = fitting(c, s, width - dv_text_width(c, ELLIPSIS));
    while (n > 0 && s[n - 1] == ' ')
        n--;
    memcpy(s + n, ELLIPSIS, 4);
    return dv_text_width(c, s);
}

int dv_text_block(cairo_t *c, const char *s, double x, double y, double width, double leading,
                  int lines, bool centred, bool draw)
{
    char line[DV_PLOT_ROOM];
    int n = 0;

    while (*s == ' ')
        s++;
    for (; *s && n < lines; n++, y += leading) {
        size_t all = strlen(s), take = fitting(c, s, width), cut = take;
        double w;

        while (cut > 0 && cut < all && s[cut] != ' ')
            cut--;
        if (cut == 0) /* one long word */
            cut = DV_MAX(take, 1);
        while (((uint8_t)s[cut] & 0xc0) == 0x80)
            cut++;
        if (n == lines - 1)
            cut = all;
        memcpy(line, s, cut);
        line[cut] = 0;
        w = dv_fit_text(c, line, width);
        if (draw) {
            cairo_move_to(c, centred ? x - w / 2 : x, y);
            cairo_show_text(c, line);
        }
        for (s += cut; *s == ' ';)
            s++;
    }
    return n;
}

/* ---- looks ---- */

static const dv_rgb palette[] = {
    {0.000, 0.447, 0.698}, /* blue */
    {0.835, 0.369, 0.000}, /* vermilion */
    {0.000, 0.620, 0.451}, /* green */
    {0.800, 0.475, 0.655}, /* pink */
    {0.000, 0.000, 0.000}, /* black */
    {0.902, 0.624, 0.000}, /* orange */
    {0.337, 0.706, 0.914}, /* light blue */
    {0.533, 0.133, 0.333}, /* dark red */
};

/* In widths of the line, drawn and left out in turn. */
static const double dashes[][6] = {
    {0},
    {5, 2},
    {1.3, 1.5},
    {7, 1.8, 1.5, 1.8},
    {10, 2.5},
    {3, 1.5},
    {7, 1.6, 1.4, 1.6, 1.4, 1.6},
    {10, 1.8, 3.2, 1.8},
};

dv_rgb dv_series_colour(size_t i)
{
    return palette[i % DV_COUNT(palette)];
}

void dv_set_colour(cairo_t *c, dv_rgb k, double alpha)
{
    cairo_set_source_rgba(c, k.r, k.g, k.b, alpha);
}

void dv_series_dash(cairo_t *c, size_t i, double width)
{
    /* The second round of colours comes with other dashes. */
    const double *d = dashes[(i + i / DV_COUNT(palette)) % DV_COUNT(dashes)];
    double scaled[6];
    int n = 0;

    for (; n < 6 && d[n] > 0; n++)
        scaled[n] = d[n] * width;
    cairo_set_line_width(c, width);
    cairo_set_line_cap(c, CAIRO_LINE_CAP_BUTT);
    cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(c, scaled, n, 0);
}

static void polygon(cairo_t *c, const double (*p)[2], int n, double x, double y, double r)
{
    for (int i = 0; i < n; i++)
        cairo_line_to(c, x + p[i][0] * r, y + p[i][1] * r);
    cairo_close_path(c);
}

void dv_series_marker(cairo_t *c, size_t i, double x, double y, double r)
{
    static const double square[][2] = {{-.9, -.9}, {.9, -.9}, {.9, .9}, {-.9, .9}};
    static const double up[][2] = {{0, -1.25}, {1.15, .85}, {-1.15, .85}};
    static const double down[][2] = {{0, 1.25}, {1.15, -.85}, {-1.15, -.85}};
    static const double diamond[][2] = {{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}};
    static const double plus[][2] = {{-.4, -1.2}, {.4, -1.2}, {.4, -.4},   {1.2, -.4},
                                     {1.2, .4},   {.4, .4},   {.4, 1.2},   {-.4, 1.2},
                                     {-.4, .4},   {-1.2, .4}, {-1.2, -.4}, {-.4, -.4}};
    static const double cross[][2] = {{0, -.57},    {.57, -1.13}, {1.13, -.57},  {.57, 0},
                                      {1.13, .57},  {.57, 1.13},  {0, .57},      {-.57, 1.13},
                                      {-1.13, .57}, {-.57, 0},    {-1.13, -.57}, {-.57, -1.13}};
    static const double bar[][2] = {{-1.4, -.55}, {1.4, -.55}, {1.4, .55}, {-1.4, .55}};

    cairo_new_sub_path(c);
    switch ((i + i / DV_COUNT(palette)) % 8) {
    case 0:
        cairo_arc(c, x, y, r, 0, 2 * M_PI);
        cairo_close_path(c);
        break;
    case 1:
        polygon(c, square, 4, x, y, r);
        break;
    case 2:
        polygon(c, up, 3, x, y, r);
        break;
    case 3:
        polygon(c, diamond, 4, x, y, r);
        break;
    case 4:
        polygon(c, plus, 12, x, y, r);
        break;
    case 5:
        polygon(c, down, 3, x, y, r);
        break;
    case 6:
        polygon(c, cross, 12, x, y, r);
        break;
    default:
        polygon(c, bar, 4, x, y, r);
    }
}

/* ---- legend ---- */

#define SAMPLE 54.0 /* width of a drawn example */
#define ROW 29.0

/* Bytes that all names begin with, up to a sign between words: folders, mostly. 0 if one name
 * would have nothing left. */
static size_t shared(const dv_legend_item *item, size_t n)
{
    size_t same = 0;
    bool all = n > 1;

    for (size_t i = 0; i < n; i++)
        if (!item[i].name)
            return 0;
    for (size_t at = 0; all && item[0].name[at]; at++) {
        for (size_t i = 1; i < n; i++)
            all = all && item[i].name[at] == item[0].name[at];
        if (all && strchr("/\\ _-.:", item[0].name[at]))
            same = at + 1;
    }
    for (size_t i = 0; i < n; i++)
        if (!item[i].name[same])
            return 0;
    return same;
}

/* Without its first `skip` bytes, which an ellipsis stands for. */
static void item_text(const dv_legend_item *it, size_t skip, char *s)
{
    const char *name = it->name ? it->name + skip : "", *remark = it->remark ? it->remark : "";
    char whole[DV_PLOT_ROOM];
    size_t n = strlen(name);

    if (n > DV_PLOT_TEXT - 64) { /* the end tells more than the middle */
        name += n - (DV_PLOT_TEXT - 64);
        while (((uint8_t)*name & 0xc0) == 0x80)
            name++;
        skip++;
    }
    snprintf(whole, sizeof whole, "%s%.*s%s", skip ? ELLIPSIS : "", DV_PLOT_TEXT - 64, name,
             remark);
    dv_clean_text(whole, s);
}

/* Shortens s in its middle: names of nets differ at both ends. */
static void fit_middle(cairo_t *c, char *s, double width)
{
    char part[DV_PLOT_ROOM];
    uint16_t end[DV_PLOT_ROOM];
    size_t n = 0, size = strlen(s), lo = 0, hi;

    if (dv_text_width(c, s) <= width)
        return;
    end[0] = 0;
    for (size_t i = 1; i <= size; i++)
        if (((uint8_t)s[i] & 0xc0) != 0x80)
            end[++n] = (uint16_t)i;
    hi = n - 1;
    for (;;) { /* the most characters that fit */
        size_t keep = lo + (hi - lo + 1) / 2, head = end[keep / 2];
        const char *tail = s + end[n - (keep - keep / 2)];

        snprintf(part, sizeof part, "%.*s" ELLIPSIS "%s", (int)head, s, tail);
        if (lo >= hi)
            break;
        if (dv_text_width(c, part) <= width)
            lo = keep;
        else
            hi = keep - 1;
    }
    memcpy(s, part, strlen(part) + 1);
}

static void draw_sample(cairo_t *c, const dv_legend_item *it, double x, double y)
{
    dv_rgb k = dv_series_colour(it->look);
    bool box = it->mark == DV_BARS || it->mark == DV_AREA;

    cairo_new_path(c);
    if (it->mark == DV_POINTS) {
        dv_set_colour(c, k, 1);
        dv_series_marker(c, it->look, x + SAMPLE / 2, y, 6.5);
        cairo_fill(c);
        return;
    }
    if (box) {
        cairo_rectangle(c, x + 1, y - 8, SAMPLE - 2, 16);
        dv_set_colour(c, k, 0.35);
        cairo_fill_preserve(c);
    } else {
        cairo_move_to(c, x, y);
        cairo_line_to(c, x + SAMPLE, y);
    }
    dv_series_dash(c, it->look, box ? 2.2 : 3.4);
    dv_set_colour(c, k, 1);
    cairo_stroke(c);
    cairo_set_dash(c, NULL, 0, 0);
}

double dv_legend(cairo_t *c, const dv_legend_item *item, size_t n, double y, bool draw)
{
    const double whole = DV_PLOT_WIDTH - 2 * DV_PLOT_EDGE, gap = 24, to_text = SAMPLE + 10;
    char s[DV_PLOT_ROOM];
    double widest, column;
    size_t columns, rows, skip = 0;

    if (n == 0)
        return 0;
    dv_set_font(c, DV_PLOT_TICK, false);
    for (int turn = 0; turn < 2; turn++) { /* without what all begin with, if that makes room */
        widest = 0;
        for (size_t i = 0; i < n; i++) {
            item_text(&item[i], skip, s);
            widest = DV_MAX(widest, dv_text_width(c, s));
        }
        if (widest <= (n > 8 ? whole / 2 : whole) - to_text - gap || turn)
            break;
        skip = shared(item, n);
    }
    columns = (size_t)((whole + gap) / (to_text + widest + gap));
    columns = DV_MIN(DV_MAX(columns, n > 16 ? 2 : 1), n);
    rows = (n - 1) / columns + 1;
    columns = (n - 1) / rows + 1;
    column = (whole + gap) / (double)columns;
    for (size_t i = 0; draw && i < n; i++) {
        double x = DV_PLOT_EDGE + (double)(i / rows) * column;
        double at = y + ((double)(i % rows) + 0.5) * ROW;

        draw_sample(c, &item[i], x, at);
        item_text(&item[i], skip, s);
        dv_set_font(c, DV_PLOT_TICK, false);
        fit_middle(c, s, column - to_text - gap);
        cairo_set_source_rgb(c, 0.1, 0.1, 0.1);
        cairo_move_to(c, x + to_text, at + DV_PLOT_TICK * 0.36);
        cairo_show_text(c, s);
    }
    return (double)rows * ROW;
}
