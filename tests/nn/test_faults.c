/* SPDX-License-Identifier: Apache-2.0
 *
 * Failures of the public functions: every allocation fails once, in turn, and all later ones with
 * it; nothing is lost then and the same call works afterwards. And callers that make mistakes.
 * Live blocks are counted by wrapping the C library's functions (see meson.build), so that leaks
 * show without a sanitizer.
 */
#include "sample_net.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **p, size_t align, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n);
void __wrap_free(void *p);

static atomic_long live;

void *__wrap_malloc(size_t n)
{
    void *p = __real_malloc(n);
    live += p != NULL;
    return p;
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *p = __real_calloc(n, size);
    live += p != NULL;
    return p;
}

void *__wrap_realloc(void *p, size_t n)
{
    void *q = __real_realloc(p, n);
    live += q && !p;
    return q;
}

int __wrap_posix_memalign(void **p, size_t align, size_t n)
{
    int failed = __real_posix_memalign(p, align, n);
    live += !failed;
    return failed;
}

void __wrap_free(void *p)
{
    live -= p != NULL;
    __real_free(p);
}

/* ---- every allocation fails ---- */

static uint8_t *file;
static size_t file_size;
static char path[] = "/tmp/domovoi-faults-XXXXXX";
static const int64_t dims[4] = {1, 3, NT_SAMPLE_SIDE, NT_SAMPLE_SIDE};
static float picture[3 * NT_SAMPLE_SIDE * NT_SAMPLE_SIDE];
static float wanted[NT_SAMPLE_DIM];

static int setup(void **state)
{
    dv_err e;
    nt_sample_file(&file, &file_size);
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) || dv_write_file(path, file, file_size, &e))
        return -1;
    nt_seed(1);
    for (size_t i = 0; i < DV_COUNT(picture); i++)
        picture[i] = nt_float(-1, 1);
    return 0;
}

static int teardown(void **state)
{
    dv_free(file);
    return unlink(path);
}

static dmv_context *context(void)
{
    dmv_context *c;
    dmv_options o;
    dmv_options_init(&o);
    o.threads = 2;
    assert_int_equal(dmv_context_open(&o, &c), DMV_OK);
    return c;
}

/* The whole life of a net. Stops at the first failure, undoes everything and returns its code. */
static dmv_status whole_life(bool from_memory, char *message)
{
    dmv_context *c = NULL;
    dmv_model *m = NULL;
    dmv_session *s = NULL;
    dmv_tensor t;
    dmv_options o;
    dmv_options_init(&o);
    o.threads = 2;
    dmv_status st = dmv_context_open(&o, &c);
    if (!st)
        st = from_memory ? dmv_model_open_memory(c, file, file_size, &m)
                         : dmv_model_open(c, path, &m);
    if (!st)
        st = dmv_session_open(c, m, &s);
    if (!st)
        st = dmv_session_reshape(s, 0, dims, 4);
    if (!st)
        st = dmv_session_set_input(s, 0, picture);
    if (!st)
        st = dmv_session_run(s);
    if (!st)
        st = dmv_session_output(s, 0, &t);
    if (!st && !message)
        memcpy(wanted, t.data, sizeof wanted);
    else if (!st)
        assert_memory_equal(wanted, t.data, sizeof wanted);
    if (message)
        snprintf(message, 1024, "%s", dmv_error(c));
    bool have_context = c != NULL;
    dmv_session_close(&s);
    dmv_model_close(&m);
    dmv_context_close(&c);
    assert_true(!s && !m && !c);
    if (st && message && have_context)
        assert_non_null(strstr(message, "memory"));
    return st;
}

static void life_fails(bool from_memory, bool sticky)
{
    char message[1024];
    assert_int_equal(whole_life(from_memory, NULL), DMV_OK);
    long before = atomic_load(&live);
    uint64_t nth = 1;
    for (;; nth++) {
        uint64_t count = dv_alloc_count();
        dv_alloc_fail_at(nth, sticky);
        dmv_status st = whole_life(from_memory, message);
        dv_alloc_fail_at(0, false);
        assert_int_equal(atomic_load(&live), before);
        if (!st) {
            assert_true(dv_alloc_count() - count < nth); /* it was never met */
            break;
        }
        assert_int_equal(st, DMV_ERR_MEMORY);
        if (nth % 16 == 0)
            assert_int_equal(whole_life(from_memory, message), DMV_OK);
    }
    assert_true(nth > 100); /* the sample net needs many */
    assert_int_equal(whole_life(from_memory, message), DMV_OK);
}

