/* SPDX-License-Identifier: Apache-2.0
 *
 * probe.c - see probe.h. The net runs once a picture, layer by layer, and each candidate is copied
 * when its step is done. Distances are counted in bins of their square roots. */
#include "motion/probe.h"

#include <math.h>
#include <string.h>

enum { LAYERS = 128, BINS = 2048, BLOCK = 8, FEW = 50 };
#define MOVED 14.0f /* grey levels between means of blocks */
#define STILL 5.0f

struct dv_probe {
    dmv_context *ctx;
    dv_net net;
    size_t n;
    dv_probe_row rows[LAYERS];
    float *features[2][LAYERS], *lengths[LAYERS], *distance;
    uint32_t (*bins)[2][BINS]; /* a layer: still, moving */
    int turn;                  /* which of the pair is running */
    uint8_t *noisy, *blocks;   /* blocks: 0 still, 1 between, 2 moved */
    int bw, bh;
    uint64_t *ns;
    double *least; /* a step: ms */
};

static void to_floats(const dv_exec *x, const dv_value *v, float *out)
{
    if (v->dtype == DV_U8)
        x->k->dequant_u8(v->count, v->q, v->scale, v->zero, out);
    else if (v->dtype == DV_F16)
        x->k->from_f16(v->count, v->h, out);
    else
        memcpy(out, v->f, v->count * sizeof *out);
}

static void seen(void *user, const dv_exec *x, size_t step)
{
    dv_probe *p = user;
    for (int j = 0; j < x->g->nodes[step].n_out; j++)
        for (size_t i = 0; i < p->n; i++)
            if (p->rows[i].layer.tensor == x->g->nodes[step].out[j])
                to_floats(x, &x->v[p->rows[i].layer.tensor], p->features[p->turn][i]);
}

static void name_of(const dv_graph *g, int32_t tensor, char *out, size_t size)
{
    const char *name = g->tensors[tensor].name;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int j = 0; j < g->nodes[i].n_out; j++)
            if (g->nodes[i].out[j] == tensor) {
                snprintf(out, size, "#%zu", i);
                name = name ? name : g->nodes[i].name;
            }
    if (name && *name && strlen(name) < size && dv_graph_find(g, name) == tensor)
        snprintf(out, size, "%s", name);
}

static dmv_status prepare(dv_probe *p)
{
    dv_motion_layer layers[LAYERS];
    const dv_exec *x = p->net.x;
    dv_err *e = &p->ctx->err;
    size_t most = 1;
    dmv_status s = dv_motion_layers(x, layers, LAYERS, &p->n, e);
    if (s)
        return s;
    for (size_t i = 0; i < p->n; i++) {
        const size_t cells = (size_t)layers[i].w * (size_t)layers[i].h;
        p->rows[i].layer = layers[i];
        name_of(x->g, layers[i].tensor, p->rows[i].name, sizeof p->rows[i].name);
        for (int k = 0; k < 2; k++)
            p->features[k][i] = dv_calloc(cells * (size_t)layers[i].c, sizeof(float));
        p->lengths[i] = dv_calloc(cells, sizeof(float));
        most = DV_MAX(most, cells);
        if (!p->features[0][i] || !p->features[1][i] || !p->lengths[i])
            return dv_nomem(e);
    }
    p->bw = (p->net.w + BLOCK - 1) / BLOCK;
    p->bh = (p->net.h + BLOCK - 1) / BLOCK;
    p->distance = dv_calloc(2 * most, sizeof *p->distance);
    p->bins = dv_calloc(p->n, sizeof *p->bins);
    p->noisy = dv_malloc((size_t)p->net.w * (size_t)p->net.h * 3);
    p->blocks = dv_calloc((size_t)p->bw * (size_t)p->bh, 1);
    p->ns = dv_calloc(x->g->n_nodes + 1, sizeof *p->ns);
    p->least = dv_calloc(x->g->n_nodes + 1, sizeof *p->least);
    return p->distance && p->bins && p->noisy && p->blocks && p->ns && p->least ? DMV_OK
                                                                                : dv_nomem(e);
}

