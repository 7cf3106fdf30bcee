/* SPDX-License-Identifier: Apache-2.0
 *
 * test_memory.c - the Nth allocation fails, for every N until a call gets through: each
 * failure is reported as such, nothing is half done, and the gallery opens and verifies
 * afterwards. SQLite and jansson allocate through the same hook, so theirs fail too; of
 * those, SQLite survives some without an error.
 */
#include "folk.h"

#include <dirent.h>
#include <unistd.h>

struct bench {
    void **state;
    const char *path;
    dv_gallery *g; /* open for the call under test; NULL for those that open by themselves */
    char before[65], after[65];
};

static size_t temporary_files(const char *folder)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *f; (f = readdir(d));)
        n += strstr(f->d_name, ".tmp.") != NULL;
    closedir(d);
    return n;
}

static uint8_t *image; /* the gallery that every call starts from, as bytes */
static size_t image_size;

static int make_image(void **unused)
{
    void *state = NULL;
    dv_err e = {0};
    if (folk_setup(&state) != 0)
        return -1;
    dv_gallery *g = folk_open(folk_path(&state, "g.db"));
    folk_ok(folk_add(g, "Anna", 1, 3, &e), &e);
    folk_ok(folk_add(g, "Bob", 11, 2, &e), &e);
    dv_gallery_close(&g);
    image = folk_get(folk_path(&state, "g.db"), &image_size);
    return folk_teardown(&state);
}

static int free_image(void **unused)
{
    free(image);
    return 0;
}

static void start(struct bench *b)
{
    folk_clear(*b->state);
    b->path = folk_path(b->state, "g.db");
    folk_put(b->path, image, image_size);
}

typedef dmv_status (*call_fn)(struct bench *b, dv_err *e);
typedef void (*check_fn)(struct bench *b, bool done);

/* Runs call with the Nth allocation failing for N = 1, 2, ... until none is left to fail.
 * sticky: all after it fail as well; every seventh N is enough there. */
static void every_allocation(void **state, bool opened, bool sticky, call_fn call, check_fn check)
{
    struct bench b = {.state = state};
    int failed = 0;
    dv_err e = {0};
    start(&b);
    b.g = folk_open(b.path);
    folk_digest(b.g, b.before);
    dv_gallery_close(&b.g);
    for (uint64_t n = 1;; n += sticky ? 7 : 1) {
        start(&b);
        if (opened)
            b.g = folk_open(b.path);
        memset(&e, 0, sizeof e);
        uint64_t count = dv_alloc_count();
        dv_alloc_fail_at(n, sticky);
        dmv_status s = call(&b, &e);
        dv_alloc_fail_at(0, false);
        count = dv_alloc_count() - count;
        if (s != DMV_OK) {
            failed++;
            if (s != DMV_ERR_MEMORY || e.code != DMV_ERR_MEMORY)
                fail_msg("allocation %d: status %d, '%s'", (int)n, s, e.msg);
        }
        assert_int_equal(temporary_files(*state), 0);
        dv_gallery_close(&b.g);
        b.g = folk_open(b.path);
        memset(&e, 0, sizeof e);
        folk_ok(dv_gallery_verify(b.g, &e), &e);
        folk_digest(b.g, b.after);
        check(&b, s == DMV_OK);
        dv_gallery_close(&b.g);
        if (count < n) {
            assert_int_equal(s, DMV_OK);
            break;
        }
        assert_true(n < 20000);
    }
    assert_true(failed > 5);
}

static void unchanged(struct bench *b, bool done)
{
    assert_string_equal(b->before, b->after);
}

static dmv_status call_open(struct bench *b, dv_err *e)
{
    dmv_status s = dv_gallery_open(b->path, false, &folk_model, &b->g, e);
    assert_int_equal(s == DMV_OK, b->g != NULL);
    return s;
}

static void opening(void **state)
{
    every_allocation(state, false, false, call_open, unchanged);
    every_allocation(state, false, true, call_open, unchanged);
}

static dmv_status call_create(struct bench *b, dv_err *e)
{
    folk_put(folk_path(b->state, "new.db"), "", 0);
    dmv_status s = dv_gallery_open(folk_path(b->state, "new.db"), true, &folk_model, &b->g, e);
    dv_gallery_close(&b->g);
    unlink(folk_path(b->state, "new.db-journal"));
    if (s != DMV_OK) { /* half made or not: the next opening completes it */
        dv_alloc_fail_at(0, false);
        b->g = folk_open(folk_path(b->state, "new.db"));
        assert_int_equal(folk_count(b->g), 0);
        dv_gallery_close(&b->g);
        unlink(folk_path(b->state, "new.db"));
    }
    return s;
}

static void creating(void **state)
{
    every_allocation(state, false, false, call_create, unchanged);
    every_allocation(state, false, true, call_create, unchanged);
}

static dmv_status call_add(struct bench *b, dv_err *e)
{
    return folk_add(b->g, "Carl", 21, 3, e);
}

static void check_add(struct bench *b, bool done)
{
    assert_int_equal(folk_has(b->g, "Carl"), done);
    assert_int_equal(folk_count(b->g), done ? 8 : 5);
    if (!done)
        unchanged(b, done);
}

