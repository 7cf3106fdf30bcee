/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolution and transposed convolution against seven nested loops in double precision. The
 * shapes are chosen so that every route of ops_conv.c is taken: pointwise, depthwise, Winograd,
 * general and grouped, with channel counts on and off the grid of 16, windows that lie wholly in
 * the padding, and every epilogue.
 */
#include "nn_test.h"

#include <math.h>
#include <string.h>

typedef struct conv_case {
    int64_t n, h, w, ic, oc, groups;
    int64_t k[2], s[2], d[2], pad[4];
    bool bias, slope, add;
    int act;
    bool large; /* whatever it costs */
} conv_case;

static int64_t out_size(int64_t in, int64_t k, int64_t s, int64_t d, int64_t before, int64_t after)
{
    int64_t span = in + before + after - ((k - 1) * d + 1);
    return span < 0 ? 0 : span / s + 1;
}

/* Parameters that make sense for the activation, small enough for exact comparison. */
static void act_params(int act, float *p, float *q)
{
    *p = act == DV_ACT_CLIP ? -0.5f : act == DV_ACT_HSIGMOID ? 0.2f : 0.25f;
    *q = act == DV_ACT_CLIP ? 0.75f : 0.5f;
}

/* Those that are defined for every number; the others have no place behind a sum. */
static bool act_total(int act)
{
    return act != DV_ACT_LOG && act != DV_ACT_SQRT && act != DV_ACT_RECIP && act != DV_ACT_FLOOR &&
           act != DV_ACT_CEIL;
}

/* The sum over one window: weights [KH, KW, IC/g, OC]. */
static double window_sum(const conv_case *c, const float *x, const float *w, int64_t b, int64_t oy,
                         int64_t ox, int64_t o)
{
    int64_t icg = c->ic / c->groups, ocg = c->oc / c->groups, g = o / ocg;
    double sum = 0;
    for (int64_t ky = 0; ky < c->k[0]; ky++)
        for (int64_t kx = 0; kx < c->k[1]; kx++) {
            int64_t y = oy * c->s[0] - c->pad[0] + ky * c->d[0];
            int64_t xx = ox * c->s[1] - c->pad[1] + kx * c->d[1];
            if (y < 0 || y >= c->h || xx < 0 || xx >= c->w)
                continue;
            for (int64_t i = 0; i < icg; i++)
                sum += (double)x[((b * c->h + y) * c->w + xx) * c->ic + g * icg + i] *
                       (double)w[((ky * c->k[1] + kx) * icg + i) * c->oc + o];
        }
    return sum;
}

