/* SPDX-License-Identifier: MIT */
/*
 * elf_object.h - reads a relocatable object, and refuses what cannot be linked.
 *
 * Why: the bytes of a cell come from outside. They are validated once, here; everything behind may
 * rely on the guarantees below and needs no checks of its own. The same source runs in the kernel,
 * in cellpack and in the tests.
 *
 * Rules: pure; borrows the bytes, allocates nothing, O(sections + symbols). Any context.
 *
 * After elf_object_open() succeeded:
 *  - the ELF header describes an ELF64 little-endian x86-64 ET_REL with a section table;
 *  - every section that occupies file bytes lies in the file; alignments are powers of two (at most
 *    ELF_OBJECT_MAX_ALIGNMENT where the section is allocated); names are NUL-terminated strings;
 *  - allocated sections are of a type that can be loaded, not compressed, not thread-local, and
 *    never writable and executable at once;
 *  - there is at most one symbol table; each symbol's name is a string, its section exists, and a
 *    symbol of an allocated section lies inside it or at its end; local symbols come first;
 *  - each SHT_RELA of an allocated section names an existing section and the symbol table. The
 *    relocations themselves are checked where they are applied (relocation.h), in one pass.
 */
#pragma once

#include "elf.h"
#include "span.h"
#include "status.h"

struct diag;

#define ELF_OBJECT_MAX_ALIGNMENT 4096u /* regions are placed at pages: more cannot be promised */
#define ELF_OBJECT_MAX_SECTION   (1ull << 30) /* bytes: what fits well into the top 2 GiB */

struct elf_object {
    struct span file;
    const struct elf64_shdr *sections;
    const struct elf64_sym *symbols; /* NULL when there are none */
    const char *section_names;
    const char *symbol_names;
    uint32_t section_count;
    uint32_t symbol_count;
    uint32_t first_global;     /* index of the first symbol that is not local */
    uint32_t symbol_table;     /* section index, 0 when there is none */
    uint64_t relocation_count; /* in relocation sections of allocated sections */
};

/* Validates `file`. On failure `diag` says section, offset (into the file), expected and found. */
CELL_API MUST_CHECK enum status elf_object_open(struct span file, struct elf_object *out_object,
                                                struct diag *diag);

/* The section's index by name, or 0 when there is none. O(sections). */
CELL_API uint32_t elf_object_find_section(const struct elf_object *object, const char *name);

static inline const char *elf_object_section_name(const struct elf_object *object, uint32_t index)
{
    return object->section_names + object->sections[index].sh_name;
}

static inline const char *elf_object_symbol_name(const struct elf_object *object, uint32_t index)
{
    return object->symbol_names + object->symbols[index].st_name;
}

/* The section's bytes in the file; empty for SHT_NOBITS and SHT_NULL. */
static inline struct span elf_object_section_bytes(const struct elf_object *object, uint32_t index)
{
    const struct elf64_shdr *section = &object->sections[index];
    if (section->sh_type == SHT_NOBITS || section->sh_type == SHT_NULL) {
        return span_of(NULL, 0);
    }
    return span_of(object->file.base + section->sh_offset, section->sh_size);
}

static inline bool elf_object_section_is_loaded(const struct elf_object *object, uint32_t index)
{
    return (object->sections[index].sh_flags & SHF_ALLOC) != 0;
}

/* Is section `index` a relocation section whose target is loaded? */
static inline bool elf_object_is_relocation(const struct elf_object *object, uint32_t index)
{
    const struct elf64_shdr *section = &object->sections[index];
    return section->sh_type == SHT_RELA && elf_object_section_is_loaded(object, section->sh_info);
}

/* The relocations of a section for which elf_object_is_relocation() holds. */
static inline const struct elf64_rela *elf_object_relocations(const struct elf_object *object,
                                                              uint32_t index, uint64_t *out_count)
{
    const struct elf64_shdr *section = &object->sections[index];
    *out_count = section->sh_size / sizeof(struct elf64_rela);
    return (const struct elf64_rela *)(object->file.base + section->sh_offset);
}
