/* SPDX-License-Identifier: Apache-2.0
 *
 * Dot products with rows of 8-bit integers and of halves for NEON. Two products of at most
 * 127 x 127 fit in 16 bits.
 */
#include "kernels/arm/neon.h"
#include "kernels/arm/vec_neon.h"

DV_INLINE int32x4_t s8_zero(const int8_t *q, size_t dim)
{
    (void)q;
    (void)dim;
    return vdupq_n_s32(0);
}

DV_INLINE int32x4_t s8_dot(int32x4_t acc, const int8_t *q, const int8_t *r)
{
    const int8x16_t x = vld1q_s8(q), y = vld1q_s8(r);
    const int16x8_t t = vmull_s8(vget_low_s8(x), vget_low_s8(y));
    return vpadalq_s16(acc, vmlal_s8(t, vget_high_s8(x), vget_high_s8(y)));
}

DV_INLINE int32x2_t s8_half(int32x4_t a)
{
    return vadd_s32(vget_low_s32(a), vget_high_s32(a));
}

DV_INLINE void s8_store4(float *out, int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d,
                         const float *scale)
{
    const int32x4_t t =
        vcombine_s32(vpadd_s32(s8_half(a), s8_half(b)), vpadd_s32(s8_half(c), s8_half(d)));
    vst1q_f32(out, vmulq_f32(vcvtq_f32_s32(t), vld1q_f32(scale)));
}

#define D_NAME s8_all
#define D_PROBE int8_t
#define D_ROW int8_t
#define D_VEC int32x4_t
#define D_STEP 16
#define D_START s8_zero
#define D_DOT s8_dot
#define D_STORE4 s8_store4
#include "kernels/simd_dots.h"

void dv_neon_dots_s8(size_t n, size_t dim, size_t probes, const int8_t *q, const int8_t *base,
                     const float *scale, float *out, size_t ldo)
{
    s8_all(n, dim, probes, q, base, scale, out, ldo);
}

DV_INLINE vf f16_zero(const float *q, size_t dim)
{
    (void)q;
    (void)dim;
    return v_zero();
}

DV_INLINE vf f16_dot(vf acc, const float *q, const uint16_t *r)
{
    return v_fma(v_load(q), vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(r))), acc);
}

DV_INLINE float32x2_t f16_half(vf a)
{
    return vadd_f32(vget_low_f32(a), vget_high_f32(a));
}

DV_INLINE void f16_store4(float *out, vf a, vf b, vf c, vf d, const float *scale)
{
    (void)scale;
    vst1q_f32(out, vcombine_f32(vpadd_f32(f16_half(a), f16_half(b)),
                                vpadd_f32(f16_half(c), f16_half(d))));
}

#define D_NAME f16_all
#define D_PROBE float
#define D_ROW uint16_t
#define D_VEC vf
#define D_STEP 4
#define D_START f16_zero
#define D_DOT f16_dot
#define D_STORE4 f16_store4
#include "kernels/simd_dots.h"

void dv_neon_dots_f16(size_t n, size_t dim, size_t probes, const float *q, const uint16_t *base,
                      float *out, size_t ldo)
{
    f16_all(n, dim, probes, q, base, NULL, out, ldo);
}
