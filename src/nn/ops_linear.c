/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_linear.c - matrix products: Linear (constant weights, any leading dims), MatMul (both
 * sides computed; the right one is packed on the way) and SqueezeExcite. */
#include <string.h>

#include "nn/ops.h"

static bool panel_ok(const dv_gtensor *w)
{
    size_t bytes;
    return w && w->rank == 2 && w->dims[0] > 0 && w->dims[1] > 0 &&
           (w->pack == DV_PACK_PANEL || w->pack == DV_PACK_NONE) &&
           dv_tensor_bytes(w->dtype, w->pack, 2, w->dims, 1, &bytes) && bytes == w->size;
}

static bool vec_ok(const dv_gtensor *v, int64_t want)
{
    return !v || (v->rank == 1 && v->dims[0] == want);
}

static dmv_status linear_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    const dv_gtensor *w = dv_const_in(g, n, 1);
    if (!panel_ok(w) || !vec_ok(dv_const_in(g, n, 2), w->dims[1]) ||
        !vec_ok(dv_const_in(g, n, 3), w->dims[1]))
        return dv_fail(e, DMV_ERR_FORMAT, "weights, bias or slope have the wrong shape");
    return dv_check_act(n, 3, e);
}

static dmv_status linear_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0), *add = dv_in(x, s, 4);
    const dv_gtensor *w = dv_const_in(x->g, s->node, 1);
    if (in->rank < 1 || in->dims[in->rank - 1] != w->dims[0])
        return dv_fail(e, DMV_ERR_FORMAT, "the input is %lld wide, the weights want %lld",
                       (long long)(in->rank ? in->dims[in->rank - 1] : 0), (long long)w->dims[0]);
    int64_t dims[DMV_MAX_RANK];
    memcpy(dims, in->dims, sizeof dims);
    dims[in->rank - 1] = w->dims[1];
    dv_value *o = dv_out(x, s, 0);
    dmv_status st = dv_set_dims(o, in->rank, dims, e);
    if (st)
        return st;
    if (add && (add->rank != o->rank || memcmp(add->dims, dims, (size_t)o->rank * sizeof *dims)))
        return dv_fail(e, DMV_ERR_FORMAT, "the added tensor has another shape");
    s->macs = (int64_t)o->count * w->dims[0];
    dv_same_band(x, s, dv_gemm_rows, true);
    return DMV_OK;
}

const dv_op dv_op_linear = {2,
                            5,
                            1,
                            1,
                            2,
                            1 << 4,
                            {DV_ROLE_PLAIN, DV_ROLE_PANEL, DV_ROLE_VEC, DV_ROLE_VEC, DV_ROLE_PLAIN},
                            linear_check,
                            linear_shape,
                            dv_gemm_run};

/* ---- MatMul of two computed tensors ---- */

typedef struct matmul_state {
    size_t m, n, k, batch;
    bool ta, tb;
    float alpha;
    int rank;
    int64_t dims[DMV_MAX_RANK];                 /* leading dims of the output */
    int64_t sa[DMV_MAX_RANK], sb[DMV_MAX_RANK]; /* in matrices; 0 where broadcast */
} matmul_state;

