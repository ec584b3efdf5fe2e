/* SPDX-License-Identifier: MIT */
/*
 * verb_abi.c - what a cell declares to others, and `abi diff`: what changed between two builds,
 * part by part.
 *
 * Objects without .cell.abi are read through their debug information, so that compilers' objects
 * and kernel modules can be shown and compared as well.
 */
#include "subject.h"

#include "abi/abi_build.h"
#include "abi/abi_changes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- one cell ---- */

/* "export", "import", "address taken" */
static const char *kind_of(const struct elf_object *object, const struct cell_abi_symbol *row)
{
    const struct elf64_sym *symbol = &object->symbols[row->symbol];
    return symbol->st_shndx == SHN_UNDEF  ? "import"
           : elf_symbol_is_export(symbol) ? "export"
                                          : "address taken";
}

/* Exports and imports without a row. */
static uint32_t count_unchecked(const struct elf_object *object, const struct cell_abi *abi)
{
    uint32_t count = 0;
    for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
        count += elf_object_symbol_name(object, i)[0] && !cell_abi_symbol_at(abi, i);
    }
    return count;
}

static void print_hash(struct table *table, uint64_t hash)
{
    if (hash) {
        table_cell(table, "%016" PRIx64, hash);
    } else {
        table_cell(table, "%s", "name only");
    }
}

static void print_cell(const struct model_cell *cell, const struct cell_abi *abi)
{
    struct table *table = table_create();
    table_column(table, "kind", ALIGN_LEFT);
    table_column(table, "hash", ALIGN_LEFT);
    table_column(table, "name", ALIGN_LEFT);
    table_column(table, "declared as", ALIGN_LEFT);
    for (uint32_t i = 0; i < abi->symbol_count; i++) {
        const struct cell_abi_symbol *row = &abi->symbols[i];
        table_cell(table, "%s", kind_of(&cell->object, row));
        print_hash(table, row->signature);
        table_cell(table, "%s", elf_object_symbol_name(&cell->object, row->symbol));
        table_cell(table, "%s", cell_abi_text(abi, row->text));
    }
    for (uint32_t i = 0; i < abi->variable_count; i++) {
        const struct cell_abi_variable *row = &abi->variables[i];
        table_cell(table, "variable");
        print_hash(table, row->layout);
        table_cell(table, "%s", cell_abi_text(abi, row->name));
        table_cell(table, "%s", cell_abi_text(abi, row->text));
    }
    for (uint32_t i = 0; i < abi->type_count; i++) {
        const struct cell_abi_type *row = &abi->types[i];
        const char *text = cell_abi_text(abi, row->text);
        struct span name = cell_abi_type_name(text);
        uint64_t cursor = 0;
        struct span rest;
        uint32_t parts = 0;
        while (cell_abi_next_part(text, &cursor, &rest)) {
            parts++;
        }
        table_cell(table, row->flags & CELL_ABI_TYPE_SHARED ? "type" : "private type");
        print_hash(table, row->layout);
        table_cell(table, "%.*s", (int)name.size, (const char *)name.base);
        if (row->layout) {
            bool is_enumeration = text[0] == 'e';
            table_cell(table, "%u %s, %s", parts, is_enumeration ? "enumerators" : "fields",
                       (const char *)rest.base);
        } else {
            table_cell(table, "%s", "");
        }
    }
    uint32_t unchecked = count_unchecked(&cell->object, abi);
    table_print(table, stdout);
    table_destroy(table);
    printf("%s: %u symbols, %u more that no debug information describes, %u variables, %u types\n",
           printable(cell->name), abi->symbol_count, unchecked, abi->variable_count,
           abi->type_count);
}

static json_t *json_hash(uint64_t hash)
{
    char text[24];
    snprintf(text, sizeof(text), "%016" PRIx64, hash);
    return hash ? json_text(text) : json_null();
}

