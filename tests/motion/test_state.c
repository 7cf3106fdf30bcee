/* SPDX-License-Identifier: Apache-2.0
 *
 * What a gate learned goes out and comes back: the same decisions afterwards; damage is refused and
 * changes nothing; failing allocations lose nothing.
 */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

static scene s;

static void scene_at(int i)
{
    scene_room(&s);
    scene_leaves(&s, 240, 0, 80, 60);
    if (i % 50 > 25)
        scene_figure(&s, 10 + 4 * (float)(i % 50), 100, 32, 64);
    if (i > 60 && i < 90)
        scene_figure(&s, 200, 160, 32, 64);
    scene_noise(&s, 3);
}

static dv_motion *opened(int mode)
{
    dv_motion_options o;
    dv_motion_options_init(&o, (dv_motion_mode)mode);
    if (mode == DV_MOTION_AMPHIBIAN)
        o.gate = o.box = 0.15f;
    if (mode == DV_MOTION_PIXEL)
        o.gate = o.box = 1500;
    dv_motion *m = scene_gate(&o); /* which forget the leaves */
    const float tree[4][2] = {{0.7f, -1}, {2, -1}, {2, 0.3f}, {0.7f, 0.3f}};
    dv_err e = {0};
    assert_int_equal(dv_motion_ignore(m, tree, 4, &e), DMV_OK);
    return m;
}

static void saved(const dv_motion *m, dv_buf *b)
{
    dv_err e = {0};
    if (dv_motion_save(m, b, &e))
        fail_msg("%s", e.msg);
}

static void same_map(const dv_motion *a, const dv_motion *b)
{
    int w[2], h[2];
    float x[2], y[2], t[2];
    const float *p = dv_motion_map(a, &w[0], &h[0], &x[0], &y[0], &t[0]),
                *q = dv_motion_map(b, &w[1], &h[1], &x[1], &y[1], &t[1]);
    assert_true(w[0] == w[1] && h[0] == h[1] && x[0] == x[1] && y[0] == y[1] && !p == !q);
    if (p)
        assert_memory_equal(p, q, (size_t)w[0] * (size_t)h[0] * sizeof *p);
}

static void goes_on_the_same(void **state)
{
    for (int mode = 0; mode < DV_MOTION_MODES; mode++) {
        dv_motion *m = opened(mode), *other = opened(mode);
        dv_buf b;
        dv_err e = {0};
        int stops = 0, goes = 0;
        s.seed = 2;
        assert_int_equal(dv_motion_save(m, &b, &e), DMV_ERR_ARGUMENT); /* nothing yet */
        for (int i = 0; i < 70; i++) {
            scene_at(i);
            scene_run(&s, m, i * 0.125);
        }
        saved(m, &b);
        if (dv_motion_restore(other, b.data, b.size, &e))
            fail_msg("%s", e.msg);
        for (int i = 70; i < 170; i++) { /* the other's clock is another one */
            scene_at(i);
            const scene now = s;
            const dv_motion_verdict v = scene_run(&s, m, i * 0.125);
            s = now;
            const dv_motion_verdict w = scene_run(&s, other, 512 + i * 0.125);
            assert_int_equal(v, w);
            same_map(m, other);
            stops += v == DV_MOTION_STOP;
            goes += v == DV_MOTION_GO;
        }
        if (goes < 5 || (stops < 5 && mode != DV_MOTION_NONE))
            fail_msg("mode %d: %d went on, %d stopped", mode, goes, stops);
        dv_buf_free(&b);
        dv_motion_close(&m);
        dv_motion_close(&other);
    }
}

