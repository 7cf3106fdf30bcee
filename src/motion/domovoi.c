/* SPDX-License-Identifier: Apache-2.0
 *
 * domovoi.c - our own gate; motion.h tells what for.
 *
 * Thumbnails: `last` is that of the frame that went on last (or whose features were asked and found
 * unchanged), `base` the background, `level` the usual squared change of a block. The score of a
 * block is the mean over 3x3 blocks of squared change over squared noise: about 1 where nothing
 * happens. `level` follows the change, slowly where there is motion and not at all where something
 * is tracked: what always moves becomes noise after a while.
 *
 * Features: `ref` belongs to the frame that went on last, `bg` is the background. A cell's
 * background is known once it was seen without change for `settle` seconds; until then whatever is
 * in it counts as moving. `mu` and `dev` are the usual distance from the background.
 *
 * Light: the thumbnail tells by its fit when the whole picture became brighter or darker. Features
 * cannot be corrected for that, so those of the background are taken afresh wherever the thumbnail
 * shows nothing but background. */
#include <math.h>
#include <string.h>

#include "motion/motion_priv.h"

#define TARGET 64   /* blocks on the longer side */
#define LEVEL 0.05f /* rate of the noise */
#define LEVEL_BUSY 0.015f
#define MOST_LEVEL 400.0f /* grey levels squared: larger changes always count */
#define FIRST_LEVEL 2.0f
#define GAIN 0.06f /* changes of light that ask for new features */
#define OFFSET 8.0f
#define TOP 3.0f /* one cell counts as much in the mean of a box at most */

static size_t domovoi_parts(dv_motion *m, dv_part *out)
{
    const size_t b = m->t.n, p = b * (size_t)m->t.planes, n = (size_t)m->fw * (size_t)m->fh,
                 c = n * (size_t)m->fc;
    m->mw = m->t.w;
    m->mh = m->t.h;
    m->across = (float)m->iw / (float)(m->t.w * m->t.bw);
    m->down = (float)m->ih / (float)(m->t.h * m->t.bh);
    size_t k = 0;
    out[k++] = (dv_part){&m->map, b, true};
    out[k++] = (dv_part){&m->last, p, true};
    out[k++] = (dv_part){&m->base, p, true};
    out[k++] = (dv_part){&m->level, b, true};
    out[k++] = (dv_part){&m->thumb, p, false};
    out[k++] = (dv_part){&m->score, b, false};
    out[k++] = (dv_part){&m->ground, b, false};
    out[k++] = (dv_part){&m->smooth, 2 * b, false};
    if (!n)
        return k;
    out[k++] = (dv_part){&m->ref, c, true};
    out[k++] = (dv_part){&m->bg, c, true};
    out[k++] = (dv_part){&m->ref2, n, true};
    out[k++] = (dv_part){&m->bg2, n, true};
    out[k++] = (dv_part){&m->still, 4 * n, true}; /* still, known, mu, dev */
    out[k++] = (dv_part){&m->away, n, false};
    out[k++] = (dv_part){&m->change, n, false};
    return k;
}

/* The cell of features in which the middle of block (x, y) lies. */
static size_t cell_of(const dv_motion *m, int x, int y)
{
    const float px = dv_motion_middle(x, m->t.w, m->across),
                py = dv_motion_middle(y, m->t.h, m->down);
    const int cx = (int)(px * m->fill[0] * (float)m->fw),
              cy = (int)(py * m->fill[1] * (float)m->fh);
    return (size_t)DV_MIN(DV_MAX(cy, 0), m->fh - 1) * (size_t)m->fw +
           (size_t)DV_MIN(DV_MAX(cx, 0), m->fw - 1);
}

/* And the other way round. */
static size_t block_of(const dv_motion *m, int x, int y)
{
    const float px = dv_motion_middle(x, m->fw, m->fill[0]),
                py = dv_motion_middle(y, m->fh, m->fill[1]);
    const int bx = (int)(px * m->across * (float)m->t.w), by = (int)(py * m->down * (float)m->t.h);
    return (size_t)DV_MIN(by, m->t.h - 1) * (size_t)m->t.w + (size_t)DV_MIN(bx, m->t.w - 1);
}

