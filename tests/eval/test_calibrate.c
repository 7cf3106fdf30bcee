/* SPDX-License-Identifier: Apache-2.0
 *
 * Thresholds: the highest of many scores, the step above the first that may not pass, and what is
 * said when the comparisons are too few.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "eval/calibrate.h"

static void test_top(void **state)
{
    (void)state;
    uint64_t seed = 3;
    static float all[2000];
    for (size_t cap = 1; cap <= 2001; cap += 400) {
        dv_top t;
        assert_true(dv_top_open(&t, cap));
        for (int i = 0; i < 2000; i++) {
            all[i] = (float)(dv_splitmix(&seed) % 500) / 500;
            dv_top_add(&t, all[i]);
        }
        dv_top_sort(&t);
        assert_int_equal(t.seen, 2000);
        assert_int_equal(t.n, DV_MIN(cap, 2000));
        for (size_t k = 0; k < t.n; k++) { /* exactly k or fewer are larger */
            size_t larger = 0, upto = 0;
            for (int i = 0; i < 2000; i++) {
                larger += all[i] > t.v[k];
                upto += all[i] >= t.v[k];
            }
            assert_true(larger <= k && k < upto);
        }
        dv_top_free(&t);
    }
}

static dv_top thousand(void)
{
    dv_top t;
    assert_true(dv_top_open(&t, 1000));
    for (int i = 0; i < 1000; i++)
        dv_top_add(&t, (float)i / 2000); /* 0.4995, 0.499, ... */
    dv_top_sort(&t);
    return t;
}

static void test_supported(void **state)
{
    (void)state;
    dv_top t = thousand();
    dv_calibration c;
    static const float genuine[4] = {0.9f, 0.4f, 0.4945f, 0.2f};
    assert_int_equal(dv_calibrate(&t, genuine, 4, 0.01, &c, NULL), DMV_OK);
    /* Ten may pass: 0.4995 .. 0.495. The first that may not is 0.4945: one step above it. */
    assert_true(c.supported);
    assert_int_equal(c.accepted, 10);
    assert_true(fabs(c.threshold - 0.4946) < 1e-9);
    assert_true(c.fmr == 0.01 && c.stated == 0.01);
    assert_int_equal(c.rejected, 3); /* 0.4945 is below 0.4946 */
    assert_true(c.fnmr == 0.75);
    assert_true(c.fmr_ci.lo < 0.01 && c.fmr_ci.hi > 0.01);
    /* Every rate: no more pass than may, and one step lower more would. */
    for (int k = 3; k < 999; k += 83) {
        assert_int_equal(dv_calibrate(&t, NULL, 0, k / 1000.0, &c, NULL), DMV_OK);
        assert_int_equal(c.accepted, k);
        assert_true((float)(c.threshold - 1e-4) <= t.v[k]);
        assert_true(isnan(c.fnmr));
    }
    dv_top_free(&t);
}

static void test_not_supported(void **state)
{
    (void)state;
    dv_top t = thousand();
    dv_calibration c;
    dv_err e = {0};
    assert_int_equal(dv_calibrate(&t, NULL, 0, 0.002, &c, NULL), DMV_OK);
    assert_false(c.supported);
    assert_int_equal(c.accepted, 0);
    assert_true(fabs(c.threshold - 0.4996) < 1e-9);
    assert_true(fabs(c.stated - 0.00299) < 1e-5); /* 3 / N */
    assert_true(c.fmr == 0 && c.fmr_ci.lo == 0);
    assert_int_equal(dv_calibrate(&t, NULL, 0, 0, &c, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_calibrate(&t, NULL, 0, 1, &c, &e), DMV_ERR_ARGUMENT);
    dv_top_add(&t, 1);
    dv_top_sort(&t);
    assert_int_equal(dv_calibrate(&t, NULL, 0, 0.001, &c, &e), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "alike"));
    dv_top_free(&t);
    assert_true(dv_top_open(&t, 5));
    assert_int_equal(dv_calibrate(&t, NULL, 0, 0.5, &c, &e), DMV_ERR_ARGUMENT);
    for (int i = 0; i < 20; i++)
        dv_top_add(&t, 0.5f);
    dv_top_sort(&t);
    assert_int_equal(dv_calibrate(&t, NULL, 0, 0.5, &c, &e), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "too few"));
    /* Scores that are all the same: at the rate that may pass, none does. */
    assert_int_equal(dv_calibrate(&t, NULL, 0, 0.2, &c, &e), DMV_OK);
    assert_int_equal(c.accepted, 0);
    dv_top_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_supported),
        cmocka_unit_test(test_not_supported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
