/* SPDX-License-Identifier: Apache-2.0
 *
 * QDQ nets: pairs of QuantizeLinear and DequantizeLinear round float operators.
 *
 * A tensor of 8-bit numbers is kept as the real values that it stands for (lw_info.bytes). So
 * QuantizeLinear is a rounding of values, one node with the scale and zero point of the bytes
 * (DV_IMPORT_PAIR on a Floor, which every pass moves about like an activation), and
 * DequantizeLinear only says that the bytes are read as numbers again. dv_import_pairs makes a
 * Quantize and a Dequantize of it in the end. Bytes of -128..127 become those of 0..255.
 *
 * Constants are worked out: weights become floats again, and the scales by which they can be made
 * 8-bit exactly stay with the layer (DV_IMPORT_SCALES).
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "import/onnx.h"

typedef struct params {
    const float *scale;
    size_t n;            /* scales */
    const int64_t *zero; /* n or 1 of them, or NULL */
    size_t n_zero;
    int type; /* of the bytes; 0 = not said */
} params;

/* The stored tensor behind input i, or NULL. */
static const Onnx__TensorProto *stored(dv_lower *L, size_t i)
{
    if (i >= L->o->n->n_input || !L->o->n->input[i][0])
        return NULL;
    const lw_name *from = lw_lookup(L, L->o->n->input[i]);
    const Onnx__GraphProto *g = L->o->graph;
    if (from->init >= 0)
        return g->initializer[from->init];
    if (from->node < 0 || strcmp(g->node[from->node]->op_type, "Constant") ||
        g->node[from->node]->n_attribute != 1)
        return NULL;
    return g->node[from->node]->attribute[0]->t;
}

static int type_of(const Onnx__TensorProto *t)
{
    return t && t->has_data_type ? t->data_type : 0;
}

static bool is_8bit(int type)
{
    return type == ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
}

/* Scale and zero point of the present node, both constant. */
static bool read_params(dv_lower *L, params *p)
{
    memset(p, 0, sizeof *p);
    int32_t s = lw_need(L, 1), z = lw_in(L, 2);
    if (lw_attr_int(L, "block_size", 0))
        lw_unsupported(L, "scales of blocks");
    if (lw_attr_int(L, "output_dtype", 0) && !is_8bit((int)lw_attr_int(L, "output_dtype", 0)))
        lw_unsupported(L, "other than 8 bits");
    /* constants are made first: making one moves the others */
    if (!lw_const_in(L, 1, DV_F32, "a scale") ||
        (z >= 0 && !lw_const_in(L, 2, DV_I64, "a zero point")))
        return false;
    const dv_gtensor *cs = lw_const(L, s), *cz = lw_const(L, z);
    if (!cs || cs->dtype != DV_F32 || cs->rank > 1 ||
        (cz && (cz->dtype != DV_I64 || cz->rank > 1))) {
        lw_bad(L, "scale or zero point of the wrong kind");
        return false;
    }
    p->scale = cs->data;
    p->n = cs->rank ? (size_t)cs->dims[0] : 1;
    if (cz) {
        p->zero = cz->data;
        p->n_zero = cz->rank ? (size_t)cz->dims[0] : 1;
        p->type = type_of(stored(L, 2));
        if (p->n_zero != p->n)
            lw_bad(L, "%zu scales and %zu zero points", p->n, p->n_zero);
    }
    for (size_t i = 0; lw_ok(L) && i < p->n; i++)
        if (!(p->scale[i] >= FLT_MIN && p->scale[i] <= FLT_MAX))
            lw_bad(L, "a scale of %g", (double)p->scale[i]);
    return lw_ok(L);
}

static int64_t zero_at(const params *p, size_t i)
{
    return p->zero ? p->zero[i] : 0;
}

/* ---- constants ---- */

/* Position of a scale among the elements of a constant: (i / inner) % n. */
static bool along_axis(dv_lower *L, const dv_gtensor *c, const params *p, size_t *inner, int *axis)
{
    *inner = 1;
    *axis = -1;
    if (p->n == 1)
        return true;
    *axis = lw_axis(L, lw_attr_int(L, "axis", 1), c->rank);
    if (!lw_ok(L))
        return false;
    for (int i = *axis + 1; i < c->rank; i++)
        *inner *= (size_t)c->dims[i];
    if ((size_t)c->dims[*axis] != p->n)
        lw_bad(L, "%zu scales for an axis of %lld", p->n, (long long)c->dims[*axis]);
    return lw_ok(L);
}

/* Keeps the scales of a new constant whose numbers lie in -128..127. */
static void keep_scales(dv_lower *L, int32_t t, const params *p, int axis)
{
    size_t bytes;
    if (!lw_ok(L) || t < 0)
        return;
    lw_scales *s = dv_mul(p->n, sizeof(float), &bytes) && dv_add(bytes, sizeof *s, &bytes)
                       ? dv_malloc(bytes)
                       : NULL;
    if (!s) {
        lw_nomem(L);
        return;
    }
    *s = (lw_scales){.next = L->scales, .axis = axis, .n = p->n};
    memcpy(s->v, p->scale, p->n * sizeof(float));
    L->scales = s;
    L->info[t].scales = s;
}

