/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache of embeddings: what is put comes back to the bit, damage of every kind costs the
 * damaged records only, two writers at once lose nothing, and other people's files are left alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/cache.h"

#define ID "0123456789abcdef0123456789abcdef"
#define DIM 7
#define HEAD 64
#define RECORD (32 + 8 + DIM * 4 + 8)

static char folder[64], path[128];

static dv_cache *reopen(dv_cache *c)
{
    dv_err e = {0};
    assert_int_equal(dv_cache_close(&c, &e), DMV_OK);
    if (dv_cache_open(folder, ID, DIM, &c, &e))
        fail_msg("%s", e.msg);
    return c;
}

static void make(int i, uint8_t key[32], float *v)
{
    char text[32];
    int n = snprintf(text, sizeof text, "picture %d", i);
    dv_cache_key(text, (size_t)n, "mirror", key);
    for (int k = 0; k < DIM; k++)
        v[k] = (float)(i * 31 + k) / 977;
}

static void put(dv_cache *c, int from, int to)
{
    for (int i = from; i < to; i++) {
        uint8_t key[32];
        float v[DIM];
        make(i, key, v);
        dv_cache_put(c, key, i % 5 ? v : NULL);
    }
}

/* How many of 0 .. n-1 are there; those must be right. */
static int count(dv_cache *c, int n)
{
    int have = 0;
    for (int i = 0; i < n; i++) {
        uint8_t key[32];
        float v[DIM], got[DIM] = {0};
        make(i, key, v);
        int what = dv_cache_get(c, key, got);
        if (what == DV_CACHED_NOTHING)
            continue;
        assert_int_equal(what, i % 5 ? DV_CACHED_VECTOR : DV_CACHED_NO_FACE);
        if (i % 5)
            assert_memory_equal(v, got, sizeof v);
        have++;
    }
    return have;
}

