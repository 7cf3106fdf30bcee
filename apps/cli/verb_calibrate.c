/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_calibrate.c - `domovoi calibrate`: the threshold of a net for the user's own people and
 * camera. Pictures of one person are compared with those of the others and of strangers; the
 * threshold at which a stated share of these comparisons passes is written into the model file,
 * where verify and identify find it by --fmr, or into a gallery, for identify. What the pictures
 * cannot show is not written: with N comparisons and none that passes the rate is known to be below
 * 3/N and no more.
 */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/calibrate.h"
#include "gallery/gallery.h"
#include "nn/dmv.h"

#define MAX_RATES 16
#define MAX_KEPT ((size_t)100000000)
#define SHOWN 3

/* A folder of pictures, PERSON/PICTURE, sorted by path. */
typedef struct people {
    const char *dir;
    dv_paths list;
    uint32_t *person; /* of each picture */
    size_t count;
    cli_embedded m;
} people;

typedef struct couple { /* of different people, and alike */
    const char *a, *b;
    float score;
} couple;

typedef struct calibrate {
    cli_common o;
    const char *fmr, *impostors, *output, *gallery;
    int aligned, no_cache, allow_missing, dry_run;
    people own, strangers;
    double rates[MAX_RATES];
    size_t n_rates;
    dv_top top;
    float *genuine;
    size_t n_genuine, couples; /* couples of different people that were compared */
    couple alike[SHOWN];
    dv_calibration c[MAX_RATES];
    float table[2 * MAX_RATES]; /* for the model file: rate, similarity; rates falling */
    size_t n_table;
    const char *written; /* path, NULL = nothing */
} calibrate;

static const char *below(const people *p, size_t i)
{
    const char *rel = p->list.v[i] + strlen(p->dir);
    while (*rel == '/')
        rel++;
    return rel;
}

/* The length of the person's name in PERSON/PICTURE, 0 if there is none. */
static size_t name_length(const char *rel)
{
    size_t n = strcspn(rel, "/");
    return rel[n] ? n : 0;
}

static bool same_person(const people *p, size_t i, size_t k)
{
    const char *a = below(p, i), *b = below(p, k);
    size_t n = name_length(a);
    return n && n == name_length(b) && memcmp(a, b, n) == 0;
}

/* loose: pictures directly in the folder are people of their own, else they are left out. */
static bool list_people(people *p, const char *dir, bool loose)
{
    dv_err e = {0};
    size_t kept = 0, left = 0;
    p->dir = dir;
    if (dv_image_list(dir, &p->list, &e))
        return cli_error("%s", e.msg), false;
    for (size_t i = 0; i < p->list.n; i++) {
        if (!loose && name_length(below(p, i)) == 0) {
            if (left++ < SHOWN)
                cli_warn("%s: lies in no person's folder and is left out", p->list.v[i]);
            dv_free(p->list.v[i]);
            continue;
        }
        p->list.v[kept++] = p->list.v[i];
    }
    p->list.n = kept;
    if (left > SHOWN)
        cli_warn("and %zu more", left - SHOWN);
    if (kept == 0)
        return cli_error("%s: no pictures in people's folders; the form is %s/PERSON/PICTURE.jpg",
                         dir, dir),
               false;
    p->person = dv_calloc(kept, sizeof *p->person);
    if (!p->person)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < kept; i++) {
        /* Sorted by path: what begins with NAME/ stands together. */
        p->count += i == 0 || !same_person(p, i - 1, i);
        p->person[i] = (uint32_t)p->count - 1;
    }
    return true;
}

static bool embed_people(calibrate *c, people *p)
{
    cli_embed_job job = {.o = &c->o,
                         .names = p->list.v,
                         .n = p->list.n,
                         .aligned = c->aligned,
                         .allow_missing = c->allow_missing,
                         .no_cache = c->no_cache,
                         .remedy = "--allow-missing goes on without them"};
    return cli_embed_pictures(&job, &p->m);
}

