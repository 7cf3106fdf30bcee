/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_doctor.c - `domovoi doctor`: what is installed, what is missing, and whether this
 * machine computes right. Exit status 0 if faces can be recognised, 1 if not.
 */
#include "cli.h"

#include <math.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "nn/dmv.h"
#include "nn/exec.h"

#ifdef DV_HAVE_GALLERY
#include "gallery/gallery.h"
#endif
#ifdef DV_HAVE_VIDEO
#include "video/video.h"
#endif

typedef struct report {
    cli_common o;
    cli_json j;
    int problems;
} report;

static void line(report *r, const char *key, const char *state, const char *text)
{
    if (r->o.json) {
        cli_js_open(&r->j, key, '{');
        cli_js_text(&r->j, "state", state);
        cli_js_text(&r->j, "text", text);
        cli_js_close(&r->j, '}');
    } else {
        printf("%-8s %-12s ", state, key);
        cli_put_text(text);
        printf("\n");
    }
    if (strcmp(state, "problem") == 0)
        r->problems++;
}

/* ---- a small net with every heavy kernel, on two instruction sets ---- */

static float noise(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return (float)(*s >> 8) * (2.0f / 16777216.0f) - 1.0f;
}

/* Adds a weight of n floats in packed form; fill: the bytes follow from dims and pack. */
static int32_t add_weight(dv_graph *g, dv_pack pack, int rank, const int64_t *dims, int64_t groups,
                          uint32_t *seed)
{
    size_t count, bytes, k = 1;
    if (!dv_count(rank, dims, &count) || !dv_tensor_bytes(DV_F32, pack, rank, dims, groups, &bytes))
        return -1;
    float *plain = dv_calloc(count, sizeof *plain), *packed = dv_alloc_aligned(bytes);
    int32_t t = -1;
    if (plain && packed) {
        size_t n = (size_t)dims[rank - 1];
        float scale = rank > 1 ? 1.0f / sqrtf((float)(count / n)) : 0.1f;
        for (size_t i = 0; i < count; i++)
            plain[i] = noise(seed) * scale;
        memset(packed, 0, bytes);
        k = count / n;
        if (pack == DV_PACK_PANEL)
            dv_pack_panels(k, n, plain, n, 1, packed);
        else /* DW and VEC: rows of n, padded to whole panels */
            for (size_t i = 0; i < k; i++)
                memcpy(packed + i * dv_round_up(n, DV_PANEL), plain + i * n, n * sizeof *plain);
        t = dv_graph_add_tensor(g, NULL, DV_F32, rank, dims);
    }
    dv_free(plain);
    if (t < 0) {
        dv_free(packed);
        return -1;
    }
    g->tensors[t].pack = pack;
    g->tensors[t].data = packed;
    g->tensors[t].size = bytes;
    g->tensors[t].owned = true;
    return t;
}

static int32_t add_value(dv_graph *g, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    const int64_t dims[4] = {a, b, c, d};
    return dv_graph_add_tensor(g, NULL, DV_F32, rank, dims);
}

static dv_node *add_node(dv_graph *g, uint16_t op, int n_in, const int32_t *in, int32_t out)
{
    for (int i = 0; i < n_in; i++)
        if (in[i] < -1)
            return NULL;
    int32_t n = out < 0 ? -1 : dv_graph_add_node(g, op, NULL, n_in, in, 1, &out);
    return n < 0 ? NULL : &g->nodes[n];
}

