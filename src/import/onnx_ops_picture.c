/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators on pictures. ONNX has them as N, C, H, W, the graph as N, H, W, C: each is
 * lowered between two Transposes, which the passes cancel against their neighbours.
 */
#include <math.h>
#include <string.h>

#include "import/onnx.h"

typedef lw_window window;

/* One attribute with a value for each of the two picture axes. */
static void pair(dv_lower *L, const char *name, int64_t *v)
{
    int64_t all[4];
    size_t n = lw_attr_ints(L, name, all, 4);
    if (n == 0)
        return;
    if (n != 2) {
        lw_unsupported(L, "%zu-d pictures", n);
        return;
    }
    for (int i = 0; i < 2; i++) {
        v[i] = all[i];
        if (v[i] < 1 || v[i] > LW_WINDOW_MAX)
            lw_bad(L, "%s is %lld", name, (long long)v[i]);
    }
}

/* Strides, dilations and pads for a kernel of w->k. x: N, C, H, W. */
static void read_window(dv_lower *L, int32_t x, window *w)
{
    char buf[48];
    int64_t pads[8];
    for (int i = 0; i < 2; i++)
        w->s[i] = w->d[i] = 1;
    memset(w->p, 0, sizeof w->p);
    pair(L, "strides", w->s);
    pair(L, "dilations", w->d);
    const char *mode = lw_attr_text(L, "auto_pad", "NOTSET", buf);
    if (!strcmp(mode, "SAME_UPPER") || !strcmp(mode, "SAME_LOWER")) {
        lw_same_pads(L, lw_dim(L, x, 2), lw_dim(L, x, 3), w, !strcmp(mode, "SAME_LOWER"));
    } else if (!strcmp(mode, "NOTSET")) {
        size_t n = lw_attr_ints(L, "pads", pads, 8);
        if (n && n != 4)
            lw_unsupported(L, "%zu-d pictures", n / 2);
        for (size_t i = 0; n == 4 && i < 4; i++) {
            if (pads[i] < 0)
                lw_unsupported(L, "negative pads");
            w->p[i] = pads[i];
        }
    } else if (strcmp(mode, "VALID")) {
        lw_bad(L, "auto_pad is '%s'", mode);
    }
    for (int i = 0; i < 4; i++)
        if (w->p[i] > LW_PAD_MAX)
            lw_bad(L, "a padding of %lld", (long long)w->p[i]);
}

/* Weights of a (transposed) convolution: constant, 4 dims, none of them 0. */
static const dv_gtensor *weights(dv_lower *L, window *w)
{
    const dv_gtensor *c = lw_const_in(L, 1, DV_F32, "weights");
    int64_t kernel[2];
    if (!c) {
        lw_need(L, 1);
        return NULL;
    }
    if (c->rank != 4) {
        if (c->rank == 3 || c->rank == 5)
            lw_unsupported(L, "%d-d pictures", c->rank - 2);
        lw_bad(L, "the weights have %d dims", c->rank);
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        kernel[i] = w->k[i] = c->dims[2 + i];
        if (kernel[i] < 1 || kernel[i] > LW_WINDOW_MAX)
            lw_bad(L, "a kernel of %lld", (long long)kernel[i]);
    }
    pair(L, "kernel_shape", kernel);
    if (kernel[0] != w->k[0] || kernel[1] != w->k[1])
        lw_bad(L, "kernel_shape is %lldx%lld, the weights are %lldx%lld", (long long)kernel[0],
               (long long)kernel[1], (long long)w->k[0], (long long)w->k[1]);
    return lw_ok(L) ? c : NULL;
}

/* A bias of n floats at input 2, or -1. */
static int32_t bias(dv_lower *L, int64_t n)
{
    const dv_gtensor *b = lw_const_in(L, 2, DV_F32, "a bias");
    if (!b)
        return -1;
    if (b->rank != 1 || b->dims[0] != n)
        lw_bad(L, "the bias has not %lld values", (long long)n);
    return lw_cast(L, lw_in(L, 2), DV_F32);
}

/* O, I, H, W to H, W, I, O; of a transposed convolution I, O, H, W to I, (H, W, O). */
static int32_t turn_weights(dv_lower *L, const dv_gtensor *c, bool transposed)
{
    size_t count;
    if (!c || !dv_count(4, c->dims, &count))
        return -1;
    size_t a = (size_t)c->dims[0], b = (size_t)c->dims[1];
    size_t taps = (size_t)(c->dims[2] * c->dims[3]);
    const float *in = c->data;
    float *out = dv_malloc(count * sizeof *out);
    if (!out) {
        lw_nomem(L);
        return -1;
    }
    for (size_t i = 0; i < a; i++)
        for (size_t j = 0; j < b; j++)
            for (size_t t = 0; t < taps; t++) {
                size_t at = transposed ? (i * taps + t) * b + j : (t * b + j) * a + i;
                out[at] = *in++;
            }
    int64_t conv[4] = {c->dims[2], c->dims[3], c->dims[1], c->dims[0]};
    int64_t tr[2] = {c->dims[0], (int64_t)(taps * b)};
    int32_t t =
        transposed ? lw_add_const(L, DV_F32, 2, tr, out) : lw_add_const(L, DV_F32, 4, conv, out);
    dv_free(out);
    return t;
}

