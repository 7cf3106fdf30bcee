/* SPDX-License-Identifier: Apache-2.0
 *
 * Figures of boxes worked out by hand, where the protocols differ in particular. Random boxes are
 * computed a second time in test_detect_again.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "eval/detect.h"

static dv_boxes truth, found;

static int fresh(void **state)
{
    (void)state;
    dv_boxes_free(&truth);
    dv_boxes_free(&found);
    return 0;
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12))
        fail_msg("%.15g is not %.15g", got, want);
}

static dv_box *put(dv_boxes *b, uint32_t image, double x, double y, double w, double h)
{
    assert_true(dv_boxes_add(b, &(dv_box){.image = image, .x = x, .y = y, .w = w, .h = h}));
    return &b->v[b->n - 1];
}

static void find(uint32_t image, double x, double y, double w, double h, double score)
{
    put(&found, image, x, y, w, h)->score = score;
}

static dv_detect_result score(uint32_t max_dets)
{
    dv_detect_result r;
    dv_err e = {0};
    if (dv_detect_score(&truth, &found, &(dv_detect_options){1, max_dets}, &r, &e))
        fail_msg("%s", e.msg);
    return r;
}

/* Boxes of 10 x 10: moved by d they overlap by (10 - d) / (10 + d). */
static void test_overlap(void **state)
{
    (void)state;
    dv_box a = {.x = 0, .y = 0, .w = 10, .h = 10}, b = {.x = 2, .y = 0, .w = 10, .h = 10};
    near(dv_box_iou(&a, &b), 80.0 / 120);
    b.x = 10; /* touching */
    near(dv_box_iou(&a, &b), 0);
    b = (dv_box){.x = 3, .y = 3}; /* no area */
    near(dv_box_iou(&a, &b), 0);
    near(dv_box_iou(&b, &b), 0);
    near(dv_box_iou(&a, &a), 1);
}

/* Four boxes, three found, one of them loosely, and one wrong in second place. */
static void test_by_hand(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 4; i++)
        put(&truth, i, 100, 100, 10, 10);
    find(1, 100, 100, 10, 10, 0.9);
    find(1, 300, 300, 10, 10, 0.8);
    find(2, 100, 100, 10, 10, 0.7);
    find(3, 102, 100, 10, 10, 0.6); /* IoU 2/3: right up to .65 */
    dv_detect_result r = score(0);
    /* At .50 .. .65 precision is 1, 1/2, 2/3, 3/4 at recalls 1/4, 1/4, 1/2, 3/4; made falling: 1,
     * 3/4, 3/4, 3/4. Of 101 recalls 0 .. .25 are 26 and to .75 are 50 more. */
    double loose = (26 * 1.0 + 50 * 0.75) / 101;
    /* Above: 1, 1/2, 2/3, 2/4 at 1/4, 1/4, 1/2, 1/2: 26 at 1 and 25 at 2/3. */
    double strict = (26 * 1.0 + 25 * (2.0 / 3)) / 101;
    near(r.mean[DV_MAP50], loose);
    near(r.mean[DV_MAP75], strict);
    near(r.mean[DV_MAP], (4 * loose + 6 * strict) / 10);
    near(r.mean[DV_MAP_SMALL], r.mean[DV_MAP]); /* all are */
    assert_true(isnan(r.mean[DV_MAP_MEDIUM]) && isnan(r.mean[DV_MAP_LARGE]));
    near(r.mean[DV_AR], (4 * 0.75 + 6 * 0.5) / 10);
    near(r.mean[DV_AR1], r.mean[DV_AR]);
    near(r.mean[DV_RECALL50], 0.75);
    /* 11 points: 0, .1, .2 at 1, .3 .. .7 at 3/4, .8 .. 1 at 0. */
    near(r.mean[DV_AP_VOC07], (3 * 1.0 + 5 * 0.75) / 11);
    near(r.mean[DV_AP_VOC10], 0.25 * 1 + 0.5 * 0.75);
    assert_int_equal(r.truths, 4);
    assert_int_equal(r.detections, 4);
    double f1;
    assert_int_equal(dv_pr_best(&r.cls[0].curve, &f1), 3);
    near(f1, 0.75);
    dv_detect_free(&r);
}

