/* SPDX-License-Identifier: Apache-2.0
 *
 * check.c - what a graph must satisfy before anything runs it. A .dmv file or an ONNX
 * net may come from anybody: after dv_graph_check no op meets a tensor number, weight shape
 * or attribute that it did not expect. Sizes that depend on the input are checked when
 * a session is shaped. */
#include <float.h>
#include <math.h>

#include "nn/exec.h"

const char *dv_step_label(const dv_step *s, char *buf, size_t size)
{
    snprintf(buf, size, "%s \"%.80s\"", dv_op_name(s->node->op),
             s->node->name ? s->node->name : "");
    return buf;
}

const dv_gtensor *dv_const_in(const dv_graph *g, const dv_node *n, int i)
{
    if (i >= n->n_in || n->in[i] < 0)
        return NULL;
    const dv_gtensor *t = &g->tensors[n->in[i]];
    return t->data ? t : NULL;
}

static dmv_status bad(dv_err *e, const dv_node *n, size_t at, const char *what)
{
    return dv_fail(e, DMV_ERR_FORMAT, "node %zu (%s \"%.80s\"): %s", at, dv_op_name(n->op),
                   n->name ? n->name : "", what);
}

static bool attrs_ok(const dv_node *n)
{
    for (int i = 0; i < n->n_attr; i++) {
        const dv_attr *a = &n->attr[i];
        if (a->n > 1u << 16 || (a->n && !a->v.i))
            return false;
        for (uint32_t j = 0; j < a->n; j++)
            if (a->is_float && a->v.f[j] != a->v.f[j])
                return false;
    }
    return true;
}

/* Integers may go through these ops, in and out alike. */
static bool moves_integers(uint16_t op)
{
    switch (op) {
    case DV_OP_BINARY:
    case DV_OP_CONCAT:
    case DV_OP_SPLIT:
    case DV_OP_SLICE:
    case DV_OP_GATHER:
    case DV_OP_TRANSPOSE:
    case DV_OP_RESHAPE:
    case DV_OP_FLATTEN:
    case DV_OP_SQUEEZE:
    case DV_OP_UNSQUEEZE:
    case DV_OP_EXPAND:
    case DV_OP_IDENTITY:
        return true;
    default:
        return false;
    }
}

/* Inputs after the first that are lists of integers. */
static bool takes_integers(uint16_t op, int i)
{
    switch (op) {
    case DV_OP_SLICE:
    case DV_OP_GATHER:
    case DV_OP_RESHAPE:
    case DV_OP_SQUEEZE:
    case DV_OP_UNSQUEEZE:
    case DV_OP_EXPAND:
    case DV_OP_PAD:
    case DV_OP_RESIZE:
        return i > 0;
    default:
        return false;
    }
}

/* Bytes may go through these ops, with one scale and zero point on all sides. */
static bool moves_bytes(uint16_t op)
{
    return (moves_integers(op) && op != DV_OP_BINARY) || op == DV_OP_MAX_POOL ||
           op == DV_OP_RESIZE || op == DV_OP_CHANNEL_SHUFFLE;
}

static bool is_q(uint16_t op)
{
    return op >= DV_OP_QUANTIZE && op <= DV_OP_Q_SE;
}

static bool is_h(uint16_t op)
{
    return op >= DV_OP_TO_HALF && op <= DV_OP_H_LINEAR;
}

static dv_dtype type_of(const dv_graph *g, const int32_t *list, int n, int i)
{
    return i < n && list[i] >= 0 ? g->tensors[list[i]].dtype : (dv_dtype)0;
}

/* The ops on 8 bits; constant inputs are left to their roles. */
static bool q_types_ok(const dv_graph *g, const dv_node *n)
{
    const dv_gtensor *o = &g->tensors[n->out[0]];
    dv_dtype in = type_of(g, n->in, n->n_in, 0);
    bool from_float = n->op == DV_OP_QUANTIZE,
         conv = n->op == DV_OP_Q_CONV || n->op == DV_OP_Q_LINEAR;
    if (in != (from_float ? DV_F32 : DV_U8))
        return false;
    if (n->op == DV_OP_Q_BINARY && type_of(g, n->in, n->n_in, 1) != DV_U8)
        return false;
    if (conv && n->n_in > 5 && n->in[5] >= 0 && type_of(g, n->in, n->n_in, 5) != DV_U8)
        return false;
    if (n->op == DV_OP_DEQUANTIZE || (conv && o->dtype == DV_F32))
        return o->dtype == DV_F32;
    /* what is computed needs a scale that is known, and so does what it is computed from */
    if (o->dtype != DV_U8 || (!from_float && (!(o->scale > 0) || o->zero != rintf(o->zero))))
        return false;
    for (int i = 0; i < n->n_in; i++)
        if (type_of(g, n->in, n->n_in, i) == DV_U8 && !(g->tensors[n->in[i]].scale > 0))
            return false;
    return true;
}

