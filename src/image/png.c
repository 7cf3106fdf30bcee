/* SPDX-License-Identifier: Apache-2.0
 *
 * png.c - PNG files through libspng: every depth and colour type to RGB8, transparency laid
 * over white. Checksums are checked and the file is read to its end mark, so that a file that
 * was cut anywhere is refused. Gamma and colour profiles are not applied.
 */
#include "image/codec.h"

#ifdef DV_HAVE_SPNG
#include <spng.h>
#include <string.h>

#define MAX_CHUNK (16u << 20)   /* one text or colour profile */
#define MAX_CHUNKS (32u << 20)  /* all that are kept */
#define DEFLATE_MAX_RATIO 1032u /* RFC 1951: 258 bytes from 2 bits */

/* libspng reports some failed allocations as damaged data (those that zlib made); this tells
 * them apart. */
static _Thread_local bool no_memory;

static void *noted(void *p)
{
    if (!p)
        no_memory = true;
    return p;
}

static void *png_malloc(size_t n)
{
    return noted(dv_malloc(n));
}

static void *png_realloc(void *p, size_t n)
{
    return noted(dv_realloc(p, n));
}

static void *png_calloc(size_t n, size_t size)
{
    return noted(dv_calloc(n, size));
}

static spng_ctx *png_open(int flags)
{
    struct spng_alloc a = {png_malloc, png_realloc, png_calloc, dv_free};
    no_memory = false;
    return spng_ctx_new2(&a, flags);
}

/* libspng is content with a file that lacks the last bytes. */
static bool is_whole(const uint8_t *data, size_t size)
{
    for (size_t at = 8; size - at >= 12;) {
        const uint8_t *c = data + at;
        uint32_t n = (uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3];
        if (n > size - at - 12)
            return false;
        if (memcmp(c + 4, "IEND", 4) == 0)
            return true;
        at += (size_t)n + 12;
    }
    return false;
}

static dmv_status png_fail(int ret, const char *name, dv_err *e)
{
    if (no_memory || ret == SPNG_EMEM)
        return dv_nomem(e);
    if (ret == SPNG_IO_EOF || ret == SPNG_EIDAT_TOO_SHORT)
        return dv_fail(e, DMV_ERR_FORMAT, "%s: the PNG file is cut off; copy it again", name);
    if (ret == SPNG_ECHUNK_LIMITS)
        return dv_fail(e, DMV_ERR_LIMIT,
                       "%s: the PNG file carries more text or profiles than the limit; save it "
                       "without them",
                       name);
    return dv_fail(e, DMV_ERR_FORMAT, "%s: damaged PNG file (%s); copy or save it again", name,
                   spng_strerror(ret));
}

/* The bytes that the packed rows of this header take, a lower bound (interlacing adds some). */
static uint64_t packed_bytes(const struct spng_ihdr *h)
{
    static const uint8_t channels[7] = {1, 0, 3, 1, 2, 0, 4};
    uint64_t bits = (uint64_t)h->width * h->bit_depth * channels[h->color_type % 7];
    return (bits + 7) / 8 * h->height;
}