static void check_conv(const conv_case *c)
{
    int64_t oh = out_size(c->h, c->k[0], c->s[0], c->d[0], c->pad[0], c->pad[2]);
    int64_t ow = out_size(c->w, c->k[1], c->s[1], c->d[1], c->pad[1], c->pad[3]);
    int64_t icg = c->ic / c->groups, taps = c->k[0] * c->k[1] * icg;
    if (oh < 1 || ow < 1 || (!c->large && c->n * oh * ow * c->oc * taps > 1500000))
        return;
    nt_net n;
    nt_open(&n);
    int64_t xd[4] = {c->n, c->h, c->w, c->ic}, wd[4] = {c->k[0], c->k[1], icg, c->oc};
    int64_t od[4] = {c->n, oh, ow, c->oc};
    float scale = 1.5f / sqrtf((float)taps);
    float *x = nt_floats(&n, nt_count(4, xd), -1, 1);
    float *w = nt_floats(&n, nt_count(4, wd), -scale, scale);
    float *bias = nt_floats(&n, (size_t)c->oc, -1, 1), *slope = nt_floats(&n, (size_t)c->oc, -1, 1);
    float *add = nt_floats(&n, nt_count(4, od), -1, 1), p, q;
    int32_t in[5] = {nt_input(&n, 4, xd, x), nt_const(&n, 4, wd, w), -1, -1, -1}, out;
    if (c->bias)
        in[2] = nt_const(&n, 1, &c->oc, bias);
    if (c->slope)
        in[3] = nt_const(&n, 1, &c->oc, slope);
    if (c->add)
        in[4] = nt_input(&n, 4, od, add);
    dv_node *node = nt_op(&n, DV_OP_CONV, c->add ? 5 : c->slope ? 4 : c->bias ? 3 : 2, in, &out);
    act_params(c->act, &p, &q);
    NT_INTS(node, DV_A_KERNEL, c->k[0], c->k[1]);
    NT_INTS(node, DV_A_STRIDE, c->s[0], c->s[1]);
    NT_INTS(node, DV_A_DILATION, c->d[0], c->d[1]);
    NT_INTS(node, DV_A_PADS, c->pad[0], c->pad[1], c->pad[2], c->pad[3]);
    NT_INTS(node, DV_A_GROUP, c->groups);
    NT_INTS(node, DV_A_ACT, c->act);
    NT_FLOATS(node, DV_A_P, p);
    NT_FLOATS(node, DV_A_Q, q);
    nt_array want = nt_want(&n, 4, od);
    for (size_t i = 0; i < want.n; i++) {
        int64_t at[4];
        nt_unravel(i, 4, od, at);
        double v = window_sum(c, x, w, at[0], at[1], at[2], at[3]);
        v += (c->bias ? (double)bias[at[3]] : 0) + (c->add ? (double)add[i] : 0);
        if (c->slope)
            v = v < 0 ? v * (double)slope[at[3]] : v;
        want.v[i] = nt_act(c->act, v, (double)p, (double)q);
    }
    nt_check(&n, 1, &out, &want, 5e-6,
             "Conv %lldx%lldx%lldx%lld -> %lld, k %lldx%lld s %lld,%lld d %lld,%lld pads "
             "%lld,%lld,%lld,%lld g %lld bias %d slope %d add %d act %d",
             (long long)c->n, (long long)c->h, (long long)c->w, (long long)c->ic, (long long)c->oc,
             (long long)c->k[0], (long long)c->k[1], (long long)c->s[0], (long long)c->s[1],
             (long long)c->d[0], (long long)c->d[1], (long long)c->pad[0], (long long)c->pad[1],
             (long long)c->pad[2], (long long)c->pad[3], (long long)c->groups, c->bias, c->slope,
             c->add, c->act);
    nt_close(&n);
}

static void random_epilogue(conv_case *c)
{
    c->bias = nt_chance(70);
    c->add = nt_chance(30);
    c->slope = nt_chance(25);
    c->act = DV_ACT_NONE;
    while (!c->slope && nt_chance(70)) {
        c->act = (int)nt_int(0, DV_ACT_COUNT - 1);
        if (act_total(c->act))
            break;
    }
    if (!act_total(c->act))
        c->act = DV_ACT_NONE;
}

static void random_window(conv_case *c)
{
    static const int64_t kernel[] = {1, 3, 3, 5, 7, 2};
    for (int i = 0; i < 2; i++) {
        c->k[i] = NT_PICK(kernel);
        c->s[i] = nt_chance(60) ? 1 : nt_int(2, 3);
        c->d[i] = nt_chance(75) ? 1 : nt_int(2, 3);
    }
    if (nt_chance(60)) { /* the usual square window */
        c->k[1] = c->k[0];
        c->s[1] = c->s[0];
    }
    for (int i = 0; i < 4; i++)
        c->pad[i] = nt_chance(50) ? c->k[i & 1] / 2 : nt_int(0, c->k[i & 1] + 1);
}

static void conv_every_activation(void **state)
{
    nt_seed(1);
    for (int act = 0; act < DV_ACT_COUNT; act++)
        for (int route = 0; route < 4 && act_total(act); route++) {
            conv_case c = {1,    5,     6,     19, 19, 1, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0},
                           true, false, false, act};
            if (route) {
                c.k[0] = c.k[1] = 3;
                c.pad[0] = c.pad[1] = c.pad[2] = c.pad[3] = 1;
            }
            if (route == 2)
                c.groups = 19;
            if (route == 3) {
                c.ic = 12;
                c.oc = 36;
                c.groups = 3;
            }
            for (int add = 0; add < 2; add++) {
                c.add = add;
                check_conv(&c);
            }
        }
}

