/* SPDX-License-Identifier: MIT */
/*
 * verb_unwind.c - the unwind table of a cell: for each function, at which of its bytes the caller's
 * frame begins where, and where the caller's registers are.
 */
#include "subject.h"
#include "unwind_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RULE_SIZE 32

struct totals {
    uint64_t functions;
    uint64_t rows;
    uint64_t bytes; /* of code that is described */
};

/* In the words of readelf: c-8 is "saved at CFA - 8", v+8 "is CFA + 8". */
static void format_rule(const struct cfi_rules *rules, unsigned number, char text[RULE_SIZE])
{
    static const char *const words[] = {[CFI_UNDEFINED] = "u",
                                        [CFI_SAME] = "s",
                                        [CFI_EXPRESSION] = "exp",
                                        [CFI_VALUE_EXPRESSION] = "vexp"};
    int value = rules->value[number];
    switch ((enum cfi_rule)rules->kind[number]) {
    case CFI_OFFSET:
        snprintf(text, RULE_SIZE, "c%+d", value);
        break;
    case CFI_VALUE_OFFSET:
        snprintf(text, RULE_SIZE, "v%+d", value);
        break;
    case CFI_REGISTER:
        snprintf(text, RULE_SIZE, "%s", cfi_register_name((unsigned)value));
        break;
    default:
        snprintf(text, RULE_SIZE, "%s", words[rules->kind[number]]);
        break;
    }
}

static void format_cfa(const struct cfi_rules *rules, char text[RULE_SIZE])
{
    if (rules->cfa_register == CFI_CFA_EXPRESSION) {
        snprintf(text, RULE_SIZE, "exp");
    } else {
        snprintf(text, RULE_SIZE, "%s%+d", cfi_register_name(rules->cfa_register),
                 rules->cfa_offset);
    }
}

static json_t *json_rules(const struct cfi_machine *machine, const struct cfi_fde *fde)
{
    json_t *registers = json_object();
    char text[RULE_SIZE];
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        if (machine->rules.kind[i] != CFI_UNSPECIFIED) {
            format_rule(&machine->rules, i, text);
            json_object_set_new(registers, cfi_register_name(i), json_string(text));
        }
    }
    format_cfa(&machine->rules, text);
    return json_pack("{s:I, s:I, s:s, s:o}", "offset", (json_int_t)(machine->start - fde->start),
                     "size", (json_int_t)(machine->end - machine->start), "cfa", text, "registers",
                     registers);
}

static void table_rules(struct table *table, const struct cfi_machine *machine,
                        const struct cfi_fde *fde, const char *name)
{
    char text[RULE_SIZE];
    char line[CFI_REGISTER_COUNT * RULE_SIZE] = "";
    table_cell(table, "%s", machine->start == fde->start ? name : "");
    table_cell(table, "%" PRIu64, machine->start - fde->start);
    format_cfa(&machine->rules, text);
    table_cell(table, "%s", text);
    for (unsigned i = 0; i < CFI_REGISTER_COUNT; i++) {
        if (machine->rules.kind[i] != CFI_UNSPECIFIED) {
            size_t used = strlen(line);
            format_rule(&machine->rules, i, text);
            snprintf(line + used, sizeof(line) - used, "%s%s=%s", used ? " " : "",
                     cfi_register_name(i), text);
        }
    }
    table_cell(table, "%s", line);
}

/* `cell:function`, or `cell:section+0x10` where no symbol starts there. */
static char *name_of(const struct model_cell *cell, const struct unwind_table *unwind,
                     uint32_t section, uint64_t offset)
{
    const char *function = unwind_table_function(unwind, section, offset);
    return function ? format_text("%s:%s", cell->name, function)
                    : format_text("%s:%s+0x%" PRIx64, cell->name,
                                  elf_object_section_name(&cell->object, section), offset);
}

static int refuse_row(const struct model_cell *cell, const struct cfi_fault *fault)
{
    struct problem problem = {0};
    problem_set(&problem, PROBLEM_CHECK_ROWS, "%s: %s", cell->name, cfi_fault_text(fault->code));
    problem_where(&problem, "%s:.eh_frame+0x%" PRIx64, cell->name, fault->offset);
    return report(&problem);
}

struct listing {
    json_t *functions;   /* of this cell, or NULL */
    struct table *table; /* or NULL */
    struct totals totals;
};

