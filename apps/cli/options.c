/* SPDX-License-Identifier: Apache-2.0
 *
 * options.c - the command line: one table for the options that verbs share, one of the
 * verb's own, help made from both, and messages. An unknown word is answered with the
 * nearest known one, since most are typing errors.
 */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *cli_verb_name = "";
static int quiet;

#define MAX_OPTIONS 64
#define HELP_COLUMN 26

static void put_clean(const char *s)
{
    for (; *s; s++)
        fputc((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s, stderr);
}

static void message(const char *kind, const char *fmt, va_list ap)
{
    char buf[4096];
    vsnprintf(buf, sizeof buf, fmt, ap);
    cli_progress_hide();
    fflush(stdout);
    fputs("domovoi", stderr);
    if (*cli_verb_name)
        fprintf(stderr, " %s", cli_verb_name);
    fprintf(stderr, ": %s", kind);
    put_clean(buf);
    fputc('\n', stderr);
}

int cli_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    message("", fmt, ap);
    va_end(ap);
    return CLI_ERROR;
}

void cli_warn(const char *fmt, ...)
{
    va_list ap;
    if (quiet)
        return;
    va_start(ap, fmt);
    message("warning: ", fmt, ap);
    va_end(ap);
}

int cli_put_text(const char *s)
{
    int columns = 0;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c == 0x7f) {
            columns += printf("\\x%02x", c);
        } else {
            putchar(c);
            columns += (c & 0xC0) != 0x80;
        }
    }
    return columns;
}

/* Edit distance with swaps of neighbours (Damerau-Levenshtein, restricted). */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 32 };
    size_t d[3][MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX || m > MAX)
        return MAX;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = d[i % 3], *before = d[(i + 2) % 3], *two = d[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t v = before[j - 1] + (a[i - 1] != b[j - 1]);
            v = DV_MIN(v, before[j] + 1);
            v = DV_MIN(v, now[j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                v = DV_MIN(v, two[j - 2] + 1);
            now[j] = v;
        }
    }
    return d[n % 3][m];
}

const char *cli_nearest(const char *word, const void *first, size_t n, size_t stride)
{
    const char *best = NULL;
    size_t best_d = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        const char *known;
        memcpy(&known, (const char *)first + i * stride, sizeof known);
        size_t d = distance(word, known), len = strlen(known);
        /* A word begun and not ended counts as near. */
        if (strlen(word) >= 3 && strncmp(word, known, strlen(word)) == 0)
            d = 1;
        if (d < best_d && d <= DV_MAX(len / 3, 1)) {
            best = known;
            best_d = d;
        }
    }
    return best;
}

bool cli_parse_size(const char *s, int *w, int *h)
{
    char *end;
    errno = 0;
    long a = strtol(s, &end, 10), b = a;
    if (end == s || errno)
        return false;
    if (*end == 'x' || *end == 'X') {
        const char *p = end + 1;
        b = strtol(p, &end, 10);
        if (end == p || errno)
            return false;
    }
    if (*end || a < 1 || b < 1 || a > DV_IMAGE_MAX_SIDE || b > DV_IMAGE_MAX_SIDE)
        return false;
    *w = (int)a;
    *h = (int)b;
    return true;
}

bool cli_parse_floats(const char *s, float *out, size_t cap, size_t *n)
{
    *n = 0;
    for (;;) {
        char *end;
        float v = strtof(s, &end);
        if (end == s || !isfinite(v) || *n == cap)
            return false;
        out[(*n)++] = v;
        if (*end == 0)
            return true;
        if (*end != ',')
            return false;
        s = end + 1;
    }
}

typedef struct table {
    cli_option v[MAX_OPTIONS];
    size_t n, own;
} table;

/* Values of the common options that are kept as double while parsing. */
typedef struct reals {
    double threshold, min_score;
} reals;

static void add(table *t, cli_option o)
{
    if (t->n < MAX_OPTIONS)
        t->v[t->n++] = o;
}

