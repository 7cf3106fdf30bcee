/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_identify.c - `domovoi identify`: who of the gallery is in these pictures. Exit status
 * 0 if somebody was recognised, 1 if nobody.
 */
#include "cli.h"

#ifndef DV_HAVE_GALLERY

int cli_identify(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return cli_error("this build has no galleries: SQLite or jansson was missing");
}

#else

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gallery/gallery.h"
#include "nn/dmv.h"

#define MAX_TOP 100

typedef struct work {
    cli_common o;
    cli_faces f;
    int top;
    float threshold;
    double fmr;
    dmv_index *index;
    dv_subject *subjects; /* ascending id */
    size_t n_subjects;
    bool add_failed;
    dmv_match (*matches)[MAX_TOP]; /* one row a face */
    size_t *n_matches;
    size_t recognised, faces;
} work;

static int by_id(const void *a, const void *b)
{
    int64_t x = ((const dv_subject *)a)->id, y = ((const dv_subject *)b)->id;
    return (x > y) - (x < y);
}

static const char *name_of(const work *w, uint64_t id)
{
    dv_subject key = {.id = (int64_t)id};
    const dv_subject *s = bsearch(&key, w->subjects, w->n_subjects, sizeof *w->subjects, by_id);
    return s ? s->name : "?";
}

static bool add_vector(void *user, const dv_template *t)
{
    work *w = user;
    w->add_failed = dmv_index_add(w->index, (uint64_t)t->subject, t->vector) != DMV_OK;
    return !w->add_failed;
}

/* Thresholds of the gallery stand for its own people and cameras: they go before the model's. */
static bool take_thresholds(work *w, dv_gallery *g)
{
    float pairs[2 * DV_GALLERY_MAX_THRESHOLDS];
    char from[DV_GALLERY_MAX_FROM + 1];
    size_t n;
    dv_err e = {0};
    if (dv_gallery_thresholds(g, pairs, &n, from, &e))
        return cli_error("%s", e.msg), false;
    if (n && !dv_meta_set_floats(&w->f.emb->meta, "thresholds", pairs, (uint32_t)n))
        return cli_error("out of memory"), false;
    return true;
}

static bool load_gallery(work *w, const char *path)
{
    dv_err e = {0};
    dv_gallery *g = NULL;
    const char *name = dmv_model_text(w->f.emb, "name");
    dv_gallery_model model = {dmv_model_id(w->f.emb), name && *name ? name : "unnamed",
                              dmv_pipeline_dim(w->f.pipe)};
    if (dv_gallery_open(path, false, &model, &g, &e)) {
        cli_error("%s", e.msg);
        return false;
    }
    bool ok = true;
    if (dv_gallery_subjects(g, &w->subjects, &w->n_subjects, &e)) {
        cli_error("%s", e.msg);
        ok = false;
    } else if (dmv_index_open(w->f.ctx, model.dim, &w->index)) {
        cli_error("%s", dmv_error(w->f.ctx));
        ok = false;
    } else if (dv_gallery_each(g, NULL, add_vector, w, &e) || w->add_failed) {
        cli_error("%s", w->add_failed ? dmv_error(w->f.ctx) : e.msg);
        ok = false;
    }
    ok = ok && take_thresholds(w, g);
    dv_gallery_close(&g);
    if (ok && w->n_subjects)
        qsort(w->subjects, w->n_subjects, sizeof *w->subjects, by_id);
    else if (ok)
        cli_warn("%s: nobody is enrolled", path);
    return ok;
}

/* Matches at or above the threshold are the first *passed of a row. */
static size_t passed(const work *w, size_t k)
{
    size_t n = 0;
    while (n < w->n_matches[k] && w->matches[k][n].score >= w->threshold)
        n++;
    return n;
}

