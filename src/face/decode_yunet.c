/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_yunet.c - YuNet (libfacedetection.train; OpenCV's face detector): no anchors but
 * one prediction per cell at strides 8, 16 and 32. cls and obj have their sigmoid inside the
 * net. With b, k the raw numbers of the cell at col, row:
 *     score = sqrt(cls obj)
 *     middle = ((col + b0) s, (row + b1) s), size = (exp(b2) s, exp(b3) s)
 *     point j = ((col + k[2j]) s, (row + k[2j + 1]) s)
 * The points are the person's right eye first, which is the left one in the picture.
 */
#include <math.h>
#include <stdio.h>

#include "face/face.h"

static const int strides[] = {8, 16, 32};
static const char *const kinds[] = {"cls", "obj", "bbox", "kps"};
static const int widths[] = {1, 1, 4, 10};

static int output_of(const dv_graph *g, int kind, int stride)
{
    char name[16];
    snprintf(name, sizeof(name), "%s_%d", kinds[kind], stride);
    return dv_output_named(g, name);
}

static dmv_status check(const dv_graph *g, dv_err *e)
{
    for (size_t s = 0; s < DV_COUNT(strides); s++) {
        for (int k = 0; k < 4; k++) {
            const int i = output_of(g, k, strides[s]);
            if (i < 0) {
                return dv_fail(e, DMV_ERR_UNSUPPORTED, "yunet: the net has no output \"%s_%d\"",
                               kinds[k], strides[s]);
            }
            const dv_gtensor *t = &g->tensors[g->outputs[i]];
            if (t->dtype != DV_F32 || t->rank != 3 ||
                (t->dims[2] != widths[k] && t->dims[2] >= 0)) {
                return dv_fail(e, DMV_ERR_UNSUPPORTED, "yunet: output \"%s_%d\" is not [1, N, %d]",
                               kinds[k], strides[s], widths[k]);
            }
        }
    }
    return DMV_OK;
}

static float clip01(float v)
{
    return v > 0 ? fminf(v, 1) : 0; /* NaN to 0 */
}

static bool run(dv_decode_args *a)
{
    const float lowest = a->min_score * a->min_score;
    for (size_t i = 0; i < DV_COUNT(strides); i++) {
        const int s = strides[i], cols = a->in_w / s, rows = a->in_h / s;
        const size_t cells = (size_t)cols * (size_t)rows;
        const float *v[4];
        for (int k = 0; k < 4; k++) {
            const int out = output_of(a->x->g, k, s);
            const dv_value *val = out < 0 ? NULL : dv_exec_output(a->x, (size_t)out);
            if (!val || val->count != cells * (size_t)widths[k]) {
                return false;
            }
            v[k] = val->f;
        }
        for (size_t c = 0; c < cells; c++) {
            const float p = clip01(v[0][c]) * clip01(v[1][c]);
            if (p < lowest) {
                continue;
            }
            const float col = (float)(c % (size_t)cols), row = (float)(c / (size_t)cols);
            const float *b = v[2] + 4 * c, *k = v[3] + 10 * c, fs = (float)s;
            dmv_face f = {.score = sqrtf(p), .has_landmarks = 1, .quality = -1};
            f.box[2] = expf(b[2]) * fs;
            f.box[3] = expf(b[3]) * fs;
            f.box[0] = (col + b[0]) * fs - 0.5f * f.box[2];
            f.box[1] = (row + b[1]) * fs - 0.5f * f.box[3];
            for (int j = 0; j < 5; j++) {
                f.landmarks[j][0] = (col + k[2 * j]) * fs;
                f.landmarks[j][1] = (row + k[2 * j + 1]) * fs;
            }
            dv_decode_push(a, &f);
        }
    }
    return true;
}

const dv_decoder dv_decoder_yunet = {
    .name = "yunet", .multiple = 32, .points = true, .check = check, .run = run};
