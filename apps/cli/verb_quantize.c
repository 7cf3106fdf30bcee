/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_quantize.c - `domovoi model quantize`: an 8-bit net from a float one. Ranges are measured on
 * pictures (or on random numbers, for timing), then the loss is: per layer, and on the outputs.
 */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/eval.h"
#include "face/face.h"

#ifdef DV_HAVE_IMPORT
#include "quant/quant.h"

#define SENSITIVITY_SAMPLES 24

typedef struct args {
    cli_common o;
    const char *data, *output, *method, *size, *images, *pairs, *plot;
    int aligned, random, fp16, symmetric, per_layer, dynamic, no_fix_bias, equalise, samples;
    double percentile, keep_loss;
} args;

typedef struct work {
    args a;
    cli_net net;
    dv_quant *q;
    dv_quant_options opt;
    dv_prep prep;
    bool nchw, has_prep;
    int w, h;
    cli_faces f; /* for raw pictures of faces */
    bool faces_open;
    float *input;
    uint8_t *rgb;
    size_t faceless, unread, pairs, kept, halves;
    const char *source;
    dv_verify_result before, after; /* on --pairs */
    bool *keep;
    dv_err e;
} work;

static bool failed(work *w)
{
    cli_error("%s: %s", w->net.model ? "the net" : "?", w->e.msg);
    return false;
}

/* ---- samples ---- */

static bool add_random(work *w)
{
    uint32_t s = 2463534242u;
    size_t n = 0;
    const dv_graph *g = &w->net.model->graph;
    const float *in[CLI_NET_INPUTS];
    for (size_t i = 0; i < g->n_inputs; i++)
        n += w->net.x->v[g->inputs[i]].count;
    float *v = dv_malloc(n * sizeof *v);
    if (!v)
        return cli_error("out of memory"), false;
    bool ok = true;
    for (int k = 0; ok && k < w->a.samples; k++) {
        for (size_t i = 0; i < n; i++) {
            s ^= s << 13;
            s ^= s >> 17;
            s ^= s << 5;
            v[i] = (float)(s >> 8) / 8388608.0F - 1;
        }
        for (size_t i = 0, at = 0; i < g->n_inputs; i++) {
            in[i] = v + at;
            at += w->net.x->v[g->inputs[i]].count;
        }
        ok = dv_quant_add(w->q, in, &w->e) == DMV_OK || failed(w);
    }
    dv_free(v);
    return ok;
}

/* The face that an embedder or a landmark net would see, else the whole picture. */
static bool picture_input(work *w, const char *path, const dv_picture *pic)
{
    dmv_image view = dv_picture_view(pic);
    dmv_model_kind kind = dmv_model_get_kind(w->net.model);
    float crop[4] = {0, 0, (float)pic->width, (float)pic->height};
    bool whole = kind != DMV_KIND_EMBEDDER && kind != DMV_KIND_LANDMARKS;
    if (!whole && (pic->width != w->w || pic->height != w->h)) {
        if (!w->faces_open) {
            if (!cli_faces_open(&w->f, &w->a.o, CLI_WANT_DETECTOR))
                exit(CLI_ERROR);
            w->faces_open = true;
        }
        if (!cli_faces_find(&w->f, path, pic) || w->f.n_faces == 0)
            return false;
        const dmv_face *face = &w->f.faces[cli_best_face(w->f.faces, w->f.n_faces)];
        if (kind == DMV_KIND_EMBEDDER && w->w == DMV_ALIGNED_SIZE && w->h == DMV_ALIGNED_SIZE)
            return dmv_align(&view, face->landmarks, w->rgb) == DMV_OK;
        if (!dv_landmark_crop(&view, face->box, 1.2F, crop))
            return false;
    }
    dv_resize_rgb(&view, crop[0], crop[1], crop[2], crop[3], w->w, w->h, w->rgb, 3 * (size_t)w->w);
    return true;
}

