/* SPDX-License-Identifier: Apache-2.0
 *
 * verify_leak.c - who stands on both sides of a split. Folds judge each other, so a person or a
 * picture in two of them helps itself; training pictures of the people of a list help even more.
 * Names find people, embeddings find pictures that came in twice under two names.
 */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

#define NEAREST 8 /* near-duplicates of one picture that are looked at */
#define BATCH 64
#define SHOWN 10

/* Folds as bits; from 64 on they share bits, so that a common fold may be taken for another: the
 * list formats stop far below in practice. */
static uint64_t *folds_of_pictures(const dv_pairs *p)
{
    uint64_t *in = dv_calloc(p->n_names, sizeof *in);
    size_t per = p->n / p->folds;
    for (size_t i = 0; in && i < p->n; i++) {
        uint64_t bit = 1ull << (i / per % 64);
        in[p->pair[i].a] |= bit;
        in[p->pair[i].b] |= bit;
    }
    return in;
}

static bool several(uint64_t bits)
{
    return (bits & (bits - 1)) != 0;
}

static bool by_name(verify *v, const uint64_t *in)
{
    const verify_list *l = &v->list;
    uint64_t *person = dv_calloc(DV_MAX(l->people, 1), sizeof *person);
    if (!person)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < l->pairs.n_names; i++) {
        v->leaks.pictures_in_folds += several(in[i]);
        if (l->person)
            person[l->person[i]] |= in[i];
    }
    for (size_t k = 0; k < l->people; k++) {
        if (!several(person[k]))
            continue;
        const char *name = l->person_name[k];
        if (v->leaks.people_in_folds++ < SHOWN)
            cli_warn("%.*s: is in several folds", (int)strcspn(name, "/"), name);
    }
    dv_free(person);
    if (v->leaks.people_in_folds > SHOWN)
        cli_warn("and %zu more people", v->leaks.people_in_folds - SHOWN);
    if (!l->person)
        cli_warn("the names do not tell people apart (PERSON/PICTURE would), so that only pictures "
                 "are compared");
    return true;
}

/* ---- near-duplicates ---- */

static dmv_index *index_of(dmv_context *ctx, const cli_embedded *m)
{
    dmv_index *x = NULL;
    dmv_status s = dmv_index_open(ctx, m->dim, &x);
    for (size_t i = 0; !s && i < m->n; i++)
        if (m->state[i] == CLI_PICTURE_VECTOR)
            s = dmv_index_add(x, i, m->vectors + i * m->dim);
    if (s) {
        cli_error("%s", dmv_error(ctx));
        dmv_index_close(&x);
    }
    return x;
}

/* Calls found(user, picture, id, score) for the nearest of each picture of m from `near` on. */
typedef void (*found_fn)(void *user, size_t picture, size_t id, double score);
static bool each_near(dmv_context *ctx, dmv_index *x, const cli_embedded *m, double near,
                      found_fn found, void *user)
{
    dmv_match hit[BATCH * NEAREST];
    size_t n[BATCH], picture[BATCH];
    float *probes = dv_calloc(BATCH * m->dim, sizeof *probes);
    bool ok = probes != NULL;
    if (!ok)
        cli_error("out of memory");
    for (size_t i = 0, held = 0; ok && i < m->n; i++) {
        if (m->state[i] == CLI_PICTURE_VECTOR) {
            memcpy(probes + held * m->dim, m->vectors + i * m->dim, m->dim * sizeof *probes);
            picture[held++] = i;
        }
        if (held == 0 || (held < BATCH && i + 1 < m->n))
            continue;
        if (dmv_index_search_batch(x, probes, held, NEAREST, NULL, hit, n)) {
            cli_error("%s", dmv_error(ctx));
            ok = false;
        }
        for (size_t p = 0; ok && p < held; p++)
            for (size_t k = 0; k < n[p]; k++)
                if ((double)hit[p * NEAREST + k].score >= near)
                    found(user, picture[p], (size_t)hit[p * NEAREST + k].id,
                          (double)hit[p * NEAREST + k].score);
        held = 0;
    }
    dv_free(probes);
    return ok;
}

typedef struct within {
    verify *v;
    const uint64_t *in;
} within;

