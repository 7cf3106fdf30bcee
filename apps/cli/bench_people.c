/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_people.c - who `domovoi bench pipeline` looks for: a gallery, or vectors that stand
 * for nobody.
 */
#include "bench.h"

#include <string.h>

#ifdef DV_HAVE_GALLERY

#include "gallery/gallery.h"

typedef struct adding {
    dmv_index *index;
    bool failed;
} adding;

static bool add_vector(void *user, const dv_template *t)
{
    adding *a = user;
    a->failed = dmv_index_add(a->index, (uint64_t)t->subject, t->vector) != DMV_OK;
    return !a->failed;
}

static bool load(bench_people *p, const cli_faces *f, size_t dim)
{
    dv_err e = {0};
    dv_gallery *g = NULL;
    adding a = {.index = p->index};
    const char *name = dmv_model_text(f->emb, "name");
    dv_gallery_model model = {dmv_model_id(f->emb), name && *name ? name : "unnamed", dim};
    bool ok = !dv_gallery_open(p->path, false, &model, &g, &e) &&
              !dv_gallery_subjects(g, &p->subjects, &p->n_subjects, &e) &&
              !dv_gallery_each(g, NULL, add_vector, &a, &e) && !a.failed;
    if (!ok)
        cli_error("%s", a.failed ? dmv_error(f->ctx) : e.msg);
    dv_gallery_close(&g);
    if (ok && dmv_index_size(p->index) == 0) {
        cli_error("%s: nobody is enrolled, so there is nothing to search; leave --gallery out",
                  p->path);
        ok = false;
    }
    return ok;
}

const char *bench_people_name(const bench_people *p, uint64_t id)
{
    for (size_t i = 0; i < p->n_subjects; i++)
        if (p->subjects[i].id == (int64_t)id)
            return p->subjects[i].name;
    return NULL;
}

void bench_people_close(bench_people *p)
{
    dmv_index_close(&p->index);
    dv_subjects_free(p->subjects, p->n_subjects);
    memset(p, 0, sizeof *p);
}

#else

static bool load(bench_people *p, const cli_faces *f, size_t dim)
{
    (void)f;
    (void)dim;
    cli_error("%s: this build has no galleries: SQLite or jansson was missing; leave --gallery "
              "out",
              p->path);
    return false;
}

const char *bench_people_name(const bench_people *p, uint64_t id)
{
    (void)p;
    (void)id;
    return NULL;
}

void bench_people_close(bench_people *p)
{
    dmv_index_close(&p->index);
    memset(p, 0, sizeof *p);
}

#endif

bool bench_people_open(bench_people *p, const char *path, size_t made_up, const cli_faces *f,
                       size_t dim, const cli_common *o)
{
    *p = (bench_people){.path = path};
    if (dmv_index_open(f->ctx, dim, &p->index)) {
        cli_error("%s", dmv_error(f->ctx));
        return false;
    }
    return path ? load(p, f, dim) : bench_fill(f->ctx, p->index, made_up, dim, o);
}
