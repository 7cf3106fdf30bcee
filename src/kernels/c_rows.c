/* SPDX-License-Identifier: Apache-2.0
 *
 * Row operations in C: softmax, layer normalisation, transpose, and dot products of
 * one vector with many. Normalisations sum in double.
 */
#include <math.h>
#include <string.h>

#include "kernels/c_kernels.h"

void dv_c_softmax_f32(size_t rows, size_t n, const float *in, float *out)
{
    for (size_t r = 0; r < rows; r++) {
        const float *x = in + r * n;
        float *y = out + r * n;
        float max = -INFINITY;
        for (size_t i = 0; i < n; i++)
            max = x[i] > max ? x[i] : max;
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            y[i] = expf(x[i] - max);
            sum += y[i];
        }
        float scale = (float)(1.0 / sum);
        for (size_t i = 0; i < n; i++)
            y[i] *= scale;
    }
}

void dv_c_layernorm_f32(size_t rows, size_t n, const float *in, const float *gamma,
                        const float *beta, float eps, float *out)
{
    for (size_t r = 0; r < rows; r++) {
        const float *x = in + r * n;
        float *y = out + r * n;
        double sum = 0, square = 0;
        for (size_t i = 0; i < n; i++)
            sum += x[i];
        float mean = (float)(sum / (double)n);
        for (size_t i = 0; i < n; i++) {
            double d = x[i] - mean;
            square += d * d;
        }
        float scale = (float)(1.0 / sqrt(square / (double)n + (double)eps));
        for (size_t i = 0; i < n; i++) {
            float v = (x[i] - mean) * scale;
            v = gamma ? v * gamma[i] : v;
            y[i] = beta ? v + beta[i] : v;
        }
    }
}

void dv_c_evens_f32(size_t n, const float *in, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = in[2 * i];
}

void dv_c_transpose_f32(size_t rows, size_t cols, const float *in, size_t ldi, float *out,
                        size_t ldo)
{
    for (size_t c = 0; c < cols; c++)
        for (size_t r = 0; r < rows; r++)
            out[c * ldo + r] = in[r * ldi + c];
}

void dv_c_dots_f32(size_t n, size_t dim, const float *q, const float *base, size_t ld, float *out)
{
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (size_t j = 0; j < dim; j++)
            sum += q[j] * base[i * ld + j];
        out[i] = sum;
    }
}

void dv_c_dots_s8(size_t n, size_t dim, size_t probes, const int8_t *q, const int8_t *base,
                  const float *scale, float *out, size_t ldo)
{
    for (size_t p = 0; p < probes; p++, q += dim, out += ldo)
        for (size_t i = 0; i < n; i++) {
            int32_t sum = 0;
            for (size_t j = 0; j < dim; j++)
                sum += q[j] * base[i * dim + j];
            out[i] = (float)sum * scale[i];
        }
}

void dv_c_dots_f16(size_t n, size_t dim, size_t probes, const float *q, const uint16_t *base,
                   float *out, size_t ldo)
{
    for (size_t p = 0; p < probes; p++, q += dim, out += ldo)
        for (size_t i = 0; i < n; i++) {
            float sum = 0;
            for (size_t j = 0; j < dim; j++)
                sum += q[j] * dv_half_to_float(base[i * dim + j]);
            out[i] = sum;
        }
}
