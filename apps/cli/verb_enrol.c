/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_enrol.c - `domovoi enrol`: people from folders of pictures into a gallery. One
 * subject at a time, each in one transaction, so that what the table says is on disk.
 */
#include "cli.h"

#ifndef DV_HAVE_GALLERY

int cli_enrol(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return cli_error("this build has no galleries: SQLite or jansson was missing");
}

#else

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gallery/gallery.h"

#define SAME_VECTOR 0.99999f /* the same pixels again; two photos never get here */
#define LOW_QUALITY 0.35f
#define MAX_REASON 128
#define CROP_QUALITY 92

typedef struct item {
    char *name; /* of the subject; NULL = none could be told */
    const char *path;
} item;

typedef struct refusal {
    const char *path;
    char reason[MAX_REASON];
} refusal;

typedef struct work {
    cli_common o;
    cli_faces f;
    dv_gallery *g;
    size_t dim;
    int largest, crops;
    cli_progress bar;
    size_t done;
    /* of the subject in hand */
    dv_template *t;
    size_t n, cap;
    refusal *refused;
    size_t n_refused, cap_refused;
    float *known; /* vectors that the gallery has of this subject */
    size_t n_known, cap_known;
    size_t already;
    bool no_memory;
    /* totals */
    size_t people, templates, pictures_refused;
    bool failed;
} work;

/* ---- who is in a picture: people/NAME/... ---- */

/* True if the folder holds pictures in subfolders (all rels of one argument). */
static bool has_deeper(const cli_inputs *in)
{
    for (size_t i = 0; i < in->n; i++)
        if (strchr(in->v[i].rel, '/'))
            return true;
    return false;
}

static char *folder_name(const char *path)
{
    char *real = realpath(path, NULL); /* so that "." and "people/Anna/" have a name */
    char *name = real ? dv_strdup(cli_base_name(real)) : NULL;
    free(real);
    return name;
}

static int by_name(const void *a, const void *b)
{
    const item *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : strcmp(x->path, y->path);
}

/* Fills items from the inputs of one argument. Prints what is wrong with a picture's place. */
static bool name_items(const cli_inputs *in, const char *arg, const char *name, item *items,
                       size_t *n, bool *failed)
{
    bool deeper = has_deeper(in);
    for (size_t i = 0; i < in->n; i++) {
        const char *rel = in->v[i].rel, *slash = strchr(rel, '/');
        item it = {NULL, in->v[i].path};
        if (name) {
            it.name = dv_strdup(name);
        } else if (!in->folder) {
            cli_error("%s: whose picture is it? Give --name NAME, or a folder people/NAME/",
                      it.path);
            *failed = true;
            continue;
        } else if (slash) {
            it.name = dv_malloc((size_t)(slash - rel) + 1);
            if (it.name) {
                memcpy(it.name, rel, (size_t)(slash - rel));
                it.name[slash - rel] = 0;
            }
        } else if (deeper) {
            cli_error("%s: lies beside the people's folders; move it into one of them", it.path);
            *failed = true;
            continue;
        } else {
            it.name = folder_name(arg);
        }
        if (!it.name) {
            cli_error("out of memory");
            return false;
        }
        items[(*n)++] = it;
    }
    return true;
}

/* ---- one picture ---- */

static void refuse(work *w, const char *path, const char *reason)
{
    w->pictures_refused++;
    if (!dv_grow(&w->refused, &w->cap_refused, w->n_refused, sizeof *w->refused)) {
        w->no_memory = true;
        return;
    }
    refusal *r = &w->refused[w->n_refused++];
    r->path = path;
    snprintf(r->reason, sizeof r->reason, "%s", reason);
}

static bool is_known(const work *w, const float *v)
{
    for (size_t i = 0; i < w->n_known; i++)
        if (dmv_similarity(w->known + i * w->dim, v, w->dim) > SAME_VECTOR)
            return true;
    for (size_t i = 0; i < w->n; i++)
        if (dmv_similarity(w->t[i].vector, v, w->dim) > SAME_VECTOR)
            return true;
    return false;
}

static bool make_crop(const dv_picture *pic, const dmv_face *face, uint8_t **data, size_t *size)
{
    static uint8_t rgb[DMV_ALIGNED_SIZE * DMV_ALIGNED_SIZE * 3];
    dmv_image view = dv_picture_view(pic);
    dv_picture crop = {rgb, DMV_ALIGNED_SIZE, DMV_ALIGNED_SIZE};
    dv_err e = {0};
    if (dmv_align(&view, face->landmarks, rgb) ||
        dv_image_encode_jpeg(&crop, CROP_QUALITY, data, size, &e)) {
        cli_error("cannot store the crop: %s", e.code ? e.msg : "the face cannot be aligned");
        return false;
    }
    return true;
}

