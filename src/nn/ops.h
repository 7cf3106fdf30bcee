/* SPDX-License-Identifier: Apache-2.0
 * ops.h - the op table's entries and what op files share. */
#ifndef DV_OPS_H
#define DV_OPS_H

#include "nn/exec.h"

extern const dv_op dv_op_conv, dv_op_conv_transpose, dv_op_linear, dv_op_matmul, dv_op_se,
    dv_op_max_pool, dv_op_avg_pool, dv_op_resize, dv_op_act, dv_op_prelu, dv_op_binary,
    dv_op_softmax, dv_op_layer_norm, dv_op_l2_norm, dv_op_reduce, dv_op_concat, dv_op_split,
    dv_op_slice, dv_op_gather, dv_op_transpose, dv_op_reshape, dv_op_flatten, dv_op_squeeze,
    dv_op_unsqueeze, dv_op_expand, dv_op_pad, dv_op_cast, dv_op_shape, dv_op_identity,
    dv_op_channel_shuffle, dv_op_depth_to_space, dv_op_space_to_depth, dv_op_quantize,
    dv_op_dequantize, dv_op_q_conv, dv_op_q_linear, dv_op_q_binary, dv_op_q_act, dv_op_q_se,
    dv_op_to_half, dv_op_from_half, dv_op_h_conv, dv_op_h_linear;

/* SqueezeExcite of floats and bytes: the gates (C floats) from the means of the channels. */
void dv_se_gate(dv_exec *x, const dv_step *s, const float *mean, float *gate, float *mid);
dmv_status dv_se_check(const dv_graph *g, const dv_node *n, dv_err *e);
dmv_status dv_se_shape(dv_exec *x, dv_step *s, dv_err *e);
dmv_status dv_check_act(const dv_node *n, int slope, dv_err *e);
/* A matrix product of floats: the step's input 0 (rows of k) times the panels of input 1, n wide,
 * epilogue inputs from 2 on. Ranges: rows, or columns in units of DV_HPANEL. */
dv_range dv_gemm_rows, dv_gemm_columns;
void dv_gemm_run(dv_exec *x, const dv_step *s);
/* Applies an activation that the kernels' epilogue does not have; c: rows x n, row stride ldc. */
void dv_finish_act(dv_exec *x, const dv_step *s, int act, float *c, size_t rows, size_t n,
                   size_t ldc);

/* Dense 3x3 convolutions by Winograd (ops_winograd.c). plan: true if that pays for a convolution of
 * this shape, stride 1, not dilated; then `run` computes the step. The step's state begins with w.
 */
typedef struct dv_winograd {
    size_t ic, oc, iw, ih, ow, oh, left, top, images;
    size_t across, down; /* tiles */
    size_t rows, blocks; /* rows of tiles in a block, blocks of an image */
    size_t ldv;          /* floats from one matrix of the block to the next */
    size_t block;        /* now running, of all images */
} dv_winograd;
bool dv_winograd_plan(dv_step *s, dv_winograd *w);
void dv_winograd_run(dv_exec *x, const dv_step *s, dv_winograd *w);

/* A walk over the elements of a dense output whose source has other strides: the copy op
 * behind Transpose, Slice, Expand, Split, Concat, Gather and broadcasting. */
typedef struct dv_walk {
    int rank;
    int64_t dims[DMV_MAX_RANK];
    int64_t stride[DMV_MAX_RANK]; /* of the source, in elements; may be 0 or negative */
} dv_walk;
void dv_strides(int rank, const int64_t *dims, int64_t *stride); /* dense row-major */
/* Drops size-1 axes and joins axes that are contiguous in the source. */
void dv_walk_simplify(dv_walk *w);
void dv_walk_copy_f32(const dv_walk *w, const float *src, float *dst);
void dv_walk_copy_i64(const dv_walk *w, const int64_t *src, int64_t *dst);
void dv_walk_copy_u8(const dv_walk *w, const uint8_t *src, uint8_t *dst);

#endif
