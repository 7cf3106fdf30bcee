/* SPDX-License-Identifier: Apache-2.0
 *
 * What a net cannot say of itself: what it is for, how pixels become its input, how its
 * output is read, where it comes from. Names, licences and origins belong to files, so
 * they follow from the SHA-256; kind, preprocessing and decoder follow from the inputs and
 * outputs, so that a retrained net of a known family works as well.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "import/onnx.h"

/* Families of nets and how they want their pixels; value = (pixel - mean) * scale. */
typedef struct family {
    const char *kind, *color;
    float mean[3], scale;
    const char *decoder, *landmark_order;
    float crop;
    bool stretch;  /* pictures are squeezed into the input */
    float nms_iou; /* 0 = not stated */
} family;

static const family yunet = {"detector", "bgr", {0, 0, 0}, 1, "yunet", NULL, 0};
static const family ultraface = {"detector", "rgb", {127, 127, 127}, 1 / 128.0f, "ultraface",
                                 NULL,       0};
static const family ultraface_raw = {
    "detector", "rgb", {127, 127, 127}, 1 / 128.0f, "ultraface-raw", NULL, 0};
static const family retinaface = {"detector", "bgr", {104, 117, 123}, 1, "retinaface", NULL, 0};
static const family embedder = {"embedder", "rgb", {127.5f, 127.5f, 127.5f}, 1 / 127.5f, NULL,
                                NULL,       0};
static const family embedder_127 = {"embedder", "rgb", {127, 127, 127}, 1 / 128.0f, NULL, NULL, 0};
static const family landmarks = {"landmarks", "gray", {0, 0, 0}, 1 / 256.0f, NULL, "68", 1.0f};

static const family scrfd = {"detector", "rgb", {127.5f, 127.5f, 127.5f}, 1 / 128.0f, "scrfd",
                             NULL,       0};
static const family blazeface = {
    "detector", "rgb", {127.5f, 127.5f, 127.5f}, 1 / 127.5f, "blazeface", NULL, 0};
static const family ssd = {"detector", "rgb", {127.5f, 127.5f, 127.5f}, 1 / 127.5f, "ssd", NULL, 0,
                           true,       0.6f};
static const family fastestdet = {"detector", "bgr", {0, 0, 0}, 1 / 255.0f, "fastestdet",
                                  NULL,       0,     true,      0.45f};

/* The 80 classes of COCO, and the gaps in their numbers (1..90). */
static const char coco[] =
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,"
    "stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,"
    "backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,"
    "baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,"
    "bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,"
    "oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush";
static const uint8_t coco_gaps[] = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83};

/* Files that we know. `family` only where it is not the one that the shapes suggest;
 * thresholds: pairs false-match rate, similarity, falling rates. */
typedef struct known_file {
    const char *sha256, *name, *licence, *origin;
    const family *family;
    const float *thresholds;
    uint32_t n_thresholds;
    const char *thresholds_from;
} known_file;

#define FACEPLUGIN "npm faceplugin-face-recognition-js 0.0.1 (origin of the weights not stated)"
#define EDGEFACE_LICENCE "BSD-3-Clause beside the weights, CC BY-NC-SA elsewhere: for research"

/* Measured with this engine on the 7,701 aligned faces of LFW's 6,000 pairs, without mirror: all
 * pairs of different names, rounded up. */
#define LFW_PAIRS "LFW, 7,701 aligned faces, 29.6 million pairs of different people"
static const float fr_feature_thresholds[] = {1e-2f, 0.249f, 1e-3f, 0.339f,
                                              1e-4f, 0.414f, 1e-5f, 0.477f};

