/* SPDX-License-Identifier: Apache-2.0
 *
 * Softmax, layer normalisation and dot products over the vectors of one instruction
 * set; include after simd_elementwise.h (for v_exp), once per library.
 */

/* ---- softmax ---- */

/* Rows of a few elements: only the exponentials are vectors, over many rows at once. */
static void softmax_short(size_t rows, size_t n, const float *in, float *out)
{
    const size_t count = rows * n;
    for (size_t i = 0; i < count; i += n) {
        float max = in[i];
        for (size_t j = 1; j < n; j++)
            max = in[i + j] > max ? in[i + j] : max;
        for (size_t j = 0; j < n; j++)
            out[i + j] = in[i + j] - max;
    }
    for (size_t i = 0; i < count; i += VW) {
        vt t = v_tail(DV_MIN(count - i, (size_t)VW));
        v_store_t(out + i, v_exp(v_load_t(out + i, t)), t);
    }
    for (size_t i = 0; i < count; i += n) {
        float sum = out[i];
        for (size_t j = 1; j < n; j++)
            sum += out[i + j];
        for (size_t j = 0; j < n; j++)
            out[i + j] /= sum;
    }
}

void DV_ISA(softmax_f32)(size_t rows, size_t n, const float *in, float *out)
{
    if (n < 8) {
        const size_t some = 256; /* rows that stay in the first-level cache */
        for (size_t r = 0; n && r < rows; r += some)
            softmax_short(DV_MIN(rows - r, some), n, in + r * n, out + r * n);
        return;
    }
    size_t full = n / VW * VW;
    vt t = v_tail(n - full);
    const vf lowest = v_set1(-INFINITY);
    for (size_t r = 0; r < rows; r++, in += n, out += n) {
        vf max = lowest;
        for (size_t i = 0; i < full; i += VW)
            max = v_max(v_load(in + i), max);
        if (full < n)
            max = v_max(v_load_fill(in + full, t, lowest), max);
        max = v_set1(v_hmax(max));

        vf sum = v_zero();
        for (size_t i = 0; i < full; i += VW) {
            vf e = v_exp(v_sub(v_load(in + i), max));
            v_store(out + i, e);
            sum = v_add(sum, e);
        }
        if (full < n) { /* the lanes beyond n add e^-inf = 0 */
            vf e = v_exp(v_sub(v_load_fill(in + full, t, lowest), max));
            v_store_t(out + full, e, t);
            sum = v_add(sum, e);
        }
        vf scale = v_set1(1.0f / v_sum(sum));
        for (size_t i = 0; i < full; i += VW)
            v_store(out + i, v_mul(v_load(out + i), scale));
        if (full < n)
            v_store_t(out + full, v_mul(v_load_t(out + full, t), scale), t);
    }
}

/* ---- layer normalisation ---- */

DV_INLINE vf v_norm(vf x, vf mean, vf scale, const float *gamma, const float *beta, size_t i)
{
    x = v_mul(v_sub(x, mean), scale);
    if (gamma)
        x = v_mul(x, v_load(gamma + i));
    return beta ? v_add(x, v_load(beta + i)) : x;
}

