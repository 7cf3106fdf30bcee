/* SPDX-License-Identifier: Apache-2.0
 *
 * detect.c - AP and AR of boxes. Three matchings, since the protocols differ where it hurts:
 *
 * COCO: within a picture detections choose in the order of their score; each takes the free truth
 * it overlaps most, real truth before ignored truth; a crowd is never used up. Done for ten IoUs
 * and four size groups; truth outside the group is ignored, and so are unmatched detections
 * outside it. Precision is made falling and read at 101 recalls.
 * VOC: each detection looks at the truth that it overlaps most, taken or not: a second one on the
 * same truth is wrong, even if another truth is near enough.
 * WIDER: as VOC, with its own overlap, and the curve is sampled at 1,000 scores.
 *
 * Boxes are sorted by class and picture as pointers; the array's order breaks ties, as the stable
 * sorts of the originals do.
 */
#include "eval/detect.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IOUS = 10, AREAS = 4, CELLS = IOUS * AREAS, RECALLS = 101, DEFAULT_MAX_DETS = 100 };
enum { ALL, SMALL, MEDIUM, LARGE };
#define MAX_CELLS 30000000u    /* overlaps of one picture; 240 MB */
enum { HIT = 1, IGNORED = 2 }; /* of a detection; 0 = wrong */

static const double area_lo[AREAS] = {0, 0, 32 * 32, 96 * 96};
static const double area_hi[AREAS] = {1e10, 32 * 32, 96 * 96, 1e10};

const char *const dv_figure_names[DV_FIGURES] = {
    "map", "map50",    "map75",     "map_small", "map_medium", "map_large", "ar1",     "ar10",
    "ar",  "ar_small", "ar_medium", "ar_large",  "recall50",   "ap_voc07",  "ap_voc10"};

/* ---- boxes ---- */

bool dv_boxes_add(dv_boxes *b, const dv_box *box)
{
    if (!dv_grow(&b->v, &b->cap, b->n, sizeof *b->v))
        return false;
    b->v[b->n++] = *box;
    return true;
}

void dv_boxes_free(dv_boxes *b)
{
    dv_free(b->v);
    memset(b, 0, sizeof *b);
}

static double intersection(const dv_box *a, const dv_box *b)
{
    double w = fmin(a->x + a->w, b->x + b->w) - fmax(a->x, b->x);
    double h = fmin(a->y + a->h, b->y + b->h) - fmax(a->y, b->y);
    return w > 0 && h > 0 ? w * h : 0;
}

double dv_box_iou(const dv_box *a, const dv_box *b)
{
    double i = intersection(a, b);
    return i > 0 ? i / (a->w * a->h + b->w * b->h - i) : 0;
}

static double coco_overlap(const dv_box *found, const dv_box *truth)
{
    if (!(truth->flags & DV_BOX_CROWD))
        return dv_box_iou(found, truth);
    double i = intersection(found, truth);
    return i > 0 ? i / (found->w * found->h) : 0;
}

/* WIDER's tools take x to x + w with both ends inside. */
static double wider_overlap(const dv_box *a, const dv_box *b)
{
    double w = fmin(a->x + a->w, b->x + b->w) - fmax(a->x, b->x) + 1;
    double h = fmin(a->y + a->h, b->y + b->h) - fmax(a->y, b->y) + 1;
    if (!(w > 0 && h > 0))
        return 0;
    return w * h / ((a->w + 1) * (a->h + 1) + (b->w + 1) * (b->h + 1) - w * h);
}

static bool is_ignored(const dv_box *b)
{
    return (b->flags & (DV_BOX_IGNORE | DV_BOX_CROWD)) != 0;
}

static double area_of(const dv_box *truth)
{
    return truth->area > 0 ? truth->area : truth->w * truth->h;
}

/* ---- order ---- */

typedef const dv_box *box_ref;

