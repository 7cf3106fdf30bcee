/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.c - what a source is, from its name: what lies on the disk comes first, then addresses
 * of known kinds. FFmpeg knows dozens of further protocols and pseudo-files; those are refused,
 * because a name may come from a configuration that others write.
 */
#include "video/video_priv.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define SHOWN 300

void dv_video_options_init(dv_video_options *o)
{
    *o = (dv_video_options){.live = -1,
                            .queue = 4,
                            .threads = 1,
                            .timeout = 10,
                            .reconnects = -1,
                            .first_wait = 0.5,
                            .longest_wait = 30};
}

dmv_status dv_video_options_check(const dv_video_options *o, dv_err *e)
{
    if (o->queue < 1 || o->queue > 64)
        return dv_fail(e, DMV_ERR_ARGUMENT, "a queue of %d frames: 1 to 64", o->queue);
    if (o->threads < 1 || o->threads > 64)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%d decoder threads: 1 to 64", o->threads);
    if (!(o->timeout >= 0.01 && o->timeout <= 86400))
        return dv_fail(e, DMV_ERR_ARGUMENT, "a time limit of %g s: 0.01 to 86400", o->timeout);
    if (!(o->first_wait > 0 && o->longest_wait >= o->first_wait && o->longest_wait <= 86400))
        return dv_fail(e, DMV_ERR_ARGUMENT, "waits of %g to %g s: above 0, growing, up to a day",
                       o->first_wait, o->longest_wait);
    if (!(o->max_fps >= 0 && o->max_fps <= 1000))
        return dv_fail(e, DMV_ERR_ARGUMENT, "%g frames a second at most: up to 1000, 0 = all",
                       o->max_fps);
    if (!(o->rate >= 0 && o->rate <= 1000))
        return dv_fail(e, DMV_ERR_ARGUMENT, "a rate of %g frames a second: up to 1000", o->rate);
    if (o->width < 0 || o->height < 0 || o->width > DV_IMAGE_MAX_SIDE ||
        o->height > DV_IMAGE_MAX_SIDE || !o->width != !o->height)
        return dv_fail(e, DMV_ERR_ARGUMENT, "a size of %d x %d: 1 to %d each", o->width, o->height,
                       DV_IMAGE_MAX_SIDE);
    if (o->transport && strcmp(o->transport, "tcp") != 0 && strcmp(o->transport, "udp") != 0)
        return dv_fail(e, DMV_ERR_ARGUMENT, "transport %.40s: tcp or udp", o->transport);
    return DMV_OK;
}

const char *dv_video_kind_name(dv_video_kind k)
{
    static const char *const names[] = {"file", "stream", "camera", "folder", "pipe"};
    return (unsigned)k < DV_COUNT(names) ? names[k] : "?";
}

/* Length of the scheme in "scheme://", 0 if there is none. */
static size_t scheme_of(const char *s)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '+' || s[n] == '-' || s[n] == '.')
        n++;
    return n && strncmp(s + n, "://", 3) == 0 ? n : 0;
}

void dv_video_shown(const char *source, char *out, size_t size)
{
    size_t n = scheme_of(source);
    const char *host = source + (n ? n + 3 : 0);
    const char *end = n ? host + strcspn(host, "/?#") : host;
    const char *at = NULL; /* the last one: a password may hold others */
    for (const char *p = host; p < end; p++)
        if (*p == '@')
            at = p;
    /* A slash in a password is wrong, but common; then what looks like a host is none. */
    if (n && !at && (at = strrchr(host, '@')) && !memchr(host, ':', (size_t)(at - host)))
        at = NULL;
    const char *colon = at ? memchr(host, ':', (size_t)(at - host)) : NULL;
    size_t len = strlen(source);
    if (colon)
        snprintf(out, size, "%.*s:***%.*s", (int)(colon - source), source, SHOWN, at);
    else if (len > SHOWN)
        snprintf(out, size, "...%s", source + len - SHOWN);
    else
        snprintf(out, size, "%s", source);
}

