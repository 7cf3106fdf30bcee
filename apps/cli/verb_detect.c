/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_detect.c - `domovoi detect`: where the faces are.
 */
#include "cli.h"

#include <string.h>

static void print_table(const char *path, const dv_picture *pic, const dmv_face *f, size_t n)
{
    cli_put_text(path);
    printf(": %zu face%s, %d x %d\n", n, n == 1 ? "" : "s", pic->width, pic->height);
    if (n)
        printf("   #        x        y    width   height   score quality\n");
    for (size_t i = 0; i < n; i++) {
        printf("%4zu %8.1f %8.1f %8.1f %8.1f %7.3f ", i + 1, f[i].box[0], f[i].box[1], f[i].box[2],
               f[i].box[3], f[i].score);
        if (f[i].quality >= 0)
            printf("%7.2f\n", f[i].quality);
        else
            printf("      -\n");
    }
}

static void print_json(const char *path, const dv_picture *pic, const dmv_face *f, size_t n)
{
    cli_json j = {.f = stdout};
    cli_js_picture(&j, path, pic);
    for (size_t i = 0; i < n; i++) {
        cli_js_open(&j, NULL, '{');
        cli_js_face(&j, &f[i]);
        cli_js_close(&j, '}');
    }
    cli_js_picture_end(&j);
}

static bool draw(cli_output *out, const char *rel, dv_picture *pic, const dmv_face *f, size_t n)
{
    dv_err e = {0};
    char texts[CLI_MAX_FACES][8];
    dv_label *labels = dv_calloc(n ? n : 1, sizeof *labels);
    char *path = cli_output_path(out, rel, 0, ".png");
    bool ok = labels && path;
    if (!labels)
        cli_error("out of memory");
    for (size_t i = 0; ok && i < n; i++) {
        snprintf(texts[i], sizeof texts[i], "%.2f", f[i].score);
        labels[i] = (dv_label){.face = f[i], .text = texts[i], .good = 1};
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
    const char **pos = (const char **)argv;
    size_t n;
    int done;
    if (!cli_parse(argc, argv,
                   "domovoi detect [options] PICTURE|FOLDER...\n\n"
                   "Finds faces: boxes in pixels, a score, five points, a quality.",
                   "  domovoi detect party.jpg --draw party-faces.png\n"
                   "  domovoi detect holiday/ --json > faces.jsonl\n"
                   "  domovoi detect crowd.jpg --scales 3 --min-score 0.7\n",
                   &o, NULL, 0, pos, (size_t)argc, &n, &done))
        return done;
    if (n == 0)
        return cli_error("no picture given; `domovoi detect --help` shows the form");
    cli_faces f;
    cli_inputs in;
    cli_output out = {0};
    cli_progress bar;
    if (!cli_inputs_expand(&in, pos, n))
        return CLI_ERROR;
    int code = in.failed ? CLI_ERROR : CLI_YES;
    if (in.n == 0 || !cli_faces_open(&f, &o, CLI_WANT_DETECTOR)) {
        cli_inputs_free(&in);
        return CLI_ERROR;
    }
    if (o.draw && !cli_output_open(&out, o.draw, in.n > 1 || in.folder)) {
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
        if (!cli_faces_find(&f, path, &pic)) {
            code = CLI_ERROR;
        } else {
            cli_progress_hide();
            if (o.json)
                print_json(path, &pic, f.faces, f.n_faces);
            else
                print_table(path, &pic, f.faces, f.n_faces);
            if (o.draw && !draw(&out, in.v[i].rel, &pic, f.faces, f.n_faces))
                code = CLI_ERROR;
        }
        dv_picture_free(&pic);
        cli_progress_update(&bar, i + 1);
    }
    cli_progress_end(&bar);
end:
    cli_output_close(&out);
    cli_inputs_free(&in);
    cli_faces_close(&f);
    return code;
}
