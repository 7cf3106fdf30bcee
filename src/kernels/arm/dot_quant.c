/* SPDX-License-Identifier: Apache-2.0
 *
 * 8-bit convolution with the dot product instruction of ARMv8.2.
 */
#define DV_QISA(name) dv_dot_##name
#define DV_DOT 1
#include "kernels/arm/neon.h"

dv_conv_u8_fn dv_dot_conv_u8;

#include "kernels/arm/quant_neon.h"

void dv_kernels_dot(dv_kernels *k)
{
    k->conv_u8 = dv_dot_conv_u8;
}
