/* SPDX-License-Identifier: Apache-2.0
 *
 * truth.c - truth boxes from text files, and what all readers share: lines, fields, names.
 */
#include "eval/truth_priv.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const dv_truth_format_names[DV_TRUTH_FORMATS] = {"auto",  "mot",    "frames",
                                                             "wider", "points", "coco"};

/* ---- lines and fields ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

bool dv_lines_next(dv_lines *l)
{
    while (l->at < l->size) {
        const char *p = l->text + l->at, *nl = memchr(p, '\n', l->size - l->at);
        size_t n = nl ? (size_t)(nl - p) : l->size - l->at;
        l->at += n + (nl != NULL);
        l->line++;
        while (n && is_blank(*p)) {
            p++;
            n--;
        }
        while (n && is_blank(p[n - 1]))
            n--;
        if (n) {
            l->p = p;
            l->n = n;
            return true;
        }
    }
    return false;
}

dmv_status dv_lines_bad(const dv_lines *l, const char *fmt, ...)
{
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return dv_fail(l->e, DMV_ERR_FORMAT, "%s: line %zu: %s", l->path, l->line, what);
}

static dv_field trimmed(const char *p, size_t n)
{
    while (n && is_blank(*p)) {
        p++;
        n--;
    }
    while (n && is_blank(p[n - 1]))
        n--;
    return (dv_field){p, n};
}

size_t dv_lines_split(const dv_lines *l, dv_field f[DV_TRUTH_MAX_FIELDS + 1])
{
    size_t count = 0, i = 0;
    bool commas = memchr(l->p, ',', l->n) != NULL;
    while (count <= DV_TRUTH_MAX_FIELDS) {
        while (!commas && i < l->n && is_blank(l->p[i]))
            i++;
        size_t j = i;
        while (j < l->n && (commas ? l->p[j] != ',' : !is_blank(l->p[j])))
            j++;
        if (!commas && j == i)
            break;
        f[count++] = trimmed(l->p + i, j - i);
        if (j >= l->n)
            break;
        i = j + 1;
    }
    /* Some programs end each line with a comma. */
    if (commas && count > 1 && count <= DV_TRUTH_MAX_FIELDS && f[count - 1].n == 0)
        count--;
    return count;
}

bool dv_field_number(dv_field f, double *v)
{
    char *end;
    for (size_t i = 0; i < f.n; i++)
        if (!strchr("0123456789+-.eE", f.p[i]) || !f.p[i])
            return false;
    if (f.n == 0)
        return false;
    *v = strtod(f.p, &end);
    return end == f.p + f.n && isfinite(*v);
}

bool dv_field_count(dv_field f, uint32_t *v)
{
    double d; /* some programs write 1.0000000e+00 */
    if (!dv_field_number(f, &d) || !(d >= 0 && d <= DV_TRUTH_MAX_NUMBER) || d != floor(d))
        return false;
    *v = (uint32_t)d;
    return true;
}

const char *dv_box_fault(double x, double y, double w, double h)
{
    if (w < 0 || h < 0)
        return "a width or height below 0";
    if (fabs(x) > DV_TRUTH_MAX_PIXEL || fabs(y) > DV_TRUTH_MAX_PIXEL || w > DV_TRUTH_MAX_PIXEL ||
        h > DV_TRUTH_MAX_PIXEL)
        return "a coordinate beyond 10,000,000 pixels";
    return NULL;
}

dmv_status dv_lines_box(const dv_lines *l, const dv_field *f, dv_box *b)
{
    static const char *const names[] = {"x", "y", "width", "height"};
    double v[4];
    for (int i = 0; i < 4; i++)
        if (!dv_field_number(f[i], &v[i]))
            return dv_lines_bad(l, "%s is not a finite number: %.*s", names[i],
                                (int)DV_MIN(f[i].n, (size_t)40), f[i].p);
    const char *fault = dv_box_fault(v[0], v[1], v[2], v[3]);
    if (fault)
        return dv_lines_bad(l, "%s", fault);
    b->x = v[0];
    b->y = v[1];
    b->w = v[2];
    b->h = v[3];
    return DMV_OK;
}

