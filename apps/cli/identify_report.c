/* SPDX-License-Identifier: Apache-2.0
 *
 * identify_report.c - what `domovoi eval identify` found: text, JSON, Markdown, and files from
 * which others can compute it again.
 */
#include "identify.h"

#include <math.h>
#include <string.h>

static double share(size_t k, size_t n)
{
    return n ? (double)k / (double)n : NAN;
}

/* "98.40 (97.93-98.79)" */
static const char *with_interval(char buf[48], size_t k, size_t n)
{
    dv_interval i = n ? dv_clopper_pearson((double)k, (double)n, 0.95) : (dv_interval){NAN, NAN};
    if (n)
        snprintf(buf, 48, "%.2f (%.2f-%.2f)", 100 * share(k, n), 100 * i.lo, 100 * i.hi);
    else
        memcpy(buf, "-", 2);
    return buf;
}

static const char *protocol(const ident *v)
{
    return v->megaface ? "MegaFace" : v->plan.open ? "open set" : "closed set";
}

static const char *net_name(const ident *v)
{
    return v->probes.pictures ? v->probes.emb.name : "given vectors";
}

static size_t count_subjects(const ident *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n_enrolled; i++)
        n += v->enrolled[i];
    return n;
}

static uint64_t distractors(const ident *v)
{
    return v->plan.n_given + v->plan.n_made;
}

/* "2,000,000 distractors (1,000 given, the others made up: sphere, seed 1)" */
static void put_distractors(dv_buf *b, const ident *v)
{
    const ident_plan *p = &v->plan;
    if (!distractors(v))
        return;
    dv_buf_printf(b, ", %llu distractors", (unsigned long long)distractors(v));
    if (p->n_given && p->n_made)
        dv_buf_printf(b, " (%zu given, the others made up", p->n_given);
    else
        dv_buf_printf(b, p->n_given ? " (given" : " (made up");
    if (p->n_made)
        dv_buf_printf(b, ", %s, seed %d", v->like ? cli_base_name(v->like) : "sphere", v->seed);
    dv_buf_printf(b, ")");
}

static void put_setup(dv_buf *b, const ident *v)
{
    const ident_result *r = &v->r;
    if (v->megaface)
        dv_buf_printf(b, "%zu probes, %zu trials", v->probes.people.n - v->probes.missing, r->n);
    else
        dv_buf_printf(b, "%zu templates of %zu subjects%s, %zu probes (%zu with a mate)",
                      v->gallery.n, count_subjects(v),
                      v->plan.fuse == DV_FUSE_MEAN ? " (their mean)" : "", r->n, r->mated);
    put_distractors(b, v);
    if (v->probes.faceless || v->gallery.faceless)
        dv_buf_printf(b, "; without a face: %zu probes, %zu templates", v->probes.faceless,
                      v->gallery.faceless);
    size_t missing = v->probes.missing + v->gallery.missing + v->distractors.missing;
    if (missing)
        dv_buf_printf(b, "; missing: %zu", missing);
}

/* ---- text ---- */

static void print_ranks(const ident *v)
{
    const ident_result *r = &v->r;
    char buf[48];
    for (size_t i = 0; i < v->plan.n_ranks; i++) {
        size_t k = v->plan.rank[i];
        printf("rank %-4zu %s%%\n", k, with_interval(buf, r->hits[k - 1], r->mated));
    }
    if (r->n_steps > 1) {
        printf("%12s  rank 1", "distractors");
        printf(v->plan.depth >= 10 ? "  rank 10\n" : "\n");
        for (size_t i = 0; i < r->n_steps; i++) {
            const ident_step *s = &r->step[i];
            printf("%12llu  %6.2f", (unsigned long long)s->n, 100 * share(s->rank1, r->mated));
            if (v->plan.depth >= 10)
                printf("  %7.2f", 100 * share(s->rank10, r->mated));
            printf("\n");
        }
    }
}

