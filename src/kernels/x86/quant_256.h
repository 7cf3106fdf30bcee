/* SPDX-License-Identifier: Apache-2.0
 *
 * 8-bit kernels with 256-bit vectors; included by avx2_quant.c and avxvnni_quant.c. Without VNNI,
 * bytes are widened to 16 bits and multiplied by vpmaddwd: vpmaddubsw would saturate.
 */
#include <string.h>

#include "kernels/x86/vec_avx2.h"

#include "kernels/c_kernels.h"

/* ---- sums to bytes ---- */

typedef struct limits {
    __m256 lo, hi, add_mul;
    __m256i zero, add_zero;
} limits;

DV_INLINE limits limits_of(const dv_requant *rq)
{
    return (limits){_mm256_set1_ps(rq->lo), _mm256_set1_ps(rq->hi), _mm256_set1_ps(rq->add_mul),
                    _mm256_set1_epi32(rq->zero), _mm256_set1_epi32(rq->add_zero)};
}

/* Values of 8 sums (bias is in them) of channels ch.. */
DV_INLINE __m256 values(const dv_requant *rq, size_t ch, __m256i s)
{
    const __m256 f = _mm256_cvtepi32_ps(s), v = _mm256_mul_ps(f, _mm256_loadu_ps(rq->mul + ch));
    if (!rq->neg)
        return v;
    return _mm256_blendv_ps(v, _mm256_mul_ps(f, _mm256_loadu_ps(rq->neg + ch)),
                            _mm256_castsi256_ps(s));
}

DV_INLINE __m128i eight_bytes(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    if (n >= 8)
        memcpy(&v, p, 8);
    else
        memcpy(&v, p, n);
    return _mm_cvtsi64_si128((long long)v);
}

DV_INLINE void put_bytes(uint8_t *p, size_t n, __m128i q)
{
    uint64_t v = (uint64_t)_mm_cvtsi128_si64(q);
    if (n >= 8)
        memcpy(p, &v, 8);
    else
        memcpy(p, &v, n);
}

/* 8 dwords of 0..255 to bytes. */
DV_INLINE __m128i to_bytes(__m256i q)
{
    const __m128i w = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    return _mm_packus_epi16(w, w);
}

DV_INLINE __m128i clipped(__m256 v, const limits *l)
{
    v = _mm256_min_ps(_mm256_max_ps(v, l->lo), l->hi);
    return to_bytes(_mm256_add_epi32(_mm256_cvtps_epi32(v), l->zero));
}

DV_INLINE __m256 spread(__m128i bytes, __m256i zero)
{
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_cvtepu8_epi32(bytes), zero));
}

/* 8 sums (without bias) of channels ch.. to n <= 8 bytes. add: the residual there, or NULL. */
DV_INLINE void put_sums(const dv_requant *rq, const limits *l, size_t ch, size_t n, __m256i s,
                        const uint8_t *add, uint8_t *out)
{
    s = _mm256_add_epi32(s, _mm256_loadu_si256((const __m256i *)(const void *)(rq->bias + ch)));
    __m256 v = values(rq, ch, s);
    if (add)
        v = _mm256_add_ps(v, _mm256_mul_ps(spread(eight_bytes(add, n), l->add_zero), l->add_mul));
    put_bytes(out, n, clipped(v, l));
}

/* ---- conv_u8 ---- */

#if defined(__AVXVNNI__)
#define MR 6
#else
#define MR 2
#endif

