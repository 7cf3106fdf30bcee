/* SPDX-License-Identifier: Apache-2.0
 *
 * Charts looked into: what stands where in the decoded PNG, what an SVG file says. Nothing is
 * compared with stored pictures, since fonts and versions of cairo differ.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

static void write_chart(const char *path, const dv_chart *c)
{
    dv_err e = {0};
    if (dv_chart_write(path, c, &e))
        fail_msg("%s", e.msg);
}

#define SKIP_WITHOUT_PICTURES() \
    do {                        \
        if (!pictures())        \
            skip();             \
    } while (0)

/* PNG files can be left out of a build. */
static bool pictures(void)
{
#ifdef DV_HAVE_SPNG
    return true;
#else
    return false;
#endif
}

/* Where the axes of the chart are: found in the same chart without data, whose ranges are given. */
static area axes_of(const dv_chart *c)
{
    dv_series none[8];
    dv_chart empty = *c;
    assert_true(c->x_lo < c->x_hi && c->y_lo < c->y_hi && c->n_series <= 8);
    for (size_t i = 0; i < c->n_series; i++) {
        none[i] = c->series[i];
        none[i].n = 0;
    }
    empty.series = none;
    write_chart(in_dir("empty.png"), &empty);
    dv_picture p = load_png(in_dir("empty.png"));
    area a = area_of(&p);
    dv_picture_free(&p);
    return a;
}

static ink ink_of(const dv_picture *p, area a, int series)
{
    const int *k = series_rgb[series];
    return ink_in(p, a.x0 - 8, a.y0 - 8, a.x1 + 8, a.y1 + 8, k[0], k[1], k[2], 3);
}

/* One point each, at known places of each kind of axis. */
static void test_places(void **state)
{
    static const struct {
        dv_scale kind;
        double lo, hi, at, where;
    } axes[] = {
        {DV_SCALE_LINEAR, 0, 1, 0.25, 0.25},
        {DV_SCALE_LINEAR, -3, 5, 3, 0.75},
        {DV_SCALE_LOG, 1e-4, 1, 1e-3, 0.25},
        {DV_SCALE_LOG, 1e-6, 1e2, 1, 0.75},
        {DV_SCALE_PROBIT, 0.001, 0.999, 0.5, 0.5},
        {DV_SCALE_PROBIT, 0.0013498980316301, 0.5, 0.022750131948179, 1.0 / 3}, /* -3, 0, -2 */
    };
    (void)state;
    SKIP_WITHOUT_PICTURES();
    for (size_t i = 0; i < DV_COUNT(axes); i++) {
        for (size_t j = i % 2; j < DV_COUNT(axes); j += 3) {
            dv_series s = {"point", &axes[i].at, &axes[j].at, 1, DV_POINTS, NULL, NULL};
            dv_chart c = {"Places",     "x",        "y",        axes[i].kind,
                          axes[j].kind, axes[i].lo, axes[i].hi, axes[j].lo,
                          axes[j].hi,   &s,         1,          NULL};
            write_chart(in_dir("p.png"), &c);
            dv_picture p = load_png(in_dir("p.png"));
            area a = axes_of(&c);
            ink k = ink_of(&p, a, 0);
            assert_true(k.n > 50 && k.n < 900);
            double x = (k.x - a.x0) / (a.x1 - a.x0), y = (a.y1 - k.y) / (a.y1 - a.y0);
            if (fabs(x - axes[i].where) > 0.003 || fabs(y - axes[j].where) > 0.003)
                fail_msg("axes %zu, %zu: the point is at %.4f, %.4f", i, j, x, y);
            dv_picture_free(&p);
        }
    }
}

