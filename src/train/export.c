/* SPDX-License-Identifier: Apache-2.0
 *
 * export.c - a trained net as a graph of the engine. Batch normalisation becomes part of the
 * convolution before it. */
#include <math.h>
#include <string.h>

#include "import/import.h"
#include "train/loop.h"

#define BN_EPS 1e-5

typedef struct writer {
    const tr_net *n;
    dv_graph *g;
    int32_t *of; /* tensor of each value, -1 */
    dv_err *e;
} writer;

static int32_t tensor(writer *w, const tr_value *v)
{
    int64_t dims[4] = {1, v->h, v->w, v->c};
    return dv_graph_add_tensor(w->g, NULL, DV_F32, 4, dims);
}

static int32_t constant(writer *w, int rank, const int64_t *dims, const float *v)
{
    return dv_graph_add_const(w->g, NULL, DV_F32, rank, dims, v);
}

static dv_node *add(writer *w, uint16_t op, const char *name, int n_in, const int32_t *in,
                    int32_t out)
{
    for (int i = 0; i < n_in; i++)
        if (in[i] < -1)
            return NULL;
    int32_t id = out < 0 ? -1 : dv_graph_add_node(w->g, op, name, n_in, in, 1, &out);
    return id < 0 ? NULL : &w->g->nodes[id];
}

static bool set_act(dv_node *n, int act)
{
    switch (act) {
    case TR_ACT_RELU:
        return dv_node_set_int(n, DV_A_ACT, DV_ACT_CLIP) && dv_node_set_float(n, DV_A_P, 0) &&
               dv_node_set_float(n, DV_A_Q, INFINITY);
    case TR_ACT_SWISH:
        return dv_node_set_int(n, DV_A_ACT, DV_ACT_SWISH);
    case TR_ACT_SIGMOID:
        return dv_node_set_int(n, DV_A_ACT, DV_ACT_SIGMOID);
    default:
        return true;
    }
}

/* Conv and the BatchNorm behind it (bn NULL: none) as one node. */
static bool conv(writer *w, const tr_op *o, const tr_op *bn)
{
    const tr_param *p = o->p[0];
    const size_t c = (size_t)o->channels, k = p->n / c;
    float *v = dv_malloc((p->n + c) * sizeof *v), *b = v ? v + p->n : NULL;
    if (!v)
        return false;
    memcpy(v, p->w, p->n * sizeof *v);
    memset(b, 0, c * sizeof *b);
    for (size_t j = 0; bn && j < c; j++) {
        const double s = (double)bn->p[0]->w[j] / sqrt((double)bn->p[3]->w[j] + BN_EPS);
        for (size_t i = 0; i < k; i++)
            v[i * c + j] = (float)((double)v[i * c + j] * s);
        b[j] = (float)((double)bn->p[1]->w[j] - (double)bn->p[2]->w[j] * s);
    }
    const tr_op *last = bn ? bn : o;
    const int64_t kernel[2] = {o->k, o->k}, stride[2] = {o->stride, o->stride};
    const int64_t pads[4] = {o->pad, o->pad, o->pad, o->pad};
    int32_t in[4] = {w->of[o->in[0]], constant(w, 4, p->dims, v), constant(w, 1, &o->channels, b),
                     -1};
    bool sloped = bn && bn->p[4];
    if (sloped)
        in[3] = constant(w, 1, &o->channels, bn->p[4]->w);
    dv_free(v);
    if (in[1] < 0 || in[2] < 0 || (sloped && in[3] < 0))
        return false;
    int32_t out = w->of[last->out] = tensor(w, &w->n->v[last->out]);
    dv_node *n = add(w, DV_OP_CONV, o->name, 4, in, out);
    return n && dv_node_set_ints(n, DV_A_KERNEL, kernel, 2) &&
           dv_node_set_ints(n, DV_A_STRIDE, stride, 2) && dv_node_set_ints(n, DV_A_PADS, pads, 4) &&
           dv_node_set_int(n, DV_A_GROUP, o->groups) && (sloped || !bn || set_act(n, bn->act));
}

/* A BatchNorm that no convolution takes in: a product and a sum. */
static bool norm(writer *w, const tr_op *o)
{
    const size_t c = (size_t)w->n->v[o->out].c;
    const int64_t dims = (int64_t)c;
    float *s = dv_malloc(2 * c * sizeof *s);
    if (!s)
        return false;
    for (size_t j = 0; j < c; j++) {
        const double a = (double)o->p[0]->w[j] / sqrt((double)o->p[3]->w[j] + BN_EPS);
        s[j] = (float)a;
        s[c + j] = (float)((double)o->p[1]->w[j] - (double)o->p[2]->w[j] * a);
    }
    int32_t a[2] = {w->of[o->in[0]], constant(w, 1, &dims, s)}, b[2];
    b[1] = constant(w, 1, &dims, s + c);
    dv_free(s);
    if (a[1] < 0 || b[1] < 0)
        return false;
    b[0] = tensor(w, &w->n->v[o->out]);
    dv_node *n = add(w, DV_OP_BINARY, o->name, 2, a, b[0]);
    if (!n || !dv_node_set_int(n, DV_A_BINARY, DV_BIN_MUL))
        return false;
    int32_t y = tensor(w, &w->n->v[o->out]);
    n = add(w, DV_OP_BINARY, o->name, 2, b, y);
    if (!n || !dv_node_set_int(n, DV_A_BINARY, DV_BIN_ADD))
        return false;
    if (o->act != TR_ACT_NONE) {
        int32_t act[2] = {y, o->p[4] ? constant(w, 1, &dims, o->p[4]->w) : -1};
        y = tensor(w, &w->n->v[o->out]);
        n = add(w, o->p[4] ? DV_OP_PRELU : DV_OP_ACT, o->name, o->p[4] ? 2 : 1, act, y);
        if (!n || (!o->p[4] && !set_act(n, o->act)))
            return false;
    }
    w->of[o->out] = y;
    return true;
}

