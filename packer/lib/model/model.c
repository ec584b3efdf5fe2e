/* SPDX-License-Identifier: MIT */
#include "model_priv.h"

#include <stdlib.h>
#include <string.h>

uint32_t model_find_cell(const struct model *model, const char *name)
{
    for (uint32_t i = 0; i < model->cell_count; i++) {
        if (strcmp(model->cells[i].name, name) == 0) {
            return i;
        }
    }
    return MODEL_NOWHERE;
}

uint32_t model_find_section(const struct model *model, uint32_t cell, const char *name)
{
    const struct model_cell *c = &model->cells[cell];
    uint32_t index = elf_object_find_section(&c->object, name);
    return index ? c->first_section + index : MODEL_NOWHERE;
}

const struct model_export *model_find_export(const struct model *model, const char *name)
{
    const struct symbol_key *key = symbol_map_find(&model->by_name, name, symbol_map_hash(name));
    return key ? CONTAINER_OF(key, struct model_export, key) : NULL;
}

const char *model_edge_symbol(const struct model *model, const struct model_edge *edge)
{
    const struct elf_object *object = &model_cell_of(model, edge->source)->object;
    if (edge->symbol >= object->symbol_count) {
        return "?";
    }
    const struct elf64_sym *symbol = &object->symbols[edge->symbol];
    if (elf_symbol_type(symbol) == STT_SECTION && symbol->st_shndx < object->section_count) {
        return elf_object_section_name(object, symbol->st_shndx);
    }
    return elf_object_symbol_name(object, edge->symbol);
}

const char *model_kind_name(enum model_kind kind)
{
    static const char *const names[] = {"text", "rodata", "data", "bss", "unwind", "other"};
    static_assert(ARRAY_COUNT(names) == MODEL_NOT_LOADED + 1, "one name a kind");
    return names[kind];
}

const char *model_use_name(enum model_use use)
{
    static const char *const names[] = {"call",     "address", "data",    "none",
                                        "absolute", "weak",    "missing", "invalid"};
    static_assert(ARRAY_COUNT(names) == MODEL_USE_INVALID + 1, "one name a use");
    return names[use];
}

uint64_t model_sizes_total(const struct model_sizes *sizes)
{
    uint64_t total = 0;
    for (size_t i = 0; i < MODEL_KIND_COUNT; i++) {
        total += sizes->bytes[i];
    }
    return total;
}

enum status model_load(const char *const *paths, size_t count, unsigned flags,
                       struct model **out_model, struct problem *problem)
{
    struct model *model = calloc(1, sizeof(*model));
    if (!model) {
        return problem_set(problem, PROBLEM_MEMORY, "no memory for the model");
    }
    enum status status = model_read(model, paths, count, flags, problem);
    if (!status) {
        status = model_bind(model, problem);
    }
    if (status) {
        model_destroy(model);
        return status;
    }
    *out_model = model;
    return OK;
}

void model_destroy(struct model *model)
{
    if (!model) {
        return;
    }
    free(model->by_name.slots);
    free(model->exports);
    free(model->users);
    free(model->links);
    free(model->edges);
    free(model->sections);
    model_read_fini(model);
    free(model->rejects);
    free(model->cells);
    free(model);
}
