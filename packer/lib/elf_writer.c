/* SPDX-License-Identifier: MIT */
#include "elf_writer.h"

#include <stdlib.h>
#include <string.h>

uint32_t elf_writer_add(struct elf_writer *writer, const struct elf_writer_section *section)
{
    if (writer->count == writer->capacity) {
        size_t capacity = writer->capacity ? writer->capacity * 2 : 64;
        struct elf_writer_section *sections =
            realloc(writer->sections, capacity * sizeof(*sections));
        if (!sections) {
            writer->failed = true;
            return 0;
        }
        writer->sections = sections;
        writer->capacity = capacity;
    }
    writer->sections[writer->count++] = *section;
    return (uint32_t)writer->count;
}

static void append_section(struct bytes *out, struct bytes *headers, size_t start,
                           const struct elf_writer_section *section, size_t name)
{
    bool empty = section->type == SHT_NOBITS;
    if (!empty) {
        bytes_align(out, section->alignment);
    }
    struct elf64_shdr header = {
        .sh_name = (uint32_t)name,
        .sh_type = section->type,
        .sh_flags = section->flags,
        .sh_offset = out->size - start,
        .sh_size = empty ? section->empty_size : section->content.size,
        .sh_link = section->link,
        .sh_info = section->info,
        .sh_addralign = section->alignment,
        .sh_entsize = section->entry_size,
    };
    if (!empty) {
        bytes_append(out, section->content.base, section->content.size);
    }
    bytes_append(headers, &header, sizeof(header));
}

/* The header comes first but knows the offset of the section table only now. */
static void fill_header(const struct elf_writer *writer, uint8_t *at, size_t table)
{
    struct elf64_ehdr header = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT, ELFOSABI_SYSV},
        .e_type = ET_REL,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_shoff = table,
        .e_ehsize = sizeof(header),
        .e_shentsize = sizeof(struct elf64_shdr),
        .e_shnum = (uint16_t)(writer->count + 2),
        .e_shstrndx = (uint16_t)(writer->count + 1),
    };
    memcpy(at, &header, sizeof(header));
}

enum status elf_writer_finish(const struct elf_writer *writer, struct bytes *out,
                              struct problem *problem)
{
    if (writer->failed) {
        return problem_set(problem, PROBLEM_MEMORY, "out of memory");
    }
    if (writer->count + 2 > ELF_WRITER_SECTIONS_MAX) {
        return problem_set(problem, PROBLEM_OBJECT_SECTION, "more than %u sections",
                           ELF_WRITER_SECTIONS_MAX);
    }
    size_t start = out->size;
    struct bytes headers = {0};
    struct bytes names = {0};
    bytes_append_fill(out, 0, sizeof(struct elf64_ehdr));
    bytes_append_fill(&headers, 0, sizeof(struct elf64_shdr));
    bytes_append_fill(&names, 0, 1);
    for (size_t i = 0; i < writer->count; i++) {
        append_section(out, &headers, start, &writer->sections[i], names.size);
        bytes_append_string(&names, writer->sections[i].name);
    }
    size_t own_name = names.size;
    bytes_append_string(&names, ".shstrtab");
    struct elf_writer_section last = {
        .name = ".shstrtab", .type = SHT_STRTAB, .alignment = 1, .content = bytes_span(&names)};
    append_section(out, &headers, start, &last, own_name);
    bytes_align(out, 8);
    size_t table = out->size - start;
    bytes_append(out, headers.data, headers.size);
    out->failed |= headers.failed || names.failed;
    if (!out->failed) {
        fill_header(writer, out->data + start, table);
    }
    bytes_fini(&headers);
    bytes_fini(&names);
    return bytes_check(out, problem);
}

void elf_writer_fini(struct elf_writer *writer)
{
    free(writer->sections);
    *writer = (struct elf_writer){0};
}