static bool add_pictures(work *w)
{
    cli_inputs in = {0};
    const char *dir = w->a.data;
    if (!cli_inputs_expand(&in, &dir, 1) || in.failed) {
        cli_inputs_free(&in);
        return false;
    }
    size_t want = DV_MIN((size_t)w->a.samples, in.n);
    cli_progress p;
    cli_progress_start(&p, "reading pictures", want, &w->a.o);
    bool ok = true;
    /* spread over the whole folder: neighbours are often one person */
    for (size_t k = 0; ok && k < want; k++) {
        const char *path = in.v[k * in.n / want].path;
        dv_picture pic;
        dv_err e = {0};
        cli_progress_update(&p, k);
        if (dv_image_load(path, &pic, &e)) {
            w->unread++;
            continue;
        }
        if (picture_input(w, path, &pic)) {
            dv_prep_run(&w->prep, w->net.x->k, w->rgb, 3 * (size_t)w->w, w->w, w->h, w->nchw,
                        w->input);
            const float *one = w->input;
            ok = dv_quant_add(w->q, &one, &w->e) == DMV_OK || failed(w);
        } else {
            w->faceless++;
        }
        dv_picture_free(&pic);
    }
    cli_progress_end(&p);
    if (ok && dv_quant_samples(w->q) == 0)
        ok = (cli_error("%s: no usable picture among %zu (%zu could not be read, no face in %zu); "
                        "give a folder of photos with faces, or faces of %d x %d",
                        dir, in.n, w->unread, w->faceless, w->w, w->h),
              false);
    else if (ok && dv_quant_samples(w->q) < 16)
        cli_warn("%s: only %zu usable pictures: the ranges will be rough, 100 and more are better",
                 dir, dv_quant_samples(w->q));
    cli_inputs_free(&in);
    return ok;
}

/* ---- building ---- */

static bool build(work *w, dv_graph *g)
{
    w->opt.keep = w->keep;
    return dv_quant_build(w->q, &w->opt, g, &w->e) == DMV_OK || failed(w);
}

static bool loss_with(work *w, size_t most, double *loss)
{
    dv_graph g;
    double c;
    if (!build(w, &g))
        return false;
    bool ok = dv_quant_cosine(w->q, &g, most, &c, &w->e) == DMV_OK || failed(w);
    dv_graph_free(&g);
    *loss = 1 - c;
    return ok;
}

typedef struct harm {
    size_t node;
    double loss;
} harm;

static int by_harm(const void *a, const void *b)
{
    const harm *x = a, *y = b;
    return x->loss < y->loss ? 1 : x->loss > y->loss ? -1 : x->node > y->node ? 1 : -1;
}

static void keep_first(work *w, const harm *h, size_t all, size_t n)
{
    for (size_t i = 0; i < all; i++)
        w->keep[h[i].node] = i < n;
}

/* The fewest layers stay float, worst first, that bring the loss below the limit. The harm of a
 * layer is the loss of the net in which it alone is 8-bit. */
