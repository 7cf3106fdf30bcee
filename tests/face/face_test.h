/* SPDX-License-Identifier: Apache-2.0
 *
 * face_test.h - what the tests of the face layer share: cmocka, a random number that is the
 * same everywhere, and pictures made from a formula.
 */
#ifndef DV_FACE_TEST_H
#define DV_FACE_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "face/face.h"

static inline uint32_t test_random(uint32_t *state) /* xorshift32; *state is not 0 */
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

static inline float test_uniform(uint32_t *state, float lo, float hi)
{
    return lo + (hi - lo) * (float)(test_random(state) >> 8) / 16777216.0f;
}

#define assert_near(a, b, tol)                                                     \
    do {                                                                           \
        const double a_ = (a), b_ = (b);                                           \
        if (!(fabs(a_ - b_) <= (tol))) {                                           \
            fail_msg("%s = %.9g, expected %.9g +- %g", #a, a_, b_, (double)(tol)); \
        }                                                                          \
    } while (0)

/* An exact-size heap block, so that a sanitizer sees one byte too many. */
static inline uint8_t *test_pixels(dmv_image *img, int w, int h, dmv_pixel_format f)
{
    const size_t n = (size_t)w * (size_t)h * (size_t)dv_image_channels(f);
    uint8_t *p = malloc(n);
    assert_non_null(p);
    *img = (dmv_image){.pixels = p,
                       .width = w,
                       .height = h,
                       .stride = (size_t)w * (size_t)dv_image_channels(f),
                       .format = f};
    return p;
}

#endif
