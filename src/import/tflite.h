/* SPDX-License-Identifier: Apache-2.0
 *
 * tflite.h - inside the import layer only: a TensorFlow Lite file (tflite_read.c, over the bounded
 * FlatBuffers reader of flatbuf.c) and what its operators (tflite_ops_*.c) see of their node
 * (tflite_lower.c), beside the workshop of lower.h. Pictures are N, H, W, C as in the graph.
 *
 * Quantised tensors are kept as the real values that their bytes stand for: an operator computes
 * in floats and its result is rounded to the bytes that the file states (lw_pair), as in a QDQ net
 * of ONNX. dv_quant_pairs makes the 8-bit net of it.
 */
#ifndef DV_TFLITE_H
#define DV_TFLITE_H

#include "import/lower.h"

/* ---- FlatBuffers: every offset is checked; what is absent or out of place reads as absent and
 * sets `bad`, which is sticky ---- */
typedef struct fb {
    const uint8_t *data;
    size_t size;
    bool bad;
} fb;
typedef struct fb_table {
    fb *f;
    size_t at, vtable; /* 0 = no table */
    uint16_t fields, size;
} fb_table;
typedef struct fb_vector {
    fb *f;
    size_t at, n; /* of the first item; items */
} fb_vector;

fb_table fb_root(fb *f);
bool fb_has(fb_table t, unsigned field);
int64_t fb_int(fb_table t, unsigned field, unsigned bytes, int64_t fallback); /* signed */
float fb_float(fb_table t, unsigned field, float fallback);
fb_table fb_sub(fb_table t, unsigned field);
/* Items of `bytes` each; n = 0 if absent. */
fb_vector fb_items(fb_table t, unsigned field, size_t bytes);
int64_t fb_int_at(fb_vector v, size_t i, unsigned bytes); /* i < n */
float fb_float_at(fb_vector v, size_t i);
fb_table fb_table_at(fb_vector v, size_t i); /* of a vector of tables (bytes = 4) */
/* A string, cut to size - 1 characters; true if there is one. */
bool fb_text(fb_table t, unsigned field, char *out, size_t size);

/* A number in a FlexBuffers map (the options of custom operators); false if it is not there. */
bool flex_number(const uint8_t *data, size_t size, const char *key, double *out);

/* ---- the file ---- */

enum { TFL_F32 = 0, TFL_F16 = 1, TFL_I32 = 2, TFL_U8 = 3, TFL_I64 = 4, TFL_BOOL = 6, TFL_I8 = 9 };

typedef struct tfl_tensor {
    fb_table table;
    char name[96];
    int type, rank;
    int64_t dims[DMV_MAX_RANK]; /* -1 = free */
    const uint8_t *data;        /* of a constant, or NULL */
    size_t size;
    fb_vector scale, zero; /* n 0 = not quantised */
    int axis;              /* of several scales */
    int32_t tensor;        /* in the graph, once it is there, or -1 */
    int32_t by;            /* the node that writes it, or -1 */
    bool wanted;
} tfl_tensor;

typedef struct tfl_node {
    int op; /* TFL_* of tflite_ops.inc, -1 = custom */
    char custom[48];
    fb_vector in, out; /* int32 */
    fb_table options;
    const uint8_t *custom_options;
    size_t custom_size;
} tfl_node;

typedef struct dv_tflite {
    fb file;
    fb_table graph;
    tfl_tensor *tensors;
    tfl_node *nodes;
    size_t n_tensors, n_nodes;
    fb_vector inputs, outputs; /* int32 */
    bool exact;                /* no weight is rounded anew */
    const tfl_node *n;         /* the present node */
    int32_t boxes, scores;     /* of a detector with its own last step, or -1 */
} dv_tflite;

/* On failure *t holds nothing. data stays with the caller. */
dmv_status dv_tflite_parse(const uint8_t *data, size_t size, dv_tflite *t, dv_err *e);
void dv_tflite_free(dv_tflite *t);
dmv_status dv_tflite_lower(dv_tflite *t, const dv_import_options *opt, dv_graph *g, dv_err *e);

/* ---- what operators see of their node ---- */

typedef struct tfl_op {
    int op; /* number of the builtin operator */
    const char *name;
    lw_fn fn;
} tfl_op;
/* Each file of operators ends its table with a NULL name. */
extern const tfl_op tfl_ops_picture[], tfl_ops_math[], tfl_ops_shape[];
/* TFLite_Detection_PostProcess (tflite_detect.c). */
void tfl_detection(dv_lower *L);

const tfl_tensor *tfl_at(const dv_lower *L, size_t i); /* input i; NULL if left out */
/* Input i as real numbers (or integers, where it is not quantised); -1 if left out. */
int32_t tfl_in(dv_lower *L, size_t i);
int32_t tfl_need(dv_lower *L, size_t i);
/* The constant at input i as that dtype, or NULL and a failure. */
const dv_gtensor *tfl_const(dv_lower *L, size_t i, dv_dtype type, const char *what);
/* The same as integers: up to cap, gives the number; 0 if left out. */
size_t tfl_ints(dv_lower *L, size_t i, const char *what, int64_t *out, size_t cap);
/* Output i, rounded to its bytes if it has some. */
void tfl_out(dv_lower *L, size_t i, int32_t t);
/* The same behind the fused activation in that field of the options. */
void tfl_act_out(dv_lower *L, int32_t t, unsigned field);
/* Output i of an operator that moves values of input 0: rounded only if it has other bytes. */
void tfl_moved(dv_lower *L, size_t i, int32_t t);
int64_t tfl_option(const dv_lower *L, unsigned field, unsigned bytes, int64_t fallback);

/* tflite_weights.c: the weights at input 1, their dims turned by perm, and the scale of each
 * output channel (axis `channels` of the file's dims) if they are 8-bit; -1 on failure. The
 * caller frees *scales. */
int32_t tfl_weights(dv_lower *L, int rank, const int *perm, int channels, float **scales);
/* The contents of a constant as floats or int64, new (dv_free); NULL on failure. */
void *tfl_contents(dv_lower *L, const tfl_tensor *t, dv_dtype *type, size_t *count);

#endif
