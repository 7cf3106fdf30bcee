/* SPDX-License-Identifier: Apache-2.0
 *
 * The tools of the operators: reading inputs and attributes of the present ONNX node,
 * making nodes and constants of the graph. See onnx.h for how failures work.
 */
#include <stdarg.h>
#include <string.h>

#include "import/onnx.h"

/* ---- failures ---- */

void lw_unsupported(dv_lower *L, const char *fmt, ...)
{
    if (L->st != DMV_OK)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(L->reason, sizeof L->reason, fmt, ap);
    va_end(ap);
    L->st = DMV_ERR_UNSUPPORTED;
}

void lw_bad(dv_lower *L, const char *fmt, ...)
{
    if (L->st != DMV_OK)
        return;
    char text[200], op[40];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    lw_printable(L->n->op_type, op, sizeof op);
    lw_stop(L, dv_fail(L->e, DMV_ERR_FORMAT, "node '%s' (%s): %s", L->label, op, text));
}

void lw_stop(dv_lower *L, dmv_status st)
{
    L->st = st;
    L->stop = true;
}

void lw_nomem(dv_lower *L)
{
    if (L->st == DMV_OK)
        lw_stop(L, dv_nomem(L->e));
}

/* ---- what is known of tensors ---- */

bool lw_grow_info(dv_lower *L)
{
    if (L->g->n_tensors <= L->cap_info)
        return true;
    size_t cap = L->g->n_tensors * 2 + 64, bytes;
    lw_info *p = dv_mul(cap, sizeof *p, &bytes) ? dv_realloc(L->info, bytes) : NULL;
    if (!p)
        return false;
    for (size_t i = L->cap_info; i < cap; i++)
        p[i] = (lw_info){.rank = -1, .shape_of = -1};
    L->info = p;
    L->cap_info = cap;
    return true;
}

int lw_rank(const dv_lower *L, int32_t t)
{
    return t < 0 ? -1 : L->info[t].rank;
}

int lw_rank_or(const dv_lower *L, int32_t t, int assumed)
{
    int r = lw_rank(L, t);
    return r < 0 ? assumed : r;
}

int64_t lw_dim(const dv_lower *L, int32_t t, int axis)
{
    return axis >= 0 && axis < lw_rank(L, t) ? L->info[t].dims[axis] : -1;
}

dv_dtype lw_type(const dv_lower *L, int32_t t)
{
    return t < 0 ? DV_F32 : L->g->tensors[t].dtype;
}

int lw_axis(dv_lower *L, int64_t axis, int rank)
{
    if (axis < 0)
        axis += rank;
    if (axis < 0 || axis >= rank) {
        lw_bad(L, "axis %lld of a tensor with %d dims", (long long)axis, rank);
        return 0;
    }
    return (int)axis;
}

/* ---- inputs and outputs of the present node ---- */

static int32_t materialise(dv_lower *L, lw_name *from)
{
    const Onnx__TensorProto *tp = L->o->graph->initializer[from->init];
    dv_onnx_value v;
    char text[64];
    dmv_status st = dv_onnx_tensor(tp, &v, L->e);
    if (st != DMV_OK) {
        lw_printable(from->name, text, sizeof text);
        dv_fail_in(L->e, "tensor '%s'", text);
        lw_stop(L, st);
        return -1;
    }
    int32_t t = -1;
    if (v.count) {
        t = lw_add_const(L, v.dtype, v.rank, v.dims, v.data);
        from->tensor = t;
    }
    dv_free(v.data);
    return t;
}

int32_t lw_in(dv_lower *L, size_t i)
{
    if (!lw_ok(L) || i >= L->n->n_input || !L->n->input[i][0])
        return -1;
    lw_name *from = lw_lookup(L, L->n->input[i]);
    if (from->tensor < 0 && from->init >= 0)
        return materialise(L, from);
    if (from->tensor < 0)
        lw_unsupported(L, "an optional result of another node as input %zu", i);
    else if (L->g->tensors[from->tensor].data && L->g->tensors[from->tensor].size == 0)
        return -1;
    return from->tensor;
}

