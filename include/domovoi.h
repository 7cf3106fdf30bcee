/* SPDX-License-Identifier: Apache-2.0
 *
 * domovoi.h - the public interface of the Domovoi runtime library.
 *
 * The library takes pixels and gives faces, embeddings and names. It needs
 * libc only, never prints, never exits, and allocates nothing in the frame
 * path after the first call with a given picture size.
 *
 *     dmv_context *ctx;  dmv_pipeline *p;  dmv_face f[8];  size_t n;
 *     if (dmv_context_open(NULL, &ctx)) ...
 *     dmv_model_open(ctx, "detect.dmv", &det);      (see `domovoi model import`)
 *     dmv_model_open(ctx, "embed.dmv", &emb);
 *     dmv_pipeline_open(ctx, det, NULL, emb, NULL, &p);
 *     dmv_pipeline_detect(p, &image, f, 8, &n);
 *     dmv_pipeline_embed(p, &image, &f[0], vector);
 *     score = dmv_similarity(vector, other, dmv_pipeline_dim(p));
 *
 * Ownership: every dmv_X_open(.., &x) is undone by dmv_X_close(&x), which
 * accepts a pointer to NULL and sets the pointer to NULL. A model may be shared by any number of
 * contexts and threads; it must outlive what was opened on it. Everything
 * else belongs to one context, and a context is used by one thread at a time.
 * Strings and arrays returned by pointer belong to the object they came from.
 *
 * Errors: functions return a dmv_status; the words are in dmv_error(ctx).
 */
#ifndef DOMOVOI_H
#define DOMOVOI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(DMV_NO_EXPORT)
#define DMV_API __attribute__((visibility("default")))
#else
#define DMV_API
#endif

#define DMV_VERSION_MAJOR 0
#define DMV_VERSION_MINOR 1
#define DMV_VERSION_PATCH 0

/* "0.1.0" of the library that is linked (not of this header). */
DMV_API const char *dmv_version(void);

typedef enum dmv_status {
    DMV_OK = 0,
    DMV_ERR_MEMORY = 1,      /* an allocation failed */
    DMV_ERR_ARGUMENT = 2,    /* the caller passed something out of range */
    DMV_ERR_IO = 3,          /* a file cannot be opened, read or written */
    DMV_ERR_FORMAT = 4,      /* a file is not what it should be, or is damaged */
    DMV_ERR_UNSUPPORTED = 5, /* valid, but not something this build can do */
    DMV_ERR_VERSION = 6,     /* written by a newer version */
    DMV_ERR_MISMATCH = 7,    /* belongs to another model */
    DMV_ERR_LIMIT = 8,       /* larger than a stated limit */
    DMV_ERR_NOT_FOUND = 9    /* no such subject, tensor, key */
} dmv_status;

/* A few words for a status ("out of memory"); never NULL. */
DMV_API const char *dmv_status_string(dmv_status s);

/* ---- context ------------------------------------------------------------ */

typedef struct dmv_context dmv_context;

enum { DMV_LOG_ERROR = 0, DMV_LOG_WARNING = 1, DMV_LOG_INFO = 2, DMV_LOG_DEBUG = 3 };
typedef void (*dmv_log_fn)(void *user, int level, const char *message);

typedef struct dmv_options {
    size_t struct_size; /* set by dmv_options_init */
    int threads;        /* workers used by one call, 1..64; 0 = number of online CPUs */
    const char *cpu;    /* highest instruction set to use: "c", "avx2", "avx512", "neon",
                           ... ; NULL or "auto" = the best the machine has */
    dmv_log_fn log;     /* NULL = silent */
    void *log_user;
} dmv_options;

DMV_API void dmv_options_init(dmv_options *o);
/* o may be NULL for the defaults. On failure *out is NULL. */
DMV_API dmv_status dmv_context_open(const dmv_options *o, dmv_context **out);
DMV_API void dmv_context_close(dmv_context **ctx);
/* The message of the last failed call on ctx; "" if none; NULL ctx is allowed. */
DMV_API const char *dmv_error(const dmv_context *ctx);
/* Names of the instruction sets in use, e.g. "avx2 avx512". */
DMV_API const char *dmv_context_cpu(const dmv_context *ctx);
DMV_API int dmv_context_threads(const dmv_context *ctx);

/* ---- pictures ----------------------------------------------------------- */

typedef enum dmv_pixel_format {
    DMV_PIXEL_RGB8 = 0,
    DMV_PIXEL_BGR8 = 1,
    DMV_PIXEL_GRAY8 = 2,
    DMV_PIXEL_RGBA8 = 3 /* alpha is ignored */
} dmv_pixel_format;

/* A view of somebody's pixels: row y starts at pixels + y * stride. */
typedef struct dmv_image {
    const uint8_t *pixels;
    int width, height; /* 1 .. 32767 each */
    size_t stride;     /* bytes, >= width * channels */
    dmv_pixel_format format;
} dmv_image;

