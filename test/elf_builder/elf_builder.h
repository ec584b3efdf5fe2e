/* SPDX-License-Identifier: MIT */
/*
 * elf_builder.h - makes relocatable objects in memory, for tests.
 *
 * Why: a test of the linker says in a few lines what is in the object, and can then corrupt any
 * field of it; no tool would write some of the objects that are needed.
 *
 * Rules: add sections, symbols (local ones first) and relocations in any order, then call
 * elf_build() once. Section 0 and symbol 0 are there from the start. Every section header and
 * symbol may be changed through the arrays until elf_build(), and in the file behind it. The file
 * lies in a heap block of exactly its size, so the sanitizer sees every read beyond it. Running
 * out of memory aborts.
 */
#pragma once

#include "elf.h"
#include "span.h"

#include <stdlib.h>
#include <string.h>

struct elf_bytes {
    uint8_t *base;
    size_t size;
    size_t capacity;
};

struct elf_builder {
    struct elf_bytes contents;    /* of all sections, each from its sh_offset on */
    struct elf_bytes sections;    /* struct elf64_shdr */
    struct elf_bytes relocations; /* struct elf_builder_relocation */
    struct elf_bytes symbols;     /* struct elf64_sym */
    struct elf_bytes section_names;
    struct elf_bytes symbol_names;
    uint8_t *file;
    size_t file_size;
    uint32_t symbol_table; /* section indices, after elf_build() */
    uint32_t string_table;
    uint32_t name_table;
};

struct elf_builder_relocation {
    uint32_t section;
    struct elf64_rela rela;
};

/* Appends bytes, zeroes where `from` is NULL; returns their offset. */
static inline size_t elf_bytes_append(struct elf_bytes *bytes, const void *from, size_t size)
{
    if (bytes->size + size > bytes->capacity) {
        bytes->capacity = 2 * (bytes->size + size);
        bytes->base = realloc(bytes->base, bytes->capacity);
        if (!bytes->base) {
            abort();
        }
    }
    uint8_t *to = bytes->base + bytes->size;
    if (from) {
        memcpy(to, from, size);
    } else {
        memset(to, 0, size);
    }
    bytes->size += size;
    return bytes->size - size;
}

static inline struct elf64_shdr *elf_section(struct elf_builder *builder, uint32_t index)
{
    return (struct elf64_shdr *)builder->sections.base + index;
}

static inline struct elf64_sym *elf_symbol(struct elf_builder *builder, uint32_t index)
{
    return (struct elf64_sym *)builder->symbols.base + index;
}

static inline uint32_t elf_section_count(const struct elf_builder *builder)
{
    return (uint32_t)(builder->sections.size / sizeof(struct elf64_shdr));
}

static inline uint32_t elf_symbol_count(const struct elf_builder *builder)
{
    return (uint32_t)(builder->symbols.size / sizeof(struct elf64_sym));
}

static inline void elf_builder_init(struct elf_builder *builder)
{
    *builder = (struct elf_builder){0};
    elf_bytes_append(&builder->contents, NULL, sizeof(struct elf64_ehdr));
    elf_bytes_append(&builder->sections, NULL, sizeof(struct elf64_shdr));
    elf_bytes_append(&builder->symbols, NULL, sizeof(struct elf64_sym));
    elf_bytes_append(&builder->section_names, "", 1);
    elf_bytes_append(&builder->symbol_names, "", 1);
}

static inline void elf_builder_fini(struct elf_builder *builder)
{
    free(builder->contents.base);
    free(builder->sections.base);
    free(builder->relocations.base);
    free(builder->symbols.base);
    free(builder->section_names.base);
    free(builder->symbol_names.base);
    free(builder->file);
}

/* Alignment 1; `bytes` may be NULL for zeroes. SHT_NOBITS takes no room in the file. */
static inline uint32_t elf_add_section(struct elf_builder *builder, const char *name, uint32_t type,
                                       uint64_t flags, const void *bytes, size_t size)
{
    struct elf64_shdr section = {
        .sh_name = (uint32_t)elf_bytes_append(&builder->section_names, name, strlen(name) + 1),
        .sh_type = type,
        .sh_flags = flags,
        .sh_offset = builder->contents.size,
        .sh_size = size,
        .sh_addralign = 1,
    };
    if (type != SHT_NOBITS) {
        elf_bytes_append(&builder->contents, bytes, size);
    }
    elf_bytes_append(&builder->sections, &section, sizeof(section));
    return elf_section_count(builder) - 1;
}

static inline uint32_t elf_add_text(struct elf_builder *builder, const char *name,
                                    const void *bytes, size_t size)
{
    return elf_add_section(builder, name, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, bytes, size);
}

static inline uint32_t elf_add_rodata(struct elf_builder *builder, const char *name,
                                      const void *bytes, size_t size)
{
    return elf_add_section(builder, name, SHT_PROGBITS, SHF_ALLOC, bytes, size);
}

static inline uint32_t elf_add_data(struct elf_builder *builder, const char *name,
                                    const void *bytes, size_t size)
{
    return elf_add_section(builder, name, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, bytes, size);
}

static inline uint32_t elf_add_bss(struct elf_builder *builder, const char *name, size_t size)
{
    return elf_add_section(builder, name, SHT_NOBITS, SHF_ALLOC | SHF_WRITE, NULL, size);
}

