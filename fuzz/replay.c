/* SPDX-License-Identifier: Apache-2.0
 *
 * replay.c - runs a fuzz target without libFuzzer, as an ordinary test: over the files given,
 * and over mutations of them with a fixed seed. Files that cannot be read are errors; with
 * no file at all the test is skipped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t seed = 88172645463325252u;

static size_t below(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return n ? (size_t)(seed % n) : 0;
}

/* Cuts, flips, overwrites and repeats: what libFuzzer does first. */
static size_t mutate(uint8_t *p, size_t n)
{
    static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
    for (size_t k = 1 + below(6); k > 0 && n > 0; k--) {
        size_t at = below(below(3) ? n : DV_MIN(n, (size_t)512)), len = 1 + below(8);
        len = DV_MIN(len, n - at);
        switch (below(5)) {
        case 0:
            n = below(8) ? n : at;
            break;
        case 1:
            p[at] ^= (uint8_t)(1u << below(8));
            break;
        case 2:
            memset(p + at, odd[below(DV_COUNT(odd))], len);
            break;
        case 3:
            memmove(p + at, p + below(n - len + 1), len);
            break;
        default:
            p[at] = (uint8_t)below(256);
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    int files = 0;
    uint64_t end = dv_now_ns() + 6000000000u;
    for (int i = 1; i < argc; i++) {
        uint8_t *data;
        size_t size;
        dv_err e = {0};
        if (dv_read_file(argv[i], (size_t)1 << 30, &data, &size, &e)) {
            printf("left out: %s\n", e.msg);
            continue;
        }
        files++;
        LLVMFuzzerTestOneInput(data, size);
        uint8_t *copy = dv_malloc(size + 1);
        uint64_t until = dv_now_ns() + (end - dv_now_ns()) / (uint64_t)(argc - i);
        int runs = 0;
        for (; copy && runs < 20000 && dv_now_ns() < until; runs++) {
            memcpy(copy, data, size);
            LLVMFuzzerTestOneInput(copy, mutate(copy, size));
        }
        printf("%s: itself and %d mutations\n", argv[i], runs);
        dv_free(copy);
        dv_free(data);
        if (dv_now_ns() >= end)
            end = dv_now_ns() + 1000000000u; /* a slow file: the others still get their turn */
    }
    if (!files)
        printf("skipped: none of the seed files is there (./run build fetches them)\n");
    return files ? 0 : 77;
}
