/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_detect.c - `domovoi eval detect`: boxes against truth. Boxes come from detectors run over
 * pictures, or from files. Every picture that the truth speaks of counts, and every picture given,
 * with truth or without; one that is missing is an error unless allowed, and is then left out with
 * its truth.
 */
#include "eval_detect.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "plot/plot.h"

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* ---- the pictures ---- */

typedef struct picture_list {
    char **paths;
    uint32_t *image; /* as in the truth */
    size_t n, cap;
} picture_list;

static void free_list(picture_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        dv_free(l->paths[i]);
    dv_free(l->paths);
    dv_free(l->image);
}

static char *joined(const char *folder, size_t folder_length, const char *name)
{
    size_t size = folder_length + strlen(name) + 2;
    char *path = dv_malloc(size);
    if (path && (folder_length == 0 || name[0] == '/'))
        snprintf(path, size, "%s", name);
    else if (path)
        snprintf(path, size, "%.*s/%s", (int)folder_length, folder, name);
    return path;
}

/* Takes path over. */
static bool add_path(picture_list *l, char *path)
{
    if (!path || !dv_grow(&l->paths, &l->cap, l->n, sizeof *l->paths)) {
        dv_free(path);
        return cli_error("out of memory"), false;
    }
    l->paths[l->n++] = path;
    return true;
}

/* A text file with a name a line; names are relative to its folder. */
static bool read_list(picture_list *l, const char *path)
{
    dv_err e = {0};
    uint8_t *data;
    size_t size;
    const char *slash = strrchr(path, '/');
    if (dv_read_file(path, (size_t)64 << 20, &data, &size, &e))
        return cli_error("%s", e.msg), false;
    bool ok = !memchr(data, 0, size) || (cli_error("%s: not a text file", path), false);
    for (char *p = (char *)data, *next; ok && *p; p = next) {
        size_t n = strcspn(p, "\r\n");
        next = p + n + (p[n] != 0);
        p[n] = 0;
        if (n)
            ok = add_path(l, joined(path, slash ? (size_t)(slash - path) : 0, p));
    }
    dv_free(data);
    if (ok && !l->n)
        return cli_error("%s: no names of pictures in it", path), false;
    return ok;
}

static int by_number(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

static bool frame_pictures(const detect_eval *v, picture_list *l)
{
    dv_err e = {0};
    if (!is_folder(v->a.images) && !dv_image_is_name(v->a.images)) {
        if (!read_list(l, v->a.images))
            return false;
    } else {
        dv_paths p = {0};
        if (dv_image_list(v->a.images, &p, &e))
            return cli_error("%s", e.msg), false;
        qsort(p.v, p.n, sizeof *p.v, by_number); /* frame 2 before frame 10 */
        l->paths = p.v;
        l->n = p.n;
    }
    l->image = dv_calloc(l->n, sizeof *l->image);
    if (!l->image)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < l->n; i++)
        l->image[i] = (uint32_t)v->a.first_frame + (uint32_t)i;
    return true;
}

static bool named_pictures(const detect_eval *v, picture_list *l)
{
    const dv_truth *t = &v->truth;
    if (!is_folder(v->a.images))
        return cli_error("--images %s: must be the folder that the names in %s are below",
                         v->a.images, v->a.truth),
               false;
    l->image = dv_calloc(t->n_images, sizeof *l->image);
    if (!l->image)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < t->n_images; i++) {
        if (!add_path(l, joined(v->a.images, strlen(v->a.images), t->images[i])))
            return false;
        l->image[i] = (uint32_t)i;
    }
    return true;
}

/* Drops boxes outside first .. last. */
static void limit_frames(dv_boxes *b, uint32_t first, uint32_t last)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i].image >= first && b->v[i].image <= last)
            b->v[n++] = b->v[i];
    b->n = n;
}

static bool parse_frames(const detect_eval *v, uint32_t *first, uint32_t *last)
{
    const char *s = v->a.frames;
    char *end;
    *first = 0;
    *last = UINT32_MAX;
    if (!s)
        return true;
    if (v->truth.images)
        return cli_error("--frames: the truth names its pictures"), false;
    errno = 0;
    long long a = strtoll(s, &end, 10), b = a;
    if (end != s && *end == '-' && end[1] >= '0' && end[1] <= '9')
        b = strtoll(end + 1, &end, 10);
    if (end == s || *end || errno || a < 0 || b < a || b >= UINT32_MAX)
        return cli_error("--frames %s: FIRST-LAST, two frame numbers", s), false;
    *first = (uint32_t)a;
    *last = (uint32_t)b;
    return true;
}

