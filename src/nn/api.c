/* SPDX-License-Identifier: Apache-2.0
 *
 * api.c - the public functions of domovoi.h on contexts, models and sessions. */
#include <math.h>
#include <string.h>

#include "nn/dmv.h"
#include "nn/exec.h"

_Static_assert(DV_MAX_IO == 64, "dmv_session has one bit for each input");

void dmv_options_init(dmv_options *o)
{
    if (!o)
        return;
    memset(o, 0, sizeof *o);
    o->struct_size = sizeof *o;
}

dmv_status dmv_context_open(const dmv_options *o, dmv_context **out)
{
    if (!out)
        return DMV_ERR_ARGUMENT;
    *out = NULL;
    dmv_options d;
    dmv_options_init(&d);
    if (o && o->struct_size)
        memcpy(&d, o, DV_MIN(o->struct_size, sizeof d));
    unsigned mask;
    if (d.threads < 0 || d.threads > 64 || !dv_cpu_parse(d.cpu ? d.cpu : "auto", &mask))
        return DMV_ERR_ARGUMENT;
    dmv_context *c = dv_calloc(1, sizeof *c);
    if (!c)
        return DMV_ERR_MEMORY;
    c->log = d.log;
    c->log_user = d.log_user;
    c->threads = d.threads ? d.threads : DV_MIN(dv_cpu_count(), 64);
    c->kernels = dv_calloc(1, sizeof *c->kernels);
    dmv_status st = c->kernels ? dv_pool_open(c->threads, &c->pool, &c->err) : DMV_ERR_MEMORY;
    if (st) {
        dmv_context_close(&c);
        return st;
    }
    dv_kernels_init(c->kernels, mask & dv_cpu_detect());
    c->cpu = c->kernels->cpu;
    dv_cpu_names(c->cpu, c->cpu_names, sizeof c->cpu_names);
    *out = c;
    return DMV_OK;
}

void dmv_context_close(dmv_context **pc)
{
    if (!pc || !*pc)
        return;
    dv_pool_close(&(*pc)->pool);
    dv_free((*pc)->kernels);
    dv_free(*pc);
    *pc = NULL;
}

const char *dmv_error(const dmv_context *c)
{
    return c ? c->err.msg : "";
}

const char *dmv_context_cpu(const dmv_context *c)
{
    return c ? c->cpu_names : "";
}

int dmv_context_threads(const dmv_context *c)
{
    return c ? c->threads : 0;
}

/* ---- models ---- */

dmv_status dmv_model_open(dmv_context *c, const char *path, dmv_model **out)
{
    if (out)
        *out = NULL;
    if (!c || !path || !out)
        return c ? dv_fail(&c->err, DMV_ERR_ARGUMENT, "no path") : DMV_ERR_ARGUMENT;
    dv_map map;
    dmv_status st = dv_map_open(path, &map, &c->err);
    if (st)
        return st;
    st = dv_dmv_parse(map.data, map.size, path, out, &c->err);
    if (st)
        dv_map_close(&map);
    else
        (*out)->map = map;
    return st;
}

dmv_status dmv_model_open_memory(dmv_context *c, const void *data, size_t size, dmv_model **out)
{
    if (out)
        *out = NULL;
    if (!c || !data || !out || (uintptr_t)data % DV_ALIGN)
        return c ? dv_fail(&c->err, DMV_ERR_ARGUMENT, "a model in memory must be %d-byte aligned",
                           DV_ALIGN)
                 : DMV_ERR_ARGUMENT;
    return dv_dmv_parse(data, size, "model in memory", out, &c->err);
}

void dmv_model_close(dmv_model **pm)
{
    if (!pm || !*pm)
        return;
    dmv_model *m = *pm;
    dv_graph_free(&m->graph);
    dv_meta_free(&m->meta);
    if (m->map.base || m->map.data)
        dv_map_close(&m->map);
    dv_free(m);
    *pm = NULL;
}