static void conv_channels(void **state)
{
    nt_seed(2);
    for (int64_t ch = 1; ch <= 67; ch++) {
        conv_case one = {1,    3,      5,      ch,         nt_int(1, 67),
                         1,    {1, 1}, {1, 1}, {1, 1},     {0, 0, 0, 0},
                         true, false,  false,  DV_ACT_CLIP};
        check_conv(&one);
        conv_case three = {1,    4,      4,      nt_int(1, 20), ch,
                           1,    {3, 3}, {1, 1}, {1, 1},        {1, 1, 1, 1},
                           true, true,   false,  DV_ACT_NONE};
        check_conv(&three);
        conv_case depth = {1,    6,      5,      ch,         ch,
                           ch,   {3, 3}, {1, 1}, {1, 1},     {1, 1, 1, 1},
                           true, true,   false,  DV_ACT_NONE};
        check_conv(&depth);
    }
}

static void conv_random(void **state)
{
    nt_seed(3);
    for (int i = 0; i < 400; i++) {
        conv_case c = {.n = nt_chance(80) ? 1 : 3,
                       .h = nt_int(1, 14),
                       .w = nt_int(1, 14),
                       .ic = nt_int(1, 67),
                       .oc = nt_int(1, 67),
                       .groups = 1};
        random_window(&c);
        random_epilogue(&c);
        check_conv(&c);
    }
}

/* Dense 3x3 on pictures that pay for the transforms: odd and even sides, uneven padding. */
static void conv_winograd(void **state)
{
    nt_seed(8);
    for (int i = 0; i < 120; i++) {
        conv_case c = {.n = nt_chance(80) ? 1 : 2,
                       .h = nt_int(7, 17),
                       .w = nt_int(7, 17),
                       .ic = 16 * nt_int(1, 4),
                       .oc = 16 * nt_int(1, 5),
                       .groups = 1,
                       .k = {3, 3},
                       .s = {1, 1},
                       .d = {1, 1},
                       .large = true};
        for (int k = 0; k < 4; k++)
            c.pad[k] = nt_chance(70) ? 1 : nt_int(0, 3);
        random_epilogue(&c);
        check_conv(&c);
    }
    conv_case blocks = {1,      41,           38,   16,   48,    1,           {3, 3}, {1, 1},
                        {1, 1}, {1, 1, 1, 1}, true, true, false, DV_ACT_NONE, true};
    check_conv(&blocks); /* two of them */
    blocks.n = 2;
    blocks.pad[0] = 3;
    check_conv(&blocks);
}

static void conv_pointwise(void **state)
{
    nt_seed(4);
    for (int i = 0; i < 150; i++) {
        conv_case c = {.n = nt_int(1, 2),
                       .h = nt_int(1, 11),
                       .w = nt_int(1, 11),
                       .ic = nt_int(1, 130),
                       .oc = nt_int(1, 130),
                       .groups = 1,
                       .k = {1, 1},
                       .s = {1, 1},
                       .d = {1, 1}};
        if (nt_chance(20))
            c.s[0] = c.s[1] = 2;
        random_epilogue(&c);
        check_conv(&c);
    }
}

static void conv_depthwise(void **state)
{
    nt_seed(5);
    for (int i = 0; i < 300; i++) {
        int64_t ch = nt_int(2, 67);
        conv_case c = {.n = nt_chance(80) ? 1 : 2,
                       .h = nt_int(1, 14),
                       .w = nt_int(1, 14),
                       .ic = ch,
                       .oc = ch,
                       .groups = ch};
        random_window(&c);
        random_epilogue(&c);
        check_conv(&c);
    }
}

static void conv_groups(void **state)
{
    nt_seed(6);
    for (int i = 0; i < 300; i++) {
        int64_t g = nt_int(2, 6);
        conv_case c = {.n = nt_chance(80) ? 1 : 2,
                       .h = nt_int(1, 10),
                       .w = nt_int(1, 10),
                       .ic = g * nt_int(1, 9),
                       .oc = g * nt_int(1, 35),
                       .groups = g};
        random_window(&c);
        random_epilogue(&c);
        check_conv(&c);
    }
}

