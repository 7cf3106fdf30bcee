/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_identify.c - `domovoi eval identify`: who is this, among so many? Sets of people come from
 * folders, lists and feature files (sets.c); what is counted stands in src/eval/identify.h.
 */
#include "identify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SHOWN 10
#define MAX_MADE 1000000000

static bool parse_ranks(ident *v)
{
    const char *s = v->ranks ? v->ranks : v->depth >= 20 ? "1,5,10,20" : "1";
    ident_plan *p = &v->plan;
    for (const char *at = s;;) {
        char *end;
        long r = strtol(at, &end, 10);
        if (end == at || r < 1 || r > v->depth || p->n_ranks == IDENT_MAX_RANKS ||
            (p->n_ranks && (size_t)r <= p->rank[p->n_ranks - 1]) || (*end && *end != ','))
            return cli_error("--ranks %s: up to %d ascending numbers from 1 to --depth (%d), "
                             "commas between",
                             s, IDENT_MAX_RANKS, v->depth),
                   false;
        p->rank[p->n_ranks++] = (size_t)r;
        if (!*end)
            return true;
        at = end + 1;
    }
}

static bool check_plan(ident *v)
{
    ident_plan *p = &v->plan;
    if (v->depth < 1 || v->depth > DV_IDENT_MAX_DEPTH)
        return cli_error("--depth %d: 1 to %d", v->depth, DV_IDENT_MAX_DEPTH), false;
    if (v->fuse && strcmp(v->fuse, "max") != 0 && strcmp(v->fuse, "mean") != 0)
        return cli_error("--fuse %s: max (the best template counts) or mean", v->fuse), false;
    if (v->made > MAX_MADE)
        return cli_error("--distractors %d: at most %d", v->made, MAX_MADE), false;
    if (v->like && !v->made)
        return cli_error("--like %s: how many? --distractors N is missing", v->like), false;
    p->megaface = v->megaface != 0;
    p->open = v->open || v->strangers;
    p->fuse = v->fuse && strcmp(v->fuse, "mean") == 0 ? DV_FUSE_MEAN : DV_FUSE_MAX;
    p->depth = (size_t)v->depth;
    p->o = &v->o;
    p->n_made = (size_t)v->made;
    return parse_ranks(v) &&
           cli_parse_rates("fpir", v->fpir ? v->fpir : "0.1,0.01,0.001", p->fpir, IDENT_MAX_RATES,
                           &p->n_fpir) &&
           cli_parse_rates("far", v->far ? v->far : "1e-4,1e-5,1e-6", p->far, IDENT_MAX_RATES,
                           &p->n_far);
}

static bool check_sources(ident *v)
{
    bool gallery = cli_source_given(&v->gallery_from), probes = cli_source_given(&v->probe_from);
    if (v->people && (gallery || probes))
        return cli_error("--people stands for gallery and probes; leave those out"), false;
    if (v->megaface) {
        if (gallery || v->open || v->strangers || v->probe_mean)
            return cli_error("--megaface takes probes and distractors only: every probe's mate is "
                             "another probe of its person"),
                   false;
        if (!probes && !v->people)
            return cli_error("--megaface needs probes: --probes, --probe-list or --people"), false;
        if (!v->made && !cli_source_given(&v->distractor_from))
            return cli_error("--megaface needs distractors: --distractors N or given ones"), false;
        if (v->people)
            v->probe_from.dir = v->people;
        v->people = NULL;
        return true;
    }
    if (!v->people && (!gallery || !probes))
        return cli_error("a gallery and probes are needed, or --people DIR for both; "
                         "`domovoi eval identify --help` shows the form"),
               false;
    if (!v->people && (v->enrol != 1 || v->strangers))
        return cli_error("--enrol and --strangers go with --people"), false;
    if (v->people && v->enrol < 1)
        return cli_error("--enrol 0: at least one picture of a person"), false;
    return true;
}

/* ---- sets ---- */

static bool open_people(ident *v)
{
    cli_source from = {.what = "gallery", .dir = v->people};
    if (!cli_set_open(&v->gallery, &from, &v->names))
        return false;
    if ((size_t)v->strangers >= v->names.n)
        return cli_error("--strangers %d: %s has %zu people; somebody must be enrolled",
                         v->strangers, v->people, v->names.n),
               false;
    if (!cli_set_split(&v->gallery, (size_t)v->enrol, (size_t)v->strangers, v->names.n, &v->probes))
        return false;
    if (!v->probes.people.n)
        return cli_error("%s: no pictures are left for probes: nobody has more than %d", v->people,
                         v->enrol),
               false;
    return true;
}

