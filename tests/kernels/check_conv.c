/* SPDX-License-Identifier: Apache-2.0
 *
 * checkasm: dense convolution of a row of pixels whose window lies in segments. Tolerances as
 * for the matrix product. Windows of neighbouring pixels overlap, as in real use.
 */
#include <math.h>
#include <string.h>

#include "checkasm.h"

static void conv_case(ck *s, size_t m, size_t n, size_t segs, size_t seg)
{
    const size_t step = 1 + ck_below(s, seg + 2), k = segs * seg, skip = ck_below(s, 3) * seg;
    const size_t row = (m ? (m - 1) * step : 0) + seg, stride = row + ck_below(s, 5);
    const size_t ldc = n + ck_below(s, 2) * ck_below(s, 9), cn = m ? (m - 1) * ldc + n : 0;
    const size_t an = m && segs ? (segs - 1) * stride + row : 0, whole = skip + k;
    ck_case(s, "m %zu n %zu segs %zu seg %zu step %zu", m, n, segs, seg, step);
    float *a = ck_floats(s, an), *w = ck_floats(s, dv_panel_size(whole, n));
    float *c = ck_floats(s, cn), *d = ck_floats(s, cn), *plain = ck_floats(s, whole * n);
    double *tol = ck_doubles(s, m * n);
    int kind = ck_kind(s);
    ck_fill(s, a, an, kind);
    ck_fill(s, plain, whole * n, kind == CK_ODD ? CK_PLAIN : kind);
    dv_pack_panels(whole, n, plain, n, 1, w);
    ck_fill(s, c, cn, CK_PLAIN);
    memcpy(d, c, cn * sizeof(float));
    ck_ep e;
    ck_epilogue(s, &e, n, m, n + ck_below(s, 5));
    if (e.in_place) {
        e.ep.add = c;
        e.ep.ldadd = ldc;
    }
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double size = ck_ep_size(&e.ep, i, j);
            for (size_t t = 0; t < k; t++)
                size += fabs((double)a[i * step + t / seg * stride + t % seg] *
                             plain[(skip + t) * n + j]);
            tol[i * n + j] = size * CK_EPS * (double)(k + 4) + 1e-44 * (double)(k + 1);
        }
    dv_conv_args g = {m, n,   segs, seg, stride, a, step, w + skip * DV_PANEL, whole * DV_PANEL,
                      c, ldc, &e.ep};
    s->ref->conv_f32(&g);
    if (e.in_place)
        e.ep.add = d;
    g.c = d;
    s->cur->conv_f32(&g);
    ck_compare(s, c, d, m, n, ldc, tol);
}

void check_conv_f32(ck *s)
{
    static const size_t ns[] = {1, 4, 10, 16, 17, 32, 33, 64, 70, 130, 290};
    static const size_t segments[] = {1, 3, 9, 12, 15, 27, 48};
    for (size_t m = 0; m <= 31; m++)
        for (size_t j = 0; j < DV_COUNT(ns); j++)
            conv_case(s, m, ns[j], 1 + ck_below(s, 4), ck_pick(s, segments));
    conv_case(s, 5, 20, 0, 9);
    conv_case(s, 43, 600, 3, 100); /* more than one block of weights */
}

typedef struct conv_bench {
    dv_conv_args g;
    dv_epilogue ep;
} conv_bench;

static void run_conv(const dv_kernels *k, void *arg)
{
    k->conv_f32(&((conv_bench *)arg)->g);
}

void bench_conv_f32(ck *s)
{
    static const struct {
        size_t m, n, ic, kw, step;
    } shapes[] = {{160, 16, 3, 3, 2}, {56, 64, 3, 3, 2}, {14, 256, 256, 3, 1}, {28, 24, 3, 4, 4}};
    for (size_t i = 0; i < DV_COUNT(shapes); i++) {
        const size_t m = shapes[i].m, n = shapes[i].n, ic = shapes[i].ic, kw = shapes[i].kw;
        const size_t row = ((m - 1) * shapes[i].step + kw) * ic, k = kw * kw * ic;
        float *a = ck_bench_floats(s, row * kw), *w = ck_bench_floats(s, dv_panel_size(k, n));
        float *c = ck_bench_floats(s, m * n);
        conv_bench b = {.ep = {.act = DV_EP_CLIP, .lo = 0, .hi = 6}};
        b.g = (dv_conv_args){m, n, kw,   kw * ic, row, a, shapes[i].step * ic, w, k * DV_PANEL,
                             c, n, &b.ep};
        char label[64];
        snprintf(label, sizeof label, "%zu pixels, %zux%zu, %zu -> %zu", m, kw, kw, ic, n);
        ck_bench(s, label, 2.0 * (double)(m * n * k), "GFLOP/s", run_conv, &b);
    }
}
