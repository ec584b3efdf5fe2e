/* SPDX-License-Identifier: MIT */
#include "oracle.h"

#include <err.h>
#include <inttypes.h>
#include <gelf.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT_PREFIX "__ksymtab_"
#define SHOWN_MAX     5 /* differences a module */

/* One object, opened with libelf. */
struct subject {
    struct oracle *oracle;
    const struct oracle_case *module;
    Elf *elf;
    Elf_Data *symbols;
    size_t symbol_count;
    size_t symbol_names; /* section index */
    unsigned shown;
};

static struct subject open_subject(struct oracle *oracle, const struct oracle_case *module)
{
    struct subject subject = {.oracle = oracle, .module = module};
    subject.elf = elf_memory((char *)module->file.base, module->file.size);
    if (!subject.elf) {
        errx(1, "%s: %s", module->name, elf_errmsg(-1));
    }
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(subject.elf, scn));) {
        GElf_Shdr header;
        gelf_getshdr(scn, &header);
        if (header.sh_type == 2 /* SHT_SYMTAB */) {
            subject.symbols = elf_getdata(scn, NULL);
            subject.symbol_count = header.sh_size / header.sh_entsize;
            subject.symbol_names = header.sh_link;
        }
    }
    return subject;
}

static const char *symbol_name(const struct subject *subject, const GElf_Sym *symbol)
{
    return elf_strptr(subject->elf, subject->symbol_names, symbol->st_name);
}

static uint64_t section_address(const struct subject *subject, size_t index)
{
    return subject->module->cell->sections[index].address;
}

void oracle_open(struct oracle *oracle, size_t count)
{
    elf_version(EV_CURRENT);
    oracle->names = calloc(1, sizeof(*oracle->names));
    if (!oracle->names || !hcreate_r(2 * count + 1, oracle->names)) {
        err(1, "oracle");
    }
}

void oracle_define(struct oracle *oracle, const char *name, uint64_t address)
{
    ENTRY *found;
    ENTRY entry = {.key = (char *)name, .data = (void *)address};
    if (!hsearch_r(entry, ENTER, &found, oracle->names)) {
        err(1, "oracle: %s", name);
    }
}

static bool find_name(const struct oracle *oracle, const char *name, uint64_t *out_address)
{
    ENTRY *found;
    if (!hsearch_r((ENTRY){.key = (char *)name}, FIND, &found, oracle->names)) {
        return false;
    }
    *out_address = (uint64_t)found->data;
    return true;
}

void oracle_define_exports(struct oracle *oracle, const struct oracle_case *module)
{
    struct subject subject = open_subject(oracle, module);
    struct hsearch_data exported = {0};
    if (!hcreate_r(2 * subject.symbol_count + 1, &exported)) {
        err(1, "oracle: %s", module->name);
    }
    GElf_Sym symbol;
    ENTRY *found;
    for (size_t i = 0; i < subject.symbol_count; i++) {
        gelf_getsym(subject.symbols, (int)i, &symbol);
        const char *name = symbol_name(&subject, &symbol);
        if (strncmp(name, EXPORT_PREFIX, strlen(EXPORT_PREFIX)) == 0) {
            char *key = (char *)name + strlen(EXPORT_PREFIX);
            hsearch_r((ENTRY){.key = key}, ENTER, &found, &exported);
        }
    }
    for (size_t i = 0; i < subject.symbol_count; i++) {
        gelf_getsym(subject.symbols, (int)i, &symbol);
        char *name = (char *)symbol_name(&subject, &symbol);
        if (GELF_ST_BIND(symbol.st_info) != 0 && symbol.st_shndx != 0 &&
            hsearch_r((ENTRY){.key = name}, FIND, &found, &exported)) {
            /* The file is closed below, the name stays: it lies in the file's own bytes. */
            oracle_define(oracle, name,
                          section_address(&subject, symbol.st_shndx) + symbol.st_value);
        }
    }
    hdestroy_r(&exported);
    elf_end(subject.elf);
}

static void complain(struct subject *subject, size_t section, uint64_t offset, uint64_t expected,
                     uint64_t found)
{
    subject->oracle->differences++;
    if (subject->shown++ < SHOWN_MAX) {
        warnx("%s: %s+0x%" PRIx64 ": expected 0x%" PRIx64 ", found 0x%" PRIx64,
              subject->module->name, subject->module->cell->sections[section].name, offset,
              expected, found);
    }
}

static bool value_of(const struct subject *subject, size_t index, uint64_t *out_value)
{
    GElf_Sym symbol;
    if (!gelf_getsym(subject->symbols, (int)index, &symbol)) {
        return false;
    }
    bool is_defined = symbol.st_shndx != 0;
    if (symbol.st_shndx == 0xfff1 /* SHN_ABS */) {
        *out_value = symbol.st_value;
        return true;
    }
    if (is_defined) {
        *out_value = section_address(subject, symbol.st_shndx) + symbol.st_value;
        return true;
    }
    *out_value = 0; /* undefined and weak */
    return index == 0 || find_name(subject->oracle, symbol_name(subject, &symbol), out_value) ||
           GELF_ST_BIND(symbol.st_info) == 2;
}

struct field {
    unsigned size;
    bool is_relative;
};

