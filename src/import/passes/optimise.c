/* SPDX-License-Identifier: Apache-2.0
 *
 * optimise.c - the order of the passes. First the graph is brought into its simplest form and
 * linear arithmetic goes into weights, over and over until nothing changes: sinking a
 * Transpose puts a batch norm beside its Conv, folding that puts two Transposes side by
 * side. Fusing comes after, because a layer with an activation takes no scale any more.
 */
#include "import/passes/passes.h"

#include <string.h>

#define MAX_ROUNDS 40

typedef bool (*pass_fn)(dv_rw *r);

/* Repeats the passes in turn until none changes anything. */
static void settle(dv_rw *r, const pass_fn *passes, size_t count)
{
    bool changed = true;
    for (int round = 0; changed && round < MAX_ROUNDS && dv_rw_ok(r); round++) {
        changed = false;
        for (size_t i = 0; i < count && dv_rw_ok(r); i++)
            if (passes[i](r)) {
                changed = true;
                dv_rw_tidy(r);
            }
        if (changed)
            dv_rw_infer(r);
    }
}

/* Dims found on the way stay with the tensors; symbols become "unknown". */
static void keep_dims(dv_rw *r)
{
    for (size_t i = 0; i < r->g->n_tensors; i++) {
        dv_gtensor *t = &r->g->tensors[i];
        const dv_dims *d = &r->t[i].dims;
        if (t->data || d->rank < 0 || r->t[i].from < 0)
            continue;
        t->rank = d->rank;
        for (int k = 0; k < d->rank; k++)
            t->dims[k] = d->d[k] < 0 ? -1 : d->d[k];
    }
}

dmv_status dv_import_optimise(dv_graph *g, dv_import_report *report, dv_err *e)
{
    static const pass_fn simplest[] = {dv_pass_fold,    dv_pass_simplify,  dv_pass_cse,
                                       dv_pass_shuffle, dv_pass_recognise, dv_pass_layout,
                                       dv_pass_weights};
    static const pass_fn fused[] = {dv_pass_fuse, dv_pass_se, dv_pass_simplify, dv_pass_layout,
                                    dv_pass_cse};
    static const pass_fn last[] = {dv_pass_final, dv_pass_fold, dv_pass_simplify, dv_pass_fuse,
                                   dv_pass_se};
    static const pass_fn joined[] = {dv_pass_siblings, dv_pass_simplify};
    dv_rw r;
    size_t before = g->n_nodes;
    if (dv_rw_open(&r, g, e) && dv_rw_tidy(&r)) {
        dv_rw_infer(&r);
        settle(&r, simplest, DV_COUNT(simplest));
        settle(&r, fused, DV_COUNT(fused));
        settle(&r, last, DV_COUNT(last));
        settle(&r, joined, DV_COUNT(joined));
        if (dv_rw_ok(&r))
            keep_dims(&r);
    }
    dmv_status st = r.status;
    dv_rw_close(&r);
    if (report && st == DMV_OK) {
        memset(report, 0, sizeof(*report));
        report->nodes_before = before;
        report->nodes_after = g->n_nodes;
        for (size_t i = 0; i < g->n_nodes; i++)
            report->transposes_left += g->nodes[i].op == DV_OP_TRANSPOSE;
    }
    return st;
}