static int by_place(const void *pa, const void *pb)
{
    box_ref a = *(const box_ref *)pa, b = *(const box_ref *)pb;
    if (a->cls != b->cls)
        return a->cls < b->cls ? -1 : 1;
    if (a->image != b->image)
        return a->image < b->image ? -1 : 1;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Pointers to all boxes by class, picture, falling score; NULL = no memory. Truth has score 0. */
static box_ref *sorted(const dv_boxes *b)
{
    box_ref *v = dv_calloc(b->n ? b->n : 1, sizeof *v);
    for (size_t i = 0; v && i < b->n; i++)
        v[i] = &b->v[i];
    if (v)
        qsort(v, b->n, sizeof *v, by_place);
    return v;
}

/* A run of boxes of one picture and class. */
typedef struct group {
    uint32_t image;
    box_ref *truth, *found;
    size_t n_truth, n_found;
} group;

static size_t run_length(box_ref *v, size_t n)
{
    size_t k = 1;
    while (k < n && v[k]->cls == v[0]->cls && v[k]->image == v[0]->image)
        k++;
    return n ? k : 0;
}

/* Cuts the next picture off the front of both; false at the end. All are of one class. */
static bool next_group(box_ref **t, size_t *nt, box_ref **f, size_t *nf, group *g)
{
    if (!*nt && !*nf)
        return false;
    uint32_t image = !*nt ? (*f)[0]->image : (*t)[0]->image;
    if (*nf && (*f)[0]->image < image)
        image = (*f)[0]->image;
    *g = (group){.image = image, .truth = *t, .found = *f};
    if (*nt && (*t)[0]->image == image)
        g->n_truth = run_length(*t, *nt);
    if (*nf && (*f)[0]->image == image)
        g->n_found = run_length(*f, *nf);
    *t += g->n_truth;
    *nt -= g->n_truth;
    *f += g->n_found;
    *nf -= g->n_found;
    return true;
}

static dmv_status check(const dv_boxes *b, bool scores, uint32_t n_classes, dv_err *e)
{
    for (size_t i = 0; i < b->n; i++) {
        const dv_box *x = &b->v[i];
        bool ok = isfinite(x->x) && isfinite(x->y) && x->w >= 0 && x->h >= 0 && isfinite(x->w) &&
                  isfinite(x->h) && isfinite(x->area) && isfinite(x->score);
        if (!ok || x->cls >= n_classes)
            return dv_fail(
                e, DMV_ERR_ARGUMENT, "%s %zu has %s", scores ? "detection" : "truth box", i + 1,
                ok ? "an unknown class" : "a negative size or a number that is not finite");
    }
    return DMV_OK;
}

static dmv_status check_groups(box_ref *v, size_t n, const char *what, dv_err *e)
{
    for (size_t i = 0; i < n;) {
        size_t k = run_length(v + i, n - i);
        if (k > DV_DETECT_MAX_BOXES)
            return dv_fail(e, DMV_ERR_LIMIT,
                           "%zu %s of one class in picture %u; at most %d can be scored", k, what,
                           v[i]->image, DV_DETECT_MAX_BOXES);
        i += k;
    }
    return DMV_OK;
}

/* ---- COCO ---- */

typedef struct scored { /* a detection with its fate in every cell */
    double score;
    uint32_t rank; /* 0 = the best of its picture */
    uint8_t fate[CELLS];
} scored;

static double iou_threshold(int i)
{
    double step = (0.95 - 0.5) / (IOUS - 1);
    return i == IOUS - 1 ? 0.95 : i * step + 0.5;
}

typedef struct matcher {
    double *overlap; /* detections x truth of a picture, grown */
    box_ref *truth;  /* real first, then ignored */
    size_t *column;  /* of each in overlap */
    uint8_t *taken;  /* by truth */
    size_t cap_cells, cap_truth;
} matcher;

static bool room(matcher *m, size_t n_found, size_t n_truth)
{
    if (n_truth >= m->cap_truth) {
        size_t n = n_truth * 2 + 1;
        dv_free(m->truth);
        dv_free(m->column);
        dv_free(m->taken);
        m->cap_truth = 0;
        m->truth = dv_calloc(n, sizeof *m->truth);
        m->column = dv_calloc(n, sizeof *m->column);
        m->taken = dv_calloc(n, 1);
        if (!m->truth || !m->column || !m->taken)
            return false;
        m->cap_truth = n;
    }
    if (n_found * n_truth >= m->cap_cells) { /* never NULL afterwards */
        size_t n = n_found * n_truth + 1;
        dv_free(m->overlap);
        m->cap_cells = 0;
        m->overlap = dv_calloc(n, sizeof *m->overlap);
        if (!m->overlap)
            return false;
        m->cap_cells = n;
    }
    return true;
}

static void matcher_free(matcher *m)
{
    dv_free(m->overlap);
    dv_free(m->truth);
    dv_free(m->column);
    dv_free(m->taken);
}

static bool outside(double area, int a)
{
    return area < area_lo[a] || area > area_hi[a];
}

/* One picture at one IoU: fates of its detections in this cell. m->truth is in order, the first
 * `real` count. */
static void match(matcher *m, const group *g, size_t n_found, size_t real, int area, int iou,
                  scored *out)
{
    memset(m->taken, 0, g->n_truth);
    for (size_t d = 0; d < n_found; d++) {
        const double *overlap = m->overlap + d * g->n_truth;
        double best = fmin(iou_threshold(iou), 1 - 1e-10);
        size_t at = SIZE_MAX;
        for (size_t k = 0; k < g->n_truth; k++) {
            if (m->taken[k] && !(m->truth[k]->flags & DV_BOX_CROWD))
                continue;
            if (at != SIZE_MAX && at < real && k >= real)
                break;
            if (overlap[m->column[k]] < best)
                continue;
            best = overlap[m->column[k]];
            at = k;
        }
        uint8_t *fate = &out[d].fate[area * IOUS + iou];
        if (at == SIZE_MAX)
            *fate = outside(g->found[d]->w * g->found[d]->h, area) ? IGNORED : 0;
        else
            *fate = at < real ? HIT : IGNORED;
        if (at != SIZE_MAX)
            m->taken[at] = 1;
    }
}

/* One picture in all cells; real[a] grows by the truth that counts in size group a. */
static bool match_picture(matcher *m, const group *g, size_t n_found, size_t *real, scored *out)
{
    if (!room(m, n_found, g->n_truth))
        return false;
    for (size_t d = 0; d < n_found; d++) {
        out[d] = (scored){.score = g->found[d]->score, .rank = (uint32_t)d};
        for (size_t k = 0; k < g->n_truth; k++)
            m->overlap[d * g->n_truth + k] = coco_overlap(g->found[d], g->truth[k]);
    }
    for (int a = 0; a < AREAS; a++) {
        size_t n = 0, n_real = 0;
        for (int pass = 0; pass < 2; pass++) {
            for (size_t k = 0; k < g->n_truth; k++) {
                bool out_of_it = is_ignored(g->truth[k]) || outside(area_of(g->truth[k]), a);
                if (out_of_it == (pass == 1)) {
                    m->truth[n] = g->truth[k];
                    m->column[n++] = k;
                }
            }
            if (pass == 0)
                n_real = n;
        }
        real[a] += n_real;
        for (int i = 0; i < IOUS; i++)
            match(m, g, n_found, n_real, a, i, out);
    }
    return true;
}

static int by_score(const void *pa, const void *pb)
{
    const scored *a = *(scored *const *)pa, *b = *(scored *const *)pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* AP and recall in one cell with the best max_rank detections of each picture. recall, precision:
 * room for n. */
static double coco_ap(scored *const *v, size_t n, int cell, size_t real, uint32_t max_rank,
                      double *recall, double *precision, double *last_recall)
{
    size_t tp = 0, fp = 0, k = 0;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (v[i]->rank >= max_rank)
            continue;
        tp += v[i]->fate[cell] == HIT;
        fp += v[i]->fate[cell] == 0;
        recall[k] = (double)tp / (double)real;
        precision[k] = (double)tp / ((double)(fp + tp) + DBL_EPSILON);
        k++;
    }
    *last_recall = k ? recall[k - 1] : 0;
    for (size_t i = k; i-- > 1;)
        precision[i - 1] = fmax(precision[i - 1], precision[i]);
    for (size_t r = 0, i = 0; r < RECALLS; r++) {
        double at = r == RECALLS - 1 ? 1.0 : (double)r * 0.01;
        while (i < k && recall[i] < at)
            i++;
        if (i == k)
            break;
        sum += precision[i];
    }
    return sum / RECALLS;
}

static void coco_figures(scored *const *v, size_t n, const size_t *real, uint32_t max_dets,
                         double *recall, double *precision, double *out)
{
    static const dv_figure ap[AREAS] = {DV_MAP, DV_MAP_SMALL, DV_MAP_MEDIUM, DV_MAP_LARGE};
    static const dv_figure ar[AREAS] = {DV_AR, DV_AR_SMALL, DV_AR_MEDIUM, DV_AR_LARGE};
    for (int a = 0; a < AREAS; a++) {
        double sum_ap = 0, sum_ar = 0, last;
        if (!real[a])
            continue; /* stays NAN */
        for (int i = 0; i < IOUS; i++) {
            double p = coco_ap(v, n, a * IOUS + i, real[a], max_dets, recall, precision, &last);
            sum_ap += p;
            sum_ar += last;
            if (a == ALL && i == 0) {
                out[DV_MAP50] = p;
                out[DV_RECALL50] = last;
            }
            if (a == ALL && i == 5)
                out[DV_MAP75] = p;
        }
        out[ap[a]] = sum_ap / IOUS;
        out[ar[a]] = sum_ar / IOUS;
    }
    for (int few = 0; few < 2 && real[ALL]; few++) {
        double sum = 0, last;
        for (int i = 0; i < IOUS; i++) {
            coco_ap(v, n, ALL * IOUS + i, real[ALL], DV_MIN(few ? 10u : 1u, max_dets), recall,
                    precision, &last);
            sum += last;
        }
        out[few ? DV_AR10 : DV_AR1] = sum / IOUS;
    }
}

static dmv_status coco_class(box_ref *t, size_t nt, box_ref *f, size_t nf, uint32_t max_dets,
                             double *out, dv_err *e)
{
    matcher m = {0};
    group g;
    size_t real[AREAS] = {0}, n = 0;
    scored *all = dv_calloc(nf ? nf : 1, sizeof *all);
    scored **order = dv_calloc(nf ? nf : 1, sizeof *order);
    double *curve = dv_calloc(nf ? nf : 1, 2 * sizeof *curve);
    bool ok = all && order && curve;
    dmv_status s = DMV_OK;
    while (ok && next_group(&t, &nt, &f, &nf, &g)) {
        size_t kept = DV_MIN(g.n_found, (size_t)max_dets);
        if (kept * g.n_truth > MAX_CELLS) {
            s = dv_fail(e, DMV_ERR_LIMIT,
                        "%zu detections and %zu truth boxes of one class in picture %u are too "
                        "many; count fewer detections of a picture",
                        kept, g.n_truth, g.image);
            break;
        }
        ok = match_picture(&m, &g, kept, real, all + n);
        n += kept;
    }
    for (size_t i = 0; ok && i < n; i++)
        order[i] = &all[i];
    if (ok && !s) {
        qsort(order, n, sizeof *order, by_score);
        coco_figures(order, n, real, max_dets, curve, curve + n, out);
    }
    matcher_free(&m);
    dv_free(all);
    dv_free(order);
    dv_free(curve);
    return ok ? s : dv_nomem(e);
}

/* ---- VOC ---- */

typedef struct voc_hit {
    box_ref found, truth; /* truth of a HIT */
    uint8_t fate;
} voc_hit;

static int by_hit_score(const void *pa, const void *pb)
{
    const voc_hit *a = pa, *b = pb;
    if (a->found->score != b->found->score)
        return a->found->score > b->found->score ? -1 : 1;
    if (a->found->image != b->found->image)
        return a->found->image < b->found->image ? -1 : 1;
    return a->found < b->found ? -1 : a->found > b->found;
}

static void voc_picture(const group *g, uint8_t *taken, voc_hit *out)
{
    memset(taken, 0, g->n_truth);
    for (size_t d = 0; d < g->n_found; d++) {
        double best = 0;
        size_t at = 0;
        for (size_t k = 0; k < g->n_truth; k++) {
            double o = dv_box_iou(g->found[d], g->truth[k]);
            if (o > best) {
                best = o;
                at = k;
            }
        }
        out[d] = (voc_hit){.found = g->found[d]};
        if (best < 0.5)
            continue;
        if (is_ignored(g->truth[at])) {
            out[d].fate = IGNORED;
        } else if (!taken[at]) {
            out[d].fate = HIT;
            out[d].truth = g->truth[at];
            taken[at] = 1;
        }
    }
}

double dv_ap_all_points(const double *recall, const double *precision, size_t n)
{
    double ap = 0, best = 0;
    for (size_t i = n; i-- > 0;) {
        best = fmax(best, precision[i]);
        ap += (recall[i] - (i ? recall[i - 1] : 0)) * best;
    }
    return ap;
}

/* Recalls 0, 0.1 .. 1 compared as whole numbers: the quotients of different programs are not the
 * same at 3/10. */
static double ap_11_points(const double *precision, const size_t *hits, size_t n, size_t real)
{
    double best[11] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k <= 10 && hits[i] * 10 >= k * real; k++)
            best[k] = fmax(best[k], precision[i]);
    for (size_t k = 0; k <= 10; k++)
        sum += best[k];
    return sum / 11;
}

