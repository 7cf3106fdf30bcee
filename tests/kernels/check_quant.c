/* SPDX-License-Identifier: Apache-2.0
 *
 * checkasm: the 8-bit kernels. Their results are the same bits everywhere, so nothing is compared
 * with a tolerance. The C twins are measured against sums made here in another order.
 */
#include <math.h>
#include <string.h>

#include "checkasm.h"

static uint8_t *bytes(ck *s, size_t n, int extreme)
{
    uint8_t *p = ck_bytes(s, n);
    for (size_t i = 0; i < n; i++)
        p[i] = extreme == 1 ? 255 : extreme == 2 ? 0 : (uint8_t)ck_rand(s);
    return p;
}

static int8_t *weights(ck *s, size_t n, int extreme)
{
    int8_t *p = ck_bytes(s, n);
    for (size_t i = 0; i < n; i++)
        p[i] = extreme == 1 ? 127 : extreme == 2 ? -127 : (int8_t)((int)ck_below(s, 255) - 127);
    return p;
}

static void compare_bytes(ck *s, const uint8_t *want, const uint8_t *got, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (want[i] != got[i]) {
            ck_fail(s, "byte %zu of %zu: want %u, got %u", i, n, want[i], got[i]);
            return;
        }
    ck_fences(s);
}

typedef struct params {
    dv_requant rq;
    bool in_place;
} params;

static void requant_params(ck *s, params *p, size_t n, double size, bool plain)
{
    size_t pad = dv_round_up(n, DV_PANEL);
    int32_t *bias = ck_bytes(s, pad * sizeof *bias);
    float *mul = ck_floats(s, pad), *neg = ck_floats(s, pad);
    memset(bias, 0, pad * sizeof *bias);
    memset(mul, 0, pad * sizeof *mul);
    memset(neg, 0, pad * sizeof *neg);
    for (size_t j = 0; j < n; j++) {
        bias[j] = (int32_t)(ck_uniform(s, -1, 1) * (float)size);
        if (ck_below(s, 50) == 0)
            bias[j] = ck_below(s, 2) ? INT32_MAX : INT32_MIN; /* the sum may wrap */
        mul[j] = ck_uniform(s, 20, 300) / (float)size;
        neg[j] = mul[j] * ck_uniform(s, -0.2F, 0.5F);
    }
    int32_t zero = (int32_t)ck_below(s, 3) == 0 ? 0 : (int32_t)ck_below(s, 256);
    float lo = ck_below(s, 2) ? 0 : (float)ck_below(s, 100);
    float hi = ck_below(s, 2) ? 255 : (float)(100 + ck_below(s, 156));
    p->rq = (dv_requant){.bias = bias,
                         .mul = mul,
                         .neg = ck_below(s, 2) ? neg : NULL,
                         .add_zero = (int32_t)ck_below(s, 256),
                         .add_mul = ck_uniform(s, 0.1F, 2),
                         .lo = lo - (float)zero,
                         .hi = hi - (float)zero,
                         .zero = zero};
    p->in_place = !plain && ck_below(s, 4) == 0;
}

/* ---- conv_u8 ---- */

