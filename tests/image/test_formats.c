/* SPDX-License-Identifier: Apache-2.0
 *
 * test_formats.c - every kind of file that is read gives the pixels that were put in, and
 * everything else is refused with a message that names the file and says what to do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sample.h"

#ifdef DV_HAVE_JPEG
#define NEED_JPEG()
#else
#define NEED_JPEG() skip()
#endif
#ifdef DV_HAVE_SPNG
#define NEED_PNG()
#else
#define NEED_PNG() skip()
#endif
#ifdef DV_HAVE_WEBP
#define NEED_WEBP()
#else
#define NEED_WEBP() skip()
#endif

static dv_picture decoded(blob b)
{
    dv_picture p;
    dv_err e = {0};
    dmv_status s = dv_image_decode(b.data, b.size, "sample", &p, &e);
    if (s)
        fail_msg("%s", e.msg);
    return p;
}

static void refused(const void *data, size_t size, dmv_status want, const char *word)
{
    dv_picture p;
    dv_err e = {0};
    uint8_t *copy = dv_malloc(size);
    dmv_status s;

    assert_non_null(copy);
    memcpy(copy, data, size);
    s = dv_image_decode(copy, size, "door.bin", &p, &e);
    if (s != want || !strstr(e.msg, word))
        fail_msg("status %d, wanted %d with '%s': %s", s, want, word, e.msg);
    assert_non_null(strstr(e.msg, "door.bin"));
    assert_null(p.pixels);
    assert_int_equal(e.code, want);
    dv_free(copy);
}

/* Decodes, compares and frees. */
static void same(blob b, const dv_picture *want, int tolerance)
{
    dv_picture p = decoded(b);
    assert_in_range(picture_distance(&p, want), 0, tolerance);
    dv_picture_free(&p);
    assert_null(p.pixels);
    dv_free(b.data);
}

