/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_cross.c - `domovoi eval cross`: a gallery by one net, probes by another. Says whether nets
 * of different size can work in one system: pairs and a search with the first net alone, with the
 * second alone, and with both together. Nets that were not made for each other give chance.
 *
 * A projection is a matrix that takes the probe net's vectors to the gallery net's: row i holds
 * the weights of number i.
 */
#include "identify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/bin.h"

#define MAX_DIST 4.0
#define SHOWN 10

enum { GALLERY_NET, PROBE_NET, NETS };
static const char *const roles[NETS] = {"gallery", "probes"};

/* One of the three: which net each side is by. */
typedef struct mix {
    int gallery, probes;
    dv_metrics m;
    ident_result r;
} mix;

typedef struct cross {
    cli_common o;
    const char *net[NETS], *projection, *pairs_path, *images, *people, *report, *far, *fpir;
    cli_source gallery_from, probe_from;
    int enrol, strangers, open, aligned, allow_missing, no_cache, bootstrap, seed, made;
    double rates[DV_MAX_RATES];
    size_t n_rates;
    ident_plan plan;
    dmv_context *ctx;
    dv_features p;
    char name[NETS][128], id[NETS][33];
    size_t dim[NETS];
    /* pairs */
    dv_pairs pairs;
    dv_bin bin;
    bool is_bin;
    struct cli_memory *memory;
    cli_embedded emb[NETS];
    float *moved; /* emb of the probe net in the gallery net's space */
    /* people */
    dv_names names;
    cli_set gallery[NETS], probes[NETS];
    float *moved_probes;
    bool *enrolled;
    uint32_t *lost;
    dv_crowd *crowd[NETS];
    mix mix[3];
} cross;

static bool no_memory(void)
{
    return cli_error("out of memory"), false;
}

/* ---- the projection ---- */

static bool open_projection(cross *v)
{
    dv_err e = {0};
    if (!v->projection)
        return true;
    if (dv_features_load(v->projection, &v->p, &e))
        return cli_error("%s", e.msg), false;
    return true;
}

static bool check_dims(cross *v)
{
    size_t a = v->dim[GALLERY_NET], b = v->dim[PROBE_NET];
    if (!v->p.v && a != b)
        return cli_error("%s gives %zu numbers, %s gives %zu: they cannot be compared as they "
                         "are; --projection FILE.npy with a matrix of %zu x %zu brings the second "
                         "into the space of the first",
                         v->name[GALLERY_NET], a, v->name[PROBE_NET], b, a, b),
               false;
    if (v->p.v && (v->p.n != a || v->p.dim != b))
        return cli_error("%s: is a matrix of %zu x %zu; vectors of %s (%zu) to those of %s (%zu) "
                         "take one of %zu x %zu",
                         v->projection, v->p.n, v->p.dim, v->name[PROBE_NET], b,
                         v->name[GALLERY_NET], a, a, b),
               false;
    return true;
}

/* n vectors of the probe net, brought over; unit length where there is a direction. */
static float *project(const cross *v, const float *from, size_t n)
{
    size_t a = v->dim[GALLERY_NET], b = v->dim[PROBE_NET], cells;
    float *out = dv_mul(n, a, &cells) ? dv_calloc(DV_MAX(cells, (size_t)1), sizeof *out) : NULL;
    for (size_t i = 0; out && i < n; i++) {
        double sum = 0;
        for (size_t r = 0; r < a; r++) {
            double x = v->p.v ? 0 : from[i * b + r];
            for (size_t c = 0; v->p.v && c < b; c++)
                x += (double)v->p.v[r * b + c] * from[i * b + c];
            out[i * a + r] = (float)x;
            sum += x * x;
        }
        for (size_t r = 0; sum > 0 && r < a; r++)
            out[i * a + r] = (float)(out[i * a + r] / sqrt(sum));
    }
    if (!out)
        cli_error("out of memory");
    return out;
}

