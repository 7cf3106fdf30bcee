/* SPDX-License-Identifier: Apache-2.0
 *
 * Depthwise convolution and pooling over the vectors of one instruction set; include
 * after its vec_*.h, once per library.
 *
 * A tile is up to 7 neighbouring output pixels of one vector of channels. It reads each
 * input column once and adds it to every output that the kernel width reaches. Width and
 * stride are constants in the tiles of common kernels; the rows that exist are a loop, so
 * that cut kernels at the upper and lower border cost only what they compute. At the left
 * and right border the same tile tests each column ("edge").
 */

/* Adds the residual, runs the activation and stores channels ch.. of n pixels from x on. */
DV_INLINE void window_end(const dv_dw_args *a, vf *acc, const int n, size_t x, size_t ch,
                          const int tail, vt t)
{
    const dv_epilogue *ep = a->ep;
    const size_t first = x * a->c + ch;
    if (ep->add) {
        const float *add = ep->add + first;
        DV_UNROLL
        for (int u = 0; u < n; u++, add += a->c)
            acc[u] = v_add(acc[u], tail ? v_load_t(add, t) : v_load(add));
    }
    if (ep->act == DV_EP_CLIP) {
        const vf lo = v_set1(ep->lo), hi = v_set1(ep->hi);
        DV_UNROLL
        for (int u = 0; u < n; u++)
            acc[u] = v_min(hi, v_max(lo, acc[u]));
    } else if (ep->act == DV_EP_PRELU) {
        const vf slope = v_load(ep->slope + ch);
        DV_UNROLL
        for (int u = 0; u < n; u++)
            acc[u] = v_prelu(acc[u], slope);
    }
    float *out = a->out + first;
    DV_UNROLL
    for (int u = 0; u < n; u++, out += a->c) {
        if (tail)
            v_store_t(out, acc[u], t);
        else
            v_store(out, acc[u]);
    }
}

/* ---- any kernel; also the channels after the last whole vector ---- */

DV_INLINE void dw_any_tile(const dv_dw_args *a, size_t x, const int n, size_t ch, const int vecs,
                           const int tail, vt tl)
{
    vf acc[8][4];
    DV_UNROLL
    for (int v = 0; v < vecs; v++) {
        const vf bias = a->ep->bias ? v_load(a->ep->bias + ch + (size_t)(v * VW)) : v_zero();
        DV_UNROLL
        for (int u = 0; u < n; u++)
            acc[v][u] = bias;
    }
    for (size_t r = 0; r < a->kh; r++) {
        const float *row = a->rows[r] + ch, *w = a->w + r * a->kw * a->ldw + ch;
        for (size_t t = 0; t < a->kw; t++, w += a->ldw) {
            DV_UNROLL
            for (int u = 0; u < n; u++) {
                size_t col = (x + (size_t)u) * a->sx + t * a->dx - a->px;
                if (col >= a->iw) /* also what lies left of column 0 */
                    continue;
                const float *in = row + col * a->c;
                DV_UNROLL
                for (int v = 0; v < vecs; v++)
                    acc[v][u] = v_fma(tail ? v_load_t(in, tl) : v_load(in + v * VW),
                                      v_load(w + v * VW), acc[v][u]);
            }
        }
    }
    DV_UNROLL
    for (int v = 0; v < vecs; v++)
        window_end(a, acc[v], n, x, ch + (size_t)(v * VW), tail, tl);
}

/* Channels ch.. of n outputs (4 or 1) from x on. */
DV_INLINE void dw_any_channels(const dv_dw_args *a, size_t x, const int n, size_t ch)
{
    const int vecs = n == 1 ? 8 : DV_VREGS / 16;
    for (; ch + (size_t)(vecs * VW) <= a->c; ch += (size_t)(vecs * VW))
        dw_any_tile(a, x, n, ch, vecs, 0, v_tail(0));
    for (; ch + VW <= a->c; ch += VW)
        dw_any_tile(a, x, n, ch, 1, 0, v_tail(0));
    if (ch < a->c)
        dw_any_tile(a, x, n, ch, 1, 1, v_tail(a->c - ch));
}

static void dw_any(const dv_dw_args *a, size_t ch)
{
    size_t x = 0;
    for (; x + 4 <= a->ow; x += 4)
        dw_any_channels(a, x, 4, ch);
    for (; x < a->ow; x++)
        dw_any_channels(a, x, 1, ch);
}

