/* SPDX-License-Identifier: Apache-2.0
 *
 * test_source.c - files, folders and pipes that behave: pictures, times, facts, messages.
 */
#include "clips.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Known pictures, written and read: the same pictures, in order, at their times. */
static void test_round_trip(void **state)
{
    clip_mp4(in("round.mp4"), 320, 240, 40, 10, 12);
    for (int threads = 1; threads <= 3; threads += 2) {
        dv_video_options o;
        dv_video_frame f;
        dv_err e = {0};
        dv_video_options_init(&o);
        o.threads = threads;
        dv_video *v = clip_open(in("round.mp4"), &o);
        for (int k = 0; k < 40; k++) {
            assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
            assert_non_null(f.image.pixels);
            assert_int_equal(f.number, k);
            assert_true(fabs(f.time - k * 0.1) < 1e-4);
            assert_false(f.size_changed || f.broken || f.damaged);
            assert_int_equal(clip_frame_of(&f.image), k);
            dv_picture p = clip_picture(320, 240, k);
            double psnr = clip_psnr(&f.image, &p);
            if (psnr < 35)
                fail_msg("frame %d: %.1f dB", k, psnr);
            dv_picture_free(&p);
        }
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_null(f.image.pixels);
        dv_video_stats s;
        dv_video_get_stats(v, &s);
        assert_int_equal(s.decoded, 40);
        assert_int_equal(s.delivered, 40);
        assert_int_equal(s.packets, 40);
        assert_int_equal(s.dropped + s.skipped + s.corrupt + s.jumps + s.resizes + s.reconnects, 0);
        assert_true(s.decode_ms > 0 && s.convert_ms > 0);
        dv_video_close(&v);
        assert_null(v);
    }
}

