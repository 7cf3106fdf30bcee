/* SPDX-License-Identifier: Apache-2.0
 *
 * Choice of kernels at run time, and the packing of weights, which is the same for
 * every instruction set.
 */
#include <string.h>

#include "kernels/c_kernels.h"

void dv_kernels_c(dv_kernels *k)
{
#define DV_KERNEL(name, type) k->name = dv_c_##name;
#include "kernels/kernels.inc"
#undef DV_KERNEL
    k->gemm_mr = 2;
}

void dv_kernels_init(dv_kernels *k, unsigned cpu)
{
    memset(k, 0, sizeof(*k));
    k->cpu = cpu & dv_cpu_detect();
    dv_kernels_c(k);
#if defined(__x86_64__)
    if (!(k->cpu & DV_CPU_AVX2))
        return;
    dv_kernels_avx2(k);
#if defined(DV_HAVE_AVXVNNI)
    if (k->cpu & DV_CPU_AVXVNNI)
        dv_kernels_avxvnni(k);
#endif
    if (!(k->cpu & DV_CPU_AVX512))
        return;
    dv_kernels_avx512(k);
    if (!(k->cpu & DV_CPU_VNNI))
        return;
    dv_kernels_vnni(k);
#if defined(DV_HAVE_AVX512FP16)
    if (k->cpu & DV_CPU_AVX512FP16)
        dv_kernels_avx512fp16(k);
#endif
#elif defined(DV_HAVE_NEON)
    if (!(k->cpu & DV_CPU_NEON))
        return;
    dv_kernels_neon(k);
#if defined(__aarch64__)
    if (k->cpu & DV_CPU_DOTPROD)
        dv_kernels_dot(k);
    if (k->cpu & DV_CPU_NEONFP16)
        dv_kernels_neonfp16(k);
#endif
#endif
}

size_t dv_panel_size(size_t k, size_t n)
{
    return k * dv_round_up(n, DV_PANEL);
}

void dv_pack_panels(size_t k, size_t n, const float *w, size_t ldi, size_t ldj, float *out)
{
    for (size_t j0 = 0; j0 < n; j0 += DV_PANEL) {
        size_t jn = DV_MIN(n - j0, (size_t)DV_PANEL);
        for (size_t i = 0; i < k; i++, out += DV_PANEL) {
            for (size_t j = 0; j < jn; j++)
                out[j] = w[i * ldi + (j0 + j) * ldj];
            for (size_t j = jn; j < DV_PANEL; j++)
                out[j] = 0.0f;
        }
    }
}
