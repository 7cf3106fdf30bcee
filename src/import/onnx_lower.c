/* SPDX-License-Identifier: Apache-2.0
 *
 * From a parsed ONNX graph to ours: the names are resolved, the nodes put in running
 * order, each lowered by its operator's function, and everything that cannot be lowered
 * is listed in one message.
 *
 * Only nodes that the outputs need are lowered, but all are checked: names that nobody
 * writes, names written twice and cycles are errors anywhere.
 */
#include <stdlib.h>
#include <string.h>

#include "import/onnx.h"

static void label_node(const Onnx__NodeProto *n, char *out, size_t size)
{
    const char *s = n->name && n->name[0] ? n->name : NULL;
    for (size_t i = 0; !s && i < n->n_output; i++)
        if (n->output[i][0])
            s = n->output[i];
    lw_printable(s ? s : "without a name", out, size);
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const lw_name *)a)->name, ((const lw_name *)b)->name);
}

lw_name *lw_lookup(const dv_lower *L, const char *name)
{
    lw_name key = {.name = name};
    return L->o->n_names ? bsearch(&key, L->o->names, L->o->n_names, sizeof key, compare_names)
                         : NULL;
}

/* An input that is also an initializer (IR version 3) counts as the initializer. */
static dmv_status collect_names(dv_lower *L)
{
    const Onnx__GraphProto *og = L->o->graph;
    size_t n = 0, total = og->n_initializer + og->n_input;
    char text[64];
    for (size_t i = 0; i < og->n_node; i++)
        total += og->node[i]->n_output;
    L->o->names = dv_calloc(total + 1, sizeof *L->o->names);
    if (!L->o->names)
        return dv_nomem(L->e);
    for (size_t i = 0; i < og->n_initializer; i++)
        if (og->initializer[i]->name && og->initializer[i]->name[0])
            L->o->names[n++] = (lw_name){og->initializer[i]->name, -1, (int32_t)i, -1};
    for (size_t i = 0; i < og->n_input; i++) {
        if (!og->input[i]->name || !og->input[i]->name[0])
            return dv_fail(L->e, DMV_ERR_FORMAT, "input %zu has no name", i);
        L->o->names[n++] = (lw_name){og->input[i]->name, -1, -1, -1};
    }
    for (size_t i = 0; i < og->n_node; i++)
        for (size_t j = 0; j < og->node[i]->n_output; j++)
            if (og->node[i]->output[j][0])
                L->o->names[n++] = (lw_name){og->node[i]->output[j], (int32_t)i, -1, -1};
    qsort(L->o->names, n, sizeof *L->o->names, compare_names);
    for (size_t i = 0; i < n; i++) {
        lw_name *last = L->o->n_names ? &L->o->names[L->o->n_names - 1] : NULL;
        const lw_name *now = &L->o->names[i];
        if (!last || strcmp(last->name, now->name)) {
            L->o->names[L->o->n_names++] = *now;
            continue;
        }
        bool is_input = now->init < 0 && now->node < 0;
        bool was_input = last->init < 0 && last->node < 0;
        if (last->node < 0 && now->node < 0 && is_input != was_input) {
            last->init = DV_MAX(last->init, now->init);
            continue;
        }
        lw_printable(now->name, text, sizeof text);
        return dv_fail(L->e, DMV_ERR_FORMAT, "tensor '%s' is defined twice", text);
    }
    return DMV_OK;
}

/* ---- order ---- */

typedef struct visit {
    int32_t node;
    size_t next; /* input to look at */
} visit;

/* Depth first from `root`, inputs before the node itself: a sorted graph keeps its order.
 * mark: 0 = new, 1 = on the stack, 2 = done. */
