/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.c - shaping and running a graph (see exec.h for the life of an op). Shaping is
 * where everything can fail; running only follows pointers. */
#include "nn/exec.h"

#include <string.h>

#include "nn/bands.h"
#include "nn/plan.h"

static int64_t groups_of(const dv_node *n)
{
    return n->op == DV_OP_CONV ? dv_node_int(n, DV_A_GROUP, 1) : 1;
}

/* A depthwise convolution has as many groups as input and output channels. */
static bool is_depthwise(const dv_node *n, const dv_gtensor *w)
{
    return n->op == DV_OP_CONV && w->rank == 4 && w->dims[2] == 1 &&
           dv_node_int(n, DV_A_GROUP, 1) == w->dims[3] && w->dims[3] > 1;
}

dmv_status dv_pack_const(const dv_gtensor *t, dv_pack pack, int64_t groups, float *out)
{
    const float *src = t->data;
    size_t last = (size_t)t->dims[t->rank - 1], k = t->size / sizeof(float) / last;
    if (pack == DV_PACK_PANEL) {
        size_t n = last / (size_t)groups;
        for (int64_t g = 0; g < groups; g++)
            dv_pack_panels(k, n, src + (size_t)g * n, last, 1,
                           out + (size_t)g * dv_panel_size(k, n));
    } else {
        size_t ld = dv_round_up(last, DV_PANEL);
        memset(out, 0, k * ld * sizeof(float));
        for (size_t i = 0; i < k; i++)
            memcpy(out + i * ld, src + i * last, last * sizeof(float));
    }
    return DMV_OK;
}

dv_pack dv_pack_wanted(const dv_node *n, int i, const dv_gtensor *t)
{
    if (i > 4 || dv_ops[n->op]->roles[i] == DV_ROLE_PLAIN)
        return DV_PACK_NONE;
    if (dv_ops[n->op]->roles[i] >= DV_ROLE_S8)
        return DV_PACK_NONE; /* always packed */
    if (dv_ops[n->op]->roles[i] == DV_ROLE_VEC)
        return DV_PACK_VEC;
    return is_depthwise(n, t) ? DV_PACK_DW : DV_PACK_PANEL;
}

/* Halves as floats, in the form that the float ops read. */
static dmv_status widen(const dv_gtensor *t, float **out, dv_err *e)
{
    dv_gtensor f = *t;
    f.dtype = DV_F32;
    f.pack = DV_PACK_NONE;
    dv_pack pack = t->pack == DV_PACK_HPANEL ? DV_PACK_PANEL
                   : t->pack == DV_PACK_HDW  ? DV_PACK_DW
                                             : DV_PACK_VEC;
    size_t bytes, last = (size_t)t->dims[t->rank - 1];
    if (!dv_tensor_bytes(DV_F32, DV_PACK_NONE, t->rank, t->dims, 1, &f.size) ||
        !dv_tensor_bytes(DV_F32, pack, t->rank, t->dims, 1, &bytes))
        return dv_fail(e, DMV_ERR_FORMAT, "weights cannot be packed");
    float *plain = dv_malloc(f.size);
    *out = dv_alloc_aligned(bytes);
    if (!plain || !*out) {
        dv_free(plain);
        return dv_nomem(e);
    }
    const size_t k = f.size / sizeof(float) / last;
    const uint16_t *h = t->data;
    if (pack == DV_PACK_PANEL)
        dv_unpack_panels_f16(k, last, h, plain);
    else
        for (size_t i = 0; i < k * last; i++)
            plain[i] = dv_half_to_float(h[i / last * dv_round_up(last, DV_HPANEL) + i % last]);
    f.data = plain;
    dv_pack_const(&f, pack, 1, *out);
    dv_free(plain);
    return DMV_OK;
}

