/* SPDX-License-Identifier: Apache-2.0
 *
 * checkasm: dot products with compressed rows. Bytes give the same bits everywhere; halves are
 * summed in any order. The C twins are measured against sums made here.
 */
#include <math.h>
#include <string.h>

#include "checkasm.h"

static const size_t dims[] = {64, 128, 192, 512, 1024};

static int8_t *some_bytes(ck *s, size_t n, int extreme)
{
    int8_t *p = ck_bytes(s, n);
    for (size_t i = 0; i < n; i++)
        p[i] = extreme == 1   ? 127
               : extreme == 2 ? -127
               : extreme == 3 ? (int8_t)(ck_below(s, 2) ? 127 : -127)
                              : (int8_t)((int)ck_below(s, 255) - 127);
    return p;
}

static void dots_s8_case(ck *s, size_t n, size_t dim, size_t probes)
{
    int qx = (int)ck_below(s, 6), rx = (int)ck_below(s, 6);
    size_t ldo = n + ck_below(s, 5), on = (probes - 1) * ldo + n;
    ck_case(s, "n %zu dim %zu probes %zu ldo %zu extreme %d %d", n, dim, probes, ldo, qx, rx);
    int8_t *q = some_bytes(s, probes * dim, qx), *base = some_bytes(s, n * dim, rx);
    float *scale = ck_floats(s, n), *want = ck_floats(s, on), *got = ck_floats(s, on);
    ck_fill(s, scale, n, CK_PLAIN);
    memset(want, 0x11, on * sizeof *want);
    memset(got, 0x11, on * sizeof *got);
    s->ref->dots_s8(n, dim, probes, q, base, scale, want, ldo);
    for (size_t p = 0; p < probes; p++)
        for (size_t i = 0; i < n; i++) {
            int64_t sum = 0;
            for (size_t j = dim; j-- > 0;)
                sum += (int64_t)q[p * dim + j] * base[i * dim + j];
            float v = (float)sum * scale[i];
            if (memcmp(&v, &want[p * ldo + i], sizeof v))
                ck_fail(s, "the C twin is wrong for probe %zu, row %zu", p, i);
        }
    s->cur->dots_s8(n, dim, probes, q, base, scale, got, ldo);
    if (memcmp(want, got, on * sizeof *want))
        ck_fail(s, "differs");
    ck_fences(s);
}

void check_dots_s8(ck *s)
{
    for (size_t d = 0; d < DV_COUNT(dims); d++)
        for (size_t n = 0; n < 14; n++)
            for (size_t probes = 1; probes < 10; probes++)
                dots_s8_case(s, n, dims[d], probes);
    for (int i = 0; i < 4; i++) /* the largest sums that vectors of an index can give */
        dots_s8_case(s, 5, 65536, 1);
}

/* Every half there is comes back unchanged; values between two go to the nearer one. */
static void check_halves(ck *s)
{
    ck_case(s, "all halves");
    for (unsigned h = 0; h < 0x10000; h++) {
        unsigned e = h >> 10 & 31, m = h & 1023;
        double want = e == 0 ? ldexp(m, -24) : ldexp(1024 + m, (int)e - 25);
        float v = dv_half_to_float((uint16_t)h);
        want = h & 0x8000 ? -want : want;
        if (e == 31)
            want = m ? NAN : h & 0x8000 ? -INFINITY : INFINITY;
        if (!ck_close(want, v, 0))
            ck_fail(s, "half %04x: %.9g, want %.9g", h, v, want);
        if (e < 31 && dv_half_from_float(v) != h)
            ck_fail(s, "half %04x becomes %04x", h, dv_half_from_float(v));
        if (e == 31 || (h & 0x7fff) == 0x7bff)
            continue;
        float next = dv_half_to_float((uint16_t)(h + 1)), mid = (v + next) / 2;
        unsigned even = h & 1 ? h + 1 : h;
        if (dv_half_from_float(mid) != even ||
            dv_half_from_float(nextafterf(mid, v)) != (uint16_t)h ||
            dv_half_from_float(nextafterf(mid, next)) != (uint16_t)(h + 1))
            ck_fail(s, "between %04x and the next", h);
    }
}

