/* SPDX-License-Identifier: Apache-2.0
 *
 * test_search.c - what the options of a search promise: with a compressed copy the answers are
 * those without, bit by bit, on vectors made to trip the copy; filters leave out what they should
 * and nothing else; a batch of probes gives what single searches give.
 */
#include "face_test.h"

enum { PLAIN, INT8, F16, COPIES };
static const char *const cpus[] = {"c", "avx2", "avx512", "auto"};

static dmv_context *context(int threads, const char *cpu)
{
    dmv_options o;
    dmv_context *ctx = NULL;
    dmv_options_init(&o);
    o.threads = threads;
    o.cpu = cpu;
    assert_int_equal(dmv_context_open(&o, &ctx), DMV_OK);
    return ctx;
}

static void open_all(dmv_context *ctx, size_t dim, dmv_index *x[COPIES])
{
    for (int c = 0; c < COPIES; c++) {
        dmv_index_options o;
        dmv_index_options_init(&o);
        assert_int_equal(o.copy, DMV_INDEX_PLAIN);
        o.copy = c;
        assert_int_equal(dmv_index_open_options(ctx, dim, &o, &x[c]), DMV_OK);
    }
}

static void close_all(dmv_index *x[COPIES])
{
    for (int c = 0; c < COPIES; c++) {
        dmv_index_close(&x[c]);
    }
}

static void add_all(dmv_index *x[COPIES], uint64_t id, const float *v)
{
    for (int c = 0; c < COPIES; c++) {
        assert_int_equal(dmv_index_add(x[c], id, v), DMV_OK);
    }
}

static void same(const dmv_match *a, size_t na, const dmv_match *b, size_t nb)
{
    assert_int_equal(na, nb);
    for (size_t i = 0; i < na; i++) {
        assert_int_equal(a[i].id, b[i].id);
        assert_memory_equal(&a[i].score, &b[i].score, sizeof(float));
    }
}

/* Every copy, every number of results, against the plain index. */
static void compare(dmv_index *x[COPIES], const float *probe)
{
    static const size_t ks[] = {1, 2, 10, 100, 700, 1024, 1025, 5000};
    dmv_match *want = calloc(5000, sizeof(*want)), *got = calloc(5000, sizeof(*got));
    for (size_t k = 0; k < DV_COUNT(ks); k++) {
        size_t nw, ng;
        assert_int_equal(dmv_index_search(x[PLAIN], probe, ks[k], want, &nw), DMV_OK);
        for (int c = INT8; c < COPIES; c++) {
            assert_int_equal(dmv_index_search(x[c], probe, ks[k], got, &ng), DMV_OK);
            same(want, nw, got, ng);
        }
    }
    free(want);
    free(got);
}

static void random_vector(uint32_t *seed, float *v, size_t dim)
{
    for (size_t j = 0; j < dim; j++) {
        v[j] = test_uniform(seed, -1, 1) + test_uniform(seed, -1, 1) + 1e-4f;
    }
}

enum { RANDOM, CLUSTERS, NEAR_TIES, COPIES_OF_ONE, ROUNDED_AWAY, SPIKES, KINDS };

/* Vector i of a kind, for a search with `probe`. */
static void make_vector(int kind, uint32_t *seed, size_t i, size_t dim, const float *probe,
                        float *v)
{
    random_vector(seed, v, dim);
    switch (kind) {
    case CLUSTERS: /* 7 tight ones, the probe in the middle of one of them */
        for (size_t j = 0; j < dim; j++) {
            const float centre = (float)((i % 7 * 31 + j * 17) % 101) - 50;
            v[j] = (i % 7 ? centre : 50 * probe[j]) + v[j] * (i % 2 ? 1 : 0.01f);
        }
        break;
    case NEAR_TIES: /* the probe, a few last bits changed */
        for (size_t j = 0; j < dim; j++) {
            v[j] = probe[j] * (1 + (float)(int)(test_random(seed) % 5) * 6e-8f);
        }
        break;
    case COPIES_OF_ONE: /* under many ids */
        for (size_t j = 0; j < dim; j++) {
            v[j] = (float)(j % 5) - 2.5f + (i % 3 == 0 && j == 0 ? 1e-3f : 0);
        }
        break;
    case ROUNDED_AWAY: /* all that distinguishes them is what bytes lose, all of it one way */
        for (size_t j = 0; j < dim; j++) {
            const float part = i % 2 ? 0.49f : 0.51f + (float)(i % 100) * 1e-4f;
            v[j] = j == 0 ? 127 : (float)((j * 7 + i % 4) % 20) + part - (float)(i % 2 == 0);
        }
        break;
    case SPIKES: /* one large number, so that the others lose most */
        v[i % dim] += i % 3 ? 60.0f : -60.0f;
        break;
    default:
        break;
    }
}

