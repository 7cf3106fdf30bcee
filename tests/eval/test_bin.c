/* SPDX-License-Identifier: Apache-2.0
 *
 * Pickles of verification sets: as Python 2 and 3 write them, and what must be refused with the
 * place, the name of the instruction and nothing executed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/bin.h"

/* "\x80\x04" ] MARK C..C e ] MARK bools e TUPLE2 STOP; picture k is the byte of pics[k]. */
static void make(dv_buf *b, const char *pics, const char *bools)
{
    memset(b, 0, sizeof *b);
    dv_buf_put(b, "\x80\x04]\x94(", 5);
    for (; *pics; pics++) {
        dv_buf_put(b, "C\x01", 2);
        dv_buf_u8(b, (uint8_t)*pics);
        dv_buf_u8(b, 0x94);
    }
    dv_buf_put(b, "e]\x94(", 4);
    for (; *bools; bools++)
        dv_buf_u8(b, *bools == '1' ? 0x88 : 0x89);
    dv_buf_put(b, "e\x86\x94.", 4);
    assert_false(b->bad);
}

static void refused(const void *data, size_t size, const char *word)
{
    dv_bin out;
    dv_err e = {0};
    assert_int_not_equal(dv_bin_parse(data, size, "x.bin", &out, &e), DMV_OK);
    if (!strstr(e.msg, word) || !strstr(e.msg, "x.bin"))
        fail_msg("\"%s\" does not name the file and \"%s\"", e.msg, word);
    assert_null(out.picture);
    assert_null(out.pairs.pair);
}

static void test_pairs(void **state)
{
    (void)state;
    dv_buf b;
    dv_bin out;
    dv_err e = {0};
    /* a occurs three times, pair 3 is pair 1 turned round and says otherwise, pair 5 is f f */
    make(&b, "abcabagdffhijklmnopq", "1100111111");
    assert_int_equal(dv_bin_parse(b.data, b.size, "x.bin", &out, &e), DMV_OK);
    assert_int_equal(out.pairs.n, 10);
    assert_int_equal(out.pairs.folds, 10);
    assert_int_equal(out.pairs.n_names, 16);
    assert_true(out.pairs.pair[0].same);
    assert_false(out.pairs.pair[2].same);
    assert_int_equal(out.pairs.pair[1].b, out.pairs.pair[0].a);
    assert_int_equal(out.picture[out.pairs.pair[3].a].size, 1);
    assert_int_equal(out.picture[out.pairs.pair[3].a].data[0], 'g');
    assert_string_equal(out.pairs.names[0], "x.bin picture 1");
    assert_string_equal(out.pairs.names[out.pairs.pair[3].a], "x.bin picture 7");
    assert_int_equal(out.with_itself, 1);
    assert_int_equal(out.repeated, 1);
    assert_int_equal(out.contradicting, 1);
    dv_bin_free(&out);
    /* Every beginning of it is refused, and every byte turned into an import. */
    for (size_t n = 0; n < b.size; n++)
        refused(b.data, n, "");
    refused("", 0, "not a pickle");
    for (size_t n = 2; n < b.size; n++) {
        uint8_t was = b.data[n];
        b.data[n] = 'c';
        if (dv_bin_parse(b.data, b.size, "x.bin", &out, &e) == DMV_OK)
            dv_bin_free(&out); /* inside a picture */
        b.data[n] = was;
    }
    dv_buf_u8(&b, '.');
    refused(b.data, b.size, "bytes follow");
    dv_buf_free(&b);
}

