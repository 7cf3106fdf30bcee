/* SPDX-License-Identifier: Apache-2.0
 *
 * domovoi.c - our own gate; motion.h tells what for.
 *
 * Everything is judged on a thumbnail of block means, compared with three
 * others: `last`, of the frame that went on last (or whose features were asked and found
 * unchanged); `mark`, where each block has what it showed when it changed last, so that `still` is
 * the time since; and `base`, the background. A robust fit takes out light and gain first. The
 * score of a block is the mean over 3x3 blocks of the squared change over the squared noise: 1 or
 * less where nothing happens. `level` is that noise; it follows the change, slowly where there is
 * motion and not at all where something is tracked, so that what always moves counts no longer
 * after a while.
 *
 * The background of a block is known once it was still for `settle` seconds; until then whatever is
 * there counts as moving. What comes later becomes background after `absorb` seconds, unless it is
 * tracked. `body` is the score against the background in units of the threshold, for boxes; the map
 * that is shown is held closer to the outline by each block's own change.
 *
 * Features are a second gate, with `ref` from the frame that went on last, near blocks that
 * changed; `mu` and `dev` are the usual distance of a cell where none did. They are not asked about
 * boxes: on the sequences at hand block means told moving people from a pasted figure better, with
 * and without noise, being finer than a feature's cell. */
#include <math.h>
#include <string.h>

#include "motion/motion_priv.h"

#define LEVEL 0.05f /* rate of the noise */
#define LEVEL_BUSY 0.015f
#define MOST_LEVEL 400.0f /* grey levels squared: larger changes always count */
#define FIRST_LEVEL 2.0f
#define AVERAGED 0.5f /* `level` is of the difference of two frames; the background has little */
#define FAR 0.4f      /* logarithm of a gain from which on references follow the light */
#define MARKS 0.2     /* seconds between looks at `mark` */
#define SHARP 0.5f    /* the map shown: what a block's own change counts against its surroundings */
#define TOP 3.0f      /* one block counts as much in the mean of a box at most */

