/* SPDX-License-Identifier: Apache-2.0
 *
 * Accuracy and true-accept rates: cases worked out by hand, and random ones computed again
 * the slow way (every threshold against every pair, no sorting).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "eval/eval.h"

static void near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-12))
        fail_msg("%.15g is not %.15g", a, b);
}

/* Two folds of four: (same, distance). */
static void test_by_hand(void **state)
{
    (void)state;
    dv_pair pair[8];
    static const int same[8] = {1, 1, 0, 0, 1, 1, 0, 0};
    static const double dist[8] = {0.505, 1.205, 1.005, 2.0, 0.705, 0.905, 1.505, 3.0};
    for (int i = 0; i < 8; i++)
        pair[i] = (dv_pair){0, 1, same[i] != 0};
    dv_pairs p = {.pair = pair, .n = 8, .folds = 2};
    dv_verify_result r;
    dv_err e = {0};
    assert_int_equal(dv_verify_score(&p, dist, &r, &e), DMV_OK);
    /* Fold 0 is judged by fold 1: all right from 0.91 on: in fold 0 then 0.505 yes, 1.205 no
     * (wrong), 1.005 no, 2.0 no: 3 of 4. Fold 1 by fold 0: the best there is 3 of 4, first at
     * 0.51: 0.705 and 0.905 refused (wrong): 2 of 4. */
    near(r.accuracy, (0.75 + 0.5) / 2);
    near(r.std, 0.125);
    near(r.threshold, (0.91 + 0.51) / 2);
    /* floor(0.01 * 4) = 0: the nearest impostor, 1.005: three of four are below. */
    near(r.tar_1e2, 0.75);
    near(r.tar_1e3, 0.75);
    near(dv_tar_at_far(&p, dist, 0.25), 1.0); /* t = 1.505 */
    near(dv_far_distance(&p, dist, 0.25), 1.505);
    near(dv_far_distance(&p, dist, 0.49), 1.505);
    near(dv_far_distance(&p, dist, 0.5), 2.0);
    near(dv_tar_at_far(&p, dist, 1.0), 1.0);
    assert_true(isnan(dv_tar_at_far(&p, dist, -0.1)));
}

/* A distance of exactly t is refused. */
static void test_strict(void **state)
{
    (void)state;
    dv_pair pair[4] = {{0, 1, true}, {0, 1, false}, {0, 1, true}, {0, 1, false}};
    static const double dist[4] = {1.0, 1.0, 0.5, 2.0};
    dv_pairs p = {.pair = pair, .n = 4, .folds = 2};
    near(dv_tar_at_far(&p, dist, 0), 0.5);
    dv_verify_result r;
    assert_int_equal(dv_verify_score(&p, dist, &r, NULL), DMV_OK);
    /* Fold 0 by fold 1 (first all-right threshold 0.51): 1.0 refused, 1.0 refused: half.
     * Fold 1 by fold 0: half right at every threshold, so the first, 0.00: half. */
    near(r.accuracy, 0.5);
    near(r.std, 0);
    near(r.threshold, 0.51 / 2);
}

static uint32_t rnd(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return *s >> 8;
}

static int decide(double d, int step)
{
    return d < step * 0.01;
}

static void again(const dv_pairs *p, const double *dist, dv_verify_result *out)
{
    size_t per = p->n / p->folds;
    double acc[16], total = 0, t = 0;
    for (size_t f = 0; f < p->folds; f++) {
        long best = -1;
        int at = 0;
        for (int step = 399; step >= 0; step--) { /* from above, so >= finds the first */
            long ok = 0;
            for (size_t i = 0; i < p->n; i++)
                if (i / per != f)
                    ok += decide(dist[i], step) == (p->pair[i].same ? 1 : 0);
            if (ok >= best) {
                best = ok;
                at = step;
            }
        }
        long ok = 0;
        for (size_t i = f * per; i < (f + 1) * per; i++)
            ok += decide(dist[i], at) == (p->pair[i].same ? 1 : 0);
        acc[f] = (double)ok / (double)per;
        total += acc[f];
        t += at * 0.01;
    }
    out->accuracy = total / (double)p->folds;
    double v = 0;
    for (size_t f = 0; f < p->folds; f++)
        v += pow(acc[f] - out->accuracy, 2) / (double)p->folds;
    out->std = sqrt(v);
    out->threshold = t / (double)p->folds;
}

