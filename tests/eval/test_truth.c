/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of truth and of detections: each format as its makers write it, and every way to be wrong
 * with a message that names the file and the line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/truth.h"

static dv_truth parse(const char *text, dv_truth_format want)
{
    dv_truth t;
    dv_err e = {0};
    if (dv_truth_parse(text, strlen(text), "t.txt", DV_TRUTH_AUTO, &t, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(t.format, want);
    return t;
}

static void refused(const char *text, dv_truth_format f, const char *words)
{
    dv_truth t;
    dv_err e = {0};
    if (!dv_truth_parse(text, strlen(text), "t.txt", f, &t, &e))
        fail_msg("accepted: %s", text);
    if (strncmp(e.msg, "t.txt: ", 7) || !strstr(e.msg, words))
        fail_msg("\"%s\" does not say \"%s\" of: %s", e.msg, words, text);
    assert_true(!t.images && !t.boxes.v && !t.classes);
}

static void is(const dv_box *b, uint32_t image, double x, double y, double w, double h)
{
    if (b->image != image || b->x != x || b->y != y || b->w != w || b->h != h)
        fail_msg("%u: %g %g %g %g", b->image, b->x, b->y, b->w, b->h);
}

static void test_mot(void **state)
{
    (void)state;
    dv_truth t = parse("1,9,499,158,31.03,75.17,1,-4.1554,-7.3591,0\r\n"
                       "\n"
                       "1,15,258,219,32.913,88.702,0,-11.306,-5.5995,0\n"
                       "1.2000000e+01,9,-3,219,32,88,1,-1,-1,-1\n",
                       DV_TRUTH_MOT);
    assert_int_equal(t.boxes.n, 3);
    is(&t.boxes.v[0], 1, 499, 158, 31.03, 75.17);
    is(&t.boxes.v[2], 12, -3, 219, 32, 88);
    assert_int_equal(t.boxes.v[0].track, 9);
    assert_int_equal(t.boxes.v[0].flags, 0);
    assert_int_equal(t.boxes.v[1].flags, DV_BOX_IGNORE);
    assert_int_equal(t.first_frame, 1);
    assert_int_equal(t.last_frame, 12);
    assert_int_equal(t.n_classes, 1);
    dv_truth_scale(&t, 0.5, 2);
    is(&t.boxes.v[2], 12, -1.5, 438, 16, 176);
    dv_truth_free(&t);
    /* MOT16: nine columns, the 8th the class. */
    t = parse("1,1,912,484,97,109,0,7,1\n2,1,912,484,97,109,1,1,0.5", DV_TRUTH_MOT);
    assert_int_equal(t.boxes.v[0].flags, DV_BOX_IGNORE);
    assert_int_equal(t.boxes.v[1].flags, 0);
    dv_truth_free(&t);
}

static void test_frames(void **state)
{
    (void)state;
    dv_truth t = parse("frame,x,y,w,h\n# a comment\n0,1,2,3,4,\n7,5,6,7,8,\n", DV_TRUTH_FRAMES);
    assert_int_equal(t.boxes.n, 2);
    is(&t.boxes.v[1], 7, 5, 6, 7, 8);
    assert_int_equal(t.first_frame, 0);
    dv_truth_free(&t);
    t = parse("  3 1 2 3 4 \n\t4\t1 2 3 .5e1", DV_TRUTH_FRAMES);
    is(&t.boxes.v[1], 4, 1, 2, 3, 5);
    dv_truth_free(&t);
    t = parse("3,1,2,3,4,10,11,20,21,30,31,40,41,50,51\n", DV_TRUTH_FRAMES);
    assert_int_equal(t.boxes.v[0].flags, DV_BOX_POINTS);
    assert_true(t.boxes.v[0].points[4][0] == 50 && t.boxes.v[0].points[1][1] == 21);
    dv_truth_free(&t);
}

static const char wider[] = "0--Parade/0_Parade_march_1_849.jpg\n"
                            "1\n"
                            "449 330 122 149 0 0 0 0 0 0 \n"
                            "0--Parade/0 Parade.jpg\n"
                            "0\n"
                            "0 0 0 0 0 0 0 0 0 0 \n"
                            "1--X/c.jpg\n"
                            "0\n"
                            "1--X/d.jpg\n"
                            "3\n"
                            "1 2 3 4 2 0 0 1 0 0 \n"
                            "5 6 7 0 2 0 0 0 0 0 \n"
                            "9 10 11 12\n";

static void test_wider(void **state)
{
    (void)state;
    dv_err e = {0};
    dv_truth t = parse(wider, DV_TRUTH_WIDER);
    assert_int_equal(t.n_images, 4);
    assert_string_equal(t.images[1], "0--Parade/0 Parade.jpg");
    assert_int_equal(t.boxes.n, 4);
    is(&t.boxes.v[0], 0, 449, 330, 122, 149);
    is(&t.boxes.v[2], 3, 5, 6, 7, 0);
    assert_int_equal(t.boxes.v[1].flags, DV_BOX_IGNORE);
    uint32_t at;
    assert_true(dv_truth_image(&t, "1--X/c.jpg", &at) && at == 2);
    assert_false(dv_truth_image(&t, "c.jpg", &at));
    uint8_t keep[4];
    static const char list[] = "1--X/d.jpg 3\t1\n0--Parade/0_Parade_march_1_849.jpg 1\n"
                               "0--Parade/0 Parade.jpg\n";
    assert_int_equal(dv_subset_parse(list, strlen(list), "s", &t, keep, &e), DMV_OK);
    assert_memory_equal(keep, ((uint8_t[]){1, 1, 0, 1}), 4);
    static const char *const bad[][2] = {{"1--X/d.jpg 4\n", "boxes 1 to 3"},
                                         {"1--X/d.jpg 0\n", "boxes 1 to 3"},
                                         {"\n1--X/d.jpg one\n", "line 2"},
                                         {"1--X/e.jpg 1\n", "no picture"},
                                         {"1--X/c.jpg 1\n", "boxes 1 to 0"}};
    for (size_t i = 0; i < DV_COUNT(bad); i++) {
        if (!dv_subset_parse(bad[i][0], strlen(bad[i][0]), "s", &t, keep, &e))
            fail_msg("accepted: %s", bad[i][0]);
        if (strncmp(e.msg, "s: line ", 8) || !strstr(e.msg, bad[i][1]))
            fail_msg("%s", e.msg);
    }
    dv_truth_free(&t);
    t = parse("# 0--P/a.jpg\n1 2 3 4 10 11 0.0 20 21 0.0 30 31 0.0 40 41 0.0 50 51 1.0 0.82\n"
              "1 2 3 4 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 0.3\n# 0--P/b.jpg\n5 6 7 8\n",
              DV_TRUTH_POINTS);
    assert_int_equal(t.boxes.v[0].flags, DV_BOX_POINTS);
    assert_true(t.boxes.v[0].points[3][1] == 41);
    assert_int_equal(t.boxes.v[1].flags, 0);
    is(&t.boxes.v[2], 1, 5, 6, 7, 8);
    dv_truth_free(&t);
}

static const char coco[] =
    "{\"info\": {\"year\": 2017, \"x\": [[], {}, null, true, -1.5e-3]},\n"
    "\"annotations\": [\n"
    "{\"id\": 1, \"image_id\": 40, \"category_id\": 18, \"bbox\": [1, 2.5, 3e1, 4],\n"
    " \"segmentation\": [[1, 2, 3]], \"area\": 77.5, \"iscrowd\": 0},\n"
    "{\"id\": 2, \"image_id\": 7, \"category_id\": 1, \"bbox\": [0,0,9,9], \"iscrowd\": 1,\n"
    " \"segmentation\": {\"counts\": \"a\\\"]}b\", \"size\": [1, 2]}},\n"
    "{\"image_id\": 7, \"category_id\": 1, \"bbox\": [0,0,9,9],\n"
    " \"keypoints\": [1,2,2, 3,4,1, 5,6,2, 7,8,2, 9,10,2]},\n"
    "{\"image_id\": 7, \"category_id\": 1, \"bbox\": [0,0,9,9],\n"
    " \"keypoints\": [1,2,2, 3,4,0, 5,6,2, 7,8,2, 9,10,2]}\n"
    "],\n"
    "\"images\": [{\"id\": 40, \"file_name\": \"b\\u00e9 \\ud83d\\ude00.jpg\"},\n"
    "             {\"file_name\": \"a.jpg\", \"id\": 7, \"height\": 3}],\n"
    "\"categories\": [{\"id\": 18, \"name\": \"dog\"}, {\"id\": 1, \"name\": \"person\"}]}\n";

static void test_coco(void **state)
{
    (void)state;
    dv_err e = {0};
    dv_truth t = parse(coco, DV_TRUTH_COCO);
    assert_int_equal(t.n_images, 2);
    assert_string_equal(t.images[0], "a.jpg");
    assert_string_equal(t.images[1], "b\xc3\xa9 \xf0\x9f\x98\x80.jpg");
    assert_int_equal(t.image_ids[1], 40);
    assert_int_equal(t.n_classes, 2);
    assert_string_equal(t.classes[0], "person");
    assert_int_equal(t.class_ids[1], 18);
    assert_int_equal(t.boxes.n, 4);
    is(&t.boxes.v[0], 1, 1, 2.5, 30, 4);
    assert_int_equal(t.boxes.v[0].cls, 1);
    assert_true(t.boxes.v[0].area == 77.5);
    assert_int_equal(t.boxes.v[1].flags, DV_BOX_CROWD);
    assert_int_equal(t.boxes.v[2].flags, DV_BOX_POINTS);
    assert_true(t.boxes.v[2].points[4][1] == 10);
    assert_int_equal(t.boxes.v[3].flags, 0);
    uint32_t at;
    assert_true(dv_truth_image(&t, "40", &at) && at == 1);
    assert_true(dv_truth_image(&t, "a.jpg", &at) && at == 0);
    assert_int_equal(dv_truth_select(&t, "cat", &e), DMV_ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "person, dog"));
    assert_int_equal(dv_truth_select(&t, "18", &e), DMV_OK);
    assert_int_equal(t.boxes.n, 1);
    assert_int_equal(t.boxes.v[0].cls, 0);
    assert_string_equal(t.classes[0], "dog");
    dv_truth_free(&t);
}

static void test_bad_rows(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        dv_truth_format format;
        const char *words;
    } bad[] = {
        {"", DV_TRUTH_AUTO, "no boxes"},
        {"\n \n", DV_TRUTH_AUTO, "no boxes"},
        {"1,2,3,4,5\n1,2,3,4\n", DV_TRUTH_AUTO, "line 2: 4 columns where the first row has 5"},
        {"1,2,3,4,5\n1,2,3,4,5,6\n", DV_TRUTH_AUTO, "line 2"},
        {"1,9,2,3,4,5,1,-1,-1,-1\n1,9,2,3,4,5", DV_TRUTH_AUTO, "cut?"},
        {"1,2,3\n", DV_TRUTH_AUTO, "line 1: 3 columns"},
        {"1,2,3,4,5,6\n", DV_TRUTH_AUTO, "line 1: 6 columns"},
        {"1,2,3,4,5\n", DV_TRUTH_MOT, "frame,id,x,y,w,h,flag"},
        {"1,2,3,4,5,6,7\n", DV_TRUTH_FRAMES, "frame,x,y,w,h"},
        {"1,2,3,-4,5\n", DV_TRUTH_AUTO, "line 1: a width or height below 0"},
        {"1,2,3,4,-0.001\n", DV_TRUTH_AUTO, "below 0"},
        {"\n1,nan,3,4,5\n", DV_TRUTH_AUTO, "line 2: x is not a finite number: nan"},
        {"1,2,inf,4,5\n", DV_TRUTH_AUTO, "y is not a finite number"},
        {"1,2,3,1e999,5\n", DV_TRUTH_AUTO, "width is not a finite number"},
        {"1,2,3,4,0x10\n", DV_TRUTH_AUTO, "height is not a finite number"},
        {"1,2,3,4,\n", DV_TRUTH_AUTO, "4 columns"},
        {"1,2,,4,5\n", DV_TRUTH_AUTO, "y is not a finite number"},
        {"1,2,3,4,5 6\n", DV_TRUTH_AUTO, "height is not a finite number: 5 6"},
        {"1,20000000,3,4,5\n", DV_TRUTH_AUTO, "beyond 10,000,000 pixels"},
        {"1,2,-1e300,4,5\n", DV_TRUTH_AUTO, "beyond 10,000,000 pixels"},
        {"-1,2,3,4,5\n", DV_TRUTH_AUTO, "line 1: the frame"},
        {"1.5,2,3,4,5\n", DV_TRUTH_AUTO, "the frame is not a whole number"},
        {"99999999999,2,3,4,5\n", DV_TRUTH_AUTO, "the frame"},
        {"one,2,3,4,5\n", DV_TRUTH_AUTO, "the frame"},
        {"1,-1,2,3,4,5,0.9,-1,-1,-1\n", DV_TRUTH_AUTO, "line 1: id -1: these are detections"},
        {"1,2,2,3,4,5,yes,-1,-1,-1\n", DV_TRUTH_AUTO, "the 7th column"},
        {"1,1.5,2,3,4,5,1\n", DV_TRUTH_AUTO, "the id"},
        {"1,1,2,3,4,1,1,1,1,1,1,1,1,1,x\n", DV_TRUTH_AUTO, "line 1: point 5"},
        {"a.jpg\n", DV_TRUTH_WIDER, "ends after the name a.jpg"},
        {"a.jpg\n1\n", DV_TRUTH_AUTO, "ends after 0 of 1 faces of a.jpg"},
        {"a.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n", DV_TRUTH_AUTO, "ends after 1 of 2 faces"},
        {"a.jpg\n2\n1 2 3 4 0 0 0 0 0 0\nb.jpg\n", DV_TRUTH_AUTO, "line 4: 1 columns"},
        {"a.jpg\n1\n1 2 3 4 0 0 0 0 0 0\n1 2 3 4 0 0 0 0 0 0\n1\n", DV_TRUTH_AUTO, "line 4"},
        {"a.jpg\n1\n1 2 3 4 0 0 0\n", DV_TRUTH_AUTO, "line 3: 7 columns"},
        {"a.jpg\n1\n1 2 3 -4 0 0 0 0 0 0\n", DV_TRUTH_AUTO, "line 3: a width or height below 0"},
        {"a.jpg\n1\n1 2 3 4 0 0 0 x 0 0\n", DV_TRUTH_AUTO, "line 3: the 8th column"},
        {"a.jpg\nx\n", DV_TRUTH_WIDER, "line 2: expected the number of faces"},
        {"/etc/a.jpg\n0\n", DV_TRUTH_AUTO, "line 1: names must be relative"},
        {"a/../../b.jpg\n0\n", DV_TRUTH_AUTO, "'..' is not allowed"},
        {"a.jpg\n1\n1 2 3 4\na.jpg\n0\n", DV_TRUTH_AUTO, "a.jpg is in it twice"},
        {"# a.jpg\n1 2 3 4 5\n", DV_TRUTH_AUTO, "line 2: 5 columns"},
        {"1 2 3 4\n", DV_TRUTH_POINTS, "line 1: expected \"# name"},
        {"# a.jpg\n1 2 3 4 5 6 0 7 8 0 9 10 0 11 12 0 13 y 0\n", DV_TRUTH_AUTO, "point 5"},
    };
    for (size_t i = 0; i < DV_COUNT(bad); i++)
        refused(bad[i].text, bad[i].format, bad[i].words);
    dv_truth t;
    dv_err e = {0};
    assert_int_not_equal(dv_truth_parse("1,2,3\0,4,5\n", 11, "t.txt", 0, &t, &e), DMV_OK);
    assert_non_null(strstr(e.msg, "not a text file"));
}

