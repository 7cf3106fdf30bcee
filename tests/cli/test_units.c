/* SPDX-License-Identifier: Apache-2.0
 *
 * The small parts of the program by themselves: JSON text, options, sizes, names of outputs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static void json_is(const char *text, const char *want)
{
    char *out = NULL;
    size_t size = 0;
    cli_json j = {.f = open_memstream(&out, &size)};
    assert_non_null(j.f);
    cli_js_text(&j, NULL, text);
    fclose(j.f);
    assert_string_equal(out, want);
    free(out);
}

static void test_strings(void **state)
{
    (void)state;
    json_is("plain", "\"plain\"");
    json_is(NULL, "null");
    json_is("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    json_is("\n\t\r\x01\x1f\x7f", "\"\\n\\t\\r\\u0001\\u001f\\u007f\"");
    json_is("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
#define REP "\xef\xbf\xbd"
    json_is("\xff", "\"" REP "\"");
    json_is("\xc0\xaf", "\"" REP REP "\"");                 /* overlong */
    json_is("\xed\xa0\x80", "\"" REP REP REP "\"");         /* surrogate */
    json_is("\xf4\x90\x80\x80", "\"" REP REP REP REP "\""); /* above U+10FFFF */
    json_is("x\xe2\x82", "\"x" REP REP "\"");               /* cut */
    json_is("\xe2\x82z", "\"" REP REP "z\"");
}

static void test_structure(void **state)
{
    (void)state;
    char *out = NULL;
    size_t size = 0;
    cli_json j = {.f = open_memstream(&out, &size)};
    static const float v[2] = {0.1f, -1};
    for (int i = 0; i < 2; i++) {
        cli_js_open(&j, NULL, '{');
        cli_js_open(&j, "a", '[');
        cli_js_close(&j, ']');
        cli_js_floats(&j, "v", v, 2);
        cli_js_real(&j, "n", NAN, 6);
        cli_js_fixed(&j, "i", INFINITY, 2);
        cli_js_bool(&j, "b", i == 1);
        cli_js_int(&j, "k", -7);
        cli_js_close(&j, '}');
        cli_js_line(&j);
    }
    fclose(j.f);
    assert_string_equal(
        out, "{\"a\":[],\"v\":[0.100000001,-1],\"n\":null,\"i\":null,\"b\":false,\"k\":-7}\n"
             "{\"a\":[],\"v\":[0.100000001,-1],\"n\":null,\"i\":null,\"b\":true,\"k\":-7}\n");
    free(out);
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const words[] = {"detect", "align", "verify", "max-side", "fmr"};
    assert_string_equal(cli_nearest("detct", words, 5, sizeof *words), "detect");
    assert_string_equal(cli_nearest("dteect", words, 5, sizeof *words), "detect");
    assert_string_equal(cli_nearest("maxside", words, 5, sizeof *words), "max-side");
    assert_string_equal(cli_nearest("ver", words, 5, sizeof *words), "verify");
    assert_string_equal(cli_nearest("fm", words, 5, sizeof *words), "fmr");
    assert_null(cli_nearest("xyzzy", words, 5, sizeof *words));
    assert_null(cli_nearest("", words, 5, sizeof *words));
    assert_null(
        cli_nearest("a-word-that-is-longer-than-any-option-there-is", words, 5, sizeof *words));
}

static void test_numbers(void **state)
{
    (void)state;
    int w, h;
    float f[3];
    size_t n;
    assert_true(cli_parse_size("320x240", &w, &h));
    assert_int_equal(w, 320);
    assert_int_equal(h, 240);
    assert_true(cli_parse_size("64", &w, &h));
    assert_int_equal(h, 64);
    static const char *const bad[] = {"", "x", "0", "-1", "3x", "3x0", "3x4x5", "40000", "3 x"};
    for (size_t i = 0; i < DV_COUNT(bad); i++)
        assert_false(cli_parse_size(bad[i], &w, &h));
    assert_true(cli_parse_floats("1.5", f, 3, &n));
    assert_int_equal(n, 1);
    assert_true(cli_parse_floats("1,-2,3e1", f, 3, &n));
    assert_true(n == 3 && f[1] == -2 && f[2] == 30);
    static const char *const worse[] = {"", "1,", ",1", "1,2,3,4", "nan", "inf", "1;2", "x"};
    for (size_t i = 0; i < DV_COUNT(worse); i++)
        assert_false(cli_parse_floats(worse[i], f, 3, &n));
}

typedef struct parsed {
    cli_common o;
    int flag, number;
    const char *output, *pos[4];
    size_t n;
    int done;
    bool ok;
} parsed;

