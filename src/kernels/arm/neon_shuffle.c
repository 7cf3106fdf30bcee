/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels that move elements about, for NEON: transpose in blocks of 4 x 4, and pixels of
 * bytes to floats, 8 pixels at a time. What remains at the ends is done one by one.
 */
#include "kernels/arm/neon.h"
#include "kernels/arm/vec_neon.h"

DV_INLINE void transpose_4x4(const float *in, size_t ldi, float *out, size_t ldo)
{
    const float32x4x2_t a = vtrnq_f32(v_load(in), v_load(in + ldi));
    const float32x4x2_t b = vtrnq_f32(v_load(in + 2 * ldi), v_load(in + 3 * ldi));
    v_store(out, vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0])));
    v_store(out + ldo, vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1])));
    v_store(out + 2 * ldo, vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0])));
    v_store(out + 3 * ldo, vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1])));
}

void dv_neon_transpose_f32(size_t rows, size_t cols, const float *in, size_t ldi, float *out,
                           size_t ldo)
{
    const size_t full = cols / 4 * 4;
    size_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        const float *src = in + i * ldi;
        for (size_t j = 0; j < full; j += 4)
            transpose_4x4(src + j, ldi, out + j * ldo + i, ldo);
        for (size_t j = full; j < cols; j++)
            for (size_t r = 0; r < 4; r++)
                out[j * ldo + i + r] = src[r * ldi + j];
    }
    for (; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            out[j * ldo + i] = in[i * ldi + j];
}

/* The product is rounded before the sum, as in the C twin. */
DV_INLINE vf scaled(uint16x4_t v, float scale, float shift)
{
    return v_add(v_mul(vcvtq_f32_u32(vmovl_u16(v)), v_set1(scale)), v_set1(shift));
}

void dv_neon_u8_to_f32(size_t w, const uint8_t *rgb, int swap, const float scale[3],
                       const float shift[3], float *out)
{
    const int first = swap ? 2 : 0;
    size_t x = 0;
    for (; x + 8 <= w; x += 8, rgb += 24, out += 24) {
        const uint8x8x3_t p = vld3_u8(rgb);
        const uint16x8_t c0 = vmovl_u8(swap ? p.val[2] : p.val[0]), c1 = vmovl_u8(p.val[1]),
                         c2 = vmovl_u8(swap ? p.val[0] : p.val[2]);
        float32x4x3_t y;
        y.val[0] = scaled(vget_low_u16(c0), scale[0], shift[0]);
        y.val[1] = scaled(vget_low_u16(c1), scale[1], shift[1]);
        y.val[2] = scaled(vget_low_u16(c2), scale[2], shift[2]);
        vst3q_f32(out, y);
        y.val[0] = scaled(vget_high_u16(c0), scale[0], shift[0]);
        y.val[1] = scaled(vget_high_u16(c1), scale[1], shift[1]);
        y.val[2] = scaled(vget_high_u16(c2), scale[2], shift[2]);
        vst3q_f32(out + 12, y);
    }
    for (; x < w; x++, rgb += 3, out += 3) {
        out[0] = (float)rgb[first] * scale[0] + shift[0];
        out[1] = (float)rgb[1] * scale[1] + shift[1];
        out[2] = (float)rgb[2 - first] * scale[2] + shift[2];
    }
}

void dv_neon_evens_f32(size_t n, const float *in, float *out)
{
    size_t i = 0;
    for (; i + 4 < n; i += 4) /* the last odd element may not be there */
        v_store(out + i, vld2q_f32(in + 2 * i).val[0]);
    for (; i < n; i++)
        out[i] = in[2 * i];
}
