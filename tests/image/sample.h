/* SPDX-License-Identifier: Apache-2.0
 *
 * sample.h - pictures that the tests of the image layer make for themselves. PNG files are
 * written here from the specification and not by the library under test, so that a mistake
 * cannot hide by being made twice.
 */
#ifndef DV_TEST_SAMPLE_H
#define DV_TEST_SAMPLE_H

#include "image/codec.h"

typedef struct blob {
    uint8_t *data;
    size_t size;
} blob;

/* Smooth colours with some texture; the same for the same size. */
dv_picture sample_picture(int w, int h);
/* Largest difference of any channel, or 256 if the sizes differ. */
int picture_distance(const dv_picture *a, const dv_picture *b);
uint32_t sample_random(uint32_t *state); /* xorshift32 */

/* ---- PNG: rows without filters, stored deflate blocks ---- */
typedef struct png_spec {
    uint32_t width, height;
    int depth, color;    /* as in IHDR */
    const uint8_t *rows; /* packed rows one after the other */
    size_t row_bytes;
    const uint8_t *plte, *trns;
    size_t plte_size, trns_size;
} png_spec;
blob make_png(const png_spec *s);
void png_chunk(dv_buf *b, const char *type, const void *data, size_t size);

/* ---- JPEG, WebP: by the libraries' own encoders; no data if built without them ---- */
enum { JPEG_RGB, JPEG_GRAY, JPEG_CMYK, JPEG_YCCK, JPEG_PROGRESSIVE, JPEG_MANY_SCANS };
blob make_jpeg(const dv_picture *p, int kind);
/* The same file with an EXIF block behind its first marker. */
blob with_exif(blob jpeg, int orientation, bool big_endian);
enum { WEBP_LOSSY, WEBP_LOSSLESS, WEBP_ALPHA };
/* WEBP_ALPHA: alpha of a pixel is its red channel. */
blob make_webp(const dv_picture *p, int kind);
blob make_pnm(const dv_picture *p, int kind, unsigned maxval); /* kind 2, 3, 5 or 6 */

#endif
