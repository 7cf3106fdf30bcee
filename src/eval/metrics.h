/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.h - figures of a verification: from distances of pairs to accuracy, ROC, TAR@FAR, EER,
 * AUC and their intervals. Every definition is simple enough to be recomputed elsewhere to the
 * last bit (tests/eval/recompute.py does); sums run in the order of the list, in double.
 */
#ifndef DV_EVAL_METRICS_H
#define DV_EVAL_METRICS_H

#include "eval/eval.h"

/* Comparisons. A pair counts as accepted at threshold t if dist < t. */
typedef struct dv_trials {
    const double *dist;   /* squared Euclidean distance of unit vectors, 0..4 */
    const bool *same;     /* of one person */
    const uint32_t *fold; /* 0 .. folds - 1 */
    size_t n, folds;
    const uint32_t *a, *b; /* the people of each pair, 0 .. people - 1; NULL = not known */
    size_t people;
} dv_trials;

/* Both kinds must be there, distances in 0..4, folds in range and none empty. */
dmv_status dv_trials_check(const dv_trials *t, dv_err *e);

/* ---- ROC ---- */

/* One point for each distinct distance d, ascending: what is accepted up to and with d. The
 * first point, with d = 0 and nothing accepted, stands before them. */
typedef struct dv_roc {
    double *dist, *fmr, *fnmr;
    size_t n;
} dv_roc;
dmv_status dv_roc_make(const dv_trials *t, dv_roc *out, dv_err *e);
void dv_roc_free(dv_roc *r);

/* ---- figures ---- */

#define DV_MAX_RATES 16

typedef struct dv_interval {
    double lo, hi; /* NAN = none was asked for */
} dv_interval;

/* At one asked rate. */
typedef struct dv_tar {
    double far;
    /* Over all pairs: dist is the impostor distance [floor(far N)] of the ascending list
     * (infinite if every impostor may pass), tar the share of genuine pairs with a smaller one;
     * passed = floor(far N) impostors may pass. */
    double dist, tar;
    size_t passed;
    dv_interval ci;
    /* As InsightFace does: for every fold, of thresholds 0 .. 3.999 by 0.001, the one where the
     * rate on the other folds meets far, interpolated between the last that is not above it and
     * the next (0 where the rate is never met); then mean and deviation over folds of the rates
     * on the fold itself. NAN if some fold lacks one kind of pairs. */
    double fold_tar, fold_std, fold_far;
} dv_tar;

typedef struct dv_metrics {
    size_t genuine, impostors;
    double accuracy, std, threshold; /* of folds, as dv_verify_score */
    /* Where the lines between the points of the ROC cross fmr = fnmr, first time. */
    double eer, eer_dist;
    dv_interval eer_ci;
    double auc; /* the share of genuine-impostor couples in the right order, ties half */
    dv_interval auc_ci;
    size_t n_tar;
    dv_tar tar[DV_MAX_RATES];
    size_t rounds; /* of the bootstrap that had both kinds of pairs */
    bool by_people;
} dv_metrics;

/* Percentile bootstrap, 95 %. Every round draws as many people as there are, with replacement: a
 * genuine pair then counts as often as its person was drawn, an impostor pair as often as the
 * product for its two people. Where people are not known pairs are drawn instead. Draw k of the
 * generator (splitmix64 from seed) gives person (z >> 32) * people >> 32. Of the sorted rounds
 * [floor(0.025 R)] and [ceil(0.975 R) - 1] are the ends. rounds 0: no intervals. */
typedef struct dv_bootstrap {
    size_t rounds;
    uint64_t seed;
} dv_bootstrap;

/* rates: n_rates <= DV_MAX_RATES, each 0..1. boot NULL = none. */
dmv_status dv_metrics_make(const dv_trials *t, const double *rates, size_t n_rates,
                           const dv_bootstrap *boot, dv_metrics *out, dv_err *e);

/* splitmix64: the next 64 bits. */
uint64_t dv_splitmix(uint64_t *state);

/* ---- one rate ---- */

/* Exact two-sided interval of Clopper and Pearson for k of n at the level (0.95). k = 0: the
 * lower end is 0 and the upper one is that of the one-sided bound, 1 - (1 - level)^(1/n), which is
 * about 3/n at 95 % (the rule of three). */
dv_interval dv_clopper_pearson(double k, double n, double level);

#endif
