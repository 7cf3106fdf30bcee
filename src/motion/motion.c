/* SPDX-License-Identifier: Apache-2.0
 *
 * motion.c - what all modes of the gate share (see motion.h): options, sizes, time, zones, boxes,
 * the map. */
#include "motion/motion.h"

#include <math.h>
#include <string.h>

#include "face/face.h"
#include "motion/motion_priv.h"

static const dv_gate *const gates[DV_MOTION_MODES] = {
    [DV_MOTION_NONE] = &dv_gate_none,       [DV_MOTION_PIXEL] = &dv_gate_pixel,
    [DV_MOTION_MIXTURE] = &dv_gate_mixture, [DV_MOTION_AMPHIBIAN] = &dv_gate_amphibian,
    [DV_MOTION_DOMOVOI] = &dv_gate_domovoi,
};

const char *dv_motion_mode_name(dv_motion_mode m)
{
    return (unsigned)m < DV_MOTION_MODES ? gates[m]->name : "";
}

bool dv_motion_mode_of(const char *name, dv_motion_mode *m)
{
    for (int i = 0; name && i < DV_MOTION_MODES; i++)
        if (strcmp(gates[i]->name, name) == 0) {
            *m = (dv_motion_mode)i;
            return true;
        }
    return false;
}

void dv_motion_options_init(dv_motion_options *o, dv_motion_mode mode)
{
    *o = (dv_motion_options){.mode = mode,
                             .gate = 0.4f,
                             .box = 0.4f,
                             .rate = 0.1f,
                             .warm_up = 1,
                             .look = 5,
                             .noise = 1,
                             .spread = 1,
                             .settle = 1,
                             .absorb = 20,
                             .refresh = 10};
    if (mode == DV_MOTION_PIXEL)
        o->gate = o->box = 1000;
    if (mode == DV_MOTION_MIXTURE) {
        o->gate = 0.5f;
        o->box = 0.3f;
        o->rate = 0.005f;
    }
    if (mode == DV_MOTION_DOMOVOI) {
        o->gate = 0.01f;
        o->box = 5;
        o->rate = 0.05f;
    }
}

static dmv_status check(const dv_motion_options *o, dv_err *e)
{
    if ((unsigned)o->mode >= DV_MOTION_MODES)
        return dv_fail(e, DMV_ERR_ARGUMENT, "motion: no mode number %d", (int)o->mode);
    if (!(o->gate >= 0 && o->gate < 1e9f) || !(o->box >= 0 && o->box < 1e9f))
        return dv_fail(e, DMV_ERR_ARGUMENT, "motion: gate and box must be 0 or more");
    if (!(o->rate > 0 && o->rate <= 1))
        return dv_fail(e, DMV_ERR_ARGUMENT, "motion: rate must be above 0, up to 1");
    if (o->warm_up < 0 || o->warm_up > 100000)
        return dv_fail(e, DMV_ERR_ARGUMENT, "motion: warm_up must be 0 to 100,000 frames");
    if (o->mode != DV_MOTION_DOMOVOI)
        return DMV_OK;
    if (!(o->look >= 0 && o->look < 1e9f) || !(o->noise > 0 && o->noise < 256) ||
        !(o->spread >= 0 && o->spread < 1e6f) || !(o->box > 0))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "motion: look and spread must be 0 or more, box above 0, noise above 0 "
                       " and below 256");
    if (!(o->settle >= 0 && o->settle < 1e6) || !(o->absorb >= 0 && o->absorb < 1e6) ||
        !(o->refresh >= 0 && o->refresh < 1e6))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "motion: settle, absorb and refresh are seconds, 0 to 1,000,000");
    return DMV_OK;
}

