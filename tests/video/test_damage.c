/* SPDX-License-Identifier: Apache-2.0
 *
 * test_damage.c - clips that were cut off or changed at places drawn by a seed. Nothing may
 * crash, read outside its memory (run it under the sanitizers) or go on for ever, and what can
 * be shown is shown.
 */
#include "clips.h"

#include <math.h>
#include <string.h>

#define FRAMES 30
#define LONGEST 20.0 /* seconds; a damaged clip of a second is done in much less */

static uint32_t draw(uint32_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 17;
    *s ^= *s << 5;
    return *s;
}

typedef struct tally {
    int opened, frames, most;
    uint64_t corrupt;
} tally;

/* Reads whatever can be read of the bytes. */
static void play(const void *data, size_t size, const char *name, tally *t)
{
    dv_video *v;
    dv_video_frame f;
    dv_video_stats s;
    dv_err e = {0};
    uint64_t begin = dv_now_ns();
    clip_save(in(name), data, size);
    if (dv_video_open(in(name), NULL, &v, &e)) {
        assert_null(v);
        if (!strstr(e.msg, name)) /* which file, in every message */
            fail_msg("%s: %s", name, e.msg);
        return;
    }
    t->opened++;
    double last = -1;
    int n = 0;
    while (!dv_video_next(v, &f, &e) && f.image.pixels) {
        assert_true(f.time > last);
        assert_true(f.image.width > 0 && f.image.height > 0);
        /* Each pixel is there. */
        volatile uint8_t sum = 0;
        for (int y = 0; y < f.image.height; y++)
            sum = (uint8_t)(sum + f.image.pixels[(size_t)y * f.image.stride +
                                                 3 * (size_t)f.image.width - 1]);
        last = f.time;
        n++;
        assert_true(n < 10 * FRAMES);
    }
    dv_video_get_stats(v, &s);
    assert_int_equal(s.delivered, n);
    t->corrupt += s.corrupt;
    t->frames += n;
    t->most = DV_MAX(t->most, n);
    dv_video_close(&v);
    assert_true((double)(dv_now_ns() - begin) * 1e-9 < LONGEST);
}

static void bytes_of(const char *format, dv_buf *b)
{
    *b = (dv_buf){0};
    if (!strcmp(format, "mp4")) {
        uint8_t *data;
        size_t size;
        dv_err e;
        clip_mp4(in("whole.mp4"), 160, 120, FRAMES, 25, 10);
        assert_int_equal(dv_read_file(in("whole.mp4"), 1 << 24, &data, &size, &e), DMV_OK);
        dv_buf_put(b, data, size);
        dv_free(data);
    } else {
        clip_bytes(b, format, 160, 120, FRAMES, 25, 0);
    }
    assert_false(b->bad);
}

static const char *const formats[] = {"mp4", "mpegts", "matroska", "avi", "h264"};

static void test_whole(void **state)
{
    for (unsigned i = 0; i < DV_COUNT(formats); i++) {
        dv_buf b;
        tally t = {0};
        bytes_of(formats[i], &b);
        play(b.data, b.size, formats[i], &t);
        assert_int_equal(t.frames, FRAMES);
        assert_int_equal(t.corrupt, 0);
        dv_buf_free(&b);
    }
}

/* Cut at every twentieth part. What streams shows what is there; an MP4 without its index at
 * the end cannot be opened, and says so. */
static void test_cut(void **state)
{
    for (unsigned i = 0; i < DV_COUNT(formats); i++) {
        dv_buf b;
        bytes_of(formats[i], &b);
        int before = 0, grown = 0;
        for (unsigned k = 1; k < 20; k++) {
            tally t = {0};
            play(b.data, b.size * k / 20, formats[i], &t);
            grown += t.frames > before;
            assert_true(t.frames <= FRAMES);
            before = t.frames;
        }
        if (i == 0)
            assert_int_equal(before, 0);
        else
            assert_true(before > FRAMES / 2 && grown > 8);
        dv_buf_free(&b);
    }
    dv_video *v;
    dv_err e = {0};
    clip_mp4(in("cut.mp4"), 160, 120, FRAMES, 25, 10);
    uint8_t *data;
    size_t size;
    assert_int_equal(dv_read_file(in("cut.mp4"), 1 << 24, &data, &size, &e), DMV_OK);
    clip_save(in("cut.mp4"), data, size / 2);
    dv_free(data);
    assert_int_equal(dv_video_open(in("cut.mp4"), NULL, &v, &e), DMV_ERR_FORMAT);
    assert_non_null(strstr(e.msg, "cut"));
}

