/* SPDX-License-Identifier: Apache-2.0
 *
 * index.c - exact search among unit vectors: every vector is compared, so nothing that
 * should be found is missed. One contiguous array, fixed blocks of it handed to the
 * workers, one list of the best k distinct ids per worker, merged at the end.
 *
 * A large k (a full ranking) takes another way: all scores, sorted, one per id.
 *
 * Better means a higher score, and of equal scores the lower id. That is a total order on
 * ids, so the answer does not depend on which worker took which block.
 */
#include <math.h>
#include <string.h>

#include "face/face.h"

enum {
    BLOCK = 256,   /* vectors per task */
    LIST_MAX = 128 /* largest k for lists: an id is looked up in them one by one */
};

struct dmv_index {
    dmv_context *ctx;
    size_t dim, ld; /* ld: floats from one vector to the next, a multiple of DV_PANEL */
    size_t n, cap;
    float *v; /* n vectors of unit length */
    uint64_t *ids;
    float *probe;   /* dim */
    dmv_match *top; /* scratch of a search: a list per worker, or a match per vector */
    size_t top_cap;
};

typedef struct best {
    dmv_match *m; /* heap: the worst on top */
    size_t n, k;
} best;

typedef struct search {
    const dmv_index *x;
    dmv_match *all; /* NULL = lists */
    best lists[64];
} search;

typedef bool order_fn(const dmv_match *a, const dmv_match *b); /* a comes before b */

static bool better(const dmv_match *a, const dmv_match *b)
{
    return a->score > b->score || (a->score == b->score && a->id < b->id);
}

static bool by_id(const dmv_match *a, const dmv_match *b)
{
    return a->id < b->id || (a->id == b->id && a->score > b->score);
}

static void swap(dmv_match *a, dmv_match *b)
{
    dmv_match t = *a;
    *a = *b;
    *b = t;
}

/* Heaps have the last in order on top. */
static void sift_down(dmv_match *m, size_t n, size_t i, order_fn *before)
{
    for (;;) {
        size_t low = i;
        for (size_t c = 2 * i + 1; c < 2 * i + 3 && c < n; c++) {
            if (before(&m[low], &m[c])) {
                low = c;
            }
        }
        if (low == i) {
            return;
        }
        swap(&m[i], &m[low]);
        i = low;
    }
}

/* Sorts a heap. */
static void unwind(dmv_match *m, size_t n, order_fn *before)
{
    for (size_t left = n; left > 1; left--) {
        swap(&m[0], &m[left - 1]);
        sift_down(m, left - 1, 0, before);
    }
}

static void sort(dmv_match *m, size_t n, order_fn *before)
{
    for (size_t i = n / 2; i-- > 0;) {
        sift_down(m, n, i, before);
    }
    unwind(m, n, before);
}

/* Keeps the k best distinct ids of everything that is offered. */
static void offer(best *b, dmv_match m)
{
    if (b->n == b->k && !better(&m, &b->m[0])) {
        return;
    }
    for (size_t i = 0; i < b->n; i++) {
        if (b->m[i].id == m.id) {
            if (better(&m, &b->m[i])) {
                b->m[i] = m; /* it got better: it can only sink below its children */
                sift_down(b->m, b->n, i, better);
            }
            return;
        }
    }
    if (b->n == b->k) {
        b->m[0] = m;
        sift_down(b->m, b->n, 0, better);
        return;
    }
    size_t i = b->n++;
    for (b->m[i] = m; i && better(&b->m[(i - 1) / 2], &b->m[i]); i = (i - 1) / 2) {
        swap(&b->m[i], &b->m[(i - 1) / 2]);
    }
}

static void search_block(void *arg, size_t task, int worker)
{
    search *s = arg;
    const dmv_index *x = s->x;
    float score[BLOCK];
    const size_t first = task * BLOCK, n = DV_MIN((size_t)BLOCK, x->n - first);
    x->ctx->kernels->dots_f32(n, x->dim, x->probe, x->v + first * x->ld, x->ld, score);
    for (size_t i = 0; i < n; i++) {
        const dmv_match m = {.id = x->ids[first + i], .score = fminf(fmaxf(score[i], -1), 1)};
        if (s->all) {
            s->all[first + i] = m;
        } else {
            offer(&s->lists[worker], m);
        }
    }
}