static void add_template(work *w, const char *path, const dv_picture *pic, const dmv_face *face)
{
    uint8_t *crop = NULL;
    size_t crop_size = 0;
    if (w->crops && !make_crop(pic, face, &crop, &crop_size)) {
        refuse(w, path, "its crop cannot be stored");
        return;
    }
    float *v = dv_calloc(w->dim, sizeof *v);
    if (!v || !dv_grow(&w->t, &w->cap, w->n, sizeof *w->t)) {
        dv_free(v);
        dv_free(crop);
        w->no_memory = true;
        return;
    }
    memcpy(v, w->f.embedding, w->dim * sizeof *v);
    w->t[w->n++] = (dv_template){.vector = v,
                                 .source = path,
                                 .quality = face->quality < 0 ? 0 : face->quality,
                                 .crop = crop,
                                 .crop_size = crop_size};
}

static void one_picture(work *w, const char *path)
{
    dv_picture pic;
    char reason[MAX_REASON];
    if (!cli_load(path, &pic)) {
        w->failed = true;
        refuse(w, path, "cannot be read");
        return;
    }
    if (!cli_faces_find(&w->f, path, &pic)) {
        w->failed = true;
        refuse(w, path, "detection failed");
    } else if (w->f.n_faces == 0) {
        refuse(w, path, "no face found");
        cli_error("%s: refused: no face found", path);
    } else if (w->f.n_faces > 1 && !w->largest) {
        snprintf(reason, sizeof reason, "%zu faces", w->f.n_faces);
        refuse(w, path, reason);
        cli_error("%s: refused: %zu faces; crop it, or take the largest with --largest", path,
                  w->f.n_faces);
    } else {
        const dmv_face *face = &w->f.faces[cli_best_face(w->f.faces, w->f.n_faces)];
        if (!cli_faces_embed(&w->f, path, &pic, face)) {
            w->failed = true;
            refuse(w, path, "embedding failed");
        } else if (is_known(w, w->f.embedding)) {
            w->already++;
        } else {
            if (face->quality >= 0 && face->quality < LOW_QUALITY)
                cli_warn("%s: poor quality (%.2f); a larger, sharper, frontal face is better", path,
                         face->quality);
            add_template(w, path, &pic, face);
        }
    }
    dv_picture_free(&pic);
}

/* ---- one subject ---- */

static bool keep_known(void *user, const dv_template *t)
{
    work *w = user;
    if (w->n_known == w->cap_known) {
        size_t cap = w->cap_known ? w->cap_known * 2 : 8;
        float *p = dv_realloc(w->known, cap * w->dim * sizeof *p);
        if (!p) {
            w->no_memory = true;
            return false;
        }
        w->known = p;
        w->cap_known = cap;
    }
    memcpy(w->known + w->n_known++ * w->dim, t->vector, w->dim * sizeof(float));
    return true;
}

static void forget(work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        dv_wipe((void *)w->t[i].vector, w->dim * sizeof(float));
        dv_free((void *)w->t[i].vector);
        dv_free((void *)w->t[i].crop);
    }
    w->n = w->n_refused = w->n_known = w->already = 0;
}

static void report(work *w, const char *name, size_t pictures)
{
    double quality = NAN;
    if (w->n) {
        quality = 0;
        for (size_t i = 0; i < w->n; i++)
            quality += w->t[i].quality;
        quality /= (double)w->n;
    }
    cli_progress_hide();
    if (w->o.json) {
        cli_json j = {.f = stdout};
        cli_js_open(&j, NULL, '{');
        cli_js_text(&j, "subject", name);
        cli_js_int(&j, "pictures", (long long)pictures);
        cli_js_int(&j, "enrolled", (long long)w->n);
        cli_js_int(&j, "already", (long long)w->already);
        cli_js_fixed(&j, "quality", quality, 4);
        cli_js_open(&j, "refused", '[');
        for (size_t i = 0; i < w->n_refused; i++) {
            cli_js_open(&j, NULL, '{');
            cli_js_text(&j, "image", w->refused[i].path);
            cli_js_text(&j, "reason", w->refused[i].reason);
            cli_js_close(&j, '}');
        }
        cli_js_close(&j, ']');
        cli_js_close(&j, '}');
        cli_js_line(&j);
    } else if (!w->o.quiet) {
        if (w->people == 0)
            printf("%-24s %8s %8s %8s %8s %8s\n", "name", "pictures", "enrolled", "already",
                   "refused", "quality");
        int n = cli_put_text(name);
        printf("%*s %8zu %8zu %8zu %8zu ", n < 24 ? 24 - n : 0, "", pictures, w->n, w->already,
               w->n_refused);
        printf(w->n ? "%8.2f\n" : "       -\n", quality);
    }
    fflush(stdout); /* acknowledged now, not when the buffer is full */
    w->people++;
}

/* The pictures of one subject: items[0..n). */
static bool one_subject(work *w, const item *items, size_t n)
{
    dv_err e = {0};
    const char *name = items[0].name;
    dmv_status s = dv_gallery_each(w->g, name, keep_known, w, &e);
    if (s && s != DMV_ERR_NOT_FOUND && !w->no_memory) {
        cli_error("%s", e.msg);
        w->failed = true;
        return s != DMV_ERR_IO && s != DMV_ERR_FORMAT;
    }
    for (size_t i = 0; i < n && !w->no_memory; i++) {
        one_picture(w, items[i].path);
        cli_progress_update(&w->bar, ++w->done);
    }
    bool ok = !w->no_memory;
    if (!ok) {
        cli_error("out of memory");
    } else if (w->n && dv_gallery_add(w->g, name, w->t, w->n, NULL, &e)) {
        cli_error("%s", e.msg);
        w->failed = true;
        ok = e.code == DMV_ERR_ARGUMENT; /* a bad name; the next one may do */
    } else {
        w->templates += w->n;
        report(w, name, n);
    }
    forget(w);
    return ok;
}

