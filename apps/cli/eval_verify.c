/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_verify.c - `domovoi eval verify`: how well nets tell people apart, on a list of pairs.
 * A picture without a face counts as distance 4, the largest there is: leaving it out would
 * reward a detector that finds easy faces only. A picture that is not there says nothing about a
 * net: its pairs are left out, and only if that is asked for.
 */
#include "verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DIST 4.0

const double verify_rates[VERIFY_RATES] = {1e-1, 1e-2, 1e-3, 1e-4, 1e-5};

/* ---- the list ---- */

static size_t person_length(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash ? (size_t)(slash - name) : 0;
}

static int by_person(const void *x, const void *y, void *user)
{
    char *const *names = user;
    const char *a = names[*(const uint32_t *)x], *b = names[*(const uint32_t *)y];
    size_t n = person_length(a), m = person_length(b);
    int c = memcmp(a, b, DV_MIN(n, m));
    return c ? c : (n > m) - (n < m);
}

/* People are the first folder of the names, provided that the list agrees: pairs of one person
 * have one folder and others have two. */
static bool find_people(verify_list *l)
{
    const dv_pairs *p = &l->pairs;
    if (l->is_bin)
        return true;
    for (size_t i = 0; i < p->n_names; i++)
        if (person_length(p->names[i]) == 0)
            return true;
    uint32_t *order = dv_calloc(p->n_names, sizeof *order);
    l->person = dv_calloc(p->n_names, sizeof *l->person);
    l->person_name = dv_calloc(p->n_names, sizeof *l->person_name);
    if (!order || !l->person || !l->person_name) {
        dv_free(order);
        return cli_error("out of memory"), false;
    }
    for (size_t i = 0; i < p->n_names; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, p->n_names, sizeof *order, by_person, p->names);
    for (size_t i = 0; i < p->n_names; i++) {
        if (i == 0 || by_person(&order[i - 1], &order[i], p->names) != 0)
            l->person_name[l->people++] = p->names[order[i]];
        l->person[order[i]] = (uint32_t)l->people - 1;
    }
    dv_free(order);
    for (size_t i = 0; i < p->n; i++) {
        if ((l->person[p->pair[i].a] == l->person[p->pair[i].b]) == p->pair[i].same)
            continue;
        dv_free(l->person);
        dv_free(l->person_name);
        l->person = NULL;
        l->person_name = NULL;
        l->people = 0;
        break;
    }
    return true;
}

bool verify_open_list(verify *v)
{
    dv_err e = {0};
    verify_list *l = &v->list;
    l->is_bin = dv_bin_is(v->a.pairs);
    if (!l->is_bin) {
        if (dv_pairs_load(v->a.pairs, &l->pairs, &e))
            return cli_error("%s", e.msg), false;
        if (!v->a.images)
            return cli_error("--images DIR is needed: the folder that the names in %s are below",
                             v->a.pairs),
                   false;
        return find_people(l);
    }
    if (dv_bin_load(v->a.pairs, &l->bin, &e))
        return cli_error("%s", e.msg), false;
    l->pairs = l->bin.pairs;
    l->memory = dv_calloc(l->pairs.n_names, sizeof *l->memory);
    if (!l->memory)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < l->pairs.n_names; i++)
        l->memory[i] = (struct cli_memory){l->bin.picture[i].data, l->bin.picture[i].size};
    if (v->a.images)
        cli_warn("--images is not used: %s holds the pictures", v->a.pairs);
    if (l->bin.with_itself || l->bin.repeated)
        cli_warn("%s: %zu pairs of a picture with itself, %zu pairs that were there before, %zu of "
                 "them with the other answer; they count as they are",
                 v->a.pairs, l->bin.with_itself, l->bin.repeated, l->bin.contradicting);
    return true;
}

static void close_list(verify_list *l)
{
    if (l->is_bin)
        dv_bin_free(&l->bin);
    else
        dv_pairs_free(&l->pairs);
    dv_free(l->memory);
    dv_free(l->person);
    dv_free(l->person_name);
}

/* ---- one net ---- */

