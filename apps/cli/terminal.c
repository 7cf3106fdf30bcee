/* SPDX-License-Identifier: Apache-2.0
 *
 * terminal.c - what the user sees while waiting, and the end of the output: a program that
 * filled the disk or wrote into a closed pipe must not report success.
 */
#include "cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SHOW_AFTER 2000000000u
#define SHOW_EVERY 200000000u

static bool line_shown; /* a progress line stands on the terminal */

void cli_progress_start(cli_progress *p, const char *what, size_t total, const cli_common *o)
{
    *p = (cli_progress){.what = what, .total = total, .start = dv_now_ns()};
    /* shown: -1 = never, 0 = not yet, 1 = now */
    if ((o && o->quiet) || total == 0 || !isatty(STDERR_FILENO))
        p->shown = -1;
}

static void put_time(double seconds)
{
    unsigned s = seconds > 359999 ? 359999 : (unsigned)(seconds + 0.5);
    if (s >= 3600)
        fprintf(stderr, "%u h %02u min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        fprintf(stderr, "%u min %02u s", s / 60, s % 60);
    else
        fprintf(stderr, "%u s", s);
}

void cli_progress_update(cli_progress *p, size_t done)
{
    uint64_t now;
    if (p->shown < 0 || done == 0)
        return;
    now = dv_now_ns();
    if (now - p->start < SHOW_AFTER || now - p->last < SHOW_EVERY)
        return;
    p->last = now;
    p->shown = 1;
    line_shown = true;
    double left = (double)(now - p->start) * 1e-9 * (double)(p->total - DV_MIN(done, p->total)) /
                  (double)done;
    int bar = (int)(24 * done / p->total);
    fprintf(stderr, "\r%s [%.*s%.*s] %zu/%zu, ", p->what, bar, "########################", 24 - bar,
            "........................", done, p->total);
    put_time(left);
    fputs(" left\033[K", stderr);
    fflush(stderr);
}

void cli_progress_hide(void)
{
    if (line_shown)
        fputs("\r\033[K", stderr);
    line_shown = false;
}

void cli_progress_end(cli_progress *p)
{
    cli_progress_hide();
    p->shown = -1;
}

int cli_finish(int code)
{
    static bool told;
    int err = 0;
    if (fflush(stdout) != 0)
        err = errno;
    if (ferror(stdout) || err) {
        if (!told)
            cli_error("cannot write to standard output: %s", err ? strerror(err) : "write error");
        told = true;
        return CLI_ERROR;
    }
    return code;
}
