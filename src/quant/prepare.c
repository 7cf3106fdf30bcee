/* SPDX-License-Identifier: Apache-2.0
 *
 * prepare.c - a copy of a float net that can be rewritten: weights row-major again, and every
 * activation that 8-bit nets do by a table in a node of its own, so that the values before it
 * are seen by the calibration.
 */
#include <string.h>

#include "quant/quant_priv.h"

/* Packed floats back to row-major. */
static void unpack(const dv_gtensor *t, int64_t groups, float *out)
{
    const float *p = t->data;
    size_t last = (size_t)t->dims[t->rank - 1], k = 1;
    for (int i = 0; i + 1 < t->rank; i++)
        k *= (size_t)t->dims[i];
    size_t each = t->pack == DV_PACK_PANEL ? last / (size_t)groups : last;
    size_t step = dv_panel_size(k, each);
    for (size_t j = 0; j < last; j++) {
        size_t in = j % each;
        const float *q = p + j / each * step;
        for (size_t i = 0; i < k; i++)
            out[i * last + j] = t->pack == DV_PACK_PANEL
                                    ? q[in / DV_PANEL * DV_PANEL * k + i * DV_PANEL + in % DV_PANEL]
                                    : p[i * dv_round_up(last, DV_PANEL) + j];
    }
}

dmv_status dv_quant_copy_attrs(dv_node *to, const dv_node *from, dv_err *e)
{
    for (int i = 0; i < from->n_attr; i++) {
        const dv_attr *a = &from->attr[i];
        if (!(a->is_float ? dv_node_set_floats(to, a->key, a->v.f, a->n)
                          : dv_node_set_ints(to, a->key, a->v.i, a->n)))
            return dv_nomem(e);
    }
    return DMV_OK;
}

static dmv_status copy_tensor(const dv_graph *from, size_t i, const int64_t *groups, dv_graph *to,
                              dv_err *e)
{
    const dv_gtensor *t = &from->tensors[i];
    int32_t id = dv_graph_add_tensor(to, t->name, t->dtype, t->rank, t->dims);
    if (id < 0)
        return dv_nomem(e);
    dv_gtensor *o = &to->tensors[id];
    o->pack = t->pack;
    o->scale = t->scale;
    o->zero = t->zero;
    o->data = t->data;
    o->size = t->size;
    if (!t->data || t->pack == DV_PACK_NONE)
        return DMV_OK;
    size_t bytes;
    if (!dv_tensor_bytes(DV_F32, DV_PACK_NONE, t->rank, t->dims, 1, &bytes))
        return dv_fail(e, DMV_ERR_FORMAT, "a tensor has an impossible shape");
    float *plain = dv_alloc_aligned(bytes);
    if (!plain)
        return dv_nomem(e);
    unpack(t, groups[i], plain);
    o->pack = DV_PACK_NONE;
    o->data = plain;
    o->size = bytes;
    o->owned = true;
    return DMV_OK;
}

/* Done by a table of bytes, or by floats, but not by the kernel that sums. */
static bool stands_alone(const dv_node *n)
{
    int64_t act = dv_node_int(n, DV_A_ACT, DV_ACT_NONE);
    return (n->op == DV_OP_CONV || n->op == DV_OP_LINEAR) && act != DV_ACT_NONE &&
           act != DV_ACT_CLIP && act != DV_ACT_LEAKY;
}

static dmv_status copy_node(const dv_node *n, dv_graph *to, dv_err *e)
{
    int32_t out[DV_MAX_IO];
    memcpy(out, n->out, (size_t)n->n_out * sizeof *out);
    bool split = stands_alone(n);
    if (split) {
        const dv_gtensor *t = &to->tensors[n->out[0]];
        int rank = t->rank;
        int64_t dims[DMV_MAX_RANK];
        memcpy(dims, t->dims, sizeof dims);
        if ((out[0] = dv_graph_add_tensor(to, NULL, DV_F32, rank, dims)) < 0)
            return dv_nomem(e);
    }
    int32_t id = dv_graph_add_node(to, n->op, n->name, n->n_in, n->in, n->n_out, out);
    if (id < 0)
        return dv_nomem(e);
    dmv_status st = dv_quant_copy_attrs(&to->nodes[id], n, e);
    if (st || !split)
        return st;
    int32_t act = dv_graph_add_node(to, DV_OP_ACT, n->name, 1, out, 1, n->out);
    if (act < 0 || !dv_node_set_int(&to->nodes[id], DV_A_ACT, DV_ACT_NONE) ||
        !dv_node_set_int(&to->nodes[act], DV_A_ACT, dv_node_int(n, DV_A_ACT, DV_ACT_NONE)) ||
        !dv_node_set_float(&to->nodes[act], DV_A_P, dv_node_float(n, DV_A_P, 0)) ||
        !dv_node_set_float(&to->nodes[act], DV_A_Q, dv_node_float(n, DV_A_Q, 0)))
        return dv_nomem(e);
    return DMV_OK;
}

dmv_status dv_quant_prepare(const dv_graph *from, bool pairs, dv_graph *to, dv_err *e)
{
    dv_graph_init(to);
    int64_t *groups = dv_calloc(from->n_tensors + 1, sizeof *groups);
    dmv_status st = groups ? DMV_OK : dv_nomem(e);
    for (size_t i = 0; !st && i < from->n_tensors; i++)
        groups[i] = 1;
    for (size_t i = 0; !st && i < from->n_nodes; i++) {
        const dv_node *n = &from->nodes[i];
        if (n->op >= (pairs ? DV_OP_Q_CONV : DV_OP_QUANTIZE) && n->op <= DV_OP_Q_SE)
            st = dv_fail(e, DMV_ERR_ARGUMENT, "the net is 8-bit already");
        if (n->op >= DV_OP_TO_HALF && n->op <= DV_OP_H_LINEAR)
            st = dv_fail(e, DMV_ERR_ARGUMENT, "the net is in half precision; give the float net");
        for (int j = 0; j < n->n_in; j++)
            if (n->op == DV_OP_CONV && j == 1 && n->in[j] >= 0)
                groups[n->in[j]] = dv_node_int(n, DV_A_GROUP, 1);
    }
    for (size_t i = 0; !st && i < from->n_tensors; i++)
        st = copy_tensor(from, i, groups, to, e);
    for (size_t i = 0; !st && i < from->n_nodes; i++)
        st = copy_node(&from->nodes[i], to, e);
    if (!st && !dv_graph_set_io(to, from->inputs, from->n_inputs, from->outputs, from->n_outputs))
        st = dv_nomem(e);
    dv_free(groups);
    if (st)
        dv_graph_free(to);
    return st;
}