void DV_ISA(layernorm_f32)(size_t rows, size_t n, const float *in, const float *gamma,
                           const float *beta, float eps, float *out)
{
    size_t full = n / VW * VW;
    vt t = v_tail(n - full);
    for (size_t r = 0; r < rows; r++, in += n, out += n) {
        vf sum = v_zero(), sum1 = sum, square = sum, square1 = sum;
        size_t i = 0;
        for (; i + 2 * VW <= full; i += 2 * VW) {
            sum = v_add(sum, v_load(in + i));
            sum1 = v_add(sum1, v_load(in + i + VW));
        }
        if (i < full)
            sum = v_add(sum, v_load(in + i));
        if (full < n)
            sum = v_add(sum, v_load_t(in + full, t));
        const vf mean = v_set1(v_sum(v_add(sum, sum1)) / (float)n);
        for (i = 0; i + 2 * VW <= full; i += 2 * VW) {
            vf d = v_sub(v_load(in + i), mean), e = v_sub(v_load(in + i + VW), mean);
            square = v_fma(d, d, square);
            square1 = v_fma(e, e, square1);
        }
        if (i < full) {
            vf d = v_sub(v_load(in + i), mean);
            square = v_fma(d, d, square);
        }
        if (full < n) {
            vf d = v_sub(v_load_fill(in + full, t, mean), mean);
            square = v_fma(d, d, square);
        }
        const vf scale = v_set1(1.0f / sqrtf(v_sum(v_add(square, square1)) / (float)n + eps));
        for (i = 0; i < full; i += VW)
            v_store(out + i, v_norm(v_load(in + i), mean, scale, gamma, beta, i));
        if (full < n) {
            vf x = v_mul(v_sub(v_load_t(in + full, t), mean), scale);
            x = gamma ? v_mul(x, v_load_t(gamma + full, t)) : x;
            x = beta ? v_add(x, v_load_t(beta + full, t)) : x;
            v_store_t(out + full, x, t);
        }
    }
}

/* ---- dot products ---- */

#define DOT_ROWS 4

void DV_ISA(dots_f32)(size_t n, size_t dim, const float *q, const float *base, size_t ld,
                      float *out)
{
    size_t full = dim / VW * VW, i = 0;
    vt t = v_tail(dim - full);
    for (; i + DOT_ROWS <= n; i += DOT_ROWS, base += DOT_ROWS * ld) {
        const float *b1 = base + ld, *b2 = b1 + ld, *b3 = b2 + ld;
        vf s0 = v_zero(), s1 = s0, s2 = s0, s3 = s0;
        vf u0 = s0, u1 = s0, u2 = s0, u3 = s0;
        size_t j = 0;
        for (; j + 2 * VW <= full; j += 2 * VW) {
            vf x = v_load(q + j), y = v_load(q + j + VW);
            s0 = v_fma(x, v_load(base + j), s0);
            u0 = v_fma(y, v_load(base + j + VW), u0);
            s1 = v_fma(x, v_load(b1 + j), s1);
            u1 = v_fma(y, v_load(b1 + j + VW), u1);
            s2 = v_fma(x, v_load(b2 + j), s2);
            u2 = v_fma(y, v_load(b2 + j + VW), u2);
            s3 = v_fma(x, v_load(b3 + j), s3);
            u3 = v_fma(y, v_load(b3 + j + VW), u3);
        }
        if (j < full) {
            vf x = v_load(q + j);
            s0 = v_fma(x, v_load(base + j), s0);
            s1 = v_fma(x, v_load(b1 + j), s1);
            s2 = v_fma(x, v_load(b2 + j), s2);
            s3 = v_fma(x, v_load(b3 + j), s3);
        }
        if (full < dim) {
            vf x = v_load_t(q + full, t);
            u0 = v_fma(x, v_load_t(base + full, t), u0);
            u1 = v_fma(x, v_load_t(b1 + full, t), u1);
            u2 = v_fma(x, v_load_t(b2 + full, t), u2);
            u3 = v_fma(x, v_load_t(b3 + full, t), u3);
        }
        out[i] = v_sum(v_add(s0, u0));
        out[i + 1] = v_sum(v_add(s1, u1));
        out[i + 2] = v_sum(v_add(s2, u2));
        out[i + 3] = v_sum(v_add(s3, u3));
    }
    for (; i < n; i++, base += ld) {
        vf s = v_zero(), u = s;
        size_t j = 0;
        for (; j + 2 * VW <= full; j += 2 * VW) {
            s = v_fma(v_load(q + j), v_load(base + j), s);
            u = v_fma(v_load(q + j + VW), v_load(base + j + VW), u);
        }
        if (j < full)
            s = v_fma(v_load(q + j), v_load(base + j), s);
        if (full < dim)
            u = v_fma(v_load_t(q + full, t), v_load_t(base + full, t), u);
        out[i] = v_sum(v_add(s, u));
    }
}
