/* SPDX-License-Identifier: Apache-2.0
 *
 * ncnn nets made by hand: what they compute, against arithmetic written out here; what must not
 * import, with the layer and its line in the message; a failed allocation at any point; every
 * prefix and every changed byte of the text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "import/import.h"
#include "make_ncnn.h"

static dmv_status import(const char *text, const dv_buf *bin, const dv_import_options *o,
                         dv_graph *g, dv_err *e)
{
    return dv_import_ncnn((const uint8_t *)text, strlen(text), bin ? bin->data : NULL,
                          bin ? bin->size : 0, "test.param", o, g, e);
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-5 * (1 + fabs(want))))
        fail_msg("%g, not %g", got, want);
}

/* Runs `text` on in[dims] plainly and with passes; output k must be want (count numbers). */
static void check(const char *text, const dv_buf *bin, const int64_t *dims, const float *in,
                  size_t k, size_t count, const float *want)
{
    for (int passes = 0; passes < 2; passes++) {
        dv_import_options o = {.no_passes = !passes};
        dv_graph g;
        dv_kernels kernels;
        dv_exec *x = NULL;
        dv_err e = {0};
        size_t n;
        dv_kernels_init(&kernels, 0);
        if (import(text, bin, &o, &g, &e) || dv_exec_open(&g, &kernels, NULL, &x, &e) ||
            dv_exec_shape(x, &dims, &e))
            fail_msg("%s", e.msg);
        assert_true(dv_count(g.tensors[g.inputs[0]].rank, dims, &n));
        memcpy(dv_exec_input(x, 0), in, n * sizeof *in);
        dv_exec_run(x);
        assert_true(k < g.n_outputs);
        const dv_value *v = dv_exec_output(x, k);
        assert_int_equal(v->count, count);
        for (size_t i = 0; i < count; i++)
            near((double)v->f[i], (double)want[i]);
        dv_exec_close(&x);
        dv_graph_free(&g);
    }
}

/* ---- the nets of make_ncnn.c, written out ---- */

static float at(const float *x, int h, int w, int c, int y, int xx)
{
    return y < 0 || xx < 0 || y >= h || xx >= w ? 0 : x[(c * h + y) * w + xx];
}

static void whole_net(void **state)
{
    dv_buf text = {0}, bin = {0};
    static const int64_t dims[4] = {1, 2, 4, 5};
    float x[40], a[18], c[18], f[3], g[4], sum = 0;
    (void)state;
    assert_true(mn_sample(0, &text, &bin));
    dv_buf_u8(&text, 0);
    for (int i = 0; i < 40; i++)
        x[i] = cosf((float)i * 0.9f);
    for (int i = 0; i < 18; i++) { /* 3 x 2 x 3 */
        int o = i / 6, y = i / 3 % 2, xx = i % 3;
        a[i] = mn_weight(54 + (size_t)o);
        for (int t = 0; t < 18; t++)
            a[i] += at(x, 4, 5, t / 9, 2 * y - 1 + t / 3 % 3, 2 * xx - 1 + t % 3) *
                    mn_weight((size_t)(o * 18 + t));
        a[i] = a[i] > 0 ? a[i] : 0.25f * a[i];
    }
    for (int i = 0; i < 18; i++) {
        int o = i / 6, y = i / 3 % 2, xx = i % 3;
        c[i] = a[i];
        for (int t = 0; t < 9; t++)
            c[i] +=
                at(a, 2, 3, o, y - 1 + t / 3, xx - 1 + t % 3) * mn_weight((size_t)(60 + o * 9 + t));
        /* mn_weight(5) is the variance of all */
        c[i] = (c[i] - mn_weight(93 + (size_t)o)) / sqrtf(mn_weight(5) + 0.5f) *
                   mn_weight(90 + (size_t)o) +
               mn_weight(99 + (size_t)o);
        c[i] = c[i] > 0 ? c[i] : c[i] * mn_weight(102 + (size_t)o);
    }
    for (int o = 0; o < 3; o++) {
        f[o] = 0;
        for (int i = 0; i < 6; i++)
            f[o] += c[o * 6 + i] / 6;
    }
    for (int i = 0; i < 4; i++) {
        g[i] = mn_weight(120 + (size_t)i);
        for (int t = 0; t < 3; t++)
            g[i] += f[t] * mn_weight((size_t)(105 + 3 * i + t));
        g[i] = expf(fmaxf(g[i], 0));
        sum += g[i];
    }
    for (int i = 0; i < 4; i++)
        g[i] /= sum;
    check((char *)text.data, &bin, dims, x, 0, 4, g);
    dv_buf_free(&text);
    dv_buf_free(&bin);
}

