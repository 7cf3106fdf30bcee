/* SPDX-License-Identifier: Apache-2.0
 *
 * index.c - exact search among unit vectors: every vector is compared, so nothing that
 * should be found is missed. One contiguous array, fixed blocks of it handed to the
 * workers, one list of the best k distinct ids per worker, merged at the end.
 *
 * A large k (a full ranking) takes another way: all scores, sorted, one per id.
 *
 * With a compressed copy (options), that copy is compared first. For unit vectors the score
 * from the copy and the score itself are at most so far apart as the lengths of what rounding
 * took from probe and vector, since |x . y| <= |x| |y|. A vector whose score cannot reach the
 * worst of the k best so far is left out; the others are compared as if there were no copy.
 *
 * Better means a higher score, and of equal scores the lower id. That is a total order on
 * ids, so the answer does not depend on which worker took which block.
 */
#include <math.h>
#include <string.h>

#include "face/face.h"

enum {
    BLOCK = 256,     /* vectors per task */
    LIST_MAX = 1024, /* largest k for lists: an id is looked up in them one by one */
    MANY = 8,        /* probes per pass over the vectors */
    WORKERS_MAX = 64
};

struct dmv_index {
    dmv_context *ctx;
    size_t dim, ld; /* ld: elements from one vector to the next, in v and in the copy */
    size_t n, cap;
    float *v; /* n vectors of unit length */
    uint64_t *ids;
    int copy;        /* DMV_INDEX_* */
    size_t row;      /* bytes of a vector's copy */
    uint8_t *packed; /* the copy */
    float *scale;    /* int8: vector = scale * bytes + rest */
    float *rest;     /* per BLOCK vectors: the length of the longest rest, or more */
    float *probe;    /* MANY x ld */
    int8_t *probe8;  /* the same as bytes */
    float probe_scale[MANY], probe_rest[MANY];
    dmv_match *top; /* scratch of a search: a list per worker and probe, or a match per vector */
    size_t top_cap;
};

typedef struct best {
    dmv_match *m; /* heap: the worst on top */
    size_t n, k;
} best;

