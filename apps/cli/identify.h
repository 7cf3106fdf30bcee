/* SPDX-License-Identifier: Apache-2.0
 *
 * identify.h - what the files of `domovoi eval identify` share; `eval cross` uses the middle part.
 *
 * eval_identify.c  options, sets, distractors      identify_run.c  the search and its figures
 * identify_report.c  text, JSON, Markdown, dumps      identify_charts.c  charts
 */
#ifndef DV_CLI_IDENTIFY_H
#define DV_CLI_IDENTIFY_H

#include "sets.h"

#include "eval/crowd.h"
#include "eval/identify.h"
#include "eval/metrics.h"

#define IDENT_MAX_RANKS 16
#define IDENT_MAX_RATES 16
#define IDENT_MAX_STEPS 24

/* What is asked. */
typedef struct ident_plan {
    bool megaface, open;
    dv_fuse fuse;
    size_t depth;
    size_t rank[IDENT_MAX_RANKS], n_ranks; /* ascending, the last is at most depth */
    double fpir[IDENT_MAX_RATES];
    size_t n_fpir;
    double far[IDENT_MAX_RATES];
    size_t n_far;
    /* Distractors: first the given vectors, then made-up ones. */
    const float *given;
    size_t n_given, n_made;
    const dv_crowd *crowd;
    const cli_common *o; /* for the progress bar */
} ident_plan;

/* Hits with the first n distractors. */
typedef struct ident_step {
    uint64_t n;
    size_t rank1, rank10; /* rank10 is 0 if depth is below 10 */
} ident_step;

typedef struct ident_far {
    double rate;
    bool known;
    uint64_t accepted;
    float threshold;
} ident_far;

typedef struct ident_result {
    dv_answer *answer; /* probe: number among all probes of the list, with a vector or not */
    size_t n;          /* answers of probes with a vector, then those without */
    size_t mated;
    size_t *hits; /* CMC, depth numbers, of mated */
    dv_open_point open[IDENT_MAX_RATES];
    size_t n_open;
    ident_far far[IDENT_MAX_RATES];
    size_t n_far;
    ident_step step[IDENT_MAX_STEPS];
    size_t n_steps;
    double seconds;
} ident_result;

/* Vectors of one protocol: g is empty for MegaFace's. enrolled[s]: subject s stands in the
 * gallery, whether or not one of its pictures gave a vector. Prints errors. */
typedef struct ident_sides {
    dv_templates gallery, probes;
    size_t dim;
    const bool *enrolled;
    const uint32_t *probe_row; /* of each probe with a vector */
    /* Probes whose picture gave none: they are asked in vain. */
    const uint32_t *lost_row, *lost_subject;
    size_t n_lost;
} ident_sides;
bool ident_run(dmv_context *ctx, const ident_sides *s, const ident_plan *p, ident_result *r);
void ident_result_free(ident_result *r);

typedef struct ident {
    cli_common o;
    ident_plan plan;
    /* options */
    cli_source gallery_from, probe_from, distractor_from;
    const char *people, *images, *suffix, *fuse, *ranks, *fpir, *far, *like;
    const char *report, *dump, *save, *cmc, *det, *growth;
    int enrol, strangers, made, seed, megaface, open, probe_mean, depth, aligned, allow_missing,
        no_cache;
    /* data */
    dmv_context *ctx;
    dv_names names;
    cli_set gallery, probes, distractors;
    bool *enrolled;
    uint32_t *lost;            /* rows, then subjects, of probes without a vector */
    size_t n_lost, n_enrolled; /* subjects in the gallery */
    float *mean_v;             /* --probe-mean */
    uint32_t *mean_subject;
    size_t n_probes; /* searches: of vectors, after --probe-mean */
    dv_crowd *crowd;
    size_t same_picture;  /* probes whose vector is in the gallery, too */
    size_t same_stranger; /* given distractors whose vector is a probe's or in the gallery */
    size_t peak_bytes;
    ident_result r;
} ident;

void ident_print(const ident *v);
void ident_print_json(const ident *v);
bool ident_write_files(const ident *v);
/* Prints errors: before the work, and after it. */
bool ident_can_draw(const ident *v);
bool ident_draw(const ident *v);

#endif
