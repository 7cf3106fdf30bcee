/* SPDX-License-Identifier: Apache-2.0
 *
 * bin.c - a pickle reader for two lists and nothing else.
 *
 * The instructions run on a stack of values that only point into the file. Memory stays in
 * proportion to the file: every instruction of at least one byte adds at most one value.
 */
#include "eval/bin.h"

#include <string.h>

#define FOLDS 10
#define MAX_PICTURES 4000000u
#define MAX_LISTS 8

enum { IS_MARK, IS_BYTES, IS_BOOL, IS_LIST, IS_PAIR };

typedef struct value {
    uint8_t kind;
    bool truth;        /* IS_BOOL */
    uint32_t list;     /* IS_LIST: number; IS_PAIR: number of the first of the two */
    uint32_t second;   /* IS_PAIR; IS_BYTES: number of the instruction that made it */
    const uint8_t *at; /* IS_BYTES */
    size_t size;
} value;

typedef struct values {
    value *v;
    size_t n, cap;
} values;

typedef struct machine {
    const uint8_t *start;
    dv_reader r;
    const char *name;
    values stack, memo, list[MAX_LISTS];
    size_t n_lists;
    uint32_t n_bytes; /* pictures made so far */
    dv_err *e;
} machine;

static dmv_status bad(machine *m, size_t at, const char *what)
{
    return dv_fail(m->e, DMV_ERR_FORMAT, "%s: byte %zu: %s", m->name, at, what);
}

static dmv_status push(machine *m, values *to, value v)
{
    if (!dv_grow(&to->v, &to->cap, to->n, sizeof v))
        return dv_nomem(m->e);
    to->v[to->n++] = v;
    return DMV_OK;
}

/* ---- instructions ---- */

/* The name of an instruction that is refused, for the message. */
static const char *refused_name(uint8_t op)
{
    switch (op) {
    case 'c':
    case 0x93:
        return "GLOBAL (it would import Python code)";
    case 'R':
    case 'i':
    case 'o':
    case 0x81:
    case 0x92:
        return "REDUCE (it would call Python code)";
    case 'b':
        return "BUILD (it would set up a Python object)";
    case 'P':
    case 'Q':
        return "PERSID";
    case 'X':
    case 0x8c:
    case 0x8d:
    case 'V':
        return "UNICODE text";
    case 'I':
    case 'J':
    case 'K':
    case 'L':
    case 'M':
    case 0x8a:
    case 0x8b:
        return "a number";
    case '(':
        return "MARK";
    case '}':
    case 'd':
    case 's':
    case 'u':
        return "a dictionary";
    case 'N':
        return "None";
    case 'S':
        return "STRING of protocol 0";
    default:
        return "unknown";
    }
}

static dmv_status refuse(machine *m, size_t at, uint8_t op)
{
    return dv_fail(
        m->e, DMV_ERR_FORMAT,
        "%s: byte %zu: pickle instruction 0x%02x, %s, has no place in a list of pictures "
        "and booleans; nothing was executed. Write the set again from Python 3: "
        "pickle.dump((list_of_bytes, list_of_bools), file, protocol=4)",
        m->name, at, op, refused_name(op));
}

static dmv_status push_bytes(machine *m, size_t at, uint64_t n)
{
    const uint8_t *p = n <= SIZE_MAX ? dv_rd_bytes(&m->r, (size_t)n) : NULL;
    if (!p)
        return bad(m, at, "a picture reaches past the end of the file; fetch the file again");
    if (m->n_bytes >= MAX_PICTURES)
        return dv_fail(m->e, DMV_ERR_LIMIT, "%s: more than %u pictures", m->name, MAX_PICTURES);
    return push(m, &m->stack,
                (value){.kind = IS_BYTES, .second = m->n_bytes++, .at = p, .size = (size_t)n});
}

