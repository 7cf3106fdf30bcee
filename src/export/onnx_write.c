/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx_write.c - the ONNX model in memory: values, nodes, attributes, initializers, and the file.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "export/onnx_write.h"

void ex_nomem(ex *x)
{
    if (ex_ok(x))
        x->st = dv_nomem(x->e);
}

void *ex_alloc(ex *x, size_t count, size_t size)
{
    size_t n;
    ex_block *b = NULL;
    if (!ex_ok(x))
        return NULL;
    if (dv_mul(count, size, &n) && dv_add(n, sizeof *b + 1, &n))
        b = dv_calloc(1, n);
    if (!b) {
        ex_nomem(x);
        return NULL;
    }
    b->next = x->blocks;
    x->blocks = b;
    return b->data;
}

static char *copy_text(ex *x, const char *s)
{
    size_t n = strlen(s);
    char *p = ex_alloc(x, n + 1, 1);
    if (p)
        memcpy(p, s, n + 1);
    return p;
}

void ex_unsupported(ex *x, const char *fmt, ...)
{
    char text[300];
    if (!ex_ok(x))
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    x->st = dv_fail(x->e, DMV_ERR_UNSUPPORTED, "node %zu (%s \"%.80s\") cannot be exported: %s",
                    x->at, dv_op_name(x->n->op), x->n->name ? x->n->name : "", text);
}

int32_t ex_value_new(ex *x, const char *name, bool computed)
{
    if (!ex_ok(x))
        return -1;
    if (x->n_values >= INT32_MAX ||
        !dv_grow(&x->values, &x->cap_values, x->n_values, sizeof *x->values)) {
        ex_nomem(x);
        return -1;
    }
    x->values[x->n_values] = (ex_value){name, computed};
    return (int32_t)x->n_values++;
}

/* ---- nodes ---- */

void ex_op_many(ex *x, const char *op, int n_in, const int32_t *in, int n_out, int32_t *out)
{
    for (int i = 0; i < n_out; i++)
        out[i] = ex_value_new(x, NULL, true);
    ex_node *n = ex_alloc(x, 1, sizeof *n);
    if (!n || !dv_grow(&x->nodes, &x->cap_nodes, x->n_nodes, sizeof *x->nodes)) {
        ex_nomem(x);
        return;
    }
    onnx__node_proto__init(&n->p);
    n->p.op_type = copy_text(x, op);
    n->p.name = copy_text(x, x->n && x->n->name ? x->n->name : "");
    n->p.n_input = (size_t)n_in;
    n->p.n_output = (size_t)n_out;
    n->in = ex_alloc(x, (size_t)n_in, sizeof *in);
    n->out = ex_alloc(x, (size_t)n_out, sizeof *out);
    if (!ex_ok(x))
        return;
    if (n_in)
        memcpy(n->in, in, (size_t)n_in * sizeof *in);
    memcpy(n->out, out, (size_t)n_out * sizeof *out);
    x->nodes[x->n_nodes++] = n;
}

int32_t ex_op(ex *x, const char *op, int n_in, const int32_t *in)
{
    int32_t out = -1;
    while (n_in > 0 && in[n_in - 1] < 0)
        n_in--;
    ex_op_many(x, op, n_in, in, 1, &out);
    return ex_ok(x) ? out : -1;
}

int32_t ex_op1(ex *x, const char *op, int32_t a)
{
    return ex_op(x, op, 1, &a);
}

int32_t ex_op2(ex *x, const char *op, int32_t a, int32_t b)
{
    int32_t in[2] = {a, b};
    return ex_op(x, op, 2, in);
}

