/* SPDX-License-Identifier: Apache-2.0
 *
 * checkasm: elementwise kernels, row kernels, pixels. Activations, the C twin's included,
 * are measured against libm in double, with the tolerance that kernels.h promises.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "checkasm.h"

static const size_t lengths[] = {0,  1,  2,  3,  4,  5,  7,  8,  9,  11, 13, 15,  16,
                                 17, 23, 24, 29, 31, 32, 33, 47, 61, 64, 67, 127, 1000};

/* ---- binary ---- */

void check_binary_f32(ck *s)
{
    for (int op = 0; op < DV_BIN_COUNT; op++)
        for (int mode = 0; mode < 3; mode++)
            for (size_t i = 0; i < DV_COUNT(lengths); i++) {
                size_t n = lengths[i], an = mode == 2 ? 1 : n, bn = mode == 1 ? 1 : n;
                size_t place = ck_below(s, 3); /* out apart, on a, on b */
                if ((place == 1 && an < n) || (place == 2 && bn < n))
                    place = 0;
                ck_case(s, "op %d mode %d n %zu in place %zu", op, mode, n, place);
                float *a = ck_floats(s, an), *b = ck_floats(s, bn);
                float *want = ck_floats(s, n), *got = ck_floats(s, n);
                ck_fill(s, a, an, (int)ck_below(s, 3));
                ck_fill(s, b, bn, (int)ck_below(s, 3));
                s->ref->binary_f32(op, mode, n, a, b, want);
                float *out = place == 1 ? a : place == 2 ? b : got;
                s->cur->binary_f32(op, mode, n, a, b, out);
                ck_compare(s, want, out, 1, n, n, NULL);
            }
}

typedef struct line_bench {
    int op;
    size_t rows, n;
    float *a, *b, *out;
    uint8_t *pixels;
} line_bench;

/* Runs fn on arrays of rows x n floats; bytes: moved per element. */
static void bench_line(ck *s, const char *label, int op, size_t rows, size_t n, double bytes,
                       void (*fn)(const dv_kernels *k, void *arg))
{
    line_bench b = {.op = op, .rows = rows, .n = n};
    size_t count = rows * n;
    b.a = ck_bench_floats(s, count);
    b.b = ck_bench_floats(s, count);
    b.out = ck_bench_floats(s, count);
    b.pixels = (uint8_t *)ck_bench_floats(s, count);
    ck_bench(s, label, bytes * (double)count, "GB/s", fn, &b);
}

static void run_binary(const dv_kernels *k, void *arg)
{
    line_bench *b = arg;
    k->binary_f32(b->op, 0, b->n, b->a, b->b, b->out);
}

void bench_binary_f32(ck *s)
{
    bench_line(s, "add 4096", DV_BIN_ADD, 1, 4096, 12, run_binary);
    bench_line(s, "add 200704", DV_BIN_ADD, 1, 200704, 12, run_binary);
    bench_line(s, "max 4096", DV_BIN_MAX, 1, 4096, 12, run_binary);
}

/* ---- activations ---- */

static double exact(int act, double x, double p, double q)
{
    switch (act) {
    case DV_ACT_CLIP:
        return x < p ? p : x > q ? q : x;
    case DV_ACT_LEAKY:
        return x < 0 ? x * p : x;
    case DV_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case DV_ACT_TANH:
        return tanh(x);
    case DV_ACT_SWISH:
        return x / (1 + exp(-x));
    case DV_ACT_HSIGMOID:
        x = p * x + q;
        return x < 0 ? 0 : x > 1 ? 1 : x;
    case DV_ACT_HSWISH:
        return x / 6 + 0.5 < 0 ? x * 0 : x / 6 + 0.5 > 1 ? x : x * (x / 6 + 0.5);
    case DV_ACT_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case DV_ACT_ERF:
        return erf(x);
    case DV_ACT_EXP:
        return exp(x);
    case DV_ACT_LOG:
        return log(x);
    case DV_ACT_SQRT:
        return sqrt(x);
    case DV_ACT_ABS:
        return fabs(x);
    case DV_ACT_NEG:
        return -x;
    case DV_ACT_FLOOR:
        return floor(x);
    case DV_ACT_CEIL:
        return ceil(x);
    case DV_ACT_RECIP:
        return 1 / x;
    case DV_ACT_ELU:
        return x < 0 ? p * expm1(x) : x;
    case DV_ACT_SOFTPLUS:
        return (x < 0 ? 0 : x) + log1p(exp(-fabs(x)));
    default:
        return x;
    }
}

