/* SPDX-License-Identifier: Apache-2.0
 *
 * What NEON adds to the table, on 64-bit and 32-bit ARM.
 */
#include "kernels/arm/neon.h"

void dv_kernels_neon(dv_kernels *k)
{
    k->gemm_f32 = dv_neon_gemm_f32;
    k->conv_f32 = dv_neon_conv_f32;
    k->winograd_in = dv_neon_winograd_in;
    k->winograd_w = dv_neon_winograd_w;
    k->winograd_out = dv_neon_winograd_out;
    k->dw_f32 = dv_neon_dw_f32;
    k->maxpool_f32 = dv_neon_maxpool_f32;
    k->avgpool_f32 = dv_neon_avgpool_f32;
    k->binary_f32 = dv_neon_binary_f32;
    k->act_f32 = dv_neon_act_f32;
    k->prelu_f32 = dv_neon_prelu_f32;
    k->softmax_f32 = dv_neon_softmax_f32;
    k->layernorm_f32 = dv_neon_layernorm_f32;
    k->transpose_f32 = dv_neon_transpose_f32;
    k->evens_f32 = dv_neon_evens_f32;
    k->dots_f32 = dv_neon_dots_f32;
    k->u8_to_f32 = dv_neon_u8_to_f32;
    k->conv_u8 = dv_neon_conv_u8;
    k->dw_u8 = dv_neon_dw_u8;
    k->binary_u8 = dv_neon_binary_u8;
    k->dots_s8 = dv_neon_dots_s8;
    k->dots_f16 = dv_neon_dots_f16;
#if defined(__aarch64__)
    k->quant_u8 = dv_neon_quant_u8;
    k->gemm_mr = 6;
#else
    k->gemm_mr = 2;
#endif
}
