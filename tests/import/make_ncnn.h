/* SPDX-License-Identifier: Apache-2.0
 *
 * Small ncnn nets, for the tests of the importer and as first inputs of its fuzz target. */
#ifndef DV_TEST_MAKE_NCNN_H
#define DV_TEST_MAKE_NCNN_H

#include "base/base.h"

/* Weight number i of every net here: -2 .. 2 in steps of 1/8, exact in half precision. */
float mn_weight(size_t i);
/* n weights from number `first` on: plain floats, or behind a flag word as floats or halves. */
typedef enum mn_form { MN_PLAIN, MN_FLOAT, MN_HALF } mn_form;
void mn_weights(dv_buf *bin, mn_form form, size_t first, size_t n);

/* Net number i: its text and its weights; false = no more. */
bool mn_sample(unsigned i, dv_buf *text, dv_buf *bin);

#endif
