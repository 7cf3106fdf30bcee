/* SPDX-License-Identifier: Apache-2.0
 *
 * test_objects.c - the decoders of SCRFD, BlazeFace, SSD and FastestDet on outputs made by hand,
 * against boxes worked out by hand, and what hostile nets may put out; a detector of objects with a
 * net that always answers the same: classes, their names, suppression, the way back to pixels.
 */
#include "fake.h"

/* ---- SCRFD, input 96 x 64: 12 x 8, 6 x 4 and 3 x 2 cells ---- */

static const char *const scrfd_names[3][3] = {{"score_8", "bbox_8", "kps_8"},
                                              {"score_16", "bbox_16", "kps_16"},
                                              {"score_32", "bbox_32", "kps_32"}};

static void scrfd(void **state)
{
    static const int64_t widths[3] = {2, 8, 20};
    fake f = {0};
    float *v[3][3];
    dv_err e = {0};
    (void)state;
    for (int k = 2; k >= 0; k--) {
        for (int s = 0; s < 3; s++) {
            v[s][k] = fake_tensor(&f, scrfd_names[s][k], widths[k], 8 >> s, 12 >> s);
        }
    }
    assert_int_equal(dv_decoder_scrfd.check(&f.g, &e), DMV_OK);
    /* stride 16, anchor 1, row 2, col 4 */
    const size_t cells = 24, c = 2 * 6 + 4;
    v[1][0][cells + c] = 0.75f;
    for (size_t i = 0; i < 4; i++) {
        v[1][1][(4 + i) * cells + c] = 0.5f + 0.25f * (float)i;
    }
    for (size_t i = 0; i < 10; i++) {
        v[1][2][(10 + i) * cells + c] = 0.1f * (float)i - 0.5f;
    }
    v[0][0][95] = 0.49f;
    v[2][0][0] = 1; /* a box without a size */
    dv_decode_args a = args_of(&f, 96, 64);
    assert_true(dv_decoder_scrfd.run(&a));
    assert_int_equal(a.n, 1);
    assert_near(found[0].score, 0.75, 1e-6);
    assert_box(&found[0], 64 - 8, 32 - 12, 8 + 16, 12 + 20);
    for (int j = 0; j < 5; j++) {
        assert_near(found[0].landmarks[j][0], (4 + 0.2 * j - 0.5) * 16, 1e-3);
        assert_near(found[0].landmarks[j][1], (2 + 0.2 * j - 0.4) * 16, 1e-3);
    }
    a = args_of(&f, 96, 96);
    assert_false(dv_decoder_scrfd.run(&a));
    f.tensors[0].dims[1] = 10;
    assert_int_equal(dv_decoder_scrfd.check(&f.g, &e), DMV_ERR_UNSUPPORTED);
    f.tensors[0].name = (char *)(uintptr_t) "other";
    assert_int_equal(dv_decoder_scrfd.check(&f.g, &e), DMV_ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "kps_8"));
    fake_free(&f);
}

/* ---- BlazeFace ---- */

static void blazeface(void **state)
{
    fake f = {0};
    dv_err e = {0};
    float *r = fake_add(&f, "regressors", 896, 16), *s = fake_add(&f, "classificators", 896, 1);
    (void)state;
    assert_int_equal(dv_decoder_blazeface.check(&f.g, &e), DMV_OK);
    for (int i = 0; i < 896; i++) {
        s[i] = -4;
    }
    /* the coarse map: row 2, col 5, anchor 3: its middle is 88, 40 */
    const size_t at = 512 + (2 * 8 + 5) * 6 + 3;
    const float box[4] = {4, -8, 32, 40};
    s[at] = logf(3); /* 3/4 */
    memcpy(r + 16 * at, box, sizeof(box));
    for (int i = 0; i < 12; i++) {
        r[16 * at + 4 + (size_t)i] = (float)i; /* eyes 0,1 and 2,3; nose 4,5; mouth 6,7 */
    }
    s[(3 * 16 + 1) * 2] = 80; /* the fine map: row 3, col 1: its middle is 12, 28 */
    r[16 * (3 * 16 + 1) * 2 + 2] = r[16 * (3 * 16 + 1) * 2 + 3] = 10;
    dv_decode_args a = args_of(&f, 128, 128);
    assert_true(dv_decoder_blazeface.run(&a));
    assert_int_equal(a.n, 2);
    assert_near(found[0].score, 1, 1e-6);
    assert_box(&found[0], 7, 23, 10, 10);
    assert_near(found[1].score, 0.75, 1e-6);
    assert_box(&found[1], 92 - 16, 32 - 20, 32, 40);
    const double want[5][2] = {
        {88, 41}, {90, 43}, {92, 45}, {94 - 0.828, 47 - 0.828}, {94 + 0.828, 47 + 0.828}};
    for (int j = 0; j < 5; j++) {
        for (int k = 0; k < 2; k++) {
            assert_near(found[1].landmarks[j][k], want[j][k], 1e-3);
        }
    }
    a = args_of(&f, 256, 256);
    assert_false(dv_decoder_blazeface.run(&a));
    f.tensors[0].dims[2] = 15;
    assert_int_equal(dv_decoder_blazeface.check(&f.g, &e), DMV_ERR_UNSUPPORTED);
    fake_free(&f);
}

