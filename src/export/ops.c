/* SPDX-License-Identifier: Apache-2.0
 *
 * ops.c - which function writes which op. An op that is not here cannot be exported. */
#include "export/onnx_write.h"

ex_fn ex_find_op(uint16_t op)
{
    static const struct ex_entry table[] = {
        {DV_OP_CONV, ex_do_conv},
        {DV_OP_CONV_TRANSPOSE, ex_do_conv_transpose},
        {DV_OP_LINEAR, ex_do_linear},
        {DV_OP_SE, ex_do_se},
        {DV_OP_MAX_POOL, ex_do_pool},
        {DV_OP_AVG_POOL, ex_do_pool},
        {DV_OP_RESIZE, ex_do_resize},
        {DV_OP_DEPTH_TO_SPACE, ex_do_blocks},
        {DV_OP_SPACE_TO_DEPTH, ex_do_blocks},
        {DV_OP_ACT, ex_do_act},
        {DV_OP_PRELU, ex_do_prelu},
        {DV_OP_BINARY, ex_do_binary},
        {DV_OP_MATMUL, ex_do_matmul},
        {DV_OP_SOFTMAX, ex_do_softmax},
        {DV_OP_LAYER_NORM, ex_do_layer_norm},
        {DV_OP_L2_NORM, ex_do_l2_norm},
        {DV_OP_REDUCE, ex_do_reduce},
        {DV_OP_QUANTIZE, ex_do_quantize},
        {DV_OP_DEQUANTIZE, ex_do_dequantize},
        {DV_OP_Q_CONV, ex_do_q_layer},
        {DV_OP_Q_LINEAR, ex_do_q_layer},
        {DV_OP_Q_BINARY, ex_do_q_binary},
        {DV_OP_Q_ACT, ex_do_q_act},
        {DV_OP_Q_SE, ex_do_q_se},
        {DV_OP_H_CONV, ex_do_conv},
        {DV_OP_H_LINEAR, ex_do_linear},
    };
    for (size_t i = 0; i < DV_COUNT(table); i++)
        if (table[i].op == op)
            return table[i].fn;
    for (size_t i = 0; ex_moves[i].fn; i++)
        if (ex_moves[i].op == op)
            return ex_moves[i].fn;
    return NULL;
}
