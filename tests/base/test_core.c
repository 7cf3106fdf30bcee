/* SPDX-License-Identifier: Apache-2.0
 *
 * test_core.c - errors and the log, allocation counting and faults, the reader
 * and the writer at their bounds, instruction set names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* ---- errors ---- */

static void test_version(void **state)
{
    char want[32];
    snprintf(want, sizeof want, "%d.%d.%d", DMV_VERSION_MAJOR, DMV_VERSION_MINOR,
             DMV_VERSION_PATCH);
    assert_string_equal(dmv_version(), want);
}

static void test_status_strings(void **state)
{
    const char *unknown = dmv_status_string((dmv_status)99);
    assert_non_null(unknown);
    for (int a = DMV_OK; a <= DMV_ERR_NOT_FOUND; a++) {
        assert_string_not_equal(dmv_status_string((dmv_status)a), unknown);
        for (int b = DMV_OK; b < a; b++)
            assert_string_not_equal(dmv_status_string((dmv_status)a),
                                    dmv_status_string((dmv_status)b));
    }
    assert_non_null(dmv_status_string((dmv_status)-1));
}

static void test_fail(void **state)
{
    dv_err e = {0};
    assert_int_equal(dv_fail(&e, DMV_ERR_FORMAT, "tensor %d", 3), DMV_ERR_FORMAT);
    assert_int_equal(e.code, DMV_ERR_FORMAT);
    assert_string_equal(e.msg, "tensor 3");
    assert_int_equal(dv_fail_in(&e, "%s", "a.dmv"), DMV_ERR_FORMAT);
    assert_string_equal(e.msg, "a.dmv: tensor 3");
    /* The message may be made from itself. */
    dv_fail(&e, DMV_ERR_LIMIT, "<%s>", e.msg);
    assert_string_equal(e.msg, "<a.dmv: tensor 3>");
    assert_int_equal(e.code, DMV_ERR_LIMIT);
    assert_int_equal(dv_fail(NULL, DMV_ERR_IO, "x"), DMV_ERR_IO);
    assert_int_not_equal(dv_fail_in(NULL, "x"), DMV_OK);
    assert_int_equal(dv_nomem(&e), DMV_ERR_MEMORY);
}

static void test_fail_cut(void **state)
{
    static char text[4000];
    dv_err e;
    for (int shift = 0; shift < 4; shift++) {
        /* Two-byte characters, so that a cut may fall inside one. */
        size_t n = 0;
        while (n < (size_t)shift)
            text[n++] = 'x';
        while (n + 2 < sizeof text) {
            text[n++] = (char)0xC3;
            text[n++] = (char)0xA9;
        }
        text[n] = 0;
        memset(&e, 0xAA, sizeof e);
        dv_fail(&e, DMV_ERR_IO, "%s", text);
        size_t len = strlen(e.msg);
        assert_in_range(len, sizeof e.msg - 5, sizeof e.msg - 1);
        assert_string_equal(e.msg + len - 3, "...");
        assert_int_equal((len - 3 - (size_t)shift) % 2, 0);
        assert_memory_equal(e.msg, text, len - 3);
        dv_fail_in(&e, "%s", text);
        assert_in_range(strlen(e.msg), sizeof e.msg - 5, sizeof e.msg - 1);
    }
    /* The longest message that fits is not cut. */
    memset(text, 'y', sizeof e.msg - 1);
    text[sizeof e.msg - 1] = 0;
    dv_fail(&e, DMV_ERR_IO, "%s", text);
    assert_string_equal(e.msg, text);
}

static struct {
    int calls, level;
    char text[2048];
} logged;

static void log_it(void *user, int level, const char *message)
{
    assert_ptr_equal(user, &logged);
    logged.calls++;
    logged.level = level;
    snprintf(logged.text, sizeof logged.text, "%s", message);
}

