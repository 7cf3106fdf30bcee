/* SPDX-License-Identifier: Apache-2.0
 *
 * crowd.c - normal numbers by Marsaglia's polar method from SplitMix64, one stream a vector, so
 * that a vector does not depend on what was made before it or on the number of threads. A fitted
 * crowd is mean + L z with L L' = the covariance (Cholesky) plus a little on the diagonal, which
 * fewer vectors than dimensions need.
 */
#include "eval/crowd.h"

#include <math.h>
#include <string.h>

#define PART 128 /* vectors a task */

struct dv_crowd {
    size_t dim;
    uint64_t seed;
    float *mean;   /* NULL: the sphere */
    float *factor; /* column j of L from its row j on, dim floats apart */
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Even in -1..1, never 0. */
static double even(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return ((double)(mix(*state) >> 11) + 0.5) * 0x1p-52 - 1;
}

static void normals(uint64_t *state, size_t n, float *out)
{
    for (size_t i = 0; i < n;) {
        double x = even(state), y = even(state), r = x * x + y * y;
        if (r >= 1)
            continue;
        r = sqrt(-2 * log(r) / r);
        out[i++] = (float)(x * r);
        if (i < n)
            out[i++] = (float)(y * r);
    }
}

static void unit(const float *v, size_t dim, float *out)
{
    double sum = 0;
    for (size_t d = 0; d < dim; d++)
        sum += (double)v[d] * v[d];
    sum = sum > 0 ? 1 / sqrt(sum) : 0;
    for (size_t d = 0; d < dim; d++)
        out[d] = (float)(v[d] * sum);
}

static void one(const dv_crowd *c, uint64_t i, float *out)
{
    float z[DV_CROWD_MAX_DIM];
    uint64_t state = mix(c->seed ^ mix(i * 0x9e3779b97f4a7c15u + 1));
    const size_t dim = c->dim;
    normals(&state, dim, c->mean ? z : out);
    if (c->mean) {
        memcpy(out, c->mean, dim * sizeof *out);
        for (size_t j = 0; j < dim; j++) {
            const float *column = c->factor + j * dim, by = z[j];
            for (size_t d = j; d < dim; d++)
                out[d] += by * column[d];
        }
    }
    unit(out, dim, out);
}

typedef struct filling {
    const dv_crowd *c;
    uint64_t first;
    size_t n;
    float *out;
} filling;

static void fill_part(void *arg, size_t task, int worker)
{
    const filling *f = arg;
    size_t end = DV_MIN(f->n, (task + 1) * PART);
    for (size_t i = task * PART; i < end; i++)
        one(f->c, f->first + i, f->out + i * f->c->dim);
}

void dv_crowd_fill(const dv_crowd *c, dv_pool *pool, uint64_t first, size_t n, float *out)
{
    filling f = {c, first, n, out};
    dv_pool_run(pool, (n + PART - 1) / PART, fill_part, &f);
}

/* a: dim x dim, the lower half is the covariance and becomes L. Its diagonal has the ridge. */
static bool cholesky(double *a, size_t dim)
{
    for (size_t j = 0; j < dim; j++) {
        double *row = a + j * dim;
        for (size_t k = 0; k < j; k++)
            row[j] -= row[k] * row[k];
        if (!(row[j] > 0))
            return false;
        row[j] = sqrt(row[j]);
        for (size_t i = j + 1; i < dim; i++) {
            double *low = a + i * dim, sum = low[j];
            for (size_t k = 0; k < j; k++)
                sum -= low[k] * row[k];
            low[j] = sum / row[j];
        }
    }
    return true;
}

static dmv_status fit(dv_crowd *c, const float *v, size_t n, dv_err *e)
{
    const size_t dim = c->dim;
    double *cov = dv_calloc(dim * dim, sizeof *cov), *mean = dv_calloc(dim, sizeof *mean);
    float *x = dv_calloc(dim, sizeof *x);
    dmv_status s = DMV_OK;
    c->mean = dv_calloc(dim, sizeof *c->mean);
    c->factor = dv_calloc(dim * dim, sizeof *c->factor);
    if (!cov || !mean || !x || !c->mean || !c->factor) {
        s = dv_nomem(e);
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        unit(v + i * dim, dim, x);
        for (size_t d = 0; d < dim; d++)
            mean[d] += x[d] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        unit(v + i * dim, dim, x);
        for (size_t d = 0; d < dim; d++) {
            double by = (x[d] - mean[d]) / (double)(n - 1), *row = cov + d * dim;
            for (size_t k = 0; k <= d; k++)
                row[k] += by * (x[k] - mean[k]);
        }
    }
    double trace = 0;
    for (size_t d = 0; d < dim; d++)
        trace += cov[d * dim + d];
    for (size_t d = 0; d < dim; d++)
        cov[d * dim + d] += 1e-6 * trace / (double)dim;
    if (!(trace > 1e-12) || !cholesky(cov, dim)) {
        s = dv_fail(e, DMV_ERR_ARGUMENT,
                    "the %zu vectors to fit a crowd to are all the same: there is nothing to fit",
                    n);
        goto done;
    }
    for (size_t d = 0; d < dim; d++) {
        c->mean[d] = (float)mean[d];
        for (size_t j = 0; j <= d; j++)
            c->factor[j * dim + d] = (float)cov[d * dim + j];
    }
done:
    dv_free(cov);
    dv_free(mean);
    dv_free(x);
    return s;
}

dmv_status dv_crowd_open(size_t dim, uint64_t seed, const float *v, size_t n, dv_crowd **out,
                         dv_err *e)
{
    *out = NULL;
    if (dim < 1 || dim > DV_CROWD_MAX_DIM)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "a crowd of vectors of %zu numbers; 1 to %d are possible", dim,
                       DV_CROWD_MAX_DIM);
    if (v && n < 2)
        return dv_fail(e, DMV_ERR_ARGUMENT, "a crowd is fitted to two vectors or more, not to %zu",
                       n);
    dv_crowd *c = dv_calloc(1, sizeof *c);
    if (!c)
        return dv_nomem(e);
    c->dim = dim;
    c->seed = seed;
    dmv_status s = v ? fit(c, v, n, e) : DMV_OK;
    if (s)
        dv_crowd_close(&c);
    *out = c;
    return s;
}

void dv_crowd_close(dv_crowd **cc)
{
    dv_crowd *c = *cc;
    if (!c)
        return;
    dv_free(c->mean);
    dv_free(c->factor);
    dv_free(c);
    *cc = NULL;
}
