/* SPDX-License-Identifier: Apache-2.0
 *
 * test_sha256.c - the examples that NIST publishes for FIPS 180-4, every
 * length round the block borders, and every way to cut a message in two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/base.h"

static void hex_of(const void *p, size_t n, char hex[65])
{
    dv_sha256 s;
    uint8_t d[32];
    dv_sha256_init(&s);
    dv_sha256_update(&s, p, n);
    dv_sha256_final(&s, d);
    dv_hex(d, 32, hex);
}

static void test_examples(void **state)
{
    static const struct {
        const char *text, *hex;
    } known[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
         "lmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    for (size_t i = 0; i < DV_COUNT(known); i++) {
        char hex[65];
        hex_of(known[i].text, strlen(known[i].text), hex);
        assert_string_equal(hex, known[i].hex);
    }
}

static void test_million(void **state)
{
    static char a[1000];
    memset(a, 'a', sizeof a);
    dv_sha256 s;
    uint8_t d[32];
    char hex[65];
    dv_sha256_init(&s);
    for (int i = 0; i < 1000; i++)
        dv_sha256_update(&s, a, sizeof a);
    dv_sha256_final(&s, d);
    dv_hex(d, 32, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* The digest of the digests of 300 messages, n = 0..299, byte i of message n being
 * (7 i + n) & 255. In Python:
 *     h = hashlib.sha256()
 *     for n in range(300):
 *         h.update(hashlib.sha256(bytes((7 * i + n) & 255 for i in range(n))).digest()) */
static void test_lengths(void **state)
{
    uint8_t m[300], d[32];
    char hex[65];
    dv_sha256 all;
    dv_sha256_init(&all);
    for (size_t n = 0; n < 300; n++) {
        dv_sha256 s;
        for (size_t i = 0; i < n; i++)
            m[i] = (uint8_t)(7 * i + n);
        dv_sha256_init(&s);
        dv_sha256_update(&s, m, n);
        dv_sha256_final(&s, d);
        dv_sha256_update(&all, d, 32);
    }
    dv_sha256_final(&all, d);
    dv_hex(d, 32, hex);
    assert_string_equal(hex, "d5238871a46ac4a1a75ac3fb19d645b0b3b9e5f35f5f720e2b240d605c6b694e");
}

static void test_cuts(void **state)
{
    uint8_t m[200], d[32];
    char whole[65], hex[65];
    for (size_t i = 0; i < sizeof m; i++)
        m[i] = (uint8_t)(i * 11);
    hex_of(m, sizeof m, whole);
    for (size_t a = 0; a <= sizeof m; a++) {
        dv_sha256 s;
        dv_sha256_init(&s);
        dv_sha256_update(&s, m, a);
        dv_sha256_update(&s, NULL, 0);
        dv_sha256_update(&s, m + a, sizeof m - a);
        dv_sha256_final(&s, d);
        dv_hex(d, 32, hex);
        assert_string_equal(hex, whole);
    }
}

static void test_hex(void **state)
{
    char out[7] = "xxxxxx";
    dv_hex((const uint8_t *)"\x00\xAF\x9", 3, out);
    assert_string_equal(out, "00af09");
    dv_hex(NULL, 0, out);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples), cmocka_unit_test(test_million),
        cmocka_unit_test(test_lengths),  cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests_name("base-sha256", tests, NULL, NULL);
}