/* The residual's memory becomes the output's when nobody else wants it. */
static void conv_adds_in_place(void **state)
{
    nt_seed(7);
    for (int route = 0; route < 4; route++) {
        nt_net n;
        nt_open(&n);
        int64_t ch = route == 3 ? 32 : 21, k = route ? 3 : 1, icg = route == 2 ? 1 : ch;
        int64_t xd[4] = {1, 9, 7, ch}, wd[4] = {k, k, icg, ch};
        float *x = nt_floats(&n, nt_count(4, xd), -1, 1);
        float *w = nt_floats(&n, nt_count(4, wd), -.2f, .2f);
        int32_t in = nt_input(&n, 4, xd, x), twice, out;
        NT_INTS(nt_op(&n, DV_OP_BINARY, NT_IDS(in, in), &twice), DV_A_BINARY, DV_BIN_ADD);
        dv_node *node =
            nt_op(&n, DV_OP_CONV, NT_IDS(in, nt_const(&n, 4, wd, w), -1, -1, twice), &out);
        NT_INTS(node, DV_A_KERNEL, k, k);
        NT_INTS(node, DV_A_PADS, k / 2, k / 2, k / 2, k / 2);
        NT_INTS(node, DV_A_GROUP, ch / icg);
        conv_case c = {1,        9,      7,      ch,         ch,
                       ch / icg, {k, k}, {1, 1}, {1, 1},     {k / 2, k / 2, k / 2, k / 2},
                       false,    false,  true,   DV_ACT_NONE};
        nt_array want = nt_want(&n, 4, xd);
        for (size_t i = 0; i < want.n; i++) {
            int64_t at[4];
            nt_unravel(i, 4, xd, at);
            want.v[i] = window_sum(&c, x, w, at[0], at[1], at[2], at[3]) + 2 * (double)x[i];
        }
        nt_check(&n, 1, &out, &want, 5e-6, "Conv + residual in place, route %d", route);
        nt_close(&n);
    }
}

/* y[i s + t d - pad] += x[i] w[t]: the definition read forwards. */
static void transposed_random(void **state)
{
    nt_seed(8);
    for (int i = 0; i < 200; i++) {
        int64_t b = nt_int(1, 2), h = nt_int(1, 7), w = nt_int(1, 7), ic = nt_int(1, 40),
                oc = nt_int(1, 35), k[2] = {nt_int(1, 4), nt_int(1, 4)},
                s[2] = {nt_int(1, 3), nt_int(1, 3)}, d[2] = {1, 1}, pad[4], op[2] = {0, 0};
        if (nt_chance(25))
            d[0] = d[1] = 2;
        for (int j = 0; j < 4; j++)
            pad[j] = nt_int(0, k[j & 1] - 1);
        for (int j = 0; j < 2; j++)
            op[j] = nt_int(0, s[j] - 1);
        int64_t oh = (h - 1) * s[0] - pad[0] - pad[2] + (k[0] - 1) * d[0] + 1 + op[0];
        int64_t ow = (w - 1) * s[1] - pad[1] - pad[3] + (k[1] - 1) * d[1] + 1 + op[1];
        if (oh < 1 || ow < 1)
            continue;
        nt_net n;
        nt_open(&n);
        int64_t xd[4] = {b, h, w, ic}, wd[2] = {ic, k[0] * k[1] * oc}, od[4] = {b, oh, ow, oc};
        float *x = nt_floats(&n, nt_count(4, xd), -1, 1);
        float *wt = nt_floats(&n, nt_count(2, wd), -.3f, .3f);
        float *bias = nt_floats(&n, (size_t)oc, -1, 1), *slope = nt_floats(&n, (size_t)oc, -1, 1);
        bool with_bias = nt_chance(60), with_slope = nt_chance(30);
        int act = DV_ACT_NONE;
        if (!with_slope && nt_chance(50))
            act = nt_chance(50) ? DV_ACT_CLIP : DV_ACT_SWISH;
        int32_t in[4] = {nt_input(&n, 4, xd, x), nt_const(&n, 2, wd, wt), -1, -1}, out;
        if (with_bias)
            in[2] = nt_const(&n, 1, &oc, bias);
        if (with_slope)
            in[3] = nt_const(&n, 1, &oc, slope);
        dv_node *node = nt_op(&n, DV_OP_CONV_TRANSPOSE,
                              with_slope  ? 4
                              : with_bias ? 3
                                          : 2,
                              in, &out);
        NT_INTS(node, DV_A_KERNEL, k[0], k[1]);
        NT_INTS(node, DV_A_STRIDE, s[0], s[1]);
        NT_INTS(node, DV_A_DILATION, d[0], d[1]);
        NT_INTS(node, DV_A_PADS, pad[0], pad[1], pad[2], pad[3]);
        NT_INTS(node, DV_A_OUTPUT_PAD, op[0], op[1]);
        NT_INTS(node, DV_A_ACT, act);
        NT_FLOATS(node, DV_A_P, -0.5f);
        NT_FLOATS(node, DV_A_Q, 0.75f);
        nt_array want = nt_want(&n, 4, od);
        for (size_t e = 0; e < nt_count(4, xd); e++) {
            int64_t at[4];
            nt_unravel(e, 4, xd, at);
            for (int64_t t = 0; t < k[0] * k[1]; t++) {
                int64_t y = at[1] * s[0] - pad[0] + t / k[1] * d[0];
                int64_t xx = at[2] * s[1] - pad[1] + t % k[1] * d[1];
                for (int64_t o = 0; y >= 0 && y < oh && xx >= 0 && xx < ow && o < oc; o++)
                    want.v[((at[0] * oh + y) * ow + xx) * oc + o] +=
                        (double)x[e] * (double)wt[at[3] * wd[1] + t * oc + o];
            }
        }
        for (size_t e = 0; e < want.n; e++) {
            double v = want.v[e] + (with_bias ? (double)bias[e % (size_t)oc] : 0);
            if (with_slope && v < 0)
                v *= (double)slope[e % (size_t)oc];
            want.v[e] = nt_act(act, v, -0.5, 0.75);
        }
        nt_check(&n, 1, &out, &want, 5e-6, "ConvTranspose %lldx%lldx%lld k %lldx%lld -> %lld",
                 (long long)h, (long long)w, (long long)ic, (long long)k[0], (long long)k[1],
                 (long long)oc);
        nt_close(&n);
    }
}

