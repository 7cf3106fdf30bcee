/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools, Resize, DepthToSpace and SpaceToDepth against their definitions, which walk over output
 * positions one at a time and look every tap up.
 */
#include "nn_test.h"

#include <math.h>
#include <string.h>

/* ONNX: floor or ceil of (in + pads - extent) / stride + 1; with ceil, a last window that begins
 * behind the picture and its leading padding is dropped. */
static int64_t pool_size(int64_t in, int64_t k, int64_t s, int64_t d, int64_t before, int64_t after,
                         bool up)
{
    double span = (double)(in + before + after - ((k - 1) * d + 1));
    if (span < 0)
        return 0;
    int64_t out = (int64_t)(up ? ceil(span / (double)s) : floor(span / (double)s)) + 1;
    if (up && (out - 1) * s >= in + before)
        out--;
    return out;
}

static void pools(void **state)
{
    static const int64_t kernel[] = {1, 2, 2, 3, 3, 5, 7};
    nt_seed(30);
    for (int i = 0; i < 500; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[4] = {nt_chance(80) ? 1 : 2, nt_int(1, 13), nt_int(1, 13), nt_int(1, 37)};
        int64_t k[2] = {NT_PICK(kernel), NT_PICK(kernel)}, s[2] = {nt_int(1, 3), nt_int(1, 3)};
        int64_t d[2] = {1, 1}, pad[4];
        bool avg = nt_chance(50), up = nt_chance(40), count_pad = nt_chance(40);
        if (nt_chance(20))
            d[0] = d[1] = 2;
        for (int j = 0; j < 4; j++) /* less than the window, so that each has a tap */
            pad[j] = nt_chance(50) ? 0 : nt_int(0, DV_MIN(k[j & 1] - 1, xd[1 + (j & 1)]));
        int64_t oh = pool_size(xd[1], k[0], s[0], d[0], pad[0], pad[2], up);
        int64_t ow = pool_size(xd[2], k[1], s[1], d[1], pad[1], pad[3], up);
        if (oh < 1 || ow < 1) {
            nt_close(&n);
            continue;
        }
        int64_t od[4] = {xd[0], oh, ow, xd[3]};
        float *x = nt_floats(&n, nt_count(4, xd), -2, 2);
        int32_t out;
        dv_node *node =
            nt_op(&n, avg ? DV_OP_AVG_POOL : DV_OP_MAX_POOL, NT_IDS(nt_input(&n, 4, xd, x)), &out);
        NT_INTS(node, DV_A_KERNEL, k[0], k[1]);
        NT_INTS(node, DV_A_STRIDE, s[0], s[1]);
        NT_INTS(node, DV_A_DILATION, d[0], d[1]);
        NT_INTS(node, DV_A_PADS, pad[0], pad[1], pad[2], pad[3]);
        if (up)
            NT_INTS(node, DV_A_CEIL, 1);
        if (count_pad)
            NT_INTS(node, DV_A_COUNT_PAD, 1);
        nt_array want = nt_want(&n, 4, od);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[4], inside = 0, padded = 0;
            nt_unravel(e, 4, od, at);
            double sum = 0, top = -INFINITY;
            for (int64_t t = 0; t < k[0] * k[1]; t++) {
                int64_t y = at[1] * s[0] - pad[0] + t / k[1] * d[0];
                int64_t z = at[2] * s[1] - pad[1] + t % k[1] * d[1];
                padded += y < xd[1] + pad[2] && z < xd[2] + pad[3];
                if (y < 0 || y >= xd[1] || z < 0 || z >= xd[2])
                    continue;
                double v = (double)x[((at[0] * xd[1] + y) * xd[2] + z) * xd[3] + at[3]];
                inside++;
                sum += v;
                top = fmax(top, v);
            }
            if (avg)
                want.v[e] = inside ? sum / (double)(count_pad ? padded : inside) : 0;
            else
                want.v[e] = top;
        }
        nt_check(
            &n, 1, &out, &want, 3e-6,
            "pool avg %d %lldx%lldx%lld k %lldx%lld s %lld,%lld d %lld pads %lld,%lld,%lld,%lld "
            "ceil %d count %d",
            avg, (long long)xd[1], (long long)xd[2], (long long)xd[3], (long long)k[0],
            (long long)k[1], (long long)s[0], (long long)s[1], (long long)d[0], (long long)pad[0],
            (long long)pad[1], (long long)pad[2], (long long)pad[3], up, count_pad);
        nt_close(&n);
    }
}

