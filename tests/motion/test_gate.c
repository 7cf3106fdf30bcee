/* SPDX-License-Identifier: Apache-2.0
 *
 * The published method and the baselines against numbers worked out by hand, and what all modes do
 * with nonsense.
 */
#include "scene.h"

#include <math.h>
#include <string.h>

static const uint8_t grey[12 * 6 * 3];

static dmv_image picture(int w, int h)
{
    return (dmv_image){grey, w, h, 36, DMV_PIXEL_RGB8};
}

static dv_value map_of(float *f, int h, int w, int c)
{
    return (dv_value){
        .dtype = DV_F32, .rank = 4, .dims = {1, h, w, c}, .count = (size_t)(h * w * c), .f = f};
}

static dv_motion *amphibian(float gate)
{
    dv_motion_options o;
    dv_motion_options_init(&o, DV_MOTION_AMPHIBIAN);
    o.gate = o.box = gate;
    return scene_gate(&o);
}

static dv_motion_verdict frame(dv_motion *m, float *f, int h, int w, int c)
{
    dv_motion_verdict v;
    dv_err e = {0};
    const dmv_image img = picture(12, 6);
    const dv_value map = map_of(f, h, w, c);
    assert_int_equal(dv_motion_look(m, &img, 0, &v, &e), DMV_OK);
    assert_int_equal(v, DV_MOTION_FEATURE);
    assert_int_equal(dv_motion_decide(m, &map, NULL, &v, &e), DMV_OK);
    return v;
}

static void near(float a, double b)
{
    if (!(fabs((double)a - b) < 1e-6 * (1 + b)))
        fail_msg("%.9g, wanted %.9g", (double)a, b);
}

static const float *cells(const dv_motion *m)
{
    int w, h;
    float across, down, t;
    return dv_motion_map(m, &w, &h, &across, &down, &t);
}

/* Cells of 2 channels, 4 across and 1 down; T = 0.4, a = 0.9. */
static void amphibian_by_hand(void **state)
{
    dv_motion *m = amphibian(0.4f);
    float first[8] = {1, 0, 0, 2, 0, 0, 3, 4};
    assert_null(cells(m));
    assert_int_equal(frame(m, first, 1, 4, 2), DV_MOTION_STOP); /* B = F, D = 0 */
    for (int i = 0; i < 4; i++)
        near(cells(m)[i], 0);
    /* cosines 1 / sqrt 2, 1, -, 24 / 25: nothing reaches 0.4, so B = 0.9 B + 0.1 F */
    float second[8] = {1, 1, 0, 1, 0, 0, 4, 3};
    assert_int_equal(frame(m, second, 1, 4, 2), DV_MOTION_STOP);
    near(cells(m)[0], 1 - 1 / sqrt(2));
    near(cells(m)[1], 0);
    near(cells(m)[2], 0); /* both zero */
    near(cells(m)[3], 0.04);
    /* B is now (1, 0.1), (0, 1.9), (0, 0), (3.1, 3.9) */
    float third[8] = {0, 1, 0, -1, 0, 5, 3.1f, 3.9f};
    assert_int_equal(frame(m, third, 1, 4, 2), DV_MOTION_GO);
    const double d0 = 1 - 0.1 / sqrt(1.01);
    near(cells(m)[0], d0);
    near(cells(m)[1], 1); /* the cosine is negative */
    near(cells(m)[2], 1); /* one is zero */
    near(cells(m)[3], 0);
    /* and stays while there is motion */
    assert_int_equal(frame(m, third, 1, 4, 2), DV_MOTION_GO);
    near(cells(m)[0], d0);
    /* boxes in a picture of 12 x 6, so cells are 3 wide: edges cut to cells, at least one */
    static const struct {
        float box[4];
        bool keep;
    } boxes[] = {
        {{0, 0, 3, 6}, true},       /* cell 0 */
        {{9, 0, 3, 6}, false},      /* cell 3 */
        {{6, 0, 6, 6}, true},       /* cells 2 and 3: 0.5 */
        {{8.9f, 1, 1, 1}, false},   /* from 2.97 to 3.3: cell 2 alone would be 1 ... */
        {{9.1f, 1, 0.1f, 1}, false} /* ... and this is cell 3 alone */
    };
    for (size_t i = 0; i < DV_COUNT(boxes); i++)
        if (i != 3)
            assert_int_equal(dv_motion_keeps(m, boxes[i].box), boxes[i].keep);
    assert_true(dv_motion_keeps(m, boxes[3].box)); /* [floor 2.97, floor 3.3) is cell 2 */
    /* filter: order stays, sizes of items are the caller's */
    struct {
        float box[4];
        int n;
    } items[5];
    for (int i = 0; i < 5; i++) {
        memcpy(items[i].box, boxes[i].box, sizeof items[i].box);
        items[i].n = i;
    }
    assert_int_equal(dv_motion_filter(m, items, sizeof items[0], 5), 3);
    assert_true(items[0].n == 0 && items[1].n == 2 && items[2].n == 3);
    assert_false(dv_motion_holds(m));
    dv_motion_close(&m);
}

