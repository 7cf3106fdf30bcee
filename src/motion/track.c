/* SPDX-License-Identifier: Apache-2.0
 *
 * track.c - see track.h. A box is tracked as middle, aspect and height (SORT's choice); with noise
 * that does not mix them, the Kalman filter of eight numbers is four filters of two: a place and
 * its speed, driven by random accelerations, so that frames may come at any pace. */
#include "motion/track.h"

#include <math.h>
#include <string.h>

#define FAR 50.0 /* squared deviations of a box from its track */

typedef struct filter { /* place, speed and their covariance */
    double x, v, xx, xv, vv;
} filter;

enum { CX, CY, ASPECT, HEIGHT, PARTS };

typedef struct entry {
    dv_track k;
    filter f[PARTS];
    float first[2], anchor[2];
    int in_a_row;
    bool told; /* NEW was sent */
} entry;

struct dv_tracker {
    dv_track_options o;
    entry *entries;       /* max_tracks; alive ones are listed in `alive` */
    entry **alive, **out; /* out: ended by the last update */
    entry **spare;
    size_t n_alive, n_out, n_spare;
    const dv_track **list;
    dv_track_event *events; /* up to two a track */
    size_t n_events;
    dv_tracked *boxes;
    int32_t *number; /* of each kept box in the caller's array */
    size_t n_boxes;
    bool *taken;
    float *gain;
    int32_t *pair, *row, *col;
    void *work;
    uint64_t next;
    double now, clock;
    bool started;
};

void dv_track_options_init(dv_track_options *o)
{
    *o = (dv_track_options){.high = 0.5f,
                            .low = 0.1f,
                            .birth = 0.55f,
                            .overlap = 0.2f,
                            .overlap_low = 0.4f,
                            .overlap_new = 0.3f,
                            .margin = 0,
                            .confirm = 2,
                            .lost = 1.5,
                            .speed = 1,
                            .acceleration = 3,
                            .noise = 0.05f,
                            .shot_gain = 0.05f,
                            .max_boxes = 512,
                            .max_tracks = 256};
}

void dv_track_options_faces(dv_track_options *o)
{
    dv_track_options_init(o);
    o->margin = 0.5f;
    o->overlap_new = 0.2f;
    o->speed = 3;
    o->acceleration = 12;
}

static bool in(float v, float lo, float hi)
{
    return v >= lo && v <= hi;
}

static dmv_status check(const dv_track_options *o, dv_err *e)
{
    if (!in(o->high, 0, 1) || !in(o->low, 0, 1) || !in(o->birth, 0, 1))
        return dv_fail(e, DMV_ERR_ARGUMENT, "tracker: high, low and birth are scores, 0 to 1");
    if (!in(o->overlap, 1e-6f, 1) || !in(o->overlap_low, 1e-6f, 1) || !in(o->overlap_new, 1e-6f, 1))
        return dv_fail(e, DMV_ERR_ARGUMENT, "tracker: overlaps must be above 0, up to 1");
    if (!in(o->margin, 0, 4) || !in(o->speed, 0, 1000) || !in(o->acceleration, 0, 10000) ||
        !in(o->noise, 1e-6f, 10) || !in(o->shot_gain, 0, 1))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "tracker: margin must be 0 to 4, speed 0 to 1000, acceleration 0 to 10000, "
                       "noise above 0, shot_gain 0 to 1");
    if (o->confirm < 1 || o->confirm > 1000 || !(o->lost >= 0 && o->lost <= 86400))
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "tracker: confirm must be 1 to 1000, lost 0 to 86400 seconds");
    if (o->max_boxes < 1 || o->max_boxes > 4096 || o->max_tracks < 1 || o->max_tracks > 1024)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "tracker: max_boxes must be 1 to 4096, max_tracks 1 to 1024");
    return DMV_OK;
}