/* Windows that lie wholly in the padding: nothing to take the maximum of, an average of zero. */
static void pools_in_padding(void **state)
{
    for (int avg = 0; avg < 2; avg++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[4] = {1, 2, 2, 5}, od[4] = {1, 8, 8, 5};
        float *x = nt_floats(&n, nt_count(4, xd), -1, 1);
        int32_t out;
        dv_node *node =
            nt_op(&n, avg ? DV_OP_AVG_POOL : DV_OP_MAX_POOL, NT_IDS(nt_input(&n, 4, xd, x)), &out);
        NT_INTS(node, DV_A_KERNEL, 1, 1);
        NT_INTS(node, DV_A_PADS, 3, 3, 3, 3);
        nt_array want = nt_want(&n, 4, od);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[4];
            nt_unravel(e, 4, od, at);
            bool in = at[1] >= 3 && at[1] < 5 && at[2] >= 3 && at[2] < 5;
            want.v[e] = in    ? (double)x[((at[1] - 3) * 2 + at[2] - 3) * 5 + at[3]]
                        : avg ? 0
                              : -INFINITY;
        }
        nt_check(&n, 1, &out, &want, 0, "padding only, avg %d", avg);
        nt_close(&n);
    }
}

/* ---- Resize ---- */

static double source(int coord, double i, double scale, double in, double out)
{
    switch (coord) {
    case DV_COORD_ASYMMETRIC:
        return i / scale;
    case DV_COORD_ALIGN_CORNERS:
        return out == 1 ? 0 : i * (in - 1) / (out - 1);
    case DV_COORD_PYTORCH_HALF_PIXEL:
        return out == 1 ? 0 : (i + 0.5) / scale - 0.5;
    default:
        return (i + 0.5) / scale - 0.5;
    }
}

static double clamped(double v, double top)
{
    return fmin(fmax(v, 0), top);
}

static double nearest(int mode, double p)
{
    double low = floor(p), frac = p - low;
    switch (mode) {
    case 0:
        return frac <= 0.5 ? low : low + 1;
    case 1:
        return frac < 0.5 ? low : low + 1;
    case 2:
        return low;
    default:
        return ceil(p);
    }
}

static void resize(void **state)
{
    static const float factors[] = {2, 2, 3, 4, 1, 0.5f, 1.5f, 0.25f};
    nt_seed(31);
    for (int i = 0; i < 500; i++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[4] = {nt_chance(80) ? 1 : 2, nt_int(1, 9), nt_int(1, 9), nt_int(1, 20)};
        int linear = (int)nt_int(0, 1), coord = (int)nt_int(0, 3), near = (int)nt_int(0, 3);
        int how = (int)nt_int(0, 2); /* scales, sizes, sizes as input */
        int64_t size[2];
        double scale[2];
        float sc[2];
        for (int d = 0; d < 2; d++) {
            double in = (double)xd[1 + d];
            sc[d] = NT_PICK(factors);
            size[d] = how ? nt_int(1, 20) : (int64_t)floor(in * (double)sc[d]);
            scale[d] = how ? (double)size[d] / in : (double)sc[d];
        }
        if (size[0] < 1 || size[1] < 1) {
            nt_close(&n);
            continue;
        }
        int64_t od[4] = {xd[0], size[0], size[1], xd[3]};
        float *x = nt_floats(&n, nt_count(4, xd), -2, 2);
        int32_t in[2] = {nt_input(&n, 4, xd, x), -1}, out;
        if (how == 2)
            in[1] = nt_ints(&n, 2, size);
        dv_node *node = nt_op(&n, DV_OP_RESIZE, how == 2 ? 2 : 1, in, &out);
        if (how == 0)
            NT_FLOATS(node, DV_A_SCALES, sc[0], sc[1]);
        if (how == 1)
            NT_INTS(node, DV_A_SIZES, size[0], size[1]);
        NT_INTS(node, DV_A_MODE, linear);
        NT_INTS(node, DV_A_COORD, coord);
        NT_INTS(node, DV_A_NEAREST, near);
        nt_array want = nt_want(&n, 4, od);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[4];
            double p[2], top[2];
            nt_unravel(e, 4, od, at);
            for (int d = 0; d < 2; d++) {
                top[d] = (double)(xd[1 + d] - 1);
                p[d] =
                    source(coord, (double)at[1 + d], scale[d], (double)xd[1 + d], (double)size[d]);
            }
            for (int corner = 0; corner < 4; corner++) { /* of the square of four pixels */
                double pos[2], weight = 1;
                for (int d = 0; d < 2; d++) {
                    int far = corner >> d & 1;
                    double q = linear ? floor(clamped(p[d], top[d])) : nearest(near, p[d]);
                    double share = linear ? clamped(p[d], top[d]) - q : 0;
                    pos[d] = clamped(q + far, top[d]);
                    weight *= far ? share : 1 - share;
                }
                if (weight > 0)
                    want.v[e] +=
                        weight *
                        (double)x[((at[0] * xd[1] + (int64_t)pos[0]) * xd[2] + (int64_t)pos[1]) *
                                      xd[3] +
                                  at[3]];
            }
        }
        nt_check(&n, 1, &out, &want, 5e-6,
                 "Resize %lldx%lld -> %lldx%lld how %d linear %d coord %d nearest %d",
                 (long long)xd[1], (long long)xd[2], (long long)size[0], (long long)size[1], how,
                 linear, coord, near);
        nt_close(&n);
    }
}