int32_t lw_need(dv_lower *L, size_t i)
{
    int32_t t = lw_in(L, i);
    if (t < 0 && lw_ok(L)) {
        if (i < L->n->n_input && L->n->input[i][0])
            lw_unsupported(L, "an empty input %zu", i);
        else
            lw_bad(L, "input %zu is missing", i);
    }
    return t;
}

const dv_gtensor *lw_const(dv_lower *L, int32_t t)
{
    return lw_ok(L) && t >= 0 && L->g->tensors[t].data ? &L->g->tensors[t] : NULL;
}

bool lw_poisoned(dv_lower *L, int32_t t)
{
    if (!lw_ok(L) || t < 0 || !L->info[t].poison)
        return false;
    L->st = DMV_ERR_UNSUPPORTED;
    return true;
}

const dv_gtensor *lw_const_in(dv_lower *L, size_t i, dv_dtype type, const char *what)
{
    int32_t t = lw_in(L, i);
    if (t < 0)
        return NULL;
    if (!L->g->tensors[t].data) {
        if (!lw_poisoned(L, t))
            lw_unsupported(L, "%s computed while running", what);
        return NULL;
    }
    if (L->g->tensors[t].dtype != type)
        t = lw_cast(L, t, type);
    return lw_const(L, t);
}

size_t lw_ints_in(dv_lower *L, size_t i, const char *what, int64_t *out, size_t cap)
{
    int32_t t = lw_in(L, i);
    if (t < 0)
        return 0;
    if (lw_poisoned(L, t))
        return 0;
    if (lw_type(L, t) != DV_I64) {
        lw_bad(L, "%s must be integers", what);
        return 0;
    }
    const dv_gtensor *c = lw_const_in(L, i, DV_I64, what);
    size_t n;
    if (!c || !dv_count(c->rank, c->dims, &n))
        return 0;
    if (n > cap) {
        lw_bad(L, "%zu values for %s", n, what);
        return 0;
    }
    memcpy(out, c->data, n * sizeof *out);
    return n;
}

bool lw_wanted(const dv_lower *L, size_t i)
{
    return i < L->n->n_output && L->n->output[i][0];
}

void lw_out(dv_lower *L, size_t i, int32_t t)
{
    if (!lw_ok(L) || t < 0 || !lw_wanted(L, i))
        return;
    lw_lookup(L, L->n->output[i])->tensor = t;
    if (!L->g->tensors[t].name) {
        char text[200];
        lw_printable(L->n->output[i], text, sizeof text);
        L->g->tensors[t].name = dv_strdup(text);
        if (!L->g->tensors[t].name)
            lw_nomem(L);
    }
}

/* ---- attributes ---- */

const Onnx__AttributeProto *lw_attr(const dv_lower *L, const char *name)
{
    for (size_t i = 0; i < L->n->n_attribute; i++)
        if (L->n->attribute[i]->name && !strcmp(L->n->attribute[i]->name, name))
            return L->n->attribute[i];
    return NULL;
}

int64_t lw_attr_int(dv_lower *L, const char *name, int64_t fallback)
{
    const Onnx__AttributeProto *a = lw_attr(L, name);
    if (!a)
        return fallback;
    if (!a->has_i)
        lw_bad(L, "attribute %s is not an integer", name);
    return a->i;
}

float lw_attr_float(dv_lower *L, const char *name, float fallback)
{
    const Onnx__AttributeProto *a = lw_attr(L, name);
    if (!a)
        return fallback;
    if (!a->has_f)
        lw_bad(L, "attribute %s is not a number", name);
    return a->f;
}

size_t lw_attr_ints(dv_lower *L, const char *name, int64_t *out, size_t cap)
{
    const Onnx__AttributeProto *a = lw_attr(L, name);
    if (!a || !lw_ok(L))
        return 0;
    if (a->n_ints > cap) {
        lw_bad(L, "attribute %s has %zu values", name, a->n_ints);
        return 0;
    }
    if (a->n_ints)
        memcpy(out, a->ints, a->n_ints * sizeof *out);
    return a->n_ints;
}

