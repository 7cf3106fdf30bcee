/* SPDX-License-Identifier: Apache-2.0
 *
 * test_degrade.c - pictures through H.264 and back, and degradations: what each does, and that
 * it does the same every time.
 */
#include "clips.h"

#include <math.h>
#include <string.h>

#include "video/degrade.h"

static double difference(const dv_picture *a, const dv_picture *b)
{
    dmv_image view = dv_picture_view(a);
    return clip_psnr(&view, b);
}

static bool same(const dv_picture *a, const dv_picture *b)
{
    return a->width == b->width && a->height == b->height &&
           !memcmp(a->pixels, b->pixels, (size_t)a->width * (size_t)a->height * 3);
}

static double mean_of(const dv_picture *p)
{
    double sum = 0;
    for (int i = 0; i < p->width * p->height * 3; i++)
        sum += p->pixels[i];
    return sum / (p->width * p->height * 3);
}

static dv_picture flat(int w, int h, int level)
{
    dv_picture p = clip_picture(w, h, 0);
    memset(p.pixels, level, (size_t)w * (size_t)h * 3);
    return p;
}

/* ---- recompression ---- */

static void test_recompress(void **state)
{
    enum { N = 12 };
    dv_picture in[N], out[N], again[N];
    uint64_t bytes[3], repeated;
    double psnr[3] = {0};
    dv_err e = {0};
    for (int k = 0; k < N; k++)
        in[k] = clip_picture(161, 119, k);
    for (int i = 0; i < 3; i++) {
        dv_recompress_options o;
        dv_recompress_options_init(&o);
        o.encode.crf = 12 + 16 * i;
        if (dv_video_recompress(in, N, &o, out, &bytes[i], &e))
            fail_msg("%s", e.msg);
        for (int k = 0; k < N; k++) {
            dmv_image view = dv_picture_view(&out[k]);
            assert_int_equal(out[k].width, 161);
            assert_int_equal(out[k].height, 119);
            assert_int_equal(clip_frame_of(&view), k); /* each comes back in its place */
            psnr[i] += difference(&out[k], &in[k]) / N;
        }
        if (dv_video_recompress(in, N, &o, again, &repeated, &e))
            fail_msg("%s", e.msg);
        assert_int_equal(repeated, bytes[i]);
        for (int k = 0; k < N; k++) {
            assert_true(same(&out[k], &again[k]));
            dv_picture_free(&out[k]);
            dv_picture_free(&again[k]);
        }
    }
    assert_true(bytes[0] > bytes[1] && bytes[1] > bytes[2]);
    assert_true(psnr[0] > psnr[1] && psnr[1] > psnr[2] && psnr[0] > 34 && psnr[2] < 32);
    /* Key frames only cost more at the same quality. */
    dv_recompress_options o;
    dv_recompress_options_init(&o);
    o.encode.crf = 28;
    o.encode.gop = 1;
    assert_int_equal(dv_video_recompress(in, N, &o, out, &repeated, &e), DMV_OK);
    assert_true(repeated > bytes[1] * 3 / 2);
    for (int k = 0; k < N; k++) {
        dv_picture_free(&out[k]);
        dv_picture_free(&in[k]);
    }
}

static void test_recompress_rate(void **state)
{
    enum { N = 50 };
    static dv_picture in[N], out[N];
    const int64_t rates[] = {30000, 300000};
    uint64_t bytes[2];
    dv_err e = {0};
    for (int k = 0; k < N; k++) {
        uint32_t noise = (uint32_t)k;
        in[k] = clip_picture(320, 240, k);
        for (int j = 0; j < 320 * 240 * 3; j++) {
            noise = noise * 1664525u + 1013904223u;
            in[k].pixels[j] = (uint8_t)(in[k].pixels[j] / 2 + (noise >> 26));
        }
    }
    for (int i = 0; i < 2; i++) {
        dv_recompress_options o;
        dv_recompress_options_init(&o);
        o.encode.bit_rate = rates[i];
        assert_int_equal(dv_video_recompress(in, N, &o, out, &bytes[i], &e), DMV_OK);
        for (int k = 0; k < N; k++)
            dv_picture_free(&out[k]);
    }
    for (int k = 0; k < N; k++)
        dv_picture_free(&in[k]);
    /* Two seconds, and a buffer of one. */
    assert_true((double)bytes[1] * 8 > 300000 && (double)bytes[1] * 8 < 1000000);
    assert_true(bytes[0] < bytes[1] / 2);
}

