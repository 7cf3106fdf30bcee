/* SPDX-License-Identifier: Apache-2.0
 * plan.h - the memory planner: offsets of intermediate tensors in one arena. */
#ifndef DV_PLAN_H
#define DV_PLAN_H

#include "nn/exec.h"

/* The tensor whose memory t really uses: follows views and in-place outputs. */
int32_t dv_root(const dv_exec *x, int32_t t);
/* Works out lifetimes, lets outputs take the place of inputs that die there, and
 * gives offsets; sets arena_size. */
dmv_status dv_plan(dv_exec *x, dv_err *e);
/* Packing of constants (shared with the importer). */
dv_pack dv_pack_wanted(const dv_node *n, int input, const dv_gtensor *t);
dmv_status dv_pack_const(const dv_gtensor *t, dv_pack pack, int64_t groups, float *out);

#endif