static size_t domovoi_parts(dv_motion *m, dv_part *out)
{
    const size_t b = m->t.n, n = (size_t)m->fw * (size_t)m->fh;
    m->mw = m->t.w;
    m->mh = m->t.h;
    m->across = (float)m->iw / (float)(m->t.w * m->t.bw);
    m->down = (float)m->ih / (float)(m->t.h * m->t.bh);
    size_t k = 0;
    out[k++] = (dv_part){&m->map, b, true};
    out[k++] = (dv_part){&m->body, b, true};
    out[k++] = (dv_part){&m->last, b, true};
    out[k++] = (dv_part){&m->mark, b, true};
    out[k++] = (dv_part){&m->base, b, true};
    out[k++] = (dv_part){&m->level, b, true};
    out[k++] = (dv_part){&m->still, b, true};
    out[k++] = (dv_part){&m->known, b, true};
    out[k++] = (dv_part){&m->thumb, b, false};
    out[k++] = (dv_part){&m->score, b, false};
    out[k++] = (dv_part){&m->ground, b, false};
    out[k++] = (dv_part){&m->smooth, 2 * b, false};
    out[k++] = (dv_part){&m->guard, b, false};
    if (!n)
        return k;
    out[k++] = (dv_part){&m->ref, n * (size_t)m->fc, true};
    out[k++] = (dv_part){&m->ref2, n, true};
    out[k++] = (dv_part){&m->mu, n, true};
    out[k++] = (dv_part){&m->dev, n, true};
    out[k++] = (dv_part){&m->change, n, false};
    out[k++] = (dv_part){&m->away, n, false};
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

void dv_motion_find_cells(dv_motion *m)
{
    for (int y = 0; y < m->t.h; y++)
        for (int x = 0; x < m->t.w; x++)
            m->cells[y * m->t.w + x] = (int32_t)cell_of(m, x, y);
}

void dv_motion_guard(dv_motion *m)
{
    if (!m->guard)
        return;
    memset(m->guard, 0, m->t.n * sizeof *m->guard);
    for (size_t i = 0; i < m->n_tracked; i++) {
        const float *b = m->tracked[i], w = (float)m->t.w, h = (float)m->t.h;
        const int x0 = (int)fminf(fmaxf(b[0] * m->across * w, 0), w),
                  x1 = (int)fminf(fmaxf(ceilf(b[2] * m->across * w), 0), w),
                  y0 = (int)fminf(fmaxf(b[1] * m->down * h, 0), h),
                  y1 = (int)fminf(fmaxf(ceilf(b[3] * m->down * h), 0), h);
        for (int y = y0; y < y1; y++)
            for (int x = x0; x < x1; x++)
                m->guard[y * m->t.w + x] = 1;
    }
}

/* The squared change to `last` is in smooth, its score in score. */
static void learn_noise(dv_motion *m)
{
    const float early = 1 / (float)DV_MIN(m->frames, 1000000u), quiet = fmaxf(LEVEL, early),
                busy = fmaxf(LEVEL_BUSY, early), look = m->o.look;
    const float *score = m->score, *change = m->smooth, *guard = m->guard;
    float *level = m->level;
    for (size_t i = 0; i < m->t.n; i++) {
        const float slow = busy * (1 - guard[i]), rate = score[i] >= look ? slow : quiet,
                    most = change[i] < MOST_LEVEL ? change[i] : MOST_LEVEL;
        level[i] += rate * (most - level[i]);
    }
}

static dmv_status domovoi_look(dv_motion *m, const dmv_image *img, dv_motion_verdict *v, dv_err *e)
{
    (void)e;
    const size_t n = m->t.n, all = n * sizeof(float);
    bool moved = false;
    *v = DV_MOTION_FEATURE;
    m->force = m->frames <= DV_MAX((uint32_t)m->o.warm_up, 1u) || m->decided == 0 ||
               (m->o.refresh > 0 && m->now - m->went >= m->o.refresh);
    dv_thumb_make(&m->t, img, m->sums, m->thumb);
    if (m->frames == 1) {
        memcpy(m->last, m->thumb, all);
        memcpy(m->mark, m->thumb, all);
        memcpy(m->base, m->thumb, all);
        for (size_t i = 0; i < n; i++)
            m->level[i] = FIRST_LEVEL;
    }
    dv_thumb_score(&m->t, m->last, m->thumb, dv_thumb_fit(&m->t, m->last, m->thumb), m->level, 1,
                   m->o.noise, m->smooth, m->smooth + n, m->score);
    for (size_t i = 0; !moved && i < n; i++)
        moved = m->score[i] >= m->o.look && !m->off[i];
    if (m->frames > 1)
        learn_noise(m);
    if (!moved && !m->force)
        *v = DV_MOTION_STOP;
    return DMV_OK;
}

/* Marks the cells of blocks that changed: the block's cell, and where cells are smaller than
 * blocks, all of them. */
static void find_busy(dv_motion *m)
{
    memset(m->busy, 0, (size_t)m->fw * (size_t)m->fh * sizeof *m->busy);
    for (size_t i = 0; i < m->t.n; i++)
        if (m->score[i] >= m->o.look)
            m->busy[m->cells[i]] = true;
    for (int y = 0; (m->fw > m->t.w || m->fh > m->t.h) && y < m->fh; y++)
        for (int x = 0; x < m->fw; x++)
            if (m->score[block_of(m, x, y)] >= m->o.look)
                m->busy[(size_t)y * (size_t)m->fw + (size_t)x] = true;
}

static bool near_busy(const dv_motion *m, int x, int y)
{
    for (int j = DV_MAX(y - 1, 0); j <= DV_MIN(y + 1, m->fh - 1); j++)
        for (int i = DV_MAX(x - 1, 0); i <= DV_MIN(x + 1, m->fw - 1); i++)
            if (m->busy[j * m->fw + i])
                return true;
    return false;
}

/* Did the features change where blocks did? Learns what is usual elsewhere. */
static bool features_moved(dv_motion *m)
{
    bool moved = false;
    for (int y = 0; y < m->fh; y++)
        for (int x = 0; x < m->fw; x++) {
            const size_t i = (size_t)y * (size_t)m->fw + (size_t)x;
            if (near_busy(m, x, y)) {
                const float usual = m->mu[i] + m->o.spread * sqrtf(m->dev[i]);
                moved |= !m->off_cells[i] && m->change[i] >= fmaxf(m->o.gate, usual);
                continue;
            }
            const float d = m->change[i] - m->mu[i];
            m->mu[i] += m->o.rate * d;
            m->dev[i] += m->o.rate * (d * d - m->dev[i]);
        }
    return moved;
}

/* A reference follows the light once that is far from its own. */
static dv_fit follow(size_t n, float *reference, dv_fit fit)
{
    if (fabsf(logf(fit.gain)) < FAR)
        return fit;
    for (size_t i = 0; i < n; i++)
        reference[i] = fminf(fmaxf(fit.gain * reference[i] + fit.offset, 0), 255);
    return (dv_fit){1, 0};
}

/* Since when has each block shown the same? Not worth the time in every frame. */
static void learn_still(dv_motion *m)
{
    const size_t n = m->t.n;
    const double elapsed = m->now - m->marked;
    float *changed = m->score; /* used up */
    if (elapsed < MARKS)
        return;
    m->marked = m->now;
    dv_fit fit = dv_thumb_fit(&m->t, m->mark, m->thumb);
    dv_thumb_score(&m->t, m->mark, m->thumb, fit, m->level, 1, m->o.noise, m->smooth, m->smooth + n,
                   changed);
    fit = follow(n, m->mark, fit);
    for (size_t i = 0; i < n; i++) {
        if (changed[i] >= m->o.look) {
            m->still[i] = 0;
            m->mark[i] = (m->thumb[i] - fit.offset) / fit.gain;
        } else {
            m->still[i] = fminf(m->still[i] + (float)elapsed, 1e6f);
        }
    }
}

/* What is background now, and what moves in front of it. Blocks are taken as they are, in the light
 * of the background. */
static void learn_background(dv_motion *m)
{
    const size_t n = m->t.n;
    learn_still(m);
    dv_fit fit = dv_thumb_fit(&m->t, m->base, m->thumb);
    dv_thumb_score(&m->t, m->base, m->thumb, fit, m->level, AVERAGED, m->o.noise, m->smooth,
                   m->smooth + n, m->ground);
    fit = follow(n, m->base, fit);
    const float box = m->o.box, by = 1 / box, settle = (float)m->o.settle,
                absorb = (float)m->o.absorb, slow = m->o.rate, inverse = 1 / fit.gain,
                least = m->o.noise * m->o.noise;
    for (size_t i = 0; i < n; i++) {
        const bool known = m->known[i] > 0, same = known && m->ground[i] < box,
                   fresh = !same && m->still[i] >= (known ? absorb : settle) && m->guard[i] == 0;
        const float seen = (m->thumb[i] - fit.offset) * inverse,
                    own = SHARP * m->smooth[i] / (AVERAGED * m->level[i] + least),
                    motion = m->ground[i] * by, alone = own * by;
        float rate = same ? slow : 0, body = TOP, map = TOP;
        if (known) {
            body = motion < TOP ? motion : TOP;
            map = alone < body ? alone : body;
        }
        if (fresh) {
            rate = 1;
            body = map = 0;
        }
        m->base[i] += rate * (seen - m->base[i]);
        m->known[i] = known || fresh;
        m->body[i] = body;
        m->map[i] = map;
    }
}

static dv_motion_verdict domovoi_decide(dv_motion *m, const dv_value *f)
{
    const size_t n = (size_t)m->fw * (size_t)m->fh, w = (size_t)m->fw, c = (size_t)m->fc;
    const bool first = m->decided == 1;
    bool moved = first || m->force;
    if (!first) {
        for (size_t i = 0; i < n; i += w)
            dv_motion_distances(m->k, w, c, dv_motion_row(m, f, i, w), m->ref + i * c, m->away + i,
                                m->ref2 + i, m->change + i);
        find_busy(m);
        moved |= features_moved(m);
    }
    memcpy(m->last, m->thumb, m->t.n * sizeof(float));
    if (!moved)
        return DV_MOTION_STOP;
    for (size_t i = 0; i < n; i += w) {
        const float *row = dv_motion_row(m, f, i, w);
        for (size_t k = i; k < i + w; k++, row += c) {
            float a2 = m->away[k];
            if (first)
                m->k->dots_f32(1, c, row, row, c, &a2);
            if (isfinite(a2)) /* else the cell counts as changed until there are numbers */
                memcpy(m->ref + k * c, row, c * sizeof(float));
            m->ref2[k] = isfinite(a2) ? a2 : 0;
        }
    }
    learn_background(m);
    return DV_MOTION_GO;
}

static float domovoi_inside(const dv_motion *m, const float share[4])
{
    return dv_motion_mean(m->body, m->off, m->mw, m->mh, m->across, m->down, share);
}

const dv_gate dv_gate_domovoi = {"domovoi",    true,           domovoi_parts,
                                 domovoi_look, domovoi_decide, domovoi_inside};