static void print_open(const ident *v)
{
    const ident_result *r = &v->r;
    char one[48], two[48];
    if (!r->n_open)
        return;
    printf("%8s  %8s  %9s  %-22s  %s\n", "FPIR <=", "FPIR", "threshold", "FNIR", "FNIR, rank 1");
    for (size_t i = 0; i < r->n_open; i++) {
        const dv_open_point *q = &r->open[i];
        printf("%8g  %8.5f  %9.5f  %-22s  %s%s\n", q->rate, share(q->false_alarms, q->strangers),
               q->threshold, with_interval(one, q->missed, q->mated),
               with_interval(two, q->missed_rank1, q->mated),
               q->rate * (double)q->strangers < 3 - 1e-9 ? "  *" : "");
    }
    for (size_t i = 0; i < r->n_open; i++)
        if (r->open[i].rate * (double)r->open[i].strangers < 3 - 1e-9) {
            printf("* fewer than three of %zu strangers may pass: too few for this rate\n",
                   r->open[i].strangers);
            break;
        }
}

static void print_far(const ident *v)
{
    const ident_result *r = &v->r;
    char buf[48];
    for (size_t i = 0; i < r->n_far; i++) {
        const ident_far *f = &r->far[i];
        if (f->known)
            printf("TAR %s%% at FAR %g (threshold %.5f)\n", with_interval(buf, f->accepted, r->n),
                   f->rate, f->threshold);
        else
            printf("TAR at FAR %g: unknown; a greater --depth than %zu would tell\n", f->rate,
                   v->plan.depth);
    }
}

void ident_print(const ident *v)
{
    dv_buf b = {0};
    if (v->o.json || v->o.quiet)
        return;
    put_setup(&b, v);
    printf("%s, %s: %s\n", net_name(v), protocol(v), b.bad ? "" : (const char *)b.data);
    dv_buf_free(&b);
    print_ranks(v);
    print_open(v);
    print_far(v);
    printf("searched in %.1f s, at most %.0f MB of memory, %s\n", v->r.seconds,
           (double)v->peak_bytes * 1e-6, dmv_context_cpu(v->ctx));
}

/* ---- JSON ---- */

static void json_interval(cli_json *j, const char *key, size_t k, size_t n)
{
    dv_interval i = n ? dv_clopper_pearson((double)k, (double)n, 0.95) : (dv_interval){NAN, NAN};
    cli_js_open(j, key, '[');
    cli_js_real(j, NULL, i.lo, 8);
    cli_js_real(j, NULL, i.hi, 8);
    cli_js_close(j, ']');
}

static void json_setup(cli_json *j, const ident *v)
{
    cli_js_text(j, "protocol", v->megaface ? "megaface" : v->plan.open ? "open" : "closed");
    cli_js_text(j, "model", v->probes.pictures ? v->probes.emb.name : NULL);
    cli_js_text(j, "id", v->probes.pictures ? v->probes.emb.id : NULL);
    cli_js_int(j, "dim", (long long)v->probes.dim);
    if (!v->megaface) {
        cli_js_int(j, "templates", (long long)v->gallery.n);
        cli_js_int(j, "subjects", (long long)count_subjects(v));
        cli_js_text(j, "fuse", v->plan.fuse == DV_FUSE_MEAN ? "mean" : "max");
        cli_js_bool(j, "probe_mean", v->probe_mean != 0);
    }
    cli_js_int(j, "probes", (long long)v->n_probes);
    cli_js_int(j, "trials", (long long)v->r.n);
    cli_js_int(j, "mated", (long long)v->r.mated);
    cli_js_int(j, "strangers", (long long)(v->r.n - v->r.mated));
    cli_js_int(j, "distractors", (long long)distractors(v));
    cli_js_int(j, "distractors_given", (long long)v->plan.n_given);
    if (v->plan.n_made) {
        cli_js_text(j, "like", v->like ? v->like : "sphere");
        cli_js_int(j, "seed", v->seed);
    }
    cli_js_int(j, "faceless_probes", (long long)v->probes.faceless);
    cli_js_int(j, "faceless_templates", (long long)v->gallery.faceless);
    cli_js_int(j, "missing",
               (long long)(v->probes.missing + v->gallery.missing + v->distractors.missing));
    cli_js_int(j, "same_vector_probes", (long long)v->same_picture);
    cli_js_int(j, "same_vector_distractors", (long long)v->same_stranger);
    cli_js_bool(j, "mirror", v->o.mirror);
}

