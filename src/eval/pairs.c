/* SPDX-License-Identifier: Apache-2.0
 *
 * pairs.c - reads the two common kinds of pair lists.
 *
 * LFW's: a line "FOLDS N", then for every fold N lines "NAME A B" (same person) and N
 * lines "NAME1 A NAME2 B"; picture A of NAME is NAME/NAME_000A.jpg. Ours: lines
 * "picture<TAB>picture<TAB>1 or 0" in ten folds of equal length, one after the other.
 * A list that is a line short or has a pair twice gives figures that look right and are
 * not, so both are errors. The same two pictures in the other order are allowed (CFP's
 * official lists have such), unless the two lines contradict each other.
 */
#include "eval/eval.h"

#include <string.h>

#define MAX_FILE ((size_t)256 << 20)
#define MAX_PAIRS 4000000u
#define MAX_FOLDS 1000u
#define MAX_NAME 1024u
#define MAX_FIELDS 5 /* one more than any line may have */

typedef struct loader {
    dv_pairs *out;
    const char *path;
    size_t line, cap_pairs, cap_names;
    uint32_t *slots; /* open addressing: number of a name + 1, 0 = free */
    size_t n_slots;  /* power of two */
    dv_err *e;
} loader;

typedef struct field {
    const char *p;
    size_t n;
} field;

static dmv_status bad(loader *l, const char *what)
{
    return dv_fail(l->e, DMV_ERR_FORMAT, "%s: line %zu: %s", l->path, l->line, what);
}

static uint64_t hash_bytes(const char *p, size_t n) /* FNV-1a */
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)p[i]) * 1099511628211u;
    return h ^ h >> 32;
}

static bool more_slots(loader *l)
{
    size_t n = l->n_slots ? l->n_slots * 2 : 1024;
    uint32_t *s = dv_calloc(n, sizeof *s);
    if (!s)
        return false;
    for (size_t i = 0; i < l->out->n_names; i++) {
        const char *name = l->out->names[i];
        size_t at = hash_bytes(name, strlen(name)) & (n - 1);
        while (s[at])
            at = (at + 1) & (n - 1);
        s[at] = (uint32_t)i + 1;
    }
    dv_free(l->slots);
    l->slots = s;
    l->n_slots = n;
    return true;
}

/* Names are joined to the image folder, so they must stay inside it. */
static const char *name_fault(const char *p, size_t n)
{
    if (n == 0)
        return "a picture has no name";
    if (n > MAX_NAME)
        return "a name is longer than 1,024 bytes";
    if (p[0] == '/')
        return "names must be relative to the image folder, not start with '/'";
    for (size_t i = 0; i < n;) {
        size_t j = i;
        while (j < n && p[j] != '/')
            j++;
        if (j - i == 2 && p[i] == '.' && p[i + 1] == '.')
            return "names must stay inside the image folder: '..' is not allowed";
        i = j + 1;
    }
    return NULL;
}

static dmv_status intern(loader *l, const char *p, size_t n, uint32_t *number)
{
    const char *fault = name_fault(p, n);
    if (fault)
        return bad(l, fault);
    if (l->out->n_names * 2 >= l->n_slots && !more_slots(l))
        return dv_nomem(l->e);
    size_t at = hash_bytes(p, n) & (l->n_slots - 1);
    for (; l->slots[at]; at = (at + 1) & (l->n_slots - 1)) {
        const char *have = l->out->names[l->slots[at] - 1];
        if (strlen(have) == n && memcmp(have, p, n) == 0) {
            *number = l->slots[at] - 1;
            return DMV_OK;
        }
    }
    if (!dv_grow(&l->out->names, &l->cap_names, l->out->n_names, sizeof *l->out->names))
        return dv_nomem(l->e);
    char *copy = dv_malloc(n + 1);
    if (!copy)
        return dv_nomem(l->e);
    memcpy(copy, p, n);
    copy[n] = 0;
    l->out->names[l->out->n_names] = copy;
    *number = (uint32_t)l->out->n_names++;
    l->slots[at] = *number + 1;
    return DMV_OK;
}

