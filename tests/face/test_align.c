/* SPDX-License-Identifier: Apache-2.0
 *
 * test_align.c - the similarity transform against known rotations, scales and shifts; the warp
 * against pictures that it must not change; 68 points to five; quality rises and falls with
 * what it measures; cosine similarity.
 */
#include "face_test.h"

static void map_points(const float m[6], const float (*src)[2], int n, float (*out)[2])
{
    for (int i = 0; i < n; i++) {
        out[i][0] = m[0] * src[i][0] + m[1] * src[i][1] + m[2];
        out[i][1] = m[3] * src[i][0] + m[4] * src[i][1] + m[5];
    }
}

static void recovers_known_transforms(void **state)
{
    uint32_t seed = 11;
    (void)state;
    for (int i = 0; i < 500; i++) {
        const float angle = test_uniform(&seed, -3.1f, 3.1f), s = test_uniform(&seed, 0.05f, 20);
        const float want[6] = {s * cosf(angle), -s * sinf(angle), test_uniform(&seed, -500, 500),
                               s * sinf(angle), s * cosf(angle),  test_uniform(&seed, -500, 500)};
        float dst[5][2], m[6];
        map_points(want, dv_template_112, 5, dst);
        assert_true(dv_similarity_transform(dv_template_112, dst, 5, m));
        for (int k = 0; k < 6; k++) {
            assert_near(m[k], want[k], 1e-4 * (1 + fabs(want[k]) + 100 * s));
        }
    }
}

/* A mirrored face has no rotation that fits; the result must still be one, not a reflection. */
static void never_reflects(void **state)
{
    float mirrored[5][2], m[6];
    (void)state;
    for (int i = 0; i < 5; i++) {
        mirrored[i][0] = 112 - dv_template_112[i][0];
        mirrored[i][1] = dv_template_112[i][1];
    }
    if (dv_similarity_transform(mirrored, dv_template_112, 5, m)) {
        assert_true(m[0] * m[4] - m[1] * m[3] > 0);
    }
    /* the best rotation: no other angle and scale has a smaller error */
    float src[5][2] = {{3, 1}, {9, 2}, {6, 7}, {2, 12}, {8, 10}}, got[5][2];
    assert_true(dv_similarity_transform(src, dv_template_112, 5, m));
    double best = 0, other;
    map_points(m, src, 5, got);
    for (int i = 0; i < 5; i++) {
        best += hypot(got[i][0] - dv_template_112[i][0], got[i][1] - dv_template_112[i][1]) *
                hypot(got[i][0] - dv_template_112[i][0], got[i][1] - dv_template_112[i][1]);
    }
    for (int t = 0; t < 8; t++) {
        const float da = (t & 1 ? 1.0f : -1.0f) * (t & 2 ? 0.02f : 0), ds = t & 4 ? 1.01f : 0.99f;
        const float c = ds * cosf(da), s = ds * sinf(da);
        float n[6] = {c * m[0] - s * m[3], c * m[1] - s * m[4], 0,
                      s * m[0] + c * m[3], s * m[1] + c * m[4], 0};
        double mx = 0, my = 0;
        map_points(n, src, 5, got); /* the best shift for that rotation */
        for (int i = 0; i < 5; i++) {
            mx += (dv_template_112[i][0] - got[i][0]) / 5;
            my += (dv_template_112[i][1] - got[i][1]) / 5;
        }
        other = 0;
        for (int i = 0; i < 5; i++) {
            const double dx = got[i][0] + mx - dv_template_112[i][0];
            const double dy = got[i][1] + my - dv_template_112[i][1];
            other += dx * dx + dy * dy;
        }
        assert_true(other > best);
    }
}

static void refuses_degenerate_points(void **state)
{
    uint8_t px[3 * 64] = {0}, *rgb = malloc(3 * 112 * 112);
    const dmv_image img = {.pixels = px, .width = 8, .height = 8, .stride = 24};
    float same[5][2], m[6];
    (void)state;
    for (int i = 0; i < 5; i++) {
        same[i][0] = 17.5f;
        same[i][1] = 1234;
    }
    assert_false(dv_similarity_transform(same, dv_template_112, 5, m));
    assert_false(dv_similarity_transform(dv_template_112, dv_template_112, 1, m));
    assert_int_equal(dmv_align(&img, same, rgb), DMV_ERR_ARGUMENT);
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 10 * DV_COUNT(odd); i++) {
        float p[5][2];
        memcpy(p, dv_template_112, sizeof(p));
        p[i % 5][i / 5 % 2] = odd[i / 10];
        assert_int_equal(dmv_align(&img, p, rgb), DMV_ERR_ARGUMENT);
    }
    assert_int_equal(dmv_align(&img, NULL, rgb), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_align(&img, dv_template_112, NULL), DMV_ERR_ARGUMENT);
    /* far away or enormous, but a face: all outside, so black */
    for (int far = 0; far < 2; far++) {
        float p[5][2];
        for (int i = 0; i < 10; i++) {
            const float v = dv_template_112[i / 2][i % 2];
            p[i / 2][i % 2] = far ? v + 1e6f : v * 1e20f;
        }
        memset(rgb, 1, 3 * 112 * 112);
        if (dmv_align(&img, p, rgb) == DMV_OK) {
            for (int i = 200; i < 3 * 112 * 112; i++) {
                assert_int_equal(rgb[i], 0);
            }
        }
    }
    free(rgb);
}

