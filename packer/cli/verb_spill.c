/* SPDX-License-Identifier: MIT */
/*
 * verb_spill.c - state spill: the mutable static bytes of each cell, variable by variable.
 *
 * State that a cell keeps between calls is what swapping and recovery have to care for.
 * Applications have none, so that one loaded copy runs any number of times at once.
 */
#include "subject.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct variable {
    uint32_t section; /* in model->sections */
    uint64_t offset;
    uint64_t size;
    const char *name; /* NULL: bytes of the section that no symbol names */
    uint32_t users;   /* sections that refer to it */
};

struct spill {
    const struct model *model;
    struct variable *variables; /* sorted by section, then offset */
    size_t count;
    size_t room;
};

static bool is_mutable(const struct model *model, uint32_t section)
{
    const struct model_section *s = &model->sections[section];
    uint64_t flags = model->cells[s->cell].object.sections[s->index].sh_flags;
    return s->kind != MODEL_NOT_LOADED && (flags & SHF_WRITE) && s->size > 0;
}

static void add_variable(struct spill *spill, const struct variable *variable)
{
    if (spill->count == spill->room) {
        spill->room = spill->room ? spill->room * 2 : 64;
        spill->variables = reallocate(spill->variables, spill->room * sizeof(*spill->variables));
    }
    spill->variables[spill->count++] = *variable;
}

static int compare_variables(const void *left, const void *right)
{
    const struct variable *a = left;
    const struct variable *b = right;
    if (a->section != b->section) {
        return a->section < b->section ? -1 : 1;
    }
    if (a->offset != b->offset) {
        return a->offset < b->offset ? -1 : 1;
    }
    return a->size > b->size ? -1 : a->size < b->size;
}

static void add_named(struct spill *spill, uint32_t index)
{
    const struct model_cell *cell = &spill->model->cells[index];
    for (uint32_t i = 1; i < cell->object.symbol_count; i++) {
        const struct elf64_sym *symbol = &cell->object.symbols[i];
        uint8_t type = elf_symbol_type(symbol);
        if (symbol->st_shndx >= cell->object.section_count || symbol->st_size == 0 ||
            type == STT_SECTION || type == STT_FILE ||
            !is_mutable(spill->model, cell->first_section + symbol->st_shndx)) {
            continue;
        }
        add_variable(spill, &(struct variable){
                                .section = cell->first_section + symbol->st_shndx,
                                .offset = symbol->st_value,
                                .size = symbol->st_size,
                                .name = elf_object_symbol_name(&cell->object, i),
                            });
    }
}

/*
 * Drops aliases (symbols within another one) and adds what no symbol names, so that the sizes add
 * up to those of the sections. `named` is sorted.
 */
static void add_rest(struct spill *spill, const struct variable *named, size_t count, uint32_t cell)
{
    const struct model_cell *c = &spill->model->cells[cell];
    size_t next = 0;
    for (uint32_t i = 0; i < c->object.section_count; i++) {
        uint32_t section = c->first_section + i;
        uint64_t end = 0;
        uint64_t covered = 0;
        for (; next < count && named[next].section == section; next++) {
            if (named[next].offset >= end) {
                add_variable(spill, &named[next]);
                covered += named[next].size;
                end = named[next].offset + named[next].size;
            }
        }
        uint64_t size = spill->model->sections[section].size;
        if (is_mutable(spill->model, section) && covered < size) {
            add_variable(spill, &(struct variable){
                                    .section = section, .offset = end, .size = size - covered});
        }
    }
}

static void sort_variables(struct spill *spill)
{
    if (spill->count) {
        qsort(spill->variables, spill->count, sizeof(*spill->variables), compare_variables);
    }
}

static void add_cell(struct spill *spill, uint32_t cell)
{
    struct spill named = {.model = spill->model};
    add_named(&named, cell);
    sort_variables(&named);
    add_rest(spill, named.variables, named.count, cell);
    free(named.variables);
}

/* The variable at a place, or NULL. */
static struct variable *variable_at(const struct spill *spill, uint32_t section, int64_t offset)
{
    size_t low = 0;
    size_t high = spill->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct variable *v = &spill->variables[middle];
        bool before =
            v->section < section || (v->section == section && (int64_t)v->offset <= offset);
        if (before) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    struct variable *found = low ? &spill->variables[low - 1] : NULL;
    bool inside = found && found->section == section &&
                  (offset - (int64_t)found->offset < (int64_t)found->size || !found->name);
    return inside ? found : NULL;
}

