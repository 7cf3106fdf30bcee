/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_search.c - `domovoi bench search`: exact search in a made-up gallery, with floats alone
 * and with each of the compressed copies, and whether the copies change an answer.
 *
 * Every second probe is a vector of the gallery seen again, with a similarity of about 0.7; the
 * others are strangers. That matters to the copies: the better the best matches, the fewer
 * vectors they must look up.
 */
#include "bench.h"

#include <math.h>
#include <string.h>

#define MAX_SIZE 100000000
#define MAX_DIM 65536
#define MAX_TOP 1000 /* the index sorts all scores for longer lists, and reads floats only */
#define MAX_PROBES 1024
#define MAX_RUNS 100000
#define AUTO_MIN 15
#define AUTO_MAX 500
#define CHECKED 64             /* probes whose answers are compared */
#define PASS 8                 /* probes that one reading of the gallery serves (face/index.c) */
#define STRANGERS (1ull << 40) /* where in the crowd they begin */

typedef struct form {
    const char *name;
    int copy; /* also the bytes of a number in it */
} form;

static const form forms[] = {
    {"float", DMV_INDEX_PLAIN}, {"int8", DMV_INDEX_INT8}, {"fp16", DMV_INDEX_F16}};

typedef struct answers {
    dmv_match *m; /* k a probe */
    size_t *n;
} answers;

typedef struct bench {
    cli_common o;
    dmv_context *ctx;
    size_t size, dim, k, batch;
    int runs;
    float *probes; /* a batch */
    answers out;   /* of a batch */
    answers want, got;
    bench_times times[DV_COUNT(forms)]; /* none = this form was not asked for */
    size_t same[DV_COUNT(forms)];       /* of CHECKED */
    bool compared, differ;              /* over all forms */
} bench;

static bool answers_open(answers *a, size_t probes, size_t k)
{
    a->m = dv_calloc(probes * k, sizeof *a->m);
    a->n = dv_calloc(probes, sizeof *a->n);
    return a->m && a->n;
}

static void answers_close(answers *a)
{
    dv_free(a->m);
    dv_free(a->n);
}

/* Probes first .. first + n - 1 into b->probes. */
static void make_probes(bench *b, uint64_t first, size_t n)
{
    float *again = b->probes + b->batch * b->dim; /* room for one more */
    for (size_t i = 0; i < n; i++) {
        uint64_t p = first + i;
        float *to = b->probes + i * b->dim;
        bench_vector(STRANGERS + p, b->dim, to);
        if (p % 2)
            continue;
        bench_vector(p * 2654435761u % b->size, b->dim, again);
        for (size_t d = 0; d < b->dim; d++)
            to[d] += again[d];
    }
}

/* Bytes of the gallery, and those of them that a search takes from memory each time it reads the
 * gallery, as long as it looks up few of the vectors that a copy stands for. */
static double bytes_held(const bench *b, const form *f, double *read)
{
    size_t row = dv_round_up(b->dim, f->copy ? DV_DOTS_STEP : DV_PANEL);
    size_t scale = f->copy == DMV_INDEX_INT8 ? sizeof(float) : 0;
    size_t vector = row * sizeof(float), copy = row * (size_t)f->copy + scale;
    *read = (double)b->size * (double)(f->copy ? copy : vector);
    return (double)b->size * (double)(vector + copy + sizeof(uint64_t)); /* and its id */
}

static bool one_search(bench *b, dmv_index *x, size_t n, answers *to, size_t at)
{
    if (!dmv_index_search_batch(x, b->probes, n, b->k, NULL, to->m + at * b->k, to->n + at))
        return true;
    cli_error("%s", dmv_error(b->ctx));
    return false;
}

/* The answers to the first CHECKED probes, asked for in batches as they are timed. */
static bool answer(bench *b, dmv_index *x, answers *to)
{
    for (size_t i = 0; i < CHECKED;) {
        size_t n = DV_MIN(b->batch, CHECKED - i);
        make_probes(b, i, n);
        if (!one_search(b, x, n, to, i))
            return false;
        i += n;
    }
    return true;
}

/* How many of the CHECKED probes have the same ids and the same scores, bit by bit. */
static size_t count_same(const bench *b)
{
    size_t same = 0;
    for (size_t p = 0; p < CHECKED; p++) {
        const dmv_match *x = b->want.m + p * b->k, *y = b->got.m + p * b->k;
        bool equal = b->want.n[p] == b->got.n[p];
        for (size_t i = 0; equal && i < b->want.n[p]; i++)
            equal = x[i].id == y[i].id && memcmp(&x[i].score, &y[i].score, sizeof x[i].score) == 0;
        same += equal;
    }
    return same;
}