/* A conv whose weights, attributes or input do not agree. */
static void conv_refusals(void **state)
{
    for (int kind = 0; kind < 13; kind++) {
        nt_net n;
        nt_open(&n);
        nt_seed(9);
        int64_t xd[4] = {1, 5, 5, 8}, wd[4] = {3, 3, 8, 12}, bd[1] = {12};
        int64_t k[2] = {3, 3}, s[2] = {1, 1}, group = 1, act = 0;
        dmv_status code = DMV_ERR_FORMAT;
        switch (kind) {
        case 0:
            xd[3] = 7;
            break;
        case 1:
            bd[0] = 11;
            break;
        case 2:
            k[0] = 5;
            break;
        case 3:
            s[1] = 0;
            break;
        case 4:
            group = 5;
            break;
        case 5:
            group = -1;
            break;
        case 6:
            group = 2;
            break; /* 2 x 8 input channels then */
        case 7:
            act = DV_ACT_COUNT;
            break;
        case 8:
            act = -1;
            break;
        case 9:
            xd[1] = 2;
            code = DMV_ERR_ARGUMENT;
            break;
        case 10:
            k[1] = INT64_MAX;
            break;
        case 11:
            s[0] = INT64_MIN;
            break;
        default:
            break; /* 12: a residual of another shape */
        }
        int32_t in[5] = {nt_input(&n, 4, xd, NULL),
                         nt_const(&n, 4, wd, nt_floats(&n, nt_count(4, wd), 0, 1)),
                         nt_const(&n, 1, bd, nt_floats(&n, 12, 0, 1)), -1, -1};
        int64_t ad[4] = {1, 3, 3, 11};
        if (kind == 12)
            in[4] = nt_input(&n, 4, ad, NULL);
        int32_t out;
        dv_node *node = nt_op(&n, DV_OP_CONV, 5, in, &out);
        NT_INTS(node, DV_A_KERNEL, k[0], k[1]);
        NT_INTS(node, DV_A_STRIDE, s[0], s[1]);
        NT_INTS(node, DV_A_GROUP, group);
        NT_INTS(node, DV_A_ACT, act);
        nt_refuses(&n, out, code, "bad conv %d", kind);
        nt_close(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_every_activation), cmocka_unit_test(conv_channels),
        cmocka_unit_test(conv_random),           cmocka_unit_test(conv_pointwise),
        cmocka_unit_test(conv_depthwise),        cmocka_unit_test(conv_groups),
        cmocka_unit_test(conv_adds_in_place),    cmocka_unit_test(conv_winograd),
        cmocka_unit_test(transposed_random),     cmocka_unit_test(conv_refusals),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nt_shared_close();
    return failed;
}
