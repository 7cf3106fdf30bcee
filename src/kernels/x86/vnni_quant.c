/* SPDX-License-Identifier: Apache-2.0
 *
 * 8-bit kernels for AVX-512 with VNNI. A register tile is up to 14 rows by 2 panels, as in floats;
 * one instruction adds four products to each of 16 sums.
 *
 * Depthwise: 64 channels at a time. The rows of a column are interleaved to four bytes a channel by
 * unpacking inside lanes, which leaves the channels in an order of its own; the final packing
 * inside lanes undoes it. Weights and parameters are brought into that order once a row.
 */
#include <math.h>
#include <string.h>

#include "kernels/x86/vec_avx512.h"
#include "kernels/x86/vnni.h"

#define MR 14
#define NP_MAX 4
#define BLOCK_BYTES (128 * 1024) /* of weights, beside the rows in the second-level cache */

/* ---- sums to bytes ---- */

typedef struct scale {
    __m512 mul, neg;
    int two; /* neg differs from mul */
} scale;

typedef struct limits {
    __m512 lo, hi, add_mul;
    __m512i zero, add_zero;
} limits;

DV_INLINE limits limits_of(const dv_requant *rq)
{
    return (limits){_mm512_set1_ps(rq->lo), _mm512_set1_ps(rq->hi), _mm512_set1_ps(rq->add_mul),
                    _mm512_set1_epi32(rq->zero), _mm512_set1_epi32(rq->add_zero)};
}

DV_INLINE __m512 value_of(__m512i s, const scale *c)
{
    const __m512 f = _mm512_cvtepi32_ps(s), v = _mm512_mul_ps(f, c->mul);
    return c->two ? _mm512_mask_mul_ps(v, _mm512_movepi32_mask(s), f, c->neg) : v;
}

DV_INLINE __m512 add_bytes(__m512 v, __m128i bytes, const limits *l)
{
    const __m512i r = _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), l->add_zero);
    return _mm512_add_ps(v, _mm512_mul_ps(_mm512_cvtepi32_ps(r), l->add_mul));
}

DV_INLINE __m512i clipped(__m512 v, const limits *l)
{
    return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(v, l->lo), l->hi));
}

/* ---- conv_u8 ---- */

/* The sums of a tile, rows of `wide` vectors, to the results. A loop of its own behind memory: in
 * registers it would be unrolled into every tile. */
static __attribute__((noinline)) void conv_finish(const dv_qconv_args *g, size_t i, size_t j,
                                                  size_t mr, size_t wide, const __m512i *acc)
{
    const dv_requant *rq = g->rq;
    const limits l = limits_of(rq);
    for (size_t v = 0; v < wide && j + v * 16 < g->n; v++) {
        const size_t ch = j + v * 16, n = DV_MIN(g->n - ch, (size_t)16);
        const __mmask16 m = (__mmask16)((1u << n) - 1);
        const scale c = {_mm512_loadu_ps(rq->mul + ch),
                         _mm512_loadu_ps((rq->neg ? rq->neg : rq->mul) + ch), rq->neg != NULL};
        const __m512i *p = acc + v;
        if (g->c_f32) {
            float *out = (float *)g->c + i * g->ldc + ch;
            for (size_t r = 0; r < mr; r++, out += g->ldc, p += wide)
                _mm512_mask_storeu_ps(out, m, value_of(*p, &c));
            continue;
        }
        uint8_t *out = (uint8_t *)g->c + i * g->ldc + ch;
        if (rq->add) {
            const uint8_t *add = rq->add + i * rq->ldadd + ch;
            for (size_t r = 0; r < mr; r++, out += g->ldc, p += wide, add += rq->ldadd) {
                const __m512 f = add_bytes(value_of(*p, &c), _mm_maskz_loadu_epi8(m, add), &l);
                _mm_mask_storeu_epi8(
                    out, m, _mm512_cvtepi32_epi8(_mm512_add_epi32(clipped(f, &l), l.zero)));
            }
            continue;
        }
        for (size_t r = 0; r < mr; r++, out += g->ldc, p += wide) {
            const __m512 f = value_of(*p, &c);
            _mm_mask_storeu_epi8(out, m,
                                 _mm512_cvtepi32_epi8(_mm512_add_epi32(clipped(f, &l), l.zero)));
        }
    }
}

