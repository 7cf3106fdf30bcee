/* SPDX-License-Identifier: Apache-2.0
 *
 * Real detectors in two parts: at every layer that the motion layer offers, the feature is that of
 * a whole run and so are the outputs, bit by bit, in floats and in 8 bits, for one thread and two.
 * Without any detector the test is skipped (77).
 */
#include <stdlib.h>
#include <string.h>

#include "import/import.h"
#include "motion/motion.h"
#include "nn/bands.h"
#include "quant/quant.h"

enum { LAYERS = 128, SIDE = 320 };

static const char *const nets[] = {"detect/yunet_n_dynamic.onnx",
                                   "detect/ulfg_version-RFB-320_without_postprocessing.onnx",
                                   "person/FastestDet.onnx", "fr_detect.onnx"};
static int failures, bytes_seen;

static void check(bool ok, const char *net, const char *what, long at)
{
    if (ok)
        return;
    printf("FAIL %s: %s (%ld)\n", net, what, at);
    failures++;
}

static void fill(dv_exec *x, uint32_t seed)
{
    for (size_t i = 0; i < x->g->n_inputs; i++) {
        float *p = dv_exec_input(x, i);
        for (size_t k = 0; k < x->v[x->g->inputs[i]].count; k++) {
            seed = seed * 1664525u + 1013904223u;
            p[k] = (float)(seed >> 8) / (float)(1 << 23) - 1;
        }
    }
}

static const void *data_of(const dv_value *v)
{
    return v->dtype == DV_F32 ? (const void *)v->f : v->dtype == DV_U8 ? (const void *)v->q : v->h;
}

static dv_exec *shaped(const dv_graph *g, const int64_t *dims, dv_pool *pool, const dv_kernels *k,
                       size_t cut, int32_t feature, bool whole)
{
    dv_exec *x;
    dv_err e = {0};
    const int64_t *all[1] = {dims};
    if (dv_exec_open(g, k, pool, &x, &e) == DMV_OK) {
        x->cut = cut;
        x->feature = feature;
        x->whole = whole;
        if (dv_exec_shape(x, all, &e) == DMV_OK)
            return x;
    }
    printf("FAIL %s\n", e.msg);
    exit(1);
}

typedef struct keeper { /* what a whole run had in one tensor */
    int32_t tensor;
    void *data;
} keeper;

static void keep(void *user, const dv_exec *x, size_t step)
{
    keeper *k = user;
    for (int j = 0; j < x->g->nodes[step].n_out; j++)
        if (x->g->nodes[step].out[j] == k->tensor) {
            const dv_value *v = &x->v[k->tensor];
            const size_t n = v->count * dv_dtype_size(v->dtype);
            free(k->data);
            k->data = malloc(n);
            memcpy(k->data, data_of(v), n);
        }
}

/* Named, the model's own, the default. */
static void find(const char *net, const dv_graph *g, const dv_exec *x, const dv_motion_layer *l,
                 size_t n)
{
    dmv_model m = {.graph = *g};
    int32_t t = -1;
    dv_err e = {0};
    char step[32] = "";
    check(dv_motion_find_layer(&m, x, NULL, &t, &e) == DMV_OK && t == dv_motion_default_layer(l, n),
          net, "default layer", 0);
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].out[0] == l[n - 1].tensor)
            snprintf(step, sizeof step, "#%zu", i);
    check(dv_motion_find_layer(&m, x, step, &t, &e) == DMV_OK && t == l[n - 1].tensor, net,
          "layer by its step", 0);
    check(dv_meta_set_text(&m.meta, "motion_layer", step), net, "out of memory", 0);
    check(dv_motion_find_layer(&m, x, NULL, &t, &e) == DMV_OK && t == l[n - 1].tensor, net,
          "the model's own layer", 0);
    check(dv_motion_find_layer(&m, x, "no such thing", &t, &e) == DMV_ERR_NOT_FOUND && t < 0 &&
              strstr(e.msg, "motion probe"),
          net, "a name that is nobody's", 0);
    dv_meta_free(&m.meta);
}

