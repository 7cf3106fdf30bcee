/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_detect.c - `domovoi detect`: where the faces are, or, with --objects, where things of other
 * classes are.
 */
#include "cli.h"

#include <string.h>

#include "face/face.h"

/* What finds: a pipeline of faces, or a detector of objects. Either way f.faces holds the boxes. */
typedef struct finder {
    cli_faces f;
    dv_detector objects;
    bool is_objects;
    dv_object *found;  /* CLI_MAX_FACES */
    char (*names)[32]; /* of found */
} finder;

static void close_finder(finder *d)
{
    dv_detector_close(&d->objects);
    cli_faces_close(&d->f);
    dv_free(d->found);
    dv_free(d->names);
}

/* A detector of any kind; cls NULL = every class. */
static bool open_objects(finder *d, const cli_common *o, const char *cls)
{
    dv_detector_options opt;
    const char *path = cli_need_model(o->detector, "objects", "--detector");
    dv_detector_options_init(&opt);
    d->is_objects = true;
    d->found = dv_calloc(CLI_MAX_FACES, sizeof *d->found);
    d->names = dv_calloc(CLI_MAX_FACES, sizeof *d->names);
    d->f.faces = dv_calloc(CLI_MAX_FACES, sizeof *d->f.faces);
    if (!d->found || !d->names || !d->f.faces) {
        cli_error("out of memory");
        return false;
    }
    if (!path || cli_context_open(o, &d->f.ctx))
        return false;
    if (dmv_model_open(d->f.ctx, path, &d->f.det)) {
        cli_error("%s", dmv_error(d->f.ctx));
        return false;
    }
    if (o->min_score_given)
        opt.min_score = o->min_score;
    if (o->max_side)
        opt.max_side = o->max_side;
    if (cls && (opt.cls = dv_model_class(d->f.det, cls)) < 0) {
        cli_error("--class %s: not one of the net's classes; `domovoi model info %s` lists them",
                  cls, path);
        return false;
    }
    if (dv_detector_open(d->f.ctx, d->f.det, &opt, &d->objects)) {
        cli_error("%s: %s", path, dmv_error(d->f.ctx));
        return false;
    }
    return true;
}

static bool find(finder *d, const char *path, const dv_picture *pic)
{
    if (!d->is_objects)
        return cli_faces_find(&d->f, path, pic);
    const dmv_image img = dv_picture_view(pic);
    if (dv_detector_run(&d->objects, &img, d->found, CLI_MAX_FACES, &d->f.n_faces)) {
        cli_error("%s: %s", path, dmv_error(d->f.ctx));
        return false;
    }
    for (size_t i = 0; i < d->f.n_faces; i++) {
        dmv_face *f = &d->f.faces[i];
        *f = (dmv_face){.score = d->found[i].score, .quality = -1};
        memcpy(f->box, d->found[i].box, sizeof f->box);
        dv_model_label(d->f.det, d->found[i].cls, d->names[i], sizeof d->names[i]);
        if (!d->names[i][0])
            snprintf(d->names[i], sizeof d->names[i], "class %d", d->found[i].cls);
    }
    return true;
}

static void print_table(const char *path, const dv_picture *pic, const finder *d)
{
    const dmv_face *f = d->f.faces;
    size_t n = d->f.n_faces;
    cli_put_text(path);
    printf(": %zu %s%s, %d x %d\n", n, d->is_objects ? "object" : "face", n == 1 ? "" : "s",
           pic->width, pic->height);
    if (n)
        printf("   #        x        y    width   height   score %s\n",
               d->is_objects ? "class" : "quality");
    for (size_t i = 0; i < n; i++) {
        printf("%4zu %8.1f %8.1f %8.1f %8.1f %7.3f ", i + 1, f[i].box[0], f[i].box[1], f[i].box[2],
               f[i].box[3], f[i].score);
        if (d->is_objects) {
            cli_put_text(d->names[i]);
            printf("\n");
        } else if (f[i].quality >= 0) {
            printf("%7.2f\n", f[i].quality);
        } else {
            printf("      -\n");
        }
    }
}

