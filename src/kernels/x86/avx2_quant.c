/* SPDX-License-Identifier: Apache-2.0
 *
 * 8-bit kernels for AVX2. The small ones are here only: VNNI adds nothing to them.
 */
#include "kernels/x86/avx2.h"

#include "kernels/x86/quant_256.h"

DV_INLINE __m256 eight_floats(const float *p, size_t n)
{
    float all[8] = {0};
    if (n >= 8)
        return _mm256_loadu_ps(p);
    memcpy(all, p, n * sizeof(float));
    return _mm256_loadu_ps(all);
}

void dv_avx2_quant_u8(size_t n, const float *in, float scale, float zero, uint8_t *out)
{
    const __m256 s = _mm256_set1_ps(scale), z = _mm256_set1_ps(zero);
    const limits l = {_mm256_setzero_ps(), _mm256_set1_ps(255), _mm256_setzero_ps(),
                      _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t i = 0; i < n; i += 8) {
        const __m256 v = _mm256_add_ps(_mm256_div_ps(eight_floats(in + i, n - i), s), z);
        put_bytes(out + i, n - i, clipped(v, &l));
    }
}

void dv_avx2_binary_u8(const dv_qbin_args *q)
{
    const __m256i az = _mm256_set1_epi32(q->a_zero), bz = _mm256_set1_epi32(q->b_zero);
    const __m256 am = _mm256_set1_ps(q->a_mul), bm = _mm256_set1_ps(q->b_mul);
    const limits l = {_mm256_set1_ps(q->lo), _mm256_set1_ps(q->hi), am, _mm256_set1_epi32(q->zero),
                      az};
    for (size_t i = 0; i < q->n; i += 8) {
        const __m256 a = _mm256_mul_ps(spread(eight_bytes(q->a + i, q->n - i), az), am);
        const __m256 b = _mm256_mul_ps(spread(eight_bytes(q->b + i, q->n - i), bz), bm);
        put_bytes(q->out + i, q->n - i,
                  clipped(q->times ? _mm256_mul_ps(a, b) : _mm256_add_ps(a, b), &l));
    }
}

void dv_avx2_scale_u8(const dv_qscale_args *q)
{
    const __m256i iz = _mm256_set1_epi32(q->in_zero);
    const limits l = {_mm256_set1_ps(q->lo), _mm256_set1_ps(q->hi), _mm256_setzero_ps(),
                      _mm256_set1_epi32(q->zero), iz};
    for (size_t c = 0; c < q->c; c += 8) {
        const size_t n = q->c - c;
        const __m256 mul = eight_floats(q->mul + c, n);
        const __m256 add = q->shift ? eight_floats(q->shift + c, n) : _mm256_setzero_ps();
        for (size_t r = 0, at = c; r < q->rows; r++, at += q->c) {
            __m256 v = _mm256_mul_ps(spread(eight_bytes(q->in + at, n), iz), mul);
            if (q->shift)
                v = _mm256_add_ps(v, add);
            put_bytes(q->out + at, n, clipped(v, &l));
        }
    }
}
