/* SPDX-License-Identifier: Apache-2.0
 *
 * identify.c - who comes before the mate. For every probe the best `depth` scores of all others
 * are kept, a sorted list that grows chunk by chunk: gallery and distractors go through an exact
 * index of bounded size (8-bit copy, floats decide), so that memory does not depend on how many
 * there are. The mate's own score is computed by the kernel that the index uses, from vectors
 * brought to unit length in the same way: comparing the two is comparing like with like.
 */
#include "eval/identify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

#define NONE (-2.0f)
#define CHUNK_FLOATS ((size_t)1 << 23)
#define BATCH 64      /* probes a call of the index */
#define WITH_COPY 512 /* vectors from which on the index gets its 8-bit copy */
#define NO_SUBJECT UINT64_MAX

typedef struct pair {
    uint32_t probe;
    float mate;
} pair;

struct dv_ident {
    dmv_context *ctx;
    dv_ident_options o;
    size_t dim, n; /* probes */
    const uint32_t *subject;
    float *probe;   /* n x dim, unit length */
    float *best;    /* n x depth, descending */
    uint32_t *kept; /* n */
    pair *trial;
    size_t trials;
    uint64_t distractors, searched, compared; /* searched: vectors, compared: with each probe */
    dmv_match *found;                         /* BATCH x (depth + 1) */
};

static bool unit(const float *v, size_t dim, float *out)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double)v[i] * v[i];
    sum = sqrt(sum);
    if (!(sum > 0) || !isfinite(sum))
        return false;
    for (size_t i = 0; i < dim; i++)
        out[i] = (float)(v[i] / sum);
    return true;
}

static dmv_status no_vector(const char *what, size_t row, dv_err *e)
{
    return dv_fail(e, DMV_ERR_FORMAT,
                   "%s: vector %zu is all zeros or has numbers that are not finite", what, row + 1);
}

static float dot(const dv_ident *x, const float *a, const float *b)
{
    float s;
    x->ctx->kernels->dots_f32(1, x->dim, a, b, x->dim, &s);
    return fminf(fmaxf(s, -1), 1);
}

/* ---- searching ---- */

static int by_score(const void *a, const void *b) /* best first */
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The matches of others, best first, go into the probe's list. */
static void merge(dv_ident *x, size_t p, const dmv_match *m, size_t n, uint64_t mate)
{
    float *list = x->best + p * x->o.depth, old[DV_IDENT_MAX_DEPTH];
    size_t have = x->kept[p], total = 0, i = 0, k = 0;
    memcpy(old, list, have * sizeof *old);
    while (total < x->o.depth) {
        if (k < n && m[k].id == mate)
            k++;
        else if (i < have && (k >= n || old[i] >= m[k].score))
            list[total++] = old[i++];
        else if (k < n)
            list[total++] = m[k++].score;
        else
            break;
    }
    x->kept[p] = (uint32_t)total;
}

/* k answers were asked for, of n vectors: may the next one belong into the list, too? */
static bool hides_more(const dv_ident *x, size_t p, const dmv_match *m, size_t found, size_t k,
                       size_t n)
{
    size_t depth = x->o.depth;
    return found == k && n > k &&
           (x->kept[p] < depth || m[k - 1].score > x->best[p * depth + depth - 1]);
}

/* Probes p .. p + many - 1. Late chunks have little to add, and short lists are found faster: twice
 * of what is to be expected is asked for, and all of it again where that was not enough. */
static dmv_status search_some(dv_ident *x, dmv_index *index, size_t n, size_t p, size_t many,
                              bool mates)
{
    size_t found[BATCH], again[BATCH], n_again = 0, all = x->o.depth + mates;
    double expected = (double)x->o.depth * (double)n / ((double)x->searched + (double)n);
    size_t k = DV_MIN(all, 2 * (size_t)expected + 16);
    dmv_status s =
        dmv_index_search_batch(index, x->probe + p * x->dim, many, k, NULL, x->found, found);
    for (size_t i = 0; i < many && !s; i++) {
        const dmv_match *m = x->found + i * k;
        if (k < all && hides_more(x, p + i, m, found[i], k, n))
            again[n_again++] = p + i;
        else
            merge(x, p + i, m, found[i], mates ? x->subject[p + i] : NO_SUBJECT);
    }
    for (size_t i = 0; i < n_again && !s; i++) {
        size_t q = again[i];
        s = dmv_index_search(index, x->probe + q * x->dim, all, x->found, found);
        if (!s)
            merge(x, q, x->found, found[0], mates ? x->subject[q] : NO_SUBJECT);
    }
    return s;
}

