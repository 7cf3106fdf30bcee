/* SPDX-License-Identifier: Apache-2.0
 *
 * What VNNI adds to the table.
 */
#include "kernels/x86/vnni.h"

void dv_kernels_vnni(dv_kernels *k)
{
    k->conv_u8 = dv_vnni_conv_u8;
    k->dw_u8 = dv_vnni_dw_u8;
    k->quant_u8 = dv_vnni_quant_u8;
    k->dequant_u8 = dv_vnni_dequant_u8;
    k->binary_u8 = dv_vnni_binary_u8;
    k->scale_u8 = dv_vnni_scale_u8;
    k->sum_u8 = dv_vnni_sum_u8;
    k->maxpool_u8 = dv_vnni_maxpool_u8;
}