/* ---- depth and space: ONNX reshapes to six axes, permutes and reshapes back ---- */

static void depth_space(void **state)
{
    nt_seed(32);
    for (int i = 0; i < 120; i++) {
        nt_net n;
        nt_open(&n);
        int64_t b = nt_int(1, 4), c = nt_int(1, 9), h = nt_int(1, 5), w = nt_int(1, 5);
        int64_t deep[4] = {nt_int(1, 2), h, w, c * b * b}, fine[4] = {deep[0], h * b, w * b, c};
        int kind = (int)nt_int(0, 2); /* DCR, CRD, SpaceToDepth */
        float *x = nt_floats(&n, nt_count(4, deep), -1, 1);
        int32_t out, in = nt_input(&n, 4, kind == 2 ? fine : deep, x);
        dv_node *node =
            nt_op(&n, kind == 2 ? DV_OP_SPACE_TO_DEPTH : DV_OP_DEPTH_TO_SPACE, NT_IDS(in), &out);
        NT_INTS(node, DV_A_BLOCK, b);
        if (kind == 1)
            NT_INTS(node, DV_A_DCR, 0);
        nt_array want = nt_want(&n, 4, kind == 2 ? deep : fine);
        for (size_t e = 0; e < want.n; e++) {
            int64_t at[4];
            nt_unravel(e, 4, fine, at);
            int64_t by = at[1] % b, bx = at[2] % b;
            int64_t ch = kind == 1 ? (at[3] * b + by) * b + bx : (by * b + bx) * c + at[3];
            int64_t from[4] = {at[0], at[1] / b, at[2] / b, ch};
            size_t d = nt_ravel(4, deep, from);
            if (kind == 2)
                want.v[d] = (double)x[e];
            else
                want.v[e] = (double)x[d];
        }
        nt_check(&n, 1, &out, &want, 0, "depth/space %d block %lld c %lld", kind, (long long)b,
                 (long long)c);
        nt_close(&n);
    }
}

static void refusals(void **state)
{
    for (int kind = 0; kind < 8; kind++) {
        nt_net n;
        nt_open(&n);
        int64_t xd[4] = {1, 4, 4, 6}, flat[2] = {4, 4};
        int32_t x = nt_input(&n, 4, xd, NULL), out;
        dmv_status code = DMV_ERR_FORMAT;
        switch (kind) {
        case 0:
            NT_INTS(nt_op(&n, DV_OP_MAX_POOL, NT_IDS(x), &out), DV_A_KERNEL, 3);
            break;
        case 1:
            NT_INTS(nt_op(&n, DV_OP_AVG_POOL, NT_IDS(x), &out), DV_A_KERNEL, 5, 5);
            code = DMV_ERR_ARGUMENT;
            break;
        case 2:
            NT_INTS(nt_op(&n, DV_OP_AVG_POOL, NT_IDS(nt_input(&n, 2, flat, NULL)), &out),
                    DV_A_KERNEL, 2, 2);
            break;
        case 3:
            nt_op(&n, DV_OP_RESIZE, NT_IDS(x), &out);
            break;
        case 4:
            NT_FLOATS(nt_op(&n, DV_OP_RESIZE, NT_IDS(x), &out), DV_A_SCALES, -1, 1);
            break;
        case 5:
            NT_INTS(nt_op(&n, DV_OP_RESIZE, NT_IDS(x), &out), DV_A_SIZES, INT64_MAX, 1);
            code = DMV_ERR_LIMIT;
            break;
        case 6:
            NT_INTS(nt_op(&n, DV_OP_DEPTH_TO_SPACE, NT_IDS(x), &out), DV_A_BLOCK, 2);
            break;
        default:
            NT_INTS(nt_op(&n, DV_OP_SPACE_TO_DEPTH, NT_IDS(x), &out), DV_A_BLOCK, 3);
            break;
        }
        nt_refuses(&n, out, code, "bad picture op %d", kind);
        nt_close(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools),       cmocka_unit_test(pools_in_padding), cmocka_unit_test(resize),
        cmocka_unit_test(depth_space), cmocka_unit_test(refusals),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nt_shared_close();
    return failed;
}
