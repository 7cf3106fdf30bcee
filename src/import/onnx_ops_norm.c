/* SPDX-License-Identifier: Apache-2.0
 *
 * Normalisations. Batch normalisation with stored statistics is a scale and a shift per
 * channel; the others become LayerNorm, L2Norm or Softmax with the Reshapes that bring
 * the right numbers into the last axis.
 */
#include <math.h>
#include <string.h>

#include "import/onnx.h"

/* The constant at input i: one axis of n values (n < 0: any). */
static const float *channel_values(dv_lower *L, size_t i, int64_t n, const char *what)
{
    const dv_gtensor *c = lw_const_in(L, i, DV_F32, what);
    if (!c) {
        lw_need(L, i);
        return NULL;
    }
    if (c->rank != 1 || c->dims[0] < 1 || (n >= 0 && c->dims[0] != n)) {
        lw_bad(L, "%s has not one value per channel", what);
        return NULL;
    }
    return c->data;
}

/* x * a + b along axis 1 of x; a, b: c values. */
static int32_t scale_channels(dv_lower *L, int32_t x, int64_t c, const float *a, const float *b)
{
    int64_t dims[DMV_MAX_RANK] = {1, c, 1, 1, 1, 1};
    int rank = lw_rank_or(L, x, 4);
    if (!lw_ok(L))
        return -1;
    if (rank < 2 || (lw_dim(L, x, 1) >= 0 && lw_dim(L, x, 1) != c)) {
        lw_bad(L, "%lld channels where %lld are stored", (long long)lw_dim(L, x, 1), (long long)c);
        return -1;
    }
    bool flat = rank == 2;
    int32_t ta = lw_add_const(L, DV_F32, flat ? 1 : rank, flat ? dims + 1 : dims, a);
    int32_t tb = lw_add_const(L, DV_F32, flat ? 1 : rank, flat ? dims + 1 : dims, b);
    return lw_binary(L, DV_BIN_ADD, lw_binary(L, DV_BIN_MUL, x, ta), tb);
}

static void lower_batch_norm(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    double eps = lw_attr_float(L, "epsilon", 1e-5f);
    if (lw_attr_int(L, "training_mode", 0))
        lw_unsupported(L, "training mode");
    if (lw_attr_int(L, "spatial", 1) == 0)
        lw_unsupported(L, "spatial = 0");
    int64_t c = lw_dim(L, lw_need(L, 1), 0);
    const float *scale = channel_values(L, 1, c, "the scale");
    const float *shift = channel_values(L, 2, c, "the shift");
    const float *mean = channel_values(L, 3, c, "the mean");
    const float *var = channel_values(L, 4, c, "the variance");
    if (!lw_ok(L))
        return;
    float *a = dv_calloc((size_t)c, sizeof *a), *b = dv_calloc((size_t)c, sizeof *b);
    if (!a || !b)
        lw_nomem(L);
    for (int64_t i = 0; lw_ok(L) && i < c; i++) {
        double s = scale[i] / sqrt(var[i] + eps);
        a[i] = (float)s;
        b[i] = (float)(shift[i] - mean[i] * s);
    }
    lw_out(L, 0, scale_channels(L, x, c, a, b));
    dv_free(a);
    dv_free(b);
}

/* Before set 13 Softmax sees a matrix: all axes from `axis` on are one. */
static int32_t softmax(dv_lower *L)
{
    bool old = L->o->opset < 13;
    int32_t x = lw_need(L, 0);
    int64_t axis = lw_attr_int(L, "axis", old ? 1 : -1);
    int rank = lw_rank(L, x);
    if (rank >= 0)
        axis = lw_axis(L, axis, rank);
    if (!old || axis == -1 || axis == rank - 1) {
        lw_begin(L, DV_OP_SOFTMAX, 1, &x);
        lw_int(L, DV_A_AXIS, axis);
        return lw_end(L);
    }
    lw_begin(L, DV_OP_FLATTEN, 1, &x);
    lw_int(L, DV_A_AXIS, axis);
    int32_t y = lw_end(L);
    lw_begin(L, DV_OP_SOFTMAX, 1, &y);
    lw_int(L, DV_A_AXIS, 1);
    return lw_reshape_like(L, lw_end(L), x);
}

static void lower_softmax(dv_lower *L)
{
    lw_out(L, 0, softmax(L));
}

static void lower_log_softmax(dv_lower *L)
{
    lw_out(L, 0, lw_act(L, DV_ACT_LOG, softmax(L), 0, 0));
}

