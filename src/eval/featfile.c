/* SPDX-License-Identifier: Apache-2.0
 *
 * featfile.c - MegaFace's feature files and NumPy's. Headers are taken literally: a size that
 * does not fit the file to the byte is an error, since a file that was cut or read with the wrong
 * row length gives vectors that look like vectors.
 */
#include "eval/featfile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_DIM 65536u
#define CV_32F 5
#define CV_64F 6
#define BIN_HEADER 16
#define MAX_NPY_HEADER 65536u

typedef struct layout {
    size_t offset, n, dim, stride; /* bytes */
    size_t item;                   /* 4 or 8 bytes a number */
} layout;

static dmv_status bad(dv_err *e, const char *name, const char *what)
{
    return dv_fail(e, DMV_ERR_FORMAT, "%s: %s", name, what);
}

static bool ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), k = strlen(ending);
    return n > k && strcasecmp(path + n - k, ending) == 0;
}

bool dv_features_is_name(const char *path)
{
    return ends_in(path, ".bin") || ends_in(path, ".npy");
}

dmv_status dv_features_check(const char *name, const float *v, size_t n, size_t dim, dv_err *e)
{
    size_t first = 0, count = 0;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t d = 0; d < dim; d++)
            sum += (double)v[i * dim + d] * v[i * dim + d];
        if (sum > 0 && isfinite(sum))
            continue;
        if (count++ == 0) {
            first = i;
            finite = isfinite(sum);
        }
    }
    if (!count)
        return DMV_OK;
    return dv_fail(e, DMV_ERR_FORMAT,
                   "%s: vector %zu %s; %zu of %zu vectors are like that, and none of them can "
                   "be compared: leave them out",
                   name, first + 1, finite ? "is all zeros" : "has numbers that are not finite",
                   count, n);
}

static dmv_status read_bin(const uint8_t *data, size_t size, const char *name, layout *l, dv_err *e)
{
    dv_reader r = {data, data + size, false};
    uint32_t rows = dv_rd_u32(&r), cols = dv_rd_u32(&r), stride = dv_rd_u32(&r),
             type = dv_rd_u32(&r);
    if (r.bad)
        return bad(e, name,
                   "too short for a feature file: a MegaFace .bin starts with 16 bytes, "
                   "a .npy with \\x93NUMPY");
    if (type != CV_32F && type != CV_64F)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: element type %u; a MegaFace .bin has 5 (float32) or 6 (float64), and "
                       "a .npy starts with \\x93NUMPY",
                       name, type);
    l->item = type == CV_32F ? 4 : 8;
    if (rows == 0 || cols == 0 || rows > INT32_MAX || cols > MAX_DIM)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: %u rows of %u numbers; 1 to 2147483647 rows and 1 to %u numbers are "
                       "possible",
                       name, rows, cols, MAX_DIM);
    if (stride < cols * l->item || stride % l->item || stride > INT32_MAX)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: a stride of %u bytes does not fit rows of %u numbers of %zu bytes",
                       name, stride, cols, l->item);
    uint64_t want = BIN_HEADER + (uint64_t)rows * stride;
    if (want != size)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: its header says %llu bytes (%u rows, %u columns, stride %u), the file "
                       "has %zu",
                       name, (unsigned long long)want, rows, cols, stride, size);
    l->offset = BIN_HEADER;
    l->n = rows;
    l->dim = cols;
    l->stride = stride;
    if (cols > 1)
        return DMV_OK;
    if (rows > MAX_DIM)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: one column, so one vector, of %u numbers; at most %u are possible",
                       name, rows, MAX_DIM);
    l->n = 1;
    l->dim = rows;
    if (stride != l->item)
        return bad(e, name, "one column with gaps between the rows");
    l->stride = rows * l->item;
    return DMV_OK;
}

/* ---- NumPy ---- */

typedef struct text {
    const char *p, *end;
} text;

static void blanks(text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t'))
        t->p++;
}

static bool take(text *t, char c)
{
    blanks(t);
    if (t->p == t->end || *t->p != c)
        return false;
    t->p++;
    return true;
}

/* A word in quotes, copied to out. */
static bool quoted(text *t, char *out, size_t size)
{
    blanks(t);
    if (t->p == t->end || (*t->p != '\'' && *t->p != '"'))
        return false;
    char q = *t->p++;
    const char *stop = memchr(t->p, q, (size_t)(t->end - t->p));
    if (!stop || (size_t)(stop - t->p) >= size)
        return false;
    memcpy(out, t->p, (size_t)(stop - t->p));
    out[stop - t->p] = 0;
    t->p = stop + 1;
    return true;
}

