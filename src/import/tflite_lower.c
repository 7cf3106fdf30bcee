/* SPDX-License-Identifier: Apache-2.0
 *
 * From a parsed TensorFlow Lite net to a graph: inputs, nodes in the file's order, outputs, and
 * what the operators see of their node.
 */
#include <math.h>
#include <string.h>

#include "import/tflite.h"
#include "kernels/kernels.h"

/* ---- constants ---- */

static float float_at(const tfl_tensor *t, size_t i)
{
    float f;
    uint16_t h;
    if (t->type == TFL_F16) {
        memcpy(&h, t->data + 2 * i, 2);
        return dv_half_to_float(h);
    }
    memcpy(&f, t->data + 4 * i, 4);
    return f;
}

static int64_t int_at(const tfl_tensor *t, size_t i)
{
    int32_t v;
    int64_t w;
    switch (t->type) {
    case TFL_I32:
        memcpy(&v, t->data + 4 * i, 4);
        return v;
    case TFL_I64:
        memcpy(&w, t->data + 8 * i, 8);
        return w;
    case TFL_I8:
        return (int8_t)t->data[i];
    default:
        return t->data[i];
    }
}

static bool known_type(int type)
{
    return type == TFL_F32 || type == TFL_F16 || type == TFL_I32 || type == TFL_U8 ||
           type == TFL_I64 || type == TFL_BOOL || type == TFL_I8;
}

void *tfl_contents(dv_lower *L, const tfl_tensor *t, dv_dtype *type, size_t *count)
{
    size_t bytes, inner = 1;
    bool floats = t->type == TFL_F32 || t->type == TFL_F16, quantised = t->scale.n > 0;
    if (!lw_ok(L))
        return NULL;
    if (!known_type(t->type)) {
        lw_unsupported(L, "constants of data type %d", t->type);
        return NULL;
    }
    *type = floats || quantised ? DV_F32 : DV_I64;
    if (!dv_count(t->rank, t->dims, count) || !dv_mul(*count, *type == DV_F32 ? 4 : 8, &bytes)) {
        lw_bad(L, "tensor '%s' has impossible dims", t->name);
        return NULL;
    }
    void *out = dv_malloc(bytes + 8);
    if (!out) {
        lw_nomem(L);
        return NULL;
    }
    for (int i = t->axis + 1; quantised && t->scale.n > 1 && i < t->rank; i++)
        inner *= (size_t)t->dims[i];
    for (size_t i = 0; i < *count; i++) {
        if (floats) {
            ((float *)out)[i] = float_at(t, i);
        } else if (quantised) {
            size_t k = t->scale.n > 1 ? i / inner % t->scale.n : 0;
            int64_t zero = t->zero.n ? fb_int_at(t->zero, k, 8) : 0;
            ((float *)out)[i] =
                (float)((double)(int_at(t, i) - zero) * (double)fb_float_at(t->scale, k));
        } else {
            ((int64_t *)out)[i] = int_at(t, i);
        }
    }
    return out;
}

static int32_t materialise(dv_lower *L, tfl_tensor *t)
{
    dv_dtype type;
    size_t count;
    if (t->tensor >= 0)
        return t->tensor;
    void *v = tfl_contents(L, t, &type, &count);
    if (v)
        t->tensor = lw_add_const(L, type, t->rank, t->dims, v);
    dv_free(v);
    return t->tensor;
}

/* ---- the present node ---- */

static tfl_tensor *input(const dv_lower *L, size_t i)
{
    const tfl_node *n = L->t->n;
    int64_t k = i < n->in.n ? fb_int_at(n->in, i, 4) : -1;
    return k < 0 ? NULL : &L->t->tensors[k];
}

static tfl_tensor *output(const dv_lower *L, size_t i)
{
    const tfl_node *n = L->t->n;
    return i < n->out.n ? &L->t->tensors[fb_int_at(n->out, i, 4)] : NULL;
}

const tfl_tensor *tfl_at(const dv_lower *L, size_t i)
{
    return input(L, i);
}

int32_t tfl_in(dv_lower *L, size_t i)
{
    tfl_tensor *t = input(L, i);
    if (!lw_ok(L) || !t)
        return -1;
    if (t->tensor < 0 && t->data)
        return materialise(L, t);
    if (t->tensor < 0)
        lw_bad(L, "tensor '%s' is read before it is written", t->name);
    return t->tensor;
}

