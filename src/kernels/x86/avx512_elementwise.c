/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementwise and row kernels for AVX-512, made from the common templates.
 */
#include "kernels/x86/avx512.h"
#include "kernels/x86/vec_avx512.h"

#include "kernels/simd_elementwise.h"
#include "kernels/simd_rows.h"
