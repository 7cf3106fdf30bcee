/* SPDX-License-Identifier: Apache-2.0
 *
 * teacher.h - what a teacher thinks of the training pictures: one unit vector each, of the
 * student's length, and a centre for each person. Worked out once; kept in a file if one is named.
 */
#ifndef TR_TEACHER_H
#define TR_TEACHER_H

#include "train/data.h"

typedef struct tr_teacher {
    size_t n, people;
    int64_t dim, own_dim; /* of the vectors; of the teacher before the projection */
    float *v;             /* n x dim, unit length */
    float *centres;       /* people x dim, unit length: means of the people's vectors */
    double kept;          /* share of the variance that the projection keeps, 1 without one */
} tr_teacher;

typedef struct tr_teacher_options {
    const char *const *models; /* .dmv embedders; vectors of several stand side by side */
    size_t n_models;
    int64_t dim; /* of the student: longer vectors go through a principal component projection */
    int threads;
    const char *cache; /* NULL, or a file */
    void (*progress)(void *user, size_t done);
    void *user;
} tr_teacher_options;

dmv_status tr_teacher_new(const tr_data *d, const tr_teacher_options *o, tr_teacher **out,
                          dv_err *e);
void tr_teacher_free(tr_teacher **t);
/* Rows n x from of unit length to n x to: mean taken off, the `to` directions of most variance,
 * unit length again. *kept: share of the variance. */
dmv_status tr_project(float *v, size_t n, int64_t from, int64_t to, double *kept, dv_err *e);

#endif