DV_INLINE void conv_tile(const dv_qconv_args *g, size_t i, size_t j, const int mr, const int np)
{
    const size_t lda = g->lda, panel = g->panel, steps = (g->seg + 3) / 4;
    const int8_t *w = g->w + j / DV_PANEL * panel;
    __m512i acc[MR * NP_MAX];
    DV_UNROLL
    for (int v = 0; v < np; v++) {
        const __m512i bias = _mm512_loadu_si512(g->rq->bias + j + (size_t)(v * 16));
        DV_UNROLL
        for (int r = 0; r < mr; r++)
            acc[r * np + v] = bias;
    }
    const uint8_t *seg = g->a + i * lda;
    for (size_t s = 0; s < g->segs; s++, seg += g->seg_stride) {
        const uint8_t *a = seg;
        for (size_t t = 0; t < steps; t++, a += 4, w += 64) {
            __m512i b[NP_MAX];
            DV_UNROLL
            for (int v = 0; v < np; v++)
                b[v] = _mm512_loadu_si512(w + (size_t)v * panel);
            DV_UNROLL
            for (int r = 0; r < mr; r++) {
                int32_t four;
                memcpy(&four, a + (size_t)r * lda, 4);
                const __m512i x = _mm512_set1_epi32(four);
                DV_UNROLL
                for (int v = 0; v < np; v++)
                    acc[r * np + v] = _mm512_dpbusd_epi32(acc[r * np + v], x, b[v]);
            }
        }
    }
    conv_finish(g, i, j, (size_t)mr, (size_t)np, acc);
}

/* One tile of rows over the panels of columns j..end; the last may be narrower. */
#define ROWS(mr, np)                                                                       \
    static __attribute__((noinline)) void conv_rows_##mr(const dv_qconv_args *g, size_t i, \
                                                         size_t j, size_t end)             \
    {                                                                                      \
        for (; j + (np - 1) * DV_PANEL < end; j += np * DV_PANEL)                          \
            conv_tile(g, i, j, mr, np);                                                    \
        for (; j < end; j += DV_PANEL)                                                     \
            conv_tile(g, i, j, mr, 1);                                                     \
    }
ROWS(1, 4)
ROWS(2, 4)
ROWS(4, 4)
ROWS(7, 4)
ROWS(14, 2)

void dv_vnni_conv_u8(const dv_qconv_args *g)
{
    static const struct {
        size_t mr;
        void (*run)(const dv_qconv_args *g, size_t i, size_t j, size_t end);
    } tiles[] = {
        {14, conv_rows_14}, {7, conv_rows_7}, {4, conv_rows_4}, {2, conv_rows_2}, {1, conv_rows_1}};
    const size_t m = g->m, n = g->n;
    const size_t bytes = g->segs * dv_round_up(g->seg, 4) * DV_PANEL * NP_MAX;
    const size_t fit = BLOCK_BYTES / DV_MAX(bytes, (size_t)1);
    const size_t block = m <= MR ? n : DV_MAX(fit, (size_t)1) * DV_PANEL * NP_MAX;
    for (size_t j = 0; j < n; j += block) {
        const size_t end = DV_MIN(n, j + block);
        for (size_t i = 0, t = 0; i < m;) {
            while (tiles[t].mr > m - i)
                t++;
            tiles[t].run(g, i, j, end);
            i += tiles[t].mr;
        }
    }
}

/* ---- dw_u8 ---- */

#define COLS 96 /* interleaved columns kept at once */

