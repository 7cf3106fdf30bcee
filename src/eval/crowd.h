/* SPDX-License-Identifier: Apache-2.0
 *
 * crowd.h - made-up vectors that stand for strangers: any number of them, vector i always the
 * same for a seed, made when they are needed.
 *
 * On the sphere every direction is as likely as any other. Faces are not like that: two strangers
 * of one net are on average more alike, so such a crowd is easier to tell apart than people are.
 * A crowd fitted to given vectors has their mean and their covariance before it is brought to unit
 * length, which is nearer to the truth and still no substitute for pictures of real people.
 */
#ifndef DV_EVAL_CROWD_H
#define DV_EVAL_CROWD_H

#include "base/base.h"

typedef struct dv_crowd dv_crowd;

#define DV_CROWD_MAX_DIM 4096

/* n vectors of dim numbers to fit a normal distribution to, after each was brought to unit
 * length; v NULL: the sphere. At least two vectors. */
dmv_status dv_crowd_open(size_t dim, uint64_t seed, const float *v, size_t n, dv_crowd **out,
                         dv_err *e);
void dv_crowd_close(dv_crowd **c);
/* Vectors first .. first + n - 1, of unit length, on the threads of pool (NULL: this one). */
void dv_crowd_fill(const dv_crowd *c, dv_pool *pool, uint64_t first, size_t n, float *out);

#endif
