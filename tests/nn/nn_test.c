/* SPDX-License-Identifier: Apache-2.0
 *
 * nn_test.c - graphs for tests and the runner that compares every way of running them.
 */
#include "nn_test.h"

#include <math.h>
#include <string.h>

/* ---- numbers ---- */

static uint64_t state = 88172645463325252u;

void nt_seed(uint64_t seed)
{
    state = seed * 2654435769u + 88172645463325252u;
}

uint64_t nt_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 2685821657736338717u;
}

int64_t nt_int(int64_t lo, int64_t hi)
{
    return lo + (int64_t)((nt_random() >> 16) % (uint64_t)(hi - lo + 1));
}

float nt_float(float lo, float hi)
{
    return lo + (hi - lo) * (float)(nt_random() >> 40) / (float)(1 << 24);
}

bool nt_chance(int percent)
{
    return nt_int(0, 99) < percent;
}

/* ---- graphs ---- */

typedef struct block {
    struct block *next;
    double room[];
} block;

void nt_open(nt_net *n)
{
    memset(n, 0, sizeof *n);
    dv_graph_init(&n->g);
}

void nt_close(nt_net *n)
{
    dv_graph_free(&n->g);
    for (block *b = n->blocks, *next; b; b = next) {
        next = b->next;
        dv_free(b);
    }
    memset(n, 0, sizeof *n);
}

void *nt_mem(nt_net *n, size_t bytes)
{
    block *b = dv_calloc(1, sizeof *b + bytes);
    assert_non_null(b);
    b->next = n->blocks;
    n->blocks = b;
    return b->room;
}

float *nt_floats(nt_net *n, size_t count, float lo, float hi)
{
    float *p = nt_mem(n, count * sizeof *p);
    for (size_t i = 0; i < count; i++)
        p[i] = nt_float(lo, hi);
    return p;
}

size_t nt_count(int rank, const int64_t *dims)
{
    size_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= (size_t)dims[i];
    return n;
}

nt_array nt_want(nt_net *n, int rank, const int64_t *dims)
{
    nt_array a = {.rank = rank, .n = nt_count(rank, dims)};
    memcpy(a.dims, dims, (size_t)rank * sizeof *dims);
    a.v = nt_mem(n, a.n * sizeof *a.v);
    return a;
}

int32_t nt_input(nt_net *n, int rank, const int64_t *dims, const float *data)
{
    char name[8];
    int64_t given[DMV_MAX_RANK];
    assert_true(n->n_in < NT_INPUTS);
    for (int i = 0; i < rank; i++) {
        given[i] = dims[i] < 0 ? -1 : dims[i];
        n->dims[n->n_in][i] = dims[i] < 0 ? -dims[i] : dims[i];
    }
    snprintf(name, sizeof name, "in%zu", n->n_in);
    int32_t t = dv_graph_add_tensor(&n->g, name, DV_F32, rank, given);
    assert_true(t >= 0);
    n->in[n->n_in] = t;
    n->data[n->n_in++] = data;
    return t;
}

int32_t nt_const(nt_net *n, int rank, const int64_t *dims, const float *data)
{
    int32_t t = dv_graph_add_const(&n->g, "w", DV_F32, rank, dims, data);
    assert_true(t >= 0);
    return t;
}

int32_t nt_ints_nd(nt_net *n, int rank, const int64_t *dims, const int64_t *v)
{
    int32_t t = dv_graph_add_const(&n->g, NULL, DV_I64, rank, dims, v);
    assert_true(t >= 0);
    return t;
}

int32_t nt_ints(nt_net *n, int64_t count, const int64_t *v)
{
    return nt_ints_nd(n, 1, &count, v);
}

int32_t nt_tensor(nt_net *n, dv_dtype t)
{
    int32_t id = dv_graph_add_tensor(&n->g, NULL, t, 0, NULL);
    assert_true(id >= 0);
    return id;
}

dv_node *nt_node(nt_net *n, uint16_t op, int n_in, const int32_t *in, int n_out, const int32_t *out)
{
    int32_t id = dv_graph_add_node(&n->g, op, "node", n_in, in, n_out, out);
    assert_true(id >= 0);
    return &n->g.nodes[id];
}

dv_node *nt_op(nt_net *n, uint16_t op, int n_in, const int32_t *in, int32_t *out)
{
    *out = nt_tensor(n, DV_F32);
    return nt_node(n, op, n_in, in, 1, out);
}

/* ---- packing ---- */

static void pack_panels(const float *w, size_t k, size_t n, size_t groups, float *out)
{
    size_t each = n / groups, wide = dv_round_up(each, 16);
    for (size_t g = 0; g < groups; g++)
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < wide; j++)
                out[g * k * wide + j / 16 * k * 16 + i * 16 + j % 16] =
                    j < each ? w[i * n + g * each + j] : 0;
}