/* ---- SSD ---- */

static void ssd(void **state)
{
    static const float box[12] = {0.1f, 0.2f, 0.3f, 0.6f, 0, 0, 1, 1, 0.5f, 0.5f, 0.4f, 0.9f};
    static const float score[9] = {0.1f, 0.7f, 0.65f, 0.2f, 0.3f, 0.4f, 0.9f, 0, 0};
    fake f = {0};
    dv_err e = {0};
    int32_t classes[64];
    (void)state;
    memcpy(fake_add(&f, "ssd_scores", 3, 3), score, sizeof(score));
    memcpy(fake_add(&f, "ssd_boxes", 3, 4), box, sizeof(box));
    assert_int_equal(dv_decoder_ssd.check(&f.g, &e), DMV_OK);
    dv_decode_args a = args_of(&f, 300, 200);
    a.classes = classes;
    assert_true(dv_decoder_ssd.run(&a)); /* the second is below 0.5, the third upside down */
    assert_int_equal(a.n, 1);
    assert_int_equal(classes[0], 1);
    assert_near(found[0].score, 0.7, 1e-6);
    assert_box(&found[0], 60, 20, 120, 40);
    a = args_of(&f, 300, 200); /* without a place for classes, too */
    a.only = 3;
    assert_true(dv_decoder_ssd.run(&a));
    assert_int_equal(a.n, 1);
    assert_near(found[0].score, 0.65, 1e-6);
    a = args_of(&f, 300, 200);
    a.only = 4;
    assert_true(dv_decoder_ssd.run(&a));
    assert_int_equal(a.n, 0);
    f.values[0].count = 8;
    a = args_of(&f, 300, 200);
    assert_false(dv_decoder_ssd.run(&a));
    f.tensors[1].dims[2] = 5;
    assert_int_equal(dv_decoder_ssd.check(&f.g, &e), DMV_ERR_UNSUPPORTED);
    fake_free(&f);
}

/* ---- FastestDet: 3 classes, 4 x 2 cells, input 64 x 32 ---- */

static void fastestdet(void **state)
{
    fake f = {0};
    dv_err e = {0};
    int32_t classes[64];
    float *v = fake_tensor(&f, "out", 8, 2, 4);
    (void)state;
    assert_int_equal(dv_decoder_fastestdet.check(&f.g, &e), DMV_OK);
    const size_t c = 1 * 4 + 2;
    const float cell[8] = {0.81f, 0.5493061f, -0.5493061f, 0, 1.0986123f, 0.1f, 0.2f, 0.7f};
    for (size_t i = 0; i < 8; i++) {
        v[i * 8 + c] = cell[i]; /* tanh = +-1/2, sigmoid 1/2 and 3/4 */
    }
    dv_decode_args a = args_of(&f, 64, 32);
    a.classes = classes;
    assert_true(dv_decoder_fastestdet.run(&a));
    assert_int_equal(a.n, 1);
    assert_int_equal(classes[0], 2);
    assert_near(found[0].score, pow(0.81, 0.6) * pow(0.7, 0.4), 1e-6);
    assert_box(&found[0], 2.5 * 16 - 16, 0.5 * 16 - 12, 32, 24);
    a = args_of(&f, 64, 32);
    a.only = 2;
    a.min_score = 0.3f;
    assert_true(dv_decoder_fastestdet.run(&a));
    assert_int_equal(a.n, 1);
    assert_near(found[0].score, pow(0.81, 0.6) * pow(0.2, 0.4), 1e-6);
    a.n = 0;
    a.only = 4;
    assert_true(dv_decoder_fastestdet.run(&a));
    assert_int_equal(a.n, 0);
    fake_tensor(&f, "more", 8, 2, 4);
    assert_int_equal(dv_decoder_fastestdet.check(&f.g, &e), DMV_ERR_UNSUPPORTED);
    fake_free(&f);
}

