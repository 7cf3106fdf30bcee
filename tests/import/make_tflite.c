/* SPDX-License-Identifier: Apache-2.0
 *
 * See make_tflite.h. Offsets of FlatBuffers lead forward, so a parent is written with holes and
 * each hole is filled when its child has been written behind everything else. A table's vtable
 * stands just before it. */
#include "make_tflite.h"

#include <string.h>

static void set(dv_buf *b, size_t at, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes && at + i < b->size; i++)
        b->data[at + i] = (uint8_t)(v >> 8 * i);
}

static size_t zeros(dv_buf *b, size_t n)
{
    size_t at = b->size;
    for (size_t i = 0; i < n; i++)
        dv_buf_u8(b, 0);
    return at;
}

static void link_to(dv_buf *b, size_t hole, size_t to)
{
    set(b, hole, to - hole, 4);
}

#define MAX_FIELDS 12

typedef struct table {
    size_t at, field[MAX_FIELDS]; /* where each field lies */
} table;

/* sizes: bytes of each field, 0 = absent. */
static table new_table(dv_buf *b, int n, const int *sizes)
{
    table t = {0};
    dv_buf_align(b, 8);
    if (n % 2 == 0)
        zeros(b, 4); /* so that the table is aligned, too */
    size_t vtable = zeros(b, 4 + 2 * (size_t)n), size = 4;
    dv_buf_align(b, 8);
    t.at = zeros(b, 4);
    set(b, t.at, t.at - vtable, 4);
    for (int i = 0; i < n; i++) {
        if (!sizes[i])
            continue;
        while ((t.at + size) % (size_t)sizes[i])
            size++;
        t.field[i] = t.at + size;
        set(b, vtable + 4 + 2 * (size_t)i, size, 2);
        size += (size_t)sizes[i];
    }
    zeros(b, size - 4);
    set(b, vtable, 4 + 2 * (uint64_t)n, 2);
    set(b, vtable + 2, size, 2);
    return t;
}

/* A vector of n items behind everything; its first item. */
static size_t vector(dv_buf *b, size_t hole, size_t n, size_t bytes)
{
    dv_buf_align(b, 8);
    zeros(b, 4); /* items of 8 bytes are aligned */
    size_t at = zeros(b, 4);
    link_to(b, hole, at);
    set(b, at, n, 4);
    return zeros(b, n * bytes);
}

static void bytes(dv_buf *b, size_t hole, const void *p, size_t n)
{
    size_t at = vector(b, hole, n, 1);
    if (n && !b->bad)
        memcpy(b->data + at, p, n);
}

static void text(dv_buf *b, size_t hole, const char *s)
{
    bytes(b, hole, s, strlen(s));
    dv_buf_u8(b, 0);
}

static void ints(dv_buf *b, size_t hole, int n, const int32_t *v)
{
    size_t at = vector(b, hole, (size_t)n, 4);
    for (int i = 0; i < n; i++)
        set(b, at + 4 * (size_t)i, (uint32_t)v[i], 4);
}

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static void write_tensor(dv_buf *b, size_t hole, const mt_tensor *t, int index)
{
    int sizes[5] = {4, 1, 4, 4, t->n_scales ? 4 : 0};
    table o = new_table(b, 5, sizes);
    link_to(b, hole, o.at);
    set(b, o.field[1], (uint64_t)t->type, 1);
    set(b, o.field[2], t->data ? (uint64_t)index + 1 : 0, 4);
    ints(b, o.field[0], t->rank, t->dims);
    text(b, o.field[3], t->name);
    if (t->n_scales) {
        int q[7] = {0, 0, 4, 4, 0, 0, 4};
        table p = new_table(b, 7, q);
        link_to(b, o.field[4], p.at);
        set(b, p.field[6], (uint64_t)t->axis, 4);
        size_t at = vector(b, p.field[2], (size_t)t->n_scales, 4);
        for (int i = 0; i < t->n_scales; i++)
            set(b, at + 4 * (size_t)i, bits(t->scale[i]), 4);
        at = vector(b, p.field[3], (size_t)t->n_scales, 8);
        for (int i = 0; i < t->n_scales; i++)
            set(b, at + 8 * (size_t)i, (uint64_t)t->zero[i], 8);
    }
}

