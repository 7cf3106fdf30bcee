/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.h - running a graph. An op lives as XNNPACK's do: check (once, when a graph
 * comes from a file), shape (output dims, kernel choice, scratch size), run (no
 * allocation, cannot fail).
 *
 * A dv_exec is made for one graph and shaped for one set of input dims at a time. The
 * planner (plan.c) gives every intermediate tensor an offset in one arena from its
 * lifetime; views (Reshape, trivial Transpose, ...) share their source's place.
 */
#ifndef DV_EXEC_H
#define DV_EXEC_H

#include "kernels/kernels.h"
#include "nn/graph.h"

struct dv_exec;
struct dv_step;

typedef struct dv_value { /* the run-time side of a tensor */
    dv_dtype dtype;
    int rank;
    int64_t dims[DMV_MAX_RANK];
    size_t count;        /* product of dims */
    float *f;            /* DV_F32 data; constants point into the model: never written */
    uint8_t *q;          /* DV_U8 data */
    uint16_t *h;         /* DV_F16 data */
    float scale, zero;   /* DV_U8: the graph's, or those of this run */
    int64_t *i;          /* DV_I64: the values, known at shape time; NULL if not known */
    bool owned_i;        /* i is the session's, not the model's */
    int32_t root;        /* tensor whose memory this one is (itself, or the source of a view) */
    size_t offset;       /* in the arena, for roots */
    int32_t first, last; /* lifetime of a root: node numbers, inclusive */
} dv_value;

/* Things [begin, end) of a step, by worker number `worker`. */
typedef void dv_range(struct dv_exec *x, const struct dv_step *s, size_t begin, size_t end,
                      int worker);
typedef dv_range *dv_range_fn;

/* How a step can be run a few rows at a time (bands.h): rows [a, b) of its output, N = 1, are
 * things [a * unit, b * unit) of fn. They need rows a * step - before .. (b - 1) * step - before +
 * span - 1 of input 0, as far as these exist, and rows [a, b) of the other inputs that are not
 * constant. */
typedef struct dv_band {
    dv_range_fn fn; /* NULL: it cannot */
    size_t unit;
    int64_t step, before, span;
} dv_band;

typedef struct dv_step { /* one node, shaped */
    const dv_node *node;
    const struct dv_op *op;
    bool skip;      /* a view, or worked out at shape time: nothing to run */
    size_t scratch; /* bytes wanted per worker while running */
    size_t shared;  /* bytes wanted by all workers together */
    int64_t macs;   /* multiply-adds, for reports */
    dv_band band;
    void *state;      /* op's own, freed with dv_free on reshape; NULL if none */
    float *packed[5]; /* weights that came unpacked or in halves, made when the exec was opened */
} dv_step;

typedef struct dv_exec {
    const dv_graph *g;
    const dv_kernels *k;
    dv_pool *pool;  /* NULL = this thread only */
    dv_value *v;    /* one per tensor */
    dv_step *steps; /* one per node */
    uint8_t *arena;
    size_t arena_size; /* activations, then scratch */
    size_t scratch_each;
    uint8_t *scratch; /* worker w: scratch + w * scratch_each */
    uint8_t *shared;  /* behind the scratch of all workers */
    bool shaped;
    struct dv_bands *bands;
    /* A net run in two parts (dv_graph_cut): steps before `cut` make the tensor `feature`, which
     * then stays as it is until the first part runs again. 0 = one part. To be set before shaping
     */
    size_t cut;
    int32_t feature;
    bool whole; /* no bands: all results of a step are there at once. To be set before shaping */
    const dv_step *bypass[2]; /* the leading Transpose and Quantize that the caller made needless */
    uint64_t *step_ns;        /* NULL, or where dv_exec_run adds the time of each step */
    /* NULL, or called after each step that ran, while its results are still there (with whole) */
    void (*seen)(void *user, const struct dv_exec *x, size_t step);
    void *seen_user;
} dv_exec;

/* What an input must look like: how dv_graph_check and dv_exec_open treat constants. */
enum { DV_ROLE_PLAIN, DV_ROLE_PANEL, DV_ROLE_VEC, DV_ROLE_S8, DV_ROLE_HALF };

typedef struct dv_op {
    int8_t min_in, max_in, min_out, max_out;
    int8_t first_optional; /* inputs from here on may be -1 */
    int8_t in_place;       /* bit i: the output may take the memory of input i if shapes agree */
    uint8_t roles[5];      /* DV_ROLE_* of inputs 0..4 */
    /* Beyond what dv_graph_check does for every op; NULL = nothing. */
    dmv_status (*check)(const dv_graph *g, const dv_node *n, dv_err *e);
    /* Sets v[out] dims (and i), the step's scratch, macs, state, or makes a view. */
    dmv_status (*shape)(dv_exec *x, dv_step *s, dv_err *e);
    void (*run)(dv_exec *x, const dv_step *s);
} dv_op;

