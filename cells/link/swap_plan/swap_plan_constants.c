/* SPDX-License-Identifier: MIT */
/*
 * Which constants of the new cells are what the old cells have already? Those of equal name, size
 * and bytes whose relocations yield the bytes that are there. A reference to another constant does
 * so if that one is adopted too, so all that might be are candidates first, and then those are
 * struck off whose references lead elsewhere, until none is: what is left may refer to one another
 * in a circle.
 *
 * Tables of jumps never are, for they lead into text, which is new.
 */
#include "heap_block.h"
#include "relocation.h"
#include "swap_plan_priv.h"

struct candidate {
    const struct section *old; /* NULL: struck off */
    uint32_t cell;
    uint32_t section;
    uint32_t relocations; /* index of the section that has them, or 0 */
};

struct candidates {
    struct candidate *list;
    uint32_t count;
    const struct swap_plan *plan;
};

static bool describes_code(const struct cell *cell, uint32_t section)
{
    return cell->object.sections[section].sh_type == SHT_X86_64_UNWIND ||
           __builtin_strcmp(cell->sections[section].name, ".eh_frame") == 0;
}

static const struct swap_names *names_of(const struct swap_plan *plan, const struct cell *old)
{
    uint32_t i = 0;
    while (plan->old[i] != old) {
        i++;
    }
    return &plan->old_names[i];
}

static const struct section *find_old(const struct swap_plan *plan, uint32_t index,
                                      uint32_t section)
{
    const struct swap_names *names = &plan->new_names[index];
    for (uint32_t i = 0; i < plan->link_count; i++) {
        if (plan->links[i].new != index) {
            continue;
        }
        const struct cell *old = plan->links[i].old;
        if (!names->of_section[section]) {
            const struct section *found =
                swap_find_section(old, REGION_RODATA, names->cell->sections[section].name);
            if (found) {
                return found;
            }
            continue;
        }
        bool is_ambiguous;
        const struct swap_name *found =
            swap_names_find(names_of(plan, old), names,
                            &names->names[names->of_section[section] - 1], &is_ambiguous);
        if (found) {
            return &old->sections[swap_symbol(old, found)->st_shndx];
        }
    }
    return NULL;
}

static bool has_same_bytes(const struct cell *cell, uint32_t section, const struct section *old)
{
    const struct elf64_shdr *header = &cell->object.sections[section];
    struct span is = elf_object_section_bytes(&cell->object, section);
    struct span was = elf_object_section_bytes(&old->cell->object, old->index);
    return old->region == REGION_RODATA && header->sh_size == old->size && is.size == was.size &&
           (header->sh_addralign == 0 || old->address % header->sh_addralign == 0) &&
           (is.size == 0 || __builtin_memcmp(is.base, was.base, is.size) == 0);
}

static bool may_be(const struct swap_plan *plan, uint32_t index, uint32_t section)
{
    const struct cell *cell = plan->new_names[index].cell;
    return cell->sections[section].region == REGION_RODATA && cell->sections[section].size > 0 &&
           !describes_code(cell, section);
}

/* ---- where a reference would lead ---- */

static uint32_t index_of(const struct swap_plan *plan, const struct cell *cell)
{
    uint32_t i = 0;
    while (plan->new_names[i].cell != cell) {
        i++;
    }
    return i;
}

/* Where `offset` of a section of a new cell will be, if that is known before it is placed. */
static bool find_new_place(const struct candidates *candidates, const struct section *section,
                           uint64_t offset, uint64_t *out_value)
{
    if (section->flags & SHF_EXECINSTR) {
        const struct function *function = swap_function(section->cell, section->index, offset);
        *out_value = function ? function->entry : 0;
        return *out_value != 0;
    }
    uint32_t cell = index_of(candidates->plan, section->cell);
    const struct section *old = swap_plan_adopted_from(candidates->plan, cell, section->index);
    for (uint32_t i = 0; !old && i < candidates->count; i++) {
        const struct candidate *candidate = &candidates->list[i];
        if (candidate->cell == cell && candidate->section == section->index) {
            old = candidate->old;
        }
    }
    *out_value = old ? old->address + offset : 0;
    return old != NULL;
}

