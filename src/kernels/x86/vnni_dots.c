/* SPDX-License-Identifier: Apache-2.0
 *
 * Dot products with rows of 8-bit integers for AVX-512 VNNI. Its bytes times bytes want one side
 * without sign: 128 is added to the row as it is loaded, and 128 times the sum of the probe, which
 * does not depend on the row, is taken off before the start.
 */
#include "kernels/x86/avx512.h"
#include "kernels/x86/vec_avx512.h"

DV_INLINE __m512i s8_load(const int8_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}

DV_INLINE __m512i s8_start(const int8_t *q, size_t dim)
{
    __m512i sum = _mm512_setzero_si512();
    for (size_t j = 0; j < dim; j += 64)
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(-128), s8_load(q + j));
    return _mm512_sub_epi32(_mm512_setzero_si512(), sum);
}

DV_INLINE __m512i s8_dot(__m512i acc, const int8_t *q, const int8_t *r)
{
    return _mm512_dpbusd_epi32(acc, _mm512_xor_si512(s8_load(r), _mm512_set1_epi8(-128)),
                               s8_load(q));
}

DV_INLINE __m512i s8_pair(__m512i a, __m512i b)
{
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

DV_INLINE void s8_store4(float *out, __m512i a, __m512i b, __m512i c, __m512i d, const float *scale)
{
    const __m512i x = s8_pair(a, b), y = s8_pair(c, d);
    const __m512i s = _mm512_add_epi32(_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
    const __m256i h = _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64(s, 1));
    const __m128i t = _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    _mm_storeu_ps(out, _mm_mul_ps(_mm_cvtepi32_ps(t), _mm_loadu_ps(scale)));
}

#define D_NAME s8_all
#define D_PROBE int8_t
#define D_ROW int8_t
#define D_VEC __m512i
#define D_STEP 64
#define D_START s8_start
#define D_DOT s8_dot
#define D_STORE4 s8_store4
#include "kernels/simd_dots.h"

void dv_vnni_dots_s8(size_t n, size_t dim, size_t probes, const int8_t *q, const int8_t *base,
                     const float *scale, float *out, size_t ldo)
{
    s8_all(n, dim, probes, q, base, scale, out, ldo);
}