static void test_facts(void **state)
{
    dv_video_facts f;
    dv_err e = {0};
    clip_mp4(in("facts.mp4"), 322, 242, 30, 15, 0);
    if (dv_video_probe(in("facts.mp4"), NULL, &f, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(f.kind, DV_VIDEO_FILE);
    assert_false(f.live);
    assert_non_null(strstr(f.format, "mp4"));
    assert_true(fabs(f.duration - 2) < 0.02);
    assert_int_equal(f.frames, 30);
    assert_int_equal(f.n_streams, 1);
    assert_int_equal(f.video, 0);
    assert_string_equal(f.streams[0].type, "video");
    assert_true(!strcmp(f.streams[0].codec, "h264") || !strcmp(f.streams[0].codec, "mpeg4"));
    assert_int_equal(f.streams[0].width, 322);
    assert_int_equal(f.streams[0].height, 242);
    assert_true(fabs(f.streams[0].rate - 15) < 0.01);
    clip_wav(in("tone.wav"));
    if (dv_video_probe(in("tone.wav"), NULL, &f, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(f.video, -1);
    assert_string_equal(f.streams[0].type, "audio");
    assert_int_equal(f.streams[0].sample_rate, 8000);
    assert_int_equal(f.streams[0].channels, 1);
    assert_true(fabs(f.duration - 1) < 0.01);
}

static void test_max_fps(void **state)
{
    dv_video_options o;
    dv_video_stats s;
    dv_err e;
    double last;
    clip_mp4(in("fast.mp4"), 160, 120, 75, 25, 0);
    dv_video_options_init(&o);
    o.max_fps = 5;
    dv_video *v = clip_open(in("fast.mp4"), &o);
    assert_int_equal(clip_read(v, &last, &e), 15);
    assert_int_equal(e.code, DMV_OK);
    assert_true(last > 2.7 && last < 3);
    dv_video_get_stats(v, &s);
    assert_int_equal(s.decoded, 75);
    assert_int_equal(s.skipped, 60);
    assert_int_equal(s.dropped, 0);
    dv_video_close(&v);
}

/* Decoding that falls behind: first the frames that no other needs are left out, then all up to
 * the next key frame. */
static void test_behind(void **state)
{
    const double lags[] = {0, 2, 9};
    int decoded[3], skipped[3];
    dv_video_options o;
    dv_guard g = {0};
    dv_err e = {0};
    dv_spec spec;
    dv_video_options_init(&o);
    clip_mp4(in("behind.mp4"), 160, 120, 40, 25, 10);
    assert_int_equal(dv_spec_parse(in("behind.mp4"), &o, &spec, &e), DMV_OK);
    for (int i = 0; i < 3; i++) {
        dv_link l;
        dv_video_stats st = {0};
        dv_link_event got;
        assert_int_equal(dv_link_open(&l, &spec, &o, &g, true, &e), DMV_OK);
        while ((got = dv_link_step(&l, &spec, &o, &g, lags[i], &st, &e)) <= DV_LINK_NONE)
            if (got == DV_LINK_FRAME)
                av.av_frame_unref(l.frame);
        assert_int_equal(got, DV_LINK_END);
        dv_link_close(&l);
        assert_int_equal(st.packets, 40);
        assert_int_equal(st.corrupt, 0);
        decoded[i] = (int)st.decoded;
        skipped[i] = (int)st.skipped;
    }
    assert_int_equal(decoded[0], 40);
    assert_int_equal(skipped[0] + skipped[1], 0);
    assert_true(decoded[1] < 40 && decoded[1] > 4); /* x264 makes frames that nobody needs */
    assert_int_equal(decoded[2], 4);                /* the key frames */
    assert_int_equal(skipped[2], 36);
    dv_spec_free(&spec);
}

/* A slow reader of a file loses nothing, however short the queue. */
static void test_files_wait(void **state)
{
    dv_video_options o;
    dv_video_frame f;
    dv_err e = {0};
    clip_mp4(in("wait.mp4"), 160, 120, 30, 25, 0);
    dv_video_options_init(&o);
    o.queue = 1;
    dv_video *v = clip_open(in("wait.mp4"), &o);
    for (int k = 0; k < 30; k++) {
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_int_equal(f.number, k);
        usleep(3000);
    }
    dv_video_close(&v);
}

/* Closed or stopped in the middle, before anything was read, and while waiting. */
static void test_stop(void **state)
{
    dv_video_frame f;
    dv_err e = {0};
    clip_mp4(in("stop.mp4"), 160, 120, 30, 25, 0);
    dv_video *v = clip_open(in("stop.mp4"), NULL);
    dv_video_close(&v);
    v = clip_open(in("stop.mp4"), NULL);
    assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
    dv_video_stop(v);
    assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
    assert_null(f.image.pixels);
    dv_video_close(&v);
    dv_video_close(&v);
}

static void put_matrix(uint8_t *p, int32_t a, int32_t b, int32_t c, int32_t d)
{
    const int32_t m[9] = {a, b, 0, c, d, 0, 0, 0, 0x4000};
    for (int i = 0; i < 9; i++) {
        uint32_t v = (uint32_t)m[i] << 16;
        for (int k = 0; k < 4; k++)
            p[4 * i + k] = (uint8_t)(v >> (24 - 8 * k));
    }
}

/* As phones write it: the frames lie on their side, and the header of the track says so. */
static void test_rotation(void **state)
{
    static const int matrices[4][4] = {{1, 0, 0, 1}, {0, 1, -1, 0}, {-1, 0, 0, -1}, {0, -1, 1, 0}};
    dv_picture plain = {0};
    uint8_t *data;
    size_t size, at = 0;
    dv_err e = {0};
    clip_mp4(in("upright.mp4"), 160, 120, 2, 25, 0);
    assert_int_equal(dv_read_file(in("upright.mp4"), 1 << 24, &data, &size, &e), DMV_OK);
    while (at + 80 < size && memcmp(data + at, "tkhd", 4) != 0)
        at++;
    assert_true(at + 80 < size);
    for (int k = 0; k < 4; k++) {
        dv_video_frame f;
        dv_video_facts facts;
        put_matrix(data + at + 44, matrices[k][0], matrices[k][1], matrices[k][2], matrices[k][3]);
        clip_save(in("turned.mp4"), data, size);
        dv_video *v = clip_open(in("turned.mp4"), NULL);
        dv_video_get_facts(v, &facts);
        assert_int_equal(facts.rotation, 90 * k);
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_int_equal(f.image.width, k % 2 ? 120 : 160);
        assert_int_equal(f.image.height, k % 2 ? 160 : 120);
        if (k == 0) {
            plain = (dv_picture){dv_malloc(160 * 120 * 3), 160, 120};
            assert_non_null(plain.pixels);
            for (int y = 0; y < 120; y++)
                memcpy(plain.pixels + y * 480, f.image.pixels + (size_t)y * f.image.stride, 480);
        }
        for (int y = 0; y < 120; y++)
            for (int x = 0; x < 160; x++) {
                /* Clockwise: what was on the left is at the top. */
                int tx = k == 0 ? x : k == 1 ? 119 - y : k == 2 ? 159 - x : y;
                int ty = k == 0 ? y : k == 1 ? x : k == 2 ? 119 - y : 159 - x;
                assert_memory_equal(f.image.pixels + (size_t)ty * f.image.stride + 3 * tx,
                                    plain.pixels + 3 * (y * 160 + x), 3);
            }
        dv_video_close(&v);
    }
    dv_free(data);
    dv_picture_free(&plain);
}

/* Two raw streams of different sizes, one after the other in one file. */
static void test_size_change(void **state)
{
    dv_buf b = {0};
    dv_video_frame f;
    dv_err e = {0};
    clip_bytes(&b, "h264", 320, 240, 12, 25, 0);
    clip_bytes(&b, "h264", 160, 120, 12, 25, 0);
    clip_bytes(&b, "h264", 320, 240, 12, 25, 0);
    clip_save(in("sizes.h264"), b.data, b.size);
    dv_buf_free(&b);
    dv_video *v = clip_open(in("sizes.h264"), NULL);
    int n = 0, changes = 0;
    while (!dv_video_next(v, &f, &e) && f.image.pixels) {
        int w = n / 12 == 1 ? 160 : 320;
        assert_int_equal(f.image.width, w);
        assert_int_equal(f.image.height, w * 3 / 4);
        assert_int_equal(f.size_changed, n == 12 || n == 24);
        dv_picture p = clip_picture(w, w * 3 / 4, n % 12);
        assert_true(clip_psnr(&f.image, &p) > 28);
        dv_picture_free(&p);
        changes += f.size_changed;
        n++;
    }
    assert_int_equal(n, 36);
    assert_int_equal(changes, 2);
    dv_video_stats s;
    dv_video_get_stats(v, &s);
    assert_int_equal(s.resizes, 2);
    dv_video_close(&v);
}

/* The clock of the stream starts again in the middle, and leaps. */
static void test_clock_jumps(void **state)
{
    dv_buf b = {0};
    dv_video_frame f;
    dv_video_stats s;
    dv_err e = {0};
    clip_bytes(&b, "mpegts", 160, 120, 25, 25, 1000);
    clip_bytes(&b, "mpegts", 160, 120, 25, 25, 20);
    clip_bytes(&b, "mpegts", 160, 120, 25, 25, 5000);
    clip_save(in("jumps.ts"), b.data, b.size);
    dv_buf_free(&b);
    dv_video *v = clip_open(in("jumps.ts"), NULL);
    double last = -1;
    int n = 0, broken = 0;
    while (!dv_video_next(v, &f, &e) && f.image.pixels) {
        assert_true(f.time > last && f.time < last + 1.5);
        last = f.time;
        broken += f.broken;
        n++;
    }
    assert_int_equal(e.code, DMV_OK);
    assert_in_range(n, 70, 75);
    assert_true(last > 2.7 && last < 4);
    dv_video_get_stats(v, &s);
    assert_int_equal(s.jumps, 2);
    assert_int_equal(broken, 2);
    dv_video_close(&v);
}

static void test_folder(void **state)
{
    static const char *const names[] = {"f1.ppm", "f2.ppm", "f10.ppm", "f011.ppm", "f100.ppm"};
    dv_err e = {0};
    assert_int_equal(mkdir(in("seq"), 0700), 0);
    assert_int_equal(mkdir(in("seq/masks"), 0700), 0);
    for (unsigned k = 0; k < DV_COUNT(names); k++) {
        char path[512];
        dv_picture p = clip_picture(160, 120, (int)k);
        snprintf(path, sizeof path, "%s/%s", in("seq"), names[k]);
        assert_int_equal(dv_image_save(path, &p, &e), DMV_OK);
        dv_picture_free(&p);
    }
    dv_picture other = clip_picture(64, 64, 0);
    assert_int_equal(dv_image_save(in("seq/masks/f5.ppm"), &other, &e), DMV_OK);
    dv_picture_free(&other);
    clip_save(in("seq/f50.ppm"), "P6 oops", 7);
    clip_save(in("seq/notes.txt"), "no picture", 10);
    dv_video_options o;
    dv_video_frame f;
    dv_video_options_init(&o);
    o.rate = 4;
    for (int slash = 0; slash < 2; slash++) {
        char path[520];
        snprintf(path, sizeof path, "%s%s", in("seq"), slash ? "//" : "");
        dv_video *v = clip_open(path, &o);
        const int place[] = {0, 1, 2, 3, 5}; /* f50 is bad */
        for (int k = 0; k < 5; k++) {
            assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
            assert_int_equal(clip_frame_of(&f.image), k);
            assert_int_equal(f.number, place[k]);
            assert_true(fabs(f.time - place[k] / 4.0) < 1e-9);
            assert_int_equal(f.broken, k == 4);
        }
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_null(f.image.pixels);
        dv_video_stats s;
        dv_video_facts facts;
        dv_video_get_stats(v, &s);
        dv_video_get_facts(v, &facts);
        assert_int_equal(s.corrupt, 1);
        assert_int_equal(s.delivered, 5);
        assert_int_equal(facts.frames, 6);
        assert_int_equal(facts.streams[0].width, 160);
        dv_video_close(&v);
    }
    dv_video *v;
    assert_int_equal(mkdir(in("none"), 0700), 0);
    assert_int_not_equal(dv_video_open(in("none"), NULL, &v, &e), DMV_OK);
    assert_int_equal(mkdir(in("none/deeper"), 0700), 0);
    clip_save(in("none/deeper/a.ppm"), "P6 oops", 7);
    assert_int_equal(dv_video_open(in("none"), NULL, &v, &e), DMV_ERR_NOT_FOUND);
    assert_int_not_equal(dv_video_open(in("none/deeper"), NULL, &v, &e), DMV_OK);
    assert_non_null(strstr(e.msg, "a.ppm"));
}

static void test_natural_order(void **state)
{
    static const char *const order[] = {"a", "a1", "a01", "a2", "a10", "a10b", "a11", "b", "b2"};
    for (unsigned i = 0; i < DV_COUNT(order); i++)
        for (unsigned k = 0; k < DV_COUNT(order); k++) {
            int c = dv_natural_compare(order[i], order[k]);
            /* "a1" and "a01" are one number: told apart by the text */
            if (i == k)
                assert_int_equal(c, 0);
            else if ((i == 1 && k == 2) || (i == 2 && k == 1))
                assert_true(c != 0 && (c < 0) == (strcmp(order[i], order[k]) < 0));
            else
                assert_true((c < 0) == (i < k) && c != 0);
        }
    assert_true(dv_natural_compare("x99999999999999999999998", "x99999999999999999999999") < 0);
}

typedef struct feed {
    const char *path;
    const uint8_t *data;
    size_t size;
} feed;

static void *feeder(void *user)
{
    const feed *f = user;
    int fd = open(f->path, O_WRONLY);
    for (size_t done = 0; fd >= 0 && done < f->size;) {
        ssize_t k = write(fd, f->data + done, f->size - done);
        if (k <= 0)
            break;
        done += (size_t)k;
    }
    close(fd);
    return NULL;
}

/* A named pipe, and standard input as a pipe and as a file that can be sought in. */
static void test_pipes(void **state)
{
    dv_buf b = {0};
    dv_err e;
    dv_video_stats s;
    pthread_t t;
    clip_bytes(&b, "mpegts", 160, 120, 30, 25, 0);
    assert_int_equal(mkfifo(in("pipe"), 0600), 0);
    feed f = {in("pipe"), b.data, b.size};
    assert_int_equal(pthread_create(&t, NULL, feeder, &f), 0);
    dv_video *v = clip_open(f.path, NULL);
    assert_int_equal(clip_read(v, NULL, &e), 30);
    assert_int_equal(e.code, DMV_OK);
    dv_video_get_stats(v, &s);
    assert_int_equal(s.dropped, 0);
    dv_video_close(&v);
    pthread_join(t, NULL);

    int saved = dup(0), ends[2];
    assert_int_equal(pipe(ends), 0);
    char path[64];
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    feed g = {path, b.data, b.size};
    dup2(ends[0], 0);
    close(ends[0]);
    assert_int_equal(pthread_create(&t, NULL, feeder, &g), 0);
    usleep(50000);
    close(ends[1]); /* the feeder has opened it by its own name */
    v = clip_open("-", NULL);
    assert_int_equal(clip_read(v, NULL, &e), 30);
    dv_video_close(&v);
    pthread_join(t, NULL);

    clip_mp4(in("stdin.mp4"), 160, 120, 20, 25, 0); /* the index is at the end */
    int fd = open(in("stdin.mp4"), O_RDONLY);
    dup2(fd, 0);
    close(fd);
    v = clip_open("-", NULL);
    assert_int_equal(clip_read(v, NULL, &e), 20);
    dv_video_close(&v);
    dup2(saved, 0);
    close(saved);
    dv_buf_free(&b);
}

/* A colon, a percent sign or a name like an option must not mean anything to FFmpeg. */
static void test_odd_names(void **state)
{
    static const char *const names[] = {"12:30.mp4", "a%03d.mp4",    "concat:x|y.mp4",
                                        "-o.mp4",    "sp ace\n.mp4", "\xc3\xa4\xff.mp4"};
    clip_mp4(in("plain.mp4"), 160, 120, 5, 25, 0);
    for (unsigned i = 0; i < DV_COUNT(names); i++) {
        dv_err e;
        const char *path = in(names[i]);
        assert_int_equal(link(in("plain.mp4"), path), 0);
        dv_video *v = clip_open(path, NULL);
        assert_int_equal(clip_read(v, NULL, &e), 5);
        dv_video_close(&v);
    }
}

static void refuse(const char *source, const dv_video_options *o, const char *word)
{
    dv_video *v = (void *)1;
    dv_err e = {0};
    if (dv_video_open(source, o, &v, &e) == DMV_OK)
        fail_msg("%s was opened", source);
    assert_null(v);
    if (!strstr(e.msg, word))
        fail_msg("%s: the message has no `%s`: %s", source, word, e.msg);
}

static void test_refused(void **state)
{
    dv_video_options o;
    clip_save(in("text.mp4"), "this is no video, only text, and not much of it\n", 48);
    clip_save(in("empty.mp4"), "", 0);
    clip_wav(in("only.wav"));
    refuse("", NULL, "no video is named");
    refuse(in("nowhere.mp4"), NULL, "no such file");
    refuse("/dev/video987", NULL, "no such camera");
    refuse(in("text.mp4"), NULL, "not a video");
    refuse(in("empty.mp4"), NULL, "empty.mp4");
    refuse(in("only.wav"), NULL, "no video in it");
    refuse("ftp://host/x.mp4", NULL, "ftp://");
    refuse("concat:a|b", NULL, "no such file");
    refuse("subfile,,start,0,end,9,,:/etc/passwd", NULL, "no such file");
    /* Nobody listens on this port of this machine. */
    refuse("rtsp://127.0.0.1:9/cam", NULL, "127.0.0.1:9");
    dv_video_options_init(&o);
    o.queue = 0;
    refuse(in("text.mp4"), &o, "queue");
    dv_video_options_init(&o);
    o.timeout = NAN;
    refuse(in("text.mp4"), &o, "time limit");
    dv_video_options_init(&o);
    o.threads = 1000;
    refuse(in("text.mp4"), &o, "threads");
    dv_video_options_init(&o);
    o.transport = "pigeon";
    refuse(in("text.mp4"), &o, "tcp or udp");
    dv_video_options_init(&o);
    o.format = "no-such-format";
    refuse(in("text.mp4"), &o, "no-such-format");
    dv_video_options_init(&o);
    o.max_fps = -1;
    refuse(in("text.mp4"), &o, "frames a second");
}

/* A playlist on the disk must not make the program open addresses, nor other files by URL. */
static void test_playlists(void **state)
{
    static const char list[] = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n"
                               "http://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n";
    dv_video *v;
    dv_err e = {0};
    clip_save(in("list.m3u8"), list, sizeof list - 1);
    assert_int_not_equal(dv_video_open(in("list.m3u8"), NULL, &v, &e), DMV_OK);
    assert_null(v);
}

static void test_passwords(void **state)
{
    static const struct {
        const char *source, *shown;
    } cases[] = {
        {"rtsp://cam/1", "rtsp://cam/1"},
        {"rtsp://me:secret@cam:554/1", "rtsp://me:***@cam:554/1"},
        {"rtsp://me:p@ss:w@cam/1", "rtsp://me:***@cam/1"},
        {"rtsp://me:pa/ss@cam/1", "rtsp://me:***@cam/1"},
        {"rtsp://me@cam/1", "rtsp://me@cam/1"},
        {"http://cam/a@b", "http://cam/a@b"},
        {"/tmp/a:b@c.mp4", "/tmp/a:b@c.mp4"},
    };
    for (unsigned i = 0; i < DV_COUNT(cases); i++) {
        char shown[800];
        dv_video_shown(cases[i].source, shown, sizeof shown);
        assert_string_equal(shown, cases[i].shown);
    }
    dv_video *v;
    dv_err e = {0};
    assert_int_not_equal(dv_video_open("rtsp://me:secret@127.0.0.1:9/", NULL, &v, &e), DMV_OK);
    assert_null(strstr(e.msg, "secret"));
    assert_non_null(strstr(e.msg, "me:***@127.0.0.1"));
    char longer[3000] = "rtsp://me:secret@";
    memset(longer + 17, 'x', sizeof longer - 18);
    char shown[800];
    dv_video_shown(longer, shown, sizeof shown);
    assert_null(strstr(shown, "secret"));
}

/* Each allocation fails in turn; nothing may crash or leak, and none may end well in silence
 * with fewer frames. */
static void test_memory(void **state)
{
    char *path = strdup(in("memory.mp4"));
    clip_mp4(path, 64, 48, 4, 25, 0);
    bool through = false;
    for (unsigned n = 1; n < 200 && !through; n++) {
        dv_video *v = NULL;
        dv_err e = {0};
        dv_video_frame f;
        int frames = 0;
        dv_alloc_fail_at(n, false);
        dmv_status s = dv_video_open(path, NULL, &v, &e);
        while (!s && !(s = dv_video_next(v, &f, &e)) && f.image.pixels)
            frames++;
        dv_alloc_fail_at(0, false);
        dv_video_close(&v);
        assert_true(s == DMV_ERR_MEMORY || (s == DMV_OK && frames == 4));
        through = s == DMV_OK;
    }
    assert_true(through);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_facts),
        cmocka_unit_test(test_max_fps),       cmocka_unit_test(test_behind),
        cmocka_unit_test(test_files_wait),    cmocka_unit_test(test_stop),
        cmocka_unit_test(test_rotation),      cmocka_unit_test(test_size_change),
        cmocka_unit_test(test_clock_jumps),   cmocka_unit_test(test_folder),
        cmocka_unit_test(test_natural_order), cmocka_unit_test(test_pipes),
        cmocka_unit_test(test_odd_names),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_playlists),     cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, clip_setup, clip_teardown);
}