static void split(const char *name, const dv_graph *g, const int64_t *dims, const dv_kernels *k,
                  dv_pool *pool)
{
    static dv_motion_layer l[LAYERS];
    size_t n = 0;
    dv_err e = {0};
    dv_exec *want = shaped(g, dims, NULL, k, 0, 0, true);
    check(dv_motion_layers(want, l, LAYERS, &n, &e) == DMV_OK, name, e.msg, 0);
    check(n > 0 && dv_motion_default_layer(l, n) >= 0, name, "no default layer", (long)n);
    find(name, g, want, l, n);
    for (size_t i = 0; i < n; i++) {
        dv_graph two;
        size_t prefix;
        keeper kept = {l[i].tensor, NULL};
        check(dv_graph_cut(g, l[i].tensor, &two, &prefix, &e) == DMV_OK, name, e.msg, (long)i);
        check(prefix == l[i].nodes, name, "steps of the first part", (long)prefix);
        want->seen = keep;
        want->seen_user = &kept;
        fill(want, (uint32_t)i);
        dv_exec_run(want);
        for (int threads = 0; threads < 2; threads++) {
            dv_exec *x = shaped(&two, dims, threads ? pool : NULL, k, prefix, l[i].tensor, false);
            const dv_value *v = &x->v[l[i].tensor];
            const size_t bytes = v->count * dv_dtype_size(v->dtype);
            fill(x, (uint32_t)i);
            dv_exec_run_part(x, 0, prefix);
            check(memcmp(data_of(v), kept.data, bytes) == 0, name, "the feature", (long)i);
            dv_exec_run_part(x, prefix, two.n_nodes);
            check(memcmp(data_of(v), kept.data, bytes) == 0, name, "the feature later", (long)i);
            bytes_seen += v->dtype == DV_U8;
            for (size_t o = 0; o < g->n_outputs; o++) {
                const dv_value *a = dv_exec_output(want, o), *b = dv_exec_output(x, o);
                check(a->count == b->count &&
                          memcmp(data_of(a), data_of(b), a->count * dv_dtype_size(a->dtype)) == 0,
                      name, "output", (long)o);
            }
            dv_exec_close(&x);
        }
        free(kept.data);
        dv_graph_free(&two);
    }
    printf("%s: %zu layers, %zu outputs\n", name, n, g->n_outputs);
    dv_exec_close(&want);
}

static void quantised(const char *name, const dv_graph *g, const int64_t *dims, const dv_kernels *k,
                      dv_pool *pool)
{
    dv_quant *q;
    dv_graph small;
    dv_err e = {0};
    const int64_t *all[1] = {dims};
    const dv_quant_options o = {.method = DV_CALIB_MINMAX};
    dv_exec *x = shaped(g, dims, NULL, k, 0, 0, false);
    check(dv_quant_open(g, all, k, NULL, 0, 0, &q, &e) == DMV_OK, name, e.msg, 0);
    fill(x, 99);
    const float *in[1] = {dv_exec_input(x, 0)};
    check(dv_quant_add(q, in, &e) == DMV_OK, name, e.msg, 0);
    if (dv_quant_build(q, &o, &small, &e) == DMV_OK) {
        split("  in 8 bits", &small, dims, k, pool);
        dv_graph_free(&small);
    } else {
        check(false, name, e.msg, 0);
    }
    dv_quant_close(&q);
    dv_exec_close(&x);
}

int main(void)
{
    static const char *const folders[][2] = {{"DOMOVOI_SHARED", "models"},
                                             {"DOMOVOI_CACHE", "onnx"}};
    static dv_kernels k;
    dv_pool *pool = NULL;
    dv_err e = {0};
    int found = 0;
    dv_kernels_init(&k, dv_cpu_detect());
    check(dv_pool_open(2, &pool, &e) == DMV_OK, "pool", e.msg, 0);
    for (size_t i = 0; i < DV_COUNT(nets); i++)
        for (size_t f = 0; f < DV_COUNT(folders); f++) {
            char path[1024];
            uint8_t *data;
            size_t size;
            dv_graph g;
            const char *root = getenv(folders[f][0]);
            snprintf(path, sizeof path, "%s/%s/%s", root ? root : ".", folders[f][1], nets[i]);
            if (dv_read_file(path, (size_t)1 << 30, &data, &size, &e) != DMV_OK)
                continue;
            if (dv_import_onnx(data, size, nets[i], NULL, &g, &e) == DMV_OK) {
                int64_t dims[4];
                for (int d = 0; d < 4; d++) {
                    const int64_t own = g.tensors[g.inputs[0]].dims[d];
                    dims[d] = own > 0 ? own : d < 2 ? 1 : SIDE;
                }
                split(nets[i], &g, dims, &k, pool);
                quantised(nets[i], &g, dims, &k, pool);
                dv_graph_free(&g);
                found++;
            } else {
                check(false, nets[i], e.msg, 0);
            }
            dv_free(data);
        }
    dv_pool_close(&pool);
    check(!found || bytes_seen > 0, "8 bits", "no feature was in bytes", bytes_seen);
    printf("%d detectors, %d failures\n", found, failures);
    return failures ? 1 : found ? 0 : 77;
}
