/* SPDX-License-Identifier: Apache-2.0
 *
 * Tracks on made-up paths: people who cross, hide, come and go, with noise in their boxes; matching
 * against all possibilities; caps; votes and shots; nonsense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "motion/track.h"

static uint64_t state;

static float uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) / (float)(1 << 24);
}

static float noise(void)
{
    return uniform() + uniform() + uniform() + uniform() - 2; /* deviation 0.58 */
}

static dv_tracker *opened(const dv_track_options *o)
{
    dv_tracker *t;
    dv_err e = {0};
    if (dv_tracker_open(o, &t, &e))
        fail_msg("%s", e.msg);
    return t;
}

static dv_tracked box(float x, float y, float w, float h, float score)
{
    return (dv_tracked){{x, y, w, h}, score};
}

/* The id of the track that has box number i, 0 = none. */
static uint64_t id_of(const dv_tracker *t, int i)
{
    const dv_track *const *k;
    const size_t n = dv_tracker_tracks(t, &k);
    for (size_t j = 0; j < n; j++)
        if (k[j]->detection == i)
            return k[j]->id;
    return 0;
}

static int count(const dv_tracker *t, int kind)
{
    const dv_track_event *v;
    const size_t n = dv_tracker_events(t, &v);
    int c = 0;
    for (size_t i = 0; i < n; i++)
        c += v[i].kind == kind;
    return c;
}

/* ---- matching ---- */

static double best_sum(const float *gain, int rows, int cols, int row, unsigned used)
{
    if (row == rows)
        return 0;
    double best = best_sum(gain, rows, cols, row + 1, used);
    for (int c = 0; c < cols; c++)
        if (!(used >> c & 1) && gain[row * cols + c] > 0)
            best = fmax(best, (double)gain[row * cols + c] +
                                  best_sum(gain, rows, cols, row + 1, used | 1u << c));
    return best;
}

static void assignment_is_optimal(void **s)
{
    state = 1;
    for (int round = 0; round < 3000; round++) {
        const int rows = (int)(uniform() * 6.99f), cols = (int)(uniform() * 6.99f);
        const float empty = uniform();
        float gain[49];
        int32_t pair[7];
        for (int i = 0; i < rows * cols; i++) /* ties, too */
            gain[i] = uniform() < empty ? 0 : ceilf(uniform() * 8) / 8;
        void *work = malloc(dv_assign_work((size_t)rows, (size_t)cols));
        dv_assign((size_t)rows, (size_t)cols, gain, work, pair);
        free(work);
        double sum = 0;
        unsigned used = 0;
        for (int r = 0; r < rows; r++) {
            if (pair[r] < 0)
                continue;
            assert_true(pair[r] < cols && !(used >> pair[r] & 1));
            assert_true(gain[r * cols + pair[r]] > 0);
            used |= 1u << pair[r];
            sum += (double)gain[r * cols + pair[r]];
        }
        const double want = best_sum(gain, rows, cols, 0, 0);
        if (fabs(sum - want) > 1e-6)
            fail_msg("round %d, %d x %d: %g, best is %g", round, rows, cols, sum, want);
    }
}

/* ---- lives ---- */

static void birth_and_death(void **s)
{
    dv_tracker *t = opened(NULL);
    const dv_track_event *v;
    dv_tracked b = box(10, 10, 20, 50, 0.9f);
    dv_tracker_update(t, &b, 1, 0);
    assert_int_equal(dv_tracker_events(t, &v), 0); /* one box may be a mistake */
    dv_tracker_update(t, &b, 1, 0.1);
    assert_int_equal(dv_tracker_events(t, &v), 1);
    assert_int_equal(v[0].kind, DV_TRACK_NEW);
    assert_int_equal(v[0].track->id, 1);
    assert_true(v[0].track->boxes == 2 && v[0].track->born == 0 && v[0].track->detection == 0);
    dv_tracker_update(t, &b, 1, 0.2);
    assert_int_equal(count(t, DV_TRACK_UPDATE), 1);
    double at = 0.2;
    while (at < 1.55) { /* lost, not gone: 1.5 seconds from the last box */
        dv_tracker_update(t, NULL, 0, at += 0.1);
        assert_int_equal(dv_tracker_events(t, &v), 0);
    }
    dv_tracker_update(t, NULL, 0, 1.75);
    assert_int_equal(dv_tracker_events(t, &v), 1);
    assert_int_equal(v[0].kind, DV_TRACK_END);
    assert_int_equal(v[0].track->state, DV_TRACK_ENDED);
    assert_true(fabs(v[0].track->seen - 0.2) < 1e-9);
    dv_tracker_update(t, &b, 1, 1.8);
    dv_tracker_update(t, &b, 1, 1.9);
    assert_int_equal(v[0].track->id, 2); /* never used again */
    dv_tracker_finish(t);
    assert_int_equal(count(t, DV_TRACK_END), 1);
    const dv_track *const *k;
    assert_int_equal(dv_tracker_tracks(t, &k), 0);
    /* a single box never tells anything */
    dv_tracker_update(t, &b, 1, 5);
    dv_tracker_update(t, NULL, 0, 5.1);
    dv_tracker_finish(t);
    assert_int_equal(dv_tracker_events(t, &v), 0);
    dv_tracker_close(&t);
}

