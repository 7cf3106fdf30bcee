/* SPDX-License-Identifier: Apache-2.0
 *
 * test_ops.c - every op of the trainer against an interpreter in double precision: values forwards,
 * and gradients of inputs and parameters by finite differences of the interpreter.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/distill.h"
#include "train/teacher.h"
#include "train/nets.h"

#define EPS 1e-5

/* ---- the interpreter ---- */

typedef struct twin {
    const tr_net *n;
    double **x; /* by value */
    double **w; /* by parameter */
} twin;

static double *parameter(const twin *t, const tr_param *p)
{
    for (size_t i = 0; i < t->n->n_params; i++)
        if (t->n->params[i] == p)
            return t->w[i];
    return NULL;
}

static void twin_open(twin *t, const tr_net *n)
{
    t->n = n;
    t->x = calloc(n->n_values, sizeof *t->x);
    t->w = calloc(n->n_params, sizeof *t->w);
    for (size_t i = 0; i < n->n_values; i++)
        t->x[i] = calloc(n->v[i].each * (size_t)n->batch, sizeof(double));
    for (size_t i = 0; i < n->n_params; i++) {
        t->w[i] = calloc(n->params[i]->n, sizeof(double));
        for (size_t j = 0; j < n->params[i]->n; j++)
            t->w[i][j] = (double)n->params[i]->w[j];
    }
}

static void twin_close(twin *t)
{
    for (size_t i = 0; i < t->n->n_values; i++)
        free(t->x[i]);
    for (size_t i = 0; i < t->n->n_params; i++)
        free(t->w[i]);
    free(t->x);
    free(t->w);
}

static double act(int a, double z, double slope)
{
    switch (a) {
    case TR_ACT_RELU:
        return z < 0 ? 0 : z;
    case TR_ACT_PRELU:
        return z < 0 ? z * slope : z;
    case TR_ACT_SWISH:
        return z / (1 + exp(-z));
    case TR_ACT_SIGMOID:
        return 1 / (1 + exp(-z));
    default:
        return z;
    }
}

static void conv(const twin *t, const tr_op *o, const tr_value *a, const tr_value *y, int64_t b)
{
    const double *x = t->x[o->in[0]] + (size_t)b * a->each, *w = parameter(t, o->p[0]);
    double *out = t->x[o->out] + (size_t)b * y->each;
    const int64_t ig = a->c / o->groups, og = y->c / o->groups;
    for (int64_t i = 0; i < y->h; i++)
        for (int64_t j = 0; j < y->w; j++)
            for (int64_t c = 0; c < y->c; c++) {
                double sum = 0;
                for (int64_t u = 0; u < o->k; u++)
                    for (int64_t v = 0; v < o->k; v++) {
                        int64_t py = i * o->stride - o->pad + u, px = j * o->stride - o->pad + v;
                        if (py < 0 || py >= a->h || px < 0 || px >= a->w)
                            continue;
                        for (int64_t q = 0; q < ig; q++)
                            sum += x[(py * a->w + px) * a->c + c / og * ig + q] *
                                   w[((u * o->k + v) * ig + q) * y->c + c];
                    }
                out[(i * y->w + j) * y->c + c] = sum;
            }
}

static void norm(const twin *t, const tr_op *o, const tr_value *a)
{
    const double *x = t->x[o->in[0]];
    const size_t rows = (size_t)(t->n->batch * a->h * a->w), c = (size_t)a->c;
    const double *slope = o->p[4] ? parameter(t, o->p[4]) : NULL;
    for (size_t j = 0; j < c; j++) {
        double m = 0, v = 0;
        for (size_t r = 0; r < rows; r++)
            m += x[r * c + j] / (double)rows;
        for (size_t r = 0; r < rows; r++)
            v += (x[r * c + j] - m) * (x[r * c + j] - m) / (double)rows;
        if (!t->n->training) {
            m = parameter(t, o->p[2])[j];
            v = parameter(t, o->p[3])[j];
        }
        for (size_t r = 0; r < rows; r++)
            t->x[o->out][r * c + j] =
                act(o->act,
                    parameter(t, o->p[0])[j] * (x[r * c + j] - m) / sqrt(v + EPS) +
                        parameter(t, o->p[1])[j],
                    slope ? slope[j] : 0);
    }
}

