/* SPDX-License-Identifier: Apache-2.0
 *
 * test_file.c - whole files: mapping, reading, and above all that a write is
 * all or nothing, with system calls that fail, stop short or are interrupted,
 * and with a process that is killed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

/* ---- system calls on demand ---- */

/* err: the call fails with it, `after` calls from now. piece: at most so many bytes at once,
 * every second call being interrupted. */
static struct {
    int mmap_err, fsync_err, fsync_after, rename_err, write_err, write_after, read_err;
    size_t piece;
    int turn;
} fault;

static bool falls(int *err, int *after)
{
    if (!*err || (*after)-- > 0)
        return false;
    errno = *err;
    *err = 0;
    return true;
}

static bool interrupted(void)
{
    errno = EINTR;
    return fault.piece && ++fault.turn % 2;
}

void *__real_mmap(void *a, size_t n, int prot, int flags, int fd, off_t at);
void *__wrap_mmap(void *a, size_t n, int prot, int flags, int fd, off_t at);
ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *a, const char *b);
int __wrap_rename(const char *a, const char *b);

/* The C library renames it where file offsets are wider by request. */
#if defined(__GLIBC__) && defined(_FILE_OFFSET_BITS) && _FILE_OFFSET_BITS == 64
void *__real_mmap64(void *a, size_t n, int prot, int flags, int fd, off_t at);
void *__wrap_mmap64(void *a, size_t n, int prot, int flags, int fd, off_t at);
#define __real_mmap __real_mmap64
#define __wrap_mmap __wrap_mmap64
#endif

void *__wrap_mmap(void *a, size_t n, int prot, int flags, int fd, off_t at)
{
    int now = 0;
    return falls(&fault.mmap_err, &now) ? MAP_FAILED : __real_mmap(a, n, prot, flags, fd, at);
}

ssize_t __wrap_read(int fd, void *p, size_t n)
{
    int now = 0;
    if (falls(&fault.read_err, &now) || interrupted())
        return -1;
    return __real_read(fd, p, fault.piece ? DV_MIN(n, fault.piece) : n);
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    if (falls(&fault.write_err, &fault.write_after) || interrupted())
        return -1;
    return __real_write(fd, p, fault.piece ? DV_MIN(n, fault.piece) : n);
}

int __wrap_fsync(int fd)
{
    return falls(&fault.fsync_err, &fault.fsync_after) ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *a, const char *b)
{
    int now = 0;
    return falls(&fault.rename_err, &now) ? -1 : __real_rename(a, b);
}

/* ---- a folder for each test ---- */

static char folder[200], path[300];

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    memset(&fault, 0, sizeof fault);
    snprintf(folder, sizeof folder, "%.150s/dv_file_XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/target", folder);
    return 0;
}

/* Files in the folder; with remove, they go. */
static int entries(bool clear)
{
    int n = 0;
    DIR *d = opendir(folder);
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        n++;
        if (clear && unlinkat(dirfd(d), e->d_name, 0) != 0)
            unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
    }
    closedir(d);
    return n;
}

static int teardown(void **state)
{
    memset(&fault, 0, sizeof fault);
    dv_alloc_fail_at(0, false);
    chmod(folder, 0700);
    entries(true);
    return rmdir(folder);
}

