/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementwise kernels over the vectors of one instruction set; include after its
 * vec_*.h, once per library. The polynomials are Chebyshev fits made with mpmath
 * (chebyfit); intervals stand beside them. Tolerances: kernels.h.
 */
#include <math.h>

#include "kernels/c_kernels.h"

/* ---- functions ---- */

/* e^x = 2^n e^r, |r| <= ln 2 / 2. Two halves of 2^n, so that neither leaves the range. */
DV_INLINE vf v_exp(vf x)
{
    x = v_min(v_set1(89.0f), v_max(v_set1(-104.0f), x));
    vf n = v_round(v_mul(x, v_set1(1.44269504f)));
    vf r = v_fnma(n, v_set1(0.693145752f), x); /* 15 bits of ln 2, then the rest */
    r = v_fnma(n, v_set1(1.42860677e-6f), r);
    vf p = v_set1(0.00139269266f); /* (e^r - 1 - r) / r^2 on +-0.35 */
    p = v_fma(p, r, v_set1(0.00836377387f));
    p = v_fma(p, r, v_set1(0.0416665501f));
    p = v_fma(p, r, v_set1(0.166665734f));
    p = v_fma(p, r, v_set1(0.5f));
    p = v_add(v_fma(p, v_mul(r, r), r), v_set1(1.0f));
    vi i = v_to_int(n), half = v_isra(i, 1), bias = v_iset1(127);
    vf a = v_from_bits(v_isll(v_iadd(half, bias), 23));
    vf b = v_from_bits(v_isll(v_iadd(v_isub(i, half), bias), 23));
    return v_mul(v_mul(p, a), b);
}

/* ln x = e ln 2 + ln m, sqrt(1/2) <= m < sqrt 2. */
DV_INLINE vf v_log(vf x)
{
    vm small = v_lt(x, v_set1(1.17549435e-38f));
    vf y = v_sel(small, v_mul(x, v_set1(8388608.0f)), x);
    vi e = v_isra(v_isub(v_bits(y), v_iset1(0x3f3504f3)), 23);
    vf f = v_sub(v_from_bits(v_isub(v_bits(y), v_isll(e, 23))), v_set1(1.0f));
    vf n = v_to_float(e);
    n = v_sel(small, v_sub(n, v_set1(23.0f)), n);
    vf p = v_set1(-0.0791176113f); /* (ln(1 + f) - f + f^2 / 2) / f^3 on -0.294 .. 0.415 */
    p = v_fma(p, f, v_set1(0.12636535f));
    p = v_fma(p, f, v_set1(-0.130012549f));
    p = v_fma(p, f, v_set1(0.14213094f));
    p = v_fma(p, f, v_set1(-0.166409399f));
    p = v_fma(p, f, v_set1(0.200010785f));
    p = v_fma(p, f, v_set1(-0.250003126f));
    p = v_fma(p, f, v_set1(0.333333306f));
    vf ff = v_mul(f, f);
    p = v_fma(p, v_mul(ff, f), v_mul(n, v_set1(1.42860677e-6f)));
    p = v_add(v_fnma(ff, v_set1(0.5f), p), f);
    p = v_fma(n, v_set1(0.693145752f), p);
    p = v_sel(v_lt(x, v_zero()), v_set1(NAN), p);
    p = v_sel(v_eq(x, v_zero()), v_set1(-INFINITY), p);
    p = v_sel(v_eq(x, v_set1(INFINITY)), x, p);
    return v_sel(v_isnan(x), x, p);
}

