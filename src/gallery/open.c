/* SPDX-License-Identifier: Apache-2.0
 *
 * open.c - making, opening and checking a gallery file.
 *
 * A new gallery is an empty file of mode 0600, then one transaction that holds the whole
 * schema, the model and both header numbers. Whatever moment a kill -9 hits, the file is
 * empty (or rolls back to empty) or a valid gallery without subjects; the next opening with
 * create completes an empty one. SQLite gives the -wal and -shm files the mode of the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gallery/gallery_priv.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define FIRST_SCHEMA 1 /* of a new file */

const char dv_gal_threshold_table[] =
    "CREATE TABLE threshold("
    "one INTEGER PRIMARY KEY CHECK(one=1),"
    "pairs BLOB NOT NULL CHECK(typeof(pairs)='blob'),"
    "measured TEXT NOT NULL CHECK(typeof(measured)='text'),"
    "sum BLOB NOT NULL CHECK(typeof(sum)='blob' AND length(sum)=32))";

/* The schema is compared word for word on opening, so a file cannot bring tables, views or
 * triggers of its own. The checks are those of STRICT tables, for SQLite before 3.37 too. */
static const struct {
    const char *name, *sql;
} schema[] = {
    {"gallery", "CREATE TABLE gallery("
                "one INTEGER PRIMARY KEY CHECK(one=1),"
                "model_id TEXT NOT NULL CHECK(typeof(model_id)='text'),"
                "model_name TEXT NOT NULL CHECK(typeof(model_name)='text'),"
                "dim INTEGER NOT NULL CHECK(typeof(dim)='integer' AND dim BETWEEN 1 AND 16384),"
                "created INTEGER NOT NULL CHECK(typeof(created)='integer'),"
                "sum BLOB NOT NULL CHECK(typeof(sum)='blob' AND length(sum)=32))"},
    {"subject", "CREATE TABLE subject("
                "id INTEGER PRIMARY KEY AUTOINCREMENT,"
                "name TEXT NOT NULL UNIQUE CHECK(typeof(name)='text' AND name<>''),"
                "created INTEGER NOT NULL CHECK(typeof(created)='integer'),"
                "sum BLOB NOT NULL CHECK(typeof(sum)='blob' AND length(sum)=32))"},
    {"template", "CREATE TABLE template("
                 "id INTEGER PRIMARY KEY AUTOINCREMENT,"
                 "subject INTEGER NOT NULL REFERENCES subject(id),"
                 "vhash INTEGER NOT NULL CHECK(typeof(vhash)='integer'),"
                 "created INTEGER NOT NULL CHECK(typeof(created)='integer'),"
                 "quality REAL NOT NULL CHECK(typeof(quality)='real'),"
                 "source TEXT NOT NULL CHECK(typeof(source)='text'),"
                 "sum BLOB NOT NULL CHECK(typeof(sum)='blob' AND length(sum)=32),"
                 "vector BLOB NOT NULL CHECK(typeof(vector)='blob'),"
                 "crop BLOB CHECK(typeof(crop) IN ('blob','null')))"},
    {"template_subject", "CREATE INDEX template_subject ON template(subject,vhash)"},
    {"threshold", dv_gal_threshold_table}, /* from schema 2 on */
};
#define OBJECTS(version) (DV_COUNT(schema) - ((version) < 2))

dmv_status dv_gal_mismatch(const char *path, const char *have_name, const char *have_id,
                           size_t have_dim, const dv_gallery_model *want, dv_err *e)
{
    const char *name = want->name && want->name[0] ? want->name : want->id;
    return dv_fail(e, DMV_ERR_MISMATCH,
                   "'%.300s' belongs to the model '%s' (id %s, %zu numbers), not to '%s' (id %s, "
                   "%zu numbers): vectors of two models cannot be compared. Use --model with "
                   "'%s', or enrol again with '%s' into a new gallery",
                   path, have_name, have_id, have_dim, name, want->id, want->dim, have_name, name);
}