/* Numbers that a net should not give: nothing breaks, nothing that is no box is kept. */
static void hostile(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 88, 0.9f};
    uint32_t seed = 5;
    (void)state;
    for (int round = 0; round < 200; round++) {
        fake s = {0}, b = {0}, d = {0}, t = {0};
        for (int k = 0; k < 9; k++) {
            static const int64_t widths[3] = {2, 8, 20};
            fake_tensor(&s, scrfd_names[k / 3][k % 3], widths[k % 3], 4 >> k / 3, 4 >> k / 3);
        }
        fake_add(&b, "r", 896, 16);
        fake_add(&b, "c", 896, 1);
        fake_add(&d, "ssd_boxes", 20, 4);
        fake_add(&d, "ssd_scores", 20, 4);
        fake_tensor(&t, "o", 9, 4, 4);
        fake *const all[4] = {&s, &b, &d, &t};
        const dv_decoder *const decoders[4] = {&dv_decoder_scrfd, &dv_decoder_blazeface,
                                               &dv_decoder_ssd, &dv_decoder_fastestdet};
        for (int k = 0; k < 4; k++) {
            for (size_t i = 0; i < all[k]->n; i++) {
                for (size_t j = 0; j < all[k]->values[i].count; j++) {
                    all[k]->values[i].f[j] = odd[test_random(&seed) % DV_COUNT(odd)];
                }
            }
            int32_t classes[64];
            const int side = k == 1 ? 128 : 32;
            dv_decode_args a = args_of(all[k], side, side);
            a.classes = classes;
            assert_true(decoders[k]->run(&a));
            for (size_t i = 0; i < a.n; i++) {
                assert_true(found[i].score >= 0.5f && found[i].score <= 1);
                assert_true(found[i].box[2] > 0 && found[i].box[3] > 0 &&
                            found[i].box[2] < DV_FACE_REACH);
                assert_in_range(classes[i], 0, 3);
            }
            fake_free(all[k]);
        }
    }
}

/* ---- a detector of objects ---- */

static dmv_context *ctx;

