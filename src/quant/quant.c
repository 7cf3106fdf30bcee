/* SPDX-License-Identifier: Apache-2.0
 *
 * quant.c - opening, and what a built net is worth: both nets run on the samples side by side. */
#include <math.h>
#include <string.h>

#include "quant/quant_priv.h"

static dmv_status open_exec(dv_quant *q, const dv_graph *g, dv_exec **x, dv_err *e)
{
    const int64_t *dims[DV_MAX_IO];
    for (size_t i = 0; i < g->n_inputs; i++)
        dims[i] = q->dims[i];
    dmv_status st = dv_exec_open(g, q->k, q->pool, x, e);
    if (!st) {
        (*x)->whole = true;
        st = dv_exec_shape(*x, dims, e);
    }
    if (st)
        dv_exec_close(x);
    return st;
}

static dmv_status open_net(const dv_graph *g, const int64_t *const *dims, const dv_kernels *k,
                           dv_pool *pool, bool pairs, float pixel_scale, float pixel_zero,
                           dv_quant **out, dv_err *e)
{
    *out = NULL;
    dv_quant *q = dv_calloc(1, sizeof *q);
    if (!q)
        return dv_nomem(e);
    q->k = k;
    q->pool = pool;
    q->pixel_scale = pixel_scale;
    q->pixel_zero = pixel_zero;
    dmv_status st = dv_quant_prepare(g, pairs, &q->net, e);
    if (!st) {
        q->dims = dv_calloc(g->n_inputs, sizeof *q->dims);
        q->group = dv_calloc(q->net.n_tensors + 1, sizeof *q->group);
        if (!q->dims || !q->group)
            st = dv_nomem(e);
    }
    for (size_t i = 0; !st && i < g->n_inputs; i++)
        memcpy(q->dims[i], dims[i], (size_t)g->tensors[g->inputs[i]].rank * sizeof(int64_t));
    if (!st)
        st = open_exec(q, &q->net, &q->x, e);
    for (size_t i = 0; !st && i < g->n_inputs; i++)
        q->sample_floats += q->x->v[q->net.inputs[i]].count;
    if (st)
        dv_quant_close(&q);
    else
        *out = q;
    return st;
}

dmv_status dv_quant_open(const dv_graph *g, const int64_t *const *dims, const dv_kernels *k,
                         dv_pool *pool, float pixel_scale, float pixel_zero, dv_quant **out,
                         dv_err *e)
{
    return open_net(g, dims, k, pool, false, pixel_scale, pixel_zero, out, e);
}

dmv_status dv_quant_open_pairs(const dv_graph *g, const int64_t *const *dims, const dv_kernels *k,
                               dv_quant **out, dv_err *e)
{
    return open_net(g, dims, k, NULL, true, 0, 0, out, e);
}

void dv_quant_close(dv_quant **pq)
{
    dv_quant *q = *pq;
    if (!q)
        return;
    dv_quant_forget(q);
    dv_exec_close(&q->x);
    dv_graph_free(&q->net);
    for (size_t i = 0; i < q->n_samples; i++)
        dv_free(q->samples[i]);
    dv_free(q->samples);
    dv_free(q->dims);
    dv_free(q->group);
    dv_free(q->given);
    dv_free(q->gone);
    dv_free(q->now);
    dv_free(q->rows);
    dv_free(q);
    *pq = NULL;
}

const dv_graph *dv_quant_net(const dv_quant *q)
{
    return &q->net;
}

/* ---- comparing ---- */

typedef struct sums {
    double ff, bb, fb, dd; /* float^2, built^2, product, difference^2 */
} sums;

static void add_pair(sums *s, float a, float b)
{
    s->ff += (double)a * (double)a;
    s->bb += (double)b * (double)b;
    s->fb += (double)a * (double)b;
    s->dd += ((double)a - (double)b) * ((double)a - (double)b);
}

static double cosine_of(const sums *s)
{
    return s->ff > 0 && s->bb > 0 ? s->fb / sqrt(s->ff * s->bb) : s->ff == s->bb;
}

typedef struct compare {
    const dv_quant *q;
    float **want;  /* results of the float net on this sample, by tensor; NULL if not kept */
    int32_t *from; /* tensor of the built net -> tensor of the float net, -1 */
    sums *s;       /* by tensor of the float net */
} compare;

static void keep(void *user, const dv_exec *x, size_t step)
{
    compare *c = user;
    for (int i = 0; i < x->steps[step].node->n_out; i++) {
        int32_t t = x->steps[step].node->out[i];
        if (c->want[t])
            memcpy(c->want[t], x->v[t].f, x->v[t].count * sizeof(float));
    }
}

static void meet(void *user, const dv_exec *x, size_t step)
{
    compare *c = user;
    for (int i = 0; i < x->steps[step].node->n_out; i++) {
        int32_t t = x->steps[step].node->out[i], f = c->from[t];
        const dv_value *v = &x->v[t];
        if (f < 0 || !c->want[f])
            continue;
        for (size_t j = 0; j < v->count; j++)
            add_pair(&c->s[f], c->want[f][j],
                     v->dtype == DV_U8 ? ((float)v->q[j] - v->zero) * v->scale : v->f[j]);
    }
}

