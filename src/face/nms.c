/* SPDX-License-Identifier: Apache-2.0
 *
 * nms.c - many boxes on one face to one box.
 *
 * Greedy: the best face left is kept, whatever overlaps it too much goes, and so on. The
 * list is compacted in place and keeps its order, so that equal scores are settled by the
 * lower index and the result does not depend on a sorting routine.
 */
#include <math.h>
#include <string.h>

#include "face/face.h"

static bool usable(const dmv_face *f)
{
    return isfinite(f->score) && isfinite(f->box[0]) && isfinite(f->box[1]) &&
           isfinite(f->box[2]) && isfinite(f->box[3]);
}

float dv_iou(const float a[4], const float b[4])
{
    /* double: sides may be as large as a float can be */
    double any = 0;
    for (int i = 0; i < 4; i++) {
        any += (double)a[i] + b[i];
    }
    if (!isfinite(any)) {
        return 0;
    }
    double w = fmin((double)a[0] + a[2], (double)b[0] + b[2]) - fmax(a[0], b[0]);
    double h = fmin((double)a[1] + a[3], (double)b[1] + b[3]) - fmax(a[1], b[1]);
    if (!(w > 0 && h > 0)) {
        return 0;
    }
    double both = (double)a[2] * a[3] + (double)b[2] * b[3] - w * h;
    return both > 0 ? (float)(w * h / both) : 0;
}

size_t dv_nms(dmv_face *f, size_t n, float iou)
{
    size_t left = 0, kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (usable(&f[i])) {
            if (left != i) {
                f[left] = f[i];
            }
            left++;
        }
    }
    while (kept < left) {
        size_t best = kept;
        for (size_t i = kept + 1; i < left; i++) {
            if (f[i].score > f[best].score) {
                best = i;
            }
        }
        if (best != kept) {
            dmv_face top = f[best];
            memmove(&f[kept + 1], &f[kept], (best - kept) * sizeof(*f));
            f[kept] = top;
        }
        const dmv_face *top = &f[kept++];
        size_t to = kept;
        for (size_t i = kept; i < left; i++) {
            if (dv_iou(top->box, f[i].box) > iou) {
                continue;
            }
            if (to != i) {
                f[to] = f[i];
            }
            to++;
        }
        left = to;
    }
    return kept;
}
