/* SPDX-License-Identifier: Apache-2.0
 *
 * weights.c - packed constants (graph.h) row-major again, and in the order of ONNX. */
#include <string.h>

#include "export/onnx_write.h"

static size_t rows_of(const dv_gtensor *t)
{
    size_t k = 1;
    for (int i = 0; i + 1 < t->rank; i++)
        k *= (size_t)t->dims[i];
    return k;
}

float *ex_unpack(ex *x, const dv_gtensor *t, int64_t groups)
{
    const float *p = t->data;
    size_t n = t->rank ? (size_t)t->dims[t->rank - 1] : 1, k = rows_of(t);
    float *out = ex_alloc(x, k * n, sizeof *out);
    if (!out)
        return NULL;
    if (t->dtype == DV_F16) {
        const uint16_t *h = t->data;
        if (t->pack == DV_PACK_HPANEL)
            dv_unpack_panels_f16(k, n, h, out);
        else
            for (size_t i = 0; i < k * n; i++)
                out[i] = dv_half_to_float(h[i / n * dv_round_up(n, DV_HPANEL) + i % n]);
        return out;
    }
    if (t->pack == DV_PACK_NONE) {
        memcpy(out, p, k * n * sizeof *out);
        return out;
    }
    size_t each = t->pack == DV_PACK_PANEL ? n / (size_t)groups : n;
    size_t step = dv_panel_size(k, each), line = dv_round_up(n, DV_PANEL);
    for (size_t j = 0; j < n; j++) {
        size_t in = j % each;
        const float *q = p + j / each * step + in / DV_PANEL * DV_PANEL * k + in % DV_PANEL;
        for (size_t i = 0; i < k; i++)
            out[i * n + j] = t->pack == DV_PACK_PANEL ? q[i * DV_PANEL] : p[i * line + j];
    }
    return out;
}

int8_t *ex_unpack_s8(ex *x, const dv_gtensor *t)
{
    const int8_t *p = t->data;
    size_t n = (size_t)t->dims[t->rank - 1], k = rows_of(t);
    int8_t *out = ex_alloc(x, k * n, 1);
    if (!out)
        return NULL;
    if (t->pack == DV_PACK_QDW) {
        size_t kh = (size_t)t->dims[0], kw = (size_t)t->dims[1], groups = (kh + 3) / 4;
        for (size_t r = 0; r < kh; r++)
            for (size_t u = 0; u < kw; u++)
                for (size_t c = 0; c < n; c++)
                    out[(r * kw + u) * n + c] = p[((c / DV_PANEL * groups + r / 4) * kw + u) * 64 +
                                                  c % DV_PANEL * 4 + r % 4];
        return out;
    }
    size_t segs = t->rank == 4 ? (size_t)t->dims[0] : 1, seg = k / segs;
    size_t rows = dv_round_up(seg, 4);
    for (size_t i = 0; i < k; i++) {
        size_t row = i / seg * rows + i % seg;
        for (size_t j = 0; j < n; j++)
            out[i * n + j] = p[j / DV_PANEL * segs * rows * DV_PANEL + row / 4 * 64 +
                               j % DV_PANEL * 4 + row % 4];
    }
    return out;
}

void *ex_turn(ex *x, const void *w, size_t taps, size_t ic, size_t oc, size_t item)
{
    uint8_t *out = w ? ex_alloc(x, taps * ic * oc, item) : NULL;
    if (!out)
        return NULL;
    for (size_t t = 0; t < taps; t++)
        for (size_t i = 0; i < ic; i++)
            for (size_t o = 0; o < oc; o++)
                memcpy(out + ((o * ic + i) * taps + t) * item,
                       (const uint8_t *)w + ((t * ic + i) * oc + o) * item, item);
    return out;
}