static dmv_status order_from(dv_lower *L, int32_t root, uint8_t *mark, visit *stack, int32_t *order,
                             size_t *n_order)
{
    const Onnx__GraphProto *og = L->o->graph;
    size_t depth = 0;
    if (mark[root])
        return DMV_OK;
    mark[root] = 1;
    stack[depth++] = (visit){root, 0};
    while (depth) {
        visit *v = &stack[depth - 1];
        const Onnx__NodeProto *n = og->node[v->node];
        if (v->next == n->n_input) {
            mark[v->node] = 2;
            order[(*n_order)++] = v->node;
            depth--;
            continue;
        }
        const char *name = n->input[v->next++];
        const lw_name *from = name[0] ? lw_lookup(L, name) : NULL;
        char label[64], text[64];
        if (name[0] && !from) {
            label_node(n, label, sizeof label);
            lw_printable(name, text, sizeof text);
            return dv_fail(L->e, DMV_ERR_FORMAT,
                           "node '%s' reads tensor '%s', which nothing writes", label, text);
        }
        if (!from || from->node < 0 || mark[from->node] == 2)
            continue;
        if (mark[from->node] == 1) {
            label_node(og->node[from->node], label, sizeof label);
            return dv_fail(L->e, DMV_ERR_FORMAT, "node '%s' depends on its own output", label);
        }
        mark[from->node] = 1;
        stack[depth++] = (visit){from->node, 0};
    }
    return DMV_OK;
}

/* All nodes in running order, and in live[] those that an output needs. */
static dmv_status sort_nodes(dv_lower *L, int32_t *order, uint8_t *live)
{
    const Onnx__GraphProto *og = L->o->graph;
    size_t n_order = 0;
    dmv_status st = DMV_OK;
    uint8_t *mark = dv_calloc(og->n_node + 1, 1);
    visit *stack = dv_calloc(og->n_node + 1, sizeof *stack);
    if (!mark || !stack)
        st = dv_nomem(L->e);
    for (size_t i = 0; st == DMV_OK && i < og->n_node; i++)
        st = order_from(L, (int32_t)i, mark, stack, order, &n_order);
    for (size_t i = 0; st == DMV_OK && i < og->n_output; i++) {
        const char *name = og->output[i]->name;
        const lw_name *from = name && name[0] ? lw_lookup(L, name) : NULL;
        char text[64];
        if (!from) {
            lw_printable(name, text, sizeof text);
            st = dv_fail(L->e, DMV_ERR_FORMAT, "output '%s' is written by no node", text);
        } else if (from->node >= 0) {
            live[from->node] = 1;
        }
    }
    for (size_t i = n_order; st == DMV_OK && i-- > 0;) {
        const Onnx__NodeProto *n = og->node[order[i]];
        for (size_t j = 0; live[order[i]] && j < n->n_input; j++) {
            const lw_name *from = n->input[j][0] ? lw_lookup(L, n->input[j]) : NULL;
            if (from && from->node >= 0)
                live[from->node] = 1;
        }
    }
    dv_free(mark);
    dv_free(stack);
    return st;
}

/* ---- inputs and outputs ---- */