static uint8_t *noise(dmv_image *img, int w, int h, dmv_pixel_format f)
{
    uint8_t *p = test_pixels(img, w, h, f);
    uint32_t seed = 5;
    for (size_t i = 0; i < img->stride * (size_t)h; i++) {
        p[i] = (uint8_t)test_random(&seed);
    }
    return p;
}

static void warp_identity_and_shift(void **state)
{
    static const int offset[4][3] = {{0, 1, 2}, {2, 1, 0}, {0, 0, 0}, {0, 1, 2}};
    (void)state;
    for (int f = 0; f < 4; f++) {
        dmv_image img;
        uint8_t *p = noise(&img, 112, 112, (dmv_pixel_format)f), *out = malloc(3 * 112 * 112);
        const int ch = dv_image_channels(img.format);
        assert_int_equal(dmv_align(&img, dv_template_112, out), DMV_OK);
        for (int i = 0; i < 112 * 112; i++) {
            for (int c = 0; c < 3; c++) {
                assert_int_equal(out[3 * i + c], p[ch * i + offset[f][c]]);
            }
        }
        const float shift[6] = {1, 0, 10, 0, 1, -20}; /* source to output */
        dv_warp_rgb(&img, shift, 112, 112, out, 336);
        for (int y = 0; y < 112; y++) {
            for (int x = 0; x < 112; x++) {
                const int sx = x - 10, sy = y + 20;
                const bool in = sx >= 0 && sy < 112;
                for (int c = 0; c < 3; c++) {
                    assert_int_equal(out[(y * 112 + x) * 3 + c],
                                     in ? p[(sy * 112 + sx) * ch + offset[f][c]] : 0);
                }
            }
        }
        free(p);
        free(out);
    }
}

/* A picture shrunk by a whole number averages blocks; nothing singular is read. */
static void warp_shrinks_by_averaging(void **state)
{
    enum { K = 4 };
    dmv_image img;
    uint8_t *p = noise(&img, 112 * K, 112 * K, DMV_PIXEL_RGB8), *out = malloc(3 * 112 * 112);
    const float m[6] = {1.0f / K, 0, 0.5f / K - 0.5f, 0, 1.0f / K, 0.5f / K - 0.5f};
    const float singular[6] = {1, 1, 0, 1, 1, 0}, nan[6] = {NAN, 0, 0, 0, 1, 0};
    (void)state;
    dv_warp_rgb(&img, m, 112, 112, out, 336);
    for (int i = 0; i < 112 * 112; i++) {
        double s = 0;
        for (int k = 0; k < K * K; k++) {
            s += p[3 * ((size_t)(i / 112 * K + k / K) * 112 * K + (size_t)(i % 112 * K + k % K))];
        }
        assert_near(out[3 * i], s / (K * K), 0.51);
    }
    dv_warp_rgb(&img, singular, 112, 112, out, 336);
    assert_int_equal(out[1000], 0);
    dv_warp_rgb(&img, nan, 112, 112, out, 336);
    assert_int_equal(out[1000], 0);
    free(p);
    free(out);
}

static void points_68_to_5(void **state)
{
    float p[68][2], five[5][2];
    (void)state;
    for (int i = 0; i < 68; i++) {
        p[i][0] = (float)i;
        p[i][1] = (float)(100 - i);
    }
    dv_landmarks_68_to_5(p, five);
    const double want[5] = {39, 45, 30, 54, 59};
    for (int i = 0; i < 5; i++) {
        assert_near(five[i][0], want[i], 1e-4);
        assert_near(five[i][1], 100 - want[i], 1e-4);
    }
}