dmv_status dv_probe_open(dmv_context *ctx, const dmv_model *m, int w, int h, dv_probe **out)
{
    *out = NULL;
    dv_probe *p = dv_calloc(1, sizeof *p);
    if (!p)
        return dv_nomem(&ctx->err);
    p->ctx = ctx;
    dmv_status s = dv_net_open(ctx, m, "detector", &p->net);
    if (s == DMV_OK) {
        p->net.x->whole = true;
        s = dv_net_shape(&p->net,
                         w                ? w
                         : p->net.fixed_w ? p->net.fixed_w
                                          : 640,
                         h                ? h
                         : p->net.fixed_h ? p->net.fixed_h
                                          : 480,
                         &ctx->err);
    }
    if (s == DMV_OK)
        s = prepare(p);
    if (s) {
        dv_probe_close(&p);
        return s;
    }
    p->net.x->seen = seen;
    p->net.x->seen_user = p;
    p->net.x->step_ns = p->ns;
    *out = p;
    return DMV_OK;
}

void dv_probe_close(dv_probe **pp)
{
    dv_probe *p = *pp;
    if (!p)
        return;
    for (size_t i = 0; i < LAYERS; i++) {
        dv_free(p->features[0][i]);
        dv_free(p->features[1][i]);
        dv_free(p->lengths[i]);
    }
    dv_free(p->distance);
    dv_free(p->bins);
    dv_free(p->noisy);
    dv_free(p->blocks);
    dv_free(p->ns);
    dv_free(p->least);
    dv_net_close(&p->net);
    dv_free(p);
    *pp = NULL;
}

void dv_probe_size(const dv_probe *p, int *w, int *h)
{
    *w = p->net.w;
    *h = p->net.h;
}

static float uniform(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (float)(*s >> 40) / (float)(1 << 24);
}

static uint8_t byte(float v)
{
    return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)(v + 0.5f);
}

static void run(dv_probe *p, const uint8_t *rgb, int turn, float deviation, uint64_t *seed)
{
    const size_t n = (size_t)p->net.w * (size_t)p->net.h * 3;
    for (size_t i = 0; i < n; i++) {
        const float v = uniform(seed) + uniform(seed) + uniform(seed) - 1.5f; /* deviation 0.5 */
        p->noisy[i] = byte((float)rgb[i] + 2 * deviation * v);
    }
    p->turn = turn;
    memset(p->ns, 0, p->net.x->g->n_nodes * sizeof *p->ns);
    dv_net_run(&p->net, p->noisy);
    for (size_t i = 0; i < p->net.x->g->n_nodes; i++) {
        const double ms = (double)p->ns[i] * 1e-6;
        p->least[i] = p->least[i] > 0 && p->least[i] < ms ? p->least[i] : ms;
    }
}

static void compare_blocks(dv_probe *p, const uint8_t *a, const uint8_t *b)
{
    for (int y = 0; y < p->bh; y++)
        for (int x = 0; x < p->bw; x++) {
            const int x1 = DV_MIN((x + 1) * BLOCK, p->net.w),
                      y1 = DV_MIN((y + 1) * BLOCK, p->net.h);
            float sum[3] = {0, 0, 0}, most = 0;
            for (int j = y * BLOCK; j < y1; j++)
                for (int i = x * BLOCK; i < x1; i++)
                    for (int c = 0; c < 3; c++) {
                        const size_t at =
                            3 * ((size_t)j * (size_t)p->net.w + (size_t)i) + (size_t)c;
                        sum[c] += (float)a[at] - (float)b[at];
                    }
            for (int c = 0; c < 3; c++)
                most = fmaxf(most, fabsf(sum[c]));
            most /= (float)((x1 - x * BLOCK) * (y1 - y * BLOCK));
            p->blocks[y * p->bw + x] = most >= MOVED ? 2 : most > STILL;
        }
}

