/* SPDX-License-Identifier: Apache-2.0
 *
 * A TensorFlow Lite file: the model's first subgraph as arrays of tensors and nodes. Field numbers
 * are those of TensorFlow's schema.fbs. After this, every number of a tensor or buffer is in
 * range and every shape fits its data.
 */
#include <string.h>

#include "import/tflite.h"

#define MAX_TENSORS 100000
#define MAX_NODES 50000

static dmv_status damaged(dv_err *e, const char *what)
{
    return dv_fail(e, DMV_ERR_FORMAT, "%s: an offset leads out of the file", what);
}

static size_t bytes_of(int type)
{
    switch (type) {
    case TFL_F32:
    case TFL_I32:
        return 4;
    case TFL_F16:
        return 2;
    case TFL_I64:
        return 8;
    case TFL_U8:
    case TFL_I8:
    case TFL_BOOL:
        return 1;
    default:
        return 0;
    }
}

/* Dims: shape, or shape_signature where that has free ones (-1). */
static dmv_status read_dims(tfl_tensor *t, dv_err *e)
{
    fb_vector shape = fb_items(t->table, 0, 4), sign = fb_items(t->table, 7, 4);
    if (shape.n > DMV_MAX_RANK)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "tensor '%s' has %zu dims; at most %d are possible",
                       t->name, shape.n, DMV_MAX_RANK);
    t->rank = (int)shape.n;
    for (size_t i = 0; i < shape.n; i++) {
        t->dims[i] = fb_int_at(shape, i, 4);
        if (sign.n == shape.n && fb_int_at(sign, i, 4) == -1 && !t->data)
            t->dims[i] = -1;
        if (t->dims[i] < -1 || (t->data && t->dims[i] < 0))
            return dv_fail(e, DMV_ERR_FORMAT, "dim %zu of tensor '%s' is %lld", i, t->name,
                           (long long)t->dims[i]);
    }
    return DMV_OK;
}

static dmv_status read_quant(tfl_tensor *t, dv_err *e)
{
    fb_table q = fb_sub(t->table, 4);
    t->scale = fb_items(q, 2, 4);
    t->zero = fb_items(q, 3, 8);
    t->axis = (int)fb_int(q, 6, 4, 0);
    if (t->scale.n == 0)
        return DMV_OK;
    if (t->zero.n && t->zero.n != t->scale.n)
        return dv_fail(e, DMV_ERR_FORMAT, "tensor '%s' has %zu scales and %zu zero points", t->name,
                       t->scale.n, t->zero.n);
    if (t->scale.n > 1 &&
        (t->axis < 0 || t->axis >= t->rank || t->dims[t->axis] != (int64_t)t->scale.n))
        return dv_fail(e, DMV_ERR_FORMAT, "tensor '%s' has %zu scales for axis %d", t->name,
                       t->scale.n, t->axis);
    for (size_t i = 0; i < t->scale.n; i++) {
        float s = fb_float_at(t->scale, i);
        int64_t z = t->zero.n ? fb_int_at(t->zero, i, 8) : 0;
        if (!(s > 1e-30f && s < 1e30f) || z < -128 || z > 255)
            return dv_fail(e, DMV_ERR_FORMAT,
                           "tensor '%s' has a scale of %g and a zero point of %lld", t->name,
                           (double)s, (long long)z);
    }
    return DMV_OK;
}

static dmv_status read_tensor(fb_table table, fb_vector buffers, tfl_tensor *t, size_t index,
                              dv_err *e)
{
    char name[sizeof t->name];
    memset(t, 0, sizeof *t);
    t->table = table;
    t->tensor = t->by = -1;
    if (fb_text(table, 3, name, sizeof name))
        lw_printable(name, t->name, sizeof t->name);
    else
        snprintf(t->name, sizeof t->name, "tensor %zu", index);
    t->type = (int)fb_int(table, 1, 1, TFL_F32);
    int64_t buffer = fb_int(table, 2, 4, 0);
    if (buffer < 0 || (buffer > 0 && (size_t)buffer >= buffers.n))
        return dv_fail(e, DMV_ERR_FORMAT, "tensor '%s' has buffer %lld of %zu", t->name,
                       (long long)buffer, buffers.n);
    fb_vector data = {0};
    if (buffer > 0)
        data = fb_items(fb_table_at(buffers, (size_t)buffer), 0, 1);
    if (table.f->bad)
        return damaged(e, t->name);
    if (fb_has(table, 6))
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "tensor '%s' is sparse; store it dense", t->name);
    t->data = data.n ? table.f->data + data.at : NULL;
    t->size = data.n;
    dmv_status st = read_dims(t, e);
    if (st == DMV_OK)
        st = read_quant(t, e);
    if (st != DMV_OK || !t->data)
        return st;
    size_t count, each = bytes_of(t->type), want;
    if (!dv_count(t->rank, t->dims, &count) ||
        (each && (!dv_mul(count, each, &want) || want != t->size)))
        return dv_fail(e, DMV_ERR_FORMAT, "tensor '%s' has %zu bytes, its dims ask for others",
                       t->name, t->size);
    return DMV_OK;
}

