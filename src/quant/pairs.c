/* SPDX-License-Identifier: Apache-2.0
 *
 * pairs.c - what the pairs of a QDQ net say. In the float net a pair is a Quantize x -> u and a
 * Dequantize u -> y; here both go, and a mark on a tensor stays: its values are those of bytes
 * (dv_given). If x has no other reader the mark is on x and the readers of y read x, else an
 * Identity from x to y remains. build.c then makes bytes where the marks are and nowhere else.
 */
#include <string.h>

#include "import/import.h"
#include "quant/quant_priv.h"

bool dv_quant_has_pairs(const dv_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == DV_OP_QUANTIZE)
            return true;
    return false;
}

static int32_t maker(const dv_graph *g, int32_t t)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_out; k++)
            if (g->nodes[i].out[k] == t)
                return (int32_t)i;
    return -1;
}

/* Readers of t; outputs of the net count. *last: the last node among them. */
static int readers(const dv_quant *q, int32_t t, int32_t *last)
{
    const dv_graph *g = &q->net;
    int n = 0;
    *last = -1;
    for (size_t i = 0; i < g->n_outputs; i++)
        n += g->outputs[i] == t;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in && !q->gone[i]; k++)
            if (g->nodes[i].in[k] == t) {
                *last = (int32_t)i;
                n++;
            }
    return n;
}

static bool same(const dv_given *a, const dv_given *b)
{
    return a->is && b->is && a->scale > 0 && a->scale == b->scale && a->zero == b->zero;
}

/* What only moves bytes gives the same bytes, whether the file says so or not. */
static void through_move(dv_quant *q, const dv_node *n)
{
    const dv_given first = q->given[n->in[0]];
    bool all = first.is && first.scale > 0;
    for (int k = 1; all && k < dv_quant_moved(n); k++)
        all = same(&first, &q->given[n->in[k]]);
    for (int k = 0; all && k < n->n_out; k++)
        q->given[n->out[k]] = first;
}

/* A mark on y, the Dequantize's output, or on x before it. */
static void take_pair(dv_quant *q, size_t i, size_t d)
{
    dv_graph *g = &q->net;
    dv_node *first = &g->nodes[i], *second = &g->nodes[d];
    int32_t x = first->in[0], y = second->out[0], last;
    const dv_gtensor *u = &g->tensors[first->out[0]];
    dv_given mark = {true, u->scale, u->zero};
    int32_t from = maker(g, x);
    bool output = false;
    for (size_t k = 0; k < g->n_outputs; k++)
        output = output || g->outputs[k] == y;
    q->gone[d] = true;
    if (same(&mark, &q->given[x]) && !output) {
        q->gone[i] = true;
    } else if (from >= 0 && !q->given[x].is && readers(q, x, &last) == 1 && !output) {
        q->given[x] = mark;
        q->gone[i] = true;
    } else {
        first->op = DV_OP_IDENTITY;
        first->out[0] = y;
        q->given[y] = mark;
        return;
    }
    for (size_t k = 0; k < g->n_nodes; k++)
        for (int a = 0; a < g->nodes[k].n_in; a++)
            if (g->nodes[k].in[a] == y)
                g->nodes[k].in[a] = x;
}

/* The only reader of u, a Dequantize; -1 if it is something else. */
static int32_t other_half(const dv_quant *q, int32_t u)
{
    int32_t last;
    return readers(q, u, &last) == 1 && q->net.nodes[last].op == DV_OP_DEQUANTIZE ? last : -1;
}

