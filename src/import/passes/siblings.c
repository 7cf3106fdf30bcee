/* SPDX-License-Identifier: Apache-2.0
 *
 * siblings.c - narrow pointwise convolutions of one tensor become one. The kernels compute whole
 * panels of 16 output channels, so heads of 1, 1, 4 and 10 channels cost four panels side
 * by side and one when joined. Depthwise convolutions behind them join as well; a Split gives each
 * reader its channels back.
 */
#include "import/passes/passes.h"

#include <string.h>

#include "kernels/kernels.h"

#define MOST 16 /* siblings joined at once */

typedef struct family {
    int32_t node[MOST], deep[MOST]; /* the pointwise convolution; the depthwise one behind it */
    int64_t width[MOST], sum;
    int n;
} family;

static bool same_ints(const dv_node *a, const dv_node *b, uint16_t key, int64_t fallback)
{
    int64_t x[4] = {fallback, fallback, fallback, fallback}, y[4];
    memcpy(y, x, sizeof y);
    dv_node_ints(a, key, x, 4);
    dv_node_ints(b, key, y, 4);
    return !memcmp(x, y, sizeof x);
}

static bool same_form(const dv_node *a, const dv_node *b)
{
    return same_ints(a, b, DV_A_KERNEL, 1) && same_ints(a, b, DV_A_STRIDE, 1) &&
           same_ints(a, b, DV_A_DILATION, 1) && same_ints(a, b, DV_A_PADS, 0);
}

static bool same_act(const dv_node *a, const dv_node *b)
{
    return dv_node_int(a, DV_A_ACT, DV_ACT_NONE) == dv_node_int(b, DV_A_ACT, DV_ACT_NONE) &&
           dv_node_float(a, DV_A_P, 0) == dv_node_float(b, DV_A_P, 0) &&
           dv_node_float(a, DV_A_Q, 0) == dv_node_float(b, DV_A_Q, 0);
}

static bool copy_act(dv_rw *r, const dv_node *from, int32_t to)
{
    int64_t act = dv_node_int(from, DV_A_ACT, DV_ACT_NONE);
    float p = dv_node_float(from, DV_A_P, 0), q = dv_node_float(from, DV_A_Q, 0);
    return dv_rw_set_int(r, to, DV_A_ACT, act) && dv_rw_set_float(r, to, DV_A_P, p) &&
           dv_rw_set_float(r, to, DV_A_Q, q);
}

/* Output channels of a convolution with constant weights and nothing but an activation behind
 * its sums; 0 if n is not that. */
static int64_t width_of(const dv_rw *r, int32_t n)
{
    if (!dv_rw_is(r, n, DV_OP_CONV) || dv_rw_in(r, n, 3) >= 0 || dv_rw_in(r, n, 4) >= 0 ||
        dv_node_attr(dv_rw_node(r, n), DV_IMPORT_SCALES))
        return 0;
    int32_t w = dv_rw_in(r, n, 1), b = dv_rw_in(r, n, 2);
    size_t count;
    if (!dv_rw_floats(r, w, &count) || r->g->tensors[w].rank != 4)
        return 0;
    int64_t c = r->g->tensors[w].dims[3];
    return b >= 0 && (!dv_rw_floats(r, b, &count) || count != (size_t)c) ? 0 : c;
}

static bool is_pointwise(const dv_rw *r, int32_t n)
{
    int64_t k[2] = {0, 0};
    dv_node_ints(dv_rw_node(r, n), DV_A_KERNEL, k, 2);
    return k[0] == 1 && k[1] == 1 && dv_node_int(dv_rw_node(r, n), DV_A_GROUP, 1) == 1;
}

/* The depthwise convolution that alone reads t (c channels), else -1. */
static int32_t depthwise_user(const dv_rw *r, int32_t t, int64_t c)
{
    int32_t n = dv_rw_user(r, t);
    if (n < 0 || dv_rw_in(r, n, 0) != t || width_of(r, n) != c ||
        dv_node_int(dv_rw_node(r, n), DV_A_GROUP, 1) != c)
        return -1;
    return r->g->tensors[dv_rw_in(r, n, 1)].dims[2] == 1 ? n : -1;
}

/* The pointwise convolutions that read what n reads and look like n. */
static void gather(const dv_rw *r, int32_t n, family *f)
{
    int64_t panels = 0;
    f->n = 0;
    f->sum = 0;
    for (int32_t m = n; (size_t)m < r->g->n_nodes && f->n < MOST; m++) {
        int64_t c = width_of(r, m);
        if (c == 0 || c % DV_PANEL == 0 || !is_pointwise(r, m) ||
            dv_rw_in(r, m, 0) != dv_rw_in(r, n, 0) ||
            !same_form(dv_rw_node(r, n), dv_rw_node(r, m)) ||
            !same_act(dv_rw_node(r, n), dv_rw_node(r, m)))
            continue;
        f->node[f->n] = m;
        f->deep[f->n] = depthwise_user(r, dv_rw_out(r, m), c);
        f->width[f->n++] = c;
        f->sum += c;
        panels += (c + DV_PANEL - 1) / DV_PANEL;
    }
    if ((f->sum + DV_PANEL - 1) / DV_PANEL >= panels)
        f->n = 0;
}

static bool all_deep(const dv_rw *r, const family *f)
{
    for (int i = 0; i < f->n; i++)
        if (f->deep[i] < 0 || !same_form(dv_rw_node(r, f->deep[0]), dv_rw_node(r, f->deep[i])))
            return false;
    return true;
}

