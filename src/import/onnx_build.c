/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading inputs and attributes of the present ONNX node. See lower.h for how failures work.
 */
#include <string.h>

#include "import/onnx.h"

/* ---- inputs and outputs of the present node ---- */

static int32_t materialise(dv_lower *L, lw_name *from)
{
    const Onnx__TensorProto *tp = L->o->graph->initializer[from->init];
    dv_onnx_value v;
    char text[64];
    dmv_status st = dv_onnx_tensor(tp, &v, L->e);
    if (st != DMV_OK) {
        lw_printable(from->name, text, sizeof text);
        dv_fail_in(L->e, "tensor '%s'", text);
        lw_stop(L, st);
        return -1;
    }
    int32_t t = -1;
    if (v.count) {
        t = lw_add_const(L, v.dtype, v.rank, v.dims, v.data);
        from->tensor = t;
    }
    dv_free(v.data);
    return t;
}

int32_t lw_in(dv_lower *L, size_t i)
{
    if (!lw_ok(L) || i >= L->o->n->n_input || !L->o->n->input[i][0])
        return -1;
    lw_name *from = lw_lookup(L, L->o->n->input[i]);
    if (from->tensor < 0 && from->init >= 0)
        return materialise(L, from);
    if (from->tensor < 0)
        lw_unsupported(L, "an optional result of another node as input %zu", i);
    else if (L->g->tensors[from->tensor].data && L->g->tensors[from->tensor].size == 0)
        return -1;
    return from->tensor;
}

int32_t lw_need(dv_lower *L, size_t i)
{
    int32_t t = lw_in(L, i);
    if (t < 0 && lw_ok(L)) {
        if (i < L->o->n->n_input && L->o->n->input[i][0])
            lw_unsupported(L, "an empty input %zu", i);
        else
            lw_bad(L, "input %zu is missing", i);
    }
    return t;
}

const dv_gtensor *lw_const_in(dv_lower *L, size_t i, dv_dtype type, const char *what)
{
    int32_t t = lw_in(L, i);
    if (t < 0)
        return NULL;
    if (!L->g->tensors[t].data) {
        if (!lw_poisoned(L, t))
            lw_unsupported(L, "%s computed while running", what);
        return NULL;
    }
    if (L->g->tensors[t].dtype != type)
        t = lw_cast(L, t, type);
    return lw_const(L, t);
}

size_t lw_ints_in(dv_lower *L, size_t i, const char *what, int64_t *out, size_t cap)
{
    int32_t t = lw_in(L, i);
    if (t < 0)
        return 0;
    if (lw_poisoned(L, t))
        return 0;
    if (lw_type(L, t) != DV_I64) {
        lw_bad(L, "%s must be integers", what);
        return 0;
    }
    const dv_gtensor *c = lw_const_in(L, i, DV_I64, what);
    size_t n;
    if (!c || !dv_count(c->rank, c->dims, &n))
        return 0;
    if (n > cap) {
        lw_bad(L, "%zu values for %s", n, what);
        return 0;
    }
    memcpy(out, c->data, n * sizeof *out);
    return n;
}

bool lw_wanted(const dv_lower *L, size_t i)
{
    return i < L->o->n->n_output && L->o->n->output[i][0];
}

void lw_out(dv_lower *L, size_t i, int32_t t)
{
    if (!lw_ok(L) || t < 0 || !lw_wanted(L, i))
        return;
    lw_lookup(L, L->o->n->output[i])->tensor = t;
    if (!L->g->tensors[t].name) {
        char text[200];
        lw_printable(L->o->n->output[i], text, sizeof text);
        L->g->tensors[t].name = dv_strdup(text);
        if (!L->g->tensors[t].name)
            lw_nomem(L);
    }
}

/* ---- attributes ---- */

const Onnx__AttributeProto *lw_attr(const dv_lower *L, const char *name)
{
    for (size_t i = 0; i < L->o->n->n_attribute; i++)
        if (L->o->n->attribute[i]->name && !strcmp(L->o->n->attribute[i]->name, name))
            return L->o->n->attribute[i];
    return NULL;
}

int64_t lw_attr_int(dv_lower *L, const char *name, int64_t fallback)
{
    const Onnx__AttributeProto *a = lw_attr(L, name);
    if (!a)
        return fallback;
    if (!a->has_i)
        lw_bad(L, "attribute %s is not an integer", name);
    return a->i;
}

float lw_attr_float(dv_lower *L, const char *name, float fallback)
{
    const Onnx__AttributeProto *a = lw_attr(L, name);
    if (!a)
        return fallback;
    if (!a->has_f)
        lw_bad(L, "attribute %s is not a number", name);
    return a->f;
}

size_t lw_attr_ints(dv_lower *L, const char *name, int64_t *out, size_t cap)
{
    const Onnx__AttributeProto *a = lw_attr(L, name);
    if (!a || !lw_ok(L))
        return 0;
    if (a->n_ints > cap) {
        lw_bad(L, "attribute %s has %zu values", name, a->n_ints);
        return 0;
    }
    if (a->n_ints)
        memcpy(out, a->ints, a->n_ints * sizeof *out);
    return a->n_ints;
}

const char *lw_attr_text(dv_lower *L, const char *name, const char *fallback, char buf[48])
{
    const Onnx__AttributeProto *a = lw_attr(L, name);
    if (!a)
        return fallback;
    if (!a->has_s || a->s.len >= 48) {
        lw_bad(L, "attribute %s is not a known word", name);
        return fallback;
    }
    if (a->s.len)
        memcpy(buf, a->s.data, a->s.len);
    buf[a->s.len] = 0;
    for (char *p = buf; *p; p++)
        if (*p < 32 || *p == 127)
            *p = '?';
    return buf;
}
