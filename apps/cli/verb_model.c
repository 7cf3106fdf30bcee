/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_model.c - `domovoi model`: nets from files of other programs, and a look inside them.
 */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "face/face.h"
#include "nn/plan.h"

#ifdef DV_HAVE_IMPORT
#include "import/import.h"
#include "quant/quant.h"
#endif

#define MAX_NET ((size_t)1 << 30)
#define MAX_THRESHOLDS 64

static void put_shape(const dv_gtensor *t)
{
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] < 0)
            printf("%s?", i ? "x" : "");
        else
            printf("%s%lld", i ? "x" : "", (long long)t->dims[i]);
    }
    if (t->rank == 0)
        printf("scalar");
}

static void put_io(const char *word, const dv_graph *g, const int32_t *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const dv_gtensor *t = &g->tensors[v[i]];
        printf("  %-10s ", i ? "" : word);
        int w = cli_put_text(t->name ? t->name : "?");
        printf("%*s ", w < 20 ? 20 - w : 0, "");
        put_shape(t);
        printf("\n");
    }
}

static size_t parameters(const dv_graph *g)
{
    size_t sum = 0, n;
    for (size_t i = 0; i < g->n_tensors; i++)
        if (g->tensors[i].data && g->tensors[i].dtype != DV_I64 &&
            dv_count(g->tensors[i].rank, g->tensors[i].dims, &n))
            sum += n;
    return sum;
}

static void count_ops(const dv_graph *g, size_t counts[DV_OP_COUNT])
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op < DV_OP_COUNT)
            counts[g->nodes[i].op]++;
}

static void put_ops(const dv_graph *g)
{
    size_t counts[DV_OP_COUNT] = {0};
    count_ops(g, counts);
    printf("  %-10s %zu:", "nodes", g->n_nodes);
    for (int k = 1; k < DV_OP_COUNT; k++)
        if (counts[k])
            printf(" %s %zu", dv_op_name((uint16_t)k), counts[k]);
    printf("\n");
}

static void put_meta(const dv_meta *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const dv_meta_item *it = &m->items[i];
        int w = printf("  ");
        w = cli_put_text(it->key);
        printf("%*s ", w < 10 ? 10 - w : 0, "");
        if (it->type == 1) {
            cli_put_text(it->text ? it->text : "");
        } else if (it->type == 2) {
            printf("%lld", (long long)it->num);
        } else if (strcmp(it->key, "thresholds") == 0) {
            for (uint32_t k = 0; k + 1 < it->n; k += 2)
                printf("%s%g at false-match rate %g", k ? ", " : "", it->f[k + 1], it->f[k]);
        } else {
            for (uint32_t k = 0; k < it->n; k++)
                printf("%s%g", k ? ", " : "", it->f[k]);
        }
        printf("\n");
    }
}

static void json_io(cli_json *j, const char *key, const dv_graph *g, const int32_t *v, size_t n)
{
    cli_js_open(j, key, '[');
    for (size_t i = 0; i < n; i++) {
        const dv_gtensor *t = &g->tensors[v[i]];
        cli_js_open(j, NULL, '{');
        cli_js_text(j, "name", t->name);
        cli_js_open(j, "dims", '[');
        for (int d = 0; d < t->rank; d++)
            cli_js_int(j, NULL, t->dims[d]);
        cli_js_close(j, ']');
        cli_js_close(j, '}');
    }
    cli_js_close(j, ']');
}

static void json_info(const char *path, const dv_graph *g, const dv_meta *m, const char *id,
                      size_t size)
{
    cli_json j = {.f = stdout};
    size_t counts[DV_OP_COUNT] = {0};
    count_ops(g, counts);
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "file", path);
    cli_js_text(&j, "id", id);
    cli_js_int(&j, "bytes", (long long)size);
    cli_js_int(&j, "parameters", (long long)parameters(g));
    json_io(&j, "inputs", g, g->inputs, g->n_inputs);
    json_io(&j, "outputs", g, g->outputs, g->n_outputs);
    cli_js_open(&j, "nodes", '{');
    for (int k = 1; k < DV_OP_COUNT; k++)
        if (counts[k])
            cli_js_int(&j, dv_op_name((uint16_t)k), (long long)counts[k]);
    cli_js_close(&j, '}');
    cli_js_open(&j, "metadata", '{');
    for (size_t i = 0; i < m->n; i++) {
        const dv_meta_item *it = &m->items[i];
        if (it->type == 1)
            cli_js_text(&j, it->key, it->text);
        else if (it->type == 2)
            cli_js_int(&j, it->key, it->num);
        else
            cli_js_floats(&j, it->key, it->f, it->n);
    }
    cli_js_close(&j, '}');
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