static dmv_status push(loader *l, const char *a, size_t an, const char *b, size_t bn, bool same)
{
    dv_pair p = {.same = same};
    dmv_status s = intern(l, a, an, &p.a);
    if (!s)
        s = intern(l, b, bn, &p.b);
    if (s)
        return s;
    if (p.a == p.b)
        return bad(l, "a picture is compared with itself");
    if (l->out->n >= MAX_PAIRS)
        return dv_fail(l->e, DMV_ERR_LIMIT, "%s: more than %u pairs", l->path, MAX_PAIRS);
    if (!dv_grow(&l->out->pair, &l->cap_pairs, l->out->n, sizeof p))
        return dv_nomem(l->e);
    l->out->pair[l->out->n++] = p;
    return DMV_OK;
}

/* Splits a line at sep (tabs, or any white space); the count, MAX_FIELDS if there are more. */
static size_t split(const char *p, size_t n, bool tabs, field *f)
{
    size_t count = 0, i = 0;
    while (count < MAX_FIELDS) {
        if (!tabs)
            while (i < n && (p[i] == ' ' || p[i] == '\t'))
                i++;
        if (!tabs && i >= n)
            break;
        size_t j = i;
        while (j < n && p[j] != '\t' && (tabs || p[j] != ' '))
            j++;
        f[count++] = (field){p + i, j - i};
        if (j >= n)
            break;
        i = j + 1;
    }
    return count;
}

static bool number(field f, uint32_t max, uint32_t *out)
{
    uint32_t v = 0;
    if (f.n == 0 || f.n > 9)
        return false;
    for (size_t i = 0; i < f.n; i++) {
        if (f.p[i] < '0' || f.p[i] > '9')
            return false;
        v = v * 10 + (uint32_t)(f.p[i] - '0');
    }
    *out = v;
    return v >= 1 && v <= max;
}

/* NAME and number to NAME/NAME_0001.jpg. */
static bool lfw_name(field name, field no, char *buf, size_t size, size_t *n)
{
    uint32_t v;
    if (name.n == 0 || name.n > (MAX_NAME - 16) / 2 || !number(no, 999999, &v) ||
        memchr(name.p, '/', name.n))
        return false;
    int len =
        snprintf(buf, size, "%.*s/%.*s_%04u.jpg", (int)name.n, name.p, (int)name.n, name.p, v);
    *n = (size_t)len;
    return len > 0 && (size_t)len < size;
}

static dmv_status lfw_line(loader *l, const char *p, size_t n, uint32_t per_fold)
{
    field f[MAX_FIELDS];
    size_t count = split(p, n, memchr(p, '\t', n) != NULL, f);
    bool same = l->out->n / per_fold % 2 == 0;
    if (count != (same ? 3u : 4u))
        return bad(l, same ? "expected NAME A B (two pictures of one person)"
                           : "expected NAME A NAME B (pictures of two people)");
    char a[MAX_NAME + 1], b[MAX_NAME + 1];
    size_t an, bn;
    if (!lfw_name(f[0], f[1], a, sizeof a, &an) ||
        !lfw_name(same ? f[0] : f[2], same ? f[2] : f[3], b, sizeof b, &bn))
        return bad(l, "a name or the number of a picture is not valid");
    if (!same && f[0].n == f[2].n && memcmp(f[0].p, f[2].p, f[0].n) == 0)
        return bad(l, "a pair of different people has the same name twice");
    return push(l, a, an, b, bn, same);
}

static dmv_status tab_line(loader *l, const char *p, size_t n)
{
    field f[MAX_FIELDS];
    size_t count = split(p, n, true, f);
    if (count != 3 || f[2].n != 1 || (f[2].p[0] != '0' && f[2].p[0] != '1'))
        return bad(l, "expected picture<TAB>picture<TAB>1 or 0, or LFW's first line FOLDS N");
    return push(l, f[0].p, f[0].n, f[1].p, f[1].n, f[2].p[0] == '1');
}

