/* SPDX-License-Identifier: Apache-2.0
 *
 * checkasm: matrix product, dot products, transpose. A sum of products may differ from
 * the C twin's by its rounding: (number of terms) steps of the sum of absolute values.
 */
#include <math.h>
#include <string.h>

#include "checkasm.h"

/* ---- gemm ---- */

static void gemm_case(ck *s, size_t m, size_t n, size_t k)
{
    size_t lda = k + ck_below(s, 2) * ck_below(s, 9), ldc = n + ck_below(s, 2) * ck_below(s, 9);
    ck_case(s, "m %zu n %zu k %zu lda %zu ldc %zu", m, n, k, lda, ldc);
    size_t an = m ? (m - 1) * lda + k : 0, cn = m ? (m - 1) * ldc + n : 0;
    float *a = ck_floats(s, an), *w = ck_floats(s, dv_panel_size(k, n));
    float *c = ck_floats(s, cn), *d = ck_floats(s, cn), *plain = ck_floats(s, k * n);
    double *tol = ck_doubles(s, m * n), *exact = ck_doubles(s, m * n);
    int kind = ck_kind(s);
    ck_fill(s, a, an, kind);
    ck_fill(s, plain, k * n, kind == CK_ODD ? CK_PLAIN : kind);
    dv_pack_panels(k, n, plain, n, 1, w);
    ck_fill(s, c, cn, CK_PLAIN);
    memcpy(d, c, cn * sizeof(float));
    ck_ep e;
    ck_epilogue(s, &e, n, m, n + ck_below(s, 5));
    snprintf(s->label + strlen(s->label), sizeof(s->label) - strlen(s->label),
             " act %d bias %d add %d kind %d", e.ep.act, e.ep.bias != NULL,
             e.ep.add     ? 1
             : e.in_place ? 2
                          : 0,
             kind);
    if (e.in_place) {
        e.ep.add = c;
        e.ep.ldadd = ldc;
    }
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double size = ck_ep_size(&e.ep, i, j), sum = 0;
            for (size_t t = 0; t < k; t++) {
                double product = (double)a[i * lda + t] * plain[t * n + j];
                sum += product;
                size += fabs(product);
            }
            exact[i * n + j] = ck_ep_exact(&e.ep, i, j, sum);
            tol[i * n + j] = size * CK_EPS * (double)(k + 4) + 1e-44 * (double)(k + 1);
        }
    s->ref->gemm_f32(m, n, k, a, lda, w, c, ldc, &e.ep);
    ck_compare_exact(s, exact, c, m, n, ldc, tol);
    if (e.in_place)
        e.ep.add = d;
    s->cur->gemm_f32(m, n, k, a, lda, w, d, ldc, &e.ep);
    ck_compare(s, c, d, m, n, ldc, tol);
}

void check_gemm_f32(ck *s)
{
    static const size_t ks[] = {0, 1, 2, 3, 4, 5, 8, 16, 17, 27, 32, 64, 67};
    static const size_t ns[] = {1,  2,  3,  4,  7,  8,  10, 15,  16,  17,  24,  31, 32,
                                33, 48, 49, 64, 65, 80, 97, 112, 128, 131, 150, 290};
    for (size_t m = 0; m <= 32; m++)
        for (size_t j = 0; j < DV_COUNT(ns); j++)
            gemm_case(s, m, ns[j], ck_pick(s, ks));
    gemm_case(s, 5, 0, 7);
    gemm_case(s, 3, 600, 512); /* more than one block of weights */
    gemm_case(s, 43, 600, 301);
    gemm_case(s, 1, 512, 1024);
}

typedef struct gemm_bench {
    size_t m, n, k;
    float *a, *w, *c;
    dv_epilogue ep;
} gemm_bench;

static void run_gemm(const dv_kernels *k, void *arg)
{
    gemm_bench *b = arg;
    k->gemm_f32(b->m, b->n, b->k, b->a, b->k, b->w, b->c, b->n, &b->ep);
}

void bench_gemm_f32(ck *s)
{
    static const struct {
        size_t m, n, k;
        const char *what;
    } shapes[] = {
        {3136, 64, 27, "first layer"},
        {3136, 128, 64, "56x56 pointwise"},
        {784, 256, 128, "28x28 pointwise"},
        {196, 128, 256, "14x14 pointwise"},
        {196, 256, 128, "14x14 pointwise"},
        {49, 512, 512, "7x7 pointwise"},
        {49, 512, 2304, "7x7 of 3x3 x 256"},
        {4800, 16, 64, "head"},
        {4800, 10, 64, "head"},
        {4800, 1, 64, "head"},
        {1, 512, 512, "full"},
        {1, 512, 25088, "full"},
    };
    for (size_t i = 0; i < DV_COUNT(shapes); i++) {
        gemm_bench b = {.m = shapes[i].m, .n = shapes[i].n, .k = shapes[i].k};
        size_t padded = dv_round_up(b.n, DV_PANEL);
        b.a = ck_bench_floats(s, b.m * b.k);
        b.w = ck_bench_floats(s, dv_panel_size(b.k, b.n));
        b.c = ck_bench_floats(s, b.m * b.n);
        b.ep = (dv_epilogue){.bias = ck_bench_floats(s, padded),
                             .slope = ck_bench_floats(s, padded),
                             .act = DV_EP_PRELU};
        char label[64];
        snprintf(label, sizeof(label), "%zux%zux%zu %s", b.m, b.n, b.k, shapes[i].what);
        ck_bench(s, label, 2.0 * (double)(b.m * b.n * b.k), "GFLOP/s", run_gemm, &b);
    }
}

/* ---- dots ---- */

