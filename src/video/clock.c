/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.c - see clock.h. Cameras restart, count modulo 2^32, or send the same stamp twice;
 * whoever measures time in the pictures must not notice.
 */
#include "video/clock.h"

#include <math.h>

#define LONGEST_STEP 10.0
#define USUAL_STEPS 20
#define LAG_WINDOW 30.0

double dv_clock_next(dv_clock *c, double stamp, double nominal, double elapsed, bool *jumped)
{
    *jumped = false;
    if (!(nominal > 0 && nominal < 3600))
        nominal = c->step > 0 ? c->step : 0.04;
    if (!c->started) {
        c->started = true;
        c->time = 0;
        c->last = stamp;
        return 0;
    }
    double step = stamp - c->last; /* NAN if either is */
    double limit = fmax(LONGEST_STEP, USUAL_STEPS * c->step);
    bool believed = !c->broken && step > 0 && step <= limit;
    if (believed) {
        c->step = c->step > 0 ? 0.9 * c->step + 0.1 * step : step;
    } else {
        *jumped = !c->broken && !isnan(step);
        c->jumps += *jumped;
        step = elapsed > 0 ? elapsed : nominal;
    }
    c->broken = false;
    c->last = isnan(stamp) && !isnan(c->last) ? c->last + step : stamp;
    /* A step too small for a double to show is still a step. */
    c->time = fmax(c->time + step, nextafter(c->time, INFINITY));
    return c->time;
}

void dv_clock_break(dv_clock *c)
{
    c->broken = c->started;
    c->last = NAN;
}

bool dv_pace_take(double *due, double time, double max_fps)
{
    if (!(max_fps > 0))
        return true;
    if (time < *due - 0.0005)
        return false;
    double step = 1 / max_fps;
    *due = time - *due > step ? time + step : *due + step;
    return true;
}

double dv_lag_update(dv_lag *l, double wall, double time)
{
    double delay = wall - time;
    if (!l->started)
        *l = (dv_lag){true, delay, delay, wall};
    if (wall - l->since > LAG_WINDOW) { /* clocks drift apart: old bests are forgotten */
        l->before = l->best;
        l->best = delay;
        l->since = wall;
    }
    l->best = fmin(l->best, delay);
    return delay - fmin(l->best, l->before);
}
