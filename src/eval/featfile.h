/* SPDX-License-Identifier: Apache-2.0
 *
 * featfile.h - vectors from files and to files: MegaFace's feature files and NumPy's.
 *
 * MegaFace (.bin), all little-endian:
 *   offset  size
 *        0     4  rows, int32
 *        4     4  columns, int32
 *        8     4  stride: bytes from one row to the next, int32
 *       12     4  element type of OpenCV: 5 = float32, 6 = float64
 *       16        rows x stride bytes
 * One row a vector. A file of one column is one vector of `rows` numbers: so the devkit keeps the
 * features of one picture.
 *
 * NumPy (.npy, format 1 to 3): two dimensions, '<f4' or '<f8', row after row.
 *
 * The format is told from the bytes when reading and from the ending of the name when writing.
 */
#ifndef DV_EVAL_FEATFILE_H
#define DV_EVAL_FEATFILE_H

#include "base/base.h"

typedef struct dv_features {
    const float *v; /* n rows of dim numbers; inside the mapped file where that is possible */
    size_t n, dim;
    dv_map map;
    float *own; /* where it is not (float64, padded rows) */
} dv_features;

/* On success every number is finite and every row has a length; a file with others is refused
 * with their count and the first of them. On failure *f is all zero. */
dmv_status dv_features_load(const char *path, dv_features *f, dv_err *e);
/* The same from memory that stays as it is until dv_features_free; name is for messages. */
dmv_status dv_features_parse(const void *data, size_t size, const char *name, dv_features *f,
                             dv_err *e);
void dv_features_free(dv_features *f);

/* True for names that end in .bin or .npy. */
bool dv_features_is_name(const char *path);
dmv_status dv_features_save(const char *path, const float *v, size_t n, size_t dim, dv_err *e);

/* DMV_ERR_FORMAT naming the first row with a number that is not finite, or of no length. */
dmv_status dv_features_check(const char *name, const float *v, size_t n, size_t dim, dv_err *e);

#endif
