/* SPDX-License-Identifier: Apache-2.0
 *
 * store.c - subjects and templates: adding, removing, renaming, reading, verifying.
 * Every change is one transaction; what a function acknowledged is on disk.
 */
#include <string.h>
#include <time.h>

#include "gallery/gallery_priv.h"

/* Ids are never used again, even after the newest row was removed: an index in another
 * process may still know the old owner. */
#define NEXT_ID(table)                                      \
    "SELECT max(ifnull((SELECT max(id) FROM " table "),0)," \
    "ifnull((SELECT seq FROM sqlite_sequence WHERE name='" table "'),0))+1"

/* ---- writing ---- */

static dmv_status next_id(dv_gallery *g, const char *sql, int64_t *id, dv_err *e)
{
    int rc = dv_gal_exec_int(g->db, sql, id);
    if (rc != SQLITE_OK)
        return dv_gal_fail(g, rc, "write to", e);
    if (*id < 1 || *id > INT64_MAX / 2)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "gallery '%.400s' is damaged (its counter of ids): restore a backup",
                       g->path);
    return DMV_OK;
}

dmv_status dv_gal_writer_open(dv_gallery *g, dv_gal_writer *w, dv_err *e)
{
    dmv_status s;
    memset(w, 0, sizeof *w);
    if ((s = next_id(g, NEXT_ID("subject"), &w->next_subject, e)) == DMV_OK &&
        (s = next_id(g, NEXT_ID("template"), &w->next_template, e)) == DMV_OK &&
        (s = dv_gal_prepare(g, "SELECT id FROM subject WHERE name=?", &w->find, e)) == DMV_OK &&
        (s = dv_gal_prepare(g, "INSERT INTO subject(id,name,created,sum) VALUES(?,?,?,?)",
                            &w->add_subject, e)) == DMV_OK &&
        (s = dv_gal_prepare(g,
                            "INSERT INTO template(id,subject,created,quality,source,sum,vector,"
                            "crop,vhash) VALUES(?,?,?,?,?,?,?,?,?)",
                            &w->add_template, e)) == DMV_OK)
        s = dv_gal_prepare(g, "SELECT 1 FROM template WHERE subject=? AND vhash=? AND vector=?",
                           &w->same, e);
    if (s != DMV_OK)
        dv_gal_writer_close(w);
    return s;
}

void dv_gal_writer_close(dv_gal_writer *w)
{
    sqlite3_finalize(w->find);
    sqlite3_finalize(w->add_subject);
    sqlite3_finalize(w->add_template);
    sqlite3_finalize(w->same);
    memset(w, 0, sizeof *w);
}

/* Steps a statement that changes something, and lets go of what was bound. */
static int finish(sqlite3_stmt *st, int rc)
{
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    int end = sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return rc == SQLITE_DONE ? SQLITE_OK : end != SQLITE_OK ? end : rc;
}

/* The id of the subject of that name, or 0. */
static dmv_status find_subject(dv_gallery *g, sqlite3_stmt *st, const char *name, int64_t *id,
                               dv_err *e)
{
    int rc = sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    *id = 0;
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        *id = sqlite3_column_int64(st, 0);
        rc = SQLITE_DONE;
    }
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return rc == SQLITE_DONE ? DMV_OK : dv_gal_fail(g, rc, "read", e);
}

static dmv_status find_name(dv_gallery *g, const char *name, int64_t *id, dv_err *e)
{
    sqlite3_stmt *st = NULL;
    dmv_status s = dv_gal_prepare(g, "SELECT id FROM subject WHERE name=?", &st, e);
    if (s == DMV_OK)
        s = find_subject(g, st, name, id, e);
    sqlite3_finalize(st);
    return s;
}

static dmv_status not_found(dv_gallery *g, const char *name, dv_err *e)
{
    return dv_fail(e, DMV_ERR_NOT_FOUND, "gallery '%.400s' has no subject '%s': check the name",
                   g->path, name);
}

