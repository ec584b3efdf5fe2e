/* SPDX-License-Identifier: MIT */
/*
 * verb_diff.c - what must be swapped to come from one build to another, and why.
 *
 * One row a reason; sets in the order in which they are swapped, then what stays. With --output the
 * answer is also written down for a running system (docs/evolution-format.md).
 */
#include "subject.h"

#include "diff/diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PARTS_SIZE 160
#define HASH_SIZE  (2 * BLAKE2B_DIGEST + 1)

/* ---- words ---- */

static const char *mark_of(const struct diff_cell *cell)
{
    for (uint32_t i = 0; i < cell->variable_count; i++) {
        if (cell->variables[i].fate == DIFF_MISSING) {
            return "!";
        }
    }
    return cell->layout_count           ? "!"
           : cell->old == MODEL_NOWHERE ? "+"
           : cell->new == MODEL_NOWHERE ? "-"
           : cell->parts &DIFF_NAME     ? ">"
                                        : "~";
}

static enum colour colour_of(const struct diff_cell *cell)
{
    switch (mark_of(cell)[0]) {
    case '!':
    case '-':
        return COLOUR_RED;
    case '+':
        return COLOUR_GREEN;
    case '>':
        return COLOUR_BLUE;
    default:
        return COLOUR_YELLOW;
    }
}

/* "code, layouts"; "new" and "gone" for what has no other side. */
static const char *parts_of(const struct diff_cell *cell, char text[PARTS_SIZE])
{
    if (cell->old == MODEL_NOWHERE || cell->new == MODEL_NOWHERE) {
        return cell->old == MODEL_NOWHERE ? "new" : "gone";
    }
    if (cell->parts == DIFF_CODE) {
        return "code only";
    }
    size_t length = 0;
    text[0] = '\0';
    for (unsigned part = DIFF_CODE; part <= DIFF_NAME; part <<= 1) {
        if (cell->parts & part) {
            length += (size_t)snprintf(text + length, PARTS_SIZE - length, "%s%s",
                                       length ? ", " : "", diff_part_name((enum diff_part)part));
        }
    }
    return text;
}

static char *variable_text(const struct diff_variable *variable)
{
    const char *detail = variable->detail ? variable->detail : "";
    switch (variable->fate) {
    case DIFF_ADDED:
        return format_text("variable %s is new", variable->name);
    case DIFF_REMOVED:
        return format_text("variable %s is gone, and its value", variable->name);
    case DIFF_MOVED:
        return format_text("variable %s is adopted from %s", variable->name, variable->old_name);
    case DIFF_TRANSFERRED:
        return format_text("variable %s is filled from %s by %s%s%s", variable->name,
                           variable->old_name, variable->function, *detail ? ": " : "", detail);
    case DIFF_FRESH:
        return format_text("variable %s begins anew", variable->name);
    case DIFF_MISSING:
        return format_text("variable %s needs CELL_TRANSFER or CELL_FRESH: %s", variable->name,
                           *detail ? detail : "its line names no old variable");
    }
    return duplicate_text("?");
}

static const char *hash_text(const struct blake2b_digest *hash, char text[HASH_SIZE])
{
    for (size_t i = 0; i < BLAKE2B_DIGEST; i++) {
        snprintf(text + 2 * i, 3, "%02x", hash->bytes[i]);
    }
    return text;
}

/* ---- tables ---- */

static char *set_text(const struct diff *diff, uint32_t number)
{
    const struct diff_set *set = &diff->sets[number - 1];
    char *text = format_text("%" PRIu32, number);
    for (uint32_t i = 0; i < set->after_count; i++) {
        char *longer = format_text("%s%s%" PRIu32, text, i ? ", " : " after ", set->after[i]);
        free(text);
        text = longer;
    }
    return text;
}