static json_t *json_cell(const struct model_cell *cell, const struct cell_abi *abi)
{
    json_t *symbols = json_array();
    json_t *variables = json_array();
    json_t *types = json_array();
    for (uint32_t i = 0; i < abi->symbol_count; i++) {
        const struct cell_abi_symbol *row = &abi->symbols[i];
        json_array_append_new(
            symbols,
            json_pack("{s:s, s:o, s:o, s:o}", "kind", kind_of(&cell->object, row), "name",
                      json_text(elf_object_symbol_name(&cell->object, row->symbol)), "hash",
                      json_hash(row->signature), "text", json_text(cell_abi_text(abi, row->text))));
    }
    for (uint32_t i = 0; i < abi->variable_count; i++) {
        const struct cell_abi_variable *row = &abi->variables[i];
        json_array_append_new(variables,
                              json_pack("{s:o, s:I, s:o, s:o, s:o}", "name",
                                        json_text(cell_abi_text(abi, row->name)), "size",
                                        (json_int_t)row->size, "hash", json_hash(row->signature),
                                        "layout_hash", json_hash(row->layout), "text",
                                        json_text(cell_abi_text(abi, row->text))));
    }
    for (uint32_t i = 0; i < abi->type_count; i++) {
        const struct cell_abi_type *row = &abi->types[i];
        const char *text = cell_abi_text(abi, row->text);
        struct span name = cell_abi_type_name(text);
        char *copy = format_text("%.*s", (int)name.size, (const char *)name.base);
        json_array_append_new(types, json_pack("{s:o, s:o, s:b, s:o}", "name", json_text(copy),
                                               "hash", json_hash(row->layout), "shared",
                                               (row->flags & CELL_ABI_TYPE_SHARED) != 0, "text",
                                               json_text_or_null(row->layout ? text : NULL)));
        free(copy);
    }
    return json_pack("{s:o, s:I, s:o, s:o, s:o}", "name", json_text(cell->name), "unchecked_count",
                     (json_int_t)count_unchecked(&cell->object, abi), "symbols", symbols,
                     "variables", variables, "types", types);
}

/* Shows the cells that are named, or all. */
static int show(const struct arguments *arguments, const struct subject *subject)
{
    json_t *list = json_array();
    const struct model *model = subject->model;
    size_t count = subject->word_count ? subject->word_count : model->cell_count;
    int code = EXIT_DONE;
    for (size_t i = 0; i < count && !code; i++) {
        uint32_t cell = (uint32_t)i;
        code = subject->word_count ? subject_cell(subject, subject->words[i], &cell) : EXIT_DONE;
        struct bytes storage = {0};
        struct cell_abi abi;
        struct problem problem = {0};
        if (code) {
            break;
        }
        if (abi_open(&model->cells[cell].object, &storage, &abi, &problem) != OK) {
            code = report(&problem);
        } else if (arguments->format == FORMAT_JSON) {
            json_array_append_new(list, json_cell(&model->cells[cell], &abi));
        } else {
            printf("%s", i ? "\n" : "");
            print_cell(&model->cells[cell], &abi);
        }
        bytes_fini(&storage);
    }
    if (code || arguments->format != FORMAT_JSON) {
        json_decref(list);
        return code;
    }
    json_t *root = json_root("abi", 1);
    json_object_set_new(root, "input", json_text(subject->input));
    json_object_set_new(root, "cells", list);
    return json_print(root);
}

/* ---- two builds ---- */

struct comparison {
    struct table *table;
    json_t *changes;
    const char *cell;
    size_t count;
    size_t incompatible;
};

static const char *span_text(struct span span)
{
    char *copy = format_text("%.*s", (int)span.size, span.size ? (const char *)span.base : "");
    const char *text = printable(copy);
    if (text != copy) {
        free(copy);
    }
    return text; /* until the program ends, as what printable() gives */
}

static void add_row(struct comparison *comparison, char mark, bool is_incompatible,
                    const char *subject, const char *name, const char *part, const char *old,
                    const char *new)
{
    enum colour colour = mark == '+' ? COLOUR_GREEN : mark == '-' ? COLOUR_RED : COLOUR_YELLOW;
    comparison->count++;
    comparison->incompatible += is_incompatible;
    table_cell_coloured(comparison->table, colour, "%c%s", mark, is_incompatible ? "!" : "");
    table_cell(comparison->table, "%s", comparison->cell);
    table_cell(comparison->table, "%s", subject);
    table_cell(comparison->table, "%s", name);
    table_cell(comparison->table, "%s", part);
    table_cell(comparison->table, "%s%s%s", old, *old && *new ? " -> " : "", new);
    char marks[2] = {mark, '\0'};
    json_array_append_new(comparison->changes,
                          json_pack("{s:s, s:b, s:o, s:s, s:o, s:o, s:o, s:o}", "mark", marks,
                                    "incompatible", is_incompatible, "cell",
                                    json_text(comparison->cell), "subject", subject, "name",
                                    json_text(name), "part", json_text_or_null(*part ? part : NULL),
                                    "old", json_text_or_null(*old ? old : NULL), "new",
                                    json_text_or_null(*new ? new : NULL)));
}

static void add_change(void *context, const struct abi_change *change)
{
    add_row(context, change->mark, abi_change_is_incompatible(change),
            abi_subject_name(change->subject), change->name, change->part, span_text(change->old),
            span_text(change->new));
}

