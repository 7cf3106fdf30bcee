/* SPDX-License-Identifier: Apache-2.0
 *
 * train.c - `domovoi train`: an embedder from a folder of people. A program of its own
 * (domovoi-train), so that the other verbs do not load oneDNN. */
#include "cli.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "train/loop.h"

typedef struct args {
    cli_common o;
    const char *data, *output, *family, *act, *loss, *schedule, *checkpoint, *teacher, *distill,
        *cache;
    double width, depth, rate, momentum, decay, margin, scale, epochs, smooth, colour;
    int se, dim, batch, seed, least, resume, no_mirror, save_every;
} args;

static volatile sig_atomic_t interrupted;

static void on_signal(int s)
{
    (void)s;
    interrupted = 1;
}

static bool margin_of(const args *a, tr_margin *m)
{
    *m = (tr_margin){.s = (float)a->scale, .m1 = 1, .smooth = (float)a->smooth};
    if (!strcmp(a->loss, "arcface"))
        m->m2 = isnan(a->margin) ? 0.5F : (float)a->margin;
    else if (!strcmp(a->loss, "cosface"))
        m->m3 = isnan(a->margin) ? 0.35F : (float)a->margin;
    else if (!strcmp(a->loss, "sphereface"))
        m->m1 = isnan(a->margin) ? 1.35F : (float)a->margin;
    else if (strcmp(a->loss, "softmax"))
        return cli_error("--loss %s: arcface, cosface, sphereface or softmax", a->loss), false;
    return true;
}

static bool save_model(const args *a, const tr_run *r)
{
    dv_graph g;
    dv_err e = {0};
    dv_meta m = {0};
    char how[200];
    if (tr_export(r->net, &g, &e))
        return cli_error("%s", e.msg), false;
    snprintf(how, sizeof how,
             "%s width %g depth %g, %s%s%s, %zu pictures of %zu people, %lld steps of %lld",
             a->family, a->width, a->depth, r->unlabelled ? "no labels" : a->loss,
             a->teacher ? ", teacher: " : "", a->teacher ? a->distill ? a->distill : "margin" : "",
             r->data->n, r->data->n_people, (long long)r->step, (long long)r->batch);
    const float mean = 127.5F, scale = 1 / 127.5F;
    bool ok = dv_meta_set_text(&m, "kind", "embedder") && dv_meta_set_text(&m, "name", a->family) &&
              dv_meta_set_text(&m, "color", "rgb") && dv_meta_set_floats(&m, "mean", &mean, 1) &&
              dv_meta_set_floats(&m, "scale", &scale, 1) && dv_meta_set_int(&m, "dim", a->dim) &&
              dv_meta_set_text(&m, "trained", how);
    if (!ok)
        cli_error("out of memory");
    else if (dv_dmv_write(a->output, &g, &m, &e)) {
        cli_error("%s", e.msg);
        ok = false;
    }
    dv_meta_free(&m);
    dv_graph_free(&g);
    return ok;
}

static bool checkpoint(const args *a, const tr_run *r)
{
    dv_err e = {0};
    if (!a->checkpoint || !tr_checkpoint_save(r, a->checkpoint, &e))
        return true;
    cli_warn("%s (the one before stays)", e.msg);
    return false;
}

