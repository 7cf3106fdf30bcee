/* SPDX-License-Identifier: Apache-2.0
 *
 * Axes of charts: normal deviates, round ranges, ticks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "plot/scale.h"

static void near(double a, double b, double eps)
{
    if (!(fabs(a - b) <= eps))
        fail_msg("%.15g is not %.15g", a, b);
}

static void test_probit(void **state)
{
    (void)state;
    /* Tables of the normal distribution. */
    near(dv_probit(0.5), 0, 1e-15);
    near(dv_probit(0.975), 1.959963984540054, 1e-12);
    near(dv_probit(0.001), -3.090232306167814, 1e-12);
    near(dv_probit(1e-5), -4.264890793922825, 1e-12);
    near(dv_probit(0.999), 3.090232306167814, 1e-12);
    for (double p = 1e-300; p < 0.5; p *= 1.7) {
        near(0.5 * erfc(-dv_probit(p) / M_SQRT2) / p, 1, 1e-9);
        if (p > 1e-9)
            near(dv_probit(1 - p), -dv_probit(p), 1e-6);
    }
    assert_true(isfinite(dv_probit(5e-324)));
}

static void test_shows(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        assert_false(dv_scale_shows((dv_scale)k, NAN));
        assert_false(dv_scale_shows((dv_scale)k, INFINITY));
        assert_false(dv_scale_shows((dv_scale)k, -INFINITY));
        assert_true(dv_scale_shows((dv_scale)k, 0.5));
    }
    assert_true(dv_scale_shows(DV_SCALE_LINEAR, -3));
    assert_false(dv_scale_shows(DV_SCALE_LOG, 0));
    assert_false(dv_scale_shows(DV_SCALE_LOG, -1));
    assert_false(dv_scale_shows(DV_SCALE_PROBIT, 0));
    assert_false(dv_scale_shows(DV_SCALE_PROBIT, 1));
}

/* The labels in one line, "10" and its exponent joined by ^. */
static const char *labels(dv_scale kind, double lo, double hi, bool whole)
{
    static char out[2048];
    dv_tick t[DV_MAX_TICKS];
    dv_axis a;
    size_t n, at = 0;

    dv_axis_set(&a, kind, lo, hi);
    n = dv_axis_ticks(&a, 6, whole, t);
    out[0] = 0;
    for (size_t i = 0; i < n; i++)
        if (t[i].major)
            at += (size_t)snprintf(out + at, sizeof out - at, "%s%s%s%s", at ? " " : "", t[i].text,
                                   t[i].raised[0] ? "^" : "", t[i].raised);
    return out;
}

#define M "\xe2\x88\x92" /* minus */

static void test_labels(void **state)
{
    (void)state;
    assert_string_equal(labels(DV_SCALE_LINEAR, 0, 1, false), "0.0 0.2 0.4 0.6 0.8 1.0");
    assert_string_equal(labels(DV_SCALE_LINEAR, -0.4, 1, false),
                        M "0.4 " M "0.2 0.0 0.2 0.4 0.6 0.8 1.0");
    assert_string_equal(labels(DV_SCALE_LINEAR, 0.95, 1, false), "0.95 0.96 0.97 0.98 0.99 1.00");
    assert_string_equal(labels(DV_SCALE_LINEAR, 1, 20, true), "1 5 10 15 20");
    assert_string_equal(labels(DV_SCALE_LINEAR, 1, 3, true), "1 2 3");
    assert_string_equal(labels(DV_SCALE_LINEAR, 0, 3000, true), "0 500 1000 1500 2000 2500 3000");
    assert_string_equal(labels(DV_SCALE_LOG, 1e-5, 1, false),
                        "10^" M "5 10^" M "4 10^" M "3 10^" M "2 10^" M "1 10^0");
    assert_string_equal(labels(DV_SCALE_LOG, 1e-3, 1, false), "0.001 0.01 0.1 1");
    assert_string_equal(labels(DV_SCALE_LOG, 1, 10, false), "1 2 5 10");
    assert_string_equal(labels(DV_SCALE_PROBIT, 1e-5, 0.5, false), "0.001 0.01 0.1 1 5 20 50");
    assert_string_equal(labels(DV_SCALE_PROBIT, 0.5, 0.999, false), "50 80 95 99 99.9");
}

/* A decade has eight fine lines between its ends. */
static void test_fine(void **state)
{
    (void)state;
    dv_tick t[DV_MAX_TICKS];
    dv_axis a;
    size_t n, fine = 0;

    dv_axis_set(&a, DV_SCALE_LOG, 1e-4, 1);
    n = dv_axis_ticks(&a, 6, false, t);
    for (size_t i = 0; i < n; i++)
        fine += !t[i].major;
    assert_int_equal(n - fine, 5);
    assert_int_equal(fine, 32);
    near(t[1].at, log10(2) / 4, 1e-12);
    near(dv_axis_at(&a, 1e-3), 0.25, 1e-12);
    dv_axis_set(&a, DV_SCALE_PROBIT, 0.1, 0.9);
    near(dv_axis_at(&a, 0.5), 0.5, 1e-12);
}

