/* SPDX-License-Identifier: Apache-2.0
 *
 * loss.h - losses on embeddings. Each adds the gradient of its mean over the batch to d (rows of
 * dim floats) and returns that mean.
 */
#ifndef TR_LOSS_H
#define TR_LOSS_H

#include "train/train.h"

/* Margin softmax: logit of the own class s (cos(m1 th + m2) - m3), of the others s cos th; class
 * centres and embeddings have unit length (ALGORITHMS: combined margins; ArcFace m2 = 0.5, CosFace
 * m3 = 0.35, SphereFace m1 = 1.35; plain softmax m1 = 1). Beyond an angle of pi the cosine goes on
 * as -2 - cos, so that it falls everywhere. */
typedef struct tr_margin {
    float s, m1, m2, m3;
    float smooth;         /* of labels, 0..1 */
    const float *per_row; /* NULL, or m2 of each row (MarginDistillation) */
} tr_margin;

typedef struct tr_head {
    tr_param *w; /* classes x dim; w->frozen: no gradient */
    int64_t classes, dim;
    float *e, *c;   /* unit embeddings of the batch; unit centres */
    float *logits;  /* batch x classes; after the loss: their gradients */
    float *en, *cn; /* lengths */
    float *de, *dc;
    int64_t batch;
} tr_head;

dmv_status tr_head_new(tr_net *n, int64_t classes, tr_head **out, dv_err *e);
void tr_head_free(tr_head **h);
dmv_status tr_head_ready(tr_head *h, int64_t batch, dv_err *e);
/* Mean loss; *right: rows whose own class has the largest cosine. d may be NULL. */
double tr_margin_loss(tr_head *h, const tr_margin *m, int64_t batch, const float *x,
                      const int32_t *labels, float weight, float *d, int64_t *right);

/* Steps of such losses: unit embeddings and centres into h->e, h->c; from gradients of the cosines
 * in h->logits to d and to the gradient of the centres. */
void tr_head_unit(tr_head *h, int64_t batch, const float *x);
void tr_head_gradient(tr_head *h, int64_t batch, float *d);

/* weight * mean of 1 - cos(x, t): label-free distillation. */
double tr_cosine_loss(int64_t batch, int64_t dim, const float *x, const float *t, float weight,
                      float *d);

#endif
