/* SPDX-License-Identifier: Apache-2.0
 *
 * truth_priv.h - shared by truth.c, truth_coco.c and found.c: lines, fields and numbers of text
 * files, and JSON read a piece at a time.
 */
#ifndef DV_EVAL_TRUTH_PRIV_H
#define DV_EVAL_TRUTH_PRIV_H

#include "eval/truth.h"

#define DV_TRUTH_MAX_FILE ((size_t)1 << 30)
#define DV_TRUTH_MAX_NAME 1023
#define DV_TRUTH_MAX_FIELDS 32
#define DV_TRUTH_MAX_PIXEL 1e7  /* no picture is as large */
#define DV_TRUTH_MAX_NUMBER 1e9 /* frames, people */

/* ---- lines ---- */

typedef struct dv_field {
    const char *p;
    size_t n;
} dv_field;

typedef struct dv_lines {
    const char *path, *text;
    size_t size, at, line; /* line: number of the present one */
    const char *p;         /* the present line, without blanks at its ends */
    size_t n;
    dv_err *e;
} dv_lines;

/* Next line that is not empty; false at the end. */
bool dv_lines_next(dv_lines *l);
/* "path: line N: ..." */
dmv_status dv_lines_bad(const dv_lines *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Cuts the line at commas if it has any, else at blanks. DV_TRUTH_MAX_FIELDS + 1 = too many. */
size_t dv_lines_split(const dv_lines *l, dv_field f[DV_TRUTH_MAX_FIELDS + 1]);
/* A finite decimal number and nothing else. The text must not end with the field. */
bool dv_field_number(dv_field f, double *v);
/* A whole number from 0 up to DV_TRUTH_MAX_NUMBER. */
bool dv_field_count(dv_field f, uint32_t *v);
/* x, y, w, h at f[0..3] into b, checked. */
dmv_status dv_lines_box(const dv_lines *l, const dv_field *f, dv_box *b);
/* Ten numbers into b->points. */
dmv_status dv_lines_points(const dv_lines *l, const dv_field *f, dv_box *b);
/* NULL, or what is wrong with a box. */
const char *dv_box_fault(double x, double y, double w, double h);
/* NULL, or what is wrong with the name of a picture, which must stay inside its folder. */
const char *dv_name_fault(const char *p, size_t n);

/* ---- truth being made ---- */

/* Appends a picture; the name is copied. */
bool dv_truth_add_image(dv_truth *t, size_t *cap, const char *name, size_t n);
/* Makes by_name; *twice gets a name that is there twice, or NULL. */
dmv_status dv_truth_index(dv_truth *t, const char **twice, dv_err *e);
dmv_status dv_truth_parse_coco(const char *text, size_t size, const char *name, dv_truth *out,
                               dv_err *e);
/* The number of a class by name or id; false if there is none. */
bool dv_truth_class(const dv_truth *t, const char *name, uint32_t *cls);

/* ---- JSON (RFC 8259), from memory that ends with a 0 ----
 * A reader that walks: what is not wanted is skipped without being kept. Errors are sticky;
 * functions return false after one.
 *     dv_json_open(&j, '{'); while (dv_json_member(&j, key)) if (..) dv_json_number(&j, &v);
 *         else dv_json_skip(&j);
 */
#define DV_JSON_DEPTH 64
typedef struct dv_json {
    const char *p, *end, *path;
    size_t line;
    int depth;
    bool first[DV_JSON_DEPTH]; /* nothing was read at this depth yet */
    dmv_status status;
    dv_err *e;
} dv_json;

/* '{', '[', '"', '0' for a number, 't', 'f', 'n', or 0: something else or the end. */
char dv_json_peek(dv_json *j);
bool dv_json_open(dv_json *j, char bracket); /* '{' or '[' */
/* The next member's name, cut to fit; false at the end of the object, which is then read. */
bool dv_json_member(dv_json *j, char key[64]);
bool dv_json_element(dv_json *j); /* false at the end of the array, which is then read */
bool dv_json_number(dv_json *j, double *v);
bool dv_json_id(dv_json *j, int64_t *v); /* a whole number */
/* UTF-8 of at most size - 1 bytes; longer ones are an error, as is a 0 inside. */
bool dv_json_string(dv_json *j, char *buf, size_t size);
bool dv_json_skip(dv_json *j);
/* Only white space is left. */
bool dv_json_end(dv_json *j);
dmv_status dv_json_bad(dv_json *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