/* One batch: n inputs of the given kind through both tables. */
static void act_case(ck *s, int act, size_t n, int kind)
{
    static const float special[] = {
        0.0f,    -0.0f,   INFINITY, -INFINITY, NAN,      1e-45f, -1e-45f,  1e-39f,
        -1e-39f, FLT_MIN, FLT_MAX,  -FLT_MAX,  88.7228f, 88.73f, 89.5f,    -87.4f,
        -103.0f, -104.5f, 0.6f,     -0.6f,     0.99999f, 1.0f,   1.00001f, 3.99f,
        4.01f,   -5.6f,   1.5f,     -2.5f,     0x1p23f,  -1e9f,  0.70710f, 1.41422f};
    float p = ck_uniform(s, 0, 1), q = p + ck_uniform(s, 0, 1);
    bool in_place = ck_below(s, 2);
    ck_case(s, "act %d n %zu kind %d p %g q %g%s", act, n, kind, p, q, in_place ? " in place" : "");
    float *in = ck_floats(s, n), *got = ck_floats(s, n), *twin = ck_floats(s, n);
    double *want = ck_doubles(s, n);
    for (size_t i = 0; i < n; i++) {
        if (kind == 0) {
            in[i] = special[(i + s->cases) % DV_COUNT(special)];
        } else if (kind == 1) {
            uint32_t bits = ck_rand(s);
            memcpy(&in[i], &bits, 4);
        } else {
            in[i] = ck_uniform(s, -1, 1) * (kind == 2 ? 1.5f : kind == 3 ? 10.0f : 110.0f);
        }
        if (CK_FLUSH && fabsf(in[i]) < FLT_MIN)
            in[i] = copysignf(0.0f, in[i]);
        want[i] = exact(act, in[i], p, q);
    }
    s->ref->act_f32(act, n, in, twin, p, q);
    float *out = in_place ? in : got;
    s->cur->act_f32(act, n, in, out, p, q);
    for (size_t i = 0; i < n; i++) {
        /* What exceeds the float range by rounding may be the infinity or the largest. */
        double ref = fabs(want[i]) > FLT_MAX ? copysign(INFINITY, want[i]) : want[i];
        double tol = (act == DV_ACT_GELU ? 8e-7 : 4e-7) + 4e-7 * fabs(want[i]);
        bool edge = fabs(want[i]) > FLT_MAX * (1 - 1e-6) && fabs(want[i]) < FLT_MAX * (1 + 1e-6);
        if (!edge && !ck_close(ref, twin[i], tol))
            ck_fail(s, "C twin at %zu: %.9g, want %.9g", i, twin[i], ref);
        if (!edge && !ck_close(ref, out[i], tol))
            ck_fail(s, "at %zu: %.9g, want %.9g", i, out[i], ref);
    }
    ck_fences(s);
}

void check_act_f32(ck *s)
{
    for (int act = 0; act < DV_ACT_COUNT; act++) {
        for (size_t i = 0; i < DV_COUNT(lengths); i++)
            act_case(s, act, lengths[i], (int)ck_below(s, 5));
        for (int kind = 0; kind < 5; kind++)
            act_case(s, act, kind == 0 ? 320 : 50000, kind);
    }
}

static void run_act(const dv_kernels *k, void *arg)
{
    line_bench *b = arg;
    k->act_f32(b->op, b->n, b->a, b->out, 0.1f, 1);
}

