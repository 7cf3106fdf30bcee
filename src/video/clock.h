/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.h - time stamps that can be relied on, made from those of a stream. Plain arithmetic.
 */
#ifndef DV_VIDEO_CLOCK_H
#define DV_VIDEO_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds since the first frame, always growing. Zeroed before use. */
typedef struct dv_clock {
    bool started, broken; /* broken: the stream's next time stamp has nothing to do with the last */
    double last, time;    /* the stream's, ours */
    double step;          /* usual distance of frames */
    uint64_t jumps;
} dv_clock;

/* stamp: of the frame in seconds, NAN = none. nominal: seconds a frame by the stream's rate, 0 =
 * unknown. elapsed: on the wall since the last frame, NAN = unknown (it takes the place of a
 * step that cannot be believed). A step back, none, or one of over ten seconds and twenty usual
 * steps is a jump; *jumped says so. */
double dv_clock_next(dv_clock *c, double stamp, double nominal, double elapsed, bool *jumped);
/* The stream begins anew: no jump, but no step either. */
void dv_clock_break(dv_clock *c);

/* At most max_fps frames a second: is the one at `time` to be taken? *due begins at 0. */
bool dv_pace_take(double *due, double time, double max_fps);

/* How many seconds a live stream is behind the best it has been in the last minute. Zeroed
 * before use. */
typedef struct dv_lag {
    bool started;
    double best, before, since;
} dv_lag;
double dv_lag_update(dv_lag *l, double wall, double time);

#endif