static dmv_status pack_inputs(const dv_graph *g, const dv_kernels *k, dv_step *s, dv_err *e)
{
    for (int i = 1; i < s->node->n_in && i < 5; i++) {
        const dv_gtensor *t = dv_const_in(g, s->node, i);
        dmv_status st;
        if (t && t->dtype == DV_F16 && !k->half && (st = widen(t, &s->packed[i], e)))
            return st;
        dv_pack p = t ? dv_pack_wanted(s->node, i, t) : DV_PACK_NONE;
        if (!t || p == DV_PACK_NONE || t->pack != DV_PACK_NONE)
            continue;
        int64_t groups = p == DV_PACK_PANEL ? groups_of(s->node) : 1;
        size_t bytes;
        if (!dv_tensor_bytes(t->dtype, p, t->rank, t->dims, groups, &bytes))
            return dv_fail(e, DMV_ERR_FORMAT, "weights cannot be packed");
        s->packed[i] = dv_alloc_aligned(bytes);
        if (!s->packed[i])
            return dv_nomem(e);
        dv_pack_const(t, p, groups, s->packed[i]);
    }
    return DMV_OK;
}

const float *dv_packed(const dv_exec *x, const dv_step *s, int i)
{
    if (i >= s->node->n_in || s->node->in[i] < 0)
        return NULL;
    return s->packed[i] ? s->packed[i] : x->v[s->node->in[i]].f;
}

dmv_status dv_exec_open(const dv_graph *g, const dv_kernels *k, dv_pool *pool, dv_exec **out,
                        dv_err *e)
{
    *out = NULL;
    dmv_status st = dv_graph_check(g, e);
    if (st)
        return st;
    dv_exec *x = dv_calloc(1, sizeof *x);
    if (!x)
        return dv_nomem(e);
    x->g = g;
    x->k = k;
    x->pool = pool;
    x->v = dv_calloc(g->n_tensors, sizeof *x->v);
    x->steps = dv_calloc(g->n_nodes ? g->n_nodes : 1, sizeof *x->steps);
    if (!x->v || !x->steps) {
        dv_exec_close(&x);
        return dv_nomem(e);
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        x->steps[i].node = &g->nodes[i];
        x->steps[i].op = dv_ops[g->nodes[i].op];
        st = pack_inputs(g, k, &x->steps[i], e);
        if (st) {
            dv_exec_close(&x);
            return st;
        }
    }
    *out = x;
    return DMV_OK;
}

static void forget_shapes(dv_exec *x)
{
    for (size_t i = 0; i < x->g->n_tensors && x->v; i++)
        if (x->v[i].owned_i)
            dv_free(x->v[i].i);
    for (size_t i = 0; i < x->g->n_nodes && x->steps; i++) {
        dv_step *s = &x->steps[i];
        dv_free(s->state);
        s->state = NULL;
        s->skip = false;
        s->scratch = s->shared = 0;
        s->macs = 0;
        s->band.fn = NULL;
    }
    dv_bands_free(x);
    if (x->v)
        memset(x->v, 0, x->g->n_tensors * sizeof *x->v);
    dv_free(x->arena);
    dv_free(x->scratch);
    x->arena = x->scratch = x->shared = NULL;
    x->arena_size = x->scratch_each = 0;
    x->shaped = false;
    memset(x->bypass, 0, sizeof x->bypass);
}

void dv_exec_close(dv_exec **px)
{
    dv_exec *x = *px;
    if (!x)
        return;
    forget_shapes(x);
    for (size_t i = 0; i < x->g->n_nodes && x->steps; i++)
        for (size_t j = 0; j < DV_COUNT(x->steps[i].packed); j++)
            dv_free(x->steps[i].packed[j]);
    dv_free(x->v);
    dv_free(x->steps);
    dv_free(x);
    *px = NULL;
}

dmv_status dv_set_dims(dv_value *v, int rank, const int64_t *dims, dv_err *e)
{
    size_t count, most; /* most: zeros left out, so that no product of some dims overflows */
    int64_t some[DMV_MAX_RANK];
    for (int i = 0; i < rank && i < DMV_MAX_RANK; i++)
        some[i] = dims[i] ? dims[i] : 1;
    if (rank < 0 || rank > DMV_MAX_RANK || !dv_count(rank, some, &most) ||
        !dv_count(rank, dims, &count) || most > SIZE_MAX / 64 || most > (size_t)1 << 31)
        return dv_fail(e, DMV_ERR_LIMIT, "a tensor has an impossible or too large shape");
    v->rank = rank;
    memcpy(v->dims, dims, (size_t)rank * sizeof *dims);
    v->count = count;
    return DMV_OK;
}

dmv_status dv_set_ints(dv_value *v, dv_err *e)
{
    if (v->count > 65536)
        return dv_fail(e, DMV_ERR_LIMIT, "an integer tensor has over 65,536 elements");
    v->i = dv_malloc((v->count ? v->count : 1) * sizeof *v->i);
    if (!v->i)
        return dv_nomem(e);
    v->owned_i = true;
    return DMV_OK;
}