static void conv_case(ck *s, size_t m, size_t n, size_t segs, size_t seg)
{
    size_t lda = ck_below(s, 2) ? seg : 1 + ck_below(s, seg + 9);
    size_t stride = seg + ck_below(s, 7), ldc = n + ck_below(s, 2) * ck_below(s, 9);
    int extreme = (int)ck_below(s, 12), wext = (int)ck_below(s, 12);
    ck_case(s, "m %zu n %zu segs %zu seg %zu lda %zu ldc %zu extreme %d %d", m, n, segs, seg, lda,
            ldc, extreme, wext);
    size_t an = (m - 1) * lda + (segs - 1) * stride + dv_round_up(seg, 4), cn = (m - 1) * ldc + n;
    uint8_t *a = bytes(s, an, extreme);
    int8_t *plain = weights(s, segs * seg * n, wext),
           *w = ck_bytes(s, dv_panel_size_s8(segs, seg, n));
    dv_pack_panels_s8(segs, seg, n, plain, w);
    params p;
    requant_params(s, &p, n, 255.0 * 127 * sqrt((double)(segs * seg)) / 3, false);
    bool floats = ck_below(s, 5) == 0, add = !floats && ck_below(s, 2);
    size_t unit = floats ? 4 : 1;
    uint8_t *c = bytes(s, cn * unit, 0), *d = ck_bytes(s, cn * unit), *r = bytes(s, cn, 0);
    memcpy(d, c, cn * unit);
    p.rq.add = add ? (p.in_place ? c : r) : NULL;
    p.rq.ldadd = ldc;
    dv_qconv_args g = {
        m, n,   segs,   seg,  stride, a, lda, w, segs * dv_round_up(seg, 4) * DV_PANEL,
        c, ldc, floats, &p.rq};
    if (add && p.in_place)
        memcpy(r, c, cn); /* what was added */
    s->ref->conv_u8(&g);
    for (size_t i = 0; i < m; i += 1 + m / 3) /* the twin, summed another way round */
        for (size_t j = 0; j < n; j++) {
            int64_t sum = p.rq.bias[j];
            for (size_t k = segs * seg; k-- > 0;)
                sum += (int64_t)a[i * lda + k / seg * stride + k % seg] * plain[k * n + j];
            int32_t t = (int32_t)(uint32_t)(uint64_t)sum;
            float v = (float)t * (t < 0 && p.rq.neg ? p.rq.neg[j] : p.rq.mul[j]);
            if (add) {
                float more = (float)(r[i * ldc + j] - p.rq.add_zero) * p.rq.add_mul;
                v = v + more;
            }
            bool same = floats ? !memcmp((float *)(void *)c + i * ldc + j, &v, 4)
                               : c[i * ldc + j] ==
                                     (int)rintf(fminf(fmaxf(v, p.rq.lo), p.rq.hi)) + p.rq.zero;
            if (!same)
                ck_fail(s, "the C twin is wrong at row %zu, channel %zu", i, j);
        }
    g.c = d;
    if (add && p.in_place)
        p.rq.add = d;
    s->cur->conv_u8(&g);
    compare_bytes(s, c, d, cn * unit);
}

void check_conv_u8(ck *s)
{
    static const size_t ns[] = {1, 3, 10, 15, 16, 17, 31, 32, 33, 48, 64, 65, 80, 128, 130, 290};
    static const size_t segs[] = {1, 1, 1, 2, 3, 5};
    static const size_t seg[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 21, 27, 32, 64, 67, 100};
    for (size_t m = 1; m <= 32; m++)
        for (size_t j = 0; j < DV_COUNT(ns); j++)
            conv_case(s, m, ns[j], ck_pick(s, segs), ck_pick(s, seg));
    conv_case(s, 43, 600, 1, 512);
    conv_case(s, 7, 512, 3, 768);
    conv_case(s, 1, 256, 1, 4000);
}

typedef struct conv_bench {
    dv_qconv_args g;
    dv_requant rq;
} conv_bench;

static void run_conv(const dv_kernels *k, void *arg)
{
    conv_bench *b = arg;
    k->conv_u8(&b->g);
}

static void bench_params(ck *s, dv_requant *rq, size_t n)
{
    size_t pad = dv_round_up(n, DV_PANEL);
    float *mul = ck_bench_floats(s, pad), *neg = ck_bench_floats(s, pad);
    for (size_t j = 0; j < pad; j++) {
        mul[j] = 1e-3F;
        neg[j] = 3e-4F;
    }
    *rq = (dv_requant){.bias = (const int32_t *)(const void *)ck_bench_floats(s, pad),
                       .mul = mul,
                       .neg = neg,
                       .lo = -128,
                       .hi = 127,
                       .zero = 128};
}

