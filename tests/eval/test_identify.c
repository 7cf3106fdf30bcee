/* SPDX-License-Identifier: Apache-2.0
 *
 * Identification: cases worked out by hand, and random ones computed again the slow way: every
 * similarity by itself in double, every rank by counting, every threshold tried. Random vectors
 * have few distinct values, so that ties and repeated vectors are common and sums are exact.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/crowd.h"
#include "eval/identify.h"

static dmv_context *ctx;

static uint32_t rnd(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return *s >> 8;
}

static void near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-6))
        fail_msg("%.15g is not %.15g", a, b);
}

/* Angles in degrees in a plane: similarities are cosines of differences. */
static void angle(float *v, double degrees)
{
    v[0] = (float)cos(degrees * 3.14159265358979 / 180);
    v[1] = (float)sin(degrees * 3.14159265358979 / 180);
}

static void test_by_hand(void **state)
{
    (void)state;
    float g[8], p[8], d[4];
    static const uint32_t gs[4] = {0, 0, 1, 2}, ps[4] = {0, 1, 2, 7};
    static const double ga[4] = {0, 40, 90, 180}, pa[4] = {10, 60, 101, 85};
    for (int i = 0; i < 4; i++) {
        angle(g + 2 * i, ga[i]);
        angle(p + 2 * i, pa[i]);
    }
    dv_templates gallery = {g, gs, 4}, probes = {p, ps, 4};
    dv_ident_options o = {.depth = 5};
    dv_ident *x;
    dv_err e = {0};
    dv_answer t[4];
    assert_int_equal(dv_ident_open(ctx, 2, &gallery, &probes, &o, &x, &e), DMV_OK);
    assert_int_equal(dv_ident_trials(x), 4);
    dv_ident_judge(x, t);
    /* 10: mate 0 by its template at 0 (10 off), next is 90 (80 off). */
    assert_int_equal(t[0].rank, 1);
    near(t[0].mate, cos(10 * M_PI / 180));
    near(t[0].other, cos(80 * M_PI / 180));
    /* 60: mate 1 at 90 is 30 off, subject 0 at 40 is 20 off: second. */
    assert_int_equal(t[1].rank, 2);
    near(t[1].mate, cos(30 * M_PI / 180));
    near(t[1].other, cos(20 * M_PI / 180));
    /* 101: mate 2 at 180 is 79 off; 1 is 11 off, 0 (at 40) is 61 off: third. */
    assert_int_equal(t[2].rank, 3);
    /* 85: no mate; the nearest is 1, 5 off. */
    assert_int_equal(t[3].rank, 0);
    assert_true(t[3].mate == -2);
    near(t[3].other, cos(5 * M_PI / 180));
    size_t hits[5];
    assert_int_equal(dv_cmc(t, 4, 5, hits), 3);
    static const size_t want[5] = {1, 2, 3, 3, 3};
    assert_memory_equal(hits, want, sizeof want);
    /* One stranger at cos 5. No false alarm allowed: above it is nobody but ... nobody. */
    dv_open_point q;
    assert_int_equal(dv_open_set(t, 4, 0.5, &q, &e), DMV_OK);
    assert_true(q.threshold > t[3].other && q.threshold < t[3].other + 1e-6f);
    assert_int_equal(q.missed, 3);
    assert_int_equal(q.false_alarms, 0);
    /* All allowed: only ranks count. */
    assert_int_equal(dv_open_set(t, 4, 1, &q, &e), DMV_OK);
    assert_true(q.strangers == 1 && q.false_alarms == 1 && q.mated == 3);
    assert_true(q.missed == 0 && q.missed_rank1 == 2);
    /* Distractors at 12 and 95: nearer to 10 and 101 than their mates, and the stranger's best. */
    angle(d, 12);
    angle(d + 2, 95);
    assert_int_equal(dv_ident_distract(x, d, 2, &e), DMV_OK);
    dv_ident_judge(x, t);
    assert_true(t[0].rank == 2 && t[1].rank == 2 && t[2].rank == 4 && t[3].rank == 0);
    near(t[0].other, cos(2 * M_PI / 180));
    dv_ident_close(&x);
    /* Mean of subject 0: 20. Then 60 has 0 as far away (40) as ... its mate is 30 off: first. */
    o.fuse = DV_FUSE_MEAN;
    assert_int_equal(dv_ident_open(ctx, 2, &gallery, &probes, &o, &x, &e), DMV_OK);
    dv_ident_judge(x, t);
    assert_true(t[0].rank == 1 && t[1].rank == 1 && t[2].rank == 2);
    near(t[0].mate, cos(10 * M_PI / 180));
    near(t[1].other, cos(40 * M_PI / 180));
    dv_ident_close(&x);
}

