/* SPDX-License-Identifier: MIT */
#include "subject.h"

#include "relocation.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool is_file(const char *noun)
{
    static const char *const endings[] = {".a", ".o", ".ko", ".cell", ".obj"};
    if (strchr(noun, '/')) {
        return true;
    }
    size_t length = strlen(noun);
    for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
        size_t end = strlen(endings[i]);
        if (length > end && strcmp(noun + length - end, endings[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The files to read: those among the nouns, else all --cells, else the usual archive. */
static const char **list_files(const struct arguments *arguments, size_t *count,
                               struct problem *problem)
{
    const char **files =
        allocate((arguments->noun_count + arguments->given_count + 1) * sizeof(*files));
    *count = 0;
    for (size_t i = 0; i < arguments->noun_count; i++) {
        if (is_file(arguments->nouns[i])) {
            files[(*count)++] = arguments->nouns[i];
        }
    }
    const char *named;
    for (size_t i = 0; (named = argument_nth(arguments, "cells", i)) != NULL; i++) {
        files[(*count)++] = named;
    }
    if (*count == 0) {
        const char *usual = find_cells(arguments, problem);
        if (usual) {
            files[(*count)++] = usual;
        }
    }
    return files;
}

/* The cell that stands alone in an object file, or NULL for an archive. */
static const char *cell_in(const struct model *model, const char *file)
{
    const char *name = NULL;
    for (uint32_t i = 0; i < model->cell_count; i++) {
        if (strcmp(model->cells[i].file, file) == 0) {
            if (name) {
                return NULL;
            }
            name = model->cells[i].name;
        }
    }
    size_t length = strlen(file);
    bool is_archive = length > 2 && strcmp(file + length - 2, ".a") == 0;
    return is_archive ? NULL : name;
}

/* Nouns that are no files; if there are none, the cells of the object files. */
static void list_words(const struct arguments *arguments, struct subject *subject)
{
    subject->words = allocate((arguments->noun_count + 1) * sizeof(*subject->words));
    for (size_t i = 0; i < arguments->noun_count; i++) {
        if (!is_file(arguments->nouns[i])) {
            subject->words[subject->word_count++] = arguments->nouns[i];
        }
    }
    subject->has_words = subject->word_count > 0;
    for (size_t i = 0; i < arguments->noun_count && !subject->has_words; i++) {
        const char *cell = cell_in(subject->model, arguments->nouns[i]);
        if (cell) {
            subject->words[subject->word_count++] = cell;
        }
    }
}

int subject_open(const struct arguments *arguments, unsigned model_flags, struct subject *out)
{
    struct problem problem = {0};
    struct subject subject = {0};
    size_t count;
    const char **files = list_files(arguments, &count, &problem);
    if (count == 0 || model_load(files, count, model_flags, &subject.model, &problem)) {
        free(files);
        return report(&problem);
    }
    subject.input = count == 1 ? duplicate_text(files[0]) : format_text("%zu objects", count);
    free(files);
    list_words(arguments, &subject);
    *out = subject;
    return EXIT_DONE;
}

void subject_close(struct subject *subject)
{
    model_destroy(subject->model);
    free(subject->words);
    free(subject->input);
    *subject = (struct subject){0};
}

int subject_cell(const struct subject *subject, const char *name, uint32_t *out_cell)
{
    uint32_t cell = model_find_cell(subject->model, name);
    if (cell != MODEL_NOWHERE) {
        *out_cell = cell;
        return EXIT_DONE;
    }
    struct problem problem = {0};
    struct suggestion near = {.word = name};
    for (uint32_t i = 0; i < subject->model->cell_count; i++) {
        suggestion_offer(&near, subject->model->cells[i].name);
    }
    problem_set(&problem, PROBLEM_UNKNOWN_CELL, "there is no cell '%s'%s%s%s", name,
                near.best ? "; is '" : "", near.best ? near.best : "", near.best ? "' meant?" : "");
    problem_where(&problem, "%s", subject->input);
    problem_help(&problem, "cellpack ls");
    return report(&problem);
}

int subject_place(const struct subject *subject, const char *text, uint32_t *out_cell,
                  uint32_t *out_section)
{
    const char *colon = strchr(text, ':');
    char *name = colon ? format_text("%.*s", (int)(colon - text), text) : duplicate_text(text);
    int code = subject_cell(subject, name, out_cell);
    free(name);
    if (code) {
        return code;
    }
    *out_section = MODEL_NOWHERE;
    if (!colon) {
        return EXIT_DONE;
    }
    *out_section = model_find_section(subject->model, *out_cell, colon + 1);
    if (*out_section != MODEL_NOWHERE) {
        return EXIT_DONE;
    }
    struct problem problem = {0};
    const char *cell = subject->model->cells[*out_cell].name;
    problem_set(&problem, PROBLEM_UNKNOWN_SYMBOL, "cell %s has no section '%s'", cell, colon + 1);
    problem_where(&problem, "%s", subject->input);
    problem_help(&problem, "cellpack info %s", cell);
    return report(&problem);
}

json_t *json_text(const char *text)
{
    json_t *json = json_string(text);
    if (json) {
        return json;
    }
    char *clean = duplicate_text(text);
    for (char *c = clean; *c; c++) {
        *c = (unsigned char)*c < 0x80 ? *c : '?';
    }
    json = json_string(clean);
    free(clean);
    return json;
}

json_t *json_text_or_null(const char *text)
{
    return text ? json_text(text) : json_null();
}

json_t *json_sizes(const struct model_sizes *sizes)
{
    json_t *json = json_object();
    for (enum model_kind kind = 0; kind < MODEL_KIND_COUNT; kind++) {
        json_object_set_new(json, model_kind_name(kind),
                            json_integer((json_int_t)sizes->bytes[kind]));
    }
    json_object_set_new(json, "total", json_integer((json_int_t)model_sizes_total(sizes)));
    return json;
}

json_t *json_edge(const struct model *model, const struct model_edge *edge)
{
    json_t *json =
        json_pack("{s:o, s:o, s:I, s:s, s:s, s:o}", "source_cell",
                  json_text(model_cell_of(model, edge->source)->name), "source_section",
                  json_text(model->sections[edge->source].name), "offset", (json_int_t)edge->offset,
                  "type", relocation_name(edge->type), "use", model_use_name(edge->use), "symbol",
                  json_text(model_edge_symbol(model, edge)));
    if (model_edge_is_bound(edge)) {
        json_object_set_new(json, "target_cell",
                            json_text(model_cell_of(model, edge->target)->name));
        json_object_set_new(json, "target_section", json_text(model->sections[edge->target].name));
        json_object_set_new(json, "target_offset", json_integer(edge->target_offset));
    } else {
        json_object_set_new(json, "target_cell", json_null());
        json_object_set_new(json, "target_section", json_null());
        json_object_set_new(json, "target_offset", json_null());
    }
    return json;
}

char *place_text(const struct model *model, uint32_t section, int64_t offset)
{
    return format_text("%s:%s%s0x%" PRIx64, model_cell_of(model, section)->name,
                       model->sections[section].name, offset < 0 ? "-" : "+",
                       (uint64_t)(offset < 0 ? -offset : offset));
}

char *target_text(const struct model *model, const struct model_edge *edge)
{
    const char *symbol = model_edge_symbol(model, edge);
    if (!model_edge_is_bound(edge)) {
        return format_text("%s (%s)", symbol, model_use_name(edge->use));
    }
    const struct elf_object *object = &model_cell_of(model, edge->source)->object;
    if (elf_symbol_type(&object->symbols[edge->symbol]) == STT_SECTION) {
        return place_text(model, edge->target, edge->target_offset);
    }
    return format_text("%s:%s", model_cell_of(model, edge->target)->name, symbol);
}

char *count_text(uint64_t count, const char *one, const char *more)
{
    return format_text("%" PRIu64 " %s", count, count == 1 ? one : more);
}
