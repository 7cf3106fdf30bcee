/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_eval.c - `domovoi eval WHAT`: the table of evaluations, one file each (eval_*.c).
 */
#include "cli.h"

int cli_eval(int argc, char **argv)
{
    static const cli_verb subs[] = {
        {"verify", "accuracy and true-accept rates on a list of pairs", cli_eval_verify},
        {"detect", "AP and AR of boxes against truth", cli_eval_detect},
    };
    return cli_subverb(argc, argv, subs, DV_COUNT(subs), "domovoi eval WORD ...");
}
