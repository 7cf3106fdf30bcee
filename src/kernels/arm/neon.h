/* SPDX-License-Identifier: Apache-2.0
 *
 * Prototypes of the NEON kernels: every family of floats has one.
 */
#ifndef DV_NEON_H
#define DV_NEON_H

#include "kernels/kernels.h"

#define DV_KERNEL(name, type) type dv_neon_##name;
#include "kernels/kernels.inc"
#undef DV_KERNEL

#endif
