/* SPDX-License-Identifier: Apache-2.0
 *
 * fold.c - what is known now need not be worked out at run time. Float nodes of constants
 * are run once, in a graph of their own, by the same engine that would run them later.
 * Constant int64 inputs become attributes. (Int64 nodes are folded by dv_rw_infer.)
 */
#include "import/passes/passes.h"

#include <string.h>

#define FOLD_LIMIT ((size_t)1 << 22) /* floats: larger results stay computed */

/* A graph with node n alone; its constants are borrowed. */
static bool build_single(dv_rw *r, int32_t n, dv_graph *one)
{
    const dv_node *node = dv_rw_node(r, n);
    int32_t in[DV_MAX_IO], out[DV_MAX_IO];
    int64_t unit = 1;
    int32_t dummy = dv_graph_add_tensor(one, NULL, DV_F32, 1, &unit);
    bool ok = dummy >= 0;
    for (int i = 0; ok && i < node->n_in; i++) {
        in[i] = -1;
        if (node->in[i] < 0)
            continue;
        const dv_gtensor *c = &r->g->tensors[node->in[i]];
        in[i] = dv_graph_add_tensor(one, NULL, c->dtype, c->rank, c->dims);
        ok = in[i] >= 0;
        if (ok) {
            one->tensors[in[i]].data = c->data;
            one->tensors[in[i]].size = c->size;
            one->tensors[in[i]].pack = c->pack;
        }
    }
    for (int i = 0; ok && i < node->n_out; i++) {
        out[i] = dv_graph_add_tensor(one, NULL, r->g->tensors[node->out[i]].dtype, 0, NULL);
        ok = out[i] >= 0;
    }
    int32_t copy =
        ok ? dv_graph_add_node(one, node->op, node->name, node->n_in, in, node->n_out, out) : -1;
    for (int i = 0; copy >= 0 && i < node->n_attr; i++) {
        const dv_attr *a = &node->attr[i];
        ok = ok && (a->is_float ? dv_node_set_floats(&one->nodes[copy], a->key, a->v.f, a->n)
                                : dv_node_set_ints(&one->nodes[copy], a->key, a->v.i, a->n));
    }
    return ok && copy >= 0 && dv_graph_set_io(one, &dummy, 1, out, (size_t)node->n_out);
}

/* Runs it; constants for its outputs in c[]. An op that cannot run leaves the node alone. */
static bool run_single(dv_rw *r, int32_t n, const dv_graph *one, int32_t *c)
{
    int64_t unit = 1;
    const int64_t *dims = &unit;
    dv_exec *x = NULL;
    dv_err local;
    dmv_status st = dv_exec_open(one, &r->kernels, NULL, &x, &local);
    if (st == DMV_OK)
        st = dv_exec_shape(x, &dims, &local);
    bool done = st == DMV_OK;
    if (done)
        dv_exec_run(x);
    else if (st == DMV_ERR_MEMORY)
        dv_rw_nomem(r);
    int n_out = dv_rw_node(r, n)->n_out;
    for (int i = 0; done && i < n_out; i++) {
        const dv_value *v = dv_exec_output(x, (size_t)i);
        const char *name = r->g->tensors[dv_rw_node(r, n)->out[i]].name;
        done = v->dtype == DV_F32 && v->f && v->count > 0 && v->count <= FOLD_LIMIT;
        if (done) {
            c[i] = dv_rw_const(r, name, v->rank, v->dims, v->f);
            done = c[i] >= 0;
        }
    }
    dv_exec_close(&x);
    return done;
}

static bool fold_floats(dv_rw *r, int32_t n)
{
    const dv_node *node = dv_rw_node(r, n);
    if (node->op == DV_OP_NONE || node->n_in == 0 || dv_node_attr(node, DV_IMPORT_PAIR) ||
        node->n_in > DV_MAX_IO || node->n_out > DV_MAX_IO)
        return false;
    size_t count = 0;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] >= 0 && !dv_rw_is_const(r, node->in[i]))
            return false;
    for (int i = 0; i < node->n_out; i++) {
        const dv_dims *d = dv_rw_dims(r, node->out[i]);
        if (!dv_rw_is_f32(r, node->out[i]) || dv_rw_is_output(r, node->out[i]) ||
            !dv_dims_known(d) || !dv_count(d->rank, d->d, &count) || count > FOLD_LIMIT)
            return false;
    }
    dv_graph one;
    int32_t c[DV_MAX_IO], out[DV_MAX_IO];
    int n_out = node->n_out;
    memcpy(out, node->out, (size_t)n_out * sizeof(*out));
    dv_graph_init(&one);
    bool done = build_single(r, n, &one) ? run_single(r, n, &one, c) : dv_rw_nomem(r);
    dv_graph_free(&one);
    for (int i = 0; done && i < n_out; i++)
        dv_rw_replace(r, out[i], c[i]);
    return done;
}

/* Input i of n, if it is a constant, becomes attribute `key`. */
static bool to_attr(dv_rw *r, int32_t n, int i, uint16_t key)
{
    size_t count;
    const int64_t *v = dv_rw_i64(r, dv_rw_in(r, n, i), &count);
    if (!v || count > 2 * DMV_MAX_RANK || !dv_rw_set_ints(r, n, key, v, (int)count))
        return false;
    dv_rw_trim_in(r, n, i);
    return true;
}

static bool slice_to_attrs(dv_rw *r, int32_t n)
{
    static const uint16_t keys[] = {DV_A_STARTS, DV_A_ENDS, DV_A_AXES, DV_A_STEPS};
    const dv_node *node = dv_rw_node(r, n);
    size_t count, starts = 0;
    if (node->n_in < 3)
        return false;
    for (int i = 1; i < node->n_in; i++) {
        if (node->in[i] < 0)
            continue;
        if (!dv_rw_i64(r, node->in[i], &count) || count > DMV_MAX_RANK)
            return false;
        starts = i == 1 ? count : starts;
    }
    for (int i = 1; i <= 4; i++) {
        int64_t v[DMV_MAX_RANK];
        const int64_t *have = dv_rw_i64(r, dv_rw_in(r, n, i), &count);
        if (!have) {
            count = starts;
            for (size_t k = 0; k < count; k++)
                v[k] = i == 3 ? (int64_t)k : 1;
        } else {
            memcpy(v, have, count * sizeof(*v));
        }
        if (!dv_rw_set_ints(r, n, keys[i - 1], v, (int)count))
            return false;
    }
    dv_rw_trim_in(r, n, 1);
    return true;
}

bool dv_pass_fold(dv_rw *r)
{
    bool changed = false;
    for (int32_t n = 0; dv_rw_ok(r) && (size_t)n < r->g->n_nodes; n++) {
        if (fold_floats(r, n)) {
            changed = true;
            continue;
        }
        switch (dv_rw_node(r, n)->op) {
        case DV_OP_RESHAPE:
            changed |= to_attr(r, n, 1, DV_A_SHAPE);
            break;
        case DV_OP_SQUEEZE:
        case DV_OP_UNSQUEEZE:
            changed |= to_attr(r, n, 1, DV_A_AXES);
            break;
        case DV_OP_PAD:
            changed |= to_attr(r, n, 1, DV_A_PADS);
            break;
        case DV_OP_RESIZE:
            if (to_attr(r, n, 1, DV_A_SIZES)) {
                dv_rw_drop_attr(r, n, DV_A_SCALES);
                changed = true;
            }
            break;
        case DV_OP_SLICE:
            changed |= slice_to_attrs(r, n);
            break;
        default:
            break;
        }
    }
    return changed;
}
