/* SPDX-License-Identifier: Apache-2.0
 *
 * track.h - from boxes of single frames to tracks of things.
 *
 * After ByteTrack (Zhang et al., 2022): a Kalman filter predicts each track's box, boxes with good
 * scores are matched to tracks by their overlap, then boxes with poor scores to the tracks that are
 * left, so that somebody half hidden keeps his track. A track that finds no box is lost for a while
 * and may be found again. Matching takes the set of pairs with the largest sum of overlaps.
 *
 *     dv_tracker_open(NULL, &t, &e);
 *     for every frame:
 *         dv_tracker_update(t, boxes, n, seconds, &e);
 *         for (i = 0; i < dv_tracker_events(t, &events); i++) ...
 *         for tracks seen: if (dv_tracker_shot(t, id, quality)) recognise, dv_tracker_vote(...)
 *
 * All memory is taken when the tracker is opened. One thread at a time.
 */
#ifndef DV_TRACK_H
#define DV_TRACK_H

#include "base/base.h"

typedef struct dv_track_options {
    float high;  /* score of the first pass; 0.5 */
    float low;   /* of the second; below it a box is not looked at; 0.1 */
    float birth; /* a new track needs as much; 0.55 */
    float overlap, overlap_low, overlap_new; /* least IoU of the first pass, of the second, and of a
                                                track that is not confirmed; 0.2, 0.4, 0.3 */
    float margin;                            /* boxes grow by this share of their sides before they
                                                are compared: for what moves far in a frame; 0 */
    int confirm;                             /* boxes in a row until a track is told of; 2 */
    double lost;                             /* seconds without a box until a track ends; 1.5 */
    float speed;                             /* heights a second: spread of what comes in; 1 */
    float acceleration;                      /* heights a second squared; 3 */
    float noise;                             /* of the boxes, in heights; 0.05 */
    float shot_gain; /* so much better must a shot be to take the place of the best; 0.05 */
    int max_boxes;   /* of a frame, the best by score; 512 (1..4096) */
    int max_tracks;  /* 256 (1..1024) */
} dv_track_options;
/* For whole people. Faces move more of their own height: _faces. */
void dv_track_options_init(dv_track_options *o);
void dv_track_options_faces(dv_track_options *o);

typedef struct dv_tracked {
    float box[4]; /* x, y, width, height */
    float score;
} dv_tracked;

enum { DV_TRACK_YOUNG, DV_TRACK_SEEN, DV_TRACK_LOST, DV_TRACK_ENDED };

#define DV_TRACK_VOTES 8
typedef struct dv_vote {
    uint64_t subject; /* 0 = nobody known */
    double weight;
    uint32_t count;
} dv_vote;

typedef struct dv_track {
    uint64_t id; /* from 1 on, never used again */
    int state;
    float box[4];           /* where it is now, as far as is known */
    float score;            /* of the last box */
    int detection;          /* number of its box in the last update, -1 = none */
    uint32_t boxes;         /* so far */
    double born, seen, now; /* seconds of the tracker's clock: first box, last box, last update */
    float moved;            /* farthest from where it was first, in heights */
    double stopped;         /* since when it has stayed within a tenth of its height */
    float best;             /* quality of the best shot, < 0 = none yet */
    double best_time;       /* and when that was */
    float best_box[4];
    uint32_t n_votes;
    dv_vote votes[DV_TRACK_VOTES];
    int64_t user; /* the caller's, 0 at first */
} dv_track;

enum { DV_TRACK_NEW, DV_TRACK_UPDATE, DV_TRACK_END };
typedef struct dv_track_event {
    int kind;
    const dv_track *track; /* until the next update */
} dv_track_event;

typedef struct dv_tracker dv_tracker;

/* o may be NULL. */
dmv_status dv_tracker_open(const dv_track_options *o, dv_tracker **out, dv_err *e);
void dv_tracker_close(dv_tracker **t);
/* All boxes of a frame, any number; of more than max_boxes those with the highest scores count.
 * Boxes that are no boxes (not finite, no area) are left out. time: seconds; a clock that goes back
 * stands still for this frame. A jump forward ends tracks as any pause does. */
void dv_tracker_update(dv_tracker *t, const dv_tracked *boxes, size_t n, double time);
/* Of the last update: ends first, then news and updates by id. */
size_t dv_tracker_events(const dv_tracker *t, const dv_track_event **events);
/* Those alive (young ones too), by id. */
size_t dv_tracker_tracks(const dv_tracker *t, const dv_track *const **tracks);
/* Ends all tracks; their END events are there until the next update. */
void dv_tracker_finish(dv_tracker *t);

/* A picture of a track was judged: true if it is the best so far and worth being recognised. */
bool dv_tracker_shot(dv_tracker *t, uint64_t id, float quality);
/* Recognition said `subject` (0 = nobody known) with this weight > 0. Of more than DV_TRACK_VOTES
 * subjects the weakest lose weight and go. */
void dv_tracker_vote(dv_tracker *t, uint64_t id, uint64_t subject, double weight);
/* Who most votes are for, and their share of all; false without votes. */
bool dv_track_identity(const dv_track *k, uint64_t *subject, double *share);
/* For the caller's number; NULL if there is no such track. */
dv_track *dv_tracker_find(dv_tracker *t, uint64_t id);

/* Matching on its own: rows x cols gains, each 0 (no pair) or more; pair[r] = column or -1, so that
 * the sum of gains is as large as can be. work: dv_assign_work(rows, cols) bytes. */
size_t dv_assign_work(size_t rows, size_t cols);
void dv_assign(size_t rows, size_t cols, const float *gain, void *work, int32_t *pair);

#endif
