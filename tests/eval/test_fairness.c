/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting by groups: cases worked out by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "eval/fairness.h"

static void near(double a, double b, double off)
{
    if (!(fabs(a - b) <= off))
        fail_msg("%.15g is not %.15g", a, b);
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
    near(f.group[0].fnmr.ci.lo, 0.04900, 5e-5); /* tables of Clopper and Pearson */
    near(f.group[0].fnmr.ci.hi, 0.17622, 5e-5);
    assert_false(f.group[0].fnmr.small);
    assert_true(f.group[2].fnmr.small && f.group[2].fnmr.pairs == 29);
    assert_true(f.fnmr.worst == 0 && f.fnmr.best == 1);
    near(f.fnmr.ratio, 4, 1e-12);
    assert_true(f.group[0].fmr.pairs == 300 && !f.group[0].fmr.small);
    assert_true(f.group[2].fmr.small && isnan(f.group[2].fmr.rate) && isnan(f.group[2].fmr.ci.lo));
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
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