static void jpeg_kinds(void **state)
{
    NEED_JPEG();
    dv_picture p = sample_picture(67, 45), gray = sample_picture(67, 45), q, again;
    blob b;

    for (size_t i = 0; i < 67 * 45; i++)
        memset(gray.pixels + 3 * i, p.pixels[3 * i + 1], 3);
    same(make_jpeg(&p, JPEG_RGB), &p, 40); /* chroma at half resolution */
    same(make_jpeg(&p, JPEG_PROGRESSIVE), &p, 40);
    same(make_jpeg(&gray, JPEG_GRAY), &gray, 6);
    same(make_jpeg(&p, JPEG_CMYK), &p, 16);
    same(make_jpeg(&p, JPEG_YCCK), &p, 40);

    b = make_jpeg(&p, JPEG_RGB);
    q = decoded(b);
    again = decoded(b);
    assert_int_equal(picture_distance(&q, &again), 0);
    dv_picture_free(&again);
    dv_picture_free(&q);
    dv_free(b.data);

    dv_err e = {0};
    assert_int_equal(dv_image_encode_jpeg(&p, 95, &b.data, &b.size, &e), DMV_OK);
    same(b, &p, 12); /* full colour resolution */
    assert_int_equal(dv_image_encode_jpeg(&p, 50, &b.data, &b.size, &e), DMV_OK);
    same(b, &p, 90);
    assert_int_equal(dv_image_encode_jpeg(&p, 0, &b.data, &b.size, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_image_encode_jpeg(&p, 101, &b.data, &b.size, &e), DMV_ERR_ARGUMENT);
    dv_picture_free(&p);
    dv_picture_free(&gray);
}

/* CMYK without Adobe's marker is ink, not light: 255 is full. */
static void jpeg_plain_cmyk(void **state)
{
    NEED_JPEG();
    dv_picture p = sample_picture(16, 16), q;
    blob b;
    for (size_t i = 0; i < 256; i++)
        memcpy(p.pixels + 3 * i, "\xc8\x64\x14", 3);
    b = make_jpeg(&p, JPEG_CMYK);
    q = decoded(b);
    assert_in_range(abs(q.pixels[0] - 0xc8) + abs(q.pixels[1] - 0x64) + abs(q.pixels[2] - 0x14), 0,
                    6);
    dv_picture_free(&q);
    assert_memory_equal(b.data + 2, "\xff\xee", 2); /* blank Adobe's name in its APP14 */
    memcpy(b.data + 6, "Nobod", 5);
    q = decoded(b);
    for (int i = 0; i < 3; i++) /* k = 255: all black ink */
        assert_in_range(q.pixels[i], 0, 2);
    dv_picture_free(&q);
    dv_free(b.data);
    dv_picture_free(&p);
}

/* Where the top left, top right and bottom left corner of the stored picture must end up. */
static void jpeg_orientations(void **state)
{
    NEED_JPEG();
    enum { W = 48, H = 32 };
    static const char corners[9][4] = {"",     "RGBW", "GRWB", "WBGR", "BWRG",
                                       "RBGW", "BRWG", "WGBR", "GWRB"};
    dv_picture p = sample_picture(W, H);
    blob plain;

    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            uint8_t *q = p.pixels + 3 * (y * W + x);
            int right = x >= W / 2, low = y >= H / 2;
            q[0] = right == low ? 230 : 20;
            q[1] = right ? 230 : 20;
            q[2] = low ? 230 : 20;
        }
    plain = make_jpeg(&p, JPEG_RGB);
    for (int o = 1; o <= 8; o++)
        for (int big = 0; big < 2; big++) {
            blob b = with_exif(plain, o, big);
            dv_picture q = decoded(b);
            char seen[5] = "";
            assert_int_equal(q.width, o >= 5 ? H : W);
            assert_int_equal(q.height, o >= 5 ? W : H);
            for (int i = 0; i < 4; i++) {
                int x = i & 1 ? q.width - 3 : 2, y = i & 2 ? q.height - 3 : 2;
                const uint8_t *v = q.pixels + 3 * (y * q.width + x);
                seen[i] = v[0] > 128 ? (v[1] > 128 ? 'W' : 'R') : v[1] > 128 ? 'G' : 'B';
            }
            if (memcmp(seen, corners[o], 4) != 0)
                fail_msg("orientation %d: %s, wanted %.4s", o, seen, corners[o]);
            dv_picture_free(&q);
            dv_free(b.data);
        }
    for (int o = 9; o <= 256; o += 13) { /* values that mean nothing (256 wraps to 0) */
        blob b = with_exif(plain, o, false);
        assert_int_equal(dv_exif_orientation(b.data, b.size), 1);
        dv_free(b.data);
    }
    dv_free(plain.data);
    dv_picture_free(&p);
}

static void exif_is_bounded(void **state)
{
    uint8_t soi[4] = {0xff, 0xd8, 0xff, 0xda};
    blob plain = {soi, 4}, b = with_exif(plain, 6, true);
    uint32_t rnd = 7;

    assert_int_equal(dv_exif_orientation(b.data, b.size), 6);
    for (size_t n = 0; n < b.size; n++) { /* exact-size copies, for the address sanitizer */
        uint8_t *cut = dv_malloc(n);
        memcpy(cut, b.data, n);
        assert_in_range(dv_exif_orientation(cut, n), 1, 8);
        dv_free(cut);
    }
    for (int i = 0; i < 20000; i++) {
        uint8_t *cut = dv_malloc(b.size);
        memcpy(cut, b.data, b.size);
        for (int k = 0; k < 3; k++)
            cut[2 + sample_random(&rnd) % (b.size - 2)] = (uint8_t)sample_random(&rnd);
        assert_in_range(dv_exif_orientation(cut, b.size), 1, 8);
        dv_free(cut);
    }
    dv_free(b.data);
}

