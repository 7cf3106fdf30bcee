/* SPDX-License-Identifier: Apache-2.0
 *
 * bands.c - see bands.h. Rows needed are worked out from the last layer back, then made from the
 * first layer on. The same walk is taken without computing when the net is shaped, and gives the
 * sizes of the buffers. */
#include "nn/bands.h"

#include <string.h>

#include "nn/plan.h"

/* What pays was measured on processors with 1 and 2 MiB of second-level cache. One worker gains by
 * what no longer goes through memory, several also by meeting less often. */
#define MOST 24                     /* steps of a group */
#define WEIGHTS ((size_t)256 << 10) /* bytes of weights, which each band reads again */
#define BUFFERS ((size_t)512 << 10) /* bytes that a worker's rows may take */
#define EXTRA 0.08                  /* share of the work that may be done twice at borders */
/* bytes of a tensor that is worth it, and pixels of a band */
#define WORTH(workers) ((workers) > 1 ? (size_t)32 << 10 : (size_t)384 << 10)
#define PIXELS(workers) ((workers) > 1 ? 64 : 256)
/* rows of a band in 8 bits, for one worker: depthwise kernels prepare their weights each time */
#define BYTE_ROWS 8

typedef struct member {
    int32_t step;
    int32_t src[4]; /* producer of each input inside the group, -1: from outside */
    int64_t rows;   /* of the output */
    size_t line;    /* bytes of one */
    int64_t cap;    /* rows of the buffer */
    size_t offset;  /* of the buffer */
} member;

struct dv_group {
    int32_t first, last;
    int n;
    int64_t band; /* rows of the last output at a time */
    size_t bytes; /* of the buffers of one worker */
    member m[MOST];
};

struct dv_bands {
    struct dv_group *groups;
    size_t n;
    int32_t *of;    /* by step: group, -1 */
    bool *inner;    /* by tensor */
    dv_exec *views; /* one a worker: the exec with tensors of its own */
    dv_value *values;
    uint8_t *buffers;
    size_t each;
};

/* Rows [*from, *to) of input i that rows [a, b) of the output need. */
static void needs(const dv_step *s, int i, int64_t rows, int64_t a, int64_t b, int64_t *from,
                  int64_t *to)
{
    const dv_band *w = &s->band;
    *from = i == 0 ? a * w->step - w->before : a;
    *to = i == 0 ? (b - 1) * w->step - w->before + w->span : b;
    *from = DV_MIN(DV_MAX(*from, 0), rows);
    *to = DV_MIN(DV_MAX(*to, *from), rows);
}

typedef struct walk {
    int64_t first[MOST], have[MOST], need[MOST]; /* rows: of the buffer, made so far, wanted */
    int64_t cap[MOST];
    double work; /* multiply-adds (or bytes / 4) of all rows that were made */
} walk;

static double cost(const dv_exec *x, const member *m)
{
    const dv_step *s = &x->steps[m->step];
    return ((double)s->macs + (double)x->v[s->node->out[0]].count) / (double)m->rows;
}

/* The rows of m that a consumer still needs. */
static int64_t keep_from(const dv_exec *x, const struct dv_group *g, const walk *w, int m)
{
    int64_t keep = w->have[m], from, to;
    for (int c = m + 1; c < g->n; c++)
        for (int i = 0; i < 4; i++)
            if (g->m[c].src[i] == m) {
                const dv_step *s = &x->steps[g->m[c].step];
                needs(s, i, g->m[m].rows, w->have[c], w->have[c] + 1, &from, &to);
                keep = DV_MIN(keep, from);
            }
    return keep;
}

static void set_place(dv_value *v, uint8_t *buffer, int64_t first, size_t line)
{
    /* row 0 may lie before the buffer: an integer until a row that exists is added */
    uintptr_t at = (uintptr_t)buffer - (uintptr_t)first * line;
    if (v->dtype == DV_F32)
        v->f = (float *)at;
    else if (v->dtype == DV_F16)
        v->h = (uint16_t *)at;
    else
        v->q = (uint8_t *)at;
}