static bool keep_worst(work *w)
{
    const dv_graph *g = dv_quant_net(w->q);
    size_t n = 0;
    double loss;
    harm *h = dv_calloc(g->n_nodes + 1, sizeof *h);
    if (!h)
        return cli_error("out of memory"), false;
    bool ok = loss_with(w, SIZE_MAX, &loss);
    if (!ok || loss <= w->a.keep_loss) {
        dv_free(h);
        return ok;
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (dv_quant_can(w->q, i))
            h[n++].node = i;
    cli_progress p;
    cli_progress_start(&p, "measuring layers", n, &w->a.o);
    for (size_t i = 0; ok && i < n; i++) {
        for (size_t k = 0; k < n; k++)
            w->keep[h[k].node] = k != i;
        ok = loss_with(w, SENSITIVITY_SAMPLES, &h[i].loss);
        cli_progress_update(&p, i);
    }
    cli_progress_end(&p);
    qsort(h, n, sizeof *h, by_harm);
    size_t low = 0, high = n; /* high is enough, low is not */
    while (ok && high - low > 1) {
        size_t mid = low + (high - low) / 2;
        keep_first(w, h, n, mid);
        ok = loss_with(w, SIZE_MAX, &loss);
        if (loss <= w->a.keep_loss)
            high = mid;
        else
            low = mid;
    }
    keep_first(w, h, n, high);
    w->kept = high;
    dv_free(h);
    return ok;
}

/* ---- the report ---- */

static void print_rows(const work *w, const dv_quant_row *r, size_t n)
{
    const dv_graph *g = dv_quant_net(w->q);
    printf("%4s %-12s %-22s %10s %10s %9s %5s %8s %9s  %s\n", "", "layer", "name", "lowest",
           "highest", "step", "zero", "SQNR dB", "cosine", "kind");
    for (size_t i = 0; i < n; i++) {
        const dv_node *node = &g->nodes[r[i].node];
        printf("%4zu %-12s ", r[i].node, dv_op_name(node->op));
        int put = cli_put_text(node->name ? node->name : "");
        printf("%*s %10.4g %10.4g ", put < 22 ? 22 - put : 0, "", r[i].lo, r[i].hi);
        if (r[i].bytes)
            printf("%9.3g %5.0f ", r[i].scale, r[i].zero);
        else
            printf("%9s %5s ", "-", "-");
        printf("%8.2f %9.6f  %s\n", r[i].sqnr, r[i].cosine,
               r[i].bytes ? "8-bit"
               : r[i].q   ? "8-bit sums"
                          : "float");
    }
}

static void json_rows(const work *w, const dv_quant_row *r, size_t n, cli_json *j)
{
    const dv_graph *g = dv_quant_net(w->q);
    cli_js_open(j, "layers", '[');
    for (size_t i = 0; i < n; i++) {
        const dv_node *node = &g->nodes[r[i].node];
        cli_js_open(j, NULL, '{');
        cli_js_int(j, "node", (long long)r[i].node);
        cli_js_text(j, "op", dv_op_name(node->op));
        cli_js_text(j, "name", node->name);
        cli_js_real(j, "min", r[i].lo, 6);
        cli_js_real(j, "max", r[i].hi, 6);
        cli_js_text(j, "kind", r[i].bytes ? "u8" : r[i].q ? "s32" : "f32");
        cli_js_real(j, "scale", r[i].scale, 6);
        cli_js_real(j, "zero", r[i].zero, 6);
        cli_js_real(j, "sqnr_db", r[i].sqnr, 6);
        cli_js_real(j, "cosine", r[i].cosine, 8);
        cli_js_close(j, '}');
    }
    cli_js_close(j, ']');
}

static void json_result(cli_json *j, const char *key, const dv_verify_result *r)
{
    cli_js_open(j, key, '{');
    cli_js_real(j, "accuracy", r->accuracy, 8);
    cli_js_real(j, "std", r->std, 8);
    cli_js_open(j, "tar", '{');
    cli_js_real(j, "0.01", r->tar_1e2, 8);
    cli_js_real(j, "0.001", r->tar_1e3, 8);
    cli_js_close(j, '}');
    cli_js_close(j, '}');
}

static void print_result(const char *what, const dv_verify_result *r)
{
    printf("  %-6s accuracy %.2f%% +- %.2f, TAR %.2f%% at FAR 1e-2, %.2f%% at FAR 1e-3\n", what,
           100 * r->accuracy, 100 * r->std, 100 * r->tar_1e2, 100 * r->tar_1e3);
}

static void put_escaped(dv_buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '<' || *s == '>' || *s == '&' || (unsigned char)*s < 32)
            dv_buf_printf(b, "&#%d;", (unsigned char)*s < 32 ? 63 : *s);
        else
            dv_buf_u8(b, (uint8_t)*s);
    }
}

