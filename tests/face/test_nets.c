/* SPDX-License-Identifier: Apache-2.0
 *
 * test_nets.c - real nets on real pictures: every decoder finds the faces that are there, two
 * exports of one detector agree, the landmark net agrees with the detector's own points,
 * one person's pictures are more alike than two people's. What is missing is skipped.
 */
#include "face_test.h"

#include "image/image.h"
#include "import/import.h"
#include "quant/quant.h"

enum { MAX_FACES = 1000, MAX_PATH = 1024 };

static dmv_context *ctx;
static dmv_face first[MAX_FACES], second[MAX_FACES];

/* folder/name where folder is in the environment variable; false if there is no such thing. */
static bool place(char *path, const char *variable, const char *name)
{
    const char *folder = getenv(variable);
    snprintf(path, MAX_PATH, "%s/%s", folder ? folder : ".", name);
    FILE *f = folder ? fopen(path, "rb") : NULL;
    if (f) {
        fclose(f);
    }
    return f != NULL;
}

typedef struct net {
    uint8_t *encoded;
    dmv_model *model;
} net;

static dmv_status import(const char *path, const uint8_t *data, size_t size, const uint8_t *bin,
                         size_t bin_size, dv_graph *g, dv_err *e)
{
    dv_graph bytes;
    dmv_status st;
    switch (dv_import_guess(data, size)) {
    case DV_IMPORT_TFLITE:
        st = dv_import_tflite(data, size, path, NULL, g, e);
        break;
    case DV_IMPORT_NCNN:
        st = dv_import_ncnn(data, size, bin, bin_size, path, NULL, g, e);
        break;
    default:
        st = dv_import_onnx(data, size, path, NULL, g, e);
    }
    if (st == DMV_OK && dv_quant_has_pairs(g)) {
        st = dv_quant_pairs(g, &bytes, e);
        dv_graph_free(g);
        *g = bytes;
    }
    return st;
}

/* Imports a file; model NULL if it is not there. */
static net load_net(const char *variable, const char *name)
{
    net n = {0};
    char path[MAX_PATH], beside[256], weights[MAX_PATH];
    uint8_t *data = NULL, *bin = NULL;
    size_t size, bin_size = 0;
    dv_graph g;
    dv_meta m = {0};
    dv_err e = {0};
    if (!place(path, variable, name)) {
        print_message("%s is not in %s\n", name, variable);
        return n;
    }
    const char *end = strstr(name, ".param");
    if (end) {
        snprintf(beside, sizeof(beside), "%.*s.bin", (int)(end - name), name);
        if (!place(weights, variable, beside) ||
            dv_read_file(weights, (size_t)1 << 28, &bin, &bin_size, &e) != DMV_OK) {
            print_message("%s has no weights beside it\n", name);
            return n;
        }
    }
    dv_graph_init(&g);
    if (dv_read_file(path, (size_t)1 << 28, &data, &size, &e) != DMV_OK ||
        import(path, data, size, bin, bin_size, &g, &e) != DMV_OK ||
        dv_import_profile(bin ? bin : data, bin ? bin_size : size, path, &g, &m, &e) != DMV_OK ||
        dv_dmv_encode(&g, &m, &n.encoded, &size, &e) != DMV_OK) {
        fail_msg("%s", e.msg);
    }
    if (dmv_model_open_memory(ctx, n.encoded, size, &n.model) != DMV_OK) {
        fail_msg("%s", dmv_error(ctx));
    }
    dv_free(data);
    dv_free(bin);
    dv_graph_free(&g);
    dv_meta_free(&m);
    return n;
}

static void free_net(net *n)
{
    dmv_model_close(&n->model);
    dv_free(n->encoded);
}

static dmv_pipeline *open_pipeline(const net *d, const net *l, const net *e,
                                   const dmv_pipeline_options *o)
{
    dmv_pipeline *p = NULL;
    if (dmv_pipeline_open(ctx, d ? d->model : NULL, l ? l->model : NULL, e ? e->model : NULL, o,
                          &p) != DMV_OK) {
        fail_msg("%s", dmv_error(ctx));
    }
    return p;
}

static dv_picture load_picture(const char *path)
{
    dv_picture p;
    dv_err e = {0};
    if (dv_image_load(path, &p, &e) != DMV_OK) {
        fail_msg("%s", e.msg);
    }
    return p;
}

