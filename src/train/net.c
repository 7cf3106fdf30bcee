/* SPDX-License-Identifier: Apache-2.0
 *
 * net.c - a net under training: building, memory, forwards and backwards. Gradients of values live
 * from their first reader (backwards) to their maker, and then give their memory to the next. */
#include "train/train.h"

#include <math.h>
#include <string.h>

struct tr_spare {
    struct tr_spare *next;
    size_t floats;
};

uint64_t tr_random(uint64_t *s)
{
    uint64_t x = *s += 0x9e3779b97f4a7c15u; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

float tr_uniform(uint64_t *s)
{
    return (float)(tr_random(s) >> 40) * 0x1p-24f;
}

float tr_normal(uint64_t *s)
{
    float u = tr_uniform(s) + 0x1p-25f, v = tr_uniform(s);
    return sqrtf(-2 * logf(u)) * cosf(6.28318531f * v);
}

dmv_status tr_net_new(int threads, uint64_t seed, tr_net **out, dv_err *e)
{
    *out = NULL;
    dmv_status st = tr_dnnl_open(e);
    if (st)
        return st;
    tr_net *n = dv_calloc(1, sizeof *n);
    if (!n)
        return dv_nomem(e);
    n->parts = threads;
    n->seed = seed;
    n->input = n->output = -1;
    if ((st = dv_pool_open(threads, &n->pool, e))) {
        tr_net_free(&n);
        return st;
    }
    *out = n;
    return DMV_OK;
}

static void give_back(tr_net *n, tr_value *v)
{
    if (!v->d)
        return;
    struct tr_spare *s = (struct tr_spare *)(void *)((uint8_t *)v->d - DV_ALIGN);
    s->next = n->spare;
    n->spare = s;
    v->d = NULL;
}

static void free_gradients(tr_net *n)
{
    for (size_t i = 0; i < n->n_values; i++)
        give_back(n, &n->v[i]);
    while (n->spare) {
        struct tr_spare *s = n->spare;
        n->spare = s->next;
        dv_free(s);
    }
}

void tr_net_free(tr_net **pn)
{
    tr_net *n = *pn;
    if (!n)
        return;
    free_gradients(n);
    for (size_t i = 0; i < n->n_ops; i++) {
        if (n->ops[i]->kind->close)
            n->ops[i]->kind->close(n->ops[i]);
        dv_free(n->ops[i]);
    }
    for (size_t i = 0; i < n->n_values; i++)
        dv_free(n->v[i].x);
    for (size_t i = 0; i < n->n_params; i++) {
        dv_free(n->params[i]->w);
        dv_free(n->params[i]->g);
        dv_free(n->params[i]->m);
        dv_free(n->params[i]);
    }
    dv_pool_close(&n->pool);
    dv_free(n->ops);
    dv_free(n->v);
    dv_free(n->params);
    dv_free(n);
    *pn = NULL;
}

static bool grow(void **p, size_t *cap, size_t n, size_t each)
{
    if (n < *cap)
        return true;
    size_t to = *cap ? 2 * *cap : 64;
    void *q = dv_realloc(*p, to * each);
    if (!q)
        return false;
    *p = q;
    *cap = to;
    return true;
}

static int add_value(tr_net *n)
{
    if (!grow((void **)&n->v, &n->cap_values, n->n_values, sizeof *n->v))
        return -1;
    memset(&n->v[n->n_values], 0, sizeof *n->v);
    return (int)n->n_values++;
}

int tr_net_input(tr_net *n, int64_t h, int64_t w, int64_t c)
{
    int id = add_value(n);
    if (id < 0)
        return -1;
    n->v[id].h = h;
    n->v[id].w = w;
    n->v[id].c = c;
    n->v[id].each = (size_t)(h * w * c);
    return n->input = id;
}

tr_param *tr_net_param(tr_net *n, const char *op, const char *what, int rank, const int64_t *dims,
                       bool trained, bool decay, dv_err *e)
{
    tr_param *p = dv_calloc(1, sizeof *p);
    if (!p || !grow((void **)&n->params, &n->cap_params, n->n_params, sizeof *n->params)) {
        dv_free(p);
        dv_nomem(e);
        return NULL;
    }
    n->params[n->n_params++] = p;
    snprintf(p->name, sizeof p->name, "%s.%s", op, what);
    p->rank = rank;
    p->n = 1;
    for (int i = 0; i < rank; i++)
        p->n *= (size_t)(p->dims[i] = dims[i]);
    p->decay = decay;
    p->w = dv_calloc(p->n, sizeof *p->w);
    p->g = trained ? dv_calloc(p->n, sizeof *p->g) : NULL;
    p->m = trained ? dv_calloc(p->n, sizeof *p->m) : NULL;
    if (!p->w || (trained && (!p->g || !p->m))) {
        dv_nomem(e);
        return NULL;
    }
    return p;
}

int tr_net_add(tr_net *n, const tr_kind *k, const tr_op *how, const char *name, int a, int b,
               dv_err *e)
{
    if (a < 0)
        return -1; /* an earlier failure */
    tr_op *o = dv_calloc(1, sizeof *o);
    if (!o || !grow((void **)&n->ops, &n->cap_ops, n->n_ops, sizeof *n->ops)) {
        dv_free(o);
        return dv_nomem(e), -1;
    }
    if (how)
        *o = *how;
    o->kind = k;
    snprintf(o->name, sizeof o->name, "%s", name);
    o->in[0] = a;
    o->in[1] = b;
    o->n_in = b < 0 ? 1 : 2;
    n->ops[n->n_ops++] = o;
    if ((o->out = add_value(n)) < 0)
        return dv_nomem(e), -1;
    if (k->shape(n, o, e))
        return -1;
    tr_value *v = &n->v[o->out];
    v->each = (size_t)(v->h * v->w * v->c);
    for (int i = 0; i < o->n_in; i++)
        v->wants_d |= n->v[o->in[i]].wants_d;
    for (int i = 0; i < TR_MAX_PARAMS; i++)
        v->wants_d |= o->p[i] && o->p[i]->g;
    return n->output = o->out;
}

dmv_status tr_net_ready(tr_net *n, int64_t batch, dv_err *e)
{
    if (batch < n->parts)
        return dv_fail(e, DMV_ERR_ARGUMENT, "a batch of %lld for %d threads", (long long)batch,
                       n->parts);
    if (batch == n->batch)
        return DMV_OK;
    free_gradients(n);
    n->batch = batch;
    for (size_t i = 0; i < n->n_values; i++) {
        tr_value *v = &n->v[i];
        size_t floats;
        dv_free(v->x);
        v->x = NULL;
        if (!dv_mul(v->each, (size_t)batch, &floats) || floats > SIZE_MAX / 8 ||
            !(v->x = dv_alloc_aligned(floats * sizeof *v->x))) {
            n->batch = 0;
            return dv_fail(e, DMV_ERR_MEMORY, "out of memory: try a smaller batch than %lld",
                           (long long)batch);
        }
    }
    for (size_t i = 0; i < n->n_ops; i++) {
        dmv_status st = n->ops[i]->kind->ready ? n->ops[i]->kind->ready(n, n->ops[i], e) : DMV_OK;
        if (st) {
            n->batch = 0;
            return dv_fail_in(e, "layer %s", n->ops[i]->name);
        }
    }
    return DMV_OK;
}

static void run_part(void *arg, size_t part, int worker)
{
    tr_net *n = arg;
    (void)worker;
    tr_dnnl_one_thread();
    (n->backwards ? n->running->kind->bwd : n->running->kind->fwd)(n, n->running, n->phase,
                                                                   (int)part);
}

static void run_op(tr_net *n, tr_op *o, bool backwards)
{
    n->running = o;
    n->backwards = backwards;
    int phases = backwards ? o->kind->bwd_phases : o->kind->fwd_phases;
    for (n->phase = 0; n->phase < phases; n->phase++)
        dv_pool_run(n->pool, (size_t)n->parts, run_part, n);
}

void tr_net_forward(tr_net *n, bool training)
{
    n->training = training;
    for (size_t i = 0; i < n->n_ops; i++)
        run_op(n, n->ops[i], false);
}

static float *gradient(tr_net *n, size_t floats)
{
    struct tr_spare **best = NULL;
    for (struct tr_spare **p = &n->spare; *p; p = &(*p)->next)
        if ((*p)->floats >= floats && (!best || (*p)->floats < (*best)->floats))
            best = p;
    struct tr_spare *s;
    if (best && (*best)->floats <= 2 * floats) {
        s = *best;
        *best = s->next;
    } else {
        s = dv_alloc_aligned(floats * sizeof(float) + DV_ALIGN);
        if (!s)
            return NULL;
        s->floats = floats;
    }
    return (float *)(void *)((uint8_t *)s + DV_ALIGN);
}

float *tr_net_output_d(tr_net *n)
{
    tr_value *v = &n->v[n->output];
    if (!v->d)
        v->d = gradient(n, v->each * (size_t)n->batch);
    return v->d;
}

dmv_status tr_net_backward(tr_net *n, dv_err *e)
{
    for (size_t i = n->n_ops; i-- > 0;) {
        tr_op *o = n->ops[i];
        if (!n->v[o->out].d)
            continue; /* nothing depends on it */
        for (int k = 0; k < o->n_in; k++) {
            tr_value *v = &n->v[o->in[k]];
            o->add[k] = v->d != NULL;
            if (v->wants_d && !v->d && !(v->d = gradient(n, v->each * (size_t)n->batch)))
                return dv_fail(e, DMV_ERR_MEMORY, "out of memory: try a smaller batch");
        }
        tr_value tmp = {.d = NULL};
        const tr_value *in = &n->v[o->in[0]];
        if (o->kind->wants_tmp && o->add[0] && in->wants_d &&
            !(tmp.d = gradient(n, in->each * (size_t)n->batch)))
            return dv_fail(e, DMV_ERR_MEMORY, "out of memory: try a smaller batch");
        o->tmp = tmp.d;
        run_op(n, o, true);
        give_back(n, &tmp);
        give_back(n, &n->v[o->out]);
    }
    for (size_t i = 0; i < n->n_values; i++)
        give_back(n, &n->v[i]);
    return DMV_OK;
}

void tr_net_zero_grads(tr_net *n)
{
    for (size_t i = 0; i < n->n_params; i++)
        if (n->params[i]->g)
            memset(n->params[i]->g, 0, n->params[i]->n * sizeof(float));
}

size_t tr_net_weights(const tr_net *n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n->n_params; i++)
        sum += n->params[i]->g ? n->params[i]->n : 0;
    return sum;
}

int64_t tr_net_macs(const tr_net *n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n->n_ops; i++) {
        const tr_op *o = n->ops[i];
        const tr_value *v = &n->v[o->out];
        if (o->kind == &tr_conv)
            sum += v->h * v->w * (int64_t)o->p[0]->n;
        else if (o->kind == &tr_fc)
            sum += (int64_t)o->p[0]->n;
    }
    return sum;
}
