/* SPDX-License-Identifier: Apache-2.0
 *
 * cache.c - the file of cache.h. Only the keys are held in memory; a vector is read, and its
 * checksum compared, when it is asked for. Records have one size, so that damage to one never
 * hides another, and the file is never rewritten, so that a reader of an older state stays right.
 */
#include "eval/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 64
#define KEY 32
#define SUM 8
#define VERSION 1
#define MAX_DIM 65536u
#define FLUSH_AT ((size_t)4 << 20) /* bytes in memory */
#define SCAN ((size_t)1 << 20)     /* bytes read at once when the keys are listed */

typedef struct slot {
    uint64_t head; /* first bytes of the key */
    uint64_t no;   /* record + 1, 0 = free */
} slot;

struct dv_cache {
    char *path;
    char id[33];
    size_t dim, record; /* floats, bytes */
    int fd;             /* for reading, -1 = no usable file yet */
    bool replace;       /* what is there is no cache file of this model */
    slot *slots;
    size_t n_slots, n;
    dv_buf pending;
    pthread_mutex_t lock; /* of pending */
    atomic_size_t damaged;
};

static void make_head(const dv_cache *c, uint8_t h[HEAD])
{
    memset(h, 0, HEAD);
    memcpy(h, "DVEMBED\n", 8);
    h[8] = VERSION;
    for (int i = 0; i < 4; i++)
        h[12 + i] = (uint8_t)(c->dim >> 8 * i);
    memcpy(h + 16, c->id, 32);
}

/* Whether fd starts as a file of this model does. */
static bool head_fits(const dv_cache *c, int fd)
{
    uint8_t have[HEAD], want[HEAD];
    make_head(c, want);
    return pread(fd, have, HEAD, 0) == HEAD && memcmp(have, want, HEAD) == 0;
}

static uint64_t head_of(const uint8_t *key)
{
    uint64_t h;
    memcpy(&h, key, sizeof h);
    return h;
}

/* The last record of a key wins: it was written because an earlier one is damaged. */
static void remember(dv_cache *c, const uint8_t *key, uint64_t no)
{
    uint64_t head = head_of(key);
    size_t at = (size_t)head & (c->n_slots - 1);
    while (c->slots[at].no && c->slots[at].head != head)
        at = (at + 1) & (c->n_slots - 1);
    c->n += c->slots[at].no == 0;
    c->slots[at] = (slot){head, no + 1};
}

static dmv_status list_keys(dv_cache *c, dv_err *e)
{
    struct stat st;
    if (fstat(c->fd, &st) != 0 || st.st_size < HEAD)
        return DMV_OK;
    uint64_t count = ((uint64_t)st.st_size - HEAD) / c->record;
    size_t per = DV_MAX(SCAN / c->record, 1);
    uint8_t *block = dv_malloc(per * c->record);
    c->n_slots = 64;
    while (c->n_slots < count * 2)
        c->n_slots *= 2;
    c->slots = dv_calloc(c->n_slots, sizeof *c->slots);
    if (!block || !c->slots) {
        dv_free(block);
        return dv_nomem(e);
    }
    for (uint64_t at = 0; at < count;) {
        size_t want = (size_t)DV_MIN((uint64_t)per, count - at);
        ssize_t got = pread(c->fd, block, want * c->record, (off_t)(HEAD + at * c->record));
        size_t whole = got > 0 ? (size_t)got / c->record : 0;
        for (size_t i = 0; i < whole; i++)
            remember(c, block + i * c->record, at + i);
        at += whole;
        if (whole == 0)
            break; /* unreadable from here on: what follows is embedded again */
    }
    dv_free(block);
    return DMV_OK;
}

