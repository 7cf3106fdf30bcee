/* SPDX-License-Identifier: Apache-2.0
 *
 * What NEON adds to the table, on 64-bit and 32-bit ARM.
 */
#include "kernels/arm/neon.h"

void dv_kernels_neon(dv_kernels *k)
{
#define DV_KERNEL(name, type) k->name = dv_neon_##name;
#include "kernels/kernels.inc"
#undef DV_KERNEL
#if defined(__aarch64__)
    k->gemm_mr = 6;
#else
    k->gemm_mr = 2;
#endif
}
