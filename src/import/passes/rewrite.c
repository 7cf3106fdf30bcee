/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite.c - the editing functions of passes.h. They keep three things true for every
 * tensor: who makes it, how many readers it has, what dims it has. A deleted node
 * takes the nodes before it along once nobody reads them, so that "has a single reader" can
 * be trusted while a pass is at work.
 */
#include "import/passes/passes.h"

#include <string.h>

bool dv_rw_nomem(dv_rw *r)
{
    if (r->status == DMV_OK)
        r->status = dv_nomem(r->e);
    return false;
}

/* Makes r->t as long as the graph's tensors; new entries are unknown and unused. */
static bool grow_info(dv_rw *r, size_t old_count)
{
    while (old_count < r->g->n_tensors) {
        if (!dv_grow(&r->t, &r->cap_t, old_count, sizeof(*r->t)))
            return dv_rw_nomem(r);
        dv_tinfo *i = &r->t[old_count];
        const dv_gtensor *t = &r->g->tensors[old_count];
        memset(i, 0, sizeof(*i));
        i->from = -1;
        i->dims.rank = -1;
        if (t->data) {
            i->dims.rank = t->rank;
            memcpy(i->dims.d, t->dims, sizeof(i->dims.d));
        }
        old_count++;
    }
    return true;
}

bool dv_rw_open(dv_rw *r, dv_graph *g, dv_err *e)
{
    memset(r, 0, sizeof(*r));
    r->g = g;
    r->e = e;
    dv_kernels_init(&r->kernels, 0);
    if (!grow_info(r, 0))
        return false;
    for (size_t n = 0; n < g->n_nodes; n++) {
        for (int i = 0; i < g->nodes[n].n_in; i++)
            if (g->nodes[n].in[i] >= 0)
                r->t[g->nodes[n].in[i]].uses++;
        for (int i = 0; i < g->nodes[n].n_out; i++)
            r->t[g->nodes[n].out[i]].from = (int32_t)n;
    }
    for (size_t i = 0; i < g->n_outputs; i++)
        r->t[g->outputs[i]].uses++;
    return true;
}

void dv_rw_close(dv_rw *r)
{
    dv_free(r->t);
    dv_free(r->sym);
    dv_free(r->dead);
    r->t = NULL;
    r->sym = NULL;
    r->dead = NULL;
}

int32_t dv_rw_maker(const dv_rw *r, int32_t t, uint16_t op)
{
    if (t < 0)
        return -1;
    int32_t n = r->t[t].from;
    return dv_rw_is(r, n, op) ? n : -1;
}

int32_t dv_rw_user(const dv_rw *r, int32_t t)
{
    if (t < 0 || r->t[t].uses != 1)
        return -1;
    for (size_t n = 0; n < r->g->n_nodes; n++)
        for (int i = 0; i < r->g->nodes[n].n_in; i++)
            if (r->g->nodes[n].in[i] == t)
                return (int32_t)n;
    return -1;
}

bool dv_rw_is_output(const dv_rw *r, int32_t t)
{
    for (size_t i = 0; i < r->g->n_outputs; i++)
        if (r->g->outputs[i] == t)
            return true;
    return false;
}

bool dv_dims_same(const dv_dims *a, const dv_dims *b)
{
    if (a->rank < 0 || a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->d[i] != b->d[i] || a->d[i] == -1)
            return false;
    return true;
}

bool dv_dims_known(const dv_dims *d)
{
    if (d->rank < 0)
        return false;
    for (int i = 0; i < d->rank; i++)
        if (d->d[i] < 0)
            return false;
    return true;
}

bool dv_rw_same(const dv_rw *r, int32_t a, int32_t b)
{
    return a >= 0 && b >= 0 && dv_dims_same(&r->t[a].dims, &r->t[b].dims);
}

const float *dv_rw_floats(const dv_rw *r, int32_t t, size_t *count)
{
    if (!dv_rw_is_const(r, t))
        return NULL;
    const dv_gtensor *g = &r->g->tensors[t];
    if (g->dtype != DV_F32 || g->pack != DV_PACK_NONE || !dv_count(g->rank, g->dims, count))
        return NULL;
    return *count > g->size / sizeof(float) ? NULL : g->data;
}

