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

/* Pixels to planes: 8 pixels of 3 are three vectors; plane p has elements p, p + 3, ... of
 * the 24, which lie in lanes of their own, so that two blends collect them. */
static void split3(size_t rows, const float *in, float *out, size_t ldo)
{
    const __m256i o0 = _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5);
    const __m256i o1 = _mm256_setr_epi32(1, 4, 7, 2, 5, 0, 3, 6);
    const __m256i o2 = _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7);
    size_t i = 0;
    for (; i + 8 <= rows; i += 8, in += 24) {
        __m256 a = v_load(in), b = v_load(in + 8), c = v_load(in + 16);
        __m256 x = _mm256_blend_ps(_mm256_blend_ps(a, b, 0x92), c, 0x24);
        __m256 y = _mm256_blend_ps(_mm256_blend_ps(a, b, 0x24), c, 0x49);
        __m256 z = _mm256_blend_ps(_mm256_blend_ps(a, b, 0x49), c, 0x92);
        v_store(out + i, _mm256_permutevar8x32_ps(x, o0));
        v_store(out + ldo + i, _mm256_permutevar8x32_ps(y, o1));
        v_store(out + 2 * ldo + i, _mm256_permutevar8x32_ps(z, o2));
    }
    for (; i < rows; i++, in += 3)
        for (size_t p = 0; p < 3; p++)
            out[p * ldo + i] = in[p];
}

/* Planes to pixels: the way back. */
static void join3(size_t cols, const float *in, size_t ldi, float *out)
{
    const __m256i o0 = _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5);
    const __m256i o1 = _mm256_setr_epi32(5, 0, 3, 6, 1, 4, 7, 2);
    const __m256i o2 = _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7);
    size_t i = 0;
    for (; i + 8 <= cols; i += 8, out += 24) {
        __m256 x = _mm256_permutevar8x32_ps(v_load(in + i), o0);
        __m256 y = _mm256_permutevar8x32_ps(v_load(in + ldi + i), o1);
        __m256 z = _mm256_permutevar8x32_ps(v_load(in + 2 * ldi + i), o2);
        v_store(out, _mm256_blend_ps(_mm256_blend_ps(x, y, 0x92), z, 0x24));
        v_store(out + 8, _mm256_blend_ps(_mm256_blend_ps(x, y, 0x24), z, 0x49));
        v_store(out + 16, _mm256_blend_ps(_mm256_blend_ps(x, y, 0x49), z, 0x92));
    }
    for (; i < cols; i++, out += 3)
        for (size_t p = 0; p < 3; p++)
            out[p] = in[p * ldi + i];
}

void dv_avx2_transpose_f32(size_t rows, size_t cols, const float *in, size_t ldi, float *out,
                           size_t ldo)
{
    if (cols == 3 && ldi == 3) {
        split3(rows, in, out, ldo);
        return;
    }
    if (rows == 3 && ldo == 3) {
        join3(cols, in, ldi, out);
        return;
    }
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

void dv_avx2_evens_f32(size_t n, const float *in, float *out)
{
    size_t i = 0;
    for (; i + 8 < n; i += 8) { /* the last odd element may not be there */
        const __m256 v = _mm256_shuffle_ps(v_load(in + 2 * i), v_load(in + 2 * i + 8), 0x88);
        _mm256_storeu_pd((double *)(void *)(out + i),
                         _mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
    }
    for (; i < n; i++)
        out[i] = in[2 * i];
}
