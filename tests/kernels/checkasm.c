/* SPDX-License-Identifier: Apache-2.0
 *
 * checkasm: every kernel of every instruction set against its C twin, and, with --bench,
 * its speed. The families come from kernels.inc, so a family without a check and a bench
 * does not link. Usage: checkasm [--bench] [--seed N] [FAMILY]
 *
 * Exit status: 0 all equal, 1 a difference or a bad access, 77 nothing to compare.
 */
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "checkasm.h"

/* ---- guarded memory ---- */

#define SLOTS 24
#define SLOT_BYTES ((size_t)4 << 20)
#define FENCE 256 /* watched bytes beside a buffer */
#define FENCE_BYTE 0xa5

typedef struct slot {
    uint8_t *base; /* SLOT_BYTES between two guard pages */
    uint8_t *data;
    size_t size;
} slot;
static slot slots[SLOTS];
static size_t slots_used;
static ck *running; /* for the signal handler */

static void open_slots(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), span = SLOT_BYTES + 2 * page;
    for (size_t i = 0; i < SLOTS; i++) {
        uint8_t *p = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p, page, PROT_NONE) ||
            mprotect(p + page + SLOT_BYTES, page, PROT_NONE)) {
            perror("checkasm: mmap");
            exit(1);
        }
        slots[i].base = p + page;
    }
}

void *ck_bytes(ck *s, size_t n)
{
    if (slots_used == SLOTS || n > SLOT_BYTES) {
        fprintf(stderr, "checkasm: %s: the case needs more memory than there is\n", s->label);
        exit(1);
    }
    slot *t = &slots[slots_used++];
    bool at_end = s->cases & 1;
    t->size = n;
    t->data = at_end ? t->base + SLOT_BYTES - n : t->base;
    size_t fence = DV_MIN((size_t)FENCE, SLOT_BYTES - n);
    memset(at_end ? t->data - fence : t->data + n, FENCE_BYTE, fence);
    return t->data;
}

float *ck_floats(ck *s, size_t n)
{
    return ck_bytes(s, n * sizeof(float));
}

double *ck_doubles(ck *s, size_t n)
{
    return ck_bytes(s, n * sizeof(double));
}

void ck_fences(ck *s)
{
    for (size_t i = 0; i < slots_used; i++) {
        const slot *t = &slots[i];
        size_t fence = DV_MIN((size_t)FENCE, SLOT_BYTES - t->size);
        const uint8_t *p = t->data == t->base ? t->data + t->size : t->data - fence;
        for (size_t j = 0; j < fence; j++)
            if (p[j] != FENCE_BYTE) {
                ck_fail(s, "writes beside buffer %zu", i);
                break;
            }
    }
}

static void on_fault(int sig)
{
    char text[400];
    int n = snprintf(text, sizeof(text), "%s %s: FAULT, signal %d: %s\n", running->family,
                     running->variant, sig, running->label);
    if (write(STDERR_FILENO, text, (size_t)n) < 0)
        _exit(2);
    _exit(1);
}

/* ---- cases ---- */

void ck_case(ck *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->label, sizeof(s->label), fmt, ap);
    va_end(ap);
    slots_used = 0;
    s->cases++;
}

void ck_fail(ck *s, const char *fmt, ...)
{
    if (s->failed++ >= 8)
        return;
    va_list ap;
    fprintf(stderr, "%s %s: %s: ", s->family, s->variant, s->label);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

uint32_t ck_rand(ck *s)
{
    uint64_t x = s->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(x >> 32);
}

size_t ck_below(ck *s, size_t n)
{
    return ck_rand(s) % n;
}

float ck_uniform(ck *s, float lo, float hi)
{
    return lo + (hi - lo) * ((float)(ck_rand(s) >> 8) * 0x1p-24f);
}

int ck_kind(ck *s)
{
    size_t r = ck_below(s, 8);
    return r == 0 ? CK_WIDE : r == 1 ? CK_ODD : CK_PLAIN;
}

void ck_fill(ck *s, float *p, size_t n, int kind)
{
    static const float odd[] = {INFINITY, -INFINITY, NAN};
    static const float rare[] = {0.0f, -0.0f, 1e-45f, -3e-39f, 1e16f, -1e16f};
    for (size_t i = 0; i < n; i++) {
        float v = ck_uniform(s, -1, 1);
        if (kind == CK_WIDE)
            v = ck_below(s, 4) ? ldexpf(v, (int)ck_below(s, 120) - 70) : ck_pick(s, rare);
        else if (kind == CK_ODD && ck_below(s, 40) == 0)
            v = ck_pick(s, odd);
        p[i] = v;
    }
}

bool ck_close(double want, double got, double tol)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got))
        return want == got;
    return fabs(want - got) <= tol + (CK_FLUSH ? (double)FLT_MIN : 0);
}

