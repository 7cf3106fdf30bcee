/* SPDX-License-Identifier: Apache-2.0
 *
 * amphibian.c - the published method: D = 1 - max(0, cosine) of every cell to its background B. If
 * max D < T then B follows and the detector stops; else it goes on, B stays, and boxes are kept
 * where the mean of D is at least T. */
#include <math.h>
#include <string.h>

#include "motion/motion_priv.h"

void dv_motion_distances(const dv_kernels *k, size_t n, size_t c, const float *a, const float *b,
                         float *a2, const float *b2, float *out)
{
    for (size_t i = 0; i < n; i++, a += c, b += c) {
        float ab, aa;
        k->dots_f32(1, c, a, b, c, &ab);
        k->dots_f32(1, c, a, a, c, &aa);
        a2[i] = aa;
        const float lengths = sqrtf(aa) * sqrtf(b2[i]);
        if (aa == 0 || b2[i] == 0) {
            out[i] = aa == 0 && b2[i] == 0 ? 0 : 1;
            continue;
        }
        const float d = 1 - fmaxf(ab / lengths, 0);
        out[i] = d <= 1 && isfinite(aa) ? fmaxf(d, 0) : 1; /* no numbers, or too long for floats */
    }
}

static size_t amphibian_parts(dv_motion *m, dv_part *out)
{
    const size_t w = (size_t)m->fw, n = w * (size_t)m->fh;
    m->mw = m->fw;
    m->mh = m->fh;
    m->across = m->fill[0];
    m->down = m->fill[1];
    out[0] = (dv_part){&m->bg, n * (size_t)m->fc, true};
    out[1] = (dv_part){&m->bg2, n, true};
    out[2] = (dv_part){&m->map, n, true};
    out[3] = (dv_part){&m->change, w, false}; /* squared lengths of a row */
    return n ? 4 : 0;
}

static dmv_status amphibian_look(dv_motion *m, const dmv_image *img, dv_motion_verdict *v,
                                 dv_err *e)
{
    (void)m;
    (void)img;
    (void)e;
    *v = DV_MOTION_FEATURE;
    return DMV_OK;
}

static void blend(size_t n, float rate, const float *restrict f, float *restrict b)
{
    for (size_t i = 0; i < n; i++)
        b[i] += rate * (f[i] - b[i]);
}

static dv_motion_verdict amphibian_decide(dv_motion *m, const dv_value *f)
{
    const size_t n = (size_t)m->fw * (size_t)m->fh, w = (size_t)m->fw, c = (size_t)m->fc;
    const bool first = m->decided <= (uint32_t)m->o.warm_up;
    float most = 0;
    for (size_t i = 0; i < n; i += w) {
        const float *row = dv_motion_row(m, f, i, w);
        for (size_t k = 0; m->decided == 1 && k < w; k++) {
            float *b = m->bg + (i + k) * c, b2;
            m->k->dots_f32(1, c, row + k * c, row + k * c, c, &b2);
            if (isfinite(b2)) /* else B stays zero until there are numbers */
                memcpy(b, row + k * c, c * sizeof *b);
            m->bg2[i + k] = isfinite(b2) ? b2 : 0;
        }
        dv_motion_distances(m->k, w, c, row, m->bg + i * c, m->change, m->bg2 + i, m->map + i);
        for (size_t k = 0; k < w; k++)
            if (!m->off[i + k])
                most = fmaxf(most, m->map[i + k]);
    }
    if (most >= m->o.gate && !(first && m->o.gate > 0))
        return DV_MOTION_GO;
    for (size_t i = 0; i < n; i += w) {
        const float *row = dv_motion_row(m, f, i, w);
        for (size_t k = 0; k < w; k++, row += c) {
            float *b = m->bg + (i + k) * c, aa = 0;
            if (m->map[i + k] >= 1) /* the only cells in which there may be something not finite */
                m->k->dots_f32(1, c, row, row, c, &aa);
            if (!isfinite(aa))
                continue;
            blend(c, m->o.rate, row, b);
            m->k->dots_f32(1, c, b, b, c, &m->bg2[i + k]);
        }
    }
    return DV_MOTION_STOP;
}

static float amphibian_inside(const dv_motion *m, const float share[4])
{
    const float mean = dv_motion_mean(m->map, m->off, m->mw, m->mh, m->across, m->down, share);
    return mean < 0 ? -1 : mean >= m->o.box ? 1 : 0;
}

const dv_gate dv_gate_amphibian = {
    "amphibian", true, amphibian_parts, amphibian_look, amphibian_decide, amphibian_inside};