typedef struct dmv_face {
    float box[4];          /* x, y, width, height in pixels of the picture; may reach outside */
    float score;           /* detector confidence, 0..1 */
    float landmarks[5][2]; /* x, y: left eye, right eye (as seen in the picture), nose,
                              left and right corner of the mouth */
    int has_landmarks;
    float quality; /* 0..1, see dmv_face_quality; < 0 = not computed */
} dmv_face;

/* ---- models ------------------------------------------------------------- */

typedef struct dmv_model dmv_model;

typedef enum dmv_model_kind {
    DMV_KIND_OTHER = 0,
    DMV_KIND_DETECTOR = 1,
    DMV_KIND_EMBEDDER = 2,
    DMV_KIND_LANDMARKS = 3
} dmv_model_kind;

/* Maps a .dmv file. The whole file is checked before the call returns. */
DMV_API dmv_status dmv_model_open(dmv_context *ctx, const char *path, dmv_model **out);
/* The same from memory, which must be 64-byte aligned and stay valid and
 * unchanged until the model is closed. */
DMV_API dmv_status dmv_model_open_memory(dmv_context *ctx, const void *data, size_t size,
                                         dmv_model **out);
DMV_API void dmv_model_close(dmv_model **m);

DMV_API dmv_model_kind dmv_model_get_kind(const dmv_model *m);
/* 32 hexadecimal digits that depend on the graph and the weights only. */
DMV_API const char *dmv_model_id(const dmv_model *m);
/* Text properties: "name", "licence", "origin", "kind", "decoder", "color",
 * "landmark_order", ... NULL if the file has no such key. */
DMV_API const char *dmv_model_text(const dmv_model *m, const char *key);
/* Length of the embedding, 0 if the model is not an embedder. */
DMV_API size_t dmv_model_dim(const dmv_model *m);
/* Similarity threshold measured for this model at the stated false-match rate
 * (log-linear interpolation between stored points). DMV_ERR_NOT_FOUND if the
 * file states no threshold at or below that rate: nothing is extrapolated. */
DMV_API dmv_status dmv_model_threshold(const dmv_model *m, double fmr, float *threshold);

/* ---- running a net ------------------------------------------------------ */

typedef struct dmv_session dmv_session;

#define DMV_MAX_RANK 6

typedef struct dmv_tensor {
    const char *name;
    int rank;                   /* 0..DMV_MAX_RANK */
    int64_t dims[DMV_MAX_RANK]; /* pictures are N, C, H, W */
    const float *data;          /* row-major */
} dmv_tensor;

DMV_API dmv_status dmv_session_open(dmv_context *ctx, const dmv_model *m, dmv_session **out);
DMV_API void dmv_session_close(dmv_session **s);
DMV_API size_t dmv_session_inputs(const dmv_session *s);
DMV_API size_t dmv_session_outputs(const dmv_session *s);
/* Describes input i; a dimension of -1 is free. data is NULL. */
DMV_API dmv_status dmv_session_input_info(const dmv_session *s, size_t i, dmv_tensor *t);
/* Gives free dimensions a size. Only a new shape costs anything. */
DMV_API dmv_status dmv_session_reshape(dmv_session *s, size_t i, const int64_t *dims, int rank);
/* Copies input i in; data has the shape last set. */
DMV_API dmv_status dmv_session_set_input(dmv_session *s, size_t i, const float *data);
DMV_API dmv_status dmv_session_run(dmv_session *s);
/* After a run. t->data is valid until the next run, reshape or close. */
DMV_API dmv_status dmv_session_output(const dmv_session *s, size_t i, dmv_tensor *t);
/* Bytes of the activation arena for the present shapes. */
DMV_API size_t dmv_session_memory(const dmv_session *s);

/* ---- faces -------------------------------------------------------------- */

#define DMV_ALIGNED_SIZE 112

typedef struct dmv_pipeline dmv_pipeline;

typedef struct dmv_pipeline_options {
    size_t struct_size;    /* set by dmv_pipeline_options_init */
    float score_threshold; /* drop boxes below; default 0.6 */
    float nms_iou;         /* default 0.4 */
    int max_side;          /* dynamic detectors: the picture is scaled down to this longest
                              side; default 640 */
    int scales;            /* 1 = the picture once; n > 1 = n - 1 extra passes over
                              overlapping tiles, for small faces in large pictures */
    int mirror;            /* add the embedding of the mirrored face; default 0 */
    int quality;           /* compute dmv_face.quality; default 1 */
} dmv_pipeline_options;

DMV_API void dmv_pipeline_options_init(dmv_pipeline_options *o);
/* landmarks may be NULL if the detector finds five points itself; embedder may
 * be NULL if only detection is wanted; detector may be NULL if pictures are
 * already aligned. o may be NULL. */
DMV_API dmv_status dmv_pipeline_open(dmv_context *ctx, const dmv_model *detector,
                                     const dmv_model *landmarks, const dmv_model *embedder,
                                     const dmv_pipeline_options *o, dmv_pipeline **out);
