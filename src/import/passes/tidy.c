/* SPDX-License-Identifier: Apache-2.0
 *
 * tidy.c - between passes: the graph in running order, compact, with dims.
 *
 * The order is depth first from the outputs, inputs before the node, so that a chain runs
 * while its data is still in the cache and few tensors live at once. What the outputs
 * do not need is dropped on the way.
 */
#include "import/passes/passes.h"

#include <string.h>

typedef struct visit {
    int32_t node;
    int next;
} visit;

/* Appends to order[] what `root` needs, then root. mark: 0 new, 1 on the stack, 2 done. */
static bool order_from(dv_rw *r, int32_t root, uint8_t *mark, visit *stack, int32_t *order,
                       size_t *n_order)
{
    size_t depth = 0;
    if (mark[root])
        return true;
    mark[root] = 1;
    stack[depth++] = (visit){root, 0};
    while (depth > 0) {
        visit *v = &stack[depth - 1];
        const dv_node *n = &r->g->nodes[v->node];
        if (v->next == n->n_in) {
            mark[v->node] = 2;
            order[(*n_order)++] = v->node;
            depth--;
            continue;
        }
        int32_t t = n->in[v->next++];
        int32_t from = t < 0 ? -1 : r->t[t].from;
        if (from < 0 || mark[from] == 2)
            continue;
        if (mark[from] == 1) {
            r->status = dv_fail(r->e, DMV_ERR_FORMAT, "node \"%.80s\" depends on its own output",
                                n->name ? n->name : "");
            return false;
        }
        mark[from] = 1;
        stack[depth++] = (visit){from, 0};
    }
    return true;
}

static void place_nodes(dv_rw *r, const int32_t *order, size_t n_order, const uint8_t *mark,
                        dv_node *sorted)
{
    dv_graph *g = r->g;
    for (size_t i = 0; i < n_order; i++)
        sorted[i] = g->nodes[order[i]];
    for (size_t i = 0; i < g->n_nodes; i++)
        if (mark[i] != 2)
            dv_node_free(&g->nodes[i]);
    memcpy(g->nodes, sorted, n_order * sizeof(*sorted));
    g->n_nodes = n_order;
}

static void mark_used(const dv_graph *g, int32_t *map)
{
    for (size_t i = 0; i < g->n_tensors; i++)
        map[i] = -1;
    for (size_t i = 0; i < g->n_inputs; i++)
        map[g->inputs[i]] = 0;
    for (size_t i = 0; i < g->n_outputs; i++)
        map[g->outputs[i]] = 0;
    for (size_t n = 0; n < g->n_nodes; n++) {
        for (int i = 0; i < g->nodes[n].n_in; i++)
            if (g->nodes[n].in[i] >= 0)
                map[g->nodes[n].in[i]] = 0;
        for (int i = 0; i < g->nodes[n].n_out; i++)
            map[g->nodes[n].out[i]] = 0;
    }
}

/* Drops unused tensors, renumbers the rest, and counts makers and readers anew. */
static void place_tensors(dv_rw *r, int32_t *map)
{
    dv_graph *g = r->g;
    size_t kept = 0;
    mark_used(g, map);
    for (size_t i = 0; i < g->n_tensors; i++) {
        if (map[i] < 0) {
            dv_free(g->tensors[i].name);
            if (g->tensors[i].owned)
                dv_free((void *)(uintptr_t)g->tensors[i].data);
            continue;
        }
        map[i] = (int32_t)kept;
        g->tensors[kept] = g->tensors[i];
        r->t[kept] = r->t[i];
        r->t[kept].from = -1;
        r->t[kept].uses = 0;
        kept++;
    }
    g->n_tensors = kept;
    for (size_t i = 0; i < g->n_inputs; i++)
        g->inputs[i] = map[g->inputs[i]];
    for (size_t i = 0; i < g->n_outputs; i++) {
        g->outputs[i] = map[g->outputs[i]];
        r->t[g->outputs[i]].uses++;
    }
    for (size_t n = 0; n < g->n_nodes; n++) {
        dv_node *node = &g->nodes[n];
        for (int i = 0; i < node->n_in; i++)
            if (node->in[i] >= 0) {
                node->in[i] = map[node->in[i]];
                r->t[node->in[i]].uses++;
            }
        for (int i = 0; i < node->n_out; i++) {
            node->out[i] = map[node->out[i]];
            r->t[node->out[i]].from = (int32_t)n;
        }
    }
}

bool dv_rw_tidy(dv_rw *r)
{
    dv_graph *g = r->g;
    if (!dv_rw_ok(r))
        return false;
    size_t n_order = 0, n = g->n_nodes;
    uint8_t *mark = dv_calloc(n + 1, 1);
    visit *stack = dv_calloc(n + 1, sizeof(*stack));
    int32_t *order = dv_calloc(n + 1, sizeof(*order));
    int32_t *map = dv_calloc(g->n_tensors + 1, sizeof(*map));
    dv_node *sorted = dv_calloc(n + 1, sizeof(*sorted));
    bool ok = mark && stack && order && map && sorted;
    if (!ok)
        dv_rw_nomem(r);
    for (size_t i = 0; ok && i < g->n_outputs; i++) {
        int32_t from = r->t[g->outputs[i]].from;
        ok = from < 0 || order_from(r, from, mark, stack, order, &n_order);
    }
    if (ok) {
        place_nodes(r, order, n_order, mark, sorted);
        place_tensors(r, map);
    }
    dv_free(mark);
    dv_free(stack);
    dv_free(order);
    dv_free(map);
    dv_free(sorted);
    return ok;
}

/* ---- dims ---- */

/* What one shaping of the net says about a tensor. */
typedef struct seen {
    dv_dims dims;
    int64_t *values; /* int64 tensors: a copy; NULL = not known */
    size_t count;
} seen;