/* Squared Euclidean distance of unit vectors, summed in double. */
static double distance(const cli_embedded *m, const dv_pair *p)
{
    if (m->state[p->a] != CLI_PICTURE_VECTOR || m->state[p->b] != CLI_PICTURE_VECTOR)
        return MAX_DIST;
    const float *a = m->vectors + p->a * m->dim, *b = m->vectors + p->b * m->dim;
    double sum = 0;
    for (size_t i = 0; i < m->dim; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return DV_MIN(sum, MAX_DIST);
}

static bool make_trials(const verify_list *l, verify_run *r)
{
    const dv_pairs *p = &l->pairs;
    size_t n = 0, per = p->n / p->folds;
    r->number = dv_calloc(p->n, sizeof *r->number);
    r->dist = dv_calloc(p->n, sizeof *r->dist);
    r->same = dv_calloc(p->n, sizeof *r->same);
    r->fold = dv_calloc(p->n, sizeof *r->fold);
    r->a = dv_calloc(p->n, sizeof *r->a);
    r->b = dv_calloc(p->n, sizeof *r->b);
    if (!r->number || !r->dist || !r->same || !r->fold || !r->a || !r->b)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < p->n; i++) {
        const dv_pair *q = &p->pair[i];
        if (r->m.state[q->a] == CLI_PICTURE_MISSING || r->m.state[q->b] == CLI_PICTURE_MISSING)
            continue;
        r->number[n] = (uint32_t)i;
        r->dist[n] = distance(&r->m, q);
        r->same[n] = q->same;
        r->fold[n] = (uint32_t)(i / per);
        if (l->person) {
            r->a[n] = l->person[q->a];
            r->b[n] = l->person[q->b];
        }
        n++;
    }
    r->left_out = p->n - n;
    r->trials = (dv_trials){.dist = r->dist,
                            .same = r->same,
                            .fold = r->fold,
                            .n = n,
                            .folds = p->folds,
                            .a = l->person ? r->a : NULL,
                            .b = l->person ? r->b : NULL,
                            .people = l->people};
    return true;
}

void verify_close_run(verify_run *r)
{
    cli_embedded_free(&r->m);
    dv_free(r->number);
    dv_free(r->dist);
    dv_free(r->same);
    dv_free(r->fold);
    dv_free(r->a);
    dv_free(r->b);
}

/* The lowest similarity that counts as the same person when impostors pass at the rate, rounded
 * up: never a higher rate. */
static bool find_thresholds(verify_run *r)
{
    dv_metrics m;
    dv_err e = {0};
    if (dv_metrics_make(&r->trials, verify_rates, VERIFY_RATES, NULL, &m, &e))
        return cli_error("%s", e.msg), false;
    for (size_t i = 0; i < VERIFY_RATES; i++) {
        bool enough = verify_rates[i] * (double)m.impostors >= 3 - 1e-9;
        double similarity = 1 - m.tar[i].dist / 2;
        r->similarity[i] = enough ? ceil((similarity + 1e-9) * 1e4) / 1e4 : NAN;
    }
    return true;
}

bool verify_run_model(verify *v, const char *model, verify_run *r)
{
    dv_err e = {0};
    cli_embed_job job = {
        .o = &v->a.o,
        .model = model,
        .names = v->list.pairs.names,
        .n = v->list.pairs.n_names,
        .folder = v->a.images,
        .memory = v->list.memory,
        .aligned = v->a.aligned || v->list.is_bin,
        .allow_missing = v->a.allow_missing,
        .no_cache = v->a.no_cache,
        .change = v->a.change,
        .change_user = v->a.change_user,
        .change_words = v->a.change_words,
        .remedy = v->list.is_bin ? "fetch the set again, or go on without them by --allow-missing"
                                 : "--images must name the folder that the list's names are below; "
                                   "--allow-missing leaves their pairs out",
    };
    if (v->list.is_bin)
        job.folder = NULL;
    dv_bootstrap boot = {(size_t)v->a.bootstrap, (uint64_t)v->a.seed};
    if (!cli_embed_pictures(&job, &r->m) || !make_trials(&v->list, r))
        return false;
    if (r->left_out)
        cli_warn("%zu of %zu pairs are left out", r->left_out, v->list.pairs.n);
    if (dv_metrics_make(&r->trials, v->a.rates, v->a.n_rates, &boot, &r->x, &e))
        return cli_error("%s: %s", v->a.pairs, e.msg), false;
    return find_thresholds(r);
}

void verify_close(verify *v)
{
    for (size_t i = 0; i < CLI_MAX_TEXTS; i++)
        verify_close_run(&v->run[i]);
    close_list(&v->list);
    dv_free(v);
}

bool cli_eval_pairs(const cli_common *o, const char *model, const char *images, const char *pairs,
                    int aligned, dv_verify_result *out)
{
    verify *v = dv_calloc(1, sizeof *v);
    if (!v)
        return cli_error("out of memory"), false;
    v->a = (verify_args){.o = *o,
                         .images = images,
                         .pairs = pairs,
                         .aligned = aligned,
                         .no_cache = 1,
                         .rates = {1e-2, 1e-3},
                         .n_rates = 2};
    bool ok = verify_open_list(v) && verify_run_model(v, model, &v->run[0]);
    if (ok) {
        const dv_metrics *x = &v->run[0].x;
        *out = (dv_verify_result){x->accuracy, x->std, x->tar[0].tar, x->tar[1].tar, x->threshold};
    }
    verify_close(v);
    return ok;
}

/* ---- the command ---- */

bool verify_parse_rates(verify_args *a)
{
    const char *s = a->far ? a->far : "1e-2,1e-3";
    for (;;) {
        char *end;
        double rate = strtod(s, &end);
        if (end == s || !(rate > 0 && rate <= 1) || a->n_rates == DV_MAX_RATES ||
            (*end && *end != ','))
            return cli_error("--far %s: up to %d rates above 0 and up to 1, commas between", a->far,
                             DV_MAX_RATES),
                   false;
        a->rates[a->n_rates++] = rate;
        if (!*end)
            return true;
        s = end + 1;
    }
}

