/* SPDX-License-Identifier: Apache-2.0
 *
 * checkasm: the transforms of Winograd's convolution. They only add, subtract and halve, in an
 * order that kernels.h fixes, so that every variant must give the same bits as the C twin; the
 * convolution as a whole is checked by tests/nn.
 */
#include <string.h>

#include "checkasm.h"

void check_winograd_in(ck *s)
{
    for (int round = 0; round < 120; round++) {
        const size_t c = DV_PANEL * (1 + ck_below(s, 4)), iw = 1 + ck_below(s, 15);
        const size_t tiles = 1 + ck_below(s, 8), px = ck_below(s, 4);
        const size_t ldm = tiles * c + ck_below(s, 3) * DV_PANEL, out = 15 * ldm + tiles * c;
        ck_case(s, "c %zu iw %zu tiles %zu px %zu", c, iw, tiles, px);
        float *want = ck_floats(s, out), *got = ck_floats(s, out);
        ck_fill(s, want, out, CK_PLAIN);
        memcpy(got, want, out * sizeof(float));
        dv_wino_in_args a = {{NULL}, c, iw, px, tiles, want, ldm};
        for (int i = 0; i < 4; i++)
            if (ck_below(s, 5)) {
                float *row = ck_floats(s, iw * c);
                ck_fill(s, row, iw * c, ck_kind(s));
                a.rows[i] = row;
            }
        s->ref->winograd_in(&a);
        a.out = got;
        s->cur->winograd_in(&a);
        ck_compare(s, want, got, 16, tiles * c, ldm, NULL);
    }
}

void check_winograd_w(ck *s)
{
    for (int round = 0; round < 60; round++) {
        const size_t k = 1 + ck_below(s, 40), panels = 1 + ck_below(s, 2);
        const size_t n = panels * k * DV_PANEL;
        const int row = round % 4;
        ck_case(s, "k %zu panels %zu row %d", k, panels, row);
        float *w = ck_floats(s, 9 * n), *want = ck_floats(s, 4 * n), *got = ck_floats(s, 4 * n);
        ck_fill(s, w, 9 * n, ck_kind(s));
        s->ref->winograd_w(k, panels, w, row, want);
        s->cur->winograd_w(k, panels, w, row, got);
        ck_compare(s, want, got, 4, n, n, NULL);
    }
}

void check_winograd_out(ck *s)
{
    for (int round = 0; round < 160; round++) {
        const size_t n = DV_PANEL * (1 + ck_below(s, 3)), tiles = 1 + ck_below(s, 8);
        const size_t h = 1 + ck_below(s, 2), w = 2 * tiles - ck_below(s, 2);
        const size_t ldm = tiles * n + ck_below(s, 3) * DV_PANEL, ldo = n + ck_below(s, 20);
        const size_t in = 15 * ldm + tiles * n, out = (h * w - 1) * ldo + n;
        ck_case(s, "n %zu tiles %zu h %zu w %zu", n, tiles, h, w);
        float *m = ck_floats(s, in), *want = ck_floats(s, out), *got = ck_floats(s, out);
        ck_fill(s, m, in, ck_kind(s));
        ck_fill(s, want, out, CK_PLAIN);
        memcpy(got, want, out * sizeof(float));
        ck_ep e;
        ck_epilogue(s, &e, n, h * w, ldo);
        if (e.in_place) {
            e.ep.add = want;
            e.ep.ldadd = ldo;
        }
        dv_wino_out_args a = {n, tiles, h, w, m, ldm, want, ldo, &e.ep};
        s->ref->winograd_out(&a);
        if (e.in_place)
            e.ep.add = got;
        a.out = got;
        s->cur->winograd_out(&a);
        ck_compare(s, want, got, h * w, n, ldo, NULL);
    }
}

typedef struct wino_bench {
    dv_wino_in_args in;
    dv_wino_out_args out;
    dv_epilogue ep;
    const float *w;
    float *u;
} wino_bench;

enum { SIDE = 14, CHANNELS = 256, COLUMNS = 32, TILES = SIDE / 2 };

static wino_bench bench_setup(ck *s)
{
    const size_t ldv = TILES * CHANNELS + DV_PANEL, ldm = TILES * COLUMNS + DV_PANEL;
    wino_bench b = {
        .in = {.c = CHANNELS, .iw = SIDE, .px = 1, .tiles = TILES, .ldm = ldv},
        .out = {.n = COLUMNS, .tiles = TILES, .h = 2, .w = SIDE, .ldm = ldm, .ldo = CHANNELS}};
    for (int i = 0; i < 4; i++)
        b.in.rows[i] = ck_bench_floats(s, SIDE * CHANNELS);
    b.in.out = ck_bench_floats(s, 16 * ldv);
    b.out.m = ck_bench_floats(s, 16 * ldm);
    b.out.out = ck_bench_floats(s, 2 * SIDE * CHANNELS);
    b.w = ck_bench_floats(s, 9 * CHANNELS * COLUMNS);
    b.u = ck_bench_floats(s, 4 * CHANNELS * COLUMNS);
    return b;
}

static void run_in(const dv_kernels *k, void *arg)
{
    k->winograd_in(&((wino_bench *)arg)->in);
}

static void run_w(const dv_kernels *k, void *arg)
{
    wino_bench *b = arg;
    for (int i = 0; i < 4; i++)
        k->winograd_w(CHANNELS, COLUMNS / DV_PANEL, b->w, i, b->u);
}

static void run_out(const dv_kernels *k, void *arg)
{
    wino_bench *b = arg;
    b->out.ep = &b->ep;
    k->winograd_out(&b->out);
}

void bench_winograd_in(ck *s)
{
    wino_bench b = bench_setup(s);
    ck_bench(s, "7 tiles of 256 channels", 16 * TILES * CHANNELS * 4, "GB/s", run_in, &b);
}

void bench_winograd_w(ck *s)
{
    wino_bench b = bench_setup(s);
    ck_bench(s, "256 -> 32", 16 * CHANNELS * COLUMNS * 4, "GB/s", run_w, &b);
}

void bench_winograd_out(ck *s)
{
    wino_bench b = bench_setup(s);
    ck_bench(s, "7 tiles of 32 channels", 16 * TILES * COLUMNS * 4, "GB/s", run_out, &b);
}
