/* SPDX-License-Identifier: MIT */
/*
 * verb_size.c - where the bytes are, and what has changed since another build.
 *
 * Bytes are those that are in memory once the cell is loaded: text, rodata, data, bss, unwind
 * table.
 */
#include "subject.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A line of the result: a cell or a section, with its bytes in the old bundle and in the new one.
 */
struct row {
    char *name;
    struct model_sizes before;
    struct model_sizes after;
    bool was; /* it is in the old bundle */
    bool is;
};

struct rows {
    struct row *list;
    size_t count;
    size_t room;
};

static void add_sizes(struct model_sizes *to, const struct model_sizes *from)
{
    for (size_t i = 0; i < MODEL_KIND_COUNT; i++) {
        to->bytes[i] += from->bytes[i];
    }
}

static void add_row(struct rows *rows, char *name, const struct model_sizes *sizes, bool old)
{
    if (rows->count == rows->room) {
        rows->room = rows->room ? rows->room * 2 : 64;
        rows->list = reallocate(rows->list, rows->room * sizeof(*rows->list));
    }
    struct row row = {.name = name, .was = old, .is = !old};
    add_sizes(old ? &row.before : &row.after, sizes);
    rows->list[rows->count++] = row;
}

static void add_cell(struct rows *rows, const struct model *model, uint32_t index, bool sections,
                     bool old)
{
    const struct model_cell *cell = &model->cells[index];
    if (!sections) {
        add_row(rows, duplicate_text(cell->name), &cell->sizes, old);
        return;
    }
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct model_section *section = &model->sections[cell->first_section + i];
        if (section->kind != MODEL_NOT_LOADED && section->size) {
            struct model_sizes sizes = {0};
            sizes.bytes[section->kind] = section->size;
            add_row(rows, format_text("%s:%s", cell->name, section->name), &sizes, old);
        }
    }
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct row *)left)->name, ((const struct row *)right)->name);
}

static void sort_rows(struct rows *rows, int (*compare)(const void *, const void *))
{
    if (rows->count) {
        qsort(rows->list, rows->count, sizeof(*rows->list), compare);
    }
}

/* Joins rows of one name, which are neighbours when sorted: old and new, or sections of equal name.
 */
static void merge_rows(struct rows *rows)
{
    sort_rows(rows, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++) {
        struct row *last = kept ? &rows->list[kept - 1] : NULL;
        if (last && strcmp(last->name, rows->list[i].name) == 0) {
            add_sizes(&last->before, &rows->list[i].before);
            add_sizes(&last->after, &rows->list[i].after);
            last->was |= rows->list[i].was;
            last->is |= rows->list[i].is;
            free(rows->list[i].name);
        } else {
            rows->list[kept++] = rows->list[i];
        }
    }
    rows->count = kept;
}

static int by_size(const void *left, const void *right)
{
    uint64_t a = model_sizes_total(&((const struct row *)left)->after);
    uint64_t b = model_sizes_total(&((const struct row *)right)->after);
    return a != b ? (a < b ? 1 : -1) : by_name(left, right);
}

static int64_t delta_of(const struct row *row)
{
    return (int64_t)(model_sizes_total(&row->after) - model_sizes_total(&row->before));
}

static int by_delta(const void *left, const void *right)
{
    int64_t a = llabs(delta_of(left));
    int64_t b = llabs(delta_of(right));
    return a != b ? (a < b ? 1 : -1) : by_name(left, right);
}

static struct row total_of(const struct rows *rows)
{
    struct row total = {.name = "total", .was = true, .is = true};
    for (size_t i = 0; i < rows->count; i++) {
        add_sizes(&total.before, &rows->list[i].before);
        add_sizes(&total.after, &rows->list[i].after);
    }
    return total;
}

static const char *mark_of(const struct row *row)
{
    bool same = memcmp(&row->before, &row->after, sizeof(row->before)) == 0;
    return !row->was ? "+" : !row->is ? "-" : same ? "=" : "~";
}