static void test_log(void **state)
{
    struct dmv_context c = {.log = log_it, .log_user = &logged};
    dv_log(&c, DMV_LOG_INFO, "%d of %s", 3, "four");
    assert_int_equal(logged.calls, 1);
    assert_int_equal(logged.level, DMV_LOG_INFO);
    assert_string_equal(logged.text, "3 of four");
    dv_log(&c, DMV_LOG_ERROR, "%3000d", 1);
    assert_int_equal(logged.calls, 2);
    assert_true(strlen(logged.text) < 1024);
    c.log = NULL;
    dv_log(&c, DMV_LOG_ERROR, "nobody listens");
    dv_log(NULL, DMV_LOG_ERROR, "nobody is there");
    assert_int_equal(logged.calls, 2);
}

/* ---- memory ---- */

static void test_alloc(void **state)
{
    uint64_t before = dv_alloc_count();
    void *none = dv_malloc(0);
    assert_non_null(none);
    dv_free(none);
    uint8_t *z = dv_calloc(100, 3);
    assert_non_null(z);
    for (int i = 0; i < 300; i++)
        assert_int_equal(z[i], 0);
    z[299] = 7;
    z = dv_realloc(z, 5000);
    assert_non_null(z);
    assert_int_equal(z[299], 7);
    dv_free(z);
    char *s = dv_strdup("domovoi");
    assert_string_equal(s, "domovoi");
    dv_free(s);
    dv_free(NULL);
    assert_int_equal(dv_alloc_count() - before, 4);
    for (size_t n = 0; n < 3000; n += 37) {
        void *p = dv_alloc_aligned(n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % DV_ALIGN, 0);
        memset(p, 1, n);
        dv_free(p);
    }
}

static void test_alloc_overflow(void **state)
{
    volatile size_t half = SIZE_MAX / 2 + 2, all = SIZE_MAX;
    assert_null(dv_malloc(all));
    assert_null(dv_malloc(half));
    assert_null(dv_calloc(half, 2)); /* wraps to 2 */
    assert_null(dv_calloc(all, all));
    assert_null(dv_alloc_aligned(all));
    assert_null(dv_alloc_aligned(half));
    void *p = dv_malloc(10);
    assert_null(dv_realloc(p, all));
    dv_free(p); /* still ours */
}

static void test_alloc_faults(void **state)
{
    dv_alloc_fail_at(3, false);
    void *a = dv_malloc(1), *b = dv_alloc_aligned(1), *c = dv_malloc(1), *d = dv_malloc(1);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(c);
    assert_non_null(d);
    dv_alloc_fail_at(2, true);
    char *e = dv_strdup("x");
    assert_non_null(e);
    assert_null(dv_malloc(1));
    assert_null(dv_calloc(1, 1));
    assert_null(dv_realloc(a, 100));
    assert_null(dv_alloc_aligned(1));
    assert_null(dv_strdup("y"));
    dv_alloc_fail_at(0, false);
    void *f = dv_malloc(1);
    assert_non_null(f);
    dv_free(a), dv_free(b), dv_free(d), dv_free(e), dv_free(f);
}

enum { THREADS = 4, PER_THREAD = 20000 };

static void *allocate_much(void *failed)
{
    for (int i = 0; i < PER_THREAD; i++) {
        void *p = dv_malloc(8);
        *(int *)failed += !p;
        dv_free(p);
    }
    return NULL;
}

static void test_alloc_threads(void **state)
{
    pthread_t t[THREADS];
    int failed[THREADS] = {0}, total = 0;
    uint64_t before = dv_alloc_count();
    dv_alloc_fail_at(THREADS * PER_THREAD / 2, false);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, allocate_much, &failed[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL), total += failed[i];
    dv_alloc_fail_at(0, false);
    assert_int_equal(dv_alloc_count() - before, THREADS * PER_THREAD);
    assert_int_equal(total, 1);
}