/* A bar a layer: signal over quantisation noise, in decibels. */
static bool plot(const work *w, const dv_quant_row *r, size_t n)
{
    enum { LEFT = 230, WIDE = 480, STEP = 16, TOP = 52 };
    const dv_graph *g = dv_quant_net(w->q);
    double most = 10;
    for (size_t i = 0; i < n; i++)
        most = isfinite(r[i].sqnr) ? DV_MAX(most, r[i].sqnr) : most;
    most = ceil(most / 10) * 10;
    dv_buf b = {0};
    size_t height = TOP + n * STEP + 30;
    dv_buf_printf(&b,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %zu\" "
                  "font-family=\"sans-serif\" font-size=\"11\">\n"
                  "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
                  "<text x=\"%d\" y=\"20\" font-size=\"15\">Signal to quantisation noise of each "
                  "layer, dB</text>\n",
                  LEFT + WIDE + 60, height, 10);
    for (int db = 0; db <= (int)most; db += 10)
        dv_buf_printf(&b,
                      "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%zu\" stroke=\"#ccc\"/>"
                      "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"#444\">%d</text>\n",
                      LEFT + (int)(db / most * WIDE), TOP - 8, LEFT + (int)(db / most * WIDE),
                      height - 24, LEFT + (int)(db / most * WIDE), TOP - 12, db);
    for (size_t i = 0; i < n; i++) {
        const dv_node *node = &g->nodes[r[i].node];
        double v = isfinite(r[i].sqnr) ? DV_MAX(r[i].sqnr, 0) : most;
        size_t y = TOP + i * STEP;
        dv_buf_printf(&b, "<text x=\"%d\" y=\"%zu\" text-anchor=\"end\">%zu ", LEFT - 6, y + 11,
                      r[i].node);
        put_escaped(&b, node->name && strlen(node->name) < 30 ? node->name : dv_op_name(node->op));
        dv_buf_printf(&b,
                      "</text><rect x=\"%d\" y=\"%zu\" width=\"%.1f\" height=\"12\" "
                      "fill=\"%s\"/><text x=\"%.1f\" y=\"%zu\">%.1f</text>\n",
                      LEFT, y + 1, v / most * WIDE, r[i].q ? "#2b6cb0" : "#a0aec0",
                      LEFT + v / most * WIDE + 4, y + 11, v);
    }
    dv_buf_printf(&b,
                  "<text x=\"10\" y=\"%zu\" fill=\"#444\">blue: 8-bit, grey: float. Above 20 dB "
                  "the error is below a tenth of the signal.</text>\n</svg>\n",
                  height - 8);
    dv_err e = {0};
    bool ok = !b.bad;
    if (!ok)
        cli_error("out of memory");
    else if (dv_write_file(w->a.plot, b.data, b.size, &e))
        ok = (cli_error("%s", e.msg), false);
    dv_buf_free(&b);
    return ok;
}

/* The task itself, with the float net and with the new one. */
static bool compare_on_pairs(work *w)
{
    const args *a = &w->a;
    return !a->pairs ||
           (cli_eval_pairs(&a->o, w->source, a->images, a->pairs, a->aligned, &w->before) &&
            cli_eval_pairs(&a->o, a->output, a->images, a->pairs, a->aligned, &w->after));
}

