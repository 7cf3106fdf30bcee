/* SPDX-License-Identifier: Apache-2.0
 *
 * The workshop of all importers: making nodes and constants of the graph, keeping what is known of
 * tensors, collecting what cannot be imported. See lower.h for how failures work.
 */
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "import/lower.h"

/* ---- failures ---- */

void lw_printable(const char *s, char *out, size_t size)
{
    size_t n = 0;
    for (; s && s[n] && n + 1 < size; n++)
        out[n] = isprint((unsigned char)s[n]) && s[n] != '\'' ? s[n] : '?';
    if (s && s[n] && n >= 3)
        memcpy(out + n - 2, "..", 2);
    out[n] = 0;
}

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
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    lw_stop(L, dv_fail(L->e, DMV_ERR_FORMAT, "node '%s' (%s): %s", L->label, L->op, text));
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

bool lw_add_problem(dv_lower *L)
{
    char what[160];
    int len = snprintf(what, sizeof what, "%s", L->op);
    if (L->reason[0])
        snprintf(what + len, sizeof what - (size_t)len, " with %s", L->reason);
    for (size_t i = 0; i < L->n_problems; i++)
        if (!strcmp(L->problems[i].what, what)) {
            L->problems[i].count++;
            return true;
        }
    if (!dv_grow(&L->problems, &L->cap_problems, L->n_problems, sizeof *L->problems))
        return false;
    lw_problem *p = &L->problems[L->n_problems++];
    memcpy(p->what, what, sizeof what);
    lw_printable(L->label, p->first, sizeof p->first);
    p->count = 1;
    return true;
}

dmv_status lw_report_problems(dv_lower *L)
{
    char text[900], one[280];
    size_t nodes = 0, len = 0;
    for (size_t i = 0; i < L->n_problems; i++)
        nodes += L->problems[i].count;
    for (size_t i = 0; i < L->n_problems; i++) {
        const lw_problem *p = &L->problems[i];
        int n = p->count > 1
                    ? snprintf(one, sizeof one, "%s%s (%zu nodes, first '%s')", i ? "; " : "",
                               p->what, p->count, p->first)
                    : snprintf(one, sizeof one, "%s%s ('%s')", i ? "; " : "", p->what, p->first);
        if (len + (size_t)n + 24 > sizeof text) {
            snprintf(text + len, sizeof text - len, "; and %zu more", L->n_problems - i);
            break;
        }
        memcpy(text + len, one, (size_t)n + 1);
        len += (size_t)n;
    }
    return dv_fail(L->e, DMV_ERR_UNSUPPORTED, "%zu node%s cannot be imported: %s", nodes,
                   nodes == 1 ? "" : "s", text);
}

void lw_start(dv_lower *L, const char *op, const char *label, bool named)
{
    L->st = DMV_OK;
    L->stop = false;
    L->reason[0] = 0;
    lw_printable(op, L->op, sizeof L->op);
    lw_printable(label, L->label, sizeof L->label);
    L->named = named;
}