static void write_options(dv_buf *b, size_t hole, const mt_option *v)
{
    int sizes[MAX_FIELDS] = {0}, n = 0;
    for (const mt_option *p = v; p->size; p++) {
        sizes[p->field] = p->size == 1 ? 1 : 4;
        n = DV_MAX(n, p->field + 1);
    }
    table o = new_table(b, n, sizes);
    link_to(b, hole, o.at);
    for (const mt_option *p = v; p->size; p++) {
        int32_t w[4];
        int count = 0;
        for (int i = 0; i < 4; i++) {
            w[i] = (int32_t)p->v[i];
            count = w[i] ? i + 1 : count;
        }
        if (p->size == 5)
            ints(b, o.field[p->field], count, w);
        else
            set(b, o.field[p->field], p->size < 0 ? bits(p->f) : (uint64_t)p->v[0],
                p->size == 1 ? 1 : 4);
    }
}

static void write_node(dv_buf *b, size_t hole, const mt_node *n, int index)
{
    int sizes[6] = {4, 4, 4, 1, n->options[0].size ? 4 : 0, n->custom_size ? 4 : 0};
    table o = new_table(b, 6, sizes);
    link_to(b, hole, o.at);
    set(b, o.field[0], (uint64_t)index, 4);
    ints(b, o.field[1], n->n_in, n->in);
    ints(b, o.field[2], n->n_out, n->out);
    if (n->options[0].size) {
        set(b, o.field[3], 1, 1);
        write_options(b, o.field[4], n->options);
    }
    if (n->custom_size)
        bytes(b, o.field[5], n->custom_options, n->custom_size);
}

void mt_write(const mt_net *m, dv_buf *b)
{
    static const int model[5] = {4, 4, 4, 0, 4}, graph[4] = {4, 4, 4, 4}, code[4] = {1, 4, 0, 4};
    size_t root = zeros(b, 4);
    dv_buf_put(b, "TFL3", 4);
    table t = new_table(b, 5, model);
    link_to(b, root, t.at);
    set(b, t.field[0], 3, 4);
    size_t at = vector(b, t.field[1], (size_t)m->n_nodes, 4); /* one code a node */
    for (int i = 0; i < m->n_nodes; i++) {
        int sizes[4];
        memcpy(sizes, code, sizeof sizes);
        sizes[1] = m->nodes[i].op < 0 ? 4 : 0;
        table c = new_table(b, 4, sizes);
        link_to(b, at + 4 * (size_t)i, c.at);
        int op = m->nodes[i].op < 0 ? 32 : m->nodes[i].op;
        set(b, c.field[0], (uint64_t)DV_MIN(op, 127), 1);
        set(b, c.field[3], (uint64_t)op, 4);
        if (m->nodes[i].op < 0)
            text(b, c.field[1], m->nodes[i].custom);
    }
    at = vector(b, t.field[2], 1, 4);
    table g = new_table(b, 4, graph);
    link_to(b, at, g.at);
    ints(b, g.field[1], m->n_inputs, m->inputs);
    ints(b, g.field[2], m->n_outputs, m->outputs);
    at = vector(b, g.field[0], (size_t)m->n_tensors, 4);
    for (int i = 0; i < m->n_tensors; i++)
        write_tensor(b, at + 4 * (size_t)i, &m->tensors[i], i);
    at = vector(b, g.field[3], (size_t)m->n_nodes, 4);
    for (int i = 0; i < m->n_nodes; i++)
        write_node(b, at + 4 * (size_t)i, &m->nodes[i], i);
    at = vector(b, t.field[4], (size_t)m->n_tensors + 1, 4);
    for (int i = 0; i <= m->n_tensors; i++) {
        const mt_tensor *p = i ? &m->tensors[i - 1] : NULL;
        int sizes[1] = {p && p->data ? 4 : 0};
        table o = new_table(b, 1, sizes);
        link_to(b, at + 4 * (size_t)i, o.at);
        if (sizes[0])
            bytes(b, o.field[0], p->data, p->size);
    }
}

