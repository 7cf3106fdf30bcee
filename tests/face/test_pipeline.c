/* SPDX-License-Identifier: Apache-2.0
 *
 * test_pipeline.c - the whole way from pixels to vectors with nets made by hand, so that every
 * number is known: a "detector" that finds white squares (YuNet's outputs, each cell's score
 * is its mean brightness), a landmark net that always answers the same, an embedder that
 * gives mean colours. Checks scaling, padding, tiles, refusals, memory.
 */
#include "face_test.h"

/* ---- building nets ---- */

static int32_t tensor(dv_graph *g, const char *name, int rank, const int64_t *dims)
{
    const int32_t t = dv_graph_add_tensor(g, name, DV_F32, rank, dims);
    assert_true(t >= 0);
    return t;
}

static int32_t constant(dv_graph *g, int rank, const int64_t *dims, const float *v)
{
    const int32_t t = dv_graph_add_const(g, NULL, DV_F32, rank, dims, v);
    assert_true(t >= 0);
    return t;
}

static dv_node *node(dv_graph *g, uint16_t op, int n_in, const int32_t *in, int32_t out)
{
    const int32_t i = dv_graph_add_node(g, op, NULL, n_in, in, 1, &out);
    assert_true(i >= 0);
    return &g->nodes[i];
}

static int32_t to_nhwc(dv_graph *g, int32_t in, int64_t h, int64_t w, int64_t c)
{
    const int64_t perm[4] = {0, 2, 3, 1}, dims[4] = {1, h, w, c};
    const int32_t out = tensor(g, NULL, 4, dims);
    assert_true(dv_node_set_ints(node(g, DV_OP_TRANSPOSE, 1, &in, out), DV_A_PERM, perm, 4));
    return out;
}

static int32_t mean_pool(dv_graph *g, int32_t in, int64_t side, int64_t h, int64_t w, int64_t c)
{
    const int64_t k[2] = {side, side}, dims[4] = {1, h, w, c};
    const int32_t out = tensor(g, NULL, 4, dims);
    dv_node *n = node(g, DV_OP_AVG_POOL, 1, &in, out);
    assert_true(dv_node_set_ints(n, DV_A_KERNEL, k, 2) && dv_node_set_ints(n, DV_A_STRIDE, k, 2));
    return out;
}

static int32_t reshaped(dv_graph *g, const char *name, int32_t in, int rank, const int64_t *dims)
{
    const int32_t out = tensor(g, name, rank, dims);
    assert_true(
        dv_node_set_ints(node(g, DV_OP_RESHAPE, 1, &in, out), DV_A_SHAPE, dims, (uint32_t)rank));
    return out;
}

/* 1x1 convolution from 3 channels; gain: weight of every input, bias per output. */
static int32_t conv(dv_graph *g, int32_t in, int64_t oc, float gain, const float *bias)
{
    float w[30], b[16] = {0};
    const int64_t wd[4] = {1, 1, 3, oc}, bd[1] = {oc}, k[2] = {1, 1}, od[4] = {1, -1, -1, oc};
    for (int i = 0; i < 3 * (int)oc; i++) {
        w[i] = gain;
    }
    memcpy(b, bias, (size_t)oc * sizeof(float));
    const int32_t ins[3] = {in, constant(g, 4, wd, w), constant(g, 1, bd, b)};
    const int32_t out = tensor(g, NULL, 4, od);
    assert_true(dv_node_set_ints(node(g, DV_OP_CONV, 3, ins, out), DV_A_KERNEL, k, 2));
    return out;
}

typedef struct built {
    uint8_t *data;
    dmv_model *model;
} built;

static built finish(dmv_context *ctx, dv_graph *g, int32_t in, const int32_t *out, size_t n_out,
                    dv_meta *meta)
{
    built b = {0};
    size_t size = 0;
    dv_err e = {0};
    assert_true(dv_graph_set_io(g, &in, 1, out, n_out));
    if (dv_graph_check(g, &e) != DMV_OK || dv_dmv_encode(g, meta, &b.data, &size, &e) != DMV_OK) {
        fail_msg("%s", e.msg);
    }
    if (dmv_model_open_memory(ctx, b.data, size, &b.model) != DMV_OK) {
        fail_msg("%s", dmv_error(ctx));
    }
    dv_graph_free(g);
    dv_meta_free(meta);
    return b;
}

