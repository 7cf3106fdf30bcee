/* SPDX-License-Identifier: Apache-2.0
 *
 * cut.c - a graph in two parts (see dv_graph_cut in graph.h): what a tensor depends on, and the
 * rest. The order of a graph is topological, and what a node depends on depends on nothing outside,
 * so both parts keep their order and the maker of the tensor is the last of the first part. */
#include <string.h>

#include "nn/graph.h"

int32_t dv_graph_find(const dv_graph *g, const char *name)
{
    for (size_t i = 0; name && i < g->n_tensors; i++)
        if (g->tensors[i].name && !g->tensors[i].data && strcmp(g->tensors[i].name, name) == 0)
            return (int32_t)i;
    for (size_t i = g->n_nodes; name && i-- > 0;)
        if (g->nodes[i].name && g->nodes[i].n_out > 0 && strcmp(g->nodes[i].name, name) == 0)
            return g->nodes[i].out[0];
    if (!name || *name != '#')
        return -1;
    size_t step = 0;
    const char *p = name + 1;
    for (; *p >= '0' && *p <= '9' && step < g->n_nodes; p++)
        step = step * 10 + (size_t)(*p - '0');
    return p > name + 1 && !*p && step < g->n_nodes && g->nodes[step].n_out > 0
               ? g->nodes[step].out[0]
               : -1;
}

static bool copy_tensors(const dv_graph *from, dv_graph *to)
{
    for (size_t i = 0; i < from->n_tensors; i++) {
        const dv_gtensor *t = &from->tensors[i];
        int32_t id = dv_graph_add_tensor(to, t->name, t->dtype, t->rank, t->dims);
        if (id < 0)
            return false;
        char *name = to->tensors[id].name;
        to->tensors[id] = *t;
        to->tensors[id].name = name;
        to->tensors[id].owned = false;
    }
    return true;
}

static bool copy_node(const dv_node *n, dv_graph *to)
{
    int32_t id = dv_graph_add_node(to, n->op, n->name, n->n_in, n->in, n->n_out, n->out);
    bool ok = id >= 0;
    for (int i = 0; ok && i < n->n_attr; i++) {
        const dv_attr *a = &n->attr[i];
        ok = a->is_float ? dv_node_set_floats(&to->nodes[id], a->key, a->v.f, a->n)
                         : dv_node_set_ints(&to->nodes[id], a->key, a->v.i, a->n);
    }
    return ok;
}

bool dv_graph_behind(const dv_graph *g, int32_t tensor, bool *needed, bool *wanted, size_t *count)
{
    bool input = false;
    *count = 0;
    memset(needed, 0, g->n_tensors * sizeof *needed);
    memset(wanted, 0, g->n_nodes * sizeof *wanted);
    needed[tensor] = true;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const dv_node *n = &g->nodes[i];
        for (int j = 0; j < n->n_out; j++)
            wanted[i] |= needed[n->out[j]];
        for (int j = 0; wanted[i] && j < n->n_in; j++)
            if (n->in[j] >= 0)
                needed[n->in[j]] = true;
        *count += wanted[i];
    }
    for (size_t i = 0; i < g->n_inputs; i++)
        input |= needed[g->inputs[i]];
    return input;
}

dmv_status dv_graph_cut(const dv_graph *from, int32_t tensor, dv_graph *to, size_t *prefix,
                        dv_err *e)
{
    dv_graph_init(to);
    *prefix = 0;
    if (tensor < 0 || (size_t)tensor >= from->n_tensors)
        return dv_fail(e, DMV_ERR_ARGUMENT, "the net has no tensor number %d to be cut at",
                       (int)tensor);
    const dv_gtensor *t = &from->tensors[tensor];
    const char *name = t->name ? t->name : "";
    bool *needed = dv_calloc(from->n_tensors, sizeof *needed),
         *wanted = dv_calloc(from->n_nodes + 1, sizeof *wanted);
    dmv_status st = DMV_OK;
    if (!needed || !wanted)
        st = dv_nomem(e);
    else if (t->dtype == DV_I64)
        st =
            dv_fail(e, DMV_ERR_ARGUMENT, "tensor \"%.64s\" holds shapes: no place for a cut", name);
    else if (!dv_graph_behind(from, tensor, needed, wanted, prefix) || *prefix == 0)
        st = dv_fail(e, DMV_ERR_ARGUMENT,
                     "tensor \"%.64s\" is not computed from the net's input: no place for a cut",
                     name);
    bool ok = st == DMV_OK && copy_tensors(from, to);
    for (int part = 1; part >= 0; part--)
        for (size_t i = 0; ok && i < from->n_nodes; i++)
            if (wanted[i] == (part != 0))
                ok = copy_node(&from->nodes[i], to);
    ok = ok && dv_graph_set_io(to, from->inputs, from->n_inputs, from->outputs, from->n_outputs);
    if (st == DMV_OK && !ok)
        st = dv_nomem(e);
    dv_free(needed);
    dv_free(wanted);
    if (st) {
        dv_graph_free(to);
        *prefix = 0;
    }
    return st;
}
