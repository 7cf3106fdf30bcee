/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_pool.c - pooling, resizing and the two rearrangements between depth and space, all
 * on N, H, W, C. */
#include <math.h>
#include <string.h>

#include "nn/ops.h"
#include "nn/window.h"

typedef struct pool_state {
    dv_window w;
    int64_t oh, ow;
    bool count_pad;
} pool_state;

static dmv_status pool_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    dv_window w;
    return dv_window_of(n, &w, e);
}

static dv_range max_rows, avg_rows, max_rows_u8;

static dmv_status pool_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    pool_state *c = dv_calloc(1, sizeof *c);
    if (!c)
        return dv_nomem(e);
    s->state = c;
    dmv_status st = dv_window_of(s->node, &c->w, e);
    if (st)
        return st;
    if (in->rank != 4 || in->count == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "pooling wants four dimensions");
    bool ceil_mode = dv_node_int(s->node, DV_A_CEIL, 0) != 0;
    c->count_pad = dv_node_int(s->node, DV_A_COUNT_PAD, 0) != 0;
    c->oh = dv_window_out(in->dims[1], c->w.kh, c->w.sy, c->w.dy, c->w.top, c->w.bottom, ceil_mode);
    c->ow = dv_window_out(in->dims[2], c->w.kw, c->w.sx, c->w.dx, c->w.left, c->w.right, ceil_mode);
    if (c->oh < 1 || c->ow < 1)
        return dv_fail(e, DMV_ERR_ARGUMENT, "the picture is too small for this net");
    int64_t dims[4] = {in->dims[0], c->oh, c->ow, in->dims[3]};
    s->scratch = (size_t)c->w.kh * sizeof(float *) + (size_t)c->ow * sizeof(float);
    s->band = dv_window_band(&c->w,
                             s->node->op == DV_OP_AVG_POOL     ? avg_rows
                             : dv_out(x, s, 0)->dtype == DV_U8 ? max_rows_u8
                                                               : max_rows,
                             1);
    return dv_set_dims(dv_out(x, s, 0), 4, dims, e);
}

/* Positions of the window that lie inside the picture plus its stated padding. */
static int64_t padded_taps(int64_t o, int64_t s, int64_t d, int64_t before, int64_t after,
                           int64_t k, int64_t in)
{
    int64_t n = 0;
    for (int64_t t = 0; t < k; t++)
        n += o * s - before + t * d < in + after;
    return n;
}

static void pool_rows(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker, bool avg)
{
    const pool_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    const float **rows = dv_scratch(x, worker);
    float *scale = (float *)(void *)(rows + c->w.kh);
    size_t ch = (size_t)in->dims[3];
    for (size_t r = begin; r < end; r++) {
        size_t img = r / (size_t)c->oh;
        int64_t oy = (int64_t)(r % (size_t)c->oh), y0, y1, x0, x1;
        dv_window_clip(oy, c->w.sy, c->w.dy, c->w.top, c->w.kh, in->dims[1], &y0, &y1);
        const float *base = in->f + img * (size_t)(in->dims[1] * in->dims[2]) * ch;
        for (int64_t t = y0; t < y1; t++)
            rows[t - y0] =
                base + (size_t)((oy * c->w.sy - c->w.top + t * c->w.dy) * in->dims[2]) * ch;
        if (avg) {
            int64_t ny = c->count_pad ? padded_taps(oy, c->w.sy, c->w.dy, c->w.top, c->w.bottom,
                                                    c->w.kh, in->dims[1])
                                      : y1 - y0;
            for (int64_t i = 0; i < c->ow; i++) {
                dv_window_clip(i, c->w.sx, c->w.dx, c->w.left, c->w.kw, in->dims[2], &x0, &x1);
                int64_t nx = c->count_pad ? padded_taps(i, c->w.sx, c->w.dx, c->w.left, c->w.right,
                                                        c->w.kw, in->dims[2])
                                          : x1 - x0;
                scale[i] = nx * ny > 0 ? 1.0f / (float)(nx * ny) : 0;
            }
        }
        dv_pool_args a = {.rows = rows,
                          .kh = (size_t)(y1 - y0),
                          .kw = (size_t)c->w.kw,
                          .c = ch,
                          .iw = (size_t)in->dims[2],
                          .ow = (size_t)c->ow,
                          .sx = (size_t)c->w.sx,
                          .dx = (size_t)c->w.dx,
                          .px = (size_t)c->w.left,
                          .scale = avg ? scale : NULL,
                          .out = o->f + r * (size_t)c->ow * ch};
        if (avg)
            x->k->avgpool_f32(&a);
        else
            x->k->maxpool_f32(&a);
    }
}

