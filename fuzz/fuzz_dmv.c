/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_dmv.c - model files from anybody. The checksum would stop nearly every input, so it is made
 * right first (unless the last byte says otherwise: the check itself is to be met too). What
 * passes the parser is shaped with small inputs and run, if that takes little memory and work.
 * The input is a copy of exactly its size, so that a read of one byte too many shows.
 */
#include <string.h>

#include "nn/dmv.h"
#include "nn/exec.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIDE 16               /* of free dimensions */
#define MAX_FLOATS (1u << 24) /* of all tensors together: 64 MB */
#define MAX_WORK 3e7          /* multiplications, window taps, bytes of scratch */

static void mend(uint8_t *p, size_t size)
{
    static const uint8_t zero[32];
    if (size < 96)
        return;
    for (int i = 0; i < 8; i++)
        p[16 + i] = (uint8_t)((uint64_t)size >> (8 * i));
    dv_sha256 h;
    dv_sha256_init(&h);
    dv_sha256_update(&h, p, 64);
    dv_sha256_update(&h, zero, 32);
    dv_sha256_update(&h, p + 96, size - 96);
    dv_sha256_final(&h, p + 64);
}

/* Every tensor fits, and the windows of pools, which count no multiplications, are no dearer
 * than those of convolutions. */
static bool small_enough(const dv_exec *x)
{
    double work = 0;
    size_t floats = 0;
    for (size_t i = 0; i < x->g->n_tensors; i++)
        floats += DV_MIN(x->v[i].count, (size_t)MAX_FLOATS);
    for (size_t i = 0; i < x->g->n_nodes; i++) {
        const dv_step *s = &x->steps[i];
        int64_t k[2] = {1, 1};
        double out = 0;
        dv_node_ints(s->node, DV_A_KERNEL, k, 2);
        for (int j = 0; j < s->node->n_out; j++)
            out += (double)x->v[s->node->out[j]].count;
        work += (double)s->macs + out * (double)k[0] * (double)k[1] + (double)s->scratch;
    }
    return floats < MAX_FLOATS && work < MAX_WORK;
}

