/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_gallery.c - `domovoi gallery`: looking after a gallery. None of these needs a net:
 * a gallery knows which one it belongs to.
 */
#include "cli.h"

#ifndef DV_HAVE_GALLERY

int cli_gallery(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return cli_error("this build has no galleries: SQLite or jansson was missing");
}

#else

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gallery/gallery.h"

#define USE (CLI_USE_GALLERY | CLI_USE_OUT)

static int fail(const dv_err *e)
{
    return cli_error("%s", e->msg);
}

static bool open_it(const cli_common *o, dv_gallery **g, const char **path)
{
    dv_err e = {0};
    *path = cli_gallery_path(o, false);
    if (*path && dv_gallery_open(*path, false, NULL, g, &e))
        fail(&e);
    return *g != NULL;
}

static const char *when(int64_t seconds, char *buf, size_t size)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(buf, size, "?");
    return buf;
}

static int run_list(int argc, char **argv)
{
    cli_common o = {.use = USE};
    size_t n, count = 0;
    int done;
    if (!cli_parse(argc, argv, "domovoi gallery list [options]\n\nWho is enrolled.",
                   "  domovoi gallery list\n  domovoi gallery list --gallery door.db --json\n", &o,
                   NULL, 0, NULL, 0, &n, &done))
        return done;
    dv_gallery *g = NULL;
    const char *path;
    dv_err e = {0};
    dv_subject *s = NULL;
    char buf[32];
    if (!open_it(&o, &g, &path))
        return CLI_ERROR;
    int code = CLI_YES;
    if (dv_gallery_subjects(g, &s, &count, &e)) {
        code = fail(&e);
    } else {
        int64_t templates = 0;
        if (!o.json && !o.quiet && count)
            printf("%-32s %9s  %s\n", "name", "templates", "enrolled");
        for (size_t i = 0; i < count; i++) {
            templates += s[i].templates;
            when(s[i].created, buf, sizeof buf);
            if (o.json) {
                cli_json j = {.f = stdout};
                cli_js_open(&j, NULL, '{');
                cli_js_text(&j, "name", s[i].name);
                cli_js_int(&j, "templates", s[i].templates);
                cli_js_text(&j, "created", buf);
                cli_js_close(&j, '}');
                cli_js_line(&j);
            } else {
                int w = cli_put_text(s[i].name);
                printf("%*s %9lld  %s\n", w < 32 ? 32 - w : 0, "", (long long)s[i].templates, buf);
            }
        }
        if (!o.json && !o.quiet)
            printf("%zu %s, %lld templates; model %s (%.8s), %zu numbers a template\n", count,
                   count == 1 ? "person" : "people", (long long)templates, dv_gallery_model_name(g),
                   dv_gallery_model_id(g), dv_gallery_dim(g));
    }
    dv_subjects_free(s, count);
    dv_gallery_close(&g);
    return code;
}

typedef struct show_state {
    const cli_common *o;
    size_t n;
} show_state;

static bool show_one(void *user, const dv_template *t)
{
    show_state *s = user;
    char buf[32];
    when(t->created, buf, sizeof buf);
    if (s->o->json) {
        cli_json j = {.f = stdout};
        cli_js_open(&j, NULL, '{');
        cli_js_text(&j, "name", t->subject_name);
        cli_js_int(&j, "template", t->id);
        cli_js_text(&j, "source", t->source);
        cli_js_fixed(&j, "quality", t->quality, 4);
        cli_js_bool(&j, "crop", t->crop != NULL);
        cli_js_text(&j, "created", buf);
        cli_js_close(&j, '}');
        cli_js_line(&j);
    } else {
        if (s->n == 0 && !s->o->quiet)
            printf("template quality crop  %-20s  source\n", "enrolled");
        printf("%8lld %7.2f %-4s  %s  ", (long long)t->id, t->quality, t->crop ? "yes" : "no", buf);
        cli_put_text(t->source ? t->source : "");
        printf("\n");
    }
    s->n++;
    return !ferror(stdout);
}

static int run_show(int argc, char **argv)
{
    cli_common o = {.use = USE};
    const char *pos[1];
    size_t n;
    int done;
    if (!cli_parse(argc, argv,
                   "domovoi gallery show [options] NAME\n\nThe templates of one person.",
                   "  domovoi gallery show Anna\n", &o, NULL, 0, pos, 1, &n, &done))
        return done;
    if (n != 1)
        return cli_error("whom? The form is: domovoi gallery show NAME");
    dv_gallery *g = NULL;
    const char *path;
    dv_err e = {0};
    if (!open_it(&o, &g, &path))
        return CLI_ERROR;
    show_state s = {&o, 0};
    int code = dv_gallery_each(g, pos[0], show_one, &s, &e) ? fail(&e) : CLI_YES;
    dv_gallery_close(&g);
    return code;
}