/* ---- tables ---- */

static void size_row(struct table *table, const struct row *row)
{
    table_cell(table, "%s", row->name);
    for (enum model_kind kind = 0; kind < MODEL_KIND_COUNT; kind++) {
        table_cell(table, "%" PRIu64, row->after.bytes[kind]);
    }
    table_cell(table, "%" PRIu64, model_sizes_total(&row->after));
}

static void print_sizes(const struct rows *rows, const struct row *total)
{
    struct table *table = table_create();
    table_column(table, "cell", ALIGN_LEFT);
    for (enum model_kind kind = 0; kind < MODEL_KIND_COUNT; kind++) {
        table_column(table, model_kind_name(kind), ALIGN_RIGHT);
    }
    table_column(table, "bytes", ALIGN_RIGHT);
    for (size_t i = 0; i < rows->count; i++) {
        size_row(table, &rows->list[i]);
    }
    size_row(table, total);
    table_print(table, stdout);
    table_destroy(table);
}

static void diff_row(struct table *table, const struct row *row)
{
    int64_t delta = delta_of(row);
    table_cell(table, "%s %s", mark_of(row), row->name);
    table_cell(table, "%" PRIu64, model_sizes_total(&row->before));
    table_cell(table, "%" PRIu64, model_sizes_total(&row->after));
    table_cell_coloured(table,
                        delta > 0   ? COLOUR_RED
                        : delta < 0 ? COLOUR_GREEN
                                    : COLOUR_NONE,
                        "%+" PRId64, delta);
    for (enum model_kind kind = 0; kind < MODEL_KIND_COUNT; kind++) {
        int64_t part = (int64_t)(row->after.bytes[kind] - row->before.bytes[kind]);
        table_cell(table, part ? "%+" PRId64 : "%" PRId64, part);
    }
}

static void print_diff(const struct rows *rows, const struct row *total)
{
    struct table *table = table_create();
    table_column(table, "  cell", ALIGN_LEFT);
    table_column(table, "before", ALIGN_RIGHT);
    table_column(table, "after", ALIGN_RIGHT);
    table_column(table, "delta", ALIGN_RIGHT);
    for (enum model_kind kind = 0; kind < MODEL_KIND_COUNT; kind++) {
        table_column(table, model_kind_name(kind), ALIGN_RIGHT);
    }
    size_t changed = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (mark_of(&rows->list[i])[0] != '=') {
            diff_row(table, &rows->list[i]);
            changed++;
        }
    }
    diff_row(table, total);
    table_print(table, stdout);
    printf("%zu of %zu differ\n", changed, rows->count);
    table_destroy(table);
}

/* ---- JSON ---- */

static json_t *json_row(const struct row *row, bool diff)
{
    json_t *json =
        json_pack("{s:o, s:o}", "name", json_text(row->name), "sizes", json_sizes(&row->after));
    if (diff) {
        json_object_set_new(json, "before", json_sizes(&row->before));
        json_object_set_new(json, "delta", json_integer(delta_of(row)));
        json_object_set_new(json, "change", json_string(mark_of(row)));
    }
    return json;
}

static int print_json(const struct subject *subject, const struct rows *rows,
                      const struct row *total, bool diff)
{
    json_t *root = json_root("size", 1);
    json_t *list = json_array();
    int64_t changed = 0;
    for (size_t i = 0; i < rows->count; i++) {
        json_array_append_new(list, json_row(&rows->list[i], diff));
        changed += mark_of(&rows->list[i])[0] != '=';
    }
    json_object_set_new(root, "input", json_text(subject->input));
    json_object_set_new(root, "rows", list);
    json_object_set_new(root, "total", json_row(total, diff));
    if (diff) {
        json_object_set_new(root, "changed_count", json_integer(changed));
    }
    return json_print(root);
}

/* ---- answering ---- */

