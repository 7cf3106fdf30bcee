/* SPDX-License-Identifier: Apache-2.0
 *
 * gallery_priv.h - what the files of the gallery layer share: the open gallery,
 * transactions, the mapping of SQLite's results to messages, and the checks that every
 * record passes on its way in and on its way out.
 *
 * SQLite notices damage to its own structure but not to the bytes of a row. Each row
 * therefore carries a SHA-256 of its fields ("sum"), compared on every read, so that a
 * flipped bit is an error that names the row and never a wrong face. It is no signature:
 * who can write the file can write the sum.
 *
 * Never open() a gallery file that SQLite may have open in this process: closing any
 * descriptor of a file drops the POSIX locks that SQLite holds on it.
 */
#ifndef DV_GALLERY_PRIV_H
#define DV_GALLERY_PRIV_H

#include <sqlite3.h>

#include "gallery/gallery.h"

#define DV_GAL_APP_ID 0x446d7647 /* "DmvG" in the file's header */
#define DV_GAL_MAX_DIM 16384
#define DV_GAL_MAX_NAME 200        /* bytes; subjects and models */
#define DV_GAL_MAX_SOURCE 4096     /* bytes */
#define DV_GAL_MAX_CROP (1u << 20) /* bytes */
#define DV_GAL_BUSY_MS 5000
#define DV_GAL_SUM 32

struct dv_gallery {
    sqlite3 *db;
    sqlite3_stmt *begin_read, *begin_write, *commit, *rollback;
    char *path; /* for messages */
    char *model_id, *model_name;
    size_t dim;
    int64_t schema;        /* of the file, when it was opened */
    float *vector;         /* dim, the row being read or written */
    uint8_t *blob;         /* 4 * dim, the same as little-endian bytes */
    int64_t owner_created; /* of the subject of the row being read */
    bool reading;          /* inside dv_gallery_each: no writing */
    bool dead;             /* a rollback failed: only closing is left */
};

typedef enum dv_gal_mode {
    DV_GAL_USE,    /* read and write, WAL */
    DV_GAL_CREATE, /* the same, made or completed if need be */
    DV_GAL_PLAIN,  /* read and write, turned into a single file without a WAL */
    DV_GAL_READ    /* nothing is changed */
} dv_gal_mode;

/* open.c */
dmv_status dv_gal_open(const char *path, dv_gal_mode mode, const dv_gallery_model *model,
                       dv_gallery **out, dv_err *e);
/* Opens only the SQLite connection, hardened; *db is NULL on failure. */
dmv_status dv_gal_connect(const char *path, bool writable, sqlite3 **db, dv_err *e);
/* Runs integrity_check and foreign_key_check. */
dmv_status dv_gal_check_file(sqlite3 *db, const char *path, dv_err *e);
dmv_status dv_gal_mismatch(const char *path, const char *have_name, const char *have_id,
                           size_t have_dim, const dv_gallery_model *want, dv_err *e);

/* thresholds.c: inside a transaction. The table is there from schema 2 on. */
extern const char dv_gal_threshold_table[];
dmv_status dv_gal_read_thresholds(dv_gallery *g, float *pairs, size_t *n, char *from, dv_err *e);

/* sql.c: "cannot DOING: REASON: REMEDY" for a SQLite result. path may differ from g's. */
dmv_status dv_gal_fail_db(sqlite3 *db, const char *path, int rc, const char *doing, dv_err *e);
dmv_status dv_gal_fail(dv_gallery *g, int rc, const char *doing, dv_err *e);
dmv_status dv_gal_prepare(dv_gallery *g, const char *sql, sqlite3_stmt **st, dv_err *e);
/* One statement without result rows, or whose rows do not matter. */
int dv_gal_exec(sqlite3 *db, const char *sql);
int dv_gal_exec_int(sqlite3 *db, const char *sql, int64_t *value);
/* Refuses a dead gallery, a file that was replaced, and writing inside dv_gallery_each. */
dmv_status dv_gal_begin(dv_gallery *g, bool write, dv_err *e);
dmv_status dv_gal_commit(dv_gallery *g, dv_err *e);
void dv_gal_rollback(dv_gallery *g);
/* Takes SQLite's and jansson's memory from dv_malloc; first call in a process counts. */
int dv_gal_init(void);
/* Whether an allocation of jansson failed in this thread since _begin: its results are then
 * not to be trusted. */
