/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.c - one step after the other, and checkpoints:
 *   magic "DVTRAIN\n", u32 version, u32 params, i64 step, u64 random state of the net, then for
 *   each param u16 name length, name, u64 count, count floats, u8 has momentum, count floats; 32
 *   bytes of SHA-256 of all before. */
#include "train/loop.h"

#include <math.h>
#include <string.h>

dmv_status tr_run_teach(tr_run *r, const tr_teacher *t, const tr_distill *d, dv_err *e)
{
    const size_t b = (size_t)r->batch, dim = (size_t)t->dim;
    r->teacher = t;
    r->distill = *d;
    r->t = dv_alloc_aligned(b * dim * sizeof(float));
    r->m2 = dv_alloc_aligned(b * sizeof(float));
    r->room = dv_alloc_aligned(tr_distill_room(r->batch, t->dim) * sizeof(float));
    r->soft = dv_alloc_aligned(r->head ? b * (size_t)r->head->classes * sizeof(float) : 64);
    if (!r->t || !r->m2 || !r->room || !r->soft)
        return dv_nomem(e);
    if (r->head && d->kinds & (TR_D_MARGIN | TR_D_COPY | TR_D_COPY_FROZEN | TR_D_ADADISTILL)) {
        memcpy(r->head->w->w, t->centres, r->head->w->n * sizeof(float));
        r->head->w->frozen = !(d->kinds & TR_D_COPY);
    }
    return DMV_OK;
}

void tr_run_forget(tr_run *r)
{
    dv_free(r->t);
    dv_free(r->m2);
    dv_free(r->room);
    dv_free(r->soft);
    r->t = r->m2 = r->room = r->soft = NULL;
}

static double losses(tr_run *r, const float *x, float *d, tr_report *out)
{
    const int64_t batch = r->batch, dim = (int64_t)r->net->v[r->net->output].each;
    const unsigned kinds = r->teacher ? r->distill.kinds : 0;
    tr_margin margin = r->margin;
    double loss = 0;
    int64_t right = 0;
    for (int64_t i = 0; r->teacher && i < batch; i++)
        memcpy(r->t + i * dim, r->teacher->v + (int64_t)r->numbers[i] * dim,
               (size_t)dim * sizeof(float));
    if (kinds & TR_D_MARGIN) {
        tr_row_margins(&r->distill, batch, dim, r->t, r->teacher->centres, r->labels, r->m2);
        margin.per_row = r->m2;
    }
    if (!r->unlabelled)
        loss += tr_margin_loss(r->head, &margin, batch, x, r->labels, 1, d, &right);
    if (kinds & TR_D_ANGULAR)
        loss += tr_cosine_loss(batch, dim, x, r->t, r->distill.angular, d);
    if (kinds & TR_D_EMBEDDING) /* |u - t|^2 / dim = 2 (1 - cos) / dim */
        loss += tr_cosine_loss(batch, dim, x, r->t, 2 * r->distill.embedding / (float)dim, d);
    if (kinds & TR_D_HINTON)
        loss += tr_hinton_loss(r->head, r->margin.s, r->distill.temperature, batch, x, r->t,
                               r->teacher->centres, r->distill.hinton, d, r->soft);
    if (kinds & TR_D_RELATIONAL)
        loss += tr_relational_loss(batch, dim, x, r->t, r->distill.relational, d, r->room);
    if (kinds & (TR_D_TRIPLET_L2 | TR_D_TRIPLET_COS))
        loss += tr_triplet_loss(kinds & TR_D_TRIPLET_COS, batch, dim, x, r->t, r->labels,
                                r->distill.triplet, d, r->room);
    out->accuracy = (double)right / (double)batch;
    return loss;
}

dmv_status tr_run_step(tr_run *r, tr_report *out, dv_err *e)
{
    tr_net *n = r->net;
    tr_value *in = &n->v[n->input], *y = &n->v[n->output];
    dmv_status st = tr_loader_next(r->loader, in->x, r->labels, r->numbers, e);
    if (st)
        return st;
    tr_net_forward(n, true);
    float *d = tr_net_output_d(n);
    if (!d)
        return dv_fail(e, DMV_ERR_MEMORY, "out of memory: try a smaller batch");
    memset(d, 0, y->each * (size_t)n->batch * sizeof *d);
    tr_net_zero_grads(n);
    out->loss = losses(r, y->x, d, out);
    if (!isfinite(out->loss))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "step %lld: the loss is no number (first picture of the batch: %s); try a "
                       "lower rate or a longer warm-up",
                       (long long)r->step, r->data->path[r->numbers[0]]);
    if ((st = tr_net_backward(n, e)))
        return st;
    const float rate = tr_rate(r->schedule, r->rate, r->step, r->warm, r->steps);
    out->norm = tr_sgd_step(n, &r->sgd, rate);
    if (r->teacher && r->distill.kinds & TR_D_ADADISTILL)
        tr_adadistill(r->head, n->batch, y->x, r->t, r->labels);
    out->rate = (double)rate;
    r->step++;
    return DMV_OK;
}

