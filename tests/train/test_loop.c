/* SPDX-License-Identifier: Apache-2.0
 *
 * test_loop.c - a whole small run: people made of coloured patterns are learned, the exported net
 * gives what the trainer gives, a run that was cut off goes on to the bit, bad input is named.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "nn/exec.h"
#include "train/loop.h"

enum { PEOPLE = 4, EACH = 12, BATCH = 8, DIM = 32 };
static char folder[] = "/tmp/dv-train-XXXXXX";
static tr_data data;

static void make_people(void)
{
    uint64_t s = 3;
    assert_non_null(mkdtemp(folder));
    for (int p = 0; p < PEOPLE; p++) {
        char path[256];
        snprintf(path, sizeof path, "%s/person%d", folder, p);
        assert_int_equal(mkdir(path, 0700), 0);
        float wave[6];
        for (int i = 0; i < 6; i++)
            wave[i] = 0.05F + 0.2F * tr_uniform(&s);
        for (int k = 0; k < EACH; k++) {
            dv_picture pic = {.width = TR_SIDE, .height = TR_SIDE};
            pic.pixels = dv_malloc(3 * TR_SIDE * TR_SIDE);
            for (int i = 0; i < 3 * TR_SIDE * TR_SIDE; i++) {
                const int c = i % 3, x = i / 3 % TR_SIDE, y = i / 3 / TR_SIDE;
                float v = 128 + 70 * sinf(wave[c] * (float)x + wave[3 + c] * (float)y) +
                          25 * tr_normal(&s);
                pic.pixels[i] = (uint8_t)fminf(fmaxf(v, 0), 255);
            }
            dv_err e = {0};
            snprintf(path, sizeof path, "%s/person%d/%02d.png", folder, p, k);
            assert_int_equal(dv_image_save(path, &pic, &e), DMV_OK);
            dv_picture_free(&pic);
        }
    }
    size_t left_out = 0;
    dv_err e = {0};
    assert_int_equal(tr_data_add(&data, folder, 2, &left_out, &e), DMV_OK);
    assert_int_equal(data.n, PEOPLE * EACH);
    assert_int_equal(data.n_people, PEOPLE);
}

static void open_run(tr_run *r, int threads, int64_t steps)
{
    static const tr_augment aug = {
        .mirror = false, .shift = 2, .turn = 3, .zoom = 0.03F, .colour = 0.1F};
    dv_err e = {0};
    tr_recipe recipe = {"mobilefacenet", "prelu", 0.125, 0.3, false, DIM};
    memset(r, 0, sizeof *r);
    r->data = &data;
    r->batch = BATCH;
    r->rate = 0.05F;
    r->steps = steps;
    r->warm = 3;
    r->schedule = TR_CONSTANT;
    r->margin = (tr_margin){.s = 16, .m1 = 1, .m2 = 0.2F};
    r->sgd = (tr_sgd){0.9F, 5e-4F, false, 10};
    if (tr_net_new(threads, 7, &r->net, &e) || tr_net_build(r->net, &recipe, &e) ||
        tr_net_ready(r->net, BATCH, &e) || tr_head_new(r->net, PEOPLE, &r->head, &e) ||
        tr_head_ready(r->head, BATCH, &e) ||
        tr_loader_new(&data, BATCH, 1, &aug, 0, &r->loader, &e))
        fail_msg("%s", e.msg);
    r->labels = malloc(BATCH * sizeof *r->labels);
    r->numbers = malloc(BATCH * sizeof *r->numbers);
}

static void close_run(tr_run *r)
{
    tr_loader_free(&r->loader);
    tr_head_free(&r->head);
    tr_net_free(&r->net);
    free(r->labels);
    free(r->numbers);
}

static double steps(tr_run *r, int n)
{
    tr_report rep;
    double right = 0;
    for (int i = 0; i < n; i++) {
        dv_err e = {0};
        if (tr_run_step(r, &rep, &e))
            fail_msg("%s", e.msg);
        right += rep.accuracy / n;
    }
    return right;
}

static void learns(void **state)
{
    (void)state;
    tr_run r;
    open_run(&r, 2, 120);
    steps(&r, 100);
    double right = steps(&r, 20);
    if (right < 0.9)
        fail_msg("after 100 steps only %.0f%% are right", 100 * right);
    /* the engine's net gives what the trainer's gives with its kept statistics */
    tr_net *n = r.net;
    dv_graph g;
    dv_err e = {0};
    if (tr_export(n, &g, &e))
        fail_msg("%s", e.msg);
    tr_net_forward(n, false);
    dv_kernels k;
    dv_kernels_init(&k, ~0u);
    dv_exec *x;
    static const int64_t dims[4] = {1, 3, TR_SIDE, TR_SIDE};
    const int64_t *rows[1] = {dims};
    if (dv_exec_open(&g, &k, NULL, &x, &e) || dv_exec_shape(x, rows, &e))
        fail_msg("%s", e.msg);
    for (int b = 0; b < BATCH; b++) {
        const float *pic = n->v[n->input].x + (size_t)b * n->v[n->input].each;
        float *in = dv_exec_input(x, 0);
        for (int i = 0; i < 3 * TR_SIDE * TR_SIDE; i++)
            in[i % 3 * TR_SIDE * TR_SIDE + i / 3] = pic[i];
        dv_exec_run(x);
        const float *got = dv_exec_output(x, 0)->f, *want = n->v[n->output].x + b * DIM;
        double most = 0, diff = 0;
        for (int i = 0; i < DIM; i++) {
            most = fmax(most, fabs((double)want[i]));
            diff = fmax(diff, fabs((double)want[i] - (double)got[i]));
        }
        if (!(diff < 1e-4 * most))
            fail_msg("the exported net is %g off", diff / most);
    }
    dv_exec_close(&x);
    dv_graph_free(&g);
    close_run(&r);
}

