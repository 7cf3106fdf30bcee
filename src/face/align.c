/* SPDX-License-Identifier: Apache-2.0
 *
 * align.c - five points to the upright 112 x 112 face that embedding nets expect.
 *
 * The transform is Umeyama's (1991) least-squares similarity. In the plane it needs no
 * SVD: with centred points p, q as complex numbers the best rotation and scale is
 * sum(conj(p) q) / sum(|p|^2), which can never be a reflection.
 */
#include <math.h>
#include <string.h>

#include "face/face.h"

/* The template that ArcFace made usual, in pixels of a 112 x 112 picture. */
const float dv_template_112[5][2] = {{38.2946f, 51.6963f},
                                     {73.5318f, 51.5014f},
                                     {56.0252f, 71.7366f},
                                     {41.5493f, 92.3655f},
                                     {70.7299f, 92.2041f}};

bool dv_similarity_transform(const float (*src)[2], const float (*dst)[2], int n, float m[6])
{
    double sx = 0, sy = 0, dx = 0, dy = 0, re = 0, im = 0, var = 0, reach = 0;
    if (n < 2) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        sx += src[i][0];
        sy += src[i][1];
        dx += dst[i][0];
        dy += dst[i][1];
    }
    sx /= n;
    sy /= n;
    dx /= n;
    dy /= n;
    for (int i = 0; i < n; i++) {
        const double px = src[i][0] - sx, py = src[i][1] - sy;
        const double qx = dst[i][0] - dx, qy = dst[i][1] - dy;
        re += px * qx + py * qy;
        im += px * qy - py * qx;
        var += px * px + py * py;
    }
    reach = fmax(fabs(sx), fabs(sy)) * 1e-6 + 1e-6; /* what floats of that size can tell apart */
    if (!(var > reach * reach) || !isfinite(var)) {
        return false;
    }
    re /= var;
    im /= var;
    if (!(re * re + im * im > 1e-18) || !isfinite(re) || !isfinite(im)) {
        return false;
    }
    m[0] = (float)re;
    m[1] = (float)-im;
    m[2] = (float)(dx - re * sx + im * sy);
    m[3] = (float)im;
    m[4] = (float)re;
    m[5] = (float)(dy - im * sx - re * sy);
    return isfinite(m[2]) && isfinite(m[5]);
}

typedef struct source {
    const uint8_t *pixels;
    size_t stride;
    int step, width, height;
    int r, g, b; /* offsets of the colours */
} source;

/* Adds the bilinear sample at x, y (pixel centres at whole numbers), weighed with 65536, to
 * sum; what is outside counts as 0. */
static inline void add_sample(const source *s, double x, double y, uint32_t sum[3])
{
    if (!(x > -1 && y > -1 && x < s->width && y < s->height)) {
        return;
    }
    const int x0 = (int)(x + 1) - 1, y0 = (int)(y + 1) - 1;
    const uint32_t fx = (uint32_t)((x - x0) * 256 + 0.5), fy = (uint32_t)((y - y0) * 256 + 0.5);
    const uint32_t w00 = (256 - fx) * (256 - fy), w01 = fx * (256 - fy);
    const uint32_t w10 = (256 - fx) * fy, w11 = fx * fy;
    if (x0 >= 0 && y0 >= 0 && x0 + 1 < s->width && y0 + 1 < s->height) {
        const uint8_t *p = s->pixels + s->stride * (size_t)y0 + (size_t)(x0 * s->step);
        const uint8_t *q = p + s->stride, *p1 = p + s->step, *q1 = q + s->step;
        sum[0] += w00 * p[s->r] + w01 * p1[s->r] + w10 * q[s->r] + w11 * q1[s->r];
        sum[1] += w00 * p[s->g] + w01 * p1[s->g] + w10 * q[s->g] + w11 * q1[s->g];
        sum[2] += w00 * p[s->b] + w01 * p1[s->b] + w10 * q[s->b] + w11 * q1[s->b];
        return;
    }
    const uint32_t w[4] = {w00, w01, w10, w11};
    for (int t = 0; t < 4; t++) {
        const int px = x0 + (t & 1), py = y0 + (t >> 1);
        if (px < 0 || py < 0 || px >= s->width || py >= s->height) {
            continue;
        }
        const uint8_t *o = s->pixels + (size_t)py * s->stride + (size_t)px * (size_t)s->step;
        sum[0] += w[t] * o[s->r];
        sum[1] += w[t] * o[s->g];
        sum[2] += w[t] * o[s->b];
    }
}

void dv_warp_rgb(const dmv_image *img, const float m[6], int ow, int oh, uint8_t *out,
                 size_t stride)
{
    enum { GRID = 8 }; /* at most GRID x GRID samples a pixel */
    const int step = dv_image_channels(img->format), last = img->format == DMV_PIXEL_GRAY8 ? 0 : 2;
    const bool bgr = img->format == DMV_PIXEL_BGR8;
    const source s = {.pixels = img->pixels,
                      .stride = img->stride,
                      .step = step,
                      .width = img->width,
                      .height = img->height,
                      .r = bgr ? last : 0,
                      .g = last / 2,
                      .b = bgr ? 0 : last};
    const double det = (double)m[0] * m[4] - (double)m[1] * m[3];
    if (!(fabs(det) > 1e-30) || !isfinite(det)) {
        for (int y = 0; y < oh; y++) {
            memset(out + (size_t)y * stride, 0, 3 * (size_t)ow);
        }
        return;
    }
    const double a = m[4] / det, b = -m[1] / det, c = -m[3] / det, d = m[0] / det;
    const double shrink = sqrt(1 / fabs(det));
    const int grid = shrink >= 2 ? (int)fmin(shrink, GRID) : 1;
    const uint32_t n = (uint32_t)(grid * grid) << 16; /* n * 255 fits 32 bits */
    for (int y = 0; y < oh; y++) {
        uint8_t *o = out + (size_t)y * stride;
        for (int x = 0; x < ow; x++, o += 3) {
            uint32_t sum[3] = {n / 2, n / 2, n / 2};
            for (int gy = 0; gy < grid; gy++) {
                const double v = y + (gy + 0.5) / grid - 0.5 - m[5];
                for (int gx = 0; gx < grid; gx++) {
                    const double u = x + (gx + 0.5) / grid - 0.5 - m[2];
                    add_sample(&s, a * u + b * v, c * u + d * v, sum);
                }
            }
            o[0] = (uint8_t)(sum[0] / n);
            o[1] = (uint8_t)(sum[1] / n);
            o[2] = (uint8_t)(sum[2] / n);
        }
    }
}

dmv_status dmv_align(const dmv_image *img, const float landmarks[5][2], uint8_t *rgb)
{
    float m[6];
    dmv_status s = dv_image_check(img, NULL);
    if (s != DMV_OK) {
        return s;
    }
    if (!landmarks || !rgb || !dv_similarity_transform(landmarks, dv_template_112, 5, m)) {
        return DMV_ERR_ARGUMENT;
    }
    dv_warp_rgb(img, m, DMV_ALIGNED_SIZE, DMV_ALIGNED_SIZE, rgb, 3 * DMV_ALIGNED_SIZE);
    return DMV_OK;
}

float dmv_similarity(const float *a, const float *b, size_t n)
{
    double dot = 0, aa = 0, bb = 0;
    if (!a || !b) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    if (!(aa > 0 && bb > 0) || !isfinite(aa) || !isfinite(bb)) {
        return 0;
    }
    double c = dot / (sqrt(aa) * sqrt(bb));
    return (float)fmin(fmax(c, -1), 1);
}
