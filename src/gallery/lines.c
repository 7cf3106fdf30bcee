/* SPDX-License-Identifier: Apache-2.0
 *
 * lines.c - a gallery as JSON lines, for moving it and for looking at it.
 *
 *     {"domovoi_gallery":1,"model_id":"..","model_name":"..","dim":512,"templates":2}
 *     {"subject":"Anna","subject_created":1,"created":1,"quality":0.9,"source":"a.jpg",
 *      "vector":"..","crop":".."}                       (each on one line; crop optional)
 *
 * vector is base64 of little-endian float32, so that it comes back bit for bit. Importing
 * reads the file twice: first all lines are checked, then all are added in one transaction.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gallery/gallery_priv.h"

#define LINES_VERSION 1
#define MAX_LINE (4u << 20) /* bytes; a crop of 1 MiB takes 1.4 */

/* ---- export ---- */

typedef struct writer {
    dv_gallery *g;
    int fd;
    const char *path;
    char *text; /* base64 */
    size_t cap;
    dmv_status status;
    dv_err *e;
} writer;

static dmv_status write_all(int fd, const char *p, size_t n, const char *path, dv_err *e)
{
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return dv_fail(e, DMV_ERR_IO,
                           "cannot write '%.400s': %s: free some space or choose another folder",
                           path, k < 0 ? strerror(errno) : "nothing written");
        p += k;
        n -= (size_t)k;
    }
    return DMV_OK;
}

/* Takes over obj, which may be NULL (no memory). */
static dmv_status write_json(writer *w, json_t *obj)
{
    char *s = obj ? json_dumps(obj, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(obj);
    if (!s || dv_gal_json_starved()) {
        dv_free(s);
        return dv_nomem(w->e);
    }
    size_t n = strlen(s);
    s[n] = '\n'; /* instead of the final 0 */
    dmv_status st = write_all(w->fd, s, n + 1, w->path, w->e);
    dv_free(s);
    return st;
}

static bool add_base64(writer *w, json_t *obj, const char *key, const uint8_t *p, size_t n)
{
    size_t need = dv_base64_size(n) + 1;
    if (need > w->cap) {
        char *q = dv_realloc(w->text, need);
        if (!q)
            return false;
        w->text = q;
        w->cap = need;
    }
    dv_base64_encode(p, n, w->text);
    return json_object_set_new_nocheck(obj, key, json_string_nocheck(w->text)) == 0;
}

static bool write_template(void *user, const dv_template *t)
{
    writer *w = user;
    json_t *obj =
        json_pack("{s:s, s:I, s:I, s:f, s:s}", "subject", t->subject_name, "subject_created",
                  (json_int_t)w->g->owner_created, "created", (json_int_t)t->created, "quality",
                  (double)t->quality, "source", t->source);
    if (obj && (!add_base64(w, obj, "vector", w->g->blob, 4 * w->g->dim) ||
                (t->crop && !add_base64(w, obj, "crop", t->crop, t->crop_size)))) {
        json_decref(obj);
        obj = NULL;
    }
    w->status = write_json(w, obj);
    return w->status == DMV_OK;
}

static dmv_status write_lines(writer *w, dv_err *e)
{
    dv_gallery *g = w->g;
    int64_t count = 0;
    dmv_status s = dv_gal_begin(g, false, e); /* one snapshot for the count and the lines */
    if (s != DMV_OK)
        return s;
    int rc = dv_gal_exec_int(g->db, "SELECT count(*) FROM template", &count);
    s = rc == SQLITE_OK ? DMV_OK : dv_gal_fail(g, rc, "read", e);
    dv_gal_json_begin();
    if (s == DMV_OK)
        s = write_json(w, json_pack("{s:i, s:s, s:s, s:I, s:I}", "domovoi_gallery", LINES_VERSION,
                                    "model_id", g->model_id, "model_name", g->model_name, "dim",
                                    (json_int_t)g->dim, "templates", (json_int_t)count));
    if (s == DMV_OK)
        s = dv_gal_each_row(g, 0, write_template, w, e);
    dv_gal_rollback(g);
    return s != DMV_OK ? s : w->status;
}

dmv_status dv_gallery_export(dv_gallery *g, const char *path, dv_err *e)
{
    char real[PATH_MAX];
    struct stat st;
    char *temp = NULL;
    writer w = {.g = g, .path = path, .fd = -1, .e = e};
    if (!path || !path[0])
        return dv_fail(e, DMV_ERR_ARGUMENT, "the name of the file to export to is empty");
    if (dv_gal_same_file(g->path, path))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "'%.400s' is the gallery itself: export to another file", path);
    bool there = stat(path, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return dv_fail(e, DMV_ERR_IO, "'%.400s' is a folder: export to a file", path);
    dmv_status s = DMV_OK;
    if (there && !S_ISREG(st.st_mode)) { /* a pipe or a device */
        if ((w.fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY)) < 0)
            return dv_fail(e, DMV_ERR_IO, "cannot write '%.400s': %s", path, strerror(errno));
    } else {
        const char *to = there && realpath(path, real) ? real : path; /* through links */
        if ((s = dv_gal_temp_open(to, &temp, &w.fd, e)) != DMV_OK)
            return s;
        path = to;
    }
    s = write_lines(&w, e);
    if (s == DMV_OK && temp && fsync(w.fd) != 0)
        s = dv_fail(e, DMV_ERR_IO, "cannot sync '%.400s': %s", temp, strerror(errno));
    if (close(w.fd) != 0 && s == DMV_OK)
        s = dv_fail(e, DMV_ERR_IO, "cannot write '%.400s': %s", path, strerror(errno));
    if (s == DMV_OK && temp)
        s = dv_gal_publish(temp, path, false, e);
    else if (temp)
        unlink(temp);
    if (w.text)
        dv_wipe(w.text, w.cap);
    dv_free(w.text);
    dv_free(temp);
    return s;
}

