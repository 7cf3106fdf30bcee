/* SPDX-License-Identifier: Apache-2.0
 *
 * degrade.h - pictures made worse on purpose, the same way every time: what a frame becomes
 * depends on the list, the seed and the number of the frame, and nothing else (with h264, on the
 * frames before it as well).
 *
 * The list is applied in its order, separated by commas; what follows '=' may be left out:
 *   distractor=FILE@XxY  a still picture pasted in at column X, row Y (or set by the call below)
 *   gain=N               the brightness jumps every N frames (50): a factor from 0.6 to 1.6
 *   noise=M:S            each channel of each pixel times a normal number (mean 0.8, deviation
 *                        0.3), then all stretched to 0..255
 *   rain=N               N light streaks on each 640 x 480 pixels (100), elsewhere in each frame
 *   jpeg=Q               JPEG of quality Q (30) and back
 *   h264=R               H.264 of R bits a second (100k) and back; R may end in k or M;
 *                        h264=crfN is of a constant quality
 */
#ifndef DV_DEGRADE_H
#define DV_DEGRADE_H

#include "image/image.h"

typedef struct dv_degrade dv_degrade;

/* rate: frames a second that the rate of h264 is meant for. */
dmv_status dv_degrade_open(const char *list, uint64_t seed, double rate, dv_degrade **out,
                           dv_err *e);
/* For a `distractor` without a file. The pixels are copied; what reaches outside is cut off. */
dmv_status dv_degrade_distractor(dv_degrade *d, const dv_picture *patch, int x, int y, dv_err *e);
/* Changes the picture in place. Frames come in order if h264 is in the list. */
dmv_status dv_degrade_apply(dv_degrade *d, dv_picture *p, uint64_t frame, dv_err *e);
void dv_degrade_close(dv_degrade **d);

#endif
