/* SPDX-License-Identifier: Apache-2.0
 *
 * data.h - aligned faces of 112 x 112 for training: a folder with a folder for each person (or
 * without: pictures nobody has labelled), and a loader that decodes and changes pictures on a
 * thread of its own. What a sample looks like follows from the seed, the epoch and its number
 * alone.
 */
#ifndef TR_DATA_H
#define TR_DATA_H

#include "image/image.h"

#define TR_SIDE 112

typedef struct tr_data {
    char **path;
    int32_t *label; /* -1: unknown */
    size_t n, cap;
    char **people;
    size_t n_people, cap_people;
    size_t single; /* people with one picture */
} tr_data;

/* Adds a folder. least: people with fewer pictures are left out (counted in *left_out). */
dmv_status tr_data_add(tr_data *d, const char *folder, size_t least, size_t *left_out, dv_err *e);
void tr_data_free(tr_data *d);

typedef struct tr_augment {
    bool mirror;
    float shift, turn, zoom; /* pixels, degrees, share */
    float colour;            /* gain and offset of each channel */
} tr_augment;

typedef struct tr_loader tr_loader;
dmv_status tr_loader_new(const tr_data *d, int64_t batch, uint64_t seed, const tr_augment *a,
                         int64_t first_step, tr_loader **out, dv_err *e);
/* x: batch pictures N, H, W, C, (pixel - 127.5) / 127.5. labels, numbers of samples: batch each. */
dmv_status tr_loader_next(tr_loader *l, float *x, int32_t *labels, uint32_t *numbers, dv_err *e);
size_t tr_loader_bad(const tr_loader *l); /* pictures that could not be read so far */
void tr_loader_free(tr_loader **l);

#endif
