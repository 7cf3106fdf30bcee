/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c - lifetimes to offsets. Greedy by size: the largest tensor first, each at
 * the lowest place where it does not meet a tensor that lives at the same time. For chain-like
 * nets this is within a few percent of the lower bound (the largest sum alive at once).
 * Graph inputs live for ever, so that a net can be run twice on one input; outputs live
 * until the end, and so does the tensor at which a net is cut. */
#include "nn/bands.h"
#include "nn/plan.h"

#include <stdlib.h>

int32_t dv_root(const dv_exec *x, int32_t t)
{
    while (x->v[t].root != t)
        t = x->v[t].root;
    return t;
}

static bool in_arena(const dv_exec *x, int32_t t)
{
    return x->v[t].dtype != DV_I64 && !x->g->tensors[t].data && !dv_bands_inner(x, t);
}

static void touch(dv_exec *x, int32_t t, int32_t step)
{
    dv_value *r = &x->v[dv_root(x, t)];
    r->first = DV_MIN(r->first, step);
    r->last = DV_MAX(r->last, step);
}

static void lifetimes(dv_exec *x)
{
    const dv_graph *g = x->g;
    int32_t end = (int32_t)g->n_nodes;
    for (size_t i = 0; i < g->n_tensors; i++) {
        x->v[i].first = INT32_MAX;
        x->v[i].last = -1;
    }
    for (size_t i = 0; i < g->n_inputs; i++) {
        touch(x, g->inputs[i], -1);
        touch(x, g->inputs[i], end);
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dv_step *s = &x->steps[i];
        if (s->skip)
            continue;
        /* the steps of a group run at the same time */
        int32_t from = (int32_t)i, to = (int32_t)i;
        const struct dv_group *group = dv_bands_at(x, i);
        if (group)
            dv_bands_span(group, &from, &to);
        for (int j = 0; j < s->node->n_in; j++)
            if (s->node->in[j] >= 0) {
                touch(x, s->node->in[j], from);
                touch(x, s->node->in[j], to);
            }
        for (int j = 0; j < s->node->n_out; j++) {
            touch(x, s->node->out[j], from);
            touch(x, s->node->out[j], to);
        }
    }
    for (size_t i = 0; i < g->n_outputs; i++)
        touch(x, g->outputs[i], end);
    if (x->cut)
        touch(x, x->feature, end);
}

/* The output takes the memory of an input that nobody reads afterwards. */
static void share_in_place(dv_exec *x)
{
    for (size_t i = 0; i < x->g->n_nodes; i++) {
        const dv_step *s = &x->steps[i];
        if (s->skip || !s->op->in_place || s->node->n_out != 1 || dv_bands_at(x, i))
            continue;
        int32_t o = s->node->out[0];
        for (int j = 0; j < s->node->n_in && j < 8; j++) {
            if (!(s->op->in_place >> j & 1) || s->node->in[j] < 0)
                continue;
            int32_t r = dv_root(x, s->node->in[j]);
            bool alone = true; /* no other input of this step lives there */
            for (int k = 0; k < s->node->n_in; k++)
                if (k != j && s->node->in[k] >= 0 && dv_root(x, s->node->in[k]) == r)
                    alone = s->node->op == DV_OP_BINARY && s->node->in[k] == s->node->in[j];
            if (!in_arena(x, r) || !alone || r == o || x->v[r].last != (int32_t)i ||
                x->v[r].count != x->v[o].count || x->v[r].dtype != x->v[o].dtype ||
                x->v[o].root != o || x->v[s->node->in[j]].count != x->v[o].count)
                continue;
            x->v[r].last = x->v[o].last;
            x->v[o].root = r;
            break;
        }
    }
}

struct slot {
    int32_t t;
    size_t size;
};

static int by_size(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return x->t < y->t ? -1 : x->t > y->t;
}

/* Bytes of a tensor's place: convolutions of 8 bits read up to 3 bytes behind the last. */
static size_t room(const dv_value *v)
{
    return dv_round_up(v->count * dv_dtype_size(v->dtype) + 4, DV_ALIGN);
}

dmv_status dv_plan(dv_exec *x, dv_err *e)
{
    lifetimes(x);
    share_in_place(x);
    size_t n = 0, top = 0;
    struct slot *slots = dv_calloc(x->g->n_tensors, sizeof *slots);
    int32_t *placed = dv_calloc(x->g->n_tensors, sizeof *placed); /* by offset */
    if (!slots || !placed) {
        dv_free(slots);
        dv_free(placed);
        return dv_nomem(e);
    }
    for (size_t i = 0; i < x->g->n_tensors; i++) {
        const dv_value *v = &x->v[i];
        if (v->root == (int32_t)i && v->last >= 0 && in_arena(x, (int32_t)i))
            slots[n++] = (struct slot){(int32_t)i, room(v)};
    }
    qsort(slots, n, sizeof *slots, by_size);
    for (size_t i = 0; i < n; i++) {
        dv_value *v = &x->v[slots[i].t];
        size_t at = 0, k = 0;
        for (size_t j = 0; j < i; j++) { /* placed: sorted by offset */
            const dv_value *p = &x->v[placed[j]];
            if (p->first > v->last || p->last < v->first)
                continue;
            if (p->offset >= at && p->offset - at >= slots[i].size)
                break;
            at = DV_MAX(at, p->offset + room(p));
        }
        size_t end;
        if (!dv_add(at, slots[i].size, &end)) { /* 32-bit machines */
            dv_free(slots);
            dv_free(placed);
            return dv_fail(e, DMV_ERR_LIMIT, "the net wants too much memory for this size");
        }
        v->offset = at;
        top = DV_MAX(top, end);
        for (k = i; k > 0 && x->v[placed[k - 1]].offset > at; k--)
            placed[k] = placed[k - 1];
        placed[k] = slots[i].t;
    }
    dv_free(slots);
    dv_free(placed);
    x->arena_size = top;
    return DMV_OK;
}