static int run_rename(int argc, char **argv)
{
    cli_common o = {.use = USE};
    const char *pos[2];
    int merge = 0, done;
    size_t n;
    cli_option own[] = {
        {"merge", NULL, "if NEW is there already, give it the templates of OLD", CLI_FLAG, &merge}};
    if (!cli_parse(argc, argv, "domovoi gallery rename [options] OLD NEW",
                   "  domovoi gallery rename Ana Anna\n"
                   "  domovoi gallery rename --merge \"Anna 2\" Anna\n",
                   &o, own, 1, pos, 2, &n, &done))
        return done;
    if (n != 2)
        return cli_error("two names are needed: domovoi gallery rename OLD NEW");
    dv_gallery *g = NULL;
    const char *path;
    dv_err e = {0};
    if (!open_it(&o, &g, &path))
        return CLI_ERROR;
    int code = CLI_YES;
    if (dv_gallery_rename(g, pos[0], pos[1], merge, &e)) {
        code = fail(&e);
        if (e.code == DMV_ERR_ARGUMENT && !merge)
            cli_warn("--merge joins two people");
    }
    dv_gallery_close(&g);
    return code;
}

static int run_remove(int argc, char **argv)
{
    cli_common o = {.use = USE};
    const char **pos = (const char **)argv;
    size_t n;
    int done;
    if (!cli_parse(argc, argv,
                   "domovoi gallery remove [options] NAME...\n\n"
                   "Deletes people and overwrites what was stored of them.",
                   "  domovoi gallery remove Anna\n", &o, NULL, 0, pos, (size_t)argc, &n, &done))
        return done;
    if (n == 0)
        return cli_error("whom? The form is: domovoi gallery remove NAME...");
    dv_gallery *g = NULL;
    const char *path;
    if (!open_it(&o, &g, &path))
        return CLI_ERROR;
    int code = CLI_YES;
    for (size_t i = 0; i < n; i++) {
        dv_err e = {0};
        if (dv_gallery_remove(g, pos[i], &e)) {
            code = fail(&e);
        } else if (!o.quiet && !o.json) {
            printf("removed ");
            cli_put_text(pos[i]);
            printf("\n");
        }
    }
    dv_gallery_close(&g);
    return code;
}

/* export, backup: one file name. */
static int to_file(int argc, char **argv, const char *usage, const char *examples,
                   dmv_status (*fn)(dv_gallery *, const char *, dv_err *), const char *word)
{
    cli_common o = {.use = USE};
    const char *pos[1], *path;
    size_t n;
    int done;
    if (!cli_parse(argc, argv, usage, examples, &o, NULL, 0, pos, 1, &n, &done))
        return done;
    if (n != 1)
        return cli_error("no file given; `domovoi %s --help` shows the form", cli_verb_name);
    dv_gallery *g = NULL;
    dv_err e = {0};
    if (!open_it(&o, &g, &path))
        return CLI_ERROR;
    int code = fn(g, pos[0], &e) ? fail(&e) : CLI_YES;
    if (code == CLI_YES && !o.quiet && !o.json) {
        printf("%s ", word);
        cli_put_text(path);
        printf(" to ");
        cli_put_text(pos[0]);
        printf("\n");
    }
    dv_gallery_close(&g);
    return code;
}

static int run_export(int argc, char **argv)
{
    return to_file(argc, argv,
                   "domovoi gallery export [options] FILE\n\n"
                   "Writes all templates as JSON lines, for another device or for reading.",
                   "  domovoi gallery export people.jsonl\n", dv_gallery_export, "exported");
}

static int run_backup(int argc, char **argv)
{
    return to_file(argc, argv,
                   "domovoi gallery backup [options] FILE\n\n"
                   "Copies the gallery while it may be in use. FILE is a gallery too.",
                   "  domovoi gallery backup door-backup.db\n", dv_gallery_backup, "backed up");
}

/* Of an exported file: which model its vectors belong to. For importing into a new gallery;
 * the import itself checks the rest. */
static bool read_header(const char *path, json_t **header, dv_gallery_model *m)
{
    char line[8192];
    FILE *f = fopen(path, "re");
    json_error_t je;
    if (!f) {
        cli_error("%s: cannot open: %s", path, strerror(errno));
        return false;
    }
    bool got = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    *header = got ? json_loads(line, JSON_REJECT_DUPLICATES, &je) : NULL;
    m->id = json_string_value(json_object_get(*header, "model_id"));
    m->name = json_string_value(json_object_get(*header, "model_name"));
    json_int_t dim = json_integer_value(json_object_get(*header, "dim"));
    m->dim = dim > 0 ? (size_t)dim : 0;
    if (m->id && m->name && m->dim)
        return true;
    cli_error("%s: not an exported gallery; `domovoi gallery export` makes them", path);
    json_decref(*header);
    *header = NULL;
    return false;
}

