/* SPDX-License-Identifier: Apache-2.0
 *
 * teacher.c - see teacher.h. The cache: magic "DVTEACH\n", the 32 bytes of SHA-256 of all that the
 * vectors depend on (ids of the models, paths and sizes of the pictures), u64 n, u64 dim, f64 kept,
 * u64 own dim, the vectors, SHA-256 of all before. */
#include "train/teacher.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "nn/dmv.h"
#include "nn/exec.h"
#include "train/train.h"

/* ---- principal components ---- */

/* Eigenvalues of a symmetric matrix, largest first, and their directions as rows of `rows`: cyclic
 * Jacobi. a is destroyed. */
static void eigen(double *a, int64_t n, double *rows, int64_t *order)
{
    for (int64_t i = 0; i < n * n; i++)
        rows[i] = i / n == i % n;
    for (int sweep = 0; sweep < 30; sweep++) {
        double off = 0, on = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                *(i == j ? &on : &off) += a[i * n + j] * a[i * n + j];
        if (off <= 1e-22 * on)
            break;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                if (fabs(a[p * n + q]) < 1e-300)
                    continue;
                double th = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
                double t = (th < 0 ? -1 : 1) / (fabs(th) + sqrt(th * th + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                for (int64_t k = 0; k < n; k++) {
                    double u = a[p * n + k], v = a[q * n + k];
                    a[p * n + k] = c * u - s * v;
                    a[q * n + k] = s * u + c * v;
                }
                for (int64_t k = 0; k < n; k++) {
                    double u = a[k * n + p], v = a[k * n + q];
                    a[k * n + p] = c * u - s * v;
                    a[k * n + q] = s * u + c * v;
                    u = rows[p * n + k];
                    v = rows[q * n + k];
                    rows[p * n + k] = c * u - s * v;
                    rows[q * n + k] = s * u + c * v;
                }
            }
    }
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = 1; i < n; i++) /* by insertion */
        for (int64_t j = i;
             j > 0 && a[order[j] * n + order[j]] > a[order[j - 1] * n + order[j - 1]]; j--) {
            int64_t t = order[j];
            order[j] = order[j - 1];
            order[j - 1] = t;
        }
}

static void unit(float *v, int64_t dim)
{
    double sum = 0;
    for (int64_t i = 0; i < dim; i++)
        sum += (double)v[i] * (double)v[i];
    const double len = DV_MAX(sqrt(sum), 1e-12);
    for (int64_t i = 0; i < dim; i++)
        v[i] = (float)((double)v[i] / len);
}

dmv_status tr_project(float *v, size_t n, int64_t from, int64_t to, double *kept, dv_err *e)
{
    double *cov = dv_calloc((size_t)(from * from), sizeof *cov);
    double *rows = dv_calloc((size_t)(from * from), sizeof *rows);
    double *mean = dv_calloc((size_t)from, sizeof *mean);
    float *out = dv_malloc((size_t)to * sizeof *out), *c = dv_malloc((size_t)from * sizeof *c);
    int64_t *order = dv_malloc((size_t)from * sizeof *order);
    dmv_status st = cov && rows && mean && out && c && order ? DMV_OK : dv_nomem(e);
    for (size_t r = 0; !st && r < n; r++)
        for (int64_t i = 0; i < from; i++)
            mean[i] += (double)v[r * (size_t)from + (size_t)i] / (double)n;
    for (size_t r = 0; !st && r < n; r++) {
        for (int64_t i = 0; i < from; i++)
            c[i] = (float)((double)v[r * (size_t)from + (size_t)i] - mean[i]);
        for (int64_t i = 0; i < from; i++)
            for (int64_t j = 0; j <= i; j++)
                cov[i * from + j] += (double)c[i] * (double)c[j];
    }
    if (!st) {
        double all = 0, some = 0;
        for (int64_t i = 0; i < from; i++) {
            all += cov[i * from + i];
            for (int64_t j = 0; j < i; j++)
                cov[j * from + i] = cov[i * from + j];
        }
        eigen(cov, from, rows, order);
        for (int64_t i = 0; i < to; i++)
            some += cov[order[i] * from + order[i]];
        *kept = all > 0 ? some / all : 1;
        for (size_t r = 0; r < n; r++) {
            for (int64_t i = 0; i < to; i++) {
                double sum = 0;
                const double *d = rows + order[i] * from;
                for (int64_t j = 0; j < from; j++)
                    sum += d[j] * ((double)v[r * (size_t)from + (size_t)j] - mean[j]);
                out[i] = (float)sum;
            }
            unit(out, to);
            memcpy(v + r * (size_t)to, out, (size_t)to * sizeof *v); /* to <= from: in place */
        }
    }
    dv_free(cov);
    dv_free(rows);
    dv_free(mean);
    dv_free(out);
    dv_free(c);
    dv_free(order);
    return st;
}

