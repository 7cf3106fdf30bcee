/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementwise operations in C: binary, activations (through libm), PReLU, and the
 * conversion of pixels to floats. NaN in gives NaN out, also for maximum, minimum
 * and clip.
 */
#include <math.h>

#include "kernels/c_kernels.h"

static float binary(int op, float a, float b)
{
    switch (op) {
    case DV_BIN_ADD:
        return a + b;
    case DV_BIN_SUB:
        return a - b;
    case DV_BIN_MUL:
        return a * b;
    case DV_BIN_DIV:
        return a / b;
    case DV_BIN_MAX:
        return a > b || isnan(a) ? a : b;
    case DV_BIN_MIN:
        return a < b || isnan(a) ? a : b;
    default:
        return powf(a, b);
    }
}

void dv_c_binary_f32(int op, int mode, size_t n, const float *a, const float *b, float *out)
{
    /* The scalar is read first, so that out may be the scalar's array as well. */
    float a0 = n ? a[0] : 0, b0 = n ? b[0] : 0;
    for (size_t i = 0; i < n; i++)
        out[i] = binary(op, mode == 2 ? a0 : a[i], mode == 1 ? b0 : b[i]);
}

static float clip(float x, float lo, float hi)
{
    x = x < lo ? lo : x;
    return x > hi ? hi : x;
}

static float activate(int act, float x, float p, float q)
{
    switch (act) {
    case DV_ACT_CLIP:
        return clip(x, p, q);
    case DV_ACT_LEAKY:
        return x < 0 ? x * p : x;
    case DV_ACT_SIGMOID:
        return 1.0f / (1.0f + expf(-x));
    case DV_ACT_TANH:
        return tanhf(x);
    case DV_ACT_SWISH:
        return x / (1.0f + expf(-x));
    case DV_ACT_HSIGMOID:
        return clip(p * x + q, 0.0f, 1.0f);
    case DV_ACT_HSWISH:
        return x * clip(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
    case DV_ACT_GELU:
        return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case DV_ACT_ERF:
        return erff(x);
    case DV_ACT_EXP:
        return expf(x);
    case DV_ACT_LOG:
        return logf(x);
    case DV_ACT_SQRT:
        return sqrtf(x);
    case DV_ACT_ABS:
        return fabsf(x);
    case DV_ACT_NEG:
        return -x;
    case DV_ACT_FLOOR:
        return floorf(x);
    case DV_ACT_CEIL:
        return ceilf(x);
    case DV_ACT_RECIP:
        return 1.0f / x;
    case DV_ACT_ELU:
        return x < 0 ? p * expm1f(x) : x;
    case DV_ACT_SOFTPLUS:
        return (x < 0 ? 0.0f : x) + log1pf(expf(-fabsf(x)));
    default:
        return x;
    }
}

void dv_c_act_f32(int act, size_t n, const float *in, float *out, float p, float q)
{
    for (size_t i = 0; i < n; i++)
        out[i] = activate(act, in[i], p, q);
}

void dv_c_prelu_f32(size_t rows, size_t c, const float *in, const float *slope, float *out)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t ch = 0; ch < c; ch++) {
            float x = in[r * c + ch];
            out[r * c + ch] = x < 0 ? x * slope[ch] : x;
        }
}

void dv_c_u8_to_f32(size_t w, const uint8_t *rgb, int swap, const float scale[3],
                    const float shift[3], float *out)
{
    for (size_t x = 0; x < w; x++)
        for (size_t ch = 0; ch < 3; ch++) {
            size_t from = swap ? 2 - ch : ch;
            out[x * 3 + ch] = (float)rgb[x * 3 + from] * scale[ch] + shift[ch];
        }
}
