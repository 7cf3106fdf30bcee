/* SPDX-License-Identifier: Apache-2.0
 *
 * A net's file to a graph that runs: parse, lower, rewrite, pack, check. Either all of it
 * succeeds or nothing remains.
 */
#include <string.h>

#include "import/ncnn.h"
#include "import/onnx.h"
#include "import/tflite.h"

/* What is the same for all formats, after lowering (which gave st). */
static dmv_status finish(dmv_status st, const char *name, const char *kind,
                         const dv_import_options *o, dv_graph *g, dv_err *e)
{
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
        dv_fail_in(e, "%.200s", name ? name : kind);
    }
    return st;
}

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
    return finish(st, name, "ONNX file", o, g, e);
}

dmv_status dv_import_tflite(const uint8_t *data, size_t size, const char *name,
                            const dv_import_options *o, dv_graph *g, dv_err *e)
{
    dv_tflite file;
    dv_err own;
    if (!e)
        e = &own;
    dv_graph_init(g);
    dmv_status st = dv_tflite_parse(data, size, &file, e);
    if (st == DMV_OK) {
        st = dv_tflite_lower(&file, o, g, e);
        dv_tflite_free(&file);
    }
    return finish(st, name, "TensorFlow Lite file", o, g, e);
}

dmv_status dv_import_ncnn(const uint8_t *param, size_t param_size, const uint8_t *bin,
                          size_t bin_size, const char *name, const dv_import_options *o,
                          dv_graph *g, dv_err *e)
{
    dv_ncnn file;
    dv_err own;
    if (!e)
        e = &own;
    dv_graph_init(g);
    dmv_status st = dv_ncnn_parse(param, param_size, bin, bin_size, &file, e);
    if (st == DMV_OK) {
        st = dv_ncnn_lower(&file, o, g, e);
        dv_ncnn_free(&file);
    }
    return finish(st, name, "ncnn file", o, g, e);
}

dv_import_format dv_import_guess(const uint8_t *data, size_t size)
{
    if (size >= 8 && !memcmp(data + 4, "TFL3", 4))
        return DV_IMPORT_TFLITE;
    if (size >= 8 && !memcmp(data, "7767517", 7) && (data[7] == '\n' || data[7] == '\r'))
        return DV_IMPORT_NCNN;
    return DV_IMPORT_ONNX;
}