static void test_sizes(void **state)
{
    double x[2] = {0, 1};
    dv_series s[8];
    dv_chart c = {"t", "x", "y", .series = s, .n_series = 1};
    (void)state;
    SKIP_WITHOUT_PICTURES();
    for (int k = 0; k < 8; k++)
        s[k] = (dv_series){"a name of some length", x, x, 2, DV_LINES, NULL, NULL};
    write_chart(in_dir("one.png"), &c);
    c.n_series = 8;
    write_chart(in_dir("eight.PNG"), &c);
    dv_picture p = load_png(in_dir("one.png")), q = load_png(in_dir("eight.PNG"));
    assert_int_equal(p.width, 1440); /* two pixels a unit */
    assert_int_equal(q.width, 1440);
    assert_int_equal(p.height % 2, 0);
    assert_true(p.height > 1000 && p.height < 1300);
    assert_true(q.height >
                p.height); /* the legend makes the picture longer, not the axes smaller */
    area a = area_of(&p), b = area_of(&q);
    assert_memory_equal(&a, &b, sizeof a);
    dv_picture_free(&p);
    dv_picture_free(&q);
}

/* Each series has its colour between the axes and once more below, in the legend. */
static void test_series_colours(void **state)
{
    static const dv_mark marks[] = {DV_LINES, DV_STEPS, DV_POINTS, DV_AREA};
    double x[50], y[8][50];
    dv_series s[8];
    (void)state;
    SKIP_WITHOUT_PICTURES();
    for (size_t m = 0; m < DV_COUNT(marks); m++) {
        for (int k = 0; k < 8; k++) {
            for (int i = 0; i < 50; i++) {
                x[i] = i;
                y[k][i] = k + 0.5 + 0.01 * i;
            }
            s[k] = (dv_series){"name", x, y[k], 50, marks[m], NULL, NULL};
        }
        dv_chart c = {.title = "t", .x_hi = 49, .y_hi = 9, .series = s, .n_series = 8};
        write_chart(in_dir("c.png"), &c);
        dv_picture p = load_png(in_dir("c.png"));
        area a = axes_of(&c);
        double last = 1e9;
        for (int k = 0; k < 8; k++) {
            const int *q = series_rgb[k];
            ink inside = ink_in(&p, a.x0 + 6, a.y0 + 6, a.x1 - 6, a.y1 - 6, q[0], q[1], q[2], 3);
            ink legend = ink_in(&p, 0, a.y1 + 80, p.width, p.height, q[0], q[1], q[2], 3);
            if (inside.n < 1000 || inside.right - inside.left < 0.9 * (a.x1 - a.x0))
                fail_msg("mark %zu: series %d has %zu pixels", m, k, inside.n);
            assert_true(inside.y < last); /* the higher values are higher up */
            last = inside.y;
            if (legend.n < 80)
                fail_msg("mark %zu: series %d has %zu pixels in the legend", m, k, legend.n);
        }
        dv_picture_free(&p);
    }
}

/* In grey print series are told apart by their dashes: the shares of a line that are drawn. */
static void test_dashes(void **state)
{
    double x[2] = {0, 1}, y[8][2], share[8];
    dv_series s[8];
    (void)state;
    SKIP_WITHOUT_PICTURES();
    for (int k = 0; k < 8; k++) {
        y[k][0] = y[k][1] = k + 1;
        s[k] = (dv_series){"s", x, y[k], 2, DV_LINES, NULL, NULL};
    }
    dv_chart c = {.x_hi = 1, .y_hi = 9, .series = s, .n_series = 8};
    write_chart(in_dir("d.png"), &c);
    dv_picture p = load_png(in_dir("d.png"));
    area a = axes_of(&c);
    for (int k = 0; k < 8; k++) {
        const int *q = series_rgb[k];
        int row = (int)(a.y1 - (k + 1) / 9.0 * (a.y1 - a.y0)), runs = 0, drawn = 0;
        bool before = false;
        for (int i = a.x0 + 4; i < a.x1 - 4; i++) {
            bool on = ink_in(&p, i, row - 1, i + 1, row + 2, q[0], q[1], q[2], 3).n > 0;
            drawn += on;
            runs += on && !before;
            before = on;
        }
        share[k] = (double)drawn / (a.x1 - a.x0 - 8);
        if (k == 0)
            assert_int_equal(runs, 1);
        else
            assert_true(runs > 12 && share[k] < 0.95);
        share[k] += 100.0 * runs; /* both make the pattern */
        for (int i = 0; i < k; i++)
            assert_true(fabs(share[k] - share[i]) > 0.02);
    }
    dv_picture_free(&p);
}

