/* SPDX-License-Identifier: Apache-2.0
 *
 * Depthwise convolution and pooling for NEON, made from the common template.
 */
#include <math.h>

#include "kernels/arm/neon.h"
#include "kernels/arm/vec_neon.h"

#include "kernels/simd_window.h"