static bool computes(const dv_node *n)
{
    return n->op == DV_OP_CONV || n->op == DV_OP_LINEAR || n->op == DV_OP_ACT ||
           n->op == DV_OP_BINARY || n->op == DV_OP_SE || n->op == DV_OP_MATMUL ||
           n->op == DV_OP_PRELU || n->op == DV_OP_CONV_TRANSPOSE;
}

/* What became of node n: the form of its result that q->now names. */
static void fill_row(const dv_quant *q, const dv_graph *built, size_t n, const sums *s,
                     dv_quant_row *r)
{
    int32_t t = q->net.nodes[n].out[0];
    const dv_gtensor *b = &built->tensors[q->now[t]];
    *r = (dv_quant_row){.node = n,
                        .bytes = b->dtype == DV_U8,
                        .lo = q->seen[t].lo,
                        .hi = q->seen[t].hi,
                        .scale = b->scale,
                        .zero = b->zero};
    for (size_t i = 0; i < built->n_nodes; i++)
        if (built->nodes[i].out[0] == q->now[t])
            r->q = built->nodes[i].op >= DV_OP_QUANTIZE && built->nodes[i].op <= DV_OP_Q_SE;
    r->sqnr = s->dd > 0 ? 10 * log10(s->ff / s->dd) : INFINITY;
    r->cosine = cosine_of(s);
}

dmv_status dv_quant_compare(dv_quant *q, const dv_graph *built, const dv_quant_row **rows,
                            size_t *n, dv_err *e)
{
    *n = 0;
    size_t nt = q->net.n_tensors;
    dv_exec *x = NULL;
    compare c = {.q = q};
    c.want = dv_calloc(nt, sizeof *c.want);
    c.from = dv_malloc(built->n_tensors * sizeof *c.from);
    c.s = dv_calloc(nt, sizeof *c.s);
    dv_free(q->rows);
    q->n_rows = 0;
    q->rows = dv_calloc(q->net.n_nodes + 1, sizeof *q->rows);
    dmv_status st = c.want && c.from && c.s && q->rows ? DMV_OK : dv_nomem(e);
    if (!st)
        memset(c.from, -1, built->n_tensors * sizeof *c.from);
    for (size_t i = 0; !st && i < q->net.n_nodes; i++) {
        int32_t t = q->net.nodes[i].out[0];
        if (!computes(&q->net.nodes[i]) || q->now[t] < 0 || q->x->v[t].dtype != DV_F32)
            continue;
        c.from[q->now[t]] = t;
        c.want[t] = dv_malloc((q->x->v[t].count + 1) * sizeof(float));
        st = c.want[t] ? DMV_OK : dv_nomem(e);
    }
    if (!st)
        st = open_exec(q, built, &x, e);
    for (size_t i = 0; !st && i < DV_MIN(q->n_samples, (size_t)16); i++) {
        q->x->seen = keep;
        q->x->seen_user = &c;
        st = dv_quant_run(q, q->x, i);
        q->x->seen = NULL;
        x->seen = meet;
        x->seen_user = &c;
        if (!st)
            st = dv_quant_run(q, x, i);
    }
    for (size_t i = 0; !st && i < q->net.n_nodes; i++) {
        int32_t t = q->net.nodes[i].out[0];
        if (c.want[t])
            fill_row(q, built, i, &c.s[t], &q->rows[q->n_rows++]);
    }
    dv_exec_close(&x);
    for (size_t i = 0; c.want && i < nt; i++)
        dv_free(c.want[i]);
    dv_free(c.want);
    dv_free(c.from);
    dv_free(c.s);
    *rows = q->rows;
    *n = q->n_rows;
    return st;
}

dmv_status dv_quant_cosine(dv_quant *q, const dv_graph *built, size_t most, double *cosine,
                           dv_err *e)
{
    dv_exec *x = NULL;
    dmv_status st = open_exec(q, built, &x, e);
    double sum = 0;
    size_t n = DV_MIN(most, q->n_samples);
    for (size_t i = 0; !st && i < n; i++) {
        sums s = {0};
        st = dv_quant_run(q, q->x, i);
        if (!st)
            st = dv_quant_run(q, x, i);
        for (size_t o = 0; !st && o < q->net.n_outputs; o++) {
            const dv_value *a = dv_exec_output(q->x, o), *b = dv_exec_output(x, o);
            for (size_t j = 0; j < a->count; j++)
                add_pair(&s, a->f[j], b->f[j]);
        }
        sum += cosine_of(&s);
    }
    dv_exec_close(&x);
    *cosine = n ? sum / (double)n : 0;
    return st;
}

/* ---- equalisation ---- */

/* The only node that reads t, -1 if there are several or t is an output. */
static int32_t reader(const dv_graph *g, int32_t t)
{
    int32_t found = -1;
    for (size_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == t)
            return -1;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] == t) {
                if (found >= 0)
                    return -1;
                found = (int32_t)i;
            }
    return found;
}

