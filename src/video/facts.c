/* SPDX-License-Identifier: Apache-2.0
 *
 * facts.c - what a source says of itself: streams, sizes, rates, length. Stated, not measured.
 */
#include "video/video_priv.h"

#include <math.h>
#include <string.h>

static void describe(const dv_link *l, unsigned i, dv_video_stream *d)
{
    AVStream *st = l->fc->streams[i];
    const AVCodecParameters *p = st->codecpar;
    const char *type = av.av_get_media_type_string(p->codec_type);
    AVRational rate = av.av_guess_frame_rate(l->fc, st, NULL);
    const AVDictionaryEntry *language = av.av_dict_get(st->metadata, "language", NULL, 0);
    *d = (dv_video_stream){0};
    snprintf(d->type, sizeof d->type, "%s", type ? type : "unknown");
    snprintf(d->codec, sizeof d->codec, "%s", av.avcodec_get_name(p->codec_id));
    if (language)
        snprintf(d->language, sizeof d->language, "%s", language->value);
    d->bit_rate = DV_MAX(p->bit_rate, 0);
    if (p->codec_type == AVMEDIA_TYPE_VIDEO) {
        d->width = p->width;
        d->height = p->height;
        d->rate = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
    } else if (p->codec_type == AVMEDIA_TYPE_AUDIO) {
        d->sample_rate = p->sample_rate;
        d->channels = p->ch_layout.nb_channels;
    }
}

void dv_facts_of_link(const dv_link *l, const dv_spec *s, dv_video_facts *f)
{
    *f = (dv_video_facts){.kind = s->kind, .live = l->live, .duration = NAN, .video = l->stream};
    snprintf(f->format, sizeof f->format, "%s", l->fc->iformat ? l->fc->iformat->name : "");
    if (l->fc->duration != AV_NOPTS_VALUE && l->fc->duration > 0)
        f->duration = (double)l->fc->duration / AV_TIME_BASE;
    f->bit_rate = DV_MAX(l->fc->bit_rate, 0);
    f->rotation = l->rotation;
    f->n_streams = l->fc->nb_streams;
    for (unsigned i = 0; i < l->fc->nb_streams && i < DV_VIDEO_STREAMS; i++)
        describe(l, i, &f->streams[i]);
    if (l->stream < 0)
        return;
    f->frames = l->fc->streams[l->stream]->nb_frames;
    if (f->frames <= 0 && f->duration > 0 && l->nominal > 0 && f->duration / l->nominal < 1e12)
        f->frames = llround(f->duration / l->nominal);
    f->frames = DV_MAX(f->frames, 0);
}

dmv_status dv_facts_of_folder(const dv_paths *p, const dv_video_options *o, dv_video_facts *f,
                              dv_err *e)
{
    dv_picture first = {0};
    double rate = o->rate > 0 ? o->rate : 25;
    *f = (dv_video_facts){.kind = DV_VIDEO_FOLDER, .n_streams = 1};
    dmv_status s = DMV_OK;
    for (size_t i = 0; i < p->n && !first.pixels; i++) {
        s = dv_image_load(p->v[i], &first, e); /* the message of the last one, if none is good */
        if (s == DMV_ERR_MEMORY)
            return s;
    }
    if (!first.pixels)
        return s;
    snprintf(f->format, sizeof f->format, "pictures");
    f->frames = (int64_t)p->n;
    f->duration = (double)p->n / rate;
    snprintf(f->streams[0].type, sizeof f->streams[0].type, "video");
    const char *dot = strrchr(p->v[0], '.');
    snprintf(f->streams[0].codec, sizeof f->streams[0].codec, "%.8s", dot ? dot + 1 : "");
    f->streams[0].width = first.width;
    f->streams[0].height = first.height;
    f->streams[0].rate = rate;
    dv_picture_free(&first);
    return DMV_OK;
}
