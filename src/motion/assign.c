/* SPDX-License-Identifier: Apache-2.0
 *
 * assign.c - matching rows to columns so that the sum of gains is largest: the Hungarian method by
 * shortest augmenting paths (Kuhn 1955, Munkres 1957; the form with potentials of rows and
 * columns), rows^2 x columns steps. Rows and columns without any gain are left out first, which
 * leaves little of most matrices. */
#include <string.h>

#include "motion/track.h"

size_t dv_assign_work(size_t rows, size_t cols)
{
    const size_t n = rows + cols + 2;
    return 3 * n * sizeof(double) + 6 * n * sizeof(int32_t) + n;
}

typedef struct matrix {
    const float *gain;
    size_t stride;
    const int32_t *rows, *cols;
    bool turned; /* its rows are the columns of gain */
} matrix;

static double cost(const matrix *m, size_t i, size_t j)
{
    const size_t r = (size_t)m->rows[m->turned ? j : i], c = (size_t)m->cols[m->turned ? i : j];
    return -(double)m->gain[r * m->stride + c];
}

/* n <= k. p[j] = 1 + row of column j, both from 1 on; 0 = none. */
static void solve(const matrix *m, size_t n, size_t k, double *u, double *v, double *least,
                  int32_t *p, int32_t *way, char *used)
{
    memset(u, 0, (n + 1) * sizeof *u);
    memset(v, 0, (k + 1) * sizeof *v);
    memset(p, 0, (k + 1) * sizeof *p);
    for (size_t i = 1; i <= n; i++) {
        size_t at = 0;
        p[0] = (int32_t)i;
        memset(used, 0, k + 1);
        for (size_t j = 0; j <= k; j++)
            least[j] = 1e300;
        do {
            const size_t row = (size_t)p[at];
            double delta = 1e300;
            size_t next = 0;
            used[at] = 1;
            for (size_t j = 1; j <= k; j++) {
                if (used[j])
                    continue;
                const double c = cost(m, row - 1, j - 1) - u[row] - v[j];
                if (c < least[j]) {
                    least[j] = c;
                    way[j] = (int32_t)at;
                }
                if (least[j] < delta) {
                    delta = least[j];
                    next = j;
                }
            }
            for (size_t j = 0; j <= k; j++)
                if (used[j]) {
                    u[p[j]] += delta;
                    v[j] -= delta;
                } else {
                    least[j] -= delta;
                }
            at = next;
        } while (p[at]);
        while (at) {
            const size_t before = (size_t)way[at];
            p[at] = p[before];
            at = before;
        }
    }
}

void dv_assign(size_t rows, size_t cols, const float *gain, void *work, int32_t *pair)
{
    const size_t all = rows + cols + 2;
    double *u = work, *v = u + all, *least = v + all;
    int32_t *p = (int32_t *)(void *)(least + all), *way = p + all, *r = way + all, *c = r + all;
    char *used = (char *)(c + 3 * all);
    size_t n = 0, k = 0;
    for (size_t i = 0; i < rows; i++) {
        bool any = false;
        for (size_t j = 0; j < cols; j++)
            any |= gain[i * cols + j] > 0;
        pair[i] = -1;
        if (any)
            r[n++] = (int32_t)i;
    }
    for (size_t j = 0; j < cols; j++) {
        bool any = false;
        for (size_t i = 0; i < rows; i++)
            any |= gain[i * cols + j] > 0;
        if (any)
            c[k++] = (int32_t)j;
    }
    const matrix m = {gain, cols, r, c, n > k};
    if (n == 0 || k == 0)
        return;
    solve(&m, DV_MIN(n, k), DV_MAX(n, k), u, v, least, p, way, used);
    for (size_t j = 1; j <= DV_MAX(n, k); j++) {
        if (!p[j])
            continue;
        const size_t row = (size_t)r[m.turned ? j - 1 : (size_t)p[j] - 1],
                     col = (size_t)c[m.turned ? (size_t)p[j] - 1 : j - 1];
        if (gain[row * cols + col] > 0)
            pair[row] = (int32_t)col;
    }
}
