/* SPDX-License-Identifier: Apache-2.0
 *
 * pool.c - the threads that share the rows and tiles of one layer.
 *
 * A run is a number of tasks, divided into as many shares as there are workers. Workers join an
 * open run, draw tasks from their own share, so that each finds in its cache what it wrote
 * in the run before, then from those of the others until none is left, and leave. The caller
 * draws too, then closes the run and
 * waits for those who joined only: a worker that has not woken up yet costs
 * nothing, which matters because most layers take less time than a wake-up.
 *
 * The state word: bits 0..7 workers inside, bit 8 open, the rest counts runs.
 * The job's fields change only while the run is closed and nobody is inside,
 * and are read only by those inside, so the state word orders them. A run
 * number that comes round again does no harm: whoever joins an open run
 * belongs to it.
 *
 * Both sides look at the state for some microseconds before they sleep. Sleep
 * is a flag and a look at the state under the mutex; whoever changes the state
 * looks at the flag afterwards (both in sequentially consistent order), so one
 * of the two always sees the other. The writes are exchanges, not stores: qemu 7.2
 * lets an ARM store-release and a following load-acquire change places, and then
 * an owner could sleep for ever.
 */
#include "base/base.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define MAX_WORKERS 64
#define STACK_SIZE ((size_t)1 << 20)
#define SPIN_NS 50000

#define INSIDE 0xFFu
#define OPEN 0x100u
#define RUN_STEP 0x200u
#define RUN_OF(state) ((state) & ~(OPEN | INSIDE))

typedef struct worker {
    struct dv_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct dv_pool {
    _Alignas(DV_ALIGN) atomic_uint state;
    struct {
        _Alignas(DV_ALIGN) atomic_size_t next; /* task to hand out of this worker's share */
    } share[MAX_WORKERS];
    _Alignas(DV_ALIGN) dv_task_fn fn;
    void *arg;
    size_t tasks;
    int size;    /* workers and the caller */
    int started; /* threads that exist */
    bool spin;   /* false with more workers than CPUs: spinning would hold up the work */
    atomic_bool stop;
    atomic_uint sleepers;
    atomic_bool owner_sleeps;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    worker workers[MAX_WORKERS]; /* 0 is the caller */
};

/* The pool and worker whose task this thread is inside; for nested runs. */
static _Thread_local const dv_pool *my_pool;
static _Thread_local int my_index;
static _Thread_local bool in_task;

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH >= 7)
    __asm__ volatile("yield");
#endif
}

/* True if a new run, or the end, has come for a worker that saw run `seen` last. */
static inline bool called(dv_pool *p, unsigned seen)
{
    unsigned s = atomic_load(&p->state);
    return ((s & OPEN) && RUN_OF(s) != seen) || atomic_load(&p->stop);
}

static inline bool drained(dv_pool *p)
{
    return (atomic_load(&p->state) & INSIDE) == 0;
}

/* The first task of a worker's share. */
static size_t share_begin(const dv_pool *p, int who)
{
    size_t each = p->tasks / (size_t)p->size, more = p->tasks % (size_t)p->size;
    return (size_t)who * each + DV_MIN((size_t)who, more);
}

static void draw(dv_pool *p, int index)
{
    for (int i = 0, own = index; i < p->size; i++, own = own + 1 < p->size ? own + 1 : 0) {
        size_t end = share_begin(p, own + 1);
        for (;;) {
            size_t t = atomic_fetch_add_explicit(&p->share[own].next, 1, memory_order_relaxed);
            if (t >= end)
                break;
            p->fn(p->arg, t, index);
        }
    }
}