static size_t detect(dmv_pipeline *p, const dv_picture *x, dmv_face *faces)
{
    const dmv_image img = dv_picture_view(x);
    size_t n;
    if (dmv_pipeline_detect(p, &img, faces, MAX_FACES, &n) != DMV_OK) {
        fail_msg("%s", dmv_error(ctx));
    }
    for (size_t i = 1; i < n; i++) {
        assert_true(faces[i - 1].score >= faces[i].score);
    }
    return n;
}

/* Every `step`th picture of the folder with one face each; NULL list if it is missing. */
static dv_paths portraits(void)
{
    dv_paths all = {0};
    dv_err e = {0};
    char path[MAX_PATH];
    const char *folder = getenv("DOMOVOI_SHARED");
    snprintf(path, sizeof(path), "%s/faces/celeb_val_raw", folder ? folder : ".");
    if (!folder || dv_image_list(path, &all, &e) != DMV_OK) {
        dv_paths_free(&all);
        memset(&all, 0, sizeof(all));
    }
    return all;
}

static double eyes(const dmv_face *f)
{
    return hypot(f->landmarks[1][0] - f->landmarks[0][0], f->landmarks[1][1] - f->landmarks[0][1]);
}

/* The five points lie in the box, in the order of the template, for an upright face. */
static void assert_points(const dmv_face *f)
{
    assert_true(f->has_landmarks);
    for (int j = 0; j < 5; j++) {
        assert_true(f->landmarks[j][0] > f->box[0] - 0.1f * f->box[2] &&
                    f->landmarks[j][0] < f->box[0] + 1.1f * f->box[2]);
        assert_true(f->landmarks[j][1] > f->box[1] - 0.1f * f->box[3] &&
                    f->landmarks[j][1] < f->box[1] + 1.1f * f->box[3]);
    }
    assert_true(f->landmarks[0][0] < f->landmarks[1][0]);
    assert_true(f->landmarks[3][0] < f->landmarks[4][0]);
    assert_true(f->landmarks[0][1] < f->landmarks[3][1]);
}

static void yunet_on_group_photos(void **state)
{
    static const size_t faces[6] = {3, 3, 3, 4, 5, 4}; /* counted by eye */
    net d = load_net("DOMOVOI_SHARED", "models/detect/yunet_n_dynamic.onnx");
    net f = load_net("DOMOVOI_SHARED", "models/detect/yunet_n_640_640.onnx");
    char path[MAX_PATH];
    (void)state;
    if (!d.model || !f.model || !place(path, "DOMOVOI_CACHE", "photos/sample1.jpg")) {
        free_net(&d);
        free_net(&f);
        skip();
    }
    dmv_pipeline *p = open_pipeline(&d, NULL, NULL, NULL), *q = open_pipeline(&f, NULL, NULL, NULL);
    for (int i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof(name), "photos/sample%d.jpg", i + 1);
        assert_true(place(path, "DOMOVOI_CACHE", name));
        dv_picture x = load_picture(path);
        assert_int_equal(detect(p, &x, first), faces[i]);
        assert_int_equal(detect(q, &x, second), faces[i]);
        for (size_t k = 0; k < faces[i]; k++) {
            bool found = false; /* the two files hold one net */
            for (size_t j = 0; j < faces[i]; j++) {
                found |= dv_iou(first[k].box, second[j].box) > 0.9f;
            }
            assert_true(found);
            if (first[k].landmarks[0][0] < first[k].landmarks[1][0] - 0.2f * first[k].box[2]) {
                assert_points(&first[k]);
            }
        }
        dv_picture_free(&x);
    }
    dmv_pipeline_close(&p);
    dmv_pipeline_close(&q);
    free_net(&d);
    free_net(&f);
}