/* A person of three pictures makes six trials, one of one picture none. */
static void test_megaface_by_hand(void **state)
{
    (void)state;
    float p[8], d[2];
    static const uint32_t s[4] = {3, 1, 3, 3};
    static const double a[4] = {0, 200, 10, 50};
    for (int i = 0; i < 4; i++)
        angle(p + 2 * i, a[i]);
    dv_templates probes = {p, s, 4};
    dv_ident_options o = {.depth = 1};
    dv_ident *x;
    dv_err e = {0};
    dv_answer t[6];
    assert_int_equal(dv_ident_open(ctx, 2, NULL, &probes, &o, &x, &e), DMV_OK);
    assert_int_equal(dv_ident_trials(x), 6);
    dv_ident_judge(x, t);
    for (int i = 0; i < 6; i++)
        assert_true(t[i].rank == 1 && t[i].other == -2);
    uint64_t accepted;
    float threshold;
    assert_false(dv_ident_far(x, t, 0.1, &accepted, &threshold));
    angle(d, 30);
    assert_int_equal(dv_ident_distract(x, d, 1, &e), DMV_OK);
    dv_ident_judge(x, t);
    /* From 0: 10 is nearer than 30, 50 is not. From 10: 0 is nearer than 30, 50 is not.
     * From 50: the distractor (20) is nearer than both. */
    size_t first = 0;
    for (int i = 0; i < 6; i++)
        first += t[i].rank == 1;
    assert_int_equal(first, 2);
    /* Impostors: 30, 170, 20, 20 degrees off, cosines .866 -.985 .940 .940. Genuine, each twice:
     * 10, 50, 40 off: .985 .643 .766. */
    assert_true(dv_ident_far(x, t, 0, &accepted, &threshold));
    assert_int_equal(accepted, 2);
    assert_true(dv_ident_far(x, t, 0.75, &accepted, &threshold)); /* above -.985 */
    assert_int_equal(accepted, 6);
    assert_true(dv_ident_far(x, t, 0.5, &accepted, &threshold)); /* above .866 */
    assert_int_equal(accepted, 2);
    assert_true(dv_ident_far(x, t, 1, &accepted, &threshold));
    assert_true(accepted == 6 && threshold == -1);
    dv_ident_close(&x);
    probes.n = 2;
    assert_int_equal(dv_ident_open(ctx, 2, NULL, &probes, &o, &x, &e), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "two pictures"));
}

enum { DIM = 16, GALLERY = 300, PROBES = 70, STRANGERS = 900, PEOPLE = 60 };

/* Four of the sixteen numbers are 1 or -1: of length 2, similarities are multiples of 1/4. */
static void sparse(uint32_t *seed, float *v)
{
    memset(v, 0, DIM * sizeof *v);
    for (int k = 0; k < 4;) {
        float *to = &v[rnd(seed) % DIM];
        if (*to == 0) {
            *to = rnd(seed) % 2 ? 1.0f : -1.0f;
            k++;
        }
    }
}

static double cosine(const float *a, const float *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (int d = 0; d < DIM; d++) {
        ab += (double)a[d] * b[d];
        aa += (double)a[d] * a[d];
        bb += (double)b[d] * b[d];
    }
    return ab / sqrt(aa) / sqrt(bb);
}

