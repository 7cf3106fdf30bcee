/* SPDX-License-Identifier: Apache-2.0
 *
 * See make_onnx.h. The model's structs are pieces of one chain of blocks, so that a test
 * needs no bookkeeping. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "make_onnx.h"
#include "nn/exec.h"

typedef struct block {
    struct block *next;
    max_align_t data[];
} block;

struct mk {
    block *blocks;
    Onnx__ModelProto model;
};

void *mk_alloc(mk *m, size_t n)
{
    block *b = calloc(1, sizeof *b + n);
    assert_non_null(b);
    b->next = m->blocks;
    m->blocks = b;
    return b->data;
}

static void *clone(mk *m, const void *p, size_t n)
{
    void *q = mk_alloc(m, n + 1);
    if (n)
        memcpy(q, p, n);
    return q;
}

static char *text(mk *m, const char *s)
{
    return clone(m, s, strlen(s));
}

/* *array becomes one pointer longer. */
static void append(mk *m, void *array, size_t *n, void *item)
{
    void **old = *(void ***)array, **grown = mk_alloc(m, (*n + 1) * sizeof *grown);
    if (*n)
        memcpy(grown, old, *n * sizeof *grown);
    grown[(*n)++] = item;
    *(void ***)array = grown;
}

mk *mk_new(int64_t opset)
{
    mk *m = calloc(1, sizeof *m);
    assert_non_null(m);
    onnx__model_proto__init(&m->model);
    m->model.has_ir_version = 1;
    m->model.ir_version = 7;
    m->model.graph = mk_alloc(m, sizeof(Onnx__GraphProto));
    onnx__graph_proto__init(m->model.graph);
    Onnx__OperatorSetIdProto *s = mk_alloc(m, sizeof *s);
    onnx__operator_set_id_proto__init(s);
    s->has_version = 1;
    s->version = opset;
    append(m, &m->model.opset_import, &m->model.n_opset_import, s);
    return m;
}

void mk_free(mk *m)
{
    while (m->blocks) {
        block *next = m->blocks->next;
        free(m->blocks);
        m->blocks = next;
    }
    free(m);
}

Onnx__ModelProto *mk_model(mk *m)
{
    return &m->model;
}

Onnx__GraphProto *mk_graph(mk *m)
{
    return m->model.graph;
}

static Onnx__ValueInfoProto *value_info(mk *m, const char *name)
{
    Onnx__ValueInfoProto *v = mk_alloc(m, sizeof *v);
    onnx__value_info_proto__init(v);
    v->name = text(m, name);
    return v;
}

void mk_input(mk *m, const char *name, int rank, const int64_t *dims)
{
    Onnx__GraphProto *g = mk_graph(m);
    Onnx__ValueInfoProto *v = value_info(m, name);
    v->type = mk_alloc(m, sizeof *v->type);
    onnx__type_proto__init(v->type);
    v->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    Onnx__TypeProto__Tensor *t = v->type->tensor_type = mk_alloc(m, sizeof *t);
    onnx__type_proto__tensor__init(t);
    t->has_elem_type = 1;
    t->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    t->shape = mk_alloc(m, sizeof *t->shape);
    onnx__tensor_shape_proto__init(t->shape);
    for (int i = 0; i < rank; i++) {
        Onnx__TensorShapeProto__Dimension *d = mk_alloc(m, sizeof *d);
        onnx__tensor_shape_proto__dimension__init(d);
        if (dims[i] == -1) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d->dim_param = text(m, "free");
        } else {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d->dim_value = dims[i];
        }
        append(m, &t->shape->dim, &t->shape->n_dim, d);
    }
    append(m, &g->input, &g->n_input, v);
}

void mk_output(mk *m, const char *name)
{
    append(m, &mk_graph(m)->output, &mk_graph(m)->n_output, value_info(m, name));
}

static Onnx__TensorProto *initializer(mk *m, const char *name, size_t rank, const int64_t *dims)
{
    Onnx__TensorProto *t = mk_alloc(m, sizeof *t);
    onnx__tensor_proto__init(t);
    t->name = text(m, name);
    t->has_data_type = 1;
    t->n_dims = rank;
    t->dims = clone(m, dims, rank * sizeof *dims);
    append(m, &mk_graph(m)->initializer, &mk_graph(m)->n_initializer, t);
    return t;
}

Onnx__TensorProto *mk_floats(mk *m, const char *name, int rank, const int64_t *dims, const float *v)
{
    Onnx__TensorProto *t = initializer(m, name, (size_t)rank, dims);
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    t->n_float_data = 1;
    for (int i = 0; i < rank; i++)
        t->n_float_data *= (size_t)dims[i];
    t->float_data = clone(m, v, t->n_float_data * sizeof *v);
    return t;
}

