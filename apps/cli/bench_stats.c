/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_stats.c - figures of `domovoi bench`, and the crowd of vectors that it makes up.
 */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AUTO_SECONDS 2.0

bool bench_add(bench_times *t, double ms)
{
    if (!dv_grow(&t->v, &t->cap, t->n, sizeof *t->v)) {
        cli_error("out of memory");
        return false;
    }
    t->v[t->n++] = ms;
    return true;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_sort(double *v, size_t n)
{
    if (n)
        qsort(v, n, sizeof *v, by_value);
}

double bench_quantile(const double *v, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? v[i] + (at - (double)i) * (v[i + 1] - v[i]) : v[n - 1];
}

double bench_mean(const double *v, size_t n)
{
    double mean = 0;
    for (size_t i = 0; i < n; i++)
        mean += v[i] / (double)n;
    return mean;
}

void bench_js_times(cli_json *j, const double *v, size_t n)
{
    cli_js_real(j, "median_ms", bench_quantile(v, n, 0.5), 6);
    cli_js_real(j, "min_ms", v[0], 6);
    cli_js_real(j, "mean_ms", bench_mean(v, n), 6);
    cli_js_real(j, "p95_ms", bench_quantile(v, n, 0.95), 6);
}

int bench_auto_runs(double first_ms, int least, int most)
{
    double fit = AUTO_SECONDS * 1000 / (first_ms > 1e-3 ? first_ms : 1e-3);
    return (int)DV_MIN(DV_MAX(fit, least), most);
}

long long bench_peak_memory(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long long kib = -1;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib < 0 ? -1 : kib * 1024;
}

bool bench_fits(double bytes, const char *options)
{
    double have = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if (have <= 0 || bytes <= have)
        return true;
    cli_error("takes up to %.1f GB, and this machine has %.1f GB; give a smaller %s", bytes * 1e-9,
              have * 1e-9, options);
    return false;
}

/* Vigna's splitmix64, of which any number can be had without the ones before. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void bench_vector(uint64_t i, size_t dim, float *out)
{
    uint64_t state = mix(i * 0x9e3779b97f4a7c15u + 1);
    double sum = 0;
    for (size_t d = 0; d < dim; d++) {
        /* Four even numbers of 16 bits add up to one that is near enough to normal. */
        uint64_t r = mix(state += 0x9e3779b97f4a7c15u);
        int s = (int)(r & 0xffff) + (int)(r >> 16 & 0xffff) + (int)(r >> 32 & 0xffff) +
                (int)(r >> 48) - 2 * 0xffff;
        out[d] = (float)(s ? s : 1);
        sum += (double)out[d] * out[d];
    }
    double scale = 1 / sqrt(sum);
    for (size_t d = 0; d < dim; d++)
        out[d] = (float)(out[d] * scale);
}

bool bench_fill(dmv_context *ctx, dmv_index *x, size_t n, size_t dim, const cli_common *o)
{
    float *v = dv_calloc(dim, sizeof *v);
    bool ok = v != NULL;
    cli_progress bar;
    if (!ok)
        cli_error("out of memory");
    cli_progress_start(&bar, "making the gallery", n, o);
    for (size_t i = 0; ok && i < n; i++) {
        bench_vector(i, dim, v);
        if (dmv_index_add(x, i, v)) {
            cli_error("after %zu vectors of %zu: %s", i, n, dmv_error(ctx));
            ok = false;
        }
        if (i % 1024 == 1023)
            cli_progress_update(&bar, i + 1);
    }
    cli_progress_end(&bar);
    dv_free(v);
    return ok;
}