/* The threshold itself: max D < T stops, mean D >= T keeps. */
static void thresholds(void **state)
{
    float a[4] = {1, 0, 1, 0}, b[4] = {0, 1, 1, 0};
    dv_motion *m = amphibian(1);
    frame(m, a, 1, 2, 2);
    assert_int_equal(frame(m, b, 1, 2, 2), DV_MOTION_GO); /* D = 1 exactly */
    assert_true(dv_motion_keeps(m, (float[4]){0, 0, 6, 6}));
    assert_false(dv_motion_keeps(m, (float[4]){0, 0, 12, 6})); /* mean 0.5 */
    dv_motion_close(&m);
    m = amphibian(0); /* never stops, drops nothing */
    assert_int_equal(frame(m, a, 1, 2, 2), DV_MOTION_GO);
    assert_int_equal(frame(m, a, 1, 2, 2), DV_MOTION_GO);
    assert_true(dv_motion_keeps(m, (float[4]){0, 0, 12, 6}));
    assert_true(dv_motion_keeps(m, (float[4]){-100, -100, 5, 5})); /* the nearest cell */
    dv_motion_close(&m);
    /* a letterboxed picture: half of the features belong to it */
    m = amphibian(0.4f);
    dv_motion_verdict v;
    dv_err e = {0};
    const dmv_image img = picture(12, 6);
    const float fill[2] = {0.5f, 1};
    for (int i = 0; i < 2; i++) {
        const dv_value map = map_of(i ? b : a, 1, 2, 2);
        assert_int_equal(dv_motion_look(m, &img, 0, &v, &e), DMV_OK);
        assert_int_equal(dv_motion_decide(m, &map, fill, &v, &e), DMV_OK);
    }
    assert_true(dv_motion_keeps(m, (float[4]){0, 0, 12, 6})); /* cell 0 alone */
    dv_motion_close(&m);
}

/* Bytes and halves tell the same as the floats that they stand for. */
static void other_types(void **state)
{
    enum { N = 5 * 4 * 24 };
    static float f[N], same[N];
    static uint8_t q[N], usual[N];
    static uint16_t h[N];
    scene s = {.seed = 3};
    dv_motion *m[3] = {amphibian(0.6f), amphibian(0.6f), amphibian(0.6f)};
    int stops = 0;
    for (int t = 0; t < 60; t++) {
        for (int i = 0; i < N; i++) {
            const bool fresh = scene_uniform(&s) < (t % 4 == 3 ? 0.8f : 0.02f);
            const uint8_t other = (uint8_t)(scene_uniform(&s) * 255.9f);
            usual[i] = t ? usual[i] : other;
            q[i] = fresh ? other : usual[i];
            f[i] = same[i] = ((float)q[i] - 100) * 0.25f;
            h[i] = dv_half_from_float(f[i]);
        }
        dv_value v[3] = {map_of(f, 5, 4, 24), map_of(f, 5, 4, 24), map_of(f, 5, 4, 24)};
        v[1].dtype = DV_U8;
        v[1].q = q;
        v[1].scale = 0.25f;
        v[1].zero = 100;
        v[2].dtype = DV_F16;
        v[2].h = h;
        dv_motion_verdict got[3];
        for (int k = 0; k < 3; k++) {
            dv_err e = {0};
            const dmv_image img = picture(12, 6);
            assert_int_equal(dv_motion_look(m[k], &img, t, &got[k], &e), DMV_OK);
            assert_int_equal(dv_motion_decide(m[k], &v[k], NULL, &got[k], &e), DMV_OK);
            assert_int_equal(got[k], got[0]);
            assert_memory_equal(cells(m[k]), cells(m[0]), 20 * sizeof(float));
        }
        stops += got[0] == DV_MOTION_STOP;
        assert_memory_equal(f, same, sizeof f);
    }
    assert_true(stops > 10 && stops < 50);
    for (int k = 0; k < 3; k++)
        dv_motion_close(&m[k]);
}