DMV_API void dmv_pipeline_close(dmv_pipeline **p);
/* Finds faces, highest score first. At most cap are written; *n is how many
 * were written. No face is not an error. */
DMV_API dmv_status dmv_pipeline_detect(dmv_pipeline *p, const dmv_image *img, dmv_face *faces,
                                       size_t cap, size_t *n);
/* Aligns one face and writes its unit-length embedding, dmv_pipeline_dim floats. */
DMV_API dmv_status dmv_pipeline_embed(dmv_pipeline *p, const dmv_image *img, const dmv_face *face,
                                      float *embedding);
/* The same for a picture that is aligned already (DMV_ALIGNED_SIZE squared). */
DMV_API dmv_status dmv_pipeline_embed_aligned(dmv_pipeline *p, const dmv_image *aligned,
                                              float *embedding);
DMV_API size_t dmv_pipeline_dim(const dmv_pipeline *p);

/* Warps a face to DMV_ALIGNED_SIZE x DMV_ALIGNED_SIZE RGB8 (tightly packed,
 * 37,632 bytes) by the least-squares similarity transform (Umeyama 1991) from
 * five landmarks to the template that ArcFace made usual. */
DMV_API dmv_status dmv_align(const dmv_image *img, const float landmarks[5][2], uint8_t *rgb);

typedef struct dmv_quality {
    float size;      /* distance of the eyes against 48 pixels, clipped to 1 */
    float pose;      /* 1 = frontal, from the symmetry of the five points */
    float sharpness; /* variance of the Laplacian of the aligned face, squashed to 0..1 */
    float exposure;  /* share of grey levels that are neither crushed nor blown */
    float total;     /* geometric mean of the four */
} dmv_quality;
DMV_API dmv_status dmv_face_quality(const dmv_image *img, const dmv_face *face, dmv_quality *q);

/* Cosine similarity, -1..1, of two vectors of n floats (0 if one has no length). */
DMV_API float dmv_similarity(const float *a, const float *b, size_t n);

/* ---- exact 1:N search --------------------------------------------------- */

typedef struct dmv_index dmv_index;
typedef struct dmv_match {
    uint64_t id; /* as given to dmv_index_add */
    float score; /* cosine similarity */
} dmv_match;

/* A second, smaller copy of the vectors, which a search reads instead of most of the vectors
 * themselves. What it says is only used to leave out vectors that cannot be among the best: the
 * answers are the same, bit by bit. Worth its memory from some thousand vectors on. */
enum {
    DMV_INDEX_PLAIN = 0, /* none */
    DMV_INDEX_INT8 = 1,  /* a quarter of the size */
    DMV_INDEX_F16 = 2    /* half the size */
};
typedef struct dmv_index_options {
    size_t struct_size; /* set by dmv_index_options_init */
    int copy;           /* default DMV_INDEX_PLAIN */
} dmv_index_options;

DMV_API dmv_status dmv_index_open(dmv_context *ctx, size_t dim, dmv_index **out);
DMV_API void dmv_index_options_init(dmv_index_options *o);
/* o may be NULL for the defaults. */
DMV_API dmv_status dmv_index_open_options(dmv_context *ctx, size_t dim, const dmv_index_options *o,
                                          dmv_index **out);
DMV_API void dmv_index_close(dmv_index **x);
/* Copies a vector in (normalised on the way). Several vectors may share an id. */
DMV_API dmv_status dmv_index_add(dmv_index *x, uint64_t id, const float *vector);
/* Removes every vector of that id and wipes it; *removed may be NULL. An id that is not there
 * is DMV_ERR_NOT_FOUND. */
DMV_API dmv_status dmv_index_remove(dmv_index *x, uint64_t id, size_t *removed);
DMV_API size_t dmv_index_size(const dmv_index *x);
/* The k best distinct ids, best first; *n is how many were written. */
DMV_API dmv_status dmv_index_search(dmv_index *x, const float *probe, size_t k, dmv_match *out,
                                    size_t *n);

/* Which ids may be answered; where both are given, both must agree. */
typedef struct dmv_search_options {
    size_t struct_size; /* set by dmv_search_options_init */
    /* Nonzero = may be answered. Called from the workers, several at once, for the vectors that
     * are good enough; it must always say the same of an id. NULL = all. */
    int (*allow)(void *user, uint64_t id);
    void *allow_user;
    const uint64_t *ids; /* n_ids ids in ascending order, NULL = all */
    size_t n_ids;
} dmv_search_options;

DMV_API void dmv_search_options_init(dmv_search_options *o);
/* dmv_index_search for several probes, one after the other in `probes`, which share the reading of
 * the vectors. Probe p gets out[p * k ..] and n[p]. If one is no vector, none is searched for.
 * o may be NULL. */
DMV_API dmv_status dmv_index_search_batch(dmv_index *x, const float *probes, size_t n_probes,
                                          size_t k, const dmv_search_options *o, dmv_match *out,
                                          size_t *n);

#ifdef __cplusplus
}
#endif
#endif