/* 0 still, with its surroundings; 1 neither; 2 at least a third of it moved. */
static int kind_of(const dv_probe *p, const dv_motion_layer *l, int x, int y)
{
    const int x0 = x * p->bw / l->w, y0 = y * p->bh / l->h,
              x1 = DV_MAX((x + 1) * p->bw / l->w, x0 + 1),
              y1 = DV_MAX((y + 1) * p->bh / l->h, y0 + 1), rx = 2 * (x1 - x0), ry = 2 * (y1 - y0);
    int moved = 0, all = 0, near = 0;
    for (int j = DV_MAX(y0 - ry, 0); j < DV_MIN(y1 + ry, p->bh); j++)
        for (int i = DV_MAX(x0 - rx, 0); i < DV_MIN(x1 + rx, p->bw); i++) {
            const int b = p->blocks[j * p->bw + i];
            near += b > 0;
            if (j >= y0 && j < y1 && i >= x0 && i < x1) {
                moved += b == 2;
                all++;
            }
        }
    return near == 0 ? 0 : 3 * moved >= all && moved > 0 ? 2 : 1;
}

static void count(dv_probe *p, size_t layer)
{
    const dv_motion_layer *l = &p->rows[layer].layer;
    const size_t cells = (size_t)l->w * (size_t)l->h, c = (size_t)l->c;
    const dv_kernels *k = p->net.x->k;
    for (size_t i = 0; i < cells; i++)
        k->dots_f32(1, c, p->features[0][layer] + i * c, p->features[0][layer] + i * c, c,
                    &p->lengths[layer][i]);
    const uint64_t t = dv_now_ns();
    dv_motion_distances(k, cells, c, p->features[1][layer], p->features[0][layer],
                        p->distance + cells, p->lengths[layer], p->distance);
    const double ms = (double)(dv_now_ns() - t) * 1e-6, had = p->rows[layer].gate_ms;
    p->rows[layer].gate_ms = had > 0 && had < ms ? had : ms;
    for (int y = 0; y < l->h; y++)
        for (int x = 0; x < l->w; x++) {
            const int kind = kind_of(p, l, x, y);
            const float d = sqrtf(p->distance[y * l->w + x]);
            if (kind != 1)
                p->bins[layer][kind / 2][DV_MIN((int)(d * BINS), BINS - 1)]++;
        }
}

dmv_status dv_probe_pair(dv_probe *p, const uint8_t *a, const uint8_t *b, float deviation,
                         uint64_t seed)
{
    if (!(deviation >= 0 && deviation <= 128))
        return dv_fail(&p->ctx->err, DMV_ERR_ARGUMENT, "noise must be 0 to 128 grey levels");
    uint64_t s = seed * 0x9e3779b97f4a7c15u + 1;
    compare_blocks(p, a, b);
    run(p, a, 0, deviation, &s);
    run(p, b, 1, deviation, &s);
    for (size_t i = 0; i < p->n; i++)
        count(p, i);
    return DMV_OK;
}

