/* SPDX-License-Identifier: Apache-2.0
 * simd.h - how templates of kernels become code: always inline, loops of constant length unrolled. */
#ifndef DV_SIMD_H
#define DV_SIMD_H

#include "kernels/kernels.h"

#define DV_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define DV_UNROLL _Pragma("clang loop unroll(full)")
#else
#define DV_UNROLL _Pragma("GCC unroll 32")
#endif

#endif