static void test_grow(void **state)
{
    double *a = NULL;
    size_t cap = 0, n = 0;
    uint64_t before = dv_alloc_count();
    for (; n < 10000; n++) {
        assert_true(dv_grow(&a, &cap, n, sizeof *a));
        assert_true(cap > n);
        a[n] = (double)n;
    }
    assert_true(dv_alloc_count() - before < 40); /* grows by a factor */
    for (size_t i = 0; i < n; i++)
        assert_true(a[i] == (double)i);
    double *was = a;
    n = cap;
    dv_alloc_fail_at(1, false);
    assert_false(dv_grow(&a, &cap, n, sizeof *a));
    assert_ptr_equal(a, was);
    assert_int_equal(cap, n);
    cap = SIZE_MAX;
    assert_false(dv_grow(&a, &cap, SIZE_MAX, sizeof *a));
    cap = SIZE_MAX / 8;
    assert_false(dv_grow(&a, &cap, SIZE_MAX / 8, sizeof *a));
    dv_free(was);
}

static void test_wipe(void **state)
{
    uint8_t secret[40];
    memset(secret, 0x55, sizeof secret);
    dv_wipe(secret + 1, 38);
    assert_int_equal(secret[0], 0x55);
    assert_int_equal(secret[39], 0x55);
    for (int i = 1; i < 39; i++)
        assert_int_equal(secret[i], 0);
    dv_wipe(NULL, 0);
}

static void test_checked_sizes(void **state)
{
    size_t v;
    assert_true(dv_mul(SIZE_MAX / 2, 2, &v));
    assert_int_equal(v, SIZE_MAX - 1);
    assert_false(dv_mul(SIZE_MAX / 2 + 1, 2, &v));
    assert_true(dv_add(SIZE_MAX - 1, 1, &v));
    assert_false(dv_add(SIZE_MAX, 1, &v));
    assert_int_equal(dv_round_up(0, 64), 0);
    assert_int_equal(dv_round_up(1, 64), 64);
    assert_int_equal(dv_round_up(64, 64), 64);
    assert_int_equal(dv_round_up(65, 64), 128);
}

/* ---- reader ---- */

static void test_reader_values(void **state)
{
    static const uint8_t data[] = {0xFE, 0x02, 0x81, 0x04, 0x03, 0x02, 0xF1, 0x88, 0x77, 0x66, 0x55,
                                   0x44, 0x33, 0x22, 0x91, 0x00, 0x00, 0xC0, 0xBF, 'o',  'k'};
    dv_reader r = {.p = data, .end = data + sizeof data};
    assert_int_equal(dv_rd_u8(&r), 0xFE);
    assert_int_equal(dv_rd_u16(&r), 0x8102);
    assert_int_equal(dv_rd_u32(&r), 0xF1020304);
    assert_true(dv_rd_u64(&r) == 0x9122334455667788u);
    assert_true(dv_rd_f32(&r) == -1.5f);
    const void *p = dv_rd_bytes(&r, 2);
    assert_ptr_equal(p, data + sizeof data - 2);
    assert_false(r.bad);
    assert_non_null(dv_rd_bytes(&r, 0));
    assert_int_equal(dv_rd_u8(&r), 0);
    assert_true(r.bad);
}

/* Each read with each number of bytes left, at the end of a heap block of exactly that size. */
static void test_reader_bounds(void **state)
{
    static const size_t width[] = {1, 2, 4, 8, 4, 5};
    for (size_t left = 0; left <= 9; left++) {
        uint8_t *block = dv_malloc(left);
        memset(block, 0xFF, left);
        for (size_t kind = 0; kind < DV_COUNT(width); kind++) {
            dv_reader r = {.p = block, .end = block + left};
            bool fits = width[kind] <= left, zero = false;
            switch (kind) {
            case 0:
                zero = dv_rd_u8(&r) == 0;
                break;
            case 1:
                zero = dv_rd_u16(&r) == 0;
                break;
            case 2:
                zero = dv_rd_u32(&r) == 0;
                break;
            case 3:
                zero = dv_rd_u64(&r) == 0;
                break;
            case 4:
                zero = dv_rd_f32(&r) == 0;
                break;
            default:
                zero = dv_rd_bytes(&r, 5) == NULL;
                break;
            }
            assert_int_equal(zero, !fits);
            assert_int_equal(r.bad, !fits);
            assert_int_equal(r.p - block, fits ? width[kind] : 0);
            if (!fits) { /* sticky, even for what would fit */
                assert_int_equal(dv_rd_u8(&r), 0);
                assert_null(dv_rd_bytes(&r, 0));
                assert_true(r.bad);
            }
        }
        dv_free(block);
    }
}

