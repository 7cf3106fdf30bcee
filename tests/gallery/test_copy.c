/* SPDX-License-Identifier: Apache-2.0
 *
 * test_copy.c - backup and restore: that they are exact, that nothing is left beside them,
 * and that a restore neither hits a gallery in use nor a file of another kind.
 */
#include "folk.h"

#include <dirent.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t files_in(const char *folder)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *f; (f = readdir(d));)
        n += f->d_name[0] != '.';
    closedir(d);
    return n;
}

static void digest_of(const char *path, char hex[65])
{
    dv_gallery *g = NULL;
    dv_err e = {0};
    folk_ok(dv_gallery_open(path, false, &folk_model, &g, &e), &e);
    folk_ok(dv_gallery_verify(g, &e), &e);
    folk_digest(g, hex);
    dv_gallery_close(&g);
}

static void backs_up_and_restores(void **state)
{
    const char *path = folk_path(state, "g.db"), *backup = folk_path(state, "b.db");
    dv_gallery *g = folk_open(path);
    dv_err e = {0};
    char want[65], got[65];
    float v[FOLK_DIM];
    for (uint64_t i = 0; i < 30; i++) {
        char name[32];
        snprintf(name, sizeof name, "Person%d", (int)i);
        folk_ok(folk_add(g, name, 10 * i, 1 + i % 4, &e), &e);
    }
    folk_digest(g, want);
    folk_ok(dv_gallery_backup(g, backup, &e), &e);
    assert_int_equal(files_in(*state), 4); /* g.db, -wal, -shm and the backup alone */
    folk_ok(folk_add(g, "Late", 5000, 1, &e), &e);
    folk_ok(dv_gallery_remove(g, "Person3", &e), &e);
    dv_gallery_close(&g);
    folk_ok(dv_gallery_restore(path, backup, &e), &e);
    assert_int_equal(files_in(*state), 2);
    digest_of(path, got);
    assert_string_equal(want, got);
    folk_vector(5000, v);
    assert_false(folk_on_disk(*state, v, 32)); /* no copy of what was replaced */
    /* And into a place where there is nothing yet, or only an empty file. */
    folk_ok(dv_gallery_restore(folk_path(state, "new.db"), backup, &e), &e);
    digest_of(folk_path(state, "new.db"), got);
    assert_string_equal(want, got);
    folk_put(folk_path(state, "empty.db"), "", 0);
    folk_ok(dv_gallery_restore(folk_path(state, "empty.db"), backup, &e), &e);
    digest_of(folk_path(state, "empty.db"), got);
    assert_string_equal(want, got);
    digest_of(backup, got);
    assert_string_equal(want, got);
    assert_int_equal(files_in(*state), 4);
    struct stat st;
    assert_int_equal(stat(folk_path(state, "new.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void backup_refuses(void **state)
{
    const char *path = folk_path(state, "g.db");
    dv_gallery *g = folk_open(path);
    dv_err e = {0};
    folk_ok(folk_add(g, "Anna", 1, 2, &e), &e);
    folk_fails(dv_gallery_backup(g, path, &e), &e, DMV_ERR_ARGUMENT, "exists already");
    folk_put(folk_path(state, "photo.jpg"), "precious", 8);
    folk_fails(dv_gallery_backup(g, folk_path(state, "photo.jpg"), &e), &e, DMV_ERR_ARGUMENT,
               "exists already");
    folk_put(folk_path(state, "b.db-wal"), "stale", 5);
    folk_fails(dv_gallery_backup(g, folk_path(state, "b.db"), &e), &e, DMV_ERR_ARGUMENT,
               "b.db-wal");
    folk_fails(dv_gallery_backup(g, folk_path(state, "no/such.db"), &e), &e, DMV_ERR_IO,
               "no/such.db");
    folk_fails(dv_gallery_backup(g, "", &e), &e, DMV_ERR_ARGUMENT, "empty");
    assert_int_equal(files_in(*state), 5);
    assert_int_equal(folk_count(g), 2);
    dv_gallery_close(&g);
}

static void restore_refuses(void **state)
{
    const char *path = folk_path(state, "g.db"), *backup = folk_path(state, "b.db");
    const char *other = folk_path(state, "other.db"), *photo = folk_path(state, "photo.jpg");
    dv_gallery *g = folk_open(path), *o = NULL;
    dv_err e = {0};
    char before[65], after[65];
    folk_ok(folk_add(g, "Anna", 1, 2, &e), &e);
    folk_ok(dv_gallery_backup(g, backup, &e), &e);
    folk_ok(folk_add(g, "Bob", 11, 2, &e), &e);
    folk_digest(g, before);
    /* Somebody has it open. */
    folk_fails(dv_gallery_restore(path, backup, &e), &e, DMV_ERR_IO, "another program");
    folk_ok(dv_gallery_verify(g, &e), &e);
    dv_gallery_close(&g);
    folk_fails(dv_gallery_restore(path, path, &e), &e, DMV_ERR_ARGUMENT, "gallery itself");
    folk_fails(dv_gallery_restore(path, folk_path(state, "none.db"), &e), &e, DMV_ERR_IO, "none");
    folk_fails(dv_gallery_restore("", backup, &e), &e, DMV_ERR_ARGUMENT, "empty");
    /* The backup is no gallery, or damaged. */
    folk_put(photo, "precious, and no gallery", 24);
    folk_fails(dv_gallery_restore(path, photo, &e), &e, DMV_ERR_FORMAT, "photo.jpg");
    size_t n;
    uint8_t *p = folk_get(backup, &n);
    float v[FOLK_DIM];
    folk_vector(2, v);
    uint8_t *at = memmem(p, n, v, 32);
    assert_non_null(at);
    at[5] ^= 1;
    folk_put(folk_path(state, "bad.db"), p, n);
    folk_fails(dv_gallery_restore(path, folk_path(state, "bad.db"), &e), &e, DMV_ERR_FORMAT,
               "bad.db");
    free(p);
    /* The gallery there is of another model, or is another program's file. */
    folk_ok(dv_gallery_open(other, true, &folk_other, &o, &e), &e);
    dv_gallery_close(&o);
    folk_fails(dv_gallery_restore(other, backup, &e), &e, DMV_ERR_MISMATCH, "tiny-b");
    folk_fails(dv_gallery_restore(photo, backup, &e), &e, DMV_ERR_FORMAT, "move it away");
    p = folk_get(photo, &n);
    assert_int_equal(n, 24);
    free(p);
    digest_of(path, after);
    assert_string_equal(before, after);
    assert_int_equal(files_in(*state), 5); /* g, b, other, photo, bad: no temporary file */
}

/* A damaged gallery, with a WAL left by a kill: what a restore is for. */
static void restores_over_damage(void **state)
{
    const char *path = folk_path(state, "g.db"), *backup = folk_path(state, "b.db");
    dv_err e = {0};
    char want[65], got[65];
    dv_gallery *g = folk_open(path);
    folk_ok(folk_add(g, "Anna", 1, 2, &e), &e);
    folk_digest(g, want);
    folk_ok(dv_gallery_backup(g, backup, &e), &e);
    dv_gallery_close(&g);
    pid_t child = fork();
    if (child == 0) {
        g = folk_open(path);
        folk_add(g, "Bob", 11, 4, &e);
        _exit(0); /* without closing */
    }
    assert_true(child > 0);
    waitpid(child, NULL, 0);
    assert_int_equal(access(folk_path(state, "g.db-wal"), F_OK), 0);
    size_t n;
    uint8_t *p = folk_get(path, &n);
    memset(p + 100, 0x5a, n - 100);
    folk_put(path, p, n);
    free(p);
    unlink(folk_path(state, "g.db-wal"));
    folk_put(folk_path(state, "g.db-wal"), "left over", 9);
    folk_fails(dv_gallery_open(path, false, &folk_model, &g, &e), &e, DMV_ERR_FORMAT, "backup");
    folk_ok(dv_gallery_restore(path, backup, &e), &e);
    digest_of(path, got);
    assert_string_equal(want, got);
    assert_int_equal(files_in(*state), 2);
}

/* A backup in a WAL (copied by hand from a live gallery) and a link to the gallery. */
static void restores_through_a_link(void **state)
{
    const char *path = folk_path(state, "g.db"), *link = folk_path(state, "link.db");
    dv_err e = {0};
    struct stat st;
    char want[65], got[65];
    dv_gallery *g = folk_open(path);
    folk_ok(folk_add(g, "Anna", 1, 2, &e), &e);
    folk_digest(g, want);
    folk_ok(dv_gallery_backup(g, folk_path(state, "b.db"), &e), &e);
    folk_ok(folk_add(g, "Bob", 21, 2, &e), &e);
    dv_gallery_close(&g);
    g = NULL;
    folk_ok(dv_gallery_open(folk_path(state, "b.db"), false, NULL, &g, &e), &e); /* now WAL */
    assert_int_equal(symlink("g.db", link), 0);
    folk_ok(dv_gallery_restore(link, folk_path(state, "b.db"), &e), &e);
    dv_gallery_close(&g);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    digest_of(path, got);
    assert_string_equal(want, got);
}

/* Who still has the old file open must not go on as if nothing had happened. */
static void replaced_while_open(void **state)
{
    const char *path = folk_path(state, "g.db");
    dv_err e = {0};
    dv_gallery *g = folk_open(path);
    folk_ok(folk_add(g, "Anna", 1, 2, &e), &e);
    assert_int_equal(rename(path, folk_path(state, "moved.db")), 0);
    folk_fails(folk_add(g, "Bob", 3, 1, &e), &e, DMV_ERR_IO, "open it again");
    folk_fails(dv_gallery_verify(g, &e), &e, DMV_ERR_IO, "open it again");
    folk_fails(dv_gallery_backup(g, folk_path(state, "b.db"), &e), &e, DMV_ERR_IO, "open it again");
    dv_gallery_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, folk_setup, folk_teardown)
        T(backs_up_and_restores), T(backup_refuses),          T(restore_refuses),
        T(restores_over_damage),  T(restores_through_a_link), T(replaced_while_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
