/* SPDX-License-Identifier: Apache-2.0
 *
 * dnnl.c - the convolutions and products of the trainer, by oneDNN. Each thread runs primitives of
 * its own part of the batch with one thread; so every primitive exists once a part, with scratch
 * memory of its own. Pictures are N, H, W, C as everywhere; weights are turned into whatever
 * order oneDNN likes once a step.
 */
#include "train/train.h"

#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#if DNNL_VERSION_MAJOR < 2
#error "oneDNN 2 or 3 is needed"
#endif

extern void omp_set_num_threads(int n);

static dnnl_engine_t engine;

void tr_dnnl_one_thread(void)
{
    omp_set_num_threads(1);
}

dmv_status tr_dnnl_open(dv_err *e)
{
    tr_dnnl_one_thread();
    if (!engine && dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "oneDNN does not run on this processor");
    return DMV_OK;
}

/* ---- what differs between versions 2 and 3 ---- */

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t desc; /* a handle */
static bool desc_tag(desc *d, int rank, const int64_t *dims, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(d, rank, dims, dnnl_f32, tag) == dnnl_success;
}
static void desc_free(desc *d)
{
    if (*d)
        dnnl_memory_desc_destroy(*d);
    *d = NULL;
}
static size_t desc_size(const_dnnl_memory_desc_t d)
{
    return dnnl_memory_desc_get_size(d);
}
typedef const_dnnl_memory_desc_t desc_ref;
#define REF(d) (d)
#else
typedef dnnl_memory_desc_t desc;
static bool desc_tag(desc *d, int rank, const int64_t *dims, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(d, rank, dims, dnnl_f32, tag) == dnnl_success;
}
static void desc_free(desc *d)
{
    (void)d;
}
static size_t desc_size(const dnnl_memory_desc_t *d)
{
    return dnnl_memory_desc_get_size(d);
}
typedef const dnnl_memory_desc_t *desc_ref;
#define REF(d) (&(d))
#endif

static desc_ref query(const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

/* ---- memory and primitives ---- */

typedef struct place {
    dnnl_memory_t mem;
    float *own; /* NULL: set at each use */
} place;

static bool place_new(place *p, desc_ref d, bool own)
{
    p->own = NULL;
    if (own && !(p->own = dv_alloc_aligned(DV_MAX(desc_size(d), (size_t)64))))
        return false;
    return dnnl_memory_create(&p->mem, d, engine, own ? (void *)p->own : DNNL_MEMORY_NONE) ==
           dnnl_success;
}

static void place_free(place *p)
{
    if (p->mem)
        dnnl_memory_destroy(p->mem);
    dv_free(p->own);
    memset(p, 0, sizeof *p);
}

typedef struct prim {
    dnnl_primitive_t p;
    place scratch;
} prim;

static bool prim_new(prim *p, const_dnnl_primitive_desc_t pd)
{
    return dnnl_primitive_create(&p->p, pd) == dnnl_success &&
           place_new(&p->scratch, query(pd, dnnl_query_scratchpad_md), true);
}

static void prim_free(prim *p)
{
    if (p->p)
        dnnl_primitive_destroy(p->p);
    place_free(&p->scratch);
    p->p = NULL;
}

struct tr_dconv {
    dnnl_stream_t stream;
    prim fwd, back_x, back_w, turn_f, turn_x, turn_g;
    place x, y, dx, dy;        /* plain, no memory of their own */
    place plain, w_f, w_x, dw; /* weights: as given, as the primitives want them */
    place dw_plain;
    bool same_f, same_x, same_g; /* the primitive takes them as they are */
    size_t count;
};

static void set(place *p, const float *data)
{
    dnnl_memory_set_data_handle(p->mem, (void *)(uintptr_t)data);
}

static void run(tr_dconv *c, prim *p, int n, const dnnl_exec_arg_t *args)
{
    dnnl_exec_arg_t all[5];
    memcpy(all, args, (size_t)n * sizeof *all);
    all[n] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, p->scratch.mem};
    dnnl_primitive_execute(p->p, c->stream, n + 1, all);
    dnnl_stream_wait(c->stream);
}