dmv_status dv_gal_connect(const char *path, bool writable, sqlite3 **db, dv_err *e)
{
    /* "./" so that SQLite sees no URI and no ":memory:" in a file name. */
    size_t size = strlen(path) + 3;
    char *name = dv_malloc(size);
    *db = NULL;
    if (!name)
        return dv_nomem(e);
    snprintf(name, size, "%s%s", path[0] == '/' ? "" : "./", path);
    int rc = dv_gal_init();
    if (rc == SQLITE_OK)
        rc = sqlite3_open_v2(
            name, db,
            (writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX, NULL);
    dv_free(name);
    if (rc == SQLITE_OK) {
        static const struct {
            int what, value;
        } config[] = {
            {SQLITE_DBCONFIG_DEFENSIVE, 1},   {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
            {SQLITE_DBCONFIG_ENABLE_FKEY, 1}, {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
            {SQLITE_DBCONFIG_ENABLE_VIEW, 0}, {SQLITE_DBCONFIG_DQS_DDL, 0},
            {SQLITE_DBCONFIG_DQS_DML, 0},     {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        };
        for (size_t i = 0; i < DV_COUNT(config) && rc == SQLITE_OK; i++)
            rc = sqlite3_db_config(*db, config[i].what, config[i].value, NULL);
    }
    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(*db, 1);
        sqlite3_limit(*db, SQLITE_LIMIT_LENGTH, 4 << 20);
        sqlite3_limit(*db, SQLITE_LIMIT_ATTACHED, 1); /* VACUUM attaches one */
        rc = sqlite3_busy_timeout(*db, DV_GAL_BUSY_MS);
    }
    if (rc == SQLITE_OK)
        rc = dv_gal_exec(*db, "PRAGMA trusted_schema=OFF; PRAGMA foreign_keys=ON;"
                              "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;"
                              "PRAGMA temp_store=MEMORY; PRAGMA secure_delete=ON;"
                              "PRAGMA synchronous=FULL");
    if (rc == SQLITE_OK && writable && sqlite3_db_readonly(*db, "main") == 1)
        rc = SQLITE_READONLY;
    if (rc == SQLITE_OK)
        return DMV_OK;
    dmv_status s = dv_gal_fail_db(*db, path, rc, "open", e);
    sqlite3_close(*db);
    *db = NULL;
    return s;
}

dmv_status dv_gal_check_file(sqlite3 *db, const char *path, dv_err *e)
{
    sqlite3_stmt *st = NULL;
    dmv_status s = DMV_OK;
    int rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &st, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        rc = text ? SQLITE_OK : SQLITE_NOMEM;
        if (text && strcmp(text, "ok") != 0)
            s = dv_fail(e, DMV_ERR_FORMAT, "gallery '%.400s' is damaged (%.300s): restore a backup",
                        path, text);
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_CORRUPT;
    }
    sqlite3_finalize(st);
    st = NULL;
    if (rc == SQLITE_OK && s == DMV_OK) {
        rc = sqlite3_prepare_v2(db, "PRAGMA foreign_key_check", -1, &st, NULL);
        if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
            s = dv_fail(e, DMV_ERR_FORMAT,
                        "gallery '%.400s' is damaged (template %lld belongs to nobody): restore a "
                        "backup",
                        path, (long long)sqlite3_column_int64(st, 1));
        if (rc == SQLITE_DONE || rc == SQLITE_ROW)
            rc = SQLITE_OK;
        sqlite3_finalize(st);
    }
    return s != DMV_OK ? s : rc == SQLITE_OK ? DMV_OK : dv_gal_fail_db(db, path, rc, "check", e);
}

/* Whether the file holds nothing yet: a kill came between its making and the first commit. */
static int is_blank(sqlite3 *db, bool *blank)
{
    int64_t app = 0, version = 0, objects = 0;
    int rc = dv_gal_exec_int(db, "PRAGMA application_id", &app);
    if (rc == SQLITE_OK)
        rc = dv_gal_exec_int(db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK)
        rc = dv_gal_exec_int(db, "SELECT count(*) FROM sqlite_schema", &objects);
    *blank = app == 0 && version == 0 && objects == 0;
    return rc;
}

static int put_model(sqlite3 *db, const dv_gallery_model *m)
{
    uint8_t sum[DV_GAL_SUM];
    int64_t now = time(NULL);
    sqlite3_stmt *st = NULL;
    const char *name = m->name && m->name[0] ? m->name : m->id;
    dv_gal_sum_gallery(m->id, name, m->dim, now, sum);
    int rc = sqlite3_prepare_v2(db, "INSERT INTO gallery VALUES(1,?,?,?,?,?)", -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(st, 1, m->id, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(st, 2, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 3, (int64_t)m->dim);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 4, now);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(st, 5, sum, sizeof sum, SQLITE_STATIC);
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_DONE)
        rc = SQLITE_OK;
    sqlite3_finalize(st);
    return rc;
}

static dmv_status fill(sqlite3 *db, const char *path, const dv_gallery_model *m, dv_err *e)
{
    bool blank = false;
    int rc = dv_gal_exec(db, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK)
        rc = is_blank(db, &blank); /* again, now that nobody else can fill it */
    if (rc == SQLITE_OK && blank) {
        for (size_t i = 0; i < OBJECTS(FIRST_SCHEMA) && rc == SQLITE_OK; i++)
            rc = dv_gal_exec(db, schema[i].sql);
        if (rc == SQLITE_OK)
            rc = put_model(db, m);
        if (rc == SQLITE_OK)
            rc = dv_gal_exec(db, "PRAGMA application_id=" TEXT(
                                     DV_GAL_APP_ID) ";"
                                                    "PRAGMA user_version=" TEXT(FIRST_SCHEMA));
    }
    if (rc == SQLITE_OK)
        rc = dv_gal_exec(db, "COMMIT");
    if (rc == SQLITE_OK)
        return DMV_OK;
    dmv_status s = dv_gal_fail_db(db, path, rc, "make", e);
    if (!sqlite3_get_autocommit(db))
        dv_gal_exec(db, "ROLLBACK");
    return s;
}

static dmv_status check_schema(sqlite3 *db, const char *path, int64_t *schema_out, dv_err *e)
{
    int64_t app = 0, version = 0;
    sqlite3_stmt *st = NULL;
    int rc = dv_gal_exec_int(db, "PRAGMA application_id", &app);
    if (rc == SQLITE_OK)
        rc = dv_gal_exec_int(db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK && app != DV_GAL_APP_ID)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "'%.400s' is a SQLite file of another program, not a gallery: give another "
                       "file",
                       path);
    if (rc == SQLITE_OK && version > DV_GALLERY_SCHEMA)
        return dv_fail(e, DMV_ERR_VERSION,
                       "gallery '%.400s' was written by a newer version (schema %lld; this one "
                       "knows %d): update domovoi",
                       path, (long long)version, DV_GALLERY_SCHEMA);
    bool same = version >= FIRST_SCHEMA;
    size_t found = 0, objects = OBJECTS(version);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db,
                                "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE "
                                "'sqlite~_%' ESCAPE '~' ORDER BY name",
                                -1, &st, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(st, 0);
        const char *sql = (const char *)sqlite3_column_text(st, 1);
        rc = sqlite3_errcode(db) == SQLITE_NOMEM ? SQLITE_NOMEM : SQLITE_OK;
        same = same && found < objects && name && sql && strcmp(name, schema[found].name) == 0 &&
               strcmp(sql, schema[found].sql) == 0;
        found++;
    }
    sqlite3_finalize(st);
    if (rc != SQLITE_DONE)
        return dv_gal_fail_db(db, path, rc, "open", e);
    if (!same || found != objects)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "gallery '%.400s' does not have the tables of schema %d: it is damaged or "
                       "was changed by another program, restore a backup",
                       path, (int)DV_MAX(version, FIRST_SCHEMA));
    *schema_out = version;
    return DMV_OK;
}

