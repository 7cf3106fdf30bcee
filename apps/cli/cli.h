/* SPDX-License-Identifier: Apache-2.0
 *
 * cli.h - what the verbs of `domovoi` share. One file a verb (verb_*.c); a verb is an
 * entry of the table in main.c. Exit codes: 0 yes/done, 1 no, 2 error.
 *
 * options.c  command line and messages      inputs.c  pictures named on the command line
 * faces.c    nets, pipeline, thresholds     json.c    the JSON that goes to stdout
 * net.c      one bare net, for bench, plan  terminal.c  progress, end of output
 * embed_pictures.c  embeddings of a list of pictures, cached
 * detect_pictures.c  faces of a list of pictures
 */
#ifndef DV_CLI_H
#define DV_CLI_H

#include "image/image.h"

enum { CLI_YES = 0, CLI_NO = 1, CLI_ERROR = 2 };

typedef struct cli_verb {
    const char *name;
    const char *summary;               /* one line for `domovoi --help` */
    int (*run)(int argc, char **argv); /* argv[0] = the verb */
} cli_verb;

int cli_detect(int argc, char **argv);
int cli_align(int argc, char **argv);
int cli_embed(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_enrol(int argc, char **argv);
int cli_identify(int argc, char **argv);
int cli_gallery(int argc, char **argv);
int cli_model(int argc, char **argv);
int cli_quantize(int argc, char **argv); /* model quantize */
int cli_export(int argc, char **argv);   /* model export */
int cli_bench(int argc, char **argv);
int cli_motion(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_eval(int argc, char **argv);
int cli_video(int argc, char **argv);
int cli_train(int argc, char **argv);
int cli_calibrate(int argc, char **argv);
int cli_eval_verify(int argc, char **argv); /* eval verify */
int cli_eval_identify(int argc, char **argv);
int cli_eval_cross(int argc, char **argv);
int cli_eval_fairness(int argc, char **argv);
int cli_eval_detect(int argc, char **argv);   /* eval detect */
int cli_eval_compress(int argc, char **argv); /* eval compress */

/* "VERB" or "VERB SUBVERB", for messages. */
extern const char *cli_verb_name;

/* ---- command line ---- */

/* Which of the common options a verb takes. */
enum {
    CLI_USE_OUT = 1 << 0,       /* --json --quiet */
    CLI_USE_CPU = 1 << 1,       /* --threads --cpu */
    CLI_USE_DETECT = 1 << 2,    /* --detector --landmarks --min-score --max-side --scales */
    CLI_USE_MODEL = 1 << 3,     /* --model */
    CLI_USE_MIRROR = 1 << 4,    /* --mirror */
    CLI_USE_GALLERY = 1 << 5,   /* --gallery */
    CLI_USE_THRESHOLD = 1 << 6, /* --threshold --fmr */
    CLI_USE_DRAW = 1 << 7       /* --draw */
};

/* Options common to the verbs. Parsed by cli_parse together with the verb's own. */
typedef struct cli_common {
    unsigned use;             /* CLI_USE_*, set by the verb; the rest is filled in by cli_parse */
    int json, quiet, threads; /* threads 0 = not given */
    const char *cpu, *draw;
    const char *model, *detector, *landmarks; /* --model is the embedder (or the only net) */
    const char *gallery;
    float threshold; /* NAN = not given */
    double fmr;      /* 0 = not given; default 1e-4 or the lowest the model states */
    float min_score;
    bool min_score_given;
    int max_side, scales, mirror; /* 0 = not given */
} cli_common;

/* An option; kind tells how value is stored. A negative CLI_INT is refused. */
enum {
    CLI_FLAG /* int* = 1 */,
    CLI_INT /* int* */,
    CLI_REAL /* double* */,
    CLI_TEXT /* const char** */,
    CLI_TEXTS /* cli_texts*: may be given several times */
};
#define CLI_MAX_TEXTS 16
typedef struct cli_texts {
    const char *v[CLI_MAX_TEXTS];
    size_t n;
} cli_texts;
typedef struct cli_option {
    const char *name; /* without "--"; "output" is also -o */
    const char *arg;  /* what the help calls the value; NULL for flags */
    const char *help;
    int kind;
    void *value;
} cli_option;

/* Parses argv; positional arguments end in pos (cap given), which may be argv itself. Knows
 * --help (prints usage, the options and examples to stdout; *done = CLI_YES). Unknown options
 * give a message with the nearest known one. common NULL = none of the common options.
 * true = go on; false = return *done. */
bool cli_parse(int argc, char **argv, const char *usage, const char *examples, cli_common *common,
               const cli_option *own, size_t n_own, const char **pos, size_t cap, size_t *n_pos,
               int *done);
/* A verb with subverbs: runs the one that argv[1] names, or prints help. */
int cli_subverb(int argc, char **argv, const cli_verb *subs, size_t n, const char *usage);
/* The nearest of n words, or NULL if none is near. stride: bytes from one pointer to a word
 * to the next, so that tables of structs whose first member is the word can be searched. */
const char *cli_nearest(const char *word, const void *first, size_t n, size_t stride);
/* "WxH" or "N" (square), 1..32767 each. */
bool cli_parse_size(const char *s, int *w, int *h);
/* Comma-separated numbers; false if there are none, more than cap, or others. */
bool cli_parse_floats(const char *s, float *out, size_t cap, size_t *n);

/* "domovoi VERB: message" on stderr; returns CLI_ERROR. */
int cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "domovoi VERB: warning: message"; silent after --quiet. */
void cli_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Text from a file or a name to stdout; control characters become \xNN. Returns the number of
 * characters on the screen, as far as UTF-8 tells. */
int cli_put_text(const char *s);

/* ---- nets and faces ---- */

#define CLI_MAX_FACES 512

/* Context and pipeline from the common options and the default nets. */
typedef struct cli_faces {
    dmv_context *ctx;
    dmv_model *det, *lmk, *emb;
    dmv_pipeline *pipe;
    dmv_face *faces; /* CLI_MAX_FACES, filled in by cli_faces_find */
    size_t n_faces;
    float *embedding; /* dmv_pipeline_dim floats; NULL without an embedder */
} cli_faces;
enum { CLI_WANT_DETECTOR = 1, CLI_WANT_EMBEDDER = 2 };
/* Prints the error itself; false = CLI_ERROR. */
bool cli_faces_open(cli_faces *f, const cli_common *o, int want);
void cli_faces_close(cli_faces *f);
/* Only the models, on ctx, and the options for pipelines. */
bool cli_models_open(cli_faces *f, const cli_common *o, int want);
void cli_pipeline_options(const cli_common *o, dmv_pipeline_options *p);
dmv_status cli_context_open(const cli_common *o, dmv_context **ctx); /* prints errors */
/* Detects in pic; prints errors with the path. */
bool cli_faces_find(cli_faces *f, const char *path, const dv_picture *pic);
/* The face with the largest score x width; n > 0. */
size_t cli_best_face(const dmv_face *faces, size_t n);
/* f->embedding of a face, or of an aligned picture (face NULL, 112 x 112). */
bool cli_faces_embed(cli_faces *f, const char *path, const dv_picture *pic, const dmv_face *face);

/* Path of a default net ("detect", "landmarks", "embed"): $DOMOVOI_MODELS, then models/
 * beside the program, then DATADIR/domovoi/models. NULL if it is not there. Static buffer per
 * name. cli_need_model prints a message that says how to get it. */
const char *cli_default_model(const char *which);
const char *cli_need_model(const char *given, const char *which, const char *option);
/* Threshold from --threshold, or the model's at --fmr; prints errors itself. fmr_out gets the
 * rate it stands for, or NAN. */
bool cli_threshold(const cli_common *o, const dmv_model *emb, float *thr, double *fmr_out);
/* --gallery, $DOMOVOI_GALLERY, or $XDG_DATA_HOME/domovoi/gallery.db; with make_folder the
 * default's folder is made. NULL and a message if there is no home. Static buffer. */
const char *cli_gallery_path(const cli_common *o, bool make_folder);

/* ---- one bare net ---- */

#define CLI_NET_INPUTS 8
struct dv_exec;
typedef struct cli_net {
    dmv_context *ctx;
    dmv_model *model;
    struct dv_exec *x;
    int64_t dims[CLI_NET_INPUTS][DMV_MAX_RANK];
} cli_net;
/* Opens and shapes; free dims become 1 (batch) and w x h (0 = the net's own, or 640). */
bool cli_net_open(cli_net *n, const cli_common *o, const char *path, int w, int h);
void cli_net_close(cli_net *n);

/* bench_peak.c: runs `rounds` x 12 independent multiply-add chains of the widest vectors that
 * `cpu` has; returns how many multiply-adds (of one float each) that were. */
double cli_peak_run(unsigned cpu, size_t rounds);

/* ---- embeddings of many pictures (embed_pictures.c) ---- */

enum { CLI_PICTURE_MISSING = 0, CLI_PICTURE_VECTOR = 1, CLI_PICTURE_NO_FACE = 2 };

typedef struct cli_embed_job {
    const cli_common *o; /* nets, --mirror, --threads, --cpu, --quiet, ... */
    const char *model;   /* the embedder; NULL: that of o, or the default net */
    char *const *names;  /* paths of n pictures */
    size_t n;
    const char *folder; /* names are below it; NULL: they are whole paths */
    /* Picture files in memory, one a name; names are for messages then. NULL: files on disk. */
    const struct cli_memory {
        const void *data;
        size_t size;
    } * memory;
    int aligned;        /* the pictures are faces of 112 x 112 */
    int allow_missing;  /* pictures that cannot be read are told and left out */
    int no_cache;       /* read and write no cache */
    const char *remedy; /* what to do if pictures are missing, or NULL */
    /* NULL, or what is done to every picture first, by several threads at once; words tell it
     * from other changes in the cache. */
    dmv_status (*change)(void *user, dv_picture *p, dv_err *e);
    void *change_user;
    const char *change_words;
} cli_embed_job;

typedef struct cli_embedded {
    size_t n, dim;
    float *vectors; /* n x dim, unit length; zeros where there is none */
    uint8_t *state; /* CLI_PICTURE_* of each */
    size_t missing, faceless, cached;
    double ms;      /* of a picture that was not cached, on one thread; NAN if all were */
    double seconds; /* in all */
    int threads;
    char name[128], id[33], cpu[80]; /* of the embedder; instruction sets */
} cli_embedded;

/* Embeds every picture once, in parallel, with a progress bar; with detection unless aligned: the
 * face with the largest score x width. Embeddings are kept in $DOMOVOI_CACHE/embeddings or
 * ${XDG_CACHE_HOME:-~/.cache}/domovoi/embeddings. Prints errors: missing pictures (also damaged
 * ones), which are an error unless allowed, wrong sizes, vectors that are not finite; warns of
 * pictures without a face. On false nothing is to be freed. */
bool cli_embed_pictures(const cli_embed_job *job, cli_embedded *out);
void cli_embedded_free(cli_embedded *m);

/* ---- faces of many pictures (detect_pictures.c) ---- */

struct dv_boxes;
typedef struct cli_detect_job {
    const cli_common *o;   /* nets, --min-score, --max-side, --scales, --threads, --cpu, --quiet */
    const char *detector;  /* NULL: that of o, or the default net */
    char *const *paths;    /* of n pictures */
    const uint32_t *image; /* what dv_box.image becomes, by picture */
    size_t n;
    int allow_missing;  /* pictures that cannot be read are told and left out */
    const char *remedy; /* what to do if pictures are missing */
} cli_detect_job;

typedef struct cli_detected {
    struct dv_boxes *boxes; /* class 0, in the order of the pictures, with points */
    uint8_t *missing;       /* by picture */
    size_t n_missing;
    int width, height; /* of all pictures; 0 if they differ */
    double ms;         /* a picture, on one thread, reading included */
    double seconds;
    int threads;
    char name[128], id[33], cpu[80]; /* of the detector; instruction sets */
} cli_detected;

/* Detects in every picture, in parallel, with a progress bar. Prints errors. On false nothing is
 * to be freed. */
bool cli_detect_pictures(const cli_detect_job *job, cli_detected *out);
void cli_detected_free(cli_detected *d);

/* What `eval verify` finds for an embedder on a list of pairs; prints errors. */
struct dv_verify_result;
bool cli_eval_pairs(const cli_common *o, const char *model, const char *images, const char *pairs,
                    int aligned, struct dv_verify_result *r);

/* ---- pictures named on the command line ---- */

typedef struct cli_inputs {
    struct cli_input {
        char *path;
        char *rel; /* below the folder that was named; the base name of a named file */
    } * v;
    size_t n, cap;
    bool folder; /* a folder was named */
    bool failed; /* something named is not there; the message is out */
} cli_inputs;
/* false = no memory (printed). */
bool cli_inputs_expand(cli_inputs *in, const char *const *args, size_t n);
void cli_inputs_free(cli_inputs *in);
/* dv_image_load; prints errors. */
bool cli_load(const char *path, dv_picture *pic);
const char *cli_base_name(const char *path);

/* Where pictures go: FILE for one, FOLDER/rel for several (a suffix keeps names apart). */
typedef struct cli_output {
    const char *dest;
    bool folder;
    char **used;
    size_t n, cap;
} cli_output;
/* Decides whether dest is a folder (it is one, ends in '/', has no picture ending, or there
 * are several pictures) and makes it. Prints errors. */
bool cli_output_open(cli_output *o, const char *dest, bool several);
void cli_output_close(cli_output *o);
/* The path for a picture (number k of its faces, 0 = the first); folders are made. NULL and a
 * message on failure; free with dv_free. ext: ".png". */
char *cli_output_path(cli_output *o, const char *rel, size_t k, const char *ext);
/* Saves and prints errors. */
bool cli_save(const char *path, const dv_picture *pic);
/* mkdir -p; prints errors. */
bool cli_make_folders(const char *path);

/* ---- JSON to stdout ---- */

typedef struct cli_json {
    FILE *f;
    unsigned depth;
    bool more[16]; /* something was written at this depth */
} cli_json;
/* key NULL: an array element (or the outermost value). */
void cli_js_open(cli_json *j, const char *key, char bracket);  /* '{' or '[' */
void cli_js_close(cli_json *j, char bracket);                  /* '}' or ']' */
void cli_js_text(cli_json *j, const char *key, const char *s); /* NULL = null */
void cli_js_int(cli_json *j, const char *key, long long v);
void cli_js_real(cli_json *j, const char *key, double v, int digits); /* NaN, inf = null */
void cli_js_fixed(cli_json *j, const char *key, double v, int decimals);
void cli_js_bool(cli_json *j, const char *key, bool v);
void cli_js_floats(cli_json *j, const char *key, const float *v, size_t n);
void cli_js_line(cli_json *j); /* end of the object's line */
/* "box", "score", "landmarks", "quality" of a face, inside an open object. */
void cli_js_face(cli_json *j, const dmv_face *face);
/* {"image":..,"width":..,"height":..,KEY:[ : left open for the faces. */
void cli_js_picture(cli_json *j, const char *path, const char *key, const dv_picture *pic);
void cli_js_picture_end(cli_json *j);

/* ---- terminal ---- */

/* Progress on stderr, only on a terminal, only after two seconds, with time left. */
typedef struct cli_progress {
    const char *what;
    size_t total;
    uint64_t start, last;
    int shown;
} cli_progress;
void cli_progress_start(cli_progress *p, const char *what, size_t total, const cli_common *o);
void cli_progress_update(cli_progress *p, size_t done);
void cli_progress_end(cli_progress *p);
/* Wipes a progress line so that a message can be printed. */
void cli_progress_hide(void);

/* Flushes stdout; a failed write (full disk, closed pipe) becomes CLI_ERROR. */
int cli_finish(int code);

#endif