static void one_op(const twin *t, const tr_op *o)
{
    const tr_value *a = &t->n->v[o->in[0]], *y = &t->n->v[o->out];
    const double *x = t->x[o->in[0]], *z = o->n_in > 1 ? t->x[o->in[1]] : NULL;
    double *out = t->x[o->out];
    const size_t all = y->each * (size_t)t->n->batch, c = (size_t)y->c;
    if (o->kind == &tr_bn_act)
        norm(t, o, a);
    for (int64_t b = 0; o->kind == &tr_conv && b < t->n->batch; b++)
        conv(t, o, a, y, b);
    for (size_t i = 0; i < all; i++) {
        if (o->kind == &tr_act)
            out[i] = act(o->act, x[i], 0);
        else if (o->kind == &tr_add)
            out[i] = x[i] + z[i];
        else if (o->kind == &tr_mul_gate)
            out[i] = x[i] * z[i / y->each * c + i % c];
        else if (o->kind == &tr_global_mean) {
            out[i] = 0;
            for (size_t p = 0; p < a->each / c; p++)
                out[i] += x[i / c * a->each + p * c + i % c] / (double)(a->each / c);
        } else if (o->kind == &tr_fc) {
            out[i] = o->p[1] ? parameter(t, o->p[1])[i % c] : 0;
            for (size_t k = 0; k < a->each; k++)
                out[i] += x[i / c * a->each + k] * parameter(t, o->p[0])[k * c + i % c];
        }
    }
}

/* Sum of outputs times r. */
static double twin_run(const twin *t, const double *r)
{
    const tr_net *n = t->n;
    double sum = 0;
    for (size_t i = 0; i < n->n_ops; i++)
        one_op(t, n->ops[i]);
    for (size_t i = 0; i < n->v[n->output].each * (size_t)n->batch; i++)
        sum += r[i] * t->x[n->output][i];
    return sum;
}

/* ---- comparing ---- */

static uint64_t seed = 5;

static void check(tr_net *n, const char *what, bool training)
{
    dv_err e = {0};
    tr_value *in = &n->v[n->input];
    in->wants_d = true; /* to see the gradient that reaches the input */
    for (size_t i = 0; i < n->n_ops; i++)
        for (int k = 0; k < n->ops[i]->n_in; k++)
            n->v[n->ops[i]->out].wants_d |= n->v[n->ops[i]->in[k]].wants_d;
    if (tr_net_ready(n, 5, &e))
        fail_msg("%s: %s", what, e.msg);
    for (size_t i = 0; i < n->n_params; i++)
        for (size_t j = 0; j < n->params[i]->n; j++)
            n->params[i]->w[j] +=
                n->params[i]->g ? 0.2F * tr_normal(&seed) : 0.3F * tr_uniform(&seed);
    const size_t inputs = in->each * 5, outputs = n->v[n->output].each * 5;
    for (size_t i = 0; i < inputs; i++)
        in->x[i] = tr_normal(&seed);
    double *r = calloc(outputs, sizeof *r);
    twin t;
    twin_open(&t, n);
    for (size_t i = 0; i < inputs; i++)
        t.x[n->input][i] = (double)in->x[i];
    tr_net_forward(n, training);
    float *d = tr_net_output_d(n);
    assert_non_null(d);
    for (size_t i = 0; i < outputs; i++)
        d[i] = (float)(r[i] = (double)tr_normal(&seed));
    for (size_t i = 0; i < outputs; i++)
        r[i] = (double)d[i];
    twin_run(&t, r);
    for (size_t i = 0; i < outputs; i++) {
        double want = t.x[n->output][i], got = (double)n->v[n->output].x[i];
        if (fabs(want - got) > 2e-4 * (1 + fabs(want)))
            fail_msg("%s: output %zu is %g, want %g", what, i, got, want);
    }
    /* the gradient of the input is given back after a backward: an op that keeps it */
    tr_net_zero_grads(n);
    assert_int_equal(tr_net_backward(n, &e), DMV_OK);
    for (size_t i = 0; i < n->n_params; i++) {
        tr_param *p = n->params[i];
        for (int k = 0; p->g && k < 12; k++) {
            size_t j = (size_t)(tr_random(&seed) % p->n);
            const double w = t.w[i][j], h = 1e-5;
            t.w[i][j] = w + h;
            double up = twin_run(&t, r);
            t.w[i][j] = w - h;
            double low = twin_run(&t, r);
            t.w[i][j] = w;
            double want = (up - low) / (2 * h), got = (double)p->g[j];
            if (fabs(want - got) > 2e-3 * (0.5 + fabs(want)))
                fail_msg("%s: gradient of %s[%zu] is %g, want %g", what, p->name, j, got, want);
        }
    }
    free(r);
    twin_close(&t);
    tr_net_free(&n);
}