/* Reads which model the gallery belongs to. */
static dmv_status load_model(dv_gallery *g, dv_err *e)
{
    uint8_t sum[DV_GAL_SUM];
    sqlite3_stmt *st = NULL;
    dmv_status s = dv_gal_prepare(
        g, "SELECT model_id, model_name, dim, created, sum FROM gallery WHERE one=1", &st, e);
    if (s != DMV_OK)
        return s;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        dv_gallery_model m = {(const char *)sqlite3_column_text(st, 0),
                              (const char *)sqlite3_column_text(st, 1),
                              (size_t)sqlite3_column_int64(st, 2)};
        if (sqlite3_errcode(g->db) == SQLITE_NOMEM) {
            s = dv_nomem(e);
        } else if (m.id && m.name) {
            dv_gal_sum_gallery(m.id, m.name, m.dim, sqlite3_column_int64(st, 3), sum);
            if (dv_gal_check_model(&m, NULL) == DMV_OK && dv_gal_same_sum(st, 4, sum)) {
                g->model_id = dv_strdup(m.id);
                g->model_name = dv_strdup(m.name);
                g->dim = m.dim;
                g->vector = dv_calloc(m.dim, sizeof *g->vector);
                g->blob = dv_calloc(m.dim, 4);
                if (!g->model_id || !g->model_name || !g->vector || !g->blob)
                    s = dv_nomem(e);
            }
        }
    } else if (rc != SQLITE_DONE) {
        s = dv_gal_fail(g, rc, "open", e);
    }
    sqlite3_finalize(st);
    if (s == DMV_OK && !g->model_id)
        s = dv_fail(e, DMV_ERR_FORMAT,
                    "gallery '%.400s' is damaged (the record of its model): restore a backup",
                    g->path);
    return s;
}

