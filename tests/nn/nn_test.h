/* SPDX-License-Identifier: Apache-2.0
 *
 * nn_test.h - what the tests of the nn layer share: small graphs built by hand, and a runner
 * that puts such a graph through every way of running it (kernels in C and the best ones, one
 * thread and three, weights as they come and packed in a file) and compares each output with
 * numbers that the test worked out in double precision.
 */
#ifndef DV_NN_TEST_H
#define DV_NN_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "nn/dmv.h"
#include "nn/exec.h"

/* ---- numbers ---- */

void nt_seed(uint64_t seed);
uint64_t nt_random(void);
int64_t nt_int(int64_t lo, int64_t hi); /* both ends included */
float nt_float(float lo, float hi);
bool nt_chance(int percent);
#define NT_PICK(array) ((array)[nt_int(0, (int64_t)DV_COUNT(array) - 1)])

/* ---- a graph, its inputs and the memory of one test case ---- */

typedef struct nt_array { /* what an output should be */
    int rank;
    int64_t dims[DMV_MAX_RANK];
    size_t n;
    double *v;
} nt_array;

#define NT_INPUTS 6
typedef struct nt_net {
    dv_graph g;
    size_t n_in;
    int32_t in[NT_INPUTS];
    const float *data[NT_INPUTS];
    int64_t dims[NT_INPUTS][DMV_MAX_RANK]; /* for shaping; the graph may have -1 there */
    void *blocks;                          /* list of nt_mem */
} nt_net;

void nt_open(nt_net *n);
void nt_close(nt_net *n);
void *nt_mem(nt_net *n, size_t bytes); /* freed by nt_close */
float *nt_floats(nt_net *n, size_t count, float lo, float hi);
size_t nt_count(int rank, const int64_t *dims);
/* Dense array of zeros for the expected output. */
nt_array nt_want(nt_net *n, int rank, const int64_t *dims);

/* Input with data (count floats that the test keeps); a negative dim is free and has the size
 * -dim for this test. */
int32_t nt_input(nt_net *n, int rank, const int64_t *dims, const float *data);
int32_t nt_const(nt_net *n, int rank, const int64_t *dims, const float *data);
int32_t nt_ints(nt_net *n, int64_t count, const int64_t *v); /* rank 1 */
int32_t nt_ints_nd(nt_net *n, int rank, const int64_t *dims, const int64_t *v);
int32_t nt_tensor(nt_net *n, dv_dtype t);
/* The new node; NT_IN lists tensor numbers. Pointers to nodes move with the next one. */
dv_node *nt_node(nt_net *n, uint16_t op, int n_in, const int32_t *in, int n_out,
                 const int32_t *out);
/* The same with one float output, whose number is in *out. */
dv_node *nt_op(nt_net *n, uint16_t op, int n_in, const int32_t *in, int32_t *out);
#define NT_IDS(...)                                          \
    (int)(sizeof((int32_t[]){__VA_ARGS__}) / 4), (int32_t[]) \
    {                                                        \
        __VA_ARGS__                                          \
    }
#define NT_INTS(node, key, ...)                                           \
    assert_true(dv_node_set_ints((node), (key), (int64_t[]){__VA_ARGS__}, \
                                 sizeof((int64_t[]){__VA_ARGS__}) / 8))
#define NT_FLOATS(node, key, ...)                                         \
    assert_true(dv_node_set_floats((node), (key), (float[]){__VA_ARGS__}, \
                                   sizeof((float[]){__VA_ARGS__}) / 4))

/* Every way of running; |got - want| <= tol (1 + |want|) in each. */
void nt_check(nt_net *n, size_t n_out, const int32_t *out, const nt_array *want, double tol,
              const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The graph is refused when opened or shaped, with this code and with words. */
void nt_refuses(nt_net *n, int32_t out, dmv_status code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Weights in place of their packed form, as graph.h describes it, worked out afresh here. */
void nt_pack(dv_graph *g);
/* Memory that nobody has written becomes NaN, so that a use of it shows. */
void nt_poison(dv_exec *x);

/* dv_act in double precision, from its definition. */
double nt_act(int act, double x, double p, double q);

const dv_kernels *nt_kernels(bool best);
dv_pool *nt_pool(void); /* three workers */
void nt_shared_close(void);

/* Turns an index into positions, and back. */
void nt_unravel(size_t i, int rank, const int64_t *dims, int64_t *at);
size_t nt_ravel(int rank, const int64_t *dims, const int64_t *at);

#endif
