/* SPDX-License-Identifier: Apache-2.0
 *
 * net.c - one net by itself, opened and given a size: what `model plan` and `bench` need.
 */
#include "cli.h"

#include <string.h>

#include "nn/dmv.h"
#include "nn/exec.h"

static void put_dims(char *buf, size_t size, int rank, const int64_t *dims)
{
    size_t at = 0;
    buf[0] = 0;
    for (int i = 0; i < rank && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%lld", i ? "x" : "", (long long)dims[i]);
}

/* Height and width of a picture-shaped input: 1 or 3 channels, first or last. */
static void picture_axes(const dv_gtensor *t, int *y, int *x)
{
    bool last = t->dims[1] != 1 && t->dims[1] != 3 && (t->dims[3] == 1 || t->dims[3] == 3);
    *y = last ? 1 : 2;
    *x = last ? 2 : 3;
}

static bool fill_dims(const dv_gtensor *t, const char *path, int w, int h, int64_t *dims)
{
    for (int i = 0; i < t->rank; i++)
        dims[i] = t->dims[i];
    if (t->rank == 4) {
        int y, x;
        picture_axes(t, &y, &x);
        int64_t want[2] = {h ? h : 640, w ? w : 640};
        int axes[2] = {y, x};
        for (int k = 0; k < 2; k++) {
            if (dims[axes[k]] < 0) {
                dims[axes[k]] = want[k];
            } else if (w && dims[axes[k]] != want[k]) {
                cli_error("%s: the net takes %lld x %lld pixels only; leave --size out", path,
                          (long long)t->dims[x], (long long)t->dims[y]);
                return false;
            }
        }
    }
    for (int i = 0; i < t->rank; i++)
        if (dims[i] < 0)
            dims[i] = 1;
    return true;
}

bool cli_net_open(cli_net *n, const cli_common *o, const char *path, int w, int h)
{
    dv_err e = {0};
    const int64_t *dims[CLI_NET_INPUTS];
    memset(n, 0, sizeof *n);
    if (cli_context_open(o, &n->ctx))
        return false;
    if (dmv_model_open(n->ctx, path, &n->model)) {
        cli_error("%s", dmv_error(n->ctx));
        goto fail;
    }
    const dv_graph *g = &n->model->graph;
    if (g->n_inputs > CLI_NET_INPUTS) {
        cli_error("%s: %zu inputs; at most %d are supported here", path, g->n_inputs,
                  CLI_NET_INPUTS);
        goto fail;
    }
    for (size_t i = 0; i < g->n_inputs; i++) {
        if (!fill_dims(&g->tensors[g->inputs[i]], path, w, h, n->dims[i]))
            goto fail;
        dims[i] = n->dims[i];
    }
    if (dv_exec_open(g, n->ctx->kernels, n->ctx->pool, &n->x, &e) ||
        dv_exec_shape(n->x, dims, &e)) {
        char size[96];
        put_dims(size, sizeof size, g->tensors[g->inputs[0]].rank, n->dims[0]);
        cli_error("%s: at input size %s: %s%s", path, size, e.msg,
                  w % 32 || h % 32 ? "; many nets want sides that are multiples of 32" : "");
        goto fail;
    }
    return true;
fail:
    cli_net_close(n);
    return false;
}

void cli_net_close(cli_net *n)
{
    dv_exec_close(&n->x);
    dmv_model_close(&n->model);
    dmv_context_close(&n->ctx);
}
