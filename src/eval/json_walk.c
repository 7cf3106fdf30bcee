/* SPDX-License-Identifier: Apache-2.0
 *
 * json_walk.c - reads JSON a piece at a time. COCO files are tens of megabytes, nearly all of them
 * outlines that nobody asks for here, and a message about an annotation should name its line:
 * both speak against building a tree first.
 */
#include "eval/truth_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

dmv_status dv_json_bad(dv_json *j, const char *fmt, ...)
{
    char what[512];
    va_list ap;
    if (j->status)
        return j->status;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return j->status = dv_fail(j->e, DMV_ERR_FORMAT, "%s: line %zu: %s", j->path, j->line, what);
}

static void blanks(dv_json *j)
{
    for (; j->p < j->end; j->p++) {
        if (*j->p == '\n')
            j->line++;
        else if (*j->p != ' ' && *j->p != '\t' && *j->p != '\r')
            break;
    }
}

char dv_json_peek(dv_json *j)
{
    if (j->status)
        return 0;
    blanks(j);
    char c = j->p < j->end ? *j->p : 0;
    if (c == '-' || (c >= '0' && c <= '9'))
        return '0';
    return c && strchr("{[\"tfn", c) ? c : 0;
}

static bool fail(dv_json *j, const char *what)
{
    dv_json_bad(j, j->p >= j->end ? "the file ends where %s should be" : "expected %s", what);
    return false;
}

bool dv_json_open(dv_json *j, char bracket)
{
    if (dv_json_peek(j) != bracket)
        return fail(j, bracket == '{' ? "an object {..}" : "an array [..]");
    if (j->depth == DV_JSON_DEPTH)
        return dv_json_bad(j, "nested deeper than %d", DV_JSON_DEPTH), false;
    j->first[j->depth++] = true;
    j->p++;
    return true;
}

/* True: another item follows (the comma is read). False: the end, which is read, or an error. */
static bool more(dv_json *j, char close)
{
    if (j->status)
        return false;
    blanks(j);
    if (j->p < j->end && *j->p == close) {
        j->p++;
        j->depth--;
        return false;
    }
    if (!j->first[j->depth - 1]) {
        if (j->p >= j->end || *j->p != ',')
            return fail(j, close == '}' ? "',' or '}'" : "',' or ']'");
        j->p++;
        blanks(j);
    }
    j->first[j->depth - 1] = false;
    return true;
}

bool dv_json_element(dv_json *j)
{
    return more(j, ']');
}

static bool hex4(dv_json *j, unsigned *v)
{
    *v = 0;
    for (int i = 0; i < 4; i++, j->p++) {
        char c = j->p < j->end ? *j->p : 0;
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0)
            return fail(j, "four hexadecimal digits after \\u");
        *v = *v * 16 + (unsigned)d;
    }
    return true;
}