static bool whole(text *t, size_t *out)
{
    size_t v = 0, digits = 0;
    blanks(t);
    for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++, digits++)
        if (!dv_mul(v, 10, &v) || !dv_add(v, (size_t)(*t->p - '0'), &v))
            return false;
    *out = v;
    return digits > 0;
}

static bool word(text *t, const char *w)
{
    blanks(t);
    size_t n = strlen(w);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, w, n) != 0)
        return false;
    t->p += n;
    return true;
}

/* (rows, columns) with an optional last comma; *dims is how many there are. */
static bool shape(text *t, size_t out[2], size_t *dims)
{
    *dims = 0;
    if (!take(t, '('))
        return false;
    while (!take(t, ')')) {
        size_t v;
        if (!whole(t, &v))
            return false;
        if (*dims < 2)
            out[*dims] = v;
        (*dims)++;
        if (!take(t, ',')) {
            if (!take(t, ')'))
                return false;
            break;
        }
    }
    return true;
}

static dmv_status npy_header(text *t, const char *name, layout *l, dv_err *e)
{
    char key[32], descr[16] = "";
    size_t dims = 0, size[2] = {0, 0};
    bool fortran = false;
    unsigned seen = 0;
    static const char *const broken = "its NumPy header is damaged";
    if (!take(t, '{'))
        return bad(e, name, broken);
    while (!take(t, '}')) {
        unsigned bit;
        if (!quoted(t, key, sizeof key) || !take(t, ':'))
            return bad(e, name, broken);
        if (strcmp(key, "descr") == 0) {
            bit = 1;
            if (!quoted(t, descr, sizeof descr))
                return bad(e, name, "an array of records or objects; float32 is needed");
        } else if (strcmp(key, "fortran_order") == 0) {
            bit = 2;
            fortran = word(t, "True");
            if (!fortran && !word(t, "False"))
                return bad(e, name, broken);
        } else if (strcmp(key, "shape") == 0) {
            bit = 4;
            if (!shape(t, size, &dims))
                return bad(e, name, broken);
        } else {
            return bad(e, name, broken);
        }
        if (seen & bit)
            return bad(e, name, broken);
        seen |= bit;
        if (!take(t, ',')) {
            if (!take(t, '}'))
                return bad(e, name, broken);
            break;
        }
    }
    if (seen != 7)
        return bad(e, name, broken);
    if (strcmp(descr, "<f4") != 0 && strcmp(descr, "<f8") != 0)
        return dv_fail(e, DMV_ERR_FORMAT, "%s: elements of type '%s'; save a.astype('<f4') instead",
                       name, descr);
    if (fortran)
        return bad(e, name, "column after column; save numpy.ascontiguousarray(a) instead");
    if (dims != 2)
        return dv_fail(e, DMV_ERR_FORMAT, "%s: %zu dimension%s; two are needed, vectors x numbers",
                       name, dims, dims == 1 ? "" : "s");
    l->item = descr[2] == '4' ? 4 : 8;
    l->n = size[0];
    l->dim = size[1];
    if (l->n == 0 || l->dim == 0 || l->dim > MAX_DIM)
        return dv_fail(e, DMV_ERR_FORMAT, "%s: %zu vectors of %zu numbers; 1 to %u are possible",
                       name, l->n, l->dim, MAX_DIM);
    l->stride = l->dim * l->item;
    return DMV_OK;
}

static dmv_status read_npy(const uint8_t *data, size_t size, const char *name, layout *l, dv_err *e)
{
    dv_reader r = {data + 6, data + size, false};
    unsigned version = dv_rd_u8(&r);
    dv_rd_u8(&r);
    size_t length = version == 1 ? dv_rd_u16(&r) : dv_rd_u32(&r);
    if (!r.bad && (version < 1 || version > 3))
        return dv_fail(e, DMV_ERR_VERSION, "%s: NumPy format %u; 1 to 3 are known", name, version);
    const char *head = length <= MAX_NPY_HEADER ? dv_rd_bytes(&r, length) : NULL;
    if (r.bad || !head)
        return bad(e, name, "its NumPy header is cut short or far too long");
    text t = {head, head + length};
    dmv_status s = npy_header(&t, name, l, e);
    if (s)
        return s;
    size_t bytes, have = (size_t)(r.end - r.p);
    if (!dv_mul(l->n, l->stride, &bytes) || bytes != have)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: %zu bytes behind the header; %zu vectors of %zu numbers of %zu bytes "
                       "do not take that many",
                       name, have, l->n, l->dim, l->item);
    l->offset = (size_t)(r.p - data);
    return DMV_OK;
}

