/* SPDX-License-Identifier: Apache-2.0
 *
 * test_live.c - sources that cannot wait and sources that stop: dropping, stalls, connecting
 * anew, giving up. Named pipes stand for cameras here; test_rtsp.c has a real stream.
 */
#include "clips.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Writes runs of frames into a pipe, opened anew for each run. */
typedef struct camera {
    const char *path;
    int runs, frames, pace_ms;
    int linger_ms; /* silent before the pipe is closed */
    int pause_ms;  /* between runs */
    int fd;
    pthread_t thread;
} camera;

static int send_all(void *user, uint8_t *data, int size)
{
    camera *c = user;
    for (int done = 0; done < size;) {
        ssize_t k = write(c->fd, data + done, (size_t)(size - done));
        if (k < 0)
            return AVERROR(errno);
        done += (int)k;
    }
    return size;
}

static void *film(void *user)
{
    camera *c = user;
    for (int i = 0; i < c->runs; i++) {
        c->fd = open(c->path, O_WRONLY);
        const clip_mux m = {.format = "mpegts",
                            .write = send_all,
                            .user = c,
                            .first_time = 100,
                            .pace_ms = c->pace_ms};
        clip_stream(&m, 160, 120, 0, c->frames, 25);
        usleep((useconds_t)c->linger_ms * 1000);
        close(c->fd);
        usleep((useconds_t)c->pause_ms * 1000);
    }
    return NULL;
}

static void start(camera *c, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s", in(name));
    c->path = path;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pthread_create(&c->thread, NULL, film, c), 0);
}

static dv_video_options live_options(void)
{
    dv_video_options o;
    dv_video_options_init(&o);
    o.live = 1;
    o.timeout = 0.5;
    o.first_wait = 0.05;
    o.longest_wait = 0.2;
    return o;
}

static double seconds_since(uint64_t begin)
{
    return (double)(dv_now_ns() - begin) * 1e-9;
}

/* A reader that is too slow gets the newest frames; nothing is lost uncounted. */
static void test_slow_reader(void **state)
{
    camera c = {.runs = 1, .frames = 80, .pace_ms = 5};
    dv_video_options o = live_options();
    dv_video_frame f;
    dv_video_stats s;
    dv_err e = {0};
    o.queue = 2;
    o.reconnects = 0;
    start(&c, "slow");
    dv_video *v = clip_open(c.path, &o);
    uint64_t last = 0, n = 0, gaps = 0;
    double time = -1;
    while (!dv_video_next(v, &f, &e) && f.image.pixels) {
        assert_true(n == 0 || f.number > last);
        gaps += n ? f.number - last - 1 : f.number;
        assert_true(f.time > time);
        /* Gaps in the numbers are gaps in the time. */
        assert_true(fabs(f.time - (double)f.number * 0.04) < 0.001);
        assert_false(f.broken);
        time = f.time;
        last = f.number;
        n++;
        usleep(60000);
    }
    assert_int_equal(e.code, DMV_OK);
    dv_video_get_stats(v, &s);
    assert_int_equal(s.delivered, n);
    assert_int_equal(s.decoded, s.delivered + s.dropped);
    assert_true(s.decoded >= 75);
    assert_true(s.dropped > 20);
    assert_int_equal(gaps, s.dropped);
    assert_int_equal(last + 1, s.decoded); /* the newest frame is never the one that goes */
    assert_int_equal(s.jumps + s.corrupt + s.reconnects, 0);
    dv_video_close(&v);
    pthread_join(c.thread, NULL);
}

/* The sender goes away twice and comes back. */
static void test_reconnect(void **state)
{
    camera c = {.runs = 3, .frames = 20, .pause_ms = 300};
    dv_video_options o = live_options();
    dv_video_frame f;
    dv_video_stats s;
    dv_err e = {0};
    o.queue = 64;
    start(&c, "again");
    dv_video *v = clip_open(c.path, &o);
    int n = 0, broken = 0;
    double last = -1, gap = 0;
    while (n < 58 && !dv_video_next(v, &f, &e) && f.image.pixels) {
        assert_true(f.time > last);
        if (f.broken) {
            gap += f.time - last;
            broken++;
        }
        last = f.time;
        n++;
    }
    assert_int_equal(n, 58);
    assert_int_equal(broken, 2);
    assert_true(gap > 0.4 && gap < 5); /* the pauses are in the time stamps */
    dv_video_get_stats(v, &s);
    assert_int_equal(s.reconnects, 2);
    assert_int_equal(s.jumps, 0); /* another connection is no jump */
    pthread_join(c.thread, NULL);
    dv_video_close(&v); /* while it waits for a fourth run */
}

/* The first frame after a break may be dropped; that there was a break is not forgotten. */
static void test_broken_stays(void **state)
{
    camera c = {.runs = 3, .frames = 25, .pause_ms = 300};
    dv_video_options o = live_options();
    dv_video_frame f;
    dv_video_stats s;
    dv_err e = {0};
    o.queue = 1;
    o.reconnects = 3;
    start(&c, "breaks");
    dv_video *v = clip_open(c.path, &o);
    int broken = 0;
    while (!dv_video_next(v, &f, &e) && f.image.pixels) {
        broken += f.broken;
        usleep(30000);
    }
    assert_non_null(strstr(e.msg, "given up"));
    dv_video_get_stats(v, &s);
    assert_int_equal(s.reconnects, 2);
    assert_true(s.dropped > 20);
    assert_int_equal(broken, 2);
    dv_video_close(&v);
    pthread_join(c.thread, NULL);
}

