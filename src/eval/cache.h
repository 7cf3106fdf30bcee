/* SPDX-License-Identifier: Apache-2.0
 *
 * cache.h - embeddings kept from one evaluation to the next: one file a model id.
 *
 *   offset  size
 *        0     8  magic "DVEMBED\n"
 *        8     4  version, 1
 *       12     4  numbers a vector
 *       16    32  model id, hexadecimal
 *       48    16  zero
 *       64        records of one size: 32 bytes key, u32 what (DV_CACHED_*), u32 zero,
 *                 the vector (zeros if there is none), 8 bytes of SHA-256 of all before
 *
 * The key is SHA-256 of what the vector depends on beside the model: the picture's bytes and the
 * words of dv_cache_key. A record that is damaged counts as not there; so does a last record that
 * is cut short, which the next writer removes. Writers lock the file and add whole records in one
 * write. A file that is something else altogether is replaced. Vectors of faces are personal:
 * the file can be read by its owner only.
 *
 *     dv_cache *c;  uint8_t key[32];
 *     if (dv_cache_open(folder, dmv_model_id(m), dim, &c, &e)) ...
 *     dv_cache_key(bytes, size, "aligned mirror", key);
 *     if (dv_cache_get(c, key, vector) == DV_CACHED_NOTHING) { ...; dv_cache_put(c, key, vector); }
 *     dv_cache_close(&c, &e);
 */
#ifndef DV_EVAL_CACHE_H
#define DV_EVAL_CACHE_H

#include "base/base.h"

enum { DV_CACHED_NOTHING = 0, DV_CACHED_VECTOR = 1, DV_CACHED_NO_FACE = 2 };

typedef struct dv_cache dv_cache;

/* FOLDER/ID.embed; the folder must be there. Nothing is written before the first flush. */
dmv_status dv_cache_open(const char *folder, const char *model_id, size_t dim, dv_cache **out,
                         dv_err *e);
/* Flushes. Accepts a pointer to NULL. */
dmv_status dv_cache_close(dv_cache **c, dv_err *e);

void dv_cache_key(const void *picture, size_t size, const char *words, uint8_t key[32]);

/* Both may be called by several threads at once. out: dim floats, written for
 * DV_CACHED_VECTOR. vector NULL: there is no face. Put keeps the record in memory until a flush;
 * records that find no memory are dropped. Vectors that are not finite are never kept. */
int dv_cache_get(dv_cache *c, const uint8_t key[32], float *out);
void dv_cache_put(dv_cache *c, const uint8_t key[32], const float *vector);
/* Writes what was put. On failure the file is as it was and the records are gone. */
dmv_status dv_cache_flush(dv_cache *c, dv_err *e);

size_t dv_cache_size(const dv_cache *c);    /* distinct keys in the file when it was opened */
size_t dv_cache_damaged(const dv_cache *c); /* records that turned out damaged so far */

#endif
