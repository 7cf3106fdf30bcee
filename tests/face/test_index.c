/* SPDX-License-Identifier: Apache-2.0
 *
 * test_index.c - exact search against brute force in double: many sizes and dimensions, shared
 * ids, ties, removal, any number of workers, nonsense vectors, and every allocation failing.
 */
#include "face_test.h"

typedef struct model { /* the slow twin of an index */
    size_t dim, n;
    float *v;
    uint64_t *ids;
} model;

static double cosine(const float *a, const float *b, size_t n)
{
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return dot / sqrt(aa * bb);
}

typedef struct hit {
    uint64_t id;
    double score;
} hit;

static int by_id(const void *a, const void *b)
{
    const hit *x = a, *y = b;
    return x->id != y->id ? (x->id > y->id) - (x->id < y->id)
                          : (x->score < y->score) - (x->score > y->score);
}

static int by_score(const void *a, const void *b)
{
    const hit *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score) - (x->score > y->score)
                                : (x->id > y->id) - (x->id < y->id);
}

static size_t brute(const model *m, const float *probe, hit *out)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        out[i] = (hit){m->ids[i], cosine(m->v + i * m->dim, probe, m->dim)};
    }
    qsort(out, m->n, sizeof(*out), by_id);
    for (size_t i = 0; i < m->n; i++) {
        if (!n || out[n - 1].id != out[i].id) {
            out[n++] = out[i];
        }
    }
    qsort(out, n, sizeof(*out), by_score);
    return n;
}

/* The same ids with the same scores; where float cannot tell two scores apart, either order. */
static void compare(dmv_index *x, const model *m, const float *probe, size_t k)
{
    hit *want = malloc((m->n + 1) * sizeof(*want));
    dmv_match *got = malloc((k + 1) * sizeof(*got));
    size_t n, all = brute(m, probe, want);
    assert_int_equal(dmv_index_search(x, probe, k, got, &n), DMV_OK);
    assert_int_equal(n, DV_MIN(k, all));
    for (size_t i = 0; i < n; i++) {
        assert_near(got[i].score, want[i].score, 3e-6);
        double own = -2;
        for (size_t j = 0; j < all; j++) {
            if (want[j].id == got[i].id) {
                own = want[j].score;
            }
        }
        assert_near(got[i].score, own, 3e-6);
        if (i) {
            assert_true(got[i - 1].score > got[i].score ||
                        (got[i - 1].score == got[i].score && got[i - 1].id < got[i].id));
        }
        for (size_t j = 0; j < i; j++) {
            assert_true(got[i].id != got[j].id);
        }
    }
    free(want);
    free(got);
}

static dmv_context *context(int threads)
{
    dmv_options o;
    dmv_context *ctx = NULL;
    dmv_options_init(&o);
    o.threads = threads;
    assert_int_equal(dmv_context_open(&o, &ctx), DMV_OK);
    return ctx;
}

static void against_brute_force(void **state)
{
    static const size_t dims[] = {1, 2, 3, 15, 16, 17, 31, 128, 513};
    static const size_t sizes[] = {1, 2, 7, 255, 256, 257, 1000};
    static const size_t ks[] = {1, 2, 5, 50, 128, 129, 400, 5000};
    uint32_t seed = 123;
    (void)state;
    for (int threads = 1; threads <= 4; threads += 3) {
        dmv_context *ctx = context(threads);
        for (size_t d = 0; d < DV_COUNT(dims); d++) {
            for (size_t s = 0; s < DV_COUNT(sizes); s++) {
                dmv_index *x = NULL;
                model m = {.dim = dims[d]};
                m.v = malloc(sizes[s] * m.dim * sizeof(float));
                m.ids = malloc(sizes[s] * sizeof(uint64_t));
                assert_int_equal(dmv_index_open(ctx, m.dim, &x), DMV_OK);
                for (size_t i = 0; i < sizes[s]; i++) {
                    float *v = m.v + i * m.dim;
                    for (size_t j = 0; j < m.dim; j++) {
                        v[j] = test_uniform(&seed, -3, 3) + 0.001f;
                    }
                    /* about three vectors to an id */
                    m.ids[i] = test_random(&seed) % (1 + sizes[s] / 3) * 0x100000001u;
                    assert_int_equal(dmv_index_add(x, m.ids[i], v), DMV_OK);
                    m.n++;
                }
                assert_int_equal(dmv_index_size(x), m.n);
                float probe[513];
                for (size_t j = 0; j < m.dim; j++) {
                    probe[j] = test_uniform(&seed, -1, 1) + 0.001f;
                }
                for (size_t k = 0; k < DV_COUNT(ks); k++) {
                    compare(x, &m, probe, ks[k]);
                }
                free(m.v);
                free(m.ids);
                dmv_index_close(&x);
                assert_null(x);
            }
        }
        dmv_context_close(&ctx);
    }
}

