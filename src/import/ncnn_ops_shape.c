/* SPDX-License-Identifier: Apache-2.0
 *
 * ncnn's layers that move values about. Axis k of a blob is axis k + 1 in the graph.
 */
#include <string.h>

#include "import/ncnn.h"

#define MAX_SIZE (1 << 24)

static void lower_same(dv_lower *L)
{
    int32_t x = ncnn_in(L, 0);
    for (size_t i = 0; i < L->p->n->n_out; i++)
        ncnn_out(L, i, x);
}

static void lower_dropout(dv_lower *L)
{
    float scale = (float)ncnn_real(L, 0, 1);
    int32_t x = ncnn_in(L, 0);
    ncnn_out(L, 0, scale == 1 ? x : lw_binary(L, DV_BIN_MUL, x, lw_scalar(L, scale)));
}

static void lower_concat(dv_lower *L)
{
    int32_t in[DV_MAX_IO];
    size_t n = L->p->n->n_in;
    int64_t axis = ncnn_int(L, 0, 0);
    for (size_t i = 0; i < n; i++)
        in[i] = ncnn_in(L, i);
    if (n == 0)
        lw_bad(L, "no inputs");
    if (!lw_ok(L))
        return;
    axis = lw_axis(L, axis, lw_rank(L, in[0]) - 1) + 1;
    lw_begin(L, DV_OP_CONCAT, (int)n, in);
    lw_int(L, DV_A_AXIS, axis);
    ncnn_out(L, 0, lw_end(L));
}

/* Sizes w, h, c that are given make 1, 2 or 3 dims; -1 = what is left, 0 = as it was. */
static void lower_reshape(dv_lower *L)
{
    static const int keys[3] = {2, 1, 0};
    int64_t shape[4] = {1};
    size_t n = 1;
    int32_t x = ncnn_in(L, 0);
    bool kept = false;
    if (ncnn_int(L, 3, 0) || ncnn_int(L, 11, NCNN_AUTO) != NCNN_AUTO)
        lw_unsupported(L, "a permutation or a depth");
    for (int i = 0; i < 3; i++) {
        int64_t v = ncnn_int(L, keys[i], NCNN_AUTO);
        if (v == NCNN_AUTO && n == 1)
            continue;
        if (v < -1 || v > MAX_SIZE)
            lw_bad(L, "a size of %lld", (long long)v);
        kept = kept || v == 0;
        shape[n++] = v;
    }
    if (n == 1)
        lw_bad(L, "no sizes");
    if (kept && lw_ok(L) && lw_rank(L, x) != (int)n)
        lw_unsupported(L, "a size of 0 and another number of dims");
    ncnn_out(L, 0, lw_reshape(L, x, n, shape));
}

static void lower_flatten(dv_lower *L)
{
    static const int64_t row[2] = {1, -1};
    ncnn_out(L, 0, lw_reshape(L, ncnn_in(L, 0), 2, row));
}

/* The orders that ncnn numbers: "w h c", "h w c", ..., the innermost first. */
static void lower_permute(dv_lower *L)
{
    static const int64_t three[6][4] = {{0, 1, 2, 3}, {0, 1, 3, 2}, {0, 2, 1, 3},
                                        {0, 2, 3, 1}, {0, 3, 1, 2}, {0, 3, 2, 1}},
                         two[2][3] = {{0, 1, 2}, {0, 2, 1}};
    int32_t x = ncnn_in(L, 0);
    int64_t order = ncnn_int(L, 0, 0);
    int rank = lw_rank(L, x);
    if (lw_ok(L) && (order < 0 || order > (rank == 4 ? 5 : 1) || rank < 3))
        lw_bad(L, "order %lld of %d dims", (long long)order, rank - 1);
    if (lw_ok(L))
        ncnn_out(L, 0, lw_transpose(L, x, rank, rank == 4 ? three[order] : two[order]));
}

static int32_t cut(dv_lower *L, int32_t x, size_t n, const int64_t *axes, const int64_t *from,
                   const int64_t *to)
{
    static const int64_t one[4] = {1, 1, 1, 1};
    if (n == 0)
        return x;
    lw_begin(L, DV_OP_SLICE, 1, &x);
    lw_ints(L, DV_A_STARTS, from, n);
    lw_ints(L, DV_A_ENDS, to, n);
    lw_ints(L, DV_A_AXES, axes, n);
    lw_ints(L, DV_A_STEPS, one, n);
    return lw_end(L);
}