static void allocations(void **state)
{
    life_fails(true, false);
    life_fails(true, true);
    life_fails(false, false);
    life_fails(false, true);
}

/* Shaping fails in an open session: the session lives on. */
static void shaping_fails(void **state)
{
    dmv_context *c = context();
    dmv_model *m;
    dmv_session *s;
    dmv_tensor t;
    assert_int_equal(dmv_model_open_memory(c, file, file_size, &m), DMV_OK);
    assert_int_equal(dmv_session_open(c, m, &s), DMV_OK);
    int64_t other[4] = {1, 3, 4, 6};
    for (uint64_t nth = 1;; nth++) {
        assert_int_equal(dmv_session_reshape(s, 0, nth & 1 ? dims : other, 4), DMV_OK);
        dv_alloc_fail_at(nth, false);
        dmv_status st = dmv_session_set_input(s, 0, picture);
        dv_alloc_fail_at(0, false);
        if (!st)
            break;
        assert_int_equal(st, DMV_ERR_MEMORY);
        assert_int_equal(dmv_session_run(s), DMV_ERR_ARGUMENT);
        assert_int_equal(dmv_session_output(s, 0, &t), DMV_ERR_ARGUMENT);
        assert_int_equal(dmv_session_memory(s), 0);
    }
    assert_int_equal(dmv_session_reshape(s, 0, dims, 4), DMV_OK);
    assert_int_equal(dmv_session_set_input(s, 0, picture), DMV_OK);
    assert_int_equal(dmv_session_run(s), DMV_OK);
    assert_int_equal(dmv_session_output(s, 0, &t), DMV_OK);
    assert_memory_equal(t.data, wanted, sizeof wanted);
    dmv_session_close(&s);
    dmv_model_close(&m);
    dmv_context_close(&c);
}

/* Building a graph and writing it. */
static void building_fails(void **state)
{
    dv_graph g;
    dv_meta meta;
    dv_err e = {0};
    long before = atomic_load(&live);
    bool done = false;
    for (uint64_t nth = 1; !done; nth++) {
        static const int64_t d[2] = {2, 3}, ax[1] = {1};
        static const float w[6] = {1, 2, 3, 4, 5, 6}, eps[1] = {1e-3f};
        int32_t out = -1, node = -1;
        uint8_t *data = NULL;
        size_t size;
        memset(&meta, 0, sizeof meta);
        dv_graph_init(&g);
        dv_alloc_fail_at(nth, true);
        int32_t in = dv_graph_add_tensor(&g, "in", DV_F32, 2, d);
        int32_t k = in < 0 ? -1 : dv_graph_add_const(&g, "w", DV_F32, 2, d, w);
        if (k >= 0)
            out = dv_graph_add_tensor(&g, NULL, DV_F32, 2, d);
        if (out >= 0)
            node = dv_graph_add_node(&g, DV_OP_CONCAT, "n", 2, (int32_t[]){in, k}, 1, &out);
        if (node >= 0)
            done = dv_node_set_ints(&g.nodes[node], DV_A_AXIS, ax, 1) &&
                   dv_node_set_int(&g.nodes[node], DV_A_AXIS, 0) && /* replaced */
                   dv_node_set_floats(&g.nodes[node], DV_A_EPS, eps, 1) &&
                   dv_graph_set_io(&g, &in, 1, &out, 1) && dv_meta_set_text(&meta, "a", "b") &&
                   dv_meta_set_floats(&meta, "f", w, 6) && dv_meta_set_text(&meta, "f", "x") &&
                   dv_meta_set_int(&meta, "i", 1) &&
                   dv_dmv_encode(&g, &meta, &data, &size, &e) == DMV_OK;
        dv_alloc_fail_at(0, false);
        if (node >= 0 && !done && e.code)
            assert_int_equal(e.code, DMV_ERR_MEMORY);
        dv_free(data);
        dv_meta_free(&meta);
        dv_graph_free(&g);
        assert_int_equal(atomic_load(&live), before);
    }
}

/* ---- callers' mistakes ---- */

