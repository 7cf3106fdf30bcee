/* SPDX-License-Identifier: Apache-2.0
 *
 * quant.h - from a float net to an 8-bit net. A dv_quant holds the float net in a form that can be
 * changed (weights row-major, activations that become tables on their own), the sample inputs,
 * and what was measured on them. Building can be repeated with other options.
 */
#ifndef DV_QUANT_H
#define DV_QUANT_H

#include "nn/dmv.h"
#include "nn/exec.h"

typedef enum dv_calib {
    DV_CALIB_MINMAX,     /* the whole range seen */
    DV_CALIB_PERCENTILE, /* without the outermost share of the values */
    DV_CALIB_ENTROPY,    /* the range that keeps the distribution best (KL divergence) */
    DV_CALIB_MSE         /* the range of the smallest mean squared error */
} dv_calib;

typedef struct dv_quant_options {
    dv_calib method;
    double percentile; /* 0..100, of DV_CALIB_PERCENTILE */
    bool symmetric;    /* activations: zero point in the middle unless nothing is negative */
    bool per_layer;    /* weights: one scale for all channels */
    bool dynamic;      /* activations get their scale while the net runs; layers give floats */
    bool fix_bias;     /* take the mean error of each channel out through the bias */
    const bool *keep;  /* node of dv_quant_net: stays float; NULL = none */
} dv_quant_options;

typedef struct dv_quant dv_quant;

/* What one node of the float net became, measured on the samples. */
typedef struct dv_quant_row {
    size_t node;       /* of dv_quant_net */
    bool bytes;        /* the result is 8-bit */
    bool q;            /* the sums are 8-bit */
    float lo, hi;      /* range of the result that was seen */
    float scale, zero; /* of the result, if bytes */
    double sqnr;       /* dB: power of the float result over power of the difference */
    double cosine;     /* between the two results, all samples together */
} dv_quant_row;

/* g must live as long as the dv_quant. Inputs with free dims need `dims` (as dv_exec_shape).
 * pixel_scale > 0: value = (byte - pixel_zero) * pixel_scale for the first input, so that its bytes
 * are the pixels. */
dmv_status dv_quant_open(const dv_graph *g, const int64_t *const *dims, const dv_kernels *k,
                         dv_pool *pool, float pixel_scale, float pixel_zero, dv_quant **out,
                         dv_err *e);
void dv_quant_close(dv_quant **q);
/* Adds a sample: one array for each input of the net. Values that are not finite are refused. */
dmv_status dv_quant_add(dv_quant *q, const float *const *inputs, dv_err *e);
size_t dv_quant_samples(const dv_quant *q);
/* The float net that the options and rows speak of. */
const dv_graph *dv_quant_net(const dv_quant *q);
/* Scales weights of neighbouring layers against each other so that channels have like ranges; the
 * net computes the same. Returns through *pairs how many pairs were changed. Before any build. */
dmv_status dv_quant_equalise(dv_quant *q, size_t *pairs, dv_err *e);
/* May this node be 8-bit? */
bool dv_quant_can(const dv_quant *q, size_t node);
/* out is initialised here; packed, ready for dv_dmv_write. */
dmv_status dv_quant_build(dv_quant *q, const dv_quant_options *o, dv_graph *out, dv_err *e);
/* The same net in half precision, without samples; *layers of it compute in halves. As for
 * dv_quant_build, out must not outlive q. */
dmv_status dv_quant_half(dv_quant *q, dv_graph *out, size_t *layers, dv_err *e);
/* A QDQ net as dv_import_onnx gives it, with pairs of Quantize and Dequantize: each layer, sum or
 * activation between pairs becomes its 8-bit op, with the scales of the file; what has no 8-bit
 * form stays float between its Dequantize and Quantize. The result rounds where the file does. */
bool dv_quant_has_pairs(const dv_graph *g);
dmv_status dv_quant_pairs(const dv_graph *g, dv_graph *out, dv_err *e);
/* Rows of the nodes that compute something in the last built net; *n of them, owned by q. */
dmv_status dv_quant_compare(dv_quant *q, const dv_graph *built, const dv_quant_row **rows,
                            size_t *n, dv_err *e);
/* Mean cosine between the outputs of the float net and of the built one over the first `most`
 * samples. */
dmv_status dv_quant_cosine(dv_quant *q, const dv_graph *built, size_t most, double *cosine,
                           dv_err *e);

#endif
