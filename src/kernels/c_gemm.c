/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix product in C. The sums of a panel run side by side in vectors of the compiler's
 * own (any target has them), because loops over an array of sums are often turned into
 * something ten times slower, and machines without a better variant have only this.
 */
#include "kernels/c_kernels.h"

typedef float vec4 __attribute__((vector_size(16)));
typedef float vec4_u __attribute__((vector_size(16), aligned(4), may_alias));

#define VECS (DV_PANEL / 4)
#define ROWS 2

/* sum[r][j] = sum_t a[r * lda + t] * w[t][j], t ascending. */
static void panel_sums(size_t rows, size_t k, const float *a, size_t lda, const float *w,
                       float sum[ROWS][DV_PANEL])
{
    const float *a1 = rows > 1 ? a + lda : a; /* one row: computed twice */
    vec4 s0[VECS] = {{0}}, s1[VECS] = {{0}};
    for (size_t t = 0; t < k; t++, w += DV_PANEL) {
        const vec4_u *b = (const vec4_u *)w;
        for (int v = 0; v < VECS; v++) {
            s0[v] += a[t] * b[v];
            s1[v] += a1[t] * b[v];
        }
    }
    for (int j = 0; j < DV_PANEL; j++) {
        sum[0][j] = s0[j / 4][j % 4];
        sum[1][j] = s1[j / 4][j % 4];
    }
}

void dv_c_gemm_f32(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *w,
                   float *c, size_t ldc, const dv_epilogue *ep)
{
    for (size_t i0 = 0; i0 < m; i0 += ROWS) {
        size_t rows = DV_MIN(m - i0, (size_t)ROWS);
        for (size_t j0 = 0; j0 < n; j0 += DV_PANEL) {
            size_t cols = DV_MIN(n - j0, (size_t)DV_PANEL);
            float sum[ROWS][DV_PANEL];
            panel_sums(rows, k, a + i0 * lda, lda, w + j0 * k, sum);
            for (size_t i = i0; i < i0 + rows; i++)
                dv_c_epilogue(ep, j0, cols, sum[i - i0],
                              ep->add ? ep->add + i * ep->ldadd + j0 : NULL, c + i * ldc + j0);
        }
    }
}