static void print_json(const work *w, const char *path, const dv_picture *pic)
{
    cli_json j = {.f = stdout};
    cli_js_picture(&j, path, "faces", pic);
    for (size_t i = 0; i < w->f.n_faces; i++) {
        cli_js_open(&j, NULL, '{');
        cli_js_face(&j, &w->f.faces[i]);
        cli_js_open(&j, "subjects", '[');
        for (size_t m = 0; m < passed(w, i); m++) {
            cli_js_open(&j, NULL, '{');
            cli_js_text(&j, "name", name_of(w, w->matches[i][m].id));
            cli_js_real(&j, "score", w->matches[i][m].score, 6);
            cli_js_close(&j, '}');
        }
        cli_js_close(&j, ']');
        cli_js_close(&j, '}');
    }
    cli_js_picture_end(&j);
}

static void put_padded(const char *s, int width)
{
    int n = cli_put_text(s);
    printf("%*s", n < width ? width - n : 1, "");
}

static void print_table(const work *w, const char *path, const dv_picture *pic)
{
    size_t n = w->f.n_faces;
    cli_put_text(path);
    printf(": %zu face%s, %d x %d\n", n, n == 1 ? "" : "s", pic->width, pic->height);
    if (n)
        printf("   #  %-24s %6s  %-24s %s\n", "name", "score", "face at", "quality");
    for (size_t i = 0; i < n; i++) {
        const dmv_face *f = &w->f.faces[i];
        size_t good = passed(w, i);
        char place[48];
        snprintf(place, sizeof place, "%.0f,%.0f %.0fx%.0f", f->box[0], f->box[1], f->box[2],
                 f->box[3]);
        printf("%4zu  ", i + 1);
        put_padded(good ? name_of(w, w->matches[i][0].id) : "unknown", 24);
        if (w->n_matches[i])
            printf(" %6.3f", w->matches[i][0].score);
        else
            printf("      -");
        printf("  %-24s %7.2f", place, f->quality);
        if (!good && w->n_matches[i]) {
            printf("  nearest: ");
            cli_put_text(name_of(w, w->matches[i][0].id));
        }
        for (size_t m = 1; m < good; m++) {
            printf("%s", m == 1 ? "  also: " : ", ");
            cli_put_text(name_of(w, w->matches[i][m].id));
            printf(" %.3f", w->matches[i][m].score);
        }
        printf("\n");
    }
}

static bool draw(const work *w, cli_output *out, const char *rel, dv_picture *pic)
{
    enum { TEXT = 256 };
    size_t n = w->f.n_faces;
    dv_err e = {0};
    dv_label *labels = dv_calloc(n + 1, sizeof *labels);
    char *texts = dv_calloc(n + 1, TEXT);
    char *path = cli_output_path(out, rel, 0, ".png");
    bool ok = labels && texts && path;
    if (!labels || !texts)
        cli_error("out of memory");
    for (size_t i = 0; ok && i < n; i++) {
        bool good = passed(w, i) > 0;
        char *t = texts + i * TEXT;
        if (good)
            snprintf(t, TEXT, "%s %.2f", name_of(w, w->matches[i][0].id), w->matches[i][0].score);
        else
            snprintf(t, TEXT, "unknown");
        labels[i] = (dv_label){.face = w->f.faces[i], .text = t, .good = good};
    }
    if (ok && dv_draw_faces(pic, labels, n, &e)) {
        cli_error("%s: %s", path, e.msg);
        ok = false;
    }
    ok = ok && cli_save(path, pic);
    dv_free(path);
    dv_free(texts);
    dv_free(labels);
    return ok;
}

static bool search(work *w, const char *path, const dv_picture *pic)
{
    for (size_t i = 0; i < w->f.n_faces; i++) {
        if (!cli_faces_embed(&w->f, path, pic, &w->f.faces[i]))
            return false;
        if (dmv_index_search(w->index, w->f.embedding, (size_t)w->top, w->matches[i],
                             &w->n_matches[i])) {
            cli_error("%s", dmv_error(w->f.ctx));
            return false;
        }
        w->faces++;
        w->recognised += passed(w, i) > 0;
    }
    return true;
}