/* n people walk to and fro on lanes of their own, with noise; some boxes are missing. */
static void many_walk(void **s)
{
    enum { PEOPLE = 20, FRAMES = 300 };
    for (int seed = 1; seed <= 3; seed++) {
        dv_tracker *t = opened(NULL);
        uint64_t last[PEOPLE] = {0};
        int switches = 0, seen = 0;
        state = (uint64_t)seed;
        for (int f = 0; f < FRAMES; f++) {
            dv_tracked b[PEOPLE];
            int who[PEOPLE], n = 0;
            for (int p = 0; p < PEOPLE; p++) {
                const float phase = (float)(f + 37 * p) * 0.02f * (1 + 0.05f * (float)p);
                if (uniform() < 0.1f)
                    continue;
                who[n] = p;
                b[n++] =
                    box(320 + 250 * sinf(phase) + 2 * noise(), 10 + 45 * (float)p + 2 * noise(),
                        30 + noise(), 80 + 2 * noise(), 0.6f + 0.3f * uniform());
            }
            dv_tracker_update(t, b, (size_t)n, f * 0.04);
            for (int i = 0; i < n; i++) {
                const uint64_t id = id_of(t, i);
                if (!id || dv_tracker_find(t, id)->state == DV_TRACK_YOUNG)
                    continue;
                seen++;
                switches += last[who[i]] && last[who[i]] != id;
                last[who[i]] = id;
            }
        }
        if (switches > 0 || seen < FRAMES * PEOPLE * 85 / 100)
            fail_msg("seed %d: %d switches, %d boxes in tracks", seed, switches, seen);
        dv_tracker_close(&t);
    }
}

/* Two people walk through each other; the boxes come in any order. */
static void crossing(void **s)
{
    for (int seed = 1; seed <= 20; seed++) {
        dv_tracker *t = opened(NULL);
        uint64_t a = 0, b = 0;
        state = (uint64_t)seed;
        for (int f = 0; f < 80; f++) {
            const bool turn = uniform() < 0.5f;
            const dv_tracked one = box(100 + 4 * (float)f + noise(), 100 + noise(), 30, 80, 0.9f),
                             two = box(420 - 4 * (float)f + noise(), 112 + noise(), 30, 84, 0.9f);
            const dv_tracked both[2] = {turn ? two : one, turn ? one : two};
            dv_tracker_update(t, both, 2, f * 0.04);
            if (f == 10) {
                a = id_of(t, turn);
                b = id_of(t, !turn);
                assert_true(a && b && a != b);
            }
            if (f == 79 && (id_of(t, turn) != a || id_of(t, !turn) != b))
                fail_msg("seed %d: changed over", seed);
        }
        dv_tracker_close(&t);
    }
}

/* Behind a tree for 0.8 seconds, walking on; and half hidden with poor scores. */
static void occlusion(void **s)
{
    dv_tracker *t = opened(NULL);
    uint64_t id = 0;
    for (int f = 0; f < 100; f++) {
        dv_tracked b = box(50 + 3 * (float)f, 100, 30, 80, f > 70 && f < 85 ? 0.2f : 0.9f);
        const bool hidden = f >= 40 && f < 60;
        dv_tracker_update(t, &b, !hidden, f * 0.04);
        if (f == 30)
            id = id_of(t, 0);
        if (f > 61 && !hidden) {
            assert_true(id && id_of(t, 0) == id);
            assert_true(fabsf(dv_tracker_find(t, id)->box[0] - b.box[0]) < 6);
        }
    }
    assert_true(dv_tracker_find(t, id)->moved > 2.5f);
    dv_tracker_close(&t);
    /* a poor score alone begins nothing */
    t = opened(NULL);
    for (int f = 0; f < 20; f++) {
        dv_tracked b = box(50, 100, 30, 80, 0.4f);
        dv_tracker_update(t, &b, 1, f * 0.04);
    }
    const dv_track *const *k;
    assert_int_equal(dv_tracker_tracks(t, &k), 0);
    dv_tracker_close(&t);
}

