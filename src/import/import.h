/* SPDX-License-Identifier: Apache-2.0
 *
 * import.h - nets of other programs to graphs. Three steps (import.c):
 *   onnx_*.c   parse (protobuf-c, Debian's onnx.proto) and lower every ONNX node to the ops of
 *              nn/ops.inc, with Transpose nodes round the picture-shaped ones. An unsupported net
 *              fails with ALL unsupported nodes in the message.
 *   tflite_*.c the same for TensorFlow Lite (flatbuf.c), ncnn_*.c for ncnn's two files. lower.c is
 *              the workshop of all three.
 *   passes/    rewrite the graph, one file a pass, each correct by itself: fold constants,
 *              recognise LayerNorm, GELU, swish, L2Norm, squeeze-excite, channel shuffle; fold
 *              BN, Pad, scale and shift into weights; cancel and push Transposes; fuse
 *              activation, PReLU and residual add; drop what is dead.
 *   pack.c     weights into the packed forms of graph.h.
 * then profile.c adds what the net itself cannot say (kind, preprocessing, decoder).
 */
#ifndef DV_IMPORT_H
#define DV_IMPORT_H

#include "nn/dmv.h"
#include "nn/exec.h"

/* Attributes for the time of an import; never in a file.
 * DV_IMPORT_PAIR on an Activation: floats scale, zero. Values are rounded to bytes, as by Quantize
 * and Dequantize (inside the import only). DV_IMPORT_SCALES on Conv, Linear: floats, one an output
 * channel: the weights divided by them are integers in -128..127. dv_quant_pairs makes use of it.
 */
enum { DV_IMPORT_TEMPORARY = 0xf000, DV_IMPORT_PAIR, DV_IMPORT_SCALES };

typedef struct dv_import_options {
    bool no_passes;      /* only what running needs: for tests that compare */
    const int64_t *dims; /* sizes for free dims of input 0 at import (NULL = keep them free,
                            a free batch becomes 1) */
    int rank;
    bool exact; /* TensorFlow Lite: 8-bit weights outside of -128..127 keep their layer in floats */
} dv_import_options;

/* data: an ONNX file. On success *g is optimised, packed and passes dv_graph_check. A QDQ net has
 * float weights and layers, with a Quantize and a Dequantize where the file has such a pair. */
dmv_status dv_import_onnx(const uint8_t *data, size_t size, const char *name,
                          const dv_import_options *o, dv_graph *g, dv_err *e);

/* The same for TensorFlow Lite; a quantised net is a QDQ net then. */
dmv_status dv_import_tflite(const uint8_t *data, size_t size, const char *name,
                            const dv_import_options *o, dv_graph *g, dv_err *e);
/* The same for ncnn: the text (.param) and the weights (.bin). */
dmv_status dv_import_ncnn(const uint8_t *param, size_t param_size, const uint8_t *bin,
                          size_t bin_size, const char *name, const dv_import_options *o,
                          dv_graph *g, dv_err *e);
/* Which of the three a file is, by its first bytes; what is none of the others counts as ONNX. */
typedef enum dv_import_format { DV_IMPORT_ONNX, DV_IMPORT_TFLITE, DV_IMPORT_NCNN } dv_import_format;
dv_import_format dv_import_guess(const uint8_t *data, size_t size);

/* Fills in meta from what is known of the net: by the SHA-256 of its file (of ncnn's the weights),
 * else by its inputs and outputs (YuNet, SCRFD, BlazeFace, Ultra-Light, SSD, FastestDet, embedders
 * of 112x112, 68 landmarks); a file that `model export` wrote says the rest itself. */
dmv_status dv_import_profile(const uint8_t *data, size_t size, const char *name, const dv_graph *g,
                             dv_meta *m, dv_err *e);

/* A written summary of what the passes did ("conv 51, fused activations 33, ..."). */
typedef struct dv_import_report {
    size_t nodes_before, nodes_after, transposes_left;
} dv_import_report;
/* Weights into the form that the kernels read; what nobody needs goes. */
dmv_status dv_import_pack(dv_graph *g, dv_err *e);
dmv_status dv_import_optimise(dv_graph *g, dv_import_report *r, dv_err *e);

#endif
