/* SPDX-License-Identifier: Apache-2.0
 *
 * Charts that cannot or can hardly be drawn: wrong arguments, no data, hostile texts and numbers,
 * folders that are not there, lack of memory; and builds without cairo.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

static const double two[2] = {0.25, 0.75};
static const dv_series line = {"line", two, two, 2, DV_LINES, NULL, NULL};

static dmv_status try_chart(const char *path, const dv_chart *c, dv_err *e)
{
    *e = (dv_err){0};
    return dv_chart_write(path, c, e);
}

static void refused(const char *path, const dv_chart *c, dmv_status want, const char *word)
{
    dv_err e;
    dmv_status s = try_chart(path, c, &e);
    if (s != want || !strstr(e.msg, word))
        fail_msg("status %d: %s", s, e.msg);
    assert_int_equal(files_in_dir(), 0);
}

/* Without cairo all is refused, with the remedy. */
static void test_available(void **state)
{
    dv_chart c = {.series = &line, .n_series = 1};
    float xy[2] = {0, 1};
    int label = 0;
    dv_err e = {0};
    (void)state;
#ifdef DV_HAVE_CAIRO
    assert_true(dv_chart_available());
    assert_int_equal(try_chart(in_dir("a.svg"), &c, &e), DMV_OK);
    assert_int_equal(dv_sphere_write(in_dir("b.svg"), xy, &label, 1, NULL, 1, NULL, NULL, NULL, &e),
                     DMV_OK);
    assert_int_equal(files_in_dir(), 2);
    unlink(in_dir("a.svg"));
    unlink(in_dir("b.svg"));
#else
    assert_false(dv_chart_available());
    refused(in_dir("a.svg"), &c, DMV_ERR_UNSUPPORTED, "rebuild it with cairo");
    assert_int_equal(dv_sphere_write(in_dir("b.svg"), xy, &label, 1, NULL, 1, NULL, NULL, NULL, &e),
                     DMV_ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "rebuild it with cairo"));
#endif
}

static void test_refused(void **state)
{
    dv_chart c = {.series = &line, .n_series = 1}, d;
    dv_series s[DV_PLOT_MAX_SERIES + 1];
    float xy[4] = {0, 1, 1, 0};
    int label[2] = {0, 1};
    dv_err e = {0};
    (void)state;
    refused(in_dir("a.jpg"), &c, DMV_ERR_ARGUMENT, ".svg or .png");
    refused(in_dir("svg"), &c, DMV_ERR_ARGUMENT, ".svg or .png");
    refused("", &c, DMV_ERR_ARGUMENT, "no file name");
    refused(NULL, &c, DMV_ERR_ARGUMENT, "no file name");
    refused(in_dir("missing/a.svg"), &c, DMV_ERR_IO, "missing/a.svg");
    d = c;
    d.x_lo = 2;
    d.x_hi = 1;
    refused(in_dir("a.svg"), &d, DMV_ERR_ARGUMENT, "x axis cannot run from 2 to 1");
    d = c;
    d.y_scale = DV_SCALE_LOG;
    d.y_hi = 1;
    refused(in_dir("a.svg"), &d, DMV_ERR_ARGUMENT, "above 0");
    d.y_scale = DV_SCALE_PROBIT;
    d.y_lo = 0.5;
    refused(in_dir("a.svg"), &d, DMV_ERR_ARGUMENT, "between 0 and 1");
    d = c;
    d.x_hi = NAN;
    refused(in_dir("a.svg"), &d, DMV_ERR_ARGUMENT, "x axis");
    d.x_hi = INFINITY;
    refused(in_dir("a.svg"), &d, DMV_ERR_ARGUMENT, "x axis");
    for (size_t i = 0; i < DV_COUNT(s); i++)
        s[i] = line;
    d = c;
    d.series = s;
    d.n_series = DV_COUNT(s);
    refused(in_dir("a.svg"), &d, DMV_ERR_LIMIT, "64");
    d.n_series = 2;
    s[1].y = NULL;
    refused(in_dir("a.svg"), &d, DMV_ERR_ARGUMENT, "series 1");
    refused(in_dir("a.svg"), NULL, DMV_ERR_ARGUMENT, "chart");
    assert_int_equal(dv_sphere_write(in_dir("a.svg"), xy, label, 2, NULL, 1, NULL, NULL, NULL, &e),
                     DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "point 1 has label 1"));
    assert_int_equal(dv_sphere_write(in_dir("a.svg"), xy, label, 2, NULL, 65, NULL, NULL, NULL, &e),
                     DMV_ERR_LIMIT);
    assert_int_equal(
        dv_sphere_write(in_dir("a.svg"), NULL, label, 2, NULL, 2, NULL, NULL, NULL, &e),
        DMV_ERR_ARGUMENT);
    assert_int_equal(files_in_dir(), 0);
    assert_int_equal(dv_chart_write(in_dir("a.jpg"), &c, NULL), DMV_ERR_ARGUMENT); /* no dv_err */
}