/* The ops on halves. */
static bool h_types_ok(const dv_graph *g, const dv_node *n)
{
    dv_dtype out = g->tensors[n->out[0]].dtype, add = type_of(g, n->in, n->n_in, 4);
    if (type_of(g, n->in, n->n_in, 0) != (n->op == DV_OP_TO_HALF ? DV_F32 : DV_F16))
        return false;
    if (n->op == DV_OP_H_CONV && g->tensors[n->in[1]].pack == DV_PACK_HDW && out != DV_F16)
        return false;
    if (n->op == DV_OP_TO_HALF || n->op == DV_OP_FROM_HALF)
        return out == (n->op == DV_OP_TO_HALF ? DV_F16 : DV_F32);
    return (out == DV_F16 || out == DV_F32) && (add == DV_F16 || !add);
}

static bool same_scale(const dv_gtensor *a, const dv_gtensor *b)
{
    return a->dtype != DV_U8 || (a->scale > 0 && a->scale == b->scale && a->zero == b->zero);
}

static bool types_ok(const dv_graph *g, const dv_node *n)
{
    dv_dtype first = n->n_in && n->in[0] >= 0 ? g->tensors[n->in[0]].dtype : DV_F32;
    if (is_q(n->op))
        return q_types_ok(g, n);
    if (is_h(n->op))
        return h_types_ok(g, n);
    if (first == DV_S8 || first == DV_F16 || (first == DV_U8 && !moves_bytes(n->op)))
        return false;
    if (n->op == DV_OP_SHAPE || n->op == DV_OP_CAST)
        return true;
    if (first == DV_I64 && !moves_integers(n->op))
        return false;
    for (int i = 1; first == DV_U8 && i < n->n_in; i++)
        if (type_of(g, n->in, n->n_in, i) == DV_U8 &&
            !same_scale(&g->tensors[n->in[0]], &g->tensors[n->in[i]]))
            return false;
    for (int i = 0; first == DV_U8 && i < n->n_out; i++)
        if (!same_scale(&g->tensors[n->in[0]], &g->tensors[n->out[i]]))
            return false;
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] >= 0 &&
            g->tensors[n->in[i]].dtype != (takes_integers(n->op, i) ? DV_I64 : first))
            return false;
    for (int i = 0; i < n->n_out; i++)
        if (g->tensors[n->out[i]].dtype != first)
            return false;
    return true;
}

static dv_dtype role_type(uint8_t role)
{
    return role == DV_ROLE_S8 ? DV_S8 : role == DV_ROLE_HALF ? DV_F16 : DV_F32;
}

static dmv_status check_node(const dv_graph *g, size_t at, uint8_t *state, dv_err *e)
{
    const dv_node *n = &g->nodes[at];
    if (n->op == DV_OP_NONE || n->op >= DV_OP_COUNT)
        return dv_fail(e, DMV_ERR_FORMAT, "node %zu has an unknown op number %u", at, n->op);
    const dv_op *op = dv_ops[n->op];
    if (n->n_in < op->min_in || n->n_in > op->max_in || n->n_out < op->min_out ||
        n->n_out > op->max_out)
        return bad(e, n, at, "wrong number of inputs or outputs");
    if (!attrs_ok(n))
        return bad(e, n, at, "absurd attribute");
    for (int i = 0; i < n->n_in; i++) {
        int32_t t = n->in[i];
        if (t == -1 && i >= op->first_optional)
            continue;
        if (t < 0 || (size_t)t >= g->n_tensors)
            return bad(e, n, at, "input tensor out of range");
        if (!state[t])
            return bad(e, n, at, "reads a tensor before it is written (a cycle?)");
        const dv_gtensor *c = &g->tensors[t];
        if (c->data && c->pack != DV_PACK_NONE && (i > 4 || op->roles[i] == DV_ROLE_PLAIN))
            return bad(e, n, at, "reads packed weights as a plain tensor");
        if (i < 5 && op->roles[i] != DV_ROLE_PLAIN &&
            (!c->data || c->dtype != role_type(op->roles[i])))
            return bad(e, n, at, "weights are not constant");
        if (i < 5 && op->roles[i] == DV_ROLE_VEC && c->pack != DV_PACK_VEC &&
            c->pack != DV_PACK_NONE)
            return bad(e, n, at, "bias or slope is packed the wrong way");
    }
    for (int i = 0; i < n->n_out; i++) {
        int32_t t = n->out[i];
        if (t < 0 || (size_t)t >= g->n_tensors || state[t])
            return bad(e, n, at, "output tensor out of range or written twice");
        state[t] = 1;
    }
    if (!types_ok(g, n))
        return bad(e, n, at, "mixes types, or 8-bit scales");
    if (op->check) {
        dmv_status st = op->check(g, n, e);
        if (st)
            return dv_fail_in(e, "node %zu (%s \"%.80s\")", at, dv_op_name(n->op),
                              n->name ? n->name : "");
    }
    return DMV_OK;
}