void dv_same_band(dv_exec *x, dv_step *s, dv_range_fn fn, bool pixels)
{
    const dv_value *o = dv_out(x, s, 0);
    for (int i = 0; i < s->node->n_in; i++) {
        const dv_value *v = dv_in(x, s, i);
        if (v && !x->g->tensors[s->node->in[i]].data &&
            (v->rank != 4 || o->rank != 4 || memcmp(v->dims, o->dims, 3 * sizeof *v->dims) ||
             (!pixels && v->dims[3] != o->dims[3])))
            return;
    }
    if (o->rank == 4)
        s->band = (dv_band){fn, (size_t)(o->dims[2] * (pixels ? 1 : o->dims[3])), 1, 0, 1};
}

void dv_make_view(dv_exec *x, dv_step *s)
{
    dv_value *o = dv_out(x, s, 0);
    o->root = x->v[s->node->in[0]].root;
    s->skip = true;
}

int dv_axis(int64_t axis, int rank)
{
    if (axis < 0)
        axis += rank;
    return axis < 0 || axis >= rank ? -1 : (int)axis;
}

static dv_dtype type_here(const dv_exec *x, const dv_gtensor *t)
{
    return t->dtype == DV_F16 && !x->k->half ? DV_F32 : t->dtype;
}

static dmv_status shape_steps(dv_exec *x, const int64_t *const *dims, dv_err *e)
{
    const dv_graph *g = x->g;
    forget_shapes(x);
    for (size_t i = 0; i < g->n_tensors; i++) {
        dv_value *v = &x->v[i];
        const dv_gtensor *t = &g->tensors[i];
        v->dtype = type_here(x, t);
        v->scale = t->scale;
        v->zero = t->zero;
        v->root = (int32_t)i;
        if (!t->data)
            continue;
        dmv_status st = dv_set_dims(v, t->rank, t->dims, e);
        if (st)
            return st;
        if (t->dtype == DV_F32)
            v->f = (float *)(uintptr_t)t->data; /* read only: no op writes to a constant */
        else if (t->dtype == DV_U8 || t->dtype == DV_S8)
            v->q = (uint8_t *)(uintptr_t)t->data;
        else if (t->dtype == DV_F16)
            v->h = (uint16_t *)(uintptr_t)t->data;
        else
            v->i = (int64_t *)(uintptr_t)t->data;
    }
    for (size_t i = 0; i < g->n_inputs; i++) {
        const dv_gtensor *t = &g->tensors[g->inputs[i]];
        for (int d = 0; d < t->rank; d++)
            if (dims[i][d] < 1 || dims[i][d] > 1 << 24 ||
                (t->dims[d] != -1 && t->dims[d] != dims[i][d]))
                return dv_fail(
                    e, DMV_ERR_ARGUMENT, "input \"%s\", dimension %d: the net wants %lld, not %lld",
                    t->name ? t->name : "", d, (long long)t->dims[d], (long long)dims[i][d]);
        dmv_status st = dv_set_dims(&x->v[g->inputs[i]], t->rank, dims[i], e);
        if (st)
            return st;
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        dv_step *s = &x->steps[i];
        bool ints_known = true;
        for (int j = 0; j < s->node->n_in; j++) {
            const dv_value *v = dv_in(x, s, j);
            if (v && v->dtype == DV_I64 && !v->i)
                ints_known = false;
        }
        for (int j = 0; j < s->node->n_out; j++)
            dv_out(x, s, j)->dtype = type_here(x, &g->tensors[s->node->out[j]]);
        char label[128];
        dmv_status st =
            ints_known ? s->op->shape(x, s, e)
                       : dv_fail(e, DMV_ERR_UNSUPPORTED, "integers that depend on computed values");
        if (st)
            return dv_fail_in(e, "%s", dv_step_label(s, label, sizeof label));
        for (int j = 0; j < s->node->n_out; j++) {
            const dv_value *o = dv_out(x, s, j);
            if (o->dtype == DV_I64 && o->i)
                s->skip = true;
            else if (o->dtype == DV_I64)
                return dv_fail(e, DMV_ERR_UNSUPPORTED, "%s computes integers from values",
                               dv_step_label(s, label, sizeof label));
        }
    }
    return DMV_OK;
}

