/* SPDX-License-Identifier: Apache-2.0
 *
 * test_writer.c - MP4 files: sizes, times, quality, and that a file is there whole or not at all.
 */
#include "clips.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static dv_video_writer *begin(const char *path, int w, int h, double rate,
                              const dv_encode_options *o)
{
    dv_video_writer *v;
    dv_err e = {0};
    if (dv_video_writer_open(path, w, h, rate, o, &v, &e))
        fail_msg("%s", e.msg);
    return v;
}

static void add(dv_video_writer *v, int w, int h, int k, double time)
{
    dv_err e = {0};
    dv_picture p = clip_picture(w, h, k);
    dmv_image view = dv_picture_view(&p);
    if (dv_video_writer_add(v, &view, time, &e))
        fail_msg("%s", e.msg);
    dv_picture_free(&p);
}

static void end(dv_video_writer *v)
{
    dv_err e = {0};
    if (dv_video_writer_close(&v, &e))
        fail_msg("%s", e.msg);
    assert_null(v);
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* Files in the folder of `path` whose names begin as its does. */
static int files_like(const char *path)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    *slash = 0;
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *ent; (ent = readdir(d));)
        n += strncmp(ent->d_name, slash + 1, strlen(slash + 1)) == 0;
    closedir(d);
    return n;
}

/* Noise needs all the bits it can get. */
static dv_picture noisy_picture(int w, int h, int k)
{
    uint32_t noise = (uint32_t)k;
    dv_picture p = clip_picture(w, h, k);
    for (int j = 0; j < w * h * 3; j++) {
        noise = noise * 1664525u + 1013904223u;
        p.pixels[j] = (uint8_t)(p.pixels[j] / 2 + (noise >> 25));
    }
    return p;
}

static void test_quality(void **state)
{
    off_t sizes[3];
    double psnr[3];
    for (int i = 0; i < 3; i++) {
        dv_encode_options o;
        dv_video_frame f;
        dv_err e = {0};
        dv_encode_options_init(&o);
        o.crf = 15 + 15 * i;
        dv_video_writer *w = begin(in("q.mp4"), 320, 240, 25, &o);
        for (int k = 0; k < 25; k++)
            add(w, 320, 240, k, NAN);
        end(w);
        sizes[i] = size_of(in("q.mp4"));
        dv_video *v = clip_open(in("q.mp4"), NULL);
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        dv_picture p = clip_picture(320, 240, 0);
        psnr[i] = clip_psnr(&f.image, &p);
        dv_picture_free(&p);
        dv_video_close(&v);
    }
    assert_true(sizes[0] > sizes[1] && sizes[1] > sizes[2]);
    assert_true(psnr[0] > psnr[1] && psnr[1] > psnr[2] && psnr[0] > 36 && psnr[2] > 20);
}

static void test_bit_rate(void **state)
{
    const int64_t rates[] = {40000, 400000};
    off_t sizes[2];
    for (int i = 0; i < 2; i++) {
        dv_encode_options o;
        dv_encode_options_init(&o);
        o.bit_rate = rates[i];
        dv_video_writer *w = begin(in("rate.mp4"), 320, 240, 25, &o);
        for (int k = 0; k < 100; k++) {
            dv_picture p = noisy_picture(320, 240, k);
            dmv_image view = dv_picture_view(&p);
            dv_err e = {0};
            assert_int_equal(dv_video_writer_add(w, &view, NAN, &e), DMV_OK);
            dv_picture_free(&p);
        }
        end(w);
        sizes[i] = size_of(in("rate.mp4"));
    }
    double bits = (double)sizes[1] * 8 / 4;
    assert_true(bits > 200000 && bits < 800000); /* 4 seconds and a buffer of one */
    assert_true(sizes[0] < sizes[1] / 3);
}

/* Times as given; those that do not grow are moved on. */
static void test_times(void **state)
{
    const double times[] = {0, 0.5, 0.52, 0.52, 0.3, 2, NAN, 3.5};
    const double want[] = {0, 0.5, 0.52, 0.52, 0.52, 2, 2.1, 3.5};
    dv_video_frame f;
    dv_err e = {0};
    dv_video_writer *w = begin(in("times.mp4"), 160, 120, 10, NULL);
    for (unsigned k = 0; k < DV_COUNT(times); k++)
        add(w, 160, 120, (int)k, times[k]);
    end(w);
    dv_video *v = clip_open(in("times.mp4"), NULL);
    double last = -1;
    for (unsigned k = 0; k < DV_COUNT(want); k++) {
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_non_null(f.image.pixels);
        if (fabs(f.time - want[k]) > 0.001)
            fail_msg("frame %u is at %g, not %g", k, f.time, want[k]);
        assert_true(f.time > last);
        last = f.time;
    }
    dv_video_close(&v);
}