static tr_net *open_net(int parts, int64_t h, int64_t w, int64_t c)
{
    dv_err e = {0};
    tr_net *n;
    if (tr_net_new(parts, 3, &n, &e))
        fail_msg("%s", e.msg);
    assert_true(tr_net_input(n, h, w, c) >= 0);
    return n;
}

static int add(tr_net *n, const tr_kind *k, tr_op how, int a, int b)
{
    dv_err e = {0};
    char name[20];
    snprintf(name, sizeof name, "op%zu", n->n_ops);
    int v = tr_net_add(n, k, &how, name, a, b, &e);
    if (v < 0)
        fail_msg("%s", e.msg);
    return v;
}

static tr_op window(int64_t channels, int64_t k, int64_t stride, int64_t groups)
{
    return (tr_op){.k = k, .stride = stride, .pad = k / 2, .groups = groups, .channels = channels};
}

/* A first convolution gives every op under test an input with a gradient. */
static void convolutions(void **state)
{
    (void)state;
    static const struct {
        int64_t k, stride, groups, channels;
    } cases[] = {{1, 1, 1, 24},  {3, 1, 1, 8},   {3, 2, 1, 20},  {3, 1, 16, 16},
                 {3, 2, 16, 16}, {5, 1, 16, 16}, {7, 1, 16, 16}, {5, 2, 1, 6}};
    for (size_t i = 0; i < DV_COUNT(cases); i++)
        for (int parts = 1; parts <= 3; parts++) {
            tr_net *n = open_net(parts, 9, 7, 3);
            int x = add(n, &tr_conv, window(16, 3, 1, 1), n->input, -1);
            add(n, &tr_conv,
                window(cases[i].channels, cases[i].k, cases[i].stride, cases[i].groups), x, -1);
            check(n, "conv", true);
        }
}

static void norms(void **state)
{
    (void)state;
    for (int a = TR_ACT_NONE; a <= TR_ACT_SWISH; a++)
        for (int parts = 1; parts <= 3; parts++)
            for (int training = 0; training < 2; training++) {
                tr_net *n = open_net(parts, 5, 6, 3);
                int x = add(n, &tr_conv, window(12, 3, 1, 1), n->input, -1);
                x = add(n, &tr_bn_act, (tr_op){.act = a}, x, -1);
                add(n, &tr_conv, window(4, 1, 1, 1), x, -1);
                check(n, "bn", training);
            }
}

/* Residuals (also x + x), gates, means, products, several readers of one value. */
static void graphs(void **state)
{
    (void)state;
    for (int parts = 1; parts <= 3; parts++) {
        tr_net *n = open_net(parts, 8, 8, 3);
        int x = add(n, &tr_conv, window(16, 3, 2, 1), n->input, -1);
        x = add(n, &tr_bn_act, (tr_op){.act = TR_ACT_PRELU}, x, -1);
        int y = add(n, &tr_conv, window(16, 3, 1, 16), x, -1);
        y = add(n, &tr_bn_act, (tr_op){.act = TR_ACT_SWISH}, y, -1);
        int g = add(n, &tr_global_mean, (tr_op){0}, y, -1);
        g = add(n, &tr_fc, (tr_op){.channels = 4, .bias = true}, g, -1);
        g = add(n, &tr_act, (tr_op){.act = TR_ACT_RELU}, g, -1);
        g = add(n, &tr_fc, (tr_op){.channels = 16, .bias = true}, g, -1);
        g = add(n, &tr_act, (tr_op){.act = TR_ACT_SIGMOID}, g, -1);
        y = add(n, &tr_mul_gate, (tr_op){0}, y, g);
        y = add(n, &tr_add, (tr_op){0}, x, y);
        y = add(n, &tr_add, (tr_op){0}, y, y);
        int z = add(n, &tr_conv, window(16, 1, 1, 1), y, -1);
        y = add(n, &tr_add, (tr_op){0}, z, y);
        y = add(n, &tr_act, (tr_op){.act = TR_ACT_SWISH}, y, -1);
        add(n, &tr_fc, (tr_op){.channels = 10}, y, -1);
        check(n, "graph", true);
    }
}

