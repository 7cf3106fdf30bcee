/* SPDX-License-Identifier: Apache-2.0
 *
 * test_files.c - saving and loading by name, listing of folders, drawing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sample.h"

static char dir[256];

static const char *in(const char *name)
{
    static char path[4][512];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/domovoi-image-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void touch(const char *name, const char *text)
{
    FILE *f = fopen(in(name), "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static size_t entries(const char *path)
{
    size_t n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

static void round_trips(void **state)
{
    const struct {
        const char *name;
        int tolerance;
        bool there;
    } kinds[] = {
        {"a.ppm", 0, true},
#ifdef DV_HAVE_SPNG
        {"a.PNG", 0, true},
#else
        {"a.PNG", 0, false},
#endif
#ifdef DV_HAVE_JPEG
        {"a.jpg", 40, true},
        {"a.jpeg", 40, true},
#else
        {"a.jpg", 0, false},
#endif
    };
    dv_picture p = sample_picture(75, 50), q;
    dv_err e = {0};

    for (size_t i = 0; i < DV_COUNT(kinds); i++) {
        dmv_status s = dv_image_save(in(kinds[i].name), &p, &e);
        if (!kinds[i].there) {
            assert_int_equal(s, DMV_ERR_UNSUPPORTED);
            assert_non_null(strstr(e.msg, "rebuild"));
            continue;
        }
        if (s || (s = dv_image_load(in(kinds[i].name), &q, &e)))
            fail_msg("%s", e.msg);
        assert_in_range(picture_distance(&p, &q), 0, kinds[i].tolerance);
        dv_picture_free(&q);
        unlink(in(kinds[i].name));
    }
    dmv_image v = dv_picture_view(&p);
    assert_true(v.pixels == p.pixels && v.width == 75 && v.height == 50 && v.stride == 225 &&
                v.format == DMV_PIXEL_RGB8);
    dv_picture_free(&p);
}

static void load_refuses(void **state)
{
    dv_picture p;
    dv_err e = {0};

    assert_int_equal(dv_image_load(in("none.jpg"), &p, &e), DMV_ERR_IO);
    assert_non_null(strstr(e.msg, "none.jpg"));
    assert_int_equal(dv_image_load(dir, &p, &e), DMV_ERR_IO);
    assert_non_null(strstr(e.msg, "folder"));
    assert_int_equal(dv_image_load("", &p, &e), DMV_ERR_ARGUMENT);
    touch("empty.jpg", "");
    assert_int_equal(dv_image_load(in("empty.jpg"), &p, &e), DMV_ERR_FORMAT);
    assert_non_null(strstr(e.msg, "empty.jpg"));
    assert_non_null(strstr(e.msg, "empty (0 bytes)"));
    touch("page.jpg", "<html><body>404</body></html>");
    assert_int_equal(dv_image_load(in("page.jpg"), &p, &e), DMV_ERR_FORMAT);
    assert_non_null(strstr(e.msg, "web page"));
    assert_null(p.pixels);
    unlink(in("empty.jpg"));
    unlink(in("page.jpg"));
}

static void save_refuses(void **state)
{
    dv_picture p = sample_picture(40, 30), none = {0};
    dv_err e = {0};
    struct stat st;

    assert_int_equal(dv_image_save(in("a.gif"), &p, &e), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, ".png"));
    assert_int_equal(dv_image_save(in("noending"), &p, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_image_save(NULL, &p, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_image_save(in("a.ppm"), &none, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_image_save(in("no/such/a.ppm"), &p, &e), DMV_ERR_IO);
    assert_non_null(strstr(e.msg, "no/such/a.ppm"));
    assert_int_equal(mkdir(in("dir.ppm"), 0755), 0);
    assert_int_equal(dv_image_save(in("dir.ppm"), &p, &e), DMV_ERR_IO);
    rmdir(in("dir.ppm"));

    if (symlink("/dev/full", in("full.ppm")) == 0 && stat(in("full.ppm"), &st) == 0) {
        assert_int_equal(dv_image_save(in("full.ppm"), &p, &e), DMV_ERR_IO);
        assert_non_null(strstr(e.msg, "full"));
        assert_int_equal(stat("/dev/full", &st), 0);
        assert_true(S_ISCHR(st.st_mode));
    }
    unlink(in("full.ppm"));
    assert_int_equal(entries(dir), 0);
    dv_picture_free(&p);
}

/* The disk fills in the middle: the old picture stays, no part of the new one does. */
static void save_is_atomic(void **state)
{
    dv_picture small = sample_picture(8, 8), large = sample_picture(400, 300), q;
    struct rlimit old, cut;
    dv_err e = {0};
    dmv_status s;

    assert_int_equal(dv_image_save(in("a.ppm"), &small, &e), DMV_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    cut = old;
    cut.rlim_cur = 10000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &cut), 0);
    s = dv_image_save(in("a.ppm"), &large, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(s, DMV_ERR_IO);
    assert_int_equal(entries(dir), 1);
    assert_int_equal(dv_image_load(in("a.ppm"), &q, &e), DMV_OK);
    assert_int_equal(picture_distance(&small, &q), 0);
    unlink(in("a.ppm"));
    dv_picture_free(&q);
    dv_picture_free(&small);
    dv_picture_free(&large);
}

