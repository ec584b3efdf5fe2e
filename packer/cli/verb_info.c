/* SPDX-License-Identifier: MIT */
/* verb_info.c - one cell: sections, exports, imports, neighbours. */
#include "subject.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool is_import(const struct elf_object *object, uint32_t symbol)
{
    return symbol > 0 && object->symbols[symbol].st_shndx == SHN_UNDEF &&
           elf_object_symbol_name(object, symbol)[0] != '\0';
}

static const char *type_name(const struct elf64_sym *symbol)
{
    switch (elf_symbol_type(symbol)) {
    case STT_FUNC:
        return "function";
    case STT_OBJECT:
        return "object";
    default:
        return "symbol";
    }
}

/* ---- JSON ---- */

static json_t *json_sections(const struct model *model, const struct model_cell *cell)
{
    json_t *list = json_array();
    for (uint32_t i = 1; i < cell->object.section_count; i++) {
        const struct model_section *section = &model->sections[cell->first_section + i];
        const struct elf64_shdr *header = &cell->object.sections[i];
        json_array_append_new(list, json_pack("{s:o, s:s, s:I, s:I, s:I, s:b}", "name",
                                              json_text(section->name), "kind",
                                              model_kind_name(section->kind), "size",
                                              (json_int_t)section->size, "alignment",
                                              (json_int_t)header->sh_addralign, "relocations",
                                              (json_int_t)section->edge_count, "loaded",
                                              section->kind != MODEL_NOT_LOADED));
    }
    return list;
}

static json_t *json_exports(const struct model *model, uint32_t cell)
{
    const struct elf_object *object = &model->cells[cell].object;
    json_t *list = json_array();
    for (uint32_t i = object->first_global; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        if (elf_symbol_is_export(symbol)) {
            json_array_append_new(list,
                                  json_pack("{s:o, s:s, s:I, s:b}", "name",
                                            json_text(elf_object_symbol_name(object, i)), "type",
                                            type_name(symbol), "size", (json_int_t)symbol->st_size,
                                            "weak", elf_symbol_binding(symbol) == STB_WEAK));
        }
    }
    return list;
}

static json_t *json_imports(const struct model *model, uint32_t cell)
{
    const struct elf_object *object = &model->cells[cell].object;
    json_t *list = json_array();
    for (uint32_t i = 0; i < object->symbol_count; i++) {
        if (is_import(object, i)) {
            const char *name = elf_object_symbol_name(object, i);
            const struct model_export *from = model_find_export(model, name);
            json_array_append_new(
                list, json_pack("{s:o, s:o, s:b}", "name", json_text(name), "cell",
                                json_text_or_null(from ? model->cells[from->cell].name : NULL),
                                "weak", elf_symbol_binding(&object->symbols[i]) == STB_WEAK));
        }
    }
    return list;
}

static json_t *json_link(const struct model *model, const struct model_link *link, uint32_t other)
{
    return json_pack("{s:o, s:I, s:I, s:I}", "cell", json_text(model->cells[other].name),
                     "relocations", (json_int_t)link->relocations, "calls", (json_int_t)link->calls,
                     "addresses", (json_int_t)link->addresses);
}

static json_t *json_cell(const struct model *model, uint32_t index)
{
    const struct model_cell *cell = &model->cells[index];
    json_t *needs = json_array();
    json_t *users = json_array();
    for (uint32_t i = 0; i < cell->link_count; i++) {
        const struct model_link *link = &model->links[cell->first_link + i];
        json_array_append_new(needs, json_link(model, link, link->to));
    }
    for (uint32_t i = 0; i < cell->user_count; i++) {
        const struct model_link *link = &model->links[model->users[cell->first_user + i]];
        json_array_append_new(users, json_link(model, link, link->from));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "name",
                     json_text(cell->name), "kind", json_text(cell->kind), "version",
                     json_text(cell->version), "summary", json_text(cell->summary), "interface",
                     json_text_or_null(cell->interface), "file", json_text(cell->file), "sizes",
                     json_sizes(&cell->sizes), "relocations", (json_int_t)cell->edge_count,
                     "sections", json_sections(model, cell), "exports", json_exports(model, index),
                     "imports", json_imports(model, index), "needs", needs, "needed_by", users);
}

/* ---- tables ---- */

static void heading(const char *text, uint64_t count)
{
    printf("\n%s%s%s (%" PRIu64 ")\n", colour(stdout, COLOUR_BOLD), text,
           colour(stdout, COLOUR_NONE), count);
}

static void print_facts(const struct model_cell *cell)
{
    printf("%s%s%s %s  %s\n", colour(stdout, COLOUR_BOLD), printable(cell->name),
           colour(stdout, COLOUR_NONE), printable(cell->version), printable(cell->summary));
    printf("kind       %s\n", printable(cell->kind));
    if (cell->interface) {
        printf("implements %s\n", printable(cell->interface));
    }
    printf("from       %s\n", cell->file);
    printf("bytes      %" PRIu64 ":", model_sizes_total(&cell->sizes));
    for (enum model_kind kind = 0; kind < MODEL_KIND_COUNT; kind++) {
        printf(" %s %" PRIu64, model_kind_name(kind), cell->sizes.bytes[kind]);
    }
    printf("\n");
}