static void release(built *b)
{
    dmv_model_close(&b->model);
    dv_free(b->data);
}

/* Finds white cells; the box is the cell, the points are spread over it. w = h = -1: any size. */
static built detector(dmv_context *ctx, int64_t w, int64_t h, const char *decoder)
{
    static const char *const kinds[4] = {"cls", "obj", "bbox", "kps"};
    static const int64_t widths[4] = {1, 1, 4, 10};
    const float bias[4][10] = {
        {0}, {0}, {0.5f, 0.5f, 0, 0}, {.3f, .4f, .7f, .4f, .5f, .6f, .35f, .8f, .65f, .8f}};
    const float scale = 1 / 255.0f;
    const int64_t in_dims[4] = {1, 3, h, w};
    dv_graph g;
    dv_meta m = {0};
    int32_t out[12];
    size_t n = 0;
    dv_graph_init(&g);
    const int32_t in = tensor(&g, "input", 4, in_dims), x = to_nhwc(&g, in, h, w, 3);
    for (int64_t s = 8; s <= 32; s *= 2) {
        const int32_t cells = mean_pool(&g, x, s, h < 0 ? -1 : h / s, w < 0 ? -1 : w / s, 3);
        for (int k = 0; k < 4; k++) {
            char name[16];
            const int64_t dims[3] = {1, -1, widths[k]};
            snprintf(name, sizeof(name), "%s_%d", kinds[k], (int)s);
            const int32_t c = conv(&g, cells, widths[k], k < 2 ? 1 / 3.0f : 0, bias[k]);
            out[n++] = reshaped(&g, name, c, 3, dims);
        }
    }
    assert_true(!decoder || dv_meta_set_text(&m, "decoder", decoder));
    assert_true(dv_meta_set_text(&m, "kind", "detector") && dv_meta_set_text(&m, "color", "bgr") &&
                dv_meta_set_floats(&m, "scale", &scale, 1));
    return finish(ctx, &g, in, out, n, &m);
}

/* Colour means of the four quarters: 12 numbers. */
static built embedder(dmv_context *ctx, float scale)
{
    const int64_t in_dims[4] = {1, 3, 112, 112}, flat[2] = {1, 12};
    dv_graph g;
    dv_meta m = {0};
    dv_graph_init(&g);
    const int32_t in = tensor(&g, "input", 4, in_dims), x = to_nhwc(&g, in, 112, 112, 3);
    const int32_t out = reshaped(&g, "embedding", mean_pool(&g, x, 56, 2, 2, 3), 2, flat);
    assert_true(dv_meta_set_text(&m, "kind", "embedder") && dv_meta_set_int(&m, "dim", 12) &&
                dv_meta_set_floats(&m, "scale", &scale, 1));
    return finish(ctx, &g, in, &out, 1, &m);
}

/* Answers five points that do not depend on the picture. */
static built landmarks(dmv_context *ctx, float crop, const float *points)
{
    const int64_t in_dims[4] = {1, 1, 64, 64}, w[2] = {1, 10}, one[2] = {1, 1}, bias[1] = {10};
    const float zero[16] = {0};
    float b[16] = {0};
    dv_graph g;
    dv_meta m = {0};
    dv_graph_init(&g);
    memcpy(b, points, 10 * sizeof(float));
    const int32_t in = tensor(&g, "input", 4, in_dims), x = to_nhwc(&g, in, 64, 64, 1);
    const int32_t mean = reshaped(&g, NULL, mean_pool(&g, x, 64, 1, 1, 1), 2, one);
    const int32_t ins[3] = {mean, constant(&g, 2, w, zero), constant(&g, 1, bias, b)};
    const int32_t out = tensor(&g, "points", 2, w);
    node(&g, DV_OP_LINEAR, 3, ins, out);
    assert_true(dv_meta_set_text(&m, "color", "gray") &&
                dv_meta_set_text(&m, "landmark_order", "5") &&
                dv_meta_set_floats(&m, "crop", &crop, 1));
    return finish(ctx, &g, in, &out, 1, &m);
}

