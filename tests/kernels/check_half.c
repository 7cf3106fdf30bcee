/* SPDX-License-Identifier: Apache-2.0
 *
 * checkasm: arithmetic in halves. The order of the operations is fixed, so every variant gives the
 * bits of the C twin (any NaN counts as any other); the twin is measured against sums in double.
 */
#include <math.h>
#include <string.h>

#include "checkasm.h"

static double real(uint16_t h)
{
    return (double)dv_half_to_float(h);
}

enum { SMALL, LARGE, ANY }; /* -1..1; sums overflow; all bit patterns */

static int kind_of(ck *s)
{
    size_t k = ck_below(s, 8);
    return k == 0 ? LARGE : k == 1 ? ANY : SMALL;
}

static uint16_t *halves(ck *s, size_t n, int kind)
{
    uint16_t *p = ck_bytes(s, n * sizeof *p);
    for (size_t i = 0; i < n; i++)
        p[i] = kind == ANY
                   ? (uint16_t)ck_rand(s)
                   : dv_half_from_float(ck_uniform(s, -1, 1) * (kind == LARGE ? 400.0F : 1.0F));
    return p;
}

static bool same(uint16_t a, uint16_t b)
{
    return a == b || ((a & 0x7fffu) > 0x7c00 && (b & 0x7fffu) > 0x7c00);
}

/* rows x cols in steps of ld; what lies between them must not change either. */
static void compare(ck *s, const uint16_t *want, const uint16_t *got, size_t rows, size_t cols,
                    size_t ld)
{
    for (size_t i = 0; i < (rows - 1) * ld + cols; i++)
        if (i % ld < cols ? !same(want[i], got[i]) : want[i] != got[i]) {
            ck_fail(s, "(%zu, %zu): want %04x = %g, got %04x = %g", i / ld, i % ld, want[i],
                    real(want[i]), got[i], real(got[i]));
            return;
        }
    ck_fences(s);
}

static void epilogue(ck *s, dv_hepilogue *ep, size_t n, int kind)
{
    size_t pad = dv_round_up(n, DV_HPANEL);
    uint16_t *bias = halves(s, pad, kind), *slope = halves(s, pad, SMALL);
    memset(ep, 0, sizeof *ep);
    ep->act = (int)ck_below(s, 3);
    ep->bias = ck_below(s, 3) ? bias : NULL;
    ep->slope = ep->act == DV_EP_PRELU ? slope : NULL;
    ep->lo = ck_below(s, 2) ? 0 : dv_half_from_float(-0.5F);
    ep->hi = ck_below(s, 2) ? 0x7c00 : dv_half_from_float(1);
}

static double ended(double v, const dv_hepilogue *ep, size_t j)
{
    if (ep->act == DV_EP_CLIP)
        return fmin(fmax(v, real(ep->lo)), real(ep->hi));
    return ep->act == DV_EP_PRELU && v < 0 ? v * real(ep->slope[j]) : v;
}

static void conv_case(ck *s, size_t m, size_t n, size_t segs, size_t seg)
{
    const size_t k = segs * seg, lda = ck_below(s, 2) ? seg : 2 * (1 + ck_below(s, seg));
    const size_t stride = seg + 2 * ck_below(s, 4), ldc = n + ck_below(s, 2) * ck_below(s, 9);
    const int kind = kind_of(s);
    ck_case(s, "m %zu n %zu segs %zu seg %zu lda %zu ldc %zu kind %d", m, n, segs, seg, lda, ldc,
            kind);
    const size_t an = (m - 1) * lda + (segs - 1) * stride + seg, cn = (m - 1) * ldc + n;
    uint16_t *a = halves(s, an, kind);
    float *plain = ck_floats(s, k * n), *back = ck_floats(s, k * n);
    ck_fill(s, plain, k * n, CK_PLAIN);
    uint16_t *w = ck_bytes(s, k * dv_round_up(n, DV_HPANEL) * sizeof *w);
    dv_pack_panels_f16(k, n, plain, w);
    dv_unpack_panels_f16(k, n, w, back);
    for (size_t i = 0; i < k * n; i++)
        if (dv_half_from_float(plain[i]) != dv_half_from_float(back[i]))
            ck_fail(s, "weight %zu is another after packing", i);
    dv_hepilogue ep;
    epilogue(s, &ep, n, kind);
    const bool floats = ck_below(s, 4) == 0, add = ck_below(s, 2), in_place = !floats && add;
    uint16_t *r = halves(s, cn, kind), *c = ck_bytes(s, cn * 4), *d = ck_bytes(s, cn * 4);
    memset(c, 0x11, cn * 4);
    memcpy(c, r, cn * 2);
    memcpy(d, c, cn * 4);
    ep.add = add ? (in_place ? c : r) : NULL;
    ep.ldadd = ldc;
    dv_hconv_args g = {m, n, segs, seg, stride, a, lda, w, k * DV_HPANEL, c, ldc, floats, &ep};
    s->ref->conv_f16(&g);
    for (size_t i = 0; kind == SMALL && i < m; i += 1 + m / 3)
        for (size_t j = 0; j < n; j++) {
            double sum = ep.bias ? real(ep.bias[j]) : 0, size = 1;
            sum += add ? real(r[i * ldc + j]) : 0;
            for (size_t q = 0; q < k; q++) {
                double p = real(a[i * lda + q / seg * stride + q % seg]) * (double)back[q * n + j];
                sum += p;
                size += fabs(p);
            }
            sum = ended(sum, &ep, j);
            double got = floats ? (double)((float *)(void *)c)[i * ldc + j] : real(c[i * ldc + j]);
            if (fabs(got - sum) > 0x1p-11 * size * (double)DV_MIN(k + 4, (size_t)40))
                ck_fail(s, "the C twin at (%zu, %zu): %g, want %g", i, j, got, sum);
        }
    g.c = d;
    if (in_place)
        ep.add = d;
    s->cur->conv_f16(&g);
    if (!floats) {
        compare(s, c, d, m, n, ldc);
        return;
    }
    for (size_t i = 0; i < cn; i++) {
        const float x = ((float *)(void *)c)[i], y = ((float *)(void *)d)[i];
        if (memcmp(&x, &y, 4) && !(x != x && y != y)) {
            ck_fail(s, "float %zu: want %g, got %g", i, (double)x, (double)y);
            return;
        }
    }
    ck_fences(s);
}