dmv_status dv_cache_open(const char *folder, const char *model_id, size_t dim, dv_cache **out,
                         dv_err *e)
{
    *out = NULL;
    if (strlen(model_id) != 32 || strspn(model_id, "0123456789abcdef") != 32 || dim == 0 ||
        dim > MAX_DIM)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no cache for model id \"%s\" and %zu numbers",
                       model_id, dim);
    dv_cache *c = dv_calloc(1, sizeof *c);
    size_t size = strlen(folder) + 48;
    if (!c || !(c->path = dv_malloc(size))) {
        dv_free(c);
        return dv_nomem(e);
    }
    snprintf(c->path, size, "%s/%s.embed", folder, model_id);
    memcpy(c->id, model_id, 33);
    c->dim = dim;
    c->record = KEY + 8 + dim * sizeof(float) + SUM;
    pthread_mutex_init(&c->lock, NULL);
    c->fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    dmv_status s = DMV_OK;
    struct stat st;
    if (c->fd < 0 && errno != ENOENT) {
        s = dv_fail(e, DMV_ERR_IO, "cannot open %s: %s; remove it or go without the cache", c->path,
                    strerror(errno));
    } else if (c->fd >= 0 && (fstat(c->fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        s = dv_fail(e, DMV_ERR_IO, "%s is no regular file; remove it", c->path);
    } else if (c->fd >= 0 && !head_fits(c, c->fd)) {
        c->replace = true;
        close(c->fd);
        c->fd = -1;
    } else if (c->fd >= 0) {
        s = list_keys(c, e);
    }
    if (s) {
        dv_cache_close(&c, NULL);
        return s;
    }
    *out = c;
    return DMV_OK;
}

dmv_status dv_cache_close(dv_cache **cp, dv_err *e)
{
    dv_cache *c = *cp;
    if (!c)
        return DMV_OK;
    dmv_status s = dv_cache_flush(c, e);
    if (c->fd >= 0)
        close(c->fd);
    pthread_mutex_destroy(&c->lock);
    dv_buf_free(&c->pending);
    dv_free(c->slots);
    dv_free(c->path);
    dv_free(c);
    *cp = NULL;
    return s;
}

void dv_cache_key(const void *picture, size_t size, const char *words, uint8_t key[32])
{
    dv_sha256 s;
    dv_sha256_init(&s);
    dv_sha256_update(&s, picture, size);
    dv_sha256_final(&s, key);
    dv_sha256_init(&s);
    dv_sha256_update(&s, key, 32);
    dv_sha256_update(&s, words, strlen(words));
    dv_sha256_final(&s, key);
}

static void checksum(const void *p, size_t n, uint8_t sum[SUM])
{
    uint8_t full[32];
    dv_sha256 s;
    dv_sha256_init(&s);
    dv_sha256_update(&s, p, n);
    dv_sha256_final(&s, full);
    memcpy(sum, full, SUM);
}

static bool all_finite(const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return false;
    return true;
}

int dv_cache_get(dv_cache *c, const uint8_t key[32], float *out)
{
    if (c->fd < 0 || c->n == 0)
        return DV_CACHED_NOTHING;
    uint64_t head = head_of(key);
    size_t at = (size_t)head & (c->n_slots - 1);
    while (c->slots[at].no && c->slots[at].head != head)
        at = (at + 1) & (c->n_slots - 1);
    if (!c->slots[at].no)
        return DV_CACHED_NOTHING;
    uint8_t *r = dv_malloc(c->record), sum[SUM];
    if (!r)
        return DV_CACHED_NOTHING;
    int what = DV_CACHED_NOTHING;
    off_t from = (off_t)(HEAD + (c->slots[at].no - 1) * c->record);
    ssize_t got = pread(c->fd, r, c->record, from);
    if (got == (ssize_t)c->record) {
        uint32_t kind;
        checksum(r, c->record - SUM, sum);
        memcpy(&kind, r + KEY, sizeof kind);
        bool whole = memcmp(sum, r + c->record - SUM, SUM) == 0;
        if (!whole)
            atomic_fetch_add(&c->damaged, 1);
        else if (memcmp(r, key, KEY) == 0 &&
                 (kind == DV_CACHED_VECTOR || kind == DV_CACHED_NO_FACE))
            what = (int)kind;
        if (what == DV_CACHED_VECTOR) {
            memcpy(out, r + KEY + 8, c->dim * sizeof(float));
            if (!all_finite(out, c->dim))
                what = DV_CACHED_NOTHING;
        }
    } else {
        atomic_fetch_add(&c->damaged, 1);
    }
    dv_free(r);
    return what;
}

/* Under the lock. */
static dmv_status flush(dv_cache *c, dv_err *e);

void dv_cache_put(dv_cache *c, const uint8_t key[32], const float *vector)
{
    static const float none[64];
    if (vector && !all_finite(vector, c->dim))
        return;
    dv_buf b = {0};
    uint8_t sum[SUM];
    dv_buf_put(&b, key, KEY);
    dv_buf_u32(&b, vector ? DV_CACHED_VECTOR : DV_CACHED_NO_FACE);
    dv_buf_u32(&b, 0);
    for (size_t i = 0; !vector && i < c->dim; i += DV_COUNT(none))
        dv_buf_put(&b, none, DV_MIN(DV_COUNT(none), c->dim - i) * sizeof(float));
    if (vector)
        dv_buf_put(&b, vector, c->dim * sizeof(float));
    if (!b.bad) {
        checksum(b.data, b.size, sum);
        dv_buf_put(&b, sum, SUM);
    }
    if (!b.bad) {
        pthread_mutex_lock(&c->lock);
        if (!c->pending.bad)
            dv_buf_put(&c->pending, b.data, b.size);
        if (c->pending.size > FLUSH_AT)
            flush(c, NULL);
        pthread_mutex_unlock(&c->lock);
    }
    dv_buf_free(&b);
}

/* 0 or an error number. */
static int write_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? errno : EIO;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* Adds the pending records to the open, locked file; 0 or an error number. */
static int append(dv_cache *c, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return errno;
    off_t end = st.st_size;
    bool old = end >= HEAD && head_fits(c, fd);
    if (old)
        end -= (end - HEAD) % (off_t)c->record; /* a record that was cut short */
    else
        end = 0; /* new, or no cache file of this model */
    int err = 0;
    if (end != st.st_size && ftruncate(fd, end) != 0)
        err = errno;
    if (!err && lseek(fd, end, SEEK_SET) < 0)
        err = errno;
    if (!err && !old) {
        uint8_t head[HEAD];
        make_head(c, head);
        err = write_all(fd, head, HEAD);
    }
    if (!err)
        err = write_all(fd, c->pending.data, c->pending.size);
    if (err && ftruncate(fd, end) != 0)
        err = errno; /* readers know a cut record */
    return err;
}

static dmv_status flush(dv_cache *c, dv_err *e)
{
    int err = c->pending.bad ? ENOMEM : 0;
    if (!err && c->pending.size) {
        if (c->replace && unlink(c->path) != 0 && errno != ENOENT)
            err = errno; /* readers keep the old file */
        c->replace = false;
        int fd = err ? -1 : open(c->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
        if (!err && (fd < 0 || flock(fd, LOCK_EX) != 0))
            err = errno;
        if (!err)
            err = append(c, fd);
        if (fd >= 0)
            close(fd); /* and unlocks */
    }
    dv_buf_free(&c->pending);
    return err ? dv_fail(e, DMV_ERR_IO, "cannot write %s: %s; the embeddings were not kept",
                         c->path, strerror(err))
               : DMV_OK;
}

dmv_status dv_cache_flush(dv_cache *c, dv_err *e)
{
    pthread_mutex_lock(&c->lock);
    dmv_status s = flush(c, e);
    pthread_mutex_unlock(&c->lock);
    return s;
}

size_t dv_cache_size(const dv_cache *c)
{
    return c->n;
}

size_t dv_cache_damaged(const dv_cache *c)
{
    return atomic_load(&c->damaged);
}
