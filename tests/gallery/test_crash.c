/* SPDX-License-Identifier: Apache-2.0
 *
 * test_crash.c - what happens around the gallery: kill -9 at any moment, two programs at
 * once, a full disk, a folder that cannot be written. What was acknowledged stays.
 */
#include "folk.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Enrols NAME0, NAME1, ... and writes a byte to fd for each that was acknowledged. */
static void enrol_for_ever(const char *path, const char *prefix, uint64_t seed, int fd)
{
    dv_gallery *g = NULL;
    dv_err e = {0};
    char name[64];
    if (dv_gallery_open(path, true, &folk_model, &g, &e) != DMV_OK)
        _exit(2);
    for (unsigned i = 0;; i++) {
        snprintf(name, sizeof name, "%s-%u", prefix, i);
        if (folk_add(g, name, seed + 4 * i, 1 + i % 4, &e) != DMV_OK || write(fd, "+", 1) != 1)
            _exit(3);
    }
}

/* Runs enrol_for_ever for about us microseconds, kills it; how many it acknowledged. */
static unsigned killed_enrolment(const char *path, const char *prefix, uint64_t seed, uint64_t us)
{
    int fd[2];
    char buf[256];
    unsigned acked = 0;
    ssize_t k;
    assert_int_equal(pipe(fd), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fd[0]);
        enrol_for_ever(path, prefix, seed, fd[1]);
    }
    close(fd[1]);
    uint64_t end = dv_now_ns() + us * 1000;
    for (uint64_t now; (now = dv_now_ns()) < end;) {
        struct pollfd p = {fd[0], POLLIN, 0};
        if (poll(&p, 1, (int)((end - now) / 1000000)) > 0) {
            k = read(fd[0], buf, sizeof buf);
            if (k <= 0)
                break;
            acked += (unsigned)k;
        }
    }
    int status;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* no error before */
    while ((k = read(fd[0], buf, sizeof buf)) > 0)
        acked += (unsigned)k;
    close(fd[0]);
    return acked;
}

static void killed_while_enrolling(void **state)
{
    const char *path = folk_path(state, "g.db");
    unsigned acked[100], total = 0;
    uint64_t seed = 4711;
    dv_err e = {0};
    char name[64];
    /* more rounds where the machine is too busy to enrol much in one */
    for (unsigned round = 0; round < 20 || (total <= 20 && round < 100); round++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "round%u", round);
        /* Every fourth round is short enough to hit the opening. */
        uint64_t us = folk_random(&seed) % (round % 4 == 3 ? 6000 : 120000);
        acked[round] = killed_enrolment(path, prefix, 100000 * round, us);
        total += acked[round];
        dv_gallery *g = folk_open(path);
        folk_ok(dv_gallery_verify(g, &e), &e);
        for (unsigned r = 0; r <= round; r++) {
            for (unsigned i = 0; i < acked[r]; i++) {
                snprintf(name, sizeof name, "round%u-%u", r, i);
                if (!folk_has(g, name))
                    fail_msg("round %u: '%s' was acknowledged and is gone", round, name);
            }
            /* At most the one that was under way may be there beyond, and is then whole. */
            snprintf(name, sizeof name, "round%u-%u", r, acked[r] + 1);
            assert_false(folk_has(g, name));
        }
        dv_gallery_close(&g);
    }
    assert_true(total > 20);
}

/* Kills at many moments from the first instruction on: nothing usable, or an empty gallery
 * that works. */
static void killed_while_making(void **state)
{
    uint64_t seed = 31;
    dv_err e = {0};
    int empty = 0, made = 0;
    for (int round = 0; round < 60; round++) {
        const char *path = folk_path(state, "g.db");
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            dv_gallery *g = NULL;
            if (dv_gallery_open(path, true, &folk_model, &g, &e) != DMV_OK)
                _exit(2);
            for (;;)
                pause();
        }
        usleep((useconds_t)(folk_random(&seed) % 30000));
        int status;
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        dv_gallery *g = NULL;
        dmv_status s = dv_gallery_open(path, false, &folk_model, &g, &e);
        if (s == DMV_OK) {
            made++;
            dv_gallery_close(&g);
        } else if (s != DMV_ERR_IO) { /* IO: not even the file is there */
            folk_fails(s, &e, DMV_ERR_FORMAT, "is empty");
            empty++;
        }
        g = folk_open(path);
        assert_int_equal(folk_count(g), 0);
        folk_ok(folk_add(g, "Anna", 1, 1, &e), &e);
        folk_ok(dv_gallery_verify(g, &e), &e);
        dv_gallery_close(&g);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        folk_clear(*state);
    }
    print_message("made %d times, cut short %d times, never begun %d times\n", made, empty,
                  60 - made - empty);
}