static void put(const char *where, const char *text)
{
    FILE *f = fopen(where, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void assert_content(const char *where, const void *data, size_t size)
{
    uint8_t *got;
    size_t n;
    dv_err e = {0};
    if (dv_read_file(where, SIZE_MAX, &got, &n, &e) != DMV_OK)
        fail_msg("%s", e.msg);
    assert_int_equal(n, size);
    if (size)
        assert_memory_equal(got, data, size);
    assert_int_equal(got[n], 0);
    dv_free(got);
}

/* The call failed as it should, and its message has the path, the reason and advice. */
static void assert_failed(dmv_status s, dmv_status want, const dv_err *e, const char *where,
                          const char *reason)
{
    assert_int_equal(s, want);
    assert_int_equal(e->code, want);
    if (!strstr(e->msg, where) || !strstr(e->msg, reason))
        fail_msg("message lacks '%s' or '%s': %s", where, reason, e->msg);
    assert_true(strchr(e->msg, ';') != NULL);
}

/* ---- map and read ---- */

static void test_map(void **state)
{
    dv_map m;
    dv_err e = {0};
    put(path, "mapped");
    assert_int_equal(dv_map_open(path, &m, &e), DMV_OK);
    assert_int_equal(m.size, 6);
    assert_false(m.heap);
    assert_int_equal((uintptr_t)m.data % DV_ALIGN, 0);
    assert_memory_equal(m.data, "mapped", 6);
    dv_map_close(&m);
    assert_null(m.data);
    dv_map_close(&m);
}

static void test_map_fallback(void **state)
{
    dv_map m;
    dv_err e = {0};
    put(path, "a file system without maps");
    fault.mmap_err = ENODEV;
    fault.piece = 5;
    assert_int_equal(dv_map_open(path, &m, &e), DMV_OK);
    assert_true(m.heap);
    assert_int_equal(m.size, 26);
    assert_int_equal((uintptr_t)m.data % DV_ALIGN, 0);
    assert_memory_equal(m.data, "a file system without maps", 26);
    dv_map_close(&m);
    assert_null(m.base);

    fault.piece = 0;
    fault.mmap_err = ENODEV;
    fault.read_err = EIO;
    assert_failed(dv_map_open(path, &m, &e), DMV_ERR_IO, &e, path, strerror(EIO));
    assert_null(m.data);
    fault.mmap_err = ENODEV;
    dv_alloc_fail_at(1, false);
    assert_int_equal(dv_map_open(path, &m, &e), DMV_ERR_MEMORY);
    assert_null(m.data);
}

static void test_map_refusals(void **state)
{
    dv_map m;
    dv_err e = {0};
    assert_failed(dv_map_open(path, &m, &e), DMV_ERR_IO, &e, path, strerror(ENOENT));
    put(path, "");
    assert_failed(dv_map_open(path, &m, &e), DMV_ERR_FORMAT, &e, path, "empty");
    assert_failed(dv_map_open(folder, &m, &e), DMV_ERR_IO, &e, folder, "folder");
    assert_failed(dv_map_open("/dev/null", &m, &e), DMV_ERR_IO, &e, "/dev/null", "device");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_failed(dv_map_open(path, &m, &e), DMV_ERR_IO, &e, path, "pipe"); /* does not hang */
    assert_null(m.data);
    assert_int_equal(dv_map_open(path, &m, NULL), DMV_ERR_IO);
}

static void test_read(void **state)
{
    static uint8_t data[20000];
    uint8_t *got;
    size_t n;
    dv_err e = {0};
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i >> 3);
    assert_int_equal(dv_write_file(path, data, sizeof data, &e), DMV_OK);
    assert_content(path, data, sizeof data);
    fault.piece = 777;
    assert_content(path, data, sizeof data);
    fault.piece = 0;
    /* The limit itself is allowed. */
    assert_int_equal(dv_read_file(path, sizeof data, &got, &n, &e), DMV_OK);
    dv_free(got);
    assert_failed(dv_read_file(path, sizeof data - 1, &got, &n, &e), DMV_ERR_LIMIT, &e, path,
                  "19999");
    assert_null(got);
    fault.read_err = EIO;
    assert_failed(dv_read_file(path, SIZE_MAX, &got, &n, &e), DMV_ERR_IO, &e, path, strerror(EIO));
    dv_alloc_fail_at(1, false);
    assert_int_equal(dv_read_file(path, SIZE_MAX, &got, &n, &e), DMV_ERR_MEMORY);
    assert_null(got);
    put(path, "");
    assert_content(path, "", 0);
    assert_failed(dv_read_file(folder, 9, &got, &n, &e), DMV_ERR_IO, &e, folder, "folder");
    unlink(path);
    assert_failed(dv_read_file(path, 9, &got, &n, &e), DMV_ERR_IO, &e, path, strerror(ENOENT));
}

typedef struct {
    int fd;
    size_t size;
} feeder;

static void *feed(void *arg)
{
    feeder *f = arg;
    static const char block[1000] = {[0 ... 999] = 'f'};
    for (size_t done = 0; done < f->size;) {
        ssize_t k = __real_write(f->fd, block, DV_MIN(f->size - done, sizeof block));
        if (k <= 0)
            break;
        done += (size_t)k;
    }
    close(f->fd);
    return NULL;
}

/* A pipe has no size in advance: block borders of the growing buffer, and the limit. */
static void test_read_pipe(void **state)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 8194, 100000};
    for (size_t i = 0; i < DV_COUNT(sizes); i++) {
        for (int over = 0; over < 2; over++) {
            int fd[2];
            pthread_t t;
            char name[40];
            uint8_t *got;
            size_t n, limit = sizes[i] - (over && sizes[i]);
            dv_err e = {0};
            assert_int_equal(pipe(fd), 0);
            feeder f = {fd[1], sizes[i]};
            assert_int_equal(pthread_create(&t, NULL, feed, &f), 0);
            snprintf(name, sizeof name, "/proc/self/fd/%d", fd[0]);
            dmv_status s = dv_read_file(name, limit, &got, &n, &e);
            while (read(fd[0], (char[512]){0}, 512) > 0)
                ;
            pthread_join(t, NULL);
            close(fd[0]);
            if (limit < sizes[i]) {
                assert_int_equal(s, DMV_ERR_LIMIT);
                assert_null(got);
            } else {
                assert_int_equal(s, DMV_OK);
                assert_int_equal(n, sizes[i]);
                for (size_t k = 0; k < n; k++)
                    assert_int_equal(got[k], 'f');
                dv_free(got);
            }
        }
    }
}