/* SSD's outputs, whatever the picture [1, h, w, 3] shows: constants plus 0 times its mean. */
static uint8_t *make(dmv_model **model, int64_t w, int64_t h, int64_t n, const float *boxes,
                     int64_t classes, const float *scores, const char *fit, const char *labels)
{
    const int64_t in_dims[4] = {1, h, w, 3}, dims[2][3] = {{1, n, 4}, {1, n, classes}},
                  axes[3] = {1, 2, 3}, one[3] = {1, 1, 1}, flat[1] = {1};
    const float zero = 0, *const data[2] = {boxes, scores};
    static const char *const names[2] = {"ssd_boxes", "ssd_scores"};
    dv_graph g;
    dv_meta m = {0};
    dv_err e = {0};
    uint8_t *file = NULL;
    size_t size = 0;
    int32_t out[2];
    dv_graph_init(&g);
    const int32_t in = dv_graph_add_tensor(&g, "input", DV_F32, 4, in_dims);
    const int32_t mean = dv_graph_add_tensor(&g, NULL, DV_F32, 1, flat);
    const int32_t none = dv_graph_add_tensor(&g, NULL, DV_F32, 1, flat);
    int32_t node = dv_graph_add_node(&g, DV_OP_REDUCE, NULL, 1, &in, 1, &mean);
    assert_true(dv_node_set_int(&g.nodes[node], DV_A_REDUCE, DV_RED_MEAN) &&
                dv_node_set_ints(&g.nodes[node], DV_A_AXES, axes, 3) &&
                dv_node_set_int(&g.nodes[node], DV_A_KEEPDIMS, 0));
    const int32_t mul[2] = {mean, dv_graph_add_const(&g, NULL, DV_F32, 3, one, &zero)};
    node = dv_graph_add_node(&g, DV_OP_BINARY, NULL, 2, mul, 1, &none);
    assert_true(dv_node_set_int(&g.nodes[node], DV_A_BINARY, DV_BIN_MUL));
    for (int k = 0; k < 2; k++) {
        const int32_t add[2] = {none, dv_graph_add_const(&g, NULL, DV_F32, 3, dims[k], data[k])};
        out[k] = dv_graph_add_tensor(&g, names[k], DV_F32, 3, dims[k]);
        node = dv_graph_add_node(&g, DV_OP_BINARY, NULL, 2, add, 1, &out[k]);
        assert_true(dv_node_set_int(&g.nodes[node], DV_A_BINARY, DV_BIN_ADD));
    }
    const float scale = 1 / 255.0f, iou = 0.5f;
    assert_true(dv_graph_set_io(&g, &in, 1, out, 2) && dv_meta_set_text(&m, "kind", "detector") &&
                dv_meta_set_text(&m, "decoder", "ssd") && dv_meta_set_text(&m, "color", "rgb") &&
                dv_meta_set_floats(&m, "scale", &scale, 1) &&
                dv_meta_set_floats(&m, "nms_iou", &iou, 1));
    assert_true((!fit || dv_meta_set_text(&m, "fit", fit)) &&
                (!labels || dv_meta_set_text(&m, "labels", labels)));
    if (dv_graph_check(&g, &e) || dv_dmv_encode(&g, &m, &file, &size, &e)) {
        fail_msg("%s", e.msg);
    }
    if (dmv_model_open_memory(ctx, file, size, model)) {
        fail_msg("%s", dmv_error(ctx));
    }
    dv_graph_free(&g);
    dv_meta_free(&m);
    return file;
}

/* Two boxes of class 1 that overlap by 0.9, one of class 0 at the same place, one far off. */
static const float boxes[16] = {0.2f, 0.2f, 0.6f, 0.7f, 0.2f, 0.2f, 0.6f, 0.65f,
                                0.2f, 0.2f, 0.6f, 0.7f, 0.6f, 0.7f, 0.9f, 0.9f};
static const float scores[12] = {0.1f, 0.8f, 0, 0.1f, 0.9f, 0, 0.7f, 0.1f, 0.6f, 0, 0, 0.55f};

static void objects(void **state)
{
    dmv_model *m = NULL;
    dv_detector d;
    dv_object o[8];
    size_t n;
    dmv_image img;
    (void)state;
    uint8_t *file = make(&m, 64, 32, 4, boxes, 3, scores, "stretch", "cat,dog,traffic light");
    uint8_t *pixels = test_pixels(&img, 100, 100, DMV_PIXEL_RGB8);
    memset(pixels, 7, 30000);
    assert_int_equal(dv_detector_open(ctx, m, NULL, &d), DMV_OK);
    assert_int_equal(dv_detector_run(&d, &img, o, 8, &n), DMV_OK);
    assert_int_equal(n, 3); /* the net's own limit of overlap is 0.5 */
    assert_int_equal(o[0].cls, 1);
    assert_near(o[0].score, 0.9, 1e-6);
    assert_int_equal(o[1].cls, 0);
    assert_int_equal(o[2].cls, 2);
    const float want[4] = {20, 20, 45, 40};
    for (int i = 0; i < 4; i++) {
        assert_near(o[0].box[i], want[i], 1e-3);
    }
    /* the first steps of a new size allocate, later ones do not; less room is no error */
    const uint64_t before = dv_alloc_count();
    assert_int_equal(dv_detector_put(&d, &img), DMV_OK);
    dv_exec_run(d.net.x);
    assert_int_equal(dv_detector_take(&d, o, 2, &n), DMV_OK);
    assert_int_equal(n, 2);
    assert_int_equal(dv_alloc_count(), before);
    dv_detector_close(&d);

    dv_detector_options opt;
    dv_detector_options_init(&opt);
    opt.cls = dv_model_class(m, "dog");
    opt.nms_iou = 0.95f;
    assert_int_equal(opt.cls, 1);
    assert_int_equal(dv_detector_open(ctx, m, &opt, &d), DMV_OK);
    assert_int_equal(dv_detector_run(&d, &img, o, 8, &n), DMV_OK);
    assert_int_equal(n, 2);
    assert_true(o[0].cls == 1 && o[1].cls == 1);
    img.width = 0;
    assert_int_equal(dv_detector_run(&d, &img, o, 8, &n), DMV_ERR_ARGUMENT);
    dv_detector_close(&d);
    opt.min_score = 2;
    assert_int_equal(dv_detector_open(ctx, m, &opt, &d), DMV_ERR_ARGUMENT);
    /* no pipeline of faces */
    dmv_pipeline *p = NULL;
    assert_int_equal(dmv_pipeline_open(ctx, m, NULL, NULL, NULL, &p), DMV_ERR_UNSUPPORTED);
    assert_non_null(strstr(dmv_error(ctx), "objects"));
    dmv_model_close(&m);
    dv_free(file);
    free(pixels);
}

