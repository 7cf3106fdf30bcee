/* SPDX-License-Identifier: Apache-2.0
 *
 * plain.c - the modes that know no features: none, and pixel, the baseline of the dissertation: the
 * mean over the channels of the squared difference of every pixel to its background. */
#include <string.h>

#include "face/face.h"
#include "motion/motion_priv.h"

static size_t no_parts(dv_motion *m, dv_part *out)
{
    (void)m;
    (void)out;
    return 0;
}

static dmv_status none_look(dv_motion *m, const dmv_image *img, dv_motion_verdict *v, dv_err *e)
{
    (void)m;
    (void)img;
    (void)e;
    *v = DV_MOTION_GO;
    return DMV_OK;
}

static float none_inside(const dv_motion *m, const float share[4])
{
    (void)m;
    (void)share;
    return 1;
}

const dv_gate dv_gate_none = {"none", false, no_parts, none_look, NULL, none_inside};

static int channels_of(const dv_motion *m)
{
    return m->format == DMV_PIXEL_GRAY8 ? 1 : 3;
}

static size_t pixel_parts(dv_motion *m, dv_part *out)
{
    const size_t n = (size_t)m->iw * (size_t)m->ih;
    m->mw = m->iw;
    m->mh = m->ih;
    out[0] = (dv_part){&m->bg, n * (size_t)channels_of(m), true};
    out[1] = (dv_part){&m->map, n, true};
    return 2;
}

static float differ(const uint8_t *p, const float *b, int channels)
{
    float sum = 0;
    for (int c = 0; c < channels; c++) {
        const float d = (float)p[c] - b[c];
        sum += d * d;
    }
    return sum / (float)channels;
}

static dmv_status pixel_look(dv_motion *m, const dmv_image *img, dv_motion_verdict *v, dv_err *e)
{
    (void)e;
    const int channels = channels_of(m), each = dv_image_channels(img->format);
    const size_t w = (size_t)m->iw, line = w * (size_t)channels;
    const bool first = m->frames <= (uint32_t)m->o.warm_up;
    float most = 0;
    for (size_t y = 0; y < (size_t)m->ih; y++) {
        const uint8_t *p = img->pixels + y * img->stride;
        float *b = m->bg + y * line, *map = m->map + y * w;
        for (size_t x = 0; x < w; x++, p += each, b += channels) {
            if (m->frames == 1)
                for (int c = 0; c < channels; c++)
                    b[c] = p[c];
            map[x] = differ(p, b, channels);
            if (map[x] > most && !m->off[y * w + x])
                most = map[x];
        }
    }
    *v = most < m->o.gate || (first && m->o.gate > 0) ? DV_MOTION_STOP : DV_MOTION_GO;
    const float a = m->o.rate;
    for (size_t y = 0; *v == DV_MOTION_STOP && y < (size_t)m->ih; y++) {
        const uint8_t *p = img->pixels + y * img->stride;
        float *b = m->bg + y * line;
        for (size_t x = 0; x < w; x++, p += each, b += channels)
            for (int c = 0; c < channels; c++)
                b[c] += a * ((float)p[c] - b[c]);
    }
    return DMV_OK;
}

static float pixel_inside(const dv_motion *m, const float share[4])
{
    const float mean = dv_motion_mean(m->map, m->off, m->mw, m->mh, 1, 1, share);
    return mean < 0 ? -1 : mean >= m->o.box ? 1 : 0;
}

const dv_gate dv_gate_pixel = {"pixel", false, pixel_parts, pixel_look, NULL, pixel_inside};