const int64_t *dv_rw_i64(const dv_rw *r, int32_t t, size_t *count)
{
    if (!dv_rw_is_const(r, t))
        return NULL;
    const dv_gtensor *g = &r->g->tensors[t];
    if (g->dtype != DV_I64 || !dv_count(g->rank, g->dims, count))
        return NULL;
    return *count > g->size / sizeof(int64_t) ? NULL : g->data;
}

bool dv_rw_scalar(const dv_rw *r, int32_t t, float *v)
{
    size_t count;
    const float *f = dv_rw_floats(r, t, &count);
    if (!f || count != 1)
        return false;
    *v = f[0];
    return true;
}

bool dv_rw_channels(const dv_rw *r, int32_t t, int rank, int axis, size_t c, float *out)
{
    size_t count;
    const float *f = dv_rw_floats(r, t, &count);
    if (!f || r->g->tensors[t].rank > rank)
        return false;
    int own = axis - (rank - r->g->tensors[t].rank);
    size_t have = own >= 0 ? (size_t)r->g->tensors[t].dims[own] : 1;
    if (count != have || (have != 1 && have != c))
        return false;
    for (size_t i = 0; i < c; i++)
        out[i] = f[have == 1 ? 0 : i];
    return true;
}

int32_t dv_rw_tensor(dv_rw *r, const dv_dims *d)
{
    if (!dv_rw_ok(r))
        return -1;
    size_t before = r->g->n_tensors;
    dv_dims copy = *d; /* d may point into r->t, which moves */
    int64_t dims[DMV_MAX_RANK] = {0};
    for (int i = 0; i < copy.rank; i++)
        dims[i] = copy.d[i] < 0 ? -1 : copy.d[i];
    int32_t t = dv_graph_add_tensor(r->g, NULL, DV_F32, DV_MAX(copy.rank, 0), dims);
    if (t < 0 || !grow_info(r, before)) {
        dv_rw_nomem(r);
        return -1;
    }
    r->t[t].dims = copy;
    return t;
}

static int32_t add_const(dv_rw *r, const char *name, dv_dtype type, int rank, const int64_t *dims,
                         const void *data)
{
    if (!dv_rw_ok(r))
        return -1;
    size_t before = r->g->n_tensors;
    int32_t t = dv_graph_add_const(r->g, name, type, rank, dims, data);
    if (t < 0 || !grow_info(r, before)) {
        dv_rw_nomem(r);
        return -1;
    }
    return t;
}

int32_t dv_rw_const(dv_rw *r, const char *name, int rank, const int64_t *dims, const float *data)
{
    return add_const(r, name, DV_F32, rank, dims, data);
}

int32_t dv_rw_int_const(dv_rw *r, int rank, const int64_t *dims, const int64_t *data)
{
    return add_const(r, NULL, DV_I64, rank, dims, data);
}

int32_t dv_rw_add(dv_rw *r, uint16_t op, const char *name, int n_in, const int32_t *in, int32_t out,
                  const dv_dims *dims)
{
    if (out < 0)
        out = dv_rw_tensor(r, dims);
    if (!dv_rw_ok(r))
        return -1;
    int32_t n = dv_graph_add_node(r->g, op, name, n_in, in, 1, &out);
    if (n < 0) {
        dv_rw_nomem(r);
        return -1;
    }
    for (int i = 0; i < n_in; i++)
        if (in[i] >= 0)
            r->t[in[i]].uses++;
    r->t[out].from = n;
    return n;
}

/* One reader of t less. Its maker is put on the stack once nothing it makes is read. */
static void drop_use(dv_rw *r, int32_t t)
{
    if (t < 0 || --r->t[t].uses > 0 || r->t[t].from < 0)
        return;
    int32_t n = r->t[t].from;
    for (int i = 0; i < r->g->nodes[n].n_out; i++)
        if (r->t[r->g->nodes[n].out[i]].uses > 0)
            return;
    if (!dv_grow(&r->dead, &r->cap_dead, r->n_dead, sizeof(*r->dead))) {
        dv_rw_nomem(r);
        return;
    }
    r->dead[r->n_dead++] = n;
}

