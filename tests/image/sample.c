/* SPDX-License-Identifier: Apache-2.0
 *
 * sample.c - see sample.h. Anything that goes wrong here is a failed test, so the makers assert.
 */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef DV_HAVE_JPEG
#include <jpeglib.h>
#endif
#ifdef DV_HAVE_WEBP
#include <webp/encode.h>
#endif

uint32_t sample_random(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

dv_picture sample_picture(int w, int h)
{
    dv_picture p = {dv_malloc((size_t)w * (size_t)h * 3), w, h};
    assert_non_null(p.pixels);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            uint8_t *q = p.pixels + 3 * ((size_t)y * (size_t)w + (size_t)x);
            q[0] = (uint8_t)(40 + 170 * x / w);
            q[1] = (uint8_t)(220 - 180 * y / h);
            q[2] = (uint8_t)(60 + (x + y) % 16 * 4);
        }
    return p;
}

int picture_distance(const dv_picture *a, const dv_picture *b)
{
    int worst = 0;
    if (a->width != b->width || a->height != b->height)
        return 256;
    for (size_t i = 0; i < (size_t)a->width * (size_t)a->height * 3; i++)
        worst = DV_MAX(worst, abs(a->pixels[i] - b->pixels[i]));
    return worst;
}

static blob take(dv_buf *b)
{
    assert_false(b->bad);
    return (blob){b->data, b->size};
}

/* ---- PNG ---- */

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t c = 0xffffffffu;
    while (n--) {
        c ^= *p++;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
    }
    return ~c;
}

static void put_be32(dv_buf *b, uint32_t v)
{
    const uint8_t d[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    dv_buf_put(b, d, 4);
}

void png_chunk(dv_buf *b, const char *type, const void *data, size_t size)
{
    size_t at;
    put_be32(b, (uint32_t)size);
    at = b->size;
    dv_buf_put(b, type, 4);
    if (size)
        dv_buf_put(b, data, size);
    assert_false(b->bad);
    put_be32(b, crc32_of(b->data + at, size + 4));
}

blob make_png(const png_spec *s)
{
    dv_buf b = {0}, raw = {0}, z = {0}, head = {0};
    uint32_t s1 = 1, s2 = 0;

    for (size_t y = 0; y < s->height; y++) {
        dv_buf_u8(&raw, 0);
        dv_buf_put(&raw, s->rows + y * s->row_bytes, s->row_bytes);
    }
    dv_buf_put(&z, "\x78\x01", 2);
    for (size_t at = 0; at < raw.size; at += 65535) {
        size_t n = DV_MIN(raw.size - at, (size_t)65535);
        dv_buf_u8(&z, at + n == raw.size);
        dv_buf_u16(&z, (uint16_t)n);
        dv_buf_u16(&z, (uint16_t)~n);
        dv_buf_put(&z, raw.data + at, n);
    }
    for (size_t i = 0; i < raw.size; i++) {
        s1 = (s1 + raw.data[i]) % 65521;
        s2 = (s2 + s1) % 65521;
    }
    put_be32(&z, s2 << 16 | s1);

    put_be32(&head, s->width);
    put_be32(&head, s->height);
    dv_buf_u8(&head, (uint8_t)s->depth);
    dv_buf_u8(&head, (uint8_t)s->color);
    dv_buf_put(&head, "\0\0\0", 3);
    dv_buf_put(&b, "\x89PNG\r\n\x1a\n", 8);
    png_chunk(&b, "IHDR", head.data, head.size);
    if (s->plte)
        png_chunk(&b, "PLTE", s->plte, s->plte_size);
    if (s->trns)
        png_chunk(&b, "tRNS", s->trns, s->trns_size);
    png_chunk(&b, "IDAT", z.data, z.size);
    png_chunk(&b, "IEND", NULL, 0);
    dv_buf_free(&raw);
    dv_buf_free(&z);
    dv_buf_free(&head);
    return take(&b);
}

/* ---- JPEG ---- */

#ifdef DV_HAVE_JPEG
/* 1 + 63 + 63 scans: each coefficient by itself, then its last bit. All of it is allowed. */
static int many_scans(jpeg_scan_info *scans)
{
    int n = 0;
    scans[n++] = (jpeg_scan_info){1, {0}, 0, 0, 0, 0};
    for (int k = 1; k < 64; k++)
        scans[n++] = (jpeg_scan_info){1, {0}, k, k, 0, 1};
    for (int k = 1; k < 64; k++)
        scans[n++] = (jpeg_scan_info){1, {0}, k, k, 1, 0};
    return n;
}

blob make_jpeg(const dv_picture *p, int kind)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    static jpeg_scan_info scans[130];
    unsigned char *mem = NULL;
    unsigned long size = 0;
    const bool gray = kind == JPEG_GRAY || kind == JPEG_MANY_SCANS;
    const bool ink = kind == JPEG_CMYK || kind == JPEG_YCCK;
    const int channels = gray ? 1 : ink ? 4 : 3;
    uint8_t *row = dv_malloc((size_t)p->width * 4);
    dv_buf b = {0};

    assert_non_null(row);
    c.err = jpeg_std_error(&err);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &mem, &size);
    c.image_width = (JDIMENSION)p->width;
    c.image_height = (JDIMENSION)p->height;
    c.input_components = channels;
    c.in_color_space = gray ? JCS_GRAYSCALE : ink ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&c);
    if (kind == JPEG_YCCK)
        jpeg_set_colorspace(&c, JCS_YCCK);
    jpeg_set_quality(&c, 95, TRUE);
    if (kind == JPEG_PROGRESSIVE)
        jpeg_simple_progression(&c);
    if (kind == JPEG_MANY_SCANS) {
        c.num_scans = many_scans(scans);
        c.scan_info = scans;
    }
    jpeg_start_compress(&c, TRUE);
    for (int y = 0; y < p->height; y++) {
        JSAMPROW rows[1] = {row};
        for (int x = 0; x < p->width; x++) {
            const uint8_t *q = p->pixels + 3 * ((size_t)y * (size_t)p->width + (size_t)x);
            if (gray)
                row[x] = q[1];
            else
                memcpy(row + channels * x, q, 3);
            if (ink)
                row[4 * x + 3] = 255; /* Adobe's inverted ink: no black */
        }
        jpeg_write_scanlines(&c, rows, 1);
    }
    jpeg_finish_compress(&c);
    dv_buf_put(&b, mem, size);
    jpeg_destroy_compress(&c);
    free(mem);
    dv_free(row);
    return take(&b);
}
#else
blob make_jpeg(const dv_picture *p, int kind)
{
    return (blob){NULL, 0};
}
#endif