static bool check_args(verify *v)
{
    verify_args *a = &v->a;
    if (!a->pairs || (!a->images && !dv_bin_is(a->pairs)))
        return cli_error("--images and --pairs are needed; `domovoi eval verify --help` shows the "
                         "form"),
               false;
    if (a->dump && a->models.n > 1)
        return cli_error("--dump takes one --model"), false;
    if (a->bootstrap > 1000000)
        return cli_error("--bootstrap %d: at most 1,000,000 rounds", a->bootstrap), false;
    if (!(a->near > 0 && a->near <= 1))
        return cli_error("--near %g: a similarity above 0 and up to 1", a->near), false;
    return verify_parse_rates(a) && verify_can_draw(v);
}

static int run_all(verify *v)
{
    if (!check_args(v) || !verify_open_list(v))
        return CLI_ERROR;
    v->n_runs = DV_MAX(v->a.models.n, 1);
    for (size_t i = 0; i < v->n_runs; i++)
        if (!verify_run_model(v, v->a.models.n ? v->a.models.v[i] : NULL, &v->run[i]))
            return CLI_ERROR;
    if ((v->a.leak_check || v->a.train) && !verify_find_leaks(v))
        return CLI_ERROR;
    if (!verify_dump(v) || !verify_draw(v) || !verify_write_report(v))
        return CLI_ERROR;
    verify_print(v);
    verify_print_json(v);
    return CLI_YES;
}

int cli_eval_verify(int argc, char **argv)
{
    size_t n;
    int done;
    verify *v = dv_calloc(1, sizeof *v);
    if (!v)
        return cli_error("out of memory");
    verify_args *a = &v->a;
    a->o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MIRROR;
    a->bootstrap = 1000;
    a->seed = 1;
    a->near = 0.97;
    cli_option own[] = {
        {"images", "DIR", "folder that the names in the list are below", CLI_TEXT, &a->images},
        {"pairs", "FILE", "LFW's pairs.txt, lines a<TAB>b<TAB>1|0, or a .bin. Needed", CLI_TEXT,
         &a->pairs},
        {"model", "NET.dmv", "net to judge; several times: side by side", CLI_TEXTS, &a->models},
        {"aligned", NULL, "the pictures are faces of 112 x 112 (always so in a .bin)", CLI_FLAG,
         &a->aligned},
        {"far", "RATES", "false-accept rates for the TAR (1e-2,1e-3)", CLI_TEXT, &a->far},
        {"bootstrap", "N", "rounds for the intervals, 0 = none (1000)", CLI_INT, &a->bootstrap},
        {"seed", "N", "of the bootstrap (1)", CLI_INT, &a->seed},
        {"roc", "FILE", "chart of TAR against FAR, .svg or .png", CLI_TEXT, &a->roc},
        {"det", "FILE", "chart of misses against FAR", CLI_TEXT, &a->det},
        {"hist", "FILE", "histogram of similarities", CLI_TEXT, &a->hist},
        {"report", "FILE.md", "report in Markdown", CLI_TEXT, &a->report},
        {"dump", "FILE", "distances (.csv, else tabs), or embeddings (.npy)", CLI_TEXT, &a->dump},
        {"leak-check", NULL, "people and near-duplicates in several folds", CLI_FLAG,
         &a->leak_check},
        {"train", "DIR", "... and in these training pictures, DIR/PERSON/*", CLI_TEXT, &a->train},
        {"train-aligned", NULL, "the training pictures are 112 x 112, too", CLI_FLAG,
         &a->train_aligned},
        {"near", "S", "similarity of near-duplicates (0.97)", CLI_REAL, &a->near},
        {"allow-missing", NULL, "leave pairs out whose pictures cannot be read", CLI_FLAG,
         &a->allow_missing},
        {"no-cache", NULL, "embed again, and keep nothing", CLI_FLAG, &a->no_cache},
    };
    int code = CLI_ERROR;
    if (!cli_parse(
            argc, argv,
            "domovoi eval verify [options] --images DIR --pairs FILE\n"
            "       domovoi eval verify [options] --pairs SET.bin\n\n"
            "Accuracy on pairs the way LFW is scored: per fold the best threshold of the "
            "other\nfolds. A picture without a face counts as distance 4. The last line is "
            "JSON, one\nline a net.",
            "  domovoi eval verify --images lfw112 --pairs pairs.txt --aligned --mirror\n"
            "  domovoi eval verify --pairs agedb_30.bin --model a.dmv --model b.dmv --roc ab.svg\n"
            "  domovoi eval verify --images photos --pairs p.txt --model new.dmv --dump d.tsv\n",
            &a->o, own, DV_COUNT(own), NULL, 0, &n, &done))
        code = done;
    else
        code = run_all(v);
    verify_close(v);
    return code;
}