/* ---- vectors ---- */

typedef struct job {
    const tr_data *d;
    const dv_graph *g;
    dv_kernels k;
    dv_exec **x; /* a worker each */
    const float *mean, *scale;
    float *v;
    size_t stride, at;
    int64_t dim;
    dv_err *e;
    dmv_status st;
    size_t bad;
} job;

static void one_picture(void *arg, size_t i, int worker)
{
    job *j = arg;
    dv_picture p;
    dv_err e = {0};
    float *out = j->v + i * j->stride + j->at;
    memset(out, 0, (size_t)j->dim * sizeof *out);
    if (dv_image_load(j->d->path[i], &p, &e)) {
        __atomic_add_fetch(&j->bad, 1, __ATOMIC_RELAXED);
        return;
    }
    dv_exec *x = j->x[worker];
    for (int flip = 0; flip < 2; flip++) { /* the picture and its mirror image, summed */
        float *in = dv_exec_input(x, 0);
        for (int c = 0; c < 3; c++)
            for (int r = 0; r < TR_SIDE; r++)
                for (int q = 0; q < TR_SIDE; q++) {
                    int px = (flip ? TR_SIDE - 1 - q : q) * p.width / TR_SIDE;
                    int py = r * p.height / TR_SIDE;
                    float v = p.pixels[((size_t)py * (size_t)p.width + (size_t)px) * 3 + (size_t)c];
                    in[(c * TR_SIDE + r) * TR_SIDE + q] = (v - j->mean[c]) * j->scale[c];
                }
        dv_exec_run(x);
        const float *y = dv_exec_output(x, 0)->f;
        double sum = 0;
        for (int64_t k = 0; k < j->dim; k++)
            sum += (double)y[k] * (double)y[k];
        const float inv = (float)(1 / DV_MAX(sqrt(sum), 1e-12));
        for (int64_t k = 0; k < j->dim; k++)
            out[k] += y[k] * inv;
    }
    unit(out, j->dim);
    dv_picture_free(&p);
}

static void floats_of(const dv_meta *m, const char *key, float fallback, float out[3])
{
    const dv_meta_item *it = dv_meta_get(m, key);
    for (uint32_t c = 0; c < 3; c++)
        out[c] = it && it->f && it->n ? it->f[it->n == 3 ? c : 0] : fallback;
}

/* Columns at.. of v from one model. */
static dmv_status one_model(const tr_data *d, const tr_teacher_options *o, const dmv_model *m,
                            float *v, size_t stride, size_t at, int64_t dim, dv_err *e)
{
    static const int64_t in_dims[4] = {1, 3, TR_SIDE, TR_SIDE};
    const int64_t *dims[1] = {in_dims};
    float mean[3], scale[3];
    floats_of(&m->meta, "mean", 127.5F, mean);
    floats_of(&m->meta, "scale", 1 / 127.5F, scale);
    job j = {.d = d,
             .g = &m->graph,
             .mean = mean,
             .scale = scale,
             .v = v,
             .stride = stride,
             .at = at,
             .dim = dim,
             .e = e};
    dv_kernels_init(&j.k, ~0u);
    j.x = dv_calloc((size_t)o->threads, sizeof *j.x);
    dv_pool *pool = NULL;
    dmv_status st = j.x ? dv_pool_open(o->threads, &pool, e) : dv_nomem(e);
    for (int i = 0; !st && i < o->threads; i++)
        if (!(st = dv_exec_open(j.g, &j.k, NULL, &j.x[i], e)))
            st = dv_exec_shape(j.x[i], dims, e);
    enum { SLICE = 256 };
    for (size_t i = 0; !st && i < d->n; i += SLICE) {
        tr_data part = *d;
        part.path += i;
        j.d = &part;
        j.v = v + i * stride;
        dv_pool_run(pool, DV_MIN((size_t)SLICE, d->n - i), one_picture, &j);
        if (o->progress)
            o->progress(o->user, DV_MIN(i + SLICE, d->n));
    }
    if (!st && j.bad * 10 > d->n)
        st = dv_fail(e, DMV_ERR_IO, "%zu of %zu pictures cannot be read", j.bad, d->n);
    for (int i = 0; j.x && i < o->threads; i++)
        dv_exec_close(&j.x[i]);
    dv_free(j.x);
    dv_pool_close(&pool);
    return st;
}

