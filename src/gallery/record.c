/* SPDX-License-Identifier: Apache-2.0
 *
 * record.c - what a gallery accepts and what it gives back: names, vectors, sums.
 * Both directions are checked, since a file may have been damaged or made by someone else.
 */
#include <math.h>
#include <string.h>

#include "gallery/gallery_priv.h"

#define UNIT_TOLERANCE 1e-3 /* how far from length 1 a vector may be */
/* Closer than this a vector is stored as it is. Rounding to float moves the length by less
 * than 2^-24, so a stored vector that comes back by import is stored bit for bit again. */
#define UNIT_EXACT 1e-6

/* The code point at s[*i], or -1 if the bytes there are not UTF-8 (RFC 3629). */
static int32_t next_point(const uint8_t *s, size_t n, size_t *i)
{
    uint8_t c = s[*i];
    size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : 3;
    if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || n - *i <= more)
        return -1;
    int32_t v = more == 0 ? c : c & (0x3f >> more);
    for (size_t k = 1; k <= more; k++) {
        if ((s[*i + k] & 0xc0) != 0x80)
            return -1;
        v = v << 6 | (s[*i + k] & 0x3f);
    }
    if ((more == 2 && v < 0x800) || (more == 3 && (v < 0x10000 || v > 0x10ffff)) ||
        (v >= 0xd800 && v < 0xe000))
        return -1;
    *i += more + 1;
    return v;
}

bool dv_gal_utf8(const char *s, size_t n)
{
    for (size_t i = 0; i < n;)
        if (next_point((const uint8_t *)s, n, &i) < 0)
            return false;
    return true;
}

static bool is_space(int32_t c)
{
    return c == ' ' || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* Control characters, and those that reorder or break the line they are printed in. */
static bool is_control(int32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

dmv_status dv_gal_check_name(const char *name, dv_err *e)
{
    size_t n = name ? strnlen(name, DV_GAL_MAX_NAME + 1) : 0;
    if (n == 0)
        return dv_fail(e, DMV_ERR_ARGUMENT, "the name of a subject is empty: give a name");
    if (n > DV_GAL_MAX_NAME)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "the name '%.40s...' is longer than %d bytes: give a shorter one", name,
                       DV_GAL_MAX_NAME);
    int32_t c = 0;
    for (size_t i = 0; i < n;) {
        size_t at = i;
        c = next_point((const uint8_t *)name, n, &i);
        if (c < 0)
            return dv_fail(e, DMV_ERR_ARGUMENT,
                           "the name of a subject is not UTF-8 (byte %zu): give it in UTF-8", at);
        if (is_control(c))
            return dv_fail(e, DMV_ERR_ARGUMENT,
                           "the name of a subject has the control character U+%04X (byte %zu): "
                           "leave it out",
                           (unsigned)c, at);
        if (at == 0 && is_space(c))
            return dv_fail(e, DMV_ERR_ARGUMENT, "the name '%s' begins with a space: leave it out",
                           name);
    }
    if (is_space(c))
        return dv_fail(e, DMV_ERR_ARGUMENT, "the name '%s' ends with a space: leave it out", name);
    return DMV_OK;
}

dmv_status dv_gal_check_model(const dv_gallery_model *m, dv_err *e)
{
    size_t n = m->id ? strnlen(m->id, 129) : 0;
    if (n == 0 || n > 128)
        return dv_fail(e, DMV_ERR_ARGUMENT, "the id of a model must have 1 to 128 characters");
    for (size_t i = 0; i < n; i++)
        if (m->id[i] <= ' ' || m->id[i] > '~')
            return dv_fail(e, DMV_ERR_ARGUMENT, "the id of a model must be printable ASCII");
    n = m->name ? strnlen(m->name, DV_GAL_MAX_NAME + 1) : 0;
    if (n > DV_GAL_MAX_NAME || (n && !dv_gal_utf8(m->name, n)))
        return dv_fail(e, DMV_ERR_ARGUMENT, "the name of a model must be UTF-8 of at most %d bytes",
                       DV_GAL_MAX_NAME);
    if (m->dim < 1 || m->dim > DV_GAL_MAX_DIM)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "the model '%s' gives %zu numbers: a gallery takes 1 to %d",
                       m->name ? m->name : m->id, m->dim, DV_GAL_MAX_DIM);
    return DMV_OK;
}