const char *lw_attr_text(dv_lower *L, const char *name, const char *fallback, char buf[48])
{
    const Onnx__AttributeProto *a = lw_attr(L, name);
    if (!a)
        return fallback;
    if (!a->has_s || a->s.len >= 48) {
        lw_bad(L, "attribute %s is not a known word", name);
        return fallback;
    }
    if (a->s.len)
        memcpy(buf, a->s.data, a->s.len);
    buf[a->s.len] = 0;
    for (char *p = buf; *p; p++)
        if (*p < 32 || *p == 127)
            *p = '?';
    return buf;
}

/* ---- new nodes ---- */

static int32_t new_tensor(dv_lower *L)
{
    int32_t t = dv_graph_add_tensor(L->g, NULL, DV_F32, 0, NULL);
    if (t < 0 || !lw_grow_info(L)) {
        lw_nomem(L);
        return -1;
    }
    L->info[t] = (lw_info){.rank = -1, .shape_of = -1};
    return t;
}

/* Ops that move bytes as they are. */
static bool moves_bytes(uint16_t op)
{
    switch (op) {
    case DV_OP_MAX_POOL:
    case DV_OP_CONCAT:
    case DV_OP_SPLIT:
    case DV_OP_SLICE:
    case DV_OP_GATHER:
    case DV_OP_TRANSPOSE:
    case DV_OP_RESHAPE:
    case DV_OP_FLATTEN:
    case DV_OP_SQUEEZE:
    case DV_OP_UNSQUEEZE:
    case DV_OP_EXPAND:
    case DV_OP_IDENTITY:
        return true;
    default:
        return false;
    }
}

/* 8-bit values among the inputs: the output is 8-bit as well, or the op is not for them. */
static void pass_bytes(dv_lower *L, uint16_t op, int n_in, const int32_t *in, lw_info *out)
{
    for (int i = 0; i < n_in; i++) {
        const lw_info *x = in[i] < 0 ? NULL : &L->info[in[i]];
        if (!x || !x->bytes || op == DV_OP_SHAPE)
            continue;
        if (!moves_bytes(op))
            lw_unsupported(L, "8-bit values that are not dequantised");
        if (i > 0 && op == DV_OP_CONCAT &&
            (out->bytes != x->bytes || out->scale != x->scale || out->zero != x->zero))
            lw_unsupported(L, "8-bit values of different scales");
        out->bytes = x->bytes;
        out->scale = x->scale;
        out->zero = x->zero;
    }
}

/* The node is made with one output; lw_end_many adds the others. */
void lw_begin(dv_lower *L, uint16_t op, int n_in, const int32_t *in)
{
    if (!lw_ok(L))
        return;
    lw_info bytes = {0};
    pass_bytes(L, op, n_in, in, &bytes);
    bool poison = false;
    for (int i = 0; i < n_in; i++)
        poison = poison || (in[i] >= 0 && L->info[in[i]].poison);
    int32_t out = new_tensor(L);
    if (!lw_ok(L))
        return;
    L->info[out].poison = poison;
    L->info[out].bytes = bytes.bytes;
    L->info[out].scale = bytes.scale;
    L->info[out].zero = bytes.zero;
    const char *name = L->n && L->n->name && L->n->name[0] ? L->label : NULL;
    if (dv_graph_add_node(L->g, op, name, n_in, in, 1, &out) < 0)
        lw_nomem(L);
}

static dv_node *last_node(dv_lower *L)
{
    return &L->g->nodes[L->g->n_nodes - 1];
}

void lw_int(dv_lower *L, uint16_t key, int64_t v)
{
    if (lw_ok(L) && !dv_node_set_int(last_node(L), key, v))
        lw_nomem(L);
}