static bool open_sets(ident *v)
{
    if (v->people)
        return open_people(v);
    return (v->megaface || cli_set_open(&v->gallery, &v->gallery_from, &v->names)) &&
           cli_set_open(&v->probes, &v->probe_from, &v->names);
}

/* Somebody who is to be a stranger must not be among those who are looked for. */
static bool check_strangers(ident *v)
{
    size_t both = 0;
    bool *seen = dv_calloc(v->names.n + 1, sizeof *seen);
    if (!seen)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < v->distractors.people.n; i++) {
        uint32_t who = v->distractors.people.subject[i];
        if (who == DV_NO_NAME || who >= v->n_enrolled || seen[who])
            continue;
        seen[who] = true;
        if (both++ < SHOWN)
            cli_error("%s: is a distractor and in the gallery or among the probes, too",
                      v->names.v[who]);
    }
    dv_free(seen);
    if (both)
        cli_error("%zu people are on both sides: right answers would count as wrong; take their "
                  "lines out of the distractors",
                  both);
    return both == 0;
}

/* enrolled[], and probes without a mate, which a closed set has no place for. */
static bool check_mates(ident *v)
{
    size_t alone = 0, probes = v->probes.people.n;
    char buf[32];
    v->enrolled = dv_calloc(v->names.n + 1, sizeof *v->enrolled);
    if (!v->enrolled)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < v->gallery.people.n; i++)
        if (v->gallery.state[i] != CLI_PICTURE_MISSING)
            v->enrolled[v->gallery.people.subject[i]] = true;
    if (v->megaface || v->plan.open)
        return true;
    for (size_t i = 0; i < probes; i++) {
        uint32_t who = v->probes.people.subject[i];
        if (!v->enrolled[who] && alone++ < SHOWN)
            cli_error("%s: its subject, %s, is not in the gallery",
                      cli_set_name(&v->probes, i, buf), v->names.v[who]);
    }
    if (alone)
        cli_error("%zu of %zu probes have no mate in the gallery: a closed set has no such "
                  "probes; --open makes strangers of them",
                  alone, probes);
    return alone == 0;
}

static bool same_dims(const ident *v)
{
    size_t dim = v->probes.dim;
    const cli_set *others[] = {&v->gallery, &v->distractors};
    for (size_t i = 0; i < DV_COUNT(others); i++)
        if (others[i]->n && others[i]->dim != dim)
            return cli_error("the %s have %zu numbers, the probes %zu: they come from two nets "
                             "(`domovoi eval cross` compares nets)",
                             i ? "distractors" : "vectors of the gallery", others[i]->dim, dim),
                   false;
    return true;
}

/* ---- the same picture on both sides ---- */

typedef struct print {
    uint64_t hash;
    size_t at;
} print;

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const print *)a)->hash, y = ((const print *)b)->hash;
    return (x > y) - (x < y);
}

static uint64_t hash_vector(const float *v, size_t dim)
{
    uint64_t h = 1469598103934665603u;
    for (size_t d = 0; d < dim; d++) {
        uint32_t bits;
        memcpy(&bits, v + d, sizeof bits);
        h = (h ^ bits) * 1099511628211u;
        h ^= h >> 29;
    }
    return h;
}

/* Vectors of b that are in a, bit by bit; says a few. */
static bool count_same(const cli_set *a, const cli_set *b, const char *what, size_t *count)
{
    char one[32], two[32];
    print *p = dv_calloc(DV_MAX(a->n, (size_t)1), sizeof *p);
    if (!p)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < a->n; i++)
        p[i] = (print){hash_vector(a->v + i * a->dim, a->dim), i};
    qsort(p, a->n, sizeof *p, by_hash);
    for (size_t i = 0; i < b->n; i++) {
        print key = {hash_vector(b->v + i * b->dim, b->dim), 0};
        const print *hit = bsearch(&key, p, a->n, sizeof *p, by_hash);
        if (!hit || memcmp(a->v + hit->at * a->dim, b->v + i * b->dim, a->dim * sizeof(float)) != 0)
            continue;
        if ((*count)++ < 3)
            cli_warn("%s (%s) and %s (%s) have the very same vector",
                     cli_set_name(b, b->row[i], one), b->what,
                     cli_set_name(a, a->row[hit->at], two), a->what);
    }
    dv_free(p);
    if (*count)
        cli_warn("%zu %s: the same picture on both sides?", *count, what);
    return true;
}

