/* SPDX-License-Identifier: Apache-2.0
 *
 * net.c - a model that takes one picture: its exec, its preprocessing and its present
 * shape. Reshaping happens only when the size changes, so that a camera's frames after
 * the first cost no allocation.
 */
#include <string.h>

#include "face/face.h"

static dmv_status read_input(dv_net *n, const char *role, dv_err *e)
{
    const dv_graph *g = &n->model->graph;
    if (g->n_inputs != 1 || g->n_outputs < 1) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "%s: a net with %zu inputs and %zu outputs; "
                       "one input is wanted",
                       role, g->n_inputs, g->n_outputs);
    }
    if (g->tensors[g->outputs[0]].dtype != DV_F32) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "%s: the net's output is not float", role);
    }
    const dv_gtensor *t = &g->tensors[g->inputs[0]];
    const int64_t *d = t->dims, c = n->prep.channels;
    if (t->dtype != DV_F32 || t->rank != 4 || (d[0] != 1 && d[0] != -1) ||
        (d[1] != c && d[3] != c)) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "%s: the net's input is not one picture of %d channels (set \"color\" when "
                       "importing if the number of channels is wrong)",
                       role, (int)c);
    }
    n->nchw = d[1] == c;
    const int64_t h = d[n->nchw ? 2 : 1], w = d[n->nchw ? 3 : 2];
    if (h > 8192 || w > 8192 || h == 0 || w == 0 || h < -1 || w < -1 || (h < 0) != (w < 0)) {
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "%s: the net's input of %lld x %lld cannot be used",
                       role, (long long)w, (long long)h);
    }
    n->fixed_w = w > 0 ? (int)w : 0;
    n->fixed_h = h > 0 ? (int)h : 0;
    return DMV_OK;
}

dmv_status dv_net_open(dmv_context *ctx, const dmv_model *m, const char *role, dv_net *n)
{
    dv_err *e = &ctx->err;
    memset(n, 0, sizeof(*n));
    n->model = m;
    dmv_status s = dv_prep_from_model(m, &n->prep, e);
    if (s != DMV_OK) {
        return dv_fail_in(e, "%s", role);
    }
    s = read_input(n, role, e);
    if (s == DMV_OK) {
        s = dv_exec_open(&m->graph, ctx->kernels, ctx->pool, &n->x, e);
    }
    return s;
}

void dv_net_close(dv_net *n)
{
    dv_exec_close(&n->x);
    dv_graph_free(n->parts);
    dv_free(n->parts);
    memset(n, 0, sizeof(*n));
}

/* A place for the pixels themselves, if the net's first bytes stand for just what the
 * preprocessing would make of them. */
static uint8_t *byte_input(dv_net *n)
{
    float scale, zero;
    uint8_t *to = n->prep.channels == 3 ? dv_exec_input_u8(n->x, 0, n->nchw, &scale, &zero) : NULL;
    for (int c = 0; to && c < 3; c++)
        if (n->prep.mean[c] != zero || n->prep.scale[c] != scale)
            return NULL;
    return to;
}

dmv_status dv_net_shape(dv_net *n, int w, int h, dv_err *e)
{
    if (n->w == w && n->h == h) {
        return DMV_OK;
    }
    const int64_t c = n->prep.channels;
    const int64_t nchw[4] = {1, c, h, w}, nhwc[4] = {1, h, w, c};
    const int64_t *dims[1] = {n->nchw ? nchw : nhwc};
    n->w = n->h = 0; /* a failed reshape leaves nothing to run */
    dmv_status s = dv_exec_shape(n->x, dims, e);
    if (s == DMV_OK) {
        n->w = w;
        n->h = h;
        n->bytes = byte_input(n);
        if (!n->bytes)
            n->nhwc = n->nchw ? dv_exec_input_nhwc(n->x, 0) : NULL;
    }
    return s;
}

void dv_net_feed(dv_net *n, const uint8_t *rgb)
{
    if (!n->bytes) {
        dv_prep_run(&n->prep, n->x->k, rgb, 3 * (size_t)n->w, n->w, n->h, n->nchw && !n->nhwc,
                    n->nhwc ? n->nhwc : dv_exec_input(n->x, 0));
        return;
    }
    const size_t count = (size_t)n->w * (size_t)n->h * 3;
    memcpy(n->bytes, rgb, count);
    for (size_t i = 0; n->prep.bgr && i < count; i += 3) {
        n->bytes[i] = rgb[i + 2];
        n->bytes[i + 2] = rgb[i];
    }
}

void dv_net_run(dv_net *n, const uint8_t *rgb)
{
    dv_net_feed(n, rgb);
    dv_exec_run(n->x);
}

dmv_status dv_net_cut(dv_net *n, dmv_context *ctx, int32_t tensor)
{
    dv_err *e = &ctx->err;
    dv_exec *x = NULL;
    size_t prefix = 0;
    const int w = n->w, h = n->h;
    dv_graph *g = dv_calloc(1, sizeof *g);
    dmv_status s = g ? dv_graph_cut(&n->model->graph, tensor, g, &prefix, e) : dv_nomem(e);
    if (s == DMV_OK) {
        s = dv_exec_open(g, ctx->kernels, ctx->pool, &x, e);
    }
    if (s != DMV_OK) {
        dv_graph_free(g);
        dv_free(g);
        return s;
    }
    x->cut = prefix;
    x->feature = tensor;
    dv_exec_close(&n->x);
    dv_graph_free(n->parts);
    dv_free(n->parts);
    n->parts = g;
    n->x = x;
    n->w = n->h = 0;
    n->nhwc = NULL;
    n->bytes = NULL;
    return w ? dv_net_shape(n, w, h, e) : DMV_OK;
}

const dv_value *dv_net_run_first(dv_net *n)
{
    dv_exec_run_part(n->x, 0, n->x->cut);
    return &n->x->v[n->x->feature];
}

void dv_net_run_rest(dv_net *n)
{
    dv_exec_run_part(n->x, n->x->cut, n->x->g->n_nodes);
}
