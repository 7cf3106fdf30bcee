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

/* The epilogue for channels n .. n + count of one pixel; add: their residual, or NULL.
 * One loop for each step and no branch on data, so that compilers make vectors of it. */
static inline void dv_c_epilogue(const dv_epilogue *ep, size_t n, size_t count, float *sum,
                                 const float *add, float *out)
{
    for (size_t j = 0; ep->bias && j < count; j++)
        sum[j] += ep->bias[n + j];
    for (size_t j = 0; add && j < count; j++)
        sum[j] += add[j];
    if (ep->act == DV_EP_CLIP) {
        for (size_t j = 0; j < count; j++) {
            float v = sum[j] < ep->lo ? ep->lo : sum[j];
            sum[j] = v > ep->hi ? ep->hi : v;
        }
    } else if (ep->act == DV_EP_PRELU) {
        for (size_t j = 0; j < count; j++) {
            float scaled = sum[j] * ep->slope[n + j];
            sum[j] = sum[j] < 0 ? scaled : sum[j];
        }
    }
    for (size_t j = 0; j < count; j++)
        out[j] = sum[j];
}

#endif