/* Features that are no numbers: motion, and no part of any background. */
static void no_numbers(void **state)
{
    const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    for (size_t k = 0; k < DV_COUNT(bad); k++) {
        float good[4] = {1, 0, 1, 0}, broken[4] = {1, 0, bad[k], bad[k]};
        dv_motion *m = amphibian(0.5f);
        frame(m, good, 1, 2, 2);
        assert_int_equal(frame(m, broken, 1, 2, 2), DV_MOTION_GO);
        near(cells(m)[0], 0);
        near(cells(m)[1], 1);
        assert_int_equal(frame(m, good, 1, 2, 2), DV_MOTION_STOP);
        near(cells(m)[1], 0);
        dv_motion_close(&m);
        m = amphibian(0.5f); /* from the first frame on */
        frame(m, broken, 1, 2, 2);
        assert_int_equal(frame(m, good, 1, 2, 2), DV_MOTION_GO);
        near(cells(m)[0], 0);
        dv_motion_close(&m);
    }
    /* `domovoi` */
    static scene s;
    dv_motion_options o;
    dv_motion_options_init(&o, DV_MOTION_DOMOVOI);
    o.look = 0; /* every thumbnail is worth asking */
    o.refresh = 0;
    dv_motion *m = scene_gate(&o);
    dv_motion_verdict v;
    dv_err e = {0};
    scene_room(&s);
    for (int i = 0; i < 12; i++) {
        const dmv_image img = scene_image(&s);
        const dv_value f = scene_features(&s);
        if (i >= 4 && i < 8)
            s.feature[100] = NAN;
        assert_int_equal(dv_motion_look(m, &img, i * 0.1, &v, &e), DMV_OK);
        assert_int_equal(v, DV_MOTION_FEATURE);
        assert_int_equal(dv_motion_decide(m, &f, NULL, &v, &e), DMV_OK);
        assert_int_equal(v, (i >= 4 && i < 8) || i == 0 || i == 8 ? DV_MOTION_GO : DV_MOTION_STOP);
    }
    dv_motion_close(&m);
}

/* The mean over channels of the squared difference; B follows by a tenth where nothing moves. */
static void pixel_by_hand(void **state)
{
    uint8_t rgb[2 * 2 * 3];
    const dmv_image img = {rgb, 2, 2, 6, DMV_PIXEL_RGB8};
    dv_motion_options o;
    dv_motion_options_init(&o, DV_MOTION_PIXEL);
    o.gate = o.box = 100;
    dv_motion *m = scene_gate(&o);
    dv_motion_verdict v;
    dv_err e = {0};
    memset(rgb, 100, sizeof rgb);
    assert_int_equal(dv_motion_look(m, &img, 0, &v, &e), DMV_OK);
    assert_int_equal(v, DV_MOTION_STOP);
    rgb[0] = 110; /* (100 + 0 + 25) / 3 */
    rgb[2] = 105;
    assert_int_equal(dv_motion_look(m, &img, 0, &v, &e), DMV_OK);
    assert_int_equal(v, DV_MOTION_STOP);
    near(cells(m)[0], 125.0 / 3);
    near(cells(m)[1], 0);
    rgb[0] = 121; /* B is 101, 100, 100.5 */
    rgb[1] = 100;
    rgb[2] = 100;
    assert_int_equal(dv_motion_look(m, &img, 0, &v, &e), DMV_OK);
    assert_int_equal(v, DV_MOTION_GO);
    near(cells(m)[0], (400 + 0.25) / 3);
    assert_true(dv_motion_keeps(m, (float[4]){0, 0, 1, 1}));
    assert_false(dv_motion_keeps(m, (float[4]){0, 0, 2, 2}));
    assert_int_equal(dv_motion_look(m, &img, 0, &v, &e), DMV_OK);
    near(cells(m)[0], (400 + 0.25) / 3); /* B stayed */
    dv_motion_close(&m);
}