static void key_of(const tr_data *d, const tr_teacher_options *o, dmv_model **m, uint8_t key[32])
{
    dv_sha256 h;
    dv_sha256_init(&h);
    for (size_t i = 0; i < o->n_models; i++)
        dv_sha256_update(&h, m[i]->id, sizeof m[i]->id);
    dv_sha256_update(&h, &o->dim, sizeof o->dim);
    for (size_t i = 0; i < d->n; i++) {
        struct stat s;
        int64_t size = stat(d->path[i], &s) ? -1 : (int64_t)s.st_size;
        dv_sha256_update(&h, d->path[i], strlen(d->path[i]) + 1);
        dv_sha256_update(&h, &size, sizeof size);
    }
    dv_sha256_final(&h, key);
}

static const char magic[8] = "DVTEACH\n";
typedef struct head {
    char magic[8];
    uint8_t key[32];
    uint64_t n, dim, own_dim;
    double kept;
} head;

static bool load_cache(const char *path, const uint8_t key[32], tr_teacher *t)
{
    dv_map m;
    dv_err e = {0};
    if (dv_map_open(path, &m, &e))
        return false;
    head h;
    bool ok = m.size > sizeof h + 32;
    if (ok) {
        uint8_t sum[32];
        dv_sha256 s;
        memcpy(&h, m.base, sizeof h);
        dv_sha256_init(&s);
        dv_sha256_update(&s, m.base, m.size - 32);
        dv_sha256_final(&s, sum);
        ok = !memcmp(h.magic, magic, 8) && !memcmp(h.key, key, 32) && h.n == t->n &&
             h.dim == (uint64_t)t->dim && m.size == sizeof h + h.n * h.dim * sizeof(float) + 32 &&
             !memcmp(sum, (const uint8_t *)m.base + m.size - 32, 32);
    }
    if (ok) {
        memcpy(t->v, (const uint8_t *)m.base + sizeof h, t->n * (size_t)t->dim * sizeof(float));
        t->kept = h.kept;
        t->own_dim = (int64_t)h.own_dim;
    }
    dv_map_close(&m);
    return ok;
}

static dmv_status save_cache(const char *path, const uint8_t key[32], const tr_teacher *t,
                             dv_err *e)
{
    head h = {.n = t->n, .dim = (uint64_t)t->dim, .own_dim = (uint64_t)t->own_dim, .kept = t->kept};
    dv_buf b = {0};
    uint8_t sum[32];
    memcpy(h.magic, magic, 8);
    memcpy(h.key, key, 32);
    dv_buf_put(&b, &h, sizeof h);
    dv_buf_put(&b, t->v, t->n * (size_t)t->dim * sizeof(float));
    dv_sha256 s;
    dv_sha256_init(&s);
    if (!b.bad)
        dv_sha256_update(&s, b.data, b.size);
    dv_sha256_final(&s, sum);
    dv_buf_put(&b, sum, sizeof sum);
    dmv_status st = b.bad ? dv_nomem(e) : dv_write_file(path, b.data, b.size, e);
    dv_buf_free(&b);
    return st;
}

static void make_centres(const tr_data *d, tr_teacher *t)
{
    memset(t->centres, 0, t->people * (size_t)t->dim * sizeof(float));
    for (size_t i = 0; i < d->n; i++)
        for (int64_t k = 0; d->label[i] >= 0 && k < t->dim; k++)
            t->centres[(int64_t)d->label[i] * t->dim + k] += t->v[(int64_t)i * t->dim + k];
    for (size_t p = 0; p < t->people; p++)
        unit(t->centres + (int64_t)p * t->dim, t->dim);
}

