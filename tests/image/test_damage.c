/* SPDX-License-Identifier: Apache-2.0
 *
 * test_damage.c - cut files, flipped bits and failing memory. A cut file is an error and never a
 * half-grey picture; damage of any sort ends in a picture or a message, and leaks nothing (run
 * it under the address sanitizer: every input is an exact-size copy).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "sample.h"

#define KINDS 12

static blob make(int kind)
{
    static const int pnm[4] = {2, 3, 5, 6};
    dv_picture p = sample_picture(19, 13);
    png_spec s = {19, 13, 8, 2, p.pixels, 57};
    blob b = {NULL, 0};

    if (kind < 4) {
        b = make_pnm(&p, pnm[kind], kind == 3 ? 65535 : 255);
    } else if (kind == 4) {
#ifdef DV_HAVE_SPNG
        b = make_png(&s);
#endif
    } else if (kind == 5) {
#ifdef DV_HAVE_SPNG
        dv_err e;
        assert_int_equal(dv_png_encode(&p, &b.data, &b.size, &e), DMV_OK);
#endif
    } else if (kind < 9) {
        static const int jpeg[3] = {JPEG_RGB, JPEG_PROGRESSIVE, JPEG_CMYK};
        b = make_jpeg(&p, jpeg[kind - 6]);
    } else {
        b = make_webp(&p, kind - 9 + WEBP_LOSSY);
    }
    (void)s;
    dv_picture_free(&p);
    return b;
}

static dmv_status decode_copy(const uint8_t *data, size_t n, dv_err *e)
{
    const dv_limits lim = {2048, 1 << 20};
    uint8_t *copy = dv_malloc(n);
    dv_picture p;
    dmv_status s;

    assert_non_null(copy);
    memcpy(copy, data, n);
    s = dv_image_decode_within(copy, n, "damaged", &lim, &p, e);
    dv_free(copy);
    assert_true(s == DMV_OK ? p.pixels && p.width > 0 && p.height > 0 : !p.pixels);
    if (s)
        assert_int_equal(e->code, s);
    dv_picture_free(&p);
    return s;
}

static void cut_anywhere(void **state)
{
    int seen = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        blob b = make(kind);
        /* Plain PNM ends in white space that may be missing, and a number may lose digits. */
        size_t tail = kind < 2 ? 4 : 0;
        dv_err e;
        for (size_t n = 0; n + tail < b.size; n++)
            if (decode_copy(b.data, n, &e) == DMV_OK)
                fail_msg("kind %d: %zu of %zu bytes were taken as a picture", kind, n, b.size);
        if (b.size) {
            seen++;
            assert_int_equal(decode_copy(b.data, b.size, &e), DMV_OK);
        }
        dv_free(b.data);
    }
    assert_true(seen >= 4);
}

/* A JPEG that lost its second half but has its end mark: libjpeg alone would paint it grey. */
static void cut_with_end_mark(void **state)
{
#ifdef DV_HAVE_JPEG
    dv_picture p = sample_picture(160, 120);
    blob b = make_jpeg(&p, JPEG_RGB);
    dv_err e;
    memcpy(b.data + b.size / 2, "\xff\xd9", 2);
    assert_int_equal(decode_copy(b.data, b.size / 2 + 2, &e), DMV_ERR_FORMAT);
    dv_free(b.data);
    dv_picture_free(&p);
#else
    skip();
#endif
}

static void flipped_bits(void **state)
{
    for (int kind = 0; kind < KINDS; kind++) {
        blob b = make(kind);
        uint32_t rnd = 0x1234u + (uint32_t)kind;
        dv_err e;
        size_t taken = 0;
        for (int i = 0; b.size && i < 1500; i++) {
            uint8_t *d = dv_malloc(b.size);
            int flips = 1 + (int)(sample_random(&rnd) % 8);
            memcpy(d, b.data, b.size);
            while (flips--) {
                uint32_t at = sample_random(&rnd) % (uint32_t)b.size;
                d[at] ^= (uint8_t)(1u << sample_random(&rnd) % 8);
            }
            taken += decode_copy(d, b.size, &e) == DMV_OK;
            dv_free(d);
        }
        if (kind == 4 && b.size) /* nearly every byte of a PNG file is under a checksum */
            assert_true(taken < 15);
        dv_free(b.data);
    }
}

static void no_memory(void **state)
{
    const dv_limits lim = {2048, 1 << 20};
    for (int kind = 0; kind < KINDS; kind++) {
        blob b = make(kind);
        bool done = b.size == 0;
        for (uint64_t nth = 1; !done; nth++)
            for (int sticky = 0; sticky < 2; sticky++) {
                dv_picture p;
                dv_err e = {0};
                dmv_status s;
                dv_alloc_fail_at(nth, sticky);
                s = dv_image_decode_within(b.data, b.size, "x", &lim, &p, &e);
                dv_alloc_fail_at(0, false);
                if (s) {
                    assert_int_equal(s, DMV_ERR_MEMORY);
                    assert_null(p.pixels);
                    assert_true(nth < 1000);
                } else {
                    done = sticky;
                    assert_true(nth > 1 || !sticky);
                }
                dv_picture_free(&p);
            }
        dv_free(b.data);
    }
}

static void no_memory_writing(void **state)
{
    dv_picture p = sample_picture(120, 90);
    uint32_t rnd = 5;
    for (size_t i = 0; i < 120 * 90 * 3; i++) /* noise: the JPEG outgrows its first block */
        p.pixels[i] = (uint8_t)sample_random(&rnd);
    for (int kind = 0; kind < 3; kind++) {
        bool done = false;
        for (uint64_t nth = 1; !done; nth++) {
            blob b = {NULL, 0};
            dv_err e = {0};
            dmv_status s;
            dv_alloc_fail_at(nth, true);
            s = kind == 0   ? dv_ppm_encode(&p, &b.data, &b.size, &e)
                : kind == 1 ? dv_png_encode(&p, &b.data, &b.size, &e)
                            : dv_image_encode_jpeg(&p, 100, &b.data, &b.size, &e);
            dv_alloc_fail_at(0, false);
            done = s == DMV_OK || s == DMV_ERR_UNSUPPORTED;
            if (!done) {
                assert_int_equal(s, DMV_ERR_MEMORY);
                assert_null(b.data);
            }
            dv_free(b.data);
        }
    }
    dv_picture_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_anywhere),      cmocka_unit_test(cut_with_end_mark),
        cmocka_unit_test(flipped_bits),      cmocka_unit_test(no_memory),
        cmocka_unit_test(no_memory_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
