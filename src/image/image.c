/* SPDX-License-Identifier: Apache-2.0
 *
 * image.c - tells the kind of a picture file from its first bytes and hands it to its decoder;
 * loading and saving by path. Bytes that are no picture we read are named for what they look
 * like, because "unknown format" helps nobody who holds a HEIC photo or a saved error page.
 */
#include "image/codec.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define READABLE "JPEG, PNG, WebP or PNM (PGM, PPM)"
#define SHOWN_NAME 400 /* longer names are shown by their end, so that messages stay whole */

void dv_picture_free(dv_picture *p)
{
    if (!p)
        return;
    dv_free(p->pixels);
    memset(p, 0, sizeof *p);
}

dmv_image dv_picture_view(const dv_picture *p)
{
    dmv_image v = {p->pixels, p->width, p->height, (size_t)p->width * 3, DMV_PIXEL_RGB8};
    return v;
}

dmv_status dv_check_size(uint64_t width, uint64_t height, const char *name, const dv_limits *lim,
                         dv_err *e)
{
    unsigned long long w = width, h = height;
    if (w == 0 || h == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "%s: the picture has no pixels (%llu x %llu)", name, w,
                       h);
    if (w > lim->side || h > lim->side || w * h > lim->pixels)
        return dv_fail(e, DMV_ERR_LIMIT,
                       "%s: %llu x %llu pixels is over the limit (%u a side, %llu million in "
                       "all); scale the picture down",
                       name, w, h, lim->side, (unsigned long long)(lim->pixels / 1000000));
    return DMV_OK;
}

dmv_status dv_check_picture(const dv_picture *p, dv_err *e)
{
    if (!p || !p->pixels || p->width < 1 || p->height < 1 || p->width > DV_IMAGE_MAX_SIDE ||
        p->height > DV_IMAGE_MAX_SIDE)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no picture, or its sides are not 1 to %d pixels",
                       DV_IMAGE_MAX_SIDE);
    return DMV_OK;
}

void dv_over_white(const uint8_t *rgba, uint8_t *rgb, size_t n)
{
    for (size_t i = 0; i < n; i++, rgba += 4, rgb += 3) {
        unsigned a = rgba[3], white = 255 * (255 - a) + 127;
        unsigned r = rgba[0], g = rgba[1], b = rgba[2];
        rgb[0] = (uint8_t)((r * a + white) / 255);
        rgb[1] = (uint8_t)((g * a + white) / 255);
        rgb[2] = (uint8_t)((b * a + white) / 255);
    }
}

/* ---- telling the kind ---- */

static bool has(const uint8_t *d, size_t n, size_t at, const char *magic, size_t len)
{
    return at <= n && n - at >= len && memcmp(d + at, magic, len) == 0;
}
#define HAS(at, magic) has(d, n, at, magic, sizeof(magic) - 1)

static dv_decode_fn decoder_for(const uint8_t *d, size_t n)
{
    if (HAS(0, "\xff\xd8\xff"))
        return dv_jpeg_decode;
    if (HAS(0, "\x89PNG\r\n\x1a\n"))
        return dv_png_decode;
    if (HAS(0, "RIFF") && HAS(8, "WEBP"))
        return dv_webp_decode;
    if (n >= 2 && d[0] == 'P' && strchr("2356", d[1]) && d[1] &&
        (n == 2 || strchr(" \t\r\n\v\f#", d[2])))
        return dv_pnm_decode;
    return NULL;
}

/* What the bytes are if we know it, NULL if not. */
static const char *other_kind(const uint8_t *d, size_t n)
{
    if (HAS(0, "GIF87a") || HAS(0, "GIF89a"))
        return "GIF";
    if (HAS(0, "BM") && n >= 26 && d[6] == 0 && d[7] == 0)
        return "BMP";
    if (HAS(0, "II*\0") || HAS(0, "MM\0*"))
        return "TIFF (or a camera's raw format)";
    if (HAS(4, "ftypavif") || HAS(4, "ftypavis"))
        return "AVIF";
    if (HAS(4, "ftyphei") || HAS(4, "ftyphev") || HAS(4, "ftypmif1") || HAS(4, "ftypmsf1"))
        return "HEIC";
    if (HAS(0, "\xff\x0a") || HAS(4, "JXL "))
        return "JPEG XL";
    if (HAS(4, "jP  ") || HAS(0, "\xff\x4f\xff\x51"))
        return "JPEG 2000";
    if (HAS(0, "8BPS"))
        return "PSD";
    if (HAS(0, "\0\0\1\0"))
        return "ICO";
    if (HAS(0, "P1") || HAS(0, "P4") || HAS(0, "P7"))
        return d[1] == '7' ? "PAM (P7)" : "PBM (black and white PNM)";
    return NULL;
}

