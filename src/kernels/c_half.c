/* SPDX-License-Identifier: Apache-2.0
 *
 * Half precision in C. Products of halves are exact in double, and so are their sums as far as the
 * rounding to a half can tell; that rounding goes through a float whose last bit remembers that
 * something was cut off, so that nothing is rounded twice.
 */
#include <math.h>
#include <string.h>

#include "kernels/c_kernels.h"

float dv_half_to_float(uint16_t h)
{
    const unsigned size = h & 0x7fffu;
    float v;
    if (size < 0x400) { /* denormal: steps of 2^-24 */
        v = (float)size * 0x1p-24f;
    } else {
        const uint32_t bits = (size << 13) + (size < 0x7c00 ? 112u << 23 : 224u << 23);
        memcpy(&v, &bits, sizeof v);
    }
    return h & 0x8000u ? -v : v;
}

uint16_t dv_half_from_float(float v)
{
    const uint16_t sign = signbit(v) ? 0x8000u : 0;
    const float size = fabsf(v);
    uint32_t bits;
    if (size < 0x1p-14f)
        return (uint16_t)(sign + (unsigned)rintf(size * 0x1p24f));
    if (!(size < 65520))
        return sign + (size >= 65520 ? 0x7c00 : 0x7e00);
    memcpy(&bits, &size, sizeof bits);
    bits += 0xfff + (bits >> 13 & 1); /* to nearest, ties to even */
    return (uint16_t)(sign + ((bits - (112u << 23)) >> 13));
}

static uint16_t half_of(double v)
{
    float f = (float)v;
    if ((double)f != v && f - f == 0) { /* not exact, not infinite, no NaN */
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        bits -= fabs((double)f) > fabs(v);
        bits |= 1;
        memcpy(&f, &bits, sizeof f);
    }
    return dv_half_from_float(f);
}

static double real(uint16_t h)
{
    return (double)dv_half_to_float(h);
}

static uint16_t fma_half(uint16_t a, uint16_t b, uint16_t c)
{
    return half_of(real(a) * real(b) + real(c));
}

static uint16_t add_half(uint16_t a, uint16_t b)
{
    return half_of(real(a) + real(b));
}

static uint16_t finish(uint16_t v, const dv_hepilogue *ep, size_t j)
{
    const double r = real(v);
    if (ep->act == DV_EP_CLIP) { /* a NaN becomes lo */
        v = r > real(ep->lo) ? v : ep->lo;
        return real(v) < real(ep->hi) ? v : ep->hi;
    }
    if (ep->act == DV_EP_PRELU && r < 0)
        return half_of(r * real(ep->slope[j]));
    return v;
}

void dv_c_conv_f16(const dv_hconv_args *g)
{
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            const uint16_t *w = g->w + j / DV_HPANEL * g->panel + j % 2 * 32 + j % 32 / 2 * 2;
            uint16_t total = 0;
            for (size_t s = 0; s < g->segs; s++) {
                const uint16_t *a = g->a + i * g->lda + s * g->seg_stride;
                for (size_t t = 0; t < g->seg;) {
                    const size_t end = DV_MIN(t + DV_HPIECE, g->seg);
                    uint16_t even = 0, odd = 0;
                    for (; t < end; t += 2, w += 64) {
                        even = fma_half(a[t], w[0], even);
                        odd = fma_half(a[t + 1], w[1], odd);
                    }
                    total = add_half(total, add_half(even, odd));
                }
            }
            if (g->ep->bias)
                total = add_half(total, g->ep->bias[j]);
            if (g->ep->add)
                total = add_half(total, g->ep->add[i * g->ep->ldadd + j]);
            total = finish(total, g->ep, j);
            if (g->c_f32)
                ((float *)g->c)[i * g->ldc + j] = dv_half_to_float(total);
            else
                ((uint16_t *)g->c)[i * g->ldc + j] = total;
        }
}

void dv_c_dw_f16(const dv_hdw_args *a)
{
    for (size_t x = 0; x < a->ow; x++)
        for (size_t ch = 0; ch < a->c; ch++) {
            uint16_t sum = a->ep->bias ? a->ep->bias[ch] : 0;
            for (size_t r = 0; r < a->kh; r++)
                for (size_t t = 0; t < a->kw; t++) {
                    const size_t col = x * a->sx - a->px + t * a->dx; /* wraps left of column 0 */
                    if (col < a->iw)
                        sum = fma_half(a->rows[r][col * a->c + ch],
                                       a->w[(r * a->kw + t) * a->ldw + ch], sum);
                }
            if (a->ep->add)
                sum = add_half(sum, a->ep->add[x * a->c + ch]);
            a->out[x * a->c + ch] = finish(sum, a->ep, ch);
        }
}

void dv_c_to_f16(size_t n, const float *in, uint16_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = dv_half_from_float(in[i]);
}

void dv_c_from_f16(size_t n, const uint16_t *in, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = dv_half_to_float(in[i]);
}

static size_t panel_at(size_t k, size_t i, size_t j)
{
    return j / DV_HPANEL * DV_HPANEL * k + i / 2 * 64 + j % 2 * 32 + j % 32 / 2 * 2 + i % 2;
}

void dv_pack_panels_f16(size_t k, size_t n, const float *w, uint16_t *out)
{
    for (size_t j = 0; j < dv_round_up(n, DV_HPANEL); j++)
        for (size_t i = 0; i < k; i++)
            out[panel_at(k, i, j)] = j < n ? dv_half_from_float(w[i * n + j]) : 0;
}

void dv_unpack_panels_f16(size_t k, size_t n, const uint16_t *w, float *out)
{
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < k; i++)
            out[i * n + j] = dv_half_to_float(w[panel_at(k, i, j)]);
}
