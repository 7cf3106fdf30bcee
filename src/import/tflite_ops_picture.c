/* SPDX-License-Identifier: Apache-2.0
 *
 * TensorFlow Lite operators on pictures, which are N, H, W, C as in the graph.
 */
#include <string.h>

#include "import/tflite.h"

enum { SAME = 0, VALID = 1 };

/* A bias of n floats at input i, or -1. */
static int32_t bias(dv_lower *L, size_t i, int64_t n)
{
    if (!lw_ok(L) || !tfl_at(L, i))
        return -1;
    const dv_gtensor *b = tfl_const(L, i, DV_F32, "a bias");
    if (b && (b->rank != 1 || b->dims[0] != n))
        lw_bad(L, "the bias has not %lld values", (long long)n);
    return lw_ok(L) ? tfl_need(L, i) : -1;
}

/* Strides, dilations and padding for a kernel of w->k; the fields of the options. */
static void read_window(dv_lower *L, int32_t x, int dilation, lw_window *w)
{
    int64_t padding = tfl_option(L, 0, 1, SAME);
    for (int i = 0; i < 2; i++) { /* width before height in the file */
        w->s[i] = tfl_option(L, 2 - (unsigned)i, 4, 1);
        w->d[i] = dilation ? tfl_option(L, (unsigned)(dilation + 1 - i), 4, 1) : 1;
    }
    memset(w->p, 0, sizeof w->p);
    lw_check_window(L, w);
    if (padding == SAME && lw_ok(L))
        lw_same_pads(L, lw_dim(L, x, 1), lw_dim(L, x, 2), w, false);
    else if (padding != VALID)
        lw_bad(L, "padding %lld", (long long)padding);
    lw_check_window(L, w);
}

static void need_picture(dv_lower *L, int32_t x)
{
    if (lw_ok(L) && lw_rank(L, x) != 4)
        lw_unsupported(L, "%d dims (pictures have 4)", lw_rank(L, x));
}

static void conv(dv_lower *L, bool depthwise)
{
    static const int dense[4] = {1, 2, 3, 0}, dw[4] = {1, 2, 0, 3};
    float *scales = NULL;
    lw_window w;
    int32_t x = tfl_need(L, 0);
    need_picture(L, x);
    int32_t in[3] = {x, tfl_weights(L, 4, depthwise ? dw : dense, depthwise ? 3 : 0, &scales), -1};
    if (lw_ok(L)) {
        const int64_t *d = L->g->tensors[in[1]].dims;
        int64_t c = lw_dim(L, x, 3), group = 1, oc = d[3];
        w.k[0] = d[0];
        w.k[1] = d[1];
        if (c < 1 || (depthwise ? d[2] != 1 || oc % c : c % d[2]))
            lw_bad(L, "weights of %lldx%lld channels for a picture of %lld", (long long)d[2],
                   (long long)oc, (long long)c);
        else
            group = depthwise ? c : c / d[2];
        if (oc % group)
            lw_bad(L, "%lld groups for %lld channels", (long long)group, (long long)oc);
        read_window(L, x, depthwise ? 5 : 4, &w);
        in[2] = bias(L, 2, oc);
        lw_begin(L, DV_OP_CONV, in[2] < 0 ? 2 : 3, in);
        lw_put_window(L, &w);
        if (group != 1)
            lw_int(L, DV_A_GROUP, group);
        if (scales)
            lw_floats(L, DV_IMPORT_SCALES, scales, (size_t)oc);
        tfl_act_out(L, lw_end(L), depthwise ? 4 : 3);
    }
    dv_free(scales);
}

static void lower_conv(dv_lower *L)
{
    conv(L, false);
}

static void lower_depthwise(dv_lower *L)
{
    conv(L, true);
}

/* Inputs: size of the result, weights O, H, W, I, the picture, a bias. */
static void lower_transpose_conv(dv_lower *L)
{
    static const int perm[4] = {3, 1, 2, 0};
    float *scales = NULL;
    lw_window w = {.d = {1, 1}};
    int64_t size[4], flat[2], extra[2] = {0};
    int32_t x = tfl_need(L, 2), k = tfl_weights(L, 4, perm, 0, &scales);
    size_t n = tfl_ints(L, 0, "the size of the result", size, 4);
    dv_free(scales);
    need_picture(L, x);
    if (lw_ok(L) && n != 4)
        lw_bad(L, "a result of %zu dims", n);
    if (!lw_ok(L))
        return;
    const int64_t *d = L->g->tensors[k].dims;
    int64_t padding = tfl_option(L, 0, 1, SAME), oc = d[3];
    flat[0] = d[0];
    flat[1] = d[1] * d[2] * d[3];
    for (int i = 0; i < 2; i++) {
        w.k[i] = d[1 + i];
        w.s[i] = tfl_option(L, 2 - (unsigned)i, 4, 1);
        int64_t in = lw_dim(L, x, 1 + i), full = (in - 1) * w.s[i] + w.k[i];
        if (in < 1 || in > 1 << 24 || w.s[i] < 1 || w.s[i] > LW_WINDOW_MAX)
            lw_unsupported(L, "a picture of free size");
        else if (padding == SAME && full > size[1 + i]) {
            w.p[i] = (full - size[1 + i]) / 2;
            w.p[2 + i] = full - size[1 + i] - w.p[i];
        } else
            extra[i] = size[1 + i] - full;
        if (lw_ok(L) && (extra[i] < 0 || extra[i] > LW_WINDOW_MAX))
            lw_bad(L, "a result of %lld from %lld", (long long)size[1 + i], (long long)in);
    }
    if (lw_ok(L) && lw_dim(L, x, 3) != flat[0])
        lw_bad(L, "the picture has %lld channels, the weights want %lld",
               (long long)lw_dim(L, x, 3), (long long)flat[0]);
    lw_check_window(L, &w);
    int32_t in[3] = {x, lw_reshape(L, k, 2, flat), bias(L, 3, oc)};
    lw_begin(L, DV_OP_CONV_TRANSPOSE, in[2] < 0 ? 2 : 3, in);
    lw_put_window(L, &w);
    if (extra[0] || extra[1])
        lw_ints(L, DV_A_OUTPUT_PAD, extra, 2);
    tfl_act_out(L, lw_end(L), 3);
}

