/* SPDX-License-Identifier: MIT */
/*
 * main.c - cellpack: find the verb, parse for it, run it.
 */
#include "cli.h"

#include <string.h>

#ifndef CELLPACK_VERSION
    #error "the build passes CELLPACK_VERSION"
#endif

static int unknown_verb(const char *name)
{
    struct suggestion near = {.word = name};
    for (const struct verb *const *verb = all_verbs(); *verb; verb++) {
        if (!(*verb)->hidden) {
            suggestion_offer(&near, (*verb)->name);
        }
    }
    if (near.best) {
        return report_usage(NULL, "there is no verb '%s'; is '%s' meant?", name, near.best);
    }
    return report_usage(NULL, "there is no verb '%s'", name);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_overview(stdout);
        return output_finish(EXIT_DONE);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("cellpack %s\n", CELLPACK_VERSION);
        return output_finish(EXIT_DONE);
    }
    const struct verb *verb = find_verb(argv[1]);
    if (!verb) {
        return unknown_verb(argv[1]);
    }
    struct arguments arguments;
    int code = EXIT_USAGE;
    if (arguments_parse(&arguments, verb, argc - 2, argv + 2, &code)) {
        code = verb->run(&arguments);
    }
    arguments_fini(&arguments);
    return output_finish(code);
}
