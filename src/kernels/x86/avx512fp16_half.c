/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic in halves with AVX512-FP16.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/simd.h"

dv_conv_f16_fn dv_avx512fp16_conv_f16;
dv_dw_f16_fn dv_avx512fp16_dw_f16;
dv_to_f16_fn dv_avx512fp16_to_f16;
dv_from_f16_fn dv_avx512fp16_from_f16;

#define H_ISA(name) dv_avx512fp16_##name
#define HW 32
#define H_MR 14 /* 28 sums, 2 weights, 1 element of a */
#define H_ROWS(F) F(1) F(2) F(4) F(7) F(14)
#define H_NP(mr) ((mr) == 1 ? 4 : 1)
typedef __m512h vh;

DV_INLINE __mmask32 h_mask(size_t n)
{
    return n >= HW ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1;
}
DV_INLINE vh h_zero(void)
{
    return _mm512_setzero_ph();
}
DV_INLINE vh h_load(const uint16_t *p)
{
    return _mm512_loadu_ph(p);
}
DV_INLINE vh h_load_n(const uint16_t *p, size_t n)
{
    return _mm512_castsi512_ph(_mm512_maskz_loadu_epi16(h_mask(n), p));
}
DV_INLINE void h_store_n(uint16_t *p, vh v, size_t n)
{
    if (n >= HW)
        _mm512_storeu_ph(p, v);
    else
        _mm512_mask_storeu_epi16(p, h_mask(n), _mm512_castph_si512(v));
}
DV_INLINE vh h_set1(uint16_t v)
{
    return _mm512_castsi512_ph(_mm512_set1_epi16((short)v));
}
DV_INLINE vh h_pair(const uint16_t *p)
{
    int v;
    memcpy(&v, p, sizeof v);
    return _mm512_castsi512_ph(_mm512_set1_epi32(v));
}
DV_INLINE vh h_fma(vh a, vh b, vh c)
{
    return _mm512_fmadd_ph(a, b, c);
}
DV_INLINE vh h_add(vh a, vh b)
{
    return _mm512_add_ph(a, b);
}
DV_INLINE vh h_min(vh a, vh b)
{
    return _mm512_min_ph(b, a); /* the second operand if one is a NaN */
}
DV_INLINE vh h_max(vh a, vh b)
{
    return _mm512_max_ph(b, a);
}
DV_INLINE vh h_prelu(vh v, vh slope)
{
    return _mm512_mask_mul_ph(v, _mm512_cmp_ph_mask(v, _mm512_setzero_ph(), _CMP_LT_OQ), v, slope);
}
DV_INLINE vh h_join(vh a, vh b)
{
    const __m512i x = _mm512_castph_si512(a), y = _mm512_castph_si512(b);
    const __m512i even = _mm512_mask_blend_epi16(0xAAAAAAAA, x, _mm512_slli_epi32(y, 16));
    const __m512i odd = _mm512_mask_blend_epi16(0xAAAAAAAA, _mm512_srli_epi32(x, 16), y);
    return _mm512_add_ph(_mm512_castsi512_ph(even), _mm512_castsi512_ph(odd));
}
DV_INLINE void h_store_f32(float *p, vh v, size_t n)
{
    const __m512i bits = _mm512_castph_si512(v);
    const __mmask32 m = h_mask(n);
    _mm512_mask_storeu_ps(p, (__mmask16)m, _mm512_cvtph_ps(_mm512_castsi512_si256(bits)));
    _mm512_mask_storeu_ps(p + 16, (__mmask16)(m >> 16),
                          _mm512_cvtph_ps(_mm512_extracti64x4_epi64(bits, 1)));
}

#include "kernels/simd_half.h"

void dv_avx512fp16_to_f16(size_t n, const float *in, uint16_t *out)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = n - i >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (n - i)) - 1);
        const __m256i h = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(m, in + i),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_mask_storeu_epi16(out + i, m, h);
    }
}

void dv_avx512fp16_from_f16(size_t n, const uint16_t *in, float *out)
{
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = n - i >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (n - i)) - 1);
        _mm512_mask_storeu_ps(out + i, m, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, in + i)));
    }
}

void dv_kernels_avx512fp16(dv_kernels *k)
{
    k->conv_f16 = dv_avx512fp16_conv_f16;
    k->dw_f16 = dv_avx512fp16_dw_f16;
    k->to_f16 = dv_avx512fp16_to_f16;
    k->from_f16 = dv_avx512fp16_from_f16;
    k->half = true;
}
