/* SPDX-License-Identifier: Apache-2.0
 *
 * test_pixels.c - pictures are checked before use; resizing against a slow, plain version of
 * the same definition and against numbers worked out by hand; preprocessing by its formula.
 */
#include "face_test.h"

static const dmv_pixel_format formats[] = {DMV_PIXEL_RGB8, DMV_PIXEL_BGR8, DMV_PIXEL_GRAY8,
                                           DMV_PIXEL_RGBA8};

static void image_checks(void **state)
{
    uint8_t px[12] = {0};
    dv_err e = {0};
    dmv_image ok = {.pixels = px, .width = 2, .height = 2, .stride = 6};
    (void)state;
    assert_int_equal(dv_image_check(&ok, &e), DMV_OK);
    assert_int_equal(dv_image_check(NULL, &e), DMV_ERR_ARGUMENT);
    for (int i = 0; i < 9; i++) {
        dmv_image bad = ok;
        switch (i) {
        case 0:
            bad.pixels = NULL;
            break;
        case 1:
            bad.width = 0;
            break;
        case 2:
            bad.height = -1;
            break;
        case 3:
            bad.width = 32768;
            bad.stride = 1u << 20;
            break;
        case 4:
            bad.height = 32768;
            break;
        case 5:
            bad.stride = 5;
            break;
        case 6:
            bad.format = (dmv_pixel_format)4;
            break;
        case 7:
            bad.format = (dmv_pixel_format)-1;
            break;
        default:
            bad.format = DMV_PIXEL_RGBA8;
            break;
        }
        e.msg[0] = 0;
        assert_int_equal(dv_image_check(&bad, &e), DMV_ERR_ARGUMENT);
        assert_true(e.msg[0] != 0);
        uint8_t rgb[1];
        dmv_quality q;
        dmv_face f = {.has_landmarks = 1};
        memcpy(f.landmarks, dv_template_112, sizeof(f.landmarks));
        assert_int_equal(dmv_align(&bad, dv_template_112, rgb), DMV_ERR_ARGUMENT);
        assert_int_equal(dmv_face_quality(&bad, &f, &q), DMV_ERR_ARGUMENT);
    }
}

static int at(const dmv_image *img, int x, int y, int c)
{
    static const int offset[4][3] = {{0, 1, 2}, {2, 1, 0}, {0, 0, 0}, {0, 1, 2}};
    x = DV_MAX(DV_MIN(x, img->width - 1), 0);
    y = DV_MAX(DV_MIN(y, img->height - 1), 0);
    return img
        ->pixels[(size_t)y * img->stride + (size_t)x * (size_t)dv_image_channels(img->format) +
                 (size_t)offset[img->format][c]];
}

/* Mean of the fx x fy block j, i of blocks that start at ox, oy. */
static double block(const dmv_image *img, int ox, int oy, int fx, int fy, int i, int j, int c)
{
    double s = 0;
    for (int y = 0; y < fy; y++) {
        for (int x = 0; x < fx; x++) {
            s += at(img, ox + i * fx + x, oy + j * fy + y, c);
        }
    }
    return s / (fx * fy);
}

static double plain_resize(const dmv_image *img, double x, double y, double w, double h, int ow,
                           int oh, int px, int py, int c)
{
    const double sx = w / ow, sy = h / oh;
    const int fx = sx > 2 ? (int)sx : 1, fy = sy > 2 ? (int)sy : 1;
    const int ox = (int)floor(x), oy = (int)floor(y);
    const double u = (x + (px + 0.5) * sx - ox) / fx - 0.5;
    const double v = (y + (py + 0.5) * sy - oy) / fy - 0.5;
    const int i = (int)floor(u), j = (int)floor(v);
    const double a = u - i, b = v - j;
    return (1 - b) * ((1 - a) * block(img, ox, oy, fx, fy, i, j, c) +
                      a * block(img, ox, oy, fx, fy, i + 1, j, c)) +
           b * ((1 - a) * block(img, ox, oy, fx, fy, i, j + 1, c) +
                a * block(img, ox, oy, fx, fy, i + 1, j + 1, c));
}