DV_INLINE vf v_tanh(vf x)
{
    vf u = v_mul(x, x), a = v_abs(x), one = v_set1(1.0f);
    vf p = v_set1(-0.0060451651f); /* (tanh x / x - 1) / x^2 over x^2 on 0 .. 0.4 */
    p = v_fma(p, u, v_set1(0.0209613291f));
    p = v_fma(p, u, v_set1(-0.0538432632f));
    p = v_fma(p, u, v_set1(0.133327188f));
    p = v_fma(p, u, v_set1(-0.333333284f));
    p = v_fma(v_mul(p, u), x, x);
    vf e = v_exp(v_add(a, a));
    vf q = v_sub(one, v_div(v_set1(2.0f), v_add(e, one)));
    return v_sel(v_lt(a, v_set1(0.6f)), p, v_copysign(q, x));
}

DV_INLINE vf v_erf(vf x)
{
    vf u = v_mul(x, x), a = v_abs(x);
    vf p = v_set1(7.87554577e-5f); /* erf x / x over x^2 on 0 .. 1 */
    p = v_fma(p, u, v_set1(-0.00080167735f));
    p = v_fma(p, u, v_set1(0.00518907811f));
    p = v_fma(p, u, v_set1(-0.0268542076f));
    p = v_fma(p, u, v_set1(0.112835946f));
    p = v_fma(p, u, v_set1(-0.376126267f));
    p = v_fma(p, u, v_set1(1.12837917f));
    p = v_mul(p, x);
    vf t = v_min(v_set1(4.0f), a);
    vf q = v_set1(1.32723618e-5f); /* -ln erfc x on 1 .. 4; erfc 4 = 1.5e-8 */
    q = v_fma(q, t, v_set1(-0.000316937022f));
    q = v_fma(q, t, v_set1(0.00343235138f));
    q = v_fma(q, t, v_set1(-0.0226047722f));
    q = v_fma(q, t, v_set1(0.103281118f));
    q = v_fma(q, t, v_set1(0.639141258f));
    q = v_fma(q, t, v_set1(1.12589365f));
    q = v_fma(q, t, v_set1(0.00076589778f));
    q = v_sub(v_set1(1.0f), v_exp(v_neg(q)));
    return v_sel(v_lt(a, v_set1(1.0f)), p, v_copysign(q, x));
}

DV_INLINE vf v_clip(vf x, vf lo, vf hi)
{
    return v_min(hi, v_max(lo, x));
}

/* x/2 (1 + erf(x / sqrt 2)): the error function as x P(x^2) / Q(x^2), a fit that weighs an error
 * by what it does to the result (mpmath, iterated least squares). */
DV_INLINE vf v_gelu(vf x)
{
    vf c = v_clip(x, v_set1(-5.4f), v_set1(5.4f)), u = v_mul(c, c);
    vf p = v_set1(4.562315325529198e-08f), q = v_set1(1.2075737458872027e-06f);
    p = v_fma(p, u, v_set1(1.2926168892590795e-05f));
    q = v_fma(q, u, v_set1(7.586788706248626e-05f));
    p = v_fma(p, u, v_set1(0.0003490960516501218f));
    q = v_fma(q, u, v_set1(0.0019161757081747055f));
    p = v_fma(p, u, v_set1(0.009424739517271519f));
    q = v_fma(q, u, v_set1(0.028938302770256996f));
    p = v_fma(p, u, v_set1(0.06867808848619461f));
    q = v_fma(q, u, v_set1(0.2527400851249695f));
    p = v_fma(p, u, v_set1(0.7978842854499817f));
    q = v_fma(q, u, v_set1(1.0f));
    vf e = v_clip(v_div(v_mul(c, p), q), v_set1(-1.0f), v_set1(1.0f)), h = v_mul(x, v_set1(0.5f));
    return v_fma(h, e, h);
}

/* ---- activations ---- */

