/* SPDX-License-Identifier: Apache-2.0
 *
 * preprocess.c - pixels to the input of a net: checks of a picture, resizing, and
 * channel order, mean and scale.
 *
 * Resizing works in strips of BLOCK output columns, so that everything it keeps fits a
 * small stack frame and nothing is allocated. A strip walks down the picture; the last
 * two source rows, already interpolated across, are kept for the interpolation down.
 * When a side shrinks by s >= 2, floor(s) source pixels are averaged into one first and
 * the rest (1 <= ratio < 2) is bilinear; at s = 2 both are the same.
 *
 * Between the steps a pixel is four 16-bit lanes (red, green, blue, nothing) in one 64-bit
 * word: weights add up to 256, so a lane never carries into the next and one multiplication
 * weighs a whole pixel.
 */
#include <math.h>
#include <string.h>

#include "face/face.h"

enum {
    BLOCK = 128,           /* output columns of a strip */
    VCOLS = 2 * BLOCK + 4, /* averaged source columns that a strip reads at most */
    ACC = 1536,            /* bytes of a source row summed at a time */
    TAPS = 256             /* samples averaged along one side: 256 * 255 fits 16 bits */
};

typedef struct pixel_layout {
    int step, r, g, b; /* bytes per pixel, offsets of the colours */
} pixel_layout;

static const pixel_layout layouts[] = {
    [DMV_PIXEL_RGB8] = {3, 0, 1, 2},
    [DMV_PIXEL_BGR8] = {3, 2, 1, 0},
    [DMV_PIXEL_GRAY8] = {1, 0, 0, 0},
    [DMV_PIXEL_RGBA8] = {4, 0, 1, 2},
};

int dv_image_channels(dmv_pixel_format f)
{
    return (size_t)f < DV_COUNT(layouts) ? layouts[f].step : 0;
}

dmv_status dv_image_check(const dmv_image *img, dv_err *e)
{
    if (!img || !img->pixels) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "the picture is NULL");
    }
    if (img->width < 1 || img->height < 1 || img->width > DV_IMAGE_SIDE ||
        img->height > DV_IMAGE_SIDE) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "picture of %d x %d: sides must be 1 to %d", img->width,
                       img->height, DV_IMAGE_SIDE);
    }
    int ch = dv_image_channels(img->format);
    if (!ch) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "unknown pixel format %d", (int)img->format);
    }
    size_t row = (size_t)img->width * (size_t)ch;
    if (img->stride < row) {
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "row stride of %zu bytes is less than the %zu of one row", img->stride, row);
    }
    return DMV_OK;
}

/* ---- resizing ---- */

/* One side of a resize: output i reads averaged pixel floor(pos) and the next one, where
 * averaged pixel j is the mean of source pixels origin + j * factor + t * gap, t < taps. */
typedef struct axis {
    int origin, factor, taps, gap, limit;
    double scale, shift; /* pos = i * scale + shift */
} axis;

static axis axis_make(float start, float extent, int n, int limit)
{
    axis a;
    /* Regions come from detector boxes: keep them in a range where int cannot overflow. */
    double s0 = isfinite(start) ? fmin(fmax(start, -65536.0), 65536.0) : 0;
    double len = isfinite(extent) ? fmin(fmax(extent, 1e-3), 131072.0) : limit;
    double s = len / n;
    a.origin = (int)floor(s0);
    a.factor = s >= 2 ? (int)s : 1;
    a.gap = (a.factor + TAPS - 1) / TAPS;
    a.taps = a.factor / a.gap;
    a.limit = limit;
    a.scale = s / a.factor;
    a.shift = (s0 + 0.5 * s - a.origin) / a.factor - 0.5;
    return a;
}

/* Averaged pixel and weight (of 256) of the next one. */
static int axis_at(const axis *a, int i, int *weight)
{
    double pos = i * a->scale + a->shift;
    double fl = floor(pos);
    *weight = (int)((pos - fl) * 256 + 0.5);
    return (int)fl;
}