typedef struct again {
    double mate, other;
    size_t rank; /* 0 = no mate */
} again;

/* The slow way. gallery of max fusion. */
static again ask(const float *probe, uint32_t subject, const float *g, const uint32_t *gs, size_t n,
                 const float *d, size_t n_d)
{
    again a = {-2, -2, 0};
    double best[PEOPLE];
    for (int s = 0; s < PEOPLE; s++)
        best[s] = -2;
    for (size_t i = 0; i < n; i++)
        best[gs[i]] = fmax(best[gs[i]], cosine(probe, g + i * DIM));
    a.mate = best[subject];
    a.rank = a.mate > -2;
    for (uint32_t s = 0; s < PEOPLE; s++) {
        if (s == subject || best[s] < -1.5)
            continue;
        a.other = fmax(a.other, best[s]);
        a.rank += a.mate > -2 && best[s] >= a.mate - 1e-9;
    }
    for (size_t i = 0; i < n_d; i++) {
        double c = cosine(probe, d + i * DIM);
        a.other = fmax(a.other, c);
        a.rank += a.mate > -2 && c >= a.mate - 1e-9;
    }
    return a;
}

/* Every threshold that could matter, from below; the first that lets few enough through. */
static dv_open_point open_again(const again *a, size_t n, double rate)
{
    static const double step = 0.125; /* half a step of the scores */
    dv_open_point q = {.rate = rate};
    for (double t = -1 - step; t < 1.5; t += 2 * step) {
        q = (dv_open_point){.rate = rate};
        for (size_t i = 0; i < n; i++) {
            if (!a[i].rank) {
                q.strangers++;
                q.false_alarms += a[i].other > t;
            } else {
                q.mated++;
                q.missed += a[i].mate < t;
                q.missed_rank1 += a[i].mate < t || a[i].rank != 1;
            }
        }
        if ((double)q.false_alarms <= rate * (double)q.strangers + 1e-9)
            break;
    }
    return q;
}

static void test_random(void **state)
{
    (void)state;
    static float g[GALLERY * DIM], p[PROBES * DIM], d[STRANGERS * DIM];
    static uint32_t gs[GALLERY], ps[PROBES];
    uint32_t seed = 11;
    for (int round = 0; round < 24; round++) {
        size_t n_g = 1 + rnd(&seed) % GALLERY, n_p = 1 + rnd(&seed) % PROBES,
               n_d = rnd(&seed) % STRANGERS, depth = 1 + rnd(&seed) % 40;
        if (round % 3 == 0)
            n_d = STRANGERS; /* enough for the 8-bit copy */
        for (size_t i = 0; i < n_g; i++) {
            gs[i] = rnd(&seed) % (PEOPLE - 10);
            sparse(&seed, g + i * DIM);
        }
        for (size_t i = 0; i < n_d; i++)
            sparse(&seed, d + i * DIM);
        for (size_t i = 0; i < n_p; i++) {
            ps[i] = rnd(&seed) % PEOPLE;
            sparse(&seed, p + i * DIM);
            /* Half of them are one of their templates with a sign changed. */
            for (size_t k = 0; k < n_g && rnd(&seed) % 2; k++) {
                if (gs[k] != ps[i])
                    continue;
                memcpy(p + i * DIM, g + k * DIM, DIM * sizeof *p);
                for (int j = 0; j < DIM; j++) {
                    if (p[i * DIM + (size_t)j] != 0) {
                        p[i * DIM + (size_t)j] *= -1;
                        break;
                    }
                }
                break;
            }
        }
        dv_templates gallery = {g, gs, n_g}, probes = {p, ps, n_p};
        dv_ident_options o = {.depth = depth};
        dv_ident *x;
        dv_err e = {0};
        dv_answer t[PROBES];
        again want[PROBES];
        assert_int_equal(dv_ident_open(ctx, DIM, &gallery, &probes, &o, &x, &e), DMV_OK);
        for (size_t at = 0; at < n_d;) { /* in parts of any size */
            size_t part = 1 + rnd(&seed) % 700;
            part = DV_MIN(n_d - at, part);
            assert_int_equal(dv_ident_distract(x, d + at * DIM, part, &e), DMV_OK);
            at += part;
        }
        dv_ident_judge(x, t);
        assert_int_equal(dv_ident_trials(x), n_p);
        size_t hits[40], mated = 0, within[40] = {0};
        for (size_t i = 0; i < n_p; i++) {
            want[i] = ask(p + i * DIM, ps[i], g, gs, n_g, d, n_d);
            near(t[i].mate, want[i].mate);
            near(t[i].other, want[i].other);
            assert_int_equal(t[i].rank, DV_MIN(want[i].rank, depth + 1));
            mated += want[i].rank > 0;
            for (size_t r = 0; r < depth; r++)
                within[r] += want[i].rank > 0 && want[i].rank <= r + 1;
        }
        assert_int_equal(dv_cmc(t, n_p, depth, hits), mated);
        assert_memory_equal(hits, within, depth * sizeof *hits);
        dv_ident_close(&x);
    }
}