/* The first row of a cell says which one; those of more reasons stand below it. */
static void add_row(struct table *table, const struct diff *diff, const struct diff_cell *cell,
                    bool is_first, const char *why)
{
    char parts[PARTS_SIZE];
    char *set = is_first ? set_text(diff, cell->set) : duplicate_text("");
    table_cell(table, "%s", set);
    free(set);
    if (is_first) {
        table_cell_coloured(table, colour_of(cell), "%s %s", mark_of(cell), cell->name);
        table_cell(table, "%s", parts_of(cell, parts));
    } else {
        table_cell(table, "%s", "");
        table_cell(table, "%s", "");
    }
    table_cell(table, "%s", why);
}

static void add_cell(struct table *table, const struct diff *diff, const struct diff_cell *cell)
{
    bool is_first = true;
    for (size_t i = 0; i < cell->reasons.count; i++) {
        add_row(table, diff, cell, is_first, cell->reasons.words[i]);
        is_first = false;
    }
    for (uint32_t i = 0; i < cell->variable_count; i++) {
        char *text = variable_text(&cell->variables[i]);
        add_row(table, diff, cell, is_first, text);
        is_first = false;
        free(text);
    }
    for (uint32_t i = 0; i < cell->layout_count; i++) {
        char *text = format_text("each %s that is left needs CELL_TRANSFER or CELL_FRESH%s%s",
                                 cell->layouts[i].name,
                                 cell->layouts[i].holder ? " of " : ": others may hold such",
                                 cell->layouts[i].holder ? cell->layouts[i].holder : "");
        add_row(table, diff, cell, is_first, text);
        is_first = false;
        free(text);
    }
    if (is_first) {
        add_row(table, diff, cell, true, "");
    }
}

static void print_table(const struct diff *diff)
{
    struct table *table = table_create();
    table_column(table, "set", ALIGN_LEFT);
    table_column(table, "  cell", ALIGN_LEFT);
    table_column(table, "what differs", ALIGN_LEFT);
    table_column(table, "why", ALIGN_LEFT);
    for (uint32_t number = 1; number <= diff->set_count; number++) {
        for (uint32_t i = 0; i < diff->cell_count; i++) {
            if (diff->cells[i].set == number) {
                add_cell(table, diff, &diff->cells[i]);
            }
        }
    }
    if (diff->set_count) {
        table_print(table, stdout);
    }
    table_destroy(table);
    char *unchanged = count_text(diff->unchanged_count, "cell", "cells");
    printf("= %s unchanged", unchanged);
    if (diff->rebuilt_count) {
        printf(" (%" PRIu32 " built anew: line numbers, paths or order)", diff->rebuilt_count);
    }
    printf("\n");
    free(unchanged);
    if (diff->set_count == 0) {
        printf("nothing to swap: a system of the one is a system of the other\n");
    }
}

/* What is missing, as source text. */
static struct bytes advice_of(const struct diff *diff)
{
    struct bytes text = {0};
    diff_advise(diff, &text);
    bytes_append(&text, "", 1);
    return text;
}

static void print_advice(const struct diff *diff)
{
    struct bytes text = advice_of(diff);
    if (diff->missing_count && !text.failed) {
        printf("%s\n", (const char *)text.data);
    }
    bytes_fini(&text);
}

/* ---- JSON ---- */

static json_t *json_words(const struct words_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_array_append_new(array, json_text(list->words[i]));
    }
    return array;
}

static json_t *json_variables(const struct diff_cell *cell)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < cell->variable_count; i++) {
        const struct diff_variable *variable = &cell->variables[i];
        json_array_append_new(array, json_pack("{s:o, s:s, s:o, s:o, s:o}", "name",
                                               json_text(variable->name), "fate",
                                               diff_fate_name(variable->fate), "from",
                                               json_text_or_null(variable->old_name), "function",
                                               json_text_or_null(variable->function), "detail",
                                               json_text_or_null(variable->detail)));
    }
    return array;
}

