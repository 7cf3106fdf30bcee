/* SPDX-License-Identifier: Apache-2.0
 * nets.h - nets by name. */
#ifndef TR_NETS_H
#define TR_NETS_H

#include "train/train.h"

typedef struct tr_recipe {
    const char *family; /* mobilefacenet | mobiface */
    const char *act;    /* relu | prelu | swish */
    double width, depth;
    bool se;
    int64_t dim; /* of the embedding */
} tr_recipe;

/* An embedder of 112 x 112 x 3. */
dmv_status tr_net_build(tr_net *n, const tr_recipe *r, dv_err *e);

#endif