static void test_reader_extremes(void **state)
{
    uint8_t data[4] = {1, 2, 3, 4};
    dv_reader r = {.p = data, .end = data + 4};
    assert_null(dv_rd_bytes(&r, SIZE_MAX));
    assert_true(r.bad);
    r = (dv_reader){0};
    assert_non_null(dv_rd_bytes(&r, 0));
    assert_int_equal(dv_rd_u32(&r), 0);
    assert_true(r.bad);
}

/* ---- writer ---- */

static void test_buf(void **state)
{
    dv_buf b = {0};
    dv_buf_u8(&b, 0xFE);
    dv_buf_u16(&b, 0x8102);
    dv_buf_u32(&b, 0xF1020304);
    dv_buf_u64(&b, 0x9122334455667788u);
    dv_buf_f32(&b, -FLT_MAX);
    dv_buf_put(&b, NULL, 0);
    dv_buf_align(&b, 1);
    assert_int_equal(b.size, 19);
    dv_buf_align(&b, 64);
    assert_int_equal(b.size, 64);
    dv_buf_align(&b, 64);
    assert_int_equal(b.size, 64);
    dv_buf_printf(&b, "%s=%d", "k", 5);
    assert_int_equal(b.size, 67);
    assert_string_equal((char *)b.data + 64, "k=5");
    static const uint8_t head[] = {0xFE, 0x02, 0x81, 0x04, 0x03, 0x02, 0xF1, 0x88};
    assert_memory_equal(b.data, head, sizeof head);

    dv_reader r = {.p = b.data, .end = b.data + b.size};
    assert_int_equal(dv_rd_u8(&r), 0xFE);
    assert_int_equal(dv_rd_u16(&r), 0x8102);
    assert_int_equal(dv_rd_u32(&r), 0xF1020304);
    assert_true(dv_rd_u64(&r) == 0x9122334455667788u);
    assert_true(dv_rd_f32(&r) == -FLT_MAX);
    const uint8_t *pad = dv_rd_bytes(&r, 45);
    for (int i = 0; i < 45; i++)
        assert_int_equal(pad[i], 0);
    assert_false(b.bad);
    dv_buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.size + b.cap, 0);
    dv_buf_free(&b);
}

static void test_buf_grows(void **state)
{
    dv_buf b = {0};
    uint64_t before = dv_alloc_count();
    for (uint32_t i = 0; i < 50000; i++)
        dv_buf_u32(&b, i);
    assert_true(dv_alloc_count() - before < 60);
    for (uint32_t i = 0; i < 2000; i++)
        dv_buf_printf(&b, "%u,", i % 10);
    assert_int_equal(b.size, 204000);
    dv_reader r = {.p = b.data, .end = b.data + b.size};
    for (uint32_t i = 0; i < 50000; i++)
        assert_int_equal(dv_rd_u32(&r), i);
    assert_memory_equal(r.p, "0,1,2,3,", 8);
    dv_buf_free(&b);
}

