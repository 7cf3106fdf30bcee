/* SPDX-License-Identifier: Apache-2.0
 *
 * export.c - the nodes of a graph one after the other, and the two layouts of its tensors. */
#include <math.h>
#include <string.h>

#include "export/onnx_write.h"

/* ---- what is known of tensors ---- */

static int64_t size_for(const dv_gtensor *t, int d, int round)
{
    /* multiples of 64: nets halve and double their maps */
    static const int64_t sizes[2][DMV_MAX_RANK] = {{2, 192, 320, 448, 128, 256},
                                                   {3, 384, 640, 256, 576, 832}};
    return t->dims[d] < 0 ? sizes[round][d] : t->dims[d];
}

/* Ranks and dims by shaping the net for two input sizes: what differs is free. */
static void find_dims(ex *x)
{
    const dv_graph *g = x->g;
    dv_kernels k;
    dv_exec *run = NULL;
    int64_t dims[DV_MAX_IO][DMV_MAX_RANK];
    const int64_t *rows[DV_MAX_IO];
    dv_kernels_init(&k, 0);
    x->st = dv_exec_open(g, &k, NULL, &run, x->e);
    for (int round = 0; ex_ok(x) && round < 2; round++) {
        for (size_t i = 0; i < g->n_inputs; i++) {
            const dv_gtensor *t = &g->tensors[g->inputs[i]];
            rows[i] = dims[i];
            for (int d = 0; d < t->rank; d++)
                dims[i][d] = size_for(t, d, round);
        }
        x->st = dv_exec_infer(run, rows, x->e);
        for (size_t i = 0; ex_ok(x) && i < g->n_tensors; i++) {
            ex_tensor *t = &x->t[i];
            const dv_value *v = &run->v[i];
            for (int d = 0; d < v->rank; d++)
                t->dims[d] = round && t->dims[d] != v->dims[d] ? -1 : v->dims[d];
            t->rank = v->rank;
        }
    }
    dv_exec_close(&run);
}

int ex_rank(const ex *x, int32_t t)
{
    return x->t[t].rank;
}

bool ex_has(const ex *x, int32_t t, int layout)
{
    return x->t[t].value[layout] >= 0;
}

int ex_layout(const ex *x, int32_t t)
{
    return ex_has(x, t, EX_NCHW) ? EX_NCHW : EX_PLAIN;
}

int ex_axis(int a, int rank, int layout)
{
    static const int to[4] = {0, 2, 3, 1};
    if (a < 0)
        a += rank;
    return layout == EX_NCHW && a >= 0 && a < 4 ? to[a] : a;
}

int32_t ex_transpose(ex *x, int32_t v, int rank, const int64_t *perm)
{
    int32_t y = ex_op1(x, "Transpose", v);
    ex_ints(x, "perm", perm, (size_t)rank);
    return y;
}

/* ---- constants ---- */

static const int64_t to_nchw[4] = {0, 3, 1, 2}, to_nhwc[4] = {0, 2, 3, 1};

int32_t ex_operand(ex *x, int32_t t, int rank, int layout)
{
    const dv_gtensor *c = &x->g->tensors[t];
    if (c->dtype == DV_I64)
        return ex_get(x, t, EX_PLAIN);
    float *v = ex_unpack(x, c, 1);
    if (!v)
        return -1;
    if (layout == EX_PLAIN || c->rank == 0 || rank != 4)
        return ex_floats(x, c->rank, c->dims, v);
    int64_t from[4] = {1, 1, 1, 1}, to[4];
    for (int i = 0; i < c->rank; i++)
        from[4 - c->rank + i] = c->dims[i];
    for (int i = 0; i < 4; i++)
        to[i] = from[to_nchw[i]];
    float *turned = ex_alloc(x, (size_t)(from[0] * from[1] * from[2] * from[3]), sizeof *turned);
    if (!turned)
        return -1;
    const float *in = v;
    for (int64_t n = 0; n < from[0]; n++)
        for (int64_t p = 0; p < from[1] * from[2]; p++)
            for (int64_t ch = 0; ch < from[3]; ch++)
                turned[(n * from[3] + ch) * from[1] * from[2] + p] = *in++;
    int first = 0; /* without leading ones */
    while (first < 3 && to[first] == 1)
        first++;
    return ex_floats(x, 4 - first, to + first, turned);
}

int32_t ex_channels(ex *x, const float *v, size_t c, int rank, int layout)
{
    int64_t dims[3] = {(int64_t)c, 1, 1};
    return ex_floats(x, layout == EX_NCHW && rank == 4 ? 3 : 1, dims, v);
}

static int32_t plain_const(ex *x, int32_t t)
{
    const dv_gtensor *c = &x->g->tensors[t];
    if (c->dtype == DV_I64)
        return ex_init(x, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, c->rank, c->dims, c->data, 8);
    return ex_floats(x, c->rank, c->dims, ex_unpack(x, c, 1));
}

/* ---- values ---- */

/* Scale and zero point of an 8-bit tensor as values; a zero point that is no integer is rounded,
 * and the rest stays as ex_tensor.shift. */
static int32_t pair_with(ex *x, int32_t v, int32_t scale, int32_t zero)
{
    int32_t in[3] = {v, scale, zero};
    in[0] = ex_op(x, "QuantizeLinear", 3, in);
    x->pairs++;
    return ex_op(x, "DequantizeLinear", 3, in);
}

