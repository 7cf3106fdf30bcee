/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_blazeface.c - MediaPipe's BlazeFace for short range, 128 x 128: scores [1, 896, 1]
 * (logits) and regressors [1, 896, 16] (box, six points), for two anchors a cell of 16 x 16 and
 * six a cell of 8 x 8, row by row. With r the regressors of an anchor in pixels of the input:
 *     middle = cell middle + r[0..1], size = r[2..3], point j = cell middle + r[4 + 2j ..]
 * The points are: eye, eye, tip of the nose, middle of the mouth, ear, ear; the left one of a
 * pair in the picture first. There are no corners of the mouth: they are put where a frontal
 * face has them, on a line through the middle of the mouth parallel to that of the eyes, 0.83
 * times as far apart as the eyes (the template that faces are aligned to). For turned heads that is
 * an approximation.
 */
#include <math.h>

#include "face/face.h"

static const struct {
    int cells, anchors;
} maps[] = {{16, 2}, {8, 6}};
enum { SIDE = 128, ALL = 896, NUMBERS = 16 };
#define MOUTH 0.414f /* half the width of the mouth, in distances of the eyes */

static dmv_status check(const dv_graph *g, dv_err *e)
{
    if (dv_output_last(g, 1) < 0 || dv_output_last(g, NUMBERS) < 0) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "blazeface: the net has no outputs [1, 896, 1] (scores) and [1, 896, 16] "
                       "(boxes and points)");
    }
    return DMV_OK;
}

static void push(dv_decode_args *a, float score, float x, float y, const float *r)
{
    dmv_face f = {.score = score, .has_landmarks = 1, .quality = -1};
    f.box[0] = x + r[0] - 0.5f * r[2];
    f.box[1] = y + r[1] - 0.5f * r[3];
    f.box[2] = r[2];
    f.box[3] = r[3];
    float half[2];
    for (int k = 0; k < 2; k++) {
        const float middle = k ? y : x;
        for (int j = 0; j < 3; j++) {
            f.landmarks[j][k] = middle + r[4 + 2 * j + k];
        }
        half[k] = MOUTH * (f.landmarks[1][k] - f.landmarks[0][k]);
        f.landmarks[3][k] = middle + r[10 + k] - half[k];
        f.landmarks[4][k] = middle + r[10 + k] + half[k];
    }
    dv_decode_push(a, &f);
}

static bool run(dv_decode_args *a)
{
    const int si = dv_output_last(a->x->g, 1), ri = dv_output_last(a->x->g, NUMBERS);
    const dv_value *s = si < 0 ? NULL : dv_exec_output(a->x, (size_t)si);
    const dv_value *r = ri < 0 ? NULL : dv_exec_output(a->x, (size_t)ri);
    size_t at = 0;
    if (!s || !r || s->count != ALL || r->count != ALL * NUMBERS || a->in_w != SIDE ||
        a->in_h != SIDE) {
        return false;
    }
    for (size_t m = 0; m < DV_COUNT(maps); m++) {
        const int n = maps[m].cells;
        const float step = (float)SIDE / (float)n;
        for (int c = 0; c < n * n * maps[m].anchors; c++, at++) {
            const int cell = c / maps[m].anchors;
            const float score = 1 / (1 + expf(-s->f[at]));
            if (score >= a->min_score) {
                push(a, score, ((float)(cell % n) + 0.5f) * step, ((float)(cell / n) + 0.5f) * step,
                     r->f + NUMBERS * at);
            }
        }
    }
    return true;
}

const dv_decoder dv_decoder_blazeface = {
    .name = "blazeface", .multiple = SIDE, .points = true, .check = check, .run = run};