/* ---- tiles of constant width and stride ---- */

#define TILE_MAX 7
#define KW_MAX 9

/* n outputs from x on. The last vector of channels may overlap the one before. */
DV_INLINE void dw_tile(const dv_dw_args *a, size_t x, const int n, const int kw, const int sx,
                       const int edge)
{
    const size_t pixel = a->c * sizeof(float);
    const size_t left = x * (size_t)sx - a->px; /* wraps left of column 0 */
    const int cols = (n - 1) * sx + kw;
    for (size_t from = 0; from < a->c; from += VW) {
        const size_t ch = DV_MIN(from, a->c - VW);
        const vf bias = a->ep->bias ? v_load(a->ep->bias + ch) : v_zero();
        vf acc[TILE_MAX];
        DV_UNROLL
        for (int u = 0; u < n; u++)
            acc[u] = bias;
        const float *w = a->w + ch;
        for (size_t r = 0; r < a->kh; r++) {
            vf tap[KW_MAX];
            DV_UNROLL
            for (int t = 0; t < kw; t++, w += a->ldw)
                tap[t] = v_load(w);
            /* An integer, since it may lie before the row until its column is tested. One
             * running address and one load per column: V_KEEP stops the compiler from
             * keeping all addresses, or reading memory anew for every use. */
            uintptr_t at = (uintptr_t)(a->rows[r] + ch) + left * pixel;
            DV_UNROLL
            for (int j = 0; j < cols; j++, at += pixel) {
                V_KEEP_INT(at);
                if (edge && left + (size_t)j >= a->iw)
                    continue;
                vf in = v_load((const float *)at);
                V_KEEP(in);
                DV_UNROLL
                for (int t = 0; t < kw; t++)
                    if (j >= t && (j - t) % sx == 0 && (j - t) / sx < n)
                        acc[(j - t) / sx] = v_fma(in, tap[t], acc[(j - t) / sx]);
            }
        }
        window_end(a, acc, n, x, ch, 0, v_tail(0));
    }
}

/* Outputs lo <= x < hi have all their taps inside the row. */
DV_INLINE void inner_outputs(const dv_dw_args *a, size_t *lo, size_t *hi)
{
    size_t reach = (a->kw - 1) * a->dx + 1;
    *lo = (a->px + a->sx - 1) / a->sx;
    *hi = a->iw + a->px < reach ? 0 : (a->iw + a->px - reach) / a->sx + 1;
}

