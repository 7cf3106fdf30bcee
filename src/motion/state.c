/* SPDX-License-Identifier: Apache-2.0
 *
 * state.c - what a gate learned, as bytes, little-endian:
 *
 *   8  magic "DVMOTION"
 *   4  version, 1                        4  mode
 *   4  width, 4 height, 4 format of the picture
 *   4  width, 4 height, 4 channels of the features; 0 if there were none yet
 *   8  floats: part of the features that the picture fills, across and down
 *   4  frames, 4 decisions so far, 4 whether boxes hold
 *   8  seconds of the gate's clock, 8 when a frame went on last, 8 when `mark` was looked at last,
 *   8  the last step (doubles)
 *      the arrays of the mode, floats, in the order of its dv_part list
 *  32  SHA-256 of all before
 */
#include <math.h>
#include <string.h>

#include "face/face.h"
#include "motion/motion_priv.h"

#define VERSION 1
#define HASH 32
static const char magic[8] = "DVMOTION";

static void put_double(dv_buf *b, double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    dv_buf_u64(b, u);
}

static double get_double(dv_reader *r)
{
    const uint64_t u = dv_rd_u64(r);
    double v;
    memcpy(&v, &u, sizeof v);
    return v;
}

static void hash(const uint8_t *p, size_t n, uint8_t out[HASH])
{
    dv_sha256 s;
    dv_sha256_init(&s);
    dv_sha256_update(&s, p, n);
    dv_sha256_final(&s, out);
}

dmv_status dv_motion_save(const dv_motion *cm, dv_buf *b, dv_err *e)
{
    dv_motion *m = (dv_motion *)(uintptr_t)cm; /* its lists of arrays are not const */
    memset(b, 0, sizeof *b);
    if (!m->iw)
        return dv_fail(e, DMV_ERR_ARGUMENT, "motion: nothing to save before the first frame");
    dv_buf_put(b, magic, sizeof magic);
    const uint32_t head[] = {VERSION,         (uint32_t)m->o.mode, (uint32_t)m->iw,
                             (uint32_t)m->ih, (uint32_t)m->format, (uint32_t)m->fw,
                             (uint32_t)m->fh, (uint32_t)m->fc};
    for (size_t i = 0; i < DV_COUNT(head); i++)
        dv_buf_u32(b, head[i]);
    dv_buf_f32(b, m->fill[0]);
    dv_buf_f32(b, m->fill[1]);
    dv_buf_u32(b, m->frames);
    dv_buf_u32(b, m->decided);
    dv_buf_u32(b, m->holds);
    put_double(b, m->now);
    put_double(b, m->went);
    put_double(b, m->marked);
    put_double(b, m->step);
    dv_part part[DV_MOTION_PARTS];
    const size_t n = dv_motion_parts(m, part);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; part[i].kept && k < part[i].n; k++)
            dv_buf_f32(b, (*part[i].p)[k]);
    uint8_t sum[HASH];
    if (!b->bad)
        hash(b->data, b->size, sum);
    dv_buf_put(b, sum, HASH);
    if (!b->bad)
        return DMV_OK;
    dv_buf_free(b);
    return dv_nomem(e);
}

static dmv_status damaged(dv_err *e)
{
    return dv_fail(e, DMV_ERR_FORMAT,
                   "motion: the saved state is damaged; start without it, it is learned anew");
}

/* The head into a fresh gate; sizes are checked against what is there. */
static dmv_status read_head(dv_motion *m, dv_reader *r, dv_err *e)
{
    uint32_t h[6];
    for (size_t i = 0; i < DV_COUNT(h); i++)
        h[i] = dv_rd_u32(r);
    m->fill[0] = dv_rd_f32(r);
    m->fill[1] = dv_rd_f32(r);
    m->frames = dv_rd_u32(r);
    m->decided = dv_rd_u32(r);
    m->holds = dv_rd_u32(r) == 1;
    m->now = get_double(r);
    m->went = get_double(r);
    m->marked = get_double(r);
    m->step = get_double(r);
    const bool features = h[3] && h[4] && h[5];
    const bool fills = m->fill[0] > 0 && m->fill[0] <= 1 && m->fill[1] > 0 && m->fill[1] <= 1;
    if (r->bad || h[0] < 1 || h[0] > DV_IMAGE_SIDE || h[1] < 1 || h[1] > DV_IMAGE_SIDE ||
        dv_image_channels((dmv_pixel_format)h[2]) == 0 || h[3] > 4096 || h[4] > 4096 ||
        h[5] > 65536 || (!features && (h[3] || h[4] || h[5] || m->decided)) || !fills ||
        !m->frames || !(m->now >= 0 && m->now < 1e15) || !(m->went >= 0 && m->went <= m->now) ||
        !(m->marked >= 0 && m->marked <= m->now) || !(m->step >= 0 && m->step <= 1) ||
        (features && !m->decided))
        return damaged(e);
    size_t needed;
    dmv_status s = dv_motion_sizes(m, (int)h[0], (int)h[1], (dmv_pixel_format)h[2], (int)h[3],
                                   (int)h[4], (int)h[5], &needed, e);
    if (s == DMV_OK && needed != (size_t)(r->end - r->p))
        return damaged(e);
    return s ? s
             : dv_motion_sizes(m, (int)h[0], (int)h[1], (dmv_pixel_format)h[2], (int)h[3],
                               (int)h[4], (int)h[5], NULL, e);
}

static dmv_status read_parts(dv_motion *m, dv_reader *r, dv_err *e)
{
    dv_part part[DV_MOTION_PARTS];
    const size_t n = dv_motion_parts(m, part);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; part[i].kept && k < part[i].n; k++) {
            const float v = dv_rd_f32(r);
            if (r->bad || !isfinite(v))
                return damaged(e);
            (*part[i].p)[k] = v;
        }
    return DMV_OK;
}

dmv_status dv_motion_restore(dv_motion *m, const void *data, size_t size, dv_err *e)
{
    uint8_t sum[HASH];
    if (size < sizeof magic + 8 + HASH || memcmp(data, magic, sizeof magic) != 0)
        return dv_fail(e, DMV_ERR_FORMAT, "motion: not a saved state of a motion gate");
    dv_reader r = {(const uint8_t *)data + sizeof magic, (const uint8_t *)data + size - HASH,
                   false};
    if (dv_rd_u32(&r) > VERSION)
        return dv_fail(e, DMV_ERR_VERSION, "motion: the state was saved by a newer version");
    const uint32_t mode = dv_rd_u32(&r);
    hash(data, size - HASH, sum);
    if (memcmp(sum, (const uint8_t *)data + size - HASH, HASH) != 0)
        return damaged(e);
    if (mode != (uint32_t)m->o.mode)
        return dv_fail(e, DMV_ERR_MISMATCH, "motion: the state is of mode \"%s\", not \"%s\"",
                       dv_motion_mode_name((dv_motion_mode)mode), dv_motion_mode_name(m->o.mode));
    dv_motion *fresh = NULL;
    dmv_status s = dv_motion_open(&m->o, m->k, &fresh, e);
    if (s)
        return s;
    memcpy(fresh->zones, m->zones, sizeof fresh->zones);
    fresh->n_zones = m->n_zones;
    if (!(s = read_head(fresh, &r, e)))
        s = read_parts(fresh, &r, e);
    if (s) {
        dv_motion_close(&fresh);
        return s;
    }
    dv_motion_forget(m);
    *m = *fresh;
    dv_free(fresh);
    return DMV_OK;
}
