/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx_write.h - inside the export layer only: the ONNX model being made (onnx_write.c) and the
 * graph that it is made from (export.c). The ops are in ops_*.c.
 *
 * Failures are sticky: after the first one every function does nothing and returns -1 or NULL, so
 * that an op reads as a straight line. Values are numbers, -1 = an input left out.
 */
#ifndef DV_ONNX_WRITE_H
#define DV_ONNX_WRITE_H

#include "export/export.h"
#include "onnx.pb-c.h"

enum { EX_PLAIN, EX_NCHW }; /* dims as in the graph, or N, C, H, W of four */

typedef struct ex_block {
    struct ex_block *next;
    max_align_t data[];
} ex_block;

typedef struct ex_value {
    const char *name; /* NULL: gets a number */
    bool computed;    /* by a node */
} ex_value;

typedef struct ex_node {
    Onnx__NodeProto p;
    size_t number;
    int32_t *in, *out;
} ex_node;

typedef struct ex_tensor {
    int32_t value[2]; /* by layout; of floats: what is 8-bit has been dequantised; -1 = none */
    int rank;
    int64_t dims[DMV_MAX_RANK]; /* -1 = free */
    float
        shift; /* the real value is that of the file plus this (a zero point that is no integer) */
    int32_t scale, zero; /* 8-bit: their values in the file, -1 = not made */
    bool dynamic;        /* scale found while the net runs */
} ex_tensor;

typedef struct ex {
    const dv_graph *g;
    dv_err *e;
    dmv_status st;
    ex_block *blocks;
    const dv_node *n; /* the present node */
    size_t at;        /* its number */
    ex_tensor *t;
    ex_value *values;
    size_t n_values, cap_values;
    ex_node **nodes;
    size_t n_nodes, cap_nodes;
    Onnx__TensorProto **inits;
    int32_t *init_value;
    size_t n_inits, cap_inits, cap_init_value;
    size_t pairs;
} ex;

/* ---- onnx_write.c ---- */
static inline bool ex_ok(const ex *x)
{
    return x->st == DMV_OK;
}
void *ex_alloc(ex *x, size_t count, size_t size); /* zeroed, freed with x */
void ex_nomem(ex *x);
/* "node 12 (QConv "name"): ... cannot be exported": DMV_ERR_UNSUPPORTED. */
void ex_unsupported(ex *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int32_t ex_value_new(ex *x, const char *name, bool computed);
/* A node; its only output. Attributes follow. */
int32_t ex_op(ex *x, const char *op, int n_in, const int32_t *in);
int32_t ex_op1(ex *x, const char *op, int32_t a);
int32_t ex_op2(ex *x, const char *op, int32_t a, int32_t b);
void ex_op_many(ex *x, const char *op, int n_in, const int32_t *in, int n_out, int32_t *out);
void ex_int(ex *x, const char *name, int64_t v);
void ex_ints(ex *x, const char *name, const int64_t *v, size_t n);
void ex_float(ex *x, const char *name, float v);
void ex_text(ex *x, const char *name, const char *v);
/* Initializers; data is copied. bytes: of one element. */
int32_t ex_init(ex *x, int type, int rank, const int64_t *dims, const void *data, size_t bytes);
int32_t ex_floats(ex *x, int rank, const int64_t *dims, const float *v);
int32_t ex_scalar(ex *x, float v);
int32_t ex_list(ex *x, const int64_t *v, size_t n);
/* The file. */
dmv_status ex_pack(ex *x, const dv_meta *meta, uint8_t **data, size_t *size);

/* ---- export.c ---- */
int ex_rank(const ex *x, int32_t t);
bool ex_has(const ex *x, int32_t t, int layout); /* without making it */
/* The value of a tensor, made where it is not there; t -1 gives -1. */
int32_t ex_get(ex *x, int32_t t, int layout);
/* The layout that costs nothing; NCHW if there are both. */
int ex_layout(const ex *x, int32_t t);
/* v is the float value of tensor t. What is 8-bit goes through a pair first. */
void ex_put(ex *x, int32_t t, int layout, int32_t v);
/* v through QuantizeLinear and DequantizeLinear. */
int32_t ex_pair(ex *x, int32_t v, float scale, float zero);
/* Axis a of the graph in that layout. */
int ex_axis(int a, int rank, int layout);
int32_t ex_transpose(ex *x, int32_t v, int rank, const int64_t *perm);
/* A constant that is broadcast against a tensor of `rank` dims, in that layout. */
int32_t ex_operand(ex *x, int32_t t, int rank, int layout);
/* [c] floats along the channels (the last axis of the graph). */
int32_t ex_channels(ex *x, const float *v, size_t c, int rank, int layout);
static inline int32_t ex_in(const ex *x, int i)
{
    return i < x->n->n_in ? x->n->in[i] : -1;
}
static inline const dv_gtensor *ex_const(const ex *x, int i)
{
    return dv_const_in(x->g, x->n, i);
}

/* ---- weights.c: packed constants row-major again ---- */
/* Floats (of halves, too) of [C], [K, N] or [KH, KW, IC / g, OC]; NULL after a failure. */
float *ex_unpack(ex *x, const dv_gtensor *t, int64_t groups);
int8_t *ex_unpack_s8(ex *x, const dv_gtensor *t);
/* w[k][n] of `item` bytes as [n][k]; conv weights [taps][ic][oc] as [oc][ic][taps]. */
void *ex_turn(ex *x, const void *w, size_t taps, size_t ic, size_t oc, size_t item);

/* ---- ops_*.c: what one node becomes ---- */
typedef void (*ex_fn)(ex *x);
ex_fn ex_find_op(uint16_t op); /* NULL: none */
/* ops_layers.c */
void ex_do_conv(ex *x);
void ex_do_conv_transpose(ex *x);
void ex_do_linear(ex *x);
void ex_do_se(ex *x);
/* Squeeze-excite of the present node on v, N, C, H, W. */
int32_t ex_se(ex *x, int32_t v);
/* ops_picture.c */
void ex_do_pool(ex *x);
void ex_do_resize(ex *x);
void ex_do_blocks(ex *x);
void ex_window(ex *x, bool with_kernel); /* attributes of the last node */
/* ops_math.c */
void ex_do_act(ex *x);
void ex_do_prelu(ex *x);
void ex_do_binary(ex *x);
void ex_do_matmul(ex *x);
void ex_do_softmax(ex *x);
void ex_do_layer_norm(ex *x);
void ex_do_l2_norm(ex *x);
void ex_do_reduce(ex *x);
int32_t ex_act(ex *x, int32_t v, int act, float p, float q); /* v after an activation */
int32_t ex_node_act(ex *x, int32_t v);                       /* after that of the present node */
int32_t ex_arith(ex *x, int op, int32_t a, int32_t b);       /* DV_BIN_* */
/* ops_move.c */
extern const struct ex_entry {
    uint16_t op;
    ex_fn fn;
} ex_moves[];
/* ops_quant.c */
void ex_do_quantize(ex *x);
void ex_do_dequantize(ex *x);
void ex_do_q_layer(ex *x);
void ex_do_q_binary(ex *x);
void ex_do_q_act(ex *x);
void ex_do_q_se(ex *x);
/* Refuses inputs whose zero point is no integer, apart from what layers make up for. */
void ex_whole_zero(ex *x, int32_t t);

#endif
