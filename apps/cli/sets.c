/* SPDX-License-Identifier: Apache-2.0
 *
 * sets.c - from what the command line names to vectors with subjects.
 */
#include "sets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN 10

bool cli_source_given(const cli_source *s)
{
    return s->dir || s->list || s->features;
}

static bool no_memory(void)
{
    return cli_error("out of memory"), false;
}

static bool open_folder(cli_set *s, const cli_source *from, dv_names *names)
{
    dv_err e = {0};
    dv_paths list = {0};
    bool ok = true;
    if (dv_image_list(from->dir, &list, &e))
        return cli_error("%s", e.msg), false;
    for (size_t i = 0; i < list.n && ok; i++) {
        uint32_t subject = DV_NO_NAME;
        const char *rel = list.v[i] + strlen(from->dir);
        while (*rel == '/')
            rel++;
        const char *slash = strchr(rel, '/');
        if (!slash && !from->anybody) {
            cli_error("%s: lies in no person's folder; %s is to have one folder a person",
                      list.v[i], from->dir);
            ok = false;
        } else if (!from->anybody && !dv_names_add(names, rel, (size_t)(slash - rel), &subject)) {
            ok = no_memory();
        } else if (dv_people_push(&s->people, subject, list.v[i], &e)) {
            cli_error("%s", e.msg);
            ok = false;
        }
    }
    dv_paths_free(&list);
    return ok;
}

/* Paths as they are opened: below images, with the suffix. */
static bool make_paths(cli_set *s, const cli_source *from)
{
    s->path = dv_calloc(DV_MAX(s->people.n, (size_t)1), sizeof *s->path);
    s->state = dv_calloc(DV_MAX(s->people.n, (size_t)1), 1);
    if (!s->path || !s->state)
        return no_memory();
    for (size_t i = 0; i < s->people.n; i++) {
        const char *name = s->people.path[i], *below = from->dir ? NULL : from->images;
        if (!name || from->features)
            continue;
        const char *suffix = from->dir || !from->suffix ? "" : from->suffix;
        if (name[0] == '/')
            below = NULL;
        size_t size = strlen(name) + strlen(suffix) + (below ? strlen(below) + 1 : 0) + 1;
        s->path[i] = dv_malloc(size);
        if (!s->path[i])
            return no_memory();
        snprintf(s->path[i], size, "%s%s%s%s", below ? below : "", below ? "/" : "", name, suffix);
    }
    return true;
}

static bool open_matrix(cli_set *s, const cli_source *from)
{
    dv_err e = {0};
    if (dv_features_load(from->features, &s->file, &e))
        return cli_error("%s", e.msg), false;
    if (from->list) {
        if (s->people.n == s->file.n)
            return true;
        cli_error("%s has %zu vectors, %s has %zu lines; line i is to name the subject of row i",
                  from->features, s->file.n, from->list, s->people.n);
        return false;
    }
    if (!from->anybody) {
        cli_error("%s: whose vectors are these? A list with one line (the subject) for each row "
                  "is needed beside it",
                  from->features);
        return false;
    }
    for (size_t i = 0; i < s->file.n; i++)
        if (dv_people_push(&s->people, DV_NO_NAME, NULL, &e))
            return cli_error("%s", e.msg), false;
    return true;
}

bool cli_set_open(cli_set *s, const cli_source *from, dv_names *names)
{
    dv_err e = {0};
    memset(s, 0, sizeof *s);
    s->what = from->what;
    if (from->dir && (from->list || from->features)) {
        cli_error("the %s: a folder, or a list and features, not both", from->what);
        return false;
    }
    if (from->dir && !open_folder(s, from, names))
        return false;
    dv_line_kind kind = from->anybody    ? DV_LINES_PATH
                        : from->features ? DV_LINES_SUBJECT
                                         : DV_LINES_BOTH;
    if (from->list && dv_people_load(from->list, kind, names, &s->people, &e))
        return cli_error("%s", e.msg), false;
    return (!from->features || open_matrix(s, from)) && make_paths(s, from);
}