/* MaxPool of bytes: their order is that of the values. */
static void max_rows_u8(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const pool_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    const uint8_t **rows = dv_scratch(x, worker);
    size_t ch = (size_t)in->dims[3], line = (size_t)in->dims[2] * ch;
    for (size_t r = begin; r < end; r++) {
        int64_t oy = (int64_t)(r % (size_t)c->oh), y0, y1;
        dv_window_clip(oy, c->w.sy, c->w.dy, c->w.top, c->w.kh, in->dims[1], &y0, &y1);
        const uint8_t *base = in->q + r / (size_t)c->oh * (size_t)in->dims[1] * line;
        for (int64_t t = y0; t < y1; t++)
            rows[t - y0] = base + (size_t)(oy * c->w.sy - c->w.top + t * c->w.dy) * line;
        dv_qpool_args a = {.rows = rows,
                           .kh = (size_t)(y1 - y0),
                           .kw = (size_t)c->w.kw,
                           .c = ch,
                           .iw = (size_t)in->dims[2],
                           .ow = (size_t)c->ow,
                           .sx = (size_t)c->w.sx,
                           .dx = (size_t)c->w.dx,
                           .px = (size_t)c->w.left,
                           .out = o->q + r * (size_t)c->ow * ch};
        x->k->maxpool_u8(&a);
    }
}

static void max_rows(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    pool_rows(x, s, begin, end, worker, false);
}

static void avg_rows(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    pool_rows(x, s, begin, end, worker, true);
}

static void max_run(dv_exec *x, const dv_step *s)
{
    const dv_value *o = dv_out(x, s, 0);
    dv_parallel(x, s, (size_t)(o->dims[0] * o->dims[1]), 1,
                o->dtype == DV_U8 ? max_rows_u8 : max_rows);
}

static void avg_run(dv_exec *x, const dv_step *s)
{
    dv_parallel(x, s, (size_t)(dv_out(x, s, 0)->dims[0] * dv_out(x, s, 0)->dims[1]), 1, avg_rows);
}

const dv_op dv_op_max_pool = {1, 1, 1, 1, 1, 0, {0}, pool_check, pool_shape, max_run};
const dv_op dv_op_avg_pool = {1, 1, 1, 1, 1, 0, {0}, pool_check, pool_shape, avg_run};

/* ---- Resize ---- */

typedef struct axis_map { /* per output position: two sources and the weight of the second */
    int32_t a, b;
    float w;
} axis_map;

typedef struct resize_state {
    int64_t oh, ow;
    bool linear;
    axis_map map[]; /* oh, then ow */
} resize_state;

static dmv_status resize_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    int64_t mode = dv_node_int(n, DV_A_MODE, 0), coord = dv_node_int(n, DV_A_COORD, 0),
            near = dv_node_int(n, DV_A_NEAREST, 0);
    if (mode < 0 || mode > 1 || coord < 0 || coord > DV_COORD_PYTORCH_HALF_PIXEL || near < 0 ||
        near > 3)
        return dv_fail(e, DMV_ERR_FORMAT, "unknown resize mode");
    const dv_attr *sc = dv_node_attr(n, DV_A_SCALES), *sz = dv_node_attr(n, DV_A_SIZES);
    if ((sc && (!sc->is_float || sc->n != 2)) || (sz && (sz->is_float || sz->n != 2)))
        return dv_fail(e, DMV_ERR_FORMAT, "scales or sizes of the wrong length");
    if (!sc && !sz && (n->n_in < 2 || n->in[1] < 0))
        return dv_fail(e, DMV_ERR_FORMAT, "neither scales nor sizes");
    return DMV_OK;
}

