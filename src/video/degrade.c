/* SPDX-License-Identifier: Apache-2.0
 *
 * degrade.c - see degrade.h. Random numbers come from a counter (SplitMix64), begun anew for
 * each step of each frame, so that no step depends on what another has drawn.
 */
#include "video/degrade.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "video/video.h"

enum { DISTRACTOR, GAIN, NOISE, RAIN, JPEG, H264 };
static const char *const names[] = {"distractor", "gain", "noise", "rain", "jpeg", "h264"};

#define MAX_STEPS 16
#define QUANTILES 4096

typedef struct step {
    int kind;
    double a, b;
    dv_picture patch;
    int x, y;
    dv_recompressor *coder;
} step;

struct dv_degrade {
    step steps[MAX_STEPS];
    int n;
    uint64_t seed;
    double rate;
    float *normal; /* quantiles of the normal distribution */
    float *work;
    size_t work_cap;
};

static uint64_t next(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t begin(const dv_degrade *d, int index, uint64_t number)
{
    uint64_t s = d->seed;
    s = next(&s) ^ (uint64_t)index;
    s = next(&s) ^ number;
    return next(&s);
}

static double unit(uint64_t *s) /* 0 .. 1 */
{
    return (double)(next(s) >> 11) * 0x1p-53;
}

static uint8_t byte(float v)
{
    return (uint8_t)(v <= 0 ? 0 : v >= 255 ? 255 : v + 0.5f);
}

/* ---- the steps ---- */

static void paste(const step *t, dv_picture *p)
{
    int x0 = DV_MAX(t->x, 0), x1 = DV_MIN(t->x + t->patch.width, p->width);
    for (int y = DV_MAX(t->y, 0); y < DV_MIN(t->y + t->patch.height, p->height) && x0 < x1; y++)
        memcpy(p->pixels + 3 * ((size_t)y * (size_t)p->width + (size_t)x0),
               t->patch.pixels +
                   3 * ((size_t)(y - t->y) * (size_t)t->patch.width + (size_t)(x0 - t->x)),
               3 * (size_t)(x1 - x0));
}

static void gain(const dv_degrade *d, int index, const step *t, dv_picture *p, uint64_t frame)
{
    uint64_t block = frame / (uint64_t)t->a, s = begin(d, index, block);
    double factor = block == 0 ? 1 : 0.6 + unit(&s); /* the first stretch is as it was */
    uint8_t to[256];
    for (int i = 0; i < 256; i++)
        to[i] = byte((float)(i * factor));
    size_t n = (size_t)p->width * (size_t)p->height * 3;
    for (size_t i = 0; i < n; i++)
        p->pixels[i] = to[p->pixels[i]];
}

/* The quantile function of the normal distribution by bisection of erfc: slow and exact. */
static double quantile(double q)
{
    double lo = -9, hi = 9;
    for (int i = 0; i < 60; i++) {
        double mid = (lo + hi) / 2;
        if (0.5 * erfc(-mid / sqrt(2)) < q)
            lo = mid;
        else
            hi = mid;
    }
    return (lo + hi) / 2;
}

static dmv_status noise(dv_degrade *d, int index, const step *t, dv_picture *p, uint64_t frame,
                        dv_err *e)
{
    size_t n = (size_t)p->width * (size_t)p->height * 3;
    if (n > d->work_cap) {
        dv_free(d->work);
        d->work = dv_calloc(n, sizeof *d->work);
        d->work_cap = d->work ? n : 0;
        if (!d->work)
            return dv_nomem(e);
    }
    const float mean = (float)t->a, deviation = (float)t->b;
    uint64_t s = begin(d, index, frame), bits = 0;
    float low = INFINITY, high = -INFINITY, *w = d->work;
    for (size_t i = 0; i < n; i++) {
        if (i % 5 == 0) /* 12 bits each */
            bits = next(&s);
        float v = (float)p->pixels[i] * (mean + deviation * d->normal[bits % QUANTILES]);
        bits /= QUANTILES;
        low = DV_MIN(low, v);
        high = DV_MAX(high, v);
        w[i] = v;
    }
    const float scale = high > low ? 255 / (high - low) : 0;
    for (size_t i = 0; i < n; i++)
        p->pixels[i] = byte((w[i] - low) * scale);
    return DMV_OK;
}

static void speck(dv_picture *p, double x, double y, double length, double slope, double strength)
{
    int count = (int)DV_MAX(1, length);
    for (int i = 0; i < count; i++) {
        int px = (int)(x + slope * i), py = (int)y + i;
        if (px < 0 || py < 0 || px >= p->width || py >= p->height)
            continue;
        uint8_t *q = p->pixels + 3 * ((size_t)py * (size_t)p->width + (size_t)px);
        for (int c = 0; c < 3; c++)
            q[c] = byte((float)(q[c] + (225 - q[c]) * strength));
    }
}

static void rain(const dv_degrade *d, int index, const step *t, dv_picture *p, uint64_t frame)
{
    uint64_t s = begin(d, index, frame), wind = begin(d, index, UINT64_MAX);
    double slope = unit(&wind) * 0.5 - 0.25, scale = p->height / 480.0;
    int n = (int)(t->a * p->width * p->height / (640.0 * 480.0) + 0.5);
    for (int i = 0; i < n; i++) {
        double x = unit(&s) * p->width, y = unit(&s) * p->height - 6 * scale;
        double length = (6 + 12 * unit(&s)) * scale, strength = 0.25 + 0.4 * unit(&s);
        speck(p, x, y, length, slope, strength);
        if (scale > 1.5 || unit(&s) < 0.3) /* near drops are wider */
            speck(p, x + 1, y, length, slope, strength);
    }
}

static dmv_status jpeg(const step *t, dv_picture *p, dv_err *e)
{
    uint8_t *data;
    size_t size;
    dv_picture back;
    dmv_status s = dv_image_encode_jpeg(p, (int)t->a, &data, &size, e);
    if (s)
        return s;
    s = dv_image_decode(data, size, "JPEG", &back, e);
    dv_free(data);
    if (s)
        return s;
    dv_picture_free(p);
    *p = back;
    return DMV_OK;
}

static dmv_status h264(const dv_degrade *d, step *t, dv_picture *p, dv_err *e)
{
    dmv_status s = DMV_OK;
    if (t->coder && (p->width != t->x || p->height != t->y)) /* other sides: from the beginning */
        dv_recompressor_close(&t->coder);
    if (!t->coder) {
        dv_recompress_options o;
        dv_recompress_options_init(&o);
        o.encode.bit_rate = (int64_t)t->a;
        o.encode.crf = t->b;
        o.encode.preset = "veryfast"; /* as weak as the coders of cameras */
        o.rate = d->rate;
        s = dv_recompressor_open(p->width, p->height, &o, &t->coder, e);
        t->x = p->width;
        t->y = p->height;
    }
    return s ? s : dv_recompressor_picture(t->coder, p, NULL, e);
}

dmv_status dv_degrade_apply(dv_degrade *d, dv_picture *p, uint64_t frame, dv_err *e)
{
    if (!p->pixels || p->width < 1 || p->height < 1)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no picture to degrade");
    dmv_status s = DMV_OK;
    for (int i = 0; !s && i < d->n; i++) {
        step *t = &d->steps[i];
        switch (t->kind) {
        case DISTRACTOR:
            if (!t->patch.pixels)
                s = dv_fail(e, DMV_ERR_ARGUMENT,
                            "distractor: no picture to paste; write distractor=FILE@XxY");
            else
                paste(t, p);
            break;
        case GAIN:
            gain(d, i, t, p, frame);
            break;
        case NOISE:
            s = noise(d, i, t, p, frame, e);
            break;
        case RAIN:
            rain(d, i, t, p, frame);
            break;
        case JPEG:
            s = jpeg(t, p, e);
            break;
        default:
            s = h264(d, t, p, e);
        }
    }
    return s;
}

/* ---- the list ---- */

/* "100k", "1.5M", "200000"; NAN if it is none. */
static double bits_of(const char *text)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text)
        return NAN;
    if (*end == 'k' || *end == 'K')
        v *= 1e3, end++;
    else if (*end == 'M')
        v *= 1e6, end++;
    return *end ? NAN : v;
}

