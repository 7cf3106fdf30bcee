/* SPDX-License-Identifier: Apache-2.0
 *
 * 8-bit kernels for NEON, with the dot product instruction where the file that includes this is
 * compiled for it (DV_DOT). Activations are made signed by subtracting 128; 128 times the sum of
 * the weights makes up for that and is found once for each panel.
 */
#include <string.h>

#include <arm_neon.h>

#include "kernels/c_kernels.h"
#include "kernels/simd.h"

/* ---- sums to bytes ---- */

typedef struct limits {
    float32x4_t lo, hi, add_mul;
    int32x4_t zero, add_zero;
} limits;

DV_INLINE limits limits_of(const dv_requant *rq)
{
    return (limits){vdupq_n_f32(rq->lo), vdupq_n_f32(rq->hi), vdupq_n_f32(rq->add_mul),
                    vdupq_n_s32(rq->zero), vdupq_n_s32(rq->add_zero)};
}

/* Values of 4 sums (bias is in them) of channels ch.. */
DV_INLINE float32x4_t values(const dv_requant *rq, size_t ch, int32x4_t s)
{
    const float32x4_t f = vcvtq_f32_s32(s), v = vmulq_f32(f, vld1q_f32(rq->mul + ch));
    if (!rq->neg)
        return v;
    return vbslq_f32(vcltq_s32(s, vdupq_n_s32(0)), vmulq_f32(f, vld1q_f32(rq->neg + ch)), v);
}

/* Clip, nearest integer (ties to even, by adding 1.5 * 2^23: 32-bit ARM has no such conversion),
 * zero point. */
DV_INLINE int32x4_t clipped(float32x4_t v, const limits *l)
{
    v = vminq_f32(vmaxq_f32(v, l->lo), l->hi);
    const int32x4_t bits = vreinterpretq_s32_f32(vaddq_f32(v, vdupq_n_f32(12582912.0f)));
    return vaddq_s32(vsubq_s32(bits, vdupq_n_s32(0x4b400000)), l->zero);
}

DV_INLINE uint8x8_t eight_bytes(const uint8_t *p, size_t n)
{
    uint8_t all[8] = {0};
    if (n >= 8)
        return vld1_u8(p);
    memcpy(all, p, n);
    return vld1_u8(all);
}

DV_INLINE void put_bytes(uint8_t *p, size_t n, int32x4_t a, int32x4_t b)
{
    const uint8x8_t q = vqmovun_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)));
    uint8_t all[8];
    if (n >= 8) {
        vst1_u8(p, q);
        return;
    }
    vst1_u8(all, q);
    memcpy(p, all, n);
}

DV_INLINE float32x4_t spread(int16x4_t v, int32x4_t zero)
{
    return vcvtq_f32_s32(vsubq_s32(vmovl_s16(v), zero));
}

DV_INLINE int16x8_t words(uint8x8_t v)
{
    return vreinterpretq_s16_u16(vmovl_u8(v));
}

/* 8 sums (without bias) of channels ch.. to n <= 8 bytes. add: the residual there, or NULL. */
DV_INLINE void put_sums(const dv_requant *rq, const limits *l, size_t ch, size_t n, int32x4_t s0,
                        int32x4_t s1, const uint8_t *add, uint8_t *out)
{
    float32x4_t a = values(rq, ch, vaddq_s32(s0, vld1q_s32(rq->bias + ch)));
    float32x4_t b = values(rq, ch + 4, vaddq_s32(s1, vld1q_s32(rq->bias + ch + 4)));
    if (add) {
        const int16x8_t w = words(eight_bytes(add, n));
        a = vaddq_f32(a, vmulq_f32(spread(vget_low_s16(w), l->add_zero), l->add_mul));
        b = vaddq_f32(b, vmulq_f32(spread(vget_high_s16(w), l->add_zero), l->add_mul));
    }
    put_bytes(out, n, clipped(a, l), clipped(b, l));
}

/* ---- conv_u8 ---- */

#if defined(DV_DOT)
#define MR 4
#else
#define MR 2
#endif

DV_INLINE int8x16_t signed_four(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, 4);
    return vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
}

/* Two sums a channel, next to each other, to one. */
DV_INLINE int32x4_t paired(int32x4_t a, int32x4_t b)
{
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)),
                        vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
}