/* Real values of a constant: of floats that are rounded first, or of integers. */
static void constant(dv_lower *L, int32_t x, const params *p, bool signed_bytes)
{
    const dv_gtensor *c = lw_const(L, x);
    size_t count, inner;
    int axis;
    if (!c || !along_axis(L, c, p, &inner, &axis) || !dv_count(c->rank, c->dims, &count))
        return;
    double lo = signed_bytes ? -128 : 0, hi = signed_bytes ? 127 : 255;
    float *v = dv_malloc((count + 1) * sizeof *v);
    if (!v) {
        lw_nomem(L);
        return;
    }
    bool small = true;
    for (size_t i = 0; i < count; i++) {
        size_t k = i / inner % p->n;
        double z = (double)zero_at(p, k), q;
        if (c->dtype == DV_F32)
            q = fmin(fmax(rint((double)(((const float *)c->data)[i] / p->scale[k])) + z, lo), hi);
        else
            q = (double)((const int64_t *)c->data)[i];
        q -= z;
        small = small && q >= -128 && q <= 127;
        v[i] = (float)(q * (double)p->scale[k]);
    }
    int64_t dims[DMV_MAX_RANK];
    memcpy(dims, c->dims, sizeof dims);
    int32_t t = lw_add_const(L, DV_F32, c->rank, dims, v);
    dv_free(v);
    if (small)
        keep_scales(L, t, p, axis);
    lw_out(L, 0, t);
}

/* ---- computed values ---- */

/* The rounding of x to bytes; kind 1: 0..255, 2: -128..127. */
static void round_to(dv_lower *L, int32_t x, float scale, float zero, int kind)
{
    float v[2] = {scale, kind == 2 ? zero + 128 : zero};
    if (lw_ok(L) && lw_type(L, x) != DV_F32)
        lw_bad(L, "integers are quantised");
    int32_t t = lw_pair(L, x, v[0], v[1]);
    if (!lw_ok(L) || t < 0)
        return;
    L->info[t].bytes = kind;
    L->info[t].scale = v[0];
    L->info[t].zero = v[1];
    lw_out(L, 0, t);
}

static void lower_quantize(dv_lower *L)
{
    params p;
    int32_t x = lw_need(L, 0);
    if (lw_poisoned(L, x) || !read_params(L, &p))
        return;
    int type = p.type ? p.type : (int)lw_attr_int(L, "output_dtype", 0);
    if (type && !is_8bit(type))
        lw_unsupported(L, "other than 8 bits");
    bool s8 = type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
    if (lw_ok(L) && lw_const(L, x) && lw_type(L, x) == DV_F32) {
        /* a constant in the bytes' place, to be read by a DequantizeLinear */
        constant(L, x, &p, s8);
        int32_t t = lw_ok(L) && lw_wanted(L, 0) ? lw_lookup(L, L->o->n->output[0])->tensor : -1;
        if (t >= 0) {
            L->info[t].bytes = s8 ? 2 : 1;
            L->info[t].scale = p.n == 1 ? p.scale[0] : -1;
        }
        return;
    }
    if (p.n != 1)
        lw_unsupported(L, "a scale a channel for what is computed");
    int64_t z = zero_at(&p, 0);
    if (lw_ok(L) && (z < (s8 ? -128 : 0) || z > (s8 ? 127 : 255)))
        lw_bad(L, "a zero point of %lld", (long long)z);
    if (lw_ok(L))
        round_to(L, x, p.scale[0], (float)z, s8 ? 2 : 1);
}

/* Scale and zero point of the range at hand: known while the net runs. */
static void lower_dynamic(dv_lower *L)
{
    int32_t x = lw_need(L, 0);
    if (!lw_poisoned(L, x))
        round_to(L, x, 0, 0, 1);
}

/* Are scale and zero point those that the DynamicQuantizeLinear behind input 0 gives? */
static bool own_params(dv_lower *L)
{
    const lw_name *from = lw_lookup(L, L->o->n->input[0]);
    const Onnx__NodeProto *q = from->node < 0 ? NULL : L->o->graph->node[from->node];
    return q && !strcmp(q->op_type, "DynamicQuantizeLinear") && q->n_output == 3 &&
           L->o->n->n_input == 3 && !strcmp(q->output[1], L->o->n->input[1]) &&
           !strcmp(q->output[2], L->o->n->input[2]);
}

static void lower_dequantize(dv_lower *L)
{
    params p;
    int32_t x = lw_need(L, 0);
    if (!lw_ok(L) || lw_poisoned(L, x))
        return;
    const lw_info in = L->info[x];
    bool dynamic = in.bytes && in.scale == 0;
    if (dynamic && !own_params(L)) {
        lw_unsupported(L, "another scale than DynamicQuantizeLinear found");
        return;
    }
    if (!dynamic && !read_params(L, &p))
        return;
    const dv_gtensor *c = lw_const(L, x);
    if (c && !in.bytes) {
        if (c->dtype != DV_I64) {
            lw_bad(L, "floats are dequantised");
            return;
        }
        constant(L, x, &p, true);
        return;
    }
    if (!in.bytes) {
        lw_bad(L, "what is dequantised was not quantised");
        return;
    }
    if (c) { /* its numbers are the real values already */
        lw_out(L, 0, lw_unmark(L, x));
        return;
    }
    if (!dynamic && p.n != 1)
        lw_unsupported(L, "a scale a channel for what is computed");
    if (!dynamic && lw_ok(L) &&
        (p.scale[0] != in.scale || (float)(zero_at(&p, 0) + (in.bytes == 2 ? 128 : 0)) != in.zero))
        lw_unsupported(L, "another scale or zero point than the bytes were made with");
    lw_out(L, 0, lw_unmark(L, x));
}

const lw_op lw_ops_quant[] = {
    {"QuantizeLinear", lower_quantize},
    {"DequantizeLinear", lower_dequantize},
    {"DynamicQuantizeLinear", lower_dynamic},
    {NULL, NULL},
};
