/* SPDX-License-Identifier: MIT */
/*
 * What relocations of loaded cells refer to: the pristine relocation says how, and its symbol
 * where. A symbol that its cell defines leads to that cell's own section, unless there is a
 * binding: then it leads there.
 */
#include "relocation_priv.h"

struct binding *relocation_find_binding(const struct cell *cell, uint32_t symbol)
{
    uint32_t low = 0;
    uint32_t high = cell->binding_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (cell->bindings[middle].symbol < symbol) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < cell->binding_count && cell->bindings[low].symbol == symbol ? &cell->bindings[low]
                                                                             : NULL;
}

/* A section of the cell itself where the symbol is defined, or NULL. */
static struct section *own_section(const struct cell *cell, const struct elf64_sym *symbol)
{
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx >= cell->object.section_count) {
        return NULL;
    }
    struct section *section = &cell->sections[symbol->st_shndx];
    return section->region != REGION_NONE ? section : NULL;
}

/* Does a function that is defined here start there? */
static bool is_function(const struct cell *cell, const struct section *section, int64_t offset)
{
    if (offset < 0 || offset > UINT32_MAX) {
        return false;
    }
    const struct function *function = relocation_find_function(
        cell->functions, cell->function_count, section->index, (uint32_t)offset);
    return function != cell->functions + cell->function_count &&
           function->section == section->index && function->offset == offset;
}

/* Does a relocation of this kind at `offset` bind to entries, if its target is code? */
static bool binds_to_entries(const struct section *source, uint32_t type, uint64_t offset)
{
    const struct elf_object *object = &source->cell->object;
    if (!(source->flags & SHF_EXECINSTR)) {
        return !relocation_describes_code(object, source->index);
    }
    const uint8_t *pristine = elf_object_section_bytes(object, source->index).base;
    return !relocation_is_operand(type) || !pristine || !relocation_is_branch(pristine, offset);
}

void relocation_describe(const struct section *source, uint32_t index, struct dependency *out)
{
    const struct cell *cell = source->cell;
    const struct elf64_rela *rela = &source->relocations[index];
    const struct elf64_sym *symbol = &cell->object.symbols[rela->r_sym];
    const struct binding *binding = relocation_find_binding(cell, rela->r_sym);
    const uint32_t type = rela->r_type;
    const bool is_operand = (source->flags & SHF_EXECINSTR) && relocation_is_operand(type);
    struct section *target = binding ? binding->target : own_section(cell, symbol);
    uint64_t start = binding ? binding->offset : target ? symbol->st_value : 0;
    uint64_t offset =
        start + (uint64_t)rela->r_addend + (is_operand ? RELOCATION_OPERAND_SIZE : 0u);
    target = type == R_X86_64_NONE ? NULL : target;
    bool is_start = target && (target->flags & SHF_EXECINSTR) &&
                    (binding ? binding->has_entry && offset == start
                             : is_function(cell, target, (int64_t)offset));
    *out = (struct dependency){
        .source = source,
        .target = target,
        .offset = (uint32_t)rela->r_offset,
        .target_offset = (int32_t)offset,
        .type = (uint16_t)type,
        .via_entry = is_start && binds_to_entries(source, type, rela->r_offset),
        .symbol = rela->r_sym,
    };
}

/* The next relocation of the cell, of one symbol where `symbol` is not NULL. */
static bool find_next(const struct cell *cell, const uint32_t *symbol, struct relocation_walk *walk,
                      struct dependency *out)
{
    for (; walk->section < cell->object.section_count; walk->section++, walk->index = 0) {
        const struct section *section = &cell->sections[walk->section];
        while (walk->index < section->relocation_count) {
            const struct elf64_rela *rela = &section->relocations[walk->index++];
            if (!symbol || (rela->r_sym == *symbol && rela->r_type != R_X86_64_NONE)) {
                relocation_describe(section, walk->index - 1, out);
                return true;
            }
        }
    }
    return false;
}

bool relocation_next(const struct cell *cell, struct relocation_walk *walk, struct dependency *out)
{
    return find_next(cell, NULL, walk, out);
}

bool relocation_next_use(const struct binding *binding, struct relocation_walk *walk,
                         struct dependency *out)
{
    return find_next(binding->cell, &binding->symbol, walk, out);
}
