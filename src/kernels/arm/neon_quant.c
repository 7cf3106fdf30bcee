/* SPDX-License-Identifier: Apache-2.0
 *
 * 8-bit kernels for NEON without the dot product; those that it would not help are here only.
 */
#define DV_QISA(name) dv_neon_##name
#include "kernels/arm/neon.h"

#include "kernels/arm/quant_neon.h"

/* ---- dw_u8: 8 channels, two rows to a 16-bit sum ---- */

#define TAPS 32 /* groups of four rows times columns that fit */

typedef struct dw_block {
    const dv_qdw_args *a;
    size_t ch, n, groups;
    int8x8_t w[TAPS][4]; /* [group * kw + tap][row] */
    int32x4_t made[2];
    limits l;
} dw_block;

DV_INLINE int8x8_t signed_eight(const uint8_t *p, size_t n)
{
    return vreinterpret_s8_u8(veor_u8(eight_bytes(p, n), vdup_n_u8(0x80)));
}

static void dw_open(dw_block *d, const dv_qdw_args *a, size_t ch)
{
    const int8_t *w = a->w + ch / 16 * d->groups * a->kw * 64 + ch % 16 * 4;
    int32x4_t lo = vdupq_n_s32(0), hi = lo;
    d->a = a;
    d->ch = ch;
    d->n = DV_MIN(a->c - ch, (size_t)8);
    for (size_t t = 0; t < d->groups * a->kw; t++, w += 64) {
        const int8x8x4_t four = vld4_s8(w);
        for (int r = 0; r < 4; r++) {
            d->w[t][r] = four.val[r];
            const int16x8_t s = vmovl_s8(four.val[r]);
            lo = vaddw_s16(lo, vget_low_s16(s));
            hi = vaddw_s16(hi, vget_high_s16(s));
        }
    }
    d->made[0] = vshlq_n_s32(lo, 7);
    d->made[1] = vshlq_n_s32(hi, 7);
}

static void dw_pixel(const dw_block *d, const uint8_t *const *rows, size_t x, size_t at)
{
    const dv_qdw_args *a = d->a;
    const int8x8_t pad = vdup_n_s8((int8_t)(a->pad ^ 0x80));
    int32x4_t lo = d->made[0], hi = d->made[1];
    for (size_t g = 0; g < d->groups; g++)
        for (size_t t = 0; t < a->kw; t++) {
            const size_t col = x * a->sx + t * a->dx - a->px; /* wraps left of column 0 */
            const int8x8_t *tap = d->w[g * a->kw + t];
            const size_t count = DV_MIN(a->kh - g * 4, (size_t)4);
            for (size_t r = 0; r < 4; r += 2) {
                int8x8_t p = pad, q = pad; /* rows that do not exist have weights of zero */
                if (r >= count)
                    break;
                if (col < a->iw) {
                    p = signed_eight(rows[g * 4 + r] + col * a->c + d->ch, d->n);
                    if (r + 1 < count)
                        q = signed_eight(rows[g * 4 + r + 1] + col * a->c + d->ch, d->n);
                }
                const int16x8_t s = vmlal_s8(vmull_s8(p, tap[r]), q, tap[r + 1]);
                lo = vaddw_s16(lo, vget_low_s16(s));
                hi = vaddw_s16(hi, vget_high_s16(s));
            }
        }
    put_sums(a->rq, &d->l, d->ch, d->n, lo, hi, a->rq->add ? a->rq->add + at : NULL, a->out + at);
}

void dv_neon_dw_u8(const dv_qdw_args *a)
{
    dw_block d = {.groups = (a->kh + 3) / 4, .l = limits_of(a->rq)};
    if (d.groups * a->kw > TAPS) {
        dv_c_dw_u8(a);
        return;
    }
    for (size_t ch = 0; ch < a->c; ch += 8) {
        dw_open(&d, a, ch);
        for (size_t o = 0; o < a->ro; o++)
            for (size_t x = 0; x < a->ow; x++)
                dw_pixel(&d, a->rows + o * a->kh, x, (o * a->ow + x) * a->c + ch);
    }
}

/* ---- the small ones ---- */

void dv_neon_binary_u8(const dv_qbin_args *q)
{
    const int32x4_t az = vdupq_n_s32(q->a_zero), bz = vdupq_n_s32(q->b_zero);
    const float32x4_t am = vdupq_n_f32(q->a_mul), bm = vdupq_n_f32(q->b_mul);
    const limits l = {vdupq_n_f32(q->lo), vdupq_n_f32(q->hi), am, vdupq_n_s32(q->zero), az};
    for (size_t i = 0; i < q->n; i += 8) {
        const int16x8_t a = words(eight_bytes(q->a + i, q->n - i));
        const int16x8_t b = words(eight_bytes(q->b + i, q->n - i));
        float32x4_t v[2];
        for (int h = 0; h < 2; h++) {
            const float32x4_t x = vmulq_f32(spread(h ? vget_high_s16(a) : vget_low_s16(a), az), am);
            const float32x4_t y = vmulq_f32(spread(h ? vget_high_s16(b) : vget_low_s16(b), bz), bm);
            v[h] = q->times ? vmulq_f32(x, y) : vaddq_f32(x, y);
        }
        put_bytes(q->out + i, q->n - i, clipped(v[0], &l), clipped(v[1], &l));
    }
}

#if defined(__aarch64__) /* 32-bit ARM has no vector division */
void dv_neon_quant_u8(size_t n, const float *in, float scale, float zero, uint8_t *out)
{
    const float32x4_t s = vdupq_n_f32(scale), z = vdupq_n_f32(zero);
    const limits l = {vdupq_n_f32(0), vdupq_n_f32(255), z, vdupq_n_s32(0), vdupq_n_s32(0)};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        float32x4_t v[2];
        for (int h = 0; h < 2; h++) {
            v[h] = vaddq_f32(vdivq_f32(vld1q_f32(in + i + h * 4), s), z);
            /* a NaN becomes 0, as by the comparison in C */
            v[h] = vbslq_f32(vceqq_f32(v[h], v[h]), v[h], vdupq_n_f32(0));
        }
        put_bytes(out + i, 8, clipped(v[0], &l), clipped(v[1], &l));
    }
    dv_c_quant_u8(n - i, in + i, scale, zero, out + i);
}
#endif