bool cli_set_split(cli_set *s, size_t first, size_t strangers, size_t people, cli_set *rest)
{
    dv_err e = {0};
    size_t *seen = dv_calloc(people + 1, sizeof *seen), kept = 0;
    memset(rest, 0, sizeof *rest);
    rest->what = "probes";
    if (!seen)
        return no_memory();
    for (size_t i = 0; i < s->people.n; i++) {
        uint32_t who = s->people.subject[i];
        /* Stranger if the line of multiples of people / strangers takes a step here. */
        bool stranger = (who + 1) * strangers / people != who * strangers / people;
        if (!stranger && seen[who]++ < first) {
            s->people.subject[kept] = who;
            s->people.path[kept] = s->people.path[i];
            s->path[kept++] = s->path[i];
            continue;
        }
        if (dv_people_push(&rest->people, who, s->people.path[i], &e)) {
            dv_free(seen);
            for (; i < s->people.n; i++) /* whole again, so that it can be freed */
                s->people.path[kept] = s->people.path[i], s->path[kept++] = s->path[i];
            s->people.n = kept;
            return cli_error("%s", e.msg), false;
        }
        dv_free(s->people.path[i]);
        dv_free(s->path[i]);
        s->people.path[i] = s->path[i] = NULL;
    }
    for (size_t i = kept; i < s->people.n; i++)
        s->people.path[i] = s->path[i] = NULL;
    s->people.n = kept;
    dv_free(seen);
    cli_source whole = {.dir = ""}; /* paths are as they are */
    return make_paths(rest, &whole);
}

/* ---- feature files, one vector each ---- */

static bool load_files(cli_set *s, const cli_embed_job *job)
{
    size_t got = 0, shown = 0;
    cli_progress bar;
    bool ok = true;
    cli_progress_start(&bar, "read features", s->people.n, job->o);
    for (size_t i = 0; i < s->people.n && ok; i++) {
        dv_features f;
        dv_err e = {0};
        if (access(s->path[i], R_OK) != 0) {
            if (!job->allow_missing && shown++ < SHOWN)
                cli_error("%s: %s", s->path[i], strerror(errno));
            s->missing++;
            continue;
        }
        if (dv_features_load(s->path[i], &f, &e)) {
            cli_error("%s", e.msg);
            ok = false;
            break;
        }
        if (f.n != 1 || (s->dim && f.dim != s->dim)) {
            cli_error("%s: holds %zu vectors of %zu numbers; one vector of %zu is wanted, like in "
                      "the files before it",
                      s->path[i], f.n, f.dim, s->dim ? s->dim : f.dim);
            ok = false;
        }
        if (ok && !s->own) {
            size_t cells;
            s->dim = f.dim;
            s->own = dv_mul(s->people.n, f.dim, &cells) ? dv_calloc(cells, sizeof(float)) : NULL;
            ok = s->own || no_memory();
        }
        if (ok) {
            memcpy(s->own + got++ * s->dim, f.v, s->dim * sizeof(float));
            s->state[i] = CLI_PICTURE_VECTOR;
        }
        dv_features_free(&f);
        cli_progress_update(&bar, i + 1);
    }
    cli_progress_end(&bar);
    if (ok && s->missing && job->allow_missing)
        cli_warn("%zu of %zu files of the %s are missing", s->missing, s->people.n, s->what);
    if (ok && s->missing && !job->allow_missing) {
        cli_error("%zu of %zu files of the %s are missing; --allow-missing leaves them out",
                  s->missing, s->people.n, s->what);
        ok = false;
    }
    s->v = s->own;
    return ok;
}

