/* SPDX-License-Identifier: Apache-2.0
 *
 * test_decode.c - each decoder on outputs made by hand, against boxes worked out by hand; what
 * hostile nets may put out; keeping the best when there are too many; properties of NMS.
 */
#include "fake.h"

static void names(void **state)
{
    (void)state;
    assert_ptr_equal(dv_decoder_find("yunet"), &dv_decoder_yunet);
    assert_ptr_equal(dv_decoder_find("ultraface"), &dv_decoder_ultraface);
    assert_ptr_equal(dv_decoder_find("ultraface-raw"), &dv_decoder_ultraface_raw);
    assert_ptr_equal(dv_decoder_find("retinaface"), &dv_decoder_retinaface);
    assert_null(dv_decoder_find("yunet2"));
    assert_null(dv_decoder_find(""));
    assert_null(dv_decoder_find(NULL));
}

/* ---- YuNet, input 96 x 64: 12 x 8, 6 x 4 and 3 x 2 cells ---- */

static const char *const yunet_names[3][4] = {{"cls_8", "obj_8", "bbox_8", "kps_8"},
                                              {"cls_16", "obj_16", "bbox_16", "kps_16"},
                                              {"cls_32", "obj_32", "bbox_32", "kps_32"}};

static void yunet_make(fake *f, float *v[3][4])
{
    static const int64_t widths[4] = {1, 1, 4, 10};
    memset(f, 0, sizeof(*f));
    for (int k = 3; k >= 0; k--) { /* any order: outputs are found by name */
        for (int s = 0; s < 3; s++) {
            v[s][k] =
                fake_add(f, yunet_names[s][k], (size_t)(12 >> s) * (size_t)(8 >> s), widths[k]);
        }
    }
}

static void yunet(void **state)
{
    fake f;
    float *v[3][4];
    dv_err e = {0};
    (void)state;
    yunet_make(&f, v);
    assert_int_equal(dv_decoder_yunet.check(&f.g, &e), DMV_OK);
    const float bbox[4] = {0.5f, -0.25f, logf(2), logf(3)};
    const size_t c16 = 2 * 6 + 4; /* stride 16: row 2, col 4 */
    v[1][0][c16] = 0.81f;
    v[1][1][c16] = 1.7f; /* clipped to 1 */
    memcpy(v[1][2] + 4 * c16, bbox, sizeof(bbox));
    for (int i = 0; i < 10; i++) {
        v[1][3][10 * c16 + (size_t)i] = 0.1f * (float)i;
    }
    v[0][0][95] = v[0][1][95] = 1; /* stride 8: the last cell, row 7, col 11, all zero */
    v[2][0][0] = 1;                /* obj 0: no face */
    v[2][0][1] = v[2][1][1] = 0.49f;
    dv_decode_args a = args_of(&f, 96, 64);
    assert_true(dv_decoder_yunet.run(&a));
    assert_int_equal(a.n, 2);
    assert_near(found[0].score, 1, 1e-6);
    assert_box(&found[0], 11 * 8 - 4, 7 * 8 - 4, 8, 8);
    assert_near(found[1].score, 0.9, 1e-6);
    assert_box(&found[1], 4.5 * 16 - 16, 1.75 * 16 - 24, 32, 48);
    assert_int_equal(found[1].has_landmarks, 1);
    assert_near(found[1].quality, -1, 0);
    for (int j = 0; j < 5; j++) {
        assert_near(found[1].landmarks[j][0], (4 + 0.2 * j) * 16, 1e-4);
        assert_near(found[1].landmarks[j][1], (2 + 0.2 * j + 0.1) * 16, 1e-4);
    }
    /* another input size does not fit these outputs */
    a = args_of(&f, 96, 96);
    assert_false(dv_decoder_yunet.run(&a));
    fake_free(&f);
}