/* Kills during removals and merges, which rewrite the file. */
static void killed_while_removing(void **state)
{
    const char *path = folk_path(state, "g.db");
    uint64_t seed = 5150;
    dv_err e = {0};
    char name[64];
    for (int round = 0; round < 12; round++) {
        dv_gallery *g = folk_open(path);
        for (unsigned i = 0; i < 20; i++) {
            snprintf(name, sizeof name, "r%d-%u", round, i);
            folk_ok(folk_add(g, name, 1000 * (uint64_t)round + 4 * i, 2, &e), &e);
        }
        dv_gallery_close(&g);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (dv_gallery_open(path, false, &folk_model, &g, &e) != DMV_OK)
                _exit(2);
            for (unsigned i = 0; i < 20; i++) {
                char to[64];
                snprintf(name, sizeof name, "r%d-%u", round, i);
                snprintf(to, sizeof to, "r%d-%u", round, i + 1);
                if ((i % 2 ? dv_gallery_remove(g, name, &e)
                           : dv_gallery_rename(g, name, to, true, &e)) != DMV_OK &&
                    i + 1 < 20)
                    _exit(3);
            }
            for (;;)
                pause();
        }
        usleep((useconds_t)(folk_random(&seed) % 60000));
        int status;
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        g = folk_open(path);
        folk_ok(dv_gallery_verify(g, &e), &e);
        dv_gallery_close(&g);
    }
}

/* One program enrols while another reads: the reader sees whole subjects only. */
static bool count_one(void *user, const dv_template *t)
{
    ++*(size_t *)user;
    return true;
}

static void two_programs(void **state)
{
    enum { SUBJECTS = 150 };
    const char *path = folk_path(state, "g.db");
    dv_err e = {0};
    char name[64];
    dv_gallery *g = folk_open(path);
    folk_ok(folk_add(g, "first", 1, 4, &e), &e);
    dv_gallery_close(&g);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (dv_gallery_open(path, false, &folk_model, &g, &e) != DMV_OK)
            _exit(2);
        for (unsigned i = 0; i < SUBJECTS; i++) {
            snprintf(name, sizeof name, "s%u", i);
            if (folk_add(g, name, 10 + 4 * i, 4, &e) != DMV_OK)
                _exit(3);
            if (i % 10 == 9 && dv_gallery_verify(g, &e) != DMV_OK)
                _exit(4);
        }
        dv_gallery_close(&g);
        _exit(0);
    }
    size_t last = 0;
    int status, reads = 0;
    bool ended = false;
    g = folk_open(path);
    while (!ended) {
        ended = waitpid(child, &status, WNOHANG) == child;
        size_t n = 0;
        folk_ok(dv_gallery_each(g, NULL, count_one, &n, &e), &e);
        assert_int_equal(n % 4, 0);
        assert_true(n >= last);
        last = n;
        reads++;
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(last, 4 * (SUBJECTS + 1));
    assert_true(reads > 2);
    folk_ok(dv_gallery_verify(g, &e), &e);
    dv_gallery_close(&g);
}