/* The same weights after the same step whatever was done before, and the same run twice. */
static void repeats(void **state)
{
    (void)state;
    float *first = NULL;
    for (int round = 0; round < 2; round++) {
        dv_err e = {0};
        tr_net *n;
        tr_recipe r = {"mobilefacenet", "prelu", 0.25, 0.5, true, 32};
        assert_int_equal(tr_net_new(2, 9, &n, &e), DMV_OK);
        if (tr_net_build(n, &r, &e) || tr_net_ready(n, 4, &e))
            fail_msg("%s", e.msg);
        uint64_t s = 4;
        for (size_t i = 0; i < n->v[n->input].each * 4; i++)
            n->v[n->input].x[i] = tr_normal(&s);
        for (int step = 0; step < 2; step++) {
            tr_net_forward(n, true);
            float *d = tr_net_output_d(n);
            for (size_t i = 0; i < 4 * 32; i++)
                d[i] = tr_normal(&s);
            tr_net_zero_grads(n);
            assert_int_equal(tr_net_backward(n, &e), DMV_OK);
        }
        size_t at = 0, total = 0;
        for (size_t i = 0; i < n->n_params; i++)
            total += n->params[i]->n;
        float *all = calloc(total, sizeof *all);
        for (size_t i = 0; i < n->n_params; at += n->params[i++]->n)
            memcpy(all + at, n->params[i]->g ? n->params[i]->g : n->params[i]->w,
                   n->params[i]->n * sizeof(float));
        if (first)
            assert_memory_equal(first, all, total * sizeof *all);
        if (first)
            free(all);
        else
            first = all;
        tr_net_free(&n);
    }
    free(first);
}

/* Losses by finite differences, in the floats of the inputs. */
static void losses(void **state)
{
    (void)state;
    static const tr_margin kinds[] = {{.s = 8, .m1 = 1},
                                      {.s = 8, .m1 = 1, .m2 = 0.5F},
                                      {.s = 8, .m1 = 1, .m3 = 0.35F, .smooth = 0.1F},
                                      {.s = 8, .m1 = 1.35F},
                                      {.s = 8, .m1 = 1.1F, .m2 = 0.3F, .m3 = 0.1F}};
    enum { B = 6, D = 12, C = 9 };
    for (size_t k = 0; k < DV_COUNT(kinds); k++) {
        dv_err e = {0};
        tr_net *n = open_net(1, 1, 1, D);
        n->output = n->input;
        tr_head *h;
        assert_int_equal(tr_head_new(n, C, &h, &e), DMV_OK);
        assert_int_equal(tr_head_ready(h, B, &e), DMV_OK);
        float x[B * D], d[B * D] = {0};
        int32_t labels[B];
        int64_t right;
        for (int i = 0; i < B * D; i++)
            x[i] = tr_normal(&seed);
        for (int i = 0; i < C * D; i++)
            h->w->w[i] = tr_normal(&seed);
        for (int i = 0; i < B; i++)
            labels[i] = (int32_t)(tr_random(&seed) % C);
        /* one row points away from its centre: beyond pi with a margin */
        for (int j = 0; j < D; j++)
            x[j] = -h->w->w[labels[0] * D + j] + 0.05F * tr_normal(&seed);
        tr_margin_loss(h, &kinds[k], B, x, labels, 2, d, &right);
        float g[C * D];
        memcpy(g, h->w->g, sizeof g);
        for (int i = 0; i < B * D + C * D; i++) {
            float *p = i < B * D ? &x[i] : &h->w->w[i - B * D], was = *p;
            const float step = 1e-2F;
            *p = was + step;
            double up = tr_margin_loss(h, &kinds[k], B, x, labels, 2, NULL, &right);
            *p = was - step;
            double low = tr_margin_loss(h, &kinds[k], B, x, labels, 2, NULL, &right);
            double dx = (double)(was + step) - (double)(was - step);
            *p = was;
            double want = (up - low) / dx, got = (double)(i < B * D ? d[i] : g[i - B * D]);
            if (fabs(want - got) > 0.02 * (0.1 + fabs(want)))
                fail_msg("margin %zu, %d: %g, want %g", k, i, got, want);
        }
        tr_head_free(&h);
        tr_net_free(&n);
    }
}