/* Lane q of each of four vectors becomes vector q. */
DV_INLINE void swap_lanes(const __m512i in[4], __m512i out[4])
{
    const __m512i a = _mm512_shuffle_i32x4(in[0], in[1], 0x44);
    const __m512i b = _mm512_shuffle_i32x4(in[0], in[1], 0xee);
    const __m512i c = _mm512_shuffle_i32x4(in[2], in[3], 0x44);
    const __m512i d = _mm512_shuffle_i32x4(in[2], in[3], 0xee);
    out[0] = _mm512_shuffle_i32x4(a, c, 0x88);
    out[1] = _mm512_shuffle_i32x4(a, c, 0xdd);
    out[2] = _mm512_shuffle_i32x4(b, d, 0x88);
    out[3] = _mm512_shuffle_i32x4(b, d, 0xdd);
}

/* Four vectors of 16 dwords each, `step` bytes apart; those of blocks that do not exist are 0. */
DV_INLINE void load_swapped(const void *p, size_t step, size_t blocks, __m512i out[4])
{
    __m512i in[4];
    for (size_t b = 0; b < 4; b++)
        in[b] =
            b < blocks ? _mm512_loadu_si512((const uint8_t *)p + b * step) : _mm512_setzero_si512();
    swap_lanes(in, out);
}

typedef struct dw_block {
    const dv_qdw_args *a;
    size_t ch, blocks, groups;
    __mmask64 mask;
    __m512i bias[4];
    scale s[4];
    limits l;
} dw_block;

/* n columns of up to four rows, pixel bytes apart, to out[column * step .. + 4]. */
DV_INLINE void interleave_rows(const uint8_t *const *rows, const int count, __mmask64 mask,
                               const int whole, size_t pixel, size_t n, size_t step, __m512i *out)
{
    const uint8_t *p[4];
    DV_UNROLL
    for (int k = 0; k < 4; k++)
        p[k] = rows[k < count ? k : 0];
    for (size_t j = 0, at = 0; j < n; j++, at += pixel, out += step) {
        __m512i r[4];
        DV_UNROLL
        for (int k = 0; k < 4; k++)
            r[k] = k >= count ? _mm512_setzero_si512()
                   : whole    ? _mm512_loadu_si512(p[k] + at)
                              : _mm512_maskz_loadu_epi8(mask, p[k] + at);
        const __m512i lo01 = _mm512_unpacklo_epi8(r[0], r[1]);
        const __m512i hi01 = _mm512_unpackhi_epi8(r[0], r[1]);
        const __m512i lo23 = _mm512_unpacklo_epi8(r[2], r[3]);
        const __m512i hi23 = _mm512_unpackhi_epi8(r[2], r[3]);
        out[0] = _mm512_unpacklo_epi16(lo01, lo23);
        out[1] = _mm512_unpackhi_epi16(lo01, lo23);
        out[2] = _mm512_unpacklo_epi16(hi01, hi23);
        out[3] = _mm512_unpackhi_epi16(hi01, hi23);
    }
}

/* Columns `from`.. (counted with the padding) as four bytes a channel: out[column][group][4]. */
static void interleave(const dw_block *d, const uint8_t *const *from_rows, size_t from, size_t n,
                       __m512i *out)
{
    const dv_qdw_args *a = d->a;
    const size_t step = d->groups * 4;
    const size_t left = from < a->px ? DV_MIN(a->px - from, n) : 0;
    const size_t col = from + left - a->px,
                 inside = a->iw > col ? DV_MIN(a->iw - col, n - left) : 0;
    for (size_t g = 0; g < d->groups; g++) {
        const size_t count = DV_MIN(a->kh - g * 4, (size_t)4);
        const uint8_t *rows[4];
        for (size_t k = 0; k < count; k++)
            rows[k] = from_rows[g * 4 + k] + col * a->c + d->ch;
        __m512i *to = out + left * step + g * 4;
        if (count == 3 && d->mask == ~(__mmask64)0)
            interleave_rows(rows, 3, d->mask, 1, a->c, inside, step, to);
        else if (count == 3)
            interleave_rows(rows, 3, d->mask, 0, a->c, inside, step, to);
        else if (count == 4)
            interleave_rows(rows, 4, d->mask, 0, a->c, inside, step, to);
        else if (count == 2)
            interleave_rows(rows, 2, d->mask, 0, a->c, inside, step, to);
        else
            interleave_rows(rows, 1, d->mask, 0, a->c, inside, step, to);
        /* rows that do not exist have weights of zero: any byte will do for them */
        const __m512i pad = _mm512_set1_epi8((char)a->pad);
        for (size_t j = 0; j < n; j++)
            if (j < left || j >= left + inside)
                for (size_t q = 0; q < 4; q++)
                    out[j * step + g * 4 + q] = pad;
    }
}