dmv_status dv_tracker_open(const dv_track_options *o, dv_tracker **out, dv_err *e)
{
    dv_track_options usual;
    dv_track_options_init(&usual);
    *out = NULL;
    o = o ? o : &usual;
    dmv_status s = check(o, e);
    if (s)
        return s;
    dv_tracker *t = dv_calloc(1, sizeof *t);
    if (!t)
        return dv_nomem(e);
    const size_t k = (size_t)o->max_tracks, b = (size_t)o->max_boxes;
    t->o = *o;
    t->next = 1;
    t->entries = dv_calloc(k, sizeof *t->entries);
    t->alive = dv_calloc(k, sizeof *t->alive);
    t->out = dv_calloc(k, sizeof *t->out);
    t->spare = dv_calloc(k, sizeof *t->spare);
    t->list = dv_calloc(k, sizeof *t->list);
    t->events = dv_calloc(2 * k, sizeof *t->events);
    t->boxes = dv_calloc(b, sizeof *t->boxes);
    t->number = dv_calloc(b, sizeof *t->number);
    t->taken = dv_calloc(b, sizeof *t->taken);
    t->gain = dv_calloc(k * b, sizeof *t->gain);
    t->pair = dv_calloc(k, sizeof *t->pair);
    t->row = dv_calloc(k, sizeof *t->row);
    t->col = dv_calloc(b, sizeof *t->col);
    t->work = dv_malloc(dv_assign_work(k, b));
    if (!t->entries || !t->alive || !t->out || !t->spare || !t->list || !t->events || !t->boxes ||
        !t->number || !t->taken || !t->gain || !t->pair || !t->row || !t->col || !t->work) {
        dv_tracker_close(&t);
        return dv_nomem(e);
    }
    for (size_t i = k; i-- > 0;)
        t->spare[t->n_spare++] = &t->entries[i];
    *out = t;
    return DMV_OK;
}

void dv_tracker_close(dv_tracker **pt)
{
    dv_tracker *t = *pt;
    if (!t)
        return;
    dv_free(t->entries);
    dv_free(t->alive);
    dv_free(t->out);
    dv_free(t->spare);
    dv_free(t->list);
    dv_free(t->events);
    dv_free(t->boxes);
    dv_free(t->number);
    dv_free(t->taken);
    dv_free(t->gain);
    dv_free(t->pair);
    dv_free(t->row);
    dv_free(t->col);
    dv_free(t->work);
    dv_free(t);
    *pt = NULL;
}

/* ---- the filter ---- */

static void predict(filter *f, double dt, double acceleration)
{
    const double q = acceleration * acceleration, d2 = dt * dt;
    f->x += f->v * dt;
    f->xx += 2 * dt * f->xv + d2 * f->vv + q * d2 * d2 / 4;
    f->xv += dt * f->vv + q * d2 * dt / 2;
    f->vv += q * d2;
}

static void correct(filter *f, double z, double noise)
{
    const double s = f->xx + noise * noise, a = f->xx / s, b = f->xv / s, r = z - f->x;
    f->x += a * r;
    f->v += b * r;
    f->vv -= b * f->xv;
    f->xv -= a * f->xv;
    f->xx -= a * f->xx;
}

static void measure(const float box[4], double z[PARTS])
{
    z[CX] = (double)box[0] + 0.5 * box[2];
    z[CY] = (double)box[1] + 0.5 * box[3];
    z[ASPECT] = (double)box[2] / box[3];
    z[HEIGHT] = box[3];
}

static void place(entry *t)
{
    const double h = fmax(t->f[HEIGHT].x, 1e-3), w = fmax(t->f[ASPECT].x, 1e-3) * h;
    t->k.box[0] = (float)(t->f[CX].x - 0.5 * w);
    t->k.box[1] = (float)(t->f[CY].x - 0.5 * h);
    t->k.box[2] = (float)w;
    t->k.box[3] = (float)h;
}

static void forward(dv_tracker *t, entry *k, double dt)
{
    const double h = fmax(k->f[HEIGHT].x, 1e-3), a = t->o.acceleration * h;
    if (k->k.state == DV_TRACK_LOST) /* nobody keeps growing out of sight */
        k->f[HEIGHT].v = k->f[ASPECT].v = 0;
    predict(&k->f[CX], dt, a);
    predict(&k->f[CY], dt, a);
    predict(&k->f[HEIGHT], dt, 0.2 * a);
    predict(&k->f[ASPECT], dt, 0.1 * t->o.acceleration);
    k->f[HEIGHT].x = fmax(k->f[HEIGHT].x, 1e-3);
    place(k);
}

