/* SPDX-License-Identifier: Apache-2.0
 *
 * passes.h - rewriting a graph. A dv_rw wraps the graph with what a pass needs to know about
 * each tensor: who makes it, how often it is used, and its dims. Passes edit the graph through
 * these functions only, so that the three stay true.
 *
 * While passes run, node order means nothing and deleted nodes stay as DV_OP_NONE;
 * dv_rw_tidy puts the graph in running order and drops what is dead. Nodes and tensors
 * are spoken of by number: adding one may move the arrays.
 *
 * Free sizes. Dims are found by shaping the net for the input sizes it has. If an input has
 * free dims, it is shaped for three different sizes: what is the same in all of them counts
 * as a number, the rest becomes a symbol (a number below -1); equal symbols mean equal
 * sizes. Int64 values that do not change with the input sizes become constants.
 *
 * Failure is sticky: after a failed allocation every function does nothing, and
 * dv_rw_status says so at the end.
 */
#ifndef DV_PASSES_H
#define DV_PASSES_H

#include "import/import.h"

#define DV_SAMPLES 3 /* input sizes tried for a net with free dims */

typedef struct dv_dims {
    int rank; /* -1 = not known */
    int64_t d[DMV_MAX_RANK];
} dv_dims;

typedef struct dv_tinfo {
    dv_dims dims;
    int32_t from; /* node that makes it, -1 = constant or input of the graph */
    int32_t uses; /* by nodes and by the graph's outputs */
} dv_tinfo;

typedef struct dv_rw {
    dv_graph *g;
    dv_err *e;
    dmv_status status; /* sticky */
    dv_kernels kernels;
    dv_tinfo *t;
    size_t cap_t;
    int64_t (*sym)[DV_SAMPLES]; /* sizes that a symbol stands for */
    size_t n_sym, cap_sym;
    int32_t *dead; /* stack of dv_rw_kill */
    size_t n_dead, cap_dead;
} dv_rw;

/* ---- rewrite.c ---- */
bool dv_rw_open(dv_rw *r, dv_graph *g, dv_err *e);
void dv_rw_close(dv_rw *r);
bool dv_rw_nomem(dv_rw *r); /* notes the failure; false */

static inline bool dv_rw_ok(const dv_rw *r)
{
    return r->status == DMV_OK;
}
static inline dv_node *dv_rw_node(const dv_rw *r, int32_t n)
{
    return &r->g->nodes[n];
}
static inline bool dv_rw_is(const dv_rw *r, int32_t n, uint16_t op)
{
    return n >= 0 && r->g->nodes[n].op == op;
}
static inline int32_t dv_rw_in(const dv_rw *r, int32_t n, int i) /* -1 = left out */
{
    return i < r->g->nodes[n].n_in ? r->g->nodes[n].in[i] : -1;
}
static inline int32_t dv_rw_out(const dv_rw *r, int32_t n)
{
    return r->g->nodes[n].out[0];
}
static inline const dv_dims *dv_rw_dims(const dv_rw *r, int32_t t)
{
    return &r->t[t].dims;
}
static inline bool dv_rw_is_const(const dv_rw *r, int32_t t)
{
    return t >= 0 && r->g->tensors[t].data != NULL;
}
static inline bool dv_rw_is_f32(const dv_rw *r, int32_t t)
{
    return r->g->tensors[t].dtype == DV_F32;
}
/* The node that makes t if it has this op, else -1. t may be -1. */
int32_t dv_rw_maker(const dv_rw *r, int32_t t, uint16_t op);
/* The node that alone reads t (once, and t is no output of the graph), else -1. */
int32_t dv_rw_user(const dv_rw *r, int32_t t);
bool dv_rw_is_output(const dv_rw *r, int32_t t);
/* Both have known ranks and equal dims. */
bool dv_rw_same(const dv_rw *r, int32_t a, int32_t b);
bool dv_dims_same(const dv_dims *a, const dv_dims *b);
bool dv_dims_known(const dv_dims *d); /* rank and all sizes are numbers */
/* A float constant of one element. */
bool dv_rw_scalar(const dv_rw *r, int32_t t, float *v);
/* Constant floats and their number; NULL if t is not that. */
const float *dv_rw_floats(const dv_rw *r, int32_t t, size_t *count);
/* Constant int64 values, NULL if t is not that. */
const int64_t *dv_rw_i64(const dv_rw *r, int32_t t, size_t *count);
/* A constant that, broadcast to `rank` axes, varies along `axis` only, with 1 or c values: copied
 * to out[c] (repeated if it is 1). Its own rank must not exceed `rank`. */