#define IMAGES "\"images\":[{\"id\":1,\"file_name\":\"a.jpg\"}]"
#define KINDS "\"categories\":[{\"id\":1,\"name\":\"x\"}]"
#define NOTE(s) "{" IMAGES "," KINDS ",\n\"annotations\":[" s "]}"

static void test_bad_json(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"{", "line 1: the file ends"},
        {"[]", "expected an object"},
        {"{}", "no \"images\""},
        {"{" IMAGES "}", "no \"categories\""},
        {"{" IMAGES "," KINDS "}", "no boxes"},
        {"{\"a\":1,}", "a string"},
        {"{\"a\" 1}", "':'"},
        {"{\"a\":1 \"b\":2}", "','"},
        {"{\"a\":01}", "a number"},
        {"{\"a\":1e}", "a number"},
        {"{\"a\":+1}", "a value"},
        {"{\"a\":tru}", "true, false or null"},
        {"{\"a\":\"\\x\"}", "backslash"},
        {"{\"a\":\"\\u12g4\"}", "hexadecimal"},
        {"{\"a\":\"\\ud800x\"}", "surrogate"},
        {"{\"a\":\"\\udc00\"}", "surrogate"},
        {"{\"a\":\"line\nend\"}", "control character"},
        {"{\"a\":\"open", "the end of a string"},
        {"{\"a\":1} x", "something follows"},
        {"{\"a\":[1,2}", "',' or ']'"},
        {"{\"images\":{}}", "an array"},
        {"{\"images\":[{\"id\":1}]}", "line 1: no \"file_name\""},
        {"{\"images\":[\n{\"file_name\":\"a\"}]}", "line 2: no \"id\""},
        {"{\"images\":[{\"id\":1.5,\"file_name\":\"a\"}]}", "whole number"},
        {"{\"images\":[{\"id\":1,\"file_name\":\"a\\u0000\"}]}", "a character 0"},
        {"{" KINDS ",\"images\":[{\"id\":1,\"file_name\":\"a\"},\n{\"id\":1,\"file_name\":\"b\"}]}",
         "line 2: a second image with id 1"},
        {"{" KINDS ",\"images\":[{\"id\":1,\"file_name\":\"../a\"}]}", "'..' is not allowed"},
        {"{" KINDS ",\"images\":[{\"id\":1,\"file_name\":\"a\"},{\"id\":2,\"file_name\":\"a\"}]}",
         "two images with file_name a"},
        {NOTE("{\"image_id\":1,\"category_id\":1}"), "line 2: an annotation without \"bbox\""},
        {NOTE("{\"image_id\":1,\"bbox\":[1,2,3,4]}"), "without \"category_id\""},
        {NOTE("{\"image_id\":2,\"category_id\":1,\"bbox\":[1,2,3,4]}"),
         "line 2: an annotation of an image that is not there: 2"},
        {NOTE("{\"image_id\":1,\"category_id\":3,\"bbox\":[1,2,3,4]}"), "category"},
        {NOTE("{\"image_id\":1,\"category_id\":1,\"bbox\":[1,2,3]}"), "a bbox of 3 numbers"},
        {NOTE("{\"image_id\":1,\"category_id\":1,\"bbox\":[1,2,3,4,5]}"), "a bbox of 5 numbers"},
        {NOTE("{\"image_id\":1,\"category_id\":1,\"bbox\":[1,2,-3,4]}"), "line 2: bbox: a width"},
        {NOTE("{\"image_id\":1,\"category_id\":1,\"bbox\":[1,1e9,3,4]}"), "10,000,000"},
        {NOTE("{\"image_id\":1,\"category_id\":1,\"bbox\":[1,1e999,3,4]}"), "too large"},
        {NOTE("{\"image_id\":1,\"category_id\":1,\"bbox\":[1,NaN,3,4]}"), "a number"},
        {NOTE("{\"image_id\":1,\"category_id\":1,\"bbox\":[1,2,3,4],\"area\":-1}"),
         "negative area"},
    };
    for (size_t i = 0; i < DV_COUNT(bad); i++)
        refused(bad[i][0], DV_TRUTH_COCO, bad[i][1]);
    char deep[4200];
    snprintf(deep, sizeof deep, "{\"a\":");
    for (size_t i = 5; i < 4100; i++)
        deep[i] = '[', deep[i + 1] = 0;
    refused(deep, DV_TRUTH_AUTO, "nested deeper");
    char *text = dv_strdup(coco); /* cut anywhere: refused, or complete but for the last lines */
    for (size_t n = strlen(text) - 2; n > 0; n--) {
        dv_truth t;
        dv_err e = {0};
        text[n] = 0;
        if (!dv_truth_parse(text, n, "t.txt", DV_TRUTH_COCO, &t, &e))
            fail_msg("accepted when cut at %zu", n);
        assert_non_null(strstr(e.msg, "t.txt: line "));
    }
    dv_free(text);
}

