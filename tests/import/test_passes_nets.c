/* SPDX-License-Identifier: Apache-2.0
 *
 * test_passes_nets.c - the graph passes on real nets: each is imported with and without them; both
 * must compute the same (1e-4 of the largest value), and the optimised one must be as
 * small as is known to be possible. Nets that are not there are named; if none is, the test is
 * skipped.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/import.h"

typedef struct net {
    const char *path;
    int transposes; /* at most; one for the input is normal, more for outputs in NCHW */
    int nodes;      /* at most */
} net;

static const net nets[] = {
    {"models/detect/yunet_n_640_640.onnx", 1, 80},
    {"models/detect/yunet_n_dynamic.onnx", 1, 80},
    {"models/detect/ulfg_version-RFB-320_without_postprocessing.onnx", 1, 65},
    {"models/embed/mobilefacenet.onnx", 1, 53},
    {"models/embed/edgeface_xs.onnx", 9, 130},   /* four in each of two attention blocks */
    {"models/embed/edgeface_xxs.onnx", 13, 137}, /* and of three */
    {"models/person/FastestDet.onnx", 2, 121},
};

static float *values(size_t n)
{
    float *v = dv_malloc(n * sizeof(*v));
    uint32_t s = 1;
    for (size_t i = 0; v && i < n; i++) {
        s = s * 1664525u + 1013904223u;
        v[i] = (float)(s >> 8) / (float)(1 << 23) - 1;
    }
    return v;
}

static dv_exec *run(const dv_graph *g, const dv_kernels *k, int64_t size, dv_err *e)
{
    dv_exec *x = NULL;
    int64_t d[DMV_MAX_RANK];
    const int64_t *dims = d;
    const dv_gtensor *in = &g->tensors[g->inputs[0]];
    for (int i = 0; i < in->rank; i++)
        d[i] = in->dims[i] < 0 ? size + 32 * i : in->dims[i];
    if (dv_exec_open(g, k, NULL, &x, e) || dv_exec_shape(x, &dims, e)) {
        dv_exec_close(&x);
        return NULL;
    }
    size_t n = x->v[g->inputs[0]].count;
    float *v = values(n);
    if (!v) {
        dv_exec_close(&x);
        return NULL;
    }
    memcpy(dv_exec_input(x, 0), v, n * sizeof(*v));
    dv_free(v);
    dv_exec_run(x);
    return x;
}

/* The largest difference, relative to the largest value of its output; -1 = not alike. */
static double difference(const dv_graph *a, const dv_graph *b, const dv_exec *x, const dv_exec *y)
{
    double worst = 0;
    if (a->n_outputs != b->n_outputs)
        return -1;
    for (size_t o = 0; o < a->n_outputs; o++) {
        const dv_value *p = dv_exec_output(x, o), *q = dv_exec_output(y, o);
        const char *s = a->tensors[a->outputs[o]].name, *t = b->tensors[b->outputs[o]].name;
        if (p->rank != q->rank || memcmp(p->dims, q->dims, (size_t)p->rank * sizeof(p->dims[0])) ||
            !s || !t || strcmp(s, t))
            return -1;
        double top = 1e-9, diff = 0;
        for (size_t i = 0; i < p->count; i++) {
            if (!isfinite(p->f[i]) || !isfinite(q->f[i]))
                return -1;
            top = fmax(top, fabs((double)p->f[i]));
            diff = fmax(diff, fabs((double)p->f[i] - (double)q->f[i]));
        }
        worst = fmax(worst, diff / top);
    }
    return worst;
}

/* 0 = fine, 1 = wrong, 77 = not there */
static int check(const net *n, const char *root, const dv_kernels *k)
{
    char path[1024];
    uint8_t *data = NULL;
    size_t size;
    dv_err e = {0};
    dv_graph a, b;
    int result = 1;
    snprintf(path, sizeof path, "%s/%s", root, n->path);
    if (dv_read_file(path, (size_t)1 << 30, &data, &size, NULL))
        return 77;
    dv_import_options plain = {.no_passes = true}, passes = {.no_passes = false};
    dv_graph_init(&a);
    dv_graph_init(&b);
    if (dv_import_onnx(data, size, n->path, &plain, &a, &e) ||
        dv_import_onnx(data, size, n->path, &passes, &b, &e)) {
        printf("%s: %s\n", n->path, e.msg);
    } else {
        int transposes = 0;
        for (size_t i = 0; i < b.n_nodes; i++)
            transposes += b.nodes[i].op == DV_OP_TRANSPOSE;
        result = 0;
        for (int64_t size2 = 64; size2 <= 160; size2 += 96) {
            dv_exec *x = run(&a, k, size2, &e), *y = run(&b, k, size2, &e);
            double d = x && y ? difference(&a, &b, x, y) : -1;
            if (!x || !y)
                printf("%s: %s\n", n->path, e.msg);
            dv_exec_close(&x);
            dv_exec_close(&y);
            printf("%s: %zu nodes -> %zu, %d Transposes, difference %.2g\n", n->path, a.n_nodes,
                   b.n_nodes, transposes, d);
            if (!(d >= 0 && d <= 1e-4) || transposes > n->transposes ||
                b.n_nodes > (size_t)n->nodes)
                result = 1;
            if (a.tensors[a.inputs[0]].dims[2] > 0)
                break; /* a fixed size */
        }
    }
    dv_graph_free(&a);
    dv_graph_free(&b);
    dv_free(data);
    return result;
}

int main(void)
{
    const char *root = getenv("DOMOVOI_SHARED");
    int checked = 0, wrong = 0;
    dv_kernels k;
    dv_kernels_init(&k, dv_cpu_detect());
    for (size_t i = 0; root && i < DV_COUNT(nets); i++) {
        int r = check(&nets[i], root, &k);
        if (r == 77)
            printf("%s/%s is not there: not checked\n", root, nets[i].path);
        checked += r != 77;
        wrong += r == 1;
    }
    if (wrong)
        return 1;
    if (!checked)
        printf("skipped: no nets in DOMOVOI_SHARED (%s)\n", root ? root : "not set");
    return checked ? 0 : 77;
}
