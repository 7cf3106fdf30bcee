/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx.h - inside the import layer only: the parsed file (onnx_parse.c) and what its operators
 * (onnx_ops_*.c) see of their node (onnx_build.c), beside the workshop of lower.h.
 */
#ifndef DV_ONNX_H
#define DV_ONNX_H

#include "import/lower.h"
#include "onnx.pb-c.h"

/* ---- the file ---- */

/* What protobuf-c allocates is counted: a small file must not unpack into gigabytes. */
typedef struct dv_onnx_budget {
    size_t left;
    bool no_memory, over;
} dv_onnx_budget;

typedef struct lw_name { /* a name of the ONNX graph and what stands behind it */
    const char *name;
    int32_t node;   /* the node that writes it, or -1 */
    int32_t init;   /* the initializer of that name, or -1 */
    int32_t tensor; /* in the graph, once it is there, or -1 */
} lw_name;

typedef struct dv_onnx {
    Onnx__ModelProto *model;
    const Onnx__GraphProto *graph;
    int64_t opset; /* of the default operator set */
    size_t file_size;
    dv_onnx_budget budget;
    /* while it is lowered */
    lw_name *names; /* sorted */
    size_t n_names;
    const Onnx__NodeProto *n; /* the present node */
} dv_onnx;

/* On failure *o holds nothing. */
dmv_status dv_onnx_parse(const uint8_t *data, size_t size, dv_onnx *o, dv_err *e);
void dv_onnx_free(dv_onnx *o);

/* The contents of a TensorProto as float32 or int64 (every integer type and bool). data is
 * new (dv_free). The product of dims is checked against the stored data before anything is
 * allocated. */
typedef struct dv_onnx_value {
    dv_dtype dtype;
    int rank;
    int64_t dims[DMV_MAX_RANK];
    size_t count;
    void *data;
} dv_onnx_value;
dmv_status dv_onnx_tensor(const Onnx__TensorProto *t, dv_onnx_value *v, dv_err *e);

/* ---- lowering ---- */

/* Lowers the whole graph: sorted, checked, every unsupported node in the message. */
dmv_status dv_onnx_lower(dv_onnx *o, const dv_import_options *opt, dv_graph *g, dv_err *e);

typedef struct lw_op {
    const char *name;
    lw_fn fn;
} lw_op;
/* Each file of operators ends its table with a NULL name. */
extern const lw_op lw_ops_picture[], lw_ops_math[], lw_ops_norm[], lw_ops_shape[], lw_ops_quant[];

lw_name *lw_lookup(const dv_lower *L, const char *name);

/* Inputs of the present node. lw_in gives -1 where one is left out (or empty, as Resize
 * has them), lw_need fails there. */
int32_t lw_in(dv_lower *L, size_t i);
int32_t lw_need(dv_lower *L, size_t i);
/* The constant at input i as that dtype; NULL if left out; computed = unsupported. */
const dv_gtensor *lw_const_in(dv_lower *L, size_t i, dv_dtype type, const char *what);
/* lw_const_in for ints: copies up to cap, gives the number. */
size_t lw_ints_in(dv_lower *L, size_t i, const char *what, int64_t *out, size_t cap);
/* Names t as output i of the present node. */
void lw_out(dv_lower *L, size_t i, int32_t t);
bool lw_wanted(const dv_lower *L, size_t i); /* output i has a name */

/* Attributes of the present node. */
const Onnx__AttributeProto *lw_attr(const dv_lower *L, const char *name);
int64_t lw_attr_int(dv_lower *L, const char *name, int64_t fallback);
float lw_attr_float(dv_lower *L, const char *name, float fallback);
size_t lw_attr_ints(dv_lower *L, const char *name, int64_t *out, size_t cap);
/* Text of up to 47 bytes into buf; the fallback if absent. */
const char *lw_attr_text(dv_lower *L, const char *name, const char *fallback, char buf[48]);

#endif