static bool turn_new(prim *p, desc_ref from, desc_ref to, dnnl_primitive_attr_t attr)
{
    dnnl_primitive_desc_t pd;
    if (dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, attr) != dnnl_success)
        return false;
    bool ok = prim_new(p, pd);
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static void turn(tr_dconv *c, prim *p, place *from, place *to)
{
    dnnl_exec_arg_t a[2] = {{DNNL_ARG_FROM, from->mem}, {DNNL_ARG_TO, to->mem}};
    run(c, p, 2, a);
}

void tr_dconv_free(tr_dconv **pc)
{
    tr_dconv *c = *pc;
    if (!c)
        return;
    prim *p[] = {&c->fwd, &c->back_x, &c->back_w, &c->turn_f, &c->turn_x, &c->turn_g};
    place *q[] = {&c->x, &c->y, &c->dx, &c->dy, &c->plain, &c->w_f, &c->w_x, &c->dw, &c->dw_plain};
    for (size_t i = 0; i < DV_COUNT(p); i++)
        prim_free(p[i]);
    for (size_t i = 0; i < DV_COUNT(q); i++)
        place_free(q[i]);
    if (c->stream)
        dnnl_stream_destroy(c->stream);
    dv_free(c);
    *pc = NULL;
}

typedef struct convdesc {
    desc x, y, w; /* w: any */
    dnnl_dims_t stride, pad, dilate;
    dnnl_primitive_attr_t attr;
} convdesc;

static bool make(dnnl_primitive_desc_t *pd, int what, const convdesc *d,
                 const_dnnl_primitive_desc_t hint)
{
#if DNNL_VERSION_MAJOR >= 3
    dnnl_status_t s = what == 0
                          ? dnnl_convolution_forward_primitive_desc_create(
                                pd, engine, dnnl_forward_training, dnnl_convolution_direct, d->x,
                                d->w, NULL, d->y, d->stride, d->dilate, d->pad, d->pad, d->attr)
                      : what == 1 ? dnnl_convolution_backward_data_primitive_desc_create(
                                        pd, engine, dnnl_convolution_direct, d->x, d->w, d->y,
                                        d->stride, d->dilate, d->pad, d->pad, hint, d->attr)
                                  : dnnl_convolution_backward_weights_primitive_desc_create(
                                        pd, engine, dnnl_convolution_direct, d->x, d->w, NULL, d->y,
                                        d->stride, d->dilate, d->pad, d->pad, hint, d->attr);
    return s == dnnl_success;
#else
    dnnl_convolution_desc_t c;
    dnnl_status_t s =
        what == 0 ? dnnl_convolution_forward_desc_init(&c, dnnl_forward_training,
                                                       dnnl_convolution_direct, &d->x, &d->w, NULL,
                                                       &d->y, d->stride, d->pad, d->pad)
        : what == 1
            ? dnnl_convolution_backward_data_desc_init(&c, dnnl_convolution_direct, &d->x, &d->w,
                                                       &d->y, d->stride, d->pad, d->pad)
            : dnnl_convolution_backward_weights_desc_init(&c, dnnl_convolution_direct, &d->x, &d->w,
                                                          NULL, &d->y, d->stride, d->pad, d->pad);
    return s == dnnl_success &&
           dnnl_primitive_desc_create(pd, &c, d->attr, engine, hint) == dnnl_success;
#endif
}

