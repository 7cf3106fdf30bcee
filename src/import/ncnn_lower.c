/* SPDX-License-Identifier: Apache-2.0
 *
 * From a parsed ncnn net to a graph: layers in the file's order, each taking its weights from the
 * second file as it comes; what nobody reads is an output. The size of the input is seldom in
 * the file: its channels follow from the layer behind it, its height and width stay free.
 */
#include <math.h>
#include <string.h>

#include "import/ncnn.h"
#include "kernels/kernels.h"

/* Flag words before weights. */
#define TAG_HALF 0x01306B47u
#define TAG_INT8 0x000D4B38u
#define TAG_RAW 0x0002C056u

/* ---- parameters ---- */

static const ncnn_param *param(const dv_lower *L, int key)
{
    const ncnn_layer *l = L->p->n;
    for (size_t i = l->n_params; i-- > 0;)
        if (l->params[i].key == key)
            return &l->params[i];
    return NULL;
}

double ncnn_real(const dv_lower *L, int key, double fallback)
{
    const ncnn_param *q = param(L, key);
    return q && !q->is_array ? q->v : fallback;
}

int64_t ncnn_int(dv_lower *L, int key, int64_t fallback)
{
    double v = ncnn_real(L, key, (double)fallback);
    if (v != floor(v) || v < INT32_MIN || v > INT32_MAX) {
        lw_bad(L, "parameter %d is %g", key, v);
        return fallback;
    }
    return (int64_t)v;
}

size_t ncnn_array(dv_lower *L, int key, const double **v)
{
    const ncnn_param *q = param(L, key);
    if (!q || !q->is_array)
        return 0;
    *v = L->p->numbers + q->first;
    return q->n;
}

/* ---- weights ---- */

float *ncnn_weights(dv_lower *L, size_t count, bool tagged)
{
    dv_reader *r = &L->p->bin;
    size_t left = (size_t)(r->end - r->p), bytes = 0;
    if (!lw_ok(L))
        return NULL;
    uint32_t tag = tagged ? dv_rd_u32(r) : 0;
    bool half = tag == TAG_HALF;
    if (tag == TAG_INT8 || (tag && !half && tag != TAG_RAW)) {
        lw_unsupported(L, "quantised weights (flag 0x%08x)", tag);
        return NULL;
    }
    const void *data = NULL;
    if (!r->bad && dv_mul(count, half ? 2 : 4, &bytes))
        data = dv_rd_bytes(r, bytes);
    if (data && half && bytes % 4)
        dv_rd_bytes(r, 2);
    if (!data || r->bad) {
        lw_stop(L,
                dv_fail(L->e, DMV_ERR_FORMAT,
                        "layer '%s' (%s, line %d) wants %zu weights, the .bin file has %zu bytes "
                        "left: is it the one that belongs to the .param file?",
                        L->label, L->op, L->p->n->line, count, left));
        return NULL;
    }
    float *v = dv_malloc(count * sizeof *v + 4);
    if (!v) {
        lw_nomem(L);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t h;
        if (half) {
            memcpy(&h, (const uint8_t *)data + 2 * i, 2);
            v[i] = dv_half_to_float(h);
        } else {
            memcpy(&v[i], (const uint8_t *)data + 4 * i, 4);
        }
    }
    return v;
}

int32_t ncnn_vector(dv_lower *L, size_t count)
{
    float *v = ncnn_weights(L, count, false);
    int32_t t = v ? lw_vector(L, DV_F32, count, v) : -1;
    dv_free(v);
    return t;
}

/* ---- blobs ---- */

int32_t ncnn_in(dv_lower *L, size_t i)
{
    const ncnn_layer *l = L->p->n;
    if (!lw_ok(L))
        return -1;
    if (i >= l->n_in) {
        lw_bad(L, "input %zu is missing", i);
        return -1;
    }
    int32_t t = L->p->blobs[L->p->uses[l->in + i]].tensor;
    if (t < 0)
        lw_bad(L, "input %zu has not been computed", i);
    return t;
}

void ncnn_out(dv_lower *L, size_t i, int32_t t)
{
    const ncnn_layer *l = L->p->n;
    if (!lw_ok(L) || t < 0 || i >= l->n_out)
        return;
    ncnn_blob *b = &L->p->blobs[L->p->uses[l->out + i]];
    b->tensor = t;
    if (!L->g->tensors[t].name) {
        char text[96];
        lw_printable(b->name, text, sizeof text);
        L->g->tensors[t].name = dv_strdup(text);
        if (!L->g->tensors[t].name)
            lw_nomem(L);
    }
}