static void lower_conv(dv_lower *L)
{
    window w;
    int32_t x = lw_need(L, 0);
    const dv_gtensor *c = weights(L, &w);
    int64_t group = lw_attr_int(L, "group", 1);
    if (!c)
        return;
    int64_t oc = c->dims[0], icg = c->dims[1];
    if (group < 1 || group > LW_PAD_MAX || oc < 1 || icg < 1 || oc % group)
        lw_bad(L, "%lld groups for weights of %lldx%lld channels", (long long)group, (long long)oc,
               (long long)icg);
    if (lw_dim(L, x, 1) >= 0 && lw_dim(L, x, 1) != icg * group)
        lw_bad(L, "the picture has %lld channels, the weights want %lld",
               (long long)lw_dim(L, x, 1), (long long)(icg * group));
    read_window(L, x, &w);
    int32_t in[3] = {lw_nhwc(L, x), -1, bias(L, oc)};
    if (!lw_ok(L))
        return;
    in[1] = turn_weights(L, lw_const_in(L, 1, DV_F32, "weights"), false);
    lw_begin(L, DV_OP_CONV, in[2] < 0 ? 2 : 3, in);
    lw_put_window(L, &w);
    if (group != 1)
        lw_int(L, DV_A_GROUP, group);
    lw_keep_scales(L, lw_in(L, 1), 0, (size_t)oc, 1);
    lw_out(L, 0, lw_nchw(L, lw_end(L)));
}

static void lower_conv_transpose(dv_lower *L)
{
    window w;
    char buf[48];
    int64_t extra[2] = {0, 0}, all[4];
    int32_t x = lw_need(L, 0);
    const dv_gtensor *c = weights(L, &w);
    if (!c)
        return;
    int64_t ic = c->dims[0], oc = c->dims[1];
    if (lw_attr_int(L, "group", 1) != 1)
        lw_unsupported(L, "groups");
    if (lw_attr(L, "output_shape"))
        lw_unsupported(L, "output_shape (use pads)");
    if (strcmp(lw_attr_text(L, "auto_pad", "NOTSET", buf), "NOTSET"))
        lw_unsupported(L, "auto_pad (use pads)");
    if (ic < 1 || oc < 1 || (lw_dim(L, x, 1) >= 0 && lw_dim(L, x, 1) != ic))
        lw_bad(L, "the picture has %lld channels, the weights want %lld",
               (long long)lw_dim(L, x, 1), (long long)ic);
    read_window(L, x, &w);
    size_t n = lw_attr_ints(L, "output_padding", all, 4);
    for (size_t i = 0; n == 2 && i < 2; i++) {
        extra[i] = all[i];
        if (extra[i] < 0 || extra[i] > LW_WINDOW_MAX)
            lw_bad(L, "an output_padding of %lld", (long long)extra[i]);
    }
    int32_t in[3] = {lw_nhwc(L, x), -1, bias(L, oc)};
    if (!lw_ok(L))
        return;
    in[1] = turn_weights(L, lw_const_in(L, 1, DV_F32, "weights"), true);
    lw_begin(L, DV_OP_CONV_TRANSPOSE, in[2] < 0 ? 2 : 3, in);
    lw_put_window(L, &w);
    if (extra[0] || extra[1])
        lw_ints(L, DV_A_OUTPUT_PAD, extra, 2);
    lw_out(L, 0, lw_nchw(L, lw_end(L)));
}

static void lower_pool(dv_lower *L, uint16_t op)
{
    window w = {.k = {0, 0}};
    int32_t x = lw_need(L, 0);
    pair(L, "kernel_shape", w.k);
    if (lw_ok(L) && w.k[0] == 0)
        lw_bad(L, "kernel_shape is missing");
    read_window(L, x, &w);
    int64_t ceil_mode = lw_attr_int(L, "ceil_mode", 0);
    int64_t count_pad = lw_attr_int(L, "count_include_pad", 0);
    int32_t in = lw_nhwc(L, x);
    lw_begin(L, op, 1, &in);
    lw_put_window(L, &w);
    if (ceil_mode)
        lw_int(L, DV_A_CEIL, 1);
    if (count_pad && op == DV_OP_AVG_POOL)
        lw_int(L, DV_A_COUNT_PAD, 1);
    lw_out(L, 0, lw_nchw(L, lw_end(L)));
}

