/* SPDX-License-Identifier: MIT */
/* verb_ls.c - the cells of a bundle, one line each. */
#include "subject.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct model *sorted_model; /* qsort() has no context argument */

static int by_name(const void *left, const void *right)
{
    return strcmp(sorted_model->cells[*(const uint32_t *)left].name,
                  sorted_model->cells[*(const uint32_t *)right].name);
}

static int by_size(const void *left, const void *right)
{
    uint64_t a = model_sizes_total(&sorted_model->cells[*(const uint32_t *)left].sizes);
    uint64_t b = model_sizes_total(&sorted_model->cells[*(const uint32_t *)right].sizes);
    return a != b ? (a < b ? 1 : -1) : by_name(left, right);
}

static int by_users(const void *left, const void *right)
{
    uint32_t a = sorted_model->cells[*(const uint32_t *)left].user_count;
    uint32_t b = sorted_model->cells[*(const uint32_t *)right].user_count;
    return a != b ? (a < b ? 1 : -1) : by_name(left, right);
}

/* The cells to list, in the order asked for. */
static uint32_t *list_cells(const struct arguments *arguments, const struct model *model,
                            uint32_t *count)
{
    const char *kind = argument_text(arguments, "kind");
    const char *sort = argument_text(arguments, "sort");
    uint32_t *cells = allocate((model->cell_count + 1) * sizeof(*cells));
    *count = 0;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        if (!kind || strcmp(model->cells[i].kind, kind) == 0) {
            cells[(*count)++] = i;
        }
    }
    sorted_model = model;
    if (sort && strcmp(sort, "archive") != 0) {
        qsort(cells, *count, sizeof(*cells),
              strcmp(sort, "name") == 0   ? by_name
              : strcmp(sort, "size") == 0 ? by_size
                                          : by_users);
    }
    return cells;
}

static json_t *json_cell(const struct model *model, uint32_t index)
{
    const struct model_cell *cell = &model->cells[index];
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I}", "name",
                     json_text(cell->name), "kind", json_text(cell->kind), "version",
                     json_text(cell->version), "summary", json_text(cell->summary), "interface",
                     json_text_or_null(cell->interface), "file", json_text(cell->file), "sizes",
                     json_sizes(&cell->sizes), "relocations", (json_int_t)cell->edge_count,
                     "needs_count", (json_int_t)cell->link_count, "needed_by_count",
                     (json_int_t)cell->user_count);
}

static int print_json(const struct subject *subject, const uint32_t *cells, uint32_t count)
{
    json_t *root = json_root("ls", 1);
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(list, json_cell(subject->model, cells[i]));
    }
    json_object_set_new(root, "input", json_text(subject->input));
    json_object_set_new(root, "cells", list);
    return json_print(root);
}

static enum colour colour_of(const char *kind)
{
    return strcmp(kind, "application") == 0 ? COLOUR_GREEN
           : strcmp(kind, "driver") == 0    ? COLOUR_YELLOW
           : strcmp(kind, "core") == 0      ? COLOUR_RED
                                            : COLOUR_NONE;
}

static void print_table(const struct model *model, const uint32_t *cells, uint32_t count)
{
    struct table *table = table_create();
    table_column(table, "cell", ALIGN_LEFT);
    table_column(table, "kind", ALIGN_LEFT);
    table_column(table, "version", ALIGN_LEFT);
    table_column(table, "bytes", ALIGN_RIGHT);
    table_column(table, "needs", ALIGN_RIGHT);
    table_column(table, "needed by", ALIGN_RIGHT);
    table_column(table, "summary", ALIGN_LEFT);
    for (uint32_t i = 0; i < count; i++) {
        const struct model_cell *cell = &model->cells[cells[i]];
        table_cell_coloured(table, COLOUR_BOLD, "%s", cell->name);
        table_cell_coloured(table, colour_of(cell->kind), "%s", cell->kind);
        table_cell(table, "%s", cell->version);
        table_cell(table, "%" PRIu64, model_sizes_total(&cell->sizes));
        table_cell(table, "%u", cell->link_count);
        table_cell(table, "%u", cell->user_count);
        table_cell(table, "%s", cell->summary);
    }
    table_print(table, stdout);
    table_destroy(table);
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    uint32_t count;
    uint32_t *cells = list_cells(arguments, subject.model, &count);
    if (arguments->format == FORMAT_JSON) {
        code = print_json(&subject, cells, count);
    } else {
        print_table(subject.model, cells, count);
    }
    free(cells);
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    {.name = "sort",
     .letter = 's',
     .type = OPTION_TEXT,
     .value = "ORDER",
     .choices = "archive|name|size|users",
     .help = "order of the lines"},
    {.name = "kind",
     .letter = 'k',
     .type = OPTION_TEXT,
     .value = "KIND",
     .choices = "library|driver|application|core|object",
     .help = "only these"},
    OPTION_CELLS,
    {.name = NULL},
};

const struct verb verb_ls = {
    .name = "ls",
    .summary = "which cells are there?",
    .synopsis = "[OPTION].. [FILE..]",
    .examples = {"cellpack ls --sort=size", "cellpack ls *.ko --json"},
    .options = options,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_FILE,
    .run = run,
};
