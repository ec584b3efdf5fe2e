/* SPDX-License-Identifier: MIT */
#include "cli.h"
#include "subject.h"
#include "compile.h"

#include <stdlib.h>
#include <string.h>

static const struct option options[] = {
    {.name = "name", .type = OPTION_TEXT, .value = "NAME", .help = "the cell's name (needed)"},
    {.name = "summary", .type = OPTION_TEXT, .value = "TEXT", .help = "what it is (needed)"},
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "the cell (needed)"},
    {.name = "debug",
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "the side file for the debugger"},
    {.name = "profile",
     .type = OPTION_TEXT,
     .value = "P",
     .choices = "release|debug",
     .help = "how to optimise"},
    {.name = "include",
     .letter = 'I',
     .type = OPTION_LIST,
     .value = "DIR",
     .words = WORDS_FOLDER,
     .help = "a folder of headers; may be repeated"},
    {.name = "define",
     .letter = 'D',
     .type = OPTION_LIST,
     .value = "X[=Y]",
     .help = "a macro; may be repeated"},
    {.name = "interface", .type = OPTION_TEXT, .value = "I", .help = "the interface it implements"},
    {.name = "depfile",
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "the headers that were read, for Ninja"},
    {.name = NULL},
};

/* The values of a list option; ends with NULL. */
static const char **list_of(const struct arguments *arguments, const char *name)
{
    const char **list = allocate((arguments->given_count + 1) * sizeof(*list));
    size_t count = 0;
    while ((list[count] = argument_nth(arguments, name, count))) {
        count++;
    }
    return list;
}

static int print_json(const struct compile_request *request, const struct compile_result *result)
{
    json_t *root = json_root("compile", 1);
    json_object_set_new(root, "cell", json_text(request->name));
    json_object_set_new(root, "output", json_text(request->output));
    json_object_set_new(root, "object_size", json_integer((json_int_t)result->object_size));
    json_object_set_new(root, "cell_size", json_integer((json_int_t)result->cell_size));
    return json_print(root);
}

static int run(const struct arguments *arguments)
{
    static const char *const needed[] = {"name", "summary", "output"};
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        if (!argument_given(arguments, needed[i])) {
            return report_usage(arguments->verb, "compile needs --%s", needed[i]);
        }
    }
    const char *profile = argument_text(arguments, "profile");
    const char **includes = list_of(arguments, "include");
    const char **defines = list_of(arguments, "define");
    struct compile_request request = {
        .progress = status_report,
        .name = argument_text(arguments, "name"),
        .summary = argument_text(arguments, "summary"),
        .interface = argument_text(arguments, "interface"),
        .debug_profile = profile && strcmp(profile, "debug") == 0,
        .colour = *colour(stderr, COLOUR_NONE) != '\0',
        .output = argument_text(arguments, "output"),
        .debug = argument_text(arguments, "debug"),
        .depfile = argument_text(arguments, "depfile"),
        .includes = includes,
        .defines = defines,
        .sources = arguments->nouns,
    };
    struct compile_result result = {0};
    struct problem problem = {0};
    int code = EXIT_DONE;
    enum status status = compile_cell(&request, &result, &problem);
    status_end();
    if (status != OK) {
        code = report(&problem);
    } else {
        fwrite(result.remarks.data, 1, result.remarks.size, stderr);
        code = arguments->format == FORMAT_JSON ? print_json(&request, &result) : EXIT_DONE;
    }
    bytes_fini(&result.remarks);
    free(includes);
    free(defines);
    return code;
}

const struct verb verb_compile = {
    .name = "compile",
    .summary = "the sources of one cell to the cell: flags, notes, gate",
    .synopsis = "--name NAME --summary TEXT -o FILE [OPTION].. SOURCE..",
    .examples =
        {"cellpack compile --name heap --summary \"memory by the byte\" -o heap.cell heap.c",
         "cellpack compile --name a --summary \"an A\" -I base -o a.cell --debug a.debug a.c a.S"},
    .options = options,
    .least_nouns = 1,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_FILE,
    .run = run,
};
