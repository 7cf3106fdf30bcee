/* SPDX-License-Identifier: Apache-2.0
 * quant_priv.h - the inside of a dv_quant, shared by the files of this folder. */
#ifndef DV_QUANT_PRIV_H
#define DV_QUANT_PRIV_H

#include "quant/quant.h"

#define DV_BINS 2048

typedef struct dv_seen { /* what was seen of a tensor */
    bool known;
    float lo, hi;
    double *mean; /* of each channel (last dim) */
    size_t channels;
    size_t rows;    /* that went into mean */
    uint32_t *bins; /* DV_BINS between lo and hi */
} dv_seen;

/* What a QDQ net says of a tensor: it is rounded to these bytes. scale 0: found while it runs. */
typedef struct dv_given {
    bool is;
    float scale, zero;
} dv_given;

struct dv_quant {
    dv_graph net; /* constants belong to the source graph or to this one */
    const dv_kernels *k;
    dv_pool *pool;
    dv_exec *x; /* of net */
    int64_t (*dims)[DMV_MAX_RANK];
    float pixel_scale, pixel_zero;
    float **samples; /* each: the inputs one after the other */
    size_t n_samples, cap_samples, sample_floats;
    dv_seen *seen;   /* one a tensor; NULL until measured */
    int32_t *group;  /* union-find: tensors that must share a scale */
    dv_given *given; /* one a tensor: nothing is measured or chosen; NULL = no QDQ net */
    bool *gone;      /* nodes of a QDQ net that have become part of what is given */
    int32_t *now;    /* tensor of the net -> tensor of the last built graph, -1 */
    dv_quant_row *rows;
    size_t n_rows;
};

/* prepare.c */
dmv_status dv_quant_prepare(const dv_graph *from, bool pairs, dv_graph *to, dv_err *e);
dmv_status dv_quant_copy_attrs(dv_node *to, const dv_node *from, dv_err *e);
/* quant.c: a net with pairs of Quantize and Dequantize */
dmv_status dv_quant_open_pairs(const dv_graph *g, const int64_t *const *dims, const dv_kernels *k,
                               dv_quant **out, dv_err *e);
/* build.c */
bool dv_quant_is_move(const dv_node *n); /* only moves values: bytes go through as they are */
int dv_quant_moved(const dv_node *n);    /* inputs of a move that are values */
/* calib.c */
dmv_status dv_quant_run(dv_quant *q, dv_exec *x, size_t sample);
dmv_status dv_quant_measure(dv_quant *q, dv_err *e); /* fills in seen, once */
void dv_quant_forget(dv_quant *q);                   /* the weights have changed */
int32_t dv_quant_group(const dv_quant *q, int32_t t);
void dv_quant_params(const dv_quant *q, const dv_quant_options *o, int32_t t, float *scale,
                     float *zero);

#endif