/* What the nets are, before any picture is looked at. */
static bool open_nets(cross *v)
{
    bool ok = true;
    for (int net = 0; net < NETS && ok; net++) {
        cli_faces f = {0};
        cli_common one = v->o;
        one.threads = 1;
        one.model = v->net[net];
        ok = !cli_context_open(&one, &f.ctx) && cli_models_open(&f, &one, CLI_WANT_EMBEDDER);
        if (ok) {
            const char *name = dmv_model_text(f.emb, "name");
            snprintf(v->name[net], sizeof v->name[net], "%s", name ? name : "unnamed net");
            snprintf(v->id[net], sizeof v->id[net], "%s", dmv_model_id(f.emb));
            v->dim[net] = dmv_model_dim(f.emb);
        }
        cli_faces_close(&f);
    }
    if (ok && strcmp(v->id[GALLERY_NET], v->id[PROBE_NET]) == 0)
        cli_warn("both are the same net (%s)", v->id[GALLERY_NET]);
    return ok && check_dims(v);
}

/* ---- pairs ---- */

static bool load_pairs(cross *v)
{
    dv_err e = {0};
    v->is_bin = dv_bin_is(v->pairs_path);
    if (v->is_bin ? dv_bin_load(v->pairs_path, &v->bin, &e)
                  : dv_pairs_load(v->pairs_path, &v->pairs, &e))
        return cli_error("%s", e.msg), false;
    if (!v->is_bin && !v->images)
        return cli_error("--images DIR is needed: the folder that the names in %s are below",
                         v->pairs_path),
               false;
    const dv_pairs *p = v->is_bin ? &v->bin.pairs : &v->pairs;
    v->memory = v->is_bin ? dv_calloc(p->n_names, sizeof *v->memory) : NULL;
    if (v->is_bin && !v->memory)
        return no_memory();
    for (size_t i = 0; v->memory && i < p->n_names; i++)
        v->memory[i] = (struct cli_memory){v->bin.picture[i].data, v->bin.picture[i].size};
    for (int net = 0; net < NETS; net++) {
        cli_embed_job job = {.o = &v->o,
                             .model = v->net[net],
                             .names = p->names,
                             .n = p->n_names,
                             .folder = v->is_bin ? NULL : v->images,
                             .memory = v->memory,
                             .aligned = v->aligned || v->is_bin,
                             .allow_missing = v->allow_missing,
                             .no_cache = v->no_cache,
                             .remedy = "--images must name the folder that the list's names are "
                                       "below; --allow-missing leaves their pairs out"};
        if (!cli_embed_pictures(&job, &v->emb[net]))
            return false;
    }
    v->moved = project(v, v->emb[PROBE_NET].vectors, p->n_names);
    return v->moved != NULL;
}