/* One convolution of x with the weights of all nodes side by side, without activation. */
static int32_t joined(dv_rw *r, const family *f, const int32_t *node, int32_t x)
{
    const dv_gtensor *w0 = &r->g->tensors[dv_rw_in(r, node[0], 1)];
    int64_t dims[4] = {w0->dims[0], w0->dims[1], w0->dims[2], f->sum};
    size_t k = (size_t)(dims[0] * dims[1] * dims[2]), sum = (size_t)f->sum, at = 0, count;
    float *w = dv_calloc(k * sum, sizeof *w), *b = dv_calloc(sum, sizeof *b);
    if (!w || !b)
        dv_rw_nomem(r);
    for (int i = 0; dv_rw_ok(r) && i < f->n; i++) {
        size_t c = (size_t)f->width[i];
        const float *src = dv_rw_floats(r, dv_rw_in(r, node[i], 1), &count);
        for (size_t j = 0; j < k; j++)
            memcpy(w + j * sum + at, src + j * c, c * sizeof *w);
        if (dv_rw_in(r, node[i], 2) >= 0)
            memcpy(b + at, dv_rw_floats(r, dv_rw_in(r, node[i], 2), &count), c * sizeof *b);
        at += c;
    }
    int32_t in[3] = {x, -1, -1}, n = -1;
    if (dv_rw_ok(r)) {
        in[1] = dv_rw_const(r, NULL, 4, dims, w);
        in[2] = dv_rw_const(r, NULL, 1, dims + 3, b);
    }
    dv_free(w);
    dv_free(b);
    dv_dims d = *dv_rw_dims(r, dv_rw_out(r, node[0]));
    d.d[3] = f->sum;
    if (dv_rw_ok(r))
        n = dv_rw_add(r, DV_OP_CONV, dv_rw_node(r, node[0])->name, 3, in, -1, &d);
    static const uint16_t keys[] = {DV_A_KERNEL, DV_A_STRIDE, DV_A_DILATION, DV_A_PADS};
    for (size_t i = 0; n >= 0 && i < DV_COUNT(keys); i++) {
        int64_t v[4];
        uint32_t got = dv_node_ints(dv_rw_node(r, node[0]), keys[i], v, 4);
        if (got && !dv_rw_set_ints(r, n, keys[i], v, (int)got))
            return -1;
    }
    return n;
}

/* The outputs of a Split of y with the channels of f become `out`; those nodes that made them
 * go. Activations that differ stand behind the Split, one each. */
static bool part(dv_rw *r, const family *f, int32_t y, const int32_t *node, bool acts)
{
    int32_t fresh[MOST];
    for (int i = 0; i < f->n; i++)
        fresh[i] = dv_rw_tensor(r, dv_rw_dims(r, dv_rw_out(r, node[i])));
    if (!dv_rw_ok(r))
        return false;
    int32_t split = dv_graph_add_node(r->g, DV_OP_SPLIT, NULL, 1, &y, f->n, fresh);
    if (split < 0)
        return dv_rw_nomem(r);
    r->t[y].uses++;
    for (int i = 0; i < f->n; i++)
        r->t[fresh[i]].from = split;
    if (!dv_rw_set_int(r, split, DV_A_AXIS, 3) ||
        !dv_rw_set_ints(r, split, DV_A_SPLIT, f->width, f->n))
        return false;
    for (int i = 0; i < f->n; i++) {
        int32_t out = dv_rw_out(r, node[i]);
        if (acts && dv_node_int(dv_rw_node(r, node[i]), DV_A_ACT, DV_ACT_NONE) != DV_ACT_NONE) {
            int32_t act = dv_rw_add(r, DV_OP_ACT, dv_rw_node(r, node[i])->name, 1, &fresh[i], -1,
                                    dv_rw_dims(r, out));
            if (act < 0 || !copy_act(r, dv_rw_node(r, node[i]), act))
                return false;
            dv_rw_take(r, act, out);
            continue;
        }
        dv_rw_set_out(r, split, i, out);
        dv_rw_kill(r, node[i]);
    }
    return dv_rw_ok(r);
}

static bool join(dv_rw *r, const family *f)
{
    bool deep = all_deep(r, f);
    const int32_t *last = deep ? f->deep : f->node;
    int32_t n = joined(r, f, f->node, dv_rw_in(r, f->node[0], 0));
    if (n < 0 || !copy_act(r, dv_rw_node(r, f->node[0]), n))
        return false;
    bool alike = true;
    if (deep) {
        n = joined(r, f, f->deep, dv_rw_out(r, n));
        for (int i = 1; i < f->n; i++)
            alike = alike && same_act(dv_rw_node(r, f->deep[0]), dv_rw_node(r, f->deep[i]));
        if (n < 0 || !dv_rw_set_int(r, n, DV_A_GROUP, f->sum) ||
            (alike && !copy_act(r, dv_rw_node(r, f->deep[0]), n)))
            return false;
    }
    return part(r, f, dv_rw_out(r, n), last, !alike);
}

bool dv_pass_siblings(dv_rw *r)
{
    bool changed = false;
    size_t nodes = r->g->n_nodes;
    for (int32_t n = 0; dv_rw_ok(r) && (size_t)n < nodes; n++) {
        family f;
        if (width_of(r, n) == 0 || !is_pointwise(r, n))
            continue;
        gather(r, n, &f);
        if (f.n > 1)
            changed |= join(r, &f);
    }
    return changed;
}
