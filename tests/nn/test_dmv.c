/* SPDX-License-Identifier: Apache-2.0
 *
 * Model files: what is written is read back; cut, flipped and forged files are refused with a
 * message or, where they are still files, make graphs that run without harm. Forging means
 * changing one field of the file to an extreme value and making the checksum right again, so
 * that nothing but the checks of the parser and of dv_graph_check stands in the way.
 */
#include "sample_net.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t *file;
static size_t file_size;

static int setup(void **state)
{
    nt_sample_file(&file, &file_size);
    return 0;
}

static int teardown(void **state)
{
    dv_free(file);
    return 0;
}

static uint64_t get(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static void put(uint8_t *p, int bytes, uint64_t v)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* Length and checksum as a program that writes such files would set them. */
static void mend(uint8_t *p, size_t size)
{
    static const uint8_t zero[32];
    dv_sha256 h;
    if (size < 96)
        return;
    put(p + 16, 8, size);
    dv_sha256_init(&h);
    dv_sha256_update(&h, p, 64);
    dv_sha256_update(&h, zero, 32);
    dv_sha256_update(&h, p + 96, size - 96);
    dv_sha256_final(&h, p + 64);
}

/* An aligned copy of exactly n bytes, so that a read behind its end shows. */
static uint8_t *copy_of(size_t n)
{
    uint8_t *p = dv_alloc_aligned(n);
    assert_non_null(p);
    memcpy(p, file, n);
    return p;
}

static dmv_status parse(const uint8_t *p, size_t n, dmv_model **m)
{
    dv_err e = {0};
    dmv_status st = dv_dmv_parse(p, n, "some/file", m, &e);
    if (st) {
        assert_null(*m);
        assert_non_null(strstr(e.msg, st == DMV_ERR_MEMORY ? "memory" : "some/file"));
    } else {
        assert_non_null(*m);
    }
    return st;
}

static void refuse(const uint8_t *p, size_t n, dmv_status code, const char *word)
{
    dv_err e = {0};
    dmv_model *m;
    dmv_status st = dv_dmv_parse(p, n, "some/file", &m, &e);
    if (st != code || m || !strstr(e.msg, "some/file") || !strstr(e.msg, word))
        fail_msg("status %d (%s), wanted %d and \"%s\"", (int)st, e.msg, (int)code, word);
}

static void same_graph(const dv_graph *a, const dv_graph *b)
{
    assert_int_equal(a->n_tensors, b->n_tensors);
    assert_int_equal(a->n_nodes, b->n_nodes);
    assert_int_equal(a->n_inputs, b->n_inputs);
    assert_int_equal(a->n_outputs, b->n_outputs);
    assert_memory_equal(a->inputs, b->inputs, a->n_inputs * sizeof *a->inputs);
    assert_memory_equal(a->outputs, b->outputs, a->n_outputs * sizeof *a->outputs);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const dv_gtensor *s = &a->tensors[i], *t = &b->tensors[i];
        assert_string_equal(s->name ? s->name : "", t->name ? t->name : "");
        assert_int_equal(s->dtype, t->dtype);
        assert_int_equal(s->pack, t->pack);
        assert_int_equal(s->rank, t->rank);
        assert_memory_equal(s->dims, t->dims, (size_t)s->rank * sizeof *s->dims);
        assert_int_equal(s->size, t->size);
        assert_int_equal(s->data != NULL, t->data != NULL);
        if (s->data)
            assert_memory_equal(s->data, t->data, s->size);
        assert_int_equal((uintptr_t)t->data % DV_ALIGN, 0);
    }
    for (size_t i = 0; i < a->n_nodes; i++) {
        const dv_node *s = &a->nodes[i], *t = &b->nodes[i];
        assert_int_equal(s->op, t->op);
        assert_string_equal(s->name ? s->name : "", t->name ? t->name : "");
        assert_int_equal(s->n_in, t->n_in);
        assert_int_equal(s->n_out, t->n_out);
        assert_int_equal(s->n_attr, t->n_attr);
        assert_memory_equal(s->in, t->in, (size_t)s->n_in * sizeof *s->in);
        assert_memory_equal(s->out, t->out, (size_t)s->n_out * sizeof *s->out);
        for (int j = 0; j < s->n_attr; j++) {
            assert_int_equal(s->attr[j].key, t->attr[j].key);
            assert_int_equal(s->attr[j].is_float, t->attr[j].is_float);
            assert_int_equal(s->attr[j].n, t->attr[j].n);
            assert_memory_equal(s->attr[j].v.i, t->attr[j].v.i,
                                s->attr[j].n * (s->attr[j].is_float ? 4u : 8u));
        }
    }
}