static void same_weights(const tr_run *a, const tr_run *b)
{
    assert_int_equal(a->net->n_params, b->net->n_params);
    for (size_t i = 0; i < a->net->n_params; i++)
        assert_memory_equal(a->net->params[i]->w, b->net->params[i]->w,
                            a->net->params[i]->n * sizeof(float));
}

static void resumes(void **state)
{
    (void)state;
    static const tr_augment aug = {
        .mirror = false, .shift = 2, .turn = 3, .zoom = 0.03F, .colour = 0.1F};
    char path[300];
    dv_err e = {0};
    tr_run a, b;
    snprintf(path, sizeof path, "%s/run.ckpt", folder);
    open_run(&a, 2, 20);
    steps(&a, 5);
    assert_int_equal(tr_checkpoint_save(&a, path, &e), DMV_OK);
    steps(&a, 9); /* into the next epoch */
    open_run(&b, 2, 20);
    if (tr_checkpoint_load(&b, path, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(b.step, 5);
    tr_loader_free(&b.loader);
    assert_int_equal(tr_loader_new(&data, BATCH, 1, &aug, b.step, &b.loader, &e), DMV_OK);
    steps(&b, 9);
    same_weights(&a, &b);
    /* damaged, cut, or of another net */
    dv_map m;
    assert_int_equal(dv_map_open(path, &m, &e), DMV_OK);
    uint8_t *copy = malloc(m.size);
    memcpy(copy, m.base, m.size);
    size_t size = m.size;
    dv_map_close(&m);
    copy[size / 2] ^= 1;
    assert_int_equal(dv_write_file(path, copy, size, &e), DMV_OK);
    assert_int_equal(tr_checkpoint_load(&b, path, &e), DMV_ERR_FORMAT);
    assert_int_equal(dv_write_file(path, copy, size / 3, &e), DMV_OK);
    assert_int_equal(tr_checkpoint_load(&b, path, &e), DMV_ERR_FORMAT);
    assert_non_null(strstr(e.msg, "run.ckpt"));
    free(copy);
    close_run(&a);
    close_run(&b);
}

static void bad_input(void **state)
{
    (void)state;
    dv_err e = {0};
    tr_data d = {0};
    size_t left_out = 0;
    assert_int_equal(tr_data_add(&d, "/nonexistent", 2, &left_out, &e), DMV_ERR_IO);
    char path[300];
    snprintf(path, sizeof path, "%s/person0", folder);
    assert_int_equal(tr_data_add(&d, path, 2, &left_out, &e),
                     DMV_OK); /* nobody has labelled them */
    assert_int_equal(d.n_people, 0);
    assert_int_equal(d.label[0], -1);
    tr_data_free(&d);
    assert_int_equal(tr_data_add(&d, folder, EACH + 1, &left_out, &e), DMV_ERR_ARGUMENT);
    assert_int_equal(left_out, PEOPLE);
    tr_data_free(&d);
    /* a rate that makes nonsense of the weights stops with the step named */
    tr_run r;
    tr_report rep;
    open_run(&r, 1, 50);
    r.rate = 1e30F;
    r.sgd.clip = 0;
    dmv_status st = DMV_OK;
    for (int i = 0; i < 10 && !st; i++)
        st = tr_run_step(&r, &rep, &e);
    assert_int_equal(st, DMV_ERR_ARGUMENT);
    assert_non_null(strstr(e.msg, "no number"));
    close_run(&r);
    tr_net *n;
    tr_recipe nets[] = {{"resnet", "prelu", 1, 1, false, 64},
                        {"mobiface", "gelu", 1, 1, false, 64}};
    for (size_t i = 0; i < DV_COUNT(nets); i++) {
        assert_int_equal(tr_net_new(1, 1, &n, &e), DMV_OK);
        assert_int_equal(tr_net_build(n, &nets[i], &e), DMV_ERR_ARGUMENT);
        tr_net_free(&n);
    }
}

/* The published nets have the published size. */
static void sizes(void **state)
{
    (void)state;
    static const struct {
        tr_recipe r;
        double mmac;
    } known[] = {{{"mobilefacenet", "prelu", 1, 1, false, 128}, 221.0},
                 {{"mobiface", "prelu", 1, 1, false, 512}, 0}};
    for (size_t i = 0; i < DV_COUNT(known); i++) {
        dv_err e = {0};
        tr_net *n;
        assert_int_equal(tr_net_new(1, 1, &n, &e), DMV_OK);
        if (tr_net_build(n, &known[i].r, &e))
            fail_msg("%s", e.msg);
        double mmac = (double)tr_net_macs(n) * 1e-6;
        if (known[i].mmac > 0 && fabs(mmac / known[i].mmac - 1) > 0.01)
            fail_msg("%s: %f MMAC", known[i].r.family, mmac);
        tr_net_free(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(learns), cmocka_unit_test(resumes),
                                       cmocka_unit_test(bad_input), cmocka_unit_test(sizes)};
    make_people();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tr_data_free(&data);
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) ? 1 : failed;
}