/* Open sets whose scores lie on a grid. */
static void test_open_random(void **state)
{
    (void)state;
    uint32_t seed = 3;
    static const double rates[] = {0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 1};
    for (int round = 0; round < 200; round++) {
        dv_answer t[120];
        again a[120];
        size_t n = 2 + rnd(&seed) % 118, strangers = 0;
        for (size_t i = 0; i < n; i++) {
            a[i].rank = i == 0 ? 1 : i == 1 ? 0 : rnd(&seed) % 4;
            a[i].mate = a[i].rank ? (double)(rnd(&seed) % 9) / 4 - 1 : -2;
            a[i].other = (double)(rnd(&seed) % 9) / 4 - 1;
            strangers += a[i].rank == 0;
            t[i] =
                (dv_answer){(uint32_t)i, (uint32_t)a[i].rank, (float)a[i].mate, (float)a[i].other};
        }
        for (size_t k = 0; k < DV_COUNT(rates); k++) {
            dv_open_point q, w = open_again(a, n, rates[k]);
            assert_int_equal(dv_open_set(t, n, rates[k], &q, NULL), DMV_OK);
            assert_int_equal(q.strangers, strangers);
            assert_int_equal(q.false_alarms, w.false_alarms);
            assert_int_equal(q.missed, w.missed);
            assert_int_equal(q.missed_rank1, w.missed_rank1);
            assert_int_equal(q.mated, w.mated);
        }
        dv_open_curve c;
        assert_int_equal(dv_open_curve_make(t, n, &c, NULL), DMV_OK);
        assert_true(c.n >= 2 && c.n <= strangers + 1 && c.fpir[0] == 0 && c.fpir[c.n - 1] == 1);
        for (size_t k = 0; k < c.n; k++) {
            dv_open_point q;
            assert_int_equal(dv_open_set(t, n, c.fpir[k], &q, NULL), DMV_OK);
            near(c.fpir[k], (double)q.false_alarms / (double)strangers);
            near(c.fnir[k], (double)q.missed / (double)q.mated);
            near(c.fnir_rank1[k], (double)q.missed_rank1 / (double)q.mated);
            assert_true(k == 0 || c.fpir[k] > c.fpir[k - 1]);
        }
        dv_open_curve_free(&c);
    }
}

