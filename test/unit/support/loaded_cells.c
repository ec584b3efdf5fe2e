/* SPDX-License-Identifier: MIT */
#include "loaded_cells.h"
#include "address_map.h"
#include "host_memory.h"
#include "loader.h"
#include "relocation.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

/* ---- what the standards say about one relocation ---- */

struct reference {
    const struct cell *cell;
    const struct section *source;
    const struct elf64_rela *rela;
    struct section *target; /* NULL: absolute, undefined and weak, or R_X86_64_NONE */
    uint64_t place; /* the address that is meant: S + A, from the field's end if RIP-relative */
    bool is_relative;
    bool is_branch;
    bool takes_address; /* of a function */
};

static unsigned field_size(uint32_t type)
{
    return type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : type == R_X86_64_NONE ? 0 : 4;
}

/* Is there a function that starts at this address? Looks at the symbols of its cell's object. */
static bool starts_function(const struct section *section, uint64_t address)
{
    const struct elf_object *object = &section->cell->object;
    for (uint32_t i = 1; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        if (elf_symbol_type(symbol) == STT_FUNC && symbol->st_shndx == section->index &&
            section->address + symbol->st_value == address) {
            return (section->flags & SHF_EXECINSTR) != 0;
        }
    }
    return false;
}

/* Sets target and S. */
static uint64_t resolve(struct reference *reference)
{
    const struct cell *cell = reference->cell;
    const struct elf64_sym *symbol = &cell->object.symbols[reference->rela->r_sym];
    const char *name = elf_object_symbol_name(&cell->object, reference->rela->r_sym);
    if (symbol->st_shndx == SHN_ABS || reference->rela->r_sym == 0) {
        return symbol->st_value;
    }
    if (symbol->st_shndx != SHN_UNDEF && elf_symbol_binding(symbol) != STB_WEAK) {
        reference->target = &cell->sections[symbol->st_shndx];
        return reference->target->address + symbol->st_value;
    }
    const struct symbol *found = cell_namespace_find(cell->namespace, name, symbol_map_hash(name));
    if (!found) {
        assert_int_equal(elf_symbol_binding(symbol), STB_WEAK);
        return 0;
    }
    reference->target = found->section;
    return found->address;
}

static struct reference read_reference(const struct cell *cell, const struct section *source,
                                       const struct elf64_rela *rela)
{
    struct reference reference = {.cell = cell, .source = source, .rela = rela};
    uint32_t type = rela->r_type;
    const uint8_t *pristine = elf_object_section_bytes(&cell->object, source->index).base;
    bool in_code = (source->flags & SHF_EXECINSTR) != 0;
    reference.is_relative =
        type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_PC64;
    reference.place = resolve(&reference) + (uint64_t)rela->r_addend;
    if (type == R_X86_64_NONE) {
        reference.target = NULL;
    }
    if (reference.is_relative && in_code) {
        reference.place += 4;
        const uint8_t *opcode = pristine + rela->r_offset;
        reference.is_branch = opcode[-1] == 0xe8 || opcode[-1] == 0xe9 ||
                              (rela->r_offset > 1 && opcode[-2] == 0x0f && opcode[-1] >> 4 == 8);
    }
    reference.takes_address = reference.target && !reference.is_branch &&
                              strcmp(source->name, ".eh_frame") != 0 &&
                              starts_function(reference.target, reference.place);
    return reference;
}

/* ---- one relocation against memory and record ---- */

/* The address that the field in memory leads to. */
static uint64_t follow(const struct reference *reference)
{
    uint64_t at = reference->source->address + reference->rela->r_offset;
    int32_t narrow;
    uint64_t value;
    memcpy(&narrow, (const void *)at, sizeof(narrow));
    memcpy(&value, (const void *)at, field_size(reference->rela->r_type) == 8 ? 8 : 0);
    if (field_size(reference->rela->r_type) == 4) {
        value = reference->rela->r_type == R_X86_64_32 ? (uint32_t)narrow : (uint64_t)narrow;
    }
    if (!reference->is_relative) {
        return value;
    }
    return value + at + (reference->source->flags & SHF_EXECINSTR ? 4 : 0);
}

/* The function that the entry at `address`, one of the cell's, jumps to. */
static uint64_t follow_entry(const struct cell *cell, uint64_t address)
{
    const uint8_t *entry = (const uint8_t *)address;
    int32_t distance;
    assert_true(address >= cell->entries &&
                address < cell->entries + (uint64_t)cell->entry_count * ENTRY_SIZE);
    assert_int_equal((address - cell->entries) % ENTRY_SIZE, 0);
    assert_int_equal(entry[0], 0xe9);
    assert_memory_equal(entry + 5, "\xcc\xcc\xcc", 3);
    memcpy(&distance, entry + 1, sizeof(distance));
    return address + 5 + (uint64_t)(int64_t)distance;
}

static void check_value(const struct reference *reference)
{
    if (reference->rela->r_type == R_X86_64_NONE) {
        return;
    }
    uint64_t reached = follow(reference);
    if (reference->takes_address) {
        reached = follow_entry(reference->target->cell, reached);
    }
    assert_int_equal(reached, reference->place);
}