int32_t ex_pair(ex *x, int32_t v, float scale, float zero)
{
    uint8_t z = (uint8_t)zero;
    int32_t zp = ex_init(x, ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, 0, NULL, &z, 1);
    return pair_with(x, v, ex_scalar(x, scale), zp);
}

static int32_t tensor_pair(ex *x, int32_t t, int32_t v)
{
    ex_tensor *o = &x->t[t];
    const dv_gtensor *g = &x->g->tensors[t];
    if (o->scale < 0) {
        uint8_t z = (uint8_t)rintf(g->zero);
        o->scale = ex_scalar(x, g->scale);
        o->zero = ex_init(x, ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, 0, NULL, &z, 1);
    }
    return pair_with(x, v, o->scale, o->zero);
}

void ex_put(ex *x, int32_t t, int layout, int32_t v)
{
    const dv_gtensor *g = &x->g->tensors[t];
    if (!ex_ok(x))
        return;
    if (g->dtype == DV_U8) {
        x->t[t].shift = (rintf(g->zero) - g->zero) * g->scale;
        v = tensor_pair(x, t, v);
    }
    x->t[t].value[layout] = v;
}

int32_t ex_get(ex *x, int32_t t, int layout)
{
    if (t < 0 || !ex_ok(x))
        return -1;
    ex_tensor *o = &x->t[t];
    if (o->value[layout] >= 0)
        return o->value[layout];
    if (x->g->tensors[t].data) {
        int32_t v = layout == EX_PLAIN ? plain_const(x, t) : ex_operand(x, t, 4, layout);
        if (layout == EX_PLAIN)
            o->value[layout] = v;
        return v;
    }
    if (o->value[!layout] < 0 || o->rank != 4) {
        if (x->n)
            ex_unsupported(x, "a tensor of %d dims where a picture is wanted", o->rank);
        else
            x->st = dv_fail(x->e, DMV_ERR_FORMAT, "an output of the net is not computed");
        return -1;
    }
    int32_t v = ex_transpose(x, o->value[!layout], 4, layout == EX_NCHW ? to_nchw : to_nhwc);
    if (x->g->tensors[t].dtype == DV_U8 && !o->dynamic)
        v = tensor_pair(x, t, v);
    return o->value[layout] = v;
}

/* ---- all of it ---- */

static void start(ex *x)
{
    const dv_graph *g = x->g;
    x->t = ex_alloc(x, g->n_tensors, sizeof *x->t);
    for (size_t i = 0; x->t && i < g->n_tensors; i++)
        x->t[i] = (ex_tensor){.value = {-1, -1}, .scale = -1, .zero = -1};
    if (ex_ok(x))
        find_dims(x);
    for (size_t i = 0; ex_ok(x) && i < g->n_inputs; i++) {
        const char *name = g->tensors[g->inputs[i]].name;
        x->t[g->inputs[i]].value[EX_PLAIN] = ex_value_new(x, name && name[0] ? name : NULL, false);
    }
}

static bool name_taken(const ex *x, const char *name)
{
    for (size_t i = 0; i < x->n_values; i++)
        if (x->values[i].name && !strcmp(x->values[i].name, name))
            return true;
    return false;
}

/* Outputs as the graph has them, each a value of its own with its name. */
static void finish(ex *x)
{
    const dv_graph *g = x->g;
    x->n = NULL;
    for (size_t i = 0; ex_ok(x) && i < g->n_outputs; i++) {
        int32_t t = g->outputs[i], v = ex_get(x, t, EX_PLAIN);
        if (!ex_ok(x))
            return;
        const char *name = g->tensors[t].name;
        bool twice = false;
        for (size_t k = 0; k < i; k++)
            twice = twice || g->outputs[k] == t;
        if (twice) {
            x->st = dv_fail(x->e, DMV_ERR_UNSUPPORTED,
                            "outputs %zu and another are one tensor, which ONNX does not allow", i);
            return;
        }
        if (!x->values[v].computed || x->values[v].name)
            v = ex_op1(x, "Identity", v);
        if (!ex_ok(x))
            return;
        x->t[t].value[EX_PLAIN] = v;
        if (name && name[0] && !name_taken(x, name))
            x->values[v].name = name;
    }
}

static void report_of(const ex *x, dv_export_report *r)
{
    *r = (dv_export_report){.nodes = x->n_nodes, .quantised = x->pairs};
    for (size_t i = 0; i < x->n_nodes; i++)
        r->transposes += !strcmp(x->nodes[i]->p.op_type, "Transpose");
}

dmv_status dv_export_onnx(const dv_graph *g, const dv_meta *meta, uint8_t **data, size_t *size,
                          dv_export_report *report, dv_err *e)
{
    ex whole = {.g = g, .e = e}, *x = &whole;
    *data = NULL;
    *size = 0;
    start(x);
    for (x->at = 0; ex_ok(x) && x->at < g->n_nodes; x->at++) {
        x->n = &g->nodes[x->at];
        ex_fn fn = ex_find_op(x->n->op);
        if (fn)
            fn(x);
        else
            ex_unsupported(x, "ONNX has no operator for it");
    }
    finish(x);
    if (ex_ok(x))
        ex_pack(x, meta, data, size);
    if (ex_ok(x) && report)
        report_of(x, report);
    while (x->blocks) {
        ex_block *next = x->blocks->next;
        dv_free(x->blocks);
        x->blocks = next;
    }
    dv_free(x->values);
    dv_free(x->nodes);
    dv_free(x->inits);
    dv_free(x->init_value);
    return x->st;
}