dmv_model_kind dmv_model_get_kind(const dmv_model *m)
{
    const char *k = m ? dv_meta_text(&m->meta, "kind") : NULL;
    if (!k)
        return DMV_KIND_OTHER;
    return !strcmp(k, "detector")    ? DMV_KIND_DETECTOR
           : !strcmp(k, "embedder")  ? DMV_KIND_EMBEDDER
           : !strcmp(k, "landmarks") ? DMV_KIND_LANDMARKS
                                     : DMV_KIND_OTHER;
}

const char *dmv_model_id(const dmv_model *m)
{
    return m ? m->id : "";
}

const char *dmv_model_text(const dmv_model *m, const char *key)
{
    return m && key ? dv_meta_text(&m->meta, key) : NULL;
}

size_t dmv_model_dim(const dmv_model *m)
{
    const dv_meta_item *d = m ? dv_meta_get(&m->meta, "dim") : NULL;
    return dmv_model_get_kind(m) == DMV_KIND_EMBEDDER && d && d->type == 2 && d->num > 0 &&
                   d->num <= 65536
               ? (size_t)d->num
               : 0;
}

dmv_status dmv_model_threshold(const dmv_model *m, double fmr, float *threshold)
{
    if (!m || !threshold)
        return DMV_ERR_ARGUMENT;
    const dv_meta_item *t = dv_meta_get(&m->meta, "thresholds");
    if (!t || t->type != 3 || t->n % 2 || !(fmr > 0))
        return DMV_ERR_NOT_FOUND;
    double f0 = 0, s0 = 0; /* the last stated rate above fmr, 0 = none, and its threshold */
    for (uint32_t i = 0; i < t->n; i += 2) {
        double f1 = (double)t->f[i], s1 = (double)t->f[i + 1];
        if (!(f1 > 0) || !isfinite(s1))
            continue;
        if (fmr < f1 * (1 - 1e-6)) {
            f0 = f1;
            s0 = s1;
            continue;
        }
        double w = f0 > 0 && fmr > f1 * (1 + 1e-6) ? log(fmr / f1) / log(f0 / f1) : 0;
        *threshold = (float)(s1 + w * (s0 - s1));
        return DMV_OK;
    }
    return DMV_ERR_NOT_FOUND;
}

/* ---- sessions ---- */

struct dmv_session {
    dmv_context *ctx;
    const dmv_model *model;
    dv_exec *x;
    int64_t (*dims)[DMV_MAX_RANK]; /* of each input, -1 = not set yet */
    bool dirty;                    /* dims have changed since the exec was shaped */
    bool ran;                      /* since then */
    uint64_t given;                /* bit i: input i has data (there are at most DV_MAX_IO) */
};

dmv_status dmv_session_open(dmv_context *c, const dmv_model *m, dmv_session **out)
{
    if (out)
        *out = NULL;
    if (!c || !m || !out)
        return c ? dv_fail(&c->err, DMV_ERR_ARGUMENT, "no model") : DMV_ERR_ARGUMENT;
    dmv_session *s = dv_calloc(1, sizeof *s);
    if (!s)
        return dv_nomem(&c->err);
    s->ctx = c;
    s->model = m;
    s->dirty = true;
    s->dims = dv_calloc(m->graph.n_inputs, sizeof *s->dims);
    dmv_status st =
        s->dims ? dv_exec_open(&m->graph, c->kernels, c->pool, &s->x, &c->err) : dv_nomem(&c->err);
    if (st) {
        dmv_session_close(&s);
        return st;
    }
    for (size_t i = 0; i < m->graph.n_inputs; i++) {
        const dv_gtensor *t = &m->graph.tensors[m->graph.inputs[i]];
        memcpy(s->dims[i], t->dims, sizeof t->dims);
    }
    *out = s;
    return DMV_OK;
}

void dmv_session_close(dmv_session **ps)
{
    if (!ps || !*ps)
        return;
    dv_exec_close(&(*ps)->x);
    dv_free((*ps)->dims);
    dv_free(*ps);
    *ps = NULL;
}

size_t dmv_session_inputs(const dmv_session *s)
{
    return s ? s->model->graph.n_inputs : 0;
}

size_t dmv_session_outputs(const dmv_session *s)
{
    return s ? s->model->graph.n_outputs : 0;
}

