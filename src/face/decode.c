/* SPDX-License-Identifier: Apache-2.0
 *
 * decode.c - what the detector families share: finding the decoder and the outputs by
 * name, and keeping the best faces when there are more than there is room for.
 */
#include <math.h>
#include <string.h>

#include "face/face.h"

const dv_decoder *dv_decoder_find(const char *name)
{
    static const dv_decoder *const all[] = {&dv_decoder_yunet,         &dv_decoder_ultraface,
                                            &dv_decoder_ultraface_raw, &dv_decoder_retinaface,
                                            &dv_decoder_scrfd,         &dv_decoder_blazeface,
                                            &dv_decoder_ssd,           &dv_decoder_fastestdet};
    for (size_t i = 0; name && i < DV_COUNT(all); i++) {
        if (!strcmp(all[i]->name, name)) {
            return all[i];
        }
    }
    return NULL;
}

int dv_output_named(const dv_graph *g, const char *name)
{
    for (size_t i = 0; i < g->n_outputs; i++) {
        const char *have = g->tensors[g->outputs[i]].name;
        if (have && !strcmp(have, name)) {
            return (int)i;
        }
    }
    return -1;
}

int dv_output_last(const dv_graph *g, int64_t last)
{
    for (size_t i = 0; i < g->n_outputs; i++) {
        const dv_gtensor *t = &g->tensors[g->outputs[i]];
        if (t->dtype == DV_F32 && t->rank == 3 && t->dims[2] == last) {
            return (int)i;
        }
    }
    return -1;
}

static void swap(dv_decode_args *a, size_t i, size_t k)
{
    dmv_face t = a->out[i];
    a->out[i] = a->out[k];
    a->out[k] = t;
    if (a->classes) {
        int32_t c = a->classes[i];
        a->classes[i] = a->classes[k];
        a->classes[k] = c;
    }
}

/* While there is room faces are appended; when it is used up, out becomes a heap with the
 * lowest score on top. */
static void sift_down(dv_decode_args *a, size_t i)
{
    for (;;) {
        size_t low = i, child = 2 * i + 1;
        for (size_t c = child; c < child + 2 && c < a->cap; c++) {
            if (a->out[c].score < a->out[low].score) {
                low = c;
            }
        }
        if (low == i) {
            return;
        }
        swap(a, i, low);
        i = low;
    }
}

static void keep(dv_decode_args *a, size_t i, const dmv_face *f)
{
    a->out[i] = *f;
    a->out[i].score = fminf(f->score, 1);
    if (a->classes) {
        a->classes[i] = a->cls;
    }
}

void dv_decode_push(dv_decode_args *a, const dmv_face *f)
{
    const float *b = f->box;
    if (!(f->score >= a->min_score) || !(f->score <= 2) || !(b[2] > 0 && b[3] > 0)) {
        return;
    }
    for (int i = 0; i < 4; i++) {
        if (!(fabsf(b[i]) < DV_FACE_REACH)) {
            return;
        }
    }
    for (int i = 0; f->has_landmarks && i < 5; i++) {
        if (!(fabsf(f->landmarks[i][0]) < DV_FACE_REACH &&
              fabsf(f->landmarks[i][1]) < DV_FACE_REACH)) {
            return;
        }
    }
    if (a->n < a->cap) {
        keep(a, a->n, f);
        if (++a->n == a->cap) {
            for (size_t i = a->cap / 2; i-- > 0;) {
                sift_down(a, i);
            }
        }
    } else if (a->cap && f->score > a->out[0].score) {
        keep(a, 0, f);
        sift_down(a, 0);
    }
}
