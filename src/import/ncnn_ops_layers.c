/* SPDX-License-Identifier: Apache-2.0
 *
 * ncnn's layers that compute: convolutions, full layers, norms, pools, activations, arithmetic.
 * Parameter numbers are those of ncnn's operators.md.
 */
#include <math.h>
#include <string.h>

#include "import/ncnn.h"

#define MAX_CHANNELS 1000000

/* A size that must be there, 1..MAX_CHANNELS. */
static int64_t count_of(dv_lower *L, int key)
{
    int64_t n = ncnn_int(L, key, 0);
    if (n < 1 || n > MAX_CHANNELS)
        lw_bad(L, "parameter %d is %lld", key, (long long)n);
    return n;
}

static void no_int8(dv_lower *L, int key)
{
    if (ncnn_int(L, key, 0))
        lw_unsupported(L, "8-bit weights");
}

/* [a][b][taps] to [taps][b][a]. */
static int32_t turned(dv_lower *L, const float *in, int64_t a, int64_t b, const int64_t *k)
{
    int64_t dims[4] = {k[0], k[1], b, a};
    size_t count, taps = (size_t)(k[0] * k[1]);
    if (!in || !lw_ok(L) || !dv_count(4, dims, &count))
        return -1;
    float *out = dv_malloc(count * sizeof *out + 4);
    if (!out) {
        lw_nomem(L);
        return -1;
    }
    for (size_t i = 0; i < (size_t)a; i++)
        for (size_t j = 0; j < (size_t)b; j++)
            for (size_t t = 0; t < taps; t++)
                out[(t * (size_t)b + j) * (size_t)a + i] = *in++;
    int32_t t = lw_add_const(L, DV_F32, 4, dims, out);
    dv_free(out);
    return t;
}

/* Kernel 1/11, dilation 2/12, stride 3/13; value for height follows the one for width. */
static void read_kernel(dv_lower *L, lw_window *w, int dilation, int stride)
{
    int64_t k = ncnn_int(L, 1, 0), d = dilation ? ncnn_int(L, dilation, 1) : 1,
            s = ncnn_int(L, stride, 1);
    w->k[1] = k;
    w->k[0] = ncnn_int(L, 11, k);
    w->d[1] = d;
    w->d[0] = dilation ? ncnn_int(L, 10 + dilation, d) : 1;
    w->s[1] = s;
    w->s[0] = ncnn_int(L, 10 + stride, s);
    memset(w->p, 0, sizeof w->p);
    lw_check_window(L, w);
}

static void conv(dv_lower *L, int64_t group)
{
    lw_window w;
    int32_t x = ncnn_in(L, 0), in[3] = {-1, -1, -1};
    int64_t oc = count_of(L, 0), size = ncnn_int(L, 6, 0), left = ncnn_int(L, 4, 0);
    no_int8(L, 8);
    if (ncnn_int(L, 19, 0))
        lw_unsupported(L, "weights computed while running");
    read_kernel(L, &w, 2, 3);
    if (left == NCNN_AUTO || left == NCNN_AUTO - 1) {
        lw_same_pads(L, lw_dim(L, x, 2), lw_dim(L, x, 3), &w, left == NCNN_AUTO - 1);
    } else {
        w.p[1] = left;
        w.p[0] = ncnn_int(L, 14, left);
        w.p[3] = ncnn_int(L, 15, left);
        w.p[2] = ncnn_int(L, 16, w.p[0]);
        if (ncnn_real(L, 18, 0) != 0)
            lw_unsupported(L, "padding that is not 0");
    }
    lw_check_window(L, &w);
    if (!lw_ok(L))
        return;
    int64_t each = oc * w.k[0] * w.k[1], icg = size / each;
    if (group < 1 || oc % group || icg < 1 || icg > MAX_CHANNELS || icg * each != size)
        lw_bad(L, "%lld weights in %lld groups for %lld channels", (long long)size,
               (long long)group, (long long)oc);
    else if (lw_dim(L, x, 1) >= 0 && lw_dim(L, x, 1) != icg * group)
        lw_bad(L, "the picture has %lld channels, the weights want %lld",
               (long long)lw_dim(L, x, 1), (long long)(icg * group));
    float *v = ncnn_weights(L, (size_t)DV_MAX(size, 0), true);
    in[1] = turned(L, v, oc, icg, w.k);
    dv_free(v);
    if (ncnn_int(L, 5, 0))
        in[2] = ncnn_vector(L, (size_t)oc);
    in[0] = lw_nhwc(L, x);
    lw_begin(L, DV_OP_CONV, in[2] < 0 ? 2 : 3, in);
    lw_put_window(L, &w);
    if (group != 1)
        lw_int(L, DV_A_GROUP, group);
    ncnn_out(L, 0, ncnn_activation(L, lw_nchw(L, lw_end(L))));
}