static bool other(writer *w, const tr_op *o)
{
    const tr_value *v = &w->n->v[o->out];
    int32_t in[3] = {w->of[o->in[0]], o->n_in > 1 ? w->of[o->in[1]] : -1, -1};
    int32_t out = w->of[o->out] = tensor(w, v);
    dv_node *n;
    if (o->kind == &tr_add || o->kind == &tr_mul_gate) {
        n = add(w, DV_OP_BINARY, o->name, 2, in, out);
        return n && dv_node_set_int(n, DV_A_BINARY, o->kind == &tr_add ? DV_BIN_ADD : DV_BIN_MUL);
    }
    if (o->kind == &tr_act) {
        n = add(w, DV_OP_ACT, o->name, 1, in, out);
        return n && set_act(n, o->act);
    }
    if (o->kind == &tr_global_mean) {
        const int64_t axes[2] = {1, 2};
        n = add(w, DV_OP_REDUCE, o->name, 1, in, out);
        return n && dv_node_set_int(n, DV_A_REDUCE, DV_RED_MEAN) &&
               dv_node_set_ints(n, DV_A_AXES, axes, 2) && dv_node_set_int(n, DV_A_KEEPDIMS, 1);
    }
    if (o->kind == &tr_fc) {
        const int64_t flat[4] = {1, 1, 1, o->p[0]->dims[0]};
        const tr_value *x = &w->n->v[o->in[0]];
        if (x->h * x->w > 1) {
            int32_t f = dv_graph_add_tensor(w->g, NULL, DV_F32, 4, flat);
            n = add(w, DV_OP_RESHAPE, o->name, 1, in, f);
            if (!n || !dv_node_set_ints(n, DV_A_SHAPE, flat, 4))
                return false;
            in[0] = f;
        }
        in[1] = constant(w, 2, o->p[0]->dims, o->p[0]->w);
        in[2] = o->p[1] ? constant(w, 1, &o->channels, o->p[1]->w) : -1;
        return in[1] >= 0 && (!o->p[1] || in[2] >= 0) && add(w, DV_OP_LINEAR, o->name, 3, in, out);
    }
    return false;
}

static int readers(const tr_net *n, int value)
{
    int r = value == n->output;
    for (size_t i = 0; i < n->n_ops; i++)
        for (int k = 0; k < n->ops[i]->n_in; k++)
            r += n->ops[i]->in[k] == value;
    return r;
}

static bool all(writer *w)
{
    const tr_net *n = w->n;
    static const int64_t in_dims[4] = {1, 3, 112, 112}, to_nhwc[4] = {0, 2, 3, 1};
    int32_t in = dv_graph_add_tensor(w->g, "input", DV_F32, 4, in_dims);
    w->of[n->input] = tensor(w, &n->v[n->input]);
    dv_node *t = add(w, DV_OP_TRANSPOSE, "input", 1, &in, w->of[n->input]);
    if (in < 0 || !t || !dv_node_set_ints(t, DV_A_PERM, to_nhwc, 4))
        return false;
    for (size_t i = 0; i < n->n_ops; i++) {
        const tr_op *o = n->ops[i], *next = i + 1 < n->n_ops ? n->ops[i + 1] : NULL;
        bool ok, folds = o->kind == &tr_conv && next && next->kind == &tr_bn_act &&
                         next->in[0] == o->out && readers(n, o->out) == 1;
        if (o->kind == &tr_conv)
            ok = conv(w, o, folds ? next : NULL);
        else
            ok = o->kind == &tr_bn_act ? norm(w, o) : other(w, o);
        if (!ok)
            return false;
        i += folds;
    }
    const int64_t out_dims[2] = {1, (int64_t)n->v[n->output].each};
    int32_t out = dv_graph_add_tensor(w->g, "embedding", DV_F32, 2, out_dims);
    dv_node *f = add(w, DV_OP_FLATTEN, "embedding", 1, &w->of[n->output], out);
    return f && dv_node_set_int(f, DV_A_AXIS, 1) && dv_graph_set_io(w->g, &in, 1, &out, 1);
}

dmv_status tr_export(const tr_net *n, dv_graph *out, dv_err *e)
{
    dv_graph_init(out);
    writer w = {n, out, dv_malloc(n->n_values * sizeof(int32_t)), e};
    dmv_status st = DMV_OK;
    if (w.of) {
        memset(w.of, -1, n->n_values * sizeof *w.of);
        if (!all(&w))
            st = dv_nomem(e);
    } else {
        st = dv_nomem(e);
    }
    dv_free(w.of);
    if (!st)
        st = dv_import_pack(out, e);
    if (!st)
        st = dv_graph_check(out, e);
    if (st)
        dv_graph_free(out);
    return st;
}