static bool to_size(dv_lower *L, double v, int64_t *out)
{
    /* -233 is the end */
    if (v == NCNN_AUTO)
        v = MAX_SIZE;
    *out = v >= -MAX_SIZE && v <= MAX_SIZE ? (int64_t)v : 0;
    if ((double)*out != v)
        lw_bad(L, "a place of %g", v);
    return lw_ok(L);
}

static void lower_crop(dv_lower *L)
{
    int64_t axes[4] = {1, 2, 3}, from[4] = {0}, to[4] = {0};
    const double *a, *b, *c;
    int32_t x = ncnn_in(L, 0);
    size_t n = ncnn_array(L, 9, &a), ends = ncnn_array(L, 10, &b), n_axes = ncnn_array(L, 11, &c);
    int rank = lw_rank(L, x);
    if (L->p->n->n_in != 1)
        lw_unsupported(L, "a size computed while running");
    if (lw_ok(L) && (rank < 2 || rank > 4))
        lw_unsupported(L, "%d dims", rank - 1);
    if (n) {
        if (n > 3 || ends != n || (n_axes && n_axes != n) || (int)n >= rank)
            lw_bad(L, "%zu starts, %zu ends, %zu axes", n, ends, n_axes);
        for (size_t i = 0; lw_ok(L) && i < n; i++)
            if (to_size(L, a[i], &from[i]) && to_size(L, b[i], &to[i]) && n_axes &&
                to_size(L, c[i], &axes[i]))
                axes[i] = lw_axis(L, axes[i], rank - 1) + 1;
    } else {
        n = lw_ok(L) ? (size_t)rank - 1 : 0;
        for (size_t i = 0; lw_ok(L) && i < n; i++) {
            int k = (int)(n - 1 - i); /* 0 = w, 1 = h, 2 = c */
            int64_t size = ncnn_int(L, 3 + k, 0), last = ncnn_int(L, 6 + k, 0);
            from[i] = ncnn_int(L, k, 0);
            if (size == NCNN_AUTO || size == 0)
                to[i] = last > 0 ? -last : MAX_SIZE;
            else
                to[i] = from[i] + size;
            if (from[i] < 0 || from[i] > MAX_SIZE || (size < 0 && size != NCNN_AUTO))
                lw_bad(L, "%lld values from %lld", (long long)size, (long long)from[i]);
        }
    }
    ncnn_out(L, 0, cut(L, x, n, axes, from, to));
}

static void lower_slice(dv_lower *L)
{
    int32_t x = ncnn_in(L, 0), out[DV_MAX_IO];
    int64_t axis = ncnn_int(L, 1, 0), sizes[DV_MAX_IO], sum = 0;
    const double *v = NULL;
    size_t n = ncnn_array(L, 0, &v), equal = 0;
    if (!lw_ok(L))
        return;
    if (n != L->p->n->n_out || n == 0) {
        lw_bad(L, "%zu sizes for %zu outputs", n, L->p->n->n_out);
        return;
    }
    axis = lw_axis(L, axis, lw_rank(L, x) - 1) + 1;
    int64_t whole = lw_dim(L, x, (int)axis);
    for (size_t i = 0; lw_ok(L) && i < n; i++) {
        equal += v[i] == NCNN_AUTO;
        if (v[i] == NCNN_AUTO && whole >= 0)
            sizes[i] = (whole - sum) / (int64_t)(n - i);
        else if (v[i] == NCNN_AUTO)
            sizes[i] = 0;
        else
            to_size(L, v[i], &sizes[i]);
        if (sizes[i] < 0)
            lw_bad(L, "a part of %lld values", (long long)sizes[i]);
        sum += sizes[i];
    }
    if (lw_ok(L) && equal && equal < n && whole < 0)
        lw_unsupported(L, "parts of an unknown size");
    lw_begin(L, DV_OP_SPLIT, 1, &x);
    lw_int(L, DV_A_AXIS, axis);
    if (equal < n || whole >= 0)
        lw_ints(L, DV_A_SPLIT, sizes, n);
    lw_end_many(L, (int)n, out);
    for (size_t i = 0; i < n; i++)
        ncnn_out(L, i, out[i]);
}