static void test_recompress_coders(void **state)
{
    static const char *const coders[] = {NULL, "mpeg4"};
    const int sizes[][2] = {{112, 112}, {1, 1}, {3, 200}, {17, 16}, {640, 361}};
    dv_err e = {0};
    for (unsigned c = 0; c < DV_COUNT(coders); c++) {
        for (unsigned i = 0; i < DV_COUNT(sizes); i++) {
            dv_recompress_options o;
            dv_recompressor *r;
            dv_recompress_options_init(&o);
            o.encode.encoder = coders[c];
            o.encode.crf = 18;
            if (dv_recompressor_open(sizes[i][0], sizes[i][1], &o, &r, &e))
                fail_msg("%s", e.msg);
            for (int k = 0; k < 8; k++) {
                dv_picture p = clip_picture(sizes[i][0], sizes[i][1], k),
                           q = clip_picture(sizes[i][0], sizes[i][1], k);
                size_t bytes = 0;
                if (dv_recompressor_picture(r, &p, &bytes, &e))
                    fail_msg("%s", e.msg);
                assert_true(bytes > 0);
                /* At once, and not the picture before it. */
                if (difference(&p, &q) < (sizes[i][0] < 100 ? 15 : 28))
                    fail_msg("%d x %d, picture %d: %g dB", sizes[i][0], sizes[i][1], k,
                             difference(&p, &q));
                dv_picture_free(&p);
                dv_picture_free(&q);
            }
            dv_picture wrong = clip_picture(50, 50, 0);
            assert_int_equal(dv_recompressor_picture(r, &wrong, NULL, &e), DMV_ERR_ARGUMENT);
            dv_picture_free(&wrong);
            dv_recompressor_close(&r);
            dv_recompressor_close(&r);
        }
    }
    dv_picture two[2] = {clip_picture(64, 64, 0), clip_picture(64, 62, 0)}, out[2];
    assert_int_equal(dv_video_recompress(two, 2, NULL, out, NULL, &e), DMV_ERR_ARGUMENT);
    assert_true(!out[0].pixels && !out[1].pixels);
    assert_int_equal(dv_video_recompress(two, 0, NULL, out, NULL, &e), DMV_OK);
    dv_picture_free(&two[0]);
    dv_picture_free(&two[1]);
}

/* ---- degradations ---- */

static dv_degrade *begin(const char *list, uint64_t seed)
{
    dv_degrade *d;
    dv_err e = {0};
    if (dv_degrade_open(list, seed, 25, &d, &e))
        fail_msg("%s: %s", list, e.msg);
    return d;
}

static dv_picture apply(dv_degrade *d, int k, uint64_t frame)
{
    dv_err e = {0};
    dv_picture p = clip_picture(320, 240, k);
    if (dv_degrade_apply(d, &p, frame, &e))
        fail_msg("%s", e.msg);
    return p;
}

/* The same list, seed and frame: the same picture; another seed or frame: another. */
static void test_reproducible(void **state)
{
    static const char *const lists[] = {
        "noise", "rain", "gain=1", "noise=1:0.1,rain=50,jpeg=20", "gain=3,noise,h264=200k", "jpeg"};
    for (unsigned i = 0; i < DV_COUNT(lists); i++) {
        bool drawn = strcmp(lists[i], "jpeg") != 0, coded = strstr(lists[i], "h264") != NULL;
        dv_picture seen[3][6];
        for (int run = 0; run < 3; run++) {
            dv_degrade *d = begin(lists[i], run == 2 ? 8 : 7);
            for (unsigned k = 0; k < 6; k++)
                seen[run][k] = apply(d, 0, k + 1);
            dv_degrade_close(&d);
        }
        for (int k = 0; k < 6; k++)
            assert_true(same(&seen[0][k], &seen[1][k]));
        assert_int_equal(same(&seen[0][0], &seen[2][0]) && same(&seen[0][3], &seen[2][3]), !drawn);
        assert_int_equal(same(&seen[0][0], &seen[0][4]), !drawn);
        /* In any order, as long as no frame needs those before it. */
        dv_degrade *d = begin(lists[i], 7);
        for (int k = 5; !coded && k >= 0; k--) {
            dv_picture p = apply(d, 0, (uint64_t)k + 1);
            assert_true(same(&p, &seen[0][k]));
            dv_picture_free(&p);
        }
        dv_degrade_close(&d);
        for (int k = 0; k < 18; k++)
            dv_picture_free(&seen[k / 6][k % 6]);
    }
}

