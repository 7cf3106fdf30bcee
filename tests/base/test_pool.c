/* SPDX-License-Identifier: Apache-2.0
 *
 * test_pool.c - the thread pool: each task exactly once, the stated number of
 * threads and no other, sleep and wake, nesting, modes and signals of workers,
 * and what happens when a thread cannot be started.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <float.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"

#define MAX_TASKS 1000
#define PATIENCE_NS 30000000000u /* only a hang takes that long */

static int create_fails_at; /* 0 = never, else counts down */

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    if (create_fails_at && --create_fails_at == 0)
        return EAGAIN;
    return __real_pthread_create(t, a, fn, arg);
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Threads of this process; those in a state other than S (sleeping) go to *awake. */
static int threads(int *awake)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    if (awake)
        *awake = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300], text[256];
        if (e->d_name[0] == '.')
            continue;
        n++;
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", e->d_name);
        FILE *f = fopen(path, "r");
        size_t got = f ? fread(text, 1, sizeof text - 1, f) : 0;
        if (f)
            fclose(f);
        text[got] = 0;
        char *paren = strrchr(text, ')');
        if (awake && paren && paren[1] && paren[2] != 'S')
            ++*awake;
    }
    if (d)
        closedir(d);
    return n;
}

/* A thread that has been joined may be listed for a moment more. */
static int threads_settle(int want)
{
    uint64_t end = dv_now_ns() + PATIENCE_NS;
    int n;
    while ((n = threads(NULL)) != want && dv_now_ns() < end)
        pause_ms(1);
    return n;
}

static dv_pool *open_pool(int n)
{
    dv_pool *p = NULL;
    dv_err e = {0};
    assert_int_equal(dv_pool_open(n, &p, &e), DMV_OK);
    assert_non_null(p);
    return p;
}

/* ---- each task once ---- */

typedef struct {
    atomic_int done[MAX_TASKS];
    atomic_int busy[64];
    atomic_int wrong;
    int size;
} tally;

static void mark(void *arg, size_t task, int w)
{
    tally *t = arg;
    if (task >= MAX_TASKS || w < 0 || w >= t->size) {
        atomic_fetch_add(&t->wrong, 1);
        return;
    }
    if (atomic_fetch_add(&t->busy[w], 1) != 0) /* two at once with one scratch */
        atomic_fetch_add(&t->wrong, 1);
    atomic_fetch_add(&t->done[task], 1);
    atomic_fetch_sub(&t->busy[w], 1);
}

static void check_run(dv_pool *p, size_t tasks)
{
    static tally t;
    memset(&t, 0, sizeof t);
    t.size = dv_pool_size(p);
    dv_pool_run(p, tasks, mark, &t);
    assert_int_equal(atomic_load(&t.wrong), 0);
    for (size_t i = 0; i < MAX_TASKS; i++)
        assert_int_equal(atomic_load(&t.done[i]), i < tasks);
}

static void test_each_task_once(void **state)
{
    static const size_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 64, 100, 999, 1000};
    for (int n = 1; n <= 8; n++) {
        dv_pool *p = open_pool(n);
        assert_int_equal(dv_pool_size(p), n);
        for (int round = 0; round < 20; round++)
            for (size_t i = 0; i < DV_COUNT(counts); i++)
                check_run(p, counts[i]);
        dv_pool_close(&p);
        assert_null(p);
    }
    assert_int_equal(dv_pool_size(NULL), 1);
    check_run(NULL, 100);
    check_run(NULL, 0);
}

static void add(void *arg, size_t task, int w)
{
    atomic_fetch_add_explicit((atomic_size_t *)arg, task + 1, memory_order_relaxed);
}

