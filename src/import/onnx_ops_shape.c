/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators that move numbers about, and those that only make sense on constants
 * (comparisons, Where, Range): exporters use the latter to compute shapes.
 */
#include <string.h>

#include "import/onnx.h"

#define INT_LIMIT (((int64_t)1 << 31) - 1)

/* A view of, or the same as, another tensor: only a second name. */
static void lower_alias(dv_lower *L)
{
    lw_out(L, 0, lw_need(L, 0));
}

static void lower_reshape(dv_lower *L)
{
    int32_t x = lw_need(L, 0), shape = lw_need(L, 1);
    const dv_gtensor *c = lw_const(L, shape);
    if (lw_ok(L) && lw_type(L, shape) != DV_I64 && !lw_poisoned(L, shape))
        lw_bad(L, "the shape is not made of integers");
    if (c) {
        int64_t v[DMV_MAX_RANK];
        int open = 0;
        size_t n = lw_ints_in(L, 1, "a shape", v, DMV_MAX_RANK);
        for (size_t i = 0; i < n; i++) {
            if (v[i] < -1 || v[i] > INT_LIMIT || (open += v[i] == -1) > 1)
                lw_bad(L, "dim %zu of the shape is %lld", i, (long long)v[i]);
            if (v[i] == 0 && lw_attr_int(L, "allowzero", 0))
                lw_unsupported(L, "empty tensors");
        }
        lw_out(L, 0, lw_reshape(L, x, n, v));
    } else {
        int32_t in[2] = {x, shape};
        lw_begin(L, DV_OP_RESHAPE, 2, in);
        lw_out(L, 0, lw_end(L));
    }
}

static void lower_flatten(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    int64_t axis = lw_attr_int(L, "axis", 1);
    int rank = lw_rank(L, x);
    if (axis < 0 && rank >= 0)
        axis += rank;
    if (lw_ok(L) && rank >= 0 && (axis < 0 || axis > rank))
        lw_bad(L, "axis %lld of a tensor with %d dims", (long long)axis, rank);
    lw_begin(L, DV_OP_FLATTEN, 1, &x);
    lw_int(L, DV_A_AXIS, axis);
    lw_out(L, 0, lw_end(L));
}

static void squeeze(dv_lower *L, uint16_t op)
{
    int32_t in[2] = {lw_need(L, 0), -1};
    int64_t axes[DMV_MAX_RANK];
    size_t n = lw_attr_ints(L, "axes", axes, DMV_MAX_RANK);
    if (n == 0) {
        in[1] = lw_in(L, 1);
        if (lw_const(L, in[1])) {
            n = lw_ints_in(L, 1, "axes", axes, DMV_MAX_RANK);
            in[1] = -1;
        }
    }
    if (lw_ok(L) && in[1] >= 0 && lw_type(L, in[1]) != DV_I64 && !lw_poisoned(L, in[1]))
        lw_bad(L, "axes are not integers");
    if (op == DV_OP_UNSQUEEZE && n == 0 && in[1] < 0)
        lw_bad(L, "no axes");
    int full = lw_rank(L, in[0]) + (op == DV_OP_UNSQUEEZE ? (int)n : 0);
    for (size_t i = 0; i < n && lw_rank(L, in[0]) >= 0; i++)
        lw_axis(L, axes[i], full);
    lw_begin(L, op, in[1] < 0 ? 1 : 2, in);
    if (n)
        lw_ints(L, DV_A_AXES, axes, n);
    lw_out(L, 0, lw_end(L));
}

static void lower_squeeze(dv_lower *L)
{
    squeeze(L, DV_OP_SQUEEZE);
}

static void lower_unsqueeze(dv_lower *L)
{
    squeeze(L, DV_OP_UNSQUEEZE);
}