static void round_trip(void **state)
{
    nt_net n;
    dv_meta meta;
    dmv_model *m;
    nt_sample(&n);
    nt_sample_meta(&meta);
    assert_int_equal(parse(file, file_size, &m), DMV_OK);
    same_graph(&n.g, &m->graph);
    assert_int_equal(m->meta.n, meta.n);
    assert_string_equal(dv_meta_text(&m->meta, "name"), "sample");
    assert_string_equal(dv_meta_text(&m->meta, "licence"), "");
    assert_null(dv_meta_text(&m->meta, "colour"));
    assert_null(dv_meta_text(&m->meta, "dim"));
    assert_int_equal(dv_meta_get(&m->meta, "dim")->num, NT_SAMPLE_DIM);
    const dv_meta_item *a = dv_meta_get(&meta, "thresholds"),
                       *b = dv_meta_get(&m->meta, "thresholds");
    assert_int_equal(b->n, 6);
    assert_memory_equal(a->f, b->f, 6 * sizeof(float));
    assert_int_equal(dv_meta_get(&m->meta, "empty")->n, 0);
    assert_int_equal(dmv_model_get_kind(m), DMV_KIND_EMBEDDER);
    assert_int_equal(dmv_model_dim(m), NT_SAMPLE_DIM);
    assert_int_equal(strlen(dmv_model_id(m)), 32);

    /* read back and written again: the same bytes */
    uint8_t *again;
    size_t size;
    dv_err e;
    assert_int_equal(dv_dmv_encode(&m->graph, &m->meta, &again, &size, &e), DMV_OK);
    assert_int_equal(size, file_size);
    assert_memory_equal(again, file, size);

    /* the id depends on graph and weights only */
    dmv_model *other;
    dv_free(again);
    assert_true(dv_meta_set_text(&meta, "name", "another"));
    assert_int_equal(dv_dmv_encode(&n.g, &meta, &again, &size, &e), DMV_OK);
    assert_int_equal(dv_dmv_parse(again, size, "x", &other, &e), DMV_OK);
    assert_string_equal(dmv_model_id(other), dmv_model_id(m));
    dmv_model_close(&other);
    dv_free(again);
    for (size_t i = 0; i < n.g.n_tensors; i++)
        if (n.g.tensors[i].pack == DV_PACK_VEC)
            ((float *)(uintptr_t)n.g.tensors[i].data)[0] += 1;
    assert_int_equal(dv_dmv_encode(&n.g, &meta, &again, &size, &e), DMV_OK);
    assert_int_equal(dv_dmv_parse(again, size, "x", &other, &e), DMV_OK);
    assert_string_not_equal(dmv_model_id(other), dmv_model_id(m));
    dmv_model_close(&other);
    dv_free(again);
    dmv_model_close(&m);
    dv_meta_free(&meta);
    nt_close(&n);
}

static void meta_replaced(void **state)
{
    dv_meta m = {0};
    float v[2] = {1, 2};
    assert_true(dv_meta_set_text(&m, "a", "text") && dv_meta_set_int(&m, "a", 5) &&
                dv_meta_set_floats(&m, "b", v, 2) && dv_meta_set_text(&m, "b", "x"));
    assert_int_equal(m.n, 2);
    assert_null(dv_meta_text(&m, "a"));
    assert_int_equal(dv_meta_get(&m, "a")->num, 5);
    assert_string_equal(dv_meta_text(&m, "b"), "x");
    dv_meta_free(&m);
    assert_int_equal(m.n, 0);
}

/* Shorter by any number of bytes: as it is, and with its length and checksum made right. */
static void cut_everywhere(void **state)
{
    for (size_t n = 0; n < file_size; n++) {
        uint8_t *p = copy_of(n);
        dmv_model *m;
        assert_int_equal(parse(p, n, &m), DMV_ERR_FORMAT);
        mend(p, n);
        if (!parse(p, n, &m)) { /* only the padding behind the last constant is gone */
            assert_true(file_size - n < DV_ALIGN);
            dmv_model_close(&m);
        }
        dv_free(p);
    }
}

static void longer(void **state)
{
    uint8_t *p = dv_alloc_aligned(file_size + 100);
    memset(p, 0, file_size + 100);
    memcpy(p, file, file_size);
    refuse(p, file_size + 100, DMV_ERR_FORMAT, "header says");
    dv_free(p);
}