blob with_exif(blob jpeg, int orientation, bool big_endian)
{
    uint8_t le[] = {0xff, 0xe1, 0,   34 + 12, 'E', 'x', 'i', 'f', 0,
                    0,    'I',  'I', 42,      0,   8,   0,   0,   0,
                    2,    0, /* entries */
                    0x0f, 1,    2,   0,       4,   0,   0,   0,   'd',
                    'v',  0,    0, /* Make, "dv" */
                    0x12, 1,    3,   0,       1,   0,   0,   0,   (uint8_t)orientation,
                    0,    0,    0,   0,       0,   0,   0};
    uint8_t be[] = {
        0xff, 0xe1, 0, 34 + 12, 'E', 'x',  'i', 'f',  0, 0, 'M', 'M', 0, 42,
        0,    0,    0, 8,       0,   2,    1,   0x0f, 0, 2, 0,   0,   0, 4,
        'd',  'v',  0, 0,       1,   0x12, 0,   3,    0, 0, 0,   1,   0, (uint8_t)orientation,
        0,    0,    0, 0,       0,   0};
    dv_buf b = {0};

    le[3] = be[3] = sizeof le - 2;
    dv_buf_put(&b, jpeg.data, 2);
    dv_buf_put(&b, big_endian ? be : le, sizeof le);
    dv_buf_put(&b, jpeg.data + 2, jpeg.size - 2);
    return take(&b);
}

/* ---- WebP, PNM ---- */

blob make_webp(const dv_picture *p, int kind)
{
    dv_buf b = {0};
#ifdef DV_HAVE_WEBP
    const size_t n = (size_t)p->width * (size_t)p->height;
    uint8_t *mem = NULL, *rgba = dv_malloc(n * 4);
    size_t size;

    assert_non_null(rgba);
    for (size_t i = 0; i < n; i++) {
        memcpy(rgba + 4 * i, p->pixels + 3 * i, 3);
        rgba[4 * i + 3] = p->pixels[3 * i];
    }
    size = kind == WEBP_LOSSY
               ? WebPEncodeRGB(p->pixels, p->width, p->height, p->width * 3, 95, &mem)
           : kind == WEBP_LOSSLESS
               ? WebPEncodeLosslessRGB(p->pixels, p->width, p->height, p->width * 3, &mem)
               : WebPEncodeLosslessRGBA(rgba, p->width, p->height, p->width * 4, &mem);
    assert_true(size > 0);
    dv_buf_put(&b, mem, size);
    WebPFree(mem);
    dv_free(rgba);
#endif
    return take(&b);
}

blob make_pnm(const dv_picture *p, int kind, unsigned maxval)
{
    dv_buf b = {0};
    const size_t n = (size_t)p->width * (size_t)p->height;
    const size_t channels = kind == 2 || kind == 5 ? 1 : 3;

    dv_buf_printf(&b, "P%d\n# made by a test\n%d # width\n%d\n%u\n", kind, p->width, p->height,
                  maxval);
    for (size_t i = 0; i < n * channels; i++) {
        unsigned v = p->pixels[channels == 1 ? 3 * i : i] * maxval / 255;
        if (kind <= 3)
            dv_buf_printf(&b, "%u%c", v, i % 16 == 15 ? '\n' : ' ');
        else if (maxval > 255)
            dv_buf_u16(&b, (uint16_t)(v << 8 | v >> 8));
        else
            dv_buf_u8(&b, (uint8_t)v);
    }
    return take(&b);
}