static void see(dv_tracker *t, entry *k, size_t box)
{
    double z[PARTS];
    const dv_tracked *b = &t->boxes[box];
    measure(b->box, z);
    /* poor scores mean poor boxes */
    const double noise = t->o.noise * (b->score < t->o.high ? 2 : 1), h = z[HEIGHT];
    correct(&k->f[CX], z[CX], noise * h);
    correct(&k->f[CY], z[CY], noise * h);
    correct(&k->f[HEIGHT], h, noise * h);
    correct(&k->f[ASPECT], z[ASPECT], fmax(2 * noise * z[ASPECT], 1e-3));
    place(k);
    t->taken[box] = true;
    k->k.detection = t->number[box];
    k->k.score = b->score;
    k->k.boxes++;
    k->k.seen = t->now;
    k->in_a_row++;
    if (k->k.state == DV_TRACK_LOST)
        k->k.state = DV_TRACK_SEEN;
    const float x = (float)k->f[CX].x, y = (float)k->f[CY].x, high = fmaxf(k->k.box[3], 1e-3f);
    k->k.moved = fmaxf(k->k.moved, hypotf(x - k->first[0], y - k->first[1]) / high);
    if (hypotf(x - k->anchor[0], y - k->anchor[1]) > 0.1f * high) {
        k->anchor[0] = x;
        k->anchor[1] = y;
        k->k.stopped = t->now;
    }
}

static void begin(dv_tracker *t, size_t box)
{
    if (t->n_spare == 0)
        return;
    entry *k = t->spare[--t->n_spare];
    double z[PARTS];
    memset(k, 0, sizeof *k);
    measure(t->boxes[box].box, z);
    const double h = z[HEIGHT], r = t->o.noise * h, v = t->o.speed * h;
    k->f[CX] = (filter){z[CX], 0, r * r, 0, v * v};
    k->f[CY] = (filter){z[CY], 0, r * r, 0, v * v};
    k->f[HEIGHT] = (filter){h, 0, r * r, 0, 0.04 * v * v};
    k->f[ASPECT] = (filter){z[ASPECT], 0, 4 * t->o.noise * t->o.noise * z[ASPECT] * z[ASPECT], 0,
                            0.01 * t->o.speed * t->o.speed};
    k->k = (dv_track){.id = t->next++,
                      .state = DV_TRACK_YOUNG,
                      .score = t->boxes[box].score,
                      .detection = t->number[box],
                      .boxes = 1,
                      .born = t->now,
                      .seen = t->now,
                      .now = t->now,
                      .stopped = t->now,
                      .best = -1};
    k->in_a_row = 1;
    k->first[0] = k->anchor[0] = (float)z[CX];
    k->first[1] = k->anchor[1] = (float)z[CY];
    place(k);
    t->alive[t->n_alive++] = k;
}

/* ---- boxes of a frame: the best, as a heap with the lowest score on top ---- */

static void sink(dv_tracker *t, size_t i)
{
    for (;;) {
        size_t low = i;
        for (size_t c = 2 * i + 1; c < 2 * i + 3 && c < t->n_boxes; c++)
            if (t->boxes[c].score < t->boxes[low].score)
                low = c;
        if (low == i)
            return;
        const dv_tracked b = t->boxes[i];
        const int32_t n = t->number[i];
        t->boxes[i] = t->boxes[low];
        t->number[i] = t->number[low];
        t->boxes[low] = b;
        t->number[low] = n;
        i = low;
    }
}

static bool usable(const dv_tracker *t, const dv_tracked *b)
{
    const float *v = b->box;
    return b->score >= t->o.low && b->score <= 1e6f && fabsf(v[0]) < 1e7f && fabsf(v[1]) < 1e7f &&
           v[2] > 0 && v[3] > 0 && v[2] < 1e7f && v[3] < 1e7f && v[2] / v[3] < 1e4f &&
           v[3] / v[2] < 1e4f;
}

static void gather(dv_tracker *t, const dv_tracked *boxes, size_t n)
{
    const size_t most = (size_t)t->o.max_boxes;
    t->n_boxes = 0;
    for (size_t i = 0; i < n && i < INT32_MAX; i++) {
        if (!usable(t, &boxes[i]))
            continue;
        if (t->n_boxes < most) {
            t->boxes[t->n_boxes] = boxes[i];
            t->number[t->n_boxes++] = (int32_t)i;
            for (size_t k = most / 2; t->n_boxes == most && k-- > 0;)
                sink(t, k);
        } else if (boxes[i].score > t->boxes[0].score) {
            t->boxes[0] = boxes[i];
            t->number[0] = (int32_t)i;
            sink(t, 0);
        }
    }
    memset(t->taken, 0, t->n_boxes * sizeof *t->taken);
}