static void every_flip_is_seen(void **state)
{
    nt_seed(90);
    uint8_t *p = copy_of(file_size);
    for (size_t at = 0; at < file_size; at++)
        for (int bit = 0; bit < 8; bit++) {
            dmv_model *m;
            if (at >= 112 && bit != (int)(at * 5 % 8)) /* the header in full, one bit elsewhere */
                continue;
            p[at] ^= (uint8_t)(1u << bit);
            assert_int_not_equal(parse(p, file_size, &m), DMV_OK);
            p[at] ^= (uint8_t)(1u << bit);
        }
    assert_memory_equal(p, file, file_size);
    dv_free(p);
}

static void headers(void **state)
{
    uint8_t *p = copy_of(file_size);
    memset(p, 0, file_size);
    refuse(p, file_size, DMV_ERR_FORMAT, "not a Domovoi model");
    memcpy(p, file, file_size);
    put(p + 8, 4, DV_DMV_VERSION + 1);
    refuse(p, file_size, DMV_ERR_VERSION, "newer version");
    mend(p, file_size);
    refuse(p, file_size, DMV_ERR_VERSION, "newer version");
    put(p + 8, 4, 0);
    mend(p, file_size);
    refuse(p, file_size, DMV_ERR_FORMAT, "damaged");
    for (int field = 24; field <= 40; field += 8) { /* the three offsets */
        const uint64_t values[] = {0,
                                   1,
                                   95,
                                   97,
                                   file_size - 1,
                                   file_size,
                                   file_size + 64,
                                   UINT64_MAX,
                                   UINT64_MAX - 63,
                                   (uint64_t)1 << 63};
        for (size_t i = 0; i < DV_COUNT(values); i++) {
            dmv_model *m;
            memcpy(p, file, file_size);
            put(p + field, 8, values[i]);
            mend(p, file_size);
            assert_int_equal(parse(p, file_size, &m), DMV_ERR_FORMAT);
        }
    }
    dv_free(p);
}

/* ---- forging: the place and width of every field ---- */

typedef struct field {
    size_t at;
    int bytes;
} field;

static field fields[20000];
static size_t n_fields;

static uint64_t take(size_t *at, int bytes)
{
    assert_true(*at + (size_t)bytes <= file_size && n_fields < DV_COUNT(fields));
    fields[n_fields++] = (field){*at, bytes};
    uint64_t v = get(file + *at, bytes);
    *at += (size_t)bytes;
    return v;
}

static void step_over(size_t *at, uint64_t bytes)
{
    *at += (size_t)bytes;
}

/* Reads the file by dmv.h's description; this is also a test that it is written so. */
static void map_fields(void)
{
    size_t at = 96;
    n_fields = 0;
    uint64_t count = take(&at, 4);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t key = take(&at, 2), type = take(&at, 1);
        step_over(&at, key);
        if (type == 2)
            take(&at, 8);
        else
            step_over(&at, take(&at, 4) * (type == 3 ? 4 : 1));
    }
    at = dv_round_up(at, DV_ALIGN);
    assert_int_equal(at, get(file + 32, 8));
    uint64_t tensors = take(&at, 4), nodes = take(&at, 4), ins = take(&at, 4), outs = take(&at, 4);
    for (uint64_t i = 0; i < tensors; i++) {
        step_over(&at, take(&at, 2));
        take(&at, 1);
        take(&at, 1);
        uint64_t rank = take(&at, 1), constant = take(&at, 1);
        for (uint64_t d = 0; d < rank + 2 * constant; d++)
            take(&at, 8);
    }
    for (uint64_t i = 0; i < nodes; i++) {
        take(&at, 2);
        step_over(&at, take(&at, 2));
        uint64_t in = take(&at, 1), out = take(&at, 1), attrs = take(&at, 1);
        for (uint64_t j = 0; j < in + out; j++)
            take(&at, 4);
        for (uint64_t j = 0; j < attrs; j++) {
            take(&at, 2);
            uint64_t is_float = take(&at, 1), n = take(&at, 4);
            for (uint64_t k = 0; k < n; k++)
                take(&at, is_float ? 4 : 8);
        }
    }
    for (uint64_t i = 0; i < ins + outs; i++)
        take(&at, 4);
    assert_int_equal(dv_round_up(at, DV_ALIGN), get(file + 40, 8));
}

/* Whatever comes in is refused, or is a graph that shapes and runs or says why not. */
static bool harmless(uint8_t *p)
{
    dmv_model *m;
    mend(p, file_size);
    if (parse(p, file_size, &m))
        return false;
    nt_try_run(&m->graph, NT_SAMPLE_SIDE);
    dmv_model_close(&m);
    return true;
}