static void lower_padding(dv_lower *L)
{
    static const uint8_t modes[3] = {0, 2, 1}; /* constant, replicate, reflect */
    int32_t x = ncnn_in(L, 0);
    int64_t p[6] = {ncnn_int(L, 7, 0), ncnn_int(L, 0, 0), ncnn_int(L, 2, 0),
                    ncnn_int(L, 8, 0), ncnn_int(L, 1, 0), ncnn_int(L, 3, 0)};
    int64_t pads[8] = {0}, type = ncnn_int(L, 4, 0);
    int rank = lw_rank(L, x);
    if (type < 0 || type > 2)
        lw_bad(L, "padding of type %lld", (long long)type);
    if (ncnn_int(L, 6, 0))
        lw_unsupported(L, "a value a channel");
    if (lw_ok(L) && (rank < 2 || rank > 4))
        lw_unsupported(L, "%d dims", rank - 1);
    for (int i = 0; lw_ok(L) && i < 6; i++)
        if (p[i] < 0 || p[i] > LW_PAD_MAX)
            lw_bad(L, "a padding of %lld", (long long)p[i]);
    for (int i = 1; lw_ok(L) && i < rank; i++) {
        pads[i] = p[3 - rank + i];
        pads[rank + i] = p[6 - rank + i];
    }
    lw_begin(L, DV_OP_PAD, 1, &x);
    lw_ints(L, DV_A_PADS, pads, 2 * (size_t)DV_MAX(rank, 0));
    if (lw_ok(L) && type)
        lw_int(L, DV_A_MODE, modes[type]);
    if (ncnn_real(L, 5, 0) != 0)
        lw_float(L, DV_A_VALUE, (float)ncnn_real(L, 5, 0));
    ncnn_out(L, 0, lw_end(L));
}

static void lower_memory(dv_lower *L)
{
    int64_t d[3] = {ncnn_int(L, 2, 0), ncnn_int(L, 1, 0), ncnn_int(L, 0, 0)}, dims[4] = {1};
    int rank = 1;
    size_t count;
    if (ncnn_int(L, 11, 0))
        lw_unsupported(L, "a depth");
    for (int i = 0; i < 3; i++)
        if (d[i])
            dims[rank++] = d[i];
    if (rank == 1 || !dv_count(rank, dims, &count))
        lw_bad(L, "sizes %lld, %lld, %lld", (long long)d[2], (long long)d[1], (long long)d[0]);
    if (!lw_ok(L))
        return;
    float *v = ncnn_weights(L, count, ncnn_int(L, 21, 1) == 0);
    if (v)
        ncnn_out(L, 0, lw_add_const(L, DV_F32, rank, dims, v));
    dv_free(v);
}

static void lower_shuffle(dv_lower *L)
{
    int64_t group = ncnn_int(L, 0, 1);
    int32_t x = ncnn_in(L, 0);
    int64_t c = lw_dim(L, x, 1);
    if (lw_ok(L) && (group < 1 || c < 1 || c % group || ncnn_int(L, 1, 0)))
        lw_unsupported(L, "%lld groups of %lld channels", (long long)group, (long long)c);
    int32_t in = lw_nhwc(L, x);
    lw_begin(L, DV_OP_CHANNEL_SHUFFLE, 1, &in);
    lw_int(L, DV_A_GROUP, group);
    ncnn_out(L, 0, lw_nchw(L, lw_end(L)));
}

const ncnn_op ncnn_ops_shape[] = {
    {"Split", lower_same},
    {"Noop", lower_same},
    {"Dropout", lower_dropout},
    {"Concat", lower_concat},
    {"Reshape", lower_reshape},
    {"Flatten", lower_flatten},
    {"Permute", lower_permute},
    {"Crop", lower_crop},
    {"Slice", lower_slice},
    {"Padding", lower_padding},
    {"MemoryData", lower_memory},
    {"ShuffleChannel", lower_shuffle},
    {NULL, NULL},
};
