/* SPDX-License-Identifier: Apache-2.0
 *
 * compare.c - our half of the comparison with ONNX Runtime.
 *
 *   compare inputs FOLDER PHOTO PHOTO NET.onnx...   writes real pictures, made ready as the net
 *                                                   wants them, for ort.cjs
 *   compare check FOLDER                            runs the same inputs on every instruction
 *                                                   set of this machine, with 1 and 2 threads
 *
 * A net goes the whole way that a user's net goes: import, passes, .dmv in memory, public API.
 * An output agrees if its largest absolute difference is at most 1e-4 of the largest absolute
 * value that ONNX Runtime gave. Outputs that stay below 0.0025 are measured against 0.0025: ONNX
 * Runtime works Sigmoid out round 0.5, so that small values come in steps of 2^-25. Checked on
 * YuNet's obj_32 without a large face (top 3.6e-4): its Sigmoid differs from the exact one of its
 * own logits by 2.4e-4 of the top, three steps; elsewhere by at most 9e-7.
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "face/face.h"
#include "image/image.h"
#include "import/import.h"

#define TOLERANCE 1e-4
#define SMALLEST_TOP 0.0025
#define MAX_NET ((size_t)1 << 28)
#define MAX_OUTS 16

typedef struct net {
    uint8_t *dmv;
    dmv_model *model;
} net;

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "compare: %s: %s\n", what, why);
    return 1;
}

static void net_close(net *n)
{
    dmv_model_close(&n->model);
    dv_free(n->dmv);
    memset(n, 0, sizeof *n);
}

static bool net_open(dmv_context *ctx, const char *path, net *n)
{
    uint8_t *onnx = NULL;
    size_t size = 0, dmv_size = 0;
    dv_graph g;
    dv_meta meta = {0};
    dv_err e = {0};
    memset(n, 0, sizeof *n);
    dv_graph_init(&g);
    bool ok = !dv_read_file(path, MAX_NET, &onnx, &size, &e) &&
              !dv_import_onnx(onnx, size, path, NULL, &g, &e) &&
              !dv_import_profile(onnx, size, path, &g, &meta, &e) &&
              !dv_dmv_encode(&g, &meta, &n->dmv, &dmv_size, &e);
    if (!ok)
        fail(path, e.msg);
    else if (dmv_model_open_memory(ctx, n->dmv, dmv_size, &n->model))
        ok = fail(path, dmv_error(ctx)) == 0;
    dv_meta_free(&meta);
    dv_graph_free(&g);
    dv_free(onnx);
    if (!ok)
        net_close(n);
    return ok;
}

static bool write_file(const char *folder, const char *name, const char *end, const void *p,
                       size_t size)
{
    char path[PATH_MAX];
    dv_err e = {0};
    snprintf(path, sizeof path, "%s/%s%s", folder, name, end);
    if (dv_write_file(path, p, size, &e))
        return fail(path, e.msg) == 0;
    return true;
}

/* ---- inputs ---- */

/* The second picture of each net is turned upside down and darkened. */
static void spoil(dv_picture *p)
{
    size_t n = (size_t)p->width * (size_t)p->height * 3;
    for (size_t i = 0, j = n - 1; i < j; i++, j--) {
        uint8_t a = p->pixels[i];
        p->pixels[i] = p->pixels[j] / 4;
        p->pixels[j] = a / 4;
    }
}

/* Nets for whole pictures get the whole photo, nets for one face the surroundings of one. */
static void region(const dmv_image *img, int w, float r[4])
{
    const float face[4] = {0.190f, 0.200f, 0.180f, 0.270f}; /* of a photo, about the first face */
    if (w > 200) {
        r[0] = r[1] = 0;
        r[2] = (float)img->width;
        r[3] = (float)img->height;
        return;
    }
    r[0] = face[0] * (float)img->width;
    r[1] = face[1] * (float)img->height;
    r[2] = face[2] * (float)img->width;
    r[3] = face[3] * (float)img->height;
}

static bool put_case(dmv_context *ctx, const char *folder, const char *name, const char *path,
                     const net *n, const dmv_tensor *in, int w, int h, const dmv_image *img,
                     dv_buf *cases)
{
    dv_err e = {0};
    dv_prep prep;
    float r[4];
    int channels = (int)in->dims[1];
    if (dv_prep_from_model(n->model, &prep, &e))
        return fail(path, e.msg) == 0;
    if (!dmv_model_text(n->model, "color")) { /* nothing is known: one channel is grey */
        prep.channels = channels;
        for (int c = 0; c < 3; c++)
            prep.scale[c] = 1.0f / 255;
    }
    if (prep.channels != channels || (channels != 1 && channels != 3))
        return fail(path, "profile and input disagree about channels") == 0;
    size_t count = (size_t)w * (size_t)h * (size_t)channels;
    uint8_t *rgb = dv_malloc((size_t)w * (size_t)h * 3);
    float *data = dv_malloc(count * sizeof *data);
    bool ok = rgb && data;
    if (ok) {
        region(img, w, r);
        dv_resize_rgb(img, r[0], r[1], r[2], r[3], w, h, rgb, (size_t)w * 3);
        dv_prep_run(&prep, ctx->kernels, rgb, (size_t)w * 3, w, h, true, data);
        ok = write_file(folder, name, ".in", data, count * sizeof *data);
        dv_buf_printf(cases, "%s\t%s\t%s\t1x%dx%dx%d\n", name, path, in->name, channels, h, w);
    }
    dv_free(rgb);
    dv_free(data);
    return ok && !cases->bad;
}

