/* SPDX-License-Identifier: Apache-2.0
 *
 * truth.h - boxes from files: what is there (truth) and what a detector found.
 *
 * Truth, told apart by what the file looks like:
 *   mot     frame,id,x,y,w,h,flag,...  MOT15 and MOT16; a row whose 7th column is 0 is ignored
 *   frames  frame,x,y,w,h              and x1,y1 .. x5,y5 behind it for five points
 *   wider   WIDER FACE's wider_face_val_bbx_gt.txt: a name, how many, x y w h blur expression
 *           illumination invalid occlusion pose; a face with invalid = 1 is ignored
 *   points  WIDER FACE with points, as RetinaFace made it: "# name", then x y w h, and maybe five
 *           times x y flag and one more number; a negative coordinate: no points
 *   coco    JSON with images, annotations, categories; iscrowd; keypoints if there are five
 * mot and frames number their pictures; the others name them.
 *
 * Detections, for any truth:
 *   FRAME,X,Y,W,H,SCORE[,CLASS][,x1,y1 .. x5,y5]  FRAME: its number (COCO: the picture's id) or
 *           name; CLASS: a name or number
 *   MOT's   frame,-1,x,y,w,h,score,-1,-1,-1
 *   COCO's results, JSON: [{"image_id":..,"category_id":..,"bbox":[..],"score":..}, ..]
 *   WIDER's folder: EVENT/PICTURE.txt with a name, how many, x y w h score
 *
 * Numbers that are not finite or that no picture has, negative sizes, rows shorter or longer than
 * the first (cut files) and the like are errors that name file and line.
 */
#ifndef DV_EVAL_TRUTH_H
#define DV_EVAL_TRUTH_H

#include "eval/detect.h"

typedef enum dv_truth_format {
    DV_TRUTH_AUTO,
    DV_TRUTH_MOT,
    DV_TRUTH_FRAMES,
    DV_TRUTH_WIDER,
    DV_TRUTH_POINTS,
    DV_TRUTH_COCO,
    DV_TRUTH_FORMATS
} dv_truth_format;
extern const char *const dv_truth_format_names[DV_TRUTH_FORMATS]; /* "auto", "mot", ... */

typedef struct dv_truth_name { /* for looking up */
    const char *name;
    uint32_t image;
} dv_truth_name;

typedef struct dv_truth {
    dv_truth_format format;
    dv_boxes boxes;         /* .image: a frame's number, or one in images */
    char **images;          /* relative names, n_images of them; none where frames are numbered */
    int64_t *image_ids;     /* COCO: their ids, rising */
    dv_truth_name *by_name; /* sorted */
    size_t n_images;
    uint32_t first_frame, last_frame; /* where frames are numbered */
    char **classes;                   /* names; one, "", where the format has none */
    int64_t *class_ids;               /* COCO; else NULL */
    size_t n_classes;                 /* at least 1 */
} dv_truth;

/* On failure *out is all zero. */
dmv_status dv_truth_load(const char *path, dv_truth_format format, dv_truth *out, dv_err *e);
/* The same from memory: text[size] must be 0. name is for messages. */
dmv_status dv_truth_parse(const char *text, size_t size, const char *name, dv_truth_format format,
                          dv_truth *out, dv_err *e);
void dv_truth_free(dv_truth *t);
/* Leaves the boxes of one class, by name or number. */
dmv_status dv_truth_select(dv_truth *t, const char *cls, dv_err *e);
/* Multiplies all coordinates: truth for pictures of another size. */
void dv_truth_scale(dv_truth *t, double sx, double sy);
/* The number of a picture by name (or COCO id), or of a frame; false if there is none. */
bool dv_truth_image(const dv_truth *t, const char *name, uint32_t *image);

/* A WIDER subset: keep (a byte a truth box) from lines "PICTURE n n n ..", the numbers, from 1, of
 * the picture's boxes in the order of the truth file. */
dmv_status dv_subset_load(const char *path, const dv_truth *t, uint8_t *keep, dv_err *e);
dmv_status dv_subset_parse(const char *text, size_t size, const char *name, const dv_truth *t,
                           uint8_t *keep, dv_err *e);

/* cls, or NULL: leave rows of this class only. A class that truth does not have is an error. */
dmv_status dv_found_load(const char *path, const dv_truth *t, const char *cls, dv_boxes *out,
                         dv_err *e);
dmv_status dv_found_parse(const char *text, size_t size, const char *name, const dv_truth *t,
                          const char *cls, dv_boxes *out, dv_err *e);
/* A folder as WIDER's tools want it. Pictures without a file: *missing and the first one's path;
 * nothing is found in them. */
dmv_status dv_found_folder(const char *folder, const dv_truth *t, dv_boxes *out, size_t *missing,
                           char first[1024], dv_err *e);

#endif