/* NaN, infinities and what the axis cannot show interrupt a curve. */
static void test_gaps(void **state)
{
    static const double holes[] = {NAN, INFINITY, -INFINITY, 0, -1};
    double x[300], y[300];
    (void)state;
    SKIP_WITHOUT_PICTURES();
    for (size_t h = 0; h < 2 * DV_COUNT(holes); h++) {
        for (int i = 0; i < 300; i++) {
            x[i] = 1 + i;
            y[i] = 0.5;
            if (i >= 100 && i < 200) /* in y, then in x */
                (h % 2 ? x : y)[i] = holes[h / 2];
        }
        dv_series s = {"gap", x, y, 300, h % 3 ? DV_LINES : DV_AREA, NULL, NULL};
        dv_chart c = {.x_scale = DV_SCALE_LOG,
                      .y_scale = DV_SCALE_LOG,
                      .x_lo = 1,
                      .x_hi = 301,
                      .y_lo = 0.1,
                      .y_hi = 1,
                      .series = &s,
                      .n_series = 1};
        write_chart(in_dir("g.png"), &c);
        dv_picture p = load_png(in_dir("g.png"));
        area a = axes_of(&c);
        double w = a.x1 - a.x0;
        int from = a.x0 + (int)(w * log(100) / log(301)),
            to = a.x0 + (int)(w * log(201) / log(301));
        const int *q = series_rgb[0];
        ink before = ink_in(&p, a.x0, a.y0, from, a.y1, q[0], q[1], q[2], 3);
        ink hole = ink_in(&p, from + 6, a.y0, to - 6, a.y1, q[0], q[1], q[2], 40);
        ink after = ink_in(&p, to, a.y0, a.x1, a.y1, q[0], q[1], q[2], 3);
        assert_true(before.n > 3000 && after.n > 300);
        assert_int_equal(hole.n, 0);
        dv_picture_free(&p);
    }
}

static bool same_picture(const char *one, const char *two)
{
    dv_picture p = load_png(one), q = load_png(two);
    bool same = p.width == q.width && p.height == q.height &&
                !memcmp(p.pixels, q.pixels, 3 * (size_t)p.width * (size_t)p.height);
    dv_picture_free(&p);
    dv_picture_free(&q);
    return same;
}

static uint32_t random_state = 12345;

static double noise(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (double)(random_state >> 8) / (1 << 24);
}

/* Each point given a hundred times is the same curve. */
static void test_thin_copies(void **state)
{
    enum { N = 300, COPIES = 100 };
    static double x[N], y[N], many_x[N * COPIES], many_y[N * COPIES];
    (void)state;
    SKIP_WITHOUT_PICTURES();
    for (int m = 0; m < 2; m++) {
        for (int i = 0; i < N; i++) {
            x[i] = i;
            y[i] = noise();
            for (int k = 0; k < COPIES; k++) {
                many_x[i * COPIES + k] = x[i];
                many_y[i * COPIES + k] = y[i];
            }
        }
        dv_series s = {"s", x, y, N, m ? DV_STEPS : DV_LINES, NULL, NULL};
        dv_chart c = {.y_hi = 1, .series = &s, .n_series = 1};
        write_chart(in_dir("few.png"), &c);
        s = (dv_series){"s", many_x, many_y, N * COPIES, s.mark, NULL, NULL};
        write_chart(in_dir("many.png"), &c);
        assert_true(same_picture(in_dir("few.png"), in_dir("many.png")));
    }
}