/* The spread of the noise, stretched as it is stretched. */
static void test_noise(void **state)
{
    dv_degrade *d = begin("noise=0.8:0.1", 3);
    dv_err e = {0};
    dv_picture p = flat(400, 300, 100);
    assert_int_equal(dv_degrade_apply(d, &p, 0, &e), DMV_OK);
    double sum = 0, squares = 0;
    int n = 400 * 300 * 3, low = 255, high = 0;
    for (int i = 0; i < n; i++) {
        sum += p.pixels[i];
        squares += p.pixels[i] * (double)p.pixels[i];
        low = DV_MIN(low, p.pixels[i]);
        high = DV_MAX(high, p.pixels[i]);
    }
    assert_int_equal(low, 0); /* stretched */
    assert_int_equal(high, 255);
    /* A normal distribution cut at +-3.66 deviations and stretched: the middle, and 255 / 7.3. */
    double mean = sum / n, deviation = sqrt(squares / n - mean * mean);
    assert_true(fabs(mean - 127.5) < 2);
    assert_true(fabs(deviation - 255 / 7.3) < 1.5);
    dv_picture_free(&p);
    dv_degrade_close(&d);
    /* Black stays black: the noise multiplies. */
    d = begin("noise", 3);
    p = flat(64, 64, 200);
    memset(p.pixels, 0, 64 * 32 * 3);
    assert_int_equal(dv_degrade_apply(d, &p, 0, &e), DMV_OK);
    int first = p.pixels[0];
    for (int i = 0; i < 64 * 32 * 3; i++)
        assert_int_equal(p.pixels[i], first);
    dv_picture_free(&p);
    dv_degrade_close(&d);
}

static void test_gain(void **state)
{
    dv_degrade *d = begin("gain=10", 5);
    dv_err e = {0};
    double last = 0, lowest = 1e9, highest = 0;
    int jumps = 0;
    for (uint64_t k = 0; k < 400; k++) {
        dv_picture p = flat(16, 16, 100);
        assert_int_equal(dv_degrade_apply(d, &p, k, &e), DMV_OK);
        double m = mean_of(&p);
        if (k < 10)
            assert_true(m == 100); /* the first stretch is as it was */
        if (k && m != last) {
            jumps++;
            assert_int_equal(k % 10, 0);
        }
        lowest = DV_MIN(lowest, m);
        highest = DV_MAX(highest, m);
        last = m;
        dv_picture_free(&p);
    }
    assert_in_range(jumps, 35, 39);
    assert_true(lowest >= 60 && lowest < 75 && highest > 145 && highest <= 160);
    dv_degrade_close(&d);
}

static void test_rain(void **state)
{
    int changed[2] = {0, 0};
    const char *const lists[] = {"rain=40", "rain=160"};
    dv_err e = {0};
    for (int i = 0; i < 2; i++) {
        dv_degrade *d = begin(lists[i], 1);
        dv_picture p = flat(640, 480, 50);
        assert_int_equal(dv_degrade_apply(d, &p, 9, &e), DMV_OK);
        for (int k = 0; k < 640 * 480; k++) {
            assert_true(p.pixels[3 * k] >= 50 && p.pixels[3 * k] < 226); /* lighter only */
            changed[i] += p.pixels[3 * k] != 50;
        }
        dv_picture_free(&p);
        dv_degrade_close(&d);
    }
    assert_in_range(changed[0], 40 * 6, 40 * 36);
    assert_true(changed[1] > 2 * changed[0] && changed[1] < 8 * changed[0]);
}

