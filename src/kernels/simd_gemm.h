/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix product and dense convolution over the vectors of one instruction set; include after its
 * vec_*.h, once per library.
 *
 * A register tile is `mr` rows of a by `np` panels of weights, both constants: mr * np *
 * (16 / VW) sums stay in registers over the whole of k, then the epilogue runs on them.
 * The last rows are divided evenly, so that no tile is left with a row or two.
 * Weights are taken in blocks of panels that fit in the second-level cache beside a.
 * Tiles store whole panels. Where n ends inside one, they store to a buffer (gemm_edge), or, if all
 * columns are in one tile, over the beginning of the next row, which is stored afterwards; only the
 * last row of a tile is then cut off.
 */

#define PV (DV_PANEL / VW) /* vectors of one panel */
#if VW == 4 && DV_VREGS == 32
#define MR 6 /* 24 sums, 4 weights, 1 element of a */
#define NP_MAX 4
#define NP_FOR(mr) ((mr) == 1 ? 4 : (mr) <= 3 ? 2 : 1)
#elif VW == 4
#define MR 2 /* 8 sums, 4 weights, 1 element of a */
#define NP_MAX 2
#define NP_FOR(mr) ((mr) == 1 ? 2 : 1)
#elif DV_VREGS == 32
#define MR 14 /* 28 sums, 2 weights, 1 element of a */
#define NP_MAX 8
#define NP_FOR(mr) ((mr) == 1 ? 8 : (mr) <= 6 ? 4 : 2)
#else
#define MR 6 /* 12 sums, 2 weights, 1 element of a */
#define NP_MAX 4
#define NP_FOR(mr) ((mr) == 1 ? 4 : (mr) <= 3 ? 2 : 1)
#endif
#define BLOCK_BYTES (128 * 1024)

typedef dv_conv_args gemm_args; /* a product is a convolution of one segment */

/* Elements of vector v that lie in the last `left` columns. */
DV_INLINE vt gemm_cut(size_t left, int v)
{
    return v_tail(left > (size_t)(v * VW) ? DV_MIN(left - (size_t)(v * VW), (size_t)VW) : 0);
}

