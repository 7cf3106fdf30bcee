/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.h - what the forms of `domovoi bench` share.
 *
 * verb_bench.c      the words            bench_search.c    a made-up gallery
 * bench_model.c     one net              bench_pipeline.c  from picture file to name,
 * bench_stats.c     figures              bench_stages.c    its stages, bench_people.c its gallery
 */
#ifndef DV_CLI_BENCH_H
#define DV_CLI_BENCH_H

#include "cli.h"
#include "face/face.h"

/* Forms; argv[0] is the word. */
int bench_model(int argc, char **argv);
int bench_search(int argc, char **argv);
int bench_pipeline(int argc, char **argv);
/* `domovoi bench` without a word: bench_model, whose help then tells of all forms. */
int bench_plain(int argc, char **argv);
/* Whether a word means a net: it is a file, or looks like the name of one. */
bool bench_is_net(const char *word);

/* ---- figures ---- */

typedef struct bench_times { /* milliseconds */
    double *v;
    size_t n, cap;
} bench_times;
/* false = no memory (printed). */
bool bench_add(bench_times *t, double ms);
void bench_sort(double *v, size_t n);
/* v sorted, n > 0; q 0..1, between neighbours linearly. */
double bench_quantile(const double *v, size_t n, double q);
double bench_mean(const double *v, size_t n);
/* "median_ms" "min_ms" "mean_ms" "p95_ms" inside an open object; v sorted, n > 0. */
void bench_js_times(cli_json *j, const double *v, size_t n);
/* How many runs of `first_ms` take about two seconds, within limits. */
int bench_auto_runs(double first_ms, int least, int most);
/* The most memory that the process has held, in bytes; -1 where the system does not tell. */
long long bench_peak_memory(void);
/* Whether so many bytes fit in this machine's memory; else an error that asks for less of
 * `options`. A machine that swaps measures its disk. */
bool bench_fits(double bytes, const char *options);
/* Vector i of a made-up crowd: unit length, any direction, the same on every machine of IEEE
 * floats. */
void bench_vector(uint64_t i, size_t dim, float *out);
/* Adds vectors 0 .. n-1 of the crowd, with their numbers as ids; prints errors. */
bool bench_fill(dmv_context *ctx, dmv_index *x, size_t n, size_t dim, const cli_common *o);

/* ---- from picture file to name ---- */

/* Who is looked for: a gallery, or made-up vectors (path NULL). */
typedef struct bench_people {
    const char *path;
    dmv_index *index;
    struct dv_subject *subjects;
    size_t n_subjects;
} bench_people;
/* Prints errors. */
bool bench_people_open(bench_people *p, const char *path, size_t made_up, const cli_faces *f,
                       size_t dim, const cli_common *o);
void bench_people_close(bench_people *p);
/* NULL = nobody of a gallery. */
const char *bench_people_name(const bench_people *p, uint64_t id);

enum {
    BENCH_DECODE, /* once a picture */
    BENCH_DETECT,
    BENCH_LANDMARKS, /* once a face */
    BENCH_QUALITY,
    BENCH_ALIGN,
    BENCH_EMBED,
    BENCH_SEARCH,
    BENCH_TOTAL, /* once a picture */
    BENCH_STAGES
};
typedef struct bench_stages {
    cli_faces f;         /* f.pipe only detects */
    dmv_pipeline *embed; /* takes aligned faces */
    dv_net lmk;          /* x NULL = the detector gives the points */
    int points;
    float crop;
    uint8_t *rgb; /* the landmark net's input */
    uint8_t *aligned;
    size_t dim;
    bench_people people;
    dmv_match *best; /* one a face of the last picture; score NAN = none */
    int width, height;
    bool timed; /* whether times are kept */
    bench_times times[BENCH_STAGES];
} bench_stages;
/* Prints errors. */
bool bench_stages_open(bench_stages *s, const cli_common *o, const char *gallery, size_t made_up);
void bench_stages_close(bench_stages *s);
/* A picture file from disk to names; the faces are in s->f. Prints errors. */
bool bench_stages_run(bench_stages *s, const char *path, double *total_ms);

#endif
