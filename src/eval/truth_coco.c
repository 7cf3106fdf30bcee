/* SPDX-License-Identifier: Apache-2.0
 *
 * truth_coco.c - COCO's annotations: of images id and file_name, of categories id and name, of
 * annotations image_id, category_id, bbox, area, iscrowd and, if there are five, keypoints.
 * Annotations may stand before what they refer to, so ids are looked up at the end.
 */
#include "eval/truth_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct named { /* an image or a category */
    int64_t id;
    char *name;
    size_t line;
} named;

typedef struct name_list {
    named *v;
    size_t n, cap;
} name_list;

typedef struct note { /* an annotation beside its box */
    int64_t image, category;
    size_t line;
} note;

typedef struct loader {
    dv_json j;
    dv_truth *out;
    name_list images, categories;
    note *notes; /* one a box */
    size_t cap_notes;
} loader;

static bool numbers(dv_json *j, double *v, size_t want, size_t *got)
{
    *got = 0;
    if (!dv_json_open(j, '['))
        return false;
    while (dv_json_element(j)) {
        double x;
        if (!dv_json_number(j, &x))
            return false;
        if (*got < want)
            v[*got] = x;
        ++*got;
    }
    return !j->status;
}

/* A number, true or false. */
static bool truthy(dv_json *j, bool *v)
{
    double d;
    char c = dv_json_peek(j);
    if (c == 't' || c == 'f') {
        *v = c == 't';
        return dv_json_skip(j);
    }
    if (!dv_json_number(j, &d))
        return false;
    *v = d != 0;
    return true;
}

static bool take_named(loader *l, name_list *list, const char *name_key)
{
    char key[64], name[DV_TRUTH_MAX_NAME + 1] = "";
    named item = {0};
    bool has_id = false;
    dv_json *j = &l->j;
    if (!dv_json_open(j, '{'))
        return false;
    item.line = j->line;
    while (dv_json_member(j, key)) {
        if (!strcmp(key, "id"))
            has_id = dv_json_id(j, &item.id);
        else if (!strcmp(key, name_key))
            dv_json_string(j, name, sizeof name);
        else
            dv_json_skip(j);
    }
    if (j->status)
        return false;
    if (!has_id)
        return dv_json_bad(j, "no \"id\""), false;
    if (!name[0])
        return dv_json_bad(j, "no \"%s\"", name_key), false;
    item.name = dv_strdup(name);
    if (!item.name || !dv_grow(&list->v, &list->cap, list->n, sizeof *list->v)) {
        dv_free(item.name);
        j->status = dv_nomem(j->e);
        return false;
    }
    list->v[list->n++] = item;
    return true;
}

static void take_points(const double *v, size_t n, dv_box *b)
{
    if (n != 15)
        return;
    for (int i = 0; i < 5; i++) {
        if (!(v[i * 3 + 2] > 0))
            return;
        b->points[i][0] = (float)v[i * 3];
        b->points[i][1] = (float)v[i * 3 + 1];
    }
    b->flags |= DV_BOX_POINTS;
}

static bool take_annotation(loader *l)
{
    char key[64];
    dv_box b = {0};
    note n = {0};
    bool image = false, category = false, box = false, crowd = false;
    double v[15];
    size_t count;
    dv_json *j = &l->j;
    if (!dv_json_open(j, '{'))
        return false;
    n.line = j->line;
    while (dv_json_member(j, key)) {
        if (!strcmp(key, "image_id")) {
            image = dv_json_id(j, &n.image);
        } else if (!strcmp(key, "category_id")) {
            category = dv_json_id(j, &n.category);
        } else if (!strcmp(key, "bbox")) {
            box = numbers(j, v, 4, &count);
            if (box && count != 4)
                return dv_json_bad(j, "a bbox of %zu numbers; it has four: x, y, w, h", count),
                       false;
            const char *fault = box ? dv_box_fault(v[0], v[1], v[2], v[3]) : NULL;
            if (fault)
                return dv_json_bad(j, "bbox: %s", fault), false;
            if (box) {
                b.x = v[0];
                b.y = v[1];
                b.w = v[2];
                b.h = v[3];
            }
        } else if (!strcmp(key, "area")) {
            if (dv_json_number(j, &b.area) && b.area < 0)
                dv_json_bad(j, "a negative area");
        } else if (!strcmp(key, "iscrowd")) {
            if (truthy(j, &crowd) && crowd)
                b.flags |= DV_BOX_CROWD;
        } else if (!strcmp(key, "keypoints")) {
            if (numbers(j, v, 15, &count))
                take_points(v, count, &b);
        } else {
            dv_json_skip(j);
        }
    }
    if (j->status)
        return false;
    if (!image || !category || !box)
        return dv_json_bad(j, "an annotation without \"%s\"",
                           !image      ? "image_id"
                           : !category ? "category_id"
                                       : "bbox"),
               false;
    if (!dv_grow(&l->notes, &l->cap_notes, l->out->boxes.n, sizeof n) ||
        !dv_boxes_add(&l->out->boxes, &b)) {
        j->status = dv_nomem(j->e);
        return false;
    }
    l->notes[l->out->boxes.n - 1] = n;
    return true;
}

