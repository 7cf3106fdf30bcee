/* SPDX-License-Identifier: Apache-2.0
 *
 * Feature files: bytes written out by hand, files that were written and read again, and headers
 * that do not fit what follows them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/featfile.h"

static char folder[] = "/tmp/domovoi-featfile-XXXXXX";

static dmv_status parse(const void *p, size_t n, dv_features *f, dv_err *e)
{
    static float room[4096]; /* aligned as a file in memory is */
    assert_true(n <= sizeof room);
    memcpy(room, p, n);
    return dv_features_parse(room, n, "x.bin", f, e);
}

static void refused(const void *p, size_t n, const char *word)
{
    dv_features f;
    dv_err e = {0};
    assert_int_not_equal(parse(p, n, &f, &e), DMV_OK);
    if (!strstr(e.msg, word) || !strstr(e.msg, "x.bin"))
        fail_msg("\"%s\" does not name the file and \"%s\"", e.msg, word);
    assert_true(!f.v && !f.own && !f.map.data);
}

/* Two rows of three, 1.0 .. 6.0. */
static const uint8_t two[] = {2,    0,    0, 0,    3,    0,    0, 0, 12,   0,   0, 0,    5,    0, 0,
                              0,    0,    0, 0x80, 0x3f, 0,    0, 0, 0x40, 0,   0, 0x40, 0x40, 0, 0,
                              0x80, 0x40, 0, 0,    0xa0, 0x40, 0, 0, 0xc0, 0x40};

static void test_bin(void **state)
{
    (void)state;
    dv_features f;
    dv_err e = {0};
    uint8_t b[64];
    assert_int_equal(parse(two, sizeof two, &f, &e), DMV_OK);
    assert_true(f.n == 2 && f.dim == 3 && !f.own);
    for (int i = 0; i < 6; i++)
        assert_true(f.v[i] == (float)(i + 1));
    dv_features_free(&f);
    refused(two, sizeof two - 1, "its header says 40 bytes");
    refused(two, 15, "too short");
    refused(two, 0, "too short");
    /* One column: one vector, as the devkit writes it. */
    memcpy(b, two, sizeof two);
    b[0] = 6;
    b[4] = 1;
    b[8] = 4;
    assert_int_equal(parse(b, sizeof two, &f, &e), DMV_OK);
    assert_true(f.n == 1 && f.dim == 6 && f.v[5] == 6);
    dv_features_free(&f);
    /* Rows with a gap behind each: 2 x 2 of stride 12. */
    memcpy(b, two, sizeof two);
    b[4] = 2;
    assert_int_equal(parse(b, sizeof two, &f, &e), DMV_OK);
    assert_true(f.n == 2 && f.dim == 2 && f.v[0] == 1 && f.v[1] == 2 && f.v[2] == 4 && f.v[3] == 5);
    dv_features_free(&f);
    b[8] = 7;
    refused(b, sizeof two, "stride of 7");
    b[8] = 4;
    refused(b, sizeof two, "stride of 4");
    memcpy(b, two, sizeof two);
    b[12] = 0;
    refused(b, sizeof two, "element type 0");
    memcpy(b, two, sizeof two);
    b[0] = 0;
    refused(b, sizeof two, "0 rows");
    b[0] = 2;
    b[3] = 0x80;
    refused(b, sizeof two, "rows of 3");
    memcpy(b, two, sizeof two);
    b[3] = 0x7f; /* nearly 2^31 rows: no overflow */
    refused(b, sizeof two, "its header says 25");
    /* float64 */
    double d[4] = {1, -2, 0.5, 3};
    static const uint8_t head[] = {2, 0, 0, 0, 2, 0, 0, 0, 16, 0, 0, 0, 6, 0, 0, 0};
    memcpy(b, head, 16);
    memcpy(b + 16, d, sizeof d);
    assert_int_equal(parse(b, 48, &f, &e), DMV_OK);
    assert_true(f.own && f.v[1] == -2 && f.v[2] == 0.5f);
    dv_features_free(&f);
}

static void test_not_finite(void **state)
{
    (void)state;
    uint8_t b[64];
    memcpy(b, two, sizeof two);
    memset(b + 28, 0, 12);
    refused(b, sizeof two, "vector 2 is all zeros; 1 of 2");
    b[30] = 0x80;
    b[31] = 0x7f;
    refused(b, sizeof two, "vector 2 has numbers that are not finite");
    memset(b + 16, 0xff, 12);
    refused(b, sizeof two, "vector 1 has numbers that are not finite; 2 of 2");
}

