/* SPDX-License-Identifier: Apache-2.0
 *
 * The default gate on made-up scenes: what must count as motion and what must not.
 */
#include "scene.h"

#include <math.h>
#include <string.h>

static scene s;
static const float walker_box[4] = {0, 0, 32, 64};

typedef struct figure {
    float box[4];
} figure;

static void empty_room(void)
{
    scene_room(&s);
}

/* frame: where the walker is at that time. */
static figure walker_at(int frame)
{
    figure f = {{20 + 3 * (float)frame, 90, walker_box[2], walker_box[3]}};
    return f;
}

static void draw(const figure *f)
{
    scene_figure(&s, f->box[0], f->box[1], f->box[2], f->box[3]);
}

static dv_motion *gate(void)
{
    dv_motion_options o;
    dv_motion_options_init(&o, DV_MOTION_DOMOVOI);
    o.refresh = 0;
    s.seed = 5;
    return scene_gate(&o);
}

/* The room with noise, until the gate knows it. */
static int quiet_start(dv_motion *m, float noise, int frames)
{
    int went = 0;
    for (int i = 0; i < frames; i++) {
        empty_room();
        scene_noise(&s, noise);
        went += scene_run(&s, m, i * 0.1) == DV_MOTION_GO;
    }
    return went;
}

static void noise_is_no_motion(void **state)
{
    static const float levels[] = {0, 2, 8, 25};
    for (size_t k = 0; k < DV_COUNT(levels); k++) {
        dv_motion *m = gate();
        quiet_start(m, levels[k], 20);
        int went = 0;
        for (int i = 0; i < 200; i++) {
            empty_room();
            scene_noise(&s, levels[k]);
            went += scene_run(&s, m, 2 + i * 0.1) == DV_MOTION_GO;
            assert_true(went || dv_motion_holds(m));
        }
        if (went > 1)
            fail_msg("noise %g: %d of 200 frames went on", (double)levels[k], went);
        dv_motion_close(&m);
    }
}

/* A walker is found in every frame, and his box is kept; a figure that was always there is not. */
static void walker_counts(void **state)
{
    static const float levels[] = {0, 4, 12};
    for (size_t k = 0; k < DV_COUNT(levels); k++) {
        dv_motion *m = gate();
        const figure still = {{240, 40, 32, 64}};
        int went = 0, kept = 0, still_kept = 0, idle = 0;
        for (int i = 0; i < 100; i++) {
            empty_room();
            draw(&still);
            const figure f = walker_at(i - 40);
            if (i >= 40)
                draw(&f);
            scene_noise(&s, levels[k]);
            const dv_motion_verdict v = scene_run(&s, m, i * 0.1);
            if (i < 42) /* his first step into the picture */
                continue;
            went += v == DV_MOTION_GO;
            idle = v == DV_MOTION_GO ? 0 : idle + 1;
            assert_true(idle < 4); /* a few steps may be too small to tell */
            if (v != DV_MOTION_GO)
                continue;
            figure boxes[2] = {still, f};
            const size_t n = dv_motion_filter(m, boxes, sizeof boxes[0], 2);
            kept += n > 0 && boxes[n - 1].box[0] == f.box[0];
            still_kept += n > 0 && boxes[0].box[0] == still.box[0];
        }
        if (went < (levels[k] < 10 ? 45 : 30) || kept < went || still_kept > 0)
            fail_msg("noise %g: %d of 58 went on, %d kept, the still figure %d times",
                     (double)levels[k], went, kept, still_kept);
        dv_motion_close(&m);
    }
}

/* Gain, offset, a lamp: the whole picture. `pixel` and `amphibian` cannot tell that from motion. */
static void light_is_no_motion(void **state)
{
    static const float light[][2] = {{1.25f, 0},  {0.75f, 0}, {1, 25},  {1, -25},
                                     {1.2f, -20}, {0.6f, 30}, {1.4f, 5}};
    for (size_t k = 0; k < DV_COUNT(light); k++)
        for (int slow = 0; slow < 2; slow++) {
            dv_motion *m = gate();
            dv_motion_options o;
            dv_motion_options_init(&o, DV_MOTION_PIXEL);
            o.gate = 60;
            dv_motion *pixel = scene_gate(&o);
            quiet_start(m, 2, 30);
            quiet_start(pixel, 0, 3);
            int went = 0, went_pixel = 0;
            for (int i = 1; i <= 40; i++) {
                const float part = slow ? DV_MIN((float)i / 20, 1) : 1;
                empty_room();
                scene_light(&s, 1 + part * (light[k][0] - 1), part * light[k][1]);
                went_pixel += scene_run(&s, pixel, 3 + i * 0.1) == DV_MOTION_GO;
                scene_noise(&s, 2);
                went += scene_run(&s, m, 3 + i * 0.1) == DV_MOTION_GO;
            }
            if (went > 0 || (!slow && went_pixel == 0))
                fail_msg("light %zu, slow %d: %d frames went on (pixel %d)", k, slow, went,
                         went_pixel);
            /* and a walker in the new light is seen, the rest is not */
            empty_room();
            const figure f = walker_at(20), nothing = {{250, 150, 32, 64}};
            draw(&f);
            scene_light(&s, light[k][0], light[k][1]);
            scene_noise(&s, 2);
            assert_int_equal(scene_run(&s, m, 7.2), DV_MOTION_GO);
            assert_true(dv_motion_keeps(m, f.box));
            assert_false(dv_motion_keeps(m, nothing.box));
            dv_motion_close(&m);
            dv_motion_close(&pixel);
        }
}