static void lower_conv(dv_lower *L)
{
    conv(L, 1);
}

static void lower_depthwise(dv_lower *L)
{
    conv(L, ncnn_int(L, 7, 1));
}

static void lower_full(dv_lower *L)
{
    static const int64_t row[2] = {1, -1}, square[2] = {1, 1};
    int32_t in[3] = {ncnn_in(L, 0), -1, -1};
    int64_t n = count_of(L, 0), size = ncnn_int(L, 2, 0);
    no_int8(L, 8);
    if (lw_ok(L) && (size < 1 || size % n))
        lw_bad(L, "%lld weights for %lld values", (long long)size, (long long)n);
    if (!lw_ok(L))
        return;
    int64_t k = size / n, dims[2] = {k, n};
    int rank = lw_rank(L, in[0]);
    if (rank != 2 && (rank != 3 || lw_dim(L, in[0], 2) != k))
        in[0] = lw_reshape(L, in[0], 2, row);
    int64_t have = lw_dim(L, in[0], lw_rank(L, in[0]) - 1);
    if (have >= 0 && have != k)
        lw_bad(L, "weights for rows of %lld, there are %lld", (long long)k, (long long)have);
    float *v = ncnn_weights(L, (size_t)size, true);
    int32_t flat = turned(L, v, n, k, square);
    dv_free(v);
    in[1] = lw_reshape(L, flat, 2, dims);
    if (ncnn_int(L, 1, 0))
        in[2] = ncnn_vector(L, (size_t)n);
    lw_begin(L, DV_OP_LINEAR, in[2] < 0 ? 2 : 3, in);
    ncnn_out(L, 0, ncnn_activation(L, lw_end(L)));
}

/* A vector of n values, one a channel of x. */
static int32_t by_channel(dv_lower *L, int32_t x, int64_t n, const float *v)
{
    int64_t dims[4] = {1, n, 1, 1};
    int rank = lw_rank(L, x);
    if (lw_ok(L) && (rank < 2 || rank > 4 || (lw_dim(L, x, 1) >= 0 && lw_dim(L, x, 1) != n)))
        lw_bad(L, "%lld values for %lld channels", (long long)n, (long long)lw_dim(L, x, 1));
    return v && lw_ok(L) ? lw_add_const(L, DV_F32, rank, dims, v) : -1;
}

static void lower_batch_norm(dv_lower *L)
{
    int32_t x = ncnn_in(L, 0);
    int64_t n = count_of(L, 0);
    double eps = ncnn_real(L, 1, 0);
    float *v[4] = {NULL}; /* slope, mean, variance, bias */
    for (int i = 0; i < 4; i++)
        v[i] = ncnn_weights(L, (size_t)n, false);
    for (int64_t i = 0; lw_ok(L) && i < n; i++) {
        double a = (double)v[0][i] / sqrt((double)v[2][i] + eps);
        if (!isfinite(a))
            lw_bad(L, "a variance of %g", (double)v[2][i]);
        v[3][i] = (float)((double)v[3][i] - (double)v[1][i] * a);
        v[0][i] = (float)a;
    }
    int32_t y = lw_binary(L, DV_BIN_MUL, x, by_channel(L, x, n, v[0]));
    ncnn_out(L, 0, lw_binary(L, DV_BIN_ADD, y, by_channel(L, x, n, v[3])));
    for (int i = 0; i < 4; i++)
        dv_free(v[i]);
}

static void lower_scale(dv_lower *L)
{
    int32_t x = ncnn_in(L, 0);
    if (ncnn_int(L, 0, 0) == NCNN_AUTO)
        lw_unsupported(L, "a scale computed while running");
    int64_t n = count_of(L, 0);
    float *v = ncnn_weights(L, (size_t)n, false);
    int32_t y = lw_binary(L, DV_BIN_MUL, x, by_channel(L, x, n, v));
    dv_free(v);
    if (ncnn_int(L, 1, 0)) {
        v = ncnn_weights(L, (size_t)n, false);
        y = lw_binary(L, DV_BIN_ADD, y, by_channel(L, x, n, v));
        dv_free(v);
    }
    ncnn_out(L, 0, y);
}