static json_t *json_layouts(const struct diff_cell *cell)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < cell->layout_count; i++) {
        const struct diff_layout *layout = &cell->layouts[i];
        json_array_append_new(array, json_pack("{s:o, s:o, s:o}", "name", json_text(layout->name),
                                               "detail", json_text(layout->detail), "holder",
                                               json_text_or_null(layout->holder)));
    }
    return array;
}

static json_t *json_advice(const struct diff *diff)
{
    struct bytes text = advice_of(diff);
    json_t *json =
        diff->missing_count && !text.failed ? json_text((const char *)text.data) : json_null();
    bytes_fini(&text);
    return json;
}

static json_t *json_cell(const struct diff *diff, const struct diff_cell *cell)
{
    char hash[HASH_SIZE];
    json_t *json = json_object();
    json_t *parts = json_array();
    for (unsigned part = DIFF_CODE; part <= DIFF_NAME; part <<= 1) {
        if (cell->parts & part) {
            json_array_append_new(parts, json_string(diff_part_name((enum diff_part)part)));
        }
    }
    const char *old = cell->old != MODEL_NOWHERE ? diff->old->cells[cell->old].name : NULL;
    const char *new = cell->new != MODEL_NOWHERE ? cell->name : NULL;
    json_object_set_new(json, "old", json_text_or_null(old));
    json_object_set_new(json, "new", json_text_or_null(new));
    json_object_set_new(json, "old_hash",
                        json_text_or_null(old ? hash_text(&cell->old_hash, hash) : NULL));
    json_object_set_new(json, "new_hash",
                        json_text_or_null(new ? hash_text(&cell->new_hash, hash) : NULL));
    json_object_set_new(json, "changed", json_boolean(cell->is_changed));
    json_object_set_new(json, "rebuilt", json_boolean(cell->is_rebuilt));
    json_object_set_new(json, "set", cell->set ? json_integer(cell->set) : json_null());
    json_object_set_new(json, "parts", parts);
    json_object_set_new(json, "functions", json_words(&cell->functions));
    json_object_set_new(json, "inherits", json_words(&cell->inherits));
    json_object_set_new(json, "variables", json_variables(cell));
    json_object_set_new(json, "layouts", json_layouts(cell));
    json_object_set_new(json, "reasons", json_words(&cell->reasons));
    return json;
}

static int print_json(const struct diff *diff, const struct arguments *arguments)
{
    json_t *root = json_root("diff", 1);
    json_t *cells = json_array();
    json_t *sets = json_array();
    for (uint32_t i = 0; i < diff->cell_count; i++) {
        json_array_append_new(cells, json_cell(diff, &diff->cells[i]));
    }
    for (uint32_t number = 1; number <= diff->set_count; number++) {
        const struct diff_set *set = &diff->sets[number - 1];
        json_t *after = json_array();
        for (uint32_t i = 0; i < set->after_count; i++) {
            json_array_append_new(after, json_integer(set->after[i]));
        }
        json_array_append_new(sets,
                              json_pack("{s:I, s:o, s:I}", "number", (json_int_t)number, "after",
                                        after, "cell_count", (json_int_t)set->cell_count));
    }
    json_object_set_new(root, "old", json_text(arguments->nouns[0]));
    json_object_set_new(root, "new", json_text(arguments->nouns[1]));
    json_object_set_new(root, "output", json_text_or_null(argument_text(arguments, "output")));
    json_object_set_new(root, "cells", cells);
    json_object_set_new(root, "sets", sets);
    json_object_set_new(root, "unchanged_count", json_integer(diff->unchanged_count));
    json_object_set_new(root, "rebuilt_count", json_integer(diff->rebuilt_count));
    json_object_set_new(root, "missing_count", json_integer(diff->missing_count));
    json_object_set_new(root, "advice", json_advice(diff));
    return json_print(root);
}

/* ---- answering ---- */