/* Source coordinates as the ONNX text on Resize defines them. */
static void fill_map(axis_map *m, int64_t in, int64_t out, double scale, int coord, bool linear,
                     int nearest)
{
    for (int64_t i = 0; i < out; i++) {
        double p;
        if (coord == DV_COORD_ASYMMETRIC)
            p = (double)i / scale;
        else if (coord == DV_COORD_ALIGN_CORNERS)
            p = out > 1 ? (double)i * (double)(in - 1) / (double)(out - 1) : 0;
        else if (coord == DV_COORD_PYTORCH_HALF_PIXEL && out == 1)
            p = 0;
        else
            p = ((double)i + 0.5) / scale - 0.5;
        if (linear) {
            p = p < 0 ? 0 : p > (double)(in - 1) ? (double)(in - 1) : p;
            int64_t a = (int64_t)p;
            m[i] = (axis_map){(int32_t)a, (int32_t)DV_MIN(a + 1, in - 1), (float)(p - (double)a)};
        } else {
            double r = nearest == 0   ? ceil(p - 0.5)
                       : nearest == 1 ? floor(p + 0.5)
                       : nearest == 2 ? floor(p)
                                      : ceil(p);
            r = r < 0 ? 0 : r > (double)(in - 1) ? (double)(in - 1) : r;
            m[i] = (axis_map){(int32_t)r, (int32_t)r, 0};
        }
    }
}

static dmv_status resize_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0), *sizes = dv_in(x, s, 1);
    if (in->rank != 4 || in->count == 0)
        return dv_fail(e, DMV_ERR_FORMAT, "Resize wants four dimensions");
    if (in->dtype == DV_U8 && dv_node_int(s->node, DV_A_MODE, 0) != 0)
        return dv_fail(e, DMV_ERR_FORMAT, "bytes can only be resized to the nearest");
    int64_t out[2], coord = dv_node_int(s->node, DV_A_COORD, 0);
    double scale[2];
    const dv_attr *sc = dv_node_attr(s->node, DV_A_SCALES);
    for (int i = 0; i < 2; i++) {
        int64_t from = in->dims[1 + i], v[2];
        if (sc) {
            scale[i] = (double)sc->v.f[i];
            if (!(scale[i] > 0) || scale[i] > 1024)
                return dv_fail(e, DMV_ERR_FORMAT, "absurd scale");
            out[i] = (int64_t)floor((double)from * scale[i]);
        } else {
            if (sizes && sizes->i && sizes->count == 2)
                memcpy(v, sizes->i, sizeof v);
            else if (dv_node_ints(s->node, DV_A_SIZES, v, 2) != 2)
                return dv_fail(e, DMV_ERR_FORMAT, "sizes are not known");
            out[i] = v[i];
            scale[i] = (double)out[i] / (double)from;
        }
        if (out[i] < 1 || out[i] > 1 << 20)
            return dv_fail(e, DMV_ERR_LIMIT, "absurd output size");
    }
    resize_state *c = dv_calloc(1, sizeof *c + (size_t)(out[0] + out[1]) * sizeof(axis_map));
    if (!c)
        return dv_nomem(e);
    s->state = c;
    c->oh = out[0];
    c->ow = out[1];
    c->linear = dv_node_int(s->node, DV_A_MODE, 0) == 1;
    int near = (int)dv_node_int(s->node, DV_A_NEAREST, 0);
    fill_map(c->map, in->dims[1], out[0], scale[0], (int)coord, c->linear, near);
    fill_map(c->map + out[0], in->dims[2], out[1], scale[1], (int)coord, c->linear, near);
    int64_t dims[4] = {in->dims[0], out[0], out[1], in->dims[3]};
    return dv_set_dims(dv_out(x, s, 0), 4, dims, e);
}

static void resize_rows(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const resize_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0);
    size_t ch = (size_t)in->dims[3], iw = (size_t)in->dims[2];
    const axis_map *mx = c->map + c->oh;
    for (size_t r = begin; r < end; r++) {
        const float *img = in->f + r / (size_t)c->oh * (size_t)in->dims[1] * iw * ch;
        axis_map y = c->map[r % (size_t)c->oh];
        const float *top = img + (size_t)y.a * iw * ch, *low = img + (size_t)y.b * iw * ch;
        float *out = dv_out(x, s, 0)->f + r * (size_t)c->ow * ch;
        for (int64_t i = 0; i < c->ow; i++, out += ch) {
            const float *p = top + (size_t)mx[i].a * ch;
            if (!c->linear) {
                memcpy(out, p, ch * sizeof(float));
                continue;
            }
            const float *q = top + (size_t)mx[i].b * ch;
            const float *u = low + (size_t)mx[i].a * ch, *v = low + (size_t)mx[i].b * ch;
            float wx = mx[i].w, wy = y.w;
            for (size_t k = 0; k < ch; k++) {
                float a = p[k] + wx * (q[k] - p[k]), b = u[k] + wx * (v[k] - u[k]);
                out[k] = a + wy * (b - a);
            }
        }
    }
}