static void print_json(const char *path, const dv_picture *pic, const finder *d)
{
    cli_json j = {.f = stdout};
    cli_js_picture(&j, path, d->is_objects ? "objects" : "faces", pic);
    for (size_t i = 0; i < d->f.n_faces; i++) {
        const dmv_face *f = &d->f.faces[i];
        cli_js_open(&j, NULL, '{');
        if (d->is_objects) {
            cli_js_open(&j, "box", '[');
            for (int k = 0; k < 4; k++)
                cli_js_fixed(&j, NULL, f->box[k], 2);
            cli_js_close(&j, ']');
            cli_js_fixed(&j, "score", f->score, 4);
            cli_js_int(&j, "class", d->found[i].cls);
            cli_js_text(&j, "label", d->names[i]);
        } else {
            cli_js_face(&j, f);
        }
        cli_js_close(&j, '}');
    }
    cli_js_picture_end(&j);
}

static bool draw(cli_output *out, const char *rel, dv_picture *pic, const finder *d)
{
    dv_err e = {0};
    char texts[CLI_MAX_FACES][48];
    size_t n = d->f.n_faces;
    dv_label *labels = dv_calloc(n ? n : 1, sizeof *labels);
    char *path = cli_output_path(out, rel, 0, ".png");
    bool ok = labels && path;
    if (!labels)
        cli_error("out of memory");
    for (size_t i = 0; ok && i < n; i++) {
        snprintf(texts[i], sizeof texts[i], "%s%s%.2f", d->is_objects ? d->names[i] : "",
                 d->is_objects ? " " : "", d->f.faces[i].score);
        labels[i] = (dv_label){.face = d->f.faces[i], .text = texts[i], .good = 1};
    }
    if (ok && dv_draw_faces(pic, labels, n, &e)) {
        cli_error("%s: %s", path, e.msg);
        ok = false;
    }
    ok = ok && cli_save(path, pic);
    dv_free(path);
    dv_free(labels);
    return ok;
}

int cli_detect(int argc, char **argv)
{
    cli_common o = {.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_DRAW};
    const char **pos = (const char **)argv, *cls = NULL;
    size_t n;
    int done, objects = 0;
    cli_option own[] = {
        {"objects", NULL, "boxes with a class, by a detector of objects", CLI_FLAG, &objects},
        {"class", "NAME", "only this class (person, ...); implies --objects", CLI_TEXT, &cls},
    };
    if (!cli_parse(argc, argv,
                   "domovoi detect [options] PICTURE|FOLDER...\n\n"
                   "Finds faces: boxes in pixels, a score, five points, a quality. With --objects "
                   "things of\nthe classes that the detector knows.",
                   "  domovoi detect party.jpg --draw party-faces.png\n"
                   "  domovoi detect holiday/ --json > faces.jsonl\n"
                   "  domovoi detect crowd.jpg --scales 3 --min-score 0.7\n"
                   "  domovoi detect street.jpg --class person --detector models/objects.dmv\n",
                   &o, own, DV_COUNT(own), pos, (size_t)argc, &n, &done))
        return done;
    if (n == 0)
        return cli_error("no picture given; `domovoi detect --help` shows the form");
    objects = objects || cls;
    if (objects && (o.landmarks || o.scales > 1))
        return cli_error("--objects: --landmarks and --scales are for faces");
    finder f;
    cli_inputs in;
    cli_output out = {0};
    cli_progress bar;
    memset(&f, 0, sizeof f);
    if (!cli_inputs_expand(&in, pos, n))
        return CLI_ERROR;
    int code = in.failed ? CLI_ERROR : CLI_YES;
    if (in.n == 0 ||
        !(objects ? open_objects(&f, &o, cls) : cli_faces_open(&f.f, &o, CLI_WANT_DETECTOR)) ||
        (o.draw && !cli_output_open(&out, o.draw, in.n > 1 || in.folder))) {
        code = CLI_ERROR;
        goto end;
    }
    cli_progress_start(&bar, "detect", in.n, &o);
    for (size_t i = 0; i < in.n && !ferror(stdout); i++) {
        dv_picture pic;
        const char *path = in.v[i].path;
        if (!cli_load(path, &pic)) {
            code = CLI_ERROR;
            continue;
        }
        if (!find(&f, path, &pic)) {
            code = CLI_ERROR;
        } else {
            cli_progress_hide();
            if (o.json)
                print_json(path, &pic, &f);
            else
                print_table(path, &pic, &f);
            if (o.draw && !draw(&out, in.v[i].rel, &pic, &f))
                code = CLI_ERROR;
        }
        dv_picture_free(&pic);
        cli_progress_update(&bar, i + 1);
    }
    cli_progress_end(&bar);
end:
    cli_output_close(&out);
    cli_inputs_free(&in);
    close_finder(&f);
    return code;
}