int32_t ncnn_activation(dv_lower *L, int32_t t)
{
    const double *v = NULL;
    int64_t type = ncnn_int(L, 9, 0);
    size_t n = ncnn_array(L, 10, &v);
    float p[2] = {0, 0};
    for (size_t i = 0; i < n && i < 2; i++)
        p[i] = (float)v[i];
    switch (type) {
    case 0:
        return t;
    case 1:
        return lw_act(L, DV_ACT_CLIP, t, 0, INFINITY);
    case 2:
        return lw_act(L, DV_ACT_LEAKY, t, p[0], 0);
    case 3:
        return lw_act(L, DV_ACT_CLIP, t, p[0], p[1]);
    case 4:
        return lw_act(L, DV_ACT_SIGMOID, t, 0, 0);
    case 5:
        return lw_binary(L, DV_BIN_MUL, t,
                         lw_act(L, DV_ACT_TANH, lw_act(L, DV_ACT_SOFTPLUS, t, 0, 0), 0, 0));
    case 6:
        return lw_binary(L, DV_BIN_MUL, t, lw_act(L, DV_ACT_HSIGMOID, t, p[0], p[1]));
    default:
        lw_unsupported(L, "activation %lld", (long long)type);
        return -1;
    }
}

/* ---- the net ---- */

/* The first layer that reads a blob, behind some Splits; NULL = none. */
static const ncnn_layer *reader(const dv_ncnn *p, int32_t blob)
{
    int splits = 0;
    for (size_t i = 0; i < p->n_layers; i++) {
        const ncnn_layer *l = &p->layers[i];
        if (l->n_in < 1 || p->uses[l->in] != blob)
            continue;
        if (strcmp(l->type, "Split") || l->n_out == 0 || ++splits > 4)
            return l;
        blob = p->uses[l->out]; /* read further on */
    }
    return NULL;
}

/* Channels of an input, from the convolution behind it; 0 = it cannot be said. */
static int64_t channels_of(const dv_ncnn *p, int32_t blob)
{
    double v[12] = {[7] = 1}; /* 0 outputs, 1 and 11 kernel, 6 weights, 7 groups */
    const ncnn_layer *l = reader(p, blob);
    if (!l || (strcmp(l->type, "Convolution") && strcmp(l->type, "ConvolutionDepthWise")))
        return 0;
    for (size_t k = 0; k < l->n_params; k++)
        if (!l->params[k].is_array && l->params[k].key >= 0 && l->params[k].key < 12)
            v[l->params[k].key] = l->params[k].v;
    double c = v[6] * v[7] / (v[0] * v[1] * (v[11] > 0 ? v[11] : v[1]));
    return c >= 1 && c <= 65536 && c == floor(c) ? (int64_t)c : 0;
}

static void lower_input(dv_lower *L, size_t index)
{
    const ncnn_layer *l = L->p->n;
    const dv_import_options *o = index == 0 ? L->p->o : NULL;
    int64_t d[4] = {1, ncnn_int(L, 2, 0), ncnn_int(L, 1, 0), ncnn_int(L, 0, 0)}, dims[4];
    int rank = 0;
    if (l->n_out != 1)
        lw_bad(L, "%zu outputs of an input", l->n_out);
    if (!lw_ok(L))
        return;
    if (d[1] == 0 && d[2] == 0 && d[3] == 0) { /* nothing is said */
        d[1] = channels_of(L->p, L->p->uses[l->out]);
        d[2] = d[3] = -1;
        if (d[1] == 0)
            lw_unsupported(L, "a size that is not in the file (write 0=width 1=height 2=channels "
                              "behind it)");
    }
    for (int i = 0; i < 4; i++)
        if (d[i])
            dims[rank++] = d[i];
    for (int i = 0; lw_ok(L) && i < rank; i++)
        if (dims[i] < -1 || dims[i] > INT32_MAX)
            lw_bad(L, "a size of %lld", (long long)dims[i]);
    if (lw_ok(L) && o && o->dims) {
        if (o->rank != rank)
            lw_bad(L, "%d sizes for %d dims", o->rank, rank);
        for (int i = 0; i < rank && lw_ok(L); i++) {
            if (o->dims[i] > 0 && dims[i] > 0 && dims[i] != o->dims[i])
                lw_bad(L, "dim %d is %lld and cannot be %lld", i, (long long)dims[i],
                       (long long)o->dims[i]);
            if (o->dims[i] > 0)
                dims[i] = o->dims[i];
        }
    }
    if (lw_ok(L)) {
        char text[96];
        lw_printable(L->p->blobs[L->p->uses[l->out]].name, text, sizeof text);
        ncnn_out(L, 0, lw_input(L, text, rank, dims));
    }
}

