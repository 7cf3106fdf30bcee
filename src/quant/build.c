/* SPDX-License-Identifier: Apache-2.0
 *
 * build.c - the 8-bit graph, node by node. Each tensor of the float net has up to two forms in the
 * new one, float and bytes; the second is made from the first (or the other way round) where
 * somebody first asks for it. A layer gives bytes if somebody reads bytes.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "import/import.h"
#include "quant/quant_priv.h"

typedef struct builder {
    dv_quant *q;
    const dv_quant_options *o;
    dv_graph *g;
    dv_err *e;
    int32_t *f, *b; /* forms in the new graph, -1 = not there */
    bool *wanted;   /* as bytes */
    int32_t *uses;
    float *scale, *zero; /* scale 0: not chosen yet */
} builder;

static dv_graph *net(builder *p)
{
    return &p->q->net;
}

static int32_t in_of(const dv_node *n, int i)
{
    return i < n->n_in ? n->in[i] : -1;
}

static bool is_depthwise(const dv_graph *g, const dv_node *n)
{
    const dv_gtensor *w = dv_const_in(g, n, 1);
    return n->op == DV_OP_CONV && w && w->rank == 4 && w->dims[2] == 1 && w->dims[3] > 1 &&
           dv_node_int(n, DV_A_GROUP, 1) == w->dims[3];
}

/* Ops that only move values: bytes go through them as they are. */
bool dv_quant_is_move(const dv_node *n)
{
    switch (n->op) {
    case DV_OP_MAX_POOL:
    case DV_OP_CONCAT:
    case DV_OP_SPLIT:
    case DV_OP_SLICE:
    case DV_OP_GATHER:
    case DV_OP_TRANSPOSE:
    case DV_OP_RESHAPE:
    case DV_OP_FLATTEN:
    case DV_OP_SQUEEZE:
    case DV_OP_UNSQUEEZE:
    case DV_OP_IDENTITY:
    case DV_OP_CHANNEL_SHUFFLE:
        return true;
    case DV_OP_RESIZE:
        return dv_node_int(n, DV_A_MODE, 0) == 0;
    default:
        return false;
    }
}

/* Inputs of a move that are values, not lists of integers. */
int dv_quant_moved(const dv_node *n)
{
    return n->op == DV_OP_CONCAT ? n->n_in : 1;
}

bool dv_quant_can(const dv_quant *q, size_t node)
{
    const dv_node *n = &q->net.nodes[node];
    const dv_gtensor *w = dv_const_in(&q->net, n, 1);
    if ((n->op != DV_OP_CONV && n->op != DV_OP_LINEAR) || !w || w->dtype != DV_F32)
        return false;
    /* the kernels add the residual behind a slope, float layers before it */
    if (in_of(n, 4) >= 0 &&
        (in_of(n, 3) >= 0 || dv_node_int(n, DV_A_ACT, DV_ACT_NONE) == DV_ACT_LEAKY))
        return false;
    int64_t k = 1;
    for (int i = 0; i + 1 < w->rank; i++)
        k *= w->dims[i];
    return k <= 65536 && (n->op == DV_OP_LINEAR || dv_node_int(n, DV_A_GROUP, 1) == 1 ||
                          is_depthwise(&q->net, n));
}

static bool is_output(const dv_graph *g, int32_t t)
{
    for (size_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == t)
            return true;
    return false;
}

static const dv_given *given(builder *p, int32_t t)
{
    return p->q->given && t >= 0 && p->q->given[t].is ? &p->q->given[t] : NULL;
}

static bool bytes_out(builder *p, const dv_node *n)
{
    if (p->q->given) {
        const dv_given *o = given(p, n->out[0]), *add = given(p, in_of(n, 4));
        bool layer = n->op == DV_OP_CONV || n->op == DV_OP_LINEAR;
        return o && o->scale > 0 && (!layer || in_of(n, 4) < 0 || (add && add->scale > 0));
    }
    return !p->o->dynamic && p->wanted[n->out[0]] && !is_output(net(p), n->out[0]);
}