static dmv_status add_input(dv_lower *L, const Onnx__ValueInfoProto *vi, size_t index,
                            const dv_import_options *opt, int32_t *out)
{
    char text[64];
    lw_printable(vi->name, text, sizeof text);
    const Onnx__TypeProto__Tensor *tt =
        vi->type && vi->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
            ? vi->type->tensor_type
            : NULL;
    if (!tt)
        return dv_fail(L->e, DMV_ERR_UNSUPPORTED, "input '%s' is not a tensor", text);
    if (tt->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT &&
        tt->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 &&
        tt->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE)
        return dv_fail(L->e, DMV_ERR_UNSUPPORTED,
                       "input '%s' has data type %d; only floats can be fed to a net", text,
                       tt->elem_type);
    if (!tt->shape)
        return dv_fail(L->e, DMV_ERR_UNSUPPORTED,
                       "input '%s' has no shape: write one into the file", text);
    if (tt->shape->n_dim > DMV_MAX_RANK)
        return dv_fail(L->e, DMV_ERR_UNSUPPORTED,
                       "input '%s' has %zu dims; at most %d are possible", text, tt->shape->n_dim,
                       DMV_MAX_RANK);
    int rank = (int)tt->shape->n_dim;
    int64_t dims[DMV_MAX_RANK] = {0};
    const int64_t *given = opt && index == 0 ? opt->dims : NULL;
    if (given && opt->rank != rank)
        return dv_fail(L->e, DMV_ERR_ARGUMENT, "input '%s' has %d dims, %d sizes were given", text,
                       rank, opt->rank);
    for (int i = 0; i < rank; i++) {
        const Onnx__TensorShapeProto__Dimension *d = tt->shape->dim[i];
        bool fixed = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
                     d->dim_value != -1;
        dims[i] = fixed ? d->dim_value : i == 0 ? 1 : -1;
        if (fixed && (dims[i] < 1 || dims[i] > INT32_MAX))
            return dv_fail(L->e, DMV_ERR_FORMAT, "dim %d of input '%s' is %lld", i, text,
                           (long long)dims[i]);
        if (!given || given[i] < 0)
            continue;
        if (given[i] == 0 || given[i] > INT32_MAX || (fixed && given[i] != dims[i]))
            return dv_fail(L->e, DMV_ERR_ARGUMENT, "dim %d of input '%s' cannot be %lld", i, text,
                           (long long)given[i]);
        dims[i] = given[i];
    }
    *out = lw_input(L, vi->name, rank, dims);
    lw_lookup(L, vi->name)->tensor = *out;
    return L->st;
}

static dmv_status add_output(dv_lower *L, const char *name, int32_t *out, size_t n_out)
{
    const lw_name *from = lw_lookup(L, name);
    char text[64];
    lw_printable(name, text, sizeof text);
    L->o->n = NULL;
    if (from->tensor < 0 && from->init >= 0)
        return dv_fail(L->e, DMV_ERR_UNSUPPORTED, "output '%s' is a stored constant", text);
    if (from->tensor < 0)
        return dv_fail(L->e, DMV_ERR_UNSUPPORTED,
                       "output '%s' is an optional result that cannot be computed", text);
    return lw_output(L, from->tensor, name, out, n_out);
}

static dmv_status set_inputs(dv_lower *L, const dv_import_options *opt)
{
    const Onnx__GraphProto *og = L->o->graph;
    int32_t *in = dv_calloc(og->n_input + 1, sizeof *in);
    size_t n = 0;
    dmv_status st = in ? DMV_OK : dv_nomem(L->e);
    for (size_t i = 0; st == DMV_OK && i < og->n_input; i++)
        if (lw_lookup(L, og->input[i]->name)->init < 0) {
            st = add_input(L, og->input[i], n, opt, &in[n]);
            n++;
        }
    if (st == DMV_OK && n == 0)
        st = dv_fail(L->e, DMV_ERR_FORMAT, "the graph has no input");
    if (st == DMV_OK && !dv_graph_set_io(L->g, in, n, NULL, 0))
        st = dv_nomem(L->e);
    dv_free(in);
    return st;
}

static dmv_status set_outputs(dv_lower *L)
{
    const Onnx__GraphProto *og = L->o->graph;
    if (og->n_output == 0)
        return dv_fail(L->e, DMV_ERR_FORMAT, "the graph has no output");
    int32_t *out = dv_calloc(og->n_output, sizeof *out);
    int32_t *in = dv_calloc(L->g->n_inputs + 1, sizeof *in);
    dmv_status st = in && out ? DMV_OK : dv_nomem(L->e);
    for (size_t i = 0; st == DMV_OK && i < og->n_output; i++)
        st = add_output(L, og->output[i]->name, out, i);
    if (st == DMV_OK) {
        memcpy(in, L->g->inputs, L->g->n_inputs * sizeof *in);
        if (!dv_graph_set_io(L->g, in, L->g->n_inputs, out, og->n_output))
            st = dv_nomem(L->e);
    }
    dv_free(in);
    dv_free(out);
    return st;
}