/* A free size; its channels follow from the first layer. */
static void free_size(void **state)
{
    dv_buf text = {0}, bin = {0};
    static const int64_t dims[4] = {1, 4, 2, 3};
    float x[24], up[24], y[36];
    (void)state;
    assert_true(mn_sample(1, &text, &bin));
    dv_buf_u8(&text, 0);
    for (int i = 0; i < 24; i++)
        x[i] = (float)(i % 7) - 3;
    for (int i = 0; i < 24; i++) { /* channel 0, twice as large, times a number */
        float fy = fminf(fmaxf(((float)(i / 6) + 0.5f) / 2 - 0.5f, 0), 1);
        float fx = fminf(fmaxf(((float)(i % 6) + 0.5f) / 2 - 0.5f, 0), 2);
        int ix = fx >= 2 ? 1 : (int)fx;
        fx -= (float)ix;
        float s = (1 - fy) * ((1 - fx) * x[ix] + fx * x[ix + 1]) +
                  fy * ((1 - fx) * x[3 + ix] + fx * x[4 + ix]);
        up[i] = s * mn_weight(0) * mn_weight(7);
    }
    for (int i = 0; i < 36; i++) { /* order 3: c w h, so that y[h][w][c] */
        int c = i % 6, w = i / 6 % 3, h = i / 18;
        float v = x[((c % 3 + 1) * 2 + h) * 3 + w] * mn_weight(1 + (size_t)(c % 3));
        y[i] = v * fminf(fmaxf(0.2f * v + 0.5f, 0), 1);
    }
    check((char *)text.data, &bin, dims, x, 0, 24, up);
    check((char *)text.data, &bin, dims, x, 1, 36, y);
    dv_buf_free(&text);
    dv_buf_free(&bin);
}

/* ---- single layers, x[2][2][3] ---- */

static const float twelve[12] = {1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12};

static void one(const char *layer, size_t count, const float *want)
{
    static const int64_t dims[4] = {1, 2, 2, 3};
    char text[300];
    snprintf(text, sizeof text, "7767517\n2 2\nInput in 0 1 x 0=3 1=2 2=2\n%s\n", layer);
    check(text, NULL, dims, twelve, 0, count, want);
}

