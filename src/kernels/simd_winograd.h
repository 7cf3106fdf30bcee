/* SPDX-License-Identifier: Apache-2.0
 *
 * Transforms of Winograd's 3x3 convolution over the vectors of one instruction set; include after
 * its vec_*.h, once per library.
 */

/* One column of four inputs, transformed downwards. */
DV_INLINE void wino_column(const dv_wino_in_args *a, size_t col, size_t ch, vf v[4])
{
    vf d[4];
    DV_UNROLL
    for (int i = 0; i < 4; i++)
        d[i] = a->rows[i] && col < a->iw ? v_load(a->rows[i] + col * a->c + ch) : v_zero();
    v[0] = v_sub(d[0], d[2]);
    v[1] = v_add(d[1], d[2]);
    v[2] = v_sub(d[2], d[1]);
    v[3] = v_sub(d[1], d[3]);
}

void DV_ISA(winograd_in)(const dv_wino_in_args *a)
{
    for (size_t ch = 0; ch < a->c; ch += VW) {
        vf v[4][4]; /* by column; neighbouring tiles share two */
        wino_column(a, 0 - a->px, ch, v[2]);
        wino_column(a, 1 - a->px, ch, v[3]);
        float *out = a->out + ch;
        for (size_t t = 0; t < a->tiles; t++, out += a->c) {
            DV_UNROLL
            for (int i = 0; i < 4; i++) {
                v[0][i] = v[2][i];
                v[1][i] = v[3][i];
            }
            wino_column(a, 2 * t + 2 - a->px, ch, v[2]);
            wino_column(a, 2 * t + 3 - a->px, ch, v[3]);
            float *o = out;
            DV_UNROLL
            for (int i = 0; i < 4; i++, o += 4 * a->ldm) {
                v_store(o, v_sub(v[0][i], v[2][i]));
                v_store(o + a->ldm, v_add(v[1][i], v[2][i]));
                v_store(o + 2 * a->ldm, v_sub(v[2][i], v[1][i]));
                v_store(o + 3 * a->ldm, v_sub(v[1][i], v[3][i]));
            }
        }
    }
}

void DV_ISA(winograd_w)(size_t k, size_t panels, const float *w, int i, float *out)
{
    const size_t tap = k * DV_PANEL, ldm = panels * tap;
    const vf half = v_set1(0.5f);
    for (size_t p = 0; p < panels; p++, w += 9 * tap, out += tap)
        for (size_t r = 0; r < tap; r += VW) {
            vf h[3];
            DV_UNROLL
            for (size_t c = 0; c < 3; c++) {
                const float *g = w + c * tap + r;
                if (i == 0) {
                    h[c] = v_load(g);
                } else if (i == 3) {
                    h[c] = v_load(g + 6 * tap);
                } else {
                    const vf s = v_add(v_load(g), v_load(g + 6 * tap)), m = v_load(g + 3 * tap);
                    h[c] = v_mul(i == 1 ? v_add(s, m) : v_sub(s, m), half);
                }
            }
            const vf s = v_add(h[0], h[2]);
            v_store(out + r, h[0]);
            v_store(out + ldm + r, v_mul(v_add(s, h[1]), half));
            v_store(out + 2 * ldm + r, v_mul(v_sub(s, h[1]), half));
            v_store(out + 3 * ldm + r, h[2]);
        }
}

void DV_ISA(winograd_out)(const dv_wino_out_args *a)
{
    const dv_epilogue *ep = a->ep;
    for (size_t ch = 0; ch < a->n; ch += VW) {
        const vf bias = ep->bias ? v_load(ep->bias + ch) : v_zero();
        const vf slope = ep->act == DV_EP_PRELU ? v_load(ep->slope + ch) : v_zero();
        const vf lo = v_set1(ep->lo), hi = v_set1(ep->hi);
        const float *m = a->m + ch;
        for (size_t t = 0; t < a->tiles; t++, m += a->n) {
            vf s[2][4];
            DV_UNROLL
            for (size_t j = 0; j < 4; j++) {
                const float *q = m + j * a->ldm;
                const vf m1 = v_load(q + 4 * a->ldm), m2 = v_load(q + 8 * a->ldm);
                s[0][j] = v_add(v_add(v_load(q), m1), m2);
                s[1][j] = v_sub(v_sub(m1, m2), v_load(q + 12 * a->ldm));
            }
            DV_UNROLL
            for (size_t y = 0; y < 2; y++) {
                if (y >= a->h)
                    break;
                DV_UNROLL
                for (size_t x = 0; x < 2; x++) {
                    if (2 * t + x >= a->w)
                        break;
                    const vf *q = s[y] + x;
                    vf sum =
                        x == 0 ? v_add(v_add(q[0], q[1]), q[2]) : v_sub(v_sub(q[0], q[1]), q[2]);
                    const size_t pixel = y * a->w + 2 * t + x;
                    sum = v_add(sum, bias);
                    if (ep->add)
                        sum = v_add(sum, v_load(ep->add + pixel * ep->ldadd + ch));
                    if (ep->act == DV_EP_CLIP)
                        sum = v_min(hi, v_max(lo, sum));
                    else if (ep->act == DV_EP_PRELU)
                        sum = v_prelu(sum, slope);
                    v_store(a->out + pixel * a->ldo + ch, sum);
                }
            }
        }
    }
}
