/* SPDX-License-Identifier: Apache-2.0
 *
 * test_clock.c - time stamps from clocks that lie; frames a second at most; lag.
 */
#include "clips.h"

#include <math.h>

#include "video/clock.h"

static void test_plain(void **state)
{
    dv_clock c = {0};
    bool jumped;
    for (int k = 0; k < 1000; k++) {
        double t = dv_clock_next(&c, 77.5 + k * 0.04, 0.04, NAN, &jumped);
        assert_true(fabs(t - k * 0.04) < 1e-9);
        assert_false(jumped);
    }
}

static void test_jumps(void **state)
{
    dv_clock c = {0};
    bool jumped;
    double t = 0, before;
    for (int k = 0; k < 10; k++)
        before = dv_clock_next(&c, k, 1, NAN, &jumped);
    t = dv_clock_next(&c, 3, 1, NAN, &jumped); /* back: one nominal step */
    assert_true(jumped && fabs(t - before - 1) < 1e-9);
    t = dv_clock_next(&c, 4, 1, NAN, &jumped); /* and on from there */
    assert_true(!jumped && fabs(t - before - 2) < 1e-9);
    before = t;
    t = dv_clock_next(&c, 50000, 1, 2.5, &jumped); /* far ahead: what the wall says */
    assert_true(jumped && fabs(t - before - 2.5) < 1e-9);
    before = t;
    t = dv_clock_next(&c, 50000, 1, NAN, &jumped); /* the same stamp again */
    assert_true(jumped && t > before);
    assert_int_equal(c.jumps, 3);
    /* A time lapse of one frame a minute is no jump, once it is known. */
    dv_clock slow = {0};
    dv_clock_next(&slow, 0, 0, NAN, &jumped);
    for (int k = 1; k < 20; k++)
        dv_clock_next(&slow, k * 9.0, 0, NAN, &jumped);
    t = dv_clock_next(&slow, 171 + 100, 0, NAN, &jumped);
    assert_false(jumped);
    assert_true(fabs(t - 271) < 1e-9);
    assert_int_equal(slow.jumps, 0);
}

static void test_no_stamps(void **state)
{
    dv_clock c = {0};
    bool jumped;
    double last = -1;
    for (int k = 0; k < 100; k++) {
        double t = dv_clock_next(&c, NAN, k < 50 ? 0.1 : 0, NAN, &jumped);
        assert_true(t > last);
        assert_false(jumped);
        last = t;
    }
    assert_true(last > 5);
    /* Rates that are nonsense, stamps that are infinite. */
    dv_clock odd = {0};
    const double stamps[] = {INFINITY, 1, -INFINITY, NAN, 1e300, 1e300, 0, -1e300};
    last = -1;
    for (unsigned k = 0; k < DV_COUNT(stamps); k++) {
        double t = dv_clock_next(&odd, stamps[k], k % 2 ? -5 : INFINITY, k % 3 ? NAN : 0, &jumped);
        assert_true(isfinite(t) && t > last);
        last = t;
    }
}

static void test_break(void **state)
{
    dv_clock c = {0};
    bool jumped;
    dv_clock_next(&c, 5, 0.04, NAN, &jumped);
    dv_clock_break(&c);
    double t = dv_clock_next(&c, 900, 0.04, 7, &jumped);
    assert_false(jumped);
    assert_true(fabs(t - 7) < 1e-9);
    t = dv_clock_next(&c, 900.04, 0.04, 9, &jumped);
    assert_true(!jumped && fabs(t - 7.04) < 1e-6);
}

static int taken(double rate, double max_fps, double seconds)
{
    double due = 0;
    int n = 0;
    for (int k = 0; k < rate * seconds; k++)
        n += dv_pace_take(&due, k / rate, max_fps);
    return n;
}

static void test_pace(void **state)
{
    assert_int_equal(taken(25, 0, 10), 250);
    assert_int_equal(taken(25, 25, 10), 250);
    assert_int_equal(taken(25, 100, 10), 250);
    assert_in_range(taken(25, 10, 10), 98, 101);
    assert_in_range(taken(30, 7, 10), 69, 71);
    assert_int_equal(taken(10, 1, 10), 10);
    double due = 0; /* after a gap no burst */
    assert_true(dv_pace_take(&due, 0, 10));
    assert_true(dv_pace_take(&due, 100, 10));
    assert_false(dv_pace_take(&due, 100.04, 10));
    assert_true(dv_pace_take(&due, 100.12, 10));
}

static void test_lag(void **state)
{
    dv_lag l = {0};
    for (int k = 0; k < 100; k++)
        assert_true(dv_lag_update(&l, 1000 + k * 0.1, k * 0.1) < 1e-9);
    assert_true(fabs(dv_lag_update(&l, 1012, 10) - 2) < 1e-9);
    assert_true(dv_lag_update(&l, 1012.1, 12.1) < 1e-9);
    /* Clocks that drift apart by 0.1 %: an hour later nothing is behind. */
    dv_lag drift = {0};
    for (int k = 0; k < 36000; k++)
        assert_true(dv_lag_update(&drift, k * 0.1, k * 0.0999) < 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_jumps),
        cmocka_unit_test(test_no_stamps), cmocka_unit_test(test_break),
        cmocka_unit_test(test_pace),      cmocka_unit_test(test_lag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