static bool curve_room(dv_pr_curve *c, size_t n)
{
    c->recall = dv_calloc(n ? n : 1, sizeof *c->recall);
    c->precision = dv_calloc(n ? n : 1, sizeof *c->precision);
    c->score = dv_calloc(n ? n : 1, sizeof *c->score);
    c->n = 0;
    return c->recall && c->precision && c->score;
}

void dv_pr_curve_free(dv_pr_curve *c)
{
    dv_free(c->recall);
    dv_free(c->precision);
    dv_free(c->score);
    memset(c, 0, sizeof *c);
}

size_t dv_pr_best(const dv_pr_curve *c, double *f1)
{
    size_t at = SIZE_MAX;
    *f1 = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (i + 1 < c->n && c->score[i + 1] == c->score[i])
            continue; /* no threshold ends here */
        double sum = c->precision[i] + c->recall[i];
        double f = sum > 0 ? 2 * c->precision[i] * c->recall[i] / sum : 0;
        if (f > *f1) {
            *f1 = f;
            at = i;
        }
    }
    return at;
}

typedef struct points_error {
    double sum;
    size_t n, over;
} points_error;

static void add_points(points_error *p, const voc_hit *h)
{
    if (h->fate != HIT || !(h->found->flags & DV_BOX_POINTS) || !(h->truth->flags & DV_BOX_POINTS))
        return;
    double size = sqrt(h->truth->w * h->truth->h), sum = 0;
    for (int i = 0; i < 5; i++)
        sum += hypot((double)h->found->points[i][0] - h->truth->points[i][0],
                     (double)h->found->points[i][1] - h->truth->points[i][1]);
    double error = sum / 5 / size; /* size > 0: the boxes overlap by half */
    p->sum += error;
    p->over += error > 0.1;
    p->n++;
}

