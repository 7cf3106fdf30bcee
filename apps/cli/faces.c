/* SPDX-License-Identifier: Apache-2.0
 *
 * faces.c - from the common options to a pipeline: which nets, where they are, at which
 * threshold two faces count as one person, and which gallery.
 */
#include "cli.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "face/face.h"

#ifndef DV_DATADIR
#define DV_DATADIR "/usr/local/share"
#endif

static void log_line(void *user, int level, const char *msg)
{
    (void)user;
    if (level <= DMV_LOG_WARNING)
        cli_warn("%s", msg);
}

dmv_status cli_context_open(const cli_common *o, dmv_context **ctx)
{
    dmv_options opt;
    dmv_options_init(&opt);
    opt.threads = o->threads;
    opt.cpu = o->cpu;
    opt.log = log_line;
    dmv_status s = dmv_context_open(&opt, ctx);
    if (s)
        cli_error("cannot start: %s", dmv_status_string(s));
    return s;
}

static const char *try_model(char *buf, size_t size, const char *dir, const char *which)
{
    int n = snprintf(buf, size, "%s/%s.dmv", dir, which);
    return n > 0 && (size_t)n < size && access(buf, R_OK) == 0 ? buf : NULL;
}

const char *cli_default_model(const char *which)
{
    static char bufs[4][PATH_MAX];
    char *buf = bufs[which[0] == 'd' ? 0 : which[0] == 'l' ? 1 : which[0] == 'o' ? 3 : 2];
    char dir[PATH_MAX];
    const char *env = getenv("DOMOVOI_MODELS"), *found;
    if (env && *env && (found = try_model(buf, PATH_MAX, env, which)))
        return found;
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 8);
    if (n > 0) {
        dir[n] = 0;
        char *slash = strrchr(dir, '/');
        if (slash) {
            strcpy(slash, "/models");
            if ((found = try_model(buf, PATH_MAX, dir, which)))
                return found;
        }
    }
    return try_model(buf, PATH_MAX, DV_DATADIR "/domovoi/models", which);
}

const char *cli_need_model(const char *given, const char *which, const char *option)
{
    if (given)
        return given;
    const char *path = cli_default_model(which);
    if (!path)
        cli_error(
            "%s.dmv not found in $DOMOVOI_MODELS, in models/ beside the program or in " DV_DATADIR
            "/domovoi/models; `./run build` fetches the default nets, or name a "
            "net with %s",
            which, option);
    return path;
}

static bool open_model(cli_faces *f, const char *path, dmv_model_kind kind, dmv_model **out)
{
    static const char *const names[] = {"net of another kind", "face detector", "embedder",
                                        "landmark net"};
    if (dmv_model_open(f->ctx, path, out)) {
        cli_error("%s", dmv_error(f->ctx));
        return false;
    }
    dmv_model_kind is = dmv_model_get_kind(*out);
    if (is != kind) {
        cli_error("%s: is a %s, not a %s; `domovoi model info` shows what a net is", path,
                  names[(unsigned)is < DV_COUNT(names) ? is : 0], names[kind]);
        return false;
    }
    return true;
}

bool cli_models_open(cli_faces *f, const cli_common *o, int want)
{
    const char *path;
    if (want & CLI_WANT_DETECTOR) {
        path = cli_need_model(o->detector, "detect", "--detector");
        if (!path || !open_model(f, path, DMV_KIND_DETECTOR, &f->det))
            return false;
        const char *decoder = dmv_model_text(f->det, "decoder");
        const dv_decoder *d = decoder ? dv_decoder_find(decoder) : NULL;
        if (o->landmarks || (d && !d->points)) {
            path = cli_need_model(o->landmarks, "landmarks", "--landmarks");
            if (!path || !open_model(f, path, DMV_KIND_LANDMARKS, &f->lmk))
                return false;
        }
    }
    if (want & CLI_WANT_EMBEDDER) {
        path = cli_need_model(o->model, "embed", "--model");
        if (!path || !open_model(f, path, DMV_KIND_EMBEDDER, &f->emb))
            return false;
    }
    return true;
}

void cli_pipeline_options(const cli_common *o, dmv_pipeline_options *p)
{
    dmv_pipeline_options_init(p);
    p->score_threshold = o->min_score;
    if (o->max_side)
        p->max_side = o->max_side;
    if (o->scales)
        p->scales = o->scales;
    p->mirror = o->mirror;
}