/* SCRFD and BlazeFace find the faces that YuNet finds, and point at the same places. */
static void others_agree(void **state)
{
    static const struct {
        const char *file;
        int scales;      /* BlazeFace is for large faces: it needs tiles here */
        size_t missed;   /* at most */
        double iou, off; /* mean overlap at least; mean distance of the points at most, in eyes */
    } others[2] = {{"models/detect/scrfd_500m_kps-opt2.param", 1, 0, 0.8, 0.15},
                   {"models/detect/face_detection_short_range.tflite", 2, 2, 0.6, 0.28}};
    net y = load_net("DOMOVOI_SHARED", "models/detect/yunet_n_dynamic.onnx");
    char path[MAX_PATH];
    (void)state;
    if (!y.model || !place(path, "DOMOVOI_CACHE", "photos/sample1.jpg")) {
        free_net(&y);
        skip();
    }
    dmv_pipeline *py = open_pipeline(&y, NULL, NULL, NULL);
    size_t compared = 0;
    for (size_t k = 0; k < 2; k++) {
        net o = load_net("DOMOVOI_SHARED", others[k].file);
        if (!o.model) {
            continue;
        }
        dmv_pipeline_options opt;
        dmv_pipeline_options_init(&opt);
        opt.scales = others[k].scales;
        dmv_pipeline *po = open_pipeline(&o, NULL, NULL, &opt);
        size_t faces = 0, found = 0;
        double overlap = 0, off = 0;
        for (int i = 0; i < 6; i++) {
            char name[32];
            snprintf(name, sizeof(name), "photos/sample%d.jpg", i + 1);
            assert_true(place(path, "DOMOVOI_CACHE", name));
            dv_picture x = load_picture(path);
            const size_t n = detect(py, &x, first), m = detect(po, &x, second);
            faces += n;
            for (size_t a = 0; a < n; a++) {
                size_t best = m;
                for (size_t b = 0; b < m; b++) {
                    if (dv_iou(first[a].box, second[b].box) > 0.4f &&
                        (best == m || dv_iou(first[a].box, second[b].box) >
                                          dv_iou(first[a].box, second[best].box))) {
                        best = b;
                    }
                }
                if (best == m) {
                    continue;
                }
                found++;
                overlap += dv_iou(first[a].box, second[best].box);
                for (int j = 0; j < 5; j++) {
                    off += hypot(first[a].landmarks[j][0] - second[best].landmarks[j][0],
                                 first[a].landmarks[j][1] - second[best].landmarks[j][1]) /
                           (5 * eyes(&first[a]));
                }
            }
            dv_picture_free(&x);
        }
        print_message("%s: %zu of %zu faces, overlap %.2f, points off by %.3f\n", others[k].file,
                      found, faces, overlap / (double)found, off / (double)found);
        assert_true(found + others[k].missed >= faces);
        assert_true(overlap / (double)found > others[k].iou);
        assert_true(off / (double)found < others[k].off);
        dmv_pipeline_close(&po);
        free_net(&o);
        compared++;
    }
    dmv_pipeline_close(&py);
    free_net(&y);
    if (compared == 0) {
        skip();
    }
}

/* Every face belongs to a person. */
static void faces_lie_in_persons(void **state)
{
    static const char *const files[2] = {"models/person/coco_ssd_mobilenet_v1_1.0_quant.tflite",
                                         "models/person/FastestDet.onnx"};
    net y = load_net("DOMOVOI_SHARED", "models/detect/yunet_n_dynamic.onnx");
    char path[MAX_PATH];
    size_t compared = 0;
    (void)state;
    if (!y.model || !place(path, "DOMOVOI_CACHE", "photos/sample1.jpg")) {
        free_net(&y);
        skip();
    }
    dmv_pipeline *py = open_pipeline(&y, NULL, NULL, NULL);
    for (size_t k = 0; k < 2; k++) {
        net o = load_net("DOMOVOI_SHARED", files[k]);
        dv_detector d;
        dv_detector_options opt;
        dv_detector_options_init(&opt);
        if (!o.model) {
            continue;
        }
        opt.min_score = 0.4f;
        opt.cls = dv_model_class(o.model, "person");
        assert_int_equal(opt.cls, 0);
        assert_true(dv_model_class(o.model, "toothbrush") == (k ? 79 : 89));
        if (dv_detector_open(ctx, o.model, &opt, &d) != DMV_OK) {
            fail_msg("%s", dmv_error(ctx));
        }
        /* the pixels go into an 8-bit net as they are */
        size_t faces = 0, inside = 0, persons = 0;
        for (int i = 0; i < 6; i++) {
            dv_object found[100];
            char name[32];
            size_t m;
            snprintf(name, sizeof(name), "photos/sample%d.jpg", i + 1);
            assert_true(place(path, "DOMOVOI_CACHE", name));
            dv_picture x = load_picture(path);
            const dmv_image img = dv_picture_view(&x);
            const size_t n = detect(py, &x, first);
            assert_int_equal(dv_detector_run(&d, &img, found, 100, &m), DMV_OK);
            assert_true(k == 1 || d.net.bytes);
            for (size_t a = 0; a < n; a++) {
                const float mx = first[a].box[0] + first[a].box[2] / 2;
                const float my = first[a].box[1] + first[a].box[3] / 2;
                bool is = false;
                for (size_t b = 0; b < m; b++) {
                    const float *p = found[b].box;
                    is |= p[0] < mx && mx < p[0] + p[2] && p[1] < my && my < p[1] + p[3] &&
                          p[3] > first[a].box[3];
                }
                inside += is;
            }
            faces += n;
            persons += m;
            dv_picture_free(&x);
        }
        print_message("%s: %zu of %zu faces in %zu persons\n", files[k], inside, faces, persons);
        assert_int_equal(inside, faces);
        assert_true(persons < 3 * faces);
        dv_detector_close(&d);
        free_net(&o);
        compared++;
    }
    dmv_pipeline_close(&py);
    free_net(&y);
    if (compared == 0) {
        skip();
    }
}