static bool report(work *w, const dv_graph *g, size_t before, size_t after)
{
    const dv_quant_row *rows = NULL;
    size_t n = 0;
    double cosine = NAN;
    if ((!w->a.fp16 && dv_quant_compare(w->q, g, &rows, &n, &w->e)) ||
        (dv_quant_samples(w->q) && dv_quant_cosine(w->q, g, SIZE_MAX, &cosine, &w->e)))
        return failed(w);
    if ((w->a.plot && !plot(w, rows, n)) || !compare_on_pairs(w))
        return false;
    size_t samples = dv_quant_samples(w->q);
    if (w->a.o.json) {
        cli_json j = {.f = stdout};
        cli_js_open(&j, NULL, '{');
        if (!w->a.fp16)
            json_rows(w, rows, n, &j);
        cli_js_int(&j, "half_layers", (long long)w->halves);
        cli_js_text(&j, "output", w->a.output);
        cli_js_int(&j, "samples", (long long)samples);
        cli_js_int(&j, "without_face", (long long)w->faceless);
        cli_js_int(&j, "equalised", (long long)w->pairs);
        cli_js_int(&j, "kept_float", (long long)w->kept);
        cli_js_int(&j, "bytes_before", (long long)before);
        cli_js_int(&j, "bytes", (long long)after);
        if (samples)
            cli_js_real(&j, "mean_cosine", cosine, 8);
        if (w->a.pairs) {
            json_result(&j, "before", &w->before);
            json_result(&j, "after", &w->after);
        }
        cli_js_close(&j, '}');
        cli_js_line(&j);
    } else if (!w->a.o.quiet) {
        if (!w->a.fp16)
            print_rows(w, rows, n);
        cli_put_text(w->a.output);
        printf(": %zu bytes (before: %zu), %zu samples", after, before, samples);
        if (w->a.fp16)
            printf(", %zu layers in half precision%s", w->halves,
                   w->net.ctx->kernels->half ? "" : " (this processor computes them in floats)");
        if (w->faceless)
            printf(" (%zu pictures without a face)", w->faceless);
        if (w->pairs)
            printf(", %zu pairs of layers equalised", w->pairs);
        if (w->kept)
            printf(", %zu layers stay float", w->kept);
        printf("\n");
        if (samples)
            printf("mean cosine between new and float outputs: %.6f\n", cosine);
        if (w->a.pairs) {
            print_result("float", &w->before);
            print_result("new", &w->after);
        } else if (dmv_model_get_kind(w->net.model) == DMV_KIND_EMBEDDER)
            printf("next: domovoi eval verify --model %s ... with and without it\n", w->a.output);
    }
    return true;
}

static bool save(work *w, const dv_graph *g, size_t *size)
{
    dv_meta m = {0};
    const dv_meta *from = &w->net.model->meta;
    char how[160];
    if (w->a.fp16)
        snprintf(how, sizeof how, "half precision");
    else
        snprintf(how, sizeof how, "%s, %s%s, %zu samples", w->a.dynamic ? "dynamic" : w->a.method,
                 w->a.per_layer ? "per layer" : "per channel", w->a.symmetric ? ", symmetric" : "",
                 dv_quant_samples(w->q));
    bool ok = true;
    for (size_t i = 0; ok && i < from->n; i++) {
        const dv_meta_item *it = &from->items[i];
        ok = it->type == 1   ? dv_meta_set_text(&m, it->key, it->text)
             : it->type == 2 ? dv_meta_set_int(&m, it->key, it->num)
                             : dv_meta_set_floats(&m, it->key, it->f, it->n);
    }
    ok = ok && dv_meta_set_text(&m, "quantised", how) &&
         dv_meta_set_text(&m, "quantised_from", w->net.model->id);
    uint8_t *data = NULL;
    if (!ok)
        cli_error("out of memory");
    else if (dv_dmv_encode(g, &m, &data, size, &w->e))
        ok = failed(w);
    else if (dv_write_file(w->a.output, data, *size, &w->e)) {
        cli_error("%s", w->e.msg);
        ok = false;
    }
    dv_free(data);
    dv_meta_free(&m);
    return ok;
}

/* Pixels as the first layer's bytes, if one mean and scale serves all channels. */
static void pixel_scale(const work *w, float *scale, float *zero)
{
    const dv_prep *p = &w->prep;
    *scale = *zero = 0;
    if (!w->has_prep || w->a.random)
        return;
    for (int c = 1; c < p->channels; c++)
        if (p->mean[c] != p->mean[0] || p->scale[c] != p->scale[0])
            return;
    if (p->scale[0] > 0 && p->mean[0] >= 0 && p->mean[0] <= 255) {
        *scale = p->scale[0];
        *zero = p->mean[0];
    }
}