/* Input i of a node as floats that may be changed; NULL without memory or if it is left out. */
static float *own(dv_graph *g, const dv_node *n, int i)
{
    if (i >= n->n_in || n->in[i] < 0)
        return NULL;
    dv_gtensor *t = &g->tensors[n->in[i]];
    if (!t->owned) {
        float *copy = dv_alloc_aligned(t->size);
        if (!copy)
            return NULL;
        memcpy(copy, t->data, t->size);
        t->data = copy;
        t->owned = true;
    }
    return (float *)(uintptr_t)t->data;
}

static size_t constants_shared(const dv_graph *g, int32_t t)
{
    size_t uses = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            uses += g->nodes[i].in[k] == t;
    return uses;
}

/* A layer whose result may be multiplied by a positive factor a channel. */
static bool scales(const dv_quant *q, size_t i)
{
    const dv_node *n = &q->net.nodes[i];
    int64_t act = dv_node_int(n, DV_A_ACT, DV_ACT_NONE);
    bool linear = act == DV_ACT_NONE || act == DV_ACT_LEAKY ||
                  (act == DV_ACT_CLIP && dv_node_float(n, DV_A_P, 0) == 0 &&
                   isinf(dv_node_float(n, DV_A_Q, 0)));
    if (!dv_quant_can(q, i) || !linear || (n->n_in > 4 && n->in[4] >= 0))
        return false;
    for (int k = 1; k < DV_MIN(n->n_in, 3); k++)
        if (n->in[k] >= 0 && constants_shared(&q->net, n->in[k]) > 1)
            return false;
    return true;
}

static bool depthwise(const dv_node *n, const dv_gtensor *w)
{
    return n->op == DV_OP_CONV && w->dims[2] == 1 && w->dims[3] > 1 &&
           dv_node_int(n, DV_A_GROUP, 1) == w->dims[3];
}

/* Channel c of layer a's result times s[c], and undone in the weights of layer b. */
static dmv_status rescale(dv_quant *q, size_t a, size_t b, size_t channels, dv_err *e)
{
    dv_graph *g = &q->net;
    const dv_node *na = &g->nodes[a], *nb = &g->nodes[b];
    float *wa = own(g, na, 1), *wb = own(g, nb, 1), *bias = own(g, na, 2);
    if (!wa || !wb || (!bias && na->n_in > 2 && na->in[2] >= 0))
        return dv_nomem(e);
    const dv_gtensor *tb = &g->tensors[nb->in[1]];
    size_t ka = g->tensors[na->in[1]].size / sizeof(float) / channels;
    size_t nbc = (size_t)tb->dims[tb->rank - 1], kb = tb->size / sizeof(float) / nbc;
    bool dw = depthwise(nb, tb);
    for (size_t c = 0; c < channels; c++) {
        float ra = 0, rb = 0;
        for (size_t i = 0; i < ka; i++)
            ra = DV_MAX(ra, fabsf(wa[i * channels + c]));
        for (size_t i = 0; i < kb; i++)
            if (dw)
                rb = DV_MAX(rb, fabsf(wb[i * nbc + c]));
            else if (i % channels == c)
                for (size_t j = 0; j < nbc; j++)
                    rb = DV_MAX(rb, fabsf(wb[i * nbc + j]));
        if (!(ra > 0) || !(rb > 0))
            continue;
        float s = sqrtf(rb / ra);
        s = DV_MIN(DV_MAX(s, 1e-3f), 1e3f);
        for (size_t i = 0; i < ka; i++)
            wa[i * channels + c] *= s;
        if (bias)
            bias[c] *= s;
        for (size_t i = 0; i < kb; i++)
            if (dw)
                wb[i * nbc + c] /= s;
            else if (i % channels == c)
                for (size_t j = 0; j < nbc; j++)
                    wb[i * nbc + j] /= s;
    }
    return DMV_OK;
}

dmv_status dv_quant_equalise(dv_quant *q, size_t *pairs, dv_err *e)
{
    dv_graph *g = &q->net;
    *pairs = 0;
    for (int round = 0; round < 4; round++)
        for (size_t i = 0; i < g->n_nodes; i++) {
            int32_t b = scales(q, i) ? reader(g, g->nodes[i].out[0]) : -1;
            if (b < 0 || !dv_quant_can(q, (size_t)b) || g->nodes[b].in[0] != g->nodes[i].out[0] ||
                constants_shared(g, g->nodes[b].in[1]) > 1)
                continue;
            const dv_gtensor *wa = &g->tensors[g->nodes[i].in[1]];
            const dv_gtensor *wb = &g->tensors[g->nodes[b].in[1]];
            int64_t c = wa->dims[wa->rank - 1];
            if (c != (depthwise(&g->nodes[b], wb) ? wb->dims[3] : wb->dims[wb->rank - 2]) ||
                g->nodes[i].op != g->nodes[b].op)
                continue;
            dmv_status st = rescale(q, i, (size_t)b, (size_t)c, e);
            if (st)
                return st;
            *pairs += round == 0;
        }
    /* the running form holds packed weights */
    dv_quant_forget(q);
    dv_exec_close(&q->x);
    return open_exec(q, g, &q->x, e);
}
