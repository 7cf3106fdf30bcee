/* SPDX-License-Identifier: Apache-2.0
 *
 * sample_net.c - one small net that has something of everything: a turn from planes, packed
 * weights of every kind, a residual, views, integers that follow from a free size, two outputs,
 * and metadata of all three types. And a runner for graphs that nobody vouches for.
 */
#include "sample_net.h"

#include <string.h>

static int32_t weights(nt_net *n, int rank, const int64_t *dims)
{
    return nt_const(n, rank, dims, nt_floats(n, nt_count(rank, dims), -.4f, .4f));
}

static int32_t conv(nt_net *n, int32_t in, int64_t k, int64_t ic, int64_t oc, int64_t groups,
                    int32_t slope, int32_t add)
{
    int32_t out;
    dv_node *node = nt_op(n, DV_OP_CONV,
                          NT_IDS(in, weights(n, 4, (int64_t[]){k, k, ic / groups, oc}),
                                 weights(n, 1, &oc), slope, add),
                          &out);
    NT_INTS(node, DV_A_KERNEL, k, k);
    NT_INTS(node, DV_A_STRIDE, 1, 1);
    NT_INTS(node, DV_A_PADS, k / 2, k / 2, k / 2, k / 2);
    NT_INTS(node, DV_A_GROUP, groups);
    if (slope < 0) {
        NT_INTS(node, DV_A_ACT, DV_ACT_CLIP);
        NT_FLOATS(node, DV_A_P, 0);
        NT_FLOATS(node, DV_A_Q, 6);
    }
    return out;
}

void nt_sample(nt_net *n)
{
    nt_open(n);
    nt_seed(7);
    int64_t planes[4] = {1, 3, -NT_SAMPLE_SIDE, -NT_SAMPLE_SIDE}, six = 6;
    int32_t in = nt_input(n, 4, planes, nt_floats(n, 3 * NT_SAMPLE_SIDE * NT_SAMPLE_SIDE, -1, 1));
    int32_t x, y, up, gate, mean, flat, out[2],
        shape = nt_tensor(n, DV_I64), lead = nt_tensor(n, DV_I64), list = nt_tensor(n, DV_I64);
    NT_INTS(nt_op(n, DV_OP_TRANSPOSE, NT_IDS(in), &x), DV_A_PERM, 0, 2, 3, 1);
    x = conv(n, x, 3, 3, 6, 1, -1, -1);
    y = conv(n, x, 3, 6, 6, 6, weights(n, 1, &six), -1);
    x = conv(n, y, 1, 6, 6, 1, -1, x);
    x = conv(n, x, 3, 6, 6, 2, -1, -1);
    dv_node *pool = nt_op(n, DV_OP_MAX_POOL, NT_IDS(x), &y);
    NT_INTS(pool, DV_A_KERNEL, 2, 2);
    NT_INTS(pool, DV_A_STRIDE, 2, 2);
    nt_op(n, DV_OP_SE,
          NT_IDS(y, weights(n, 2, (int64_t[]){6, 2}), -1, weights(n, 2, (int64_t[]){2, 6}),
                 weights(n, 1, &six)),
          &gate);
    NT_FLOATS(nt_op(n, DV_OP_RESIZE, NT_IDS(gate), &up), DV_A_SCALES, 2, 2);
    NT_INTS(nt_op(n, DV_OP_CONCAT, NT_IDS(x, up), &x), DV_A_AXIS, 3);
    out[1] = x;
    dv_node *red = nt_op(n, DV_OP_REDUCE, NT_IDS(x), &mean);
    NT_INTS(red, DV_A_REDUCE, DV_RED_MEAN);
    NT_INTS(red, DV_A_AXES, 1, 2);
    nt_node(n, DV_OP_SHAPE, NT_IDS(in), 1, &shape);
    dv_node *cut = nt_node(n, DV_OP_SLICE, NT_IDS(shape), 1, &lead);
    NT_INTS(cut, DV_A_STARTS, 0);
    NT_INTS(cut, DV_A_ENDS, 1);
    nt_node(n, DV_OP_CONCAT, NT_IDS(lead, nt_ints(n, 1, (int64_t[]){-1})), 1, &list);
    nt_op(n, DV_OP_RESHAPE, NT_IDS(mean, list), &flat);
    nt_op(n, DV_OP_LINEAR, NT_IDS(flat, weights(n, 2, (int64_t[]){12, NT_SAMPLE_DIM})), &flat);
    nt_op(n, DV_OP_L2_NORM, NT_IDS(flat), &out[0]);
    dv_free(n->g.tensors[out[0]].name);
    n->g.tensors[out[0]].name = dv_strdup("embedding");
    assert_true(dv_graph_set_io(&n->g, n->in, 1, out, 2));
    nt_pack(&n->g);
}