/* ---- write ---- */

static void test_write(void **state)
{
    dv_err e = {0};
    assert_int_equal(dv_write_file(path, "one", 3, &e), DMV_OK);
    assert_content(path, "one", 3);
    assert_int_equal(dv_write_file(path, "second", 6, &e), DMV_OK);
    assert_content(path, "second", 6);
    assert_int_equal(dv_write_file(path, NULL, 0, &e), DMV_OK);
    assert_content(path, "", 0);
    assert_int_equal(entries(false), 1);

    fault.piece = 3; /* short and interrupted writes */
    assert_int_equal(dv_write_file(path, "in many pieces", 14, &e), DMV_OK);
    fault.piece = 0;
    assert_content(path, "in many pieces", 14);

    /* A name without a folder. */
    char was[1000];
    assert_non_null(getcwd(was, sizeof was));
    assert_int_equal(chdir(folder), 0);
    dmv_status s = dv_write_file("target", "here", 4, &e);
    assert_int_equal(chdir(was), 0);
    assert_int_equal(s, DMV_OK);
    assert_content(path, "here", 4);
    assert_int_equal(entries(false), 1);
}

static void test_write_mode(void **state)
{
    struct stat st;
    mode_t mask = umask(027);
    assert_int_equal(dv_write_file(path, "x", 1, NULL), DMV_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(chmod(path, 0606), 0);
    assert_int_equal(dv_write_file(path, "y", 1, NULL), DMV_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0606);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 1234, 1235), 0);
        assert_int_equal(dv_write_file(path, "z", 1, NULL), DMV_OK);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, 1234);
        assert_int_equal(st.st_gid, 1235);
    }
    umask(mask);
}

static void test_write_long_name(void **state)
{
    char name[300] = {0};
    memset(name, 'n', 255);
    char longest[600];
    snprintf(longest, sizeof longest, "%s/%s", folder, name);
    dv_err e = {0};
    assert_int_equal(dv_write_file(longest, "fits", 4, &e), DMV_OK);
    assert_content(longest, "fits", 4);
    assert_int_equal(entries(false), 1);
    strcat(longest, "n");
    assert_failed(dv_write_file(longest, "x", 1, &e), DMV_ERR_IO, &e, folder,
                  strerror(ENAMETOOLONG));
    assert_int_equal(entries(false), 1);
}

/* Leftovers of a killed process with the same number must not be in the way. */
static void test_write_leftovers(void **state)
{
    char name[400];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "%s.tmp.%ld.%u", path, (long)getpid(), i);
        put(name, "old");
    }
    assert_int_equal(dv_write_file(path, "new", 3, NULL), DMV_OK);
    assert_content(path, "new", 3);
    assert_int_equal(entries(false), 201);
    assert_content(name, "old", 3);
}

static void test_write_link(void **state)
{
    char link[300];
    struct stat st;
    dv_err e = {0};
    snprintf(link, sizeof link, "%s/link", folder);
    put(path, "old");
    assert_int_equal(symlink("target", link), 0);
    assert_int_equal(dv_write_file(link, "through", 7, &e), DMV_OK);
    assert_content(path, "through", 7);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    unlink(path);
    assert_failed(dv_write_file(link, "x", 1, &e), DMV_ERR_IO, &e, link, strerror(ENOENT));
    assert_int_equal(entries(false), 1);
}