/* The mixture learns a flicker of two values and finds a third. */
static void mixture_learns(void **state)
{
    static scene s;
    dv_motion_options o;
    dv_motion_options_init(&o, DV_MOTION_MIXTURE);
    dv_motion *m = scene_gate(&o);
    int late = 0;
    for (int i = 0; i < 300; i++) {
        scene_room(&s);
        if (i / 3 % 2)
            scene_figure(&s, 40, 40, 60, 60);
        const dv_motion_verdict v = scene_run(&s, m, i * 0.1);
        late += i >= 200 && v == DV_MOTION_GO;
    }
    assert_int_equal(late, 0);
    scene_figure(&s, 200, 100, 32, 64);
    assert_int_equal(scene_run(&s, m, 31), DV_MOTION_GO);
    assert_true(dv_motion_keeps(m, (float[4]){200, 100, 32, 64}));
    assert_false(dv_motion_keeps(m, (float[4]){40, 40, 60, 60}));
    dv_motion_close(&m);
}

static void none_goes_on(void **state)
{
    static scene s;
    dv_motion_options o;
    dv_motion_options_init(&o, DV_MOTION_NONE);
    dv_motion *m = scene_gate(&o);
    for (int i = 0; i < 3; i++)
        assert_int_equal(scene_run(&s, m, i), DV_MOTION_GO);
    assert_true(dv_motion_keeps(m, (float[4]){1, 2, 3, 4}));
    dv_motion_close(&m);
}

/* Pictures and features that change their size or form begin anew and go on. */
static void sizes_change(void **state)
{
    static scene s;
    for (int mode = 0; mode < DV_MOTION_MODES; mode++) {
        dv_motion_options o;
        dv_motion_options_init(&o, (dv_motion_mode)mode);
        dv_motion *m = scene_gate(&o);
        s.seed = 11;
        scene_room(&s);
        for (int i = 0; i < 200; i++) {
            dv_motion_verdict v;
            dv_err e = {0};
            static const dmv_pixel_format formats[] = {DMV_PIXEL_RGB8, DMV_PIXEL_GRAY8,
                                                       DMV_PIXEL_RGBA8, DMV_PIXEL_BGR8};
            dmv_image img = scene_image(&s);
            dv_value f = scene_features(&s);
            img.format = formats[(int)(scene_uniform(&s) * 3.99f)];
            img.width = 1 + (int)(scene_uniform(&s) * 200);
            img.height = 1 + (int)(scene_uniform(&s) * 200);
            img.stride = SCENE_W * 3;
            img.width = DV_MIN(img.width, SCENE_W * 3 / 4);
            f.dims[1] = 1 + (int64_t)(scene_uniform(&s) * 14);
            f.dims[2] = 1 + (int64_t)(scene_uniform(&s) * 19);
            f.count = (size_t)(f.dims[1] * f.dims[2] * f.dims[3]);
            const float fill[2] = {1 - scene_uniform(&s) * 0.9f, 1};
            for (int k = 0; k < 3; k++) {
                assert_int_equal(dv_motion_look(m, &img, i, &v, &e), DMV_OK);
                if (v == DV_MOTION_FEATURE)
                    assert_int_equal(dv_motion_decide(m, &f, fill, &v, &e), DMV_OK);
                const float box[4] = {300 * scene_uniform(&s) - 50, 10, 40 * scene_uniform(&s),
                                      200};
                dv_motion_keeps(m, box);
                dv_motion_tracked(m, box, sizeof box, 1);
            }
        }
        dv_motion_close(&m);
    }
}