/* Are the weights integers in -128..127 times the scales that came with them? */
static bool whole_weights(const dv_graph *g, const dv_node *n)
{
    const dv_attr *a = dv_node_attr(n, DV_IMPORT_SCALES);
    const dv_gtensor *w = dv_const_in(g, n, 1);
    size_t c = (size_t)w->dims[w->rank - 1], count = w->size / sizeof(float);
    if (!a || !a->is_float || a->n != c)
        return false;
    for (size_t i = 0; i < count; i++) {
        float v = ((const float *)w->data)[i] / a->v.f[i % c], q = rintf(v);
        if (!(fabsf(v - q) < 1e-3F) || q < -128 || q > 127)
            return false;
    }
    return true;
}

/* Does node i compute with bytes? Depthwise layers only if their result is bytes, too. */
static bool in_q(builder *p, size_t i)
{
    const dv_node *n = &net(p)->nodes[i];
    if (p->q->given) {
        const dv_given *x = given(p, n->in[0]);
        return x && dv_quant_can(p->q, i) && whole_weights(net(p), n) &&
               (x->scale > 0 || !bytes_out(p, n)) && (!is_depthwise(net(p), n) || bytes_out(p, n));
    }
    return dv_quant_can(p->q, i) && !(p->o->keep && p->o->keep[i]) &&
           (!is_depthwise(net(p), n) || bytes_out(p, n));
}

/* Who wants bytes, from the end of the net to its start. */
static void ask(builder *p)
{
    dv_graph *g = net(p);
    if (p->q->given)
        return;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const dv_node *n = &g->nodes[i];
        bool out = bytes_out(p, n), kept = p->o->keep && p->o->keep[i];
        for (int k = 1; k < n->n_out; k++)
            out = out && p->wanted[n->out[k]] && !is_output(g, n->out[k]);
        if (in_q(p, i)) {
            p->wanted[n->in[0]] = true;
            if (out && in_of(n, 4) >= 0)
                p->wanted[n->in[4]] = true;
        } else if (out && !kept && dv_quant_is_move(n)) {
            for (int k = 0; k < dv_quant_moved(n); k++)
                p->wanted[n->in[k]] = true;
        } else if (out && !kept && (n->op == DV_OP_ACT || n->op == DV_OP_SE)) {
            p->wanted[n->in[0]] = true;
        } else if (out && !kept && n->op == DV_OP_BINARY) {
            p->wanted[n->in[0]] = p->wanted[n->in[1]] = true;
        }
    }
}

/* ---- tensors ---- */

static void params(builder *p, int32_t t, float *scale, float *zero)
{
    const dv_quant *q = p->q;
    if (q->given) {
        *scale = q->given[t].scale;
        *zero = q->given[t].zero;
        return;
    }
    int32_t r = dv_quant_group(q, t);
    if (q->pixel_scale > 0 && r == dv_quant_group(q, q->net.inputs[0])) {
        *scale = q->pixel_scale;
        *zero = q->pixel_zero;
        return;
    }
    if (!(p->scale[r] > 0))
        dv_quant_params(q, p->o, r, &p->scale[r], &p->zero[r]);
    *scale = p->scale[r];
    *zero = p->zero[r];
}

static int32_t new_tensor(builder *p, int32_t like, dv_dtype type)
{
    dv_gtensor t = net(p)->tensors[like];
    int32_t id = dv_graph_add_tensor(p->g, t.name, type, t.rank, t.dims);
    if (id < 0)
        dv_nomem(p->e);
    return id;
}

static int32_t new_bytes(builder *p, int32_t like, bool at_run)
{
    int32_t id = new_tensor(p, like, DV_U8);
    if (id >= 0 && !at_run) {
        float scale, zero;
        params(p, like, &scale, &zero);
        p->g->tensors[id].scale = scale;
        p->g->tensors[id].zero = zero;
    }
    return id;
}

