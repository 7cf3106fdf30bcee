/* SPDX-License-Identifier: Apache-2.0
 *
 * interval.h - how sure a share is: exact confidence intervals of a binomial proportion (Clopper
 * and Pearson, 1934). With nothing counted the upper end at 95 % is close to 3.7 / n.
 */
#ifndef DV_EVAL_INTERVAL_H
#define DV_EVAL_INTERVAL_H

#include <stdint.h>

/* The interval for k of n at a confidence such as 0.95; 0..1 if n is 0. k <= n. */
void dv_binomial_interval(uint64_t k, uint64_t n, double confidence, double *lo, double *hi);

/* Regularised incomplete beta function I_x(a, b), a, b > 0. */
double dv_beta_share(double a, double b, double x);

#endif