static bool prepare(work *w)
{
    const dmv_model *m = w->net.model;
    const dv_graph *g = &m->graph;
    const int64_t *dims[CLI_NET_INPUTS];
    for (size_t i = 0; i < g->n_inputs; i++)
        dims[i] = w->net.dims[i];
    const int64_t *d = w->net.dims[0];
    const dv_gtensor *in = &g->tensors[g->inputs[0]];
    if (g->n_inputs == 1 && in->rank == 4 && !dv_prep_from_model(m, &w->prep, &w->e)) {
        w->nchw = d[1] == w->prep.channels;
        w->w = (int)d[w->nchw ? 3 : 2];
        w->h = (int)d[w->nchw ? 2 : 1];
        w->has_prep = w->nchw || d[3] == w->prep.channels;
    }
    if (w->a.data && !w->has_prep)
        return cli_error("the net does not take one picture; --random measures ranges on random "
                         "numbers"),
               false;
    w->rgb = dv_malloc((size_t)w->w * (size_t)w->h * 3 + 1);
    w->input = dv_malloc(w->net.x->v[g->inputs[0]].count * sizeof(float));
    w->keep = dv_calloc(2 * g->n_nodes + 1, sizeof *w->keep);
    if (!w->rgb || !w->input || !w->keep)
        return cli_error("out of memory"), false;
    float scale, zero;
    pixel_scale(w, &scale, &zero);
    return dv_quant_open(g, dims, w->net.ctx->kernels, w->net.ctx->pool, scale, zero, &w->q,
                         &w->e) == DMV_OK ||
           failed(w);
}

static bool quantize(work *w)
{
    dv_graph g;
    size_t size = 0;
    if (!prepare(w) || (w->a.random && !add_random(w)) || (w->a.data && !add_pictures(w)))
        return false;
    if (w->a.equalise && dv_quant_equalise(w->q, &w->pairs, &w->e))
        return failed(w);
    if (!isnan(w->a.keep_loss) && !keep_worst(w))
        return false;
    if (w->a.fp16 ? dv_quant_half(w->q, &g, &w->halves, &w->e) && !failed(w) : !build(w, &g))
        return false;
    bool ok = save(w, &g, &size) && report(w, &g, w->net.model->file_size, size);
    dv_graph_free(&g);
    return ok;
}

static bool method_of(work *w)
{
    static const char *const names[] = {"minmax", "percentile", "entropy", "mse"};
    for (size_t i = 0; i < DV_COUNT(names); i++)
        if (!strcmp(w->a.method, names[i])) {
            w->opt.method = (dv_calib)i;
            return true;
        }
    cli_error("--method %s: minmax, percentile, entropy or mse", w->a.method);
    return false;
}

