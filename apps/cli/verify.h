/* SPDX-License-Identifier: Apache-2.0
 *
 * verify.h - what the files of `domovoi eval verify` share.
 *
 * eval_verify.c  options, the list, the runs      verify_report.c  text, JSON, Markdown, dumps
 * verify_leak.c  who is on both sides of a split  verify_charts.c  ROC, DET, histogram
 */
#ifndef DV_CLI_VERIFY_H
#define DV_CLI_VERIFY_H

#include "cli.h"
#include "eval/bin.h"
#include "eval/metrics.h"

/* The list of pairs, from any of the three formats. */
typedef struct verify_list {
    dv_pairs pairs; /* of a .bin: bin.pairs, not owned twice */
    dv_bin bin;
    bool is_bin;
    struct cli_memory *memory; /* of a .bin */
    uint32_t *person;          /* of each picture; NULL if the names do not tell */
    const char **person_name;  /* not ended by 0: up to the first '/' */
    size_t people;
} verify_list;

/* False-match rates for which thresholds are printed. */
#define VERIFY_RATES 5
extern const double verify_rates[VERIFY_RATES];

/* One net on the list. */
typedef struct verify_run {
    cli_embedded m;
    /* The pairs whose pictures are there, in the order of the list. */
    uint32_t *number; /* of the pair in the list */
    double *dist;
    bool *same;
    uint32_t *fold, *a, *b;
    dv_trials trials;
    dv_metrics x;
    size_t left_out;
    double similarity[VERIFY_RATES]; /* NAN: fewer than three impostors stand behind it */
} verify_run;

typedef struct verify_args {
    cli_common o;
    cli_texts models;
    const char *images, *pairs, *far, *report, *dump, *roc, *det, *hist, *train;
    int aligned, no_cache, allow_missing, bootstrap, seed, leak_check, train_aligned;
    double near;
    double rates[DV_MAX_RATES];
    size_t n_rates;
    dmv_status (*change)(void *user, dv_picture *p, dv_err *e); /* of cli_embed_job */
    void *change_user;
    const char *change_words;
} verify_args;

typedef struct verify_leaks {
    bool checked;
    size_t people_in_folds;   /* people in more than one fold */
    size_t pictures_in_folds; /* pictures in more than one fold */
    size_t near_folds;        /* couples of near-duplicates without a common fold */
    size_t near_people;       /* near-duplicates of two people, by name */
    bool trained;             /* the next three are known */
    size_t train_pictures, train_people, train_near;
} verify_leaks;

typedef struct verify {
    verify_args a;
    verify_list list;
    verify_run run[CLI_MAX_TEXTS];
    size_t n_runs;
    verify_leaks leaks;
} verify;

bool verify_open_list(verify *v); /* v->a to v->list; prints errors */
bool verify_run_model(verify *v, const char *model, verify_run *r);
void verify_close_run(verify_run *r);
bool verify_parse_rates(verify_args *a); /* --far */
void verify_close(verify *v);
void verify_print(const verify *v);
void verify_print_json(const verify *v);
bool verify_write_report(const verify *v);
bool verify_dump(const verify *v);
bool verify_draw(const verify *v);     /* --roc, --det, --hist */
bool verify_can_draw(const verify *v); /* before the work starts; prints errors */
bool verify_find_leaks(verify *v);

#endif
