/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_fastestdet.c - FastestDet: one map [1, 5 + classes, H, W], one object a cell: v[0] is
 * there one, v[1..4] its box, the rest its class. v[0] and the classes are probabilities already.
 *     score = v[0]^0.6 class^0.4
 *     middle = ((col + tanh v1) / W, (row + tanh v2) / H), size = (sigmoid v3, sigmoid v4),
 * both of the input.
 */
#include <math.h>

#include "face/face.h"

static const dv_gtensor *map_of(const dv_graph *g)
{
    const dv_gtensor *t = g->n_outputs == 1 ? &g->tensors[g->outputs[0]] : NULL;
    return t && t->dtype == DV_F32 && t->rank == 4 && t->dims[1] > 5 ? t : NULL;
}

static dmv_status check(const dv_graph *g, dv_err *e)
{
    if (!map_of(g)) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "fastestdet: the net's only output is not [1, 5 + classes, H, W]");
    }
    return DMV_OK;
}

static float sigmoid(float v)
{
    return 1 / (1 + expf(-v));
}

static bool run(dv_decode_args *a)
{
    const dv_value *v = map_of(a->x->g) ? dv_exec_output(a->x, 0) : NULL;
    if (!v || v->rank != 4 || v->dims[0] != 1 || v->dims[1] < 6) {
        return false;
    }
    const size_t classes = (size_t)v->dims[1] - 5, cols = (size_t)v->dims[3];
    const size_t cells = (size_t)v->dims[2] * cols;
    const float w = (float)a->in_w, h = (float)a->in_h;
    if ((size_t)a->only > classes) {
        return true; /* no such class */
    }
    for (size_t i = 0; i < cells; i++) {
        const float *p = v->f + i, *c = p + 5 * cells;
        size_t best = a->only ? (size_t)a->only - 1 : 0;
        /* classes add up to 1, so no class makes more of it than this */
        if (!(powf(p[0], 0.6f) >= a->min_score)) {
            continue;
        }
        for (size_t k = 1; !a->only && k < classes; k++) {
            best = c[k * cells] > c[best * cells] ? k : best;
        }
        dmv_face f = {.quality = -1};
        f.score = powf(p[0], 0.6f) * powf(c[best * cells], 0.4f);
        f.box[2] = sigmoid(p[3 * cells]) * w;
        f.box[3] = sigmoid(p[4 * cells]) * h;
        f.box[0] = ((float)(i % cols) + tanhf(p[cells])) * w / (float)cols - 0.5f * f.box[2];
        f.box[1] =
            ((float)(i / cols) + tanhf(p[2 * cells])) * h / (float)v->dims[2] - 0.5f * f.box[3];
        a->cls = (int32_t)best;
        dv_decode_push(a, &f);
    }
    return true;
}

const dv_decoder dv_decoder_fastestdet = {
    .name = "fastestdet", .multiple = 32, .objects = true, .check = check, .run = run};
