/* SPDX-License-Identifier: Apache-2.0
 *
 * cse.c - common subexpressions: of two nodes with the same op, attributes and inputs one is
 * enough, and of two equal small constants too. Exporters write the same Transpose,
 * Slice or shape arithmetic once per reader.
 */
#include "import/passes/passes.h"

#include <stdlib.h>
#include <string.h>

#define SMALL_CONST 4096 /* bytes */

typedef struct hashed {
    uint64_t hash;
    int32_t t;
} hashed;

static uint64_t hash_bytes(uint64_t h, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u; /* FNV-1a */
    return h;
}

static int by_hash(const void *a, const void *b)
{
    const hashed *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->t < y->t ? -1 : x->t > y->t;
}

static bool equal_consts(const dv_gtensor *a, const dv_gtensor *b)
{
    return a->dtype == b->dtype && a->pack == b->pack && a->rank == b->rank && a->size == b->size &&
           !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof(*a->dims)) &&
           !memcmp(a->data, b->data, a->size);
}

static bool merge_consts(dv_rw *r)
{
    dv_graph *g = r->g;
    hashed *h = dv_calloc(g->n_tensors + 1, sizeof(*h));
    size_t n = 0;
    bool changed = false;
    if (!h)
        return dv_rw_nomem(r);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const dv_gtensor *t = &g->tensors[i];
        if (!t->data || t->size > SMALL_CONST || r->t[i].uses == 0 ||
            dv_rw_is_output(r, (int32_t)i))
            continue;
        h[n].hash = hash_bytes(14695981039346656037u, t->data, t->size);
        h[n++].t = (int32_t)i;
    }
    qsort(h, n, sizeof(*h), by_hash);
    for (size_t i = 1, first = 0; i < n; i++) {
        if (h[i].hash != h[first].hash) {
            first = i;
        } else if (equal_consts(&g->tensors[h[first].t], &g->tensors[h[i].t])) {
            dv_rw_replace(r, h[i].t, h[first].t);
            changed = true;
        }
    }
    dv_free(h);
    return changed;
}

static bool equal_attrs(const dv_node *a, const dv_node *b)
{
    if (a->n_attr != b->n_attr)
        return false;
    for (int i = 0; i < a->n_attr; i++) {
        const dv_attr *x = &a->attr[i], *y = dv_node_attr(b, x->key);
        if (!y || x->is_float != y->is_float || x->n != y->n)
            return false;
        size_t bytes = x->n * (x->is_float ? sizeof(float) : sizeof(int64_t));
        if (bytes && memcmp(x->v.i, y->v.i, bytes))
            return false;
    }
    return true;
}

static bool equal_nodes(const dv_node *a, const dv_node *b)
{
    return a->op == b->op && a->n_in == b->n_in && a->n_out == b->n_out &&
           !memcmp(a->in, b->in, (size_t)a->n_in * sizeof(*a->in)) && equal_attrs(a, b);
}

bool dv_pass_cse(dv_rw *r)
{
    dv_graph *g = r->g;
    if (!dv_rw_ok(r))
        return false;
    bool changed = merge_consts(r);
    /* head[t]: the last node seen whose first input is t; next[n]: the one before n. */
    int32_t *head = dv_calloc(g->n_tensors + 1, sizeof(*head));
    int32_t *next = dv_calloc(g->n_nodes + 1, sizeof(*next));
    if (!head || !next) {
        dv_free(head);
        dv_free(next);
        return dv_rw_nomem(r);
    }
    size_t n_tensors = g->n_tensors, n_nodes = g->n_nodes;
    for (size_t i = 0; i < n_tensors; i++)
        head[i] = -1;
    for (size_t n = 0; dv_rw_ok(r) && n < n_nodes; n++) {
        dv_node *node = &g->nodes[n];
        if (node->op == DV_OP_NONE || node->n_in == 0 || node->in[0] < 0)
            continue;
        int32_t other = head[node->in[0]];
        while (other >= 0 && !equal_nodes(&g->nodes[other], node))
            other = next[other];
        if (other < 0) {
            next[n] = head[node->in[0]];
            head[node->in[0]] = (int32_t)n;
            continue;
        }
        bool outputs = false; /* two outputs of the graph stay two tensors */
        for (int k = 0; k < node->n_out; k++)
            outputs = outputs || dv_rw_is_output(r, node->out[k]);
        if (outputs)
            continue;
        int n_out = node->n_out;
        for (int k = 0; k < n_out && g->nodes[n].op != DV_OP_NONE; k++)
            dv_rw_replace(r, g->nodes[n].out[k], g->nodes[other].out[k]);
        changed = true;
    }
    dv_free(head);
    dv_free(next);
    return changed;
}