/* Recall 3/10 and point 0.3 are one and the same. */
static void test_eleven(void **state)
{
    (void)state;
    for (uint32_t i = 1; i <= 10; i++)
        put(&truth, i, 0, 0, 10, 10);
    for (uint32_t i = 1; i <= 3; i++)
        find(i, 0, 0, 10, 10, 0.9);
    dv_detect_result r = score(0);
    near(r.mean[DV_AP_VOC07], 4.0 / 11); /* 0, .1, .2, .3 */
    near(r.mean[DV_AP_VOC10], 0.3);
    dv_detect_free(&r);
}

/* Two faces side by side; both detections like the first face best. COCO gives the second detection
 * the second face, VOC calls it wrong. */
static void test_second_choice(void **state)
{
    (void)state;
    put(&truth, 1, 0, 0, 10, 10);
    put(&truth, 1, 3, 0, 10, 10);
    find(1, 0, 0, 10, 10, 0.9);
    find(1, 1, 0, 10, 10, 0.8); /* 9/11 with the first, 8/12 with the second */
    dv_detect_result r = score(0);
    near(r.mean[DV_RECALL50], 1);
    near(r.mean[DV_MAP50], 1);
    near(r.mean[DV_AP_VOC10], 0.5);
    near(r.cls[0].curve.precision[1], 0.5);
    dv_detect_free(&r);
}

/* An overlap of exactly a half is enough; of equal overlaps COCO takes the last. */
static void test_edges(void **state)
{
    (void)state;
    put(&truth, 1, 0, 0, 10, 10);
    find(1, 0, 0, 10, 5, 0.9);
    dv_detect_result r = score(0);
    near(r.mean[DV_MAP50], 1);
    near(r.mean[DV_AR], 0.1);
    near(r.mean[DV_AP_VOC10], 1);
    dv_detect_free(&r);
    found.v[0].h = 4.99;
    r = score(0);
    near(r.mean[DV_MAP50], 0);
    near(r.mean[DV_AP_VOC10], 0);
    dv_detect_free(&r);
    fresh(NULL);
    put(&truth, 1, 0, 0, 10, 10);
    put(&truth, 1, 4, 0, 10, 10);
    find(1, 2, 0, 10, 10, 0.9);  /* 8/12 with both */
    find(1, -1, 0, 10, 10, 0.8); /* near the first only */
    r = score(0);
    near(r.mean[DV_RECALL50], 1);
    dv_detect_free(&r);
}

/* Ignored truth: COCO lets it take one detection, VOC any number; real truth goes first even if
 * the ignored box fits better. */
static void test_ignored(void **state)
{
    (void)state;
    put(&truth, 1, 0, 0, 10, 10);
    put(&truth, 1, 100, 0, 10, 10)->flags = DV_BOX_IGNORE;
    find(1, 100, 0, 10, 10, 0.9);
    find(1, 100, 0, 10, 10, 0.8);
    find(1, 0, 0, 10, 10, 0.7);
    dv_detect_result r = score(0);
    near(r.mean[DV_MAP50], 0.5); /* one wrong before the hit */
    near(r.mean[DV_AP_VOC10], 1);
    assert_int_equal(r.truths, 1);
    assert_int_equal(r.ignored, 1);
    assert_int_equal(r.cls[0].curve.n, 1);
    dv_detect_free(&r);
    truth.v[1].flags = DV_BOX_CROWD; /* takes both */
    r = score(0);
    near(r.mean[DV_MAP50], 1);
    dv_detect_free(&r);
    truth.v[1].flags = 0; /* counts: two truths, hit, wrong, hit */
    r = score(0);
    near(r.mean[DV_MAP50], (51 * 1.0 + 50 * (2.0 / 3)) / 101);
    dv_detect_free(&r);
    fresh(NULL);
    put(&truth, 1, 0, 0, 10, 10)->flags = DV_BOX_IGNORE;
    put(&truth, 1, 3, 0, 10, 10);
    find(1, 0, 0, 10, 10, 0.9); /* 7/13 with the real one */
    r = score(0);
    near(r.mean[DV_RECALL50], 1);
    near(r.mean[DV_MAP75], 0);
    near(r.mean[DV_AP_VOC10], 0); /* VOC: the nearest is the ignored one */
    dv_detect_free(&r);
}