/* The first picture of a pair stands in the gallery, the second is the probe. */
static double distance(const cross *v, const mix *x, const dv_pair *p)
{
    const cli_embedded *g = &v->emb[x->gallery], *q = &v->emb[x->probes];
    if (g->state[p->a] != CLI_PICTURE_VECTOR || q->state[p->b] != CLI_PICTURE_VECTOR)
        return MAX_DIST;
    const float *a = g->vectors + p->a * g->dim;
    const float *b = (x->gallery == x->probes ? q->vectors : v->moved) + p->b * g->dim;
    double sum = 0;
    for (size_t i = 0; i < g->dim; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return DV_MIN(sum, MAX_DIST);
}

static bool verify(cross *v, mix *x)
{
    dv_err e = {0};
    const dv_pairs *p = v->is_bin ? &v->bin.pairs : &v->pairs;
    const uint8_t *state = v->emb[0].state;
    double *dist = dv_calloc(p->n, sizeof *dist);
    bool *same = dv_calloc(p->n, sizeof *same), ok = false;
    uint32_t *fold = dv_calloc(p->n, sizeof *fold);
    size_t n = 0;
    if (!dist || !same || !fold) {
        no_memory();
        goto done;
    }
    for (size_t i = 0; i < p->n; i++) {
        if (state[p->pair[i].a] == CLI_PICTURE_MISSING ||
            state[p->pair[i].b] == CLI_PICTURE_MISSING)
            continue;
        dist[n] = distance(v, x, &p->pair[i]);
        same[n] = p->pair[i].same;
        fold[n++] = (uint32_t)(i / (p->n / p->folds));
    }
    dv_trials t = {.dist = dist, .same = same, .fold = fold, .n = n, .folds = p->folds};
    dv_bootstrap boot = {(size_t)v->bootstrap, (uint64_t)v->seed};
    ok = !dv_metrics_make(&t, v->rates, v->n_rates, &boot, &x->m, &e);
    if (!ok)
        cli_error("%s: %s", v->pairs_path, e.msg);
done:
    dv_free(dist);
    dv_free(same);
    dv_free(fold);
    return ok;
}

/* ---- people ---- */

static bool open_people(cross *v, int net)
{
    if (!v->people)
        return cli_set_open(&v->gallery[net], &v->gallery_from, &v->names) &&
               cli_set_open(&v->probes[net], &v->probe_from, &v->names);
    cli_source from = {.what = "gallery", .dir = v->people};
    if (!cli_set_open(&v->gallery[net], &from, &v->names))
        return false;
    if ((size_t)v->strangers >= v->names.n)
        return cli_error("--strangers %d: %s has %zu people; somebody must be enrolled",
                         v->strangers, v->people, v->names.n),
               false;
    return cli_set_split(&v->gallery[net], (size_t)v->enrol, (size_t)v->strangers, v->names.n,
                         &v->probes[net]);
}

static bool check_mates(cross *v)
{
    const cli_set *g = &v->gallery[0], *p = &v->probes[0];
    size_t alone = 0;
    v->enrolled = dv_calloc(v->names.n + 1, sizeof *v->enrolled);
    if (!v->enrolled)
        return no_memory();
    for (size_t i = 0; i < g->people.n; i++)
        if (g->state[i] != CLI_PICTURE_MISSING)
            v->enrolled[g->people.subject[i]] = true;
    for (size_t i = 0; i < p->people.n && !v->plan.open; i++) {
        uint32_t who = p->people.subject[i];
        char buf[32];
        if (!v->enrolled[who] && alone++ < SHOWN)
            cli_error("%s: its subject, %s, is not in the gallery", cli_set_name(p, i, buf),
                      v->names.v[who]);
    }
    if (alone)
        return cli_error("%zu of %zu probes have no mate in the gallery: a closed set has no such "
                         "probes; --open makes strangers of them",
                         alone, p->people.n),
               false;
    return true;
}

static bool find_lost(cross *v)
{
    const cli_set *s = &v->probes[0];
    size_t n = 0;
    v->lost = dv_calloc(2 * s->faceless + 1, sizeof *v->lost);
    if (!v->lost)
        return no_memory();
    for (size_t i = 0; i < s->people.n; i++) {
        if (s->state[i] != CLI_PICTURE_NO_FACE)
            continue;
        v->lost[n] = (uint32_t)i;
        v->lost[s->faceless + n++] = s->people.subject[i];
    }
    return true;
}

static bool load_people(cross *v)
{
    dv_err e = {0};
    for (int net = 0; net < NETS; net++) {
        cli_embed_job job = {.o = &v->o,
                             .model = v->net[net],
                             .aligned = v->aligned,
                             .allow_missing = v->allow_missing,
                             .no_cache = v->no_cache};
        if (!open_people(v, net) || !cli_set_fill(&v->gallery[net], &job) ||
            !cli_set_fill(&v->probes[net], &job))
            return false;
        if (!v->gallery[net].pictures || !v->probes[net].pictures)
            return cli_error("pictures are needed, not vectors: each net is to look at them"),
                   false;
        if (v->made && dv_crowd_open(v->dim[net], (uint64_t)v->seed, v->gallery[net].v,
                                     v->gallery[net].n, &v->crowd[net], &e))
            return cli_error("--distractors: %s", e.msg), false;
    }
    if (!check_mates(v) || !find_lost(v))
        return false;
    v->moved_probes = project(v, v->probes[PROBE_NET].v, v->probes[PROBE_NET].n);
    return v->moved_probes != NULL;
}

static bool identify(cross *v, mix *x)
{
    const cli_set *g = &v->gallery[x->gallery], *p = &v->probes[x->probes];
    const float *probes = x->gallery == x->probes ? p->v : v->moved_probes;
    ident_sides s = {
        .gallery = {g->v, g->subject, g->n},
        .probes = {probes, p->subject, p->n},
        .dim = g->dim,
        .enrolled = v->enrolled,
        .probe_row = p->row,
        .lost_row = v->lost,
        .lost_subject = v->lost + v->probes[0].faceless,
        .n_lost = v->probes[0].faceless,
    };
    v->plan.crowd = v->crowd[x->gallery];
    return ident_run(v->ctx, &s, &v->plan, &x->r);
}

/* ---- what came out ---- */

/* Ends a line of a table: blanks that fill the last cell go. */
static void end_row(dv_buf *b, bool markdown)
{
    while (b->size && b->data[b->size - 1] == ' ')
        b->size--;
    dv_buf_printf(b, markdown ? " |\n" : "\n");
}

static const char *mix_name(const cross *v, const mix *x, char buf[300])
{
    snprintf(buf, 300, "%s / %s", v->name[x->gallery], v->name[x->probes]);
    return buf;
}

static const char *tar_text(char buf[48], const dv_tar *t)
{
    if (isfinite(t->ci.lo))
        snprintf(buf, 48, "%.2f (%.2f-%.2f)", 100 * t->tar, 100 * t->ci.lo, 100 * t->ci.hi);
    else
        snprintf(buf, 48, "%.2f", 100 * t->tar);
    return buf;
}

static double share(size_t k, size_t n)
{
    return n ? (double)k / (double)n : NAN;
}

static void put_verify(dv_buf *b, const cross *v, bool markdown)
{
    char name[300], buf[48];
    const char *sep = markdown ? " | " : "  ";
    dv_buf_printf(b, markdown ? "\n| gallery / probes" : "%-40s", "gallery / probes");
    dv_buf_printf(b, "%s%-14s%s%5s", sep, "accuracy", sep, "EER");
    for (size_t k = 0; k < v->n_rates; k++) {
        snprintf(buf, sizeof buf, "TAR at FAR %g", v->rates[k]);
        dv_buf_printf(b, "%s%-20s", sep, buf);
    }
    end_row(b, markdown);
    if (markdown)
        dv_buf_printf(b, "| --- | ---: | ---:");
    for (size_t k = 0; markdown && k < v->n_rates; k++)
        dv_buf_printf(b, " | ---:");
    if (markdown)
        dv_buf_printf(b, " |\n");
    for (size_t i = 0; i < DV_COUNT(v->mix); i++) {
        const dv_metrics *m = &v->mix[i].m;
        mix_name(v, &v->mix[i], name);
        if (markdown) {
            dv_buf_printf(b, "| ");
            cli_put_cell(b, name);
        } else {
            dv_buf_printf(b, "%-40s", name);
        }
        dv_buf_printf(b, "%s%5.2f +- %5.2f%s%5.2f", sep, 100 * m->accuracy, 100 * m->std, sep,
                      100 * m->eer);
        for (size_t k = 0; k < m->n_tar; k++)
            dv_buf_printf(b, "%s%-20s", sep, tar_text(buf, &m->tar[k]));
        end_row(b, markdown);
    }
}

static void put_identify(dv_buf *b, const cross *v, bool markdown)
{
    char name[300], buf[48];
    const char *sep = markdown ? " | " : "  ";
    const ident_plan *p = &v->plan;
    size_t columns = p->n_ranks + v->mix[0].r.n_open;
    dv_buf_printf(b, markdown ? "\n| gallery / probes" : "%-40s", "gallery / probes");
    for (size_t k = 0; k < p->n_ranks; k++) {
        snprintf(buf, sizeof buf, "rank %zu", p->rank[k]);
        dv_buf_printf(b, "%s%7s", sep, buf);
    }
    for (size_t k = 0; k < v->mix[0].r.n_open; k++) {
        snprintf(buf, sizeof buf, "FNIR at FPIR %g", p->fpir[k]);
        dv_buf_printf(b, "%s%18s", sep, buf);
    }
    end_row(b, markdown);
    if (markdown)
        dv_buf_printf(b, "| ---");
    for (size_t k = 0; markdown && k < columns; k++)
        dv_buf_printf(b, " | ---:");
    if (markdown)
        dv_buf_printf(b, " |\n");
    for (size_t i = 0; i < DV_COUNT(v->mix); i++) {
        const ident_result *r = &v->mix[i].r;
        mix_name(v, &v->mix[i], name);
        if (markdown) {
            dv_buf_printf(b, "| ");
            cli_put_cell(b, name);
        } else {
            dv_buf_printf(b, "%-40s", name);
        }
        for (size_t k = 0; k < p->n_ranks; k++)
            dv_buf_printf(b, "%s%7.2f", sep, 100 * share(r->hits[p->rank[k] - 1], r->mated));
        for (size_t k = 0; k < r->n_open; k++)
            dv_buf_printf(b, "%s%18.2f", sep, 100 * share(r->open[k].missed, r->open[k].mated));
        end_row(b, markdown);
    }
}

static void put_people(dv_buf *b, const cross *v)
{
    dv_buf_printf(b, "%zu templates, %zu probes (%zu with a mate)", v->gallery[0].n, v->mix[0].r.n,
                  v->mix[0].r.mated);
    if (v->made)
        dv_buf_printf(b, ", %d distractors (made up, like the gallery, seed %d)", v->made, v->seed);
}

static void print_text(const cross *v)
{
    dv_buf b = {0};
    if (v->o.json || v->o.quiet)
        return;
    if (v->pairs_path) {
        dv_buf_printf(&b, "%zu pairs, in percent\n", v->mix[0].m.genuine + v->mix[0].m.impostors);
        put_verify(&b, v, false);
    }
    if (v->gallery[0].n) {
        dv_buf_printf(&b, v->pairs_path ? "\n" : "");
        put_people(&b, v);
        dv_buf_printf(&b, ", in percent\n");
        put_identify(&b, v, false);
    }
    fputs(b.bad ? "" : (const char *)b.data, stdout);
    dv_buf_free(&b);
}

static bool write_report(const cross *v)
{
    dv_buf b = {0};
    char name[300];
    if (!v->report)
        return true;
    dv_buf_printf(&b, "# Two nets in one system: ");
    cli_put_cell(&b, mix_name(v, &v->mix[2], name));
    dv_buf_printf(&b, "\n\nGallery by the first net, probes by the second%s; in percent.\n",
                  v->projection ? ", brought over by a projection" : "");
    if (v->pairs_path) {
        dv_buf_printf(&b, "\n%zu pairs; the first picture of each stands in the gallery.%s\n",
                      v->mix[0].m.genuine + v->mix[0].m.impostors,
                      v->bootstrap ? " In brackets: 95 % intervals by a bootstrap over pairs."
                                   : "");
        put_verify(&b, v, true);
    }
    if (v->gallery[0].n) {
        dv_buf_printf(&b, "\n");
        put_people(&b, v);
        dv_buf_printf(&b, ".\n");
        put_identify(&b, v, true);
    }
    return cli_write_buf(v->report, &b);
}

static void json_verify(cli_json *j, const dv_metrics *m)
{
    cli_js_open(j, "verification", '{');
    cli_js_int(j, "pairs", (long long)(m->genuine + m->impostors));
    cli_js_real(j, "accuracy", m->accuracy, 8);
    cli_js_real(j, "std", m->std, 8);
    cli_js_real(j, "eer", m->eer, 8);
    cli_js_real(j, "auc", m->auc, 8);
    cli_js_open(j, "tar", '[');
    for (size_t k = 0; k < m->n_tar; k++) {
        cli_js_open(j, NULL, '{');
        cli_js_real(j, "far", m->tar[k].far, 8);
        cli_js_real(j, "tar", m->tar[k].tar, 8);
        cli_js_open(j, "interval", '[');
        cli_js_real(j, NULL, m->tar[k].ci.lo, 8);
        cli_js_real(j, NULL, m->tar[k].ci.hi, 8);
        cli_js_close(j, ']');
        cli_js_close(j, '}');
    }
    cli_js_close(j, ']');
    cli_js_close(j, '}');
}

static void json_identify(cli_json *j, const cross *v, const ident_result *r)
{
    char key[24];
    cli_js_open(j, "identification", '{');
    cli_js_int(j, "probes", (long long)r->n);
    cli_js_int(j, "mated", (long long)r->mated);
    cli_js_int(j, "distractors", v->made);
    cli_js_open(j, "rank", '{');
    for (size_t k = 0; k < v->plan.n_ranks; k++) {
        snprintf(key, sizeof key, "%zu", v->plan.rank[k]);
        cli_js_real(j, key, share(r->hits[v->plan.rank[k] - 1], r->mated), 8);
    }
    cli_js_close(j, '}');
    cli_js_open(j, "open", '[');
    for (size_t k = 0; k < r->n_open; k++) {
        const dv_open_point *q = &r->open[k];
        cli_js_open(j, NULL, '{');
        cli_js_real(j, "rate", q->rate, 8);
        cli_js_real(j, "threshold", q->threshold, 9);
        cli_js_real(j, "fnir", share(q->missed, q->mated), 8);
        cli_js_close(j, '}');
    }
    cli_js_close(j, ']');
    cli_js_close(j, '}');
}

static void print_json(const cross *v)
{
    cli_json j = {.f = stdout};
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "projection", v->projection);
    cli_js_open(&j, "mixes", '[');
    for (size_t i = 0; i < DV_COUNT(v->mix); i++) {
        const mix *x = &v->mix[i];
        const int net[NETS] = {x->gallery, x->probes};
        cli_js_open(&j, NULL, '{');
        for (int k = 0; k < NETS; k++) {
            cli_js_open(&j, roles[k], '{');
            cli_js_text(&j, "model", v->name[net[k]]);
            cli_js_text(&j, "id", v->id[net[k]]);
            cli_js_close(&j, '}');
        }
        if (v->pairs_path)
            json_verify(&j, &x->m);
        if (v->gallery[0].n)
            json_identify(&j, v, &x->r);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

/* ---- the command ---- */

static bool check(cross *v)
{
    bool gallery = cli_source_given(&v->gallery_from), probes = cli_source_given(&v->probe_from);
    if (!v->net[GALLERY_NET] || !v->net[PROBE_NET])
        return cli_error("--model-gallery and --model-probe are needed; `domovoi eval cross "
                         "--help` shows the form"),
               false;
    if (!v->pairs_path && !v->people && !gallery)
        return cli_error("pictures are needed: --pairs, --people, or a gallery and probes"), false;
    if (gallery != probes || (v->people && gallery))
        return cli_error("a gallery and probes, or --people for both"), false;
    if (v->people && v->enrol < 1)
        return cli_error("--enrol 0: at least one picture of a person"), false;
    if (v->bootstrap > 1000000)
        return cli_error("--bootstrap %d: at most 1,000,000 rounds", v->bootstrap), false;
    v->plan.open = v->open || v->strangers;
    v->plan.depth = 20;
    v->plan.rank[0] = 1;
    v->plan.rank[1] = 5;
    v->plan.rank[2] = 20;
    v->plan.n_ranks = 3;
    v->plan.n_made = (size_t)v->made;
    v->plan.o = &v->o;
    return cli_parse_rates("far", v->far ? v->far : "1e-2,1e-3", v->rates, DV_MAX_RATES,
                           &v->n_rates) &&
           cli_parse_rates("fpir", v->fpir ? v->fpir : "0.1,0.01", v->plan.fpir, IDENT_MAX_RATES,
                           &v->plan.n_fpir);
}

static int run(cross *v)
{
    static const int sides[3][NETS] = {
        {GALLERY_NET, GALLERY_NET}, {PROBE_NET, PROBE_NET}, {GALLERY_NET, PROBE_NET}};
    bool people = v->people || cli_source_given(&v->gallery_from);
    if (!check(v) || !open_projection(v) || !open_nets(v) || cli_context_open(&v->o, &v->ctx) ||
        (v->pairs_path && !load_pairs(v)) || (people && !load_people(v)))
        return CLI_ERROR;
    for (size_t i = 0; i < DV_COUNT(v->mix); i++) {
        v->mix[i].gallery = sides[i][0];
        v->mix[i].probes = sides[i][1];
        if ((v->pairs_path && !verify(v, &v->mix[i])) || (people && !identify(v, &v->mix[i])))
            return CLI_ERROR;
    }
    if (!write_report(v))
        return CLI_ERROR;
    print_text(v);
    print_json(v);
    return CLI_YES;
}

static void close_cross(cross *v)
{
    for (size_t i = 0; i < DV_COUNT(v->mix); i++)
        ident_result_free(&v->mix[i].r);
    for (int net = 0; net < NETS; net++) {
        cli_set_close(&v->gallery[net]);
        cli_set_close(&v->probes[net]);
        cli_embedded_free(&v->emb[net]);
        dv_crowd_close(&v->crowd[net]);
    }
    if (v->is_bin)
        dv_bin_free(&v->bin);
    else
        dv_pairs_free(&v->pairs);
    dv_free(v->memory);
    dv_free(v->moved);
    dv_free(v->moved_probes);
    dv_free(v->enrolled);
    dv_free(v->lost);
    dv_features_free(&v->p);
    dv_names_free(&v->names);
    dmv_context_close(&v->ctx);
    dv_free(v);
}

int cli_eval_cross(int argc, char **argv)
{
    size_t n;
    int done, code;
    cross *v = dv_calloc(1, sizeof *v);
    if (!v)
        return cli_error("out of memory");
    v->o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MIRROR;
    v->enrol = 1;
    v->bootstrap = 1000;
    v->seed = 1;
    v->gallery_from.what = "gallery";
    v->probe_from.what = "probes";
    cli_option own[] = {
        {"model-gallery", "NET.dmv", "net of the gallery. Needed", CLI_TEXT, &v->net[GALLERY_NET]},
        {"model-probe", "NET.dmv", "net of the probes. Needed", CLI_TEXT, &v->net[PROBE_NET]},
        {"projection", "FILE.npy", "matrix from the probe net's vectors to the gallery net's",
         CLI_TEXT, &v->projection},
        {"pairs", "FILE", "LFW's pairs.txt, lines a<TAB>b<TAB>1|0, or a .bin", CLI_TEXT,
         &v->pairs_path},
        {"images", "DIR", "folder that the names of lists are below", CLI_TEXT, &v->images},
        {"people", "DIR", "one folder a person: the first pictures are enrolled", CLI_TEXT,
         &v->people},
        {"enrol", "N", "... so many of each (1), the others are probes", CLI_INT, &v->enrol},
        {"strangers", "N", "... but so many people not at all (0)", CLI_INT, &v->strangers},
        {"gallery", "DIR", "one folder a person", CLI_TEXT, &v->gallery_from.dir},
        {"gallery-list", "FILE", "lines subject<TAB>path", CLI_TEXT, &v->gallery_from.list},
        {"probes", "DIR", "the same for those to find", CLI_TEXT, &v->probe_from.dir},
        {"probe-list", "FILE", "...", CLI_TEXT, &v->probe_from.list},
        {"open", NULL, "probes without a mate are strangers: FNIR at FPIR", CLI_FLAG, &v->open},
        {"distractors", "N", "made-up strangers, like the gallery", CLI_INT, &v->made},
        {"far", "RATES", "false-accept rates for the TAR (1e-2,1e-3)", CLI_TEXT, &v->far},
        {"fpir", "RATES", "for the open set (0.1,0.01)", CLI_TEXT, &v->fpir},
        {"bootstrap", "N", "rounds for the intervals, 0 = none (1000)", CLI_INT, &v->bootstrap},
        {"seed", "N", "of the bootstrap and the distractors (1)", CLI_INT, &v->seed},
        {"aligned", NULL, "the pictures are faces of 112 x 112", CLI_FLAG, &v->aligned},
        {"allow-missing", NULL, "leave pictures out that cannot be read", CLI_FLAG,
         &v->allow_missing},
        {"no-cache", NULL, "embed again, and keep nothing", CLI_FLAG, &v->no_cache},
        {"report", "FILE.md", "report in Markdown", CLI_TEXT, &v->report},
    };
    if (!cli_parse(
            argc, argv,
            "domovoi eval cross [options] --model-gallery A.dmv --model-probe B.dmv --pairs "
            "FILE\n"
            "       domovoi eval cross [options] --model-gallery A.dmv --model-probe B.dmv "
            "--people DIR\n\n"
            "Can a gallery by one net be searched with another's vectors? Each net alone, and "
            "both\ntogether. The last line is JSON.",
            "  domovoi eval cross --model-gallery teacher.dmv --model-probe student.dmv \\\n"
            "    --images lfw112 --pairs pairs.txt --aligned\n"
            "  domovoi eval cross --model-gallery a.dmv --model-probe b.dmv --projection b2a.npy "
            "\\\n    --people photos --strangers 20\n",
            &v->o, own, DV_COUNT(own), NULL, 0, &n, &done)) {
        code = done;
    } else {
        v->gallery_from.images = v->probe_from.images = v->images;
        code = run(v);
    }
    close_cross(v);
    return code;
}