static void pack_rows(const float *w, size_t k, size_t n, float *out)
{
    size_t wide = dv_round_up(n, 16);
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < wide; j++)
            out[i * wide + j] = j < n ? w[i * n + j] : 0;
}

static void pack_input(dv_graph *g, dv_node *node, int i, dv_pack pack, int64_t groups)
{
    if (i >= node->n_in || node->in[i] < 0)
        return;
    const dv_gtensor t = g->tensors[node->in[i]];
    size_t bytes, n = (size_t)t.dims[t.rank - 1], k = nt_count(t.rank - 1, t.dims);
    if (t.pack != DV_PACK_NONE)
        return;
    assert_true(dv_tensor_bytes(DV_F32, pack, t.rank, t.dims, groups, &bytes));
    float *p = dv_alloc_aligned(bytes);
    assert_non_null(p);
    if (pack == DV_PACK_PANEL)
        pack_panels(t.data, k, n, (size_t)groups, p);
    else
        pack_rows(t.data, k, n, p);
    int32_t id = dv_graph_add_tensor(g, t.name, DV_F32, t.rank, t.dims);
    assert_true(id >= 0);
    g->tensors[id].pack = pack;
    g->tensors[id].data = p;
    g->tensors[id].size = bytes;
    g->tensors[id].owned = true;
    node->in[i] = id;
}

void nt_pack(dv_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        dv_node *n = &g->nodes[i];
        switch (n->op) {
        case DV_OP_CONV: {
            const dv_gtensor *w = &g->tensors[n->in[1]];
            int64_t groups = dv_node_int(n, DV_A_GROUP, 1);
            bool dw = groups > 1 && w->dims[2] == 1 && w->dims[3] == groups;
            pack_input(g, n, 1, dw ? DV_PACK_DW : DV_PACK_PANEL, dw ? 1 : groups);
            pack_input(g, n, 2, DV_PACK_VEC, 1);
            pack_input(g, n, 3, DV_PACK_VEC, 1);
            break;
        }
        case DV_OP_CONV_TRANSPOSE:
        case DV_OP_LINEAR:
            pack_input(g, n, 1, DV_PACK_PANEL, 1);
            pack_input(g, n, 2, DV_PACK_VEC, 1);
            pack_input(g, n, 3, DV_PACK_VEC, 1);
            break;
        case DV_OP_SE:
            pack_input(g, n, 1, DV_PACK_PANEL, 1);
            pack_input(g, n, 2, DV_PACK_VEC, 1);
            pack_input(g, n, 3, DV_PACK_PANEL, 1);
            pack_input(g, n, 4, DV_PACK_VEC, 1);
            break;
        default:
            break;
        }
    }
}

/* ---- running ---- */

static dv_kernels kernels[2];
static dv_pool *pool;

const dv_kernels *nt_kernels(bool best)
{
    if (!kernels[best].gemm_f32)
        dv_kernels_init(&kernels[best], best ? dv_cpu_detect() : 0);
    return &kernels[best];
}

dv_pool *nt_pool(void)
{
    if (!pool)
        assert_int_equal(dv_pool_open(3, &pool, NULL), DMV_OK);
    return pool;
}

void nt_shared_close(void)
{
    dv_pool_close(&pool);
}

void nt_poison(dv_exec *x)
{
    memset(x->arena, 0xff, x->arena_size);
    memset(x->scratch, 0xff, x->scratch_each * (size_t)dv_pool_size(x->pool));
}

static void compare(const dv_value *got, const nt_array *want, double tol, const char *label,
                    int way)
{
    if (got->rank != want->rank ||
        memcmp(got->dims, want->dims, (size_t)want->rank * sizeof *want->dims))
        fail_msg("%s, way %d: rank %d (%lld, %lld, ..), wanted %d (%lld, %lld, ..)", label, way,
                 got->rank, (long long)got->dims[0], (long long)got->dims[1], want->rank,
                 (long long)want->dims[0], (long long)want->dims[1]);
    for (size_t i = 0; i < want->n; i++) {
        double g = (double)got->f[i], w = want->v[i];
        if (g == w)
            continue;
        if (!(fabs(g - w) <= tol * (1 + fabs(w))))
            fail_msg("%s, way %d: element %zu of %zu is %.9g, wanted %.9g", label, way, i, want->n,
                     g, w);
    }
}