void ck_compare(ck *s, const float *want, const float *got, size_t rows, size_t cols, size_t ld,
                const double *tol)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            size_t at = i * ld + j;
            if (!ck_close(want[at], got[at], tol ? tol[i * cols + j] : 0)) {
                ck_fail(s, "output (%zu, %zu): %.9g, want %.9g within %.3g", i, j, got[at],
                        want[at], tol ? tol[i * cols + j] : 0);
                return;
            }
        }
        if (i + 1 < rows &&
            memcmp(want + i * ld + cols, got + i * ld + cols, (ld - cols) * sizeof(float))) {
            ck_fail(s, "writes between row %zu and the next", i);
            return;
        }
    }
    ck_fences(s);
}

void ck_epilogue(ck *s, ck_ep *e, size_t n, size_t rows, size_t ldadd)
{
    size_t padded = dv_round_up(n, DV_PANEL);
    float *bias = ck_floats(s, padded), *slope = ck_floats(s, padded);
    memset(bias, 0, padded * sizeof(float));
    memset(slope, 0, padded * sizeof(float));
    ck_fill(s, bias, n, CK_PLAIN);
    ck_fill(s, slope, n, CK_PLAIN);
    memset(e, 0, sizeof(*e));
    e->ep.act = (int)ck_below(s, 3);
    e->ep.bias = ck_below(s, 3) ? bias : NULL;
    e->ep.slope = e->ep.act == DV_EP_PRELU ? slope : NULL;
    e->ep.lo = ck_below(s, 2) ? 0 : -0.5f;
    e->ep.hi = ck_below(s, 2) ? INFINITY : 1.0f;
    switch (ck_below(s, 4)) {
    case 0: {
        size_t count = rows ? (rows - 1) * ldadd + n : 0;
        float *add = ck_floats(s, count);
        ck_fill(s, add, count, CK_PLAIN);
        e->ep.add = add;
        e->ep.ldadd = ldadd;
        break;
    }
    case 1:
        e->in_place = true;
        break;
    default:
        break;
    }
}

double ck_ep_size(const dv_epilogue *ep, size_t row, size_t ch)
{
    return (ep->bias ? fabs(ep->bias[ch]) : 0) +
           (ep->add ? fabs(ep->add[row * ep->ldadd + ch]) : 0);
}

double ck_ep_exact(const dv_epilogue *ep, size_t row, size_t ch, double sum)
{
    double v = sum + (ep->bias ? (double)ep->bias[ch] : 0) +
               (ep->add ? (double)ep->add[row * ep->ldadd + ch] : 0);
    if (ep->act == DV_EP_CLIP)
        return v < ep->lo ? (double)ep->lo : v > ep->hi ? (double)ep->hi : v;
    return ep->act == DV_EP_PRELU && v < 0 ? v * (double)ep->slope[ch] : v;
}

void ck_compare_exact(ck *s, const double *exact, const float *twin, size_t rows, size_t cols,
                      size_t ld, const double *tol)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            if (!ck_close(exact[i * cols + j], twin[i * ld + j], tol[i * cols + j])) {
                ck_fail(s, "C twin (%zu, %zu): %.9g, want %.9g within %.3g", i, j, twin[i * ld + j],
                        exact[i * cols + j], tol[i * cols + j]);
                return;
            }
}

/* ---- variants ---- */

#define TABLES 8
static dv_kernels tables[TABLES]; /* C first */
static char names[TABLES][16];
static size_t table_count;

static void add_table(unsigned mask, const char *name)
{
    if ((mask & dv_cpu_detect()) != mask)
        return;
    if (table_count == TABLES) {
        fprintf(stderr, "checkasm: more variants than TABLES\n");
        exit(1);
    }
    dv_kernels_init(&tables[table_count], mask);
    snprintf(names[table_count++], sizeof(names[0]), "%s", name);
}

typedef void (*any_fn)(void);
typedef struct family {
    const char *name;
    void (*check)(ck *s);
    void (*bench)(ck *s);
    any_fn (*get)(const dv_kernels *k);
} family;

#define DV_KERNEL(name, type)                     \
    static any_fn get_##name(const dv_kernels *k) \
    {                                             \
        return (any_fn)k->name;                   \
    }
#include "kernels/kernels.inc"
#undef DV_KERNEL
static const family families[] = {
#define DV_KERNEL(name, type) {#name, check_##name, bench_##name, get_##name},
#include "kernels/kernels.inc"
#undef DV_KERNEL
};

