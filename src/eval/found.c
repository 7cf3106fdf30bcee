/* SPDX-License-Identifier: Apache-2.0
 *
 * found.c - detections from files, for truth that was read before: pictures and classes must be
 * among the truth's, so that a list of another data set is noticed and not scored as misses.
 */
#include "eval/truth_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct taker {
    const dv_truth *t;
    const char *cls; /* leave rows of this class only */
    char first_class[128];
    bool classes; /* rows name classes */
    dv_boxes *out;
} taker;

/* The class of a row, by the word in its column (NULL: none). *skip: another class was asked for.
 * Returns what is wrong, or NULL. */
static const char *take_class(taker *k, const char *word, uint32_t *cls, bool *skip)
{
    bool named = k->t->classes[0][0] != 0;
    *skip = false;
    *cls = 0;
    if (!word)
        return named && k->t->n_classes > 1
                   ? "the row has no class and the truth has several; choose one with --class"
                   : NULL;
    if (!named) {
        if (k->cls) {
            *skip = strcmp(word, k->cls) != 0;
            return NULL;
        }
        if (!k->classes)
            snprintf(k->first_class, sizeof k->first_class, "%s", word);
        k->classes = true;
        return strcmp(word, k->first_class) && strlen(word) < sizeof k->first_class
                   ? "rows of different classes and truth without any; choose one with --class"
                   : NULL;
    }
    if (dv_truth_class(k->t, word, cls))
        return NULL;
    *skip = k->cls != NULL;
    return *skip ? NULL : "no class of the truth";
}

static bool copy_field(dv_field f, char *buf, size_t size)
{
    if (f.n >= size)
        return false;
    memcpy(buf, f.p, f.n);
    buf[f.n] = 0;
    return true;
}

static dmv_status row(taker *k, const dv_lines *l, const dv_field *f, size_t n)
{
    dv_box b = {0};
    char text[DV_TRUTH_MAX_NAME + 1];
    bool mot = n == 10, skip;
    bool cls = n == 7 || n == 17;
    const dv_field *score = &f[mot ? 6 : 5];
    if (!copy_field(f[0], text, sizeof text) || !dv_truth_image(k->t, text, &b.image))
        return dv_lines_bad(l,
                            k->t->images ? "the truth has no picture %.*s"
                                         : "the frame is not a whole number from 0 up: %.*s",
                            (int)DV_MIN(f[0].n, (size_t)80), f[0].p);
    dmv_status s = dv_lines_box(l, f + (mot ? 2 : 1), &b);
    if (s)
        return s;
    if (!dv_field_number(*score, &b.score))
        return dv_lines_bad(l, "the score is not a finite number: %.*s",
                            (int)DV_MIN(score->n, (size_t)40), score->p);
    if (n >= 16 && (s = dv_lines_points(l, f + (cls ? 7 : 6), &b)))
        return s;
    if (cls && (f[6].n == 0 || !copy_field(f[6], text, sizeof text)))
        return dv_lines_bad(l, "the class is empty or too long");
    const char *fault = take_class(k, cls ? text : NULL, &b.cls, &skip);
    if (fault)
        return dv_lines_bad(l, "%s%s%s", cls ? text : "", cls ? ": " : "", fault);
    if (!skip && !dv_boxes_add(k->out, &b))
        return dv_nomem(l->e);
    return DMV_OK;
}

static dmv_status parse_rows(taker *k, dv_lines *l)
{
    size_t columns = 0;
    dv_field f[DV_TRUTH_MAX_FIELDS + 1];
    while (dv_lines_next(l)) {
        double v;
        size_t n = dv_lines_split(l, f);
        bool fits = n == 6 || n == 7 || n == 10 || n == 16 || n == 17;
        if (l->p[0] == '#')
            continue;
        if (!columns && fits && !dv_field_number(f[1], &v) && !dv_field_number(f[2], &v))
            continue; /* a heading */
        if (!columns && !fits)
            return dv_lines_bad(l,
                                "%zu columns; expected frame,x,y,w,h,score and maybe a class and "
                                "five points, or MOT's ten",
                                n);
        if (columns && n != columns)
            return dv_lines_bad(l, "%zu columns where the first row has %zu; is the file cut?", n,
                                columns);
        columns = n;
        dmv_status s = row(k, l, f, n);
        if (s)
            return s;
    }
    return DMV_OK;
}

