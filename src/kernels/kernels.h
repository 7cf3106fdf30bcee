/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.h - the inner loops. Pointers and sizes only; no graph, no allocation,
 * no threads, no failure. The only folder with intrinsics.
 *
 * One table of function pointers. dv_kernels_init fills in the C versions, then
 * lets each instruction set of `cpu` overwrite what it has. kernels.inc lists the
 * families once; the table, the kernel tests (tests/kernels) and the kernel
 * benches are generated from it, so that no variant goes untested.
 *
 * Layout: pictures are NHWC (pixel-major), channels are contiguous.
 * Reading: kernels read exactly the elements described, never past them, except
 * packed weights, bias and slope, which are padded with zeros to whole panels.
 * Writing: exactly the elements described.
 * Aliasing: outputs may equal an input only where said so.
 */
#ifndef DV_KERNELS_H
#define DV_KERNELS_H

#include "base/base.h"

#define DV_PANEL 16 /* output channels of one weight panel, the same on every CPU */

/* What a kernel does to a sum before it stores it: v = acc + bias[n] (+ add), then
 * the activation. bias and slope have dv_round_up(n, DV_PANEL) readable floats. */
enum { DV_EP_NONE = 0, DV_EP_CLIP = 1, DV_EP_PRELU = 2 };
typedef struct dv_epilogue {
    const float *bias;  /* NULL = 0 */
    const float *slope; /* DV_EP_PRELU: v < 0 ? v * slope[n] : v */
    const float *add;   /* NULL, or the residual: row i at add + i * ldadd. May be c itself */
    size_t ldadd;
    float lo, hi; /* DV_EP_CLIP: min(max(v, lo), hi); ReLU is 0, inf */
    int act;
} dv_epilogue;

/* c[i][j] = ep(sum_k a[i][k] * w[k][j]), i < m, j < n.
 * a: row i at a + i * lda. c: row i at c + i * ldc.
 * w: packed panels: element (k, j) at w[(j / 16) * kk * 16 + k * 16 + j % 16], kk = k.
 * c overlaps neither a nor w. Sums run over k in ascending order in one accumulator. */
typedef void dv_gemm_f32_fn(size_t m, size_t n, size_t k, const float *a, size_t lda,
                            const float *w, float *c, size_t ldc, const dv_epilogue *ep);

/* A dense convolution of m pixels in a row: like gemm_f32, but row i of the left matrix lies in
 * `segs` pieces (the rows of the window) of `seg` floats each:
 *   c[i][j] = ep(sum_s sum_t a[i * lda + s * seg_stride + t] * w(s * seg + t, j))
 * w: element (k, j) at w[(j / 16) * panel + k * 16 + j % 16]; panel is that of the whole window, so
 * that a caller may leave out rows of padding and move w. Sums run in ascending order. */
typedef struct dv_conv_args {
    size_t m, n;
    size_t segs, seg, seg_stride;
    const float *a;
    size_t lda;
    const float *w;
    size_t panel; /* floats */
    float *c;
    size_t ldc;
    const dv_epilogue *ep;
} dv_conv_args;
typedef void dv_conv_f32_fn(const dv_conv_args *a);

/* ---- dense 3x3, stride 1, by Winograd's F(2x2, 3x3): A. Lavin, S. Gray, "Fast Algorithms for
 * Convolutional Neural Networks", 2016, section 4.1 ----
 *
 * Y = A' [ (G g G') . (B' d B) ] A for tiles of 2x2 outputs and 4x4 inputs: for each of the 16
 * positions (i, j) of a tile there is a matrix of tiles x channels, and a product of matrices
 * (gemm_f32) instead of 36 multiplications for 4 outputs. Channels come in whole panels. */

/* B' d B of one row of tiles. Tile t reads columns 2 t - px .. + 3 of four rows of iw pixels of c
 * floats; NULL is a row of zeros, as are columns outside.
 * Position (i, j) of tile t: out + (4 i + j) * ldm + t * c, c floats. */
typedef struct dv_wino_in_args {
    const float *rows[4];
    size_t c, iw, px, tiles;
    float *out;
    size_t ldm;
} dv_wino_in_args;
typedef void dv_winograd_in_fn(const dv_wino_in_args *a);

/* Row i of G g G': four products' weights. w: `panels` panels of 9 k rows each (packed [3, 3, k,
 * n]); out: for j = 0..3, `panels` panels of k rows. */
