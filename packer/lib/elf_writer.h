/* SPDX-License-Identifier: MIT */
/*
 * elf_writer.h - writes a relocatable object from a list of sections.
 *
 * Why: the order of bytes in a cell is ours alone, so that equal input gives equal files. libelf
 * would lay out for us, but by rules that change with its version.
 *
 * Rules: sections get the indices 1, 2, ... in the order of adding. Contents and names are borrowed
 * until elf_writer_finish(). `.shstrtab` is added as the last one.
 */
#pragma once

#include "bytes.h"
#include "elf.h"

#define ELF_WRITER_SECTIONS_MAX (SHN_LORESERVE - 1) /* above, ELF needs extended indices */

struct elf_writer_section {
    const char *name;
    uint32_t type;
    uint32_t link;
    uint32_t info;
    uint64_t flags;
    uint64_t alignment;
    uint64_t entry_size;
    struct span content;
    uint64_t empty_size; /* of SHT_NOBITS */
};

struct elf_writer {
    struct elf_writer_section *sections;
    size_t count; /* without the null section */
    size_t capacity;
    bool failed;
};

/* Returns the section's index. */
uint32_t elf_writer_add(struct elf_writer *writer, const struct elf_writer_section *section);

/* Appends the whole file to `out`. */
MUST_CHECK enum status elf_writer_finish(const struct elf_writer *writer, struct bytes *out,
                                         struct problem *problem);
void elf_writer_fini(struct elf_writer *writer);