static dmv_status remember(machine *m, size_t at, uint64_t slot)
{
    if (m->stack.n == 0 || m->stack.v[m->stack.n - 1].kind == IS_MARK)
        return bad(m, at, "the pickle remembers a value that is not there");
    /* Writers number from 0 or 1 on without gaps. */
    if (slot > m->memo.n + 1)
        return bad(m, at, "the pickle remembers values out of order");
    value top = m->stack.v[m->stack.n - 1];
    dmv_status s = DMV_OK;
    while (!s && m->memo.n <= slot)
        s = push(m, &m->memo, (value){.kind = IS_MARK});
    if (!s)
        m->memo.v[slot] = top;
    return s;
}

static dmv_status recall(machine *m, size_t at, uint64_t slot)
{
    if (slot >= m->memo.n || m->memo.v[slot].kind == IS_MARK)
        return bad(m, at, "the pickle recalls a value that it never remembered");
    return push(m, &m->stack, m->memo.v[slot]);
}

static dmv_status new_list(machine *m, size_t at)
{
    if (m->n_lists == MAX_LISTS)
        return bad(m, at, "more than two lists: this is no verification set");
    return push(m, &m->stack, (value){.kind = IS_LIST, .list = (uint32_t)m->n_lists++});
}

/* Moves the values from `first` on into the list below them; skip: a mark lies between. */
static dmv_status append(machine *m, size_t at, size_t first, size_t skip)
{
    values *s = &m->stack;
    if (first < skip + 1 || s->v[first - skip - 1].kind != IS_LIST)
        return bad(m, at, "the pickle appends to what is no list");
    values *to = &m->list[s->v[first - skip - 1].list];
    dmv_status st = DMV_OK;
    for (size_t i = first; !st && i < s->n; i++) {
        if (s->v[i].kind != IS_BYTES && s->v[i].kind != IS_BOOL)
            return bad(m, at, "a list holds something other than pictures and booleans");
        if (to->n && to->v[0].kind != s->v[i].kind)
            return bad(m, at, "a list holds pictures and booleans mixed");
        if (to->n >= MAX_PICTURES)
            return dv_fail(m->e, DMV_ERR_LIMIT, "%s: more than %u pictures", m->name, MAX_PICTURES);
        st = push(m, to, s->v[i]);
    }
    s->n = first - skip;
    return st;
}

static dmv_status append_marked(machine *m, size_t at)
{
    size_t i = m->stack.n;
    while (i > 0 && m->stack.v[i - 1].kind != IS_MARK)
        i--;
    return i ? append(m, at, i, 1) : bad(m, at, "the pickle appends without a mark");
}

static dmv_status pair_up(machine *m, size_t at)
{
    values *s = &m->stack;
    if (s->n < 2 || s->v[s->n - 1].kind != IS_LIST || s->v[s->n - 2].kind != IS_LIST)
        return bad(m, at, "expected a pair of two lists, pictures and booleans");
    value both = {.kind = IS_PAIR, .list = s->v[s->n - 2].list, .second = s->v[s->n - 1].list};
    s->n -= 2;
    return push(m, s, both);
}

/* One instruction; *done after STOP. */
static dmv_status step(machine *m, bool *done)
{
    size_t at = (size_t)(m->r.p - m->start);
    uint8_t op = dv_rd_u8(&m->r);
    if (m->r.bad)
        return bad(m, at, "the pickle ends without STOP; fetch the file again");
    switch (op) {
    case 0x80: { /* PROTO */
        uint8_t version = dv_rd_u8(&m->r);
        return version >= 2 && version <= 5 ? DMV_OK : bad(m, at, "a protocol other than 2 to 5");
    }
    case 0x95: /* FRAME: a hint for readers from a stream */
        dv_rd_u64(&m->r);
        return DMV_OK;
    case '(':
        return push(m, &m->stack, (value){.kind = IS_MARK});
    case ']':
        return new_list(m, at);
    case 'a':
        return m->stack.n ? append(m, at, m->stack.n - 1, 0) : bad(m, at, "nothing to append");
    case 'e':
        return append_marked(m, at);
    case 'B': /* BINBYTES; T is its name in Python 2 */
    case 'T':
        return push_bytes(m, at, dv_rd_u32(&m->r));
    case 'C':
    case 'U':
        return push_bytes(m, at, dv_rd_u8(&m->r));
    case 0x8e:
        return push_bytes(m, at, dv_rd_u64(&m->r));
    case 0x88:
    case 0x89:
        return push(m, &m->stack, (value){.kind = IS_BOOL, .truth = op == 0x88});
    case 'q':
        return remember(m, at, dv_rd_u8(&m->r));
    case 'r':
        return remember(m, at, dv_rd_u32(&m->r));
    case 0x94:
        return remember(m, at, m->memo.n);
    case 'h':
        return recall(m, at, dv_rd_u8(&m->r));
    case 'j':
        return recall(m, at, dv_rd_u32(&m->r));
    case 0x86:
        return pair_up(m, at);
    case '.':
        *done = true;
        return DMV_OK;
    default:
        return refuse(m, at, op);
    }
}