/* A sum or product of bytes with a clip behind it, and bytes behind that: the op does the clip. */
static bool take_clip(dv_quant *q, size_t i, dv_err *e)
{
    dv_graph *g = &q->net;
    dv_node *n = &g->nodes[i];
    int32_t x = n->in[0], last;
    int32_t b = q->given[n->out[0]].is && q->given[n->out[0]].scale > 0 ? maker(g, x) : -1;
    if (n->op != DV_OP_ACT || dv_node_int(n, DV_A_ACT, DV_ACT_NONE) != DV_ACT_CLIP || b < 0 ||
        q->given[x].is || g->nodes[b].op != DV_OP_BINARY || readers(q, x, &last) != 1)
        return true;
    dv_node *m = &g->nodes[b];
    int64_t op = dv_node_int(m, DV_A_BINARY, DV_BIN_ADD);
    const dv_value *v = &q->x->v[m->in[0]], *w = &q->x->v[m->in[1]];
    if ((op != DV_BIN_ADD && op != DV_BIN_MUL) || v->rank != w->rank ||
        memcmp(v->dims, w->dims, (size_t)v->rank * sizeof *v->dims))
        return true;
    for (int k = 0; k < 2; k++)
        if (!q->given[m->in[k]].is || !(q->given[m->in[k]].scale > 0))
            return true;
    if (!dv_node_set_int(m, DV_A_ACT, DV_ACT_CLIP) ||
        !dv_node_set_float(m, DV_A_P, dv_node_float(n, DV_A_P, 0)) ||
        !dv_node_set_float(m, DV_A_Q, dv_node_float(n, DV_A_Q, 0))) {
        dv_nomem(e);
        return false;
    }
    m->out[0] = n->out[0];
    q->gone[i] = true;
    return true;
}

static dmv_status read_marks(dv_quant *q, dv_err *e)
{
    dv_graph *g = &q->net;
    q->given = dv_calloc(g->n_tensors + 1, sizeof *q->given);
    q->gone = dv_calloc(g->n_nodes + 1, sizeof *q->gone);
    if (!q->given || !q->gone)
        return dv_nomem(e);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dv_node *n = &g->nodes[i];
        int32_t d = n->op == DV_OP_QUANTIZE ? other_half(q, n->out[0]) : -1;
        if (n->op == DV_OP_QUANTIZE && d < 0)
            return dv_fail(e, DMV_ERR_ARGUMENT, "a Quantize without its Dequantize");
        if (d >= 0)
            take_pair(q, i, (size_t)d);
        else if (!q->gone[i] && dv_quant_is_move(n) && g->tensors[n->in[0]].dtype == DV_F32)
            through_move(q, n);
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (!q->gone[i] && !take_clip(q, i, e))
            return DMV_ERR_MEMORY;
    return DMV_OK;
}

/* Attributes that are for the time of an import. */
static void drop_temporary(dv_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        dv_node *n = &g->nodes[i];
        int kept = 0;
        for (int k = 0; k < n->n_attr; k++)
            if (n->attr[k].key < DV_IMPORT_TEMPORARY)
                n->attr[kept++] = n->attr[k];
            else
                dv_free(n->attr[k].v.i);
        n->n_attr = kept;
    }
}

/* Constants that belong to another graph become copies. */
static dmv_status own_constants(dv_graph *g, dv_err *e)
{
    for (size_t i = 0; i < g->n_tensors; i++) {
        dv_gtensor *t = &g->tensors[i];
        if (!t->data || t->owned)
            continue;
        void *copy = dv_alloc_aligned(t->size ? t->size : 1);
        if (!copy)
            return dv_nomem(e);
        memcpy(copy, t->data, t->size);
        t->data = copy;
        t->owned = true;
    }
    return DMV_OK;
}

dmv_status dv_quant_pairs(const dv_graph *g, dv_graph *out, dv_err *e)
{
    /* sizes for free dims, to find out what has one shape: multiples of 64, as nets like them */
    static const int64_t sizes[DMV_MAX_RANK] = {1, 192, 320, 448, 128, 256};
    int64_t dims[DV_MAX_IO][DMV_MAX_RANK];
    const int64_t *rows[DV_MAX_IO];
    dv_kernels k;
    dv_quant *q = NULL;
    dv_quant_options o = {.method = DV_CALIB_MINMAX};
    dv_graph_init(out);
    dv_kernels_init(&k, 0);
    for (size_t i = 0; i < g->n_inputs; i++) {
        const dv_gtensor *t = &g->tensors[g->inputs[i]];
        rows[i] = dims[i];
        for (int d = 0; d < t->rank; d++)
            dims[i][d] = t->dims[d] < 0 ? sizes[d] : t->dims[d];
    }
    dmv_status st = dv_quant_open_pairs(g, rows, &k, &q, e);
    if (!st)
        st = read_marks(q, e);
    if (!st)
        st = dv_quant_build(q, &o, out, e);
    if (!st && (st = own_constants(out, e)))
        dv_graph_free(out);
    dv_quant_close(&q);
    if (!st)
        drop_temporary(out);
    return st;
}
