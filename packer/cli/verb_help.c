/* SPDX-License-Identifier: MIT */
/*
 * verb_help.c - opens the manual page of a verb.
 *
 * Pages are looked for beside the program as it lies in a build tree (man/), then as it is
 * installed
 * (../share/man/man1), then by man(1) itself. Without man(1) or the page, the short help stands in.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int list_verbs_as_json(void)
{
    json_t *root = json_root("help", 1);
    json_t *list = json_array();
    for (const struct verb *const *verb = all_verbs(); *verb; verb++) {
        if (!(*verb)->hidden) {
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:s}", "name", (*verb)->name, "summary",
                                            (*verb)->summary, "synopsis", (*verb)->synopsis));
        }
    }
    json_object_set_new(root, "verbs", list);
    return json_print(root);
}

/* A page of ours in build or install layout, or NULL. */
static char *find_page(const char *page)
{
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length <= 0) {
        return NULL;
    }
    program[length] = '\0';
    *strrchr(program, '/') = '\0';
    static const char *const folders[] = {"man", "../share/man/man1"};
    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        char *path = format_text("%s/%s/%s.1", program, folders[i], page);
        if (access(path, R_OK) == 0) {
            return path;
        }
        free(path);
    }
    return NULL;
}

static void show_text(const struct verb *verb)
{
    if (verb) {
        print_help(stdout, verb);
    } else {
        print_overview(stdout);
    }
}

static int run(const struct arguments *arguments)
{
    if (arguments->format == FORMAT_JSON) {
        return list_verbs_as_json();
    }
    const char *name = arguments->nouns[0];
    const struct verb *verb = name ? find_verb(name) : NULL;
    if (name && !verb) {
        return report_usage(arguments->verb, "there is no verb '%s'", name);
    }
    char *page = name ? format_text("cellpack-%s", name) : duplicate_text("cellpack");
    char *path = find_page(page);
    fflush(stdout);
    if (path && access("/usr/bin/man", X_OK) == 0) {
        execl("/usr/bin/man", "man", "-l", path, (char *)NULL);
    }
    show_text(verb);
    free(path);
    free(page);
    return EXIT_DONE;
}

const struct verb verb_help = {
    .name = "help",
    .summary = "the manual page of a verb",
    .synopsis = "[VERB]",
    .examples = {"cellpack help compile", "cellpack help --json"},
    .most_nouns = 1,
    .words = WORDS_VERB,
    .run = run,
};
