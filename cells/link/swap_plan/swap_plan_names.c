/* SPDX-License-Identifier: MIT */
/*
 * What a cell calls its own, in a hash table that is made once for each cell of a swap.
 *
 * Which old thing is which new one? Exported ones have the same name. Local ones have the same name
 * in the same source file. GCC numbers static variables of functions (`count.0`), in an order that
 * changes with the source, so the number does not count; where several are left that are called the
 * same, they are told apart by .cell.abi, which knows the function, or else by their order if they
 * are as many; one that is alone in its file, on both sides, is the same. A local one whose file
 * has another name is found if there is only one of its name on both sides.
 */
#include "heap_block.h"
#include "relocation.h"
#include "swap_plan_priv.h"

static bool is_function_type(const struct elf64_sym *symbol)
{
    return elf_symbol_type(symbol) == STT_FUNC;
}

static bool is_named(const struct cell *cell, const struct elf64_sym *symbol)
{
    unsigned type = elf_symbol_type(symbol);
    return (type == STT_FUNC || type == STT_OBJECT) && symbol->st_shndx != SHN_UNDEF &&
           symbol->st_shndx < cell->object.section_count &&
           cell->sections[symbol->st_shndx].region != REGION_NONE;
}

/* Without `.17`. */
static uint32_t stem_length(const char *text)
{
    uint32_t length = (uint32_t)__builtin_strlen(text);
    uint32_t end = length;
    while (end > 1 && text[end - 1] >= '0' && text[end - 1] <= '9') {
        end--;
    }
    return end > 1 && end < length && text[end - 1] == '.' ? end - 1 : length;
}

static uint32_t hash_of(const char *text, uint32_t length)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < length; i++) {
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    }
    return hash;
}

static bool has_same_text(const struct swap_name *a, const struct swap_name *b)
{
    return a->hash == b->hash && a->length == b->length &&
           __builtin_memcmp(a->text, b->text, a->length) == 0;
}

bool swap_has_same_file(const struct swap_name *a, const struct swap_name *b)
{
    return a->file == b->file || (a->file && b->file && __builtin_strcmp(a->file, b->file) == 0);
}

static bool is_same_kind(const struct swap_names *a, const struct swap_name *one,
                         const struct swap_names *b, const struct swap_name *other)
{
    return is_function_type(swap_symbol(a->cell, one)) ==
           is_function_type(swap_symbol(b->cell, other));
}

static void enter(struct swap_names *names, const char *text, const char *file, uint32_t symbol)
{
    const struct elf64_sym *elf = &names->cell->object.symbols[symbol];
    struct swap_name *name = &names->names[names->count];
    *name = (struct swap_name){.text = text, .file = file, .symbol = symbol};
    name->length = is_function_type(elf) ? (uint32_t)__builtin_strlen(text) : stem_length(text);
    name->hash = hash_of(text, name->length);
    uint32_t *chain = &names->chains[name->hash & names->chain_mask];
    name->next = *chain;
    for (uint32_t at = *chain; at; at = names->names[at - 1].next) {
        const struct swap_name *other = &names->names[at - 1];
        if (has_same_text(name, other) && swap_has_same_file(name, other)) {
            name->ordinal = other->ordinal + 1; /* the latest stands first */
            break;
        }
    }
    names->count++;
    *chain = names->count;
    uint32_t *first = &names->of_section[elf->st_shndx];
    if (!*first && elf_symbol_type(elf) == STT_OBJECT) {
        *first = names->count;
    }
}

enum status swap_names_create(struct swap_names *names, struct cell *cell,
                              struct step_counter *steps, struct diag *diag)
{
    const struct elf_object *object = &cell->object;
    uint32_t most = 0;
    for (uint32_t i = 0; i < object->symbol_count; i++) {
        most += is_named(cell, &object->symbols[i]);
    }
    uint32_t chains = symbol_map_capacity(most);
    size_t size = most * sizeof(struct swap_name) +
                  ((size_t)chains + object->section_count) * sizeof(uint32_t);
    *names = (struct swap_names){.cell = cell, .chain_mask = chains - 1};
    if (step_fails(steps) || !heap_block_take_zeroed(size, &names->block)) {
        return swap_plan_refuse_memory(diag);
    }
    names->names = names->block;
    names->chains = (uint32_t *)(names->names + most);
    names->of_section = names->chains + chains;
    const char *file = NULL;
    for (uint32_t i = 1; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        const char *text = elf_object_symbol_name(object, i);
        if (elf_symbol_type(symbol) == STT_FILE) {
            file = text;
        } else if (is_named(cell, symbol)) {
            enter(names, text, i < object->first_global ? file : NULL, i);
        }
    }
    enum status status = cell_abi_read(object, &names->abi, diag);
    if (status != OK) {
        diag_name_cell(diag, cell->name);
    }
    return status;
}