static const known_file known_files[] = {
    {"25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31", "YuNet-n 640x640",
     "Apache-2.0", "libfacedetection.train", NULL, NULL, 0, NULL},
    {"104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12", "YuNet-n", "Apache-2.0",
     "libfacedetection.train", NULL, NULL, 0, NULL},
    {"d7c687949526065ab6a192fdf993360045ce27b0fabf7c9fca5c2437b786b495", "Ultra-Light RFB-320",
     "MIT", "Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB", NULL, NULL, 0, NULL},
    {"bef7355c8925b95ed1b545b9941c52bdefd4be8539d7768594a5c6f32a1b20d2", "EdgeFace-XS",
     EDGEFACE_LICENCE, "Idiap EdgeFace, rebuilt as float32", NULL, NULL, 0, NULL},
    {"c4292647f414e2c1dbf6bf9c2a6ed9f12d49efd8969c6f548eb0b1367c05be48", "EdgeFace-XXS",
     EDGEFACE_LICENCE, "Idiap EdgeFace, rebuilt as float32", NULL, NULL, 0, NULL},
    {"f055d9c9a4d826d198c42666590fdefa0fdc1374a75ccb6306c3d1b1bf8f74c5", "MobileFaceNet",
     "none stated", "diandianti/photo_analyze", NULL, NULL, 0, NULL},
    {"31cb14c017fce347cb4c846ec62fdf00d76bb3beecdf4be21e7116ac67feb880", "FastestDet",
     "BSD-3-Clause", "FastestDet", &fastestdet, NULL, 0, NULL},
    {"e4b118e5e4531945de2e659742c7c590f7536f8d0ed26d135abcfe83b4779d13",
     "SSD MobileNetV1 COCO, 8 bits", "Apache-2.0", "TensorFlow models", NULL, NULL, 0, NULL},
    {"3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633", "BlazeFace, short range",
     "Apache-2.0", "MediaPipe", NULL, NULL, 0, NULL},
    {"f4e0d6223248972721d2e3de1431212167ce0e7fd7cb57e297c5b3223f3c89eb", "SCRFD-500M with points",
     "none stated", "nihui/ncnn-android-scrfd", NULL, NULL, 0, NULL},
    {"6c0256ccd3164f844736a401faf936ec2930764a87ae39442180887d0c5c8854", "fr_detect", "MIT",
     FACEPLUGIN, NULL, NULL, 0, NULL},
    {"f10b0ba1d2a8a099adefede1ebf3733e44fe370715e7303dbeb7f59c02142258", "fr_landmark", "MIT",
     FACEPLUGIN, NULL, NULL, 0, NULL},
    {"87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581", "fr_feature", "MIT",
     FACEPLUGIN, &embedder_127, fr_feature_thresholds, DV_COUNT(fr_feature_thresholds), LFW_PAIRS},
    {"74c9b01700cb9ef96f7190a2230218414ff99d231415c4b091a755780cad5e8a", "fr_age", "MIT",
     FACEPLUGIN, NULL, NULL, 0, NULL},
    {"88959314d9dc14d6c968cca31dc068e4350bf1944154e3bdd2eece5d0f318d05", "fr_expression", "MIT",
     FACEPLUGIN, NULL, NULL, 0, NULL},
    {"1afcea006abc1ccac3c517022abde0aa092bed74ff3c9fe6878483ef9e6e38de", "fr_eye", "MIT",
     FACEPLUGIN, NULL, NULL, 0, NULL},
    {"a003e8392a617ca834c7ca2c01e0895f5c354217fb56cd0373935e6e9b9c396e", "fr_gender", "MIT",
     FACEPLUGIN, NULL, NULL, 0, NULL},
    {"afa783b7e902fdfcf323a7240cac2a1c580c25314ea4161129dc1b0d100dc32d", "fr_liveness", "MIT",
     FACEPLUGIN, NULL, NULL, 0, NULL},
    {"72d032ec941b7153bf8d3f2c03a4c165453cc7e63d479041ec7c6ef087e5839d", "fr_pose", "MIT",
     FACEPLUGIN, NULL, NULL, 0, NULL},
};