static void test_distractor(void **state)
{
    dv_err e = {0};
    dv_picture patch = flat(20, 10, 255);
    char list[600];
    assert_int_equal(dv_image_save(in("patch.ppm"), &patch, &e), DMV_OK);
    snprintf(list, sizeof list, "distractor=%s@30x40", in("patch.ppm"));
    dv_degrade *d = begin(list, 1);
    dv_picture p = apply(d, 0, 0), q = clip_picture(320, 240, 0);
    for (int y = 0; y < 240; y++)
        for (int x = 0; x < 320; x++) {
            int at = 3 * (y * 320 + x);
            bool inside = x >= 30 && x < 50 && y >= 40 && y < 50;
            assert_int_equal(p.pixels[at + 1], inside ? 255 : q.pixels[at + 1]);
        }
    dv_picture_free(&p);
    dv_picture_free(&q);
    dv_degrade_close(&d);
    /* By the call, and over every edge. */
    d = begin("distractor,jpeg=90", 1);
    p = clip_picture(320, 240, 0);
    assert_int_equal(dv_degrade_apply(d, &p, 0, &e), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "distractor"));
    dv_picture_free(&p);
    const int places[][2] = {{-10, -5}, {310, 235}, {1000, 0}, {0, -1000}, {-19, 239}};
    for (unsigned i = 0; i < DV_COUNT(places); i++) {
        assert_int_equal(dv_degrade_distractor(d, &patch, places[i][0], places[i][1], &e), DMV_OK);
        p = apply(d, 0, 0);
        dv_picture_free(&p);
    }
    dv_degrade_close(&d);
    d = begin("noise", 1);
    assert_int_equal(dv_degrade_distractor(d, &patch, 0, 0, &e), DMV_ERR_NOT_FOUND);
    dv_degrade_close(&d);
    dv_picture_free(&patch);
}

static void test_jpeg_h264(void **state)
{
    static const char *const lists[][2] = {
        {"jpeg=80", "jpeg=5"}, {"h264=crf15", "h264=crf45"}, {"h264=2M", "h264=20k"}};
    for (unsigned i = 0; i < DV_COUNT(lists); i++) {
        double psnr[2] = {0, 0};
        for (int j = 0; j < 2; j++) {
            dv_degrade *d = begin(lists[i][j], 1);
            for (int k = 0; k < 10; k++) {
                dv_picture p = apply(d, k, (uint64_t)k), q = clip_picture(320, 240, k);
                psnr[j] += difference(&p, &q) / 10;
                dv_picture_free(&p);
                dv_picture_free(&q);
            }
            dv_degrade_close(&d);
        }
        if (!(psnr[0] > psnr[1] + 3 && psnr[0] > 30))
            fail_msg("%s: %g dB, %s: %g dB", lists[i][0], psnr[0], lists[i][1], psnr[1]);
    }
    /* Another size in the middle. */
    dv_degrade *d = begin("h264", 1);
    dv_err e = {0};
    for (int k = 0; k < 4; k++) {
        dv_picture p = clip_picture(k % 2 ? 160 : 320, 120, k);
        assert_int_equal(dv_degrade_apply(d, &p, (uint64_t)k, &e), DMV_OK);
        dv_picture_free(&p);
    }
    dv_degrade_close(&d);
}

static void test_bad_lists(void **state)
{
    static const struct {
        const char *list, *word;
    } cases[] = {
        {"fog", "fog"},
        {"noise=1", "0.8:0.3"},
        {"noise=1:x", "0.8:0.3"},
        {"noise=nan:1", "0.8"},
        {"jpeg=0", "1 to 100"},
        {"jpeg=1.5", "whole"},
        {"gain=0", "frames"},
        {"rain=-1", "streaks"},
        {"rain=1e99", "streaks"},
        {"h264=12", "100k"},
        {"h264=crf99", "crf51"},
        {"h264=fast", "100k"},
        {"distractor=x", "@"},
        {"distractor=@1x2", "@"},
        {"distractor=nowhere.png@1x2", "nowhere"},
        {"noise,,fog", "fog"},
        {"distractor=a@1x2z", "@"},
        {"gain=nan", "frames"},
    };
    for (unsigned i = 0; i < DV_COUNT(cases); i++) {
        dv_degrade *d = (void *)1;
        dv_err e = {0};
        if (dv_degrade_open(cases[i].list, 1, 25, &d, &e) == DMV_OK)
            fail_msg("%s was taken", cases[i].list);
        assert_null(d);
        if (!strstr(e.msg, cases[i].word))
            fail_msg("%s: %s", cases[i].list, e.msg);
    }
    dv_degrade *d = begin("", 1);
    dv_picture p = apply(d, 3, 0), q = clip_picture(320, 240, 3);
    assert_true(same(&p, &q));
    dv_picture_free(&p);
    dv_picture_free(&q);
    dv_degrade_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recompress),
        cmocka_unit_test(test_recompress_rate),
        cmocka_unit_test(test_recompress_coders),
        cmocka_unit_test(test_reproducible),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_gain),
        cmocka_unit_test(test_rain),
        cmocka_unit_test(test_distractor),
        cmocka_unit_test(test_jpeg_h264),
        cmocka_unit_test(test_bad_lists),
    };
    return cmocka_run_group_tests(tests, clip_setup, clip_teardown);
}