/* ---- COCO's results ---- */

static bool result(taker *k, dv_json *j)
{
    char key[64], text[32];
    int64_t image = 0, category = 0;
    bool has_image = false, has_category = false, has_box = false, has_score = false, skip;
    double v[15];
    dv_box b = {0};
    if (!dv_json_open(j, '{'))
        return false;
    while (dv_json_member(j, key)) {
        bool box = !strcmp(key, "bbox"), points = !strcmp(key, "keypoints");
        if (!strcmp(key, "image_id")) {
            has_image = dv_json_id(j, &image);
        } else if (!strcmp(key, "category_id")) {
            has_category = dv_json_id(j, &category);
        } else if (!strcmp(key, "score")) {
            has_score = dv_json_number(j, &b.score);
        } else if (box || points) {
            size_t n = 0;
            if (!dv_json_open(j, '['))
                return false;
            while (dv_json_element(j)) {
                double x;
                if (dv_json_number(j, &x) && n < 15)
                    v[n] = x;
                n++;
            }
            if (j->status)
                return false;
            const char *fault = !box     ? NULL
                                : n != 4 ? "it must have four numbers: x, y, w, h"
                                         : dv_box_fault(v[0], v[1], v[2], v[3]);
            if (fault)
                return dv_json_bad(j, "bbox: %s", fault), false;
            if (box) {
                b.x = v[0];
                b.y = v[1];
                b.w = v[2];
                b.h = v[3];
                has_box = true;
            } else if (n == 15) {
                for (int i = 0; i < 10; i++)
                    b.points[i / 2][i % 2] = (float)v[i / 2 * 3 + i % 2];
                b.flags |= DV_BOX_POINTS;
            }
        } else {
            dv_json_skip(j);
        }
    }
    if (j->status)
        return false;
    if (!has_image || !has_category || !has_box || !has_score)
        return dv_json_bad(j, "a result without \"%s\"",
                           !has_image      ? "image_id"
                           : !has_category ? "category_id"
                           : !has_box      ? "bbox"
                                           : "score"),
               false;
    snprintf(text, sizeof text, "%lld", (long long)image);
    if (!dv_truth_image(k->t, text, &b.image))
        return dv_json_bad(j, "the truth has no image %s", text), false;
    snprintf(text, sizeof text, "%lld", (long long)category);
    const char *fault = take_class(k, text, &b.cls, &skip);
    if (fault)
        return dv_json_bad(j, "category %s: %s", text, fault), false;
    if (!skip && !dv_boxes_add(k->out, &b)) {
        j->status = dv_nomem(j->e);
        return false;
    }
    return true;
}

dmv_status dv_found_parse(const char *text, size_t size, const char *name, const dv_truth *t,
                          const char *cls, dv_boxes *out, dv_err *e)
{
    taker k = {.t = t, .cls = cls, .out = out};
    dmv_status s;
    memset(out, 0, sizeof *out);
    if (memchr(text, 0, size))
        return dv_fail(e, DMV_ERR_FORMAT, "%s: not a text file", name);
    dv_json j = {.p = text, .end = text + size, .path = name, .line = 1, .e = e};
    if (dv_json_peek(&j) == '[') {
        dv_json_open(&j, '[');
        while (dv_json_element(&j) && result(&k, &j))
            ;
        dv_json_end(&j);
        s = j.status;
    } else {
        dv_lines l = {.path = name, .text = text, .size = size, .e = e};
        s = parse_rows(&k, &l);
    }
    if (s)
        dv_boxes_free(out);
    return s;
}