static bool tracked_at(const dv_motion *m, float x, float y)
{
    for (size_t i = 0; i < m->n_tracked; i++) {
        const float *b = m->tracked[i];
        if (x >= b[0] && x < b[2] && y >= b[1] && y < b[3])
            return true;
    }
    return false;
}

static void learn_noise(dv_motion *m)
{
    const float early = 1 / (float)DV_MIN(m->frames, 1000000u);
    const float quiet = fmaxf(LEVEL, early);
    for (int y = 0; y < m->t.h; y++)
        for (int x = 0; x < m->t.w; x++) {
            const size_t i = (size_t)y * (size_t)m->t.w + (size_t)x;
            const bool busy = m->score[i] >= m->o.look;
            if (busy && tracked_at(m, dv_motion_middle(x, m->t.w, m->across),
                                   dv_motion_middle(y, m->t.h, m->down)))
                continue;
            m->level[i] += (busy ? fmaxf(LEVEL_BUSY, early) : quiet) *
                           (fminf(m->smooth[i], MOST_LEVEL) - m->level[i]);
        }
}

static dmv_status domovoi_look(dv_motion *m, const dmv_image *img, dv_motion_verdict *v, dv_err *e)
{
    (void)e;
    const size_t n = m->t.n;
    bool moved = !(m->o.look > 0);
    *v = DV_MOTION_FEATURE;
    m->force = m->frames <= DV_MAX((uint32_t)m->o.warm_up, 1u) || m->decided == 0 ||
               (m->o.refresh > 0 && m->now - m->went >= m->o.refresh);
    dv_thumb_make(&m->t, img, m->sums, m->thumb);
    if (m->frames == 1) {
        memcpy(m->last, m->thumb, n * (size_t)m->t.planes * sizeof(float));
        memcpy(m->base, m->thumb, n * (size_t)m->t.planes * sizeof(float));
        for (size_t i = 0; i < n; i++)
            m->level[i] = FIRST_LEVEL;
    }
    dv_thumb_fit(&m->t, m->last, m->thumb, m->fit);
    dv_thumb_score(&m->t, m->last, m->thumb, m->fit, m->level, m->o.noise, m->smooth, m->smooth + n,
                   m->score);
    for (size_t i = 0; !moved && i < n; i++)
        moved = m->score[i] >= m->o.look && !m->off[i];
    if (m->frames > 1)
        learn_noise(m);
    if (moved || m->force)
        return DMV_OK;
    for (size_t i = 0; m->still && i < (size_t)m->fw * (size_t)m->fh; i++)
        m->still[i] += (float)m->step;
    *v = DV_MOTION_STOP;
    return DMV_OK;
}

/* What is usual for cell i, of a map whose noise is `times` that of `away`. */
static float usual(const dv_motion *m, size_t i, float times)
{
    return times * (m->mu[i] + m->o.spread * sqrtf(m->dev[i]));
}

static bool changed(const dv_motion *m, size_t i)
{
    return m->change[i] >= fmaxf(m->o.gate, usual(m, i, 2));
}

/* Marks the cells in which a block reaches the threshold: the block's cell, and where cells are
 * smaller than blocks, all of them. */
static void spread_blocks(const dv_motion *m, const float *block, float threshold, bool *cell)
{
    memset(cell, 0, (size_t)m->fw * (size_t)m->fh * sizeof *cell);
    for (int y = 0; y < m->t.h; y++)
        for (int x = 0; x < m->t.w; x++)
            if (block[(size_t)y * (size_t)m->t.w + (size_t)x] >= threshold)
                cell[cell_of(m, x, y)] = true;
    for (int y = 0; (m->fw > m->t.w || m->fh > m->t.h) && y < m->fh; y++)
        for (int x = 0; x < m->fw; x++)
            if (block[block_of(m, x, y)] >= threshold)
                cell[(size_t)y * (size_t)m->fw + (size_t)x] = true;
}