static void damage(void **state)
{
    dv_motion *m = opened(DV_MOTION_DOMOVOI), *other = opened(DV_MOTION_DOMOVOI),
              *pixel = opened(DV_MOTION_PIXEL);
    dv_buf b, before, after;
    dv_err e = {0};
    for (int i = 0; i < 20; i++) {
        scene_at(i);
        scene_run(&s, m, i * 0.1);
        scene_run(&s, other, i * 0.1);
    }
    scene_at(30);
    scene_run(&s, m, 2);
    saved(m, &b);
    saved(other, &before);
    assert_int_equal(dv_motion_restore(pixel, b.data, b.size, &e), DMV_ERR_MISMATCH);
    uint8_t *copy = malloc(b.size);
    assert_non_null(copy);
    for (size_t at = 0; at < b.size; at += at < 128 ? 1 : 997) {
        memcpy(copy, b.data, b.size);
        copy[at] ^= 0x41;
        e = (dv_err){0};
        const dmv_status st = dv_motion_restore(other, copy, b.size, &e);
        assert_true((st == DMV_ERR_FORMAT || st == DMV_ERR_VERSION) && e.msg[0]);
    }
    for (size_t size = 0; size < b.size; size += size < 200 ? 1 : 4001)
        assert_int_equal(dv_motion_restore(other, b.data, size, &e), DMV_ERR_FORMAT);
    /* made with care: the sum is right, the contents are not. Bytes 16 .. 40 are sizes */
    static const struct {
        size_t at;
        uint32_t value;
    } forged[] = {{16, 0},          {16, 1000000},   {20, 32768},  {24, 9},          {28, 5000},
                  {28, 0},          {36, 1 << 20},   {36, 4},      {40, 0x7fc00000}, {40, 0},
                  {48, 0},          {52, 0},         {60, 0xffff}, {64, 0xfff00000}, {72, 0xffff},
                  {76, 0x7ff00000}, {80, 0x7fc00000}};
    for (size_t i = 0; i < DV_COUNT(forged); i++) {
        memcpy(copy, b.data, b.size);
        for (int k = 0; k < 4; k++)
            copy[forged[i].at + (size_t)k] = (uint8_t)(forged[i].value >> 8 * k);
        dv_sha256 sum;
        dv_sha256_init(&sum);
        dv_sha256_update(&sum, copy, b.size - 32);
        dv_sha256_final(&sum, copy + b.size - 32);
        const dmv_status st = dv_motion_restore(other, copy, b.size, &e);
        if (st != DMV_ERR_FORMAT && !(forged[i].at == 60 || forged[i].at == 72))
            fail_msg("forged %zu: %d", i, (int)st);
        if (st == DMV_OK) { /* odd times only: harmless */
            dv_motion_close(&other);
            other = opened(DV_MOTION_DOMOVOI);
            assert_int_equal(dv_motion_restore(other, before.data, before.size, &e), DMV_OK);
        }
    }
    saved(other, &after); /* as it was */
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, before.size);
    dv_buf_free(&before);
    dv_buf_free(&after);
    dv_buf_free(&b);
    free(copy);
    dv_motion_close(&m);
    dv_motion_close(&other);
    dv_motion_close(&pixel);
}

/* Every allocation of opening, the first frames, saving and restoring fails once. */
static void no_memory(void **state)
{
    for (int mode = 0; mode < DV_MOTION_MODES; mode++)
        for (uint64_t fail = 1, failures = 1; failures; fail++) {
            dv_motion_options o;
            dv_motion *m = NULL;
            dv_buf b = {0};
            dv_err e = {0};
            dv_motion_verdict v;
            dmv_status st;
            failures = 0;
            dv_motion_options_init(&o, (dv_motion_mode)mode);
            scene_at(1);
            const dmv_image img = scene_image(&s);
            const dv_value f = scene_features(&s);
            scene_kernels();
            dv_alloc_fail_at(fail, false);
            st = dv_motion_open(&o, scene_kernels(), &m, &e);
            failures += st != DMV_OK;
            if (st)
                st = dv_motion_open(&o, scene_kernels(), &m, &e);
            assert_int_equal(st, DMV_OK);
            for (int i = 0; i < 2; i++) {
                if ((st = dv_motion_look(m, &img, i, &v, &e))) {
                    failures++;
                    assert_int_equal(v, DV_MOTION_GO); /* nothing is missed */
                    st = dv_motion_look(m, &img, i, &v, &e);
                }
                assert_int_equal(st, DMV_OK);
                if (v != DV_MOTION_FEATURE)
                    continue;
                if ((st = dv_motion_decide(m, &f, NULL, &v, &e))) {
                    failures++;
                    assert_int_equal(v, DV_MOTION_GO);
                    assert_int_equal(dv_motion_look(m, &img, i, &v, &e), DMV_OK);
                    st = dv_motion_decide(m, &f, NULL, &v, &e);
                }
                assert_int_equal(st, DMV_OK);
            }
            if ((st = dv_motion_save(m, &b, &e))) {
                failures++;
                saved(m, &b);
            }
            if ((st = dv_motion_restore(m, b.data, b.size, &e))) {
                failures++;
                st = dv_motion_restore(m, b.data, b.size, &e);
            }
            assert_int_equal(st, DMV_OK);
            dv_alloc_fail_at(0, false);
            dv_buf_free(&b);
            dv_motion_close(&m);
            assert_true(fail < 200);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_the_same),
        cmocka_unit_test(damage),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
