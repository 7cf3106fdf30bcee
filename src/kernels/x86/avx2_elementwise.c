/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementwise and row kernels for AVX2, made from the common templates.
 */
#include "kernels/x86/avx2.h"
#include "kernels/x86/vec_avx2.h"

#include "kernels/simd_elementwise.h"
#include "kernels/simd_rows.h"
