/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of 16 floats for the simd_*.h templates: AVX-512. Only files compiled for
 * that instruction set may include this; everything is static for the same reason.
 *
 * An instruction set that wants to use the templates defines the same names:
 *   DV_ISA(name)  its function names; VW  floats per vector; DV_VREGS  registers
 *   vf, vi        VW floats, VW 32-bit integers; vm  result of a comparison
 *   vt            "the first n of VW", n <= VW: v_tail makes one, v_load_t reads just
 *                 those (the rest becomes 0, or v_load_fill's), v_store_t writes them
 *   v_fma(a, b, c) = a b + c, v_fnma(a, b, c) = c - a b, rounded once or twice
 *   v_max(a, b) = a > b ? a : b, v_min(a, b) = a < b ? a : b: a NaN in b is passed on
 *   v_copysign    its first argument is not negative
 *   v_prelu       x < 0 ? x slope : x, a zero may change its sign
 *   v_to_int      rounds to nearest
 *   V_KEEP        empty assembly that changes its vector: no effect but on scheduling
 */
#ifndef DV_VEC_AVX512_H
#define DV_VEC_AVX512_H

#include <immintrin.h>

#include "kernels/simd.h"

#define DV_ISA(name) dv_avx512_##name
#define VW 16
#define DV_VREGS 32

/* Pins a value to one register at this place. */
#define V_KEEP(a) __asm__("" : "+v"(a))
#define V_KEEP_INT(a) __asm__("" : "+r"(a))

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;
typedef __mmask16 vt;

DV_INLINE vf v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
DV_INLINE void v_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
DV_INLINE vt v_tail(size_t n)
{
    return (vt)((1u << n) - 1);
}
DV_INLINE vf v_load_t(const float *p, vt t)
{
    return _mm512_maskz_loadu_ps(t, p);
}
DV_INLINE void v_store_t(float *p, vf a, vt t)
{
    _mm512_mask_storeu_ps(p, t, a);
}
DV_INLINE vf v_load_fill(const float *p, vt t, vf fill)
{
    return _mm512_mask_loadu_ps(fill, t, p);
}
DV_INLINE vf v_set1(float a)
{
    return _mm512_set1_ps(a);
}
DV_INLINE vf v_zero(void)
{
    return _mm512_setzero_ps();
}
DV_INLINE vf v_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
DV_INLINE vf v_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
DV_INLINE vf v_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
DV_INLINE vf v_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
DV_INLINE vf v_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
DV_INLINE vf v_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}
DV_INLINE vf v_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
DV_INLINE vf v_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
DV_INLINE vf v_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
DV_INLINE vf v_floor(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
DV_INLINE vf v_ceil(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
DV_INLINE vf v_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
DV_INLINE vm v_lt(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
DV_INLINE vm v_eq(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
DV_INLINE vm v_isnan(vf a)
{
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}
DV_INLINE vf v_sel(vm m, vf yes, vf no)
{
    return _mm512_mask_blend_ps(m, no, yes);
}
DV_INLINE vf v_prelu(vf x, vf slope)
{
    return _mm512_mask_mul_ps(x, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), x, slope);
}
DV_INLINE vf v_abs(vf a)
{
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a);
}
DV_INLINE vf v_neg(vf a)
{
    return _mm512_xor_ps(_mm512_set1_ps(-0.0f), a);
}
DV_INLINE vf v_copysign(vf a, vf sign)
{
    return _mm512_or_ps(a, _mm512_and_ps(_mm512_set1_ps(-0.0f), sign));
}
DV_INLINE vi v_bits(vf a)
{
    return _mm512_castps_si512(a);
}
DV_INLINE vf v_from_bits(vi a)
{
    return _mm512_castsi512_ps(a);
}
DV_INLINE vi v_iset1(int a)
{
    return _mm512_set1_epi32(a);
}
DV_INLINE vi v_iadd(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}
DV_INLINE vi v_isub(vi a, vi b)
{
    return _mm512_sub_epi32(a, b);
}
#define v_isra(a, n) _mm512_srai_epi32(a, n)
#define v_isll(a, n) _mm512_slli_epi32(a, n)
DV_INLINE vi v_to_int(vf a)
{
    return _mm512_cvtps_epi32(a);
}
DV_INLINE vf v_to_float(vi a)
{
    return _mm512_cvtepi32_ps(a);
}
DV_INLINE float v_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
DV_INLINE float v_hmax(vf a)
{
    return _mm512_reduce_max_ps(a);
}

#endif