void bench_conv_u8(ck *s)
{
    static const struct {
        size_t m, n, segs, seg;
        const char *what;
    } shapes[] = {
        {56, 64, 3, 9, "first layer, a row"},
        {3136, 128, 1, 64, "56x56 pointwise"},
        {784, 256, 1, 128, "28x28 pointwise"},
        {196, 128, 1, 256, "14x14 pointwise"},
        {196, 256, 1, 128, "14x14 pointwise"},
        {49, 512, 1, 512, "7x7 pointwise"},
        {14, 256, 3, 768, "14x14 dense, a row"},
        {56, 64, 3, 192, "56x56 dense, a row"},
        {6400, 16, 1, 64, "head"},
        {1, 512, 1, 512, "full"},
    };
    for (size_t i = 0; i < DV_COUNT(shapes); i++) {
        conv_bench b;
        size_t k = dv_round_up(shapes[i].seg, 4) * shapes[i].segs;
        bench_params(s, &b.rq, shapes[i].n);
        bool dense = shapes[i].segs > 1;
        size_t lda = dense ? shapes[i].seg / 3 : shapes[i].seg;
        b.g = (dv_qconv_args){
            .m = shapes[i].m,
            .n = shapes[i].n,
            .segs = shapes[i].segs,
            .seg = shapes[i].seg,
            .seg_stride = (shapes[i].m + 2) * lda + 4,
            .a = (const uint8_t *)ck_bench_floats(s, (shapes[i].m + 3) * lda * shapes[i].segs),
            .lda = lda,
            .w = (const int8_t *)ck_bench_floats(s, k * dv_round_up(shapes[i].n, DV_PANEL) / 4),
            .panel = k * DV_PANEL,
            .c = ck_bench_floats(s, shapes[i].m * shapes[i].n / 4 + 1),
            .ldc = shapes[i].n,
            .rq = &b.rq};
        char label[64];
        snprintf(label, sizeof(label), "%zux%zux%zu %s", shapes[i].m, shapes[i].n,
                 shapes[i].segs * shapes[i].seg, shapes[i].what);
        ck_bench(s, label,
                 1.0 * (double)(shapes[i].m * shapes[i].n * shapes[i].segs * shapes[i].seg),
                 "GMAC/s", run_conv, &b);
    }
}

/* ---- dw_u8 ---- */