int cli_quantize(int argc, char **argv)
{
    work w = {.a = {.o = {.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MIRROR},
                    .method = "mse",
                    .percentile = 99.99,
                    .samples = 200,
                    .keep_loss = NAN}};
    args *a = &w.a;
    const char *pos[1];
    size_t n;
    int done, width = 0, height = 0;
    cli_option own[] = {
        {"output", "NET.dmv", "the file to write; also -o. Needed", CLI_TEXT, &a->output},
        {"data", "DIR", "pictures to measure ranges on, taken evenly from the folder", CLI_TEXT,
         &a->data},
        {"random", NULL, "random numbers instead: for timing only", CLI_FLAG, &a->random},
        {"fp16", NULL, "half precision instead of 8 bits; needs no pictures", CLI_FLAG, &a->fp16},
        {"samples", "N", "pictures used at most (200)", CLI_INT, &a->samples},
        {"method", "M", "range of activations: minmax percentile entropy mse (mse)", CLI_TEXT,
         &a->method},
        {"percentile", "P", "for --method percentile (99.99)", CLI_REAL, &a->percentile},
        {"symmetric", NULL, "zero point in the middle", CLI_FLAG, &a->symmetric},
        {"per-layer", NULL, "one scale for all weights of a layer", CLI_FLAG, &a->per_layer},
        {"dynamic", NULL, "scales of activations found while the net runs", CLI_FLAG, &a->dynamic},
        {"equalise", NULL, "even out channels of neighbouring layers first", CLI_FLAG,
         &a->equalise},
        {"no-bias-fix", NULL, "leave the mean error of each channel in", CLI_FLAG, &a->no_fix_bias},
        {"keep-loss", "L", "keep the worst layers float until 1 - mean cosine is at most L",
         CLI_REAL, &a->keep_loss},
        {"pairs", "FILE", "score both nets on these pairs, as `eval verify`", CLI_TEXT, &a->pairs},
        {"images", "DIR", "folder of the pictures of --pairs", CLI_TEXT, &a->images},
        {"aligned", NULL, "those pictures are faces of 112 x 112", CLI_FLAG, &a->aligned},
        {"plot", "FILE.svg", "a bar for the noise of each layer", CLI_TEXT, &a->plot},
        {"size", "WxH", "input size, if the net leaves it free", CLI_TEXT, &a->size},
    };
    if (!cli_parse(
            argc, argv,
            "domovoi model quantize NET.dmv --data DIR -o NET.int8.dmv [options]\n\n"
            "Turns a float net into an 8-bit one: 8-bit weights and activations, integer "
            "sums.\nPrints what each layer loses, and the cosine between the outputs. An "
            "embedder gets\nthe best face of each picture, aligned; pictures of the net's "
            "own size are taken\nas they are. --fp16 writes a net in half precision; processors "
            "without such\narithmetic run it in floats.",
            "  domovoi model quantize models/embed.dmv --data faces/ -o embed.int8.dmv\n"
            "  domovoi model quantize net.dmv --data faces/ -o net.int8.dmv \\\n"
            "      --method entropy --keep-loss 0.005\n"
            "  domovoi model quantize net.dmv --data faces/ -o net.int8.dmv --plot noise.svg \\\n"
            "      --images lfw112 --pairs pairs.txt --aligned --mirror\n"
            "  domovoi model quantize net.dmv --random -o net.int8.dmv\n"
            "  domovoi model quantize net.dmv --fp16 -o net.fp16.dmv\n",
            &a->o, own, DV_COUNT(own), pos, 1, &n, &done))
        return done;
    if (n != 1 || !a->output || (!a->data && !a->random && !a->fp16))
        return cli_error("the form is: domovoi model quantize NET.dmv --data DIR -o NET.int8.dmv");
    if (a->data && a->random)
        return cli_error("--data or --random, not both");
    if (a->fp16 && (a->symmetric || a->per_layer || a->dynamic || a->no_fix_bias || a->equalise ||
                    a->plot || !isnan(a->keep_loss)))
        return cli_error("--fp16 has no options of 8 bits; with --data, --random or --pairs it "
                         "measures the loss");
    if (a->samples < 1 || a->samples > 100000)
        return cli_error("--samples %d: 1 to 100000", a->samples);
    if (!(a->percentile > 50 && a->percentile <= 100))
        return cli_error("--percentile %g: above 50, at most 100", a->percentile);
    if (a->size && !cli_parse_size(a->size, &width, &height))
        return cli_error("--size %s: WIDTHxHEIGHT", a->size);
    if (!a->pairs != !a->images)
        return cli_error("--pairs and --images go together");
    w.source = pos[0];
    if (a->random)
        a->samples = DV_MIN(a->samples, 16);
    if (!method_of(&w))
        return CLI_ERROR;
    w.opt.percentile = a->percentile;
    w.opt.symmetric = a->symmetric;
    w.opt.per_layer = a->per_layer;
    w.opt.dynamic = a->dynamic;
    w.opt.fix_bias = !a->no_fix_bias;
    bool ok = cli_net_open(&w.net, &a->o, pos[0], width, height) && quantize(&w);
    dv_quant_close(&w.q);
    dv_free(w.rgb);
    dv_free(w.input);
    dv_free(w.keep);
    if (w.faces_open)
        cli_faces_close(&w.f);
    cli_net_close(&w.net);
    return ok ? CLI_YES : CLI_ERROR;
}

#else

int cli_quantize(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return cli_error("this build has no quantiser: it was made without the ONNX import");
}

#endif