static void count_users(struct spill *spill)
{
    const struct model *model = spill->model;
    uint32_t *last = allocate((spill->count + 1) * sizeof(*last)); /* the last source counted */
    memset(last, 0xff, (spill->count + 1) * sizeof(*last));
    for (uint32_t i = 0; i < model->edge_count; i++) {
        const struct model_edge *edge = &model->edges[i];
        struct variable *variable = model_edge_is_bound(edge) && is_mutable(model, edge->target)
                                        ? variable_at(spill, edge->target, model_edge_place(edge))
                                        : NULL;
        if (variable && last[variable - spill->variables] != edge->source) {
            last[variable - spill->variables] = edge->source;
            variable->users++;
        }
    }
    free(last);
}

/* ---- output ---- */

static uint64_t mutable_bytes(const struct spill *spill, uint32_t cell)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < spill->count; i++) {
        bytes += spill->model->sections[spill->variables[i].section].cell == cell
                     ? spill->variables[i].size
                     : 0;
    }
    return bytes;
}

static char *name_of(const struct spill *spill, const struct variable *variable)
{
    return variable->name ? duplicate_text(variable->name)
                          : format_text("(%s)", spill->model->sections[variable->section].name);
}

static void print_table(const struct spill *spill)
{
    const struct model *model = spill->model;
    struct table *table = table_create();
    table_column(table, "cell", ALIGN_LEFT);
    table_column(table, "bytes", ALIGN_RIGHT);
    table_column(table, "kind", ALIGN_LEFT);
    table_column(table, "users", ALIGN_RIGHT);
    table_column(table, "variable", ALIGN_LEFT);
    uint64_t total = 0;
    for (size_t i = 0; i < spill->count; i++) {
        const struct variable *v = &spill->variables[i];
        char *name = name_of(spill, v);
        table_cell(table, "%s", model_cell_of(model, v->section)->name);
        table_cell(table, "%" PRIu64, v->size);
        table_cell(table, "%s", model_kind_name(model->sections[v->section].kind));
        table_cell(table, "%u", v->users);
        table_cell(table, "%s", name);
        free(name);
        total += v->size;
    }
    table_print(table, stdout);
    table_destroy(table);
    printf("%" PRIu64 " bytes of state in %zu variables\n", total, spill->count);
}

static int print_json(const struct subject *subject, const struct spill *spill)
{
    const struct model *model = spill->model;
    json_t *root = json_root("spill", 1);
    json_t *list = json_array();
    int64_t total = 0;
    for (size_t i = 0; i < spill->count; i++) {
        const struct variable *v = &spill->variables[i];
        const struct model_section *section = &model->sections[v->section];
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:I}", "cell",
                            json_text(model->cells[section->cell].name), "cell_kind",
                            json_text(model->cells[section->cell].kind), "section",
                            json_text(section->name), "variable", json_text_or_null(v->name),
                            "offset", (json_int_t)v->offset, "size", (json_int_t)v->size, "kind",
                            model_kind_name(section->kind), "user_count", (json_int_t)v->users));
        total += (int64_t)v->size;
    }
    json_object_set_new(root, "input", json_text(subject->input));
    json_object_set_new(root, "variables", list);
    json_object_set_new(root, "total", json_integer(total));
    return json_print(root);
}

/* Applications may have none. */
static int check_applications(const struct arguments *arguments, const struct spill *spill)
{
    int code = EXIT_DONE;
    for (uint32_t i = 0; i < spill->model->cell_count; i++) {
        uint64_t bytes = mutable_bytes(spill, i);
        if (bytes && strcmp(spill->model->cells[i].kind, "application") == 0) {
            report_warning("application %s has %" PRIu64 " bytes of mutable statics",
                           spill->model->cells[i].name, bytes);
            code = EXIT_OVER_BUDGET;
        }
    }
    return argument_given(arguments, "check") ? code : EXIT_DONE;
}

static int answer(const struct arguments *arguments, const struct subject *subject,
                  struct spill *spill)
{
    for (size_t i = 0; i < subject->word_count && subject->has_words; i++) {
        uint32_t cell;
        int code = subject_cell(subject, subject->words[i], &cell);
        if (code) {
            return code;
        }
        add_cell(spill, cell);
    }
    for (uint32_t i = 0; i < spill->model->cell_count && !subject->has_words; i++) {
        add_cell(spill, i);
    }
    sort_variables(spill);
    count_users(spill);
    int code = EXIT_DONE;
    if (arguments->format == FORMAT_JSON) {
        code = print_json(subject, spill);
    } else {
        print_table(spill);
    }
    return code ? code : check_applications(arguments, spill);
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    struct spill spill = {.model = subject.model};
    code = answer(arguments, &subject, &spill);
    free(spill.variables);
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    {.name = "check", .type = OPTION_FLAG, .help = "exit 12 when an application has state"},
    OPTION_CELLS,
    {.name = NULL},
};

const struct verb verb_spill = {
    .name = "spill",
    .summary = "which state do cells keep between calls?",
    .synopsis = "[OPTION].. [CELL|FILE..]",
    .examples = {"cellpack spill heap", "cellpack spill --check"},
    .options = options,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_CELL,
    .run = run,
};
