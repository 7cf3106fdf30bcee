/* SPDX-License-Identifier: Apache-2.0
 *
 * nets.c - the families of nets that can be trained from nothing. */
#include "train/nets.h"

#include <string.h>

typedef struct maker {
    tr_net *n;
    dv_err *e;
    int act;
    int layer;
} maker;

static const char *name_of(maker *m, const char *what, char *buf, size_t size)
{
    snprintf(buf, size, "%s%d", what, m->layer++);
    return buf;
}

/* Convolution without bias, batch normalisation, activation. */
static int conv(maker *m, int x, int64_t channels, int64_t k, int64_t stride, int64_t pad,
                int64_t groups, int act)
{
    char name[40];
    tr_op how = {.k = k, .stride = stride, .pad = pad, .groups = groups, .channels = channels};
    x = tr_net_add(m->n, &tr_conv, &how, name_of(m, "conv", name, sizeof name), x, -1, m->e);
    how = (tr_op){.act = act};
    return tr_net_add(m->n, &tr_bn_act, &how, name_of(m, "bn", name, sizeof name), x, -1, m->e);
}

static int depthwise(maker *m, int x, int64_t k, int64_t stride, int64_t pad, int act)
{
    int64_t c = x < 0 ? 1 : m->n->v[x].c;
    return conv(m, x, c, k, stride, pad, c, act);
}

static int add(maker *m, int a, int b)
{
    char name[40];
    return a < 0 || b < 0
               ? -1
               : tr_net_add(m->n, &tr_add, NULL, name_of(m, "add", name, sizeof name), a, b, m->e);
}

static int gate(maker *m, int x, int64_t ratio)
{
    char name[40];
    if (x < 0)
        return -1;
    int64_t c = m->n->v[x].c;
    int y =
        tr_net_add(m->n, &tr_global_mean, NULL, name_of(m, "mean", name, sizeof name), x, -1, m->e);
    tr_op how = {.channels = DV_MAX(c / ratio, 1), .bias = true};
    y = tr_net_add(m->n, &tr_fc, &how, name_of(m, "fc", name, sizeof name), y, -1, m->e);
    how = (tr_op){.act = TR_ACT_RELU};
    y = tr_net_add(m->n, &tr_act, &how, name_of(m, "act", name, sizeof name), y, -1, m->e);
    how = (tr_op){.channels = c, .bias = true};
    y = tr_net_add(m->n, &tr_fc, &how, name_of(m, "fc", name, sizeof name), y, -1, m->e);
    how = (tr_op){.act = TR_ACT_SIGMOID};
    y = tr_net_add(m->n, &tr_act, &how, name_of(m, "act", name, sizeof name), y, -1, m->e);
    return y < 0 ? -1
                 : tr_net_add(m->n, &tr_mul_gate, NULL, name_of(m, "gate", name, sizeof name), x, y,
                              m->e);
}

static int bottleneck(maker *m, int x, int64_t expand, int64_t channels, int64_t stride, bool se)
{
    if (x < 0)
        return -1;
    bool fits = stride == 1 && m->n->v[x].c == channels;
    int y = conv(m, x, expand, 1, 1, 0, 1, m->act);
    y = depthwise(m, y, 3, stride, 1, m->act);
    if (se && fits)
        y = gate(m, y, 4);
    y = conv(m, y, channels, 1, 1, 0, 1, TR_ACT_NONE);
    return fits ? add(m, x, y) : y;
}

static int64_t wide(double width, int64_t c)
{
    return DV_MAX((int64_t)((double)c * width / 8 + 0.5) * 8, 8);
}

/* Chen et al. 2018, table 1; width scales all channels but the embedding's. */
static int mobilefacenet(maker *m, int x, const tr_recipe *r)
{
    static const int64_t table[][4] = {
        {2, 64, 5, 2}, {4, 128, 1, 2}, {2, 128, 6, 1}, {4, 128, 1, 2}, {2, 128, 2, 1}};
    x = conv(m, x, wide(r->width, 64), 3, 2, 1, 1, m->act);
    x = depthwise(m, x, 3, 1, 1, m->act);
    for (size_t i = 0; i < DV_COUNT(table); i++) {
        int64_t n = DV_MAX((int64_t)((double)table[i][2] * r->depth + 0.5), 1);
        for (int64_t k = 0; k < n; k++)
            x = x < 0 ? -1
                      : bottleneck(m, x, table[i][0] * m->n->v[x].c, wide(r->width, table[i][1]),
                                   k == 0 ? table[i][3] : 1, r->se);
    }
    x = conv(m, x, wide(r->width, 512), 1, 1, 0, 1, m->act);
    x = depthwise(m, x, 7, 1, 0, TR_ACT_NONE);
    return conv(m, x, r->dim, 1, 1, 0, 1, TR_ACT_NONE);
}

/* Duong et al. 2018, with a global mean at the end. */
static int mobiface(maker *m, int x, const tr_recipe *r)
{
    static const int64_t table[][3] = {{128, 64, 2}, {256, 128, 3}, {512, 256, 6}};
    char name[40];
    x = conv(m, x, wide(r->width, 64), 3, 2, 1, 1, m->act);
    x = depthwise(m, x, 3, 1, 1, m->act);
    for (size_t i = 0; i < DV_COUNT(table); i++) {
        int64_t n = (int64_t)((double)table[i][2] * r->depth + 0.5);
        for (int64_t k = 0; k <= n; k++)
            x = bottleneck(m, x, wide(r->width, table[i][0]), wide(r->width, table[i][1]),
                           k == 0 ? 2 : 1, r->se);
    }
    x = conv(m, x, wide(r->width, 512), 1, 1, 0, 1, m->act);
    x = tr_net_add(m->n, &tr_global_mean, NULL, name_of(m, "mean", name, sizeof name), x, -1, m->e);
    return conv(m, x, r->dim, 1, 1, 0, 1, TR_ACT_NONE);
}

static const struct family {
    const char *name;
    int (*make)(maker *m, int x, const tr_recipe *r);
} families[] = {{"mobilefacenet", mobilefacenet}, {"mobiface", mobiface}};

dmv_status tr_net_build(tr_net *n, const tr_recipe *r, dv_err *e)
{
    static const char *const acts[] = {"none", "relu", "prelu", "swish"};
    maker m = {.n = n, .e = e, .act = -1};
    for (size_t i = 0; i < DV_COUNT(acts); i++)
        if (!strcmp(r->act, acts[i]))
            m.act = (int)i;
    if (m.act < 0)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no activation \"%s\": relu, prelu or swish", r->act);
    for (size_t i = 0; i < DV_COUNT(families); i++)
        if (!strcmp(r->family, families[i].name)) {
            int x = tr_net_input(n, 112, 112, 3);
            if (x < 0)
                return dv_nomem(e);
            return families[i].make(&m, x, r) < 0 ? DMV_ERR_MEMORY : DMV_OK;
        }
    return dv_fail(e, DMV_ERR_ARGUMENT, "no net \"%s\": mobilefacenet or mobiface", r->family);
}
