/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_scrfd.c - SCRFD with key points, as its ncnn exports give it: for strides 8, 16 and 32
 * maps [1, C, H, W] named score_S (2), bbox_S (8) and kps_S (20), two anchors a cell one after
 * the other. Scores have their sigmoid inside the net. The anchor of a cell lies at its corner:
 *     box: (col - b0, row - b1) to (col + b2, row + b3), times the stride
 *     point j = (col + k[2j], row + k[2j + 1]) times the stride
 * The points are in the order of dmv_face.
 */
#include <math.h>
#include <stdio.h>

#include "face/face.h"

static const int strides[] = {8, 16, 32};
static const char *const kinds[] = {"score", "bbox", "kps"};
static const int widths[] = {1, 4, 10};
enum { ANCHORS = 2 };

static int output_of(const dv_graph *g, int kind, int stride)
{
    char name[16];
    snprintf(name, sizeof(name), "%s_%d", kinds[kind], stride);
    return dv_output_named(g, name);
}

static dmv_status check(const dv_graph *g, dv_err *e)
{
    for (size_t s = 0; s < DV_COUNT(strides); s++) {
        for (int k = 0; k < 3; k++) {
            const int i = output_of(g, k, strides[s]);
            if (i < 0) {
                return dv_fail(e, DMV_ERR_UNSUPPORTED, "scrfd: the net has no output \"%s_%d\"",
                               kinds[k], strides[s]);
            }
            const dv_gtensor *t = &g->tensors[g->outputs[i]];
            if (t->dtype != DV_F32 || t->rank != 4 ||
                (t->dims[1] != ANCHORS * widths[k] && t->dims[1] >= 0)) {
                return dv_fail(e, DMV_ERR_UNSUPPORTED,
                               "scrfd: output \"%s_%d\" is not [1, %d, H, W]", kinds[k], strides[s],
                               ANCHORS * widths[k]);
            }
        }
    }
    return DMV_OK;
}

static bool run(dv_decode_args *a)
{
    for (size_t i = 0; i < DV_COUNT(strides); i++) {
        const int s = strides[i], cols = a->in_w / s, rows = a->in_h / s;
        const size_t cells = (size_t)cols * (size_t)rows;
        const float *v[3], fs = (float)s;
        for (int k = 0; k < 3; k++) {
            const int out = output_of(a->x->g, k, s);
            const dv_value *val = out < 0 ? NULL : dv_exec_output(a->x, (size_t)out);
            if (!val || val->count != cells * (size_t)(ANCHORS * widths[k])) {
                return false;
            }
            v[k] = val->f;
        }
        for (size_t c = 0; c < ANCHORS * cells; c++) {
            if (!(v[0][c] >= a->min_score)) {
                continue;
            }
            const size_t anchor = c / cells, cell = c % cells;
            const float *b = v[1] + 4 * anchor * cells + cell;
            const float *k = v[2] + 10 * anchor * cells + cell;
            const float x = (float)(cell % (size_t)cols), y = (float)(cell / (size_t)cols);
            dmv_face f = {.score = v[0][c], .has_landmarks = 1, .quality = -1};
            f.box[0] = (x - b[0]) * fs;
            f.box[1] = (y - b[cells]) * fs;
            f.box[2] = (b[2 * cells] + b[0]) * fs;
            f.box[3] = (b[3 * cells] + b[cells]) * fs;
            for (size_t j = 0; j < 5; j++) {
                f.landmarks[j][0] = (x + k[2 * j * cells]) * fs;
                f.landmarks[j][1] = (y + k[(2 * j + 1) * cells]) * fs;
            }
            dv_decode_push(a, &f);
        }
    }
    return true;
}

const dv_decoder dv_decoder_scrfd = {
    .name = "scrfd", .multiple = 32, .points = true, .check = check, .run = run};
