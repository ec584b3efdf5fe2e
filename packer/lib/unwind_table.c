/* SPDX-License-Identifier: MIT */
#include "unwind_table.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ADDRESS 0x10000u
#define ADDRESS_ALIGN 4096u      /* what a section may ask for */
#define ADDRESS_LIMIT (1u << 31) /* so that every distance fits 32 bits */

static enum status refuse(struct problem *problem, uint64_t offset, const char *why)
{
    problem_set(problem, PROBLEM_UNWIND_FRAME, "the unwind table cannot be relocated");
    problem_where(problem, ".eh_frame+0x%lx", (unsigned long)offset);
    problem_because(problem, "%s", why);
    return problem->status;
}

static enum status place_sections(struct unwind_table *table, struct problem *problem)
{
    const struct elf_object *object = table->object;
    uint64_t next = FIRST_ADDRESS;
    table->addresses = calloc(object->section_count + 1u, sizeof(*table->addresses));
    if (!table->addresses) {
        return problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    for (uint32_t i = 1; i < object->section_count; i++) {
        if (elf_object_section_is_loaded(object, i)) {
            table->addresses[i] = next;
            next += object->sections[i].sh_size + ADDRESS_ALIGN;
            next -= next % ADDRESS_ALIGN;
        }
        if (next >= ADDRESS_LIMIT) {
            return refuse(problem, 0, "the object is larger than 2 GiB");
        }
    }
    return OK;
}

static enum status relocate(struct unwind_table *table, const struct elf64_rela *relocation,
                            struct problem *problem)
{
    const struct elf_object *object = table->object;
    uint64_t at = relocation->r_offset;
    uint64_t value = (uint64_t)relocation->r_addend;
    if (relocation->r_sym >= object->symbol_count) {
        return refuse(problem, at, "a relocation names a symbol that does not exist");
    }
    const struct elf64_sym *symbol = &object->symbols[relocation->r_sym];
    value += symbol->st_value;
    if (symbol->st_shndx < object->section_count) {
        value += table->addresses[symbol->st_shndx];
    }
    size_t size = 8;
    switch (relocation->r_type) {
    case R_X86_64_NONE:
        return OK;
    case R_X86_64_PC32:
        size = 4;
        value -= table->frame.address + at;
        break;
    case R_X86_64_PC64:
        value -= table->frame.address + at;
        break;
    case R_X86_64_32:
    case R_X86_64_32S:
        size = 4;
        break;
    case R_X86_64_64:
        break;
    default:
        return refuse(problem, at, "a relocation is of an unknown kind");
    }
    if (!span_holds(table->frame.bytes, at, size)) {
        return refuse(problem, at, "a relocation lies outside");
    }
    memcpy(table->bytes + at, &value, size);
    return OK;
}

static enum status relocate_all(struct unwind_table *table, uint32_t section,
                                struct problem *problem)
{
    const struct elf_object *object = table->object;
    enum status status = OK;
    for (uint32_t i = 1; i < object->section_count; i++) {
        if (!elf_object_is_relocation(object, i) || object->sections[i].sh_info != section) {
            continue;
        }
        uint64_t count = 0;
        const struct elf64_rela *all = elf_object_relocations(object, i, &count);
        for (uint64_t k = 0; status == OK && k < count; k++) {
            status = relocate(table, &all[k], problem);
        }
    }
    return status;
}

enum status unwind_table_open(const struct elf_object *object, struct unwind_table *out,
                              struct problem *problem)
{
    struct unwind_table table = {.object = object};
    uint32_t section = elf_object_find_section(object, ".eh_frame");
    struct span bytes = elf_object_section_bytes(object, section);
    enum status status = place_sections(&table, problem);
    if (status == OK) {
        table.bytes = malloc(bytes.size + 1);
        status = table.bytes ? OK : problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    if (status == OK && bytes.size > 0) {
        memcpy(table.bytes, bytes.base, bytes.size);
        table.frame.bytes = span_of(table.bytes, bytes.size);
        table.frame.address = table.addresses[section];
        status = relocate_all(&table, section, problem);
    }
    if (status != OK) {
        unwind_table_fini(&table);
        return status;
    }
    *out = table;
    return OK;
}

void unwind_table_fini(struct unwind_table *table)
{
    free(table->addresses);
    free(table->bytes);
    *table = (struct unwind_table){0};
}

bool unwind_table_place(const struct unwind_table *table, uint64_t address, uint64_t size,
                        uint32_t *out_section, uint64_t *out_offset)
{
    const struct elf_object *object = table->object;
    for (uint32_t i = 1; i < object->section_count; i++) {
        uint64_t offset = address - table->addresses[i];
        uint64_t limit = object->sections[i].sh_size;
        if (table->addresses[i] && offset <= limit && size <= limit - offset) {
            *out_section = i;
            *out_offset = offset;
            return true;
        }
    }
    return false;
}

const char *unwind_table_function(const struct unwind_table *table, uint32_t section,
                                  uint64_t offset)
{
    const struct elf_object *object = table->object;
    for (uint32_t i = 1; i < object->symbol_count; i++) {
        const struct elf64_sym *symbol = &object->symbols[i];
        if (symbol->st_shndx == section && symbol->st_value == offset &&
            elf_symbol_type(symbol) == STT_FUNC) {
            return elf_object_symbol_name(object, i);
        }
    }
    return NULL;
}