static void moved_and_stopped(void **s)
{
    dv_tracker *t = opened(NULL);
    state = 4;
    for (int f = 0; f < 100; f++) { /* stands from frame 50 on; another never moved */
        const float x = 50 + 4 * (float)(f < 50 ? f : 50);
        const dv_tracked b[2] = {box(x + noise(), 100 + noise(), 30, 80, 0.9f),
                                 box(400 + noise(), 300 + noise(), 30, 80, 0.9f)};
        dv_tracker_update(t, b, 2, f * 0.04);
    }
    const dv_track *walker = dv_tracker_find(t, id_of(t, 0)),
                   *figure = dv_tracker_find(t, id_of(t, 1));
    assert_true(walker->moved > 2 && figure->moved < 0.1f);
    assert_true(walker->now - walker->stopped > 1.5 && walker->now - walker->stopped < 2.1);
    assert_true(figure->now - figure->stopped > 3.5);
    dv_tracker_close(&t);
}

/* A face that moves its own width in a frame: only with a margin. */
static void fast_faces(void **s)
{
    for (int faces = 0; faces < 2; faces++) {
        dv_track_options o;
        dv_track_options_init(&o);
        if (faces)
            dv_track_options_faces(&o);
        dv_tracker *t = opened(&o);
        int same = 0;
        for (int f = 0; f < 20; f++) {
            dv_tracked b = box(20 + 26 * (float)f, 50, 30, 30, 0.9f);
            dv_tracker_update(t, &b, 1, f * 0.1);
            same += id_of(t, 0) == 1;
        }
        assert_true(faces ? same == 20 : same < 3);
        dv_tracker_close(&t);
    }
}

/* ---- hooks ---- */

static void shots_and_votes(void **s)
{
    dv_tracker *t = opened(NULL);
    dv_tracked b = box(10, 10, 20, 50, 0.9f);
    uint64_t who;
    double share;
    dv_tracker_update(t, &b, 1, 0);
    dv_tracker_update(t, &b, 1, 0.1);
    assert_true(dv_tracker_shot(t, 1, 0.3f));
    assert_false(dv_tracker_shot(t, 1, 0.33f)); /* not better enough */
    assert_false(dv_tracker_shot(t, 1, NAN));
    assert_false(dv_tracker_shot(t, 7, 0.9f)); /* nobody */
    assert_true(dv_tracker_shot(t, 1, 0.5f));
    const dv_track *k = dv_tracker_find(t, 1);
    assert_true(k->best == 0.5f && fabs(k->best_time - 0.1) < 1e-9 && k->best_box[3] > 40);
    assert_false(dv_track_identity(k, &who, &share));
    dv_tracker_vote(t, 1, 5, 0.7);
    dv_tracker_vote(t, 1, 9, 0.4);
    dv_tracker_vote(t, 1, 9, 0.5);
    dv_tracker_vote(t, 1, 0, 0.2);
    dv_tracker_vote(t, 1, 5, NAN);
    dv_tracker_vote(t, 1, 5, -1);
    assert_true(dv_track_identity(k, &who, &share));
    assert_int_equal(who, 9);
    assert_true(fabs(share - 0.5) < 1e-9);
    /* whoever has more than a ninth of many votes cannot be pushed out */
    state = 3;
    for (int i = 0; i < 5000; i++)
        dv_tracker_vote(t, 1, uniform() < 0.3f ? 77 : 1000 + (uint64_t)i, 1);
    assert_true(k->n_votes <= DV_TRACK_VOTES);
    assert_true(dv_track_identity(k, &who, &share) && who == 77);
    dv_tracker_find(t, 1)->user = 12;
    dv_tracker_update(t, &b, 1, 0.2);
    assert_int_equal(dv_tracker_find(t, 1)->user, 12);
    dv_tracker_close(&t);
}

/* ---- nonsense ---- */