/* By counting: t is the impostor with exactly k nearer ones (ties: at most k nearer, more
 * than k at or below). */
static double tar_again(const dv_pairs *p, const double *dist, size_t k)
{
    for (size_t i = 0; i < p->n; i++) {
        size_t nearer = 0, upto = 0, genuine = 0, ok = 0;
        if (p->pair[i].same)
            continue;
        for (size_t j = 0; j < p->n; j++) {
            if (p->pair[j].same) {
                genuine++;
                ok += dist[j] < dist[i];
            } else {
                nearer += dist[j] < dist[i];
                upto += dist[j] <= dist[i];
            }
        }
        if (nearer <= k && k < upto)
            return (double)ok / (double)genuine;
    }
    return NAN;
}

static void test_random(void **state)
{
    (void)state;
    uint32_t seed = 5;
    static dv_pair pair[400];
    static double dist[400];
    for (int k = 0; k < 30; k++) {
        size_t folds = 2 + rnd(&seed) % 9, n = folds * (4 + rnd(&seed) % 36), impostors = 0;
        for (size_t i = 0; i < n; i++) {
            pair[i] = (dv_pair){0, 1, rnd(&seed) % 2 == 0};
            impostors += !pair[i].same;
            double d = (double)(rnd(&seed) % 3000) / 1000 + (pair[i].same ? 0 : 0.9);
            dist[i] = k % 2 ? fmin(d, 4) : round(d * 20) / 20; /* many ties */
        }
        if (!impostors || impostors == n)
            continue;
        dv_pairs p = {.pair = pair, .n = n, .folds = folds};
        dv_verify_result r, want;
        dv_err e = {0};
        assert_int_equal(dv_verify_score(&p, dist, &r, &e), DMV_OK);
        again(&p, dist, &want);
        near(r.accuracy, want.accuracy);
        near(r.std, want.std);
        near(r.threshold, want.threshold);
        near(r.tar_1e2, tar_again(&p, dist, impostors / 100));
        near(r.tar_1e3, tar_again(&p, dist, impostors / 1000));
        for (size_t m = 0; m < impostors; m++)
            near(dv_tar_at_far(&p, dist, (double)m / (double)impostors), tar_again(&p, dist, m));
    }
}

static void test_refused(void **state)
{
    (void)state;
    dv_pair pair[6] = {{0, 1, true},  {0, 1, false}, {0, 1, true},
                       {0, 1, false}, {0, 1, true},  {0, 1, false}};
    double dist[6] = {1, 2, 1, 2, 1, 2};
    dv_pairs p = {.pair = pair, .n = 6, .folds = 2};
    dv_verify_result r;
    dv_err e = {0};
    assert_int_equal(dv_verify_score(&p, dist, &r, &e), DMV_OK);
    near(r.accuracy, 1);
    p.folds = 4;
    assert_int_equal(dv_verify_score(&p, dist, &r, &e), DMV_ERR_ARGUMENT);
    p.folds = 1;
    assert_int_equal(dv_verify_score(&p, dist, &r, &e), DMV_ERR_ARGUMENT);
    p.folds = 3;
    static const double bad[] = {-0.1, 4.1, NAN, INFINITY};
    for (size_t i = 0; i < DV_COUNT(bad); i++) {
        dist[4] = bad[i];
        assert_int_equal(dv_verify_score(&p, dist, &r, &e), DMV_ERR_ARGUMENT);
        assert_non_null(strstr(e.msg, "pair 5"));
    }
    dist[4] = 4;
    assert_int_equal(dv_verify_score(&p, dist, &r, &e), DMV_OK);
    for (int i = 0; i < 6; i++)
        pair[i].same = true;
    assert_int_equal(dv_verify_score(&p, dist, &r, &e), DMV_ERR_ARGUMENT);
    for (int i = 0; i < 6; i++)
        pair[i].same = i % 2 == 0;
    int failures = 0;
    for (uint64_t n = 1; n < 20; n++) {
        dv_alloc_fail_at(n, false);
        dmv_status s = dv_verify_score(&p, dist, &r, &e);
        dv_alloc_fail_at(0, false);
        if (s == DMV_OK)
            break;
        assert_int_equal(s, DMV_ERR_MEMORY);
        failures++;
    }
    assert_true(failures >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