static bool measure(bench *b, dmv_index *x, bench_times *t)
{
    uint64_t start = dv_now_ns(), now = start;
    double ms = 0;
    int warm = 0, runs = b->runs;
    cli_progress bar;
    bool ok = true;
    make_probes(b, 0, b->batch);
    for (; ok && (warm < 3 || (warm < 50 && now - start < 200000000u)); warm++) {
        uint64_t begin = dv_now_ns();
        ok = one_search(b, x, b->batch, &b->out, 0);
        now = dv_now_ns();
        ms = (double)(now - begin) * 1e-6;
    }
    if (!runs)
        runs = bench_auto_runs(ms, AUTO_MIN, AUTO_MAX);
    cli_progress_start(&bar, "search", (size_t)runs, &b->o);
    for (int i = 0; ok && i < runs; i++) {
        make_probes(b, (uint64_t)i * b->batch, b->batch);
        uint64_t begin = dv_now_ns();
        ok = one_search(b, x, b->batch, &b->out, 0);
        ok = ok && bench_add(t, (double)(dv_now_ns() - begin) * 1e-6);
        cli_progress_update(&bar, (size_t)i + 1);
    }
    cli_progress_end(&bar);
    bench_sort(t->v, t->n);
    return ok;
}

typedef struct figures {
    double median, probes_per_s, gb_per_s, held;
} figures;

static figures figures_of(const bench *b, size_t i)
{
    double ms = bench_quantile(b->times[i].v, b->times[i].n, 0.5), read;
    double passes = (double)((b->batch + PASS - 1) / PASS);
    figures f = {.median = ms, .held = bytes_held(b, &forms[i], &read)};
    f.probes_per_s = (double)b->batch / (ms * 1e-3);
    f.gb_per_s = read * passes / (ms * 1e6);
    return f;
}

static void print_row(const bench *b, size_t i)
{
    const bench_times *t = &b->times[i];
    figures f = figures_of(b, i);
    printf("%-6s %10.3f %10.3f %10.3f %11.1f %8.2f %10.1f  ", forms[i].name, f.median, t->v[0],
           bench_quantile(t->v, t->n, 0.95), f.probes_per_s, f.gb_per_s, f.held * 1e-6);
    if (!forms[i].copy)
        printf("-\n");
    else if (b->same[i] == CHECKED)
        printf("the same as float\n");
    else
        printf("OTHERS than float for %zu of %d probes\n", CHECKED - b->same[i], CHECKED);
    fflush(stdout);
}

static void print_head(const bench *b)
{
    int threads = dmv_context_threads(b->ctx);
    printf("%zu made-up vectors of %zu; %zu probe%s a search, the %zu best of each; %d thread%s, "
           "%s\n",
           b->size, b->dim, b->batch, b->batch == 1 ? "" : "s", b->k, threads,
           threads == 1 ? "" : "s", dmv_context_cpu(b->ctx));
    printf("%-6s %10s %10s %10s %11s %8s %10s  %s\n", "form", "median ms", "min ms", "p95 ms",
           "probes/s", "GB/s", "memory MB", "answers");
}

