/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "subject.h"
#include "pack.h"

#include <stdlib.h>

static const struct option options[] = {
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "the archive (needed)"},
    {.name = "first",
     .type = OPTION_LIST,
     .value = "CELL",
     .words = WORDS_CELL,
     .help = "put this one first: the default of its interface; may be repeated"},
    {.name = NULL},
};

/* Allocated, ends with NULL. */
static const char **first_cells(const struct arguments *arguments)
{
    const char **names = allocate((arguments->given_count + 1) * sizeof(*names));
    size_t count = 0;
    while ((names[count] = argument_nth(arguments, "first", count)) != NULL) {
        count++;
    }
    return names;
}

static int run(const struct arguments *arguments)
{
    struct pack_request request = {
        .progress = status_report,
        .output = argument_text(arguments, "output"),
        .cells = arguments->nouns,
    };
    if (!request.output) {
        return report_usage(arguments->verb, "pack needs --output");
    }
    const char **first = first_cells(arguments);
    request.first = first;
    struct pack_result result;
    struct problem problem = {0};
    enum status status = pack_cells(&request, &result, &problem);
    free(first);
    status_end();
    if (status != OK) {
        return report(&problem);
    }
    if (arguments->format == FORMAT_JSON) {
        json_t *root = json_root("pack", 1);
        json_object_set_new(root, "output", json_text(request.output));
        json_object_set_new(root, "cell_count", json_integer((json_int_t)result.cell_count));
        json_object_set_new(root, "symbol_count", json_integer((json_int_t)result.symbol_count));
        json_object_set_new(root, "size", json_integer((json_int_t)result.size));
        return json_print(root);
    }
    return EXIT_DONE;
}

const struct verb verb_pack = {
    .name = "pack",
    .summary = "cells to one archive, cells.a, with a symbol index",
    .synopsis = "-o FILE [--first CELL].. CELL..",
    .examples = {"cellpack pack -o cells.a *.cell",
                 "cellpack pack -o cells.a --json heap.cell vfs.cell"},
    .options = options,
    .least_nouns = 1,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_FILE,
    .run = run,
};
