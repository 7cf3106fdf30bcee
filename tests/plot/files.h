/* SPDX-License-Identifier: Apache-2.0
 *
 * files.h - a folder for the pictures of the tests, and looking into them: a checker of XML that
 * is no part of the library that writes it, and colours of a decoded PNG.
 */
#ifndef DV_TEST_PLOT_FILES_H
#define DV_TEST_PLOT_FILES_H

#include "image/image.h"
#include "plot/plot.h"

int files_setup(void **state);
int files_teardown(void **state);
const char *in_dir(const char *name); /* good for the next few calls */
size_t files_in_dir(void);

/* The whole file with a zero behind it; free with dv_free. Fails the test if it is not there. */
char *text_of(const char *path);
/* NULL if the text is well-formed XML in UTF-8 as far as tags, attributes, entities and characters
 * go; else what is wrong. */
const char *xml_fault(const char *s);

typedef struct ink {
    size_t n;
    double x, y; /* middle */
    double left, right, top, bottom;
} ink;
/* Pixels within `tolerance` of the colour in each channel, in the part of the picture. */
ink ink_in(const dv_picture *p, int x0, int y0, int x1, int y1, int r, int g, int b, int tolerance);
/* The area between the axes, found by the colour of the frame; data on the frame hide it. */
typedef struct area {
    int x0, y0, x1, y1;
} area;
area area_of(const dv_picture *p);
dv_picture load_png(const char *path);

/* The colours of series 0 .. 7, 0 .. 255. */
extern const int series_rgb[8][3];

#endif