int32_t mt_add(mt_net *m, mt_tensor t)
{
    m->tensors[m->n_tensors] = t;
    return m->n_tensors++;
}

/* ---- FlexBuffers: a map of integers and floats of 4 bytes each ---- */

size_t mt_detection_options(int classes, uint8_t out[256])
{
    /* sorted, as a map must be */
    static const char *const keys[] = {"h_scale", "max_detections", "num_classes",
                                       "w_scale", "x_scale",        "y_scale"};
    const float values[] = {5, 0, 0, 5, 10, 10};
    enum { N = DV_COUNT(keys) };
    size_t at = 0, where[N], vector_at;
    for (size_t i = 0; i < N; i++) {
        where[i] = at;
        memcpy(out + at, keys[i], strlen(keys[i]) + 1);
        at += strlen(keys[i]) + 1;
    }
    out[at++] = N; /* length of the keys, one byte each */
    vector_at = at;
    for (size_t i = 0; i < N; i++, at++)
        out[at] = (uint8_t)(at - where[i]);
    while (at % 4)
        out[at++] = 0;
    const uint32_t head[3] = {(uint32_t)(at - vector_at), 1, N};
    memcpy(out + at, head, sizeof head);
    at += sizeof head;
    size_t map = at;
    for (size_t i = 0; i < N; i++, at += 4) {
        uint32_t u = i == 1 ? 10 : i == 2 ? (uint32_t)classes : bits(values[i]);
        memcpy(out + at, &u, 4);
    }
    for (size_t i = 0; i < N; i++)
        out[at++] = (uint8_t)((i == 1 || i == 2 ? 1 : 3) << 2 | 2);
    out[at] = (uint8_t)(at - map);
    at++;
    out[at++] = 9 << 2 | 2;
    out[at++] = 1;
    return at;
}

/* ---- nets ---- */

/* Numbers that look random, from -1 to 1. */
static const float *numbers(void)
{
    static float v[512];
    uint32_t s = 12345;
    for (size_t i = 0; i < DV_COUNT(v); i++) {
        s = s * 1664525 + 1013904223;
        v[i] = (float)(int32_t)(s & 0xffff0000) / 2147483648.0f;
    }
    return v;
}

