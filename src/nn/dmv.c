/* SPDX-License-Identifier: Apache-2.0
 *
 * dmv.c - reading and writing .dmv model files; the layout is in dmv.h. Reading takes weights
 * where they lie in the mapping; only names, dims and attributes are copied. */
#include "nn/dmv.h"

#include <string.h>

#define HEADER 96
#define MAX_TENSORS (1u << 20)
#define MAX_NODES (1u << 20)
#define MAX_META 4096 /* every key is looked up among those before it */

static const uint8_t magic[8] = "DOMOVOI\n";

static void hash_file(const uint8_t *data, size_t size, uint8_t out[32])
{
    static const uint8_t zero[32];
    dv_sha256 h;
    dv_sha256_init(&h);
    dv_sha256_update(&h, data, 64);
    dv_sha256_update(&h, zero, 32);
    dv_sha256_update(&h, data + HEADER, size - HEADER);
    dv_sha256_final(&h, out);
}

static void hash_model(const uint8_t *graph, size_t size, char id[33])
{
    uint8_t out[32];
    dv_sha256 h;
    dv_sha256_init(&h);
    dv_sha256_update(&h, graph, size);
    dv_sha256_final(&h, out);
    dv_hex(out, 16, id);
}

static char *read_text(dv_reader *r, size_t n, bool *nomem)
{
    const char *p = dv_rd_bytes(r, n);
    if (!p || memchr(p, 0, n)) {
        r->bad = true;
        return NULL;
    }
    char *s = dv_malloc(n + 1);
    if (!s) {
        *nomem = true;
        r->bad = true;
        return NULL;
    }
    memcpy(s, p, n);
    s[n] = 0;
    return s;
}

static void read_meta(dv_reader *r, dv_meta *m, bool *nomem)
{
    uint32_t count = dv_rd_u32(r);
    r->bad |= count > MAX_META;
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        uint16_t klen = dv_rd_u16(r);
        uint8_t type = dv_rd_u8(r);
        char *key = read_text(r, klen, nomem), *text = NULL;
        float *f = NULL;
        if (!key)
            return;
        bool ok = true;
        if (type == 1) {
            text = read_text(r, dv_rd_u32(r), nomem);
            ok = text && dv_meta_set_text(m, key, text);
        } else if (type == 2) {
            int64_t v = (int64_t)dv_rd_u64(r);
            ok = !r->bad && dv_meta_set_int(m, key, v);
        } else if (type == 3) {
            uint32_t n = dv_rd_u32(r);
            const void *p = n <= 1u << 20 ? dv_rd_bytes(r, (size_t)n * 4) : NULL;
            f = p ? dv_malloc((size_t)n * 4 + 4) : NULL;
            r->bad |= !p;
            if (f) {
                memcpy(f, p, (size_t)n * 4);
                ok = dv_meta_set_floats(m, key, f, n);
            } else {
                ok = !p;
            }
        } else {
            r->bad = true;
        }
        if (!ok && !r->bad)
            *nomem = r->bad = true;
        dv_free(key);
        dv_free(text);
        dv_free(f);
    }
}

static bool read_tensor(dv_reader *r, dv_graph *g, const uint8_t *data, size_t data_size,
                        bool *nomem)
{
    uint16_t len = dv_rd_u16(r);
    char *name = len ? read_text(r, len, nomem) : NULL;
    uint8_t dtype = dv_rd_u8(r), pack = dv_rd_u8(r), rank = dv_rd_u8(r), constant = dv_rd_u8(r);
    int64_t dims[DMV_MAX_RANK];
    bool ok = !r->bad && dtype >= DV_F32 && dtype <= DV_F16 && pack <= DV_PACK_HVEC &&
              rank <= DMV_MAX_RANK && constant <= 1;
    for (int i = 0; ok && i < rank; i++)
        dims[i] = (int64_t)dv_rd_u64(r);
    float scale = 0, zero = 0;
    if (ok && dtype == DV_U8) {
        scale = dv_rd_f32(r);
        zero = dv_rd_f32(r);
    }
    uint64_t at = 0, size = 0;
    if (ok && constant) {
        at = dv_rd_u64(r);
        size = dv_rd_u64(r);
        ok = !r->bad && at % DV_ALIGN == 0 && at <= data_size && size <= data_size - at;
    }
    int32_t id = -1;
    if (ok && !r->bad) {
        id = dv_graph_add_tensor(g, name, (dv_dtype)dtype, rank, dims);
        *nomem |= id < 0;
    }
    dv_free(name);
    if (id < 0)
        return false;
    g->tensors[id].pack = (dv_pack)pack;
    g->tensors[id].scale = scale;
    g->tensors[id].zero = zero;
    if (constant) {
        g->tensors[id].data = data + at;
        g->tensors[id].size = (size_t)size;
    }
    return true;
}

