/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_retinaface.c - RetinaFace as in Pytorch_Retinaface and its many descendants. Outputs
 * are told by their last dim: loc 4, conf 2 (column 1 = face), landms 10. Two square priors a
 * cell at steps 8, 16, 32, row by row:
 *     middle = prior middle + 0.1 loc prior size, size = prior size exp(0.2 loc)
 *     point = prior middle + 0.1 landms prior size
 * conf is a softmax in most files and logits in some: rows that do not add up to 1 tell.
 */
#include <math.h>

#include "face/face.h"

static const int steps[] = {8, 16, 32};
static const int min_sizes[3][2] = {{16, 32}, {64, 128}, {256, 512}};

static dmv_status check(const dv_graph *g, dv_err *e)
{
    if (dv_output_last(g, 4) < 0 || dv_output_last(g, 2) < 0 || dv_output_last(g, 10) < 0) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "retinaface: the net has no outputs [1, N, 4] (boxes), [1, N, 2] (scores) "
                       "and [1, N, 10] (points)");
    }
    return DMV_OK;
}

static const float *output(const dv_decode_args *a, int64_t last, size_t n)
{
    const int i = dv_output_last(a->x->g, last);
    const dv_value *v = i < 0 ? NULL : dv_exec_output(a->x, (size_t)i);
    return v && v->count == n * (size_t)last ? v->f : NULL;
}

static bool is_softmax(const float *conf, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(conf[2 * i] + conf[2 * i + 1] - 1) <= 1e-3f) || conf[2 * i] < 0 ||
            conf[2 * i + 1] < 0) {
            return false;
        }
    }
    return true;
}

static bool run(dv_decode_args *a)
{
    size_t n = 0, at = 0;
    for (size_t l = 0; l < DV_COUNT(steps); l++) {
        n += 2 * (size_t)((a->in_w + steps[l] - 1) / steps[l]) *
             (size_t)((a->in_h + steps[l] - 1) / steps[l]);
    }
    const float *loc = output(a, 4, n), *conf = output(a, 2, n), *points = output(a, 10, n);
    if (!loc || !conf || !points) {
        return false;
    }
    const bool softmax = is_softmax(conf, n);
    for (size_t l = 0; l < DV_COUNT(steps); l++) {
        const int cols = (a->in_w + steps[l] - 1) / steps[l];
        const int rows = (a->in_h + steps[l] - 1) / steps[l];
        for (int c = 0; c < cols * rows; c++) {
            for (int k = 0; k < 2; k++, at++) {
                const float *p = conf + 2 * at, *d = loc + 4 * at, *q = points + 10 * at;
                const float score = softmax ? p[1] : 1 / (1 + expf(p[0] - p[1]));
                if (!(score >= a->min_score)) {
                    continue;
                }
                const float side = (float)min_sizes[l][k];
                const float px = ((float)(c % cols) + 0.5f) * (float)steps[l];
                const float py = ((float)(c / cols) + 0.5f) * (float)steps[l];
                dmv_face f = {.score = score, .has_landmarks = 1, .quality = -1};
                f.box[2] = side * expf(0.2f * d[2]);
                f.box[3] = side * expf(0.2f * d[3]);
                f.box[0] = px + 0.1f * d[0] * side - 0.5f * f.box[2];
                f.box[1] = py + 0.1f * d[1] * side - 0.5f * f.box[3];
                for (int j = 0; j < 5; j++) {
                    f.landmarks[j][0] = px + 0.1f * q[2 * j] * side;
                    f.landmarks[j][1] = py + 0.1f * q[2 * j + 1] * side;
                }
                dv_decode_push(a, &f);
            }
        }
    }
    return true;
}

const dv_decoder dv_decoder_retinaface = {
    .name = "retinaface", .multiple = 32, .points = true, .check = check, .run = run};