void bench_act_f32(ck *s)
{
    bench_line(s, "sigmoid 4096", DV_ACT_SIGMOID, 1, 4096, 8, run_act);
    bench_line(s, "tanh 4096", DV_ACT_TANH, 1, 4096, 8, run_act);
    bench_line(s, "exp 4096", DV_ACT_EXP, 1, 4096, 8, run_act);
    bench_line(s, "log 4096", DV_ACT_LOG, 1, 4096, 8, run_act);
    bench_line(s, "erf 4096", DV_ACT_ERF, 1, 4096, 8, run_act);
    bench_line(s, "gelu 4096", DV_ACT_GELU, 1, 4096, 8, run_act);
    bench_line(s, "hswish 4096", DV_ACT_HSWISH, 1, 4096, 8, run_act);
}

/* ---- prelu ---- */

void check_prelu_f32(ck *s)
{
    for (size_t i = 0; i < DV_COUNT(lengths); i++)
        for (size_t rows = 0; rows < 6; rows++) {
            size_t c = lengths[i], n = rows * c;
            bool in_place = ck_below(s, 2);
            ck_case(s, "rows %zu c %zu%s", rows, c, in_place ? " in place" : "");
            float *in = ck_floats(s, n), *slope = ck_floats(s, c);
            float *want = ck_floats(s, n), *got = ck_floats(s, n);
            ck_fill(s, in, n, (int)ck_below(s, 3));
            ck_fill(s, slope, c, CK_PLAIN);
            s->ref->prelu_f32(rows, c, in, slope, want);
            s->cur->prelu_f32(rows, c, in, slope, in_place ? in : got);
            ck_compare(s, want, in_place ? in : got, 1, n, n, NULL);
        }
}

static void run_prelu(const dv_kernels *k, void *arg)
{
    line_bench *b = arg;
    k->prelu_f32(b->rows, b->n, b->a, b->b, b->out);
}

void bench_prelu_f32(ck *s)
{
    bench_line(s, "196 x 128", 0, 196, 128, 8, run_prelu);
}

/* ---- softmax ---- */

void check_softmax_f32(ck *s)
{
    for (size_t i = 0; i < DV_COUNT(lengths); i++)
        for (size_t rows = 0; rows < 4; rows++) {
            size_t n = lengths[i], count = rows * n;
            bool in_place = ck_below(s, 2);
            float range = ck_below(s, 2) ? 3.0f : 90.0f;
            ck_case(s, "rows %zu n %zu range %g%s", rows, n, range, in_place ? " in place" : "");
            float *in = ck_floats(s, count), *want = ck_floats(s, count);
            float *got = ck_floats(s, count);
            double *tol = ck_doubles(s, count);
            for (size_t j = 0; j < count; j++)
                in[j] = ck_uniform(s, -range, range);
            if (count && ck_below(s, 4) == 0)
                in[ck_below(s, count)] = ck_below(s, 4) ? -INFINITY : NAN;
            s->ref->softmax_f32(rows, n, in, want);
            for (size_t j = 0; j < count; j++)
                tol[j] = fabs(want[j]) * CK_EPS * (16 + (double)n / 8) + FLT_MIN;
            s->cur->softmax_f32(rows, n, in, in_place ? in : got);
            ck_compare(s, want, in_place ? in : got, 1, count, count, tol);
        }
}

static void run_softmax(const dv_kernels *k, void *arg)
{
    line_bench *b = arg;
    k->softmax_f32(b->rows, b->n, b->a, b->out);
}

void bench_softmax_f32(ck *s)
{
    bench_line(s, "2048 x 2", 0, 2048, 2, 8, run_softmax);
    bench_line(s, "49 x 49", 0, 49, 49, 8, run_softmax);
    bench_line(s, "4 x 1000", 0, 4, 1000, 8, run_softmax);
}

/* ---- layer normalisation ---- */