static dmv_status bad_line(const loader *l, size_t line, const char *what, int64_t id)
{
    return dv_fail(l->j.e, DMV_ERR_FORMAT, "%s: line %zu: %s %lld", l->j.path, line, what,
                   (long long)id);
}

static int by_id(const void *pa, const void *pb)
{
    const named *a = pa, *b = pb;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

/* Sorts by id and hands the names over. */
static dmv_status settle(loader *l, name_list *list, const char *what, char ***names, int64_t **ids,
                         size_t *n)
{
    if (list->n)
        qsort(list->v, list->n, sizeof *list->v, by_id);
    for (size_t i = 1; i < list->n; i++)
        if (list->v[i].id == list->v[i - 1].id)
            return bad_line(l, list->v[i].line, what, list->v[i].id);
    *names = dv_calloc(list->n ? list->n : 1, sizeof **names);
    *ids = dv_calloc(list->n ? list->n : 1, sizeof **ids);
    if (!*names || !*ids)
        return dv_nomem(l->j.e);
    for (size_t i = 0; i < list->n; i++) {
        (*names)[i] = list->v[i].name;
        (*ids)[i] = list->v[i].id;
    }
    *n = list->n;
    list->n = 0; /* the names are the truth's now */
    return DMV_OK;
}

static bool find_id(const int64_t *ids, size_t n, int64_t id, uint32_t *at)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (ids[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    *at = (uint32_t)lo;
    return lo < n && ids[lo] == id;
}

static dmv_status resolve(loader *l)
{
    dv_truth *t = l->out;
    dmv_status s =
        settle(l, &l->images, "a second image with id", &t->images, &t->image_ids, &t->n_images);
    if (!s)
        s = settle(l, &l->categories, "a second category with id", &t->classes, &t->class_ids,
                   &t->n_classes);
    if (s)
        return s;
    if (!t->n_images || !t->n_classes)
        return dv_fail(l->j.e, DMV_ERR_FORMAT, "%s: no \"%s\" in it", l->j.path,
                       t->n_images ? "categories" : "images");
    for (size_t i = 0; i < t->n_images; i++) {
        const char *fault = dv_name_fault(t->images[i], strlen(t->images[i]));
        if (fault)
            return dv_fail(l->j.e, DMV_ERR_FORMAT, "%s: image %lld: %s", l->j.path,
                           (long long)t->image_ids[i], fault);
    }
    for (size_t i = 0; i < t->boxes.n; i++) {
        const note *n = &l->notes[i];
        dv_box *b = &t->boxes.v[i];
        if (!find_id(t->image_ids, t->n_images, n->image, &b->image))
            return bad_line(l, n->line, "an annotation of an image that is not there:", n->image);
        if (!find_id(t->class_ids, t->n_classes, n->category, &b->cls))
            return bad_line(l, n->line,
                            "an annotation of a category that is not there:", n->category);
    }
    return DMV_OK;
}

static void free_list(name_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        dv_free(list->v[i].name);
    dv_free(list->v);
}

dmv_status dv_truth_parse_coco(const char *text, size_t size, const char *name, dv_truth *out,
                               dv_err *e)
{
    char key[64];
    loader l = {.out = out, .j = {.p = text, .end = text + size, .path = name, .line = 1, .e = e}};
    dv_json *j = &l.j;
    dv_json_open(j, '{');
    while (dv_json_member(j, key)) {
        bool images = !strcmp(key, "images"), categories = !strcmp(key, "categories");
        if (images || categories || !strcmp(key, "annotations")) {
            if (!dv_json_open(j, '['))
                break;
            while (dv_json_element(j))
                if (!(images       ? take_named(&l, &l.images, "file_name")
                      : categories ? take_named(&l, &l.categories, "name")
                                   : take_annotation(&l)))
                    break;
        } else {
            dv_json_skip(j);
        }
    }
    dmv_status s = j->status;
    if (!s && !dv_json_end(j))
        s = j->status;
    if (!s)
        s = resolve(&l);
    const char *twice = NULL;
    if (!s)
        s = dv_truth_index(out, &twice, e);
    if (!s && twice)
        s = dv_fail(e, DMV_ERR_FORMAT, "%s: two images with file_name %s", name, twice);
    free_list(&l.images);
    free_list(&l.categories);
    dv_free(l.notes);
    return s;
}