static void dw_case(ck *s, size_t kh, size_t kw, size_t c, size_t iw, size_t sx, size_t dx,
                    size_t px)
{
    size_t reach = (kw - 1) * dx + 1;
    if (iw + 2 * px < reach)
        return;
    size_t ow = (iw + 2 * px - reach) / sx + 1;
    int extreme = (int)ck_below(s, 12), wext = (int)ck_below(s, 12);
    ck_case(s, "kh %zu kw %zu c %zu iw %zu ow %zu sx %zu dx %zu px %zu extreme %d %d", kh, kw, c,
            iw, ow, sx, dx, px, extreme, wext);
    const uint8_t *rows[3 * 9], *some[9];
    size_t ro = 1 + ck_below(s, 3), n = ro * ow * c;
    for (size_t r = 0; r < kh; r++)
        some[r] = bytes(s, iw * c, extreme);
    for (size_t r = 0; r < ro * kh; r++)
        rows[r] = some[ck_below(s, kh)];
    int8_t *plain = weights(s, kh * kw * c, wext), *w = ck_bytes(s, dv_dw_size_s8(kh, kw, c));
    dv_pack_dw_s8(kh, kw, c, plain, w);
    params p;
    requant_params(s, &p, c, 255.0 * 127 * sqrt((double)(kh * kw)) / 3, false);
    uint8_t *o = bytes(s, n, 0), *d = ck_bytes(s, n), *r = bytes(s, n, 0);
    memcpy(d, o, n);
    bool add = ck_below(s, 4) == 0;
    p.rq.add = add ? r : NULL;
    p.rq.ldadd = c;
    dv_qdw_args a = {rows, ro, kh, kw, c, iw, ow, sx, dx, px, (uint8_t)ck_rand(s), w, o, &p.rq};
    s->ref->dw_u8(&a);
    for (size_t x = 0; x < ro * ow; x++)
        for (size_t ch = 0; ch < c; ch++) {
            int64_t sum = p.rq.bias[ch];
            for (size_t t = kw; t-- > 0;)
                for (size_t y = kh; y-- > 0;) {
                    int64_t col = (int64_t)(x % ow * sx + t * dx) - (int64_t)px;
                    int in = col < 0 || col >= (int64_t)iw
                                 ? a.pad
                                 : rows[x / ow * kh + y][(size_t)col * c + ch];
                    sum += in * plain[(y * kw + t) * c + ch];
                }
            int32_t u = (int32_t)(uint32_t)(uint64_t)sum;
            float v = (float)u * (u < 0 && p.rq.neg ? p.rq.neg[ch] : p.rq.mul[ch]);
            if (add) {
                float more = (float)(r[x * c + ch] - p.rq.add_zero) * p.rq.add_mul;
                v = v + more;
            }
            if (o[x * c + ch] != (int)rintf(fminf(fmaxf(v, p.rq.lo), p.rq.hi)) + p.rq.zero)
                ck_fail(s, "the C twin is wrong at column %zu, channel %zu", x, ch);
        }
    a.out = d;
    s->cur->dw_u8(&a);
    compare_bytes(s, o, d, n);
}

void check_dw_u8(ck *s)
{
    static const size_t cs[] = {1, 3, 8, 16, 17, 24, 32, 40, 48, 63, 64, 65, 72, 128, 144, 200};
    static const size_t widths[] = {1, 2, 3, 5, 7, 8, 14, 15, 28};
    for (size_t k = 1; k <= 9; k++)
        for (size_t j = 0; j < DV_COUNT(cs); j++) {
            for (size_t sx = 1; sx <= 2; sx++)
                dw_case(s, k, k, cs[j], ck_pick(s, widths), sx, 1, ck_below(s, k / 2 + 1));
            dw_case(s, 1 + ck_below(s, 9), k, cs[j], 9 + ck_below(s, 20), 1 + ck_below(s, 3),
                    1 + ck_below(s, 3), ck_below(s, 5));
        }
    for (size_t j = 0; j < DV_COUNT(cs); j++)
        dw_case(s, 7, 7, cs[j], 7, 1, 1, 0); /* the global one */
}

typedef struct dw_bench {
    dv_qdw_args a;
    dv_requant rq;
    const uint8_t *rows[14 * 9];
} dw_bench;

static void run_dw(const dv_kernels *k, void *arg)
{
    dw_bench *b = arg;
    k->dw_u8(&b->a);
}

