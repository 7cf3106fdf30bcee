/* SPDX-License-Identifier: Apache-2.0
 *
 * half.c - the same net with its convolutions and matrix products in half precision. A tensor has a
 * float form, a half form or both, made where somebody first asks for it.
 */
#include <math.h>
#include <string.h>

#include "import/import.h"
#include "kernels/kernels.h"
#include "quant/quant_priv.h"

typedef struct halver {
    const dv_graph *net;
    dv_graph *g;
    dv_err *e;
    bool *half;     /* by node: computed in halves */
    bool *wanted;   /* by tensor: a layer in halves reads it */
    int32_t *f, *h; /* forms in the new graph, -1 = not there */
} halver;

static int32_t in_of(const dv_node *n, int i)
{
    return i < n->n_in ? n->in[i] : -1;
}

static bool fits(const dv_gtensor *t)
{
    const float *v = t ? t->data : NULL;
    for (size_t i = 0; v && i < t->size / sizeof *v; i++)
        if (!(fabsf(v[i]) < 65504))
            return false;
    return true;
}

static bool is_depthwise(const dv_node *n, const dv_gtensor *w)
{
    return n->op == DV_OP_CONV && w->dims[2] == 1 && w->dims[3] > 1 &&
           dv_node_int(n, DV_A_GROUP, 1) == w->dims[3];
}

/* Could this layer compute in halves? Depthwise ones only between others: they are bound by memory,
 * and turning their input would cost what they gain. */
static bool can(const halver *p, const dv_node *n)
{
    const dv_gtensor *w = dv_const_in(p->net, n, 1);
    int64_t act = dv_node_int(n, DV_A_ACT, DV_ACT_NONE), dilation[2] = {1, 1};
    if ((n->op != DV_OP_CONV && n->op != DV_OP_LINEAR) || !w || w->dtype != DV_F32 ||
        (act != DV_ACT_NONE && act != DV_ACT_CLIP && act != DV_ACT_LEAKY) || !fits(w) ||
        !fits(dv_const_in(p->net, n, 2)) || !fits(dv_const_in(p->net, n, 3)))
        return false;
    if (n->op == DV_OP_LINEAR)
        return w->dims[0] % 2 == 0;
    dv_node_ints(n, DV_A_DILATION, dilation, 2);
    if (is_depthwise(n, w))
        return p->wanted[n->out[0]];
    return dv_node_int(n, DV_A_GROUP, 1) == 1 && w->dims[2] % 2 == 0 && dilation[1] == 1;
}

static int32_t add_tensor(halver *p, int32_t like, dv_dtype type)
{
    const dv_gtensor *t = &p->net->tensors[like];
    int32_t id = dv_graph_add_tensor(p->g, t->name, type, t->rank, t->dims);
    if (id < 0)
        dv_nomem(p->e);
    return id;
}

static int32_t add_node(halver *p, uint16_t op, const char *name, int n, const int32_t *in,
                        int32_t out)
{
    int32_t id = out < 0 ? -1 : dv_graph_add_node(p->g, op, name, n, in, 1, &out);
    if (out >= 0 && id < 0)
        dv_nomem(p->e);
    return id;
}

/* The form asked for; -1 for an input that is left out, -2 after a failure. */
static int32_t form(halver *p, int32_t t, bool half)
{
    if (t < 0)
        return -1;
    int32_t *own = half ? &p->h[t] : &p->f[t], other = half ? p->f[t] : p->h[t];
    if (*own >= 0)
        return *own;
    const dv_gtensor s = p->net->tensors[t];
    if (s.data) { /* a constant of a float op */
        int32_t id = add_tensor(p, t, s.dtype);
        if (id < 0)
            return -2;
        p->g->tensors[id].data = s.data;
        p->g->tensors[id].size = s.size;
        p->g->tensors[id].pack = s.pack;
        return p->f[t] = id;
    }
    int32_t id = add_tensor(p, t, half ? DV_F16 : DV_F32);
    if (id < 0 || add_node(p, half ? DV_OP_TO_HALF : DV_OP_FROM_HALF, NULL, 1, &other, id) < 0)
        return -2;
    return *own = id;
}

/* Weights, bias or slope in halves. */
static int32_t constant(halver *p, const dv_gtensor *t, dv_pack pack, const float *v)
{
    size_t bytes, last = (size_t)t->dims[t->rank - 1], k;
    if (!dv_tensor_bytes(DV_F16, pack, t->rank, t->dims, 1, &bytes))
        return dv_fail(p->e, DMV_ERR_FORMAT, "weights of an impossible shape"), -2;
    uint16_t *out = dv_alloc_aligned(bytes);
    int32_t id = out ? dv_graph_add_tensor(p->g, t->name, DV_F16, t->rank, t->dims) : -1;
    if (id < 0) {
        dv_free(out);
        dv_nomem(p->e);
        return -2;
    }
    memset(out, 0, bytes);
    k = bytes / sizeof *out / dv_round_up(last, DV_HPANEL);
    if (pack == DV_PACK_HPANEL)
        dv_pack_panels_f16(k, last, v, out);
    else
        for (size_t i = 0; i < k * last; i++)
            out[i / last * dv_round_up(last, DV_HPANEL) + i % last] = dv_half_from_float(v[i]);
    dv_gtensor *o = &p->g->tensors[id];
    o->pack = pack;
    o->data = out;
    o->size = bytes;
    o->owned = true;
    return id;
}

