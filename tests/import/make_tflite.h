/* SPDX-License-Identifier: Apache-2.0
 *
 * Small TensorFlow Lite files, written in FlatBuffers by hand: for the tests of the importer and as
 * first inputs of its fuzz target. Field numbers are those of schema.fbs. */
#ifndef DV_TEST_MAKE_TFLITE_H
#define DV_TEST_MAKE_TFLITE_H

#include "base/base.h"

enum { MT_F32 = 0, MT_F16 = 1, MT_I32 = 2, MT_U8 = 3, MT_I64 = 4, MT_I8 = 9 };

/* A field of a table of options; size 0 ends a list. */
typedef struct mt_option {
    int field, size; /* 1, 4: integer v; -4: float f; 5: a vector of one to four ints v */
    int64_t v[4];
    float f;
} mt_option;

typedef struct mt_tensor {
    const char *name;
    int type, rank;
    int32_t dims[6];
    const void *data; /* not copied; NULL = computed */
    size_t size;
    int n_scales, axis; /* 0 = not quantised */
    float scale[8];
    int64_t zero[8];
} mt_tensor;

typedef struct mt_node {
    int op; /* -1 = custom */
    const char *custom;
    int n_in, n_out;
    int32_t in[8], out[4];
    mt_option options[8];
    const uint8_t *custom_options;
    size_t custom_size;
} mt_node;

typedef struct mt_net {
    mt_tensor tensors[24];
    mt_node nodes[12];
    int n_tensors, n_nodes, n_inputs, n_outputs;
    int32_t inputs[4], outputs[4];
} mt_net;

/* The number of the new tensor. */
int32_t mt_add(mt_net *m, mt_tensor t);
void mt_write(const mt_net *m, dv_buf *b); /* appends the file to an empty b */

/* The nets of the fuzz target: 0 a float one, 1 a quantised one, 2 a detector. false: no more. */
bool mt_sample(unsigned i, mt_net *m);

/* The options of TFLite_Detection_PostProcess for `classes` classes, scales 10, 10, 5, 5. */
size_t mt_detection_options(int classes, uint8_t out[256]);

#endif
