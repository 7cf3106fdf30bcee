/* SPDX-License-Identifier: Apache-2.0
 *
 * See make_ncnn.h. */
#include "make_ncnn.h"

#include <math.h>
#include <string.h>

float mn_weight(size_t i)
{
    return (float)((int)(i * 37 % 33) - 16) / 8;
}

static uint16_t half(float v)
{
    int exp;
    if (v == 0)
        return 0;
    float m = frexpf(fabsf(v), &exp); /* 0.5 .. 1 */
    return (uint16_t)((v < 0 ? 0x8000 : 0) | (exp + 14) << 10 | ((int)(m * 2048) & 1023));
}

void mn_weights(dv_buf *bin, mn_form form, size_t first, size_t n)
{
    if (form != MN_PLAIN)
        dv_buf_u32(bin, form == MN_HALF ? 0x01306B47u : 0);
    for (size_t i = first; i < first + n; i++)
        if (form == MN_HALF)
            dv_buf_u16(bin, half(mn_weight(i)));
        else
            dv_buf_f32(bin, mn_weight(i));
    if (form == MN_HALF)
        dv_buf_align(bin, 4);
}

bool mn_sample(unsigned i, dv_buf *text, dv_buf *bin)
{
    static const char *const nets[] = {
        "7767517\n11 12\n"
        "Input in 0 1 x 0=5 1=4 2=2\n"
        "Convolution c1 1 1 x a 0=3 1=3 3=2 4=1 5=1 6=54 9=2 -23310=1,0.25\n"
        "Split sp 1 2 a a0 a1\n"
        "ConvolutionDepthWise dw 1 1 a0 b 0=3 1=3 4=1 6=27 7=3\n"
        "BinaryOp add 2 1 b a1 c 0=0\n"
        "BatchNorm bn 1 1 c d 0=3 1=0.5\n"
        "PReLU pr 1 1 d e 0=3\n"
        "Pooling po 1 1 e f 0=1 4=1\n"
        "InnerProduct fc 1 1 f g 0=4 1=1 2=12 9=1\n"
        "Softmax sm 1 1 g h 0=0 1=1\n"
        "Noop end 1 1 h y\n",
        "7767517\n9 12\n"
        "Input in 0 1 x\n"
        "ConvolutionDepthWise dw 1 1 x a 0=4 1=1 6=4 7=4\n"
        "Slice sl 1 2 a b c -23300=2,1,-233 1=0\n"
        "Interp up 1 1 b d 0=2 1=2.0 2=2.0\n"
        "MemoryData m 0 1 e 0=1 1=1 2=1\n"
        "BinaryOp mul 2 1 d e f 0=2\n"
        "Concat cat 2 1 c c g 0=0\n"
        "HardSwish hs 1 1 g h 0=0.2 1=0.5\n"
        "Permute pe 1 1 h y 0=3\n",
    };
    if (i >= DV_COUNT(nets))
        return false;
    dv_buf_put(text, nets[i], strlen(nets[i]));
    if (i == 0) {
        mn_weights(bin, MN_HALF, 0, 54);
        mn_weights(bin, MN_PLAIN, 54, 3);
        mn_weights(bin, MN_FLOAT, 60, 27);
        mn_weights(bin, MN_PLAIN, 90, 3); /* slope, mean, variance, bias */
        mn_weights(bin, MN_PLAIN, 93, 3);
        mn_weights(bin, MN_PLAIN, 5, 1);
        mn_weights(bin, MN_PLAIN, 5, 1);
        mn_weights(bin, MN_PLAIN, 5, 1);
        mn_weights(bin, MN_PLAIN, 99, 3);
        mn_weights(bin, MN_PLAIN, 102, 3);
        mn_weights(bin, MN_HALF, 105, 12);
        mn_weights(bin, MN_PLAIN, 120, 4);
    } else {
        mn_weights(bin, MN_HALF, 0, 4);
        mn_weights(bin, MN_PLAIN, 7, 1);
    }
    return true;
}
