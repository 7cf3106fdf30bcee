/* SPDX-License-Identifier: Apache-2.0
 *
 * people.c - lists of people and labels. A line that cannot be meant so is an error with its
 * number: a list that is read wrongly gives figures that look right.
 */
#include "eval/people.h"

#include <string.h>

#include "eval/truth_priv.h"

#define MAX_FILE ((size_t)1 << 30)
#define MAX_LINES 50000000u
#define MAX_NAME 4096u
#define MAX_COLUMNS 16

/* ---- names ---- */

static uint64_t hash_bytes(const char *p, size_t n) /* FNV-1a */
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)p[i]) * 1099511628211u;
    return h ^ h >> 32;
}

static size_t slot_of(const dv_names *t, const char *p, size_t n)
{
    size_t at = hash_bytes(p, n) & (t->n_slots - 1);
    for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
        const char *have = t->v[t->slots[at] - 1];
        if (strncmp(have, p, n) == 0 && have[n] == 0)
            break;
    }
    return at;
}

static bool more_slots(dv_names *t)
{
    size_t n = t->n_slots ? t->n_slots * 2 : 64;
    dv_names now = {.v = t->v, .slots = dv_calloc(n, sizeof *t->slots), .n_slots = n};
    if (!now.slots)
        return false;
    for (size_t i = 0; i < t->n; i++)
        now.slots[slot_of(&now, t->v[i], strlen(t->v[i]))] = (uint32_t)i + 1;
    dv_free(t->slots);
    t->slots = now.slots;
    t->n_slots = n;
    return true;
}

bool dv_names_add(dv_names *t, const char *p, size_t n, uint32_t *number)
{
    if (t->n * 2 >= t->n_slots && !more_slots(t))
        return false;
    size_t at = slot_of(t, p, n);
    if (!t->slots[at]) {
        if (t->n >= UINT32_MAX - 1 || !dv_grow(&t->v, &t->cap, t->n, sizeof *t->v))
            return false;
        char *copy = dv_malloc(n + 1);
        if (!copy)
            return false;
        memcpy(copy, p, n);
        copy[n] = 0;
        t->v[t->n++] = copy;
        t->slots[at] = (uint32_t)t->n;
    }
    *number = t->slots[at] - 1;
    return true;
}

uint32_t dv_names_find(const dv_names *t, const char *p, size_t n)
{
    if (!t->n_slots)
        return DV_NO_NAME;
    size_t at = slot_of(t, p, n);
    return t->slots[at] ? t->slots[at] - 1 : DV_NO_NAME;
}

void dv_names_free(dv_names *t)
{
    for (size_t i = 0; i < t->n; i++)
        dv_free(t->v[i]);
    dv_free(t->v);
    dv_free(t->slots);
    memset(t, 0, sizeof *t);
}

/* ---- lines ---- */

typedef struct field {
    const char *p;
    size_t n;
} field;

/* A file, line by line. */
typedef struct lines {
    const char *name, *at, *end;
    size_t number;
    dv_err *e;
} lines;

static dmv_status bad(const lines *l, const char *what)
{
    return dv_fail(l->e, DMV_ERR_FORMAT, "%s: line %zu: %s", l->name, l->number, what);
}

/* The next line that is not empty, cut at tabs; the number of fields, max + 1 if there are more;
 * 0 at the end. */
static size_t next_line(lines *l, field *f, size_t max)
{
    while (l->at < l->end) {
        const char *p = l->at, *nl = memchr(p, '\n', (size_t)(l->end - p));
        size_t n = (size_t)((nl ? nl : l->end) - p), count = 0;
        l->at = nl ? nl + 1 : l->end;
        l->number++;
        if (n && p[n - 1] == '\r')
            n--;
        if (n == 0)
            continue;
        for (const char *stop = p + n;; count++) {
            const char *tab = memchr(p, '\t', (size_t)(stop - p));
            if (count == max)
                return max + 1;
            f[count] = (field){p, (size_t)((tab ? tab : stop) - p)};
            if (!tab)
                return count + 1;
            p = tab + 1;
        }
    }
    return 0;
}

static dmv_status open_lines(const char *path, uint8_t **data, lines *l, dv_err *e)
{
    size_t size;
    dmv_status s = dv_read_file(path, MAX_FILE, data, &size, e);
    if (s)
        return s;
    *l =
        (lines){.name = path, .at = (const char *)*data, .end = (const char *)*data + size, .e = e};
    if (memchr(*data, 0, size)) {
        dv_free(*data);
        *data = NULL;
        return dv_fail(e, DMV_ERR_FORMAT, "%s: not a text file", path);
    }
    if (size >= 3 && memcmp(*data, "\xEF\xBB\xBF", 3) == 0)
        l->at += 3;
    return DMV_OK;
}

/* ---- people ---- */