static void bury(dv_rw *r)
{
    while (r->n_dead > 0) {
        dv_node *n = &r->g->nodes[r->dead[--r->n_dead]];
        int32_t self = (int32_t)(n - r->g->nodes);
        for (int i = 0; i < n->n_out; i++)
            if (r->t[n->out[i]].from == self)
                r->t[n->out[i]].from = -1;
        for (int i = 0; i < n->n_in; i++)
            drop_use(r, n->in[i]);
        dv_node_free(n);
        memset(n, 0, sizeof(*n));
    }
}

void dv_rw_kill(dv_rw *r, int32_t n)
{
    if (!dv_grow(&r->dead, &r->cap_dead, r->n_dead, sizeof(*r->dead))) {
        dv_rw_nomem(r);
        return;
    }
    r->dead[r->n_dead++] = n;
    bury(r);
}

void dv_rw_set_in(dv_rw *r, int32_t n, int i, int32_t t)
{
    if (!dv_rw_ok(r))
        return;
    dv_node *node = &r->g->nodes[n];
    if (i >= node->n_in) {
        int32_t *in = dv_realloc(node->in, (size_t)(i + 1) * sizeof(*in));
        if (!in) {
            dv_rw_nomem(r);
            return;
        }
        node->in = in;
        while (node->n_in <= i)
            in[node->n_in++] = -1;
    }
    int32_t old = node->in[i];
    node->in[i] = t;
    if (t >= 0)
        r->t[t].uses++;
    drop_use(r, old);
    bury(r);
}

void dv_rw_trim_in(dv_rw *r, int32_t n, int count)
{
    for (int i = r->g->nodes[n].n_in - 1; i >= count; i--)
        dv_rw_set_in(r, n, i, -1);
    if (r->g->nodes[n].n_in > count)
        r->g->nodes[n].n_in = count;
}

void dv_rw_set_out(dv_rw *r, int32_t n, int k, int32_t t)
{
    int32_t old = r->g->nodes[n].out[k];
    r->g->nodes[n].out[k] = t;
    if (r->t[old].from == n)
        r->t[old].from = -1;
    r->t[t].from = n;
}

void dv_rw_take(dv_rw *r, int32_t n, int32_t out)
{
    int32_t before = r->t[out].from;
    dv_rw_set_out(r, n, 0, out);
    if (before >= 0 && before != n)
        dv_rw_kill(r, before);
}

void dv_rw_replace(dv_rw *r, int32_t old, int32_t t)
{
    if (!dv_rw_ok(r) || old == t)
        return;
    dv_graph *g = r->g;
    int32_t maker = r->t[old].from;
    if (dv_rw_is_output(r, old)) {
        int32_t other = r->t[t].from;
        if (other < 0 || dv_rw_is_output(r, t)) { /* an input, a constant or another output */
            int32_t n = dv_graph_add_node(g, DV_OP_IDENTITY, NULL, 1, &t, 1, &old);
            if (n < 0) {
                dv_rw_nomem(r);
                return;
            }
            r->t[t].uses++;
            r->t[old].from = n;
            if (maker >= 0)
                dv_rw_kill(r, maker);
            return;
        }
        /* The maker of t writes `old` instead. */
        for (int k = 0; k < g->nodes[other].n_out; k++)
            if (g->nodes[other].out[k] == t)
                g->nodes[other].out[k] = old;
        r->t[t].from = -1;
        r->t[old].from = other;
        for (size_t n = 0; n < g->n_nodes; n++)
            for (int i = 0; i < g->nodes[n].n_in; i++)
                if (g->nodes[n].in[i] == t) {
                    g->nodes[n].in[i] = old;
                    r->t[t].uses--;
                    r->t[old].uses++;
                }
        if (maker >= 0 && maker != other)
            dv_rw_kill(r, maker);
        return;
    }
    for (size_t n = 0; n < g->n_nodes; n++)
        for (int i = 0; i < g->nodes[n].n_in; i++)
            if (g->nodes[n].in[i] == old) {
                g->nodes[n].in[i] = t;
                r->t[old].uses--;
                r->t[t].uses++;
            }
    if (maker >= 0) {
        for (int k = 0; k < g->nodes[maker].n_out; k++)
            if (r->t[g->nodes[maker].out[k]].uses > 0)
                return;
        dv_rw_kill(r, maker);
    }
}

