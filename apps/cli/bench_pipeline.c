/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_pipeline.c - `domovoi bench pipeline`: how long a picture takes from file to names, and
 * where the time goes. Rounds over all pictures; the first is not timed: it shapes the nets
 * and finds the pictures that cannot be read.
 */
#include "bench.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define MADE_UP 10000
#define MAX_RUNS 100000
#define AUTO_MIN 5
#define AUTO_MAX 200
#define FIRST_ENOUGH 2000 /* ms */

static const char *const stage_names[BENCH_STAGES] = {"decode", "detect", "landmarks", "quality",
                                                      "align",  "embed",  "search",    "total"};

typedef struct picture {
    const char *path;
    int width, height;
    size_t faces;
    dmv_match *best; /* one a face */
    bench_times total;
} picture;

typedef struct bench {
    cli_common o;
    bench_stages s;
    picture *pictures; /* those that can be read */
    size_t n, faces;
    int runs;
    bool failed; /* a picture was left out */
} bench;

static bool per_picture(int stage)
{
    return stage == BENCH_DECODE || stage == BENCH_DETECT || stage == BENCH_TOTAL;
}

/* The sample photo that `./run build` puts beside the program. Static buffer. */
static const char *sample(void)
{
    static char path[PATH_MAX];
    static const char name[] = "/fetch/photos/sample1.jpg";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof name);
    if (n <= 0)
        return NULL;
    path[n] = 0;
    char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    memcpy(slash, name, sizeof name);
    return access(path, R_OK) == 0 ? path : NULL;
}

/* The round that finds out what there is. *ms: what it took. */
static bool first_round(bench *b, const cli_inputs *in, double *ms)
{
    cli_progress bar;
    bool ok = true;
    *ms = 0;
    b->pictures = dv_calloc(in->n, sizeof *b->pictures);
    if (!b->pictures) {
        cli_error("out of memory");
        return false;
    }
    cli_progress_start(&bar, "first look", in->n, &b->o);
    for (size_t i = 0; ok && i < in->n; i++) {
        double one;
        if (!bench_stages_run(&b->s, in->v[i].path, &one)) {
            b->failed = true;
            continue;
        }
        picture *p = &b->pictures[b->n++];
        *p = (picture){.path = in->v[i].path,
                       .width = b->s.width,
                       .height = b->s.height,
                       .faces = b->s.f.n_faces,
                       .best = dv_calloc(b->s.f.n_faces, sizeof *p->best)};
        b->faces += p->faces;
        *ms += one;
        if (p->best)
            memcpy(p->best, b->s.best, p->faces * sizeof *p->best);
        else
            ok = (cli_error("out of memory"), false);
        cli_progress_update(&bar, i + 1);
    }
    cli_progress_end(&bar);
    return ok && b->n > 0;
}

static bool round_of_all(bench *b, cli_progress *bar, size_t done, double *ms)
{
    *ms = 0;
    for (size_t i = 0; i < b->n; i++) {
        double one;
        if (!bench_stages_run(&b->s, b->pictures[i].path, &one) ||
            (b->s.timed && !bench_add(&b->pictures[i].total, one)))
            return false;
        *ms += one;
        cli_progress_update(bar, done + i + 1);
    }
    return true;
}

static bool measure(bench *b, const cli_inputs *in)
{
    double ms;
    cli_progress bar;
    bool ok = true;
    if (!first_round(b, in, &ms))
        return false;
    if (b->faces == 0)
        cli_warn("no face in %s: only decode and detect can be timed; name a picture with a face",
                 b->n == 1 ? b->pictures[0].path : "any of the pictures");
    cli_progress_start(&bar, "bench", b->n, &b->o);
    if (!b->runs && ms < FIRST_ENOUGH) /* the first look is the slowest: look again */
        ok = round_of_all(b, &bar, 0, &ms);
    cli_progress_end(&bar);
    if (!b->runs)
        b->runs = bench_auto_runs(ms, AUTO_MIN, AUTO_MAX);
    b->s.timed = true;
    cli_progress_start(&bar, "bench", b->n * (size_t)b->runs, &b->o);
    for (int r = 0; ok && r < b->runs; r++)
        ok = round_of_all(b, &bar, (size_t)r * b->n, &ms);
    cli_progress_end(&bar);
    for (int i = 0; i < BENCH_STAGES; i++)
        bench_sort(b->s.times[i].v, b->s.times[i].n);
    for (size_t i = 0; i < b->n; i++)
        bench_sort(b->pictures[i].total.v, b->pictures[i].total.n);
    return ok;
}

static double median(const bench_times *t)
{
    return t->n ? bench_quantile(t->v, t->n, 0.5) : NAN;
}

static void print_text(const bench *b)
{
    int threads = dmv_context_threads(b->s.f.ctx);
    long long peak = bench_peak_memory();
    printf(
        "%zu picture%s, %zu face%s, %d run%s, %d thread%s, %s; looked up in %zu vectors of %zu, ",
        b->n, b->n == 1 ? "" : "s", b->faces, b->faces == 1 ? "" : "s", b->runs,
        b->runs == 1 ? "" : "s", threads, threads == 1 ? "" : "s", dmv_context_cpu(b->s.f.ctx),
        dmv_index_size(b->s.people.index), b->s.dim);
    cli_put_text(b->s.people.path ? b->s.people.path : "made up");
    printf("\n%-10s %-8s %10s %10s %10s\n", "stage", "each", "median ms", "min ms", "p95 ms");
    for (int i = 0; i < BENCH_STAGES; i++) {
        const bench_times *t = &b->s.times[i];
        printf("%-10s %-8s ", stage_names[i], per_picture(i) ? "picture" : "face");
        if (t->n)
            printf("%10.3f %10.3f %10.3f\n", median(t), t->v[0], bench_quantile(t->v, t->n, 0.95));
        else if (i == BENCH_LANDMARKS && !b->s.lmk.x)
            printf("         -  the detector gives the points\n");
        else
            printf("         -\n");
    }
    for (size_t i = 0; i < b->n; i++) {
        const picture *p = &b->pictures[i];
        cli_put_text(p->path);
        printf(": %zu face%s, %d x %d, median %.3f ms\n", p->faces, p->faces == 1 ? "" : "s",
               p->width, p->height, median(&p->total));
    }
    if (peak >= 0)
        printf("peak memory %.1f MB\n", (double)peak * 1e-6);
}

