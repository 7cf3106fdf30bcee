/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_bench.c - `domovoi bench`: how long things take here. One net (`bench model`, or just
 * `bench`, as it was before there were others), search, or the whole way of a picture.
 */
#include "bench.h"

#include <string.h>
#include <unistd.h>

static const cli_verb forms[] = {
    {"model", "one net, on made-up input", bench_model},
    {"search", "exact search in a made-up gallery", bench_search},
    {"pipeline", "from picture file to name, stage by stage", bench_pipeline},
};

bool bench_is_net(const char *word)
{
    return strpbrk(word, "./") || access(word, F_OK) == 0;
}

int cli_bench(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "-";
    bool is_form = false;
    for (size_t i = 0; i < DV_COUNT(forms); i++)
        is_form |= strcmp(word, forms[i].name) == 0;
    if (is_form || (word[0] != '-' && !bench_is_net(word)))
        return cli_subverb(argc, argv, forms, DV_COUNT(forms), "domovoi bench WORD [options]");
    return bench_plain(argc, argv);
}