/* ---- matching ---- */

static float overlap(const float a[4], const float b[4], float margin)
{
    const float aw = a[2] * (1 + margin), ah = a[3] * (1 + margin), bw = b[2] * (1 + margin),
                bh = b[3] * (1 + margin);
    const float dx = fabsf(a[0] + a[2] / 2 - b[0] - b[2] / 2),
                dy = fabsf(a[1] + a[3] / 2 - b[1] - b[3] / 2);
    const float w = fminf(fminf(aw, bw), (aw + bw) / 2 - dx),
                h = fminf(fminf(ah, bh), (ah + bh) / 2 - dy);
    return w > 0 && h > 0 ? w * h / (aw * ah + bw * bh - w * h) : 0;
}

/* Is the middle of the box so far from where it was expected that it is somebody else's, however
 * much they overlap? */
static bool beyond(const dv_tracker *t, const entry *k, const float box[4])
{
    double z[PARTS];
    measure(box, z);
    const double r = t->o.noise * k->k.box[3], dx = z[CX] - k->f[CX].x, dy = z[CY] - k->f[CY].x;
    return dx * dx / (k->f[CX].xx + r * r) + dy * dy / (k->f[CY].xx + r * r) > FAR;
}

/* Tracks in one of the states (a mask) that have no box yet, and boxes with scores in [lo, hi). */
static void match(dv_tracker *t, unsigned states, float lo, float hi, float least)
{
    size_t rows = 0, cols = 0;
    for (size_t i = 0; i < t->n_alive; i++)
        if (states >> t->alive[i]->k.state & 1 && t->alive[i]->k.detection < 0)
            t->row[rows++] = (int32_t)i;
    for (size_t j = 0; j < t->n_boxes; j++)
        if (!t->taken[j] && t->boxes[j].score >= lo && t->boxes[j].score < hi)
            t->col[cols++] = (int32_t)j;
    if (!rows || !cols)
        return;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            const float o =
                overlap(t->alive[t->row[i]]->k.box, t->boxes[t->col[j]].box, t->o.margin);
            const bool far = o >= least && beyond(t, t->alive[t->row[i]], t->boxes[t->col[j]].box);
            t->gain[i * cols + j] = o >= least && !far ? o : 0;
        }
    dv_assign(rows, cols, t->gain, t->work, t->pair);
    for (size_t i = 0; i < rows; i++)
        if (t->pair[i] >= 0)
            see(t, t->alive[t->row[i]], (size_t)t->col[t->pair[i]]);
}

static void tell(dv_tracker *t, int kind, const entry *k)
{
    t->events[t->n_events++] = (dv_track_event){kind, &k->k};
}

/* Ends what has been out of sight for too long. */
static void bury(dv_tracker *t, double limit)
{
    size_t left = 0;
    for (size_t i = 0; i < t->n_alive; i++) {
        entry *k = t->alive[i];
        const bool over =
            k->k.detection < 0 && (k->k.state == DV_TRACK_YOUNG || t->now - k->k.seen > limit);
        if (!over) {
            t->alive[left++] = k;
            continue;
        }
        k->k.state = DV_TRACK_ENDED;
        if (k->told)
            tell(t, DV_TRACK_END, k);
        t->out[t->n_out++] = k;
    }
    t->n_alive = left;
}

static void recycle(dv_tracker *t)
{
    while (t->n_out)
        t->spare[t->n_spare++] = t->out[--t->n_out];
    t->n_events = 0;
}

