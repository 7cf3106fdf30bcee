/* SPDX-License-Identifier: Apache-2.0
 *
 * detect.h - how good boxes are: COCO's AP and AR, VOC's AP in both forms, WIDER FACE's AP, the
 * error of five points. Arithmetic only: truth.h reads files, and a caller may make boxes itself
 * (from video, say) or change flags before scoring: to count moving things only, set
 * DV_BOX_IGNORE on the truth that stands still.
 *
 *     dv_boxes truth = {0}, found = {0};
 *     dv_boxes_add(&truth, &(dv_box){.image = 1, .x = 10, .y = 10, .w = 20, .h = 40});
 *     dv_boxes_add(&found, &(dv_box){.image = 1, .x = 11, .y = 9, .w = 21, .h = 40, .score = 0.9});
 *     dv_detect_score(&truth, &found, &(dv_detect_options){.n_classes = 1}, &r, &e);
 *     r.mean[DV_MAP50], r.mean[DV_MAP], r.mean[DV_RECALL50]
 *     dv_detect_free(&r);
 *
 * A box covers x to x + w: where corners count pixels (VOC: x1 to x2, both inside), w = x2 - x1
 * + 1.
 */
#ifndef DV_EVAL_DETECT_H
#define DV_EVAL_DETECT_H

#include "base/base.h"

/* Boxes of one class in one picture, at most; more is DMV_ERR_LIMIT. */
#define DV_DETECT_MAX_BOXES 20000
#define DV_DETECT_MAX_CLASSES 10000

enum {
    /* Need not be found; a detection on it counts neither way. In COCO's figures one detection,
     * in VOC's ("difficult") any number. */
    DV_BOX_IGNORE = 1,
    /* Also needs not be found, and is a crowd: it takes any number of detections, and overlap is
     * measured as a share of the detection. COCO's figures only; elsewhere as DV_BOX_IGNORE. */
    DV_BOX_CROWD = 2,
    DV_BOX_POINTS = 4 /* has points */
};

typedef struct dv_box { /* a truth box or a detection */
    uint32_t image;     /* number of the picture or frame; of equal scores the lower is first */
    uint32_t cls;       /* below n_classes */
    uint32_t track;     /* truth of a sequence: the number of the person; 0 = none */
    uint8_t flags;      /* DV_BOX_* */
    double x, y, w, h;  /* pixels; w, h >= 0 */
    double area;        /* truth: decides between small, medium, large; 0 = w * h */
    double score;       /* detection */
    float points[5][2]; /* as dmv_face.landmarks */
} dv_box;

typedef struct dv_boxes {
    dv_box *v;
    size_t n, cap;
} dv_boxes;
bool dv_boxes_add(dv_boxes *b, const dv_box *box); /* false = no memory */
void dv_boxes_free(dv_boxes *b);

/* Intersection over union, 0 where the union is empty. */
double dv_box_iou(const dv_box *a, const dv_box *b);

/* Figures, fractions of 1; NAN where no truth stands behind one. */
typedef enum dv_figure {
    DV_MAP,       /* COCO: mean over IoU .50:.05:.95 */
    DV_MAP50,     /* at IoU .50 */
    DV_MAP75,     /* at IoU .75 */
    DV_MAP_SMALL, /* area up to 32^2 */
    DV_MAP_MEDIUM,
    DV_MAP_LARGE, /* from 96^2 */
    DV_AR1,       /* recall over the same IoUs with the best detection of a picture */
    DV_AR10,      /* best ten */
    DV_AR,        /* best max_dets */
    DV_AR_SMALL,
    DV_AR_MEDIUM,
    DV_AR_LARGE,
    DV_RECALL50, /* share of the truth found at IoU .50 by the best max_dets of a picture */
    DV_AP_VOC07, /* 11 points, IoU .5, all detections */
    DV_AP_VOC10, /* all points */
    DV_FIGURES
} dv_figure;
extern const char *const dv_figure_names[DV_FIGURES]; /* "map", "map50", ... */

/* Precision against recall, from the highest score down. */
typedef struct dv_pr_curve {
    double *recall, *precision, *score;
    size_t n;
} dv_pr_curve;
void dv_pr_curve_free(dv_pr_curve *c);
/* The place with the largest 2 P R / (P + R); SIZE_MAX if there is none above 0. */
size_t dv_pr_best(const dv_pr_curve *c, double *f1);

typedef struct dv_detect_class {
    double v[DV_FIGURES];
    size_t truths, ignored, detections;
    dv_pr_curve curve; /* VOC's matching at IoU .5, all detections */
} dv_detect_class;

typedef struct dv_detect_options {
    uint32_t n_classes;
    uint32_t max_dets; /* of one class in one picture, COCO's figures; 0 = 100 */
} dv_detect_options;

typedef struct dv_detect_result {
    double mean[DV_FIGURES]; /* over classes that have truth */
    dv_detect_class *cls;    /* n_classes */
    size_t n_classes, truths, ignored, detections;
    /* Points of faces that VOC's matching found and that have points on both sides: mean distance
     * divided by sqrt(w h) of the truth, and the share of faces for which it is over 0.1. */
    double nme, nme_over;
    size_t nme_faces;
} dv_detect_result;

/* As pycocotools does it, to the bit of its thresholds, and as VOC's development kit does it. The
 * order of boxes only matters in ties. Scores that are no numbers, negative sizes and classes out
 * of range are DMV_ERR_ARGUMENT. */
dmv_status dv_detect_score(const dv_boxes *truth, const dv_boxes *found, const dv_detect_options *o,
                           dv_detect_result *r, dv_err *e);
void dv_detect_free(dv_detect_result *r);

/* WIDER FACE: keep has a byte a truth box, 0 = not in this subset (then a detection on it counts
 * neither way). Overlap with a pixel added to each side, scores stretched to 0..1 over all
 * pictures, 1,000 thresholds, pictures without truth left out: as its evaluation tools do it.
 * curve may be NULL; it has up to 1,000 places. *ap is NAN if nothing is kept. */
dmv_status dv_wider_score(const dv_boxes *truth, const uint8_t *keep, const dv_boxes *found,
                          double *ap, dv_pr_curve *curve, dv_err *e);

/* The area under n places of rising recall with precision made falling (VOC from 2010 on). */
double dv_ap_all_points(const double *recall, const double *precision, size_t n);

#endif
