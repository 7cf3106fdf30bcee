/* SPDX-License-Identifier: Apache-2.0
 *
 * libav.h - FFmpeg's libraries, loaded at run time. Linking them would cost every verb of the
 * program 23 MB of memory and 20 ms for 130 shared libraries, and most verbs see no video. The
 * soname is fixed by the headers of the build, so that structures fit.
 *
 * Each function that is used stands in the lists below and is called as av.NAME(...). A name
 * that is missing there does not link.
 */
#ifndef DV_LIBAV_H
#define DV_LIBAV_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libavutil/dict.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#include "base/base.h"

#if LIBAVFORMAT_VERSION_MAJOR < 61
#define DV_LIBAV_OLD(F) F(av_stream_get_side_data)
#else
#define DV_LIBAV_OLD(F)
#endif

#define DV_LIBAV_FORMAT(F)            \
    F(av_find_best_stream)            \
    F(av_find_input_format)           \
    F(av_guess_frame_rate)            \
    F(av_interleaved_write_frame)     \
    F(av_read_frame)                  \
    F(av_write_trailer)               \
    F(avformat_alloc_context)         \
    F(avformat_alloc_output_context2) \
    F(avformat_close_input)           \
    F(avformat_find_stream_info)      \
    F(avformat_free_context)          \
    F(avformat_network_init)          \
    F(avformat_new_stream)            \
    F(avformat_open_input)            \
    F(avformat_write_header)          \
    F(avio_alloc_context)             \
    F(avio_context_free)              \
    F(avio_size)                      \
    F(avio_flush)                     \
    DV_LIBAV_OLD(F)

#define DV_LIBAV_CODEC(F)              \
    F(av_packet_alloc)                 \
    F(av_packet_free)                  \
    F(av_packet_rescale_ts)            \
    F(av_packet_unref)                 \
    F(avcodec_alloc_context3)          \
    F(avcodec_find_decoder)            \
    F(avcodec_find_encoder_by_name)    \
    F(avcodec_flush_buffers)           \
    F(avcodec_free_context)            \
    F(avcodec_get_name)                \
    F(avcodec_open2)                   \
    F(avcodec_parameters_from_context) \
    F(avcodec_parameters_to_context)   \
    F(avcodec_receive_frame)           \
    F(avcodec_receive_packet)          \
    F(avcodec_send_frame)              \
    F(avcodec_send_packet)

#define DV_LIBAV_UTIL(F)        \
    F(av_dict_free)             \
    F(av_dict_get)              \
    F(av_dict_set)              \
    F(av_dict_set_int)          \
    F(av_display_rotation_get)  \
    F(av_frame_alloc)           \
    F(av_frame_free)            \
    F(av_frame_get_buffer)      \
    F(av_frame_make_writable)   \
    F(av_frame_unref)           \
    F(av_freep)                 \
    F(av_get_media_type_string) \
    F(av_log_set_level)         \
    F(av_malloc)                \
    F(av_strerror)

#define DV_LIBAV_SCALE(F)   \
    F(sws_freeContext)      \
    F(sws_getCachedContext) \
    F(sws_getCoefficients)  \
    F(sws_scale)            \
    F(sws_setColorspaceDetails)

typedef struct dv_libav {
#define DV_MEMBER(name) __typeof__(name) *name;
    DV_LIBAV_UTIL(DV_MEMBER)
    DV_LIBAV_CODEC(DV_MEMBER)
    DV_LIBAV_FORMAT(DV_MEMBER)
    DV_LIBAV_SCALE(DV_MEMBER)
#undef DV_MEMBER
} dv_libav;

extern dv_libav av;

/* Before the first use of av; cheap when called again. */
dmv_status dv_libav_load(dv_err *e);
/* Cameras as an input format; NULL and a message without libavdevice. */
const AVInputFormat *dv_libav_v4l2(dv_err *e);
/* FFmpeg's words for an error number of its own or of the system. Static buffer per thread. */
const char *dv_libav_words(int error);

#endif