/* Room for the rows [have, need) of m: those nobody needs any more make way. */
static void make_room(dv_exec *view, const struct dv_group *g, walk *w, int m, uint8_t *buffers)
{
    const member *p = &g->m[m];
    dv_value *v = &view->v[view->steps[p->step].node->out[0]];
    if (w->need[m] - w->first[m] > p->cap) {
        int64_t keep = keep_from(view, g, w, m);
        memmove(buffers + p->offset, buffers + p->offset + (size_t)(keep - w->first[m]) * p->line,
                (size_t)(w->have[m] - keep) * p->line);
        w->first[m] = keep;
    }
    set_place(v, buffers + p->offset, w->first[m], p->line);
}

/* Rows [a, b) of the last output. buffers NULL: only what would be needed, in w->cap and w->work.
 */
static void take(dv_exec *x, const struct dv_group *g, int64_t a, int64_t b, uint8_t *buffers,
                 int worker, walk *w)
{
    const int last = g->n - 1;
    int64_t from, to;
    for (int m = 0; m < g->n; m++) {
        w->have[m] = g->m[m].rows;
        if (!buffers)
            w->cap[m] = 0;
    }
    w->have[last] = a;
    for (int m = last; m >= 0; m--)
        for (int i = 0; i < 4; i++) {
            const int p = g->m[m].src[i];
            if (p < 0)
                continue;
            needs(&x->steps[g->m[m].step], i, g->m[p].rows, w->have[m], w->have[m] + 1, &from, &to);
            w->have[p] = DV_MIN(w->have[p], from);
        }
    memcpy(w->first, w->have, sizeof w->first);
    for (int64_t o = a; o < b; o += g->band) {
        memcpy(w->need, w->have, sizeof w->need);
        w->need[last] = DV_MIN(o + g->band, b);
        for (int m = last; m >= 0; m--)
            for (int i = 0; i < 4; i++) {
                const int p = g->m[m].src[i];
                if (p < 0 || w->need[m] == w->have[m])
                    continue;
                needs(&x->steps[g->m[m].step], i, g->m[p].rows, w->have[m], w->need[m], &from, &to);
                w->need[p] = DV_MAX(w->need[p], to);
            }
        for (int m = 0; m <= last; m++) {
            const dv_step *s = &x->steps[g->m[m].step];
            if (w->need[m] == w->have[m])
                continue;
            if (!buffers) {
                w->cap[m] = DV_MAX(w->cap[m], w->need[m] - keep_from(x, g, w, m));
                w->work += cost(x, &g->m[m]) * (double)(w->need[m] - w->have[m]);
            } else {
                if (m < last)
                    make_room(x, g, w, m, buffers);
                const size_t unit = s->band.unit;
                const uint64_t t = x->step_ns ? dv_now_ns() : 0;
                s->band.fn(x, s, (size_t)w->have[m] * unit, (size_t)w->need[m] * unit, worker);
                if (x->step_ns && worker == 0)
                    x->step_ns[g->m[m].step] += dv_now_ns() - t;
            }
            w->have[m] = w->need[m];
        }
    }
}

static int64_t share(const struct dv_group *g, int worker, int workers)
{
    return g->m[g->n - 1].rows * worker / workers;
}

/* ---- finding groups ---- */

static size_t bytes_of(const dv_value *v)
{
    return v->count * dv_dtype_size(v->dtype);
}

static size_t weights_of(const dv_exec *x, const dv_step *s)
{
    size_t sum = 0;
    for (int i = 1; i < s->node->n_in; i++) {
        const dv_gtensor *t = dv_const_in(x->g, s->node, i);
        sum += t ? t->size : 0;
    }
    return sum;
}

/* Can this step be part of a group that began at step `first`? Adds it. */
static bool append(const dv_exec *x, struct dv_group *g, const int32_t *maker, int32_t step)
{
    const dv_step *s = &x->steps[step];
    const dv_value *o = &x->v[s->node->out[0]];
    if (!s->band.fn || s->skip || g->n == MOST || s->node->n_out != 1 || o->rank != 4 ||
        o->dims[0] != 1 || o->root != s->node->out[0])
        return false;
    member *m = &g->m[g->n];
    *m = (member){.step = step, .src = {-1, -1, -1, -1}, .rows = o->dims[1]};
    m->line = bytes_of(o) / (size_t)m->rows;
    int n = 0;
    for (int i = 0; i < s->node->n_in; i++) {
        const int32_t t = s->node->in[i];
        if (t < 0 || x->g->tensors[t].data)
            continue;
        const int32_t by = maker[dv_root(x, t)];
        if (by < g->first)
            continue;
        if (dv_root(x, t) != t || n > 2 || (i > 0 && x->v[t].dims[1] != m->rows))
            return false; /* a view of something inside the group */
        m->src[i == 0 ? 0 : ++n] = by - g->first;
    }
    g->n++;
    g->last = step;
    return true;
}