static void png_kinds(void **state)
{
    NEED_PNG();
    static const uint8_t rgb16[2 * 6] = {0xff, 0xff, 0x80, 0x00, 0x00, 0xff,
                                         0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc};
    static const uint8_t gray16[4] = {0x80, 0x01, 0xff, 0xfe};
    static const uint8_t gray2[1] = {0x1b}; /* 0 1 2 3 */
    static const uint8_t idx1[1] = {0x40};  /* 0 1 */
    static const uint8_t pal[6] = {10, 20, 30, 200, 100, 50}, pal_alpha[1] = {0};
    static const uint8_t rgba[8] = {200, 100, 0, 255, 200, 100, 0, 51};
    static const uint8_t ga[4] = {0, 128, 90, 255};
    static const uint8_t key[6] = {0, 1, 0, 2, 0, 3}, keyed[6] = {1, 2, 3, 1, 2, 4};
    const struct {
        png_spec spec;
        uint8_t want[12];
    } cases[] = {
        {{2, 1, 16, 2, rgb16, 12}, {0xff, 0x80, 0x00, 0x12, 0x56, 0x9a}},
        {{2, 1, 16, 0, gray16, 4}, {0x80, 0x80, 0x80, 0xff, 0xff, 0xff}},
        {{4, 1, 2, 0, gray2, 1}, {0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255}},
        {{2, 1, 1, 3, idx1, 1, pal, NULL, 6, 0}, {10, 20, 30, 200, 100, 50}},
        {{2, 1, 1, 3, idx1, 1, pal, pal_alpha, 6, 1}, {255, 255, 255, 200, 100, 50}},
        {{2, 1, 8, 6, rgba, 8}, {200, 100, 0, 244, 224, 204}},
        {{2, 1, 8, 4, ga, 4}, {127, 127, 127, 90, 90, 90}},
        {{2, 1, 8, 2, keyed, 6, NULL, key, 0, 6}, {255, 255, 255, 1, 2, 4}},
    };

    for (size_t i = 0; i < DV_COUNT(cases); i++) {
        blob b = make_png(&cases[i].spec);
        dv_picture p = decoded(b);
        assert_int_equal(p.width, cases[i].spec.width);
        assert_int_equal(p.height, 1);
        for (size_t k = 0; k < 3u * cases[i].spec.width; k++)
            if (p.pixels[k] != cases[i].want[k])
                fail_msg("case %zu, byte %zu: %d, wanted %d", i, k, p.pixels[k], cases[i].want[k]);
        dv_picture_free(&p);
        dv_free(b.data);
    }

    dv_picture p = sample_picture(301, 117); /* rows over several stored blocks */
    png_spec s = {301, 117, 8, 2, p.pixels, 301 * 3};
    same(make_png(&s), &p, 0);
    blob b;
    dv_err e = {0};
    assert_int_equal(dv_png_encode(&p, &b.data, &b.size, &e), DMV_OK);
    same(b, &p, 0);
    dv_picture_free(&p);
}

static void png_checksums(void **state)
{
    NEED_PNG();
    dv_picture p = sample_picture(20, 10);
    png_spec s = {20, 10, 8, 2, p.pixels, 60};
    blob b = make_png(&s);

    b.data[60] ^= 1; /* inside the stored rows */
    refused(b.data, b.size, DMV_ERR_FORMAT, "damaged");
    b.data[60] ^= 1;
    b.data[b.size - 1] ^= 1; /* checksum of the end mark */
    refused(b.data, b.size, DMV_ERR_FORMAT, "damaged");
    dv_free(b.data);
    dv_picture_free(&p);
}