/* Runs so short that workers arrive late, in all stages of spinning and sleep. */
static void test_many_short_runs(void **state)
{
    for (int n = 2; n <= 4; n++) {
        dv_pool *p = open_pool(n);
        for (size_t run = 0; run < 8000; run++) {
            size_t tasks = 1 + run % 7;
            atomic_size_t sum = 0;
            dv_pool_run(p, tasks, add, &sum);
            assert_int_equal(atomic_load(&sum), tasks * (tasks + 1) / 2);
            if (run % 97 == 0)
                for (uint64_t end = dv_now_ns() + run % 20 * 1000; dv_now_ns() < end;)
                    ;
        }
        dv_pool_close(&p);
    }
}

/* Plain memory, no atomics: what tasks write, the caller sees; what the caller writes, the
 * next tasks see. */
static void twice(void *arg, size_t task, int w)
{
    ((int *)arg)[task] *= 2;
}

static void test_memory_order(void **state)
{
    dv_pool *p = open_pool(3);
    int v[40];
    for (int run = 0; run < 3000; run++) {
        for (int i = 0; i < 40; i++)
            v[i] = run + i;
        dv_pool_run(p, 40, twice, v);
        for (int i = 0; i < 40; i++)
            assert_int_equal(v[i], 2 * (run + i));
    }
    dv_pool_close(&p);
}

/* ---- number of threads ---- */

typedef struct {
    atomic_int arrived, gave_up;
    int want;
} meeting;

/* Ends only when `want` workers are inside their tasks at the same time. */
static void meet(void *arg, size_t task, int w)
{
    meeting *m = arg;
    uint64_t end = dv_now_ns() + PATIENCE_NS;
    atomic_fetch_add(&m->arrived, 1);
    while (atomic_load(&m->arrived) < m->want) {
        if (dv_now_ns() > end) {
            atomic_fetch_add(&m->gave_up, 1);
            return;
        }
        sched_yield();
    }
}

static void test_thread_count(void **state)
{
    int before = threads(NULL);
    if (before < 1) {
        print_message("/proc/self/task cannot be read\n");
        skip();
    }
    for (int n = 1; n <= 8; n++) {
        dv_pool *p = open_pool(n);
        assert_int_equal(threads_settle(before + n - 1), before + n - 1);
        check_run(p, 500);
        assert_int_equal(threads(NULL), before + n - 1);
        dv_pool_close(&p);
        assert_int_equal(threads_settle(before), before);
    }
}

static void test_all_work_at_once(void **state)
{
    for (int n = 2; n <= 8; n++) {
        dv_pool *p = open_pool(n);
        for (int want = 2; want <= n; want++) { /* fewer tasks than workers, too */
            if (want % 2)
                pause_ms(2); /* asleep or spinning */
            meeting m = {.want = want};
            dv_pool_run(p, (size_t)want, meet, &m);
            assert_int_equal(atomic_load(&m.gave_up), 0);
            assert_int_equal(atomic_load(&m.arrived), want);
        }
        dv_pool_close(&p);
    }
}

static void test_sleep_and_wake(void **state)
{
    int awake;
    dv_pool *p = open_pool(4);
    for (int round = 0; round < 5; round++) {
        check_run(p, 100);
        uint64_t end = dv_now_ns() + PATIENCE_NS;
        do {
            pause_ms(5);
            threads(&awake);
        } while (awake > 1 && dv_now_ns() < end);
        assert_true(awake <= 1); /* only this thread, which is looking */
        meeting m = {.want = 4};
        dv_pool_run(p, 4, meet, &m);
        assert_int_equal(atomic_load(&m.gave_up), 0);
    }
    dv_pool_close(&p);
}

/* The caller has no task left and must sleep until a slow worker is done. */
static void slow_worker(void *arg, size_t task, int w)
{
    meet(arg, task, w);
    if (w != 0)
        pause_ms(20);
    atomic_fetch_add(&((meeting *)arg)->arrived, 100);
}

static void test_waits_for_slow_worker(void **state)
{
    dv_pool *p = open_pool(2);
    for (int i = 0; i < 3; i++) {
        meeting m = {.want = 2};
        dv_pool_run(p, 2, slow_worker, &m);
        assert_int_equal(atomic_load(&m.gave_up), 0);
        assert_int_equal(atomic_load(&m.arrived), 202);
    }
    dv_pool_close(&p);
}