/* S + A, if it is known. */
static bool find_value(const struct candidates *candidates, const struct cell *cell,
                       const struct elf64_rela *rela, uint64_t *out_value)
{
    const struct elf_object *object = &cell->object;
    if (rela->r_sym >= object->symbol_count) {
        return false;
    }
    const struct elf64_sym *symbol = &object->symbols[rela->r_sym];
    uint64_t offset = symbol->st_value + (uint64_t)rela->r_addend;
    if (symbol->st_shndx != SHN_UNDEF) {
        *out_value = offset;
        return symbol->st_shndx == SHN_ABS ||
               (symbol->st_shndx < object->section_count &&
                find_new_place(candidates, &cell->sections[symbol->st_shndx], offset, out_value));
    }
    const char *name = elf_object_symbol_name(object, rela->r_sym);
    const struct symbol *found =
        loader_aside_find(STORED(candidates->plan->aside), name, symbol_map_hash(name));
    if (!found) {
        *out_value = (uint64_t)rela->r_addend;
        return true;
    }
    offset = found->address + (uint64_t)rela->r_addend;
    if (found->section && swap_is_new(found->section->cell)) {
        return find_new_place(candidates, found->section, offset, out_value);
    }
    *out_value = rela->r_addend == 0 && found->entry ? found->entry : offset;
    return true;
}

/* Are these bytes at the old place what the relocation would write there? */
static bool is_there(const struct section *old, const struct elf64_rela *rela, uint64_t value)
{
    uint64_t size = rela->r_type == R_X86_64_64 || rela->r_type == R_X86_64_PC64 ? 8 : 4;
    if (rela->r_offset > old->size || size > old->size - rela->r_offset) {
        return false;
    }
    uint64_t place = old->address + rela->r_offset;
    if (rela->r_type == R_X86_64_PC32 || rela->r_type == R_X86_64_PLT32 ||
        rela->r_type == R_X86_64_PC64) {
        value -= place;
    }
    return __builtin_memcmp((const void *)place, &value, size) == 0;
}

static bool leads_to_the_same(const struct candidates *candidates,
                              const struct candidate *candidate)
{
    const struct cell *cell = candidates->plan->new_names[candidate->cell].cell;
    if (!candidate->relocations) {
        return true;
    }
    uint64_t count;
    const struct elf64_rela *rela =
        elf_object_relocations(&cell->object, candidate->relocations, &count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value;
        if (rela[i].r_type != R_X86_64_NONE && (!find_value(candidates, cell, &rela[i], &value) ||
                                                !is_there(candidate->old, &rela[i], value))) {
            return false;
        }
    }
    return true;
}

static void strike_off(struct candidates *candidates)
{
    bool is_changed = true;
    while (is_changed) {
        is_changed = false;
        for (uint32_t i = 0; i < candidates->count; i++) {
            struct candidate *candidate = &candidates->list[i];
            if (candidate->old && !leads_to_the_same(candidates, candidate)) {
                candidate->old = NULL;
                is_changed = true;
            }
        }
    }
}

/* Two new sections never get the same place. */
static bool is_taken(const struct candidates *candidates, const struct section *old)
{
    for (uint32_t i = 0; i < candidates->count; i++) {
        if (candidates->list[i].old == old) {
            return true;
        }
    }
    return false;
}

static void collect(struct candidates *candidates, uint32_t index)
{
    const struct cell *cell = candidates->plan->new_names[index].cell;
    uint32_t first = candidates->count;
    for (uint32_t k = 0; k < cell->object.section_count; k++) {
        if (!may_be(candidates->plan, index, k)) {
            continue;
        }
        const struct section *old = find_old(candidates->plan, index, k);
        /* The static image's constants are given back with their cell, whoever uses them. */
        if (old && !old->cell->is_static && has_same_bytes(cell, k, old) &&
            !is_taken(candidates, old)) {
            candidates->list[candidates->count++] =
                (struct candidate){.old = old, .cell = index, .section = k};
        }
    }
    for (uint32_t k = 0; k < cell->object.section_count; k++) {
        if (!elf_object_is_relocation(&cell->object, k)) {
            continue;
        }
        for (uint32_t i = first; i < candidates->count; i++) {
            if (candidates->list[i].section == cell->object.sections[k].sh_info) {
                candidates->list[i].relocations = k;
            }
        }
    }
}

enum status swap_plan_match_constants(struct swap_plan *plan, struct diag *diag)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < plan->new_count; i++) {
        for (uint32_t k = 0; k < plan->new_names[i].cell->object.section_count; k++) {
            most += may_be(plan, i, k);
        }
    }
    struct candidates candidates = {.plan = plan};
    OWNED(heap_block, block);
    if (!swap_plan_take(plan, (most + 1) * sizeof(*candidates.list), SLOT(block))) {
        return swap_plan_refuse_memory(diag);
    }
    candidates.list = heap_block_of(*SLOT(block));
    for (uint32_t i = 0; i < plan->new_count; i++) {
        collect(&candidates, i);
    }
    strike_off(&candidates);
    enum status status = OK;
    for (uint32_t i = 0; status == OK && i < candidates.count; i++) {
        const struct candidate *candidate = &candidates.list[i];
        if (candidate->old) {
            plan->counts.adopted_constants++;
            status =
                swap_plan_adopt(plan, candidate->cell, candidate->section, candidate->old, diag);
        }
    }
    return status;
}
