/* SPDX-License-Identifier: Apache-2.0
 *
 * The ONNX file: protobuf bytes to the structs of protobuf-c, and tensors to numbers.
 *
 * protobuf-c is sound, but it recurses as deep as the file says and allocates some
 * hundred bytes for a message of two. So the nesting is measured first, by walking the
 * wire format along the descriptors, and the allocator works within a budget.
 */
#include <math.h>
#include <string.h>

#include "import/onnx.h"

#define MAX_FILE ((size_t)1 << 30)
#define MAX_NESTING 64
#define OPSET_MIN 7
#define OPSET_MAX 23

static void *budget_alloc(void *user, size_t n)
{
    dv_onnx_budget *b = user;
    size_t cost;
    if (!dv_add(n, 16, &cost) || cost > b->left) {
        b->over = true;
        return NULL;
    }
    void *p = dv_malloc(n);
    if (!p)
        b->no_memory = true;
    else
        b->left -= cost;
    return p;
}

static void budget_free(void *user, void *p)
{
    (void)user;
    dv_free(p);
}

static bool rd_varint(dv_reader *r, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        uint8_t b = dv_rd_u8(r);
        if (r->bad)
            return false;
        if (shift < 64)
            *v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

/* Whether the message is well-formed as far as nesting goes and not too deep. */
static bool check_nesting(const ProtobufCMessageDescriptor *desc, const uint8_t *p, size_t size,
                          int depth, bool *too_deep)
{
    dv_reader r = {p, p + size, false};
    while (r.p < r.end) {
        uint64_t tag, len = 0;
        if (!rd_varint(&r, &tag) || tag >> 3 == 0 || tag >> 32)
            return false;
        switch (tag & 7) {
        case 0:
            if (!rd_varint(&r, &len))
                return false;
            continue;
        case 1:
            len = 8;
            break;
        case 2:
            if (!rd_varint(&r, &len))
                return false;
            break;
        case 5:
            len = 4;
            break;
        default:
            return false;
        }
        const uint8_t *sub = r.p;
        if (len > (size_t)(r.end - r.p) || (len && !dv_rd_bytes(&r, (size_t)len)))
            return false;
        if ((tag & 7) != 2)
            continue;
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field(desc, (unsigned)(tag >> 3));
        if (!f || f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (depth >= MAX_NESTING) {
            *too_deep = true;
            return false;
        }
        if (!check_nesting(f->descriptor, sub, (size_t)len, depth + 1, too_deep))
            return false;
    }
    return true;
}

dmv_status dv_onnx_parse(const uint8_t *data, size_t size, dv_onnx *o, dv_err *e)
{
    memset(o, 0, sizeof *o);
    if (size > MAX_FILE)
        return dv_fail(e, DMV_ERR_LIMIT, "the file has %zu bytes; at most %zu can be imported",
                       size, MAX_FILE);
    bool too_deep = false;
    if (size == 0 || !check_nesting(&onnx__model_proto__descriptor, data, size, 0, &too_deep)) {
        if (too_deep)
            return dv_fail(e, DMV_ERR_FORMAT, "messages are nested more than %d deep", MAX_NESTING);
        return dv_fail(e, DMV_ERR_FORMAT, "not an ONNX file or damaged");
    }
    o->file_size = size;
    o->budget.left = size * 8 + ((size_t)64 << 20);
    ProtobufCAllocator a = {budget_alloc, budget_free, &o->budget};
    o->model = onnx__model_proto__unpack(&a, size, data);
    if (!o->model) {
        if (o->budget.no_memory)
            return dv_nomem(e);
        if (o->budget.over)
            return dv_fail(e, DMV_ERR_LIMIT,
                           "unpacks to more than eight times its size; "
                           "it is damaged or made to exhaust memory");
        return dv_fail(e, DMV_ERR_FORMAT, "not an ONNX file or damaged");
    }
    dmv_status st = DMV_OK;
    o->graph = o->model->graph;
    if (!o->graph) {
        st = dv_fail(e, DMV_ERR_FORMAT, "not an ONNX file or damaged: it holds no graph");
        goto fail;
    }
    o->opset = -1;
    for (size_t i = 0; i < o->model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *s = o->model->opset_import[i];
        if (!s->domain || !s->domain[0] || !strcmp(s->domain, "ai.onnx"))
            o->opset = s->version;
    }
    if (o->opset < 0) {
        st = dv_fail(e, DMV_ERR_FORMAT, "the file names no version of the standard operator set");
        goto fail;
    }
    if (o->opset < OPSET_MIN || o->opset > OPSET_MAX) {
        st = dv_fail(e, DMV_ERR_UNSUPPORTED,
                     "operator set %lld; sets %d to %d can be imported: convert the net with "
                     "onnx.version_converter or export it again",
                     (long long)o->opset, OPSET_MIN, OPSET_MAX);
        goto fail;
    }
    return DMV_OK;
fail:
    dv_onnx_free(o);
    return st;
}

void dv_onnx_free(dv_onnx *o)
{
    ProtobufCAllocator a = {budget_alloc, budget_free, &o->budget};
    if (o->model)
        onnx__model_proto__free_unpacked(o->model, &a);
    o->model = NULL;
    o->graph = NULL;
}

/* ---- tensors ---- */

static float half_to_float(uint16_t h)
{
    int exp = h >> 10 & 31;
    float m = (float)(h & 1023), v;
    if (exp == 31)
        v = h & 1023 ? NAN : INFINITY;
    else if (exp == 0)
        v = ldexpf(m, -24);
    else
        v = ldexpf(m + 1024, exp - 25);
    return h & 0x8000 ? -v : v;
}

static float bfloat_to_float(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

typedef enum field { IN_FLOAT, IN_INT32, IN_INT64, IN_DOUBLE, IN_UINT64 } field;

/* Where a data type is stored when not raw, and the bytes of one raw element. */
static bool storage(int type, field *f, size_t *bytes, dv_dtype *to)
{
    static const struct {
        uint8_t type, field, bytes, to;
    } table[] = {
        {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, IN_FLOAT, 4, DV_F32},
        {ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE, IN_DOUBLE, 8, DV_F32},
        {ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, IN_INT32, 2, DV_F32},
        {ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16, IN_INT32, 2, DV_F32},
        {ONNX__TENSOR_PROTO__DATA_TYPE__INT64, IN_INT64, 8, DV_I64},
        {ONNX__TENSOR_PROTO__DATA_TYPE__INT32, IN_INT32, 4, DV_I64},
        {ONNX__TENSOR_PROTO__DATA_TYPE__INT16, IN_INT32, 2, DV_I64},
        {ONNX__TENSOR_PROTO__DATA_TYPE__UINT16, IN_INT32, 2, DV_I64},
        {ONNX__TENSOR_PROTO__DATA_TYPE__INT8, IN_INT32, 1, DV_I64},
        {ONNX__TENSOR_PROTO__DATA_TYPE__UINT8, IN_INT32, 1, DV_I64},
        {ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, IN_INT32, 1, DV_I64},
        {ONNX__TENSOR_PROTO__DATA_TYPE__UINT32, IN_UINT64, 4, DV_I64},
        {ONNX__TENSOR_PROTO__DATA_TYPE__UINT64, IN_UINT64, 8, DV_I64},
    };
    for (size_t i = 0; i < DV_COUNT(table); i++)
        if (table[i].type == type) {
            *f = (field)table[i].field;
            *bytes = table[i].bytes;
            *to = (dv_dtype)table[i].to;
            return true;
        }
    return false;
}

static size_t stored_count(const Onnx__TensorProto *t, field f)
{
    switch (f) {
    case IN_FLOAT:
        return t->n_float_data;
    case IN_INT32:
        return t->n_int32_data;
    case IN_INT64:
        return t->n_int64_data;
    case IN_DOUBLE:
        return t->n_double_data;
    default:
        return t->n_uint64_data;
    }
}

static float float_at(const Onnx__TensorProto *t, int type, bool raw, size_t i)
{
    const uint8_t *p = raw ? t->raw_data.data : NULL;
    if (type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE) {
        double d;
        if (!raw)
            return (float)t->double_data[i];
        memcpy(&d, p + i * 8, 8);
        return (float)d;
    }
    if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) {
        float v;
        if (!raw)
            return t->float_data[i];
        memcpy(&v, p + i * 4, 4);
        return v;
    }
    uint16_t h;
    if (raw)
        memcpy(&h, p + i * 2, 2);
    else
        h = (uint16_t)t->int32_data[i];
    return type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ? half_to_float(h) : bfloat_to_float(h);
}

static int64_t int_at(const Onnx__TensorProto *t, int type, size_t bytes, field f, size_t i)
{
    if (f == IN_INT32 && !t->has_raw_data)
        return t->int32_data[i];
    if (f == IN_INT64 && !t->has_raw_data)
        return t->int64_data[i];
    uint64_t u = 0;
    if (t->has_raw_data)
        memcpy(&u, t->raw_data.data + i * bytes, bytes);
    else
        u = t->uint64_data[i];
    switch (type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return (int32_t)(uint32_t)u;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16:
        return (int16_t)(uint16_t)u;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        return (int8_t)(uint8_t)u;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT64:
        return u > INT64_MAX ? INT64_MAX : (int64_t)u;
    default:
        return (int64_t)u;
    }
}

dmv_status dv_onnx_tensor(const Onnx__TensorProto *t, dv_onnx_value *v, dv_err *e)
{
    memset(v, 0, sizeof *v);
    int type = t->has_data_type ? t->data_type : 0;
    field f;
    size_t bytes, stored, size;
    if (t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "its data is in another file; save the net with the weights inside "
                       "(onnx.save with save_as_external_data=False)");
    if (t->segment)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "it is stored in segments");
    if (!storage(type, &f, &bytes, &v->dtype))
        return dv_fail(e, DMV_ERR_UNSUPPORTED,
                       "data type %d cannot be used; float, float16, double and integers can",
                       type);
    if (t->n_dims > DMV_MAX_RANK)
        return dv_fail(e, DMV_ERR_UNSUPPORTED, "it has %zu dims; at most %d can be used", t->n_dims,
                       DMV_MAX_RANK);
    v->rank = (int)t->n_dims;
    v->count = 1;
    for (size_t i = 0; i < t->n_dims; i++) {
        v->dims[i] = t->dims[i];
        if (t->dims[i] < 0 || t->dims[i] > INT32_MAX ||
            !dv_mul(v->count, (size_t)t->dims[i], &v->count))
            return dv_fail(e, DMV_ERR_FORMAT, "dim %zu is %lld", i, (long long)t->dims[i]);
    }
    if (t->has_raw_data) {
        stored = t->raw_data.len / bytes;
        if (t->raw_data.len % bytes)
            stored = SIZE_MAX;
    } else {
        stored = stored_count(t, f);
    }
    if (stored != v->count)
        return dv_fail(e, DMV_ERR_FORMAT, "its dims ask for %zu elements, the file has %zu %s",
                       v->count, t->has_raw_data ? t->raw_data.len : stored,
                       t->has_raw_data ? "bytes" : "elements");
    if (!dv_mul(v->count, v->dtype == DV_F32 ? 4 : 8, &size) || !(v->data = dv_malloc(size)))
        return dv_nomem(e);
    if (v->dtype == DV_F32) {
        float *out = v->data;
        if (type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && t->has_raw_data) {
            if (size)
                memcpy(out, t->raw_data.data, size);
        } else {
            for (size_t i = 0; i < v->count; i++)
                out[i] = float_at(t, type, t->has_raw_data, i);
        }
    } else {
        int64_t *out = v->data;
        for (size_t i = 0; i < v->count; i++)
            out[i] = int_at(t, type, bytes, f, i);
    }
    return DMV_OK;
}