static inline uint32_t elf_add_symbol(struct elf_builder *builder, const char *name,
                                      uint8_t binding, uint8_t type, uint32_t section,
                                      uint64_t value, uint64_t size)
{
    struct elf64_sym symbol = {
        .st_name = (uint32_t)elf_bytes_append(&builder->symbol_names, name, strlen(name) + 1),
        .st_info = (uint8_t)(binding << 4 | type),
        .st_shndx = (uint16_t)section,
        .st_value = value,
        .st_size = size,
    };
    elf_bytes_append(&builder->symbols, &symbol, sizeof(symbol));
    return elf_symbol_count(builder) - 1;
}

/* The relocations of one section make up one SHT_RELA section, in the order of these calls. */
static inline void elf_add_relocation(struct elf_builder *builder, uint32_t section,
                                      uint64_t offset, uint32_t type, uint32_t symbol,
                                      int64_t addend)
{
    struct elf_builder_relocation relocation = {
        .section = section,
        .rela = {.r_offset = offset, .r_type = type, .r_sym = symbol, .r_addend = addend},
    };
    elf_bytes_append(&builder->relocations, &relocation, sizeof(relocation));
}

/* The section with the relocations of `section`, or 0. */
static inline uint32_t elf_relocation_section(struct elf_builder *builder, uint32_t section)
{
    for (uint32_t i = elf_section_count(builder) - 1; i > 0; i--) {
        if (elf_section(builder, i)->sh_type == SHT_RELA &&
            elf_section(builder, i)->sh_info == section) {
            return i;
        }
    }
    return 0;
}

static inline void elf_builder_add_relocation_section(struct elf_builder *builder, uint32_t section)
{
    struct elf_bytes tables = {0};
    const struct elf_builder_relocation *all =
        (const struct elf_builder_relocation *)builder->relocations.base;
    for (size_t i = 0; i < builder->relocations.size / sizeof(*all); i++) {
        if (all[i].section == section) {
            elf_bytes_append(&tables, &all[i].rela, sizeof(all[i].rela));
        }
    }
    uint32_t index =
        elf_add_section(builder, ".rela", SHT_RELA, SHF_INFO_LINK, tables.base, tables.size);
    elf_section(builder, index)->sh_info = section;
    elf_section(builder, index)->sh_entsize = sizeof(struct elf64_rela);
    free(tables.base);
}

static inline void elf_builder_add_tables(struct elf_builder *builder)
{
    uint32_t locals = 0;
    while (locals < elf_symbol_count(builder) &&
           elf_symbol_binding(elf_symbol(builder, locals)) == STB_LOCAL) {
        locals++;
    }
    builder->string_table = elf_add_section(builder, ".strtab", SHT_STRTAB, 0,
                                            builder->symbol_names.base, builder->symbol_names.size);
    builder->symbol_table = elf_add_section(builder, ".symtab", SHT_SYMTAB, 0,
                                            builder->symbols.base, builder->symbols.size);
    struct elf64_shdr *table = elf_section(builder, builder->symbol_table);
    table->sh_link = builder->string_table;
    table->sh_info = locals;
    table->sh_entsize = sizeof(struct elf64_sym);
    for (uint32_t i = 1; i < elf_section_count(builder); i++) {
        if (elf_section(builder, i)->sh_type == SHT_RELA) {
            elf_section(builder, i)->sh_link = builder->symbol_table;
        }
    }
    /* Last, so that the table holds its own name too. */
    builder->name_table = elf_add_section(builder, ".shstrtab", SHT_STRTAB, 0, NULL, 0);
    elf_section(builder, builder->name_table)->sh_size = builder->section_names.size;
    elf_bytes_append(&builder->contents, builder->section_names.base, builder->section_names.size);
}

/* Where the header of section `index` is in the file. */
static inline size_t elf_section_position(const struct elf_builder *builder, uint32_t index)
{
    return builder->contents.size + index * sizeof(struct elf64_shdr);
}

/* Where the bytes of section `index` are in the file. */
static inline size_t elf_contents_position(struct elf_builder *builder, uint32_t index)
{
    return elf_section(builder, index)->sh_offset;
}

static inline struct span elf_build(struct elf_builder *builder)
{
    uint32_t own = elf_section_count(builder);
    const struct elf_builder_relocation *all =
        (const struct elf_builder_relocation *)builder->relocations.base;
    for (size_t i = 0; i < builder->relocations.size / sizeof(*all); i++) {
        bool is_first = true;
        for (uint32_t k = own; k < elf_section_count(builder); k++) {
            is_first = is_first && elf_section(builder, k)->sh_info != all[i].section;
        }
        if (is_first) {
            elf_builder_add_relocation_section(builder, all[i].section);
        }
    }
    elf_builder_add_tables(builder);
    struct elf64_ehdr header = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_REL,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_shoff = builder->contents.size,
        .e_ehsize = sizeof(struct elf64_ehdr),
        .e_shentsize = sizeof(struct elf64_shdr),
        .e_shnum = (uint16_t)elf_section_count(builder),
        .e_shstrndx = (uint16_t)builder->name_table,
    };
    memcpy(builder->contents.base, &header, sizeof(header));
    builder->file_size = builder->contents.size + builder->sections.size;
    builder->file = malloc(builder->file_size);
    if (!builder->file) {
        abort();
    }
    memcpy(builder->file, builder->contents.base, builder->contents.size);
    memcpy(builder->file + builder->contents.size, builder->sections.base, builder->sections.size);
    return span_of(builder->file, builder->file_size);
}
