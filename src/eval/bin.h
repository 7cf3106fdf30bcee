/* SPDX-License-Identifier: Apache-2.0
 *
 * bin.h - InsightFace's verification sets (lfw.bin, agedb_30.bin, cfp_fp.bin, ...): a Python
 * pickle of two lists, 2N picture files as bytes and N booleans; pair k is pictures 2k and 2k + 1.
 *
 * A pickle is a program. This reader knows the few instructions that build lists of bytes and
 * booleans, in protocols 2 to 5, and refuses any other by name and place: nothing is imported,
 * called or executed, whatever the file holds.
 */
#ifndef DV_EVAL_BIN_H
#define DV_EVAL_BIN_H

#include "eval/eval.h"

typedef struct dv_bin_picture {
    const uint8_t *data; /* in the file */
    size_t size;
} dv_bin_picture;

typedef struct dv_bin {
    dv_map map;
    dv_bin_picture *picture; /* one for each of pairs.names; equal bytes are one picture */
    dv_pairs pairs;          /* names: "FILE picture 17", numbered from 1 as in the file */
    /* What a careful list does not have. These sets are as they are, so it is only counted. */
    size_t with_itself;   /* pairs of a picture with itself */
    size_t repeated;      /* pairs that are there already, also in the other order */
    size_t contradicting; /* of those, called the same person once and different people once */
} dv_bin;

/* Whether the file starts as a binary pickle does. */
bool dv_bin_is(const char *path);
dmv_status dv_bin_load(const char *path, dv_bin *out, dv_err *e);
/* The same from memory, which must stay; name is for messages. */
dmv_status dv_bin_parse(const uint8_t *data, size_t size, const char *name, dv_bin *out, dv_err *e);
void dv_bin_free(dv_bin *b);

#endif
