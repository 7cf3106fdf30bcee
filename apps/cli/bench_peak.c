/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_peak.c - how many multiply-adds a core can do at all: twelve independent chains in
 * registers, no memory. `bench` states a net's speed as a share of it. Twelve chains cover
 * the latency (4 cycles x 2 units at most) and fit 16 registers beside the two operands.
 * The instruction is written out, so that no compiler flag can make two of it or none.
 */
#include "cli.h"

#define CHAINS 12

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__))

/* FMA(acc): acc = acc * a + b on one vector register. a < 1, so values stay finite. */
#define STEP12(FMA) \
    FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7) FMA(8) FMA(9) FMA(10) FMA(11)

#define PEAK(name, attr, bytes, FMA)                                                          \
    typedef float name##_v __attribute__((vector_size(bytes)));                               \
    attr static float name(size_t rounds)                                                     \
    {                                                                                         \
        name##_v a, b, r[CHAINS];                                                             \
        for (unsigned i = 0; i < bytes / sizeof(float); i++) {                                \
            a[i] = 0.999f;                                                                    \
            b[i] = 0.001f;                                                                    \
        }                                                                                     \
        for (int i = 0; i < CHAINS; i++)                                                      \
            r[i] = b * (float)(i + 1);                                                        \
        name##_v r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3], r4 = r[4], r5 = r[5], r6 = r[6], \
                 r7 = r[7], r8 = r[8], r9 = r[9], r10 = r[10], r11 = r[11];                   \
        for (size_t n = 0; n < rounds; n++) {                                                 \
            STEP12(FMA)                                                                       \
        }                                                                                     \
        r0 += r1 + r2 + r3 + r4 + r5 + r6 + r7 + r8 + r9 + r10 + r11;                         \
        return r0[0];                                                                         \
    }

#if defined(__x86_64__)
#define FMA_X86(i) __asm__ volatile("vfmadd132ps %2, %1, %0" : "+v"(r##i) : "v"(b), "v"(a));
/* Without FMA a multiply and an add; SSE2 is what the C kernels are compiled for. */
#define MUL_ADD_SSE(i) \
    __asm__ volatile("mulps %2, %0\n\taddps %1, %0" : "+x"(r##i) : "x"(b), "x"(a));
PEAK(peak_c, , 16, MUL_ADD_SSE)
PEAK(peak_avx2, __attribute__((target("avx2,fma"))), 32, FMA_X86)
PEAK(peak_avx512, __attribute__((target("avx512f,avx512vl,avx2,fma"))), 64, FMA_X86)
#else
/* acc += a * b with a * b tiny: same cost, no growth that matters. */
#define FMA_ARM(i) __asm__ volatile("fmla %0.4s, %1.4s, %2.4s" : "+w"(r##i) : "w"(b), "w"(a));
PEAK(peak_neon, , 16, FMA_ARM)
#endif

#else

static float peak_plain(size_t rounds)
{
    float r[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        r[i] = 0.001f * (float)i;
    for (size_t n = 0; n < rounds; n++)
        for (int i = 0; i < CHAINS; i++)
            r[i] = r[i] * 0.999f + 0.001f;
    float sum = 0;
    for (int i = 0; i < CHAINS; i++)
        sum += r[i];
    return sum;
}

#endif

double cli_peak_run(unsigned cpu, size_t rounds)
{
    volatile float sink;
    double lanes;
#if defined(__GNUC__) && defined(__x86_64__)
    if (cpu & DV_CPU_AVX512) {
        sink = peak_avx512(rounds);
        lanes = 16;
    } else if (cpu & DV_CPU_AVX2) {
        sink = peak_avx2(rounds);
        lanes = 8;
    } else {
        sink = peak_c(rounds);
        lanes = 4;
    }
#elif defined(__GNUC__) && defined(__aarch64__)
    sink = peak_neon(rounds);
    lanes = 4;
#else
    sink = peak_plain(rounds);
    lanes = 1;
#endif
    (void)sink;
    (void)cpu;
    return (double)rounds * CHAINS * lanes;
}