static void make_probe(int kind, uint32_t *seed, size_t dim, float *probe)
{
    random_vector(seed, probe, dim);
    for (size_t j = 0; j < dim && kind == ROUNDED_AWAY; j++) {
        probe[j] = 1; /* the copy of this one is exact */
    }
}

static void equal_to_plain(void **state)
{
    static const size_t dims[] = {1, 2, 17, 64, 128, 200, 512};
    uint32_t seed = 99;
    (void)state;
    for (size_t u = 0; u < DV_COUNT(cpus); u++) {
        dmv_options o;
        dmv_context *ctx = NULL;
        dmv_options_init(&o);
        o.cpu = cpus[u];
        if (dmv_context_open(&o, &ctx) != DMV_OK) {
            continue; /* another processor's set; "c" and "auto" always open */
        }
        dmv_context_close(&ctx);
        ctx = context(u % 2 ? 3 : 1, cpus[u]);
        for (size_t d = 0; d < DV_COUNT(dims); d++) {
            for (int kind = 0; kind < KINDS; kind++) {
                const size_t dim = dims[d], n = dim > 128 || u == 0 ? 1300 : 2500;
                dmv_index *x[COPIES];
                float v[512], probe[512];
                open_all(ctx, dim, x);
                make_probe(kind, &seed, dim, probe);
                for (size_t i = 0; i < n; i++) {
                    make_vector(kind, &seed, i, dim, probe, v);
                    const uint64_t id = kind % 2 ? n - i : test_random(&seed) % (n / 2);
                    add_all(x, id, v);
                }
                compare(x, probe);
                for (size_t j = 0; j < dim; j++) {
                    v[j] = -probe[j];
                }
                compare(x, v);
                random_vector(&seed, v, dim);
                compare(x, v);
                close_all(x);
            }
        }
        dmv_context_close(&ctx);
    }
}

static void after_removals(void **state)
{
    enum { DIM = 40, IDS = 300 };
    dmv_context *ctx = context(2, NULL);
    dmv_index *x[COPIES];
    uint32_t seed = 7;
    float v[DIM], probe[DIM];
    (void)state;
    open_all(ctx, DIM, x);
    for (int step = 0; step < 6000; step++) {
        if (test_random(&seed) % 8) {
            random_vector(&seed, v, DIM);
            if (test_random(&seed) % 50 == 0) {
                v[0] += 1000; /* loses much in the copy */
            }
            add_all(x, test_random(&seed) % IDS, v);
        } else {
            const uint64_t id = test_random(&seed) % IDS;
            size_t gone[COPIES];
            for (int c = 0; c < COPIES; c++) {
                dmv_index_remove(x[c], id, &gone[c]);
                assert_int_equal(gone[c], gone[0]);
            }
        }
        if (step % 300 == 299) {
            random_vector(&seed, probe, DIM);
            compare(x, probe);
            compare(x, v);
        }
    }
    for (uint64_t id = 0; id < IDS; id++) { /* until nothing is left, and from nothing again */
        for (int c = 0; c < COPIES; c++) {
            dmv_index_remove(x[c], id, NULL);
            assert_int_equal(dmv_index_size(x[c]), dmv_index_size(x[0]));
        }
    }
    assert_int_equal(dmv_index_size(x[INT8]), 0);
    add_all(x, 5, v);
    compare(x, v);
    close_all(x);
    dmv_context_close(&ctx);
}

/* A vector that loses much in the copy moves into a block of vectors that lose nothing, by a
 * removal there. It is the best for the probe; the copy makes it look worse than they are. */
static void moved_vector_is_found(void **state)
{
    enum { DIM = 64, BLOCK = 256 };
    dmv_context *ctx = context(1, NULL);
    dmv_index *x[COPIES];
    float v[DIM], probe[DIM];
    dmv_match m;
    size_t n;
    (void)state;
    open_all(ctx, DIM, x);
    for (int i = 0; i <= BLOCK; i++) {
        for (int j = 0; j < DIM; j++) {
            probe[j] = 1;
            v[j] = j ? (float)(j % 16) + (i == BLOCK ? 0.49f : 0) : 127;
        }
        add_all(x, (uint64_t)i, v);
    }
    for (int c = 0; c < COPIES; c++) {
        assert_int_equal(dmv_index_remove(x[c], 200, NULL), DMV_OK);
        assert_int_equal(dmv_index_search(x[c], probe, 1, &m, &n), DMV_OK);
        assert_int_equal(m.id, BLOCK);
    }
    compare(x, probe);
    close_all(x);
    dmv_context_close(&ctx);
}

