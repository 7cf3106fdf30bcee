/* SPDX-License-Identifier: Apache-2.0
 *
 * Rounding to bytes while a net is imported: one node that every pass moves about like an
 * activation (a Floor with DV_IMPORT_PAIR), and in the end a Quantize and a Dequantize. Weights
 * remember the scales by which they are 8-bit (DV_IMPORT_SCALES).
 */
#include <string.h>

#include "import/lower.h"

int32_t lw_pair(dv_lower *L, int32_t x, float scale, float zero)
{
    float v[2] = {scale, zero};
    lw_begin(L, DV_OP_ACT, 1, &x);
    lw_int(L, DV_A_ACT, DV_ACT_FLOOR);
    lw_floats(L, DV_IMPORT_PAIR, v, 2);
    return lw_end(L);
}

void lw_keep_scales(dv_lower *L, int32_t weights, int axis, size_t n, float factor)
{
    if (!lw_ok(L) || weights < 0 || !L->info[weights].scales || !(factor > 0))
        return;
    const lw_scales *s = L->info[weights].scales;
    if (s->n != 1 && (s->axis != axis || s->n != n))
        return; /* not a scale an output channel: the layer stays float */
    float *v = dv_malloc((n + 1) * sizeof *v);
    if (!v) {
        lw_nomem(L);
        return;
    }
    for (size_t i = 0; i < n; i++)
        v[i] = s->v[s->n == 1 ? 0 : i] * factor;
    lw_floats(L, DV_IMPORT_SCALES, v, n);
    dv_free(v);
}

/* ---- the end: pairs as nodes ---- */

static bool is_pair(const dv_node *n)
{
    return n->op == DV_OP_ACT && dv_node_attr(n, DV_IMPORT_PAIR);
}

/* Node i of the old list to a Quantize; the Dequantize comes behind it. */
static bool two_nodes(dv_graph *g, dv_node *n, dv_node *second)
{
    const dv_attr *a = dv_node_attr(n, DV_IMPORT_PAIR);
    dv_gtensor like = g->tensors[n->out[0]];
    float scale = a->v.f[0], zero = a->v.f[1];
    int32_t bytes = dv_graph_add_tensor(g, NULL, DV_U8, like.rank, like.dims);
    if (bytes < 0)
        return false;
    g->tensors[bytes].scale = scale;
    g->tensors[bytes].zero = zero;
    *second = (dv_node){.op = DV_OP_DEQUANTIZE, .n_in = 1, .n_out = 1};
    second->in = dv_malloc(sizeof *second->in);
    second->out = dv_malloc(sizeof *second->out);
    if (!second->in || !second->out) {
        dv_node_free(second);
        return false;
    }
    second->in[0] = bytes;
    second->out[0] = n->out[0];
    n->out[0] = bytes;
    n->op = DV_OP_QUANTIZE;
    for (int i = 0; i < n->n_attr; i++)
        dv_free(n->attr[i].v.i);
    n->n_attr = 0;
    return true;
}

dmv_status dv_import_pairs(dv_graph *g, dv_err *e)
{
    size_t pairs = 0, count = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        pairs += is_pair(&g->nodes[i]);
    if (pairs == 0)
        return DMV_OK;
    dv_node *all = dv_calloc(g->n_nodes + pairs, sizeof *all);
    if (!all)
        return dv_nomem(e);
    dmv_status st = DMV_OK;
    size_t left = 0; /* nodes not yet taken over */
    for (size_t i = 0; i < g->n_nodes; i++, left = i) {
        dv_node second;
        bool pair = is_pair(&g->nodes[i]);
        if (pair && !two_nodes(g, &g->nodes[i], &second)) {
            st = dv_nomem(e);
            break;
        }
        all[count++] = g->nodes[i];
        if (pair)
            all[count++] = second;
    }
    if (st) { /* the graph stays whole for the caller to free */
        for (size_t i = left; i < g->n_nodes; i++)
            all[count++] = g->nodes[i];
    }
    dv_free(g->nodes);
    g->nodes = all;
    g->n_nodes = count;
    g->cap_nodes = count;
    return st;
}
