/* SPDX-License-Identifier: Apache-2.0
 *
 * interval.c - the incomplete beta function by its continued fraction (Abramowitz and Stegun
 * 26.5.8, evaluated by Lentz's method), and its inverse by halving: the function only grows, so
 * nothing can go astray.
 */
#include "eval/interval.h"

#include <math.h>

#define TINY 1e-300
#define ROUNDS 200000 /* the fraction needs about the square root of the larger of a and b */

static double fraction(double a, double b, double x)
{
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < TINY ? TINY : d);
    double h = d;
    for (int m = 1; m <= ROUNDS; m++) {
        double even = m * (b - m) * x / ((a + 2.0 * m - 1) * (a + 2.0 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        c = fabs(c) < TINY ? TINY : c;
        h *= d * c;
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        c = fabs(c) < TINY ? TINY : c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return h;
}

double dv_beta_share(double a, double b, double x)
{
    if (!(x > 0))
        return 0;
    if (x >= 1)
        return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    /* The fraction converges fast on this side of the mean. */
    if (x < (a + 1) / (a + b + 2))
        return front * fraction(a, b, x) / a;
    return 1 - front * fraction(b, a, 1 - x) / b;
}

/* The x with I_x(a, b) = p. */
static double beta_quantile(double a, double b, double p)
{
    double lo = 0, hi = 1;
    for (int i = 0; i < 200 && hi - lo > 1e-15 * hi; i++) {
        double mid = lo + (hi - lo) / 2;
        if (dv_beta_share(a, b, mid) < p)
            lo = mid;
        else
            hi = mid;
    }
    return lo + (hi - lo) / 2;
}

void dv_binomial_interval(uint64_t k, uint64_t n, double confidence, double *lo, double *hi)
{
    double out = (1 - confidence) / 2;
    *lo = k && n ? beta_quantile((double)k, (double)(n - k) + 1, out) : 0;
    *hi = k < n ? beta_quantile((double)k + 1, (double)(n - k), 1 - out) : 1;
}