static void yunet_hostile(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 88, 1e9f};
    fake f;
    float *v[3][4];
    (void)state;
    yunet_make(&f, v);
    for (size_t i = 0; i < DV_COUNT(odd); i++) {
        for (int k = 0; k < 14; k++) {
            for (int s = 0; s < 3; s++) {
                memset(v[s][2], 0, sizeof(float) * 4);
                memset(v[s][3], 0, sizeof(float) * 10);
                v[s][0][0] = v[s][1][0] = 1;
                *(k < 4 ? &v[s][2][k] : &v[s][3][k - 4]) = odd[i];
            }
            dv_decode_args a = args_of(&f, 96, 64);
            assert_true(dv_decoder_yunet.run(&a));
            for (size_t n = 0; n < a.n; n++) { /* a tiny box (exp(-1e30) = 0) is dropped too */
                for (int b = 0; b < 4; b++) {
                    assert_true(fabsf(found[n].box[b]) < DV_FACE_REACH);
                }
                assert_true(found[n].box[2] > 0 && found[n].box[3] > 0);
            }
            /* 88 is no nonsense for a shift, and exp(88) is for a size */
            assert_true(a.n == 0 || (odd[i] == 88 && k != 2 && k != 3));
        }
        for (int s = 0; s < 3; s++) {
            memset(v[s][2], 0, sizeof(float) * 4);
            memset(v[s][3], 0, sizeof(float) * 10);
            v[s][0][0] = odd[i];
        }
        dv_decode_args a = args_of(&f, 96, 64);
        assert_true(dv_decoder_yunet.run(&a));
        assert_int_equal(a.n, odd[i] > 0 ? 3 : 0); /* scores are clipped to 0..1 */
    }
    fake_free(&f);
}

static void yunet_refuses(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        fake f;
        float *v[3][4];
        dv_err e = {0};
        yunet_make(&f, v);
        dv_gtensor *t = &f.tensors[4];
        switch (i) {
        case 0:
            t->name = (char *)(uintptr_t) "other";
            break;
        case 1:
            t->rank = 2;
            break;
        default:
            t->dims[2] = 7;
            break;
        }
        assert_int_equal(dv_decoder_yunet.check(&f.g, &e), DMV_ERR_UNSUPPORTED);
        assert_true(e.msg[0] != 0);
        fake_free(&f);
    }
}

/* ---- Ultra-Light ---- */

static void ultraface(void **state)
{
    fake f = {0};
    dv_err e = {0};
    (void)state;
    float *boxes = fake_add(&f, "boxes", 3, 4), *scores = fake_add(&f, "scores", 3, 2);
    const float b[12] = {0.1f, 0.2f, 0.5f, 0.6f, 0, 0, 1, 1, 0.5f, 0.5f, 0.4f, 0.6f};
    memcpy(boxes, b, sizeof(b));
    scores[1] = 0.8f;
    scores[3] = 0.4f; /* too low */
    scores[5] = 0.9f; /* right of left: not a box */
    assert_int_equal(dv_decoder_ultraface.check(&f.g, &e), DMV_OK);
    dv_decode_args a = args_of(&f, 320, 240);
    assert_true(dv_decoder_ultraface.run(&a));
    assert_int_equal(a.n, 1);
    assert_box(&found[0], 32, 48, 128, 96);
    assert_near(found[0].score, 0.8, 1e-6);
    assert_int_equal(found[0].has_landmarks, 0);
    f.values[1].count = 4; /* outputs that do not belong together */
    a = args_of(&f, 320, 240);
    assert_false(dv_decoder_ultraface.run(&a));
    fake_free(&f);
    fake_add(&f, "boxes", 3, 4);
    assert_int_equal(dv_decoder_ultraface.check(&f.g, &e), DMV_ERR_UNSUPPORTED);
    fake_free(&f);
}