static parsed parse(int argc, const char *const *words)
{
    parsed p = {.o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_THRESHOLD};
    char *argv[16];
    cli_option own[] = {{"flag", NULL, "", CLI_FLAG, &p.flag},
                        {"number", "N", "", CLI_INT, &p.number},
                        {"output", "F", "", CLI_TEXT, &p.output}};
    for (int i = 0; i < argc; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    cli_verb_name = "test";
    p.ok = cli_parse(argc, argv, "test", NULL, &p.o, own, 3, p.pos, 4, &p.n, &p.done);
    return p;
}
#define PARSE(...)                                                     \
    parse((int)DV_COUNT(((const char *const[]){"test", __VA_ARGS__})), \
          (const char *const[]){"test", __VA_ARGS__})

static void test_parse(void **state)
{
    (void)state;
    parsed p = PARSE("a", "--flag", "--number=3", "-jq", "-o", "x", "b", "--threshold", "-0.5");
    assert_true(p.ok && p.flag && p.number == 3 && p.o.json && p.o.quiet && p.n == 2);
    assert_string_equal(p.output, "x");
    assert_string_equal(p.pos[1], "b");
    assert_true(p.o.threshold == -0.5f);
    p = PARSE("-oy", "-t2", "-", "--", "--flag", "-j");
    assert_true(p.ok && !p.flag && !p.o.json && p.n == 3 && p.o.threads == 2);
    assert_string_equal(p.output, "y");
    assert_string_equal(p.pos[0], "-");
    assert_string_equal(p.pos[2], "-j");
    assert_true(isnan(p.o.threshold));
    static const char *const bad[] = {
        "--flg",        "--flag=1",      "--number=x", "--number=-1", "--number", "-x",
        "-o",           "--threads=65",  "--cpu=z80",  "--fmr=0.0x",  "--fmr=-1", "--threshold=2",
        "--threshold=", "--max-side=640" /* not asked for */};
    for (size_t i = 0; i < DV_COUNT(bad); i++) {
        p = PARSE(bad[i]);
        if (p.ok || p.done != CLI_ERROR)
            fail_msg("%s was accepted", bad[i]);
    }
    p = PARSE("--threshold=0.1", "--fmr=1e-3");
    assert_false(p.ok);
    p = PARSE("1", "2", "3", "4", "5");
    assert_false(p.ok);
}

static void test_best(void **state)
{
    (void)state;
    dmv_face f[3] = {{.score = 0.9f, .box = {0, 0, 10, 50}},
                     {.score = 0.5f, .box = {0, 0, 30, 20}},
                     {.score = 0.7f, .box = {0, 0, 21, 90}}};
    assert_int_equal(cli_best_face(f, 3), 1); /* 9, 15, 14.7 */
    assert_int_equal(cli_best_face(f, 1), 0);
}

static void test_peak(void **state)
{
    (void)state;
    unsigned cpu = dv_cpu_detect();
    double c = cli_peak_run(0, 1000), best = cli_peak_run(cpu, 1000);
    assert_true(c >= 12000 && best >= c);
}

static void test_bench_figures(void **state)
{
    (void)state;
    double v[] = {4, 1, 3, 2};
    bench_sort(v, 4);
    assert_true(v[0] == 1 && v[1] == 2 && v[2] == 3 && v[3] == 4);
    assert_true(bench_quantile(v, 4, 0) == 1 && bench_quantile(v, 4, 1) == 4);
    assert_true(bench_quantile(v, 4, 0.5) == 2.5 && bench_quantile(v, 1, 0.95) == 1);
    assert_true(fabs(bench_quantile(v, 4, 0.95) - 3.85) < 1e-12);
    assert_true(bench_mean(v, 4) == 2.5);
    assert_int_equal(bench_auto_runs(10, 15, 500), 200);
    assert_int_equal(bench_auto_runs(1000, 15, 500), 15);
    assert_int_equal(bench_auto_runs(0, 15, 500), 500);
    assert_true(bench_is_net("a.dmv") && bench_is_net("models/a") && !bench_is_net("serach"));
    assert_true(bench_fits(1, "x"));
}

/* The made-up crowd: unit vectors of any direction, no two near each other. */
static void test_bench_vectors(void **state)
{
    (void)state;
    enum { N = 200, DIM = 64 };
    static float v[N][DIM];
    double sum[DIM] = {0}, most = 0;
    float again[DIM];
    for (size_t i = 0; i < N; i++) {
        bench_vector(i, DIM, v[i]);
        double length = 0;
        for (size_t d = 0; d < DIM; d++) {
            length += (double)v[i][d] * v[i][d];
            sum[d] += v[i][d];
        }
        assert_true(fabs(length - 1) < 1e-6);
        for (size_t k = 0; k < i; k++)
            most = fmax(most, dmv_similarity(v[i], v[k], DIM));
    }
    assert_true(most > 0.3 && most < 0.75); /* 20,000 pairs of deviation 1/8 */
    for (size_t d = 0; d < DIM; d++)
        assert_true(fabs(sum[d] / N) < 5 * 0.125 / sqrt(N));
    bench_vector(7, DIM, again);
    assert_memory_equal(again, v[7], sizeof again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),       cmocka_unit_test(test_structure),
        cmocka_unit_test(test_nearest),       cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_parse),         cmocka_unit_test(test_best),
        cmocka_unit_test(test_peak),          cmocka_unit_test(test_bench_figures),
        cmocka_unit_test(test_bench_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