/* Some bytes changed. Most of the clip is still seen, and the damage is counted. */
static void test_flipped(void **state)
{
    uint32_t seed = 20231;
    for (unsigned i = 0; i < DV_COUNT(formats); i++) {
        dv_buf b;
        bytes_of(formats[i], &b);
        uint8_t *copy = dv_malloc(b.size);
        tally t = {0};
        for (int round = 0; round < 30; round++) {
            memcpy(copy, b.data, b.size);
            for (int k = 0; k < 8; k++) /* not the headers at the beginning */
                copy[b.size / 10 + draw(&seed) % (b.size * 8 / 10)] ^=
                    (uint8_t)(1 + draw(&seed) % 255);
            play(copy, b.size, formats[i], &t);
        }
        if (t.frames < 30 * FRAMES / 2 || t.corrupt < 30)
            fail_msg("%s: %d frames, %d corrupt", formats[i], t.frames, (int)t.corrupt);
        dv_free(copy);
        dv_buf_free(&b);
    }
}

/* Anything anywhere: headers too, pieces moved about, long runs of one byte. */
static void test_mangled(void **state)
{
    uint32_t seed = 77;
    tally t = {0};
    for (unsigned i = 0; i < DV_COUNT(formats); i++) {
        dv_buf b;
        bytes_of(formats[i], &b);
        uint8_t *copy = dv_malloc(b.size);
        for (int round = 0; round < 60; round++) {
            memcpy(copy, b.data, b.size);
            size_t size = b.size, span = 1 + draw(&seed) % 300;
            for (int k = 0; k < 12; k++) {
                size_t at = draw(&seed) % (round % 2 ? 600 : size - span),
                       from = draw(&seed) % (size - span);
                at = DV_MIN(at, size - span);
                switch (draw(&seed) % 4) {
                case 0:
                    copy[at] = (uint8_t)draw(&seed);
                    break;
                case 1:
                    memset(copy + at, draw(&seed) % 2 ? 0xff : 0, span);
                    break;
                case 2:
                    memmove(copy + at, copy + from, span);
                    break;
                default:
                    copy[at] ^= (uint8_t)(1u << draw(&seed) % 8);
                }
            }
            play(copy, size, formats[i], &t);
        }
        dv_free(copy);
        dv_buf_free(&b);
    }
    assert_true(t.opened > 50 && t.frames > 500); /* not everything was refused at the door */
}

/* Packets of nonsense between good ones: they are passed over, the rest is there. */
static void test_nonsense(void **state)
{
    dv_buf good = {0}, b = {0};
    uint32_t seed = 5;
    tally t = {0};
    clip_bytes(&good, "h264", 160, 120, FRAMES, 25, 0);
    dv_buf_put(&b, good.data, good.size);
    for (int k = 0; k < 20; k++) {
        dv_buf_put(&b, "\0\0\0\1\x65", 5);
        for (int j = 0; j < 200; j++)
            dv_buf_u8(&b, (uint8_t)(1 + draw(&seed) % 255));
    }
    dv_buf_put(&b, good.data, good.size);
    play(b.data, b.size, "nonsense.h264", &t);
    assert_true(t.frames >= 2 * FRAMES - 2);
    assert_true(t.corrupt > 0);
    dv_buf_free(&b);
    dv_buf_free(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),    cmocka_unit_test(test_cut),
        cmocka_unit_test(test_flipped),  cmocka_unit_test(test_mangled),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, clip_setup, clip_teardown);
}
