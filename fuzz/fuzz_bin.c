/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_bin.c - any bytes as a verification set of InsightFace. The input is an exact-size heap
 * copy, so that the address sanitizer sees a read past the end by one byte. What is accepted must
 * hang together: pictures inside the input, pairs of pictures that are there.
 */
#include <stdlib.h>
#include <string.h>

#include "eval/bin.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_bin b;
    dv_err e = {0};
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    if (dv_bin_parse(copy, size, "input", &b, &e) == DMV_OK) {
        unsigned sum = 0;
        if (b.pairs.n == 0 || b.pairs.n % b.pairs.folds || b.pairs.n_names > 2 * b.pairs.n)
            abort();
        for (size_t i = 0; i < b.pairs.n; i++)
            if (b.pairs.pair[i].a >= b.pairs.n_names || b.pairs.pair[i].b >= b.pairs.n_names)
                abort();
        for (size_t i = 0; i < b.pairs.n_names; i++) {
            const dv_bin_picture *p = &b.picture[i];
            if (p->data < copy || p->size > (size_t)(copy + size - p->data))
                abort();
            for (size_t k = 0; k < p->size; k++)
                sum += p->data[k];
        }
        if (sum == 1)
            e.code = DMV_OK; /* the bytes were read */
        dv_bin_free(&b);
    } else if (!e.msg[0] || b.picture || b.pairs.n) {
        abort();
    }
    free(copy);
    return 0;
}

/* Twenty pictures of a few bytes, as Python 2 (protocol 2) and Python 3 (4, 5) write them. */
bool dv_fuzz_seed(unsigned i, dv_buf *b)
{
    unsigned memo = 0;
    if (i > 2)
        return false;
    dv_buf_u8(b, 0x80);
    dv_buf_u8(b, (uint8_t)(i ? i + 3 : 2));
    if (i) {
        dv_buf_u8(b, 0x95);
        dv_buf_u64(b, 200);
    }
    for (int list = 0; list < 2; list++) {
        dv_buf_u8(b, ']');
        dv_buf_u8(b, i ? 0x94 : 'q');
        if (!i)
            dv_buf_u8(b, (uint8_t)memo++);
        dv_buf_u8(b, '(');
        for (unsigned k = 0; k < (list ? 10 : 20); k++) {
            if (list) {
                dv_buf_u8(b, k % 2 ? 0x88 : 0x89);
                continue;
            }
            if (i == 2 && k > 15) { /* a picture for the second time */
                dv_buf_u8(b, 'h');
                dv_buf_u8(b, 2);
                continue;
            }
            if (i) {
                dv_buf_u8(b, 'C');
                dv_buf_u8(b, 4);
            } else {
                dv_buf_u8(b, 'T');
                dv_buf_u32(b, 4);
            }
            dv_buf_u32(b, k * 0x01010101u);
            dv_buf_u8(b, i ? 0x94 : 'q');
            if (!i)
                dv_buf_u8(b, (uint8_t)memo++);
        }
        dv_buf_u8(b, 'e');
    }
    dv_buf_u8(b, 0x86);
    dv_buf_u8(b, '.');
    return true;
}