dmv_status dmv_session_input_info(const dmv_session *s, size_t i, dmv_tensor *t)
{
    if (!s || !t)
        return DMV_ERR_ARGUMENT;
    const dv_graph *g = &s->model->graph;
    if (i >= g->n_inputs)
        return dv_fail(&s->ctx->err, DMV_ERR_ARGUMENT, "there is no input %zu", i);
    const dv_gtensor *d = &g->tensors[g->inputs[i]];
    *t = (dmv_tensor){.name = d->name ? d->name : "", .rank = d->rank};
    memcpy(t->dims, d->dims, sizeof t->dims);
    return DMV_OK;
}

dmv_status dmv_session_reshape(dmv_session *s, size_t i, const int64_t *dims, int rank)
{
    if (!s)
        return DMV_ERR_ARGUMENT;
    const dv_graph *g = &s->model->graph;
    if (i >= g->n_inputs || !dims || rank != g->tensors[g->inputs[i]].rank)
        return dv_fail(&s->ctx->err, DMV_ERR_ARGUMENT, "input %zu: no such input, or wrong rank",
                       i);
    if (memcmp(s->dims[i], dims, (size_t)rank * sizeof *dims)) {
        memcpy(s->dims[i], dims, (size_t)rank * sizeof *dims);
        s->dirty = true;
    }
    return DMV_OK;
}

static dmv_status make_ready(dmv_session *s)
{
    if (!s->dirty)
        return DMV_OK;
    const int64_t *dims[DV_MAX_IO];
    for (size_t i = 0; i < s->model->graph.n_inputs; i++) {
        dims[i] = s->dims[i];
        const dv_gtensor *t = &s->model->graph.tensors[s->model->graph.inputs[i]];
        for (int d = 0; d < t->rank; d++)
            if (dims[i][d] == -1)
                return dv_fail(&s->ctx->err, DMV_ERR_ARGUMENT,
                               "input \"%s\" has a free dimension: call dmv_session_reshape first",
                               t->name ? t->name : "");
    }
    s->ran = false;
    s->given = 0;
    dmv_status st = dv_exec_shape(s->x, dims, &s->ctx->err);
    if (!st)
        s->dirty = false;
    return st;
}

dmv_status dmv_session_set_input(dmv_session *s, size_t i, const float *data)
{
    if (!s)
        return DMV_ERR_ARGUMENT;
    if (!data || i >= s->model->graph.n_inputs)
        return dv_fail(&s->ctx->err, DMV_ERR_ARGUMENT, "no data, or no input %zu", i);
    dmv_status st = make_ready(s);
    if (st)
        return st;
    const dv_value *v = &s->x->v[s->model->graph.inputs[i]];
    memcpy(v->f, data, v->count * sizeof(float));
    s->given |= (uint64_t)1 << i;
    return DMV_OK;
}

dmv_status dmv_session_run(dmv_session *s)
{
    if (!s)
        return DMV_ERR_ARGUMENT;
    if (s->dirty || s->given != UINT64_MAX >> (DV_MAX_IO - s->model->graph.n_inputs))
        return dv_fail(&s->ctx->err, DMV_ERR_ARGUMENT,
                       "set every input before running, again after a change of size");
    dv_exec_run(s->x);
    s->ran = true;
    return DMV_OK;
}

dmv_status dmv_session_output(const dmv_session *s, size_t i, dmv_tensor *t)
{
    if (!s || !t)
        return DMV_ERR_ARGUMENT;
    const dv_graph *g = &s->model->graph;
    if (i >= g->n_outputs || s->dirty || !s->ran)
        return dv_fail(&s->ctx->err, DMV_ERR_ARGUMENT, "there is no output %zu, or nothing ran", i);
    const dv_value *v = dv_exec_output(s->x, i);
    const char *name = g->tensors[g->outputs[i]].name;
    *t = (dmv_tensor){.name = name ? name : "", .rank = v->rank, .data = v->f};
    memcpy(t->dims, v->dims, sizeof t->dims);
    return DMV_OK;
}

size_t dmv_session_memory(const dmv_session *s)
{
    return !s ? 0 : s->x->arena_size + s->x->scratch_each * (size_t)dv_pool_size(s->ctx->pool);
}