/* ---- filters and batches ---- */

static int every_third(void *user, uint64_t id)
{
    return id % 3 == *(const uint64_t *)user;
}

static void filters(void **state)
{
    enum { DIM = 33, N = 3000, IDS = 900, ALL = 1500 };
    static dmv_match all[ALL], want[ALL], got[ALL];
    dmv_context *ctx = context(3, NULL);
    dmv_index *x[COPIES];
    uint32_t seed = 21;
    float v[DIM];
    uint64_t ids[IDS / 5], third = 1;
    size_t n_all;
    (void)state;
    open_all(ctx, DIM, x);
    for (int i = 0; i < N; i++) {
        random_vector(&seed, v, DIM);
        add_all(x, test_random(&seed) % IDS, v);
    }
    for (size_t i = 0; i < DV_COUNT(ids); i++) {
        ids[i] = i * 5 + i % 2; /* a few that nobody has are among them at the end */
    }
    ids[DV_COUNT(ids) - 1] = UINT64_MAX;
    random_vector(&seed, v, DIM);
    assert_int_equal(dmv_index_search(x[PLAIN], v, ALL, all, &n_all), DMV_OK);
    for (int mode = 0; mode < 5; mode++) {
        dmv_search_options o;
        dmv_search_options_init(&o);
        o.allow = mode & 1 ? every_third : NULL;
        o.allow_user = &third;
        o.ids = mode & 2 || mode == 4 ? ids : NULL;
        o.n_ids = mode == 4 ? 0 : DV_COUNT(ids); /* an empty list allows nobody */
        size_t nw = 0, ng;
        for (size_t i = 0; i < n_all; i++) {
            bool in = !o.ids;
            for (size_t j = 0; o.ids && j < o.n_ids; j++) {
                in = in || ids[j] == all[i].id;
            }
            if (in && (!o.allow || all[i].id % 3 == third)) {
                want[nw++] = all[i];
            }
        }
        assert_true(mode == 4 ? nw == 0 : nw > 20);
        static const size_t ks[] = {1, 7, 30, 1000, 1300};
        for (size_t k = 0; k < DV_COUNT(ks); k++) {
            for (int c = 0; c < COPIES; c++) {
                assert_int_equal(dmv_index_search_batch(x[c], v, 1, ks[k], &o, got, &ng), DMV_OK);
                same(want, DV_MIN(nw, ks[k]), got, ng);
            }
        }
    }
    dmv_search_options o;
    dmv_search_options_init(&o);
    const uint64_t wrong[] = {3, 2};
    o.ids = wrong;
    o.n_ids = 2;
    n_all = 9;
    assert_int_equal(dmv_index_search_batch(x[INT8], v, 1, 3, &o, got, &n_all), DMV_ERR_ARGUMENT);
    assert_int_equal(n_all, 0);
    o.struct_size = 0;
    assert_int_equal(dmv_index_search_batch(x[INT8], v, 1, 3, &o, got, &n_all), DMV_ERR_ARGUMENT);
    close_all(x);
    dmv_context_close(&ctx);
}