/* Somebody comes, stops, and stays: his box is kept for `absorb` seconds, and for ever if he is
 * tracked. Meanwhile nothing goes on. */
static void stopped_is_absorbed(void **state)
{
    for (int tracked = 0; tracked < 2; tracked++) {
        dv_motion_options o;
        dv_motion_options_init(&o, DV_MOTION_DOMOVOI);
        o.absorb = 8;
        o.refresh = 1;
        s.seed = 6;
        dv_motion *m = scene_gate(&o);
        double gone = -1;
        int forced = 0;
        for (int i = 0; i < 400; i++) { /* 10 frames a second; walks from 3 s to 6 s */
            figure f = walker_at(i < 30 ? 0 : i < 60 ? i - 30 : 30);
            empty_room();
            if (i >= 30)
                draw(&f);
            scene_noise(&s, 2);
            const dv_motion_verdict v = scene_run(&s, m, i * 0.1);
            if (i > 60 && v == DV_MOTION_GO)
                forced++;
            if (i > 60 && v == DV_MOTION_GO && gone < 0 && !dv_motion_keeps(m, f.box))
                gone = i * 0.1 - 6;
            if (i > 60 && v == DV_MOTION_STOP)
                assert_true(dv_motion_holds(m));
            dv_motion_tracked(m, &f, sizeof f, tracked && i >= 31);
        }
        if (tracked ? gone >= 0 : gone < 7 || gone > 10)
            fail_msg("tracked %d: gone after %g seconds", tracked, gone);
        assert_true(forced >= 30 && forced <= 36); /* refresh, and little else */
        dv_motion_close(&m);
    }
}

/* Leaves trigger at first, not for ever; a walker in front of the house still does, and is kept. */
static void leaves_cease(void **state)
{
    dv_motion *m = gate();
    int early = 0, late = 0, seen = 0, kept = 0;
    for (int i = 0; i < 500; i++) {
        empty_room();
        scene_leaves(&s, 200, 0, 120, 80);
        const figure f = walker_at(i - 400);
        if (i >= 400 && i < 460)
            draw(&f);
        scene_noise(&s, 2);
        const bool went = scene_run(&s, m, i * 0.1) == DV_MOTION_GO;
        early += went && i >= 1 && i < 30;
        late += went && i >= 200 && i < 400;
        seen += went && i >= 402 && i < 460;
        kept += went && i >= 402 && i < 460 && dv_motion_keeps(m, f.box);
    }
    if (early < 10 || late > 20 || seen < 48 || kept < seen)
        fail_msg("leaves: %d of 29 early, %d of 200 late; walker seen %d times, kept %d", early,
                 late, seen, kept);
    dv_motion_close(&m);
}

