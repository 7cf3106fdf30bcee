/* SPDX-License-Identifier: Apache-2.0
 *
 * seed_onnx.c - first inputs for fuzz_onnx: three small nets, written in the wire format of
 * protobuf by hand. Field numbers are those of onnx.proto.
 */
#include <string.h>

#include "replay.h"

static void varint(dv_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        dv_buf_u8(b, (uint8_t)(v | 128));
    dv_buf_u8(b, (uint8_t)v);
}

static void number(dv_buf *b, unsigned field, int64_t v)
{
    varint(b, field << 3);
    varint(b, (uint64_t)v);
}

static void bytes(dv_buf *b, unsigned field, const void *p, size_t n)
{
    varint(b, field << 3 | 2);
    varint(b, n);
    dv_buf_put(b, p, n);
}

static void text(dv_buf *b, unsigned field, const char *s)
{
    bytes(b, field, s, strlen(s));
}

/* Puts a finished message into another and frees it. */
static void message(dv_buf *b, unsigned field, dv_buf *m)
{
    bytes(b, field, m->data, m->size);
    b->bad |= m->bad;
    dv_buf_free(m);
}

/* ValueInfoProto of floats; -1 is a named free dimension. */
static void value(dv_buf *graph, unsigned field, const char *name, int rank, const int64_t *dims)
{
    dv_buf info = {0}, type = {0}, tensor = {0}, shape = {0};
    for (int i = 0; i < rank; i++) {
        dv_buf d = {0};
        if (dims[i] < 0)
            text(&d, 2, "n");
        else
            number(&d, 1, dims[i]);
        message(&shape, 1, &d);
    }
    number(&tensor, 1, 1);
    message(&tensor, 2, &shape);
    message(&type, 1, &tensor);
    text(&info, 1, name);
    message(&info, 2, &type);
    message(graph, field, &info);
}

static void initializer(dv_buf *graph, const char *name, int rank, const int64_t *dims, bool raw)
{
    dv_buf t = {0}, data = {0};
    int64_t n = 1;
    for (int i = 0; i < rank; i++) {
        number(&t, 1, dims[i]);
        n *= dims[i];
    }
    number(&t, 2, 1);
    text(&t, 8, name);
    for (int64_t i = 0; i < n; i++)
        dv_buf_f32(&data, (float)(i % 7 + 1) * 0.125f);
    message(&t, raw ? 9 : 4, &data);
    message(graph, 5, &t);
}

static void integers(dv_buf *graph, const char *name, int64_t n, const int64_t *v)
{
    dv_buf t = {0}, data = {0};
    number(&t, 1, n);
    number(&t, 2, 7);
    text(&t, 8, name);
    for (int64_t i = 0; i < n; i++)
        dv_buf_u64(&data, (uint64_t)v[i]);
    message(&t, 9, &data);
    message(graph, 5, &t);
}

/* Names are words of one string. */
static void words(dv_buf *b, unsigned field, const char *s)
{
    while (*s) {
        size_t n = strcspn(s, " ");
        bytes(b, field, s, n);
        s += n + (s[n] == ' ');
    }
}

static void ints(dv_buf *node, const char *name, int n, const int64_t *v)
{
    dv_buf a = {0};
    text(&a, 1, name);
    for (int i = 0; i < n; i++)
        number(&a, n == 1 ? 3 : 8, v[i]);
    number(&a, 20, n == 1 ? 2 : 7);
    message(node, 5, &a);
}

static dv_buf op(const char *type, const char *in, const char *out)
{
    dv_buf b = {0};
    words(&b, 1, in);
    words(&b, 2, out);
    text(&b, 4, type);
    return b;
}

#define LIST(...)                                            \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]) \
    {                                                        \
        __VA_ARGS__                                          \
    }

static void plain(dv_buf *g, const char *type, const char *in, const char *out)
{
    dv_buf n = op(type, in, out);
    message(g, 1, &n);
}

static void classifier(dv_buf *g)
{
    value(g, 11, "x", LIST(1, 3, 8, 8));
    value(g, 12, "y", LIST(1, 5));
    initializer(g, "w", LIST(4, 3, 3, 3), true);
    initializer(g, "b", LIST(4), false);
    initializer(g, "v", LIST(4), false);
    initializer(g, "m", LIST(64, 5), true);
    dv_buf n = op("Conv", "x w b", "c");
    ints(&n, "kernel_shape", LIST(3, 3));
    ints(&n, "pads", LIST(1, 1, 1, 1));
    ints(&n, "strides", LIST(1, 1));
    message(g, 1, &n);
    plain(g, "BatchNormalization", "c v b b v", "d");
    plain(g, "Relu", "d", "e");
    n = op("MaxPool", "e", "f");
    ints(&n, "kernel_shape", LIST(2, 2));
    ints(&n, "strides", LIST(2, 2));
    message(g, 1, &n);
    n = op("Flatten", "f", "h");
    ints(&n, "axis", LIST(1));
    message(g, 1, &n);
    plain(g, "MatMul", "h m", "i");
    n = op("Softmax", "i", "y");
    ints(&n, "axis", LIST(1));
    message(g, 1, &n);
}

