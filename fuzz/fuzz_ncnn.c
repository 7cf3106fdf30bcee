/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: the two files of an ncnn net from anybody, as one input: the text, a zero byte, the
 * weights. They either import into a graph that passes dv_graph_check, and then have a profile,
 * or fail with a message; what imports plainly goes through the passes too. Both parts lie in heap
 * blocks of exactly their size, so that the sanitizer sees a read of one byte too many.
 */
#include <stdlib.h>
#include <string.h>

#include "import/import.h"
#include "replay.h"
#include "../tests/import/make_ncnn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

bool dv_fuzz_seed(unsigned i, dv_buf *b)
{
    dv_buf bin = {0};
    if (!mn_sample(i, b, &bin))
        return false;
    dv_buf_u8(b, 0);
    dv_buf_put(b, bin.data, bin.size);
    b->bad |= bin.bad;
    dv_buf_free(&bin);
    return true;
}

static dmv_status import(const uint8_t *text, size_t size, const uint8_t *bin, size_t bin_size,
                         bool no_passes)
{
    dv_import_options o = {.no_passes = no_passes};
    dv_graph g;
    dv_meta m = {0};
    dv_err e = {0};
    dmv_status st = dv_import_ncnn(text, size, bin, bin_size, "fuzz", &o, &g, &e);
    if (st != DMV_OK) {
        if (!e.msg[0])
            abort();
        return st;
    }
    if (dv_graph_check(&g, &e) != DMV_OK ||
        dv_import_profile(bin, bin_size, "fuzz", &g, &m, &e) != DMV_OK || !dv_meta_text(&m, "kind"))
        abort();
    dv_meta_free(&m);
    dv_graph_free(&g);
    return DMV_OK;
}

static uint8_t *own(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (copy && size)
        memcpy(copy, data, size);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t n = zero ? (size_t)(zero - data) : size, rest = zero ? size - n - 1 : 0;
    uint8_t *text = own(data, n), *bin = own(data + size - rest, rest);
    if (text && bin && import(text, n, bin, rest, true) == DMV_OK)
        import(text, n, bin, rest, false);
    free(text);
    free(bin);
    return 0;
}