static const float five[10] = {.3f, .4f, .7f, .4f, .5f, .6f, .35f, .8f, .65f, .8f};

/* ---- pictures ---- */

static void white(uint8_t *p, const dmv_image *img, int x, int y, int side)
{
    for (int r = y; r < y + side; r++) {
        memset(p + (size_t)r * img->stride + 3 * (size_t)x, 255, 3 * (size_t)side);
    }
}

static dmv_context *context(void)
{
    dmv_options o;
    dmv_context *ctx = NULL;
    dmv_options_init(&o);
    o.threads = 2;
    assert_int_equal(dmv_context_open(&o, &ctx), DMV_OK);
    return ctx;
}

static dmv_pipeline *pipeline(dmv_context *ctx, const built *d, const built *l, const built *e,
                              const dmv_pipeline_options *o)
{
    dmv_pipeline *p = NULL;
    if (dmv_pipeline_open(ctx, d ? d->model : NULL, l ? l->model : NULL, e ? e->model : NULL, o,
                          &p) != DMV_OK) {
        fail_msg("%s", dmv_error(ctx));
    }
    return p;
}

static bool has_box(const dmv_face *f, size_t n, double x, double y, double side, double tol)
{
    for (size_t i = 0; i < n; i++) {
        if (fabs(f[i].box[0] - x) <= tol && fabs(f[i].box[1] - y) <= tol &&
            fabs(f[i].box[2] - side) <= tol && fabs(f[i].box[3] - side) <= tol) {
            return true;
        }
    }
    return false;
}

static void detects_at_every_size(void **state)
{
    /* picture, and what fills the input: 640 x 480 as it is; 1280 x 960 halved */
    dmv_context *ctx = context();
    built any = detector(ctx, -1, -1, "yunet"), fixed = detector(ctx, 320, 320, "yunet");
    dmv_pipeline *pa = pipeline(ctx, &any, NULL, NULL, NULL);
    dmv_pipeline *pf = pipeline(ctx, &fixed, NULL, NULL, NULL);
    (void)state;
    for (int scale = 1; scale <= 4; scale++) {
        dmv_image img;
        dmv_face f[10];
        size_t n = 99;
        uint8_t *p = test_pixels(&img, 640 * scale, 450 * scale, DMV_PIXEL_RGB8);
        memset(p, 0, img.stride * (size_t)img.height);
        white(p, &img, 64 * scale, 128 * scale, 32 * scale);
        white(p, &img, 592 * scale, 400 * scale, 16 * scale);
        assert_int_equal(dmv_pipeline_detect(pa, &img, f, 10, &n), DMV_OK);
        /* the 32 x 32 square is one cell of 32, four of 16, sixteen of 8, all of score 1: the
         * finest come first in the outputs, and none hides another at this overlap */
        assert_true(has_box(f, n, 64 * scale, 128 * scale, 8 * scale, 0.5 * scale));
        for (size_t i = 0; i < n; i++) {
            assert_true(f[i].has_landmarks && f[i].score > 0.99f && f[i].quality >= 0);
            assert_near(f[i].landmarks[0][0], f[i].box[0] + 0.3 * f[i].box[2], 0.01 * scale);
            assert_near(f[i].landmarks[4][1], f[i].box[1] + 0.8 * f[i].box[3], 0.01 * scale);
        }
        dmv_face many[64];
        assert_int_equal(dmv_pipeline_detect(pa, &img, many, 64, &n), DMV_OK);
        assert_int_equal(n, 16 + 4 + 4 + 1 + 1); /* cells of 8, 16 and 32 */
        assert_true(has_box(many, n, 64 * scale, 128 * scale, 32 * scale, 0.1 * scale));
        assert_true(has_box(many, n, 592 * scale, 400 * scale, 16 * scale, 0.1 * scale));
        /* 320: halved, so that the smaller square is one cell of 8 */
        assert_int_equal(dmv_pipeline_detect(pf, &img, many, 64, &n), DMV_OK);
        assert_int_equal(n, 4 + 1 + 1);
        assert_true(has_box(many, n, 64 * scale, 128 * scale, 32 * scale, 0.1 * scale));
        assert_true(has_box(many, n, 592 * scale, 400 * scale, 16 * scale, 0.1 * scale));
        free(p);
    }
    dmv_pipeline_close(&pa);
    dmv_pipeline_close(&pf);
    assert_null(pa);
    release(&any);
    release(&fixed);
    dmv_context_close(&ctx);
}