static void shapes(dv_buf *g)
{
    value(g, 11, "x", LIST(1, 4, -1, -1));
    value(g, 12, "y", LIST(1, -1, 4));
    integers(g, "one", LIST(1));
    integers(g, "two", LIST(2));
    integers(g, "minus", LIST(-1));
    integers(g, "zero", LIST(0));
    initializer(g, "s", LIST(4, 1, 1), true);
    plain(g, "Sigmoid", "x", "g");
    plain(g, "Mul", "x g", "a");
    plain(g, "PRelu", "a s", "p");
    plain(g, "Add", "p x", "b");
    plain(g, "Shape", "b", "c");
    dv_buf n = op("Gather", "c zero", "d");
    ints(&n, "axis", LIST(0));
    message(g, 1, &n);
    n = op("Slice", "c one two", "tail");
    message(g, 1, &n);
    n = op("Concat", "d minus tail", "f");
    ints(&n, "axis", LIST(0));
    message(g, 1, &n);
    plain(g, "Reshape", "b f", "r");
    n = op("Transpose", "r", "y");
    ints(&n, "perm", LIST(0, 2, 1));
    message(g, 1, &n);
}

/* An initializer of 8 bits; scalar = no dims. */
static void eight_bits(dv_buf *graph, const char *name, int rank, const int64_t *dims, int type,
                       int first, int step)
{
    dv_buf t = {0}, data = {0};
    int64_t n = 1;
    for (int i = 0; i < rank; i++) {
        number(&t, 1, dims[i]);
        n *= dims[i];
    }
    number(&t, 2, type);
    text(&t, 8, name);
    for (int64_t i = 0; i < n; i++)
        dv_buf_u8(&data, (uint8_t)(first + step * (int)i));
    message(&t, 9, &data);
    message(graph, 5, &t);
}

static void quantised(dv_buf *g)
{
    value(g, 11, "x", LIST(1, 3, 8, 8));
    value(g, 12, "y", LIST(1, 4, 8, 8));
    initializer(g, "s", 0, NULL, true);
    eight_bits(g, "z", 0, NULL, 2, 128, 0);
    eight_bits(g, "w", LIST(4, 3, 3, 3), 3, 1, 7);
    eight_bits(g, "wz", LIST(4), 3, 0, 0);
    initializer(g, "ws", LIST(4), true);
    plain(g, "QuantizeLinear", "x s z", "xq");
    plain(g, "DequantizeLinear", "xq s z", "xd");
    dv_buf n = op("DequantizeLinear", "w ws wz", "wd");
    ints(&n, "axis", LIST(0));
    message(g, 1, &n);
    n = op("Conv", "xd wd", "c");
    ints(&n, "kernel_shape", LIST(3, 3));
    ints(&n, "pads", LIST(1, 1, 1, 1));
    message(g, 1, &n);
    plain(g, "Relu", "c", "r");
    plain(g, "QuantizeLinear", "r ws0 z", "rq");
    plain(g, "DequantizeLinear", "rq ws0 z", "rd");
    plain(g, "Sigmoid", "rd", "t");
    plain(g, "Mul", "rd t", "m");
    plain(g, "QuantizeLinear", "m s z", "mq");
    plain(g, "DequantizeLinear", "mq s z", "md");
    plain(g, "Add", "md rd", "a");
    plain(g, "QuantizeLinear", "a s z", "aq");
    plain(g, "DequantizeLinear", "aq s z", "y");
    initializer(g, "ws0", 0, NULL, true);
}

bool dv_fuzz_seed(unsigned i, dv_buf *b)
{
    static void (*const build[])(dv_buf *) = {classifier, shapes, quantised};
    if (i >= DV_COUNT(build))
        return false;
    dv_buf graph = {0}, opset = {0};
    build[i](&graph);
    text(&graph, 2, "seed");
    number(b, 1, 7);
    number(&opset, 2, 13);
    message(b, 8, &opset);
    message(b, 7, &graph);
    return true;
}