static void removal(void **state)
{
    enum { DIM = 20, N = 600 };
    dmv_context *ctx = context(2);
    dmv_index *x = NULL;
    model m = {.dim = DIM};
    uint32_t seed = 4;
    (void)state;
    m.v = malloc(N * DIM * sizeof(float));
    m.ids = malloc(N * sizeof(uint64_t));
    assert_int_equal(dmv_index_open(ctx, DIM, &x), DMV_OK);
    for (int step = 0; step < 2000; step++) {
        if (m.n < N && test_random(&seed) % 3) {
            float *v = m.v + m.n * DIM;
            for (int j = 0; j < DIM; j++) {
                v[j] = test_uniform(&seed, -1, 1);
            }
            m.ids[m.n] = test_random(&seed) % 100;
            assert_int_equal(dmv_index_add(x, m.ids[m.n], v), DMV_OK);
            m.n++;
        } else {
            const uint64_t id = test_random(&seed) % 110;
            size_t gone = 99, want = 0;
            for (size_t i = 0; i < m.n;) {
                if (m.ids[i] != id) {
                    i++;
                    continue;
                }
                m.n--;
                m.ids[i] = m.ids[m.n];
                memcpy(m.v + i * DIM, m.v + m.n * DIM, DIM * sizeof(float));
                want++;
            }
            assert_int_equal(dmv_index_remove(x, id, &gone), want ? DMV_OK : DMV_ERR_NOT_FOUND);
            assert_int_equal(gone, want);
        }
        assert_int_equal(dmv_index_size(x), m.n);
        if (step % 50 == 0 && m.n) {
            float probe[DIM];
            for (int j = 0; j < DIM; j++) {
                probe[j] = test_uniform(&seed, -1, 1);
            }
            compare(x, &m, probe, 10);
        }
    }
    free(m.v);
    free(m.ids);
    dmv_index_close(&x);
    dmv_context_close(&ctx);
}

/* Equal vectors under many ids, in an order that is not theirs: the lower id comes first,
 * whoever found it. */
static void ties_go_to_the_lower_id(void **state)
{
    const float v[3] = {1, 2, 2};
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        dmv_context *ctx = context(threads);
        dmv_index *x = NULL;
        dmv_match got[200];
        size_t n;
        assert_int_equal(dmv_index_open(ctx, 3, &x), DMV_OK);
        for (uint64_t i = 0; i < 3000; i++) {
            assert_int_equal(dmv_index_add(x, 1 + i * 1999 % 3001, v), DMV_OK);
        }
        for (size_t k = 1; k <= 200; k += 66) {
            assert_int_equal(dmv_index_search(x, v, k, got, &n), DMV_OK);
            assert_int_equal(n, k);
            uint64_t want = 1;
            for (size_t i = 0; i < n; i++, want++) {
                assert_int_equal(got[i].id, want);
                assert_near(got[i].score, 1, 1e-6);
                assert_true(got[i].score <= 1);
            }
        }
        dmv_index_close(&x);
        dmv_context_close(&ctx);
    }
}

