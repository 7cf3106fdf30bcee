/* SPDX-License-Identifier: Apache-2.0
 *
 * 8-bit kernels for AVX2. The small ones are here only: VNNI adds nothing to them.
 */
#include "kernels/x86/avx2.h"

#define DV_QISA(name) dv_avx2_##name
#include "kernels/x86/quant_256.h"

/* ---- dw_u8: 16 channels, two rows at a time as pairs of 16-bit numbers ---- */

#define TAPS 32 /* groups of four rows times columns that fit */

/* Weights of 16 channels: [tap * groups + group][pair of rows][8 channels] pairs of words. */
static void widen(const int8_t *w, size_t n, __m256i (*out)[4])
{
    for (size_t i = 0; i < n; i++, w += 64, out++)
        for (int half = 0; half < 2; half++) {
            const __m256i a = _mm256_cvtepi8_epi16(
                _mm_loadu_si128((const __m128i *)(const void *)(w + half * 32)));
            const __m256i b = _mm256_cvtepi8_epi16(
                _mm_loadu_si128((const __m128i *)(const void *)(w + half * 32 + 16)));
            const __m256 fa = _mm256_castsi256_ps(a), fb = _mm256_castsi256_ps(b);
            /* dwords of a channel: rows 01, rows 23 */
            (*out)[half] = _mm256_permute4x64_epi64(
                _mm256_castps_si256(_mm256_shuffle_ps(fa, fb, 0x88)), 0xd8);
            (*out)[2 + half] = _mm256_permute4x64_epi64(
                _mm256_castps_si256(_mm256_shuffle_ps(fa, fb, 0xdd)), 0xd8);
        }
}

DV_INLINE __m128i sixteen(const uint8_t *p, size_t n)
{
    uint8_t all[16] = {0};
    if (n >= 16)
        return _mm_loadu_si128((const __m128i *)(const void *)p);
    memcpy(all, p, n);
    return _mm_loadu_si128((const __m128i *)(const void *)all);
}

/* One output of 16 channels. inner: all taps lie inside the rows and all channels exist. rows3: one
 * group of three rows. */
DV_INLINE void dw_pixel(const dv_qdw_args *a, const uint8_t *const *rows, size_t x, size_t ch,
                        size_t n, const __m256i (*w)[4], size_t groups, const int inner,
                        const int rows3, __m256i acc[2])
{
    const __m128i pad = _mm_set1_epi8((char)a->pad);
    const size_t kh = rows3 ? 3 : a->kh;
    acc[0] = acc[1] = _mm256_setzero_si256();
    for (size_t g = 0; g < (rows3 ? 1 : groups); g++)
        for (size_t t = 0; t < a->kw; t++) {
            const size_t col = x * a->sx + t * a->dx - a->px; /* wraps left of column 0 */
            const size_t at = col * a->c + ch;
            const __m256i *tap = w[g * a->kw + t];
            DV_UNROLL
            for (size_t r = 0; r < 4; r += 2) {
                if (g * 4 + r >= kh)
                    break;
                const bool two = g * 4 + r + 1 < kh;
                __m128i p = pad, q = pad; /* a row that does not exist has weights of zero */
                if (inner || col < a->iw) {
                    p = sixteen(rows[g * 4 + r] + at, inner ? 16 : n);
                    if (two)
                        q = sixteen(rows[g * 4 + r + 1] + at, inner ? 16 : n);
                }
                const __m256i lo = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(p, q));
                const __m256i hi = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(p, q));
                acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(lo, tap[r]));
                acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(hi, tap[r + 1]));
            }
        }
}

/* A row of outputs of channels ch..ch + n. */
DV_INLINE void dw_row(const dv_qdw_args *a, const uint8_t *const *rows, size_t o, size_t ch,
                      size_t n, const __m256i (*w)[4], size_t groups, const limits *l)
{
    const size_t reach = (a->kw - 1) * a->dx;
    for (size_t x = 0; x < a->ow; x++) {
        const size_t at = (o * a->ow + x) * a->c + ch, from = x * a->sx;
        const uint8_t *add = a->rq->add ? a->rq->add + at : NULL;
        __m256i acc[2];
        if (n == 16 && from >= a->px && from + reach < a->iw + a->px) {
            if (a->kh == 3)
                dw_pixel(a, rows, x, ch, 16, w, groups, 1, 1, acc);
            else
                dw_pixel(a, rows, x, ch, 16, w, groups, 1, 0, acc);
            put_sums(a->rq, l, ch, 8, acc[0], add, a->out + at);
            put_sums(a->rq, l, ch + 8, 8, acc[1], add ? add + 8 : NULL, a->out + at + 8);
            continue;
        }
        dw_pixel(a, rows, x, ch, n, w, groups, 0, 0, acc);
        for (size_t v = 0; v < n; v += 8)
            put_sums(a->rq, l, ch + v, DV_MIN(n - v, (size_t)8), acc[v / 8], add ? add + v : NULL,
                     a->out + at + v);
    }
}

void dv_avx2_dw_u8(const dv_qdw_args *a)
{
    const size_t groups = (a->kh + 3) / 4;
    const limits l = limits_of(a->rq);
    if (groups * a->kw > TAPS) {
        dv_c_dw_u8(a);
        return;
    }
    for (size_t ch = 0; ch < a->c; ch += 16) {
        __m256i w[TAPS][4];
        const size_t n = DV_MIN(a->c - ch, (size_t)16);
        widen(a->w + ch / 16 * groups * a->kw * 64, groups * a->kw, w);
        for (size_t o = 0; o < a->ro; o++)
            dw_row(a, a->rows + o * a->kh, o, ch, n, (const __m256i(*)[4])w, groups, &l);
    }
}

/* ---- the small ones ---- */

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
