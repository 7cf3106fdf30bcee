/* SPDX-License-Identifier: Apache-2.0
 *
 * ncnn's text: a number that tells the format, the numbers of layers and blobs, then a line a
 * layer: type, name, numbers of inputs and outputs, their names, parameters as key=value. A key
 * of -23300 - k is an array k: its length, then its values, with commas.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "import/ncnn.h"

#define MAX_TEXT ((size_t)16 << 20)
#define MAX_LAYERS 100000
#define ARRAY (-23300)

typedef struct cursor {
    dv_ncnn *p;
    char *next; /* line */
    char *s;    /* where the present line goes on */
    int line;
    dv_err *e;
} cursor;

static dmv_status wrong(const cursor *c, const char *what)
{
    return dv_fail(c->e, DMV_ERR_FORMAT, "line %d: %s", c->line, what);
}

/* The next line that is not empty; false at the end of the text. */
static bool next_line(cursor *c)
{
    while (c->next) {
        c->s = c->next;
        c->next = strchr(c->s, '\n');
        if (c->next)
            *c->next++ = 0;
        c->line++;
        c->s += strspn(c->s, " \t\r");
        if (*c->s)
            return true;
    }
    return false;
}

/* The next word of the line, or NULL. */
static char *word(cursor *c)
{
    char *s = c->s + strspn(c->s, " \t\r");
    if (!*s)
        return NULL;
    c->s = s + strcspn(s, " \t\r");
    if (*c->s)
        *c->s++ = 0;
    return s;
}

static bool whole(const char *s, long least, long most, long *out)
{
    char *end;
    if (!s)
        return false;
    *out = strtol(s, &end, 10);
    return end != s && *end == 0 && *out >= least && *out <= most;
}

/* ---- blobs by name ---- */

static uint32_t hash(const char *s)
{
    uint32_t h = 2166136261u;
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 16777619u;
    return h;
}

static int32_t *slot(const dv_ncnn *p, const char *name)
{
    for (size_t h = hash(name);; h++) {
        int32_t *s = &p->slots[h & p->mask];
        if (*s == 0 || !strcmp(p->blobs[*s - 1].name, name))
            return s;
    }
}

static bool more_slots(dv_ncnn *p)
{
    size_t want = p->mask ? 2 * (p->mask + 1) : 256;
    if (p->mask && 2 * p->n_blobs < p->mask)
        return true;
    int32_t *old = p->slots;
    p->slots = dv_calloc(want, sizeof *p->slots);
    if (!p->slots) {
        p->slots = old;
        return false;
    }
    dv_free(old);
    p->mask = want - 1;
    for (size_t i = 0; i < p->n_blobs; i++)
        *slot(p, p->blobs[i].name) = (int32_t)i + 1;
    return true;
}

/* Blob of that name, new if it is not there yet; -1 = no memory. */
static int32_t blob(dv_ncnn *p, char *name)
{
    if (!more_slots(p))
        return -1;
    int32_t *s = slot(p, name);
    if (*s)
        return *s - 1;
    if (!dv_grow(&p->blobs, &p->cap_blobs, p->n_blobs, sizeof *p->blobs))
        return -1;
    p->blobs[p->n_blobs] = (ncnn_blob){.name = name, .by = -1, .tensor = -1};
    *s = (int32_t)++p->n_blobs;
    return *s - 1;
}

static dmv_status read_blobs(cursor *c, size_t n, bool made, int32_t layer)
{
    dv_ncnn *p = c->p;
    for (size_t i = 0; i < n; i++) {
        char *name = word(c);
        if (!name)
            return wrong(c, "fewer blobs than it says");
        int32_t b = blob(p, name);
        if (b < 0 || !dv_grow(&p->uses, &p->cap_uses, p->n_uses, sizeof *p->uses))
            return dv_nomem(c->e);
        p->uses[p->n_uses++] = b;
        char text[64];
        lw_printable(name, text, sizeof text);
        if (made && p->blobs[b].by >= 0)
            return dv_fail(c->e, DMV_ERR_FORMAT, "line %d: blob '%s' is written twice", c->line,
                           text);
        if (!made && p->blobs[b].by < 0)
            return dv_fail(c->e, DMV_ERR_FORMAT, "line %d: blob '%s' is read before it is written",
                           c->line, text);
        if (made)
            p->blobs[b].by = layer;
        else
            p->blobs[b].readers++;
    }
    return DMV_OK;
}

/* ---- parameters ---- */

/* A number, and what stands behind it; NULL = none. */
static const char *number(const char *s, double *v)
{
    char *end;
    *v = strtod(s, &end);
    return end != s && isfinite(*v) ? end : NULL;
}