/* Several programs make and fill the same new gallery at once. */
static void many_makers(void **state)
{
    enum { MAKERS = 4, EACH = 10 };
    const char *path = folk_path(state, "g.db");
    pid_t child[MAKERS];
    dv_err e = {0};
    char name[64];
    for (unsigned m = 0; m < MAKERS; m++) {
        child[m] = fork();
        assert_true(child[m] >= 0);
        if (child[m] == 0) {
            dv_gallery *g = NULL;
            dmv_status s = dv_gallery_open(path, true, &folk_model, &g, &e);
            for (unsigned i = 0; i < EACH && s == DMV_OK; i++) {
                snprintf(name, sizeof name, "m%u-%u", m, i);
                s = folk_add(g, name, 1000 * m + i, 1, &e);
            }
            if (s != DMV_OK)
                print_error("%s\n", e.msg);
            dv_gallery_close(&g);
            _exit(s != DMV_OK);
        }
    }
    for (unsigned m = 0; m < MAKERS; m++) {
        int status;
        assert_int_equal(waitpid(child[m], &status, 0), child[m]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    dv_gallery *g = folk_open(path);
    assert_int_equal(folk_count(g), MAKERS * EACH);
    folk_ok(dv_gallery_verify(g, &e), &e);
    dv_gallery_close(&g);
}

/* ---- full disk ---- */

/* Enrols until it fails; the failure must be clear and everything before it be there. */
static void fill_up(const char *path, const char *backup, const char *lines)
{
    dv_err e = {0};
    char name[64];
    unsigned n = 0;
    dv_gallery *g = folk_open(path);
    dmv_status s = DMV_OK;
    for (; n < 5000 && s == DMV_OK; n++) {
        snprintf(name, sizeof name, "s%u", n);
        s = folk_add(g, name, 4 * n, 4, &e);
    }
    folk_fails(s, &e, DMV_ERR_IO, "is full");
    folk_fails(s, &e, DMV_ERR_IO, path);
    assert_true(n > 5);
    /* The open gallery goes on working, and so does one opened anew. */
    assert_int_equal(folk_count(g), 4 * (n - 1));
    dmv_status b = dv_gallery_backup(g, backup, &e);
    folk_fails(b, &e, DMV_ERR_IO, backup);
    assert_int_equal(access(backup, F_OK), -1);
    b = dv_gallery_export(g, lines, &e);
    folk_fails(b, &e, DMV_ERR_IO, lines);
    assert_int_equal(access(lines, F_OK), -1);
    folk_ok(dv_gallery_verify(g, &e), &e);
    dv_gallery_close(&g);
    g = folk_open(path);
    assert_int_equal(folk_count(g), 4 * (n - 1));
    folk_ok(dv_gallery_verify(g, &e), &e);
    dv_gallery_close(&g);
}

static void full_disk(void **state)
{
    const char *dir = folk_path(state, "small");
    assert_int_equal(mkdir(dir, 0700), 0);
    if (mount("none", dir, "tmpfs", 0, "size=700k") != 0) {
        print_message("skipped: cannot mount a small tmpfs (%s); limited_file_size stands in\n",
                      strerror(errno));
        skip();
    }
    /* In a child, so that a failed assertion cannot keep the mount. */
    pid_t child = fork();
    if (child == 0) {
        fill_up(folk_path(state, "small/g.db"), folk_path(state, "small/b.db"),
                folk_path(state, "small/e.jsonl"));
        _exit(0);
    }
    int status = -1;
    if (child > 0)
        waitpid(child, &status, 0);
    umount2(dir, MNT_DETACH);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void limited_file_size(void **state)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit = {300000, 300000};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(77);
        dv_err e = {0};
        char name[64];
        unsigned n = 0;
        dmv_status s = DMV_OK;
        dv_gallery *g = folk_open(folk_path(state, "g.db"));
        for (; n < 5000 && s == DMV_OK; n++) {
            snprintf(name, sizeof name, "s%u", n);
            s = folk_add(g, name, 4 * n, 4, &e);
        }
        /* SQLite versions give different codes for it; both messages name the remedy. */
        folk_fails(s, &e, DMV_ERR_IO,
                   strstr(e.msg, "is full") ? "the disk (or a quota) is full"
                                            : "limit of file sizes");
        assert_int_equal(folk_count(g), 4 * (n - 1));
        dv_gallery_close(&g);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
    dv_err e = {0};
    dv_gallery *g = folk_open(folk_path(state, "g.db")); /* without the limit */
    folk_ok(dv_gallery_verify(g, &e), &e);
    folk_ok(folk_add(g, "after", 99999, 2, &e), &e);
    dv_gallery_close(&g);
}

/* ---- places that cannot be written ---- */

static void read_only_places(void **state)
{
    dv_err e = {0};
    const char *path = folk_path(state, "g.db");
    dv_gallery *g = folk_open(path);
    folk_ok(folk_add(g, "Anna", 1, 2, &e), &e);
    dv_gallery_close(&g);
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(*state, 0555), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* root may write anywhere, so as somebody else */
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(77);
        folk_fails(dv_gallery_open(path, false, &folk_model, &g, &e), &e, DMV_ERR_IO,
                   "cannot be written");
        folk_fails(dv_gallery_open(folk_path(state, "new.db"), true, &folk_model, &g, &e), &e,
                   DMV_ERR_IO, "choose a folder");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    /* A file that can be written in a folder that cannot: no room for the WAL. */
    assert_int_equal(chmod(path, 0666), 0);
    pid_t second = fork();
    assert_true(second >= 0);
    if (second == 0) {
        if (geteuid() == 0 && setuid(65534) != 0)
            _exit(77);
        folk_fails(dv_gallery_open(path, false, &folk_model, &g, &e), &e, DMV_ERR_IO, "'-wal'");
        _exit(0);
    }
    int status2;
    assert_int_equal(waitpid(second, &status2, 0), second);
    assert_int_equal(chmod(*state, 0700), 0);
    assert_true(WIFEXITED(status) && WIFEXITED(status2));
    if (WEXITSTATUS(status) == 77 || WEXITSTATUS(status2) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(WEXITSTATUS(status2), 0);
    g = folk_open(path);
    assert_int_equal(folk_count(g), 2);
    dv_gallery_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, folk_setup, folk_teardown)
        T(killed_while_enrolling), T(killed_while_making), T(killed_while_removing),
        T(two_programs),           T(many_makers),         T(full_disk),
        T(limited_file_size),      T(read_only_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