/* ---- import ---- */

typedef struct reader {
    dv_gallery *g;
    const char *path;
    int fd;
    dv_buf buf;   /* holds at most one line and what was read after it */
    size_t start; /* of what is not yet used in buf */
    bool end;
    size_t line;    /* number of the present line, from 1 */
    float *vector;  /* decoded */
    uint8_t *bytes; /* the same as bytes */
    uint8_t *crop;  /* DV_GAL_MAX_CROP bytes, made when first needed */
} reader;

/* The next line, without its newline; *n = 0 and *p = NULL at the end. */
static dmv_status next_line(reader *r, const char **p, size_t *n, dv_err *e)
{
    size_t seen = 0; /* bytes after start that hold no newline */
    *p = NULL;
    *n = 0;
    for (;;) {
        size_t have = r->buf.size - r->start;
        uint8_t *from = have ? r->buf.data + r->start : NULL;
        uint8_t *nl = have > seen ? memchr(from + seen, '\n', have - seen) : NULL;
        if (nl || (r->end && have)) {
            r->line++;
            *p = (const char *)from;
            *n = nl ? (size_t)(nl - from) : have;
            r->start += *n + (nl ? 1 : 0);
            return DMV_OK;
        }
        if (r->end)
            return DMV_OK;
        if (have > MAX_LINE)
            return dv_fail(e, DMV_ERR_LIMIT,
                           "'%.400s' line %zu: longer than %u bytes: it is not an exported gallery",
                           r->path, r->line + 1, MAX_LINE);
        seen = have;
        if (r->start) {
            memmove(r->buf.data, r->buf.data + r->start, have);
            r->buf.size = have;
            r->start = 0;
        }
        char chunk[4096];
        ssize_t k = read(r->fd, chunk, sizeof chunk);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return dv_fail(e, DMV_ERR_IO, "cannot read '%.400s': %s", r->path, strerror(errno));
        r->end = k == 0;
        dv_buf_put(&r->buf, chunk, (size_t)k);
        if (r->buf.bad)
            return dv_nomem(e);
    }
}

static dmv_status bad_line(const reader *r, dv_err *e, const char *why)
{
    return dv_fail(e, DMV_ERR_FORMAT, "'%.400s' line %zu: %s: nothing was imported", r->path,
                   r->line, why);
}

/* One line as a JSON object. */
static dmv_status next_object(reader *r, json_t **obj, dv_err *e)
{
    const char *p;
    size_t n;
    json_error_t err;
    *obj = NULL;
    dmv_status s = next_line(r, &p, &n, e);
    if (s != DMV_OK || !p)
        return s;
    dv_gal_json_begin();
    *obj = json_loadb(p, n, JSON_REJECT_DUPLICATES, &err);
    if (*obj && json_is_object(*obj) && !dv_gal_json_starved())
        return DMV_OK;
    char why[JSON_ERROR_TEXT_LENGTH + 32];
    snprintf(why, sizeof why, *obj ? "not a JSON object" : "not JSON (%s)", err.text);
    json_decref(*obj);
    *obj = NULL;
    return dv_gal_json_starved() ? dv_nomem(e) : bad_line(r, e, why);
}

