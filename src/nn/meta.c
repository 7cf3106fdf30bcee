/* SPDX-License-Identifier: Apache-2.0
 * meta.c - the typed key-values of a model file. */
#include <string.h>

#include "nn/dmv.h"

void dv_meta_free(dv_meta *m)
{
    for (size_t i = 0; i < m->n; i++) {
        dv_free(m->items[i].key);
        dv_free(m->items[i].text);
        dv_free(m->items[i].f);
    }
    dv_free(m->items);
    memset(m, 0, sizeof *m);
}

const dv_meta_item *dv_meta_get(const dv_meta *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (!strcmp(m->items[i].key, key))
            return &m->items[i];
    return NULL;
}

const char *dv_meta_text(const dv_meta *m, const char *key)
{
    const dv_meta_item *i = dv_meta_get(m, key);
    return i ? i->text : NULL;
}

/* The item of that key, emptied, or a new one. */
static dv_meta_item *item_for(dv_meta *m, const char *key)
{
    for (size_t i = 0; i < m->n; i++)
        if (!strcmp(m->items[i].key, key))
            return &m->items[i];
    if (!dv_grow(&m->items, &m->cap, m->n, sizeof *m->items))
        return NULL;
    dv_meta_item it = {.key = dv_strdup(key), .type = 2};
    if (!it.key)
        return NULL;
    m->items[m->n] = it;
    return &m->items[m->n++];
}

static bool store(dv_meta *m, const char *key, char *text, float *f, uint32_t n, int64_t num,
                  uint8_t type)
{
    dv_meta_item *it = item_for(m, key);
    if (!it) {
        dv_free(text);
        dv_free(f);
        return false;
    }
    dv_free(it->text);
    dv_free(it->f);
    it->text = text;
    it->f = f;
    it->n = n;
    it->num = num;
    it->type = type;
    return true;
}

bool dv_meta_set_text(dv_meta *m, const char *key, const char *v)
{
    char *copy = dv_strdup(v);
    return copy && store(m, key, copy, NULL, 0, 0, 1);
}

bool dv_meta_set_int(dv_meta *m, const char *key, int64_t v)
{
    return store(m, key, NULL, NULL, 0, v, 2);
}

bool dv_meta_set_floats(dv_meta *m, const char *key, const float *v, uint32_t n)
{
    float *copy = dv_malloc(((size_t)n + 1) * sizeof *copy);
    if (!copy)
        return false;
    if (n)
        memcpy(copy, v, n * sizeof *copy);
    return store(m, key, NULL, copy, n, 0, 3);
}
