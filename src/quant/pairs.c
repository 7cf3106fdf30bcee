/* SPDX-License-Identifier: Apache-2.0
 *
 * pairs.c - what the pairs of a QDQ net say. In the float net a pair is a Quantize x -> u and a
 * Dequantize u -> y; here both go, and a mark on a tensor stays: its values are those of bytes
 * (dv_given). If x has no other reader the mark is on x and the readers of y read x, else an
 * Identity from x to y remains. build.c then makes bytes where the marks are and nowhere else.
 */
#include <math.h>
#include <string.h>

#include "import/import.h"
#include "quant/quant_priv.h"

bool dv_quant_has_pairs(const dv_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op == DV_OP_QUANTIZE)
            return true;
    return false;
}

static int32_t maker(const dv_graph *g, int32_t t)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_out; k++)
            if (g->nodes[i].out[k] == t)
                return (int32_t)i;
    return -1;
}

/* Readers of t; outputs of the net count. *last: the last node among them. */
static int readers(const dv_quant *q, int32_t t, int32_t *last)
{
    const dv_graph *g = &q->net;
    int n = 0;
    *last = -1;
    for (size_t i = 0; i < g->n_outputs; i++)
        n += g->outputs[i] == t;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in && !q->gone[i]; k++)
            if (g->nodes[i].in[k] == t) {
                *last = (int32_t)i;
                n++;
            }
    return n;
}

static bool same(const dv_given *a, const dv_given *b)
{
    return a->is && b->is && a->scale > 0 && a->scale == b->scale && a->zero == b->zero;
}

/* What only moves bytes gives the same bytes, whether the file says so or not. */
static void through_move(dv_quant *q, const dv_node *n)
{
    const dv_given first = q->given[n->in[0]];
    bool all = first.is && first.scale > 0;
    for (int k = 1; all && k < dv_quant_moved(n); k++)
        all = same(&first, &q->given[n->in[k]]);
    for (int k = 0; all && k < n->n_out; k++)
        q->given[n->out[k]] = first;
}

/* A mark on y, the Dequantize's output, or on x before it. */
static void take_pair(dv_quant *q, size_t i, size_t d)
{
    dv_graph *g = &q->net;
    dv_node *first = &g->nodes[i], *second = &g->nodes[d];
    int32_t x = first->in[0], y = second->out[0], last;
    const dv_gtensor *u = &g->tensors[first->out[0]];
    dv_given mark = {true, u->scale, u->zero};
    int32_t from = maker(g, x);
    bool output = false;
    for (size_t k = 0; k < g->n_outputs; k++)
        output = output || g->outputs[k] == y;
    q->gone[d] = true;
    if (same(&mark, &q->given[x]) && !output) {
        q->gone[i] = true;
    } else if (from >= 0 && !q->given[x].is && readers(q, x, &last) == 1 && !output) {
        q->given[x] = mark;
        q->gone[i] = true;
    } else {
        first->op = DV_OP_IDENTITY;
        first->out[0] = y;
        q->given[y] = mark;
        return;
    }
    for (size_t k = 0; k < g->n_nodes; k++)
        for (int a = 0; a < g->nodes[k].n_in; a++)
            if (g->nodes[k].in[a] == y)
                g->nodes[k].in[a] = x;
}

/* The only reader of u, a Dequantize; -1 if it is something else. */
static int32_t other_half(const dv_quant *q, int32_t u)
{
    int32_t last;
    return readers(q, u, &last) == 1 && q->net.nodes[last].op == DV_OP_DEQUANTIZE ? last : -1;
}

/* A sum or product of bytes with a clip behind it, and bytes behind that: the op does the clip. */
static bool take_clip(dv_quant *q, size_t i, dv_err *e)
{
    dv_graph *g = &q->net;
    dv_node *n = &g->nodes[i];
    int32_t x = n->in[0], last;
    int32_t b = q->given[n->out[0]].is && q->given[n->out[0]].scale > 0 ? maker(g, x) : -1;
    if (n->op != DV_OP_ACT || dv_node_int(n, DV_A_ACT, DV_ACT_NONE) != DV_ACT_CLIP || b < 0 ||
        q->given[x].is || g->nodes[b].op != DV_OP_BINARY || readers(q, x, &last) != 1)
        return true;
    dv_node *m = &g->nodes[b];
    int64_t op = dv_node_int(m, DV_A_BINARY, DV_BIN_ADD);
    const dv_value *v = &q->x->v[m->in[0]], *w = &q->x->v[m->in[1]];
    if ((op != DV_BIN_ADD && op != DV_BIN_MUL) || v->rank != w->rank ||
        memcmp(v->dims, w->dims, (size_t)v->rank * sizeof *v->dims))
        return true;
    for (int k = 0; k < 2; k++)
        if (!q->given[m->in[k]].is || !(q->given[m->in[k]].scale > 0))
            return true;
    if (!dv_node_set_int(m, DV_A_ACT, DV_ACT_CLIP) ||
        !dv_node_set_float(m, DV_A_P, dv_node_float(n, DV_A_P, 0)) ||
        !dv_node_set_float(m, DV_A_Q, dv_node_float(n, DV_A_Q, 0))) {
        dv_nomem(e);
        return false;
    }
    m->out[0] = n->out[0];
    q->gone[i] = true;
    return true;
}