static dmv_status push(dv_people *p, uint32_t subject, const char *path, size_t n, dv_err *e)
{
    if (p->n >= MAX_LINES)
        return dv_fail(e, DMV_ERR_LIMIT, "more than %u lines", MAX_LINES);
    if (!dv_grow(&p->subject, &p->cap, p->n, sizeof *p->subject) ||
        !dv_grow(&p->path, &p->cap_paths, p->n, sizeof *p->path))
        return dv_nomem(e);
    char *copy = NULL;
    if (path) {
        copy = dv_malloc(n + 1);
        if (!copy)
            return dv_nomem(e);
        memcpy(copy, path, n);
        copy[n] = 0;
    }
    p->subject[p->n] = subject;
    p->path[p->n++] = copy;
    return DMV_OK;
}

dmv_status dv_people_push(dv_people *p, uint32_t subject, const char *path, dv_err *e)
{
    return push(p, subject, path, path ? strlen(path) : 0, e);
}

void dv_people_free(dv_people *p)
{
    for (size_t i = 0; i < p->n; i++)
        dv_free(p->path[i]);
    dv_free(p->path);
    dv_free(p->subject);
    memset(p, 0, sizeof *p);
}

typedef struct loader {
    lines l;
    dv_names *names, seen; /* seen: paths */
    dv_people *out;
} loader;

static dmv_status take_person(loader *o, field subject, field path)
{
    uint32_t number = DV_NO_NAME, at;
    size_t before = o->seen.n;
    if (subject.p && (subject.n == 0 || subject.n > MAX_NAME))
        return bad(&o->l, "the subject has no name, or one of more than 4,096 bytes");
    if (subject.p && !dv_names_add(o->names, subject.p, subject.n, &number))
        return dv_nomem(o->l.e);
    if (!path.p)
        return push(o->out, number, NULL, 0, o->l.e);
    if (path.n == 0 || path.n > MAX_NAME)
        return bad(&o->l, "the path is empty, or longer than 4,096 bytes");
    if (!dv_names_add(&o->seen, path.p, path.n, &at))
        return dv_nomem(o->l.e);
    if (o->seen.n == before)
        return dv_fail(o->l.e, DMV_ERR_FORMAT, "%s: line %zu: %s is there already%s", o->l.name,
                       o->l.number, o->seen.v[at],
                       o->out->n > at && o->out->subject[at] != number ? " under another subject"
                                                                       : "");
    return push(o->out, number, path.p, path.n, o->l.e);
}

static dmv_status load_lines(loader *o, dv_line_kind kind)
{
    static const char *const want[] = {
        "expected subject<TAB>path",
        "expected subject or subject<TAB>path, the same on every line",
        "expected path or subject<TAB>path, the same on every line",
    };
    const field none = {NULL, 0};
    field f[2];
    dmv_status s = DMV_OK;
    size_t fields = 0;
    for (size_t n; !s && (n = next_line(&o->l, f, 2));) {
        fields = o->out->n ? fields : n;
        if (n > 2 || n != fields || (n == 1 && kind == DV_LINES_BOTH))
            return bad(&o->l, want[kind]);
        if (n == 1 && kind == DV_LINES_PATH)
            s = take_person(o, none, f[0]);
        else
            s = take_person(o, f[0], n == 2 ? f[1] : none);
    }
    return s;
}

/* MegaFace's lists: an object of arrays of strings. The two arrays may come in either order, so
 * they are read on their own. */
typedef struct strings {
    dv_buf text; /* one after the other, each with its zero */
    size_t n;
    bool seen;
} strings;

static bool json_array(dv_json *j, const char *key, strings *out)
{
    char word[MAX_NAME + 1];
    if (out->seen)
        return dv_json_bad(j, "\"%s\" is there twice", key), false;
    out->seen = true;
    if (!dv_json_open(j, '['))
        return false;
    while (dv_json_element(j)) {
        if (!dv_json_string(j, word, sizeof word))
            return false;
        dv_buf_put(&out->text, word, strlen(word) + 1);
        out->n++;
    }
    return true;
}

static dmv_status json_object(const lines *l, strings *id, strings *path)
{
    char key[64];
    dv_json j = {.p = l->at, .end = l->end, .path = l->name, .line = 1, .e = l->e};
    dv_json_open(&j, '{');
    while (dv_json_member(&j, key)) {
        if (strcmp(key, "id") == 0)
            json_array(&j, key, id);
        else if (strcmp(key, "path") == 0)
            json_array(&j, key, path);
        else
            dv_json_skip(&j);
    }
    dv_json_end(&j);
    return !j.status && (id->text.bad || path->text.bad) ? dv_nomem(l->e) : j.status;
}