static void nulls(void **state)
{
    dmv_context *c = context();
    dmv_model *m = NULL, *stale = (dmv_model *)(uintptr_t)64;
    dmv_session *s = NULL;
    dmv_tensor t;
    float f;
    assert_int_equal(dmv_context_open(NULL, NULL), DMV_ERR_ARGUMENT);
    assert_string_equal(dmv_error(NULL), "");
    assert_string_equal(dmv_context_cpu(NULL), "");
    assert_int_equal(dmv_context_threads(NULL), 0);
    dmv_options_init(NULL);
    dmv_context_close(NULL);
    dmv_model_close(NULL);
    dmv_model_close(&m);
    dmv_session_close(NULL);
    dmv_session_close(&s);
    assert_int_equal(dmv_model_open(NULL, path, &m), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_model_open(c, NULL, &stale), DMV_ERR_ARGUMENT);
    assert_null(stale);
    assert_true(dmv_error(c)[0]);
    assert_int_equal(dmv_model_open(c, path, NULL), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_model_open_memory(c, NULL, 10, &m), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_model_open_memory(NULL, file, file_size, &m), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_model_open_memory(c, file, 0, &m), DMV_ERR_FORMAT);
    assert_int_equal(dmv_session_open(c, NULL, &s), DMV_ERR_ARGUMENT);
    assert_null(s);
    assert_int_equal(dmv_model_get_kind(NULL), DMV_KIND_OTHER);
    assert_int_equal(dmv_model_dim(NULL), 0);
    assert_string_equal(dmv_model_id(NULL), "");
    assert_null(dmv_model_text(NULL, "name"));
    assert_int_equal(dmv_model_threshold(NULL, 0.1, &f), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_inputs(NULL), 0);
    assert_int_equal(dmv_session_outputs(NULL), 0);
    assert_int_equal(dmv_session_memory(NULL), 0);
    assert_int_equal(dmv_session_run(NULL), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_reshape(NULL, 0, dims, 4), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_set_input(NULL, 0, picture), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_output(NULL, 0, &t), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_input_info(NULL, 0, &t), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_model_open_memory(c, file, file_size, &m), DMV_OK);
    assert_null(dmv_model_text(m, NULL));
    assert_int_equal(dmv_model_threshold(m, 0.1, NULL), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_open(NULL, m, &s), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_open(c, m, NULL), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_open(c, m, &s), DMV_OK);
    assert_int_equal(dmv_session_reshape(s, 0, NULL, 4), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_set_input(s, 0, NULL), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_output(s, 0, NULL), DMV_ERR_ARGUMENT);
    dmv_session_close(&s);
    dmv_model_close(&m);
    dmv_context_close(&c);
}

static void options(void **state)
{
    dmv_context *c = (dmv_context *)(uintptr_t)64;
    dmv_options o;
    dmv_options_init(&o);
    o.threads = -1;
    assert_int_equal(dmv_context_open(&o, &c), DMV_ERR_ARGUMENT);
    assert_null(c);
    o.threads = 65;
    assert_int_equal(dmv_context_open(&o, &c), DMV_ERR_ARGUMENT);
    o.threads = 1;
    o.cpu = "abacus";
    assert_int_equal(dmv_context_open(&o, &c), DMV_ERR_ARGUMENT);
    o.cpu = "c";
    assert_int_equal(dmv_context_open(&o, &c), DMV_OK);
    assert_string_equal(dmv_context_cpu(c), "c");
    assert_int_equal(dmv_context_threads(c), 1);
    assert_string_equal(dmv_error(c), "");
    dmv_context_close(&c);
    o.struct_size = offsetof(dmv_options, cpu); /* a caller that knows fewer options */
    o.cpu = "abacus";
    assert_int_equal(dmv_context_open(&o, &c), DMV_OK);
    dmv_context_close(&c);
}

