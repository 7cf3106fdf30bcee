/* SPDX-License-Identifier: Apache-2.0
 *
 * train.h - the inside of the trainer: a net as a list of ops with gradients, on pictures N, H, W,
 * C.
 *
 * A batch is divided into as many parts as there are threads. Each op does its work in phases; in a
 * phase every part goes through its own pictures, and all wait for each other before the next
 * one. What belongs to the whole batch (means, sums of gradients) is put together by part 0 in a
 * phase of its own. The order of all sums depends on the number of parts only, so a run can
 * be repeated to the bit.
 */
#ifndef TR_TRAIN_H
#define TR_TRAIN_H

#include "base/base.h"

#define TR_MAX_IN 2
#define TR_MAX_PARAMS 5

typedef struct tr_param {
    char name[48];
    int rank;
    int64_t dims[4];
    size_t n;
    float *w; /* value */
    float *g; /* gradient of this step; NULL for what is not trained (means, variances) */
    float *m; /* of the optimiser */
    bool decay;
    bool frozen;
} tr_param;

typedef struct tr_value {
    int64_t h, w, c;
    size_t each;  /* floats of one picture */
    float *x;     /* batch x each */
    float *d;     /* gradient; NULL unless it exists at the moment */
    bool wants_d; /* some parameter lies before it */
} tr_value;

typedef struct tr_net tr_net;
typedef struct tr_op tr_op;

typedef struct tr_kind {
    const char *name;
    /* Output shape, parameters, state. */
    dmv_status (*shape)(tr_net *n, tr_op *o, dv_err *e);
    /* After the batch size is known. */
    dmv_status (*ready)(tr_net *n, tr_op *o, dv_err *e);
    int fwd_phases, bwd_phases;
    bool wants_tmp; /* backwards with add[0]: o->tmp is as large as the gradient of input 0 */
    void (*fwd)(tr_net *n, tr_op *o, int phase, int part);
    void (*bwd)(tr_net *n, tr_op *o, int phase, int part);
    void (*close)(tr_op *o);
} tr_kind;

enum { TR_ACT_NONE, TR_ACT_RELU, TR_ACT_PRELU, TR_ACT_SWISH, TR_ACT_SIGMOID };

struct tr_op {
    const tr_kind *kind;
    char name[40];
    int n_in, in[TR_MAX_IN], out;
    int64_t k, stride, pad, groups, channels; /* Conv, FC */
    int act;
    bool bias;
    bool add[TR_MAX_IN]; /* backwards: the gradient of input i is added to what is there */
    float *tmp;
    tr_param *p[TR_MAX_PARAMS];
    void *state;
};

struct tr_net {
    tr_op **ops;
    size_t n_ops, cap_ops;
    tr_value *v;
    size_t n_values, cap_values;
    tr_param **params;
    size_t n_params, cap_params;
    int input, output;
    int64_t batch; /* pictures of a step; a multiple of parts */
    int parts;
    dv_pool *pool;
    bool training; /* statistics of the batch, not the kept ones */
    uint64_t seed;
    struct tr_spare *spare; /* memory of gradients that are no longer needed */
    tr_op *running;
    int phase;
    bool backwards;
};

/* ---- net.c ---- */
dmv_status tr_net_new(int threads, uint64_t seed, tr_net **out, dv_err *e);
void tr_net_free(tr_net **n);
int tr_net_input(tr_net *n, int64_t h, int64_t w, int64_t c); /* value number; -1: no memory */
/* Adds an op and its output; fields of *o beside kind, inputs and parameters are taken over.
 * Returns the output's value number, -1 after a failure (in *e). */
int tr_net_add(tr_net *n, const tr_kind *k, const tr_op *how, const char *name, int a, int b,
               dv_err *e);
tr_param *tr_net_param(tr_net *n, const char *op, const char *what, int rank, const int64_t *dims,
                       bool trained, bool decay, dv_err *e);
/* Memory for a batch; may be called again with another size. */
dmv_status tr_net_ready(tr_net *n, int64_t batch, dv_err *e);
void tr_net_forward(tr_net *n, bool training);
/* Where the gradient of the output is to be written before a backward; NULL: no memory. */
float *tr_net_output_d(tr_net *n);
/* Adds the gradients of all parameters to theirs. */
dmv_status tr_net_backward(tr_net *n, dv_err *e);
void tr_net_zero_grads(tr_net *n);
size_t tr_net_weights(const tr_net *n);
int64_t tr_net_macs(const tr_net *n);
/* Pictures [*b, *end) of a part. */
static inline void tr_part(const tr_net *n, int part, int64_t *b, int64_t *end)
{
    *b = n->batch * part / n->parts;
    *end = n->batch * (part + 1) / n->parts;
}
uint64_t tr_random(uint64_t *s);
float tr_uniform(uint64_t *s); /* 0 .. 1 */
float tr_normal(uint64_t *s);

/* Loops that are compiled for several instruction sets. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define TR_FAST \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3")))
#else
#define TR_FAST
#endif

/* ---- kinds ---- */
extern const tr_kind tr_conv, tr_bn_act, tr_act, tr_add, tr_mul_gate, tr_global_mean, tr_fc;

/* ---- dnnl.c: oneDNN, interface versions 2 and 3 ---- */
dmv_status tr_dnnl_open(dv_err *e);
void tr_dnnl_one_thread(void); /* in every thread that computes */
typedef struct tr_dconv tr_dconv;
typedef struct tr_conv_shape {
    int64_t n, ic, ih, iw, oc, oh, ow, k, stride, pad, groups;
} tr_conv_shape;
/* For one part; weights plain [K, K, IC/g, OC]. */
dmv_status tr_dconv_new(const tr_conv_shape *s, bool want_dx, tr_dconv **out, dv_err *e);
void tr_dconv_free(tr_dconv **c);
void tr_dconv_weights(tr_dconv *c, const float *w); /* once a step, before the three below */
void tr_dconv_forward(tr_dconv *c, const float *x, float *y);
void tr_dconv_backward(tr_dconv *c, const float *x, const float *dy,
                       float *dx);             /* dx: may be NULL */
void tr_dconv_gradient(tr_dconv *c, float *g); /* adds that of the last backward */
/* Row-major c = alpha op(a) op(b) + beta c; m x n, inner k. */
void tr_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
             int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
