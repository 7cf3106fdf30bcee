/* SPDX-License-Identifier: Apache-2.0
 *
 * FlatBuffers, bounded. A table is an offset back to its vtable, which has two sizes and then one
 * offset a field; strings, vectors and tables in a field are offsets forward to them. No offset
 * is used before it is known to lie inside the file together with what it points at. Nothing is
 * followed by itself, so a file cannot send the reader round in circles.
 */
#include <string.h>

#include "import/tflite.h"

/* n bytes at `at` are inside. */
static bool inside(fb *f, size_t at, size_t n)
{
    if (at <= f->size && n <= f->size - at)
        return true;
    f->bad = true;
    return false;
}

static uint64_t little(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static fb_table no_table(fb *f)
{
    return (fb_table){.f = f};
}

static fb_table table(fb *f, size_t at)
{
    fb_table t = {.f = f, .at = at};
    if (!inside(f, at, 4))
        return no_table(f);
    int64_t v = (int64_t)at - (int32_t)little(f->data + at, 4);
    if (v < 4 || !inside(f, (size_t)v, 4)) {
        f->bad = true;
        return no_table(f);
    }
    t.vtable = (size_t)v;
    unsigned bytes = (unsigned)little(f->data + v, 2);
    t.size = (uint16_t)little(f->data + v + 2, 2);
    if (bytes < 4 || bytes % 2 || t.size < 4 || !inside(f, t.vtable, bytes) ||
        !inside(f, at, t.size)) {
        f->bad = true;
        return no_table(f);
    }
    t.fields = (uint16_t)((bytes - 4) / 2);
    return t;
}

/* Where an offset points; 0 = out of the file. */
static size_t follow(fb *f, size_t at)
{
    if (!inside(f, at, 4))
        return 0;
    size_t to = at + (size_t)little(f->data + at, 4);
    return to > at && inside(f, to, 4) ? to : (f->bad = true, 0);
}

/* Where a field of that size lies; 0 = absent. */
static size_t place(fb_table t, unsigned field, size_t bytes)
{
    if (!t.vtable || field >= t.fields)
        return 0;
    size_t off = (size_t)little(t.f->data + t.vtable + 4 + 2 * (size_t)field, 2);
    if (off == 0)
        return 0;
    if (off < 4 || bytes > t.size || off > t.size - bytes) {
        t.f->bad = true;
        return 0;
    }
    return t.at + off;
}

fb_table fb_root(fb *f)
{
    size_t at = follow(f, 0);
    return at ? table(f, at) : no_table(f);
}

bool fb_has(fb_table t, unsigned field)
{
    return place(t, field, 1) != 0;
}

static int64_t number(const uint8_t *p, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;
    return (int64_t)(little(p, bytes) << shift) >> shift;
}

int64_t fb_int(fb_table t, unsigned field, unsigned bytes, int64_t fallback)
{
    size_t at = place(t, field, bytes);
    return at ? number(t.f->data + at, bytes) : fallback;
}

static float real(const uint8_t *p)
{
    uint32_t u = (uint32_t)little(p, 4);
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

float fb_float(fb_table t, unsigned field, float fallback)
{
    size_t at = place(t, field, 4);
    return at ? real(t.f->data + at) : fallback;
}

fb_table fb_sub(fb_table t, unsigned field)
{
    size_t at = place(t, field, 4);
    size_t to = at ? follow(t.f, at) : 0;
    return to ? table(t.f, to) : no_table(t.f);
}

fb_vector fb_items(fb_table t, unsigned field, size_t bytes)
{
    fb_vector v = {.f = t.f};
    size_t at = place(t, field, 4), total;
    size_t to = at ? follow(t.f, at) : 0;
    if (!to)
        return v;
    size_t n = (size_t)little(t.f->data + to, 4);
    if (!dv_mul(n, bytes, &total) || !inside(t.f, to + 4, total)) {
        t.f->bad = true;
        return v;
    }
    v.at = to + 4;
    v.n = n;
    return v;
}

int64_t fb_int_at(fb_vector v, size_t i, unsigned bytes)
{
    return number(v.f->data + v.at + i * bytes, bytes);
}

float fb_float_at(fb_vector v, size_t i)
{
    return real(v.f->data + v.at + 4 * i);
}

fb_table fb_table_at(fb_vector v, size_t i)
{
    size_t to = follow(v.f, v.at + 4 * i);
    return to ? table(v.f, to) : no_table(v.f);
}

bool fb_text(fb_table t, unsigned field, char *out, size_t size)
{
    fb_vector v = fb_items(t, field, 1);
    size_t n = DV_MIN(v.n, size - 1);
    if (n)
        memcpy(out, v.f->data + v.at, n);
    out[n] = 0;
    return v.n > 0;
}

/* ---- FlexBuffers ----
 * The last byte is the width of the root, the one before it its type, the root stands before
 * that. A map has its items, their types behind them, and before its size the offset and the
 * width of a vector of keys. */

enum { FLEX_INT = 1, FLEX_UINT = 2, FLEX_FLOAT = 3, FLEX_FAR = 6, FLEX_MAP = 9, FLEX_BOOL = 26 };

/* What an offset of `width` bytes at `at` points back to. */
static bool back(fb *f, size_t at, unsigned width, size_t *to)
{
    if (!inside(f, at, width))
        return false;
    uint64_t off = little(f->data + at, width);
    *to = at - (size_t)off;
    return off <= at;
}

static bool scalar(fb *f, size_t at, unsigned width, unsigned packed, double *out)
{
    unsigned type = packed >> 2;
    if (type >= FLEX_FAR && type < FLEX_FAR + 3) { /* an offset to a number of its own width */
        if (!back(f, at, width, &at))
            return false;
        width = 1u << (packed & 3);
        type -= FLEX_FAR - FLEX_INT;
    }
    if (!inside(f, at, width))
        return false;
    const uint8_t *p = f->data + at;
    if (type == FLEX_INT) {
        *out = (double)number(p, width);
    } else if (type == FLEX_UINT || type == FLEX_BOOL) {
        *out = (double)little(p, width);
    } else if (type == FLEX_FLOAT && width == 4) {
        *out = (double)real(p);
    } else if (type == FLEX_FLOAT && width == 8) {
        uint64_t u = little(p, 8);
        memcpy(out, &u, sizeof *out);
    } else {
        return false;
    }
    return true;
}

bool flex_number(const uint8_t *data, size_t size, const char *key, double *out)
{
    fb f = {.data = data, .size = size};
    size_t map, keys, length = strlen(key) + 1;
    if (size < 3)
        return false;
    unsigned root = data[size - 1], type = data[size - 2], w = 1u << (type & 3);
    if ((root != 1 && root != 2 && root != 4 && root != 8) || type >> 2 != FLEX_MAP ||
        size < 2 + root || !back(&f, size - 2 - root, root, &map) || map < 3 * (size_t)w)
        return false;
    uint64_t n = little(data + map - w, w), kw = little(data + map - 2 * w, w);
    if ((kw != 1 && kw != 2 && kw != 4 && kw != 8) || n > size ||
        !inside(&f, map, (size_t)n * w + (size_t)n) || !back(&f, map - 3 * w, w, &keys) ||
        !inside(&f, keys, (size_t)n * (size_t)kw))
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t at;
        if (!back(&f, keys + i * (size_t)kw, (unsigned)kw, &at) || !inside(&f, at, length))
            return false;
        if (memcmp(data + at, key, length) == 0)
            return scalar(&f, map + i * w, w, data[map + n * w + i], out);
    }
    return false;
}