/* Frames of the truth must be among the pictures. */
static bool check_range(detect_eval *v, const picture_list *l)
{
    uint32_t first = l->image[0], last = l->image[l->n - 1];
    size_t before = v->truth.boxes.n;
    if (v->truth.images)
        return true;
    limit_frames(&v->truth.boxes, first, last);
    size_t lost = before - v->truth.boxes.n;
    if (!lost)
        return true;
    if (v->a.allow_missing) {
        cli_warn("%zu truth boxes of frames that no picture is for are left out", lost);
        return true;
    }
    return cli_error("%s has %zu boxes of frames that no picture is for: it speaks of frames %u to "
                     "%u, %s has pictures for %u to %u; --first-frame says which frame the first "
                     "picture is, --allow-missing leaves the others out",
                     v->a.truth, lost, v->truth.first_frame, v->truth.last_frame, v->a.images,
                     first, last),
           false;
}

/* Keeps the pictures of these frames. */
static void limit_list(picture_list *l, uint32_t first, uint32_t last)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->image[i] < first || l->image[i] > last) {
            dv_free(l->paths[i]);
            continue;
        }
        l->paths[n] = l->paths[i];
        l->image[n++] = l->image[i];
    }
    l->n = n;
}

/* ---- truth ---- */

static dv_truth_format parse_format(const char *word)
{
    for (int i = 0; i < DV_TRUTH_FORMATS; i++)
        if (!word || !strcmp(word, dv_truth_format_names[i]))
            return (dv_truth_format)i;
    cli_error("--format %s: unknown; use auto, mot, frames, wider, points or coco", word);
    return DV_TRUTH_FORMATS;
}

static bool load_truth(detect_eval *v)
{
    dv_err e = {0};
    dv_truth *t = &v->truth;
    dv_truth_format f = parse_format(v->a.format);
    if (f == DV_TRUTH_FORMATS)
        return false;
    if (dv_truth_load(v->a.truth, f, t, &e))
        return cli_error("%s", e.msg), false;
    if (v->a.cls && t->classes[0][0] && dv_truth_select(t, v->a.cls, &e))
        return cli_error("%s: %s", v->a.truth, e.msg), false;
    v->wider = t->format == DV_TRUTH_WIDER || t->format == DV_TRUTH_POINTS;
    return true;
}

/* Without lists of faces: those of at least some height. The lists were made from the results of
 * a detector, so no rule gives them; these come near enough to compare nets with each other. */
static void keep_by_height(detect_eval *v)
{
    static const double least[DET_SUBSETS] = {50, 30, 10};
    for (int k = 0; k < DET_SUBSETS; k++)
        for (size_t i = 0; i < v->truth.boxes.n; i++) {
            const dv_box *b = &v->truth.boxes.v[i];
            v->keep[k][i] = !(b->flags & DV_BOX_IGNORE) && b->h >= least[k];
        }
}

static bool make_subsets(detect_eval *v)
{
    dv_err e = {0};
    int given = 0;
    for (int k = 0; k < DET_SUBSETS; k++)
        given += v->a.subset[k] != NULL;
    if (!v->wider)
        return !given ||
               (cli_error("--easy, --medium, --hard: the truth is not WIDER FACE's"), false);
    if (given && given != DET_SUBSETS)
        return cli_error("--easy, --medium, --hard: give all three"), false;
    v->by_height = !given;
    for (int k = 0; k < DET_SUBSETS; k++) {
        v->keep[k] = dv_calloc(v->truth.boxes.n, 1);
        if (!v->keep[k])
            return cli_error("out of memory"), false;
        if (given && dv_subset_load(v->a.subset[k], &v->truth, v->keep[k], &e))
            return cli_error("%s", e.msg), false;
    }
    if (v->by_height)
        keep_by_height(v);
    return true;
}

/* Truth of the pictures that are missing goes, with its place in the subsets. */
static void drop_missing(detect_eval *v, const picture_list *l, const uint8_t *missing)
{
    dv_boxes *b = &v->truth.boxes;
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        uint32_t at = v->truth.images ? b->v[i].image : b->v[i].image - l->image[0];
        if (missing[at])
            continue;
        for (int k = 0; k < DET_SUBSETS; k++)
            if (v->keep[k])
                v->keep[k][n] = v->keep[k][i];
        b->v[n++] = b->v[i];
    }
    b->n = n;
}

/* ---- runs ---- */