static void print_info(const char *path, const dmv_model *m, bool json)
{
    if (json) {
        json_info(path, &m->graph, &m->meta, m->id, m->file_size);
        return;
    }
    cli_put_text(path);
    printf("\n  %-10s %s\n", "id", m->id);
    put_meta(&m->meta);
    put_io("inputs", &m->graph, m->graph.inputs, m->graph.n_inputs);
    put_io("outputs", &m->graph, m->graph.outputs, m->graph.n_outputs);
    put_ops(&m->graph);
    printf("  %-10s %zu parameters, %zu bytes in the file\n", "size", parameters(&m->graph),
           m->file_size);
}

/* ---- import ---- */

typedef struct import_args {
    const char *output, *kind, *name, *licence, *origin, *color, *mean, *scale, *decoder,
        *landmark_order, *labels, *thresholds, *thresholds_from, *size;
    double crop;
    int dim, exact;
} import_args;

#ifdef DV_HAVE_IMPORT

static bool one_of(const char *option, const char *value, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(value, words[i]) == 0)
            return true;
    const char *near = cli_nearest(value, words, n, sizeof *words);
    char all[160] = "";
    for (size_t i = 0; i < n; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", words[i]);
    if (near)
        cli_error("--%s %s: did you mean %s? Known: %s", option, value, near, all);
    else
        cli_error("--%s %s: unknown; known: %s", option, value, all);
    return false;
}

static bool set_text(dv_meta *m, const char *key, const char *v)
{
    if (!v || dv_meta_set_text(m, key, v))
        return true;
    cli_error("out of memory");
    return false;
}

/* --mean and --scale: one value, or one for each channel. */
static bool set_channels(dv_meta *m, const char *key, const char *text)
{
    float v[3];
    size_t n;
    if (!text)
        return true;
    if (!cli_parse_floats(text, v, 3, &n) || n == 2) {
        cli_error("--%s %s: one number, or three with commas between", key, text);
        return false;
    }
    if (dv_meta_set_floats(m, key, v, (uint32_t)n))
        return true;
    cli_error("out of memory");
    return false;
}

/* "1e-2:0.25,1e-3:0.31": rates fall, similarities do not. */
static bool set_thresholds(dv_meta *m, const char *text)
{
    float v[2 * MAX_THRESHOLDS];
    uint32_t n = 0;
    if (!text)
        return true;
    for (const char *s = text;;) {
        char *end;
        float fmr = strtof(s, &end);
        bool ok = end != s && *end == ':' && n < 2 * MAX_THRESHOLDS;
        s = ok ? end + 1 : s;
        float sim = ok ? strtof(s, &end) : 0;
        ok = ok && end != s && fmr > 0 && fmr <= 1 && sim >= -1 && sim <= 1;
        ok = ok && (n == 0 || (fmr < v[n - 2] && sim >= v[n - 1]));
        if (!ok || (*end && *end != ',')) {
            cli_error("--thresholds %s: RATE:SIMILARITY with commas between, rates falling", text);
            return false;
        }
        v[n++] = fmr;
        v[n++] = sim;
        if (*end == 0)
            break;
        s = end + 1;
    }
    if (dv_meta_set_floats(m, "thresholds", v, n))
        return true;
    cli_error("out of memory");
    return false;
}

