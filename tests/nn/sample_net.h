/* SPDX-License-Identifier: Apache-2.0
 * sample_net.h - the small net that tests of model files and of failures use. */
#ifndef DV_SAMPLE_NET_H
#define DV_SAMPLE_NET_H

#include "nn_test.h"

#define NT_SAMPLE_SIDE 8
#define NT_SAMPLE_DIM 5

void nt_sample(nt_net *n); /* one input [1, 3, free, free]; outputs [1, 5] and a picture */
void nt_sample_meta(dv_meta *m);
void nt_sample_file(uint8_t **data, size_t *size); /* free with dv_free */
/* Shapes and runs a graph from anywhere unless it is large; true if it ran. Free dims become
 * `side`. */
bool nt_try_run(const dv_graph *g, int64_t side);

#endif
