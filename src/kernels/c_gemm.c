/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix product in C. The sixteen sums of a panel run side by side, which is the
 * form compilers turn into baseline vector code without help.
 */
#include "kernels/c_kernels.h"

void dv_c_gemm_f32(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *w,
                   float *c, size_t ldc, const dv_epilogue *ep)
{
    for (size_t i = 0; i < m; i++) {
        const float *arow = a + i * lda;
        for (size_t j0 = 0; j0 < n; j0 += DV_PANEL) {
            const float *panel = w + j0 * k;
            size_t jn = DV_MIN(n - j0, (size_t)DV_PANEL);
            float acc[DV_PANEL] = {0};
            for (size_t t = 0; t < k; t++)
                for (size_t j = 0; j < DV_PANEL; j++)
                    acc[j] += arow[t] * panel[t * DV_PANEL + j];
            for (size_t j = 0; j < jn; j++) {
                float add = ep->add ? ep->add[i * ep->ldadd + j0 + j] : 0.0f;
                c[i * ldc + j0 + j] = dv_c_epilogue(ep, j0 + j, acc[j], add);
            }
        }
    }
}