static void test_buf_faults(void **state)
{
    dv_buf b = {0};
    dv_buf_u32(&b, 1);
    dv_alloc_fail_at(1, false);
    for (int i = 0; i < 1000; i++)
        dv_buf_u32(&b, 2);
    assert_true(b.bad);
    size_t size = b.size;
    dv_buf_u8(&b, 1); /* sticky, though memory is back */
    dv_buf_printf(&b, "x");
    dv_buf_align(&b, 4096);
    assert_int_equal(b.size, size);
    assert_int_equal(b.data[0], 1);
    dv_buf_free(&b);
    dv_buf_put(&b, "x", 1);
    volatile size_t huge = SIZE_MAX;
    dv_buf_put(&b, "x", huge);
    assert_true(b.bad);
    assert_int_equal(b.size, 1);
    dv_buf_free(&b);
}

/* ---- CPU ---- */

/* All beginnings of three bytes, judged by the code point that they spell. */
static void test_utf8(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 1u << 24; v++) {
        const char s[5] = {(char)(v >> 16), (char)(v >> 8), (char)v, (char)0x80, 0};
        unsigned a = v >> 16, b = v >> 8 & 0xff, c = v & 0xff, point;
        bool b_more = b >> 6 == 2, c_more = c >> 6 == 2;
        size_t want = 0;
        if (a < 0x80)
            want = 1;
        else if (a >> 5 == 6)
            want = b_more && (a & 0x1f) << 6 >= 0x80 ? 2 : 0;
        else if (a >> 4 == 14) {
            point = (a & 15) << 12 | (b & 63) << 6 | (c & 63);
            want = b_more && c_more && point >= 0x800 && (point & 0xf800) != 0xd800 ? 3 : 0;
        } else if (a >> 3 == 30) {
            point = (a & 7) << 18 | (b & 63) << 12 | (c & 63) << 6;
            want = b_more && c_more && point >= 0x10000 && point <= 0x10ffff ? 4 : 0;
        }
        if (dv_utf8_length(s) != want)
            fail_msg("%06x: %zu bytes, not %zu", v, dv_utf8_length(s), want);
    }
    assert_int_equal(dv_utf8_length("\xf0\x9f\x98"), 0); /* cut short */
    assert_int_equal(dv_utf8_length("\xe2\x82"), 0);
    assert_int_equal(dv_utf8_length("\xc3"), 0);
}

static void test_cpu_parse(void **state)
{
    static const struct {
        const char *name;
        unsigned mask;
    } good[] = {{"c", 0},
                {"avx2", DV_CPU_AVX2},
                {"avx512", DV_CPU_AVX2 | DV_CPU_AVX512},
                {"vnni", DV_CPU_AVX2 | DV_CPU_AVX512 | DV_CPU_VNNI},
                {"avxvnni", DV_CPU_AVX2 | DV_CPU_AVXVNNI},
                {"neon", DV_CPU_NEON},
                {"dotprod", DV_CPU_NEON | DV_CPU_DOTPROD},
                {"avx512fp16", DV_CPU_AVX2 | DV_CPU_AVX512 | DV_CPU_VNNI | DV_CPU_AVX512FP16},
                {"neonfp16", DV_CPU_NEON | DV_CPU_DOTPROD | DV_CPU_NEONFP16},
                {"auto", 0xFF}};
    static const char *const bad[] = {"", "C", "avx", "avx2 ", "avx5120", "none", "AVX2", "auto,c"};
    for (size_t i = 0; i < DV_COUNT(good); i++) {
        unsigned mask = ~0u;
        assert_true(dv_cpu_parse(good[i].name, &mask));
        assert_int_equal(mask, good[i].mask);
    }
    for (size_t i = 0; i < DV_COUNT(bad); i++) {
        unsigned mask = 77;
        assert_false(dv_cpu_parse(bad[i], &mask));
        assert_int_equal(mask, 77);
    }
    unsigned mask;
    assert_false(dv_cpu_parse(NULL, &mask));
}