static void caps(void **s)
{
    enum { MANY = 2000000 };
    dv_track_options o;
    dv_track_options_init(&o);
    o.max_boxes = 100;
    o.max_tracks = 40;
    dv_tracker *t = opened(&o);
    dv_tracked *b = malloc(MANY * sizeof *b);
    assert_non_null(b);
    state = 9;
    for (int i = 0; i < MANY; i++)
        b[i] = box(10000 * uniform(), 10000 * uniform(), 20, 20, 0.5f + 0.3f * uniform());
    b[MANY - 7] = box(50, 50, 30, 30, 0.99f); /* the best is found wherever it stands */
    const uint64_t before = dv_alloc_count();
    for (int f = 0; f < 3; f++) {
        dv_tracker_update(t, b, MANY, f * 0.04);
        const dv_track *const *k;
        assert_true(dv_tracker_tracks(t, &k) <= 40);
    }
    assert_int_equal(dv_alloc_count(), before);
    free(b);
    dv_tracker_close(&t);
    o.max_tracks = 1000;
    o.max_boxes = 1;
    t = opened(&o);
    const dv_tracked two[2] = {box(1, 1, 9, 9, 0.7f), box(100, 100, 9, 9, 0.8f)};
    dv_tracker_update(t, two, 2, 0);
    assert_true(id_of(t, 1) == 1 && id_of(t, 0) == 0);
    dv_tracker_close(&t);
}

static void bad_boxes(void **s)
{
    dv_tracker *t = opened(NULL);
    const float bad[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f};
    const dv_track *const *k;
    double at = 0;
    for (size_t i = 0; i < DV_COUNT(bad); i++)
        for (int part = 0; part < 5; part++) {
            dv_tracked b[2] = {box(10, 10, 20, 50, 0.9f), box(200, 10, 20, 50, 0.9f)};
            if (part < 4)
                b[1].box[part] = bad[i];
            else
                b[1].score = bad[i];
            dv_tracker_update(t, b, 2, at += 0.04);
            assert_int_equal(id_of(t, 1), 0);
            assert_int_equal(id_of(t, 0), 1);
        }
    dv_tracked flat = box(300, 10, 0, 50, 0.9f);
    dv_tracker_update(t, &flat, 1, at += 0.04);
    assert_int_equal(dv_tracker_tracks(t, &k), 1);
    /* clocks that go back, stand still, leap or are none */
    dv_tracked b = box(10, 10, 20, 50, 0.9f);
    const double times[] = {-1e9, at, at, NAN, at + 0.04};
    for (size_t i = 0; i < DV_COUNT(times); i++) {
        dv_tracker_update(t, &b, 1, times[i]);
        assert_int_equal(id_of(t, 0), 1);
    }
    dv_tracker_update(t, NULL, 0, 1e12);
    assert_int_equal(count(t, DV_TRACK_END), 1);
    dv_tracker_close(&t);
    dv_tracker_close(&t);
}

static void options(void **s)
{
    dv_err e;
    dv_tracker *t;
    for (int i = 0; i < 9; i++) {
        dv_track_options o;
        dv_track_options_init(&o);
        switch (i) {
        case 0:
            o.high = 2;
            break;
        case 1:
            o.overlap = 0;
            break;
        case 2:
            o.margin = -1;
            break;
        case 3:
            o.confirm = 0;
            break;
        case 4:
            o.lost = NAN;
            break;
        case 5:
            o.max_boxes = 0;
            break;
        case 6:
            o.max_tracks = 1 << 20;
            break;
        case 7:
            o.noise = 0;
            break;
        default:
            o.birth = NAN;
            break;
        }
        e = (dv_err){0};
        assert_int_equal(dv_tracker_open(&o, &t, &e), DMV_ERR_ARGUMENT);
        assert_true(t == NULL && e.msg[0]);
    }
    for (uint64_t fail = 1;; fail++) {
        dv_alloc_fail_at(fail, false);
        dmv_status st = dv_tracker_open(NULL, &t, &e);
        dv_alloc_fail_at(0, false);
        if (st == DMV_OK)
            break;
        assert_int_equal(st, DMV_ERR_MEMORY);
        assert_true(t == NULL && fail < 100);
    }
    dv_tracker_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assignment_is_optimal),
        cmocka_unit_test(birth_and_death),
        cmocka_unit_test(many_walk),
        cmocka_unit_test(crossing),
        cmocka_unit_test(occlusion),
        cmocka_unit_test(moved_and_stopped),
        cmocka_unit_test(fast_faces),
        cmocka_unit_test(shots_and_votes),
        cmocka_unit_test(caps),
        cmocka_unit_test(bad_boxes),
        cmocka_unit_test(options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
