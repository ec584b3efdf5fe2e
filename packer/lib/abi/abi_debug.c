/* SPDX-License-Identifier: MIT */
#include "abi_debug.h"

#include <libelf.h>
#include <stdlib.h>
#include <string.h>

/* S + A, where a section that is loaded begins at its index. */
static uint64_t value_of(const struct elf_object *object, const struct elf64_rela *rela)
{
    const struct elf64_sym *symbol = &object->symbols[rela->r_sym];
    uint64_t value = symbol->st_value + (uint64_t)rela->r_addend;
    bool is_loaded = symbol->st_shndx != SHN_UNDEF && symbol->st_shndx < object->section_count &&
                     elf_object_section_is_loaded(object, symbol->st_shndx);
    return is_loaded ? abi_debug_address(symbol->st_shndx, value) : value;
}

static void relocate(const struct elf_object *object, uint32_t section, uint8_t *file)
{
    const struct elf64_shdr *header = &object->sections[section];
    const struct elf64_shdr *target = &object->sections[header->sh_info];
    struct span bytes = elf_object_section_bytes(object, section);
    const struct elf64_rela *relocations = (const struct elf64_rela *)bytes.base;
    for (size_t i = 0; i < bytes.size / sizeof(*relocations); i++) {
        const struct elf64_rela *rela = &relocations[i];
        size_t size = rela->r_type == R_X86_64_64                                   ? 8
                      : rela->r_type == R_X86_64_32 || rela->r_type == R_X86_64_32S ? 4
                                                                                    : 0;
        if (size > 0 && rela->r_sym < object->symbol_count && size <= target->sh_size &&
            rela->r_offset <= target->sh_size - size) {
            uint64_t value = value_of(object, rela);
            memcpy(file + target->sh_offset + rela->r_offset, &value, size);
        }
    }
}

static bool is_debug(const struct elf_object *object, uint32_t section)
{
    const struct elf64_shdr *header = &object->sections[section];
    return header->sh_type == SHT_PROGBITS && !(header->sh_flags & (SHF_ALLOC | SHF_COMPRESSED)) &&
           strncmp(elf_object_section_name(object, section), ".debug_", 7) == 0;
}

bool abi_debug_open(const struct elf_object *object, struct abi_debug *out_debug)
{
    *out_debug = (struct abi_debug){0};
    bool any = false;
    for (uint32_t i = 1; i < object->section_count; i++) {
        any |= is_debug(object, i);
    }
    if (!any) {
        return true;
    }
    struct abi_debug debug = {.file = malloc(object->file.size)};
    if (!debug.file) {
        return false;
    }
    memcpy(debug.file, object->file.base, object->file.size);
    for (uint32_t i = 1; i < object->section_count; i++) {
        const struct elf64_shdr *header = &object->sections[i];
        if (header->sh_type == SHT_RELA && header->sh_info < object->section_count &&
            is_debug(object, header->sh_info)) {
            relocate(object, i, debug.file);
        }
    }
    elf_version(EV_CURRENT);
    debug.elf = elf_memory((char *)debug.file, object->file.size);
    debug.dwarf = debug.elf ? dwarf_begin_elf(debug.elf, DWARF_C_READ, NULL) : NULL;
    *out_debug = debug;
    return true;
}

void abi_debug_close(struct abi_debug *debug)
{
    dwarf_end(debug->dwarf);
    elf_end(debug->elf);
    free(debug->file);
    *debug = (struct abi_debug){0};
}