static void forged_fields(void **state)
{
    static const uint64_t extremes[] = {0,
                                        1,
                                        2,
                                        3,
                                        4,
                                        5,
                                        6,
                                        7,
                                        8,
                                        16,
                                        17,
                                        63,
                                        64,
                                        65,
                                        255,
                                        256,
                                        4096,
                                        4097,
                                        65535,
                                        65536,
                                        65537,
                                        1u << 20,
                                        1u << 24,
                                        INT32_MAX,
                                        0x80000000u,
                                        UINT32_MAX,
                                        UINT32_MAX - 1,
                                        0x7f800000u /* inf */,
                                        0xff800000u,
                                        0x7fc00000u /* NaN */,
                                        0x7f7fffffu,
                                        (uint64_t)1 << 31,
                                        (uint64_t)1 << 32,
                                        (uint64_t)1 << 62,
                                        INT64_MAX,
                                        (uint64_t)1 << 63,
                                        UINT64_MAX,
                                        UINT64_MAX - 1,
                                        UINT64_MAX - 63};
    map_fields();
    uint8_t *p = copy_of(file_size);
    size_t alive = 0, dead = 0;
    for (size_t f = 0; f < n_fields; f++) {
        uint64_t old = get(file + fields[f].at, fields[f].bytes);
        for (size_t i = 0; i < DV_COUNT(extremes) + 2; i++) {
            uint64_t v = i < DV_COUNT(extremes)    ? extremes[i]
                         : i == DV_COUNT(extremes) ? old + 1
                                                   : old - 1;
            if (fields[f].bytes < 8 && v >> (8 * fields[f].bytes) && i < DV_COUNT(extremes))
                continue;
            memcpy(p, file, file_size);
            put(p + fields[f].at, fields[f].bytes, v);
            harmless(p) ? alive++ : dead++;
        }
    }
    dv_free(p);
    assert_true(dead > n_fields && alive > n_fields); /* both sides were met */
}

/* Several fields at once, also swapped among each other. */
static void forged_at_random(void **state)
{
    map_fields();
    nt_seed(91);
    uint8_t *p = copy_of(file_size);
    size_t alive = 0;
    for (int i = 0; i < 15000; i++) {
        memcpy(p, file, file_size);
        for (int64_t k = nt_int(1, 3); k > 0; k--) {
            field f = fields[nt_int(0, (int64_t)n_fields - 1)], from;
            from = fields[nt_int(0, (int64_t)n_fields - 1)];
            switch (nt_int(0, 3)) {
            case 0:
                put(p + f.at, f.bytes, (uint64_t)nt_int(0, 8));
                break;
            case 1:
                put(p + f.at, f.bytes, get(file + from.at, DV_MIN(f.bytes, from.bytes)));
                break;
            case 2:
                p[f.at] ^= (uint8_t)(1u << nt_int(0, 7));
                break;
            default:
                put(p + f.at, f.bytes, get(file + f.at, f.bytes) + (uint64_t)nt_int(-2, 2));
            }
        }
        alive += harmless(p);
    }
    dv_free(p);
    assert_true(alive > 1000);
}