/* A million points: a small file, and the single ones that stand out are there. */
static void test_thin_million(void **state)
{
    enum { N = 1000000 };
    double *x = dv_malloc(N * sizeof *x), *y = dv_malloc(N * sizeof *y);
    (void)state;
    assert_true(x && y);
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = 0.5 + 0.01 * noise();
    }
    y[250000] = 0.9;
    y[750000] = 0.1;
    static const dv_mark marks[] = {DV_LINES, DV_STEPS, DV_POINTS, DV_BARS, DV_AREA};
    for (size_t m = 0; m < DV_COUNT(marks); m++) {
        dv_series s = {"s", x, y, N, marks[m], NULL, NULL};
        dv_chart c = {.x_hi = N, .y_hi = 1, .series = &s, .n_series = 1};
        write_chart(in_dir("m.svg"), &c);
        char *text = text_of(in_dir("m.svg"));
        if (strlen(text) > 4000000)
            fail_msg("mark %zu: %zu bytes", m, strlen(text));
        dv_free(text);
#ifdef DV_HAVE_SPNG
        write_chart(in_dir("m.png"), &c);
        dv_picture p = load_png(in_dir("m.png"));
        area a = axes_of(&c);
        const int *q = series_rgb[0];
        int h = a.y1 - a.y0, middle = (a.x0 + a.x1) / 2;
        ink up = ink_in(&p, a.x0 + 4, a.y0 + 4, middle, a.y0 + h / 4, q[0], q[1], q[2], 90);
        ink down = ink_in(&p, middle, a.y1 - h / 4, a.x1 - 4, a.y1 - 4, q[0], q[1], q[2], 90);
        if (up.n < 4 || (marks[m] != DV_BARS && marks[m] != DV_AREA && down.n < 4))
            fail_msg("mark %zu: %zu pixels up, %zu down", m, up.n, down.n);
        assert_true(fabs((up.x - a.x0) / (a.x1 - a.x0) - 0.25) < 0.01);
        assert_true(fabs(up.top - (a.y0 + 0.1 * h)) < 16);
        dv_picture_free(&p);
#endif
    }
    dv_free(x);
    dv_free(y);
}

/* Two histograms over one another: both fills, both outlines and a third tone where they meet. */
static void test_bars(void **state)
{
    double x[10], one[10], two[10];
    (void)state;
    SKIP_WITHOUT_PICTURES();
    for (int i = 0; i < 10; i++) {
        x[i] = i + 0.5;
        one[i] = i < 6 ? 4 : 0;
        two[i] = i < 4 ? 0 : 4;
    }
    dv_series s[2] = {{"same", x, one, 10, DV_BARS, NULL, NULL},
                      {"other", x, two, 10, DV_BARS, NULL, NULL}};
    dv_chart c = {.x_hi = 10, .y_hi = 5, .series = s, .n_series = 2};
    write_chart(in_dir("b.png"), &c);
    dv_picture p = load_png(in_dir("b.png"));
    area a = axes_of(&c);
    assert_true(ink_of(&p, a, 0).n > 1000);
    assert_true(ink_of(&p, a, 1).n > 1000);
    int tone[3][3], y = a.y1 - (a.y1 - a.y0) / 10, w = a.x1 - a.x0;
    for (int k = 0; k < 3; k++) { /* in the middle of bars 2, 5 and 8; the grid is between them */
        const uint8_t *q = p.pixels + 3 * ((size_t)y * (size_t)p.width +
                                           (size_t)(a.x0 + w * (2 * (2 + 3 * k) + 1) / 20));
        for (int i = 0; i < 3; i++)
            tone[k][i] = q[i];
    }
    const int *blue = series_rgb[0], *red = series_rgb[1];
    for (int i = 0; i < 3; i++) {
        assert_true(abs(tone[0][i] - (255 * 65 + blue[i] * 35) / 100) < 5);
        assert_true(abs(tone[2][i] - (255 * 65 + red[i] * 35) / 100) < 5);
        assert_true(abs(tone[1][i] - (tone[0][i] * 65 + red[i] * 35) / 100) < 5);
    }
    dv_picture_free(&p);
}