static void resize_rows_u8(dv_exec *x, const dv_step *s, size_t begin, size_t end, int worker)
{
    const resize_state *c = s->state;
    const dv_value *in = dv_in(x, s, 0);
    size_t ch = (size_t)in->dims[3], line = (size_t)in->dims[2] * ch;
    const axis_map *mx = c->map + c->oh;
    for (size_t r = begin; r < end; r++) {
        size_t y = r / (size_t)c->oh * (size_t)in->dims[1] + (size_t)c->map[r % (size_t)c->oh].a;
        uint8_t *out = dv_out(x, s, 0)->q + r * (size_t)c->ow * ch;
        for (int64_t i = 0; i < c->ow; i++, out += ch)
            memcpy(out, in->q + y * line + (size_t)mx[i].a * ch, ch);
    }
}

static void resize_run(dv_exec *x, const dv_step *s)
{
    const resize_state *c = s->state;
    const dv_value *o = dv_out(x, s, 0);
    if (o->dtype == DV_U8) {
        dv_parallel(x, s, (size_t)(o->dims[0] * c->oh), 1, resize_rows_u8);
        return;
    }
    dv_parallel(x, s, (size_t)(dv_out(x, s, 0)->dims[0] * c->oh), 1, resize_rows);
}

const dv_op dv_op_resize = {1, 2, 1, 1, 1, 0, {0}, resize_check, resize_shape, resize_run};

/* ---- depth <-> space ---- */

static dmv_status block_check(const dv_graph *g, const dv_node *n, dv_err *e)
{
    int64_t b = dv_node_int(n, DV_A_BLOCK, 0);
    return b >= 1 && b <= 256 ? DMV_OK : dv_fail(e, DMV_ERR_FORMAT, "absurd block size");
}

static dmv_status d2s_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    int64_t b = dv_node_int(s->node, DV_A_BLOCK, 1);
    if (in->rank != 4 || in->dims[3] % (b * b))
        return dv_fail(e, DMV_ERR_FORMAT, "channels are not a multiple of the block");
    int64_t dims[4] = {in->dims[0], in->dims[1] * b, in->dims[2] * b, in->dims[3] / (b * b)};
    return dv_set_dims(dv_out(x, s, 0), 4, dims, e);
}

static dmv_status s2d_shape(dv_exec *x, dv_step *s, dv_err *e)
{
    const dv_value *in = dv_in(x, s, 0);
    int64_t b = dv_node_int(s->node, DV_A_BLOCK, 1);
    if (in->rank != 4 || in->dims[1] % b || in->dims[2] % b)
        return dv_fail(e, DMV_ERR_FORMAT, "the picture is not a multiple of the block");
    int64_t dims[4] = {in->dims[0], in->dims[1] / b, in->dims[2] / b, in->dims[3] * b * b};
    return dv_set_dims(dv_out(x, s, 0), 4, dims, e);
}

/* `fine` is the picture with more pixels, `deep` the one with more channels. */
static void rearrange(dv_exec *x, const dv_step *s, bool to_space)
{
    const dv_value *in = dv_in(x, s, 0), *o = dv_out(x, s, 0);
    const dv_value *fine = to_space ? o : in, *deep = to_space ? in : o;
    int64_t b = dv_node_int(s->node, DV_A_BLOCK, 1), c = fine->dims[3];
    bool dcr = !to_space || dv_node_int(s->node, DV_A_DCR, 1) != 0;
    size_t at = 0;
    for (int64_t n = 0; n < fine->dims[0]; n++)
        for (int64_t y = 0; y < fine->dims[1]; y++)
            for (int64_t z = 0; z < fine->dims[2]; z++)
                for (int64_t k = 0; k < c; k++, at++) {
                    int64_t sub = y % b * b + z % b;
                    int64_t d = dcr ? sub * c + k : k * b * b + sub;
                    size_t to = (size_t)(((n * deep->dims[1] + y / b) * deep->dims[2] + z / b) *
                                             deep->dims[3] +
                                         d);
                    if (to_space)
                        o->f[at] = in->f[to];
                    else
                        o->f[to] = in->f[at];
                }
}

static void d2s_run(dv_exec *x, const dv_step *s)
{
    rearrange(x, s, true);
}

static void s2d_run(dv_exec *x, const dv_step *s)
{
    rearrange(x, s, false);
}

const dv_op dv_op_depth_to_space = {1, 1, 1, 1, 1, 0, {0}, block_check, d2s_shape, d2s_run};
const dv_op dv_op_space_to_depth = {1, 1, 1, 1, 1, 0, {0}, block_check, s2d_shape, s2d_run};
