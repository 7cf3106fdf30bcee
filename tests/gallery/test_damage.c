/* SPDX-License-Identifier: Apache-2.0
 *
 * test_damage.c - files cut short, with bits flipped, with pages mixed up: opening and reading
 * give an error or exactly what was stored, and never crash.
 */
#include "folk.h"

#include <sys/stat.h>
#include <unistd.h>

static bool add_item(void *user, const dv_template *t)
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

/* Reads all there is, in every way; true if nothing was wrong. */
static bool read_all(const char *path, uint8_t digest[32], dv_err *e)
{
    dv_gallery *g = NULL;
    dv_subject *list = NULL;
    size_t n = 0;
    dv_sha256 h;
    memset(e, 0, sizeof *e);
    dmv_status s = dv_gallery_open(path, false, &folk_model, &g, e);
    assert_int_equal(s == DMV_OK, g != NULL);
    if (s != DMV_OK)
        return false;
    dv_sha256_init(&h);
    s = dv_gallery_subjects(g, &list, &n, e);
    for (size_t i = 0; i < n; i++) {
        dv_sha256_update(&h, list[i].name, strlen(list[i].name) + 1);
        dv_sha256_update(&h, &list[i].templates, sizeof list[i].templates);
    }
    if (s == DMV_OK)
        s = dv_gallery_each(g, NULL, add_item, &h, e);
    for (size_t i = 0; i < n && s == DMV_OK; i++)
        s = dv_gallery_each(g, list[i].name, add_item, &h, e); /* through the indexes */
    dv_subjects_free(list, n);
    if (s == DMV_OK)
        s = dv_gallery_verify(g, e);
    dv_gallery_close(&g);
    dv_sha256_final(&h, digest);
    return s == DMV_OK;
}

static uint8_t *make(void **state, size_t *n, uint8_t digest[32])
{
    const char *path = folk_path(state, "g.db");
    dv_gallery *g = folk_open(path);
    dv_err e = {0};
    for (uint64_t i = 0; i < 12; i++) {
        char name[32];
        snprintf(name, sizeof name, "Person%d", (int)i);
        folk_ok(folk_add(g, name, 10 * i, 1 + i % 4, &e), &e);
    }
    folk_ok(dv_gallery_remove(g, "Person5", &e), &e);
    dv_gallery_close(&g);
    if (!read_all(path, digest, &e))
        fail_msg("%s", e.msg);
    uint8_t *p = folk_get(path, n);
    folk_clear(*state);
    return p;
}

struct tally {
    int refused, intact;
};

/* Error, or what was stored. A gallery that verifies with something missing is a failure. */
static void try(void **state, const uint8_t *p, size_t n, const uint8_t want[32],
                struct tally *tally)
{
    const char *path = folk_path(state, "g.db");
    uint8_t got[32];
    dv_err e;
    folk_put(path, p, n);
    if (read_all(path, got, &e)) {
        assert_memory_equal(got, want, 32);
        tally->intact++;
    } else {
        assert_true(strstr(e.msg, "g.db") != NULL);
        assert_int_not_equal(e.code, DMV_OK);
        tally->refused++;
    }
    unlink(folk_path(state, "g.db-wal"));
    unlink(folk_path(state, "g.db-shm"));
    unlink(folk_path(state, "g.db-journal"));
}

static void cut_short(void **state)
{
    size_t n;
    uint8_t want[32];
    struct tally t = {0};
    uint8_t *p = make(state, &n, want);
    for (size_t size = 0; size < n; size += size < 128 ? 1 : size < 8192 ? 61 : 509)
        try(state, p, size, want, &t);
    try(state, p, n - 1, want, &t);
    assert_int_equal(t.intact, 0);
    assert_true(t.refused > 200);
    try(state, p, n, want, &t);
    assert_int_equal(t.intact, 1);
    free(p);
}

static void flipped_bits(void **state)
{
    size_t n;
    uint8_t want[32];
    struct tally t = {0};
    uint64_t seed = 2024;
    uint8_t *p = make(state, &n, want);
    for (int round = 0; round < 1200; round++) {
        /* Every second one among the first bytes of a page, where the structure is. */
        size_t at = folk_random(&seed) % n;
        if (round % 2)
            at = at / 4096 * 4096 + folk_random(&seed) % 120;
        uint8_t bit = (uint8_t)(1u << folk_random(&seed) % 8);
        p[at] ^= bit;
        try(state, p, n, want, &t);
        p[at] ^= bit;
    }
    assert_true(t.refused > 400);
    assert_true(t.intact > 50); /* bits in unused places */
    free(p);
}

static void noise_and_mixed_pages(void **state)
{
    size_t n;
    uint8_t want[32];
    struct tally t = {0};
    uint64_t seed = 77;
    uint8_t *p = make(state, &n, want);
    uint8_t *q = malloc(n);
    assert_non_null(q);
    size_t pages = n / 4096;
    for (int round = 0; round < 300; round++) {
        memcpy(q, p, n);
        size_t a = folk_random(&seed) % pages, b = folk_random(&seed) % pages;
        switch (round % 3) {
        case 0: /* a page twice */
            memcpy(q + a * 4096, p + b * 4096, 4096);
            break;
        case 1: /* a page of zeros */
            memset(q + a * 4096, 0, 4096);
            break;
        default: /* a stretch of noise */
            for (size_t i = folk_random(&seed) % n, k = 0; k < 64 && i < n; i++, k++)
                q[i] = (uint8_t)folk_random(&seed);
        }
        try(state, q, n, want, &t);
    }
    assert_true(t.refused > 200);
    free(q);
    free(p);
}

/* A WAL of noise, or of another gallery, beside a good file. */
static void strange_wal(void **state)
{
    size_t n;
    uint8_t want[32], got[32], noise[5000];
    uint64_t seed = 5;
    dv_err e;
    uint8_t *p = make(state, &n, want);
    for (int round = 0; round < 20; round++) {
        const char *path = folk_path(state, "g.db");
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (uint8_t)folk_random(&seed);
        if (round % 2)
            memcpy(noise, "\x37\x7f\x06\x82\x00\x2d\xe2\x18\x00\x00\x10\x00", 12);
        folk_put(path, p, n);
        folk_put(folk_path(state, "g.db-wal"), noise, sizeof noise);
        if (!read_all(path, got, &e))
            fail_msg("%s", e.msg);
        assert_memory_equal(got, want, 32);
        folk_clear(*state);
    }
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, folk_setup, folk_teardown)
        T(cut_short),
        T(flipped_bits),
        T(noise_and_mixed_pages),
        T(strange_wal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
