/* SPDX-License-Identifier: Apache-2.0
 *
 * Figures of a verification against cases worked out by hand and published tables. What a whole
 * evaluation prints is computed again in Python by the test `eval recompute`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "eval/metrics.h"

static void near(double a, double b, double eps)
{
    if (!(fabs(a - b) <= eps))
        fail_msg("%.15g is not %.15g", a, b);
}

static const bool same[8] = {1, 1, 0, 0, 1, 1, 0, 0};
static const double dist[8] = {0.505, 1.205, 1.005, 2.0, 0.705, 0.905, 1.505, 3.0};
static const uint32_t fold[8] = {0, 0, 0, 0, 1, 1, 1, 1};
static const dv_trials eight = {.dist = dist, .same = same, .fold = fold, .n = 8, .folds = 2};

static void test_by_hand(void **state)
{
    (void)state;
    static const double rates[] = {0, 0.25, 0.4, 1};
    dv_metrics m;
    dv_err e = {0};
    assert_int_equal(dv_metrics_make(&eight, rates, 4, NULL, &m, &e), DMV_OK);
    assert_int_equal(m.genuine, 4);
    near(m.accuracy, 0.625, 0);
    near(m.tar[0].tar, 0.75, 0);
    near(m.tar[0].dist, 1.005, 0);
    assert_int_equal(m.tar[0].passed, 0);
    near(m.tar[1].tar, 1, 0);
    near(m.tar[1].dist, 1.505, 0);
    near(m.tar[2].dist, 1.505, 0);
    near(m.tar[3].tar, 1, 0);
    assert_true(isinf(m.tar[3].dist));
    /* 16 couples; 1.205 against 1.005 is the only one in the wrong order */
    near(m.auc, 15.0 / 16, 1e-15);
    /* After 1.005: fmr 1/4, fnmr 1/4 */
    near(m.eer, 0.25, 1e-15);
    near(m.eer_dist, 1.005, 1e-15);
    assert_true(isnan(m.eer_ci.lo));
    /* Fold 0 by fold 1 (1.505, 3.0): the rate 0 holds up to 1.505, so the last threshold that is
     * not above 0.25 is 1.505, where 1.505 itself is not accepted; halfway to 1.506, where the
     * rate is 0.5. Of fold 0 then 0.505 and 1.205 and the impostor 1.005. */
    near(m.tar[1].fold_tar, 1, 0);
    near(m.tar[1].fold_std, 0, 0);
    /* Fold 1 by fold 0 (1.005, 2.0): 1.0055: no impostor of its own. */
    near(m.tar[1].fold_far, (0.5 + 0) / 2, 0);
    dv_roc roc;
    assert_int_equal(dv_roc_make(&eight, &roc, &e), DMV_OK);
    assert_int_equal(roc.n, 9);
    near(roc.fnmr[0], 1, 0);
    near(roc.fmr[8], 1, 0);
    near(roc.fmr[4], 0.25, 0);
    near(roc.fnmr[4], 0.25, 0);
    dv_roc_free(&roc);
}

/* One genuine and one impostor pair at one distance: half a couple in the right order. */
static void test_ties(void **state)
{
    (void)state;
    static const double tied[8] = {0.5, 1, 1, 2, 0.5, 1, 1.5, 2}, far = 0;
    dv_trials t = eight;
    dv_metrics m;
    t.dist = tied;
    assert_int_equal(dv_metrics_make(&t, &far, 1, NULL, &m, NULL), DMV_OK);
    near(m.auc, (16 - 2 * 0.5) / 16, 1e-15);
    near(m.tar[0].tar, 0.5, 0);
    near(m.tar[0].dist, 1, 0);
    /* From (0, 1/2) to (1/4, 0): the line crosses at 1/6. */
    near(m.eer, 1.0 / 6, 1e-15);
    near(m.eer_dist, 0.5 + 0.5 * 2 / 3, 1e-15);
}

/* A rate that every threshold of the grid stays below gives threshold 0, as InsightFace does. */
static void test_never_met(void **state)
{
    (void)state;
    static const double far = 0.9, at4[8] = {0.5, 0.5, 4, 4, 0.5, 0.5, 4, 4};
    dv_trials t = eight;
    dv_metrics m;
    t.dist = at4;
    assert_int_equal(dv_metrics_make(&t, &far, 1, NULL, &m, NULL), DMV_OK);
    near(m.tar[0].fold_tar, 0, 0);
    near(m.eer, 0, 0);
    near(m.auc, 1, 0);
    near(m.accuracy, 1, 0);
}

static void test_unequal_folds(void **state)
{
    (void)state;
    static const double far = 0.5;
    static const uint32_t other[8] = {0, 0, 0, 0, 0, 1, 1, 1};
    dv_trials t = eight;
    dv_metrics m;
    t.fold = other;
    assert_int_equal(dv_metrics_make(&t, &far, 1, NULL, &m, NULL), DMV_OK);
    /* Fold 0 by fold 1 (0.91): of 5 one wrong. Fold 1 by fold 0: 4 of 5 from 0.71 on: 0.905 is
     * refused: 2 of 3. */
    near(m.accuracy, (4.0 / 5 + 2.0 / 3) / 2, 1e-15);
    static const uint32_t lacks[8] = {0, 0, 1, 1, 0, 0, 1, 1};
    t.fold = lacks;
    assert_int_equal(dv_metrics_make(&t, &far, 1, NULL, &m, NULL), DMV_OK);
    assert_true(isnan(m.tar[0].fold_tar));
    near(m.tar[0].tar, 1, 0);
    static const uint32_t empty[8] = {0, 0, 2, 2, 0, 0, 2, 2};
    dv_err e = {0};
    t.fold = empty;
    t.folds = 3;
    assert_int_equal(dv_metrics_make(&t, &far, 1, NULL, &m, &e), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "fold 2 of 3"));
}