static void crowd_with_tiles(void **state)
{
    net d = load_net("DOMOVOI_SHARED", "models/detect/yunet_n_dynamic.onnx");
    char path[MAX_PATH];
    size_t found[4];
    (void)state;
    if (!d.model || !place(path, "DOMOVOI_SHARED", "groups/selfie_crowd.jpg")) {
        free_net(&d);
        skip();
    }
    dv_picture x = load_picture(path);
    for (int scales = 1; scales <= 3; scales++) {
        dmv_pipeline_options o;
        dmv_pipeline_options_init(&o);
        o.scales = scales;
        o.quality = 0;
        dmv_pipeline *p = open_pipeline(&d, NULL, NULL, &o);
        found[scales] = detect(p, &x, first);
        const uint64_t before = dv_alloc_count();
        assert_int_equal(detect(p, &x, second), found[scales]);
        assert_int_equal(dv_alloc_count(), before);
        assert_memory_equal(first, second, found[scales] * sizeof(*first));
        for (size_t i = 0; i < found[scales]; i++) {
            for (size_t j = 0; j < i; j++) {
                assert_true(dv_iou(first[i].box, first[j].box) <= o.nms_iou);
            }
        }
        dmv_pipeline_close(&p);
    }
    /* an independent run of the net found 177 */
    assert_in_range(found[1], 172, 182);
    assert_true(found[2] > 2 * found[1]);
    assert_true(found[3] > found[2]);
    dv_picture_free(&x);
    free_net(&d);
}

static void portraits_have_one_face(void **state)
{
    net y = load_net("DOMOVOI_SHARED", "models/detect/yunet_n_dynamic.onnx");
    net u = load_net("DOMOVOI_SHARED",
                     "models/detect/ulfg_version-RFB-320_without_postprocessing.onnx");
    net c = load_net("DOMOVOI_CACHE", "onnx/fr_detect.onnx");
    net l = load_net("DOMOVOI_CACHE", "onnx/fr_landmark.onnx");
    dv_paths paths = portraits();
    size_t looked = 0, by_yunet = 0, by_ultra = 0, compared = 0, boxes = 0;
    double off = 0, overlap = 0;
    (void)state;
    if (!y.model || !u.model || !paths.n) {
        free_net(&y);
        free_net(&u);
        free_net(&c);
        free_net(&l);
        dv_paths_free(&paths);
        skip();
    }
    dmv_pipeline *py = open_pipeline(&y, NULL, NULL, NULL);
    dmv_pipeline *pu = open_pipeline(&u, l.model ? &l : NULL, NULL, NULL);
    dmv_pipeline *pc = c.model ? open_pipeline(&c, NULL, NULL, NULL) : NULL;
    for (size_t i = 0; i < paths.n; i += 29, looked++) {
        dv_picture x = load_picture(paths.v[i]);
        const size_t n = detect(py, &x, first), m = detect(pu, &x, second);
        by_yunet += n > 0;
        if (n) {
            assert_points(&first[0]);
        }
        for (size_t k = 0; n && k < m; k++) {
            if (dv_iou(first[0].box, second[k].box) < 0.4f) {
                continue;
            }
            by_ultra++;
            for (int j = 0; l.model && j < 5; j++) {
                assert_true(second[k].has_landmarks);
                off += hypot(first[0].landmarks[j][0] - second[k].landmarks[j][0],
                             first[0].landmarks[j][1] - second[k].landmarks[j][1]) /
                       (5 * eyes(&first[0]));
            }
            compared++;
            break;
        }
        if (pc) { /* the same weights, boxes decoded by the net and by us */
            const size_t same = detect(pc, &x, first);
            assert_int_equal(same, m);
            for (size_t k = 0; k < same; k++) {
                /* of two boxes with nearly one score either may be the one that is kept */
                float most = 0;
                for (size_t j = 0; j < m; j++) {
                    most = fmaxf(most, dv_iou(first[k].box, second[j].box));
                }
                assert_true(most > 0.7f);
                assert_near(first[k].score, second[k].score, 1e-3);
                overlap += most;
                boxes++;
            }
        }
        dv_picture_free(&x);
    }
    assert_true(by_yunet >= looked - looked / 50);
    assert_true(by_ultra >= looked - looked / 20);
    if (pc) {
        assert_true(overlap > 0.98 * (double)boxes);
    }
    if (l.model) { /* mean distance from YuNet's points, in distances of the eyes */
        assert_true(off / (double)compared < 0.15);
    }
    dmv_pipeline_close(&py);
    dmv_pipeline_close(&pu);
    dmv_pipeline_close(&pc);
    dv_paths_free(&paths);
    free_net(&y);
    free_net(&u);
    free_net(&c);
    free_net(&l);
}