/* A small detection in a large crowd: all of it is inside. */
static void test_crowd(void **state)
{
    (void)state;
    put(&truth, 1, 0, 0, 500, 500)->flags = DV_BOX_CROWD;
    put(&truth, 1, 600, 0, 10, 10);
    for (int i = 0; i < 5; i++)
        find(1, 20 * i, 20, 10, 10, 0.9);
    find(1, 600, 0, 10, 10, 0.5);
    dv_detect_result r = score(0);
    near(r.mean[DV_MAP], 1);
    near(r.mean[DV_AP_VOC10], 1.0 / 6); /* VOC knows no crowds */
    dv_detect_free(&r);
}

/* What is large does not count as small, nor do large detections on nothing. */
static void test_sizes(void **state)
{
    (void)state;
    put(&truth, 1, 0, 0, 20, 20);
    put(&truth, 1, 100, 0, 50, 50);
    put(&truth, 1, 200, 0, 100, 100);
    put(&truth, 1, 400, 0, 20, 20)->area = 5000; /* its outline says so: medium */
    find(1, 600, 0, 200, 200, 0.95);             /* wrong, and large */
    find(1, 0, 0, 20, 20, 0.9);
    find(1, 100, 0, 50, 50, 0.8);
    dv_detect_result r = score(0);
    near(r.mean[DV_MAP_SMALL], 1);
    near(r.mean[DV_MAP_MEDIUM], 51.0 / 101); /* one of two */
    near(r.mean[DV_MAP_LARGE], 0);
    near(r.mean[DV_AR_SMALL], 1);
    near(r.mean[DV_AR_MEDIUM], 0.5);
    near(r.mean[DV_AR_LARGE], 0);
    near(r.mean[DV_AR], 0.5);
    near(r.mean[DV_AR1], 0); /* the best of the picture is wrong */
    dv_detect_free(&r);
}

/* Of equal scores the lower picture comes first, then the order of the list. */
static void test_ties_and_limit(void **state)
{
    (void)state;
    put(&truth, 1, 0, 0, 10, 10);
    find(2, 0, 0, 10, 10, 0.5);
    find(1, 0, 0, 10, 10, 0.5);
    dv_detect_result r = score(0);
    near(r.mean[DV_MAP50], 1);
    near(r.mean[DV_AP_VOC10], 1);
    dv_detect_free(&r);
    found.v[0].image = 1;
    found.v[0].x = 50;
    r = score(0);
    near(r.mean[DV_MAP50], 0.5);
    dv_detect_free(&r);
    r = score(1); /* the second is not looked at */
    near(r.mean[DV_MAP50], 0);
    near(r.mean[DV_AP_VOC10], 0.5);
    dv_detect_free(&r);
    found.n = 0;
    r = score(0);
    near(r.mean[DV_MAP], 0);
    near(r.mean[DV_AR], 0);
    near(r.mean[DV_AP_VOC07], 0);
    dv_detect_free(&r);
    truth.n = 0;
    r = score(0);
    assert_true(isnan(r.mean[DV_MAP]) && isnan(r.mean[DV_AP_VOC10]) && isnan(r.nme));
    dv_detect_free(&r);
}

static void test_classes(void **state)
{
    (void)state;
    dv_detect_result r;
    dv_err e = {0};
    put(&truth, 1, 0, 0, 10, 10)->cls = 2;
    put(&truth, 1, 0, 0, 10, 10)->cls = 0;
    find(1, 0, 0, 10, 10, 0.9);
    found.v[0].cls = 2;
    find(1, 0, 0, 10, 10, 0.9);
    found.v[1].cls = 1; /* has no truth: counts nowhere */
    assert_int_equal(dv_detect_score(&truth, &found, &(dv_detect_options){3, 0}, &r, &e), DMV_OK);
    near(r.mean[DV_MAP], 0.5);
    near(r.cls[2].v[DV_MAP], 1);
    near(r.cls[0].v[DV_MAP], 0);
    assert_true(isnan(r.cls[1].v[DV_MAP]));
    assert_int_equal(r.cls[1].detections, 1);
    dv_detect_free(&r);
    assert_int_equal(dv_detect_score(&truth, &found, &(dv_detect_options){2, 0}, &r, &e),
                     DMV_ERR_ARGUMENT);
    assert_int_equal(dv_detect_score(&truth, &found, &(dv_detect_options){0, 0}, &r, &e),
                     DMV_ERR_ARGUMENT);
}