/* ---- pairs ---- */

typedef struct entry {
    uint8_t sum[32];
    uint32_t number; /* + 1 */
} entry;

/* Equal pictures get one number. A picture that the pickle recalls again and again is not hashed
 * again: `seen` has the number of each that was made, + 1. */
static dmv_status number_pictures(machine *m, const values *list, uint32_t *number, dv_bin *out)
{
    size_t slots = 16;
    while (slots < list->n * 2)
        slots *= 2;
    entry *table = dv_calloc(slots, sizeof *table);
    uint32_t *seen = dv_calloc(DV_MAX(m->n_bytes, 1), sizeof *seen);
    out->picture = dv_calloc(list->n, sizeof *out->picture);
    out->pairs.names = dv_calloc(list->n, sizeof *out->pairs.names);
    dmv_status s = table && seen && out->picture && out->pairs.names ? DMV_OK : dv_nomem(m->e);
    for (size_t i = 0; !s && i < list->n; i++) {
        uint8_t sum[32];
        uint64_t h;
        dv_sha256 hash;
        uint32_t made = list->v[i].second;
        if (seen[made]) {
            number[i] = seen[made] - 1;
            continue;
        }
        dv_sha256_init(&hash);
        dv_sha256_update(&hash, list->v[i].at, list->v[i].size);
        dv_sha256_final(&hash, sum);
        memcpy(&h, sum, sizeof h);
        size_t at = (size_t)h & (slots - 1);
        while (table[at].number && memcmp(table[at].sum, sum, 32) != 0)
            at = (at + 1) & (slots - 1);
        if (!table[at].number) {
            size_t k = out->pairs.n_names, size = strlen(m->name) + 40;
            char *name = dv_malloc(size);
            if (!name) {
                s = dv_nomem(m->e);
                break;
            }
            snprintf(name, size, "%s picture %zu", m->name, i + 1);
            memcpy(table[at].sum, sum, 32);
            table[at].number = (uint32_t)k + 1;
            out->picture[k] = (dv_bin_picture){list->v[i].at, list->v[i].size};
            out->pairs.names[k] = name;
            out->pairs.n_names++;
        }
        number[i] = table[at].number - 1;
        seen[made] = table[at].number;
    }
    dv_free(seen);
    dv_free(table);
    return s;
}

static dmv_status count_repeated(machine *m, dv_bin *out)
{
    const dv_pairs *p = &out->pairs;
    size_t slots = 16;
    while (slots < p->n * 2)
        slots *= 2;
    uint32_t *table = dv_calloc(slots, sizeof *table);
    if (!table)
        return dv_nomem(m->e);
    for (size_t i = 0; i < p->n; i++) {
        dv_pair q = p->pair[i];
        out->with_itself += q.a == q.b;
        uint64_t lo = DV_MIN(q.a, q.b), hi = DV_MAX(q.a, q.b);
        uint64_t h = (hi << 32 | lo) * 0x9E3779B97F4A7C15u;
        size_t at = (h >> 20) & (slots - 1);
        for (; table[at]; at = (at + 1) & (slots - 1)) {
            dv_pair o = p->pair[table[at] - 1];
            if (DV_MIN(o.a, o.b) != lo || DV_MAX(o.a, o.b) != hi)
                continue;
            out->repeated++;
            out->contradicting += o.same != q.same;
            break;
        }
        if (!table[at])
            table[at] = (uint32_t)i + 1;
    }
    dv_free(table);
    return DMV_OK;
}