static bool train(const args *a, tr_run *r)
{
    cli_progress bar;
    tr_report now = {0};
    dv_err e = {0};
    double loss = 0, right = 0;
    bool ok = true;
    uint64_t start = dv_now_ns(), saved = start;
    const int64_t first = r->step, every = DV_MAX(r->steps / 50, (int64_t)1);
    cli_progress_start(&bar, "training", (size_t)r->steps, &a->o);
    while (ok && r->step < r->steps && !interrupted) {
        if (tr_run_step(r, &now, &e)) {
            cli_progress_end(&bar);
            return cli_error("%s", e.msg), false;
        }
        loss += now.loss;
        right += now.accuracy;
        cli_progress_update(&bar, (size_t)r->step);
        if (r->step % every == 0 || r->step == r->steps) {
            const double n = (double)(r->step % every == 0 ? every : r->step % every);
            const double seconds = (double)(dv_now_ns() - start) * 1e-9;
            const double speed = (double)((r->step - first) * r->batch) / seconds;
            if (a->o.json) {
                cli_json j = {.f = stdout};
                cli_js_open(&j, NULL, '{');
                cli_js_int(&j, "step", (long long)r->step);
                cli_js_real(&j, "loss", loss / n, 6);
                cli_js_real(&j, "accuracy", right / n, 5);
                cli_js_real(&j, "rate", now.rate, 5);
                cli_js_real(&j, "gradient_norm", now.norm, 5);
                cli_js_real(&j, "images_per_s", speed, 5);
                cli_js_close(&j, '}');
                cli_js_line(&j);
            } else if (!a->o.quiet) {
                printf("step %lld of %lld: loss %.3f, right %.1f%%, rate %.4g, %.1f images/s\n",
                       (long long)r->step, (long long)r->steps, loss / n, 100 * right / n, now.rate,
                       speed);
            }
            fflush(stdout);
            loss = right = 0;
        }
        if ((double)(dv_now_ns() - saved) * 1e-9 > a->save_every) {
            checkpoint(a, r);
            saved = dv_now_ns();
        }
    }
    cli_progress_end(&bar);
    if (interrupted)
        cli_warn("stopped at step %lld of %lld%s", (long long)r->step, (long long)r->steps,
                 a->checkpoint ? "; --resume goes on" : "");
    return checkpoint(a, r) && ok;
}

static void taught(void *user, size_t done)
{
    cli_progress_update(user, done);
}

/* The teacher's vectors; *out stays NULL without one. */
static bool open_teacher(const args *a, const tr_data *d, tr_run *r, tr_teacher **out)
{
    char names[4096];
    const char *models[8];
    cli_progress bar;
    tr_distill how;
    dv_err e = {0};
    if (tr_distill_parse(a->distill ? a->distill : a->teacher ? "margin" : "", &how, &e))
        return cli_error("--distill: %s", e.msg), false;
    if (!a->teacher)
        return !how.kinds || (cli_error("--distill wants --teacher NET.dmv"), false);
    r->unlabelled = d->n_people < 2;
    if (r->unlabelled && how.kinds & ~(unsigned)(TR_D_EMBEDDING | TR_D_ANGULAR | TR_D_RELATIONAL))
        return cli_error(
                   "%s: without a folder for each person there are no labels: --distill embedding, "
                   "angular or relational",
                   a->data),
               false;
    tr_teacher_options o = {.models = models,
                            .dim = a->dim,
                            .threads = r->net->parts,
                            .cache = a->cache,
                            .progress = taught,
                            .user = &bar};
    snprintf(names, sizeof names, "%s", a->teacher);
    for (char *q = strtok(names, ","); q && o.n_models < DV_COUNT(models); q = strtok(NULL, ","))
        models[o.n_models++] = q;
    cli_progress_start(&bar, "teacher", d->n, &a->o);
    dmv_status st = tr_teacher_new(d, &o, out, &e);
    cli_progress_end(&bar);
    if (st || tr_run_teach(r, *out, &how, &e))
        return cli_error("%s", e.msg), false;
    if (!a->o.quiet && !a->o.json && (*out)->own_dim != (*out)->dim)
        printf("teacher: %lld numbers brought to %lld, which keeps %.1f%% of their variance\n",
               (long long)(*out)->own_dim, (long long)(*out)->dim, 100 * (*out)->kept);
    return true;
}

