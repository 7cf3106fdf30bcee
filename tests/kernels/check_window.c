/* SPDX-License-Identifier: Apache-2.0
 *
 * checkasm: depthwise convolution and pooling, row by row. Windows hang over the left
 * and right border by any amount, and kernels miss upper rows, as at picture borders.
 */
#include <math.h>
#include <string.h>

#include "checkasm.h"

#define KH_MAX 9

typedef struct window {
    size_t kh, kw, c, iw, ow, sx, dx, px;
} window;

static window random_window(ck *s, size_t c)
{
    static const size_t widths[] = {1, 2, 3, 3, 3, 4, 5, 5, 7, 9};
    window v = {.kw = ck_pick(s, widths), .c = c};
    v.kh = 1 + ck_below(s, KH_MAX);
    v.iw = 1 + ck_below(s, 24);
    v.sx = 1 + ck_below(s, 2) + (ck_below(s, 8) == 0);
    v.dx = 1 + (ck_below(s, 5) == 0);
    size_t reach = (v.kw - 1) * v.dx + 1;
    v.px = ck_below(s, 3) ? reach / 2 : ck_below(s, reach + 1);
    size_t span = v.iw + 2 * v.px;
    v.ow = (span > reach ? span - reach : 0) / v.sx + 1;
    if (ck_below(s, 4) == 0) /* another padding on the right; also windows wholly outside */
        v.ow = 1 + ck_below(s, v.ow + 2);
    return v;
}

static void window_case(ck *s, const window *v, const char *more)
{
    ck_case(s, "kh %zu kw %zu c %zu iw %zu ow %zu sx %zu dx %zu px %zu%s", v->kh, v->kw, v->c,
            v->iw, v->ow, v->sx, v->dx, v->px, more);
}

/* The rows, in random order in one piece of memory, the list of pointers guarded too. */
static const float **input_rows(ck *s, const window *v, int kind)
{
    size_t row = v->iw * v->c;
    const float **rows = ck_bytes(s, v->kh * sizeof(*rows));
    float *in = ck_floats(s, v->kh * row);
    ck_fill(s, in, v->kh * row, kind);
    size_t shift = ck_below(s, v->kh);
    for (size_t r = 0; r < v->kh; r++)
        rows[r] = in + (r + shift) % v->kh * row;
    return rows;
}

/* Column of output x and tap t, or iw and more if outside. */
static size_t column(const window *v, size_t x, size_t t)
{
    return x * v->sx + t * v->dx - v->px;
}

/* ---- depthwise ---- */

static void dw_case(ck *s, const window *v)
{
    window_case(s, v, "");
    size_t ldw = dv_round_up(v->c, DV_PANEL), out_n = v->ow * v->c;
    int kind = ck_kind(s);
    const float **rows = input_rows(s, v, kind);
    float *w = ck_floats(s, v->kh * v->kw * ldw);
    float *want = ck_floats(s, out_n), *got = ck_floats(s, out_n);
    double *tol = ck_doubles(s, out_n), *exact = ck_doubles(s, out_n);
    memset(w, 0, v->kh * v->kw * ldw * sizeof(float));
    for (size_t t = 0; t < v->kh * v->kw; t++)
        ck_fill(s, w + t * ldw, v->c, kind == CK_ODD ? CK_PLAIN : kind);
    ck_fill(s, want, out_n, CK_PLAIN);
    memcpy(got, want, out_n * sizeof(float));
    ck_ep e;
    ck_epilogue(s, &e, v->c, v->ow, v->c);
    if (e.in_place) {
        e.ep.add = want;
        e.ep.ldadd = v->c;
    }
    for (size_t x = 0; x < v->ow; x++)
        for (size_t ch = 0; ch < v->c; ch++) {
            double size = ck_ep_size(&e.ep, x, ch), sum = 0;
            for (size_t r = 0; r < v->kh; r++)
                for (size_t t = 0; t < v->kw; t++)
                    if (column(v, x, t) < v->iw) {
                        double product = (double)rows[r][column(v, x, t) * v->c + ch] *
                                         w[(r * v->kw + t) * ldw + ch];
                        sum += product;
                        size += fabs(product);
                    }
            exact[x * v->c + ch] = ck_ep_exact(&e.ep, x, ch, sum);
            tol[x * v->c + ch] = size * CK_EPS * (double)(v->kh * v->kw + 4) + 1e-42;
        }
    dv_dw_args a = {rows,  v->kh, v->kw, v->c, v->iw, v->ow, v->sx,
                    v->dx, v->px, w,     ldw,  want,  &e.ep};
    s->ref->dw_f32(&a);
    ck_compare_exact(s, exact, want, v->ow, v->c, v->c, tol);
    a.out = got;
    if (e.in_place)
        e.ep.add = got;
    s->cur->dw_f32(&a);
    ck_compare(s, want, got, v->ow, v->c, v->c, tol);
}

