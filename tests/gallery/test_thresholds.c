/* SPDX-License-Identifier: Apache-2.0
 *
 * Thresholds of a gallery: kept with it, checked, never in the way of those who have none.
 */
#include "folk.h"

#include <math.h>
#include <sqlite3.h>

static const float three[6] = {1e-2f, 0.25f, 1e-3f, 0.33f, 1e-4f, 0.41f};

static void change(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static int version(const char *path)
{
    size_t n;
    uint8_t *p = folk_get(path, &n); /* bytes 60..63 of a SQLite file, big-endian */
    assert_true(n > 100);
    int v = p[63] | p[62] << 8;
    dv_free(p);
    return v;
}

static void expect(dv_gallery *g, const float *want, size_t n, const char *from)
{
    float pairs[2 * DV_GALLERY_MAX_THRESHOLDS];
    char text[DV_GALLERY_MAX_FROM + 1];
    size_t count = 99;
    dv_err e = {0};
    folk_ok(dv_gallery_thresholds(g, pairs, &count, text, &e), &e);
    assert_int_equal(count, n);
    assert_string_equal(text, from);
    assert_memory_equal(pairs, want, n * sizeof *pairs);
}

static void kept(void **state)
{
    const char *path = folk_path(state, "g.db");
    dv_gallery *g = folk_open(path);
    dv_err e = {0};
    folk_ok(folk_add(g, "Anna", 1, 2, &e), &e);
    expect(g, three, 0, "");
    folk_ok(dv_gallery_set_thresholds(g, three, 0, "", &e), &e); /* nothing to forget */
    dv_gallery_close(&g);
    assert_int_equal(version(path), 1); /* older programs still read it */
    g = folk_open(path);
    dv_gallery *other = folk_open(path);
    folk_ok(dv_gallery_set_thresholds(g, three, 6, "12 people, \xc3\xa4", &e), &e);
    expect(other, three, 6, "12 people, \xc3\xa4");
    folk_ok(folk_add(other, "Bob", 9, 1, &e), &e);
    dv_gallery_close(&other);
    dv_gallery_close(&g);
    assert_int_equal(version(path), 2);
    g = folk_open(path);
    expect(g, three, 6, "12 people, \xc3\xa4");
    assert_true(folk_has(g, "Anna"));
    folk_ok(dv_gallery_set_thresholds(g, three + 2, 4, "others", &e), &e);
    expect(g, three + 2, 4, "others");
    folk_ok(dv_gallery_verify(g, &e), &e);
    /* They go with a backup. */
    const char *backup = folk_path(state, "b.db");
    folk_ok(dv_gallery_backup(g, backup, &e), &e);
    folk_ok(dv_gallery_set_thresholds(g, three, 0, "", &e), &e);
    expect(g, three, 0, "");
    dv_gallery_close(&g);
    folk_ok(dv_gallery_restore(path, backup, &e), &e);
    g = folk_open(path);
    expect(g, three + 2, 4, "others");
    folk_ok(dv_gallery_remove(g, "Anna", &e), &e); /* rewrites the file */
    dv_gallery_close(&g);
    g = folk_open(path);
    expect(g, three + 2, 4, "others");
    dv_gallery_close(&g);
}

static void refused(void **state)
{
    static const float rising[4] = {1e-3f, 0.3f, 1e-2f, 0.4f},
                       falling[4] = {1e-2f, 0.4f, 1e-3f, 0.3f}, wild[2] = {1e-2f, 1.5f},
                       none[2] = {0, 0.4f}, odd[2] = {1e-2f, NAN};
    static const float *const bad[] = {rising, falling, wild, none, odd};
    dv_gallery *g = folk_open(folk_path(state, "g.db"));
    char text[DV_GALLERY_MAX_FROM + 2];
    dv_err e = {0};
    for (size_t i = 0; i < DV_COUNT(bad); i++)
        folk_fails(dv_gallery_set_thresholds(g, bad[i], i < 2 ? 4 : 2, "x", &e), &e,
                   DMV_ERR_ARGUMENT, "thresholds");
    folk_fails(dv_gallery_set_thresholds(g, three, 3, "x", &e), &e, DMV_ERR_ARGUMENT, "odd");
    folk_fails(dv_gallery_set_thresholds(g, three, 6, "\xff", &e), &e, DMV_ERR_ARGUMENT, "UTF-8");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    folk_fails(dv_gallery_set_thresholds(g, three, 6, text, &e), &e, DMV_ERR_ARGUMENT, "too long");
    expect(g, three, 0, "");
    dv_gallery_close(&g);
}

static void damaged(void **state)
{
    static const char *const changes[] = {
        "UPDATE threshold SET measured='other people'",
        "UPDATE threshold SET pairs=x'0000803f0000803f'",
        "UPDATE threshold SET pairs=x'00'",
        "UPDATE threshold SET sum=zeroblob(32)",
        "UPDATE threshold SET measured=cast(x'6100' AS text)",
    };
    for (size_t i = 0; i < DV_COUNT(changes); i++) {
        const char *path = folk_path(state, "g.db");
        float pairs[2 * DV_GALLERY_MAX_THRESHOLDS];
        char text[DV_GALLERY_MAX_FROM + 1];
        size_t n;
        dv_err e = {0};
        dv_gallery *g = folk_open(path);
        folk_ok(folk_add(g, "Anna", 1, 2, &e), &e);
        folk_ok(dv_gallery_set_thresholds(g, three, 6, "us", &e), &e);
        dv_gallery_close(&g);
        change(path, changes[i]);
        g = folk_open(path);
        folk_fails(dv_gallery_thresholds(g, pairs, &n, text, &e), &e, DMV_ERR_FORMAT,
                   "calibrate again");
        assert_int_equal(n, 0);
        folk_fails(dv_gallery_verify(g, &e), &e, DMV_ERR_FORMAT, "thresholds");
        /* New ones repair it. */
        folk_ok(dv_gallery_set_thresholds(g, three, 2, "us", &e), &e);
        expect(g, three, 2, "us");
        folk_ok(dv_gallery_verify(g, &e), &e);
        dv_gallery_close(&g);
        folk_clear(*state);
    }
}

/* No memory at any point: the old thresholds, or the new ones. */
static void memory(void **state)
{
    const char *path = folk_path(state, "g.db");
    dv_err e = {0};
    int failures = 0;
    dv_gallery *g = folk_open(path);
    folk_ok(dv_gallery_set_thresholds(g, three, 2, "old", &e), &e);
    dv_gallery_close(&g);
    for (uint64_t k = 1; k < 400; k++) {
        g = folk_open(path);
        dv_alloc_fail_at(k, false);
        dmv_status s = dv_gallery_set_thresholds(g, three, 6, "new", &e);
        dv_alloc_fail_at(0, false);
        failures += s != DMV_OK;
        dv_gallery_close(&g);
        g = folk_open(path);
        expect(g, three, s ? 2 : 6, s ? "old" : "new");
        folk_ok(dv_gallery_set_thresholds(g, three, 2, "old", &e), &e);
        dv_gallery_close(&g);
        if (k > 60 && s == DMV_OK)
            break;
    }
    assert_true(failures > 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, folk_setup, folk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {T(kept), T(refused), T(damaged), T(memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