static void add_common(table *t, cli_common *c, reals *r)
{
    if (c->use & CLI_USE_MODEL)
        add(t, (cli_option){"model", "NET.dmv", "net to use; default: embed.dmv", CLI_TEXT,
                            &c->model});
    if (c->use & CLI_USE_DETECT) {
        add(t, (cli_option){"detector", "NET.dmv", "face detector; default: detect.dmv", CLI_TEXT,
                            &c->detector});
        add(t,
            (cli_option){"landmarks", "NET.dmv", "finds five points for detectors that give none",
                         CLI_TEXT, &c->landmarks});
        add(t, (cli_option){"min-score", "S", "drop faces below this score, 0..1 (0.6)", CLI_REAL,
                            &r->min_score});
        add(t, (cli_option){"max-side", "N", "detect at this longest side in pixels (640)", CLI_INT,
                            &c->max_side});
        add(t, (cli_option){"scales", "N", "N - 1 more passes over tiles, for small faces (1)",
                            CLI_INT, &c->scales});
    }
    if (c->use & CLI_USE_MIRROR)
        add(t, (cli_option){"mirror", NULL, "add the mirrored face: twice the time, a bit better",
                            CLI_FLAG, &c->mirror});
    if (c->use & CLI_USE_GALLERY)
        add(t, (cli_option){"gallery", "FILE",
                            "default: $DOMOVOI_GALLERY, else "
                            "~/.local/share/domovoi/gallery.db",
                            CLI_TEXT, &c->gallery});
    if (c->use & CLI_USE_THRESHOLD) {
        add(t, (cli_option){"threshold", "T", "lowest similarity that counts as the same person",
                            CLI_REAL, &r->threshold});
        add(t,
            (cli_option){"fmr", "RATE", "or the model's threshold at this false-match rate (1e-4)",
                         CLI_REAL, &c->fmr});
    }
    if (c->use & CLI_USE_DRAW)
        add(t, (cli_option){"draw", "OUT", "picture with the faces drawn in; a folder for several",
                            CLI_TEXT, &c->draw});
    if (c->use & CLI_USE_CPU) {
        add(t, (cli_option){"threads", "N", "threads, 1..64; default: all cores; also -t", CLI_INT,
                            &c->threads});
        add(t, (cli_option){"cpu", "SET", "highest instruction set: c avx2 avx512 neon ... auto",
                            CLI_TEXT, &c->cpu});
    }
    if (c->use & CLI_USE_OUT) {
        add(t, (cli_option){"json", NULL, "JSON, one object a line; also -j", CLI_FLAG, &c->json});
        add(t,
            (cli_option){"quiet", NULL, "results and errors only; also -q", CLI_FLAG, &c->quiet});
    }
}