/* Rows i.., the np panels from column j on. */
DV_INLINE void gemm_tile(const gemm_args *g, size_t i, size_t j, const int mr, const int np)
{
    const int nv = np * PV;
    const size_t lda = g->lda, panel = g->panel;
    const float *w = g->w + j / DV_PANEL * panel;
    vf acc[MR][NP_MAX * PV];
    DV_UNROLL
    for (int r = 0; r < mr; r++)
        DV_UNROLL
    for (int v = 0; v < nv; v++)
        acc[r][v] = v_zero();

    const float *seg = g->a + i * lda;
    for (size_t s = 0; s < g->segs; s++, seg += g->seg_stride) {
        const float *a = seg;
        for (size_t t = 0; t < g->seg; t++, a++, w += DV_PANEL) {
            vf b[NP_MAX * PV];
            DV_UNROLL
            for (int v = 0; v < nv; v++)
                b[v] = v_load(w + (size_t)(v / PV) * panel + v % PV * VW);
            DV_UNROLL
            for (int r = 0; r < mr; r++) {
                const vf x = v_set1(a[(size_t)r * lda]);
                DV_UNROLL
                for (int v = 0; v < nv; v++)
                    acc[r][v] = v_fma(x, b[v], acc[r][v]);
            }
        }
    }

    const dv_epilogue *ep = g->ep;
    const size_t left = g->n - j;
    const int cut = left < (size_t)(nv * VW);
    if (ep->bias) {
        DV_UNROLL
        for (int v = 0; v < nv; v++) {
            const vf bias = v_load(ep->bias + j + (size_t)(v * VW));
            DV_UNROLL
            for (int r = 0; r < mr; r++)
                acc[r][v] = v_add(acc[r][v], bias);
        }
    }
    if (ep->add) {
        const float *add = ep->add + i * ep->ldadd + j;
        DV_UNROLL
        for (int v = 0; v < nv; v++, add += VW) {
            DV_UNROLL
            for (int r = 0; r < mr - 1; r++)
                acc[r][v] = v_add(acc[r][v], v_load(add + (size_t)r * ep->ldadd));
            const float *end = add + (size_t)(mr - 1) * ep->ldadd;
            acc[mr - 1][v] =
                v_add(acc[mr - 1][v], cut ? v_load_t(end, gemm_cut(left, v)) : v_load(end));
        }
    }
    if (ep->act == DV_EP_CLIP) {
        const vf lo = v_set1(ep->lo), hi = v_set1(ep->hi);
        DV_UNROLL
        for (int v = 0; v < nv; v++)
            DV_UNROLL
        for (int r = 0; r < mr; r++)
            acc[r][v] = v_min(hi, v_max(lo, acc[r][v]));
    } else if (ep->act == DV_EP_PRELU) {
        DV_UNROLL
        for (int v = 0; v < nv; v++) {
            const vf slope = v_load(ep->slope + j + (size_t)(v * VW));
            DV_UNROLL
            for (int r = 0; r < mr; r++)
                acc[r][v] = v_prelu(acc[r][v], slope);
        }
    }
    float *c = g->c + i * g->ldc + j;
    DV_UNROLL
    for (int r = 0; r < mr - 1; r++, c += g->ldc)
        DV_UNROLL
    for (int v = 0; v < nv; v++)
        v_store(c + v * VW, acc[r][v]);
    DV_UNROLL
    for (int v = 0; v < nv; v++) {
        if (cut)
            v_store_t(c + v * VW, acc[mr - 1][v], gemm_cut(left, v));
        else
            v_store(c + v * VW, acc[mr - 1][v]);
    }
}

/* One tile of rows over the panels of columns j..end. */
DV_INLINE void gemm_rows(const gemm_args *g, size_t i, size_t j, size_t end, const int mr)
{
    const int wide = NP_FOR(mr);
    const size_t panel = DV_PANEL;
    for (; j + (size_t)(wide - 1) * panel < end; j += (size_t)wide * panel)
        gemm_tile(g, i, j, mr, wide);
    if (wide > 4)
        for (; j + 3 * panel < end; j += 4 * panel)
            gemm_tile(g, i, j, mr, 4);
    if (wide > 2)
        for (; j + panel < end; j += 2 * panel)
            gemm_tile(g, i, j, mr, 2);
    if (wide > 1)
        for (; j < end; j += panel)
            gemm_tile(g, i, j, mr, 1);
}

#define ROWS(mr)                                                                                 \
    static __attribute__((noinline)) void gemm_rows_##mr(const gemm_args *g, size_t i, size_t j, \
                                                         size_t end)                             \
    {                                                                                            \
        gemm_rows(g, i, j, end, mr);                                                             \
    }
ROWS(1)
ROWS(2)
#if MR > 2
ROWS(4)
ROWS(6)
#endif
#if MR == 6
ROWS(3)
ROWS(5)
#endif
#if MR > 6
ROWS(7)
ROWS(8)
ROWS(10)
ROWS(12)
ROWS(14)
#endif
#undef ROWS

typedef void rows_fn(const gemm_args *g, size_t i, size_t j, size_t end);