static void listing(void **state)
{
    static const char *const want[] = {"B/x.PNG", "B/y/deep.webp", "a.jpg",
                                       "b.jpeg",  "link.jpg",      "z.ppm"};
    dv_paths l;
    dv_err e = {0};

    assert_int_equal(dv_image_list(dir, &l, &e), DMV_ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "no pictures"));
    assert_int_equal(l.n, 0);
    mkdir(in("B"), 0755);
    mkdir(in("B/y"), 0755);
    mkdir(in(".hidden"), 0755);
    mkdir(in("fake.jpg"), 0755);
    touch("z.ppm", "1");
    touch("a.jpg", "1");
    touch("b.jpeg", "1");
    touch("notes.txt", "1");
    touch(".secret.jpg", "1");
    touch(".hidden/in.jpg", "1");
    touch("B/x.PNG", "1");
    touch("B/y/deep.webp", "1");
    assert_int_equal(symlink("a.jpg", in("link.jpg")), 0);
    assert_int_equal(symlink("..", in("B/loop")), 0);
    assert_int_equal(symlink("B", in("tofolder.jpg")), 0);
    assert_int_equal(mkfifo(in("pipe.jpg"), 0644), 0);

    for (int slash = 0; slash < 2; slash++) {
        if (dv_image_list(slash ? in("") : dir, &l, &e))
            fail_msg("%s", e.msg);
        assert_int_equal(l.n, DV_COUNT(want));
        for (size_t i = 0; i < l.n; i++)
            assert_string_equal(l.v[i], in(want[i]));
        dv_paths_free(&l);
    }
    assert_int_equal(dv_image_list(in("notes.txt"), &l, &e), DMV_OK);
    assert_int_equal(l.n, 1);
    dv_paths_free(&l);
    dv_paths_free(&l);
    assert_int_equal(dv_image_list(in("missing"), &l, &e), DMV_ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "missing"));

    for (uint64_t nth = 1;; nth++) {
        dmv_status s;
        dv_alloc_fail_at(nth, false);
        s = dv_image_list(dir, &l, &e);
        dv_alloc_fail_at(0, false);
        if (s == DMV_OK)
            break;
        assert_int_equal(s, DMV_ERR_MEMORY);
        assert_null(l.v);
    }
    dv_paths_free(&l);
}

/* ---- drawing ---- */

#ifdef DV_HAVE_CAIRO
static dv_picture flat(int w, int h, int level)
{
    dv_picture p = {dv_malloc((size_t)w * (size_t)h * 3), w, h};
    assert_non_null(p.pixels);
    memset(p.pixels, level, (size_t)w * (size_t)h * 3);
    return p;
}

static const uint8_t *at(const dv_picture *p, int x, int y)
{
    return p->pixels + 3 * ((size_t)y * (size_t)p->width + (size_t)x);
}