static void lower_prelu(dv_lower *L)
{
    int32_t in[2] = {ncnn_in(L, 0), -1};
    int64_t n = count_of(L, 0);
    float *v = ncnn_weights(L, (size_t)n, false);
    in[1] = n == 1 && v ? lw_scalar(L, v[0]) : by_channel(L, in[0], n, v);
    dv_free(v);
    lw_begin(L, DV_OP_PRELU, 2, in);
    ncnn_out(L, 0, lw_end(L));
}

/* ---- pools and sizes ---- */

static void lower_pool(dv_lower *L)
{
    static const int64_t axes[2] = {2, 3};
    lw_window w;
    int32_t x = ncnn_in(L, 0);
    int64_t type = ncnn_int(L, 0, 0), mode = ncnn_int(L, 5, 0), left = ncnn_int(L, 3, 0);
    if (type != 0 && type != 1)
        lw_bad(L, "pooling of type %lld", (long long)type);
    if (ncnn_int(L, 7, 0))
        lw_unsupported(L, "a result of given size");
    if (lw_ok(L) && lw_rank(L, x) != 4)
        lw_unsupported(L, "%d dims", lw_rank(L, x) - 1);
    if (ncnn_int(L, 4, 0)) {
        ncnn_out(L, 0, lw_reduce(L, x, type ? DV_RED_MEAN : DV_RED_MAX, 2, axes, false));
        return;
    }
    read_kernel(L, &w, 0, 2);
    if (mode == 2 || mode == 3) {
        lw_same_pads(L, lw_dim(L, x, 2), lw_dim(L, x, 3), &w, mode == 3);
    } else {
        w.p[1] = left;
        w.p[3] = ncnn_int(L, 14, left);
        w.p[0] = ncnn_int(L, 13, left);
        w.p[2] = ncnn_int(L, 15, w.p[0]);
    }
    lw_check_window(L, &w);
    int32_t in = lw_nhwc(L, x);
    lw_begin(L, type ? DV_OP_AVG_POOL : DV_OP_MAX_POOL, 1, &in);
    lw_put_window(L, &w);
    if (mode == 0)
        lw_int(L, DV_A_CEIL, 1);
    if (type && ncnn_int(L, 6, 0))
        lw_int(L, DV_A_COUNT_PAD, 1);
    ncnn_out(L, 0, lw_nchw(L, lw_end(L)));
}

static void lower_interp(dv_lower *L)
{
    int32_t x = ncnn_in(L, 0);
    int64_t type = ncnn_int(L, 0, 0), sizes[2] = {ncnn_int(L, 3, 0), ncnn_int(L, 4, 0)};
    float scales[2] = {(float)ncnn_real(L, 1, 1), (float)ncnn_real(L, 2, 1)};
    bool corners = ncnn_int(L, 6, 0) != 0;
    if (type != 1 && type != 2)
        lw_unsupported(L, "resizing of type %lld", (long long)type);
    if (ncnn_int(L, 5, 0) || (lw_ok(L) && L->p->n->n_in > 1))
        lw_unsupported(L, "a size computed while running");
    if ((sizes[0] == 0) != (sizes[1] == 0) || sizes[0] < 0 || sizes[1] < 0 || sizes[0] > 1 << 20 ||
        sizes[1] > 1 << 20)
        lw_bad(L, "a size of %lld x %lld", (long long)sizes[1], (long long)sizes[0]);
    for (int i = 0; i < 2; i++)
        if (!(scales[i] > 0 && scales[i] <= LW_WINDOW_MAX))
            lw_bad(L, "a scale of %g", (double)scales[i]);
    int32_t in = lw_nhwc(L, x);
    lw_begin(L, DV_OP_RESIZE, 1, &in);
    lw_int(L, DV_A_MODE, type == 2);
    lw_int(L, DV_A_COORD,
           type == 1 ? DV_COORD_ASYMMETRIC
           : corners ? DV_COORD_ALIGN_CORNERS
                     : DV_COORD_HALF_PIXEL);
    if (type == 1)
        lw_int(L, DV_A_NEAREST, 2);
    if (sizes[0])
        lw_ints(L, DV_A_SIZES, sizes, 2);
    else
        lw_floats(L, DV_A_SCALES, scales, 2);
    ncnn_out(L, 0, lw_nchw(L, lw_end(L)));
}