static void lower_transpose(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    int64_t perm[DMV_MAX_RANK];
    unsigned seen = 0;
    int rank = lw_rank(L, x);
    size_t n = lw_attr_ints(L, "perm", perm, DMV_MAX_RANK);
    if (n == 0 && rank < 0)
        lw_unsupported(L, "an unknown number of dims");
    if (n == 0)
        for (; lw_ok(L) && n < (size_t)rank; n++)
            perm[n] = rank - 1 - (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        if (perm[i] < 0 || perm[i] >= (int64_t)n || (rank >= 0 && (size_t)rank != n) ||
            seen & 1u << perm[i]) {
            lw_bad(L, "perm is no order of the %d dims", rank);
            return;
        }
        seen |= 1u << perm[i];
    }
    if (n <= 1)
        lower_alias(L);
    else
        lw_out(L, 0, lw_transpose(L, x, (int)n, perm));
}

static int32_t concat(dv_lower *L, size_t n, const int32_t *in, int64_t axis)
{
    if (n == 1)
        return in[0];
    lw_begin(L, DV_OP_CONCAT, (int)n, in);
    lw_int(L, DV_A_AXIS, axis);
    return lw_end(L);
}

/* A node has at most DV_MAX_IO inputs: longer lists are joined part by part. */
static void lower_concat(dv_lower *L)
{
    int32_t in[DV_MAX_IO];
    int64_t axis = lw_attr_int(L, "axis", 1);
    size_t n = 0;
    dv_dtype type = 0;
    for (size_t i = 0; lw_ok(L) && i < L->o->n->n_input; i++) {
        int32_t t = lw_in(L, i);
        if (t < 0)
            continue; /* an empty constant adds nothing */
        if (type == 0)
            type = lw_type(L, t);
        if (lw_type(L, t) != type && !lw_poisoned(L, t))
            lw_bad(L, "numbers and integers side by side");
        if (lw_rank(L, t) >= 0)
            lw_axis(L, axis, lw_rank(L, t));
        if (n == DV_MAX_IO) {
            in[0] = concat(L, n, in, axis);
            n = 1;
        }
        in[n++] = t;
    }
    if (lw_ok(L) && n == 0)
        lw_bad(L, "no inputs");
    if (lw_ok(L))
        lw_out(L, 0, concat(L, n, in, axis));
}

static void lower_split(dv_lower *L)
{
    int32_t x = lw_need(L, 0), out[DV_MAX_IO];
    int64_t axis = lw_attr_int(L, "axis", 0), sizes[DV_MAX_IO], sum = 0;
    size_t n_out = L->o->n->n_output;
    if (n_out < 1 || n_out > DV_MAX_IO) {
        lw_unsupported(L, "%zu outputs", n_out);
        return;
    }
    if (lw_rank(L, x) >= 0)
        axis = lw_axis(L, axis, lw_rank(L, x));
    int64_t dim = axis < 0 ? -1 : lw_dim(L, x, (int)DV_MIN(axis, DMV_MAX_RANK));
    size_t n = lw_attr_ints(L, "split", sizes, DV_MAX_IO);
    if (n == 0)
        n = lw_ints_in(L, 1, "split sizes", sizes, DV_MAX_IO);
    if (n == 0 && dim >= 0 && dim % (int64_t)n_out) {
        /* Set 18: all equal but the last. */
        int64_t each = (dim + (int64_t)n_out - 1) / (int64_t)n_out;
        for (; n < n_out; n++)
            sizes[n] = n + 1 < n_out ? each : dim - each * (int64_t)n;
    }
    for (size_t i = 0; i < n; i++) {
        if (sizes[i] < 1 || sizes[i] > INT_LIMIT)
            lw_bad(L, "a part of %lld", (long long)sizes[i]);
        else
            sum += sizes[i];
    }
    if (n && (n != n_out || (dim >= 0 && sum != dim)))
        lw_bad(L, "%zu outputs from %zu sizes that sum up to %lld of %lld", n_out, n,
               (long long)sum, (long long)dim);
    if (n_out == 1) {
        lower_alias(L);
        return;
    }
    lw_begin(L, DV_OP_SPLIT, 1, &x);
    lw_int(L, DV_A_AXIS, axis);
    if (n)
        lw_ints(L, DV_A_SPLIT, sizes, n);
    lw_end_many(L, (int)n_out, out);
    for (size_t i = 0; i < n_out; i++)
        lw_out(L, i, out[i]);
}