/* The vector at unit length; false if it has none or is not finite. */
static bool unit(const float *v, size_t dim, float *out)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        sum += (double)v[i] * v[i];
    }
    sum = sqrt(sum);
    if (!(sum > 0) || !isfinite(sum)) {
        return false;
    }
    for (size_t i = 0; i < dim; i++) {
        out[i] = (float)(v[i] / sum);
    }
    return true;
}

dmv_status dmv_index_open(dmv_context *ctx, size_t dim, dmv_index **out)
{
    if (out) {
        *out = NULL;
    }
    if (!ctx || !out) {
        return DMV_ERR_ARGUMENT;
    }
    if (dim < 1 || dim > 65536) {
        return dv_fail(&ctx->err, DMV_ERR_ARGUMENT,
                       "index: vectors of %zu numbers; 1 to 65536 are "
                       "possible",
                       dim);
    }
    dmv_index *x = dv_calloc(1, sizeof(*x));
    if (!x) {
        return dv_nomem(&ctx->err);
    }
    x->ctx = ctx;
    x->dim = dim;
    x->ld = dv_round_up(dim, DV_PANEL);
    x->probe = dv_alloc_aligned(x->ld * sizeof(float));
    if (!x->probe) {
        dv_free(x);
        return dv_nomem(&ctx->err);
    }
    memset(x->probe, 0, x->ld * sizeof(float));
    *out = x;
    return DMV_OK;
}

void dmv_index_close(dmv_index **xx)
{
    dmv_index *x = xx ? *xx : NULL;
    if (!x) {
        return;
    }
    if (x->v) {
        dv_wipe(x->v, x->n * x->ld * sizeof(float));
    }
    dv_wipe(x->probe, x->ld * sizeof(float));
    dv_free(x->v);
    dv_free(x->ids);
    dv_free(x->probe);
    dv_free(x->top);
    dv_free(x);
    *xx = NULL;
}

size_t dmv_index_size(const dmv_index *x)
{
    return x ? x->n : 0;
}

/* Doubles the room. Both arrays or neither; the old vectors are wiped. */
static dmv_status grow(dmv_index *x)
{
    dv_err *e = &x->ctx->err;
    size_t cap, bytes, id_bytes;
    if (!dv_mul(x->cap ? x->cap : 8, 2, &cap) || !dv_mul(cap, x->ld * sizeof(float), &bytes) ||
        !dv_mul(cap, sizeof(uint64_t), &id_bytes)) {
        return dv_nomem(e);
    }
    float *v = dv_alloc_aligned(bytes);
    uint64_t *ids = v ? dv_malloc(id_bytes) : NULL;
    if (!ids) {
        dv_free(v);
        return dv_nomem(e);
    }
    if (x->n) {
        memcpy(v, x->v, x->n * x->ld * sizeof(float));
        memcpy(ids, x->ids, x->n * sizeof(uint64_t));
        dv_wipe(x->v, x->n * x->ld * sizeof(float));
    }
    dv_free(x->v);
    dv_free(x->ids);
    x->v = v;
    x->ids = ids;
    x->cap = cap;
    return DMV_OK;
}

dmv_status dmv_index_add(dmv_index *x, uint64_t id, const float *vector)
{
    if (!x) {
        return DMV_ERR_ARGUMENT;
    }
    if (!vector) {
        return dv_fail(&x->ctx->err, DMV_ERR_ARGUMENT, "index: the vector is NULL");
    }
    if (x->n == x->cap) {
        dmv_status s = grow(x);
        if (s != DMV_OK) {
            return s;
        }
    }
    float *to = x->v + x->n * x->ld;
    if (!unit(vector, x->dim, to)) {
        return dv_fail(&x->ctx->err, DMV_ERR_ARGUMENT,
                       "index: the vector for id %llu has no length or is not finite",
                       (unsigned long long)id);
    }
    memset(to + x->dim, 0, (x->ld - x->dim) * sizeof(float));
    x->ids[x->n++] = id;
    return DMV_OK;
}