static void check_record(const struct reference *reference, const struct dependency *record)
{
    assert_ptr_equal(record->source, reference->source);
    assert_ptr_equal(record->target, reference->target);
    assert_int_equal(record->offset, reference->rela->r_offset);
    assert_int_equal(record->type, reference->rela->r_type);
    assert_int_equal(record->symbol, reference->rela->r_sym);
    assert_int_equal(record->via_entry, reference->takes_address);
    if (reference->target) {
        assert_int_equal(record->target_offset,
                         (int32_t)(reference->place - reference->target->address));
    }
    const struct binding *binding = relocation_find_binding(reference->cell, record->symbol);
    if (reference->target && reference->target->cell != reference->cell) {
        size_t listed = 0;
        for (const struct binding *at = reference->target->incoming; at; at = at->next_incoming) {
            listed += at == binding;
        }
        assert_int_equal(listed, 1);
        assert_true(binding->is_via_entry || !record->via_entry);
    } else {
        assert_true(!binding || !binding->target || record->type == R_X86_64_NONE);
    }
}

/* ---- one cell ---- */

static void check_protection(const struct section *section)
{
    bool should_run = section->region == REGION_TEXT;
    bool should_write = section->region == REGION_DATA;
    if (section->cell->is_static) {
        return; /* an image's pages are not in the arena */
    }
    assert_int_equal(host_memory_is_executable(section->address), should_run);
    assert_int_equal(host_memory_is_writable(section->address), should_write);
}

static void check_section(const struct cell *cell, uint32_t i)
{
    const struct section *section = &cell->sections[i];
    const struct elf64_shdr *header = &cell->object.sections[i];
    assert_ptr_equal(section->cell, cell);
    assert_int_equal(section->index, i);
    assert_int_equal(section->size, header->sh_size);
    assert_string_equal(section->name, elf_object_section_name(&cell->object, i));
    if (!(header->sh_flags & SHF_ALLOC)) {
        assert_int_equal(section->region, REGION_NONE);
        assert_int_equal(section->address, 0);
        assert_null(section->incoming);
        assert_int_equal(section->relocation_count, 0);
        return;
    }
    const struct region *region = &cell->regions[section->region];
    uint32_t wanted = header->sh_flags & SHF_EXECINSTR ? REGION_TEXT
                      : header->sh_flags & SHF_WRITE   ? REGION_DATA
                                                       : REGION_RODATA;
    assert_int_equal(section->region, wanted);
    assert_int_equal(section->address % (header->sh_addralign ? header->sh_addralign : 1), 0);
    if (section->size) {
        assert_true(section->address >= region->address &&
                    section->address + section->size <= region->address + region->size);
        check_protection(section);
    }
}

/* Memory must be the pristine bytes but for the relocated fields, which check_value() looks at. */
static void check_bytes(const struct section *section)
{
    struct span pristine = elf_object_section_bytes(&section->cell->object, section->index);
    uint8_t *expected = calloc(1, section->size + 8);
    if (pristine.size) {
        memcpy(expected, pristine.base, pristine.size);
    }
    const uint8_t *found = (const uint8_t *)section->address;
    for (uint32_t i = 0; i < section->relocation_count; i++) {
        uint64_t at = section->relocations[i].r_offset;
        memcpy(expected + at, found + at, field_size(section->relocations[i].r_type));
    }
    assert_int_equal(section->size ? memcmp(expected, found, section->size) : 0, 0);
    free(expected);
}

static void check_relocations(const struct cell *cell, uint32_t table, struct cells_tally *tally)
{
    const struct section *source = &cell->sections[cell->object.sections[table].sh_info];
    uint64_t count;
    const struct elf64_rela *rela = elf_object_relocations(&cell->object, table, &count);
    assert_int_equal(source->relocation_count, count);
    for (uint64_t i = 0; i < count; i++) {
        struct reference reference = read_reference(cell, source, &rela[i]);
        check_value(&reference);
        struct dependency record;
        relocation_describe(source, (uint32_t)i, &record);
        check_record(&reference, &record);
        tally->branches += reference.is_branch;
        tally->addresses += reference.takes_address;
    }
    tally->relocations += count;
}

/* Every dependant that a section lists must really be one. */
static void check_dependants(const struct section *section)
{
    for (const struct binding *at = section->incoming; at; at = at->next_incoming) {
        assert_ptr_equal(at->target, section);
        const struct cell *user = at->cell;
        assert_true(at >= user->bindings && at < user->bindings + user->binding_count);
        assert_ptr_not_equal(user, section->cell);
        assert_ptr_equal(cell_namespace_find_cell(user->namespace, user->name), user);
    }
}

static bool is_taken(const struct binding *binding)
{
    struct relocation_walk walk = {0};
    struct dependency use;
    bool is = false;
    while (relocation_next_use(binding, &walk, &use)) {
        assert_int_equal(use.symbol, binding->symbol);
        assert_ptr_equal(use.target, binding->target);
        is |= use.via_entry;
    }
    return is;
}

