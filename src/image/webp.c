/* SPDX-License-Identifier: Apache-2.0
 *
 * webp.c - still WebP pictures through libwebp, lossy and lossless, transparency laid over
 * white. Reading only.
 */
#include "image/codec.h"

#ifdef DV_HAVE_WEBP
#include <string.h>
#include <webp/decode.h>

static dmv_status webp_fail(VP8StatusCode code, const char *name, dv_err *e)
{
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        return dv_nomem(e);
    if (code == VP8_STATUS_NOT_ENOUGH_DATA || code == VP8_STATUS_SUSPENDED)
        return dv_fail(e, DMV_ERR_FORMAT, "%s: the WebP file is cut off; copy it again", name);
    if (code == VP8_STATUS_UNSUPPORTED_FEATURE)
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "%s: this kind of WebP is not supported; convert it to PNG or JPEG", name);
    return dv_fail(e, DMV_ERR_FORMAT, "%s: damaged WebP file; copy or save it again", name);
}

dmv_status dv_webp_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                          dv_picture *out, dv_err *e)
{
    WebPDecoderConfig c;
    VP8StatusCode code;
    uint32_t riff;
    size_t pixels;
    uint8_t *px;
    int channels;
    dmv_status s;

    if (size < 12)
        return webp_fail(VP8_STATUS_NOT_ENOUGH_DATA, name, e);
    riff = (uint32_t)data[4] | (uint32_t)data[5] << 8 | (uint32_t)data[6] << 16 |
           (uint32_t)data[7] << 24;
    if (riff > size - 8)
        return webp_fail(VP8_STATUS_NOT_ENOUGH_DATA, name, e);
    if (!WebPInitDecoderConfig(&c))
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "%s: the libwebp here is another version than the one this was built "
                       "with; rebuild",
                       name);
    code = WebPGetFeatures(data, size, &c.input);
    if (code != VP8_STATUS_OK)
        return webp_fail(code, name, e);
    if (c.input.has_animation)
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "%s: animated WebP is not supported; save one frame as PNG or JPEG", name);
    if (c.input.width < 0 || c.input.height < 0)
        return webp_fail(VP8_STATUS_BITSTREAM_ERROR, name, e);
    s = dv_check_size((uint64_t)c.input.width, (uint64_t)c.input.height, name, lim, e);
    if (s)
        return s;
    channels = c.input.has_alpha ? 4 : 3;
    pixels = (size_t)c.input.width * (size_t)c.input.height;
    px = dv_malloc(pixels * (size_t)channels);
    if (!px)
        return dv_nomem(e);
    c.output.colorspace = c.input.has_alpha ? MODE_RGBA : MODE_RGB;
    c.output.is_external_memory = 1;
    c.output.u.RGBA.rgba = px;
    c.output.u.RGBA.stride = c.input.width * channels;
    c.output.u.RGBA.size = pixels * (size_t)channels;
    code = WebPDecode(data, size, &c);
    WebPFreeDecBuffer(&c.output);
    if (code != VP8_STATUS_OK) {
        dv_free(px);
        return webp_fail(code, name, e);
    }
    if (channels == 4) {
        uint8_t *smaller;
        dv_over_white(px, px, pixels);
        smaller = dv_realloc(px, pixels * 3);
        px = smaller ? smaller : px;
    }
    out->pixels = px;
    out->width = c.input.width;
    out->height = c.input.height;
    return DMV_OK;
}

#else

dmv_status dv_webp_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                          dv_picture *out, dv_err *e)
{
    return dv_fail(e, DMV_ERR_UNSUPPORTED,
                   "%s: this build cannot read WebP; rebuild it with libwebp, or convert the "
                   "picture to PPM",
                   name);
}
#endif