/* A picture that keeps its shape fills the left half of the input: what lies right of it goes. */
static void kept_shape(void **state)
{
    dmv_model *m = NULL;
    dv_detector d;
    dv_object o[8];
    size_t n;
    dmv_image img;
    (void)state;
    uint8_t *file = make(&m, 64, 32, 4, boxes, 3, scores, NULL, NULL);
    uint8_t *pixels = test_pixels(&img, 100, 100, DMV_PIXEL_RGB8);
    memset(pixels, 7, 30000);
    assert_int_equal(dv_detector_open(ctx, m, NULL, &d), DMV_OK);
    assert_int_equal(dv_detector_run(&d, &img, o, 8, &n), DMV_OK);
    assert_int_equal(n, 2);
    assert_near(o[0].box[0], 0.2 * 64 * 100 / 32, 1e-3);
    assert_near(o[0].box[1], 20, 1e-3);
    dv_detector_close(&d);
    dmv_model_close(&m);
    dv_free(file);
    free(pixels);
}

static void labels(void **state)
{
    dmv_model *m = NULL;
    char text[16];
    (void)state;
    uint8_t *file = make(&m, 64, 32, 4, boxes, 3, scores, NULL, "cat,,traffic light");
    dv_model_label(m, 0, text, sizeof(text));
    assert_string_equal(text, "cat");
    dv_model_label(m, 1, text, sizeof(text));
    assert_string_equal(text, "");
    dv_model_label(m, 2, text, 8);
    assert_string_equal(text, "traffic");
    dv_model_label(m, 3, text, sizeof(text));
    assert_string_equal(text, "");
    dv_model_label(m, -1, text, sizeof(text));
    assert_string_equal(text, "");
    assert_int_equal(dv_model_class(m, "traffic light"), 2);
    assert_int_equal(dv_model_class(m, "traffic"), -1);
    assert_int_equal(dv_model_class(m, ""), -1);
    dmv_model_close(&m);
    dv_free(file);
}

static void no_memory(void **state)
{
    dmv_model *m = NULL;
    dmv_image img;
    (void)state;
    uint8_t *file = make(&m, 64, 32, 4, boxes, 3, scores, "stretch", NULL);
    uint8_t *pixels = test_pixels(&img, 100, 100, DMV_PIXEL_RGB8);
    memset(pixels, 7, 30000);
    dmv_status st = DMV_ERR_MEMORY;
    for (uint64_t nth = 1; st != DMV_OK; nth++) {
        dv_detector d;
        dv_object o[8];
        size_t n;
        assert_true(nth < 1000);
        dv_alloc_fail_at(nth, false);
        st = dv_detector_open(ctx, m, NULL, &d);
        if (st == DMV_OK) {
            st = dv_detector_run(&d, &img, o, 8, &n);
            dv_detector_close(&d);
        }
        dv_alloc_fail_at(0, false);
        assert_true(st == DMV_OK || st == DMV_ERR_MEMORY);
    }
    dmv_model_close(&m);
    dv_free(file);
    free(pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scrfd),      cmocka_unit_test(blazeface), cmocka_unit_test(ssd),
        cmocka_unit_test(fastestdet), cmocka_unit_test(hostile),   cmocka_unit_test(objects),
        cmocka_unit_test(kept_shape), cmocka_unit_test(labels),    cmocka_unit_test(no_memory),
    };
    if (dmv_context_open(NULL, &ctx) != DMV_OK) {
        return 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dmv_context_close(&ctx);
    return failed;
}
