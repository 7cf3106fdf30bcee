/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_train.c - `domovoi train` starts the program domovoi-train, which lies beside this one: it
 * needs oneDNN, which the other verbs do not load. */
#include "cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int cli_train(int argc, char **argv)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    (void)argc;
    if (n > 0) {
        path[n] = 0;
        char *name = strrchr(path, '/');
        if (name && (size_t)(name - path) + sizeof "/domovoi-train" <= sizeof path) {
            strcpy(name, "/domovoi-train");
            execv(path, argv);
        }
    }
    execvp("domovoi-train", argv);
    if (errno != ENOENT)
        return cli_error("domovoi-train cannot be started: %s", strerror(errno));
    return cli_error("this build has no trainer; it is built where oneDNN (libdnnl-dev) is");
}
