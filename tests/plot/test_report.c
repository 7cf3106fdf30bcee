/* SPDX-License-Identifier: Apache-2.0
 *
 * Markdown reports: blocks, escaping, tables, links, lack of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plot/report.h"

static void is(dv_buf *b, const char *want)
{
    assert_false(b->bad);
    dv_buf_u8(b, 0);
    assert_string_equal((const char *)b->data, want);
    dv_buf_free(b);
}

static void test_blocks(void **state)
{
    (void)state;
    dv_buf b = {0};
    dv_report_heading(&b, 1, "LFW, %d pairs", 6000);
    dv_report_text(&b, "Ten folds.");
    dv_report_heading(&b, 2, "How");
    dv_report_item(&b, "one");
    dv_report_item(&b, "two");
    dv_report_code(&b, "sh", "domovoi eval verify *.txt");
    dv_report_text(&b, "End.");
    is(&b, "# LFW, 6000 pairs\n\nTen folds.\n\n## How\n\n- one\n- two\n\n```sh\n"
           "domovoi eval verify *.txt\n```\n\nEnd.\n");
}

static void test_fence(void **state)
{
    (void)state;
    dv_buf b = {0};
    dv_report_code(&b, NULL, "a ``` b\n");
    dv_report_code(&b, NULL, "");
    is(&b, "````\na ``` b\n````\n\n```\n\n```\n");
}

static void escaped(const char *text, const char *want)
{
    dv_buf b = {0};
    dv_report_text(&b, "%s", text);
    dv_buf_put(&b, "", 1);
    assert_false(b.bad);
    assert_int_equal(b.data[b.size - 2], '\n');
    b.data[b.size - 2] = 0;
    assert_string_equal((const char *)b.data, want);
    dv_buf_free(&b);
}

static void test_escape(void **state)
{
    (void)state;
    escaped("w600k_r50.dmv", "w600k_r50.dmv");
    escaped("_a_ __b__", "\\_a\\_ \\_\\_b\\_\\_");
    escaped("a|b*c`d", "a\\|b\\*c\\`d");
    escaped("<script>alert(1)</script>&amp;", "\\<script\\>alert(1)\\</script\\>\\&amp;");
    escaped("![x](y)", "!\\[x\\](y)");
    escaped("# no heading", "\\# no heading");
    escaped("- no item", "\\- no item");
    escaped("1. no list", "1\\. no list");
    escaped("1.5 ms", "1\\.5 ms");
    escaped("a 1. b # c", "a 1. b # c");
    escaped("two\nlines\tand\rmore", "two lines and more");
    escaped("  blanks  ", "blanks");
    escaped("a\xff\xc3", "a\xef\xbf\xbd\xef\xbf\xbd");
    escaped("\\", "\\\\");
    escaped("\xd0\x96\xf0\x9f\x98\x80", "\xd0\x96\xf0\x9f\x98\x80");
}

static void test_table(void **state)
{
    (void)state;
    dv_buf b = {0};
    dv_table t;
    dv_report_text(&b, "Results:");
    dv_table_open(&t, "lrc", "net", "accuracy", "ok");
    dv_table_cell(&t, "%s", "MobileFaceNet");
    dv_table_cell(&t, "%.2f %%", 99.5);
    dv_table_cell(&t, "yes");
    dv_table_cell(&t, "%s", "\xd0\x96|\nb"); /* a letter of two bytes, a bar, a line end */
    dv_table_cell(&t, "%d", 7);
    dv_table_put(&t, &b);
    is(&b, "Results:\n\n"
           "| net           | accuracy | ok  |\n"
           "| ------------- | -------: | :-: |\n"
           "| MobileFaceNet |  99.50 % | yes |\n"
           "| \xd0\x96\\| b         |        7 |     |\n");
    dv_table_open(&t, "l", "alone");
    dv_table_put(&t, &b);
    is(&b, "| alone |\n| ----- |\n");
    dv_table_open(&t, "");
    dv_table_put(&t, &b);
    assert_int_equal(b.size, 0);
    dv_buf_free(&b);
}

static void link_is(const char *report, const char *image, const char *want)
{
    dv_buf b = {0};
    char line[512];
    dv_report_image(&b, "x", report, image);
    snprintf(line, sizeof line, "![x](%s)\n", want);
    is(&b, line);
}

static void test_image(void **state)
{
    (void)state;
    char cwd[512], path[600], *folder;
    dv_buf b = {0};
    link_is("report.md", "roc.svg", "roc.svg");
    link_is("out/report.md", "out/roc.svg", "roc.svg");
    link_is("out/report.md", "out/plots/roc.svg", "plots/roc.svg");
    link_is("out/report.md", "roc.svg", "../roc.svg");
    link_is("out/a/../report.md", "./out//roc.svg", "roc.svg");
    link_is("a/b/report.md", "a/c/roc.svg", "../c/roc.svg");
    link_is("/x/y/report.md", "/x/y/z/roc.svg", "z/roc.svg");
    link_is("report.md", "my plots/(1) <50%>.svg", "my%20plots/%281%29%20%3C50%25%3E.svg");
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(path, sizeof path, "%s/roc.svg", cwd);
    link_is("report.md", path, "roc.svg");
    folder = strrchr(cwd, '/');
    if (folder && folder[1]) { /* by its own folder and back */
        snprintf(path, sizeof path, "..%s/roc.svg", folder);
        link_is("report.md", path, "roc.svg");
    }
    dv_report_image(&b, "a]b", "r.md", "i.svg");
    is(&b, "![a\\]b](i.svg)\n");
}

static void fill(dv_buf *b)
{
    dv_table t;
    dv_report_heading(b, 1, "H %s", "h");
    dv_report_item(b, "i");
    dv_report_code(b, "sh", "true");
    dv_report_image(b, "x", "a.md", "b.svg");
    dv_table_open(&t, "lr", "a", "b");
    for (int i = 0; i < 40; i++)
        dv_table_cell(&t, "cell %d", i);
    dv_table_put(&t, b);
    dv_report_text(b, "end");
}

static void test_memory(void **state)
{
    (void)state;
    char dir[] = "/tmp/domovoi-report-XXXXXX", path[64];
    dv_err e;
    uint8_t *data;
    size_t size, failed = 0;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/r.md", dir);
    for (uint64_t nth = 1;; nth++) {
        dv_buf b = {0};
        dv_alloc_fail_at(nth, nth % 2 == 0);
        fill(&b);
        bool bad = b.bad;
        e = (dv_err){0};
        dmv_status s = dv_report_write(&b, path, &e);
        dv_alloc_fail_at(0, false);
        assert_null(b.data);
        if (s == DMV_OK) {
            assert_false(bad);
            break;
        }
        assert_int_equal(s, DMV_ERR_MEMORY);
        assert_int_equal(access(path, F_OK), -1);
        failed++;
        assert_true(nth < 1000);
    }
    assert_true(failed > 10);
    assert_int_equal(dv_read_file(path, 1 << 20, &data, &size, &e), DMV_OK);
    assert_non_null(strstr((const char *)data, "| cell 38 | cell 39 |\n"));
    dv_free(data);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks), cmocka_unit_test(test_fence), cmocka_unit_test(test_escape),
        cmocka_unit_test(test_table),  cmocka_unit_test(test_image), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
