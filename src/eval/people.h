/* SPDX-License-Identifier: Apache-2.0
 *
 * people.h - who is on which picture: lists of lines subject<TAB>path, folders with one folder a
 * person, MegaFace's JSON lists; and labels of groups, lines key<TAB>group[<TAB>group...].
 */
#ifndef DV_EVAL_PEOPLE_H
#define DV_EVAL_PEOPLE_H

#include "base/base.h"

/* Distinct names, numbered from 0 in the order they came. */
typedef struct dv_names {
    char **v;
    size_t n, cap;
    uint32_t *slots;
    size_t n_slots;
} dv_names;
#define DV_NO_NAME UINT32_MAX
/* The number of a name, which is added if it is new; false = no memory. */
bool dv_names_add(dv_names *t, const char *p, size_t n, uint32_t *number);
/* DV_NO_NAME if it is not there. */
uint32_t dv_names_find(const dv_names *t, const char *p, size_t n);
void dv_names_free(dv_names *t);

typedef struct dv_people {
    uint32_t *subject; /* numbers in the table of names that was given */
    char **path;       /* NULL where a line has no path */
    size_t n, cap, cap_paths;
} dv_people;

/* What the lines of a list hold. */
typedef enum {
    DV_LINES_BOTH,    /* subject<TAB>path */
    DV_LINES_SUBJECT, /* the same on every line: subject, or subject<TAB>path */
    DV_LINES_PATH     /* the same on every line: path, or subject<TAB>path; without a subject it is
                         DV_NO_NAME */
} dv_line_kind;

/* A file of such lines, or, if its first character is '{', MegaFace's
 * {"id": ["subject", ...], "path": ["a.jpg", ...]}, where one of the two may be missing likewise.
 * Empty lines are left out; a path that is there twice is an error, as is a file without lines.
 * Several lists may share one table of names. */
dmv_status dv_people_load(const char *path, dv_line_kind kind, dv_names *names, dv_people *out,
                          dv_err *e);
/* Appends; path may be NULL. */
dmv_status dv_people_push(dv_people *p, uint32_t subject, const char *path, dv_err *e);
void dv_people_free(dv_people *p);

/* Labels: line i gives key[i] a group in every column. */
typedef struct dv_labels {
    dv_names keys;
    size_t columns;
    dv_names titles;  /* of the columns; empty if the file has none */
    dv_names *groups; /* one table a column */
    uint32_t *group;  /* keys.n x columns; DV_NO_NAME where a field is empty */
    size_t cap;
} dv_labels;
/* Every line must have as many fields as the first; a key that comes twice is an error. A first
 * line that starts with '#' holds titles: #path<TAB>age<TAB>... */
dmv_status dv_labels_load(const char *path, dv_labels *out, dv_err *e);
void dv_labels_free(dv_labels *l);

#endif