/* ---- nesting, two owners ---- */

typedef struct {
    dv_pool *pool;
    atomic_int inner, wrong;
} nest;

typedef struct {
    nest *n;
    int worker;
    pthread_t thread;
    size_t next;
} inner_arg;

static void inner(void *arg, size_t task, int w)
{
    inner_arg *a = arg;
    if (w != a->worker || !pthread_equal(pthread_self(), a->thread) || task != a->next++)
        atomic_fetch_add(&a->n->wrong, 1);
    atomic_fetch_add(&a->n->inner, 1);
}

static void outer(void *arg, size_t task, int w)
{
    nest *n = arg;
    inner_arg a = {.n = n, .worker = w, .thread = pthread_self()};
    dv_pool_run(n->pool, 10, inner, &a);
    a.worker = 0; /* another pool, or none: its first worker */
    a.next = 0;
    dv_pool_run(NULL, 5, inner, &a);
}

static void test_nested(void **state)
{
    for (int n = 1; n <= 4; n++) {
        nest t = {.pool = open_pool(n)};
        for (int round = 0; round < 50; round++)
            dv_pool_run(t.pool, 20, outer, &t);
        assert_int_equal(atomic_load(&t.wrong), 0);
        assert_int_equal(atomic_load(&t.inner), 50 * 20 * 15);
        check_run(t.pool, 100);
        if (n > 1) { /* parallel again afterwards */
            meeting m = {.want = n};
            dv_pool_run(t.pool, (size_t)n, meet, &m);
            assert_int_equal(atomic_load(&m.gave_up), 0);
        }
        dv_pool_close(&t.pool);
    }
}

static void *own_pool(void *arg)
{
    dv_pool *p;
    if (dv_pool_open(3, &p, NULL) != DMV_OK)
        return NULL;
    size_t total = 0;
    for (int run = 0; run < 500; run++) {
        atomic_size_t sum = 0;
        dv_pool_run(p, 20, add, &sum);
        total += atomic_load(&sum);
    }
    dv_pool_close(&p);
    *(size_t *)arg = total;
    return NULL;
}

static void test_two_owners(void **state)
{
    pthread_t t[2];
    size_t total[2] = {0, 0};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, own_pool, &total[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(total[0], 500 * 210);
    assert_int_equal(total[1], 500 * 210);
}

/* ---- what a worker runs with ---- */

static bool denormals_vanish(void)
{
    volatile float least = FLT_MIN, half = 0.5f;
    volatile float r = least * half;
    return r == 0;
}

typedef struct {
    meeting m;
    atomic_int ftz, signals, stack;
} manners;

static void look(void *arg, size_t task, int w)
{
    manners *k = arg;
    meet(&k->m, task, w);
    if (denormals_vanish())
        atomic_fetch_add(&k->ftz, 1);
    if (w == 0)
        return;
    sigset_t s;
    pthread_sigmask(SIG_SETMASK, NULL, &s);
    if (sigismember(&s, SIGINT) && sigismember(&s, SIGTERM) && sigismember(&s, SIGALRM) &&
        sigismember(&s, SIGUSR1) && !sigismember(&s, SIGSEGV) && !sigismember(&s, SIGBUS))
        atomic_fetch_add(&k->signals, 1);
    pthread_attr_t attr;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstacksize(&attr, &size);
        pthread_attr_destroy(&attr);
    }
    if (size >= (size_t)1 << 20 && size < (size_t)4 << 20)
        atomic_fetch_add(&k->stack, 1);
}