static const char *no_picture(const uint8_t *d, size_t n)
{
    size_t i = HAS(0, "\xef\xbb\xbf") ? 3 : 0;
    while (i < n && strchr(" \t\r\n", d[i]) && d[i])
        i++;
    if (n - i >= 5 && (strncasecmp((const char *)d + i, "<html", 5) == 0 ||
                       strncasecmp((const char *)d + i, "<!doc", 5) == 0))
        return "a web page (HTML)";
    if (n - i >= 4 && (strncasecmp((const char *)d + i, "<svg", 4) == 0))
        return "an SVG drawing";
    if (HAS(0, "%PDF"))
        return "a PDF document";
    if (HAS(0, "PK\3\4"))
        return "a ZIP archive";
    if (HAS(0, "\x1f\x8b"))
        return "gzip data";
    if (HAS(0, "\x7f"
               "ELF"))
        return "a program";
    if (HAS(4, "ftyp") || HAS(0, "\x1a\x45\xdf\xa3") || (HAS(0, "RIFF") && HAS(8, "AVI ")))
        return "a video";
    for (i = 0; i < n && i < 512; i++)
        if (d[i] == 0x7f || (d[i] < 0x20 && !strchr("\t\r\n\f\x1b", d[i])) || d[i] == 0)
            return NULL;
    return "a text file";
}

/* The end of a long path tells more than its beginning. */
static const char *shown(const char *name)
{
    size_t n;
    if (!name || !*name)
        return "picture";
    n = strlen(name);
    return n > SHOWN_NAME ? name + n - SHOWN_NAME : name;
}

dmv_status dv_image_decode_within(const uint8_t *data, size_t size, const char *name,
                                  const dv_limits *lim, dv_picture *out, dv_err *e)
{
    dv_decode_fn decode;
    const char *what;

    memset(out, 0, sizeof *out);
    name = shown(name);
    if (size == 0 || !data)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: the file is empty (0 bytes); copy or save the picture again", name);
    if (size > DV_IMAGE_MAX_FILE)
        return dv_fail(e, DMV_ERR_LIMIT, "%s: %zu bytes is over the limit of %u for a picture",
                       name, size, DV_IMAGE_MAX_FILE);
    decode = decoder_for(data, size);
    if (decode)
        return decode(data, size, name, lim, out, e);
    what = other_kind(data, size);
    if (what)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "%s: %s is not supported; convert it to PNG or JPEG",
                       name, what);
    what = no_picture(data, size);
    if (what)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: not a picture, it looks like %s; give a " READABLE " file", name, what);
    return dv_fail(e, DMV_ERR_FORMAT,
                   "%s: not a picture of a known kind (first bytes %02x %02x %02x %02x); give "
                   "a " READABLE " file",
                   name, data[0], size > 1 ? data[1] : 0, size > 2 ? data[2] : 0,
                   size > 3 ? data[3] : 0);
}

dmv_status dv_image_decode(const uint8_t *data, size_t size, const char *name, dv_picture *out,
                           dv_err *e)
{
    const dv_limits lim = {DV_IMAGE_MAX_SIDE, DV_IMAGE_MAX_PIXELS};
    return dv_image_decode_within(data, size, name, &lim, out, e);
}

dmv_status dv_image_load(const char *path, dv_picture *out, dv_err *e)
{
    struct stat st;
    uint8_t *data = NULL;
    size_t size = 0;
    dmv_status s;

    memset(out, 0, sizeof *out);
    if (!path || !*path)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no picture file is named");
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return dv_fail(e, DMV_ERR_IO, "%s: this is a folder; name one picture file in it",
                       shown(path));
    s = dv_read_file(path, DV_IMAGE_MAX_FILE, &data, &size, e);
    if (s)
        return s;
    s = dv_image_decode(data, size, path, out, e);
    dv_free(data);
    return s;
}

/* ---- by name ---- */

/* The ending without its dot, "" if none. A leading dot makes a hidden file, not an ending. */
static const char *ending(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    return dot && dot != base ? dot + 1 : "";
}

bool dv_image_is_name(const char *path)
{
    static const char *const known[] = {"jpg", "jpeg", "png", "webp", "ppm", "pgm", "pnm"};
    const char *end = path ? ending(path) : "";
    for (size_t i = 0; i < DV_COUNT(known); i++)
        if (strcasecmp(end, known[i]) == 0)
            return true;
    return false;
}

dmv_status dv_image_save(const char *path, const dv_picture *p, dv_err *e)
{
    uint8_t *data = NULL;
    size_t size = 0;
    const char *end;
    struct stat st;
    dmv_status s = dv_check_picture(p, e);

    if (s)
        return s;
    if (!path || !*path)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no file to save the picture to is named");
    end = ending(path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return dv_fail(e, DMV_ERR_IO, "%s: this is a folder; name a file to save to", shown(path));
    if (strcasecmp(end, "png") == 0)
        s = dv_png_encode(p, &data, &size, e);
    else if (strcasecmp(end, "jpg") == 0 || strcasecmp(end, "jpeg") == 0)
        s = dv_image_encode_jpeg(p, 90, &data, &size, e);
    else if (strcasecmp(end, "ppm") == 0)
        s = dv_ppm_encode(p, &data, &size, e);
    else
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "%s: cannot tell the kind of picture from the name; end it with .png, "
                       ".jpg or .ppm",
                       shown(path));
    if (s) {
        dv_fail_in(e, "%s", shown(path));
        return s;
    }
    s = dv_write_file(path, data, size, e);
    dv_free(data);
    return s;
}