extern const dv_op *const dv_ops[DV_OP_COUNT]; /* [DV_OP_NONE] is NULL */

dmv_status dv_exec_open(const dv_graph *g, const dv_kernels *k, dv_pool *pool, dv_exec **out,
                        dv_err *e);
void dv_exec_close(dv_exec **x);
/* dims[i] points at the dims of graph input i, rank as in the graph. */
dmv_status dv_exec_shape(dv_exec *x, const int64_t *const *dims, dv_err *e);
void dv_exec_run(dv_exec *x);
/* Steps [begin, end) of a run; both are 0, x->cut or the number of steps. */
void dv_exec_run_part(dv_exec *x, size_t begin, size_t end);
/* Data of graph input i to be filled in before a run, of output i after it. */
float *dv_exec_input(dv_exec *x, size_t i);
/* The same for a picture input [N, C, H, W] that the net turns into N, H, W, C first: a place
 * for the data in that order, so that the turn is saved; NULL if the net does not begin so.
 * Must be filled in before every run, and holds until the next call of either function. */
float *dv_exec_input_nhwc(dv_exec *x, size_t i);
/* And for an 8-bit net that quantises a picture input first: a place for its bytes in the order
 * N, H, W, C, which stand for (byte - zero) * scale; NULL if the net does not begin so. nchw: the
 * input is N, C, H, W and turned first; else it is N, H, W, C itself. */
uint8_t *dv_exec_input_u8(dv_exec *x, size_t i, bool nchw, float *scale, float *zero);
const dv_value *dv_exec_output(const dv_exec *x, size_t i);
/* Runs shape only for every step and reports dims, so that passes can use them:
 * afterwards x->v[t] has dims for every tensor. No arena is made. */
dmv_status dv_exec_infer(dv_exec *x, const int64_t *const *dims, dv_err *e);

/* ---- for op files ---- */
static inline dv_value *dv_in(dv_exec *x, const dv_step *s, int i)
{
    return i < s->node->n_in && s->node->in[i] >= 0 ? &x->v[s->node->in[i]] : NULL;
}
static inline dv_value *dv_out(dv_exec *x, const dv_step *s, int i)
{
    return &x->v[s->node->out[i]];
}
static inline void *dv_scratch(dv_exec *x, int worker)
{
    return x->scratch + (size_t)worker * x->scratch_each;
}
/* dims of an output; checks the product and sets count. */
dmv_status dv_set_dims(dv_value *v, int rank, const int64_t *dims, dv_err *e);
/* Sets the band of a step that makes each element (or, with pixels, each pixel) of its output from
 * those at the same place in its inputs, if the shapes say so. fn takes elements (pixels). */
void dv_same_band(dv_exec *x, dv_step *s, dv_range_fn fn, bool pixels);
/* Makes output 0 a view of input 0 (same count) and marks the step as skipped. */
void dv_make_view(dv_exec *x, dv_step *s);
/* Room for the int64 contents of an output at shape time (at most 65,536). */
dmv_status dv_set_ints(dv_value *v, dv_err *e);
/* Splits n things over the pool in chunks of at least `grain`. */
void dv_parallel(dv_exec *x, const dv_step *s, size_t n, size_t grain, dv_range_fn fn);
/* Should a product of so few rows be divided by columns (in units of DV_HPANEL) among the workers?
 * Each then reads a part of the weights only. */
bool dv_by_columns(const dv_exec *x, size_t rows, size_t n);
/* Packed weights, bias or slope at input i (NULL if left out). */
const float *dv_packed(const dv_exec *x, const dv_step *s, int i);
/* The constant at input i, NULL if left out or not constant. */
const dv_gtensor *dv_const_in(const dv_graph *g, const dv_node *n, int i);
/* Epilogue of a Conv or Linear step: bias, slope, add (inputs at..at+2) and the activation
 * when kernels do it; the return value is the DV_ACT_* left to apply afterwards. */
int dv_epilogue_of(dv_exec *x, const dv_step *s, int at, dv_epilogue *ep);
/* The node's name and op for messages, in a static buffer of the caller. */
const char *dv_step_label(const dv_step *s, char *buf, size_t size);
/* Axis with negative values resolved, or -1 (and an error). */
int dv_axis(int64_t axis, int rank);

#endif
