/* SPDX-License-Identifier: Apache-2.0
 *
 * list.c - the picture files below a folder, in an order that does not depend on the file
 * system. Hidden names are skipped, links to folders are not followed (no loops); a folder that
 * cannot be read is an error, because pictures left out in silence would change every result.
 */
#include "image/image.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void dv_paths_free(dv_paths *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        dv_free(p->v[i]);
    dv_free(p->v);
    memset(p, 0, sizeof *p);
}

/* Takes s over; frees it if there is no room. */
static bool push(dv_paths *p, char *s)
{
    if (!s || !dv_grow(&p->v, &p->cap, p->n, sizeof *p->v)) {
        dv_free(s);
        return false;
    }
    p->v[p->n++] = s;
    return true;
}

static char *join(const char *dir, const char *name)
{
    size_t a = strlen(dir), b = strlen(name);
    char *s = dv_malloc(a + b + 2);
    if (!s)
        return NULL;
    memcpy(s, dir, a);
    if (a && dir[a - 1] != '/')
        s[a++] = '/';
    memcpy(s + a, name, b + 1);
    return s;
}

static dmv_status cannot(const char *path, const char *what, int err, dv_err *e)
{
    return dv_fail(e, err == ENOENT ? DMV_ERR_NOT_FOUND : DMV_ERR_IO, "%.400s: cannot %s: %s", path,
                   what, strerror(err));
}

/* Puts the entries of one folder into files and folders. */
static dmv_status read_folder(const char *dir, dv_paths *files, dv_paths *folders, dv_err *e)
{
    dmv_status s = DMV_OK;
    DIR *d = opendir(dir);

    if (!d)
        return cannot(dir, "read the folder", errno, e);
    while (!s) {
        struct stat st;
        struct dirent *ent;
        char *path;

        errno = 0;
        ent = readdir(d);
        if (!ent) {
            if (errno)
                s = cannot(dir, "read the folder", errno, e);
            break;
        }
        if (ent->d_name[0] == '.')
            continue;
        path = join(dir, ent->d_name);
        if (!path) {
            s = dv_nomem(e);
        } else if (lstat(path, &st) != 0) {
            s = cannot(path, "look at it", errno, e);
            dv_free(path);
        } else if (S_ISDIR(st.st_mode)) {
            if (!push(folders, path))
                s = dv_nomem(e);
        } else if (!dv_image_is_name(path) ||
                   (S_ISLNK(st.st_mode) && stat(path, &st) == 0 && !S_ISREG(st.st_mode)) ||
                   (!S_ISLNK(st.st_mode) && !S_ISREG(st.st_mode))) {
            dv_free(path); /* a dangling link stays listed: loading it says what is wrong */
        } else if (!push(files, path)) {
            s = dv_nomem(e);
        }
    }
    closedir(d);
    return s;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

dmv_status dv_image_list(const char *path, dv_paths *out, dv_err *e)
{
    dv_paths folders = {0};
    struct stat st;
    dmv_status s = DMV_OK;

    memset(out, 0, sizeof *out);
    if (!path || !*path)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no picture or folder is named");
    if (stat(path, &st) != 0)
        return cannot(path, "open", errno, e);
    if (!push(S_ISDIR(st.st_mode) ? &folders : out, dv_strdup(path)))
        s = dv_nomem(e);
    while (!s && folders.n) {
        char *dir = folders.v[--folders.n];
        s = read_folder(dir, out, &folders, e);
        dv_free(dir);
    }
    dv_paths_free(&folders);
    if (!s && out->n == 0)
        s = dv_fail(e, DMV_ERR_NOT_FOUND,
                    "%.400s: no pictures in this folder; looked for .jpg .jpeg .png .webp .ppm "
                    ".pgm .pnm (hidden names are skipped)",
                    path);
    if (s) {
        dv_paths_free(out);
        return s;
    }
    qsort(out->v, out->n, sizeof *out->v, by_text);
    return DMV_OK;
}
