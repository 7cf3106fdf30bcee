/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels that mostly move data: transpose and the conversion of pixels to floats.
 */
#include "kernels/x86/avx2.h"
#include "kernels/x86/vec_avx2.h"

/* Rows of an 8 x 8 block to columns, in registers. */
DV_INLINE void transpose8(__m256 r[8])
{
    __m256 a[8], b[8];
    for (int i = 0; i < 4; i++) {
        a[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        b[4 * i] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
        b[4 * i + 1] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0xee);
        b[4 * i + 2] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
        b[4 * i + 3] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

/* A block of fewer than 8 rows or columns. */
static void transpose_part(size_t rows, size_t cols, const float *in, size_t ldi, float *out,
                           size_t ldo)
{
    __m256 r[8];
    vt tc = v_tail(cols), tr = v_tail(rows);
    for (size_t i = 0; i < 8; i++)
        r[i] = i < rows ? v_load_t(in + i * ldi, tc) : v_zero();
    transpose8(r);
    for (size_t i = 0; i < cols; i++)
        v_store_t(out + i * ldo, r[i], tr);
}

void dv_avx2_transpose_f32(size_t rows, size_t cols, const float *in, size_t ldi, float *out,
                           size_t ldo)
{
    for (size_t r0 = 0; r0 < rows; r0 += 8) {
        size_t rn = DV_MIN(rows - r0, (size_t)8), c0 = 0;
        const float *src = in + r0 * ldi;
        float *dst = out + r0;
        for (; rn == 8 && c0 + 8 <= cols; c0 += 8) {
            __m256 r[8];
            for (size_t i = 0; i < 8; i++)
                r[i] = v_load(src + i * ldi + c0);
            transpose8(r);
            for (size_t i = 0; i < 8; i++)
                v_store(dst + (c0 + i) * ldo, r[i]);
        }
        for (; c0 < cols; c0 += 8)
            transpose_part(rn, DV_MIN(cols - c0, (size_t)8), src + c0, ldi, dst + c0 * ldo, ldo);
    }
}

/* 8 bytes chosen by `order` from p[0..15], as scaled floats. */
DV_INLINE __m256 convert8(const uint8_t *p, __m128i order, __m256 scale, __m256 shift)
{
    __m128i bytes = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), order);
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)), scale, shift);
}

void dv_avx2_u8_to_f32(size_t w, const uint8_t *rgb, int swap, const float scale[3],
                       const float shift[3], float *out)
{
    /* 8 pixels are 24 bytes, three vectors of floats: byte 8 g + i of the output comes from
     * byte from[] of the input, within 16 bytes read at 4 g. */
    uint8_t order[3][16] = {{0}};
    float mul[24], sum[24];
    for (size_t i = 0; i < 24; i++) {
        size_t ch = i % 3, from = i - ch + (swap ? 2 - ch : ch);
        order[i / 8][i % 8] = (uint8_t)(from - i / 8 * 4);
        mul[i] = scale[ch];
        sum[i] = shift[ch];
    }
    __m128i o[3];
    __m256 m[3], s[3];
    for (int g = 0; g < 3; g++) {
        o[g] = _mm_loadu_si128((const __m128i *)(const void *)order[g]);
        m[g] = _mm256_loadu_ps(mul + g * 8);
        s[g] = _mm256_loadu_ps(sum + g * 8);
    }
    size_t x = 0;
    for (; x + 8 <= w; x += 8, rgb += 24, out += 24)
        for (int g = 0; g < 3; g++)
            _mm256_storeu_ps(out + g * 8, convert8(rgb + g * 4, o[g], m[g], s[g]));
    for (; x < w; x++, rgb += 3, out += 3)
        for (size_t ch = 0; ch < 3; ch++)
            out[ch] = (float)rgb[swap ? 2 - ch : ch] * scale[ch] + shift[ch];
}