/* What an output needs, in local variables: a byte that is stored may lie anywhere, so the
 * compiler would read parameters behind pointers again for every output. */
DV_INLINE void dw_store(const dw_block *d, const scale *s, const limits *l, const int add,
                        size_t at, const __m512i *acc)
{
    __m512 v[4];
    DV_UNROLL
    for (int q = 0; q < 4; q++)
        v[q] = value_of(acc[q], &s[q]);
    if (add) {
        const __m512i r = _mm512_maskz_loadu_epi8(d->mask, d->a->rq->add + at);
        const __m512i none = _mm512_setzero_si512();
        const __m512i lo = _mm512_unpacklo_epi8(r, none), hi = _mm512_unpackhi_epi8(r, none);
        const __m512i w[4] = {_mm512_unpacklo_epi16(lo, none), _mm512_unpackhi_epi16(lo, none),
                              _mm512_unpacklo_epi16(hi, none), _mm512_unpackhi_epi16(hi, none)};
        DV_UNROLL
        for (int q = 0; q < 4; q++)
            v[q] = _mm512_add_ps(
                v[q],
                _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(w[q], l->add_zero)), l->add_mul));
    }
    __m512i o[4];
    DV_UNROLL
    for (int q = 0; q < 4; q++)
        o[q] = clipped(v[q], l);
    /* -255 .. 255 fits 16 bits before the zero point is added */
    const __m512i zero = _mm512_packs_epi32(l->zero, l->zero);
    const __m512i lo = _mm512_add_epi16(_mm512_packs_epi32(o[0], o[1]), zero);
    const __m512i hi = _mm512_add_epi16(_mm512_packs_epi32(o[2], o[3]), zero);
    _mm512_mask_storeu_epi8(d->a->out + at, d->mask, _mm512_packus_epi16(lo, hi));
}

/* Outputs x.. of n, whose columns begin at cols; weights[tap][group][4]. taps 3: one group of
 * three columns, whose weights stay in registers; 0: any number. */
DV_INLINE void dw_outputs(const dw_block *d, const __m512i *cols, const __m512i *weights, size_t x,
                          size_t n, const int taps, const int add, const int two)
{
    const dv_qdw_args *a = d->a;
    const size_t kw = taps ? (size_t)taps : a->kw, g4 = (taps ? 1 : d->groups) * 4;
    const size_t step = a->sx * g4, next = a->dx * g4;
    __m512i bias[4], w3[12];
    scale s[4];
    const limits l = d->l;
    size_t at = x * a->c + d->ch;
    const size_t pixel = a->c;
    DV_UNROLL
    for (int q = 0; q < 4; q++) {
        bias[q] = d->bias[q];
        s[q] = d->s[q];
        s[q].two = two;
    }
    DV_UNROLL
    for (int q = 0; taps && q < 12; q++)
        w3[q] = weights[q];
    for (size_t i = 0; i < n; i++, cols += step, at += pixel) {
        __m512i acc[4] = {bias[0], bias[1], bias[2], bias[3]};
        const __m512i *c = cols, *w = weights;
        if (taps) {
            DV_UNROLL
            for (int t = 0; t < 3; t++, c += next)
                DV_UNROLL
            for (int q = 0; q < 4; q++)
                acc[q] = _mm512_dpbusd_epi32(acc[q], c[q], w3[t * 4 + q]);
        } else {
            for (size_t t = 0; t < kw; t++, c += next, w += g4)
                for (size_t k = 0; k < g4; k += 4)
                    DV_UNROLL
            for (size_t q = 0; q < 4; q++)
                acc[q] = _mm512_dpbusd_epi32(acc[q], c[k + q], w[k + q]);
        }
        dw_store(d, s, &l, add, at, acc);
    }
}

