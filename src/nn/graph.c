/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.c - building, freeing and looking into graphs. The checks that a graph from a
 * file must pass are in check.c. */
#include "nn/graph.h"

#include <string.h>

static const char *const op_names[DV_OP_COUNT] = {
    "None",
#define DV_OP(id, name) name,
#include "nn/ops.inc"
#undef DV_OP
};

const char *dv_op_name(uint16_t op)
{
    return op < DV_OP_COUNT ? op_names[op] : "unknown op";
}

void dv_graph_init(dv_graph *g)
{
    memset(g, 0, sizeof *g);
}

void dv_node_free(dv_node *n)
{
    for (int i = 0; i < n->n_attr; i++)
        dv_free(n->attr[i].v.i);
    dv_free(n->attr);
    dv_free(n->in);
    dv_free(n->out);
    dv_free(n->name);
    memset(n, 0, sizeof *n);
}

void dv_graph_free(dv_graph *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_tensors; i++) {
        dv_free(g->tensors[i].name);
        if (g->tensors[i].owned)
            dv_free((void *)(uintptr_t)g->tensors[i].data);
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        dv_node_free(&g->nodes[i]);
    dv_free(g->tensors);
    dv_free(g->nodes);
    dv_free(g->inputs);
    dv_free(g->outputs);
    memset(g, 0, sizeof *g);
}

int32_t dv_graph_add_tensor(dv_graph *g, const char *name, dv_dtype t, int rank,
                            const int64_t *dims)
{
    if (rank < 0 || rank > DMV_MAX_RANK || g->n_tensors >= INT32_MAX ||
        !dv_grow(&g->tensors, &g->cap_tensors, g->n_tensors, sizeof *g->tensors))
        return -1;
    dv_gtensor *x = &g->tensors[g->n_tensors];
    memset(x, 0, sizeof *x);
    if (name && !(x->name = dv_strdup(name)))
        return -1;
    x->dtype = t;
    x->rank = rank;
    for (int i = 0; i < rank; i++)
        x->dims[i] = dims ? dims[i] : -1;
    return (int32_t)g->n_tensors++;
}

int32_t dv_graph_add_const(dv_graph *g, const char *name, dv_dtype t, int rank, const int64_t *dims,
                           const void *data)
{
    size_t bytes;
    if (!dv_tensor_bytes(t, DV_PACK_NONE, rank, dims, 1, &bytes))
        return -1;
    void *copy = dv_alloc_aligned(bytes ? bytes : 1);
    if (!copy)
        return -1;
    int32_t id = dv_graph_add_tensor(g, name, t, rank, dims);
    if (id < 0) {
        dv_free(copy);
        return -1;
    }
    if (bytes)
        memcpy(copy, data, bytes);
    dv_gtensor *x = &g->tensors[id];
    x->data = copy;
    x->size = bytes;
    x->owned = true;
    return id;
}

static int32_t *copy_ids(const int32_t *v, int n)
{
    int32_t *p = dv_malloc((size_t)(n > 0 ? n : 1) * sizeof *p);
    if (p && n > 0)
        memcpy(p, v, (size_t)n * sizeof *p);
    return p;
}

int32_t dv_graph_add_node(dv_graph *g, uint16_t op, const char *name, int n_in, const int32_t *in,
                          int n_out, const int32_t *out)
{
    if (n_in < 0 || n_out < 0 || g->n_nodes >= INT32_MAX ||
        !dv_grow(&g->nodes, &g->cap_nodes, g->n_nodes, sizeof *g->nodes))
        return -1;
    dv_node n = {.op = op, .n_in = n_in, .n_out = n_out};
    n.in = copy_ids(in, n_in);
    n.out = copy_ids(out, n_out);
    if (name)
        n.name = dv_strdup(name);
    if (!n.in || !n.out || (name && !n.name)) {
        dv_node_free(&n);
        return -1;
    }
    g->nodes[g->n_nodes] = n;
    return (int32_t)g->n_nodes++;
}

bool dv_graph_set_io(dv_graph *g, const int32_t *in, size_t n_in, const int32_t *out, size_t n_out)
{
    if (n_in > INT32_MAX || n_out > INT32_MAX)
        return false;
    int32_t *a = copy_ids(in, (int)n_in), *b = copy_ids(out, (int)n_out);
    if (!a || !b) {
        dv_free(a);
        dv_free(b);
        return false;
    }
    dv_free(g->inputs);
    dv_free(g->outputs);
    g->inputs = a;
    g->outputs = b;
    g->n_inputs = n_in;
    g->n_outputs = n_out;
    return true;
}

static bool set_attr(dv_node *n, uint16_t key, bool is_float, const void *v, uint32_t count)
{
    size_t each = is_float ? sizeof(float) : sizeof(int64_t);
    void *copy = dv_malloc(count ? count * each : 1);
    if (!copy)
        return false;
    if (count)
        memcpy(copy, v, count * each);
    int at = 0;
    while (at < n->n_attr && n->attr[at].key != key)
        at++;
    if (at == n->n_attr) {
        dv_attr *grown = dv_realloc(n->attr, (size_t)(n->n_attr + 1) * sizeof *grown);
        if (!grown) {
            dv_free(copy);
            return false;
        }
        n->attr = grown;
        n->n_attr++;
    } else {
        dv_free(n->attr[at].v.i);
    }
    n->attr[at] = (dv_attr){.key = key, .is_float = is_float, .n = count, .v.i = copy};
    return true;
}