bool dv_rw_channels(const dv_rw *r, int32_t t, int rank, int axis, size_t c, float *out);

/* Edits. New tensors and nodes: a number, or -1 after a failure. */
int32_t dv_rw_tensor(dv_rw *r, const dv_dims *d);
int32_t dv_rw_const(dv_rw *r, const char *name, int rank, const int64_t *dims, const float *data);
int32_t dv_rw_int_const(dv_rw *r, int rank, const int64_t *dims, const int64_t *data);
/* out: a tensor without a maker, or -1 to make one of `dims`. Returns the node. */
int32_t dv_rw_add(dv_rw *r, uint16_t op, const char *name, int n_in, const int32_t *in, int32_t out,
                  const dv_dims *dims);
/* Input i of n becomes t (the input list grows as needed; -1 leaves the input out). */
void dv_rw_set_in(dv_rw *r, int32_t n, int i, int32_t t);
void dv_rw_trim_in(dv_rw *r, int32_t n, int count);
/* Node n now writes `out`; the node that did so is deleted. */
void dv_rw_take(dv_rw *r, int32_t n, int32_t out);
/* Output k of n becomes the maker-less tensor t; the old one has no maker any more. */
void dv_rw_set_out(dv_rw *r, int32_t n, int k, int32_t t);
/* Everything that read `old` reads `t`. An output of the graph keeps its number. */
void dv_rw_replace(dv_rw *r, int32_t old, int32_t t);
/* Deletes a node, and every node before it that nobody reads any more. */
void dv_rw_kill(dv_rw *r, int32_t n);
bool dv_rw_set_ints(dv_rw *r, int32_t n, uint16_t key, const int64_t *v, int count);
bool dv_rw_set_int(dv_rw *r, int32_t n, uint16_t key, int64_t v);
bool dv_rw_set_float(dv_rw *r, int32_t n, uint16_t key, float v);
void dv_rw_drop_attr(dv_rw *r, int32_t n, uint16_t key);

/* A Transpose of t; a new tensor, or -1. */
int32_t dv_rw_transpose(dv_rw *r, int32_t t, const int *perm, const char *name);
/* DV_A_PERM as ints, checked against the rank of the input; 0 = not usable, else the rank. */
int dv_rw_perm(const dv_rw *r, int32_t n, int *perm);
/* Shape attribute that turns `in` into `to`; false if it cannot be written. */
bool dv_rw_reshape_attr(const dv_dims *in, const dv_dims *to, int64_t *shape);
/* AXIS and AXES with negative values resolved; -1 or 0 if out of range. */
int dv_rw_axis(const dv_rw *r, int32_t n, int rank, int64_t fallback);
int dv_rw_axes(const dv_rw *r, int32_t n, int rank, int *axes);

/* ---- tidy.c ---- */
/* Running order, dead nodes and tensors dropped, numbers made compact. */
bool dv_rw_tidy(dv_rw *r);
/* dims of every tensor; int64 tensors that are known become constants. Graph tidy. */
bool dv_rw_infer(dv_rw *r);

/* ---- the passes; true = something changed ---- */
bool dv_pass_fold(dv_rw *r);      /* fold.c: constants, inputs to attributes */
bool dv_pass_simplify(dv_rw *r);  /* simplify.c: nodes that do nothing, views, normal forms */
bool dv_pass_cse(dv_rw *r);       /* cse.c */
bool dv_pass_recognise(dv_rw *r); /* recognise.c: LayerNorm, GELU, swish, L2Norm, ... */
bool dv_pass_shuffle(dv_rw *r);   /* shuffle.c: channel shuffles */
bool dv_pass_layout(dv_rw *r);    /* layout.c: Transposes */
bool dv_pass_weights(dv_rw *r);   /* weights.c: scale, shift and Pad into weights */
bool dv_pass_fuse(dv_rw *r);      /* fuse.c: activation, PReLU, residual add */
bool dv_pass_se(dv_rw *r);        /* shuffle.c: squeeze-excite */
bool dv_pass_siblings(dv_rw *r);  /* siblings.c: narrow convolutions of one tensor become one */
bool dv_pass_final(dv_rw *r);     /* simplify.c: last touches that would hinder the others */

#endif
