/* SPDX-License-Identifier: Apache-2.0
 *
 * Prototypes of the 8-bit kernels for AVX-512 with VNNI. A table look-up has none: bytes are looked
 * up one by one.
 */
#ifndef DV_VNNI_H
#define DV_VNNI_H

#include "kernels/c_kernels.h"

dv_conv_u8_fn dv_vnni_conv_u8;
dv_dw_u8_fn dv_vnni_dw_u8;
dv_quant_u8_fn dv_vnni_quant_u8;
dv_dequant_u8_fn dv_vnni_dequant_u8;
dv_binary_u8_fn dv_vnni_binary_u8;
dv_scale_u8_fn dv_vnni_scale_u8;
dv_sum_u8_fn dv_vnni_sum_u8;
dv_maxpool_u8_fn dv_vnni_maxpool_u8;

#endif
