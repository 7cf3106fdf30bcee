/* SPDX-License-Identifier: Apache-2.0
 *
 * fairness.h - errors at one threshold, counted by groups of people. A pair belongs to a group if
 * both its pictures do; pairs across groups are counted by themselves.
 */
#ifndef DV_EVAL_FAIRNESS_H
#define DV_EVAL_FAIRNESS_H

#include "eval/metrics.h"

typedef struct dv_rate {
    uint64_t pairs, errors;
    double rate;    /* NAN without pairs */
    dv_interval ci; /* dv_clopper_pearson, 95 % */
    bool small;     /* too few pairs to say something about this rate */
} dv_rate;

typedef struct dv_group {
    dv_rate fmr;  /* pairs of different people at or above the threshold */
    dv_rate fnmr; /* pairs of one person below it */
} dv_group;

/* Worst / best over the groups that are not too small. */
typedef struct dv_spread {
    size_t worst, best; /* groups; SIZE_MAX if fewer than two can be compared */
    double ratio;       /* infinite if the best group has no error and the worst has; NAN if none
                           has or there are not two groups */
} dv_spread;

typedef struct dv_fairness {
    size_t n;        /* groups */
    dv_group *group; /* n + 1: the last has the pairs across groups */
    dv_group all;    /* every pair, whatever its groups */
    dv_spread fmr, fnmr;
    uint64_t unlabelled; /* pairs with a picture of no group: in `all` only */
} dv_fairness;

#define DV_NO_GROUP UINT32_MAX
/* Pairs of one person that a group needs; for pairs of different people it is 3 / fmr, what the
 * rule of three asks for, and at least this. */
#define DV_FAIR_MIN 30

dmv_status dv_fairness_open(dv_fairness *f, size_t groups, dv_err *e);
void dv_fairness_add(dv_fairness *f, uint32_t a, uint32_t b, bool same, bool accepted);
/* Rates, intervals, spread. fmr: the rate that the threshold is meant for; NAN = unknown. */
void dv_fairness_end(dv_fairness *f, double fmr);
void dv_fairness_free(dv_fairness *f);

#endif