static dmv_status read_header(reader *r, json_int_t *templates, dv_err *e)
{
    const char *id = NULL, *name = NULL;
    json_int_t version = 0, dim = 0;
    json_t *obj, *v;
    dmv_status s = next_object(r, &obj, e);
    if (s != DMV_OK)
        return s;
    v = json_object_get(obj, "domovoi_gallery");
    if (!json_is_integer(v) || (version = json_integer_value(v)) < 1) {
        json_decref(obj);
        return dv_fail(e, DMV_ERR_FORMAT,
                       "'%.400s' is not an exported gallery (no header line): give another file",
                       r->path);
    }
    json_error_t err;
    if (version > LINES_VERSION) {
        s = dv_fail(e, DMV_ERR_VERSION,
                    "'%.400s' was written by a newer version (%lld; this one knows %d): update "
                    "domovoi",
                    r->path, (long long)version, LINES_VERSION);
    } else if (json_unpack_ex(obj, &err, JSON_STRICT, "{s:I, s:s, s:s, s:I, s:I}",
                              "domovoi_gallery", &version, "model_id", &id, "model_name", &name,
                              "dim", &dim, "templates", templates) != 0) {
        s = dv_gal_json_starved() ? dv_nomem(e) : bad_line(r, e, err.text);
    } else {
        dv_gallery_model from = {id, name, dim > 0 ? (size_t)dim : 0};
        if (dv_gal_check_model(&from, NULL) != DMV_OK || *templates < 0) {
            s = bad_line(r, e, "the header makes no sense");
        } else if (strcmp(id, r->g->model_id) != 0 || from.dim != r->g->dim) {
            dv_gallery_model have = {r->g->model_id, r->g->model_name, r->g->dim};
            s = dv_gal_mismatch(r->path, name, id, from.dim, &have, e);
        }
    }
    json_decref(obj);
    return s;
}

/* Fills t from a line; its strings belong to obj, the rest to r. */
static dmv_status read_template(reader *r, json_t *obj, const char **subject,
                                json_int_t *subject_created, dv_template *t, dv_err *e)
{
    const char *vector, *crop = NULL;
    size_t vector_n, crop_n = 0, size = 0;
    json_int_t created;
    double quality;
    json_error_t err;
    memset(t, 0, sizeof *t);
    if (json_unpack_ex(obj, &err, JSON_STRICT, "{s:s, s:I, s:I, s:F, s:s, s:s%, s?s%}", "subject",
                       subject, "subject_created", subject_created, "created", &created, "quality",
                       &quality, "source", &t->source, "vector", &vector, &vector_n, "crop", &crop,
                       &crop_n) != 0)
        return dv_gal_json_starved() ? dv_nomem(e) : bad_line(r, e, err.text);
    if (*subject_created < 0 || created <= 0)
        return bad_line(r, e, "a date before 1970");
    if (!(fabs(quality) <= 1e30))
        return bad_line(r, e, "the quality is out of range");
    if (!dv_base64_decode(vector, vector_n, r->bytes, 4 * r->g->dim, &size) ||
        size != 4 * r->g->dim)
        return bad_line(r, e, "the vector is not base64 of the right size");
    dv_reader in = {r->bytes, r->bytes + size, false};
    for (size_t i = 0; i < r->g->dim; i++)
        r->vector[i] = dv_rd_f32(&in);
    if (crop) {
        if (!r->crop && !(r->crop = dv_malloc(DV_GAL_MAX_CROP)))
            return dv_nomem(e);
        if (!dv_base64_decode(crop, crop_n, r->crop, DV_GAL_MAX_CROP, &t->crop_size) ||
            t->crop_size == 0)
            return bad_line(r, e, "the crop is not base64, is empty or too large");
        t->crop = r->crop;
    }
    t->vector = r->vector;
    t->quality = (float)quality;
    t->created = created;
    dmv_status s = dv_gal_check_name(*subject, e);
    if (s == DMV_OK)
        s = dv_gal_take(r->g, t, e);
    if (s != DMV_OK) {
        dv_fail_in(e, "'%.400s' line %zu", r->path, r->line);
        s = DMV_ERR_FORMAT; /* what would be a wrong argument elsewhere */
        if (e)
            e->code = s;
    }
    return s;
}