static bool run(args *a)
{
    tr_data d = {0};
    tr_teacher *teacher = NULL;
    tr_run r = {.data = &d, .batch = a->batch, .rate = (float)a->rate};
    tr_recipe recipe = {a->family, a->act, a->width, a->depth, a->se, a->dim};
    tr_augment aug = {
        .mirror = !a->no_mirror, .shift = 3, .turn = 5, .zoom = 0.05F, .colour = (float)a->colour};
    dv_err e = {0};
    size_t left_out = 0;
    bool ok = margin_of(a, &r.margin);
    r.sgd = (tr_sgd){(float)a->momentum, (float)a->decay, false, 50};
    r.schedule = !strcmp(a->schedule, "step")       ? TR_STEP
                 : !strcmp(a->schedule, "constant") ? TR_CONSTANT
                                                    : TR_COSINE;
    if (ok &&
        (tr_data_add(&d, a->data, (size_t)a->least, &left_out, &e) ||
         tr_net_new(a->o.threads ? a->o.threads : dv_cpu_count(), (uint64_t)a->seed, &r.net, &e) ||
         tr_net_build(r.net, &recipe, &e) || tr_net_ready(r.net, a->batch, &e)))
        ok = (cli_error("%s", e.msg), false);
    if (ok && d.n_people < 2 && !a->teacher)
        ok = (cli_error("%s: %zu people; a folder for each person, at least two of them", a->data,
                        d.n_people),
              false);
    if (ok && d.n_people > 1 &&
        (tr_head_new(r.net, (int64_t)d.n_people, &r.head, &e) ||
         tr_head_ready(r.head, a->batch, &e)))
        ok = (cli_error("%s", e.msg), false);
    if (ok) {
        r.steps = (int64_t)(a->epochs * (double)d.n / a->batch);
        r.warm = DV_MIN(r.steps / 20, (int64_t)500);
        r.labels = dv_malloc((size_t)a->batch * sizeof *r.labels);
        r.numbers = dv_malloc((size_t)a->batch * sizeof *r.numbers);
        if (!r.labels || !r.numbers)
            ok = (cli_error("out of memory"), false);
    }
    ok = ok && open_teacher(a, &d, &r, &teacher);
    if (ok && a->resume && tr_checkpoint_load(&r, a->checkpoint, &e))
        ok = (cli_error("%s", e.msg), false);
    if (ok && tr_loader_new(&d, a->batch, (uint64_t)a->seed + 1, &aug, r.step, &r.loader, &e))
        ok = (cli_error("%s", e.msg), false);
    if (ok && !a->o.quiet && !a->o.json)
        printf("%s: %zu weights, %.1f MMAC; %zu pictures of %zu people (%zu left out), %lld steps "
               "of %d\n",
               a->family, tr_net_weights(r.net) - (r.head ? r.head->w->n : 0),
               (double)tr_net_macs(r.net) * 1e-6, d.n, d.n_people, left_out, (long long)r.steps,
               a->batch);
    if (ok) {
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        ok = train(a, &r);
    }
    if (r.loader && tr_loader_bad(r.loader))
        cli_warn("%zu times a picture could not be read", tr_loader_bad(r.loader));
    ok = ok && save_model(a, &r);
    if (ok && !a->o.quiet && !a->o.json)
        printf("%s is written; `domovoi eval verify --model` tells what it is worth\n", a->output);
    tr_loader_free(&r.loader);
    tr_run_forget(&r);
    tr_teacher_free(&teacher);
    tr_head_free(&r.head);
    tr_net_free(&r.net);
    tr_data_free(&d);
    dv_free(r.labels);
    dv_free(r.numbers);
    return ok;
}

