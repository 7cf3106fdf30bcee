/* SPDX-License-Identifier: Apache-2.0
 *
 * scene.h - made-up pictures and features for the tests of the motion gates: a room with texture,
 * things in it, noise, light; and a stand-in for a net, whose features are the local contrasts of
 * the picture in cells of 16 pixels. */
#ifndef DV_SCENE_H
#define DV_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "motion/motion.h"

enum { SCENE_W = 320, SCENE_H = 240, CELLS_W = 20, CELLS_H = 15, CELLS_C = 12 };

typedef struct scene {
    uint8_t rgb[SCENE_W * SCENE_H * 3];
    float feature[CELLS_W * CELLS_H * CELLS_C];
    uint64_t seed;
} scene;

const dv_kernels *scene_kernels(void);
float scene_uniform(scene *s);
/* The empty room. */
void scene_room(scene *s);
/* A figure with its own texture at x, y. */
void scene_figure(scene *s, float x, float y, float w, float h);
/* A part of the picture that is different every time. */
void scene_leaves(scene *s, int x, int y, int w, int h);
void scene_light(scene *s, float gain, float offset);
void scene_noise(scene *s, float deviation);
dmv_image scene_image(const scene *s);
/* Features of the picture as it is now. */
dv_value scene_features(scene *s);

dv_motion *scene_gate(const dv_motion_options *o);
/* look and, if wanted, decide. */
dv_motion_verdict scene_run(scene *s, dv_motion *m, double time);

#endif