/* mr rows of 16 sums each, to memory. */
DV_INLINE void conv_sums(const dv_qconv_args *g, size_t i, size_t j, const int mr, int32_t *out)
{
    const size_t steps = (g->seg + 3) / 4, lda = g->lda;
    const int8_t *w = g->w + j / DV_PANEL * g->panel;
    const uint8_t *seg = g->a + i * lda;
#if defined(__AVXVNNI__)
    __m256i acc[MR][2];
    DV_UNROLL
    for (int r = 0; r < mr; r++)
        acc[r][0] = acc[r][1] = _mm256_setzero_si256();
    for (size_t s = 0; s < g->segs; s++, seg += g->seg_stride) {
        const uint8_t *a = seg;
        for (size_t t = 0; t < steps; t++, a += 4, w += 64) {
            const __m256i b0 = _mm256_loadu_si256((const __m256i *)(const void *)w);
            const __m256i b1 = _mm256_loadu_si256((const __m256i *)(const void *)(w + 32));
            DV_UNROLL
            for (int r = 0; r < mr; r++) {
                int32_t four;
                memcpy(&four, a + (size_t)r * lda, 4);
                const __m256i x = _mm256_set1_epi32(four);
                acc[r][0] = _mm256_dpbusd_avx_epi32(acc[r][0], x, b0);
                acc[r][1] = _mm256_dpbusd_avx_epi32(acc[r][1], x, b1);
            }
        }
    }
    DV_UNROLL
    for (int r = 0; r < mr; r++)
        DV_UNROLL
    for (int v = 0; v < 2; v++)
        _mm256_storeu_si256((__m256i *)(void *)(out + r * 16 + v * 8), acc[r][v]);
#else
    __m256i acc[MR][4]; /* 4 channels each, two sums a channel */
    DV_UNROLL
    for (int r = 0; r < mr; r++)
        DV_UNROLL
    for (int v = 0; v < 4; v++)
        acc[r][v] = _mm256_setzero_si256();
    for (size_t s = 0; s < g->segs; s++, seg += g->seg_stride) {
        const uint8_t *a = seg;
        for (size_t t = 0; t < steps; t++, a += 4, w += 64) {
            __m256i x[MR];
            DV_UNROLL
            for (int r = 0; r < mr; r++) {
                int32_t four;
                memcpy(&four, a + (size_t)r * lda, 4);
                x[r] = _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
            }
            DV_UNROLL
            for (int v = 0; v < 4; v++) {
                const __m256i b = _mm256_cvtepi8_epi16(
                    _mm_loadu_si128((const __m128i *)(const void *)(w + v * 16)));
                DV_UNROLL
                for (int r = 0; r < mr; r++)
                    acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(x[r], b));
            }
        }
    }
    DV_UNROLL
    for (int r = 0; r < mr; r++)
        DV_UNROLL
    for (int v = 0; v < 2; v++)
        _mm256_storeu_si256(
            (__m256i *)(void *)(out + r * 16 + v * 8),
            _mm256_permute4x64_epi64(_mm256_hadd_epi32(acc[r][2 * v], acc[r][2 * v + 1]), 0xd8));
#endif
}

static __attribute__((noinline)) void conv_finish(const dv_qconv_args *g, size_t i, size_t j,
                                                  size_t mr, const int32_t *sums)
{
    const dv_requant *rq = g->rq;
    const limits l = limits_of(rq);
    for (size_t r = 0; r < mr; r++, i++)
        for (size_t v = 0; v < 16 && j + v < g->n; v += 8) {
            const size_t ch = j + v, n = DV_MIN(g->n - ch, (size_t)8);
            const __m256i s =
                _mm256_loadu_si256((const __m256i *)(const void *)(sums + r * 16 + v));
            if (!g->c_f32) {
                put_sums(rq, &l, ch, n, s, rq->add ? rq->add + i * rq->ldadd + ch : NULL,
                         (uint8_t *)g->c + i * g->ldc + ch);
                continue;
            }
            float f[8];
            _mm256_storeu_ps(
                f, values(rq, ch,
                          _mm256_add_epi32(s, _mm256_loadu_si256((
                                                  const __m256i *)(const void *)(rq->bias + ch)))));
            memcpy((float *)g->c + i * g->ldc + ch, f, n * sizeof(float));
        }
}

void DV_QISA(conv_u8)(const dv_qconv_args *g)
{
    int32_t sums[MR * 16];
    const size_t bytes = g->segs * dv_round_up(g->seg, 4) * DV_PANEL;
    const size_t block = DV_MAX((size_t)(96 * 1024) / DV_MAX(bytes, (size_t)1), (size_t)1);
    for (size_t j0 = 0; j0 < g->n; j0 += block * DV_PANEL)
        for (size_t i = 0; i < g->m;) {
            const size_t mr = g->m - i >= MR ? MR : 1;
            for (size_t j = j0; j < DV_MIN(g->n, j0 + block * DV_PANEL); j += DV_PANEL) {
                if (mr == 1)
                    conv_sums(g, i, j, 1, sums);
                else
                    conv_sums(g, i, j, MR, sums);
                conv_finish(g, i, j, mr, sums);
            }
            i += mr;
        }
}
