/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_eltwise.c - activations, PReLU and arithmetic with numpy broadcasting. Integers are
 * worked out at shape time. */
#include <string.h>

#include "nn/ops.h"

static dmv_status same_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    return dv_set_dims(dv_out(x, s, 0), in->rank, in->dims, e);
}

static dmv_status act_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    if (g->tensors[n->in[0]].dtype != DV_F32)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "an activation of integers");
    return dv_check_act(n, n->n_in, e);
}

static dv_range act_range;

static dmv_status act_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    dmv_status st = same_shape(x, s, e);
    if (!st)
        dv_same_band(x, s, act_range, false);
    return st;
}

static void act_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    int act = (int)dv_node_int(s->node, DV_A_ACT, DV_ACT_NONE);
    x->k->act_f32(act, end - begin, dv_in(x, s, 0)->f + begin, dv_out(x, s, 0)->f + begin,
                  dv_node_float(s->node, DV_A_P, 0), dv_node_float(s->node, DV_A_Q, 0));
}

static void act_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, dv_out(x, s, 0)->count, 4096, act_range);
}

const dv_op dv_op_act = {1, 1, 1, 1, 1, 1, {0}, act_check, act_shape, act_run};

/* ---- broadcasting ---- */

/* How the elements of an operand repeat over the output. */
enum { BC_SAME, BC_SCALAR, BC_ROW /* a vector over the last axes */, BC_ANY };

typedef struct bc_state {
    int ka, kb;
    size_t row_a, row_b; /* length of the repeated vector */
    dv_walk wa, wb;
} bc_state;

static dmv_status bc_dims(const dv_value *a, const dv_value *b, int64_t *dims, int *rank, dv_err *e)
{
    *rank = DV_MAX(a->rank, b->rank);
    for (int i = *rank - 1, ia = a->rank - 1, ib = b->rank - 1; i >= 0; i--, ia--, ib--) {
        int64_t da = ia >= 0 ? a->dims[ia] : 1, db = ib >= 0 ? b->dims[ib] : 1;
        if (da != db && da != 1 && db != 1)
            return dv_fail(e, DMV_ERR_FORMAT, "shapes do not broadcast");
        dims[i] = da == 1 ? db : da;
    }
    return DMV_OK;
}

static int bc_kind(const dv_value *v, const dv_value *o, dv_walk *w, size_t *row)
{
    int64_t st[DMV_MAX_RANK];
    dv_strides(v->rank, v->dims, st);
    w->rank = o->rank;
    for (int i = o->rank - 1, j = v->rank - 1; i >= 0; i--, j--) {
        w->dims[i] = o->dims[i];
        w->stride[i] = j >= 0 && v->dims[j] != 1 ? st[j] : 0;
    }
    *row = v->count;
    if (v->count == o->count)
        return BC_SAME;
    if (v->count == 1)
        return BC_SCALAR;
    size_t tail = 1;
    for (int i = o->rank - 1, j = v->rank - 1; j >= 0 && v->dims[j] == o->dims[i]; i--, j--)
        tail *= (size_t)v->dims[j];
    return tail == v->count ? BC_ROW : BC_ANY;
}

static int64_t int_op(int op, int64_t a, int64_t b)
{
    switch (op) {
    case DV_BIN_ADD:
        return (int64_t)((uint64_t)a + (uint64_t)b);
    case DV_BIN_SUB:
        return (int64_t)((uint64_t)a - (uint64_t)b);
    case DV_BIN_MUL:
        return (int64_t)((uint64_t)a * (uint64_t)b);
    case DV_BIN_DIV:
        return b == 0 || (a == INT64_MIN && b == -1) ? 0 : a / b;
    case DV_BIN_MAX:
        return DV_MAX(a, b);
    case DV_BIN_MIN:
        return DV_MIN(a, b);
    default:
        return 0;
    }
}

static dmv_status binary_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    int64_t op = dv_node_int(n, DV_A_BINARY, -1);
    if (op < 0 || op >= DV_BIN_COUNT)
        return dv_fail(e, DMV_ERR_FORMAT, "unknown arithmetic %lld", (long long)op);
    if (g->tensors[n->in[0]].dtype != g->tensors[n->in[1]].dtype ||
        g->tensors[n->in[0]].dtype != g->tensors[n->out[0]].dtype)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "arithmetic on mixed types");
    return DMV_OK;
}

static dmv_status broadcast_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *a = dv_in(x, s, 0), *b = dv_in(x, s, 1);
    dv_value *o = dv_out(x, s, 0);
    int64_t dims[DMV_MAX_RANK];
    int rank;
    bc_state *c = dv_calloc(1, sizeof *c);
    if (!c)
        return dv_nomem(e);
    s->state = c;
    dmv_status st = bc_dims(a, b, dims, &rank, e);
    if (st || (st = dv_set_dims(o, rank, dims, e)))
        return st;
    c->ka = bc_kind(a, o, &c->wa, &c->row_a);
    c->kb = bc_kind(b, o, &c->wb, &c->row_b);
    /* a general pattern is spread out into scratch first, a slice of the outer axis at a time */
    s->scratch = 2 * 1024 * sizeof(float);
    if (o->dtype != DV_I64)
        return DMV_OK;
    if ((st = dv_set_ints(o, e)))
        return st;
    int64_t *tmp = dv_malloc((o->count + 1) * 2 * sizeof *tmp);
    if (!tmp)
        return dv_nomem(e);
    dv_walk_copy_i64(&c->wa, a->i, tmp);
    dv_walk_copy_i64(&c->wb, b->i, tmp + o->count);
    int op = (int)dv_node_int(s->node, DV_A_BINARY, 0);
    for (size_t i = 0; i < o->count; i++)
        o->i[i] = int_op(op, tmp[i], tmp[o->count + i]);
    dv_free(tmp);
    return DMV_OK;
}

