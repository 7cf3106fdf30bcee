/* SPDX-License-Identifier: Apache-2.0
 *
 * file.c - whole files: mapped, read, and replaced in one step.
 *
 * A write goes to a new file beside the target, which is synced and then
 * renamed over it, so that a power cut or a full disk leaves the old content or
 * the new one and never a part. Things that cannot be replaced (pipes, devices,
 * an open descriptor by its name in /dev) are written to as they are.
 *
 * A mapped file must not be cut short by others while it is in use; the system
 * answers that with SIGBUS. Replacing it by rename, as here, is safe.
 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the user can do about an error number. */
static const char *remedy(int err)
{
    switch (err) {
    case ENOSPC:
    case EDQUOT:
        return "free some space or choose another folder";
    case EFBIG:
        return "raise the file size limit (ulimit -f) or choose another file system";
    case EACCES:
    case EPERM:
        return "check the permissions of the file and its folder";
    case EROFS:
        return "choose a folder that can be written to";
    case ENOENT:
    case ENOTDIR:
        return "check the path, and make the folder first if it is missing";
    case EISDIR:
        return "give the path of a file, not of a folder";
    case ELOOP:
        return "check the symbolic links in the path";
    case ENAMETOOLONG:
        return "choose a shorter name";
    case EMFILE:
    case ENFILE:
        return "close other files or raise the limit (ulimit -n)";
    case ENOMEM:
        return "close other programs";
    case EBADF:
        return "this descriptor is not open for that";
    case EPIPE:
        return "the reader at the other end has gone";
    default:
        return "check the disk and the file system";
    }
}

static dmv_status fail_errno(dv_err *e, int err, const char *doing, const char *path)
{
    return dv_fail(e, DMV_ERR_IO, "cannot %s %s: %s; %s", doing, path, strerror(err), remedy(err));
}

