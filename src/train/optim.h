/* SPDX-License-Identifier: Apache-2.0
 * optim.h - stochastic gradient descent, and how its rate goes. */
#ifndef TR_OPTIM_H
#define TR_OPTIM_H

#include "train/train.h"

typedef struct tr_sgd {
    float momentum, decay; /* decay: weight decay, of convolutions, products and centres */
    bool nesterov;
    float clip; /* largest norm of all gradients together; 0: no limit */
} tr_sgd;

/* One step; returns the norm of the gradients before clipping. */
double tr_sgd_step(tr_net *n, const tr_sgd *o, float rate);

typedef enum tr_schedule { TR_STEP, TR_COSINE, TR_CONSTANT } tr_schedule;
/* The rate of step `at` of `steps`: a linear warm-up, then cosine to 1 % or a tenth at 50 % and
 * again at 75 % and 90 %. */
float tr_rate(tr_schedule kind, float base, int64_t at, int64_t warm, int64_t steps);

#endif