static bool build(dv_graph *g)
{
    uint32_t seed = 7;
    int32_t x = add_value(g, 4, 1, 13, 11, 3), a = add_value(g, 4, 1, 7, 6, 24),
            b = add_value(g, 4, 1, 7, 6, 24), c = add_value(g, 4, 1, 7, 6, 24),
            p = add_value(g, 2, 1, 24, 0, 0), y = add_value(g, 2, 1, 20, 0, 0),
            z = add_value(g, 2, 1, 20, 0, 0);
    int32_t w1 = add_weight(g, DV_PACK_PANEL, 4, (const int64_t[]){3, 3, 3, 24}, 1, &seed),
            b1 = add_weight(g, DV_PACK_VEC, 1, (const int64_t[]){24}, 1, &seed),
            w2 = add_weight(g, DV_PACK_DW, 4, (const int64_t[]){3, 3, 1, 24}, 24, &seed),
            b2 = add_weight(g, DV_PACK_VEC, 1, (const int64_t[]){24}, 1, &seed),
            w3 = add_weight(g, DV_PACK_PANEL, 2, (const int64_t[]){24, 20}, 1, &seed);
    if (x < 0 || a < 0 || b < 0 || c < 0 || p < 0 || y < 0 || z < 0 || w1 < 0 || b1 < 0 || w2 < 0 ||
        b2 < 0 || w3 < 0)
        return false;
    const int64_t k3[2] = {3, 3}, s2[2] = {2, 2}, pad[4] = {1, 1, 1, 1}, axes[2] = {1, 2};
    dv_node *n = add_node(g, DV_OP_CONV, 3, (const int32_t[]){x, w1, b1}, a);
    if (!n || !dv_node_set_ints(n, DV_A_KERNEL, k3, 2) ||
        !dv_node_set_ints(n, DV_A_STRIDE, s2, 2) || !dv_node_set_ints(n, DV_A_PADS, pad, 4) ||
        !dv_node_set_int(n, DV_A_ACT, DV_ACT_CLIP) || !dv_node_set_float(n, DV_A_P, 0) ||
        !dv_node_set_float(n, DV_A_Q, 6))
        return false;
    n = add_node(g, DV_OP_CONV, 3, (const int32_t[]){a, w2, b2}, b);
    if (!n || !dv_node_set_ints(n, DV_A_KERNEL, k3, 2) || !dv_node_set_ints(n, DV_A_PADS, pad, 4) ||
        !dv_node_set_int(n, DV_A_GROUP, 24))
        return false;
    n = add_node(g, DV_OP_ACT, 1, (const int32_t[]){b}, c);
    if (!n || !dv_node_set_int(n, DV_A_ACT, DV_ACT_GELU))
        return false;
    n = add_node(g, DV_OP_REDUCE, 1, (const int32_t[]){c}, p);
    if (!n || !dv_node_set_int(n, DV_A_REDUCE, DV_RED_MEAN) ||
        !dv_node_set_ints(n, DV_A_AXES, axes, 2) || !dv_node_set_int(n, DV_A_KEEPDIMS, 0))
        return false;
    if (!add_node(g, DV_OP_LINEAR, 2, (const int32_t[]){p, w3}, y))
        return false;
    n = add_node(g, DV_OP_L2_NORM, 1, (const int32_t[]){y}, z);
    return n && dv_node_set_int(n, DV_A_AXIS, 1) && dv_node_set_float(n, DV_A_EPS, 1e-12f) &&
           dv_graph_set_io(g, &x, 1, &z, 1);
}

static bool compute(const dv_graph *g, unsigned cpu, float out[20], dv_err *e)
{
    dv_kernels k;
    dv_exec *x = NULL;
    const int64_t dims[4] = {1, 13, 11, 3}, *in[1] = {dims};
    uint32_t seed = 99;
    dv_kernels_init(&k, cpu);
    if (dv_exec_open(g, &k, NULL, &x, e))
        return false;
    bool ok = dv_exec_shape(x, in, e) == DMV_OK;
    if (ok) {
        float *p = dv_exec_input(x, 0);
        for (int i = 0; i < 13 * 11 * 3; i++)
            p[i] = noise(&seed);
        dv_exec_run(x);
        memcpy(out, dv_exec_output(x, 0)->f, 20 * sizeof *out);
    }
    dv_exec_close(&x);
    return ok;
}

static void self_test(report *r, unsigned cpu)
{
    dv_graph g;
    dmv_model *m = NULL;
    dv_err e = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    float slow[20], fast[20];
    char text[256], names[64];
    dv_graph_init(&g);
    if (!build(&g)) {
        line(r, "self-test", "problem", "out of memory");
    } else if (dv_dmv_encode(&g, &(dv_meta){0}, &data, &size, &e) ||
               dv_dmv_parse(data, size, "self-test", &m, &e) || !compute(&m->graph, 0, slow, &e) ||
               !compute(&m->graph, cpu, fast, &e)) {
        line(r, "self-test", "problem", e.msg);
    } else {
        float worst = 0;
        for (int i = 0; i < 20; i++)
            worst = fmaxf(worst, fabsf(slow[i] - fast[i]));
        float length = sqrtf(dmv_similarity(slow, slow, 20)); /* 1, or NaN */
        dv_cpu_names(cpu, names, sizeof names);
        bool ok = worst <= 1e-5f && fabsf(length - 1) < 1e-4f;
        snprintf(text, sizeof text, "a small net computed with c and with %s differs by %.1e%s",
                 names, worst, ok ? "" : ": this machine or build computes wrongly");
        line(r, "self-test", ok ? "ok" : "problem", text);
    }
    dmv_model_close(&m);
    dv_free(data);
    dv_graph_free(&g);
}

/* ---- the rest ---- */

static void check_net(report *r, dmv_context *ctx, const char *which, bool needed)
{
    char text[4500];
    dmv_model *m = NULL;
    const char *path = cli_default_model(which);
    if (!path) {
        snprintf(text, sizeof text, "%s.dmv not found%s", which,
                 needed ? "; `./run build` fetches the default nets; $DOMOVOI_MODELS names their "
                          "folder"
                        : " (only detectors without points need it)");
        line(r, which, needed ? "problem" : "note", text);
        return;
    }
    if (dmv_model_open(ctx, path, &m)) {
        line(r, which, "problem", dmv_error(ctx));
        return;
    }
    const char *name = dmv_model_text(m, "name");
    snprintf(text, sizeof text, "%s, %s, id %s", path, name ? name : "unnamed", dmv_model_id(m));
    line(r, which, "ok", text);
    dmv_model_close(&m);
}