void dv_tracker_update(dv_tracker *t, const dv_tracked *boxes, size_t n, double time)
{
    recycle(t);
    const double dt = t->started && time > t->clock ? time - t->clock : 0;
    if (isfinite(time)) {
        t->clock = time;
        t->started = true;
    }
    t->now += dt;
    gather(t, boxes, n);
    for (size_t i = 0; i < t->n_alive; i++) {
        entry *k = t->alive[i];
        k->k.now = t->now;
        k->k.detection = -1;
        forward(t, k, DV_MIN(dt, t->o.lost + 1));
    }
    const unsigned seen = 1u << DV_TRACK_SEEN, lost = 1u << DV_TRACK_LOST;
    match(t, seen | lost, t->o.high, INFINITY, t->o.overlap);
    match(t, seen, t->o.low, t->o.high, t->o.overlap_low);
    match(t, 1u << DV_TRACK_YOUNG, t->o.high, INFINITY, t->o.overlap_new);
    bury(t, t->o.lost);
    for (size_t i = 0; i < t->n_alive; i++) {
        entry *k = t->alive[i];
        if (k->k.detection < 0) {
            k->k.state = DV_TRACK_LOST;
            k->in_a_row = 0;
        }
    }
    for (size_t j = 0; j < t->n_boxes; j++)
        if (!t->taken[j] && t->boxes[j].score >= DV_MAX(t->o.birth, t->o.high))
            begin(t, j);
    for (size_t i = 0; i < t->n_alive; i++) {
        entry *k = t->alive[i];
        if (k->k.state == DV_TRACK_YOUNG && k->in_a_row >= t->o.confirm) {
            k->k.state = DV_TRACK_SEEN;
            k->told = true;
            tell(t, DV_TRACK_NEW, k);
        } else if (k->told && k->k.detection >= 0) {
            tell(t, DV_TRACK_UPDATE, k);
        }
    }
}

void dv_tracker_finish(dv_tracker *t)
{
    recycle(t);
    for (size_t i = 0; i < t->n_alive; i++)
        t->alive[i]->k.detection = -1;
    bury(t, -1);
}

size_t dv_tracker_events(const dv_tracker *t, const dv_track_event **events)
{
    *events = t->events;
    return t->n_events;
}

size_t dv_tracker_tracks(const dv_tracker *t, const dv_track *const **tracks)
{
    for (size_t i = 0; i < t->n_alive; i++)
        t->list[i] = &t->alive[i]->k;
    *tracks = t->list;
    return t->n_alive;
}

dv_track *dv_tracker_find(dv_tracker *t, uint64_t id)
{
    for (size_t i = 0; i < t->n_alive; i++)
        if (t->alive[i]->k.id == id)
            return &t->alive[i]->k;
    return NULL;
}

/* ---- shots and votes ---- */

bool dv_tracker_shot(dv_tracker *t, uint64_t id, float quality)
{
    dv_track *k = dv_tracker_find(t, id);
    if (!k || !(quality >= 0) || (k->best >= 0 && !(quality > k->best + t->o.shot_gain)))
        return false;
    k->best = quality;
    k->best_time = t->now;
    for (int i = 0; i < 4; i++)
        k->best_box[i] = k->box[i];
    return true;
}

void dv_tracker_vote(dv_tracker *t, uint64_t id, uint64_t subject, double weight)
{
    dv_track *k = dv_tracker_find(t, id);
    if (!k || !(weight > 0 && weight < 1e9))
        return;
    for (uint32_t i = 0; i < k->n_votes; i++)
        if (k->votes[i].subject == subject) {
            k->votes[i].weight += weight;
            k->votes[i].count++;
            return;
        }
    if (k->n_votes < DV_TRACK_VOTES) {
        k->votes[k->n_votes++] = (dv_vote){subject, weight, 1};
        return;
    }
    /* Misra and Gries: what is new weighs against all that is there */
    double least = weight;
    uint32_t left = 0;
    for (uint32_t i = 0; i < k->n_votes; i++)
        least = fmin(least, k->votes[i].weight);
    for (uint32_t i = 0; i < k->n_votes; i++) {
        k->votes[i].weight -= least;
        if (k->votes[i].weight > 0)
            k->votes[left++] = k->votes[i];
    }
    k->n_votes = left;
    if (weight > least && left < DV_TRACK_VOTES)
        k->votes[k->n_votes++] = (dv_vote){subject, weight - least, 1};
}

bool dv_track_identity(const dv_track *k, uint64_t *subject, double *share)
{
    double sum = 0;
    uint32_t best = 0;
    for (uint32_t i = 0; i < k->n_votes; i++) {
        sum += k->votes[i].weight;
        if (k->votes[i].weight > k->votes[best].weight)
            best = i;
    }
    if (!(sum > 0))
        return false;
    *subject = k->votes[best].subject;
    *share = k->votes[best].weight / sum;
    return true;
}