static bool apply_options(dv_meta *m, const import_args *a)
{
    static const char *const kinds[] = {"detector", "embedder", "landmarks", "other"};
    static const char *const colors[] = {"rgb", "bgr", "gray"};
    static const char *const orders[] = {"5", "68"};
    static const char *const decoders[] = {"yunet", "ultraface", "ultraface-raw", "retinaface",
                                           "scrfd", "blazeface", "ssd",           "fastestdet"};
    if ((a->kind && !one_of("kind", a->kind, kinds, DV_COUNT(kinds))) ||
        (a->color && !one_of("color", a->color, colors, DV_COUNT(colors))) ||
        (a->landmark_order &&
         !one_of("landmark-order", a->landmark_order, orders, DV_COUNT(orders))) ||
        (a->decoder && !one_of("decoder", a->decoder, decoders, DV_COUNT(decoders))))
        return false;
    float crop = (float)a->crop;
    if (!isnan(a->crop) && !(a->crop > 0.1 && a->crop < 10)) {
        cli_error("--crop %g: a factor on the box, 0.1 to 10", a->crop);
        return false;
    }
    if ((!isnan(a->crop) && !dv_meta_set_floats(m, "crop", &crop, 1)) ||
        (a->dim && !dv_meta_set_int(m, "dim", a->dim))) {
        cli_error("out of memory");
        return false;
    }
    return set_text(m, "kind", a->kind) && set_text(m, "name", a->name) &&
           set_text(m, "licence", a->licence) && set_text(m, "origin", a->origin) &&
           set_text(m, "color", a->color) && set_text(m, "decoder", a->decoder) &&
           set_text(m, "landmark_order", a->landmark_order) && set_text(m, "labels", a->labels) &&
           set_text(m, "thresholds_from", a->thresholds_from) && set_channels(m, "mean", a->mean) &&
           set_channels(m, "scale", a->scale) && set_thresholds(m, a->thresholds);
}

/* The finished file, opened from memory as a program would open it: nothing is written that
 * could not be used. */
static bool try_out(const uint8_t *data, size_t size, const char *path, const cli_common *o)
{
    dmv_context *ctx = NULL;
    dmv_model *m = NULL;
    dmv_pipeline *p = NULL;
    bool ok = false;
    if (cli_context_open(o, &ctx))
        return false;
    if (dmv_model_open_memory(ctx, data, size, &m)) {
        cli_error("%s: %s", path, dmv_error(ctx));
    } else {
        dmv_model_kind k = dmv_model_get_kind(m);
        dmv_status s = DMV_OK;
        /* A detector without points needs a landmark net to make a pipeline; its own outputs
         * are checked by its decoder. */
        const char *decoder = dmv_model_text(m, "decoder");
        const dv_decoder *d = decoder ? dv_decoder_find(decoder) : NULL;
        dv_err e = {0};
        if (k == DMV_KIND_EMBEDDER)
            s = dmv_pipeline_open(ctx, NULL, NULL, m, NULL, &p);
        else if (k == DMV_KIND_DETECTOR && !d)
            s = dv_fail(&e, DMV_ERR_ARGUMENT, "a detector needs --decoder");
        else if (k == DMV_KIND_DETECTOR)
            s = d->check(&m->graph, &e);
        if (s)
            cli_error("%s: %s", path, e.code ? e.msg : dmv_error(ctx));
        ok = s == DMV_OK;
        if (ok)
            print_info(path, m, o->json);
    }
    dmv_pipeline_close(&p);
    dmv_model_close(&m);
    dmv_context_close(&ctx);
    return ok;
}

/* The pairs of a QDQ net become 8-bit ops. */
static bool to_bytes(dv_graph *g, const char *path, dv_err *e)
{
    dv_graph built;
    if (!dv_quant_has_pairs(g))
        return true;
    if (dv_quant_pairs(g, &built, e))
        return dv_fail_in(e, "%.200s", path) == DMV_OK;
    dv_graph_free(g);
    *g = built;
    return true;
}

/* The weights that belong to an ncnn text: NET.bin beside NET.param. */
static bool read_bin(const char *path, uint8_t **data, size_t *size, dv_err *e)
{
    size_t n = strlen(path);
    if (n > 6 && !strcmp(path + n - 6, ".param"))
        n -= 6;
    char *bin = dv_malloc(n + 5);
    if (!bin)
        return dv_nomem(e) == DMV_OK;
    memcpy(bin, path, n);
    strcpy(bin + n, ".bin");
    dmv_status st = dv_read_file(bin, MAX_NET, data, size, e);
    dv_free(bin);
    return st == DMV_OK ||
           dv_fail_in(e, "%.200s: its weights are wanted beside it", path) == DMV_OK;
}

