/* SPDX-License-Identifier: Apache-2.0
 *
 * base.h - what every layer may use: errors, memory, checked sizes, bounded
 * reading, files, SHA-256, CPU flags, threads. libc only.
 *
 * Internal names start with dv_, public ones with dmv_.
 */
#ifndef DV_BASE_H
#define DV_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "domovoi.h"

#define DV_ALIGN 64 /* bytes; arenas, packed weights and file sections */
#define DV_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DV_MIN(a, b) ((a) < (b) ? (a) : (b))
#define DV_MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- errors ---- */

/* Filled by the failing call; passed down by pointer, may be NULL. */
typedef struct dv_err {
    dmv_status code;
    char msg[1024];
} dv_err;

/* Sets *e and returns code, so that callers write `return dv_fail(e, ...)`. */
dmv_status dv_fail(dv_err *e, dmv_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "prefix: " before the message already in *e; returns e->code (DMV_ERR_FORMAT if e is
 * NULL, since the code is lost then). */
dmv_status dv_fail_in(dv_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define dv_nomem(e) dv_fail((e), DMV_ERR_MEMORY, "out of memory")

/* ---- memory ----
 * Every allocation of the project goes through these, so that tests can count
 * them and fail the Nth. Sizes are checked by the callers (dv_mul, dv_add). */
void *dv_malloc(size_t n);              /* n = 0 gives a valid pointer */
void *dv_calloc(size_t n, size_t size); /* NULL on overflow too */
void *dv_realloc(void *p, size_t n);    /* alignment of dv_alloc_aligned is lost */
/* DV_ALIGN-aligned; freed by dv_free as well. Not zeroed. */
void *dv_alloc_aligned(size_t n);
void dv_free(void *p);
char *dv_strdup(const char *s);
/* A grown array: makes room for one more item of `size` bytes; false = no memory. */
bool dv_grow(void *array_ptr, size_t *cap, size_t count, size_t size);
/* Overwrites secrets or templates; never optimised away. */
void dv_wipe(void *p, size_t n);

/* Test hooks: fail the nth allocation from now (1 = the next), 0 = never;
 * with sticky, all later ones fail too. */
void dv_alloc_fail_at(uint64_t nth, bool sticky);
uint64_t dv_alloc_count(void); /* successful and failed allocations so far */

static inline bool dv_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool dv_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline size_t dv_round_up(size_t n, size_t to) /* to: power of two */
{
    return (n + to - 1) & ~(to - 1);
}

/* ---- bounded little-endian reader: never reads past end; `bad` is sticky ---- */
typedef struct dv_reader {
    const uint8_t *p, *end;
    bool bad;
} dv_reader;
uint8_t dv_rd_u8(dv_reader *r);
uint16_t dv_rd_u16(dv_reader *r);
uint32_t dv_rd_u32(dv_reader *r);
uint64_t dv_rd_u64(dv_reader *r);
float dv_rd_f32(dv_reader *r);
/* A pointer to n bytes inside the buffer, or NULL (and bad). */
const void *dv_rd_bytes(dv_reader *r, size_t n);

/* A growing byte buffer; `bad` is sticky after a failed allocation. */
typedef struct dv_buf {
    uint8_t *data;
    size_t size, cap;
    bool bad;
} dv_buf;
void dv_buf_put(dv_buf *b, const void *p, size_t n);
void dv_buf_u8(dv_buf *b, uint8_t v);
void dv_buf_u16(dv_buf *b, uint16_t v);
void dv_buf_u32(dv_buf *b, uint32_t v);
void dv_buf_u64(dv_buf *b, uint64_t v);
void dv_buf_f32(dv_buf *b, float v);
void dv_buf_align(dv_buf *b, size_t to); /* zero padding; to: power of two */
/* The terminating zero stands behind the data and is not counted in size. */
void dv_buf_printf(dv_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dv_buf_free(dv_buf *b);

/* ---- text ---- */
/* Bytes of the UTF-8 character at s, 0 if there is none (overlong, surrogate, cut short); reads
 * no farther than a zero. */
size_t dv_utf8_length(const char *s);

/* ---- files ---- */
typedef struct dv_map {
    const uint8_t *data;
    size_t size;
    void *base; /* the mapping or, with heap, the block; NULL = somebody else's memory */
    bool heap;
} dv_map;
/* A regular file, read-only, at an address aligned to DV_ALIGN; where mapping fails the file is
 * read instead. An empty file is DMV_ERR_FORMAT. On failure *m is all zero. */
dmv_status dv_map_open(const char *path, dv_map *m, dv_err *e);
void dv_map_close(dv_map *m);
/* Reads a whole file or pipe; refuses more than limit bytes. Free *data with dv_free. A zero
 * byte that is not counted in *size follows the data. On failure *data is NULL. */
dmv_status dv_read_file(const char *path, size_t limit, uint8_t **data, size_t *size, dv_err *e);
/* Writes PATH.tmp.PID.N beside path, syncs and renames: all or nothing. Follows links and keeps
 * the mode of an existing file. Pipes and devices (/dev/stdout, /dev/null) are written to. */
dmv_status dv_write_file(const char *path, const void *data, size_t size, dv_err *e);
/* The same in pieces, for what does not fit into memory. fd may be sought in if name is set. */
typedef struct dv_new_file {
    int fd;       /* -1 = none */
    char *name;   /* of the file beside; NULL: a pipe or device, written to as it is */
    char *target; /* links followed */
} dv_new_file;
dmv_status dv_new_file_open(const char *path, dv_new_file *f, dv_err *e);
dmv_status dv_new_file_write(dv_new_file *f, const void *data, size_t size, dv_err *e);
/* Both end f. Dropped: as if it had never been opened, except for what went into a pipe. */
dmv_status dv_new_file_commit(dv_new_file *f, dv_err *e);
void dv_new_file_drop(dv_new_file *f);

/* ---- SHA-256 (FIPS 180-4) ---- */
typedef struct dv_sha256 {
    uint32_t h[8];
    uint64_t bytes;
    uint8_t block[64];
} dv_sha256;
void dv_sha256_init(dv_sha256 *s);
void dv_sha256_update(dv_sha256 *s, const void *p, size_t n);
void dv_sha256_final(dv_sha256 *s, uint8_t out[32]);
void dv_hex(const uint8_t *p, size_t n, char *out /* 2n + 1 */);

/* ---- CPU ---- */
enum {
    DV_CPU_AVX2 = 1 << 0,   /* with FMA and F16C */
    DV_CPU_AVX512 = 1 << 1, /* F, BW, VL, DQ; implies AVX2 */
    DV_CPU_VNNI = 1 << 2,   /* AVX512_VNNI */
    DV_CPU_NEON = 1 << 3,
    DV_CPU_DOTPROD = 1 << 4,
    DV_CPU_AVXVNNI = 1 << 5,    /* VNNI with 256-bit vectors; implies AVX2 */
    DV_CPU_AVX512FP16 = 1 << 6, /* implies VNNI */
    DV_CPU_NEONFP16 = 1 << 7    /* arithmetic in halves, ARMv8.2 */
};
unsigned dv_cpu_detect(void);
/* "c", "avx2", "avxvnni", "avx512", "vnni", "neon", "dotprod", "auto" to a mask of all sets up to
 * that one; false if the word is unknown. The mask is not yet limited to the machine. */
bool dv_cpu_parse(const char *name, unsigned *mask);
/* "avx2 avx512 vnni"; "c" for 0. out holds at least 64 bytes. */
void dv_cpu_names(unsigned mask, char *out, size_t size);
int dv_cpu_count(void);
/* Denormal numbers to zero while a net runs (they cost 100 cycles each on x86):
 * begin returns the old mode for end. */
unsigned dv_ftz_begin(void);
void dv_ftz_end(unsigned saved);

uint64_t dv_now_ns(void); /* monotonic */

/* ---- threads ----
 * n workers including the caller: n = 1 starts no thread. Workers sleep between
 * runs. One owner at a time. */
typedef struct dv_pool dv_pool;
typedef void (*dv_task_fn)(void *arg, size_t task, int worker);
dmv_status dv_pool_open(int n, dv_pool **out, dv_err *e);
void dv_pool_close(dv_pool **p);
int dv_pool_size(const dv_pool *p);
/* Calls fn(arg, t, worker) for every t < tasks, in any order, and waits.
 * Workers run with denormals flushed to zero. pool NULL = one worker. */
void dv_pool_run(dv_pool *p, size_t tasks, dv_task_fn fn, void *arg);

/* ---- context: the shared part of dmv_context that upper layers need ---- */
struct dmv_context {
    dv_err err;
    unsigned cpu; /* mask in use */
    dv_pool *pool;
    int threads;
    dmv_log_fn log;
    void *log_user;
    char cpu_names[80];
    struct dv_kernels *kernels; /* owned; set by the kernels layer (dmv_context_open in nn) */
};
void dv_log(const dmv_context *c, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