/* What Python 2 writes: strings by T and U, memo by q, batches, single appends. */
static void test_python2(void **state)
{
    (void)state;
    dv_buf b = {0};
    dv_bin out;
    dv_err e = {0};
    dv_buf_put(&b, "\x80\x02]q\x01(", 6);
    for (int i = 0; i < 19; i++) {
        dv_buf_put(&b, i % 2 ? "T\x02\x00\x00\x00" : "U\x02", i % 2 ? 5 : 2);
        dv_buf_u8(&b, (uint8_t)i);
        dv_buf_u8(&b, 0xff);
        dv_buf_u8(&b, 'q');
        dv_buf_u8(&b, (uint8_t)(i + 2));
        if (i == 8)
            dv_buf_put(&b, "e(", 2);
    }
    dv_buf_put(&b,
               "eh\x02"
               "a]q\x15(\x88\x88\x88\x88\x88\x89\x89\x89\x89\x89"
               "e\x86q\x16.",
               23);
    if (dv_bin_parse(b.data, b.size, "x.bin", &out, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(out.pairs.n, 10);
    assert_int_equal(out.pairs.n_names, 19);
    assert_int_equal(out.pairs.pair[9].b, 0);
    assert_int_equal(out.picture[5].data[0], 5);
    dv_bin_free(&out);
    dv_buf_free(&b);
}

static void test_refused(void **state)
{
    (void)state;
    dv_buf b;
#define REFUSED(text, word) refused(text, sizeof(text) - 1, word)
    REFUSED("\x80\x03"
            "cos\nsystem\n(U\x02idtR.",
            "byte 2: pickle instruction 0x63, GLOBAL");
    REFUSED("\x80\x04\x93.", "GLOBAL");
    REFUSED("\x80\x02](c_codecs\nencode\n", "protocol=4");
    REFUSED("\x80\x02R.", "REDUCE");
    REFUSED("\x80\x02\x81.", "REDUCE");
    REFUSED("\x80\x02"
            "b.",
            "BUILD");
    REFUSED("\x80\x02P1\n.", "PERSID");
    REFUSED("\x80\x02](K\x01"
            "e.",
            "a number");
    REFUSED("\x80\x02](X\x01\x00\x00\x00"
            "ae.",
            "UNICODE");
    REFUSED("\x80\x02}.", "a dictionary");
    REFUSED("\x80\x02\xff.", "0xff, unknown");
    REFUSED("(lp0\n.", "not a pickle of protocol 2");
    REFUSED("\x80\x06.", "protocol");
    REFUSED("\x80\x02.", "expected one pair");
    REFUSED("\x80\x02]].", "expected one pair");
    REFUSED("\x80\x02]]\x86.", "list of pictures");
    REFUSED("\x80\x02]]]]]]]]]", "more than two lists");
    REFUSED("\x80\x02](]e.", "something other");
    REFUSED("\x80\x02](\x88U\x01"
            "ae.",
            "mixed");
    REFUSED("\x80\x02\x88\x88"
            "a.",
            "no list");
    REFUSED("\x80\x02"
            "a.",
            "nothing to append");
    REFUSED("\x80\x02"
            "e.",
            "without a mark");
    REFUSED("\x80\x02\x86.", "expected a pair");
    REFUSED("\x80\x02h\x00.", "never remembered");
    REFUSED("\x80\x02]q\x05.", "out of order");
    REFUSED("\x80\x02q\x00.", "not there");
    REFUSED("\x80\x02(q\x00.", "not there");
    REFUSED("\x80\x02]r\xff\xff\xff\xff.", "out of order");
    REFUSED("\x80\x02](B\xff\xff\xff\xff", "past the end");
    REFUSED("\x80\x02](\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "past the end");
    make(&b, "abcdefghijklmnopqrs", "1100111111");
    refused(b.data, b.size, "19 pictures and 10 booleans");
    dv_buf_free(&b);
    make(&b, "abcdefghijklmnopqrstuv", "11001111110");
    refused(b.data, b.size, "11 pairs do not make ten folds");
    dv_buf_free(&b);
    make(&b, "", "1");
    refused(b.data, b.size, "list of pictures");
    dv_buf_free(&b);
}

static void test_file_and_memory(void **state)
{
    (void)state;
    char path[64];
    dv_buf b;
    dv_bin out;
    dv_err e = {0};
    snprintf(path, sizeof path, "/tmp/dv_bin_%ld.bin", (long)getpid());
    make(&b, "abcdefghijklmnopqrst", "1100111111");
    assert_int_equal(dv_write_file(path, b.data, b.size, &e), DMV_OK);
    dv_buf_free(&b);
    assert_true(dv_bin_is(path));
    assert_false(dv_bin_is("/dev/null"));
    assert_false(dv_bin_is("/nonexistent"));
    assert_int_equal(dv_bin_load(path, &out, &e), DMV_OK);
    assert_int_equal(out.pairs.n_names, 20);
    dv_bin_free(&out);
    int failures = 0;
    for (uint64_t n = 1; n < 500; n++) {
        dv_alloc_fail_at(n, false);
        dmv_status s = dv_bin_load(path, &out, &e);
        dv_alloc_fail_at(0, false);
        if (!s) {
            dv_bin_free(&out);
            break;
        }
        assert_int_equal(s, DMV_ERR_MEMORY);
        assert_null(out.picture);
        failures++;
    }
    assert_true(failures > 20);
    unlink(path);
    assert_int_equal(dv_bin_load(path, &out, &e), DMV_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_python2),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_file_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