static int collect(const struct arguments *arguments, const struct subject *subject,
                   struct rows *rows)
{
    bool sections = argument_given(arguments, "sections");
    for (size_t i = 0; i < subject->word_count && subject->has_words; i++) {
        uint32_t cell;
        int code = subject_cell(subject, subject->words[i], &cell);
        if (code) {
            return code;
        }
        add_cell(rows, subject->model, cell, sections, false);
    }
    for (uint32_t i = 0; i < subject->model->cell_count && !subject->has_words; i++) {
        add_cell(rows, subject->model, i, sections, false);
    }
    return EXIT_DONE;
}

static bool is_wanted(const struct subject *subject, const char *cell)
{
    bool wanted = !subject->has_words;
    for (size_t i = 0; i < subject->word_count && !wanted; i++) {
        wanted = strcmp(subject->words[i], cell) == 0;
    }
    return wanted;
}

static int collect_old(const struct arguments *arguments, const struct subject *subject,
                       struct rows *rows)
{
    const char *path = argument_text(arguments, "diff");
    struct problem problem = {0};
    struct model *old;
    if (model_load(&path, 1, MODEL_STRICT, &old, &problem)) {
        return report(&problem);
    }
    for (uint32_t i = 0; i < old->cell_count; i++) {
        if (is_wanted(subject, old->cells[i].name)) {
            add_cell(rows, old, i, argument_given(arguments, "sections"), true);
        }
    }
    model_destroy(old);
    return EXIT_DONE;
}

static int check_budget(const struct arguments *arguments, const struct row *total)
{
    uint64_t budget = argument_number(arguments, "budget", UINT64_MAX);
    uint64_t found = model_sizes_total(&total->after);
    if (found <= budget) {
        return EXIT_DONE;
    }
    report_warning("%" PRIu64 " bytes, %" PRIu64 " more than the budget of %" PRIu64, found,
                   found - budget, budget);
    return argument_given(arguments, "check") ? EXIT_OVER_BUDGET : EXIT_DONE;
}

static int answer(const struct arguments *arguments, const struct subject *subject,
                  struct rows *rows)
{
    bool diff = argument_given(arguments, "diff");
    int code = collect(arguments, subject, rows);
    code = code || !diff ? code : collect_old(arguments, subject, rows);
    if (code) {
        return code;
    }
    merge_rows(rows);
    sort_rows(rows, diff ? by_delta : by_size);
    struct row total = total_of(rows);
    if (arguments->format == FORMAT_JSON) {
        code = print_json(subject, rows, &total, diff);
    } else if (diff) {
        print_diff(rows, &total);
    } else {
        print_sizes(rows, &total);
    }
    return code ? code : check_budget(arguments, &total);
}

static int run(const struct arguments *arguments)
{
    struct subject subject;
    int code = subject_open(arguments, MODEL_STRICT, &subject);
    if (code) {
        return code;
    }
    struct rows rows = {0};
    code = answer(arguments, &subject, &rows);
    for (size_t i = 0; i < rows.count; i++) {
        free(rows.list[i].name);
    }
    free(rows.list);
    subject_close(&subject);
    return code;
}

static const struct option options[] = {
    {.name = "diff",
     .type = OPTION_TEXT,
     .value = "OLD",
     .words = WORDS_FILE,
     .help = "compare with this archive or object"},
    {.name = "sections", .letter = 's', .type = OPTION_FLAG, .help = "by section"},
    {.name = "budget", .type = OPTION_NUMBER, .value = "BYTES", .help = "warn above this"},
    {.name = "check", .type = OPTION_FLAG, .help = "exit 12 when over budget"},
    OPTION_CELLS,
    {.name = NULL},
};

const struct verb verb_size = {
    .name = "size",
    .summary = "where are the bytes, and what has changed?",
    .synopsis = "[OPTION].. [CELL|FILE..]",
    .examples = {"cellpack size --sections heap", "cellpack size --diff old/cells.a"},
    .options = options,
    .most_nouns = NOUNS_UNLIMITED,
    .words = WORDS_CELL,
    .run = run,
};