/* Nobody writes into the pipe: the open gives up in time. */
static void test_silent(void **state)
{
    dv_video_options o = live_options();
    dv_video *v;
    dv_err e = {0};
    assert_int_equal(mkfifo(in("silent"), 0600), 0);
    uint64_t begin = dv_now_ns();
    assert_int_equal(dv_video_open(in("silent"), &o, &v, &e), DMV_ERR_IO);
    assert_true(seconds_since(begin) > 0.4 && seconds_since(begin) < 5);
    assert_non_null(strstr(e.msg, "silent"));
    assert_non_null(strstr(e.msg, "no video came for 0.5 seconds"));
    /* Somebody holds it open and says nothing: the same. */
    int fd = open(in("silent"), O_RDWR);
    assert_int_equal(dv_video_open(in("silent"), &o, &v, &e), DMV_ERR_IO);
    assert_non_null(strstr(e.msg, "no video came"));
    close(fd);
}

/* It stalls in the middle. Not live: what came is shown, then an error in good time. */
static void test_stall(void **state)
{
    camera c = {.runs = 1, .frames = 20, .linger_ms = 3000};
    dv_video_options o = live_options();
    dv_video_stats s;
    dv_err e = {0};
    o.live = 0;
    start(&c, "stall");
    dv_video *v = clip_open(c.path, &o);
    uint64_t begin = dv_now_ns();
    int n = clip_read(v, NULL, &e);
    assert_true(seconds_since(begin) < 2.5);
    assert_true(n >= 17);
    if (e.code != DMV_ERR_IO || !strstr(e.msg, "no video came"))
        fail_msg("%d %s", (int)e.code, e.msg);
    dv_video_get_stats(v, &s);
    assert_int_equal(s.stalls, 1);
    dv_video_close(&v);
    pthread_join(c.thread, NULL);
}

/* Live with a limit: some more tries, then the same error with their number. */
static void test_give_up(void **state)
{
    camera c = {.runs = 1, .frames = 20};
    dv_video_options o = live_options();
    dv_video_stats s;
    dv_err e = {0};
    o.reconnects = 2;
    o.timeout = 0.3;
    o.queue = 64;
    start(&c, "never");
    dv_video *v = clip_open(c.path, &o);
    uint64_t begin = dv_now_ns();
    int n = clip_read(v, NULL, &e);
    assert_true(n >= 19);
    assert_int_equal(e.code, DMV_ERR_IO);
    assert_non_null(strstr(e.msg, "given up after 2 tries"));
    assert_true(seconds_since(begin) < 5);
    dv_video_get_stats(v, &s);
    assert_int_equal(s.reconnects, 0);
    dv_video_close(&v);
    pthread_join(c.thread, NULL);
}

/* A source that is not there yet. */
static void test_patient(void **state)
{
    camera c = {.runs = 1, .frames = 20, .linger_ms = 200};
    dv_video_options o = live_options();
    dv_video_frame f;
    dv_video_stats s;
    dv_err e = {0};
    o.patient = true;
    o.queue = 64;
    assert_int_equal(mkfifo(in("late"), 0600), 0);
    dv_video *v = clip_open(in("late"), &o);
    usleep(700000); /* longer than one try */
    c.path = in("late");
    assert_int_equal(pthread_create(&c.thread, NULL, film, &c), 0);
    for (int k = 0; k < 15; k++) {
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_non_null(f.image.pixels);
        assert_false(f.broken);
    }
    dv_video_get_stats(v, &s);
    assert_int_equal(s.reconnects, 0); /* the first connection is none */
    dv_video_close(&v);
    pthread_join(c.thread, NULL);
}

static void *stop_soon(void *v)
{
    usleep(200000);
    dv_video_stop(v);
    return NULL;
}

/* Stopped while the caller waits for a frame, and while it waits to connect. */
static void test_stop(void **state)
{
    dv_video_options o = live_options();
    dv_video_frame f;
    dv_err e = {0};
    pthread_t t;
    o.patient = true;
    o.timeout = 60;
    o.first_wait = o.longest_wait = 60;
    for (int waiting = 0; waiting < 2; waiting++) {
        if (waiting)
            o.first_wait = 0.01;
        assert_int_equal(mkfifo(in(waiting ? "stop1" : "stop0"), 0600), 0);
        dv_video *v = clip_open(in(waiting ? "stop1" : "stop0"), &o);
        uint64_t begin = dv_now_ns();
        assert_int_equal(pthread_create(&t, NULL, stop_soon, v), 0);
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_null(f.image.pixels);
        pthread_join(t, NULL);
        dv_video_close(&v);
        assert_true(seconds_since(begin) < 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_reader),  cmocka_unit_test(test_reconnect),
        cmocka_unit_test(test_broken_stays), cmocka_unit_test(test_silent),
        cmocka_unit_test(test_stall),        cmocka_unit_test(test_give_up),
        cmocka_unit_test(test_patient),      cmocka_unit_test(test_stop),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, clip_setup, clip_teardown);
}
