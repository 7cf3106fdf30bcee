/* SPDX-License-Identifier: Apache-2.0
 *
 * The last step of an import: weights into the form that the kernels read (graph.h), and
 * everything out that nobody needs. A constant that is used in two forms is stored twice,
 * one used twice in the same form once.
 */
#include <string.h>

#include "import/lower.h"
#include "kernels/kernels.h"

typedef struct packed {
    int32_t from, to; /* tensors */
    dv_pack pack;
    int64_t groups;
} packed;

typedef struct packer {
    dv_graph *g;
    dv_err *e;
    packed *done; /* open hash table, to = -1 is free */
    size_t mask;
} packer;

static packed *slot(packer *p, int32_t from, dv_pack pack, int64_t groups)
{
    size_t h = ((size_t)from * 8 + (size_t)pack + (size_t)groups * 2654435761u) * 0x9e3779b1u;
    for (;; h++) {
        packed *d = &p->done[h & p->mask];
        if (d->to < 0 || (d->from == from && d->pack == pack && d->groups == groups))
            return d;
    }
}

/* Row-major floats of t into out, which is zeroed. */
static void pack_into(const dv_gtensor *t, dv_pack pack, int64_t groups, float *out)
{
    const float *in = t->data;
    size_t n = (size_t)t->dims[t->rank - 1], k = 1;
    for (int i = 0; i + 1 < t->rank; i++)
        k *= (size_t)t->dims[i];
    if (pack == DV_PACK_PANEL) {
        size_t each = n / (size_t)groups, step = dv_panel_size(k, each);
        for (int64_t i = 0; i < groups; i++)
            dv_pack_panels(k, each, in + (size_t)i * each, n, 1, out + (size_t)i * step);
    } else {
        size_t ld = dv_round_up(n, DV_PANEL);
        for (size_t i = 0; i < k; i++)
            memcpy(out + i * ld, in + i * n, n * sizeof *out);
    }
}

/* Input i of a node becomes its packed form. */
static dmv_status pack_input(packer *p, dv_node *node, int i, dv_pack pack, int64_t groups)
{
    dv_graph *g = p->g;
    if (i >= node->n_in || node->in[i] < 0)
        return DMV_OK;
    int32_t from = node->in[i];
    dv_gtensor copy = g->tensors[from]; /* the array moves when a tensor is added */
    const dv_gtensor *t = &copy;
    if (!t->data || t->pack != DV_PACK_NONE)
        return DMV_OK;
    packed *d = slot(p, from, pack, groups);
    if (d->to < 0) {
        size_t bytes;
        if (t->dtype != DV_F32 ||
            !dv_tensor_bytes(t->dtype, pack, t->rank, t->dims, groups, &bytes))
            return dv_fail(p->e, DMV_ERR_FORMAT, "node '%s' (%s): weights of the wrong shape",
                           node->name ? node->name : "", dv_op_name(node->op));
        float *data = dv_alloc_aligned(bytes);
        if (!data)
            return dv_nomem(p->e);
        memset(data, 0, bytes);
        pack_into(t, pack, groups, data);
        int32_t to = dv_graph_add_tensor(g, t->name, DV_F32, t->rank, t->dims);
        if (to < 0) {
            dv_free(data);
            return dv_nomem(p->e);
        }
        dv_gtensor *q = &g->tensors[to];
        q->pack = pack;
        q->data = data;
        q->size = bytes;
        q->owned = true;
        *d = (packed){from, to, pack, groups};
    }
    node->in[i] = d->to;
    return DMV_OK;
}

static dmv_status pack_node(packer *p, dv_node *n)
{
    static const struct {
        uint16_t op;
        int8_t panel[2], vec[2]; /* inputs, -1 = none */
    } table[] = {
        {DV_OP_CONV, {1, -1}, {2, 3}},
        {DV_OP_CONV_TRANSPOSE, {1, -1}, {2, 3}},
        {DV_OP_LINEAR, {1, -1}, {2, 3}},
        {DV_OP_SE, {1, 3}, {2, 4}},
    };
    for (size_t i = 0; i < DV_COUNT(table); i++) {
        if (table[i].op != n->op)
            continue;
        int64_t groups = n->op == DV_OP_CONV ? dv_node_int(n, DV_A_GROUP, 1) : 1;
        dv_pack pack = DV_PACK_PANEL;
        if (n->op == DV_OP_CONV && n->n_in > 1 && n->in[1] >= 0) {
            const dv_gtensor *w = &p->g->tensors[n->in[1]];
            if (groups > 1 && w->rank == 4 && w->dims[2] == 1 && w->dims[3] == groups) {
                pack = DV_PACK_DW;
                groups = 1;
            }
        }
        for (int k = 0; k < 2; k++) {
            dmv_status st = DMV_OK;
            if (table[i].panel[k] >= 0)
                st = pack_input(p, n, table[i].panel[k], pack, groups);
            if (st == DMV_OK)
                st = pack_input(p, n, table[i].vec[k], DV_PACK_VEC, 1);
            if (st != DMV_OK)
                return st;
        }
    }
    return DMV_OK;
}