int32_t tfl_need(dv_lower *L, size_t i)
{
    int32_t t = tfl_in(L, i);
    if (t < 0 && lw_ok(L))
        lw_bad(L, "input %zu is missing", i);
    return t;
}

const dv_gtensor *tfl_const(dv_lower *L, size_t i, dv_dtype type, const char *what)
{
    int32_t t = tfl_need(L, i);
    if (t < 0 || lw_poisoned(L, t))
        return NULL;
    const dv_gtensor *c = lw_const(L, t);
    if (!c)
        lw_unsupported(L, "%s computed while running", what);
    else if (c->dtype != type)
        lw_bad(L, "%s of the wrong data type", what);
    return lw_ok(L) ? c : NULL;
}

size_t tfl_ints(dv_lower *L, size_t i, const char *what, int64_t *out, size_t cap)
{
    size_t n;
    if (!lw_ok(L) || !input(L, i))
        return 0;
    const dv_gtensor *c = tfl_const(L, i, DV_I64, what);
    if (!c || !dv_count(c->rank, c->dims, &n))
        return 0;
    if (n > cap) {
        lw_bad(L, "%zu values for %s", n, what);
        return 0;
    }
    if (n)
        memcpy(out, c->data, n * sizeof *out);
    return n;
}

int64_t tfl_option(const dv_lower *L, unsigned field, unsigned bytes, int64_t fallback)
{
    return fb_int(L->t->n->options, field, bytes, fallback);
}

/* The bytes of a tensor, as of 0..255; false if it is not 8-bit. */
static bool bytes_of(const tfl_tensor *t, float *scale, float *zero)
{
    if (t->scale.n != 1 || (t->type != TFL_U8 && t->type != TFL_I8))
        return false;
    int64_t z = t->zero.n ? fb_int_at(t->zero, 0, 8) : 0;
    *scale = fb_float_at(t->scale, 0);
    *zero = (float)(z + (t->type == TFL_I8 ? 128 : 0));
    return true;
}

static void write_output(dv_lower *L, tfl_tensor *o, int32_t t)
{
    if (!lw_ok(L) || t < 0)
        return;
    o->tensor = t;
    if (L->g->tensors[t].name)
        return;
    L->g->tensors[t].name = dv_strdup(o->name);
    if (!L->g->tensors[t].name)
        lw_nomem(L);
}

void tfl_out(dv_lower *L, size_t i, int32_t t)
{
    tfl_tensor *o = output(L, i);
    float scale, zero;
    if (!o || !lw_ok(L) || t < 0)
        return;
    if (lw_type(L, t) == DV_F32 && o->type != TFL_F32) {
        if (o->scale.n && !bytes_of(o, &scale, &zero))
            lw_unsupported(L, "results of data type %d", o->type);
        else if (o->scale.n && !(zero >= 0 && zero <= 255))
            lw_bad(L, "a zero point of %g", (double)zero);
        else if (o->scale.n)
            t = lw_pair(L, t, scale, zero);
        else if (o->type != TFL_F16)
            lw_unsupported(L, "results of data type %d", o->type);
    }
    write_output(L, o, t);
}

void tfl_moved(dv_lower *L, size_t i, int32_t t)
{
    const tfl_tensor *x = input(L, 0);
    tfl_tensor *o = output(L, i);
    float sx, zx, so, zo;
    if (x && o && bytes_of(x, &sx, &zx) && bytes_of(o, &so, &zo) && sx == so && zx == zo)
        write_output(L, o, t);
    else
        tfl_out(L, i, t);
}

void tfl_act_out(dv_lower *L, int32_t t, unsigned field)
{
    int64_t act = tfl_option(L, field, 1, 0);
    switch (act) {
    case 0:
        break;
    case 1:
        t = lw_act(L, DV_ACT_CLIP, t, 0, INFINITY);
        break;
    case 2:
        t = lw_act(L, DV_ACT_CLIP, t, -1, 1);
        break;
    case 3:
        t = lw_act(L, DV_ACT_CLIP, t, 0, 6);
        break;
    case 4:
        t = lw_act(L, DV_ACT_TANH, t, 0, 0);
        break;
    default:
        lw_unsupported(L, "fused activation %lld", (long long)act);
    }
    tfl_out(L, 0, t);
}