void check_conv_f16(ck *s)
{
    for (int i = 0; i < 150; i++)
        conv_case(s, 1 + ck_below(s, 31), 1 + ck_below(s, ck_below(s, 3) ? 40 : 140), 1,
                  2 * (1 + ck_below(s, 20)));
    for (int i = 0; i < 40; i++)
        conv_case(s, 1 + ck_below(s, 16), 1 + ck_below(s, 70), 1 + ck_below(s, 4),
                  2 * (1 + ck_below(s, 30)));
    for (int i = 0; i < 6; i++) /* more than one piece */
        conv_case(s, 1 + ck_below(s, 3), 1 + ck_below(s, 40), 1 + ck_below(s, 2),
                  500 + 2 * ck_below(s, 400));
    conv_case(s, 30, 33, 1, DV_HPIECE);
    conv_case(s, 3, 32, 1, DV_HPIECE + 2);
}

static void dw_case(ck *s, size_t kh, size_t kw, size_t sx, size_t dx, size_t ow)
{
    const size_t c = 1 + ck_below(s, ck_below(s, 2) ? 80 : 20), ldw = dv_round_up(c, DV_HPANEL);
    const size_t px = ck_below(s, (kw - 1) * dx + 1), reach = (ow - 1) * sx + (kw - 1) * dx + 1;
    const size_t right = ck_below(s, kw), iw = reach > px + right ? reach - px - right : 1;
    const int kind = kind_of(s);
    ck_case(s, "kh %zu kw %zu sx %zu dx %zu px %zu iw %zu ow %zu c %zu kind %d", kh, kw, sx, dx, px,
            iw, ow, c, kind);
    const uint16_t *rows[8];
    for (size_t r = 0; r < kh; r++)
        rows[r] = halves(s, iw * c, kind);
    uint16_t *w = halves(s, kh * kw * ldw, SMALL), *add = halves(s, ow * c, kind);
    uint16_t *want = halves(s, ow * c, SMALL), *got = ck_bytes(s, ow * c * sizeof *got);
    memcpy(got, want, ow * c * sizeof *got);
    dv_hepilogue ep;
    epilogue(s, &ep, c, kind);
    ep.add = ck_below(s, 2) ? add : NULL;
    dv_hdw_args a = {rows, kh, kw, c, iw, ow, sx, dx, px, w, ldw, want, &ep};
    s->ref->dw_f16(&a);
    for (size_t x = 0; kind == SMALL && x < ow; x++)
        for (size_t ch = 0; ch < c; ch++) {
            double sum = (ep.bias ? real(ep.bias[ch]) : 0) + (ep.add ? real(add[x * c + ch]) : 0);
            for (size_t r = 0; r < kh; r++)
                for (size_t t = 0; t < kw; t++) {
                    const size_t col = x * sx + t * dx - px;
                    if (col < iw)
                        sum += real(rows[r][col * c + ch]) * real(w[(r * kw + t) * ldw + ch]);
                }
            if (fabs(ended(sum, &ep, ch) - real(want[x * c + ch])) > 0x1p-11 * 60)
                ck_fail(s, "the C twin at (%zu, %zu): %g, want %g", x, ch, real(want[x * c + ch]),
                        sum);
        }
    a.out = got;
    s->cur->dw_f16(&a);
    compare(s, want, got, 1, ow * c, ow * c);
}