/* ---- activations ---- */

static void lower_act(dv_lower *L)
{
    static const struct {
        const char *name;
        int act;
    } acts[] = {{"Sigmoid", DV_ACT_SIGMOID}, {"TanH", DV_ACT_TANH}, {"AbsVal", DV_ACT_ABS}};
    for (size_t i = 0; i < DV_COUNT(acts); i++)
        if (!strcmp(acts[i].name, L->p->n->type))
            ncnn_out(L, 0, lw_act(L, acts[i].act, ncnn_in(L, 0), 0, 0));
}

static void lower_relu(dv_lower *L)
{
    float slope = (float)ncnn_real(L, 0, 0);
    int32_t x = ncnn_in(L, 0);
    ncnn_out(L, 0,
             slope == 0 ? lw_act(L, DV_ACT_CLIP, x, 0, INFINITY)
                        : lw_act(L, DV_ACT_LEAKY, x, slope, 0));
}

static void lower_clip(dv_lower *L)
{
    float lo = (float)ncnn_real(L, 0, -INFINITY), hi = (float)ncnn_real(L, 1, INFINITY);
    ncnn_out(L, 0, lw_act(L, DV_ACT_CLIP, ncnn_in(L, 0), lo, hi));
}

static void lower_elu(dv_lower *L)
{
    ncnn_out(L, 0, lw_act(L, DV_ACT_ELU, ncnn_in(L, 0), (float)ncnn_real(L, 0, 0.1), 0));
}

static void lower_swish(dv_lower *L)
{
    int32_t x = ncnn_in(L, 0);
    ncnn_out(L, 0, lw_binary(L, DV_BIN_MUL, x, lw_act(L, DV_ACT_SIGMOID, x, 0, 0)));
}

static void lower_mish(dv_lower *L)
{
    int32_t x = ncnn_in(L, 0);
    int32_t y = lw_act(L, DV_ACT_TANH, lw_act(L, DV_ACT_SOFTPLUS, x, 0, 0), 0, 0);
    ncnn_out(L, 0, lw_binary(L, DV_BIN_MUL, x, y));
}

static void lower_hard(dv_lower *L)
{
    int32_t x = ncnn_in(L, 0);
    int32_t y =
        lw_act(L, DV_ACT_HSIGMOID, x, (float)ncnn_real(L, 0, 0.2), (float)ncnn_real(L, 1, 0.5));
    if (!strcmp(L->p->n->type, "HardSwish"))
        y = lw_binary(L, DV_BIN_MUL, x, y);
    ncnn_out(L, 0, y);
}

static void lower_gelu(dv_lower *L)
{
    if (ncnn_int(L, 0, 0))
        lw_unsupported(L, "the tanh approximation");
    ncnn_out(L, 0, lw_act(L, DV_ACT_GELU, ncnn_in(L, 0), 0, 0));
}

static void lower_unary(dv_lower *L)
{
    static const int8_t acts[] = {[0] = DV_ACT_ABS,  [1] = DV_ACT_NEG,    [2] = DV_ACT_FLOOR,
                                  [3] = DV_ACT_CEIL, [5] = DV_ACT_SQRT,   [7] = DV_ACT_EXP,
                                  [8] = DV_ACT_LOG,  [15] = DV_ACT_RECIP, [16] = DV_ACT_TANH};
    int32_t x = ncnn_in(L, 0);
    int64_t op = ncnn_int(L, 0, 0);
    if (op == 4)
        ncnn_out(L, 0, lw_binary(L, DV_BIN_MUL, x, x));
    else if (op == 6)
        ncnn_out(L, 0, lw_act(L, DV_ACT_RECIP, lw_act(L, DV_ACT_SQRT, x, 0, 0), 0, 0));
    else if (op < 0 || op >= (int64_t)DV_COUNT(acts) || acts[op] == DV_ACT_NONE)
        lw_unsupported(L, "operation %lld", (long long)op);
    else
        ncnn_out(L, 0, lw_act(L, acts[op], x, 0, 0));
}

