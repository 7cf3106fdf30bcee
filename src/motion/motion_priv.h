/* SPDX-License-Identifier: Apache-2.0
 *
 * motion_priv.h - inside of the motion layer. motion.c has what all modes share and calls the mode;
 * everything that a mode learns lies in arrays of floats that it lists (dv_motion_part), so that
 * making, saving and restoring are the same for all. */
#ifndef DV_MOTION_PRIV_H
#define DV_MOTION_PRIV_H

#include "motion/motion.h"

#define DV_MOTION_ZONES 64
#define DV_MOTION_BOXES 1024
#define DV_MOTION_PARTS 20

typedef struct dv_thumb { /* how pictures become thumbnails */
    int w, h;             /* blocks */
    int bw, bh;           /* pixels of a block; the last ones may be smaller */
    int planes;           /* 1 or 3, one after the other */
    int every;            /* every so many rows are read */
    size_t n;             /* w * h */
} dv_thumb;

typedef struct dv_fit { /* picture = gain * reference + offset */
    float gain, offset;
} dv_fit;

typedef struct dv_part { /* an array of the mode */
    float **p;
    size_t n;
    bool kept; /* saved */
} dv_part;

struct dv_motion {
    dv_motion_options o;
    const dv_kernels *k;
    struct {
        float p[64][2];
        size_t n;
    } zones[DV_MOTION_ZONES];
    size_t n_zones;
    float tracked[DV_MOTION_BOXES][4]; /* x0, y0, x1, y1 in shares of the picture */
    size_t n_tracked;

    /* the picture, the features */
    int iw, ih;
    dmv_pixel_format format;
    int fw, fh, fc;
    float fill[2];
    bool looked; /* a frame waits for its features */

    /* time: of the caller, of the gate, of the last frame that went on */
    double clock, now, step, went;
    bool started;
    uint32_t frames, decided; /* so far: looks, decisions */
    bool holds;

    /* the map shown */
    int mw, mh;
    float across, down, threshold;
    float *map;
    uint8_t *off, *off_cells; /* of the map; of the features if these are another grid */

    /* what the mode learned: see the files of the modes */
    dv_thumb t;
    float *bg, *bg2;                 /* background: features, pixels; squared lengths */
    float *weight, *mean, *var;      /* mixture */
    float *ref, *ref2;               /* features of the last frame that went on */
    float *mu, *dev, *change, *away; /* a cell: usual distance from ref, and now; squared length */
    float *last, *mark, *base;       /* thumbnails to compare with, */
    float *level, *still, *known;    /* a block: noise, seconds, is there a background */
    float *body, *thumb, *score, *ground, *smooth; /* now; work */
    float *work;                                   /* a row of features */
    uint16_t *sums;
    float *guard;   /* a block: 1 = something is tracked there */
    int32_t *cells; /* a block: its cell */
    bool *busy;     /* a cell */
    double marked;  /* when `mark` was looked at last */
    bool force;
};

/* A mode. shape_look: arrays for a new size of picture; shape_features: of features. */
typedef struct dv_gate {
    const char *name;
    bool wants_feature;
    /* the arrays as far as sizes are known; returns how many */
    size_t (*parts)(dv_motion *m, dv_part *out);
    dmv_status (*look)(dv_motion *m, const dmv_image *img, dv_motion_verdict *v, dv_err *e);
    dv_motion_verdict (*decide)(dv_motion *m, const dv_value *f);
    float (*inside)(const dv_motion *m,
                    const float share[4]); /* motion of a box over its threshold;
                                              < 0: none of it counts */
} dv_gate;
extern const dv_gate dv_gate_none, dv_gate_pixel, dv_gate_mixture, dv_gate_amphibian,
    dv_gate_domovoi;

/* ---- motion.c ---- */
/* The middle of cell i of n lies where, as a share of the picture of which the grid shows `part`.
 */
static inline float dv_motion_middle(int i, int n, float part)
{
    return part > 0 ? ((float)i + 0.5f) / (float)n / part : 0;
}
/* Mean of a map in a box (x0, y0, x1, y1 in shares of the picture); < 0 if none of it counts. */
float dv_motion_mean(const float *map, const uint8_t *off, int w, int h, float across, float down,
                     const float share[4]);
bool dv_motion_in_zone(const dv_motion *m, float x, float y);
/* Marks cells that do not count. */
void dv_motion_mark(const dv_motion *m, int w, int h, float across, float down, uint8_t *off);
/* Row y of a feature map as floats: the tensor itself or m->work. */
const float *dv_motion_row(dv_motion *m, const dv_value *f, size_t cell, size_t cells);

/* Arrays for pictures and features of a size (fw 0 = not known yet). needed: bytes of what is kept,
 * without making anything; NULL = make it. */
dmv_status dv_motion_sizes(dv_motion *m, int iw, int ih, dmv_pixel_format format, int fw, int fh,
                           int fc, size_t *needed, dv_err *e);
size_t dv_motion_parts(dv_motion *m, dv_part *out);
/* What domovoi works out from the sizes and from what is tracked. */
void dv_motion_find_cells(dv_motion *m);
void dv_motion_guard(dv_motion *m);
void dv_motion_forget(dv_motion *m);

/* ---- thumb.c ---- */
/* About `target` blocks on the longer side. */
void dv_thumb_shape(dv_thumb *t, const dmv_image *img, int target);
/* Means of all channels but alpha; sums: width * channels numbers. */
void dv_thumb_make(const dv_thumb *t, const dmv_image *img, uint16_t *sums, float *out);
/* A robust fit; blocks where either is burnt out do not count. */
dv_fit dv_thumb_fit(const dv_thumb *t, const float *ref, const float *now);
/* squares: what the fit leaves, squared. out: that over (times * level + noise^2 + what a
 * change of light may leave), mean of 3x3 blocks. work: t->n numbers. */
void dv_thumb_score(const dv_thumb *t, const float *ref, const float *now, dv_fit fit,
                    const float *level, float times, float noise, float *squares, float *work,
                    float *out);

#endif
