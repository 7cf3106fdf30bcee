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

struct dv_quant {
    dv_graph net; /* constants belong to the source graph or to this one */
    const dv_kernels *k;
    dv_pool *pool;
    dv_exec *x; /* of net */
    int64_t (*dims)[DMV_MAX_RANK];
    float pixel_scale, pixel_zero;
    float **samples; /* each: the inputs one after the other */
    size_t n_samples, cap_samples, sample_floats;
    dv_seen *seen;  /* one a tensor; NULL until measured */
    int32_t *group; /* union-find: tensors that must share a scale */
    int32_t *now;   /* tensor of the net -> tensor of the last built graph, -1 */
    dv_quant_row *rows;
    size_t n_rows;
};

/* prepare.c */
dmv_status dv_quant_prepare(const dv_graph *from, dv_graph *to, dv_err *e);
dmv_status dv_quant_copy_attrs(dv_node *to, const dv_node *from, dv_err *e);
/* calib.c */
dmv_status dv_quant_run(dv_quant *q, dv_exec *x, size_t sample);
dmv_status dv_quant_measure(dv_quant *q, dv_err *e); /* fills in seen, once */
void dv_quant_forget(dv_quant *q);                   /* the weights have changed */
int32_t dv_quant_group(const dv_quant *q, int32_t t);
void dv_quant_params(const dv_quant *q, const dv_quant_options *o, int32_t t, float *scale,
                     float *zero);

#endif