static void dw_channels(const dv_qdw_args *a, size_t ch)
{
    const dv_requant *rq = a->rq;
    const size_t left = DV_MIN(a->c - ch, (size_t)64), blocks = (left + 15) / 16;
    dw_block d = {.a = a, .ch = ch, .blocks = blocks, .groups = (a->kh + 3) / 4};
    d.mask = left == 64 ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
    d.l = limits_of(rq);
    __m512i v[4], cols[COLS * 4], weights[32 * 4];
    load_swapped(rq->bias + ch, 64, blocks, d.bias);
    load_swapped(rq->mul + ch, 64, blocks, v);
    for (int q = 0; q < 4; q++)
        d.s[q].mul = _mm512_castsi512_ps(v[q]);
    load_swapped((rq->neg ? rq->neg : rq->mul) + ch, 64, blocks, v);
    for (int q = 0; q < 4; q++) {
        d.s[q].neg = _mm512_castsi512_ps(v[q]);
        d.s[q].two = rq->neg != NULL;
    }
    /* packed: [block][group][tap]; here: [tap][group] */
    const size_t each = d.groups * a->kw * 64;
    for (size_t t = 0; t < a->kw; t++)
        for (size_t g = 0; g < d.groups; g++)
            load_swapped(a->w + ch / 16 * each + (g * a->kw + t) * 64, each, blocks,
                         weights + (t * d.groups + g) * 4);
    const size_t reach = (a->kw - 1) * a->dx + 1, most = COLS / d.groups;
    const size_t fit = (most - reach) / a->sx + 1;
    for (size_t x = 0, o = 0; o < a->ro; x + fit < a->ow ? (x += fit) : (x = 0, o++)) {
        const size_t n = DV_MIN(fit, a->ow - x);
        interleave(&d, a->rows + o * a->kh, x * a->sx, (n - 1) * a->sx + reach, cols);
        const bool three = a->kw == 3 && d.groups == 1 && !rq->add;
        if (three && rq->neg)
            dw_outputs(&d, cols, weights, o * a->ow + x, n, 3, 0, 1);
        else if (three)
            dw_outputs(&d, cols, weights, o * a->ow + x, n, 3, 0, 0);
        else
            dw_outputs(&d, cols, weights, o * a->ow + x, n, 0, rq->add != NULL, rq->neg != NULL);
    }
}

void dv_vnni_dw_u8(const dv_qdw_args *a)
{
    /* what does not fit the buffers is rare */
    const size_t groups = (a->kh + 3) / 4, reach = (a->kw - 1) * a->dx + 1;
    if (groups * a->kw > 32 || reach * groups > COLS) {
        dv_c_dw_u8(a);
        return;
    }
    for (size_t ch = 0; ch < a->c; ch += 64)
        dw_channels(a, ch);
}

/* ---- the small ones ---- */

DV_INLINE __m512i bytes_of(__m512 v, const __m512 lo, const __m512 hi, const __m512i zero)
{
    return _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(v, lo), hi)), zero);
}

DV_INLINE __mmask16 first(size_t n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1);
}

DV_INLINE __m512 spread(const uint8_t *p, __mmask16 m, __m512i zero)
{
    return _mm512_cvtepi32_ps(
        _mm512_sub_epi32(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, p)), zero));
}

void dv_vnni_quant_u8(size_t n, const float *in, float scale_, float zero, uint8_t *out)
{
    const __m512 s = _mm512_set1_ps(scale_), z = _mm512_set1_ps(zero);
    const __m512 lo = _mm512_setzero_ps(), hi = _mm512_set1_ps(255);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = first(n - i);
        const __m512 v = _mm512_add_ps(_mm512_div_ps(_mm512_maskz_loadu_ps(m, in + i), s), z);
        _mm_mask_storeu_epi8(out + i, m,
                             _mm512_cvtepi32_epi8(bytes_of(v, lo, hi, _mm512_setzero_si512())));
    }
}