/* Changing to or from WAL needs the file for itself; SQLite does not wait for that. */
static dmv_status set_journal(dv_gallery *g, const char *sql, const char *want, dv_err *e)
{
    for (int waited = 0;; waited += 50) {
        sqlite3_stmt *st = NULL;
        bool done = false;
        int rc = sqlite3_prepare_v2(g->db, sql, -1, &st, NULL);
        if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
            const char *mode = (const char *)sqlite3_column_text(st, 0);
            done = mode && strcmp(mode, want) == 0;
            rc = mode ? SQLITE_OK : SQLITE_NOMEM;
        }
        int end = sqlite3_finalize(st);
        if (rc == SQLITE_OK)
            rc = end;
        if (done && rc == SQLITE_OK)
            return DMV_OK;
        if (rc == SQLITE_OK)
            return dv_fail(e, DMV_ERR_IO,
                           "cannot open gallery '%.400s': the file system there cannot lock or "
                           "share files as SQLite's WAL needs: copy it to a local disk",
                           g->path);
        if ((rc & 0xff) != SQLITE_BUSY || waited >= DV_GAL_BUSY_MS)
            return dv_gal_fail(g, rc, "open", e);
        sqlite3_sleep(50);
    }
}

static dmv_status check_path(const char *path, dv_gal_mode mode, const dv_gallery_model *model,
                             dv_err *e)
{
    struct stat st;
    if (!path || !path[0])
        return dv_fail(e, DMV_ERR_ARGUMENT, "the name of the gallery is empty: give a file");
    if (model) {
        dmv_status s = dv_gal_check_model(model, e);
        if (s != DMV_OK)
            return s;
    }
    if (stat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode))
            return dv_fail(e, DMV_ERR_IO, "'%.400s' is not a file: give the file of a gallery",
                           path);
        return DMV_OK;
    }
    if (errno != ENOENT)
        return dv_fail(e, DMV_ERR_IO, "cannot open gallery '%.400s': %s", path, strerror(errno));
    if (mode != DV_GAL_CREATE)
        return dv_fail(e, DMV_ERR_IO,
                       "there is no gallery '%.400s': check the name, or enrol somebody to make it",
                       path);
    if (!model)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "a new gallery '%.400s' needs a model that it belongs to", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        return dv_fail(e, DMV_ERR_IO,
                       "cannot make gallery '%.400s': %s: choose a folder that exists and can be "
                       "written",
                       path, strerror(errno));
    if (fd < 0)
        return DMV_OK;
    close(fd);
    return dv_gal_sync_folder(path, e);
}