static bool check_same(ident *v)
{
    size_t of_probes = 0, of_gallery = 0;
    bool ok =
        (!v->gallery.n ||
         count_same(&v->gallery, &v->probes, "probes have the vector of a template of the gallery",
                    &v->same_picture)) &&
        (!v->distractors.n ||
         (count_same(&v->probes, &v->distractors, "distractors have the vector of a probe",
                     &of_probes) &&
          (!v->gallery.n || count_same(&v->gallery, &v->distractors,
                                       "distractors have the vector of a template", &of_gallery))));
    v->same_stranger = of_probes + of_gallery;
    return ok;
}

static bool load_sets(ident *v)
{
    cli_embed_job job = {.o = &v->o,
                         .aligned = v->aligned,
                         .allow_missing = v->allow_missing,
                         .no_cache = v->no_cache};
    if (!open_sets(v))
        return false;
    v->n_enrolled = v->names.n; /* names from here on are of distractors only */
    if (cli_source_given(&v->distractor_from) &&
        (!cli_set_open(&v->distractors, &v->distractor_from, &v->names) || !check_strangers(v)))
        return false;
    return (v->megaface || cli_set_fill(&v->gallery, &job)) && cli_set_fill(&v->probes, &job) &&
           (!v->distractors.people.n || cli_set_fill(&v->distractors, &job)) && same_dims(v) &&
           check_mates(v) && check_same(v);
}

/* ---- what is searched ---- */

static bool open_crowd(ident *v)
{
    dv_err e = {0};
    const char *like = v->like ? v->like : "sphere";
    const float *from = NULL;
    size_t n = 0;
    dv_features f = {0};
    if (!v->made)
        return true;
    if (strcmp(like, "gallery") == 0 && !v->megaface) {
        from = v->gallery.v;
        n = v->gallery.n;
    } else if (strcmp(like, "probes") == 0) {
        from = v->probes.v;
        n = v->probes.n;
    } else if (strcmp(like, "sphere") != 0) {
        if (!dv_features_is_name(like))
            return cli_error("--like %s: sphere, %sprobes, or a .npy or .bin of vectors", like,
                             v->megaface ? "" : "gallery, "),
                   false;
        if (dv_features_load(like, &f, &e))
            return cli_error("%s", e.msg), false;
        if (f.dim != v->probes.dim) {
            cli_error("--like %s: vectors of %zu numbers, the probes have %zu", like, f.dim,
                      v->probes.dim);
            dv_features_free(&f);
            return false;
        }
        from = f.v;
        n = f.n;
    }
    bool ok = !dv_crowd_open(v->probes.dim, (uint64_t)v->seed, from, n, &v->crowd, &e);
    if (!ok)
        cli_error("--like %s: %s", like, e.msg);
    dv_features_free(&f);
    v->plan.crowd = v->crowd;
    return ok;
}

/* Probes without a vector. */
static bool find_lost(ident *v)
{
    const cli_set *s = &v->probes;
    v->lost = dv_calloc(2 * s->faceless + 1, sizeof *v->lost);
    if (!v->lost)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < s->people.n; i++) {
        if (s->state[i] != CLI_PICTURE_NO_FACE)
            continue;
        v->lost[v->n_lost] = (uint32_t)i;
        v->lost[s->faceless + v->n_lost++] = s->people.subject[i];
    }
    return true;
}