/* ---- the input picture ----
 *
 * The face layer writes pixels straight into an 8-bit net that begins with a Transpose to N, H, W,
 * C and a Quantize. Files have the pair first, and where the zero point is no integer (127.5:
 * pixels from -1 to 1) an addition before it, which the biases of the first layers make up for. */

/* The node that alone reads t, if it has this op; else -1. */
static int32_t reader(const dv_quant *q, int32_t t, uint16_t op)
{
    int32_t last;
    return readers(q, t, &last) == 1 && last >= 0 && q->net.nodes[last].op == op ? last : -1;
}

/* Adds one number: true, and which input it is. */
static bool adds(const dv_graph *g, const dv_node *n, int *side, float *v)
{
    if (dv_node_int(n, DV_A_BINARY, DV_BIN_ADD) != DV_BIN_ADD)
        return false;
    for (*side = 0; *side < 2; (*side)++) {
        const dv_gtensor *c = dv_const_in(g, n, *side);
        if (c && c->dtype == DV_F32 && c->size == sizeof *v) {
            *v = *(const float *)c->data;
            return true;
        }
    }
    return false;
}

/* x -> [Add] -> Quantize -> Dequantize -> Transpose: the Transpose first. */
static void turn_first(dv_quant *q, int32_t x)
{
    static const int64_t wanted[4] = {0, 2, 3, 1};
    dv_graph *g = &q->net;
    int32_t at[4], n = 0, t = x;
    int side = 1;
    float v;
    int64_t perm[4];
    int32_t add = reader(q, x, DV_OP_BINARY);
    if (add >= 0) {
        if (!adds(g, &g->nodes[add], &side, &v))
            return;
        at[n++] = add;
        t = g->nodes[add].out[0];
    }
    for (int k = 0; k < 3; k++) {
        static const uint16_t ops[3] = {DV_OP_QUANTIZE, DV_OP_DEQUANTIZE, DV_OP_TRANSPOSE};
        int32_t next = reader(q, t, ops[k]);
        if (next < 0 || (n && next < at[n - 1]))
            return;
        at[n++] = next;
        t = g->nodes[next].out[0];
    }
    dv_node turn = g->nodes[at[n - 1]];
    if (dv_node_ints(&turn, DV_A_PERM, perm, 4) != 4 || memcmp(perm, wanted, sizeof perm))
        return;
    int32_t z = turn.out[0], y = turn.in[0];
    for (int k = n - 1; k > 0; k--)
        g->nodes[at[k]] = g->nodes[at[k - 1]];
    g->nodes[at[0]] = turn;
    turn.in[0] = x;
    turn.out[0] = y;
    g->nodes[at[1]].in[add >= 0 ? 1 - side : 0] = y;
    g->nodes[at[n - 1]].out[0] = z;
    for (int k = 0; k < n; k++)
        memcpy(g->tensors[g->nodes[at[k]].out[0]].dims, g->tensors[z].dims,
               sizeof g->tensors[z].dims);
}

/* The bias (as an integer) with which a layer gives the same sums if its input's zero point is
 * `now` instead of `was`; false if there is none. */
static bool other_bias(double *b, double sum, double was, double now)
{
    double want = rint(*b - was * sum), near = *b + (now - was) * sum;
    for (double c = floor(near); c <= ceil(near); c++)
        if (rint(c - now * sum) == want) {
            *b = c;
            return true;
        }
    return false;
}

/* Sums of the columns of a layer's 8-bit weights go with its bias: false if some bias cannot be
 * changed. With `write` the new ones are written. */
static bool move_zero(dv_graph *g, const dv_node *n, const dv_given *was, float now, bool write)
{
    const dv_gtensor *w = dv_const_in(g, n, 1), *b = dv_const_in(g, n, 2);
    const dv_attr *a = dv_node_attr(n, DV_IMPORT_SCALES);
    size_t c = a ? a->n : 0, count = w->size / sizeof(float);
    if (!c || !b || !b->owned || b->size != c * sizeof(float))
        return false;
    float *bias = (float *)(uintptr_t)b->data;
    for (size_t j = 0; j < c; j++) {
        double sum = 0, unit = (double)(was->scale * a->v.f[j]), v = rint((double)bias[j] / unit);
        for (size_t i = j; i < count; i += c)
            sum += (double)rintf(((const float *)w->data)[i] / a->v.f[j]);
        if (!other_bias(&v, sum, (double)was->zero, (double)now) ||
            rint((double)(float)(v * unit) / unit) != v)
            return false;
        if (write)
            bias[j] = (float)(v * unit);
    }
    return true;
}

/* Node i adds a number to the picture and its result is bytes: the number becomes part of the zero
 * point if all readers are layers. */