DV_INLINE vf v_activate(const int act, vf x, vf p, vf q)
{
    const vf one = v_set1(1.0f), zero = v_zero();
    switch (act) {
    case DV_ACT_CLIP:
        return v_clip(x, p, q);
    case DV_ACT_LEAKY:
        return v_prelu(x, p);
    case DV_ACT_SIGMOID:
        return v_div(one, v_add(one, v_exp(v_neg(x))));
    case DV_ACT_TANH:
        return v_tanh(x);
    case DV_ACT_SWISH:
        return v_div(x, v_add(one, v_exp(v_neg(x))));
    case DV_ACT_HSIGMOID:
        return v_clip(v_add(v_mul(p, x), q), zero, one);
    case DV_ACT_HSWISH:
        return v_mul(x, v_clip(v_fma(x, v_set1(1.0f / 6.0f), v_set1(0.5f)), zero, one));
    case DV_ACT_GELU:
        return v_gelu(x);
    case DV_ACT_ERF:
        return v_erf(x);
    case DV_ACT_EXP:
        return v_exp(x);
    case DV_ACT_LOG:
        return v_log(x);
    case DV_ACT_SQRT:
        return v_sqrt(x);
    case DV_ACT_ABS:
        return v_abs(x);
    case DV_ACT_NEG:
        return v_neg(x);
    case DV_ACT_FLOOR:
        return v_floor(x);
    case DV_ACT_CEIL:
        return v_ceil(x);
    case DV_ACT_RECIP:
        return v_div(one, x);
    case DV_ACT_ELU:
        return v_sel(v_lt(x, zero), v_mul(p, v_sub(v_exp(x), one)), x);
    case DV_ACT_SOFTPLUS:
        return v_add(v_max(zero, x), v_log(v_add(one, v_exp(v_neg(v_abs(x))))));
    default:
        return x;
    }
}

#define STEP ((size_t)2 * VW)

/* n is a multiple of STEP */
DV_INLINE void activate(const int act, size_t n, const float *in, float *out, float p, float q)
{
    const vf vp = v_set1(p), vq = v_set1(q);
    for (size_t i = 0; i < n; i += STEP) {
        const vf a = v_activate(act, v_load(in + i), vp, vq);
        const vf b = v_activate(act, v_load(in + i + VW), vp, vq);
        v_store(out + i, a);
        v_store(out + i + VW, b);
    }
}

static void act_steps(int act, size_t n, const float *in, float *out, float p, float q)
{
#define CASE(a)                        \
    case a:                            \
        activate(a, n, in, out, p, q); \
        break;
    switch (act) {
        CASE(DV_ACT_CLIP)
        CASE(DV_ACT_LEAKY)
        CASE(DV_ACT_SIGMOID)
        CASE(DV_ACT_TANH)
        CASE(DV_ACT_SWISH)
        CASE(DV_ACT_HSIGMOID)
        CASE(DV_ACT_HSWISH)
        CASE(DV_ACT_GELU)
        CASE(DV_ACT_ERF)
        CASE(DV_ACT_EXP)
        CASE(DV_ACT_LOG)
        CASE(DV_ACT_SQRT)
        CASE(DV_ACT_ABS)
        CASE(DV_ACT_NEG)
        CASE(DV_ACT_FLOOR)
        CASE(DV_ACT_CEIL)
        CASE(DV_ACT_RECIP)
        CASE(DV_ACT_ELU)
        CASE(DV_ACT_SOFTPLUS)
    default:
        activate(DV_ACT_NONE, n, in, out, p, q);
    }
#undef CASE
}

/* What is left of a STEP goes by way of a buffer, so that all functions are there but once. */
DV_INLINE void to_step(const float *from, size_t n, float *buf)
{
    for (size_t i = 0; i < STEP; i += VW)
        v_store(buf + i, i < n ? v_load_t(from + i, v_tail(DV_MIN(n - i, (size_t)VW))) : v_zero());
}

DV_INLINE void from_step(const float *buf, size_t n, float *to)
{
    for (size_t i = 0; i < n; i += VW)
        v_store_t(to + i, v_load(buf + i), v_tail(DV_MIN(n - i, (size_t)VW)));
}

