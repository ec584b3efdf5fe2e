/* SPDX-License-Identifier: MIT */
#include "elf_tables.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool map_file(const char *path, struct span *out)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0 || status.st_size == 0) {
        perror(path);
        return false;
    }
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (bytes == MAP_FAILED) {
        perror(path);
        return false;
    }
    *out = span_of(bytes, (size_t)status.st_size);
    return true;
}

static void read_section(struct elf_tables *tables, const Elf64_Shdr *section, const char *name)
{
    struct span bytes;
    if (strcmp(name, ".eh_frame") == 0 && section->sh_type != SHT_NOBITS &&
        span_slice(tables->file, section->sh_offset, section->sh_size, &bytes)) {
        tables->has_frame = true;
        tables->frame.bytes = bytes;
        tables->frame.address = section->sh_addr;
    }
    if (strcmp(name, ".text") == 0) {
        tables->frame.text = section->sh_addr;
    }
    if (strcmp(name, ".got") == 0) {
        tables->frame.data = section->sh_addr;
    }
}

/*
 * In an object every section is at 0 and addresses are relocations, which are applied to a copy.
 * False if there is one that is not known.
 */
static bool relocate(struct elf_tables *tables, const Elf64_Shdr *relocations,
                     const Elf64_Shdr *symbol_table)
{
    size_t size = tables->frame.bytes.size;
    size_t count = relocations->sh_size / sizeof(Elf64_Rela);
    size_t symbol_count = symbol_table->sh_size / sizeof(Elf64_Sym);
    const Elf64_Rela *all = span_at(tables->file, relocations->sh_offset, relocations->sh_size);
    const Elf64_Sym *symbols =
        span_at(tables->file, symbol_table->sh_offset, symbol_table->sh_size);
    uint8_t *copy = malloc(size);
    if (!all || !symbols || !copy) {
        free(copy);
        return false;
    }
    memcpy(copy, tables->frame.bytes.base, size);
    tables->copy = copy;
    tables->frame.bytes = span_of(copy, size);
    for (size_t i = 0; i < count; i++) {
        uint64_t at = all[i].r_offset;
        uint64_t symbol = ELF64_R_SYM(all[i].r_info);
        uint64_t value =
            (symbol < symbol_count ? symbols[symbol].st_value : 0) + (uint64_t)all[i].r_addend;
        uint32_t type = ELF64_R_TYPE(all[i].r_info);
        size_t width = type == R_X86_64_PC32 ? 4 : 8;
        value -= type == R_X86_64_64 ? 0 : at;
        if ((type != R_X86_64_PC32 && type != R_X86_64_64 && type != R_X86_64_PC64) ||
            !span_holds(tables->frame.bytes, at, width)) {
            return false;
        }
        memcpy(copy + at, &value, width);
    }
    return true;
}

static bool relocate_object(struct elf_tables *tables, const Elf64_Shdr *sections, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        if (sections[i].sh_type == SHT_RELA && tables->has_frame &&
            sections[i].sh_info == tables->section && sections[i].sh_link < count &&
            !relocate(tables, &sections[i], &sections[sections[i].sh_link])) {
            return false;
        }
    }
    return true;
}

bool elf_tables_open(const char *path, struct elf_tables *out)
{
    struct elf_tables tables = {0};
    if (!map_file(path, &tables.file)) {
        return false;
    }
    const Elf64_Ehdr *header = span_at(tables.file, 0, sizeof(*header));
    const Elf64_Shdr *sections =
        header ? span_at(tables.file, header->e_shoff, header->e_shnum * sizeof(*sections)) : NULL;
    if (!sections || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_shstrndx >= header->e_shnum) {
        fprintf(stderr, "%s: no ELF64 file with sections\n", path);
        elf_tables_close(&tables);
        return false;
    }
    uint64_t names = sections[header->e_shstrndx].sh_offset;
    for (unsigned i = 1; i < header->e_shnum; i++) {
        const char *name = span_string(tables.file, names + sections[i].sh_name);
        if (name) {
            read_section(&tables, &sections[i], name);
            tables.section = strcmp(name, ".eh_frame") == 0 ? i : tables.section;
        }
    }
    if (header->e_type == ET_REL && !relocate_object(&tables, sections, header->e_shnum)) {
        fprintf(stderr, "%s: a relocation of .eh_frame is not understood\n", path);
        elf_tables_close(&tables);
        return false;
    }
    *out = tables;
    return true;
}

void elf_tables_close(struct elf_tables *tables)
{
    free(tables->copy);
    munmap((void *)(uintptr_t)tables->file.base, tables->file.size);
}

/* ---- this process ---- */

struct finder {
    struct loaded_tables *out;
    size_t most;
    size_t count;
};

static int compare_rows(const void *left, const void *right)
{
    const struct cell_unwind_row *a = left;
    const struct cell_unwind_row *b = right;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static void make_index(struct loaded_tables *tables)
{
    size_t room = 1024;
    size_t count = 0;
    struct cell_unwind_row *rows = malloc(room * sizeof(*rows));
    struct cfi_fde fde;
    struct cfi_fault fault;
    enum status status;
    for (uint64_t at = 0;
         rows && (status = cfi_next(&tables->frame, &at, &fde, &fault)) != ERR_NOT_FOUND;) {
        if (status != OK || fde.start < tables->start || fde.end > tables->end) {
            continue;
        }
        if (count == room) {
            room *= 2;
            rows = realloc(rows, room * sizeof(*rows));
        }
        if (rows) {
            rows[count++] = (struct cell_unwind_row){
                .offset = (uint32_t)(fde.start - tables->start),
                .size = (uint32_t)(fde.end - fde.start),
                .fde = fde.offset,
            };
        }
    }
    if (!rows) {
        fputs("out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    qsort(rows, count, sizeof(*rows), compare_rows);
    tables->index = (struct cell_unwind){.rows = rows, .count = (uint32_t)count};
}

/*
 * A process has no section headers. `.eh_frame_hdr` says where `.eh_frame` begins (LSB Core,
 * "Exception Frames"); a terminator ends it, at the latest the segment does.
 */
static int read_object(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct finder *finder = context;
    struct loaded_tables tables = {.start = UINT64_MAX};
    const uint8_t *header = NULL;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uint64_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD) {
            tables.start = start < tables.start ? start : tables.start;
            uint64_t end = start + segment->p_memsz;
            tables.end = end > tables.end ? end : tables.end;
        }
        if (segment->p_type == PT_GNU_EH_FRAME) {
            header = (const uint8_t *)start;
        }
    }
    /* Version 1, and the pointer as a 32-bit distance: what every linker writes. */
    if (!header || header[0] != 1 || header[1] != 0x1b || finder->count == finder->most) {
        return 0;
    }
    int32_t distance;
    memcpy(&distance, header + 4, sizeof(distance));
    tables.frame.address = (uint64_t)(header + 4) + (uint64_t)(int64_t)distance;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uint64_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && tables.frame.address - start < segment->p_memsz) {
            tables.frame.bytes = span_of((const void *)tables.frame.address,
                                         start + segment->p_filesz - tables.frame.address);
        }
    }
    make_index(&tables);
    finder->out[finder->count++] = tables;
    return 0;
}

static int compare_objects(const void *left, const void *right)
{
    const struct loaded_tables *a = left;
    const struct loaded_tables *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

size_t loaded_tables_find(struct loaded_tables *out, size_t most)
{
    struct finder finder = {.out = out, .most = most};
    dl_iterate_phdr(read_object, &finder);
    qsort(out, finder.count, sizeof(*out), compare_objects);
    return finder.count;
}