static void compare(const dmv_image *img, float x, float y, float w, float h, int ow, int oh)
{
    const size_t stride = 3 * (size_t)ow + 5;
    uint8_t *out = malloc(stride * (size_t)oh);
    assert_non_null(out);
    memset(out, 0xA5, stride * (size_t)oh);
    dv_resize_rgb(img, x, y, w, h, ow, oh, out, stride);
    for (int py = 0; py < oh; py++) {
        for (int px = 0; px < ow; px++) {
            for (int c = 0; c < 3; c++) {
                /* half a level for the mean, half for the result, weights in 1/256 */
                const double want = plain_resize(img, x, y, w, h, ow, oh, px, py, c);
                assert_near(out[(size_t)py * stride + (size_t)px * 3 + (size_t)c], want, 2.1);
            }
        }
        for (int i = 0; i < 5; i++) { /* what is between the rows is nobody's */
            assert_int_equal(out[(size_t)py * stride + 3 * (size_t)ow + (size_t)i], 0xA5);
        }
    }
    free(out);
}

static void resize_against_plain(void **state)
{
    static const int sizes[][4] = {{7, 5, 7, 5},     {1, 1, 9, 4},       {300, 200, 150, 100},
                                   {33, 47, 64, 96}, {401, 77, 100, 13}, {640, 9, 131, 1},
                                   {2, 700, 5, 3},   {500, 3, 2, 2},     {129, 130, 257, 129}};
    uint32_t seed = 7;
    (void)state;
    for (size_t f = 0; f < DV_COUNT(formats); f++) {
        for (size_t i = 0; i < DV_COUNT(sizes); i++) {
            dmv_image img;
            const int *s = sizes[i];
            uint8_t *p = test_pixels(&img, s[0], s[1], formats[f]);
            for (size_t k = 0; k < img.stride * (size_t)s[1]; k++) {
                p[k] = (uint8_t)test_random(&seed);
            }
            compare(&img, 0, 0, (float)s[0], (float)s[1], s[2], s[3]);
            /* a region that reaches outside */
            compare(&img, -0.3f * (float)s[0], 0.25f * (float)s[1], 0.75f * (float)s[0],
                    0.9f * (float)s[1], s[2], s[3]);
            free(p);
        }
    }
}

static void resize_by_hand(void **state)
{
    const uint8_t ramp[8] = {0, 10, 20, 30, 40, 50, 60, 70};
    const dmv_image row = {
        .pixels = ramp, .width = 8, .height = 1, .stride = 8, .format = DMV_PIXEL_GRAY8};
    uint8_t out[3 * 16];
    (void)state;
    dv_resize_rgb(&row, 0, 0, 8, 1, 8, 1, out, sizeof(out)); /* same size: same pixels */
    for (int i = 0; i < 8; i++) {
        assert_int_equal(out[3 * i], ramp[i]);
        assert_int_equal(out[3 * i + 2], ramp[i]);
    }
    dv_resize_rgb(&row, 0, 0, 8, 1, 4, 1, out, sizeof(out)); /* halved: means of two */
    assert_int_equal(out[0], 5);
    assert_int_equal(out[9], 65);
    dv_resize_rgb(&row, 0, 0, 8, 1, 2, 1, out, sizeof(out)); /* quartered: means of four */
    assert_int_equal(out[0], 15);
    assert_int_equal(out[3], 55);
    dv_resize_rgb(&row, 0, 0, 8, 1, 16, 1, out, sizeof(out)); /* doubled: 1/4, 3/4; edges clamp */
    assert_int_equal(out[0], 0);
    assert_int_equal(out[3], 3);
    assert_int_equal(out[6], 8);
    assert_int_equal(out[45], 70);
}

static void resize_keeps_constant_and_survives_nonsense(void **state)
{
    static const float odd[] = {0, -1e9f, 1e9f, NAN, INFINITY, 0.5f, 40000};
    dmv_image img;
    uint8_t *p = test_pixels(&img, 640, 33, DMV_PIXEL_RGB8), out[3 * 40 * 7];
    (void)state;
    memset(p, 137, img.stride * 33);
    for (size_t i = 0; i < DV_COUNT(odd) * DV_COUNT(odd); i++) {
        const float a = odd[i % DV_COUNT(odd)], b = odd[i / DV_COUNT(odd)];
        dv_resize_rgb(&img, a, b, b, a, 40, 7, out, 120);
        for (size_t k = 0; k < sizeof(out); k++) {
            assert_int_equal(out[k], 137);
        }
        dv_resize_rgb(&img, a, b, b, a, 1, 1, out, 120);
        assert_int_equal(out[0], 137);
    }
    free(p);
}