static void landmark_crops(void **state)
{
    const dmv_image img = {.width = 100, .height = 50};
    const float box[4] = {10, 10, 20, 20}, out[4] = {200, 10, 20, 20}, bad[4] = {NAN, 0, 9, 9};
    const float wide[4] = {20, 20, 40, 10};
    const float huge[4] = {-1e30f, -1e30f, 3e30f, 3e30f};
    float c[4];
    (void)state;
    assert_true(dv_landmark_crop(&img, box, 1, c));
    for (int i = 0; i < 4; i++) {
        assert_near(c[i], box[i], 0);
    }
    assert_true(dv_landmark_crop(&img, box, 2, c)); /* 0..40 both ways */
    assert_near(c[0], 0, 0);
    assert_near(c[2], 40, 0);
    assert_true(dv_landmark_crop(&img, box, 3, c)); /* -10..50, clipped */
    assert_near(c[0], 0, 0);
    assert_near(c[2], 50, 0);
    assert_true(dv_landmark_crop(&img, wide, 1, c)); /* a square of 40 */
    assert_near(c[0], 20, 0);
    assert_near(c[1], 5, 0);
    assert_near(c[2], 40, 0);
    assert_near(c[3], 40, 0);
    assert_false(dv_landmark_crop(&img, out, 1, c));
    assert_false(dv_landmark_crop(&img, bad, 1, c));
    if (dv_landmark_crop(&img, huge, 1, c)) {
        assert_true(c[0] >= 0 && c[0] + c[2] <= 100 && c[1] >= 0 && c[1] + c[3] <= 50);
    }
}

static void landmark_bounds(void **state)
{
    float box[4];
    (void)state;
    dv_landmark_bounds(dv_template_112, 5, box);
    assert_near(box[0], 38.2946, 1e-4);
    assert_near(box[1], 51.5014, 1e-4);
    assert_near(box[2], 73.5318 - 38.2946, 1e-4);
    assert_near(box[3], 92.3655 - 51.5014, 1e-4);
    dv_landmark_bounds(dv_template_112, 1, box);
    assert_near(box[2], 0, 0);
}

/* ---- quality ---- */

/* A face-like picture with detail everywhere: sines of several periods. */
static uint8_t *pattern(dmv_image *img, int side, double gain)
{
    uint8_t *p = test_pixels(img, side, side, DMV_PIXEL_GRAY8);
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            const double v = 128 + 60 * sin(x * 1.1) * sin(y * 0.9) + 30 * sin(x * 0.13 + y * 0.2);
            p[y * side + x] = (uint8_t)fmin(fmax(v * gain, 0), 255);
        }
    }
    return p;
}

static void blur(uint8_t *p, int side)
{
    uint8_t *q = malloc((size_t)side * (size_t)side);
    memcpy(q, p, (size_t)side * (size_t)side);
    for (int y = 1; y < side - 1; y++) {
        for (int x = 1; x < side - 1; x++) {
            int s = 0;
            for (int k = 0; k < 9; k++) {
                s += q[(y + k / 3 - 1) * side + x + k % 3 - 1];
            }
            p[y * side + x] = (uint8_t)(s / 9);
        }
    }
    free(q);
}

static dmv_quality quality_of(const dmv_image *img, const float (*points)[2])
{
    dmv_quality q;
    dmv_face f = {.has_landmarks = 1};
    memcpy(f.landmarks, points, sizeof(f.landmarks));
    assert_int_equal(dmv_face_quality(img, &f, &q), DMV_OK);
    const float parts[5] = {q.size, q.pose, q.sharpness, q.exposure, q.total};
    for (int i = 0; i < 5; i++) {
        assert_true(parts[i] >= 0 && parts[i] <= 1);
    }
    assert_near(q.total, pow((double)q.size * q.pose * q.sharpness * q.exposure, 0.25), 1e-5);
    return q;
}

static void quality_sharpness(void **state)
{
    dmv_image img;
    uint8_t *p = pattern(&img, 112, 1);
    float last = quality_of(&img, dv_template_112).sharpness;
    (void)state;
    assert_true(last > 0.5f);
    for (int i = 0; i < 5; i++) {
        blur(p, 112);
        const float s = quality_of(&img, dv_template_112).sharpness;
        assert_true(s < last);
        last = s;
    }
    free(p);
}

static void quality_exposure(void **state)
{
    static const double gains[] = {1, 0.5, 0.3, 0.2, 0.1, 0.02};
    float last = 2;
    (void)state;
    for (size_t i = 0; i < DV_COUNT(gains); i++) {
        dmv_image img;
        uint8_t *p = pattern(&img, 112, gains[i]);
        const float e = quality_of(&img, dv_template_112).exposure;
        assert_true(i == 0 ? e > 0.8f : e <= last);
        last = e;
        free(p);
    }
    assert_near(last, 0, 0);
    dmv_image img;
    uint8_t *p = pattern(&img, 112, 2.5);
    assert_true(quality_of(&img, dv_template_112).exposure < 0.8f);
    free(p);
}

