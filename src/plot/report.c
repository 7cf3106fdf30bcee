/* SPDX-License-Identifier: Apache-2.0
 *
 * report.c - Markdown that reads well as it is and as what it is made into.
 *
 * Escaping is sparing: a character is escaped where it could mean something and left alone
 * elsewhere, so that "w600k_r50" stays "w600k_r50".
 */
#include "plot/report.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- escaping ---- */

static bool word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* n bytes; start: they stand at the beginning of a line. */
static void escape(dv_buf *b, const char *s, size_t n, bool start)
{
    size_t digits = 0;

    while (start && digits < n && isdigit((unsigned char)s[digits]))
        digits++;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        bool mean = strchr("\\`*[]<>|&~$", c) != NULL;

        if (c < 0x20 || c == 0x7f) {
            dv_buf_u8(b, ' ');
            continue;
        }
        if (c >= 0x80) {
            size_t k = dv_utf8_length(s + i);
            dv_buf_put(b, k ? s + i : "\xef\xbf\xbd", k ? k : 3);
            i += k ? k - 1 : 0;
            continue;
        }
        if (c == '_')
            mean = !(i > 0 && i + 1 < n && word(s[i - 1]) && word(s[i + 1]));
        if (start && (i == 0 ? strchr("#+-=", c) != NULL : i + 1 == n && c == '#'))
            mean = true;
        if (digits && i == digits && (c == '.' || c == ')')) /* a numbered list */
            mean = true;
        if (mean)
            dv_buf_u8(b, '\\');
        dv_buf_u8(b, c);
    }
}

static void trim(const char **s, size_t *n)
{
    while (*n && (unsigned char)**s <= ' ') {
        ++*s;
        --*n;
    }
    while (*n && (unsigned char)(*s)[*n - 1] <= ' ')
        --*n;
}

static void escape_format(dv_buf *b, bool start, const char *fmt, va_list ap)
{
    va_list again;
    const char *s;
    char *text;
    size_t size;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    text = n < 0 ? NULL : dv_malloc((size_t)n + 1);
    if (!text) {
        b->bad = true;
        return;
    }
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    s = text;
    size = (size_t)n;
    trim(&s, &size);
    escape(b, s, size, start);
    dv_free(text);
}

void dv_report_escape(dv_buf *b, const char *text)
{
    escape(b, text ? text : "", text ? strlen(text) : 0, false);
}

/* ---- blocks ---- */

static bool ends_with(const dv_buf *b, const char *s)
{
    size_t n = strlen(s);
    return !b->bad && b->size >= n && memcmp(b->data + b->size - n, s, n) == 0;
}

/* An empty line before the next block. */
static void gap(dv_buf *b)
{
    if (b->size == 0)
        return;
    if (!ends_with(b, "\n"))
        dv_buf_u8(b, '\n');
    if (!ends_with(b, "\n\n"))
        dv_buf_u8(b, '\n');
}

void dv_report_heading(dv_buf *b, int level, const char *fmt, ...)
{
    va_list ap;

    gap(b);
    for (int i = 0; i < DV_MIN(DV_MAX(level, 1), 6); i++)
        dv_buf_u8(b, '#');
    dv_buf_u8(b, ' ');
    va_start(ap, fmt);
    escape_format(b, true, fmt, ap);
    va_end(ap);
    dv_buf_u8(b, '\n');
}

void dv_report_text(dv_buf *b, const char *fmt, ...)
{
    va_list ap;

    gap(b);
    va_start(ap, fmt);
    escape_format(b, true, fmt, ap);
    va_end(ap);
    dv_buf_u8(b, '\n');
}

/* Is the last line an item? */
static bool in_list(const dv_buf *b)
{
    size_t at;

    if (!ends_with(b, "\n"))
        return false;
    at = b->size - 1;
    while (at > 0 && b->data[at - 1] != '\n')
        at--;
    return b->size - at > 2 && b->data[at] == '-' && b->data[at + 1] == ' ';
}

void dv_report_item(dv_buf *b, const char *fmt, ...)
{
    va_list ap;

    if (!in_list(b))
        gap(b);
    dv_buf_printf(b, "- ");
    va_start(ap, fmt);
    escape_format(b, true, fmt, ap);
    va_end(ap);
    dv_buf_u8(b, '\n');
}

void dv_report_code(dv_buf *b, const char *language, const char *text)
{
    size_t fence = 3, run = 0, n = strlen(text);

    for (const char *p = text; *p; p++) {
        run = *p == '`' ? run + 1 : 0;
        fence = DV_MAX(fence, run + 1);
    }
    gap(b);
    for (size_t i = 0; i < fence; i++)
        dv_buf_u8(b, '`');
    dv_buf_printf(b, "%s\n", language ? language : "");
    dv_buf_put(b, text, n);
    if (n == 0 || text[n - 1] != '\n')
        dv_buf_u8(b, '\n');
    for (size_t i = 0; i < fence; i++)
        dv_buf_u8(b, '`');
    dv_buf_u8(b, '\n');
}

/* ---- pictures ---- */

#define MAX_PARTS 256

/* The folders and the name of a path, "." and ".." worked off as text. Returns the number, or
 * -1: too deep. keep: the bytes that the parts point into. */
