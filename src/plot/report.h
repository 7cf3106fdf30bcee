/* SPDX-License-Identifier: Apache-2.0
 *
 * report.h - Markdown reports (GitHub's dialect) in a dv_buf, written with dv_write_file.
 *
 *     dv_buf b = {0};
 *     dv_report_heading(&b, 1, "LFW, %zu pairs", pairs);
 *     dv_table t;
 *     dv_table_open(&t, "lrr", "net", "accuracy", "TAR at 1e-3");
 *     dv_table_cell(&t, "%s", name);
 *     dv_table_cell(&t, "%.2f %%", accuracy); ...
 *     dv_table_put(&t, &b);
 *     dv_report_image(&b, "ROC", "out/report.md", "out/roc.svg");
 *     if (!(s = dv_report_write(&b, "out/report.md", e))) ...
 *
 * What is formatted is text: characters with a meaning in Markdown or HTML are escaped, control
 * characters become blanks, what is not UTF-8 becomes U+FFFD, so that a file name cannot break a
 * table. Each block stands between empty lines. No memory: `bad` of the buffer, and
 * dv_report_write fails.
 */
#ifndef DV_PLOT_REPORT_H
#define DV_PLOT_REPORT_H

#include "base/base.h"

#define DV_TABLE_COLUMNS 32

void dv_report_heading(dv_buf *b, int level /* 1 .. 6 */, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A paragraph. */
void dv_report_text(dv_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One item of a list; items that follow one another form one list. */
void dv_report_item(dv_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Text as it is, in a fence; language may be NULL. */
void dv_report_code(dv_buf *b, const char *language, const char *text);
/* A picture; image becomes a path relative to the folder of the report, so that both can be
 * moved together. */
void dv_report_image(dv_buf *b, const char *alt, const char *report, const char *image);
/* The text alone, escaped, for a place inside a line. */
void dv_report_escape(dv_buf *b, const char *text);

/* Writes the report and frees the buffer in any case. */
dmv_status dv_report_write(dv_buf *b, const char *path, dv_err *e);

/* ---- tables ---- */
typedef struct dv_table {
    dv_buf text; /* cells, escaped, each with its zero */
    size_t columns, cells;
    char align[DV_TABLE_COLUMNS + 1];
} dv_table;

/* align: a letter a column, l, r or c; a heading (const char *) for each follows. At most
 * DV_TABLE_COLUMNS; more are not shown. */
void dv_table_open(dv_table *t, const char *align, ...);
/* The next cell, row by row. */
void dv_table_cell(dv_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Fills the row with empty cells; nothing at its begin. */
void dv_table_end_row(dv_table *t);
/* Puts the table, columns aligned for readers of the source, and frees it. */
void dv_table_put(dv_table *t, dv_buf *b);

#endif
