/* SPDX-License-Identifier: Apache-2.0
 *
 * layers.c - which tensors of a detector may tell of motion, and what they cost. */
#include <math.h>
#include <string.h>

#include "motion/motion.h"

/* Results of these are features; the others move, cut or squash. */
static bool is_layer(uint16_t op)
{
    static const uint16_t layers[] = {DV_OP_CONV,     DV_OP_ACT,    DV_OP_PRELU,
                                      DV_OP_BINARY,   DV_OP_CONCAT, DV_OP_MAX_POOL,
                                      DV_OP_AVG_POOL, DV_OP_Q_CONV, DV_OP_Q_BINARY,
                                      DV_OP_Q_ACT,    DV_OP_H_CONV, DV_OP_CHANNEL_SHUFFLE};
    for (size_t i = 0; i < DV_COUNT(layers); i++)
        if (op == layers[i])
            return true;
    return false;
}

/* Height and width of picture input 0. */
static bool input_size(const dv_exec *x, double *h, double *w)
{
    const dv_value *v = &x->v[x->g->inputs[0]];
    if (x->g->n_inputs < 1 || v->rank != 4)
        return false;
    const bool nchw = v->dims[1] <= 4;
    *h = (double)v->dims[nchw ? 2 : 1];
    *w = (double)v->dims[nchw ? 3 : 2];
    return true;
}

static bool suits(const dv_value *v, double in_h, double in_w)
{
    if (v->rank != 4 || v->dims[0] != 1 || v->dims[3] < 8 || v->dims[1] < 4 || v->dims[2] < 4 ||
        (v->dtype != DV_F32 && v->dtype != DV_U8 && v->dtype != DV_F16))
        return false;
    const double sy = in_h / (double)v->dims[1], sx = in_w / (double)v->dims[2];
    return sy > 7 && sy < 34 && fabs(sx / sy - 1) < 0.2;
}

dmv_status dv_motion_layers(const dv_exec *x, dv_motion_layer *out, size_t cap, size_t *n,
                            dv_err *e)
{
    const dv_graph *g = x->g;
    double in_h, in_w, all = 0;
    *n = 0;
    if (!x->shaped || !input_size(x, &in_h, &in_w))
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "motion: a net whose input is a picture is wanted");
    bool *tensors = dv_malloc(g->n_tensors), *nodes = dv_malloc(g->n_nodes + 1);
    if (!tensors || !nodes) {
        dv_free(tensors);
        dv_free(nodes);
        return dv_nomem(e);
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        all += (double)x->steps[i].macs;
    for (size_t i = 0; i < g->n_nodes && *n < cap; i++) {
        const int32_t t = g->nodes[i].out[0];
        dv_motion_layer l = {.tensor = t};
        if (x->steps[i].skip || !is_layer(g->nodes[i].op) || !suits(&x->v[t], in_h, in_w) ||
            !dv_graph_behind(g, t, tensors, nodes, &l.nodes))
            continue;
        for (size_t k = 0; k < g->n_nodes; k++)
            l.macs += nodes[k] ? (double)x->steps[k].macs : 0;
        l.macs = all > 0 ? l.macs / all : 0;
        l.h = (int)x->v[t].dims[1];
        l.w = (int)x->v[t].dims[2];
        l.c = (int)x->v[t].dims[3];
        size_t at = (*n)++;
        for (; at > 0 && out[at - 1].macs > l.macs; at--)
            out[at] = out[at - 1];
        out[at] = l;
    }
    dv_free(tensors);
    dv_free(nodes);
    if (*n == 0)
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "motion: the net has no feature maps of 1/8 to 1/32 of its input");
    return DMV_OK;
}

int32_t dv_motion_default_layer(const dv_motion_layer *l, size_t n)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++) { /* cheap to look at, half way, and not too coarse */
        const double size = (double)l[i].w * l[i].h * l[i].c;
        if (l[i].macs < 0.2 || l[i].macs > 0.5 || l[i].w * l[i].h < 150)
            continue;
        if (best == n || size < (double)l[best].w * l[best].h * l[best].c)
            best = i;
    }
    return best < n ? l[best].tensor : n ? l[n / 2].tensor : -1;
}

/* Is the tensor a map that the gates take? */
static bool is_map(const dv_exec *x, int32_t t)
{
    const dv_value *v = &x->v[t];
    return v->rank == 4 && v->dims[0] == 1 && !x->g->tensors[t].data &&
           (v->dtype == DV_F32 || v->dtype == DV_U8 || v->dtype == DV_F16);
}

dmv_status dv_motion_find_layer(const dmv_model *model, const dv_exec *x, const char *name,
                                int32_t *tensor, dv_err *e)
{
    static const char hint[] = "`domovoi motion probe` lists those that can be used";
    const char *own = dv_meta_text(&model->meta, "motion_layer");
    *tensor = -1;
    if (!x->shaped)
        return dv_fail(e, DMV_ERR_ARGUMENT, "motion: the net has no size yet");
    if (name || own) {
        name = name ? name : own;
        const int32_t t = dv_graph_find(&model->graph, name);
        if (t < 0)
            return dv_fail(e, DMV_ERR_NOT_FOUND, "motion: the net has no layer \"%.64s\"; %s", name,
                           hint);
        if (!is_map(x, t))
            return dv_fail(e, DMV_ERR_UNSUPPORTED,
                           "motion: layer \"%.64s\" is not one map [1, H, W, C]; %s", name, hint);
        *tensor = t;
        return DMV_OK;
    }
    enum { LAYERS = 512 };
    size_t n = 0;
    dv_motion_layer *l = dv_calloc(LAYERS, sizeof *l);
    dmv_status s = l ? dv_motion_layers(x, l, LAYERS, &n, e) : dv_nomem(e);
    if (s == DMV_OK)
        *tensor = dv_motion_default_layer(l, n);
    dv_free(l);
    return s;
}