static const known_file *find_file(const uint8_t *data, size_t size)
{
    dv_sha256 s;
    uint8_t digest[32];
    char hex[65];
    dv_sha256_init(&s);
    dv_sha256_update(&s, data, size);
    dv_sha256_final(&s, digest);
    dv_hex(digest, sizeof digest, hex);
    for (size_t i = 0; i < DV_COUNT(known_files); i++)
        if (!strcmp(known_files[i].sha256, hex))
            return &known_files[i];
    return NULL;
}

/* ---- families by their shapes ---- */

static const dv_gtensor *output(const dv_graph *g, size_t i)
{
    return &g->tensors[g->outputs[i]];
}

static bool named(const dv_gtensor *t, const char *name)
{
    return t->name && !strcmp(t->name, name);
}

static bool is_yunet(const dv_graph *g)
{
    static const char *const heads[4] = {"cls", "obj", "bbox", "kps"};
    int found = 0;
    if (g->n_outputs != 12)
        return false;
    for (int h = 0; h < 4; h++)
        for (int stride = 8; stride <= 32; stride *= 2) {
            char name[16];
            snprintf(name, sizeof name, "%s_%d", heads[h], stride);
            for (size_t i = 0; i < 12; i++)
                found += named(output(g, i), name);
        }
    return found == 12;
}

/* Output of shape [1, N, last]; its index, or -1. */
static int find_rows(const dv_graph *g, int64_t last)
{
    for (size_t i = 0; i < g->n_outputs; i++)
        if (output(g, i)->rank == 3 && output(g, i)->dims[2] == last)
            return (int)i;
    return -1;
}

static bool has_exp(const dv_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (dv_node_int(&g->nodes[i], DV_A_ACT, DV_ACT_NONE) == DV_ACT_EXP)
            return true;
    return false;
}

/* The single input is a picture of c channels, w x w where w > 0; channels first or last. */
static bool takes_picture(const dv_graph *g, int64_t c, int64_t w)
{
    const dv_gtensor *t = &g->tensors[g->inputs[0]];
    if (g->n_inputs != 1 || t->rank != 4)
        return false;
    int side = t->dims[1] == c ? 2 : t->dims[3] == c ? 1 : 0;
    return side && (w == 0 || (t->dims[side] == w && t->dims[side + 1] == w));
}

static bool is_scrfd(const dv_graph *g)
{
    static const char *const heads[3] = {"score", "bbox", "kps"};
    int found = 0;
    for (int h = 0; h < 3; h++)
        for (int stride = 8; stride <= 32; stride *= 2) {
            char name[16];
            snprintf(name, sizeof name, "%s_%d", heads[h], stride);
            for (size_t i = 0; i < g->n_outputs; i++)
                found += named(output(g, i), name);
        }
    return g->n_outputs == 9 && found == 9;
}

static bool is_ssd(const dv_graph *g)
{
    return g->n_outputs == 2 && named(output(g, 0), "ssd_boxes") &&
           named(output(g, 1), "ssd_scores");
}

/* One map of 5 + 80 channels, a cell for 16 pixels. */
static bool is_fastestdet(const dv_graph *g)
{
    const dv_gtensor *t = output(g, 0), *x = &g->tensors[g->inputs[0]];
    return g->n_outputs == 1 && t->rank == 4 && t->dims[1] == 85 && t->dims[2] > 0 &&
           t->dims[2] * 16 == x->dims[2] && t->dims[3] * 16 == x->dims[3];
}

/* Length of the only output, a row; 0 = it is something else. */
static int64_t row_output(const dv_graph *g)
{
    const dv_gtensor *t = g->n_outputs == 1 ? output(g, 0) : NULL;
    return t && t->rank == 2 && t->dims[1] > 0 ? t->dims[1] : 0;
}

