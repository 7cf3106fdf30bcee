/* SPDX-License-Identifier: Apache-2.0
 *
 * identify.h - 1:N search scored: probes against a gallery and any number of distractors.
 *
 *     dv_ident *x;  dv_answer *t = ... dv_ident_trials(x) of them
 *     if (dv_ident_open(ctx, dim, &gallery, &probes, &o, &x, &e)) ...
 *     dv_ident_distract(x, vectors, n, &e);         as often as there are vectors
 *     dv_ident_judge(x, t);                         after any of these
 *     dv_cmc(t, n, depth, curve);   dv_open_set(t, n, 0.01, &point);
 *
 * A trial is one question, "who is this?", with its answer's score and rank. In the ordinary
 * protocols every probe makes one; the right answer is the gallery subject of the same number, if
 * there is one. In MegaFace's protocol there is no gallery but the other pictures of the probe's
 * person, one at a time among the distractors: a person with k pictures makes k (k - 1) trials.
 *
 * Ties count against the system: everybody who is as similar as the mate comes before it. So a net
 * that gives all faces one vector has no hits. Similarities are the index's, bit by bit.
 */
#ifndef DV_EVAL_IDENTIFY_H
#define DV_EVAL_IDENTIFY_H

#include "base/base.h"

typedef struct dv_templates {
    const float *v; /* n x dim, any length but zero */
    const uint32_t *subject;
    size_t n;
} dv_templates;

/* What several templates of a gallery subject come to: */
typedef enum {
    DV_FUSE_MAX, /* the best similarity counts */
    DV_FUSE_MEAN /* one template: the mean of the unit vectors */
} dv_fuse;

#define DV_IDENT_MAX_DEPTH 1000

typedef struct dv_ident_options {
    size_t depth; /* ranks that are told apart, 1 .. DV_IDENT_MAX_DEPTH */
    dv_fuse fuse;
    void (*tick)(void *user, uint64_t compared); /* after some probes: compared vectors so far */
    void *user;
} dv_ident_options;

typedef struct dv_answer {
    uint32_t probe;
    uint32_t rank; /* 1 .. depth; depth + 1: further down; 0: the probe has no mate */
    float mate;    /* similarity of the mate; -2 without */
    float other;   /* of the best other subject or distractor; -2 if there is none */
} dv_answer;

typedef struct dv_ident dv_ident;

/* Searches the gallery (gallery NULL: MegaFace's protocol, which needs a person with two probes).
 * ctx and probes must outlive *out; errors of vectors name their row, from 1. */
dmv_status dv_ident_open(dmv_context *ctx, size_t dim, const dv_templates *gallery,
                         const dv_templates *probes, const dv_ident_options *o, dv_ident **out,
                         dv_err *e);
void dv_ident_close(dv_ident **x);
/* n more people who are nobody's mate. On failure the lists are no longer of use. */
dmv_status dv_ident_distract(dv_ident *x, const float *v, size_t n, dv_err *e);
/* Vectors of one chunk: what dv_ident_distract handles at a time, a memory of about 5/4 of their
 * size beside them. */
size_t dv_ident_chunk(size_t dim);

size_t dv_ident_trials(const dv_ident *x);
void dv_ident_judge(const dv_ident *x, dv_answer *out);

/* MegaFace's verification: genuine pairs are the trials, impostor pairs every probe with every
 * distractor. accepted: trials above the impostor score at index floor(rate x pairs) of the
 * descending list. false if the lists are too short to know that score: rate x pairs may then
 * reach beyond `depth` scores of one probe. */
bool dv_ident_far(const dv_ident *x, const dv_answer *t, double rate, uint64_t *accepted,
                  float *threshold);

/* One template a subject: the mean of its unit vectors, at unit length, in the order in which
 * subjects appear. v and subject have room for in->n; returns how many in *n. */
dmv_status dv_fuse_mean(const dv_templates *in, size_t dim, float *v, uint32_t *subject, size_t *n,
                        dv_err *e);

/* ---- arithmetic on trials ---- */

/* hits[r]: mated trials of rank r + 1 or better, r < depth. Returns the mated trials. */
size_t dv_cmc(const dv_answer *t, size_t n, size_t depth, size_t *hits);

/* Open set. The threshold is the lowest at which at most floor(rate x strangers) trials without a
 * mate find anybody; accepted is what is at or above it. */
typedef struct dv_open_point {
    double rate;         /* asked for */
    float threshold;     /* the float after the best stranger that is refused */
    size_t strangers;    /* trials without a mate */
    size_t false_alarms; /* of these: somebody was found; FPIR = false_alarms / strangers */
    size_t mated;        /* trials with a mate */
    size_t missed;       /* mate below the threshold: FNIR by threshold alone */
    size_t missed_rank1; /* or not first: FNIR at rank 1; DIR = 1 - FNIR */
} dv_open_point;
/* DMV_ERR_ARGUMENT without strangers or without mated trials. */
dmv_status dv_open_set(const dv_answer *t, size_t n, double rate, dv_open_point *out, dv_err *e);

/* The same at every rate there is: k strangers may pass, k = 0 .. strangers. Ties make points with
 * the same FPIR; of these the first stands. */
typedef struct dv_open_curve {
    double *fpir, *fnir, *fnir_rank1; /* ascending, descending, descending */
    size_t n;
} dv_open_curve;
dmv_status dv_open_curve_make(const dv_answer *t, size_t n, dv_open_curve *out, dv_err *e);
void dv_open_curve_free(dv_open_curve *c);

#endif