static dmv_status decode(spng_ctx *ctx, size_t size, const char *name, const dv_limits *lim,
                         dv_picture *out, dv_err *e)
{
    struct spng_ihdr h;
    struct spng_trns trns;
    size_t pixels, bytes, need = 0;
    uint8_t *px;
    bool alpha;
    int ret = spng_get_ihdr(ctx, &h), fmt;
    dmv_status s;

    if (ret)
        return png_fail(ret, name, e);
    s = dv_check_size(h.width, h.height, name, lim, e);
    if (s)
        return s;
    if (packed_bytes(&h) / DEFLATE_MAX_RATIO > size)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: the PNG file is cut off: %zu bytes cannot hold %u x %u pixels; copy "
                       "it again",
                       name, size, h.width, h.height);
    ret = spng_get_trns(ctx, &trns);
    if (ret && ret != SPNG_ECHUNKAVAIL)
        return png_fail(ret, name, e);
    alpha = ret == 0 || h.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA ||
            h.color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA;
    fmt = alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
    pixels = (size_t)h.width * h.height;
    bytes = pixels * (alpha ? 4 : 3);
    ret = spng_decoded_image_size(ctx, fmt, &need);
    if (ret)
        return png_fail(ret, name, e);
    if (need != bytes)
        return dv_fail(e, DMV_ERR_FORMAT, "%s: the PNG reader expects %zu bytes of pixels, not %zu",
                       name, need, bytes);
    px = dv_malloc(bytes);
    if (!px)
        return dv_nomem(e);
    ret = spng_decode_image(ctx, px, bytes, fmt, alpha ? SPNG_DECODE_TRNS : 0);
    if (!ret)
        ret = spng_decode_chunks(ctx); /* up to the end mark */
    if (ret) {
        dv_free(px);
        return png_fail(ret, name, e);
    }
    if (alpha) {
        uint8_t *smaller;
        dv_over_white(px, px, pixels);
        smaller = dv_realloc(px, pixels * 3);
        px = smaller ? smaller : px;
    }
    out->pixels = px;
    out->width = (int)h.width;
    out->height = (int)h.height;
    return DMV_OK;
}

dmv_status dv_png_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                         dv_picture *out, dv_err *e)
{
    dmv_status s;
    int ret;
    spng_ctx *ctx;

    no_memory = false;
    if (!is_whole(data, size))
        return png_fail(SPNG_IO_EOF, name, e);
    ctx = png_open(0);
    if (!ctx)
        return dv_nomem(e);
    ret = spng_set_crc_action(ctx, SPNG_CRC_ERROR, SPNG_CRC_ERROR);
    if (!ret)
        ret = spng_set_chunk_limits(ctx, MAX_CHUNK, MAX_CHUNKS);
    if (!ret)
        ret = spng_set_png_buffer(ctx, data, size);
    s = ret ? png_fail(ret, name, e) : decode(ctx, size, name, lim, out, e);
    spng_ctx_free(ctx);
    return s;
}

dmv_status dv_png_encode(const dv_picture *p, uint8_t **data, size_t *size, dv_err *e)
{
    struct spng_ihdr h = {
        (uint32_t)p->width, (uint32_t)p->height, 8, SPNG_COLOR_TYPE_TRUECOLOR, 0, 0, 0};
    int ret;
    spng_ctx *ctx = png_open(SPNG_CTX_ENCODER);

    *data = NULL;
    *size = 0;
    if (!ctx)
        return dv_nomem(e);
    ret = spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1);
    if (!ret)
        ret = spng_set_ihdr(ctx, &h);
    if (!ret)
        ret = spng_encode_image(ctx, p->pixels, (size_t)p->width * (size_t)p->height * 3,
                                SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    if (!ret)
        *data = spng_get_png_buffer(ctx, size, &ret);
    spng_ctx_free(ctx);
    if (*data)
        return DMV_OK;
    if (no_memory || ret == SPNG_EMEM)
        return dv_nomem(e);
    return dv_fail(e, DMV_ERR_FORMAT, "cannot make a PNG file (%s)", spng_strerror(ret));
}

#else /* !DV_HAVE_SPNG */

dmv_status dv_png_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                         dv_picture *out, dv_err *e)
{
    return dv_fail(e, DMV_ERR_UNSUPPORTED,
                   "%s: this build cannot read PNG; rebuild it with libspng, or convert the "
                   "picture to PPM",
                   name);
}

dmv_status dv_png_encode(const dv_picture *p, uint8_t **data, size_t *size, dv_err *e)
{
    return dv_fail(e, DMV_ERR_UNSUPPORTED,
                   "this build cannot write PNG; rebuild it with libspng, or save as .ppm");
}
#endif
