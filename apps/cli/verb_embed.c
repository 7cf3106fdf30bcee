/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_embed.c - `domovoi embed`: the vector that stands for a face. Unit length, so that the
 * dot product of two is their similarity.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct work {
    cli_common o;
    cli_faces f;
    int aligned, best;
    size_t dim, rows;
    dv_buf matrix; /* for -o: the vectors, row after row */
    bool keep;
} work;

static void put_vector(work *w, cli_json *j)
{
    if (w->keep) {
        for (size_t i = 0; i < w->dim; i++)
            dv_buf_f32(&w->matrix, w->f.embedding[i]);
        w->rows++;
    }
    if (w->o.json)
        cli_js_floats(j, "embedding", w->f.embedding, w->dim);
}

static void put_row(work *w, size_t k, const dmv_face *face)
{
    if (face)
        printf("%4zu  at %.0f,%.0f  %.0f x %.0f  score %.3f ", k + 1, face->box[0], face->box[1],
               face->box[2], face->box[3], face->score);
    printf(" [");
    for (size_t i = 0; i < w->dim && i < 6; i++)
        printf("%s%.4f", i ? " " : "", w->f.embedding[i]);
    printf("%s]\n", w->dim > 6 ? " ..." : "");
}

/* A JSON line is written once all its faces are done, so that a failure leaves no half line. */
static bool one(work *w, const char *path)
{
    dv_picture pic;
    if (!cli_load(path, &pic))
        return false;
    bool ok = w->aligned || cli_faces_find(&w->f, path, &pic);
    size_t first = 0, n = w->aligned ? 1 : w->f.n_faces;
    if (ok && n && w->best && !w->aligned) {
        first = cli_best_face(w->f.faces, n);
        n = first + 1;
    }
    char *text = NULL;
    size_t size = 0;
    FILE *mem = w->o.json && ok ? open_memstream(&text, &size) : NULL;
    if (w->o.json && ok && !mem) {
        cli_error("out of memory");
        ok = false;
    }
    cli_json j = {.f = mem};
    if (ok && w->o.json) {
        cli_js_picture(&j, path, "faces", &pic);
    } else if (ok) {
        cli_put_text(path);
        printf(": %zu face%s, %zu numbers each\n", n - first, n - first == 1 ? "" : "s", w->dim);
    }
    for (size_t k = first; ok && k < n; k++) {
        const dmv_face *face = w->aligned ? NULL : &w->f.faces[k];
        ok = cli_faces_embed(&w->f, path, &pic, face);
        if (!ok)
            break;
        if (w->o.json) {
            cli_js_open(&j, NULL, '{');
            if (face)
                cli_js_face(&j, face);
        } else {
            put_row(w, k, face);
        }
        put_vector(w, &j);
        if (w->o.json)
            cli_js_close(&j, '}');
    }
    if (mem) {
        if (ok)
            cli_js_picture_end(&j);
        bool bad = ferror(mem);
        if (fclose(mem) != 0 || bad) {
            cli_error("out of memory");
            ok = false;
        }
        if (ok)
            fwrite(text, 1, size, stdout);
        free(text); /* open_memstream's, not ours */
    }
    dv_picture_free(&pic);
    return ok;
}

/* NumPy's format 1.0: little-endian float32, rows x dim. */
static bool write_npy(const char *path, const dv_buf *rows, size_t n, size_t dim)
{
    dv_err e = {0};
    dv_buf b = {0};
    char head[128];
    int len = snprintf(head, sizeof head,
                       "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", n, dim);
    memset(head + len, ' ', sizeof head - (size_t)len);
    head[117] = '\n';
    dv_buf_put(&b, "\x93NUMPY\x01\x00", 8);
    dv_buf_u16(&b, 118); /* 10 + 118 = 128, a multiple of 64 */
    dv_buf_put(&b, head, 118);
    dv_buf_put(&b, rows->data, rows->size);
    bool ok = !b.bad && !rows->bad;
    if (!ok)
        cli_error("out of memory");
    else if (dv_write_file(path, b.data, b.size, &e)) {
        cli_error("%s", e.msg);
        ok = false;
    }
    dv_buf_free(&b);
    return ok;
}

int cli_embed(int argc, char **argv)
{
    work w = {.o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MODEL | CLI_USE_MIRROR};
    const char *output = NULL;
    const char **pos = (const char **)argv;
    size_t n;
    int done;
    cli_option own[] = {
        {"aligned", NULL, "the pictures are faces of 112 x 112, as from `domovoi align`", CLI_FLAG,
         &w.aligned},
        {"best", NULL, "only the face with the largest score x width", CLI_FLAG, &w.best},
        {"output", "FILE.npy", "also write all vectors as a NumPy array; also -o", CLI_TEXT,
         &output},
    };
    if (!cli_parse(argc, argv,
                   "domovoi embed [options] PICTURE|FOLDER...\n\n"
                   "Prints the embedding of every face. Vectors have length 1: the dot product of\n"
                   "two is their similarity.",
                   "  domovoi embed anna.jpg --json\n"
                   "  domovoi embed aligned/ --aligned -o faces.npy --quiet\n",
                   &w.o, own, DV_COUNT(own), pos, (size_t)argc, &n, &done))
        return done;
    if (n == 0)
        return cli_error("no picture given; `domovoi embed --help` shows the form");
    cli_inputs in;
    if (!cli_inputs_expand(&in, pos, n))
        return CLI_ERROR;
    int code = in.failed ? CLI_ERROR : CLI_YES;
    int want = CLI_WANT_EMBEDDER | (w.aligned ? 0 : CLI_WANT_DETECTOR);
    if (in.n == 0 || !cli_faces_open(&w.f, &w.o, want)) {
        cli_inputs_free(&in);
        return CLI_ERROR;
    }
    w.dim = dmv_pipeline_dim(w.f.pipe);
    w.keep = output != NULL;
    cli_progress bar;
    cli_progress_start(&bar, "embed", in.n, &w.o);
    for (size_t i = 0; i < in.n && !ferror(stdout); i++) {
        cli_progress_hide();
        if (!one(&w, in.v[i].path))
            code = CLI_ERROR;
        cli_progress_update(&bar, i + 1);
    }
    cli_progress_end(&bar);
    if (output && !write_npy(output, &w.matrix, w.rows, w.dim))
        code = CLI_ERROR;
    dv_buf_free(&w.matrix);
    cli_inputs_free(&in);
    cli_faces_close(&w.f);
    return code;
}
