/* SPDX-License-Identifier: Apache-2.0
 *
 * inputs.c - pictures that come in by name or by folder, and the names of pictures that go
 * out. A picture that cannot be read is reported and left out; the verb goes on with the
 * others and ends with an error.
 */
#include "cli.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

const char *cli_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool push(cli_inputs *in, const char *path, const char *rel)
{
    if (!dv_grow(&in->v, &in->cap, in->n, sizeof *in->v))
        return false;
    struct cli_input *i = &in->v[in->n];
    i->path = dv_strdup(path);
    i->rel = dv_strdup(rel);
    if (!i->path || !i->rel) {
        dv_free(i->path);
        dv_free(i->rel);
        return false;
    }
    in->n++;
    return true;
}

bool cli_inputs_expand(cli_inputs *in, const char *const *args, size_t n)
{
    memset(in, 0, sizeof *in);
    for (size_t a = 0; a < n; a++) {
        dv_err e = {0};
        dv_paths list = {0};
        struct stat st;
        bool folder = stat(args[a], &st) == 0 && S_ISDIR(st.st_mode), ok = true;
        if (dv_image_list(args[a], &list, &e)) {
            cli_error("%s", e.msg);
            in->failed = true;
            continue;
        }
        in->folder |= folder;
        for (size_t i = 0; i < list.n && ok; i++) {
            const char *rel = cli_base_name(list.v[i]);
            if (folder) {
                rel = list.v[i] + strlen(args[a]);
                while (*rel == '/')
                    rel++;
            }
            ok = push(in, list.v[i], rel);
        }
        dv_paths_free(&list);
        if (!ok) {
            cli_inputs_free(in);
            cli_error("out of memory");
            return false;
        }
    }
    return true;
}

void cli_inputs_free(cli_inputs *in)
{
    for (size_t i = 0; i < in->n; i++) {
        dv_free(in->v[i].path);
        dv_free(in->v[i].rel);
    }
    dv_free(in->v);
    memset(in, 0, sizeof *in);
}

bool cli_load(const char *path, dv_picture *pic)
{
    dv_err e = {0};
    memset(pic, 0, sizeof *pic);
    if (!dv_image_load(path, pic, &e))
        return true;
    cli_error("%s", e.msg);
    return false;
}

bool cli_save(const char *path, const dv_picture *pic)
{
    dv_err e = {0};
    if (!dv_image_save(path, pic, &e))
        return true;
    cli_error("%s", e.msg);
    return false;
}

bool cli_make_folders(const char *path)
{
    char *p = dv_strdup(path);
    if (!p) {
        cli_error("out of memory");
        return false;
    }
    for (char *s = p + 1;; s++) {
        char c = *s;
        if (c != '/' && c != 0)
            continue;
        *s = 0;
        struct stat st;
        if (mkdir(p, 0777) != 0 && (errno != EEXIST || stat(p, &st) != 0 || !S_ISDIR(st.st_mode))) {
            cli_error("%s: cannot make the folder: %s", p,
                      errno == EEXIST ? "a file has this name" : strerror(errno));
            dv_free(p);
            return false;
        }
        *s = c;
        if (c == 0)
            break;
    }
    dv_free(p);
    return true;
}

static bool can_save(const char *path)
{
    static const char *const ends[] = {".png", ".jpg", ".jpeg", ".ppm"};
    size_t n = strlen(path);
    for (size_t i = 0; i < DV_COUNT(ends); i++)
        if (n > strlen(ends[i]) && strcasecmp(path + n - strlen(ends[i]), ends[i]) == 0)
            return true;
    return false;
}

bool cli_output_open(cli_output *o, const char *dest, bool several)
{
    struct stat st;
    size_t n = strlen(dest);
    memset(o, 0, sizeof *o);
    o->dest = dest;
    if (n == 0) {
        cli_error("the name of the output is empty");
        return false;
    }
    bool there = stat(dest, &st) == 0;
    if (there && !S_ISDIR(st.st_mode) && several) {
        cli_error("%s: is a file; name a folder for several pictures", dest);
        return false;
    }
    o->folder = several || dest[n - 1] == '/' || (there && S_ISDIR(st.st_mode)) ||
                (!there && !can_save(dest));
    return !o->folder || cli_make_folders(dest);
}

void cli_output_close(cli_output *o)
{
    for (size_t i = 0; i < o->n; i++)
        dv_free(o->used[i]);
    dv_free(o->used);
    memset(o, 0, sizeof *o);
}

static bool is_used(const cli_output *o, const char *path)
{
    for (size_t i = 0; i < o->n; i++)
        if (strcmp(o->used[i], path) == 0)
            return true;
    return false;
}

char *cli_output_path(cli_output *o, const char *rel, size_t k, const char *ext)
{
    const char *base = o->folder ? cli_base_name(rel) : cli_base_name(o->dest);
    const char *dot = strrchr(base, '.');
    const char *whole = o->folder ? rel : o->dest;
    size_t stem = dot && dot > base ? (size_t)(dot - whole) : strlen(whole);
    if (!o->folder && dot && dot > base)
        ext = dot;
    size_t size = strlen(o->dest) + strlen(rel) + strlen(ext) + 32;
    char *path = dv_malloc(size), *copy = NULL;
    if (!path || !dv_grow(&o->used, &o->cap, o->n, sizeof *o->used))
        goto nomem;
    /* Face 1 has the picture's name, the others -2, -3 ...; the same counter keeps pictures of
     * equal name from different folders apart. */
    for (size_t i = k + 1;; i++) {
        char no[24] = "";
        if (i > 1)
            snprintf(no, sizeof no, "-%zu", i);
        if (o->folder)
            snprintf(path, size, "%s%s%.*s%s%s", o->dest,
                     o->dest[strlen(o->dest) - 1] == '/' ? "" : "/", (int)stem, rel, no, ext);
        else
            snprintf(path, size, "%.*s%s%s", (int)stem, o->dest, no, ext);
        if (!is_used(o, path))
            break;
    }
    copy = dv_strdup(path);
    if (!copy)
        goto nomem;
    o->used[o->n++] = copy;
    if (o->folder) {
        char *slash = strrchr(path, '/');
        *slash = 0;
        bool ok = cli_make_folders(path);
        *slash = '/';
        if (!ok) {
            dv_free(path);
            return NULL;
        }
    }
    return path;
nomem:
    dv_free(path);
    cli_error("out of memory");
    return NULL;
}