static bool is_live_scheme(const char *s, size_t n, bool *known)
{
    static const struct {
        const char *name;
        bool live;
    } schemes[] = {{"rtsp", true},  {"rtsps", true}, {"rtmp", true}, {"rtmps", true},
                   {"srt", true},   {"udp", true},   {"rtp", true},  {"tcp", true},
                   {"http", false}, {"https", false}};
    for (size_t i = 0; i < DV_COUNT(schemes); i++)
        if (strlen(schemes[i].name) == n && strncasecmp(schemes[i].name, s, n) == 0)
            return *known = true, schemes[i].live;
    *known = false;
    return false;
}

static dmv_status sort_out(const char *source, dv_spec *s, dv_err *e)
{
    struct stat st;
    size_t n = scheme_of(source);
    bool known;
    if (!strcmp(source, "-") || !strcmp(source, "/dev/stdin")) {
        s->kind = DV_VIDEO_PIPE;
        s->address = dv_strdup("");
    } else if (stat(source, &st) == 0) {
        s->kind = S_ISDIR(st.st_mode)                                         ? DV_VIDEO_FOLDER
                  : S_ISREG(st.st_mode)                                       ? DV_VIDEO_FILE
                  : S_ISCHR(st.st_mode) && !strncmp(source, "/dev/video", 10) ? DV_VIDEO_CAMERA
                                                                              : DV_VIDEO_PIPE;
        if (S_ISSOCK(st.st_mode) || S_ISBLK(st.st_mode))
            return dv_fail(e, DMV_ERR_ARGUMENT,
                           "%s is a %s; give a file, a folder of pictures, a pipe, /dev/videoN "
                           "or an address",
                           s->shown, S_ISSOCK(st.st_mode) ? "socket" : "disk");
        s->live = s->kind == DV_VIDEO_CAMERA;
        s->named = s->kind == DV_VIDEO_PIPE;
        s->address = dv_strdup(source);
    } else if (n) {
        s->kind = DV_VIDEO_STREAM;
        s->live = is_live_scheme(source, n, &known);
        if (!known)
            return dv_fail(e, DMV_ERR_UNSUPPORTED,
                           "%s: %.*s:// is not read; known are rtsp, rtsps, rtmp, rtmps, srt, udp, "
                           "rtp, tcp, http and https",
                           s->shown, (int)DV_MIN(n, (size_t)20), source);
        s->address = dv_strdup(source);
    } else if (!strncmp(source, "/dev/video", 10)) {
        return dv_fail(e, DMV_ERR_NOT_FOUND,
                       "%s: there is no such camera; `ls /dev/video*` shows those that are there",
                       s->shown);
    } else if (errno == ENOENT || errno == ENOTDIR) {
        return dv_fail(e, DMV_ERR_NOT_FOUND,
                       "%s: no such file; give a video, a folder of pictures, /dev/videoN, an "
                       "address (rtsp://...), or - for standard input",
                       s->shown);
    } else {
        return dv_fail(e, DMV_ERR_IO, "%s: cannot be opened: %s; check its permissions and path",
                       s->shown, strerror(errno));
    }
    return s->address ? DMV_OK : dv_nomem(e);
}

dmv_status dv_spec_parse(const char *source, const dv_video_options *o, dv_spec *s, dv_err *e)
{
    char shown[2 * SHOWN + 64];
    *s = (dv_spec){0};
    if (!source || !*source)
        return dv_fail(e, DMV_ERR_ARGUMENT, "no video is named");
    dv_video_shown(source, shown, sizeof shown);
    s->shown = dv_strdup(strcmp(source, "-") ? shown : "standard input");
    dmv_status st = s->shown ? sort_out(source, s, e) : dv_nomem(e);
    if (st) {
        dv_spec_free(s);
        return st;
    }
    if (o->live >= 0 && s->kind != DV_VIDEO_FOLDER)
        s->live = o->live > 0;
    return DMV_OK;
}

void dv_spec_free(dv_spec *s)
{
    if (s->address)
        dv_wipe(s->address, strlen(s->address)); /* it may hold a password */
    dv_free(s->address);
    dv_free(s->shown);
    *s = (dv_spec){0};
}