/* ids NULL: nobody's mate. Chunk of at least one vector. */
static dmv_status search_chunk(dv_ident *x, const float *v, const uint32_t *order,
                               const uint32_t *ids, size_t n, dv_err *e)
{
    dmv_index_options io;
    dmv_index *index = NULL;
    dmv_index_options_init(&io);
    io.copy = n >= WITH_COPY ? DMV_INDEX_INT8 : DMV_INDEX_PLAIN;
    dmv_status s = dmv_index_open_options(x->ctx, x->dim, &io, &index);
    for (size_t i = 0; i < n && !s; i++) {
        size_t row = order ? order[i] : i;
        s = dmv_index_add(index, ids ? ids[row] : i, v + row * x->dim);
        if (s == DMV_ERR_ARGUMENT) {
            dmv_index_close(&index);
            return no_vector(ids ? "gallery" : "distractors", row, e);
        }
    }
    for (size_t p = 0; p < x->n && !s; p += BATCH) {
        size_t many = DV_MIN((size_t)BATCH, x->n - p);
        s = search_some(x, index, n, p, many, ids != NULL);
        x->compared += (uint64_t)many * n;
        if (x->o.tick && !s)
            x->o.tick(x->o.user, x->compared);
    }
    x->searched += n;
    dmv_index_close(&index);
    return s ? dv_fail(e, s, "%s", dmv_error(x->ctx)) : DMV_OK;
}

size_t dv_ident_chunk(size_t dim)
{
    return DV_MAX((size_t)1024, CHUNK_FLOATS / DV_MAX(dim, (size_t)1));
}

dmv_status dv_ident_distract(dv_ident *x, const float *v, size_t n, dv_err *e)
{
    size_t chunk = dv_ident_chunk(x->dim);
    for (size_t i = 0; i < n; i += chunk) {
        dmv_status s = search_chunk(x, v + i * x->dim, NULL, NULL, DV_MIN(chunk, n - i), e);
        if (s)
            return s;
    }
    x->distractors += n;
    return DMV_OK;
}

/* ---- mates ---- */

/* Rows in the order of their subjects: rows of subject s are order[start[s]] .. [start[s + 1]]. */
typedef struct groups {
    uint32_t *order;
    size_t *start, n; /* n: 1 + the highest subject */
} groups;

static void groups_free(groups *g)
{
    dv_free(g->order);
    dv_free(g->start);
}

static bool group(const dv_templates *t, groups *g)
{
    memset(g, 0, sizeof *g);
    for (size_t i = 0; i < t->n; i++)
        g->n = DV_MAX(g->n, (size_t)t->subject[i] + 1);
    g->order = dv_calloc(DV_MAX(t->n, (size_t)1), sizeof *g->order);
    g->start = dv_calloc(g->n + 2, sizeof *g->start);
    if (!g->order || !g->start)
        return false;
    for (size_t i = 0; i < t->n; i++)
        g->start[t->subject[i] + 2]++;
    for (size_t s = 0; s < g->n; s++)
        g->start[s + 2] += g->start[s + 1];
    for (size_t i = 0; i < t->n; i++) /* start[s + 1] moves from the begin to the end of s */
        g->order[g->start[t->subject[i] + 1]++] = (uint32_t)i;
    return true;
}

/* One trial a probe; the best of the mate's templates counts. */
static dmv_status pair_gallery(dv_ident *x, const dv_templates *gallery, const groups *g, dv_err *e)
{
    float *mate = dv_calloc(x->dim, sizeof *mate);
    x->trial = dv_calloc(x->n, sizeof *x->trial);
    if (!x->trial || !mate) {
        dv_free(mate);
        return dv_nomem(e);
    }
    x->trials = x->n;
    for (size_t p = 0; p < x->n; p++) {
        float best = NONE;
        size_t s = x->subject[p];
        for (size_t k = s < g->n ? g->start[s] : 0; s < g->n && k < g->start[s + 1]; k++) {
            unit(gallery->v + g->order[k] * x->dim, x->dim, mate); /* the index took it before */
            best = fmaxf(best, dot(x, x->probe + p * x->dim, mate));
        }
        x->trial[p] = (pair){(uint32_t)p, best};
    }
    dv_free(mate);
    return DMV_OK;
}