/* Length of v; -1 if a number is not finite. */
static double length_of(const float *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(v[i]))
            return -1;
        sum += (double)v[i] * v[i];
    }
    return sqrt(sum);
}

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

dmv_status dv_gal_take(dv_gallery *g, const dv_template *t, dv_err *e)
{
    if (!t->vector)
        return dv_fail(e, DMV_ERR_ARGUMENT, "a template without a vector");
    double len = length_of(t->vector, g->dim);
    if (len < 0)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "the vector has a number that is not finite: embed the picture again");
    if (fabs(len - 1) > UNIT_TOLERANCE)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "the vector has length %.6g instead of 1: normalise it first", len);
    if (!isfinite(t->quality))
        return dv_fail(e, DMV_ERR_ARGUMENT, "the quality of a template is not a finite number");
    if (t->created < 0)
        return dv_fail(e, DMV_ERR_ARGUMENT, "a template was made before 1970");
    if (t->source) {
        size_t n = strnlen(t->source, DV_GAL_MAX_SOURCE + 1);
        if (n > DV_GAL_MAX_SOURCE)
            return dv_fail(e, DMV_ERR_ARGUMENT, "the source of a template is longer than %d bytes",
                           DV_GAL_MAX_SOURCE);
        if (!dv_gal_utf8(t->source, n))
            return dv_fail(e, DMV_ERR_ARGUMENT,
                           "the source of a template is not UTF-8: rename the file");
    }
    if (t->crop && (t->crop_size == 0 || t->crop_size > DV_GAL_MAX_CROP))
        return dv_fail(e, DMV_ERR_ARGUMENT, "a crop has %zu bytes: it may have 1 to %u",
                       t->crop_size, DV_GAL_MAX_CROP);
    bool exact = fabs(len - 1) <= UNIT_EXACT;
    for (size_t i = 0; i < g->dim; i++) {
        uint32_t bits;
        g->vector[i] = exact ? t->vector[i] : (float)(t->vector[i] / len);
        memcpy(&bits, &g->vector[i], 4);
        put_u32(g->blob + 4 * i, bits);
    }
    return DMV_OK;
}

/* ---- sums ---- */

static void add_u64(dv_sha256 *h, uint64_t v)
{
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> 8 * i);
    dv_sha256_update(h, b, 8);
}

static void add_bytes(dv_sha256 *h, const void *p, size_t n)
{
    add_u64(h, n);
    if (n)
        dv_sha256_update(h, p, n);
}

int64_t dv_gal_vector_hash(const dv_gallery *g)
{
    dv_sha256 h;
    uint8_t out[32];
    uint64_t v = 0;
    dv_sha256_init(&h);
    dv_sha256_update(&h, g->blob, 4 * g->dim);
    dv_sha256_final(&h, out);
    for (int i = 0; i < 8; i++)
        v = v << 8 | out[i];
    return (int64_t)v;
}

void dv_gal_sum_gallery(const char *id, const char *name, size_t dim, int64_t created,
                        uint8_t out[DV_GAL_SUM])
{
    dv_sha256 h;
    dv_sha256_init(&h);
    dv_sha256_update(&h, "G", 1);
    add_bytes(&h, id, strlen(id));
    add_bytes(&h, name, strlen(name));
    add_u64(&h, dim);
    add_u64(&h, (uint64_t)created);
    dv_sha256_final(&h, out);
}

void dv_gal_sum_subject(int64_t id, const char *name, size_t size, int64_t created,
                        uint8_t out[DV_GAL_SUM])
{
    dv_sha256 h;
    dv_sha256_init(&h);
    dv_sha256_update(&h, "S", 1);
    add_u64(&h, (uint64_t)id);
    add_bytes(&h, name, size);
    add_u64(&h, (uint64_t)created);
    dv_sha256_final(&h, out);
}

void dv_gal_sum_template(const dv_gallery *g, const dv_template *t, uint8_t out[DV_GAL_SUM])
{
    dv_sha256 h;
    uint32_t bits;
    memcpy(&bits, &t->quality, 4);
    dv_sha256_init(&h);
    dv_sha256_update(&h, "T", 1);
    add_u64(&h, (uint64_t)t->id);
    add_u64(&h, (uint64_t)t->subject);
    add_u64(&h, (uint64_t)t->created);
    add_u64(&h, bits);
    add_bytes(&h, t->source, strlen(t->source));
    add_bytes(&h, g->blob, 4 * g->dim);
    add_bytes(&h, t->crop, t->crop ? t->crop_size : 0);
    dv_sha256_final(&h, out);
}

