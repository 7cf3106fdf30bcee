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

/* The epilogue for output channel n; `add` is the residual, 0 if there is none. */
static inline float dv_c_epilogue(const dv_epilogue *ep, size_t n, float acc, float add)
{
    float v = acc + (ep->bias ? ep->bias[n] : 0.0f) + add;
    if (ep->act == DV_EP_CLIP) {
        v = v < ep->lo ? ep->lo : v;
        v = v > ep->hi ? ep->hi : v;
    } else if (ep->act == DV_EP_PRELU) {
        v = v < 0 ? v * ep->slope[n] : v;
    }
    return v;
}

#endif
