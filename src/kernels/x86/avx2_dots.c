/* SPDX-License-Identifier: Apache-2.0
 *
 * Dot products with rows of 8-bit integers and of halves for AVX2. |row| x (probe with the sign of
 * the row) are bytes without and with sign, as vpmaddubsw wants them; two products of at most
 * 127 x 127 fit in its 16 bits. For halves, 512 bits would gain nothing: memory is the limit.
 */
#include "kernels/x86/avx2.h"
#include "kernels/x86/vec_avx2.h"

DV_INLINE __m256i s8_zero(const int8_t *q, size_t dim)
{
    (void)q;
    (void)dim;
    return _mm256_setzero_si256();
}

DV_INLINE __m256i s8_dot(__m256i acc, const int8_t *q, const int8_t *r)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)q);
    const __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)r);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(y), _mm256_sign_epi8(x, y));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* a + b in even and odd places, then the same of two such. */
DV_INLINE __m256i s8_pair(__m256i a, __m256i b)
{
    return _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}

DV_INLINE void s8_store4(float *out, __m256i a, __m256i b, __m256i c, __m256i d, const float *scale)
{
    const __m256i x = s8_pair(a, b), y = s8_pair(c, d);
    const __m256i s = _mm256_add_epi32(_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
    const __m128i t = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    _mm_storeu_ps(out, _mm_mul_ps(_mm_cvtepi32_ps(t), _mm_loadu_ps(scale)));
}

#define D_NAME s8_all
#define D_PROBE int8_t
#define D_ROW int8_t
#define D_VEC __m256i
#define D_STEP 32
#define D_START s8_zero
#define D_DOT s8_dot
#define D_STORE4 s8_store4
#include "kernels/simd_dots.h"

void dv_avx2_dots_s8(size_t n, size_t dim, size_t probes, const int8_t *q, const int8_t *base,
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
    return v_fma(v_load(q), _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)r)),
                 acc);
}

DV_INLINE void f16_store4(float *out, vf a, vf b, vf c, vf d, const float *scale)
{
    const vf x = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    (void)scale;
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)));
}

#define D_NAME f16_all
#define D_PROBE float
#define D_ROW uint16_t
#define D_VEC vf
#define D_STEP 8
#define D_START f16_zero
#define D_DOT f16_dot
#define D_STORE4 f16_store4
#include "kernels/simd_dots.h"

void dv_avx2_dots_f16(size_t n, size_t dim, size_t probes, const float *q, const uint16_t *base,
                      float *out, size_t ldo)
{
    f16_all(n, dim, probes, q, base, NULL, out, ldo);
}
