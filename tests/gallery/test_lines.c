/* SPDX-License-Identifier: Apache-2.0
 *
 * test_lines.c - JSON lines: the way out and back, bit for bit; and everything an import
 * refuses, always with the number of the line and without adding anything.
 */
#include "folk.h"
#include "gallery/gallery_priv.h"

#include <sys/stat.h>
#include <unistd.h>

static void base64(void **state)
{
    /* The test vectors of RFC 4648, section 10. */
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    char text[512];
    uint8_t out[300];
    size_t n;
    for (size_t i = 0; i < DV_COUNT(pairs); i++) {
        size_t len = strlen(pairs[i][0]);
        dv_base64_encode((const uint8_t *)pairs[i][0], len, text);
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(dv_base64_size(len), strlen(pairs[i][1]));
        assert_true(dv_base64_decode(text, strlen(text), out, sizeof out, &n));
        assert_int_equal(n, len);
        assert_memory_equal(out, pairs[i][0], len);
    }
    uint8_t all[256];
    for (size_t i = 0; i < 256; i++)
        all[i] = (uint8_t)(255 - i);
    dv_base64_encode(all, 256, text);
    assert_true(dv_base64_decode(text, strlen(text), out, 256, &n));
    assert_int_equal(n, 256);
    assert_memory_equal(out, all, 256);
    assert_false(dv_base64_decode(text, strlen(text), out, 255, &n));
    static const char *const bad[] = {"Z",    "Zg",   "Zg=",  "Zg=v", "=g==", "Z===",     "====",
                                      "Zh==", "Zm9=", "Zm9 ", "Zm-v", "Zm_v", "Zg==Zg==", "Zm9v\n"};
    for (size_t i = 0; i < DV_COUNT(bad); i++)
        if (dv_base64_decode(bad[i], strlen(bad[i]), out, sizeof out, &n))
            fail_msg("'%s' was accepted", bad[i]);
}

static void there_and_back(void **state)
{
    const char *lines = folk_path(state, "e.jsonl"), *again = folk_path(state, "f.jsonl");
    dv_gallery *a = folk_open(folk_path(state, "a.db"));
    dv_err e = {0};
    char first[65], second[65];
    size_t added = 99, n1, n2;
    for (uint64_t i = 0; i < 20; i++) {
        char name[64];
        snprintf(name, sizeof name, "Zoë \"%d\" \\ \xf0\x9f\x98\x80", (int)i % 7);
        folk_ok(folk_add(a, name, 10 * i, 1 + i % 4, &e), &e);
    }
    folk_digest(a, first);
    folk_ok(dv_gallery_export(a, lines, &e), &e);
    dv_gallery *b = folk_open(folk_path(state, "b.db"));
    folk_ok(dv_gallery_import(b, lines, &added, &e), &e);
    assert_int_equal(added, folk_count(a));
    folk_digest(b, second);
    assert_string_equal(first, second);
    folk_ok(dv_gallery_verify(b, &e), &e);
    /* The dates of the subjects travel too: the second export is the first. */
    folk_ok(dv_gallery_export(b, again, &e), &e);
    uint8_t *x = folk_get(lines, &n1), *y = folk_get(again, &n2);
    assert_int_equal(n1, n2);
    assert_memory_equal(x, y, n1);
    free(x);
    free(y);
    /* What is there already is neither added nor counted. */
    folk_ok(dv_gallery_import(b, lines, &added, &e), &e);
    assert_int_equal(added, 0);
    assert_int_equal(folk_count(b), folk_count(a));
    /* With one gone, that one comes back. */
    dv_gallery_close(&b);
    b = folk_open(folk_path(state, "c.db"));
    folk_ok(folk_add(b, "Zoë \"0\" \\ \xf0\x9f\x98\x80", 0, 1, &e), &e);
    folk_ok(dv_gallery_import(b, lines, &added, &e), &e);
    assert_int_equal(added, folk_count(a) - 1);
    dv_gallery_close(&a);
    dv_gallery_close(&b);
}