void check_layernorm_f32(ck *s)
{
    for (size_t i = 1; i < DV_COUNT(lengths); i++) /* no mean of nothing */
        for (size_t rows = 0; rows < 6; rows++) {
            size_t n = lengths[i], count = rows * n;
            bool in_place = ck_below(s, 2), affine = ck_below(s, 3), shift = ck_below(s, 2);
            float centre = ck_below(s, 3) ? 0 : 100, eps = ck_below(s, 2) ? 1e-5f : 1e-3f;
            float spread = ck_below(s, 4) ? 2 : 0;
            ck_case(s, "rows %zu n %zu centre %g spread %g%s", rows, n, centre, spread,
                    in_place ? " in place" : "");
            float *in = ck_floats(s, count), *gamma = ck_floats(s, n), *beta = ck_floats(s, n);
            float *want = ck_floats(s, count), *got = ck_floats(s, count);
            double *tol = ck_doubles(s, count);
            for (size_t j = 0; j < count; j++)
                in[j] = centre + ck_uniform(s, -spread, spread);
            ck_fill(s, gamma, n, CK_PLAIN);
            ck_fill(s, beta, n, CK_PLAIN);
            for (size_t r = 0; r < rows; r++) {
                double mean = 0, var = 0, max = 0;
                for (size_t j = 0; j < n; j++)
                    mean += in[r * n + j] / (double)n;
                for (size_t j = 0; j < n; j++) {
                    var += pow(in[r * n + j] - mean, 2) / (double)n;
                    max = fmax(max, fabs(in[r * n + j]));
                }
                for (size_t j = 0; j < n; j++)
                    tol[r * n + j] = CK_EPS * (8 + (double)n / 4) * (max / sqrt(var + eps) + 2) *
                                     (affine ? fabs(gamma[j]) + 1e-3 : 1);
            }
            const float *g = affine ? gamma : NULL, *b = shift ? beta : NULL;
            s->ref->layernorm_f32(rows, n, in, g, b, eps, want);
            s->cur->layernorm_f32(rows, n, in, g, b, eps, in_place ? in : got);
            ck_compare(s, want, in_place ? in : got, 1, count, count, tol);
        }
}

static void run_layernorm(const dv_kernels *k, void *arg)
{
    line_bench *b = arg;
    k->layernorm_f32(b->rows, b->n, b->a, b->b, b->b, 1e-5f, b->out);
}

void bench_layernorm_f32(ck *s)
{
    bench_line(s, "49 x 512", 0, 49, 512, 8, run_layernorm);
}

/* ---- pixels ---- */

void check_u8_to_f32(ck *s)
{
    for (size_t i = 0; i < DV_COUNT(lengths); i++)
        for (int round = 0; round < 6; round++) {
            size_t w = lengths[i], n = 3 * w;
            int swap = round & 1;
            ck_case(s, "w %zu swap %d", w, swap);
            uint8_t *in = ck_bytes(s, n);
            float *scale = ck_floats(s, 3), *shift = ck_floats(s, 3);
            float *want = ck_floats(s, n), *got = ck_floats(s, n);
            double *tol = ck_doubles(s, n);
            for (size_t j = 0; j < n; j++)
                in[j] = (uint8_t)(ck_below(s, 8) ? ck_rand(s) : 255);
            ck_fill(s, scale, 3, CK_PLAIN);
            ck_fill(s, shift, 3, CK_PLAIN);
            for (size_t j = 0; j < n; j++)
                tol[j] = CK_EPS * (fabs(255.0 * scale[j % 3]) + fabs(shift[j % 3]));
            s->ref->u8_to_f32(w, in, swap, scale, shift, want);
            s->cur->u8_to_f32(w, in, swap, scale, shift, got);
            ck_compare(s, want, got, 1, n, n, tol);
        }
}

static void run_u8(const dv_kernels *k, void *arg)
{
    line_bench *b = arg;
    const float scale[3] = {0.5f, 0.25f, 2}, shift[3] = {-1, 0, 1};
    k->u8_to_f32(b->n, b->pixels, 1, scale, shift, b->out);
}

void bench_u8_to_f32(ck *s)
{
    bench_line(s, "12544 pixels", 0, 3, 12544, 5, run_u8);
}
