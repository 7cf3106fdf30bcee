/* SPDX-License-Identifier: Apache-2.0
 *
 * pictures.c - the input folder of a frte-check run, from group photos: each face twice, cut out
 * in two ways, pictures without a face, and the photos themselves.
 *
 *     pictures MODELS PHOTOS OUT
 *
 * MODELS holds detect.dmv and landmarks.dmv. Exit status 77 if something is not there. Face F of
 * photo P is enrolled as pPfF and verified as vpPfF. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/image.h"

enum { PHOTOS = 6, FACES = 8, MIN_FACE = 60, MAX_PATH = 1024 };

static char ids[PHOTOS * FACES][16];
static int n_ids;
static const char *out;

static void die(const char *what)
{
    fprintf(stderr, "pictures: %s\n", what);
    exit(1);
}

static FILE *list(const char *name)
{
    char path[MAX_PATH];
    snprintf(path, sizeof path, "%s/%s", out, name);
    FILE *f = fopen(path, "w");
    if (!f)
        die(path);
    return f;
}

static void save(const char *id, const dv_picture *p)
{
    char path[MAX_PATH];
    dv_err e = {0};
    snprintf(path, sizeof path, "%s/%s.ppm", out, id);
    if (dv_image_save(path, p, &e))
        die(e.msg);
}

/* The square of `side` pixels round cx, cy, made `size` pixels wide, `light` times as bright. */
static void cut(const char *id, const dv_picture *p, double cx, double cy, double side, int size,
                double light)
{
    dv_picture c = {malloc((size_t)size * (size_t)size * 3), size, size};
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            /* the mean of 3 x 3 samples */
            double sum[3] = {0, 0, 0};
            for (int k = 0; k < 9; k++) {
                double sx = cx + ((x + (k % 3 + 0.5) / 3) / size - 0.5) * side;
                double sy = cy + ((y + (k / 3 + 0.5) / 3) / size - 0.5) * side;
                if (sx < 0 || sy < 0 || sx >= p->width || sy >= p->height)
                    continue;
                const uint8_t *s = p->pixels + 3 * ((size_t)sy * (size_t)p->width + (size_t)sx);
                for (int i = 0; i < 3; i++)
                    sum[i] += s[i];
            }
            for (int i = 0; i < 3; i++)
                c.pixels[3 * (y * size + x) + i] = (uint8_t)fmin(255, sum[i] / 9 * light);
        }
    }
    save(id, &c);
    free(c.pixels);
}

/* A grey file of the same picture. */
static void save_grey(const char *from, const char *id)
{
    char path[MAX_PATH];
    dv_picture p;
    dv_err e = {0};
    snprintf(path, sizeof path, "%s/%s.ppm", out, from);
    if (dv_image_load(path, &p, &e))
        die(e.msg);
    snprintf(path, sizeof path, "%s.pgm", id);
    FILE *f = list(path);
    fprintf(f, "P5\n# grey\n%d %d\n255\n", p.width, p.height);
    for (int i = 0; i < p.width * p.height; i++)
        fputc((p.pixels[3 * i] + 2 * p.pixels[3 * i + 1] + p.pixels[3 * i + 2]) / 4, f);
    if (fclose(f))
        die(path);
    dv_picture_free(&p);
}

static void save_flat(const char *id, int side, int value, bool noise)
{
    dv_picture p = {malloc((size_t)side * (size_t)side * 3), side, side};
    unsigned seed = 1;
    for (int i = 0; i < side * side * 3; i++) {
        seed = seed * 1664525 + 1013904223;
        p.pixels[i] = noise ? (uint8_t)(seed >> 24) : (uint8_t)value;
    }
    save(id, &p);
    free(p.pixels);
}