static int32_t constant(builder *p, dv_dtype type, dv_pack pack, int rank, const int64_t *dims,
                        void *data, size_t size)
{
    int32_t id = dv_graph_add_tensor(p->g, NULL, type, rank, dims);
    if (id < 0) {
        dv_free(data);
        dv_nomem(p->e);
        return -1;
    }
    dv_gtensor *t = &p->g->tensors[id];
    t->pack = pack;
    t->data = data;
    t->size = size;
    t->owned = true;
    return id;
}

/* [c] floats, padded as the kernels read them. */
static int32_t vector(builder *p, const float *v, size_t c)
{
    size_t size = dv_round_up(c, DV_PANEL) * sizeof(float);
    float *copy = dv_alloc_aligned(size);
    if (!copy) {
        dv_nomem(p->e);
        return -1;
    }
    memset(copy, 0, size);
    memcpy(copy, v, c * sizeof *v);
    int64_t dims = (int64_t)c;
    return constant(p, DV_F32, DV_PACK_VEC, 1, &dims, copy, size);
}

static int32_t node_of(builder *p, uint16_t op, const char *name, int n_in, const int32_t *in,
                       int32_t out)
{
    for (int i = 0; i < n_in; i++)
        if (in[i] < -1)
            return -1;
    int32_t id = out < 0 ? -1 : dv_graph_add_node(p->g, op, name, n_in, in, 1, &out);
    if (out >= 0 && id < 0)
        dv_nomem(p->e);
    return id;
}

/* Forms on demand; -2 after a failure (-1 is an input left out). */
static int32_t get_f(builder *p, int32_t t)
{
    if (t < 0)
        return -1;
    if (p->f[t] >= 0)
        return p->f[t];
    const dv_gtensor s = net(p)->tensors[t];
    int32_t id = new_tensor(p, t, s.dtype);
    if (id < 0)
        return -2;
    if (s.data) {
        p->g->tensors[id].data = s.data;
        p->g->tensors[id].size = s.size;
        p->g->tensors[id].pack = s.pack;
    } else if (p->b[t] >= 0) {
        if (node_of(p, DV_OP_DEQUANTIZE, NULL, 1, &p->b[t], id) < 0)
            return -2;
    }
    return p->f[t] = id;
}

static int32_t get_b(builder *p, int32_t t)
{
    if (t < 0)
        return -1;
    if (p->b[t] >= 0)
        return p->b[t];
    int32_t from = get_f(p, t), id = from < 0 ? -2 : new_bytes(p, t, p->o->dynamic);
    if (id < 0 || node_of(p, DV_OP_QUANTIZE, NULL, 1, &from, id) < 0)
        return -2;
    return p->b[t] = id;
}

/* ---- layers ---- */

/* The least scale with which a bias is an integer that leaves room for the sum. */
static float least_scale(float bias, float in_scale)
{
    return in_scale > 0 ? fabsf(bias) / in_scale / (float)(1 << 30) : 0;
}

/* Weights to -127..127 with a scale for each column. bias may be NULL; in_scale: of the inputs, 0
 * if it is not known. */
static void to_s8(const float *w, size_t k, size_t n, bool one, const float *bias, float in_scale,
                  float *scale, int8_t *out)
{
    float all = 0;
    for (size_t j = 0; j < n; j++) {
        float most = 0;
        for (size_t i = 0; i < k; i++)
            most = DV_MAX(most, fabsf(w[i * n + j]));
        scale[j] = most;
        all = DV_MAX(all, most);
    }
    for (size_t j = 0; j < n; j++) {
        scale[j] = (one ? all : scale[j]) / 127;
        if (!(scale[j] >= FLT_MIN))
            scale[j] = 1; /* all zero */
        if (bias)
            scale[j] = DV_MAX(scale[j], least_scale(bias[j], in_scale));
        for (size_t i = 0; i < k; i++)
            out[i * n + j] = (int8_t)DV_MIN(DV_MAX(rintf(w[i * n + j] / scale[j]), -127), 127);
    }
}

