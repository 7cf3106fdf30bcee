/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_ssd.c - SSD detectors whose net has its own anchors inside (import/tflite_detect.c):
 * ssd_boxes [1, N, 4] (top, left, bottom, right; 0..1 of the input), ssd_scores [1, N, classes].
 * A box counts once, with its best class.
 */
#include "face/face.h"

static dmv_status check(const dv_graph *g, dv_err *e)
{
    const int b = dv_output_named(g, "ssd_boxes"), s = dv_output_named(g, "ssd_scores");
    if (b >= 0 && s >= 0) {
        const dv_gtensor *tb = &g->tensors[g->outputs[b]], *ts = &g->tensors[g->outputs[s]];
        if (tb->dtype == DV_F32 && tb->rank == 3 && tb->dims[2] == 4 && ts->dtype == DV_F32 &&
            ts->rank == 3) {
            return DMV_OK;
        }
    }
    return dv_fail(e, DMV_ERR_UNSUPPORTED,
                   "ssd: the net has no outputs \"ssd_boxes\" [1, N, 4] and \"ssd_scores\" [1, N, "
                   "classes]");
}

static bool run(dv_decode_args *a)
{
    const int bi = dv_output_named(a->x->g, "ssd_boxes");
    const int si = dv_output_named(a->x->g, "ssd_scores");
    if (bi < 0 || si < 0) {
        return false;
    }
    const dv_value *b = dv_exec_output(a->x, (size_t)bi), *s = dv_exec_output(a->x, (size_t)si);
    const size_t n = b->count / 4, classes = n ? s->count / n : 0;
    if (n == 0 || classes == 0 || s->count != n * classes || a->only > (int)classes) {
        return n > 0 && classes > 0 && s->count == n * classes; /* no such class: nothing found */
    }
    const float w = (float)a->in_w, h = (float)a->in_h;
    for (size_t i = 0; i < n; i++) {
        const float *v = s->f + i * classes, *p = b->f + 4 * i;
        size_t best = a->only ? (size_t)a->only - 1 : 0;
        for (size_t c = 1; !a->only && c < classes; c++) {
            best = v[c] > v[best] ? c : best;
        }
        if (!(v[best] >= a->min_score)) {
            continue;
        }
        const dmv_face f = {.score = v[best],
                            .box = {p[1] * w, p[0] * h, (p[3] - p[1]) * w, (p[2] - p[0]) * h},
                            .quality = -1};
        a->cls = (int32_t)best;
        dv_decode_push(a, &f);
    }
    return true;
}

const dv_decoder dv_decoder_ssd = {
    .name = "ssd", .multiple = 1, .objects = true, .check = check, .run = run};
