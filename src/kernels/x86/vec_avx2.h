/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of 8 floats for the simd_*.h templates: AVX2 with FMA. Only files compiled
 * for that instruction set may include this; everything is static for the same reason.
 * vec_avx512.h describes the operations.
 */
#ifndef DV_VEC_AVX2_H
#define DV_VEC_AVX2_H

#include <immintrin.h>

#include "kernels/simd.h"

#define DV_ISA(name) dv_avx2_##name
#define VW 8
#define DV_VREGS 16

/* Pins a value to one register at this place. */
#define V_KEEP(a) __asm__("" : "+x"(a))
#define V_KEEP_INT(a) __asm__("" : "+r"(a))

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;
typedef struct vt {
    __m256i mask;
    unsigned n;
} vt;

DV_INLINE vf v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
DV_INLINE void v_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
DV_INLINE vt v_tail(size_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    vt t = {_mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane), (unsigned)n};
    return t;
}
DV_INLINE vf v_load_t(const float *p, vt t)
{
    return _mm256_maskload_ps(p, t.mask);
}
/* Masked stores are microcoded on several CPUs; three plain stores are not. */
DV_INLINE void v_store_t(float *p, vf a, vt t)
{
    __m128 half = _mm256_castps256_ps128(a);
    if (t.n & 8) {
        _mm256_storeu_ps(p, a);
        return;
    }
    if (t.n & 4) {
        _mm_storeu_ps(p, half);
        half = _mm256_extractf128_ps(a, 1);
        p += 4;
    }
    if (t.n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, half);
        half = _mm_movehl_ps(half, half);
        p += 2;
    }
    if (t.n & 1)
        _mm_store_ss(p, half);
}
DV_INLINE vf v_load_fill(const float *p, vt t, vf fill)
{
    return _mm256_blendv_ps(fill, v_load_t(p, t), _mm256_castsi256_ps(t.mask));
}
DV_INLINE vf v_set1(float a)
{
    return _mm256_set1_ps(a);
}
DV_INLINE vf v_zero(void)
{
    return _mm256_setzero_ps();
}
DV_INLINE vf v_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
DV_INLINE vf v_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
DV_INLINE vf v_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
DV_INLINE vf v_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
DV_INLINE vf v_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
DV_INLINE vf v_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}
DV_INLINE vf v_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
DV_INLINE vf v_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
DV_INLINE vf v_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
DV_INLINE vf v_floor(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
DV_INLINE vf v_ceil(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
DV_INLINE vf v_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
DV_INLINE vm v_lt(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
DV_INLINE vm v_eq(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
DV_INLINE vm v_isnan(vf a)
{
    return _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
}
DV_INLINE vf v_sel(vm m, vf yes, vf no)
{
    return _mm256_blendv_ps(no, yes, m);
}
/* x < 0 ? x slope : x. A zero may change its sign. */
DV_INLINE vf v_prelu(vf x, vf slope)
{
    return _mm256_mul_ps(x, _mm256_blendv_ps(_mm256_set1_ps(1.0f), slope, x));
}
DV_INLINE vf v_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
DV_INLINE vf v_neg(vf a)
{
    return _mm256_xor_ps(_mm256_set1_ps(-0.0f), a);
}
DV_INLINE vf v_copysign(vf a, vf sign)
{
    return _mm256_or_ps(a, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign));
}
DV_INLINE vi v_bits(vf a)
{
    return _mm256_castps_si256(a);
}
DV_INLINE vf v_from_bits(vi a)
{
    return _mm256_castsi256_ps(a);
}
DV_INLINE vi v_iset1(int a)
{
    return _mm256_set1_epi32(a);
}
DV_INLINE vi v_iadd(vi a, vi b)
{
    return _mm256_add_epi32(a, b);
}
DV_INLINE vi v_isub(vi a, vi b)
{
    return _mm256_sub_epi32(a, b);
}
#define v_isra(a, n) _mm256_srai_epi32(a, n)
#define v_isll(a, n) _mm256_slli_epi32(a, n)
DV_INLINE vi v_to_int(vf a)
{
    return _mm256_cvtps_epi32(a);
}
DV_INLINE vf v_to_float(vi a)
{
    return _mm256_cvtepi32_ps(a);
}
DV_INLINE float v_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
DV_INLINE float v_hmax(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

#endif