/* Cells in which something moved just now, and those of what is tracked. */
static void find_busy(dv_motion *m)
{
    const size_t n = (size_t)m->fw * (size_t)m->fh;
    if (m->o.look > 0)
        spread_blocks(m, m->score, m->o.look, m->busy);
    else
        for (size_t i = 0; i < n; i++)
            m->busy[i] = changed(m, i);
    for (int y = 0; y < m->fh; y++)
        for (int x = 0; x < m->fw; x++)
            m->guarded[y * m->fw + x] =
                m->n_tracked && tracked_at(m, dv_motion_middle(x, m->fw, m->fill[0]),
                                           dv_motion_middle(y, m->fh, m->fill[1]));
}

static bool near_busy(const dv_motion *m, int x, int y)
{
    for (int j = DV_MAX(y - 1, 0); j <= DV_MIN(y + 1, m->fh - 1); j++)
        for (int i = DV_MAX(x - 1, 0); i <= DV_MIN(x + 1, m->fw - 1); i++)
            if (m->busy[j * m->fw + i])
                return true;
    return false;
}

static bool features_moved(const dv_motion *m)
{
    for (int y = 0; y < m->fh; y++)
        for (int x = 0; x < m->fw; x++) {
            const size_t i = (size_t)y * (size_t)m->fw + (size_t)x;
            if (!m->off_cells[i] && changed(m, i) && near_busy(m, x, y))
                return true;
        }
    return false;
}

static bool finite_cell(const dv_motion *m, const float *a, float *a2)
{
    m->k->dots_f32(1, (size_t)m->fc, a, a, (size_t)m->fc, a2);
    return isfinite(*a2);
}

static void take_cell(dv_motion *m, size_t i, float rate)
{
    const size_t c = (size_t)m->fc;
    float *b = m->bg + i * c;
    const float *f = m->ref + i * c;
    for (size_t j = 0; j < c; j++)
        b[j] += rate * (f[j] - b[j]);
    m->k->dots_f32(1, c, b, b, c, &m->bg2[i]);
}

static bool light_changed(const dv_motion *m)
{
    for (int p = 0; p < m->t.planes; p++)
        if (fabsf(logf(m->base_fit[p].gain)) > GAIN ||
            fabsf(m->base_fit[p].offset + 128 * (m->base_fit[p].gain - 1)) > OFFSET)
            return true;
    return false;
}

/* Moves the background thumbnail: every block to the light of today if that changed, towards the
 * picture where nothing else is seen, all the way in cells that were taken. */
static void keep_base(dv_motion *m, const bool *taken, bool light)
{
    const size_t n = m->t.n;
    for (int p = 0; p < m->t.planes; p++) {
        const dv_fit f = m->base_fit[p];
        float *base = m->base + (size_t)p * n;
        const float *now = m->thumb + (size_t)p * n;
        for (int y = 0; y < m->t.h; y++)
            for (int x = 0; x < m->t.w; x++) {
                const size_t i = (size_t)y * (size_t)m->t.w + (size_t)x;
                if (light)
                    base[i] = f.gain * base[i] + f.offset;
                const float seen = light ? now[i] : (now[i] - f.offset) / f.gain;
                if (taken[cell_of(m, x, y)])
                    base[i] = seen;
                else if (m->ground[i] < m->o.look_box)
                    base[i] += m->o.rate * (seen - base[i]);
            }
        if (light)
            m->base_fit[p] = (dv_fit){1, 0};
    }
}