/* A square too small for the whole picture is found in tiles, once, wherever it is. */
static void tiles_find_small_ones(void **state)
{
    dmv_context *ctx = context();
    built d = detector(ctx, -1, -1, "yunet");
    dmv_pipeline_options o;
    uint32_t seed = 31;
    int missed = 0;
    (void)state;
    dmv_pipeline_options_init(&o);
    dmv_pipeline *one = pipeline(ctx, &d, NULL, NULL, &o);
    o.scales = 3;
    dmv_pipeline *three = pipeline(ctx, &d, NULL, NULL, &o);
    dmv_image img;
    uint8_t *p = test_pixels(&img, 2560, 1600, DMV_PIXEL_RGB8);
    for (int i = 0; i < 12; i++) {
        const int x = (int)(test_random(&seed) % 2535), y = (int)(test_random(&seed) % 1575);
        dmv_face f[64];
        size_t n, m;
        memset(p, 0, img.stride * (size_t)img.height);
        white(p, &img, x, y, 25); /* 6 pixels at 640: no cell is full */
        assert_int_equal(dmv_pipeline_detect(one, &img, f, 64, &n), DMV_OK);
        assert_int_equal(dmv_pipeline_detect(three, &img, f, 64, &m), DMV_OK);
        assert_true(m >= n);
        missed += n == 0;
        assert_true(m > 0);
        for (size_t k = 0; k < m; k++) { /* all of them lie on the square */
            assert_true(f[k].box[0] > x - 20 && f[k].box[0] + f[k].box[2] < x + 45);
            assert_true(f[k].box[1] > y - 20 && f[k].box[1] + f[k].box[3] < y + 45);
            for (size_t j = 0; j < k; j++) {
                assert_true(dv_iou(f[k].box, f[j].box) <= o.nms_iou);
                assert_true(f[j].score >= f[k].score);
            }
        }
    }
    assert_true(missed > 0);
    free(p);
    dmv_pipeline_close(&one);
    dmv_pipeline_close(&three);
    release(&d);
    dmv_context_close(&ctx);
}

static void odd_pictures(void **state)
{
    static const int sizes[][2] = {{1, 1}, {1, 500}, {3000, 1}, {31, 33}, {700, 20}, {32767, 2}};
    dmv_context *ctx = context();
    built any = detector(ctx, -1, -1, "yunet"), fixed = detector(ctx, 96, 64, "yunet");
    dmv_pipeline_options o;
    (void)state;
    dmv_pipeline_options_init(&o);
    o.scales = 4;
    dmv_pipeline *p[2] = {pipeline(ctx, &any, NULL, NULL, &o),
                          pipeline(ctx, &fixed, NULL, NULL, &o)};
    for (size_t i = 0; i < DV_COUNT(sizes); i++) {
        for (int f = 0; f < 4; f++) {
            dmv_image img;
            uint8_t *px = test_pixels(&img, sizes[i][0], sizes[i][1], (dmv_pixel_format)f);
            memset(px, 255, img.stride * (size_t)img.height);
            for (int k = 0; k < 2; k++) {
                dmv_face faces[5];
                size_t n = 0;
                assert_int_equal(dmv_pipeline_detect(p[k], &img, faces, 5, &n), DMV_OK);
                assert_true(n <= 5);
                assert_int_equal(dmv_pipeline_detect(p[k], &img, NULL, 0, &n), DMV_OK);
                assert_int_equal(n, 0);
            }
            free(px);
        }
    }
    dmv_pipeline_close(&p[0]);
    dmv_pipeline_close(&p[1]);
    release(&any);
    release(&fixed);
    dmv_context_close(&ctx);
}