void check_dots_f32(ck *s)
{
    static const size_t dims[] = {0,  1,  3,  7,  8,   15,  16,  17, 31,
                                  32, 33, 63, 64, 100, 128, 509, 512};
    for (size_t d = 0; d < DV_COUNT(dims); d++)
        for (size_t n = 0; n < 14; n++) {
            size_t dim = dims[d], ld = dim + ck_below(s, 2) * ck_below(s, 20);
            int kind = ck_kind(s);
            ck_case(s, "n %zu dim %zu ld %zu kind %d", n, dim, ld, kind);
            size_t bn = n ? (n - 1) * ld + dim : 0;
            float *q = ck_floats(s, dim), *base = ck_floats(s, bn);
            float *want = ck_floats(s, n), *got = ck_floats(s, n);
            double *tol = ck_doubles(s, n);
            ck_fill(s, q, dim, kind);
            ck_fill(s, base, bn, kind == CK_ODD ? CK_PLAIN : kind);
            for (size_t i = 0; i < n; i++) {
                double size = 0;
                for (size_t j = 0; j < dim; j++)
                    size += fabs((double)q[j] * base[i * ld + j]);
                tol[i] = size * CK_EPS * (double)(dim + 1) + 1e-44 * (double)(dim + 1);
            }
            s->ref->dots_f32(n, dim, q, base, ld, want);
            s->cur->dots_f32(n, dim, q, base, ld, got);
            ck_compare(s, want, got, 1, n, n, tol);
        }
}

typedef struct flat_bench {
    size_t n, dim;
    float *q, *base, *out;
} flat_bench;

static void run_dots(const dv_kernels *k, void *arg)
{
    flat_bench *b = arg;
    k->dots_f32(b->n, b->dim, b->q, b->base, b->dim, b->out);
}

static void run_transpose(const dv_kernels *k, void *arg)
{
    flat_bench *b = arg;
    k->transpose_f32(b->n, b->dim, b->base, b->dim, b->out, b->n);
}

static void bench_flat(ck *s, size_t n, size_t dim, double bytes, const char *what,
                       void (*fn)(const dv_kernels *k, void *arg))
{
    flat_bench b = {n, dim, ck_bench_floats(s, dim), ck_bench_floats(s, n * dim),
                    ck_bench_floats(s, n * dim)};
    char label[64];
    snprintf(label, sizeof(label), "%zux%zu %s", n, dim, what);
    ck_bench(s, label, bytes, "GB/s", fn, &b);
}

void bench_dots_f32(ck *s)
{
    bench_flat(s, 64, 512, 64 * 512 * 4.0, "near", run_dots);
    bench_flat(s, 50000, 512, 50000 * 512 * 4.0, "from memory", run_dots);
    bench_flat(s, 100000, 128, 100000 * 128 * 4.0, "from memory", run_dots);
}

/* ---- transpose ---- */

void check_transpose_f32(ck *s)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 24, 31, 33, 64};
    for (size_t i = 0; i < DV_COUNT(sizes); i++)
        for (size_t j = 0; j < DV_COUNT(sizes); j++) {
            size_t rows = sizes[i], cols = sizes[j];
            size_t ldi = cols + ck_below(s, 2) * ck_below(s, 9);
            size_t ldo = rows + ck_below(s, 2) * ck_below(s, 9);
            ck_case(s, "rows %zu cols %zu ldi %zu ldo %zu", rows, cols, ldi, ldo);
            size_t in_n = rows ? (rows - 1) * ldi + cols : 0;
            size_t out_n = cols ? (cols - 1) * ldo + rows : 0;
            float *in = ck_floats(s, in_n);
            float *want = ck_floats(s, out_n), *got = ck_floats(s, out_n);
            ck_fill(s, in, in_n, CK_ODD);
            memset(want, 0x11, out_n * sizeof(float));
            memset(got, 0x11, out_n * sizeof(float));
            s->ref->transpose_f32(rows, cols, in, ldi, want, ldo);
            s->cur->transpose_f32(rows, cols, in, ldi, got, ldo);
            if (memcmp(want, got, out_n * sizeof(float)))
                ck_fail(s, "differs");
            ck_fences(s);
        }
}

void bench_transpose_f32(ck *s)
{
    bench_flat(s, 12544, 3, 12544 * 3 * 8.0, "", run_transpose);
    bench_flat(s, 3, 12544, 12544 * 3 * 8.0, "", run_transpose);
    bench_flat(s, 49, 512, 49 * 512 * 8.0, "", run_transpose);
    bench_flat(s, 512, 512, 512 * 512 * 8.0, "", run_transpose);
}

/* ---- every second element ---- */

void check_evens_f32(ck *s)
{
    for (int round = 0; round < 80; round++) {
        const size_t n = 1 + ck_below(s, 70);
        ck_case(s, "n %zu", n);
        float *in = ck_floats(s, 2 * n - 1), *want = ck_floats(s, n), *got = ck_floats(s, n);
        ck_fill(s, in, 2 * n - 1, ck_kind(s));
        s->ref->evens_f32(n, in, want);
        s->cur->evens_f32(n, in, got);
        for (size_t i = 0; i < n; i++)
            if (memcmp(&want[i], &in[2 * i], sizeof *in))
                ck_fail(s, "the C twin at %zu", i);
        ck_compare(s, want, got, 1, n, n, NULL);
    }
}

static void run_evens(const dv_kernels *k, void *arg)
{
    flat_bench *b = arg;
    k->evens_f32(b->n, b->base, b->out);
}

void bench_evens_f32(ck *s)
{
    flat_bench b = {.n = 24 * 44 * 44, .base = ck_bench_floats(s, 48 * 44 * 44)};
    b.out = ck_bench_floats(s, b.n);
    ck_bench(s, "46464", (double)b.n * 12, "GB/s", run_evens, &b);
}
