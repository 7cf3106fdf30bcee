/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_video.c - `domovoi video`: what a source gives, and copies of it as test clips, whole or
 * made worse in a way that can be repeated.
 */
#include "cli.h"

#ifndef DV_HAVE_VIDEO

int cli_video(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return cli_error("this build has no video: the headers of FFmpeg were missing");
}

#else

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "video/degrade.h"
#include "video/video.h"

#define SHOWN 800

/* ---- options of every source ---- */

typedef struct source_options {
    const char *transport, *format, *camera_size;
    double timeout, rate;
    int reconnects;
} source_options;
#define SOURCE_OPTIONS(s)                                                                     \
    {"transport", "T", "how RTSP comes: tcp (the default) or udp", CLI_TEXT, &(s).transport}, \
        {"format", "NAME", "FFmpeg's name of the format, if it cannot be told from the data", \
         CLI_TEXT, &(s).format},                                                              \
        {"timeout", "S", "seconds without data that count as a stall (10)", CLI_REAL,         \
         &(s).timeout},                                                                       \
        {"rate", "F", "frames a second of a folder (25), or asked of a camera", CLI_REAL,     \
         &(s).rate},                                                                          \
    {                                                                                         \
        "camera-size", "WxH", "asked of a camera", CLI_TEXT, &(s).camera_size                 \
    }

static bool video_options(const source_options *s, dv_video_options *o)
{
    dv_video_options_init(o);
    o->transport = s->transport;
    o->format = s->format;
    if (!isnan(s->timeout))
        o->timeout = s->timeout;
    if (!isnan(s->rate))
        o->rate = s->rate;
    if (s->camera_size && !cli_parse_size(s->camera_size, &o->width, &o->height)) {
        cli_error("--camera-size %s: write WxH, as in 1280x720", s->camera_size);
        return false;
    }
    return true;
}

/* ---- info ---- */

static void print_stream(size_t i, const dv_video_stream *s, bool read)
{
    printf("  stream %zu  %s", i, s->type);
    if (*s->codec)
        printf(", %s", s->codec);
    if (s->width)
        printf(", %d x %d", s->width, s->height);
    if (s->rate > 0)
        printf(", %.5g frames/s", s->rate);
    if (s->sample_rate)
        printf(", %d Hz, %d channel%s", s->sample_rate, s->channels, s->channels == 1 ? "" : "s");
    if (s->bit_rate > 0)
        printf(", %.4g kbit/s", (double)s->bit_rate / 1000);
    if (*s->language && strcmp(s->language, "und") != 0) {
        printf(", ");
        cli_put_text(s->language);
    }
    printf("%s\n", read ? "  <- is read" : "");
}

static void print_facts(const char *shown, const dv_video_facts *f)
{
    cli_put_text(shown);
    printf(": %s%s", f->live ? "live " : "", dv_video_kind_name(f->kind));
    if (*f->format)
        printf(", %s", f->format);
    if (f->duration > 0)
        printf(", %.2f s", f->duration);
    if (f->frames > 0)
        printf(", %lld frames", (long long)f->frames);
    if (f->bit_rate > 0)
        printf(", %.4g kbit/s", (double)f->bit_rate / 1000);
    if (f->rotation)
        printf(", turned by %d degrees", f->rotation);
    printf("\n");
    for (size_t i = 0; i < f->n_streams && i < DV_VIDEO_STREAMS; i++)
        print_stream(i, &f->streams[i], (int)i == f->video);
    if (f->n_streams > DV_VIDEO_STREAMS)
        printf("  and %zu more\n", f->n_streams - DV_VIDEO_STREAMS);
}

static void number_or_null(cli_json *j, const char *key, double v, int digits)
{
    cli_js_real(j, key, v > 0 ? v : NAN, digits);
}