/* Reads and imports a file of any of the formats; meta gets what is known of the net. */
static bool import_file(const char *path, const dv_import_options *opt, dv_graph *g, dv_meta *meta,
                        dv_err *e)
{
    uint8_t *net = NULL, *bin = NULL;
    size_t size = 0, bin_size = 0;
    bool ok = dv_read_file(path, MAX_NET, &net, &size, e) == DMV_OK, ncnn = false;
    if (ok) {
        size_t n = strlen(path);
        dv_import_format format = dv_import_guess(net, size);
        if (n > 7 && !strcmp(path + n - 7, ".tflite"))
            format = DV_IMPORT_TFLITE;
        else if (n > 6 && !strcmp(path + n - 6, ".param"))
            format = DV_IMPORT_NCNN;
        ncnn = format == DV_IMPORT_NCNN;
        if (ncnn)
            ok = read_bin(path, &bin, &bin_size, e) &&
                 dv_import_ncnn(net, size, bin, bin_size, path, opt, g, e) == DMV_OK;
        else if (format == DV_IMPORT_TFLITE)
            ok = dv_import_tflite(net, size, path, opt, g, e) == DMV_OK;
        else
            ok = dv_import_onnx(net, size, path, opt, g, e) == DMV_OK;
    }
    ok = ok && to_bytes(g, path, e) &&
         dv_import_profile(ncnn ? bin : net, ncnn ? bin_size : size, path, g, meta, e) == DMV_OK;
    dv_free(net);
    dv_free(bin);
    return ok;
}

static bool import_it(const cli_common *o, const import_args *a, const char *path)
{
    dv_err e = {0};
    dv_graph g;
    dv_meta meta = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    int w = 0, h = 0;
    bool ok = false;
    dv_graph_init(&g);
    if (a->size && !cli_parse_size(a->size, &w, &h)) {
        cli_error("--size %s: WIDTHxHEIGHT", a->size);
        return false;
    }
    const int64_t dims[4] = {1, 3, h, w};
    dv_import_options opt = {.dims = w ? dims : NULL, .rank = w ? 4 : 0, .exact = a->exact};
    if (!import_file(path, &opt, &g, &meta, &e)) {
        cli_error("%s", e.msg);
    } else if (apply_options(&meta, a)) {
        if (dv_dmv_encode(&g, &meta, &data, &size, &e))
            cli_error("%s", e.msg);
        else if (try_out(data, size, a->output, o)) {
            ok = dv_write_file(a->output, data, size, &e) == DMV_OK;
            if (!ok)
                cli_error("%s", e.msg);
        }
    }
    dv_free(data);
    dv_meta_free(&meta);
    dv_graph_free(&g);
    return ok;
}

#else

static bool import_it(const cli_common *o, const import_args *a, const char *path)
{
    (void)o;
    (void)a;
    cli_error("%s: this build has no import of nets: protobuf-c or onnx.proto was missing", path);
    return false;
}

#endif

static int run_import(int argc, char **argv)
{
    cli_common o = {.use = CLI_USE_OUT};
    import_args a = {.crop = NAN};
    const char *pos[1];
    size_t n;
    int done;
    cli_option own[] = {
        {"output", "NET.dmv", "the file to write; also -o. Needed", CLI_TEXT, &a.output},
        {"kind", "KIND", "detector, embedder, landmarks or other", CLI_TEXT, &a.kind},
        {"name", "TEXT", "what to call it", CLI_TEXT, &a.name},
        {"licence", "TEXT", "terms of the weights", CLI_TEXT, &a.licence},
        {"origin", "TEXT", "where it comes from", CLI_TEXT, &a.origin},
        {"color", "ORDER", "channels that it expects: rgb, bgr or gray", CLI_TEXT, &a.color},
        {"mean", "M[,M,M]", "input = (pixel - mean) * scale", CLI_TEXT, &a.mean},
        {"scale", "S[,S,S]", "", CLI_TEXT, &a.scale},
        {"decoder", "NAME",
         "yunet, ultraface, ultraface-raw, retinaface, scrfd, blazeface, ssd or fastestdet",
         CLI_TEXT, &a.decoder},
        {"labels", "NAMES", "names of a detector's classes, with commas between", CLI_TEXT,
         &a.labels},
        {"exact", NULL, "TensorFlow Lite: round no 8-bit weight anew; some layers stay in floats",
         CLI_FLAG, &a.exact},
        {"landmark-order", "N", "points of a landmark net: 5 or 68", CLI_TEXT, &a.landmark_order},
        {"crop", "FACTOR", "box around the face that a landmark net sees", CLI_REAL, &a.crop},
        {"dim", "N", "length of the embedding", CLI_INT, &a.dim},
        {"thresholds", "R:S,...", "similarity S at false-match rate R, rates falling", CLI_TEXT,
         &a.thresholds},
        {"thresholds-from", "TEXT", "on which pictures they were measured", CLI_TEXT,
         &a.thresholds_from},
        {"size", "WxH", "fix a free input size", CLI_TEXT, &a.size},
    };
    if (!cli_parse(argc, argv,
                   "domovoi model import NET.onnx|NET.tflite|NET.param -o NET.dmv [options]\n\n"
                   "Reads a net of ONNX, TensorFlow Lite or ncnn (with NET.bin beside it), makes "
                   "it fast,\nand writes it in Domovoi's format. What the net is follows from its "
                   "file or its\nshapes; options say it where that is not enough. A QDQ net (pairs "
                   "of QuantizeLinear\nand DequantizeLinear) or a quantised one becomes an 8-bit "
                   "net. On failure nothing is\nwritten.",
                   "  domovoi model import yunet.onnx -o models/detect.dmv\n"
                   "  domovoi model import ssd.tflite -o models/objects.dmv\n"
                   "  domovoi model import face.onnx -o models/embed.dmv --name MyNet \\\n"
                   "      --color bgr --mean 127.5 --scale 0.0078125 --thresholds 1e-3:0.31\n",
                   &o, own, DV_COUNT(own), pos, 1, &n, &done))
        return done;
    if (n != 1 || !a.output)
        return cli_error("the form is: domovoi model import NET.onnx|NET.tflite|NET.param -o "
                         "NET.dmv");
    if (a.dim < 0)
        return cli_error("--dim %d: above 0", a.dim);
    return import_it(&o, &a, pos[0]) ? CLI_YES : CLI_ERROR;
}

