/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix product for AVX-512, made from the common template.
 */
#include "kernels/x86/avx512.h"
#include "kernels/x86/vec_avx512.h"

#include "kernels/simd_gemm.h"
#include "kernels/simd_winograd.h"
