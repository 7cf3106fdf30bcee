/* SPDX-License-Identifier: Apache-2.0
 *
 * ncnn.h - inside the import layer only: the two files of an ncnn net (ncnn_read.c) and what its
 * layers (ncnn_ops.c) see of their node (ncnn_lower.c), beside the workshop of lower.h.
 *
 * A blob of ncnn has up to three dims (c, h, w) and no batch; in the graph it has one more dim of
 * 1 in front, so that axis k of ncnn is axis k + 1 here.
 */
#ifndef DV_NCNN_H
#define DV_NCNN_H

#include "import/lower.h"

#define NCNN_PARAMS 32
#define NCNN_AUTO -233 /* "as it follows", in place of a size or pad */

typedef struct ncnn_param {
    int key;
    bool is_array;
    double v;        /* or: */
    size_t first, n; /* in dv_ncnn.numbers */
} ncnn_param;

typedef struct ncnn_layer {
    char type[48], name[64];
    int line;
    size_t in, n_in, out, n_out; /* first and number in dv_ncnn.uses */
    ncnn_param params[NCNN_PARAMS];
    size_t n_params;
} ncnn_layer;

typedef struct ncnn_blob {
    char *name;         /* in the copy of the text */
    int32_t by, tensor; /* the layer that writes it, its tensor in the graph; or -1 */
    size_t readers;
} ncnn_blob;

typedef struct dv_ncnn {
    char *text; /* a copy that is cut into words */
    size_t file_size;
    ncnn_layer *layers;
    ncnn_blob *blobs;
    int32_t *uses; /* blobs that layers read and write */
    double *numbers;
    size_t n_layers, n_blobs, cap_blobs, n_uses, cap_uses, n_numbers, cap_numbers;
    int32_t *slots; /* hash table of blob names: blob + 1, 0 = free */
    size_t mask;
    dv_reader bin;
    const ncnn_layer *n; /* the present layer */
    const dv_import_options *o;
} dv_ncnn;

/* On failure *p holds nothing. bin stays with the caller. */
dmv_status dv_ncnn_parse(const uint8_t *param, size_t param_size, const uint8_t *bin,
                         size_t bin_size, dv_ncnn *p, dv_err *e);
void dv_ncnn_free(dv_ncnn *p);
dmv_status dv_ncnn_lower(dv_ncnn *p, const dv_import_options *opt, dv_graph *g, dv_err *e);

/* ---- what layers see of their node ---- */

typedef struct ncnn_op {
    const char *name;
    lw_fn fn;
} ncnn_op;
/* Each file of layers ends its table with a NULL name. */
extern const ncnn_op ncnn_ops_layers[], ncnn_ops_shape[];

int32_t ncnn_in(dv_lower *L, size_t i); /* fails if it is missing */
void ncnn_out(dv_lower *L, size_t i, int32_t t);
double ncnn_real(const dv_lower *L, int key, double fallback);
/* Fails if the parameter is no integer of -2^31 .. 2^31 - 1. */
int64_t ncnn_int(dv_lower *L, int key, int64_t fallback);
/* An array (written with key -23300 - key); its length, 0 if absent. */
size_t ncnn_array(dv_lower *L, int key, const double **v);
/* The next `count` weights of the file, as floats; new (dv_free), NULL on failure. tagged: a flag
 * word tells their form. */
float *ncnn_weights(dv_lower *L, size_t count, bool tagged);
/* The same as a constant of one dim. */
int32_t ncnn_vector(dv_lower *L, size_t count);
/* The activation that Convolution and others have behind them (9 = type, 10 = its numbers). */
int32_t ncnn_activation(dv_lower *L, int32_t t);

#endif