Onnx__TensorProto *mk_ints(mk *m, const char *name, size_t n, const int64_t *v)
{
    int64_t dim = (int64_t)n;
    Onnx__TensorProto *t = initializer(m, name, 1, &dim);
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    t->has_raw_data = 1;
    t->raw_data.len = n * sizeof *v;
    t->raw_data.data = clone(m, v, n * sizeof *v);
    return t;
}

static void words(mk *m, const char *s, char ***out, size_t *n)
{
    char *copy = text(m, s), *save = NULL;
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        append(m, out, n, strcmp(w, "-") ? w : text(m, ""));
}

mk_node *mk_op(mk *m, const char *op, const char *in, const char *out)
{
    mk_node *n = mk_alloc(m, sizeof *n);
    onnx__node_proto__init(n);
    n->op_type = text(m, op);
    words(m, in, &n->input, &n->n_input);
    words(m, out, &n->output, &n->n_output);
    append(m, &mk_graph(m)->node, &mk_graph(m)->n_node, n);
    return n;
}

Onnx__AttributeProto *mk_attr(mk *m, mk_node *n, const char *name)
{
    Onnx__AttributeProto *a = mk_alloc(m, sizeof *a);
    onnx__attribute_proto__init(a);
    a->name = text(m, name);
    append(m, &n->attribute, &n->n_attribute, a);
    return a;
}

void mk_int(mk *m, mk_node *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = mk_attr(m, n, name);
    a->has_type = 1;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    a->has_i = 1;
    a->i = v;
}

void mk_float(mk *m, mk_node *n, const char *name, float v)
{
    Onnx__AttributeProto *a = mk_attr(m, n, name);
    a->has_type = 1;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    a->has_f = 1;
    a->f = v;
}

void mk_list(mk *m, mk_node *n, const char *name, size_t count, const int64_t *v)
{
    Onnx__AttributeProto *a = mk_attr(m, n, name);
    a->has_type = 1;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    a->n_ints = count;
    a->ints = clone(m, v, count * sizeof *v);
}

void mk_text(mk *m, mk_node *n, const char *name, const char *v)
{
    Onnx__AttributeProto *a = mk_attr(m, n, name);
    a->has_type = 1;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
    a->has_s = 1;
    a->s.len = strlen(v);
    a->s.data = clone(m, v, a->s.len);
}

uint8_t *mk_pack(mk *m, size_t *size)
{
    *size = onnx__model_proto__get_packed_size(&m->model);
    uint8_t *p = malloc(*size ? *size : 1);
    assert_non_null(p);
    onnx__model_proto__pack(&m->model, p);
    return p;
}

dmv_status mk_import(mk *m, const dv_import_options *o, dv_graph *g, dv_err *e)
{
    size_t size;
    uint8_t *p = mk_pack(m, &size);
    dmv_status st = dv_import_onnx(p, size, "test.onnx", o, g, e);
    free(p);
    return st;
}

size_t count_op(const dv_graph *g, uint16_t op)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        n += g->nodes[i].op == op;
    return n;
}

static void run_and_compare(const dv_graph *g, const float *in, int rank, const int64_t *dims,
                            const float *want)
{
    dv_kernels k;
    dv_exec *x = NULL;
    dv_err e = {0};
    const int64_t *in_dims = g->tensors[g->inputs[0]].dims;
    size_t count;
    dv_kernels_init(&k, 0);
    if (dv_exec_open(g, &k, NULL, &x, &e) != DMV_OK || dv_exec_shape(x, &in_dims, &e) != DMV_OK)
        fail_msg("%s", e.msg);
    assert_true(dv_count(g->tensors[g->inputs[0]].rank, in_dims, &count));
    memcpy(dv_exec_input(x, 0), in, count * sizeof *in);
    dv_exec_run(x);
    const dv_value *out = dv_exec_output(x, 0);
    assert_int_equal(out->rank, rank);
    for (int i = 0; i < rank; i++)
        assert_int_equal(out->dims[i], dims[i]);
    for (size_t i = 0; i < out->count; i++)
        if (!(fabsf(out->f[i] - want[i]) <= 1e-5f * (1 + fabsf(want[i]))))
            fail_msg("value %zu is %g, not %g", i, (double)out->f[i], (double)want[i]);
    dv_exec_close(&x);
}

void mk_check(mk *m, const float *in, int rank, const int64_t *dims, const float *want)
{
    for (int passes = 0; passes < 2; passes++) {
        dv_import_options o = {.no_passes = !passes};
        dv_graph g;
        dv_err e = {0};
        if (mk_import(m, &o, &g, &e) != DMV_OK)
            fail_msg("%s", e.msg);
        run_and_compare(&g, in, rank, dims, want);
        dv_graph_free(&g);
    }
}