static void print_option(const cli_option *o)
{
    int n = printf("  --%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    printf("%*s%s\n", n < HELP_COLUMN ? HELP_COLUMN - n : 2, "", o->help);
}

static void print_help(const table *t, const char *usage, const char *examples)
{
    printf("usage: %s\n", usage);
    if (t->own)
        printf("\noptions:\n");
    for (size_t i = 0; i < t->own; i++)
        print_option(&t->v[i]);
    printf(t->own ? "\ncommon options:\n" : "\noptions:\n");
    for (size_t i = t->own; i < t->n; i++)
        print_option(&t->v[i]);
    printf("  --help                  this text; also -h\n");
    if (examples)
        printf("\nexamples:\n%s", examples);
    printf("\nExit status: 0 yes or done, 1 no, 2 error. `man domovoi` has more.\n");
}

static int store(const cli_option *o, const char *value)
{
    char *end;
    errno = 0;
    if (o->kind == CLI_TEXT) {
        *(const char **)o->value = value;
    } else if (o->kind == CLI_TEXTS) {
        cli_texts *t = o->value;
        if (t->n == CLI_MAX_TEXTS)
            return cli_error("--%s: at most %d of them", o->name, CLI_MAX_TEXTS);
        t->v[t->n++] = value;
    } else if (o->kind == CLI_INT) {
        long v = strtol(value, &end, 10);
        if (end == value || *end || errno || v < 0 || v > INT32_MAX)
            return cli_error("--%s %s: not a whole number from 0 up", o->name, value);
        *(int *)o->value = (int)v;
    } else {
        double v = strtod(value, &end);
        if (end == value || *end || !isfinite(v))
            return cli_error("--%s %s: not a number", o->name, value);
        *(double *)o->value = v;
    }
    return CLI_YES;
}

static int check_common(cli_common *c, const reals *r)
{
    unsigned mask;
    if (c->threads > 64)
        return cli_error("--threads %d: 1 to 64", c->threads);
    if (c->cpu && !dv_cpu_parse(c->cpu, &mask))
        return cli_error("--cpu %s: unknown; use c, avx2, avxvnni, avx512, vnni, avx512fp16, "
                         "neon, dotprod, neonfp16 or auto",
                         c->cpu);
    if (!isnan(r->min_score) && !(r->min_score >= 0 && r->min_score <= 1))
        return cli_error("--min-score %g: must be 0 to 1", r->min_score);
    if (!isnan(r->threshold) && !(r->threshold >= -1 && r->threshold <= 1))
        return cli_error("--threshold %g: a cosine similarity, -1 to 1", r->threshold);
    if (c->fmr != 0 && !(c->fmr > 0 && c->fmr <= 1))
        return cli_error("--fmr %g: a rate above 0 and up to 1", c->fmr);
    if (c->fmr != 0 && !isnan(r->threshold))
        return cli_error("--threshold and --fmr: give one of the two");
    if (c->max_side && (c->max_side < 32 || c->max_side > 8192))
        return cli_error("--max-side %d: 32 to 8192", c->max_side);
    if (c->scales > 8)
        return cli_error("--scales %d: 1 to 8", c->scales);
    c->threshold = (float)r->threshold;
    c->min_score = isnan(r->min_score) ? 0.6f : (float)r->min_score;
    c->min_score_given = !isnan(r->min_score);
    quiet = c->quiet;
    return CLI_YES;
}

static const cli_option *find(const table *t, const char *name, size_t len)
{
    for (size_t i = 0; i < t->n; i++)
        if (strlen(t->v[i].name) == len && memcmp(t->v[i].name, name, len) == 0)
            return &t->v[i];
    return NULL;
}

static const char *short_name(char c)
{
    return c == 'o' ? "output" : c == 'j' ? "json" : c == 'q' ? "quiet" : c == 't' ? "threads" : "";
}

static int unknown_option(const table *t, const char *given, const char *name, size_t len)
{
    char word[33];
    snprintf(word, sizeof word, "%.*s", (int)DV_MIN(len, sizeof word - 1), name);
    const char *near = cli_nearest(word, &t->v[0].name, t->n, sizeof t->v[0]);
    if (near)
        return cli_error("%s: unknown option; did you mean --%s?", given, near);
    return cli_error("%s: unknown option; `domovoi %s --help` lists them", given, cli_verb_name);
}

/* One argument that starts with '-'. *i moves on when a value is taken from the next one. */
static int take_option(const table *t, int argc, char **argv, int *i, bool *help)
{
    const char *a = argv[*i];
    if (a[1] == '-') {
        const char *eq = strchr(a, '=');
        size_t len = eq ? (size_t)(eq - a) - 2 : strlen(a) - 2;
        if (len == 4 && memcmp(a + 2, "help", 4) == 0) {
            *help = true;
            return CLI_YES;
        }
        const cli_option *o = find(t, a + 2, len);
        if (!o)
            return unknown_option(t, a, a + 2, len);
        if (o->kind == CLI_FLAG) {
            if (eq)
                return cli_error("--%s takes no value", o->name);
            *(int *)o->value = 1;
            return CLI_YES;
        }
        if (!eq && *i + 1 >= argc)
            return cli_error("--%s needs a value: --%s %s", o->name, o->name, o->arg);
        return store(o, eq ? eq + 1 : argv[++*i]);
    }
    for (const char *p = a + 1; *p; p++) {
        if (*p == 'h') {
            *help = true;
            continue;
        }
        const char *name = short_name(*p);
        const cli_option *o = find(t, name, strlen(name));
        if (!o)
            return cli_error("-%c: unknown option; `domovoi %s --help` lists them", *p,
                             cli_verb_name);
        if (o->kind == CLI_FLAG) {
            *(int *)o->value = 1;
            continue;
        }
        if (!p[1] && *i + 1 >= argc)
            return cli_error("-%c needs a value: -%c %s", *p, *p, o->arg);
        return store(o, p[1] ? p + 1 : argv[++*i]);
    }
    return CLI_YES;
}

bool cli_parse(int argc, char **argv, const char *usage, const char *examples, cli_common *common,
               const cli_option *own, size_t n_own, const char **pos, size_t cap, size_t *n_pos,
               int *done)
{
    table t = {.n = 0};
    reals r = {NAN, NAN};
    bool help = false, ended = false;
    for (size_t i = 0; i < n_own; i++)
        add(&t, own[i]);
    t.own = t.n;
    if (common) {
        common->threshold = NAN;
        add_common(&t, common, &r);
    }
    *n_pos = 0;
    *done = CLI_ERROR;
    for (int i = 1; i < argc; i++) {
        char *a = argv[i];
        if (!ended && strcmp(a, "--") == 0) {
            ended = true;
        } else if (!ended && a[0] == '-' && a[1]) {
            if (take_option(&t, argc, argv, &i, &help))
                return false;
            if (help) {
                print_help(&t, usage, examples);
                *done = CLI_YES;
                return false;
            }
        } else if (*n_pos < cap) {
            pos[(*n_pos)++] = a;
        } else {
            cli_error("%s: one argument too many; `domovoi %s --help` shows the form", a,
                      cli_verb_name);
            return false;
        }
    }
    return !common || check_common(common, &r) == CLI_YES;
}

int cli_subverb(int argc, char **argv, const cli_verb *subs, size_t n, const char *usage)
{
    static char name[64];
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    if (argc < 2 || help) {
        FILE *f = help ? stdout : stderr;
        fprintf(f, "usage: %s\n\n", usage);
        for (size_t i = 0; i < n; i++)
            fprintf(f, "  %-10s %s\n", subs[i].name, subs[i].summary);
        fprintf(f, "\n`domovoi %s WORD --help` has the options of each.\n", cli_verb_name);
        return help ? CLI_YES : CLI_ERROR;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(argv[1], subs[i].name) == 0) {
            snprintf(name, sizeof name, "%s %s", cli_verb_name, subs[i].name);
            cli_verb_name = name;
            return subs[i].run(argc - 1, argv + 1);
        }
    }
    const char *near = cli_nearest(argv[1], &subs[0].name, n, sizeof subs[0]);
    if (near)
        return cli_error("%s: unknown; did you mean `domovoi %s %s`?", argv[1], cli_verb_name,
                         near);
    return cli_error("%s: unknown; `domovoi %s --help` lists what there is", argv[1],
                     cli_verb_name);
}