/* One probe a person: the mean of the vectors. People without any vector stay as they are. */
static bool merge_probes(ident *v, ident_sides *s)
{
    dv_err e = {0};
    size_t n, kept = 0;
    v->mean_v = dv_calloc(s->probes.n, s->dim * sizeof *v->mean_v);
    v->mean_subject = dv_calloc(2 * s->probes.n, sizeof *v->mean_subject);
    bool *has = dv_calloc(v->names.n + 1, sizeof *has);
    if (!v->mean_v || !v->mean_subject || !has) {
        dv_free(has);
        return cli_error("out of memory"), false;
    }
    uint32_t *row = v->mean_subject + s->probes.n;
    if (dv_fuse_mean(&s->probes, s->dim, v->mean_v, v->mean_subject, &n, &e)) {
        dv_free(has);
        return cli_error("probes: %s", e.msg), false;
    }
    for (size_t i = 0, k = 0; i < s->probes.n && k < n; i++)
        if (!has[s->probes.subject[i]]) {
            has[s->probes.subject[i]] = true;
            row[k++] = s->probe_row[i];
        }
    for (size_t i = 0; i < v->n_lost; i++) { /* one answer a person here, too */
        uint32_t who = v->lost[v->probes.faceless + i];
        if (has[who])
            continue;
        has[who] = true;
        v->lost[kept] = v->lost[i];
        v->lost[v->probes.faceless + kept++] = who;
    }
    v->n_lost = kept;
    dv_free(has);
    s->probes = (dv_templates){v->mean_v, v->mean_subject, n};
    s->probe_row = row;
    return true;
}

static bool search(ident *v)
{
    ident_sides s = {
        .gallery = {v->gallery.v, v->gallery.subject, v->gallery.n},
        .probes = {v->probes.v, v->probes.subject, v->probes.n},
        .dim = v->probes.dim,
        .enrolled = v->enrolled,
        .probe_row = v->probes.row,
    };
    v->plan.given = v->distractors.v;
    v->plan.n_given = v->distractors.n;
    if (!find_lost(v) || (v->probe_mean && !merge_probes(v, &s)))
        return false;
    s.lost_row = v->lost;
    s.lost_subject = v->lost + v->probes.faceless;
    s.n_lost = v->n_lost;
    v->n_probes = s.probes.n + s.n_lost;
    struct rusage use;
    if (!open_crowd(v) || !ident_run(v->ctx, &s, &v->plan, &v->r))
        return false;
    if (getrusage(RUSAGE_SELF, &use) == 0)
        v->peak_bytes = (size_t)use.ru_maxrss * 1024;
    if (v->plan.open && v->r.mated == v->r.n)
        cli_warn("every probe has a mate in the gallery: there is no open set to count");
    if (v->plan.open && v->r.mated == 0)
        return cli_error("no probe has a mate in the gallery: nobody can be found"), false;
    return true;
}

static int run(ident *v)
{
    if (!check_plan(v) || !check_sources(v) || !ident_can_draw(v) ||
        cli_context_open(&v->o, &v->ctx) || !load_sets(v) || !search(v) || !ident_write_files(v) ||
        !ident_draw(v))
        return CLI_ERROR;
    ident_print(v);
    ident_print_json(v);
    return CLI_YES;
}

static void close_ident(ident *v)
{
    ident_result_free(&v->r);
    cli_set_close(&v->gallery);
    cli_set_close(&v->probes);
    cli_set_close(&v->distractors);
    dv_names_free(&v->names);
    dv_crowd_close(&v->crowd);
    dv_free(v->enrolled);
    dv_free(v->lost);
    dv_free(v->mean_v);
    dv_free(v->mean_subject);
    dmv_context_close(&v->ctx);
    dv_free(v);
}