static lw_fn find_op(const char *type)
{
    static const ncnn_op *const tables[] = {ncnn_ops_layers, ncnn_ops_shape};
    for (size_t i = 0; i < DV_COUNT(tables); i++)
        for (const ncnn_op *p = tables[i]; p->name; p++)
            if (!strcmp(p->name, type))
                return p->fn;
    return NULL;
}

/* Weights of a layer that is not known cannot be stepped over, so the first one ends the import. */
static dmv_status lower_layer(dv_lower *L, const ncnn_layer *l, size_t *n_inputs, int32_t *inputs)
{
    char label[64];
    L->p->n = l;
    snprintf(label, sizeof label, "%.60s", l->name);
    lw_start(L, l->type, label, true);
    if (!strcmp(l->type, "Input")) {
        if (*n_inputs == DV_MAX_IO)
            return dv_fail(L->e, DMV_ERR_LIMIT, "line %d: more than %d inputs", l->line, DV_MAX_IO);
        lower_input(L, *n_inputs);
        if (lw_ok(L))
            inputs[(*n_inputs)++] = L->p->blobs[L->p->uses[l->out]].tensor;
    } else {
        lw_fn fn = find_op(l->type);
        if (!fn)
            return dv_fail(L->e, DMV_ERR_UNSUPPORTED,
                           "layer '%s' (line %d): type %s cannot be imported", l->name, l->line,
                           l->type);
        fn(L);
    }
    if (L->st == DMV_ERR_UNSUPPORTED && !L->stop)
        return dv_fail(L->e, DMV_ERR_UNSUPPORTED,
                       "layer '%s' (%s, line %d) cannot be imported: it has %s", l->name, l->type,
                       l->line, L->reason);
    if (L->st == DMV_ERR_FORMAT)
        return dv_fail_in(L->e, "line %d", l->line);
    return L->st;
}

static dmv_status set_outputs(dv_lower *L, const int32_t *in, size_t n_in)
{
    dv_ncnn *p = L->p;
    int32_t *out = dv_calloc(p->n_blobs + 1, sizeof *out);
    size_t n = 0;
    dmv_status st = out ? DMV_OK : dv_nomem(L->e);
    for (size_t i = 0; st == DMV_OK && i < p->n_blobs; i++)
        if (p->blobs[i].readers == 0) {
            if (n == 4 * DV_MAX_IO)
                st = dv_fail(L->e, DMV_ERR_LIMIT, "more than %d outputs", 4 * DV_MAX_IO);
            else if (p->blobs[i].tensor < 0)
                st = dv_fail(L->e, DMV_ERR_FORMAT, "an output that no layer computes");
            else
                st = lw_output(L, p->blobs[i].tensor, p->blobs[i].name, out, n++);
        }
    if (st == DMV_OK && (n == 0 || n_in == 0))
        st = dv_fail(L->e, DMV_ERR_FORMAT, "the net has no %s", n ? "input" : "output");
    if (st == DMV_OK && !dv_graph_set_io(L->g, in, n_in, out, n))
        st = dv_nomem(L->e);
    dv_free(out);
    return st;
}

dmv_status dv_ncnn_lower(dv_ncnn *p, const dv_import_options *opt, dv_graph *g, dv_err *e)
{
    dv_lower lower = {.g = g, .p = p, .e = e};
    dv_lower *L = &lower;
    int32_t in[DV_MAX_IO];
    size_t n_in = 0;
    dmv_status st = DMV_OK;
    p->o = opt;
    L->budget = p->file_size * 16 + ((size_t)64 << 20);
    for (size_t i = 0; st == DMV_OK && i < p->n_layers; i++)
        st = lower_layer(L, &p->layers[i], &n_in, in);
    if (st == DMV_OK && p->bin.p != p->bin.end)
        st = dv_fail(e, DMV_ERR_FORMAT,
                     "the .bin file has %zu bytes more than the layers want: is it the one that "
                     "belongs to the .param file?",
                     (size_t)(p->bin.end - p->bin.p));
    if (st == DMV_OK)
        st = set_outputs(L, in, n_in);
    lw_free(L);
    return st;
}