static void nonsense(void **state)
{
    const float good[2] = {3, 4}, zero[2] = {0, 0}, nan[2] = {NAN, 1}, inf[2] = {1, INFINITY};
    const float big[2] = {3e38f, 3e38f}, tiny[2] = {1e-40f, 1e-40f};
    dmv_context *ctx = context(1);
    dmv_index *x = NULL;
    dmv_match m[4];
    size_t n = 7;
    (void)state;
    assert_int_equal(dmv_index_open(ctx, 0, &x), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_open(ctx, SIZE_MAX, &x), DMV_ERR_ARGUMENT);
    assert_null(x);
    assert_int_equal(dmv_index_open(NULL, 2, &x), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_open(ctx, 2, NULL), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_open(ctx, 2, &x), DMV_OK);
    assert_int_equal(dmv_index_search(x, good, 4, m, &n), DMV_OK); /* empty */
    assert_int_equal(n, 0);
    assert_int_equal(dmv_index_add(x, 1, zero), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_add(x, 1, nan), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_add(x, 1, inf), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_add(x, 1, NULL), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_size(x), 0);
    assert_int_equal(dmv_index_add(x, 1, good), DMV_OK);
    assert_int_equal(dmv_index_add(x, UINT64_MAX, big), DMV_OK);
    assert_int_equal(dmv_index_add(x, 0, tiny), DMV_OK);
    assert_int_equal(dmv_index_search(x, nan, 4, m, &n), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_search(x, zero, 4, m, &n), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_search(x, NULL, 4, m, &n), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_search(x, good, 4, NULL, &n), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_search(x, good, 4, m, NULL), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_index_search(x, good, 0, NULL, &n), DMV_OK);
    assert_int_equal(n, 0);
    assert_int_equal(dmv_index_search(x, big, 4, m, &n), DMV_OK);
    assert_int_equal(n, 3);
    assert_near(m[0].score, 1, 1e-6);
    assert_near(m[2].score, 7 / (5 * sqrt(2)), 1e-6);
    assert_int_equal(m[2].id, 1);
    assert_int_equal(dmv_index_remove(x, 5, NULL), DMV_ERR_NOT_FOUND);
    assert_int_equal(dmv_index_size(NULL), 0);
    dmv_index_close(&x);
    dmv_index_close(&x);
    dmv_index_close(NULL);
    dmv_context_close(&ctx);
}

/* Fails the nth allocation for every n until the whole life of an index passes. */
static void survives_without_memory(void **state)
{
    (void)state;
    dmv_context *ctx = context(2);
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        dmv_index *x = NULL;
        float v[4] = {1, 2, 3, 4};
        size_t added = 0, n;
        dmv_match m[300];
        assert_true(nth < 100);
        dv_alloc_fail_at(nth, true);
        dmv_status s = dmv_index_open(ctx, 4, &x);
        for (uint64_t i = 0; s == DMV_OK && i < 200; i++) {
            v[i % 4] += 1;
            s = dmv_index_add(x, i, v);
            added += s == DMV_OK;
        }
        assert_int_equal(dmv_index_size(x), added);
        for (size_t k = 1; s == DMV_OK && k <= 300; k += 149) {
            s = dmv_index_search(x, v, k, m, &n);
        }
        done = s == DMV_OK;
        assert_true(done || s == DMV_ERR_MEMORY);
        dv_alloc_fail_at(0, false);
        if (x && added) { /* what was added before is still there */
            const float first[4] = {2, 2, 3, 4};
            assert_int_equal(dmv_index_search(x, first, 1, m, &n), DMV_OK);
            assert_int_equal(n, 1);
            assert_int_equal(m[0].id, 0);
        }
        dmv_index_close(&x);
    }
    dmv_context_close(&ctx);
}

static void searches_do_not_allocate(void **state)
{
    dmv_context *ctx = context(2);
    dmv_index *x = NULL;
    dmv_match m[10];
    float v[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    size_t n;
    (void)state;
    assert_int_equal(dmv_index_open(ctx, 8, &x), DMV_OK);
    for (uint64_t i = 0; i < 1000; i++) {
        v[i % 8] += 0.5f;
        assert_int_equal(dmv_index_add(x, i, v), DMV_OK);
    }
    assert_int_equal(dmv_index_search(x, v, 10, m, &n), DMV_OK);
    const uint64_t before = dv_alloc_count();
    for (size_t k = 1; k <= 10; k++) {
        assert_int_equal(dmv_index_search(x, v, k, m, &n), DMV_OK);
    }
    assert_int_equal(dv_alloc_count(), before);
    dmv_index_close(&x);
    dmv_context_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_brute_force),     cmocka_unit_test(removal),
        cmocka_unit_test(ties_go_to_the_lower_id), cmocka_unit_test(nonsense),
        cmocka_unit_test(survives_without_memory), cmocka_unit_test(searches_do_not_allocate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