void bench_dw_u8(ck *s)
{
    static const struct {
        size_t k, c, iw, sx;
    } shapes[] = {{3, 64, 56, 1}, {3, 128, 56, 2}, {3, 128, 28, 1}, {3, 256, 14, 1}, {3, 512, 7, 1},
                  {3, 16, 80, 1}, {5, 128, 14, 1}, {7, 64, 14, 1},  {7, 512, 7, 1}};
    for (size_t i = 0; i < DV_COUNT(shapes); i++) {
        dw_bench b;
        size_t k = shapes[i].k, c = shapes[i].c, iw = shapes[i].iw;
        bool global = k == iw;
        size_t px = global ? 0 : k / 2, ow = global ? 1 : (iw + 2 * px - k) / shapes[i].sx + 1;
        bench_params(s, &b.rq, c);
        size_t ro = global ? 1 : 14;
        const uint8_t *in = (const uint8_t *)ck_bench_floats(s, (ro + k) * iw * c / 4);
        for (size_t r = 0; r < ro * k; r++)
            b.rows[r] = in + (r / k + r % k) * iw * c;
        b.a = (dv_qdw_args){.rows = b.rows,
                            .ro = ro,
                            .kh = k,
                            .kw = k,
                            .c = c,
                            .iw = iw,
                            .ow = ow,
                            .sx = shapes[i].sx,
                            .dx = 1,
                            .px = px,
                            .pad = 128,
                            .w = (const int8_t *)ck_bench_floats(s, dv_dw_size_s8(k, k, c) / 4),
                            .out = (uint8_t *)ck_bench_floats(s, ro * ow * c / 4),
                            .rq = &b.rq};
        char label[64];
        snprintf(label, sizeof(label), "%zux%zu s%zu, %zu channels, width %zu", k, k, shapes[i].sx,
                 c, iw);
        ck_bench(s, label, (double)(ro * ow * c * k * k), "GMAC/s", run_dw, &b);
    }
}

/* ---- the small ones ---- */

void check_quant_u8(ck *s)
{
    for (size_t n = 0; n < 200; n++) {
        ck_case(s, "n %zu", n);
        float *in = ck_floats(s, n), scale = ck_uniform(s, 0.001F, 0.1F);
        float zero = ck_below(s, 2) ? (float)ck_below(s, 256) : 127.5F;
        ck_fill(s, in, n, ck_kind(s));
        for (size_t i = 0; i < n; i += 5) /* ties */
            in[i] = ((float)ck_below(s, 600) - 300 + 0.5F) * scale;
        uint8_t *o = bytes(s, n, 0), *d = bytes(s, n, 0);
        s->ref->quant_u8(n, in, scale, zero, o);
        for (size_t i = 0; i < n; i++) {
            double v = isnan(in[i]) ? 0 : (double)(in[i] / scale) + (double)zero;
            double q = rint(v < 0 ? 0 : v > 255 ? 255 : v);
            if (fabs(q - o[i]) > (fabs(v - floor(v) - 0.5) < 1e-4 ? 1 : 0))
                ck_fail(s, "the C twin is wrong at %zu", i);
        }
        s->cur->quant_u8(n, in, scale, zero, d);
        compare_bytes(s, o, d, n);
    }
}

void check_dequant_u8(ck *s)
{
    for (size_t n = 0; n < 150; n++) {
        ck_case(s, "n %zu", n);
        uint8_t *in = bytes(s, n, 0), *o = ck_bytes(s, n * 4), *d = ck_bytes(s, n * 4);
        float scale = ck_uniform(s, 0.001F, 3), zero = (float)ck_below(s, 256);
        s->ref->dequant_u8(n, in, scale, zero, (float *)(void *)o);
        for (size_t i = 0; i < n; i++)
            if (((float *)(void *)o)[i] != ((float)in[i] - zero) * scale)
                ck_fail(s, "the C twin is wrong at %zu", i);
        s->cur->dequant_u8(n, in, scale, zero, (float *)(void *)d);
        compare_bytes(s, o, d, n * 4);
    }
}