static const size_t channels[] = {1,  2,  3,  4,  7,  8,  9,  10, 12, 15,  16,  17,
                                  23, 24, 31, 32, 33, 48, 63, 64, 67, 100, 128, 150};

void check_dw_f32(ck *s)
{
    for (size_t i = 0; i < DV_COUNT(channels); i++)
        for (int round = 0; round < 60; round++) {
            window v = random_window(s, channels[i]);
            dw_case(s, &v);
        }
    for (size_t k = 3; k <= 9; k += 2) /* every width of tile at every border */
        for (size_t iw = 1; iw <= 34; iw++)
            for (size_t sx = 1; sx <= 2; sx++) {
                window v = {k, k, 32, iw, (iw - 1) / sx + 1, sx, 1, k / 2};
                v.kh -= ck_below(s, k);
                dw_case(s, &v);
            }
    window global = {7, 7, 512, 7, 1, 1, 1, 0};
    dw_case(s, &global);
}

typedef struct window_bench {
    size_t size, k, stride, c, pad, osize;
    float *in, *out, *w, *bias, *scale;
} window_bench;

/* The whole layer: the rows that exist for each output row. */
static size_t bench_rows(const window_bench *b, size_t y, const float **rows, size_t *skipped)
{
    size_t kh = 0;
    *skipped = 0;
    for (size_t r = 0; r < b->k; r++) {
        size_t iy = y * b->stride + r - b->pad;
        if (iy < b->size)
            rows[kh++] = b->in + iy * b->size * b->c;
        else if (!kh)
            ++*skipped;
    }
    return kh;
}

static void run_dw(const dv_kernels *k, void *arg)
{
    window_bench *b = arg;
    const float *rows[KH_MAX];
    const size_t ldw = dv_round_up(b->c, DV_PANEL);
    dv_epilogue ep = {.bias = b->bias, .slope = b->bias, .act = DV_EP_PRELU};
    for (size_t y = 0; y < b->osize; y++) {
        size_t skipped, kh = bench_rows(b, y, rows, &skipped);
        dv_dw_args a = {.rows = rows, .kh = kh, .kw = b->k, .c = b->c, .iw = b->size};
        a.ow = b->osize;
        a.sx = b->stride;
        a.dx = 1;
        a.px = b->pad;
        a.w = b->w + skipped * b->k * ldw;
        a.ldw = ldw;
        a.out = b->out + y * b->osize * b->c;
        a.ep = &ep;
        k->dw_f32(&a);
    }
}

static void run_pool(const dv_kernels *k, const window_bench *b, bool max)
{
    const float *rows[KH_MAX];
    for (size_t y = 0; y < b->osize; y++) {
        size_t skipped, kh = bench_rows(b, y, rows, &skipped);
        dv_pool_args a = {rows,
                          kh,
                          b->k,
                          b->c,
                          b->size,
                          b->osize,
                          b->stride,
                          1,
                          b->pad,
                          b->scale,
                          b->out + y * b->osize * b->c};
        if (max)
            k->maxpool_f32(&a);
        else
            k->avgpool_f32(&a);
    }
}

static void run_maxpool(const dv_kernels *k, void *arg)
{
    run_pool(k, arg, true);
}

static void run_avgpool(const dv_kernels *k, void *arg)
{
    run_pool(k, arg, false);
}