static void check_gallery(report *r)
{
    char text[4500];
    const char *path = cli_gallery_path(&r->o, false);
    if (!path) {
        line(r, "gallery", "problem", "no place for it: neither --gallery nor a home folder");
        return;
    }
#ifdef DV_HAVE_GALLERY
    dv_gallery *g = NULL;
    dv_subject *s = NULL;
    size_t n = 0;
    dv_err e = {0};
    if (access(path, F_OK) != 0) {
        snprintf(text, sizeof text, "%s: not there yet; `domovoi enrol` makes it", path);
        line(r, "gallery", "note", text);
        return;
    }
    if (dv_gallery_open(path, false, NULL, &g, &e) || dv_gallery_verify(g, &e) ||
        dv_gallery_subjects(g, &s, &n, &e)) {
        line(r, "gallery", "problem", e.msg);
    } else {
        snprintf(text, sizeof text, "%s: sound, %zu people, model %s", path, n,
                 dv_gallery_model_name(g));
        line(r, "gallery", "ok", text);
    }
    dv_subjects_free(s, n);
    dv_gallery_close(&g);
#else
    snprintf(text, sizeof text, "%s: this build has no galleries", path);
    line(r, "gallery", "note", text);
#endif
}

static const char parts[] = "reads PNM"
#ifdef DV_HAVE_JPEG
                            ", JPEG"
#endif
#ifdef DV_HAVE_SPNG
                            ", PNG"
#endif
#ifdef DV_HAVE_WEBP
                            ", WebP"
#endif
#ifdef DV_HAVE_CAIRO
                            "; draws"
#else
                            "; no drawing (cairo)"
#endif
#ifdef DV_HAVE_IMPORT
                            "; imports ONNX, TensorFlow Lite, ncnn"
#else
                            "; no ONNX import (protobuf-c)"
#endif
#ifdef DV_HAVE_GALLERY
                            "; galleries"
#else
                            "; no galleries (SQLite, jansson)"
#endif
#ifdef DV_HAVE_VIDEO
                            "; video";
#else
                            "; no video (FFmpeg)";
#endif

/* FFmpeg is loaded when it is needed, so it may be missing now. */
static void check_video(report *r)
{
#ifdef DV_HAVE_VIDEO
    dv_err e = {0};
    if (dv_video_available(&e) == DMV_OK)
        line(r, "video", "ok", "FFmpeg's libraries are there");
    else
        line(r, "video", "note", e.msg);
#endif
}

int cli_doctor(int argc, char **argv)
{
    report r = {.o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_GALLERY};
    size_t n;
    int done;
    if (!cli_parse(argc, argv,
                   "domovoi doctor [options]\n\n"
                   "Checks the installation. Exit status: 0 everything needed is there, 1 not.",
                   "  domovoi doctor\n  domovoi doctor --cpu avx2 --json\n", &r.o, NULL, 0, NULL, 0,
                   &n, &done))
        return done;
    dmv_context *ctx = NULL;
    char text[256], names[64];
    struct utsname u;
    if (cli_context_open(&r.o, &ctx))
        return CLI_ERROR;
    r.j.f = stdout;
    if (r.o.json)
        cli_js_open(&r.j, NULL, '{');
    snprintf(text, sizeof text, "domovoi %s", dmv_version());
    line(&r, "version", "ok", text);
    if (uname(&u) == 0) {
        snprintf(text, sizeof text, "%.60s %.60s, %d cores", u.sysname, u.machine, dv_cpu_count());
        line(&r, "machine", "ok", text);
    }
    dv_cpu_names(dv_cpu_detect(), names, sizeof names);
    snprintf(text, sizeof text, "has %s; in use: %s, %d threads", names, ctx->cpu_names,
             ctx->threads);
    line(&r, "processor", "ok", text);
    line(&r, "parts", "ok", parts);
    self_test(&r, ctx->cpu);
    check_net(&r, ctx, "detect", true);
    check_net(&r, ctx, "landmarks", false);
    check_net(&r, ctx, "embed", true);
    check_gallery(&r);
    check_video(&r);
    if (r.o.json) {
        cli_js_int(&r.j, "problems", r.problems);
        cli_js_close(&r.j, '}');
        cli_js_line(&r.j);
    } else {
        printf(r.problems ? "%d problem%s\n" : "all is well\n", r.problems,
               r.problems == 1 ? "" : "s");
    }
    dmv_context_close(&ctx);
    return r.problems ? CLI_NO : CLI_YES;
}