/* ---- the net ---- */

static const tfl_op *find_op(int op)
{
    static const tfl_op *const tables[] = {tfl_ops_picture, tfl_ops_math, tfl_ops_shape};
    for (size_t i = 0; i < DV_COUNT(tables); i++)
        for (const tfl_op *p = tables[i]; p->name; p++)
            if (p->op == op)
                return p;
    return NULL;
}

/* Who writes what; what the outputs need. */
static dmv_status connect(dv_tflite *t, dv_err *e)
{
    for (size_t i = 0; i < t->n_nodes; i++)
        for (size_t k = 0; k < t->nodes[i].out.n; k++) {
            tfl_tensor *o = &t->tensors[fb_int_at(t->nodes[i].out, k, 4)];
            if (o->by >= 0 || o->data)
                return dv_fail(e, DMV_ERR_FORMAT, "tensor '%s' is written twice", o->name);
            o->by = (int32_t)i;
        }
    for (size_t i = 0; i < t->inputs.n; i++) {
        const tfl_tensor *o = &t->tensors[fb_int_at(t->inputs, i, 4)];
        if (o->by >= 0 || o->data)
            return dv_fail(e, DMV_ERR_FORMAT, "input '%s' is written by a node", o->name);
    }
    for (size_t i = 0; i < t->outputs.n; i++)
        t->tensors[fb_int_at(t->outputs, i, 4)].wanted = true;
    for (size_t i = t->n_nodes; i-- > 0;) {
        const tfl_node *n = &t->nodes[i];
        bool live = false;
        for (size_t k = 0; k < n->out.n; k++)
            live = live || t->tensors[fb_int_at(n->out, k, 4)].wanted;
        for (size_t k = 0; live && k < n->in.n; k++)
            if (fb_int_at(n->in, k, 4) >= 0)
                t->tensors[fb_int_at(n->in, k, 4)].wanted = true;
    }
    return DMV_OK;
}

static dmv_status set_inputs(dv_lower *L, const dv_import_options *opt)
{
    dv_tflite *t = L->t;
    int32_t in[DV_MAX_IO];
    if (t->inputs.n == 0)
        return dv_fail(L->e, DMV_ERR_FORMAT, "the net has no input");
    for (size_t i = 0; i < t->inputs.n; i++) {
        tfl_tensor *o = &t->tensors[fb_int_at(t->inputs, i, 4)];
        const int64_t *given = opt && i == 0 ? opt->dims : NULL;
        float scale, zero;
        bool bytes = bytes_of(o, &scale, &zero);
        if (o->type != TFL_F32 && !bytes)
            return dv_fail(L->e, DMV_ERR_UNSUPPORTED,
                           "input '%s' has data type %d; floats and quantised bytes can be fed",
                           o->name, o->type);
        if (bytes && !(zero >= 0 && zero <= 255))
            return dv_fail(L->e, DMV_ERR_FORMAT, "input '%s' has an impossible zero point",
                           o->name);
        if (given && opt->rank != o->rank)
            return dv_fail(L->e, DMV_ERR_ARGUMENT, "input '%s' has %d dims, %d sizes were given",
                           o->name, o->rank, opt->rank);
        for (int d = 0; d < o->rank; d++) {
            /* sizes are given as N, C, H, W */
            static const int from[4] = {0, 2, 3, 1};
            int64_t want = given && o->rank == 4 ? given[from[d]] : -1;
            if (o->dims[d] == -1)
                o->dims[d] = d == 0 ? 1 : want;
            if (o->dims[d] == 0 || (want >= 0 && want != o->dims[d]))
                return dv_fail(L->e, DMV_ERR_ARGUMENT, "dim %d of input '%s' is %lld", d, o->name,
                               (long long)o->dims[d]);
        }
        if (o->tensor >= 0)
            return dv_fail(L->e, DMV_ERR_FORMAT, "input '%s' is listed twice", o->name);
        lw_start(L, "input", o->name, false);
        in[i] = o->tensor = lw_input(L, o->name, o->rank, o->dims);
        if (bytes)
            o->tensor = lw_pair(L, in[i], scale, zero);
        if (!lw_ok(L))
            return L->st;
    }
    return dv_graph_set_io(L->g, in, t->inputs.n, NULL, 0) ? DMV_OK : dv_nomem(L->e);
}