static int open_retry(const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Up to n bytes, fewer only at the end of the file; -1 and errno on error. */
static ssize_t read_full(int fd, void *data, size_t n)
{
    size_t got = 0;
    while (got < n) {
        ssize_t k = read(fd, (uint8_t *)data + got, DV_MIN(n - got, (size_t)1 << 30));
        if (k == 0)
            break;
        if (k > 0)
            got += (size_t)k;
        else if (errno != EINTR)
            return -1;
    }
    return (ssize_t)got;
}

/* 0 or an error number. */
static int write_full(int fd, const void *data, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(fd, (const uint8_t *)data + done, DV_MIN(n - done, (size_t)1 << 30));
        if (k > 0)
            done += (size_t)k;
        else if (k == 0)
            return EIO;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

/* 0 or an error number; what cannot be synced by its nature counts as synced. */
static int sync_fd(int fd)
{
    int k;
    do
        k = fsync(fd);
    while (k < 0 && errno == EINTR);
    return k == 0 || errno == EINVAL || errno == ENOTSUP || errno == ENOSYS ? 0 : errno;
}

/* ---- reading ---- */

/* The fallback of dv_map_open. */
static dmv_status read_map(const char *path, int fd, size_t size, dv_map *m, dv_err *e)
{
    uint8_t *block = dv_alloc_aligned(size);
    if (!block)
        return dv_fail(e, DMV_ERR_MEMORY, "%s: no memory for %zu bytes; close other programs", path,
                       size);
    ssize_t got = read_full(fd, block, size);
    if (got < 0 || (size_t)got != size) {
        int err = errno;
        dv_free(block);
        if (got < 0)
            return fail_errno(e, err, "read", path);
        return dv_fail(e, DMV_ERR_IO, "%s became shorter while it was read; try again", path);
    }
    *m = (dv_map){.data = block, .size = size, .base = block, .heap = true};
    return DMV_OK;
}

static dmv_status map_fd(const char *path, int fd, dv_map *m, dv_err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_errno(e, errno, "examine", path);
    if (S_ISDIR(st.st_mode))
        return dv_fail(e, DMV_ERR_IO, "%s is a folder; %s", path, remedy(EISDIR));
    if (!S_ISREG(st.st_mode))
        return dv_fail(e, DMV_ERR_IO, "%s is a pipe or device; copy its content to a file first",
                       path);
    if (st.st_size == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "%s is empty; fetch or make the file again", path);
    if ((uint64_t)st.st_size > PTRDIFF_MAX)
        return dv_fail(e, DMV_ERR_LIMIT, "%s has %llu bytes, too many for this machine", path,
                       (unsigned long long)st.st_size);
    size_t size = (size_t)st.st_size;
    void *base = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED)
        return read_map(path, fd, size, m, e);
    *m = (dv_map){.data = base, .size = size, .base = base};
    return DMV_OK;
}

dmv_status dv_map_open(const char *path, dv_map *m, dv_err *e)
{
    memset(m, 0, sizeof *m);
    int fd = open_retry(path, O_RDONLY | O_NONBLOCK, 0); /* a pipe must not make us wait */
    if (fd < 0)
        return fail_errno(e, errno, "open", path);
    dmv_status s = map_fd(path, fd, m, e);
    close(fd);
    return s;
}

void dv_map_close(dv_map *m)
{
    if (m->heap)
        dv_free(m->base);
    else if (m->base)
        munmap(m->base, m->size);
    memset(m, 0, sizeof *m);
}

static dmv_status too_large(const char *path, size_t limit, dv_err *e)
{
    return dv_fail(e, DMV_ERR_LIMIT,
                   "%s is larger than the %zu bytes allowed here; is it the right file?", path,
                   limit);
}

static dmv_status read_fd(const char *path, int fd, size_t limit, uint8_t **data, size_t *size,
                          dv_err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_errno(e, errno, "examine", path);
    if (S_ISDIR(st.st_mode))
        return dv_fail(e, DMV_ERR_IO, "%s is a folder; %s", path, remedy(EISDIR));
    size_t room = 4096; /* pipes, and files of /proc that say they are empty */
    if (S_ISREG(st.st_mode) && st.st_size > 0) {
        if ((uint64_t)st.st_size > limit)
            return too_large(path, limit, e);
        room = (size_t)st.st_size;
    }
    uint8_t *block = NULL;
    for (size_t used = 0;;) {
        /* One byte more than room: a full block shows that the file goes on, else it holds
         * the terminating zero. */
        size_t bytes;
        uint8_t *more = dv_add(room, 1, &bytes) ? dv_realloc(block, bytes) : NULL;
        if (!more) {
            dv_free(block);
            return dv_fail(e, DMV_ERR_MEMORY, "%s: no memory for %zu bytes; close other programs",
                           path, room);
        }
        block = more;
        ssize_t got = read_full(fd, block + used, bytes - used);
        if (got < 0) {
            int err = errno;
            dv_free(block);
            return fail_errno(e, err, "read", path);
        }
        used += (size_t)got;
        if (used > limit) {
            dv_free(block);
            return too_large(path, limit, e);
        }
        if (used < bytes) {
            block[used] = 0;
            *data = block;
            *size = used;
            return DMV_OK;
        }
        room = used <= SIZE_MAX / 2 ? used * 2 : SIZE_MAX - 1;
    }
}

dmv_status dv_read_file(const char *path, size_t limit, uint8_t **data, size_t *size, dv_err *e)
{
    *data = NULL;
    *size = 0;
    int fd = open_retry(path, O_RDONLY, 0);
    if (fd < 0)
        return fail_errno(e, errno, "open", path);
    dmv_status s = read_fd(path, fd, limit, data, size, e);
    close(fd);
    return s;
}

/* ---- writing ---- */

/* The descriptor that a name such as /dev/stdout stands for, or -1. Opening such a name would
 * start a redirected file from its beginning again. */
static int named_fd(const char *path)
{
    static const char *const prefix[] = {"/dev/fd/", "/proc/self/fd/"};
    if (!strcmp(path, "/dev/stdout"))
        return 1;
    if (!strcmp(path, "/dev/stderr"))
        return 2;
    for (size_t i = 0; i < DV_COUNT(prefix); i++) {
        size_t n = strlen(prefix[i]);
        if (strncmp(path, prefix[i], n) != 0 || path[n] < '0' || path[n] > '9')
            continue;
        char *end;
        long fd = strtol(path + n, &end, 10);
        if (*end == 0 && fd <= INT_MAX)
            return (int)fd;
    }
    return -1;
}

/* Opens a new file beside target; *name is its path, to be freed. old is NULL if there is no
 * target yet. */
static int open_beside(const char *target, const struct stat *old, char **name)
{
    static atomic_uint serial;
    const char *slash = strrchr(target, '/');
    size_t dir = slash ? (size_t)(slash - target) + 1 : 0;
    size_t size;
    *name = NULL;
    if (!dv_add(strlen(target), 64, &size) || !(*name = dv_malloc(size))) {
        errno = ENOMEM;
        return -1;
    }
    /* Never readable by more people than the target, not even for a moment. */
    mode_t mode = old ? old->st_mode & 0777 : 0666;
    int fd = -1;
    for (int tries = 0; tries < 1000; tries++) { /* leftovers of a process with our number */
        snprintf(*name, size, "%.*s%.200s.tmp.%ld.%u", (int)dir, target, target + dir,
                 (long)getpid(), atomic_fetch_add(&serial, 1));
        fd = open_retry(*name, O_WRONLY | O_CREAT | O_EXCL, mode);
        if (fd >= 0 || errno != EEXIST)
            break;
    }
    if (fd >= 0 && old) {
        /* The owner can be kept by root only, so a failure is no error. The mode was narrowed
         * by the umask. */
        struct stat now;
        bool kept = fstat(fd, &now) == 0 && now.st_uid == old->st_uid && now.st_gid == old->st_gid;
        if (!kept)
            kept = fchown(fd, old->st_uid, old->st_gid) == 0;
        if (fchmod(fd, kept ? mode : mode & 0700) != 0) {
            int err = errno;
            close(fd);
            unlink(*name);
            errno = err;
            fd = -1;
        }
    }
    return fd;
}

/* 0 or an error number. A folder that may be written to but not read cannot be synced. */
static int sync_folder_of(const char *target, char *scratch)
{
    const char *slash = strrchr(target, '/');
    size_t n = slash ? (size_t)(slash - target) : 0;
    memcpy(scratch, target, n);
    scratch[n] = 0;
    int fd = open_retry(!slash ? "." : n ? scratch : "/", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return errno == EACCES ? 0 : errno;
    int err = sync_fd(fd);
    close(fd);
    return err;
}

/* The file at the end of a link, to be replaced instead of the link. */
static dmv_status follow(const char *path, struct stat *st, char **target, dv_err *e)
{
    char *end = realpath(path, NULL);
    if (!end)
        return fail_errno(e, errno, "follow the symbolic link", path);
    int err = stat(end, st) != 0 ? errno : 0;
    *target = err ? NULL : dv_strdup(end);
    free(end); /* realpath's own */
    if (err)
        return fail_errno(e, err, "follow the symbolic link", path);
    return *target ? DMV_OK : dv_nomem(e);
}

static dmv_status open_target(dv_new_file *f, const char *path, dv_err *e)
{
    struct stat st;
    const struct stat *old = &st;
    int named = named_fd(path);
    if (named < 0 && lstat(path, &st) != 0) {
        if (errno != ENOENT)
            return fail_errno(e, errno, "write", path);
        old = NULL;
    } else if (named < 0 && S_ISLNK(st.st_mode)) {
        dmv_status s = follow(path, &st, &f->target, e);
        if (s)
            return s;
    }
    if (!f->target && !(f->target = dv_strdup(path)))
        return dv_nomem(e);
    if (named < 0 && old && S_ISDIR(st.st_mode))
        return dv_fail(e, DMV_ERR_IO, "cannot write %s: it is a folder; %s", path, remedy(EISDIR));
    if (named >= 0 || (old && !S_ISREG(st.st_mode))) {
        /* Straight to what path stands for, without a file beside it. */
        f->fd = named >= 0 ? fcntl(named, F_DUPFD_CLOEXEC, 0) : open_retry(path, O_WRONLY, 0);
        return f->fd < 0 ? fail_errno(e, errno, "open", path) : DMV_OK;
    }
    f->fd = open_beside(f->target, old, &f->name);
    if (f->fd >= 0)
        return DMV_OK;
    int err = errno;
    return f->name ? fail_errno(e, err, "create a file beside", f->target) : dv_nomem(e);
}

static void forget(dv_new_file *f)
{
    dv_free(f->name);
    dv_free(f->target);
    *f = (dv_new_file){.fd = -1};
}

dmv_status dv_new_file_open(const char *path, dv_new_file *f, dv_err *e)
{
    *f = (dv_new_file){.fd = -1};
    dmv_status s = open_target(f, path, e);
    if (s)
        forget(f);
    return s;
}

dmv_status dv_new_file_write(dv_new_file *f, const void *data, size_t size, dv_err *e)
{
    int err = write_full(f->fd, data, size);
    return err ? fail_errno(e, err, f->name ? "write" : "write to", f->target) : DMV_OK;
}

void dv_new_file_drop(dv_new_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->fd >= 0 && f->name)
        unlink(f->name);
    forget(f);
}

dmv_status dv_new_file_commit(dv_new_file *f, dv_err *e)
{
    const char *doing = f->name ? "write" : "write to";
    int err = f->name ? sync_fd(f->fd) : 0;
    if (close(f->fd) != 0 && !err && errno != EINTR)
        err = errno;
    f->fd = -1;
    if (!err && f->name && rename(f->name, f->target) != 0) {
        err = errno;
        doing = "put the new file in place of";
    }
    dmv_status s = DMV_OK;
    if (err) {
        if (f->name)
            unlink(f->name);
        s = fail_errno(e, err, doing, f->target);
    } else if (f->name && (err = sync_folder_of(f->target, f->name)) != 0) {
        s = dv_fail(e, DMV_ERR_IO, "%s is written, but its folder cannot be synced: %s; %s",
                    f->target, strerror(err), remedy(err));
    }
    forget(f);
    return s;
}

dmv_status dv_write_file(const char *path, const void *data, size_t size, dv_err *e)
{
    dv_new_file f;
    dmv_status s = dv_new_file_open(path, &f, e);
    if (s)
        return s;
    s = dv_new_file_write(&f, data, size, e);
    if (!s)
        return dv_new_file_commit(&f, e);
    dv_new_file_drop(&f);
    return s;
}