static void webp_kinds(void **state)
{
    NEED_WEBP();
    dv_picture p = sample_picture(61, 40), white = sample_picture(61, 40);
    uint8_t moving[30] = "RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x0f\0\0\x0f\0\0";

    for (size_t i = 0; i < 61 * 40; i++) {
        int a = p.pixels[3 * i];
        for (size_t k = 3 * i; k < 3 * i + 3; k++)
            white.pixels[k] = (uint8_t)((p.pixels[k] * a + 255 * (255 - a) + 127) / 255);
    }
    same(make_webp(&p, WEBP_LOSSLESS), &p, 0);
    same(make_webp(&p, WEBP_LOSSY), &p, 60);
    same(make_webp(&p, WEBP_ALPHA), &white, 0);
    refused(moving, sizeof moving, DMV_ERR_UNSUPPORTED, "save one frame");
    moving[4] = 200;
    refused(moving, sizeof moving, DMV_ERR_FORMAT, "cut off");
    dv_picture_free(&p);
    dv_picture_free(&white);
}

static void pnm_kinds(void **state)
{
    dv_picture p = sample_picture(33, 21), gray = sample_picture(33, 21), q;
    static const unsigned maxvals[] = {255, 1, 100, 256, 65535};

    for (size_t i = 0; i < 33 * 21; i++)
        memset(gray.pixels + 3 * i, p.pixels[3 * i], 3);
    for (size_t i = 0; i < DV_COUNT(maxvals); i++) {
        unsigned m = maxvals[i];
        int tol = m >= 255 ? (m == 256 ? 1 : 0) : (int)(255 / m) + 1;
        same(make_pnm(&p, 3, m), &p, tol);
        same(make_pnm(&p, 6, m), &p, tol);
        same(make_pnm(&p, 2, m), &gray, tol);
        same(make_pnm(&p, 5, m), &gray, tol);
    }
    static const char one[] = "P2#c\n1 1 15 7"; /* 7 of 15: (7 * 255 + 7) / 15 */
    q = decoded((blob){(uint8_t *)one, sizeof one - 1});
    assert_int_equal(q.pixels[0], 119);
    dv_picture_free(&q);
    static const char two[] = "P5 2 1 255\n\x09\x0aP5 1 1 255\nx"; /* samples look like blanks */
    q = decoded((blob){(uint8_t *)two, sizeof two - 1});
    assert_memory_equal(q.pixels, "\x09\x09\x09\x0a\x0a\x0a", 6);
    dv_picture_free(&q);
    dv_picture_free(&p);
    dv_picture_free(&gray);

#define REFUSED(text, status, word) refused(text, sizeof(text) - 1, status, word)
    REFUSED("P6", DMV_ERR_FORMAT, "header");
    REFUSED("P6\n4 4 255\nabc", DMV_ERR_FORMAT, "cut off");
    REFUSED("P6\n4 x4 255\nabc", DMV_ERR_FORMAT, "header");
    REFUSED("P6\n-4 4 255\nabc", DMV_ERR_FORMAT, "header");
    REFUSED("P6\n0 4 255\nabc", DMV_ERR_FORMAT, "no pixels");
    REFUSED("P6\n4 4 0\nabc", DMV_ERR_FORMAT, "maxval");
    REFUSED("P6\n4 4 65536\nabc", DMV_ERR_FORMAT, "maxval");
    REFUSED("P2 2 1 9\n1 10", DMV_ERR_FORMAT, "0 to 9");
    REFUSED("P2 2 1 9\n1 1x", DMV_ERR_FORMAT, "0 to 9");
    REFUSED("P2 2 1 9\n1    ", DMV_ERR_FORMAT, "cut off");
    REFUSED("P5 1 1 9\n\x0a", DMV_ERR_FORMAT, "0 to 9");
    REFUSED("P6 60000 60000 255\n", DMV_ERR_LIMIT, "limit");
    REFUSED("P6 32767 32767 255\n", DMV_ERR_LIMIT, "limit");
    REFUSED("P6 99999999999999999999 1 255\n", DMV_ERR_FORMAT, "header");
    REFUSED("P6 30000 3000 255\nabc", DMV_ERR_FORMAT, "cut off");
}

/* Headers that promise far more than the file holds must be refused before memory is asked
 * for; the counter of allocations shows it for our own, the limit tests for the rest. */
