/* SPDX-License-Identifier: Apache-2.0
 *
 * Intervals against binomial sums and published values, and the counting by groups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "eval/fairness.h"
#include "eval/interval.h"

static void near(double a, double b, double off)
{
    if (!(fabs(a - b) <= off))
        fail_msg("%.15g is not %.15g", a, b);
}

/* P(X >= k) for n draws of chance p, summed up. */
static double at_least(int k, int n, double p)
{
    double sum = 0;
    for (int i = k; i <= n; i++) {
        double term = lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0);
        sum += exp(term + i * log(p) + (n - i) * log(1 - p));
    }
    return sum;
}

static void test_interval(void **state)
{
    (void)state;
    double lo, hi;
    static const int n[] = {1, 2, 10, 37, 400};
    for (size_t i = 0; i < DV_COUNT(n); i++) {
        for (int k = 0; k <= n[i]; k += 1 + n[i] / 20) {
            dv_binomial_interval((uint64_t)k, (uint64_t)n[i], 0.95, &lo, &hi);
            assert_true(lo <= (double)k / n[i] && hi >= (double)k / n[i]);
            if (k)
                near(at_least(k, n[i], lo), 0.025, 1e-9);
            else
                near(lo, 0, 0);
            if (k < n[i])
                near(1 - at_least(k + 1, n[i], hi), 0.025, 1e-9);
            else
                near(hi, 1, 0);
        }
    }
    /* With nothing seen there is a closed form. */
    dv_binomial_interval(0, 1000000, 0.95, &lo, &hi);
    near(hi / (1 - pow(0.025, 1e-6)), 1, 1e-9);
    /* Very many: the normal approximation. */
    dv_binomial_interval(500000000, 1000000000, 0.95, &lo, &hi);
    near(lo, 0.5 - 1.959964 * sqrt(0.25e-9), 2e-8);
    near(hi, 0.5 + 1.959964 * sqrt(0.25e-9), 2e-8);
    dv_binomial_interval(0, 0, 0.95, &lo, &hi);
    assert_true(lo == 0 && hi == 1);
    near(dv_beta_share(2, 3, 0.4), 0.5248, 1e-12); /* 6 x^2/2 - 8 x^3 ... by hand: a polynomial */
    near(dv_beta_share(1, 1, 0.3), 0.3, 1e-14);
}

static void add(dv_fairness *f, uint32_t a, uint32_t b, bool same, int right, int wrong)
{
    for (int i = 0; i < right; i++)
        dv_fairness_add(f, a, b, same, same);
    for (int i = 0; i < wrong; i++)
        dv_fairness_add(f, a, b, same, !same);
}

static void test_groups(void **state)
{
    (void)state;
    dv_fairness f;
    assert_int_equal(dv_fairness_open(&f, 3, NULL), DMV_OK);
    add(&f, 0, 0, true, 90, 10);
    add(&f, 1, 1, true, 195, 5);
    add(&f, 2, 2, true, 1, 28); /* too small to count */
    add(&f, 0, 0, false, 300, 0);
    add(&f, 1, 1, false, 297, 3);
    add(&f, 0, 1, false, 50, 7);
    add(&f, 1, 0, true, 2, 0);
    add(&f, DV_NO_GROUP, 1, false, 4, 1);
    dv_fairness_end(&f, 0.01);
    assert_true(f.group[0].fnmr.pairs == 100 && f.group[0].fnmr.errors == 10);
    near(f.group[0].fnmr.rate, 0.1, 0);
    near(f.group[0].fnmr.lo, 0.04900, 5e-5); /* tables of Clopper and Pearson */
    near(f.group[0].fnmr.hi, 0.17622, 5e-5);
    assert_false(f.group[0].fnmr.small);
    assert_true(f.group[2].fnmr.small && f.group[2].fnmr.pairs == 29);
    assert_true(f.fnmr.worst == 0 && f.fnmr.best == 1);
    near(f.fnmr.ratio, 4, 1e-12);
    assert_true(f.group[0].fmr.pairs == 300 && !f.group[0].fmr.small);
    assert_true(f.group[2].fmr.small && isnan(f.group[2].fmr.rate) && isnan(f.group[2].fmr.lo));
    assert_true(f.fmr.worst == 1 && f.fmr.best == 0 && isinf(f.fmr.ratio));
    assert_true(f.group[3].fmr.pairs == 57 && f.group[3].fmr.errors == 7);
    assert_true(f.group[3].fnmr.pairs == 2);
    assert_true(f.unlabelled == 5 && f.all.fmr.pairs == 662 && f.all.fmr.errors == 11);
    assert_int_equal(f.all.fnmr.pairs, 331);
    dv_fairness_end(&f, 0.001); /* 3000 pairs wanted: nothing left to compare */
    assert_true(f.group[0].fmr.small && f.fmr.worst == SIZE_MAX && isnan(f.fmr.ratio));
    near(f.fnmr.ratio, 4, 1e-12);
    dv_fairness_end(&f, NAN);
    assert_false(f.group[0].fmr.small);
    dv_fairness_free(&f);
    dv_alloc_fail_at(1, false);
    assert_int_equal(dv_fairness_open(&f, 3, NULL), DMV_ERR_MEMORY);
    dv_alloc_fail_at(0, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