/* Fills buf with elements [at, at + n) of a broadcast operand. */
static void spread(const dv_walk *w, const float *src, size_t at, size_t n, float *buf)
{
    int64_t idx[DMV_MAX_RANK], off = 0;
    size_t rest = at;
    for (int i = w->rank - 1; i >= 0; i--) {
        idx[i] = (int64_t)(rest % (size_t)w->dims[i]);
        rest /= (size_t)w->dims[i];
        off += idx[i] * w->stride[i];
    }
    for (size_t j = 0; j < n; j++) {
        buf[j] = src[off];
        for (int i = w->rank - 1; i >= 0; i--) {
            off += w->stride[i];
            if (++idx[i] < w->dims[i])
                break;
            off -= w->stride[i] * w->dims[i];
            idx[i] = 0;
        }
    }
}

static void binary_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const bc_state *c = s->state;
    const float *a = dv_in(x, s, 0)->f, *b = dv_in(x, s, 1)->f;
    float *o = dv_out(x, s, 0)->f, *buf = dv_scratch(x, worker);
    int op = (int)dv_node_int(s->node, DV_A_BINARY, 0);
    for (size_t i = begin, n; i < end; i += n) {
        n = end - i;
        int mode = 0;
        const float *pa = a + i, *pb = b + i;
        if (c->ka == BC_ROW) {
            n = DV_MIN(n, c->row_a - i % c->row_a);
            pa = a + i % c->row_a;
        }
        if (c->kb == BC_ROW) {
            n = DV_MIN(n, c->row_b - i % c->row_b);
            pb = b + i % c->row_b;
        }
        if (c->ka == BC_ANY || c->kb == BC_ANY)
            n = DV_MIN(n, (size_t)1024);
        if (c->ka == BC_ANY) {
            spread(&c->wa, a, i, n, buf);
            pa = buf;
        }
        if (c->kb == BC_ANY) {
            spread(&c->wb, b, i, n, buf + 1024);
            pb = buf + 1024;
        }
        if (c->kb == BC_SCALAR) {
            mode = 1;
            pb = b;
        } else if (c->ka == BC_SCALAR) {
            mode = 2;
            pa = a;
        }
        x->k->binary_f32(op, mode, n, pa, pb, o + i);
    }
}

static void binary_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, dv_out(x, s, 0)->count, 4096, binary_range);
}

static dmv_status binary_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    dmv_status st = broadcast_shape(x, s, e);
    if (!st && dv_out(x, s, 0)->dtype == DV_F32)
        dv_same_band(x, s, binary_range, false);
    return st;
}

const dv_op dv_op_binary = {2, 2, 1, 1, 2, 3, {0}, binary_check, binary_shape, binary_run};

static dmv_status prelu_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    const dv_gtensor *t = dv_const_in(g, n, 1);
    return t && t->dtype == DV_F32 ? DMV_OK : dv_fail(e, DMV_ERR_UNSUPPORTED, "slope not constant");
}

static dv_range prelu_range;

static dmv_status prelu_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    dmv_status st = broadcast_shape(x, s, e);
    if (st)
        return st;
    dv_same_band(x, s, prelu_range, false);
    return dv_out(x, s, 0)->count == dv_in(x, s, 0)->count
               ? DMV_OK
               : dv_fail(e, DMV_ERR_FORMAT, "the slope is larger than the input");
}

static void prelu_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const bc_state *c = s->state;
    const float *a = dv_in(x, s, 0)->f, *sl = dv_in(x, s, 1)->f;
    float *o = dv_out(x, s, 0)->f, *buf = dv_scratch(x, worker);
    if (c->kb == BC_SCALAR) {
        x->k->act_f32(DV_ACT_LEAKY, end - begin, a + begin, o + begin, sl[0], 0);
        return;
    }
    for (size_t i = begin, n; i < end; i += n) {
        const float *p = sl + i;
        n = end - i;
        if (c->kb == BC_ROW && i % c->row_b == 0 && n >= c->row_b) {
            n -= n % c->row_b;
            x->k->prelu_f32(n / c->row_b, c->row_b, a + i, sl, o + i);
            continue;
        }
        if (c->kb == BC_ROW) {
            n = DV_MIN(n, c->row_b - i % c->row_b);
            p = sl + i % c->row_b;
        } else if (c->kb == BC_ANY) {
            n = DV_MIN(n, (size_t)1024);
            spread(&c->wb, sl, i, n, buf);
            p = buf;
        }
        x->k->prelu_f32(1, n, a + i, p, o + i);
    }
}

static void prelu_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, dv_out(x, s, 0)->count, 4096, prelu_range);
}

const dv_op dv_op_prelu = {2, 2, 1, 1, 2, 1, {0}, prelu_check, prelu_shape, prelu_run};
