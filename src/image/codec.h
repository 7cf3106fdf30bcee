/* SPDX-License-Identifier: Apache-2.0
 *
 * codec.h - what the files of the image layer share and nobody else needs: one decoder per
 * kind of file, the limits they check on the header, and two small pixel rules.
 *
 * Decoders get bytes that were sniffed as theirs. They fill *out only on success; `name` stands
 * first in every message.
 */
#ifndef DV_CODEC_H
#define DV_CODEC_H

#include "image/image.h"

typedef struct dv_limits {
    uint32_t side;   /* longest side, pixels */
    uint64_t pixels; /* width times height */
} dv_limits;

/* dv_image_decode with other limits than the usual ones; the fuzzer keeps pictures small. */
dmv_status dv_image_decode_within(const uint8_t *data, size_t size, const char *name,
                                  const dv_limits *lim, dv_picture *out, dv_err *e);

typedef dmv_status (*dv_decode_fn)(const uint8_t *data, size_t size, const char *name,
                                   const dv_limits *lim, dv_picture *out, dv_err *e);
dmv_status dv_jpeg_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                          dv_picture *out, dv_err *e);
dmv_status dv_png_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                         dv_picture *out, dv_err *e);
dmv_status dv_webp_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                          dv_picture *out, dv_err *e);
dmv_status dv_pnm_decode(const uint8_t *data, size_t size, const char *name, const dv_limits *lim,
                         dv_picture *out, dv_err *e);

/* *data freed with dv_free. */
dmv_status dv_png_encode(const dv_picture *p, uint8_t **data, size_t *size, dv_err *e);
dmv_status dv_ppm_encode(const dv_picture *p, uint8_t **data, size_t *size, dv_err *e);

/* The orientation tag (1..8) of the EXIF block of a JPEG file; 1 if there is none or if the
 * block is damaged. Reads headers only, never past data + size. */
int dv_exif_orientation(const uint8_t *data, size_t size);

/* Refuses pictures without pixels and those over the limits. Called on the header, before any
 * memory is asked for. */
dmv_status dv_check_size(uint64_t width, uint64_t height, const char *name, const dv_limits *lim,
                         dv_err *e);
/* DMV_ERR_ARGUMENT unless p holds pixels and its sides are 1..DV_IMAGE_MAX_SIDE. */
dmv_status dv_check_picture(const dv_picture *p, dv_err *e);
/* n pixels RGBA over white to RGB; both may be one and the same buffer. */
void dv_over_white(const uint8_t *rgba, uint8_t *rgb, size_t n);

#endif