int cli_eval_identify(int argc, char **argv)
{
    size_t n;
    int done, code;
    ident *v = dv_calloc(1, sizeof *v);
    if (!v)
        return cli_error("out of memory");
    v->o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MODEL | CLI_USE_MIRROR;
    v->enrol = 1;
    v->seed = 1;
    v->depth = 100;
    v->gallery_from.what = "gallery";
    v->probe_from.what = "probes";
    v->distractor_from.what = "distractors";
    v->distractor_from.anybody = true;
    cli_option own[] = {
        {"people", "DIR", "one folder a person: the first pictures are enrolled", CLI_TEXT,
         &v->people},
        {"enrol", "N", "... so many of each (1), the others are probes", CLI_INT, &v->enrol},
        {"strangers", "N", "... but so many people not at all (0)", CLI_INT, &v->strangers},
        {"gallery", "DIR", "one folder a person", CLI_TEXT, &v->gallery_from.dir},
        {"gallery-list", "FILE", "lines subject<TAB>path, of pictures or .bin, .npy", CLI_TEXT,
         &v->gallery_from.list},
        {"gallery-features", "FILE", "matrix of vectors; line i of the list has the subject",
         CLI_TEXT, &v->gallery_from.features},
        {"probes", "DIR", "the same for those to find", CLI_TEXT, &v->probe_from.dir},
        {"probe-list", "FILE", "...", CLI_TEXT, &v->probe_from.list},
        {"probe-features", "FILE", "...", CLI_TEXT, &v->probe_from.features},
        {"images", "DIR", "folder that the paths of lists are below", CLI_TEXT, &v->images},
        {"suffix", "TEXT", "added to the paths of lists (\"_net.bin\")", CLI_TEXT, &v->suffix},
        {"distractors", "N", "made-up strangers, up to 1,000,000,000", CLI_INT, &v->made},
        {"like", "WHAT", "... as sphere (default), gallery, probes or a FILE of vectors", CLI_TEXT,
         &v->like},
        {"seed", "N", "... of them (1)", CLI_INT, &v->seed},
        {"distractor-images", "DIR", "strangers from pictures", CLI_TEXT, &v->distractor_from.dir},
        {"distractor-list", "FILE", "lines path, or subject<TAB>path", CLI_TEXT,
         &v->distractor_from.list},
        {"distractor-features", "FILE", "matrix of vectors", CLI_TEXT,
         &v->distractor_from.features},
        {"megaface", NULL, "each pair of a person's probes among the distractors", CLI_FLAG,
         &v->megaface},
        {"open", NULL, "probes without a mate are strangers: FNIR at FPIR", CLI_FLAG, &v->open},
        {"fuse", "max|mean", "several templates of a subject: the best, or their mean", CLI_TEXT,
         &v->fuse},
        {"probe-mean", NULL, "one probe a subject: the mean of its vectors", CLI_FLAG,
         &v->probe_mean},
        {"ranks", "LIST", "ranks to tell (1,5,10,20)", CLI_TEXT, &v->ranks},
        {"depth", "N", "ranks that are told apart, 1..1000 (100)", CLI_INT, &v->depth},
        {"fpir", "RATES", "for the open set (0.1,0.01,0.001)", CLI_TEXT, &v->fpir},
        {"far", "RATES", "for --megaface (1e-4,1e-5,1e-6)", CLI_TEXT, &v->far},
        {"aligned", NULL, "the pictures are faces of 112 x 112", CLI_FLAG, &v->aligned},
        {"allow-missing", NULL, "leave pictures out that cannot be read", CLI_FLAG,
         &v->allow_missing},
        {"no-cache", NULL, "embed again, and keep nothing", CLI_FLAG, &v->no_cache},
        {"report", "FILE.md", "report in Markdown", CLI_TEXT, &v->report},
        {"cmc", "FILE", "chart: share found by rank (.svg, .png)", CLI_TEXT, &v->cmc},
        {"det", "FILE", "chart: FNIR against FPIR", CLI_TEXT, &v->det},
        {"growth", "FILE", "chart: rank 1 against the number of distractors", CLI_TEXT, &v->growth},
        {"dump", "FILE", "probe, subject, rank, similarities of mate and best other", CLI_TEXT,
         &v->dump},
        {"save-features", "DIR", "write gallery and probes as .npy with lists", CLI_TEXT, &v->save},
    };
    if (!cli_parse(
            argc, argv,
            "domovoi eval identify [options] --people DIR\n"
            "       domovoi eval identify [options] --gallery DIR --probes DIR\n"
            "       domovoi eval identify [options] --megaface --probes DIR --distractors N\n\n"
            "Finds each probe in a gallery: the share that comes out first, among the first k "
            "(CMC),\nand, with --open, what is missed at a rate of false alarms. Ties count "
            "against the net,\nand so do pictures without a face. The last line is JSON.",
            "  domovoi eval identify --people photos --enrol 2 --distractors 1000000\n"
            "  domovoi eval identify --people photos --strangers 20 --like gallery\n"
            "  domovoi eval identify --gallery-list g.tsv --probe-list p.tsv --images lfw --open\n"
            "  domovoi eval identify --megaface --probe-list facescrub.json --images feats \\\n"
            "    --suffix _net.bin --distractor-list megaface.json\n",
            &v->o, own, DV_COUNT(own), NULL, 0, &n, &done)) {
        code = done;
    } else {
        cli_source *from[] = {&v->gallery_from, &v->probe_from, &v->distractor_from};
        for (size_t i = 0; i < DV_COUNT(from); i++) {
            from[i]->images = v->images;
            from[i]->suffix = v->suffix;
        }
        code = run(v);
    }
    close_ident(v);
    return code;
}