static size_t npy(uint8_t *out, int version, const char *head, size_t data)
{
    size_t n = strlen(head), at = 8;
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (uint8_t)version;
    out[7] = 0;
    out[at++] = (uint8_t)n;
    out[at++] = (uint8_t)(n >> 8);
    if (version > 1) {
        out[at++] = 0;
        out[at++] = 0;
    }
    memcpy(out + at, head, n);
    for (size_t i = 0; i < data; i++) {
        float v = (float)(i + 1);
        memcpy(out + at + n + 4 * i, &v, 4);
    }
    return at + n + 4 * data;
}

static void npy_refused(const char *head, size_t data, const char *word)
{
    uint8_t b[512];
    refused(b, npy(b, 1, head, data), word);
}

static void test_npy(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }    \n",
        "{\"shape\":(2,3,),\"descr\":\"<f4\",\"fortran_order\":False}"};
    uint8_t b[512];
    dv_features f;
    dv_err e = {0};
    for (int version = 1; version <= 3; version++) {
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(parse(b, npy(b, version, good[k], 6), &f, &e), DMV_OK);
            assert_true(f.n == 2 && f.dim == 3 && f.v[0] == 1 && f.v[5] == 6);
            dv_features_free(&f);
        }
    }
    refused(b, npy(b, 4, good[0], 6), "format 4");
    npy_refused(good[0], 5, "20 bytes behind the header");
    npy_refused(good[0], 7, "28 bytes behind the header");
    npy_refused("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", 6, "ascontiguousarray");
    npy_refused("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)}", 6, "astype");
    npy_refused("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}", 6, "'>f4'");
    npy_refused("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}", 6, "records");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (6,)}", 6, "1 dimension;");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3)}", 6, "3 dimensions");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", 6, "0 dimensions");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3)}", 0, "0 vectors");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (6, 0)}", 0, "of 0 numbers");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 65536)}",
                6, "do not take");
    npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 3)}", 6,
                "damaged");
    static const char *const broken[] = {"",
                                         "{",
                                         "{'descr'",
                                         "{'descr': '<f4'",
                                         "{'descr': '<f4'}",
                                         "{'descr': '<f4', 'descr': '<f4'}",
                                         "{'fortran_order': Maybe}",
                                         "{'shape': (2, 3}",
                                         "{'shape': (2 3)}",
                                         "{'shape': 2}",
                                         "{'x': 1}",
                                         "{descr: '<f4'}"};
    for (size_t i = 0; i < DV_COUNT(broken); i++)
        npy_refused(broken[i], 6, "damaged");
    size_t n = npy(b, 1, good[0], 6);
    for (size_t k = 1; k < n; k++) { /* cut anywhere */
        dv_features g;
        assert_int_not_equal(parse(b, k, &g, &e), DMV_OK);
    }
}

static void test_files(void **state)
{
    (void)state;
    static const char *const names[] = {"a.bin", "b.npy", "C.NPY"};
    float v[5 * 7];
    char path[64];
    dv_features f;
    dv_err e = {0};
    for (int i = 0; i < 35; i++)
        v[i] = (float)(i - 17) / 3;
    for (size_t k = 0; k < DV_COUNT(names); k++) {
        for (size_t n = 1; n <= 5; n += 4) {
            snprintf(path, sizeof path, "%s/%s", folder, names[k]);
            assert_true(dv_features_is_name(path));
            assert_int_equal(dv_features_save(path, v, n, 7, &e), DMV_OK);
            assert_int_equal(dv_features_load(path, &f, &e), DMV_OK);
            assert_true(f.n == n && f.dim == 7 && f.map.data && !f.own);
            assert_memory_equal(f.v, v, n * 7 * sizeof *v);
            dv_features_free(&f);
            unlink(path);
        }
    }
    assert_false(dv_features_is_name("x.jpg"));
    assert_false(dv_features_is_name(".npy"));
    assert_int_equal(dv_features_save("/tmp/x.txt", v, 5, 7, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_features_save("/tmp/x.npy", v, 0, 7, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_features_load("/nonexistent/x.npy", &f, &e), DMV_ERR_IO);
    assert_non_null(strstr(e.msg, "/nonexistent/x.npy"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bin),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_npy),
        cmocka_unit_test(test_files),
    };
    if (!mkdtemp(folder))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
