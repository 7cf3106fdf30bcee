/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.c - every allocation of the project, so that tests can count them and
 * let any one of them fail.
 *
 * The counter is as wide as size_t, since wider atomics would need a helper
 * library on some 32-bit machines; there it wraps after four billion calls.
 */
#include "base/base.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_size_t n_allocs;  /* calls so far */
static atomic_size_t fail_from; /* number of the call that fails, 0 = none */
static atomic_bool fail_sticky;

void dv_alloc_fail_at(uint64_t nth, bool sticky)
{
    atomic_store(&fail_from, 0);
    atomic_store(&fail_sticky, sticky);
    if (nth)
        atomic_store(&fail_from, atomic_load(&n_allocs) + (size_t)nth);
}

uint64_t dv_alloc_count(void)
{
    return atomic_load(&n_allocs);
}

/* Counts one allocation; true = it may go ahead. */
static bool admit(size_t n)
{
    size_t number = atomic_fetch_add_explicit(&n_allocs, 1, memory_order_relaxed) + 1;
    size_t from = atomic_load_explicit(&fail_from, memory_order_relaxed);
    if (from && (number == from || (number > from && atomic_load(&fail_sticky))))
        return false;
    return n <= PTRDIFF_MAX;
}

void *dv_malloc(size_t n)
{
    return admit(n) ? malloc(n ? n : 1) : NULL;
}

void *dv_calloc(size_t n, size_t size)
{
    size_t total;
    if (!dv_mul(n, size, &total))
        total = SIZE_MAX; /* counted, then refused */
    return admit(total) ? calloc(total ? total : 1, 1) : NULL;
}

void *dv_realloc(void *p, size_t n)
{
    return admit(n) ? realloc(p, n ? n : 1) : NULL;
}

void *dv_alloc_aligned(size_t n)
{
    void *p = NULL;
    if (!admit(n) || posix_memalign(&p, DV_ALIGN, n ? n : 1) != 0)
        return NULL;
    return p;
}

void dv_free(void *p)
{
    free(p);
}

char *dv_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = dv_malloc(n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

bool dv_grow(void *array_ptr, size_t *cap, size_t count, size_t size)
{
    if (count < *cap)
        return true;
    size_t want, bytes;
    if (!dv_add(count, count / 2 + 8, &want) || !dv_mul(want, size, &bytes))
        return false;
    void *p; /* array_ptr is the address of a T *, for any T */
    memcpy(&p, array_ptr, sizeof p);
    p = dv_realloc(p, bytes);
    if (!p)
        return false;
    memcpy(array_ptr, &p, sizeof p);
    *cap = want;
    return true;
}

void dv_wipe(void *p, size_t n)
{
    if (!n)
        return;
    memset(p, 0, n);
    /* The compiler has to assume that somebody reads the zeros. */
    __asm__ volatile("" : : "r"(p) : "memory");
}