static double number_of(const char *text)
{
    char *end;
    double v = strtod(text, &end);
    return end == text || *end ? NAN : v;
}

static dmv_status bad(const char *word, const char *value, const char *form, dv_err *e)
{
    return dv_fail(e, DMV_ERR_ARGUMENT, "degradation %s=%.80s: %s", word, value, form);
}

static dmv_status parse_distractor(step *t, const char *value, dv_err *e)
{
    static const char form[] = "the form is distractor=FILE@XxY, as in patch.png@120x40";
    char path[4096];
    int used = 0;
    const char *at = strrchr(value, '@');
    if (!at || at == value || (size_t)(at - value) >= sizeof path ||
        sscanf(at + 1, "%6dx%6d%n", &t->x, &t->y, &used) != 2 || at[1 + used])
        return bad("distractor", value, form, e);
    snprintf(path, sizeof path, "%.*s", (int)(at - value), value);
    return dv_image_load(path, &t->patch, e);
}

/* One word with its value, NULL if there is none. */
static dmv_status parse_step(step *t, const char *word, const char *value, dv_err *e)
{
    t->kind = -1;
    for (int i = 0; i < (int)DV_COUNT(names); i++)
        if (!strcmp(word, names[i]))
            t->kind = i;
    switch (t->kind) {
    case DISTRACTOR:
        return value ? parse_distractor(t, value, e) : DMV_OK;
    case GAIN:
        t->a = value ? floor(number_of(value)) : 50;
        return t->a >= 1 && t->a <= 1e9 ? DMV_OK : bad(word, value, "frames, 1 or more", e);
    case NOISE: {
        char *end = NULL;
        t->a = 0.8;
        t->b = 0.3;
        if (value) {
            t->a = strtod(value, &end);
            t->b = end != value && *end == ':' ? number_of(end + 1) : NAN;
        }
        return t->a >= 0 && t->a <= 10 && t->b >= 0 && t->b <= 10
                   ? DMV_OK
                   : bad(word, value, "mean and deviation, as in 0.8:0.3", e);
    }
    case RAIN:
        t->a = value ? number_of(value) : 100;
        return t->a >= 0 && t->a <= 100000 ? DMV_OK : bad(word, value, "streaks, 0 to 100000", e);
    case JPEG:
        t->a = value ? number_of(value) : 30;
        return t->a >= 1 && t->a <= 100 && t->a == floor(t->a)
                   ? DMV_OK
                   : bad(word, value, "a whole quality, 1 to 100", e);
    case H264:
        t->a = 0;
        t->b = 23;
        if (value && !strncmp(value, "crf", 3)) {
            t->b = number_of(value + 3);
            return t->b >= 0 && t->b <= 51 ? DMV_OK : bad(word, value, "crf0 to crf51", e);
        }
        t->a = value ? bits_of(value) : 100e3;
        return t->a >= 1000 && t->a <= 1e9
                   ? DMV_OK
                   : bad(word, value, "bits a second, as in 100k, or crf0 to crf51", e);
    default:
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "there is no degradation `%.40s`; known are distractor, gain, noise, rain, "
                       "jpeg and h264",
                       word);
    }
}