dmv_status dv_motion_open(const dv_motion_options *o, const dv_kernels *k, dv_motion **out,
                          dv_err *e)
{
    dv_motion_options usual;
    dv_motion_options_init(&usual, DV_MOTION_DOMOVOI);
    *out = NULL;
    o = o ? o : &usual;
    dmv_status s = check(o, e);
    if (s)
        return s;
    dv_motion *m = dv_calloc(1, sizeof *m);
    if (!m)
        return dv_nomem(e);
    m->o = *o;
    m->k = k;
    m->fill[0] = m->fill[1] = m->across = m->down = 1;
    *out = m;
    return DMV_OK;
}

/* ---- memory ---- */

static void drop(void *pointer_to_pointer)
{
    void **p = pointer_to_pointer;
    dv_free(*p);
    *p = NULL;
}

/* All that depends on the picture; what was learned goes with it. */
void dv_motion_forget(dv_motion *m)
{
    float **const arrays[] = {&m->bg,     &m->bg2,    &m->weight, &m->mean, &m->var,
                              &m->ref,    &m->ref2,   &m->mu,     &m->dev,  &m->away,
                              &m->change, &m->last,   &m->mark,   &m->base, &m->level,
                              &m->still,  &m->known,  &m->thumb,  &m->body, &m->score,
                              &m->ground, &m->smooth, &m->guard,  &m->work, &m->map};
    for (size_t i = 0; i < DV_COUNT(arrays); i++)
        drop(arrays[i]);
    drop(&m->off);
    drop(&m->off_cells);
    drop(&m->sums);
    drop(&m->busy);
    drop(&m->cells);
    m->iw = m->ih = m->fw = m->fh = m->fc = m->mw = m->mh = 0;
    m->frames = m->decided = 0;
    m->n_tracked = 0;
    m->holds = m->looked = false;
}

void dv_motion_close(dv_motion **pm)
{
    dv_motion *m = *pm;
    if (!m)
        return;
    dv_motion_forget(m);
    dv_free(m);
    *pm = NULL;
}

size_t dv_motion_parts(dv_motion *m, dv_part *out)
{
    return gates[m->o.mode]->parts(m, out);
}

static dmv_status make_parts(dv_motion *m, dv_err *e)
{
    dv_part part[DV_MOTION_PARTS];
    const size_t n = dv_motion_parts(m, part);
    bool ok = true;
    for (size_t i = 0; i < n; i++)
        if (!*part[i].p)
            ok &= (*part[i].p = dv_calloc(part[i].n + 1, sizeof(float))) != NULL;
    const size_t cells = (size_t)m->fw * (size_t)m->fh, map = (size_t)m->mw * (size_t)m->mh;
    if (map && !m->off)
        ok &= (m->off = dv_calloc(map, 1)) != NULL;
    if (cells) {
        if (!m->off_cells)
            ok &= (m->off_cells = dv_calloc(cells, 1)) != NULL;
        if (!m->busy)
            ok &= (m->busy = dv_calloc(cells, sizeof *m->busy)) != NULL;
        if (m->t.n && !m->cells)
            ok &= (m->cells = dv_calloc(m->t.n, sizeof *m->cells)) != NULL;
        if (!m->work)
            ok &= (m->work = dv_calloc((size_t)m->fw * (size_t)m->fc, sizeof(float))) != NULL;
    }
    if (m->t.n && !m->sums)
        ok &= (m->sums = dv_calloc((size_t)m->iw * 4, sizeof *m->sums)) != NULL;
    if (!ok)
        return dv_nomem(e);
    if (m->cells)
        dv_motion_find_cells(m);
    if (m->off)
        dv_motion_mark(m, m->mw, m->mh, m->across, m->down, m->off);
    if (m->off_cells)
        dv_motion_mark(m, m->fw, m->fh, m->fill[0], m->fill[1], m->off_cells);
    return DMV_OK;
}

