/* SPDX-License-Identifier: Apache-2.0
 *
 * copy.c - backup and restore. Both build a complete, verified copy beside its destination
 * and rename it into place, so that a kill leaves the old state or the new one.
 *
 * A backup is a single file without a WAL, so that it can lie on read-only media. A restore
 * keeps no copy of the gallery it replaces: old templates are not left lying about.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gallery/gallery_priv.h"

/* Copies the pages of `from` to the empty file `to`, then opens, verifies and syncs it. */
static dmv_status copy_pages(dv_gallery *from, const char *to, dv_err *e)
{
    sqlite3 *db = NULL;
    dv_gallery *copy = NULL;
    dmv_status s = dv_gal_connect(to, true, &db, e);
    if (s != DMV_OK)
        return s;
    /* Nobody else knows this file, and a failed copy is thrown away: no journal, one sync. */
    int rc = dv_gal_exec(db, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF");
    sqlite3_backup *b = rc == SQLITE_OK ? sqlite3_backup_init(db, "main", from->db, "main") : NULL;
    if (!b) {
        s = dv_gal_fail_db(db, to, rc == SQLITE_OK ? sqlite3_extended_errcode(db) : rc, "write", e);
        sqlite3_close(db);
        return s;
    }
    for (int waited = 0;; waited += 50) {
        rc = sqlite3_backup_step(b, -1);
        if ((rc != SQLITE_BUSY && rc != SQLITE_LOCKED) || waited >= DV_GAL_BUSY_MS)
            break;
        sqlite3_sleep(50);
    }
    int end = sqlite3_backup_finish(b);
    if (rc != SQLITE_DONE || end != SQLITE_OK) {
        rc = end != SQLITE_OK ? end : rc;
        bool source = (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED ||
                      (rc & 0xff) == SQLITE_CORRUPT;
        s = source ? dv_gal_fail(from, rc, "copy", e) : dv_gal_fail_db(db, to, rc, "write", e);
    }
    rc = sqlite3_close(db);
    if (s == DMV_OK && rc != SQLITE_OK)
        s = dv_gal_fail_db(NULL, to, rc, "write", e);
    dv_gallery_model model = {from->model_id, from->model_name, from->dim};
    if (s == DMV_OK && (s = dv_gal_open(to, DV_GAL_PLAIN, &model, &copy, e)) == DMV_OK)
        s = dv_gallery_verify(copy, e);
    dv_gallery_close(&copy);
    return s == DMV_OK ? dv_gal_sync_file(to, e) : s;
}

/* A verified copy of g in a new file beside path; *temp is its name. */
static dmv_status make_copy(dv_gallery *g, const char *path, char **temp, dv_err *e)
{
    int fd;
    dmv_status s = dv_gal_temp_open(path, temp, &fd, e);
    if (s != DMV_OK)
        return s;
    close(fd);
    if ((s = copy_pages(g, *temp, e)) != DMV_OK) {
        dv_gal_unlink(*temp, true, NULL);
        dv_free(*temp);
        *temp = NULL;
    }
    return s;
}

dmv_status dv_gallery_backup(dv_gallery *g, const char *path, dv_err *e)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char name[PATH_MAX + 16], *temp = NULL;
    struct stat st;
    if (!path || !path[0] || strlen(path) >= PATH_MAX)
        return dv_fail(e, DMV_ERR_ARGUMENT, "the name of the backup is empty or too long");
    for (size_t i = 0; i < DV_COUNT(ends); i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        if (lstat(name, &st) == 0)
            return dv_fail(e, DMV_ERR_ARGUMENT,
                           "'%.400s' exists already: give the backup a new name", name);
    }
    dmv_status s = dv_gal_begin(g, false, e); /* refuses a dead or replaced gallery */
    if (s != DMV_OK)
        return s;
    dv_gal_rollback(g);
    if ((s = make_copy(g, path, &temp, e)) != DMV_OK)
        return s;
    if ((s = dv_gal_publish(temp, path, true, e)) != DMV_OK)
        dv_gal_unlink(temp, true, NULL);
    dv_free(temp);
    return s;
}

/* ---- restore ---- */

/* True if the first page says that the file is one of ours, however damaged the rest is. */
static bool looks_like_ours(const char *path)
{
    uint8_t head[72];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
              memcmp(head, "SQLite format 3", 16) == 0;
    close(fd);
    uint32_t app = 0;
    for (int i = 0; i < 4 && ok; i++)
        app = app << 8 | head[68 + i];
    return ok && app == DV_GAL_APP_ID;
}

/* Makes sure that nobody has the gallery open, folds its WAL in and takes its lock.
 * *lock stays open until the rename is done; NULL if there is nothing to lock. */
static dmv_status take_over(const char *path, const dv_gallery_model *model, sqlite3 **lock,
                            dv_err *e)
{
    dv_gallery *old = NULL;
    dv_err why = {0};
    struct stat st;
    *lock = NULL;
    if (stat(path, &st) != 0)
        return errno == ENOENT ? DMV_OK
                               : dv_fail(e, DMV_ERR_IO, "cannot open gallery '%.400s': %s", path,
                                         strerror(errno));
    if (S_ISREG(st.st_mode) && st.st_size == 0)
        return DMV_OK;
    dmv_status s = dv_gal_open(path, DV_GAL_PLAIN, model, &old, &why);
    if (s == DMV_OK) {
        int rc = dv_gal_exec(old->db, "BEGIN EXCLUSIVE");
        if (rc != SQLITE_OK) {
            s = dv_gal_fail(old, rc, "replace", e);
        } else {
            *lock = old->db;
            old->db = NULL;
        }
        dv_gallery_close(&old);
        return s;
    }
    /* A damaged gallery is what a restore is for; another program's file is not. */
    if (s == DMV_ERR_FORMAT && looks_like_ours(path))
        return DMV_OK;
    if (e)
        *e = why;
    if (s == DMV_ERR_FORMAT)
        dv_fail_in(e, "will not replace this file, move it away first");
    return s;
}

dmv_status dv_gallery_restore(const char *gallery_path, const char *backup_path, dv_err *e)
{
    char real[PATH_MAX], *temp = NULL;
    dv_gallery *b = NULL;
    sqlite3 *lock = NULL;
    if (!gallery_path || !gallery_path[0] || strlen(gallery_path) >= PATH_MAX)
        return dv_fail(e, DMV_ERR_ARGUMENT, "the name of the gallery is empty or too long");
    if (backup_path && dv_gal_same_file(gallery_path, backup_path))
        return dv_fail(e, DMV_ERR_ARGUMENT, "'%.400s' is the gallery itself: give a backup",
                       backup_path);
    /* Through links, as SQLite does, so that the rename and the -wal name hit the real file. */
    const char *path = realpath(gallery_path, real) ? real : gallery_path;
    dmv_status s = dv_gal_open(backup_path, DV_GAL_READ, NULL, &b, e);
    if (s != DMV_OK)
        return s;
    dv_gallery_model model = {b->model_id, b->model_name, b->dim};
    if ((s = dv_gallery_verify(b, e)) == DMV_OK && (s = make_copy(b, path, &temp, e)) == DMV_OK) {
        s = take_over(path, &model, &lock, e);
        /* A leftover WAL would be applied to the new file, so it goes before the rename. */
        if (s == DMV_OK && !lock)
            s = dv_gal_unlink(path, false, e);
        if (s == DMV_OK)
            s = dv_gal_publish(temp, path, false, e);
        if (s != DMV_OK)
            dv_gal_unlink(temp, true, NULL);
        sqlite3_close(lock);
    }
    dv_free(temp);
    dv_gallery_close(&b);
    return s;
}
