/* SPDX-License-Identifier: Apache-2.0
 *
 * folk.c - see folk.h.
 */
#include "folk.h"

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

const dv_gallery_model folk_model = {"00112233445566778899aabbccddeeff", "tiny-a", FOLK_DIM};
const dv_gallery_model folk_other = {"ffeeddccbbaa99887766554433221100", "tiny-b", FOLK_DIM};

int folk_setup(void **state)
{
    char *dir = malloc(256);
    const char *base = getenv("TMPDIR");
    if (!dir)
        return -1;
    snprintf(dir, 256, "%s/dv-gallery-XXXXXX", base && strlen(base) < 200 ? base : "/tmp");
    if (!mkdtemp(dir)) {
        free(dir);
        return -1;
    }
    *state = dir;
    return 0;
}

void folk_clear(const char *folder)
{
    char name[1024];
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));) {
        snprintf(name, sizeof name, "%s/%s", folder, f->d_name);
        if (strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0 && unlink(name) != 0)
            rmdir(name);
    }
    if (d)
        closedir(d);
}

int folk_teardown(void **state)
{
    folk_clear(*state);
    rmdir(*state);
    free(*state);
    return 0;
}

const char *folk_path(void **state, const char *name)
{
    static char buf[64][512];
    static unsigned next;
    char *p = buf[next++ % 64];
    snprintf(p, 512, "%s/%s", (const char *)*state, name);
    return p;
}

uint64_t folk_random(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void folk_vector(uint64_t seed, float *v)
{
    double sum = 0;
    uint64_t s = seed * 7919 + 1;
    for (size_t i = 0; i < FOLK_DIM; i++) {
        v[i] = (float)((double)(folk_random(&s) >> 11) / 4503599627370496.0 - 1.0);
        sum += (double)v[i] * v[i];
    }
    for (size_t i = 0; i < FOLK_DIM; i++)
        v[i] = (float)(v[i] / sqrt(sum));
}

void folk_ok(dmv_status s, const dv_err *e)
{
    if (s != DMV_OK)
        fail_msg("status %d: %s", s, e->msg);
}

void folk_fails(dmv_status s, const dv_err *e, dmv_status want, const char *part)
{
    if (s != want || e->code != want || !strstr(e->msg, part))
        fail_msg("status %d (%d wanted), message '%s' ('%s' wanted)", s, want, e->msg, part);
}

dv_gallery *folk_open(const char *path)
{
    dv_gallery *g = NULL;
    dv_err e = {0};
    folk_ok(dv_gallery_open(path, true, &folk_model, &g, &e), &e);
    return g;
}

dmv_status folk_add(dv_gallery *g, const char *name, uint64_t seed, size_t n, dv_err *e)
{
    float v[4][FOLK_DIM];
    uint8_t crop[4][300];
    char source[4][64];
    dv_template t[4] = {0};
    assert_in_range(n, 1, 4);
    for (size_t i = 0; i < n; i++) {
        folk_vector(seed + i, v[i]);
        memset(crop[i], (int)(seed + i), sizeof crop[i]);
        snprintf(source[i], sizeof source[i], "people/%s/%llu.jpg", name,
                 (unsigned long long)(seed + i));
        t[i].vector = v[i];
        t[i].source = source[i];
        t[i].quality = 0.1f + 0.01f * (float)(i + seed % 50);
        t[i].crop = i % 2 ? NULL : crop[i];
        t[i].crop_size = i % 2 ? 0 : sizeof crop[i];
        t[i].created = 1700000000 + (int64_t)i;
    }
    return dv_gallery_add(g, name, t, n, NULL, e);
}

static bool add_digest(void *user, const dv_template *t)
{
    dv_sha256 *h = user;
    dv_sha256_update(h, t->subject_name, strlen(t->subject_name) + 1);
    dv_sha256_update(h, t->source, strlen(t->source) + 1);
    dv_sha256_update(h, t->vector, FOLK_DIM * sizeof *t->vector);
    dv_sha256_update(h, &t->quality, sizeof t->quality);
    dv_sha256_update(h, &t->created, sizeof t->created);
    dv_sha256_update(h, &t->crop_size, sizeof t->crop_size);
    if (t->crop)
        dv_sha256_update(h, t->crop, t->crop_size);
    return true;
}

void folk_digest(dv_gallery *g, char hex[65])
{
    dv_sha256 h;
    uint8_t out[32];
    dv_err e = {0};
    dv_sha256_init(&h);
    folk_ok(dv_gallery_each(g, NULL, add_digest, &h, &e), &e);
    dv_sha256_final(&h, out);
    dv_hex(out, 32, hex);
}

bool folk_on_disk(const char *folder, const void *bytes, size_t n)
{
    char name[1024];
    bool found = false;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));) {
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", folder, f->d_name);
        if (stat(name, &st) != 0 || !S_ISREG(st.st_mode))
            continue;
        size_t size;
        uint8_t *p = folk_get(name, &size);
        found = found || memmem(p, size, bytes, n) != NULL;
        free(p);
    }
    closedir(d);
    return found;
}

static bool count_one(void *user, const dv_template *t)
{
    ++*(size_t *)user;
    return true;
}

size_t folk_count(dv_gallery *g)
{
    size_t n = 0;
    dv_err e = {0};
    folk_ok(dv_gallery_each(g, NULL, count_one, &n, &e), &e);
    return n;
}

bool folk_has(dv_gallery *g, const char *name)
{
    size_t n = 0;
    dv_err e = {0};
    dmv_status s = dv_gallery_each(g, name, count_one, &n, &e);
    if (s != DMV_ERR_NOT_FOUND)
        folk_ok(s, &e);
    return s == DMV_OK && n > 0;
}

void folk_put(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

uint8_t *folk_get(const char *path, size_t *n)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    *n = (size_t)st.st_size;
    uint8_t *p = malloc(*n + 1);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}