void swap_names_destroy(struct swap_names *names)
{
    heap_block_give(&names->marks);
    heap_block_give(&names->block);
}

/* The row of a variable in .cell.abi, or NULL. O(log rows). */
static const struct cell_abi_variable *variable_of(const struct cell_abi *abi, uint32_t symbol)
{
    uint32_t low = 0;
    uint32_t high = abi->variable_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (abi->variables[middle].symbol < symbol) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < abi->variable_count && abi->variables[low].symbol == symbol ? &abi->variables[low]
                                                                             : NULL;
}

/* Both are known to .cell.abi, by names that are unique: 1 the same, 0 not, -1 not known. */
static int compare_by_abi(const struct swap_names *a, const struct swap_name *one,
                          const struct swap_names *b, const struct swap_name *other)
{
    const struct cell_abi_variable *left = variable_of(&a->abi, one->symbol);
    const struct cell_abi_variable *right = variable_of(&b->abi, other->symbol);
    if (!left || !right) {
        return -1;
    }
    return __builtin_strcmp(cell_abi_text(&a->abi, left->name),
                            cell_abi_text(&b->abi, right->name)) == 0;
}

struct count {
    uint32_t same;  /* text and file */
    uint32_t alike; /* text alone */
};

static struct count count_names(const struct swap_names *in, const struct swap_names *of,
                                const struct swap_name *name)
{
    struct count count = {0};
    for (uint32_t at = in->chains[name->hash & in->chain_mask]; at; at = in->names[at - 1].next) {
        const struct swap_name *other = &in->names[at - 1];
        if (has_same_text(name, other) && is_same_kind(of, name, in, other)) {
            count.alike++;
            count.same += swap_has_same_file(name, other);
        }
    }
    return count;
}

const struct swap_name *swap_names_find(const struct swap_names *in, const struct swap_names *of,
                                        const struct swap_name *name, bool *out_ambiguous)
{
    struct count here = count_names(in, of, name);
    struct count there = count_names(of, of, name);
    *out_ambiguous = false;
    for (uint32_t at = in->chains[name->hash & in->chain_mask]; at; at = in->names[at - 1].next) {
        const struct swap_name *other = &in->names[at - 1];
        if (!has_same_text(name, other) || !is_same_kind(of, name, in, other)) {
            continue;
        }
        bool is_only = (here.alike == 1 && there.alike == 1) || (here.same == 1 && there.same == 1);
        if (here.same == 0 ? is_only : swap_has_same_file(name, other)) {
            int by_abi = is_only ? -1 : compare_by_abi(of, name, in, other);
            bool is_right =
                is_only || by_abi == 1 ||
                (by_abi < 0 && here.same == there.same && name->ordinal == other->ordinal);
            if (is_right) {
                return other;
            }
            *out_ambiguous |= by_abi < 0 && here.same != there.same;
        }
    }
    return NULL;
}

struct function *swap_function(const struct cell *cell, uint32_t section, uint64_t offset)
{
    struct function *function =
        relocation_find_function(cell->functions, cell->function_count, section, (uint32_t)offset);
    return function != cell->functions + cell->function_count && function->section == section &&
                   function->offset == offset
               ? function
               : NULL;
}

const struct section *swap_find_section(const struct cell *cell, enum region_kind region,
                                        const char *name)
{
    const struct section *found = NULL;
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        const struct section *section = &cell->sections[i];
        if (section->region == region && __builtin_strcmp(section->name, name) == 0) {
            if (found) {
                return NULL;
            }
            found = section;
        }
    }
    return found;
}
