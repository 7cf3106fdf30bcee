/* SPDX-License-Identifier: Apache-2.0
 *
 * data.c - see data.h. */
#include "train/data.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "train/train.h"

static bool grow(void **p, size_t *cap, size_t n, size_t each)
{
    if (n < *cap)
        return true;
    size_t to = *cap ? 2 * *cap : 256;
    void *q = dv_realloc(*p, to * each);
    if (!q)
        return false;
    *p = q;
    *cap = to;
    return true;
}

static char *copy_of(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = dv_malloc(n);
    return p ? memcpy(p, s, n) : NULL;
}

static bool add_sample(tr_data *d, const char *path, int32_t label)
{
    size_t cap = d->cap;
    if (!grow((void **)&d->path, &cap, d->n, sizeof *d->path) ||
        !grow((void **)&d->label, &d->cap, d->n, sizeof *d->label))
        return false;
    d->label[d->n] = label;
    return (d->path[d->n++] = copy_of(path)) != NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder, sorted. */
static dmv_status names_in(const char *folder, dv_paths *out, dv_err *e)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return dv_fail(e, DMV_ERR_IO, "%s: the folder cannot be read", folder);
    struct dirent *entry;
    bool ok = true;
    while (ok && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            ok = grow((void **)&out->v, &out->cap, out->n, sizeof *out->v) &&
                 (out->v[out->n] = copy_of(entry->d_name)) && ++out->n;
    closedir(dir);
    if (!ok)
        return dv_nomem(e);
    qsort(out->v, out->n, sizeof *out->v, by_name);
    return DMV_OK;
}

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

dmv_status tr_data_add(tr_data *d, const char *folder, size_t least, size_t *left_out, dv_err *e)
{
    dv_paths top = {0};
    size_t before = d->n;
    dmv_status st = names_in(folder, &top, e);
    for (size_t i = 0; !st && i < top.n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, top.v[i]);
        if (!is_folder(path)) {
            if (dv_image_is_name(path) && !add_sample(d, path, -1))
                st = dv_nomem(e);
            continue;
        }
        dv_paths own = {0};
        dv_err none = {0};
        if (dv_image_list(path, &own, &none) || own.n < least) {
            *left_out += 1;
            dv_paths_free(&own);
            continue;
        }
        if (!grow((void **)&d->people, &d->cap_people, d->n_people, sizeof *d->people) ||
            !(d->people[d->n_people] = copy_of(top.v[i])))
            st = dv_nomem(e);
        else
            d->n_people++;
        d->single += own.n == 1;
        for (size_t k = 0; !st && k < own.n; k++)
            if (!add_sample(d, own.v[k], (int32_t)d->n_people - 1))
                st = dv_nomem(e);
        dv_paths_free(&own);
    }
    dv_paths_free(&top);
    if (!st && d->n == before)
        st =
            dv_fail(e, DMV_ERR_ARGUMENT,
                    "%s: no pictures; a folder for each person, or pictures without names", folder);
    return st;
}

void tr_data_free(tr_data *d)
{
    for (size_t i = 0; i < d->n; i++)
        dv_free(d->path[i]);
    for (size_t i = 0; i < d->n_people; i++)
        dv_free(d->people[i]);
    dv_free(d->path);
    dv_free(d->label);
    dv_free(d->people);
    memset(d, 0, sizeof *d);
}

/* ---- the loader ---- */

struct tr_loader {
    const tr_data *d;
    tr_augment a;
    int64_t batch, step;
    uint64_t seed;
    uint32_t *order;
    int64_t epoch; /* that `order` is for, -1 = none */
    float *x;
    int32_t *labels;
    uint32_t *numbers;
    size_t bad;
    dv_err err;
    dmv_status st;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool started, full, stop;
};

static void shuffle(tr_loader *l, int64_t epoch)
{
    uint64_t s = l->seed * 0x9e3779b97f4a7c15u + (uint64_t)epoch;
    for (size_t i = 0; i < l->d->n; i++)
        l->order[i] = (uint32_t)i;
    for (size_t i = l->d->n; i > 1; i--) {
        size_t k = (size_t)(tr_random(&s) % i);
        uint32_t t = l->order[i - 1];
        l->order[i - 1] = l->order[k];
        l->order[k] = t;
    }
    l->epoch = epoch;
}

/* One picture, turned, moved and resized about its centre in one bilinear step. */
static void draw(const dv_picture *p, const tr_augment *a, uint64_t *s, float *out)
{
    const bool flip = a->mirror && tr_random(s) >> 63;
    const float turn = (2 * tr_uniform(s) - 1) * a->turn * 0.0174532925F;
    const float zoom = 1 + (2 * tr_uniform(s) - 1) * a->zoom;
    const float dx = (2 * tr_uniform(s) - 1) * a->shift, dy = (2 * tr_uniform(s) - 1) * a->shift;
    float gain[3], off[3];
    const float all = 1 + (2 * tr_uniform(s) - 1) * a->colour;
    for (int c = 0; c < 3; c++) {
        gain[c] = all * (1 + (2 * tr_uniform(s) - 1) * a->colour * 0.3F);
        off[c] = (2 * tr_uniform(s) - 1) * a->colour * 40;
    }
    const float sx = (float)p->width / TR_SIDE / zoom, sy = (float)p->height / TR_SIDE / zoom;
    const float co = cosf(turn), si = sinf(turn), mid = (TR_SIDE - 1) * 0.5F;
    for (int y = 0; y < TR_SIDE; y++)
        for (int x = 0; x < TR_SIDE; x++, out += 3) {
            const float u = (float)x - mid + dx, v = (float)y - mid + dy;
            float px = (co * u - si * v) * sx + (float)(p->width - 1) * 0.5F;
            float py = (si * u + co * v) * sy + (float)(p->height - 1) * 0.5F;
            px = fminf(fmaxf(flip ? (float)(p->width - 1) - px : px, 0), (float)(p->width - 1));
            py = fminf(fmaxf(py, 0), (float)(p->height - 1));
            const int x0 = (int)px, y0 = (int)py;
            const int x1 = x0 + 1 < p->width ? x0 + 1 : x0, y1 = y0 + 1 < p->height ? y0 + 1 : y0;
            const float fx = px - (float)x0, fy = py - (float)y0;
            const uint8_t *r0 = p->pixels + (size_t)y0 * (size_t)p->width * 3;
            const uint8_t *r1 = p->pixels + (size_t)y1 * (size_t)p->width * 3;
            for (int c = 0; c < 3; c++) {
                const float top = (float)r0[3 * x0 + c] * (1 - fx) + (float)r0[3 * x1 + c] * fx;
                const float low = (float)r1[3 * x0 + c] * (1 - fx) + (float)r1[3 * x1 + c] * fx;
                const float w = (top * (1 - fy) + low * fy) * gain[c] + off[c];
                out[c] = (fminf(fmaxf(w, 0), 255) - 127.5F) / 127.5F;
            }
        }
}

