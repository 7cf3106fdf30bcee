/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_eval.c - `domovoi eval WHAT`: the table of evaluations, one file each (eval_*.c).
 */
#include "cli.h"

int cli_eval(int argc, char **argv)
{
    static const cli_verb subs[] = {
        {"verify", "accuracy and true-accept rates on a list of pairs", cli_eval_verify},
        {"identify", "finding people in a gallery, among distractors", cli_eval_identify},
        {"cross", "gallery by one net, probes by another", cli_eval_cross},
        {"fairness", "errors by groups of people", cli_eval_fairness},
        {"compress", "the same on pictures that went through H.264", cli_eval_compress},
        {"detect", "AP and AR of boxes against truth", cli_eval_detect},
    };
    return cli_subverb(argc, argv, subs, DV_COUNT(subs), "domovoi eval WORD ...");
}