void DV_ISA(act_f32)(int act, size_t n, const float *in, float *out, float p, float q)
{
    const size_t whole = n - n % STEP;
    float buf[2 * VW];
    act_steps(act, whole, in, out, p, q);
    if (whole == n)
        return;
    to_step(in + whole, n - whole, buf);
    act_steps(act, STEP, buf, buf, p, q);
    from_step(buf, n - whole, out + whole);
}

/* ---- binary ---- */

DV_INLINE vf v_binary(const int op, vf a, vf b)
{
    switch (op) {
    case DV_BIN_ADD:
        return v_add(a, b);
    case DV_BIN_SUB:
        return v_sub(a, b);
    case DV_BIN_MUL:
        return v_mul(a, b);
    case DV_BIN_DIV:
        return v_div(a, b);
    case DV_BIN_MAX:
        return v_sel(v_isnan(a), a, v_max(a, b));
    default:
        return v_sel(v_isnan(a), a, v_min(a, b));
    }
}

/* sa, sb: a, b is one scalar for all. n is a multiple of STEP. */
DV_INLINE void binary(const int op, const int sa, const int sb, size_t n, const float *a,
                      const float *b, float *out)
{
    const vf a0 = v_set1(a[0]), b0 = v_set1(b[0]);
    for (size_t i = 0; i < n; i += STEP) {
        const vf x = v_binary(op, sa ? a0 : v_load(a + i), sb ? b0 : v_load(b + i));
        const vf y = v_binary(op, sa ? a0 : v_load(a + i + VW), sb ? b0 : v_load(b + i + VW));
        v_store(out + i, x);
        v_store(out + i + VW, y);
    }
}

static void binary_steps(int op, int mode, size_t n, const float *a, const float *b, float *out)
{
#define CASE(o)                            \
    case o:                                \
        if (mode == 0)                     \
            binary(o, 0, 0, n, a, b, out); \
        else if (mode == 1)                \
            binary(o, 0, 1, n, a, b, out); \
        else                               \
            binary(o, 1, 0, n, a, b, out); \
        break;
    switch (op) {
        CASE(DV_BIN_ADD)
        CASE(DV_BIN_SUB)
        CASE(DV_BIN_MUL)
        CASE(DV_BIN_DIV)
        CASE(DV_BIN_MAX)
        CASE(DV_BIN_MIN)
    default:
        break;
    }
#undef CASE
}

void DV_ISA(binary_f32)(int op, int mode, size_t n, const float *a, const float *b, float *out)
{
    const size_t whole = n - n % STEP, rest = n - whole;
    float left[2 * VW], right[2 * VW];
    if (op == DV_BIN_POW || n == 0) {
        dv_c_binary_f32(op, mode, n, a, b, out); /* powers: libm */
        return;
    }
    /* a scalar may lie in the place of the output's first element */
    const float a0 = a[0], b0 = b[0];
    const float *pa = mode == 2 ? &a0 : a, *pb = mode == 1 ? &b0 : b;
    if (whole)
        binary_steps(op, mode, whole, pa, pb, out);
    if (rest == 0)
        return;
    if (mode != 2) {
        to_step(a + whole, rest, left);
        pa = left;
    }
    if (mode != 1) {
        to_step(b + whole, rest, right);
        pb = right;
    }
    binary_steps(op, mode, STEP, pa, pb, left);
    from_step(left, rest, out + whole);
}

/* ---- PReLU ---- */

void DV_ISA(prelu_f32)(size_t rows, size_t c, const float *in, const float *slope, float *out)
{
    size_t full = c / VW * VW;
    vt t = v_tail(c - full);
    for (size_t r = 0; r < rows; r++, in += c, out += c) {
        for (size_t i = 0; i < full; i += VW)
            v_store(out + i, v_prelu(v_load(in + i), v_load(slope + i)));
        if (full < c) {
            vf x = v_prelu(v_load_t(in + full, t), v_load_t(slope + full, t));
            v_store_t(out + full, x, t);
        }
    }
}
