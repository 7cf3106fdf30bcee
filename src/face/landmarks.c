/* SPDX-License-Identifier: Apache-2.0
 *
 * landmarks.c - for detectors that find boxes only: where a landmark net looks, and its
 * 68 points to the five that alignment needs.
 */
#include <math.h>

#include "face/face.h"

static void mean_of(const float (*p)[2], const int *which, int n, float out[2])
{
    out[0] = out[1] = 0;
    for (int i = 0; i < n; i++) {
        out[0] += p[which[i]][0] / (float)n;
        out[1] += p[which[i]][1] / (float)n;
    }
}

void dv_landmarks_68_to_5(const float (*p)[2], float out[5][2])
{
    /* The four lid points of an eye move with the pupil less than the corners do with the
     * head; a corner of the mouth is the mean of its outer and inner point. */
    static const int left_eye[] = {37, 38, 40, 41}, right_eye[] = {43, 44, 46, 47};
    static const int nose[] = {30}, left_mouth[] = {48, 60}, right_mouth[] = {54, 64};
    mean_of(p, left_eye, 4, out[0]);
    mean_of(p, right_eye, 4, out[1]);
    mean_of(p, nose, 1, out[2]);
    mean_of(p, left_mouth, 2, out[3]);
    mean_of(p, right_mouth, 2, out[4]);
}

bool dv_landmark_crop(const dmv_image *img, const float box[4], float scale, float crop[4])
{
    for (int i = 0; i < 4; i++) {
        if (!isfinite(box[i])) {
            return false;
        }
    }
    if (!(box[2] > 0 && box[3] > 0)) {
        return false;
    }
    const double half = 0.5 * scale * fmax(box[2], box[3]);
    const double cx = box[0] + 0.5 * box[2], cy = box[1] + 0.5 * box[3];
    const double x0 = fmax(cx - half, 0), x1 = fmin(cx + half, img->width);
    const double y0 = fmax(cy - half, 0), y1 = fmin(cy + half, img->height);
    if (!(x1 - x0 >= 1 && y1 - y0 >= 1)) {
        return false;
    }
    crop[0] = (float)x0;
    crop[1] = (float)y0;
    crop[2] = (float)(x1 - x0);
    crop[3] = (float)(y1 - y0);
    return true;
}

void dv_landmark_bounds(const float (*p)[2], int n, float box[4])
{
    float x1 = p[0][0], y1 = p[0][1];
    box[0] = x1;
    box[1] = y1;
    for (int i = 1; i < n; i++) {
        box[0] = fminf(box[0], p[i][0]);
        box[1] = fminf(box[1], p[i][1]);
        x1 = fmaxf(x1, p[i][0]);
        y1 = fmaxf(y1, p[i][1]);
    }
    box[2] = x1 - box[0];
    box[3] = y1 - box[1];
}