static void found_within(void *user, size_t a, size_t b, double score)
{
    within *w = user;
    verify_leaks *l = &w->v->leaks;
    const verify_list *list = &w->v->list;
    if (a >= b)
        return; /* itself, or the couple is met the other way round */
    bool folds = (w->in[a] & w->in[b]) == 0;
    bool people = list->person && list->person[a] != list->person[b];
    if ((folds && l->near_folds < SHOWN) || (people && l->near_people < SHOWN))
        cli_warn("%s and %s are near-duplicates (similarity %.3f)%s%s", list->pairs.names[a],
                 list->pairs.names[b], score, folds ? ", in different folds" : "",
                 people ? ", of two people by name" : "");
    l->near_folds += folds;
    l->near_people += people;
}

/* ---- training pictures ---- */

typedef struct against {
    verify *v;
    char **paths;
    size_t last;
} against;

static void found_training(void *user, size_t a, size_t b, double score)
{
    against *g = user;
    verify_leaks *l = &g->v->leaks;
    if (g->last == a + 1)
        return; /* counted */
    g->last = a + 1;
    if (l->train_near++ < SHOWN)
        cli_warn("%s: has a near-duplicate in the training pictures, %s (similarity %.3f)",
                 g->v->list.pairs.names[a], g->paths[b], score);
}

typedef struct word {
    const char *p;
    size_t n;
} word;

static int by_word(const void *a, const void *b)
{
    const word *x = a, *y = b;
    int c = memcmp(x->p, y->p, DV_MIN(x->n, y->n));
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static bool names_in_training(verify *v, const dv_paths *list, size_t root)
{
    word *w = dv_calloc(list->n, sizeof *w);
    size_t n = 0;
    if (!w)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < list->n; i++) {
        const char *rel = list->v[i] + root;
        while (*rel == '/')
            rel++;
        size_t len = strcspn(rel, "/");
        if (rel[len])
            w[n++] = (word){rel, len};
    }
    qsort(w, n, sizeof *w, by_word);
    for (size_t k = 0; k < v->list.people; k++) {
        word key = {v->list.person_name[k], strcspn(v->list.person_name[k], "/")};
        if (!bsearch(&key, w, n, sizeof *w, by_word))
            continue;
        if (v->leaks.train_people++ < SHOWN)
            cli_warn("%.*s: is in the training pictures, too", (int)key.n, key.p);
    }
    dv_free(w);
    if (v->leaks.train_people > SHOWN)
        cli_warn("and %zu more people", v->leaks.train_people - SHOWN);
    return true;
}

static bool training(verify *v, dmv_context *ctx)
{
    dv_err e = {0};
    dv_paths list = {0};
    cli_embedded m = {0};
    const char *dir = v->a.train;
    if (dv_image_list(dir, &list, &e))
        return cli_error("%s", e.msg), false;
    cli_embed_job job = {.o = &v->a.o,
                         .model = v->a.models.n ? v->a.models.v[0] : NULL,
                         .names = list.v,
                         .n = list.n,
                         .aligned = v->a.train_aligned,
                         .allow_missing = v->a.allow_missing,
                         .no_cache = v->a.no_cache};
    bool ok = names_in_training(v, &list, strlen(dir)) && cli_embed_pictures(&job, &m);
    dmv_index *x = ok ? index_of(ctx, &m) : NULL;
    against g = {v, list.v, 0};
    ok = x && each_near(ctx, x, &v->run[0].m, v->a.near, found_training, &g);
    v->leaks.trained = ok;
    v->leaks.train_pictures = list.n;
    dmv_index_close(&x);
    cli_embedded_free(&m);
    dv_paths_free(&list);
    return ok;
}

bool verify_find_leaks(verify *v)
{
    dmv_context *ctx = NULL;
    uint64_t *in = folds_of_pictures(&v->list.pairs);
    if (!in)
        return cli_error("out of memory"), false;
    bool ok = by_name(v, in) && !cli_context_open(&v->a.o, &ctx);
    dmv_index *x = ok ? index_of(ctx, &v->run[0].m) : NULL;
    within w = {v, in};
    ok = x && each_near(ctx, x, &v->run[0].m, v->a.near, found_within, &w);
    dmv_index_close(&x);
    v->leaks.checked = ok;
    if (ok && v->a.train)
        ok = training(v, ctx);
    dmv_context_close(&ctx);
    dv_free(in);
    return ok;
}