/* The slope of a leaky ReLU for each channel. */
static int32_t leak(halver *p, const dv_node *n, const dv_gtensor *w)
{
    dv_gtensor t = {.dtype = DV_F32, .rank = 1, .dims = {w->dims[w->rank - 1]}};
    float *v = dv_malloc((size_t)t.dims[0] * sizeof *v);
    if (!v)
        return dv_nomem(p->e), -2;
    for (int64_t i = 0; i < t.dims[0]; i++)
        v[i] = dv_node_float(n, DV_A_P, 0);
    int32_t id = constant(p, &t, DV_PACK_HVEC, v);
    dv_free(v);
    return id;
}

static bool layer(halver *p, const dv_node *n)
{
    const dv_gtensor *w = dv_const_in(p->net, n, 1);
    const bool dw = is_depthwise(n, w), half = dw || p->wanted[n->out[0]];
    int32_t in[5] = {form(p, n->in[0], true), -1, -1, -1, form(p, in_of(n, 4), true)};
    in[1] = constant(p, w, dw ? DV_PACK_HDW : DV_PACK_HPANEL, w->data);
    for (int i = 2; i < 4; i++) {
        const dv_gtensor *t = dv_const_in(p->net, n, i);
        if (t)
            in[i] = constant(p, t, DV_PACK_HVEC, t->data);
    }
    const bool leaky = dv_node_int(n, DV_A_ACT, DV_ACT_NONE) == DV_ACT_LEAKY;
    if (leaky)
        in[3] = leak(p, n, w);
    for (int i = 0; i < 5; i++)
        if (in[i] < -1)
            return false;
    int32_t out = add_tensor(p, n->out[0], half ? DV_F16 : DV_F32);
    int32_t id =
        add_node(p, n->op == DV_OP_CONV ? DV_OP_H_CONV : DV_OP_H_LINEAR, n->name, 5, in, out);
    if (id < 0 || dv_quant_copy_attrs(&p->g->nodes[id], n, p->e))
        return false;
    if (leaky && !dv_node_set_int(&p->g->nodes[id], DV_A_ACT, DV_ACT_NONE))
        return dv_nomem(p->e), false;
    (half ? p->h : p->f)[n->out[0]] = out;
    return true;
}

static bool copied(halver *p, const dv_node *n)
{
    int32_t in[DV_MAX_IO], out[DV_MAX_IO];
    for (int i = 0; i < n->n_in; i++)
        if ((in[i] = form(p, n->in[i], false)) < -1)
            return false;
    for (int i = 0; i < n->n_out; i++)
        if ((out[i] = p->f[n->out[i]] =
                 add_tensor(p, n->out[i], p->net->tensors[n->out[i]].dtype)) < 0)
            return false;
    int32_t id = dv_graph_add_node(p->g, n->op, n->name, n->n_in, in, n->n_out, out);
    if (id < 0)
        return dv_nomem(p->e), false;
    return dv_quant_copy_attrs(&p->g->nodes[id], n, p->e) == DMV_OK;
}

static dmv_status build(halver *p, size_t *layers)
{
    const dv_graph *net = p->net;
    for (size_t i = net->n_nodes; i-- > 0;) {
        const dv_node *n = &net->nodes[i];
        if (!(p->half[i] = can(p, n)))
            continue;
        p->wanted[n->in[0]] = true;
        if (in_of(n, 4) >= 0)
            p->wanted[n->in[4]] = true;
    }
    int32_t in[DV_MAX_IO], out[4 * DV_MAX_IO];
    for (size_t i = 0; i < net->n_inputs; i++)
        if ((in[i] = p->f[net->inputs[i]] = add_tensor(p, net->inputs[i], DV_F32)) < 0)
            return DMV_ERR_MEMORY;
    *layers = 0;
    for (size_t i = 0; i < net->n_nodes; i++) {
        const dv_node *n = &net->nodes[i];
        /* a depthwise layer whose input is not there in halves stays float */
        const bool half =
            p->half[i] && (!is_depthwise(n, dv_const_in(net, n, 1)) || p->h[n->in[0]] >= 0);
        *layers += half;
        if (!(half ? layer(p, n) : copied(p, n)))
            return DMV_ERR_MEMORY;
    }
    for (size_t i = 0; i < net->n_outputs; i++)
        if ((out[i] = form(p, net->outputs[i], false)) < 0)
            return DMV_ERR_MEMORY;
    return dv_graph_set_io(p->g, in, net->n_inputs, out, net->n_outputs) ? DMV_OK : dv_nomem(p->e);
}

dmv_status dv_quant_half(dv_quant *q, dv_graph *out, size_t *layers, dv_err *e)
{
    const size_t n = q->net.n_tensors + 1;
    dv_graph_init(out);
    halver p = {.net = &q->net, .g = out, .e = e};
    p.half = dv_calloc(q->net.n_nodes + 1, sizeof *p.half);
    p.wanted = dv_calloc(n, sizeof *p.wanted);
    p.f = dv_malloc(n * sizeof *p.f);
    p.h = dv_malloc(n * sizeof *p.h);
    dmv_status st = DMV_OK;
    if (p.half && p.wanted && p.f && p.h) {
        memset(p.f, -1, n * sizeof *p.f);
        memset(p.h, -1, n * sizeof *p.h);
        st = build(&p, layers);
    } else {
        st = dv_nomem(e);
    }
    dv_free(p.half);
    dv_free(p.wanted);
    dv_free(p.f);
    dv_free(p.h);
    if (!st)
        st = dv_import_pack(out, e);
    if (!st)
        st = dv_graph_check(out, e);
    if (st)
        dv_graph_free(out);
    return st;
}
