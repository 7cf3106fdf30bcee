/* SPDX-License-Identifier: Apache-2.0
 *
 * qdq.c - exported nets in ONNX Runtime.
 *
 *   qdq make FOLDER NET.onnx...   imports each net, quantises it on random inputs, exports both
 *                                 forms to FOLDER and writes inputs for ort.cjs
 *   qdq check FOLDER              runs our nets on the same inputs
 *
 * Of the 8-bit nets every 8-bit tensor is an output, too, and the share of bytes that are the same
 * is counted. ONNX Runtime rounds as we do, but sums that it computes in floats (residuals,
 * PReLU, whatever it does not fuse) may fall on the other side of an edge between two bytes, and
 * what follows then differs by a step here and there, more with every layer. So there is a third
 * form, NAME-ops: every 8-bit op by itself, on inputs that are our results. There bytes may only
 * differ on such edges, by one step.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "export/export.h"
#include "import/import.h"
#include "quant/quant.h"

#define FLOAT_LIMIT 1e-4 /* of the largest value, as in compare.c */
#define COSINE_LIMIT 0.98
#define SAME_LIMIT 0.9999 /* share of bytes, op by op */
#define MAX_OUTS 200

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "qdq: %s: %s\n", what, why);
    return 1;
}

static bool put(const char *folder, const char *name, const char *end, const void *p, size_t size)
{
    char path[1200];
    dv_err e = {0};
    snprintf(path, sizeof path, "%s/%s%s", folder, name, end);
    return !dv_write_file(path, p, size, &e) || fail(path, e.msg) == 0;
}

static float *get(const char *folder, const char *name, const char *end, size_t *n)
{
    char path[1200];
    dv_err e = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s%s", folder, name, end);
    if (dv_read_file(path, (size_t)1 << 30, &data, &size, &e))
        fail(path, e.msg);
    *n = size / sizeof(float);
    return (float *)(void *)data; /* malloc'ed: aligned */
}

/* ---- make ---- */

/* A picture of waves, rows of w numbers: nets see something like light and shade. */
static void waves(float *v, size_t n, size_t w, uint32_t seed)
{
    float a[12];
    for (int i = 0; i < 12; i++) {
        seed = seed * 1664525u + 1013904223u;
        a[i] = (float)(seed >> 8) / (float)(1 << 24);
    }
    for (size_t i = 0; i < n; i++) {
        float x = (float)(i % w) / (float)w, y = (float)(i / w) / (float)w, sum = 0;
        for (int k = 0; k < 12; k += 3)
            sum += sinf(6.2831853F *
                        (a[k] * (float)(k + 1) * x + a[k + 1] * (float)(k + 1) * y + a[k + 2]));
        v[i] = fmaxf(-1, fminf(1, 0.4F * sum));
    }
}

static size_t input_dims(const dv_graph *g, int64_t dims[4])
{
    const dv_gtensor *t = &g->tensors[g->inputs[0]];
    size_t n = 1;
    for (int i = 0; i < 4; i++) {
        dims[i] = i >= t->rank ? 1 : t->dims[i] > 0 ? t->dims[i] : i == 2 ? 160 : i == 3 ? 192 : 1;
        n *= (size_t)dims[i];
    }
    return n;
}

/* A Dequantize and an output for every 8-bit tensor. */
static bool show_bytes(dv_graph *g)
{
    int32_t out[MAX_OUTS];
    size_t n = g->n_outputs, tensors = g->n_tensors;
    memcpy(out, g->outputs, n * sizeof *out);
    for (size_t i = 0; i < tensors && n < MAX_OUTS; i++) {
        char name[32];
        int32_t t = (int32_t)i;
        if (g->tensors[i].dtype != DV_U8)
            continue;
        snprintf(name, sizeof name, "bytes%zu", i);
        int64_t dims[DMV_MAX_RANK];
        memcpy(dims, g->tensors[i].dims, sizeof dims);
        out[n] = dv_graph_add_tensor(g, name, DV_F32, g->tensors[i].rank, dims);
        if (out[n] < 0 || dv_graph_add_node(g, DV_OP_DEQUANTIZE, NULL, 1, &t, 1, &out[n]) < 0)
            return false;
        n++;
    }
    int32_t in = g->inputs[0];
    return dv_graph_set_io(g, &in, 1, out, n);
}