/* The right calls in the wrong order, and numbers out of range. */
static void session_misuse(void **state)
{
    dmv_context *c = context();
    dmv_model *m;
    dmv_session *s;
    dmv_tensor t;
    assert_int_equal(dmv_model_open_memory(c, file, file_size, &m), DMV_OK);
    assert_int_equal(dmv_session_open(c, m, &s), DMV_OK);
    assert_int_equal(dmv_session_inputs(s), 1);
    assert_int_equal(dmv_session_outputs(s), 2);
    assert_int_equal(dmv_session_input_info(s, 0, &t), DMV_OK);
    assert_string_equal(t.name, "in0");
    assert_int_equal(t.rank, 4);
    assert_true(t.dims[0] == 1 && t.dims[1] == 3 && t.dims[2] == -1 && t.dims[3] == -1);
    assert_null(t.data);
    assert_int_equal(dmv_session_input_info(s, 1, &t), DMV_ERR_ARGUMENT);

    assert_int_equal(dmv_session_run(s), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_output(s, 0, &t), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_set_input(s, 0, picture), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(dmv_error(c), "reshape"));
    assert_int_equal(dmv_session_set_input(s, 1, picture), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_reshape(s, 1, dims, 4), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_reshape(s, 0, dims, 3), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_reshape(s, 0, dims, 7), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_reshape(s, 0, dims, -1), DMV_ERR_ARGUMENT);
    const int64_t bad[][4] = {{1, 3, 0, 8},
                              {1, 3, -1, 8},
                              {1, 4, 8, 8},
                              {2, 3, 8, 8},
                              {1, 3, INT64_MAX, 8},
                              {1, 3, INT64_MIN, 8},
                              {1, 3, 1 << 24, 1 << 24}};
    for (size_t i = 0; i < DV_COUNT(bad); i++) {
        dmv_status st = dmv_session_reshape(s, 0, bad[i], 4);
        if (!st)
            st = dmv_session_set_input(s, 0, picture);
        assert_true(st == DMV_ERR_ARGUMENT || st == DMV_ERR_LIMIT);
        assert_true(dmv_error(c)[0]);
        assert_int_equal(dmv_session_run(s), DMV_ERR_ARGUMENT);
    }
    assert_int_equal(dmv_session_reshape(s, 0, dims, 4), DMV_OK);
    assert_int_equal(dmv_session_run(s), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_set_input(s, 0, picture), DMV_OK);
    assert_int_equal(dmv_session_output(s, 0, &t), DMV_ERR_ARGUMENT); /* nothing ran yet */
    assert_int_equal(dmv_session_run(s), DMV_OK);
    assert_int_equal(dmv_session_output(s, 2, &t), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_output(s, 0, &t), DMV_OK);
    assert_string_equal(t.name, "embedding");
    assert_true(t.rank == 2 && t.dims[0] == 1 && t.dims[1] == NT_SAMPLE_DIM);
    assert_memory_equal(t.data, wanted, sizeof wanted);
    assert_int_equal(dmv_session_output(s, 1, &t), DMV_OK);
    assert_true(t.rank == 4 && t.dims[1] == NT_SAMPLE_SIDE && t.dims[3] == 12);
    int64_t other[4] = {1, 3, 6, 4};
    assert_int_equal(dmv_session_reshape(s, 0, other, 4), DMV_OK);
    assert_int_equal(dmv_session_run(s), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_output(s, 0, &t), DMV_ERR_ARGUMENT);
    dmv_session_close(&s);
    dmv_model_close(&m);
    dmv_context_close(&c);
}

/* Two inputs: one alone is not enough, and a new size of one takes the data of both. */
static void two_inputs(void **state)
{
    nt_net n;
    nt_open(&n);
    int64_t d[2] = {2, -3};
    const dv_meta none = {0};
    int32_t a = nt_input(&n, 2, d, NULL), b = nt_input(&n, 2, d, NULL), out;
    NT_INTS(nt_op(&n, DV_OP_CONCAT, NT_IDS(a, b), &out), DV_A_AXIS, 1);
    assert_true(dv_graph_set_io(&n.g, n.in, 2, &out, 1));
    uint8_t *data;
    size_t size;
    dv_err e;
    dmv_context *c = context();
    dmv_model *m;
    dmv_session *s;
    dmv_tensor t;
    assert_int_equal(dv_dmv_encode(&n.g, &none, &data, &size, &e), DMV_OK);
    assert_int_equal(dmv_model_open_memory(c, data, size, &m), DMV_OK);
    assert_int_equal(dmv_session_open(c, m, &s), DMV_OK);
    int64_t small[2] = {2, 1}, wide[2] = {2, 2};
    assert_int_equal(dmv_session_reshape(s, 0, small, 2), DMV_OK);
    assert_int_equal(dmv_session_reshape(s, 1, small, 2), DMV_OK);
    assert_int_equal(dmv_session_set_input(s, 0, picture), DMV_OK);
    assert_int_equal(dmv_session_run(s), DMV_ERR_ARGUMENT);
    assert_int_equal(dmv_session_set_input(s, 1, picture + 2), DMV_OK);
    assert_int_equal(dmv_session_run(s), DMV_OK);
    assert_int_equal(dmv_session_output(s, 0, &t), DMV_OK);
    float w[4] = {picture[0], picture[2], picture[1], picture[3]};
    assert_memory_equal(t.data, w, sizeof w);
    assert_int_equal(dmv_session_reshape(s, 1, wide, 2), DMV_OK);
    assert_int_equal(dmv_session_set_input(s, 1, picture), DMV_OK);
    assert_int_equal(dmv_session_run(s), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(dmv_error(c), "every input"));
    assert_int_equal(dmv_session_set_input(s, 0, picture), DMV_OK);
    assert_int_equal(dmv_session_run(s), DMV_OK);
    dmv_session_close(&s);
    dmv_model_close(&m);
    dmv_context_close(&c);
    dv_free(data);
    nt_close(&n);
}