static void layers(void **state)
{
    float v[48];
    (void)state;
    one("ReLU r 1 1 x y 0=0.5", 12, (float[]){1, -1, 3, -2, 5, -3, 7, -4, 9, -5, 11, -6});
    one("Clip r 1 1 x y 0=-3 1=4", 12, (float[]){1, -2, 3, -3, 4, -3, 4, -3, 4, -3, 4, -3});
    one("Reshape r 1 1 x y 0=2 1=-1", 12, twelve);
    one("Flatten r 1 1 x y", 12, twelve);
    one("Dropout r 1 1 x y 0=0.5", 12,
        (float[]){0.5f, -1, 1.5f, -2, 2.5f, -3, 3.5f, -4, 4.5f, -5, 5.5f, -6});
    one("BinaryOp r 1 1 x y 0=7 1=1 2=1.5", 12, /* 1.5 - x */
        (float[]){0.5f, 3.5f, -1.5f, 5.5f, -3.5f, 7.5f, -5.5f, 9.5f, -7.5f, 11.5f, -9.5f, 13.5f});
    one("UnaryOp r 1 1 x y 0=4", 12, (float[]){1, 4, 9, 16, 25, 36, 49, 64, 81, 100, 121, 144});
    one("Eltwise r 2 1 x x y 0=1 -23301=2,2.0,-0.5", 12,
        (float[]){1.5f, -3, 4.5f, -6, 7.5f, -9, 10.5f, -12, 13.5f, -15, 16.5f, -18});
    one("Permute r 1 1 x y 0=1", 12, (float[]){1, -4, -2, 5, 3, -6, 7, -10, -8, 11, 9, -12});
    one("Permute r 1 1 x y 0=2", 12, (float[]){1, -2, 3, 7, -8, 9, -4, 5, -6, -10, 11, -12});
    one("Permute r 1 1 x y 0=5", 12, (float[]){1, 7, -4, -10, -2, -8, 5, 11, 3, 9, -6, -12});
    one("Permute r 1 1 x y 0=4", 12, (float[]){1, -4, 7, -10, -2, 5, -8, 11, 3, -6, 9, -12});
    one("Crop r 1 1 x y 0=1 1=1 3=2 4=1 5=-233", 4, (float[]){5, -6, 11, -12});
    one("Crop r 1 1 x y -23309=1,1 -23310=1,-233 -23311=1,2", 8,
        (float[]){-2, 3, 5, -6, -8, 9, 11, -12});
    one("Crop r 1 1 x y 3=-233 6=1 4=-233 5=1 2=1", 4, (float[]){7, -8, -10, 11});
    for (int i = 0; i < 48; i++)
        v[i] = twelve[(i / 24 * 2 + i / 6 % 4 / 2) * 3 + i % 6 / 2];
    one("Interp r 1 1 x y 0=1 3=4 4=6", 48, v);
    one("ShuffleChannel r 1 1 x y 0=2", 12, twelve);
    one("Pooling r 1 1 x y 0=0 1=2 2=1 3=0 5=1", 4, (float[]){5, 5, 11, 11});
    /* SAME: the last window hangs over */
    one("Pooling r 1 1 x y 0=1 1=2 2=2 5=2", 4, (float[]){0, -1.5f, 0, -1.5f});
    /* padded all round with 9, mirrored, stretched */
    one("Padding r 1 1 x y 0=0 1=0 2=1 3=0 4=0 5=9", 16,
        (float[]){9, 1, -2, 3, 9, -4, 5, -6, 9, 7, -8, 9, 9, -10, 11, -12});
    one("Padding r 1 1 x y 0=0 1=1 2=0 3=0 4=1", 18,
        (float[]){1, -2, 3, -4, 5, -6, -4, 5, -6, 7, -8, 9, -10, 11, -12, -10, 11, -12});
    one("Padding r 1 1 x y 2=2 4=2", 20,
        (float[]){3, -2, 1, -2, 3, -6, 5, -4, 5, -6, 9, -8, 7, -8, 9, -12, 11, -10, 11, -12});
}

static void more_layers(void **state)
{
    static const int64_t dims[4] = {1, 2, 2, 3};
    dv_buf bin = {0};
    float want[12];
    (void)state;
    mn_weights(&bin, MN_PLAIN, 0, 2);
    mn_weights(&bin, MN_PLAIN, 2, 2);
    for (int i = 0; i < 12; i++)
        want[i] = twelve[i] * mn_weight((size_t)(i / 6)) + mn_weight(2 + (size_t)(i / 6));
    check("7767517\n2 2\nInput in 0 1 x 0=3 1=2 2=2\nScale s 1 1 x y 0=2 1=1\n", &bin, dims, twelve,
          0, 12, want);
    dv_buf_free(&bin);
    /* a value a channel times a picture: the shape that attention has */
    for (int i = 0; i < 12; i++)
        want[i] = twelve[i] * (i < 6 ? 5.0f : 11.0f);
    check("7767517\n3 3\nInput in 0 1 x 0=3 1=2 2=2\nPooling p 1 1 x m 0=0 4=1\n"
          "BinaryOp b 2 1 x m y 0=2\n",
          NULL, dims, twelve, 0, 12, want);
}