/* Rows and columns that were drawn on. */
static void touched(const dv_picture *p, int level, int box[4])
{
    box[0] = p->width;
    box[1] = p->height;
    box[2] = box[3] = -1;
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++)
            for (int c = 0; c < 3; c++)
                if (at(p, x, y)[c] != level) {
                    box[0] = DV_MIN(box[0], x);
                    box[1] = DV_MIN(box[1], y);
                    box[2] = DV_MAX(box[2], x);
                    box[3] = DV_MAX(box[3], y);
                }
}
#endif

static void drawing(void **state)
{
#ifdef DV_HAVE_CAIRO
    dv_picture p = flat(400, 300, 90);
    dv_label l = {
        .face = {.box = {100, 60, 120, 140},
                 .landmarks = {{130, 110}, {190, 110}, {160, 140}, {140, 170}, {180, 170}},
                 .has_landmarks = 1},
        .good = 1};
    dv_err e = {0};
    int box[4];

    assert_int_equal(dv_draw_faces(&p, NULL, 0, &e), DMV_OK);
    touched(&p, 90, box);
    assert_int_equal(box[2], -1);
    assert_int_equal(dv_draw_faces(&p, &l, 1, &e), DMV_OK);
    touched(&p, 90, box);
    for (int i = 0; i < 4; i++) /* the box and its halo, nothing further out */
        assert_in_range(abs(box[i] - (i == 0 ? 100 : i == 1 ? 60 : i == 2 ? 220 : 200)), 0, 5);
    assert_true(at(&p, 100, 130)[1] > 150 && at(&p, 100, 130)[0] < 110); /* green side */
    assert_true(at(&p, 160, 60)[1] > 150);
    assert_true(at(&p, 130, 110)[0] > 200);   /* an eye */
    assert_int_equal(at(&p, 160, 90)[0], 90); /* untouched inside */
    l.good = -1;
    assert_int_equal(dv_draw_faces(&p, &l, 1, &e), DMV_OK);
    assert_true(at(&p, 100, 130)[0] > 150 && at(&p, 100, 130)[1] < 110);

    memset(p.pixels, 90, 400 * 300 * 3); /* a name below the box */
    l.text = "Anna 0.71";
    assert_int_equal(dv_draw_faces(&p, &l, 1, &e), DMV_OK);
    touched(&p, 90, box);
    assert_in_range(box[3], 212, 240);
    dv_picture_free(&p);
#else
    dv_picture p = sample_picture(10, 10), out;
    dv_label l = {.good = 1};
    dv_err e = {0};
    assert_int_equal(dv_draw_faces(&p, &l, 1, &e), DMV_ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "cairo"));
    assert_int_equal(dv_draw_sheet(&p, NULL, 1, 1, 64, &out, &e), DMV_ERR_UNSUPPORTED);
    dv_picture_free(&p);
#endif
}

/* Faces at and beyond every edge, texts of any sort, pictures of any size. */
static void drawing_extremes(void **state)
{
#ifdef DV_HAVE_CAIRO
    static const char *const texts[] = {
        "",
        "A",
        "\xd0\x90\xd0\xbd\xd0\xbd\xd0\xb0",
        "bad \xff\xc3 bytes \xed\xa0\x80",
        "two\nlines\tand tabs",
        "a name that is much too long for any face in this picture"};
    static const float boxes[][4] = {{-50, -50, 80, 80},
                                     {350, 250, 100, 100},
                                     {0, 0, 400, 300},
                                     {1e30f, 1e30f, 1e30f, 10},
                                     {-1e9f, -1e9f, 2e9f, 2e9f},
                                     {10, 10, 0, 5},
                                     {NAN, 1, 2, 3},
                                     {5, 5, INFINITY, 3},
                                     {200, 290, 4, 9},
                                     {390, 0, 9, 5}};
    static const int sizes[][2] = {{400, 300}, {1, 1}, {7, 300}, {300, 7}, {40, 40}, {20, 2000}};
    dv_err e = {0};

    for (size_t k = 0; k < DV_COUNT(sizes); k++) {
        dv_picture p = flat(sizes[k][0], sizes[k][1], 200);
        for (size_t i = 0; i < DV_COUNT(boxes); i++)
            for (size_t t = 0; t < DV_COUNT(texts); t++) {
                dv_label l = {.face = {.has_landmarks = 1,
                                       .landmarks = {{NAN, 1}, {-5, -5}, {1e30f, 2}, {1, 1}}},
                              .text = texts[t],
                              .good = (int)t % 3 - 1};
                memcpy(l.face.box, boxes[i], sizeof boxes[i]);
                if (dv_draw_faces(&p, &l, 1, &e))
                    fail_msg("box %zu, text %zu: %s", i, t, e.msg);
            }
        dv_picture_free(&p);
    }
    dv_picture p = flat(64, 64, 1), none = {0};
    dv_label l = {.face = {.box = {10, 10, 30, 30}}, .text = "x"};
    for (uint64_t nth = 1; nth < 3; nth++) {
        dv_alloc_fail_at(nth, false);
        assert_int_equal(dv_draw_faces(&p, &l, 1, &e), DMV_ERR_MEMORY);
        dv_alloc_fail_at(0, false);
        for (size_t i = 0; i < 64 * 64 * 3; i++)
            assert_int_equal(p.pixels[i], 1);
    }
    assert_int_equal(dv_draw_faces(&none, &l, 1, &e), DMV_ERR_ARGUMENT);
    dv_picture_free(&p);
#else
    skip();
#endif
}