/* Long lines, and a file that does not end in a newline. */
static void large_crop(void **state)
{
    const char *lines = folk_path(state, "e.jsonl");
    dv_gallery *a = folk_open(folk_path(state, "a.db"));
    dv_err e = {0};
    float v[FOLK_DIM];
    char first[65], second[65];
    uint8_t *crop = malloc(DV_GAL_MAX_CROP);
    assert_non_null(crop);
    uint64_t seed = 7;
    for (size_t i = 0; i < DV_GAL_MAX_CROP; i++)
        crop[i] = (uint8_t)folk_random(&seed);
    folk_vector(1, v);
    dv_template t = {.vector = v, .crop = crop, .crop_size = DV_GAL_MAX_CROP};
    folk_ok(dv_gallery_add(a, "Anna", &t, 1, NULL, &e), &e);
    folk_ok(folk_add(a, "Bob", 5, 4, &e), &e);
    folk_ok(dv_gallery_export(a, lines, &e), &e);
    struct stat st;
    assert_int_equal(stat(lines, &st), 0);
    assert_int_equal(truncate(lines, st.st_size - 1), 0);
    dv_gallery *b = folk_open(folk_path(state, "b.db"));
    folk_ok(dv_gallery_import(b, lines, NULL, &e), &e);
    folk_digest(a, first);
    folk_digest(b, second);
    assert_string_equal(first, second);
    free(crop);
    dv_gallery_close(&a);
    dv_gallery_close(&b);
}

static void places_refused(void **state)
{
    const char *path = folk_path(state, "a.db");
    dv_gallery *g = folk_open(path);
    dv_err e = {0};
    folk_ok(folk_add(g, "Anna", 1, 1, &e), &e);
    folk_fails(dv_gallery_export(g, path, &e), &e, DMV_ERR_ARGUMENT, "gallery itself");
    folk_fails(dv_gallery_import(g, path, NULL, &e), &e, DMV_ERR_ARGUMENT, "gallery itself");
    folk_fails(dv_gallery_export(g, *state, &e), &e, DMV_ERR_IO, "folder");
    folk_fails(dv_gallery_import(g, *state, NULL, &e), &e, DMV_ERR_IO, "not a file");
    folk_fails(dv_gallery_import(g, folk_path(state, "none"), NULL, &e), &e, DMV_ERR_IO, "none");
    folk_fails(dv_gallery_export(g, folk_path(state, "no/such"), &e), &e, DMV_ERR_IO, "no/such");
    folk_fails(dv_gallery_export(g, "", &e), &e, DMV_ERR_ARGUMENT, "empty");
    folk_fails(dv_gallery_import(g, "", NULL, &e), &e, DMV_ERR_ARGUMENT, "empty");
    folk_fails(dv_gallery_export(g, "/dev/full", &e), &e, DMV_ERR_IO, "/dev/full");
    folk_ok(dv_gallery_export(g, "/dev/null", &e), &e);
    /* A link stays a link: what it points to is replaced. */
    struct stat st;
    const char *link = folk_path(state, "link"), *real = folk_path(state, "real");
    folk_put(real, "old", 3);
    assert_int_equal(symlink("real", link), 0);
    folk_ok(dv_gallery_export(g, link, &e), &e);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(real, &st), 0);
    assert_true(st.st_size > 100);
    assert_int_equal(st.st_mode & 0777, 0600);
    dv_gallery_close(&g);
}

#define HEAD_(v, id, dim, n)                                                               \
    "{\"domovoi_gallery\":" v ",\"model_id\":\"" id "\",\"model_name\":\"m\",\"dim\":" dim \
    ",\"templates\":" n "}\n"
#define HEAD(n) HEAD_("1", "abc", "2", n)
#define LINE_(name, created, quality, vector, more)                                                \
    "{\"subject\":\"" name "\",\"subject_created\":5,\"created\":" created ",\"quality\":" quality \
    ",\"source\":\"a\",\"vector\":\"" vector "\"" more "}\n"
#define ONE "AACAPwAAAAA="   /* 1, 0 */
#define OTHER "AAAAAAAAgD8=" /* 0, 1 */
#define LINE LINE_("Anna", "6", "0.5", ONE, "")

