/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic in halves with the fp16 extension of ARMv8.2.
 */
#include <arm_neon.h>
#include <string.h>

#include "kernels/simd.h"

dv_conv_f16_fn dv_neonfp16_conv_f16;
dv_dw_f16_fn dv_neonfp16_dw_f16;
dv_to_f16_fn dv_neonfp16_to_f16;
dv_from_f16_fn dv_neonfp16_from_f16;

#define H_ISA(name) dv_neonfp16_##name
#define HW 8
#define H_MR 6 /* 24 sums, 4 weights, 1 element of a */
#define H_ROWS(F) F(1) F(2) F(3) F(4) F(5) F(6)
#define H_NP(mr) ((mr) == 1 ? 4 : 2)
typedef float16x8_t vh;

DV_INLINE vh h_zero(void)
{
    return vreinterpretq_f16_u16(vdupq_n_u16(0));
}
DV_INLINE vh h_load(const uint16_t *p)
{
    return vreinterpretq_f16_u16(vld1q_u16(p));
}
DV_INLINE vh h_load_n(const uint16_t *p, size_t n)
{
    uint16_t part[HW] = {0};
    if (n >= HW)
        return h_load(p);
    for (size_t i = 0; i < n; i++)
        part[i] = p[i];
    return h_load(part);
}
DV_INLINE void h_store_n(uint16_t *p, vh v, size_t n)
{
    uint16_t part[HW];
    if (n >= HW) {
        vst1q_u16(p, vreinterpretq_u16_f16(v));
        return;
    }
    vst1q_u16(part, vreinterpretq_u16_f16(v));
    for (size_t i = 0; i < n; i++)
        p[i] = part[i];
}
DV_INLINE vh h_set1(uint16_t v)
{
    return vreinterpretq_f16_u16(vdupq_n_u16(v));
}
DV_INLINE vh h_pair(const uint16_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return vreinterpretq_f16_u32(vdupq_n_u32(v));
}
DV_INLINE vh h_fma(vh a, vh b, vh c)
{
    return vfmaq_f16(c, a, b);
}
DV_INLINE vh h_add(vh a, vh b)
{
    return vaddq_f16(a, b);
}
/* a if b is a NaN, as on x86 */
DV_INLINE vh h_min(vh a, vh b)
{
    return vbslq_f16(vcltq_f16(b, a), b, a);
}
DV_INLINE vh h_max(vh a, vh b)
{
    return vbslq_f16(vcgtq_f16(b, a), b, a);
}
DV_INLINE vh h_prelu(vh v, vh slope)
{
    return vbslq_f16(vcltzq_f16(v), vmulq_f16(v, slope), v);
}
DV_INLINE vh h_join(vh a, vh b)
{
    return vaddq_f16(vtrn1q_f16(a, b), vtrn2q_f16(a, b));
}
DV_INLINE void h_store_f32(float *p, vh v, size_t n)
{
    float part[HW];
    float *to = n >= HW ? p : part;
    vst1q_f32(to, vcvt_f32_f16(vget_low_f16(v)));
    vst1q_f32(to + 4, vcvt_high_f32_f16(v));
    for (size_t i = 0; n < HW && i < n; i++)
        p[i] = part[i];
}

#include "kernels/simd_half.h"

void dv_neonfp16_to_f16(size_t n, const float *in, uint16_t *out)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(in + i))));
    for (; i < n; i++)
        out[i] = dv_half_from_float(in[i]);
}

void dv_neonfp16_from_f16(size_t n, const uint16_t *in, float *out)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(in + i))));
    for (; i < n; i++)
        out[i] = dv_half_to_float(in[i]);
}

void dv_kernels_neonfp16(dv_kernels *k)
{
    k->conv_f16 = dv_neonfp16_conv_f16;
    k->dw_f16 = dv_neonfp16_dw_f16;
    k->to_f16 = dv_neonfp16_to_f16;
    k->from_f16 = dv_neonfp16_from_f16;
    k->half = true;
}