typedef struct search {
    const dmv_index *x;
    const dmv_search_options *o;
    dmv_match *all; /* NULL = lists */
    size_t probes;
    best lists[WORKERS_MAX][MANY];
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

static bool allowed(const dmv_search_options *o, uint64_t id)
{
    if (o->ids) {
        size_t lo = 0, hi = o->n_ids;
        while (lo < hi) {
            const size_t mid = lo + (hi - lo) / 2;
            if (o->ids[mid] < id) {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        if (lo == o->n_ids || o->ids[lo] != id) {
            return false;
        }
    }
    return !o->allow || o->allow(o->allow_user, id);
}

static void take(const search *s, best *b, size_t row, float score)
{
    const dmv_match m = {.id = s->x->ids[row], .score = fminf(fmaxf(score, -1), 1)};
    if ((b->n < b->k || better(&m, &b->m[0])) && allowed(s->o, m.id)) {
        offer(b, m);
    }
}

/* What a vector of this block must score in the copy to be worth a look. */
static float least(const dmv_index *x, const best *b, size_t p, double rest)
{
    if (b->n < b->k || b->m[0].score <= -1) { /* a score below -1 counts as -1 */
        return -INFINITY;
    }
    /* Probe and vectors are unit vectors rounded to float; sums of floats in any order are off by
     * this much of the product of the lengths. */
    const double one = 1.000001, mine = x->probe_rest[p];
    const double sums = ((double)x->dim + 4) * 0x1.03p-24;
    double off = mine * (one + rest) + one * rest;
    off += sums * ((one + mine) * (one + rest) + one * one);
    off += 1e-6 * (off + one); /* denormals, and the rounding of the result */
    return (float)((b->m[0].score - off) / x->probe_scale[p]);
}

static void scan_copy(search *s, size_t first, size_t n, best *lists)
{
    const dmv_index *x = s->x;
    const dv_kernels *k = x->ctx->kernels;
    float score[MANY * BLOCK], exact;
    const void *rows = x->packed + first * x->row;
    if (x->copy == DMV_INDEX_INT8) {
        k->dots_s8(n, x->ld, s->probes, x->probe8, rows, x->scale + first, score, BLOCK);
    } else {
        k->dots_f16(n, x->ld, s->probes, x->probe, rows, score, BLOCK);
    }
    for (size_t p = 0; p < s->probes; p++) {
        const double rest = x->rest[first / BLOCK];
        float low = least(x, &lists[p], p, rest);
        for (size_t i = 0; i < n; i++) {
            if (score[p * BLOCK + i] >= low) {
                const float *v = x->v + (first + i) * x->ld;
                k->dots_f32(1, x->dim, x->probe + p * x->ld, v, x->ld, &exact);
                take(s, &lists[p], first + i, exact);
                low = least(x, &lists[p], p, rest);
            }
        }
    }
}

static void search_block(void *arg, size_t task, int worker)
{
    search *s = arg;
    const dmv_index *x = s->x;
    float score[BLOCK];
    const size_t first = task * BLOCK, n = DV_MIN((size_t)BLOCK, x->n - first);
    if (x->copy && !s->all) {
        scan_copy(s, first, n, s->lists[worker]);
        return;
    }
    for (size_t p = 0; p < s->probes; p++) {
        x->ctx->kernels->dots_f32(n, x->dim, x->probe + p * x->ld, x->v + first * x->ld, x->ld,
                                  score);
        for (size_t i = 0; i < n && !s->all; i++) {
            take(s, &s->lists[worker][p], first + i, score[i]);
        }
    }
    for (size_t i = 0; i < n && s->all; i++) {
        s->all[first + i] =
            (dmv_match){.id = x->ids[first + i], .score = fminf(fmaxf(score[i], -1), 1)};
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

/* v = the float returned * out + a rest whose length is at most *rest. */
static float to_bytes(const float *v, size_t dim, int8_t *out, float *rest)
{
    float max = 0;
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        max = fmaxf(max, fabsf(v[i]));
    }
    const float scale = max / 127, inverse = 127 / max;
    for (size_t i = 0; i < dim; i++) {
        const long q = lrintf(v[i] * inverse);
        const double d = v[i] - (double)scale * (double)q;
        out[i] = (int8_t)q;
        sum += d * d;
    }
    *rest = (float)(sqrt(sum) * 1.000001);
    return scale;
}

static float to_halves(const float *v, size_t dim, uint16_t *out)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        out[i] = dv_half_from_float(v[i]);
        const double d = v[i] - (double)dv_half_to_float(out[i]);
        sum += d * d;
    }
    return (float)(sqrt(sum) * 1.000001);
}

/* The vector at `last` has moved to i, in a block that has others. */
static void pack_moved(dmv_index *x, size_t i, size_t last)
{
    memcpy(x->packed + i * x->row, x->packed + last * x->row, x->row);
    if (x->scale) {
        x->scale[i] = x->scale[last];
    }
    x->rest[i / BLOCK] = fmaxf(x->rest[i / BLOCK], x->rest[last / BLOCK]);
}

/* Copies vector i, which is the last. */
static void pack(dmv_index *x, size_t i)
{
    const float *v = x->v + i * x->ld;
    void *to = x->packed + i * x->row;
    float rest, *block = &x->rest[i / BLOCK];
    memset(to, 0, x->row);
    if (x->copy == DMV_INDEX_INT8) {
        x->scale[i] = to_bytes(v, x->dim, to, &rest);
    } else {
        rest = to_halves(v, x->dim, to);
    }
    *block = i % BLOCK ? fmaxf(*block, rest) : rest;
}

void dmv_index_options_init(dmv_index_options *o)
{
    if (o) {
        *o = (dmv_index_options){.struct_size = sizeof(*o)};
    }
}

void dmv_search_options_init(dmv_search_options *o)
{
    if (o) {
        *o = (dmv_search_options){.struct_size = sizeof(*o)};
    }
}

/* The caller's options, of this version or another, over the defaults in `to`. */
static bool read_options(const void *o, void *to, size_t size)
{
    size_t given;
    if (!o) {
        return true;
    }
    memcpy(&given, o, sizeof(given));
    if (given < sizeof(given) || given > 4096) {
        return false;
    }
    memcpy(to, o, DV_MIN(given, size));
    return true;
}

dmv_status dmv_index_open_options(dmv_context *ctx, size_t dim, const dmv_index_options *o,
                                  dmv_index **out)
{
    dmv_index_options mine = {.copy = DMV_INDEX_PLAIN};
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
    if (!read_options(o, &mine, sizeof(mine)) || mine.copy < 0 || mine.copy > DMV_INDEX_F16) {
        return dv_fail(&ctx->err, DMV_ERR_ARGUMENT, "index: bad options");
    }
    dmv_index *x = dv_calloc(1, sizeof(*x));
    if (!x) {
        return dv_nomem(&ctx->err);
    }
    x->ctx = ctx;
    x->dim = dim;
    x->copy = mine.copy;
    x->ld = dv_round_up(dim, x->copy ? DV_DOTS_STEP : DV_PANEL);
    x->row = (size_t)x->copy * x->ld; /* 0, 1 or 2 bytes a number */
    x->probe = dv_calloc(MANY * x->ld, sizeof(float));
    x->probe8 = dv_calloc(MANY, x->ld);
    if (!x->probe || !x->probe8) {
        dmv_index_close(&x);
        return dv_nomem(&ctx->err);
    }
    *out = x;
    return DMV_OK;
}

dmv_status dmv_index_open(dmv_context *ctx, size_t dim, dmv_index **out)
{
    return dmv_index_open_options(ctx, dim, NULL, out);
}

static void wipe_and_free(void *p, size_t n)
{
    if (p) {
        dv_wipe(p, n);
        dv_free(p);
    }
}

void dmv_index_close(dmv_index **xx)
{
    dmv_index *x = xx ? *xx : NULL;
    if (!x) {
        return;
    }
    wipe_and_free(x->v, x->n * x->ld * sizeof(float));
    wipe_and_free(x->packed, x->n * x->row);
    wipe_and_free(x->probe, MANY * x->ld * sizeof(float));
    wipe_and_free(x->probe8, MANY * x->ld);
    dv_free(x->ids);
    dv_free(x->scale);
    dv_free(x->rest);
    dv_free(x->top);
    dv_free(x);
    *xx = NULL;
}

size_t dmv_index_size(const dmv_index *x)
{
    return x ? x->n : 0;
}

/* Doubles the room. All arrays or none; the old vectors are wiped. */
static dmv_status grow(dmv_index *x)
{
    /* Bytes a vector; the rests, one a block, are far fewer than a byte a vector. */
    const size_t item[] = {x->ld * sizeof(float), sizeof(uint64_t), x->row,
                           x->copy == DMV_INDEX_INT8 ? sizeof(float) : 0, x->copy ? 1 : 0};
    void *old[] = {x->v, x->ids, x->packed, x->scale, x->rest}, *now[DV_COUNT(item)] = {NULL};
    size_t cap, bytes;
    bool ok = dv_mul(x->cap ? x->cap : 8, 2, &cap);
    for (size_t i = 0; ok && i < DV_COUNT(item); i++) {
        ok = dv_mul(cap, item[i], &bytes) && (!bytes || (now[i] = dv_alloc_aligned(bytes)));
    }
    for (size_t i = 0; i < DV_COUNT(item); i++) {
        if (ok && old[i]) {
            memcpy(now[i], old[i], x->n * item[i]);
            wipe_and_free(old[i], x->n * item[i]);
        } else if (!ok) {
            dv_free(now[i]);
        }
    }
    if (!ok) {
        return dv_nomem(&x->ctx->err);
    }
    x->v = now[0];
    x->ids = now[1];
    x->packed = now[2];
    x->scale = now[3];
    x->rest = now[4];
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
    if (x->copy) {
        pack(x, x->n);
    }
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
        if (x->copy) {
            if (i != last) {
                pack_moved(x, i, last);
            }
            dv_wipe(x->packed + last * x->row, x->row);
        }
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

/* The k best of each probe from the lists of the workers, now in the first worker's. */
static void search_lists(dmv_index *x, search *s, size_t k, size_t workers)
{
    for (size_t w = 0; w < workers; w++) {
        for (size_t p = 0; p < s->probes; p++) {
            s->lists[w][p] = (best){.m = x->top + (w * s->probes + p) * k, .k = k};
        }
    }
    dv_pool_run(x->ctx->pool, (x->n + BLOCK - 1) / BLOCK, search_block, s);
    for (size_t p = 0; p < s->probes; p++) {
        best *all = &s->lists[0][p];
        for (size_t w = 1; w < workers; w++) {
            for (size_t i = 0; i < s->lists[w][p].n; i++) {
                offer(all, s->lists[w][p].m[i]);
            }
        }
        unwind(all->m, all->n, better);
    }
}

/* Every allowed id with its best score, best first, in x->top; returns how many. */
static size_t search_all(dmv_index *x, search *s)
{
    dmv_match *m = s->all = x->top;
    size_t n = 0;
    dv_pool_run(x->ctx->pool, (x->n + BLOCK - 1) / BLOCK, search_block, s);
    sort(m, x->n, by_id);
    for (size_t i = 0; i < x->n; i++) {
        if ((!n || m[n - 1].id != m[i].id) && allowed(s->o, m[i].id)) {
            m[n++] = m[i];
        }
    }
    sort(m, n, better);
    return n;
}

/* Some probes that are ready in x->probe; workers 0 = by sorting, then one probe only. */
static void search_some(dmv_index *x, search *s, size_t k, size_t k_out, size_t workers,
                        dmv_match *out, size_t *n)
{
    if (workers) {
        search_lists(x, s, k, workers);
    }
    for (size_t p = 0; p < s->probes; p++) {
        n[p] = DV_MIN(workers ? s->lists[0][p].n : search_all(x, s), k);
        memcpy(out + p * k_out, workers ? s->lists[0][p].m : x->top, n[p] * sizeof(dmv_match));
    }
}

static void set_probe(dmv_index *x, size_t p, const float *probe)
{
    float *to = x->probe + p * x->ld;
    unit(probe, x->dim, to);
    x->probe_scale[p] = 1;
    x->probe_rest[p] = 0;
    if (x->copy == DMV_INDEX_INT8) {
        x->probe_scale[p] = to_bytes(to, x->dim, x->probe8 + p * x->ld, &x->probe_rest[p]);
    }
}

static dmv_status check_search(dmv_index *x, const float *probes, size_t n_probes,
                               const dmv_search_options *o)
{
    dv_err *e = &x->ctx->err;
    for (size_t i = 0; i < n_probes; i++) {
        if (!unit(probes + i * x->dim, x->dim, x->probe)) {
            return dv_fail(e, DMV_ERR_ARGUMENT, "index: probe %zu has no length or is not finite",
                           i);
        }
    }
    for (size_t i = 1; o->ids && i < o->n_ids; i++) {
        if (o->ids[i] < o->ids[i - 1]) {
            return dv_fail(e, DMV_ERR_ARGUMENT, "index: the ids to search are not in order");
        }
    }
    return DMV_OK;
}

dmv_status dmv_index_search_batch(dmv_index *x, const float *probes, size_t n_probes, size_t k,
                                  const dmv_search_options *o, dmv_match *out, size_t *n)
{
    dmv_search_options mine = {.allow = NULL};
    search s;
    if (!x) {
        return DMV_ERR_ARGUMENT;
    }
    dv_err *e = &x->ctx->err;
    if (n) {
        memset(n, 0, n_probes * sizeof(*n));
    }
    if ((n_probes && (!n || !probes)) || (k && n_probes && !out) ||
        !read_options(o, &mine, sizeof(mine))) {
        return dv_fail(e, DMV_ERR_ARGUMENT, "index search: an argument is NULL or bad options");
    }
    dmv_status st = check_search(x, probes, n_probes, &mine);
    const size_t k_out = k;
    k = DV_MIN(k, x->n);
    if (st != DMV_OK || !k || !n_probes) {
        return st;
    }
    size_t workers = x->ctx->pool ? (size_t)dv_pool_size(x->ctx->pool) : 1;
    size_t many = DV_MIN(n_probes, (size_t)MANY);
    if (k > LIST_MAX || workers > WORKERS_MAX) {
        workers = 0;
        many = 1;
    }
    st = workers ? room(x, k, workers * many) : room(x, x->n, 1);
    if (st != DMV_OK) {
        return st;
    }
    for (size_t i = 0; i < n_probes; i += many) {
        s.x = x;
        s.o = &mine;
        s.all = NULL;
        s.probes = DV_MIN(many, n_probes - i);
        for (size_t p = 0; p < s.probes; p++) {
            set_probe(x, p, probes + (i + p) * x->dim);
        }
        search_some(x, &s, k, k_out, workers, out + i * k_out, n + i);
    }
    return DMV_OK;
}

dmv_status dmv_index_search(dmv_index *x, const float *probe, size_t k, dmv_match *out, size_t *n)
{
    return dmv_index_search_batch(x, probe, 1, k, NULL, out, n);
}