static void float_net(mt_net *m)
{
    static const int32_t pads[8] = {0, 0, 0, 0, 0, 0, 0, 2}, shape[2] = {1, -1};
    static const uint16_t half[4] = {0x3c00, 0xb800, 0x0000, 0x4000}; /* 1, -0.5, 0, 2 */
    const float *v = numbers();
    int32_t x = mt_add(m, (mt_tensor){.name = "x", .rank = 4, .dims = {1, 7, 5, 2}});
    int32_t w = mt_add(
        m, (mt_tensor){.name = "w", .rank = 4, .dims = {4, 3, 3, 2}, .data = v, .size = 4 * 72});
    int32_t h = mt_add(
        m,
        (mt_tensor){.name = "h", .type = MT_F16, .rank = 1, .dims = {4}, .data = half, .size = 8});
    int32_t b = mt_add(m, (mt_tensor){.name = "b", .rank = 1, .dims = {4}});
    int32_t c = mt_add(m, (mt_tensor){.name = "c", .rank = 4, .dims = {1, 4, 3, 4}});
    int32_t dw = mt_add(
        m,
        (mt_tensor){.name = "dw", .rank = 4, .dims = {1, 3, 3, 4}, .data = v + 80, .size = 4 * 36});
    int32_t d = mt_add(m, (mt_tensor){.name = "d", .rank = 4, .dims = {1, 4, 3, 4}});
    int32_t s = mt_add(m, (mt_tensor){.name = "s", .rank = 4, .dims = {1, 4, 3, 4}});
    int32_t p = mt_add(
        m,
        (mt_tensor){
            .name = "pads", .type = MT_I32, .rank = 2, .dims = {4, 2}, .data = pads, .size = 32});
    int32_t q = mt_add(m, (mt_tensor){.name = "padded", .rank = 4, .dims = {1, 4, 3, 6}});
    int32_t f = mt_add(m, (mt_tensor){.name = "pool", .rank = 4, .dims = {1, 2, 1, 6}});
    int32_t to = mt_add(
        m, (mt_tensor){
               .name = "to", .type = MT_I32, .rank = 1, .dims = {2}, .data = shape, .size = 8});
    int32_t r = mt_add(m, (mt_tensor){.name = "row", .rank = 2, .dims = {1, 12}});
    int32_t k = mt_add(
        m, (mt_tensor){.name = "k", .rank = 2, .dims = {5, 12}, .data = v + 130, .size = 4 * 60});
    int32_t y = mt_add(m, (mt_tensor){.name = "y", .rank = 2, .dims = {1, 5}});
    const mt_node nodes[] = {
        {.op = 6, .n_in = 1, .in = {h}, .n_out = 1, .out = {b}},
        {.op = 3,
         .n_in = 3,
         .in = {x, w, b},
         .n_out = 1,
         .out = {c},
         .options = {{0, 1, {0}, 0}, {1, 4, {2}, 0}, {2, 4, {2}, 0}, {3, 1, {3}, 0}}},
        {.op = 4,
         .n_in = 2,
         .in = {c, dw},
         .n_out = 1,
         .out = {d},
         .options = {{0, 1, {0}, 0}, {1, 4, {1}, 0}, {2, 4, {1}, 0}, {3, 4, {1}, 0}}},
        {.op = 0, .n_in = 2, .in = {c, d}, .n_out = 1, .out = {s}, .options = {{0, 1, {1}, 0}}},
        {.op = 34, .n_in = 2, .in = {s, p}, .n_out = 1, .out = {q}},
        {.op = 17,
         .n_in = 1,
         .in = {q},
         .n_out = 1,
         .out = {f},
         .options =
             {{0, 1, {1}, 0}, {1, 4, {2}, 0}, {2, 4, {2}, 0}, {3, 4, {2}, 0}, {4, 4, {2}, 0}}},
        {.op = 22, .n_in = 2, .in = {f, to}, .n_out = 1, .out = {r}},
        {.op = 9, .n_in = 2, .in = {r, k}, .n_out = 1, .out = {y}, .options = {{0, 1, {0}, 0}}},
    };
    memcpy(m->nodes, nodes, sizeof nodes);
    m->n_nodes = DV_COUNT(nodes);
    m->n_inputs = m->n_outputs = 1;
    m->inputs[0] = x;
    m->outputs[0] = y;
}

/* One channel of w has a weight of 150 - 30 = 120, one of 0 - 30, one of 255 - 30 = 225. */
static void bytes_net(mt_net *m)
{
    static const uint8_t w[12] = {30, 150, 40, 20, 0, 31, 60, 29, 255, 35, 10, 90};
    static const int32_t bias[3] = {100, -400, 2000};
    int32_t x = mt_add(m, (mt_tensor){.name = "x",
                                      .type = MT_U8,
                                      .rank = 4,
                                      .dims = {1, 2, 2, 4},
                                      .n_scales = 1,
                                      .scale = {0.02f},
                                      .zero = {128}});
    int32_t k = mt_add(m, (mt_tensor){.name = "w",
                                      .type = MT_U8,
                                      .rank = 4,
                                      .dims = {3, 1, 1, 4},
                                      .data = w,
                                      .size = 12,
                                      .n_scales = 1,
                                      .scale = {0.01f},
                                      .zero = {30}});
    int32_t b = mt_add(m, (mt_tensor){.name = "b",
                                      .type = MT_I32,
                                      .rank = 1,
                                      .dims = {3},
                                      .data = bias,
                                      .size = 12,
                                      .n_scales = 1,
                                      .scale = {0.0002f},
                                      .zero = {0}});
    int32_t c = mt_add(m, (mt_tensor){.name = "c",
                                      .type = MT_U8,
                                      .rank = 4,
                                      .dims = {1, 2, 2, 3},
                                      .n_scales = 1,
                                      .scale = {0.025f},
                                      .zero = {20}});
    int32_t y = mt_add(m, (mt_tensor){.name = "y",
                                      .type = MT_U8,
                                      .rank = 4,
                                      .dims = {1, 2, 2, 3},
                                      .n_scales = 1,
                                      .scale = {1 / 256.0f},
                                      .zero = {0}});
    const mt_node nodes[] = {
        {.op = 3,
         .n_in = 3,
         .in = {x, k, b},
         .n_out = 1,
         .out = {c},
         .options = {{0, 1, {1}, 0}, {1, 4, {1}, 0}, {2, 4, {1}, 0}, {3, 1, {1}, 0}}},
        {.op = 14, .n_in = 1, .in = {c}, .n_out = 1, .out = {y}},
    };
    memcpy(m->nodes, nodes, sizeof nodes);
    m->n_nodes = DV_COUNT(nodes);
    m->n_inputs = m->n_outputs = 1;
    m->inputs[0] = x;
    m->outputs[0] = y;
}