/* A band and its curve; the band goes to the edge where its end is 0 on a log axis. */
static void test_band(void **state)
{
    double x[20], y[20], lo[20], hi[20];
    (void)state;
    SKIP_WITHOUT_PICTURES();
    for (int m = 0; m < 2; m++) {
        for (int i = 0; i < 20; i++) {
            x[i] = i;
            y[i] = 0.1;
            hi[i] = 0.2;
            lo[i] = i < 10 ? 0.05 : 0;
        }
        dv_series s = {"band", x, y, 20, m ? DV_STEPS : DV_LINES, lo, hi};
        dv_chart c = {.x_hi = 19,
                      .y_scale = DV_SCALE_LOG,
                      .y_lo = 1e-3,
                      .y_hi = 1,
                      .series = &s,
                      .n_series = 1};
        write_chart(in_dir("band.png"), &c);
        dv_picture p = load_png(in_dir("band.png"));
        area a = axes_of(&c);
        int h = a.y1 - a.y0, w = a.x1 - a.x0;
        const int light[3] = {204, 227, 240}; /* a fifth of the blue on white */
        ink left =
            ink_in(&p, a.x0 + 4, a.y0, a.x0 + w * 4 / 10, a.y1, light[0], light[1], light[2], 4);
        ink right =
            ink_in(&p, a.x0 + w * 6 / 10, a.y0, a.x1 - 4, a.y1, light[0], light[1], light[2], 4);
        assert_true(ink_of(&p, a, 0).n > 3000);
        assert_true(fabs(left.top - (a.y0 - log10(0.2) / 3 * h)) < 4);
        assert_true(fabs(left.bottom - (a.y0 - log10(0.05) / 3 * h)) < 4);
        assert_true(fabs(right.top - left.top) < 2);
        assert_true(right.bottom > a.y1 - 4);
        dv_picture_free(&p);
    }
}

/* Whiskers reach from lo to hi. */
static void test_whiskers(void **state)
{
    double x[3] = {1, 2, 3}, y[3] = {5, 5, 5}, lo[3] = {2, NAN, 2}, hi[3] = {8, 8, 8};
    (void)state;
    SKIP_WITHOUT_PICTURES();
    dv_series s = {"w", x, y, 3, DV_POINTS, lo, hi};
    dv_chart c = {.x_hi = 4, .y_hi = 10, .series = &s, .n_series = 1};
    write_chart(in_dir("w.png"), &c);
    dv_picture p = load_png(in_dir("w.png"));
    area a = axes_of(&c);
    const int *q = series_rgb[0];
    int h = a.y1 - a.y0, w = a.x1 - a.x0;
    ink one = ink_in(&p, a.x0, a.y0, a.x0 + w * 3 / 8, a.y1, q[0], q[1], q[2], 3);
    ink two = ink_in(&p, a.x0 + w * 3 / 8, a.y0, a.x0 + w * 5 / 8, a.y1, q[0], q[1], q[2], 3);
    assert_true(fabs(one.top - (a.y1 - 0.8 * h)) < 5 && fabs(one.bottom - (a.y1 - 0.2 * h)) < 5);
    assert_true(two.n > 50 && two.bottom - two.top < 30); /* the point alone */
    dv_picture_free(&p);
}

static void test_words(void **state)
{
    double x[2] = {1, 2};
    (void)state;
    dv_series s[2] = {{"first net", x, x, 2, DV_LINES, NULL, NULL},
                      {"second <net>", x, x, 2, DV_LINES, NULL, NULL}};
    dv_chart c = {"ROC & more", "False accept rate", "True accept rate",
                  .series = s,  .n_series = 2,       .note = "10 folds"};
    write_chart(in_dir("words.svg"), &c);
    char *text = text_of(in_dir("words.svg"));
    const char *fault = xml_fault(text);
    if (fault)
        fail_msg("%s", fault);
    assert_non_null(strstr(text, "<title>ROC &amp; more</title>"));
    assert_non_null(strstr(text, "<desc>False accept rate; True accept rate; first net; "
                                 "second &lt;net&gt;; 10 folds</desc>"));
    assert_non_null(strstr(text, "viewBox=\"0 0 720 "));
    dv_free(text);
}

/* Names too long for their place still tell the series apart: what all begin with goes first, and
 * of the rest the middle. */
static void test_long_names(void **state)
{
    char one[900], two[900];
    double x[2] = {0, 1};
    (void)state;
    SKIP_WITHOUT_PICTURES();
    for (int k = 0; k < 3; k++) { /* the difference is at the end, behind the folders, in front */
        static const char *const form[] = {"%1$s%2$s", "%1$s%2$s_%1$s", "%2$s_%1$s"};
        char filler[401];
        memset(filler, 'w', 400);
        if (k < 2)
            for (int i = 9; i < 400; i += 10)
                filler[i] = '/';
        filler[400] = 0;
        snprintf(one, sizeof one, form[k], filler, "alpha");
        snprintf(two, sizeof two, form[k], filler, "beta");
        dv_series s[2] = {{one, x, x, 2, DV_LINES, NULL, NULL},
                          {two, x, x, 2, DV_LINES, NULL, NULL}};
        dv_chart c = {.series = s, .n_series = 2};
        write_chart(in_dir("ab.png"), &c);
        s[0].name = two;
        write_chart(in_dir("bb.png"), &c);
        assert_false(same_picture(in_dir("ab.png"), in_dir("bb.png")));
        dv_picture p = load_png(in_dir("ab.png"));
        ink low = ink_in(&p, p.width - 30, p.height - 100, p.width, p.height, 25, 25, 25, 60);
        assert_int_equal(low.n, 0); /* nothing runs out of the picture */
        dv_picture_free(&p);
    }
}