static void landmark_net(void **state)
{
    dmv_context *ctx = context();
    built d = detector(ctx, -1, -1, "yunet"), l = landmarks(ctx, 2, five), e = embedder(ctx, 1);
    dmv_pipeline *p = pipeline(ctx, &d, &l, &e, NULL);
    dmv_image img;
    dmv_face f[64];
    float v[12];
    size_t n;
    uint8_t *px = test_pixels(&img, 256, 256, DMV_PIXEL_RGB8);
    (void)state;
    memset(px, 0, img.stride * 256);
    white(px, &img, 64, 96, 32);
    assert_int_equal(dmv_pipeline_detect(p, &img, f, 64, &n), DMV_OK);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) { /* crop 2: the box doubled about its middle */
        const float *b = f[i].box;
        for (int j = 0; j < 5; j++) {
            assert_near(f[i].landmarks[j][0], b[0] - 0.5 * b[2] + 2 * b[2] * five[2 * j], 1e-3);
            assert_near(f[i].landmarks[j][1], b[1] - 0.5 * b[3] + 2 * b[3] * five[2 * j + 1], 1e-3);
        }
    }
    /* a box from elsewhere gets its points on the way to an embedding */
    dmv_face own = {.box = {60, 90, 40, 40}};
    assert_int_equal(dmv_pipeline_embed(p, &img, &own, v), DMV_OK);
    const dmv_face hostile[] = {{.box = {NAN, 0, 10, 10}},
                                {.box = {0, 0, INFINITY, 10}},
                                {.box = {5000, 5000, 10, 10}},
                                {.box = {10, 10, -5, 10}},
                                {.box = {10, 10, 0, 0}},
                                {.has_landmarks = 1},
                                {.has_landmarks = 1, .landmarks = {{NAN, 1}, {2, 3}}}};
    for (size_t i = 0; i < DV_COUNT(hostile); i++) {
        assert_int_equal(dmv_pipeline_embed(p, &img, &hostile[i], v), DMV_ERR_ARGUMENT);
        assert_true(dmv_error(ctx)[0] != 0);
    }
    free(px);
    dmv_pipeline_close(&p);
    release(&d);
    release(&l);
    release(&e);
    dmv_context_close(&ctx);
}

static void embeds(void **state)
{
    dmv_context *ctx = context();
    built e = embedder(ctx, 1);
    dmv_pipeline_options o;
    dmv_image img;
    float v[12], w[12];
    uint8_t *px = test_pixels(&img, 112, 112, DMV_PIXEL_BGR8);
    (void)state;
    for (int i = 0; i < 112 * 112; i++) { /* left half blue 30, right half 90; red 200 below */
        px[3 * i] = i % 112 < 56 ? 30 : 90;
        px[3 * i + 1] = 7;
        px[3 * i + 2] = i / 112 < 56 ? 0 : 200;
    }
    dmv_pipeline_options_init(&o);
    dmv_pipeline *p = pipeline(ctx, NULL, NULL, &e, &o);
    assert_int_equal(dmv_pipeline_dim(p), 12);
    assert_int_equal(dmv_pipeline_embed_aligned(p, &img, v), DMV_OK);
    /* quarters: top left, top right, bottom left, bottom right; red, green, blue */
    double want[12] = {0, 7, 30, 0, 7, 90, 200, 7, 30, 200, 7, 90}, len = 0;
    for (int i = 0; i < 12; i++) {
        len += want[i] * want[i];
    }
    for (int i = 0; i < 12; i++) {
        assert_near(v[i], want[i] / sqrt(len), 1e-5);
    }
    dmv_face f = {.has_landmarks = 1}; /* points on the template: the warp is the identity */
    memcpy(f.landmarks, dv_template_112, sizeof(f.landmarks));
    assert_int_equal(dmv_pipeline_embed(p, &img, &f, w), DMV_OK);
    for (int i = 0; i < 12; i++) {
        assert_near(w[i], v[i], 1e-5);
    }
    dmv_pipeline_close(&p);
    o.mirror = 1;
    p = pipeline(ctx, NULL, NULL, &e, &o);
    assert_int_equal(dmv_pipeline_embed_aligned(p, &img, w), DMV_OK);
    len = 0;
    for (int i = 0; i < 12; i++) {
        if (i % 3 == 2) {
            want[i] = 60; /* mean of left and right */
        }
        len += want[i] * want[i];
    }
    for (int i = 0; i < 12; i++) {
        assert_near(w[i], want[i] / sqrt(len), 1e-5);
    }
    img.width = 111;
    assert_int_equal(dmv_pipeline_embed_aligned(p, &img, w), DMV_ERR_ARGUMENT);
    img.width = 112;
    memset(px, 0, img.stride * 112); /* a vector without a length */
    assert_int_equal(dmv_pipeline_embed_aligned(p, &img, w), DMV_ERR_FORMAT);
    assert_int_equal(dmv_pipeline_embed_aligned(p, &img, NULL), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_pipeline_embed_aligned(p, NULL, w), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_pipeline_embed(p, &img, NULL, w), DMV_ERR_ARGUMENT);
    size_t n;
    assert_int_equal(dmv_pipeline_detect(p, &img, &f, 1, &n), DMV_ERR_ARGUMENT);
    f.has_landmarks = 0;
    assert_int_equal(dmv_pipeline_embed(p, &img, &f, w), DMV_ERR_ARGUMENT);
    free(px);
    dmv_pipeline_close(&p);
    release(&e);
    dmv_context_close(&ctx);
}

