/* SPDX-License-Identifier: MIT */
/*
 * verb_sym.c - who defines a symbol, and who uses it.
 *
 * Uses are found by place, not by name: a reference that the assembler made relative to the section
 * is a use of the function in it as well.
 */
#include "subject.h"

#include "relocation.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct definition {
    uint32_t cell;
    uint32_t symbol;
    uint32_t section; /* in model->sections, or MODEL_NOWHERE: absolute */
    uint64_t offset;
    uint64_t size;
    const char *name;
};

struct finding {
    const struct model *model;
    const char *pattern;
    struct definition *definitions;
    size_t count;
    size_t room;
    struct suggestion near;
};

static bool matches(const struct finding *finding, const char *name)
{
    return strpbrk(finding->pattern, "*?[") ? fnmatch(finding->pattern, name, 0) == 0
                                            : strcmp(finding->pattern, name) == 0;
}

static void add_definition(struct finding *finding, uint32_t cell, uint32_t symbol)
{
    const struct model_cell *c = &finding->model->cells[cell];
    const struct elf64_sym *s = &c->object.symbols[symbol];
    if (finding->count == finding->room) {
        finding->room = finding->room ? finding->room * 2 : 16;
        finding->definitions =
            reallocate(finding->definitions, finding->room * sizeof(*finding->definitions));
    }
    bool in_section = s->st_shndx < c->object.section_count;
    finding->definitions[finding->count++] = (struct definition){
        .cell = cell,
        .symbol = symbol,
        .section = in_section ? c->first_section + s->st_shndx : MODEL_NOWHERE,
        .offset = s->st_value,
        .size = s->st_size,
        .name = elf_object_symbol_name(&c->object, symbol),
    };
}

static void find_definitions(struct finding *finding)
{
    for (uint32_t i = 0; i < finding->model->cell_count; i++) {
        const struct elf_object *object = &finding->model->cells[i].object;
        for (uint32_t k = 1; k < object->symbol_count; k++) {
            const struct elf64_sym *symbol = &object->symbols[k];
            uint8_t type = elf_symbol_type(symbol);
            if (symbol->st_shndx == SHN_UNDEF || type == STT_SECTION || type == STT_FILE) {
                continue;
            }
            const char *name = elf_object_symbol_name(object, k);
            if (matches(finding, name)) {
                add_definition(finding, i, k);
            } else if (elf_symbol_is_export(symbol)) {
                suggestion_offer(&finding->near, name);
            }
        }
    }
}

static bool uses(const struct definition *definition, const struct model_edge *edge)
{
    if (edge->target != definition->section || edge->target == MODEL_NOWHERE) {
        return false;
    }
    int64_t inside = model_edge_place(edge) - (int64_t)definition->offset;
    return inside >= 0 && (inside == 0 || (uint64_t)inside < definition->size);
}

static const char *scope_of(const struct elf64_sym *symbol)
{
    if (elf_symbol_is_export(symbol)) {
        return elf_symbol_binding(symbol) == STB_WEAK ? "exported, weak" : "exported";
    }
    return elf_symbol_binding(symbol) == STB_LOCAL ? "local" : "hidden";
}

static void print_definition(const struct model *model, const struct definition *definition)
{
    const struct elf64_sym *symbol =
        &model->cells[definition->cell].object.symbols[definition->symbol];
    const struct model_export *first = model_find_export(model, definition->name);
    char *place = definition->section == MODEL_NOWHERE
                      ? format_text("%s (absolute)", model->cells[definition->cell].name)
                      : place_text(model, definition->section, (int64_t)definition->offset);
    printf("%s%s%s  %s  %" PRIu64 " bytes  %s", colour(stdout, COLOUR_BOLD),
           printable(definition->name), colour(stdout, COLOUR_NONE), place, definition->size,
           scope_of(symbol));
    if (elf_symbol_is_export(symbol) && first && first->cell != definition->cell) {
        printf(", but others bind to %s", printable(model->cells[first->cell].name));
    }
    printf("\n");
    free(place);
}

