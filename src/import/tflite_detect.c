/* SPDX-License-Identifier: Apache-2.0
 *
 * TFLite_Detection_PostProcess, the last step of SSD detectors: offsets from anchors to boxes, then
 * non-maximum suppression. The first half becomes part of the graph, with the anchors as its
 * constants; scores lose the column of the background. The second half is the decoder "ssd"
 * (face/decode_ssd.c) and those who call it. With (y, x, h, w) of an anchor and an offset d:
 *     middle = anchor middle + d[0..1] / (y_scale, x_scale) anchor size
 *     size = exp(d[2..3] / (h_scale, w_scale)) anchor size
 * Outputs: ssd_boxes [1, N, 4] (top, left, bottom, right; 0..1 of the picture), ssd_scores
 * [1, N, classes].
 */
#include <math.h>
#include <string.h>

#include "import/tflite.h"

static double option(dv_lower *L, const char *name, double fallback)
{
    double v;
    const tfl_node *n = L->t->n;
    if (!flex_number(n->custom_options, n->custom_options ? n->custom_size : 0, name, &v))
        return fallback;
    if (!isfinite(v))
        lw_bad(L, "%s is not a number", name);
    return v;
}

/* Columns from..to - 1 of the last of three dims. */
static int32_t columns(dv_lower *L, int32_t x, int64_t from, int64_t to)
{
    static const int64_t axis = 2, step = 1;
    lw_begin(L, DV_OP_SLICE, 1, &x);
    lw_ints(L, DV_A_STARTS, &from, 1);
    lw_ints(L, DV_A_ENDS, &to, 1);
    lw_ints(L, DV_A_AXES, &axis, 1);
    lw_ints(L, DV_A_STEPS, &step, 1);
    return lw_end(L);
}

/* Two columns of the anchors, each times its factor, as [1, N, 2]. */
static int32_t pair_of(dv_lower *L, const float *anchors, size_t n, int column, double a, double b)
{
    int64_t dims[3] = {1, (int64_t)n, 2};
    float *v = dv_malloc((2 * n + 1) * sizeof *v);
    if (!v) {
        lw_nomem(L);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        v[2 * i] = (float)((double)anchors[4 * i + (size_t)column] * a);
        v[2 * i + 1] = (float)((double)anchors[4 * i + (size_t)column + 1] * b);
    }
    int32_t t = lw_add_const(L, DV_F32, 3, dims, v);
    dv_free(v);
    return t;
}

void tfl_detection(dv_lower *L)
{
    int32_t box = tfl_need(L, 0), scores = tfl_need(L, 1);
    const dv_gtensor *c = tfl_const(L, 2, DV_F32, "anchors");
    double y = option(L, "y_scale", 0), x = option(L, "x_scale", 0), h = option(L, "h_scale", 0),
           w = option(L, "w_scale", 0), classes = option(L, "num_classes", 0);
    if (!c || !lw_ok(L))
        return;
    int64_t n = c->rank == 2 && c->dims[1] == 4 ? c->dims[0] : 0, found = lw_dim(L, scores, 2);
    if (!(y > 0 && x > 0 && h > 0 && w > 0 && classes >= 1 && classes <= 100000))
        lw_bad(L, "scales or num_classes are missing");
    else if (n < 1 || lw_rank(L, box) != 3 || lw_dim(L, box, 0) != 1 || lw_dim(L, box, 1) != n ||
             lw_dim(L, box, 2) != 4 || lw_rank(L, scores) != 3 || lw_dim(L, scores, 0) != 1 ||
             lw_dim(L, scores, 1) != n || found < (int64_t)classes)
        lw_bad(L, "boxes, scores and anchors do not fit each other");
    if (L->t->boxes >= 0)
        lw_unsupported(L, "another one of its kind in the net");
    if (!lw_ok(L))
        return;
    float *anchors = dv_malloc((size_t)n * 4 * sizeof *anchors);
    if (!anchors) {
        lw_nomem(L);
        return;
    }
    memcpy(anchors, c->data, (size_t)n * 4 * sizeof *anchors);
    float by[2] = {(float)(1 / h), (float)(1 / w)};
    const int64_t two[3] = {1, 1, 2};
    int32_t middle = lw_binary(L, DV_BIN_MUL, columns(L, box, 0, 2),
                               pair_of(L, anchors, (size_t)n, 2, 1 / y, 1 / x));
    middle = lw_binary(L, DV_BIN_ADD, middle, pair_of(L, anchors, (size_t)n, 0, 1, 1));
    int32_t half =
        lw_binary(L, DV_BIN_MUL, columns(L, box, 2, 4), lw_add_const(L, DV_F32, 3, two, by));
    half = lw_binary(L, DV_BIN_MUL, lw_act(L, DV_ACT_EXP, half, 0, 0),
                     pair_of(L, anchors, (size_t)n, 2, 0.5, 0.5));
    dv_free(anchors);
    int32_t in[2] = {lw_binary(L, DV_BIN_SUB, middle, half),
                     lw_binary(L, DV_BIN_ADD, middle, half)};
    lw_begin(L, DV_OP_CONCAT, 2, in);
    lw_int(L, DV_A_AXIS, 2);
    L->t->boxes = lw_end(L);
    L->t->scores = columns(L, scores, found - (int64_t)classes, found);
}