static void run(const dmv_model *m, const dv_kernels *k)
{
    int64_t dims[DV_MAX_IO][DMV_MAX_RANK];
    const int64_t *p[DV_MAX_IO];
    const dv_graph *g = &m->graph;
    size_t total = 0, n;
    dv_exec *x;
    dv_err e;
    if (dv_exec_open(g, k, NULL, &x, &e))
        return;
    for (size_t i = 0; i < g->n_inputs; i++) {
        const dv_gtensor *t = &g->tensors[g->inputs[i]];
        for (int d = 0; d < t->rank; d++)
            dims[i][d] = t->dims[d] == -1 ? SIDE : t->dims[d];
        p[i] = dims[i];
        total += dv_count(t->rank, dims[i], &n) && n < MAX_FLOATS ? n : MAX_FLOATS;
    }
    if (total < MAX_FLOATS && !dv_exec_infer(x, p, &e) && small_enough(x) &&
        !dv_exec_shape(x, p, &e)) {
        for (size_t i = 0; i < g->n_inputs; i++) {
            float *in = dv_exec_input(x, i);
            for (size_t j = 0; j < x->v[g->inputs[i]].count; j++)
                in[j] = (float)(j % 7) - 3;
        }
        dv_exec_run(x);
    }
    dv_exec_close(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = dv_alloc_aligned(size);
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    if (size && copy[size - 1] % 8 != 7) /* the padding at the end is rarely changed */
        mend(copy, size);
    dmv_model *m;
    dv_err e;
    if (!dv_dmv_parse(copy, size, "fuzz", &m, &e)) {
        static dv_kernels best, twin;
        if (!best.conv_f32) {
            dv_kernels_init(&best, dv_cpu_detect());
            dv_kernels_init(&twin, 0);
            twin.half = true;
        }
        run(m, &best);
        for (size_t i = 0; i < m->graph.n_nodes; i++)
            if (m->graph.nodes[i].op == DV_OP_TO_HALF) {
                run(m, &twin); /* halves as such, on any processor */
                break;
            }
        dmv_model_close(&m);
    }
    dv_free(copy);
    return 0;
}

/* ---- seeds: small nets that between them use every op ---- */

typedef struct maker {
    dv_graph g;
    int32_t in;
    bool bad;
} maker;

static int32_t tensor(maker *m, dv_dtype t)
{
    int32_t id = dv_graph_add_tensor(&m->g, NULL, t, 0, NULL);
    m->bad |= id < 0;
    return id;
}

static int32_t node(maker *m, uint16_t op, dv_dtype t, int n_in, const int32_t *in)
{
    int32_t out = tensor(m, t);
    m->bad |= dv_graph_add_node(&m->g, op, "n", n_in, in, 1, &out) < 0;
    return out;
}

/* Attributes go to the latest node. */
static void ints(maker *m, uint16_t key, uint32_t n, const int64_t *v)
{
    m->bad |= !m->g.n_nodes || !dv_node_set_ints(&m->g.nodes[m->g.n_nodes - 1], key, v, n);
}

static void floats(maker *m, uint16_t key, uint32_t n, const float *v)
{
    m->bad |= !m->g.n_nodes || !dv_node_set_floats(&m->g.nodes[m->g.n_nodes - 1], key, v, n);
}

static int32_t weights(maker *m, int rank, const int64_t *dims)
{
    float w[256];
    for (size_t i = 0; i < DV_COUNT(w); i++)
        w[i] = (float)(i % 11) * 0.1f - 0.5f;
    int32_t id = dv_graph_add_const(&m->g, "w", DV_F32, rank, dims, w);
    m->bad |= id < 0;
    return id;
}

static int32_t numbers(maker *m, int64_t n, const int64_t *v)
{
    int32_t id = dv_graph_add_const(&m->g, NULL, DV_I64, 1, &n, v);
    m->bad |= id < 0;
    return id;
}

#define IDS(...)                                             \
    (int)(sizeof((int32_t[]){__VA_ARGS__}) / 4), (int32_t[]) \
    {                                                        \
        __VA_ARGS__                                          \
    }
#define INTS(key, ...) \
    ints(m, key, (uint32_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__})
#define FLOATS(key, ...) \
    floats(m, key, (uint32_t)(sizeof((float[]){__VA_ARGS__}) / 4), (float[]){__VA_ARGS__})
#define SHAPE(...)  \
    (int64_t[])     \
    {               \
        __VA_ARGS__ \
    }

static int32_t conv(maker *m, int32_t x, int64_t k, int64_t ic, int64_t oc, int64_t groups,
                    int32_t slope, int32_t add)
{
    int32_t y =
        node(m, DV_OP_CONV, DV_F32,
             IDS(x, weights(m, 4, SHAPE(k, k, ic / groups, oc)), weights(m, 1, &oc), slope, add));
    INTS(DV_A_KERNEL, k, k);
    INTS(DV_A_STRIDE, 1, 1);
    INTS(DV_A_DILATION, 1, 1);
    INTS(DV_A_PADS, k / 2, k / 2, k / 2, k / 2);
    INTS(DV_A_GROUP, groups);
    INTS(DV_A_ACT, slope < 0 ? DV_ACT_HSWISH : DV_ACT_NONE);
    return y;
}

/* Convolutions of every kind, pools, a residual, a gate: x is [N, H, W, 4]. */
static int32_t picture(maker *m, int32_t x)
{
    int64_t four = 4;
    int32_t y = conv(m, x, 3, 4, 4, 1, -1, -1);
    x = conv(m, y, 3, 4, 4, 4, weights(m, 1, &four), -1);
    x = conv(m, x, 3, 4, 4, 2, -1, -1);
    x = conv(m, x, 1, 4, 4, 1, -1, y);
    y = node(m, DV_OP_MAX_POOL, DV_F32, IDS(x));
    INTS(DV_A_KERNEL, 3, 3);
    INTS(DV_A_STRIDE, 2, 2);
    INTS(DV_A_PADS, 1, 1, 1, 1);
    INTS(DV_A_CEIL, 1);
    y = node(m, DV_OP_AVG_POOL, DV_F32, IDS(y));
    INTS(DV_A_KERNEL, 2, 2);
    INTS(DV_A_COUNT_PAD, 1);
    y = node(m, DV_OP_SE, DV_F32,
             IDS(y, weights(m, 2, SHAPE(4, 2)), -1, weights(m, 2, SHAPE(2, 4)), -1));
    INTS(DV_A_MODE, 1);
    FLOATS(DV_A_SCALES, 0.2f, 0.5f);
    y = node(m, DV_OP_CONV_TRANSPOSE, DV_F32, IDS(y, weights(m, 2, SHAPE(4, 16))));
    INTS(DV_A_KERNEL, 2, 2);
    INTS(DV_A_STRIDE, 2, 2);
    INTS(DV_A_OUTPUT_PAD, 0, 0);
    return y;
}

static int32_t rearranged(maker *m, int32_t x)
{
    int32_t y = node(m, DV_OP_RESIZE, DV_F32, IDS(x));
    FLOATS(DV_A_SCALES, 2, 1.5f);
    INTS(DV_A_MODE, 1);
    INTS(DV_A_COORD, 0);
    y = node(m, DV_OP_RESIZE, DV_F32, IDS(y, numbers(m, 2, SHAPE(6, 8))));
    INTS(DV_A_NEAREST, 2);
    y = node(m, DV_OP_SPACE_TO_DEPTH, DV_F32, IDS(y));
    INTS(DV_A_BLOCK, 2);
    y = node(m, DV_OP_CHANNEL_SHUFFLE, DV_F32, IDS(y));
    INTS(DV_A_GROUP, 4);
    y = node(m, DV_OP_DEPTH_TO_SPACE, DV_F32, IDS(y));
    INTS(DV_A_BLOCK, 2);
    INTS(DV_A_DCR, 0);
    y = node(m, DV_OP_PAD, DV_F32, IDS(y));
    INTS(DV_A_PADS, 0, 1, 2, 0, 0, -1, 1, 0);
    INTS(DV_A_MODE, 1);
    y = node(m, DV_OP_SLICE, DV_F32, IDS(y));
    INTS(DV_A_STARTS, -1, 1);
    INTS(DV_A_ENDS, -4, 5);
    INTS(DV_A_AXES, 1, 2);
    INTS(DV_A_STEPS, -2, 1);
    y = node(m, DV_OP_GATHER, DV_F32, IDS(y, numbers(m, 3, SHAPE(2, 0, -1))));
    INTS(DV_A_AXIS, 3);
    int32_t two[2] = {tensor(m, DV_F32), tensor(m, DV_F32)};
    m->bad |= dv_graph_add_node(&m->g, DV_OP_SPLIT, "s", 1, &y, 2, two) < 0;
    INTS(DV_A_AXIS, 3);
    INTS(DV_A_SPLIT, 1, 2);
    y = node(m, DV_OP_CONCAT, DV_F32, IDS(two[1], two[0]));
    INTS(DV_A_AXIS, -1);
    y = node(m, DV_OP_TRANSPOSE, DV_F32, IDS(y));
    INTS(DV_A_PERM, 0, 3, 1, 2);
    return y;
}

static int32_t arithmetic(maker *m, int32_t x)
{
    int32_t y = node(m, DV_OP_BINARY, DV_F32, IDS(x, weights(m, 3, SHAPE(1, 1, 4))));
    INTS(DV_A_BINARY, DV_BIN_MUL);
    y = node(m, DV_OP_BINARY, DV_F32, IDS(weights(m, 4, SHAPE(1, 1, 1, 1)), y));
    INTS(DV_A_BINARY, DV_BIN_SUB);
    y = node(m, DV_OP_PRELU, DV_F32, IDS(y, weights(m, 1, SHAPE(4))));
    y = node(m, DV_OP_ACT, DV_F32, IDS(y));
    INTS(DV_A_ACT, DV_ACT_CLIP);
    FLOATS(DV_A_P, -1);
    FLOATS(DV_A_Q, 1);
    y = node(m, DV_OP_SOFTMAX, DV_F32, IDS(y));
    INTS(DV_A_AXIS, 1);
    y = node(m, DV_OP_LAYER_NORM, DV_F32, IDS(y, weights(m, 1, SHAPE(4)), weights(m, 1, SHAPE(4))));
    y = node(m, DV_OP_L2_NORM, DV_F32, IDS(y));
    INTS(DV_A_AXIS, -1);
    FLOATS(DV_A_EPS, 1e-6f);
    int32_t r = node(m, DV_OP_REDUCE, DV_F32, IDS(y));
    INTS(DV_A_REDUCE, DV_RED_MEAN);
    INTS(DV_A_AXES, 1, 2);
    INTS(DV_A_KEEPDIMS, 1);
    y = node(m, DV_OP_BINARY, DV_F32, IDS(y, r));
    INTS(DV_A_BINARY, DV_BIN_DIV);
    return y;
}

/* Shapes that follow from free sizes, then products of matrices. */
static int32_t shapes(maker *m, int32_t x)
{
    int32_t s = node(m, DV_OP_SHAPE, DV_I64, IDS(x));
    s = node(m, DV_OP_GATHER, DV_I64, IDS(s, numbers(m, 2, SHAPE(0, 1))));
    s = node(m, DV_OP_BINARY, DV_I64, IDS(s, numbers(m, 1, SHAPE(1))));
    INTS(DV_A_BINARY, DV_BIN_MUL);
    s = node(m, DV_OP_CONCAT, DV_I64, IDS(s, numbers(m, 1, SHAPE(-1))));
    int32_t y = node(m, DV_OP_RESHAPE, DV_F32, IDS(x, s));
    int32_t t = node(m, DV_OP_MATMUL, DV_F32, IDS(y, y));
    INTS(DV_A_TRANS_B, 1);
    FLOATS(DV_A_ALPHA, 0.5f);
    y = node(m, DV_OP_MATMUL, DV_F32, IDS(t, y));
    y = node(m, DV_OP_RESHAPE, DV_F32, IDS(y));
    INTS(DV_A_SHAPE, 0, 0, -1, 4);
    y = node(m, DV_OP_LINEAR, DV_F32, IDS(y, weights(m, 2, SHAPE(4, 5)), weights(m, 1, SHAPE(5))));
    y = node(m, DV_OP_UNSQUEEZE, DV_F32, IDS(y));
    INTS(DV_A_AXES, 0);
    y = node(m, DV_OP_SQUEEZE, DV_F32, IDS(y));
    INTS(DV_A_AXES, 0);
    y = node(m, DV_OP_IDENTITY, DV_F32, IDS(y));
    y = node(m, DV_OP_CAST, DV_F32, IDS(y));
    INTS(DV_A_TO, DV_F32);
    y = node(m, DV_OP_FLATTEN, DV_F32, IDS(y));
    INTS(DV_A_AXIS, 2);
    y = node(m, DV_OP_UNSQUEEZE, DV_F32, IDS(y, numbers(m, 1, SHAPE(0))));
    return node(m, DV_OP_EXPAND, DV_F32, IDS(y, numbers(m, 3, SHAPE(2, 1, 1))));
}

/* A DV_U8 tensor, the result of the latest kind of node. */
static int32_t bytes(maker *m, uint16_t op, int n_in, const int32_t *in, float scale, float zero)
{
    int32_t y = node(m, op, DV_U8, n_in, in);
    if (y >= 0) {
        m->g.tensors[y].scale = scale;
        m->g.tensors[y].zero = zero;
    }
    return y;
}

static int32_t packed(maker *m, dv_pack pack, int rank, const int64_t *dims)
{
    size_t n;
    int32_t id = dv_graph_add_tensor(&m->g, "q", DV_S8, rank, dims);
    m->bad |= id < 0 || !dv_tensor_bytes(DV_S8, pack, rank, dims, 1, &n);
    if (m->bad)
        return -1;
    int8_t *w = dv_alloc_aligned(n);
    m->bad |= !w;
    for (size_t i = 0; w && i < n; i++)
        w[i] = (int8_t)(i * 37 % 255) - 127;
    m->g.tensors[id].pack = pack;
    m->g.tensors[id].data = w;
    m->g.tensors[id].size = n;
    m->g.tensors[id].owned = true;
    return id;
}

static int32_t ones(maker *m, int64_t n)
{
    float v[16];
    for (size_t i = 0; i < DV_COUNT(v); i++)
        v[i] = 0.01f;
    int32_t id = dv_graph_add_const(&m->g, NULL, DV_F32, 1, &n, v);
    m->bad |= id < 0;
    return id;
}

static int32_t q_conv(maker *m, int32_t x, int64_t k, int64_t oc, int64_t groups, int32_t add)
{
    bool dw = groups > 1;
    int64_t dims[4] = {k, k, dw ? 1 : 4, oc};
    int32_t y = bytes(m, DV_OP_Q_CONV,
                      IDS(x, packed(m, dw ? DV_PACK_QDW : DV_PACK_QPANEL, 4, dims), ones(m, oc),
                          weights(m, 1, &oc), dw ? weights(m, 1, &oc) : -1, add),
                      0.05f, 7);
    INTS(DV_A_KERNEL, k, k);
    INTS(DV_A_PADS, k / 2, k / 2, k / 2, k / 2);
    INTS(DV_A_GROUP, groups);
    return y;
}

static int32_t eight_bits(maker *m, int32_t x)
{
    int32_t y = bytes(m, DV_OP_QUANTIZE, IDS(x), 0.1f, 127.5f);
    y = q_conv(m, y, 3, 4, 1, -1);
    int32_t z = q_conv(m, y, 3, 4, 4, -1);
    z = q_conv(m, z, 1, 4, 1, y);
    INTS(DV_A_ACT, DV_ACT_SWISH);
    FLOATS(DV_A_PRE, 0.02f, 100);
    z = bytes(m, DV_OP_Q_BINARY, IDS(z, y), 0.05f, 7);
    INTS(DV_A_BINARY, DV_BIN_MUL);
    INTS(DV_A_ACT, DV_ACT_CLIP);
    FLOATS(DV_A_P, 0);
    FLOATS(DV_A_Q, 6);
    z = bytes(m, DV_OP_Q_SE, IDS(z, weights(m, 2, SHAPE(4, 2)), -1, weights(m, 2, SHAPE(2, 4)), -1),
              0.05f, 7);
    z = bytes(m, DV_OP_CONCAT, IDS(z, y), 0.05f, 7);
    INTS(DV_A_AXIS, 2);
    z = bytes(m, DV_OP_MAX_POOL, IDS(z), 0.05f, 7);
    INTS(DV_A_KERNEL, 2, 2);
    z = bytes(m, DV_OP_Q_ACT, IDS(z), 0.03f, 0);
    INTS(DV_A_ACT, DV_ACT_HSWISH);
    int32_t f = node(m, DV_OP_DEQUANTIZE, DV_F32, IDS(z));
    z = bytes(m, DV_OP_QUANTIZE, IDS(f), 0, 0); /* scale found at run */
    return node(
        m, DV_OP_Q_LINEAR, DV_F32,
        IDS(z, packed(m, DV_PACK_QPANEL, 2, SHAPE(4, 5)), ones(m, 5), -1, weights(m, 1, SHAPE(5))));
}

static int32_t halves(maker *m, dv_pack pack, int rank, const int64_t *dims)
{
    size_t n;
    int32_t id = dv_graph_add_tensor(&m->g, "h", DV_F16, rank, dims);
    m->bad |= id < 0 || !dv_tensor_bytes(DV_F16, pack, rank, dims, 1, &n);
    if (m->bad)
        return -1;
    uint16_t *w = dv_alloc_aligned(n);
    m->bad |= !w;
    for (size_t i = 0; w && i < n / sizeof *w; i++)
        w[i] = (uint16_t)(0x3000 + (i * 977 % 0x800) + (i % 2 ? 0x8000 : 0));
    m->g.tensors[id].pack = pack;
    m->g.tensors[id].data = w;
    m->g.tensors[id].size = n;
    m->g.tensors[id].owned = true;
    return id;
}

static int32_t h_conv(maker *m, int32_t x, int64_t k, int64_t groups, int32_t add)
{
    int64_t four = 4, dims[4] = {k, k, groups > 1 ? 1 : 4, 4};
    int32_t y = node(m, DV_OP_H_CONV, DV_F16,
                     IDS(x, halves(m, groups > 1 ? DV_PACK_HDW : DV_PACK_HPANEL, 4, dims),
                         halves(m, DV_PACK_HVEC, 1, &four),
                         groups > 1 ? halves(m, DV_PACK_HVEC, 1, &four) : -1, add));
    INTS(DV_A_KERNEL, k, k);
    INTS(DV_A_PADS, k / 2, k / 2, k / 2, k / 2);
    INTS(DV_A_GROUP, groups);
    return y;
}

static int32_t half_precision(maker *m, int32_t x)
{
    int32_t y = node(m, DV_OP_TO_HALF, DV_F16, IDS(x));
    y = h_conv(m, y, 3, 1, -1);
    INTS(DV_A_STRIDE, 2, 2);
    INTS(DV_A_ACT, DV_ACT_CLIP);
    FLOATS(DV_A_P, 0);
    FLOATS(DV_A_Q, 6);
    int32_t z = h_conv(m, y, 3, 4, -1);
    z = h_conv(m, z, 1, 1, y);
    z = node(m, DV_OP_FROM_HALF, DV_F32, IDS(z));
    z = node(m, DV_OP_TO_HALF, DV_F16, IDS(z));
    return node(
        m, DV_OP_H_LINEAR, DV_F32,
        IDS(z, halves(m, DV_PACK_HPANEL, 2, SHAPE(4, 6)), halves(m, DV_PACK_HVEC, 1, SHAPE(6))));
}

bool dv_fuzz_seed(unsigned i, dv_buf *b)
{
    static int32_t (*const build[])(maker *, int32_t) = {picture, rearranged, arithmetic,
                                                         shapes,  eight_bits, half_precision};
    if (i >= DV_COUNT(build))
        return false;
    maker m = {0};
    dv_graph_init(&m.g);
    m.in = dv_graph_add_tensor(&m.g, "x", DV_F32, 4, SHAPE(1, -1, -1, 4));
    int32_t out = m.in < 0 ? -1 : build[i](&m, m.in);
    dv_meta meta = {0};
    dv_err e;
    uint8_t *data = NULL;
    size_t size = 0;
    bool ok = out >= 0 && !m.bad && dv_graph_set_io(&m.g, &m.in, 1, &out, 1) &&
              dv_meta_set_text(&meta, "kind", "embedder") && dv_meta_set_int(&meta, "dim", 5) &&
              dv_meta_set_floats(&meta, "mean", (float[]){127.5f}, 1) &&
              !dv_dmv_encode(&m.g, &meta, &data, &size, &e);
    if (ok)
        dv_buf_put(b, data, size);
    dv_free(data);
    dv_meta_free(&meta);
    dv_graph_free(&m.g);
    return ok;
}