/* The mean of what rounding the weights does to each result, from the means of the inputs. */
static void mean_error(const builder *p, const dv_node *n, const float *w, const int8_t *s8,
                       const float *scale, size_t k, size_t c, float *bias)
{
    const dv_seen *s = &p->q->seen[n->in[0]];
    if (!s->known || !s->rows)
        return;
    bool dw = is_depthwise(&p->q->net, n);
    for (size_t j = 0; j < c; j++) {
        double sum = 0;
        for (size_t i = 0; i < k; i++)
            sum += ((double)w[i * c + j] - (double)s8[i * c + j] * (double)scale[j]) *
                   s->mean[(dw ? j : i) % s->channels];
        bias[j] += (float)sum;
    }
}

/* w, ws, bias of the 8-bit layer: in[1..3]. */
static bool weights(builder *p, const dv_node *n, int32_t *in)
{
    const dv_gtensor *w = dv_const_in(net(p), n, 1), *b = dv_const_in(net(p), n, 2);
    size_t c = (size_t)w->dims[w->rank - 1], k = w->size / sizeof(float) / c, size;
    bool dw = is_depthwise(net(p), n);
    size_t segs = w->rank == 4 ? (size_t)w->dims[0] : 1;
    dv_pack pack = dw ? DV_PACK_QDW : DV_PACK_QPANEL;
    if (!dv_tensor_bytes(DV_S8, pack, w->rank, w->dims, 1, &size))
        return dv_fail(p->e, DMV_ERR_FORMAT, "weights of an impossible shape"), false;
    int8_t *plain = dv_malloc(k * c), *packed = dv_alloc_aligned(size);
    float *v = dv_calloc(2 * c, sizeof *v), *bias = v ? v + c : NULL;
    bool ok = plain && packed && v;
    if (!ok)
        dv_nomem(p->e);
    if (ok) {
        const dv_attr *known = p->q->given ? dv_node_attr(n, DV_IMPORT_SCALES) : NULL;
        if (known) {
            memcpy(v, known->v.f, c * sizeof *v);
            for (size_t i = 0; i < k * c; i++)
                plain[i] = (int8_t)rintf(((const float *)w->data)[i] / v[i % c]);
        } else
            to_s8(w->data, k, c, p->o->per_layer, b ? b->data : NULL, p->g->tensors[in[0]].scale, v,
                  plain);
        if (b)
            memcpy(bias, b->data, c * sizeof *bias);
        if (p->o->fix_bias)
            mean_error(p, n, w->data, plain, v, k, c, bias);
        if (dw)
            dv_pack_dw_s8((size_t)w->dims[0], (size_t)w->dims[1], c, plain, packed);
        else
            dv_pack_panels_s8(segs, k / segs, c, plain, packed);
        in[1] = constant(p, DV_S8, pack, w->rank, w->dims, packed, size);
        packed = NULL;
        in[2] = vector(p, v, c);
        in[3] = b || p->o->fix_bias ? vector(p, bias, c) : -1;
        ok = in[1] >= 0 && in[2] >= 0 && in[3] >= (b ? 0 : -1);
    }
    dv_free(plain);
    dv_free(packed);
    dv_free(v);
    return ok;
}

static bool set_act(builder *p, int32_t id, const dv_node *from)
{
    if (dv_node_set_int(&p->g->nodes[id], DV_A_ACT, dv_node_int(from, DV_A_ACT, DV_ACT_NONE)) &&
        dv_node_set_float(&p->g->nodes[id], DV_A_P, dv_node_float(from, DV_A_P, 0)) &&
        dv_node_set_float(&p->g->nodes[id], DV_A_Q, dv_node_float(from, DV_A_Q, 0)))
        return true;
    dv_nomem(p->e);
    return false;
}

