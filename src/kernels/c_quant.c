/* SPDX-License-Identifier: Apache-2.0
 *
 * 8-bit kernels in C. They are the definition: every variant gives the same bits. Sums wrap, so
 * they are kept in unsigned integers.
 */
#include <math.h>
#include <string.h>

#include "kernels/c_kernels.h"

static float value_of(uint32_t acc, const dv_requant *rq, size_t j)
{
    int32_t s = (int32_t)(acc + (uint32_t)rq->bias[j]);
    return (float)s * (s < 0 && rq->neg ? rq->neg[j] : rq->mul[j]);
}

/* A byte from a value: the clip first, so that the conversion cannot overflow. */
static uint8_t byte_of(float v, float lo, float hi, int32_t zero)
{
    v = v > lo ? v : lo;
    v = v < hi ? v : hi;
    return (uint8_t)((int32_t)rintf(v) + zero);
}

static uint8_t requant(uint32_t acc, const dv_requant *rq, size_t j, const uint8_t *add)
{
    float v = value_of(acc, rq, j);
    if (add) {
        float r = (float)(*add - rq->add_zero) * rq->add_mul;
        v = v + r;
    }
    return byte_of(v, rq->lo, rq->hi, rq->zero);
}

void dv_c_conv_u8(const dv_qconv_args *g)
{
    const dv_requant *rq = g->rq;
    const size_t steps = (g->seg + 3) / 4;
    for (size_t i = 0; i < g->m; i++)
        for (size_t j0 = 0; j0 < g->n; j0 += DV_PANEL) {
            uint32_t acc[DV_PANEL] = {0};
            const int8_t *w = g->w + j0 / DV_PANEL * g->panel;
            for (size_t s = 0; s < g->segs; s++) {
                const uint8_t *a = g->a + i * g->lda + s * g->seg_stride;
                for (size_t k = 0; k < steps; k++, a += 4)
                    for (size_t j = 0; j < DV_PANEL; j++, w += 4) {
                        int32_t sum = a[0] * w[0];
                        for (size_t t = 1; t < DV_MIN(g->seg - k * 4, (size_t)4); t++)
                            sum += a[t] * w[t];
                        acc[j] += (uint32_t)sum;
                    }
            }
            for (size_t j = 0; j < DV_MIN(g->n - j0, (size_t)DV_PANEL); j++) {
                size_t at = i * g->ldc + j0 + j;
                if (g->c_f32)
                    ((float *)g->c)[at] = value_of(acc[j], rq, j0 + j);
                else
                    ((uint8_t *)g->c)[at] = requant(
                        acc[j], rq, j0 + j, rq->add ? rq->add + i * rq->ldadd + j0 + j : NULL);
            }
        }
}

void dv_c_dw_u8(const dv_qdw_args *a)
{
    const size_t groups = (a->kh + 3) / 4;
    for (size_t p = 0; p < a->ro * a->ow; p++)
        for (size_t ch = 0; ch < a->c; ch++) {
            const uint8_t *const *rows = a->rows + p / a->ow * a->kh;
            size_t x = p % a->ow;
            uint32_t acc = 0;
            const int8_t *w = a->w + ch / DV_PANEL * groups * a->kw * 64 + ch % DV_PANEL * 4;
            for (size_t r = 0; r < a->kh; r++)
                for (size_t t = 0; t < a->kw; t++) {
                    size_t col = x * a->sx + t * a->dx - a->px; /* wraps left of column 0 */
                    uint8_t in = col < a->iw ? rows[r][col * a->c + ch] : a->pad;
                    acc += (uint32_t)(in * w[(r / 4 * a->kw + t) * 64 + r % 4]);
                }
            size_t at = p * a->c + ch;
            a->out[at] = requant(acc, a->rq, ch, a->rq->add ? a->rq->add + at : NULL);
        }
}

void dv_c_quant_u8(size_t n, const float *in, float scale, float zero, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        float v = in[i] / scale;
        out[i] = byte_of(v + zero, 0, 255, 0);
    }
}

void dv_c_dequant_u8(size_t n, const uint8_t *in, float scale, float zero, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = ((float)in[i] - zero) * scale;
}

void dv_c_binary_u8(const dv_qbin_args *q)
{
    for (size_t i = 0; i < q->n; i++) {
        float a = (float)(q->a[i] - q->a_zero) * q->a_mul;
        float b = (float)(q->b[i] - q->b_zero) * q->b_mul;
        q->out[i] = byte_of(q->times ? a * b : a + b, q->lo, q->hi, q->zero);
    }
}

void dv_c_lut_u8(size_t n, const uint8_t *in, const uint8_t *table, uint8_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = table[in[i]];
}

void dv_c_scale_u8(const dv_qscale_args *q)
{
    for (size_t r = 0; r < q->rows; r++)
        for (size_t j = 0; j < q->c; j++) {
            size_t at = r * q->c + j;
            float v = (float)(q->in[at] - q->in_zero) * q->mul[j];
            if (q->shift)
                v = v + q->shift[j];
            q->out[at] = byte_of(v, q->lo, q->hi, q->zero);
        }
}

void dv_c_sum_u8(size_t rows, size_t c, const uint8_t *in, int32_t *out)
{
    memset(out, 0, c * sizeof *out);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < c; j++)
            out[j] += in[r * c + j];
}

void dv_c_maxpool_u8(const dv_qpool_args *a)
{
    for (size_t x = 0; x < a->ow; x++)
        for (size_t ch = 0; ch < a->c; ch++) {
            uint8_t most = 0;
            for (size_t r = 0; r < a->kh; r++)
                for (size_t t = 0; t < a->kw; t++) {
                    size_t col = x * a->sx + t * a->dx - a->px;
                    if (col < a->iw)
                        most = DV_MAX(most, a->rows[r][col * a->c + ch]);
                }
            a->out[x * a->c + ch] = most;
        }
}

/* ---- packing ---- */

size_t dv_panel_size_s8(size_t segs, size_t seg, size_t n)
{
    return segs * dv_round_up(seg, 4) * dv_round_up(n, DV_PANEL);
}

void dv_pack_panels_s8(size_t segs, size_t seg, size_t n, const int8_t *w, int8_t *out)
{
    const size_t rows = dv_round_up(seg, 4);
    memset(out, 0, dv_panel_size_s8(segs, seg, n));
    for (size_t s = 0; s < segs; s++)
        for (size_t t = 0; t < seg; t++)
            for (size_t j = 0; j < n; j++) {
                size_t k = s * rows + t;
                out[j / DV_PANEL * segs * rows * DV_PANEL + k / 4 * 64 + j % DV_PANEL * 4 + k % 4] =
                    w[(s * seg + t) * n + j];
            }
}

size_t dv_dw_size_s8(size_t kh, size_t kw, size_t c)
{
    return (kh + 3) / 4 * kw * 4 * dv_round_up(c, DV_PANEL);
}

void dv_pack_dw_s8(size_t kh, size_t kw, size_t c, const int8_t *w, int8_t *out)
{
    const size_t groups = (kh + 3) / 4;
    memset(out, 0, dv_dw_size_s8(kh, kw, c));
    for (size_t r = 0; r < kh; r++)
        for (size_t t = 0; t < kw; t++)
            for (size_t ch = 0; ch < c; ch++)
                out[((ch / DV_PANEL * groups + r / 4) * kw + t) * 64 + ch % DV_PANEL * 4 + r % 4] =
                    w[(r * kw + t) * c + ch];
}