static bool quantised(const dv_graph *g, dv_graph *out, dv_err *e)
{
    int64_t dims[4];
    const int64_t *row = dims;
    size_t n = input_dims(g, dims);
    dv_kernels k;
    dv_quant *q = NULL;
    dv_kernels_init(&k, ~0u);
    float *v = malloc(n * sizeof *v);
    const float *one = v;
    bool ok = v && !dv_quant_open(g, &row, &k, NULL, 0, 0, &q, e);
    for (uint32_t s = 0; ok && s < 4; s++) {
        waves(v, n, (size_t)dims[3], 77 + s);
        ok = !dv_quant_add(q, &one, e);
    }
    dv_quant_options o = {.method = DV_CALIB_MSE, .fix_bias = true};
    ok = ok && !dv_quant_build(q, &o, out, e);
    dv_quant_close(&q);
    free(v);
    return ok;
}

static bool run(const dv_graph *g, const float *in, size_t n, dv_exec **x, const dv_kernels *k);

/* What a run of g on the first input gives, and the 8-bit tensors behind: those that a Dequantize
 * makes an output of. */
typedef struct shown {
    int32_t tensor, output;
    int rank;
    int64_t dims[DMV_MAX_RANK];
} shown;

static size_t show(const dv_graph *g, dv_buf *values, shown *all, size_t most)
{
    int64_t dims[4];
    size_t n = input_dims(g, dims), count = 0;
    dv_kernels k;
    dv_exec *x = NULL;
    dv_kernels_init(&k, ~0u);
    float *v = malloc(n * sizeof *v);
    if (v) {
        waves(v, n, (size_t)dims[3], 3);
        dv_buf_put(values, v, n * sizeof *v);
    }
    bool ok = v && run(g, v, n, &x, &k);
    for (size_t i = 0; ok && i < g->n_outputs && count < most; i++)
        for (size_t j = 0; j < g->n_nodes; j++) {
            if (g->nodes[j].op != DV_OP_DEQUANTIZE || g->nodes[j].out[0] != g->outputs[i])
                continue;
            const dv_value *o = dv_exec_output(x, i);
            all[count] = (shown){g->nodes[j].in[0], g->outputs[i], o->rank, {0}};
            memcpy(all[count++].dims, o->dims, sizeof o->dims);
            dv_buf_put(values, o->f, o->count * sizeof(float));
        }
    dv_exec_close(&x);
    free(v);
    return count;
}

/* Cuts the net behind 8-bit tensors: what read one of them reads a new input instead, whose values
 * are those of a run on the first input. At most as many as a net may have inputs; these are the
 * outputs, too. values: all inputs one after the other. */
static bool cut(dv_graph *g, dv_buf *values)
{
    static shown all[DV_MAX_IO];
    int32_t in[DV_MAX_IO], out[MAX_OUTS];
    size_t count = show(g, values, all, DV_MAX_IO - 1);
    in[0] = g->inputs[0];
    for (size_t i = 0; i < count; i++) {
        char name[32];
        const shown *s = &all[i];
        snprintf(name, sizeof name, "in%zu", i);
        int32_t f = dv_graph_add_tensor(g, name, DV_F32, s->rank, s->dims);
        int32_t b = dv_graph_add_tensor(g, NULL, DV_U8, s->rank, s->dims);
        if (f < 0 || b < 0 || dv_graph_add_node(g, DV_OP_QUANTIZE, NULL, 1, &f, 1, &b) < 0)
            return false;
        g->tensors[b].scale = g->tensors[s->tensor].scale;
        g->tensors[b].zero = g->tensors[s->tensor].zero;
        for (size_t j = 0; j < g->n_nodes; j++)
            for (int a = 0; a < g->nodes[j].n_in && g->nodes[j].out[0] != s->output; a++)
                if (g->nodes[j].in[a] == s->tensor)
                    g->nodes[j].in[a] = b;
        in[i + 1] = f;
        out[i] = s->output;
        /* the new Quantize runs first */
        dv_node last = g->nodes[g->n_nodes - 1];
        memmove(g->nodes + 1, g->nodes, (g->n_nodes - 1) * sizeof last);
        g->nodes[0] = last;
    }
    return !values->bad && dv_graph_set_io(g, in, count + 1, out, count);
}