static void bench_window(ck *s, size_t size, size_t k, size_t stride, size_t c, size_t pad,
                         bool conv, void (*fn)(const dv_kernels *k, void *arg))
{
    window_bench b = {size, k,    stride, c,    pad, (size + 2 * pad - k) / stride + 1,
                      NULL, NULL, NULL,   NULL, NULL};
    size_t in_n = size * size * c, out_n = b.osize * b.osize * c,
           w_n = k * k * dv_round_up(c, DV_PANEL);
    b.in = ck_bench_floats(s, in_n);
    b.out = ck_bench_floats(s, out_n);
    b.w = ck_bench_floats(s, w_n);
    b.bias = ck_bench_floats(s, c + DV_PANEL);
    b.scale = ck_bench_floats(s, size);
    size_t taps = 0; /* of one dimension, inside the picture */
    for (size_t o = 0; o < b.osize; o++)
        for (size_t t = 0; t < k; t++)
            taps += o * stride + t - pad < size;
    char label[64];
    snprintf(label, sizeof(label), "%zu@%zux%zu %zux%zu s%zu", c, size, size, k, k, stride);
    if (conv)
        ck_bench(s, label, 2.0 * (double)(taps * taps * c), "GFLOP/s", fn, &b);
    else
        ck_bench(s, label, 4.0 * (double)(in_n + out_n), "GB/s", fn, &b);
}

void bench_dw_f32(ck *s)
{
    bench_window(s, 56, 3, 1, 64, 1, true, run_dw);
    bench_window(s, 56, 3, 2, 128, 1, true, run_dw);
    bench_window(s, 28, 3, 1, 128, 1, true, run_dw);
    bench_window(s, 14, 3, 1, 256, 1, true, run_dw);
    bench_window(s, 7, 3, 1, 512, 1, true, run_dw);
    bench_window(s, 28, 5, 1, 128, 2, true, run_dw);
    bench_window(s, 28, 5, 2, 128, 2, true, run_dw);
    bench_window(s, 14, 7, 1, 256, 3, true, run_dw);
    bench_window(s, 14, 9, 1, 256, 4, true, run_dw);
    bench_window(s, 7, 7, 1, 512, 0, true, run_dw);
    bench_window(s, 80, 3, 1, 16, 1, true, run_dw);
    bench_window(s, 80, 3, 1, 4, 1, true, run_dw);
    bench_window(s, 80, 3, 1, 1, 1, true, run_dw);
    bench_window(s, 80, 3, 1, 10, 1, true, run_dw);
}

/* ---- pooling ---- */

static void pool_cases(ck *s, bool max)
{
    for (size_t i = 0; i < DV_COUNT(channels); i++)
        for (int round = 0; round < 25; round++) {
            window v = random_window(s, channels[i]);
            window_case(s, &v, "");
            size_t out_n = v.ow * v.c;
            const float **rows = input_rows(s, &v, ck_kind(s));
            float *want = ck_floats(s, out_n), *got = ck_floats(s, out_n);
            float *scale = ck_floats(s, max ? 0 : v.ow);
            double *tol = ck_doubles(s, out_n);
            ck_fill(s, scale, max ? 0 : v.ow, CK_PLAIN);
            for (size_t x = 0; x < v.ow; x++)
                for (size_t ch = 0; ch < v.c; ch++) {
                    double size = 0;
                    for (size_t r = 0; r < v.kh && !max; r++)
                        for (size_t t = 0; t < v.kw; t++)
                            if (column(&v, x, t) < v.iw)
                                size += fabs(rows[r][column(&v, x, t) * v.c + ch]);
                    tol[x * v.c + ch] =
                        max ? 0 : size * fabs(scale[x]) * CK_EPS * (double)(v.kh * v.kw) + 1e-44;
                }
            dv_pool_args a = {rows, v.kh, v.kw, v.c, v.iw, v.ow, v.sx, v.dx, v.px, scale, want};
            (max ? s->ref->maxpool_f32 : s->ref->avgpool_f32)(&a);
            a.out = got;
            (max ? s->cur->maxpool_f32 : s->cur->avgpool_f32)(&a);
            ck_compare(s, want, got, v.ow, v.c, v.c, tol);
        }
}

void check_maxpool_f32(ck *s)
{
    pool_cases(s, true);
}

void check_avgpool_f32(ck *s)
{
    pool_cases(s, false);
}

void bench_maxpool_f32(ck *s)
{
    bench_window(s, 80, 2, 2, 64, 0, false, run_maxpool);
    bench_window(s, 56, 3, 2, 64, 1, false, run_maxpool);
}

void bench_avgpool_f32(ck *s)
{
    bench_window(s, 56, 2, 2, 64, 0, false, run_avgpool);
    bench_window(s, 7, 7, 1, 512, 0, false, run_avgpool);
}