/* Odd sides lose a pixel; other sizes are fitted in with black bars. */
static void test_sizes(void **state)
{
    dv_video_frame f;
    dv_err e = {0};
    dv_video_writer *w = begin(in("odd.mp4"), 161, 121, 25, NULL);
    add(w, 161, 121, 0, NAN);
    add(w, 320, 120, 0, NAN); /* wide: bars above and below */
    add(w, 40, 120, 0, NAN);  /* narrow: at the sides */
    add(w, 1, 1, 0, NAN);
    end(w);
    dv_video *v = clip_open(in("odd.mp4"), NULL);
    for (int k = 0; k < 4; k++) {
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_int_equal(f.image.width, 160);
        assert_int_equal(f.image.height, 120);
        const uint8_t *top = f.image.pixels + 80 * 3;
        const uint8_t *left = f.image.pixels + 60 * f.image.stride;
        const uint8_t *middle = left + 80 * 3;
        assert_int_equal(top[1] < 12, k == 1);
        assert_int_equal(left[1] < 12, k == 2 || k == 3);
        assert_true(k == 3 || middle[1] > 20);
        if (k == 0) {
            dv_picture p = clip_picture(161, 121, 0);
            for (int y = 0; y < 120; y++) /* the same without its last column and row */
                memmove(p.pixels + y * 480, p.pixels + y * 483, 480);
            p.width = 160;
            p.height = 120;
            assert_true(clip_psnr(&f.image, &p) > 32);
            dv_picture_free(&p);
        }
    }
    dv_video_close(&v);
}

static void test_fallback(void **state)
{
    dv_encode_options o;
    dv_video_frame f;
    dv_video_facts facts;
    dv_err e = {0};
    dv_encode_options_init(&o);
    o.encoder = "mpeg4";
    dv_video_writer *w = begin(in("m4.mp4"), 320, 240, 25, &o);
    for (int k = 0; k < 10; k++)
        add(w, 320, 240, k, NAN);
    end(w);
    dv_video *v = clip_open(in("m4.mp4"), NULL);
    dv_video_get_facts(v, &facts);
    assert_string_equal(facts.streams[0].codec, "mpeg4");
    for (int k = 0; k < 10; k++) {
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_int_equal(clip_frame_of(&f.image), k);
        dv_picture p = clip_picture(320, 240, k);
        assert_true(clip_psnr(&f.image, &p) > 30);
        dv_picture_free(&p);
    }
    dv_video_close(&v);
    dv_video_writer *none;
    o.encoder = "no-such-encoder";
    assert_int_equal(dv_video_writer_open(in("no.mp4"), 64, 64, 25, &o, &none, &e),
                     DMV_ERR_ARGUMENT);
    assert_null(none);
    assert_non_null(strstr(e.msg, "no-such-encoder"));
    o.encoder = NULL;
    o.preset = "no-such-preset";
    assert_int_not_equal(dv_video_writer_open(in("no.mp4"), 64, 64, 25, &o, &none, &e), DMV_OK);
    assert_int_equal(files_like(in("no.mp4")), 0);
}

/* Until it is closed there is no file, or the old one; dropped, it stays so. */
static void test_all_or_nothing(void **state)
{
    clip_save(in("old.mp4"), "old", 3);
    dv_video_writer *w = begin(in("old.mp4"), 64, 64, 25, NULL);
    add(w, 64, 64, 0, NAN);
    assert_int_equal(size_of(in("old.mp4")), 3);
    dv_video_writer_drop(&w);
    assert_null(w);
    assert_int_equal(size_of(in("old.mp4")), 3);
    assert_int_equal(files_like(in("old.mp4")), 1);
    w = begin(in("old.mp4"), 64, 64, 25, NULL);
    add(w, 64, 64, 0, NAN);
    end(w);
    assert_true(size_of(in("old.mp4")) > 300);
    assert_int_equal(files_like(in("old.mp4")), 1);
    /* No picture at all: a file, if an empty one, or a message; never a crash or a leftover. */
    dv_err e = {0};
    w = begin(in("zero.mp4"), 64, 64, 25, NULL);
    dmv_status s = dv_video_writer_close(&w, &e);
    assert_true(s || size_of(in("zero.mp4")) > 0);
    assert_int_equal(files_like(in("zero.mp4")), s ? 0 : 1);
    dv_video_writer *none;
    assert_int_equal(dv_video_writer_open(in("no/where.mp4"), 64, 64, 25, NULL, &none, &e),
                     DMV_ERR_IO);
    assert_non_null(strstr(e.msg, "where.mp4"));
    assert_int_equal(dv_video_writer_open(in("x.mp4"), 1, 64, 25, NULL, &none, &e),
                     DMV_ERR_ARGUMENT);
    assert_int_equal(dv_video_writer_open(in("x.mp4"), 64, 64, NAN, NULL, &none, &e),
                     DMV_ERR_ARGUMENT);
    dv_video_writer_close(&none, &e);
    dv_video_writer_drop(&none);
}