static void run_ways(const nt_net *n, const dv_graph *g, const nt_array *want, double tol,
                     const char *label, int packed)
{
    const int64_t *dims[NT_INPUTS];
    for (size_t i = 0; i < n->n_in; i++)
        dims[i] = n->dims[i];
    for (int way = 0; way < 4; way++) {
        dv_exec *x;
        dv_err e = {0};
        if (dv_exec_open(g, nt_kernels(way & 1), way & 2 ? nt_pool() : NULL, &x, &e))
            fail_msg("%s: %s", label, e.msg);
        if (dv_exec_shape(x, dims, &e))
            fail_msg("%s: %s", label, e.msg);
        nt_poison(x);
        for (size_t i = 0; i < n->n_in; i++)
            if (x->v[g->inputs[i]].count)
                memcpy(dv_exec_input(x, i), n->data[i], x->v[g->inputs[i]].count * sizeof(float));
        dv_exec_run(x);
        for (size_t i = 0; i < g->n_outputs; i++)
            compare(dv_exec_output(x, i), &want[i], tol, label, packed * 4 + way);
        dv_exec_close(&x);
        assert_null(x);
    }
}

void nt_check(nt_net *n, size_t n_out, const int32_t *out, const nt_array *want, double tol,
              const char *fmt, ...)
{
    char label[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(label, sizeof label, fmt, ap);
    va_end(ap);
    assert_true(dv_graph_set_io(&n->g, n->in, n->n_in, out, n_out));
    run_ways(n, &n->g, want, tol, label, 0);

    nt_pack(&n->g);
    const dv_meta none = {0};
    dmv_model *m = NULL;
    uint8_t *file = NULL;
    size_t size = 0;
    dv_err e = {0};
    if (dv_dmv_encode(&n->g, &none, &file, &size, &e) || dv_dmv_parse(file, size, "net", &m, &e))
        fail_msg("%s: %s", label, e.msg);
    run_ways(n, &m->graph, want, tol, label, 1);
    dmv_model_close(&m);
    dv_free(file);
}

void nt_refuses(nt_net *n, int32_t out, dmv_status code, const char *fmt, ...)
{
    char label[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(label, sizeof label, fmt, ap);
    va_end(ap);
    assert_true(dv_graph_set_io(&n->g, n->in, n->n_in, &out, 1));
    const int64_t *dims[NT_INPUTS];
    for (size_t i = 0; i < n->n_in; i++)
        dims[i] = n->dims[i];
    dv_exec *x;
    dv_err e = {0};
    dmv_status st = dv_exec_open(&n->g, nt_kernels(true), NULL, &x, &e);
    if (!st)
        st = dv_exec_shape(x, dims, &e);
    dv_exec_close(&x);
    if (st != code || !e.msg[0])
        fail_msg("%s: status %d (%s), wanted %d", label, (int)st, e.msg, (int)code);
}

/* ---- references ---- */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

double nt_act(int act, double x, double p, double q)
{
    switch (act) {
    case DV_ACT_CLIP:
        return fmin(fmax(x, p), q);
    case DV_ACT_LEAKY:
        return x < 0 ? x * p : x;
    case DV_ACT_SIGMOID:
        return sigmoid(x);
    case DV_ACT_TANH:
        return tanh(x);
    case DV_ACT_SWISH:
        return x * sigmoid(x);
    case DV_ACT_HSIGMOID:
        return fmin(fmax(p * x + q, 0), 1);
    case DV_ACT_HSWISH:
        return x * fmin(fmax(x / 6 + 0.5, 0), 1);
    case DV_ACT_GELU:
        return x / 2 * (1 + erf(x / sqrt(2)));
    case DV_ACT_ERF:
        return erf(x);
    case DV_ACT_EXP:
        return exp(x);
    case DV_ACT_LOG:
        return log(x);
    case DV_ACT_SQRT:
        return sqrt(x);
    case DV_ACT_ABS:
        return fabs(x);
    case DV_ACT_NEG:
        return -x;
    case DV_ACT_FLOOR:
        return floor(x);
    case DV_ACT_CEIL:
        return ceil(x);
    case DV_ACT_RECIP:
        return 1 / x;
    case DV_ACT_ELU:
        return x < 0 ? p * expm1(x) : x;
    case DV_ACT_SOFTPLUS:
        return log1p(exp(x));
    default:
        return x;
    }
}

void nt_unravel(size_t i, int rank, const int64_t *dims, int64_t *at)
{
    for (int d = rank - 1; d >= 0; d--) {
        at[d] = (int64_t)(i % (size_t)dims[d]);
        i /= (size_t)dims[d];
    }
}

size_t nt_ravel(int rank, const int64_t *dims, const int64_t *at)
{
    size_t i = 0;
    for (int d = 0; d < rank; d++)
        i = i * (size_t)dims[d] + (size_t)at[d];
    return i;
}
