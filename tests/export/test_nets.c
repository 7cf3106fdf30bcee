/* SPDX-License-Identifier: Apache-2.0
 *
 * The real nets, where they are at hand: each is imported, exported and imported again, float,
 * in 8 bits and in half precision. The float nets must agree to 1e-5 of the largest value, the
 * 8-bit nets in every bit. Without any of the nets the test is skipped (77). With a folder as
 * argument the exported files stay there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "export/export.h"
#include "import/import.h"
#include "quant/quant.h"

static const char *const nets[] = {
    "detect/yunet_n_640_640.onnx",
    "detect/yunet_n_dynamic.onnx",
    "detect/ulfg_version-RFB-320_without_postprocessing.onnx",
    "embed/mobilefacenet.onnx",
    "embed/edgeface_xs.onnx",
    "embed/edgeface_xxs.onnx",
    "person/FastestDet.onnx",
    "fr_detect.onnx",
    "fr_landmark.onnx",
    "fr_feature.onnx",
    "fr_age.onnx",
    "fr_expression.onnx",
    "fr_eye.onnx",
    "fr_gender.onnx",
    "fr_liveness.onnx",
    "fr_pose.onnx",
};

static int failures;
static dv_kernels kernels;
static const char *keep;

static bool good(bool ok, const char *net, const char *what)
{
    if (!ok) {
        printf("FAIL %s: %s\n", net, what);
        failures++;
    }
    return ok;
}

/* Free sizes are 96 high and 128 wide. */
static void fix_dims(const dv_graph *g, int64_t dims[4])
{
    const dv_gtensor *t = &g->tensors[g->inputs[0]];
    for (int i = 0; i < t->rank && i < 4; i++)
        dims[i] = t->dims[i] > 0 ? t->dims[i] : i == 2 ? 96 : i == 3 ? 128 : 1;
}

static dv_exec *run(const dv_graph *g, const char *net, uint32_t seed)
{
    dv_exec *x = NULL;
    dv_err e = {0};
    int64_t dims[4] = {1, 1, 1, 1};
    const int64_t *in = dims;
    fix_dims(g, dims);
    if (!good(!dv_exec_open(g, &kernels, NULL, &x, &e) && !dv_exec_shape(x, &in, &e), net, e.msg)) {
        dv_exec_close(&x);
        return NULL;
    }
    float *p = dv_exec_input(x, 0);
    for (size_t i = 0; i < x->v[g->inputs[0]].count; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
    dv_exec_run(x);
    return x;
}

/* Largest difference over largest value of all outputs. */
static double distance(const dv_graph *a, const dv_graph *b, const char *net)
{
    double worst = 0;
    if (!good(a->n_outputs == b->n_outputs, net, "another number of outputs"))
        return INFINITY;
    dv_exec *x = run(a, net, 5), *y = run(b, net, 5);
    for (size_t i = 0; x && y && i < a->n_outputs; i++) {
        const dv_value *p = dv_exec_output(x, i), *q = dv_exec_output(y, i);
        const char *na = a->tensors[a->outputs[i]].name, *nb = b->tensors[b->outputs[i]].name;
        double diff = 0, top = 1e-30;
        if (!good(p->rank == q->rank &&
                      !memcmp(p->dims, q->dims, sizeof(int64_t) * (size_t)p->rank),
                  net, "another shape") ||
            !good(na && nb && !strcmp(na, nb), net, "another name"))
            worst = INFINITY;
        for (size_t k = 0; k < p->count && worst < INFINITY; k++) {
            double d = fabs((double)p->f[k] - (double)q->f[k]);
            if (!(d <= diff))
                diff = d;
            top = fmax(top, fabs((double)p->f[k]));
        }
        worst = fmax(worst, diff / top);
    }
    if (!x || !y)
        worst = INFINITY;
    dv_exec_close(&x);
    dv_exec_close(&y);
    return worst;
}

/* Exported and imported again; 8-bit if it was. */
static bool again(const dv_graph *g, const char *net, bool bytes, dv_graph *out)
{
    uint8_t *data = NULL;
    size_t size = 0;
    dv_export_report r;
    dv_err e = {0};
    bool ok = good(!dv_export_onnx(g, NULL, &data, &size, &r, &e), net, e.msg);
    if (ok && keep) {
        char path[1200];
        const char *slash = strrchr(net, '/');
        snprintf(path, sizeof path, "%s/%s%s", keep, bytes ? "q8-" : "", slash ? slash + 1 : net);
        good(!dv_write_file(path, data, size, &e), net, e.msg);
    }
    ok = ok && good(!dv_import_onnx(data, size, net, NULL, out, &e), net, e.msg);
    if (ok)
        printf("%-56s %s %4zu nodes, %3zu transposes, %3zu pairs\n", net, bytes ? "8-bit" : "float",
               r.nodes, r.transposes, r.quantised);
    dv_free(data);
    return ok;
}

static void check_float(const dv_graph *g, const char *net)
{
    dv_graph b;
    dv_graph_init(&b);
    if (again(g, net, false, &b)) {
        double d = distance(g, &b, net);
        printf("    largest difference %.2e\n", d);
        good(d <= 1e-5, net, "the exported net computes something else");
    }
    dv_graph_free(&b);
}

/* ---- 8 bits ---- */

static bool quantised(const dv_graph *g, const char *net, dv_quant **q, dv_graph *out)
{
    int64_t dims[4] = {1, 1, 1, 1};
    const int64_t *row = dims;
    dv_err e = {0};
    size_t n = 1;
    fix_dims(g, dims);
    for (int i = 0; i < 4; i++)
        n *= (size_t)dims[i];
    float *v = malloc(n * sizeof *v);
    const float *one = v;
    bool ok = v && !dv_quant_open(g, &row, &kernels, NULL, 1 / 127.5F, 127.5F, q, &e);
    for (uint32_t s = 0; ok && s < 3; s++) {
        uint32_t seed = 100 + s;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            v[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
        }
        ok = !dv_quant_add(*q, &one, &e);
    }
    dv_quant_options o = {.method = DV_CALIB_MINMAX};
    ok = ok && !dv_quant_build(*q, &o, out, &e);
    free(v);
    return good(ok, net, e.msg);
}

/* Weights that are bytes, all of them, in the order of the nodes. */
static void s8_weights(const dv_graph *g, dv_buf *b)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++) {
            const dv_gtensor *t = dv_const_in(g, &g->nodes[i], k);
            if (t && t->dtype == DV_S8)
                dv_buf_put(b, t->data, t->size);
        }
}