static void bombs(void **state)
{
    dv_buf b = {0};
    static const uint8_t ihdr[13] = {0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 2, 0, 0, 0};
    static const uint8_t wide[13] = {0, 0, 0x75, 0x30, 0, 0, 0x0b, 0xb8, 8, 2, 0, 0, 0};
    uint8_t jpeg[] = {0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0xff, 0xdc, 0xff, 0xdc, 1, 1,    0x11, 0,
                      0xff, 0xda, 0,    8,    1, 1,  0, 0,    63,   0,    0,    0, 0xff, 0xd9};
#ifdef DV_HAVE_SPNG
    dv_buf_put(&b, "\x89PNG\r\n\x1a\n", 8);
    png_chunk(&b, "IHDR", ihdr, 13);
    png_chunk(&b, "IDAT", "\x78\x01", 2);
    png_chunk(&b, "IEND", NULL, 0);
    refused(b.data, b.size, DMV_ERR_LIMIT, "60000 x 60000");
    b.size = 8;
    png_chunk(&b, "IHDR", wide, 13); /* 90 million pixels are allowed, but not in 60 bytes */
    png_chunk(&b, "IDAT", "\x78\x01", 2);
    png_chunk(&b, "IEND", NULL, 0);
    refused(b.data, b.size, DMV_ERR_FORMAT, "cannot hold");
    dv_buf_free(&b);
#endif
#ifdef DV_HAVE_JPEG
    refused(jpeg, sizeof jpeg, DMV_ERR_LIMIT, "65500 x 65500");
    jpeg[7] = jpeg[8] = 0xff;
    refused(jpeg, sizeof jpeg, DMV_ERR_LIMIT, "limit");
    jpeg[7] = jpeg[8] = 0;
    refused(jpeg, sizeof jpeg, DMV_ERR_FORMAT, "damaged");
    jpeg[6] = 12;
    jpeg[8] = 16;
    refused(jpeg, sizeof jpeg, DMV_ERR_UNSUPPORTED, "8-bit");

    dv_picture p = sample_picture(64, 64);
    blob scans = make_jpeg(&p, JPEG_MANY_SCANS);
    refused(scans.data, scans.size, DMV_ERR_LIMIT, "scans");
    dv_free(scans.data);
    dv_picture_free(&p);
#endif
    (void)b, (void)ihdr, (void)wide, (void)jpeg;
}

static void other_files(void **state)
{
    dv_picture p;
    dv_err e = {0};
    char long_name[3001];

    REFUSED("GIF89a\1\0\1\0\0\0", DMV_ERR_UNSUPPORTED,
            "GIF is not supported; convert it to PNG or JPEG");
    REFUSED("BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\1\0\0\0\1\0\0\0", DMV_ERR_UNSUPPORTED,
            "BMP is not supported");
    REFUSED("II*\0\x08\0\0\0", DMV_ERR_UNSUPPORTED, "TIFF");
    REFUSED("\0\0\0\x18"
            "ftypheic\0\0\0\0",
            DMV_ERR_UNSUPPORTED, "HEIC");
    REFUSED("\0\0\0\x18"
            "ftypavif\0\0\0\0",
            DMV_ERR_UNSUPPORTED, "AVIF");
    REFUSED("\0\0\0\x18"
            "ftypisom\0\0\0\0",
            DMV_ERR_FORMAT, "video");
    REFUSED("P4 8 1\nx", DMV_ERR_UNSUPPORTED, "PBM");
    REFUSED("Dear neighbours,\nthe door is open.\n", DMV_ERR_FORMAT, "text file");
    REFUSED("P6 is what the next line says", DMV_ERR_FORMAT, "header");
    REFUSED("\n <!DOCTYPE html><html></html>", DMV_ERR_FORMAT, "web page");
    REFUSED("%PDF-1.7\n", DMV_ERR_FORMAT, "PDF");
    REFUSED("PK\3\4....", DMV_ERR_FORMAT, "ZIP");
    REFUSED("\x89PNG\n\x1a\n", DMV_ERR_FORMAT, "89 50 4e 47"); /* line ends were changed */
    REFUSED("\x01", DMV_ERR_FORMAT, "known kind");
    REFUSED("", DMV_ERR_FORMAT, "empty");

    memset(long_name, 'n', 3000);
    memcpy(long_name + 2995, "x.jpg", 6);
    assert_int_equal(dv_image_decode((const uint8_t *)"\x01", 1, long_name, &p, &e),
                     DMV_ERR_FORMAT);
    assert_non_null(strstr(e.msg, "x.jpg: not a picture"));
    assert_non_null(strstr(e.msg, "give a"));
    assert_int_equal(dv_image_decode(NULL, 0, NULL, &p, NULL), DMV_ERR_FORMAT);
}

