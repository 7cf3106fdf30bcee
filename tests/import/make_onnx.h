/* SPDX-License-Identifier: Apache-2.0
 *
 * Small ONNX files for tests, built through the structs of protobuf-c. Names of a node's
 * inputs and outputs are words of one string; "-" is a name left out. Everything lives
 * until mk_free. */
#ifndef DV_TEST_MAKE_ONNX_H
#define DV_TEST_MAKE_ONNX_H

#include "import/import.h"
#include "onnx.pb-c.h"

typedef struct mk mk;
typedef Onnx__NodeProto mk_node;

mk *mk_new(int64_t opset);
void mk_free(mk *m);
void *mk_alloc(mk *m, size_t n); /* zeroed */
Onnx__ModelProto *mk_model(mk *m);
Onnx__GraphProto *mk_graph(mk *m);

void mk_input(mk *m, const char *name, int rank, const int64_t *dims); /* -1 = free */
void mk_output(mk *m, const char *name);
Onnx__TensorProto *mk_floats(mk *m, const char *name, int rank, const int64_t *dims,
                             const float *v); /* an initializer */
Onnx__TensorProto *mk_ints(mk *m, const char *name, size_t n, const int64_t *v);
mk_node *mk_op(mk *m, const char *op, const char *in, const char *out);
Onnx__AttributeProto *mk_attr(mk *m, mk_node *n, const char *name); /* without a value */
void mk_int(mk *m, mk_node *n, const char *name, int64_t v);
void mk_float(mk *m, mk_node *n, const char *name, float v);
void mk_list(mk *m, mk_node *n, const char *name, size_t count, const int64_t *v);
void mk_text(mk *m, mk_node *n, const char *name, const char *v);
/* The file, to be freed with free. */
uint8_t *mk_pack(mk *m, size_t *size);

/* Packs and imports. */
dmv_status mk_import(mk *m, const dv_import_options *o, dv_graph *g, dv_err *e);

/* Counts the nodes of an op. */
size_t count_op(const dv_graph *g, uint16_t op);

/* Imports plainly and with passes, runs both on `in` and compares output 0 with `want`
 * (count floats) and its dims. Fails the test with the message of the import. */
void mk_check(mk *m, const float *in, int rank, const int64_t *dims, const float *want);

#define INTS(...)                                                     \
    (sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) \
    {                                                                 \
        __VA_ARGS__                                                   \
    }
#define DIMS(...)                                                          \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) \
    {                                                                      \
        __VA_ARGS__                                                        \
    }
#define FLOATS(...) ((float[]){__VA_ARGS__})

#endif