/* ---- nodes ---- */

static lw_fn find_op(const Onnx__NodeProto *n)
{
    static const lw_op *const tables[] = {lw_ops_picture, lw_ops_math, lw_ops_norm, lw_ops_shape,
                                          lw_ops_quant};
    if (n->domain && n->domain[0] && strcmp(n->domain, "ai.onnx"))
        return NULL;
    for (size_t i = 0; i < DV_COUNT(tables); i++)
        for (const lw_op *op = tables[i]; op->name; op++)
            if (!strcmp(op->name, n->op_type))
                return op->fn;
    return NULL;
}

/* Outputs of a node that could not be lowered: computed, nothing known. */
static dmv_status poison_outputs(dv_lower *L, const Onnx__NodeProto *n)
{
    for (size_t i = 0; L->st == DMV_OK && i < n->n_output; i++)
        if (n->output[i][0])
            lw_lookup(L, n->output[i])->tensor = lw_poison(L);
    return L->st;
}

static dmv_status lower_node(dv_lower *L, const Onnx__NodeProto *n)
{
    char label[64], op[64];
    bool failed, foreign = n->domain && n->domain[0];
    L->o->n = n;
    label_node(n, label, sizeof label);
    snprintf(op, sizeof op, "%.24s%s%.36s", foreign ? n->domain : "", foreign ? "." : "",
             n->op_type ? n->op_type : "");
    lw_start(L, op, label, n->name && n->name[0]);
    if (!n->op_type || !n->op_type[0])
        return dv_fail(L->e, DMV_ERR_FORMAT, "node '%s' names no operator", L->label);
    lw_fn fn = find_op(n);
    if (fn) {
        fn(L);
    } else {
        L->st = DMV_ERR_UNSUPPORTED;
        for (size_t i = 0; i < n->n_attribute; i++)
            if (n->attribute[i]->g || n->attribute[i]->n_graphs)
                snprintf(L->reason, sizeof L->reason, "a graph inside it");
    }
    dmv_status st = lw_finish(L, fn != NULL, &failed);
    return st == DMV_OK && failed ? poison_outputs(L, n) : st;
}

dmv_status dv_onnx_lower(dv_onnx *o, const dv_import_options *opt, dv_graph *g, dv_err *e)
{
    dv_lower lower = {.g = g, .o = o, .e = e};
    dv_lower *L = &lower;
    const Onnx__GraphProto *og = o->graph;
    int32_t *order = NULL;
    uint8_t *live = NULL;
    dmv_status st;
    L->budget = o->file_size * 16 + ((size_t)256 << 20);
    if (og->n_sparse_initializer)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "the net has sparse weights; store them dense");
    if (og->n_node > INT32_MAX / 64 || og->n_initializer > INT32_MAX / 64)
        return dv_fail(e, DMV_ERR_LIMIT, "the net has more nodes than can be imported");
    order = dv_calloc(og->n_node + 1, sizeof *order);
    live = dv_calloc(og->n_node + 1, 1);
    st = order && live ? collect_names(L) : dv_nomem(e);
    if (st == DMV_OK)
        st = sort_nodes(L, order, live);
    if (st == DMV_OK)
        st = set_inputs(L, opt);
    for (size_t i = 0; st == DMV_OK && i < og->n_node; i++)
        if (live[order[i]])
            st = lower_node(L, og->node[order[i]]);
    if (st == DMV_OK && L->n_problems)
        st = lw_report_problems(L);
    if (st == DMV_OK)
        st = set_outputs(L);
    dv_free(order);
    dv_free(live);
    dv_free(o->names);
    o->names = NULL;
    lw_free(L);
    return st;
}
