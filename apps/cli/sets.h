/* SPDX-License-Identifier: Apache-2.0
 *
 * sets.h - people as `eval identify`, `eval cross` and `eval fairness` take them: pictures in
 * folders, lists of pictures or of feature files, matrices of features, all of it to vectors with
 * a subject each. Everything here prints its errors.
 */
#ifndef DV_CLI_SETS_H
#define DV_CLI_SETS_H

#include "cli.h"
#include "eval/featfile.h"
#include "eval/people.h"

/* What the command line says of one set; one of dir, list, features, or list and features. */
typedef struct cli_source {
    const char *what;     /* "gallery", "probes", ... */
    const char *dir;      /* folder of pictures, one folder a person */
    const char *list;     /* lines; with features: one subject a row */
    const char *features; /* matrix of vectors */
    const char *images;   /* folder that the paths of a list are below; NULL = as they are */
    const char *suffix;   /* added to the paths of a list; NULL = nothing */
    bool anybody;         /* subjects are not needed: paths alone will do, and folders are plain */
} cli_source;

typedef struct cli_set {
    const char *what;
    dv_people people; /* every picture, line or row */
    char **path;      /* of each, as it is opened; entries NULL for rows of a matrix */
    dv_features file;
    cli_embedded emb;
    float *own;
    uint8_t *state; /* CLI_PICTURE_* of each */
    size_t missing, faceless;
    bool pictures; /* of files, not of vectors */
    /* Those that have a vector, in order: */
    const float *v; /* n x dim */
    uint32_t *subject, *row;
    size_t n, dim;
} cli_set;

bool cli_source_given(const cli_source *s);
/* Reads the list or the folder, no picture yet. */
bool cli_set_open(cli_set *s, const cli_source *from, dv_names *names);
/* Splits a set from a folder in two: of every person the first `first` pictures stay, the others
 * go to `rest`, but all pictures of `strangers` people, evenly spread, go there. */
bool cli_set_split(cli_set *s, size_t first, size_t strangers, size_t people, cli_set *rest);
/* Embeds or loads. job: options, model, aligned, allow_missing, no_cache. */
bool cli_set_fill(cli_set *s, const cli_embed_job *job);
void cli_set_close(cli_set *s);

/* Text that names row i of a set: its path, or "row 12". buf: 32 bytes. */
const char *cli_set_name(const cli_set *s, size_t row, char buf[32]);
/* "1e-2,1e-3": up to cap rates above 0 and up to 1. */
bool cli_parse_rates(const char *option, const char *s, double *out, size_t cap, size_t *n);
/* dv_write_file of a buffer, which is freed; prints errors. */
bool cli_write_buf(const char *path, dv_buf *b);
/* Text for a cell of a Markdown table: no bars, no line ends. */
void cli_put_cell(dv_buf *b, const char *s);

#endif