bool dv_gal_same_sum(sqlite3_stmt *st, int column, const uint8_t sum[DV_GAL_SUM])
{
    const void *p = sqlite3_column_blob(st, column);
    return p && sqlite3_column_bytes(st, column) == DV_GAL_SUM && memcmp(p, sum, DV_GAL_SUM) == 0;
}

/* ---- rows ---- */

dmv_status dv_gal_read_subject(dv_gallery *g, sqlite3_stmt *st, int column, dv_subject *s,
                               dv_err *e)
{
    uint8_t sum[DV_GAL_SUM];
    memset(s, 0, sizeof *s);
    s->id = sqlite3_column_int64(st, column);
    s->created = sqlite3_column_int64(st, column + 2);
    bool is_text = sqlite3_column_type(st, column + 1) == SQLITE_TEXT;
    const char *name = (const char *)sqlite3_column_text(st, column + 1);
    size_t size = (size_t)sqlite3_column_bytes(st, column + 1);
    if (is_text && !name)
        return dv_nomem(e);
    const char *why = NULL;
    if (!is_text || memchr(name, 0, size) || dv_gal_check_name(name, NULL) != DMV_OK) {
        why = "its name cannot be read";
    } else {
        dv_gal_sum_subject(s->id, name, size, s->created, sum);
        if (!dv_gal_same_sum(st, column + 3, sum))
            why = "its checksum is wrong";
    }
    if (why)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "gallery '%.400s': subject %lld is damaged (%s): restore a backup, or "
                       "enrol again",
                       g->path, (long long)s->id, why);
    s->name = (char *)(uintptr_t)name;
    return DMV_OK;
}

static const char *template_fault(dv_gallery *g, sqlite3_stmt *st, dv_template *t,
                                  const uint8_t *vec, size_t vec_size)
{
    uint8_t sum[DV_GAL_SUM];
    if (!vec || vec_size != 4 * g->dim)
        return "its vector has the wrong size";
    dv_reader r = {vec, vec + vec_size, false};
    for (size_t i = 0; i < g->dim; i++)
        g->vector[i] = dv_rd_f32(&r);
    memcpy(g->blob, vec, vec_size);
    double len = length_of(g->vector, g->dim);
    if (len < 0 || fabs(len - 1) > UNIT_TOLERANCE)
        return "its vector is not of unit length";
    size_t n = (size_t)sqlite3_column_bytes(st, 4);
    if (sqlite3_column_type(st, 4) != SQLITE_TEXT || n > DV_GAL_MAX_SOURCE ||
        memchr(t->source, 0, n) || !dv_gal_utf8(t->source, n))
        return "its source cannot be read";
    if (t->crop_size > DV_GAL_MAX_CROP)
        return "its crop is too large";
    dv_gal_sum_template(g, t, sum);
    return dv_gal_same_sum(st, 5, sum) ? NULL : "its checksum is wrong";
}

dmv_status dv_gal_read_template(dv_gallery *g, sqlite3_stmt *st, dv_template *t, dv_err *e)
{
    memset(t, 0, sizeof *t);
    t->id = sqlite3_column_int64(st, 0);
    t->subject = sqlite3_column_int64(st, 1);
    t->created = sqlite3_column_int64(st, 2);
    t->quality = (float)sqlite3_column_double(st, 3);
    t->vector = g->vector;
    const uint8_t *vec = sqlite3_column_blob(st, 6);
    size_t vec_size = (size_t)sqlite3_column_bytes(st, 6);
    if (sqlite3_column_type(st, 7) != SQLITE_NULL) {
        t->crop = sqlite3_column_blob(st, 7);
        t->crop_size = (size_t)sqlite3_column_bytes(st, 7);
    }
    t->source = (const char *)sqlite3_column_text(st, 4);
    if (sqlite3_errcode(g->db) == SQLITE_NOMEM)
        return dv_nomem(e);
    if (!t->source)
        t->source = "";
    const char *why = template_fault(g, st, t, vec, vec_size);
    if (why)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "gallery '%.400s': template %lld of subject %lld is damaged (%s): restore "
                       "a backup, or remove that subject and enrol it again",
                       g->path, (long long)t->id, (long long)t->subject, why);
    return DMV_OK;
}
