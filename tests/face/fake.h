/* SPDX-License-Identifier: Apache-2.0
 *
 * fake.h - outputs of a net without the net. A decoder only reads the outputs of an exec, so the
 * exec here is one without nodes: a graph with named output tensors and the values that "ran".
 */
#ifndef DV_FACE_FAKE_H
#define DV_FACE_FAKE_H

#include "face_test.h"

enum { MAX_OUT = 12 };

typedef struct fake {
    dv_gtensor tensors[MAX_OUT];
    int32_t outputs[MAX_OUT];
    dv_value values[MAX_OUT];
    dv_graph g;
    dv_exec x;
    size_t n;
} fake;

/* [1, a, b] or, with c > 0, [1, a, b, c], all zero. */
static inline float *fake_tensor(fake *f, const char *name, int64_t a, int64_t b, int64_t c)
{
    const size_t i = f->n++, count = (size_t)(a * b * (c ? c : 1));
    const int rank = c ? 4 : 3;
    assert_true(i < MAX_OUT);
    float *v = calloc(count, sizeof(float));
    assert_non_null(v);
    f->tensors[i] = (dv_gtensor){
        .name = (char *)(uintptr_t)name, .dtype = DV_F32, .rank = rank, .dims = {1, a, b, c}};
    f->values[i] = (dv_value){.dtype = DV_F32,
                              .rank = rank,
                              .dims = {1, a, b, c},
                              .count = count,
                              .f = v,
                              .root = (int32_t)i};
    f->outputs[i] = (int32_t)i;
    f->g = (dv_graph){
        .tensors = f->tensors, .n_tensors = f->n, .outputs = f->outputs, .n_outputs = f->n};
    f->x = (dv_exec){.g = &f->g, .v = f->values, .shaped = true};
    return v;
}

static inline float *fake_add(fake *f, const char *name, size_t rows, int64_t last)
{
    return fake_tensor(f, name, (int64_t)rows, last, 0);
}

static inline void fake_free(fake *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->values[i].f);
    }
    memset(f, 0, sizeof(*f));
}

static dmv_face found[64];

static inline dv_decode_args args_of(const fake *f, int w, int h)
{
    memset(found, 0, sizeof(found));
    return (dv_decode_args){
        .x = &f->x, .in_w = w, .in_h = h, .min_score = 0.5f, .out = found, .cap = DV_COUNT(found)};
}

static inline void assert_box(const dmv_face *f, double x, double y, double w, double h)
{
    const double want[4] = {x, y, w, h};
    for (int i = 0; i < 4; i++) {
        assert_near(f->box[i], want[i], 1e-3);
    }
}

#endif