void dv_vnni_dequant_u8(size_t n, const uint8_t *in, float scale_, float zero, float *out)
{
    const __m512 s = _mm512_set1_ps(scale_), z = _mm512_set1_ps(zero);
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = first(n - i);
        const __m512 v = spread(in + i, m, _mm512_setzero_si512());
        _mm512_mask_storeu_ps(out + i, m, _mm512_mul_ps(_mm512_sub_ps(v, z), s));
    }
}

void dv_vnni_binary_u8(const dv_qbin_args *q)
{
    const __m512i az = _mm512_set1_epi32(q->a_zero), bz = _mm512_set1_epi32(q->b_zero);
    const __m512i zero = _mm512_set1_epi32(q->zero);
    const __m512 am = _mm512_set1_ps(q->a_mul), bm = _mm512_set1_ps(q->b_mul);
    const __m512 lo = _mm512_set1_ps(q->lo), hi = _mm512_set1_ps(q->hi);
    for (size_t i = 0; i < q->n; i += 16) {
        const __mmask16 m = first(q->n - i);
        const __m512 a = _mm512_mul_ps(spread(q->a + i, m, az), am);
        const __m512 b = _mm512_mul_ps(spread(q->b + i, m, bz), bm);
        const __m512 v = q->times ? _mm512_mul_ps(a, b) : _mm512_add_ps(a, b);
        _mm_mask_storeu_epi8(q->out + i, m, _mm512_cvtepi32_epi8(bytes_of(v, lo, hi, zero)));
    }
}

void dv_vnni_scale_u8(const dv_qscale_args *q)
{
    const __m512i iz = _mm512_set1_epi32(q->in_zero), zero = _mm512_set1_epi32(q->zero);
    const __m512 lo = _mm512_set1_ps(q->lo), hi = _mm512_set1_ps(q->hi);
    for (size_t c = 0; c < q->c; c += 16) {
        const __mmask16 m = first(q->c - c);
        const __m512 mul = _mm512_maskz_loadu_ps(m, q->mul + c);
        const __m512 add = q->shift ? _mm512_maskz_loadu_ps(m, q->shift + c) : _mm512_setzero_ps();
        for (size_t r = 0, at = c; r < q->rows; r++, at += q->c) {
            __m512 v = _mm512_mul_ps(spread(q->in + at, m, iz), mul);
            if (q->shift)
                v = _mm512_add_ps(v, add);
            _mm_mask_storeu_epi8(q->out + at, m, _mm512_cvtepi32_epi8(bytes_of(v, lo, hi, zero)));
        }
    }
}

void dv_vnni_sum_u8(size_t rows, size_t c, const uint8_t *in, int32_t *out)
{
    for (size_t j = 0; j < c; j += 16) {
        const __mmask16 m = first(c - j);
        __m512i sum = _mm512_setzero_si512();
        for (size_t r = 0; r < rows; r++)
            sum = _mm512_add_epi32(sum,
                                   _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, in + r * c + j)));
        _mm512_mask_storeu_epi32(out + j, m, sum);
    }
}

void dv_vnni_maxpool_u8(const dv_qpool_args *a)
{
    for (size_t x = 0; x < a->ow; x++)
        for (size_t ch = 0; ch < a->c; ch += 64) {
            const size_t n = a->c - ch;
            const __mmask64 m = n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
            __m512i most = _mm512_setzero_si512();
            for (size_t r = 0; r < a->kh; r++)
                for (size_t t = 0; t < a->kw; t++) {
                    const size_t col = x * a->sx + t * a->dx - a->px;
                    if (col < a->iw)
                        most = _mm512_max_epu8(
                            most, _mm512_maskz_loadu_epi8(m, a->rows[r] + col * a->c + ch));
                }
            _mm512_mask_storeu_epi8(a->out + x * a->c + ch, m, most);
        }
}
