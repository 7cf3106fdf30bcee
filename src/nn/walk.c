/* SPDX-License-Identifier: Apache-2.0
 *
 * walk.c - strided copies: one routine behind Transpose, Slice, Expand, Gather of a range and
 * broadcasting. Axes are dropped and joined first, so that the inner loop is as long as
 * the data allows. */
#include <string.h>

#include "nn/ops.h"

void dv_strides(int rank, const int64_t *dims, int64_t *stride)
{
    int64_t at = 1;
    for (int i = rank - 1; i >= 0; i--) {
        stride[i] = at;
        at *= dims[i];
    }
}

void dv_walk_simplify(dv_walk *w)
{
    int r = 0;
    for (int i = 0; i < w->rank; i++) {
        if (w->dims[i] == 1)
            continue;
        if (r && w->stride[r - 1] == w->stride[i] * w->dims[i]) {
            w->dims[r - 1] *= w->dims[i];
            w->stride[r - 1] = w->stride[i];
        } else {
            w->dims[r] = w->dims[i];
            w->stride[r++] = w->stride[i];
        }
    }
    w->rank = r;
}

/* Calls itself for outer axes; the two inner ones are loops. */
#define DEFINE_COPY(name, type)                                                        \
    static type *name##_level(const dv_walk *w, int level, const type *src, type *dst) \
    {                                                                                  \
        int64_t n = w->dims[level], st = w->stride[level];                             \
        if (level + 1 < w->rank) {                                                     \
            for (int64_t i = 0; i < n; i++)                                            \
                dst = name##_level(w, level + 1, src + i * st, dst);                   \
            return dst;                                                                \
        }                                                                              \
        if (st == 1)                                                                   \
            memcpy(dst, src, (size_t)n * sizeof *dst);                                 \
        else                                                                           \
            for (int64_t i = 0; i < n; i++)                                            \
                dst[i] = src[i * st];                                                  \
        return dst + n;                                                                \
    }                                                                                  \
    void name(const dv_walk *w, const type *src, type *dst)                            \
    {                                                                                  \
        dv_walk s = *w;                                                                \
        for (int i = 0; i < s.rank; i++)                                               \
            if (s.dims[i] == 0)                                                        \
                return;                                                                \
        dv_walk_simplify(&s);                                                          \
        if (s.rank == 0)                                                               \
            *dst = *src;                                                               \
        else                                                                           \
            name##_level(&s, 0, src, dst);                                             \
    }

DEFINE_COPY(dv_walk_copy_f32, float)
DEFINE_COPY(dv_walk_copy_i64, int64_t)
DEFINE_COPY(dv_walk_copy_u8, uint8_t)
