/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_model.c - `domovoi bench model`: how long a net takes, and what share of the processor's
 * peak it reaches. Runs of the net, of the net with a clock round each step, and of the peak
 * probe take turns, so that a change of clock rate meets all of them.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define MAX_RUNS 100000
#define AUTO_MIN 15
#define AUTO_MAX 500
#define PEAK_ROUNDS 200000 /* about 1 ms */

typedef struct bench {
    cli_net net;
    int runs, layers;
    double *ms;             /* one a run */
    uint64_t *sums, *times; /* per step: this run's, and all runs' (runs x steps) */
    size_t steps, layer_runs;
    double *peaks;
    size_t n_peaks;
    int64_t macs;
} bench;

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void fill_inputs(cli_net *n)
{
    uint32_t s = 2463534242u;
    for (size_t i = 0; i < n->x->g->n_inputs; i++) {
        float *p = dv_exec_input(n->x, i);
        size_t count = n->x->v[n->x->g->inputs[i]].count;
        for (size_t k = 0; p && k < count; k++) {
            s ^= s << 13;
            s ^= s >> 17;
            s ^= s << 5;
            p[k] = (float)(s >> 8) * (2.0f / 16777216.0f) - 1.0f;
        }
    }
}

typedef struct peak_task {
    unsigned cpu;
    double macs[64];
} peak_task;

static void peak_worker(void *arg, size_t task, int worker)
{
    peak_task *p = arg;
    (void)worker;
    p->macs[task] = cli_peak_run(p->cpu, PEAK_ROUNDS);
}

/* All threads at once, as the net uses them. GMAC/s. */
static double measure_peak(const bench *b)
{
    peak_task p = {.cpu = b->net.ctx->cpu};
    size_t threads = (size_t)b->net.ctx->threads;
    double sum = 0;
    uint64_t t = dv_now_ns();
    dv_pool_run(b->net.ctx->pool, threads, peak_worker, &p);
    t = dv_now_ns() - t;
    for (size_t i = 0; i < threads; i++)
        sum += p.macs[i];
    return sum / (double)t;
}

static double one_run(bench *b)
{
    fill_inputs(&b->net); /* the arena may have reused their place */
    uint64_t t = dv_now_ns();
    dv_exec_run(b->net.x);
    return (double)(dv_now_ns() - t) * 1e-6;
}

static void layer_run(bench *b)
{
    memset(b->sums, 0, b->steps * sizeof *b->sums);
    b->net.x->step_ns = b->sums;
    one_run(b);
    b->net.x->step_ns = NULL;
    for (size_t i = 0; i < b->steps; i++)
        b->times[i * (size_t)b->runs + b->layer_runs] = b->sums[i];
    b->layer_runs++;
}

static bool prepare(bench *b)
{
    double first;
    uint64_t start = dv_now_ns();
    size_t warm = 0;
    do
        first = one_run(b);
    while (++warm < 3 || (warm < 50 && dv_now_ns() - start < 200000000u));
    if (b->runs == 0)
        b->runs = bench_auto_runs(first, AUTO_MIN, AUTO_MAX);
    size_t cells;
    b->steps = b->net.x->g->n_nodes;
    b->ms = dv_calloc((size_t)b->runs, sizeof *b->ms);
    b->peaks = dv_calloc((size_t)b->runs + 1, sizeof *b->peaks);
    if (b->layers && dv_mul(b->steps, (size_t)b->runs, &cells)) {
        b->sums = dv_calloc(b->steps + 1, sizeof *b->sums);
        b->times = dv_calloc(cells + 1, sizeof *b->times);
    }
    if (!b->ms || !b->peaks || (b->layers && (!b->sums || !b->times))) {
        cli_error("out of memory");
        return false;
    }
    for (size_t i = 0; i < b->steps; i++)
        b->macs += b->net.x->steps[i].macs;
    return true;
}

static void measure(bench *b, const cli_common *o)
{
    cli_progress bar;
    int every = DV_MAX(b->runs / 20, 1);
    cli_progress_start(&bar, "bench", (size_t)b->runs, o);
    for (int i = 0; i < b->runs; i++) {
        if (i % every == 0)
            b->peaks[b->n_peaks++] = measure_peak(b);
        b->ms[i] = one_run(b);
        if (b->layers)
            layer_run(b);
        cli_progress_update(&bar, (size_t)i + 1);
    }
    cli_progress_end(&bar);
    bench_sort(b->ms, (size_t)b->runs);
    bench_sort(b->peaks, b->n_peaks);
}

static void print_layers(bench *b)
{
    const dv_exec *x = b->net.x;
    double total = 0;
    for (size_t i = 0; i < b->steps; i++) {
        uint64_t *t = b->times + i * (size_t)b->runs;
        qsort(t, b->layer_runs, sizeof *t, by_time);
        b->sums[i] = t[b->layer_runs / 2];
        total += (double)b->sums[i];
    }
    printf("step %-16s %-18s %9s %9s %7s  %s\n", "op", "output", "us", "GMAC/s", "share", "name");
    for (size_t i = 0; i < b->steps; i++) {
        const dv_step *s = &x->steps[i];
        if (s->skip)
            continue;
        const dv_value *v = &x->v[s->node->out[0]];
        char dims[64];
        int at = 0;
        dims[0] = 0;
        for (int d = 0; d < v->rank && at < (int)sizeof dims - 24; d++)
            at += snprintf(dims + at, sizeof dims - (size_t)at, "%s%lld", d ? "x" : "",
                           (long long)v->dims[d]);
        double ns = (double)b->sums[i];
        printf("%4zu %-16s %-18s %9.1f ", i, dv_op_name(s->node->op), dims, ns * 1e-3);
        if (s->macs && ns > 0)
            printf("%9.2f ", (double)s->macs / ns);
        else
            printf("%9s ", "-");
        printf("%6.1f%%  ", total > 0 ? 100 * ns / total : 0);
        cli_put_text(s->node->name ? s->node->name : "");
        printf("\n");
    }
}