/* NAME.dmv, NAME.onnx, NAME.in and a line for ort.cjs. */
static bool put_case(const char *folder, const char *name, const dv_graph *g, const dv_buf *in,
                     dv_buf *cases, dv_err *e)
{
    dv_meta none = {0};
    uint8_t *onnx = NULL, *dmv = NULL;
    size_t onnx_size, dmv_size;
    bool ok = !dv_export_onnx(g, NULL, &onnx, &onnx_size, NULL, e) &&
              !dv_dmv_encode(g, &none, &dmv, &dmv_size, e) &&
              put(folder, name, ".onnx", onnx, onnx_size) &&
              put(folder, name, ".dmv", dmv, dmv_size) &&
              put(folder, name, ".in", in->data, in->size);
    dv_buf_printf(cases, "%s\t%s/%s.onnx\t", name, folder, name);
    for (size_t i = 0; i < g->n_inputs; i++)
        dv_buf_printf(cases, "%s%s", i ? "," : "", g->tensors[g->inputs[i]].name);
    for (size_t i = 0; i < g->n_inputs; i++) {
        int64_t d[4];
        const dv_gtensor *t = &g->tensors[g->inputs[i]];
        input_dims(g, d);
        for (int k = 0; k < t->rank; k++)
            dv_buf_printf(cases, "%s%lld",
                          k   ? "x"
                          : i ? ","
                              : "\t",
                          (long long)(i ? t->dims[k] : d[k]));
    }
    dv_buf_printf(cases, "\n");
    dv_free(onnx);
    dv_free(dmv);
    return ok && !cases->bad;
}

static bool first_input(const dv_graph *g, dv_buf *in)
{
    int64_t d[4];
    size_t n = input_dims(g, d);
    float *v = malloc(n * sizeof *v);
    if (!v)
        return false;
    waves(v, n, (size_t)d[3], 3);
    dv_buf_put(in, v, n * sizeof *v);
    free(v);
    return !in->bad;
}

static bool make_net(const char *folder, const char *path, dv_buf *cases)
{
    dv_err e = {0};
    uint8_t *data = NULL;
    size_t size;
    dv_graph g, b;
    dv_buf in = {0}, all = {0};
    char name[80];
    const char *slash = strrchr(path, '/');
    dv_graph_init(&g);
    dv_graph_init(&b);
    snprintf(name, sizeof name, "%.60s", slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot)
        *dot = 0;
    bool ok = !dv_read_file(path, (size_t)1 << 30, &data, &size, &e) &&
              !dv_import_onnx(data, size, path, NULL, &g, &e) && first_input(&g, &in) &&
              put_case(folder, name, &g, &in, cases, &e);
    memcpy(name + strlen(name), "-q8", 4);
    ok =
        ok && quantised(&g, &b, &e) && show_bytes(&b) && put_case(folder, name, &b, &in, cases, &e);
    memcpy(name + strlen(name) - 3, "-ops", 5);
    ok = ok && cut(&b, &all) && put_case(folder, name, &b, &all, cases, &e);
    if (!ok)
        fail(path, e.msg);
    dv_buf_free(&in);
    dv_buf_free(&all);
    dv_free(data);
    dv_graph_free(&g);
    dv_graph_free(&b);
    return ok;
}

static int make(int argc, char **argv)
{
    dv_buf cases = {0};
    bool ok = argc > 1;
    for (int i = 1; i < argc; i++)
        ok = make_net(argv[0], argv[i], &cases) && ok;
    ok = ok && !cases.bad && put(argv[0], "cases", ".txt", cases.data, cases.size);
    dv_buf_free(&cases);
    return ok ? 0 : 1;
}

/* ---- check ---- */

typedef struct sums {
    double ff, bb, fb, diff, top;
    size_t bytes, same, far; /* far: more than one step away */
} sums;

static bool run(const dv_graph *g, const float *in, size_t n, dv_exec **x, const dv_kernels *k)
{
    dv_err e = {0};
    int64_t dims[4];
    const int64_t *rows[DV_MAX_IO];
    size_t at = 0;
    input_dims(g, dims);
    for (size_t i = 0; i < g->n_inputs; i++)
        rows[i] = i ? g->tensors[g->inputs[i]].dims : dims;
    if (dv_exec_open(g, k, NULL, x, &e) || dv_exec_shape(*x, rows, &e))
        return fail("net", e.msg) == 0;
    for (size_t i = 0; i < g->n_inputs; i++) {
        size_t count = (*x)->v[g->inputs[i]].count;
        if (at + count > n)
            return fail("input", "too short") == 0;
        memcpy(dv_exec_input(*x, i), in + at, count * sizeof *in);
        at += count;
    }
    dv_exec_run(*x);
    return at == n || fail("input", "too long") == 0;
}

/* The 8-bit tensor behind a Dequantize that makes output t, or NULL. */
static const dv_gtensor *bytes_of(const dv_graph *g, int32_t t)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == DV_OP_DEQUANTIZE && g->nodes[i].out[0] == t)
            return &g->tensors[g->nodes[i].in[0]];
    return NULL;
}