dmv_status dv_gal_writer_subject(dv_gallery *g, dv_gal_writer *w, const char *name, int64_t created,
                                 int64_t *id, dv_err *e)
{
    uint8_t sum[DV_GAL_SUM];
    dmv_status s = find_subject(g, w->find, name, id, e);
    if (s != DMV_OK || *id)
        return s;
    *id = w->next_subject++;
    dv_gal_sum_subject(*id, name, strlen(name), created, sum);
    sqlite3_stmt *st = w->add_subject;
    int rc = sqlite3_bind_int64(st, 1, *id);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(st, 2, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 3, created);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(st, 4, sum, sizeof sum, SQLITE_STATIC);
    rc = finish(st, rc);
    return rc == SQLITE_OK ? DMV_OK : dv_gal_fail(g, rc, "write to", e);
}

static dmv_status has_same(dv_gallery *g, sqlite3_stmt *st, int64_t subject, bool *same, dv_err *e)
{
    int rc = sqlite3_bind_int64(st, 1, subject);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 2, dv_gal_vector_hash(g));
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(st, 3, g->blob, (int)(4 * g->dim), SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    *same = rc == SQLITE_ROW;
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? DMV_OK : dv_gal_fail(g, rc, "read", e);
}

dmv_status dv_gal_writer_add(dv_gallery *g, dv_gal_writer *w, int64_t subject, const dv_template *t,
                             bool skip_same, bool *added, dv_err *e)
{
    uint8_t sum[DV_GAL_SUM];
    bool same = false;
    *added = false;
    dmv_status s = dv_gal_take(g, t, e);
    if (s == DMV_OK && skip_same)
        s = has_same(g, w->same, subject, &same, e);
    if (s != DMV_OK || same)
        return s;
    dv_template row = *t;
    row.id = w->next_template++;
    row.subject = subject;
    row.source = t->source ? t->source : "";
    row.created = t->created ? t->created : time(NULL);
    dv_gal_sum_template(g, &row, sum);
    sqlite3_stmt *st = w->add_template;
    int rc = sqlite3_bind_int64(st, 1, row.id);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 2, subject);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 3, row.created);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_double(st, 4, row.quality);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(st, 5, row.source, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(st, 6, sum, sizeof sum, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(st, 7, g->blob, (int)(4 * g->dim), SQLITE_STATIC);
    if (rc == SQLITE_OK && row.crop)
        rc = sqlite3_bind_blob(st, 8, row.crop, (int)row.crop_size, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 9, dv_gal_vector_hash(g));
    rc = finish(st, rc);
    if (rc != SQLITE_OK)
        return dv_gal_fail(g, rc, "write to", e);
    *added = true;
    return DMV_OK;
}

dmv_status dv_gallery_add(dv_gallery *g, const char *subject, const dv_template *t, size_t n,
                          int64_t *subject_id, dv_err *e)
{
    dv_gal_writer w;
    int64_t id = 0;
    dmv_status s = dv_gal_check_name(subject, e);
    if (s == DMV_OK && (n == 0 || !t))
        s = dv_fail(e, DMV_ERR_ARGUMENT, "subject '%s' without any template", subject);
    for (size_t i = 0; i < n && s == DMV_OK; i++)
        if ((s = dv_gal_take(g, &t[i], e)) != DMV_OK)
            dv_fail_in(e, "template %zu of '%s'", i + 1, subject);
    if (s != DMV_OK || (s = dv_gal_begin(g, true, e)) != DMV_OK)
        return s;
    if ((s = dv_gal_writer_open(g, &w, e)) == DMV_OK) {
        s = dv_gal_writer_subject(g, &w, subject, time(NULL), &id, e);
        for (size_t i = 0; i < n && s == DMV_OK; i++) {
            bool added;
            s = dv_gal_writer_add(g, &w, id, &t[i], false, &added, e);
        }
        dv_gal_writer_close(&w);
    }
    if (s != DMV_OK)
        dv_gal_rollback(g);
    else
        s = dv_gal_commit(g, e);
    if (s == DMV_OK && subject_id)
        *subject_id = id;
    return s;
}

/* ---- removing and renaming ---- */

static dmv_status exec_id(dv_gallery *g, const char *sql, int64_t id, dv_err *e)
{
    sqlite3_stmt *st = NULL;
    dmv_status s = dv_gal_prepare(g, sql, &st, e);
    if (s != DMV_OK)
        return s;
    int rc = finish(st, sqlite3_bind_int64(st, 1, id));
    sqlite3_finalize(st);
    return rc == SQLITE_OK ? DMV_OK : dv_gal_fail(g, rc, "write to", e);
}

/* secure_delete zeroes deleted cells and pages. It misses copies that stay in the gap of a
 * page when neighbouring pages are balanced, so VACUUM rewrites the file; and the old pages
 * are in the WAL until a checkpoint has emptied it. */
dmv_status dv_gal_scrub(dv_gallery *g, dv_err *e)
{
    int rc = dv_gal_exec(g->db, "VACUUM");
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(g->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return rc == SQLITE_OK ? DMV_OK : dv_gal_fail(g, rc, "clean", e);
}

dmv_status dv_gallery_remove(dv_gallery *g, const char *subject, dv_err *e)
{
    int64_t id = 0;
    dmv_status s = dv_gal_check_name(subject, e);
    if (s != DMV_OK || (s = dv_gal_begin(g, true, e)) != DMV_OK)
        return s;
    s = find_name(g, subject, &id, e);
    if (s == DMV_OK && !id)
        s = not_found(g, subject, e);
    if (s == DMV_OK)
        s = exec_id(g, "DELETE FROM template WHERE subject=?", id, e);
    if (s == DMV_OK)
        s = exec_id(g, "DELETE FROM subject WHERE id=?", id, e);
    if (s != DMV_OK) {
        dv_gal_rollback(g);
        return s;
    }
    if ((s = dv_gal_commit(g, e)) == DMV_OK && (s = dv_gal_scrub(g, e)) != DMV_OK)
        dv_fail_in(e,
                   "'%s' is removed, but traces of its templates are still in the file or in its "
                   "-wal file until the next removal",
                   subject);
    return s;
}

/* Gives every template of `from` to `to`; their sums hold the owner and change with it. */
static dmv_status move_templates(dv_gallery *g, int64_t from, int64_t to, dv_err *e)
{
    sqlite3_stmt *get = NULL, *set = NULL;
    dmv_status s = dv_gal_prepare(
        g, "SELECT " DV_GAL_TEMPLATE_COLUMNS " FROM template t WHERE subject=? ORDER BY id LIMIT 1",
        &get, e);
    if (s == DMV_OK)
        s = dv_gal_prepare(g, "UPDATE template SET subject=?, sum=? WHERE id=?", &set, e);
    while (s == DMV_OK) {
        uint8_t sum[DV_GAL_SUM];
        dv_template t;
        int rc = sqlite3_bind_int64(get, 1, from);
        if (rc == SQLITE_OK)
            rc = sqlite3_step(get);
        if (rc == SQLITE_DONE)
            break;
        if (rc != SQLITE_ROW) {
            s = dv_gal_fail(g, rc, "read", e);
            break;
        }
        if ((s = dv_gal_read_template(g, get, &t, e)) != DMV_OK)
            break;
        t.subject = to;
        dv_gal_sum_template(g, &t, sum);
        sqlite3_reset(get);
        rc = sqlite3_bind_int64(set, 1, to);
        if (rc == SQLITE_OK)
            rc = sqlite3_bind_blob(set, 2, sum, sizeof sum, SQLITE_STATIC);
        if (rc == SQLITE_OK)
            rc = sqlite3_bind_int64(set, 3, t.id);
        rc = finish(set, rc);
        if (rc != SQLITE_OK)
            s = dv_gal_fail(g, rc, "write to", e);
    }
    sqlite3_finalize(get);
    sqlite3_finalize(set);
    return s;
}

static dmv_status set_name(dv_gallery *g, int64_t id, const char *name, dv_err *e)
{
    uint8_t sum[DV_GAL_SUM];
    int64_t created = 0;
    sqlite3_stmt *st = NULL;
    dmv_status s =
        dv_gal_prepare(g, "SELECT id, name, created, sum FROM subject WHERE id=?", &st, e);
    if (s != DMV_OK)
        return s;
    int rc = sqlite3_bind_int64(st, 1, id);
    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        dv_subject old;
        s = dv_gal_read_subject(g, st, 0, &old, e);
        created = old.created;
    } else {
        s = dv_gal_fail(g, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "read", e);
    }
    sqlite3_finalize(st);
    if (s != DMV_OK)
        return s;
    dv_gal_sum_subject(id, name, strlen(name), created, sum);
    st = NULL;
    if ((s = dv_gal_prepare(g, "UPDATE subject SET name=?, sum=? WHERE id=?", &st, e)) != DMV_OK)
        return s;
    rc = sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(st, 2, sum, sizeof sum, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 3, id);
    rc = finish(st, rc);
    sqlite3_finalize(st);
    return rc == SQLITE_OK ? DMV_OK : dv_gal_fail(g, rc, "write to", e);
}

dmv_status dv_gallery_rename(dv_gallery *g, const char *from, const char *to, bool merge, dv_err *e)
{
    int64_t old = 0, other = 0;
    dmv_status s = dv_gal_check_name(from, e);
    if (s == DMV_OK)
        s = dv_gal_check_name(to, e);
    if (s != DMV_OK || (s = dv_gal_begin(g, true, e)) != DMV_OK)
        return s;
    if ((s = find_name(g, from, &old, e)) == DMV_OK)
        s = old ? find_name(g, to, &other, e) : not_found(g, from, e);
    if (s == DMV_OK && !other) {
        s = set_name(g, old, to, e);
    } else if (s == DMV_OK && other != old) {
        if (!merge)
            s = dv_fail(e, DMV_ERR_ARGUMENT,
                        "gallery '%.400s' has a subject '%s' already: choose another name, or "
                        "merge the two",
                        g->path, to);
        if (s == DMV_OK)
            s = move_templates(g, old, other, e);
        if (s == DMV_OK)
            s = exec_id(g, "DELETE FROM subject WHERE id=?", old, e);
    }
    if (s != DMV_OK) {
        dv_gal_rollback(g);
        return s;
    }
    return dv_gal_commit(g, e);
}

/* ---- reading ---- */

dmv_status dv_gallery_subjects(dv_gallery *g, dv_subject **out, size_t *n, dv_err *e)
{
    dv_subject *list = NULL;
    size_t count = 0, cap = 0;
    sqlite3_stmt *st = NULL;
    int rc = SQLITE_ROW;
    *out = NULL;
    *n = 0;
    dmv_status s = dv_gal_begin(g, false, e);
    if (s != DMV_OK)
        return s;
    s = dv_gal_prepare(g,
                       "SELECT s.id, s.name, s.created, s.sum, (SELECT count(*) FROM template t "
                       "WHERE t.subject=s.id) FROM subject s ORDER BY s.name",
                       &st, e);
    while (s == DMV_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        dv_subject row;
        if ((s = dv_gal_read_subject(g, st, 0, &row, e)) != DMV_OK)
            break;
        row.templates = sqlite3_column_int64(st, 4);
        if (!dv_grow(&list, &cap, count, sizeof *list) || !(row.name = dv_strdup(row.name))) {
            s = dv_nomem(e);
            break;
        }
        list[count++] = row;
    }
    if (s == DMV_OK && rc != SQLITE_DONE)
        s = dv_gal_fail(g, rc, "read", e);
    sqlite3_finalize(st);
    dv_gal_rollback(g);
    if (s != DMV_OK) {
        dv_subjects_free(list, count);
        return s;
    }
    *out = list;
    *n = count;
    return DMV_OK;
}

void dv_subjects_free(dv_subject *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dv_free(s[i].name);
    dv_free(s);
}

dmv_status dv_gal_each_row(dv_gallery *g, int64_t id, dv_template_fn fn, void *user, dv_err *e)
{
    sqlite3_stmt *st = NULL;
    int rc = SQLITE_ROW;
    /* LEFT JOIN, so that a template without its subject is an error and not left out. */
    dmv_status s =
        dv_gal_prepare(g,
                       id ? "SELECT " DV_GAL_TEMPLATE_COLUMNS ", s.id, s.name, s.created, s.sum "
                            "FROM template t LEFT JOIN subject s ON s.id=t.subject "
                            "WHERE t.subject=? ORDER BY t.id"
                          : "SELECT " DV_GAL_TEMPLATE_COLUMNS ", s.id, s.name, s.created, s.sum "
                            "FROM template t LEFT JOIN subject s ON s.id=t.subject ORDER BY t.id",
                       &st, e);
    if (s == DMV_OK && id && (rc = sqlite3_bind_int64(st, 1, id)) != SQLITE_OK)
        s = dv_gal_fail(g, rc, "read", e);
    while (s == DMV_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        dv_template t;
        dv_subject owner;
        if ((s = dv_gal_read_template(g, st, &t, e)) != DMV_OK ||
            (s = dv_gal_read_subject(g, st, DV_GAL_TEMPLATE_COUNT, &owner, e)) != DMV_OK)
            break;
        t.subject_name = owner.name;
        g->owner_created = owner.created;
        g->reading = true;
        bool more = fn(user, &t);
        g->reading = false;
        if (!more) {
            rc = SQLITE_DONE;
            break;
        }
    }
    if (s == DMV_OK && rc != SQLITE_DONE)
        s = dv_gal_fail(g, rc, "read", e);
    sqlite3_finalize(st);
    return s;
}

dmv_status dv_gallery_each(dv_gallery *g, const char *subject, dv_template_fn fn, void *user,
                           dv_err *e)
{
    int64_t id = 0;
    dmv_status s = subject ? dv_gal_check_name(subject, e) : DMV_OK;
    if (s != DMV_OK || (s = dv_gal_begin(g, false, e)) != DMV_OK)
        return s;
    if (subject) {
        s = find_name(g, subject, &id, e);
        if (s == DMV_OK && !id)
            s = not_found(g, subject, e);
    }
    if (s == DMV_OK)
        s = dv_gal_each_row(g, id, fn, user, e);
    dv_gal_rollback(g);
    return s;
}

static bool ignore(void *user, const dv_template *t)
{
    return true;
}

dmv_status dv_gallery_verify(dv_gallery *g, dv_err *e)
{
    int64_t lonely = 0;
    dmv_status s = dv_gal_begin(g, false, e);
    if (s != DMV_OK)
        return s;
    if ((s = dv_gal_check_file(g->db, g->path, e)) == DMV_OK)
        s = dv_gal_each_row(g, 0, ignore, NULL, e);
    if (s == DMV_OK) {
        int rc = dv_gal_exec_int(g->db,
                                 "SELECT count(*) FROM subject s WHERE NOT EXISTS "
                                 "(SELECT 1 FROM template t WHERE t.subject=s.id)",
                                 &lonely);
        if (rc != SQLITE_OK)
            s = dv_gal_fail(g, rc, "check", e);
        else if (lonely)
            s = dv_fail(e, DMV_ERR_FORMAT,
                        "gallery '%.400s' is damaged (%lld subjects have lost their templates): "
                        "restore a backup",
                        g->path, (long long)lonely);
    }
    if (s == DMV_OK) {
        float pairs[2 * DV_GALLERY_MAX_THRESHOLDS];
        char from[DV_GALLERY_MAX_FROM + 1];
        size_t n;
        s = dv_gal_read_thresholds(g, pairs, &n, from, e);
    }
    dv_gal_rollback(g);
    return s;
}