static dmv_status matmul_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *a = dv_in(x, s, 0), *b = dv_in(x, s, 1);
    matmul_state *t = dv_calloc(1, sizeof *t);
    if (!t)
        return dv_nomem(e);
    s->state = t;
    if (a->rank < 2 || b->rank < 2 || a->count == 0 || b->count == 0)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "MatMul of vectors or of empty tensors");
    t->ta = dv_node_int(s->node, DV_A_TRANS_A, 0) != 0;
    t->tb = dv_node_int(s->node, DV_A_TRANS_B, 0) != 0;
    t->alpha = dv_node_float(s->node, DV_A_ALPHA, 1);
    t->m = (size_t)a->dims[a->rank - (t->ta ? 1 : 2)];
    t->k = (size_t)a->dims[a->rank - (t->ta ? 2 : 1)];
    t->n = (size_t)b->dims[b->rank - (t->tb ? 2 : 1)];
    if ((size_t)b->dims[b->rank - (t->tb ? 1 : 2)] != t->k)
        return dv_fail(e, DMV_ERR_FORMAT, "inner dimensions differ");
    int rank = DV_MAX(a->rank, b->rank);
    int64_t dims[DMV_MAX_RANK], na = 1, nb = 1;
    t->rank = rank - 2;
    t->batch = 1;
    for (int i = rank - 3; i >= 0; i--) {
        int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        int64_t da = ia >= 0 ? a->dims[ia] : 1, db = ib >= 0 ? b->dims[ib] : 1;
        if (da != db && da != 1 && db != 1)
            return dv_fail(e, DMV_ERR_FORMAT, "leading dimensions do not broadcast");
        t->dims[i] = dims[i] = DV_MAX(da, db);
        t->sa[i] = da == 1 ? 0 : na;
        t->sb[i] = db == 1 ? 0 : nb;
        na *= da;
        nb *= db;
        t->batch *= (size_t)dims[i];
    }
    dims[rank - 2] = (int64_t)t->m;
    dims[rank - 1] = (int64_t)t->n;
    dv_value *o = dv_out(x, s, 0);
    dmv_status st = dv_set_dims(o, rank, dims, e);
    if (st)
        return st;
    s->macs = (int64_t)o->count * (int64_t)t->k;
    size_t floats = dv_panel_size(t->k, t->n) + (t->ta ? t->m * t->k : 0) + 32;
    s->scratch = floats * sizeof(float);
    return DMV_OK;
}

static void matmul_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const matmul_state *t = s->state;
    float *panels = dv_scratch(x, worker), *ta = panels + dv_panel_size(t->k, t->n);
    const dv_value *a = dv_in(x, s, 0), *b = dv_in(x, s, 1), *o = dv_out(x, s, 0);
    dv_epilogue none = {0};
    int64_t packed = -1;
    for (size_t i = begin; i < end; i++) {
        int64_t ia = 0, ib = 0;
        size_t rest = i;
        for (int d = t->rank - 1; d >= 0; d--) {
            int64_t at = (int64_t)(rest % (size_t)t->dims[d]);
            rest /= (size_t)t->dims[d];
            ia += at * t->sa[d];
            ib += at * t->sb[d];
        }
        const float *pa = a->f + (size_t)ia * t->m * t->k, *pb = b->f + (size_t)ib * t->k * t->n;
        float *po = o->f + i * t->m * t->n;
        if (ib != packed) /* an unchanged right side is packed once */
            dv_pack_panels(t->k, t->n, pb, t->tb ? 1 : t->n, t->tb ? t->k : 1, panels);
        packed = ib;
        if (t->ta) {
            x->k->transpose_f32(t->k, t->m, pa, t->m, ta, t->k);
            pa = ta;
        }
        x->k->gemm_f32(t->m, t->n, t->k, pa, t->k, panels, po, t->n, &none);
        if (t->alpha != 1)
            x->k->binary_f32(DV_BIN_MUL, 1, t->m * t->n, po, &t->alpha, po);
    }
}

static void matmul_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, ((const matmul_state *)s->state)->batch, 1, matmul_range);
}

const dv_op dv_op_matmul = {2, 2, 1, 1, 2, 0, {0}, NULL, matmul_shape, matmul_run};

/* ---- SqueezeExcite: mean over the picture, two small layers, a gate per channel ---- */

