/* SPDX-License-Identifier: Apache-2.0
 *
 * Tools of the kernel test: memory between guard pages, random numbers, comparison.
 *
 * One check and one bench function per family of kernels.inc. A check calls the C twin
 * (s->ref) and the variant (s->cur) with the same data and compares; it never returns
 * early, so that one run reports everything.
 */
#ifndef DV_CHECKASM_H
#define DV_CHECKASM_H

#include "kernels/kernels.h"

/* NEON on 32-bit ARM knows no denormals, so there the whole test runs without them. */
#if defined(__arm__)
#define CK_FLUSH 1
#else
#define CK_FLUSH 0
#endif

#define CK_EPS 1.1920929e-7 /* one step of float at 1 */

typedef struct ck {
    const dv_kernels *ref, *cur;
    const char *family, *variant;
    unsigned cases, failed;
    char label[160]; /* the case, for messages */
    uint64_t random;
} ck;

#define DV_KERNEL(name, type) \
    void check_##name(ck *s); \
    void bench_##name(ck *s);
#include "kernels/kernels.inc"
#undef DV_KERNEL

/* Opens a case: frees the buffers of the last one and names this one for messages. */
void ck_case(ck *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* n floats (bytes) in memory of their own: the last one ends at a page that cannot be
 * touched, or, in every other case, the first one begins after such a page. The rest of
 * the pages is watched by ck_fences. Valid until the next case. */
float *ck_floats(ck *s, size_t n);
void *ck_bytes(ck *s, size_t n);
/* Reports writes beside any buffer of this case. */
void ck_fences(ck *s);

uint32_t ck_rand(ck *s);
size_t ck_below(ck *s, size_t n); /* 0 .. n - 1 */
float ck_uniform(ck *s, float lo, float hi);
#define ck_pick(s, array) ((array)[ck_below((s), DV_COUNT(array))])

enum { CK_PLAIN, CK_WIDE, CK_ODD };
/* PLAIN: -1 .. 1. WIDE: magnitudes 1e-38 .. 1e16, zeros, denormals. ODD: PLAIN with some
 * infinities and NaN. */
void ck_fill(ck *s, float *p, size_t n, int kind);
int ck_kind(ck *s); /* PLAIN mostly */

void ck_fail(ck *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Equal, both NaN, or at most tol apart. An infinity must be met exactly. */
bool ck_close(double want, double got, double tol);
/* rows x cols outputs with row stride ld, tolerances of the same shape (NULL: exact).
 * Elements between the rows must be equal bit by bit: nobody may write them. */
void ck_compare(ck *s, const float *want, const float *got, size_t rows, size_t cols, size_t ld,
                const double *tol);

/* The sums of absolute values behind each output decide what rounding may do to it. */
double *ck_doubles(ck *s, size_t n);

/* An epilogue over n channels and rows of ldadd floats; add: where the residual is read. */
typedef struct ck_ep {
    dv_epilogue ep;
    bool in_place; /* the residual is the output itself: the caller sets ep.add */
} ck_ep;
void ck_epilogue(ck *s, ck_ep *e, size_t n, size_t rows, size_t ldadd);
/* |bias| + |residual| for output (row, ch); what the slope may multiply an error by. */
double ck_ep_size(const dv_epilogue *ep, size_t row, size_t ch);

/* The epilogue in double, on the sum of products of output (row, ch). */
double ck_ep_exact(const dv_epilogue *ep, size_t row, size_t ch, double sum);
/* The C twin itself against values computed in double. */
void ck_compare_exact(ck *s, const double *exact, const float *twin, size_t rows, size_t cols,
                      size_t ld, const double *tol);

/* ---- benches ---- */

/* n random floats without guards, until the next ck_bench has run. */
float *ck_bench_floats(ck *s, size_t n);
/* Times fn(table, arg) for every variant; work: operations or bytes of one call. */
void ck_bench(ck *s, const char *label, double work, const char *unit,
              void (*fn)(const dv_kernels *k, void *arg), void *arg);

#endif
