/* SPDX-License-Identifier: Apache-2.0
 *
 * input.c - standard input and named pipes. FFmpeg's own reader would sleep in read() until the
 * writer has mercy; this one waits with poll and looks at the guard ten times a second.
 */
#include "video/video_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define BUFFER 65536
#define LOOK_EVERY 100 /* milliseconds */

bool dv_guard_over(dv_guard *g)
{
    if (atomic_load_explicit(&g->stop, memory_order_relaxed))
        return true;
    if (dv_now_ns() > g->deadline)
        g->expired = true;
    return g->expired;
}

void dv_guard_set(dv_guard *g, double seconds)
{
    g->deadline = dv_now_ns() + (uint64_t)(seconds * 1e9);
    g->expired = false;
}

static int read_some(void *user, uint8_t *data, int size)
{
    dv_input *in = user;
    for (;;) {
        struct pollfd p = {.fd = in->fd, .events = POLLIN};
        int ready = poll(&p, 1, LOOK_EVERY);
        if (dv_guard_over(in->guard))
            return AVERROR_EXIT;
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        ssize_t n = ready < 0 ? -1 : read(in->fd, data, (size_t)size);
        if (n > 0)
            return (int)n;
        if (n == 0)
            return AVERROR_EOF;
        if (errno != EINTR && errno != EAGAIN)
            return AVERROR(errno);
    }
}

/* Standard input may well be a file. */
static int64_t seek(void *user, int64_t at, int whence)
{
    const dv_input *in = user;
    off_t now, size;
    if (whence & AVSEEK_SIZE) {
        if ((now = lseek(in->fd, 0, SEEK_CUR)) < 0 || (size = lseek(in->fd, 0, SEEK_END)) < 0)
            return AVERROR(errno);
        return lseek(in->fd, now, SEEK_SET) < 0 ? AVERROR(errno) : size;
    }
    now = lseek(in->fd, at, whence & ~AVSEEK_FORCE);
    return now < 0 ? AVERROR(errno) : now;
}

dmv_status dv_input_open(dv_input *in, const dv_spec *s, dv_guard *g, dv_err *e)
{
    *in = (dv_input){.own = s->named, .guard = g};
    /* Without O_NONBLOCK the open would wait for a writer, with no way to end it. */
    in->fd = s->named ? open(s->address, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) : 0;
    if (in->fd < 0)
        return dv_fail(e, DMV_ERR_IO, "%s: cannot be opened: %s; check its permissions", s->shown,
                       strerror(errno));
    uint8_t *buffer = av.av_malloc(BUFFER);
    bool seekable = lseek(in->fd, 0, SEEK_CUR) >= 0;
    if (buffer)
        in->io =
            av.avio_alloc_context(buffer, BUFFER, 0, in, read_some, NULL, seekable ? seek : NULL);
    if (in->io)
        return DMV_OK;
    av.av_freep(&buffer);
    dv_input_close(in);
    return dv_nomem(e);
}

void dv_input_close(dv_input *in)
{
    if (in->io)
        av.av_freep(&in->io->buffer);
    if (in->io)
        av.avio_context_free(&in->io);
    if (in->own && in->fd >= 0)
        close(in->fd);
    *in = (dv_input){.fd = -1};
}