static size_t utf8(unsigned c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* After the backslash. */
static bool escape(dv_json *j, char out[4], size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = j->p < j->end ? *j->p : 0;
    const char *at = c ? strchr(from, c) : NULL;
    if (at) {
        out[0] = to[at - from];
        *n = 1;
        j->p++;
        return true;
    }
    unsigned v, low;
    if (c != 'u')
        return fail(j, "one of \"\\/bfnrtu after a backslash");
    j->p++;
    if (!hex4(j, &v))
        return false;
    if (v >= 0xD800 && v < 0xDC00) {
        if (j->end - j->p < 2 || j->p[0] != '\\' || j->p[1] != 'u')
            return fail(j, "the second half of a surrogate pair");
        j->p += 2;
        if (!hex4(j, &low))
            return false;
        if (low < 0xDC00 || low > 0xDFFF)
            return fail(j, "the second half of a surrogate pair");
        v = 0x10000 + ((v - 0xD800) << 10) + (low - 0xDC00);
    } else if (v >= 0xDC00 && v < 0xE000) {
        return dv_json_bad(j, "half a surrogate pair"), false;
    }
    *n = utf8(v, out);
    return true;
}

/* buf NULL: nothing is kept. cut: what does not fit is left out, otherwise it is an error. */
static bool string(dv_json *j, char *buf, size_t size, bool cut)
{
    size_t used = 0;
    if (dv_json_peek(j) != '"')
        return fail(j, "a string");
    j->p++;
    for (;;) {
        char bytes[4];
        size_t n = 1;
        if (j->p >= j->end)
            return fail(j, "the end of a string");
        if (*j->p == '"')
            break;
        if ((unsigned char)*j->p < 0x20)
            return dv_json_bad(j, "a control character in a string"), false;
        bytes[0] = *j->p++;
        if (bytes[0] == '\\' && !escape(j, bytes, &n))
            return false;
        if (!buf)
            continue;
        if (used + n >= size) {
            if (!cut)
                return dv_json_bad(j, "a string of more than %zu bytes", size - 1), false;
            size = used + 1; /* nothing more */
            continue;
        }
        if (bytes[0] == 0)
            return dv_json_bad(j, "a character 0 in a string"), false;
        memcpy(buf + used, bytes, n);
        used += n;
    }
    j->p++;
    if (buf)
        buf[used] = 0;
    return true;
}

bool dv_json_string(dv_json *j, char *buf, size_t size)
{
    return string(j, buf, size, false);
}

bool dv_json_member(dv_json *j, char key[64])
{
    if (!more(j, '}') || !string(j, key, 64, true))
        return false;
    blanks(j);
    if (j->p >= j->end || *j->p != ':')
        return fail(j, "':'");
    j->p++;
    return true;
}

static size_t digits(const dv_json *j, size_t at)
{
    size_t n = 0;
    while (j->p + at + n < j->end && j->p[at + n] >= '0' && j->p[at + n] <= '9')
        n++;
    return n;
}

bool dv_json_number(dv_json *j, double *v)
{
    if (dv_json_peek(j) != '0')
        return fail(j, "a number");
    size_t n = *j->p == '-', k = digits(j, n);
    bool ok = k > 0 && (k == 1 || j->p[n] != '0');
    n += k;
    if (ok && j->p + n < j->end && j->p[n] == '.') {
        k = digits(j, n + 1);
        ok = k > 0;
        n += 1 + k;
    }
    if (ok && j->p + n < j->end && (j->p[n] == 'e' || j->p[n] == 'E')) {
        n++;
        if (j->p + n < j->end && (j->p[n] == '+' || j->p[n] == '-'))
            n++;
        k = digits(j, n);
        ok = k > 0;
        n += k;
    }
    if (!ok)
        return fail(j, "a number");
    *v = strtod(j->p, NULL); /* stops where the syntax above does, at the latest at the final 0 */
    if (!isfinite(*v))
        return dv_json_bad(j, "a number that is too large"), false;
    j->p += n;
    return true;
}

bool dv_json_id(dv_json *j, int64_t *v)
{
    double d;
    if (!dv_json_number(j, &d))
        return false;
    if (d != floor(d) || fabs(d) > 9007199254740992.0)
        return dv_json_bad(j, "an id must be a whole number up to 2^53"), false;
    *v = (int64_t)d;
    return true;
}

static bool word(dv_json *j, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(j->end - j->p) < n || memcmp(j->p, w, n) != 0)
        return fail(j, "true, false or null");
    j->p += n;
    return true;
}

bool dv_json_skip(dv_json *j) /* nested at most DV_JSON_DEPTH times, as open() sees to */
{
    double v;
    char key[64];
    switch (dv_json_peek(j)) {
    case '"':
        return string(j, NULL, 0, true);
    case '0':
        return dv_json_number(j, &v);
    case 't':
        return word(j, "true");
    case 'f':
        return word(j, "false");
    case 'n':
        return word(j, "null");
    case '[':
        dv_json_open(j, '[');
        while (dv_json_element(j))
            dv_json_skip(j);
        return !j->status;
    case '{':
        dv_json_open(j, '{');
        while (dv_json_member(j, key))
            dv_json_skip(j);
        return !j->status;
    default:
        return fail(j, "a value");
    }
}

bool dv_json_end(dv_json *j)
{
    if (j->status)
        return false;
    blanks(j);
    if (j->p < j->end)
        return dv_json_bad(j, "something follows the end"), false;
    return true;
}