static int falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* MegaFace against all pairs by themselves; real numbers, and the copy that only filters. */
static void test_megaface_random(void **state)
{
    (void)state;
    enum { N = 40, D = 64, M = 3000 };
    static float p[N * D], d[M * D];
    static double all[N * M];
    static const double rates[] = {0, 1e-5, 1e-4, 1e-3};
    uint32_t s[N], seed = 9;
    dv_crowd *c;
    dv_err e = {0};
    assert_int_equal(dv_crowd_open(D, 1, NULL, 0, &c, &e), DMV_OK);
    dv_crowd_fill(c, NULL, 0, M, d);
    for (size_t i = 0; i < N; i++) {
        s[i] = (uint32_t)i % 9;
        float own[D];
        dv_crowd_fill(c, NULL, 100000 + s[i], 1, p + i * D);
        dv_crowd_fill(c, NULL, 200000 + i, 1, own);
        for (int k = 0; k < D; k++)
            p[i * D + (size_t)k] += own[k] * (float)(rnd(&seed) % 3);
    }
    dv_crowd_close(&c);
    dv_templates probes = {p, s, N};
    dv_ident_options o = {.depth = 150};
    dv_ident *x;
    assert_int_equal(dv_ident_open(ctx, D, NULL, &probes, &o, &x, &e), DMV_OK);
    assert_int_equal(dv_ident_distract(x, d, M, &e), DMV_OK);
    static dv_answer t[N * N];
    dv_ident_judge(x, t);
    size_t n = 0, sure = 0;
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < M; k++)
            all[i * M + k] = (double)dmv_similarity(p + i * D, d + k * D, D);
        for (size_t j = 0; j < N; j++) {
            if (i == j || s[i] != s[j])
                continue;
            double mate = (double)dmv_similarity(p + i * D, p + j * D, D);
            size_t low = 1, high = 1; /* scores that are a rounding apart may come either way */
            for (size_t k = 0; k < M; k++) {
                low += all[i * M + k] > mate + 2e-7;
                high += all[i * M + k] > mate - 2e-7;
            }
            assert_int_equal(t[n].probe, i);
            near(t[n].mate, mate);
            assert_in_range(t[n].rank, DV_MIN(low, (size_t)151), DV_MIN(high, (size_t)151));
            sure += low == high;
            n++;
        }
    }
    assert_int_equal(dv_ident_trials(x), n);
    assert_true(sure > n * 9 / 10);
    qsort(all, N * M, sizeof *all, falling);
    for (size_t k = 0; k < DV_COUNT(rates); k++) {
        uint64_t accepted, want = 0;
        float threshold;
        assert_true(dv_ident_far(x, t, rates[k], &accepted, &threshold));
        /* The threshold lies just above the first score that is refused. */
        near(threshold, all[(size_t)(rates[k] * N * M + 1e-9)]);
        for (size_t i = 0; i < n; i++)
            want += t[i].mate >= threshold;
        assert_int_equal(accepted, want);
        assert_true(want > 0 && want < n);
    }
    uint64_t accepted;
    float threshold;
    /* 150 scores a probe cannot tell where a tenth of all lies. */
    assert_false(dv_ident_far(x, t, 0.1, &accepted, &threshold));
    dv_ident_close(&x);
}

/* The nearest come last: then late parts have much to add, against expectation. */
static void test_nearest_last(void **state)
{
    (void)state;
    float p[4], part[600 * 2];
    static const uint32_t s[2] = {0, 0};
    dv_templates probes = {p, s, 2};
    dv_ident_options o = {.depth = 150};
    dv_ident *x;
    dv_answer t[2];
    angle(p, 0);
    angle(p + 2, 32.01);
    assert_int_equal(dv_ident_open(ctx, 2, NULL, &probes, &o, &x, NULL), DMV_OK);
    for (int k = 0; k < 3000; k++) { /* at 89.98, 89.96 .. 30 degrees */
        angle(part + k % 600 * 2, 89.98 - 0.02 * k);
        if (k % 600 == 599)
            assert_int_equal(dv_ident_distract(x, part, 600, NULL), DMV_OK);
    }
    dv_ident_judge(x, t);
    assert_int_equal(t[0].rank, 102); /* 30.00 .. 32.00 are nearer to 0 */
    assert_int_equal(t[1].rank, 151); /* 1,700 are nearer to it than 0 degrees is */
    dv_ident_close(&x);
}