/* The float result of an 8-bit layer, then residual, slope and activation in floats. */
static bool float_tail(builder *p, const dv_node *n, int32_t t)
{
    int32_t add[2] = {t, get_f(p, in_of(n, 4))}, slope[2];
    bool sloped = in_of(n, 3) >= 0;
    bool act = dv_node_int(n, DV_A_ACT, DV_ACT_NONE) != DV_ACT_NONE;
    int32_t sum = new_tensor(p, n->out[0], DV_F32), id = -1;
    if (add[1] < 0 || sum < 0 || (id = node_of(p, DV_OP_BINARY, n->name, 2, add, sum)) < 0)
        return false;
    if (!dv_node_set_int(&p->g->nodes[id], DV_A_BINARY, DV_BIN_ADD))
        return dv_nomem(p->e), false;
    if (sloped || act) {
        slope[0] = sum;
        slope[1] = get_f(p, in_of(n, 3));
        int32_t out = new_tensor(p, n->out[0], DV_F32);
        id = node_of(p, sloped ? DV_OP_PRELU : DV_OP_ACT, n->name, sloped ? 2 : 1, slope, out);
        if (id < 0 || (act && !set_act(p, id, n)))
            return false;
        sum = out;
    }
    p->f[n->out[0]] = sum;
    return true;
}

static bool layer(builder *p, const dv_node *n)
{
    bool bytes = bytes_out(p, n), tail = !bytes && in_of(n, 4) >= 0;
    int32_t in[6] = {get_b(p, n->in[0]), -1, -1, -1, -1, -1};
    if (in[0] < 0 || !weights(p, n, in))
        return false;
    const dv_gtensor *slope = dv_const_in(net(p), n, 3);
    if (slope && !tail && (in[4] = vector(p, slope->data, (size_t)slope->dims[0])) < 0)
        return false;
    if (bytes && (in[5] = get_b(p, in_of(n, 4))) < -1)
        return false;
    int32_t out = bytes ? new_bytes(p, n->out[0], false) : new_tensor(p, n->out[0], DV_F32);
    int32_t id =
        node_of(p, n->op == DV_OP_CONV ? DV_OP_Q_CONV : DV_OP_Q_LINEAR, n->name, 6, in, out);
    if (id < 0)
        return false;
    if (dv_quant_copy_attrs(&p->g->nodes[id], n, p->e))
        return false;
    if (tail)
        return dv_node_set_int(&p->g->nodes[id], DV_A_ACT, DV_ACT_NONE) ? float_tail(p, n, out)
                                                                        : (dv_nomem(p->e), false);
    (bytes ? p->b : p->f)[n->out[0]] = out;
    return true;
}

/* An activation on bytes; inside the layer before it (join) if nobody else reads that. */
static bool byte_act(builder *p, const dv_node *n, bool join)
{
    int32_t x = n->in[0], out = new_bytes(p, n->out[0], false);
    if (out < 0)
        return false;
    dv_node *before = NULL;
    for (size_t i = 0; i < p->g->n_nodes; i++)
        if (p->g->nodes[i].out[0] == p->b[x])
            before = &p->g->nodes[i];
    bool layer_before = join && before &&
                        (before->op == DV_OP_Q_CONV || before->op == DV_OP_Q_LINEAR) &&
                        p->uses[x] == 1 && !is_output(net(p), x) && before->in[4] < 0 &&
                        dv_node_int(before, DV_A_ACT, DV_ACT_NONE) == DV_ACT_NONE;
    p->b[n->out[0]] = out;
    if (!layer_before) {
        int32_t id = node_of(p, DV_OP_Q_ACT, n->name, 1, &p->b[x], out);
        return id >= 0 && set_act(p, id, n);
    }
    const dv_gtensor *pre = &p->g->tensors[p->b[x]];
    float v[2] = {pre->scale, pre->zero};
    before->out[0] = out;
    if (!dv_node_set_floats(before, DV_A_PRE, v, 2))
        return dv_nomem(p->e), false;
    return set_act(p, (int32_t)(before - p->g->nodes), n);
}