/* ---- arithmetic ---- */

/* One value a channel meets a picture. */
static int32_t spread(dv_lower *L, int32_t a, int32_t b)
{
    static const int64_t shape[4] = {1, -1, 1, 1};
    int ra = lw_rank(L, a), rb = lw_rank(L, b);
    if (!lw_ok(L) || ra >= rb)
        return a;
    if (ra != 2 || rb != 4 || (lw_dim(L, a, 1) != lw_dim(L, b, 1) && lw_dim(L, a, 1) != 1))
        lw_unsupported(L, "operands of %d and %d dims", ra - 1, rb - 1);
    return lw_reshape(L, a, 4, shape);
}

static void lower_binary(dv_lower *L)
{
    static const int8_t ops[] = {DV_BIN_ADD, DV_BIN_SUB, DV_BIN_MUL, DV_BIN_DIV, DV_BIN_MAX,
                                 DV_BIN_MIN, DV_BIN_POW, DV_BIN_SUB, DV_BIN_DIV};
    int64_t op = ncnn_int(L, 0, 0);
    int32_t a = ncnn_in(L, 0);
    int32_t b = ncnn_int(L, 1, 0) ? lw_scalar(L, (float)ncnn_real(L, 2, 0)) : ncnn_in(L, 1);
    if (op < 0 || op >= (int64_t)DV_COUNT(ops)) {
        lw_unsupported(L, "operation %lld", (long long)op);
        return;
    }
    if (!ncnn_int(L, 1, 0)) {
        a = spread(L, a, b);
        b = spread(L, b, a);
    }
    ncnn_out(L, 0, op < 7 ? lw_binary(L, ops[op], a, b) : lw_binary(L, ops[op], b, a));
}

static void lower_eltwise(dv_lower *L)
{
    const double *c = NULL;
    int64_t op = ncnn_int(L, 0, 0);
    size_t n = L->p->n->n_in, n_c = ncnn_array(L, 1, &c);
    int32_t y = -1;
    if (op < 0 || op > 2)
        lw_bad(L, "operation %lld", (long long)op);
    if (n_c && (n_c != n || op != 1))
        lw_bad(L, "%zu factors for %zu inputs", n_c, n);
    for (size_t i = 0; lw_ok(L) && i < n; i++) {
        int32_t x = ncnn_in(L, i);
        if (n_c && c[i] != 1)
            x = lw_binary(L, DV_BIN_MUL, x, lw_scalar(L, (float)c[i]));
        y = i == 0 ? x
                   : lw_binary(L,
                               op == 0   ? DV_BIN_MUL
                               : op == 1 ? DV_BIN_ADD
                                         : DV_BIN_MAX,
                               y, x);
    }
    if (n == 0)
        lw_bad(L, "no inputs");
    ncnn_out(L, 0, y);
}

static void lower_softmax(dv_lower *L)
{
    int32_t x = ncnn_in(L, 0);
    int64_t axis = ncnn_int(L, 0, 0);
    if (!lw_ok(L))
        return;
    axis = lw_axis(L, axis, lw_rank(L, x) - 1) + 1;
    lw_begin(L, DV_OP_SOFTMAX, 1, &x);
    lw_int(L, DV_A_AXIS, axis);
    ncnn_out(L, 0, lw_end(L));
}

const ncnn_op ncnn_ops_layers[] = {
    {"Convolution", lower_conv},  {"ConvolutionDepthWise", lower_depthwise},
    {"InnerProduct", lower_full}, {"BatchNorm", lower_batch_norm},
    {"Scale", lower_scale},       {"Pooling", lower_pool},
    {"Interp", lower_interp},     {"ReLU", lower_relu},
    {"PReLU", lower_prelu},       {"Clip", lower_clip},
    {"Sigmoid", lower_act},       {"TanH", lower_act},
    {"AbsVal", lower_act},        {"ELU", lower_elu},
    {"GELU", lower_gelu},         {"Swish", lower_swish},
    {"Mish", lower_mish},         {"HardSigmoid", lower_hard},
    {"HardSwish", lower_hard},    {"UnaryOp", lower_unary},
    {"BinaryOp", lower_binary},   {"Eltwise", lower_eltwise},
    {"Softmax", lower_softmax},   {NULL, NULL},
};