/* A table that has no version of its own inherits an earlier one's. */
static bool is_new(const family *f, size_t table)
{
    for (size_t i = 0; i < table; i++)
        if (f->get(&tables[i]) == f->get(&tables[table]))
            return false;
    return true;
}

static const family *bench_family;
static float *bench_memory[16];
static size_t bench_used;

float *ck_bench_floats(ck *s, size_t n)
{
    float *p = bench_used < DV_COUNT(bench_memory) ? dv_alloc_aligned(n * sizeof(float)) : NULL;
    if (!p) {
        fprintf(stderr, "checkasm: out of memory\n");
        exit(1);
    }
    ck_fill(s, p, n, CK_PLAIN);
    return bench_memory[bench_used++] = p;
}

void ck_bench(ck *s, const char *label, double work, const char *unit,
              void (*fn)(const dv_kernels *k, void *arg), void *arg)
{
    double first = 0;
    for (size_t i = 0; i < table_count; i++) {
        if (!is_new(bench_family, i))
            continue;
        double best = DBL_MAX;
        size_t loops = 1;
        for (int round = 0; round < 30; round++) {
            uint64_t t0 = dv_now_ns();
            for (size_t l = 0; l < loops; l++)
                fn(&tables[i], arg);
            double ns = (double)(dv_now_ns() - t0);
            if (ns < 5e5 && loops < (1u << 24)) { /* warm up, find the count */
                loops *= 2;
                round = -1;
                continue;
            }
            best = DV_MIN(best, ns / (double)loops);
        }
        if (i == 0)
            first = best;
        printf("%-14s %-8s %-30s %10.2f us %8.2f %-7s %6.2f x C\n", s->family, names[i], label,
               best * 1e-3, work / best, unit, first / best);
        fflush(stdout);
    }
    while (bench_used)
        dv_free(bench_memory[--bench_used]);
}

int main(int argc, char **argv)
{
    const char *only = NULL;
    bool bench = false;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench")) {
            bench = true;
        } else if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 0);
        } else if (argv[i][0] != '-') {
            only = argv[i];
        } else {
            fprintf(stderr, "usage: checkasm [--bench] [--seed N] [FAMILY]\n");
            return 2;
        }
    }
    add_table(0, "c");
    add_table(DV_CPU_NEON, "neon");
    add_table(DV_CPU_NEON | DV_CPU_DOTPROD, "dotprod");
    add_table(DV_CPU_AVX2, "avx2");
    add_table(DV_CPU_AVX2 | DV_CPU_AVXVNNI, "avxvnni");
    add_table(DV_CPU_AVX2 | DV_CPU_AVX512, "avx512");
    add_table(DV_CPU_AVX2 | DV_CPU_AVX512 | DV_CPU_VNNI, "vnni");
    add_table(DV_CPU_AVX2 | DV_CPU_AVX512 | DV_CPU_VNNI | DV_CPU_AVX512FP16, "avx512fp16");
    add_table(DV_CPU_NEON | DV_CPU_DOTPROD | DV_CPU_NEONFP16, "neonfp16");

    static ck s; /* the signal handler looks at it */
    s.random = seed;
    running = &s;
    if (!bench) {
        open_slots();
        signal(SIGSEGV, on_fault);
        signal(SIGBUS, on_fault);
        signal(SIGILL, on_fault);
    }
    if (CK_FLUSH)
        dv_ftz_begin();
    unsigned failed = 0, checked = 0;
    bool known = false;
    for (size_t f = 0; f < DV_COUNT(families); f++) {
        if (only && strcmp(only, families[f].name))
            continue;
        known = true;
        s.family = families[f].name;
        s.ref = &tables[0];
        if (bench) {
            bench_family = &families[f];
            families[f].bench(&s);
            checked++;
            continue;
        }
        for (size_t i = 1; i < table_count; i++) {
            if (!is_new(&families[f], i))
                continue;
            s.variant = names[i];
            s.cur = &tables[i];
            s.cases = s.failed = 0;
            families[f].check(&s);
            printf("%-14s %-8s %6u cases %s\n", s.family, s.variant, s.cases,
                   s.failed ? "FAILED" : "ok");
            failed += s.failed;
            checked++;
        }
    }
    if (!known) {
        fprintf(stderr, "checkasm: no family is called %s\n", only);
        return 2;
    }
    if (!checked) {
        printf("no instruction set of this machine has kernels: nothing to compare\n");
        return 77;
    }
    return failed ? 1 : 0;
}
