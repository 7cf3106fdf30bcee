/* SPDX-License-Identifier: Apache-2.0
 *
 * Cars on a road, with a mask for every frame (CDNet 2014, highway): where the gates see motion,
 * against the masks. Without the frames the test is skipped (77).
 */
#include <stdlib.h>
#include <string.h>

#include "image/image.h"
#include "motion/motion.h"

typedef struct score {
    double tp, fp, fn, tn;
} score;

static double f_measure(const score *s)
{
    return 2 * s->tp / DV_MAX(2 * s->tp + s->fp + s->fn, 1);
}

static bool load(const char *folder, const char *form, int n, dv_picture *p)
{
    char name[64], path[1024];
    dv_err e = {0};
    const char *root = getenv("DOMOVOI_SHARED");
    snprintf(name, sizeof name, form, n);
    snprintf(path, sizeof path, "%s/video/cdnet_highway/%s/%s", root ? root : ".", folder, name);
    return dv_image_load(path, p, &e) == DMV_OK;
}

/* 255 moving, 0 still, 50 shadow (still); the rest is not counted. */
static void compare(const dv_picture *truth, const uint8_t *mask, score *s)
{
    for (size_t i = 0; i < (size_t)truth->width * (size_t)truth->height; i++) {
        const uint8_t t = truth->pixels[3 * i];
        const bool moving = t > 250, still = t<60, seen = mask[i]> 0;
        s->tp += moving && seen;
        s->fn += moving && !seen;
        s->fp += still && seen;
        s->tn += still && !seen;
    }
}

static bool run(dv_motion_mode mode, const dv_kernels *k, score *s)
{
    dv_motion_options o;
    dv_motion *m = NULL;
    dv_err e = {0};
    bool ok = true;
    dv_motion_options_init(&o, mode);
    if (mode == DV_MOTION_DOMOVOI)
        o.gate = 0; /* no net here: the thumbnail decides alone */
    if (dv_motion_open(&o, k, &m, &e))
        return false;
    static float nothing[4 * 4 * 8];
    const dv_value f = {
        .dtype = DV_F32, .rank = 4, .dims = {1, 4, 4, 8}, .count = 128, .f = nothing};
    for (int n = 600; ok && n <= 800; n++) {
        dv_picture frame = {0}, truth = {0};
        dv_motion_verdict v;
        ok = load("input", "in%06d.jpg", n, &frame) && load("groundtruth", "gt%06d.png", n, &truth);
        const dmv_image img = dv_picture_view(&frame);
        uint8_t *mask = ok ? malloc((size_t)frame.width * (size_t)frame.height) : NULL;
        ok = mask && dv_motion_look(m, &img, n / 25.0, &v, &e) == DMV_OK &&
             (v != DV_MOTION_FEATURE || dv_motion_decide(m, &f, NULL, &v, &e) == DMV_OK);
        if (ok)
            dv_motion_mask(m, frame.width, frame.height, mask);
        if (ok && n >= 650) /* two seconds to learn the road */
            compare(&truth, mask, s);
        free(mask);
        dv_picture_free(&frame);
        dv_picture_free(&truth);
    }
    dv_motion_close(&m);
    return ok;
}

int main(void)
{
    static dv_kernels k;
    static const struct {
        dv_motion_mode mode;
        double least;
    } modes[] = {{DV_MOTION_DOMOVOI, 0.7}, {DV_MOTION_MIXTURE, 0.7}, {DV_MOTION_PIXEL, 0.7}};
    dv_kernels_init(&k, dv_cpu_detect());
    dv_picture p = {0};
    if (!load("input", "in%06d.jpg", 600, &p)) {
        printf("skipped: no frames of CDNet's highway\n");
        return 77;
    }
    dv_picture_free(&p);
    int failures = 0;
    for (size_t i = 0; i < DV_COUNT(modes); i++) {
        score s = {0};
        const bool ok = run(modes[i].mode, &k, &s);
        const double f = f_measure(&s), all = s.tp + s.fp + s.fn + s.tn;
        printf("%-8s F-measure %.3f, recall %.3f, specificity %.3f, wrong %.2f%%\n",
               dv_motion_mode_name(modes[i].mode), f, s.tp / DV_MAX(s.tp + s.fn, 1),
               s.tn / DV_MAX(s.tn + s.fp, 1), 100 * (s.fp + s.fn) / DV_MAX(all, 1));
        if (!ok || !(f >= modes[i].least)) {
            printf("FAIL: at least %.2f is wanted\n", modes[i].least);
            failures++;
        }
    }
    return failures != 0;
}
