/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_detect.h - shared by eval_detect.c (options, boxes, scores) and eval_detect_out.c (what is
 * printed and written).
 */
#ifndef DV_CLI_EVAL_DETECT_H
#define DV_CLI_EVAL_DETECT_H

#include "cli.h"
#include "eval/truth.h"

enum { DET_EASY, DET_MEDIUM, DET_HARD, DET_SUBSETS };

typedef struct detect_args {
    cli_common o;
    cli_texts detectors, boxes;
    const char *truth, *format, *images, *cls, *truth_size, *size, *frames;
    const char *subset[DET_SUBSETS];
    const char *report, *dump, *pr;
    double min_score;
    int first_frame, max_dets, allow_missing;
} detect_args;

typedef struct detect_run { /* a detector, or a file of boxes */
    char name[256];
    bool is_net;
    dv_boxes found;
    cli_detected net; /* its boxes are moved to found */
    dv_detect_result r;
    double wider[DET_SUBSETS];
    dv_pr_curve wider_curve[DET_SUBSETS];
} detect_run;

typedef struct detect_eval {
    detect_args a;
    dv_truth truth;
    size_t pictures; /* that count */
    size_t missing;
    bool wider;     /* the truth is WIDER FACE's */
    bool by_height; /* for want of subset lists */
    uint8_t *keep[DET_SUBSETS];
    size_t kept[DET_SUBSETS];
    detect_run run[CLI_MAX_TEXTS];
    size_t n_runs;
} detect_eval;

extern const char *const detect_subset_names[2][DET_SUBSETS]; /* [by_height] */

void detect_print(const detect_eval *v);
void detect_print_json(const detect_eval *v);
/* These print errors. */
bool detect_write_report(const detect_eval *v);
bool detect_write_dump(const detect_eval *v);
bool detect_write_plot(const detect_eval *v);

#endif