static void test_cpu_names(void **state)
{
    char out[64];
    dv_cpu_names(0, out, sizeof out);
    assert_string_equal(out, "c");
    dv_cpu_names(DV_CPU_AVX2, out, sizeof out);
    assert_string_equal(out, "avx2");
    dv_cpu_names(DV_CPU_AVX2 | DV_CPU_AVX512 | DV_CPU_VNNI, out, sizeof out);
    assert_string_equal(out, "avx2 avx512 vnni");
    dv_cpu_names(DV_CPU_NEON | DV_CPU_DOTPROD, out, sizeof out);
    assert_string_equal(out, "neon dotprod");
    dv_cpu_names(~0u, out, sizeof out);
    assert_string_equal(out, "avx2 avxvnni avx512 vnni avx512fp16 neon dotprod neonfp16");
    for (size_t size = 1; size < 62; size++) { /* too small: cut, never beyond */
        char *exact = dv_malloc(size);
        dv_cpu_names(~0u, exact, size);
        assert_true(strlen(exact) < size);
        dv_free(exact);
    }
}

/* Whether line, a list of words, has all of words. */
static bool has_all(const char *line, const char *words)
{
    char copy[128], *save;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        size_t n = strlen(w);
        const char *at = line;
        while ((at = strstr(at, w)) &&
               !(at > line && strchr(" \t", at[-1]) && strchr(" \t\n", at[n])))
            at++;
        if (!at)
            return false;
    }
    return true;
}

/* The kernel's own list, which knows what the system saves, against ours. */
static void test_cpu_detect(void **state)
{
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *f = fopen("/proc/cpuinfo", "r");
#if defined(__x86_64__)
    const char *key = "flags";
#else
    const char *key = "Features";
#endif
    while (f && !found && getline(&line, &size, f) > 0)
        found = !strncmp(line, key, strlen(key));
    if (f)
        fclose(f);
    if (!found) {
        free(line);
        print_message("no '%s' in /proc/cpuinfo\n", key);
        skip();
    }
    unsigned want = 0;
#if defined(__x86_64__)
    if (has_all(line, "avx avx2 fma f16c"))
        want |= DV_CPU_AVX2;
    if (want && has_all(line, "avx512f avx512bw avx512vl avx512dq"))
        want |= DV_CPU_AVX512;
    if ((want & DV_CPU_AVX512) && has_all(line, "avx512_vnni"))
        want |= DV_CPU_VNNI;
    if ((want & DV_CPU_AVX2) && has_all(line, "avx_vnni"))
        want |= DV_CPU_AVXVNNI;
#elif defined(__aarch64__)
    if (has_all(line, "asimd"))
        want |= DV_CPU_NEON;
    if (want && has_all(line, "asimddp"))
        want |= DV_CPU_DOTPROD;
#elif defined(__arm__)
    if (has_all(line, "neon"))
        want |= DV_CPU_NEON;
#endif
    free(line);
    assert_int_equal(dv_cpu_detect(), want);
}

static void test_cpu_count(void **state)
{
    int n = dv_cpu_count();
    assert_true(n >= 1);
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all) != 0)
        skip();
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    int few = dv_cpu_count();
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(few, 1);
    assert_int_equal(dv_cpu_count(), n);
}

static void test_clock(void **state)
{
    uint64_t a = dv_now_ns(), b = a;
    struct timespec ms = {.tv_nsec = 2000000};
    nanosleep(&ms, NULL);
    b = dv_now_ns();
    assert_true(b - a >= 1900000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_status_strings),
        cmocka_unit_test(test_fail),
        cmocka_unit_test(test_fail_cut),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_alloc_overflow),
        cmocka_unit_test(test_alloc_faults),
        cmocka_unit_test(test_alloc_threads),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_checked_sizes),
        cmocka_unit_test(test_reader_values),
        cmocka_unit_test(test_reader_bounds),
        cmocka_unit_test(test_reader_extremes),
        cmocka_unit_test(test_buf),
        cmocka_unit_test(test_buf_grows),
        cmocka_unit_test(test_buf_faults),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_cpu_parse),
        cmocka_unit_test(test_cpu_names),
        cmocka_unit_test(test_cpu_detect),
        cmocka_unit_test(test_cpu_count),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests_name("base-core", tests, NULL, NULL);
}