/* The last columns, from j on, of which only the last panel is not whole, by way of a buffer. */
static void gemm_edge(rows_fn *rows, const gemm_args *g, size_t i, size_t j, size_t mr)
{
    float buf[MR * NP_FOR(MR) * DV_PANEL]; /* no tile is larger */
    const size_t n = g->n - j, wide = dv_round_up(n, DV_PANEL);
    dv_epilogue ep = *g->ep;
    if (ep.add) {
        const float *add = ep.add + i * ep.ldadd + j;
        for (size_t v = 0; v < wide; v += VW) {
            const vt t = v_tail(n > v ? DV_MIN(n - v, (size_t)VW) : 0);
            for (size_t r = 0; r < mr; r++)
                v_store(buf + r * wide + v, v_load_t(add + r * ep.ldadd + v, t));
        }
        ep.add = buf;
        ep.ldadd = wide;
    }
    ep.bias = ep.bias ? ep.bias + j : NULL;
    ep.slope = ep.slope ? ep.slope + j : NULL;
    gemm_args e = *g;
    e.n = e.ldc = wide;
    e.a += i * g->lda;
    e.w += j / DV_PANEL * g->panel;
    e.c = buf;
    e.ep = &ep;
    rows(&e, 0, 0, wide);
    float *c = g->c + i * g->ldc + j;
    for (size_t v = 0; v < n; v += VW) {
        const vt t = v_tail(DV_MIN(n - v, (size_t)VW));
        for (size_t r = 0; r < mr; r++)
            v_store_t(c + r * g->ldc + v, v_load(buf + r * wide + v), t);
    }
}

/* Rows of the next tile when m are left: the last two or three are made alike. */
DV_INLINE size_t gemm_next(size_t m)
{
#if MR > 6 /* from the sizes that there are, to keep the library small */
    static const uint8_t next[2 * MR] = {0,  1, 2, 2,  4,  4,  6,  7,  8,  7, 10, 7,  12, 7,
                                         14, 8, 8, 10, 10, 12, 10, 14, 12, 8, 12, 10, 14, 10};
    return m < 2 * MR ? next[m] : MR;
#else
    return m >= 2 * MR ? MR : m > MR ? (m + 1) / 2 : m;
#endif
}

void DV_ISA(conv_f32)(const dv_conv_args *g)
{
    static rows_fn *const rows[MR + 1] = {
        NULL,
        gemm_rows_1,
        gemm_rows_2,
#if MR == 6
        gemm_rows_3,
        gemm_rows_4,
        gemm_rows_5,
        gemm_rows_6,
#elif MR > 6
        NULL, /* the next smaller one, to keep the library small */
        gemm_rows_4,
        NULL,
        gemm_rows_6,
        gemm_rows_7,
        gemm_rows_8,
        NULL,
        gemm_rows_10,
        NULL,
        gemm_rows_12,
        NULL,
        gemm_rows_14,
#endif
    };
    const size_t m = g->m, n = g->n;
    /* Whole numbers of the widest tile, so that only the last block has a remainder. */
    size_t fit =
        BLOCK_BYTES / sizeof(float) / DV_MAX(g->seg * g->segs, (size_t)1) / (DV_PANEL * NP_MAX);
    const size_t block = m <= MR ? n : DV_MAX(fit, (size_t)1) * DV_PANEL * NP_MAX;
    const bool dense =
        g->ldc == n && n >= DV_PANEL && n < 2 * DV_PANEL && (!g->ep->add || g->ep->ldadd == n);
    for (size_t j = 0; j < n; j += block) {
        const size_t end = DV_MIN(n, j + block);
        for (size_t i = 0, mr; i < m; i += mr) {
            mr = gemm_next(m - i);
            const size_t wide = DV_PANEL * (size_t)NP_FOR(mr);
            const size_t rest = end % DV_PANEL && !(dense && n < wide) ? (end - j) % wide : 0;
            if (end - rest > j)
                rows[mr](g, i, j, end - rest);
            if (rest)
                gemm_edge(rows[mr], g, i, end - rest, mr);
        }
    }
}

void DV_ISA(gemm_f32)(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *w,
                      float *c, size_t ldc, const dv_epilogue *ep)
{
    const dv_conv_args g = {m, n, 1, k, 0, a, lda, w, k * DV_PANEL, c, ldc, ep};
    DV_ISA(conv_f32)(&g);
}