static void json_picture(cli_json *j, const bench *b, const picture *p)
{
    cli_js_open(j, NULL, '{');
    cli_js_text(j, "image", p->path);
    cli_js_int(j, "width", p->width);
    cli_js_int(j, "height", p->height);
    cli_js_int(j, "faces", (long long)p->faces);
    cli_js_real(j, "median_ms", median(&p->total), 6);
    if (b->s.people.path) {
        cli_js_open(j, "nearest", '[');
        for (size_t k = 0; k < p->faces; k++) {
            cli_js_open(j, NULL, '{');
            cli_js_text(j, "name", bench_people_name(&b->s.people, p->best[k].id));
            cli_js_real(j, "score", p->best[k].score, 6);
            cli_js_close(j, '}');
        }
        cli_js_close(j, ']');
    }
    cli_js_close(j, '}');
}

static void print_json(const bench *b)
{
    cli_json j = {.f = stdout};
    long long peak = bench_peak_memory();
    cli_js_open(&j, NULL, '{');
    cli_js_open(&j, "stages", '{');
    for (int i = 0; i < BENCH_TOTAL; i++) {
        const bench_times *t = &b->s.times[i];
        if (!t->n) {
            cli_js_text(&j, stage_names[i], NULL);
            continue;
        }
        cli_js_open(&j, stage_names[i], '{');
        cli_js_text(&j, "per", per_picture(i) ? "picture" : "face");
        bench_js_times(&j, t->v, t->n);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, '}');
    cli_js_open(&j, "total", '{');
    bench_js_times(&j, b->s.times[BENCH_TOTAL].v, b->s.times[BENCH_TOTAL].n);
    cli_js_close(&j, '}');
    cli_js_open(&j, "pictures", '[');
    for (size_t i = 0; i < b->n; i++)
        json_picture(&j, b, &b->pictures[i]);
    cli_js_close(&j, ']');
    cli_js_int(&j, "runs", b->runs);
    cli_js_text(&j, "gallery", b->s.people.path);
    cli_js_int(&j, "vectors", (long long)dmv_index_size(b->s.people.index));
    cli_js_int(&j, "dim", (long long)b->s.dim);
    cli_js_real(&j, "peak_memory_bytes", peak < 0 ? NAN : (double)peak, 15);
    cli_js_int(&j, "threads", dmv_context_threads(b->s.f.ctx));
    cli_js_text(&j, "cpu", dmv_context_cpu(b->s.f.ctx));
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

static int run(bench *b, const cli_inputs *in, const char *gallery)
{
    if (!bench_stages_open(&b->s, &b->o, gallery, MADE_UP))
        return CLI_ERROR;
    bool ok = measure(b, in);
    if (ok) {
        if (!b->o.json && !b->o.quiet)
            print_text(b);
        print_json(b);
    }
    for (size_t i = 0; i < b->n; i++) {
        dv_free(b->pictures[i].best);
        dv_free(b->pictures[i].total.v);
    }
    dv_free(b->pictures);
    bench_stages_close(&b->s);
    return ok && !b->failed ? CLI_YES : CLI_ERROR;
}

int bench_pipeline(int argc, char **argv)
{
    bench b = {.o.use =
                   CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MODEL | CLI_USE_MIRROR};
    const char **pos = (const char **)argv, *gallery = NULL, *one = NULL;
    size_t n;
    int done;
    cli_option own[] = {
        {"gallery", "FILE", "whom to look for; default: 10000 made-up vectors", CLI_TEXT, &gallery},
        {"runs", "R", "how often each picture is timed; default: about two seconds", CLI_INT,
         &b.runs},
    };
    if (!cli_parse(argc, argv,
                   "domovoi bench pipeline [options] [PICTURE|FOLDER...]\n\n"
                   "Times each stage from picture file to name, by default with one thread: decode "
                   "and\ndetect for a picture; landmarks, quality, align, embed and search for a "
                   "face; and the\ntotal of a picture. Without a picture, the first sample photo "
                   "of `./run build`.\nThe last line is JSON.",
                   "  domovoi bench pipeline\n"
                   "  domovoi bench pipeline door.jpg --runs 50 --threads 2\n"
                   "  domovoi bench pipeline snapshots/ --gallery home.db --json\n",
                   &b.o, own, DV_COUNT(own), pos, (size_t)argc, &n, &done))
        return done;
    if (b.runs > MAX_RUNS)
        return cli_error("--runs %d: at most %d", b.runs, MAX_RUNS);
    if (n == 0 && !(one = sample()))
        return cli_error("no picture given, and there is no sample photo beside the program "
                         "(`./run build` fetches some); name a picture with a face: `domovoi bench "
                         "pipeline PICTURE`");
    if (b.o.threads == 0)
        b.o.threads = 1;
    cli_inputs in;
    if (!cli_inputs_expand(&in, n ? pos : &one, n ? n : 1))
        return CLI_ERROR;
    b.failed = in.failed;
    int code = in.n ? run(&b, &in, gallery) : CLI_ERROR;
    cli_inputs_free(&in);
    return code;
}