static void pool(dv_lower *L, uint16_t op)
{
    lw_window w;
    int32_t x = tfl_need(L, 0);
    need_picture(L, x);
    w.k[0] = tfl_option(L, 4, 4, 0);
    w.k[1] = tfl_option(L, 3, 4, 0);
    read_window(L, x, 0, &w);
    lw_begin(L, op, 1, &x);
    lw_put_window(L, &w);
    int32_t y = lw_end(L);
    if (op == DV_OP_MAX_POOL && tfl_option(L, 5, 1, 0) == 0)
        tfl_moved(L, 0, y);
    else
        tfl_act_out(L, y, 5);
}

static void lower_max_pool(dv_lower *L)
{
    pool(L, DV_OP_MAX_POOL);
}

static void lower_average_pool(dv_lower *L)
{
    pool(L, DV_OP_AVG_POOL);
}

static void resize(dv_lower *L, bool linear)
{
    int64_t size[2];
    int32_t x = tfl_need(L, 0);
    unsigned first = linear ? 2 : 0;
    bool corners = tfl_option(L, first, 1, 0), half = tfl_option(L, first + 1, 1, 0);
    need_picture(L, x);
    if (tfl_ints(L, 1, "sizes", size, 2) != 2)
        lw_bad(L, "sizes are missing");
    for (int i = 0; lw_ok(L) && i < 2; i++)
        if (size[i] < 1 || size[i] > 1 << 20)
            lw_bad(L, "a size of %lld", (long long)size[i]);
    lw_begin(L, DV_OP_RESIZE, 1, &x);
    lw_int(L, DV_A_MODE, linear);
    lw_int(L, DV_A_COORD,
           corners ? DV_COORD_ALIGN_CORNERS
           : half  ? DV_COORD_HALF_PIXEL
                   : DV_COORD_ASYMMETRIC);
    if (!linear)
        lw_int(L, DV_A_NEAREST, corners || half ? 1 : 2);
    lw_ints(L, DV_A_SIZES, size, 2);
    if (linear)
        tfl_out(L, 0, lw_end(L));
    else
        tfl_moved(L, 0, lw_end(L));
}

static void lower_bilinear(dv_lower *L)
{
    resize(L, true);
}

static void lower_nearest(dv_lower *L)
{
    resize(L, false);
}

static void blocks(dv_lower *L, uint16_t op)
{
    int64_t block = tfl_option(L, 0, 4, 0);
    int32_t x = tfl_need(L, 0);
    need_picture(L, x);
    if (block < 1 || block > LW_WINDOW_MAX)
        lw_bad(L, "blocks of %lld", (long long)block);
    lw_begin(L, op, 1, &x);
    lw_int(L, DV_A_BLOCK, block);
    if (op == DV_OP_DEPTH_TO_SPACE)
        lw_int(L, DV_A_DCR, 1);
    tfl_out(L, 0, lw_end(L));
}

static void lower_depth_to_space(dv_lower *L)
{
    blocks(L, DV_OP_DEPTH_TO_SPACE);
}

static void lower_space_to_depth(dv_lower *L)
{
    blocks(L, DV_OP_SPACE_TO_DEPTH);
}

const tfl_op tfl_ops_picture[] = {
    {1, "AVERAGE_POOL_2D", lower_average_pool},
    {3, "CONV_2D", lower_conv},
    {4, "DEPTHWISE_CONV_2D", lower_depthwise},
    {5, "DEPTH_TO_SPACE", lower_depth_to_space},
    {17, "MAX_POOL_2D", lower_max_pool},
    {23, "RESIZE_BILINEAR", lower_bilinear},
    {26, "SPACE_TO_DEPTH", lower_space_to_depth},
    {67, "TRANSPOSE_CONV", lower_transpose_conv},
    {97, "RESIZE_NEAREST_NEIGHBOR", lower_nearest},
    {0, NULL, NULL},
};