static bool usable(const people *p, size_t i)
{
    return p->m.state[i] == CLI_PICTURE_VECTOR;
}

static float similarity(const people *p, size_t i, const people *q, size_t k)
{
    return dmv_similarity(p->m.vectors + i * p->m.dim, q->m.vectors + k * q->m.dim, p->m.dim);
}

/* Strangers whose folder has the name of somebody of our own are no strangers. */
static void drop_known(calibrate *c)
{
    size_t dropped = 0;
    people *s = &c->strangers, *p = &c->own;
    for (size_t i = 0; i < s->list.n; i++) {
        const char *name = below(s, i);
        size_t n = name_length(name);
        bool known = false;
        for (size_t k = 0; n && !known && k < p->list.n; k++)
            known = (k == 0 || p->person[k] != p->person[k - 1]) && name_length(below(p, k)) == n &&
                    memcmp(below(p, k), name, n) == 0;
        if (!known)
            continue;
        s->m.state[i] = CLI_PICTURE_MISSING;
        dropped++;
    }
    if (dropped)
        cli_warn("%zu pictures of the impostors have the folder names of people of your own and "
                 "are left out",
                 dropped);
}

/* ---- comparing ---- */

static void note(calibrate *c, const char *a, const char *b, float score)
{
    couple now = {a, b, score};
    for (size_t i = 0; i < SHOWN; i++)
        if (!c->alike[i].a || now.score > c->alike[i].score) {
            couple was = c->alike[i];
            c->alike[i] = now;
            now = was;
            if (!now.a)
                return;
        }
}

static void add_impostor(calibrate *c, const char *a, const char *b, float score)
{
    dv_top_add(&c->top, score);
    if (!c->alike[SHOWN - 1].a || score > c->alike[SHOWN - 1].score)
        note(c, a, b, score);
}

static size_t count_usable(const people *p, size_t *persons)
{
    size_t n = 0, last = SIZE_MAX;
    *persons = 0;
    for (size_t i = 0; i < p->m.n; i++) {
        if (!usable(p, i))
            continue;
        *persons += p->person[i] != last;
        last = p->person[i];
        n++;
    }
    return n;
}

static bool compare(calibrate *c)
{
    people *p = &c->own, *s = &c->strangers;
    size_t persons, strangers, n = count_usable(p, &persons), m = count_usable(s, &strangers);
    size_t genuine = 0, run = 0, all;
    double largest = 0;
    for (size_t i = 0; i < p->m.n; i++) {
        if (i == 0 || p->person[i] != p->person[i - 1])
            run = 0;
        if (usable(p, i))
            genuine += run++;
    }
    if (n > 3000000000u || m > 3000000000u || !dv_mul(n, DV_MAX(n, m), &all))
        return cli_error("too many pictures"), false;
    size_t impostors = n * (n - DV_MIN(n, 1)) / 2 - genuine + n * m;
    c->couples = persons * (persons - DV_MIN(persons, 1)) / 2 + persons * strangers;
    if (impostors == 0)
        return cli_error("%s: nobody to compare with: it takes two people, or --impostors DIR",
                         p->dir),
               false;
    for (size_t k = 0; k < c->n_rates; k++)
        largest = DV_MAX(largest, c->rates[k]);
    size_t keep = dv_top_needed(largest, impostors);
    if (keep > MAX_KEPT)
        return cli_error("--fmr %g of %zu comparisons: too many to keep; ask for lower rates",
                         largest, impostors),
               false;
    c->genuine = dv_calloc(DV_MAX(genuine, 1), sizeof *c->genuine);
    if (!c->genuine || !dv_top_open(&c->top, keep))
        return cli_error("out of memory"), false;
    cli_progress bar;
    cli_progress_start(&bar, "compare", p->m.n, &c->o);
    for (size_t i = 0; i < p->m.n; i++) {
        for (size_t k = 0; usable(p, i) && k < i; k++) {
            if (!usable(p, k))
                continue;
            float v = similarity(p, i, p, k);
            if (p->person[i] == p->person[k])
                c->genuine[c->n_genuine++] = v;
            else
                add_impostor(c, p->list.v[k], p->list.v[i], v);
        }
        for (size_t k = 0; usable(p, i) && k < s->m.n; k++)
            if (usable(s, k))
                add_impostor(c, p->list.v[i], s->list.v[k], similarity(p, i, s, k));
        cli_progress_update(&bar, i + 1);
    }
    cli_progress_end(&bar);
    dv_top_sort(&c->top);
    return true;
}