dmv_status dv_motion_sizes(dv_motion *m, int iw, int ih, dmv_pixel_format format, int fw, int fh,
                           int fc, size_t *needed, dv_err *e)
{
    const dmv_image img = {NULL, iw, ih, 0, format};
    m->iw = iw;
    m->ih = ih;
    m->format = format;
    m->fw = fw;
    m->fh = fh;
    m->fc = fc;
    m->t.n = 0;
    if (m->o.mode == DV_MOTION_DOMOVOI || m->o.mode == DV_MOTION_MIXTURE)
        dv_thumb_shape(&m->t, &img, m->o.mode == DV_MOTION_DOMOVOI ? 64 : 160);
    if (needed) {
        dv_part part[DV_MOTION_PARTS];
        const size_t n = dv_motion_parts(m, part);
        *needed = 0;
        for (size_t i = 0; i < n; i++)
            if (part[i].kept)
                *needed += part[i].n * sizeof(float);
        return DMV_OK;
    }
    dmv_status s = make_parts(m, e);
    if (s)
        dv_motion_forget(m);
    return s;
}

/* ---- a frame ---- */

/* Clocks leap. */
static void tick(dv_motion *m, double time)
{
    const double dt = time - m->clock;
    if (m->started) /* else it is 0, or the last one of the state that was restored */
        m->step = dt > 0 ? DV_MIN(dt, 1.0) : 0;
    if (isfinite(time)) {
        m->clock = time;
        m->started = true;
    } else {
        m->step = 0;
    }
    m->now += m->step;
}

static void settle(dv_motion *m, dv_motion_verdict v)
{
    m->holds = v == DV_MOTION_STOP && m->o.mode == DV_MOTION_DOMOVOI;
    if (v == DV_MOTION_GO)
        m->went = m->now;
    m->looked = v == DV_MOTION_FEATURE;
}

dmv_status dv_motion_look(dv_motion *m, const dmv_image *img, double time, dv_motion_verdict *v,
                          dv_err *e)
{
    *v = DV_MOTION_GO;
    dmv_status s = dv_image_check(img, e);
    if (s)
        return dv_fail_in(e, "motion");
    if (img->width != m->iw || img->height != m->ih || img->format != m->format) {
        dv_motion_forget(m);
        if ((s = dv_motion_sizes(m, img->width, img->height, img->format, 0, 0, 0, NULL, e)))
            return s;
    }
    tick(m, time);
    if (m->frames < UINT32_MAX)
        m->frames++;
    s = gates[m->o.mode]->look(m, img, v, e);
    if (!s)
        settle(m, *v);
    return s;
}

static dmv_status check_feature(const dv_value *f, const float *fill, dv_err *e)
{
    if (!f || f->rank != 4 || f->dims[0] != 1 || f->count == 0 ||
        (f->dtype != DV_F32 && f->dtype != DV_U8 && f->dtype != DV_F16))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "motion: the feature is not one map [1, H, W, C] of floats, bytes or "
                       "halves; `domovoi motion probe` lists those of a net");
    if (f->dims[1] > 4096 || f->dims[2] > 4096 || f->dims[3] > 65536)
        return dv_fail(e, DMV_ERR_LIMIT, "motion: the feature map is over 4096 x 4096 x 65536");
    if (fill && !(fill[0] > 0 && fill[0] <= 1 && fill[1] > 0 && fill[1] <= 1))
        return dv_fail(e, DMV_ERR_ARGUMENT, "motion: fill must be above 0, up to 1");
    return DMV_OK;
}