static void json_facts(const char *shown, const dv_video_facts *f)
{
    cli_json j = {.f = stdout};
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "source", shown);
    cli_js_text(&j, "kind", dv_video_kind_name(f->kind));
    cli_js_bool(&j, "live", f->live);
    cli_js_text(&j, "format", f->format);
    cli_js_real(&j, "duration", f->duration, 9);
    number_or_null(&j, "frames", (double)f->frames, 15);
    number_or_null(&j, "bit_rate", (double)f->bit_rate, 15);
    cli_js_int(&j, "rotation", f->rotation);
    cli_js_real(&j, "video", f->video < 0 ? NAN : f->video, 9);
    cli_js_open(&j, "streams", '[');
    for (size_t i = 0; i < f->n_streams && i < DV_VIDEO_STREAMS; i++) {
        const dv_video_stream *s = &f->streams[i];
        cli_js_open(&j, NULL, '{');
        cli_js_text(&j, "type", s->type);
        cli_js_text(&j, "codec", s->codec);
        if (s->width) {
            cli_js_int(&j, "width", s->width);
            cli_js_int(&j, "height", s->height);
            number_or_null(&j, "rate", s->rate, 9);
        }
        if (s->sample_rate) {
            cli_js_int(&j, "sample_rate", s->sample_rate);
            cli_js_int(&j, "channels", s->channels);
        }
        number_or_null(&j, "bit_rate", (double)s->bit_rate, 15);
        cli_js_text(&j, "language", *s->language ? s->language : NULL);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

static int run_info(int argc, char **argv)
{
    cli_common c = {.use = CLI_USE_OUT};
    source_options s = {.timeout = NAN, .rate = NAN};
    const cli_option own[] = {SOURCE_OPTIONS(s)};
    const char **pos = (const char **)argv;
    size_t n;
    int done;
    if (!cli_parse(argc, argv,
                   "domovoi video info [options] SOURCE...\n\n"
                   "What a source says of itself: streams, sizes, rates, length. A source is a "
                   "video file, a\nfolder of numbered pictures, /dev/videoN, an address such as "
                   "rtsp://HOST/PATH, or - for\nstandard input. Exit status 1 if there is no "
                   "video in one of them.",
                   "  domovoi video info clip.mp4\n"
                   "  domovoi video info rtsp://USER:PASSWORD@camera/stream --json\n",
                   &c, own, DV_COUNT(own), pos, (size_t)argc, &n, &done))
        return done;
    if (n == 0)
        return cli_error("no source given; `domovoi video info --help` shows the form");
    dv_video_options o;
    if (!video_options(&s, &o))
        return CLI_ERROR;
    int code = CLI_YES;
    for (size_t i = 0; i < n && !ferror(stdout); i++) {
        dv_video_facts f;
        dv_err e = {0};
        char shown[SHOWN];
        if (dv_video_probe(pos[i], &o, &f, &e)) {
            code = cli_error("%s", e.msg);
            continue;
        }
        dv_video_shown(pos[i], shown, sizeof shown);
        if (c.json)
            json_facts(shown, &f);
        else
            print_facts(shown, &f);
        if (f.video < 0 && code == CLI_YES)
            code = CLI_NO;
    }
    return code;
}

/* ---- copy ---- */

typedef struct copy {
    cli_common c;
    source_options s;
    const char *source, *output, *degrade, *size, *bitrate;
    double max_fps, seconds, crf;
    int seed, frames;
    int width, height; /* of the output; 0 = as the first frame */
    dv_encode_options encode;
    dv_video *video;
    dv_degrade *worse;
    dv_video_writer *writer;
    dv_picture picture;
    double last;
    uint64_t written;
    bool told_size;
} copy;

/* What a signal ends: the copy so far is kept. */
static dv_video *volatile to_stop;

static void on_signal(int number)
{
    (void)number;
    if (to_stop)
        dv_video_stop(to_stop);
}

static void catch_signals(dv_video *v)
{
    struct sigaction a = {.sa_handler = v ? on_signal : SIG_DFL};
    to_stop = v;
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

static bool check(copy *k)
{
    char *end = NULL;
    if (k->size && !cli_parse_size(k->size, &k->width, &k->height)) {
        cli_error("--size %s: write WxH, as in 640x480", k->size);
        return false;
    }
    dv_encode_options_init(&k->encode);
    if (!isnan(k->crf))
        k->encode.crf = k->crf;
    if (k->bitrate) {
        double v = strtod(k->bitrate, &end);
        double unit = *end == 'k' ? 1e3 : *end == 'M' ? 1e6 : 1;
        end += unit > 1;
        if (end == k->bitrate || *end || !(v * unit >= 1000 && v * unit <= 1e9)) {
            cli_error("--bitrate %s: bits a second, as in 500k or 2M", k->bitrate);
            return false;
        }
        k->encode.bit_rate = (int64_t)(v * unit);
    }
    if (k->bitrate && !isnan(k->crf)) {
        cli_error("--crf and --bitrate: give one of the two");
        return false;
    }
    if (!isnan(k->max_fps) && !(k->max_fps > 0 && k->max_fps <= 1000)) {
        cli_error("--max-fps %g: above 0 and up to 1000", k->max_fps);
        return false;
    }
    if (!isnan(k->seconds) && !(k->seconds > 0)) {
        cli_error("--seconds %g: above 0", k->seconds);
        return false;
    }
    return true;
}

static bool fail(const dv_err *e)
{
    cli_error("%s", e->msg);
    return false;
}

/* Frames a second that the copy will have, as far as the source tells. */
static double rate_of(const copy *k, const dv_video_facts *f)
{
    double rate = f->video >= 0 && f->video < DV_VIDEO_STREAMS ? f->streams[f->video].rate : 0;
    if (!(rate >= 0.1 && rate <= 1000))
        rate = 25;
    return !isnan(k->max_fps) ? fmin(rate, k->max_fps) : rate;
}

static size_t expected(const copy *k, const dv_video_facts *f)
{
    double n = (double)f->frames, rate = rate_of(k, f);
    if (f->duration > 0)
        n = fmin(n > 0 ? n : INFINITY, f->duration * rate);
    if (!isnan(k->seconds))
        n = n > 0 ? fmin(n, k->seconds * rate) : k->seconds * rate;
    if (k->frames)
        n = n > 0 ? fmin(n, k->frames) : k->frames;
    return n > 0 && n < 1e9 ? (size_t)n : 0;
}

/* The frame as a picture of our own, since degradations change it. */
static bool take(copy *k, const dmv_image *im)
{
    size_t row = (size_t)im->width * 3;
    if (k->picture.width != im->width || k->picture.height != im->height) {
        dv_picture_free(&k->picture);
        k->picture = (dv_picture){dv_malloc(row * (size_t)im->height), im->width, im->height};
        if (!k->picture.pixels) {
            cli_error("out of memory");
            return false;
        }
    }
    for (int y = 0; y < im->height; y++)
        memcpy(k->picture.pixels + (size_t)y * row, im->pixels + (size_t)y * im->stride, row);
    return true;
}

static bool write_frame(copy *k, const dv_video_frame *f, const dv_video_facts *facts)
{
    dv_err e = {0};
    dmv_image im = f->image;
    if (k->worse) {
        if (!take(k, &im))
            return false;
        if (dv_degrade_apply(k->worse, &k->picture, f->number, &e))
            return fail(&e);
        im = dv_picture_view(&k->picture);
    }
    if (!k->writer) {
        if (!k->size) {
            k->width = im.width;
            k->height = im.height;
        }
        if (dv_video_writer_open(k->output, k->width, k->height, rate_of(k, facts), &k->encode,
                                 &k->writer, &e))
            return fail(&e);
    }
    if (f->size_changed && !k->told_size) {
        cli_warn("the size changes to %d x %d at %.2f s; the copy stays %d x %d", im.width,
                 im.height, f->time, k->width, k->height);
        k->told_size = true;
    }
    if (dv_video_writer_add(k->writer, &im, f->time, &e))
        return fail(&e);
    k->last = f->time;
    k->written++;
    return true;
}

static bool copy_frames(copy *k)
{
    dv_video_facts facts;
    cli_progress bar;
    bool ok = true;
    dv_video_get_facts(k->video, &facts);
    size_t total = expected(k, &facts);
    cli_progress_start(&bar, "copy", total, &k->c);
    if (total == 0 && !k->c.quiet && isatty(STDERR_FILENO))
        fputs("copying until the source ends; Ctrl-C ends it too and keeps what came\n", stderr);
    while (ok) {
        dv_video_frame f;
        dv_err e = {0};
        if (dv_video_next(k->video, &f, &e)) {
            ok = fail(&e); /* what came before it is kept */
            break;
        }
        if (!f.image.pixels || (!isnan(k->seconds) && f.time >= k->seconds))
            break;
        ok = write_frame(k, &f, &facts);
        cli_progress_update(&bar, (size_t)k->written);
        if (k->frames && k->written >= (uint64_t)k->frames)
            break;
    }
    cli_progress_end(&bar);
    return ok;
}

static void report(copy *k)
{
    dv_video_stats s;
    struct stat st = {0};
    char shown[SHOWN];
    dv_video_get_stats(k->video, &s);
    bool file = stat(k->output, &st) == 0 && S_ISREG(st.st_mode);
    if (!file) /* the copy itself may be on standard output */
        return;
    dv_video_shown(k->source, shown, sizeof shown);
    if (k->c.json) {
        cli_json j = {.f = stdout};
        cli_js_open(&j, NULL, '{');
        cli_js_text(&j, "source", shown);
        cli_js_text(&j, "output", k->output);
        cli_js_int(&j, "frames", (long long)k->written);
        cli_js_real(&j, "last_time", k->last, 9);
        cli_js_int(&j, "width", k->width & ~1);
        cli_js_int(&j, "height", k->height & ~1);
        cli_js_int(&j, "bytes", (long long)st.st_size);
        cli_js_int(&j, "decoded", (long long)s.decoded);
        cli_js_int(&j, "dropped", (long long)s.dropped);
        cli_js_int(&j, "skipped", (long long)s.skipped);
        cli_js_int(&j, "corrupt", (long long)s.corrupt);
        cli_js_int(&j, "clock_jumps", (long long)s.jumps);
        cli_js_int(&j, "size_changes", (long long)s.resizes);
        cli_js_int(&j, "reconnects", (long long)s.reconnects);
        cli_js_real(&j, "decode_ms", s.decode_ms, 6);
        cli_js_close(&j, '}');
        cli_js_line(&j);
    } else if (!k->c.quiet) {
        cli_put_text(k->output);
        printf(": %llu frames, %.2f s, %lld bytes", (unsigned long long)k->written, k->last,
               (long long)st.st_size);
        if (s.skipped)
            printf("; %llu left out", (unsigned long long)s.skipped);
        if (s.dropped)
            printf("; %llu dropped", (unsigned long long)s.dropped);
        if (s.corrupt)
            printf("; %llu damaged", (unsigned long long)s.corrupt);
        if (s.jumps)
            printf("; the clock jumped %llu times", (unsigned long long)s.jumps);
        if (s.reconnects)
            printf("; connected anew %llu times", (unsigned long long)s.reconnects);
        printf("\n");
    }
}

static int do_copy(copy *k)
{
    dv_video_options o;
    dv_video_facts facts;
    dv_err e = {0};
    if (!video_options(&k->s, &o))
        return CLI_ERROR;
    if (!isnan(k->max_fps))
        o.max_fps = k->max_fps;
    if (k->c.threads)
        o.threads = k->encode.threads = k->c.threads;
    if (dv_video_open(k->source, &o, &k->video, &e))
        return cli_error("%s", e.msg);
    dv_video_get_facts(k->video, &facts);
    if (k->degrade &&
        dv_degrade_open(k->degrade, (uint64_t)k->seed, rate_of(k, &facts), &k->worse, &e))
        return cli_error("--degrade: %s", e.msg);
    catch_signals(k->video);
    bool ok = copy_frames(k);
    catch_signals(NULL);
    if (!k->writer) {
        char shown[SHOWN];
        dv_video_shown(k->source, shown, sizeof shown);
        return ok ? cli_error("%s: ended before the first frame", shown) : CLI_ERROR;
    }
    bool told = dv_video_writer_failed(k->writer);
    if (dv_video_writer_close(&k->writer, &e))
        return told ? CLI_ERROR : cli_error("%s", e.msg);
    report(k);
    return ok ? CLI_YES : CLI_ERROR;
}

static int run_copy(int argc, char **argv)
{
    copy k = {.c.use = CLI_USE_OUT,
              .s = {.timeout = NAN, .rate = NAN},
              .max_fps = NAN,
              .seconds = NAN,
              .crf = NAN,
              .seed = 1};
    const cli_option own[] = {
        {"output", "OUT.mp4", "file to write; also -o", CLI_TEXT, &k.output},
        {"degrade", "LIST",
         "distractor=FILE@XxY gain=N noise=M:S rain=N jpeg=Q h264=R, with commas", CLI_TEXT,
         &k.degrade},
        {"seed", "N", "of what is random in them (1)", CLI_INT, &k.seed},
        {"max-fps", "F", "frames a second at most", CLI_REAL, &k.max_fps},
        {"frames", "N", "end after N frames", CLI_INT, &k.frames},
        {"seconds", "S", "end after S seconds", CLI_REAL, &k.seconds},
        {"size", "WxH", "size of the copy", CLI_TEXT, &k.size},
        {"crf", "Q", "quality of the copy, 0 (best) to 51 (23)", CLI_REAL, &k.crf},
        {"bitrate", "R", "or its bits a second, as in 500k", CLI_TEXT, &k.bitrate},
        {"threads", "N", "of decoder and encoder, 1..64 (1); also -t", CLI_INT, &k.c.threads},
        SOURCE_OPTIONS(k.s),
    };
    const char *pos[1];
    size_t n;
    int done;
    if (!cli_parse(argc, argv,
                   "domovoi video copy [options] SOURCE -o OUT.mp4\n\n"
                   "Copies the pictures of a source into an H.264 file, if wanted made worse. An "
                   "interrupt\n(Ctrl-C) ends the copy and keeps what came. `domovoi video info "
                   "--help` tells what a\nsource is.",
                   "  domovoi video copy rtsp://camera/stream -o clip.mp4 --seconds 60\n"
                   "  domovoi video copy clip.mp4 -o poor.mp4 --degrade noise,h264=100k --seed 7\n"
                   "  domovoi video copy frames/ --rate 10 -o clip.mp4 --max-fps 5\n",
                   &k.c, own, DV_COUNT(own), pos, 1, &n, &done))
        return done;
    if (n == 0)
        return cli_error("no source given; `domovoi video copy --help` shows the form");
    if (!k.output)
        return cli_error("no output given; add -o OUT.mp4");
    if (k.c.threads > 64)
        return cli_error("--threads %d: 1 to 64", k.c.threads);
    k.source = pos[0];
    if (!strcmp(k.output, "-"))
        k.output = "/dev/stdout";
    int code = check(&k) ? do_copy(&k) : CLI_ERROR;
    dv_video_writer_drop(&k.writer);
    dv_degrade_close(&k.worse);
    dv_video_close(&k.video);
    dv_picture_free(&k.picture);
    return code;
}

int cli_video(int argc, char **argv)
{
    static const cli_verb subs[] = {
        {"info", "what a source is", run_info},
        {"copy", "write it to an MP4 file", run_copy},
    };
    return cli_subverb(argc, argv, subs, DV_COUNT(subs), "domovoi video WORD ...");
}

#endif