typedef void dv_winograd_w_fn(size_t k, size_t panels, const float *w, int i, float *out);

/* A' m A of one row of tiles, then the epilogue. m: position (i, j) of tile t at m + (4 i + j) *
 * ldm
 * + t * n, n floats. out: h (1 or 2) rows of w pixels, w = 2 tiles or one less, pixel p at out + p
 * * ldo; its residual at ep->add + p * ep->ldadd. */
typedef struct dv_wino_out_args {
    size_t n, tiles, h, w;
    const float *m;
    size_t ldm;
    float *out;
    size_t ldo;
    const dv_epilogue *ep;
} dv_wino_out_args;
typedef void dv_winograd_out_fn(const dv_wino_out_args *a);

/* One output row of a depthwise convolution.
 * rows[r], r < kh: the input rows that exist (the caller drops rows of padding and
 * moves w accordingly), each iw pixels of c floats. Taps left or right of a row count
 * as zero. Output pixel x reads columns x * sx - px + t * dx, t < kw.
 * w: tap (r, t) of channel ch at w[(r * kw + t) * ldw + ch], ldw a multiple of 16, padded.
 * out: ow pixels of c floats. ep->add, if any: one row of the same shape, ldadd = c. */
typedef struct dv_dw_args {
    const float *const *rows;
    size_t kh, kw, c, iw, ow;
    size_t sx, dx;
    size_t px;
    const float *w;
    size_t ldw;
    float *out;
    const dv_epilogue *ep;
} dv_dw_args;
typedef void dv_dw_f32_fn(const dv_dw_args *a);

/* One output row of pooling; rows as above, no weights. avg: divides by scale[x]
 * (number of taps counted, by the caller's rule). */
typedef struct dv_pool_args {
    const float *const *rows;
    size_t kh, kw, c, iw, ow;
    size_t sx, dx;
    size_t px;
    const float *scale; /* average only: out = sum * scale[x], ow floats */
    float *out;
} dv_pool_args;
typedef void dv_pool_f32_fn(const dv_pool_args *a);

/* Elementwise. out may be a or b. */
enum {
    DV_BIN_ADD,
    DV_BIN_SUB,
    DV_BIN_MUL,
    DV_BIN_DIV,
    DV_BIN_MAX,
    DV_BIN_MIN,
    DV_BIN_POW,
    DV_BIN_COUNT
};
/* mode 0: a[i] op b[i]; 1: a[i] op b[0]; 2: a[0] op b[i] */
typedef void dv_binary_f32_fn(int op, int mode, size_t n, const float *a, const float *b,
                              float *out);

/* Activations. out may be in. p, q: parameters.
 * Tolerance of every variant against libm in double: 4e-7 absolute + 4e-7 relative;
 * GELU 8e-7 absolute. */
enum {
    DV_ACT_NONE,
    DV_ACT_CLIP /* p, q = lo, hi */,
    DV_ACT_LEAKY /* p = slope */,
    DV_ACT_SIGMOID,
    DV_ACT_TANH,
    DV_ACT_SWISH /* x sigmoid(x) */,
    DV_ACT_HSIGMOID /* clip(p x + q, 0, 1) */,
    DV_ACT_HSWISH /* x clip(x/6 + 1/2, 0, 1) */,
    DV_ACT_GELU /* x/2 (1 + erf(x / sqrt 2)) */,
    DV_ACT_ERF,
    DV_ACT_EXP,
    DV_ACT_LOG,
    DV_ACT_SQRT,
    DV_ACT_ABS,
    DV_ACT_NEG,
    DV_ACT_FLOOR,
    DV_ACT_CEIL,
    DV_ACT_RECIP,
    DV_ACT_ELU /* p = alpha */,
    DV_ACT_SOFTPLUS,
    DV_ACT_COUNT
};
typedef void dv_act_f32_fn(int act, size_t n, const float *in, float *out, float p, float q);

/* rows x c: out = x < 0 ? x * slope[ch] : x. out may be in. slope: exactly c floats. */
typedef void dv_prelu_f32_fn(size_t rows, size_t c, const float *in, const float *slope,
                             float *out);

/* rows x n, each row by itself; out may be in. */
typedef void dv_softmax_f32_fn(size_t rows, size_t n, const float *in, float *out);
/* out = (x - mean) / sqrt(var + eps) * gamma + beta; gamma, beta: n floats or NULL.
 * The variance is computed from the centred values (two passes). out may be in. */