static void rounded(dv_scale kind, double lo, double hi, bool tight, double want_lo, double want_hi)
{
    dv_axis_round(kind, &lo, &hi, 6, tight);
    near(lo, want_lo, fabs(want_lo) * 1e-12);
    near(hi, want_hi, fabs(want_hi) * 1e-12);
}

static void test_round(void **state)
{
    (void)state;
    rounded(DV_SCALE_LINEAR, 0.913, 0.998, false, 0.90, 1.0);
    rounded(DV_SCALE_LINEAR, 0.16, 1, false, 0, 1);
    rounded(DV_SCALE_LINEAR, 1, 20, true, 1, 20);
    rounded(DV_SCALE_LINEAR, 5, 5, true, 4.5, 5.5);
    rounded(DV_SCALE_LINEAR, 0, 0, true, -0.5, 0.5);
    rounded(DV_SCALE_LOG, 3e-5, 0.7, false, 1e-5, 1);
    rounded(DV_SCALE_LOG, 1e-3, 1e-1, false, 1e-3, 1e-1);
    rounded(DV_SCALE_LOG, 0.1, 0.1, false, 0.01, 1);
    rounded(DV_SCALE_PROBIT, 0.0003, 0.3, false, 0.0001, 0.5);
    rounded(DV_SCALE_LINEAR, INFINITY, -INFINITY, false, 0, 1);
    rounded(DV_SCALE_LOG, INFINITY, -INFINITY, false, 1e-3, 1);
    rounded(DV_SCALE_PROBIT, INFINITY, -INFINITY, false, 1e-3, 0.5);
}

static uint64_t seed = 7;

static double draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) / 9007199254740992.0;
}

/* Ranges of every size: an axis that holds its data, with ticks in order and on the axis, and
 * never two labels that read the same. */
static void test_any_range(void **state)
{
    (void)state;
    for (int round = 0; round < 60000; round++) {
        dv_scale kind = (dv_scale)(round % 3);
        bool tight = draw() < 0.5, whole = draw() < 0.2;
        int steps = 2 + (int)(draw() * 8);
        double at, lo, hi, size;
        dv_tick t[DV_MAX_TICKS];
        dv_axis a;
        size_t n, major = 0, last = 0;

        if (kind == DV_SCALE_PROBIT) {
            double p = pow(10, -300 * pow(draw(), 6)) * 0.999999;
            double q = draw() < 0.5 ? p : p + (0.9999999 - p) * draw();
            lo = DV_MIN(p, q);
            hi = DV_MAX(p, q);
        } else {
            size = pow(10, (draw() - 0.5) * (round % 2 ? 20 : 598));
            at = (draw() - 0.5) * (draw() < 0.5 ? 0 : size * 1e5);
            lo = at + (draw() - 0.5) * size;
            hi = draw() < 0.1 ? lo : lo + draw() * size;
            if (kind == DV_SCALE_LOG) {
                lo = DV_MAX(fabs(lo), 1e-300);
                hi = DV_MAX(fabs(hi), lo);
            }
        }
        if (!dv_scale_shows(kind, lo) || !dv_scale_shows(kind, hi))
            continue;
        double a_lo = lo, a_hi = hi;
        dv_axis_round(kind, &a_lo, &a_hi, steps, tight);
        if (!(a_lo < a_hi))
            fail_msg("%d: %.17g..%.17g became %.17g..%.17g", kind, lo, hi, a_lo, a_hi);
        if (a_lo > lo + fabs(lo) * 1e-9 || a_hi < hi - fabs(hi) * 1e-9)
            fail_msg("%d: %.17g..%.17g is not in %.17g..%.17g", kind, lo, hi, a_lo, a_hi);
        dv_axis_set(&a, kind, a_lo, a_hi);
        assert_true(a.t1 > a.t0);
        n = dv_axis_ticks(&a, steps, whole, t);
        assert_true(n <= DV_MAX_TICKS);
        for (size_t i = 0; i < n; i++) {
            if (!(t[i].at > -1e-6 && t[i].at < 1 + 1e-6))
                fail_msg("%d: %.17g..%.17g: a tick at %.17g", kind, a_lo, a_hi, t[i].at);
            assert_true(i == 0 || t[i].at > t[i - 1].at);
            assert_true(t[i].major == (t[i].text[0] != 0));
            if (!t[i].major)
                continue;
            if (major++ && !strcmp(t[i].text, t[last].text) && !strcmp(t[i].raised, t[last].raised))
                fail_msg("%d: %.17g..%.17g: twice %s", kind, a_lo, a_hi, t[i].text);
            last = i;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probit), cmocka_unit_test(test_shows),
        cmocka_unit_test(test_labels), cmocka_unit_test(test_fine),
        cmocka_unit_test(test_round),  cmocka_unit_test(test_any_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