static void fill(tr_loader *l)
{
    const int64_t per = (int64_t)l->d->n / l->batch; /* whole batches of an epoch */
    for (int64_t i = 0; i < l->batch; i++) {
        const int64_t epoch = l->step / per, at = l->step % per * l->batch + i;
        if (epoch != l->epoch)
            shuffle(l, epoch);
        for (size_t tries = 0;; tries++) {
            const uint32_t k = l->order[((size_t)at + tries * 7919) % l->d->n];
            dv_picture p;
            dv_err e = {0};
            if (dv_image_load(l->d->path[k], &p, &e) == DMV_OK) {
                uint64_t s = l->seed ^ (uint64_t)(epoch + 1) * 0xd1342543de82ef95u ^
                             (uint64_t)k * 0xaf251af3b0f025b5u;
                draw(&p, &l->a, &s, l->x + (size_t)i * TR_SIDE * TR_SIDE * 3);
                dv_picture_free(&p);
                l->labels[i] = l->d->label[k];
                l->numbers[i] = k;
                break;
            }
            l->bad++;
            if (tries > 100) {
                l->err = e;
                l->st = DMV_ERR_IO;
                return;
            }
        }
    }
    l->step++;
}

static void *work(void *arg)
{
    tr_loader *l = arg;
    pthread_mutex_lock(&l->mutex);
    while (!l->stop) {
        if (l->full) {
            pthread_cond_wait(&l->cond, &l->mutex);
            continue;
        }
        pthread_mutex_unlock(&l->mutex);
        fill(l);
        pthread_mutex_lock(&l->mutex);
        l->full = true;
        pthread_cond_broadcast(&l->cond);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

dmv_status tr_loader_new(const tr_data *d, int64_t batch, uint64_t seed, const tr_augment *a,
                         int64_t first_step, tr_loader **out, dv_err *e)
{
    *out = NULL;
    if (d->n < (size_t)batch)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%zu pictures are fewer than a batch of %lld", d->n,
                       (long long)batch);
    tr_loader *l = dv_calloc(1, sizeof *l);
    if (!l)
        return dv_nomem(e);
    l->d = d;
    l->a = *a;
    l->batch = batch;
    l->seed = seed;
    l->step = first_step;
    l->epoch = -1;
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->cond, NULL);
    l->order = dv_malloc(d->n * sizeof *l->order);
    l->x = dv_malloc((size_t)batch * TR_SIDE * TR_SIDE * 3 * sizeof *l->x);
    l->labels = dv_malloc((size_t)batch * sizeof *l->labels);
    l->numbers = dv_malloc((size_t)batch * sizeof *l->numbers);
    if (!l->order || !l->x || !l->labels || !l->numbers) {
        tr_loader_free(&l);
        return dv_nomem(e);
    }
    if (pthread_create(&l->thread, NULL, work, l)) {
        tr_loader_free(&l);
        return dv_fail(e, DMV_ERR_LIMIT, "a thread could not be started");
    }
    l->started = true;
    *out = l;
    return DMV_OK;
}

dmv_status tr_loader_next(tr_loader *l, float *x, int32_t *labels, uint32_t *numbers, dv_err *e)
{
    pthread_mutex_lock(&l->mutex);
    while (!l->full)
        pthread_cond_wait(&l->cond, &l->mutex);
    dmv_status st = l->st;
    if (st) {
        *e = l->err;
    } else {
        memcpy(x, l->x, (size_t)l->batch * TR_SIDE * TR_SIDE * 3 * sizeof *x);
        memcpy(labels, l->labels, (size_t)l->batch * sizeof *labels);
        memcpy(numbers, l->numbers, (size_t)l->batch * sizeof *numbers);
    }
    l->full = false;
    pthread_cond_broadcast(&l->cond);
    pthread_mutex_unlock(&l->mutex);
    return st;
}

size_t tr_loader_bad(const tr_loader *l)
{
    return l->bad;
}

void tr_loader_free(tr_loader **pl)
{
    tr_loader *l = *pl;
    if (!l)
        return;
    if (l->started) {
        pthread_mutex_lock(&l->mutex);
        l->stop = true;
        pthread_cond_broadcast(&l->cond);
        pthread_mutex_unlock(&l->mutex);
        pthread_join(l->thread, NULL);
    }
    pthread_mutex_destroy(&l->mutex);
    pthread_cond_destroy(&l->cond);
    dv_free(l->order);
    dv_free(l->x);
    dv_free(l->labels);
    dv_free(l->numbers);
    dv_free(l);
    *pl = NULL;
}
