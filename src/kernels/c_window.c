/* SPDX-License-Identifier: Apache-2.0
 *
 * Sliding windows in C: depthwise convolution and pooling, one output row per call.
 * Columns outside the picture are left out of every sum and maximum.
 */
#include <math.h>

#include "kernels/c_block.h"
#include "kernels/c_kernels.h"

/* Input column of output x and tap t, or SIZE_MAX if it lies outside the row. */
static size_t column(size_t x, size_t t, size_t sx, size_t dx, size_t px, size_t iw)
{
    size_t col = x * sx + t * dx; /* counted from the left edge of the padding */
    return col >= px && col - px < iw ? col - px : SIZE_MAX;
}

/* Output x, channels c .. c + 16. */
static void dw_block(const dv_dw_args *a, size_t x, size_t c)
{
    dv_block sum = {{{0}}};
    for (size_t r = 0; r < a->kh; r++) {
        for (size_t t = 0; t < a->kw; t++) {
            size_t col = column(x, t, a->sx, a->dx, a->px, a->iw);
            if (col == SIZE_MAX)
                continue;
            const dv_block in = dv_block_load(a->rows[r] + col * a->c + c);
            const dv_block w = dv_block_load(a->w + (r * a->kw + t) * a->ldw + c);
            for (int v = 0; v < DV_PANEL / 4; v++)
                sum.v[v] += in.v[v] * w.v[v];
        }
    }
    const size_t at = x * a->c + c;
    dv_block_end(a->ep, c, DV_PANEL, sum, a->ep->add ? a->ep->add + at : NULL, a->out + at);
}

/* Output x, the n < 16 channels from c on. */
static void dw_rest(const dv_dw_args *a, size_t x, size_t c, size_t n)
{
    float sum[DV_PANEL] = {0};
    for (size_t r = 0; r < a->kh; r++) {
        for (size_t t = 0; t < a->kw; t++) {
            size_t col = column(x, t, a->sx, a->dx, a->px, a->iw);
            if (col == SIZE_MAX)
                continue;
            const float *in = a->rows[r] + col * a->c + c;
            const float *w = a->w + (r * a->kw + t) * a->ldw + c;
            for (size_t ch = 0; ch < n; ch++)
                sum[ch] += in[ch] * w[ch];
        }
    }
    const size_t at = x * a->c + c;
    dv_block_end(a->ep, c, n, dv_block_load(sum), a->ep->add ? a->ep->add + at : NULL, a->out + at);
}

void dv_c_dw_f32(const dv_dw_args *a)
{
    const size_t full = a->c / DV_PANEL * DV_PANEL;
    for (size_t x = 0; x < a->ow; x++) {
        for (size_t c = 0; c < full; c += DV_PANEL)
            dw_block(a, x, c);
        if (full < a->c)
            dw_rest(a, x, full, a->c - full);
    }
}

static void pool(const dv_pool_args *a, bool max)
{
    for (size_t x = 0; x < a->ow; x++) {
        float *out = a->out + x * a->c;
        for (size_t ch = 0; ch < a->c; ch++)
            out[ch] = max ? -INFINITY : 0.0f;
        for (size_t r = 0; r < a->kh; r++) {
            for (size_t t = 0; t < a->kw; t++) {
                size_t col = column(x, t, a->sx, a->dx, a->px, a->iw);
                if (col == SIZE_MAX)
                    continue;
                const float *in = a->rows[r] + col * a->c;
                if (max) {
                    for (size_t ch = 0; ch < a->c; ch++)
                        out[ch] = in[ch] > out[ch] ? in[ch] : out[ch];
                } else {
                    for (size_t ch = 0; ch < a->c; ch++)
                        out[ch] += in[ch];
                }
            }
        }
        if (!max)
            for (size_t ch = 0; ch < a->c; ch++)
                out[ch] *= a->scale[x];
    }
}

void dv_c_maxpool_f32(const dv_pool_args *a)
{
    pool(a, true);
}

void dv_c_avgpool_f32(const dv_pool_args *a)
{
    pool(a, false);
}
