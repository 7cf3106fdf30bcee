/* SPDX-License-Identifier: Apache-2.0
 *
 * A stand-in for the part of cmocka that these tests use, for cross builds, where the
 * library of the other processor is rarely at hand. A failed assertion prints its place
 * and ends its test; a run returns the number of tests that failed.
 */
#ifndef DV_TEST_CMOCKA_H
#define DV_TEST_CMOCKA_H

#include <stddef.h>
#include <stdint.h>

typedef int (*CMFixtureFunction)(void **state);
struct CMUnitTest {
    const char *name;
    void (*test_func)(void **state);
    CMFixtureFunction setup_func, teardown_func;
    void *initial_state;
};

#define cmocka_unit_test(f)     \
    {                           \
#f, f, NULL, NULL, NULL \
    }
#define cmocka_unit_test_setup_teardown(f, setup, teardown) \
    {                                                       \
#f, f, setup, teardown, NULL                        \
    }
#define cmocka_run_group_tests(tests, setup, teardown) \
    cmocka_run_group_tests_name(#tests, tests, setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
    cm_run(name, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

int cm_run(const char *group, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
           CMFixtureFunction teardown);
_Noreturn void cm_skip(const char *file, int line);
_Noreturn void cm_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void print_message(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void cm_true(int ok, const char *text, const char *file, int line);
void cm_equal(uintmax_t a, uintmax_t b, int want, const char *file, int line);
void cm_string(const char *a, const char *b, int want, const char *file, int line);
void cm_memory(const void *a, const void *b, size_t n, const char *file, int line);
void cm_range(uintmax_t v, uintmax_t lo, uintmax_t hi, const char *file, int line);

#define skip() cm_skip(__FILE__, __LINE__)
#define fail() cm_fail(__FILE__, __LINE__, "failed")
#define fail_msg(...) cm_fail(__FILE__, __LINE__, __VA_ARGS__)
#define assert_true(c) cm_true(!!(c), #c, __FILE__, __LINE__)
#define assert_false(c) cm_true(!(c), "!(" #c ")", __FILE__, __LINE__)
#define assert_non_null(p) cm_true((p) != NULL, #p " != NULL", __FILE__, __LINE__)
#define assert_null(p) cm_true((p) == NULL, #p " == NULL", __FILE__, __LINE__)
#define assert_ptr_equal(a, b) cm_equal((uintptr_t)(a), (uintptr_t)(b), 1, __FILE__, __LINE__)
#define assert_int_equal(a, b) cm_equal((uintmax_t)(a), (uintmax_t)(b), 1, __FILE__, __LINE__)
#define assert_int_not_equal(a, b) cm_equal((uintmax_t)(a), (uintmax_t)(b), 0, __FILE__, __LINE__)
#define assert_float_equal(a, b, eps)                                                             \
    cm_true(__builtin_fabs((double)(a) - (double)(b)) <= (double)(eps), #a " near " #b, __FILE__, \
            __LINE__)
#define assert_string_equal(a, b) cm_string(a, b, 1, __FILE__, __LINE__)
#define assert_string_not_equal(a, b) cm_string(a, b, 0, __FILE__, __LINE__)
#define assert_memory_equal(a, b, n) cm_memory(a, b, n, __FILE__, __LINE__)
#define assert_in_range(v, lo, hi) cm_range(v, lo, hi, __FILE__, __LINE__)

#endif
