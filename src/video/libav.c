/* SPDX-License-Identifier: Apache-2.0
 *
 * libav.c - finds FFmpeg's libraries and their functions, once a process. They stay loaded.
 */
#include "video/libav.h"
#include "video/video.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

dv_libav av;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static dv_err failure;

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define SONAME(name, major) "lib" name ".so." TEXT(major)
#define PACKAGES \
    "libavformat" TEXT(LIBAVFORMAT_VERSION_MAJOR) " libswscale" TEXT(LIBSWSCALE_VERSION_MAJOR)

typedef struct name {
    const char *text;
    size_t at; /* in dv_libav */
} name;

#define ENTRY(f) {#f, offsetof(dv_libav, f)},
static const name util[] = {DV_LIBAV_UTIL(ENTRY)};
static const name codec[] = {DV_LIBAV_CODEC(ENTRY)};
static const name format[] = {DV_LIBAV_FORMAT(ENTRY)};
static const name scale[] = {DV_LIBAV_SCALE(ENTRY)};

static bool take(const char *soname, const name *names, size_t n)
{
    void *lib = dlopen(soname, RTLD_LAZY | RTLD_LOCAL);
    if (!lib) {
        const char *why = dlerror();
        dv_fail(&failure, DMV_ERR_UNSUPPORTED,
                "video needs FFmpeg's libraries, and %s cannot be loaded (%.300s); on Debian: "
                "apt-get install " PACKAGES,
                soname, why ? why : "no reason given");
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        void *f = dlsym(lib, names[i].text);
        if (!f) {
            dv_fail(&failure, DMV_ERR_UNSUPPORTED, "%s has no function %s; install Debian's own",
                    soname, names[i].text);
            return false;
        }
        memcpy((char *)&av + names[i].at, &f, sizeof f);
    }
    return true;
}

static void load(void)
{
    if (!take(SONAME("avutil", LIBAVUTIL_VERSION_MAJOR), util, DV_COUNT(util)) ||
        !take(SONAME("swscale", LIBSWSCALE_VERSION_MAJOR), scale, DV_COUNT(scale)) ||
        !take(SONAME("avcodec", LIBAVCODEC_VERSION_MAJOR), codec, DV_COUNT(codec)) ||
        !take(SONAME("avformat", LIBAVFORMAT_VERSION_MAJOR), format, DV_COUNT(format)))
        return;
    av.av_log_set_level(AV_LOG_QUIET); /* a library does not print */
    av.avformat_network_init();
}

dmv_status dv_libav_load(dv_err *e)
{
    pthread_once(&once, load);
    return failure.code ? dv_fail(e, failure.code, "%s", failure.msg) : DMV_OK;
}

dmv_status dv_video_available(dv_err *e)
{
    return dv_libav_load(e);
}

static pthread_once_t devices_once = PTHREAD_ONCE_INIT;
static char devices_failure[400];

/* libavdevice has the version of libavformat and wants a display and sound libraries: it is
 * loaded for those who have a camera. */
static void load_devices(void)
{
    void *lib = dlopen(SONAME("avdevice", LIBAVFORMAT_VERSION_MAJOR), RTLD_LAZY | RTLD_LOCAL);
    void *f = lib ? dlsym(lib, "avdevice_register_all") : NULL;
    void (*register_all)(void);
    if (!f) {
        const char *why = dlerror();
        snprintf(devices_failure, sizeof devices_failure, "%s", why ? why : "no reason given");
        return;
    }
    memcpy(&register_all, &f, sizeof f);
    register_all();
}

const AVInputFormat *dv_libav_v4l2(dv_err *e)
{
    pthread_once(&devices_once, load_devices);
    const AVInputFormat *v4l2 = av.av_find_input_format("v4l2");
    if (!v4l2)
        v4l2 = av.av_find_input_format("video4linux2");
    if (!v4l2)
        dv_fail(e, DMV_ERR_UNSUPPORTED,
                "cameras need FFmpeg's libavdevice (%s); on Debian: apt-get install "
                "libavdevice" TEXT(LIBAVFORMAT_VERSION_MAJOR),
                *devices_failure ? devices_failure : "it knows no V4L2");
    return v4l2;
}

const char *dv_libav_words(int error)
{
    static _Thread_local char words[AV_ERROR_MAX_STRING_SIZE];
    if (!av.av_strerror || av.av_strerror(error, words, sizeof words) < 0)
        snprintf(words, sizeof words, "error %d", error);
    return words;
}
