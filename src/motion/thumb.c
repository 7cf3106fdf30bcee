/* SPDX-License-Identifier: Apache-2.0
 *
 * thumb.c - thumbnails: block means of a picture, a fit that takes out what light and camera gain
 * do, and the change that is left in units of the noise. */
#include <math.h>
#include <string.h>

#include "face/face.h"
#include "motion/motion_priv.h"

#define SHORT_ROWS 256 /* rows of bytes that fit in the sum of 16 bits */
#define BURNT 250.0f

void dv_thumb_shape(dv_thumb *t, const dmv_image *img, int target)
{
    const int longest = DV_MAX(img->width, img->height), block = DV_MAX(longest / target, 1);
    t->bw = t->bh = block;
    t->w = (img->width + block - 1) / block;
    t->h = (img->height + block - 1) / block;
    t->planes = 1;
    t->every = block >= 9 ? 3 : block >= 5 ? 2 : 1;
    t->n = (size_t)t->w * (size_t)t->h;
}

/* Sums of n columns of bytes over `rows` rows, `stride` bytes apart. */
static void columns(size_t n, size_t rows, size_t stride, const uint8_t *p, uint16_t *sums)
{
    enum { STRIP = 64 };
    size_t i = 0;
    for (; i + STRIP <= n; i += STRIP) {
        uint16_t s[STRIP] = {0};
        for (size_t y = 0; y < rows; y++)
            for (size_t k = 0; k < STRIP; k++)
                s[k] = (uint16_t)(s[k] + p[y * stride + i + k]);
        memcpy(sums + i, s, sizeof s);
    }
    for (; i < n; i++) {
        sums[i] = 0;
        for (size_t y = 0; y < rows; y++)
            sums[i] = (uint16_t)(sums[i] + p[y * stride + i]);
    }
}

void dv_thumb_make(const dv_thumb *t, const dmv_image *img, uint16_t *sums, float *out)
{
    const int channels = dv_image_channels(img->format);
    const size_t row = (size_t)img->width * (size_t)channels;
    for (int b = 0; b < t->h; b++, out += t->w) {
        const int first = b * t->bh, high = DV_MIN(first + t->bh, img->height) - first,
                  every = DV_MAX(DV_MIN(t->every, high), (high + SHORT_ROWS - 1) / SHORT_ROWS),
                  skip = every > 1 ? every / 2 : 0, rows = (high - skip + every - 1) / every;
        columns(row, (size_t)rows, (size_t)every * img->stride,
                img->pixels + (size_t)(first + skip) * img->stride, sums);
        if (channels == 4) /* no alpha */
            for (int x = 0; x < img->width; x++)
                sums[4 * x + 3] = 0;
        for (int x = 0; x < t->w; x++) {
            const int left = x * t->bw, wide = DV_MIN(t->bw, img->width - left);
            const uint16_t *s = sums + (size_t)left * (size_t)channels;
            uint32_t sum = 0;
            for (int i = 0; i < wide * channels; i++)
                sum += s[i];
            out[x] = (float)sum / (float)(rows * wide * DV_MIN(channels, 3));
        }
    }
}

#define LANES 8

typedef struct sums5 {
    float w[LANES], r[LANES], x[LANES], rr[LANES], rx[LANES];
} sums5;

static float total(const float *v)
{
    float s = 0;
    for (int k = 0; k < LANES; k++)
        s += v[k];
    return s;
}

/* One plane: weights fall with the residual (Cauchy), whose scale is found on the way. The slope is
 * drawn a little to 1, so that pictures without contrast have one. Of larger planes every fourth
 * group of blocks is read. */
static dv_fit fit_plane(size_t n, const float *ref, const float *now)
{
    const size_t step = n > 1500     ? 3 * LANES
                        : n >= LANES ? LANES
                                     : 1,
                 lanes = n >= LANES ? LANES : 1;
    dv_fit f = {1, 0};
    float inverse = 0; /* of the squared scale */
    for (int round = 0; round < 4; round++) {
        sums5 s = {{0}, {0}, {0}, {0}, {0}};
        float dev[LANES] = {0};
        for (size_t i = 0; i + lanes <= n; i += step)
            for (size_t k = 0; k < lanes; k++) {
                const float r = ref[i + k], x = now[i + k], e = x - f.gain * r - f.offset;
                float w = 1 / (1 + e * e * inverse);
                w = r < BURNT ? w : 0;
                w = x < BURNT ? w : 0;
                s.w[k] += w;
                s.r[k] += w * r;
                s.x[k] += w * x;
                s.rr[k] += w * r * r;
                s.rx[k] += w * r * x;
            }
        const float sw = total(s.w);
        if (!(sw >= 4))
            return (dv_fit){1, 0};
        const float mr = total(s.r) / sw, mx = total(s.x) / sw, var = total(s.rr) / sw - mr * mr,
                    cov = total(s.rx) / sw - mr * mx;
        f.gain = fminf(fmaxf((cov + 4) / (var + 4), 0.25f), 4);
        f.offset = mx - f.gain * mr;
        if (round == 3)
            break;
        for (size_t i = 0; i + lanes <= n; i += step)
            for (size_t k = 0; k < lanes; k++) {
                const float e = fabsf(now[i + k] - f.gain * ref[i + k] - f.offset);
                float w = 1 / (1 + e * e * inverse);
                w = ref[i + k] < BURNT ? w : 0;
                w = now[i + k] < BURNT ? w : 0;
                dev[k] += w * e;
            }
        const float scale = 2 * total(dev) / sw + 0.5f;
        inverse = 1 / (scale * scale);
    }
    return f;
}

void dv_thumb_fit(const dv_thumb *t, const float *ref, const float *now, dv_fit *fit)
{
    for (int p = 0; p < t->planes; p++)
        fit[p] = fit_plane(t->n, ref + (size_t)p * t->n, now + (size_t)p * t->n);
}

void dv_thumb_score(const dv_thumb *t, const float *ref, const float *now, const dv_fit *fit,
                    const float *level, float times, float noise, float *squares, float *work,
                    float *out)
{
    const size_t n = t->n, w = (size_t)t->w;
    const float least = noise * noise;
    for (int p = 0; p < t->planes; p++) {
        const float *r = ref + (size_t)p * n, *x = now + (size_t)p * n, g = fit[p].gain,
                    o = fit[p].offset, by = 1 / (float)t->planes;
        for (size_t i = 0; i < n; i++) {
            const float e = x[i] - fminf(fmaxf(g * r[i] + o, 0), 255);
            squares[i] = (p ? squares[i] : 0) + e * e * by;
        }
    }
    /* 3x3 means: rows, then columns, with the edges repeated */
    for (size_t y = 0; y < (size_t)t->h; y++) {
        const float *s = squares + y * w, *l = level + y * w;
        float *o = work + y * w, before = s[0] / (times * l[0] + least), here = before;
        for (size_t x = 0; x < w; x++) {
            const size_t right = x + 1 < w ? x + 1 : x;
            const float next = s[right] / (times * l[right] + least);
            o[x] = (before + here + next) * (1 / 9.0f);
            before = here;
            here = next;
        }
    }
    for (size_t y = 0; y < (size_t)t->h; y++) {
        const float *a = work + (y ? y - 1 : y) * w, *b = work + y * w,
                    *c = work + (y + 1 < (size_t)t->h ? y + 1 : y) * w;
        for (size_t x = 0; x < w; x++)
            out[y * w + x] = a[x] + b[x] + c[x];
    }
}
