/* SPDX-License-Identifier: Apache-2.0
 *
 * scene.c - see scene.h. */
#include "scene.h"

#include <math.h>
#include <string.h>

static dv_kernels kernels;

const dv_kernels *scene_kernels(void)
{
    if (!kernels.dots_f32)
        dv_kernels_init(&kernels, dv_cpu_detect());
    return &kernels;
}

float scene_uniform(scene *s)
{
    s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(s->seed >> 40) / (float)(1 << 24);
}

static uint8_t byte(float v)
{
    return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)(v + 0.5f);
}

static void put(scene *s, int x, int y, float r, float g, float b)
{
    if (x < 0 || y < 0 || x >= SCENE_W || y >= SCENE_H)
        return;
    uint8_t *p = s->rgb + 3 * (y * SCENE_W + x);
    p[0] = byte(r);
    p[1] = byte(g);
    p[2] = byte(b);
}

void scene_room(scene *s)
{
    for (int y = 0; y < SCENE_H; y++)
        for (int x = 0; x < SCENE_W; x++) {
            const float fx = (float)x, fy = (float)y,
                        v = 90 + 30 * sinf(fx * 0.11f) * cosf(fy * 0.07f) + 0.1f * fx +
                            15 * (float)((x / 24 + y / 20) % 2);
            put(s, x, y, v, v + 10, v - 10);
        }
}

void scene_figure(scene *s, float x, float y, float w, float h)
{
    for (int j = 0; j < (int)h; j++)
        for (int i = 0; i < (int)w; i++) {
            const float v = 150 + 40 * (float)((i / 4 + j / 6) % 2);
            put(s, (int)x + i, (int)y + j, v, 200 - v / 2, v / 2);
        }
}

void scene_leaves(scene *s, int x, int y, int w, int h)
{
    const float a = scene_uniform(s) * 6.28f, b = scene_uniform(s) * 6.28f;
    for (int j = 0; j < h; j++)
        for (int i = 0; i < w; i++) {
            const float v = 90 + 35 * sinf((float)i * 0.2f + a) * sinf((float)j * 0.23f + b);
            put(s, x + i, y + j, v - 20, v + 20, v - 30);
        }
}

void scene_light(scene *s, float gain, float offset)
{
    for (size_t i = 0; i < sizeof s->rgb; i++)
        s->rgb[i] = byte(gain * (float)s->rgb[i] + offset);
}

void scene_noise(scene *s, float deviation)
{
    for (size_t i = 0; i < sizeof s->rgb; i++) {
        const float n =
            scene_uniform(s) + scene_uniform(s) + scene_uniform(s) + scene_uniform(s) - 2;
        s->rgb[i] = byte((float)s->rgb[i] + 1.732f * deviation * n);
    }
}

dmv_image scene_image(const scene *s)
{
    return (dmv_image){s->rgb, SCENE_W, SCENE_H, 3 * SCENE_W, DMV_PIXEL_RGB8};
}

/* Differences between the pixels of a cell and those 3 to the right and 3 below, sorted by channel,
 * direction and sign, as behind the ReLU of a first layer. */
dv_value scene_features(scene *s)
{
    for (int cy = 0; cy < CELLS_H; cy++)
        for (int cx = 0; cx < CELLS_W; cx++) {
            float *f = s->feature + (cy * CELLS_W + cx) * CELLS_C;
            memset(f, 0, CELLS_C * sizeof *f);
            for (int j = 0; j < 13; j++)
                for (int i = 0; i < 13; i++) {
                    const uint8_t *p = s->rgb + 3 * ((cy * 16 + j) * SCENE_W + cx * 16 + i);
                    for (int c = 0; c < 3; c++) {
                        const float x = (float)p[9 + c] - (float)p[c],
                                    y = (float)p[3 * 3 * SCENE_W + c] - (float)p[c];
                        f[4 * c + (x < 0)] += fabsf(x) / 256;
                        f[4 * c + 2 + (y < 0)] += fabsf(y) / 256;
                    }
                }
        }
    dv_value v = {.dtype = DV_F32,
                  .rank = 4,
                  .dims = {1, CELLS_H, CELLS_W, CELLS_C},
                  .count = CELLS_W * CELLS_H * CELLS_C,
                  .f = s->feature};
    return v;
}

dv_motion *scene_gate(const dv_motion_options *o)
{
    dv_motion *m;
    dv_err e = {0};
    if (dv_motion_open(o, scene_kernels(), &m, &e))
        fail_msg("%s", e.msg);
    return m;
}

dv_motion_verdict scene_run(scene *s, dv_motion *m, double time)
{
    dv_motion_verdict v;
    dv_err e = {0};
    const dmv_image img = scene_image(s);
    if (dv_motion_look(m, &img, time, &v, &e))
        fail_msg("%s", e.msg);
    const dv_value f = scene_features(s);
    if (v == DV_MOTION_FEATURE && dv_motion_decide(m, &f, NULL, &v, &e))
        fail_msg("%s", e.msg);
    return v;
}