/* A net that gives one vector to all has no hits, however the ids fall. */
static void test_constant(void **state)
{
    (void)state;
    float v[6 * 4];
    uint32_t s[6] = {0, 1, 2, 0, 1, 2};
    for (int i = 0; i < 24; i++)
        v[i] = (float)(i % 4 + 1);
    dv_templates g = {v, s, 3}, p = {v + 12, s + 3, 3};
    dv_ident_options o = {.depth = 4};
    dv_ident *x;
    dv_answer t[3];
    assert_int_equal(dv_ident_open(ctx, 4, &g, &p, &o, &x, NULL), DMV_OK);
    dv_ident_judge(x, t);
    for (int i = 0; i < 3; i++)
        assert_int_equal(t[i].rank, 3);
    dv_ident_close(&x);
}

static void test_refused(void **state)
{
    (void)state;
    float v[8] = {1, 0, 0, 1, -1, 0, 0, -1};
    uint32_t s[4] = {0, 1, 0, 1};
    dv_templates g = {v, s, 2}, p = {v + 4, s + 2, 2};
    dv_ident_options o = {.depth = 3};
    dv_ident *x;
    dv_err e = {0};
    assert_int_equal(dv_ident_open(ctx, 2, &g, &p, &o, &x, &e), DMV_OK);
    float bad[4] = {1, 2, NAN, 1};
    assert_int_equal(dv_ident_distract(x, bad, 2, &e), DMV_ERR_FORMAT);
    assert_non_null(strstr(e.msg, "distractors: vector 2"));
    dv_ident_close(&x);
    v[3] = INFINITY;
    assert_int_equal(dv_ident_open(ctx, 2, &g, &p, &o, &x, &e), DMV_ERR_FORMAT);
    assert_non_null(strstr(e.msg, "gallery: vector 2"));
    assert_null(x);
    v[3] = 1;
    v[4] = 0;
    assert_int_equal(dv_ident_open(ctx, 2, &g, &p, &o, &x, &e), DMV_ERR_FORMAT);
    assert_non_null(strstr(e.msg, "probes: vector 1"));
    v[4] = -1;
    g.n = 0;
    assert_int_equal(dv_ident_open(ctx, 2, &g, &p, &o, &x, &e), DMV_ERR_ARGUMENT);
    g.n = 4; /* the templates of each cancel out */
    o.fuse = DV_FUSE_MEAN;
    assert_int_equal(dv_ident_open(ctx, 2, &g, &p, &o, &x, &e), DMV_ERR_FORMAT);
    assert_non_null(strstr(e.msg, "cancel out"));
    g.n = 2;
    o.depth = 0;
    assert_int_equal(dv_ident_open(ctx, 2, &g, &p, &o, &x, &e), DMV_ERR_ARGUMENT);
    o.depth = 3;
    int failures = 0;
    for (uint64_t n = 1; n < 60; n++) {
        dv_alloc_fail_at(n, false);
        dmv_status st = dv_ident_open(ctx, 2, &g, &p, &o, &x, &e);
        if (st == DMV_OK)
            st = dv_ident_distract(x, v, 2, &e);
        dv_alloc_fail_at(0, false);
        dv_ident_close(&x);
        if (st == DMV_OK)
            break;
        assert_int_equal(st, DMV_ERR_MEMORY);
        failures++;
    }
    assert_true(failures > 15);
    dv_open_point q;
    dv_answer t[2] = {{0, 1, 0.5f, 0}, {1, 2, 0.5f, 0}};
    assert_int_equal(dv_open_set(t, 2, 0.1, &q, &e), DMV_ERR_ARGUMENT);
    t[0].rank = 0;
    assert_int_equal(dv_open_set(t, 2, -0.1, &q, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_open_set(t, 2, 0.1, &q, &e), DMV_OK);
}

/* Mean and covariance of a fitted crowd before it is brought to length 1 cannot be seen, so the
 * vectors to fit to are long and narrow: far from 0 against their spread. */
static void test_crowd(void **state)
{
    (void)state;
    enum { D = 8, N = 4000 };
    static float from[N * D], made[N * D], second[N * D];
    dv_crowd *sphere, *like;
    dv_err e = {0};
    assert_int_equal(dv_crowd_open(D, 5, NULL, 0, &sphere, &e), DMV_OK);
    dv_crowd_fill(sphere, NULL, 0, N, from);
    double sum[D] = {0}, square[D] = {0};
    for (size_t i = 0; i < N; i++) {
        near(cos(0) * sqrt((double)dmv_similarity(from + i * D, from + i * D, D)), 1);
        for (int d = 0; d < D; d++) {
            sum[d] += (double)from[i * D + (size_t)d] / N;
            square[d] += (double)from[i * D + (size_t)d] * from[i * D + (size_t)d] / N;
        }
    }
    for (int d = 0; d < D; d++) {
        assert_true(fabs(sum[d]) < 5 * sqrt(1.0 / D / N));
        assert_true(fabs(square[d] - 1.0 / D) < 0.01);
    }
    /* The same whatever the cut and the threads. */
    dv_crowd_fill(sphere, ctx->pool, 0, 1000, second);
    dv_crowd_fill(sphere, ctx->pool, 1000, N - 1000, second + 1000 * D);
    assert_memory_equal(from, second, sizeof second);
    dv_crowd_close(&sphere);
    assert_null(sphere);
    for (size_t i = 0; i < N; i++) {
        float *v = from + i * D;
        v[1] += 0.9f * v[0]; /* correlated */
        v[2] *= 0.1f;
        v[7] += 6;
    }
    assert_int_equal(dv_crowd_open(D, 6, from, N, &like, &e), DMV_OK);
    dv_crowd_fill(like, NULL, 77, N, made);
    dv_crowd_close(&like);
    double a[D * D] = {0}, b[D * D] = {0}, ma[D] = {0}, mb[D] = {0};
    for (size_t i = 0; i < N; i++) {
        double length = 0;
        for (int d = 0; d < D; d++)
            length += (double)from[i * D + (size_t)d] * from[i * D + (size_t)d];
        for (int d = 0; d < D; d++) {
            from[i * D + (size_t)d] /= (float)sqrt(length);
            ma[d] += (double)from[i * D + (size_t)d] / N;
            mb[d] += (double)made[i * D + (size_t)d] / N;
        }
    }
    double largest = 0;
    for (int d = 0; d < D; d++) {
        assert_true(fabs(ma[d] - mb[d]) < 0.006);
        for (int k = 0; k < D; k++) {
            for (size_t i = 0; i < N; i++) {
                a[d * D + k] +=
                    (from[i * D + (size_t)d] - ma[d]) * (from[i * D + (size_t)k] - ma[k]) / N;
                b[d * D + k] +=
                    (made[i * D + (size_t)d] - mb[d]) * (made[i * D + (size_t)k] - mb[k]) / N;
            }
            largest = fmax(largest, fabs(a[d * D + k]));
        }
    }
    for (int i = 0; i < D * D; i++)
        if (!(fabs(a[i] - b[i]) < 0.12 * largest))
            fail_msg("covariance %d: %g, fitted %g", i, a[i], b[i]);
    for (size_t i = 0; i < N; i++)
        memcpy(from + i * D, from, D * sizeof *from);
    assert_int_equal(dv_crowd_open(D, 6, from, N, &like, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_crowd_open(D, 6, from, 1, &like, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(dv_crowd_open(0, 6, NULL, 0, &like, &e), DMV_ERR_ARGUMENT);
    for (uint64_t n = 1; n < 7; n++) {
        dv_alloc_fail_at(n, false);
        assert_int_equal(dv_crowd_open(D, 6, made, N, &like, &e), DMV_ERR_MEMORY);
        dv_alloc_fail_at(0, false);
        assert_null(like);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),         cmocka_unit_test(test_megaface_by_hand),
        cmocka_unit_test(test_random),          cmocka_unit_test(test_open_random),
        cmocka_unit_test(test_megaface_random), cmocka_unit_test(test_constant),
        cmocka_unit_test(test_nearest_last),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_crowd),
    };
    dmv_options o;
    dmv_options_init(&o);
    o.threads = 3;
    if (dmv_context_open(&o, &ctx))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    dmv_context_close(&ctx);
    return failed;
}