void check_binary_u8(ck *s)
{
    for (size_t n = 0; n < 300; n++) {
        ck_case(s, "n %zu", n);
        uint8_t *a = bytes(s, n, (int)ck_below(s, 8)), *b = bytes(s, n, (int)ck_below(s, 8));
        uint8_t *o = bytes(s, n, 0), *d = bytes(s, n, 0);
        int32_t zero = (int32_t)ck_below(s, 256);
        dv_qbin_args q = {.n = n,
                          .a = a,
                          .b = b,
                          .a_zero = (int32_t)ck_below(s, 256),
                          .b_zero = (int32_t)ck_below(s, 256),
                          .zero = zero,
                          .a_mul = ck_uniform(s, 0.05F, 2),
                          .b_mul = ck_uniform(s, 0.05F, 2),
                          .lo = (float)-zero,
                          .hi = (float)(255 - zero),
                          .times = (int)ck_below(s, 2),
                          .out = o};
        s->ref->binary_u8(&q);
        for (size_t i = 0; i < n; i++) {
            float x = (float)(a[i] - q.a_zero) * q.a_mul, y = (float)(b[i] - q.b_zero) * q.b_mul;
            float v = q.times ? x * y : x + y;
            if (o[i] != (int)rintf(fminf(fmaxf(v, q.lo), q.hi)) + zero)
                ck_fail(s, "the C twin is wrong at %zu", i);
        }
        bool in_place = ck_below(s, 3) == 0;
        if (in_place)
            memcpy(d, a, n);
        q.a = in_place ? d : a;
        q.out = d;
        s->cur->binary_u8(&q);
        compare_bytes(s, o, d, n);
    }
}

void check_lut_u8(ck *s)
{
    for (size_t n = 0; n < 300; n++) {
        ck_case(s, "n %zu", n);
        uint8_t *in = bytes(s, n, 0), *table = bytes(s, 256, 0), *o = ck_bytes(s, n),
                *d = ck_bytes(s, n);
        s->ref->lut_u8(n, in, table, o);
        for (size_t i = 0; i < n; i++)
            if (o[i] != table[in[i]])
                ck_fail(s, "the C twin is wrong at %zu", i);
        memcpy(d, in, n);
        s->cur->lut_u8(n, d, table, d);
        compare_bytes(s, o, d, n);
    }
}

void check_scale_u8(ck *s)
{
    for (size_t c = 1; c < 150; c++) {
        size_t rows = 1 + ck_below(s, 5), n = rows * c;
        ck_case(s, "rows %zu c %zu", rows, c);
        uint8_t *in = bytes(s, n, (int)ck_below(s, 8)), *o = bytes(s, n, 0), *d = bytes(s, n, 0);
        float *mul = ck_floats(s, c), *shift = ck_floats(s, c);
        ck_fill(s, mul, c, CK_PLAIN);
        for (size_t i = 0; i < c; i++)
            shift[i] = ck_uniform(s, -60, 60);
        int32_t zero = (int32_t)ck_below(s, 256);
        dv_qscale_args q = {.rows = rows,
                            .c = c,
                            .in = in,
                            .in_zero = (int32_t)ck_below(s, 256),
                            .zero = zero,
                            .mul = mul,
                            .shift = ck_below(s, 2) ? shift : NULL,
                            .lo = (float)-zero,
                            .hi = (float)(255 - zero),
                            .out = o};
        s->ref->scale_u8(&q);
        for (size_t i = 0; i < n; i++) {
            float v = (float)(in[i] - q.in_zero) * mul[i % c];
            if (q.shift)
                v = v + shift[i % c];
            if (o[i] != (int)rintf(fminf(fmaxf(v, q.lo), q.hi)) + zero)
                ck_fail(s, "the C twin is wrong at %zu", i);
        }
        q.out = d;
        s->cur->scale_u8(&q);
        compare_bytes(s, o, d, n);
    }
}

void check_sum_u8(ck *s)
{
    for (size_t c = 1; c < 150; c++) {
        size_t rows = 1 + ck_below(s, 60);
        ck_case(s, "rows %zu c %zu", rows, c);
        uint8_t *in = bytes(s, rows * c, (int)ck_below(s, 6)), *o = ck_bytes(s, c * 4),
                *d = ck_bytes(s, c * 4);
        s->ref->sum_u8(rows, c, in, (int32_t *)(void *)o);
        for (size_t i = 0; i < c; i++) {
            int32_t sum = 0;
            for (size_t r = rows; r-- > 0;)
                sum += in[r * c + i];
            if (((int32_t *)(void *)o)[i] != sum)
                ck_fail(s, "the C twin is wrong at %zu", i);
        }
        s->cur->sum_u8(rows, c, in, (int32_t *)(void *)d);
        compare_bytes(s, o, d, c * 4);
    }
}

