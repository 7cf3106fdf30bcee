/* SPDX-License-Identifier: Apache-2.0
 *
 * An ONNX file to a graph that runs: parse, lower, rewrite, pack, check. Either all of it
 * succeeds or nothing remains.
 */
#include "import/onnx.h"

dmv_status dv_import_onnx(const uint8_t *data, size_t size, const char *name,
                          const dv_import_options *o, dv_graph *g, dv_err *e)
{
    dv_onnx file;
    dv_err own;
    if (!e)
        e = &own; /* the messages of the steps build on one another */
    dv_graph_init(g);
    dmv_status st = dv_onnx_parse(data, size, &file, e);
    if (st == DMV_OK) {
        st = dv_onnx_lower(&file, o, g, e);
        dv_onnx_free(&file);
    }
    if (st == DMV_OK && !(o && o->no_passes)) {
        dv_import_report report;
        st = dv_import_optimise(g, &report, e);
    }
    if (st == DMV_OK)
        st = dv_import_pairs(g, e);
    if (st == DMV_OK)
        st = dv_import_pack(g, e);
    if (st == DMV_OK)
        st = dv_graph_check(g, e);
    if (st != DMV_OK) {
        dv_graph_free(g);
        dv_fail_in(e, "%.200s", name ? name : "ONNX file");
    }
    return st;
}