/* Every ordered pair of two pictures of one person. */
static dmv_status pair_probes(dv_ident *x, const groups *g, dv_err *e)
{
    size_t n = 0, at = 0;
    for (size_t s = 0; s < g->n; s++) {
        size_t k = g->start[s + 1] - g->start[s];
        n += k ? k * (k - 1) : 0;
    }
    if (!n)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "no person has two probes, so none has a mate; MegaFace's protocol needs "
                       "two pictures of a person or more");
    x->trial = dv_calloc(n, sizeof *x->trial);
    if (!x->trial)
        return dv_nomem(e);
    x->trials = n;
    for (size_t p = 0; p < x->n; p++) {
        size_t s = x->subject[p];
        for (size_t k = g->start[s]; k < g->start[s + 1]; k++)
            if (g->order[k] != p)
                x->trial[at++] = (pair){
                    (uint32_t)p, dot(x, x->probe + p * x->dim, x->probe + g->order[k] * x->dim)};
    }
    return DMV_OK;
}

static dmv_status search_gallery(dv_ident *x, const dv_templates *t, const groups *g, dv_err *e)
{
    size_t chunk = dv_ident_chunk(x->dim);
    for (size_t s = 0, last; s < g->n; s = last) {
        /* Whole subjects, so that the best template of each is all there is of it in a list. */
        for (last = s + 1; last < g->n && g->start[last + 1] - g->start[s] <= chunk; last++)
            ;
        size_t n = g->start[last] - g->start[s];
        dmv_status st =
            n ? search_chunk(x, t->v, g->order + g->start[s], t->subject, n, e) : DMV_OK;
        if (st)
            return st;
    }
    return DMV_OK;
}

static dmv_status open_gallery(dv_ident *x, const dv_templates *gallery, dv_err *e)
{
    groups g = {0};
    dv_templates t = *gallery;
    float *v = NULL;
    uint32_t *subject = NULL;
    dmv_status s = DMV_OK;
    if (x->o.fuse == DV_FUSE_MEAN) {
        size_t cells;
        v = dv_mul(t.n, x->dim, &cells) ? dv_calloc(cells, sizeof *v) : NULL;
        subject = dv_calloc(t.n, sizeof *subject);
        s = v && subject ? dv_fuse_mean(gallery, x->dim, v, subject, &t.n, e) : dv_nomem(e);
        if (s == DMV_ERR_FORMAT)
            dv_fail_in(e, "gallery");
        t.v = v;
        t.subject = subject;
    }
    if (!s && !group(&t, &g))
        s = dv_nomem(e);
    if (!s)
        s = search_gallery(x, &t, &g, e);
    if (!s)
        s = pair_gallery(x, &t, &g, e);
    groups_free(&g);
    dv_free(v);
    dv_free(subject);
    return s;
}

dmv_status dv_ident_open(dmv_context *ctx, size_t dim, const dv_templates *gallery,
                         const dv_templates *probes, const dv_ident_options *o, dv_ident **out,
                         dv_err *e)
{
    size_t cells, lists;
    *out = NULL;
    if (o->depth < 1 || o->depth > DV_IDENT_MAX_DEPTH)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%zu ranks; 1 to %d can be told apart", o->depth,
                       DV_IDENT_MAX_DEPTH);
    if (dim == 0 || probes->n == 0 || (gallery && gallery->n == 0))
        return dv_fail(e, DMV_ERR_ARGUMENT, "the list of %s is empty",
                       probes->n == 0 ? "probes" : "the gallery");
    if (probes->n > UINT32_MAX || (gallery && gallery->n > UINT32_MAX) ||
        !dv_mul(probes->n, dim, &cells) || !dv_mul(probes->n, o->depth, &lists))
        return dv_fail(e, DMV_ERR_LIMIT, "more than 4,294,967,295 vectors");
    dv_ident *x = dv_calloc(1, sizeof *x);
    if (!x)
        return dv_nomem(e);
    *x = (dv_ident){.ctx = ctx, .o = *o, .dim = dim, .n = probes->n, .subject = probes->subject};
    x->probe = dv_calloc(cells, sizeof *x->probe);
    x->best = dv_calloc(lists, sizeof *x->best);
    x->kept = dv_calloc(x->n, sizeof *x->kept);
    x->found = dv_calloc(BATCH * (o->depth + 1), sizeof *x->found);
    dmv_status s = x->probe && x->best && x->kept && x->found ? DMV_OK : dv_nomem(e);
    for (size_t i = 0; i < x->n && !s; i++)
        if (!unit(probes->v + i * dim, dim, x->probe + i * dim))
            s = no_vector("probes", i, e);
    if (!s && gallery) {
        s = open_gallery(x, gallery, e);
    } else if (!s) {
        groups g;
        s = group(probes, &g) ? pair_probes(x, &g, e) : dv_nomem(e);
        groups_free(&g);
    }
    if (s)
        dv_ident_close(&x);
    *out = x;
    return s;
}

