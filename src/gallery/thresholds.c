/* SPDX-License-Identifier: Apache-2.0
 *
 * thresholds.c - thresholds that belong to a gallery. The table is made when the first ones are
 * set, and the file has schema 2 from then on: an older program says that it is too old, instead
 * of going by the thresholds of the model.
 */
#include <math.h>
#include <string.h>

#include "gallery/gallery_priv.h"

static void sum_thresholds(const dv_gallery *g, const void *blob, size_t size, const char *from,
                           uint8_t out[DV_GAL_SUM])
{
    dv_sha256 h;
    dv_sha256_init(&h);
    dv_sha256_update(&h, "C", 1);
    dv_sha256_update(&h, g->model_id, strlen(g->model_id) + 1);
    dv_sha256_update(&h, from, strlen(from) + 1);
    dv_sha256_update(&h, blob, size);
    dv_sha256_final(&h, out);
}

/* NULL, or what is wrong. */
static const char *fault(const float *v, size_t n, const char *from)
{
    if (n % 2 || n > 2 * DV_GALLERY_MAX_THRESHOLDS)
        return "an odd number of them, or too many";
    for (size_t i = 0; i < n; i += 2) {
        if (!(v[i] > 0 && v[i] <= 1) || !(v[i + 1] >= -1 && v[i + 1] <= 1))
            return "a rate or a similarity out of range";
        if (i && !(v[i] < v[i - 2] && v[i + 1] >= v[i - 1]))
            return "rates must fall, and similarities must not";
    }
    size_t size = strnlen(from, DV_GALLERY_MAX_FROM + 1);
    if (size > DV_GALLERY_MAX_FROM || !dv_gal_utf8(from, size))
        return "the text is too long or not UTF-8";
    return NULL;
}

static dmv_status put(dv_gallery *g, const float *pairs, size_t n, const char *from, dv_err *e)
{
    uint8_t sum[DV_GAL_SUM];
    dv_buf b = {0};
    sqlite3_stmt *st = NULL;
    for (size_t i = 0; i < n; i++)
        dv_buf_f32(&b, pairs[i]);
    if (b.bad)
        return dv_nomem(e);
    sum_thresholds(g, b.data, b.size, from, sum);
    dmv_status s = dv_gal_prepare(g, "INSERT OR REPLACE INTO threshold VALUES(1,?,?,?)", &st, e);
    if (s == DMV_OK) {
        int rc = sqlite3_bind_blob(st, 1, b.data, (int)b.size, SQLITE_STATIC);
        if (rc == SQLITE_OK)
            rc = sqlite3_bind_text(st, 2, from, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
            rc = sqlite3_bind_blob(st, 3, sum, sizeof sum, SQLITE_STATIC);
        if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_DONE)
            rc = SQLITE_OK;
        if (rc != SQLITE_OK)
            s = dv_gal_fail(g, rc, "store thresholds in", e);
    }
    sqlite3_finalize(st);
    dv_buf_free(&b);
    return s;
}

/* The schema as it is now: another program may have raised it since the file was opened. */
static dmv_status refresh(dv_gallery *g, dv_err *e)
{
    int rc = dv_gal_exec_int(g->db, "PRAGMA user_version", &g->schema);
    return rc == SQLITE_OK ? DMV_OK : dv_gal_fail(g, rc, "read", e);
}

dmv_status dv_gallery_set_thresholds(dv_gallery *g, const float *pairs, size_t n, const char *from,
                                     dv_err *e)
{
    const char *why = fault(pairs, n, from);
    if (why)
        return dv_fail(e, DMV_ERR_ARGUMENT, "thresholds for a gallery: %s", why);
    dmv_status s = dv_gal_begin(g, true, e);
    if (s != DMV_OK)
        return s;
    int rc = SQLITE_OK;
    if ((s = refresh(g, e)) == DMV_OK && g->schema < 2 && n) {
        rc = dv_gal_exec(g->db, dv_gal_threshold_table);
        if (rc == SQLITE_OK)
            rc = dv_gal_exec(g->db, "PRAGMA user_version=2");
    }
    bool table = s == DMV_OK && (g->schema >= 2 || n);
    if (s == DMV_OK && rc == SQLITE_OK && table && n == 0)
        rc = dv_gal_exec(g->db, "DELETE FROM threshold");
    if (rc != SQLITE_OK)
        s = dv_gal_fail(g, rc, "store thresholds in", e);
    if (s == DMV_OK && n)
        s = put(g, pairs, n, from, e);
    if (s != DMV_OK)
        dv_gal_rollback(g);
    else
        s = dv_gal_commit(g, e);
    return s;
}

dmv_status dv_gal_read_thresholds(dv_gallery *g, float *pairs, size_t *n, char *from, dv_err *e)
{
    *n = 0;
    *from = 0;
    uint8_t sum[DV_GAL_SUM];
    sqlite3_stmt *st = NULL;
    dmv_status s = refresh(g, e);
    if (s != DMV_OK || g->schema < 2)
        return s;
    s = dv_gal_prepare(g, "SELECT pairs, measured, sum FROM threshold WHERE one=1", &st, e);
    if (s != DMV_OK)
        return s;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        const uint8_t *blob = sqlite3_column_blob(st, 0);
        size_t size = (size_t)sqlite3_column_bytes(st, 0);
        const char *text = (const char *)sqlite3_column_text(st, 1);
        size_t len = (size_t)sqlite3_column_bytes(st, 1);
        bool ok = blob && text && size % 8 == 0 && size <= 8 * DV_GALLERY_MAX_THRESHOLDS &&
                  len <= DV_GALLERY_MAX_FROM && strlen(text) == len;
        if (ok) {
            dv_reader r = {blob, blob + size, false};
            *n = size / 4;
            for (size_t i = 0; i < *n; i++)
                pairs[i] = dv_rd_f32(&r);
            memcpy(from, text, len + 1);
            sum_thresholds(g, blob, size, from, sum);
            ok = dv_gal_same_sum(st, 2, sum) && !fault(pairs, *n, from);
        }
        if (!ok && sqlite3_errcode(g->db) == SQLITE_NOMEM)
            s = dv_nomem(e);
        else if (!ok)
            s = dv_fail(e, DMV_ERR_FORMAT,
                        "gallery '%.400s': its thresholds are damaged: restore a backup, or "
                        "calibrate again",
                        g->path);
    } else if (rc != SQLITE_DONE) {
        s = dv_gal_fail(g, rc, "read", e);
    }
    if (s != DMV_OK)
        *n = 0;
    sqlite3_finalize(st);
    return s;
}

dmv_status dv_gallery_thresholds(dv_gallery *g, float *pairs, size_t *n, char *from, dv_err *e)
{
    dmv_status s = dv_gal_begin(g, false, e);
    *n = 0;
    if (s != DMV_OK)
        return s;
    s = dv_gal_read_thresholds(g, pairs, n, from, e);
    dv_gal_rollback(g);
    return s;
}