static int compare_cells(struct comparison *comparison, const struct model_cell *old,
                         const struct model_cell *new)
{
    struct bytes old_storage = {0};
    struct bytes new_storage = {0};
    struct abi_party a = {.name = old->name, .object = &old->object};
    struct abi_party b = {.name = new->name, .object = &new->object};
    struct problem problem = {0};
    int code = EXIT_DONE;
    if (abi_open(a.object, &old_storage, &a.abi, &problem) != OK ||
        abi_open(b.object, &new_storage, &b.abi, &problem) != OK) {
        code = report(&problem);
    } else {
        comparison->cell = new->name;
        abi_find_changes(&a, &b, add_change, comparison);
    }
    bytes_fini(&old_storage);
    bytes_fini(&new_storage);
    return code;
}

/* Two single objects are compared whatever their names; else cells of equal name are. */
static int compare_models(struct comparison *comparison, const struct model *old,
                          const struct model *new)
{
    if (old->cell_count == 1 && new->cell_count == 1) {
        return compare_cells(comparison, &old->cells[0], &new->cells[0]);
    }
    int code = EXIT_DONE;
    for (uint32_t i = 0; i < old->cell_count && !code; i++) {
        uint32_t same = model_find_cell(new, old->cells[i].name);
        comparison->cell = old->cells[i].name;
        if (same == MODEL_NOWHERE) {
            add_row(comparison, '-', old->cells[i].user_count > 0, "cell", comparison->cell, "", "",
                    "");
        } else {
            code = compare_cells(comparison, &old->cells[i], &new->cells[same]);
        }
    }
    for (uint32_t i = 0; i < new->cell_count && !code; i++) {
        comparison->cell = new->cells[i].name;
        if (model_find_cell(old, comparison->cell) == MODEL_NOWHERE) {
            add_row(comparison, '+', false, "cell", comparison->cell, "", "", "");
        }
    }
    return code;
}

static int print_comparison(const struct arguments *arguments, struct comparison *comparison)
{
    if (arguments->format == FORMAT_JSON) {
        json_t *root = json_root("abi_diff", 1);
        json_object_set_new(root, "old", json_text(arguments->nouns[1]));
        json_object_set_new(root, "new", json_text(arguments->nouns[2]));
        json_object_set_new(root, "incompatible_count",
                            json_integer((json_int_t)comparison->incompatible));
        json_object_set(root, "changes", comparison->changes);
        return json_print(root);
    }
    if (comparison->count == 0) {
        printf("no differences\n");
        return EXIT_DONE;
    }
    table_print(comparison->table, stdout);
    printf("%zu differences, %zu incompatible\n", comparison->count, comparison->incompatible);
    return EXIT_DONE;
}

static struct comparison comparison_create(void)
{
    struct comparison comparison = {.table = table_create(), .changes = json_array()};
    static const char *const heads[] = {"", "cell", "what", "name", "part", "change"};
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        table_column(comparison.table, heads[i], ALIGN_LEFT);
    }
    return comparison;
}

static int run_diff(const struct arguments *arguments)
{
    if (arguments->noun_count != 3) {
        return report_usage(arguments->verb, "abi diff: OLD and NEW are wanted");
    }
    struct problem problem = {0};
    struct model *old = NULL;
    struct model *new = NULL;
    if (model_load(&arguments->nouns[1], 1, MODEL_STRICT, &old, &problem) != OK ||
        model_load(&arguments->nouns[2], 1, MODEL_STRICT, &new, &problem) != OK) {
        model_destroy(old);
        return report(&problem);
    }
    struct comparison comparison = comparison_create();
    int code = compare_models(&comparison, old, new);
    code = code ? code : print_comparison(arguments, &comparison);
    if (code == EXIT_DONE && argument_given(arguments, "check") && comparison.count) {
        code = comparison.incompatible ? EXIT_INCOMPATIBLE : EXIT_DIFFERS;
    }
    table_destroy(comparison.table);
    json_decref(comparison.changes);
    model_destroy(new);
    model_destroy(old);
    return code;
}

static int run(const struct arguments *arguments)
{
    if (arguments->noun_count > 0 && strcmp(arguments->nouns[0], "diff") == 0) {
        return run_diff(arguments);
    }
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    code = show(arguments, &subject);
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    OPTION_CELLS,
    {.name = "check",
     .type = OPTION_FLAG,
     .help = "with diff: exit 10 if they differ, 11 if incompatible"},
    {.name = NULL},
};

const struct verb verb_abi = {
    .name = "abi",
    .summary = "what does a cell declare to others, and what changed?",
    .synopsis = "[OPTION].. [CELL|FILE].. | abi diff OLD NEW",
    .examples = {"cellpack abi heap_slabs", "cellpack abi diff old/cells.a new/cells.a --check"},
    .options = options,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_CELL,
    .noun_choices = "diff",
    .run = run,
};