int main(int argc, char **argv)
{
    char path[MAX_PATH];
    dmv_context *ctx;
    dmv_model *detector, *landmarks;
    dmv_pipeline *p;
    dmv_face faces[FACES];
    dv_err e = {0};
    if (argc != 4)
        die("usage: pictures MODELS PHOTOS OUT");
    out = argv[3];
    for (int i = 1; i <= PHOTOS; i++) {
        snprintf(path, sizeof path, "%s/sample%d.jpg", argv[2], i);
        if (access(path, R_OK)) {
            printf("skipped: %s is not there\n", path);
            return 77;
        }
    }
    if (dmv_context_open(NULL, &ctx))
        die("no context");
    snprintf(path, sizeof path, "%s/detect.dmv", argv[1]);
    if (dmv_model_open(ctx, path, &detector))
        die(dmv_error(ctx));
    snprintf(path, sizeof path, "%s/landmarks.dmv", argv[1]);
    if (dmv_model_open(ctx, path, &landmarks) ||
        dmv_pipeline_open(ctx, detector, landmarks, NULL, NULL, &p))
        die(dmv_error(ctx));

    FILE *enroll = list("enroll.txt"), *verif = list("verif.txt"), *several = list("several.txt"),
         *match = list("match.txt");
    for (int i = 1; i <= PHOTOS; i++) {
        dv_picture photo;
        size_t n;
        char id[32];
        snprintf(path, sizeof path, "%s/sample%d.jpg", argv[2], i);
        dmv_status s = dv_image_load(path, &photo, &e);
        if (s == DMV_ERR_UNSUPPORTED) {
            printf("skipped: %s\n", e.msg);
            return 77;
        }
        if (s)
            die(e.msg);
        dmv_image view = dv_picture_view(&photo);
        if (dmv_pipeline_detect(p, &view, faces, FACES, &n))
            die(dmv_error(ctx));
        for (size_t k = 0; k < n; k++) {
            const float *b = faces[k].box;
            double cx = b[0] + b[2] / 2, cy = b[1] + b[3] / 2;
            if (b[2] < MIN_FACE)
                continue;
            snprintf(ids[n_ids], sizeof *ids, "p%df%d", i, (int)k);
            cut(ids[n_ids], &photo, cx, cy, 2 * b[3], 320, 1);
            fprintf(enroll, "%s %s/%s.ppm mugshot\n", ids[n_ids], out, ids[n_ids]);
            snprintf(id, sizeof id, "v%s", ids[n_ids]);
            cut(id, &photo, cx + 0.1 * b[2], cy - 0.1 * b[3], 1.7 * b[3], 200, 0.8);
            fprintf(verif, "%s %s/%s.ppm wild\n", id, out, id);
            n_ids++;
        }
        snprintf(id, sizeof id, "photo%d", i);
        save(id, &photo);
        fprintf(several, "%s %s/%s.ppm wild\n", id, out, id);
        dv_picture_free(&photo);
    }
    if (n_ids < 8)
        die("fewer than 8 faces in the photos");
    save_flat("black", 100, 0, false);
    save_flat("white", 300, 255, false);
    save_flat("tiny", 1, 128, false);
    save_flat("noise", 200, 0, true);
    save_grey(ids[0], "grey");
    fprintf(enroll, "black %s/black.ppm iso\ntiny %s/tiny.ppm iso\n", out, out);
    fprintf(enroll, "two %s/%s.ppm iso %s/v%s.ppm wild\n", out, ids[0], out, ids[0]);
    fprintf(enroll, "half %s/black.ppm iso %s/%s.ppm wild\n", out, out, ids[1]);
    fprintf(verif, "white %s/white.ppm iso\nnoise %s/noise.ppm iso\n", out, out);
    fprintf(verif, "grey %s/grey.pgm iso\n", out);
    fprintf(several, "several-black %s/black.ppm wild\n", out);
    for (int i = 0; i < n_ids; i++)
        for (int k = 0; k < n_ids; k++)
            fprintf(match, "%s.template v%s.template\n", ids[i], ids[k]);
    fprintf(match, "black.template v%s.template\n%s.template white.template\n", ids[0], ids[0]);
    fprintf(match, "tiny.template noise.template\n%s.template grey.template\n", ids[0]);
    fprintf(match, "two.template v%s.template\nhalf.template v%s.template\n", ids[0], ids[1]);
    fprintf(match, "half.template v%s.template\n", ids[0]);
    fprintf(match, "photo1.0.template photo1.0.template\n");
    fprintf(match, "photo1.0.template several-black.0.template\n");
    if (fclose(enroll) | fclose(verif) | fclose(several) | fclose(match))
        die("a list cannot be written");
    printf("%d faces\n", n_ids);
    dmv_pipeline_close(&p);
    dmv_model_close(&landmarks);
    dmv_model_close(&detector);
    dmv_context_close(&ctx);
    return 0;
}
