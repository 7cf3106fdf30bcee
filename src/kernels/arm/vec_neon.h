/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of 4 floats for the simd_*.h templates: NEON with fused multiply-add, on 64-bit
 * ARM and (VFPv4) on 32-bit ARM. vec_avx512.h describes the operations. 32-bit NEON treats
 * denormals as zero, has neither division nor roots nor rounding, and half the registers.
 */
#ifndef DV_VEC_NEON_H
#define DV_VEC_NEON_H

#include <arm_neon.h>
#include <math.h>

#include "kernels/simd.h"

#define DV_ISA(name) dv_neon_##name
#define VW 4
#if defined(__aarch64__)
#define DV_VREGS 32
#else
#define DV_VREGS 16
#endif

/* Pins a value to one register at this place. */
#define V_KEEP(a) __asm__("" : "+w"(a))
#define V_KEEP_INT(a) __asm__("" : "+r"(a))

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vm;
typedef unsigned vt;

DV_INLINE vf v_load(const float *p)
{
    return vld1q_f32(p);
}
DV_INLINE void v_store(float *p, vf a)
{
    vst1q_f32(p, a);
}
DV_INLINE vf v_set1(float a)
{
    return vdupq_n_f32(a);
}
DV_INLINE vf v_zero(void)
{
    return vdupq_n_f32(0.0f);
}
DV_INLINE vt v_tail(size_t n)
{
    return (vt)n;
}
DV_INLINE vf v_load_fill(const float *p, vt t, vf fill)
{
    switch (t) {
    case 0:
        return fill;
    case 1:
        return vld1q_lane_f32(p, fill, 0);
    case 2:
        return vcombine_f32(vld1_f32(p), vget_high_f32(fill));
    case 3:
        return vcombine_f32(vld1_f32(p), vld1_lane_f32(p + 2, vget_high_f32(fill), 0));
    default:
        return vld1q_f32(p);
    }
}
DV_INLINE vf v_load_t(const float *p, vt t)
{
    return v_load_fill(p, t, v_zero());
}
DV_INLINE void v_store_t(float *p, vf a, vt t)
{
    float32x2_t half = vget_low_f32(a);
    if (t & 4) {
        vst1q_f32(p, a);
        return;
    }
    if (t & 2) {
        vst1_f32(p, half);
        half = vget_high_f32(a);
        p += 2;
    }
    if (t & 1)
        vst1_lane_f32(p, half, 0);
}
DV_INLINE vf v_add(vf a, vf b)
{
    return vaddq_f32(a, b);
}
DV_INLINE vf v_sub(vf a, vf b)
{
    return vsubq_f32(a, b);
}
DV_INLINE vf v_mul(vf a, vf b)
{
    return vmulq_f32(a, b);
}
DV_INLINE vf v_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}
DV_INLINE vf v_fnma(vf a, vf b, vf c)
{
    return vfmsq_f32(c, a, b);
}
DV_INLINE vm v_lt(vf a, vf b)
{
    return vcltq_f32(a, b);
}
DV_INLINE vm v_eq(vf a, vf b)
{
    return vceqq_f32(a, b);
}
DV_INLINE vm v_isnan(vf a)
{
    return vmvnq_u32(vceqq_f32(a, a));
}
DV_INLINE vf v_sel(vm m, vf yes, vf no)
{
    return vbslq_f32(m, yes, no);
}
/* Not the instructions of that name: those pass on a NaN in a too. */
DV_INLINE vf v_max(vf a, vf b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
DV_INLINE vf v_min(vf a, vf b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
DV_INLINE vf v_prelu(vf x, vf slope)
{
    return vbslq_f32(vcltq_f32(x, v_zero()), vmulq_f32(x, slope), x);
}
DV_INLINE vf v_abs(vf a)
{
    return vabsq_f32(a);
}
DV_INLINE vf v_neg(vf a)
{
    return vnegq_f32(a);
}
DV_INLINE vf v_copysign(vf a, vf sign)
{
    return vbslq_f32(vdupq_n_u32(0x80000000u), sign, a);
}
DV_INLINE vi v_bits(vf a)
{
    return vreinterpretq_s32_f32(a);
}
DV_INLINE vf v_from_bits(vi a)
{
    return vreinterpretq_f32_s32(a);
}
DV_INLINE vi v_iset1(int a)
{
    return vdupq_n_s32(a);
}
DV_INLINE vi v_iadd(vi a, vi b)
{
    return vaddq_s32(a, b);
}
DV_INLINE vi v_isub(vi a, vi b)
{
    return vsubq_s32(a, b);
}
#define v_isra(a, n) vshrq_n_s32(a, n)
#define v_isll(a, n) vshlq_n_s32(a, n)
DV_INLINE vf v_to_float(vi a)
{
    return vcvtq_f32_s32(a);
}

#if defined(__aarch64__)
DV_INLINE vf v_div(vf a, vf b)
{
    return vdivq_f32(a, b);
}
DV_INLINE vf v_sqrt(vf a)
{
    return vsqrtq_f32(a);
}
DV_INLINE vf v_floor(vf a)
{
    return vrndmq_f32(a);
}
DV_INLINE vf v_ceil(vf a)
{
    return vrndpq_f32(a);
}
DV_INLINE vf v_round(vf a)
{
    return vrndnq_f32(a);
}
DV_INLINE vi v_to_int(vf a)
{
    return vcvtnq_s32_f32(a);
}
DV_INLINE float v_sum(vf a)
{
    return vaddvq_f32(a);
}
DV_INLINE float v_hmax(vf a)
{
    return vmaxvq_f32(a);
}
#else
/* The scalar unit divides and takes roots exactly; NEON's estimates are not good enough. */
DV_INLINE vf v_div(vf a, vf b)
{
    vf r = a;
    r = vsetq_lane_f32(vgetq_lane_f32(a, 0) / vgetq_lane_f32(b, 0), r, 0);
    r = vsetq_lane_f32(vgetq_lane_f32(a, 1) / vgetq_lane_f32(b, 1), r, 1);
    r = vsetq_lane_f32(vgetq_lane_f32(a, 2) / vgetq_lane_f32(b, 2), r, 2);
    return vsetq_lane_f32(vgetq_lane_f32(a, 3) / vgetq_lane_f32(b, 3), r, 3);
}
DV_INLINE vf v_sqrt(vf a)
{
    vf r = a;
    r = vsetq_lane_f32(sqrtf(vgetq_lane_f32(a, 0)), r, 0);
    r = vsetq_lane_f32(sqrtf(vgetq_lane_f32(a, 1)), r, 1);
    r = vsetq_lane_f32(sqrtf(vgetq_lane_f32(a, 2)), r, 2);
    return vsetq_lane_f32(sqrtf(vgetq_lane_f32(a, 3)), r, 3);
}
/* Beyond 2^23 every float is whole; below, the sum with 2^23 rounds to nearest even. */
DV_INLINE vf v_round(vf a)
{
    const vf whole = vdupq_n_f32(8388608.0f), size = vabsq_f32(a);
    vf r = v_sub(v_add(size, whole), whole);
    return v_sel(v_lt(size, whole), v_copysign(r, a), a);
}
DV_INLINE vf v_floor(vf a)
{
    const vf r = v_round(a);
    return v_sel(vcgtq_f32(r, a), v_sub(r, v_set1(1.0f)), r);
}
DV_INLINE vf v_ceil(vf a)
{
    return v_neg(v_floor(v_neg(a)));
}
DV_INLINE vi v_to_int(vf a)
{
    return vcvtq_s32_f32(v_round(a));
}
DV_INLINE float v_sum(vf a)
{
    const float32x2_t s = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(vpadd_f32(s, s), 0);
}
DV_INLINE float v_hmax(vf a)
{
    const float32x2_t s = vmax_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(vpmax_f32(s, s), 0);
}
#endif

#endif