dmv_status dv_motion_decide(dv_motion *m, const dv_value *f, const float fill[2],
                            dv_motion_verdict *v, dv_err *e)
{
    static const float all[2] = {1, 1};
    const dv_gate *g = gates[m->o.mode];
    *v = DV_MOTION_GO;
    dmv_status s = check_feature(f, fill, e);
    if (s)
        return s;
    if (!m->looked)
        return dv_fail(e, DMV_ERR_ARGUMENT, "motion: no frame waits for its features");
    fill = fill ? fill : all;
    const int h = (int)f->dims[1], w = (int)f->dims[2], c = (int)f->dims[3];
    if (w != m->fw || h != m->fh || c != m->fc || fill[0] != m->fill[0] || fill[1] != m->fill[1]) {
        if (m->fw) { /* another size: all that was learned is of no use */
            const int iw = m->iw, ih = m->ih;
            const dmv_pixel_format format = m->format;
            dv_motion_forget(m);
            m->fill[0] = fill[0];
            m->fill[1] = fill[1];
            s = dv_motion_sizes(m, iw, ih, format, w, h, c, NULL, e);
            m->went = m->now;
            return s; /* go on; the next frame is the first */
        }
        m->fill[0] = fill[0];
        m->fill[1] = fill[1];
        if ((s = dv_motion_sizes(m, m->iw, m->ih, m->format, w, h, c, NULL, e)))
            return s;
    }
    if (m->decided < UINT32_MAX)
        m->decided++;
    *v = g->decide(m, f);
    settle(m, *v);
    return DMV_OK;
}

const float *dv_motion_row(dv_motion *m, const dv_value *f, size_t cell, size_t cells)
{
    const size_t c = (size_t)m->fc;
    if (f->dtype == DV_F32)
        return f->f + cell * c;
    if (f->dtype == DV_U8)
        m->k->dequant_u8(cells * c, f->q + cell * c, f->scale, f->zero, m->work);
    else
        m->k->from_f16(cells * c, f->h + cell * c, m->work);
    return m->work;
}

bool dv_motion_holds(const dv_motion *m)
{
    return m->holds;
}

/* ---- zones ---- */

dmv_status dv_motion_ignore(dv_motion *m, const float (*points)[2], size_t n, dv_err *e)
{
    if (n < 3 || n > DV_COUNT(m->zones[0].p))
        return dv_fail(e, DMV_ERR_ARGUMENT, "motion: a zone has 3 to 64 points, not %zu", n);
    if (m->n_zones == DV_MOTION_ZONES)
        return dv_fail(e, DMV_ERR_LIMIT, "motion: over %d zones", DV_MOTION_ZONES);
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(points[i][0]) <= 1e6f && fabsf(points[i][1]) <= 1e6f))
            return dv_fail(e, DMV_ERR_ARGUMENT,
                           "motion: point %zu of the zone is no place; points are shares of the "
                           "picture, 0 to 1",
                           i + 1);
    memcpy(m->zones[m->n_zones].p, points, n * sizeof *points);
    m->zones[m->n_zones++].n = n;
    return m->iw ? make_parts(m, e) : DMV_OK;
}

bool dv_motion_in_zone(const dv_motion *m, float x, float y)
{
    for (size_t z = 0; z < m->n_zones; z++) {
        const float(*p)[2] = (const float(*)[2])m->zones[z].p;
        const size_t n = m->zones[z].n;
        bool inside = false;
        for (size_t i = 0, j = n - 1; i < n; j = i++)
            if ((p[i][1] > y) != (p[j][1] > y) &&
                x < (p[j][0] - p[i][0]) * (y - p[i][1]) / (p[j][1] - p[i][1]) + p[i][0])
                inside = !inside;
        if (inside)
            return true;
    }
    return false;
}

void dv_motion_mark(const dv_motion *m, int w, int h, float across, float down, uint8_t *off)
{
    memset(off, 0, (size_t)w * (size_t)h);
    for (int y = 0; m->n_zones && y < h; y++)
        for (int x = 0; x < w; x++)
            off[(size_t)y * (size_t)w + (size_t)x] =
                dv_motion_in_zone(m, dv_motion_middle(x, w, across), dv_motion_middle(y, h, down));
}

/* ---- boxes ---- */

/* Cells [*first, *end) of n that [a, b) of the grid covers: edges cut to whole cells, at least one,
 * inside the grid. */