static void remove_new(const char *path)
{
    char buf[4200];
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < DV_COUNT(ends); i++) {
        int n = snprintf(buf, sizeof buf, "%s%s", path, ends[i]);
        if (n > 0 && (size_t)n < sizeof buf)
            unlink(buf);
    }
}

static int run_import(int argc, char **argv)
{
    cli_common o = {.use = USE};
    const char *pos[1];
    size_t n, added = 0;
    int done;
    if (!cli_parse(argc, argv,
                   "domovoi gallery import [options] FILE\n\n"
                   "Adds the templates of an exported file: all of them or, if one is bad, none. "
                   "The\ngallery is made if it is not there.",
                   "  domovoi gallery import people.jsonl --gallery new.db\n", &o, NULL, 0, pos, 1,
                   &n, &done))
        return done;
    if (n != 1)
        return cli_error("no file given; the form is: domovoi gallery import FILE");
    const char *path = cli_gallery_path(&o, true);
    dv_gallery *g = NULL;
    dv_gallery_model model;
    json_t *header = NULL;
    dv_err e = {0};
    if (!path)
        return CLI_ERROR;
    bool fresh = access(path, F_OK) != 0;
    if (fresh && !read_header(pos[0], &header, &model))
        return CLI_ERROR;
    int code = CLI_YES;
    if (dv_gallery_open(path, fresh, fresh ? &model : NULL, &g, &e) ||
        dv_gallery_import(g, pos[0], &added, &e))
        code = fail(&e);
    else if (!o.quiet && !o.json)
        printf("%zu templates added\n", added);
    bool made = fresh && g;
    dv_gallery_close(&g);
    if (made && code != CLI_YES)
        remove_new(path);
    json_decref(header);
    return code;
}

static int run_restore(int argc, char **argv)
{
    cli_common o = {.use = USE};
    const char *pos[1];
    size_t n;
    int done;
    if (!cli_parse(argc, argv,
                   "domovoi gallery restore [options] BACKUP\n\n"
                   "Checks a backup and puts it in the place of the gallery.",
                   "  domovoi gallery restore door-backup.db --gallery door.db\n", &o, NULL, 0, pos,
                   1, &n, &done))
        return done;
    if (n != 1)
        return cli_error("no file given; the form is: domovoi gallery restore BACKUP");
    const char *path = cli_gallery_path(&o, true);
    dv_err e = {0};
    if (!path)
        return CLI_ERROR;
    if (dv_gallery_restore(path, pos[0], &e))
        return fail(&e);
    if (!o.quiet && !o.json) {
        cli_put_text(path);
        printf(" restored from ");
        cli_put_text(pos[0]);
        printf("\n");
    }
    return CLI_YES;
}

static int run_verify(int argc, char **argv)
{
    cli_common o = {.use = USE};
    const char *path;
    size_t n;
    int done;
    if (!cli_parse(argc, argv,
                   "domovoi gallery verify [options]\n\n"
                   "Checks every page and every template. Exit status: 0 sound, 2 not.",
                   "  domovoi gallery verify --gallery door.db\n", &o, NULL, 0, NULL, 0, &n, &done))
        return done;
    dv_gallery *g = NULL;
    dv_err e = {0};
    if (!open_it(&o, &g, &path))
        return CLI_ERROR;
    int code = dv_gallery_verify(g, &e) ? fail(&e) : CLI_YES;
    if (code == CLI_YES && !o.quiet && !o.json) {
        cli_put_text(path);
        printf(": sound\n");
    }
    dv_gallery_close(&g);
    return code;
}

int cli_gallery(int argc, char **argv)
{
    static const cli_verb subs[] = {
        {"list", "who is enrolled", run_list},
        {"show", "the templates of one person", run_show},
        {"rename", "rename a person, or merge two", run_rename},
        {"remove", "delete people", run_remove},
        {"export", "write JSON lines", run_export},
        {"import", "add from JSON lines", run_import},
        {"backup", "copy to another file", run_backup},
        {"restore", "put a backup in place", run_restore},
        {"verify", "check the file", run_verify},
    };
    return cli_subverb(argc, argv, subs, DV_COUNT(subs),
                       "domovoi gallery WORD [--gallery FILE] ...");
}

#endif