/* Every pair once. A table of pair numbers hashed by the two pictures in either order. */
static dmv_status check_duplicates(loader *l)
{
    const dv_pairs *o = l->out;
    size_t n = 16;
    while (n < o->n * 2)
        n *= 2;
    uint32_t *t = dv_calloc(n, sizeof *t);
    if (!t)
        return dv_nomem(l->e);
    for (size_t i = 0; i < o->n; i++) {
        dv_pair p = o->pair[i];
        uint64_t lo = DV_MIN(p.a, p.b), hi = DV_MAX(p.a, p.b);
        uint64_t h = (hi << 32 | lo) * 0x9E3779B97F4A7C15u;
        size_t at = (h >> 20) & (n - 1);
        for (; t[at]; at = (at + 1) & (n - 1)) {
            dv_pair q = o->pair[t[at] - 1];
            bool exact = q.a == p.a && q.b == p.b, swapped = q.a == p.b && q.b == p.a;
            if (exact || (swapped && q.same != p.same)) {
                dv_fail(l->e, DMV_ERR_FORMAT, "%s: pair %zu (%s, %s) %s pair %u", l->path, i + 1,
                        o->names[p.a], o->names[p.b],
                        q.same != p.same ? "contradicts" : "is the same as", t[at]);
                dv_free(t);
                return DMV_ERR_FORMAT;
            }
        }
        t[at] = (uint32_t)i + 1;
    }
    dv_free(t);
    return DMV_OK;
}

static dmv_status load(loader *l, const char *text, size_t size)
{
    dv_pairs *o = l->out;
    uint32_t folds = 0, per_fold = 0;
    bool first = true;
    dmv_status s = DMV_OK;
    if (memchr(text, 0, size))
        return dv_fail(l->e, DMV_ERR_FORMAT, "%s: not a text file", l->path);
    for (size_t at = 0; at < size && !s;) {
        const char *p = text + at, *nl = memchr(p, '\n', size - at);
        size_t n = nl ? (size_t)(nl - p) : size - at;
        at += n + 1;
        l->line++;
        if (n && p[n - 1] == '\r')
            n--;
        if (n == 0)
            continue;
        if (first) {
            field f[MAX_FIELDS];
            first = false;
            if (p[0] >= '0' && p[0] <= '9' && split(p, n, false, f) == 2) {
                if (!number(f[0], MAX_FOLDS, &folds) || !number(f[1], MAX_PAIRS, &per_fold))
                    return bad(l, "expected FOLDS N, two numbers");
                continue;
            }
        }
        if (per_fold && o->n == (size_t)folds * per_fold * 2)
            return bad(l, "more pairs than the first line says");
        s = per_fold ? lfw_line(l, p, n, per_fold) : tab_line(l, p, n);
    }
    if (s)
        return s;
    if (o->n == 0)
        return dv_fail(l->e, DMV_ERR_FORMAT, "%s: no pairs in it", l->path);
    o->folds = per_fold ? folds : 10;
    if (per_fold && o->n != (size_t)folds * per_fold * 2)
        return dv_fail(l->e, DMV_ERR_FORMAT,
                       "%s: ends after %zu pairs; its first line says %u folds of 2 x %u", l->path,
                       o->n, folds, per_fold);
    if (o->n % o->folds)
        return dv_fail(l->e, DMV_ERR_FORMAT,
                       "%s: %zu pairs do not make ten folds of equal length; add or drop lines",
                       l->path, o->n);
    return check_duplicates(l);
}

dmv_status dv_pairs_load(const char *path, dv_pairs *out, dv_err *e)
{
    uint8_t *data = NULL;
    size_t size = 0;
    memset(out, 0, sizeof *out);
    dmv_status s = dv_read_file(path, MAX_FILE, &data, &size, e);
    if (s)
        return s;
    loader l = {.out = out, .path = path, .e = e};
    s = load(&l, (const char *)data, size);
    dv_free(l.slots);
    dv_free(data);
    if (s)
        dv_pairs_free(out);
    return s;
}

void dv_pairs_free(dv_pairs *p)
{
    for (size_t i = 0; i < p->n_names; i++)
        dv_free(p->names[i]);
    dv_free(p->names);
    dv_free(p->pair);
    memset(p, 0, sizeof *p);
}
