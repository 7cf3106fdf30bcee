/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_features.c - any bytes as a feature file. The input is an exact-size heap copy, so that the
 * address sanitizer sees a read past the end by one byte. Accepted bytes must give finite vectors
 * and, written again in both formats and read, the same ones.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/featfile.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_again(const dv_features *f, const char *ending)
{
    char path[64];
    dv_features g;
    dv_err e;
    snprintf(path, sizeof path, "/tmp/domovoi-fuzz-%ld%s", (long)getpid(), ending);
    if (dv_features_save(path, f->v, f->n, f->dim, &e) || dv_features_load(path, &g, &e))
        abort();
    /* A column of several vectors of one number is one vector when it comes back from .bin. */
    if (g.n * g.dim != f->n * f->dim || (f->dim > 1 && g.n != f->n) ||
        memcmp(g.v, f->v, g.n * g.dim * sizeof *g.v) != 0)
        abort();
    dv_features_free(&g);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned accepted;
    dv_features f;
    dv_err e;
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    if (dv_features_parse(copy, size, "input", &f, &e) == DMV_OK) {
        for (size_t i = 0; i < f.n * f.dim; i++)
            if (!isfinite(f.v[i]))
                abort();
        if (accepted++ % 64 == 0) { /* files are slow */
            same_again(&f, ".bin");
            same_again(&f, ".npy");
        }
    } else if (f.v || f.own) {
        abort();
    }
    dv_features_free(&f);
    free(copy);
    return 0;
}

bool dv_fuzz_seed(unsigned i, dv_buf *b)
{
    static const char head[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
    static const uint32_t bin[3][4] = {{3, 4, 16, 5}, {12, 1, 4, 5}, {2, 3, 24, 6}};
    if (i > 3)
        return false;
    if (i == 3) {
        dv_buf_put(b, "\x93NUMPY\x01", 8);
        dv_buf_u16(b, sizeof head - 1);
        dv_buf_put(b, head, sizeof head - 1);
    }
    for (int k = 0; i < 3 && k < 4; k++)
        dv_buf_u32(b, bin[i][k]);
    for (int k = 0; k < 12; k++)
        dv_buf_f32(b, (float)k / 3 + 1);
    return true;
}
