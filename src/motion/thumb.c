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
    t->every = block >= 9 ? 3 : block >= 5 ? 2 : 1;
    t->n = (size_t)t->w * (size_t)t->h;
}

/* sums[i] = or += a[i] + b[i] + c[i] */
static void three(size_t n, const uint8_t *a, const uint8_t *b, const uint8_t *c, bool add,
                  uint16_t *restrict sums)
{
    if (add)
        for (size_t i = 0; i < n; i++)
            sums[i] = (uint16_t)(sums[i] + a[i] + b[i] + c[i]);
    else
        for (size_t i = 0; i < n; i++)
            sums[i] = (uint16_t)(a[i] + b[i] + c[i]);
}

/* Sums of n columns of bytes over `rows` rows, `stride` bytes apart. */
static void columns(size_t n, size_t rows, size_t stride, const uint8_t *p, uint16_t *restrict sums)
{
    size_t y = 0;
    for (; y + 3 <= rows; y += 3)
        three(n, p + y * stride, p + (y + 1) * stride, p + (y + 2) * stride, y > 0, sums);
    for (; y < rows; y++)
        for (size_t i = 0; i < n; i++)
            sums[i] = (uint16_t)((y ? sums[i] : 0) + p[y * stride + i]);
}

/* Sum of n numbers, none above `most`: four at a time as parts of one word where none of the four
 * can overflow. */
static uint32_t sum_of(const uint16_t *s, size_t n, size_t most)
{
    uint32_t sum = 0;
    size_t i = 0;
    if ((n / 4 + 1) * most <= UINT16_MAX) {
        uint64_t four = 0, v;
        for (; i + 4 <= n; i += 4) {
            memcpy(&v, s + i, sizeof v);
            four += v;
        }
        four = (four & 0x0000ffff0000ffffu) + (four >> 16 & 0x0000ffff0000ffffu);
        sum = (uint32_t)four + (uint32_t)(four >> 32);
    }
    for (; i < n; i++)
        sum += s[i];
    return sum;
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
            const uint32_t sum = sum_of(s, (size_t)(wide * channels), (size_t)rows * UINT8_MAX);
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

/* Weights fall with the residual (Cauchy), whose scale is found on the way. The slope is
 * drawn a little to 1, so that pictures without contrast have one. Of many blocks every fourth
 * group of blocks is read. */
dv_fit dv_thumb_fit(const dv_thumb *t, const float *ref, const float *now)
{
    const size_t n = t->n;
    const size_t step = n > 1500     ? 3 * LANES
                        : n >= LANES ? LANES
                                     : 1,
                 lanes = n >= LANES ? LANES : 1;
    dv_fit f = {1, 0};
    float inverse = 0; /* of the squared scale */
    for (int round = 0; round < 3; round++) {
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
        if (round == 2)
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

void dv_thumb_score(const dv_thumb *t, const float *restrict ref, const float *restrict now,
                    dv_fit fit, const float *restrict level, float times, float noise,
                    float *restrict squares, float *restrict work, float *restrict out)
{
    const size_t n = t->n, w = (size_t)t->w;
    const float least = noise * noise;
    for (size_t i = 0; i < n; i++) {
        float r = fit.gain * ref[i] + fit.offset;
        r = r > 0 ? r : 0;
        r = r < 255 ? r : 255;
        squares[i] = (now[i] - r) * (now[i] - r);
    }
    for (size_t i = 0; i < n; i++)
        out[i] = squares[i] / (times * level[i] + least);
    /* 3x3 means: rows, then columns, with the edges repeated */
    for (size_t y = 0; y < (size_t)t->h; y++) {
        const float *s = out + y * w;
        float *o = work + y * w;
        o[0] = (s[0] + s[0] + s[w > 1]) * (1 / 9.0f);
        for (size_t x = 1; x + 1 < w; x++)
            o[x] = (s[x - 1] + s[x] + s[x + 1]) * (1 / 9.0f);
        if (w > 1)
            o[w - 1] = (s[w - 2] + s[w - 1] + s[w - 1]) * (1 / 9.0f);
    }
    for (size_t y = 0; y < (size_t)t->h; y++) {
        const float *a = work + (y ? y - 1 : y) * w, *b = work + y * w,
                    *c = work + (y + 1 < (size_t)t->h ? y + 1 : y) * w;
        for (size_t x = 0; x < w; x++)
            out[y * w + x] = a[x] + b[x] + c[x];
    }
}
