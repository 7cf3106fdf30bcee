/* SPDX-License-Identifier: Apache-2.0
 *
 * files.c - temporary files, renames and syncs of the gallery layer. Everything made here
 * has mode 0600: templates are biometric data.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gallery/gallery_priv.h"

static const char *const beside[] = {"-wal", "-shm", "-journal"};

bool dv_gal_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

dmv_status dv_gal_temp_open(const char *path, char **name, int *fd, dv_err *e)
{
    size_t size = strlen(path) + 64;
    char *s = dv_malloc(size);
    if (!s)
        return dv_nomem(e);
    for (unsigned k = 0; k < 100; k++) {
        snprintf(s, size, "%s.tmp.%ld.%u", path, (long)getpid(), k);
        *fd = open(s, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (*fd >= 0) {
            *name = s;
            return DMV_OK;
        }
        if (errno != EEXIST)
            break;
    }
    int err = errno;
    dv_free(s);
    return dv_fail(e, DMV_ERR_IO, "cannot make a file beside '%.400s': %s: choose another folder",
                   path, strerror(err));
}

dmv_status dv_gal_sync_file(const char *path, dv_err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        int err = errno;
        if (fd >= 0)
            close(fd);
        return dv_fail(e, DMV_ERR_IO, "cannot sync '%.400s': %s", path, strerror(err));
    }
    close(fd);
    return DMV_OK;
}

dmv_status dv_gal_sync_folder(const char *path, dv_err *e)
{
    char dir[PATH_MAX]; /* no allocation: the file is in place already and that must not fail */
    const char *slash = strrchr(path, '/');
    size_t n = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (n >= sizeof dir)
        return dv_fail(e, DMV_ERR_IO, "the name '%.100s...' is too long", path);
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)n : 1, slash ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems cannot sync a folder (EINVAL): nothing more can be done there. */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)) {
        int err = errno;
        if (fd >= 0)
            close(fd);
        return dv_fail(e, DMV_ERR_IO, "cannot sync the folder of '%.400s': %s", path,
                       strerror(err));
    }
    close(fd);
    return DMV_OK;
}

dmv_status dv_gal_publish(const char *temp, const char *path, bool fresh, dv_err *e)
{
    int r;
    if (fresh) {
        r = renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE);
        if (r != 0 && (errno == EINVAL || errno == ENOSYS))
            r = access(path, F_OK) == 0 ? (errno = EEXIST, -1) : rename(temp, path);
    } else {
        r = rename(temp, path);
    }
    if (r != 0)
        return dv_fail(e, DMV_ERR_IO, "cannot rename '%.300s' to '%.300s': %s", temp, path,
                       strerror(errno));
    return dv_gal_sync_folder(path, e);
}

dmv_status dv_gal_unlink(const char *path, bool main, dv_err *e)
{
    char s[PATH_MAX + 16]; /* no allocation: this also cleans up after one that failed */
    dmv_status st = DMV_OK;
    for (size_t i = 0; i <= DV_COUNT(beside); i++) {
        if (i == DV_COUNT(beside) && !main)
            break;
        snprintf(s, sizeof s, "%s%s", path, i < DV_COUNT(beside) ? beside[i] : "");
        if (unlink(s) != 0 && errno != ENOENT && st == DMV_OK)
            st = dv_fail(e, DMV_ERR_IO, "cannot remove '%.400s': %s", s, strerror(errno));
    }
    return st;
}