typedef double loss_fn(const float *x, float *d);
enum { LB = 8, LD = 6, LC = 4 };
static float lt[LB * LD], lcentres[LC * LD], lroom[4096], lsoft[LB * LC];
static int32_t llabels[LB];
static tr_head *lhead;

static double f_cosine(const float *x, float *d)
{
    return tr_cosine_loss(LB, LD, x, lt, 3, d);
}
static double f_relational(const float *x, float *d)
{
    return tr_relational_loss(LB, LD, x, lt, 5, d, lroom);
}
static double f_triplet_l2(const float *x, float *d)
{
    return tr_triplet_loss(false, LB, LD, x, lt, llabels, 2, d, lroom);
}
static double f_triplet_cos(const float *x, float *d)
{
    return tr_triplet_loss(true, LB, LD, x, lt, llabels, 2, d, lroom);
}
static double f_hinton(const float *x, float *d)
{
    return tr_hinton_loss(lhead, 8, 3, LB, x, lt, lcentres, 2, d, lsoft);
}

/* What is learned from a teacher, by finite differences of the embeddings. */
static void distillation(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        loss_fn *f;
        float step;
    } all[] = {{"cosine", f_cosine, 1e-2F},
               {"relational", f_relational, 1e-2F},
               {"triplet-l2", f_triplet_l2, 1e-3F},
               {"triplet-cos", f_triplet_cos, 1e-3F},
               {"hinton", f_hinton, 1e-2F}};
    dv_err e = {0};
    tr_net *n = open_net(1, 1, 1, LD);
    n->output = n->input;
    assert_int_equal(tr_head_new(n, LC, &lhead, &e), DMV_OK);
    assert_int_equal(tr_head_ready(lhead, LB, &e), DMV_OK);
    assert_true(tr_distill_room(LB, LD) <= DV_COUNT(lroom));
    for (int i = 0; i < LC * LD; i++)
        lhead->w->w[i] = tr_normal(&seed);
    for (size_t k = 0; k < DV_COUNT(all); k++) {
        float x[LB * LD], d[LB * LD];
        double total = 0;
        for (int i = 0; i < LB; i++) {
            llabels[i] = i / 2;
            double len = 0;
            for (int j = 0; j < LD; j++) {
                lt[i * LD + j] = tr_normal(&seed);
                len += (double)lt[i * LD + j] * (double)lt[i * LD + j];
                x[i * LD + j] = tr_normal(&seed) + (j == 0 ? 2.0F : 0);
            }
            for (int j = 0; j < LD; j++)
                lt[i * LD + j] /= (float)sqrt(len);
        }
        for (int c = 0; c < LC; c++)
            memcpy(lcentres + c * LD, lt + 2 * c * LD, LD * sizeof(float));
        memset(d, 0, sizeof d);
        all[k].f(x, d);
        int wrong = 0; /* where a triplet changes between the two sides there is no slope */
        for (int i = 0; i < LB * LD; i++) {
            const float was = x[i];
            x[i] = was + all[k].step;
            double up = all[k].f(x, NULL), dx = (double)x[i];
            x[i] = was - all[k].step;
            double low = all[k].f(x, NULL);
            dx -= (double)x[i];
            x[i] = was;
            double want = (up - low) / dx;
            total += fabs(want);
            if (fabs(want - (double)d[i]) > 0.02 * (0.1 + fabs(want)))
                wrong++;
        }
        if (wrong > (k == 2 || k == 3 ? 8 : 0) || total == 0)
            fail_msg("%s: %d of %d gradients are wrong, %g in all", all[k].name, wrong, LB * LD,
                     total);
    }
    /* margins between m_min and m_max, the largest for the nearest to its centre */
    tr_distill how;
    float m2[LB];
    assert_int_equal(tr_distill_parse("margin,angular:2.5,relational", &how, &e), DMV_OK);
    assert_int_equal(how.kinds, TR_D_MARGIN | TR_D_ANGULAR | TR_D_RELATIONAL);
    assert_true(how.angular == 2.5F);
    tr_row_margins(&how, LB, LD, lt, lcentres, llabels, m2);
    for (int i = 0; i < LB; i++)
        assert_true(m2[i] >= 0.2F && m2[i] <= 0.5F + 1e-6F);
    assert_true(fabs((double)m2[0] - 0.5) < 1e-5);
    static const char *const bad[] = {
        "x", "margin,copy", "angular:", "angular:0", "margin:2", "angular:1x"};
    for (size_t i = 0; i < DV_COUNT(bad); i++)
        assert_int_equal(tr_distill_parse(bad[i], &how, &e), DMV_ERR_ARGUMENT);
    /* centres that follow: a student that agrees with the teacher leaves them where they are */
    memcpy(lhead->w->w, lcentres, sizeof lcentres);
    tr_adadistill(lhead, 1, lcentres, lcentres, llabels);
    for (int j = 0; j < LD; j++)
        assert_true(fabs((double)lhead->w->w[j] - (double)lcentres[j]) < 1e-5);
    float away[LD];
    for (int j = 0; j < LD; j++)
        away[j] = -lcentres[j];
    tr_adadistill(lhead, 1, away, lcentres, llabels + 2); /* another person's centre goes there */
    for (int j = 0; j < LD; j++)
        assert_true(fabs((double)lhead->w->w[LD + j] - (double)lcentres[j]) < 1e-5);
    tr_head_free(&lhead);
    tr_net_free(&n);
}

