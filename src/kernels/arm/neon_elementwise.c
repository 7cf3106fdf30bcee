/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementwise and row kernels for NEON, made from the common templates.
 */
#include "kernels/arm/neon.h"
#include "kernels/arm/vec_neon.h"

#include "kernels/simd_elementwise.h"
#include "kernels/simd_rows.h"