dmv_status tr_dconv_new(const tr_conv_shape *s, bool want_dx, tr_dconv **out, dv_err *e)
{
    const int64_t g = s->groups;
    dnnl_dims_t xd = {s->n, s->ic, s->ih, s->iw}, yd = {s->n, s->oc, s->oh, s->ow};
    dnnl_dims_t wd = {s->oc, s->ic, s->k, s->k}, wg = {g, s->oc / g, s->ic / g, s->k, s->k};
    const int rank = g > 1 ? 5 : 4;
    convdesc d = {.stride = {s->stride, s->stride}, .pad = {s->pad, s->pad}};
    desc plain;
    memset(&plain, 0, sizeof plain);
    dnnl_primitive_desc_t f = NULL, bx = NULL, bw = NULL;
    *out = NULL;
    tr_dconv *c = dv_calloc(1, sizeof *c);
    if (!c)
        return dv_nomem(e);
    c->count = (size_t)(s->k * s->k * (s->ic / g) * s->oc);
    bool ok = dnnl_stream_create(&c->stream, engine, dnnl_stream_default_flags) == dnnl_success &&
              dnnl_primitive_attr_create(&d.attr) == dnnl_success &&
              dnnl_primitive_attr_set_scratchpad_mode(d.attr, dnnl_scratchpad_mode_user) ==
                  dnnl_success &&
              desc_tag(&d.x, 4, xd, dnnl_nhwc) && desc_tag(&d.y, 4, yd, dnnl_nhwc) &&
              desc_tag(&d.w, rank, g > 1 ? wg : wd, dnnl_format_tag_any) &&
              desc_tag(&plain, rank, g > 1 ? wg : wd, g > 1 ? dnnl_hwigo : dnnl_hwio) &&
              make(&f, 0, &d, NULL) && (!want_dx || make(&bx, 1, &d, f)) && make(&bw, 2, &d, f);
    ok = ok && prim_new(&c->fwd, f) && (!want_dx || prim_new(&c->back_x, bx)) &&
         prim_new(&c->back_w, bw) && place_new(&c->x, REF(d.x), false) &&
         place_new(&c->y, REF(d.y), false) && place_new(&c->dx, REF(d.x), false) &&
         place_new(&c->dy, REF(d.y), false) && place_new(&c->plain, REF(plain), false) &&
         place_new(&c->w_f, query(f, dnnl_query_weights_md), true) &&
         place_new(&c->dw, query(bw, dnnl_query_diff_weights_md), true) &&
         place_new(&c->dw_plain, REF(plain), true) &&
         turn_new(&c->turn_f, REF(plain), query(f, dnnl_query_weights_md), d.attr) &&
         turn_new(&c->turn_g, query(bw, dnnl_query_diff_weights_md), REF(plain), d.attr);
    if (ok && want_dx)
        ok = place_new(&c->w_x, query(bx, dnnl_query_weights_md), true) &&
             turn_new(&c->turn_x, REF(plain), query(bx, dnnl_query_weights_md), d.attr);
    dnnl_primitive_desc_t all[] = {f, bx, bw};
    for (size_t i = 0; i < DV_COUNT(all); i++)
        if (all[i])
            dnnl_primitive_desc_destroy(all[i]);
    if (d.attr)
        dnnl_primitive_attr_destroy(d.attr);
    desc_free(&d.x);
    desc_free(&d.y);
    desc_free(&d.w);
    desc_free(&plain);
    if (!ok) {
        tr_dconv_free(&c);
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "oneDNN has no convolution of %lld to %lld channels, kernel %lld",
                       (long long)s->ic, (long long)s->oc, (long long)s->k);
    }
    *out = c;
    return DMV_OK;
}

void tr_dconv_weights(tr_dconv *c, const float *w)
{
    set(&c->plain, w);
    turn(c, &c->turn_f, &c->plain, &c->w_f);
    if (c->back_x.p)
        turn(c, &c->turn_x, &c->plain, &c->w_x);
}

void tr_dconv_forward(tr_dconv *c, const float *x, float *y)
{
    set(&c->x, x);
    set(&c->y, y);
    dnnl_exec_arg_t a[3] = {
        {DNNL_ARG_SRC, c->x.mem}, {DNNL_ARG_WEIGHTS, c->w_f.mem}, {DNNL_ARG_DST, c->y.mem}};
    run(c, &c->fwd, 3, a);
}

void tr_dconv_backward(tr_dconv *c, const float *x, const float *dy, float *dx)
{
    set(&c->x, x);
    set(&c->dy, dy);
    if (dx && c->back_x.p) {
        set(&c->dx, dx);
        dnnl_exec_arg_t a[3] = {{DNNL_ARG_DIFF_DST, c->dy.mem},
                                {DNNL_ARG_WEIGHTS, c->w_x.mem},
                                {DNNL_ARG_DIFF_SRC, c->dx.mem}};
        run(c, &c->back_x, 3, a);
    }
    dnnl_exec_arg_t b[3] = {{DNNL_ARG_SRC, c->x.mem},
                            {DNNL_ARG_DIFF_DST, c->dy.mem},
                            {DNNL_ARG_DIFF_WEIGHTS, c->dw.mem}};
    run(c, &c->back_w, 3, b);
}

void tr_dconv_gradient(tr_dconv *c, float *g)
{
    turn(c, &c->turn_g, &c->dw, &c->dw_plain);
    for (size_t i = 0; i < c->count; i++)
        g[i] += c->dw_plain.own[i];
}

void tr_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
             int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