static void test_sphere(void **state)
{
    enum { N = 800 };
    static float xy[2 * N];
    static int label[N];
    const char *names[8] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    dv_err e = {0};
    (void)state;
    SKIP_WITHOUT_PICTURES();
    for (int far = 0; far < 2; far++) {
        for (int i = 0; i < N; i++) {
            double at = i % 8 * M_PI / 4 + (noise() - 0.5) * 0.3, r = far ? 7 * noise() : 1;
            label[i] = i % 8;
            xy[2 * i] = (float)(r * cos(at));
            xy[2 * i + 1] = (float)(r * sin(at));
        }
        assert_int_equal(
            dv_sphere_write(in_dir("s.png"), xy, label, N, names, 8, NULL, "Classes", "note", &e),
            DMV_OK);
        dv_picture p = load_png(in_dir("s.png"));
        ink all[8];
        double cx = 0, cy = 0;
        assert_int_equal(p.width, 1440);
        for (int k = 0; k < 8; k++) {
            const int *q = series_rgb[k];
            all[k] = ink_in(&p, 0, 80, p.width, p.height, q[0], q[1], q[2], 3);
            assert_true(all[k].n > 300);
            cx += all[k].x / 8;
            cy += all[k].y / 8;
        }
        for (int k = 0; k < 8; k++) { /* each in its own direction */
            double at = atan2(cy - all[k].y, all[k].x - cx), want = k * M_PI / 4;
            double off = remainder(at - want, 2 * M_PI);
            if (fabs(off) > 0.15)
                fail_msg("class %d is off by %.3f", k, off);
        }
        dv_picture_free(&p);
        assert_int_equal(
            dv_sphere_write(in_dir("s.svg"), xy, label, N, names, 8, NULL, "Classes", "note", &e),
            DMV_OK);
        char *text = text_of(in_dir("s.svg"));
        assert_null(xml_fault(text));
        assert_non_null(strstr(text, "<title>Classes</title>"));
        assert_non_null(strstr(text, "<desc>a; b; c; d; e; f; g; h; note</desc>"));
        dv_free(text);
    }
}

/* The checker itself finds what it must find. */
static void test_checker(void **state)
{
    static const char *const wrong[] = {
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a>&x;</a>",
        "<a b=c/>",
        "<a b=\"<\"/>",
        "<a>\x01</a>",
        "<a>\xff</a>",
        "<a>\xc3</a>",
        "<a>\xed\xa0\x80</a>",
        "text",
        "<a b=\"&\"></a>",
        "<a><b></a></b>",
        "<a>\xef\xbf\xbf</a>",
        "<a",
    };
    (void)state;
    assert_null(xml_fault("<?xml version=\"1.0\"?>\n<a b=\"c\"><d/>x &amp; y\xd0\x96</a>\n"));
    for (size_t i = 0; i < DV_COUNT(wrong); i++)
        if (!xml_fault(wrong[i]))
            fail_msg("no fault in %s", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checker),     cmocka_unit_test(test_places),
        cmocka_unit_test(test_sizes),       cmocka_unit_test(test_series_colours),
        cmocka_unit_test(test_dashes),      cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_thin_copies), cmocka_unit_test(test_thin_million),
        cmocka_unit_test(test_bars),        cmocka_unit_test(test_band),
        cmocka_unit_test(test_whiskers),    cmocka_unit_test(test_words),
        cmocka_unit_test(test_sphere),      cmocka_unit_test(test_long_names),
    };
    if (!dv_chart_available()) {
        puts("skipped: this build has no cairo");
        return 77;
    }
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
