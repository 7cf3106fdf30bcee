/* SPDX-License-Identifier: Apache-2.0
 *
 * eval.h - protocols and their arithmetic (ALGORITHMS: LFW-style verification). Takes
 * embeddings, not pictures, so that it can be tested by itself.
 */
#ifndef DV_EVAL_H
#define DV_EVAL_H

#include "base/base.h"

typedef struct dv_pair {
    uint32_t a, b; /* numbers in dv_pairs.names */
    bool same;
} dv_pair;

typedef struct dv_pairs {
    char **names; /* distinct picture paths, relative to the image folder */
    size_t n_names;
    dv_pair *pair;
    size_t n;
    size_t folds; /* contiguous, equal */
} dv_pairs;

/* LFW's pairs.txt ("10<TAB>300" then name n1 n2 / name1 n1 name2 n2, pictures
 * NAME/NAME_0001.jpg) or lines a<TAB>b<TAB>1|0 in ten contiguous folds. */
dmv_status dv_pairs_load(const char *path, dv_pairs *out, dv_err *e);
void dv_pairs_free(dv_pairs *p);

typedef struct dv_verify_result { /* cli.h names it, too */
    double accuracy, std;         /* fractions; mean and deviation (divisor folds) over folds */
    double tar_1e2, tar_1e3;      /* pooled over all pairs */
    double threshold;             /* squared distance, mean over folds */
} dv_verify_result;

/* dist: squared Euclidean distance of unit vectors, 0..4, one per pair.
 * Per fold the first best threshold of 0 .. 3.99 by 0.01 on the other folds (accepted:
 * dist < t). TAR@FAR: t = ascending impostor list [floor(FAR N)], accepted: dist < t. */
dmv_status dv_verify_score(const dv_pairs *p, const double *dist, dv_verify_result *r, dv_err *e);
double dv_tar_at_far(const dv_pairs *p, const double *dist, double far_rate);
/* That t; infinite when every impostor may pass. NAN without impostors, for a negative rate,
 * or out of memory. */
double dv_far_distance(const dv_pairs *p, const double *dist, double far_rate);

#endif