static bool scale_truth(detect_eval *v, int w, int h, const char *whose)
{
    int tw, th;
    if (!v->a.truth_size)
        return true;
    if (!cli_parse_size(v->a.truth_size, &tw, &th))
        return cli_error("--truth-size %s: WIDTHxHEIGHT in pixels", v->a.truth_size), false;
    if (!w)
        return cli_error("--truth-size: %s", whose), false;
    dv_truth_scale(&v->truth, (double)w / tw, (double)h / th);
    return true;
}

static bool run_net(detect_eval *v, const picture_list *l, const char *detector, detect_run *r)
{
    cli_detect_job job = {
        .o = &v->a.o,
        .detector = detector,
        .paths = l->paths,
        .image = l->image,
        .n = l->n,
        .allow_missing = v->a.allow_missing,
        .remedy = v->truth.images ? "--images must name the folder that the names in the truth are "
                                    "below; --allow-missing leaves them out"
                                  : "--allow-missing leaves them out",
    };
    r->is_net = true;
    if (!cli_detect_pictures(&job, &r->net))
        return false;
    r->found = *r->net.boxes;
    memset(r->net.boxes, 0, sizeof *r->net.boxes);
    snprintf(r->name, sizeof r->name, "%s", r->net.name);
    return true;
}

static bool run_nets(detect_eval *v, uint32_t first, uint32_t last)
{
    picture_list l = {0};
    limit_frames(&v->truth.boxes, first, last);
    bool ok = v->truth.images ? named_pictures(v, &l) : frame_pictures(v, &l);
    if (ok) {
        limit_list(&l, first, last);
        if (!l.n) {
            cli_error("--frames %s: no picture is in this range", v->a.frames);
            ok = false;
        }
    }
    ok = ok && check_range(v, &l);
    v->n_runs = DV_MAX(v->a.detectors.n, (size_t)1);
    for (size_t i = 0; ok && i < v->n_runs; i++)
        ok = run_net(v, &l, v->a.detectors.n ? v->a.detectors.v[i] : NULL, &v->run[i]);
    if (ok) {
        const cli_detected *d = &v->run[0].net;
        v->missing = d->n_missing;
        v->pictures = l.n - d->n_missing;
        if (d->n_missing)
            drop_missing(v, &l, d->missing);
        ok = scale_truth(v, d->width, d->height, "the pictures differ in size");
    }
    free_list(&l);
    return ok;
}

static bool run_file(detect_eval *v, const char *path, detect_run *r)
{
    dv_err e = {0};
    char first[1024];
    size_t missing = 0;
    bool folder = is_folder(path);
    dmv_status s = folder ? dv_found_folder(path, &v->truth, &r->found, &missing, first, &e)
                          : dv_found_load(path, &v->truth, v->a.cls, &r->found, &e);
    if (s)
        return cli_error("%s", e.msg), false;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    snprintf(r->name, sizeof r->name, "%.*s", (int)n, path);
    const char *base = cli_base_name(r->name);
    memmove(r->name, base, strlen(base) + 1);
    if (!missing)
        return true;
    if (!v->a.allow_missing)
        return cli_error("%zu of %zu pictures have no file of boxes, the first is %s; "
                         "--allow-missing counts them as pictures where nothing was found",
                         missing, v->truth.n_images, first),
               false;
    cli_warn("%zu pictures have no file of boxes, the first is %s; nothing was found in them",
             missing, first);
    return true;
}

static int by_image(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Without pictures: frames that have truth or a detection. */
static bool count_frames(detect_eval *v)
{
    size_t n = v->truth.boxes.n, at = 0, different = 0;
    for (size_t i = 0; i < v->n_runs; i++)
        n += v->run[i].found.n;
    uint32_t *all = dv_calloc(n ? n : 1, sizeof *all);
    if (!all)
        return cli_error("out of memory"), false;
    for (size_t i = 0; i < v->truth.boxes.n; i++)
        all[at++] = v->truth.boxes.v[i].image;
    for (size_t k = 0; k < v->n_runs; k++)
        for (size_t i = 0; i < v->run[k].found.n; i++)
            all[at++] = v->run[k].found.v[i].image;
    qsort(all, at, sizeof *all, by_image);
    for (size_t i = 0; i < at; i++)
        different += i == 0 || all[i] != all[i - 1];
    v->pictures = different;
    dv_free(all);
    return true;
}

static bool run_files(detect_eval *v, uint32_t first, uint32_t last)
{
    int w = 0, h = 0;
    if (v->a.size && !cli_parse_size(v->a.size, &w, &h))
        return cli_error("--size %s: WIDTHxHEIGHT in pixels", v->a.size), false;
    v->n_runs = v->a.boxes.n;
    limit_frames(&v->truth.boxes, first, last);
    for (size_t i = 0; i < v->n_runs; i++) {
        if (!run_file(v, v->a.boxes.v[i], &v->run[i]))
            return false;
        limit_frames(&v->run[i].found, first, last);
    }
    v->pictures = v->truth.n_images;
    if (!v->truth.images && !count_frames(v))
        return false;
    return scale_truth(v, w, h, "--size WxH is needed, the size of the pictures of --boxes");
}

static void drop_low(dv_boxes *b, double least)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        if (!(b->v[i].score < least))
            b->v[n++] = b->v[i];
    b->n = n;
}

