/* SPDX-License-Identifier: Apache-2.0
 *
 * The C twins: one plain function per family, named dv_c_<family>. They are the
 * fallback on every machine and the reference that the kernel tests measure the
 * other variants against, so they follow kernels.h word for word and do nothing clever.
 */
#ifndef DV_C_KERNELS_H
#define DV_C_KERNELS_H

#include "kernels/kernels.h"

#define DV_KERNEL(name, type) type dv_c_##name;
#include "kernels/kernels.inc"
#undef DV_KERNEL

#endif
