/* SPDX-License-Identifier: Apache-2.0
 *
 * What AVX-512 (F, BW, VL, DQ) adds to the table.
 */
#include "kernels/x86/avx512.h"

void dv_kernels_avx512(dv_kernels *k)
{
    k->gemm_f32 = dv_avx512_gemm_f32;
    k->conv_f32 = dv_avx512_conv_f32;
    k->winograd_in = dv_avx512_winograd_in;
    k->winograd_w = dv_avx512_winograd_w;
    k->winograd_out = dv_avx512_winograd_out;
    k->dw_f32 = dv_avx512_dw_f32;
    k->maxpool_f32 = dv_avx512_maxpool_f32;
    k->avgpool_f32 = dv_avx512_avgpool_f32;
    k->binary_f32 = dv_avx512_binary_f32;
    k->act_f32 = dv_avx512_act_f32;
    k->prelu_f32 = dv_avx512_prelu_f32;
    k->softmax_f32 = dv_avx512_softmax_f32;
    k->layernorm_f32 = dv_avx512_layernorm_f32;
    k->dots_f32 = dv_avx512_dots_f32;
    if (k->cpu & DV_CPU_VNNI)
        k->dots_s8 = dv_vnni_dots_s8;
    k->gemm_mr = 14;
}