dmv_status dmv_index_remove(dmv_index *x, uint64_t id, size_t *removed)
{
    size_t gone = 0;
    if (removed) {
        *removed = 0;
    }
    if (!x) {
        return DMV_ERR_ARGUMENT;
    }
    for (size_t i = 0; i < x->n;) {
        if (x->ids[i] != id) {
            i++;
            continue;
        }
        const size_t last = --x->n;
        if (i != last) {
            memcpy(x->v + i * x->ld, x->v + last * x->ld, x->ld * sizeof(float));
            x->ids[i] = x->ids[last];
        }
        dv_wipe(x->v + last * x->ld, x->ld * sizeof(float));
        gone++;
    }
    if (removed) {
        *removed = gone;
    }
    return gone ? DMV_OK
                : dv_fail(&x->ctx->err, DMV_ERR_NOT_FOUND, "index: no vector with id %llu",
                          (unsigned long long)id);
}

static dmv_status room(dmv_index *x, size_t k, size_t lists)
{
    size_t n, bytes;
    if (!dv_mul(k, lists, &n) || !dv_mul(n, sizeof(dmv_match), &bytes)) {
        return dv_nomem(&x->ctx->err);
    }
    if (n <= x->top_cap) {
        return DMV_OK;
    }
    dmv_match *top = dv_malloc(bytes);
    if (!top) {
        return dv_nomem(&x->ctx->err);
    }
    dv_free(x->top);
    x->top = top;
    x->top_cap = n;
    return DMV_OK;
}

/* The k best from lists of k; returns how many there are, in x->top. */
static size_t search_lists(dmv_index *x, search *s, size_t k, size_t workers)
{
    for (size_t w = 0; w < workers; w++) {
        s->lists[w] = (best){.m = x->top + w * k, .k = k};
    }
    dv_pool_run(x->ctx->pool, (x->n + BLOCK - 1) / BLOCK, search_block, s);
    best *all = &s->lists[0];
    for (size_t w = 1; w < workers; w++) {
        for (size_t i = 0; i < s->lists[w].n; i++) {
            offer(all, s->lists[w].m[i]);
        }
    }
    unwind(all->m, all->n, better);
    return all->n;
}

/* Every id with its best score, best first, in x->top; returns how many. */
static size_t search_all(dmv_index *x, search *s)
{
    dmv_match *m = s->all = x->top;
    size_t n = 0;
    dv_pool_run(x->ctx->pool, (x->n + BLOCK - 1) / BLOCK, search_block, s);
    sort(m, x->n, by_id);
    for (size_t i = 0; i < x->n; i++) {
        if (!n || m[n - 1].id != m[i].id) {
            m[n++] = m[i];
        }
    }
    sort(m, n, better);
    return n;
}

dmv_status dmv_index_search(dmv_index *x, const float *probe, size_t k, dmv_match *out, size_t *n)
{
    search s;
    if (n) {
        *n = 0;
    }
    if (!x) {
        return DMV_ERR_ARGUMENT;
    }
    dv_err *e = &x->ctx->err;
    if (!n || !probe || (k && !out)) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "dmv_index_search: an argument is NULL");
    }
    if (!unit(probe, x->dim, x->probe)) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "index: the probe has no length or is not finite");
    }
    k = DV_MIN(k, x->n);
    if (!k) {
        return DMV_OK;
    }
    s.x = x;
    s.all = NULL;
    const size_t workers = x->ctx->pool ? (size_t)dv_pool_size(x->ctx->pool) : 1;
    const bool lists = k <= LIST_MAX && workers <= DV_COUNT(s.lists);
    dmv_status st = lists ? room(x, k, workers) : room(x, x->n, 1);
    if (st != DMV_OK) {
        return st;
    }
    const size_t found = lists ? search_lists(x, &s, k, workers) : search_all(x, &s);
    *n = DV_MIN(found, k);
    memcpy(out, x->top, *n * sizeof(dmv_match));
    return DMV_OK;
}