/* mr rows of 16 sums to memory; made[16] is added to each. */
DV_INLINE void conv_sums(const dv_qconv_args *g, size_t i, const int8_t *w, const int mr,
                         const int32_t *made, int32_t *out)
{
    const size_t steps = (g->seg + 3) / 4;
    const uint8_t *seg = g->a + i * g->lda;
#if defined(DV_DOT)
    int32x4_t acc[MR][4];
    DV_UNROLL
    for (int r = 0; r < mr; r++)
        DV_UNROLL
    for (int v = 0; v < 4; v++)
        acc[r][v] = vdupq_n_s32(0);
    for (size_t s = 0; s < g->segs; s++, seg += g->seg_stride)
        for (size_t t = 0; t < steps; t++, w += 64) {
            int8x16_t x[MR];
            DV_UNROLL
            for (int r = 0; r < mr; r++)
                x[r] = signed_four(seg + (size_t)r * g->lda + t * 4);
            DV_UNROLL
            for (int v = 0; v < 4; v++) {
                const int8x16_t b = vld1q_s8(w + v * 16);
                DV_UNROLL
                for (int r = 0; r < mr; r++)
                    acc[r][v] = vdotq_s32(acc[r][v], b, x[r]);
            }
        }
    DV_UNROLL
    for (int r = 0; r < mr; r++)
        DV_UNROLL
    for (int v = 0; v < 4; v++)
        vst1q_s32(out + r * 16 + v * 4, vaddq_s32(acc[r][v], vld1q_s32(made + v * 4)));
#else
    int32x4_t acc[MR][8]; /* 2 channels each, two sums a channel */
    DV_UNROLL
    for (int r = 0; r < mr; r++)
        DV_UNROLL
    for (int v = 0; v < 8; v++)
        acc[r][v] = vdupq_n_s32(0);
    for (size_t s = 0; s < g->segs; s++, seg += g->seg_stride)
        for (size_t t = 0; t < steps; t++, w += 64) {
            int8x8_t x[MR];
            DV_UNROLL
            for (int r = 0; r < mr; r++)
                x[r] = vget_low_s8(signed_four(seg + (size_t)r * g->lda + t * 4));
            DV_UNROLL
            for (int v = 0; v < 8; v++) {
                const int8x8_t b = vld1_s8(w + v * 8);
                DV_UNROLL
                for (int r = 0; r < mr; r++)
                    acc[r][v] = vpadalq_s16(acc[r][v], vmull_s8(x[r], b));
            }
        }
    DV_UNROLL
    for (int r = 0; r < mr; r++)
        DV_UNROLL
    for (int v = 0; v < 4; v++)
        vst1q_s32(out + r * 16 + v * 4,
                  vaddq_s32(paired(acc[r][2 * v], acc[r][2 * v + 1]), vld1q_s32(made + v * 4)));
#endif
}

/* 128 times the sums of the weights of a panel. */
static void make_up(const int8_t *w, size_t blocks, int32_t out[16])
{
    int32x4_t sum[8];
    for (int v = 0; v < 8; v++)
        sum[v] = vdupq_n_s32(0);
    for (size_t b = 0; b < blocks; b++, w += 64)
        for (int v = 0; v < 8; v++)
            sum[v] = vpadalq_s16(sum[v], vmovl_s8(vld1_s8(w + v * 8)));
    for (int v = 0; v < 4; v++)
        vst1q_s32(out + v * 4, vshlq_n_s32(paired(sum[2 * v], sum[2 * v + 1]), 7));
}

static void conv_finish(const dv_qconv_args *g, size_t i, size_t j, size_t mr, const int32_t *sums)
{
    const dv_requant *rq = g->rq;
    const limits l = limits_of(rq);
    for (size_t r = 0; r < mr; r++, i++, sums += 16)
        for (size_t v = 0; v < 16 && j + v < g->n; v += 8) {
            const size_t ch = j + v, n = DV_MIN(g->n - ch, (size_t)8);
            const int32x4_t a = vld1q_s32(sums + v), b = vld1q_s32(sums + v + 4);
            if (!g->c_f32) {
                put_sums(rq, &l, ch, n, a, b, rq->add ? rq->add + i * rq->ldadd + ch : NULL,
                         (uint8_t *)g->c + i * g->ldc + ch);
                continue;
            }
            float f[8];
            vst1q_f32(f, values(rq, ch, vaddq_s32(a, vld1q_s32(rq->bias + ch))));
            vst1q_f32(f + 4, values(rq, ch + 4, vaddq_s32(b, vld1q_s32(rq->bias + ch + 4))));
            memcpy((float *)g->c + i * g->ldc + ch, f, n * sizeof(float));
        }
}

void DV_QISA(conv_u8)(const dv_qconv_args *g)
{
    const size_t blocks = g->segs * ((g->seg + 3) / 4);
    for (size_t j = 0; j < g->n; j += DV_PANEL) {
        int32_t made[16], sums[MR * 16];
        const int8_t *w = g->w + j / DV_PANEL * g->panel;
        make_up(w, blocks, made);
        for (size_t i = 0; i < g->m;) {
            const size_t mr = g->m - i >= MR ? MR : 1;
            if (mr == 1)
                conv_sums(g, i, w, 1, made, sums);
            else
                conv_sums(g, i, w, MR, made, sums);
            conv_finish(g, i, j, mr, sums);
            i += mr;
        }
    }
}