/* A projection keeps what varies: vectors of a plane in more dimensions keep their angles. */
static void projection(void **state)
{
    (void)state;
    enum { N = 60, FROM = 9, TO = 3 };
    float basis[TO][FROM], v[N * FROM], was[N * FROM];
    double kept, worst = 0;
    dv_err e = {0};
    for (int b = 0; b < TO; b++)
        for (int j = 0; j < FROM; j++)
            basis[b][j] = tr_normal(&seed);
    for (int i = 0; i < N; i += 2) { /* v and -v: the mean is nothing */
        float c[TO];
        for (int b = 0; b < TO; b++)
            c[b] = tr_normal(&seed);
        double len = 0;
        for (int j = 0; j < FROM; j++) {
            v[i * FROM + j] = c[0] * basis[0][j] + c[1] * basis[1][j] + c[2] * basis[2][j];
            len += (double)v[i * FROM + j] * (double)v[i * FROM + j];
        }
        for (int j = 0; j < FROM; j++) {
            v[i * FROM + j] /= (float)sqrt(len);
            v[(i + 1) * FROM + j] = -v[i * FROM + j];
        }
    }
    memcpy(was, v, sizeof v);
    assert_int_equal(tr_project(v, N, FROM, TO, &kept, &e), DMV_OK);
    assert_true(kept > 1 - 1e-6);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double a = 0, b = 0;
            for (int k = 0; k < FROM; k++)
                a += (double)was[i * FROM + k] * (double)was[j * FROM + k];
            for (int k = 0; k < TO; k++)
                b += (double)v[i * TO + k] * (double)v[j * TO + k];
            worst = fmax(worst, fabs(a - b));
        }
    if (worst > 1e-4)
        fail_msg("an angle changed by %g", worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions), cmocka_unit_test(norms),  cmocka_unit_test(graphs),
        cmocka_unit_test(repeats),      cmocka_unit_test(losses), cmocka_unit_test(distillation),
        cmocka_unit_test(projection)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
