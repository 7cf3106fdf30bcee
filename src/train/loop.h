/* SPDX-License-Identifier: Apache-2.0
 * loop.h - a training run from pictures to a model file. */
#ifndef TR_LOOP_H
#define TR_LOOP_H

#include "nn/dmv.h"
#include "train/data.h"
#include "train/distill.h"
#include "train/loss.h"
#include "train/nets.h"
#include "train/optim.h"
#include "train/teacher.h"

/* The net as the engine runs it: batch normalisation folded, NCHW input [1, 3, 112, 112]. */
dmv_status tr_export(const tr_net *n, dv_graph *out, dv_err *e);

typedef struct tr_run {
    tr_net *net;
    tr_head *head;
    tr_loader *loader;
    const tr_data *data;
    tr_margin margin;
    tr_sgd sgd;
    tr_schedule schedule;
    float rate;
    int64_t batch, steps, warm, step;
    int32_t *labels;
    uint32_t *numbers;
    const tr_teacher *teacher; /* NULL: none */
    tr_distill distill;
    bool unlabelled;             /* the teacher alone: no margin loss */
    float *t, *m2, *room, *soft; /* of the batch; see tr_run_teach */
} tr_run;

/* Takes a teacher: memory for the batch, class centres and whether they are trained. */
dmv_status tr_run_teach(tr_run *r, const tr_teacher *t, const tr_distill *d, dv_err *e);
void tr_run_forget(tr_run *r); /* what tr_run_teach took */

typedef struct tr_report { /* of one step */
    double loss, accuracy, norm, rate;
} tr_report;

/* One step. A loss that is no number is an error; the weights stay as they were before it. */
dmv_status tr_run_step(tr_run *r, tr_report *out, dv_err *e);

/* Everything that the next step depends on. Atomic; load checks that the net is the same. */
dmv_status tr_checkpoint_save(const tr_run *r, const char *path, dv_err *e);
dmv_status tr_checkpoint_load(tr_run *r, const char *path, dv_err *e);

#endif