/* A video with one thing that moves and one that stands: the caller ignores the latter. */
static void test_moving_only(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        put(&truth, i, 10 * i, 0, 40, 80)->track = 1;
        put(&truth, i, 500, 0, 40, 80)->track = 2;
        find(i, 10 * i, 0, 40, 80, 0.6);
        if (i % 2)
            find(i, 500, 0, 40, 80, 0.9); /* harmless */
    }
    dv_detect_result r = score(0);
    near(r.mean[DV_RECALL50], 0.75);
    dv_detect_free(&r);
    for (size_t i = 0; i < truth.n; i++)
        if (truth.v[i].track == 2)
            truth.v[i].flags = DV_BOX_IGNORE;
    r = score(0);
    near(r.mean[DV_RECALL50], 1);
    near(r.mean[DV_MAP50], 1);
    near(r.mean[DV_MAP], 1);
    dv_detect_free(&r);
}

static void test_points(void **state)
{
    (void)state;
    dv_box *t = put(&truth, 1, 0, 0, 40, 90); /* size 60 */
    t->flags = DV_BOX_POINTS;
    dv_box *u = put(&truth, 2, 0, 0, 40, 90);
    u->flags = DV_BOX_POINTS;
    put(&truth, 3, 0, 0, 40, 90); /* no points */
    for (uint32_t i = 1; i <= 3; i++) {
        find(i, 0, 0, 40, 90, 0.9);
        found.v[i - 1].flags = DV_BOX_POINTS;
    }
    for (int k = 0; k < 5; k++) {
        found.v[0].points[k][0] = 3; /* 3, 4: off by 5 */
        found.v[0].points[k][1] = 4;
    }
    found.v[1].points[2][0] = 60; /* one point off by 60: mean 12 */
    dv_detect_result r = score(0);
    assert_int_equal(r.nme_faces, 2);
    near(r.nme, (5.0 / 60 + 12.0 / 60) / 2);
    near(r.nme_over, 0.5);
    dv_detect_free(&r);
}

/* One picture, three faces of which the third is not in the subset; scores of .2 to 1 are stretched
 * to 0 to 1. */
static void test_wider(void **state)
{
    (void)state;
    uint8_t keep[3] = {1, 1, 0};
    double ap;
    dv_pr_curve c;
    dv_err e = {0};
    put(&truth, 0, 0, 0, 20, 20);
    put(&truth, 0, 100, 0, 20, 20);
    put(&truth, 0, 200, 0, 20, 20);
    find(0, 200, 0, 20, 20, 1.0); /* counts neither way */
    find(0, 0, 0, 20, 20, 0.91);  /* 0.8875: from step 113 on, 1 - 113/1000 */
    find(0, 0, 0, 20, 20, 0.61);  /* 0.5125: again the same face: a proposal for nothing */
    find(0, 100, 0, 20, 20, 0.2); /* 0: at the last step */
    assert_int_equal(dv_wider_score(&truth, keep, &found, &ap, &c, &e), DMV_OK);
    assert_int_equal(c.n, 1000);
    near(c.recall[111], 0);
    near(c.precision[111], 0);
    near(c.recall[112], 0.5);
    near(c.precision[112], 1);
    near(c.precision[486], 1);
    near(c.precision[487], 0.5);
    near(c.recall[999], 1);
    near(c.precision[999], 2.0 / 3);
    near(ap, 0.5 * 1 + 0.5 * (2.0 / 3));
    dv_pr_curve_free(&c);
    /* One pixel is added to each side: 9 x 9 inside 13 x 13 is 100/196, over a half; as drawn it
     * would be 81/169. */
    fresh(NULL);
    put(&truth, 0, 0, 0, 13, 13);
    find(0, 0, 0, 9, 9, 0.9);
    find(7, 0, 0, 9, 9, 0.95); /* a picture without truth is left out */
    assert_int_equal(dv_wider_score(&truth, keep, &found, &ap, NULL, &e), DMV_OK);
    near(ap, 1);
    keep[0] = 0;
    assert_int_equal(dv_wider_score(&truth, keep, &found, &ap, NULL, &e), DMV_OK);
    assert_true(isnan(ap));
}