static int list_function(struct listing *listing, const struct model_cell *cell,
                         const struct unwind_table *unwind, const struct cfi_fde *fde)
{
    struct cfi_machine machine;
    struct cfi_fault fault = {0};
    uint32_t section = 0;
    uint64_t offset = 0;
    bool is_placed =
        unwind_table_place(unwind, fde->start, fde->end - fde->start, &section, &offset);
    char *name = is_placed ? name_of(cell, unwind, section, offset)
                           : format_text("%s: no code of ours", cell->name);
    json_t *rows = listing->functions ? json_array() : NULL;
    enum status status = cfi_begin(&machine, fde, &fault);
    while (status == OK && (status = cfi_next_row(&machine, &fault)) == OK) {
        listing->totals.rows++;
        if (listing->table) {
            table_rules(listing->table, &machine, fde, name);
        } else {
            json_array_append_new(rows, json_rules(&machine, fde));
        }
    }
    if (listing->functions) {
        const char *function = is_placed ? unwind_table_function(unwind, section, offset) : NULL;
        json_array_append_new(
            listing->functions,
            json_pack("{s:o, s:o, s:I, s:I, s:b, s:I, s:o}", "function",
                      json_text_or_null(function), "section",
                      json_text_or_null(is_placed ? elf_object_section_name(&cell->object, section)
                                                  : NULL),
                      "offset", (json_int_t)offset, "size", (json_int_t)(fde->end - fde->start),
                      "signal", fde->is_signal, "fde", (json_int_t)fde->offset, "rows", rows));
    }
    listing->totals.functions++;
    listing->totals.bytes += fde->end - fde->start;
    free(name);
    return status == ERR_NOT_FOUND ? EXIT_DONE : refuse_row(cell, &fault);
}

static int list_cell(struct listing *listing, const struct model_cell *cell)
{
    struct unwind_table unwind;
    struct problem problem = {0};
    struct cfi_fde fde;
    struct cfi_fault fault = {0};
    int code = EXIT_DONE;
    if (unwind_table_open(&cell->object, &unwind, &problem) != OK) {
        return report(&problem);
    }
    enum status status = OK;
    for (uint64_t at = 0; code == EXIT_DONE;) {
        status = cfi_next(&unwind.frame, &at, &fde, &fault);
        if (status != OK) {
            break;
        }
        code = list_function(listing, cell, &unwind, &fde);
    }
    if (code == EXIT_DONE && status != ERR_NOT_FOUND) {
        code = refuse_row(cell, &fault);
    }
    unwind_table_fini(&unwind);
    return code;
}

static int list_json(const struct subject *subject, const uint32_t *cells, size_t count)
{
    json_t *root = json_root("unwind", 1);
    json_t *list = json_array();
    int code = EXIT_DONE;
    for (size_t i = 0; i < count && code == EXIT_DONE; i++) {
        const struct model_cell *cell = &subject->model->cells[cells[i]];
        struct listing listing = {.functions = json_array()};
        code = list_cell(&listing, cell);
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:I, s:I, s:I}", "cell", json_text(cell->name),
                                        "functions", listing.functions, "function_count",
                                        (json_int_t)listing.totals.functions, "row_count",
                                        (json_int_t)listing.totals.rows, "code_bytes",
                                        (json_int_t)listing.totals.bytes));
    }
    json_object_set_new(root, "input", json_text(subject->input));
    json_object_set_new(root, "cells", list);
    if (code != EXIT_DONE) {
        json_decref(root);
        return code;
    }
    return json_print(root);
}

static int list_table(const struct subject *subject, const uint32_t *cells, size_t count)
{
    struct listing listing = {.table = table_create()};
    table_column(listing.table, "function", ALIGN_LEFT);
    table_column(listing.table, "from", ALIGN_RIGHT);
    table_column(listing.table, "cfa", ALIGN_LEFT);
    table_column(listing.table, "registers", ALIGN_LEFT);
    int code = EXIT_DONE;
    for (size_t i = 0; i < count && code == EXIT_DONE; i++) {
        code = list_cell(&listing, &subject->model->cells[cells[i]]);
    }
    if (code == EXIT_DONE) {
        table_print(listing.table, stdout);
        printf("%" PRIu64 " functions, %" PRIu64 " bytes of code, %" PRIu64 " rows\n",
               listing.totals.functions, listing.totals.bytes, listing.totals.rows);
    }
    table_destroy(listing.table);
    return code;
}

static int answer(const struct arguments *arguments, const struct subject *subject)
{
    uint32_t all = subject->model->cell_count;
    uint32_t *cells = allocate((all + subject->word_count + 1) * sizeof(*cells));
    size_t count = 0;
    int code = EXIT_DONE;
    for (size_t i = 0; i < subject->word_count && subject->has_words && !code; i++) {
        code = subject_cell(subject, subject->words[i], &cells[count++]);
    }
    for (uint32_t i = 0; i < all && !subject->has_words; i++) {
        cells[count++] = i;
    }
    if (!code) {
        code = arguments->format == FORMAT_JSON ? list_json(subject, cells, count)
                                                : list_table(subject, cells, count);
    }
    free(cells);
    return code;
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    code = answer(arguments, &subject);
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    OPTION_CELLS,
    {.name = NULL},
};

const struct verb verb_unwind = {
    .name = "unwind",
    .summary = "where is the caller, at each instruction?",
    .synopsis = "[OPTION].. [CELL|FILE..]",
    .examples = {"cellpack unwind heap", "cellpack unwind module.ko --json"},
    .options = options,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_CELL,
    .run = run,
};