static void refusals(void **state)
{
    dv_motion_verdict v;
    dv_motion *m = amphibian(0.4f);
    dmv_image img = picture(12, 6);
    float f[8] = {0};
    dv_value good = map_of(f, 2, 2, 2), bad = good;
    dv_err e = {0};
    assert_int_equal(dv_motion_decide(m, &good, NULL, &v, &e), DMV_ERR_ARGUMENT); /* no look */
    assert_int_equal(dv_motion_look(m, &img, 0, &v, &e), DMV_OK);
    bad.rank = 3;
    assert_int_equal(dv_motion_decide(m, &bad, NULL, &v, &e), DMV_ERR_ARGUMENT);
    bad = good;
    bad.dtype = DV_I64;
    assert_int_equal(dv_motion_decide(m, &bad, NULL, &v, &e), DMV_ERR_ARGUMENT);
    bad = good;
    bad.dims[0] = 2;
    assert_int_equal(dv_motion_decide(m, &bad, NULL, &v, &e), DMV_ERR_ARGUMENT);
    bad = good;
    bad.dims[3] = 1 << 20;
    assert_int_equal(dv_motion_decide(m, &bad, NULL, &v, &e), DMV_ERR_LIMIT);
    assert_int_equal(dv_motion_decide(m, NULL, NULL, &v, &e), DMV_ERR_ARGUMENT);
    const float fills[][2] = {{0, 1}, {1, NAN}, {1.5f, 1}};
    for (size_t i = 0; i < DV_COUNT(fills); i++)
        assert_int_equal(dv_motion_decide(m, &good, fills[i], &v, &e), DMV_ERR_ARGUMENT);
    assert_true(v == DV_MOTION_GO && e.msg[0]); /* whoever ignores errors goes on */
    assert_int_equal(dv_motion_decide(m, &good, NULL, &v, &e), DMV_OK);
    assert_int_equal(dv_motion_decide(m, &good, NULL, &v, &e), DMV_ERR_ARGUMENT); /* twice */
    img.width = 0;
    assert_int_equal(dv_motion_look(m, &img, 0, &v, &e), DMV_ERR_ARGUMENT);
    const float nonsense[][4] = {
        {NAN, 0, 1, 1}, {0, INFINITY, 1, 1}, {0, 0, -1, 1}, {0, 0, 1, 0}, {1e20f, 0, 1, 1}};
    for (size_t i = 0; i < DV_COUNT(nonsense); i++)
        assert_false(dv_motion_keeps(m, nonsense[i]));
    dv_motion_close(&m);
    dv_motion_close(&m);

    for (int i = 0; i < 11; i++) {
        dv_motion_options o;
        dv_motion_options_init(&o, DV_MOTION_DOMOVOI);
        switch (i) {
        case 0:
            o.gate = NAN;
            break;
        case 1:
            o.box = -1;
            break;
        case 2:
            o.rate = 0;
            break;
        case 3:
            o.rate = 2;
            break;
        case 4:
            o.warm_up = -1;
            break;
        case 5:
            o.look = INFINITY;
            break;
        case 6:
            o.noise = 0;
            break;
        case 7:
            o.spread = NAN;
            break;
        case 8:
            o.settle = -1;
            break;
        case 9:
            o.absorb = INFINITY;
            break;
        default:
            o.mode = (dv_motion_mode)17;
            break;
        }
        e = (dv_err){0};
        assert_int_equal(dv_motion_open(&o, scene_kernels(), &m, &e), DMV_ERR_ARGUMENT);
        assert_true(m == NULL && e.msg[0]);
    }
    dv_motion_mode mode;
    for (int i = 0; i < DV_MOTION_MODES; i++) {
        assert_true(dv_motion_mode_of(dv_motion_mode_name((dv_motion_mode)i), &mode));
        assert_int_equal(mode, i);
    }
    assert_false(dv_motion_mode_of("frog", &mode));
    assert_false(dv_motion_mode_of(NULL, &mode));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amphibian_by_hand), cmocka_unit_test(thresholds),
        cmocka_unit_test(other_types),       cmocka_unit_test(no_numbers),
        cmocka_unit_test(pixel_by_hand),     cmocka_unit_test(mixture_learns),
        cmocka_unit_test(none_goes_on),      cmocka_unit_test(sizes_change),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