static const family *find_family(const dv_graph *g)
{
    if (takes_picture(g, 3, 0)) {
        int boxes = find_rows(g, 4), scores = find_rows(g, 2), points = find_rows(g, 10);
        if (is_yunet(g))
            return &yunet;
        if (is_scrfd(g))
            return &scrfd;
        if (is_ssd(g))
            return &ssd;
        if (is_fastestdet(g))
            return &fastestdet;
        if (g->n_outputs == 2 && find_rows(g, 16) >= 0 && find_rows(g, 1) >= 0 &&
            takes_picture(g, 3, 128))
            return &blazeface;
        if (g->n_outputs == 3 && boxes >= 0 && scores >= 0 && points >= 0)
            return &retinaface;
        if (g->n_outputs == 2 && boxes >= 0 && scores >= 0 &&
            named(output(g, (size_t)boxes), "boxes") && named(output(g, (size_t)scores), "scores"))
            return has_exp(g) ? &ultraface : &ultraface_raw;
    }
    if (takes_picture(g, 3, 112) && row_output(g) >= 64)
        return &embedder;
    if (takes_picture(g, 1, 64) && row_output(g) == 136)
        return &landmarks;
    return NULL;
}

/* A net that quantises its picture first, in N, H, W, C: those are the pixels. */
static void pixels_of(const dv_graph *g, float *mean, float *scale)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dv_node *n = &g->nodes[i];
        const dv_gtensor *q = &g->tensors[n->out[0]];
        if (n->op == DV_OP_QUANTIZE && n->in[0] == g->inputs[0] && q->scale > 0)
            for (int k = 0; k < 3; k++) {
                mean[k] = q->zero;
                scale[k] = q->scale;
            }
    }
}

/* Names of COCO's classes, numbered without gaps (80) or with them (90). */
static bool set_labels(int64_t classes, dv_meta *m)
{
    char text[sizeof coco + DV_COUNT(coco_gaps)];
    size_t n = 0, gap = 0;
    int number = 1;
    if (classes != 80 && classes != 90)
        return true;
    for (const char *s = coco; *s; s++) {
        text[n++] = *s;
        if (*s != ',')
            continue;
        number++;
        while (classes == 90 && gap < DV_COUNT(coco_gaps) && coco_gaps[gap] == number) {
            text[n++] = ',';
            gap++;
            number++;
        }
    }
    text[n] = 0;
    return dv_meta_set_text(m, "labels", text);
}

static bool set_family(const family *f, const dv_graph *g, dv_meta *m)
{
    float scale[3] = {f->scale, f->scale, f->scale}, mean[3];
    uint32_t n = strcmp(f->color, "gray") ? 3 : 1;
    memcpy(mean, f->mean, sizeof mean);
    if (n == 3)
        pixels_of(g, mean, scale);
    bool ok = dv_meta_set_text(m, "kind", f->kind) && dv_meta_set_text(m, "color", f->color) &&
              dv_meta_set_floats(m, "mean", mean, n) && dv_meta_set_floats(m, "scale", scale, n);
    if (f->stretch)
        ok = ok && dv_meta_set_text(m, "fit", "stretch");
    if (f->nms_iou > 0)
        ok = ok && dv_meta_set_floats(m, "nms_iou", &f->nms_iou, 1);
    if (f == &ssd)
        ok = ok && set_labels(output(g, 1)->dims[2], m);
    if (f == &fastestdet)
        ok = ok && set_labels(80, m);
    if (f->decoder)
        ok = ok && dv_meta_set_text(m, "decoder", f->decoder);
    if (f->landmark_order)
        ok = ok && dv_meta_set_text(m, "landmark_order", f->landmark_order) &&
             dv_meta_set_floats(m, "crop", &f->crop, 1);
    if (!strcmp(f->kind, "embedder"))
        ok = ok && dv_meta_set_int(m, "dim", row_output(g));
    return ok;
}