void check_dw_f16(ck *s)
{
    for (int i = 0; i < 200; i++) {
        const size_t kw = ck_below(s, 3) ? 3 : 1 + ck_below(s, 7);
        dw_case(s, 1 + ck_below(s, 7), kw, 1 + ck_below(s, 3), 1 + (ck_below(s, 6) == 0),
                1 + ck_below(s, 17));
    }
}

void check_to_f16(ck *s)
{
    for (int i = 0; i < 40; i++) {
        const size_t n = 1 + ck_below(s, 70);
        ck_case(s, "n %zu", n);
        float *in = ck_floats(s, n);
        uint16_t *want = ck_bytes(s, n * 2), *got = ck_bytes(s, n * 2);
        for (size_t j = 0; j < n; j++) {
            const uint32_t bits = ck_rand(s);
            in[j] = ck_uniform(s, -1, 1) * ldexpf(1, (int)ck_below(s, 45) - 28);
            if (ck_below(s, 8) == 0)
                memcpy(&in[j], &bits, 4);
        }
        s->ref->to_f16(n, in, want);
        s->cur->to_f16(n, in, got);
        compare(s, want, got, 1, n, n);
    }
}

void check_from_f16(ck *s)
{
    for (int i = 0; i < 40; i++) {
        const size_t n = 1 + ck_below(s, 70);
        ck_case(s, "n %zu", n);
        uint16_t *in = halves(s, n, ANY);
        float *want = ck_floats(s, n), *got = ck_floats(s, n);
        s->ref->from_f16(n, in, want);
        s->cur->from_f16(n, in, got);
        ck_compare(s, want, got, 1, n, n, NULL);
    }
}

/* ---- benches ---- */

typedef struct half_bench {
    dv_hconv_args conv;
    dv_hdw_args dw;
    dv_hepilogue ep;
    const uint16_t *rows[3];
} half_bench;

static void *bench_halves(ck *s, size_t n)
{
    return memset(ck_bench_floats(s, n / 2 + 1), 0, n / 2 * 4);
}

static void run_conv(const dv_kernels *k, void *arg)
{
    half_bench *b = arg;
    b->conv.ep = &b->ep;
    k->conv_f16(&b->conv);
}

static void run_dw(const dv_kernels *k, void *arg)
{
    half_bench *b = arg;
    b->dw.ep = &b->ep;
    b->dw.rows = b->rows;
    k->dw_f16(&b->dw);
}

void bench_conv_f16(ck *s)
{
    static const size_t shape[][3] = {
        {784, 64, 128}, {196, 128, 256}, {196, 256, 128}, {49, 512, 512}};
    for (size_t i = 0; i < DV_COUNT(shape); i++) {
        const size_t m = shape[i][0], k = shape[i][1], n = shape[i][2];
        char label[64];
        snprintf(label, sizeof label, "%zu pixels, %zu -> %zu", m, k, n);
        half_bench b = {
            .conv = {.m = m, .n = n, .segs = 1, .seg = k, .lda = k, .panel = 32 * k, .ldc = n}};
        b.conv.a = bench_halves(s, m * k);
        b.conv.w = bench_halves(s, dv_round_up(n, DV_HPANEL) * k);
        b.conv.c = bench_halves(s, m * n);
        ck_bench(s, label, (double)(m * n * k), "GMAC/s", run_conv, &b);
    }
}

void bench_dw_f16(ck *s)
{
    for (size_t sx = 1; sx <= 2; sx++) {
        half_bench b = {.dw = {.kh = 3,
                               .kw = 3,
                               .c = 128,
                               .iw = 28 * sx,
                               .ow = 28,
                               .sx = sx,
                               .dx = 1,
                               .px = 1,
                               .ldw = 128}};
        for (int i = 0; i < 3; i++)
            b.rows[i] = bench_halves(s, 28 * sx * 128);
        b.dw.w = bench_halves(s, 9 * 128);
        b.dw.out = bench_halves(s, 28 * 128);
        ck_bench(s, sx == 1 ? "3x3, 128 channels" : "3x3, 128 channels, stride 2", 28 * 128 * 9,
                 "GMAC/s", run_dw, &b);
    }
}

typedef struct turn {
    size_t n;
    float *f;
    uint16_t *h;
} turn;

static void run_to(const dv_kernels *k, void *arg)
{
    turn *t = arg;
    k->to_f16(t->n, t->f, t->h);
}

static void run_from(const dv_kernels *k, void *arg)
{
    turn *t = arg;
    k->from_f16(t->n, t->h, t->f);
}

static void bench_turn(ck *s, void (*fn)(const dv_kernels *k, void *arg))
{
    turn t = {.n = 8192, .f = ck_bench_floats(s, 8192)};
    t.h = bench_halves(s, 8192);
    ck_bench(s, "8192", 8192 * 6, "GB/s", fn, &t);
}

void bench_to_f16(ck *s)
{
    bench_turn(s, run_to);
}

void bench_from_f16(ck *s)
{
    bench_turn(s, run_from);
}