/* Is every output but the last read by the group alone? */
static bool closed(const dv_exec *x, const struct dv_group *g, const int32_t *reader)
{
    for (int m = 0; m < g->n - 1; m++)
        if (reader[x->steps[g->m[m].step].node->out[0]] > g->last)
            return false;
    return true;
}

/* Sizes of bands and buffers; false if the group is not worth it. */
static bool size_up(dv_exec *x, struct dv_group *g)
{
    const int workers = dv_pool_size(x->pool);
    const int64_t rows = g->m[g->n - 1].rows;
    static const int64_t bands[] = {32, 24, 16, 12, 8, 6, 4, 3, 2, 1};
    double alone = 0, all;
    const dv_value *o = &x->v[x->steps[g->last].node->out[0]];
    if (g->n < 2 || rows < 2 * workers)
        return false;
    for (int m = 0; m < g->n; m++)
        alone += cost(x, &g->m[m]) * (double)g->m[m].rows;
    for (size_t i = 0; i < DV_COUNT(bands); i++) {
        g->band = bands[i];
        if (g->band * o->dims[2] < PIXELS(workers) ||
            (workers == 1 && o->dtype == DV_U8 && g->band < BYTE_ROWS))
            return false;
        all = 0;
        for (int m = 0; m < g->n; m++)
            g->m[m].cap = 0;
        for (int k = 0; k < workers; k++) {
            walk w = {.work = 0};
            take(x, g, share(g, k, workers), share(g, k + 1, workers), NULL, 0, &w);
            for (int m = 0; m < g->n; m++)
                g->m[m].cap = DV_MAX(g->m[m].cap, w.cap[m]);
            all += w.work;
        }
        g->bytes = 0;
        for (int m = 0; m < g->n - 1; m++) {
            g->m[m].offset = g->bytes;
            /* 8-bit convolutions read up to 3 bytes behind the last */
            g->bytes += dv_round_up((size_t)g->m[m].cap * g->m[m].line + 4, DV_ALIGN);
        }
        if (g->bytes <= BUFFERS && all <= alone * (1 + EXTRA))
            return true;
    }
    return false;
}

/* The longest group from `first` on. */
static bool find_group(dv_exec *x, int32_t first, const int32_t *maker, const int32_t *reader,
                       struct dv_group *out)
{
    struct dv_group g = {.first = first};
    const size_t worth = WORTH(dv_pool_size(x->pool));
    size_t weights = 0;
    bool found = false;
    const size_t end = (size_t)first < x->cut ? x->cut : x->g->n_nodes;
    for (int32_t i = first; (size_t)i < end; i++) {
        const dv_step *s = &x->steps[i];
        if (!append(x, &g, maker, i))
            break;
        weights += weights_of(x, s);
        if (weights > WEIGHTS)
            break;
        if (g.n == 1)
            continue;
        if (bytes_of(&x->v[x->steps[i - 1].node->out[0]]) < worth)
            break; /* small enough to stay in the cache as a whole */
        struct dv_group t = g;
        if (closed(x, &t, reader) && size_up(x, &t)) {
            *out = t;
            found = true;
        }
    }
    return found;
}