dmv_status dv_graph_check(const dv_graph *g, dv_err *e)
{
    if (g->n_tensors > INT32_MAX || g->n_inputs < 1 || g->n_inputs > DV_MAX_IO ||
        g->n_outputs < 1 || g->n_outputs > 4 * DV_MAX_IO)
        return dv_fail(e, DMV_ERR_FORMAT, "the graph has no inputs or outputs, or too many");
    uint8_t *state = dv_calloc(g->n_tensors ? g->n_tensors : 1, 1);
    if (!state)
        return dv_nomem(e);
    dmv_status st = DMV_OK;
    for (size_t i = 0; i < g->n_tensors && !st; i++) {
        const dv_gtensor *t = &g->tensors[i];
        size_t bytes;
        if (t->dtype < DV_F32 || t->dtype > DV_F16 || t->rank < 0 || t->rank > DMV_MAX_RANK ||
            (t->dtype == DV_U8 && t->data) || (t->dtype == DV_S8 && !t->data))
            st = dv_fail(e, DMV_ERR_FORMAT, "tensor %zu has a bad type or rank", i);
        else if (t->dtype == DV_U8 &&
                 !(t->scale >= 0 && t->scale <= FLT_MAX && t->zero >= 0 && t->zero <= 255))
            st = dv_fail(e, DMV_ERR_FORMAT, "tensor %zu has an absurd scale or zero point", i);
        else if (t->data) {
            /* panels depend on the group count: the node that reads them checks them */
            if (t->pack != DV_PACK_PANEL &&
                (!dv_tensor_bytes(t->dtype, t->pack, t->rank, t->dims, 1, &bytes) ||
                 bytes != t->size))
                st = dv_fail(e, DMV_ERR_FORMAT, "tensor %zu: its size does not match its shape", i);
            state[i] = 1;
        } else if (t->pack != DV_PACK_NONE) {
            st = dv_fail(e, DMV_ERR_FORMAT, "tensor %zu is packed but not constant", i);
        }
    }
    for (size_t i = 0; i < g->n_inputs && !st; i++) {
        int32_t t = g->inputs[i];
        if (t < 0 || (size_t)t >= g->n_tensors || state[t] || g->tensors[t].dtype != DV_F32) {
            st = dv_fail(e, DMV_ERR_FORMAT, "graph input %zu is not a float tensor of its own", i);
            break;
        }
        for (int d = 0; d < g->tensors[t].rank && !st; d++) {
            int64_t v = g->tensors[t].dims[d];
            if (v != -1 && (v < 1 || v > 1 << 24))
                st = dv_fail(e, DMV_ERR_FORMAT, "graph input %zu has an absurd shape", i);
        }
        state[t] = 1;
    }
    for (size_t i = 0; i < g->n_nodes && !st; i++)
        st = check_node(g, i, state, e);
    for (size_t i = 0; i < g->n_outputs && !st; i++) {
        int32_t t = g->outputs[i];
        if (t < 0 || (size_t)t >= g->n_tensors || !state[t])
            st = dv_fail(e, DMV_ERR_FORMAT, "graph output %zu is never computed", i);
        else if (g->tensors[t].dtype != DV_F32 || g->tensors[t].pack != DV_PACK_NONE)
            st = dv_fail(e, DMV_ERR_UNSUPPORTED, "graph output %zu is not a float tensor", i);
    }
    dv_free(state);
    return st;
}