/* The disk is full: told once, with the reason; the caller goes on; no file is left. */
static void test_full_disk(void **state)
{
    struct rlimit old, small;
    dv_err e = {0};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    dv_encode_options o;
    dv_encode_options_init(&o);
    o.crf = 1;
    dv_video_writer *w = begin(in("full.mp4"), 320, 240, 25, &o);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int told = 0;
    char first[1024] = "";
    for (int k = 0; k < 60; k++) {
        dv_picture p = noisy_picture(320, 240, k);
        dmv_image view = dv_picture_view(&p);
        if (dv_video_writer_add(w, &view, NAN, &e)) {
            told++;
            snprintf(first, sizeof first, "%s", e.msg);
        }
        assert_int_equal(dv_video_writer_failed(w), told);
        dv_picture_free(&p);
    }
    assert_int_equal(told, 1);
    assert_non_null(strstr(first, "full.mp4"));
    assert_non_null(strstr(first, "File too large"));
    e = (dv_err){0};
    assert_int_equal(dv_video_writer_close(&w, &e), DMV_ERR_IO);
    assert_string_equal(e.msg, first);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(files_like(in("full.mp4")), 0);

    /* Full only when the end is written. */
    w = begin(in("full.mp4"), 64, 48, 25, NULL);
    add(w, 64, 48, 0, NAN);
    small.rlim_cur = 40;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    dmv_status s = dv_video_writer_close(&w, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(s, DMV_ERR_IO);
    assert_int_equal(files_like(in("full.mp4")), 0);

    if (access("/dev/full", W_OK) == 0) {
        dv_video_writer *none = NULL;
        s = dv_video_writer_open("/dev/full", 320, 240, 25, &o, &none, &e);
        for (int k = 0; !s && k < 60; k++) {
            dv_picture p = noisy_picture(320, 240, k);
            dmv_image view = dv_picture_view(&p);
            s = dv_video_writer_add(none, &view, NAN, &e);
            dv_picture_free(&p);
        }
        assert_int_equal(s, DMV_ERR_IO);
        assert_non_null(strstr(e.msg, "/dev/full"));
        dv_video_writer_drop(&none);
        struct stat st;
        assert_true(stat("/dev/full", &st) == 0 && S_ISCHR(st.st_mode));
    }
}

static void *read_all(void *user)
{
    int fd = open(in("out.pipe"), O_RDONLY);
    dv_buf *b = user;
    uint8_t block[4096];
    for (ssize_t k; (k = read(fd, block, sizeof block)) > 0;)
        dv_buf_put(b, block, (size_t)k);
    close(fd);
    return NULL;
}

/* Into a pipe: there is no way back in it, and it can be read as it comes. */
static void test_pipe(void **state)
{
    dv_buf b = {0};
    pthread_t t;
    dv_err e;
    assert_int_equal(mkfifo(in("out.pipe"), 0600), 0);
    assert_int_equal(pthread_create(&t, NULL, read_all, &b), 0);
    dv_video_writer *w = begin(in("out.pipe"), 160, 120, 25, NULL);
    for (int k = 0; k < 20; k++)
        add(w, 160, 120, k, NAN);
    end(w);
    pthread_join(t, NULL);
    clip_save(in("out.mp4"), b.data, b.size);
    dv_buf_free(&b);
    dv_video *v = clip_open(in("out.mp4"), NULL);
    assert_int_equal(clip_read(v, NULL, &e), 20);
    dv_video_close(&v);
}

static void test_memory(void **state)
{
    char *path = strdup(in("mem.mp4"));
    bool through = false;
    for (unsigned n = 1; n < 200 && !through; n++) {
        dv_video_writer *w = NULL;
        dv_err e = {0};
        dv_picture p = clip_picture(64, 48, 0);
        dmv_image view = dv_picture_view(&p);
        dv_alloc_fail_at(n, false);
        dmv_status s = dv_video_writer_open(path, 64, 48, 25, NULL, &w, &e);
        if (!s)
            s = dv_video_writer_add(w, &view, NAN, &e);
        dmv_status closed = dv_video_writer_close(&w, &e);
        dv_alloc_fail_at(0, false);
        dv_picture_free(&p);
        assert_true(s == DMV_OK || s == DMV_ERR_MEMORY);
        assert_true(w == NULL && (s == DMV_OK || closed == s || access(path, F_OK) != 0));
        through = s == DMV_OK && closed == DMV_OK;
        assert_int_equal(files_like(path), through ? 1 : 0);
    }
    assert_true(through);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quality),   cmocka_unit_test(test_bit_rate),
        cmocka_unit_test(test_times),     cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_fallback),  cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_full_disk), cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, clip_setup, clip_teardown);
}