void dv_ident_close(dv_ident **xx)
{
    dv_ident *x = *xx;
    if (!x)
        return;
    dv_free(x->probe);
    dv_free(x->best);
    dv_free(x->kept);
    dv_free(x->found);
    dv_free(x->trial);
    dv_free(x);
    *xx = NULL;
}

/* ---- results ---- */

size_t dv_ident_trials(const dv_ident *x)
{
    return x->trials;
}

/* Scores of a descending list that are at or above s. */
static size_t at_least(const float *list, size_t n, float s)
{
    size_t lo = 0;
    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;
        if (list[mid] >= s)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo;
}

void dv_ident_judge(const dv_ident *x, dv_answer *out)
{
    for (size_t i = 0; i < x->trials; i++) {
        const pair *t = &x->trial[i];
        const float *list = x->best + (size_t)t->probe * x->o.depth;
        size_t n = x->kept[t->probe];
        out[i] = (dv_answer){.probe = t->probe,
                             .rank = t->mate > NONE ? 1 + (uint32_t)at_least(list, n, t->mate) : 0,
                             .mate = t->mate,
                             .other = n ? list[0] : NONE};
    }
}

/* floor(rate n), where 0.01 x 2900 = 28.999... means 29 */
static uint64_t share(double rate, uint64_t n)
{
    double v = floor(rate * (double)n + 1e-9);
    return v < 0 ? 0 : v >= (double)n ? n : (uint64_t)v;
}

bool dv_ident_far(const dv_ident *x, const dv_answer *t, double rate, uint64_t *accepted,
                  float *threshold)
{
    uint64_t pairs = x->distractors * x->n, want = share(rate, pairs);
    size_t total = 0, at = 0;
    float hidden = NONE; /* scores that were dropped from the lists are at most this */
    for (size_t p = 0; p < x->n; p++) {
        total += x->kept[p];
        if (x->distractors > x->kept[p])
            hidden = fmaxf(hidden, x->best[p * x->o.depth + x->kept[p] - 1]);
    }
    *accepted = 0;
    *threshold = -1;
    if (!pairs || (want >= total && want < pairs))
        return false;
    if (want < pairs) {
        float *all = dv_calloc(total, sizeof *all);
        if (!all)
            return false;
        for (size_t p = 0; p < x->n; p++) {
            memcpy(all + at, x->best + p * x->o.depth, x->kept[p] * sizeof *all);
            at += x->kept[p];
        }
        qsort(all, total, sizeof *all, by_score);
        float refused = all[want];
        dv_free(all);
        if (refused < hidden)
            return false;
        *threshold = nextafterf(refused, INFINITY);
    }
    for (size_t i = 0; i < x->trials; i++)
        *accepted += t[i].rank && t[i].mate >= *threshold;
    return true;
}

dmv_status dv_fuse_mean(const dv_templates *in, size_t dim, float *v, uint32_t *subject, size_t *n,
                        dv_err *e)
{
    size_t top = 0;
    *n = 0;
    for (size_t i = 0; i < in->n; i++)
        top = DV_MAX(top, (size_t)in->subject[i] + 1);
    uint32_t *place = dv_calloc(top + 1, sizeof *place); /* of a subject in v, from 1 */
    double *sum = dv_calloc(in->n + 1, dim * sizeof *sum);
    float *one = dv_calloc(dim, sizeof *one);
    dmv_status s = place && sum && one ? DMV_OK : dv_nomem(e);
    for (size_t i = 0; i < in->n && !s; i++) {
        uint32_t *at = &place[in->subject[i]];
        if (!unit(in->v + i * dim, dim, one)) {
            s = dv_fail(e, DMV_ERR_FORMAT,
                        "vector %zu is all zeros or has numbers that are not finite", i + 1);
            break;
        }
        if (!*at) {
            subject[*n] = in->subject[i];
            *at = (uint32_t)++ * n;
        }
        for (size_t d = 0; d < dim; d++)
            sum[(*at - 1) * dim + d] += one[d];
    }
    for (size_t i = 0; i < *n && !s; i++) {
        double length = 0;
        for (size_t d = 0; d < dim; d++)
            length += sum[i * dim + d] * sum[i * dim + d];
        length = sqrt(length);
        if (!(length > 1e-6)) {
            s = dv_fail(e, DMV_ERR_FORMAT,
                        "the templates of a subject (number %u) cancel out: their mean has no "
                        "direction",
                        subject[i]);
            break;
        }
        for (size_t d = 0; d < dim; d++)
            v[i * dim + d] = (float)(sum[i * dim + d] / length);
    }
    dv_free(place);
    dv_free(sum);
    dv_free(one);
    return s;
}