static void refuses(void **state)
{
    dmv_context *ctx = context();
    built d = detector(ctx, -1, -1, "yunet"), e = embedder(ctx, 1), l = landmarks(ctx, 1, five);
    built none = detector(ctx, -1, -1, NULL), other = detector(ctx, -1, -1, "scrfd");
    built ultra = detector(ctx, -1, -1, "ultraface"), small = detector(ctx, 100, 100, "yunet");
    built crop = landmarks(ctx, 99, five);
    dmv_pipeline *p = NULL;
    dmv_pipeline_options o;
    (void)state;
    const struct {
        const dmv_model *d, *l, *e;
        dmv_status want;
    } cases[] = {{NULL, NULL, NULL, DMV_ERR_ARGUMENT},
                 {none.model, NULL, NULL, DMV_ERR_ARGUMENT},
                 {other.model, NULL, NULL, DMV_ERR_UNSUPPORTED},
                 {ultra.model, NULL, NULL, DMV_ERR_UNSUPPORTED},
                 {e.model, NULL, NULL, DMV_ERR_ARGUMENT},
                 {NULL, e.model, NULL, DMV_ERR_UNSUPPORTED},
                 {NULL, d.model, NULL, DMV_ERR_UNSUPPORTED},
                 {NULL, crop.model, NULL, DMV_ERR_FORMAT}};
    for (size_t i = 0; i < DV_COUNT(cases); i++) {
        assert_int_equal(dmv_pipeline_open(ctx, cases[i].d, cases[i].l, cases[i].e, NULL, &p),
                         cases[i].want);
        assert_null(p);
        assert_true(dmv_error(ctx)[0] != 0);
    }
    for (int i = 0; i < 12; i++) {
        dmv_pipeline_options_init(&o);
        switch (i) {
        case 0:
            o.struct_size = 0;
            break;
        case 1:
            o.score_threshold = NAN;
            break;
        case 2:
            o.score_threshold = -0.1f;
            break;
        case 3:
            o.score_threshold = 1.1f;
            break;
        case 4:
            o.nms_iou = NAN;
            break;
        case 5:
            o.nms_iou = 2;
            break;
        case 6:
            o.max_side = 31;
            break;
        case 7:
            o.max_side = 100000;
            break;
        case 8:
            o.scales = 0;
            break;
        case 9:
            o.scales = 6;
            break;
        case 10:
            o.scales = -1;
            break;
        default:
            o.nms_iou = -1;
            break;
        }
        assert_int_equal(dmv_pipeline_open(ctx, d.model, NULL, NULL, &o, &p), DMV_ERR_ARGUMENT);
        assert_null(p);
    }
    assert_int_equal(dmv_pipeline_open(NULL, d.model, NULL, NULL, NULL, &p), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_pipeline_open(ctx, d.model, NULL, NULL, NULL, NULL), DMV_ERR_ARGUMENT);
    /* 100 is no multiple of 32: the outputs fit the input by rounding down, or it says so */
    uint8_t px[27] = {0};
    dmv_image img = {.pixels = px, .width = 3, .height = 3, .stride = 9};
    dmv_face f;
    size_t n;
    p = pipeline(ctx, &small, NULL, NULL, NULL);
    const dmv_status s = dmv_pipeline_detect(p, &img, &f, 1, &n);
    assert_true(s == DMV_OK || s == DMV_ERR_MISMATCH);
    float v[12];
    assert_int_equal(dmv_pipeline_embed(p, &img, &f, v), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_pipeline_detect(p, NULL, &f, 1, &n), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_pipeline_detect(p, &img, NULL, 1, &n), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_pipeline_detect(p, &img, &f, 1, NULL), DMV_ERR_ARGUMENT);
    img.stride = 8;
    assert_int_equal(dmv_pipeline_detect(p, &img, &f, 1, &n), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_pipeline_detect(NULL, &img, &f, 1, &n), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_pipeline_dim(NULL), 0);
    dmv_pipeline_close(&p);
    dmv_pipeline_close(&p);
    dmv_pipeline_close(NULL);
    release(&d);
    release(&e);
    release(&l);
    release(&none);
    release(&other);
    release(&ultra);
    release(&small);
    release(&crop);
    dmv_context_close(&ctx);
}