static Onnx__AttributeProto *attr(ex *x, const char *name, int type)
{
    if (!ex_ok(x))
        return NULL;
    Onnx__NodeProto *p = &x->nodes[x->n_nodes - 1]->p;
    Onnx__AttributeProto **all = ex_alloc(x, p->n_attribute + 1, sizeof *all);
    Onnx__AttributeProto *a = ex_alloc(x, 1, sizeof *a);
    if (!a)
        return NULL;
    onnx__attribute_proto__init(a);
    a->name = copy_text(x, name);
    a->has_type = 1;
    a->type = (Onnx__AttributeProto__AttributeType)type;
    if (p->n_attribute)
        memcpy(all, p->attribute, p->n_attribute * sizeof *all);
    all[p->n_attribute++] = a;
    p->attribute = all;
    return a;
}

void ex_int(ex *x, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = attr(x, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (a) {
        a->has_i = 1;
        a->i = v;
    }
}

void ex_float(ex *x, const char *name, float v)
{
    Onnx__AttributeProto *a = attr(x, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (a) {
        a->has_f = 1;
        a->f = v;
    }
}

void ex_ints(ex *x, const char *name, const int64_t *v, size_t n)
{
    Onnx__AttributeProto *a = attr(x, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *copy = a ? ex_alloc(x, n, sizeof *copy) : NULL;
    if (!copy)
        return;
    memcpy(copy, v, n * sizeof *copy);
    a->ints = copy;
    a->n_ints = n;
}

void ex_text(ex *x, const char *name, const char *v)
{
    Onnx__AttributeProto *a = attr(x, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    char *copy = a ? copy_text(x, v) : NULL;
    if (!copy)
        return;
    a->has_s = 1;
    a->s.len = strlen(v);
    a->s.data = (uint8_t *)copy;
}

/* ---- initializers ---- */

int32_t ex_init(ex *x, int type, int rank, const int64_t *dims, const void *data, size_t bytes)
{
    size_t count, size;
    if (!ex_ok(x))
        return -1;
    if (!dv_count(rank, dims, &count) || !dv_mul(count, bytes, &size)) {
        x->st = dv_fail(x->e, DMV_ERR_LIMIT, "a constant is too large for the file");
        return -1;
    }
    Onnx__TensorProto *t = ex_alloc(x, 1, sizeof *t);
    uint8_t *copy = ex_alloc(x, size, 1);
    int64_t *d = ex_alloc(x, (size_t)rank, sizeof *d);
    int32_t v = ex_value_new(x, NULL, false);
    if (!ex_ok(x) || !dv_grow(&x->inits, &x->cap_inits, x->n_inits, sizeof *x->inits) ||
        !dv_grow(&x->init_value, &x->cap_init_value, x->n_inits, sizeof *x->init_value)) {
        ex_nomem(x);
        return -1;
    }
    onnx__tensor_proto__init(t);
    t->has_data_type = 1;
    t->data_type = type;
    t->n_dims = (size_t)rank;
    t->dims = d;
    if (rank)
        memcpy(d, dims, (size_t)rank * sizeof *d);
    t->has_raw_data = 1;
    t->raw_data.len = size;
    t->raw_data.data = copy;
    if (size)
        memcpy(copy, data, size);
    x->init_value[x->n_inits] = v;
    x->inits[x->n_inits++] = t;
    return v;
}

int32_t ex_floats(ex *x, int rank, const int64_t *dims, const float *v)
{
    return v ? ex_init(x, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, rank, dims, v, sizeof *v) : -1;
}

int32_t ex_scalar(ex *x, float v)
{
    return ex_floats(x, 0, NULL, &v);
}

int32_t ex_list(ex *x, const int64_t *v, size_t n)
{
    int64_t dim = (int64_t)n;
    return ex_init(x, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1, &dim, v, sizeof *v);
}

/* ---- the file ---- */

/* A beginning for numbered names that no named value has. */
static void free_prefix(const ex *x, char prefix[16])
{
    bool taken = true;
    for (int len = 1; taken && len < 15; len++) {
        memset(prefix, 'v', (size_t)len);
        prefix[len] = 0;
        taken = false;
        for (size_t i = 0; i < x->n_values; i++)
            taken =
                taken || (x->values[i].name && !strncmp(x->values[i].name, prefix, (size_t)len));
    }
}

static void name_values(ex *x)
{
    char prefix[16], name[40];
    free_prefix(x, prefix);
    for (size_t i = 0; ex_ok(x) && i < x->n_values; i++)
        if (!x->values[i].name) {
            snprintf(name, sizeof name, "%s%zu", prefix, i);
            x->values[i].name = copy_text(x, name);
        }
}

/* The operator that the node of the graph is about. */
static int rank_of(const ex_node *n)
{
    static const char *const main_ops[] = {"Conv", "Gemm", "MatMul", "ConvTranspose"};
    for (size_t i = 0; i < DV_COUNT(main_ops); i++)
        if (!strcmp(n->p.op_type, main_ops[i]))
            return 0;
    return 1;
}

static int by_name(const void *a, const void *b)
{
    const ex_node *p = *(ex_node *const *)a, *q = *(ex_node *const *)b;
    int order = strcmp(p->p.name, q->p.name);
    if (order == 0)
        order = rank_of(p) - rank_of(q);
    return order ? order : p->number < q->number ? -1 : 1;
}

/* Names of nodes are optional, but one must not stand twice. */
static void name_nodes(ex *x)
{
    static char none[] = "";
    ex_node **all = ex_alloc(x, x->n_nodes, sizeof(*all));
    if (!all)
        return;
    for (size_t i = 0; i < x->n_nodes; i++) {
        all[i] = x->nodes[i];
        all[i]->number = i;
    }
    qsort(all, x->n_nodes, sizeof(*all), by_name);
    const char *last = "";
    for (size_t i = 0; i < x->n_nodes; i++) {
        bool same = !strcmp(all[i]->p.name, last);
        last = all[i]->p.name;
        if (same)
            all[i]->p.name = none;
    }
}

static char *name_of(const ex *x, int32_t v)
{
    static char none[] = "";
    return v < 0 ? none : (char *)(uintptr_t)x->values[v].name;
}

static Onnx__ValueInfoProto *value_info(ex *x, int32_t v, int rank, const int64_t *dims)
{
    Onnx__ValueInfoProto *p = ex_alloc(x, 1, sizeof *p);
    Onnx__TypeProto *type = ex_alloc(x, 1, sizeof *type);
    Onnx__TypeProto__Tensor *t = ex_alloc(x, 1, sizeof *t);
    Onnx__TensorShapeProto *s = ex_alloc(x, 1, sizeof *s);
    Onnx__TensorShapeProto__Dimension **all = ex_alloc(x, (size_t)rank, sizeof *all);
    Onnx__TensorShapeProto__Dimension *d = ex_alloc(x, (size_t)rank, sizeof *d);
    if (!ex_ok(x))
        return NULL;
    onnx__value_info_proto__init(p);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(t);
    onnx__tensor_shape_proto__init(s);
    p->name = name_of(x, v);
    p->type = type;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = t;
    t->has_elem_type = 1;
    t->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    t->shape = s;
    s->n_dim = (size_t)rank;
    s->dim = all;
    for (int i = 0; i < rank; i++) {
        all[i] = &d[i];
        onnx__tensor_shape_proto__dimension__init(&d[i]);
        if (dims[i] >= 0) {
            d[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d[i].dim_value = dims[i];
        } else {
            char text[32];
            snprintf(text, sizeof text, "dim%d", i);
            d[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d[i].dim_param = copy_text(x, text);
        }
    }
    return p;
}

static Onnx__StringStringEntryProto *meta_entry(ex *x, const dv_meta_item *it)
{
    Onnx__StringStringEntryProto *p = ex_alloc(x, 1, sizeof *p);
    dv_buf key = {0}, v = {0};
    dv_buf_printf(&key, DV_EXPORT_META "%s", it->key);
    if (it->type == 1)
        dv_buf_printf(&v, "text:%s", it->text ? it->text : "");
    else if (it->type == 2)
        dv_buf_printf(&v, "int:%lld", (long long)it->num);
    else
        for (uint32_t i = 0; i < it->n || i == 0; i++)
            dv_buf_printf(&v, i < it->n ? "%s%.9g" : "%s",
                          i ? "," : "floats:", i < it->n ? (double)it->f[i] : 0);
    if (key.bad || v.bad)
        ex_nomem(x);
    if (ex_ok(x)) {
        onnx__string_string_entry_proto__init(p);
        p->key = copy_text(x, (const char *)key.data);
        p->value = copy_text(x, (const char *)v.data);
    }
    dv_buf_free(&key);
    dv_buf_free(&v);
    return p;
}

static void set_io(ex *x, Onnx__GraphProto *g)
{
    const dv_graph *from = x->g;
    g->input = ex_alloc(x, from->n_inputs, sizeof *g->input);
    g->output = ex_alloc(x, from->n_outputs, sizeof *g->output);
    for (size_t i = 0; ex_ok(x) && i < from->n_inputs; i++) {
        const dv_gtensor *t = &from->tensors[from->inputs[i]];
        g->input[g->n_input++] =
            value_info(x, x->t[from->inputs[i]].value[EX_PLAIN], t->rank, t->dims);
    }
    for (size_t i = 0; ex_ok(x) && i < from->n_outputs; i++) {
        const ex_tensor *t = &x->t[from->outputs[i]];
        g->output[g->n_output++] = value_info(x, t->value[EX_PLAIN], t->rank, t->dims);
    }
}

static void set_body(ex *x, Onnx__GraphProto *g)
{
    g->node = ex_alloc(x, x->n_nodes, sizeof *g->node);
    for (size_t i = 0; ex_ok(x) && i < x->n_nodes; i++) {
        ex_node *n = x->nodes[i];
        n->p.input = ex_alloc(x, n->p.n_input, sizeof *n->p.input);
        n->p.output = ex_alloc(x, n->p.n_output, sizeof *n->p.output);
        for (size_t k = 0; ex_ok(x) && k < n->p.n_input; k++)
            n->p.input[k] = name_of(x, n->in[k]);
        for (size_t k = 0; ex_ok(x) && k < n->p.n_output; k++)
            n->p.output[k] = name_of(x, n->out[k]);
        if (ex_ok(x))
            g->node[g->n_node++] = &n->p;
    }
    for (size_t i = 0; i < x->n_inits; i++)
        x->inits[i]->name = name_of(x, x->init_value[i]);
    g->initializer = x->inits;
    g->n_initializer = x->n_inits;
}

static char producer[] = "domovoi", graph_name[] = "net";

dmv_status ex_pack(ex *x, const dv_meta *meta, uint8_t **data, size_t *size)
{
    Onnx__ModelProto m;
    Onnx__GraphProto g;
    Onnx__OperatorSetIdProto set, *sets = &set;
    onnx__model_proto__init(&m);
    onnx__graph_proto__init(&g);
    onnx__operator_set_id_proto__init(&set);
    name_values(x);
    name_nodes(x);
    set_io(x, &g);
    set_body(x, &g);
    m.has_ir_version = 1;
    m.ir_version = 7; /* of operator set 13 */
    m.producer_name = producer;
    m.graph = &g;
    g.name = graph_name;
    set.has_version = 1;
    set.version = DV_EXPORT_OPSET;
    m.opset_import = &sets;
    m.n_opset_import = 1;
    m.metadata_props = ex_alloc(x, meta ? meta->n : 0, sizeof *m.metadata_props);
    for (size_t i = 0; ex_ok(x) && meta && i < meta->n; i++)
        m.metadata_props[m.n_metadata_props++] = meta_entry(x, &meta->items[i]);
    if (!ex_ok(x))
        return x->st;
    *size = onnx__model_proto__get_packed_size(&m);
    if (*size > INT32_MAX)
        return x->st = dv_fail(x->e, DMV_ERR_LIMIT, "the file would be larger than 2 GiB");
    *data = dv_malloc(*size);
    if (!*data)
        return x->st = dv_nomem(x->e);
    onnx__model_proto__pack(&m, *data);
    return DMV_OK;
}