typedef void dv_layernorm_f32_fn(size_t rows, size_t n, const float *in, const float *gamma,
                                 const float *beta, float eps, float *out);

/* out (cols x rows) = transpose of in (rows x cols); row strides ldi, ldo >= cols, rows. */
typedef void dv_transpose_f32_fn(size_t rows, size_t cols, const float *in, size_t ldi, float *out,
                                 size_t ldo);

/* out[i] = in[2 i], i < n: every second channel. */
typedef void dv_evens_f32_fn(size_t n, const float *in, float *out);

/* out[i] = sum_j q[j] * base[i * ld + j], i < n, j < dim. */
typedef void dv_dots_f32_fn(size_t n, size_t dim, const float *q, const float *base, size_t ld,
                            float *out);

/* The same with compressed rows, which follow each other without gaps, for a few probes at once:
 *   out[p * ldo + i] = sum_j q[p * dim + j] * base[i * dim + j], p < probes, i < n, j < dim
 * dim is a multiple of DV_DOTS_STEP: short vectors are padded with zeros. A block of rows should
 * fit in the cache: it is read again for every few probes.
 * s8: all values -127..127. The sums are exact, then converted to float and multiplied by scale[i]:
 * two roundings, the same bits everywhere. */
#define DV_DOTS_STEP 64
typedef void dv_dots_s8_fn(size_t n, size_t dim, size_t probes, const int8_t *q, const int8_t *base,
                           const float *scale, float *out, size_t ldo);
/* f16: IEEE halves, summed in float in any order. */
typedef void dv_dots_f16_fn(size_t n, size_t dim, size_t probes, const float *q,
                            const uint16_t *base, float *out, size_t ldo);
/* A half as a float (exact), and the nearest half of a float, ties to even; infinity from 65520 on.
 */
float dv_half_to_float(uint16_t h);
uint16_t dv_half_from_float(float v);

/* out[x][ch] = pixels * scale[ch] + shift[ch] for w pixels of 3 bytes; swap = 1 exchanges
 * channels 0 and 2 on the way (BGR <-> RGB); scale/shift are indexed by output channel. */
typedef void dv_u8_to_f32_fn(size_t w, const uint8_t *rgb, int swap, const float scale[3],
                             const float shift[3], float *out);

/* ---- 8 bits ----
 *
 * Activations are u8 with one scale and zero point a tensor; weights are s8, symmetric, with one
 * scale an output channel, in -127..127. Products are summed in 32-bit integers, which wrap
 * and so do not depend on the order: every variant gives the same bits. Callers keep
 * k * 255 * 127 below 2^31.
 *
 * The one rule that turns a sum back into 8 bits, each step rounded to float by itself (never a
 * fused multiply-add), conversions to the nearest, ties to even:
 *   s = acc + bias[j]                         (int32, wraps)
 *   v = (float)s * (s < 0 ? neg[j] : mul[j])  (neg: mul times the slope of a PReLU)
 *   v = v + (float)(add - add_zero) * add_mul if there is a residual
 *   q = (int)rint(min(max(v, lo), hi)) + zero lo, hi: the clip, in 0 - zero .. 255 - zero
 * With c_f32 the third line's v is the result. */
typedef struct dv_requant {
    const int32_t *bias;    /* dv_round_up(n, DV_PANEL) readable elements, as mul and neg */
    const float *mul, *neg; /* neg NULL = mul */
    const uint8_t *add;     /* NULL, or the residual: row i at add + i * ldadd; may be c itself */
    size_t ldadd;
    int32_t add_zero;
    float add_mul;
    float lo, hi;
    int32_t zero;
} dv_requant;

/* conv_f32 in 8 bits: m pixels, row i of the left matrix in `segs` pieces of `seg` bytes. Each
 * piece counts as dv_round_up(seg, 4) bytes: up to 3 bytes behind it are read and must be readable;
 * the weights there are zero. c[i][j] = requant(sum_s sum_t a[i * lda + s * seg_stride + t] * w(s *
 * seg4 + t, j)), seg4 = dv_round_up(seg, 4) w: element (k, j) at w[(j / 16) * panel + (k / 4) * 64
 * + (j % 16) * 4 + k % 4], panel a multiple of
 * 64. c: row i at c + i * ldc, bytes, or floats (ldc floats) if c_f32. A product of matrices has
 * one segment; a convolution with rows outside the picture gets pointers to rows of zero points,
 * since every tap counts. */