static void test_bootstrap(void **state)
{
    (void)state;
    static const double far = 0.25;
    static const uint32_t a[8] = {0, 1, 0, 1, 2, 3, 2, 3}, b[8] = {0, 1, 1, 2, 2, 3, 3, 0};
    dv_bootstrap boot = {200, 7};
    dv_trials t = eight;
    dv_metrics m, again;
    assert_int_equal(dv_metrics_make(&t, &far, 1, &boot, &m, NULL), DMV_OK);
    assert_false(m.by_people);
    assert_true(m.rounds > 150 && m.rounds <= 200);
    assert_true(m.eer_ci.lo <= m.eer && m.eer <= m.eer_ci.hi && m.eer_ci.lo < m.eer_ci.hi);
    assert_int_equal(dv_metrics_make(&t, &far, 1, &boot, &again, NULL), DMV_OK);
    near(m.eer_ci.hi, again.eer_ci.hi, 0);
    t.a = a;
    t.b = b;
    t.people = 4;
    assert_int_equal(dv_metrics_make(&t, &far, 1, &boot, &m, NULL), DMV_OK);
    assert_true(m.by_people);
    /* People that contradict the pairs are not used. */
    t.b = a;
    assert_int_equal(dv_metrics_make(&t, &far, 1, &boot, &m, NULL), DMV_OK);
    assert_false(m.by_people);
    uint64_t s = 0;
    assert_true(dv_splitmix(&s) == 0xE220A8397B1DCDAFu); /* the generator's published start */
}

static void test_clopper_pearson(void **state)
{
    (void)state;
    /* Textbook values. */
    dv_interval i = dv_clopper_pearson(5, 20, 0.95);
    near(i.lo, 0.0865715, 1e-6);
    near(i.hi, 0.4910459, 1e-6);
    i = dv_clopper_pearson(1, 10, 0.95);
    near(i.lo, 0.0025286, 1e-6);
    near(i.hi, 0.4450161, 1e-6);
    i = dv_clopper_pearson(0, 1000, 0.95);
    near(i.lo, 0, 0);
    near(i.hi, 0.0029912, 1e-6); /* the rule of three says 0.003 */
    i = dv_clopper_pearson(1000, 1000, 0.95);
    near(i.lo, 1 - 0.0029912, 1e-6);
    near(i.hi, 1, 0);
    /* Large counts: close to the normal approximation. */
    i = dv_clopper_pearson(10000, 1e7, 0.95);
    near(i.lo, 0.001 - 1.96e-5, 2e-7);
    near(i.hi, 0.001 + 1.96e-5, 2e-7);
    /* The two ends turn round with successes and failures. */
    for (int n = 1; n < 60; n += 7)
        for (int k = 1; k < n; k++) {
            dv_interval p = dv_clopper_pearson(k, n, 0.9), q = dv_clopper_pearson(n - k, n, 0.9);
            near(p.lo, 1 - q.hi, 1e-9);
            assert_true(p.lo < (double)k / n && (double)k / n < p.hi);
        }
    assert_true(isnan(dv_clopper_pearson(1, 0, 0.95).lo));
    assert_true(isnan(dv_clopper_pearson(3, 2, 0.95).lo));
}

static void test_refused(void **state)
{
    (void)state;
    static const double many[DV_MAX_RATES + 1], below = -0.1;
    dv_bootstrap boot = {50, 1};
    dv_metrics m;
    dv_err e = {0};
    double d[8];
    dv_trials t = eight;
    assert_int_equal(dv_metrics_make(&t, many, DV_MAX_RATES + 1, NULL, &m, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_metrics_make(&t, &below, 1, NULL, &m, &e), DMV_ERR_ARGUMENT);
    memcpy(d, dist, sizeof d);
    d[4] = NAN;
    t.dist = d;
    assert_int_equal(dv_metrics_make(&t, many, 1, NULL, &m, &e), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "pair 5"));
    t = eight;
    int failures = 0;
    for (uint64_t n = 1; n < 100; n++) {
        dv_alloc_fail_at(n, false);
        dmv_status s = dv_metrics_make(&t, many, 2, &boot, &m, &e);
        dv_alloc_fail_at(0, false);
        if (!s)
            break;
        assert_int_equal(s, DMV_ERR_MEMORY);
        failures++;
    }
    assert_true(failures >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),   cmocka_unit_test(test_ties),
        cmocka_unit_test(test_never_met), cmocka_unit_test(test_unequal_folds),
        cmocka_unit_test(test_bootstrap), cmocka_unit_test(test_clopper_pearson),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
