/* SPDX-License-Identifier: Apache-2.0
 *
 * none.c - charts in a build without cairo: refused, with the remedy.
 */
#include "plot/plot.h"

static dmv_status no_cairo(const char *path, dv_err *e)
{
    return dv_fail(e, DMV_ERR_UNSUPPORTED,
                   "%s: this build cannot draw charts; rebuild it with cairo (-Ddraw=enabled)",
                   path ? path : "chart");
}

bool dv_chart_available(void)
{
    return false;
}

dmv_status dv_chart_write(const char *path, const dv_chart *c, dv_err *e)
{
    return no_cairo(path, e);
}

dmv_status dv_sphere_write(const char *path, const float *xy, const int *label, size_t n,
                           const char *const *names, size_t classes, const float *centres,
                           const char *title, const char *note, dv_err *e)
{
    return no_cairo(path, e);
}
