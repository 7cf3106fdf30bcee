/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_dmv.c - model files. The checksum would stop nearly every input, so it is made right
 * first (byte 0 of the input decides, so that the check itself is met too); what passes the
 * parser is run on a small input.
 */
#include <string.h>

#include "nn/dmv.h"
#include "nn/exec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend(uint8_t *p, size_t size)
{
    static const uint8_t zero[32];
    if (size < 96)
        return;
    for (int i = 0; i < 8; i++)
        p[16 + i] = (uint8_t)((uint64_t)size >> (8 * i));
    dv_sha256 h;
    dv_sha256_init(&h);
    dv_sha256_update(&h, p, 64);
    dv_sha256_update(&h, zero, 32);
    dv_sha256_update(&h, p + 96, size - 96);
    dv_sha256_final(&h, p + 64);
}

static void run(const dmv_model *m)
{
    static dv_kernels k;
    if (!k.gemm_f32)
        dv_kernels_init(&k, dv_cpu_detect());
    dv_err e;
    dv_exec *x;
    if (dv_exec_open(&m->graph, &k, NULL, &x, &e))
        return;
    int64_t dims[DV_MAX_IO][DMV_MAX_RANK];
    const int64_t *p[DV_MAX_IO];
    bool small = true;
    size_t total = 0;
    for (size_t i = 0; i < m->graph.n_inputs; i++) {
        const dv_gtensor *t = &m->graph.tensors[m->graph.inputs[i]];
        for (int d = 0; d < t->rank; d++)
            dims[i][d] = t->dims[d] == -1 ? 32 : t->dims[d];
        p[i] = dims[i];
        size_t n;
        small &= dv_count(t->rank, dims[i], &n) && n < 1u << 20;
    }
    if (small && !dv_exec_infer(x, p, &e)) {
        int64_t macs = 0;
        for (size_t i = 0; i < m->graph.n_tensors; i++)
            total += x->v[i].count < 1u << 24 ? x->v[i].count : 1u << 24;
        for (size_t i = 0; i < m->graph.n_nodes; i++)
            macs += x->steps[i].macs < 1 << 28 ? x->steps[i].macs : 1 << 28;
        if (total < 1u << 24 && macs < 1 << 28 && !dv_exec_shape(x, p, &e)) {
            for (size_t i = 0; i < m->graph.n_inputs; i++)
                memset(dv_exec_input(x, i), 0, x->v[m->graph.inputs[i]].count * sizeof(float));
            dv_exec_run(x);
        }
    }
    dv_exec_close(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = dv_alloc_aligned(size ? size : 1);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    if (size && copy[size - 1] % 8 != 7) /* the padding at the end is rarely changed */
        mend(copy, size);
    dmv_model *m;
    dv_err e;
    if (!dv_dmv_parse(copy, size, "fuzz", &m, &e)) {
        run(m);
        dmv_model_close(&m);
    }
    dv_free(copy);
    return 0;
}
