/* SPDX-License-Identifier: Apache-2.0
 *
 * Dense convolution of a row of pixels in C: two pixels and one panel at a time. The matrix
 * product is the case of one segment.
 */
#include "kernels/c_block.h"
#include "kernels/c_kernels.h"

void dv_c_conv_f32(const dv_conv_args *g)
{
    for (size_t i = 0; i < g->m; i += 2) {
        const size_t rows = DV_MIN(g->m - i, (size_t)2);
        const float *a0 = g->a + i * g->lda, *a1 = a0 + (rows - 1) * g->lda;
        for (size_t j = 0; j < g->n; j += DV_PANEL) {
            const size_t cols = DV_MIN(g->n - j, (size_t)DV_PANEL);
            const float *w = g->w + j / DV_PANEL * g->panel;
            dv_block sum[2] = {{{{0}}}};
            for (size_t s = 0; s < g->segs; s++)
                for (size_t t = 0; t < g->seg; t++, w += DV_PANEL) {
                    const dv_block b = dv_block_load(w);
                    const size_t at = s * g->seg_stride + t;
                    for (int v = 0; v < DV_PANEL / 4; v++) {
                        sum[0].v[v] += a0[at] * b.v[v];
                        sum[1].v[v] += a1[at] * b.v[v];
                    }
                }
            for (size_t r = 0; r < rows; r++)
                dv_block_end(g->ep, j, cols, sum[r],
                             g->ep->add ? g->ep->add + (i + r) * g->ep->ldadd + j : NULL,
                             g->c + (i + r) * g->ldc + j);
        }
    }
}

void dv_c_gemm_f32(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *w,
                   float *c, size_t ldc, const dv_epilogue *ep)
{
    const dv_conv_args g = {m, n, 1, k, 0, a, lda, w, k * DV_PANEL, c, ldc, ep};
    dv_c_conv_f32(&g);
}
