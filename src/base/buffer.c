/* SPDX-License-Identifier: Apache-2.0
 *
 * buffer.c - little-endian bytes in and out of memory, on any host.
 *
 * Both sides keep a sticky `bad`: a parser reads a whole record and checks
 * once, a writer puts a whole file and checks once.
 */
#include "base/base.h"

#include <string.h>

/* ---- reader ---- */

const void *dv_rd_bytes(dv_reader *r, size_t n)
{
    if (r->bad || n > (size_t)(r->end - r->p)) {
        r->bad = true;
        return NULL;
    }
    if (n == 0)
        return r->p ? (const void *)r->p : "";
    const void *at = r->p;
    r->p += n;
    return at;
}

uint8_t dv_rd_u8(dv_reader *r)
{
    const uint8_t *p = dv_rd_bytes(r, 1);
    return p ? p[0] : 0;
}

uint16_t dv_rd_u16(dv_reader *r)
{
    const uint8_t *p = dv_rd_bytes(r, 2);
    return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

uint32_t dv_rd_u32(dv_reader *r)
{
    const uint8_t *p = dv_rd_bytes(r, 4);
    if (!p)
        return 0;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t dv_rd_u64(dv_reader *r)
{
    const uint8_t *p = dv_rd_bytes(r, 8);
    uint64_t v = 0;
    for (int i = 7; p && i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

float dv_rd_f32(dv_reader *r)
{
    uint32_t bits = dv_rd_u32(r);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* ---- writer ---- */

/* Room for n more bytes, or NULL and bad. */
static uint8_t *reserve(dv_buf *b, size_t n)
{
    size_t need;
    if (b->bad)
        return NULL;
    if (!dv_add(b->size, n, &need)) {
        b->bad = true;
        return NULL;
    }
    if (need > b->cap || !b->data) {
        size_t cap;
        if (!dv_add(need, need / 2 + 64, &cap))
            cap = need;
        uint8_t *data = dv_realloc(b->data, cap);
        if (!data) {
            b->bad = true;
            return NULL;
        }
        b->data = data;
        b->cap = cap;
    }
    return b->data + b->size;
}

void dv_buf_put(dv_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    uint8_t *at = reserve(b, n);
    if (at) {
        memcpy(at, p, n);
        b->size += n;
    }
}

void dv_buf_u8(dv_buf *b, uint8_t v)
{
    dv_buf_put(b, &v, 1);
}

void dv_buf_u16(dv_buf *b, uint16_t v)
{
    uint8_t p[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    dv_buf_put(b, p, sizeof p);
}

void dv_buf_u32(dv_buf *b, uint32_t v)
{
    uint8_t p[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    dv_buf_put(b, p, sizeof p);
}

void dv_buf_u64(dv_buf *b, uint64_t v)
{
    uint8_t p[8];
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    dv_buf_put(b, p, sizeof p);
}

void dv_buf_f32(dv_buf *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    dv_buf_u32(b, bits);
}

void dv_buf_align(dv_buf *b, size_t to)
{
    size_t pad = (to - (b->size & (to - 1))) & (to - 1);
    uint8_t *at = pad ? reserve(b, pad) : NULL;
    if (at) {
        memset(at, 0, pad);
        b->size += pad;
    }
}

void dv_buf_printf(dv_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->bad = true;
        return;
    }
    uint8_t *at = reserve(b, (size_t)n + 1);
    if (at) {
        va_start(ap, fmt);
        vsnprintf((char *)at, (size_t)n + 1, fmt, ap);
        va_end(ap);
        b->size += (size_t)n;
    }
}

void dv_buf_free(dv_buf *b)
{
    dv_free(b->data);
    memset(b, 0, sizeof *b);
}
