/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_motion.c [NET.dmv ...] - what the motion gates cost, beside the first part of a detector:
 * pictures of 640 x 480 in which a square moves (every frame goes on) or nothing does. The least of
 * many runs counts, since other work on the machine only adds.
 */
#include <stdlib.h>
#include <string.h>

#include "face/face.h"
#include "motion/motion.h"

enum { W = 640, H = 480, ROUNDS = 60, LAYERS = 256 };

typedef struct part {
    double prefix, look, decide;
} part;

static void draw(uint8_t *rgb, int frame)
{
    uint32_t seed = 7;
    for (size_t i = 0; i < (size_t)W * H * 3; i++) {
        seed = seed * 1664525u + 1013904223u;
        rgb[i] = (uint8_t)(90 + (i / 3 % W) / 12 + (i / 3 / W) / 16 + (seed >> 28));
    }
    for (int y = 200; frame && y < 280; y++)
        memset(rgb + 3 * ((size_t)y * W + (size_t)(100 + frame * 5 % 400)), 200, 3 * 40);
}

static double least(double a, uint64_t since)
{
    const double ms = (double)(dv_now_ns() - since) * 1e-6;
    return a == 0 || ms < a ? ms : a;
}

static dmv_status measure(dmv_context *ctx, dv_net *net, dv_motion_mode mode, bool moving,
                          uint8_t *rgb, uint8_t *small, part *p)
{
    dv_motion_options o;
    dv_motion *m;
    dv_motion_options_init(&o, mode);
    o.warm_up = 1;
    o.gate = moving ? 0 : 2; /* decided by the bench, not by the net at hand */
    o.refresh = 0;
    dmv_status s = dv_motion_open(&o, ctx->kernels, &m, &ctx->err);
    const dmv_image img = {rgb, W, H, 3 * W, DMV_PIXEL_RGB8};
    *p = (part){0};
    for (int i = 0; !s && i < ROUNDS; i++) {
        dv_motion_verdict v;
        draw(rgb, moving ? i : 0);
        uint64_t t = dv_now_ns();
        s = dv_motion_look(m, &img, i * 0.04, &v, &ctx->err);
        p->look = i > 2 ? least(p->look, t) : 0;
        if (s || v == DV_MOTION_STOP)
            continue;
        dv_resize_rgb(&img, 0, 0, W, H, net->w, net->h, small, 3 * (size_t)net->w);
        t = dv_now_ns();
        dv_net_feed(net, small);
        const dv_value *f = dv_net_run_first(net);
        p->prefix = i > 2 ? least(p->prefix, t) : 0;
        t = dv_now_ns();
        s = dv_motion_decide(m, f, NULL, &v, &ctx->err);
        p->decide = i > 2 ? least(p->decide, t) : 0;
    }
    dv_motion_close(&m);
    return s;
}

static dmv_status bench(dmv_context *ctx, const char *path)
{
    static dv_motion_layer layers[LAYERS];
    static const struct {
        const char *what;
        dv_motion_mode mode;
        bool moving;
    } cases[] = {{"amphibian, nothing moves", DV_MOTION_AMPHIBIAN, false},
                 {"amphibian, a square moves", DV_MOTION_AMPHIBIAN, true},
                 {"domovoi, nothing moves", DV_MOTION_DOMOVOI, false},
                 {"domovoi, a square moves", DV_MOTION_DOMOVOI, true}};
    dmv_model *model = NULL;
    dv_net net;
    size_t n = 0;
    memset(&net, 0, sizeof net);
    dmv_status s = dmv_model_open(ctx, path, &model);
    uint8_t *rgb = malloc((size_t)W * H * 3), *small = NULL;
    if (!s)
        s = dv_net_open(ctx, model, "net", &net);
    if (!s)
        s = dv_net_shape(&net, net.fixed_w ? net.fixed_w : W, net.fixed_h ? net.fixed_h : H,
                         &ctx->err);
    if (!s)
        s = dv_motion_layers(net.x, layers, LAYERS, &n, &ctx->err);
    if (!s)
        s = dv_net_cut(&net, ctx, dv_motion_default_layer(layers, n));
    if (!s)
        small = malloc((size_t)net.w * (size_t)net.h * 3);
    double prefix = 0;
    for (size_t i = 0; !s && i < DV_COUNT(cases); i++) {
        part p;
        s = measure(ctx, &net, cases[i].mode, cases[i].moving, rgb, small, &p);
        prefix = p.prefix > 0 ? p.prefix : prefix;
        const double gate = p.look + p.decide;
        if (!s)
            printf("%s: %-26s first part %.3f ms, look %.4f, decide %.4f: %.1f%%\n", path,
                   cases[i].what, prefix, p.look, p.decide, prefix > 0 ? 100 * gate / prefix : 0.0);
    }
    free(rgb);
    free(small);
    dv_net_close(&net);
    dmv_model_close(&model);
    return s;
}

int main(int argc, char **argv)
{
    char usual[1024];
    const char *build = getenv("DOMOVOI_BUILD");
    snprintf(usual, sizeof usual, "%s/models/detect.dmv", build ? build : "build");
    char *none[] = {usual};
    char **paths = argc > 1 ? argv + 1 : none;
    dmv_options o;
    dmv_context *ctx;
    dmv_options_init(&o);
    o.threads = 1;
    if (dmv_context_open(&o, &ctx))
        return 2;
    for (int i = 0; i < (argc > 1 ? argc - 1 : 1); i++)
        if (bench(ctx, paths[i])) {
            fprintf(stderr, "bench_motion: %s: %s\n", paths[i], dmv_error(ctx));
            dmv_context_close(&ctx);
            return 2;
        }
    dmv_context_close(&ctx);
    return 0;
}
