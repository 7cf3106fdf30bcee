/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.h - the net as data: tensors and nodes in running order. The importer
 * builds and rewrites it, a .dmv file stores it, a session (exec.h) runs it.
 *
 * Every tensor is dense and row-major in the dims written here. Picture-shaped ops
 * (Conv, pools, Resize, ...) are defined on N, H, W, C. There is no hidden layout:
 * the importer turns the NCHW of ONNX into explicit Transpose nodes and then
 * removes the ones that cancel.
 *
 * Integers (DV_I64) exist only while shapes are worked out: every int64 tensor must
 * be a constant or follow from the shapes of other tensors.
 *
 * 8 bits. A DV_U8 tensor stands for (q - zero) * scale. Only the Q ops compute with it; ops that
 * move data take it as it is (same scale and zero on both sides). DV_S8 is for weights.
 *
 * Half precision. DV_F16 tensors live between the H ops; a processor without such arithmetic runs
 * them as floats.
 */
#ifndef DV_GRAPH_H
#define DV_GRAPH_H

#include "base/base.h"

typedef enum dv_dtype { DV_F32 = 1, DV_I64 = 2, DV_U8 = 3, DV_S8 = 4, DV_F16 = 5 } dv_dtype;

/* How the constant bytes of a tensor are arranged. dims always give the logical shape. */
typedef enum dv_pack {
    DV_PACK_NONE = 0,   /* row-major */
    DV_PACK_PANEL = 1,  /* [K, N] or Conv [KH, KW, IC/g, OC] (K = KH KW IC/g, N = OC/g): for each
                           group the panels of kernels.h, groups one after the other */
    DV_PACK_DW = 2,     /* depthwise [KH, KW, 1, C]: [KH KW][round_up(C, 16)], zero padded */
    DV_PACK_VEC = 3,    /* [C]: round_up(C, 16) floats, zero padded (bias, slope) */
    DV_PACK_QPANEL = 4, /* DV_S8 [K, N] or Conv [KH, KW, IC, OC]: panels of conv_u8, a segment is
                           the K rows or a row of the window */
    DV_PACK_QDW = 5,    /* DV_S8 depthwise [KH, KW, 1, C]: as dw_u8 reads it */
    DV_PACK_HPANEL = 6, /* DV_F16 [K, N] or Conv [KH, KW, IC, OC], K even: panels of conv_f16 */
    DV_PACK_HDW = 7,    /* DV_F16 depthwise [KH, KW, 1, C]: [KH KW][round_up(C, 32)], zero padded */
    DV_PACK_HVEC = 8    /* DV_F16 [C]: round_up(C, 32), zero padded */
} dv_pack;

typedef struct dv_gtensor {
    char *name; /* may be NULL */
    dv_dtype dtype;
    dv_pack pack;
    int rank;
    int64_t dims[DMV_MAX_RANK]; /* -1 = unknown until a session is shaped; constants never */
    float scale, zero;          /* DV_U8. scale 0: both are found while the net runs */
    const void *data;           /* constants only, else NULL */
    size_t size;                /* bytes of data */
    bool owned;                 /* data is freed with the graph */
} dv_gtensor;

enum dv_op_id {
    DV_OP_NONE = 0,
#define DV_OP(id, name) DV_OP_##id,
#include "nn/ops.inc"
#undef DV_OP
    DV_OP_COUNT
};

/* Attribute keys: part of the file format, append only. The comments give the default. */
enum dv_attr_key {
    DV_A_KERNEL = 1,     /* ints kh, kw */
    DV_A_STRIDE = 2,     /* ints y, x; 1, 1 */
    DV_A_DILATION = 3,   /* ints y, x; 1, 1 */
    DV_A_PADS = 4,       /* Conv, pools: ints top, left, bottom, right; 0. Pad: begins, then ends */
    DV_A_GROUP = 5,      /* int; 1 */
    DV_A_ACT = 6,        /* int, DV_ACT_* of kernels.h; DV_ACT_NONE. After bias and add */
    DV_A_P = 7,          /* float, first parameter of the activation; 0 */
    DV_A_Q = 8,          /* float, second; 0 */
    DV_A_AXIS = 9,       /* int; 0. May be negative */
    DV_A_AXES = 10,      /* ints */
    DV_A_KEEPDIMS = 11,  /* int; 1 */
    DV_A_PERM = 12,      /* ints */
    DV_A_CEIL = 13,      /* int, pools round sizes up; 0 */
    DV_A_COUNT_PAD = 14, /* int, average pool counts padding; 0 */
    DV_A_BINARY = 15,    /* int, DV_BIN_* of kernels.h */
    DV_A_REDUCE = 16,    /* int, dv_reduce */
    DV_A_EPS = 17,       /* float; 1e-5 */
    DV_A_MODE = 18,      /* Resize: 0 nearest, 1 linear. Pad: 0 constant, 1 reflect, 2 edge */
    DV_A_COORD = 19,     /* Resize: dv_coord */
    DV_A_NEAREST = 20,   /* Resize: 0 round half down, 1 round half up, 2 floor, 3 ceil */
    DV_A_SCALES = 21,    /* Resize: floats, height then width */
    DV_A_SIZES = 22,     /* Resize: ints, height then width */
    DV_A_SPLIT = 23,     /* ints, sizes of the outputs; equal parts */
    DV_A_STARTS = 24,
    DV_A_ENDS = 25,
    DV_A_STEPS = 26, /* Slice: ints, beside DV_A_AXES */
    DV_A_VALUE = 27, /* Pad: float; 0 */
    DV_A_TRANS_A = 28,
    DV_A_TRANS_B = 29,    /* MatMul: int; 0. Swap the last two dims */
    DV_A_ALPHA = 30,      /* MatMul: float; 1 */
    DV_A_OUTPUT_PAD = 31, /* ConvTranspose: ints y, x; 0 */
    DV_A_TO = 32,         /* Cast: int, dv_dtype */
    DV_A_SHAPE = 33,      /* Reshape without second input: ints, 0 and -1 as in ONNX */
    DV_A_BLOCK = 34,      /* DepthToSpace, SpaceToDepth: int */
    DV_A_DCR = 35,        /* DepthToSpace: int 1 = DCR, 0 = CRD; 1 */
    DV_A_PRE = 36         /* QConv, QLinear: floats scale, zero of the 8 bits before the activation,
                             if that is neither a clip nor a slope */
};
enum dv_reduce {
    DV_RED_MEAN,
    DV_RED_SUM,
    DV_RED_MAX,
    DV_RED_MIN,
    DV_RED_L2,
    DV_RED_L1,
    DV_RED_PROD,
    DV_RED_SUMSQ,
    DV_RED_COUNT
};
enum dv_coord {
    DV_COORD_HALF_PIXEL,
    DV_COORD_ASYMMETRIC,
    DV_COORD_ALIGN_CORNERS,
    DV_COORD_PYTORCH_HALF_PIXEL
};