static int train_main(int argc, char **argv)
{
    args a = {.o = {.use = CLI_USE_OUT | CLI_USE_CPU},
              .family = "mobilefacenet",
              .act = "prelu",
              .loss = "arcface",
              .schedule = "cosine",
              .width = 1,
              .depth = 1,
              .rate = 0.1,
              .momentum = 0.9,
              .decay = 5e-4,
              .margin = NAN,
              .scale = 64,
              .epochs = 20,
              .dim = 128,
              .batch = 64,
              .seed = 1,
              .least = 2,
              .colour = 0.2,
              .save_every = 600};
    const char *pos[1];
    size_t n;
    int done;
    cli_option own[] = {
        {"data", "DIR", "a folder for each person, faces of 112 x 112 (see align). Needed",
         CLI_TEXT, &a.data},
        {"output", "NET.dmv", "the file to write; also -o. Needed", CLI_TEXT, &a.output},
        {"net", "NAME", "mobilefacenet or mobiface (mobilefacenet)", CLI_TEXT, &a.family},
        {"act", "A", "relu, prelu or swish (prelu)", CLI_TEXT, &a.act},
        {"width", "X", "channels of the net, times X (1)", CLI_REAL, &a.width},
        {"depth", "X", "blocks of the net, times X (1)", CLI_REAL, &a.depth},
        {"se", NULL, "squeeze-and-excite in the residual blocks", CLI_FLAG, &a.se},
        {"dim", "N", "length of the embedding (128)", CLI_INT, &a.dim},
        {"loss", "L", "arcface, cosface, sphereface or softmax (arcface)", CLI_TEXT, &a.loss},
        {"margin", "M", "its margin (0.5, 0.35, 1.35)", CLI_REAL, &a.margin},
        {"scale", "S", "of the cosines (64)", CLI_REAL, &a.scale},
        {"smooth", "E", "label smoothing (0)", CLI_REAL, &a.smooth},
        {"teacher", "NETS", "embedders to learn from, separated by commas", CLI_TEXT, &a.teacher},
        {"distill", "LIST",
         "how: margin copy copy-frozen angular embedding hinton relational triplet-l2 triplet-cos "
         "adadistill, with weights as in angular:2 (margin)",
         CLI_TEXT, &a.distill},
        {"teacher-cache", "FILE", "the teacher's vectors, kept for the next run", CLI_TEXT,
         &a.cache},
        {"epochs", "N", "times through the pictures (20)", CLI_REAL, &a.epochs},
        {"batch", "N", "pictures a step (64)", CLI_INT, &a.batch},
        {"rate", "R", "learning rate (0.1)", CLI_REAL, &a.rate},
        {"schedule", "S", "of the rate: cosine, step or constant (cosine)", CLI_TEXT, &a.schedule},
        {"momentum", "M", "(0.9)", CLI_REAL, &a.momentum},
        {"decay", "D", "weight decay (0.0005)", CLI_REAL, &a.decay},
        {"least", "N", "leave out people with fewer pictures (2)", CLI_INT, &a.least},
        {"no-mirror", NULL, "do not mirror pictures", CLI_FLAG, &a.no_mirror},
        {"colour", "X", "how much brightness and colours may change (0.2)", CLI_REAL, &a.colour},
        {"seed", "N", "(1)", CLI_INT, &a.seed},
        {"checkpoint", "FILE", "state of the run, kept up to date", CLI_TEXT, &a.checkpoint},
        {"save-every", "S", "seconds between checkpoints (600)", CLI_INT, &a.save_every},
        {"resume", NULL, "go on from --checkpoint", CLI_FLAG, &a.resume},
    };
    if (!cli_parse(
            argc, argv,
            "domovoi train --data DIR -o NET.dmv [options]\n\nTrains an embedder on pictures "
            "of people and writes a net for the engine.",
            "  domovoi train --data people112 -o net.dmv\n"
            "  domovoi train --data people112 -o net.dmv --width 0.5 --epochs 40 \\\n"
            "      --checkpoint net.ckpt --loss cosface\n"
            "  domovoi train --data people112 -o net.dmv --checkpoint net.ckpt --resume\n"
            "  domovoi train --data people112 -o net.dmv --teacher big.dmv \\\n"
            "      --distill margin,angular:2 --teacher-cache big.vectors\n"
            "  domovoi train --data strangers112 -o net.dmv --teacher big.dmv --distill "
            "embedding\n",
            &a.o, own, DV_COUNT(own), pos, 1, &n, &done))
        return done;
    if (n || !a.data || !a.output)
        return cli_error("the form is: domovoi train --data DIR -o NET.dmv");
    if (!(a.width > 0 && a.width <= 8) || !(a.depth > 0 && a.depth <= 8))
        return cli_error("--width and --depth: above 0, at most 8");
    if (a.batch < 2 || a.batch > 4096 || a.dim < 8 || a.dim > 2048)
        return cli_error("--batch 2 to 4096, --dim 8 to 2048");
    if (a.resume && !a.checkpoint)
        return cli_error("--resume wants --checkpoint FILE");
    if (!(a.rate > 0) || !(a.epochs > 0) || !(a.scale > 0))
        return cli_error("--rate, --epochs and --scale: above 0");
    return run(&a) ? CLI_YES : CLI_ERROR;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    cli_verb_name = "train";
    return cli_finish(train_main(argc, argv));
}
