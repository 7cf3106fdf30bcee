/* SPDX-License-Identifier: Apache-2.0
 *
 * files.c - see files.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

static char dir[256];

const int series_rgb[8][3] = {{0, 114, 178}, {213, 94, 0},  {0, 158, 115},  {204, 121, 167},
                              {0, 0, 0},     {230, 159, 0}, {86, 180, 233}, {136, 34, 85}};

const char *in_dir(const char *name)
{
    static char path[8][512];
    static int turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

int files_setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    (void)state;
    snprintf(dir, sizeof dir, "%s/domovoi-plot-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

size_t files_in_dir(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

int files_teardown(void **state)
{
    DIR *d = opendir(dir);
    (void)state;
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlink(in_dir(e->d_name));
    closedir(d);
    return rmdir(dir);
}

char *text_of(const char *path)
{
    uint8_t *data;
    size_t size;
    dv_err e = {0};
    if (dv_read_file(path, 64u << 20, &data, &size, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(strlen((const char *)data), size);
    return (char *)data;
}

/* ---- XML ---- */

static const char *characters(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        uint32_t c = *s, least = 0;
        int more = 0;
        if (c >= 0xf0) {
            c &= 7;
            more = 3;
            least = 0x10000;
        } else if (c >= 0xe0) {
            c &= 15;
            more = 2;
            least = 0x800;
        } else if (c >= 0xc0) {
            c &= 31;
            more = 1;
            least = 0x80;
        } else if (c >= 0x80) {
            return "a stray byte";
        }
        for (s++; more > 0; more--, s++) {
            if ((*s & 0xc0) != 0x80)
                return "a character cut short";
            c = c << 6 | (*s & 0x3f);
        }
        if (c < least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) || c == 0xfffe || c == 0xffff)
            return "no character";
        if (c < 0x20 && c != '\n' && c != '\t' && c != '\r')
            return "a control character";
    }
    return NULL;
}

static const char *entity(const char *s) /* behind & */
{
    static const char *const names[] = {"amp;", "lt;", "gt;", "quot;", "apos;"};
    for (size_t i = 0; i < DV_COUNT(names); i++)
        if (!strncmp(s, names[i], strlen(names[i])))
            return NULL;
    return "an unknown entity";
}

static size_t name_at(const char *s)
{
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_");
}

const char *xml_fault(const char *s)
{
    char open[64][32];
    int depth = 0, roots = 0;
    const char *fault = characters(s);

    if (fault)
        return fault;
    if (!strncmp(s, "<?xml ", 6)) {
        s = strstr(s, "?>");
        if (!s)
            return "the declaration has no end";
        s += 2;
    }
    while (*s) {
        if (*s == '&') {
            fault = entity(s + 1);
            if (fault)
                return fault;
        }
        if (*s != '<') {
            if (depth == 0 && !strchr(" \n\r\t", *s))
                return "text outside";
            if (!strncmp(s, "]]>", 3))
                return "]]> in text";
            s++;
            continue;
        }
        bool end = s[1] == '/', single = false;
        s += end ? 2 : 1;
        size_t n = name_at(s);
        if (n == 0 || n >= sizeof open[0])
            return "a tag without a name";
        const char *name = s;
        for (s += n; *s && *s != '>';) {
            if (*s == '/' && s[1] == '>') {
                single = true;
                s++;
                continue;
            }
            if (strchr(" \n\t", *s)) {
                s++;
                continue;
            }
            size_t k = name_at(s);
            if (k == 0 || s[k] != '=' || s[k + 1] != '"' || end)
                return "a strange attribute";
            for (s += k + 2; *s && *s != '"'; s++) {
                if (*s == '<')
                    return "< in an attribute";
                if (*s == '&' && (fault = entity(s + 1)))
                    return fault;
            }
            if (!*s)
                return "an attribute without end";
            s++;
        }
        if (!*s)
            return "a tag without end";
        s++;
        if (end) {
            if (depth == 0 || strlen(open[depth - 1]) != n || strncmp(open[depth - 1], name, n))
                return "tags cross";
            depth--;
        } else {
            roots += depth == 0;
            if (depth == 64)
                return "too deep";
            if (!single) {
                memcpy(open[depth], name, n);
                open[depth++][n] = 0;
            }
        }
    }
    return depth ? "a tag is left open" : roots != 1 ? "not one root" : NULL;
}

/* ---- pixels ---- */

dv_picture load_png(const char *path)
{
    dv_picture p = {0};
    dv_err e = {0};
    if (dv_image_load(path, &p, &e))
        fail_msg("%s", e.msg);
    return p;
}

ink ink_in(const dv_picture *p, int x0, int y0, int x1, int y1, int r, int g, int b, int tolerance)
{
    ink k = {0, 0, 0, 1e9, -1e9, 1e9, -1e9};
    for (int y = DV_MAX(y0, 0); y < DV_MIN(y1, p->height); y++) {
        for (int x = DV_MAX(x0, 0); x < DV_MIN(x1, p->width); x++) {
            const uint8_t *q = p->pixels + 3 * ((size_t)y * (size_t)p->width + (size_t)x);
            if (abs(q[0] - r) > tolerance || abs(q[1] - g) > tolerance || abs(q[2] - b) > tolerance)
                continue;
            k.n++;
            k.x += x + 0.5;
            k.y += y + 0.5;
            k.left = DV_MIN(k.left, x);
            k.right = DV_MAX(k.right, x + 1);
            k.top = DV_MIN(k.top, y);
            k.bottom = DV_MAX(k.bottom, y + 1);
        }
    }
    if (k.n) {
        k.x /= (double)k.n;
        k.y /= (double)k.n;
    }
    return k;
}

area area_of(const dv_picture *p)
{
    area a = {p->width, p->height, -1, -1};
    for (int vertical = 0; vertical < 2; vertical++) {
        int lines = vertical ? p->width : p->height, along = vertical ? p->height : p->width;
        for (int i = 0; i < lines; i++) {
            int run = 0, longest = 0;
            for (int j = 0; j < along; j++) {
                int x = vertical ? i : j, y = vertical ? j : i;
                const uint8_t *q = p->pixels + 3 * ((size_t)y * (size_t)p->width + (size_t)x);
                run = q[0] < 150 && q[0] == q[1] && q[1] == q[2] ? run + 1 : 0;
                longest = DV_MAX(longest, run);
            }
            if (longest < 600)
                continue;
            if (vertical) {
                a.x0 = DV_MIN(a.x0, i);
                a.x1 = DV_MAX(a.x1, i + 1);
            } else {
                a.y0 = DV_MIN(a.y0, i);
                a.y1 = DV_MAX(a.y1, i + 1);
            }
        }
    }
    assert_true(a.x1 - a.x0 > 800 && a.y1 - a.y0 > 600);
    return a;
}