static bool collect(const char *const *pos, size_t n, const char *name, cli_inputs *ins,
                    item **items, size_t *n_items, bool *failed)
{
    size_t cap = 0;
    for (size_t a = 0; a < n; a++) {
        if (!cli_inputs_expand(&ins[a], pos + a, 1))
            return false;
        *failed |= ins[a].failed;
        cap += ins[a].n;
    }
    *items = dv_calloc(cap + 1, sizeof **items);
    if (!*items) {
        cli_error("out of memory");
        return false;
    }
    for (size_t a = 0; a < n; a++)
        if (!name_items(&ins[a], pos[a], name, *items, n_items, failed))
            return false;
    if (*n_items)
        qsort(*items, *n_items, sizeof **items, by_name);
    return true;
}

static void enrol_all(work *w, const item *items, size_t n, const char *path)
{
    dv_err e = {0};
    const char *name = dmv_model_text(w->f.emb, "name");
    dv_gallery_model model = {dmv_model_id(w->f.emb), name && *name ? name : "unnamed", w->dim};
    if (dv_gallery_open(path, true, &model, &w->g, &e)) {
        cli_error("%s", e.msg);
        w->failed = true;
        return;
    }
    cli_progress_start(&w->bar, "enrol", n, &w->o);
    for (size_t i = 0, j; i < n && !ferror(stdout); i = j) {
        for (j = i + 1; j < n && strcmp(items[j].name, items[i].name) == 0;)
            j++;
        if (!one_subject(w, items + i, j - i)) {
            w->failed = true;
            break;
        }
    }
    cli_progress_end(&w->bar);
    if (!w->o.json) {
        printf("%zu template%s added to ", w->templates, w->templates == 1 ? "" : "s");
        cli_put_text(path);
        if (w->pictures_refused)
            printf(", %zu picture%s refused", w->pictures_refused,
                   w->pictures_refused == 1 ? "" : "s");
        printf("\n");
    }
    dv_gallery_close(&w->g);
}

int cli_enrol(int argc, char **argv)
{
    work w = {.o.use = CLI_USE_OUT | CLI_USE_CPU | CLI_USE_DETECT | CLI_USE_MODEL | CLI_USE_MIRROR |
                       CLI_USE_GALLERY};
    const char *name = NULL;
    const char **pos = (const char **)argv;
    size_t n, n_items = 0;
    int done;
    cli_option own[] = {
        {"name", "NAME", "all pictures show this person", CLI_TEXT, &name},
        {"largest", NULL, "of several faces take the one with the largest score x width", CLI_FLAG,
         &w.largest},
        {"crops", NULL, "store the aligned faces too, for enrolling again with another net",
         CLI_FLAG, &w.crops},
    };
    if (!cli_parse(argc, argv,
                   "domovoi enrol [options] PEOPLE/\n"
                   "       domovoi enrol [options] --name NAME PICTURE|FOLDER...\n\n"
                   "Puts people into a gallery. PEOPLE/ holds a folder for each: "
                   "PEOPLE/NAME/*.jpg.\nPictures without a face, or with several, are refused. A "
                   "person in the table is\non disk. Enrolling the same picture again changes "
                   "nothing.",
                   "  domovoi enrol people/\n"
                   "  domovoi enrol --name \"Anna\" a.jpg b.jpg\n"
                   "  domovoi enrol --gallery door.db --crops people/\n",
                   &w.o, own, DV_COUNT(own), pos, (size_t)argc, &n, &done))
        return done;
    if (n == 0)
        return cli_error("no pictures given; the form is: domovoi enrol PEOPLE/");
    cli_inputs *ins = dv_calloc(n, sizeof *ins);
    item *items = NULL;
    const char *path = NULL;
    if (!ins)
        return cli_error("out of memory");
    bool ok = collect(pos, n, name, ins, &items, &n_items, &w.failed);
    ok = ok && n_items && (path = cli_gallery_path(&w.o, true)) &&
         cli_faces_open(&w.f, &w.o, CLI_WANT_DETECTOR | CLI_WANT_EMBEDDER);
    if (ok) {
        w.dim = dmv_pipeline_dim(w.f.pipe);
        enrol_all(&w, items, n_items, path);
        cli_faces_close(&w.f);
    }
    for (size_t i = 0; i < n_items; i++)
        dv_free(items[i].name);
    dv_free(items);
    for (size_t i = 0; i < n; i++)
        cli_inputs_free(&ins[i]);
    dv_free(ins);
    dv_free(w.t);
    dv_free(w.refused);
    dv_free(w.known);
    return ok && !w.failed && w.pictures_refused == 0 ? CLI_YES : CLI_ERROR;
}

#endif