/* ---- results ---- */

/* Rates fall in a model file, and thresholds do not. */
static void fill_table(calibrate *c)
{
    for (size_t k = 0; k < c->n_rates; k++) {
        float rate = (float)c->c[k].stated, at = (float)c->c[k].threshold;
        if (c->n_table && !(rate < c->table[c->n_table - 2] && at >= c->table[c->n_table - 1]))
            continue; /* a lower rate that is not supported: the same threshold again */
        c->table[c->n_table++] = rate;
        c->table[c->n_table++] = at;
    }
}

static bool judge(calibrate *c)
{
    dv_err e = {0};
    for (size_t k = 0; k < c->n_rates; k++) {
        dv_calibration *r = &c->c[k];
        if (dv_calibrate(&c->top, c->genuine, c->n_genuine, c->rates[k], r, &e))
            return cli_error("%s (%s and %s)", e.msg, c->alike[0].a, c->alike[0].b), false;
        if (!r->supported)
            cli_warn("%zu comparisons of different people cannot support a false-match rate of %g: "
                     "at least %.0f are needed. The threshold %.4f lets none of them pass, which "
                     "shows a rate below %.2g (rule of three); it is stated for that rate",
                     c->top.seen, r->asked, ceil(3 / r->asked), r->threshold, r->stated);
        else if (r->asked * (double)c->couples < 3)
            cli_warn("the comparisons come from %zu couples of people only: the true rate may lie "
                     "outside the interval, which takes comparisons for independent; more people "
                     "or --impostors help",
                     c->couples);
    }
    if (c->n_genuine == 0)
        cli_warn("nobody has two pictures: how often the right person is refused is not known");
    for (size_t i = 0; i < SHOWN && c->alike[i].a; i++)
        if (c->alike[i].score >= 0.9f)
            cli_warn("%s and %s are nearly the same picture (similarity %.3f) under two names; is "
                     "one of them in the wrong folder?",
                     c->alike[i].a, c->alike[i].b, (double)c->alike[i].score);
    fill_table(c);
    return true;
}

static void sources(const calibrate *c, char *buf, size_t size)
{
    size_t strangers = c->strangers.m.n;
    snprintf(buf, size,
             "calibrate: %zu people, %zu pictures, %zu pictures of impostors, %zu comparisons of "
             "different people%s",
             c->own.count, c->own.m.n, strangers, c->top.seen, c->o.mirror ? ", mirrored" : "");
}

/* The model file again, with other thresholds; the net and its id stay. */
static bool write_model(calibrate *c)
{
    char from[256];
    dv_err e = {0};
    dmv_context *ctx = NULL;
    dmv_model *m = NULL;
    const char *path = cli_need_model(c->o.model, "embed", "--model");
    const char *to = c->output ? c->output : path;
    if (!path || cli_context_open(&c->o, &ctx))
        return false;
    bool ok = !dmv_model_open(ctx, path, &m);
    if (!ok)
        cli_error("%s", dmv_error(ctx));
    sources(c, from, sizeof from);
    if (ok && (!dv_meta_set_floats(&m->meta, "thresholds", c->table, (uint32_t)c->n_table) ||
               !dv_meta_set_text(&m->meta, "thresholds_from", from))) {
        cli_error("out of memory");
        ok = false;
    }
    if (ok && dv_dmv_write(to, &m->graph, &m->meta, &e)) {
        cli_error("%s; -o FILE.dmv writes a copy elsewhere", e.msg);
        ok = false;
    }
    c->written = ok ? to : NULL;
    dmv_model_close(&m);
    dmv_context_close(&ctx);
    return ok;
}

