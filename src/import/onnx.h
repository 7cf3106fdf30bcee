/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx.h - inside the import layer only: the parsed file (onnx_parse.c) and the
 * workshop in which its nodes become nodes of the graph (onnx_lower.c and the files
 * beside it). Operators live in onnx_ops_*.c and see nothing but the lw_ functions.
 *
 * A lowering function never returns an error. The first failure is kept in
 * dv_lower.st; from then on every lw_ function does nothing and returns -1 or NULL,
 * so that an operator reads as a straight line.
 */
#ifndef DV_ONNX_H
#define DV_ONNX_H

#include "import/import.h"
#include "nn/graph.h"
#include "onnx.pb-c.h"

/* ---- the file ---- */

/* What protobuf-c allocates is counted: a small file must not unpack into gigabytes. */
typedef struct dv_onnx_budget {
    size_t left;
    bool no_memory, over;
} dv_onnx_budget;

typedef struct dv_onnx {
    Onnx__ModelProto *model;
    const Onnx__GraphProto *graph;
    int64_t opset; /* of the default operator set */
    size_t file_size;
    dv_onnx_budget budget;
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

/* Scales by which a constant was dequantised: one, or one a step along an axis. */
typedef struct lw_scales {
    struct lw_scales *next;
    int axis;
    size_t n;
    float v[];
} lw_scales;

/* What is known of a tensor before any session exists. */
typedef struct lw_info {
    int rank;                   /* -1 = unknown */
    int64_t dims[DMV_MAX_RANK]; /* -1 = unknown */
    int32_t shape_of;           /* the tensor whose Shape this is, or -1 */
    bool poison;                /* follows from an unsupported node */
    uint8_t bytes;              /* 8-bit in ONNX: 1 = 0..255, 2 = -128..127; else 0 */
    float scale, zero;          /* of the bytes; scale 0: found while running */
    const lw_scales *scales;    /* of a constant, or NULL */
} lw_info;

typedef struct lw_name { /* a name of the ONNX graph and what stands behind it */
    const char *name;
    int32_t node;   /* the node that writes it, or -1 */
    int32_t init;   /* the initializer of that name, or -1 */
    int32_t tensor; /* in the graph, once it is there, or -1 */
} lw_name;

typedef struct lw_problem {
    char what[160]; /* "Conv: 3-d pictures", counted */
    char first[48];
    size_t count;
} lw_problem;

typedef struct dv_lower {
    dv_graph *g;
    const dv_onnx *o;
    dv_err *e;
    lw_info *info; /* one per tensor of g */
    size_t cap_info;
    lw_name *names; /* sorted */
    size_t n_names;
    size_t budget; /* bytes of constants that may still be made */
    const Onnx__NodeProto *n;
    char label[64]; /* of n, printable */
    dmv_status st;
    bool stop;         /* st ends the import; else it is one more unsupported node */
    char reason[112];  /* of an unsupported node */
    lw_scales *scales; /* all, for freeing */
    lw_problem *problems;
    size_t n_problems, cap_problems;
} dv_lower;

/* Lowers the whole graph: sorted, checked, every unsupported node in the message. */
dmv_status dv_onnx_lower(const dv_onnx *o, const dv_import_options *opt, dv_graph *g, dv_err *e);

typedef void (*lw_fn)(dv_lower *L);
typedef struct lw_op {
    const char *name;
    lw_fn fn;
} lw_op;
/* Each file of operators ends its table with a NULL name. */
extern const lw_op lw_ops_picture[], lw_ops_math[], lw_ops_norm[], lw_ops_shape[], lw_ops_quant[];

/* Failures of the present node: valid but not for us, or wrong. */
void lw_unsupported(dv_lower *L, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void lw_bad(dv_lower *L, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void lw_nomem(dv_lower *L);
/* The import ends with what is in L->e already. */
void lw_stop(dv_lower *L, dmv_status st);
/* Copies a name out of a file for messages: printable, shortened. */
void lw_printable(const char *s, char *out, size_t size);
lw_name *lw_lookup(const dv_lower *L, const char *name);
/* Room for info of every tensor of g; new ones are blank. */
bool lw_grow_info(dv_lower *L);
static inline bool lw_ok(const dv_lower *L)
{
    return L->st == DMV_OK;
}

/* Inputs of the present node. lw_in gives -1 where one is left out (or empty, as Resize
 * has them), lw_need fails there. */
int32_t lw_in(dv_lower *L, size_t i);
int32_t lw_need(dv_lower *L, size_t i);
/* The constant behind a tensor; NULL if it is computed (no failure). */
const dv_gtensor *lw_const(dv_lower *L, int32_t t);
/* The constant at input i as that dtype; NULL if left out; computed = unsupported. */
const dv_gtensor *lw_const_in(dv_lower *L, size_t i, dv_dtype type, const char *what);
/* Whether t follows from an unsupported node; if so this one fails as well, unreported. */
bool lw_poisoned(dv_lower *L, int32_t t);
/* lw_const_in for ints: copies up to cap, gives the number. */
size_t lw_ints_in(dv_lower *L, size_t i, const char *what, int64_t *out, size_t cap);
/* Names t as output i of the present node. */
void lw_out(dv_lower *L, size_t i, int32_t t);
bool lw_wanted(const dv_lower *L, size_t i); /* output i has a name */

int lw_rank(const dv_lower *L, int32_t t);              /* -1 = unknown */
int64_t lw_dim(const dv_lower *L, int32_t t, int axis); /* -1 = unknown */
dv_dtype lw_type(const dv_lower *L, int32_t t);
/* Rank, or `assumed` where nothing is known (old files with no way to tell). */
int lw_rank_or(const dv_lower *L, int32_t t, int assumed);
/* Axis of a tensor of that rank, negative values resolved; fails outside. */
int lw_axis(dv_lower *L, int64_t axis, int rank);

/* Attributes of the present node. */
const Onnx__AttributeProto *lw_attr(const dv_lower *L, const char *name);
int64_t lw_attr_int(dv_lower *L, const char *name, int64_t fallback);
float lw_attr_float(dv_lower *L, const char *name, float fallback);
size_t lw_attr_ints(dv_lower *L, const char *name, int64_t *out, size_t cap);
/* Text of up to 47 bytes into buf; the fallback if absent. */
const char *lw_attr_text(dv_lower *L, const char *name, const char *fallback, char buf[48]);

/* New nodes: begin, attributes, end. The output's type and dims follow by themselves; where
 * all inputs are known constants the result is a constant and no node remains. */
void lw_begin(dv_lower *L, uint16_t op, int n_in, const int32_t *in);
void lw_int(dv_lower *L, uint16_t key, int64_t v);
void lw_ints(dv_lower *L, uint16_t key, const int64_t *v, size_t n);
void lw_float(dv_lower *L, uint16_t key, float v);
void lw_floats(dv_lower *L, uint16_t key, const float *v, size_t n);
int32_t lw_end(dv_lower *L);
void lw_end_many(dv_lower *L, int n_out, int32_t *out);

/* Constants. The data is copied. */
int32_t lw_add_const(dv_lower *L, dv_dtype type, int rank, const int64_t *dims, const void *data);
int32_t lw_scalar(dv_lower *L, float v);
int32_t lw_vector(dv_lower *L, dv_dtype type, size_t n, const void *data);

/* Common nodes. */
int32_t lw_act(dv_lower *L, int act, int32_t x, float p, float q);
int32_t lw_binary(dv_lower *L, int op, int32_t a, int32_t b);
int32_t lw_transpose(dv_lower *L, int32_t x, int rank, const int64_t *perm);
int32_t lw_nhwc(dv_lower *L, int32_t x); /* fails if x cannot have rank 4 */
int32_t lw_nchw(dv_lower *L, int32_t x);
int32_t lw_reshape(dv_lower *L, int32_t x, size_t n, const int64_t *shape);
int32_t lw_reshape_like(dv_lower *L, int32_t x, int32_t like);
int32_t lw_reduce(dv_lower *L, int32_t x, int kind, size_t n, const int64_t *axes, bool keep);
int32_t lw_cast(dv_lower *L, int32_t x, dv_dtype type);

/* The same values as x, no longer taken as 8-bit. */
int32_t lw_unmark(dv_lower *L, int32_t x);
/* onnx_ops_quant.c: attribute of the node just begun if `weights` were 8-bit with one scale, or one
 * for each of n output channels along `axis`; they were multiplied by factor since. */
void lw_keep_scales(dv_lower *L, int32_t weights, int axis, size_t n, float factor);
/* The last step of lowering and passes: pairs become Quantize and Dequantize. */
dmv_status dv_import_pairs(dv_graph *g, dv_err *e);

/* onnx_infer.c: dims and dtype of the outputs of the last node of g. */
void lw_infer(dv_lower *L);
/* onnx_fold.c: if the last node of g can be worked out now, does so: *out is the constant.
 * False = it stays. */
bool lw_fold(dv_lower *L, int32_t *out);
/* Numpy broadcasting of two known shapes; -1 where unknown. False = they do not fit. */
bool lw_broadcast(int ra, const int64_t *a, int rb, const int64_t *b, int *rank, int64_t *out);

#endif
