/* SPDX-License-Identifier: Apache-2.0
 *
 * distill.h - what a student may learn from a teacher's vectors, beside or instead of the labels.
 * As in loss.h, each adds weight times the gradient of its mean over the batch to d. x: the
 * student's raw embeddings, t: the teacher's unit vectors, batch x dim. Formulas: ALGORITHMS of the
 * papers named.
 */
#ifndef TR_DISTILL_H
#define TR_DISTILL_H

#include "train/loss.h"

enum {
    TR_D_MARGIN = 1 << 0, /* MarginDistillation: teacher's centres, frozen; m2 of each sample */
    TR_D_COPY = 1 << 1,   /* its ablation: centres copied, then trained */
    TR_D_COPY_FROZEN = 1 << 2, /* its ablation: copied and frozen, one margin for all */
    TR_D_ANGULAR = 1 << 3,     /* ShrinkTeaNet: 1 - cos(x, t) */
    TR_D_EMBEDDING =
        1 << 4,           /* PocketNet: squared difference of the unit vectors; no labels needed */
    TR_D_HINTON = 1 << 5, /* softened class probabilities */
    TR_D_RELATIONAL = 1 << 6,  /* RKD: distances between samples over their mean */
    TR_D_TRIPLET_L2 = 1 << 7,  /* triplets with the teacher's margin, squared distance */
    TR_D_TRIPLET_COS = 1 << 8, /* the same, angle */
    TR_D_ADADISTILL = 1 << 9   /* centres that follow the teacher's vectors */
};

typedef struct tr_distill {
    unsigned kinds;
    float angular, embedding, hinton, relational, triplet; /* weights */
    float m_min, m_max;                                    /* of TR_D_MARGIN: 0.2, 0.5 */
    float temperature;                                     /* of TR_D_HINTON: 4 */
} tr_distill;

/* "margin,angular:2" to kinds and weights; *e names an unknown word and lists the known ones. */
dmv_status tr_distill_parse(const char *list, tr_distill *d, dv_err *e);

/* m2 of each row (MarginDistillation): m_min + (m_max - m_min) c_i / max c, c_i = cos(t_i, centre).
 */
void tr_row_margins(const tr_distill *d, int64_t batch, int64_t dim, const float *t,
                    const float *centres, const int32_t *labels, float *m2);
/* T^2 KL(p_t || p_s) with logits s cos / T; teacher's logits against its centres. */
double tr_hinton_loss(tr_head *h, float s, float temperature, int64_t batch, const float *x,
                      const float *t, const float *centres, float weight, float *d, float *soft);
double tr_relational_loss(int64_t batch, int64_t dim, const float *x, const float *t, float weight,
                          float *d, float *room);
/* Semi-hard negatives; margin 0.2 + 0.3 [d_an - d_ap of the teacher]+ / its largest in the batch.
 */
double tr_triplet_loss(bool angle, int64_t batch, int64_t dim, const float *x, const float *t,
                       const int32_t *labels, float weight, float *d, float *room);
/* After a step: w_y <- a w_y + (1 - a) t, a = clip(cos(x, t) cos(w_y, t), 0, 1). */
void tr_adadistill(tr_head *h, int64_t batch, const float *x, const float *t,
                   const int32_t *labels);
/* Floats that `room` must hold. */
size_t tr_distill_room(int64_t batch, int64_t dim);

#endif