static int32_t layer_norm(dv_lower *L, int32_t x, int32_t gamma, int32_t beta, float eps)
{
    int32_t in[3] = {x, gamma, beta};
    lw_begin(L, DV_OP_LAYER_NORM, beta >= 0 ? 3 : gamma >= 0 ? 2 : 1, in);
    lw_float(L, DV_A_EPS, eps);
    return lw_end(L);
}

static void lower_layer_norm(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    int64_t axis = lw_attr_int(L, "axis", -1);
    int rank = lw_rank(L, x);
    float eps = lw_attr_float(L, "epsilon", 1e-5f);
    if (axis != -1 && axis != rank - 1)
        lw_unsupported(L, "an axis other than the last");
    int64_t c = rank > 0 ? lw_dim(L, x, rank - 1) : -1;
    channel_values(L, 1, c, "the scale");
    int32_t gamma = lw_cast(L, lw_need(L, 1), DV_F32), beta = lw_in(L, 2);
    if (beta >= 0) {
        channel_values(L, 2, c, "the shift");
        beta = lw_cast(L, beta, DV_F32);
    }
    lw_out(L, 0, layer_norm(L, x, gamma, beta, eps));
}

/* Mean and variance over all but batch and group, then scale and shift per channel. */
static void grouped_norm(dv_lower *L, int64_t groups, float eps)
{
    int32_t x = lw_need(L, 0);
    int64_t c = lw_dim(L, x, 1);
    if (lw_ok(L) && c < 1)
        lw_unsupported(L, "an unknown number of channels");
    if (lw_ok(L) && (groups < 1 || c % groups))
        lw_bad(L, "%lld groups of %lld channels", (long long)groups, (long long)c);
    int64_t stored = lw_dim(L, lw_need(L, 1), 0);
    if (lw_ok(L) && stored != c && stored != groups)
        lw_bad(L, "%lld values to scale by for %lld channels", (long long)stored, (long long)c);
    const float *scale = channel_values(L, 1, stored, "the scale");
    const float *shift = channel_values(L, 2, stored, "the shift");
    if (!lw_ok(L))
        return;
    float *a = dv_calloc((size_t)c, sizeof *a), *b = dv_calloc((size_t)c, sizeof *b);
    if (!a || !b)
        lw_nomem(L);
    for (int64_t i = 0; lw_ok(L) && i < c; i++) {
        int64_t from = stored == c ? i : i / (c / groups);
        a[i] = scale[from];
        b[i] = shift[from];
    }
    int64_t shape[3] = {0, groups, -1};
    int32_t y = layer_norm(L, lw_reshape(L, x, 3, shape), -1, -1, eps);
    y = lw_reshape_like(L, y, x);
    lw_out(L, 0, scale_channels(L, y, c, a, b));
    dv_free(a);
    dv_free(b);
}

static void lower_instance_norm(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    grouped_norm(L, lw_dim(L, x, 1), lw_attr_float(L, "epsilon", 1e-5f));
}

static void lower_group_norm(dv_lower *L)
{
    grouped_norm(L, lw_attr_int(L, "num_groups", 0), lw_attr_float(L, "epsilon", 1e-5f));
}

static void lower_lp_norm(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    int64_t axis = lw_attr_int(L, "axis", -1), p = lw_attr_int(L, "p", 2);
    if (lw_rank(L, x) >= 0)
        axis = lw_axis(L, axis, lw_rank(L, x));
    if (p == 2) {
        lw_begin(L, DV_OP_L2_NORM, 1, &x);
        lw_int(L, DV_A_AXIS, axis);
        lw_float(L, DV_A_EPS, 1e-30f);
        lw_out(L, 0, lw_end(L));
    } else if (p == 1) {
        int32_t sum = lw_reduce(L, x, DV_RED_L1, 1, &axis, true);
        sum = lw_binary(L, DV_BIN_MAX, sum, lw_scalar(L, 1e-30f));
        lw_out(L, 0, lw_binary(L, DV_BIN_DIV, x, sum));
    } else {
        lw_bad(L, "p is %lld", (long long)p);
    }
}

const lw_op lw_ops_norm[] = {
    {"BatchNormalization", lower_batch_norm},
    {"Softmax", lower_softmax},
    {"LogSoftmax", lower_log_softmax},
    {"LayerNormalization", lower_layer_norm},
    {"InstanceNormalization", lower_instance_norm},
    {"GroupNormalization", lower_group_norm},
    {"LpNormalization", lower_lp_norm},
    {NULL, NULL},
};