/* ---- Slice ---- */

static int32_t slice(dv_lower *L, int32_t x, size_t n, const int64_t *starts, const int64_t *ends,
                     const int64_t *axes, const int64_t *steps)
{
    lw_begin(L, DV_OP_SLICE, 1, &x);
    lw_ints(L, DV_A_STARTS, starts, n);
    lw_ints(L, DV_A_ENDS, ends, n);
    lw_ints(L, DV_A_AXES, axes, n);
    lw_ints(L, DV_A_STEPS, steps, n);
    return lw_end(L);
}

static void lower_slice(dv_lower *L)
{
    int64_t v[4][DMV_MAX_RANK]; /* starts, ends, axes, steps */
    size_t n[4] = {0};
    static const char *const names[4] = {"starts", "ends", "axes", "steps"};
    int32_t in[5] = {lw_need(L, 0), -1, -1, -1, -1};
    bool computed = false;
    for (size_t i = 0; i < 4; i++) {
        n[i] = lw_attr_ints(L, names[i], v[i], DMV_MAX_RANK);
        in[1 + i] = L->o->opset < 10 ? -1 : lw_in(L, i + 1);
        if (in[1 + i] < 0)
            continue;
        if (lw_ok(L) && lw_type(L, in[1 + i]) != DV_I64 && !lw_poisoned(L, in[1 + i]))
            lw_bad(L, "%s are not integers", names[i]);
        if (lw_const(L, in[1 + i]))
            n[i] = lw_ints_in(L, i + 1, names[i], v[i], DMV_MAX_RANK);
        else
            computed = true;
    }
    if (computed) {
        lw_begin(L, DV_OP_SLICE, in[4] >= 0 ? 5 : in[3] >= 0 ? 4 : 3, in);
        lw_out(L, 0, lw_end(L));
        return;
    }
    if (lw_ok(L) && (n[0] == 0 || n[1] != n[0] || (n[2] && n[2] != n[0]) || (n[3] && n[3] != n[0])))
        lw_bad(L, "%zu starts, %zu ends, %zu axes, %zu steps", n[0], n[1], n[2], n[3]);
    for (size_t i = 0; lw_ok(L) && i < n[0]; i++) {
        if (!n[2])
            v[2][i] = (int64_t)i;
        if (!n[3])
            v[3][i] = 1;
        if (v[3][i] == 0 || v[3][i] > INT_LIMIT || v[3][i] < -INT_LIMIT)
            lw_bad(L, "a step of %lld", (long long)v[3][i]);
        if (lw_rank(L, in[0]) >= 0)
            v[2][i] = lw_axis(L, v[2][i], lw_rank(L, in[0]));
        for (size_t j = 0; j < i; j++)
            if (v[2][j] == v[2][i])
                lw_bad(L, "axis %lld twice", (long long)v[2][i]);
    }
    if (lw_ok(L))
        lw_out(L, 0, slice(L, in[0], n[0], v[0], v[1], v[2], v[3]));
}

static void lower_gather(dv_lower *L)
{
    int32_t in[2] = {lw_need(L, 0), lw_need(L, 1)};
    int64_t axis = lw_attr_int(L, "axis", 0);
    if (lw_ok(L) && lw_type(L, in[1]) != DV_I64 && !lw_poisoned(L, in[1]))
        lw_bad(L, "indices are not integers");
    if (lw_rank(L, in[0]) >= 0)
        axis = lw_axis(L, axis, lw_rank(L, in[0]));
    lw_begin(L, DV_OP_GATHER, 2, in);
    lw_int(L, DV_A_AXIS, axis);
    lw_out(L, 0, lw_end(L));
}

