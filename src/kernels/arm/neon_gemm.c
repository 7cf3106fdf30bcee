/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix product and dense convolution for NEON, made from the common template.
 */
#include "kernels/arm/neon.h"
#include "kernels/arm/vec_neon.h"

#include "kernels/simd_gemm.h"
#include "kernels/simd_winograd.h"