static dmv_status make_pairs(machine *m, dv_bin *out)
{
    if (m->stack.n != 1 || m->stack.v[0].kind != IS_PAIR)
        return dv_fail(m->e, DMV_ERR_FORMAT, "%s: expected one pair of two lists in it", m->name);
    const values *pic = &m->list[m->stack.v[0].list], *same = &m->list[m->stack.v[0].second];
    if (pic->n == 0 || same->n == 0 || pic->v[0].kind != IS_BYTES || same->v[0].kind != IS_BOOL)
        return dv_fail(m->e, DMV_ERR_FORMAT,
                       "%s: expected a list of pictures and a list of booleans", m->name);
    if (pic->n != same->n * 2)
        return dv_fail(m->e, DMV_ERR_FORMAT, "%s: %zu pictures and %zu booleans: not two to one",
                       m->name, pic->n, same->n);
    if (same->n % FOLDS)
        return dv_fail(m->e, DMV_ERR_FORMAT, "%s: %zu pairs do not make ten folds of equal length",
                       m->name, same->n);
    uint32_t *number = dv_calloc(pic->n, sizeof *number);
    out->pairs.pair = dv_calloc(same->n, sizeof *out->pairs.pair);
    dmv_status s =
        number && out->pairs.pair ? number_pictures(m, pic, number, out) : dv_nomem(m->e);
    out->pairs.n = same->n;
    out->pairs.folds = FOLDS;
    for (size_t i = 0; !s && i < same->n; i++)
        out->pairs.pair[i] = (dv_pair){number[2 * i], number[2 * i + 1], same->v[i].truth};
    dv_free(number);
    return s ? s : count_repeated(m, out);
}

dmv_status dv_bin_parse(const uint8_t *data, size_t size, const char *name, dv_bin *out, dv_err *e)
{
    machine m = {.start = data, .r = {data, data + size, false}, .name = name, .e = e};
    bool done = false;
    dmv_status s = DMV_OK;
    memset(out, 0, sizeof *out);
    if (size == 0 || data[0] != 0x80)
        s = dv_fail(e, DMV_ERR_FORMAT, "%s: not a pickle of protocol 2 or newer", name);
    while (!s && !done) {
        s = step(&m, &done);
        if (!s && m.r.bad)
            s = bad(&m, size, "the file ends inside an instruction; fetch it again");
    }
    if (!s && m.r.p != m.r.end)
        s = bad(&m, (size_t)(m.r.p - data), "bytes follow the end of the pickle");
    if (!s)
        s = make_pairs(&m, out);
    dv_free(m.stack.v);
    dv_free(m.memo.v);
    for (size_t i = 0; i < MAX_LISTS; i++)
        dv_free(m.list[i].v);
    if (s)
        dv_bin_free(out);
    return s;
}

bool dv_bin_is(const char *path)
{
    FILE *f = fopen(path, "rb");
    int a = f ? fgetc(f) : EOF, b = f ? fgetc(f) : EOF;
    if (f)
        fclose(f);
    return a == 0x80 && b >= 2 && b <= 5;
}

dmv_status dv_bin_load(const char *path, dv_bin *out, dv_err *e)
{
    dv_map map;
    memset(out, 0, sizeof *out);
    dmv_status s = dv_map_open(path, &map, e);
    if (s)
        return s;
    s = dv_bin_parse(map.data, map.size, path, out, e);
    if (s)
        dv_map_close(&map);
    else
        out->map = map;
    return s;
}

void dv_bin_free(dv_bin *b)
{
    dv_pairs_free(&b->pairs);
    dv_free(b->picture);
    dv_map_close(&b->map);
    memset(b, 0, sizeof *b);
}