static void cells(float a, float b, int n, int *first, int *end)
{
    const float top = (float)n;
    *first = (int)fminf(fmaxf(floorf(a), 0), top - 1);
    *end = (int)fminf(fmaxf(floorf(b), 0), top);
    *end = DV_MAX(*end, *first + 1);
}

float dv_motion_mean(const float *map, const uint8_t *off, int w, int h, float across, float down,
                     const float share[4])
{
    int x0, x1, y0, y1;
    double sum = 0;
    size_t n = 0;
    cells(share[0] * across * (float)w, share[2] * across * (float)w, w, &x0, &x1);
    cells(share[1] * down * (float)h, share[3] * down * (float)h, h, &y0, &y1);
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++) {
            const size_t i = (size_t)y * (size_t)w + (size_t)x;
            if (!off[i]) {
                sum += (double)map[i];
                n++;
            }
        }
    return n ? (float)(sum / (double)n) : -1;
}

static bool to_share(const dv_motion *m, const float box[4], float share[4])
{
    for (int i = 0; i < 4; i++)
        if (!(fabsf(box[i]) < 1e9f))
            return false;
    share[0] = box[0] / (float)m->iw;
    share[1] = box[1] / (float)m->ih;
    share[2] = (box[0] + box[2]) / (float)m->iw;
    share[3] = (box[1] + box[3]) / (float)m->ih;
    return box[2] > 0 && box[3] > 0;
}

bool dv_motion_keeps(const dv_motion *m, const float box[4])
{
    const dv_gate *g = gates[m->o.mode];
    float share[4];
    if (!m->iw || (m->o.mode != DV_MOTION_NONE && !m->map) || (g->wants_feature && m->decided == 0))
        return true; /* nothing is known yet */
    return to_share(m, box, share) && g->inside(m, share) >= 1;
}

size_t dv_motion_filter(const dv_motion *m, void *items, size_t size, size_t n)
{
    uint8_t *p = items;
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        float box[4];
        memcpy(box, p + i * size, sizeof box);
        if (!dv_motion_keeps(m, box))
            continue;
        if (left != i)
            memcpy(p + left * size, p + i * size, size);
        left++;
    }
    return left;
}

void dv_motion_tracked(dv_motion *m, const void *items, size_t size, size_t n)
{
    const uint8_t *p = items;
    m->n_tracked = 0;
    for (size_t i = 0; m->iw && i < n && m->n_tracked < DV_MOTION_BOXES; i++) {
        float box[4];
        memcpy(box, p + i * size, sizeof box);
        if (to_share(m, box, m->tracked[m->n_tracked]))
            m->n_tracked++;
    }
    dv_motion_guard(m);
}

/* ---- the map ---- */

const float *dv_motion_map(const dv_motion *m, int *w, int *h, float *across, float *down,
                           float *threshold)
{
    *w = m->mw;
    *h = m->mh;
    *across = m->across;
    *down = m->down;
    *threshold = m->o.mode == DV_MOTION_DOMOVOI ? 1 : m->o.box;
    return m->map && (!gates[m->o.mode]->wants_feature || m->decided) ? m->map : NULL;
}

void dv_motion_mask(const dv_motion *m, int w, int h, uint8_t *out)
{
    int mw, mh;
    float across, down, threshold;
    const float *map = dv_motion_map(m, &mw, &mh, &across, &down, &threshold);
    if (!map) {
        memset(out, 0, (size_t)w * (size_t)h);
        return;
    }
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const float px = ((float)x + 0.5f) / (float)w * across * (float)mw,
                        py = ((float)y + 0.5f) / (float)h * down * (float)mh;
            const size_t i =
                (size_t)DV_MIN((int)py, mh - 1) * (size_t)mw + (size_t)DV_MIN((int)px, mw - 1);
            out[(size_t)y * (size_t)w + (size_t)x] = map[i] >= threshold && !m->off[i] ? 255 : 0;
        }
}