static void lower_max_pool(dv_lower *L)
{
    lower_pool(L, DV_OP_MAX_POOL);
}

static void lower_average_pool(dv_lower *L)
{
    lower_pool(L, DV_OP_AVG_POOL);
}

static void lower_global(dv_lower *L, int kind)
{
    static const int64_t axes[4] = {2, 3, 4, 5};
    int32_t x = lw_need(L, 0);
    int rank = lw_rank_or(L, x, 4);
    if (lw_ok(L) && rank < 3)
        lw_bad(L, "a tensor with %d dims", rank);
    if (lw_ok(L))
        lw_out(L, 0, lw_reduce(L, x, kind, (size_t)rank - 2, axes, true));
}

static void lower_global_average(dv_lower *L)
{
    lower_global(L, DV_RED_MEAN);
}

static void lower_global_max(dv_lower *L)
{
    lower_global(L, DV_RED_MAX);
}

/* ---- Resize ---- */

typedef struct resize {
    bool linear, has_scales;
    int coord, nearest; /* nearest -1: as before operator set 11 */
    float scales[2];
    int64_t sizes[2]; /* when has_sizes; else the tensor */
    bool has_sizes;
    int32_t sizes_t;
} resize;

static void resize_mode(dv_lower *L, resize *r)
{
    char buf[48];
    const char *mode = lw_attr_text(L, "mode", "nearest", buf);
    r->linear = !strcmp(mode, "linear") || !strcmp(mode, "bilinear");
    if (!r->linear && strcmp(mode, "nearest"))
        lw_unsupported(L, "mode %s", mode);
    r->coord = DV_COORD_ASYMMETRIC;
    r->nearest = -1;
    if (!strcmp(L->o->n->op_type, "Upsample") || L->o->opset < 11)
        return;
    static const char *const coords[] = {"half_pixel", "asymmetric", "align_corners",
                                         "pytorch_half_pixel"};
    static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                          "ceil"};
    const char *s = lw_attr_text(L, "coordinate_transformation_mode", coords[0], buf);
    r->coord = -1;
    for (int i = 0; i < 4; i++)
        if (!strcmp(s, coords[i]))
            r->coord = i;
    if (r->coord < 0)
        lw_unsupported(L, "coordinates %s", s);
    s = lw_attr_text(L, "nearest_mode", nearest[0], buf);
    for (int i = 0; i < 4; i++)
        if (!strcmp(s, nearest[i]))
            r->nearest = i;
    if (r->nearest < 0)
        lw_bad(L, "nearest_mode is '%s'", s);
    if (lw_attr_int(L, "antialias", 0))
        lw_unsupported(L, "antialias");
    s = lw_attr_text(L, "keep_aspect_ratio_policy", "stretch", buf);
    if (strcmp(s, "stretch"))
        lw_unsupported(L, "keep_aspect_ratio_policy");
}

/* Four scales, or two with axes 2, 3; the first two of four must be 1. */
static void resize_scales(dv_lower *L, resize *r, const float *v, size_t n)
{
    if (n != 4 && n != 2) {
        lw_unsupported(L, "%zu scales", n);
        return;
    }
    if (n == 4 && (v[0] != 1 || v[1] != 1))
        lw_unsupported(L, "a change of batch or channels");
    for (int i = 0; i < 2; i++) {
        r->scales[i] = v[n - 2 + (size_t)i];
        if (!(r->scales[i] > 0 && r->scales[i] <= LW_WINDOW_MAX))
            lw_bad(L, "a scale of %g", (double)r->scales[i]);
    }
    r->has_scales = true;
}

static void resize_sizes(dv_lower *L, resize *r, int32_t x, int32_t t)
{
    const dv_gtensor *c = lw_const(L, t);
    int64_t n = lw_dim(L, t, 0);
    if (!lw_poisoned(L, t) && lw_ok(L) && lw_type(L, t) != DV_I64)
        lw_bad(L, "sizes are not integers");
    if (lw_ok(L) && (lw_rank(L, t) != 1 || (n != 4 && n != 2)))
        lw_unsupported(L, "sizes for other than 4 dims");
    if (!lw_ok(L))
        return;
    if (c) {
        const int64_t *v = c->data;
        for (int i = 0; i < 2 && n == 4; i++)
            if (lw_dim(L, x, i) >= 0 && v[i] != lw_dim(L, x, i))
                lw_unsupported(L, "a change of batch or channels");
        for (int i = 0; i < 2; i++) {
            r->sizes[i] = v[n - 2 + i];
            if (r->sizes[i] < 1 || r->sizes[i] > INT32_MAX)
                lw_bad(L, "a size of %lld", (long long)r->sizes[i]);
        }
        r->has_sizes = true;
    } else if (n == 2) {
        r->sizes_t = t;
    } else {
        static const int64_t start = 2, end = 4, zero = 0, one = 1;
        lw_begin(L, DV_OP_SLICE, 1, &t);
        lw_ints(L, DV_A_STARTS, &start, 1);
        lw_ints(L, DV_A_ENDS, &end, 1);
        lw_ints(L, DV_A_AXES, &zero, 1);
        lw_ints(L, DV_A_STEPS, &one, 1);
        r->sizes_t = lw_end(L);
    }
}

