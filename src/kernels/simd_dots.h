/* SPDX-License-Identifier: Apache-2.0
 *
 * Dot products of probes with many short rows; include once per family, after these:
 *   D_NAME      name of the function
 *   D_PROBE     type of a probe's elements    D_ROW   type of a row's elements
 *   D_VEC       vector of sums                D_STEP  elements of one vector
 *   D_START(q, dim)  what the sums of a probe start with
 *   D_DOT(acc, q, r) acc plus the products of the vectors at q and r
 *   D_STORE4(out, a, b, c, d, scale)  the totals of four vectors, times scale[0..3]
 *
 * Four rows share each load of the probe. Probes take turns on the rows, which the caller gives in
 * blocks that stay in the cache: tiles of several probes were measured to gain nothing with AVX2.
 */

static void D_NAME(size_t n, size_t dim, size_t probes, const D_PROBE *q, const D_ROW *base,
                   const float *scale, float *out, size_t ldo)
{
    for (; probes; probes--, q += dim, out += ldo) {
        const D_VEC start = D_START(q, dim);
        for (size_t i = 0; i < n; i += 4) {
            const size_t left = n - i;
            const D_ROW *r = base + i * dim, *r1 = left > 1 ? r + dim : r;
            const D_ROW *r2 = left > 2 ? r1 + dim : r1, *r3 = left > 3 ? r2 + dim : r2;
            D_VEC a = start, b = a, c = a, d = a;
            for (size_t j = 0; j < dim; j += D_STEP) {
                a = D_DOT(a, q + j, r + j);
                b = D_DOT(b, q + j, r1 + j);
                c = D_DOT(c, q + j, r2 + j);
                d = D_DOT(d, q + j, r3 + j);
            }
            if (left >= 4) {
                D_STORE4(out + i, a, b, c, d, scale ? scale + i : NULL);
                continue;
            }
            float few_scale[4] = {0}, few[4];
            for (size_t k = 0; scale && k < left; k++)
                few_scale[k] = scale[i + k];
            D_STORE4(few, a, b, c, d, few_scale);
            for (size_t k = 0; k < left; k++)
                out[i + k] = few[k];
        }
    }
}

#undef D_NAME
#undef D_PROBE
#undef D_ROW
#undef D_VEC
#undef D_STEP
#undef D_START
#undef D_DOT
#undef D_STORE4
