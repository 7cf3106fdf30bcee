/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - `domovoi VERB`: the table of verbs.
 */
#include "cli.h"

#include <signal.h>
#include <string.h>

typedef struct entry {
    cli_verb verb; /* first: the table is searched by its first member */
    const char *group;
} entry;

static const entry verbs[] = {
    {{"detect", "find faces in pictures", cli_detect}, "Faces"},
    {{"align", "cut faces out, 112 x 112, eyes level", cli_align}, "Faces"},
    {{"embed", "the vector that stands for a face", cli_embed}, "Faces"},
    {{"verify", "are these two the same person?", cli_verify}, "Faces"},
    {{"enrol", "put people into a gallery", cli_enrol}, "People"},
    {{"identify", "who is in these pictures?", cli_identify}, "People"},
    {{"gallery", "list, show, rename, remove, export, import, backup, restore, verify",
      cli_gallery},
     "People"},
    {{"video", "what a video or camera gives; copy it, also made worse", cli_video}, "Video"},
    {{"model", "import a net; info, plan, verify", cli_model}, "Nets"},
    {{"train", "an embedder from pictures of people", cli_train}, "Nets"},
    {{"bench", "time a net", cli_bench}, "Nets"},
    {{"motion", "where to cut a detector to see motion", cli_motion}, "Nets"},
    {{"eval", "how good nets are: pairs of people, boxes", cli_eval}, "Nets"},
    {{"calibrate", "the threshold for your own people and camera", cli_calibrate}, "Nets"},
    {{"doctor", "check the installation", cli_doctor}, "Nets"},
};

static int help(void)
{
    const char *group = "";
    printf("usage: domovoi VERB [options] ...\n\nFace recognition for weak machines.\n");
    for (size_t i = 0; i < DV_COUNT(verbs); i++) {
        if (strcmp(group, verbs[i].group) != 0)
            printf("\n%s\n", verbs[i].group);
        group = verbs[i].group;
        printf("  %-10s %s\n", verbs[i].verb.name, verbs[i].verb.summary);
    }
    printf("\n`domovoi VERB --help` has options and examples. `domovoi --version` tells the "
           "version.\nExit status: 0 yes or done, 1 no, 2 error.\n");
    return CLI_YES;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        cli_error("no verb; `domovoi --help` lists them");
        return CLI_ERROR;
    }
    const char *word = argv[1];
    if (!strcmp(word, "--version")) {
        printf("domovoi %s\n", dmv_version());
        return CLI_YES;
    }
    bool asks = !strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help");
    if (asks && argc < 3)
        return help();
    if (asks)
        word = argv[2];
    for (size_t i = 0; i < DV_COUNT(verbs); i++) {
        if (strcmp(word, verbs[i].verb.name) != 0)
            continue;
        char option[] = "--help", *show[] = {argv[2], option, NULL};
        cli_verb_name = verbs[i].verb.name;
        return asks ? verbs[i].verb.run(2, show) : verbs[i].verb.run(argc - 1, argv + 1);
    }
    const char *near = cli_nearest(word, verbs, DV_COUNT(verbs), sizeof verbs[0]);
    if (near)
        return cli_error("%s: unknown verb; did you mean `domovoi %s`?", word, near);
    return cli_error("%s: unknown verb; `domovoi --help` lists them", word);
}

int main(int argc, char **argv)
{
    /* A closed pipe is then a failed write, which cli_finish reports. */
    signal(SIGPIPE, SIG_IGN);
    return cli_finish(run(argc, argv));
}