/* Drawn as SVG, which must be well-formed, and now and then, since it takes longer, as PNG. */
static void drawn(const dv_chart *c)
{
    static unsigned turn;
    dv_err e;
    if (try_chart(in_dir("d.svg"), c, &e))
        fail_msg("%s", e.msg);
    char *text = text_of(in_dir("d.svg"));
    const char *fault = xml_fault(text);
    if (fault)
        fail_msg("%s", fault);
    if (strstr(text, "nan") || strstr(text, "inf,") || strstr(text, " inf"))
        fail_msg("a number that is none in the file");
    dv_free(text);
    unlink(in_dir("d.svg"));
    if (turn++ % 7)
        return;
    if (try_chart(in_dir("d.png"), c, &e))
        fail_msg("%s", e.msg);
#ifdef DV_HAVE_SPNG
    dv_picture p = load_png(in_dir("d.png"));
    assert_int_equal(p.width, 1440);
    dv_picture_free(&p);
#endif
    unlink(in_dir("d.png"));
}

static void test_nothing(void **state)
{
    static const double none[2] = {NAN, INFINITY};
    (void)state;
    for (int x = 0; x < 3; x++) {
        for (int y = 0; y < 3; y++) {
            for (int m = 0; m < 5; m++) {
                dv_series s[3] = {{"none", NULL, NULL, 0, (dv_mark)m, NULL, NULL},
                                  {"bad", none, none, 2, (dv_mark)m, none, none},
                                  {NULL, two, two, 1, (dv_mark)m, none, none}};
                dv_chart c = {.x_scale = (dv_scale)x, .y_scale = (dv_scale)y, .series = s};
                for (c.n_series = m ? 1 : 0; c.n_series <= 3; c.n_series++)
                    drawn(&c);
            }
        }
    }
}

static void test_texts(void **state)
{
    static char huge[100001];
    static const char *const hostile[] = {
        "</title><script>alert(1)</script>",
        "a & b < c > d \" e ' f ]]>",
        "\xff\xfe\x80 bytes \xc3",
        "\x01\x02\x1b[31m\x7f\n\r\t",
        "\xef\xbf\xbe\xef\xbf\xbf",
        "\xed\xa0\x80\xf4\x90\x80\x80",
        "\xf0\x9f\x98\x80\xe2\x80\xae rtl",
        "%s%n%d",
        "&#0;&lt;<!--",
        "",
        "\xcc\x81\xcc\x81\xcc\x81",
        huge,
    };
    dv_err e = {0};
    (void)state;
    for (int fill = 0; fill < 4; fill++) {
        static const char *const unit[] = {"W", "a ", "\xd0\x96", "\xcc\x81"};
        size_t n = strlen(unit[fill]);
        for (size_t i = 0; i < sizeof huge - 1; i++)
            huge[i] = unit[fill][i % n];
        for (size_t i = 0; i < DV_COUNT(hostile); i++) {
            const char *t = hostile[i];
            dv_series s[3] = {line, line, {t, NULL, NULL, 0, DV_POINTS, NULL, NULL}};
            dv_chart c = {t, t, t, .series = s, .n_series = 3, .note = t};
            s[0].name = s[1].name = t;
            if (fill && t != huge)
                continue;
            drawn(&c);
            c.x_scale = c.y_scale = DV_SCALE_PROBIT;
            drawn(&c);
            float xy[6] = {0, 1, NAN, 1, INFINITY, -INFINITY};
            int label[3] = {0, 1, -1};
            const char *names[3] = {t, t, NULL};
            assert_int_equal(
                dv_sphere_write(in_dir("t.svg"), xy, label, 3, names, 3, NULL, t, t, &e), DMV_OK);
            char *text = text_of(in_dir("t.svg"));
            assert_null(xml_fault(text));
            assert_null(strstr(text, "<script"));
            dv_free(text);
        }
    }
    unlink(in_dir("t.svg"));
}

static uint64_t seed = 99;