static void ultraface_raw(void **state)
{
    fake f = {0};
    (void)state;
    /* 320 x 240: 40 x 30 x 3 + 20 x 15 x 2 + 10 x 8 x 2 + 5 x 4 x 3 = 4420 priors */
    float *boxes = fake_add(&f, "boxes", 4420, 4), *scores = fake_add(&f, "scores", 4420, 2);
    const size_t p8 = (3 * 40 + 7) * 3 + 1;           /* stride 8, row 3, col 7, side 16 */
    const size_t p32 = 3600 + 600 + (7 * 10 + 9) * 2; /* stride 32, row 7, col 9, side 64 */
    const size_t p64 = 4420 - 1;                      /* the last: row 3, col 4, side 256 */
    const float d[4] = {1, -2, logf(2) / 0.2f, 0};
    memcpy(boxes + 4 * p8, d, sizeof(d));
    scores[2 * p8 + 1] = 0.7f;
    scores[2 * p32 + 1] = 0.8f;
    scores[2 * p64 + 1] = 0.9f;
    dv_decode_args a = args_of(&f, 320, 240);
    assert_true(dv_decoder_ultraface_raw.run(&a));
    assert_int_equal(a.n, 3);
    assert_box(&found[0], 60 + 1.6 - 16, 28 - 3.2 - 8, 32, 16);
    assert_box(&found[1], 304 - 32, 7.5 * 30 - 32, 64, 64);     /* 8 rows of 30, not of 32 */
    assert_box(&found[2], 288 - 128, 3.5 * 60 - 120, 256, 240); /* the prior is clipped to 240 */
    a = args_of(&f, 320, 256);
    assert_true(dv_decoder_ultraface_raw.run(&a) == false);
    fake_free(&f);
}

/* The decoded kind and the raw kind of one net differ by the arithmetic only. */
static void ultraface_kinds_agree(void **state)
{
    fake raw = {0}, cooked = {0};
    uint32_t seed = 21;
    (void)state;
    float *rb = fake_add(&raw, "boxes", 4420, 4), *rs = fake_add(&raw, "scores", 4420, 2);
    for (size_t i = 0; i < 40; i++) {
        const size_t p = test_random(&seed) % 4420;
        rs[2 * p + 1] = test_uniform(&seed, 0.5f, 1);
        for (int k = 0; k < 4; k++) {
            rb[4 * p + (size_t)k] = test_uniform(&seed, -2, 2);
        }
    }
    dv_decode_args a = args_of(&raw, 320, 240);
    assert_true(dv_decoder_ultraface_raw.run(&a));
    assert_true(a.n > 30);
    dmv_face first[64];
    memcpy(first, found, sizeof(first));
    float *cb = fake_add(&cooked, "boxes", a.n, 4), *cs = fake_add(&cooked, "scores", a.n, 2);
    for (size_t i = 0; i < a.n; i++) {
        cs[2 * i + 1] = first[i].score;
        cb[4 * i] = first[i].box[0] / 320;
        cb[4 * i + 1] = first[i].box[1] / 240;
        cb[4 * i + 2] = (first[i].box[0] + first[i].box[2]) / 320;
        cb[4 * i + 3] = (first[i].box[1] + first[i].box[3]) / 240;
    }
    const size_t n = a.n;
    a = args_of(&cooked, 320, 240);
    assert_true(dv_decoder_ultraface.run(&a));
    assert_int_equal(a.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_box(&found[i], first[i].box[0], first[i].box[1], first[i].box[2], first[i].box[3]);
    }
    fake_free(&raw);
    fake_free(&cooked);
}

/* ---- RetinaFace, input 64 x 32: (8 x 4 + 4 x 2 + 2 x 1) x 2 = 84 priors ---- */

