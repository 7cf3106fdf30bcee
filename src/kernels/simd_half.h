/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolution in halves over the vectors of one instruction set; include once, after these:
 *   vh, HW        a vector of HW halves (HW divides DV_HPANEL)
 *   H_MR          rows of the largest tile; H_ROWS(F): F(mr) for each number of rows that there is
 *   H_NP(mr)      pairs of vectors of such a tile
 *   h_zero h_load h_store h_set1 h_fma h_add h_min h_max h_prelu
 *   h_load_n, h_store_n, h_store_f32   the first n of HW halves (n >= HW: all)
 *   h_pair(p)     two halves at p, over and over
 *   h_join(a, b)  a and b hold sums of even and odd k in turn, a of even columns, b of odd ones:
 *                 even + odd, the columns in order
 */

DV_INLINE vh h_finish(vh v, const dv_hepilogue *ep, size_t j)
{
    if (ep->act == DV_EP_CLIP)
        return h_min(h_set1(ep->hi), h_max(h_set1(ep->lo), v));
    if (ep->act == DV_EP_PRELU)
        return h_prelu(v, h_load(ep->slope + j));
    return v;
}

/* Rows i.., np * HW columns from j on. */
DV_INLINE void h_tile(const dv_hconv_args *g, size_t i, size_t j, const int mr, const int np)
{
    const uint16_t *w[4];
    vh total[H_MR][4];
    DV_UNROLL
    for (int p = 0; p < np; p++) {
        const size_t col = j + (size_t)(p * HW);
        w[p] = g->w + col / DV_HPANEL * g->panel + col % DV_HPANEL;
        for (int r = 0; r < mr; r++)
            total[r][p] = h_zero();
    }
    const uint16_t *seg = g->a + i * g->lda;
    for (size_t s = 0; s < g->segs; s++, seg += g->seg_stride) {
        const uint16_t *a = seg, *end = seg + g->seg;
        while (a < end) {
            const uint16_t *stop = end - a > DV_HPIECE ? a + DV_HPIECE : end;
            vh acc[H_MR][4][2];
            DV_UNROLL
            for (int r = 0; r < mr; r++)
                DV_UNROLL
            for (int p = 0; p < np; p++)
                acc[r][p][0] = acc[r][p][1] = h_zero();
            for (; a < stop; a += 2) {
                vh b[4][2];
                DV_UNROLL
                for (int p = 0; p < np; p++) {
                    b[p][0] = h_load(w[p]);
                    b[p][1] = h_load(w[p] + DV_HPANEL);
                    w[p] += 2 * DV_HPANEL;
                }
                DV_UNROLL
                for (int r = 0; r < mr; r++) {
                    const vh x = h_pair(a + (size_t)r * g->lda);
                    DV_UNROLL
                    for (int p = 0; p < np; p++) {
                        acc[r][p][0] = h_fma(x, b[p][0], acc[r][p][0]);
                        acc[r][p][1] = h_fma(x, b[p][1], acc[r][p][1]);
                    }
                }
            }
            DV_UNROLL
            for (int r = 0; r < mr; r++)
                DV_UNROLL
            for (int p = 0; p < np; p++)
                total[r][p] = h_add(total[r][p], h_join(acc[r][p][0], acc[r][p][1]));
        }
    }
    const dv_hepilogue *ep = g->ep;
    for (int p = 0; p < np; p++) {
        const size_t col = j + (size_t)(p * HW), left = g->n > col ? g->n - col : 0;
        for (int r = 0; r < mr && left; r++) {
            const size_t row = i + (size_t)r;
            vh v = total[r][p];
            if (ep->bias)
                v = h_add(v, h_load(ep->bias + col));
            if (ep->add)
                v = h_add(v, h_load_n(ep->add + row * ep->ldadd + col, left));
            v = h_finish(v, ep, col);
            if (g->c_f32)
                h_store_f32((float *)g->c + row * g->ldc + col, v, left);
            else
                h_store_n((uint16_t *)g->c + row * g->ldc + col, v, left);
        }
    }
}

#define ROWS(mr)                                                                                  \
    static __attribute__((noinline)) void h_rows_##mr(const dv_hconv_args *g, size_t i, size_t j, \
                                                      size_t end)                                 \
    {                                                                                             \
        for (; H_NP(mr) > 1 && j + (size_t)(H_NP(mr) - 1) * HW < end; j += (size_t)H_NP(mr) * HW) \
            h_tile(g, i, j, mr, H_NP(mr));                                                        \
        for (; j < end; j += HW)                                                                  \
            h_tile(g, i, j, mr, 1);                                                               \
    }