/* "/some/where/net.onnx" -> source "net.onnx", name "net". */
static bool set_source(const char *path, dv_meta *m)
{
    char base[128];
    const char *slash = strrchr(path, '/');
    snprintf(base, sizeof base, "%s", slash ? slash + 1 : path);
    bool ok = dv_meta_set_text(m, "source", base);
    static const char *const endings[] = {".onnx", ".tflite", ".param"};
    size_t n = strlen(base);
    for (size_t i = 0; i < DV_COUNT(endings); i++)
        if (n > strlen(endings[i]) && !strcmp(base + n - strlen(endings[i]), endings[i]))
            base[n - strlen(endings[i])] = 0;
    return ok && dv_meta_set_text(m, "name", base);
}

/* ---- what an exported file says of itself ---- */

#define STORED "domovoi." /* src/export writes these */
#define MAX_VALUES 128

static bool finite_floats(const char *s, float *v, uint32_t *n)
{
    for (*n = 0; *n < MAX_VALUES;) {
        char *end;
        v[*n] = strtof(s, &end);
        if (end == s || !isfinite(v[*n]))
            return false;
        (*n)++;
        if (!*end)
            return true;
        if (*end != ',')
            return false;
        s = end + 1;
    }
    return false;
}

/* Values of the wrong kind are left out; false = no memory. */
static bool take_stored(const char *key, const char *value, dv_meta *m)
{
    static const char *const texts[] = {
        "kind",    "name",           "licence",         "origin",    "color",
        "decoder", "landmark_order", "thresholds_from", "quantised", "quantised_from",
        "fit",     "labels"};
    static const char *const lists[] = {"mean", "scale", "crop", "thresholds", "nms_iou"};
    float v[MAX_VALUES];
    uint32_t n;
    for (size_t i = 0; i < DV_COUNT(texts); i++)
        if (!strcmp(key, texts[i]) && !strncmp(value, "text:", 5) && strlen(value) < 2000)
            return dv_meta_set_text(m, key, value + 5);
    for (size_t i = 0; i < DV_COUNT(lists); i++)
        if (!strcmp(key, lists[i]) && !strncmp(value, "floats:", 7) &&
            finite_floats(value + 7, v, &n))
            return dv_meta_set_floats(m, key, v, n);
    if (!strcmp(key, "dim") && !strncmp(value, "int:", 4)) {
        char *end;
        long long dim = strtoll(value + 4, &end, 10);
        if (end != value + 4 && !*end && dim > 0)
            return dv_meta_set_int(m, key, dim);
    }
    return true;
}

static dmv_status stored(const uint8_t *data, size_t size, dv_meta *m, dv_err *e)
{
    dv_onnx file;
    if (!memmem(data, size, STORED, strlen(STORED)))
        return DMV_OK;
    dmv_status st = dv_onnx_parse(data, size, &file, e);
    if (st) /* the file of another format */
        return st == DMV_ERR_MEMORY ? st : DMV_OK;
    for (size_t i = 0; !st && i < file.model->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *p = file.model->metadata_props[i];
        if (p->key && p->value && !strncmp(p->key, STORED, strlen(STORED)) &&
            !take_stored(p->key + strlen(STORED), p->value, m))
            st = dv_nomem(e);
    }
    dv_onnx_free(&file);
    return st;
}

dmv_status dv_import_profile(const uint8_t *data, size_t size, const char *name, const dv_graph *g,
                             dv_meta *m, dv_err *e)
{
    const known_file *k = find_file(data, size);
    const family *f = k && k->family ? k->family : find_family(g);
    bool ok = set_source(name ? name : "net.onnx", m);
    ok = ok && (f ? set_family(f, g, m) : dv_meta_set_text(m, "kind", "other"));
    if (k) {
        ok = ok && dv_meta_set_text(m, "name", k->name) &&
             dv_meta_set_text(m, "licence", k->licence) && dv_meta_set_text(m, "origin", k->origin);
        if (k->n_thresholds)
            ok = ok && dv_meta_set_floats(m, "thresholds", k->thresholds, k->n_thresholds) &&
                 dv_meta_set_text(m, "thresholds_from", k->thresholds_from);
    }
    if (!ok)
        return dv_nomem(e);
    return k ? DMV_OK : stored(data, size, m, e);
}