#ifdef DV_HAVE_GALLERY
static bool write_gallery(calibrate *c)
{
    char from[256];
    dv_err e = {0};
    dv_gallery *g = NULL;
    dv_gallery_model model = {c->own.m.id, c->own.m.name, c->own.m.dim};
    sources(c, from, sizeof from);
    bool ok = !dv_gallery_open(c->gallery, false, &model, &g, &e) &&
              !dv_gallery_set_thresholds(g, c->table, c->n_table, from, &e);
    if (!ok)
        cli_error("%s", e.msg);
    c->written = ok ? c->gallery : NULL;
    dv_gallery_close(&g);
    return ok;
}
#else
static bool write_gallery(calibrate *c)
{
    return cli_error("this build has no galleries; leave --gallery %s out", c->gallery), false;
}
#endif

static void print_text(const calibrate *c)
{
    cli_put_text(c->own.m.name);
    printf(": %zu people, %zu pictures; %zu comparisons of one person, %zu of different people "
           "(%zu couples)\n",
           c->own.count, c->own.m.n, c->n_genuine, c->top.seen, c->couples);
    for (size_t k = 0; k < c->n_rates; k++) {
        const dv_calibration *r = &c->c[k];
        printf("FMR %.3g: threshold %.4f; %zu strangers pass, %.3g (95%%: %.3g to %.3g)", r->stated,
               r->threshold, r->accepted, r->fmr, r->fmr_ci.lo, r->fmr_ci.hi);
        if (c->n_genuine)
            printf("; %zu of one person refused, %.2f%% (%.2f to %.2f)", r->rejected, 100 * r->fnmr,
                   100 * r->fnmr_ci.lo, 100 * r->fnmr_ci.hi);
        printf("%s\n", r->supported ? "" : "; not the rate that was asked for");
    }
    printf("most alike of two people: ");
    cli_put_text(c->alike[0].a);
    printf(" and ");
    cli_put_text(c->alike[0].b);
    printf(", %.4f\n", (double)c->alike[0].score);
    if (c->written) {
        printf("written to ");
        cli_put_text(c->written);
        printf("\n");
    } else {
        printf("nothing was written (--dry-run)\n");
    }
}

static void js_interval(cli_json *j, const char *key, dv_interval i)
{
    cli_js_open(j, key, '[');
    cli_js_real(j, NULL, i.lo, 8);
    cli_js_real(j, NULL, i.hi, 8);
    cli_js_close(j, ']');
}