static dmv_status voc_class(box_ref *t, size_t nt, box_ref *f, size_t nf, dv_detect_class *out,
                            points_error *points, dv_err *e)
{
    group g;
    size_t n = 0, real = 0, tp = 0, fp = 0, total = nf;
    voc_hit *hits = dv_calloc(total ? total : 1, sizeof *hits);
    uint8_t *taken = dv_calloc(nt ? nt : 1, 1);
    size_t *count = dv_calloc(total ? total : 1, sizeof *count);
    dv_pr_curve *c = &out->curve;
    bool ok = hits && taken && count && curve_room(c, total);
    for (size_t i = 0; i < nt; i++)
        real += !is_ignored(t[i]);
    while (ok && next_group(&t, &nt, &f, &nf, &g)) {
        voc_picture(&g, taken, hits + n);
        n += g.n_found;
    }
    if (ok)
        qsort(hits, n, sizeof *hits, by_hit_score);
    for (size_t i = 0; ok && i < n; i++) {
        add_points(points, &hits[i]);
        if (hits[i].fate == IGNORED)
            continue;
        tp += hits[i].fate == HIT;
        fp += hits[i].fate == 0;
        count[c->n] = tp;
        c->recall[c->n] = real ? (double)tp / (double)real : 0;
        c->precision[c->n] = (double)tp / (double)(tp + fp);
        c->score[c->n++] = hits[i].found->score;
    }
    if (ok && real) {
        out->v[DV_AP_VOC07] = ap_11_points(c->precision, count, c->n, real);
        out->v[DV_AP_VOC10] = dv_ap_all_points(c->recall, c->precision, c->n);
    }
    dv_free(hits);
    dv_free(taken);
    dv_free(count);
    return ok ? DMV_OK : dv_nomem(e);
}