/* Faults that a program which writes such files might really make. */
static void named_faults(void **state)
{
    static const struct {
        const char *what, *word;
    } faults[] = {
        {"a cycle", "cycle"},
        {"a tensor that nobody writes", "before it is written"},
        {"one tensor written twice", "written twice"},
        {"an output that is never made", "never computed"},
        {"an input that is a constant", "of its own"},
        {"weights that are computed", "not constant"},
        {"weights of another size", "size"},
        {"an unknown op", "unknown op"},
        {"panels read as numbers", "plain"},
        {"too many inputs", "wrong number"},
        {"an input of rank 7", "rank"},
        {"a NaN attribute", "absurd"},
        {"an input of size 0", "absurd shape"},
    };
    for (size_t i = 0; i < DV_COUNT(faults); i++) {
        nt_net n;
        nt_sample(&n);
        dv_graph *g = &n.g;
        dv_node *conv = NULL;
        for (size_t k = 0; k < g->n_nodes && !conv; k++)
            conv = g->nodes[k].op == DV_OP_CONV ? &g->nodes[k] : NULL;
        assert_non_null(conv);
        dv_gtensor *w = &g->tensors[conv->in[1]];
        switch (i) {
        case 0:
            conv->in[0] = conv->out[0];
            break;
        case 1:
            conv->in[0] = nt_tensor(&n, DV_F32);
            break;
        case 2:
            g->nodes[g->n_nodes - 1].out[0] = conv->out[0];
            break;
        case 3:
            g->outputs[0] = nt_tensor(&n, DV_F32);
            break;
        case 4:
            g->inputs[0] = conv->in[1];
            break;
        case 5:
            conv->in[1] = conv->in[0];
            break;
        case 6:
            w->size -= 4;
            break;
        case 7:
            conv->op = DV_OP_COUNT;
            break;
        case 8:
            g->nodes[0].in[0] = conv->in[1];
            break;
        case 9:
            conv->n_in = 1;
            break;
        case 10:
            g->tensors[g->inputs[0]].rank = 7;
            break;
        case 11:
            assert_true(dv_node_set_float(conv, DV_A_P, __builtin_nanf("")));
            break;
        default:
            g->tensors[g->inputs[0]].dims[2] = 0;
        }
        dv_err e = {0};
        const dv_meta none = {0};
        uint8_t *data;
        size_t size;
        dmv_status st = dv_dmv_encode(g, &none, &data, &size, &e);
        if (st != DMV_ERR_FORMAT || data || !strstr(e.msg, faults[i].word))
            fail_msg("%s: status %d (%s)", faults[i].what, (int)st, e.msg);
        if (i == 10)
            g->tensors[g->inputs[0]].rank = 4;
        nt_close(&n);
    }
}

/* ---- files ---- */

static void on_disk(void **state)
{
    char folder[] = "/tmp/domovoi-dmv-XXXXXX", path[64], missing[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/net.dmv", folder);
    snprintf(missing, sizeof missing, "%s/none/net.dmv", folder);
    nt_net n;
    dv_meta meta;
    dv_err e = {0};
    nt_sample(&n);
    nt_sample_meta(&meta);
    assert_int_equal(dv_dmv_write(path, &n.g, &meta, &e), DMV_OK);
    assert_int_equal(dv_dmv_write(missing, &n.g, &meta, &e), DMV_ERR_IO);
    assert_non_null(strstr(e.msg, missing));
    /* a graph that does not pass leaves the old file as it was */
    n.g.nodes[n.g.n_nodes - 1].op = DV_OP_COUNT;
    assert_int_equal(dv_dmv_write(path, &n.g, &meta, &e), DMV_ERR_FORMAT);
    dmv_context *ctx;
    dmv_model *m, *same;
    assert_int_equal(dmv_context_open(NULL, &ctx), DMV_OK);
    assert_int_equal(dmv_model_open(ctx, path, &m), DMV_OK);
    assert_int_equal(dmv_model_open_memory(ctx, file, file_size, &same), DMV_OK);
    assert_string_equal(dmv_model_id(m), dmv_model_id(same));
    dmv_model_close(&m);
    dmv_model_close(&same);
    assert_int_equal(dmv_model_open(ctx, missing, &m), DMV_ERR_IO);
    assert_null(m);
    assert_non_null(strstr(dmv_error(ctx), missing));
    assert_int_equal(dmv_model_open(ctx, folder, &m), DMV_ERR_IO);
    assert_null(m);
    assert_int_equal(truncate(path, 1000), 0);
    assert_int_equal(dmv_model_open(ctx, path, &m), DMV_ERR_FORMAT);
    assert_non_null(strstr(dmv_error(ctx), "cut off"));
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(dmv_model_open(ctx, path, &m), DMV_ERR_FORMAT);
    /* in memory: any address but a multiple of 64 is refused */
    uint8_t *p = dv_alloc_aligned(file_size + 64);
    memcpy(p + 4, file, file_size);
    assert_int_equal(dmv_model_open_memory(ctx, p + 4, file_size, &m), DMV_ERR_ARGUMENT);
    assert_non_null(strstr(dmv_error(ctx), "aligned"));
    dv_free(p);
    dmv_context_close(&ctx);
    unlink(path);
    assert_int_equal(rmdir(folder), 0); /* no temporary file is left */
    dv_meta_free(&meta);
    nt_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),         cmocka_unit_test(meta_replaced),
        cmocka_unit_test(cut_everywhere),     cmocka_unit_test(longer),
        cmocka_unit_test(every_flip_is_seen), cmocka_unit_test(headers),
        cmocka_unit_test(forged_fields),      cmocka_unit_test(forged_at_random),
        cmocka_unit_test(named_faults),       cmocka_unit_test(on_disk),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    nt_shared_close();
    return failed;
}