void dv_probe_scene(const dv_probe *p, uint64_t seed, uint8_t *a, uint8_t *b)
{
    const int w = p->net.w, h = p->net.h;
    uint64_t s = seed * 0x9e3779b97f4a7c15u + 7;
    float wave[6];
    for (int i = 0; i < 6; i++)
        wave[i] = 0.02f + 0.15f * uniform(&s);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const float fx = (float)x, fy = (float)y;
            const bool tile = ((int)(fx * wave[4]) + (int)(fy * wave[5])) % 2;
            for (int c = 0; c < 3; c++) {
                const float v = 100 + 30 * sinf(fx * wave[0] + (float)c) * sinf(fy * wave[1]) +
                                20 * sinf(fx * wave[2] + fy * wave[3]) + (tile ? 18 : 0) +
                                0.05f * fy;
                a[3 * (y * w + x) + c] = byte(v);
            }
        }
    memcpy(b, a, (size_t)w * (size_t)h * 3);
    for (int k = 0; k < 4; k++) { /* figures: stripes, three tones */
        const int fh = h / 8 + (int)(uniform(&s) * (float)h / 5), fw = DV_MAX(fh * 2 / 5, 1),
                  x0 = (int)(uniform(&s) * (float)(w - fw)),
                  y0 = (int)(uniform(&s) * (float)(h - fh)),
                  step = (int)((uniform(&s) - 0.5f) * 2 * (float)fw);
        const float tone[3] = {255 * uniform(&s), 255 * uniform(&s), 255 * uniform(&s)};
        for (int turn = 0; turn < 2; turn++)
            for (int y = 0; y < fh; y++)
                for (int x = 0; x < fw; x++) {
                    const int px = x0 + x + turn * step, part = 3 * y / fh;
                    if (px < 0 || px >= w)
                        continue;
                    uint8_t *to = (turn ? b : a) + 3 * ((y0 + y) * w + px);
                    for (int c = 0; c < 3; c++)
                        to[c] = byte(0.6f * tone[(part + c) % 3] + (x / 3 % 2 ? 30 : 0));
                }
    }
}

/* Value that the share q of a histogram lies below. */
static double quantile(const uint32_t *bins, double q)
{
    double all = 0, sum = 0;
    for (int i = 0; i < BINS; i++)
        all += bins[i];
    for (int i = 0; i < BINS; i++) {
        sum += bins[i];
        if (sum >= q * all) {
            const double d = (i + 0.5) / BINS;
            return d * d;
        }
    }
    return 1;
}

/* Time is spent on the net rather than on looking at it. */
static double price(const dv_probe_row *r)
{
    return r->ms + 20 * r->gate_ms;
}

dmv_status dv_probe_result(dv_probe *p, const dv_probe_row **rows, size_t *n, size_t *best,
                           double *whole_ms, dv_err *e)
{
    const dv_graph *g = p->net.x->g;
    double top = 0, most[2] = {0, 0};
    bool *tensors = dv_malloc(g->n_tensors), *nodes = dv_malloc(g->n_nodes + 1);
    *rows = p->rows;
    *n = p->n;
    *best = p->n;
    *whole_ms = 0;
    for (size_t k = 0; k < g->n_nodes; k++)
        *whole_ms += p->least[k];
    for (size_t i = 0; tensors && nodes && i < p->n; i++) {
        dv_probe_row *r = &p->rows[i];
        double still = 0, moving = 0, sum = 0;
        size_t count;
        dv_graph_behind(g, r->layer.tensor, tensors, nodes, &count);
        r->ms = 0;
        for (size_t k = 0; k < g->n_nodes; k++)
            r->ms += nodes[k] ? p->least[k] : 0;
        for (int b = 0; b < BINS; b++) {
            sum += p->bins[i][1][b] * (still + 0.5 * p->bins[i][0][b]);
            still += p->bins[i][0][b];
            moving += p->bins[i][1][b];
        }
        most[0] = fmax(most[0], still);
        most[1] = fmax(most[1], moving);
        r->auc = NAN;
        if (still < FEW || moving < FEW)
            continue;
        r->auc = sum / (still * moving);
        r->still = quantile(p->bins[i][0], 0.95);
        r->moving = quantile(p->bins[i][1], 0.5);
        top = fmax(top, r->auc);
    }
    dv_free(nodes);
    if (!tensors || !nodes) {
        dv_free(tensors);
        return dv_nomem(e);
    }
    dv_free(tensors);
    for (size_t i = 0; i < p->n; i++)
        if (p->rows[i].auc >= top - 0.01 &&
            (*best == p->n || price(&p->rows[i]) < price(&p->rows[*best])))
            *best = i;
    if (*best == p->n)
        return dv_fail(
            e, DMV_ERR_ARGUMENT,
            "%.0f cells moved and %.0f did not between the pictures: at least %d of each "
            "are wanted; give more consecutive frames of a fixed camera",
            most[1], most[0], (int)FEW);
    return DMV_OK;
}