/* A node as it was, on floats or (bytes) on what is moved. */
static bool copied(builder *p, const dv_node *n, bool bytes)
{
    int32_t in[DV_MAX_IO], out[DV_MAX_IO];
    for (int i = 0; i < n->n_in; i++) {
        in[i] = bytes && i < dv_quant_moved(n) ? get_b(p, n->in[i]) : get_f(p, n->in[i]);
        if (in[i] < -1)
            return false;
    }
    for (int i = 0; i < n->n_out; i++) {
        out[i] = bytes ? new_bytes(p, n->out[i], false)
                       : new_tensor(p, n->out[i], net(p)->tensors[n->out[i]].dtype);
        if (out[i] < 0)
            return false;
        (bytes ? p->b : p->f)[n->out[i]] = out[i];
    }
    int32_t id = dv_graph_add_node(p->g, n->op, n->name, n->n_in, in, n->n_out, out);
    if (id < 0)
        return dv_nomem(p->e), false;
    return dv_quant_copy_attrs(&p->g->nodes[id], n, p->e) == DMV_OK;
}

/* A sum or product of two computed tensors of one shape. */
static bool byte_binary(builder *p, const dv_node *n)
{
    int32_t in[2] = {get_b(p, n->in[0]), get_b(p, n->in[1])};
    int32_t out = new_bytes(p, n->out[0], false);
    if (in[0] < 0 || in[1] < 0 || out < 0)
        return false;
    int32_t id = node_of(p, DV_OP_Q_BINARY, n->name, 2, in, out);
    p->b[n->out[0]] = out;
    return id >= 0 && dv_quant_copy_attrs(&p->g->nodes[id], n, p->e) == DMV_OK;
}

static bool can_binary(builder *p, const dv_node *n)
{
    int64_t op = dv_node_int(n, DV_A_BINARY, DV_BIN_ADD);
    const dv_value *a = &p->q->x->v[n->in[0]], *b = &p->q->x->v[n->in[1]];
    return (op == DV_BIN_ADD || op == DV_BIN_MUL) && a->dtype == DV_F32 && a->rank == b->rank &&
           !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) &&
           !net(p)->tensors[n->in[0]].data && !net(p)->tensors[n->in[1]].data &&
           (p->b[n->in[0]] >= 0 || p->b[n->in[1]] >= 0);
}

static bool byte_se(builder *p, const dv_node *n)
{
    int32_t in[5] = {p->b[n->in[0]], -1, -1, -1, -1};
    for (int i = 1; i < n->n_in; i++)
        if ((in[i] = get_f(p, n->in[i])) < -1)
            return false;
    int32_t out = new_bytes(p, n->out[0], false);
    int32_t id = node_of(p, DV_OP_Q_SE, n->name, n->n_in, in, out);
    p->b[n->out[0]] = out;
    return id >= 0 && dv_quant_copy_attrs(&p->g->nodes[id], n, p->e) == DMV_OK;
}

/* ---- nets whose bytes are given ---- */

/* The float result of node n, if it is to be bytes: everybody reads them. */
static bool rounded(builder *p, const dv_node *n)
{
    for (int k = 0; k < n->n_out; k++) {
        int32_t t = n->out[k];
        if (!given(p, t) || p->b[t] >= 0)
            continue;
        int32_t id = new_bytes(p, t, false);
        if (p->f[t] < 0 || id < 0 || node_of(p, DV_OP_QUANTIZE, NULL, 1, &p->f[t], id) < 0)
            return false;
        p->b[t] = id;
        p->f[t] = -1;
    }
    return true;
}

static bool same_bytes(const dv_given *a, const dv_given *b)
{
    return a && b && a->scale > 0 && a->scale == b->scale && a->zero == b->zero;
}

/* An Identity from one tensor to another with other bytes. */
static bool other_bytes(builder *p, const dv_node *n)
{
    const dv_given *x = given(p, n->in[0]), *o = given(p, n->out[0]);
    if (x && o && x->scale > 0 && o->scale > 0)
        return byte_act(p, n, false);
    p->f[n->out[0]] = get_f(p, n->in[0]);
    return p->f[n->out[0]] >= 0;
}