/* Prints the uses of one definition; all edges are looked at once. */
static void print_uses(const struct model *model, const struct definition *definition)
{
    struct table *table = table_create();
    table_column(table, "  used by", ALIGN_LEFT);
    table_column(table, "type", ALIGN_LEFT);
    table_column(table, "use", ALIGN_LEFT);
    size_t count = 0;
    for (uint32_t i = 0; i < model->edge_count; i++) {
        const struct model_edge *edge = &model->edges[i];
        if (uses(definition, edge) && model->sections[edge->source].kind != MODEL_UNWIND) {
            char *place = place_text(model, edge->source, edge->offset);
            table_cell(table, "  %s", place);
            table_cell(table, "%s", relocation_name(edge->type));
            table_cell(table, "%s", model_use_name(edge->use));
            free(place);
            count++;
        }
    }
    if (count) {
        table_print(table, stdout);
    } else {
        printf("  nobody uses it\n");
    }
    table_destroy(table);
}

static json_t *json_definition(const struct model *model, const struct definition *definition)
{
    const struct elf64_sym *symbol =
        &model->cells[definition->cell].object.symbols[definition->symbol];
    json_t *users = json_array();
    for (uint32_t i = 0; i < model->edge_count; i++) {
        if (uses(definition, &model->edges[i])) {
            json_array_append_new(users, json_edge(model, &model->edges[i]));
        }
    }
    bool absolute = definition->section == MODEL_NOWHERE;
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:s, s:b, s:b, s:o}", "name",
                     json_text(definition->name), "cell",
                     json_text(model->cells[definition->cell].name), "section",
                     json_text_or_null(absolute ? NULL : model->sections[definition->section].name),
                     "offset", (json_int_t)definition->offset, "size", (json_int_t)definition->size,
                     "type", elf_symbol_type(symbol) == STT_FUNC ? "function" : "object",
                     "exported", elf_symbol_is_export(symbol), "weak",
                     elf_symbol_binding(symbol) == STB_WEAK, "users", users);
}

/* Nobody defines it: who would need it? */
static int report_unknown(const struct finding *finding, const char *input)
{
    struct problem problem = {0};
    const char *near = finding->near.best;
    problem_set(&problem, PROBLEM_UNKNOWN_SYMBOL, "no cell defines '%s'%s%s%s", finding->pattern,
                near ? "; is '" : "", near ? near : "", near ? "' meant?" : "");
    problem_where(&problem, "%s", input);
    for (uint32_t i = 0; i < finding->model->cell_count; i++) {
        const struct elf_object *object = &finding->model->cells[i].object;
        for (uint32_t k = 1; k < object->symbol_count; k++) {
            if (object->symbols[k].st_shndx == SHN_UNDEF &&
                matches(finding, elf_object_symbol_name(object, k))) {
                problem_because(&problem, "%s imports it", finding->model->cells[i].name);
            }
        }
    }
    problem_help(&problem, "cellpack info CELL lists what a cell exports");
    return report(&problem);
}

static int answer(const struct arguments *arguments, const struct subject *subject)
{
    struct finding finding = {
        .model = subject->model, .pattern = subject->words[0], .near = {.word = subject->words[0]}};
    find_definitions(&finding);
    int code = EXIT_DONE;
    if (finding.count == 0) {
        code = report_unknown(&finding, subject->input);
    } else if (arguments->format == FORMAT_JSON) {
        json_t *root = json_root("sym", 1);
        json_t *list = json_array();
        for (size_t i = 0; i < finding.count; i++) {
            json_array_append_new(list, json_definition(subject->model, &finding.definitions[i]));
        }
        json_object_set_new(root, "input", json_text(subject->input));
        json_object_set_new(root, "definitions", list);
        code = json_print(root);
    } else {
        for (size_t i = 0; i < finding.count; i++) {
            printf("%s", i ? "\n" : "");
            print_definition(subject->model, &finding.definitions[i]);
            print_uses(subject->model, &finding.definitions[i]);
        }
    }
    free(finding.definitions);
    return code;
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    code = subject.has_words ? answer(arguments, &subject)
                             : report_usage(arguments->verb, "sym: which symbol?");
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    OPTION_CELLS,
    {.name = NULL},
};

const struct verb verb_sym = {
    .name = "sym",
    .summary = "who defines a symbol, and who uses it?",
    .synopsis = "[OPTION].. NAME [FILE..]",
    .examples = {"cellpack sym heap_allocate", "cellpack sym 'heap_*' --json"},
    .options = options,
    .least_nouns = 1,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_SYMBOL,
    .run = run,
};
