/* SPDX-License-Identifier: Apache-2.0
 *
 * folk.h - made-up people for the gallery tests: random unit vectors from fixed seeds, a
 * temporary folder of its own for every test, and checks of whole galleries.
 */
#ifndef FOLK_H
#define FOLK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gallery/gallery.h"

#define FOLK_DIM 128

extern const dv_gallery_model folk_model, folk_other;

/* cmocka setup and teardown: *state is the folder, removed afterwards with all in it. */
int folk_setup(void **state);
int folk_teardown(void **state);
void folk_clear(const char *folder); /* removes the files in it */
/* "FOLDER/NAME" in one of 64 buffers used in turn. */
const char *folk_path(void **state, const char *name);

uint64_t folk_random(uint64_t *seed); /* splitmix64 */
/* The unit vector of seed; FOLK_DIM floats. */
void folk_vector(uint64_t seed, float *v);
/* Fails the test with the message in e unless s is DMV_OK. */
void folk_ok(dmv_status s, const dv_err *e);
/* Fails unless s is want and the message holds `part`. */
void folk_fails(dmv_status s, const dv_err *e, dmv_status want, const char *part);
dv_gallery *folk_open(const char *path); /* made if new, of folk_model */
/* Adds n templates of vectors seed, seed + 1, ... with source, quality and a crop. */
dmv_status folk_add(dv_gallery *g, const char *name, uint64_t seed, size_t n, dv_err *e);
/* SHA-256 over every field of every template but the ids, order included. */
void folk_digest(dv_gallery *g, char hex[65]);
/* Whether the bytes occur in any file of the folder. */
bool folk_on_disk(const char *folder, const void *bytes, size_t n);
size_t folk_count(dv_gallery *g); /* templates */
bool folk_has(dv_gallery *g, const char *name);
void folk_put(const char *path, const void *data, size_t n);
uint8_t *folk_get(const char *path, size_t *n);

#endif
