/* SPDX-License-Identifier: Apache-2.0
 *
 * exif.c - finds the orientation tag in the EXIF block of a JPEG file, and nothing else.
 * Cameras store pixels as the sensor lies and say here how to turn them; a face that lies on
 * its side is not found. A damaged block means "as stored", it never makes a picture fail.
 *
 * Layout: JEITA CP-3451 (EXIF 2.3), sections 4.5 and 4.6; TIFF 6.0 for the directory.
 */
#include "image/codec.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3

static unsigned rd16(const uint8_t *p, bool big)
{
    return big ? (unsigned)p[0] << 8 | p[1] : (unsigned)p[1] << 8 | p[0];
}

static uint32_t rd32(const uint8_t *p, bool big)
{
    uint32_t a = rd16(p, big), b = rd16(p + 2, big);
    return big ? a << 16 | b : b << 16 | a;
}

/* t: a TIFF header and what follows it, n bytes. */
static int from_tiff(const uint8_t *t, size_t n)
{
    bool big;
    uint32_t at;
    unsigned entries;

    if (n < 8)
        return 1;
    if (memcmp(t, "II*\0", 4) == 0)
        big = false;
    else if (memcmp(t, "MM\0*", 4) == 0)
        big = true;
    else
        return 1;
    at = rd32(t + 4, big);
    if (at > n || n - at < 2)
        return 1;
    entries = rd16(t + at, big);
    at += 2;
    for (unsigned i = 0; i < entries && n - at >= 12; i++, at += 12) {
        const uint8_t *d = t + at;
        if (rd16(d, big) == TAG_ORIENTATION && rd16(d + 2, big) == TYPE_SHORT &&
            rd32(d + 4, big) == 1) {
            unsigned v = rd16(d + 8, big);
            return v >= 1 && v <= 8 ? (int)v : 1;
        }
    }
    return 1;
}

int dv_exif_orientation(const uint8_t *data, size_t size)
{
    const uint8_t *p = data, *end = data + size;

    if (size < 4 || p[0] != 0xff || p[1] != 0xd8)
        return 1;
    for (p += 2; end - p >= 4 && p[0] == 0xff;) {
        unsigned marker = p[1], len;
        if (marker == 0xff) { /* a fill byte */
            p++;
            continue;
        }
        if (marker == 0xda || marker == 0xd9) /* the pixels begin, or the end */
            return 1;
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) { /* no length follows */
            p += 2;
            continue;
        }
        len = rd16(p + 2, true);
        p += 2;
        if (len < 2 || (size_t)(end - p) < len)
            return 1;
        if (marker == 0xe1 && len >= 8 && memcmp(p + 2, "Exif\0\0", 6) == 0)
            return from_tiff(p + 8, len - 8);
        p += len;
    }
    return 1;
}