void check_dots_f16(ck *s)
{
    check_halves(s);
    for (size_t d = 0; d < DV_COUNT(dims); d++)
        for (size_t n = 0; n < 14; n++)
            for (size_t probes = 1; probes < 10; probes++) {
                size_t dim = dims[d], ldo = n + ck_below(s, 5), on = (probes - 1) * ldo + n;
                ck_case(s, "n %zu dim %zu probes %zu ldo %zu", n, dim, probes, ldo);
                float *q = ck_floats(s, probes * dim);
                uint16_t *base = ck_bytes(s, n * dim * sizeof *base);
                float *want = ck_floats(s, on), *got = ck_floats(s, on);
                double *tol = ck_doubles(s, probes * n), *exact = ck_doubles(s, probes * n);
                ck_fill(s, q, probes * dim, CK_PLAIN);
                for (size_t i = 0; i < n * dim; i++) /* all but infinities and NaN */
                    base[i] = ck_below(s, 4) ? dv_half_from_float(ck_uniform(s, -1, 1))
                                             : (uint16_t)(ck_rand(s) & 0xbbff);
                memset(want, 0x11, on * sizeof *want);
                memset(got, 0x11, on * sizeof *got);
                for (size_t p = 0; p < probes; p++)
                    for (size_t i = 0; i < n; i++) {
                        double size = 0, sum = 0;
                        for (size_t j = 0; j < dim; j++) {
                            double t = (double)q[p * dim + j] *
                                       (double)dv_half_to_float(base[i * dim + j]);
                            sum += t;
                            size += fabs(t);
                        }
                        exact[p * n + i] = sum;
                        tol[p * n + i] = size * CK_EPS * (double)(dim + 1) + 1e-44 * (double)dim;
                    }
                s->ref->dots_f16(n, dim, probes, q, base, want, ldo);
                ck_compare_exact(s, exact, want, probes, n, ldo, tol);
                s->cur->dots_f16(n, dim, probes, q, base, got, ldo);
                ck_compare(s, want, got, probes, n, ldo, tol);
            }
}

/* ---- benches ---- */

typedef struct dots_bench {
    size_t n, dim, probes;
    float *q, *base, *scale, *out;
} dots_bench;

static void run_s8(const dv_kernels *k, void *arg)
{
    dots_bench *b = arg;
    const int8_t *q = (const void *)b->q, *base = (const void *)b->base;
    for (size_t i = 0; i < b->n; i += 256) /* in blocks, as an index does */
        k->dots_s8(256, b->dim, b->probes, q, base + i * b->dim, b->scale, b->out, 256);
}

static void run_f16(const dv_kernels *k, void *arg)
{
    dots_bench *b = arg;
    const uint16_t *base = (const void *)b->base;
    for (size_t i = 0; i < b->n; i += 256)
        k->dots_f16(256, b->dim, b->probes, b->q, base + i * b->dim, b->out, 256);
}

static void bench_dots(ck *s, size_t n, size_t dim, size_t probes, bool f16)
{
    size_t bytes = n * dim * (f16 ? 2 : 1);
    dots_bench b = {.n = n, .dim = dim, .probes = probes};
    b.q = ck_bench_floats(s, probes * dim);
    b.base = ck_bench_floats(s, bytes / 4);
    b.scale = ck_bench_floats(s, 256);
    b.out = ck_bench_floats(s, probes * 256);
    for (size_t i = 0; f16 && i < n * dim; i++)
        ((uint16_t *)(void *)b.base)[i] = dv_half_from_float(ck_uniform(s, -1, 1));
    for (size_t i = 0; !f16 && i < n * dim; i++)
        ((int8_t *)(void *)b.base)[i] = (int8_t)((int)ck_below(s, 255) - 127);
    for (size_t i = 0; !f16 && i < probes * dim; i++)
        ((int8_t *)(void *)b.q)[i] = (int8_t)((int)ck_below(s, 255) - 127);
    char label[64];
    snprintf(label, sizeof label, "%zux%zu, %zu probes", n, dim, probes);
    ck_bench(s, label, (double)bytes, "GB/s", f16 ? run_f16 : run_s8, &b);
}

void bench_dots_s8(ck *s)
{
    bench_dots(s, 256, 128, 1, false);
    bench_dots(s, 256, 128, 8, false);
    bench_dots(s, 400128, 128, 1, false);
    bench_dots(s, 100096, 512, 1, false);
    bench_dots(s, 100096, 512, 8, false);
}

void bench_dots_f16(ck *s)
{
    bench_dots(s, 256, 128, 1, true);
    bench_dots(s, 256, 128, 8, true);
    bench_dots(s, 400128, 128, 1, true);
    bench_dots(s, 100096, 512, 1, true);
    bench_dots(s, 100096, 512, 8, true);
}