/* ---- info, verify, plan ---- */

static int look(int argc, char **argv, const char *usage, const char *examples, bool info)
{
    cli_common o = {.use = CLI_USE_OUT};
    const char **pos = (const char **)argv;
    size_t n;
    int done, code = CLI_YES;
    if (!cli_parse(argc, argv, usage, examples, &o, NULL, 0, pos, (size_t)argc, &n, &done))
        return done;
    if (n == 0)
        return cli_error("no net given; `domovoi %s --help` shows the form", cli_verb_name);
    dmv_context *ctx = NULL;
    if (cli_context_open(&o, &ctx))
        return CLI_ERROR;
    for (size_t i = 0; i < n; i++) {
        dmv_model *m = NULL;
        if (dmv_model_open(ctx, pos[i], &m)) {
            code = cli_error("%s", dmv_error(ctx));
        } else if (info) {
            print_info(pos[i], m, o.json);
        } else if (o.json) {
            cli_json j = {.f = stdout};
            cli_js_open(&j, NULL, '{');
            cli_js_text(&j, "file", pos[i]);
            cli_js_bool(&j, "sound", true);
            cli_js_text(&j, "id", m->id);
            cli_js_close(&j, '}');
            cli_js_line(&j);
        } else if (!o.quiet) {
            cli_put_text(pos[i]);
            printf(": sound, id %s\n", m->id);
        }
        dmv_model_close(&m);
    }
    dmv_context_close(&ctx);
    return code;
}

static int run_info(int argc, char **argv)
{
    return look(argc, argv, "domovoi model info NET.dmv...\n\nWhat a net is and expects.",
                "  domovoi model info models/embed.dmv\n"
                "  domovoi model info models/embed.dmv --json\n",
                true);
}

static int run_verify(int argc, char **argv)
{
    return look(argc, argv,
                "domovoi model verify NET.dmv...\n\n"
                "Checks the whole file: checksums, sizes, every weight. Exit status: 0 sound, 2 "
                "not.",
                "  domovoi model verify models/*.dmv\n", false);
}