dmv_status dv_bands_find(dv_exec *x, dv_err *e)
{
    const dv_graph *net = x->g;
    struct dv_bands *b = x->bands = dv_calloc(1, sizeof *b);
    if (!b)
        return dv_nomem(e);
    const size_t nodes = net->n_nodes + 1, tensors = net->n_tensors + 1;
    b->of = dv_malloc(nodes * sizeof *b->of);
    b->inner = dv_calloc(tensors, sizeof *b->inner);
    b->groups = dv_calloc(nodes / 2 + 1, sizeof *b->groups);
    int32_t *maker = dv_malloc(tensors * sizeof *maker),
            *reader = dv_malloc(tensors * sizeof *reader);
    if (!b->of || !b->inner || !b->groups || !maker || !reader) {
        dv_free(maker);
        dv_free(reader);
        return dv_nomem(e);
    }
    memset(b->of, -1, nodes * sizeof *b->of);
    memset(maker, -1, tensors * sizeof *maker);
    memset(reader, -1, tensors * sizeof *reader);
    for (size_t i = 0; i < net->n_nodes; i++) {
        const dv_node *n = &net->nodes[i];
        for (int j = 0; j < n->n_out; j++)
            if (!x->steps[i].skip)
                maker[dv_root(x, n->out[j])] = (int32_t)i;
        for (int j = 0; j < n->n_in; j++)
            if (n->in[j] >= 0)
                reader[dv_root(x, n->in[j])] = (int32_t)i;
    }
    for (size_t i = 0; i < net->n_outputs; i++)
        reader[dv_root(x, net->outputs[i])] = INT32_MAX;
    if (x->cut)
        reader[dv_root(x, x->feature)] = INT32_MAX;
    for (size_t i = 0; i < net->n_nodes && !x->whole;) {
        struct dv_group *g = &b->groups[b->n];
        if (!find_group(x, (int32_t)i, maker, reader, g)) {
            i++;
            continue;
        }
        for (int m = 0; m < g->n; m++)
            b->of[g->m[m].step] = (int32_t)b->n;
        for (int m = 0; m < g->n - 1; m++)
            b->inner[net->nodes[g->m[m].step].out[0]] = true;
        b->each = DV_MAX(b->each, dv_round_up(g->bytes, DV_ALIGN));
        b->n++;
        i = (size_t)g->last + 1;
    }
    dv_free(maker);
    dv_free(reader);
    return DMV_OK;
}

dmv_status dv_bands_ready(dv_exec *x, dv_err *e)
{
    struct dv_bands *b = x->bands;
    const size_t workers = (size_t)dv_pool_size(x->pool), n = x->g->n_tensors;
    if (b->n == 0)
        return DMV_OK;
    b->views = dv_calloc(workers, sizeof *b->views);
    b->values = dv_calloc(workers * n, sizeof *b->values);
    b->buffers = dv_alloc_aligned(workers * b->each);
    if (!b->views || !b->values || !b->buffers)
        return dv_nomem(e);
    for (size_t k = 0; k < workers; k++)
        b->views[k].v = b->values + k * n;
    return DMV_OK;
}

void dv_bands_free(dv_exec *x)
{
    struct dv_bands *b = x->bands;
    if (!b)
        return;
    dv_free(b->groups);
    dv_free(b->of);
    dv_free(b->inner);
    dv_free(b->views);
    dv_free(b->values);
    dv_free(b->buffers);
    dv_free(b);
    x->bands = NULL;
}

bool dv_bands_inner(const dv_exec *x, int32_t t)
{
    return x->bands && x->bands->inner[t];
}

const struct dv_group *dv_bands_at(const dv_exec *x, size_t step)
{
    return x->bands && x->bands->of[step] >= 0 ? &x->bands->groups[x->bands->of[step]] : NULL;
}

void dv_bands_span(const struct dv_group *g, int32_t *first, int32_t *last)
{
    *first = g->first;
    *last = g->last;
}

typedef struct job {
    dv_exec *x;
    const struct dv_group *g;
} job;

static void run_share(void *arg, size_t task, int worker)
{
    const job *j = arg;
    const struct dv_group *g = j->g;
    struct dv_bands *b = j->x->bands;
    dv_exec *view = &b->views[worker];
    dv_value *values = view->v;
    const int workers = dv_pool_size(j->x->pool);
    *view = *j->x;
    view->v = values;
    /* the tensors that the group touches */
    for (int m = 0; m < g->n; m++) {
        const dv_node *n = j->x->steps[g->m[m].step].node;
        values[n->out[0]] = j->x->v[n->out[0]];
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] >= 0 && !(b->inner[n->in[i]]))
                values[n->in[i]] = j->x->v[n->in[i]];
    }
    walk w;
    take(view, g, share(g, (int)task, workers), share(g, (int)task + 1, workers),
         b->buffers + (size_t)worker * b->each, worker, &w);
}

void dv_bands_run(dv_exec *x, const struct dv_group *g)
{
    job j = {x, g};
    dv_pool_run(x->pool, (size_t)dv_pool_size(x->pool), run_share, &j);
}