H_ROWS(ROWS)
#undef ROWS

void H_ISA(conv_f16)(const dv_hconv_args *g)
{
#define ROWS(mr) [mr] = h_rows_##mr,
    static void (*const rows[H_MR + 1])(const dv_hconv_args *g, size_t i, size_t j,
                                        size_t end) = {H_ROWS(ROWS)};
#undef ROWS
    const size_t m = g->m, n = g->n;
    /* panels that fit in the second-level cache beside a */
    const size_t fit = 128 * 1024 / sizeof(uint16_t) / DV_MAX(g->seg * g->segs, (size_t)1);
    const size_t block = m <= H_MR ? n : DV_MAX(fit / DV_HPANEL, (size_t)1) * DV_HPANEL;
    for (size_t j = 0; j < n; j += block)
        for (size_t i = 0, mr; i < m; i += mr) {
            mr = DV_MIN(m - i, (size_t)H_MR);
            while (!rows[mr])
                mr--;
            rows[mr](g, i, j, DV_MIN(n, j + block));
        }
}

/* ---- depthwise ---- */

/* n outputs from x on. kw, sx and dx are constants for common kernels, so that a column is read
 * once for all outputs that it belongs to; else (kw 0) each output reads its own. */
DV_INLINE void h_dw_tile(const dv_hdw_args *a, size_t x, const int n, const int kw, const int sx)
{
    const size_t first = x * a->sx - a->px; /* wraps left of column 0 */
    for (size_t ch = 0; ch < a->c; ch += HW) {
        const size_t left = a->c - ch;
        vh acc[7];
        DV_UNROLL
        for (int u = 0; u < n; u++)
            acc[u] = a->ep->bias ? h_load(a->ep->bias + ch) : h_zero();
        const uint16_t *w = a->w + ch;
        for (size_t r = 0; r < a->kh; r++) {
            const uint16_t *row = a->rows[r] + ch;
            if (kw) {
                vh tap[3];
                DV_UNROLL
                for (int t = 0; t < kw; t++, w += a->ldw)
                    tap[t] = h_load(w);
                DV_UNROLL
                for (int j = 0; j < (n - 1) * sx + kw; j++) {
                    const size_t col = first + (size_t)j;
                    if (col >= a->iw)
                        continue;
                    const vh in = h_load_n(row + col * a->c, left);
                    DV_UNROLL
                    for (int t = 0; t < kw; t++)
                        if (j >= t && (j - t) % sx == 0 && (j - t) / sx < n)
                            acc[(j - t) / sx] = h_fma(in, tap[t], acc[(j - t) / sx]);
                }
                continue;
            }
            for (size_t t = 0; t < a->kw; t++, w += a->ldw) {
                const vh tap = h_load(w);
                DV_UNROLL
                for (int u = 0; u < n; u++) {
                    const size_t col = first + (size_t)u * a->sx + t * a->dx;
                    if (col < a->iw)
                        acc[u] = h_fma(h_load_n(row + col * a->c, left), tap, acc[u]);
                }
            }
        }
        vh sum[7]; /* in memory, so that one piece of code ends all */
        DV_UNROLL
        for (int u = 0; u < n; u++)
            sum[u] = acc[u];
        for (int u = 0; u < n; u++) {
            const size_t at = (x + (size_t)u) * a->c + ch;
            if (a->ep->add)
                sum[u] = h_add(sum[u], h_load_n(a->ep->add + at, left));
            h_store_n(a->out + at, h_finish(sum[u], a->ep, ch), left);
        }
    }
}

void H_ISA(dw_f16)(const dv_hdw_args *a)
{
    size_t x = 0;
    if (a->kw == 3 && a->dx == 1 && a->sx == 1)
        for (; x + 7 <= a->ow; x += 7)
            h_dw_tile(a, x, 7, 3, 1);
    if (a->kw == 3 && a->dx == 1 && a->sx == 2)
        for (; x + 7 <= a->ow; x += 7)
            h_dw_tile(a, x, 7, 3, 2);
    for (; x + 4 <= a->ow; x += 4)
        h_dw_tile(a, x, 4, 0, 1);
    for (; x < a->ow; x++)
        h_dw_tile(a, x, 1, 0, 1);
}