static int split(const char *path, char *keep, size_t size, const char **part)
{
    int n = 0;
    char *save = NULL;
    size_t at = 0;

    keep[0] = 0;
    if (path[0] != '/') {
        if (!getcwd(keep, size))
            return -1;
        at = strlen(keep);
    }
    if (at + strlen(path) + 2 > size)
        return -1;
    keep[at] = '/';
    memcpy(keep + at + 1, path, strlen(path) + 1);
    for (char *p = strtok_r(keep, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
        if (!strcmp(p, "."))
            continue;
        if (!strcmp(p, "..")) {
            n -= n > 0;
            continue;
        }
        if (n == MAX_PARTS)
            return -1;
        part[n++] = p;
    }
    return n;
}

/* A part of a link target: bytes that would end it or mean something go as %XX. */
static void put_link(dv_buf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (isalnum(c) || strchr("-_.~/+,=@", c))
            dv_buf_u8(b, c);
        else
            dv_buf_printf(b, "%%%02X", c);
    }
}

void dv_report_image(dv_buf *b, const char *alt, const char *report, const char *image)
{
    char keep_from[PATH_MAX * 2], keep_to[PATH_MAX * 2];
    const char *from[MAX_PARTS], *to[MAX_PARTS];
    int n_from = split(report, keep_from, sizeof keep_from, from);
    int n_to = split(image, keep_to, sizeof keep_to, to), same = 0;

    gap(b);
    dv_buf_printf(b, "![");
    dv_report_escape(b, alt);
    dv_buf_printf(b, "](");
    if (n_from < 1 || n_to < 1) {
        put_link(b, image);
    } else {
        while (same < n_from - 1 && same < n_to - 1 && !strcmp(from[same], to[same]))
            same++;
        for (int i = same; i < n_from - 1; i++)
            dv_buf_printf(b, "../");
        for (int i = same; i < n_to; i++) {
            put_link(b, to[i]);
            if (i + 1 < n_to)
                dv_buf_u8(b, '/');
        }
    }
    dv_buf_printf(b, ")\n");
}

dmv_status dv_report_write(dv_buf *b, const char *path, dv_err *e)
{
    dmv_status s = b->bad ? dv_nomem(e) : dv_write_file(path, b->data, b->size, e);

    dv_buf_free(b);
    return s;
}

/* ---- tables ---- */

void dv_table_open(dv_table *t, const char *align, ...)
{
    va_list ap;

    memset(t, 0, sizeof *t);
    va_start(ap, align);
    for (; align[t->columns] && t->columns < DV_TABLE_COLUMNS; t->columns++) {
        const char *heading = va_arg(ap, const char *);
        t->align[t->columns] = align[t->columns];
        dv_report_escape(&t->text, heading);
        dv_buf_u8(&t->text, 0);
        t->cells++;
    }
    va_end(ap);
}

void dv_table_cell(dv_table *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    escape_format(&t->text, false, fmt, ap);
    va_end(ap);
    dv_buf_u8(&t->text, 0);
    t->cells++;
}

void dv_table_end_row(dv_table *t)
{
    while (t->columns && t->cells % t->columns) {
        dv_buf_u8(&t->text, 0);
        t->cells++;
    }
}

/* Characters, as far as UTF-8 tells. */
static size_t width(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void blanks(dv_buf *b, size_t n)
{
    while (n-- > 0)
        dv_buf_u8(b, ' ');
}

void dv_table_put(dv_table *t, dv_buf *b)
{
    size_t widest[DV_TABLE_COLUMNS];
    const char *s;

    dv_table_end_row(t);
    if (t->text.bad)
        b->bad = true;
    if (b->bad || !t->columns) {
        dv_buf_free(&t->text);
        return;
    }
    for (size_t k = 0; k < t->columns; k++)
        widest[k] = 3;
    s = (const char *)t->text.data;
    for (size_t i = 0; i < t->cells; i++, s += strlen(s) + 1)
        widest[i % t->columns] = DV_MAX(widest[i % t->columns], width(s));
    gap(b);
    s = (const char *)t->text.data;
    for (size_t i = 0; i < t->cells; i++, s += strlen(s) + 1) {
        size_t k = i % t->columns, space = widest[k] - width(s);
        size_t before = t->align[k] == 'r' ? space : t->align[k] == 'c' ? space / 2 : 0;

        dv_buf_printf(b, "| ");
        blanks(b, before);
        dv_buf_put(b, s, strlen(s));
        blanks(b, space - before + 1);
        if (k + 1 < t->columns)
            continue;
        dv_buf_printf(b, "|\n");
        if (i + 1 != t->columns)
            continue;
        for (size_t j = 0; j < t->columns; j++) { /* the line below the headings */
            dv_buf_printf(b, "| %c", t->align[j] == 'c' ? ':' : '-');
            for (size_t d = 2; d < widest[j]; d++)
                dv_buf_u8(b, '-');
            dv_buf_printf(b, "%c ", t->align[j] == 'l' ? '-' : ':');
        }
        dv_buf_printf(b, "|\n");
    }
    dv_buf_free(&t->text);
}
