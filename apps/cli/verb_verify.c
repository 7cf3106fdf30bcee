/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_verify.c - `domovoi verify`: are these two the same person? Exit status 0 yes, 1 no,
 * 2 when the question could not be answered.
 */
#include "cli.h"

#include <math.h>
#include <string.h>

/* Leaves the vector of the picture's main face in f->embedding. */
static bool main_face(cli_faces *f, const char *path, bool aligned)
{
    dv_picture pic;
    const dmv_face *face = NULL;
    if (!cli_load(path, &pic))
        return false;
    bool ok = aligned || cli_faces_find(f, path, &pic);
    if (ok && !aligned && f->n_faces == 0) {
        cli_error("%s: no face found; try --max-side, --scales or a lower --min-score", path);
        ok = false;
    }
    if (ok && !aligned) {
        if (f->n_faces > 1)
            cli_warn("%s: %zu faces; the largest counts", path, f->n_faces);
        face = &f->faces[cli_best_face(f->faces, f->n_faces)];
    }
    ok = ok && cli_faces_embed(f, path, &pic, face);
    dv_picture_free(&pic);
    return ok;
}

int cli_verify(int argc, char **argv)
{
    cli_common o = {.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MODEL |
                           CLI_USE_MIRROR | CLI_USE_THRESHOLD};
    const char *pos[2];
    int aligned = 0, done;
    size_t n;
    cli_option own[] = {
        {"aligned", NULL, "the pictures are faces of 112 x 112, as from `domovoi align`", CLI_FLAG,
         &aligned},
    };
    if (!cli_parse(argc, argv,
                   "domovoi verify [options] A B\n\n"
                   "Compares the main faces of two pictures (the one with the largest score x "
                   "width).\nExit status: 0 the same person, 1 different people, 2 error or no "
                   "face.",
                   "  domovoi verify passport.jpg door.jpg\n"
                   "  domovoi verify a.jpg b.jpg --fmr 1e-3 --json\n"
                   "  domovoi verify a.jpg b.jpg --threshold 0.4 --quiet && echo same\n",
                   &o, own, DV_COUNT(own), pos, DV_COUNT(pos), &n, &done))
        return done;
    if (n != 2)
        return cli_error("two pictures are compared; the form is: domovoi verify A B");
    cli_faces f;
    float threshold;
    double fmr;
    int want = CLI_WANT_EMBEDDER | (aligned ? 0 : CLI_WANT_DETECTOR);
    if (!cli_faces_open(&f, &o, want))
        return CLI_ERROR;
    int code = CLI_ERROR;
    size_t dim = dmv_pipeline_dim(f.pipe);
    float *first = dv_calloc(dim, sizeof *first);
    if (!first) {
        cli_error("out of memory");
    } else if (cli_threshold(&o, f.emb, &threshold, &fmr) && main_face(&f, pos[0], aligned)) {
        memcpy(first, f.embedding, dim * sizeof *first);
        if (main_face(&f, pos[1], aligned)) {
            float score = dmv_similarity(first, f.embedding, dim);
            bool same = score >= threshold;
            code = same ? CLI_YES : CLI_NO;
            if (o.json) {
                cli_json j = {.f = stdout};
                cli_js_open(&j, NULL, '{');
                cli_js_bool(&j, "same", same);
                cli_js_real(&j, "score", score, 6);
                cli_js_real(&j, "threshold", threshold, 6);
                cli_js_real(&j, "fmr", fmr, 6);
                cli_js_close(&j, '}');
                cli_js_line(&j);
            } else {
                printf("%s: similarity %.4f, threshold %.4f",
                       same ? "same person" : "different people", score, threshold);
                if (!isnan(fmr))
                    printf(" (false-match rate %g)", fmr);
                printf("\n");
            }
        }
    }
    dv_free(first);
    cli_faces_close(&f);
    return code;
}