static bool read_node(dv_reader *r, dv_graph *g, bool *nomem)
{
    uint16_t op = dv_rd_u16(r), len = dv_rd_u16(r);
    char *name = len ? read_text(r, len, nomem) : NULL;
    uint8_t n_in = dv_rd_u8(r), n_out = dv_rd_u8(r), n_attr = dv_rd_u8(r);
    int32_t in[256], out[256];
    for (int i = 0; i < n_in; i++)
        in[i] = (int32_t)dv_rd_u32(r);
    for (int i = 0; i < n_out; i++)
        out[i] = (int32_t)dv_rd_u32(r);
    int32_t id = r->bad ? -1 : dv_graph_add_node(g, op, name, n_in, in, n_out, out);
    *nomem |= !r->bad && id < 0;
    dv_free(name);
    if (id < 0)
        return false;
    for (int a = 0; a < n_attr; a++) {
        uint16_t key = dv_rd_u16(r);
        uint8_t is_float = dv_rd_u8(r);
        uint32_t n = dv_rd_u32(r);
        size_t bytes = (size_t)n * (is_float ? 4 : 8);
        const void *p = n <= 1u << 16 ? dv_rd_bytes(r, bytes) : NULL;
        if (!p || is_float > 1)
            return false;
        void *copy = dv_malloc(bytes + 8); /* the file does not align attributes */
        if (!copy) {
            *nomem = true;
            return false;
        }
        memcpy(copy, p, bytes);
        bool ok = is_float ? dv_node_set_floats(&g->nodes[id], key, copy, n)
                           : dv_node_set_ints(&g->nodes[id], key, copy, n);
        dv_free(copy);
        if (!ok) {
            *nomem = true;
            return false;
        }
    }
    return true;
}

static bool read_graph(dv_reader *r, dv_graph *g, const uint8_t *data, size_t data_size,
                       bool *nomem)
{
    uint32_t nt = dv_rd_u32(r), nn = dv_rd_u32(r), ni = dv_rd_u32(r), no = dv_rd_u32(r);
    if (r->bad || nt > MAX_TENSORS || nn > MAX_NODES || ni > DV_MAX_IO || no > 4 * DV_MAX_IO)
        return false;
    for (uint32_t i = 0; i < nt; i++)
        if (!read_tensor(r, g, data, data_size, nomem))
            return false;
    for (uint32_t i = 0; i < nn; i++)
        if (!read_node(r, g, nomem))
            return false;
    int32_t in[DV_MAX_IO], out[4 * DV_MAX_IO];
    for (uint32_t i = 0; i < ni; i++)
        in[i] = (int32_t)dv_rd_u32(r);
    for (uint32_t i = 0; i < no; i++)
        out[i] = (int32_t)dv_rd_u32(r);
    if (r->bad)
        return false;
    if (!dv_graph_set_io(g, in, ni, out, no)) {
        *nomem = true;
        return false;
    }
    return true;
}

static void model_free(dmv_model *m)
{
    dv_graph_free(&m->graph);
    dv_meta_free(&m->meta);
    dv_free(m);
}

