/* SPDX-License-Identifier: Apache-2.0
 *
 * Depthwise convolution and pooling for AVX2, made from the common template.
 */
#include <math.h>

#include "kernels/x86/avx2.h"
#include "kernels/x86/vec_avx2.h"

#include "kernels/simd_window.h"
