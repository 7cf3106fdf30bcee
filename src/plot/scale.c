/* SPDX-License-Identifier: Apache-2.0
 *
 * scale.c - axes of charts. A value is transformed (itself, its logarithm, its normal deviate)
 * and the transform is placed linearly. Everything here is plain arithmetic, so that it can be
 * tested without drawing.
 */
#include "plot/scale.h"

#include <math.h>
#include <string.h>

#define MINUS "\xe2\x88\x92"
#define LARGEST 1e300 /* so that sums and differences stay finite */

/* Percentages that people look for on a DET axis; labelled ones are major. */
static const struct {
    double p;
    bool major;
} deviates[] = {
    {1e-8, true},    {1e-7, true},    {1e-6, true},   {1e-5, true},     {2e-5, false},
    {5e-5, false},   {1e-4, true},    {2e-4, false},  {5e-4, false},    {0.001, true},
    {0.002, false},  {0.005, false},  {0.01, true},   {0.02, false},    {0.05, true},
    {0.1, false},    {0.2, true},     {0.3, false},   {0.4, false},     {0.5, true},
    {0.6, false},    {0.7, false},    {0.8, true},    {0.9, false},     {0.95, true},
    {0.98, false},   {0.99, true},    {0.995, false}, {0.998, false},   {0.999, true},
    {0.9995, false}, {0.9998, false}, {0.9999, true}, {0.99995, false}, {0.99998, false},
    {0.99999, true}, {0.999999, true}};

