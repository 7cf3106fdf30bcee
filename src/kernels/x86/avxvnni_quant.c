/* SPDX-License-Identifier: Apache-2.0
 *
 * 8-bit convolution for processors that have VNNI with 256-bit vectors only (small cores since
 * 2021).
 */
#include "kernels/kernels.h"

dv_conv_u8_fn dv_avxvnni_conv_u8;

#define DV_QISA(name) dv_avxvnni_##name
#include "kernels/x86/quant_256.h"

void dv_kernels_avxvnni(dv_kernels *k)
{
    k->conv_u8 = dv_avxvnni_conv_u8;
}
