/* SPDX-License-Identifier: Apache-2.0
 * replay.h - what a fuzz target may offer replay.c beside its entry point. */
#ifndef DV_REPLAY_H
#define DV_REPLAY_H

#include "base/base.h"

/* Appends input number i to b, made in code; false if there is no such input. Optional. */
bool dv_fuzz_seed(unsigned i, dv_buf *b) __attribute__((weak));

#endif
