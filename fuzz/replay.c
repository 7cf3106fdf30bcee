/* SPDX-License-Identifier: Apache-2.0
 *
 * replay.c - runs a fuzz target without libFuzzer, as an ordinary test: over the inputs that the
 * target makes in code, over the files given, and over mutations of all of them with a fixed
 * seed, for a few seconds. With no input at all the test is skipped. `--seeds FOLDER` writes the
 * inputs that are made in code, as a first corpus for libFuzzer.
 */
#include "replay.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECONDS 6

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

/* The input itself once, then mutations until the time is up. */
static void play(const char *name, const uint8_t *data, size_t size, uint64_t until)
{
    uint8_t *copy = dv_malloc(size + 1);
    int runs = 0;
    LLVMFuzzerTestOneInput(data, size);
    for (; copy && runs < 20000 && dv_now_ns() < until; runs++) {
        memcpy(copy, data, size);
        LLVMFuzzerTestOneInput(copy, mutate(copy, size));
    }
    printf("%s: itself and %d mutations\n", name, runs);
    dv_free(copy);
}

static bool made(unsigned i, dv_buf *b)
{
    memset(b, 0, sizeof *b);
    return dv_fuzz_seed && dv_fuzz_seed(i, b) && !b->bad;
}

static int write_seeds(const char *folder)
{
    dv_buf b;
    for (unsigned i = 0; made(i, &b); i++) {
        char path[4096];
        dv_err e;
        snprintf(path, sizeof path, "%s/seed%u", folder, i);
        dmv_status st = dv_write_file(path, b.data, b.size, &e);
        dv_buf_free(&b);
        if (st) {
            fprintf(stderr, "%s\n", e.msg);
            return 1;
        }
    }
    dv_buf_free(&b);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--seeds"))
        return write_seeds(argv[2]);
    unsigned n_made = 0, n_files = 0;
    dv_buf b;
    for (; made(n_made, &b); n_made++)
        dv_buf_free(&b);
    dv_buf_free(&b);
    uint64_t left = n_made + (unsigned)argc - 1, end = dv_now_ns() + SECONDS * 1000000000ull;
    for (unsigned i = 0; i < n_made && made(i, &b); i++, left--) {
        char name[32];
        uint64_t now = dv_now_ns();
        snprintf(name, sizeof name, "made in code %u", i);
        play(name, b.data, b.size, now < end ? now + (end - now) / left : now);
        dv_buf_free(&b);
    }
    for (int i = 1; i < argc; i++, left--) {
        uint8_t *data;
        size_t size;
        dv_err e = {0};
        if (dv_read_file(argv[i], (size_t)1 << 30, &data, &size, &e)) {
            printf("left out: %s\n", e.msg);
            continue;
        }
        n_files++;
        uint64_t now = dv_now_ns();
        play(argv[i], data, size, now < end ? now + (end - now) / left : now);
        dv_free(data);
    }
    if (n_made + n_files == 0)
        printf("skipped: there is no input (./run build fetches some)\n");
    return n_made + n_files ? 0 : 77;
}