static bool score(detect_eval *v, detect_run *r)
{
    dv_err e = {0};
    dv_detect_options o = {.n_classes = (uint32_t)v->truth.n_classes,
                           .max_dets = (uint32_t)v->a.max_dets};
    if (!isnan(v->a.min_score))
        drop_low(&r->found, v->a.min_score);
    if (dv_detect_score(&v->truth.boxes, &r->found, &o, &r->r, &e))
        return cli_error("%s: %s", r->name, e.msg), false;
    for (int k = 0; v->wider && k < DET_SUBSETS; k++)
        if (dv_wider_score(&v->truth.boxes, v->keep[k], &r->found, &r->wider[k], &r->wider_curve[k],
                           &e))
            return cli_error("%s: %s", r->name, e.msg), false;
    return true;
}

/* ---- the command ---- */

static bool is_plot_name(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && (!strcasecmp(path + n - 4, ".svg") || !strcasecmp(path + n - 4, ".png"));
}

static bool check_args(detect_eval *v)
{
    detect_args *a = &v->a;
    if (!a->truth || (!a->images == !a->boxes.n))
        return cli_error("--truth and one of --images and --boxes are needed; `domovoi eval detect "
                         "--help` shows the form"),
               false;
    if (a->boxes.n && a->detectors.n)
        return cli_error("--boxes and --detector: give one of the two"), false;
    if (a->size && a->images)
        return cli_error("--size goes with --boxes; pictures know their size"), false;
    if (!isnan(a->min_score) && a->images && !(a->min_score >= 0 && a->min_score <= 1))
        return cli_error("--min-score %g: 0 to 1", a->min_score), false;
    if (a->max_dets < 1 || a->max_dets > DV_DETECT_MAX_BOXES)
        return cli_error("--max-dets %d: 1 to %d", a->max_dets, DV_DETECT_MAX_BOXES), false;
    if (a->dump && (a->detectors.n > 1 || a->boxes.n > 1))
        return cli_error("--dump takes the boxes of one detector"), false;
    if (a->pr && !dv_chart_available())
        return cli_error("--pr: this build draws no plots; build with cairo"), false;
    if (a->pr && !is_plot_name(a->pr))
        return cli_error("--pr %s: the name must end in .svg or .png", a->pr), false;
    a->o.min_score = isnan(a->min_score) ? 0.02f : (float)a->min_score;
    return true;
}

/* Before minutes are spent on detection. */
static bool check_plot(const detect_eval *v)
{
    return !v->a.pr || v->truth.n_classes == 1 || v->a.boxes.n < 2 ||
           (cli_error("--pr: several classes and several detectors; choose with --class"), false);
}

static int run_all(detect_eval *v)
{
    uint32_t first, last;
    if (!check_args(v) || !load_truth(v) || !parse_frames(v, &first, &last) || !make_subsets(v) ||
        !check_plot(v))
        return CLI_ERROR;
    if (v->a.images && v->truth.n_classes != 1)
        return cli_error("%s has %zu classes and a face detector one; choose with --class",
                         v->a.truth, v->truth.n_classes);
    if (!(v->a.images ? run_nets(v, first, last) : run_files(v, first, last)))
        return CLI_ERROR;
    if (!v->truth.boxes.n)
        return cli_error("%s: no truth box is left of the pictures that count", v->a.truth);
    for (int k = 0; v->wider && k < DET_SUBSETS; k++)
        for (size_t i = 0; i < v->truth.boxes.n; i++)
            v->kept[k] += v->keep[k][i];
    for (size_t i = 0; i < v->n_runs; i++)
        if (!score(v, &v->run[i]))
            return CLI_ERROR;
    if (!detect_write_dump(v) || !detect_write_plot(v) || !detect_write_report(v))
        return CLI_ERROR;
    detect_print(v);
    detect_print_json(v);
    return CLI_YES;
}

