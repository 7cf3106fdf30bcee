/* SPDX-License-Identifier: Apache-2.0
 *
 * C twins of the transforms of Winograd's 3x3 convolution.
 */
#include "kernels/c_kernels.h"
#include "kernels/c_block.h"

void dv_c_winograd_in(const dv_wino_in_args *a)
{
    for (size_t t = 0; t < a->tiles; t++)
        for (size_t ch = 0; ch < a->c; ch++) {
            float v[4][4];
            for (size_t j = 0; j < 4; j++) {
                size_t col = 2 * t + j - a->px; /* wraps left of column 0 */
                float d[4];
                for (int i = 0; i < 4; i++)
                    d[i] = a->rows[i] && col < a->iw ? a->rows[i][col * a->c + ch] : 0;
                v[0][j] = d[0] - d[2];
                v[1][j] = d[1] + d[2];
                v[2][j] = d[2] - d[1];
                v[3][j] = d[1] - d[3];
            }
            float *out = a->out + t * a->c + ch;
            for (int i = 0; i < 4; i++, out += 4 * a->ldm) {
                out[0] = v[i][0] - v[i][2];
                out[a->ldm] = v[i][1] + v[i][2];
                out[2 * a->ldm] = v[i][2] - v[i][1];
                out[3 * a->ldm] = v[i][1] - v[i][3];
            }
        }
}

void dv_c_winograd_w(size_t k, size_t panels, const float *w, int i, float *out)
{
    const size_t tap = k * DV_PANEL, ldm = panels * tap;
    for (size_t p = 0; p < panels; p++, w += 9 * tap, out += tap)
        for (size_t r = 0; r < tap; r++) {
            float h[3];
            for (size_t c = 0; c < 3; c++) {
                const float *g = w + c * tap + r;
                h[c] = i == 0   ? g[0]
                       : i == 3 ? g[6 * tap]
                       : i == 1 ? ((g[0] + g[6 * tap]) + g[3 * tap]) * 0.5f
                                : ((g[0] + g[6 * tap]) - g[3 * tap]) * 0.5f;
            }
            out[r] = h[0];
            out[ldm + r] = ((h[0] + h[2]) + h[1]) * 0.5f;
            out[2 * ldm + r] = ((h[0] + h[2]) - h[1]) * 0.5f;
            out[3 * ldm + r] = h[2];
        }
}

void dv_c_winograd_out(const dv_wino_out_args *a)
{
    const dv_epilogue *ep = a->ep;
    for (size_t t = 0; t < a->tiles; t++)
        for (size_t ch = 0; ch < a->n; ch += DV_PANEL) {
            dv_block s[2][4];
            for (size_t j = 0; j < 4; j++) {
                dv_block m[4];
                for (size_t i = 0; i < 4; i++)
                    m[i] = dv_block_load(a->m + (4 * i + j) * a->ldm + t * a->n + ch);
                for (int v = 0; v < DV_PANEL / 4; v++) {
                    s[0][j].v[v] = m[0].v[v] + m[1].v[v] + m[2].v[v];
                    s[1][j].v[v] = m[1].v[v] - m[2].v[v] - m[3].v[v];
                }
            }
            for (size_t y = 0; y < a->h; y++)
                for (size_t x = 0; x < 2 && 2 * t + x < a->w; x++) {
                    const dv_block *q = &s[y][x];
                    dv_block sum;
                    for (int v = 0; v < DV_PANEL / 4; v++)
                        sum.v[v] = x == 0 ? q[0].v[v] + q[1].v[v] + q[2].v[v]
                                          : q[0].v[v] - q[1].v[v] - q[2].v[v];
                    const size_t pixel = y * a->w + 2 * t + x;
                    dv_block_end(ep, ch, DV_PANEL, sum,
                                 ep->add ? ep->add + pixel * ep->ldadd + ch : NULL,
                                 a->out + pixel * a->ldo + ch);
                }
        }
}