/* Five points on a head turned by yaw and pitch, seen from far away. */
static void head(double yaw, double pitch, double scale, float out[5][2])
{
    static const double model[5][3] = {
        {-17.6, -20.4, 0}, {17.6, -20.4, 0}, {0, 0, 14}, {-14.6, 20.4, 2}, {14.6, 20.4, 2}};
    for (int i = 0; i < 5; i++) {
        const double x = model[i][0], y = model[i][1], z = model[i][2];
        const double x1 = x * cos(yaw) + z * sin(yaw), z1 = -x * sin(yaw) + z * cos(yaw);
        const double y1 = y * cos(pitch) - z1 * sin(pitch);
        out[i][0] = (float)(56 + scale * x1);
        out[i][1] = (float)(72 + scale * y1);
    }
}

static void quality_pose_and_size(void **state)
{
    dmv_image img;
    uint8_t *p = pattern(&img, 112, 1);
    float points[5][2], last = 2;
    (void)state;
    assert_true(quality_of(&img, dv_template_112).pose > 0.9f);
    for (int deg = 0; deg <= 80; deg += 10) {
        head(deg * M_PI / 180, 0, 1, points);
        const float pose = quality_of(&img, points).pose;
        assert_true(deg == 0 ? pose > 0.95f : pose < last || pose == 0);
        last = pose;
        float other[5][2];
        head(-deg * M_PI / 180, 0, 1, other);
        assert_near(quality_of(&img, other).pose, pose, 1e-4);
    }
    assert_true(last < 0.2f);
    last = 2;
    for (int deg = 0; deg <= 50; deg += 10) {
        head(0, deg * M_PI / 180, 1, points);
        const float pose = quality_of(&img, points).pose;
        assert_true(pose < last);
        last = pose;
    }
    head(0, 0, 1, points);
    assert_near(quality_of(&img, points).size, 35.2 / 48, 1e-4);
    head(0, 0, 0.25, points);
    assert_near(quality_of(&img, points).size, 8.8 / 48, 1e-4);
    head(0, 0, 3, points);
    assert_near(quality_of(&img, points).size, 1, 0);
    free(p);
}

static void quality_refuses(void **state)
{
    dmv_image img;
    uint8_t *p = pattern(&img, 112, 1);
    dmv_face f = {.has_landmarks = 0};
    dmv_quality q;
    (void)state;
    memcpy(f.landmarks, dv_template_112, sizeof(f.landmarks));
    assert_int_equal(dmv_face_quality(&img, &f, &q), DMV_ERR_ARGUMENT);
    f.has_landmarks = 1;
    assert_int_equal(dmv_face_quality(&img, &f, NULL), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_face_quality(&img, NULL, &q), DMV_ERR_ARGUMENT);
    memset(f.landmarks, 0, sizeof(f.landmarks));
    assert_int_equal(dmv_face_quality(&img, &f, &q), DMV_ERR_ARGUMENT);
    free(p);
}

static void similarity(void **state)
{
    const float a[3] = {1, 2, 3}, b[3] = {-2, -4, -6}, c[3] = {3, 0, -1}, zero[3] = {0};
    const float nan[3] = {1, NAN, 0}, big[3] = {3e38f, 3e38f, 3e38f};
    (void)state;
    assert_near(dmv_similarity(a, a, 3), 1, 1e-6);
    assert_near(dmv_similarity(a, b, 3), -1, 1e-6);
    assert_near(dmv_similarity(a, c, 3), 0, 1e-6);
    assert_near(dmv_similarity(a, zero, 3), 0, 0);
    assert_near(dmv_similarity(a, nan, 3), 0, 0);
    assert_near(dmv_similarity(big, big, 3), 1, 1e-6);
    assert_near(dmv_similarity(NULL, a, 3), 0, 0);
    assert_near(dmv_similarity(a, a, 0), 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recovers_known_transforms),
        cmocka_unit_test(never_reflects),
        cmocka_unit_test(refuses_degenerate_points),
        cmocka_unit_test(warp_identity_and_shift),
        cmocka_unit_test(warp_shrinks_by_averaging),
        cmocka_unit_test(points_68_to_5),
        cmocka_unit_test(landmark_crops),
        cmocka_unit_test(landmark_bounds),
        cmocka_unit_test(quality_sharpness),
        cmocka_unit_test(quality_exposure),
        cmocka_unit_test(quality_pose_and_size),
        cmocka_unit_test(quality_refuses),
        cmocka_unit_test(similarity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