/* ---- all classes ---- */

static size_t class_length(box_ref *v, size_t n, uint32_t cls)
{
    size_t k = 0;
    while (k < n && v[k]->cls == cls)
        k++;
    return k;
}

static void means(dv_detect_result *r)
{
    for (int i = 0; i < DV_FIGURES; i++) {
        double sum = 0;
        size_t n = 0;
        for (size_t c = 0; c < r->n_classes; c++) {
            if (isnan(r->cls[c].v[i]))
                continue;
            sum += r->cls[c].v[i];
            n++;
        }
        r->mean[i] = n ? sum / (double)n : (double)NAN;
    }
}

static dmv_status score_classes(box_ref *t, size_t nt, box_ref *f, size_t nf, uint32_t max_dets,
                                dv_detect_result *r, dv_err *e)
{
    points_error points = {0};
    dmv_status s = DMV_OK;
    for (uint32_t c = 0; c < r->n_classes && !s; c++) {
        dv_detect_class *k = &r->cls[c];
        size_t tn = class_length(t, nt, c), fn = class_length(f, nf, c);
        for (int i = 0; i < DV_FIGURES; i++)
            k->v[i] = NAN;
        for (size_t i = 0; i < tn; i++)
            k->ignored += is_ignored(t[i]);
        k->truths = tn - k->ignored;
        k->detections = fn;
        r->truths += k->truths;
        r->ignored += k->ignored;
        r->detections += fn;
        s = coco_class(t, tn, f, fn, max_dets, k->v, e);
        if (!s)
            s = voc_class(t, tn, f, fn, k, &points, e);
        t += tn;
        nt -= tn;
        f += fn;
        nf -= fn;
    }
    r->nme_faces = points.n;
    r->nme = points.n ? points.sum / (double)points.n : (double)NAN;
    r->nme_over = points.n ? (double)points.over / (double)points.n : (double)NAN;
    return s;
}

