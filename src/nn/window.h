/* SPDX-License-Identifier: Apache-2.0
 * window.h - sliding windows: what convolution and pooling share. */
#ifndef DV_WINDOW_H
#define DV_WINDOW_H

#include "nn/exec.h"

typedef struct dv_window {
    int64_t kh, kw, sy, sx, dy, dx;
    int64_t top, left, bottom, right;
} dv_window;

/* Reads and checks the attributes of a Conv or pool node. */
dmv_status dv_window_of(const dv_node *n, dv_window *w, dv_err *e);
/* Output size along one axis; < 1 if the window does not fit. */
int64_t dv_window_out(int64_t in, int64_t k, int64_t s, int64_t d, int64_t before, int64_t after,
                      bool ceil_mode);
/* A step whose rows are those of a window. */
static inline dv_band dv_window_band(const dv_window *w, dv_range_fn fn, size_t unit)
{
    return (dv_band){fn, unit, w->sy, w->top, (w->kh - 1) * w->dy + 1};
}
/* Taps t in [*first, *end) of output position o that fall inside [0, in). */
static inline void dv_window_clip(int64_t o, int64_t s, int64_t d, int64_t before, int64_t k,
                                  int64_t in, int64_t *first, int64_t *end)
{
    int64_t base = o * s - before, a = 0, b = k;
    if (base < 0)
        a = (-base + d - 1) / d;
    if (base + (k - 1) * d >= in)
        b = in - base > 0 ? (in - base + d - 1) / d : 0;
    *first = a < k ? a : k;
    *end = b < *first ? *first : b;
}

#endif