dmv_status dv_found_load(const char *path, const dv_truth *t, const char *cls, dv_boxes *out,
                         dv_err *e)
{
    uint8_t *data = NULL;
    size_t size = 0;
    memset(out, 0, sizeof *out);
    dmv_status s = dv_read_file(path, DV_TRUTH_MAX_FILE, &data, &size, e);
    if (!s)
        s = dv_found_parse((const char *)data, size, path, t, cls, out, e);
    dv_free(data);
    return s;
}

/* ---- WIDER's folder ---- */

static dmv_status wider_file(dv_lines *l, uint32_t image, dv_boxes *out)
{
    dv_field f[DV_TRUTH_MAX_FIELDS + 1];
    uint32_t count;
    if (!dv_lines_next(l))
        return dv_fail(l->e, DMV_ERR_FORMAT, "%s: empty; expected a name and a number", l->path);
    if (!dv_lines_next(l) || !dv_field_count((dv_field){l->p, l->n}, &count))
        return dv_lines_bad(l, "expected the number of boxes after the name");
    for (uint32_t i = 0; i < count; i++) {
        dv_box b = {.image = image};
        if (!dv_lines_next(l))
            return dv_lines_bad(l, "the file ends after %u of %u boxes", i, count);
        size_t n = dv_lines_split(l, f);
        if (n != 5)
            return dv_lines_bad(l, "%zu columns; expected x y w h score", n);
        dmv_status s = dv_lines_box(l, f, &b);
        if (s)
            return s;
        if (!dv_field_number(f[4], &b.score))
            return dv_lines_bad(l, "the score is not a finite number: %.*s",
                                (int)DV_MIN(f[4].n, (size_t)40), f[4].p);
        if (!dv_boxes_add(out, &b))
            return dv_nomem(l->e);
    }
    return dv_lines_next(l) ? dv_lines_bad(l, "more rows than the %u stated", count) : DMV_OK;
}

dmv_status dv_found_folder(const char *folder, const dv_truth *t, dv_boxes *out, size_t *missing,
                           char first[1024], dv_err *e)
{
    dmv_status s = DMV_OK;
    memset(out, 0, sizeof *out);
    *missing = 0;
    if (!t->images)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "%s: a folder of boxes goes with truth that names its pictures", folder);
    if (t->n_classes != 1)
        return dv_fail(e, DMV_ERR_ARGUMENT,
                       "%s: boxes without classes, and the truth has several;"
                       " choose one with --class",
                       folder);
    for (size_t i = 0; i < t->n_images && !s; i++) {
        const char *name = t->images[i], *dot = strrchr(name, '.'), *slash = strrchr(name, '/');
        size_t stem = dot && (!slash || dot > slash) ? (size_t)(dot - name) : strlen(name);
        size_t room = strlen(folder) + stem + 6, size = 0;
        char *path = dv_malloc(room);
        uint8_t *data = NULL;
        if (!path) {
            s = dv_nomem(e);
            break;
        }
        snprintf(path, room, "%s/%.*s.txt", folder, (int)stem, name);
        FILE *there = fopen(path, "re");
        if (!there) {
            if (!(*missing)++)
                snprintf(first, 1024, "%s", path);
        } else {
            fclose(there);
            s = dv_read_file(path, DV_TRUTH_MAX_FILE, &data, &size, e);
        }
        if (!s && data) {
            dv_lines l = {.path = path, .text = (const char *)data, .size = size, .e = e};
            s = memchr(data, 0, size) ? dv_fail(e, DMV_ERR_FORMAT, "%s: not a text file", path)
                                      : wider_file(&l, (uint32_t)i, out);
        }
        dv_free(data);
        dv_free(path);
    }
    if (s)
        dv_boxes_free(out);
    return s;
}