/* Bindings are sorted, and marks say whose entries the cell's relocations have written. */
static void check_marks(const struct cell *cell)
{
    for (uint32_t i = 0; i < cell->binding_count; i++) {
        const struct binding *binding = &cell->bindings[i];
        assert_true(i == 0 || binding[-1].symbol < binding->symbol);
        assert_ptr_equal(binding->cell, cell);
        assert_int_equal(binding->is_via_entry, is_taken(binding));
    }
    bool *taken = calloc(cell->function_count + 1, sizeof(*taken));
    struct relocation_walk walk = {0};
    struct dependency at;
    while (relocation_next(cell, &walk, &at)) {
        if (at.via_entry && at.target->cell == cell) {
            struct function *function =
                relocation_find_function(cell->functions, cell->function_count, at.target->index,
                                         (uint32_t)at.target_offset);
            taken[function - cell->functions] = true;
        }
    }
    for (uint32_t i = 0; i < cell->function_count; i++) {
        assert_int_equal(cell->functions[i].is_via_entry, taken[i]);
    }
    free(taken);
}

/* A function has one entry at most. */
static void check_entries(const struct cell *cell)
{
    for (uint32_t i = 0; i < cell->entry_count; i++) {
        uint64_t address = cell->entries + (uint64_t)i * ENTRY_SIZE;
        uint64_t function = follow_entry(cell, address);
        assert_true(cell->is_static || host_memory_is_executable(address));
        for (uint32_t k = 0; k < i; k++) {
            assert_int_not_equal(function,
                                 follow_entry(cell, cell->entries + (uint64_t)k * ENTRY_SIZE));
        }
    }
}

static void check_cell(const struct cell *cell, bool with_data, struct cells_tally *tally)
{
    size_t relocations = tally->relocations;
    for (uint32_t i = 0; i < cell->object.section_count; i++) {
        check_section(cell, i);
        check_dependants(&cell->sections[i]);
        if (cell->sections[i].region != REGION_NONE) {
            tally->sections++;
            if (with_data || cell->sections[i].region != REGION_DATA) {
                check_bytes(&cell->sections[i]);
            }
        }
        if (elf_object_is_relocation(&cell->object, i)) {
            check_relocations(cell, i, tally);
        }
    }
    check_entries(cell);
    check_marks(cell);
    assert_int_equal(cell->relocation_count, tally->relocations - relocations);
    tally->cells++;
}

void check_cells(const struct cell_namespace *namespace, bool with_data, struct cells_tally *tally)
{
    size_t count = tally->cells;
    for (const struct cell *cell = namespace->first; cell; cell = cell->next) {
        assert_ptr_equal(cell->namespace, namespace);
        assert_ptr_equal(cell_namespace_find_cell(namespace, cell->name), cell);
        check_cell(cell, with_data, tally);
    }
    assert_int_equal(tally->cells - count, namespace->cell_count);
}

/* ---- addresses ---- */

static void own(const struct section **owners, uint64_t start, uint64_t end,
                const struct section *section)
{
    if (section->region == REGION_NONE) {
        return;
    }
    for (uint64_t at = section->address; at < section->address + section->size; at++) {
        if (at >= start && at < end) {
            assert_null(owners[at - start]);
            owners[at - start] = section;
        }
    }
}

void check_addresses(uint64_t start, uint64_t end, const struct cell_namespace *const namespaces[])
{
    const struct section **owners = calloc(end - start, sizeof(*owners));
    assert_non_null(owners);
    for (size_t n = 0; namespaces[n]; n++) {
        for (const struct cell *cell = namespaces[n]->first; cell; cell = cell->next) {
            for (uint32_t i = 0; i < cell->object.section_count; i++) {
                own(owners, start, end, &cell->sections[i]);
            }
        }
    }
    for (uint64_t at = start; at < end; at++) {
        if (address_map_find(at) != owners[at - start]) {
            fail_msg("address %#lx: wrong section", (unsigned long)at);
        }
    }
    free(owners);
}

void check_all_addresses(const struct cell_namespace *const namespaces[])
{
    uint64_t behind = 0;
    for (uint64_t page = host_memory_next_page(0); page;
         page = host_memory_next_page(page + PAGE_SIZE)) {
        check_addresses(page, page + PAGE_SIZE, namespaces);
        behind = page + PAGE_SIZE;
    }
    assert_null(address_map_find(behind));
    assert_null(address_map_find(0));
    assert_null(address_map_find(UINT64_MAX));
}

/* ---- the rest ---- */

void unload_all(struct cell_namespace *namespace)
{
    while (namespace->cell_count > 0) {
        uint32_t before = namespace->cell_count;
        struct cell *next;
        for (struct cell *cell = namespace->first; cell; cell = next) {
            next = cell->next;
            enum status status = loader_unload(cell, NULL);
            assert_true(status == OK || status == ERR_BUSY);
        }
        assert_true(namespace->cell_count < before);
    }
}
