/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of people and labels: what is read, and what is refused with which words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "eval/people.h"

static char path[64];

static void put(const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static void refused(const char *text, dv_line_kind kind, const char *word)
{
    dv_names names = {0};
    dv_people p;
    dv_err e = {0};
    put(text, strlen(text));
    assert_int_not_equal(dv_people_load(path, kind, &names, &p, &e), DMV_OK);
    if (!strstr(e.msg, word) || !strstr(e.msg, path))
        fail_msg("\"%s\" does not name the file and \"%s\"", e.msg, word);
    assert_true(!p.subject && !p.path && p.n == 0);
    dv_names_free(&names);
}

static void test_names(void **state)
{
    (void)state;
    dv_names t = {0};
    uint32_t k;
    char name[16];
    assert_int_equal(dv_names_find(&t, "x", 1), DV_NO_NAME);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 3000; i++) {
            int n = snprintf(name, sizeof name, "n%u", i);
            assert_true(dv_names_add(&t, name, (size_t)n, &k));
            assert_int_equal(k, i);
        }
    }
    assert_int_equal(t.n, 3000);
    assert_int_equal(dv_names_find(&t, "n2999zzz", 5), 2999);
    assert_int_equal(dv_names_find(&t, "n3000", 5), DV_NO_NAME);
    assert_int_equal(dv_names_find(&t, "n29", 1), DV_NO_NAME);
    dv_names_free(&t);
}

static void test_lists(void **state)
{
    (void)state;
    static const char gallery[] = "\xEF\xBB\xBFZoe\ta b/1.jpg\r\n\nAnn\t/x/2.jpg\nZoe\t3.bin";
    static const char probes[] = "{\"path\": [\"p\\\"1.jpg\",\n \"p\\\\2\"], "
                                 "\"id\" : [\"Cy\",\"Zoe\"] }\n";
    dv_names names = {0};
    dv_people g, p;
    dv_err e = {0};
    put(gallery, sizeof gallery - 1);
    assert_int_equal(dv_people_load(path, DV_LINES_BOTH, &names, &g, &e), DMV_OK);
    assert_true(g.n == 3 && g.subject[0] == 0 && g.subject[1] == 1 && g.subject[2] == 0);
    assert_string_equal(g.path[0], "a b/1.jpg");
    assert_string_equal(g.path[1], "/x/2.jpg");
    put(probes, sizeof probes - 1);
    assert_int_equal(dv_people_load(path, DV_LINES_BOTH, &names, &p, &e), DMV_OK);
    assert_true(p.n == 2 && p.subject[0] == 2 && p.subject[1] == 0);
    assert_string_equal(p.path[0], "p\"1.jpg");
    assert_string_equal(p.path[1], "p\\2");
    assert_string_equal(names.v[2], "Cy");
    dv_people_free(&p);
    dv_people_free(&g);
    put("Ann\nBob\nAnn\n", 12);
    assert_int_equal(dv_people_load(path, DV_LINES_SUBJECT, &names, &g, &e), DMV_OK);
    assert_true(g.n == 3 && !g.path[0] && g.subject[0] == g.subject[2] && names.n == 4);
    dv_people_free(&g);
    put("{\"id\":[\"Ann\",\"Ann\"]}", 20);
    assert_int_equal(dv_people_load(path, DV_LINES_SUBJECT, &names, &g, &e), DMV_OK);
    assert_int_equal(g.n, 2);
    dv_people_free(&g);
    put("{\"path\":[\"a\",\"b\"]}", 18);
    assert_int_equal(dv_people_load(path, DV_LINES_PATH, &names, &g, &e), DMV_OK);
    assert_true(g.n == 2 && g.subject[1] == DV_NO_NAME);
    assert_string_equal(g.path[1], "b");
    dv_people_free(&g);
    put("x 1.bin\nx 2.bin\n", 16);
    assert_int_equal(dv_people_load(path, DV_LINES_PATH, &names, &g, &e), DMV_OK);
    assert_true(g.n == 2 && g.subject[0] == DV_NO_NAME);
    assert_string_equal(g.path[0], "x 1.bin");
    dv_people_free(&g);
    put("Ann\ta\n", 6);
    assert_int_equal(dv_people_load(path, DV_LINES_PATH, &names, &g, &e), DMV_OK);
    assert_true(g.n == 1 && g.subject[0] == 1);
    dv_people_free(&g);
    dv_names_free(&names);
}