bool cli_faces_open(cli_faces *f, const cli_common *o, int want)
{
    dmv_pipeline_options p;
    memset(f, 0, sizeof *f);
    if (cli_context_open(o, &f->ctx))
        return false;
    if (!cli_models_open(f, o, want))
        goto fail;
    cli_pipeline_options(o, &p);
    if (dmv_pipeline_open(f->ctx, f->det, f->lmk, f->emb, &p, &f->pipe)) {
        cli_error("%s", dmv_error(f->ctx));
        goto fail;
    }
    f->faces = dv_calloc(CLI_MAX_FACES, sizeof *f->faces);
    if (f->emb)
        f->embedding = dv_calloc(dmv_pipeline_dim(f->pipe), sizeof *f->embedding);
    if (!f->faces || (f->emb && !f->embedding)) {
        cli_error("out of memory");
        goto fail;
    }
    return true;
fail:
    cli_faces_close(f);
    return false;
}

void cli_faces_close(cli_faces *f)
{
    dmv_pipeline_close(&f->pipe);
    dmv_model_close(&f->det);
    dmv_model_close(&f->lmk);
    dmv_model_close(&f->emb);
    dmv_context_close(&f->ctx);
    dv_free(f->faces);
    dv_free(f->embedding);
    memset(f, 0, sizeof *f);
}

bool cli_faces_find(cli_faces *f, const char *path, const dv_picture *pic)
{
    dmv_image view = dv_picture_view(pic);
    f->n_faces = 0;
    if (dmv_pipeline_detect(f->pipe, &view, f->faces, CLI_MAX_FACES, &f->n_faces)) {
        cli_error("%s: %s", path, dmv_error(f->ctx));
        return false;
    }
    return true;
}

size_t cli_best_face(const dmv_face *faces, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (faces[i].score * faces[i].box[2] > faces[best].score * faces[best].box[2])
            best = i;
    return best;
}

bool cli_faces_embed(cli_faces *f, const char *path, const dv_picture *pic, const dmv_face *face)
{
    dmv_image view = dv_picture_view(pic);
    if (!face && (pic->width != DMV_ALIGNED_SIZE || pic->height != DMV_ALIGNED_SIZE)) {
        cli_error("%s: is %d x %d; --aligned takes pictures of 112 x 112, as `domovoi align` "
                  "makes them",
                  path, pic->width, pic->height);
        return false;
    }
    dmv_status s = face ? dmv_pipeline_embed(f->pipe, &view, face, f->embedding)
                        : dmv_pipeline_embed_aligned(f->pipe, &view, f->embedding);
    if (s)
        cli_error("%s: %s", path, dmv_error(f->ctx));
    return s == DMV_OK;
}

bool cli_threshold(const cli_common *o, const dmv_model *emb, float *thr, double *fmr_out)
{
    *fmr_out = NAN;
    if (!isnan(o->threshold)) {
        *thr = o->threshold;
        return true;
    }
    double fmr = o->fmr != 0 ? o->fmr : 1e-4;
    if (dmv_model_threshold(emb, fmr, thr) == DMV_OK) {
        *fmr_out = fmr;
        return true;
    }
    const dv_meta_item *t = dv_meta_get(&emb->meta, "thresholds");
    const char *name = dmv_model_text(emb, "name");
    if (!t || !t->f || t->n < 2) {
        cli_error("the model %s states no thresholds; give --threshold, or measure some with "
                  "`domovoi eval verify` and store them with `domovoi model import --thresholds`",
                  name ? name : "");
        return false;
    }
    double lowest = t->f[0];
    for (uint32_t i = 2; i + 1 < t->n; i += 2)
        lowest = DV_MIN(lowest, (double)t->f[i]);
    if (o->fmr != 0) {
        cli_error("the model %s states no threshold at --fmr %g; its lowest rate is %g; give that "
                  "or --threshold",
                  name ? name : "", o->fmr, lowest);
        return false;
    }
    if (dmv_model_threshold(emb, lowest, thr)) {
        cli_error("the model %s has unusable thresholds; give --threshold", name ? name : "");
        return false;
    }
    *fmr_out = lowest;
    return true;
}

const char *cli_gallery_path(const cli_common *o, bool make_folder)
{
    static char buf[PATH_MAX];
    const char *env = getenv("DOMOVOI_GALLERY"), *data = getenv("XDG_DATA_HOME"),
               *home = getenv("HOME");
    if (o->gallery)
        return o->gallery;
    if (env && *env)
        return env;
    int n;
    if (data && data[0] == '/')
        n = snprintf(buf, sizeof buf, "%s/domovoi", data);
    else if (home && *home)
        n = snprintf(buf, sizeof buf, "%s/.local/share/domovoi", home);
    else {
        cli_error("no home folder for the default gallery; give --gallery FILE");
        return NULL;
    }
    if (n < 0 || (size_t)n > sizeof buf - 16) {
        cli_error("the path of the default gallery is too long; give --gallery FILE");
        return NULL;
    }
    if (make_folder && !cli_make_folders(buf))
        return NULL;
    strcat(buf, "/gallery.db");
    return buf;
}