static bool one(work *w, const struct cli_input *in, cli_output *out)
{
    dv_picture pic;
    if (!cli_load(in->path, &pic))
        return false;
    bool ok = cli_faces_find(&w->f, in->path, &pic) && search(w, in->path, &pic);
    if (ok) {
        cli_progress_hide();
        if (w->o.json)
            print_json(w, in->path, &pic);
        else
            print_table(w, in->path, &pic);
        if (w->o.draw)
            ok = draw(w, out, in->rel, &pic);
    }
    dv_picture_free(&pic);
    return ok;
}

static int run(work *w, const cli_inputs *in)
{
    const char *path = cli_gallery_path(&w->o, false);
    int code = in->failed ? CLI_ERROR : CLI_YES;
    cli_output out = {0};
    cli_progress bar;
    w->matches = dv_calloc(CLI_MAX_FACES, sizeof *w->matches);
    w->n_matches = dv_calloc(CLI_MAX_FACES, sizeof *w->n_matches);
    if (!w->matches || !w->n_matches)
        return cli_error("out of memory");
    if (!path || !load_gallery(w, path) || !cli_threshold(&w->o, w->f.emb, &w->threshold, &w->fmr))
        return CLI_ERROR;
    if (w->o.draw && !cli_output_open(&out, w->o.draw, in->n > 1 || in->folder))
        return CLI_ERROR;
    cli_progress_start(&bar, "identify", in->n, &w->o);
    for (size_t i = 0; i < in->n && !ferror(stdout); i++) {
        if (!one(w, &in->v[i], &out))
            code = CLI_ERROR;
        cli_progress_update(&bar, i + 1);
    }
    cli_progress_end(&bar);
    cli_output_close(&out);
    if (!w->o.json && !w->o.quiet) {
        printf("%zu of %zu faces recognised at threshold %.4f", w->recognised, w->faces,
               w->threshold);
        if (!isnan(w->fmr))
            printf(" (false-match rate %g)", w->fmr);
        printf("\n");
    }
    return code == CLI_YES && w->recognised == 0 ? CLI_NO : code;
}

int cli_identify(int argc, char **argv)
{
    work w = {.o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MODEL | CLI_USE_MIRROR |
                       CLI_USE_GALLERY | CLI_USE_THRESHOLD | CLI_USE_DRAW,
              .top = 1};
    const char **pos = (const char **)argv;
    size_t n;
    int done;
    cli_option own[] = {
        {"top", "K", "name up to K people for a face, if they pass the threshold (1)", CLI_INT,
         &w.top},
    };
    if (!cli_parse(argc, argv,
                   "domovoi identify [options] PICTURE|FOLDER...\n\n"
                   "Finds faces and looks them up in the gallery. Exit status: 0 somebody was "
                   "recognised,\n1 nobody, 2 error.",
                   "  domovoi identify door.jpg\n"
                   "  domovoi identify --gallery door.db snapshots/ --json --top 3\n"
                   "  domovoi identify party.jpg --draw party-names.png --fmr 1e-3\n",
                   &w.o, own, DV_COUNT(own), pos, (size_t)argc, &n, &done))
        return done;
    if (n == 0)
        return cli_error("no picture given; `domovoi identify --help` shows the form");
    if (w.top < 1 || w.top > MAX_TOP)
        return cli_error("--top %d: 1 to %d", w.top, MAX_TOP);
    cli_inputs in;
    if (!cli_inputs_expand(&in, pos, n))
        return CLI_ERROR;
    int code = CLI_ERROR;
    if (in.n && cli_faces_open(&w.f, &w.o, CLI_WANT_DETECTOR | CLI_WANT_EMBEDDER)) {
        code = run(&w, &in);
        dmv_index_close(&w.index);
        dv_subjects_free(w.subjects, w.n_subjects);
        dv_free(w.matches);
        dv_free(w.n_matches);
        cli_faces_close(&w.f);
    }
    cli_inputs_free(&in);
    return code;
}

#endif