void check_maxpool_u8(ck *s)
{
    for (size_t c = 1; c < 150; c++) {
        size_t kh = 1 + ck_below(s, 3), kw = 1 + ck_below(s, 3), iw = 3 + ck_below(s, 20);
        size_t sx = 1 + ck_below(s, 2), px = ck_below(s, (kw + 1) / 2);
        size_t ow = (iw + 2 * px - kw) / sx + 1;
        ck_case(s, "kh %zu kw %zu c %zu iw %zu sx %zu px %zu", kh, kw, c, iw, sx, px);
        const uint8_t *rows[3];
        for (size_t r = 0; r < kh; r++)
            rows[r] = bytes(s, iw * c, 0);
        uint8_t *o = bytes(s, ow * c, 0), *d = bytes(s, ow * c, 0);
        dv_qpool_args a = {rows, kh, kw, c, iw, ow, sx, 1, px, o};
        s->ref->maxpool_u8(&a);
        for (size_t i = 0; i < ow * c; i++) {
            int most = -1;
            for (size_t r = 0; r < kh; r++)
                for (size_t t = 0; t < kw; t++) {
                    int64_t col = (int64_t)(i / c * sx + t) - (int64_t)px;
                    if (col >= 0 && col < (int64_t)iw && rows[r][(size_t)col * c + i % c] > most)
                        most = rows[r][(size_t)col * c + i % c];
                }
            if (o[i] != most)
                ck_fail(s, "the C twin is wrong at %zu", i);
        }
        a.out = d;
        s->cur->maxpool_u8(&a);
        compare_bytes(s, o, d, ow * c);
    }
}

typedef struct small_bench {
    size_t n;
    uint8_t *a, *b, *o;
    float *f;
} small_bench;

#define SMALL(name, call, touched)                                                  \
    static void run_##name(const dv_kernels *k, void *arg)                          \
    {                                                                               \
        small_bench *b = arg;                                                       \
        call;                                                                       \
    }                                                                               \
    void bench_##name(ck *s)                                                        \
    {                                                                               \
        small_bench b = {.n = 56 * 56 * 64};                                        \
        b.a = (uint8_t *)ck_bench_floats(s, b.n / 4);                               \
        b.b = (uint8_t *)ck_bench_floats(s, b.n / 4);                               \
        b.o = (uint8_t *)ck_bench_floats(s, b.n);                                   \
        b.f = ck_bench_floats(s, b.n);                                              \
        ck_bench(s, "56x56x64", (double)(b.n * (touched)), "GB/s", run_##name, &b); \
    }

static const uint8_t *pool_rows[2];

SMALL(quant_u8, k->quant_u8(b->n, b->f, 0.01F, 128, b->o), 5)
SMALL(dequant_u8, k->dequant_u8(b->n, b->a, 0.01F, 128, (float *)(void *)b->o), 5)
SMALL(lut_u8, k->lut_u8(b->n, b->a, b->b, b->o), 2)
SMALL(binary_u8,
      k->binary_u8(&(dv_qbin_args){b->n, b->a, b->b, 128, 128, 128, 1, 1, -128, 127, 0, b->o}), 3)
SMALL(scale_u8,
      k->scale_u8(&(dv_qscale_args){b->n / 64, 64, b->a, 128, 128, b->f, NULL, -128, 127, b->o}), 2)
SMALL(sum_u8, k->sum_u8(b->n / 64, 64, b->a, (int32_t *)(void *)b->o), 1)
SMALL(maxpool_u8,
      (pool_rows[0] = b->a, pool_rows[1] = b->a + b->n / 2,
       k->maxpool_u8(&(dv_qpool_args){pool_rows, 2, 2, 64, b->n / 128, b->n / 256, 2, 1, 0, b->o})),
      1)
