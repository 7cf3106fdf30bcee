/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_ultraface.c - Ultra-Light-Fast-Generic-Face-Detector-1MB: SSD boxes without points.
 * Outputs scores [1, N, 2] (softmax inside; column 1 = face) and boxes [1, N, 4]. Two kinds
 * of file are about: with boxes decoded by the net (corners, 0..1 of the input), and without,
 * where boxes are offsets from priors:
 *     middle = prior middle + 0.1 offset prior size, size = prior size exp(0.2 offset)
 * Priors: at strides 8, 16, 32, 64, row by row, three or two squares a cell. The cells of a
 * level divide the input evenly: 240 pixels are 8 cells of 30 at stride 32, not 7.5 of 32.
 */
#include <math.h>

#include "face/face.h"

static const int strides[] = {8, 16, 32, 64};
static const int min_sizes[4][3] = {{10, 16, 24}, {32, 48, 0}, {64, 96, 0}, {128, 192, 256}};

static dmv_status check(const dv_graph *g, dv_err *e)
{
    if (dv_output_last(g, 2) < 0 || dv_output_last(g, 4) < 0) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "ultraface: the net has no outputs [1, N, 2] (scores) and [1, N, 4] "
                       "(boxes)");
    }
    return DMV_OK;
}

/* Both outputs, if they belong together; the number of boxes, or 0. */
static size_t outputs(const dv_decode_args *a, const float **scores, const float **boxes)
{
    const int si = dv_output_last(a->x->g, 2), bi = dv_output_last(a->x->g, 4);
    if (si < 0 || bi < 0) {
        return 0;
    }
    const dv_value *s = dv_exec_output(a->x, (size_t)si), *b = dv_exec_output(a->x, (size_t)bi);
    if (s->count / 2 != b->count / 4) {
        return 0;
    }
    *scores = s->f;
    *boxes = b->f;
    return s->count / 2;
}

static bool run_decoded(dv_decode_args *a)
{
    const float *s = NULL, *b = NULL;
    const size_t n = outputs(a, &s, &b);
    const float w = (float)a->in_w, h = (float)a->in_h;
    for (size_t i = 0; i < n; i++, b += 4) {
        if (!(s[2 * i + 1] >= a->min_score)) {
            continue;
        }
        const dmv_face f = {.score = s[2 * i + 1],
                            .box = {b[0] * w, b[1] * h, (b[2] - b[0]) * w, (b[3] - b[1]) * h},
                            .quality = -1};
        dv_decode_push(a, &f);
    }
    return n > 0;
}

static bool run_raw(dv_decode_args *a)
{
    const float *s = NULL, *b = NULL;
    const size_t n = outputs(a, &s, &b);
    size_t at = 0, want = 0;
    for (int l = 0; l < 4; l++) {
        const size_t cols = (size_t)((a->in_w + strides[l] - 1) / strides[l]);
        const size_t rows = (size_t)((a->in_h + strides[l] - 1) / strides[l]);
        want += cols * rows * (min_sizes[l][2] ? 3 : 2);
    }
    if (n != want) {
        return false;
    }
    for (int l = 0; l < 4; l++) {
        const int cols = (a->in_w + strides[l] - 1) / strides[l];
        const int rows = (a->in_h + strides[l] - 1) / strides[l];
        const int sizes = min_sizes[l][2] ? 3 : 2;
        for (int c = 0; c < cols * rows; c++) {
            for (int k = 0; k < sizes; k++, at++) {
                const float score = s[2 * at + 1];
                if (!(score >= a->min_score)) {
                    continue;
                }
                /* Sides of priors are clipped to the input. */
                const float pw = fminf((float)min_sizes[l][k], (float)a->in_w);
                const float ph = fminf((float)min_sizes[l][k], (float)a->in_h);
                const float px = ((float)(c % cols) + 0.5f) * (float)a->in_w / (float)cols;
                const float py = ((float)(c / cols) + 0.5f) * (float)a->in_h / (float)rows;
                const float *d = b + 4 * at;
                dmv_face f = {.score = score, .quality = -1};
                f.box[2] = pw * expf(0.2f * d[2]);
                f.box[3] = ph * expf(0.2f * d[3]);
                f.box[0] = px + 0.1f * d[0] * pw - 0.5f * f.box[2];
                f.box[1] = py + 0.1f * d[1] * ph - 0.5f * f.box[3];
                dv_decode_push(a, &f);
            }
        }
    }
    return true;
}

const dv_decoder dv_decoder_ultraface = {
    .name = "ultraface", .multiple = 1, .check = check, .run = run_decoded};
const dv_decoder dv_decoder_ultraface_raw = {
    .name = "ultraface-raw", .multiple = 1, .check = check, .run = run_raw};