static int fresh(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static off_t size_of_file(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void poke(off_t at, int byte)
{
    uint8_t b = (uint8_t)byte;
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    close(fd);
}

static void test_round_trip(void **state)
{
    (void)state;
    dv_cache *c = reopen(NULL);
    assert_int_equal(count(c, 300), 0);
    put(c, 0, 200);
    c = reopen(c);
    assert_int_equal(dv_cache_size(c), 200);
    assert_int_equal(count(c, 300), 200);
    put(c, 200, 300);
    c = reopen(c);
    assert_int_equal(count(c, 300), 300);
    assert_int_equal(dv_cache_damaged(c), 0);
    assert_int_equal(size_of_file(), HEAD + 300 * RECORD);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    uint8_t key[32], other[32];
    float v[DIM];
    make(1, key, v);
    dv_cache_key("picture 1", 9, "no mirror", other);
    assert_memory_not_equal(key, other, 32);
    assert_int_equal(dv_cache_get(c, other, v), DV_CACHED_NOTHING);
    v[3] = NAN;
    dv_cache_put(c, other, v);
    c = reopen(c);
    assert_int_equal(dv_cache_get(c, other, v), DV_CACHED_NOTHING);
    dv_cache_close(&c, NULL);
    assert_int_equal(dv_cache_close(&c, NULL), DMV_OK);
}

/* A flipped byte anywhere in a record costs that record; written again it is found. */
static void test_flipped(void **state)
{
    (void)state;
    dv_cache *c = reopen(NULL);
    put(c, 0, 20);
    for (int at = 0; at < RECORD; at++) {
        c = reopen(c);
        int fd = open(path, O_RDONLY);
        uint8_t was;
        off_t where = HEAD + 7 * RECORD + at;
        assert_int_equal(pread(fd, &was, 1, where), 1);
        close(fd);
        poke(where, was ^ 0x10);
        c = reopen(c);
        assert_int_equal(count(c, 20), 19);
        poke(where, was);
    }
    poke(HEAD + 7 * RECORD + 50, 0xff);
    c = reopen(c);
    assert_int_equal(count(c, 20), 19);
    assert_int_equal(dv_cache_damaged(c), 1);
    put(c, 7, 8);
    c = reopen(c);
    assert_int_equal(count(c, 20), 20);
    dv_cache_close(&c, NULL);
}

/* A file cut at any length: the whole records are found, and what is added later as well. */
static void test_cut(void **state)
{
    (void)state;
    for (off_t n = 0; n <= HEAD + 3 * RECORD; n++) {
        unlink(path);
        dv_cache *c = reopen(NULL);
        put(c, 0, 3);
        dv_cache_close(&c, NULL);
        assert_int_equal(truncate(path, n), 0);
        c = reopen(NULL);
        int whole = n < HEAD ? 0 : (int)((n - HEAD) / RECORD);
        assert_int_equal(count(c, 6), whole);
        put(c, 3, 6);
        c = reopen(c);
        assert_int_equal(count(c, 6), whole + 3);
        assert_int_equal(size_of_file(), HEAD + (whole + 3) * RECORD);
        dv_cache_close(&c, NULL);
    }
}

static void test_foreign(void **state)
{
    (void)state;
    dv_err e = {0};
    char junk[500];
    memset(junk, 'x', sizeof junk);
    assert_int_equal(dv_write_file(path, junk, sizeof junk, &e), DMV_OK);
    dv_cache *c = reopen(NULL);
    assert_int_equal(count(c, 5), 0);
    put(c, 0, 5);
    c = reopen(c);
    assert_int_equal(count(c, 5), 5);
    dv_cache_close(&c, NULL);
    /* Another length of vector under the same name: nothing is taken from it. */
    assert_int_equal(dv_cache_open(folder, ID, DIM + 1, &c, &e), DMV_OK);
    assert_int_equal(dv_cache_size(c), 0);
    dv_cache_close(&c, NULL);
    assert_int_not_equal(dv_cache_open(folder, "../../etc/passwd", DIM, &c, &e), DMV_OK);
    assert_int_not_equal(dv_cache_open(folder, ID, 0, &c, &e), DMV_OK);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_not_equal(dv_cache_open(folder, ID, DIM, &c, &e), DMV_OK);
    assert_non_null(strstr(e.msg, path));
    rmdir(path);
    /* A folder that went away: an error when written, not before. */
    assert_int_equal(dv_cache_open("/nonexistent", ID, DIM, &c, &e), DMV_OK);
    put(c, 0, 1);
    assert_int_equal(dv_cache_close(&c, &e), DMV_ERR_IO);
    assert_non_null(strstr(e.msg, "/nonexistent"));
}

static void task(void *arg, size_t i, int worker)
{
    (void)worker;
    dv_cache **c = arg;
    put(c[i % 2], (int)i * 10, (int)i * 10 + 10);
    float v[DIM];
    uint8_t key[32];
    make((int)i, key, v);
    dv_cache_get(c[i % 2], key, v);
    if (i % 7 == 0)
        dv_cache_flush(c[i % 2], NULL);
}

static void test_two_writers(void **state)
{
    (void)state;
    dv_cache *c[2] = {reopen(NULL), reopen(NULL)};
    dv_pool *pool;
    assert_int_equal(dv_pool_open(4, &pool, NULL), DMV_OK);
    dv_pool_run(pool, 100, task, c);
    dv_pool_close(&pool);
    dv_cache_close(&c[0], NULL);
    c[1] = reopen(c[1]);
    assert_int_equal(count(c[1], 1000), 1000);
    dv_cache_close(&c[1], NULL);
}

static void test_memory(void **state)
{
    (void)state;
    dv_cache *c = reopen(NULL);
    put(c, 0, 50);
    dv_cache_close(&c, NULL);
    int failures = 0;
    for (uint64_t n = 1; n < 200; n++) {
        dv_err e = {0};
        dv_alloc_fail_at(n, false);
        dmv_status s = dv_cache_open(folder, ID, DIM, &c, &e);
        if (!s) {
            put(c, 0, 1);
            int have = count(c, 50);
            s = dv_cache_close(&c, &e);
            dv_alloc_fail_at(0, false);
            assert_in_range(have, 49, 50); /* one read found no memory */
        }
        dv_alloc_fail_at(0, false);
        failures += s != DMV_OK;
    }
    assert_true(failures >= 4);
    c = reopen(NULL);
    assert_int_equal(count(c, 50), 50);
    dv_cache_close(&c, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_round_trip, fresh),
        cmocka_unit_test_setup(test_flipped, fresh),
        cmocka_unit_test_setup(test_cut, fresh),
        cmocka_unit_test_setup(test_foreign, fresh),
        cmocka_unit_test_setup(test_two_writers, fresh),
        cmocka_unit_test_setup(test_memory, fresh),
    };
    strcpy(folder, "/tmp/dv_cache_XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/%s.embed", folder, ID);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}