static void test_refused(void **state)
{
    (void)state;
    refused("", DV_LINES_BOTH, "nobody");
    refused("\n\n", DV_LINES_SUBJECT, "nobody");
    refused("Ann\n", DV_LINES_BOTH, "line 1: expected subject<TAB>path");
    refused("Ann\ta\nBob\tb\tc\n", DV_LINES_BOTH, "line 2");
    refused("Ann\ta\nBob\n", DV_LINES_SUBJECT, "line 2: expected");
    refused("Ann\nBob\tb\n", DV_LINES_SUBJECT, "line 2: expected");
    refused("\ta\n", DV_LINES_BOTH, "no name");
    refused("Ann\t\n", DV_LINES_BOTH, "path is empty");
    refused("Ann\ta\nAnn\ta\n", DV_LINES_BOTH, "line 2: a is there already");
    refused("Ann\ta\n\nBob\ta\n", DV_LINES_BOTH,
            "line 3: a is there already under another subject");
    refused("{", DV_LINES_BOTH, "line 1");
    refused("{\"id\"}", DV_LINES_BOTH, "line 1");
    refused("{\n\"id\":[}", DV_LINES_BOTH, "line 2");
    refused("{\"id\":[\"a\"", DV_LINES_BOTH, "line 1");
    refused("{\"id\":[\"a]}", DV_LINES_BOTH, "line 1");
    refused("{\"id\":[7]}", DV_LINES_BOTH, "line 1");
    refused("{\"id\":[],\n\"id\":[]}", DV_LINES_BOTH, "line 2: \"id\" is there twice");
    refused("{\"name\":[]}", DV_LINES_BOTH, "nobody");
    refused("{\"id\":[\"a\"],\"path\":[]}", DV_LINES_BOTH, "1 of \"id\" and 0");
    refused("a\nb\tc\n", DV_LINES_PATH, "line 2: expected path");
    refused("a\na\n", DV_LINES_PATH, "a is there already");
    refused("{\"path\":[\"a\"]}", DV_LINES_SUBJECT, "0 of \"id\" and 1");
    refused("{\"id\":[\"a\"]}", DV_LINES_PATH, "1 of \"id\" and 0");
    refused("{\"id\":[],\"path\":[]}", DV_LINES_BOTH, "nobody");
    refused("{\"id\":[\"a\"],\"path\":[\"b\"]} x", DV_LINES_BOTH, "line 1");
    dv_names names = {0};
    dv_people p;
    dv_err e = {0};
    put("a\tb\0c", 5);
    assert_int_equal(dv_people_load(path, DV_LINES_BOTH, &names, &p, &e), DMV_ERR_FORMAT);
    assert_int_equal(dv_people_load("/nonexistent/x", DV_LINES_BOTH, &names, &p, &e), DMV_ERR_IO);
}

static void labels_refused(const char *text, const char *word)
{
    dv_labels l;
    dv_err e = {0};
    put(text, strlen(text));
    assert_int_not_equal(dv_labels_load(path, &l, &e), DMV_OK);
    if (!strstr(e.msg, word) || !strstr(e.msg, path))
        fail_msg("\"%s\" does not name the file and \"%s\"", e.msg, word);
    assert_true(!l.group && !l.groups && !l.keys.v);
}

static void test_labels(void **state)
{
    (void)state;
    dv_labels l;
    dv_err e = {0};
    static const char text[] = "Ann\tf\told\nBob\tm\t\nCy\tm\tyoung\n";
    put(text, sizeof text - 1);
    assert_int_equal(dv_labels_load(path, &l, &e), DMV_OK);
    assert_true(l.columns == 2 && l.keys.n == 3 && l.groups[0].n == 2 && l.groups[1].n == 2);
    static const uint32_t want[6] = {0, 0, 1, DV_NO_NAME, 1, 1};
    assert_memory_equal(l.group, want, sizeof want);
    assert_int_equal(dv_names_find(&l.keys, "Cy", 2), 2);
    dv_labels_free(&l);
    put("#who\tsex\tage\nAnn\tf\told\n#b\tm\t1\n", 30);
    assert_int_equal(dv_labels_load(path, &l, &e), DMV_OK);
    assert_true(l.keys.n == 2 && l.titles.n == 2 && l.groups[1].n == 2);
    assert_string_equal(l.titles.v[1], "age");
    dv_labels_free(&l);
    labels_refused("#a\tb\n", "no labels");
    labels_refused("#a\tb\tb\nx\ty\tz\n", "same title");
    labels_refused("#a\t\nx\ty\n", "without a title");
    labels_refused("", "no labels");
    labels_refused("Ann\n", "line 1");
    labels_refused("Ann\tf\nBob\tm\told\n", "line 2: not as many");
    labels_refused("Ann\tf\nAnn\tf\n", "line 2: Ann has labels already");
    labels_refused("\tf\n", "line 1");
    labels_refused("a\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\t13\t14\t15\t16\t17\n", "at most 16");
}

static void test_memory(void **state)
{
    (void)state;
    static const char text[] = "Ann\ta\nBob\tb\n";
    dv_names names = {0};
    dv_people p;
    dv_labels l;
    dv_err e = {0};
    int failures = 0;
    put(text, sizeof text - 1);
    for (uint64_t n = 1; n < 100; n++) {
        dv_alloc_fail_at(n, false);
        dmv_status s = dv_people_load(path, DV_LINES_BOTH, &names, &p, &e);
        if (!s)
            dv_people_free(&p);
        if (!s && !(s = dv_labels_load(path, &l, &e)))
            dv_labels_free(&l);
        dv_alloc_fail_at(0, false);
        dv_names_free(&names);
        if (s == DMV_OK)
            break;
        assert_int_equal(s, DMV_ERR_MEMORY);
        failures++;
    }
    assert_true(failures > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),   cmocka_unit_test(test_lists),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_labels),
        cmocka_unit_test(test_memory),
    };
    snprintf(path, sizeof path, "/tmp/domovoi-people-%ld.txt", (long)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