static int clamp_int(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* One averaged pixel, sample by sample, edges clamped. */
static void mean_pixel(const dmv_image *img, const pixel_layout *l, const axis *ax, int x0,
                       const axis *ay, int y0, float inv, uint16_t *out)
{
    uint32_t r = 0, g = 0, b = 0;
    for (int ty = 0; ty < ay->taps; ty++) {
        const int y = clamp_int(y0 + ty * ay->gap, 0, ay->limit - 1);
        const uint8_t *row = img->pixels + (size_t)y * img->stride;
        for (int tx = 0; tx < ax->taps; tx++) {
            const int x = clamp_int(x0 + tx * ax->gap, 0, ax->limit - 1);
            const uint8_t *p = row + (size_t)x * (size_t)l->step;
            r += p[l->r];
            g += p[l->g];
            b += p[l->b];
        }
    }
    out[0] = (uint16_t)((float)r * inv + 0.5f);
    out[1] = (uint16_t)((float)g * inv + 0.5f);
    out[2] = (uint16_t)((float)b * inv + 0.5f);
}

/* n averaged pixels that lie inside the picture across: rows are summed as plain bytes first.
 * n * factor * step <= ACC. */
static void mean_run(const dmv_image *img, const pixel_layout *l, const axis *ax, int x0,
                     const axis *ay, int y0, float inv, int n, uint16_t *out)
{
    uint16_t acc[ACC];
    const size_t bytes = (size_t)(n * ax->factor * l->step);
    for (int ty = 0; ty < ay->taps; ty++) {
        const int y = clamp_int(y0 + ty * ay->gap, 0, ay->limit - 1);
        const uint8_t *p = img->pixels + (size_t)y * img->stride + (size_t)x0 * (size_t)l->step;
        if (ty == 0) {
            for (size_t c = 0; c < bytes; c++) {
                acc[c] = p[c];
            }
        } else {
            for (size_t c = 0; c < bytes; c++) {
                acc[c] = (uint16_t)(acc[c] + p[c]);
            }
        }
    }
    for (int c = 0; c < n; c++, out += 4) {
        const uint16_t *p = acc + c * ax->factor * l->step;
        uint32_t r = 0, g = 0, b = 0;
        for (int t = 0; t < ax->taps; t++, p += ax->gap * l->step) {
            r += p[l->r];
            g += p[l->g];
            b += p[l->b];
        }
        out[0] = (uint16_t)((float)r * inv + 0.5f);
        out[1] = (uint16_t)((float)g * inv + 0.5f);
        out[2] = (uint16_t)((float)b * inv + 0.5f);
    }
}

static void copy_run(const pixel_layout *l, const uint8_t *p, int n, uint16_t *out)
{
    for (int c = 0; c < n; c++, p += l->step, out += 4) {
        out[0] = p[l->r];
        out[1] = p[l->g];
        out[2] = p[l->b];
    }
}

/* Averaged columns j0 .. j0 + n - 1 of averaged row j, four lanes each. */
static void mean_row(const dmv_image *img, const pixel_layout *l, const axis *ax, const axis *ay,
                     int j, int j0, int n, uint16_t *out)
{
    const float inv = 1.0f / ((float)ax->taps * (float)ay->taps);
    const int y0 = ay->origin + j * ay->factor;
    const int most = ACC / (ax->factor * l->step);
    const bool plain = ax->factor == 1 && ay->factor == 1;
    for (int i = 0, run; i < n; i += run, out += 4 * run) {
        const int x0 = ax->origin + (j0 + i) * ax->factor;
        const int fit = x0 < 0 ? 0 : (ax->limit - x0) / ax->factor;
        run = DV_MIN(fit, n - i);
        if (run > 0 && plain) {
            const int y = clamp_int(y0, 0, ay->limit - 1);
            copy_run(l, img->pixels + (size_t)y * img->stride + (size_t)x0 * (size_t)l->step, run,
                     out);
            continue;
        }
        run = DV_MIN(run, most);
        if (run > 0) {
            mean_run(img, l, ax, x0, ay, y0, inv, run, out);
        } else {
            run = 1;
            mean_pixel(img, l, ax, x0, ay, y0, inv, out);
        }
    }
}

/* out = a (256 - w) + b w, lane by lane. */
static void weigh(const uint16_t *mean, const int *at, const uint16_t *weight, int n, uint16_t *out)
{
    for (int i = 0; i < n; i++) {
        uint64_t a, b;
        memcpy(&a, mean + at[i], sizeof(a));
        memcpy(&b, mean + at[i] + 4, sizeof(b));
        a = a * (256u - weight[i]) + b * weight[i];
        memcpy(out + 4 * i, &a, sizeof(a));
    }
}

/* Row p, or the mix of p and q, to n RGB pixels. */
static void finish_row(const uint16_t *p, const uint16_t *q, int wy, int n, uint8_t *out)
{
    uint8_t mixed[BLOCK * 4];
    const uint32_t b = (uint32_t)wy, a = 256 - b;
    if (!wy) {
        for (int i = 0; i < 4 * n; i++) {
            mixed[i] = (uint8_t)((p[i] + 128u) >> 8);
        }
    } else {
        for (int i = 0; i < 4 * n; i++) {
            mixed[i] = (uint8_t)((p[i] * a + q[i] * b + 32768u) >> 16);
        }
    }
    for (int i = 0; i < n; i++) {
        out[3 * i] = mixed[4 * i];
        out[3 * i + 1] = mixed[4 * i + 1];
        out[3 * i + 2] = mixed[4 * i + 2];
    }
}

void dv_resize_rgb(const dmv_image *img, float x, float y, float w, float h, int ow, int oh,
                   uint8_t *out, size_t stride)
{
    const pixel_layout *l = &layouts[img->format];
    const axis ax = axis_make(x, w, ow, img->width), ay = axis_make(y, h, oh, img->height);
    uint16_t mean[VCOLS * 4] = {0}, rows[2][BLOCK * 4];
    uint16_t weight[BLOCK];
    int at[BLOCK];
    for (int c0 = 0; c0 < ow; c0 += BLOCK) {
        const int n = DV_MIN((int)BLOCK, ow - c0);
        int wt;
        const int j0 = axis_at(&ax, c0, &wt);
        for (int i = 0; i < n; i++) {
            at[i] = 4 * (axis_at(&ax, c0 + i, &wt) - j0);
            weight[i] = (uint16_t)wt;
        }
        const int cols = at[n - 1] / 4 + 2;
        int have[2] = {INT32_MIN, INT32_MIN};
        for (int r = 0; r < oh; r++) {
            int wy;
            const int top = axis_at(&ay, r, &wy);
            for (int j = top; j <= top + (wy ? 1 : 0); j++) {
                if (have[j & 1] != j) {
                    have[j & 1] = j;
                    mean_row(img, l, &ax, &ay, j, j0, cols, mean);
                    weigh(mean, at, weight, n, rows[j & 1]);
                }
            }
            finish_row(rows[top & 1], rows[(top + 1) & 1], wy, n,
                       out + (size_t)r * stride + (size_t)c0 * 3);
        }
    }
}

/* ---- channel order, mean, scale ---- */

static dmv_status read_floats(const dmv_model *m, const char *key, int channels, float *out,
                              dv_err *e)
{
    const dv_meta_item *it = dv_meta_get(&m->meta, key);
    if (!it) {
        return DMV_OK;
    }
    if (!it->f || (it->n != 1 && it->n != (uint32_t)channels)) {
        return dv_fail(e, DMV_ERR_FORMAT, "model: \"%s\" must be 1 or %d numbers", key, channels);
    }
    for (int c = 0; c < channels; c++) {
        out[c] = it->f[it->n == 1 ? 0 : c];
        if (!isfinite(out[c])) {
            return dv_fail(e, DMV_ERR_FORMAT, "model: \"%s\" holds a number that is not finite",
                           key);
        }
    }
    return DMV_OK;
}

dmv_status dv_prep_from_model(const dmv_model *m, dv_prep *p, dv_err *e)
{
    const char *color = dv_meta_text(&m->meta, "color");
    memset(p, 0, sizeof(*p));
    p->channels = 3;
    if (color && !strcmp(color, "gray")) {
        p->channels = 1;
    } else if (color && !strcmp(color, "bgr")) {
        p->bgr = true;
    } else if (color && strcmp(color, "rgb")) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "model: color \"%.32s\" is none of rgb, bgr, gray",
                       color);
    }
    for (int c = 0; c < 3; c++) {
        p->scale[c] = 1;
    }
    dmv_status s = read_floats(m, "mean", p->channels, p->mean, e);
    return s != DMV_OK ? s : read_floats(m, "scale", p->channels, p->scale, e);
}