static void contents_refused(void **state)
{
    static const struct {
        const char *text;
        dmv_status status;
        const char *part;
    } cases[] = {
        {"", DMV_ERR_FORMAT, "no header line"},
        {"\n", DMV_ERR_FORMAT, "line 1: not JSON"},
        {"[]\n", DMV_ERR_FORMAT, "line 1: not a JSON object"},
        {LINE, DMV_ERR_FORMAT, "no header line"},
        {"{\"domovoi_gallery\":\"1\"}\n", DMV_ERR_FORMAT, "no header line"},
        {HEAD_("2", "abc", "2", "0"), DMV_ERR_VERSION, "newer version"},
        {HEAD_("1", "abd", "2", "0"), DMV_ERR_MISMATCH, "'m' (id abd"},
        {HEAD_("1", "abc", "3", "0"), DMV_ERR_MISMATCH, "3 numbers"},
        {HEAD_("1", "abc", "-1", "0"), DMV_ERR_FORMAT, "makes no sense"},
        {HEAD_("1", "abc", "2", "-5"), DMV_ERR_FORMAT, "makes no sense"},
        {"{\"domovoi_gallery\":1}\n", DMV_ERR_FORMAT, "line 1: "},
        {HEAD("1"), DMV_ERR_FORMAT, "cut short"},
        {HEAD("1") LINE LINE, DMV_ERR_FORMAT, "has 2 templates"},
        {HEAD("2") LINE, DMV_ERR_FORMAT, "has 1 templates"},
        {HEAD("2") LINE "\n" LINE, DMV_ERR_FORMAT, "line 3: not JSON"},
        {HEAD("2") LINE "{\"subject\":", DMV_ERR_FORMAT, "line 3: not JSON"},
        {HEAD("1") LINE_("", "6", "0.5", ONE, ""), DMV_ERR_FORMAT, "line 2: the name"},
        {HEAD("1") LINE_("An\\nna", "6", "0.5", ONE, ""), DMV_ERR_FORMAT, "U+000A"},
        {HEAD("1") LINE_("An\\u0000na", "6", "0.5", ONE, ""), DMV_ERR_FORMAT, "line 2: not JSON"},
        {HEAD("1") LINE_("An\xffna", "6", "0.5", ONE, ""), DMV_ERR_FORMAT, "line 2: not JSON"},
        {HEAD("1") LINE_("Anna", "0", "0.5", ONE, ""), DMV_ERR_FORMAT, "date"},
        {HEAD("1") LINE_("Anna", "6.5", "0.5", ONE, ""), DMV_ERR_FORMAT, "line 2"},
        {HEAD("1") LINE_("Anna", "99999999999999999999", "0.5", ONE, ""), DMV_ERR_FORMAT, "line 2"},
        {HEAD("1") LINE_("Anna", "6", "1e99", ONE, ""), DMV_ERR_FORMAT, "quality"},
        {HEAD("1") LINE_("Anna", "6", "NaN", ONE, ""), DMV_ERR_FORMAT, "line 2: not JSON"},
        {HEAD("1") LINE_("Anna", "6", "\"x\"", ONE, ""), DMV_ERR_FORMAT, "line 2"},
        {HEAD("1") LINE_("Anna", "6", "0.5", "AACAPwAAAAA", ""), DMV_ERR_FORMAT, "right size"},
        {HEAD("1") LINE_("Anna", "6", "0.5", "AACAPw==", ""), DMV_ERR_FORMAT, "right size"},
        {HEAD("1") LINE_("Anna", "6", "0.5", ONE ONE, ""), DMV_ERR_FORMAT, "right size"},
        {HEAD("1") LINE_("Anna", "6", "0.5", "AACAPwAAwH8=", ""), DMV_ERR_FORMAT, "not finite"},
        {HEAD("1") LINE_("Anna", "6", "0.5", "AACAPwAAgD8=", ""), DMV_ERR_FORMAT, "length 1.41"},
        {HEAD("1") LINE_("Anna", "6", "0.5", ONE, ",\"crop\":\"\""), DMV_ERR_FORMAT, "crop"},
        {HEAD("1") LINE_("Anna", "6", "0.5", ONE, ",\"crop\":\"x\""), DMV_ERR_FORMAT, "crop"},
        {HEAD("1") LINE_("Anna", "6", "0.5", ONE, ",\"crop\":null"), DMV_ERR_FORMAT, "line 2"},
        {HEAD("1") LINE_("Anna", "6", "0.5", ONE, ",\"more\":1"), DMV_ERR_FORMAT, "line 2"},
        {HEAD("1") LINE_("Anna", "6", "0.5", ONE, ",\"subject\":\"B\""), DMV_ERR_FORMAT, "line 2"},
        {HEAD("2") LINE LINE_("Bob", "6", "0.5", "AA==", ""), DMV_ERR_FORMAT, "line 3"},
    };
    const dv_gallery_model model = {"abc", "two", 2};
    const char *lines = folk_path(state, "x.jsonl");
    dv_gallery *g = NULL;
    dv_err e = {0};
    folk_ok(dv_gallery_open(folk_path(state, "a.db"), true, &model, &g, &e), &e);
    for (size_t i = 0; i < DV_COUNT(cases); i++) {
        size_t added = 99;
        folk_put(lines, cases[i].text, strlen(cases[i].text));
        folk_fails(dv_gallery_import(g, lines, &added, &e), &e, cases[i].status, cases[i].part);
        assert_non_null(strstr(e.msg, "x.jsonl"));
        assert_int_equal(added, 0);
        dv_err ignored = {0};
        dv_subject *list;
        size_t n;
        folk_ok(dv_gallery_subjects(g, &list, &n, &ignored), &ignored);
        dv_subjects_free(list, n);
        assert_int_equal(n, 0);
    }
    static const char good[] = HEAD("4") LINE LINE LINE_("Anna", "7", "1", OTHER, "")
        LINE_("Bob", "6", "0", ONE, ",\"crop\":\"Zg==\"");
    size_t added = 0;
    folk_put(lines, good, sizeof good - 1);
    folk_ok(dv_gallery_import(g, lines, &added, &e), &e);
    assert_int_equal(added, 3); /* the second line repeats the first */
    folk_ok(dv_gallery_verify(g, &e), &e);
    dv_gallery_close(&g);
}