/* A library that this build lacks: the message says so. */
static void missing_libraries(void **state)
{
#ifndef DV_HAVE_JPEG
    REFUSED("\xff\xd8\xff\xe0....", DMV_ERR_UNSUPPORTED, "rebuild it with libjpeg-turbo");
#endif
#ifndef DV_HAVE_SPNG
    REFUSED("\x89PNG\r\n\x1a\n....", DMV_ERR_UNSUPPORTED, "rebuild it with libspng");
#endif
#ifndef DV_HAVE_WEBP
    REFUSED("RIFF....WEBP....", DMV_ERR_UNSUPPORTED, "rebuild it with libwebp");
#endif
#if defined(DV_HAVE_JPEG) && defined(DV_HAVE_SPNG) && defined(DV_HAVE_WEBP)
    skip();
#endif
}

static void names(void **state)
{
    assert_true(dv_image_is_name("a/b.jpg"));
    assert_true(dv_image_is_name("B.JPEG"));
    assert_true(dv_image_is_name("x.y.WebP"));
    assert_true(dv_image_is_name("./p.pgm"));
    assert_false(dv_image_is_name("a.gif"));
    assert_false(dv_image_is_name("jpg"));
    assert_false(dv_image_is_name(".jpg"));
    assert_false(dv_image_is_name("dir.jpg/file"));
    assert_false(dv_image_is_name(""));
    assert_false(dv_image_is_name(NULL));
}

/* Photos by real cameras, where the test material is at hand. */
static void real_photo(void **state)
{
    NEED_JPEG();
    const char *dir = getenv("DOMOVOI_SHARED");
    char path[4096];
    dv_picture a, b;
    dv_err e = {0};
    FILE *f;

    snprintf(path, sizeof path, "%s/groups/selfie_crowd.jpg", dir ? dir : ".");
    f = fopen(path, "rb");
    if (!f) {
        const char *cache = getenv("DOMOVOI_CACHE");
        snprintf(path, sizeof path, "%s/photos/sample1.jpg", cache ? cache : ".");
        f = fopen(path, "rb");
    }
    if (!f) {
        print_message("skipped: %s is not there\n", path);
        skip();
    }
    fclose(f);
    if (dv_image_load(path, &a, &e) || dv_image_load(path, &b, &e))
        fail_msg("%s", e.msg);
    assert_true(a.width > 300 && a.height > 300);
    assert_int_equal(picture_distance(&a, &b), 0);
    dv_picture_free(&a);
    dv_picture_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpeg_kinds),
        cmocka_unit_test(jpeg_plain_cmyk),
        cmocka_unit_test(jpeg_orientations),
        cmocka_unit_test(exif_is_bounded),
        cmocka_unit_test(png_kinds),
        cmocka_unit_test(png_checksums),
        cmocka_unit_test(webp_kinds),
        cmocka_unit_test(pnm_kinds),
        cmocka_unit_test(bombs),
        cmocka_unit_test(other_files),
        cmocka_unit_test(missing_libraries),
        cmocka_unit_test(names),
        cmocka_unit_test(real_photo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