dmv_status dv_se_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    const dv_gtensor *w1 = dv_const_in(g, n, 1), *w2 = dv_const_in(g, n, 3);
    if (!panel_ok(w1) || !panel_ok(w2) || w1->dims[1] != w2->dims[0] ||
        w1->dims[0] != w2->dims[1] || !vec_ok(dv_const_in(g, n, 2), w1->dims[1]) ||
        !vec_ok(dv_const_in(g, n, 4), w2->dims[1]))
        return dv_fail(e, DMV_ERR_FORMAT, "weights do not fit each other");
    int64_t mode = dv_node_int(n, DV_A_MODE, 0);
    const dv_attr *pq = dv_node_attr(n, DV_A_SCALES);
    if (mode < 0 || mode > 1 || (mode == 1 && (!pq || !pq->is_float || pq->n != 2)))
        return dv_fail(e, DMV_ERR_FORMAT, "unknown gate");
    return dv_check_act(n, n->n_in, e);
}

dmv_status dv_se_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    const dv_gtensor *w1 = dv_const_in(x->g, s->node, 1);
    if (in->rank != 4 || in->dims[3] != w1->dims[0] || in->count == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "the input does not fit the weights");
    s->macs = in->dims[0] * 2 * w1->dims[0] * w1->dims[1];
    s->scratch = (size_t)(2 * in->dims[3] + w1->dims[1]) * sizeof(float);
    return dv_set_dims(dv_out(x, s, 0), 4, in->dims, e);
}

void dv_se_gate(dv_exec *x, const dv_step *s, const float *mean, float *gate, float *mid)
{
    const dv_gtensor *w1 = dv_const_in(x->g, s->node, 1);
    size_t c = (size_t)w1->dims[0], r = (size_t)w1->dims[1];
    int act = (int)dv_node_int(s->node, DV_A_ACT, DV_ACT_NONE);
    dv_epilogue e1 = {.bias = dv_packed(x, s, 2)}, e2 = {.bias = dv_packed(x, s, 4)};
    x->k->gemm_f32(1, r, c, mean, c, dv_packed(x, s, 1), mid, r, &e1);
    if (act != DV_ACT_NONE)
        x->k->act_f32(act, r, mid, mid, dv_node_float(s->node, DV_A_P, 0),
                      dv_node_float(s->node, DV_A_Q, 0));
    x->k->gemm_f32(1, c, r, mid, r, dv_packed(x, s, 3), gate, c, &e2);
    const dv_attr *pq = dv_node_attr(s->node, DV_A_SCALES);
    if (dv_node_int(s->node, DV_A_MODE, 0) == 1)
        x->k->act_f32(DV_ACT_HSIGMOID, c, gate, gate, pq->v.f[0], pq->v.f[1]);
    else
        x->k->act_f32(DV_ACT_SIGMOID, c, gate, gate, 0, 0);
}

static void se_range(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    size_t c = (size_t)in->dims[3];
    size_t pixels = (size_t)(in->dims[1] * in->dims[2]);
    float *mean = dv_scratch(x, worker), *gate = mean + c, *mid = gate + c;
    float share = 1.0f / (float)pixels;
    for (size_t b = begin; b < end; b++) {
        const float *src = in->f + b * pixels * c;
        memset(mean, 0, c * sizeof(float));
        for (size_t p = 0; p < pixels; p++)
            x->k->binary_f32(DV_BIN_ADD, 0, c, mean, src + p * c, mean);
        x->k->binary_f32(DV_BIN_MUL, 1, c, mean, &share, mean);
        dv_se_gate(x, s, mean, gate, mid);
        float *dst = o->f + b * pixels * c;
        for (size_t p = 0; p < pixels; p++)
            x->k->binary_f32(DV_BIN_MUL, 0, c, src + p * c, gate, dst + p * c);
    }
}

static void se_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, (size_t)dv_in(x, s, 0)->dims[0], 1, se_range);
}

const dv_op dv_op_se = {4,
                        5,
                        1,
                        1,
                        2,
                        1,
                        {DV_ROLE_PLAIN, DV_ROLE_PANEL, DV_ROLE_VEC, DV_ROLE_PANEL, DV_ROLE_VEC},
                        dv_se_check,
                        dv_se_shape,
                        se_run};