static void close_eval(detect_eval *v)
{
    for (size_t i = 0; i < CLI_MAX_TEXTS; i++) {
        detect_run *r = &v->run[i];
        dv_boxes_free(&r->found);
        cli_detected_free(&r->net);
        dv_detect_free(&r->r);
        for (int k = 0; k < DET_SUBSETS; k++)
            dv_pr_curve_free(&r->wider_curve[k]);
    }
    for (int k = 0; k < DET_SUBSETS; k++)
        dv_free(v->keep[k]);
    dv_truth_free(&v->truth);
    dv_free(v);
}

int cli_eval_detect(int argc, char **argv)
{
    size_t n;
    int done;
    detect_eval *v = dv_calloc(1, sizeof *v);
    if (!v)
        return cli_error("out of memory");
    detect_args *a = &v->a;
    a->o.use = CLI_USE_OUT | CLI_USE_CPU;
    a->min_score = NAN;
    a->first_frame = 1;
    a->max_dets = 100;
    cli_option own[] = {
        {"truth", "FILE", "boxes that are there. Needed", CLI_TEXT, &a->truth},
        {"format", "WORD", "mot, frames, wider, points, coco; default: by its look", CLI_TEXT,
         &a->format},
        {"images", "DIR", "pictures to detect in: a folder, or a list of frames", CLI_TEXT,
         &a->images},
        {"boxes", "FILE", "or what was found; several times: side by side", CLI_TEXTS, &a->boxes},
        {"detector", "NET.dmv", "net to judge; several times: side by side", CLI_TEXTS,
         &a->detectors},
        {"landmarks", "NET.dmv", "finds five points for detectors that give none", CLI_TEXT,
         &a->o.landmarks},
        {"min-score", "S", "drop boxes below this score (pictures: 0.02)", CLI_REAL, &a->min_score},
        {"max-side", "N", "detect at this longest side in pixels (640)", CLI_INT, &a->o.max_side},
        {"scales", "N", "N - 1 more passes over tiles, for small faces (1)", CLI_INT, &a->o.scales},
        {"class", "NAME", "count this class only", CLI_TEXT, &a->cls},
        {"truth-size", "WxH", "the truth is for pictures of this size: scale it", CLI_TEXT,
         &a->truth_size},
        {"size", "WxH", "size of the pictures of --boxes, for --truth-size", CLI_TEXT, &a->size},
        {"first-frame", "N", "frame of the first picture (1)", CLI_INT, &a->first_frame},
        {"frames", "A-B", "count these frames only", CLI_TEXT, &a->frames},
        {"max-dets", "N", "boxes of a class in a picture, for COCO's figures (100)", CLI_INT,
         &a->max_dets},
        {"easy", "FILE", "WIDER FACE's subsets, lines PICTURE n n ..;", CLI_TEXT,
         &a->subset[DET_EASY]},
        {"medium", "FILE", "without them: by height of the faces", CLI_TEXT,
         &a->subset[DET_MEDIUM]},
        {"hard", "FILE", "", CLI_TEXT, &a->subset[DET_HARD]},
        {"pr", "FILE", "precision against recall, .svg or .png", CLI_TEXT, &a->pr},
        {"report", "FILE.md", "report in Markdown", CLI_TEXT, &a->report},
        {"dump", "FILE", "what was found, in the form of --boxes", CLI_TEXT, &a->dump},
        {"allow-missing", NULL, "leave pictures out that cannot be read", CLI_FLAG,
         &a->allow_missing},
    };
    int code = CLI_ERROR;
    if (!cli_parse(argc, argv,
                   "domovoi eval detect [options] --truth FILE --images DIR\n"
                   "       domovoi eval detect [options] --truth FILE --boxes FOUND\n\n"
                   "AP and AR of boxes as COCO, VOC and WIDER FACE count them, error of five "
                   "points.\nThe last line is JSON, one line a detector.",
                   "  domovoi eval detect --truth wider_face_val_bbx_gt.txt --images WIDER_val\n"
                   "  domovoi eval detect --truth gt.txt --truth-size 768x576 --images frames/\n"
                   "  domovoi eval detect --truth instances.json --class person --boxes a.json "
                   "--boxes b.csv\n",
                   &a->o, own, DV_COUNT(own), NULL, 0, &n, &done))
        code = done;
    else
        code = run_all(v);
    close_eval(v);
    return code;
}
