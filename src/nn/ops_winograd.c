/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_winograd.c - dense 3x3 convolution of stride 1 with 16 multiplications for 2x2 outputs
 * instead of 36 (kernels.h has the formulas).
 *
 * A block of rows of tiles is transformed into shared memory. Then workers take 32 output channels
 * each: they transform the weights of these (each time anew: that reads a little over half of what
 * ready transformed weights would take in the file and in memory), multiply, and transform back.
 * A block is as large as the second-level cache allows, since its weights are made once a block.
 */
#include "nn/ops.h"

#define COLUMNS 32                        /* output channels of one piece of work */
#define BLOCK_FLOATS ((size_t)256 * 1024) /* of transformed pixels and products */
#define POSITIONS 16

/* A matrix of n floats, and a little more, so that the 16 do not meet in the same cache lines. */
static size_t apart(size_t n)
{
    return (n / DV_PANEL | 1) * DV_PANEL + (n / DV_PANEL % 2 ? 2 * DV_PANEL : 0);
}

bool dv_winograd_plan(dv_step *s, dv_winograd *w)
{
    if (w->ic % DV_PANEL || w->oc % DV_PANEL || w->oh < 2 || w->ow < 2)
        return false;
    w->across = (w->ow + 1) / 2;
    w->down = (w->oh + 1) / 2;
    /* In multiplications of one pair of channels. The transforms cost about 80 for the weights, 80
     * a tile and input channel, 60 a tile and output channel (measured). */
    double tiles = (double)(w->across * w->down), pixels = (double)(w->ow * w->oh);
    double direct = 9 * pixels;
    double fast = 16 * tiles + 80 + 80 * tiles / (double)w->oc + 60 * tiles / (double)w->ic;
    if (fast * 1.1 > direct)
        return false;
    size_t a_row = POSITIONS * w->across * (w->ic + COLUMNS);
    size_t rows = DV_MIN(DV_MAX(BLOCK_FLOATS / a_row, (size_t)1), w->down);
    w->blocks = (w->down + rows - 1) / rows;
    w->rows = (w->down + w->blocks - 1) / w->blocks;
    w->ldv = apart(w->rows * w->across * w->ic);
    size_t products = apart(w->rows * w->across * COLUMNS);
    s->shared = POSITIONS * w->ldv * sizeof(float);
    s->scratch = (POSITIONS * products + 4 * COLUMNS * w->ic) * sizeof(float);
    return true;
}

/* Rows [begin, end) of tiles of the block. */
static void pixels_in(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_winograd *w = s->state;
    const float *in = dv_in(x, s, 0)->f + w->block / w->blocks * w->ih * w->iw * w->ic;
    size_t first = w->block % w->blocks * w->rows;
    for (size_t r = begin; r < end; r++) {
        dv_wino_in_args a = {.c = w->ic,
                             .iw = w->iw,
                             .px = w->left,
                             .tiles = w->across,
                             .out = (float *)(void *)x->shared + r * w->across * w->ic,
                             .ldm = w->ldv};
        for (size_t i = 0; i < 4; i++) {
            size_t y = 2 * (first + r) + i - w->top; /* wraps above row 0 */
            a.rows[i] = y < w->ih ? in + y * w->iw * w->ic : NULL;
        }
        x->k->winograd_in(&a);
    }
}

/* Few pieces are cut again, by rows of tiles: the weights are then transformed more than once. */
static size_t cuts(const dv_exec *x, const dv_winograd *w)
{
    size_t pieces = (w->oc + COLUMNS - 1) / COLUMNS, workers = (size_t)dv_pool_size(x->pool);
    return pieces % workers == 0 || pieces >= 3 * workers ? 1 : workers;
}

/* Pieces [begin, end) of 32 output channels (or of a part of the rows of these) of the block. */
static void columns(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_winograd *w = s->state;
    const float *v = (const float *)(const void *)x->shared, *weights = dv_packed(x, s, 1);
    size_t first = w->block % w->blocks * w->rows, all_rows = DV_MIN(w->rows, w->down - first);
    size_t parts = cuts(x, w), ldm = apart(w->rows * w->across * COLUMNS);
    size_t start = (w->block / w->blocks * w->oh + 2 * first) * w->ow; /* pixel of the output */
    float *m = dv_scratch(x, worker), *u = m + POSITIONS * ldm, *out = dv_out(x, s, 0)->f;
    dv_epilogue none = {0}, ep;
    int act = dv_epilogue_of(x, s, 2, &ep);
    const dv_epilogue all = ep;
    ep.ldadd = w->oc;
    for (size_t p = begin; p < end; p++) {
        size_t j = p / parts * COLUMNS, n = DV_MIN((size_t)COLUMNS, w->oc - j);
        size_t r0 = all_rows * (p % parts) / parts, r1 = all_rows * (p % parts + 1) / parts;
        const float *from = v + r0 * w->across * w->ic;
        for (int i = 0; i < 4; i++) {
            x->k->winograd_w(w->ic, n / DV_PANEL, weights + j * 9 * w->ic, i, u);
            for (size_t q = 0; q < 4; q++)
                x->k->gemm_f32((r1 - r0) * w->across, n, w->ic, from + (4 * (size_t)i + q) * w->ldv,
                               w->ic, u + q * n * w->ic, m + (4 * (size_t)i + q) * ldm, n, &none);
        }
        ep.bias = all.bias ? all.bias + j : NULL;
        ep.slope = all.slope ? all.slope + j : NULL;
        for (size_t r = r0; r < r1; r++) {
            size_t at = (start + 2 * r * w->ow) * w->oc + j;
            dv_wino_out_args a = {.n = n,
                                  .tiles = w->across,
                                  .w = w->ow,
                                  .h = DV_MIN((size_t)2, w->oh - 2 * (first + r)),
                                  .m = m + (r - r0) * w->across * n,
                                  .ldm = ldm,
                                  .out = out + at,
                                  .ldo = w->oc,
                                  .ep = &ep};
            ep.add = all.add ? all.add + at : NULL;
            x->k->winograd_out(&a);
            dv_finish_act(x, s, act, out + at, a.h * w->ow, n, w->oc);
        }
    }
}

void dv_winograd_run(dv_exec *x, const dv_step *s, dv_winograd *w)
{
    size_t pieces = (w->oc + COLUMNS - 1) / COLUMNS;
    for (w->block = 0; w->block < w->images * w->blocks; w->block++) {
        size_t first = w->block % w->blocks * w->rows;
        dv_parallel(x, s, DV_MIN(w->rows, w->down - first), 1, pixels_in);
        dv_parallel(x, s, pieces * cuts(x, w), 1, columns);
    }
}
