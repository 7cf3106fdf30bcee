/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights of TensorFlow Lite layers. 8-bit ones become s8 with a scale an output channel. Files of
 * the older kind have bytes of 0..255 with a zero point anywhere, so that a few weights (mostly one
 * to five a layer, its largest) do not fit -128..127: the channels that have such weights get a
 * wider scale and are rounded anew, by at most half of it. With `exact` nothing is rounded and
 * the layer stays in floats.
 */
#include <math.h>
#include <string.h>

#include "import/tflite.h"

/* The scale of each channel, values rounded to it where that is needed; NULL: not 8-bit. */
static float *own_scales(dv_lower *L, const tfl_tensor *t, float *v, size_t n, size_t inner,
                         size_t count)
{
    float *s = dv_malloc((n + 1) * sizeof *s), *wider = dv_calloc(n + 1, sizeof *wider);
    if (!s || !wider) {
        lw_nomem(L);
        goto none;
    }
    for (size_t j = 0; j < n; j++)
        s[j] = fb_float_at(t->scale, t->scale.n > 1 ? j : 0);
    for (size_t i = 0; i < count; i++) {
        size_t j = i / inner % n;
        float q = rintf(v[i] / s[j]);
        wider[j] = DV_MAX(wider[j], q > 0 ? q / 127 : q / -128);
    }
    for (size_t j = 0; j < n; j++) {
        if (wider[j] > 1 && L->t->exact)
            goto none;
        s[j] *= wider[j] > 1 ? wider[j] : 1;
    }
    for (size_t i = 0; i < count; i++) {
        size_t j = i / inner % n;
        if (wider[j] > 1)
            v[i] = rintf(v[i] / s[j]) * s[j];
    }
    dv_free(wider);
    return s;
none:
    dv_free(s);
    dv_free(wider);
    return NULL;
}

/* in: dims of rank 4 at most; out: the same values with dims in the order perm. */
static void turn(const float *in, int rank, const int64_t *dims, const int *perm, float *out)
{
    size_t n[4] = {1, 1, 1, 1}, step[4] = {0}, count = 1;
    for (int i = rank; i-- > 0;) {
        for (int k = 0; k < rank; k++)
            if (perm[k] == i)
                step[k] = count;
        count *= (size_t)dims[i];
    }
    for (int k = 0; k < rank; k++)
        n[k] = (size_t)dims[perm[k]];
    for (size_t a = 0; a < n[0]; a++)
        for (size_t b = 0; b < n[1]; b++)
            for (size_t c = 0; c < n[2]; c++)
                for (size_t d = 0; d < n[3]; d++)
                    *out++ = in[a * step[0] + b * step[1] + c * step[2] + d * step[3]];
}

int32_t tfl_weights(dv_lower *L, int rank, const int *perm, int channels, float **scales)
{
    const tfl_tensor *t = tfl_at(L, 1);
    dv_dtype type = DV_F32;
    size_t count = 0, inner = 1;
    int64_t dims[4], turned[4];
    float *v = NULL, *out = NULL;
    int32_t id = -1;
    *scales = NULL;
    if (!lw_ok(L) || !t)
        return tfl_need(L, 1);
    if (t->rank != rank) {
        lw_bad(L, "the weights have %d dims", t->rank);
        return -1;
    }
    for (int i = 0; i < rank; i++) {
        dims[i] = t->dims[i];
        turned[i] = t->dims[perm[i]];
        if (t->dims[i] < 1 || t->dims[i] > 1 << 24)
            lw_bad(L, "dim %d of the weights is %lld", i, (long long)t->dims[i]);
    }
    for (int i = channels + 1; i < rank; i++)
        inner *= (size_t)dims[i];
    if (t->data) {
        v = tfl_contents(L, t, &type, &count);
    } else {
        const dv_gtensor *c = tfl_const(L, 1, DV_F32, "weights");
        if (c && (!dv_count(c->rank, c->dims, &count) || c->rank != rank ||
                  memcmp(c->dims, dims, (size_t)rank * sizeof *dims)))
            lw_bad(L, "the weights have other dims than the file says");
        v = lw_ok(L) && c ? dv_malloc((count + 1) * sizeof *v) : NULL;
        if (v)
            memcpy(v, c->data, count * sizeof *v);
        else
            lw_nomem(L);
    }
    if (lw_ok(L) && type != DV_F32)
        lw_bad(L, "the weights are integers without a scale");
    if (lw_ok(L) && v && t->data && (t->type == TFL_U8 || t->type == TFL_I8) &&
        (t->scale.n == 1 || t->axis == channels))
        *scales = own_scales(L, t, v, (size_t)dims[channels], inner, count);
    if (lw_ok(L) && v && !(out = dv_malloc((count + 1) * sizeof *out)))
        lw_nomem(L);
    if (lw_ok(L) && v) {
        turn(v, rank, dims, perm, out);
        id = lw_add_const(L, DV_F32, rank, turned, out);
    }
    dv_free(v);
    dv_free(out);
    return id;
}