/* Two anchors, two classes and a background, all from a picture of 1 x 1 x 6. */
static void detector_net(mt_net *m)
{
    static const float anchors[8] = {0.25f, 0.5f, 0.5f, 0.25f, 0.75f, 0.25f, 0.25f, 0.5f};
    static const int32_t at[3] = {0, 0, 0}, size[3] = {1, 2, 4}, rest[3] = {0, 0, 4},
                         three[3] = {1, 2, 3}, shape[3] = {1, 2, 7};
    static uint8_t options[256];
    size_t n = mt_detection_options(2, options);
    int32_t x = mt_add(m, (mt_tensor){.name = "x", .rank = 4, .dims = {1, 1, 2, 7}});
    int32_t to = mt_add(
        m, (mt_tensor){
               .name = "to", .type = MT_I32, .rank = 1, .dims = {3}, .data = shape, .size = 12});
    int32_t r = mt_add(m, (mt_tensor){.name = "r", .rank = 3, .dims = {1, 2, 7}});
    int32_t a0 = mt_add(
        m,
        (mt_tensor){.name = "a0", .type = MT_I32, .rank = 1, .dims = {3}, .data = at, .size = 12});
    int32_t s0 = mt_add(
        m, (mt_tensor){
               .name = "s0", .type = MT_I32, .rank = 1, .dims = {3}, .data = size, .size = 12});
    int32_t a1 = mt_add(
        m, (mt_tensor){
               .name = "a1", .type = MT_I32, .rank = 1, .dims = {3}, .data = rest, .size = 12});
    int32_t s1 = mt_add(
        m, (mt_tensor){
               .name = "s1", .type = MT_I32, .rank = 1, .dims = {3}, .data = three, .size = 12});
    int32_t box = mt_add(m, (mt_tensor){.name = "box", .rank = 3, .dims = {1, 2, 4}});
    int32_t score = mt_add(m, (mt_tensor){.name = "score", .rank = 3, .dims = {1, 2, 3}});
    int32_t an = mt_add(
        m, (mt_tensor){.name = "anchors", .rank = 2, .dims = {2, 4}, .data = anchors, .size = 32});
    int32_t o0 = mt_add(m, (mt_tensor){.name = "out"});
    int32_t o1 = mt_add(m, (mt_tensor){.name = "out:1"});
    const mt_node nodes[] = {
        {.op = 22, .n_in = 2, .in = {x, to}, .n_out = 1, .out = {r}},
        {.op = 65, .n_in = 3, .in = {r, a0, s0}, .n_out = 1, .out = {box}},
        {.op = 65, .n_in = 3, .in = {r, a1, s1}, .n_out = 1, .out = {score}},
        {.op = -1,
         .custom = "TFLite_Detection_PostProcess",
         .n_in = 3,
         .in = {box, score, an},
         .n_out = 2,
         .out = {o0, o1},
         .custom_options = options,
         .custom_size = n},
    };
    memcpy(m->nodes, nodes, sizeof nodes);
    m->n_nodes = DV_COUNT(nodes);
    m->n_inputs = 1;
    m->n_outputs = 2;
    m->inputs[0] = x;
    m->outputs[0] = o0;
    m->outputs[1] = o1;
}

bool mt_sample(unsigned i, mt_net *m)
{
    static void (*const nets[])(mt_net *) = {float_net, bytes_net, detector_net};
    memset(m, 0, sizeof *m);
    if (i < DV_COUNT(nets))
        nets[i](m);
    return i < DV_COUNT(nets);
}
