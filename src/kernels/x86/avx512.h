/* SPDX-License-Identifier: Apache-2.0
 *
 * Prototypes of the AVX-512 kernels. Transpose and pixel conversion have none: 256 bits
 * reach the memory's limit there.
 */
#ifndef DV_AVX512_H
#define DV_AVX512_H

#include "kernels/kernels.h"

dv_gemm_f32_fn dv_avx512_gemm_f32;
dv_conv_f32_fn dv_avx512_conv_f32;
dv_winograd_in_fn dv_avx512_winograd_in;
dv_winograd_w_fn dv_avx512_winograd_w;
dv_winograd_out_fn dv_avx512_winograd_out;
dv_dw_f32_fn dv_avx512_dw_f32;
dv_pool_f32_fn dv_avx512_maxpool_f32, dv_avx512_avgpool_f32;
dv_binary_f32_fn dv_avx512_binary_f32;
dv_act_f32_fn dv_avx512_act_f32;
dv_prelu_f32_fn dv_avx512_prelu_f32;
dv_softmax_f32_fn dv_avx512_softmax_f32;
dv_layernorm_f32_fn dv_avx512_layernorm_f32;
dv_dots_f32_fn dv_avx512_dots_f32;
dv_dots_s8_fn dv_vnni_dots_s8;

#endif
