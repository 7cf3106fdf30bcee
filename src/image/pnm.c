/* SPDX-License-Identifier: Apache-2.0
 *
 * pnm.c - portable graymaps and pixmaps, plain (P2, P3) and raw (P5, P6), maxval 1..65535, by
 * the netpbm manual pages pgm(5) and ppm(5). The one format that every build reads, and the one
 * tests can write by hand. Of a stream of several pictures the first is taken.
 */
#include "image/codec.h"

#include <string.h>

typedef struct text {
    const uint8_t *p, *end;
} text;

static bool is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Skips white space and comments. */
static void skip(text *t)
{
    while (t->p < t->end) {
        if (*t->p == '#')
            while (t->p < t->end && *t->p != '\n' && *t->p != '\r')
                t->p++;
        else if (is_space(*t->p))
            t->p++;
        else
            return;
    }
}

/* A decimal number up to 10 million that ends at white space, a comment or the end. */
static bool number(text *t, uint32_t *out)
{
    uint32_t v = 0;
    const uint8_t *start;
    skip(t);
    for (start = t->p; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
        v = v * 10 + (uint32_t)(*t->p - '0');
        if (v > 10000000)
            return false;
    }
    *out = v;
    return t->p > start && (t->p == t->end || is_space(*t->p) || *t->p == '#');
}

/* Raw samples: 1 byte each, or 2 (big-endian) where maxval needs them. */
static bool raw_sample(text *t, uint32_t maxval, uint32_t *v)
{
    if (maxval < 256) {
        *v = *t->p++;
    } else {
        *v = (uint32_t)t->p[0] << 8 | t->p[1];
        t->p += 2;
    }
    return *v <= maxval;
}

dmv_status dv_pnm_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                         dv_picture *out, dv_err *e)
{
    text t = {data + 2, data + size};
    const char kind = (char)data[1];
    const bool plain = kind < '4';
    const unsigned channels = kind == '2' || kind == '5' ? 1 : 3;
    uint32_t w = 0, h = 0, maxval = 0;
    size_t pixels, samples, need, left;
    uint8_t *px;
    dmv_status s;

    if (!number(&t, &w) || !number(&t, &h) || !number(&t, &maxval))
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: damaged PNM header at byte %zu: width, height and maxval must be "
                       "numbers",
                       name, (size_t)(t.p - data));
    s = dv_check_size(w, h, name, lim, e);
    if (s)
        return s;
    if (maxval < 1 || maxval > 65535)
        return dv_fail(e, DMV_ERR_FORMAT, "%s: PNM maxval %u is not 1 to 65535", name, maxval);
    if (t.p < t.end && *t.p == '#') /* a comment may stand between maxval and its line end */
        while (t.p < t.end && *t.p != '\n' && *t.p != '\r')
            t.p++;
    if (t.p < t.end)
        t.p++; /* the one white space before the samples */

    /* A plain sample takes a digit and a separator, so both kinds can be sized beforehand. */
    pixels = (size_t)w * h;
    samples = pixels * channels;
    need = plain ? samples * 2 - 1 : samples * (maxval < 256 ? 1 : 2);
    left = (size_t)(t.end - t.p);
    if (left < need)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: the PNM file is cut off: %u x %u pixels need %zu bytes, it has %zu; "
                       "copy it again",
                       name, w, h, need, left);
    px = dv_malloc(pixels * 3);
    if (!px)
        return dv_nomem(e);
    for (size_t i = 0; i < samples; i++) {
        const uint8_t *at = t.p;
        uint32_t v = 0;
        bool ok = plain ? number(&t, &v) && v <= maxval : raw_sample(&t, maxval, &v);
        if (!ok) {
            dv_free(px);
            if (plain && t.p == t.end && v <= maxval)
                return dv_fail(e, DMV_ERR_FORMAT,
                               "%s: the PNM file is cut off: %zu of %zu samples; copy it again",
                               name, i, samples);
            return dv_fail(e, DMV_ERR_FORMAT,
                           "%s: PNM sample %zu (byte %zu) is not a number from 0 to %u", name, i,
                           (size_t)(at - data), maxval);
        }
        v = maxval == 255 ? v : (v * 255 + maxval / 2) / maxval;
        if (channels == 1)
            memset(px + 3 * i, (int)v, 3);
        else
            px[i] = (uint8_t)v;
    }
    out->pixels = px;
    out->width = (int)w;
    out->height = (int)h;
    return DMV_OK;
}

dmv_status dv_ppm_encode(const dv_picture *p, uint8_t **data, size_t *size, dv_err *e)
{
    const size_t bytes = (size_t)p->width * (size_t)p->height * 3;
    char head[64];
    size_t n = (size_t)snprintf(head, sizeof head, "P6\n%d %d\n255\n", p->width, p->height);

    *data = dv_malloc(n + bytes);
    if (!*data)
        return dv_nomem(e);
    memcpy(*data, head, n);
    memcpy(*data + n, p->pixels, bytes);
    *size = n + bytes;
    return DMV_OK;
}