static bool net_inputs(dmv_context *ctx, const char *folder, int number, const char *path,
                       const dv_picture *photos, dv_buf *cases)
{
    static const int sizes[2][2] = {{640, 480}, {352, 416}}; /* for nets of any size */
    net n;
    dmv_session *s = NULL;
    dmv_tensor in;
    if (!net_open(ctx, path, &n))
        return false;
    bool ok = !dmv_session_open(ctx, n.model, &s) && !dmv_session_input_info(s, 0, &in);
    if (!ok)
        fail(path, dmv_error(ctx));
    else if (dmv_session_inputs(s) != 1 || in.rank != 4)
        ok = fail(path, "not one picture as input") == 0;
    for (int k = 0; ok && k < 4; k++) {
        bool any = in.dims[2] < 0 || in.dims[3] < 0;
        int w = any ? sizes[k / 2][0] : (int)in.dims[3],
            h = any ? sizes[k / 2][1] : (int)in.dims[2];
        char name[32];
        if (k >= 2 && !any)
            break;
        dmv_image img = dv_picture_view(&photos[k % 2]);
        snprintf(name, sizeof name, "net%02d-%d", number, k);
        ok = put_case(ctx, folder, name, path, &n, &in, w, h, &img, cases);
    }
    dmv_session_close(&s);
    net_close(&n);
    return ok;
}

static int inputs(int argc, char **argv)
{
    dv_picture photos[2] = {{0}, {0}};
    dv_buf cases = {0};
    dv_err e = {0};
    dmv_context *ctx = NULL;
    const char *folder = argv[0];
    bool ok = argc >= 4 && !dmv_context_open(NULL, &ctx);
    for (int i = 0; ok && i < 2; i++)
        if (dv_image_load(argv[1 + i], &photos[i], &e))
            ok = fail(argv[1 + i], e.msg) == 0;
    if (ok)
        spoil(&photos[1]);
    for (int i = 3; ok && i < argc; i++)
        ok = net_inputs(ctx, folder, i - 3, argv[i], photos, &cases);
    ok = ok && write_file(folder, "cases", ".txt", cases.data, cases.size);
    dv_buf_free(&cases);
    dv_picture_free(&photos[0]);
    dv_picture_free(&photos[1]);
    dmv_context_close(&ctx);
    return ok ? 0 : 1;
}

/* ---- check ---- */

typedef struct expected {
    char name[128];
    char dims[64];
    float *v;
    size_t n;
} expected;

typedef struct test_case {
    char name[32], path[PATH_MAX], dims[64];
    float *in;
    size_t n_in, n_out;
    expected out[MAX_OUTS];
} test_case;

static bool read_floats(const char *folder, const char *name, const char *end, float **v, size_t *n)
{
    char path[PATH_MAX];
    dv_err e = {0};
    uint8_t *data = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s%s", folder, name, end);
    if (dv_read_file(path, MAX_NET, &data, &size, &e))
        return fail(path, e.msg) == 0;
    *v = (float *)(void *)data; /* malloc'ed: aligned */
    *n = size / sizeof(float);
    return true;
}

static void case_free(test_case *t)
{
    dv_free(t->in);
    for (size_t i = 0; i < t->n_out; i++)
        dv_free(t->out[i].v);
    dv_free(t);
}

/* A line of cases.txt with its input and what ONNX Runtime made of it. */
static test_case *case_load(const char *folder, const char *line)
{
    test_case *t = dv_calloc(1, sizeof *t);
    char path[PATH_MAX], row[256];
    if (!t)
        return NULL;
    bool ok = sscanf(line, "%31[^\t]\t%4095[^\t]\t%*[^\t]\t%63s", t->name, t->path, t->dims) == 3 &&
              read_floats(folder, t->name, ".in", &t->in, &t->n_in);
    snprintf(path, sizeof path, "%s/%s.outs", folder, t->name);
    FILE *f = ok ? fopen(path, "r") : NULL;
    ok = f != NULL;
    while (ok && fgets(row, sizeof row, f) && t->n_out < MAX_OUTS) {
        char end[16];
        expected *x = &t->out[t->n_out];
        snprintf(end, sizeof end, ".out.%zu", t->n_out);
        x->dims[0] = 0;
        ok = sscanf(row, "%127[^\t]\t%63s", x->name, x->dims) >= 1 &&
             read_floats(folder, t->name, end, &x->v, &x->n);
        t->n_out += ok;
    }
    if (f)
        fclose(f);
    if (!ok || t->n_out == 0) {
        fail(t->name, "no result of ONNX Runtime");
        case_free(t);
        return NULL;
    }
    return t;
}

static void dims_text(const dmv_tensor *t, char *out, size_t size)
{
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < t->rank && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%" PRId64, i ? "x" : "", t->dims[i]);
}

