/* SPDX-License-Identifier: Apache-2.0
 *
 * err.c - messages: what a failing call leaves behind, the log callback, and
 * the words for status codes and the version.
 *
 * A message that is too long for its buffer is cut at a character boundary and
 * ends in "...", so that a path of any length does no harm.
 */
#include "base/base.h"

#include <string.h>

#define STR2(x) #x
#define STR(x) STR2(x)

const char *dmv_version(void)
{
    return STR(DMV_VERSION_MAJOR) "." STR(DMV_VERSION_MINOR) "." STR(DMV_VERSION_PATCH);
}

const char *dmv_status_string(dmv_status s)
{
    switch (s) {
    case DMV_OK:
        return "no error";
    case DMV_ERR_MEMORY:
        return "out of memory";
    case DMV_ERR_ARGUMENT:
        return "argument out of range";
    case DMV_ERR_IO:
        return "file cannot be opened, read or written";
    case DMV_ERR_FORMAT:
        return "wrong or damaged file";
    case DMV_ERR_UNSUPPORTED:
        return "not supported by this build";
    case DMV_ERR_VERSION:
        return "written by a newer version";
    case DMV_ERR_MISMATCH:
        return "belongs to another model";
    case DMV_ERR_LIMIT:
        return "limit exceeded";
    case DMV_ERR_NOT_FOUND:
        return "not found";
    }
    return "unknown status";
}

/* Formats like vsnprintf and marks a cut. */
static void format(char *out, size_t size, const char *fmt, va_list ap)
{
    int n = vsnprintf(out, size, fmt, ap);
    if (n < 0) {
        out[0] = 0;
    } else if ((size_t)n >= size) {
        size_t at = size - 4;
        while (at > 0 && ((unsigned char)out[at] & 0xC0) == 0x80)
            at--;
        memcpy(out + at, "...", 4);
    }
}

dmv_status dv_fail(dv_err *e, dmv_status code, const char *fmt, ...)
{
    if (e) {
        /* The arguments may point into e->msg. */
        char msg[sizeof e->msg];
        va_list ap;
        va_start(ap, fmt);
        format(msg, sizeof msg, fmt, ap);
        va_end(ap);
        e->code = code;
        memcpy(e->msg, msg, strlen(msg) + 1);
    }
    return code;
}

dmv_status dv_fail_in(dv_err *e, const char *fmt, ...)
{
    if (!e)
        return DMV_ERR_FORMAT;
    char prefix[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    format(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    return dv_fail(e, e->code, "%s: %s", prefix, e->msg);
}

void dv_log(const dmv_context *c, int level, const char *fmt, ...)
{
    if (!c || !c->log)
        return;
    char msg[1024];
    va_list ap;
    va_start(ap, fmt);
    format(msg, sizeof msg, fmt, ap);
    va_end(ap);
    c->log(c->log_user, level, msg);
}