static void lower_expand(dv_lower *L)
{
    int32_t in[2] = {lw_need(L, 0), lw_need(L, 1)};
    if (lw_ok(L) && lw_type(L, in[1]) != DV_I64 && !lw_poisoned(L, in[1]))
        lw_bad(L, "the shape is not made of integers");
    const dv_gtensor *c = lw_const(L, in[1]);
    for (int64_t i = 0; c && i < (c->rank == 1 ? c->dims[0] : 0); i++)
        if (((const int64_t *)c->data)[i] < 1 || ((const int64_t *)c->data)[i] > INT_LIMIT ||
            i >= DMV_MAX_RANK) {
            lw_bad(L, "dim %lld of the shape is %lld", (long long)i,
                   (long long)((const int64_t *)c->data)[i]);
            return;
        }
    lw_begin(L, DV_OP_EXPAND, 2, in);
    lw_out(L, 0, lw_end(L));
}

/* Copies side by side. */
static void lower_tile(dv_lower *L)
{
    int32_t x = lw_need(L, 0), in[DV_MAX_IO];
    int64_t v[DMV_MAX_RANK];
    size_t n = lw_ints_in(L, 1, "repeats", v, DMV_MAX_RANK);
    if (lw_ok(L) && lw_rank(L, x) >= 0 && n != (size_t)lw_rank(L, x))
        lw_bad(L, "%zu repeats for %d dims", n, lw_rank(L, x));
    for (size_t i = 0; lw_ok(L) && i < n; i++) {
        if (v[i] < 1 || v[i] > DV_MAX_IO)
            lw_unsupported(L, "%lld repeats", (long long)v[i]);
        for (int64_t k = 0; k < DV_MAX_IO; k++)
            in[k] = x;
        if (lw_ok(L))
            x = concat(L, (size_t)v[i], in, (int64_t)i);
    }
    lw_out(L, 0, x);
}

/* ---- Pad ---- */

static int pad_mode(dv_lower *L)
{
    static const char *const modes[] = {"constant", "reflect", "edge"};
    char buf[48];
    const char *s = lw_attr_text(L, "mode", modes[0], buf);
    for (int i = 0; i < 3; i++)
        if (!strcmp(s, modes[i]))
            return i;
    lw_unsupported(L, "mode %s", s);
    return 0;
}

/* Pads for some axes (set 18) as pads for all. */
static void spread_pads(dv_lower *L, int32_t x, int64_t *pads, size_t *n)
{
    int64_t axes[DMV_MAX_RANK], all[2 * DMV_MAX_RANK] = {0};
    int rank = lw_rank(L, x);
    size_t count = lw_ints_in(L, 3, "axes", axes, DMV_MAX_RANK);
    if (!lw_ok(L) || count == 0)
        return;
    if (rank < 0)
        lw_unsupported(L, "an unknown number of dims");
    if (*n != 2 * count)
        lw_bad(L, "%zu pads for %zu axes", *n, count);
    for (size_t i = 0; lw_ok(L) && i < count; i++) {
        int a = lw_axis(L, axes[i], rank);
        all[a] = pads[i];
        all[a + rank] = pads[count + i];
    }
    if (!lw_ok(L))
        return;
    memcpy(pads, all, sizeof all);
    *n = 2 * (size_t)rank;
}

