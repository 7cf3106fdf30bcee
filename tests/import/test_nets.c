/* SPDX-License-Identifier: Apache-2.0
 *
 * The real nets, where they are at hand: every one imports, plainly and with passes, and
 * gets the right profile. Without any of them the test is skipped (77). */
#include <stdlib.h>
#include <string.h>

#include "import/import.h"

typedef struct net {
    const char *file, *kind, *color, *decoder, *name;
    size_t outputs;
    int64_t dim;
    float mean;
} net;

/* Under DOMOVOI_SHARED/models, or DOMOVOI_CACHE where a package was unpacked. */
static const net nets[] = {
    {"detect/yunet_n_640_640.onnx", "detector", "bgr", "yunet", "YuNet-n 640x640", 12, 0, 0},
    {"detect/yunet_n_dynamic.onnx", "detector", "bgr", "yunet", "YuNet-n", 12, 0, 0},
    {"detect/ulfg_version-RFB-320_without_postprocessing.onnx", "detector", "rgb", "ultraface-raw",
     "Ultra-Light RFB-320", 2, 0, 127},
    {"embed/mobilefacenet.onnx", "embedder", "rgb", NULL, "MobileFaceNet", 1, 128, 127.5f},
    {"embed/edgeface_xs.onnx", "embedder", "rgb", NULL, "EdgeFace-XS", 1, 512, 127.5f},
    {"embed/edgeface_xxs.onnx", "embedder", "rgb", NULL, "EdgeFace-XXS", 1, 512, 127.5f},
    {"person/FastestDet.onnx", "detector", "bgr", "fastestdet", "FastestDet", 1, 0, 0},
    {"person/coco_ssd_mobilenet_v1_1.0_quant.tflite", "detector", "rgb", "ssd",
     "SSD MobileNetV1 COCO, 8 bits", 2, 0, 128},
    {"detect/face_detection_short_range.tflite", "detector", "rgb", "blazeface",
     "BlazeFace, short range", 2, 0, 127.5f},
    {"detect/scrfd_500m_kps-opt2.param", "detector", "rgb", "scrfd", "SCRFD-500M with points", 9, 0,
     127.5f},
    {"fr_detect.onnx", "detector", "rgb", "ultraface", "fr_detect", 2, 0, 127},
    {"fr_landmark.onnx", "landmarks", "gray", NULL, "fr_landmark", 1, 0, 0},
    {"fr_feature.onnx", "embedder", "rgb", NULL, "fr_feature", 1, 512, 127},
    {"fr_age.onnx", "other", NULL, NULL, "fr_age", 9, 0, 0},
    {"fr_expression.onnx", "other", NULL, NULL, "fr_expression", 1, 0, 0},
    {"fr_eye.onnx", "other", NULL, NULL, "fr_eye", 1, 0, 0},
    {"fr_gender.onnx", "other", NULL, NULL, "fr_gender", 9, 0, 0},
    {"fr_liveness.onnx", "other", NULL, NULL, "fr_liveness", 1, 0, 0},
    {"fr_pose.onnx", "other", NULL, NULL, "fr_pose", 3, 0, 0},
};

static int failures;

static void check(bool ok, const net *n, const char *what)
{
    if (ok)
        return;
    printf("FAIL %s: %s\n", n->file, what);
    failures++;
}

static bool same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static void check_profile(const net *n, const uint8_t *data, size_t size, const dv_graph *g)
{
    dv_meta m = {0};
    dv_err e = {0};
    check(dv_import_profile(data, size, n->file, g, &m, &e) == DMV_OK, n, e.msg);
    check(same(dv_meta_text(&m, "kind"), n->kind), n, "kind");
    check(same(dv_meta_text(&m, "color"), n->color), n, "color");
    check(same(dv_meta_text(&m, "decoder"), n->decoder), n, "decoder");
    check(same(dv_meta_text(&m, "name"), n->name), n, "name");
    check(dv_meta_text(&m, "licence") && dv_meta_text(&m, "origin"), n, "licence or origin");
    const dv_meta_item *dim = dv_meta_get(&m, "dim"), *mean = dv_meta_get(&m, "mean");
    check(n->dim ? dim && dim->num == n->dim : !dim, n, "dim");
    check(n->color ? mean && mean->n && mean->f[0] == n->mean : !mean, n, "mean");
    dv_meta_free(&m);
}

static dmv_status import(const net *n, const uint8_t *data, size_t size, const uint8_t *bin,
                         size_t bin_size, const dv_import_options *o, dv_graph *g, dv_err *e)
{
    switch (dv_import_guess(data, size)) {
    case DV_IMPORT_TFLITE:
        return dv_import_tflite(data, size, n->file, o, g, e);
    case DV_IMPORT_NCNN:
        return dv_import_ncnn(data, size, bin, bin_size, n->file, o, g, e);
    default:
        return dv_import_onnx(data, size, n->file, o, g, e);
    }
}

static void check_net(const net *n, const uint8_t *data, size_t size, const uint8_t *bin,
                      size_t bin_size)
{
    for (int passes = 0; passes < 2; passes++) {
        dv_import_options o = {.no_passes = !passes};
        dv_graph g;
        dv_err e = {0};
        if (import(n, data, size, bin, bin_size, &o, &g, &e) != DMV_OK) {
            check(false, n, e.msg);
            continue;
        }
        check(g.n_outputs == n->outputs, n, "number of outputs");
        check(dv_graph_check(&g, &e) == DMV_OK, n, e.msg);
        for (size_t i = 0; i < g.n_nodes; i++)
            if (g.nodes[i].op == DV_OP_CONV)
                check(g.tensors[g.nodes[i].in[1]].pack != DV_PACK_NONE, n, "unpacked weights");
        check_profile(n, bin ? bin : data, bin ? bin_size : size, &g);
        dv_graph_free(&g);
    }
}

int main(void)
{
    static const char *const folders[][2] = {
        {"DOMOVOI_SHARED", "models"},
        {"DOMOVOI_CACHE", "onnx"},
    };
    int found = 0;
    for (size_t i = 0; i < DV_COUNT(nets); i++) {
        uint8_t *data = NULL, *bin = NULL;
        size_t size = 0, bin_size = 0, length = strlen(nets[i].file);
        for (size_t k = 0; k < DV_COUNT(folders) && !data; k++) {
            char path[1024];
            dv_err e = {0};
            const char *root = getenv(folders[k][0]);
            snprintf(path, sizeof path, "%s/%s/%s", root ? root : ".", folders[k][1], nets[i].file);
            if (dv_read_file(path, (size_t)1 << 30, &data, &size, &e) != DMV_OK)
                data = NULL;
            char *end = strrchr(path, '.');
            if (data && !strcmp(nets[i].file + length - 6, ".param") && end) {
                strcpy(end, ".bin");
                check(dv_read_file(path, (size_t)1 << 30, &bin, &bin_size, &e) == DMV_OK, &nets[i],
                      e.msg);
            }
        }
        if (!data)
            continue;
        found++;
        check_net(&nets[i], data, size, bin, bin_size);
        dv_free(data);
        dv_free(bin);
    }
    printf("%d of %zu nets found, %d failures\n", found, DV_COUNT(nets), failures);
    if (failures)
        return 1;
    return found ? 0 : 77;
}
