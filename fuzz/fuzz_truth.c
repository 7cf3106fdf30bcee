/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_truth.c - any bytes as truth, as detections for it and as a subset of it. The first byte
 * chooses the format; what follows a line "==" is the second file. The inputs are exact-size heap
 * copies, so that the address sanitizer sees a read past the end by one byte. What is accepted
 * must hang together, and can be scored.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/truth.h"
#include "replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(const uint8_t *p, size_t n)
{
    char *s = malloc(n + 1);
    if (s && n)
        memcpy(s, p, n);
    if (s)
        s[n] = 0;
    return s;
}

static void check(const dv_boxes *b, const dv_truth *t)
{
    for (size_t i = 0; i < b->n; i++) {
        const dv_box *x = &b->v[i];
        if (!isfinite(x->x + x->y + x->w + x->h + x->score) || x->w < 0 || x->h < 0 ||
            x->cls >= t->n_classes || (t->images && x->image >= t->n_images))
            abort();
    }
}

static void second(dv_truth *t, const uint8_t *p, size_t n)
{
    dv_boxes found;
    dv_detect_result r;
    dv_err e = {0};
    char *text = text_of(p, n);
    uint8_t *keep = malloc(t->boxes.n);
    double ap;
    if (!text || !keep)
        abort();
    dmv_status s = dv_subset_parse(text, n, "subset", t, keep, &e);
    if (s)
        memset(keep, 1, t->boxes.n);
    if (!dv_found_parse(text, n, "found", t, n % 2 ? NULL : "x", &found, &e)) {
        check(&found, t);
        dv_detect_options o = {(uint32_t)t->n_classes, 0};
        if (!dv_detect_score(&t->boxes, &found, &o, &r, &e)) {
            for (int i = 0; i < DV_FIGURES; i++)
                if (r.mean[i] < 0 || r.mean[i] > 1 + 1e-9)
                    abort();
            dv_detect_free(&r);
        }
        if (t->n_classes == 1 && !dv_wider_score(&t->boxes, keep, &found, &ap, NULL, &e) &&
            (ap < 0 || ap > 1 + 1e-9))
            abort();
        dv_boxes_free(&found);
    } else if (!e.msg[0] || found.v) {
        abort();
    }
    free(text);
    free(keep);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_truth t;
    dv_err e = {0};
    if (!size)
        return 0;
    dv_truth_format f = (dv_truth_format)(data[0] % DV_TRUTH_FORMATS);
    data++;
    size--;
    const uint8_t *cut = memmem(data, size, "\n==\n", 4);
    size_t n = cut ? (size_t)(cut - data) + 1 : size;
    char *text = text_of(data, n);
    if (!text)
        return 0;
    if (!dv_truth_parse(text, n, "truth", f, &t, &e)) {
        check(&t.boxes, &t);
        if (!t.boxes.n || !t.n_classes)
            abort();
        if (cut)
            second(&t, cut + 4, size - n - 3);
        dv_truth_free(&t);
    } else if (!e.msg[0] || t.images || t.boxes.v || t.classes) {
        abort();
    }
    free(text);
    return 0;
}

bool dv_fuzz_seed(unsigned i, dv_buf *b)
{
    static const char *const seeds[] = {
        "1,9,499,158,31.03,75.17,1,-4.15,-7.35,0\n1,15,258,219,32.9,88.7,0,-11.3,-5.59,0\n"
        "2,9,497,158,31.03,75.17,1,-4.17,-7.31,0\n==\n1,499,158,31,75,0.9\n2,490,158,31,75,0.5\n",
        "1,20,40,60,80\n7,1,2,3,4\n==\n1,20,40,60,80,.9,x\n7,1,2,3,5,.25,y\n",
        "3,1,2,30,40,10,11,20,21,30,31,40,41,50,51\n==\n"
        "3,1,2,30,40,.5,10,11,20,21,30,31,40,41,50,52\n",
        "0--P/a b.jpg\n2\n449 330 122 149 0 0 0 0 0 0 \n5 6 7 8 2 0 0 1 0 0\n0--P/c.jpg\n0\n"
        "0 0 0 0 0 0 0 0 0 0 \n==\n0--P/a b.jpg 1 2\n0--P/c.jpg\n",
        "a.jpg\n1\n449 330 122 149 0 0 0 0 0 0\n==\na.jpg,440,330,122,149,.5\n",
        "# a.jpg\n1 2 3 4 10 11 0.0 20 21 0.0 30 31 0.0 40 41 0.0 50 51 1.0 0.82\n5 6 7 8\n==\n"
        "a.jpg,1,2,3,4,0.5\n",
        "{\"info\": [null, true, {\"x\": \"\\u00e9\\ud83d\\ude00\"}],\n\"annotations\": [\n"
        "{\"image_id\": 7, \"category_id\": 1, \"bbox\": [1, 2.5, 3e1, 4], \"area\": 77.5, "
        "\"iscrowd\": 0,\n \"keypoints\": [1,2,2, 3,4,1, 5,6,2, 7,8,2, 9,10,2]},\n"
        "{\"image_id\": 40, \"category_id\": 1, \"bbox\": [0, 0, 9, 9], \"iscrowd\": 1}],\n"
        "\"images\": [{\"id\": 40, \"file_name\": \"b.jpg\"}, {\"id\": 7, \"file_name\": \"a.jpg\"}"
        "],\n\"categories\": [{\"id\": 1, \"name\": \"x\"}]}\n==\n"
        "[{\"image_id\": 7, \"category_id\": 1, \"bbox\": [1, 2, 30, 4], \"score\": 0.5}]",
    };
    if (i >= DV_COUNT(seeds))
        return false;
    dv_buf_u8(b, 0); /* told apart by its look */
    dv_buf_put(b, seeds[i], strlen(seeds[i]));
    return true;
}