static dmv_status open_checked(dv_gallery *g, dv_gal_mode mode, const dv_gallery_model *model,
                               dv_err *e)
{
    bool blank = false;
    dmv_status s = dv_gal_connect(g->path, mode != DV_GAL_READ, &g->db, e);
    if (s != DMV_OK)
        return s;
    int rc = is_blank(g->db, &blank);
    if (rc != SQLITE_OK)
        return dv_gal_fail(g, rc, "open", e);
    if (blank && (mode != DV_GAL_CREATE || !model))
        return dv_fail(e, DMV_ERR_FORMAT,
                       "'%.400s' is empty: its making was cut short or it never was a gallery; "
                       "enrol somebody to complete it, or restore a backup",
                       g->path);
    if (blank && (s = fill(g->db, g->path, model, e)) != DMV_OK)
        return s;
    if ((s = check_schema(g->db, g->path, &g->schema, e)) != DMV_OK ||
        (s = dv_gal_check_file(g->db, g->path, e)) != DMV_OK || (s = load_model(g, e)) != DMV_OK)
        return s;
    if (model && (strcmp(model->id, g->model_id) != 0 || model->dim != g->dim))
        return dv_gal_mismatch(g->path, g->model_name, g->model_id, g->dim, model, e);
    if (mode == DV_GAL_PLAIN)
        s = set_journal(g, "PRAGMA journal_mode=DELETE", "delete", e);
    else if (mode != DV_GAL_READ)
        s = set_journal(g, "PRAGMA journal_mode=WAL", "wal", e);
    if (s != DMV_OK || (s = dv_gal_prepare(g, "BEGIN", &g->begin_read, e)) != DMV_OK ||
        (s = dv_gal_prepare(g, "BEGIN IMMEDIATE", &g->begin_write, e)) != DMV_OK ||
        (s = dv_gal_prepare(g, "COMMIT", &g->commit, e)) != DMV_OK)
        return s;
    return dv_gal_prepare(g, "ROLLBACK", &g->rollback, e);
}

dmv_status dv_gal_open(const char *path, dv_gal_mode mode, const dv_gallery_model *model,
                       dv_gallery **out, dv_err *e)
{
    *out = NULL;
    dmv_status s = check_path(path, mode, model, e);
    if (s != DMV_OK)
        return s;
    dv_gallery *g = dv_calloc(1, sizeof *g);
    if (!g || !(g->path = dv_strdup(path)))
        s = dv_nomem(e);
    else
        s = open_checked(g, mode, model, e);
    if (s != DMV_OK) {
        dv_gallery_close(&g);
        return s;
    }
    *out = g;
    return DMV_OK;
}

dmv_status dv_gallery_open(const char *path, bool create, const dv_gallery_model *model,
                           dv_gallery **out, dv_err *e)
{
    return dv_gal_open(path, create ? DV_GAL_CREATE : DV_GAL_USE, model, out, e);
}

void dv_gallery_close(dv_gallery **gp)
{
    dv_gallery *g = gp ? *gp : NULL;
    if (!g)
        return;
    sqlite3_finalize(g->begin_read);
    sqlite3_finalize(g->begin_write);
    sqlite3_finalize(g->commit);
    sqlite3_finalize(g->rollback);
    sqlite3_close(g->db); /* the last one to close writes the WAL back and removes it */
    if (g->vector)
        dv_wipe(g->vector, g->dim * sizeof *g->vector);
    if (g->blob)
        dv_wipe(g->blob, 4 * g->dim);
    dv_free(g->vector);
    dv_free(g->blob);
    dv_free(g->model_id);
    dv_free(g->model_name);
    dv_free(g->path);
    dv_free(g);
    *gp = NULL;
}

const char *dv_gallery_model_id(const dv_gallery *g)
{
    return g->model_id;
}

const char *dv_gallery_model_name(const dv_gallery *g)
{
    return g->model_name;
}

size_t dv_gallery_dim(const dv_gallery *g)
{
    return g->dim;
}