/* A build folder stands for the archive in it. */
static char *archive_of(const char *noun)
{
    static const char *const places[] = {"image/cells.a", "cells.a"};
    struct stat status;
    if (stat(noun, &status) == 0 && S_ISDIR(status.st_mode)) {
        for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
            char *path = format_text("%s/%s", noun, places[i]);
            if (stat(path, &status) == 0) {
                return path;
            }
            free(path);
        }
    }
    return duplicate_text(noun);
}

static struct model *load(const char *noun, struct problem *problem)
{
    struct model *model = NULL;
    char *path = archive_of(noun);
    const char *paths[] = {path};
    if (model_load(paths, 1, MODEL_STRICT, &model, problem) != OK) {
        model = NULL;
    }
    free(path);
    return model;
}

/* Allocated, ends with NULL. */
static const char **list_given(const struct arguments *arguments, const char *name)
{
    const char **list = allocate((arguments->given_count + 1) * sizeof(*list));
    size_t count = 0;
    while ((list[count] = argument_nth(arguments, name, count)) != NULL) {
        count++;
    }
    return list;
}

static int judge(const struct arguments *arguments, const struct diff *diff)
{
    bool check = argument_given(arguments, "check");
    const char *output = argument_text(arguments, "output");
    struct problem problem = {0};
    if (diff->missing_count && check) {
        report_warning("%" PRIu32 " variables or layouts need a line about transfer",
                       diff->missing_count);
        return EXIT_INCOMPATIBLE;
    }
    if ((output || diff->missing_count) &&
        diff_write(diff, output ? output : "evolution", &problem) != OK) {
        return report(&problem);
    }
    return check && diff->set_count ? EXIT_DIFFERS : EXIT_DONE;
}

static int answer(const struct arguments *arguments, const struct diff_request *request)
{
    struct diff diff;
    struct problem problem = {0};
    if (diff_builds(request, &diff, &problem) != OK) {
        return report(&problem);
    }
    int code = EXIT_DONE;
    if (arguments->format == FORMAT_JSON) {
        code = print_json(&diff, arguments);
    } else {
        print_table(&diff);
        print_advice(&diff);
    }
    code = code ? code : judge(arguments, &diff);
    diff_fini(&diff);
    return code;
}

static int run(const struct arguments *arguments)
{
    struct problem problem = {0};
    struct model *old = load(arguments->nouns[0], &problem);
    struct model *new = old ? load(arguments->nouns[1], &problem) : NULL;
    const char **replace = list_given(arguments, "replace");
    const char **together = list_given(arguments, "together");
    int code;
    if (new) {
        struct diff_request request = {
            .old = old, .new = new, .replace = replace, .together = together};
        code = answer(arguments, &request);
    } else {
        code = report(&problem);
    }
    free(replace);
    free(together);
    model_destroy(new);
    model_destroy(old);
    return code;
}

static const struct option options[] = {
    {.name = "output",
     .letter = 'o',
     .type = OPTION_TEXT,
     .value = "FILE",
     .words = WORDS_FILE,
     .help = "write the manifest there, and new cells to FILE.a"},
    {.name = "replace",
     .type = OPTION_LIST,
     .value = "OLD=NEW",
     .words = WORDS_CELL,
     .help = "this cell takes that one's place"},
    {.name = "together",
     .type = OPTION_LIST,
     .value = "A,B..",
     .words = WORDS_CELL,
     .help = "swap these together"},
    {.name = "check", .type = OPTION_FLAG, .help = "exit 10 if they differ, 11 if not swappable"},
    {.name = NULL},
};

const struct verb verb_diff = {
    .name = "diff",
    .summary = "which cells must be swapped to come from one build to another?",
    .synopsis = "[OPTION].. OLD NEW",
    .examples = {"cellpack diff old/cells.a new/cells.a",
                 "cellpack diff build.1 build.2 -o evolution"},
    .options = options,
    .least_nouns = 2,
    .most_nouns = 2,
    .words = WORDS_FILE,
    .run = run,
};