/* One pass over the file. w NULL: only checks. */
static dmv_status scan(reader *r, dv_gal_writer *w, size_t *added, dv_err *e)
{
    json_int_t want = 0, have = 0;
    r->buf.size = r->start = r->line = 0;
    r->end = false;
    if (lseek(r->fd, 0, SEEK_SET) != 0)
        return dv_fail(e, DMV_ERR_IO, "cannot read '%.400s': %s", r->path, strerror(errno));
    dmv_status s = read_header(r, &want, e);
    while (s == DMV_OK) {
        json_t *obj;
        if ((s = next_object(r, &obj, e)) != DMV_OK || !obj)
            break;
        const char *subject = NULL;
        json_int_t subject_created = 0;
        dv_template t;
        s = read_template(r, obj, &subject, &subject_created, &t, e);
        if (s == DMV_OK && w) {
            int64_t id = 0;
            bool is_new = false;
            s = dv_gal_writer_subject(r->g, w, subject, subject_created, &id, e);
            if (s == DMV_OK)
                s = dv_gal_writer_add(r->g, w, id, &t, true, &is_new, e);
            *added += is_new;
        }
        json_decref(obj);
        have++;
    }
    if (s == DMV_OK && have != want)
        s = dv_fail(e, DMV_ERR_FORMAT,
                    "'%.400s' has %lld templates, its first line says %lld: it was cut short or "
                    "changed, export again; nothing was imported",
                    r->path, (long long)have, (long long)want);
    return s;
}

static dmv_status import_file(reader *r, size_t *added, dv_err *e)
{
    dv_gal_writer w;
    size_t count = 0;
    dmv_status s = scan(r, NULL, NULL, e);
    if (s != DMV_OK || (s = dv_gal_begin(r->g, true, e)) != DMV_OK)
        return s;
    if ((s = dv_gal_writer_open(r->g, &w, e)) == DMV_OK) {
        s = scan(r, &w, &count, e);
        dv_gal_writer_close(&w);
    }
    if (s != DMV_OK)
        dv_gal_rollback(r->g);
    else
        s = dv_gal_commit(r->g, e);
    if (s == DMV_OK)
        *added = count;
    return s;
}

dmv_status dv_gallery_import(dv_gallery *g, const char *path, size_t *added, dv_err *e)
{
    struct stat st;
    size_t count = 0;
    reader r = {.g = g, .path = path};
    if (added)
        *added = 0;
    if (!path || !path[0])
        return dv_fail(e, DMV_ERR_ARGUMENT, "the name of the file to import is empty");
    if (stat(path, &st) != 0)
        return dv_fail(e, DMV_ERR_IO, "cannot open '%.400s': %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return dv_fail(e, DMV_ERR_IO,
                       "'%.400s' is not a file: it is read twice, so it cannot be a pipe", path);
    if (dv_gal_same_file(g->path, path)) /* and is not to be opened, see gallery_priv.h */
        return dv_fail(e, DMV_ERR_ARGUMENT, "'%.400s' is the gallery itself", path);
    r.vector = dv_calloc(g->dim, sizeof *r.vector);
    r.bytes = dv_calloc(g->dim, 4);
    dmv_status s = DMV_OK;
    if (!r.vector || !r.bytes)
        s = dv_nomem(e);
    else if ((r.fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        s = dv_fail(e, DMV_ERR_IO, "cannot open '%.400s': %s", path, strerror(errno));
    if (s == DMV_OK) {
        s = import_file(&r, &count, e);
        close(r.fd);
    }
    if (r.vector)
        dv_wipe(r.vector, g->dim * sizeof *r.vector);
    if (r.bytes)
        dv_wipe(r.bytes, 4 * g->dim);
    if (r.buf.data)
        dv_wipe(r.buf.data, r.buf.cap);
    dv_free(r.vector);
    dv_free(r.bytes);
    dv_free(r.crop);
    dv_buf_free(&r.buf);
    if (s == DMV_OK && added)
        *added = count;
    return s;
}