/* ---- what must not import ---- */

static void refuse_with(const char *text, const dv_buf *bin, dmv_status want, const char *words)
{
    dv_graph g;
    dv_err e = {0};
    dmv_status st = import(text, bin, NULL, &g, &e);
    if (st != want || !strstr(e.msg, words) || !strstr(e.msg, "test.param"))
        fail_msg("status %d (not %d): \"%s\" without \"%s\"", st, want, e.msg, words);
    assert_null(g.nodes);
}

static void refuse(const char *lines, dmv_status want, const char *words)
{
    char text[600];
    size_t n = 1;
    for (const char *s = lines; *s; s++)
        n += *s == '\n';
    snprintf(text, sizeof text, "7767517\n%zu 9\nInput in 0 1 x 0=3 1=2 2=2\n%s", n, lines);
    refuse_with(text, NULL, want, words);
}

static void wrong(void **state)
{
    dv_buf text = {0}, bin = {0};
    (void)state;
    refuse("Wonder w1 1 1 x y\n", DMV_ERR_UNSUPPORTED, "layer 'w1' (line 4): type Wonder");
    refuse("ReLU r 1 1 z y\n", DMV_ERR_FORMAT, "line 4: blob 'z' is read before it is written");
    refuse("ReLU r 1 1 x x\n", DMV_ERR_FORMAT, "line 4: blob 'x' is written twice");
    refuse("ReLU r 1 1 x y 0\n", DMV_ERR_FORMAT, "line 4: a parameter that is not key=value");
    refuse("ReLU r 1 1 x y 0=a\n", DMV_ERR_FORMAT, "line 4: a parameter whose value");
    refuse("ReLU r 1 1 x y a=0\n", DMV_ERR_FORMAT, "line 4: a parameter whose key");
    refuse("ReLU r 1 2 x y\n", DMV_ERR_FORMAT, "line 4: fewer blobs than it says");
    refuse("ReLU r 1\n", DMV_ERR_FORMAT, "line 4: a layer is");
    refuse("ReLU r 1 1 x y -23301=3,1,2\n", DMV_ERR_FORMAT, "line 4: an array that is shorter");
    refuse("ReLU r 1 1 x y -23301=1,1,2\n", DMV_ERR_FORMAT, "line 4: an array that is longer");
    refuse("Permute p 1 1 x y 0=6\n", DMV_ERR_FORMAT, "line 4: node 'p' (Permute): order 6");
    refuse("Interp i 1 1 x y 0=3\n", DMV_ERR_UNSUPPORTED,
           "layer 'i' (Interp, line 4) cannot be imported: it has resizing of type 3");
    refuse("Slice s 1 2 x y z -23300=3,1,1,1\n", DMV_ERR_FORMAT, "3 sizes for 2 outputs");
    refuse("Convolution c 1 1 x y 0=1 1=1 6=2\n", DMV_ERR_FORMAT,
           "layer 'c' (Convolution, line 4) wants 2 weights, the .bin file has 0 bytes left");
    refuse("Convolution c 1 1 x y 0=1 1=1 6=3\n", DMV_ERR_FORMAT,
           "the picture has 2 channels, the weights want 3");
    refuse("Convolution c 1 1 x y 0=1 1=9999 6=3\n", DMV_ERR_FORMAT, "a kernel of 9999");
    refuse("Convolution c 1 1 x y 0=1 1=1 6=2 8=1\n", DMV_ERR_UNSUPPORTED, "8-bit weights");
    refuse("Reshape r 1 1 x y 0=1e99\n", DMV_ERR_FORMAT, "parameter 0 is 1e+99");
    refuse("MemoryData m 0 1 y 0=100000 1=100000 2=100000\n", DMV_ERR_FORMAT, "weights");
    refuse_with("7767517\n1 1\nInput in 0 1 x\n", NULL, DMV_ERR_UNSUPPORTED,
                "a size that is not in the file");
    refuse_with("7767518\n1 1\nInput in 0 1 x\n", NULL, DMV_ERR_FORMAT, "7767517");
    refuse_with("7767517\n3 1\nInput in 0 1 x 0=1\nReLU r 1 1 x y\n", NULL, DMV_ERR_FORMAT,
                "fewer layers");
    refuse_with("7767517\n1 1\nInput in 0 1 x 0=1\nReLU r 1 1 x y\n", NULL, DMV_ERR_FORMAT,
                "more layers");
    assert_true(mn_sample(0, &text, &bin));
    dv_buf_u8(&text, 0);
    bin.size -= 4;
    refuse_with((char *)text.data, &bin, DMV_ERR_FORMAT,
                "layer 'fc' (InnerProduct, line 11) wants 4");
    bin.size += 4;
    dv_buf_u32(&bin, 0);
    refuse_with((char *)text.data, &bin, DMV_ERR_FORMAT, "has 4 bytes more");
    memcpy(bin.data, "\x38\x4b\x0d\x00", 4);
    refuse_with((char *)text.data, &bin, DMV_ERR_UNSUPPORTED,
                "quantised weights (flag 0x000d4b38)");
    dv_buf_free(&text);
    dv_buf_free(&bin);
}