static dmv_status load_json(loader *o, dv_line_kind kind)
{
    strings id = {.n = 0}, path = {.n = 0};
    dmv_status s = json_object(&o->l, &id, &path);
    o->l.number = 1; /* of what is found below only the file is known */
    bool ids = id.n || kind != DV_LINES_PATH, paths = path.n || kind != DV_LINES_SUBJECT;
    if (!s && ids && paths && id.n != path.n)
        s = dv_fail(o->l.e, DMV_ERR_FORMAT,
                    "%s: %zu of \"id\" and %zu of \"path\"; every picture needs both", o->l.name,
                    id.n, path.n);
    const char *i = (const char *)id.text.data, *p = (const char *)path.text.data;
    for (size_t k = 0; k < DV_MAX(id.n, path.n) && !s; k++) {
        s = take_person(o, ids ? (field){i, strlen(i)} : (field){NULL, 0},
                        paths ? (field){p, strlen(p)} : (field){NULL, 0});
        if (ids)
            i += strlen(i) + 1;
        if (paths)
            p += strlen(p) + 1;
    }
    dv_buf_free(&id.text);
    dv_buf_free(&path.text);
    return s;
}

dmv_status dv_people_load(const char *path, dv_line_kind kind, dv_names *names, dv_people *out,
                          dv_err *e)
{
    uint8_t *data = NULL;
    loader o = {.names = names, .out = out};
    memset(out, 0, sizeof *out);
    dmv_status s = open_lines(path, &data, &o.l, e);
    if (s)
        return s;
    s = o.l.at < o.l.end && *o.l.at == '{' ? load_json(&o, kind) : load_lines(&o, kind);
    if (!s && out->n == 0)
        s = dv_fail(e, DMV_ERR_FORMAT, "%s: nobody in it; lines are subject<TAB>path", path);
    dv_names_free(&o.seen);
    dv_free(data);
    if (s)
        dv_people_free(out);
    return s;
}

/* ---- labels ---- */

static dmv_status take_labels(dv_labels *o, const lines *l, const field *f)
{
    uint32_t key;
    size_t before = o->keys.n, room = o->cap;
    if (f[0].n == 0)
        return bad(l, "the path or subject is empty");
    if (!dv_names_add(&o->keys, f[0].p, f[0].n, &key))
        return dv_nomem(l->e);
    if (o->keys.n == before)
        return dv_fail(l->e, DMV_ERR_FORMAT, "%s: line %zu: %s has labels already", l->name,
                       l->number, o->keys.v[key]);
    if (!dv_grow(&o->group, &room, before, o->columns * sizeof *o->group))
        return dv_nomem(l->e);
    o->cap = room;
    for (size_t c = 0; c < o->columns; c++) {
        uint32_t *to = &o->group[before * o->columns + c];
        *to = DV_NO_NAME;
        if (f[c + 1].n && !dv_names_add(&o->groups[c], f[c + 1].p, f[c + 1].n, to))
            return dv_nomem(l->e);
    }
    return DMV_OK;
}

static dmv_status take_titles(dv_labels *o, const lines *l, const field *f)
{
    for (size_t c = 0; c < o->columns; c++) {
        uint32_t number;
        if (f[c + 1].n == 0)
            return bad(l, "a column without a title");
        if (!dv_names_add(&o->titles, f[c + 1].p, f[c + 1].n, &number))
            return dv_nomem(l->e);
        if (number != c)
            return bad(l, "two columns have the same title");
    }
    return DMV_OK;
}

dmv_status dv_labels_load(const char *path, dv_labels *out, dv_err *e)
{
    uint8_t *data = NULL;
    lines l;
    field f[MAX_COLUMNS + 1];
    memset(out, 0, sizeof *out);
    dmv_status s = open_lines(path, &data, &l, e);
    if (s)
        return s;
    for (size_t n; !s && (n = next_line(&l, f, DV_COUNT(f)));) {
        bool titles = !out->columns && f[0].n && f[0].p[0] == '#';
        if (n < 2 || n > DV_COUNT(f)) {
            s = bad(&l, "expected path or subject<TAB>group, with at most 16 groups");
        } else if (!out->columns) {
            out->columns = n - 1;
            out->groups = dv_calloc(out->columns, sizeof *out->groups);
            s = out->groups ? DMV_OK : dv_nomem(e);
        } else if (n - 1 != out->columns) {
            s = bad(&l, "not as many groups as in the first line");
        }
        if (!s)
            s = titles ? take_titles(out, &l, f) : take_labels(out, &l, f);
    }
    if (!s && !out->keys.n)
        s = dv_fail(e, DMV_ERR_FORMAT, "%s: no labels in it; lines are path or subject<TAB>group",
                    path);
    dv_free(data);
    if (s)
        dv_labels_free(out);
    return s;
}

void dv_labels_free(dv_labels *l)
{
    dv_names_free(&l->keys);
    dv_names_free(&l->titles);
    for (size_t c = 0; l->groups && c < l->columns; c++)
        dv_names_free(&l->groups[c]);
    dv_free(l->groups);
    dv_free(l->group);
    memset(l, 0, sizeof *l);
}