dmv_status dv_dmv_parse(const uint8_t *data, size_t size, const char *path, dmv_model **out,
                        dv_err *e)
{
    *out = NULL;
    if (size < HEADER || memcmp(data, magic, sizeof magic))
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: not a Domovoi model (make one with `domovoi model import`)", path);
    dv_reader r = {data + 8, data + HEADER, false};
    uint32_t version = dv_rd_u32(&r);
    dv_rd_u32(&r);
    uint64_t file = dv_rd_u64(&r), meta = dv_rd_u64(&r), graph = dv_rd_u64(&r),
             blob = dv_rd_u64(&r);
    if (version > DV_DMV_VERSION)
        return dv_fail(e, DMV_ERR_VERSION,
                       "%s: written by a newer version (format %u, this one reads %u); "
                       "update Domovoi or import the net again",
                       path, version, DV_DMV_VERSION);
    if (file != size)
        return dv_fail(e, DMV_ERR_FORMAT,
                       "%s: %zu bytes long, but its header says %llu: cut off or damaged, "
                       "copy it again",
                       path, size, (unsigned long long)file);
    uint8_t sum[32];
    hash_file(data, size, sum);
    if (version < 1 || memcmp(sum, data + 64, 32) || meta != HEADER || graph < meta ||
        blob < graph || blob > size || blob % DV_ALIGN)
        return dv_fail(e, DMV_ERR_FORMAT, "%s: damaged (wrong checksum); copy it again", path);
    dmv_model *m = dv_calloc(1, sizeof *m);
    if (!m)
        return dv_nomem(e);
    bool nomem = false;
    dv_reader rm = {data + meta, data + graph, false}, rg = {data + graph, data + blob, false};
    read_meta(&rm, &m->meta, &nomem);
    if (rm.bad || !read_graph(&rg, &m->graph, data + blob, size - (size_t)blob, &nomem)) {
        model_free(m);
        return nomem ? dv_nomem(e)
                     : dv_fail(e, DMV_ERR_FORMAT, "%s: its %s cannot be read", path,
                               rm.bad ? "metadata" : "graph");
    }
    dmv_status st = dv_graph_check(&m->graph, e);
    if (st) {
        model_free(m);
        return dv_fail_in(e, "%s", path);
    }
    hash_model(data + graph, size - (size_t)graph, m->id);
    m->file_size = size;
    *out = m;
    return DMV_OK;
}

static void put_text(dv_buf *b, const char *s)
{
    dv_buf_put(b, s, strlen(s));
}

static void put_meta(dv_buf *b, const dv_meta *m)
{
    dv_buf_u32(b, (uint32_t)m->n);
    for (size_t i = 0; i < m->n; i++) {
        const dv_meta_item *it = &m->items[i];
        dv_buf_u16(b, (uint16_t)strlen(it->key));
        dv_buf_u8(b, it->type);
        put_text(b, it->key);
        if (it->type == 1) {
            dv_buf_u32(b, (uint32_t)strlen(it->text));
            put_text(b, it->text);
        } else if (it->type == 2) {
            dv_buf_u64(b, (uint64_t)it->num);
        } else {
            dv_buf_u32(b, it->n);
            for (uint32_t j = 0; j < it->n; j++)
                dv_buf_f32(b, it->f[j]);
        }
    }
}

static void put_name(dv_buf *b, const char *name)
{
    dv_buf_u16(b, (uint16_t)DV_MIN(name ? strlen(name) : 0, (size_t)UINT16_MAX));
}

static void put_name_bytes(dv_buf *b, const char *name)
{
    if (name)
        dv_buf_put(b, name, DV_MIN(strlen(name), (size_t)UINT16_MAX));
}