void lw_ints(dv_lower *L, uint16_t key, const int64_t *v, size_t n)
{
    if (lw_ok(L) && !dv_node_set_ints(last_node(L), key, v, (uint32_t)n))
        lw_nomem(L);
}

void lw_float(dv_lower *L, uint16_t key, float v)
{
    if (lw_ok(L) && !dv_node_set_float(last_node(L), key, v))
        lw_nomem(L);
}

void lw_floats(dv_lower *L, uint16_t key, const float *v, size_t n)
{
    if (lw_ok(L) && !dv_node_set_floats(last_node(L), key, v, (uint32_t)n))
        lw_nomem(L);
}

static bool takes_ints(uint16_t op)
{
    switch (op) {
    case DV_OP_BINARY:
    case DV_OP_CONCAT:
    case DV_OP_SLICE:
    case DV_OP_GATHER:
    case DV_OP_RESHAPE:
    case DV_OP_SQUEEZE:
    case DV_OP_UNSQUEEZE:
    case DV_OP_CAST:
    case DV_OP_SHAPE:
    case DV_OP_IDENTITY:
        return true;
    default:
        return false;
    }
}

int32_t lw_end(dv_lower *L)
{
    int32_t t = -1;
    lw_end_many(L, 1, &t);
    return t;
}

void lw_end_many(dv_lower *L, int n_out, int32_t *out)
{
    for (int i = 0; i < n_out; i++)
        out[i] = -1;
    if (!lw_ok(L))
        return;
    dv_node *n = last_node(L);
    out[0] = n->out[0];
    if (n_out > 1) {
        int32_t *all = dv_calloc((size_t)n_out, sizeof *all);
        if (!all) {
            lw_nomem(L);
            return;
        }
        all[0] = out[0];
        dv_free(n->out);
        n->out = all;
        n->n_out = 1;
        for (int i = 1; i < n_out; i++) {
            out[i] = all[i] = new_tensor(L);
            if (!lw_ok(L))
                return;
            n->n_out++;
            L->info[all[i]].poison = L->info[all[0]].poison;
            L->info[all[i]].bytes = L->info[all[0]].bytes;
            L->info[all[i]].scale = L->info[all[0]].scale;
            L->info[all[i]].zero = L->info[all[0]].zero;
        }
    }
    lw_infer(L);
    if (n_out == 1 && lw_ok(L) && lw_fold(L, &out[0]))
        return;
    bool ints = false;
    for (int i = 0; i < n->n_in; i++)
        ints = ints || (i == 0 && n->in[i] >= 0 && lw_type(L, n->in[i]) == DV_I64);
    if (ints && !takes_ints(n->op))
        lw_unsupported(L, "integers computed while running");
    if (n->op == DV_OP_CAST && lw_type(L, n->in[0]) == DV_F32 && lw_type(L, out[0]) == DV_I64)
        lw_unsupported(L, "computed numbers turned into integers");
}

/* ---- constants ---- */

int32_t lw_add_const(dv_lower *L, dv_dtype type, int rank, const int64_t *dims, const void *data)
{
    size_t bytes;
    if (!lw_ok(L))
        return -1;
    if (!dv_tensor_bytes(type, DV_PACK_NONE, rank, dims, 1, &bytes) || bytes > L->budget) {
        lw_stop(L, dv_fail(L->e, DMV_ERR_LIMIT,
                           "node '%s': its constants need far more memory than the file has",
                           L->label));
        return -1;
    }
    L->budget -= bytes;
    int32_t t = dv_graph_add_const(L->g, NULL, type, rank, dims, data);
    if (t < 0 || !lw_grow_info(L)) {
        lw_nomem(L);
        return -1;
    }
    L->info[t] = (lw_info){.rank = rank, .shape_of = -1};
    if (rank)
        memcpy(L->info[t].dims, dims, (size_t)rank * sizeof *dims);
    return t;
}

int32_t lw_scalar(dv_lower *L, float v)
{
    return lw_add_const(L, DV_F32, 0, NULL, &v);
}