static uint64_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Any numbers at all, on any axes, with any marks. */
static void test_numbers(void **state)
{
    static const double odd[] = {0,         -0.0,    1,         -1,      NAN,    INFINITY,
                                 -INFINITY, DBL_MAX, -DBL_MAX,  DBL_MIN, 5e-324, 1e300,
                                 1e-300,    0.5,     1 - 1e-16, 1e15};
    double x[40], y[40], lo[40], hi[40];
    (void)state;
    for (int round = 0; round < 400; round++) {
        dv_series s[3];
        size_t n = draw() % 40;
        for (size_t i = 0; i < 40; i++) {
            double *to[4] = {&x[i], &y[i], &lo[i], &hi[i]};
            for (int k = 0; k < 4; k++) {
                uint64_t bits = draw();
                if (draw() % 3 == 0)
                    memcpy(to[k], &bits, 8);
                else if (draw() % 2)
                    *to[k] = odd[bits % DV_COUNT(odd)];
                else
                    *to[k] = (double)(bits >> 11) / 9007199254740992.0;
            }
        }
        for (int k = 0; k < 3; k++)
            s[k] = (dv_series){"s", x, y, n, (dv_mark)(draw() % 5), draw() % 2 ? lo : NULL, hi};
        dv_chart c = {.x_scale = (dv_scale)(draw() % 3),
                      .y_scale = (dv_scale)(draw() % 3),
                      .series = s,
                      .n_series = 3};
        if (round % 2) {
            c.x_lo = 0.2;
            c.x_hi = 0.2 + 1e-12 * (double)(draw() % 1000 + 1);
            c.y_lo = 1e-200;
            c.y_hi = 0.9;
        }
        drawn(&c);
    }
}

/* 64 series, each as the others but for colour and dashes. */
static void test_many(void **state)
{
    dv_series s[DV_PLOT_MAX_SERIES];
    static float xy[2 * DV_PLOT_MAX_SERIES];
    int label[DV_PLOT_MAX_SERIES];
    dv_err e = {0};
    (void)state;
    for (int i = 0; i < DV_PLOT_MAX_SERIES; i++) {
        s[i] = line;
        xy[2 * i] = (float)cos(i);
        xy[2 * i + 1] = (float)sin(i);
        label[i] = i;
    }
    dv_chart c = {.title = "many", .series = s, .n_series = DV_PLOT_MAX_SERIES};
    drawn(&c);
    assert_int_equal(dv_sphere_write(in_dir("m.png"), xy, label, DV_PLOT_MAX_SERIES, NULL,
                                     DV_PLOT_MAX_SERIES, xy, NULL, NULL, &e),
                     DMV_OK);
    assert_int_equal(dv_sphere_write(in_dir("m.png"), NULL, NULL, 0, NULL, 0, NULL, NULL, NULL, &e),
                     DMV_OK);
    unlink(in_dir("m.png"));
}

/* The old file stays as it was until a new one is complete. */
static void test_memory(void **state)
{
    static const char *const names[] = {"o.svg", "o.png"};
    dv_series s[2] = {line, {"points", two, two, 2, DV_POINTS, NULL, NULL}};
    dv_chart c = {"title", "x", "y", .series = s, .n_series = 2};
    float xy[4] = {0, 1, 1, 0};
    int label[2] = {0, 1};
    dv_err e;
    (void)state;
    for (int k = 0; k < 4; k++) {
        const char *path = in_dir(names[k % 2]);
        size_t failed = 0;
        assert_int_equal(dv_write_file(path, "old", 3, &e), DMV_OK);
        for (uint64_t nth = 1;; nth++) {
            uint8_t *data;
            size_t size;
            e = (dv_err){0};
            dv_alloc_fail_at(nth, nth % 2 == 0);
            dmv_status st = k < 2
                                ? dv_chart_write(path, &c, &e)
                                : dv_sphere_write(path, xy, label, 2, NULL, 2, NULL, "t", NULL, &e);
            dv_alloc_fail_at(0, false);
            if (st == DMV_OK)
                break;
            if (st != DMV_ERR_MEMORY)
                fail_msg("allocation %d: status %d: %s", (int)nth, st, e.msg);
            assert_int_equal(dv_read_file(path, 1 << 20, &data, &size, &e), DMV_OK);
            assert_int_equal(size, 3);
            dv_free(data);
            failed++;
            assert_true(nth < 1000);
        }
        assert_true(failed >= 3);
        assert_int_equal(files_in_dir(), 1);
        char first;
        uint8_t *data;
        size_t size;
        assert_int_equal(dv_read_file(path, 64 << 20, &data, &size, &e), DMV_OK);
        first = (char)data[0];
        assert_true(size > 1000 && first != 'o');
        dv_free(data);
        unlink(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_available), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nothing),   cmocka_unit_test(test_texts),
        cmocka_unit_test(test_numbers),   cmocka_unit_test(test_many),
        cmocka_unit_test(test_memory),
    };
    const struct CMUnitTest without_cairo[] = {cmocka_unit_test(test_available)};
    return dv_chart_available()
               ? cmocka_run_group_tests(tests, files_setup, files_teardown)
               : cmocka_run_group_tests(without_cairo, files_setup, files_teardown);
}