dmv_status dv_detect_score(const dv_boxes *truth, const dv_boxes *found, const dv_detect_options *o,
                           dv_detect_result *r, dv_err *e)
{
    memset(r, 0, sizeof *r);
    if (o->n_classes < 1 || o->n_classes > DV_DETECT_MAX_CLASSES)
        return dv_fail(e, DMV_ERR_ARGUMENT, "%u classes; there may be 1 to %d", o->n_classes,
                       DV_DETECT_MAX_CLASSES);
    dmv_status s = check(truth, false, o->n_classes, e);
    if (!s)
        s = check(found, true, o->n_classes, e);
    if (s)
        return s;
    box_ref *t = sorted(truth), *f = sorted(found);
    r->cls = dv_calloc(o->n_classes, sizeof *r->cls);
    if (!t || !f || !r->cls)
        s = dv_nomem(e);
    if (!s)
        s = check_groups(t, truth->n, "truth boxes", e);
    if (!s)
        s = check_groups(f, found->n, "detections", e);
    if (!s) {
        r->n_classes = o->n_classes;
        s = score_classes(t, truth->n, f, found->n, o->max_dets ? o->max_dets : DEFAULT_MAX_DETS, r,
                          e);
    }
    dv_free(t);
    dv_free(f);
    if (s)
        dv_detect_free(r);
    else
        means(r);
    return s;
}

void dv_detect_free(dv_detect_result *r)
{
    for (size_t c = 0; c < r->n_classes; c++)
        dv_pr_curve_free(&r->cls[c].curve);
    dv_free(r->cls);
    memset(r, 0, sizeof *r);
}

/* ---- WIDER FACE ---- */

enum { STEPS = 1000 };

typedef struct wider {
    const dv_boxes *truth;
    const uint8_t *keep;
    double lo, hi;
    size_t proposals[STEPS], found[STEPS];
    int8_t *state;      /* of truth: 0 free, 1 found, -1 ignored and hit */
    size_t *n_proposed; /* of the detections up to this one, those that count */
    size_t *n_found;    /* and the kept truth that they found */
} wider;