static void lower_pad(dv_lower *L)
{
    int32_t in[2] = {lw_need(L, 0), -1};
    int64_t pads[2 * DMV_MAX_RANK];
    int mode = pad_mode(L), rank = lw_rank(L, in[0]);
    float value = lw_attr_float(L, "value", 0);
    size_t n = lw_attr_ints(L, "pads", pads, 2 * DMV_MAX_RANK);
    if (L->o->opset >= 11) {
        in[1] = lw_need(L, 1);
        if (lw_const(L, in[1])) {
            n = lw_ints_in(L, 1, "pads", pads, 2 * DMV_MAX_RANK);
            in[1] = -1;
            spread_pads(L, in[0], pads, &n);
        } else if (lw_in(L, 3) >= 0) {
            lw_unsupported(L, "pads computed while running");
        }
        const dv_gtensor *c = lw_const_in(L, 2, DV_F32, "the value");
        size_t count;
        if (c && dv_count(c->rank, c->dims, &count) && count == 1)
            value = *(const float *)c->data;
    }
    if (lw_ok(L) && in[1] < 0 && (n == 0 || n % 2 || (rank >= 0 && n != 2 * (size_t)rank)))
        lw_bad(L, "%zu pads for %d dims", n, rank);
    for (size_t i = 0; in[1] < 0 && i < n; i++)
        if (pads[i] > INT_LIMIT || pads[i] < -INT_LIMIT)
            lw_bad(L, "a padding of %lld", (long long)pads[i]);
    if (value != value)
        lw_bad(L, "the value is not a number");
    lw_begin(L, DV_OP_PAD, in[1] < 0 ? 1 : 2, in);
    if (in[1] < 0)
        lw_ints(L, DV_A_PADS, pads, n);
    lw_int(L, DV_A_MODE, mode);
    if (value != 0)
        lw_float(L, DV_A_VALUE, value);
    lw_out(L, 0, lw_end(L));
}

/* ---- types, shapes and constants ---- */

static void lower_cast(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    switch (lw_attr_int(L, "to", 0)) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        lw_out(L, 0, lw_cast(L, x, DV_F32));
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        if (!lw_poisoned(L, x))
            lw_out(L, 0, lw_cast(L, x, DV_I64));
        break;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL: {
        const dv_gtensor *c = lw_const_in(L, 0, lw_type(L, x), "a truth value");
        size_t n;
        if (!c || !dv_count(c->rank, c->dims, &n))
            return;
        int64_t *v = dv_malloc(n * sizeof *v), dims[DMV_MAX_RANK];
        if (!v) {
            lw_nomem(L);
            return;
        }
        for (size_t i = 0; i < n; i++)
            v[i] = c->dtype == DV_I64 ? ((const int64_t *)c->data)[i] != 0
                                      : ((const float *)c->data)[i] != 0;
        memcpy(dims, c->dims, sizeof dims);
        lw_out(L, 0, lw_add_const(L, DV_I64, c->rank, dims, v));
        dv_free(v);
        break;
    }
    default:
        lw_unsupported(L, "data type %lld", (long long)lw_attr_int(L, "to", 0));
    }
}

static void lower_shape(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    int64_t start = lw_attr_int(L, "start", 0), end = lw_attr_int(L, "end", INT64_MAX);
    static const int64_t zero = 0, one = 1;
    lw_begin(L, DV_OP_SHAPE, 1, &x);
    int32_t t = lw_end(L);
    if (start != 0 || end != INT64_MAX)
        t = slice(L, t, 1, &start, &end, &zero, &one);
    lw_out(L, 0, t);
}

static void lower_size(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    lw_begin(L, DV_OP_SHAPE, 1, &x);
    lw_out(L, 0, lw_reduce(L, lw_end(L), DV_RED_PROD, 0, NULL, false));
}

static void lower_constant(dv_lower *L)
{
    const Onnx__AttributeProto *a = L->o->n->n_attribute == 1 ? L->o->n->attribute[0] : NULL;
    const char *name = a && a->name ? a->name : "";
    dv_onnx_value v;
    if (!strcmp(name, "value") && a->t) {
        dmv_status st = dv_onnx_tensor(a->t, &v, L->e);
        if (st != DMV_OK) {
            dv_fail_in(L->e, "node '%s' (Constant)", L->label);
            lw_stop(L, st);
            return;
        }
        lw_out(L, 0, lw_add_const(L, v.dtype, v.rank, v.dims, v.data));
        dv_free(v.data);
    } else if (!strcmp(name, "value_float") && a->has_f) {
        lw_out(L, 0, lw_scalar(L, a->f));
    } else if (!strcmp(name, "value_int") && a->has_i) {
        lw_out(L, 0, lw_add_const(L, DV_I64, 0, NULL, &a->i));
    } else if (!strcmp(name, "value_floats")) {
        lw_out(L, 0, lw_vector(L, DV_F32, a->n_floats, a->floats));
    } else if (!strcmp(name, "value_ints")) {
        lw_out(L, 0, lw_vector(L, DV_I64, a->n_ints, a->ints));
    } else {
        lw_unsupported(L, "a value that is not a dense tensor");
    }
}