static void put_graph(dv_buf *b, const dv_graph *g)
{
    uint64_t at = 0;
    dv_buf_u32(b, (uint32_t)g->n_tensors);
    dv_buf_u32(b, (uint32_t)g->n_nodes);
    dv_buf_u32(b, (uint32_t)g->n_inputs);
    dv_buf_u32(b, (uint32_t)g->n_outputs);
    for (size_t i = 0; i < g->n_tensors; i++) {
        const dv_gtensor *t = &g->tensors[i];
        put_name(b, t->name);
        put_name_bytes(b, t->name);
        dv_buf_u8(b, (uint8_t)t->dtype);
        dv_buf_u8(b, (uint8_t)t->pack);
        dv_buf_u8(b, (uint8_t)t->rank);
        dv_buf_u8(b, t->data != NULL);
        for (int d = 0; d < t->rank; d++)
            dv_buf_u64(b, (uint64_t)t->dims[d]);
        if (t->dtype == DV_U8) {
            dv_buf_f32(b, t->scale);
            dv_buf_f32(b, t->zero);
        }
        if (t->data) {
            dv_buf_u64(b, at);
            dv_buf_u64(b, t->size);
            at = dv_round_up(at + t->size, DV_ALIGN);
        }
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dv_node *n = &g->nodes[i];
        dv_buf_u16(b, n->op);
        put_name(b, n->name);
        put_name_bytes(b, n->name);
        dv_buf_u8(b, (uint8_t)n->n_in);
        dv_buf_u8(b, (uint8_t)n->n_out);
        dv_buf_u8(b, (uint8_t)n->n_attr);
        for (int j = 0; j < n->n_in; j++)
            dv_buf_u32(b, (uint32_t)n->in[j]);
        for (int j = 0; j < n->n_out; j++)
            dv_buf_u32(b, (uint32_t)n->out[j]);
        for (int j = 0; j < n->n_attr; j++) {
            const dv_attr *a = &n->attr[j];
            dv_buf_u16(b, a->key);
            dv_buf_u8(b, (uint8_t)a->is_float);
            dv_buf_u32(b, a->n);
            for (uint32_t k = 0; k < a->n; k++)
                if (a->is_float)
                    dv_buf_f32(b, a->v.f[k]);
                else
                    dv_buf_u64(b, (uint64_t)a->v.i[k]);
        }
    }
    for (size_t i = 0; i < g->n_inputs; i++)
        dv_buf_u32(b, (uint32_t)g->inputs[i]);
    for (size_t i = 0; i < g->n_outputs; i++)
        dv_buf_u32(b, (uint32_t)g->outputs[i]);
}

static void put_at(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* The oldest format that can say it, so that older programs read what they can run. */
static uint8_t version_of(const dv_graph *g)
{
    uint8_t version = 1;
    for (size_t i = 0; i < g->n_tensors; i++) {
        dv_dtype t = g->tensors[i].dtype;
        version = DV_MAX(version, t == DV_F16 ? 3 : t == DV_U8 || t == DV_S8 ? 2 : 1);
    }
    return version;
}

dmv_status dv_dmv_encode(const dv_graph *g, const dv_meta *m, uint8_t **data, size_t *size,
                         dv_err *e)
{
    *data = NULL;
    dmv_status st = dv_graph_check(g, e);
    if (st)
        return st;
    dv_buf b = {0};
    static const uint8_t zero[HEADER];
    dv_buf_put(&b, zero, HEADER);
    put_meta(&b, m);
    dv_buf_align(&b, DV_ALIGN); /* or the padding that is hashed would depend on the metadata */
    size_t graph = b.size;
    put_graph(&b, g);
    dv_buf_align(&b, DV_ALIGN);
    size_t blob = b.size;
    for (size_t i = 0; i < g->n_tensors; i++)
        if (g->tensors[i].data) {
            dv_buf_put(&b, g->tensors[i].data, g->tensors[i].size);
            dv_buf_align(&b, DV_ALIGN);
        }
    uint8_t *copy = b.bad ? NULL : dv_alloc_aligned(b.size);
    if (!copy) {
        dv_buf_free(&b);
        return dv_nomem(e);
    }
    memcpy(copy, b.data, b.size);
    size_t total = b.size;
    dv_buf_free(&b);
    memcpy(copy, magic, sizeof magic);
    copy[8] = version_of(g);
    put_at(copy + 16, total);
    put_at(copy + 24, HEADER);
    put_at(copy + 32, graph);
    put_at(copy + 40, blob);
    dv_sha256 h;
    uint8_t id[32];
    dv_sha256_init(&h);
    dv_sha256_update(&h, copy + graph, total - graph);
    dv_sha256_final(&h, id);
    memcpy(copy + 48, id, 16);
    hash_file(copy, total, id);
    memcpy(copy + 64, id, 32);
    *data = copy;
    *size = total;
    return DMV_OK;
}

dmv_status dv_dmv_write(const char *path, const dv_graph *g, const dv_meta *m, dv_err *e)
{
    uint8_t *data;
    size_t size;
    dmv_status st = dv_dmv_encode(g, m, &data, &size, e);
    if (st)
        return st;
    st = dv_write_file(path, data, size, e);
    dv_free(data);
    return st;
}