/* Nodes that lead to no output, from the last one up. */
static bool drop_nodes(dv_graph *g)
{
    bool *used = dv_calloc(g->n_tensors + 1, sizeof *used);
    if (!used)
        return false;
    for (size_t i = 0; i < g->n_outputs; i++)
        used[g->outputs[i]] = true;
    for (size_t i = g->n_nodes; i-- > 0;) {
        dv_node *n = &g->nodes[i];
        bool live = false;
        for (int j = 0; j < n->n_out; j++)
            live = live || used[n->out[j]];
        if (!live || n->op == DV_OP_NONE) {
            dv_node_free(n);
            continue;
        }
        for (int j = 0; j < n->n_in; j++)
            if (n->in[j] >= 0)
                used[n->in[j]] = true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op != DV_OP_NONE)
            g->nodes[kept++] = g->nodes[i];
    g->n_nodes = kept;
    dv_free(used);
    return true;
}

/* Tensors that no node, input or output names; the others are renumbered. */
static bool drop_tensors(dv_graph *g)
{
    int32_t *to = dv_calloc(g->n_tensors + 1, sizeof *to), kept = 0;
    if (!to)
        return false;
    for (size_t i = 0; i < g->n_inputs; i++)
        to[g->inputs[i]] = 1;
    for (size_t i = 0; i < g->n_outputs; i++)
        to[g->outputs[i]] = 1;
    for (size_t i = 0; i < g->n_nodes; i++) {
        for (int j = 0; j < g->nodes[i].n_in; j++)
            if (g->nodes[i].in[j] >= 0)
                to[g->nodes[i].in[j]] = 1;
        for (int j = 0; j < g->nodes[i].n_out; j++)
            to[g->nodes[i].out[j]] = 1;
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        dv_gtensor *t = &g->tensors[i];
        if (to[i]) {
            g->tensors[kept] = *t;
            to[i] = kept++;
            continue;
        }
        dv_free(t->name);
        if (t->owned)
            dv_free((void *)(uintptr_t)t->data);
    }
    g->n_tensors = (size_t)kept;
    for (size_t i = 0; i < g->n_inputs; i++)
        g->inputs[i] = to[g->inputs[i]];
    for (size_t i = 0; i < g->n_outputs; i++)
        g->outputs[i] = to[g->outputs[i]];
    for (size_t i = 0; i < g->n_nodes; i++) {
        for (int j = 0; j < g->nodes[i].n_in; j++)
            if (g->nodes[i].in[j] >= 0)
                g->nodes[i].in[j] = to[g->nodes[i].in[j]];
        for (int j = 0; j < g->nodes[i].n_out; j++)
            g->nodes[i].out[j] = to[g->nodes[i].out[j]];
    }
    dv_free(to);
    return true;
}

dmv_status dv_import_pack(dv_graph *g, dv_err *e)
{
    packer p = {.g = g, .e = e};
    size_t want = 16;
    dmv_status st = DMV_OK;
    if (!drop_nodes(g))
        return dv_nomem(e);
    /* At most four packed inputs a node; the table stays half empty. */
    while (want < g->n_nodes * 8 + 8)
        want *= 2;
    p.mask = want - 1;
    p.done = dv_malloc(want * sizeof *p.done);
    if (!p.done)
        return dv_nomem(e);
    for (size_t i = 0; i < want; i++)
        p.done[i].to = -1;
    for (size_t i = 0; st == DMV_OK && i < g->n_nodes; i++)
        st = pack_node(&p, &g->nodes[i]);
    dv_free(p.done);
    if (st == DMV_OK && !drop_tensors(g))
        st = dv_nomem(e);
    return st;
}
