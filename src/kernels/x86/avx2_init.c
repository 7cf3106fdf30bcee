/* SPDX-License-Identifier: Apache-2.0
 *
 * What AVX2 with FMA and F16C adds to the table.
 */
#include "kernels/x86/avx2.h"

void dv_kernels_avx2(dv_kernels *k)
{
    k->gemm_f32 = dv_avx2_gemm_f32;
    k->conv_f32 = dv_avx2_conv_f32;
    k->winograd_in = dv_avx2_winograd_in;
    k->winograd_w = dv_avx2_winograd_w;
    k->winograd_out = dv_avx2_winograd_out;
    k->dw_f32 = dv_avx2_dw_f32;
    k->maxpool_f32 = dv_avx2_maxpool_f32;
    k->avgpool_f32 = dv_avx2_avgpool_f32;
    k->binary_f32 = dv_avx2_binary_f32;
    k->act_f32 = dv_avx2_act_f32;
    k->prelu_f32 = dv_avx2_prelu_f32;
    k->softmax_f32 = dv_avx2_softmax_f32;
    k->layernorm_f32 = dv_avx2_layernorm_f32;
    k->transpose_f32 = dv_avx2_transpose_f32;
    k->evens_f32 = dv_avx2_evens_f32;
    k->dots_f32 = dv_avx2_dots_f32;
    k->u8_to_f32 = dv_avx2_u8_to_f32;
    k->conv_u8 = dv_avx2_conv_u8;
    k->dw_u8 = dv_avx2_dw_u8;
    k->quant_u8 = dv_avx2_quant_u8;
    k->binary_u8 = dv_avx2_binary_u8;
    k->scale_u8 = dv_avx2_scale_u8;
    k->dots_s8 = dv_avx2_dots_s8;
    k->dots_f16 = dv_avx2_dots_f16;
    k->gemm_mr = 6;
}