static void print_json(const calibrate *c)
{
    cli_json j = {.f = stdout};
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "model", c->own.m.name);
    cli_js_text(&j, "id", c->own.m.id);
    cli_js_int(&j, "people", (long long)c->own.count);
    cli_js_int(&j, "pictures", (long long)c->own.m.n);
    cli_js_int(&j, "impostor_pictures", (long long)c->strangers.m.n);
    cli_js_int(&j, "missing_faces", (long long)(c->own.m.faceless + c->strangers.m.faceless));
    cli_js_int(&j, "genuine", (long long)c->n_genuine);
    cli_js_int(&j, "comparisons", (long long)c->top.seen);
    cli_js_int(&j, "couples", (long long)c->couples);
    cli_js_open(&j, "rates", '[');
    for (size_t k = 0; k < c->n_rates; k++) {
        const dv_calibration *r = &c->c[k];
        cli_js_open(&j, NULL, '{');
        cli_js_real(&j, "asked", r->asked, 8);
        cli_js_bool(&j, "supported", r->supported);
        cli_js_real(&j, "fmr", r->stated, 8);
        cli_js_fixed(&j, "threshold", r->threshold, 4);
        cli_js_int(&j, "accepted", (long long)r->accepted);
        cli_js_real(&j, "measured", r->fmr, 8);
        js_interval(&j, "interval", r->fmr_ci);
        cli_js_int(&j, "rejected", c->n_genuine ? (long long)r->rejected : 0);
        cli_js_real(&j, "fnmr", r->fnmr, 8);
        js_interval(&j, "fnmr_interval", r->fnmr_ci);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_text(&j, "written", c->written);
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

/* ---- the command ---- */

static int by_rate(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static bool parse_rates(calibrate *c)
{
    const char *s = c->fmr ? c->fmr : "1e-3";
    for (;;) {
        char *end;
        double rate = strtod(s, &end);
        if (end == s || !(rate > 0 && rate < 1) || c->n_rates == MAX_RATES || (*end && *end != ','))
            return cli_error("--fmr %s: up to %d rates above 0 and below 1, commas between", c->fmr,
                             MAX_RATES),
                   false;
        c->rates[c->n_rates++] = rate;
        if (!*end)
            break;
        s = end + 1;
    }
    qsort(c->rates, c->n_rates, sizeof *c->rates, by_rate);
    return true;
}

static int run(calibrate *c, const char *dir)
{
    if (!parse_rates(c) || !list_people(&c->own, dir, false) ||
        (c->impostors && !list_people(&c->strangers, c->impostors, true)) ||
        !embed_people(c, &c->own) || (c->impostors && !embed_people(c, &c->strangers)))
        return CLI_ERROR;
    drop_known(c);
    if (!compare(c) || !judge(c) ||
        (!c->dry_run && !(c->gallery ? write_gallery(c) : write_model(c))))
        return CLI_ERROR;
    if (!c->o.json && !c->o.quiet)
        print_text(c);
    if (c->o.json)
        print_json(c);
    return CLI_YES;
}

static void close_people(people *p)
{
    dv_paths_free(&p->list);
    dv_free(p->person);
    cli_embedded_free(&p->m);
}

int cli_calibrate(int argc, char **argv)
{
    const char *pos[1];
    size_t n;
    int done;
    calibrate *c = dv_calloc(1, sizeof *c);
    if (!c)
        return cli_error("out of memory");
    c->o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MODEL | CLI_USE_MIRROR;
    cli_option own[] = {
        {"impostors", "DIR", "pictures of strangers, none of whom is in PEOPLE", CLI_TEXT,
         &c->impostors},
        {"fmr", "RATES", "false-match rates, commas between (1e-3)", CLI_TEXT, &c->fmr},
        {"output", "NET.dmv", "write there, and leave the net as it is; also -o", CLI_TEXT,
         &c->output},
        {"gallery", "FILE", "write into this gallery, for identify, not into the net", CLI_TEXT,
         &c->gallery},
        {"dry-run", NULL, "write nothing", CLI_FLAG, &c->dry_run},
        {"aligned", NULL, "the pictures are faces of 112 x 112", CLI_FLAG, &c->aligned},
        {"allow-missing", NULL, "leave out pictures that cannot be read", CLI_FLAG,
         &c->allow_missing},
        {"no-cache", NULL, "embed again, and keep nothing", CLI_FLAG, &c->no_cache},
    };
    int code = CLI_ERROR;
    if (!cli_parse(argc, argv,
                   "domovoi calibrate [options] PEOPLE\n\n"
                   "Finds the similarity threshold of a net for your own pictures, "
                   "PEOPLE/NAME/*.jpg, and\nwrites it into the model file, where verify and "
                   "identify find it by --fmr.",
                   "  domovoi calibrate people/ --impostors strangers/ --fmr 1e-3 --dry-run\n"
                   "  domovoi calibrate people/ --fmr 1e-2,1e-3 --model net.dmv -o mine.dmv\n",
                   &c->o, own, DV_COUNT(own), pos, DV_COUNT(pos), &n, &done))
        code = done;
    else if (c->gallery && c->output)
        cli_error("--gallery and --output: give one of the two");
    else if (n != 1)
        cli_error("one folder of people is needed; `domovoi calibrate --help` shows the form");
    else
        code = run(c, pos[0]);
    close_people(&c->own);
    close_people(&c->strangers);
    dv_top_free(&c->top);
    dv_free(c->genuine);
    dv_free(c);
    return code;
}