double dv_probit(double p)
{
    bool upper = p > 0.5;
    double q = upper ? 1 - p : p, t, z;

    /* Abramowitz and Stegun 26.2.23, good to 4.5e-4, then two steps of Halley. */
    t = sqrt(-2 * log(q));
    z = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                  (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
    for (int i = 0; i < 2; i++) {
        double density = exp(-z * z / 2) / sqrt(2 * M_PI);
        double u = (0.5 * erfc(-z / M_SQRT2) - q) / density;
        if (!isfinite(u))
            break;
        z -= u / (1 + z * u / 2);
    }
    return upper ? -z : z;
}

bool dv_scale_shows(dv_scale kind, double v)
{
    if (!(fabs(v) <= LARGEST))
        return false;
    return kind == DV_SCALE_LINEAR || (kind == DV_SCALE_LOG ? v >= 1e-300 : v > 0 && v < 1);
}

static double transform(dv_scale kind, double v)
{
    return kind == DV_SCALE_LINEAR ? v : kind == DV_SCALE_LOG ? log10(v) : dv_probit(v);
}

void dv_axis_set(dv_axis *a, dv_scale kind, double lo, double hi)
{
    *a = (dv_axis){kind, lo, hi, transform(kind, lo), transform(kind, hi)};
    if (!(a->t1 > a->t0)) /* closer than the transform can tell */
        a->t1 = a->t0 + DV_MAX(1e-12, fabs(a->t0) * 1e-12);
}

double dv_axis_at(const dv_axis *a, double v)
{
    return (transform(a->kind, v) - a->t0) / (a->t1 - a->t0);
}

/* 1, 2 or 5 times a power of ten, for about `steps` steps over span. */
static double round_step(double span, int steps, bool whole)
{
    double raw = span / DV_MAX(steps, 1), power = pow(10, floor(log10(raw))), f = raw / power;
    double step = power * (f < 1.414 ? 1 : f < 3.162 ? 2 : f < 7.071 ? 5 : 10);

    return whole ? DV_MAX(1, step) : step;
}

void dv_axis_round(dv_scale kind, double *lo, double *hi, int steps, bool tight)
{
    const double empty[][2] = {{0, 1}, {1e-3, 1}, {1e-3, 0.5}};

    if (!(*lo <= *hi)) {
        *lo = empty[kind][0];
        *hi = empty[kind][1];
        return;
    }
    if (kind == DV_SCALE_LINEAR) {
        double size = DV_MAX(fabs(*lo), fabs(*hi));
        if (*hi - *lo <= size * 1e-9) { /* one value */
            double more = size > 0 ? size * 0.1 : 0.5;
            *lo -= more;
            *hi += more;
        }
        if (!tight) {
            double a = *lo, b = *hi, step, before = 0;
            /* The rounded range may call for a longer step, and that for another range. */
            while ((step = round_step(*hi - *lo, steps, false)) > before) {
                *lo = floor(a / step + 1e-9) * step;
                *hi = ceil(b / step - 1e-9) * step;
                before = step;
            }
        }
    } else if (kind == DV_SCALE_LOG) {
        double a = floor(log10(*lo) + 1e-9), b = ceil(log10(*hi) - 1e-9);
        if (a >= b) {
            a -= 1;
            b += 1;
        }
        *lo = pow(10, DV_MAX(a, -300));
        *hi = pow(10, DV_MIN(b, 300));
    } else {
        double a = *lo, b = *hi;
        for (size_t i = 0; i < DV_COUNT(deviates); i++)
            if (deviates[i].major && deviates[i].p <= *lo * (1 + 1e-9))
                a = deviates[i].p;
        for (size_t i = DV_COUNT(deviates); i-- > 0;)
            if (deviates[i].major && deviates[i].p >= *hi * (1 - 1e-9))
                b = deviates[i].p;
        if (!(a < b)) { /* one value */
            a /= 2;
            b = b + (1 - b) / 2;
        }
        *lo = a;
        *hi = b;
    }
}

/* ---- ticks ---- */

/* out holds size + 2 bytes. */
static void number(char *out, size_t size, double v, double step)
{
    double most = fabs(v) + step;
    int decimals = (int)DV_MAX(0, -floor(log10(step) + 1e-9));
    int digits = (int)DV_MIN(17, ceil(log10(most / step)) + 1); /* tell neighbours apart */

    if (fabs(v) < step * 1e-6)
        v = 0;
    if (most >= 1e7 || decimals > 6)
        snprintf(out, size, "%.*g", digits, v);
    else
        snprintf(out, size, "%.*f", decimals, v);
    if (out[0] == '-') { /* a minus sign, unless what is left is 0 */
        bool zero = !strpbrk(out, "123456789");
        memmove(out + (zero ? 0 : 3), out + 1, strlen(out));
        if (!zero)
            memcpy(out, MINUS, 3);
    }
}

static size_t linear_ticks(const dv_axis *a, int steps, bool whole, dv_tick *out)
{
    double span = a->hi - a->lo, step = round_step(span, steps, whole);
    double lead = step / pow(10, floor(log10(step) + 1e-9)); /* 1, 2 or 5 */
    int parts = lead > 1.5 && lead < 2.5 ? 4 : 5;
    double fine = step / parts, first = ceil(a->lo / fine - 1e-6);
    size_t n = 0;

    if (whole && fine < 1) {
        fine = step;
        parts = 1;
        first = ceil(a->lo / fine - 1e-6);
    }
    for (int i = 0; n < DV_MAX_TICKS && i < 4 * DV_MAX_TICKS; i++) {
        double k = first + i, v = k * fine;
        dv_tick *t = &out[n];
        memset(t, 0, sizeof *t);
        t->at = dv_axis_at(a, v);
        if (t->at > 1 + 1e-6)
            break;
        if (t->at < -1e-6)
            continue;
        t->major = fmod(k, parts) == 0;
        if (t->major)
            number(t->text, sizeof t->text - 2, v, step);
        n++;
    }
    if (whole && fabs(a->lo - 1) < 1e-9 && n < DV_MAX_TICKS) { /* ranks and the like: from 1 */
        size_t old = n > 0 && out[0].at < 1e-9;
        double room = 0.35 * step / span;
        for (size_t i = old; i < n; i++)
            if (out[i].major && out[i].at < room)
                return n;
        memmove(out + 1, out + old, (n - old) * sizeof *out);
        out[0] = (dv_tick){.at = 0, .major = true, .text = "1"};
        n += 1 - old;
    }
    return n;
}

static size_t log_ticks(const dv_axis *a, int steps, dv_tick *out)
{
    int from = (int)floor(a->t0 + 1e-9), to = (int)ceil(a->t1 - 1e-9);
    int every = DV_MAX(1, (to - from + steps - 1) / DV_MAX(steps, 1));
    bool plain = a->t0 > -3.5 && a->t1 < 5.5, few = a->t1 - a->t0 < 1.6;
    bool fine = to - from <= DV_MAX_TICKS / 10;
    size_t n = 0;

    for (int d = from; d <= to && n < DV_MAX_TICKS; d++) {
        for (int k = 1; k <= (fine ? 9 : 1) && n < DV_MAX_TICKS; k++) {
            double v = k * pow(10, d), place = d + log10(k);
            dv_tick *t = &out[n];
            if (place < a->t0 - 1e-9 || place > a->t1 + 1e-9)
                continue;
            memset(t, 0, sizeof *t);
            t->at = (place - a->t0) / (a->t1 - a->t0);
            t->major = k == 1 ? d % every == 0 : few && (k == 2 || k == 5);
            if (!fine && !t->major)
                continue;
            if (t->major && (plain || k != 1)) {
                snprintf(t->text, sizeof t->text, "%.10g", v);
            } else if (t->major) {
                snprintf(t->text, sizeof t->text, "10");
                snprintf(t->raised, sizeof t->raised, "%s%d", d < 0 ? MINUS : "", d < 0 ? -d : d);
            }
            n++;
        }
    }
    return n;
}

static size_t probit_ticks(const dv_axis *a, dv_tick *out)
{
    size_t n = 0;

    for (size_t i = 0; i < DV_COUNT(deviates); i++) {
        double at = dv_axis_at(a, deviates[i].p);
        if (at < -1e-9 || at > 1 + 1e-9)
            continue;
        out[n] = (dv_tick){.at = at, .major = deviates[i].major};
        if (deviates[i].major)
            snprintf(out[n].text, sizeof out[n].text, "%.8g", deviates[i].p * 100);
        n++;
    }
    return n;
}

size_t dv_axis_ticks(const dv_axis *a, int steps, bool whole, dv_tick *out)
{
    if (a->kind == DV_SCALE_LOG)
        return log_ticks(a, steps, out);
    if (a->kind == DV_SCALE_PROBIT)
        return probit_ticks(a, out);
    return linear_ticks(a, steps, whole, out);
}
