/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_picture.c - pooling, resizing, depth to space and back: N, C, H, W on both sides. */
#include <string.h>

#include "export/onnx_write.h"

void ex_window(ex *x, bool with_kernel)
{
    static const struct {
        uint16_t key;
        const char *name;
        uint32_t n;
        int64_t fallback;
    } all[] = {{DV_A_STRIDE, "strides", 2, 1},
               {DV_A_DILATION, "dilations", 2, 1},
               {DV_A_PADS, "pads", 4, 0}};
    int64_t v[4] = {1, 1, 1, 1};
    dv_node_ints(x->n, DV_A_KERNEL, v, 2);
    if (with_kernel)
        ex_ints(x, "kernel_shape", v, 2);
    for (size_t i = 0; i < DV_COUNT(all); i++) {
        bool plain = true;
        uint32_t n = dv_node_ints(x->n, all[i].key, v, 4);
        for (uint32_t k = 0; k < n && k < 4; k++)
            plain = plain && v[k] == all[i].fallback;
        if (!plain)
            ex_ints(x, all[i].name, v, all[i].n);
    }
}

void ex_do_pool(ex *x)
{
    bool most = x->n->op == DV_OP_MAX_POOL;
    int64_t d[2] = {1, 1};
    dv_node_ints(x->n, DV_A_DILATION, d, 2);
    if (!most && (d[0] != 1 || d[1] != 1))
        ex_unsupported(x, "a dilated average needs operator set 19");
    int32_t v = ex_op1(x, most ? "MaxPool" : "AveragePool", ex_get(x, ex_in(x, 0), EX_NCHW));
    ex_window(x, true);
    if (dv_node_int(x->n, DV_A_CEIL, 0))
        ex_int(x, "ceil_mode", 1);
    if (!most && dv_node_int(x->n, DV_A_COUNT_PAD, 0))
        ex_int(x, "count_include_pad", 1);
    ex_put(x, x->n->out[0], EX_NCHW, v);
}

/* Height and width behind the batch and channels of v. */
static int32_t whole_size(ex *x, int32_t v, int32_t two)
{
    static const int64_t zero = 0, end = 2;
    int32_t in[3] = {ex_op1(x, "Shape", v), ex_list(x, &zero, 1), ex_list(x, &end, 1)};
    int32_t both = ex_op2(x, "Concat", ex_op(x, "Slice", 3, in), two);
    ex_int(x, "axis", 0);
    return both;
}

void ex_do_resize(ex *x)
{
    static const char *const coords[] = {"half_pixel", "asymmetric", "align_corners",
                                         "pytorch_half_pixel"};
    static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                          "ceil"};
    const dv_attr *scales = dv_node_attr(x->n, DV_A_SCALES);
    bool linear = dv_node_int(x->n, DV_A_MODE, 0) == 1;
    int32_t in[4] = {ex_get(x, ex_in(x, 0), EX_NCHW), -1, -1, -1};
    if (scales) {
        float v[4] = {1, 1, scales->v.f[0], scales->v.f[1]};
        int64_t four = 4;
        in[2] = ex_floats(x, 1, &four, v);
    } else if (ex_in(x, 1) >= 0) {
        in[3] = whole_size(x, in[0], ex_get(x, ex_in(x, 1), EX_PLAIN));
    } else {
        int64_t v[2] = {1, 1};
        dv_node_ints(x->n, DV_A_SIZES, v, 2);
        in[3] = whole_size(x, in[0], ex_list(x, v, 2));
    }
    int32_t v = ex_op(x, "Resize", 4, in);
    ex_text(x, "mode", linear ? "linear" : "nearest");
    ex_text(x, "coordinate_transformation_mode", coords[dv_node_int(x->n, DV_A_COORD, 0)]);
    if (!linear)
        ex_text(x, "nearest_mode", nearest[dv_node_int(x->n, DV_A_NEAREST, 0)]);
    ex_put(x, x->n->out[0], EX_NCHW, v);
}

void ex_do_blocks(ex *x)
{
    bool fine = x->n->op == DV_OP_DEPTH_TO_SPACE;
    int32_t v = ex_op1(x, fine ? "DepthToSpace" : "SpaceToDepth", ex_get(x, ex_in(x, 0), EX_NCHW));
    ex_int(x, "blocksize", dv_node_int(x->n, DV_A_BLOCK, 1));
    if (fine)
        ex_text(x, "mode", dv_node_int(x->n, DV_A_DCR, 1) ? "DCR" : "CRD");
    ex_put(x, x->n->out[0], EX_NCHW, v);
}
