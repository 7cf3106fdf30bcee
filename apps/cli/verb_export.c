/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_export.c - `domovoi model export`: a net as an ONNX file, for other programs. */
#include "cli.h"

#ifdef DV_HAVE_IMPORT
#include "export/export.h"

static bool export_it(const cli_common *o, const char *path, const char *output)
{
    dmv_context *ctx = NULL;
    dmv_model *m = NULL;
    dv_err e = {0};
    dv_export_report r = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    bool ok = false;
    if (cli_context_open(o, &ctx))
        return false;
    if (dmv_model_open(ctx, path, &m))
        cli_error("%s", dmv_error(ctx));
    else if (dv_export_onnx(&m->graph, &m->meta, &data, &size, &r, &e))
        cli_error("%s: %s", path, e.msg);
    else if (dv_write_file(output, data, size, &e))
        cli_error("%s", e.msg);
    else
        ok = true;
    if (ok && o->json) {
        cli_json j = {.f = stdout};
        cli_js_open(&j, NULL, '{');
        cli_js_text(&j, "file", output);
        cli_js_text(&j, "from", m->id);
        cli_js_int(&j, "opset", DV_EXPORT_OPSET);
        cli_js_int(&j, "bytes", (long long)size);
        cli_js_int(&j, "nodes", (long long)r.nodes);
        cli_js_int(&j, "transposes", (long long)r.transposes);
        cli_js_int(&j, "quantised", (long long)r.quantised);
        cli_js_close(&j, '}');
        cli_js_line(&j);
    } else if (ok && !o->quiet) {
        cli_put_text(output);
        printf(": operator set %d, %zu nodes, %zu bytes", DV_EXPORT_OPSET, r.nodes, size);
        if (r.quantised)
            printf(", %zu pairs of QuantizeLinear and DequantizeLinear", r.quantised);
        printf("\n");
    }
    dv_free(data);
    dmv_model_close(&m);
    dmv_context_close(&ctx);
    return ok;
}

#else

static bool export_it(const cli_common *o, const char *path, const char *output)
{
    (void)o;
    (void)output;
    cli_error("%s: this build has no ONNX export: protobuf-c or onnx.proto was missing", path);
    return false;
}

#endif

int cli_export(int argc, char **argv)
{
    cli_common o = {.use = CLI_USE_OUT};
    const char *output = NULL, *pos[1];
    size_t n;
    int done;
    cli_option own[] = {
        {"output", "NET.onnx", "the file to write; also -o. Needed", CLI_TEXT, &output},
    };
    if (!cli_parse(
            argc, argv,
            "domovoi model export NET.dmv -o NET.onnx\n\n"
            "Writes a net as an ONNX file (operator set 13). An 8-bit net becomes a QDQ net: "
            "pairs of\nQuantizeLinear and DequantizeLinear that ONNX Runtime computes in 8 "
            "bits. `model import`\nmakes the same net of it again. On failure nothing is "
            "written.",
            "  domovoi model export models/embed.dmv -o embed.onnx\n"
            "  domovoi model export embed.int8.dmv -o embed.qdq.onnx --json\n",
            &o, own, DV_COUNT(own), pos, 1, &n, &done))
        return done;
    if (n != 1 || !output)
        return cli_error("the form is: domovoi model export NET.dmv -o NET.onnx");
    return export_it(&o, pos[0], output) ? CLI_YES : CLI_ERROR;
}