dmv_status dv_lines_points(const dv_lines *l, const dv_field *f, dv_box *b)
{
    for (int i = 0; i < 10; i++) {
        double v;
        if (!dv_field_number(f[i], &v) || fabs(v) > DV_TRUTH_MAX_PIXEL)
            return dv_lines_bad(l, "point %d is not two numbers in pixels: %.*s", i / 2 + 1,
                                (int)DV_MIN(f[i].n, (size_t)40), f[i].p);
        b->points[i / 2][i % 2] = (float)v;
    }
    b->flags |= DV_BOX_POINTS;
    return DMV_OK;
}

const char *dv_name_fault(const char *p, size_t n)
{
    if (n == 0)
        return "a picture has no name";
    if (n > DV_TRUTH_MAX_NAME)
        return "a name is longer than 1,023 bytes";
    if (p[0] == '/')
        return "names must be relative to the image folder, not start with '/'";
    for (size_t i = 0; i < n;) {
        size_t j = i;
        while (j < n && p[j] != '/')
            j++;
        if (j - i == 2 && p[i] == '.' && p[i + 1] == '.')
            return "names must stay inside the image folder: '..' is not allowed";
        i = j + 1;
    }
    return NULL;
}

/* ---- names of pictures and classes ---- */

bool dv_truth_add_image(dv_truth *t, size_t *cap, const char *name, size_t n)
{
    if (!dv_grow(&t->images, cap, t->n_images, sizeof *t->images))
        return false;
    char *copy = dv_malloc(n + 1);
    if (!copy)
        return false;
    memcpy(copy, name, n);
    copy[n] = 0;
    t->images[t->n_images++] = copy;
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const dv_truth_name *)a)->name, ((const dv_truth_name *)b)->name);
}

dmv_status dv_truth_index(dv_truth *t, const char **twice, dv_err *e)
{
    *twice = NULL;
    t->by_name = dv_calloc(t->n_images ? t->n_images : 1, sizeof *t->by_name);
    if (!t->by_name)
        return dv_nomem(e);
    for (size_t i = 0; i < t->n_images; i++)
        t->by_name[i] = (dv_truth_name){t->images[i], (uint32_t)i};
    qsort(t->by_name, t->n_images, sizeof *t->by_name, by_text);
    for (size_t i = 1; i < t->n_images; i++)
        if (!strcmp(t->by_name[i].name, t->by_name[i - 1].name))
            *twice = t->by_name[i].name;
    return DMV_OK;
}

static bool find_name(const dv_truth *t, const char *name, uint32_t *image)
{
    dv_truth_name want = {name, 0}, *have;
    have = t->n_images ? bsearch(&want, t->by_name, t->n_images, sizeof want, by_text) : NULL;
    if (have)
        *image = have->image;
    return have != NULL;
}