static void take_addition(dv_quant *q, size_t i)
{
    dv_graph *g = &q->net;
    dv_node *n = &g->nodes[i];
    int32_t y = n->out[0], last;
    int side;
    float v;
    if (n->op != DV_OP_BINARY || !q->given[y].is || !adds(g, n, &side, &v))
        return;
    int32_t from = maker(g, n->in[1 - side]);
    if (from >= 0 && (g->nodes[from].op != DV_OP_TRANSPOSE || maker(g, g->nodes[from].in[0]) >= 0))
        return;
    const dv_given was = q->given[y];
    float now = was.zero + v / was.scale;
    if (!(was.scale > 0) || !(now >= 0 && now <= 255))
        return;
    for (int write = 0; write < 2; write++)
        for (size_t k = 0; k < g->n_nodes; k++)
            for (int a = 0; a < g->nodes[k].n_in && !q->gone[k]; a++) {
                const dv_node *r = &g->nodes[k];
                if (r->in[a] != y)
                    continue;
                if (a != 0 || !dv_quant_can(q, k) || !q->given[r->out[0]].is || r->n_in < 3 ||
                    r->in[2] < 0 || readers(q, r->in[2], &last) != 1 ||
                    !move_zero(g, r, &was, now, write))
                    return;
            }
    q->given[y].zero = now;
    n->in[0] = n->in[1 - side];
    n->n_in = 1;
    n->op = DV_OP_IDENTITY;
}

static dmv_status read_marks(dv_quant *q, dv_err *e)
{
    dv_graph *g = &q->net;
    q->given = dv_calloc(g->n_tensors + 1, sizeof *q->given);
    q->gone = dv_calloc(g->n_nodes + 1, sizeof *q->gone);
    if (!q->given || !q->gone)
        return dv_nomem(e);
    for (size_t i = 0; i < g->n_inputs; i++)
        turn_first(q, g->inputs[i]);
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dv_node *n = &g->nodes[i];
        int32_t d = n->op == DV_OP_QUANTIZE ? other_half(q, n->out[0]) : -1;
        if (n->op == DV_OP_QUANTIZE && d < 0)
            return dv_fail(e, DMV_ERR_ARGUMENT, "a Quantize without its Dequantize");
        if (d >= 0)
            take_pair(q, i, (size_t)d);
        else if (!q->gone[i] && dv_quant_is_move(n) && g->tensors[n->in[0]].dtype == DV_F32)
            through_move(q, n);
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (!q->gone[i] && !take_clip(q, i, e))
            return DMV_ERR_MEMORY;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (!q->gone[i])
            take_addition(q, i);
    return DMV_OK;
}

/* Attributes that are for the time of an import. */
static void drop_temporary(dv_graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        dv_node *n = &g->nodes[i];
        int kept = 0;
        for (int k = 0; k < n->n_attr; k++)
            if (n->attr[k].key < DV_IMPORT_TEMPORARY)
                n->attr[kept++] = n->attr[k];
            else
                dv_free(n->attr[k].v.i);
        n->n_attr = kept;
    }
}

/* Constants that belong to another graph become copies. */
static dmv_status own_constants(dv_graph *g, dv_err *e)
{
    for (size_t i = 0; i < g->n_tensors; i++) {
        dv_gtensor *t = &g->tensors[i];
        if (!t->data || t->owned)
            continue;
        void *copy = dv_alloc_aligned(t->size ? t->size : 1);
        if (!copy)
            return dv_nomem(e);
        memcpy(copy, t->data, t->size);
        t->data = copy;
        t->owned = true;
    }
    return DMV_OK;
}

dmv_status dv_quant_pairs(const dv_graph *g, dv_graph *out, dv_err *e)
{
    /* sizes for free dims, to find out what has one shape: multiples of 64, as nets like them */
    static const int64_t sizes[DMV_MAX_RANK] = {1, 192, 320, 448, 128, 256};
    int64_t dims[DV_MAX_IO][DMV_MAX_RANK];
    const int64_t *rows[DV_MAX_IO];
    dv_kernels k;
    dv_quant *q = NULL;
    dv_quant_options o = {.method = DV_CALIB_MINMAX};
    dv_graph_init(out);
    dv_kernels_init(&k, 0);
    for (size_t i = 0; i < g->n_inputs; i++) {
        const dv_gtensor *t = &g->tensors[g->inputs[i]];
        rows[i] = dims[i];
        for (int d = 0; d < t->rank; d++)
            dims[i][d] = t->dims[d] < 0 ? sizes[d] : t->dims[d];
    }
    dmv_status st = dv_quant_open_pairs(g, rows, &k, &q, e);
    if (!st)
        st = read_marks(q, e);
    if (!st)
        st = dv_quant_build(q, &o, out, e);
    if (!st && (st = own_constants(out, e)))
        dv_graph_free(out);
    dv_quant_close(&q);
    if (!st)
        drop_temporary(out);
    return st;
}