dmv_status dv_exec_infer(dv_exec *x, const int64_t *const *dims, dv_err *e)
{
    return shape_steps(x, dims, e);
}

dmv_status dv_exec_shape(dv_exec *x, const int64_t *const *dims, dv_err *e)
{
    dmv_status st = shape_steps(x, dims, e);
    if (st) {
        forget_shapes(x);
        return st;
    }
    if ((st = dv_bands_find(x, e)) || (st = dv_plan(x, e)) || (st = dv_bands_ready(x, e))) {
        forget_shapes(x);
        return st;
    }
    size_t scratch, shared = 0;
    for (size_t i = 0; i < x->g->n_nodes; i++) {
        const dv_step *s = &x->steps[i];
        x->scratch_each = DV_MAX(x->scratch_each, s->skip ? 0 : s->scratch);
        shared = DV_MAX(shared, s->skip ? 0 : s->shared);
    }
    x->scratch_each = dv_round_up(x->scratch_each + DV_ALIGN, DV_ALIGN);
    if (!dv_mul(x->scratch_each, (size_t)dv_pool_size(x->pool), &scratch) ||
        shared > SIZE_MAX - scratch) {
        forget_shapes(x);
        return dv_fail(e, DMV_ERR_LIMIT, "too much scratch memory");
    }
    x->arena = dv_alloc_aligned(x->arena_size ? x->arena_size : 1);
    x->scratch = dv_alloc_aligned(scratch + shared);
    if (!x->arena || !x->scratch) {
        size_t mib = x->arena_size >> 20;
        forget_shapes(x);
        return dv_fail(e, DMV_ERR_MEMORY, "out of memory: the net wants %zu MiB for this size",
                       mib);
    }
    x->shared = x->scratch + scratch;
    for (size_t i = 0; i < x->g->n_tensors; i++) {
        dv_value *v = &x->v[i];
        const dv_value *r = &x->v[dv_root(x, (int32_t)i)];
        if (v->dtype == DV_I64 || x->g->tensors[i].data)
            continue;
        uint8_t *at = x->arena + r->offset;
        if (v->dtype == DV_F32)
            v->f = x->g->tensors[r - x->v].data ? r->f : (float *)(void *)at;
        else if (v->dtype == DV_F16)
            v->h = x->g->tensors[r - x->v].data ? r->h : (uint16_t *)(void *)at;
        else
            v->q = x->g->tensors[r - x->v].data ? r->q : at;
    }
    x->shaped = true;
    return DMV_OK;
}

void dv_exec_run(dv_exec *x)
{
    dv_exec_run_part(x, 0, x->g->n_nodes);
}

void dv_exec_run_part(dv_exec *x, size_t begin, size_t end)
{
    unsigned saved = dv_ftz_begin();
    for (size_t i = begin; i < end; i++) {
        const dv_step *s = &x->steps[i];
        if (s->skip || s == x->bypass[0] || s == x->bypass[1])
            continue;
        const struct dv_group *g = dv_bands_at(x, i);
        if (g) {
            int32_t first, last;
            dv_bands_span(g, &first, &last);
            dv_bands_run(x, g);
            i = (size_t)last;
            continue;
        }
        uint64_t t = x->step_ns ? dv_now_ns() : 0;
        s->op->run(x, s);
        if (x->step_ns)
            x->step_ns[i] += dv_now_ns() - t;
        if (x->seen)
            x->seen(x->seen_user, x, i);
    }
    dv_ftz_end(saved);
}

float *dv_exec_input(dv_exec *x, size_t i)
{
    memset(x->bypass, 0, sizeof x->bypass);
    return x->v[x->g->inputs[i]].f;
}

/* The tensor that holds picture input i in the order N, H, W, C, and the step that would make it
 * (NULL if both orders are the same); -1 if the net does not begin so. */
