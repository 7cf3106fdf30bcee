/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_motion.c - `domovoi motion probe`: where to cut a detector so that its first part tells of
 * motion.
 */
#include "cli.h"

#include <math.h>

#include "motion/probe.h"

typedef struct args {
    cli_common o;
    const char *detector, *pictures, *size, *output;
    int seed, pairs;
    double noise;
} args;

static const char usage[] =
    "domovoi motion probe [--detector NET.dmv] [--pictures FOLDER] [options]\n"
    "\n"
    "For each layer at which a detector can be cut in two: what the first part costs, and how\n"
    "well its features tell cells in which something moved from cells in which nothing did, with\n"
    "noise drawn anew for each frame. `still`: 1 - cosine that 95 % of still cells stay below.\n"
    "`moving`: half of the moving cells are above. `auc`: how often a moving cell is further\n"
    "away than a still one. The cheapest of the layers that tell best is suggested.\n"
    "Frames are the pictures of a folder by name, of a camera that does not move; without any,\n"
    "scenes are made up. With --output the suggestion goes into a copy of the net.";
static const char examples[] =
    "  domovoi motion probe --detector models/detect.dmv\n"
    "  domovoi motion probe --detector people.dmv --pictures frames/ --noise 8\n"
    "  domovoi motion probe --detector people.dmv -o people-cut.dmv\n";

static bool ctx_failed(dmv_context *ctx, const char *path)
{
    cli_error("%s: %s", path, dmv_error(ctx));
    return false;
}

static bool made_up(dv_probe *p, const args *a, dmv_context *ctx, uint8_t *rgb[2],
                    cli_progress *bar)
{
    for (int i = 0; i < a->pairs; i++) {
        const uint64_t seed = (uint64_t)a->seed * 1000 + (uint64_t)i;
        dv_probe_scene(p, seed, rgb[0], rgb[1]);
        if (dv_probe_pair(p, rgb[0], rgb[1], (float)a->noise, seed))
            return ctx_failed(ctx, a->detector);
        cli_progress_update(bar, (size_t)i + 1);
    }
    return true;
}

static bool load(const char *path, int w, int h, uint8_t *rgb)
{
    dv_picture pic;
    if (!cli_load(path, &pic))
        return false;
    const dmv_image img = dv_picture_view(&pic);
    dv_resize_rgb(&img, 0, 0, (float)img.width, (float)img.height, w, h, rgb, 3 * (size_t)w);
    dv_picture_free(&pic);
    return true;
}

/* Consecutive frames, spread evenly over the folder if there are more than asked for. */
static bool from_folder(dv_probe *p, const args *a, dmv_context *ctx, uint8_t *rgb[2],
                        cli_progress *bar)
{
    dv_paths paths = {0};
    dv_err e = {0};
    int w, h;
    bool ok = true;
    dv_probe_size(p, &w, &h);
    if (dv_image_list(a->pictures, &paths, &e)) {
        cli_error("%s", e.msg);
        return false;
    }
    if (paths.n < 2) {
        cli_error("%s: at least two frames are wanted", a->pictures);
        ok = false;
    }
    const size_t all = paths.n - 1, n = DV_MIN(all, (size_t)a->pairs);
    for (size_t i = 0; ok && i < n; i++) {
        const size_t at = i * all / n;
        ok = load(paths.v[at], w, h, rgb[0]) && load(paths.v[at + 1], w, h, rgb[1]);
        if (ok && dv_probe_pair(p, rgb[0], rgb[1], (float)a->noise, (uint64_t)a->seed + i))
            ok = ctx_failed(ctx, paths.v[at]);
        cli_progress_update(bar, i + 1);
    }
    dv_paths_free(&paths);
    return ok;
}

/* The same net, with the name of the layer for whoever cuts it. */
static bool write_net(const args *a, const dmv_model *m, const char *layer)
{
    dmv_model with = *m;
    dv_err e = {0};
    with.meta = (dv_meta){0};
    bool ok = true;
    for (size_t i = 0; ok && i < m->meta.n; i++) {
        const dv_meta_item *v = &m->meta.items[i];
        ok = v->text ? dv_meta_set_text(&with.meta, v->key, v->text)
             : v->f  ? dv_meta_set_floats(&with.meta, v->key, v->f, v->n)
                     : dv_meta_set_int(&with.meta, v->key, v->num);
    }
    ok = ok && dv_meta_set_text(&with.meta, "motion_layer", layer);
    if (!ok)
        cli_error("out of memory");
    else if (dv_dmv_write(a->output, &m->graph, &with.meta, &e))
        ok = cli_error("%s", e.msg) == CLI_YES;
    dv_meta_free(&with.meta);
    return ok;
}