static void found_is(const dv_truth *t, const char *cls, const char *text, size_t n)
{
    dv_boxes b;
    dv_err e = {0};
    if (dv_found_parse(text, strlen(text), "f.txt", t, cls, &b, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(b.n, n);
    dv_boxes_free(&b);
}

static void found_refused(const dv_truth *t, const char *cls, const char *text, const char *words)
{
    dv_boxes b;
    dv_err e = {0};
    if (!dv_found_parse(text, strlen(text), "f.txt", t, cls, &b, &e))
        fail_msg("accepted: %s", text);
    if (strncmp(e.msg, "f.txt: ", 7) || !strstr(e.msg, words))
        fail_msg("\"%s\" does not say \"%s\" of: %s", e.msg, words, text);
    assert_true(!b.v && !b.n);
}

static void test_found(void **state)
{
    (void)state;
    dv_boxes b;
    dv_err e = {0};
    dv_truth t = parse("1,2,3,4,5\n", DV_TRUTH_FRAMES);
    static const char rows[] = "frame,x,y,w,h,score,class,a,b,c,d,e,f,g,h,i,j\n"
                               "5,1,2,3,4,.5,cat,1,2,3,4,5,6,7,8,9,10\n"
                               "5,1,2,3,4,-7,dog,1,2,3,4,5,6,7,8,9,10\n";
    assert_int_equal(dv_found_parse(rows, strlen(rows), "f", &t, "dog", &b, &e), DMV_OK);
    assert_int_equal(b.n, 1);
    is(&b.v[0], 5, 1, 2, 3, 4);
    assert_true(b.v[0].score == -7 && b.v[0].points[4][1] == 10);
    assert_int_equal(b.v[0].flags, DV_BOX_POINTS);
    dv_boxes_free(&b);
    found_is(&t, NULL, "", 0);
    found_is(&t, NULL, "1,1,2,3,4,.5,cat\n1,1,2,3,4,.5,cat\n", 2);
    found_is(&t, NULL, "1,-1,1,2,3,4,.5,-1,-1,-1\n", 1);
    found_is(&t, NULL, "[{\"image_id\":3,\"category_id\":1,\"bbox\":[1,2,3,4],\"score\":1}]", 1);
    found_is(&t, NULL, " []\n", 0);
    found_refused(&t, NULL, "1,1,2,3,4,.5,cat\n1,1,2,3,4,.5,dog\n", "line 2: dog: rows of diff");
    found_refused(&t, NULL, "1,1,2,3,4\n", "line 1: 5 columns");
    found_refused(&t, NULL, "1,1,2,3,4,.5\n1,1,2,3,4,.5,x\n", "line 2: 7 columns");
    found_refused(&t, NULL, "1,1,2,3,4,nan\n", "line 1: the score");
    found_refused(&t, NULL, "1,1,2,-3,4,.5\n", "line 1: a width");
    found_refused(&t, NULL, "x,1,2,3,4,.5\n", "line 1: the frame");
    found_refused(&t, NULL, "1,1,2,3,4,.5,\n1,1,2,3,4,.5,,\n", "line 2");
    found_refused(&t, NULL, "[{\"image_id\":3,\n\"bbox\":[1,2,3,4],\"score\":1}]",
                  "line 2: a result without \"category_id\"");
    found_refused(&t, NULL, "[{\"image_id\":3,\"category_id\":1,\"bbox\":[1,2,3],\"score\":1}]",
                  "four numbers");
    found_refused(&t, NULL, "[{\"image_id\":-3,\"category_id\":1,\"bbox\":[1,2,3,4],\"score\":1}]",
                  "no image -3");
    found_refused(&t, NULL, "[{\"image_id\":3,", "the file ends");
    dv_truth_free(&t);
    t = parse(coco, DV_TRUTH_COCO);
    found_is(&t, NULL, "40,1,2,3,4,.5,dog\na.jpg,1,2,3,4,.5,1\n", 2);
    found_refused(&t, NULL, "40,1,2,3,4,.5\n", "choose one with --class");
    found_refused(&t, NULL, "41,1,2,3,4,.5,dog\n", "line 1: the truth has no picture 41");
    found_refused(&t, NULL, "40,1,2,3,4,.5,cat\n", "line 1: cat: no class of the truth");
    assert_int_equal(dv_truth_select(&t, "dog", &e), DMV_OK);
    found_is(&t, "dog", "40,1,2,3,4,.5,dog\n7,1,2,3,4,.5,person\n", 1);
    found_is(&t, "dog", "40,1,2,3,4,.5\n", 1);
    dv_truth_free(&t);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[256];
    dv_err e = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(dv_write_file(path, text, strlen(text), &e), DMV_OK);
}

static void test_folder(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"a\n2\n1 2 3 4 .5\n", "line 3: the file ends after 1 of 2"},
        {"a\n1\n1 2 3 4\n", "line 3: 4 columns"},
        {"a\n1\n1 2 3 4 x\n", "line 3: the score"},
        {"a\n1\n1 2 3 -4 1\n", "line 3: a width"},
        {"a\n0\n1 2 3 4 1\n", "line 3: more rows than the 0"},
        {"a\nx\n", "line 2: expected the number"},
        {"a\n", "expected the number"},
        {"\n", "empty"}};
    char folder[] = "/tmp/dv_found_XXXXXX", first[1024], path[256];
    size_t missing;
    dv_boxes b;
    dv_err e = {0};
    dv_truth t = parse("x/a.jpg\n1\n1 2 3 4\nb.jpg\n1\n1 2 3 4\n", DV_TRUTH_WIDER);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    write_text(folder, "x/a.txt", "a.jpg\n2\n1 2 3 4 0.5\n5 6 7 8 0.25 \n");
    assert_int_equal(dv_found_folder(folder, &t, &b, &missing, first, &e), DMV_OK);
    assert_int_equal(b.n, 2);
    is(&b.v[1], 0, 5, 6, 7, 8);
    assert_true(b.v[1].score == 0.25);
    assert_int_equal(missing, 1);
    assert_non_null(strstr(first, "/b.txt"));
    dv_boxes_free(&b);
    for (size_t i = 0; i < DV_COUNT(bad); i++) {
        write_text(folder, "x/a.txt", bad[i][0]);
        if (!dv_found_folder(folder, &t, &b, &missing, first, &e))
            fail_msg("accepted: %s", bad[i][0]);
        if (!strstr(e.msg, "/x/a.txt: ") || !strstr(e.msg, bad[i][1]))
            fail_msg("%s", e.msg);
        assert_true(!b.v);
    }
    snprintf(path, sizeof path, "%s/x/a.txt", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/x", folder);
    rmdir(path);
    rmdir(folder);
    dv_truth_free(&t);
}

static void test_memory(void **state)
{
    (void)state;
    static const char *const texts[] = {coco, wider, "1,2,3,4,5\n2,2,3,4,5\n"};
    int failures = 0;
    for (size_t k = 0; k < DV_COUNT(texts); k++) {
        for (uint64_t n = 1; n < 40; n++) {
            dv_truth t;
            dv_err e = {0};
            dv_alloc_fail_at(n, false);
            dmv_status s = dv_truth_parse(texts[k], strlen(texts[k]), "t", 0, &t, &e);
            dv_alloc_fail_at(0, false);
            if (s) {
                assert_int_equal(s, DMV_ERR_MEMORY);
                assert_true(!t.images && !t.boxes.v);
                failures++;
            } else {
                dv_truth_free(&t);
            }
        }
    }
    assert_true(failures >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mot),      cmocka_unit_test(test_frames),
        cmocka_unit_test(test_wider),    cmocka_unit_test(test_coco),
        cmocka_unit_test(test_bad_rows), cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_found),    cmocka_unit_test(test_folder),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