static dmv_status read_array(cursor *c, const char *s, ncnn_param *q)
{
    dv_ncnn *p = c->p;
    double n, v;
    s = number(s, &n);
    if (!s || n < 0 || n > 65536 || n != floor(n))
        return wrong(c, "an array without a length");
    q->is_array = true;
    q->first = p->n_numbers;
    for (q->n = 0; q->n < (size_t)n; q->n++) {
        if (*s != ',' || !(s = number(s + 1, &v)))
            return wrong(c, "an array that is shorter than it says");
        if (!dv_grow(&p->numbers, &p->cap_numbers, p->n_numbers, sizeof *p->numbers))
            return dv_nomem(c->e);
        p->numbers[p->n_numbers++] = v;
    }
    return *s ? wrong(c, "an array that is longer than it says") : DMV_OK;
}

static dmv_status read_params(cursor *c, ncnn_layer *l)
{
    for (char *s = word(c); s; s = word(c)) {
        char *equals = strchr(s, '=');
        long key;
        if (!equals)
            return wrong(c, "a parameter that is not key=value");
        *equals = 0;
        if (!whole(s, ARRAY - 1000, 1000, &key))
            return wrong(c, "a parameter whose key is no number");
        if (l->n_params == NCNN_PARAMS)
            return wrong(c, "too many parameters");
        ncnn_param *q = &l->params[l->n_params++];
        if (key <= ARRAY) {
            q->key = ARRAY - (int)key;
            dmv_status st = read_array(c, equals + 1, q);
            if (st)
                return st;
        } else {
            const char *end = number(equals + 1, &q->v);
            q->key = (int)key;
            if (!end || *end)
                return wrong(c, "a parameter whose value is no number");
        }
    }
    return DMV_OK;
}

static dmv_status read_layer(cursor *c, ncnn_layer *l, int32_t index)
{
    dv_ncnn *p = c->p;
    char *type = word(c), *name = word(c);
    long n_in, n_out;
    if (!name || !whole(word(c), 0, DV_MAX_IO, &n_in) || !whole(word(c), 0, DV_MAX_IO, &n_out))
        return wrong(c, "a layer is: type, name, numbers of inputs and outputs (64 at most)");
    lw_printable(type, l->type, sizeof l->type);
    lw_printable(name, l->name, sizeof l->name);
    l->line = c->line;
    l->in = p->n_uses;
    l->n_in = (size_t)n_in;
    dmv_status st = read_blobs(c, l->n_in, false, index);
    l->out = p->n_uses;
    l->n_out = (size_t)n_out;
    if (st == DMV_OK)
        st = read_blobs(c, l->n_out, true, index);
    return st ? st : read_params(c, l);
}

static dmv_status read_all(cursor *c)
{
    dv_ncnn *p = c->p;
    long layers, blobs, magic;
    if (!next_line(c) || !whole(word(c), 7767517, 7767517, &magic))
        return dv_fail(c->e, DMV_ERR_FORMAT,
                       "not an ncnn .param file: it does not begin with 7767517");
    if (!next_line(c) || !whole(word(c), 1, MAX_LAYERS, &layers) ||
        !whole(word(c), 1, 2 * MAX_LAYERS, &blobs))
        return wrong(c, "the numbers of layers and blobs are missing or out of range");
    p->layers = dv_calloc((size_t)layers, sizeof *p->layers);
    if (!p->layers)
        return dv_nomem(c->e);
    for (; p->n_layers < (size_t)layers; p->n_layers++) {
        if (!next_line(c))
            return wrong(c, "fewer layers than the file says");
        dmv_status st = read_layer(c, &p->layers[p->n_layers], (int32_t)p->n_layers);
        if (st)
            return st;
    }
    return next_line(c) ? wrong(c, "more layers than the file says") : DMV_OK;
}

dmv_status dv_ncnn_parse(const uint8_t *param, size_t param_size, const uint8_t *bin,
                         size_t bin_size, dv_ncnn *p, dv_err *e)
{
    memset(p, 0, sizeof *p);
    if (param_size > MAX_TEXT)
        return dv_fail(e, DMV_ERR_LIMIT, "a .param file of %zu bytes", param_size);
    p->text = dv_malloc(param_size + 1);
    if (!p->text)
        return dv_nomem(e);
    memcpy(p->text, param, param_size);
    p->text[param_size] = 0;
    p->file_size = param_size + bin_size;
    p->bin = (dv_reader){.p = bin, .end = bin ? bin + bin_size : NULL};
    cursor c = {.p = p, .next = p->text, .e = e};
    dmv_status st = memchr(param, 0, param_size)
                        ? dv_fail(e, DMV_ERR_FORMAT,
                                  "a .param file with zero bytes; binary ones "
                                  "(.param.bin) cannot be read")
                        : read_all(&c);
    if (st != DMV_OK)
        dv_ncnn_free(p);
    return st;
}

void dv_ncnn_free(dv_ncnn *p)
{
    dv_free(p->text);
    dv_free(p->layers);
    dv_free(p->blobs);
    dv_free(p->uses);
    dv_free(p->numbers);
    dv_free(p->slots);
    memset(p, 0, sizeof *p);
}