static void wider_picture(wider *w, const group *g)
{
    size_t proposed = 0, hit = 0;
    memset(w->state, 0, g->n_truth);
    for (size_t d = 0; d < g->n_found; d++) {
        double best = 0;
        size_t at = 0;
        bool counts = true;
        for (size_t k = 0; k < g->n_truth; k++) {
            double o = wider_overlap(g->found[d], g->truth[k]);
            if (o > best) {
                best = o;
                at = k;
            }
        }
        if (best >= 0.5) {
            if (!w->keep[g->truth[at] - w->truth->v]) {
                w->state[at] = -1;
                counts = false;
            } else if (w->state[at] == 0) {
                w->state[at] = 1;
                hit++;
            }
        }
        proposed += counts;
        w->n_proposed[d] = proposed;
        w->n_found[d] = hit;
    }
    /* Normalised scores fall, so the detections above a falling threshold are a growing run. */
    for (size_t i = 0, d = 0; i < STEPS; i++) {
        double least = 1 - (double)(i + 1) / STEPS;
        while (d < g->n_found) {
            double range = w->hi - w->lo;
            double score = range > 0 ? (g->found[d]->score - w->lo) / range : 1;
            if (score < least)
                break;
            d++;
        }
        if (d) {
            w->proposals[i] += w->n_proposed[d - 1];
            w->found[i] += w->n_found[d - 1];
        }
    }
}

static bool wider_curve(const wider *w, size_t kept, double *ap, dv_pr_curve *c)
{
    dv_pr_curve own = {0};
    bool ok = curve_room(&own, STEPS);
    for (size_t i = 0; ok && i < STEPS; i++) {
        own.recall[i] = kept ? (double)w->found[i] / (double)kept : 0;
        own.precision[i] = w->proposals[i] ? (double)w->found[i] / (double)w->proposals[i] : 0;
        own.score[i] = (1 - (double)(i + 1) / STEPS) * (w->hi - w->lo) + w->lo;
        own.n++;
    }
    if (ok)
        *ap = kept ? dv_ap_all_points(own.recall, own.precision, STEPS) : (double)NAN;
    if (ok && c)
        *c = own;
    else
        dv_pr_curve_free(&own);
    return ok;
}

dmv_status dv_wider_score(const dv_boxes *truth, const uint8_t *keep, const dv_boxes *found,
                          double *ap, dv_pr_curve *curve, dv_err *e)
{
    group g;
    size_t kept = 0, nt = truth->n, nf = found->n;
    if (curve)
        memset(curve, 0, sizeof *curve);
    dmv_status s = check(truth, false, 1, e);
    if (!s)
        s = check(found, true, 1, e);
    if (s)
        return s;
    wider *w = dv_calloc(1, sizeof *w);
    box_ref *t0 = sorted(truth), *f0 = sorted(found), *t = t0, *f = f0;
    if (!w || !t || !f)
        s = dv_nomem(e);
    if (!s)
        s = check_groups(t, nt, "truth boxes", e);
    if (!s)
        s = check_groups(f, nf, "detections", e);
    if (!s) {
        w->truth = truth;
        w->keep = keep;
        w->lo = 1; /* so they start there */
        w->hi = 0;
        for (size_t i = 0; i < nf; i++) {
            w->lo = fmin(w->lo, found->v[i].score);
            w->hi = fmax(w->hi, found->v[i].score);
        }
        for (size_t i = 0; i < nt; i++)
            kept += keep[i] != 0;
        w->state = dv_calloc(DV_DETECT_MAX_BOXES, 1);
        w->n_proposed = dv_calloc(DV_DETECT_MAX_BOXES, sizeof *w->n_proposed);
        w->n_found = dv_calloc(DV_DETECT_MAX_BOXES, sizeof *w->n_found);
        if (!w->state || !w->n_proposed || !w->n_found)
            s = dv_nomem(e);
    }
    while (!s && next_group(&t, &nt, &f, &nf, &g))
        if (g.n_truth && g.n_found)
            wider_picture(w, &g);
    if (!s && !wider_curve(w, kept, ap, curve))
        s = dv_nomem(e);
    if (w) {
        dv_free(w->state);
        dv_free(w->n_proposed);
        dv_free(w->n_found);
    }
    dv_free(w);
    dv_free(t0);
    dv_free(f0);
    return s;
}