static void lower_constant_of_shape(dv_lower *L)
{
    const Onnx__AttributeProto *a = lw_attr(L, "value");
    int32_t in[2] = {-1, lw_need(L, 0)};
    if (lw_ok(L) && a && a->t) {
        dv_onnx_value v;
        dmv_status st = dv_onnx_tensor(a->t, &v, L->e);
        if (st != DMV_OK) {
            dv_fail_in(L->e, "node '%s' (ConstantOfShape)", L->label);
            lw_stop(L, st);
            return;
        }
        if (v.count == 1)
            in[0] = lw_add_const(L, v.dtype, 0, NULL, v.data);
        else
            lw_bad(L, "a value of %zu elements", v.count);
        dv_free(v.data);
    } else {
        in[0] = lw_scalar(L, 0);
    }
    lw_begin(L, DV_OP_EXPAND, 2, in);
    lw_out(L, 0, lw_end(L));
}

static void lower_range(dv_lower *L)
{
    int64_t v[3] = {0}, n;
    for (size_t i = 0; i < 3; i++) {
        int32_t t = lw_need(L, i);
        if (lw_ok(L) && lw_type(L, t) != DV_I64 && !lw_poisoned(L, t))
            lw_unsupported(L, "numbers that are not whole");
        lw_ints_in(L, i, "limits", &v[i], 1);
        if (v[i] > INT_LIMIT || v[i] < -INT_LIMIT)
            lw_bad(L, "a limit of %lld", (long long)v[i]);
    }
    if (lw_ok(L) && v[2] == 0)
        lw_bad(L, "a step of 0");
    if (!lw_ok(L))
        return;
    n = (v[1] - v[0] + v[2] + (v[2] > 0 ? -1 : 1)) / v[2];
    if (n < 1 || n > 65536) {
        lw_unsupported(L, "%lld values", (long long)n);
        return;
    }
    int64_t *out = dv_malloc((size_t)n * sizeof *out);
    if (!out) {
        lw_nomem(L);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = v[0] + i * v[2];
    lw_out(L, 0, lw_vector(L, DV_I64, (size_t)n, out));
    dv_free(out);
}

/* ---- truth values: constants only, int64 0 or 1 ---- */

/* Constant inputs 0 .. n-1 brought to their common shape: t[i]. */
static bool common_shape(dv_lower *L, size_t n, int32_t *t, size_t *count)
{
    int64_t dims[DMV_MAX_RANK];
    int rank = 0;
    for (size_t i = 0; i < n; i++) {
        t[i] = lw_need(L, i);
        const dv_gtensor *c = lw_const_in(L, i, lw_type(L, t[i]), "truth values");
        int64_t both[DMV_MAX_RANK];
        if (!c)
            return false;
        if (!lw_broadcast(rank, dims, c->rank, c->dims, &rank, both)) {
            lw_bad(L, "shapes that do not fit");
            return false;
        }
        memcpy(dims, both, sizeof dims);
    }
    if (!dv_count(rank, dims, count) || *count == 0 || *count > 65536) {
        lw_unsupported(L, "large constants");
        return false;
    }
    int32_t shape = lw_vector(L, DV_I64, (size_t)rank, dims);
    for (size_t i = 0; i < n; i++) {
        int32_t in[2] = {t[i], shape};
        lw_begin(L, DV_OP_EXPAND, 2, in);
        t[i] = lw_end(L);
        if (!lw_const(L, t[i]))
            return false;
    }
    return true;
}

static bool compare(const char *op, double a, double b)
{
    if (!strcmp(op, "Equal"))
        return a == b;
    if (!strcmp(op, "Greater"))
        return a > b;
    if (!strcmp(op, "GreaterOrEqual"))
        return a >= b;
    if (!strcmp(op, "Less"))
        return a < b;
    if (!strcmp(op, "LessOrEqual"))
        return a <= b;
    if (!strcmp(op, "And"))
        return a != 0 && b != 0;
    if (!strcmp(op, "Or"))
        return a != 0 || b != 0;
    if (!strcmp(op, "Xor"))
        return (a != 0) != (b != 0);
    return a == 0; /* Not */
}

static double number(const dv_gtensor *c, size_t i)
{
    return c->dtype == DV_I64 ? (double)((const int64_t *)c->data)[i]
                              : (double)((const float *)c->data)[i];
}

static void lower_compare(dv_lower *L)
{
    int32_t t[2];
    size_t n_in = strcmp(L->o->n->op_type, "Not") ? 2 : 1, count;
    if (!common_shape(L, n_in, t, &count))
        return;
    const dv_gtensor *a = lw_const(L, t[0]), *b = lw_const(L, t[n_in - 1]);
    int64_t *out = dv_malloc(count * sizeof *out), dims[DMV_MAX_RANK];
    if (!out) {
        lw_nomem(L);
        return;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = compare(L->o->n->op_type, number(a, i), number(b, i));
    memcpy(dims, a->dims, sizeof dims);
    lw_out(L, 0, lw_add_const(L, DV_I64, a->rank, dims, out));
    dv_free(out);
}

static void lower_where(dv_lower *L)
{
    int32_t t[3];
    size_t count;
    if (!common_shape(L, 3, t, &count))
        return;
    const dv_gtensor *c = lw_const(L, t[0]), *a = lw_const(L, t[1]), *b = lw_const(L, t[2]);
    if (c->dtype != DV_I64 || a->dtype != b->dtype) {
        lw_bad(L, "operands of different types");
        return;
    }
    size_t item = a->dtype == DV_I64 ? 8 : 4;
    int64_t dims[DMV_MAX_RANK];
    uint8_t *out = dv_malloc(count * item);
    if (!out) {
        lw_nomem(L);
        return;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(out + i * item,
               (const uint8_t *)(((const int64_t *)c->data)[i] ? a : b)->data + i * item, item);
    memcpy(dims, a->dims, sizeof dims);
    lw_out(L, 0, lw_add_const(L, a->dtype, a->rank, dims, out));
    dv_free(out);
}

const lw_op lw_ops_shape[] = {
    {"Identity", lower_alias},
    {"Dropout", lower_alias},
    {"Reshape", lower_reshape},
    {"Flatten", lower_flatten},
    {"Squeeze", lower_squeeze},
    {"Unsqueeze", lower_unsqueeze},
    {"Transpose", lower_transpose},
    {"Concat", lower_concat},
    {"Split", lower_split},
    {"Slice", lower_slice},
    {"Gather", lower_gather},
    {"Expand", lower_expand},
    {"Tile", lower_tile},
    {"Pad", lower_pad},
    {"Cast", lower_cast},
    {"Shape", lower_shape},
    {"Size", lower_size},
    {"Constant", lower_constant},
    {"ConstantOfShape", lower_constant_of_shape},
    {"Range", lower_range},
    {"Equal", lower_compare},
    {"Greater", lower_compare},
    {"GreaterOrEqual", lower_compare},
    {"Less", lower_compare},
    {"LessOrEqual", lower_compare},
    {"And", lower_compare},
    {"Or", lower_compare},
    {"Xor", lower_compare},
    {"Not", lower_compare},
    {"Where", lower_where},
    {NULL, NULL},
};
