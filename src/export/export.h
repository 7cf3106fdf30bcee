/* SPDX-License-Identifier: Apache-2.0
 *
 * export.h - a graph as an ONNX file (operator set 13), float or 8-bit.
 *
 * Pictures are N, H, W, C inside and N, C, H, W in ONNX: each tensor of four dims may have two
 * values in the file, one in either order, made where somebody asks for it (export.c).
 * Transposes cancel in this way, but for those that the net really has.
 *
 * 8-bit tensors become pairs of QuantizeLinear and DequantizeLinear round float operators (QDQ):
 * u8 with one scale and zero point a tensor, s8 weights with a scale an output channel, s32 biases
 * of scale input times weights. A runtime that computes these pairs as the format says gives what
 * our 8-bit ops give, but for sums that lie on the edge between two bytes.
 *
 * A net in half precision is written as a float net with the weights that it has.
 */
#ifndef DV_EXPORT_H
#define DV_EXPORT_H

#include "nn/dmv.h"
#include "nn/exec.h"

#define DV_EXPORT_OPSET 13
/* Metadata of the .dmv in the file: "domovoi.KEY", the value with its type before a colon. */
#define DV_EXPORT_META "domovoi."

typedef struct dv_export_report {
    size_t nodes, transposes; /* Transposes among them */
    size_t quantised;         /* pairs of QuantizeLinear and DequantizeLinear */
} dv_export_report;

/* g must pass dv_graph_check. *data: the file, free with dv_free. meta, report may be NULL. An op
 * that ONNX cannot express is DMV_ERR_UNSUPPORTED with the node in the message. */
dmv_status dv_export_onnx(const dv_graph *g, const dv_meta *meta, uint8_t **data, size_t *size,
                          dv_export_report *report, dv_err *e);

#endif