static bool find_id(const int64_t *ids, size_t n, const char *text, uint32_t *at)
{
    char *end;
    long long id = strtoll(text, &end, 10);
    if (end == text || *end || !ids)
        return false;
    for (size_t lo = 0, hi = n; lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        if (ids[mid] == id) {
            *at = (uint32_t)mid;
            return true;
        }
        if (ids[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

bool dv_truth_image(const dv_truth *t, const char *name, uint32_t *image)
{
    if (!t->images)
        return dv_field_count((dv_field){name, strlen(name)}, image);
    return find_name(t, name, image) || find_id(t->image_ids, t->n_images, name, image);
}

bool dv_truth_class(const dv_truth *t, const char *name, uint32_t *cls)
{
    for (size_t i = 0; i < t->n_classes; i++) {
        if (!strcmp(t->classes[i], name)) {
            *cls = (uint32_t)i;
            return true;
        }
    }
    return find_id(t->class_ids, t->class_ids ? t->n_classes : 0, name, cls);
}

/* ---- frames ---- */

static dmv_status add_box(const dv_lines *l, dv_truth *t, const dv_box *b)
{
    return dv_boxes_add(&t->boxes, b) ? DMV_OK : dv_nomem(l->e);
}

/* frame,x,y,w,h[,points] or frame,id,x,y,w,h,flag,.. */
static dmv_status frame_row(const dv_lines *l, const dv_field *f, size_t n, bool mot, dv_truth *t)
{
    dv_box b = {0};
    double flag, id;
    if (!dv_field_count(f[0], &b.image))
        return dv_lines_bad(l, "the frame is not a whole number from 0 up: %.*s",
                            (int)DV_MIN(f[0].n, (size_t)40), f[0].p);
    if (mot) {
        if (!dv_field_number(f[1], &id) || id != floor(id) || fabs(id) > DV_TRUTH_MAX_NUMBER)
            return dv_lines_bad(l, "the id is not a whole number: %.*s",
                                (int)DV_MIN(f[1].n, (size_t)40), f[1].p);
        if (id < 0)
            return dv_lines_bad(l, "id %g: these are detections, not truth", id);
        if (!dv_field_number(f[6], &flag))
            return dv_lines_bad(l, "the 7th column, 0 = to be ignored, is not a number: %.*s",
                                (int)DV_MIN(f[6].n, (size_t)40), f[6].p);
        b.track = (uint32_t)id;
        b.flags = flag == 0 ? DV_BOX_IGNORE : 0;
    }
    dmv_status s = dv_lines_box(l, f + (mot ? 2 : 1), &b);
    if (!s && n == 15)
        s = dv_lines_points(l, f + 5, &b);
    if (s)
        return s;
    t->first_frame = t->boxes.n ? DV_MIN(t->first_frame, b.image) : b.image;
    t->last_frame = DV_MAX(t->last_frame, b.image);
    return add_box(l, t, &b);
}

static dmv_status parse_frames(dv_lines *l, dv_truth *t)
{
    size_t columns = 0;
    dv_field f[DV_TRUTH_MAX_FIELDS + 1];
    while (dv_lines_next(l)) {
        if (l->p[0] == '#' || (!columns && l->n >= 5 && !strncasecmp(l->p, "frame", 5)))
            continue;
        size_t n = dv_lines_split(l, f);
        bool mot = n >= 7 && n <= 10, plain = n == 5 || n == 15;
        if (!columns) {
            if (!(mot && t->format != DV_TRUTH_FRAMES) && !(plain && t->format != DV_TRUTH_MOT))
                return dv_lines_bad(
                    l, "%zu columns; expected %s", n,
                    t->format == DV_TRUTH_MOT      ? "frame,id,x,y,w,h,flag and up to three more"
                    : t->format == DV_TRUTH_FRAMES ? "frame,x,y,w,h, or those and five points"
                                                   : "frame,x,y,w,h or frame,id,x,y,w,h,flag,..");
            columns = n;
            t->format = mot ? DV_TRUTH_MOT : DV_TRUTH_FRAMES;
        }
        if (n != columns)
            return dv_lines_bad(l, "%zu columns where the first row has %zu; is the file cut?", n,
                                columns);
        dmv_status s = frame_row(l, f, n, mot, t);
        if (s)
            return s;
    }
    return DMV_OK;
}

/* ---- WIDER FACE ---- */

static dmv_status add_name(const dv_lines *l, dv_truth *t, size_t *cap, const char *p, size_t n)
{
    const char *fault = dv_name_fault(p, n);
    if (fault)
        return dv_lines_bad(l, "%s", fault);
    return dv_truth_add_image(t, cap, p, n) ? DMV_OK : dv_nomem(l->e);
}

static bool numbers_only(const dv_field *f, size_t n)
{
    double v;
    for (size_t i = 0; i < n; i++)
        if (!dv_field_number(f[i], &v))
            return false;
    return true;
}

static dmv_status wider_row(const dv_lines *l, dv_truth *t)
{
    dv_field f[DV_TRUTH_MAX_FIELDS + 1];
    dv_box b = {.image = (uint32_t)t->n_images - 1};
    double invalid = 0;
    size_t n = dv_lines_split(l, f);
    if (n != 10 && n != 4)
        return dv_lines_bad(l,
                            "%zu columns; expected x y w h blur expression illumination invalid "
                            "occlusion pose",
                            n);
    dmv_status s = dv_lines_box(l, f, &b);
    if (s)
        return s;
    if (n == 10 && !dv_field_number(f[7], &invalid))
        return dv_lines_bad(l, "the 8th column, 1 = invalid, is not a number");
    if (invalid != 0)
        b.flags = DV_BOX_IGNORE;
    return add_box(l, t, &b);
}

static dmv_status parse_wider(dv_lines *l, dv_truth *t)
{
    size_t cap = 0;
    dv_field f[DV_TRUTH_MAX_FIELDS + 1];
    while (dv_lines_next(l)) {
        uint32_t count;
        /* A picture without faces still has one row, of zeros. */
        size_t n = dv_lines_split(l, f);
        if (t->n_images && n >= 4 && n <= DV_TRUTH_MAX_FIELDS && numbers_only(f, n))
            return dv_lines_bad(l,
                                "a row of numbers where the name of a picture should be; is "
                                "the number of faces of %s wrong?",
                                t->images[t->n_images - 1]);
        dmv_status s = add_name(l, t, &cap, l->p, l->n);
        if (s)
            return s;
        const char *name = t->images[t->n_images - 1];
        if (!dv_lines_next(l))
            return dv_lines_bad(l, "the file ends after the name %s", name);
        if (!dv_field_count((dv_field){l->p, l->n}, &count))
            return dv_lines_bad(l, "expected the number of faces of %s", name);
        size_t before = t->boxes.n;
        for (uint32_t i = 0; i < DV_MAX(count, 1u); i++) {
            size_t at = l->at, line = l->line;
            if (!dv_lines_next(l)) {
                if (count == 0)
                    break;
                return dv_lines_bad(l, "the file ends after %u of %u faces of %s", i, count, name);
            }
            if (count == 0 && !(dv_lines_split(l, f) >= 4 && numbers_only(f, 4))) {
                l->at = at; /* some lists leave that row out */
                l->line = line;
                break;
            }
            s = wider_row(l, t);
            if (s)
                return s;
        }
        if (count == 0)
            t->boxes.n = before;
    }
    return DMV_OK;
}

static dmv_status points_row(const dv_lines *l, dv_truth *t)
{
    dv_field f[DV_TRUTH_MAX_FIELDS + 1], xy[10];
    dv_box b = {.image = (uint32_t)t->n_images - 1};
    size_t n = dv_lines_split(l, f);
    if (n != 4 && n != 19 && n != 20)
        return dv_lines_bad(l, "%zu columns; expected x y w h, and maybe five times x y flag", n);
    dmv_status s = dv_lines_box(l, f, &b);
    bool have = n > 4;
    for (int i = 0; !s && have && i < 5; i++) {
        xy[i * 2] = f[4 + i * 3];
        xy[i * 2 + 1] = f[5 + i * 3];
    }
    if (!s && have)
        s = dv_lines_points(l, xy, &b);
    for (int i = 0; !s && have && i < 10; i++)
        if (b.points[i / 2][i % 2] < 0)
            b.flags &= (uint8_t)~DV_BOX_POINTS;
    return s ? s : add_box(l, t, &b);
}

static dmv_status parse_points(dv_lines *l, dv_truth *t)
{
    size_t cap = 0;
    while (dv_lines_next(l)) {
        dmv_status s;
        if (l->p[0] == '#') {
            dv_field name = trimmed(l->p + 1, l->n - 1);
            s = add_name(l, t, &cap, name.p, name.n);
        } else if (!t->n_images) {
            s = dv_lines_bad(l, "expected \"# name of a picture\"");
        } else {
            s = points_row(l, t);
        }
        if (s)
            return s;
    }
    return DMV_OK;
}

/* ---- all formats ---- */

/* By the first line that is not empty. */
static dv_truth_format guess(const char *text, size_t size)
{
    dv_lines l = {.text = text, .size = size};
    dv_field f[DV_TRUTH_MAX_FIELDS + 1];
    uint32_t count;
    if (!dv_lines_next(&l))
        return DV_TRUTH_AUTO;
    if (l.p[0] == '{' || l.p[0] == '[')
        return DV_TRUTH_COCO;
    if (l.p[0] == '#' && l.n > 4 && memchr(l.p, '.', l.n) && !memchr(l.p, ',', l.n))
        return DV_TRUTH_POINTS;
    dv_lines second = l;
    if (dv_lines_next(&second) && dv_field_count((dv_field){second.p, second.n}, &count) &&
        dv_lines_split(&second, f) == 1)
        return DV_TRUTH_WIDER;
    return DV_TRUTH_AUTO; /* frames or mot: by the columns */
}

static dmv_status one_class(dv_truth *t, dv_err *e)
{
    t->classes = dv_calloc(1, sizeof *t->classes);
    if (!t->classes)
        return dv_nomem(e);
    t->classes[0] = dv_strdup("");
    if (!t->classes[0])
        return dv_nomem(e);
    t->n_classes = 1;
    return DMV_OK;
}

static dmv_status check_twice(dv_truth *t, const char *name, dv_err *e)
{
    const char *twice;
    dmv_status s = dv_truth_index(t, &twice, e);
    if (!s && twice)
        s = dv_fail(e, DMV_ERR_FORMAT, "%s: the picture %s is in it twice", name, twice);
    return s;
}

dmv_status dv_truth_parse(const char *text, size_t size, const char *name, dv_truth_format format,
                          dv_truth *out, dv_err *e)
{
    dmv_status s;
    memset(out, 0, sizeof *out);
    if (memchr(text, 0, size))
        return dv_fail(e, DMV_ERR_FORMAT, "%s: not a text file", name);
    if (size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) { /* byte order mark */
        text += 3;
        size -= 3;
    }
    dv_lines l = {.path = name, .text = text, .size = size, .e = e};
    out->format = format == DV_TRUTH_AUTO ? guess(text, size) : format;
    if (out->format == DV_TRUTH_COCO) {
        s = dv_truth_parse_coco(text, size, name, out, e);
    } else if (out->format == DV_TRUTH_WIDER || out->format == DV_TRUTH_POINTS) {
        s = out->format == DV_TRUTH_WIDER ? parse_wider(&l, out) : parse_points(&l, out);
        if (!s)
            s = check_twice(out, name, e);
    } else {
        s = parse_frames(&l, out);
    }
    if (!s && out->format != DV_TRUTH_COCO)
        s = one_class(out, e);
    if (!s && !out->boxes.n)
        s = dv_fail(e, DMV_ERR_FORMAT, "%s: no boxes in it", name);
    if (s)
        dv_truth_free(out);
    return s;
}

dmv_status dv_truth_load(const char *path, dv_truth_format format, dv_truth *out, dv_err *e)
{
    uint8_t *data = NULL;
    size_t size = 0;
    memset(out, 0, sizeof *out);
    dmv_status s = dv_read_file(path, DV_TRUTH_MAX_FILE, &data, &size, e);
    if (!s)
        s = dv_truth_parse((const char *)data, size, path, format, out, e);
    dv_free(data);
    return s;
}

void dv_truth_free(dv_truth *t)
{
    for (size_t i = 0; i < t->n_images; i++)
        dv_free(t->images[i]);
    for (size_t i = 0; i < t->n_classes; i++)
        dv_free(t->classes[i]);
    dv_free(t->images);
    dv_free(t->image_ids);
    dv_free(t->by_name);
    dv_free(t->classes);
    dv_free(t->class_ids);
    dv_boxes_free(&t->boxes);
    memset(t, 0, sizeof *t);
}

dmv_status dv_truth_select(dv_truth *t, const char *cls, dv_err *e)
{
    uint32_t want;
    size_t n = 0;
    if (!dv_truth_class(t, cls, &want))
        return dv_fail(e, DMV_ERR_NOT_FOUND, "the truth has no class %s; it has %s%s%s", cls,
                       t->n_classes == 1 && !t->classes[0][0] ? "none" : t->classes[0],
                       t->n_classes > 1 ? ", " : "", t->n_classes > 1 ? t->classes[1] : "");
    for (size_t i = 0; i < t->boxes.n; i++) {
        if (t->boxes.v[i].cls != want)
            continue;
        t->boxes.v[n] = t->boxes.v[i];
        t->boxes.v[n++].cls = 0;
    }
    t->boxes.n = n;
    for (size_t i = 0; i < t->n_classes; i++)
        if (i != want)
            dv_free(t->classes[i]);
    t->classes[0] = t->classes[want];
    if (t->class_ids)
        t->class_ids[0] = t->class_ids[want];
    t->n_classes = 1;
    return DMV_OK;
}

void dv_truth_scale(dv_truth *t, double sx, double sy)
{
    for (size_t i = 0; i < t->boxes.n; i++) {
        dv_box *b = &t->boxes.v[i];
        b->x *= sx;
        b->w *= sx;
        b->y *= sy;
        b->h *= sy;
        b->area *= sx * sy;
        for (int k = 0; k < 5; k++) {
            b->points[k][0] = (float)(b->points[k][0] * sx);
            b->points[k][1] = (float)(b->points[k][1] * sy);
        }
    }
}

/* ---- WIDER's subsets ---- */

/* NAME may have blanks: what follows the last blank in front of numbers only. */
static dmv_status subset_line(const dv_lines *l, const dv_truth *t, const size_t *first,
                              uint8_t *keep)
{
    char name[DV_TRUTH_MAX_NAME + 1];
    size_t end = 0;
    uint32_t image = 0, v;
    /* The longest prefix that is a picture's name. */
    bool found = false;
    for (size_t i = DV_MIN(l->n, (size_t)DV_TRUTH_MAX_NAME); i > 0 && !found; i--) {
        if (i < l->n && !is_blank(l->p[i]))
            continue;
        memcpy(name, l->p, i);
        name[i] = 0;
        found = find_name(t, name, &image);
        end = i;
    }
    if (!found)
        return dv_lines_bad(l, "no picture of the truth has this name");
    while (end < l->n) {
        while (end < l->n && is_blank(l->p[end]))
            end++;
        size_t j = end;
        while (j < l->n && !is_blank(l->p[j]))
            j++;
        if (!dv_field_count((dv_field){l->p + end, j - end}, &v) || v < 1 ||
            v > first[image + 1] - first[image])
            return dv_lines_bad(l, "%.*s: the picture has boxes 1 to %zu",
                                (int)DV_MIN(j - end, (size_t)40), l->p + end,
                                first[image + 1] - first[image]);
        keep[first[image] + v - 1] = 1;
        end = j;
    }
    return DMV_OK;
}

dmv_status dv_subset_parse(const char *text, size_t size, const char *name, const dv_truth *t,
                           uint8_t *keep, dv_err *e)
{
    dv_lines l = {.path = name, .text = text, .size = size, .e = e};
    if (t->format != DV_TRUTH_WIDER && t->format != DV_TRUTH_POINTS)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%s: a subset belongs to WIDER FACE's truth", name);
    if (memchr(text, 0, size))
        return dv_fail(e, DMV_ERR_FORMAT, "%s: not a text file", name);
    memset(keep, 0, t->boxes.n);
    size_t *first = dv_calloc(t->n_images + 1, sizeof *first);
    if (!first)
        return dv_nomem(e);
    for (size_t i = 0; i < t->boxes.n; i++) /* these formats have the boxes in order */
        first[t->boxes.v[i].image + 1] = i + 1;
    for (size_t i = 1; i <= t->n_images; i++)
        first[i] = DV_MAX(first[i], first[i - 1]);
    dmv_status s = DMV_OK;
    while (!s && dv_lines_next(&l))
        s = subset_line(&l, t, first, keep);
    dv_free(first);
    return s;
}

dmv_status dv_subset_load(const char *path, const dv_truth *t, uint8_t *keep, dv_err *e)
{
    uint8_t *data = NULL;
    size_t size = 0;
    dmv_status s = dv_read_file(path, DV_TRUTH_MAX_FILE, &data, &size, e);
    if (!s)
        s = dv_subset_parse((const char *)data, size, path, t, keep, e);
    dv_free(data);
    return s;
}