/* A Concat of bytes of several scales: each input gets the scale of the result first. */
static bool joined_bytes(builder *p, const dv_node *n)
{
    int32_t in[DV_MAX_IO], out = new_bytes(p, n->out[0], false);
    for (int k = 0; k < n->n_in; k++) {
        in[k] = p->b[n->in[k]];
        if (same_bytes(given(p, n->in[k]), given(p, n->out[0])))
            continue;
        int32_t t = new_bytes(p, n->in[k], false);
        if (t < 0 || out < 0)
            return false;
        p->g->tensors[t].scale = p->g->tensors[out].scale;
        p->g->tensors[t].zero = p->g->tensors[out].zero;
        if (node_of(p, DV_OP_Q_ACT, n->name, 1, &in[k], t) < 0)
            return false;
        in[k] = t;
    }
    int32_t id = node_of(p, n->op, n->name, n->n_in, in, out);
    p->b[n->out[0]] = out;
    return id >= 0 && dv_quant_copy_attrs(&p->g->nodes[id], n, p->e) == DMV_OK;
}

static bool given_node(builder *p, size_t i)
{
    const dv_node *n = &net(p)->nodes[i];
    const dv_given *x = given(p, n->in[0]), *o = given(p, n->out[0]);
    bool known = x && x->scale > 0 && o && o->scale > 0;
    if (p->q->gone[i])
        return true;
    if (in_q(p, i))
        return layer(p, n) && rounded(p, n);
    if (dv_quant_is_move(n) && net(p)->tensors[n->in[0]].dtype == DV_F32) {
        bool same = true;
        for (int k = 0; k < dv_quant_moved(n); k++)
            same = same && same_bytes(given(p, n->in[k]), o);
        for (int k = 1; k < n->n_out; k++)
            same = same && same_bytes(given(p, n->out[k]), o);
        if (same)
            return copied(p, n, true);
        bool bytes = n->op == DV_OP_CONCAT && o && o->scale > 0;
        for (int k = 0; k < n->n_in && bytes; k++)
            bytes = given(p, n->in[k]) && given(p, n->in[k])->scale > 0;
        if (bytes)
            return joined_bytes(p, n);
    }
    if (n->op == DV_OP_IDENTITY && n->in[0] >= 0)
        return other_bytes(p, n) && rounded(p, n);
    if (known && n->op == DV_OP_ACT)
        return byte_act(p, n, true);
    if (known && n->op == DV_OP_BINARY && given(p, n->in[1]) && given(p, n->in[1])->scale > 0 &&
        can_binary(p, n))
        return byte_binary(p, n);
    if (known && n->op == DV_OP_SE)
        return byte_se(p, n);
    return copied(p, n, false) && rounded(p, n);
}

static bool one_node(builder *p, size_t i)
{
    const dv_node *n = &net(p)->nodes[i];
    if (in_q(p, i))
        return layer(p, n);
    bool bytes = bytes_out(p, n) && !(p->o->keep && p->o->keep[i]);
    for (int k = 1; k < n->n_out; k++)
        bytes = bytes && p->wanted[n->out[k]] && !is_output(net(p), n->out[k]);
    if (bytes && dv_quant_is_move(n) && net(p)->tensors[n->in[0]].dtype == DV_F32) {
        bool all = true;
        for (int k = 0; k < dv_quant_moved(n); k++)
            all = all && p->b[n->in[k]] >= 0;
        return copied(p, n, all);
    }
    if (bytes && n->op == DV_OP_ACT && p->b[n->in[0]] >= 0)
        return byte_act(p, n, true);
    if (bytes && n->op == DV_OP_BINARY && can_binary(p, n))
        return byte_binary(p, n);
    if (bytes && n->op == DV_OP_SE && p->b[n->in[0]] >= 0)
        return byte_se(p, n);
    return copied(p, n, false);
}

/* ---- groups of one scale ---- */

static void unite(dv_quant *q, int32_t a, int32_t b)
{
    a = dv_quant_group(q, a);
    b = dv_quant_group(q, b);
    q->group[DV_MAX(a, b)] = DV_MIN(a, b);
}

static void make_groups(dv_quant *q)
{
    const dv_graph *g = &q->net;
    for (size_t i = 0; i < g->n_tensors; i++)
        q->group[i] = (int32_t)i;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dv_node *n = &g->nodes[i];
        if (!dv_quant_is_move(n) || g->tensors[n->out[0]].dtype != DV_F32)
            continue;
        for (int k = 0; k < dv_quant_moved(n); k++)
            if (!g->tensors[n->in[k]].data)
                unite(q, n->in[k], n->out[0]);
        for (int k = 1; k < n->n_out; k++)
            unite(q, n->out[k], n->out[0]);
    }
}