static void print_result(const bench *b, const cli_common *o, const char *path)
{
    size_t n = (size_t)b->runs;
    double median = bench_quantile(b->ms, n, 0.5);
    double rate = (double)b->macs / (median * 1e6);
    double peak = bench_quantile(b->peaks, b->n_peaks, 0.5);
    if (!o->json && !o->quiet) {
        cli_put_text(path);
        printf(": median %.3f ms (min %.3f, mean %.3f, p95 %.3f) of %zu runs, %d thread%s, %s\n",
               median, b->ms[0], bench_mean(b->ms, n), bench_quantile(b->ms, n, 0.95), n,
               b->net.ctx->threads, b->net.ctx->threads == 1 ? "" : "s", b->net.ctx->cpu_names);
        printf("%.1f MMAC a run, %.2f GMAC/s: %.0f%% of the %.1f GMAC/s that the processor "
               "reaches on bare multiply-adds\n",
               (double)b->macs * 1e-6, rate, 100 * rate / peak, peak);
    }
    cli_json j = {.f = stdout};
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "model", path);
    cli_js_text(&j, "id", dmv_model_id(b->net.model));
    cli_js_open(&j, "input", '[');
    const dv_value *v = &b->net.x->v[b->net.x->g->inputs[0]];
    for (int d = 0; d < v->rank; d++)
        cli_js_int(&j, NULL, v->dims[d]);
    cli_js_close(&j, ']');
    cli_js_int(&j, "runs", b->runs);
    bench_js_times(&j, b->ms, n);
    cli_js_real(&j, "mmac", (double)b->macs * 1e-6, 8);
    cli_js_real(&j, "gmac_per_s", rate, 5);
    cli_js_real(&j, "peak_gmac_per_s", peak, 5);
    cli_js_real(&j, "peak_share", rate / peak, 4);
    cli_js_int(&j, "arena_bytes", (long long)b->net.x->arena_size);
    cli_js_int(&j, "threads", b->net.ctx->threads);
    cli_js_text(&j, "cpu", b->net.ctx->cpu_names);
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

static int run(int argc, char **argv, const char *usage, const char *examples)
{
    cli_common o = {.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_MODEL};
    bench b = {.runs = 0};
    const char *size = NULL, *pos[1];
    size_t n;
    int done, w = 0, h = 0;
    cli_option own[] = {
        {"size", "WxH", "input size, if the net leaves it free (640x640)", CLI_TEXT, &size},
        {"runs", "N", "how many runs are timed; default: about two seconds", CLI_INT, &b.runs},
        {"layers", NULL, "a table with the time of each step", CLI_FLAG, &b.layers},
    };
    if (!cli_parse(argc, argv, usage, examples, &o, own, DV_COUNT(own), pos, 1, &n, &done))
        return done;
    if (n == 1 && !o.model && !bench_is_net(pos[0]))
        return cli_error("%s: no such net; `domovoi bench --help` lists the words, which stand "
                         "before the options",
                         pos[0]);
    if (n == 1 && !o.model)
        o.model = pos[0];
    else if (n == 1)
        return cli_error("%s: one argument too many; --model names the net", pos[0]);
    if (size && !cli_parse_size(size, &w, &h))
        return cli_error("--size %s: WIDTHxHEIGHT", size);
    if (b.runs > MAX_RUNS)
        return cli_error("--runs %d: at most %d", b.runs, MAX_RUNS);
    if (o.threads == 0)
        o.threads = 1;
    const char *path = cli_need_model(o.model, "embed", "--model");
    if (!path || !cli_net_open(&b.net, &o, path, w, h))
        return CLI_ERROR;
    bool ok = prepare(&b);
    if (ok) {
        measure(&b, &o);
        if (b.layers && !o.json)
            print_layers(&b);
        print_result(&b, &o, path);
    }
    dv_free(b.ms);
    dv_free(b.peaks);
    dv_free(b.sums);
    dv_free(b.times);
    cli_net_close(&b.net);
    return ok ? CLI_YES : CLI_ERROR;
}

#define EXAMPLES                                                          \
    "  domovoi bench --model models/embed.dmv\n"                          \
    "  domovoi bench --model models/detect.dmv --size 320x256 --layers\n" \
    "  domovoi bench --model models/embed.dmv --cpu c --threads 2 --json\n"

int bench_plain(int argc, char **argv)
{
    return run(argc, argv,
               "domovoi bench [model] [options] --model NET.dmv\n"
               "       domovoi bench search [options]\n"
               "       domovoi bench pipeline [options] [PICTURE|FOLDER...]\n\n"
               "Measures how long things take on this machine, by default with one thread. The "
               "last line\nis JSON.\n\n"
               "  model      one net, on made-up input\n"
               "  search     exact search in a made-up gallery: floats and compressed copies\n"
               "  pipeline   from picture file to name, stage by stage\n\n"
               "The options below are those of model; `domovoi bench search --help` and "
               "`domovoi bench\npipeline --help` list the others.",
               EXAMPLES "  domovoi bench search --size 1000000 --dim 512 --form int8\n"
                        "  domovoi bench search --probes 8 --threads 2\n"
                        "  domovoi bench pipeline door.jpg --runs 50\n"
                        "  domovoi bench pipeline snapshots/ --gallery home.db --json\n");
}

int bench_model(int argc, char **argv)
{
    return run(argc, argv,
               "domovoi bench model [options] --model NET.dmv\n\n"
               "Times a net on made-up input, by default with one thread. The last line is JSON.",
               EXAMPLES);
}
