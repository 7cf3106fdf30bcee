/* SPDX-License-Identifier: Apache-2.0
 *
 * test_rtsp.c - a camera on this machine: a small RTSP server (RFC 2326) that answers what a
 * client asks and sends RTP, inside the connection or as UDP, until it is told to hang up, to
 * fall silent, or to ask for a password.
 */
#include "clips.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MTU 1400

typedef struct server {
    int listener, port;
    int frames;      /* a connection; then it hangs up */
    bool silent;     /* ... or says nothing more */
    bool password;   /* 401 to everything */
    bool mute;       /* connections are taken and never answered */
    int fd;          /* of the client */
    int udp, udp_to; /* socket and the client's port; 0 = inside the connection */
    int connections, plays;
    bool stop;
    pthread_t thread;
} server;

static bool put(int fd, const void *data, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = send(fd, (const uint8_t *)data + done, n - done, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        done += (size_t)k;
    }
    return true;
}

static int send_packet(void *user, uint8_t *data, int size)
{
    server *s = user;
    bool control = size > 1 && data[1] >= 200 && data[1] <= 204;
    if (s->udp_to) {
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)(s->udp_to + control)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        sendto(s->udp, data, (size_t)size, 0, (struct sockaddr *)&to, sizeof to);
        return size;
    }
    const uint8_t head[4] = {'$', control, (uint8_t)(size >> 8), (uint8_t)size};
    return put(s->fd, head, 4) && put(s->fd, data, (size_t)size) ? size : AVERROR(EPIPE);
}

static void play(server *s)
{
    const clip_mux m = {.format = "rtp",
                        .packet_size = MTU,
                        .write = send_packet,
                        .user = s,
                        .first_time = 5,
                        .pace_ms = 8};
    clip_stream(&m, 160, 120, 0, s->frames, 25);
    for (int k = 0; s->silent && !__atomic_load_n(&s->stop, __ATOMIC_RELAXED) && k < 100; k++)
        usleep(50000);
}

static const char *header(const char *request, const char *name)
{
    const char *p = strcasestr(request, name);
    return p ? p + strlen(name) : "";
}