static void survive(const uint8_t *text, size_t size, const dv_buf *bin)
{
    dv_graph g;
    dv_err e = {0};
    uint8_t *copy = malloc(size + !size);
    assert_non_null(copy);
    if (size)
        memcpy(copy, text, size);
    if (dv_import_ncnn(copy, size, bin->data, bin->size, "damaged", NULL, &g, &e) == DMV_OK) {
        assert_int_equal(dv_graph_check(&g, &e), DMV_OK);
        dv_graph_free(&g);
    } else {
        assert_true(e.msg[0] != 0);
    }
    free(copy);
}

static void damaged(void **state)
{
    dv_buf text = {0}, bin = {0};
    (void)state;
    for (unsigned i = 0; mn_sample(i, &text, &bin); i++) {
        for (size_t n = 0; n <= text.size; n++)
            survive(text.data, n, &bin);
        for (size_t k = 0; k < text.size; k++)
            for (const char *c = "09-= \n,a\x01\xff"; *c; c++) {
                uint8_t old = text.data[k];
                text.data[k] = (uint8_t)*c;
                survive(text.data, text.size, &bin);
                text.data[k] = old;
            }
        dv_buf_free(&text);
        dv_buf_free(&bin);
        memset(&text, 0, sizeof text);
        memset(&bin, 0, sizeof bin);
    }
}

static void no_memory(void **state)
{
    dv_buf text = {0}, bin = {0};
    (void)state;
    for (unsigned i = 0; mn_sample(i, &text, &bin); i++) {
        dmv_status st = DMV_ERR_MEMORY;
        for (uint64_t nth = 1; st != DMV_OK; nth++) {
            dv_graph g;
            dv_err e = {0};
            assert_true(nth < 100000);
            dv_alloc_fail_at(nth, false);
            st = dv_import_ncnn(text.data, text.size, bin.data, bin.size, "test.param", NULL, &g,
                                &e);
            dv_alloc_fail_at(0, false);
            if (st == DMV_OK)
                dv_graph_free(&g);
            else
                assert_int_equal(st, DMV_ERR_MEMORY);
        }
        dv_buf_free(&text);
        dv_buf_free(&bin);
        memset(&text, 0, sizeof text);
        memset(&bin, 0, sizeof bin);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_net),   cmocka_unit_test(free_size), cmocka_unit_test(layers),
        cmocka_unit_test(more_layers), cmocka_unit_test(wrong),     cmocka_unit_test(damaged),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