/* 7, 4, 2 or 1 outputs: pictures of face nets are 56, 28, 14 and 7 wide. */
DV_INLINE size_t tile_step(size_t left)
{
    return left >= 7 && left != 8 ? 7 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

#define TILES(n, kw, sx, edge)          \
    switch (n) {                        \
    case 7:                             \
        dw_tile(a, x, 7, kw, sx, edge); \
        break;                          \
    case 4:                             \
        dw_tile(a, x, 4, kw, sx, edge); \
        break;                          \
    case 2:                             \
        dw_tile(a, x, 2, kw, sx, edge); \
        break;                          \
    default:                            \
        dw_tile(a, x, 1, kw, sx, edge); \
    }

#define DW_ROW(name, kw, sx)                       \
    static void name(const dv_dw_args *a)          \
    {                                              \
        size_t lo, hi, step;                       \
        inner_outputs(a, &lo, &hi);                \
        for (size_t x = 0; x < a->ow; x += step) { \
            step = tile_step(a->ow - x);           \
            if (x >= lo && x + step <= hi) {       \
                TILES(step, kw, sx, 0)             \
            } else {                               \
                TILES(step, kw, sx, 1)             \
            }                                      \
        }                                          \
    }

/* Wide kernels: the test of a column is small beside its 5 to 9 multiplications. */
#define DW_WIDE_ROW(name, kw, sx)                  \
    static void name(const dv_dw_args *a)          \
    {                                              \
        size_t step;                               \
        for (size_t x = 0; x < a->ow; x += step) { \
            step = tile_step(a->ow - x);           \
            TILES(step, kw, sx, 1)                 \
        }                                          \
    }

DW_ROW(dw_row_3_1, 3, 1)
DW_ROW(dw_row_3_2, 3, 2)
DW_WIDE_ROW(dw_row_5_1, 5, 1)
DW_WIDE_ROW(dw_row_5_2, 5, 2)
DW_WIDE_ROW(dw_row_7_1, 7, 1)
DW_WIDE_ROW(dw_row_9_1, 9, 1)

void DV_ISA(dw_f32)(const dv_dw_args *a)
{
    static const struct {
        size_t kw, sx;
        void (*row)(const dv_dw_args *a);
    } special[] = {{3, 1, dw_row_3_1}, {3, 2, dw_row_3_2}, {5, 1, dw_row_5_1},
                   {5, 2, dw_row_5_2}, {7, 1, dw_row_7_1}, {9, 1, dw_row_9_1}};
    /* overlapping vectors would add a residual in place twice */
    if (a->dx == 1 && a->ow > 1 && (a->c % VW == 0 || (a->c > VW && a->ep->add != a->out)))
        for (size_t i = 0; i < DV_COUNT(special); i++)
            if (special[i].kw == a->kw && special[i].sx == a->sx) {
                special[i].row(a);
                return;
            }
    dw_any(a, 0);
}

/* ---- pooling ---- */

DV_INLINE void pool_tap(vf *acc, const float *in, const int max, const int vecs, const int tail,
                        vt tl)
{
    DV_UNROLL
    for (int v = 0; v < vecs; v++) {
        const vf y = tail ? v_load_t(in, tl) : v_load(in + v * VW);
        acc[v] = max ? v_max(y, acc[v]) : v_add(acc[v], y);
    }
}

/* taps: a constant t1 - t0, or 0 if it is not known. */
DV_INLINE void pool_tile(const dv_pool_args *a, const int max, size_t x, size_t t0, size_t t1,
                         size_t ch, const int vecs, const int taps, const int tail, vt tl)
{
    vf acc[4];
    DV_UNROLL
    for (int v = 0; v < vecs; v++)
        acc[v] = v_set1(max ? -INFINITY : 0.0f);
    const size_t first = (x * a->sx + t0 * a->dx - a->px) * a->c + ch, step = a->dx * a->c;
    for (size_t r = 0; r < a->kh; r++) {
        const float *in = a->rows[r] + first;
        if (taps) {
            DV_UNROLL
            for (int t = 0; t < taps; t++, in += step)
                pool_tap(acc, in, max, vecs, tail, tl);
        } else {
            for (size_t t = t0; t < t1; t++, in += step)
                pool_tap(acc, in, max, vecs, tail, tl);
        }
    }
    const vf scale = max ? v_zero() : v_set1(a->scale[x]);
    float *out = a->out + x * a->c + ch;
    DV_UNROLL
    for (int v = 0; v < vecs; v++) {
        vf y = max ? acc[v] : v_mul(acc[v], scale);
        if (tail)
            v_store_t(out, y, tl);
        else
            v_store(out + v * VW, y);
    }
}

/* All channels of output x; the last vector may overlap the one before. */
DV_INLINE void pool_pixel(const dv_pool_args *a, const int max, size_t x, size_t t0, size_t t1,
                          const int taps)
{
    size_t ch = 0;
    for (; ch + 4 * VW <= a->c; ch += 4 * VW)
        pool_tile(a, max, x, t0, t1, ch, 4, taps, 0, v_tail(0));
    for (; ch < a->c; ch += VW)
        pool_tile(a, max, x, t0, t1, DV_MIN(ch, a->c - VW), 1, taps, 0, v_tail(0));
}

DV_INLINE void pool(const dv_pool_args *a, const int max)
{
    for (size_t x = 0; x < a->ow; x++) {
        size_t t0 = 0, t1 = a->kw; /* the taps that lie inside the row */
        while (t0 < t1 && x * a->sx + t0 * a->dx < a->px)
            t0++;
        while (t1 > t0 && x * a->sx + (t1 - 1) * a->dx >= a->px + a->iw)
            t1--;
        if (a->c < VW)
            pool_tile(a, max, x, t0, t1, 0, 1, 0, 1, v_tail(a->c));
        else if (t1 - t0 == 3)
            pool_pixel(a, max, x, t0, t1, 3);
        else if (t1 - t0 == 2)
            pool_pixel(a, max, x, t0, t1, 2);
        else
            pool_pixel(a, max, x, t0, t1, 0);
    }
}

void DV_ISA(maxpool_f32)(const dv_pool_args *a)
{
    pool(a, 1);
}

void DV_ISA(avgpool_f32)(const dv_pool_args *a)
{
    pool(a, 0);
}