static dmv_status parse(dv_degrade *d, char *list, dv_err *e)
{
    char *rest = list;
    while (rest) {
        char *word = strsep(&rest, ","), *value = strchr(word, '=');
        if (!*word)
            continue;
        if (value)
            *value++ = 0;
        if (d->n == MAX_STEPS)
            return dv_fail(e, DMV_ERR_LIMIT, "more than %d degradations", MAX_STEPS);
        dmv_status s = parse_step(&d->steps[d->n++], word, value, e);
        if (s)
            return s;
    }
    return DMV_OK;
}

dmv_status dv_degrade_open(const char *list, uint64_t seed, double rate, dv_degrade **out,
                           dv_err *e)
{
    *out = NULL;
    if (!(rate >= 0.01 && rate <= 1000))
        return dv_fail(e, DMV_ERR_ARGUMENT, "%g frames a second: 0.01 to 1000", rate);
    dv_degrade *d = dv_calloc(1, sizeof *d);
    char *copy = dv_strdup(list ? list : "");
    dmv_status s = d && copy ? DMV_OK : dv_nomem(e);
    if (!s) {
        d->seed = seed;
        d->rate = rate;
        s = parse(d, copy, e);
    }
    for (int i = 0; !s && i < d->n && !d->normal; i++) {
        if (d->steps[i].kind != NOISE)
            continue;
        d->normal = dv_calloc(QUANTILES, sizeof *d->normal);
        if (!d->normal)
            s = dv_nomem(e);
        for (int k = 0; !s && k < QUANTILES; k++)
            d->normal[k] = (float)quantile((k + 0.5) / QUANTILES);
    }
    dv_free(copy);
    if (s)
        dv_degrade_close(&d);
    *out = d;
    return s;
}

dmv_status dv_degrade_distractor(dv_degrade *d, const dv_picture *patch, int x, int y, dv_err *e)
{
    size_t n = (size_t)patch->width * (size_t)patch->height * 3;
    for (int i = 0; i < d->n; i++) {
        step *t = &d->steps[i];
        if (t->kind != DISTRACTOR)
            continue;
        uint8_t *pixels = dv_malloc(n);
        if (!pixels)
            return dv_nomem(e);
        memcpy(pixels, patch->pixels, n);
        dv_picture_free(&t->patch);
        t->patch = (dv_picture){pixels, patch->width, patch->height};
        t->x = x;
        t->y = y;
        return DMV_OK;
    }
    return dv_fail(e, DMV_ERR_NOT_FOUND, "no distractor in the list of degradations");
}

void dv_degrade_close(dv_degrade **pd)
{
    dv_degrade *d = *pd;
    *pd = NULL;
    if (!d)
        return;
    for (int i = 0; i < d->n; i++) {
        dv_picture_free(&d->steps[i].patch);
        dv_recompressor_close(&d->steps[i].coder);
    }
    dv_free(d->normal);
    dv_free(d->work);
    dv_free(d);
}