static void retinaface(void **state)
{
    (void)state;
    for (int logits = 0; logits < 2; logits++) {
        fake f = {0};
        dv_err e = {0};
        float *conf = fake_add(&f, "b", 84, 2), *points = fake_add(&f, "c", 84, 10);
        float *loc = fake_add(&f, "a", 84, 4);
        assert_int_equal(dv_decoder_retinaface.check(&f.g, &e), DMV_OK);
        for (size_t i = 0; i < 84; i++) {
            conf[2 * i] = logits ? 4 : 1;
            conf[2 * i + 1] = logits ? -4 : 0;
        }
        const size_t p16 = 64 + (1 * 4 + 2) * 2 + 1; /* step 16, row 1, col 2, side 128 */
        const float d[4] = {0.5f, 1, 0, logf(0.5f) / 0.2f};
        memcpy(loc + 4 * p16, d, sizeof(d));
        for (int i = 0; i < 10; i++) {
            points[10 * p16 + (size_t)i] = (float)i - 5;
        }
        conf[2 * p16] = logits ? 1 : 0.25f;
        conf[2 * p16 + 1] = logits ? 1 + logf(3) : 0.75f;
        conf[2 * 83] = logits ? 0 : 0.4f; /* the last: step 32, row 0, col 1, side 512 */
        conf[2 * 83 + 1] = logits ? logf(1.5f) : 0.6f;
        dv_decode_args a = args_of(&f, 64, 32);
        assert_true(dv_decoder_retinaface.run(&a));
        assert_int_equal(a.n, 2);
        assert_near(found[0].score, 0.75, 1e-6);
        assert_box(&found[0], 40 + 6.4 - 64, 24 + 12.8 - 32, 128, 64);
        for (int j = 0; j < 5; j++) {
            assert_near(found[0].landmarks[j][0], 40 + 12.8 * (2 * j - 5), 1e-3);
            assert_near(found[0].landmarks[j][1], 24 + 12.8 * (2 * j - 4), 1e-3);
        }
        assert_near(found[1].score, 0.6, 1e-6);
        assert_box(&found[1], 48 - 256, 16 - 256, 512, 512);
        a = args_of(&f, 64, 64);
        assert_false(dv_decoder_retinaface.run(&a));
        f.tensors[2].dims[2] = 5;
        assert_int_equal(dv_decoder_retinaface.check(&f.g, &e), DMV_ERR_UNSUPPORTED);
        fake_free(&f);
    }
}

/* ---- keeping the best ---- */

static int by_score(const void *a, const void *b)
{
    const float x = ((const dmv_face *)a)->score, y = ((const dmv_face *)b)->score;
    return (x < y) - (x > y);
}

static void push_keeps_the_best(void **state)
{
    uint32_t seed = 9;
    (void)state;
    for (size_t cap = 0; cap <= 64; cap += cap < 3 ? 1 : 61) {
        dmv_face all[500];
        dv_decode_args a = {.min_score = 0.1f, .out = found, .cap = cap};
        size_t n = 0;
        for (int i = 0; i < 500; i++) {
            const dmv_face f = {.score = test_uniform(&seed, 0, 1), .box = {0, 0, 1, (float)i + 1}};
            dv_decode_push(&a, &f);
            if (f.score >= 0.1f) {
                all[n++] = f;
            }
        }
        assert_int_equal(a.n, cap);
        qsort(all, n, sizeof(*all), by_score);
        qsort(found, a.n, sizeof(*found), by_score);
        for (size_t i = 0; i < cap; i++) {
            assert_near(found[i].score, all[i].score, 0);
            assert_near(found[i].box[3], all[i].box[3], 0);
        }
    }
}

static void push_refuses_nonsense(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e7f, -1e7f};
    const dmv_face good = {.score = 0.9f, .box = {1, 2, 3, 4}, .has_landmarks = 1};
    dv_decode_args a = {.out = found, .cap = 64};
    (void)state;
    for (size_t i = 0; i < DV_COUNT(odd); i++) {
        for (int k = 0; k < 15; k++) {
            dmv_face f = good;
            *(k < 4 ? &f.box[k] : k < 14 ? &f.landmarks[(k - 4) / 2][k % 2] : &f.score) = odd[i];
            dv_decode_push(&a, &f);
        }
    }
    dmv_face flat = good;
    flat.box[2] = 0;
    dv_decode_push(&a, &flat);
    assert_int_equal(a.n, 0);
    dv_decode_push(&a, &good);
    assert_int_equal(a.n, 1);
}

/* ---- NMS ---- */

