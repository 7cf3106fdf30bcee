/* SPDX-License-Identifier: Apache-2.0
 *
 * image.h - picture files to pixels and back, and drawing. JPEG (libjpeg-turbo, EXIF
 * orientation applied), PNG (libspng), WebP (libwebp), PNM (P2, P3, P5, P6; our own).
 * The device library does not link this folder.
 *
 * The format is told from the bytes, never from the file name. Limits: DV_IMAGE_MAX_SIDE and
 * DV_IMAGE_MAX_PIXELS, checked on the header before anything is allocated.
 */
#ifndef DV_IMAGE_H
#define DV_IMAGE_H

#include "base/base.h"

#define DV_IMAGE_MAX_SIDE 32767
#define DV_IMAGE_MAX_PIXELS (100u * 1000 * 1000)
#define DV_IMAGE_MAX_FILE (256u * 1024 * 1024)

typedef struct dv_picture { /* RGB8, tightly packed: stride = 3 * width */
    uint8_t *pixels;        /* dv_free by dv_picture_free */
    int width, height;
} dv_picture;

void dv_picture_free(dv_picture *p);
dmv_image dv_picture_view(const dv_picture *p);

/* name is for messages. Decoding one and the same bytes always gives the same pixels. */
dmv_status dv_image_decode(const uint8_t *data, size_t size, const char *name, dv_picture *out,
                           dv_err *e);
dmv_status dv_image_load(const char *path, dv_picture *out, dv_err *e);
/* By the ending of path: .png, .jpg/.jpeg (quality 90), .ppm. Atomic. */
dmv_status dv_image_save(const char *path, const dv_picture *p, dv_err *e);
/* JPEG in memory; *data freed with dv_free. */
dmv_status dv_image_encode_jpeg(const dv_picture *p, int quality, uint8_t **data, size_t *size,
                                dv_err *e);
/* True for endings that dv_image_load can read (jpg jpeg png webp ppm pgm pnm, any case). */
bool dv_image_is_name(const char *path);

/* ---- walking folders ---- */
typedef struct dv_paths {
    char **v;
    size_t n, cap;
} dv_paths;
void dv_paths_free(dv_paths *p);
/* A picture file: itself. A folder: all pictures below it, sorted by strcmp of the
 * whole path; links to folders are not followed. Nothing found is an error. */
dmv_status dv_image_list(const char *path, dv_paths *out, dv_err *e);

/* ---- drawing (cairo; DMV_ERR_UNSUPPORTED when built without) ---- */
typedef struct dv_label {
    dmv_face face;
    const char *text; /* under the box; NULL = none */
    int good;         /* 1 green, 0 amber, -1 red */
} dv_label;
dmv_status dv_draw_faces(dv_picture *p, const dv_label *labels, size_t n, dv_err *e);
/* A sheet of pictures in rows of `columns`, each scaled into cell x cell, with captions. */
dmv_status dv_draw_sheet(const dv_picture *p, const char *const *captions, size_t n, int columns,
                         int cell, dv_picture *out, dv_err *e);

#endif