static dmv_status open_models(const tr_teacher_options *o, dmv_model **m, int64_t *sum, dv_err *e)
{
    for (size_t i = 0; i < o->n_models; i++) {
        dv_map map;
        dmv_status st = dv_map_open(o->models[i], &map, e);
        if (st)
            return st;
        if ((st = dv_dmv_parse(map.base, map.size, o->models[i], &m[i], e))) {
            dv_map_close(&map);
            return st;
        }
        m[i]->map = map; /* closed with the model */
        const dv_graph *g = &m[i]->graph;
        const dv_gtensor *out = &g->tensors[g->outputs[0]], *in = &g->tensors[g->inputs[0]];
        const int64_t dim = out->rank ? out->dims[out->rank - 1] : -1;
        if (g->n_inputs != 1 || in->rank != 4 || in->dims[1] != 3 || in->dims[2] != TR_SIDE ||
            in->dims[3] != TR_SIDE || dim < 1)
            return dv_fail(e, DMV_ERR_ARGUMENT,
                           "%s: a teacher takes pictures [1, 3, 112, 112] and gives "
                           "a vector",
                           o->models[i]);
        *sum += dim;
    }
    return DMV_OK;
}

dmv_status tr_teacher_new(const tr_data *d, const tr_teacher_options *o, tr_teacher **out,
                          dv_err *e)
{
    dmv_model *m[8] = {NULL};
    int64_t sum = 0;
    uint8_t key[32];
    *out = NULL;
    if (o->n_models < 1 || o->n_models > DV_COUNT(m))
        return dv_fail(e, DMV_ERR_ARGUMENT, "one to eight teachers, not %zu", o->n_models);
    tr_teacher *t = dv_calloc(1, sizeof *t);
    dmv_status st = t ? open_models(o, m, &sum, e) : dv_nomem(e);
    if (!st && sum < o->dim)
        st =
            dv_fail(e, DMV_ERR_ARGUMENT,
                    "the teacher gives %lld numbers, the student %lld: at most as many; --dim %lld",
                    (long long)sum, (long long)o->dim, (long long)sum);
    if (!st) {
        t->n = d->n;
        t->people = d->n_people;
        t->dim = o->dim;
        t->own_dim = sum;
        t->kept = 1;
        t->v = dv_alloc_aligned(DV_MAX(d->n, (size_t)1) * (size_t)sum * sizeof(float));
        t->centres = dv_alloc_aligned((t->people + 1) * (size_t)t->dim * sizeof(float));
        if (!t->v || !t->centres)
            st = dv_nomem(e);
    }
    if (!st) {
        key_of(d, o, m, key);
        if (!o->cache || !load_cache(o->cache, key, t)) {
            size_t at = 0;
            for (size_t i = 0; !st && i < o->n_models; i++) {
                const dv_graph *g = &m[i]->graph;
                const dv_gtensor *y = &g->tensors[g->outputs[0]];
                const int64_t dim = y->dims[y->rank - 1];
                st = one_model(d, o, m[i], t->v, (size_t)sum, at, dim, e);
                at += (size_t)dim;
            }
            for (size_t i = 0; !st && i < d->n; i++)
                unit(t->v + i * (size_t)sum, sum);
            if (!st && sum > o->dim)
                st = tr_project(t->v, d->n, sum, o->dim, &t->kept, e);
            if (!st && o->cache)
                st = save_cache(o->cache, key, t, e);
        }
    }
    if (!st)
        make_centres(d, t);
    for (size_t i = 0; i < DV_COUNT(m); i++)
        if (m[i])
            dmv_model_close(&m[i]);
    if (st)
        tr_teacher_free(&t);
    *out = t;
    return st;
}

void tr_teacher_free(tr_teacher **pt)
{
    tr_teacher *t = *pt;
    if (!t)
        return;
    dv_free(t->v);
    dv_free(t->centres);
    dv_free(t);
    *pt = NULL;
}