static void print_step(const dv_exec *x, size_t i, bool json)
{
    const dv_step *s = &x->steps[i];
    const dv_node *node = s->node;
    int32_t root = node->n_out ? dv_root(x, node->out[0]) : -1;
    const dv_value *v = node->n_out ? &x->v[node->out[0]] : NULL;
    bool in_arena = !s->skip && root >= 0 && v->dtype != DV_I64;
    if (json) {
        cli_json j = {.f = stdout};
        cli_js_open(&j, NULL, '{');
        cli_js_int(&j, "step", (long long)i);
        cli_js_text(&j, "op", dv_op_name(node->op));
        cli_js_text(&j, "name", node->name);
        cli_js_open(&j, "dims", '[');
        for (int d = 0; v && d < v->rank; d++)
            cli_js_int(&j, NULL, v->dims[d]);
        cli_js_close(&j, ']');
        cli_js_bool(&j, "view", s->skip);
        if (in_arena) {
            cli_js_int(&j, "offset", (long long)x->v[root].offset);
            cli_js_int(&j, "bytes", (long long)(v->count * dv_dtype_size(v->dtype)));
        }
        cli_js_int(&j, "macs", s->macs);
        cli_js_close(&j, '}');
        cli_js_line(&j);
        return;
    }
    char dims[64];
    int at = 0;
    dims[0] = 0;
    for (int d = 0; v && d < v->rank && at < (int)sizeof dims - 24; d++)
        at += snprintf(dims + at, sizeof dims - (size_t)at, "%s%lld", d ? "x" : "",
                       (long long)v->dims[d]);
    printf("%4zu %-16s %-18s ", i, dv_op_name(node->op), dims);
    if (in_arena)
        printf("%10zu %10zu ", x->v[root].offset, v->count * dv_dtype_size(v->dtype));
    else
        printf("%10s %10s ", s->skip ? "view" : "-", "");
    printf("%9.3f  ", (double)s->macs * 1e-6);
    cli_put_text(node->name ? node->name : "");
    printf("\n");
}

static int run_plan(int argc, char **argv)
{
    cli_common o = {.use = CLI_USE_OUT | CLI_USE_CPU};
    const char *size = NULL, *pos[1];
    size_t n;
    int done, w = 0, h = 0;
    cli_option own[] = {{"size", "WxH", "input size, if the net leaves it free", CLI_TEXT, &size}};
    if (!cli_parse(
            argc, argv,
            "domovoi model plan [options] NET.dmv\n\n"
            "The memory plan: where each step's output lies in the arena, its size in bytes, "
            "and\nmillions of multiply-adds.",
            "  domovoi model plan models/embed.dmv\n"
            "  domovoi model plan models/detect.dmv --size 320x256\n",
            &o, own, 1, pos, 1, &n, &done))
        return done;
    if (n != 1)
        return cli_error("the form is: domovoi model plan NET.dmv");
    if (size && !cli_parse_size(size, &w, &h))
        return cli_error("--size %s: WIDTHxHEIGHT", size);
    cli_net net;
    if (o.threads == 0)
        o.threads = 1;
    if (!cli_net_open(&net, &o, pos[0], w, h))
        return CLI_ERROR;
    const dv_exec *x = net.x;
    int64_t macs = 0;
    size_t sum = 0, count;
    if (!o.json)
        printf("step %-16s %-18s %10s %10s %9s  %s\n", "op", "output", "offset", "bytes", "MMAC",
               "name");
    for (size_t i = 0; i < x->g->n_nodes; i++) {
        const dv_node *node = x->steps[i].node;
        print_step(x, i, o.json);
        macs += x->steps[i].macs;
        for (int k = 0; k < node->n_out && !x->steps[i].skip; k++) {
            count = x->v[node->out[k]].count;
            dv_dtype type = x->v[node->out[k]].dtype;
            sum += type == DV_I64 ? 0 : count * dv_dtype_size(type);
        }
    }
    if (o.json) {
        cli_json j = {.f = stdout};
        cli_js_open(&j, NULL, '{');
        cli_js_int(&j, "arena", (long long)x->arena_size);
        cli_js_int(&j, "scratch_each", (long long)x->scratch_each);
        cli_js_int(&j, "outputs", (long long)sum);
        cli_js_int(&j, "macs", macs);
        cli_js_close(&j, '}');
        cli_js_line(&j);
    } else {
        printf("arena %zu bytes (all outputs together: %zu), scratch %zu bytes a thread, %.1f "
               "MMAC\n",
               x->arena_size, sum, x->scratch_each, (double)macs * 1e-6);
    }
    cli_net_close(&net);
    return CLI_YES;
}

int cli_model(int argc, char **argv)
{
    static const cli_verb subs[] = {
        {"export", "make an ONNX file from a .dmv file", cli_export},
        {"import", "make a .dmv file from an ONNX, TensorFlow Lite or ncnn file", run_import},
        {"info", "what a net is and expects", run_info},
        {"plan", "memory plan and multiply-adds of each step", run_plan},
        {"quantize", "make an 8-bit net from a float one", cli_quantize},
        {"verify", "check a file", run_verify},
    };
    return cli_subverb(argc, argv, subs, DV_COUNT(subs), "domovoi model WORD ...");
}