bool dv_node_set_ints(dv_node *n, uint16_t key, const int64_t *v, uint32_t count)
{
    return set_attr(n, key, false, v, count);
}

bool dv_node_set_int(dv_node *n, uint16_t key, int64_t v)
{
    return set_attr(n, key, false, &v, 1);
}

bool dv_node_set_floats(dv_node *n, uint16_t key, const float *v, uint32_t count)
{
    return set_attr(n, key, true, v, count);
}

bool dv_node_set_float(dv_node *n, uint16_t key, float v)
{
    return set_attr(n, key, true, &v, 1);
}

const dv_attr *dv_node_attr(const dv_node *n, uint16_t key)
{
    for (int i = 0; i < n->n_attr; i++)
        if (n->attr[i].key == key)
            return &n->attr[i];
    return NULL;
}

int64_t dv_node_int(const dv_node *n, uint16_t key, int64_t fallback)
{
    const dv_attr *a = dv_node_attr(n, key);
    return a && !a->is_float && a->n ? a->v.i[0] : fallback;
}

float dv_node_float(const dv_node *n, uint16_t key, float fallback)
{
    const dv_attr *a = dv_node_attr(n, key);
    return a && a->is_float && a->n ? a->v.f[0] : fallback;
}

uint32_t dv_node_ints(const dv_node *n, uint16_t key, int64_t *out, uint32_t cap)
{
    const dv_attr *a = dv_node_attr(n, key);
    if (!a || a->is_float)
        return 0;
    for (uint32_t i = 0; i < a->n && i < cap; i++)
        out[i] = a->v.i[i];
    return a->n;
}

bool dv_count(int rank, const int64_t *dims, size_t *count)
{
    size_t n = 1;
    bool zero = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return false;
        if (dims[i] == 0)
            zero = true;
        else if (!dv_mul(n, (size_t)dims[i], &n))
            return false;
    }
    *count = zero ? 0 : n;
    return true;
}

size_t dv_dtype_size(dv_dtype t)
{
    return t == DV_I64 ? 8 : t == DV_F32 ? 4 : t == DV_F16 ? 2 : 1;
}

/* Bytes of 8-bit weights as the kernels read them. */
static bool packed_s8_bytes(dv_pack pack, int rank, const int64_t *dims, size_t *bytes)
{
    size_t n, k;
    if ((rank != 4 && (rank != 2 || pack == DV_PACK_QDW)) || !dv_count(rank, dims, &n) || n == 0 ||
        n > SIZE_MAX / 64)
        return false;
    size_t cols = dv_round_up((size_t)dims[rank - 1], 16);
    if (pack == DV_PACK_QDW) {
        if (dims[2] != 1)
            return false;
        k = dv_round_up((size_t)dims[0], 4) * (size_t)dims[1];
    } else {
        size_t segs = rank == 4 ? (size_t)dims[0] : 1;
        k = segs * dv_round_up(n / (size_t)dims[rank - 1] / segs, 4);
    }
    return dv_mul(k, cols, bytes);
}

bool dv_tensor_bytes(dv_dtype t, dv_pack pack, int rank, const int64_t *dims, int64_t groups,
                     size_t *bytes)
{
    size_t n, k = 1;
    if (rank < 0 || rank > DMV_MAX_RANK || t < DV_F32 || t > DV_F16 || !dv_count(rank, dims, &n))
        return false;
    if (pack == DV_PACK_QPANEL || pack == DV_PACK_QDW)
        return t == DV_S8 && packed_s8_bytes(pack, rank, dims, bytes);
    if (t == DV_F16 && pack >= DV_PACK_HPANEL && rank >= 1 && n > 0) {
        size_t last = (size_t)dims[rank - 1];
        bool ok = pack == DV_PACK_HPANEL ? (rank == 2 || rank == 4) && n / last % 2 == 0
                  : pack == DV_PACK_HDW  ? rank == 4 && dims[2] == 1
                                         : pack == DV_PACK_HVEC && rank == 1;
        return ok && last <= SIZE_MAX - 31 && dv_mul(n / last, dv_round_up(last, 32), &n) &&
               dv_mul(n, sizeof(uint16_t), bytes);
    }
    if (pack != DV_PACK_NONE) {
        if (t != DV_F32 || rank < 1 || n == 0)
            return false;
        size_t last = (size_t)dims[rank - 1], cols = last;
        if (pack == DV_PACK_PANEL) {
            if (rank < 2 || groups < 1 || last % (size_t)groups)
                return false;
            cols = last / (size_t)groups;
        } else if (pack == DV_PACK_DW ? rank != 4 || dims[2] != 1
                                      : pack != DV_PACK_VEC || rank != 1) {
            return false;
        }
        if (cols > SIZE_MAX - 15)
            return false;
        cols = dv_round_up(cols, 16);
        k = n / last;
        if (!dv_mul(k, cols, &n) || (pack == DV_PACK_PANEL && !dv_mul(n, (size_t)groups, &n)))
            return false;
    }
    return dv_mul(n, dv_dtype_size(t), bytes);
}