bool dv_rw_set_ints(dv_rw *r, int32_t n, uint16_t key, const int64_t *v, int count)
{
    return dv_node_set_ints(&r->g->nodes[n], key, v, (uint32_t)count) || dv_rw_nomem(r);
}

bool dv_rw_set_int(dv_rw *r, int32_t n, uint16_t key, int64_t v)
{
    return dv_node_set_int(&r->g->nodes[n], key, v) || dv_rw_nomem(r);
}

bool dv_rw_set_float(dv_rw *r, int32_t n, uint16_t key, float v)
{
    return dv_node_set_float(&r->g->nodes[n], key, v) || dv_rw_nomem(r);
}

void dv_rw_drop_attr(dv_rw *r, int32_t n, uint16_t key)
{
    dv_node *node = &r->g->nodes[n];
    for (int i = 0; i < node->n_attr; i++)
        if (node->attr[i].key == key) {
            if (node->attr[i].is_float)
                dv_free(node->attr[i].v.f);
            else
                dv_free(node->attr[i].v.i);
            node->attr[i] = node->attr[--node->n_attr];
            return;
        }
}

int dv_rw_perm(const dv_rw *r, int32_t n, int *perm)
{
    int64_t p[DMV_MAX_RANK];
    uint32_t count = dv_node_ints(&r->g->nodes[n], DV_A_PERM, p, DMV_MAX_RANK);
    int rank = r->t[dv_rw_in(r, n, 0)].dims.rank;
    if (count == 0 || count > DMV_MAX_RANK || (rank >= 0 && (uint32_t)rank != count))
        return 0;
    unsigned seen = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (p[i] < 0 || p[i] >= count)
            return 0;
        seen |= 1U << p[i];
        perm[i] = (int)p[i];
    }
    return seen == (1U << count) - 1 ? (int)count : 0;
}

int32_t dv_rw_transpose(dv_rw *r, int32_t t, const int *perm, const char *name)
{
    if (t < 0 || !dv_rw_ok(r))
        return -1;
    dv_dims d = r->t[t].dims, o = d;
    int64_t p[DMV_MAX_RANK];
    for (int i = 0; i < d.rank; i++) {
        o.d[i] = d.d[perm[i]];
        p[i] = perm[i];
    }
    int32_t n = dv_rw_add(r, DV_OP_TRANSPOSE, name, 1, &t, -1, &o);
    if (n < 0 || !dv_rw_set_ints(r, n, DV_A_PERM, p, d.rank))
        return -1;
    return dv_rw_out(r, n);
}

bool dv_rw_reshape_attr(const dv_dims *in, const dv_dims *to, int64_t *shape)
{
    bool minus = false;
    if (to->rank < 0)
        return false;
    for (int i = 0; i < to->rank; i++) {
        bool same = i < in->rank && in->d[i] == to->d[i] && to->d[i] != -1;
        if (to->d[i] == 0)
            return false;
        if (to->d[i] > 0 && !(i == 0 && same)) {
            shape[i] = to->d[i];
        } else if (same) {
            shape[i] = 0;
        } else if (!minus) {
            shape[i] = -1;
            minus = true;
        } else {
            return false;
        }
    }
    return true;
}

int dv_rw_axis(const dv_rw *r, int32_t n, int rank, int64_t fallback)
{
    int64_t a = dv_node_int(&r->g->nodes[n], DV_A_AXIS, fallback);
    if (a < 0)
        a += rank;
    return a >= 0 && a < rank ? (int)a : -1;
}

int dv_rw_axes(const dv_rw *r, int32_t n, int rank, int *axes)
{
    int64_t a[DMV_MAX_RANK];
    uint32_t count = dv_node_ints(&r->g->nodes[n], DV_A_AXES, a, DMV_MAX_RANK);
    if (count > DMV_MAX_RANK)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        if (a[i] < 0)
            a[i] += rank;
        if (a[i] < 0 || a[i] >= rank)
            return 0;
        axes[i] = (int)a[i];
    }
    return (int)count;
}