static void batches(void **state)
{
    enum { DIM = 70, N = 2000, PROBES = 21, K = 12 };
    static float probes[PROBES * DIM];
    static dmv_match got[PROBES * 3000], want[3000];
    static const size_t ks[] = {1, K, 3000};
    uint32_t seed = 5;
    float v[DIM];
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        dmv_context *ctx = context(threads, NULL);
        dmv_index *x[COPIES];
        open_all(ctx, DIM, x);
        for (int i = 0; i < N; i++) {
            random_vector(&seed, v, DIM);
            add_all(x, (uint64_t)i % 1500, v);
        }
        for (size_t p = 0; p < PROBES; p++) {
            random_vector(&seed, probes + p * DIM, DIM);
        }
        for (size_t probe_n = 0; probe_n <= PROBES; probe_n += probe_n < 10 ? 1 : 11) {
            for (size_t k = 0; k < DV_COUNT(ks); k++) {
                for (int c = 0; c < COPIES; c++) {
                    size_t n[PROBES], one;
                    memset(got, 0xee, sizeof(got));
                    assert_int_equal(
                        dmv_index_search_batch(x[c], probes, probe_n, ks[k], NULL, got, n), DMV_OK);
                    for (size_t p = 0; p < probe_n; p++) {
                        assert_int_equal(
                            dmv_index_search(x[PLAIN], probes + p * DIM, ks[k], want, &one),
                            DMV_OK);
                        same(want, one, got + p * ks[k], n[p]);
                    }
                }
            }
        }
        size_t n[3] = {7, 7, 7};
        probes[2 * DIM + 1] = NAN; /* then nothing is answered */
        assert_int_equal(dmv_index_search_batch(x[INT8], probes, 3, 4, NULL, got, n),
                         DMV_ERR_ARGUMENT);
        assert_non_null(strstr(dmv_error(ctx), "probe 2"));
        for (int p = 0; p < 3; p++) {
            assert_int_equal(n[p], 0);
        }
        assert_int_equal(dmv_index_search_batch(x[0], NULL, 1, 4, NULL, got, n), DMV_ERR_ARGUMENT);
        assert_int_equal(dmv_index_search_batch(x[0], probes, 1, 4, NULL, NULL, n),
                         DMV_ERR_ARGUMENT);
        assert_int_equal(dmv_index_search_batch(x[0], probes, 1, 4, NULL, got, NULL),
                         DMV_ERR_ARGUMENT);
        assert_int_equal(dmv_index_search_batch(NULL, probes, 1, 4, NULL, got, n),
                         DMV_ERR_ARGUMENT);
        close_all(x);
        dmv_context_close(&ctx);
    }
}

static void bad_options(void **state)
{
    dmv_context *ctx = context(1, NULL);
    dmv_index *x = NULL;
    dmv_index_options o;
    (void)state;
    dmv_index_options_init(&o);
    for (int copy = -1; copy <= 3; copy += 4) {
        o.copy = copy;
        assert_int_equal(dmv_index_open_options(ctx, 4, &o, &x), DMV_ERR_ARGUMENT);
        assert_null(x);
    }
    o.copy = DMV_INDEX_INT8;
    o.struct_size = 0;
    assert_int_equal(dmv_index_open_options(ctx, 4, &o, &x), DMV_ERR_ARGUMENT);
    o.struct_size = sizeof(size_t); /* an older program's: the rest are defaults */
    assert_int_equal(dmv_index_open_options(ctx, 4, &o, &x), DMV_OK);
    dmv_index_close(&x);
    dmv_index_options_init(NULL);
    dmv_search_options_init(NULL);
    dmv_context_close(&ctx);
}

/* Fails the nth allocation for every n until everything passes; what was added stays. */
static void survives_without_memory(void **state)
{
    const float first[4] = {2, 2, 3, 4};
    dmv_context *ctx = context(2, NULL);
    (void)state;
    for (int copy = INT8; copy < COPIES; copy++) {
        bool done = false;
        for (uint64_t nth = 1; !done; nth++) {
            dmv_index *x = NULL;
            dmv_index_options o = {.struct_size = sizeof(o), .copy = copy};
            float v[4] = {1, 2, 3, 4};
            size_t added = 0, n[2];
            dmv_match m[8];
            assert_true(nth < 100);
            dv_alloc_fail_at(nth, true);
            dmv_status s = dmv_index_open_options(ctx, 4, &o, &x);
            for (uint64_t i = 0; s == DMV_OK && i < 200; i++) {
                v[i % 4] += 1;
                s = dmv_index_add(x, i, v);
                added += s == DMV_OK;
            }
            const float two[8] = {1, 2, 3, 4, 4, 3, 2, 1};
            s = s == DMV_OK ? dmv_index_search_batch(x, two, 2, 4, NULL, m, n) : s;
            done = s == DMV_OK;
            assert_true(done || s == DMV_ERR_MEMORY);
            dv_alloc_fail_at(0, false);
            if (x && added) {
                assert_int_equal(dmv_index_search(x, first, 1, m, n), DMV_OK);
                assert_int_equal(n[0], 1);
                assert_int_equal(m[0].id, 0);
            }
            dmv_index_close(&x);
        }
    }
    dmv_context_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_to_plain),
        cmocka_unit_test(after_removals),
        cmocka_unit_test(moved_vector_is_found),
        cmocka_unit_test(filters),
        cmocka_unit_test(batches),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(survives_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