static dmv_status check_numbers(fb_vector v, size_t n, int64_t least, const char *what,
                                size_t index, dv_err *e)
{
    if (v.n > DV_MAX_IO)
        return dv_fail(e, DMV_ERR_LIMIT, "node %zu has %zu %s; at most %d are possible", index, v.n,
                       what, DV_MAX_IO);
    for (size_t i = 0; i < v.n; i++) {
        int64_t k = fb_int_at(v, i, 4);
        if (k < least || k >= (int64_t)n)
            return dv_fail(e, DMV_ERR_FORMAT, "node %zu: tensor %lld of %zu among its %s", index,
                           (long long)k, n, what);
    }
    return DMV_OK;
}

static dmv_status read_node(dv_tflite *t, fb_table table, fb_vector codes, tfl_node *n,
                            size_t index, dv_err *e)
{
    char text[sizeof n->custom];
    memset(n, 0, sizeof *n);
    int64_t code = fb_int(table, 0, 4, 0);
    if (code < 0 || (size_t)code >= codes.n)
        return dv_fail(e, DMV_ERR_FORMAT, "node %zu has operator %lld of %zu", index,
                       (long long)code, codes.n);
    fb_table c = fb_table_at(codes, (size_t)code);
    int64_t old = fb_int(c, 0, 1, 0), now = fb_int(c, 3, 4, 0);
    n->op = (int)DV_MAX(old, now);
    if (fb_text(c, 1, text, sizeof text)) {
        lw_printable(text, n->custom, sizeof n->custom);
        n->op = -1;
    }
    n->in = fb_items(table, 1, 4);
    n->out = fb_items(table, 2, 4);
    n->options = fb_sub(table, 4);
    fb_vector custom = fb_items(table, 5, 1);
    n->custom_options = custom.n ? t->file.data + custom.at : NULL;
    n->custom_size = custom.n;
    if (t->file.bad)
        return damaged(e, "a node");
    dmv_status st = check_numbers(n->in, t->n_tensors, -1, "inputs", index, e);
    return st ? st : check_numbers(n->out, t->n_tensors, 0, "outputs", index, e);
}

static dmv_status read_all(dv_tflite *t, dv_err *e)
{
    fb_table model = fb_root(&t->file);
    int64_t version = fb_int(model, 0, 4, 0);
    fb_vector codes = fb_items(model, 1, 4), graphs = fb_items(model, 2, 4),
              buffers = fb_items(model, 4, 4);
    if (t->file.bad)
        return damaged(e, "the model");
    if (version != 3)
        return dv_fail(e, DMV_ERR_VERSION, "schema version %lld; version 3 can be read",
                       (long long)version);
    if (graphs.n == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "there is no net inside");
    t->graph = fb_table_at(graphs, 0);
    fb_vector tensors = fb_items(t->graph, 0, 4), nodes = fb_items(t->graph, 3, 4);
    t->inputs = fb_items(t->graph, 1, 4);
    t->outputs = fb_items(t->graph, 2, 4);
    if (t->file.bad)
        return damaged(e, "the net");
    if (tensors.n > MAX_TENSORS || nodes.n > MAX_NODES)
        return dv_fail(e, DMV_ERR_LIMIT, "the net has more tensors or nodes than can be imported");
    t->tensors = dv_calloc(tensors.n + 1, sizeof *t->tensors);
    t->nodes = dv_calloc(nodes.n + 1, sizeof *t->nodes);
    if (!t->tensors || !t->nodes)
        return dv_nomem(e);
    dmv_status st = DMV_OK;
    for (size_t i = 0; st == DMV_OK && i < tensors.n; i++)
        st = read_tensor(fb_table_at(tensors, i), buffers, &t->tensors[i], i, e);
    t->n_tensors = tensors.n;
    for (size_t i = 0; st == DMV_OK && i < nodes.n; i++)
        st = read_node(t, fb_table_at(nodes, i), codes, &t->nodes[i], i, e);
    t->n_nodes = nodes.n;
    if (st == DMV_OK)
        st = check_numbers(t->inputs, t->n_tensors, 0, "inputs", 0, e);
    if (st == DMV_OK)
        st = check_numbers(t->outputs, t->n_tensors, 0, "outputs", 0, e);
    return st;
}

dmv_status dv_tflite_parse(const uint8_t *data, size_t size, dv_tflite *t, dv_err *e)
{
    memset(t, 0, sizeof *t);
    t->file = (fb){.data = data, .size = size};
    if (size < 16 || memcmp(data + 4, "TFL3", 4))
        return dv_fail(e, DMV_ERR_FORMAT, "not a TensorFlow Lite file: \"TFL3\" is missing");
    dmv_status st = read_all(t, e);
    if (st == DMV_OK && t->file.bad)
        st = damaged(e, "the file");
    if (st != DMV_OK)
        dv_tflite_free(t);
    return st;
}

void dv_tflite_free(dv_tflite *t)
{
    dv_free(t->tensors);
    dv_free(t->nodes);
    t->tensors = NULL;
    t->nodes = NULL;
}