static void print_json(const bench *b)
{
    cli_json j = {.f = stdout};
    long long peak = bench_peak_memory();
    cli_js_open(&j, NULL, '{');
    cli_js_int(&j, "size", (long long)b->size);
    cli_js_int(&j, "dim", (long long)b->dim);
    cli_js_int(&j, "top", (long long)b->k);
    cli_js_int(&j, "probes", (long long)b->batch);
    cli_js_open(&j, "forms", '[');
    for (size_t i = 0; i < DV_COUNT(forms); i++) {
        const bench_times *t = &b->times[i];
        if (!t->n)
            continue;
        figures f = figures_of(b, i);
        cli_js_open(&j, NULL, '{');
        cli_js_text(&j, "form", forms[i].name);
        cli_js_int(&j, "runs", (long long)t->n);
        bench_js_times(&j, t->v, t->n);
        cli_js_real(&j, "probes_per_s", f.probes_per_s, 6);
        cli_js_real(&j, "gb_per_s", f.gb_per_s, 5);
        cli_js_int(&j, "memory_bytes", (long long)f.held);
        cli_js_real(&j, "agreement", forms[i].copy ? (double)b->same[i] / CHECKED : NAN, 6);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_int(&j, "checked_probes", CHECKED);
    if (b->compared)
        cli_js_bool(&j, "same_answers", !b->differ);
    else
        cli_js_text(&j, "same_answers", NULL);
    cli_js_real(&j, "peak_memory_bytes", peak < 0 ? NAN : (double)peak, 15);
    cli_js_int(&j, "threads", dmv_context_threads(b->ctx));
    cli_js_text(&j, "cpu", dmv_context_cpu(b->ctx));
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

/* Makes the gallery in form i, takes its answers, and times it if that is asked for. */
static bool run_form(bench *b, size_t i, bool timed)
{
    dmv_index_options io;
    dmv_index *x;
    dmv_index_options_init(&io);
    io.copy = forms[i].copy;
    if (dmv_index_open_options(b->ctx, b->dim, &io, &x)) {
        cli_error("%s", dmv_error(b->ctx));
        return false;
    }
    bool ok = bench_fill(b->ctx, x, b->size, b->dim, &b->o) &&
              answer(b, x, forms[i].copy ? &b->got : &b->want) &&
              (!timed || measure(b, x, &b->times[i]));
    dmv_index_close(&x);
    if (ok && timed) {
        b->same[i] = forms[i].copy ? count_same(b) : CHECKED;
        b->compared |= forms[i].copy != 0;
        b->differ |= b->same[i] != CHECKED;
        if (!b->o.json && !b->o.quiet)
            print_row(b, i);
    }
    return ok;
}

static int run(bench *b, const char *only)
{
    bool ok = false;
    b->probes = dv_calloc((b->batch + 1) * b->dim, sizeof *b->probes);
    if (!b->probes || !answers_open(&b->out, b->batch, b->k) ||
        !answers_open(&b->want, CHECKED, b->k) || !answers_open(&b->got, CHECKED, b->k)) {
        cli_error("out of memory");
    } else if (!cli_context_open(&b->o, &b->ctx)) {
        ok = true;
        if (!b->o.json && !b->o.quiet)
            print_head(b);
        for (size_t i = 0; ok && i < DV_COUNT(forms); i++) {
            bool timed = !only || strcmp(only, forms[i].name) == 0;
            bool needed = !forms[i].copy; /* what the copies are compared with */
            ok = (!timed && !needed) || run_form(b, i, timed);
        }
        if (ok)
            print_json(b);
    }
    dmv_context_close(&b->ctx);
    dv_free(b->probes);
    answers_close(&b->out);
    answers_close(&b->want);
    answers_close(&b->got);
    for (size_t i = 0; i < DV_COUNT(forms); i++)
        dv_free(b->times[i].v);
    return !ok ? CLI_ERROR : b->differ ? CLI_NO : CLI_YES;
}

static bool is_form(const char *word)
{
    bool is = false;
    for (size_t i = 0; i < DV_COUNT(forms); i++)
        is |= strcmp(word, forms[i].name) == 0;
    return is;
}

/* The most that is held at a time: an index takes twice its size while it grows. */
static double most_held(const bench *b, const char *only)
{
    double read, most = 0;
    for (size_t i = 0; i < DV_COUNT(forms); i++)
        if (!only || !forms[i].copy || strcmp(only, forms[i].name) == 0)
            most = fmax(most, 2 * bytes_held(b, &forms[i], &read));
    return most;
}

int bench_search(int argc, char **argv)
{
    bench b = {.o.use = CLI_USE_OUT | CLI_USE_CPU};
    int size = 100000, dim = 128, top = 5, probes = 1, done;
    const char *only = NULL;
    size_t n;
    cli_option own[] = {
        {"size", "N", "vectors in the gallery (100000)", CLI_INT, &size},
        {"dim", "D", "numbers a vector (128)", CLI_INT, &dim},
        {"top", "K", "how many matches a probe gets (5)", CLI_INT, &top},
        {"probes", "B", "probes a search, which share the reading of the gallery (1)", CLI_INT,
         &probes},
        {"form", "FORM", "float, int8 or fp16; default: one after the other", CLI_TEXT, &only},
        {"runs", "R", "how many searches are timed; default: about two seconds", CLI_INT, &b.runs},
    };
    if (!cli_parse(
            argc, argv,
            "domovoi bench search [options]\n\n"
            "Times exact search in a made-up gallery, by default with one thread: with "
            "floats alone\n(float), and with a compressed copy that is compared first (int8, "
            "fp16). Half of the\nprobes are in the gallery, half are strangers. Answers of "
            "the copies are compared\nwith those of the floats. Exit status: 0 all are the "
            "same, 1 some differ, 2 error.\nThe last line is JSON.",
            "  domovoi bench search\n"
            "  domovoi bench search --size 1000000 --dim 512 --form int8\n"
            "  domovoi bench search --probes 8 --threads 2 --json\n",
            &b.o, own, DV_COUNT(own), NULL, 0, &n, &done))
        return done;
    if (size < 1 || size > MAX_SIZE)
        return cli_error("--size %d: 1 to %d", size, MAX_SIZE);
    if (dim < 2 || dim > MAX_DIM)
        return cli_error("--dim %d: 2 to %d", dim, MAX_DIM);
    if (top < 1 || top > MAX_TOP)
        return cli_error("--top %d: 1 to %d", top, MAX_TOP);
    if (probes < 1 || probes > MAX_PROBES)
        return cli_error("--probes %d: 1 to %d", probes, MAX_PROBES);
    if (only && !is_form(only))
        return cli_error("--form %s: float, int8 or fp16", only);
    if (b.runs > MAX_RUNS)
        return cli_error("--runs %d: at most %d", b.runs, MAX_RUNS);
    b.size = (size_t)size;
    b.dim = (size_t)dim;
    b.k = (size_t)top;
    b.batch = (size_t)probes;
    if (b.o.threads == 0)
        b.o.threads = 1;
    return bench_fits(most_held(&b, only), "--size or --dim") ? run(&b, only) : CLI_ERROR;
}