static struct field field_of(uint32_t type)
{
    switch (type) {
    case 1: /* R_X86_64_64 */
        return (struct field){.size = 8};
    case 2: /* R_X86_64_PC32 */
    case 4: /* R_X86_64_PLT32 */
        return (struct field){.size = 4, .is_relative = true};
    case 10: /* R_X86_64_32 */
    case 11: /* R_X86_64_32S */
        return (struct field){.size = 4};
    case 24: /* R_X86_64_PC64 */
        return (struct field){.size = 8, .is_relative = true};
    default: /* R_X86_64_NONE; others our linker has refused */
        return (struct field){.size = 0};
    }
}

/* Does the entry at `address` jump to `target`? */
static bool entry_leads_to(const struct oracle *oracle, uint64_t address, uint64_t target)
{
    if (address < oracle->entries || address - oracle->entries > oracle->entry_size - 8 ||
        address % 8 != 0) {
        return false;
    }
    const uint8_t *entry = oracle->entry_bytes + (address - oracle->entries);
    int32_t distance;
    memcpy(&distance, entry + 1, sizeof(distance));
    return entry[0] == 0xe9 && address + 5 + (uint64_t)(int64_t)distance == target;
}

static bool is_branch(const uint8_t *bytes, uint64_t offset)
{
    return (offset > 0 && (bytes[offset - 1] == 0xe8 || bytes[offset - 1] == 0xe9)) ||
           (offset > 1 && bytes[offset - 2] == 0x0f && bytes[offset - 1] >> 4 == 8);
}

/* Writes the expected field into `expected`; or the found one, where that is an entry's. */
static void check_field(struct subject *subject, size_t section, const GElf_Rela *rela,
                        uint8_t *expected, const uint8_t *found)
{
    struct oracle *oracle = subject->oracle;
    struct field field = field_of((uint32_t)GELF_R_TYPE(rela->r_info));
    if (field.size == 0) {
        return;
    }
    oracle->relocations++;
    uint64_t symbol;
    if (!value_of(subject, GELF_R_SYM(rela->r_info), &symbol)) {
        complain(subject, section, rela->r_offset, 0, 0);
        return;
    }
    const struct section *target = &subject->module->cell->sections[section];
    uint64_t place = field.is_relative ? target->address + rela->r_offset : 0;
    uint64_t value = symbol + (uint64_t)rela->r_addend - place;
    memcpy(expected + rela->r_offset, &value, field.size);
    if (memcmp(expected + rela->r_offset, found + rela->r_offset, field.size) == 0) {
        return;
    }
    bool is_code = (target->flags & 4 /* SHF_EXECINSTR */) != 0;
    uint64_t bias = is_code && field.is_relative ? 4 : 0;
    int64_t wide = 0;
    int32_t narrow;
    memcpy(field.size == 8 ? (void *)&wide : (void *)&narrow, found + rela->r_offset, field.size);
    uint64_t address =
        (field.size == 8 ? (uint64_t)wide : (uint64_t)(int64_t)narrow) + place + bias;
    bool is_direct = is_code && field.is_relative && is_branch(expected, rela->r_offset);
    if (is_direct || !entry_leads_to(oracle, address, symbol + (uint64_t)rela->r_addend + bias)) {
        complain(subject, section, rela->r_offset, value, address - place - bias);
        return;
    }
    oracle->via_entry++;
    memcpy(expected + rela->r_offset, found + rela->r_offset, field.size);
}

static void check_relocations(struct subject *subject, size_t section, uint8_t *expected,
                              const uint8_t *found)
{
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(subject->elf, scn));) {
        GElf_Shdr header;
        gelf_getshdr(scn, &header);
        if (header.sh_type != 4 /* SHT_RELA */ || header.sh_info != section) {
            continue;
        }
        Elf_Data *data = elf_getdata(scn, NULL);
        for (size_t i = 0; i < header.sh_size / header.sh_entsize; i++) {
            GElf_Rela rela;
            gelf_getrela(data, (int)i, &rela);
            check_field(subject, section, &rela, expected, found);
        }
    }
}

static void check_section(struct subject *subject, size_t index, const GElf_Shdr *header)
{
    const struct section *section = &subject->module->cell->sections[index];
    const struct region *region = &subject->module->cell->regions[section->region];
    const uint8_t *found =
        subject->module->bytes[section->region] + (section->address - region->address);
    if (header->sh_addralign > 1 && section->address % header->sh_addralign != 0) {
        complain(subject, index, 0, header->sh_addralign, section->address);
    }
    uint8_t *expected = calloc(1, header->sh_size);
    if (!expected) {
        err(1, "oracle: %s", subject->module->name);
    }
    if (header->sh_type != 8 /* SHT_NOBITS */) {
        memcpy(expected, subject->module->file.base + header->sh_offset, header->sh_size);
    }
    check_relocations(subject, index, expected, found);
    subject->oracle->bytes += header->sh_size;
    for (uint64_t i = 0; i < header->sh_size; i++) {
        if (expected[i] != found[i]) {
            complain(subject, index, i, expected[i], found[i]);
        }
    }
    free(expected);
}

void oracle_compare(struct oracle *oracle, const struct oracle_case *module)
{
    struct subject subject = open_subject(oracle, module);
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(subject.elf, scn));) {
        GElf_Shdr header;
        gelf_getshdr(scn, &header);
        if ((header.sh_flags & 2 /* SHF_ALLOC */) && header.sh_size > 0) {
            check_section(&subject, elf_ndxscn(scn), &header);
        }
    }
    elf_end(subject.elf);
}
