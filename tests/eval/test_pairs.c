/* SPDX-License-Identifier: Apache-2.0
 *
 * Pair lists: both formats, and what must be refused with the number of the line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/eval.h"

static char path[64];

static dmv_status load(const char *text, size_t size, dv_pairs *p, dv_err *e)
{
    memset(e, 0, sizeof *e);
    assert_int_equal(dv_write_file(path, text, size, NULL), DMV_OK);
    return dv_pairs_load(path, p, e);
}

static void refused(const char *text, const char *word)
{
    dv_pairs p;
    dv_err e;
    assert_int_not_equal(load(text, strlen(text), &p, &e), DMV_OK);
    if (!strstr(e.msg, word) || !strstr(e.msg, path))
        fail_msg("\"%s\" does not name the file and \"%s\"", e.msg, word);
    assert_null(p.names);
    assert_null(p.pair);
}

static const char lfw[] = "2\t2\nAnn\t1\t2\nBob_B\t3\t12\nAnn\t1\tBob_B\t1\nCy\t1\tAnn\t3\n"
                          "Cy\t1\t2\r\nDee\t1\t2\n\nDee\t1\tCy\t2\nBob_B\t3\tDee\t1";

static void test_lfw(void **state)
{
    (void)state;
    dv_pairs p;
    dv_err e;
    assert_int_equal(load(lfw, sizeof lfw - 1, &p, &e), DMV_OK);
    assert_int_equal(p.n, 8);
    assert_int_equal(p.folds, 2);
    assert_string_equal(p.names[p.pair[0].a], "Ann/Ann_0001.jpg");
    assert_string_equal(p.names[p.pair[0].b], "Ann/Ann_0002.jpg");
    assert_string_equal(p.names[p.pair[1].b], "Bob_B/Bob_B_0012.jpg");
    static const bool same[8] = {true, true, false, false, true, true, false, false};
    for (int i = 0; i < 8; i++)
        assert_int_equal(p.pair[i].same, same[i]);
    /* Ann 1 2 3, Bob 3 12 1, Cy 1 2, Dee 1 2: each once */
    assert_int_equal(p.n_names, 10);
    assert_int_equal(p.pair[2].a, p.pair[0].a);
    for (size_t i = 0; i < p.n_names; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(p.names[i], p.names[k]);
    dv_pairs_free(&p);
}

/* n lines x<i>.jpg, y<i>.jpg. */
static char *many(int n)
{
    dv_buf b = {0};
    for (int i = 0; i < n; i++)
        dv_buf_printf(&b, "a b/x%d.jpg\ty%d.jpg\t%d\n", i, i, i % 2);
    dv_buf_u8(&b, 0);
    assert_false(b.bad);
    return (char *)b.data;
}

static void test_tabs(void **state)
{
    (void)state;
    dv_pairs p;
    dv_err e;
    char *text = many(5000); /* enough for the tables to grow */
    assert_int_equal(load(text, strlen(text), &p, &e), DMV_OK);
    assert_int_equal(p.folds, 10);
    assert_int_equal(p.n, 5000);
    assert_int_equal(p.n_names, 10000);
    assert_string_equal(p.names[p.pair[4321].a], "a b/x4321.jpg");
    assert_true(p.pair[4321].same);
    assert_false(p.pair[4320].same);
    dv_pairs_free(&p);
    dv_free(text);
    text = many(11);
    refused(text, "11 pairs do not make ten folds");
    dv_free(text);
}

static void test_swapped(void **state)
{
    (void)state;
    dv_pairs p;
    dv_err e;
    char *text = many(9), buf[1024];
    snprintf(buf, sizeof buf, "%sy3.jpg\ta b/x3.jpg\t1\n", text);
    assert_int_equal(load(buf, strlen(buf), &p, &e), DMV_OK);
    dv_pairs_free(&p);
    snprintf(buf, sizeof buf, "%sy3.jpg\ta b/x3.jpg\t0\n", text);
    refused(buf, "contradicts pair 4");
    snprintf(buf, sizeof buf, "%sa b/x3.jpg\ty3.jpg\t1\n", text);
    refused(buf, "same as pair 4");
    dv_free(text);
}

static void test_refused(void **state)
{
    (void)state;
    refused("", "no pairs");
    refused("\n\n", "no pairs");
    refused("a\tb\n", "FOLDS N");
    refused("a\tb\t1\na\tc\n", "line 2");
    refused("a\tb\t2\n", "line 1");
    refused("a\tb\t1\tx\n", "line 1");
    refused("a\ta\t1\n", "compared with itself");
    refused("/etc/x\tb\t1\n", "relative");
    refused("a/../../x\tb\t1\n", "'..'");
    refused("\tb\t1\n", "no name");
    refused("2\t2\nAnn\t1\t2\n", "ends after 1 pairs");
    refused("1\t1\nAnn\t1\t2\nAnn\t1\tBob\t2\nBob\t1\t2\n", "more pairs than");
    refused("1\t1\nAnn\t1\tBob\t2\n", "line 2");
    refused("1\t1\nAnn\t1\t2\nAnn\t1\tAnn\t3\n", "same name twice");
    refused("1\t1\nAnn\t0\t2\n", "line 2");
    refused("1\t1\nAn/n\t1\t2\n", "line 2");
    refused("1\t1\nAnn\t1\t99999999999\n", "line 2");
    refused("0\t300\n", "FOLDS N");
    refused("10\t4294967296\n", "FOLDS N");
    dv_pairs p;
    dv_err e;
    assert_int_equal(load("a\tb\0c\t1\n", 9, &p, &e), DMV_ERR_FORMAT);
    assert_int_equal(dv_pairs_load("/nonexistent/pairs", &p, &e), DMV_ERR_IO);
    char longname[1200];
    memset(longname, 'x', sizeof longname);
    memcpy(longname + sizeof longname - 5, "\tb\t1", 5);
    refused(longname, "1,024");
}

static void test_memory(void **state)
{
    (void)state;
    dv_pairs p;
    dv_err e;
    assert_int_equal(load(lfw, sizeof lfw - 1, &p, &e), DMV_OK);
    dv_pairs_free(&p);
    int failures = 0;
    for (uint64_t n = 1; n < 1000; n++) {
        dv_alloc_fail_at(n, false);
        dmv_status s = dv_pairs_load(path, &p, &e);
        dv_alloc_fail_at(0, false);
        if (s == DMV_OK) {
            dv_pairs_free(&p);
            break;
        }
        assert_int_equal(s, DMV_ERR_MEMORY);
        assert_null(p.pair);
        failures++;
    }
    assert_true(failures > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lfw),     cmocka_unit_test(test_tabs),
        cmocka_unit_test(test_swapped), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_memory),
    };
    snprintf(path, sizeof path, "/tmp/dv_pairs_%ld.txt", (long)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