static bool answer(server *s, const char *request)
{
    char text[1500], body[800] = "", more[300] = "";
    int cseq = atoi(header(request, "CSeq:"));
    const char *code = "200 OK";
    bool begin = false;
    if (s->password) {
        code = "401 Unauthorized";
        snprintf(more, sizeof more, "WWW-Authenticate: Basic realm=\"camera\"\r\n");
    } else if (!strncmp(request, "OPTIONS", 7)) {
        snprintf(more, sizeof more, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n");
    } else if (!strncmp(request, "DESCRIBE", 8)) {
        snprintf(more, sizeof more, "Content-Type: application/sdp\r\n");
        snprintf(body, sizeof body,
                 "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                 "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
                 "a=fmtp:96 packetization-mode=1\r\na=control:track1\r\n");
    } else if (!strncmp(request, "SETUP", 5)) {
        const char *ports = header(request, "client_port=");
        s->udp_to = atoi(ports);
        if (s->udp_to)
            snprintf(more, sizeof more,
                     "Session: 7\r\nTransport: RTP/AVP;unicast;client_port=%d-%d;"
                     "server_port=%d-%d\r\n",
                     s->udp_to, s->udp_to + 1, 7000, 7001);
        else
            snprintf(more, sizeof more,
                     "Session: 7\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
    } else if (!strncmp(request, "PLAY", 4)) {
        snprintf(more, sizeof more, "Session: 7\r\nRange: npt=now-\r\n");
        begin = true;
    } else if (strncmp(request, "TEARDOWN", 8) != 0) {
        snprintf(more, sizeof more, "Session: 7\r\n");
    }
    int n =
        snprintf(text, sizeof text, "RTSP/1.0 %s\r\nCSeq: %d\r\n%sContent-Length: %zu\r\n\r\n%s",
                 code, cseq, more, strlen(body), body);
    if (!put(s->fd, text, (size_t)n))
        return false;
    if (!begin)
        return true;
    s->plays++;
    play(s);
    return false; /* hangs up */
}

static void converse(server *s)
{
    char request[4096];
    size_t n = 0;
    while (s->mute && !__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
        usleep(20000);
    while (n < sizeof request - 1) {
        ssize_t k = recv(s->fd, request + n, sizeof request - 1 - n, 0);
        if (k <= 0)
            return;
        n += (size_t)k;
        request[n] = 0;
        for (char *end; (end = strstr(request, "\r\n\r\n"));) {
            end[2] = 0;
            if (!answer(s, request))
                return;
            size_t used = (size_t)(end + 4 - request);
            memmove(request, request + used, n - used + 1);
            n -= used;
        }
    }
}

static void *serve(void *user)
{
    server *s = user;
    for (;;) {
        s->fd = accept(s->listener, NULL, NULL);
        if (s->fd < 0 || __atomic_load_n(&s->stop, __ATOMIC_RELAXED))
            break;
        s->connections++;
        s->udp_to = 0;
        converse(s);
        close(s->fd);
    }
    if (s->fd >= 0)
        close(s->fd);
    return NULL;
}

static void begin(server *s, char address[64])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    s->udp = socket(AF_INET, SOCK_DGRAM, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&a, n) != 0) {
        printf("skipped: no sockets here (%s)\n", strerror(errno));
        exit(77);
    }
    assert_int_equal(listen(s->listener, 8), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    snprintf(address, 64, "rtsp://127.0.0.1:%d/cam", s->port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void end(server *s)
{
    __atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)s->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* wakes accept */
    (void)!connect(fd, (struct sockaddr *)&a, sizeof a);
    pthread_join(s->thread, NULL);
    close(fd);
    close(s->listener);
    close(s->udp);
}

static dv_video_options options(const char *transport)
{
    dv_video_options o;
    dv_video_options_init(&o);
    o.transport = transport;
    o.timeout = 1.5;
    o.first_wait = 0.05;
    o.longest_wait = 0.2;
    o.queue = 64;
    return o;
}

static void watch(const char *transport)
{
    server s = {.frames = 60};
    char address[64];
    dv_video_options o = options(transport);
    dv_video_frame f;
    dv_video_facts facts;
    dv_video_stats st;
    dv_err e = {0};
    begin(&s, address);
    dv_video *v = clip_open(address, &o);
    dv_video_get_facts(v, &facts);
    assert_int_equal(facts.kind, DV_VIDEO_STREAM);
    assert_true(facts.live);
    assert_string_equal(facts.streams[0].codec, "h264");
    double last = -1;
    for (int k = 0; k < 40; k++) {
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_non_null(f.image.pixels);
        assert_int_equal(f.image.width, 160);
        assert_true(f.time > last && (k == 0 || f.time < last + 0.5));
        last = f.time;
        if (k == 0 || f.damaged)
            continue;
        dv_picture p = clip_picture(160, 120, clip_frame_of(&f.image));
        assert_true(clip_psnr(&f.image, &p) > 25);
        dv_picture_free(&p);
    }
    dv_video_get_stats(v, &st);
    assert_true(st.decoded >= 40);
    assert_int_equal(st.reconnects, 0);
    dv_video_close(&v);
    end(&s);
    assert_int_equal(s.plays, 1);
    assert_int_equal(s.udp_to != 0, !strcmp(transport, "udp")); /* it came as it was asked for */
}

static void test_tcp(void **state)
{
    watch("tcp");
}

static void test_udp(void **state)
{
    watch("udp");
}

/* The camera hangs up, or only falls silent: it is asked again, and time goes on. */
static void reconnect(bool silent)
{
    server s = {.frames = 30, .silent = silent};
    char address[64];
    dv_video_options o = options(NULL);
    dv_video_frame f;
    dv_video_stats st;
    dv_err e = {0};
    begin(&s, address);
    dv_video *v = clip_open(address, &o);
    int broken = 0;
    double last = -1;
    for (int k = 0; k < 75; k++) {
        assert_int_equal(dv_video_next(v, &f, &e), DMV_OK);
        assert_non_null(f.image.pixels);
        assert_true(f.time > last);
        if (f.broken)
            assert_true(f.time - last < 6);
        broken += f.broken;
        last = f.time;
    }
    assert_true(broken >= 2);
    dv_video_get_stats(v, &st);
    assert_true(st.reconnects >= 2);
    assert_int_equal(st.stalls >= 2, silent);
    dv_video_close(&v);
    end(&s);
    assert_true(s.plays >= 3);
}

static void test_hangs_up(void **state)
{
    reconnect(false);
}

static void test_falls_silent(void **state)
{
    reconnect(true);
}

static void refuse(server *s, const char *user, const char *word)
{
    char address[64], with_user[128];
    dv_video_options o = options(NULL);
    dv_video *v;
    dv_err e = {0};
    begin(s, address);
    snprintf(with_user, sizeof with_user, "rtsp://%s%s", user, address + 7);
    uint64_t start = dv_now_ns();
    assert_int_not_equal(dv_video_open(with_user, &o, &v, &e), DMV_OK);
    assert_null(v);
    assert_true((double)(dv_now_ns() - start) * 1e-9 < 5);
    if (!strstr(e.msg, word) || strstr(e.msg, "geheim"))
        fail_msg("%s", e.msg);
    end(s);
}

static void test_refused(void **state)
{
    server locked = {.password = true}, mute = {.mute = true};
    refuse(&locked, "", "USER:PASSWORD@");
    server wrong = {.password = true};
    refuse(&wrong, "me:geheim@", "USER:PASSWORD@");
    refuse(&mute, "", "no video came for 1.5 seconds");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),      cmocka_unit_test(test_udp),
        cmocka_unit_test(test_hangs_up), cmocka_unit_test(test_falls_silent),
        cmocka_unit_test(test_refused),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, clip_setup, clip_teardown);
}