typedef struct dv_qconv_args {
    size_t m, n;
    size_t segs, seg, seg_stride;
    const uint8_t *a;
    size_t lda;
    const int8_t *w;
    size_t panel; /* bytes */
    void *c;
    size_t ldc;
    int c_f32;
    const dv_requant *rq;
} dv_qconv_args;
typedef void dv_conv_u8_fn(const dv_qconv_args *a);

/* ro output rows of a depthwise convolution, as dw_f32, but all kh rows are given: tap row r of
 * output row o reads rows[o * kh + r] (a row outside the picture is a row of zero points), and taps
 * left or right of a row count as `pad`.
 * w: tap (r, t) of channel ch at
 *   w[((ch / 16 * groups + r / 4) * kw + t) * 64 + ch % 16 * 4 + r % 4], groups = (kh + 3) / 4,
 * zero for the rows and channels that do not exist. out, and rq->add if any: ro rows of ow * c,
 * one after the other. */
typedef struct dv_qdw_args {
    const uint8_t *const *rows;
    size_t ro, kh, kw, c, iw, ow;
    size_t sx, dx;
    size_t px;
    uint8_t pad;
    const int8_t *w;
    uint8_t *out;
    const dv_requant *rq;
} dv_qdw_args;
typedef void dv_dw_u8_fn(const dv_qdw_args *a);

/* out = clamp(rint(in / scale + zero), 0, 255); a NaN becomes 0. zero need not be whole (the net's
 * input). */
typedef void dv_quant_u8_fn(size_t n, const float *in, float scale, float zero, uint8_t *out);
/* out = ((float)in - zero) * scale */
typedef void dv_dequant_u8_fn(size_t n, const uint8_t *in, float scale, float zero, float *out);
/* v = (float)(a - a_zero) * a_mul op (float)(b - b_zero) * b_mul, op + or *;
 * out = (int)rint(min(max(v, lo), hi)) + zero. out may be a or b. */
typedef struct dv_qbin_args {
    size_t n;
    const uint8_t *a, *b;
    int32_t a_zero, b_zero, zero;
    float a_mul, b_mul, lo, hi;
    int times; /* 0 +, 1 * */
    uint8_t *out;
} dv_qbin_args;
typedef void dv_binary_u8_fn(const dv_qbin_args *a);
/* out[i] = table[in[i]]; out may be in. table: 256 bytes. */
typedef void dv_lut_u8_fn(size_t n, const uint8_t *in, const uint8_t *table, uint8_t *out);
/* rows x c: v = (float)(in - in_zero) * mul[ch] + shift[ch] (two roundings);
 * out = (int)rint(min(max(v, lo), hi)) + zero. mul, shift: exactly c floats, shift may be NULL.
 * Squeeze-excite, batch normalisation on its own. out may be in. */
typedef struct dv_qscale_args {
    size_t rows, c;
    const uint8_t *in;
    int32_t in_zero, zero;
    const float *mul, *shift;
    float lo, hi;
    uint8_t *out;
} dv_qscale_args;
typedef void dv_scale_u8_fn(const dv_qscale_args *a);
/* out[ch] = sum over the rows of in[row * c + ch]; rows * 255 < 2^31. */
typedef void dv_sum_u8_fn(size_t rows, size_t c, const uint8_t *in, int32_t *out);
/* maxpool_f32 on bytes: the rows that exist, taps outside a row are left out. */
typedef struct dv_qpool_args {
    const uint8_t *const *rows;
    size_t kh, kw, c, iw, ow;
    size_t sx, dx;
    size_t px;
    uint8_t *out;
} dv_qpool_args;
typedef void dv_maxpool_u8_fn(const dv_qpool_args *a);

/* ---- halves: arithmetic in IEEE half precision (fp16), each operation rounded by itself ----
 *
 * Halves are handed over as uint16_t. Every variant gives the same bits; what runs in them is
 * chosen by the model file, and only where the processor has such arithmetic (dv_kernels.half): the
 * C twin is its definition and far too slow for more than tests. */
#define DV_HPANEL 32 /* output channels of one panel of halves */
#define DV_HPIECE 512

/* v = sum + bias[n] (+ add), then the activation, all in halves. bias and slope have
 * dv_round_up(n, DV_HPANEL) readable elements. */