static dmv_status build_all(builder *p)
{
    dv_graph *g = net(p);
    ask(p);
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in && !(p->q->gone && p->q->gone[i]); k++)
            if (g->nodes[i].in[k] >= 0)
                p->uses[g->nodes[i].in[k]]++;
    int32_t in[DV_MAX_IO], out[4 * DV_MAX_IO];
    for (size_t i = 0; i < g->n_inputs; i++)
        if ((in[i] = get_f(p, g->inputs[i])) < 0)
            return DMV_ERR_MEMORY;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (!(p->q->given ? given_node : one_node)(p, i))
            return dv_nomem(p->e);
    for (size_t i = 0; i < g->n_outputs; i++)
        if ((out[i] = get_f(p, g->outputs[i])) < 0)
            return DMV_ERR_MEMORY;
    if (!dv_graph_set_io(p->g, in, g->n_inputs, out, g->n_outputs))
        return dv_nomem(p->e);
    return DMV_OK;
}

/* Packing renumbers tensors: each carries its old number meanwhile, where the size of a constant
 * stands. */
static dmv_status pack(dv_quant *q, dv_graph *g, dv_err *e)
{
    size_t n = g->n_tensors;
    int32_t *to = dv_malloc((n + 1) * sizeof *to);
    if (!to)
        return dv_nomem(e);
    memset(to, -1, (n + 1) * sizeof *to);
    for (size_t i = 0; i < n; i++)
        if (!g->tensors[i].data)
            g->tensors[i].size = i + 1;
    dmv_status st = dv_import_pack(g, e);
    for (size_t i = 0; i < g->n_tensors; i++)
        if (!g->tensors[i].data) {
            if (g->tensors[i].size > 0 && g->tensors[i].size <= n)
                to[g->tensors[i].size - 1] = (int32_t)i;
            g->tensors[i].size = 0;
        }
    for (size_t i = 0; i < q->net.n_tensors; i++)
        if (q->now[i] >= 0)
            q->now[i] = to[q->now[i]];
    dv_free(to);
    return st;
}

dmv_status dv_quant_build(dv_quant *q, const dv_quant_options *o, dv_graph *out, dv_err *e)
{
    size_t n = q->net.n_tensors + 1;
    dv_graph_init(out);
    dmv_status st = q->given ? DMV_OK : dv_quant_measure(q, e);
    if (st)
        return st;
    if (!q->given)
        make_groups(q);
    builder p = {.q = q, .o = o, .g = out, .e = e};
    p.f = dv_malloc(n * sizeof *p.f);
    p.b = dv_malloc(n * sizeof *p.b);
    p.wanted = dv_calloc(n, sizeof *p.wanted);
    p.uses = dv_calloc(n, sizeof *p.uses);
    p.scale = dv_calloc(n, sizeof *p.scale);
    p.zero = dv_calloc(n, sizeof *p.zero);
    dv_free(q->now);
    q->now = dv_malloc(n * sizeof *q->now);
    if (p.f && p.b && p.wanted && p.uses && p.scale && p.zero && q->now) {
        memset(p.f, -1, n * sizeof *p.f);
        memset(p.b, -1, n * sizeof *p.b);
        st = build_all(&p);
        for (size_t i = 0; i < n; i++)
            q->now[i] = p.b[i] >= 0 ? p.b[i] : p.f[i];
    } else {
        st = dv_nomem(e);
    }
    dv_free(p.f);
    dv_free(p.b);
    dv_free(p.wanted);
    dv_free(p.uses);
    dv_free(p.scale);
    dv_free(p.zero);
    if (!st)
        st = pack(q, out, e);
    if (!st)
        st = dv_graph_check(out, e);
    if (st)
        dv_graph_free(out);
    return st;
}