/* Every step that can fail: the old content stays, nothing new lies in the folder. */
static void test_write_faults(void **state)
{
    static const struct {
        int *err, code;
        int *after, count;
        size_t piece;
    } cases[] = {
        {&fault.write_err, ENOSPC, &fault.write_after, 0, 0},
        {&fault.write_err, ENOSPC, &fault.write_after, 4, 2},
        {&fault.write_err, EIO, &fault.write_after, 1, 1},
        {&fault.fsync_err, EIO, &fault.fsync_after, 0, 0},
        {&fault.fsync_err, EDQUOT, &fault.fsync_after, 0, 0},
        {&fault.rename_err, EACCES, &fault.write_after, 0, 0},
    };
    for (int exists = 0; exists < 2; exists++) {
        for (size_t i = 0; i < DV_COUNT(cases); i++) {
            dv_err e = {0};
            unlink(path);
            if (exists)
                put(path, "precious");
            memset(&fault, 0, sizeof fault);
            *cases[i].after = cases[i].count;
            *cases[i].err = cases[i].code;
            fault.piece = cases[i].piece;
            dmv_status s = dv_write_file(path, "replacement", 11, &e);
            assert_int_equal(*cases[i].err, 0); /* the fault was met */
            memset(&fault, 0, sizeof fault);
            assert_failed(s, DMV_ERR_IO, &e, path, strerror(cases[i].code));
            assert_int_equal(entries(false), exists);
            if (exists)
                assert_content(path, "precious", 8);
        }
    }
    /* The folder's own sync comes after the rename: reported, the new content stands. */
    dv_err e = {0};
    fault.fsync_after = 1;
    fault.fsync_err = EIO;
    assert_failed(dv_write_file(path, "new", 3, &e), DMV_ERR_IO, &e, path, strerror(EIO));
    assert_content(path, "new", 3);
    /* A file system that cannot sync is no error. */
    fault.fsync_after = 0;
    fault.fsync_err = EINVAL;
    assert_int_equal(dv_write_file(path, "newer", 5, &e), DMV_OK);
    assert_int_equal(entries(false), 1);
}

static void test_write_no_memory(void **state)
{
    put(path, "precious");
    for (uint64_t nth = 1;; nth++) {
        dv_err e = {0};
        assert_true(nth < 20);
        dv_alloc_fail_at(nth, true);
        dmv_status s = dv_write_file(path, "x", 1, &e);
        dv_alloc_fail_at(0, false);
        assert_int_equal(entries(false), 1);
        if (s == DMV_OK) {
            assert_true(nth > 1);
            break;
        }
        assert_int_equal(s, DMV_ERR_MEMORY);
        assert_content(path, "precious", 8);
    }
    assert_content(path, "x", 1);
}

/* The real thing: a limit that lets the first part through. */
static void test_write_size_limit(void **state)
{
    static char big[100000];
    struct rlimit was, small;
    dv_err e = {0};
    put(path, "precious");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 5000;
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    dmv_status s = dv_write_file(path, big, sizeof big, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, old);
    assert_failed(s, DMV_ERR_IO, &e, path, strerror(EFBIG));
    assert_content(path, "precious", 8);
    assert_int_equal(entries(false), 1);
}

static void test_write_places(void **state)
{
    dv_err e = {0};
    char below[400];
    assert_failed(dv_write_file(folder, "x", 1, &e), DMV_ERR_IO, &e, folder, "folder");
    assert_int_equal(entries(false), 0);
    snprintf(below, sizeof below, "%s/missing/file", folder);
    assert_failed(dv_write_file(below, "x", 1, &e), DMV_ERR_IO, &e, below, strerror(ENOENT));
    put(path, "plain");
    snprintf(below, sizeof below, "%s/file", path);
    assert_failed(dv_write_file(below, "x", 1, &e), DMV_ERR_IO, &e, below, strerror(ENOTDIR));
    assert_content(path, "plain", 5);
    assert_int_equal(dv_write_file("", "x", 1, &e), DMV_ERR_IO);
}

static void test_write_forbidden(void **state)
{
    dv_err e = {0};
    bool root = geteuid() == 0;
    assert_int_equal(chmod(folder, 0555), 0);
    if (root && seteuid(65534) != 0)
        skip();
    dmv_status s = dv_write_file(path, "x", 1, &e);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_failed(s, DMV_ERR_IO, &e, path, strerror(EACCES));
    assert_int_equal(entries(false), 0);
}