static bool report(dv_probe *p, const args *a, const dmv_model *m)
{
    const dv_probe_row *rows;
    size_t n, best;
    double whole;
    dv_err e = {0};
    if (dv_probe_result(p, &rows, &n, &best, &whole, &e)) {
        cli_error("%s: %s", a->pictures ? a->pictures : a->detector, e.msg);
        return false;
    }
    if (a->output && !write_net(a, m, rows[best].name))
        return false;
    if (!a->o.json && !a->o.quiet) {
        printf("%-28s %12s %6s %8s %7s %8s %8s %6s\n", "layer", "size", "macs", "ms", "gate",
               "still", "moving", "auc");
        for (size_t i = 0; i < n; i++) {
            const dv_motion_layer *l = &rows[i].layer;
            char size[40];
            snprintf(size, sizeof size, "%dx%dx%d", l->h, l->w, l->c);
            const int wide = cli_put_text(rows[i].name);
            printf("%*s %12s %5.1f%% %8.3f %6.2f%% ", DV_MAX(28 - wide, 0), "", size, 100 * l->macs,
                   rows[i].ms, 100 * rows[i].gate_ms / rows[i].ms);
            if (rows[i].auc >= 0)
                printf("%8.4f %8.4f %6.4f%s\n", rows[i].still, rows[i].moving, rows[i].auc,
                       i == best ? " *" : "");
            else
                printf("%8s %8s %6s\n", "-", "-", "-");
        }
        printf("the whole net: %.3f ms. Suggested: ", whole);
        cli_put_text(rows[best].name);
        printf("\n");
        return true;
    }
    cli_json j = {.f = stdout};
    if (a->o.quiet && !a->o.json) {
        cli_put_text(rows[best].name);
        printf("\n");
        return true;
    }
    cli_js_open(&j, NULL, '{');
    cli_js_text(&j, "model", a->detector);
    cli_js_real(&j, "ms", whole, 6);
    cli_js_text(&j, "suggested", rows[best].name);
    cli_js_open(&j, "layers", '[');
    for (size_t i = 0; i < n; i++) {
        const dv_probe_row *r = &rows[i];
        cli_js_open(&j, NULL, '{');
        cli_js_text(&j, "layer", r->name);
        cli_js_int(&j, "height", r->layer.h);
        cli_js_int(&j, "width", r->layer.w);
        cli_js_int(&j, "channels", r->layer.c);
        cli_js_real(&j, "macs_share", r->layer.macs, 5);
        cli_js_real(&j, "ms", r->ms, 5);
        cli_js_real(&j, "gate_ms", r->gate_ms, 4);
        cli_js_real(&j, "still", r->auc >= 0 ? r->still : NAN, 5);
        cli_js_real(&j, "moving", r->auc >= 0 ? r->moving : NAN, 5);
        cli_js_real(&j, "auc", r->auc, 6);
        cli_js_close(&j, '}');
    }
    cli_js_close(&j, ']');
    cli_js_close(&j, '}');
    cli_js_line(&j);
    return true;
}

static bool probe(const args *a, dmv_context *ctx, const dmv_model *m)
{
    int w = 0, h = 0;
    dv_probe *p;
    cli_progress bar;
    if (a->size && !cli_parse_size(a->size, &w, &h)) {
        cli_error("--size \"%s\": WxH or a number of pixels is wanted", a->size);
        return false;
    }
    if (dv_probe_open(ctx, m, w, h, &p))
        return ctx_failed(ctx, a->detector);
    dv_probe_size(p, &w, &h);
    const size_t bytes = (size_t)w * (size_t)h * 3;
    uint8_t *rgb[2] = {dv_malloc(bytes), dv_malloc(bytes)};
    bool ok = rgb[0] && rgb[1];
    if (!ok)
        cli_error("out of memory");
    cli_progress_start(&bar, "motion probe", (size_t)a->pairs, &a->o);
    if (ok)
        ok = a->pictures ? from_folder(p, a, ctx, rgb, &bar) : made_up(p, a, ctx, rgb, &bar);
    cli_progress_end(&bar);
    ok = ok && report(p, a, m);
    dv_free(rgb[0]);
    dv_free(rgb[1]);
    dv_probe_close(&p);
    return ok;
}

static int motion_probe(int argc, char **argv)
{
    args a = {.o.use = CLI_USE_OUT | CLI_USE_CPU, .seed = 1, .pairs = 16, .noise = 6};
    const cli_option own[] = {
        {"detector", "NET.dmv", "the net to look into", CLI_TEXT, &a.detector},
        {"pictures", "FOLDER", "frames of a camera that does not move", CLI_TEXT, &a.pictures},
        {"output", "NET.dmv", "write the net with the suggestion in it; also -o", CLI_TEXT,
         &a.output},
        {"size", "WxH", "size of the input, if the net leaves it free", CLI_TEXT, &a.size},
        {"pairs", "N", "pairs of frames to look at; 16", CLI_INT, &a.pairs},
        {"noise", "LEVELS", "noise to add, in grey levels; 6", CLI_REAL, &a.noise},
        {"seed", "N", "of noise and made-up scenes; 1", CLI_INT, &a.seed},
    };
    const char *pos[1];
    size_t n;
    int done;
    if (!cli_parse(argc, argv, usage, examples, &a.o, own, DV_COUNT(own), pos, 1, &n, &done))
        return done;
    if (n && !a.detector)
        a.detector = pos[0];
    else if (n)
        return cli_error("%s: one net at a time", pos[0]);
    if (a.pairs < 1 || a.pairs > 100000)
        return cli_error("--pairs must be 1 to 100,000");
    if (!(a.noise >= 0 && a.noise <= 128))
        return cli_error("--noise must be 0 to 128 grey levels");
    a.detector = cli_need_model(a.detector, "detect", "--detector");
    dmv_context *ctx;
    if (!a.detector || cli_context_open(&a.o, &ctx))
        return CLI_ERROR;
    dmv_model *m = NULL;
    const bool ok =
        dmv_model_open(ctx, a.detector, &m) ? ctx_failed(ctx, a.detector) : probe(&a, ctx, m);
    dmv_model_close(&m);
    dmv_context_close(&ctx);
    return ok ? CLI_YES : CLI_ERROR;
}

int cli_motion(int argc, char **argv)
{
    static const cli_verb subs[] = {
        {"probe", "where to cut a detector so that its first part tells of motion", motion_probe},
    };
    return cli_subverb(argc, argv, subs, DV_COUNT(subs), "domovoi motion WORD [options]");
}
