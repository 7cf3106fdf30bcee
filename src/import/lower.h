/* SPDX-License-Identifier: Apache-2.0
 *
 * lower.h - inside the import layer only: the workshop in which the nodes of a file become nodes
 * of the graph (lower.c). Each format has its own readers of inputs and attributes beside it
 * (onnx.h, tflite.h, ncnn.h); its operators see nothing but those and the lw_ functions.
 *
 * A lowering function never returns an error. The first failure is kept in
 * dv_lower.st; from then on every lw_ function does nothing and returns -1 or NULL,
 * so that an operator reads as a straight line.
 */
#ifndef DV_LOWER_H
#define DV_LOWER_H

#include "import/import.h"
#include "nn/graph.h"

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
    uint8_t bytes;              /* 8-bit in the file: 1 = 0..255, 2 = -128..127; else 0 */
    float scale, zero;          /* of the bytes; scale 0: found while running */
    const lw_scales *scales;    /* of a constant, or NULL */
} lw_info;

typedef struct lw_problem {
    char what[160]; /* "Conv: 3-d pictures", counted */
    char first[48];
    size_t count;
} lw_problem;

typedef struct dv_lower {
    dv_graph *g;
    dv_err *e;
    struct dv_onnx *o; /* the file that is being imported: one of these */
    struct dv_tflite *t;
    struct dv_ncnn *p;
    lw_info *info; /* one per tensor of g */
    size_t cap_info;
    size_t budget; /* bytes of constants that may still be made */
    char op[64];   /* of the present node, printable */
    char label[64];
    bool named; /* label is its name in the file */
    dmv_status st;
    bool stop;         /* st ends the import; else it is one more unsupported node */
    char reason[112];  /* of an unsupported node */
    lw_scales *scales; /* all, for freeing */
    lw_problem *problems;
    size_t n_problems, cap_problems;
} dv_lower;

typedef void (*lw_fn)(dv_lower *L);

void lw_free(dv_lower *L);
/* The present node from here on. */
void lw_start(dv_lower *L, const char *op, const char *label, bool named);
/* The present node is one more that cannot be imported; false = no memory. */
bool lw_add_problem(dv_lower *L);
/* After a node: what ends the import, or DMV_OK; *failed = the node cannot be imported and is
 * noted, its outputs are to be poisoned. known: there is a function for it. */
dmv_status lw_finish(dv_lower *L, bool known, bool *failed);
int32_t lw_poison(dv_lower *L); /* a tensor that follows from an unsupported node */
/* All of them in one message. */
dmv_status lw_report_problems(dv_lower *L);

/* Failures of the present node: valid but not for us, or wrong. */
void lw_unsupported(dv_lower *L, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void lw_bad(dv_lower *L, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void lw_nomem(dv_lower *L);
/* The import ends with what is in L->e already. */
void lw_stop(dv_lower *L, dmv_status st);
/* Copies a name out of a file for messages: printable, shortened. */
void lw_printable(const char *s, char *out, size_t size);
/* Room for info of every tensor of g; new ones are blank. */
bool lw_grow_info(dv_lower *L);
static inline bool lw_ok(const dv_lower *L)
{
    return L->st == DMV_OK;
}

/* The constant behind a tensor; NULL if it is computed (no failure). */
const dv_gtensor *lw_const(dv_lower *L, int32_t t);
/* Whether t follows from an unsupported node; if so this one fails as well, unreported. */
bool lw_poisoned(dv_lower *L, int32_t t);

int lw_rank(const dv_lower *L, int32_t t);              /* -1 = unknown */
int64_t lw_dim(const dv_lower *L, int32_t t, int axis); /* -1 = unknown */
dv_dtype lw_type(const dv_lower *L, int32_t t);
/* Rank, or `assumed` where nothing is known (old files with no way to tell). */
int lw_rank_or(const dv_lower *L, int32_t t, int assumed);
/* Axis of a tensor of that rank, negative values resolved; fails outside. */
int lw_axis(dv_lower *L, int64_t axis, int rank);

/* An input of the graph, floats; -1 = no memory. */
int32_t lw_input(dv_lower *L, const char *name, int rank, const int64_t *dims);
/* Tensor t becomes output n_out of that name: under an Identity if it is an input, a
 * constant or an output already. */
dmv_status lw_output(dv_lower *L, int32_t t, const char *name, int32_t *out, size_t n_out);

/* New nodes: begin, attributes, end. The output's type and dims follow by themselves; where
 * all inputs are known constants the result is a constant and no node remains. */
void lw_begin(dv_lower *L, uint16_t op, int n_in, const int32_t *in);
void lw_int(dv_lower *L, uint16_t key, int64_t v);
void lw_ints(dv_lower *L, uint16_t key, const int64_t *v, size_t n);
void lw_float(dv_lower *L, uint16_t key, float v);
void lw_floats(dv_lower *L, uint16_t key, const float *v, size_t n);
int32_t lw_end(dv_lower *L);
void lw_end_many(dv_lower *L, int n_out, int32_t *out);

/* A window that moves over a picture. */
#define LW_WINDOW_MAX 4096 /* of kernel, stride, dilation */
#define LW_PAD_MAX 65536
typedef struct lw_window {
    int64_t k[2], s[2], d[2], p[4]; /* p: top, left, bottom, right */
} lw_window;
/* Padding that makes the output ceil(in / stride) large. */
void lw_same_pads(dv_lower *L, int64_t h, int64_t width, lw_window *w, bool lower);
void lw_check_window(dv_lower *L, const lw_window *w); /* fails where it is out of range */
void lw_put_window(dv_lower *L, const lw_window *w);   /* attributes of the node just begun */

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
/* pairs.c: the rounding of floats to bytes of 0..255: DV_IMPORT_PAIR. scale 0: found while running.
 */
int32_t lw_pair(dv_lower *L, int32_t x, float scale, float zero);
/* pairs.c: attribute of the node just begun if `weights` were 8-bit with one scale, or one
 * for each of n output channels along `axis`; they were multiplied by factor since. */
void lw_keep_scales(dv_lower *L, int32_t weights, int axis, size_t n, float factor);
/* The last step of lowering and passes: pairs become Quantize and Dequantize. */
dmv_status dv_import_pairs(dv_graph *g, dv_err *e);

/* infer.c: dims and dtype of the outputs of the last node of g. */
void lw_infer(dv_lower *L);
/* const.c: if the last node of g can be worked out now, does so: *out is the constant.
 * False = it stays. */
bool lw_fold(dv_lower *L, int32_t *out);
/* Numpy broadcasting of two known shapes; -1 where unknown. False = they do not fit. */
bool lw_broadcast(int ra, const int64_t *a, int rb, const int64_t *b, int *rank, int64_t *out);

#endif