/* ---- things that cannot be replaced ---- */

static void test_write_devices(void **state)
{
    struct stat st;
    dv_err e = {0};
    assert_int_equal(dv_write_file("/dev/null", "gone", 4, &e), DMV_OK);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    if (stat("/dev/full", &st) != 0) {
        print_message("no /dev/full here\n");
        return;
    }
    assert_failed(dv_write_file("/dev/full", "x", 1, &e), DMV_ERR_IO, &e, "/dev/full",
                  strerror(ENOSPC));
    assert_int_equal(stat("/dev/full", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void *read_fifo(void *arg)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = __real_read(fd, arg, 20);
    close(fd);
    return (void *)(intptr_t)n;
}

static void test_write_fifo(void **state)
{
    char got[21] = {0};
    pthread_t t;
    void *n;
    struct stat st;
    dv_err e = {0};
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pthread_create(&t, NULL, read_fifo, got), 0);
    assert_int_equal(dv_write_file(path, "down the pipe", 13, &e), DMV_OK);
    pthread_join(t, &n);
    assert_int_equal((intptr_t)n, 13);
    assert_string_equal(got, "down the pipe");
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(entries(false), 1);
}

/* /dev/stdout redirected to a file goes on where the descriptor stands. */
static void test_write_descriptor(void **state)
{
    char name[40];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(__real_write(fd, "head ", 5), 5);
    dv_err e = {0};
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    assert_int_equal(dv_write_file(name, "body ", 5, &e), DMV_OK);
    fflush(stdout);
    int keep = dup(1);
    assert_true(keep >= 0 && dup2(fd, 1) == 1);
    dmv_status s = dv_write_file("/dev/stdout", "tail", 4, &e);
    assert_int_equal(dup2(keep, 1), 1);
    close(keep);
    close(fd);
    assert_int_equal(s, DMV_OK);
    assert_content(path, "head body tail", 14);
    assert_int_equal(entries(false), 1);
    assert_failed(dv_write_file(name, "x", 1, &e), DMV_ERR_IO, &e, name, strerror(EBADF));
}

/* ---- several at once, and none left ---- */

enum { BIG = 60000 };

static void fill(uint8_t *p, int letter)
{
    memset(p, letter, BIG);
}

static void assert_one_letter(void)
{
    uint8_t *got;
    size_t n;
    dv_err e = {0};
    assert_int_equal(dv_read_file(path, SIZE_MAX, &got, &n, &e), DMV_OK);
    assert_int_equal(n, BIG);
    for (size_t i = 1; i < n; i++)
        assert_int_equal(got[i], got[0]);
    dv_free(got);
}

static void *write_often(void *arg)
{
    uint8_t *data = arg;
    for (int i = 0; i < 20; i++)
        if (dv_write_file(path, data, BIG, NULL) != DMV_OK)
            return arg;
    return NULL;
}

static void test_write_threads(void **state)
{
    static uint8_t data[4][BIG];
    pthread_t t[4];
    for (int i = 0; i < 4; i++) {
        fill(data[i], 'a' + i);
        assert_int_equal(pthread_create(&t[i], NULL, write_often, data[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(t[i], &failed);
        assert_null(failed);
    }
    assert_one_letter();
    assert_int_equal(entries(false), 1);
}

static void test_write_killed(void **state)
{
    static uint8_t data[2][BIG];
    fill(data[0], 'x');
    fill(data[1], 'y');
    assert_int_equal(dv_write_file(path, data[0], BIG, NULL), DMV_OK);
    for (int i = 0; i < 25; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            for (int k = 0;; k++)
                dv_write_file(path, data[k % 2], BIG, NULL);
        struct timespec ms = {.tv_nsec = 1000000 + i * 170000};
        nanosleep(&ms, NULL);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_one_letter();
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_map),
        T(test_map_fallback),
        T(test_map_refusals),
        T(test_read),
        T(test_read_pipe),
        T(test_write),
        T(test_write_mode),
        T(test_write_long_name),
        T(test_write_leftovers),
        T(test_write_link),
        T(test_write_faults),
        T(test_write_no_memory),
        T(test_write_size_limit),
        T(test_write_places),
        T(test_write_forbidden),
        T(test_write_devices),
        T(test_write_fifo),
        T(test_write_descriptor),
        T(test_write_threads),
        T(test_write_killed),
    };
    return cmocka_run_group_tests_name("base-file", tests, NULL, NULL);
}