static void gray_row(const dv_prep *p, const uint8_t *rgb, int w, float *out)
{
    /* ITU-R BT.601 luma */
    for (int i = 0; i < w; i++, rgb += 3) {
        float g = 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
        out[i] = (g - p->mean[0]) * p->scale[0];
    }
}

void dv_prep_run(const dv_prep *p, const dv_kernels *k, const uint8_t *rgb, size_t stride, int w,
                 int h, bool nchw, float *out)
{
    enum { CHUNK = 256 };
    float shift[3], buf[CHUNK * 3];
    const size_t plane = (size_t)w * (size_t)h;
    for (int c = 0; c < 3; c++) {
        shift[c] = -p->mean[c] * p->scale[c];
    }
    for (int y = 0; y < h; y++) {
        const uint8_t *row = rgb + (size_t)y * stride;
        const size_t first = (size_t)y * (size_t)w;
        if (p->channels == 1) {
            gray_row(p, row, w, out + first);
        } else if (!nchw) {
            k->u8_to_f32((size_t)w, row, p->bgr, p->scale, shift, out + first * 3);
        } else {
            for (int x = 0; x < w; x += CHUNK) {
                const size_t n = (size_t)DV_MIN((int)CHUNK, w - x);
                k->u8_to_f32(n, row + (size_t)x * 3, p->bgr, p->scale, shift, buf);
                k->transpose_f32(n, 3, buf, 3, out + first + (size_t)x, plane);
            }
        }
    }
}