static void zones(void **state)
{
    static const float whole[4][2] = {{-5, -5}, {7, -5}, {7, 7}, {-5, 7}},
                       lower[4][2] = {{0, 0.3f}, {1, 0.3f}, {1, 1}, {0, 1}},
                       outside[3][2] = {{2, 2}, {3, 2}, {2, 3}},
                       line[3][2] = {{0, 0}, {1, 1}, {0.5f, 0.5f}};
    static const struct {
        const float (*p)[2];
        size_t n;
        bool sees;
    } cases[] = {{whole, 4, false}, {lower, 4, false}, {outside, 3, true}, {line, 3, true}};
    for (size_t k = 0; k < DV_COUNT(cases); k++)
        for (int when = 0; when < 2; when++) { /* before the first frame, and later */
            dv_motion *m = gate();
            dv_err e = {0};
            if (!when)
                assert_int_equal(dv_motion_ignore(m, cases[k].p, cases[k].n, &e), DMV_OK);
            quiet_start(m, 2, 20);
            if (when)
                assert_int_equal(dv_motion_ignore(m, cases[k].p, cases[k].n, &e), DMV_OK);
            int went = 0;
            for (int i = 0; i < 30; i++) {
                const figure f = walker_at(i);
                empty_room();
                draw(&f);
                scene_noise(&s, 2);
                const dv_motion_verdict v = scene_run(&s, m, 2 + i * 0.1);
                went += v == DV_MOTION_GO;
                if (v == DV_MOTION_GO)
                    assert_int_equal(dv_motion_keeps(m, f.box), cases[k].sees);
            }
            if (cases[k].sees ? went < 22 : went > 0)
                fail_msg("zone %zu: %d of 30 went on", k, went);
            dv_motion_close(&m);
        }
    dv_motion *m = gate();
    dv_err e = {0};
    const float bad[3][2] = {{0, NAN}, {1, 1}, {0, 1}}, far[3][2] = {{0, INFINITY}, {1, 1}, {0, 1}};
    assert_int_equal(dv_motion_ignore(m, bad, 3, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_motion_ignore(m, far, 3, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_motion_ignore(m, whole, 2, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_motion_ignore(m, whole, 65, &e), DMV_ERR_ARGUMENT);
    for (int i = 0; i < 64; i++)
        assert_int_equal(dv_motion_ignore(m, outside, 3, &e), DMV_OK);
    assert_int_equal(dv_motion_ignore(m, outside, 3, &e), DMV_ERR_LIMIT);
    dv_motion_close(&m);
}

static void refresh_and_clocks(void **state)
{
    dv_motion_options o;
    dv_motion_options_init(&o, DV_MOTION_DOMOVOI);
    o.refresh = 2;
    dv_motion *m = scene_gate(&o);
    int went = 0;
    empty_room();
    for (int i = 0; i < 200; i++) /* 20 seconds */
        went += scene_run(&s, m, 1000 + i * 0.1) == DV_MOTION_GO;
    assert_true(went >= 9 && went <= 11);
    dv_motion_close(&m);
    o.refresh = 100;
    m = scene_gate(&o);
    scene_run(&s, m, 0);
    /* back, standing, leaping an hour, none: a short step at most, and no motion */
    const double times[] = {-50, -50, 1e9, NAN, INFINITY, 1e9 + 0.1};
    for (size_t i = 0; i < DV_COUNT(times); i++)
        assert_int_equal(scene_run(&s, m, times[i]), DV_MOTION_STOP);
    dv_motion_close(&m);
}

/* Nothing is allocated once sizes are known. */
static void no_allocations(void **state)
{
    for (int mode = 0; mode < DV_MOTION_MODES; mode++) {
        dv_motion_options o;
        dv_motion_options_init(&o, (dv_motion_mode)mode);
        dv_motion *m = scene_gate(&o);
        for (int i = 0; i < 30; i++) {
            const figure f = walker_at(i);
            empty_room();
            draw(&f);
            const uint64_t before = dv_alloc_count();
            scene_run(&s, m, i * 0.1);
            dv_motion_keeps(m, f.box);
            dv_motion_tracked(m, &f, sizeof f, 1);
            if (i)
                assert_int_equal(dv_alloc_count(), before);
        }
        dv_motion_close(&m);
    }
}

/* The map: where the walker is and nowhere else. */
static void mask(void **state)
{
    static uint8_t out[SCENE_W * SCENE_H];
    dv_motion_options o;
    dv_motion_options_init(&o, DV_MOTION_DOMOVOI);
    o.gate = 0;
    dv_motion *m = scene_gate(&o);
    memset(out, 7, sizeof out);
    dv_motion_mask(m, SCENE_W, SCENE_H, out);
    assert_true(out[0] == 0 && out[sizeof out - 1] == 0); /* nothing is known yet */
    quiet_start(m, 2, 20);
    for (int i = 0; i < 5; i++) {
        const figure f = walker_at(10 + i);
        empty_room();
        draw(&f);
        scene_noise(&s, 2);
        assert_int_equal(scene_run(&s, m, 2 + i * 0.1), DV_MOTION_GO);
        dv_motion_mask(m, SCENE_W, SCENE_H, out);
        int inside = 0, outside = 0;
        for (int y = 0; y < SCENE_H; y++)
            for (int x = 0; x < SCENE_W; x++) {
                const float fx = (float)x, fy = (float)y;
                const bool in = fx >= f.box[0] && fx < f.box[0] + 32 && fy >= 90 && fy < 154,
                           near = fx >= f.box[0] - 20 && fx < f.box[0] + 52 && fy >= 70 && fy < 174;
                inside += in && out[y * SCENE_W + x] == 255;
                outside += !near && out[y * SCENE_W + x] != 0;
            }
        if (inside < 32 * 64 * 9 / 10 || outside > 0)
            fail_msg("%d of %d pixels inside, %d outside", inside, 32 * 64, outside);
    }
    dv_motion_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_is_no_motion),
        cmocka_unit_test(walker_counts),
        cmocka_unit_test(light_is_no_motion),
        cmocka_unit_test(stopped_is_absorbed),
        cmocka_unit_test(leaves_cease),
        cmocka_unit_test(zones),
        cmocka_unit_test(refresh_and_clocks),
        cmocka_unit_test(no_allocations),
        cmocka_unit_test(mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