static void iou(void **state)
{
    const float a[4] = {0, 0, 10, 10}, half[4] = {5, 0, 10, 10}, in[4] = {2, 2, 5, 5};
    const float away[4] = {10, 0, 5, 5}, nan[4] = {NAN, 0, 10, 10}, neg[4] = {5, 5, -3, 10};
    const float huge[4] = {-1e38f, -1e38f, 3e38f, 3e38f};
    (void)state;
    assert_near(dv_iou(a, a), 1, 1e-6);
    assert_near(dv_iou(a, half), 50.0 / 150, 1e-6);
    assert_near(dv_iou(half, a), 50.0 / 150, 1e-6);
    assert_near(dv_iou(a, in), 0.25, 1e-6);
    assert_near(dv_iou(a, away), 0, 0);
    assert_near(dv_iou(a, nan), 0, 0);
    assert_near(dv_iou(nan, a), 0, 0);
    assert_near(dv_iou(a, neg), 0, 0);
    assert_near(dv_iou(huge, huge), 1, 1e-6);
    assert_near(dv_iou(huge, a), 0, 1e-6);
}

static void nms_properties(void **state)
{
    uint32_t seed = 77;
    static dmv_face f[300], in[300];
    (void)state;
    for (int round = 0; round < 60; round++) {
        const size_t n = test_random(&seed) % 300;
        const float limit = test_uniform(&seed, 0.1f, 0.9f);
        for (size_t i = 0; i < n; i++) {
            in[i] = (dmv_face){.score = (float)(test_random(&seed) % 16) / 16,
                               .box = {test_uniform(&seed, 0, 100), test_uniform(&seed, 0, 100),
                                       test_uniform(&seed, 5, 40), test_uniform(&seed, 5, 40)},
                               .quality = (float)i}; /* who it was */
        }
        memcpy(f, in, sizeof(f));
        const size_t kept = dv_nms(f, n, limit);
        assert_true(kept <= n && (kept > 0 || n == 0));
        for (size_t i = 0; i < kept; i++) {
            if (i) { /* sorted; ties by lower index */
                assert_true(f[i - 1].score > f[i].score ||
                            (f[i - 1].score == f[i].score && f[i - 1].quality < f[i].quality));
            }
            for (size_t j = 0; j < i; j++) { /* nobody left overlaps */
                assert_true(dv_iou(f[i].box, f[j].box) <= limit);
            }
        }
        for (size_t i = 0; i < n; i++) { /* who is gone overlaps somebody better who stayed */
            bool stayed = false, beaten = false;
            for (size_t j = 0; j < kept; j++) {
                stayed |= f[j].quality == in[i].quality;
                beaten |= dv_iou(f[j].box, in[i].box) > limit &&
                          (f[j].score > in[i].score ||
                           (f[j].score == in[i].score && f[j].quality < in[i].quality));
            }
            assert_true(stayed != beaten);
        }
        static dmv_face again[300];
        memcpy(again, f, sizeof(f));
        assert_int_equal(dv_nms(again, kept, limit), kept); /* done once is done */
        assert_memory_equal(again, f, kept * sizeof(*f));
    }
}

static void nms_drops_nan(void **state)
{
    dmv_face f[5] = {{.score = NAN, .box = {0, 0, 1, 1}},
                     {.score = 0.5f, .box = {0, 0, NAN, 1}},
                     {.score = 0.6f, .box = {50, 0, 1, 1}},
                     {.score = INFINITY, .box = {0, 0, 1, 1}},
                     {.score = 0.7f, .box = {0, 0, 1, 1}}};
    (void)state;
    assert_int_equal(dv_nms(f, 5, 0.5f), 2);
    assert_near(f[0].score, 0.7, 1e-6);
    assert_near(f[1].score, 0.6, 1e-6);
    assert_int_equal(dv_nms(f, 0, 0.5f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(yunet),
        cmocka_unit_test(yunet_hostile),
        cmocka_unit_test(yunet_refuses),
        cmocka_unit_test(ultraface),
        cmocka_unit_test(ultraface_raw),
        cmocka_unit_test(ultraface_kinds_agree),
        cmocka_unit_test(retinaface),
        cmocka_unit_test(push_keeps_the_best),
        cmocka_unit_test(push_refuses_nonsense),
        cmocka_unit_test(iou),
        cmocka_unit_test(nms_properties),
        cmocka_unit_test(nms_drops_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