/* ---- arithmetic on trials ---- */

size_t dv_cmc(const dv_answer *t, size_t n, size_t depth, size_t *hits)
{
    size_t mated = 0;
    memset(hits, 0, depth * sizeof *hits);
    for (size_t i = 0; i < n; i++) {
        mated += t[i].rank != 0;
        if (t[i].rank && t[i].rank <= depth)
            hits[t[i].rank - 1]++;
    }
    for (size_t r = 1; r < depth; r++)
        hits[r] += hits[r - 1];
    return mated;
}

dmv_status dv_open_set(const dv_answer *t, size_t n, double rate, dv_open_point *out, dv_err *e)
{
    size_t at = 0;
    memset(out, 0, sizeof *out);
    out->rate = rate;
    for (size_t i = 0; i < n; i++) {
        out->mated += t[i].rank != 0;
        out->strangers += t[i].rank == 0;
    }
    if (!out->mated || !out->strangers || !(rate >= 0 && rate <= 1))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "open set: %zu probes with a mate and %zu without, rate %g; both kinds are "
                       "needed, and a rate from 0 to 1",
                       out->mated, out->strangers, rate);
    float *best = dv_calloc(out->strangers, sizeof *best);
    if (!best)
        return dv_nomem(e);
    for (size_t i = 0; i < n; i++)
        if (!t[i].rank)
            best[at++] = t[i].other;
    qsort(best, at, sizeof *best, by_score);
    uint64_t allowed = share(rate, at);
    out->threshold = allowed < at ? nextafterf(best[allowed], INFINITY) : -1;
    dv_free(best);
    for (size_t i = 0; i < n; i++) {
        bool found = t[i].mate >= out->threshold;
        if (t[i].rank) {
            out->missed += !found;
            out->missed_rank1 += !found || t[i].rank > 1;
        } else {
            out->false_alarms += t[i].other >= out->threshold;
        }
    }
    return DMV_OK;
}

void dv_open_curve_free(dv_open_curve *c)
{
    dv_free(c->fpir);
    dv_free(c->fnir);
    dv_free(c->fnir_rank1);
    memset(c, 0, sizeof *c);
}

dmv_status dv_open_curve_make(const dv_answer *t, size_t n, dv_open_curve *out, dv_err *e)
{
    size_t strangers = 0, mated = 0, first = 0;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < n; i++)
        strangers += t[i].rank == 0;
    if (!strangers || strangers == n)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "open set: %zu probes with a mate and %zu without; both kinds are needed",
                       n - strangers, strangers);
    float *list = dv_calloc(2 * n, sizeof *list), *best = list, *mate = list + strangers,
          *front = list + n; /* front: mates that come first */
    out->fpir = dv_calloc(strangers + 1, sizeof *out->fpir);
    out->fnir = dv_calloc(strangers + 1, sizeof *out->fnir);
    out->fnir_rank1 = dv_calloc(strangers + 1, sizeof *out->fnir_rank1);
    if (!list || !out->fpir || !out->fnir || !out->fnir_rank1) {
        dv_free(list);
        dv_open_curve_free(out);
        return dv_nomem(e);
    }
    for (size_t i = 0, k = 0; i < n; i++) {
        if (t[i].rank == 0)
            best[k++] = t[i].other;
        else
            mate[mated++] = t[i].mate;
        if (t[i].rank == 1)
            front[first++] = t[i].mate;
    }
    qsort(best, strangers, sizeof *best, by_score);
    qsort(mate, mated, sizeof *mate, by_score);
    qsort(front, first, sizeof *front, by_score);
    for (size_t k = 0; k <= strangers; k++) {
        float threshold = k < strangers ? nextafterf(best[k], INFINITY) : -1;
        size_t at = out->n, alarms = at_least(best, strangers, threshold);
        double fpir = (double)alarms / (double)strangers;
        if (at && fpir == out->fpir[at - 1])
            continue;
        out->fpir[at] = fpir;
        out->fnir[at] = 1 - (double)at_least(mate, mated, threshold) / (double)mated;
        out->fnir_rank1[at] = 1 - (double)at_least(front, first, threshold) / (double)mated;
        out->n++;
    }
    dv_free(list);
    return DMV_OK;
}
