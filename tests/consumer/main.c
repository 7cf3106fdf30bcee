/* SPDX-License-Identifier: Apache-2.0
 *
 * A program of somebody else: it knows domovoi.h and what pkg-config says, nothing of the
 * source tree. Without arguments it searches an index; with a net it also runs that net.
 */
#include <domovoi.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(dmv_context *ctx, const char *what, dmv_status s)
{
    fprintf(stderr, "%s: %s (%s)\n", what, dmv_error(ctx), dmv_status_string(s));
    return 1;
}

static int search(dmv_context *ctx)
{
    static const float a[4] = {1, 0, 0, 0}, b[4] = {1, 1, 0, 0};
    dmv_index *x = NULL;
    dmv_match m[3];
    size_t n = 0;
    dmv_status s = dmv_index_open(ctx, 4, &x);
    if (!s)
        s = dmv_index_add(x, 7, a);
    if (!s)
        s = dmv_index_add(x, 9, b);
    if (!s)
        s = dmv_index_search(x, b, 3, m, &n);
    dmv_index_close(&x);
    if (s)
        return fail(ctx, "index", s);
    if (n != 2 || m[0].id != 9 || m[1].id != 7 ||
        fabsf(m[1].score - dmv_similarity(a, b, 4)) > 1e-6f) {
        fprintf(stderr, "the index found the wrong things\n");
        return 1;
    }
    return 0;
}

/* Runs a net on a grey ramp; every output must be finite and not all the same. */
static int run(dmv_context *ctx, const char *path)
{
    dmv_model *m = NULL;
    dmv_session *net = NULL;
    dmv_tensor t;
    float *data = NULL;
    size_t n = 1, i;
    int bad = 1;
    dmv_status s = dmv_model_open(ctx, path, &m);
    if (!s)
        s = dmv_session_open(ctx, m, &net);
    if (!s)
        s = dmv_session_input_info(net, 0, &t);
    if (!s) {
        for (i = 0; i < (size_t)t.rank; i++) {
            if (t.dims[i] < 0)
                t.dims[i] = i < 2 ? 1 : 64;
            n *= (size_t)t.dims[i];
        }
        s = dmv_session_reshape(net, 0, t.dims, t.rank);
    }
    if (!s) {
        data = malloc(n * sizeof *data);
        if (!data)
            abort();
        for (i = 0; i < n; i++)
            data[i] = (float)(i % 97) / 48.0f - 1.0f;
        s = dmv_session_set_input(net, 0, data);
    }
    if (!s)
        s = dmv_session_run(net);
    if (!s)
        s = dmv_session_output(net, 0, &t);
    if (s) {
        fail(ctx, path, s);
    } else {
        float low = t.data[0], high = t.data[0];
        for (n = 1, i = 0; i < (size_t)t.rank; i++)
            n *= (size_t)t.dims[i];
        for (bad = 0, i = 0; i < n; i++) {
            bad |= !isfinite(t.data[i]);
            low = t.data[i] < low ? t.data[i] : low;
            high = t.data[i] > high ? t.data[i] : high;
        }
        bad |= !(low < high);
        printf("%s: %zu numbers from %g to %g\n", dmv_model_id(m), n, (double)low, (double)high);
    }
    free(data);
    dmv_session_close(&net);
    dmv_model_close(&m);
    return bad;
}

int main(int argc, char **argv)
{
    dmv_options o;
    dmv_context *ctx = NULL;
    char version[32];
    dmv_status s;
    int bad;
    snprintf(version, sizeof version, "%d.%d.%d", DMV_VERSION_MAJOR, DMV_VERSION_MINOR,
             DMV_VERSION_PATCH);
    if (strcmp(version, dmv_version()) != 0) {
        fprintf(stderr, "header %s, library %s\n", version, dmv_version());
        return 1;
    }
    dmv_options_init(&o);
    o.threads = 2;
    s = dmv_context_open(&o, &ctx);
    if (s)
        return fail(ctx, "context", s);
    printf("domovoi %s, %d threads, %s\n", dmv_version(), dmv_context_threads(ctx),
           dmv_context_cpu(ctx));
    bad = search(ctx);
    if (!bad && argc > 1)
        bad = run(ctx, argv[1]);
    dmv_context_close(&ctx);
    return bad;
}