static size_t count(const dv_graph *g, uint16_t op)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == op;
    return n;
}

static void check_bytes(const dv_graph *g, const char *net)
{
    dv_quant *q = NULL;
    dv_graph a, b, c;
    dv_buf wa = {0}, wc = {0};
    dv_err e = {0};
    dv_graph_init(&a);
    dv_graph_init(&b);
    dv_graph_init(&c);
    if (quantised(g, net, &q, &a) && again(&a, net, true, &b) &&
        good(!dv_quant_pairs(&b, &c, &e), net, e.msg)) {
        double d = distance(&a, &c, net);
        s8_weights(&a, &wa);
        s8_weights(&c, &wc);
        for (uint16_t op = 1; op < DV_OP_COUNT; op++)
            if (count(&a, op) != count(&c, op))
                printf("    %s: %zu, then %zu\n", dv_op_name(op), count(&a, op), count(&c, op));
        printf("    largest difference %.2e, %zu bytes of weights\n", d, wa.size);
        good(d == 0, net, "the 8-bit net computes something else");
        good(wa.size > 0 && wa.size == wc.size && !memcmp(wa.data, wc.data, wa.size), net,
             "other weights");
    }
    dv_buf_free(&wa);
    dv_buf_free(&wc);
    dv_graph_free(&a);
    dv_graph_free(&b);
    dv_graph_free(&c);
    dv_quant_close(&q);
}

/* A net in half precision goes out as floats: the same as it gives where there are no halves. */
static void check_half(const dv_graph *g, const char *net)
{
    int64_t dims[4] = {1, 1, 1, 1};
    const int64_t *row = dims;
    size_t layers = 0;
    dv_quant *q = NULL;
    dv_graph h, b;
    dv_err e = {0};
    dv_kernels all = kernels;
    dv_graph_init(&h);
    dv_graph_init(&b);
    fix_dims(g, dims);
    dv_kernels_init(&kernels, 0);
    if (good(!dv_quant_open(g, &row, &kernels, NULL, 0, 0, &q, &e) &&
                 !dv_quant_half(q, &h, &layers, &e),
             net, e.msg) &&
        again(&h, net, false, &b)) {
        double d = distance(&h, &b, net);
        printf("    %zu layers in half precision, largest difference %.2e\n", layers, d);
        good(layers > 0 && d <= 1e-5, net, "the exported net computes something else");
    }
    dv_graph_free(&h);
    dv_graph_free(&b);
    dv_quant_close(&q);
    kernels = all;
}

static void check_net(const char *net, const uint8_t *data, size_t size)
{
    dv_graph g;
    dv_err e = {0};
    dv_graph_init(&g);
    if (good(!dv_import_onnx(data, size, net, NULL, &g, &e), net, e.msg))
        check_float(&g, net);
    if (g.n_nodes)
        check_bytes(&g, net);
    if (strstr(net, "mobilefacenet") || strstr(net, "edgeface_xxs") || strstr(net, "feature"))
        check_half(&g, net);
    dv_graph_free(&g);
}

int main(int argc, char **argv)
{
    static const char *const folders[][2] = {
        {"DOMOVOI_SHARED", "models"},
        {"DOMOVOI_CACHE", "onnx"},
    };
    int found = 0;
    keep = argc > 1 ? argv[1] : NULL;
    dv_kernels_init(&kernels, ~0u);
    for (size_t i = 0; i < DV_COUNT(nets); i++) {
        uint8_t *data = NULL;
        size_t size = 0;
        for (size_t k = 0; k < DV_COUNT(folders) && !data; k++) {
            char path[1024];
            dv_err e = {0};
            const char *root = getenv(folders[k][0]);
            snprintf(path, sizeof path, "%s/%s/%s", root ? root : ".", folders[k][1], nets[i]);
            if (dv_read_file(path, (size_t)1 << 30, &data, &size, &e) != DMV_OK)
                data = NULL;
        }
        if (!data)
            continue;
        found++;
        check_net(nets[i], data, size);
        dv_free(data);
    }
    printf("%d of %zu nets found, %d failures\n", found, DV_COUNT(nets), failures);
    if (failures)
        return 1;
    return found ? 0 : 77;
}
