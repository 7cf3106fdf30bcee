/* SPDX-License-Identifier: Apache-2.0
 *
 * dmv.h - the .dmv model file: one file, memory-mapped, little-endian.
 *
 *   offset  size
 *        0     8  magic "DOMOVOI\n"
 *        8     4  format version (DV_DMV_VERSION)
 *       12     4  flags, 0
 *       16     8  size of the file in bytes
 *       24     8  offset of the metadata section   (= 96)
 *       32     8  offset of the graph section      (written at a multiple of 64)
 *       40     8  offset of the data section       (multiple of 64)
 *       48    16  model id: first 16 bytes of SHA-256(graph section + data section)
 *       64    32  SHA-256 of the whole file with these 32 bytes as zero
 *       96        metadata: u32 count, then count x { u16 key length, u8 type, key,
 *                 value }. Types: 1 text (u32 length, bytes), 2 int64, 3 float32 array
 *                 (u32 count, values)
 *                 graph: u32 tensors, u32 nodes, u32 inputs, u32 outputs, then
 *                   tensor: u16 name length, name, u8 dtype, u8 pack, u8 rank, u8 constant,
 *                           rank x i64; DV_U8: f32 scale, f32 zero; constants: u64 offset
 *                           in the data section, u64 size
 *                   node: u16 op, u16 name length, name, u8 n_in, u8 n_out, u8 n_attr,
 *                         n_in x i32, n_out x i32, n_attr x { u16 key, u8 is_float,
 *                         u32 count, values i64 or f32 }
 *                   inputs, outputs: i32 each
 *                 data: constants, each at a multiple of 64, packed as the kernels read them
 *
 * Nothing in a file is trusted: sizes, offsets, op numbers, attribute values and the
 * shape of every weight are checked (dv_graph_check) before anything is used.
 */
#ifndef DV_DMV_H
#define DV_DMV_H

#include "nn/graph.h"

#define DV_DMV_VERSION                                                        \
    3 /* 2: 8-bit tensors, 3: halves; files are written as old as they can be \
       */

typedef struct dv_meta_item {
    char *key;
    char *text;  /* type 1, else NULL */
    int64_t num; /* type 2 */
    float *f;    /* type 3, else NULL */
    uint32_t n;
    uint8_t type;
} dv_meta_item;

typedef struct dv_meta {
    dv_meta_item *items;
    size_t n, cap;
} dv_meta;

/* Keys with a meaning for the library (all optional):
 *   kind            text  detector | embedder | landmarks | other
 *   name licence origin source   text, for people; source = file name it came from
 *   color           text  rgb | bgr | gray: what the net expects
 *   mean, scale     float x1 or x3, per channel of that order: value = (pixel - mean) * scale
 *   decoder         text  faces: yunet | ultraface | ultraface-raw | retinaface | scrfd |
 *                         blazeface; objects: ssd | fastestdet
 *   fit             text  stretch: pictures are squeezed into a detector's input; else they keep
 *                         their shape
 *   nms_iou         float overlap above which one of two boxes of a class goes
 *   labels          text  names of the classes, with commas between
 *   motion_layer    text  tensor at which the net is cut for a motion gate (dv_graph_find)
 *   landmark_order  text  5 | 68 (what a landmark net gives, normalised to its crop)
 *   crop            float box scale around the detected box for a landmark net
 *   dim             int   embedding length
 *   thresholds      float pairs fmr, similarity, ...; fmr falling
 *   thresholds_from text  on which pictures they were measured
 */
void dv_meta_free(dv_meta *m);
bool dv_meta_set_text(dv_meta *m, const char *key, const char *v); /* false: no memory */
bool dv_meta_set_int(dv_meta *m, const char *key, int64_t v);
bool dv_meta_set_floats(dv_meta *m, const char *key, const float *v, uint32_t n);
const dv_meta_item *dv_meta_get(const dv_meta *m, const char *key);
const char *dv_meta_text(const dv_meta *m, const char *key); /* NULL if absent */

struct dmv_model {
    dv_map map; /* base NULL when opened from memory */
    dv_graph graph;
    dv_meta meta;
    char id[33];
    size_t file_size;
};

/* Parses and checks size bytes at data (64-byte aligned, kept by the caller).
 * `path` is only for messages. */
dmv_status dv_dmv_parse(const uint8_t *data, size_t size, const char *path, dmv_model **out,
                        dv_err *e);
/* Writes atomically. The graph must pass dv_graph_check. */
dmv_status dv_dmv_write(const char *path, const dv_graph *g, const dv_meta *m, dv_err *e);
/* The same into memory: *data is DV_ALIGN-aligned, free with dv_free. */
dmv_status dv_dmv_encode(const dv_graph *g, const dv_meta *m, uint8_t **data, size_t *size,
                         dv_err *e);

#endif