void nt_sample_meta(dv_meta *m)
{
    static const float thresholds[] = {1e-2f, .3f, 1e-3f, .4f, 1e-5f, .6f};
    memset(m, 0, sizeof *m);
    assert_true(dv_meta_set_text(m, "kind", "embedder") && dv_meta_set_text(m, "name", "sample") &&
                dv_meta_set_text(m, "licence", "") && dv_meta_set_int(m, "dim", NT_SAMPLE_DIM) &&
                dv_meta_set_floats(m, "thresholds", thresholds, 6) &&
                dv_meta_set_floats(m, "empty", NULL, 0));
}

void nt_sample_file(uint8_t **data, size_t *size)
{
    nt_net n;
    dv_meta m;
    dv_err e = {0};
    nt_sample(&n);
    nt_sample_meta(&m);
    if (dv_dmv_encode(&n.g, &m, data, size, &e))
        fail_msg("%s", e.msg);
    dv_meta_free(&m);
    nt_close(&n);
}

/* Windows are not in the count of multiplications of pools. */
static double work_of(const dv_exec *x)
{
    double work = 0;
    for (size_t i = 0; i < x->g->n_nodes; i++) {
        const dv_step *s = &x->steps[i];
        int64_t k[2] = {1, 1};
        dv_node_ints(s->node, DV_A_KERNEL, k, 2);
        double out = 0;
        for (int j = 0; j < s->node->n_out; j++)
            out += (double)x->v[s->node->out[j]].count;
        work += (double)s->macs + out * (double)k[0] * (double)k[1] + (double)s->scratch;
    }
    return work;
}

bool nt_try_run(const dv_graph *g, int64_t side)
{
    int64_t dims[DV_MAX_IO][DMV_MAX_RANK];
    const int64_t *p[DV_MAX_IO];
    dv_exec *x;
    dv_err e = {0};
    bool ran = false;
    size_t total = 0, n;
    if (dv_exec_open(g, nt_kernels(true), NULL, &x, &e)) {
        assert_true(e.msg[0]);
        return false;
    }
    for (size_t i = 0; i < g->n_inputs; i++) {
        const dv_gtensor *t = &g->tensors[g->inputs[i]];
        for (int d = 0; d < t->rank; d++)
            dims[i][d] = t->dims[d] < 0 ? side : t->dims[d];
        p[i] = dims[i];
        total += dv_count(t->rank, dims[i], &n) && n < 1u << 22 ? n : 1u << 22;
    }
    if (total >= 1u << 22)
        goto done;
    if (dv_exec_infer(x, p, &e)) {
        assert_true(e.msg[0]);
        goto done;
    }
    for (size_t i = 0; i < g->n_tensors; i++)
        total += DV_MIN(x->v[i].count, (size_t)1 << 22);
    if (total >= 1u << 22 || work_of(x) > 3e7 || dv_exec_shape(x, p, &e))
        goto done;
    for (size_t i = 0; i < g->n_inputs; i++) {
        float *in = dv_exec_input(x, i);
        for (size_t k = 0; k < x->v[g->inputs[i]].count; k++)
            in[k] = (float)(k % 7) - 3;
    }
    dv_exec_run(x);
    ran = true;
done:
    dv_exec_close(&x);
    return ran;
}