static void test_worker_manners(void **state)
{
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_false(denormals_vanish());
    unsigned mode = dv_ftz_begin();
    bool has_ftz = denormals_vanish();
    dv_ftz_end(mode);
    assert_false(denormals_vanish());

    dv_pool *p = open_pool(4);
    manners k = {.m.want = 4};
    dv_pool_run(p, 4, look, &k);
    assert_int_equal(atomic_load(&k.m.gave_up), 0);
    assert_int_equal(atomic_load(&k.ftz), has_ftz ? 4 : 0);
    assert_int_equal(atomic_load(&k.signals), 3);
    assert_int_equal(atomic_load(&k.stack), 3);
    assert_false(denormals_vanish()); /* the caller's mode is back */
    manners one = {.m.want = 1};
    dv_pool_run(NULL, 1, look, &one);
    assert_int_equal(atomic_load(&one.ftz), has_ftz);
    assert_false(denormals_vanish());
    dv_pool_close(&p);

    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int s = 1; s < 32; s++)
        assert_int_equal(sigismember(&before, s), sigismember(&after, s));
#if defined(__x86_64__) || defined(__aarch64__)
    assert_true(has_ftz);
#endif
}

static void test_ftz_nests(void **state)
{
    unsigned a = dv_ftz_begin(), b = dv_ftz_begin();
    bool inside = denormals_vanish();
    dv_ftz_end(b);
    assert_int_equal(denormals_vanish(), inside);
    dv_ftz_end(a);
    assert_false(denormals_vanish());
}

/* ---- failures ---- */

static void test_bad_counts(void **state)
{
    static const int bad[] = {0, -1, -1000000, 65, 1000000};
    for (size_t i = 0; i < DV_COUNT(bad); i++) {
        dv_pool *p = (dv_pool *)1;
        dv_err e = {0};
        assert_int_equal(dv_pool_open(bad[i], &p, &e), DMV_ERR_ARGUMENT);
        assert_null(p);
        assert_non_null(strstr(e.msg, "64"));
    }
    dv_pool *p = open_pool(64);
    check_run(p, 1000);
    dv_pool_close(&p);
}

static void test_create_fails(void **state)
{
    int before = threads(NULL);
    for (int at = 1; at <= 4; at++) {
        dv_pool *p = (dv_pool *)1;
        dv_err e = {0};
        create_fails_at = at;
        assert_int_equal(dv_pool_open(5, &p, &e), DMV_ERR_LIMIT);
        assert_int_equal(create_fails_at, 0);
        assert_null(p);
        char want[40];
        snprintf(want, sizeof want, "thread %d of 5", at + 1);
        assert_non_null(strstr(e.msg, want));
        assert_non_null(strstr(e.msg, "ulimit -u"));
        assert_int_equal(threads_settle(before), before);
    }
}

static void test_no_memory(void **state)
{
    dv_pool *p = (dv_pool *)1;
    dv_err e = {0};
    dv_alloc_fail_at(1, false);
    assert_int_equal(dv_pool_open(4, &p, &e), DMV_ERR_MEMORY);
    dv_alloc_fail_at(0, false);
    assert_null(p);
    /* Running takes none. */
    p = open_pool(3);
    uint64_t before = dv_alloc_count();
    check_run(p, 100);
    assert_int_equal(dv_alloc_count(), before);
    dv_pool_close(&p);
}

static void test_close(void **state)
{
    dv_pool *p = NULL;
    dv_pool_close(&p);
    dv_pool_close(NULL);
    for (int i = 0; i < 200; i++) { /* workers that start, spin or sleep */
        p = open_pool(3);
        if (i % 3 == 1)
            check_run(p, 3);
        if (i % 50 == 49)
            pause_ms(2);
        dv_pool_close(&p);
        dv_pool_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_task_once),
        cmocka_unit_test(test_many_short_runs),
        cmocka_unit_test(test_memory_order),
        cmocka_unit_test(test_thread_count),
        cmocka_unit_test(test_all_work_at_once),
        cmocka_unit_test(test_sleep_and_wake),
        cmocka_unit_test(test_waits_for_slow_worker),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_two_owners),
        cmocka_unit_test(test_worker_manners),
        cmocka_unit_test(test_ftz_nests),
        cmocka_unit_test(test_bad_counts),
        cmocka_unit_test(test_create_fails),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests_name("base-pool", tests, NULL, NULL);
}
