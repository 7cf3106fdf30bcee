/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix product for AVX2, made from the common template.
 */
#include "kernels/x86/avx2.h"
#include "kernels/x86/vec_avx2.h"

#include "kernels/simd_gemm.h"
#include "kernels/simd_winograd.h"
