/* SPDX-License-Identifier: Apache-2.0
 *
 * source.c - a video as its user sees it. One thread reads and decodes into a ring of decoded
 * frames; they become RGB only when they are asked for, so that a dropped frame costs no more
 * than its decoding. The thread also connects anew, with waits that double until a frame comes.
 */
#include "video/clock.h"
#include "video/video_priv.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define QUEUE 64
#define LOOK_EVERY 50000000 /* ns; how soon a stop is noticed */
#define STACK (2u << 20)

typedef struct item {
    AVFrame *frame;     /* or, of a folder, */
    dv_picture picture; /* one of the two is there */
    double time;
    uint64_t number;
    bool broken, damaged;
    int rotation;
} item;

struct dv_video {
    dv_spec spec;
    dv_video_options o;
    char transport[8], format[48]; /* what o points to */
    dv_guard guard;
    pthread_t thread;
    bool has_thread, has_lock;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    item ring[QUEUE];
    int first, count;
    bool finished;
    dv_err end;            /* code DMV_OK: an ordinary end */
    dv_video_stats shared; /* a copy of st */
    uint64_t delivered, resizes, unshown;
    double convert_ms;
    dv_video_facts facts;

    /* Of the reading thread: */
    dv_link link;
    dv_paths pictures;
    dv_video_stats st;
    dv_clock clock;
    dv_lag lag;
    double due, behind, wait;
    uint64_t number, frame_at;
    int tries; /* since the last frame */
    bool broken;

    /* Of the caller's thread: */
    dv_to_rgb rgb;
    item now;
    int width, height; /* of the last frame, 0 = none yet */
};

static void item_free(item *i)
{
    if (i->frame)
        av.av_frame_free(&i->frame);
    dv_picture_free(&i->picture);
    *i = (item){0};
}

static bool stopped(dv_video *v)
{
    return atomic_load(&v->guard.stop);
}

/* Waits for a change or a while; the lock is held. */
static void wait_a_while(dv_video *v)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += LOOK_EVERY;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&v->changed, &v->lock, &t);
}

/* ---- the reading thread ---- */

static void publish(dv_video *v)
{
    pthread_mutex_lock(&v->lock);
    v->shared = v->st;
    pthread_mutex_unlock(&v->lock);
}

static void finish(dv_video *v, const dv_err *why)
{
    pthread_mutex_lock(&v->lock);
    if (why)
        v->end = *why;
    v->shared = v->st;
    v->finished = true;
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->lock);
}

/* Takes the item over. Live: the oldest gives way. */
static void push(dv_video *v, item *it, bool live)
{
    item old = {0};
    pthread_mutex_lock(&v->lock);
    while (!live && v->count == v->o.queue && !stopped(v))
        wait_a_while(v);
    if (stopped(v)) {
        old = *it;
    } else {
        if (v->count == v->o.queue) {
            old = v->ring[v->first];
            v->first = (v->first + 1) % QUEUE;
            v->count--;
            v->st.dropped++;
            item *next = v->count ? &v->ring[v->first] : it;
            next->broken |= old.broken;
        }
        v->ring[(v->first + v->count++) % QUEUE] = *it;
        pthread_cond_broadcast(&v->changed);
    }
    v->shared = v->st;
    pthread_mutex_unlock(&v->lock);
    *it = (item){0};
    item_free(&old);
}

static bool take_frame(dv_video *v, dv_err *e)
{
    dv_link *l = &v->link;
    AVFrame *f = l->frame;
    uint64_t now = dv_now_ns();
    double elapsed = l->live && v->frame_at ? (double)(now - v->frame_at) * 1e-9 : NAN;
    bool jumped;
    item it = {.number = v->number++, .rotation = l->rotation};
    it.time = dv_clock_next(&v->clock, dv_link_stamp(l, f), l->nominal, elapsed, &jumped);
    it.damaged = (f->flags & AV_FRAME_FLAG_CORRUPT) || f->decode_error_flags;
    v->frame_at = now;
    v->tries = 0;
    v->wait = v->o.first_wait;
    v->st.jumps = v->clock.jumps;
    v->st.corrupt += it.damaged;
    v->broken |= jumped;
    if (jumped)
        v->lag = (dv_lag){0};
    v->behind = l->live ? dv_lag_update(&v->lag, (double)now * 1e-9, it.time) : 0;
    if (!dv_pace_take(&v->due, it.time, v->o.max_fps)) {
        v->st.skipped++;
        av.av_frame_unref(f);
        return true;
    }
    it.broken = v->broken;
    v->broken = false;
    it.frame = f;
    l->frame = av.av_frame_alloc();
    push(v, &it, l->live);
    if (!l->frame)
        dv_nomem(e);
    return l->frame != NULL;
}