typedef struct dv_attr {
    uint16_t key;
    uint16_t is_float;
    uint32_t n;
    union {
        int64_t *i;
        float *f;
    } v; /* owned */
} dv_attr;

#define DV_MAX_IO 64 /* inputs or outputs of one node */

typedef struct dv_node {
    uint16_t op;
    char *name; /* of the ONNX node it came from; may be NULL */
    int n_in, n_out, n_attr;
    int32_t *in; /* tensor numbers, -1 = left out */
    int32_t *out;
    dv_attr *attr;
} dv_node;

typedef struct dv_graph {
    dv_gtensor *tensors;
    size_t n_tensors, cap_tensors;
    dv_node *nodes; /* topological order */
    size_t n_nodes, cap_nodes;
    int32_t *inputs, *outputs;
    size_t n_inputs, n_outputs;
} dv_graph;

void dv_graph_init(dv_graph *g);
void dv_graph_free(dv_graph *g);

/* All of these return a number >= 0, or -1 when out of memory. */
int32_t dv_graph_add_tensor(dv_graph *g, const char *name, dv_dtype t, int rank,
                            const int64_t *dims);
/* Takes a copy of data (size from dtype, dims and pack NONE). */
int32_t dv_graph_add_const(dv_graph *g, const char *name, dv_dtype t, int rank, const int64_t *dims,
                           const void *data);
int32_t dv_graph_add_node(dv_graph *g, uint16_t op, const char *name, int n_in, const int32_t *in,
                          int n_out, const int32_t *out);
bool dv_graph_set_io(dv_graph *g, const int32_t *in, size_t n_in, const int32_t *out, size_t n_out);
void dv_node_free(dv_node *n); /* its arrays; for passes that delete nodes */

/* Attributes. set_* replace; false = out of memory. */
bool dv_node_set_ints(dv_node *n, uint16_t key, const int64_t *v, uint32_t count);
bool dv_node_set_int(dv_node *n, uint16_t key, int64_t v);
bool dv_node_set_floats(dv_node *n, uint16_t key, const float *v, uint32_t count);
bool dv_node_set_float(dv_node *n, uint16_t key, float v);
const dv_attr *dv_node_attr(const dv_node *n, uint16_t key); /* NULL if absent */
int64_t dv_node_int(const dv_node *n, uint16_t key, int64_t fallback);
float dv_node_float(const dv_node *n, uint16_t key, float fallback);
/* Copies up to cap ints; the number stored in the node, 0 if absent or not ints. */
uint32_t dv_node_ints(const dv_node *n, uint16_t key, int64_t *out, uint32_t cap);

/* A copy of a graph whose nodes come in two parts: first all that the tensor depends on, *prefix
 * nodes of which the last one makes it, then the others; each part in the order of `from`. Numbers
 * of tensors stay as they are. Constants are shared, not owned: `from` must outlive `to`, which is
 * empty after a failure. The tensor must be computed from the graph's inputs. */
dmv_status dv_graph_cut(const dv_graph *from, int32_t tensor, dv_graph *to, size_t *prefix,
                        dv_err *e);
/* Marks what a tensor depends on: tensors (n_tensors) and nodes (n_nodes, *count of which are
 * marked). true = an input of the graph is among it. */
bool dv_graph_behind(const dv_graph *g, int32_t tensor, bool *tensors, bool *nodes, size_t *count);
/* The tensor with that name; else the result of the last node with that name; "#12": of node 12.
 * -1 = none. */
int32_t dv_graph_find(const dv_graph *g, const char *name);

const char *dv_op_name(uint16_t op); /* "Conv" */
/* Bytes that a constant of this shape must have; false on overflow or a bad shape. */
size_t dv_dtype_size(dv_dtype t);
bool dv_tensor_bytes(dv_dtype t, dv_pack pack, int rank, const int64_t *dims, int64_t groups,
                     size_t *bytes);
/* Product of dims; false on a negative dim or overflow. */
bool dv_count(int rank, const int64_t *dims, size_t *count);

/* Checks everything that does not depend on input sizes: tensor numbers, order (each
 * tensor is written once, before it is read), input counts, attribute values, shapes
 * of constants against attributes. A graph from a file must pass before use. */
dmv_status dv_graph_check(const dv_graph *g, dv_err *e);

#endif