/* Largest difference over largest value of all outputs; -1 if something else is wrong. */
static double compare(dmv_session *s, const test_case *t)
{
    double worst = 0;
    if (dmv_session_outputs(s) != t->n_out)
        return fail(t->name, "another number of outputs"), -1;
    for (size_t i = 0; i < t->n_out; i++) {
        dmv_tensor o;
        char dims[64];
        double diff = 0, top = 0;
        if (dmv_session_output(s, i, &o))
            return fail(t->name, "no output"), -1;
        dims_text(&o, dims, sizeof dims);
        if (strcmp(o.name ? o.name : "", t->out[i].name) || strcmp(dims, t->out[i].dims))
            return fail(t->out[i].name, "another name or shape"), -1;
        for (size_t k = 0; k < t->out[i].n; k++) {
            double d = fabs((double)o.data[k] - (double)t->out[i].v[k]);
            if (!(d <= diff)) /* a NaN must not pass */
                diff = d;
            top = fmax(top, fabs((double)t->out[i].v[k]));
        }
        if (!isfinite(diff) || !isfinite(top))
            return fail(t->out[i].name, "not a number where ONNX Runtime has one"), -1;
        worst = fmax(worst, diff / fmax(top, SMALLEST_TOP));
    }
    return worst;
}

static double run_case(dmv_context *ctx, const net *n, const test_case *t)
{
    dmv_session *s = NULL;
    int64_t d[4];
    double worst = -1;
    if (sscanf(t->dims, "%" SCNd64 "x%" SCNd64 "x%" SCNd64 "x%" SCNd64, &d[0], &d[1], &d[2],
               &d[3]) == 4 &&
        d[0] * d[1] * d[2] * d[3] == (int64_t)t->n_in && !dmv_session_open(ctx, n->model, &s) &&
        !dmv_session_reshape(s, 0, d, 4) && !dmv_session_set_input(s, 0, t->in) &&
        !dmv_session_run(s))
        worst = compare(s, t);
    else
        fail(t->name, dmv_error(ctx));
    dmv_session_close(&s);
    return worst;
}

/* The instruction sets of this machine, lowest first. */
static size_t cpus(const char *out[4])
{
    static const struct {
        unsigned flag;
        const char *name;
    } all[] = {{DV_CPU_AVX2, "avx2"}, {DV_CPU_AVX512, "avx512"}, {DV_CPU_NEON, "neon"}};
    size_t n = 0;
    out[n++] = "c";
    for (size_t i = 0; i < DV_COUNT(all); i++)
        if (dv_cpu_detect() & all[i].flag)
            out[n++] = all[i].name;
    return n;
}

static bool check_case(const char *folder, const char *line, int *bad)
{
    const char *sets[4];
    size_t n_sets = cpus(sets);
    test_case *t = case_load(folder, line);
    if (!t)
        return false;
    const char *slash = strrchr(t->path, '/');
    printf("%-48s %-13s", slash ? slash + 1 : t->path, t->dims);
    bool ok = true;
    for (size_t i = 0; ok && i < n_sets * 2; i++) {
        dmv_options o;
        dmv_context *ctx = NULL;
        net n = {0};
        dmv_options_init(&o);
        o.cpu = sets[i / 2];
        o.threads = 1 + (int)(i % 2);
        ok = !dmv_context_open(&o, &ctx) && net_open(ctx, t->path, &n);
        double worst = ok ? run_case(ctx, &n, t) : -1;
        printf(" %9.1e", worst);
        if (!(worst >= 0 && worst <= TOLERANCE))
            (*bad)++;
        net_close(&n);
        dmv_context_close(&ctx);
    }
    printf("\n");
    case_free(t);
    return ok;
}

static int check(int argc, char **argv)
{
    const char *sets[4];
    size_t n_sets = cpus(sets);
    char path[PATH_MAX], line[PATH_MAX + 256];
    int bad = 0, cases = 0;
    if (argc != 1)
        return 2;
    snprintf(path, sizeof path, "%s/cases.txt", argv[0]);
    FILE *f = fopen(path, "r");
    if (!f)
        return fail(path, "cannot be read");
    printf("largest difference from ONNX Runtime, as a share of the largest value (limit %g)\n",
           TOLERANCE);
    printf("%-48s %-13s", "net", "input");
    for (size_t i = 0; i < n_sets * 2; i++)
        printf(" %7s/%zu", sets[i / 2], 1 + i % 2);
    printf("\n");
    bool ok = true;
    while (ok && fgets(line, sizeof line, f)) {
        ok = check_case(argv[0], line, &bad);
        cases++;
    }
    fclose(f);
    printf("%d cases, %d differences above the limit\n", cases, bad);
    return ok && cases > 0 && bad == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 2 && !strcmp(argv[1], "inputs"))
        return inputs(argc - 2, argv + 2);
    if (argc > 2 && !strcmp(argv[1], "check"))
        return check(argc - 2, argv + 2);
    fprintf(stderr, "usage: compare inputs FOLDER PHOTO PHOTO NET.onnx... | check FOLDER\n");
    return 2;
}