static void adding(void **state)
{
    every_allocation(state, true, false, call_add, check_add);
    every_allocation(state, true, true, call_add, check_add);
}

static dmv_status call_rename(struct bench *b, dv_err *e)
{
    return dv_gallery_rename(b->g, "Anna", "Bob", true, e);
}

static void check_rename(struct bench *b, bool done)
{
    assert_int_equal(folk_has(b->g, "Anna"), !done);
    assert_int_equal(folk_count(b->g), 5);
    if (!done)
        unchanged(b, done);
}

static void renaming(void **state)
{
    every_allocation(state, true, false, call_rename, check_rename);
}

static dmv_status call_remove(struct bench *b, dv_err *e)
{
    return dv_gallery_remove(b->g, "Anna", e);
}

/* May fail after the removal itself, while cleaning up: then the message says so, and the
 * subject is gone all the same. */
static void check_remove(struct bench *b, bool done)
{
    bool there = folk_has(b->g, "Anna");
    assert_int_equal(folk_count(b->g), there ? 5 : 2);
    assert_false(done && there);
}

static void removing(void **state)
{
    every_allocation(state, true, false, call_remove, check_remove);
}

static bool ignore(void *user, const dv_template *t)
{
    return true;
}

static dmv_status call_read(struct bench *b, dv_err *e)
{
    dv_subject *list = NULL;
    size_t n = 0;
    dmv_status s = dv_gallery_subjects(b->g, &list, &n, e);
    assert_int_equal(n, s == DMV_OK ? 2 : 0);
    dv_subjects_free(list, n);
    if (s == DMV_OK)
        s = dv_gallery_each(b->g, NULL, ignore, NULL, e);
    if (s == DMV_OK)
        s = dv_gallery_each(b->g, "Anna", ignore, NULL, e);
    if (s == DMV_OK)
        s = dv_gallery_verify(b->g, e);
    return s;
}

static void reading(void **state)
{
    every_allocation(state, true, false, call_read, unchanged);
    every_allocation(state, true, true, call_read, unchanged);
}

static dmv_status call_export(struct bench *b, dv_err *e)
{
    return dv_gallery_export(b->g, folk_path(b->state, "e.jsonl"), e);
}

static void exporting(void **state)
{
    every_allocation(state, true, false, call_export, unchanged);
    every_allocation(state, true, true, call_export, unchanged);
}

static const char *lines; /* outside the folder that start() empties */

static dmv_status call_import(struct bench *b, dv_err *e)
{
    size_t added = 99;
    dmv_status s = dv_gallery_import(b->g, lines, &added, e);
    assert_int_equal(added, s == DMV_OK ? 4 : 0);
    return s;
}

static void check_import(struct bench *b, bool done)
{
    assert_int_equal(folk_has(b->g, "Dora"), done);
    assert_int_equal(folk_count(b->g), done ? 9 : 5);
    if (!done)
        unchanged(b, done);
}

static void importing(void **state)
{
    void *other = NULL;
    dv_err e = {0};
    assert_int_equal(folk_setup(&other), 0);
    dv_gallery *g = folk_open(folk_path(&other, "x.db"));
    folk_ok(folk_add(g, "Anna", 1, 3, &e), &e); /* known: skipped */
    folk_ok(folk_add(g, "Dora", 31, 4, &e), &e);
    char name[512];
    snprintf(name, sizeof name, "%s", folk_path(&other, "x.jsonl"));
    lines = name;
    folk_ok(dv_gallery_export(g, lines, &e), &e);
    dv_gallery_close(&g);
    every_allocation(state, true, false, call_import, check_import);
    every_allocation(state, true, true, call_import, check_import);
    folk_teardown(&other);
}

static dmv_status call_backup(struct bench *b, dv_err *e)
{
    return dv_gallery_backup(b->g, folk_path(b->state, "b.db"), e);
}

static void backing_up(void **state)
{
    every_allocation(state, true, false, call_backup, unchanged);
    every_allocation(state, true, true, call_backup, unchanged);
}

static dmv_status call_restore(struct bench *b, dv_err *e)
{
    return dv_gallery_restore(b->path, lines, e);
}

static void check_restore(struct bench *b, bool done)
{
    assert_int_equal(folk_has(b->g, "Dora"), done);
    if (!done)
        unchanged(b, done);
}

static void restoring(void **state)
{
    void *other = NULL;
    dv_err e = {0};
    char name[512];
    assert_int_equal(folk_setup(&other), 0);
    dv_gallery *g = folk_open(folk_path(&other, "x.db"));
    folk_ok(folk_add(g, "Dora", 31, 4, &e), &e);
    snprintf(name, sizeof name, "%s", folk_path(&other, "b.db"));
    lines = name;
    folk_ok(dv_gallery_backup(g, lines, &e), &e);
    dv_gallery_close(&g);
    every_allocation(state, false, false, call_restore, check_restore);
    every_allocation(state, false, true, call_restore, check_restore);
    folk_teardown(&other);
}

int main(void)
{
    /* Thousands of galleries are opened here; in memory, since no disk matters. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, folk_setup, folk_teardown)
        T(opening), T(creating),  T(adding),    T(renaming),   T(removing),
        T(reading), T(exporting), T(importing), T(backing_up), T(restoring),
    };
    return cmocka_run_group_tests(tests, make_image, free_image);
}