static const char magic[8] = "DVTRAIN\n";

static void put(dv_buf *b, const void *p, size_t n)
{
    dv_buf_put(b, p, n);
}

dmv_status tr_checkpoint_save(const tr_run *r, const char *path, dv_err *e)
{
    dv_buf b = {0};
    const tr_net *n = r->net;
    uint32_t head[2] = {1, (uint32_t)n->n_params};
    put(&b, magic, sizeof magic);
    put(&b, head, sizeof head);
    put(&b, &r->step, sizeof r->step);
    put(&b, &n->seed, sizeof n->seed);
    for (size_t i = 0; i < n->n_params; i++) {
        const tr_param *p = n->params[i];
        uint16_t len = (uint16_t)strlen(p->name);
        uint64_t count = p->n;
        uint8_t moves = p->m != NULL;
        put(&b, &len, sizeof len);
        put(&b, p->name, len);
        put(&b, &count, sizeof count);
        put(&b, p->w, p->n * sizeof(float));
        put(&b, &moves, 1);
        if (moves)
            put(&b, p->m, p->n * sizeof(float));
    }
    dmv_status st = DMV_OK;
    if (b.bad) {
        st = dv_nomem(e);
    } else {
        uint8_t sum[32];
        dv_sha256 h;
        dv_sha256_init(&h);
        dv_sha256_update(&h, b.data, b.size);
        dv_sha256_final(&h, sum);
        put(&b, sum, sizeof sum);
        st = b.bad ? dv_nomem(e) : dv_write_file(path, b.data, b.size, e);
    }
    dv_buf_free(&b);
    return st;
}

static bool take(const uint8_t **p, const uint8_t *end, void *to, size_t n)
{
    if ((size_t)(end - *p) < n)
        return false;
    memcpy(to, *p, n);
    *p += n;
    return true;
}

static bool load(tr_run *r, const uint8_t *p, const uint8_t *end)
{
    tr_net *n = r->net;
    char start[8], name[64];
    uint32_t head[2];
    if (!take(&p, end, start, 8) || memcmp(start, magic, 8) || !take(&p, end, head, sizeof head) ||
        head[0] != 1 || head[1] != n->n_params || !take(&p, end, &r->step, sizeof r->step) ||
        !take(&p, end, &n->seed, sizeof n->seed))
        return false;
    for (size_t i = 0; i < n->n_params; i++) {
        tr_param *q = n->params[i];
        uint16_t len;
        uint64_t count;
        uint8_t moves;
        if (!take(&p, end, &len, sizeof len) || len >= sizeof name || !take(&p, end, name, len))
            return false;
        name[len] = 0;
        if (strcmp(name, q->name) || !take(&p, end, &count, sizeof count) || count != q->n ||
            !take(&p, end, q->w, q->n * sizeof(float)) || !take(&p, end, &moves, 1) ||
            moves != (q->m != NULL) || (moves && !take(&p, end, q->m, q->n * sizeof(float))))
            return false;
    }
    return p == end;
}

dmv_status tr_checkpoint_load(tr_run *r, const char *path, dv_err *e)
{
    dv_map m;
    dmv_status st = dv_map_open(path, &m, e);
    if (st)
        return st;
    uint8_t sum[32];
    bool ok = m.size > 32;
    if (ok) {
        dv_sha256 h;
        dv_sha256_init(&h);
        dv_sha256_update(&h, m.base, m.size - 32);
        dv_sha256_final(&h, sum);
        ok = !memcmp(sum, (const uint8_t *)m.base + m.size - 32, 32);
    }
    if (!ok)
        st = dv_fail(e, DMV_ERR_FORMAT, "%s is no checkpoint, or a damaged one", path);
    else if (!load(r, m.base, (const uint8_t *)m.base + m.size - 32))
        st = dv_fail(e, DMV_ERR_FORMAT, "%s is a checkpoint of another net or of other people",
                     path);
    dv_map_close(&m);
    return st;
}
