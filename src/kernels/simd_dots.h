/* SPDX-License-Identifier: Apache-2.0
 *
 * Dot products of a few probes with many short rows; include once per family, after these:
 *   D_NAME      name of the kernel
 *   D_PROBE     type of a probe's elements    D_ROW   type of a row's elements
 *   D_VEC       vector of sums                D_STEP  elements of one vector
 *   D_MANY      probes of a tile: 4 x D_MANY sums stay in registers
 *   D_START(q, dim)  what the sums of a probe start with
 *   D_DOT(acc, q, r) acc plus the products of the vectors at q and r
 *   D_STORE4(out, a, b, c, d, scale)  the totals of four vectors, times scale[0..3]
 *
 * A tile is four rows by one or D_MANY probes. A block of rows that fits in the cache comes from
 * memory once, whatever the number of probes.
 */

DV_INLINE void D_NAME(tile)(size_t dim, const int mp, const D_PROBE *q, const D_VEC *start,
                            const D_ROW *r, size_t left, const float *scale, float *out, size_t ldo)
{
    const D_ROW *r1 = left > 1 ? r + dim : r, *r2 = left > 2 ? r1 + dim : r1;
    const D_ROW *r3 = left > 3 ? r2 + dim : r2;
    D_VEC acc[D_MANY][4];
    DV_UNROLL
    for (int p = 0; p < mp; p++)
        acc[p][0] = acc[p][1] = acc[p][2] = acc[p][3] = start[p];
    for (size_t j = 0; j < dim; j += D_STEP)
        DV_UNROLL
    for (int p = 0; p < mp; p++) {
        const D_PROBE *x = q + (size_t)p * dim + j;
        acc[p][0] = D_DOT(acc[p][0], x, r + j);
        acc[p][1] = D_DOT(acc[p][1], x, r1 + j);
        acc[p][2] = D_DOT(acc[p][2], x, r2 + j);
        acc[p][3] = D_DOT(acc[p][3], x, r3 + j);
    }
    DV_UNROLL
    for (int p = 0; p < mp; p++)
        D_STORE4(out + (size_t)p * ldo, acc[p][0], acc[p][1], acc[p][2], acc[p][3], scale);
}

DV_INLINE void D_NAME(rows)(size_t n, size_t dim, const int mp, const D_PROBE *q, const D_ROW *base,
                            const float *scale, float *out, size_t ldo)
{
    D_VEC start[D_MANY];
    float few_scale[4] = {0}, few[4 * D_MANY];
    for (int p = 0; p < mp; p++)
        start[p] = D_START(q + (size_t)p * dim, dim);
    for (size_t i = 0; i < n; i += 4) {
        const size_t left = n - i;
        const float *s = scale ? scale + i : few_scale;
        float *to = out + i;
        size_t ld = ldo;
        if (left < 4) {
            for (size_t k = 0; k < left; k++)
                few_scale[k] = s[k];
            s = few_scale;
            to = few;
            ld = 4;
        }
        D_NAME(tile)(dim, mp, q, start, base + i * dim, left, s, to, ld);
        for (size_t k = 0; left < 4 && k < left; k++)
            for (size_t p = 0; p < (size_t)mp; p++)
                out[p * ldo + i + k] = few[p * 4 + k];
    }
}

static void D_NAME(all)(size_t n, size_t dim, size_t probes, const D_PROBE *q, const D_ROW *base,
                        const float *scale, float *out, size_t ldo)
{
    for (; probes >= D_MANY; probes -= D_MANY, q += D_MANY * dim, out += D_MANY * ldo)
        D_NAME(rows)(n, dim, D_MANY, q, base, scale, out, ldo);
    for (; probes; probes--, q += dim, out += ldo)
        D_NAME(rows)(n, dim, 1, q, base, scale, out, ldo);
}

#undef D_NAME
#undef D_PROBE
#undef D_ROW
#undef D_VEC
#undef D_STEP
#undef D_MANY
#undef D_START
#undef D_DOT
#undef D_STORE4