/* ---- both ---- */

/* A copy as float, row after row. */
static dmv_status convert(const uint8_t *data, const layout *l, dv_features *f, dv_err *e)
{
    size_t cells;
    if (!dv_mul(l->n, l->dim, &cells) || cells > SIZE_MAX / 8)
        return dv_nomem(e);
    f->own = dv_malloc(cells * sizeof(float));
    if (!f->own)
        return dv_nomem(e);
    for (size_t i = 0; i < l->n; i++) {
        const uint8_t *row = data + l->offset + i * l->stride;
        float *to = f->own + i * l->dim;
        if (l->item == 4) {
            memcpy(to, row, l->dim * 4);
            continue;
        }
        for (size_t d = 0; d < l->dim; d++) {
            double v;
            memcpy(&v, row + d * 8, 8);
            to[d] = (float)v;
        }
    }
    f->v = f->own;
    return DMV_OK;
}

dmv_status dv_features_parse(const void *data, size_t size, const char *name, dv_features *f,
                             dv_err *e)
{
    layout l = {0};
    const uint8_t *p = data;
    memset(f, 0, sizeof *f);
    bool npy = size >= 8 && memcmp(p, "\x93NUMPY", 6) == 0;
    dmv_status s = npy ? read_npy(p, size, name, &l, e) : read_bin(p, size, name, &l, e);
    if (s)
        return s;
    const uint8_t *first = p + l.offset;
    if (l.item == 4 && l.stride == l.dim * 4 && (uintptr_t)first % sizeof(float) == 0)
        f->v = (const float *)(const void *)first;
    else
        s = convert(p, &l, f, e);
    f->n = l.n;
    f->dim = l.dim;
    if (!s)
        s = dv_features_check(name, f->v, f->n, f->dim, e);
    if (s)
        dv_features_free(f);
    return s;
}

dmv_status dv_features_load(const char *path, dv_features *f, dv_err *e)
{
    dv_map map;
    memset(f, 0, sizeof *f);
    dmv_status s = dv_map_open(path, &map, e);
    if (s)
        return s;
    s = dv_features_parse(map.data, map.size, path, f, e);
    if (s || f->own)
        dv_map_close(&map);
    else
        f->map = map;
    return s;
}

void dv_features_free(dv_features *f)
{
    dv_map_close(&f->map);
    dv_free(f->own);
    memset(f, 0, sizeof *f);
}

dmv_status dv_features_save(const char *path, const float *v, size_t n, size_t dim, dv_err *e)
{
    dv_buf b = {0};
    bool npy = ends_in(path, ".npy");
    size_t stride = dim * sizeof(float), bytes;
    if (!npy && !ends_in(path, ".bin"))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "%s: vectors are written to names that end in .npy or .bin (MegaFace)",
                       path);
    if (n == 0 || dim == 0 || dim > MAX_DIM || !dv_mul(n, stride, &bytes) ||
        (!npy && (n > INT32_MAX || stride > INT32_MAX)))
        return dv_fail(e, DMV_ERR_ARGUMENT, "%s: %zu vectors of %zu numbers cannot be written",
                       path, n, dim);
    if (npy) {
        char head[128];
        int len =
            snprintf(head, sizeof head,
                     "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", n, dim);
        size_t total = dv_round_up(10 + (size_t)len + 1, 64);
        dv_buf_put(&b, "\x93NUMPY\x01\x00", 8);
        dv_buf_u16(&b, (uint16_t)(total - 10));
        dv_buf_put(&b, head, (size_t)len);
        while (b.size < total - 1 && !b.bad)
            dv_buf_u8(&b, ' ');
        dv_buf_u8(&b, '\n');
    } else {
        /* One vector stands in one column, as the devkit has it. */
        dv_buf_u32(&b, (uint32_t)(n == 1 ? dim : n));
        dv_buf_u32(&b, (uint32_t)(n == 1 ? 1 : dim));
        dv_buf_u32(&b, (uint32_t)(n == 1 ? sizeof(float) : stride));
        dv_buf_u32(&b, CV_32F);
    }
    dv_buf_put(&b, v, bytes);
    dmv_status s = b.bad ? dv_nomem(e) : dv_write_file(path, b.data, b.size, e);
    dv_buf_free(&b);
    return s;
}