/* Before operator set 11 "nearest" rounded down when enlarging and up when reducing. */
static void old_nearest(dv_lower *L, resize *r)
{
    if (r->nearest >= 0 || r->linear)
        return;
    if (!r->has_scales || (r->scales[0] < 1) != (r->scales[1] < 1))
        lw_unsupported(L, "old rounding for mixed or unknown scales");
    r->nearest = r->scales[0] < 1 ? 3 : 2;
}

static void lower_resize(dv_lower *L)
{
    resize r = {.sizes_t = -1};
    int64_t axes[4];
    int32_t x = lw_need(L, 0);
    resize_mode(L, &r);
    size_t n = lw_attr_ints(L, "axes", axes, 4);
    if (n == 4
            ? axes[0] || axes[1] != 1 || axes[2] != 2 || axes[3] != 3
            : n && (n != 2 || (axes[0] != 2 && axes[0] != -2) || (axes[1] != 3 && axes[1] != -1)))
        lw_unsupported(L, "axes other than height and width");
    bool old = !strcmp(L->o->n->op_type, "Upsample") || L->o->opset < 11;
    const Onnx__AttributeProto *a = lw_attr(L, "scales"); /* Upsample-7 */
    int32_t sizes = old ? -1 : lw_in(L, 3);
    if (a) {
        resize_scales(L, &r, a->floats, a->n_floats);
    } else if (sizes >= 0) {
        resize_sizes(L, &r, x, sizes);
    } else {
        const dv_gtensor *c = lw_const_in(L, old ? 1 : 2, DV_F32, "scales");
        size_t count;
        if (c && dv_count(c->rank, c->dims, &count))
            resize_scales(L, &r, c->data, count);
        else
            lw_bad(L, "neither scales nor sizes");
    }
    old_nearest(L, &r);
    if (lw_ok(L) && L->info[x].bytes)
        lw_unsupported(L, "8-bit values that are not dequantised");
    int32_t in[2] = {lw_nhwc(L, x), r.sizes_t};
    lw_begin(L, DV_OP_RESIZE, r.sizes_t < 0 ? 1 : 2, in);
    lw_int(L, DV_A_MODE, r.linear);
    lw_int(L, DV_A_COORD, r.coord);
    if (!r.linear)
        lw_int(L, DV_A_NEAREST, r.nearest);
    if (r.has_scales)
        lw_floats(L, DV_A_SCALES, r.scales, 2);
    if (r.has_sizes)
        lw_ints(L, DV_A_SIZES, r.sizes, 2);
    lw_out(L, 0, lw_nchw(L, lw_end(L)));
}

static void lower_blocks(dv_lower *L, uint16_t op)
{
    char buf[48];
    int64_t block = lw_attr_int(L, "blocksize", 0);
    const char *mode = lw_attr_text(L, "mode", "DCR", buf);
    if (block < 1 || block > LW_WINDOW_MAX)
        lw_bad(L, "blocksize is %lld", (long long)block);
    int32_t in = lw_nhwc(L, lw_need(L, 0));
    lw_begin(L, op, 1, &in);
    lw_int(L, DV_A_BLOCK, block);
    if (op == DV_OP_DEPTH_TO_SPACE)
        lw_int(L, DV_A_DCR, strcmp(mode, "CRD") != 0);
    lw_out(L, 0, lw_nchw(L, lw_end(L)));
}

static void lower_depth_to_space(dv_lower *L)
{
    lower_blocks(L, DV_OP_DEPTH_TO_SPACE);
}

static void lower_space_to_depth(dv_lower *L)
{
    lower_blocks(L, DV_OP_SPACE_TO_DEPTH);
}

const lw_op lw_ops_picture[] = {
    {"Conv", lower_conv},
    {"ConvTranspose", lower_conv_transpose},
    {"MaxPool", lower_max_pool},
    {"AveragePool", lower_average_pool},
    {"GlobalAveragePool", lower_global_average},
    {"GlobalMaxPool", lower_global_max},
    {"Resize", lower_resize},
    {"Upsample", lower_resize},
    {"DepthToSpace", lower_depth_to_space},
    {"SpaceToDepth", lower_space_to_depth},
    {NULL, NULL},
};