typedef struct dv_hepilogue {
    const uint16_t *bias, *slope; /* as in dv_epilogue */
    const uint16_t *add;          /* NULL, or the residual: row i at add + i * ldadd; may be c */
    size_t ldadd;
    uint16_t lo, hi;
    int act; /* DV_EP_* */
} dv_hepilogue;

/* conv_f32 in halves; seg is even. Of each piece of DV_HPIECE elements of a segment (the last may
 * be shorter) the even and the odd k are summed separately by fused multiply-adds, ascending, from
 * zero; both sums are added, and then to the total, which begins at zero. w: element (k, j) at w[(j
 * / 32) * panel + (k / 2) * 64 + j % 2 * 32 + j % 32 / 2 * 2 + k % 2]. c: row i at c + i * ldc,
 * halves, or floats if c_f32. */
typedef struct dv_hconv_args {
    size_t m, n;
    size_t segs, seg, seg_stride;
    const uint16_t *a;
    size_t lda;
    const uint16_t *w;
    size_t panel;
    void *c;
    size_t ldc;
    int c_f32;
    const dv_hepilogue *ep;
} dv_hconv_args;
typedef void dv_conv_f16_fn(const dv_hconv_args *a);

/* dw_f32 in halves: fused multiply-adds from the bias on, row by row, tap by tap; taps outside a
 * row are left out. ldw is a multiple of DV_HPANEL. */
typedef struct dv_hdw_args {
    const uint16_t *const *rows;
    size_t kh, kw, c, iw, ow;
    size_t sx, dx;
    size_t px;
    const uint16_t *w;
    size_t ldw;
    uint16_t *out;
    const dv_hepilogue *ep; /* add: one row of the same shape */
} dv_hdw_args;
typedef void dv_dw_f16_fn(const dv_hdw_args *a);

typedef void dv_to_f16_fn(size_t n, const float *in, uint16_t *out);
typedef void dv_from_f16_fn(size_t n, const uint16_t *in, float *out);

typedef struct dv_kernels {
#define DV_KERNEL(name, type) type *name;
#include "kernels/kernels.inc"
#undef DV_KERNEL
    unsigned cpu;   /* the mask that made this table */
    size_t gemm_mr; /* rows of one register tile of gemm_f32: blocks should be multiples */
    bool half;      /* the processor computes with halves */
} dv_kernels;

/* cpu is limited to dv_cpu_detect() by the callee. */
void dv_kernels_init(dv_kernels *k, unsigned cpu);

/* Filled in by the ISA files; each overwrites only what it has. */
void dv_kernels_c(dv_kernels *k);
#if defined(__x86_64__)
void dv_kernels_avx2(dv_kernels *k);
void dv_kernels_avxvnni(dv_kernels *k);
void dv_kernels_avx512(dv_kernels *k);
void dv_kernels_vnni(dv_kernels *k);
void dv_kernels_avx512fp16(dv_kernels *k);
#endif
#if defined(DV_HAVE_NEON)
void dv_kernels_neon(dv_kernels *k);
#if defined(__aarch64__)
void dv_kernels_dot(dv_kernels *k);
void dv_kernels_neonfp16(dv_kernels *k);
#endif
#endif

/* Packs row-major w[k][n] (element (i, j) at w[i * ldi + j * ldj]) into panels;
 * out holds dv_panel_size(k, n) floats; padding columns become 0. */
size_t dv_panel_size(size_t k, size_t n);
void dv_pack_panels(size_t k, size_t n, const float *w, size_t ldi, size_t ldj, float *out);
/* The same for conv_u8: w[segs][seg][n], row-major, to panels of dv_round_up(seg, 4) * segs rows.
 */
size_t dv_panel_size_s8(size_t segs, size_t seg, size_t n); /* bytes */
void dv_pack_panels_s8(size_t segs, size_t seg, size_t n, const int8_t *w, int8_t *out);
/* And for dw_u8: w[kh][kw][c]. */
size_t dv_dw_size_s8(size_t kh, size_t kw, size_t c);
void dv_pack_dw_s8(size_t kh, size_t kw, size_t c, const int8_t *w, int8_t *out);
/* Halves of row-major floats w[k][n] for conv_f16; k even. out holds k * dv_round_up(n, DV_HPANEL).
 * back: floats of such panels. */
void dv_pack_panels_f16(size_t k, size_t n, const float *w, uint16_t *out);
void dv_unpack_panels_f16(size_t k, size_t n, const uint16_t *w, float *out);

#endif
