/* SPDX-License-Identifier: Apache-2.0
 *
 * identify_run.c - gallery, probes and distractors to ranks, with a progress bar. Probes without
 * a vector (no face was found) are answers, too: a mate that is not found, or a stranger who
 * raises no alarm. Leaving them out would reward a detector that finds easy faces only.
 */
#include "identify.h"

#include <stdlib.h>
#include <string.h>

#define MILLION 1000000.0

typedef struct searching {
    cli_progress bar;
} searching;

static void tick(void *user, uint64_t compared)
{
    searching *s = user;
    cli_progress_update(&s->bar, (size_t)((double)compared / MILLION));
}

void ident_result_free(ident_result *r)
{
    dv_free(r->answer);
    dv_free(r->hits);
    memset(r, 0, sizeof *r);
}

/* Who has a mate in the gallery by the list has one, even if none of its templates came to be. */
static void settle(const ident_sides *s, const ident_plan *p, dv_answer *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!p->megaface && a[i].rank == 0 && s->enrolled[s->probes.subject[a[i].probe]])
            a[i].rank = (uint32_t)p->depth + 1;
}

static void judge(const dv_ident *x, const ident_sides *s, const ident_plan *p, ident_result *r,
                  uint64_t distractors)
{
    dv_ident_judge(x, r->answer);
    settle(s, p, r->answer, dv_ident_trials(x));
    r->mated = dv_cmc(r->answer, r->n, p->depth, r->hits);
    if (r->n_steps < IDENT_MAX_STEPS)
        r->step[r->n_steps++] = (ident_step){
            .n = distractors, .rank1 = r->hits[0], .rank10 = p->depth >= 10 ? r->hits[9] : 0};
}

/* 10, 100, ... and the end. */
static uint64_t next_stop(uint64_t after, uint64_t end)
{
    uint64_t stop = 10;
    while (stop <= after)
        stop *= 10;
    return DV_MIN(stop, end);
}

static bool distract(dmv_context *ctx, dv_ident *x, const ident_sides *s, const ident_plan *p,
                     ident_result *r)
{
    dv_err e = {0};
    const uint64_t end = p->n_given + p->n_made;
    const size_t chunk = dv_ident_chunk(s->dim);
    float *made = p->n_made ? dv_calloc(DV_MIN(chunk, p->n_made), s->dim * sizeof *made) : NULL;
    if (p->n_made && !made)
        return cli_error("out of memory"), false;
    dmv_status st = DMV_OK;
    for (uint64_t at = 0; at < end && !st;) {
        uint64_t stop = next_stop(at, end);
        size_t n = (size_t)DV_MIN(stop - at, (uint64_t)chunk);
        if (at < p->n_given) {
            n = DV_MIN(n, p->n_given - (size_t)at);
            st = dv_ident_distract(x, p->given + at * s->dim, n, &e);
        } else {
            dv_crowd_fill(p->crowd, ctx->pool, at - p->n_given, n, made);
            st = dv_ident_distract(x, made, n, &e);
        }
        at += n;
        if (!st && at == stop)
            judge(x, s, p, r, at);
    }
    dv_free(made);
    return st ? (cli_error("%s", e.msg), false) : true;
}

/* Probes without a vector: as many answers as they would have had. */
static size_t add_lost(const ident_sides *s, const ident_plan *p, dv_answer *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_lost; i++) {
        uint32_t who = s->lost_subject[i];
        size_t mates = 0;
        if (!p->megaface) {
            mates = 1;
        } else { /* with each other picture, either way round; two lost ones only once each */
            for (size_t k = 0; k < s->probes.n; k++)
                mates += 2 * (s->probes.subject[k] == who);
            for (size_t k = 0; k < s->n_lost; k++)
                mates += k != i && s->lost_subject[k] == who;
        }
        bool mated = p->megaface || s->enrolled[who];
        for (size_t k = 0; k < mates; k++, n++)
            if (out)
                out[n] = (dv_answer){.probe = s->lost_row[i],
                                     .rank = mated ? (uint32_t)p->depth + 1 : 0,
                                     .mate = -2,
                                     .other = -2};
    }
    return n;
}

static bool open_answers(const dv_ident *x, const ident_sides *s, const ident_plan *p,
                         ident_result *r)
{
    size_t found = dv_ident_trials(x);
    r->n = found + add_lost(s, p, NULL);
    r->answer = dv_calloc(r->n, sizeof *r->answer);
    r->hits = dv_calloc(p->depth, sizeof *r->hits);
    if (!r->answer || !r->hits)
        return cli_error("out of memory"), false;
    add_lost(s, p, r->answer + found);
    return true;
}

static bool figures(const dv_ident *x, const ident_sides *s, const ident_plan *p, ident_result *r)
{
    dv_err e = {0};
    size_t found = dv_ident_trials(x), strangers = r->n - r->mated;
    for (size_t i = 0; p->open && strangers && i < p->n_fpir; i++)
        if (dv_open_set(r->answer, r->n, p->fpir[i], &r->open[r->n_open++], &e))
            return cli_error("%s", e.msg), false;
    for (size_t i = 0; p->megaface && i < p->n_far; i++) {
        ident_far *f = &r->far[r->n_far++];
        f->rate = p->far[i];
        f->known = dv_ident_far(x, r->answer, f->rate, &f->accepted, &f->threshold);
    }
    for (size_t i = 0; i < found; i++) /* from here on they are rows of the list */
        r->answer[i].probe = s->probe_row[r->answer[i].probe];
    return true;
}

bool ident_run(dmv_context *ctx, const ident_sides *s, const ident_plan *p, ident_result *r)
{
    dv_err e = {0};
    dv_ident *x = NULL;
    searching bar;
    uint64_t start = dv_now_ns();
    dv_ident_options o = {.depth = p->depth, .fuse = p->fuse, .tick = tick, .user = &bar};
    memset(r, 0, sizeof *r);
    double work = (double)s->probes.n * (double)(s->gallery.n + p->n_given + p->n_made) / MILLION;
    cli_progress_start(&bar.bar, "search, million comparisons", (size_t)work, p->o);
    bool ok = !dv_ident_open(ctx, s->dim, p->megaface ? NULL : &s->gallery, &s->probes, &o, &x, &e);
    if (!ok)
        cli_error("%s", e.msg);
    ok = ok && open_answers(x, s, p, r);
    if (ok && !p->megaface)
        judge(x, s, p, r, 0);
    ok = ok && distract(ctx, x, s, p, r);
    cli_progress_end(&bar.bar);
    ok = ok && figures(x, s, p, r);
    dv_ident_close(&x);
    r->seconds = (double)(dv_now_ns() - start) * 1e-9;
    if (!ok)
        ident_result_free(r);
    return ok;
}
