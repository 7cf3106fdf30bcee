/* SPDX-License-Identifier: Apache-2.0
 * optim.c - see optim.h. */
#include "train/optim.h"

#include <math.h>

double tr_sgd_step(tr_net *n, const tr_sgd *o, float rate)
{
    double norm = 0;
    for (size_t i = 0; i < n->n_params; i++) {
        const tr_param *p = n->params[i];
        for (size_t j = 0; p->g && !p->frozen && j < p->n; j++)
            norm += (double)p->g[j] * (double)p->g[j];
    }
    norm = sqrt(norm);
    const float scale = o->clip > 0 && norm > (double)o->clip ? (float)((double)o->clip / norm) : 1;
    for (size_t i = 0; i < n->n_params; i++) {
        tr_param *p = n->params[i];
        if (!p->g || p->frozen)
            continue;
        const float decay = p->decay ? o->decay : 0;
        for (size_t j = 0; j < p->n; j++) {
            const float g = p->g[j] * scale + decay * p->w[j];
            p->m[j] = o->momentum * p->m[j] + g;
            p->w[j] -= rate * (o->nesterov ? g + o->momentum * p->m[j] : p->m[j]);
        }
    }
    return norm;
}

float tr_rate(tr_schedule kind, float base, int64_t at, int64_t warm, int64_t steps)
{
    if (at < warm)
        return base * (float)(at + 1) / (float)warm;
    double t = (double)(at - warm) / (double)DV_MAX(steps - warm, 1);
    if (kind == TR_COSINE)
        return base * (float)(0.01 + 0.99 * 0.5 * (1 + cos(3.14159265358979 * t)));
    if (kind == TR_STEP)
        return base * (t < 0.5 ? 1.0F : t < 0.75 ? 0.1F : t < 0.9 ? 0.01F : 0.001F);
    return base;
}
