/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu.c - what the machine can do: instruction sets, number of CPUs, denormal
 * mode, clock.
 *
 * An instruction set counts only if the operating system saves its registers
 * too (XCR0 on x86); a set whose kernels need several extensions counts only
 * if all of them are there.
 */
#include "base/base.h"

#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
#include <sys/auxv.h>
#endif

#if defined(__x86_64__)
unsigned dv_cpu_detect(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    const unsigned avx_fma_f16c = 1u << 28 | 1u << 12 | 1u << 29, osxsave = 1u << 27;
    if ((c & (avx_fma_f16c | osxsave)) != (avx_fma_f16c | osxsave))
        return 0;
    unsigned xcr0, high;
    __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    if ((xcr0 & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    if (!(b & 1u << 5))
        return 0;
    unsigned mask = DV_CPU_AVX2;
    unsigned a1, b1, c1, d1;
    if (a >= 1 && __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1) && (a1 & 1u << 4))
        mask |= DV_CPU_AVXVNNI;
    const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if ((b & f_dq_bw_vl) == f_dq_bw_vl && (xcr0 & 0xE6) == 0xE6) {
        mask |= DV_CPU_AVX512;
        if (c & 1u << 11) {
            mask |= DV_CPU_VNNI;
            if (d & 1u << 23)
                mask |= DV_CPU_AVX512FP16;
        }
    }
    return mask;
}
#elif defined(__linux__) && defined(__aarch64__)
unsigned dv_cpu_detect(void)
{
    unsigned long caps = getauxval(AT_HWCAP);
    unsigned mask = 0;
    if (caps & 1ul << 1) { /* HWCAP_ASIMD */
        mask |= DV_CPU_NEON;
        if (caps & 1ul << 20) /* HWCAP_ASIMDDP */
            mask |= DV_CPU_DOTPROD;
        if (caps & 1ul << 10) /* HWCAP_ASIMDHP */
            mask |= DV_CPU_NEONFP16;
    }
    return mask;
}
#elif defined(__linux__) && defined(__arm__)
unsigned dv_cpu_detect(void)
{
    const unsigned long both = 1ul << 12 | 1ul << 16; /* HWCAP_NEON, HWCAP_VFPv4 */
    return (getauxval(AT_HWCAP) & both) == both ? DV_CPU_NEON : 0;
}
#else
unsigned dv_cpu_detect(void)
{
    return 0;
}
#endif

/* `with` is the set and all that it builds on. */
static const struct {
    const char *name;
    unsigned bit, with;
} sets[] = {
    {"avx2", DV_CPU_AVX2, DV_CPU_AVX2},
    {"avxvnni", DV_CPU_AVXVNNI, DV_CPU_AVX2 | DV_CPU_AVXVNNI},
    {"avx512", DV_CPU_AVX512, DV_CPU_AVX2 | DV_CPU_AVX512},
    {"vnni", DV_CPU_VNNI, DV_CPU_AVX2 | DV_CPU_AVX512 | DV_CPU_VNNI},
    {"avx512fp16", DV_CPU_AVX512FP16,
     DV_CPU_AVX2 | DV_CPU_AVX512 | DV_CPU_VNNI | DV_CPU_AVX512FP16},
    {"neon", DV_CPU_NEON, DV_CPU_NEON},
    {"dotprod", DV_CPU_DOTPROD, DV_CPU_NEON | DV_CPU_DOTPROD},
    {"neonfp16", DV_CPU_NEONFP16, DV_CPU_NEON | DV_CPU_DOTPROD | DV_CPU_NEONFP16},
};

bool dv_cpu_parse(const char *name, unsigned *mask)
{
    unsigned all = 0;
    if (!name)
        return false;
    for (size_t i = 0; i < DV_COUNT(sets); i++) {
        all |= sets[i].bit;
        if (!strcmp(name, sets[i].name)) {
            *mask = sets[i].with;
            return true;
        }
    }
    if (!strcmp(name, "auto"))
        *mask = all;
    else if (!strcmp(name, "c"))
        *mask = 0;
    else
        return false;
    return true;
}

void dv_cpu_names(unsigned mask, char *out, size_t size)
{
    size_t used = 0;
    snprintf(out, size, "c");
    for (size_t i = 0; i < DV_COUNT(sets); i++) {
        if (!(mask & sets[i].bit) || used >= size)
            continue;
        int n = snprintf(out + used, size - used, used ? " %s" : "%s", sets[i].name);
        used += (size_t)n;
    }
}

/* CPUs this process may run on, which is fewer than online under taskset or in a cpuset. */
int dv_cpu_count(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (int)n;
}

/* The register that holds the mode, and the bits in it: flush results to zero, and on x86
 * also read denormal inputs as zero (ARM's bit does both). */
#if defined(__SSE__)
#define FTZ_BITS 0x8040u
static unsigned fp_mode(void)
{
    return __builtin_ia32_stmxcsr();
}
static void fp_set_mode(unsigned mode)
{
    __builtin_ia32_ldmxcsr(mode);
}
#elif defined(__aarch64__)
#define FTZ_BITS (1u << 24)
static unsigned fp_mode(void)
{
    uint64_t v;
    __asm__ volatile("mrs %0, fpcr" : "=r"(v));
    return (unsigned)v;
}
static void fp_set_mode(unsigned mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)mode) : "memory");
}
#elif defined(__arm__) && defined(__ARM_FP)
#define FTZ_BITS (1u << 24)
static unsigned fp_mode(void)
{
    unsigned v;
    __asm__ volatile("vmrs %0, fpscr" : "=r"(v));
    return v;
}
static void fp_set_mode(unsigned mode)
{
    __asm__ volatile("vmsr fpscr, %0" : : "r"(mode) : "memory");
}
#else
#define FTZ_BITS 0u
static unsigned fp_mode(void)
{
    return 0;
}
static void fp_set_mode(unsigned mode)
{
}
#endif

unsigned dv_ftz_begin(void)
{
    unsigned mode = fp_mode();
    if ((mode & FTZ_BITS) != FTZ_BITS)
        fp_set_mode(mode | FTZ_BITS);
    return mode;
}

/* Only the two bits go back: the sticky exception flags beside them stay as they are. */
void dv_ftz_end(unsigned saved)
{
    unsigned mode = fp_mode(), back = (mode & ~FTZ_BITS) | (saved & FTZ_BITS);
    if (back != mode)
        fp_set_mode(back);
}

uint64_t dv_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
