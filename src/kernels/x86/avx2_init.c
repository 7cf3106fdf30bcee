/* SPDX-License-Identifier: Apache-2.0
 *
 * What AVX2 with FMA and F16C adds to the table.
 */
#include "kernels/x86/avx2.h"

void dv_kernels_avx2(dv_kernels *k)
{
#define DV_KERNEL(name, type) k->name = dv_avx2_##name;
#include "kernels/kernels.inc"
#undef DV_KERNEL
    k->gemm_mr = 6;
}
