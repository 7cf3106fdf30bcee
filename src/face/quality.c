/* SPDX-License-Identifier: Apache-2.0
 *
 * quality.c - is this face good enough to enrol? Four measures that a person can act on:
 * come closer, look at the camera, hold still, more or less light.
 *
 * Sharpness and exposure are taken from the face warped to the template, inside the part
 * that is skin, eyes and mouth for everybody. The warp is done row by row, so nothing is
 * allocated.
 */
#include <math.h>

#include "face/face.h"

/* The part of the 112 x 112 face that is measured. */
enum { LEFT = 24, RIGHT = 88, TOP = 34, BOTTOM = 102, SIDE = DMV_ALIGNED_SIZE };
enum { DARK = 25, BRIGHT = 230 }; /* grey levels below are crushed, above blown */
#define EYES_WANTED 48.0f         /* pixels */
/* Variance of the Laplacian (4-neighbour, grey levels squared) that counts as one half. */
#define HALF_SHARP 120.0

/* 1 = frontal. Along the eyes: the nose's distance from the line that joins the middle of
 * the eyes and of the mouth, against half the distance of the eyes (yaw). Across: how far
 * down between eyes and mouth the nose is; the middle is frontal (pitch). */
static float pose_of(const float p[5][2])
{
    const double ex = (double)p[1][0] - p[0][0], ey = (double)p[1][1] - p[0][1];
    const double eyes = sqrt(ex * ex + ey * ey);
    const double mx = 0.5 * ((double)p[0][0] + p[1][0]), my = 0.5 * ((double)p[0][1] + p[1][1]);
    const double dx = 0.5 * ((double)p[3][0] + p[4][0]) - mx;
    const double dy = 0.5 * ((double)p[3][1] + p[4][1]) - my;
    const double nx = p[2][0] - mx, ny = p[2][1] - my;
    const double down = dx * dx + dy * dy;
    if (!(eyes > 0 && down > 0)) {
        return 0;
    }
    const double t = (nx * dx + ny * dy) / down;
    const double off = (nx * ex + ny * ey - t * (dx * ex + dy * ey)) / eyes;
    const double yaw = fmin(fabs(off) / (0.5 * eyes), 1);
    const double pitch = fmin(2 * fabs(t - 0.5), 1);
    return (float)((1 - yaw) * (1 - pitch * pitch));
}

/* Rows TOP - 1 .. BOTTOM of the aligned face, one after the other, as grey levels. */
static void measure(const dmv_image *img, const float m[6], dmv_quality *q)
{
    enum { W = RIGHT - LEFT + 2 }; /* one column more on each side for the Laplacian */
    uint8_t rgb[W * 3];
    float gray[3][W];
    double sum = 0, squares = 0;
    int n = 0, good = 0;
    for (int y = TOP - 1; y <= BOTTOM; y++) {
        const float row[6] = {m[0], m[1], m[2] - (LEFT - 1), m[3], m[4], m[5] - (float)y};
        float *g = gray[y % 3];
        dv_warp_rgb(img, row, W, 1, rgb, sizeof(rgb));
        for (int x = 0; x < W; x++) {
            g[x] = 0.299f * rgb[3 * x] + 0.587f * rgb[3 * x + 1] + 0.114f * rgb[3 * x + 2];
            if (x >= 1 && x < W - 1 && y >= TOP && y < BOTTOM) {
                good += g[x] >= DARK && g[x] <= BRIGHT;
            }
        }
        if (y < TOP + 1) {
            continue;
        }
        const float *up = gray[(y - 2) % 3], *mid = gray[(y - 1) % 3];
        for (int x = 1; x < W - 1; x++, n++) {
            const double v = up[x] + g[x] + mid[x - 1] + mid[x + 1] - 4 * mid[x];
            sum += v;
            squares += v * v;
        }
    }
    const double var = fmax(squares / n - (sum / n) * (sum / n), 0);
    q->sharpness = (float)(var / (var + HALF_SHARP));
    q->exposure = (float)good / (float)n;
}

dmv_status dmv_face_quality(const dmv_image *img, const dmv_face *face, dmv_quality *q)
{
    float m[6];
    dmv_status s = dv_image_check(img, NULL);
    if (s != DMV_OK) {
        return s;
    }
    if (!face || !q || !face->has_landmarks ||
        !dv_similarity_transform(face->landmarks, dv_template_112, 5, m)) {
        return DMV_ERR_ARGUMENT;
    }
    const double ex = (double)face->landmarks[1][0] - face->landmarks[0][0];
    const double ey = (double)face->landmarks[1][1] - face->landmarks[0][1];
    q->size = (float)fmin(sqrt(ex * ex + ey * ey) / EYES_WANTED, 1);
    q->pose = pose_of(face->landmarks);
    measure(img, m, q);
    q->total = (float)pow((double)q->size * q->pose * q->sharpness * q->exposure, 0.25);
    return DMV_OK;
}
