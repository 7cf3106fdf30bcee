/* SPDX-License-Identifier: Apache-2.0
 *
 * mixture.c - a second baseline: every block of a grey thumbnail is a mixture of Gaussians whose
 * weights follow what is seen (Zivkovic, "Improved adaptive Gaussian mixture model for background
 * subtraction", 2004: equations 4 to 6 for the update, 8 to 9 for the choice of background). A
 * block is foreground if none of the heavy Gaussians is near; single blocks are taken out by their
 * neighbours' majority. */
#include <math.h>
#include <string.h>

#include "face/face.h"
#include "motion/motion_priv.h"

#define GAUSSIANS 4
#define SIDE 160
#define NEAR 16.0f      /* squared deviations for the background, */
#define SAME 9.0f       /* and for belonging to a Gaussian */
#define BACKGROUND 0.9f /* sum of weights */
#define NEW_VAR 60.0f   /* grey levels squared; of means of blocks */
#define LEAST_VAR 2.0f
#define MOST_VAR 300.0f
#define PRIOR 0.05f /* weight that each Gaussian loses, in units of the rate */

static size_t mixture_parts(dv_motion *m, dv_part *out)
{
    const size_t n = m->t.n;
    m->mw = m->t.w;
    m->mh = m->t.h;
    m->across = (float)m->iw / (float)(m->t.w * m->t.bw);
    m->down = (float)m->ih / (float)(m->t.h * m->t.bh);
    out[0] = (dv_part){&m->weight, n * GAUSSIANS, true};
    out[1] = (dv_part){&m->mean, n * GAUSSIANS, true};
    out[2] = (dv_part){&m->var, n * GAUSSIANS, true};
    out[3] = (dv_part){&m->map, n, true};
    out[4] = (dv_part){&m->thumb, n, false};
    out[5] = (dv_part){&m->smooth, n, false};
    return 6;
}

static void swap(float *v, int i)
{
    const float t = v[i];
    v[i] = v[i - 1];
    v[i - 1] = t;
}

/* One block: heavy Gaussians first. Returns whether x is foreground. */
static bool block(float *w, float *mean, float *var, float x, float rate)
{
    float sum = 0;
    bool background = false, found = false;
    for (int g = 0; g < GAUSSIANS && w[g] > 0; g++) {
        const float d = x - mean[g], d2 = d * d;
        if (!background && sum < BACKGROUND && d2 < NEAR * var[g])
            background = true;
        sum += w[g];
        w[g] += rate * (0 - w[g]) - rate * PRIOR;
        if (!found && d2 < SAME * var[g]) {
            found = true;
            w[g] += rate;
            const float k = fminf(rate / fmaxf(w[g], rate), 1);
            mean[g] += k * d;
            var[g] = fminf(fmaxf(var[g] + k * (d2 - var[g]), LEAST_VAR), MOST_VAR);
            for (int i = g; i > 0 && w[i] > w[i - 1]; i--) {
                swap(w, i);
                swap(mean, i);
                swap(var, i);
            }
        }
    }
    for (int g = 0; g < GAUSSIANS; g++)
        if (!(w[g] > 0))
            w[g] = 0;
    if (!found) {
        int g = 0;
        while (g < GAUSSIANS - 1 && w[g] > 0)
            g++;
        w[g] = w[0] > 0 ? rate : 1;
        mean[g] = x;
        var[g] = NEW_VAR;
    }
    sum = 0;
    for (int g = 0; g < GAUSSIANS; g++)
        sum += w[g];
    for (int g = 0; g < GAUSSIANS; g++)
        w[g] /= sum;
    return !background;
}

static dmv_status mixture_look(dv_motion *m, const dmv_image *img, dv_motion_verdict *v, dv_err *e)
{
    (void)e;
    const size_t n = m->t.n;
    const float rate = fmaxf(m->o.rate, 1 / (float)DV_MIN(2 * m->frames, 1u << 20));
    float most = 0;
    dv_thumb_make(&m->t, img, m->sums, m->thumb);
    for (size_t i = 0; i < n; i++) {
        m->smooth[i] = block(m->weight + i * GAUSSIANS, m->mean + i * GAUSSIANS,
                             m->var + i * GAUSSIANS, m->thumb[i], rate);
    }
    for (int y = 0; y < m->t.h; y++)
        for (int x = 0; x < m->t.w; x++) {
            int votes = 0, all = 0;
            for (int j = DV_MAX(y - 1, 0); j <= DV_MIN(y + 1, m->t.h - 1); j++)
                for (int i = DV_MAX(x - 1, 0); i <= DV_MIN(x + 1, m->t.w - 1); i++, all++)
                    votes += m->smooth[j * m->t.w + i] > 0;
            const size_t at = (size_t)y * (size_t)m->t.w + (size_t)x;
            m->map[at] = 2 * votes > all;
            if (!m->off[at])
                most = fmaxf(most, m->map[at]);
        }
    *v = m->frames > (uint32_t)m->o.warm_up && most >= m->o.gate ? DV_MOTION_GO : DV_MOTION_STOP;
    return DMV_OK;
}

static float mixture_inside(const dv_motion *m, const float share[4])
{
    const float mean = dv_motion_mean(m->map, m->off, m->mw, m->mh, m->across, m->down, share);
    return mean < 0 ? -1 : mean >= m->o.box ? 1 : 0;
}

const dv_gate dv_gate_mixture = {"mog2", false, mixture_parts, mixture_look, NULL, mixture_inside};