static bool may_connect_again(const dv_video *v, bool live)
{
    return live && v->o.reconnects != 0 &&
           (v->spec.kind == DV_VIDEO_STREAM || v->spec.kind == DV_VIDEO_CAMERA ||
            (v->spec.kind == DV_VIDEO_PIPE && v->spec.named));
}

static bool sleep_unless_stopped(dv_video *v, double seconds)
{
    uint64_t end = dv_now_ns() + (uint64_t)(seconds * 1e9);
    pthread_mutex_lock(&v->lock);
    while (!stopped(v) && dv_now_ns() < end)
        wait_a_while(v);
    pthread_mutex_unlock(&v->lock);
    return !stopped(v);
}

/* False: stopped, or given up, and then *e says why. */
static bool connect_again(dv_video *v, bool first, dv_err *e)
{
    dv_link_close(&v->link);
    publish(v);
    for (;;) {
        if (v->o.reconnects >= 0 && v->tries >= v->o.reconnects) {
            char last[700];
            snprintf(last, sizeof last, "%.600s", e->msg);
            dv_fail(e, e->code, "%s; given up after %d tries", last, v->tries);
            return false;
        }
        if (!sleep_unless_stopped(v, v->wait))
            return false;
        v->wait = fmin(v->wait * 2, v->o.longest_wait);
        v->tries++;
        dmv_status s = dv_link_open(&v->link, &v->spec, &v->o, &v->guard, true, e);
        if (stopped(v))
            return false;
        if (!s)
            break;
    }
    v->st.reconnects += !first;
    dv_clock_break(&v->clock);
    v->lag = (dv_lag){0};
    v->behind = 0;
    v->broken = !first;
    pthread_mutex_lock(&v->lock);
    dv_facts_of_link(&v->link, &v->spec, &v->facts);
    v->shared = v->st;
    pthread_mutex_unlock(&v->lock);
    return true;
}

static void run_link(dv_video *v)
{
    dv_err e = {0};
    if (!v->link.fc && !connect_again(v, true, &e))
        return finish(v, stopped(v) ? NULL : &e);
    while (!stopped(v)) {
        bool live = v->link.live;
        dv_err why = {0};
        dv_link_event got =
            dv_link_step(&v->link, &v->spec, &v->o, &v->guard, v->behind, &v->st, &why);
        if (got == DV_LINK_FRAME && !take_frame(v, &why))
            return finish(v, &why);
        if (got != DV_LINK_END && got != DV_LINK_LOST)
            continue;
        if (stopped(v))
            break;
        if (got == DV_LINK_END)
            dv_fail(&why, DMV_ERR_IO, "%s: the stream ended", v->spec.shown);
        if (may_connect_again(v, live)) {
            if (!connect_again(v, false, &why))
                return finish(v, stopped(v) ? NULL : &why);
        } else if (got == DV_LINK_LOST) {
            return finish(v, &why);
        } else {
            if (v->st.decoded == 0)
                dv_fail(&why, DMV_ERR_FORMAT,
                        "%s: no picture could be decoded (%llu packets, %llu of them damaged); "
                        "copy or record it again",
                        v->spec.shown, (unsigned long long)v->st.packets,
                        (unsigned long long)v->st.corrupt);
            return finish(v, v->st.decoded ? NULL : &why);
        }
    }
    finish(v, NULL);
}

static void run_folder(dv_video *v)
{
    double rate = v->o.rate > 0 ? v->o.rate : 25;
    for (size_t i = 0; i < v->pictures.n && !stopped(v); i++) {
        item it = {.number = v->number++, .time = (double)i / rate};
        dv_err e = {0};
        if (!dv_pace_take(&v->due, it.time, v->o.max_fps)) {
            v->st.skipped++;
            continue;
        }
        uint64_t begin = dv_now_ns();
        dmv_status s = dv_image_load(v->pictures.v[i], &it.picture, &e);
        v->st.decode_ms += (double)(dv_now_ns() - begin) * 1e-6;
        v->st.packets++;
        if (s == DMV_ERR_MEMORY)
            return finish(v, &e);
        if (s) {
            v->st.corrupt++;
            v->broken = true;
            continue;
        }
        v->st.decoded++;
        it.broken = v->broken;
        v->broken = false;
        push(v, &it, false);
    }
    finish(v, NULL);
}