static void print_sections(const struct model *model, const struct model_cell *cell, bool all)
{
    struct table *table = table_create();
    table_column(table, "section", ALIGN_LEFT);
    table_column(table, "kind", ALIGN_LEFT);
    table_column(table, "bytes", ALIGN_RIGHT);
    table_column(table, "align", ALIGN_RIGHT);
    table_column(table, "relocations", ALIGN_RIGHT);
    uint32_t count = 0;
    for (uint32_t i = 1; i < cell->object.section_count; i++) {
        const struct model_section *section = &model->sections[cell->first_section + i];
        if (section->kind == MODEL_NOT_LOADED && !all) {
            continue;
        }
        count++;
        table_cell(table, "%s", section->name);
        table_cell(table, "%s", model_kind_name(section->kind));
        table_cell(table, "%" PRIu64, section->size);
        table_cell(table, "%" PRIu64, cell->object.sections[i].sh_addralign);
        table_cell(table, "%u", section->edge_count);
    }
    heading(all ? "sections" : "loaded sections", count);
    table_print(table, stdout);
    table_destroy(table);
}

static void print_exports(const struct model_cell *cell)
{
    struct table *table = table_create();
    table_column(table, "symbol", ALIGN_LEFT);
    table_column(table, "type", ALIGN_LEFT);
    table_column(table, "bytes", ALIGN_RIGHT);
    uint32_t count = 0;
    for (uint32_t i = cell->object.first_global; i < cell->object.symbol_count; i++) {
        const struct elf64_sym *symbol = &cell->object.symbols[i];
        if (elf_symbol_is_export(symbol)) {
            count++;
            table_cell(table, "%s", elf_object_symbol_name(&cell->object, i));
            table_cell(table, "%s%s", type_name(symbol),
                       elf_symbol_binding(symbol) == STB_WEAK ? " (weak)" : "");
            table_cell(table, "%" PRIu64, symbol->st_size);
        }
    }
    heading("exports", count);
    if (count) {
        table_print(table, stdout);
    }
    table_destroy(table);
}

static void print_imports(const struct model *model, const struct model_cell *cell)
{
    struct table *table = table_create();
    table_column(table, "symbol", ALIGN_LEFT);
    table_column(table, "from", ALIGN_LEFT);
    uint32_t count = 0;
    for (uint32_t i = 0; i < cell->object.symbol_count; i++) {
        if (!is_import(&cell->object, i)) {
            continue;
        }
        const char *name = elf_object_symbol_name(&cell->object, i);
        const struct model_export *from = model_find_export(model, name);
        bool weak = elf_symbol_binding(&cell->object.symbols[i]) == STB_WEAK;
        count++;
        table_cell(table, "%s%s", name, weak ? " (weak)" : "");
        if (from) {
            table_cell(table, "%s", model->cells[from->cell].name);
        } else {
            table_cell_coloured(table, COLOUR_RED, "%s",
                                strcmp(name, MODEL_IMAGE_SYMBOL) == 0 ? "cellpack link" : "-");
        }
    }
    heading("imports", count);
    if (count) {
        table_print(table, stdout);
    }
    table_destroy(table);
}

static void print_neighbours(const struct model *model, const struct model_cell *cell)
{
    heading("needs", cell->link_count);
    for (uint32_t i = 0; i < cell->link_count; i++) {
        printf("%s%s", i ? "  " : "",
               printable(model->cells[model->links[cell->first_link + i].to].name));
    }
    printf("%s", cell->link_count ? "\n" : "");
    heading("needed by", cell->user_count);
    for (uint32_t i = 0; i < cell->user_count; i++) {
        const struct model_link *link = &model->links[model->users[cell->first_user + i]];
        printf("%s%s", i ? "  " : "", printable(model->cells[link->from].name));
    }
    printf("%s", cell->user_count ? "\n" : "");
}

static void print_cell(const struct model *model, uint32_t index, bool all)
{
    const struct model_cell *cell = &model->cells[index];
    print_facts(cell);
    print_sections(model, cell, all);
    print_exports(cell);
    print_imports(model, cell);
    print_neighbours(model, cell);
}

static int print_all(const struct arguments *arguments, const struct subject *subject)
{
    json_t *list = json_array();
    int code = EXIT_DONE;
    for (size_t i = 0; i < subject->word_count && !code; i++) {
        uint32_t cell;
        code = subject_cell(subject, subject->words[i], &cell);
        if (code) {
            break;
        }
        if (arguments->format == FORMAT_JSON) {
            json_array_append_new(list, json_cell(subject->model, cell));
        } else {
            printf("%s", i ? "\n" : "");
            print_cell(subject->model, cell, argument_given(arguments, "all"));
        }
    }
    if (code || arguments->format != FORMAT_JSON) {
        json_decref(list);
        return code;
    }
    json_t *root = json_root("info", 1);
    json_object_set_new(root, "input", json_text(subject->input));
    json_object_set_new(root, "cells", list);
    return json_print(root);
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    code = subject.word_count ? print_all(arguments, &subject)
                              : report_usage(arguments->verb, "info: which cell?");
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    {.name = "all",
     .letter = 'a',
     .type = OPTION_FLAG,
     .help = "also sections that are not loaded"},
    OPTION_CELLS,
    {.name = NULL},
};

const struct verb verb_info = {
    .name = "info",
    .summary = "what is in a cell?",
    .synopsis = "[OPTION].. CELL|FILE..",
    .examples = {"cellpack info heap", "cellpack info /tmp/module.ko --json"},
    .options = options,
    .least_nouns = 1,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_CELL,
    .run = run,
};