int32_t lw_vector(dv_lower *L, dv_dtype type, size_t n, const void *data)
{
    int64_t dim = (int64_t)n;
    return lw_add_const(L, type, 1, &dim, data);
}

/* ---- common nodes ---- */

int32_t lw_act(dv_lower *L, int act, int32_t x, float p, float q)
{
    lw_begin(L, DV_OP_ACT, 1, &x);
    lw_int(L, DV_A_ACT, act);
    if (p != 0 || q != 0) {
        lw_float(L, DV_A_P, p);
        lw_float(L, DV_A_Q, q);
    }
    return lw_end(L);
}

/* A constant that differs in type from the other operand is converted (Pow allows it). */
int32_t lw_binary(dv_lower *L, int op, int32_t a, int32_t b)
{
    if (!lw_ok(L))
        return -1;
    if (lw_type(L, a) != lw_type(L, b)) {
        if (lw_type(L, a) == DV_I64)
            a = lw_cast(L, a, DV_F32);
        else
            b = lw_cast(L, b, DV_F32);
    }
    int32_t in[2] = {a, b};
    lw_begin(L, DV_OP_BINARY, 2, in);
    lw_int(L, DV_A_BINARY, op);
    return lw_end(L);
}

int32_t lw_transpose(dv_lower *L, int32_t x, int rank, const int64_t *perm)
{
    lw_begin(L, DV_OP_TRANSPOSE, 1, &x);
    lw_ints(L, DV_A_PERM, perm, (size_t)rank);
    return lw_end(L);
}

int32_t lw_nhwc(dv_lower *L, int32_t x)
{
    static const int64_t perm[4] = {0, 2, 3, 1};
    int r = lw_rank_or(L, x, 4);
    if (r != 4) {
        lw_unsupported(L, "%d dims (pictures have 4)", r);
        return -1;
    }
    return lw_transpose(L, x, 4, perm);
}

int32_t lw_nchw(dv_lower *L, int32_t x)
{
    static const int64_t perm[4] = {0, 3, 1, 2};
    return lw_transpose(L, x, 4, perm);
}

int32_t lw_unmark(dv_lower *L, int32_t x)
{
    if (!lw_ok(L))
        return -1;
    const dv_gtensor *c = lw_const(L, x);
    if (c) { /* an Identity would be folded: a copy */
        dv_gtensor copy = *c;
        int32_t t = lw_add_const(L, copy.dtype, copy.rank, copy.dims, copy.data);
        if (t >= 0)
            L->info[t].scales = L->info[x].scales;
        return t;
    }
    lw_begin(L, DV_OP_IDENTITY, 1, &x);
    int32_t t = lw_end(L);
    if (t >= 0)
        L->info[t].bytes = 0;
    return t;
}

int32_t lw_reshape(dv_lower *L, int32_t x, size_t n, const int64_t *shape)
{
    lw_begin(L, DV_OP_RESHAPE, 1, &x);
    lw_ints(L, DV_A_SHAPE, shape, n);
    return lw_end(L);
}

int32_t lw_reshape_like(dv_lower *L, int32_t x, int32_t like)
{
    lw_begin(L, DV_OP_SHAPE, 1, &like);
    int32_t in[2] = {x, lw_end(L)};
    lw_begin(L, DV_OP_RESHAPE, 2, in);
    return lw_end(L);
}

int32_t lw_reduce(dv_lower *L, int32_t x, int kind, size_t n, const int64_t *axes, bool keep)
{
    lw_begin(L, DV_OP_REDUCE, 1, &x);
    lw_int(L, DV_A_REDUCE, kind);
    if (n)
        lw_ints(L, DV_A_AXES, axes, n);
    lw_int(L, DV_A_KEEPDIMS, keep);
    return lw_end(L);
}

int32_t lw_cast(dv_lower *L, int32_t x, dv_dtype type)
{
    if (lw_ok(L) && lw_type(L, x) == type)
        return x;
    lw_begin(L, DV_OP_CAST, 1, &x);
    lw_int(L, DV_A_TO, type);
    return lw_end(L);
}