static bool embed(cli_set *s, const cli_embed_job *job)
{
    cli_embed_job j = *job;
    s->pictures = true;
    j.names = s->path;
    j.n = s->people.n;
    j.remedy = "--images names the folder that the paths of a list are below; --allow-missing "
               "leaves them out";
    if (!cli_embed_pictures(&j, &s->emb))
        return false;
    size_t dim = s->emb.dim, n = 0;
    for (size_t i = 0; i < s->people.n; i++) {
        s->state[i] = s->emb.state[i];
        if (s->state[i] != CLI_PICTURE_VECTOR)
            continue;
        memmove(s->emb.vectors + n++ * dim, s->emb.vectors + i * dim, dim * sizeof(float));
    }
    s->v = s->emb.vectors;
    s->dim = dim;
    s->missing = s->emb.missing;
    s->faceless = s->emb.faceless;
    return true;
}

bool cli_set_fill(cli_set *s, const cli_embed_job *job)
{
    size_t vectors = 0, files = 0;
    if (s->people.n == 0)
        return cli_error("the list of %s is empty", s->what), false;
    for (size_t i = 0; i < s->people.n && !s->file.v; i++)
        files += dv_features_is_name(s->path[i]);
    if (files && files != s->people.n) {
        cli_error("the %s: %zu feature files and %zu pictures; they cannot be mixed", s->what,
                  files, s->people.n - files);
        return false;
    }
    if (s->file.v) {
        s->v = s->file.v;
        s->dim = s->file.dim;
        memset(s->state, CLI_PICTURE_VECTOR, s->people.n);
    } else if (!(files ? load_files(s, job) : embed(s, job))) {
        return false;
    }
    s->subject = dv_calloc(s->people.n, sizeof *s->subject);
    s->row = dv_calloc(s->people.n, sizeof *s->row);
    if (!s->subject || !s->row)
        return no_memory();
    for (size_t i = 0; i < s->people.n; i++) {
        if (s->state[i] != CLI_PICTURE_VECTOR)
            continue;
        s->subject[vectors] = s->people.subject[i];
        s->row[vectors++] = (uint32_t)i;
    }
    s->n = vectors;
    if (!s->n)
        return cli_error("not one of the %zu %s gave a vector", s->people.n,
                         s->pictures ? "pictures" : "files"),
               false;
    return true;
}

void cli_set_close(cli_set *s)
{
    for (size_t i = 0; s->path && i < s->people.n; i++)
        dv_free(s->path[i]);
    dv_free(s->path);
    dv_people_free(&s->people);
    dv_features_free(&s->file);
    cli_embedded_free(&s->emb);
    dv_free(s->own);
    dv_free(s->state);
    dv_free(s->subject);
    dv_free(s->row);
    memset(s, 0, sizeof *s);
}

const char *cli_set_name(const cli_set *s, size_t row, char buf[32])
{
    if (s->people.path[row])
        return s->people.path[row];
    snprintf(buf, 32, "row %zu", row + 1);
    return buf;
}

/* ---- small things ---- */

bool cli_parse_rates(const char *option, const char *s, double *out, size_t cap, size_t *n)
{
    const char *at = s;
    for (*n = 0;;) {
        char *end;
        double rate = strtod(at, &end);
        if (end == at || !(rate > 0 && rate <= 1) || *n == cap || (*end && *end != ','))
            return cli_error("--%s %s: up to %zu rates above 0 and up to 1, commas between", option,
                             s, cap),
                   false;
        out[(*n)++] = rate;
        if (!*end)
            return true;
        at = end + 1;
    }
}

bool cli_write_buf(const char *path, dv_buf *b)
{
    dv_err e = {0};
    bool ok = !b->bad;
    if (!ok) {
        cli_error("out of memory");
    } else if (dv_write_file(path, b->data, b->size, &e)) {
        cli_error("%s", e.msg);
        ok = false;
    }
    dv_buf_free(b);
    return ok;
}

void cli_put_cell(dv_buf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '|' || c == '\\')
            dv_buf_u8(b, '\\');
        dv_buf_u8(b, c < 0x20 || c == 0x7f ? '?' : c);
    }
}
