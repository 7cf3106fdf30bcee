/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: a TensorFlow Lite file from anybody. It either imports into a graph that passes
 * dv_graph_check, and then has a profile, or fails with a message; what imports plainly goes
 * through the passes too, and a quantised net becomes an 8-bit one. The input lies in a heap block
 * of exactly its size, so that the sanitizer sees a read of one byte too many.
 */
#include <stdlib.h>
#include <string.h>

#include "import/import.h"
#include "quant/quant.h"
#include "replay.h"
#include "../tests/import/make_tflite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

bool dv_fuzz_seed(unsigned i, dv_buf *b)
{
    mt_net m;
    if (!mt_sample(i, &m))
        return false;
    mt_write(&m, b);
    return true;
}

static void to_bytes(const dv_graph *g)
{
    dv_graph b;
    dv_err e = {0};
    if (!dv_quant_has_pairs(g))
        return;
    if (dv_quant_pairs(g, &b, &e) != DMV_OK) {
        if (!e.msg[0])
            abort();
        return;
    }
    if (dv_graph_check(&b, &e) != DMV_OK)
        abort();
    dv_graph_free(&b);
}

static dmv_status import(const uint8_t *data, size_t size, bool no_passes, bool exact)
{
    dv_import_options o = {.no_passes = no_passes, .exact = exact};
    dv_graph g;
    dv_meta m = {0};
    dv_err e = {0};
    dmv_status st = dv_import_tflite(data, size, "fuzz", &o, &g, &e);
    if (st != DMV_OK) {
        if (!e.msg[0])
            abort();
        return st;
    }
    if (dv_graph_check(&g, &e) != DMV_OK ||
        dv_import_profile(data, size, "fuzz", &g, &m, &e) != DMV_OK || !dv_meta_text(&m, "kind"))
        abort();
    to_bytes(&g);
    dv_meta_free(&m);
    dv_graph_free(&g);
    return DMV_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    if (import(copy, size, true, true) == DMV_OK)
        import(copy, size, false, false);
    free(copy);
    return 0;
}