static bool compare(const dv_exec *x, const char *folder, const char *name, sums *s)
{
    for (size_t i = 0; i < x->g->n_outputs; i++) {
        char end[32];
        size_t n;
        const dv_value *o = dv_exec_output(x, i);
        const dv_gtensor *b = bytes_of(x->g, x->g->outputs[i]);
        snprintf(end, sizeof end, ".out.%zu", i);
        float *v = get(folder, name, end, &n);
        if (!v || n != o->count) {
            dv_free(v);
            return fail(name, "an output of another size") == 0;
        }
        for (size_t k = 0; k < n; k++) {
            double a = (double)o->f[k], c = (double)v[k], d = fabs(a - c);
            if (b) {
                s->bytes++;
                s->same += d < (double)b->scale / 2;
                s->far += !(d < (double)b->scale * 1.5);
                continue;
            }
            s->ff += a * a;
            s->bb += c * c;
            s->fb += a * c;
            if (!(d <= s->diff))
                s->diff = d;
            s->top = fmax(s->top, fabs(c));
        }
        dv_free(v);
    }
    return true;
}

/* A squeeze-excite whose weights are so large that the last bit of a sum decides between 0 and 1
 * (fr_liveness: 1e17 and more). There is nothing to compare then. */
static bool has_wild_gates(const dv_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 1; k < g->nodes[i].n_in; k++) {
            const dv_gtensor *t = dv_const_in(g, &g->nodes[i], k);
            for (size_t j = 0; t && t->dtype == DV_F32 && j < t->size / sizeof(float); j++)
                if (fabsf(((const float *)t->data)[j]) > 1e9F)
                    return true;
        }
    return false;
}

static bool is_8bit(const dv_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == DV_OP_QUANTIZE)
            return true;
    return false;
}

static bool check_case(const char *folder, const char *name, const dv_kernels *k)
{
    char path[1200];
    dv_err e = {0};
    dv_map map = {0};
    dmv_model *m = NULL;
    dv_exec *x = NULL;
    size_t n;
    sums s = {0};
    snprintf(path, sizeof path, "%s/%s.dmv", folder, name);
    float *in = get(folder, name, ".in", &n);
    bool ok = in != NULL;
    if (ok && (dv_map_open(path, &map, &e) || dv_dmv_parse(map.data, map.size, path, &m, &e)))
        ok = fail(path, e.msg) == 0;
    ok = ok && run(&m->graph, in, n, &x, k) && compare(x, folder, name, &s);
    if (ok) {
        double cosine = s.ff > 0 ? s.fb / sqrt(s.ff * s.bb) : 1,
               off = s.top > 0 ? s.diff / s.top : 0;
        printf("%-54s %9.1e %10.7f", name, off, cosine);
        if (s.bytes)
            printf(" %10zu %9.5f%% %6zu", s.bytes, 100 * (double)s.same / (double)s.bytes, s.far);
        bool wild = is_8bit(&m->graph) && has_wild_gates(&m->graph);
        printf("%s\n", wild ? "  (wild gates: not judged)" : "");
        if (wild)
            ok = true;
        else if (strstr(name, "-ops"))
            ok = s.far == 0 && (double)s.same >= SAME_LIMIT * (double)s.bytes;
        else
            ok = is_8bit(&m->graph) ? cosine > COSINE_LIMIT : off <= FLOAT_LIMIT;
        if (!ok)
            fail(name, "not what ONNX Runtime computes");
    }
    dv_exec_close(&x);
    dmv_model_close(&m);
    dv_map_close(&map);
    dv_free(in);
    return ok;
}

static int check(const char *folder)
{
    char path[1200], line[8192], name[100];
    int bad = 0, cases = 0;
    dv_kernels k;
    dv_kernels_init(&k, ~0u);
    snprintf(path, sizeof path, "%s/cases.txt", folder);
    FILE *f = fopen(path, "r");
    if (!f)
        return fail(path, "cannot be read");
    printf("%-54s %9s %10s %10s %10s %6s\n", "exported net", "off", "cosine", "bytes", "the same",
           "far");
    while (fgets(line, sizeof line, f)) {
        bad += sscanf(line, "%99[^\t]", name) != 1 || !check_case(folder, name, &k);
        cases++;
    }
    fclose(f);
    printf("%d cases, %d bad\n", cases, bad);
    return cases > 0 && bad == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 3 && !strcmp(argv[1], "make"))
        return make(argc - 2, argv + 2);
    if (argc == 3 && !strcmp(argv[1], "check"))
        return check(argv[2]);
    fprintf(stderr, "usage: qdq make FOLDER NET.onnx... | check FOLDER\n");
    return 2;
}