/* Folders are people. Neighbours in the sorted list are mostly the same person. */
static void people_are_told_apart(void **state)
{
    enum { PEOPLE = 20, EACH = 3, DIM_MAX = 1024 };
    net d = load_net("DOMOVOI_SHARED", "models/detect/yunet_n_dynamic.onnx");
    net e = load_net("DOMOVOI_SHARED", "models/embed/mobilefacenet.onnx");
    dv_paths paths = portraits();
    (void)state;
    if (!d.model || !e.model || !paths.n) {
        free_net(&d);
        free_net(&e);
        dv_paths_free(&paths);
        skip();
    }
    dmv_pipeline *p = open_pipeline(&d, NULL, &e, NULL);
    const size_t dim = dmv_pipeline_dim(p);
    assert_int_equal(dim, dmv_model_dim(e.model));
    assert_true(dim <= DIM_MAX);
    float *v = calloc(PEOPLE * EACH * dim, sizeof(float));
    size_t people = 0, own = 0, n = 0;
    dmv_index *index = NULL;
    assert_int_equal(dmv_index_open(ctx, dim, &index), DMV_OK);
    for (size_t i = 0, from = 0; i < paths.n && people < PEOPLE; i++) {
        const size_t folder = (size_t)(strrchr(paths.v[i], '/') - paths.v[i]);
        if (strncmp(paths.v[i], paths.v[from], folder + 1)) {
            people += own == EACH;
            n = people * EACH;
            from = i;
            own = 0;
        }
        if (own < EACH && people < PEOPLE) {
            dv_picture x = load_picture(paths.v[i]);
            const dmv_image img = dv_picture_view(&x);
            if (detect(p, &x, first)) {
                assert_int_equal(dmv_pipeline_embed(p, &img, &first[0], v + n * dim), DMV_OK);
                assert_near(dmv_similarity(v + n * dim, v + n * dim, dim), 1, 1e-5);
                n++;
                own++;
            }
            dv_picture_free(&x);
        }
    }
    assert_int_equal(people, PEOPLE);
    double same = 0, other = 0;
    size_t n_same = 0, n_other = 0, right = 0;
    for (size_t i = 0; i < PEOPLE * EACH; i++) {
        for (size_t j = 0; j < i; j++) {
            const double s = dmv_similarity(v + i * dim, v + j * dim, dim);
            *(i / EACH == j / EACH ? &same : &other) += s;
            *(i / EACH == j / EACH ? &n_same : &n_other) += 1;
        }
        if (i % EACH) {
            assert_int_equal(dmv_index_add(index, i / EACH, v + i * dim), DMV_OK);
        }
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        dmv_match m;
        assert_int_equal(dmv_index_search(index, v + i * EACH * dim, 1, &m, &n), DMV_OK);
        right += m.id == i;
    }
    same /= (double)n_same;
    other /= (double)n_other;
    print_message("same person %.3f, others %.3f, first rank %zu of %d\n", same, other, right,
                  PEOPLE);
    assert_true(same > other + 0.3);
    assert_true(fabs(other) < 0.15);
    assert_true(right >= PEOPLE * 8 / 10);
    free(v);
    dmv_index_close(&index);
    dmv_pipeline_close(&p);
    dv_paths_free(&paths);
    free_net(&d);
    free_net(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yunet_on_group_photos),   cmocka_unit_test(others_agree),
        cmocka_unit_test(faces_lie_in_persons),    cmocka_unit_test(crowd_with_tiles),
        cmocka_unit_test(portraits_have_one_face), cmocka_unit_test(people_are_told_apart),
    };
    char path[MAX_PATH];
    if (!place(path, "DOMOVOI_SHARED", "models/detect/yunet_n_dynamic.onnx")) {
        printf("skipped: no yunet_n_dynamic.onnx under DOMOVOI_SHARED/models/detect\n");
        return 77;
    }
    if (dmv_context_open(NULL, &ctx) != DMV_OK) {
        return 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dmv_context_close(&ctx);
    return failed;
}