static void test_refused(void **state)
{
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    dv_detect_result r;
    dv_err e = {0};
    double ap;
    uint8_t keep[2] = {1, 1};
    put(&truth, 1, 0, 0, 10, 10);
    find(1, 0, 0, 10, 10, 0.9);
    for (size_t i = 0; i < DV_COUNT(bad) * 3; i++) {
        dv_box was = found.v[0], *b = &found.v[0];
        *(i % 3 == 0 ? &b->score : i % 3 == 1 ? &b->x : &b->h) = bad[i / 3];
        assert_int_equal(dv_detect_score(&truth, &found, &(dv_detect_options){1, 0}, &r, &e),
                         DMV_ERR_ARGUMENT);
        assert_non_null(strstr(e.msg, "detection 1"));
        assert_int_equal(dv_wider_score(&truth, keep, &found, &ap, NULL, &e), DMV_ERR_ARGUMENT);
        *b = was;
    }
    truth.v[0].w = -1;
    assert_int_equal(dv_detect_score(&truth, &found, &(dv_detect_options){1, 0}, &r, &e),
                     DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "truth box 1"));
    truth.v[0].w = 1;
    for (int i = 0; i <= DV_DETECT_MAX_BOXES; i++)
        find(3, 0, 0, 1, 1, 0.5);
    assert_int_equal(dv_detect_score(&truth, &found, &(dv_detect_options){1, 0}, &r, &e),
                     DMV_ERR_LIMIT);
    assert_non_null(strstr(e.msg, "picture 3"));
    assert_int_equal(dv_wider_score(&truth, keep, &found, &ap, NULL, &e), DMV_ERR_LIMIT);
    found.n = 6000;
    for (int i = 0; i < 6000; i++)
        put(&truth, 3, 0, 0, 1, 1);
    assert_int_equal(dv_detect_score(&truth, &found, &(dv_detect_options){1, 6000}, &r, &e),
                     DMV_ERR_LIMIT);
    assert_non_null(strstr(e.msg, "picture 3"));
}

static void test_memory(void **state)
{
    (void)state;
    dv_detect_result r;
    dv_err e = {0};
    dv_pr_curve c;
    uint8_t keep[40];
    double ap;
    memset(keep, 1, sizeof keep);
    for (uint32_t i = 0; i < 40; i++) {
        put(&truth, i / 4, i, i, 10 + i, 10);
        find(i / 4, i, i, 11 + i, 10, i / 40.0);
    }
    int failures = 0, both = 0;
    for (uint64_t n = 1; n < 100; n++) {
        dv_alloc_fail_at(n, false);
        dmv_status s = dv_detect_score(&truth, &found, &(dv_detect_options){1, 0}, &r, &e);
        dv_alloc_fail_at(0, false);
        if (!s)
            dv_detect_free(&r);
        else
            assert_int_equal(s, DMV_ERR_MEMORY);
        dv_alloc_fail_at(n, false);
        dmv_status w = dv_wider_score(&truth, keep, &found, &ap, &c, &e);
        dv_alloc_fail_at(0, false);
        if (!w)
            dv_pr_curve_free(&c);
        else
            assert_int_equal(w, DMV_ERR_MEMORY);
        failures += (s != DMV_OK) + (w != DMV_OK);
        both += !s && !w;
    }
    assert_true(failures >= 18 && both > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_overlap, fresh),
        cmocka_unit_test_setup(test_by_hand, fresh),
        cmocka_unit_test_setup(test_eleven, fresh),
        cmocka_unit_test_setup(test_second_choice, fresh),
        cmocka_unit_test_setup(test_edges, fresh),
        cmocka_unit_test_setup(test_ignored, fresh),
        cmocka_unit_test_setup(test_crowd, fresh),
        cmocka_unit_test_setup(test_sizes, fresh),
        cmocka_unit_test_setup(test_ties_and_limit, fresh),
        cmocka_unit_test_setup(test_classes, fresh),
        cmocka_unit_test_setup(test_moving_only, fresh),
        cmocka_unit_test_setup(test_points, fresh),
        cmocka_unit_test_setup(test_wider, fresh),
        cmocka_unit_test_setup(test_refused, fresh),
        cmocka_unit_test_setup_teardown(test_memory, fresh, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