static float threshold(const dmv_model *m, double fmr, dmv_status code)
{
    float t = -9;
    assert_int_equal(dmv_model_threshold(m, fmr, &t), code);
    if (code)
        assert_true(t == -9); /* left alone */
    return t;
}

/* Stored: 1e-2 .3, 1e-3 .4, 1e-5 .6. Straight lines over the logarithm of the rate. */
static void thresholds(void **state)
{
    dmv_context *c = context();
    dmv_model *m;
    assert_int_equal(dmv_model_open_memory(c, file, file_size, &m), DMV_OK);
    assert_float_equal(threshold(m, 1e-2, DMV_OK), .3f, 1e-6);
    assert_float_equal(threshold(m, 1e-3, DMV_OK), .4f, 1e-6);
    assert_float_equal(threshold(m, 1e-5, DMV_OK), .6f, 1e-6);
    assert_float_equal(threshold(m, 1e-4, DMV_OK), .5f, 1e-5);
    assert_float_equal(threshold(m, pow(10, -2.5), DMV_OK), .35f, 1e-5);
    assert_float_equal(threshold(m, .5, DMV_OK), .3f, 1e-6); /* stricter than asked for */
    assert_float_equal(threshold(m, INFINITY, DMV_OK), .3f, 1e-6);
    threshold(m, 1e-6, DMV_ERR_NOT_FOUND); /* nothing is extrapolated */
    threshold(m, 0, DMV_ERR_NOT_FOUND);
    threshold(m, -1, DMV_ERR_NOT_FOUND);
    threshold(m, NAN, DMV_ERR_NOT_FOUND);
    static const float odd[][4] = {{0, .9f, 1e-3f, .4f},
                                   {NAN, .9f, 1e-3f, .4f},
                                   {1e-2f, NAN, 1e-3f, .4f},
                                   {-1, .9f, 1e-3f, .4f}};
    for (size_t i = 0; i < DV_COUNT(odd); i++) { /* points that are none do no harm */
        assert_true(dv_meta_set_floats(&m->meta, "thresholds", odd[i], 4));
        assert_float_equal(threshold(m, 5e-3, DMV_OK), .4f, 1e-6);
    }
    assert_true(dv_meta_set_floats(&m->meta, "thresholds", odd[0], 3));
    threshold(m, .5, DMV_ERR_NOT_FOUND);
    assert_true(dv_meta_set_text(&m->meta, "thresholds", "1"));
    threshold(m, .5, DMV_ERR_NOT_FOUND);
    static const struct {
        const char *word;
        dmv_model_kind kind;
    } kinds[] = {{"detector", DMV_KIND_DETECTOR},
                 {"embedder", DMV_KIND_EMBEDDER},
                 {"landmarks", DMV_KIND_LANDMARKS},
                 {"other", DMV_KIND_OTHER},
                 {"", DMV_KIND_OTHER}};
    for (size_t i = 0; i < DV_COUNT(kinds); i++) {
        assert_true(dv_meta_set_text(&m->meta, "kind", kinds[i].word));
        assert_int_equal(dmv_model_get_kind(m), kinds[i].kind);
        assert_int_equal(dmv_model_dim(m), i == 1 ? NT_SAMPLE_DIM : 0);
    }
    assert_true(dv_meta_set_int(&m->meta, "kind", 1));
    assert_int_equal(dmv_model_get_kind(m), DMV_KIND_OTHER);
    dmv_model_close(&m);
    dmv_context_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations),    cmocka_unit_test(shaping_fails),
        cmocka_unit_test(building_fails), cmocka_unit_test(nulls),
        cmocka_unit_test(options),        cmocka_unit_test(session_misuse),
        cmocka_unit_test(two_inputs),     cmocka_unit_test(thresholds),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    nt_shared_close();
    return failed;
}
