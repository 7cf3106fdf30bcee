/* SPDX-License-Identifier: Apache-2.0
 *
 * sql.c - between SQLite's C interface and the rest of the layer: memory, statements,
 * transactions, and result codes turned into a reason and a remedy.
 */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>

#include "gallery/gallery_priv.h"

/* ---- memory ----
 * SQLite asks for the size of a block, so each has a header that holds it. */

#define HEADER 16

static void *mem_alloc(int n)
{
    uint8_t *p = n > 0 ? dv_malloc((size_t)n + HEADER) : NULL;
    if (!p)
        return NULL;
    memcpy(p, &n, sizeof n);
    return p + HEADER;
}

static void mem_free(void *p)
{
    if (p)
        dv_free((uint8_t *)p - HEADER);
}

static int mem_size(void *p)
{
    int n = 0;
    if (p)
        memcpy(&n, (uint8_t *)p - HEADER, sizeof n);
    return n;
}

static void *mem_realloc(void *p, int n)
{
    if (n <= 0)
        return NULL;
    uint8_t *q = dv_realloc(p ? (uint8_t *)p - HEADER : NULL, (size_t)n + HEADER);
    if (!q)
        return NULL;
    memcpy(q, &n, sizeof n);
    return q + HEADER;
}

static int mem_roundup(int n)
{
    return n > INT32_MAX - 7 ? n : (n + 7) & ~7;
}

static int mem_init(void *unused)
{
    return SQLITE_OK;
}

static void mem_shutdown(void *unused)
{
}

/* jansson's lexer does not look whether its buffer could grow, and would then give a string
 * with characters missing. So it is remembered whether any of its allocations failed. */
static _Thread_local bool json_starved;

static void *json_alloc(size_t n)
{
    void *p = dv_malloc(n);
    if (!p)
        json_starved = true;
    return p;
}

void dv_gal_json_begin(void)
{
    json_starved = false;
}

bool dv_gal_json_starved(void)
{
    return json_starved;
}

/* SQLite refuses this when the program has already used it by itself; it then keeps the
 * memory functions it has, and everything else works the same. */
static void configure(void)
{
    static const sqlite3_mem_methods methods = {mem_alloc,   mem_free, mem_realloc,  mem_size,
                                                mem_roundup, mem_init, mem_shutdown, NULL};
    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    json_set_alloc_funcs(json_alloc, dv_free);
}

int dv_gal_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, configure);
    return sqlite3_initialize();
}

/* ---- messages ---- */

static bool disk_full(sqlite3 *db, int rc)
{
    int os = db ? sqlite3_system_errno(db) : 0;
    return (rc & 0xff) == SQLITE_FULL ||
           ((rc & 0xff) == SQLITE_IOERR && (os == ENOSPC || os == EDQUOT || os == EFBIG));
}

dmv_status dv_gal_fail_db(sqlite3 *db, const char *path, int rc, const char *doing, dv_err *e)
{
    int os = db ? sqlite3_system_errno(db) : 0;
    if (db && (rc & 0xff) == SQLITE_ERROR && sqlite3_errcode(db) == SQLITE_NOMEM)
        rc = SQLITE_NOMEM;
    if ((rc & 0xff) == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM)
        return dv_nomem(e);
    if (disk_full(db, rc))
        return dv_fail(e, DMV_ERR_IO,
                       "cannot %s gallery '%.400s': the disk (or a quota) is full: free some space "
                       "and try again",
                       doing, path);
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return dv_fail(e, DMV_ERR_IO,
                       "cannot %s gallery '%.400s': another program has been using it for %d "
                       "seconds: try again later, or stop that program",
                       doing, path, DV_GAL_BUSY_MS / 1000);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return dv_fail(e, DMV_ERR_IO,
                       "cannot %s gallery '%.400s': the file or its folder cannot be written "
                       "(%s): a gallery needs a folder where '-wal' and '-shm' files can be made "
                       "beside it; change its permissions or copy it to another folder",
                       doing, path, os ? strerror(os) : sqlite3_errstr(rc));
    case SQLITE_NOTADB:
        return dv_fail(e, DMV_ERR_FORMAT,
                       "cannot %s gallery '%.400s': it is not a gallery (no SQLite file), or its "
                       "first page is damaged: give another file, or restore a backup",
                       doing, path);
    case SQLITE_CORRUPT:
        return dv_fail(e, DMV_ERR_FORMAT,
                       "cannot %s gallery '%.400s': the file is damaged (%s): restore a backup",
                       doing, path, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    case SQLITE_TOOBIG:
        return dv_fail(e, DMV_ERR_LIMIT, "cannot %s gallery '%.400s': a record is too large", doing,
                       path);
    case SQLITE_IOERR:
        return dv_fail(e, DMV_ERR_IO,
                       "cannot %s gallery '%.400s': %s (code %d%s%s): check the free space, the "
                       "limit of file sizes (ulimit -f) and the disk, then try again",
                       doing, path, sqlite3_errstr(rc), rc, os ? ", " : "", os ? strerror(os) : "");
    default:
        return dv_fail(e, DMV_ERR_FORMAT,
                       "cannot %s gallery '%.400s': %s: the file may be damaged, restore a backup",
                       doing, path, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    }
}

dmv_status dv_gal_fail(dv_gallery *g, int rc, const char *doing, dv_err *e)
{
    return dv_gal_fail_db(g->db, g->path, rc, doing, e);
}

/* ---- statements and transactions ---- */

dmv_status dv_gal_prepare(dv_gallery *g, const char *sql, sqlite3_stmt **st, dv_err *e)
{
    int rc = sqlite3_prepare_v3(g->db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
    return rc == SQLITE_OK ? DMV_OK : dv_gal_fail(g, rc, "use", e);
}

int dv_gal_exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int dv_gal_exec_int(sqlite3 *db, const char *sql, int64_t *value)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(st);
    *value = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    bool row = rc == SQLITE_ROW;
    rc = sqlite3_finalize(st);
    return rc == SQLITE_OK && !row ? SQLITE_CORRUPT : rc;
}

static int run(sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);
    int reset = sqlite3_reset(st);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : reset ? reset : rc;
}

dmv_status dv_gal_begin(dv_gallery *g, bool write, dv_err *e)
{
    int moved = 0;
    if (g->dead)
        return dv_fail(e, DMV_ERR_IO,
                       "gallery '%.400s' could not undo a failed change: close and open it again",
                       g->path);
    if (g->reading)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "gallery '%.400s' is in use by the function that reads its templates",
                       g->path);
    if (sqlite3_file_control(g->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved)
        return dv_fail(e, DMV_ERR_IO,
                       "gallery '%.400s' was moved, removed or restored while it was open: open "
                       "it again",
                       g->path);
    int rc = run(write ? g->begin_write : g->begin_read);
    return rc == SQLITE_OK ? DMV_OK : dv_gal_fail(g, rc, write ? "write to" : "read", e);
}

dmv_status dv_gal_commit(dv_gallery *g, dv_err *e)
{
    int rc = run(g->commit);
    if (rc == SQLITE_OK)
        return DMV_OK;
    dmv_status s = dv_gal_fail(g, rc, "write to", e);
    dv_gal_rollback(g);
    return s;
}

void dv_gal_rollback(dv_gallery *g)
{
    /* SQLite may have rolled back by itself, for instance when memory ran out. */
    if (!sqlite3_get_autocommit(g->db))
        run(g->rollback);
    if (!sqlite3_get_autocommit(g->db))
        g->dead = true;
}