/* What is background now. The features of this frame are in ref. */
static void learn_background(dv_motion *m)
{
    const size_t n = (size_t)m->fw * (size_t)m->fh;
    const bool light = light_changed(m);
    bool *taken = m->busy; /* busy cells are never taken, and not needed behind this */
    spread_blocks(m, m->ground, m->o.look_box, m->covered);
    for (size_t i = 0; i < n; i++) {
        m->still[i] = m->busy[i] ? 0 : m->still[i] + (float)m->step;
        const double wanted = m->known[i] > 0 ? m->o.absorb : m->o.settle;
        const bool same = m->known[i] > 0 && !m->covered[i];
        const bool fresh = !same && !m->guarded[i] && !m->busy[i] && (double)m->still[i] >= wanted;
        taken[i] = fresh;
        if (fresh) {
            take_cell(m, i, 1);
            m->known[i] = 1;
            m->away[i] = m->mu[i] = m->dev[i] = 0;
        } else if (same && light) {
            take_cell(m, i, 1);
            m->away[i] = 0;
        } else if (same && !m->guarded[i]) {
            const float d = m->away[i] - m->mu[i];
            m->mu[i] += m->o.rate * d;
            m->dev[i] += m->o.rate * (d * d - m->dev[i]);
            take_cell(m, i, m->o.rate);
        }
    }
    keep_base(m, taken, light);
}

static dv_motion_verdict domovoi_decide(dv_motion *m, const dv_value *f)
{
    const size_t n = (size_t)m->fw * (size_t)m->fh, w = (size_t)m->fw, c = (size_t)m->fc;
    const bool first = m->decided == 1;
    for (size_t i = 0; i < n; i += w) {
        const float *row = dv_motion_row(m, f, i, w);
        dv_motion_distances(m->k, w, c, row, m->ref + i * c, m->ref2 + i, m->change + i);
        dv_motion_distances(m->k, w, c, row, m->bg + i * c, m->bg2 + i, m->away + i);
    }
    find_busy(m);
    const size_t planes = m->t.n * (size_t)m->t.planes;
    memcpy(m->last, m->thumb, planes * sizeof(float));
    if (!first && !m->force && !features_moved(m)) {
        for (size_t i = 0; i < n; i++) /* the thumbnail saw something: not the time to settle */
            m->still[i] = m->busy[i] ? 0 : m->still[i] + (float)m->step;
        return DV_MOTION_STOP;
    }
    for (size_t i = 0; i < n; i += w) {
        const float *row = dv_motion_row(m, f, i, w);
        for (size_t k = i; k < i + w; k++, row += c) {
            float a2;
            if (!finite_cell(m, row, &a2)) /* never part of anything */
                continue;
            memcpy(m->ref + k * c, row, c * sizeof(float));
            m->ref2[k] = a2;
            if (first) {
                memcpy(m->bg + k * c, row, c * sizeof(float));
                m->bg2[k] = a2;
            }
        }
    }
    dv_thumb_fit(&m->t, m->base, m->thumb, m->base_fit);
    dv_thumb_score(&m->t, m->base, m->thumb, m->base_fit, m->level, m->o.noise, m->smooth,
                   m->smooth + m->t.n, m->ground);
    learn_background(m);
    for (int y = 0; y < m->t.h; y++)
        for (int x = 0; x < m->t.w; x++) {
            const size_t i = (size_t)y * (size_t)m->t.w + (size_t)x, cell = cell_of(m, x, y);
            m->map[i] = m->known[cell] > 0 ? fminf(m->ground[i] / m->o.look_box, TOP) : TOP;
        }
    for (size_t i = 0; i < n; i++)
        m->away[i] =
            m->known[i] > 0 ? fminf(m->away[i] / fmaxf(m->o.box, usual(m, i, 1)), TOP) : TOP;
    return DV_MOTION_GO;
}

static float domovoi_inside(const dv_motion *m, const float share[4])
{
    const float look = dv_motion_mean(m->map, m->off, m->mw, m->mh, m->across, m->down, share);
    const float feature =
        dv_motion_mean(m->away, m->off_cells, m->fw, m->fh, m->fill[0], m->fill[1], share);
    return fmaxf(look, feature);
}

const dv_gate dv_gate_domovoi = {"domovoi",    true,           domovoi_parts,
                                 domovoi_look, domovoi_decide, domovoi_inside};
