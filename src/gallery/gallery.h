/* SPDX-License-Identifier: Apache-2.0
 *
 * gallery.h - who lives here: subjects and their templates in one SQLite file (WAL,
 * synchronous FULL: an acknowledged subject survives kill -9 and power loss).
 *
 * A gallery belongs to one embedding model: its id, name and dimension are stored
 * when the file is made; opening it with another is DMV_ERR_MISMATCH and the message
 * names both and says how to re-enrol. A file of a newer schema is DMV_ERR_VERSION.
 */
#ifndef DV_GALLERY_H
#define DV_GALLERY_H

#include "base/base.h"

/* 2: with thresholds of its own. A file is written as old as it can be. */
#define DV_GALLERY_SCHEMA 2

typedef struct dv_gallery dv_gallery;

typedef struct dv_gallery_model { /* of the embedder in use */
    const char *id;               /* dmv_model_id */
    const char *name;
    size_t dim;
} dv_gallery_model;

typedef struct dv_subject {
    int64_t id;
    char *name;
    int64_t templates; /* how many */
    int64_t created;   /* Unix seconds */
} dv_subject;

typedef struct dv_template {
    int64_t id, subject;
    const char *subject_name;
    const float *vector; /* dim floats, unit length */
    const char *source;  /* path or "" */
    float quality;
    const uint8_t *crop; /* JPEG of the aligned face, or NULL */
    size_t crop_size;
    int64_t created;
} dv_template;

/* create: make the file if it is not there. model NULL: open whatever it belongs to. */
dmv_status dv_gallery_open(const char *path, bool create, const dv_gallery_model *model,
                           dv_gallery **out, dv_err *e);
void dv_gallery_close(dv_gallery **g);
const char *dv_gallery_model_id(const dv_gallery *g);
const char *dv_gallery_model_name(const dv_gallery *g);
size_t dv_gallery_dim(const dv_gallery *g);

/* Adds templates of one subject (made if new) in one transaction; t->id, subject and
 * subject_name are ignored, created 0 = now. Returned = on disk. Names: UTF-8 of 1 to 200
 * bytes without control characters or spaces at the ends; vectors: finite, length 1 within
 * 1e-3, stored normalised. */
dmv_status dv_gallery_add(dv_gallery *g, const char *subject, const dv_template *t, size_t n,
                          int64_t *subject_id, dv_err *e);
/* Also rewrites the file and empties the WAL, so that no trace of the templates stays. If that
 * fails (somebody reads, disk full), the subject is gone all the same and the message says so. */
dmv_status dv_gallery_remove(dv_gallery *g, const char *subject, dv_err *e);
/* Merges into an existing subject only with merge; else DMV_ERR_ARGUMENT. */
dmv_status dv_gallery_rename(dv_gallery *g, const char *from, const char *to, bool merge,
                             dv_err *e);
dmv_status dv_gallery_subjects(dv_gallery *g, dv_subject **out, size_t *n, dv_err *e);
void dv_subjects_free(dv_subject *s, size_t n);
/* Calls fn for every template (of one subject, or all if NULL) in order of id; fn false stops.
 * What t points to is valid during the call; fn must not call the gallery. */
typedef bool (*dv_template_fn)(void *user, const dv_template *t);
dmv_status dv_gallery_each(dv_gallery *g, const char *subject, dv_template_fn fn, void *user,
                           dv_err *e);

#define DV_GALLERY_MAX_THRESHOLDS 32 /* pairs */
#define DV_GALLERY_MAX_FROM 400      /* bytes */
/* Thresholds of this gallery's people and cameras, instead of those of the model: n numbers,
 * rate and similarity by turns; rates fall, similarities do not. `from` says on which pictures
 * they were measured. n = 0 forgets them. Export and import leave them out. */
dmv_status dv_gallery_set_thresholds(dv_gallery *g, const float *pairs, size_t n, const char *from,
                                     dv_err *e);
/* pairs: 2 * DV_GALLERY_MAX_THRESHOLDS floats, from: DV_GALLERY_MAX_FROM + 1 bytes. *n = 0 if the
 * gallery has none. */
dmv_status dv_gallery_thresholds(dv_gallery *g, float *pairs, size_t *n, char *from, dv_err *e);

/* JSON lines: a header line {"domovoi_gallery":1,"model_id",...}, then one line a template
 * with base64 vector and crop. Export replaces the file, all or nothing. Import checks
 * everything first, then adds in one transaction; templates already there are skipped. */
dmv_status dv_gallery_export(dv_gallery *g, const char *path, dv_err *e);
dmv_status dv_gallery_import(dv_gallery *g, const char *path, size_t *added, dv_err *e);
/* SQLite's online backup to a new file (refused if it exists); atomic; restore checks integrity
 * and model first, and refuses while anybody has the gallery open. */
dmv_status dv_gallery_backup(dv_gallery *g, const char *path, dv_err *e);
dmv_status dv_gallery_restore(const char *gallery_path, const char *backup_path, dv_err *e);
/* PRAGMA integrity_check and foreign keys; e says what is wrong. */
dmv_status dv_gallery_verify(dv_gallery *g, dv_err *e);

#endif