/* One frame with everything in it. */
static dmv_status frame(dmv_pipeline *p, const dmv_image *img)
{
    dmv_face f[64];
    float v[12];
    size_t n;
    dmv_status s = dmv_pipeline_detect(p, img, f, 64, &n);
    if (s == DMV_OK) {
        assert_true(n > 0);
        s = dmv_pipeline_embed(p, img, &f[0], v);
    }
    return s;
}

static void frames_do_not_allocate(void **state)
{
    dmv_context *ctx = context();
    built d = detector(ctx, -1, -1, "yunet"), l = landmarks(ctx, 1.2f, five), e = embedder(ctx, 1);
    dmv_pipeline_options o;
    dmv_image img;
    (void)state;
    dmv_pipeline_options_init(&o);
    o.mirror = 1;
    o.scales = 3;
    dmv_pipeline *p = pipeline(ctx, &d, &l, &e, &o);
    uint8_t *px = test_pixels(&img, 1000, 700, DMV_PIXEL_RGB8);
    memset(px, 40, img.stride * 700);
    white(px, &img, 300, 200, 150);
    assert_int_equal(frame(p, &img), DMV_OK);
    const uint64_t before = dv_alloc_count();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(frame(p, &img), DMV_OK);
    }
    assert_int_equal(dv_alloc_count(), before);
    free(px);
    dmv_pipeline_close(&p);
    release(&d);
    release(&l);
    release(&e);
    dmv_context_close(&ctx);
}

static void survives_without_memory(void **state)
{
    dmv_context *ctx = context();
    built d = detector(ctx, -1, -1, "yunet"), l = landmarks(ctx, 1, five), e = embedder(ctx, 1);
    dmv_image img;
    uint8_t *px = test_pixels(&img, 200, 160, DMV_PIXEL_RGB8);
    bool done = false;
    (void)state;
    memset(px, 40, img.stride * 160);
    white(px, &img, 64, 64, 64);
    for (uint64_t nth = 1; !done; nth++) {
        dmv_pipeline *p = NULL;
        assert_true(nth < 2000);
        dv_alloc_fail_at(nth, nth % 2 == 0);
        dmv_status s = dmv_pipeline_open(ctx, d.model, l.model, e.model, NULL, &p);
        assert_true((s == DMV_OK) == (p != NULL));
        if (s == DMV_OK) {
            s = frame(p, &img);
        }
        dv_alloc_fail_at(0, false);
        done = s == DMV_OK;
        assert_true(done || s == DMV_ERR_MEMORY);
        if (p) { /* with memory again it works */
            assert_int_equal(frame(p, &img), DMV_OK);
        }
        dmv_pipeline_close(&p);
    }
    free(px);
    release(&d);
    release(&l);
    release(&e);
    dmv_context_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detects_at_every_size),
        cmocka_unit_test(tiles_find_small_ones),
        cmocka_unit_test(odd_pictures),
        cmocka_unit_test(landmark_net),
        cmocka_unit_test(embeds),
        cmocka_unit_test(refuses),
        cmocka_unit_test(frames_do_not_allocate),
        cmocka_unit_test(survives_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