void lw_free(dv_lower *L)
{
    while (L->scales) {
        lw_scales *next = L->scales->next;
        dv_free(L->scales);
        L->scales = next;
    }
    dv_free(L->info);
    dv_free(L->problems);
    L->info = NULL;
    L->problems = NULL;
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
    const char *name = L->named ? L->label : NULL;
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

/* ---- inputs and outputs of the graph ---- */

int32_t lw_input(dv_lower *L, const char *name, int rank, const int64_t *dims)
{
    int32_t t = dv_graph_add_tensor(L->g, name, DV_F32, rank, dims);
    if (t < 0 || !lw_grow_info(L)) {
        lw_nomem(L);
        return -1;
    }
    L->info[t].rank = rank;
    memcpy(L->info[t].dims, dims, (size_t)rank * sizeof *dims);
    return t;
}

dmv_status lw_output(dv_lower *L, int32_t t, const char *name, int32_t *out, size_t n_out)
{
    dv_graph *g = L->g;
    char text[64];
    lw_printable(name, text, sizeof text);
    lw_start(L, "output", name, false);
    if (g->tensors[t].dtype != DV_F32)
        return dv_fail(L->e, DMV_ERR_UNSUPPORTED, "output '%s' is made of integers", text);
    if (L->info[t].bytes)
        return dv_fail(L->e, DMV_ERR_UNSUPPORTED,
                       "output '%s' is 8-bit; put a DequantizeLinear behind it", text);
    bool taken = g->tensors[t].data != NULL;
    for (size_t i = 0; i < n_out; i++)
        taken = taken || out[i] == t;
    for (size_t i = 0; i < g->n_inputs; i++)
        taken = taken || g->inputs[i] == t;
    if (taken) {
        lw_begin(L, DV_OP_IDENTITY, 1, &t);
        /* An Identity of a constant must stay a node: ended without folding. */
        lw_infer(L);
        t = L->st == DMV_OK ? g->nodes[g->n_nodes - 1].out[0] : -1;
        if (t < 0)
            return dv_nomem(L->e);
    }
    dv_gtensor *gt = &g->tensors[t];
    char *copy = dv_strdup(name);
    if (!copy)
        return dv_nomem(L->e);
    dv_free(gt->name);
    gt->name = copy;
    if (L->info[t].rank >= 0) {
        gt->rank = L->info[t].rank;
        memcpy(gt->dims, L->info[t].dims, sizeof gt->dims);
    }
    out[n_out] = t;
    return DMV_OK;
}

dmv_status lw_finish(dv_lower *L, bool known, bool *failed)
{
    *failed = false;
    if (L->st == DMV_OK || L->stop)
        return L->st;
    /* An empty reason on a known operator: it only suffers from an earlier node. */
    if ((!known || L->reason[0]) && !lw_add_problem(L))
        return dv_nomem(L->e);
    L->st = DMV_OK;
    *failed = true;
    return DMV_OK;
}

int32_t lw_poison(dv_lower *L)
{
    int32_t t = new_tensor(L);
    if (t >= 0)
        L->info[t].poison = true;
    return t;
}

/* ---- windows ---- */

void lw_same_pads(dv_lower *L, int64_t h, int64_t width, lw_window *w, bool lower)
{
    for (int i = 0; i < 2; i++) {
        int64_t in = i ? width : h, span = w->d[i] * (w->k[i] - 1) + 1, total = span - 1;
        if (w->s[i] > 1) {
            if (in < 0) {
                lw_unsupported(L, "auto_pad on a picture of free size (give sizes at import)");
                return;
            }
            total = ((in + w->s[i] - 1) / w->s[i] - 1) * w->s[i] + span - in;
            total = DV_MAX(total, 0);
        }
        w->p[i] = lower ? total - total / 2 : total / 2;
        w->p[i + 2] = total - w->p[i];
    }
}

void lw_check_window(dv_lower *L, const lw_window *w)
{
    for (int i = 0; i < 2; i++)
        if (w->k[i] < 1 || w->s[i] < 1 || w->d[i] < 1 || w->k[i] > LW_WINDOW_MAX ||
            w->s[i] > LW_WINDOW_MAX || w->d[i] > LW_WINDOW_MAX)
            lw_bad(L, "a kernel of %lld with stride %lld and dilation %lld", (long long)w->k[i],
                   (long long)w->s[i], (long long)w->d[i]);
    for (int i = 0; i < 4; i++)
        if (w->p[i] < 0 || w->p[i] > LW_PAD_MAX)
            lw_bad(L, "a padding of %lld", (long long)w->p[i]);
}

void lw_put_window(dv_lower *L, const lw_window *w)
{
    static const int64_t none[4] = {0};
    lw_ints(L, DV_A_KERNEL, w->k, 2);
    if (w->s[0] != 1 || w->s[1] != 1)
        lw_ints(L, DV_A_STRIDE, w->s, 2);
    if (w->d[0] != 1 || w->d[1] != 1)
        lw_ints(L, DV_A_DILATION, w->d, 2);
    if (memcmp(w->p, none, sizeof none))
        lw_ints(L, DV_A_PADS, w->p, 4);
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