/* Sizes to try for free dims: multiples of 64 (nets halve and double their maps), odd multiples
 * and others, never the same for two axes. The batch is small. */
static int64_t sample_size(int sample, int axis)
{
    static const int64_t sizes[DV_SAMPLES][DMV_MAX_RANK] = {
        {2, 192, 320, 448, 128, 256}, {3, 384, 640, 256, 576, 832}, {5, 704, 576, 896, 320, 512}};
    return sizes[sample][axis];
}

static bool has_free_dims(const dv_graph *g)
{
    for (size_t i = 0; i < g->n_inputs; i++)
        for (int d = 0; d < g->tensors[g->inputs[i]].rank; d++)
            if (g->tensors[g->inputs[i]].dims[d] < 0)
                return true;
    return false;
}

static dmv_status shape_once(dv_rw *r, dv_exec *x, int sample, seen *out)
{
    const dv_graph *g = r->g;
    int64_t dims[DV_MAX_IO][DMV_MAX_RANK];
    const int64_t *rows[DV_MAX_IO];
    for (size_t i = 0; i < g->n_inputs; i++) {
        const dv_gtensor *t = &g->tensors[g->inputs[i]];
        rows[i] = dims[i];
        for (int d = 0; d < t->rank; d++)
            dims[i][d] = t->dims[d] < 0 ? sample_size(sample, d) : t->dims[d];
    }
    dmv_status st = dv_exec_infer(x, rows, r->e);
    for (size_t i = 0; st == DMV_OK && i < g->n_tensors; i++) {
        const dv_value *v = &x->v[i];
        out[i].dims.rank = v->rank;
        memcpy(out[i].dims.d, v->dims, sizeof(v->dims));
        if (v->dtype != DV_I64 || !v->i || g->tensors[i].data)
            continue;
        out[i].count = v->count;
        out[i].values = dv_malloc(DV_MAX(v->count, 1) * sizeof(int64_t));
        if (!out[i].values)
            return dv_nomem(r->e);
        memcpy(out[i].values, v->i, v->count * sizeof(int64_t));
    }
    return st;
}

static int64_t symbol(dv_rw *r, const int64_t sizes[DV_SAMPLES])
{
    for (size_t i = 0; i < r->n_sym; i++)
        if (!memcmp(r->sym[i], sizes, sizeof(r->sym[i])))
            return -2 - (int64_t)i;
    if (!dv_grow(&r->sym, &r->cap_sym, r->n_sym, sizeof(*r->sym))) {
        dv_rw_nomem(r);
        return -1;
    }
    memcpy(r->sym[r->n_sym], sizes, sizeof(r->sym[0]));
    return -2 - (int64_t)r->n_sym++;
}

/* Brings the samples of one tensor together. */
static void merge(dv_rw *r, size_t t, seen *const *s, int samples)
{
    dv_dims *d = &r->t[t].dims;
    *d = s[0][t].dims;
    for (int k = 1; k < samples; k++)
        if (s[k][t].dims.rank != d->rank)
            d->rank = -1;
    for (int i = 0; i < d->rank; i++) {
        int64_t sizes[DV_SAMPLES] = {0};
        bool equal = true;
        for (int k = 0; k < samples; k++) {
            sizes[k] = s[k][t].dims.d[i];
            equal = equal && sizes[k] == sizes[0];
        }
        if (!equal)
            d->d[i] = symbol(r, sizes);
    }
    bool fixed = s[0][t].values != NULL && dv_dims_known(d);
    for (int k = 1; fixed && k < samples; k++)
        fixed = s[k][t].values && s[k][t].count == s[0][t].count &&
                !memcmp(s[k][t].values, s[0][t].values, s[0][t].count * sizeof(int64_t));
    if (!fixed || r->t[t].from < 0 || dv_rw_is_output(r, (int32_t)t))
        return;
    dv_gtensor *g = &r->g->tensors[t];
    g->data = s[0][t].values;
    g->size = s[0][t].count * sizeof(int64_t);
    g->owned = true;
    g->rank = d->rank;
    memcpy(g->dims, d->d, sizeof(g->dims));
    s[0][t].values = NULL;
    int32_t n = r->t[t].from;
    if (r->g->nodes[n].n_out == 1)
        dv_rw_kill(r, n);
}

bool dv_rw_infer(dv_rw *r)
{
    if (!dv_rw_ok(r))
        return false;
    const size_t n = r->g->n_tensors;
    bool free_dims = has_free_dims(r->g);
    int samples = free_dims ? DV_SAMPLES : 1;
    seen *s[DV_SAMPLES] = {NULL};
    dv_exec *x = NULL;
    dmv_status st = dv_exec_open(r->g, &r->kernels, NULL, &x, r->e);
    bool shaped = st == DMV_OK;
    if (!shaped && dv_rw_ok(r))
        r->status = st;
    for (int k = 0; shaped && k < samples; k++) {
        s[k] = dv_calloc(n + 1, sizeof(**s));
        st = s[k] ? shape_once(r, x, k, s[k]) : dv_nomem(r->e);
        shaped = st == DMV_OK;
    }
    dv_exec_close(&x);
    for (size_t t = 0; shaped && t < n; t++)
        merge(r, t, s, samples);
    for (int k = 0; k < samples; k++) {
        for (size_t t = 0; s[k] && t < n; t++)
            dv_free(s[k][t].values);
        dv_free(s[k]);
    }
    /* A net with free dims may not like the sizes tried: then little is known, and the passes
     * leave alone what they do not know. */
    if (!shaped && (!free_dims || st == DMV_ERR_MEMORY) && dv_rw_ok(r))
        r->status = st;
    return shaped && dv_rw_tidy(r);
}
