/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse.c - what follows a Conv or Linear on the same elements is done by that op while the sums
 * are still in registers: residual add, then PReLU or activation. The layer's result
 * must have no other reader.
 */
#include "import/passes/passes.h"

/* A layer with a single reader n and nothing after its sums yet. */
static int32_t layer_before(const dv_rw *r, int32_t n, int32_t t, bool may_add)
{
    int32_t l = t < 0 ? -1 : r->t[t].from;
    if (l < 0 || dv_rw_user(r, t) != n)
        return -1;
    const dv_node *node = dv_rw_node(r, l);
    if (node->op != DV_OP_CONV && node->op != DV_OP_LINEAR && node->op != DV_OP_CONV_TRANSPOSE)
        return -1;
    if (may_add && node->op == DV_OP_CONV_TRANSPOSE)
        return -1;
    if (dv_rw_in(r, l, 3) >= 0 || (may_add && dv_rw_in(r, l, 4) >= 0) ||
        dv_node_int(node, DV_A_ACT, DV_ACT_NONE) != DV_ACT_NONE)
        return -1;
    return l;
}

static bool activation(dv_rw *r, int32_t n)
{
    int32_t l = layer_before(r, n, dv_rw_in(r, n, 0), false);
    const dv_node *node = dv_rw_node(r, n);
    if (l < 0 || dv_node_attr(node, DV_IMPORT_PAIR))
        return false;
    int64_t act = dv_node_int(node, DV_A_ACT, DV_ACT_NONE);
    float p = dv_node_float(node, DV_A_P, 0), q = dv_node_float(node, DV_A_Q, 0);
    if (!dv_rw_set_int(r, l, DV_A_ACT, act) || !dv_rw_set_float(r, l, DV_A_P, p) ||
        !dv_rw_set_float(r, l, DV_A_Q, q))
        return false;
    dv_rw_take(r, l, dv_rw_out(r, n));
    return true;
}

static bool prelu(dv_rw *r, int32_t n)
{
    int32_t y = dv_rw_in(r, n, 0), l = layer_before(r, n, y, false);
    if (l < 0)
        return false;
    const dv_dims *d = dv_rw_dims(r, y);
    if (d->rank < 1 || d->d[d->rank - 1] < 1 || !dv_rw_same(r, y, dv_rw_out(r, n)))
        return false;
    int64_t c = d->d[d->rank - 1];
    float *slope = dv_calloc((size_t)c, sizeof(*slope));
    if (!slope)
        return dv_rw_nomem(r);
    int32_t t = -1;
    if (dv_rw_channels(r, dv_rw_in(r, n, 1), d->rank, d->rank - 1, (size_t)c, slope))
        t = dv_rw_const(r, r->g->tensors[dv_rw_in(r, n, 1)].name, 1, &c, slope);
    dv_free(slope);
    if (t < 0)
        return false;
    dv_rw_set_in(r, l, 3, t);
    dv_rw_take(r, l, dv_rw_out(r, n));
    return true;
}

/* The layer that runs later takes the add, so that the other operand is there already. */
static bool residual(dv_rw *r, int32_t n)
{
    int32_t a = dv_rw_in(r, n, 0), b = dv_rw_in(r, n, 1), out = dv_rw_out(r, n);
    if (dv_node_int(dv_rw_node(r, n), DV_A_BINARY, DV_BIN_ADD) != DV_BIN_ADD || a == b ||
        !dv_rw_is_f32(r, out) || dv_rw_is_const(r, a) || dv_rw_is_const(r, b) ||
        !dv_rw_same(r, a, out) || !dv_rw_same(r, b, out))
        return false;
    int32_t la = layer_before(r, n, a, true), lb = layer_before(r, n, b, true);
    if (la < 0 && lb < 0)
        return false;
    bool second = lb > la;
    dv_rw_set_in(r, second ? lb : la, 4, second ? a : b);
    dv_rw_take(r, second ? lb : la, out);
    return true;
}

bool dv_pass_fuse(dv_rw *r)
{
    bool changed = false;
    for (int32_t n = 0; dv_rw_ok(r) && (size_t)n < r->g->n_nodes; n++) {
        uint16_t op = dv_rw_node(r, n)->op;
        if (op == DV_OP_ACT)
            changed |= activation(r, n);
        else if (op == DV_OP_PRELU)
            changed |= prelu(r, n);
        else if (op == DV_OP_BINARY)
            changed |= residual(r, n);
    }
    return changed;
}