static void endless_line(void **state)
{
    const char *lines = folk_path(state, "x.jsonl");
    dv_gallery *g = folk_open(folk_path(state, "a.db"));
    dv_err e = {0};
    folk_put(lines, "", 0);
    assert_int_equal(truncate(lines, 1 << 26), 0); /* zeros without a newline */
    folk_fails(dv_gallery_import(g, lines, NULL, &e), &e, DMV_ERR_LIMIT, "line 1");
    dv_gallery_close(&g);
}

/* An export with random bytes changed: refused, or a gallery that verifies. */
static void damaged_lines(void **state)
{
    const char *lines = folk_path(state, "e.jsonl"), *path = folk_path(state, "b.db");
    dv_gallery *g = folk_open(folk_path(state, "a.db"));
    dv_err e = {0};
    size_t n, refused = 0;
    uint64_t seed = 99;
    folk_ok(folk_add(g, "Anna", 1, 3, &e), &e);
    folk_ok(folk_add(g, "Bob", 9, 2, &e), &e);
    folk_ok(dv_gallery_export(g, lines, &e), &e);
    dv_gallery_close(&g);
    uint8_t *p = folk_get(lines, &n);
    g = folk_open(path);
    for (int round = 0; round < 300; round++) {
        size_t at = folk_random(&seed) % n;
        uint8_t old = p[at];
        p[at] = (uint8_t)folk_random(&seed);
        folk_put(lines, p, round % 3 ? n : at + 1);
        p[at] = old;
        size_t before = folk_count(g);
        dmv_status s = dv_gallery_import(g, lines, NULL, &e);
        if (s != DMV_OK) {
            assert_true(strlen(e.msg) > 10);
            assert_int_equal(folk_count(g), before);
            refused++;
        }
    }
    assert_true(refused > 100);
    folk_ok(dv_gallery_verify(g, &e), &e);
    dv_gallery_close(&g);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, folk_setup, folk_teardown)
        T(base64),           T(there_and_back), T(large_crop),    T(places_refused),
        T(contents_refused), T(endless_line),   T(damaged_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