static void *reader(void *user)
{
    dv_video *v = user;
    if (v->spec.kind == DV_VIDEO_FOLDER)
        run_folder(v);
    else
        run_link(v);
    return NULL;
}

/* ---- the caller's side ---- */

static dmv_status start(dv_video *v, dv_err *e)
{
    pthread_condattr_t ca;
    pthread_attr_t ta;
    sigset_t all, before;
    if (pthread_condattr_init(&ca) != 0)
        return dv_nomem(e);
    pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
    bool ok = pthread_mutex_init(&v->lock, NULL) == 0;
    if (ok && pthread_cond_init(&v->changed, &ca) != 0) {
        pthread_mutex_destroy(&v->lock);
        ok = false;
    }
    pthread_condattr_destroy(&ca);
    if (!ok)
        return dv_nomem(e);
    v->has_lock = true;
    if (pthread_attr_init(&ta) != 0)
        return dv_nomem(e);
    pthread_attr_setstacksize(&ta, STACK);
    /* Signals are for the threads of the program. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    v->has_thread = pthread_create(&v->thread, &ta, reader, v) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&ta);
    return v->has_thread ? DMV_OK
                         : dv_fail(e, DMV_ERR_MEMORY,
                                   "no thread can be started for %s; close "
                                   "other programs",
                                   v->spec.shown);
}

static void copy_options(dv_video *v, const dv_video_options *o)
{
    v->o = *o;
    if (o->transport) {
        snprintf(v->transport, sizeof v->transport, "%s", o->transport);
        v->o.transport = v->transport;
    }
    if (o->format) {
        snprintf(v->format, sizeof v->format, "%s", o->format);
        v->o.format = v->format;
    }
    v->wait = o->first_wait;
}

/* Everything but the thread. */
static dmv_status prepare(dv_video *v, const char *source, const dv_video_options *o, dv_err *e)
{
    dmv_status s = dv_video_options_check(o, e);
    if (!s)
        s = dv_libav_load(e);
    if (s)
        return s;
    copy_options(v, o);
    s = dv_spec_parse(source, &v->o, &v->spec, e);
    if (s)
        return s;
    if (v->spec.kind == DV_VIDEO_FOLDER) {
        s = dv_folder_list(v->spec.address, v->spec.shown, &v->pictures, e);
        return s ? s : dv_facts_of_folder(&v->pictures, &v->o, &v->facts, e);
    }
    if (v->o.patient && may_connect_again(v, v->spec.live)) {
        v->facts =
            (dv_video_facts){.kind = v->spec.kind, .live = true, .duration = NAN, .video = -1};
        return DMV_OK;
    }
    s = dv_link_open(&v->link, &v->spec, &v->o, &v->guard, true, e);
    if (!s)
        dv_facts_of_link(&v->link, &v->spec, &v->facts);
    return s;
}

dmv_status dv_video_open(const char *source, const dv_video_options *o, dv_video **out, dv_err *e)
{
    dv_video_options defaults;
    *out = NULL;
    dv_video_options_init(&defaults);
    dv_video *v = dv_calloc(1, sizeof *v);
    if (!v)
        return dv_nomem(e);
    v->link = (dv_link){.stream = -1, .in.fd = -1};
    dmv_status s = prepare(v, source, o ? o : &defaults, e);
    if (!s)
        s = start(v, e);
    if (s)
        dv_video_close(&v);
    *out = v;
    return s;
}

void dv_video_stop(dv_video *v)
{
    atomic_store(&v->guard.stop, true);
}

void dv_video_close(dv_video **pv)
{
    dv_video *v = *pv;
    *pv = NULL;
    if (!v)
        return;
    dv_video_stop(v);
    if (v->has_thread)
        pthread_join(v->thread, NULL);
    if (v->has_lock) {
        pthread_cond_destroy(&v->changed);
        pthread_mutex_destroy(&v->lock);
    }
    for (int i = 0; i < v->count; i++)
        item_free(&v->ring[(v->first + i) % QUEUE]);
    item_free(&v->now);
    dv_to_rgb_close(&v->rgb);
    dv_link_close(&v->link);
    dv_paths_free(&v->pictures);
    dv_spec_free(&v->spec);
    dv_free(v);
}

/* The next item into v->now; false at the end. */
static bool pop(dv_video *v, dv_err *end)
{
    item_free(&v->now);
    pthread_mutex_lock(&v->lock);
    while (v->count == 0 && !v->finished && !stopped(v))
        wait_a_while(v);
    bool got = v->count > 0 && !stopped(v);
    if (got) {
        v->now = v->ring[v->first];
        v->first = (v->first + 1) % QUEUE;
        v->count--;
        pthread_cond_broadcast(&v->changed);
    } else {
        *end = stopped(v) ? (dv_err){0} : v->end;
    }
    pthread_mutex_unlock(&v->lock);
    return got;
}

static dmv_status show(dv_video *v, dv_video_frame *f, dv_err *e)
{
    if (!v->now.frame) {
        f->image = dv_picture_view(&v->now.picture);
        return DMV_OK;
    }
    uint64_t begin = dv_now_ns();
    dmv_status s = dv_to_rgb_convert(&v->rgb, v->now.frame, v->now.rotation, &f->image, e);
    double ms = (double)(dv_now_ns() - begin) * 1e-6;
    pthread_mutex_lock(&v->lock);
    v->convert_ms += ms;
    v->unshown += s != DMV_OK;
    pthread_mutex_unlock(&v->lock);
    return s;
}

dmv_status dv_video_next(dv_video *v, dv_video_frame *f, dv_err *e)
{
    dv_err end = {0};
    *f = (dv_video_frame){0};
    do {
        if (!pop(v, &end))
            return end.code ? dv_fail(e, end.code, "%s", end.msg) : DMV_OK;
        dmv_status s = show(v, f, e);
        if (s == DMV_ERR_MEMORY)
            return s;
        if (s)
            *f = (dv_video_frame){0};
    } while (!f->image.pixels);
    f->time = v->now.time;
    f->number = v->now.number;
    f->broken = v->now.broken;
    f->damaged = v->now.damaged;
    f->size_changed = v->width && (v->width != f->image.width || v->height != f->image.height);
    v->width = f->image.width;
    v->height = f->image.height;
    pthread_mutex_lock(&v->lock);
    v->delivered++;
    v->resizes += f->size_changed;
    pthread_mutex_unlock(&v->lock);
    return DMV_OK;
}

void dv_video_get_stats(dv_video *v, dv_video_stats *s)
{
    pthread_mutex_lock(&v->lock);
    *s = v->shared;
    s->delivered = v->delivered;
    s->resizes = v->resizes;
    s->corrupt += v->unshown;
    s->convert_ms = v->convert_ms;
    pthread_mutex_unlock(&v->lock);
}

void dv_video_get_facts(dv_video *v, dv_video_facts *f)
{
    pthread_mutex_lock(&v->lock);
    *f = v->facts;
    pthread_mutex_unlock(&v->lock);
}

dmv_status dv_video_probe(const char *source, const dv_video_options *o, dv_video_facts *f,
                          dv_err *e)
{
    dv_video_options defaults;
    dv_video_options_init(&defaults);
    if (!o)
        o = &defaults;
    *f = (dv_video_facts){.duration = NAN, .video = -1};
    dv_spec spec = {0};
    dv_link link;
    dv_paths pictures = {0};
    dv_guard guard = {0};
    dmv_status s = dv_video_options_check(o, e);
    if (!s)
        s = dv_libav_load(e);
    if (!s)
        s = dv_spec_parse(source, o, &spec, e);
    if (s)
        return s;
    if (spec.kind == DV_VIDEO_FOLDER) {
        s = dv_folder_list(spec.address, spec.shown, &pictures, e);
        if (!s)
            s = dv_facts_of_folder(&pictures, o, f, e);
        dv_paths_free(&pictures);
    } else if (!(s = dv_link_open(&link, &spec, o, &guard, false, e))) {
        dv_facts_of_link(&link, &spec, f);
        dv_link_close(&link);
    }
    dv_spec_free(&spec);
    return s;
}
