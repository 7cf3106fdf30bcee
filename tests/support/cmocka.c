/* SPDX-License-Identifier: Apache-2.0
 *
 * The stand-in for cmocka: one test at a time, left by longjmp when it fails or skips.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PASSED, FAILED, SKIPPED };
static jmp_buf back;
static int inside; /* a test runs, so that `back` is valid */

_Noreturn static void leave(int result)
{
    fflush(stdout);
    if (!inside)
        abort();
    longjmp(back, result);
}

_Noreturn void cm_skip(const char *file, int line)
{
    printf("%s:%d: skipped\n", file, line);
    leave(SKIPPED);
}

_Noreturn void cm_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    printf("%s:%d: error: ", file, line);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    leave(FAILED);
}

void print_message(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
}

void cm_true(int ok, const char *text, const char *file, int line)
{
    if (!ok)
        cm_fail(file, line, "not so: %s", text);
}

void cm_equal(uintmax_t a, uintmax_t b, int want, const char *file, int line)
{
    if ((a == b) != want)
        cm_fail(file, line, "%" PRIdMAX " %s %" PRIdMAX, (intmax_t)a,
                want ? "!=" : "==", (intmax_t)b);
}

void cm_string(const char *a, const char *b, int want, const char *file, int line)
{
    if (!a || !b)
        cm_fail(file, line, "a string is NULL");
    if ((strcmp(a, b) == 0) != want)
        cm_fail(file, line, "\"%s\" %s \"%s\"", a, want ? "!=" : "==", b);
}

void cm_memory(const void *a, const void *b, size_t n, const char *file, int line)
{
    const unsigned char *p = a, *q = b;
    for (size_t i = 0; i < n; i++)
        if (p[i] != q[i])
            cm_fail(file, line, "byte %zu of %zu: 0x%02x != 0x%02x", i, n, p[i], q[i]);
}

void cm_range(uintmax_t v, uintmax_t lo, uintmax_t hi, const char *file, int line)
{
    if (v < lo || v > hi)
        cm_fail(file, line, "%" PRIuMAX " is not in %" PRIuMAX "..%" PRIuMAX, v, lo, hi);
}

static int run_one(const struct CMUnitTest *t)
{
    void *state = t->initial_state;
    volatile int result = PASSED;
    if (t->setup_func && t->setup_func(&state)) {
        printf("%s: setup failed\n", t->name);
        return FAILED;
    }
    inside = 1;
    int left = setjmp(back);
    if (left)
        result = left;
    else
        t->test_func(&state);
    inside = 0;
    if (t->teardown_func && t->teardown_func(&state)) {
        printf("%s: teardown failed\n", t->name);
        result = FAILED;
    }
    return result;
}

int cm_run(const char *group, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
           CMFixtureFunction teardown)
{
    static const char *const words[] = {"ok", "FAILED", "skipped"};
    void *state = NULL;
    int failed = 0;
    if (setup && setup(&state)) {
        printf("%s: setup failed\n", group);
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        int result = run_one(&tests[i]);
        printf("%s: %s\n", tests[i].name, words[result]);
        failed += result == FAILED;
    }
    if (teardown && teardown(&state)) {
        printf("%s: teardown failed\n", group);
        failed++;
    }
    printf("%s: %zu tests, %d failed\n", group, count, failed);
    fflush(stdout);
    return failed;
}