/* A side far beyond what 16-bit sums of whole blocks could hold. */
static void resize_huge(void **state)
{
    dmv_image img;
    uint8_t *p = test_pixels(&img, 32767, 3, DMV_PIXEL_RGBA8), out[6];
    (void)state;
    memset(p, 255, img.stride * 3);
    dv_resize_rgb(&img, 0, 0, 32767, 3, 2, 1, out, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(out[i], 255);
    }
    free(p);
}

static void set_meta(dmv_model *m, const char *color, float mean, float scale)
{
    memset(m, 0, sizeof(*m));
    assert_true(!color || dv_meta_set_text(&m->meta, "color", color));
    assert_true(dv_meta_set_floats(&m->meta, "mean", &mean, 1));
    assert_true(dv_meta_set_floats(&m->meta, "scale", &scale, 1));
}

static void preprocessing(void **state)
{
    static const struct {
        const char *color;
        int channels, order[3];
    } cases[] = {
        {"rgb", 3, {0, 1, 2}}, {"bgr", 3, {2, 1, 0}}, {"gray", 1, {0}}, {NULL, 3, {0, 1, 2}}};
    enum { W = 300, H = 3 };
    static uint8_t rgb[H][W * 3 + 7];
    static float out[3 * W * H + 1];
    dv_kernels k;
    uint32_t seed = 3;
    (void)state;
    dv_kernels_init(&k, dv_cpu_detect());
    for (size_t i = 0; i < sizeof(rgb); i++) {
        ((uint8_t *)rgb)[i] = (uint8_t)test_random(&seed);
    }
    for (size_t i = 0; i < 2 * DV_COUNT(cases); i++) {
        const bool nchw = i & 1;
        dmv_model m;
        dv_prep p;
        dv_err e = {0};
        const int ch = cases[i / 2].channels;
        set_meta(&m, cases[i / 2].color, 127.5f, 0.0078125f);
        assert_int_equal(dv_prep_from_model(&m, &p, &e), DMV_OK);
        assert_int_equal(p.channels, ch);
        out[(size_t)ch * W * H] = 99;
        dv_prep_run(&p, &k, rgb[0], sizeof(rgb[0]), W, H, nchw, out);
        for (int y = 0; y < H; y++) {
            for (int x = 0; x < W; x++) {
                const uint8_t *s = rgb[y] + 3 * x;
                for (int c = 0; c < ch; c++) {
                    const double v = ch == 3 ? s[cases[i / 2].order[c]]
                                             : 0.299 * s[0] + 0.587 * s[1] + 0.114 * s[2];
                    const float got = nchw ? out[(c * H + y) * W + x] : out[(y * W + x) * ch + c];
                    assert_near(got, (v - 127.5) / 128, 1e-5);
                }
            }
        }
        assert_true(out[(size_t)ch * W * H] == 99);
        dv_meta_free(&m.meta);
    }
}

static void preprocessing_refuses(void **state)
{
    const float two[2] = {1, 2};
    dmv_model m;
    dv_prep p;
    dv_err e = {0};
    (void)state;
    set_meta(&m, "cmyk", 0, 1);
    assert_int_equal(dv_prep_from_model(&m, &p, &e), DMV_ERR_UNSUPPORTED);
    dv_meta_free(&m.meta);
    set_meta(&m, "rgb", NAN, 1);
    assert_int_equal(dv_prep_from_model(&m, &p, &e), DMV_ERR_FORMAT);
    dv_meta_free(&m.meta);
    set_meta(&m, "rgb", 0, 1);
    assert_true(dv_meta_set_floats(&m.meta, "scale", two, 2));
    assert_int_equal(dv_prep_from_model(&m, &p, &e), DMV_ERR_FORMAT);
    dv_meta_free(&m.meta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_checks),
        cmocka_unit_test(resize_against_plain),
        cmocka_unit_test(resize_by_hand),
        cmocka_unit_test(resize_keeps_constant_and_survives_nonsense),
        cmocka_unit_test(resize_huge),
        cmocka_unit_test(preprocessing),
        cmocka_unit_test(preprocessing_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