static dmv_status set_outputs(dv_lower *L)
{
    dv_tflite *t = L->t;
    int32_t in[DV_MAX_IO], out[DV_MAX_IO + 2];
    size_t n = 0;
    dmv_status st = DMV_OK;
    memcpy(in, L->g->inputs, L->g->n_inputs * sizeof *in);
    if (t->boxes >= 0) {
        st = lw_output(L, t->boxes, "ssd_boxes", out, n++);
        if (st == DMV_OK)
            st = lw_output(L, t->scores, "ssd_scores", out, n++);
    }
    for (size_t i = 0; st == DMV_OK && i < t->outputs.n; i++) {
        const tfl_tensor *o = &t->tensors[fb_int_at(t->outputs, i, 4)];
        if (o->by >= 0 && t->boxes >= 0 && t->nodes[o->by].op < 0)
            continue; /* of the last step, which is not in the graph */
        if (o->tensor < 0)
            return dv_fail(L->e, DMV_ERR_FORMAT, "output '%s' is written by no node", o->name);
        st = lw_output(L, o->tensor, o->name, out, n++);
    }
    if (st == DMV_OK && n == 0)
        return dv_fail(L->e, DMV_ERR_FORMAT, "the net has no output");
    if (st == DMV_OK && !dv_graph_set_io(L->g, in, L->g->n_inputs, out, n))
        st = dv_nomem(L->e);
    return st;
}

static dmv_status lower_node(dv_lower *L, const tfl_node *n)
{
    char op[64];
    const tfl_op *p = n->op < 0 ? NULL : find_op(n->op);
    lw_fn fn = p ? p->fn : NULL;
    bool failed;
    L->t->n = n;
    if (n->op < 0 && !strcmp(n->custom, "TFLite_Detection_PostProcess"))
        fn = tfl_detection;
    if (n->op < 0)
        snprintf(op, sizeof op, "%s", n->custom);
    else if (p)
        snprintf(op, sizeof op, "%s", p->name);
    else
        snprintf(op, sizeof op, "builtin operator %d", n->op);
    lw_start(L, op, n->out.n ? output(L, 0)->name : "without outputs", n->out.n > 0);
    for (size_t i = 0; fn && i < n->in.n; i++)
        if (input(L, i))
            lw_poisoned(L, input(L, i)->tensor);
    if (fn && lw_ok(L))
        fn(L);
    else
        L->st = DMV_ERR_UNSUPPORTED;
    if (L->t->file.bad && lw_ok(L))
        lw_bad(L, "an offset leads out of the file");
    dmv_status st = lw_finish(L, fn != NULL, &failed);
    for (size_t i = 0; st == DMV_OK && failed && i < n->out.n; i++) {
        output(L, i)->tensor = lw_poison(L);
        st = L->st;
    }
    return st;
}

dmv_status dv_tflite_lower(dv_tflite *t, const dv_import_options *opt, dv_graph *g, dv_err *e)
{
    dv_lower lower = {.g = g, .t = t, .e = e};
    dv_lower *L = &lower;
    L->budget = t->file.size * 16 + ((size_t)64 << 20);
    t->exact = opt && opt->exact;
    t->boxes = t->scores = -1;
    dmv_status st = connect(t, e);
    if (st == DMV_OK)
        st = set_inputs(L, opt);
    for (size_t i = 0; st == DMV_OK && i < t->n_nodes; i++) {
        bool live = false;
        for (size_t k = 0; k < t->nodes[i].out.n; k++)
            live = live || t->tensors[fb_int_at(t->nodes[i].out, k, 4)].wanted;
        if (live)
            st = lower_node(L, &t->nodes[i]);
    }
    if (st == DMV_OK && L->n_problems)
        st = lw_report_problems(L);
    if (st == DMV_OK)
        st = set_outputs(L);
    lw_free(L);
    return st;
}
