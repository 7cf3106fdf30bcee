/* SPDX-License-Identifier: Apache-2.0
 *
 * Depthwise convolution and pooling for AVX-512, made from the common template.
 */
#include <math.h>

#include "kernels/x86/avx512.h"
#include "kernels/x86/vec_avx512.h"

#include "kernels/simd_window.h"