void ident_print_json(const ident *v)
{
    const ident_result *r = &v->r;
    cli_json j = {.f = stdout};
    char key[24];
    cli_js_open(&j, NULL, '{');
    json_setup(&j, v);
    cli_js_open(&j, "rank", '{');
    for (size_t i = 0; i < v->plan.n_ranks; i++) {
        snprintf(key, sizeof key, "%zu", v->plan.rank[i]);
        cli_js_real(&j, key, share(r->hits[v->plan.rank[i] - 1], r->mated), 8);
    }
    cli_js_close(&j, '}');
    json_interval(&j, "rank1_interval", r->hits[0], r->mated);
    cli_js_open(&j, "cmc", '[');
    for (size_t i = 0; i < v->plan.depth; i++)
        cli_js_real(&j, NULL, share(r->hits[i], r->mated), 8);
    cli_js_close(&j, ']');
    cli_js_open(&j, "open", '[');
    for (size_t i = 0; i < r->n_open; i++) {
        const dv_open_point *q = &r->open[i];
        cli_js_open(&j, NULL, '{');
        cli_js_real(&j, "rate", q->rate, 8);
        cli_js_real(&j, "fpir", share(q->false_alarms, q->strangers), 8);
        cli_js_real(&j, "threshold", q->threshold, 9);
        cli_js_real(&j, "fnir", share(q->missed, q->mated), 8);
        json_interval(&j, "fnir_interval", q->missed, q->mated);
        cli_js_real(&j, "fnir_rank1", share(q->missed_rank1, q->mated), 8);
        cli_js_real(&j, "dir", share(q->mated - q->missed_rank1, q->mated), 8);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_open(&j, "tar", '[');
    for (size_t i = 0; i < r->n_far; i++) {
        const ident_far *f = &r->far[i];
        cli_js_open(&j, NULL, '{');
        cli_js_real(&j, "far", f->rate, 8);
        cli_js_real(&j, "tar", f->known ? share((size_t)f->accepted, r->n) : NAN, 8);
        cli_js_real(&j, "threshold", f->known ? (double)f->threshold : NAN, 9);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_open(&j, "by_distractors", '[');
    for (size_t i = 0; i < r->n_steps; i++) {
        cli_js_open(&j, NULL, '{');
        cli_js_int(&j, "n", (long long)r->step[i].n);
        cli_js_real(&j, "rank1", share(r->step[i].rank1, r->mated), 8);
        cli_js_real(&j, "rank10", v->plan.depth >= 10 ? share(r->step[i].rank10, r->mated) : NAN,
                    8);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_real(&j, "search_seconds", r->seconds, 5);
    cli_js_int(&j, "peak_memory_bytes", (long long)v->peak_bytes);
    cli_js_int(&j, "threads", dmv_context_threads(v->ctx));
    cli_js_text(&j, "cpu", dmv_context_cpu(v->ctx));
    cli_js_close(&j, '}');
    cli_js_line(&j);
}

/* ---- files ---- */

/* Beside the report a chart has its bare name; elsewhere the path as it was given. */
static void put_chart(dv_buf *b, const char *report, const char *title, const char *path)
{
    size_t dir = (size_t)(cli_base_name(report) - report);
    if (!path)
        return;
    bool beside = (size_t)(cli_base_name(path) - path) == dir && memcmp(path, report, dir) == 0;
    dv_buf_printf(b, "\n![%s](<%s>)\n", title, beside ? path + dir : path);
}

static bool write_report(const ident *v)
{
    const ident_result *r = &v->r;
    dv_buf b = {0};
    char one[48], two[48];
    if (!v->report)
        return true;
    dv_buf_printf(&b, "# Identification, %s: ", protocol(v));
    cli_put_cell(&b, net_name(v));
    dv_buf_printf(&b, "\n\n");
    put_setup(&b, v);
    dv_buf_printf(&b, ".\nIn percent, with 95 %% intervals (Clopper-Pearson). Ties count against "
                      "the net; so do pictures without a face.\n\n| rank | found |\n| ---: | ---: "
                      "|\n");
    for (size_t i = 0; i < v->plan.n_ranks; i++)
        dv_buf_printf(&b, "| %zu | %s |\n", v->plan.rank[i],
                      with_interval(one, r->hits[v->plan.rank[i] - 1], r->mated));
    if (r->n_steps > 1) {
        dv_buf_printf(&b, "\n| distractors | rank 1 | rank 10 |\n| ---: | ---: | ---: |\n");
        for (size_t i = 0; i < r->n_steps; i++)
            dv_buf_printf(&b, "| %llu | %s | %s |\n", (unsigned long long)r->step[i].n,
                          with_interval(one, r->step[i].rank1, r->mated),
                          v->plan.depth >= 10 ? with_interval(two, r->step[i].rank10, r->mated)
                                              : "-");
    }
    if (r->n_open)
        dv_buf_printf(&b,
                      "\n%zu strangers. A stranger raises a false alarm when anybody is as "
                      "similar as the threshold.\n\n| FPIR at most | FPIR | threshold | FNIR | "
                      "FNIR, rank 1 |\n| ---: | ---: | ---: | ---: | ---: |\n",
                      r->n - r->mated);
    for (size_t i = 0; i < r->n_open; i++) {
        const dv_open_point *q = &r->open[i];
        dv_buf_printf(&b, "| %g | %.3f | %.5f | %s | %s |\n", q->rate,
                      100 * share(q->false_alarms, q->strangers), q->threshold,
                      with_interval(one, q->missed, q->mated),
                      with_interval(two, q->missed_rank1, q->mated));
    }
    if (r->n_far)
        dv_buf_printf(&b, "\nVerification: pairs of one person against every probe with every "
                          "distractor.\n\n| FAR | TAR | threshold |\n| ---: | ---: | ---: |\n");
    for (size_t i = 0; i < r->n_far; i++) {
        const ident_far *f = &r->far[i];
        if (f->known)
            dv_buf_printf(&b, "| %g | %s | %.5f |\n", f->rate,
                          with_interval(one, f->accepted, r->n), f->threshold);
        else
            dv_buf_printf(&b, "| %g | needs a greater --depth | |\n", f->rate);
    }
    put_chart(&b, v->report, "CMC", v->cmc);
    put_chart(&b, v->report, "Rank 1 by distractors", v->growth);
    put_chart(&b, v->report, "DET", v->det);
    return cli_write_buf(v->report, &b);
}

static bool write_dump(const ident *v)
{
    dv_buf b = {0};
    char name[32];
    if (!v->dump)
        return true;
    for (size_t i = 0; i < v->r.n; i++) {
        const dv_answer *a = &v->r.answer[i];
        dv_buf_printf(&b, "%s\t%s\t%u\t%.9g\t%.9g\n", cli_set_name(&v->probes, a->probe, name),
                      v->names.v[v->probes.people.subject[a->probe]], a->rank, a->mate, a->other);
    }
    return cli_write_buf(v->dump, &b);
}

/* NAME.npy and NAME.tsv, which --NAME-features and --NAME-list take. */
static bool save_set(const ident *v, const cli_set *s, const char *name)
{
    dv_err e = {0};
    dv_buf b = {0};
    char path[4096];
    if (!s->n)
        return true;
    snprintf(path, sizeof path, "%.4000s/%s.npy", v->save, name);
    if (dv_features_save(path, s->v, s->n, s->dim, &e))
        return cli_error("%s", e.msg), false;
    for (size_t i = 0; i < s->n; i++) {
        uint32_t who = s->subject[i];
        const char *from = s->people.path[s->row[i]];
        dv_buf_printf(&b, "%s%s%s\n", who == DV_NO_NAME ? "" : v->names.v[who],
                      who != DV_NO_NAME && from ? "\t" : "", from ? from : "");
    }
    snprintf(path, sizeof path, "%.4000s/%s.tsv", v->save, name);
    return cli_write_buf(path, &b);
}

bool ident_write_files(const ident *v)
{
    if (v->save &&
        (!cli_make_folders(v->save) || !save_set(v, &v->gallery, "gallery") ||
         !save_set(v, &v->probes, "probe") || !save_set(v, &v->distractors, "distractor")))
        return false;
    return write_report(v) && write_dump(v);
}