static void wait_for_call(dv_pool *p, unsigned seen)
{
    if (p->spin) {
        uint64_t end = dv_now_ns() + SPIN_NS;
        do {
            for (int i = 0; i < 16; i++) {
                if (called(p, seen))
                    return;
                relax();
            }
        } while (dv_now_ns() < end);
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleepers, 1);
    while (!called(p, seen))
        pthread_cond_wait(&p->work, &p->mutex);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void *work(void *arg)
{
    worker *w = arg;
    dv_pool *p = w->pool;
    unsigned seen = 0;
    my_pool = p;
    my_index = w->index;
    in_task = true;
    dv_ftz_begin();
    for (;;) {
        wait_for_call(p, seen);
        if (atomic_load(&p->stop))
            return NULL;
        unsigned s = atomic_load(&p->state);
        while ((s & OPEN) && RUN_OF(s) != seen) {
            if (!atomic_compare_exchange_weak(&p->state, &s, s + 1))
                continue;
            seen = RUN_OF(s);
            draw(p, w->index);
            s = atomic_fetch_sub(&p->state, 1) - 1;
            if ((s & INSIDE) == 0 && atomic_load(&p->owner_sleeps)) {
                pthread_mutex_lock(&p->mutex);
                pthread_cond_signal(&p->done);
                pthread_mutex_unlock(&p->mutex);
            }
        }
    }
}

dmv_status dv_pool_open(int n, dv_pool **out, dv_err *e)
{
    *out = NULL;
    if (n < 1 || n > MAX_WORKERS)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%d threads asked for: give a number from 1 to %d", n,
                       MAX_WORKERS);
    dv_pool *p = dv_alloc_aligned(sizeof *p);
    if (!p)
        return dv_nomem(e);
    memset(p, 0, sizeof *p);
    p->size = n;
    p->spin = n <= dv_cpu_count();
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);

    /* Signals belong to the application's own threads; those that a faulty instruction
     * raises must stay deliverable. */
    sigset_t block, old;
    sigfillset(&block);
    sigdelset(&block, SIGSEGV);
    sigdelset(&block, SIGBUS);
    sigdelset(&block, SIGILL);
    sigdelset(&block, SIGFPE);
    pthread_attr_t attr;
    int err = pthread_attr_init(&attr);
    if (!err) {
        long least = PTHREAD_STACK_MIN;
        err = pthread_attr_setstacksize(&attr, DV_MAX(STACK_SIZE, (size_t)least));
        pthread_sigmask(SIG_SETMASK, &block, &old);
        for (int i = 1; i < n && !err; i++) {
            p->workers[i] = (worker){.pool = p, .index = i};
            err = pthread_create(&p->workers[i].thread, &attr, work, &p->workers[i]);
            p->started += !err;
        }
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
    }
    if (err) {
        int started = p->started;
        dv_pool_close(&p);
        return dv_fail(e, err == ENOMEM ? DMV_ERR_MEMORY : DMV_ERR_LIMIT,
                       "cannot start thread %d of %d: %s; ask for fewer threads or raise the "
                       "limit on processes (ulimit -u)",
                       started + 2, n, strerror(err));
    }
    *out = p;
    return DMV_OK;
}

void dv_pool_close(dv_pool **pool)
{
    dv_pool *p = pool ? *pool : NULL;
    if (!p)
        return;
    *pool = NULL;
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 1; i <= p->started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->mutex);
    dv_free(p);
}

int dv_pool_size(const dv_pool *p)
{
    return p ? p->size : 1;
}

/* Opens a run and calls as many sleepers as there are tasks beside the caller's own. */
static void open_run(dv_pool *p, size_t tasks, dv_task_fn fn, void *arg)
{
    p->fn = fn;
    p->arg = arg;
    p->tasks = tasks;
    for (int i = 0; i < p->size; i++)
        atomic_store_explicit(&p->share[i].next, share_begin(p, i), memory_order_relaxed);
    atomic_exchange(&p->state, (RUN_OF(atomic_load(&p->state)) + RUN_STEP) | OPEN);
    if (atomic_load(&p->sleepers) == 0)
        return;
    pthread_mutex_lock(&p->mutex);
    if (tasks >= (size_t)p->size)
        pthread_cond_broadcast(&p->work);
    else
        for (size_t i = 1; i < tasks; i++)
            pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->mutex);
}

static void close_run(dv_pool *p)
{
    atomic_fetch_and(&p->state, ~OPEN);
    if (drained(p))
        return;
    if (p->spin) {
        uint64_t end = dv_now_ns() + SPIN_NS;
        do {
            for (int i = 0; i < 16; i++) {
                if (drained(p))
                    return;
                relax();
            }
        } while (dv_now_ns() < end);
    }
    pthread_mutex_lock(&p->mutex);
    atomic_exchange(&p->owner_sleeps, true);
    while (!drained(p))
        pthread_cond_wait(&p->done, &p->mutex);
    atomic_store(&p->owner_sleeps, false);
    pthread_mutex_unlock(&p->mutex);
}

void dv_pool_run(dv_pool *p, size_t tasks, dv_task_fn fn, void *arg)
{
    if (tasks == 0)
        return;
    unsigned mode = dv_ftz_begin();
    if (in_task) {
        /* Scratch memory goes by worker, so a nested run keeps the number of its task. */
        int index = p && p == my_pool ? my_index : 0;
        for (size_t t = 0; t < tasks; t++)
            fn(arg, t, index);
    } else {
        my_pool = p;
        my_index = 0;
        in_task = true;
        if (!p || p->size == 1 || tasks == 1) {
            for (size_t t = 0; t < tasks; t++)
                fn(arg, t, 0);
        } else {
            open_run(p, tasks, fn, arg);
            draw(p, 0);
            close_run(p);
        }
        in_task = false;
        my_pool = NULL;
    }
    dv_ftz_end(mode);
}
