/* SPDX-License-Identifier: Apache-2.0
 *
 * Sixteen floats side by side (one panel) for the C twins of the matrix product and the
 * depthwise convolution. They are four vectors of the compiler's own, which every target
 * has: compilers turn the same thing written as loops over arrays into code that is five
 * times slower, and machines without a better variant have only this.
 */
#ifndef DV_C_BLOCK_H
#define DV_C_BLOCK_H

#include <string.h>

#include "kernels/kernels.h"

#define DV_C_INLINE static inline __attribute__((always_inline))

typedef float dv_vec4 __attribute__((vector_size(16)));
typedef float dv_uvec4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t dv_ivec4 __attribute__((vector_size(16)));
typedef struct dv_block {
    dv_vec4 v[DV_PANEL / 4];
} dv_block;

DV_C_INLINE dv_block dv_block_load(const float *p)
{
    const dv_uvec4 *q = (const dv_uvec4 *)p;
    dv_block b;
    for (int i = 0; i < DV_PANEL / 4; i++)
        b.v[i] = q[i];
    return b;
}

/* The first n <= 16 floats at p; the rest is 0. */
DV_C_INLINE dv_block dv_block_load_n(const float *p, size_t n)
{
    float all[DV_PANEL] = {0};
    if (n == DV_PANEL)
        return dv_block_load(p);
    memcpy(all, p, n * sizeof(float));
    return dv_block_load(all);
}

DV_C_INLINE void dv_block_store_n(float *p, dv_block b, size_t n)
{
    float all[DV_PANEL];
    dv_uvec4 *q = (dv_uvec4 *)(n == DV_PANEL ? p : all);
    for (int i = 0; i < DV_PANEL / 4; i++)
        q[i] = b.v[i];
    if (n != DV_PANEL)
        memcpy(p, all, n * sizeof(float));
}

DV_C_INLINE dv_vec4 dv_select(dv_ivec4 mask, dv_vec4 yes, dv_vec4 no)
{
    return (dv_vec4)(((dv_ivec4)yes & mask) | ((dv_ivec4)no & ~mask));
}

/* The epilogue for channels c .. c + n of one pixel; add: their residual, or NULL. */
DV_C_INLINE void dv_block_end(const dv_epilogue *ep, size_t c, size_t n, dv_block sum,
                              const float *add, float *out)
{
    const dv_block zero = {{{0}}};
    dv_block bias = ep->bias ? dv_block_load(ep->bias + c) : zero;
    dv_block more = add ? dv_block_load_n(add, n) : zero;
    dv_block slope = ep->act == DV_EP_PRELU ? dv_block_load(ep->slope + c) : zero;
    for (int i = 0; i < DV_PANEL / 4; i++) {
        dv_vec4 v = sum.v[i] + bias.v[i] + more.v[i];
        if (ep->act == DV_EP_CLIP) {
            v = dv_select(v < ep->lo, zero.v[i] + ep->lo, v);
            v = dv_select(v > ep->hi, zero.v[i] + ep->hi, v);
        } else if (ep->act == DV_EP_PRELU) {
            v = dv_select(v < zero.v[i], v * slope.v[i], v);
        }
        sum.v[i] = v;
    }
    dv_block_store_n(out, sum, n);
}

#endif