static int32_t turned_input(const dv_exec *x, size_t i, const dv_step **step)
{
    static const int64_t wanted[4] = {0, 2, 3, 1};
    int32_t in = x->g->inputs[i];
    *step = NULL;
    const dv_step *first = NULL, *turn = NULL;
    for (size_t k = 0; k < x->g->n_nodes; k++) {
        const dv_step *s = &x->steps[k];
        bool reads = false;
        for (int j = 0; j < s->node->n_in; j++)
            reads |= s->node->in[j] >= 0 && dv_root(x, s->node->in[j]) == dv_root(x, in);
        if (!first && !s->skip)
            first = s;
        if (!reads || (turn && turn->skip)) /* behind a view nobody can tell the orders apart */
            continue;
        if (turn || s->node->op != DV_OP_TRANSPOSE || s->node->in[0] != in)
            return -1;
        turn = s;
    }
    for (size_t k = 0; k < x->g->n_outputs; k++)
        if (dv_root(x, x->g->outputs[k]) == dv_root(x, in) && !(turn && turn->skip))
            return -1; /* somebody reads the input as it was given */
    int64_t perm[DMV_MAX_RANK];
    if (!turn || dv_node_ints(turn->node, DV_A_PERM, perm, DMV_MAX_RANK) != 4 ||
        memcmp(perm, wanted, sizeof wanted))
        return -1;
    if (turn->skip) /* one channel or one pixel: both orders are the same */
        return turn->node->out[0];
    if (turn != first)
        return -1;
    *step = turn;
    return turn->node->out[0];
}

float *dv_exec_input_nhwc(dv_exec *x, size_t i)
{
    const dv_step *step;
    int32_t t = turned_input(x, i, &step);
    memset(x->bypass, 0, sizeof x->bypass);
    x->bypass[0] = step;
    return t < 0 ? NULL : x->v[t].f;
}

uint8_t *dv_exec_input_u8(dv_exec *x, size_t i, bool nchw, float *scale, float *zero)
{
    const dv_step *step = NULL, *quant = NULL;
    int32_t t = nchw ? turned_input(x, i, &step) : x->g->inputs[i];
    for (size_t k = 0; t >= 0 && k < x->g->n_nodes; k++) {
        const dv_step *s = &x->steps[k];
        for (int j = 0; j < s->node->n_in; j++) {
            if (s == step || s->skip || s->node->in[j] < 0 ||
                dv_root(x, s->node->in[j]) != dv_root(x, t))
                continue;
            if (quant || s->node->op != DV_OP_QUANTIZE)
                return NULL;
            quant = s;
        }
    }
    for (size_t k = 0; t >= 0 && k < x->g->n_outputs; k++)
        if (dv_root(x, x->g->outputs[k]) == dv_root(x, t))
            return NULL;
    if (!quant || !(x->g->tensors[quant->node->out[0]].scale > 0))
        return NULL;
    x->bypass[0] = step;
    x->bypass[1] = quant;
    const dv_value *v = &x->v[quant->node->out[0]];
    *scale = v->scale;
    *zero = v->zero;
    return v->q;
}

const dv_value *dv_exec_output(const dv_exec *x, size_t i)
{
    return &x->v[x->g->outputs[i]];
}

struct range {
    dv_exec *x;
    const dv_step *s;
    dv_range_fn fn;
    size_t n, each;
};

static void run_range(void *arg, size_t task, int worker)
{
    struct range *r = arg;
    size_t begin = task * r->each, end = DV_MIN(begin + r->each, r->n);
    if (begin < end)
        r->fn(r->x, r->s, begin, end, worker);
}

bool dv_by_columns(const dv_exec *x, size_t rows, size_t n)
{
    size_t workers = (size_t)dv_pool_size(x->pool), mr = x->k->gemm_mr ? x->k->gemm_mr : 1;
    return workers > 1 && rows <= 4 * mr && n >= 2 * DV_HPANEL * workers;
}

void dv_parallel(dv_exec *x, const dv_step *s, size_t n, size_t grain, dv_range_fn fn)
{
    size_t workers = (size_t)dv_pool_size(x->pool);
    grain = grain ? grain : 1;
    if (n == 0)
        return;
    if (workers <= 1 || n <= grain) {
        fn(x, s, 0, n, 0);
        return;
    }
    /* a few chunks a worker, so that a slow core does not hold up the rest; rather more of them
     * than chunks that do not divide among the workers */
    size_t grains = (n + grain - 1) / grain,
           each = DV_MAX(grains / (workers * 4), (size_t)1) * grain;
    struct range r = {x, s, fn, n, each};
    dv_pool_run(x->pool, (n + each - 1) / each, run_range, &r);
}