static void sheets(void **state)
{
#ifdef DV_HAVE_CAIRO
    dv_picture in3[3] = {flat(10, 10, 30), flat(300, 100, 30), flat(100, 1000, 30)}, out;
    const char *const captions[3] = {"one", NULL, "a caption that is too long for its cell"};
    dv_err e = {0};

    assert_int_equal(dv_draw_sheet(in3, captions, 3, 2, 96, &out, &e), DMV_OK);
    assert_int_equal(out.width, 2 * 96 + 3 * 6);
    assert_int_equal(out.height, 2 * (96 + 14) + 3 * 6);
    assert_int_equal(at(&out, 2, 2)[0], 244);
    assert_int_equal(at(&out, 6 + 48, 6 + 48)[0], 30); /* first: fills its cell */
    assert_int_equal(at(&out, 7, 7)[0], 30);
    assert_int_equal(at(&out, 108 + 48, 6 + 48)[0], 30); /* second: wide, in the middle */
    assert_int_equal(at(&out, 108 + 48, 6 + 10)[0], 244);
    assert_int_equal(at(&out, 6 + 48, 122 + 48)[0], 30); /* third: tall, in the next row */
    assert_int_equal(at(&out, 6 + 20, 122 + 48)[0], 244);
    dv_picture_free(&out);
    assert_int_equal(dv_draw_sheet(in3, NULL, 3, 10, 16, &out, &e), DMV_OK);
    assert_int_equal(out.width, 3 * 16 + 4 * 4);
    dv_picture_free(&out);

    assert_int_equal(dv_draw_sheet(in3, NULL, 0, 2, 96, &out, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_draw_sheet(in3, NULL, 3, 0, 96, &out, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_draw_sheet(in3, NULL, 3, 2, 5, &out, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_draw_sheet(in3, NULL, 1000000, 1, 4096, &out, &e), DMV_ERR_LIMIT);
    for (uint64_t nth = 1;; nth++) {
        dmv_status s;
        dv_alloc_fail_at(nth, false);
        s = dv_draw_sheet(in3, captions, 3, 2, 96, &out, &e);
        dv_alloc_fail_at(0, false);
        if (s == DMV_OK)
            break;
        assert_int_equal(s, DMV_ERR_MEMORY);
        assert_null(out.pixels);
    }
    dv_picture_free(&out);
    for (int i = 0; i < 3; i++)
        dv_picture_free(&in3[i]);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trips, setup, teardown),
        cmocka_unit_test_setup_teardown(load_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(save_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(save_is_atomic, setup, teardown),
        cmocka_unit_test_setup_teardown(listing, setup, teardown),
        cmocka_unit_test(drawing),
        cmocka_unit_test(drawing_extremes),
        cmocka_unit_test(sheets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