void dv_gal_json_begin(void);
bool dv_gal_json_starved(void);

/* record.c */
bool dv_gal_utf8(const char *s, size_t n);
dmv_status dv_gal_check_name(const char *name, dv_err *e);
dmv_status dv_gal_check_model(const dv_gallery_model *m, dv_err *e);
/* Checks t and writes its vector, normalised, to g->vector and g->blob. */
dmv_status dv_gal_take(dv_gallery *g, const dv_template *t, dv_err *e);
int64_t dv_gal_vector_hash(const dv_gallery *g); /* of g->blob */
void dv_gal_sum_gallery(const char *id, const char *name, size_t dim, int64_t created,
                        uint8_t out[DV_GAL_SUM]);
void dv_gal_sum_subject(int64_t id, const char *name, size_t size, int64_t created,
                        uint8_t out[DV_GAL_SUM]);
void dv_gal_sum_template(const dv_gallery *g, const dv_template *t, uint8_t out[DV_GAL_SUM]);
bool dv_gal_same_sum(sqlite3_stmt *st, int column, const uint8_t sum[DV_GAL_SUM]);
/* Columns: id, name, created, sum from `column` on. */
dmv_status dv_gal_read_subject(dv_gallery *g, sqlite3_stmt *st, int column, dv_subject *s,
                               dv_err *e); /* s->name belongs to st */
/* Columns: id, subject, created, quality, source, sum, vector, crop. Fills g->vector. */
#define DV_GAL_TEMPLATE_COLUMNS \
    "t.id, t.subject, t.created, t.quality, t.source, t.sum, t.vector, t.crop"
#define DV_GAL_TEMPLATE_COUNT 8
dmv_status dv_gal_read_template(dv_gallery *g, sqlite3_stmt *st, dv_template *t, dv_err *e);

/* store.c: inside a write transaction */
typedef struct dv_gal_writer {
    sqlite3_stmt *find, *add_subject, *add_template, *same;
    int64_t next_subject, next_template;
} dv_gal_writer;
dmv_status dv_gal_writer_open(dv_gallery *g, dv_gal_writer *w, dv_err *e);
void dv_gal_writer_close(dv_gal_writer *w);
/* The subject of that name, made if new. */
dmv_status dv_gal_writer_subject(dv_gallery *g, dv_gal_writer *w, const char *name, int64_t created,
                                 int64_t *id, dv_err *e);
/* skip_same: *added is false if the subject has that very vector already. */
dmv_status dv_gal_writer_add(dv_gallery *g, dv_gal_writer *w, int64_t subject, const dv_template *t,
                             bool skip_same, bool *added, dv_err *e);
/* Inside a read transaction: calls fn for the templates of subject id, 0 = all. */
dmv_status dv_gal_each_row(dv_gallery *g, int64_t id, dv_template_fn fn, void *user, dv_err *e);
/* Removes what deletions left in the WAL and in unused parts of pages. */
dmv_status dv_gal_scrub(dv_gallery *g, dv_err *e);

/* files.c */
bool dv_gal_same_file(const char *a, const char *b);
/* A name beside path that did not exist, as an empty file of mode 0600, open for writing. */
dmv_status dv_gal_temp_open(const char *path, char **name, int *fd, dv_err *e);
dmv_status dv_gal_sync_file(const char *path, dv_err *e);
dmv_status dv_gal_sync_folder(const char *path, dv_err *e); /* of that file */
/* Moves temp to path; with fresh, fails if path exists. */
dmv_status dv_gal_publish(const char *temp, const char *path, bool fresh, dv_err *e);
/* Removes path (if main) and the -wal, -shm and -journal files beside it. */
dmv_status dv_gal_unlink(const char *path, bool main, dv_err *e);

/* base64.c: RFC 4648, with padding, canonical only */
size_t dv_base64_size(size_t n); /* characters for n bytes, without the final 0 */
void dv_base64_encode(const uint8_t *p, size_t n, char *out /* dv_base64_size + 1 */);
/* False if malformed or of more than cap bytes. */
bool dv_base64_decode(const char *s, size_t n, uint8_t *out, size_t cap, size_t *size);

#endif
