/* SPDX-License-Identifier: Apache-2.0
 *
 * bands.h - several layers at a time, a band of rows after the other, so that what one layer writes
 * is still in the cache when the next reads it, and threads meet once a group instead of once a
 * layer. Results do not change by a bit.
 *
 * A group is a run of consecutive steps, each of which makes some rows of its output from some rows
 * of its inputs (dv_step.band). All outputs but the last are read inside the group only; of these,
 * only the rows of the moment exist, in a buffer of each worker. The workers share the rows of the
 * last output; each works out for itself the rows that it needs on the other side of the border.
 */
#ifndef DV_BANDS_H
#define DV_BANDS_H

#include "nn/exec.h"

/* After shaping, before planning: finds the groups (x->groups). */
dmv_status dv_bands_find(dv_exec *x, dv_err *e);
/* After planning: gives every worker its buffers. */
dmv_status dv_bands_ready(dv_exec *x, dv_err *e);
void dv_bands_free(dv_exec *x);
/* Is this tensor made and used up inside a group? */
bool dv_bands_inner(const dv_exec *x, int32_t t);
/* The group that begins with this step or contains it; NULL if it runs alone. */
const struct dv_group *dv_bands_at(const dv_exec *x, size_t step);
/* First and last step of a group. */
void dv_bands_span(const struct dv_group *g, int32_t *first, int32_t *last);
void dv_bands_run(dv_exec *x, const struct dv_group *g);

#endif
