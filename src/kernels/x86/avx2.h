/* SPDX-License-Identifier: Apache-2.0
 *
 * Prototypes of the AVX2 kernels: every family of floats has one.
 */
#ifndef DV_AVX2_H
#define DV_AVX2_H

#include "kernels/kernels.h"

#define DV_KERNEL(name, type) type dv_avx2_##name;
#include "kernels/kernels.inc"
#undef DV_KERNEL

#endif
