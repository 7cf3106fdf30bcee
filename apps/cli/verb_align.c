/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_align.c - `domovoi align`: faces cut out and turned upright, 112 x 112, the way
 * embedders want them.
 */
#include "cli.h"

#include <string.h>

typedef struct work {
    cli_common o;
    cli_faces f;
    cli_output out;
    int best;
    size_t written;
} work;

static bool write_crop(work *w, const char *path, const char *rel, const dv_picture *pic, size_t k,
                       const dmv_face *face)
{
    static uint8_t rgb[DMV_ALIGNED_SIZE * DMV_ALIGNED_SIZE * 3];
    dmv_image view = dv_picture_view(pic);
    if (!face->has_landmarks) {
        cli_error("%s: a face without landmarks; name a landmark net with --landmarks", path);
        return false;
    }
    if (dmv_align(&view, face->landmarks, rgb)) {
        cli_error("%s: the five points of a face coincide; it cannot be aligned", path);
        return false;
    }
    char *to = cli_output_path(&w->out, rel, k, ".png");
    dv_picture crop = {rgb, DMV_ALIGNED_SIZE, DMV_ALIGNED_SIZE};
    bool ok = to && cli_save(to, &crop);
    if (ok) {
        w->written++;
        if (w->o.json) {
            cli_json j = {.f = stdout};
            cli_js_open(&j, NULL, '{');
            cli_js_text(&j, "image", path);
            cli_js_text(&j, "crop", to);
            cli_js_face(&j, face);
            cli_js_close(&j, '}');
            cli_js_line(&j);
        } else if (!w->o.quiet) {
            cli_put_text(to);
            printf("  score %.3f, quality %.2f\n", face->score, face->quality);
        }
    }
    dv_free(to);
    return ok;
}

static bool one(work *w, const char *path, const char *rel)
{
    dv_picture pic;
    if (!cli_load(path, &pic))
        return false;
    bool ok = cli_faces_find(&w->f, path, &pic);
    if (ok && w->f.n_faces == 0) {
        cli_error("%s: no face found; try --max-side, --scales or a lower --min-score", path);
        ok = false;
    }
    if (ok && w->best) {
        size_t k = cli_best_face(w->f.faces, w->f.n_faces);
        ok = write_crop(w, path, rel, &pic, 0, &w->f.faces[k]);
    } else if (ok) {
        for (size_t k = 0; k < w->f.n_faces; k++)
            ok = write_crop(w, path, rel, &pic, k, &w->f.faces[k]) && ok;
    }
    dv_picture_free(&pic);
    return ok;
}

int cli_align(int argc, char **argv)
{
    work w = {.o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT};
    const char *output = NULL;
    const char **pos = (const char **)argv;
    size_t n;
    int done;
    cli_option own[] = {
        {"output", "FILE|FOLDER", "where the crops go; also -o. Needed", CLI_TEXT, &output},
        {"best", NULL, "only the face with the largest score x width", CLI_FLAG, &w.best},
    };
    if (!cli_parse(argc, argv,
                   "domovoi align [options] PICTURE|FOLDER... -o OUT.png|FOLDER\n\n"
                   "Cuts every face out and turns it upright: 112 x 112 pixels. The first face of "
                   "a.jpg\nbecomes a.png, the others a-2.png, a-3.png.",
                   "  domovoi align anna.jpg --best -o anna.png\n"
                   "  domovoi align people/ -o aligned/       keeps the folders below people/\n",
                   &w.o, own, DV_COUNT(own), pos, (size_t)argc, &n, &done))
        return done;
    if (n == 0 || !output)
        return cli_error("%s; the form is: domovoi align PICTURE -o OUT.png",
                         n ? "no output given" : "no picture given");
    cli_inputs in;
    if (!cli_inputs_expand(&in, pos, n))
        return CLI_ERROR;
    int code = in.failed ? CLI_ERROR : CLI_YES;
    if (in.n == 0 || !cli_faces_open(&w.f, &w.o, CLI_WANT_DETECTOR)) {
        cli_inputs_free(&in);
        return CLI_ERROR;
    }
    if (!cli_output_open(&w.out, output, in.n > 1 || in.folder)) {
        code = CLI_ERROR;
    } else {
        cli_progress bar;
        cli_progress_start(&bar, "align", in.n, &w.o);
        for (size_t i = 0; i < in.n && !ferror(stdout); i++) {
            if (!one(&w, in.v[i].path, in.v[i].rel))
                code = CLI_ERROR;
            cli_progress_update(&bar, i + 1);
        }
        cli_progress_end(&bar);
    }
    cli_output_close(&w.out);
    cli_inputs_free(&in);
    cli_faces_close(&w.f);
    return code;
}
